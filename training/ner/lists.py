"""Names of people, places and organisations to train with, all from packages under permissive licences.

People: the lists of Faker's locales (MIT). Places: the English descriptions of telephone prefixes in
libphonenumber (Apache-2.0), Faker's countries. Organisations are composed from parts written here.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

LOCALES = (
    "en_US en_GB en_IN en_NZ en_IE de_DE de_AT de_CH fr_FR fr_CA es_ES es_MX it_IT nl_NL pt_BR pt_PT pl_PL cs_CZ sk_SK hu_HU ro_RO "
    "hr_HR sl_SI sv_SE no_NO da_DK fi_FI et_EE lt_LT lv_LV tr_TR az_AZ id_ID ga_IE en_TH tw_GH yo_NG zu_ZA ha_NG vi_VN fr_QC is_IS"
).split()
"""Latin script: names of these locales stand in for the names of training sentences."""

OTHER_SCRIPTS = "el_GR ru_RU uk_UA bg_BG ar_SA he_IL ja_JP zh_CN hi_IN".split()

_PROVIDER_LISTS = ("first_names", "first_names_male", "first_names_female", "last_names", "last_names_male", "last_names_female")


@lru_cache(maxsize=1)
def people() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """First and last names by locale, without those of one letter."""
    package = importlib.import_module("faker.providers.person")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        provider = importlib.import_module(f"faker.providers.person.{module.name}").Provider
        first = sorted({name for key in _PROVIDER_LISTS[:3] for name in _listed(provider, key)})
        last = sorted({name for key in _PROVIDER_LISTS[3:] for name in _listed(provider, key)})
        if first and last:
            found[module.name] = (tuple(first), tuple(last))
    return found


def _listed(provider: Any, attribute: str) -> list[str]:
    names = getattr(provider, attribute, ())
    if not isinstance(names, (list, tuple, dict, set, frozenset)):
        return []  # a few locales compute their list
    return [name.strip() for name in names if isinstance(name, str) and len(name.strip()) > 1]


@lru_cache(maxsize=1)
def places() -> tuple[str, ...]:
    """Towns and regions in English or local Latin spelling, without the abbreviation of their state."""
    geodata = importlib.import_module("phonenumbers.geodata").GEOCODE_DATA
    found: set[str] = set()
    for described in geodata.values():
        for part in re.split(r"[/,]| - ", described.get("en", "")):
            place = part.strip()
            if re.fullmatch(r"[^\W\d_][^\d_/()]{2,30}", place) and not place.isupper() and len(place.split()) <= 4:
                found.add(place)
    return tuple(sorted(found))


@lru_cache(maxsize=1)
def countries() -> tuple[str, ...]:
    """Countries in their short English names, and the way people write some of them."""
    listed = importlib.import_module("faker.providers.address").Provider
    provider = importlib.import_module("faker.providers.address.en_US").Provider
    names = {re.sub(r" \(.*", "", name) for name in provider.countries if "," not in name} | {
        "USA",
        "US",
        "U.S.",
        "UK",
        "U.K.",
        "the UK",
        "UAE",
    }
    names |= set(getattr(listed, "countries", ())) | set(provider.states)
    return tuple(sorted(name for name in names if 2 <= len(name) <= 30))


@lru_cache(maxsize=1)
def street_words() -> tuple[str, ...]:
    """English street suffixes: Street, Avenue, Road, ..."""
    provider = importlib.import_module("faker.providers.address.en_US").Provider
    common = "Street Street St St. Ave Ave. Rd Rd. Lane Drive Dr Blvd Close Road Road Avenue".split()
    return (*provider.street_suffixes, *common)


def choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]
