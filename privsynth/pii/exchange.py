"""Exchanging the values of columns and texts under one key, person by person; what ``strip`` decides is carried out here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from privsynth.pii.columns import ColumnFinding
from privsynth.pii.detect import Span
from privsynth.pii.generalise import age_band, year, zip3
from privsynth.pii.headers import name_part
from privsynth.pii.keyed import Key
from privsynth.pii.languages import language_of
from privsynth.pii.pseudonyms import KEPT, Pseudonyms
from privsynth.pii.recognizers import LANGUAGES
from privsynth.pii.text import NONE, OwnValues, find, ner_model, require_ner

if TYPE_CHECKING:
    from privsynth.pii.strip import Strip

Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was done with a column; an internal fact, without a value.

    Attributes:
        table: Its table.
        column: Its name.
        pii: Type as which it was treated, or None if it stayed.
        why: The evidence, or who said so.
        cells: Cells that changed.
        merged: Distinct values that share their new value with another; it keeps no key distinct where this is above 0.
        spans: For free text, spans exchanged by type.
        ner: For free text, the model that looked for names, or None.
    """

    table: str
    column: str
    pii: str | None
    why: str
    cells: int = 0
    merged: int = 0
    spans: dict[str, int] = field(default_factory=dict)
    ner: str | None = None


Plans = Mapping[str, Mapping[str, tuple[str | None, str, ColumnFinding]]]


def people_of(table: str, frame: pd.DataFrame, person: str | None) -> list[str]:
    """Whose row each is, as text; one person has one name over all tables that have the column."""
    if person is not None and person in map(str, frame.columns):
        # A row of nobody is its own person: nobody's rows are not one person's.
        return [f"{table} row {i}" if pd.isna(value) else f"person {value}" for i, value in enumerate(frame[person])]
    return [f"{table} row {i}" for i in range(len(frame))]


