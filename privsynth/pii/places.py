"""Towns and countries of the lists that Faker ships; where a locale has no towns, made-up ones."""

from __future__ import annotations

import importlib
from functools import lru_cache

from privsynth.pii.names import LOCALES, names_of
from privsynth.pii.recognizers import fold
from privsynth.registry import require

_ENDINGS = ("ton", "ville", "ford", "field", "burgh", "stead", "wick", "ham")


@lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """Folded names of countries in the languages of ``LOCALES``."""
    names = {"usa", "uk", "england", "scotland", "wales", "schweiz", "suisse", "svizzera", "deutschland", "us", "u s", "u k"}
    for locale in dict.fromkeys((*LOCALES.values(), *LOCALES)):
        names.update(fold(name) for name in _listed(locale, "countries"))
    return frozenset(names)


@lru_cache(maxsize=64)
def towns(locale: str) -> tuple[str, ...]:
    """Towns of a locale, or names of its lists with the ending of a town."""
    listed = tuple(name for name in _listed(locale, "cities") if not any(sign.isdigit() for sign in name))
    return listed or tuple(f"{name}{ending}" for name in names_of(locale).last[:500] for ending in _ENDINGS if " " not in name)


def _listed(locale: str, attribute: str) -> tuple[str, ...]:
    require("faker")
    try:
        names = getattr(importlib.import_module(f"faker.providers.address.{locale}").Provider, attribute, ())
    except ModuleNotFoundError:
        return ()
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, (list, tuple)) else ()
