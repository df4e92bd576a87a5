"""A keyed surrogate for every personal value, in the value's own form and where nobody can be reached by it.

| type | what is kept | where the surrogate comes from |
|---|---|---|
| names, e-mail addresses, user names | see ``name_words`` | public lists; domains under ``.example`` (RFC 2606) |
| telephone numbers | country, grouping | ``ranges.PHONE_RANGES``, elsewhere country code 999, which is assigned to nobody |
| IBANs, cards | country, grouping, valid check digits | unassigned banks, unassigned issuers (``ranges``) |
| national identifiers | country, grouping | ``ranges.NATIONAL_ID_RULES``, elsewhere digits that fail the country's check |
| identifiers, account and document numbers, postcodes | shape, distinctness | a keyed permutation of all codes of that shape |
| streets, places, organisations | form | names of public lists; countries stay |
| addresses in networks | family | RFC 5737, RFC 3849, ``.example`` |
| dates | form, intervals | shifted by one number of days for each person |
| ages | – | bands of five years, 90 and above as one |

Anything else becomes its type in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from privsynth.pii.dates_of_people import shifted
from privsynth.pii.generalise import age_band
from privsynth.pii.identifiers import NATIONAL_IDS
from privsynth.pii.keyed import Key
from privsynth.pii.name_words import NameWords
from privsynth.pii.names import names_of
from privsynth.pii.places import countries, towns
from privsynth.pii.ranges import IBAN_FORMS, NATIONAL_IDS_OF, PHONE_RANGES, with_check_digits
from privsynth.pii.recognizers import fold
from privsynth.pii.surrogates import STREET_FORMS
from privsynth.registry import require

KEPT = ("TITLE", "NRP")
"""Types that many people share and that stay."""

LENDER = "GB"
"""Whose form the IBANs of other countries get."""

_LEGAL_FORM = re.compile(
    r"\b(?:ltd|limited|inc|incorporated|llc|llp|plc|corp|corporation|co|company|gmbh|ag|kg|sa|sas|sarl|srl|spa|bv|nv|ab|oy|as|lda|group|holdings?"
    r"|bank|university|hospital|school|foundation|partners|associates|services|logistics|insurance)\b\.?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Pseudonyms:
    """Surrogates under one key.

    Attributes:
        key: Decides everything.
        locales: Faker locales in order of preference, one or more; the first one's country is that of national numbers.
        most_days: Dates are shifted by up to this many days, and by at least one; 0 leaves them as they are.
    """

    key: Key
    locales: tuple[str, ...] = ("en_US",)
    most_days: int = 182

    @cached_property
    def names(self) -> NameWords:
        """The words of names."""
        return NameWords(key=self.key, locales=self.locales)

    def of(self, entity: str, value: str, *, person: str = "", known: Iterable[str] = ()) -> str:
        """The surrogate of one value.

        Args:
            entity: Its type of personal data.
            value: As it stands in the cell or text.
            person: Whose value it is, for dates; values of nobody in particular are shifted together.
            known: Full names of the person or of the document's people, for initials and user names.
        """
        if entity in KEPT or not value.strip():
            return value
        if entity in ("PERSON", "FIRST_NAME", "LAST_NAME"):
            return self.names.name(value, known)
        if entity == "EMAIL_ADDRESS":
            return self.names.email(value, known)
        if entity == "USERNAME":
            return self.names.handle(value, known)
        if entity in ("DATE_TIME", "DATE_OF_BIRTH"):
            return shifted(value, self.days(person), month_first=self.locales[0].endswith("_US")) or f"<{entity}>"
        own = _OWN.get(entity)
        return own(self, value) if own else f"<{entity}>"

    def days(self, person: str) -> int:
        """By how many days the dates of a person move: never 0, unless nothing moves."""
        if not self.most_days:
            return 0
        drawn = self.key.number("days", person) % (2 * self.most_days)
        return drawn - self.most_days + (drawn >= self.most_days)

    def phone(self, value: str) -> str:
        """A telephone number of the same country and grouping; an extension is permuted."""
        number, *extension = re.split(r"(?=\s*(?:x|ext|#))", value, maxsplit=1)
        own = re.sub(r"\D", "", number)[-9:]  # "079 123 45 67" is "+41 79 123 45 67"
        code, subscriber = self._subscriber(_country_of(number, tuple(name[3:] for name in self.locales)), own)
        changed = _laid_out(number, code, subscriber)
        return changed + "".join(re.sub(r"\d+", lambda match: self.key.permuted(match.group(), "extension"), part) for part in extension)

    def _subscriber(self, country: str, own: str) -> tuple[str, str]:
        """Country code and national number of a surrogate."""
        ranges = PHONE_RANGES.get(country)
        if not ranges:
            return "999", self.key.digits(len(own), "phone", own)
        form = self.key.choice(ranges, "phone range", own)
        code, _, national = form.partition(" ")
        free = iter(self.key.digits(form.count("#"), "phone", own))
        return code.removeprefix("+"), "".join(next(free) if sign == "#" else sign for sign in national if sign.isdigit() or sign == "#")

    def iban(self, value: str) -> str:
        """An IBAN of the same country and grouping with valid check digits, at a bank that does not exist."""
        own = re.sub(r"[\W_]", "", value).upper()
        country = own[:2] if IBAN_FORMS.get(own[:2]) else LENDER
        free = iter(self.key.digits(IBAN_FORMS[country].count("#"), "iban", own))
        changed = with_check_digits(country, "".join(next(free) if sign == "#" else sign for sign in IBAN_FORMS[country]))
        return " ".join(re.findall(".{1,4}", changed)) if " " in value.strip() else changed

    def card(self, value: str) -> str:
        """A card number of the same length and grouping with a valid check digit, of an issuer that does not exist."""
        own = re.sub(r"\D", "", value)
        payload = "9999" + self.key.digits(max(len(own), 13) - 5, "card", own)
        changed = payload + str(require("stdnum.luhn").calc_check_digit(payload))
        return _refilled(value, changed) if len(own) == len(changed) else changed

    def national_id(self, value: str) -> str:
        """A national identifier of the same country that is never issued."""
        own = re.sub(r"[\W_]", "", value).upper()
        country = _country_of_id(value, tuple(name[3:] for name in self.locales))
        if country not in NATIONAL_IDS_OF:
            return self._failing(value, own)
        changed = NATIONAL_IDS_OF[country](self.key.generator("national id", own))
        plain = re.sub(r"[\W_]", "", changed)
        if own == re.sub(r"\s", "", value).upper():
            return plain
        return _refilled(value, plain) if own.isdigit() and plain.isdigit() and len(own) == len(plain) else changed

    def _failing(self, value: str, own: str) -> str:
        """The number with its digits exchanged until no country's check that knows this form lets it pass."""
        rules = [rule for rule in NATIONAL_IDS if rule.module and (rule.is_written(value) or rule.is_plain(value))]
        for attempt in range(1000):
            changed = self.key.permuted(value, "national id", own, str(attempt))
            if changed != value and not any(rule.is_written(changed) or rule.is_plain(changed) for rule in rules):
                return changed
        return "<NATIONAL_ID>"

    def identifier(self, value: str) -> str:
        """A code of the same shape; distinct codes stay distinct."""
        return self.key.permuted(value, "identifier")

    def street(self, value: str) -> str:
        """A street with a number; what follows the street is left out."""
        own = fold(re.sub(r"[\W_]+", " ", value)).strip()
        locale = self.key.choice(self.locales, "street locale", own)
        form = self.key.choice(STREET_FORMS.get(locale[:2], ("{last} {n}",)), "street form", own)
        lists = names_of(locale)
        return form.format(
            first=self.key.choice(lists.first["any"], "street first", own),
            last=self.key.choice(lists.last, "street last", own),
            n=self.key.number("street number", own) % 199 + 1,
        )

    def place(self, value: str) -> str:
        """Another town; countries stay: an area that large says little of one person."""
        own = fold(re.sub(r"[\W_]+", " ", value)).strip()
        if own in countries():
            return value
        changed = self.key.choice([town for locale in self.locales for town in towns(locale)], "place", own)
        return changed.upper() if value.isupper() else changed.lower() if value.islower() else changed

    def organisation(self, value: str) -> str:
        """A company named after a person of the lists, with the same legal form."""
        form = _LEGAL_FORM.search(value)
        own = fold(re.sub(r"[\W_]+", " ", value[: form.start()] if form else value)).strip()
        name = self.key.choice(names_of(self.locales[0]).last, "organisation", own)
        other = self.key.choice(names_of(self.locales[0]).last, "organisation 2", own)
        changed = f"{name} {form.group()}" if form else f"{name} {other}"
        return changed.lower() if value.islower() else changed

    def url(self, value: str) -> str:
        """An address under ``.example``; its path, which may name people, becomes a code."""
        match = re.match(r"(?P<scheme>[a-z]+://)?(?P<www>www\.)?(?P<host>[^/?#:]+)(?P<rest>.*)", value, re.IGNORECASE | re.DOTALL)
        if match is None:
            return "<URL>"
        rest = f"/{self.key.number('url', value):064x}"[:9] if match["rest"].strip("/") else match["rest"]
        return f"{match['scheme'] or ''}{match['www'] or ''}{self.names.domain(match['host'])}{rest}"

    def ip_address(self, value: str) -> str:
        """An address of the documentation blocks."""
        drawn = self.key.number("ip", value.lower())
        if ":" in value:
            return f"2001:db8::{drawn % 2**16:x}:{drawn // 2**16 % 2**16:x}"
        return ("192.0.2.", "198.51.100.", "203.0.113.")[drawn % 3] + str(drawn // 3 % 254 + 1)


_OWN: Mapping[str, Callable[[Pseudonyms, str], str]] = {
    "PHONE_NUMBER": Pseudonyms.phone,
    "IBAN_CODE": Pseudonyms.iban,
    "CREDIT_CARD": Pseudonyms.card,
    "NATIONAL_ID": Pseudonyms.national_id,
    **dict.fromkeys(("ID", "POSTCODE", "BANK_ACCOUNT", "PASSPORT", "DRIVER_LICENSE", "MAC_ADDRESS"), Pseudonyms.identifier),
    "STREET_ADDRESS": Pseudonyms.street,
    "LOCATION": Pseudonyms.place,
    "ORGANIZATION": Pseudonyms.organisation,
    "URL": Pseudonyms.url,
    "IP_ADDRESS": Pseudonyms.ip_address,
    "AGE": lambda self, value: age_band(value),
}


def _refilled(value: str, characters: str) -> str:
    """A value with other letters and digits in the places of its own."""
    fresh = iter(characters)
    return "".join(next(fresh) if sign.isalnum() else sign for sign in value)


def _laid_out(number: str, code: str, subscriber: str) -> str:
    """A telephone number in the grouping of another where its digits fit, plainly grouped otherwise."""
    digits = re.sub(r"\D", "", number)
    prefix = re.match(r"\s*\(?(?:\+|00)", number)
    if prefix:
        lead = "00" if "00" in prefix.group() else ""
        international = lead + code + subscriber
        if len(international) == len(digits):
            return _refilled(number, international)
        return f"{lead or '+'}{code} {_grouped(subscriber)}"
    for national in (subscriber, "0" + subscriber):
        if len(national) == len(digits):
            return _refilled(number, national)
    return _grouped("0" + subscriber if digits.startswith("0") else subscriber)


def _grouped(digits: str) -> str:
    return " ".join(re.findall(r"\d{1,3}(?=(?:\d{2})*$)|\d{2}", digits)) if len(digits) > 4 else digits


@lru_cache(maxsize=100_000)
def _country_of(number: str, preferred: tuple[str, ...]) -> str:
    """The country that a telephone number belongs to: its own code, else the first preferred one in which it is possible."""
    phonenumbers: Any = require("phonenumbers")
    number = re.sub(r"^\s*\(?00", "+", number)
    for region in (None,) if number.lstrip(" (").startswith("+") else preferred:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if region is None:
            regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code, ())
            found = phonenumbers.region_code_for_number(parsed)
            return found or next((own for own in preferred if own in regions), regions[0] if regions else "")
        if phonenumbers.is_possible_number(parsed):
            return region
    return preferred[0]


def _country_of_id(value: str, preferred: tuple[str, ...]) -> str:
    """The country whose form a national identifier has: the preferred ones are asked first, and written forms before plain digits."""
    rules = sorted(NATIONAL_IDS, key=lambda rule: preferred.index(rule.country) if rule.country in preferred else len(preferred))
    written = next((rule.country for rule in rules if rule.is_written(value)), None)
    return written or next((rule.country for rule in rules if rule.is_plain(value)), preferred[0])
