"""Invented people for columns that were dropped before training.

Names are drawn from the lists that Faker ships; nothing is derived from any real person. Everything that could
reach or identify somebody is taken from a range in which nobody lives: numbers as ``ranges`` says, e-mail and web addresses from
example.com, .org, .net (RFC 2606), IP addresses from the documentation blocks of RFC 5737.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import PIIError
from privsynth.pii.headers import header_tokens, name_part
from privsynth.pii.names import ascii_letters, names_of, require_locales
from privsynth.pii.ranges import (
    IBAN_FORMS,
    IBAN_LENDERS,
    NATIONAL_ID_RULES,
    NATIONAL_IDS_OF,
    PHONE_RANGES,
    Strings,
    card_numbers,
    distinct,
    filled,
    ibans_of,
    pick,
)
from privsynth.pii.recognizers import fold
from privsynth.registry import hint

TYPES = (
    "PERSON",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "IBAN_CODE",
    "NATIONAL_ID",
    "STREET_ADDRESS",
    "CREDIT_CARD",
    "IP_ADDRESS",
    "URL",
    "USERNAME",
    "DATE_OF_BIRTH",
    "ID",
)
"""Types that can be regenerated."""

_MAIL_DOMAINS = ("example.com", "example.org", "example.net")
_DOCUMENTATION_BLOCKS = ("192.0.2.", "198.51.100.", "203.0.113.")
STREET_FORMS: Mapping[str, tuple[str, ...]] = {
    "en": ("{n} {last} Street", "{n} {last} Road", "{n} {last} Avenue", "{n} {last} Lane"),
    "de": ("{last}strasse {n}", "{last}weg {n}", "{last}gasse {n}"),
    "fr": ("{n}, rue {first} {last}", "{n}, avenue {first} {last}", "{n}, chemin {last}"),
    "it": ("Via {first} {last}, {n}", "Corso {last}, {n}", "Viale {first} {last}, {n}"),
    "es": ("Calle {first} {last}, {n}", "Avenida {last}, {n}"),
    "nl": ("{last}straat {n}", "{last}laan {n}"),
    "pt": ("Rua {first} {last}, {n}", "Avenida {first} {last}, {n}"),
}


@dataclass(frozen=True, kw_only=True)
class _People:
    """Synthetic people: names, and the locale of each, arrays of shape (n,)."""

    first: Strings
    last: Strings
    handle: Strings
    locale: Strings

    @property
    def country(self) -> Strings:
        return np.array([name[3:] for name in self.locale], dtype=object)


def regenerate(
    n: int, columns: Mapping[str, str], *, rng: np.random.Generator, locale: str | Sequence[str] = "en", given: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Invent the columns of personal data of ``n`` people.

    A row is one person: the parts of the name, the e-mail address, the user name and the web address agree, and
    telephone, IBAN, street and national identifier have the form of the person's country.

    Args:
        n: Number of people, 0 or more.
        columns: Type of personal data by column name; the header decides which part of a name is meant.
        rng: Draws everything; the values protect nobody, so that a seeded generator is fine.
        locale: Faker locale ("de_CH") or language ("de"); of several each person gets one.
        given: The other columns of the same people, n rows. A column that tells the sex picks the first name. Place
            columns stay what they are: only streets are invented.

    Returns:
        Frame of shape (n, len(columns)), strings; DATE_OF_BIRTH as datetime64[s]. E-mail addresses, user names,
        cards, IBANs and IDs are distinct; national identifiers nearly always are.

    Raises:
        PIIError: A type or locale is unknown, a country has no rule for a type, or ``given`` has another length.
    """
    _check(n, columns, given)
    people = _invent_people(n, require_locales(locale), _sexes(n, given), rng)
    invented = {column: _INVENTORS[entity](people, column, rng) for column, entity in columns.items()}
    return pd.DataFrame(invented, index=pd.RangeIndex(n))


