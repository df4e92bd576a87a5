"""Typed slots: what stands in a text for a personal value while a language model learns from it, and how slots are filled again.

A model must not see personal values, and text with holes is no text. So every span becomes a slot (``<PERSON>``), which the model
learns to place like a word, and after sampling each slot is filled from the synthetic person of the row: the name in a note
is the name in the table. What the row does not hold is invented.

Slots are put in by the person's own rows and by public lists, patterns and models only; each text is read by itself. So one
person's record changes the stripped texts of one person, which is what a guarantee for one person needs. No surrogate of a real value
is ever put in: a slot holds nothing but its type.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import PIIError
from privsynth.pii.detect import Span
from privsynth.pii.gazetteer import WORD
from privsynth.pii.headers import name_part
from privsynth.pii.names import names_of, require_locales
from privsynth.pii.places import towns
from privsynth.pii.propagation import KnownNames
from privsynth.pii.recognizers import fold, name_lists
from privsynth.pii.surrogates import TYPES, regenerate
from privsynth.pii.text import OwnValues, find

OTHER_PERSON = "SLOT_1"
"""Slot of a person who is not the row's own."""

SLOTS = (
    *("PERSON", "FIRST_NAME", "LAST_NAME", OTHER_PERSON, "EMAIL_ADDRESS", "PHONE_NUMBER", "URL", "USERNAME", "IP_ADDRESS"),
    *("LOCATION", "STREET_ADDRESS", "POSTCODE", "ORGANIZATION", "DATE_TIME", "DATE_OF_BIRTH", "AGE"),
    *("ID", "NATIONAL_ID", "IBAN_CODE", "CREDIT_CARD"),
)
"""Slots that ``strip`` puts in and ``fill`` fills; a subset of the single tokens of the embedded language model."""

SLOT = re.compile(r"<([A-Z]+(?:_[A-Z0-9]+)*)>")
"""A slot in a text."""

KEPT = ("TITLE", "NRP")
"""Types that stay in the text: words that many people share."""


@dataclass(frozen=True, kw_only=True)
class Slotted:
    """Texts with slots.

    Attributes:
        texts: As many as were given.
        counts: Slots put in, by name.
    """

    texts: tuple[str, ...]
    counts: dict[str, int]


def strip(
    texts: Sequence[str],
    *,
    people: Sequence[Hashable],
    known: Mapping[Hashable, OwnValues] | None = None,
    language: str = "en",
    model: str | None = None,
) -> Slotted:
    """Put slots in the place of everything personal.

    Args:
        texts: The texts.
        people: Whose text each is.
        known: Values of each person's own rows by type; with names the row's own person is told from others.
        language: Of the texts.
        model: Which model looks for names, as ``text.find`` takes it.

    Raises:
        PIIError: There is no model for the language and ``model`` is not ``"none"``.
    """
    found = find(texts, people=people, known=known, language=language, model=model, alone=True)
    counts: Counter[str] = Counter()
    stripped = []
    for text, spans, person in zip(texts, found, people, strict=True):
        names = tuple((known or {}).get(person, {}).get("PERSON", ()))
        own = KnownNames.of(names, language=language) if names else None
        parts, end = [], 0
        for span in spans:
            if span.entity in KEPT:
                continue
            slot = _slot(text, span, own, names)
            counts[slot] += 1
            parts += [text[end : span.start], f"<{slot}>"]
            end = span.end
        stripped.append("".join([*parts, text[end:]]))
    return Slotted(texts=tuple(stripped), counts=dict(sorted(counts.items())))


def _slot(text: str, span: Span, own: KnownNames | None, names: Sequence[str]) -> str:
    """The slot of a span; types without one of their own become ``ID``."""
    if span.entity != "PERSON":
        return span.entity if span.entity in SLOTS else "ID"
    mention = text[span.start : span.end]
    if own is not None and not own.find(mention):
        return OTHER_PERSON
    words = [fold(word.group().rstrip(".")) for word in WORD.finditer(mention)]
    if len(words) != 1:
        return "PERSON"
    firsts = {fold(WORD.findall(name)[0].rstrip(".")) for name in names if WORD.search(name)}
    lasts = {fold(WORD.findall(name)[-1].rstrip(".")) for name in names if WORD.search(name)}
    if names:
        return "FIRST_NAME" if words[0] in firsts - lasts else "LAST_NAME"
    first, last = name_lists()
    if words[0] in first and words[0] not in last:
        return "FIRST_NAME"
    return "LAST_NAME" if words[0] in last else "PERSON"