def values_of_people(tables: Frames, plans: Plans, person: str | None) -> dict[Hashable, OwnValues]:
    """Values of each person's own rows by type, over all tables; first and last names of one row are one name."""
    known: dict[str, dict[str, list[str]]] = {}
    for table, frame in tables.items():
        personal = {
            column: entity for column, (entity, _, _) in plans[table].items() if entity and entity not in ("FREE_TEXT", "DATE_TIME")
        }
        cells = {column: [None if pd.isna(cell) else str(cell) for cell in frame[column]] for column in personal}
        order = sorted(
            (column for column, entity in personal.items() if entity == "PERSON"), key=lambda column: name_part(column) != "first"
        )
        for i, owner in enumerate(people_of(table, frame, person)):
            own = known.setdefault(owner, {})
            parts = [value for column in order if (value := cells[column][i])]
            if parts:
                whole = [value for column in order if name_part(column) == "full" and (value := cells[column][i])]
                own.setdefault("PERSON", []).extend(whole or [" ".join(parts)])
            for column, entity in personal.items():
                value = cells[column][i]
                if entity != "PERSON" and value is not None:
                    own.setdefault(entity, []).append(value)
    return {owner: {entity: list(dict.fromkeys(values)) for entity, values in own.items()} for owner, own in known.items()}


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The exchange of values under one key.

    Attributes:
        settings: How.
        key: Decides all surrogates.
        known: Values of each person's own rows by type.
    """

    settings: Strip
    key: Key
    known: Mapping[Hashable, OwnValues]

    @property
    def _pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(key=self.key, locales=self.settings.locales, most_days=self.settings.most_days)

    def column(
        self, table: str, label: str, values: pd.Series[Any], plan: tuple[str | None, str, ColumnFinding], *, people: Sequence[str]
    ) -> tuple[pd.Series[Any], Decision]:
        """One column with its values exchanged, and what was done."""
        entity, why, finding = plan
        if entity is None:
            return values, Decision(table=table, column=label, pii=None, why=why)
        if entity == "FREE_TEXT":
            return self._texts(table, label, values, why, finding, people)
        if pd.api.types.is_datetime64_any_dtype(values.dtype):
            changed = self._moments(values, people, entity)
        else:
            changed = self._cells(values, people, entity)
        before, after = values.astype(object), changed.astype(object)
        present = ~values.isna().to_numpy(dtype=bool)
        pairs = {(str(old), str(new)) for old, new in zip(before[present], after[present], strict=True)}
        merged = len({old for old, _ in pairs}) - len({new for _, new in pairs}) if entity not in ("DATE_TIME", "DATE_OF_BIRTH") else 0
        cells = sum(str(old) != str(new) for old, new in zip(before[present], after[present], strict=True))
        return changed, Decision(table=table, column=label, pii=entity, why=why, cells=cells, merged=max(merged, 0))

    def _moments(self, values: pd.Series[Any], people: Sequence[str], entity: str) -> pd.Series[Any]:
        """A typed column of dates."""
        if self.settings.method == "surrogate":
            pseudonyms = self._pseudonyms
            days = {person: pseudonyms.days(person) for person in dict.fromkeys(people)}
            return values + pd.to_timedelta([days[person] for person in people], unit="D")
        shown = values.dt.year.astype("Int64") if self.settings.method == "generalise" else self._covered_moments(values, entity)
        return pd.Series(shown, index=values.index, name=values.name)

    def _covered_moments(self, values: pd.Series[Any], entity: str) -> pd.Series[Any]:
        changed = [None if pd.isna(cell) else self._changed(entity, str(cell)) for cell in values]
        return pd.Series(changed, index=values.index, name=values.name, dtype=object)

    def _cells(self, values: pd.Series[Any], people: Sequence[str], entity: str) -> pd.Series[Any]:
        numeric = pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_float_dtype(values.dtype)
        cache: dict[tuple[str, str], str] = {}
        changed: list[Any] = []
        for person, cell in zip(people, values.astype(object), strict=True):
            if pd.isna(cell) or not str(cell).strip():
                changed.append(cell)
                continue
            text = f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() else str(cell)
            # Only dates, initials and user names depend on whose they are.
            owner = person if entity in ("DATE_TIME", "DATE_OF_BIRTH", "PERSON", "USERNAME", "EMAIL_ADDRESS") else ""
            if (owner, text) not in cache:
                cache[owner, text] = self._changed(entity, text, person=owner)
            changed.append(cache[owner, text])
        result = pd.Series(np.array([*changed, None], dtype=object)[:-1], index=values.index, name=values.name)
        # A key that was a number stays one, so that it still joins.
        whole = numeric and all(isinstance(cell, str) and cell.isdigit() and len(cell) < 18 for cell in result.dropna())
        return pd.to_numeric(result).astype(values.dtype) if whole else result

    def _changed(
        self, entity: str, value: str, *, person: str = "", pseudonyms: Pseudonyms | None = None, known: Sequence[str] | None = None
    ) -> str:
        """One value by the method of the settings."""
        method = self.settings.method
        if method == "surrogate":
            names = known if known is not None else self.known.get(person, {}).get("PERSON", ())
            return (pseudonyms or self._pseudonyms).of(entity, value, person=person, known=names)
        if method == "mask":
            return "".join("*" if sign.isalnum() else sign for sign in value)
        if method == "generalise":
            coarse: Mapping[str, Callable[[str], str | None]] = {
                "AGE": age_band,
                "POSTCODE": zip3,
                "DATE_TIME": year,
                "DATE_OF_BIRTH": year,
            }
            return (coarse[entity](value) if entity in coarse else None) or f"<{entity}>"
        return f"<{entity}>"

    def _texts(
        self, table: str, label: str, values: pd.Series[Any], why: str, finding: ColumnFinding, people: Sequence[str]
    ) -> tuple[pd.Series[Any], Decision]:
        present = ~values.isna().to_numpy(dtype=bool)
        texts = [str(cell) for cell in values[present]]
        owners = [person for person, here in zip(people, present, strict=True) if here]
        changed, spans, ner = self._exchanged(f"{table}.{label}", texts, owners, finding.language)
        result = values.astype(object).copy()
        result[present] = np.array([*changed, None], dtype=object)[:-1]
        cells = sum(old != new for old, new in zip(texts, changed, strict=True))
        return result, Decision(table=table, column=label, pii="FREE_TEXT", why=why, cells=cells, spans=spans, ner=ner)

    def documents(self, documents: Mapping[str, str]) -> tuple[dict[str, str], list[Decision]]:
        """Whole documents; each is its own person."""
        if not documents:
            return {}, []
        names = list(documents)
        changed, spans, ner = self._exchanged("documents", list(documents.values()), [f"document {name}" for name in names], None)
        cells = sum(old != new for old, new in zip(documents.values(), changed, strict=True))
        decision = Decision(table="documents", column="text", pii="FREE_TEXT", why="files of text", cells=cells, spans=spans, ner=ner)
        return dict(zip(names, changed, strict=True)), [decision]

    def _exchanged(
        self, place: str, texts: Sequence[str], people: Sequence[str], told: str | None
    ) -> tuple[list[str], dict[str, int], str | None]:
        """Texts with their spans exchanged, how many of each type, and which model looked for names."""
        wanted = self.settings.language or told or language_of(texts) or "en"
        model = None if self.settings.ner == NONE else self.settings.ner or ner_model(wanted)
        if model is None and self.settings.ner != NONE:
            require_ner(place, language=wanted)
        found = find(texts, people=people, known=self.known, language=wanted if wanted in LANGUAGES else "en", model=model or NONE)
        changed = [self._exchange(text, spans, person) for text, spans, person in zip(texts, found, people, strict=True)]
        counts = Counter(span.entity for spans in found for span in spans if span.entity not in KEPT)
        return changed, dict(sorted(counts.items())), model

    def _exchange(self, text: str, spans: Sequence[Span], person: str) -> str:
        """One text with its spans exchanged."""
        key = self.key if self.settings.scope == "dataset" else self.key.derived("document", person)
        names = [text[span.start : span.end] for span in spans if span.entity == "PERSON"]
        # The longest first: "John Smith" says what the "J." of "J. Smith" stands for.
        known = [*self.known.get(person, {}).get("PERSON", ()), *sorted(names, key=len, reverse=True)]
        parts, end = [], 0
        for span in spans:
            own = Key.fresh() if self.settings.scope == "none" else key
            pseudonyms = Pseudonyms(key=own, locales=self.settings.locales, most_days=self.settings.most_days)
            value = text[span.start : span.end]
            # "Monday" is no date that could move.
            kept = self.settings.method == "surrogate" and span.entity == "DATE_TIME" and not any(sign.isdigit() for sign in value)
            parts += [
                text[end : span.start],
                value if kept else self._changed(span.entity, value, person=person, pseudonyms=pseudonyms, known=known),
            ]
            end = span.end
        return "".join([*parts, text[end:]])
