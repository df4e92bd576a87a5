"""Invented people for columns that were dropped before training, and the check that no real one came back.

Names are drawn from the lists that Faker ships; nothing is derived from any real person. Everything that could
reach or identify somebody is taken from a range in which nobody lives:

* e-mail and web addresses: example.com, .org, .net (RFC 2606); IP addresses: the documentation blocks of RFC 5737;
* telephone numbers: ``PHONE_RANGES``, set aside for fiction by the regulator where there is such a range, otherwise
  outside the national numbering plan (libphonenumber knows no valid number there);
* IBANs: right check digits, with a bank code that no registry issues (``UNASSIGNED_BANK``);
* payment cards: right Luhn digit, issuer number 9999: ISO/IEC 7812 gives 9 + ISO 3166 number to national bodies, and 999 is no country;
* national identifiers: ``NATIONAL_ID_RULES`` says for each country what makes a number impossible: a range that is never
  issued or, where none exists, a wrong check digit.

Ranges for fiction are small (100 to 900,000 numbers), so that telephone numbers may repeat.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import PIIError
from privsynth.pii.columns import header_tokens, name_part
from privsynth.pii.recognizers import fold
from privsynth.registry import hint, require

Strings = npt.NDArray[np.object_]

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

PHONE_RANGES: Mapping[str, tuple[str, ...]] = {
    # Set aside for fiction; "#" is a free digit. US and CA: NANPA, 555-0100 to 555-0199 of each area.
    "US": tuple(f"+1 {area}-555-01##" for area in (202, 206, 212, 303, 305, 312, 404, 415, 503, 512, 602, 612, 617, 702, 713, 808)),
    "CA": tuple(f"+1 {area}-555-01##" for area in (204, 306, 403, 416, 506, 514, 604, 613, 902)),
    "GB": ("+44 7700 900###", "+44 20 7946 0###", "+44 1632 960###"),  # Ofcom, numbers for use in TV and radio drama
    "DE": (
        "+49 30 23125###",
        "+49 69 90009###",
        "+49 40 66969###",
        "+49 221 4710###",
        "+49 89 99998###",
    ),  # Bundesnetzagentur, Mitteilung 148/2021
    "FR": (
        "+33 6 39 98 ## ##",
        "+33 1 99 00 ## ##",
        "+33 2 61 91 ## ##",
        "+33 3 53 01 ## ##",
        "+33 4 65 71 ## ##",
        "+33 5 36 49 ## ##",
    ),  # ARCEP, numéros fictifs
    "SE": ("+46 70 174 06 9#", "+46 31 390 06 ##"),  # PTS, telefonnummer för böcker och filmer
    # Outside the national numbering plan.
    "AT": ("+43 99 ### ## ###",),
    "BE": ("+32 11# ## ## ##",),
    "BR": ("+55 20 9####-####",),
    "CH": ("+41 98 ### ## ##",),
    "DK": ("+45 95 ## ## ##",),
    "ES": ("+34 499 ## ## ##",),
    "FI": ("+358 99 ### ####",),
    "IT": ("+39 499 ### ####",),
    "NL": ("+31 99 ### ####",),
    "NO": ("+47 19 ## ## ##",),
    "PL": ("+48 99# ### ###",),
    "PT": ("+351 59# ### ###",),
}

IBAN_FORMS: Mapping[str, str] = {
    # BBAN by country (SWIFT IBAN registry): fixed bank part, then "#" for a free digit of the account.
    "AT": "99999###########",
    "BE": "",
    "BR": "99999999" + "#" * 15 + "C1",
    "CH": "00000############",
    "DE": "00000000##########",
    "DK": "0000##########",
    "ES": "00000000############",
    "FI": "000###########",
    "FR": "0000000000###########00",
    "GB": "ZZZZ000000########",
    "IT": "Z0000000000############",
    "NL": "ZZZZ##########",
    "NO": "0000#######",
    "PL": "00000000################",
    "PT": "00000000#############",
    "SE": "000#################",
}
UNASSIGNED_BANK = (
    "Bank codes are all zeros (letters: ZZZZ), which no registry issues: a German Bankleitzahl begins with 1 to 8, "
    "Swiss IIDs start at 100, ABI, entidad and code banque are never zero. Austria and Brazil use nines, because low "
    "numbers belong to the central bank and Banco do Brasil; Belgium uses a number that the National Bank's list does "
    "not hold. Check digits inside the national part are not computed."
)
"""Why no account can exist under the IBANs of ``IBAN_FORMS``."""

NATIONAL_ID_RULES: Mapping[str, str] = {
    "AT": "wrong check digit",
    "BE": "wrong check digits",
    "BR": "wrong check digits",
    "CH": "wrong check digit",
    "ES": "wrong check letter",
    "FR": "wrong key",
    "IT": "wrong check letter",
    "NL": "fails the eleven test",
    "NO": "wrong check digits",
    "PL": "wrong check digit",
    "PT": "wrong check digit",
    "SE": "wrong check digit",
    "DE": "begins with 0, which is never issued",
    "DK": "day 00: no such date (check digits are no proof, they were given up in 2007)",
    "FI": "individual number 900 to 999, never issued permanently",
    "GB": "National Insurance prefix QQ, never allocated",
    "US": "area 666, never assigned by the SSA",
}
"""What makes the national identifiers of each country impossible."""

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
_STREET_FORMS: Mapping[str, tuple[str, ...]] = {
    "en": ("{n} {last} Street", "{n} {last} Road", "{n} {last} Avenue", "{n} {last} Lane"),
    "de": ("{last}strasse {n}", "{last}weg {n}", "{last}gasse {n}"),
    "fr": ("{n}, rue {first} {last}", "{n}, avenue {first} {last}", "{n}, chemin {last}"),
    "it": ("Via {first} {last}, {n}", "Corso {last}, {n}", "Viale {first} {last}, {n}"),
    "es": ("Calle {first} {last}, {n}", "Avenida {last}, {n}"),
    "nl": ("{last}straat {n}", "{last}laan {n}"),
    "pt": ("Rua {first} {last}, {n}", "Avenida {first} {last}, {n}"),
}
_TRANSLITERATED = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})


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
    people = _invent_people(n, _locales(locale), _sexes(n, given), rng)
    invented = {column: _INVENTORS[entity](people, column, rng) for column, entity in columns.items()}
    return pd.DataFrame(invented, index=pd.RangeIndex(n))


def _check(n: int, columns: Mapping[str, str], given: pd.DataFrame | None) -> None:
    for column, entity in columns.items():
        if entity not in TYPES:
            advice = '; free text belongs to the text synthesizer, or set text = "drop"' if entity == "FREE_TEXT" else hint(entity, TYPES)
            raise PIIError(f"type {entity!r} of column {column!r} cannot be regenerated; expected one of {', '.join(TYPES)}{advice}")
    if n < 0 or (given is not None and len(given) != n):
        rows = "none" if given is None else len(given)
        raise PIIError(f"n={n!r} with {rows} given rows; expected n of 0 or more, and as many given rows")


def _locales(locale: str | Sequence[str]) -> tuple[str, ...]:
    names = tuple(LOCALES.get(name, name) for name in ([locale] if isinstance(locale, str) else locale))
    if not names:
        raise PIIError("locale is empty; expected a Faker locale such as de_CH")
    for name in names:
        if not re.fullmatch(r"[a-z]{2}_[A-Z]{2}", name) or not (listed := _name_lists(name)).last or not listed.first["any"]:
            known = f"one of {', '.join(LOCALES)}{hint(name, LOCALES.values())}"
            raise PIIError(f"locale={name!r} has no list of names; expected a Faker locale such as de_CH, or {known}")
    return names


@dataclass(frozen=True)
class _NameLists:
    """Names of one locale; first names by sex ("female", "male", "any")."""

    first: Mapping[str, tuple[str, ...]]
    last: tuple[str, ...]


@lru_cache(maxsize=64)
def _name_lists(locale: str) -> _NameLists:
    require("faker")
    try:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    except ModuleNotFoundError:
        # A country without lists of its own (en_CA) takes the names of its language.
        fallback = LOCALES.get(locale[:2], locale)
        return _NameLists({"any": ()}, ()) if fallback == locale else _name_lists(fallback)
    female, male = _listed(provider, "first_names_female"), _listed(provider, "first_names_male")
    everyone = _listed(provider, "first_names") or tuple(dict.fromkeys(female + male))
    last = _listed(provider, "last_names") or _listed(provider, "last_names_male")
    return _NameLists({"female": female or everyone, "male": male or everyone, "any": everyone}, last)


def _listed(provider: Any, attribute: str) -> tuple[str, ...]:
    """Names of a list that can be written in Latin letters; Faker's weights are not used."""
    names = getattr(provider, attribute, ())
    if not isinstance(names, (list, tuple, dict, set)):
        return ()
    return tuple(dict.fromkeys(name for name in names if _ascii(name)))