def fill(
    texts: Sequence[str],
    people: pd.DataFrame,
    columns: Mapping[str, str],
    *,
    rng: np.random.Generator,
    locale: str | Sequence[str] = "en",
) -> list[str]:
    """Fill the slots of sampled texts with the values of their synthetic people.

    Args:
        texts: Texts with slots, one for each row of ``people``.
        people: The synthetic rows, with invented personal values.
        columns: Type of personal data by column of ``people``; also ``LOCATION``, ``POSTCODE`` and ``AGE`` for columns that were modelled.
        rng: Draws what no column holds; the values protect nobody.
        locale: Of what is invented.

    Returns:
        The texts; a slot of an unknown name stays, for a filter to see (``SLOT``).

    Raises:
        PIIError: There are not as many texts as people, or a column is missing.
    """
    if len(texts) != len(people):
        raise PIIError(f"texts={len(texts)} for {len(people)} people; expected one text for each row")
    missing = [column for column in columns if column not in people.columns]
    if missing:
        raise PIIError(f"column {missing[0]!r} is not in the people's table; expected one of {', '.join(map(str, people.columns))}")
    own = _own_values(people, columns)
    wanted = [[match.group(1) for match in SLOT.finditer(text)] for text in texts]
    counts = Counter(slot for row, slots in enumerate(wanted) for slot in slots if slot not in own[row])
    invented = {slot: iter(_invented(slot, count, rng, require_locales(locale))) for slot, count in sorted(counts.items()) if slot in SLOTS}

    def value(row: int, slot: str) -> str:
        if slot in own[row]:
            return own[row][slot]
        return next(invented[slot]) if slot in invented else f"<{slot}>"

    return [SLOT.sub(lambda match, row=row: value(row, match.group(1)), text) for row, text in enumerate(texts)]  # type: ignore[misc]


def _own_values(people: pd.DataFrame, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """For each row its values by slot; names in full and in parts."""
    cells = {column: [None if pd.isna(cell) else _shown(cell) for cell in people[column]] for column in columns}
    rows: list[dict[str, str]] = []
    for i in range(len(people)):
        own: dict[str, str] = {}
        parts: dict[str, str] = {}
        for column, entity in columns.items():
            cell = cells[column][i]
            if cell is None:
                continue
            if entity == "PERSON":
                parts.setdefault(name_part(column), cell)
            else:
                own.setdefault(entity, cell)
        full = parts.get("full") or " ".join(parts[part] for part in ("first", "last") if part in parts)
        if full:
            own["PERSON"] = full
            own["FIRST_NAME"] = parts.get("first") or full.split(" ")[0]
            own["LAST_NAME"] = parts.get("last") or full.split(" ", 1)[-1]
        rows.append(own)
    return rows


def _shown(cell: Any) -> str:
    return str(cell)[:10] if isinstance(cell, pd.Timestamp) else str(cell)


def _invented(slot: str, count: int, rng: np.random.Generator, locales: Sequence[str]) -> list[str]:
    """Values of nobody for one kind of slot."""
    if slot in TYPES and slot != "PERSON":
        return [_shown(value) for value in regenerate(count, {"value": slot}, rng=rng, locale=list(locales))["value"]]
    headers = {"FIRST_NAME": "first_name", "LAST_NAME": "last_name", "PERSON": "name", OTHER_PERSON: "name"}
    if slot in headers:
        return [str(value) for value in regenerate(count, {headers[slot]: "PERSON"}, rng=rng, locale=list(locales))[headers[slot]]]
    return [_MADE_UP[slot](locales[int(rng.integers(len(locales)))], rng) for _ in range(count)]


def _town(locale: str, rng: np.random.Generator) -> str:
    listed = towns(locale)
    return listed[int(rng.integers(len(listed)))]


def _company(locale: str, rng: np.random.Generator) -> str:
    last = names_of(locale).last
    form = {"de": "GmbH", "fr": "SA", "it": "S.p.A.", "es": "S.A.", "nl": "B.V.", "pt": "Lda"}.get(locale[:2], "Ltd")
    return f"{last[int(rng.integers(len(last)))]} {form}"


def _day(locale: str, rng: np.random.Generator) -> str:
    day = np.datetime64("2015-01-01", "D") + np.timedelta64(int(rng.integers(4000)), "D")
    moment = day.astype(object)
    return f"{moment:%B} {moment.day}, {moment.year}" if locale.endswith("_US") else f"{moment.day}.{moment.month}.{moment.year}"


_MADE_UP: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "LOCATION": _town,
    "ORGANIZATION": _company,
    "DATE_TIME": _day,
    "AGE": lambda locale, rng: str(rng.integers(18, 90)),
    "POSTCODE": lambda locale, rng: str(
        rng.integers(1000, 10_000) if locale[-2:] in ("CH", "AT", "BE", "DK") else rng.integers(10_000, 100_000)
    ),
}
