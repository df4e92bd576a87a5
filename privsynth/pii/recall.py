"""How much does the detector find in *these* texts? Measured by hiding things in a copy of them.

A published recall was measured on somebody else's texts. Here values of known types are planted into copies of the user's own:
each into one text, at a random end of a sentence, in a short clause that names no type. What share of them is touched, and what share
masked whole, is a binomial proportion with an exact interval (Clopper & Pearson 1934). Names are planted in two kinds: such as stand
on the detector's own lists, and made-up ones that stand on no list and are recognized by their looks and neighbours alone. Real
names lie between the two.

Where a table has a column of names beside its texts, there is a second figure that needs no planting: of the mentions of a row's own
name in its own text, the share that is found without knowing the row.

Planted numbers are valid ones, not those of ``ranges``: a detector that checks digits would rightly pass over an impossible number.
Copies with them are measured and thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privsynth.errors import PIIError
from privsynth.pii.detect import Span
from privsynth.pii.identifiers import NATIONAL_IDS
from privsynth.pii.names import ascii_letters, names_of, require_locales
from privsynth.pii.propagation import KnownNames
from privsynth.pii.ranges import NATIONAL_IDS_OF
from privsynth.pii.recognizers import fold, name_lists
from privsynth.pii.surrogates import regenerate
from privsynth.pii.text import find
from privsynth.registry import require

LISTED, UNLISTED, OWN = "names on the detector's lists", "names on no list", "mentions of the row's own name"

PLANTED_TYPES = (
    "PERSON",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "IBAN_CODE",
    "CREDIT_CARD",
    "NATIONAL_ID",
    "STREET_ADDRESS",
    "IP_ADDRESS",
    "URL",
)
"""Types that can be planted."""

PLANTED = 100
"""Values of each kind that are planted by default: the interval is then at most 0.2 wide."""

CLAUSES: Mapping[str, tuple[str, ...]] = {
    "en": ("Spoke with {}.", "{} as agreed.", "See {} for this.", "Then {} again.", "- {}", "Noted: {}", "cc {}"),
    "de": ("Heute {} wie besprochen.", "Siehe {}.", "Danach wieder {}.", "- {}", "Notiert: {}"),
    "fr": ("Vu avec {}.", "Voir {}.", "Ensuite {} encore.", "- {}", "Noté : {}"),
    "": ("{}", "- {}", "({})"),
}
"""Clauses around a planted value, by language; other languages take the last ones, which have no words."""

_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, kw_only=True)
class Recall:
    """How much of one kind was found.

    Attributes:
        entity: Type of personal data.
        kind: Which names, for PERSON; empty otherwise.
        planted: How many were hidden, or stand in the texts.
        touched: Those of which at least one character was found.
        masked: Those of which every letter and digit was found.
        interval: Of the share masked, exact.
        confidence: Of the interval.
    """

    entity: str
    kind: str
    planted: int
    touched: int
    masked: int
    interval: tuple[float, float]
    confidence: float

    @property
    def share(self) -> float:
        """Share masked whole."""
        return self.masked / self.planted


def measure_recall(
    texts: Sequence[str],
    *,
    rng: np.random.Generator,
    types: Sequence[str] = PLANTED_TYPES,
    language: str = "en",
    model: str | None = None,
    locale: str | Sequence[str] = "en",
    planted: int = PLANTED,
    confidence: float = 0.95,
) -> tuple[Recall, ...]:
    """Recall on values planted into copies of some texts, by type.

    Args:
        texts: The user's texts, one or more; they are not changed.
        rng: Draws texts, places, clauses and values.
        types: Of ``PLANTED_TYPES``.
        language: Of the texts.
        model: Which model looks for names, as ``text.find`` takes it.
        locale: Of the planted names, streets and numbers.
        planted: Values of each kind, 1 or more.
        confidence: Of the intervals.

    Returns:
        One entry for each type, two for names. A type that no valid value is known of for the locale's country is left out.

    Raises:
        PIIError: There are no texts, or a type cannot be planted.
    """
    unknown = [entity for entity in types if entity not in PLANTED_TYPES]
    if unknown or not any(text.strip() for text in texts):
        what = f"type {unknown[0]!r} cannot be planted" if unknown else "there is no text to plant in"
        raise PIIError(f"{what}; expected texts, and types of {', '.join(PLANTED_TYPES)}")
    hosts = [text for text in texts if text.strip()]
    locales = require_locales(locale)
    kinds: list[tuple[str, str, list[str]]] = []
    for entity in types:
        if entity == "PERSON":
            kinds += [(entity, LISTED, _listed_names(planted, locales, rng)), (entity, UNLISTED, _unlisted_names(planted, locales, rng))]
        else:
            kinds.append((entity, "", _values(entity, planted, locales, rng)))
    copies, places = [], []
    for _, _, values in kinds:
        for value in values:
            copy, start = _with_planted(hosts[int(rng.integers(len(hosts)))], value, language, rng)
            copies.append(copy)
            places.append((start, start + len(value)))
    found = find(copies, language=language, model=model)
    results, position = [], 0
    for entity, kind, values in kinds:
        here = slice(position, position + len(values))
        position += len(values)
        if values:
            results.append(_recall(entity, kind, copies[here], [[place] for place in places[here]], found[here], confidence))
    return tuple(results)


def own_name_recall(
    texts: Sequence[str],
    names: Sequence[Iterable[str]],
    *,
    language: str = "en",
    model: str | None = None,
    confidence: float = 0.95,
) -> Recall | None:
    """Of the mentions of each row's own name in its own text, how many are found by a detector that does not know the row.

    Args:
        texts: The user's texts.
        names: For each text the names in its own row.
        language: Of the texts.
        model: Which model looks for names, as ``text.find`` takes it.
        confidence: Of the interval.

    Returns:
        None if no text mentions its own row's name.
    """
    mentions = [
        [(mention.start, mention.end) for mention in KnownNames.of(own, language=language).find(text)]
        for text, own in zip(texts, names, strict=True)
    ]
    if not any(mentions):
        return None
    return _recall("PERSON", OWN, texts, mentions, find(texts, language=language, model=model), confidence)


def _recall(
    entity: str,
    kind: str,
    texts: Sequence[str],
    places: Sequence[Sequence[tuple[int, int]]],
    found: Sequence[Sequence[Span]],
    confidence: float,
) -> Recall:
    binomtest: Any = require("scipy.stats").binomtest
    touched = masked = planted = 0
    for text, stretches, spans in zip(texts, places, found, strict=True):
        covered = {i for span in spans for i in range(span.start, span.end)}
        for start, end in stretches:
            letters = {i for i in range(start, end) if text[i].isalnum()}
            planted += 1
            touched += bool(letters & covered)
            masked += letters <= covered
    interval = binomtest(masked, planted).proportion_ci(confidence_level=confidence, method="exact")
    return Recall(
        entity=entity,
        kind=kind,
        planted=planted,
        touched=touched,
        masked=masked,
        interval=(float(interval.low), float(interval.high)),
        confidence=confidence,
    )


def _with_planted(text: str, value: str, language: str, rng: np.random.Generator) -> tuple[str, int]:
    """A copy of a text with a clause that holds the value, and where the value begins."""
    clauses = CLAUSES.get(language, CLAUSES[""])
    clause = clauses[int(rng.integers(len(clauses)))]
    ends = [0, *(match.end() for match in _END_OF_SENTENCE.finditer(text)), len(text)]
    place = ends[int(rng.integers(len(ends)))]
    before, after = text[:place], text[place:]
    lead = before if not before or before[-1].isspace() else before + " "
    start = len(lead) + clause.index("{}")
    return f"{lead}{clause.format(value)}{' ' if after and not after[0].isspace() else ''}{after}", start


def _listed_names(count: int, locales: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [str(name) for name in regenerate(count, {"name": "PERSON"}, rng=rng, locale=list(locales))["name"]]


def _unlisted_names(count: int, locales: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Names made of the beginning of one listed name and the end of another, that stand on no list themselves."""
    first, last = name_lists()
    listed = first | last

    def made_up(names: Sequence[str]) -> str:
        while True:
            one, two = (names[int(i)] for i in rng.integers(len(names), size=2))
            name = one[: max(2, len(one) // 2)] + two[len(two) // 2 :].lower()
            if name.isalpha() and len(name) > 3 and fold(name) not in listed and ascii_letters(name) not in listed:
                return name

    drawn = []
    for _ in range(count):
        lists = names_of(locales[int(rng.integers(len(locales)))])
        drawn.append(f"{made_up(lists.first['any'])} {made_up(lists.last)}")
    return drawn


def _values(entity: str, count: int, locales: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Valid values of a type; none if no valid one is known for the first locale's country."""
    country = locales[0][3:]
    makers: Mapping[str, Callable[[], str | None]] = {
        "NATIONAL_ID": lambda: _national_id(country, rng),
        "CREDIT_CARD": lambda: _card(rng),
        "PHONE_NUMBER": lambda: _phone(country, rng),
    }
    if entity in makers:
        drawn = [makers[entity]() for _ in range(count)]
        return [value for value in drawn if value is not None]
    return [str(value) for value in regenerate(count, {"value": entity}, rng=rng, locale=list(locales))["value"]]


def _national_id(country: str, rng: np.random.Generator) -> str | None:
    """A number of the country's form that passes its check."""
    rules = [rule for rule in NATIONAL_IDS if rule.country == country]
    if country not in NATIONAL_IDS_OF or not rules:
        return None
    form = NATIONAL_IDS_OF[country](rng)
    for attempt in range(5000):
        # The last digits first: the first ones may say the country, or a day.
        fixed = len(form) - 5 if attempt < 1000 else 0
        value = form[:fixed] + re.sub(r"\d", lambda _: str(rng.integers(10)), form[fixed:])
        if any(rule.is_written(value) or rule.is_plain(value) for rule in rules):
            return value
    return None


def _card(rng: np.random.Generator) -> str:
    payload = "4" + "".join(map(str, rng.integers(10, size=14)))
    number = payload + str(require("stdnum.luhn").calc_check_digit(payload))
    return " ".join(re.findall("....", number)) if rng.random() < 0.5 else number


def _phone(country: str, rng: np.random.Generator) -> str | None:
    """A possible number of the country, written nationally or internationally."""
    phonenumbers: Any = require("phonenumbers")
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        return None
    form = phonenumbers.PhoneNumberFormat.INTERNATIONAL if rng.random() < 0.5 else phonenumbers.PhoneNumberFormat.NATIONAL
    for _ in range(200):
        digits = str(example.national_number)
        changed = digits[:-5] + "".join(map(str, rng.integers(10, size=5)))
        number = phonenumbers.PhoneNumber(country_code=example.country_code, national_number=int(changed))
        if phonenumbers.is_valid_number(number):
            return str(phonenumbers.format_number(number, form))
    return None