def _ascii(text: str) -> str:
    return re.sub(r"[^a-z]", "", fold(text).translate(_TRANSLITERATED))


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
    locale = _pick(locales, n, rng)
    first, last = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
    for name in locales:
        lists = _name_lists(name)
        for sex, names in lists.first.items():
            where = np.flatnonzero((locale == name) & (sexes == sex))
            first[where] = _pick(names, len(where), rng)
        where = np.flatnonzero(locale == name)
        last[where] = _pick(lists.last, len(where), rng)
    return _People(first=first, last=last, handle=_handles(first, last), locale=locale)


def _pick(choices: Sequence[str], n: int, rng: np.random.Generator) -> Strings:
    return np.array(choices, dtype=object)[rng.integers(len(choices), size=n)]


def _handles(first: Strings, last: Strings) -> Strings:
    """Distinct "anna.muller", "anna.muller2", …: local parts of addresses, user names, ends of web addresses."""
    ascii_of = {name: _ascii(name) for name in {*first, *last}}
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
    return np.asarray(people.handle + "@" + _pick(_MAIL_DOMAINS, len(people.handle), rng), dtype=object)


def _usernames(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return np.array([handle.replace(".", "_") for handle in people.handle], dtype=object)


def _urls(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return np.array([f"https://www.example.org/{handle}" for handle in people.handle], dtype=object)


def _ip_addresses(people: _People, column: str, rng: np.random.Generator) -> Strings:
    blocks, hosts = _pick(_DOCUMENTATION_BLOCKS, len(people.handle), rng), rng.integers(1, 255, size=len(people.handle))
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
        lists, count = _name_lists(locale), len(where)
        forms = _pick(_STREET_FORMS.get(locale[:2], ("{last} {n}",)), count, rng)
        parts = zip(
            forms, _pick(lists.first["any"], count, rng), _pick(lists.last, count, rng), rng.integers(1, 200, size=count), strict=True
        )
        streets[where] = [form.format(first=first, last=last, n=number) for form, first, last, number in parts]
    return streets


def _phones(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return _by_country(
        people, column, "PHONE_NUMBER", PHONE_RANGES, lambda country, count: _filled(_pick(PHONE_RANGES[country], count, rng), rng)
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


def _filled(forms: Strings, rng: np.random.Generator) -> Strings:
    """Each "#" replaced by a digit."""
    width = max((form.count("#") for form in forms), default=0)
    digits = rng.integers(0, 10, size=(len(forms), width)).astype("U1")
    filled = np.full(len(forms), "", dtype=object)
    for i, form in enumerate(forms):
        row = iter(digits[i])
        filled[i] = "".join(next(row) if character == "#" else character for character in form)
    return filled


def _distinct(n: int, draw: Callable[[int], Strings]) -> Strings:
    """``n`` distinct values of a generator whose range is far larger than ``n``."""
    seen: dict[str, None] = {}
    while len(seen) < n:
        seen.update(dict.fromkeys(draw(n - len(seen))))
    return np.array(list(seen), dtype=object)


def _ibans(people: _People, column: str, rng: np.random.Generator) -> Strings:
    def draw(country: str, count: int) -> Strings:
        return _distinct(count, lambda missing: np.array([_iban(country, bban) for bban in _bbans(country, missing, rng)], dtype=object))

    # Countries without IBANs (US, CA) get the form of one that has them.
    lenders = _People(
        first=people.first,
        last=people.last,
        handle=people.handle,
        locale=np.array([_IBAN_LENDER.get(name[3:], name) for name in people.locale], dtype=object),
    )
    return _by_country(lenders, column, "IBAN_CODE", IBAN_FORMS, draw)


_IBAN_LENDER: Mapping[str, str] = {"US": "en_GB", "CA": "en_GB"}


def _bbans(country: str, count: int, rng: np.random.Generator) -> Strings:
    form = IBAN_FORMS[country]
    if country != "BE":
        return _filled(np.full(count, form, dtype=object), rng)
    accounts = _filled(np.full(count, f"{_belgian_bank()}#######", dtype=object), rng)
    return np.array([f"{account}{int(account) % 97 or 97:02d}" for account in accounts], dtype=object)


@lru_cache(maxsize=1)
def _belgian_bank() -> str:
    """The highest three-digit code that the National Bank's list, as python-stdnum ships it, does not hold."""
    banks = require("stdnum.numdb").get("be/banks")
    return next(code for code in map("{:03d}".format, range(999, 0, -1)) if not banks.info(code)[0][1])


def _iban(country: str, bban: str) -> str:
    """A BBAN with its country and ISO 13616 check digits."""
    return f"{country}{98 - int(''.join(str(int(character, 36)) for character in f'{bban}{country}00')) % 97:02d}{bban}"


def _cards(people: _People, column: str, rng: np.random.Generator) -> Strings:
    check = require("stdnum.luhn").calc_check_digit

    def draw(count: int) -> Strings:
        payloads = _filled(np.full(count, "9999###########", dtype=object), rng)
        return np.array([payload + check(payload) for payload in payloads], dtype=object)

    return _distinct(len(people.handle), draw)


def _identifiers(people: _People, column: str, rng: np.random.Generator) -> Strings:
    """Keys "S" and twelve digits, distinct, in no order."""
    return _distinct(
        len(people.handle), lambda count: np.array([f"S{number:012d}" for number in rng.integers(0, 10**12, size=count)], dtype=object)
    )


def _national_ids(people: _People, column: str, rng: np.random.Generator) -> Strings:
    return _by_country(
        people, column, "NATIONAL_ID", NATIONAL_ID_RULES, lambda country, count: [_NATIONAL[country](rng) for _ in range(count)]
    )


def _digits(rng: np.random.Generator, count: int) -> str:
    return f"{int(rng.integers(10**count)):0{count}d}"


def _day(rng: np.random.Generator, form: str) -> str:
    """A day of 1940 to 1999 in a form of ``strftime``: numbers of those born from 2000 have other signs and offsets."""
    day = np.datetime64("1940-01-01", "D") + np.timedelta64(int(rng.integers(21_900)), "D")
    return str(day.astype(object).strftime(form))


def _wrong_digit(right: int | str, rng: np.random.Generator) -> str:
    """A digit other than the right one."""
    return str((int(right) + int(rng.integers(1, 10))) % 10)


def _wrong_pair(right: int | str, rng: np.random.Generator, modulus: int) -> str:
    """Two check digits other than the right ones: shifted modulo ``modulus``, and never congruent to them."""
    return f"{(int(right) + int(rng.integers(1, modulus - 1))) % modulus:02d}"


def _wrong_letter(right: str, letters: str, rng: np.random.Generator) -> str:
    return letters[(letters.index(right) + int(rng.integers(1, len(letters)))) % len(letters)]


def _at(rng: np.random.Generator) -> str:
    serial, birth = str(rng.integers(100, 1000)), _day(rng, "%d%m%y")
    return f"{serial}{_wrong_digit(int(require('stdnum.at.vnr').calc_check_digit(serial + '0' + birth)) % 10, rng)}{birth}"


def _be(rng: np.random.Generator) -> str:
    number = _day(rng, "%y%m%d") + f"{int(rng.integers(1, 998)):03d}"
    # Births from 2000 are checked with a 2 in front: keep clear of both sums.
    allowed = [pair for pair in range(1, 98) if pair not in (97 - int(number) % 97, 97 - int("2" + number) % 97)]
    return f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:]}.{allowed[int(rng.integers(len(allowed)))]:02d}"


def _br(rng: np.random.Generator) -> str:
    number = _digits(rng, 9)
    return f"{number[:3]}.{number[3:6]}.{number[6:]}-{_wrong_pair(require('stdnum.br.cpf')._calc_check_digits(number), rng, 100)}"


def _ch(rng: np.random.Generator) -> str:
    number = "756" + _digits(rng, 9)
    number += _wrong_digit(require("stdnum.ean").calc_check_digit(number), rng)
    return f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}"


def _de(rng: np.random.Generator) -> str:
    number = "0" + _digits(rng, 9)
    return number + str(require("stdnum.iso7064.mod_11_10").calc_check_digit(number))


def _dk(rng: np.random.Generator) -> str:
    return f"00{_day(rng, '%m%y')}-{_digits(rng, 4)}"


def _es(rng: np.random.Generator) -> str:
    number = _digits(rng, 8)
    return number + _wrong_letter(require("stdnum.es.dni").calc_check_digit(number), "TRWAGMYFPDXBNJZSQVHLCKE", rng)


def _fi(rng: np.random.Generator) -> str:
    birth, individual = _day(rng, "%d%m%y"), str(rng.integers(900, 1000))
    return f"{birth}-{individual}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(birth + individual) % 31]}"


def _fr(rng: np.random.Generator) -> str:
    department, commune, order = (int(rng.integers(low, high)) for low, high in ((21, 96), (1, 991), (1, 1000)))
    number = f"{rng.integers(1, 3)}{_day(rng, '%y%m')}{department:02d}{commune:03d}{order:03d}"
    key = require("stdnum.fr.nir").calc_check_digits(number)
    return number + f"{(int(key) - 1 + int(rng.integers(1, 97))) % 97 + 1:02d}"


def _gb(rng: np.random.Generator) -> str:
    return f"QQ {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)} {'ABCD'[int(rng.integers(4))]}"


def _it(rng: np.random.Generator) -> str:
    consonants = "BCDFGLMNPRSTVZ"
    letters = "".join(consonants[i] for i in rng.integers(len(consonants), size=6))
    year, month, day = _day(rng, "%y %m %d").split()
    place = f"{'ABCDEFGHIL'[int(rng.integers(10))]}{_digits(rng, 3)}"
    number = f"{letters}{year}{'ABCDEHLMPRST'[int(month) - 1]}{int(day) + 40 * int(rng.integers(2)):02d}{place}"
    return number + _wrong_letter(require("stdnum.it.codicefiscale").calc_check_digit(number), "ABCDEFGHIJKLMNOPQRSTUVWXYZ", rng)


def _nl(rng: np.random.Generator) -> str:
    number = _digits(rng, 8)
    weighted = sum((9 - i) * int(digit) for i, digit in enumerate(number)) % 11
    return number + (_wrong_digit(weighted, rng) if weighted < 10 else _digits(rng, 1))


def _no(rng: np.random.Generator) -> str:
    fodselsnummer = require("stdnum.no.fodselsnummer")
    while True:
        number = _day(rng, "%d%m%y") + f"{int(rng.integers(0, 500)):03d}"
        first = fodselsnummer.calc_check_digit1(number)
        if first != "-" and len(str(first)) == 1 and str(first).isdigit():
            return number + _wrong_digit(first, rng) + _digits(rng, 1)


def _pl(rng: np.random.Generator) -> str:
    number = _day(rng, "%y%m%d") + _digits(rng, 4)
    return number + _wrong_digit(require("stdnum.pl.pesel").calc_check_digit(number), rng)


def _pt(rng: np.random.Generator) -> str:
    number = f"{rng.integers(1, 3)}{_digits(rng, 7)}"
    return number + _wrong_digit(require("stdnum.pt.nif").calc_check_digit(number), rng)


def _se(rng: np.random.Generator) -> str:
    number = _day(rng, "%y%m%d") + _digits(rng, 3)
    return f"{number[:6]}-{number[6:]}{_wrong_digit(require('stdnum.luhn').calc_check_digit(number), rng)}"


def _us(rng: np.random.Generator) -> str:
    return f"666-{int(rng.integers(1, 100)):02d}-{int(rng.integers(1, 10_000)):04d}"


_NATIONAL: Mapping[str, Callable[[np.random.Generator], str]] = {
    "AT": _at,
    "BE": _be,
    "BR": _br,
    "CH": _ch,
    "DE": _de,
    "DK": _dk,
    "ES": _es,
    "FI": _fi,
    "FR": _fr,
    "GB": _gb,
    "IT": _it,
    "NL": _nl,
    "NO": _no,
    "PL": _pl,
    "PT": _pt,
    "SE": _se,
    "US": _us,
}

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


def pii_replay(original: pd.DataFrame, released: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, int]:
    """How many released cells equal a value of the original, by column.

    A value is compared with the original values of *all* columns of its type, exactly and normalised (case, blanks
    and signs removed; telephone numbers by their last nine digits, so that "079 123 45 67" equals "+41 79 123 45 67").
    The comparison errs towards a match. E-mail addresses, IBANs, cards, identifiers and telephone numbers must give
    0; names coincide by chance and are judged elsewhere against names that were never used.

    Args:
        original: The confidential frame.
        released: The frame to be released.
        columns: Type of personal data by column name.

    Returns:
        Number of released cells that match, by column.

    Raises:
        PIIError: A column is in neither frame, or missing from ``released``.
    """
    # The scan names columns as text, whatever the frame calls them.
    original, released = (
        original.set_axis(original.columns.map(str), axis="columns"),
        released.set_axis(released.columns.map(str), axis="columns"),
    )
    for column in columns:
        for frame, role in ((original, "original"), (released, "released")):
            if column not in frame.columns:
                raise PIIError(f"column {column!r} is not in the {role} frame; name only columns that both frames have")
    known: dict[str, set[str]] = {}
    for column, entity in columns.items():
        known.setdefault(entity, set()).update(_normalised(original[column], entity))
    return {column: sum(key in known[entity] for key in _normalised(released[column], entity)) for column, entity in columns.items()}


def _normalised(values: pd.Series[Any], entity: str) -> list[str]:
    """Keys of the non-null cells, for comparing."""
    keys = []
    for cell in values[~values.isna().to_numpy(dtype=bool)]:
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)  # 41791234567.0 in a column with nulls
        # Signs of an address carry meaning ("a.b@c", "a@b.c"); those of a number are only ways to write it.
        text = fold(str(cell))
        if entity == "PHONE_NUMBER":
            text = re.sub(r"\D", "", re.split(r"x|ext", text)[0])[-9:]
        else:
            text = re.sub(r"\s" if entity in ("EMAIL_ADDRESS", "URL", "IP_ADDRESS") else r"[\W_]", "", text)
        if text:
            keys.append(text)
    return keys
