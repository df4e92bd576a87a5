"""Names that anyone may use: the lists that Faker ships, by locale and sex.

Lists are public and belong to nobody. Names that cannot be written in Latin letters are left out, and Faker's weights are not
used: a frequent name would say less about an invented person, not more.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from privsynth.errors import PIIError
from privsynth.pii.recognizers import fold
from privsynth.registry import hint, require

LOCALES: Mapping[str, str] = {
    "de": "de_DE",
    "en": "en_US",
    "es": "es_ES",
    "fr": "fr_FR",
    "it": "it_IT",
    "nl": "nl_NL",
    "pt": "pt_PT",
    "pl": "pl_PL",
    "da": "da_DK",
    "sv": "sv_SE",
    "no": "no_NO",
    "fi": "fi_FI",
}
"""Locale that a bare language stands for."""

_TRANSLITERATED = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})


def require_locales(locale: str | Sequence[str]) -> tuple[str, ...]:
    """Whole locale names for what a person wrote ("de", "de_CH").

    Raises:
        PIIError: A locale is unknown or has no list of names.
    """
    names = tuple(LOCALES.get(name, name) for name in ([locale] if isinstance(locale, str) else locale))
    if not names:
        raise PIIError("locale is empty; expected a Faker locale such as de_CH")
    for name in names:
        if not re.fullmatch(r"[a-z]{2}_[A-Z]{2}", name) or not (listed := names_of(name)).last or not listed.first["any"]:
            known = f"one of {', '.join(LOCALES)}{hint(name, LOCALES.values())}"
            raise PIIError(f"locale={name!r} has no list of names; expected a Faker locale such as de_CH, or {known}")
    return names


@dataclass(frozen=True)
class NameLists:
    """Names of one locale; first names by sex ("female", "male", "any")."""

    first: Mapping[str, tuple[str, ...]]
    last: tuple[str, ...]


@lru_cache(maxsize=64)
def names_of(locale: str) -> NameLists:
    """The lists of a locale; empty ones if Faker has none."""
    require("faker")
    try:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    except ModuleNotFoundError:
        # A country without lists of its own (en_CA) takes the names of its language.
        fallback = LOCALES.get(locale[:2], locale)
        return NameLists({"any": ()}, ()) if fallback == locale else names_of(fallback)
    female, male = _listed(provider, "first_names_female"), _listed(provider, "first_names_male")
    everyone = _listed(provider, "first_names") or tuple(dict.fromkeys(female + male))
    last = _listed(provider, "last_names") or _listed(provider, "last_names_male")
    return NameLists({"female": female or everyone, "male": male or everyone, "any": everyone}, last)


def _listed(provider: Any, attribute: str) -> tuple[str, ...]:
    """Names of a list that can be written in Latin letters; Faker's weights are not used."""
    names = getattr(provider, attribute, ())
    if not isinstance(names, (list, tuple, dict, set)):
        return ()
    return tuple(dict.fromkeys(name for name in names if ascii_letters(name)))


def ascii_letters(text: str) -> str:
    """The letters a to z of a name, accents removed and ligatures spelled out.

    >>> ascii_letters("Weiß-Müller")
    'weissmuller'
    """
    return re.sub(r"[^a-z]", "", fold(text).translate(_TRANSLITERATED))
