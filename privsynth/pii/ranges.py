"""Numbers in the right form that belong to nobody: telephones, accounts, cards, national identifiers.

* telephone numbers: ``PHONE_RANGES``, set aside for fiction by the regulator where there is such a range, otherwise
  outside the national numbering plan (libphonenumber knows no valid number there);
* IBANs: right check digits, with a bank code that no registry issues (``UNASSIGNED_BANK``);
* payment cards: right Luhn digit, issuer number 9999: ISO/IEC 7812 gives 9 + ISO 3166 number to national bodies, and 999 is no country;
* national identifiers: ``NATIONAL_ID_RULES`` says for each country what makes a number impossible: a range that is never
  issued or, where none exists, a wrong check digit.

Ranges for fiction are small (100 to 900,000 numbers), so that telephone numbers may repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from privsynth.registry import require

Strings = npt.NDArray[np.object_]

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

IBAN_LENDERS: Mapping[str, str] = {"US": "GB", "CA": "GB"}
"""Countries without IBANs get the form of one that has them."""


def pick(choices: Sequence[str], n: int, rng: np.random.Generator) -> Strings:
    """``n`` of some strings, drawn with replacement."""
    return np.array(choices, dtype=object)[rng.integers(len(choices), size=n)]


def filled(forms: Strings, rng: np.random.Generator) -> Strings:
    """Each "#" replaced by a digit."""
    width = max((form.count("#") for form in forms), default=0)
    digits = rng.integers(0, 10, size=(len(forms), width)).astype("U1")
    filled = np.full(len(forms), "", dtype=object)
    for i, form in enumerate(forms):
        row = iter(digits[i])
        filled[i] = "".join(next(row) if character == "#" else character for character in form)
    return filled


def distinct(n: int, draw: Callable[[int], Strings]) -> Strings:
    """``n`` distinct values of a generator whose range is far larger than ``n``."""
    seen: dict[str, None] = {}
    while len(seen) < n:
        seen.update(dict.fromkeys(draw(n - len(seen))))
    return np.array(list(seen), dtype=object)


def card_numbers(n: int, rng: np.random.Generator) -> Strings:
    """``n`` distinct card numbers."""
    check = require("stdnum.luhn").calc_check_digit

    def draw(count: int) -> Strings:
        payloads = filled(np.full(count, "9999###########", dtype=object), rng)
        return np.array([payload + check(payload) for payload in payloads], dtype=object)

    return distinct(n, draw)


def ibans_of(country: str, n: int, rng: np.random.Generator) -> Strings:
    """``n`` distinct IBANs of one of the countries of ``IBAN_FORMS``."""
    return distinct(n, lambda missing: np.array([with_check_digits(country, bban) for bban in _bbans(country, missing, rng)], dtype=object))


def _bbans(country: str, count: int, rng: np.random.Generator) -> Strings:
    form = IBAN_FORMS[country]
    if country != "BE":
        return filled(np.full(count, form, dtype=object), rng)
    accounts = filled(np.full(count, f"{_belgian_bank()}#######", dtype=object), rng)
    return np.array([f"{account}{int(account) % 97 or 97:02d}" for account in accounts], dtype=object)


@lru_cache(maxsize=1)
def _belgian_bank() -> str:
    """The highest three-digit code that the National Bank's list, as python-stdnum ships it, does not hold."""
    banks = require("stdnum.numdb").get("be/banks")
    return next(code for code in map("{:03d}".format, range(999, 0, -1)) if not banks.info(code)[0][1])


def with_check_digits(country: str, bban: str) -> str:
    """A BBAN with its country and ISO 13616 check digits."""
    return f"{country}{98 - int(''.join(str(int(character, 36)) for character in f'{bban}{country}00')) % 97:02d}{bban}"


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


NATIONAL_IDS_OF: Mapping[str, Callable[[np.random.Generator], str]] = {
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
"""Draws an impossible national identifier, by country."""