def require_regenerable(columns: Mapping[str, str], *, locale: str | Sequence[str] = "en") -> None:
    """Refuse, before anything is spent, columns that ``regenerate`` could not invent for some locale.

    Raises:
        PIIError: A type or locale is unknown, or a country has no rule for a type.
    """
    for name in require_locales(locale):
        regenerate(1, columns, rng=np.random.default_rng(0), locale=name)


def _check(n: int, columns: Mapping[str, str], given: pd.DataFrame | None) -> None:
    for column, entity in columns.items():
        if entity not in TYPES:
            advice = '; free text belongs to the text synthesizer, or set text = "drop"' if entity == "FREE_TEXT" else hint(entity, TYPES)
            raise PIIError(f"type {entity!r} of column {column!r} cannot be regenerated; expected one of {', '.join(TYPES)}{advice}")
    if n < 0 or (given is not None and len(given) != n):
        rows = "none" if given is None else len(given)
        raise PIIError(f"n={n!r} with {rows} given rows; expected n of 0 or more, and as many given rows")


def _sexes(n: int, given: pd.DataFrame | None) -> Strings:
    """The sex of each person as "female", "male" or "any", read from a given column that tells the sex."""
    sexes = np.full(n, "any", dtype=object)
    if given is None:
        return sexes
    for position, name in enumerate(given.columns):
        if set(header_tokens(str(name))) & {"sex", "gender", "geschlecht", "sexe", "sexo", "sesso", "geslacht"}:
            words = given.iloc[:, position].astype(object).map(lambda cell: fold(str(cell).strip())).to_numpy(dtype=object)
            sexes[
                np.isin(
                    words,
                    ["f", "female", "w", "weiblich", "woman", "femme", "feminin", "mujer", "femenino", "femminile", "vrouw", "feminino"],
                )
            ] = "female"
            sexes[np.isin(words, ["m", "male", "mannlich", "man", "homme", "masculin", "hombre", "masculino", "maschile"])] = "male"
            break
    return sexes


def _invent_people(n: int, locales: tuple[str, ...], sexes: Strings, rng: np.random.Generator) -> _People:
    locale = pick(locales, n, rng)
    first, last = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
    for name in locales:
        lists = names_of(name)
        for sex, names in lists.first.items():
            where = np.flatnonzero((locale == name) & (sexes == sex))
            first[where] = pick(names, len(where), rng)
        where = np.flatnonzero(locale == name)
        last[where] = pick(lists.last, len(where), rng)
    return _People(first=first, last=last, handle=_handles(first, last), locale=locale)


def _handles(first: Strings, last: Strings) -> Strings:
    """Distinct "anna.muller", "anna.muller2", …: local parts of addresses, user names, ends of web addresses."""
    ascii_of = {name: ascii_letters(name) for name in {*first, *last}}
    counts: dict[str, int] = {}
    handles = np.full(len(first), "", dtype=object)
    for i, (given, family) in enumerate(zip(first, last, strict=True)):
        base = f"{ascii_of[given]}.{ascii_of[family]}"
        counts[base] = counts.get(base, 0) + 1
        # A base holds no digit, so that base + number cannot be another person's base.
        handles[i] = base if counts[base] == 1 else f"{base}{counts[base]}"
    return handles


def _names(people: _People, column: str, rng: np.random.Generator) -> Strings:
    part = name_part(column)
    if part == "full":
        return np.asarray(people.first + " " + people.last, dtype=object)
    return people.first if part == "first" else people.last


def _emails(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return np.asarray(people.handle + "@" + pick(_MAIL_DOMAINS, len(people.handle), rng), dtype=object)


def _usernames(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return np.array([handle.replace(".", "_") for handle in people.handle], dtype=object)


def _urls(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return np.array([f"https://www.example.org/{handle}" for handle in people.handle], dtype=object)


def _ip_addresses(people: _People, column: str, rng: np.random.Generator) -> Strings:
    blocks, hosts = pick(_DOCUMENTATION_BLOCKS, len(people.handle), rng), rng.integers(1, 255, size=len(people.handle))
    return np.array([f"{block}{host}" for block, host in zip(blocks, hosts, strict=True)], dtype=object)


def _births(people: _People, column: str, rng: np.random.Generator) -> npt.NDArray[np.datetime64]:
    """Days of 1940 to 2004, uniform: the age of nobody in particular."""
    low, high = np.datetime64("1940-01-01", "D"), np.datetime64("2005-01-01", "D")
    days = rng.integers(0, int((high - low).astype(int)), size=len(people.handle))
    return (low + days.astype("timedelta64[D]")).astype("datetime64[s]")


def _streets(people: _People, column: str, rng: np.random.Generator) -> Strings:
    """Streets named after people of the same lists, other than the one who lives there."""
    streets = np.full(len(people.handle), "", dtype=object)
    for locale in dict.fromkeys(people.locale):
        where = np.flatnonzero(people.locale == locale)
        lists, count = names_of(locale), len(where)
        forms = pick(STREET_FORMS.get(locale[:2], ("{last} {n}",)), count, rng)
        parts = zip(
            forms, pick(lists.first["any"], count, rng), pick(lists.last, count, rng), rng.integers(1, 200, size=count), strict=True
        )
        streets[where] = [form.format(first=first, last=last, n=number) for form, first, last, number in parts]
    return streets


def _phones(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return _by_country(
        people, column, "PHONE_NUMBER", PHONE_RANGES, lambda country, count: filled(pick(PHONE_RANGES[country], count, rng), rng)
    )


def _by_country(
    people: _People, column: str, entity: str, known: Mapping[str, object], invent: Callable[[str, int], Sequence[str] | Strings]
) -> Strings:
    values = np.full(len(people.handle), "", dtype=object)
    countries = people.country
    for country in dict.fromkeys(countries):
        if country not in known:
            countries_known = ", ".join(sorted(known))
            raise PIIError(
                f"column {column!r}: no range of {entity} that belongs to nobody is known for {country}; "
                f"expected a locale of {countries_known}"
            )
        where = np.flatnonzero(countries == country)
        values[where] = invent(country, len(where))
    return values


def _ibans(people: _People, column: str, rng: np.random.Generator) -> Strings:
    # Countries without IBANs get the form of one that has them.
    country_of = {name: IBAN_LENDERS.get(name[3:], name[3:]) for name in people.locale}
    lenders = replace(people, locale=np.array([f"xx_{country_of[name]}" for name in people.locale], dtype=object))
    return _by_country(lenders, column, "IBAN_CODE", IBAN_FORMS, lambda country, count: ibans_of(country, count, rng))


def _cards(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return card_numbers(len(people.handle), rng)


def _identifiers(people: _People, column: str, rng: np.random.Generator) -> Strings:
    """Keys "S" and twelve digits, distinct, in no order."""
    return distinct(
        len(people.handle), lambda count: np.array([f"S{number:012d}" for number in rng.integers(0, 10**12, size=count)], dtype=object)
    )


def _national_ids(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return _by_country(
        people, column, "NATIONAL_ID", NATIONAL_ID_RULES, lambda country, count: [NATIONAL_IDS_OF[country](rng) for _ in range(count)]
    )


_INVENTORS: Mapping[str, Callable[[_People, str, np.random.Generator], npt.NDArray[Any]]] = {
    "PERSON": _names,
    "EMAIL_ADDRESS": _emails,
    "PHONE_NUMBER": _phones,
    "IBAN_CODE": _ibans,
    "NATIONAL_ID": _national_ids,
    "STREET_ADDRESS": _streets,
    "CREDIT_CARD": _cards,
    "IP_ADDRESS": _ip_addresses,
    "URL": _urls,
    "USERNAME": _usernames,
    "DATE_OF_BIRTH": _births,
    "ID": _identifiers,
}
