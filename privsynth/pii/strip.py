"""Pseudonymisation alone: one surrogate for one person, in every table, column and text, under a key that is then destroyed.

What comes out still holds one record for each person, with everything about them that is no direct identifier. It is
pseudonymised data in the sense of Article 4(5) GDPR, and it is not differentially private: whoever knows enough about someone
can find them in it. It never mixes with a release that claims a guarantee.

Four methods for what is found:

* ``surrogate``: another value of the same form (``pseudonyms``);
* ``redact``: the type in brackets;
* ``mask``: every letter and digit as "*";
* ``generalise``: years, age bands and ZIP3 (``generalise``), everything else redacted.

``scope`` says how far surrogates in *texts* agree: over the whole ``dataset`` (a name in a note is the name in the table); only
within a ``document``, which is one person's texts of one table, or one file; or not at all (``none``). The wider the scope, the
more a single missed name reveals: it stands beside the surrogate in the same place (Osborne 2025, PMC12536513). Columns always
agree, or keys would no longer join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd

from privsynth.errors import PIIError
from privsynth.pii.columns import ColumnFinding, scan
from privsynth.pii.exchange import Decision, Exchange, Frames, people_of, values_of_people
from privsynth.pii.headers import header_tokens
from privsynth.pii.keyed import Key
from privsynth.pii.names import require_locales
from privsynth.pii.text import NONE
from privsynth.registry import hint

Method = Literal["surrogate", "redact", "mask", "generalise"]
Scope = Literal["dataset", "document", "none"]

KEEP = "keep"
"""Of a column: it stays as it is."""

COLUMN_TYPES = (
    *("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "CREDIT_CARD", "NATIONAL_ID", "STREET_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS"),
    *("URL", "USERNAME", "DATE_OF_BIRTH", "DATE_TIME", "ID", "BANK_ACCOUNT", "PASSPORT", "DRIVER_LICENSE", "POSTCODE", "LOCATION"),
    *("ORGANIZATION", "AGE", "FREE_TEXT"),
)
"""What a column may be said to be."""

NOT_PRIVATE = (
    "Pseudonymised only: direct identifiers are exchanged, everything else about each person stays. "
    "This is no differential privacy, and no such claim may be made for it."
)
"""Said first, always."""


@dataclass(frozen=True, kw_only=True)
class Stripped:
    """Pseudonymised tables and documents, and what was done.

    Attributes:
        tables: Frames by name.
        documents: Texts by name.
        decisions: One for each column, and one for all documents if there are any.
        notes: What a reader has to know first.
    """

    tables: dict[str, pd.DataFrame]
    documents: dict[str, str]
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Strip:
    """How to pseudonymise.

    Attributes:
        method: What takes the place of a value.
        scope: How far surrogates in texts agree.
        person: Column that says whose row it is, in every table that has it; its values are always exchanged as keys. None: each row is
            its own person.
        columns: What a person decided: a type, ``"keep"`` or ``"FREE_TEXT"`` by column, as ``"notes"`` or ``"clients.notes"``.
        locales: Faker locales of the surrogates, in order of preference.
        most_days: Largest shift of dates, in days; 0 leaves dates that are no dates of birth as they are.
        language: Of free text; None tells it by column.
        ner: ``"none"`` accepts that no model looks for names.
    """

    method: Method = "surrogate"
    scope: Scope = "dataset"
    person: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    locales: tuple[str, ...] = ("en_US",)
    most_days: int = 182
    language: str | None = None
    ner: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings that nobody could mean."""
        for name, value, known in (("method", self.method, get_args(Method)), ("scope", self.scope, get_args(Scope))):
            if value not in known:
                raise PIIError(f"{name}={value!r}; expected one of {', '.join(known)}{hint(value, known)}")
        for column, entity in self.columns.items():
            if entity not in (*COLUMN_TYPES, KEEP):
                listed = ", ".join((KEEP, *COLUMN_TYPES))
                raise PIIError(f"column {column!r} cannot be {entity!r}; expected one of {listed}{hint(entity, COLUMN_TYPES)}")
        if self.most_days < 0:
            raise PIIError(f"most_days={self.most_days}; expected 0 or more")
        object.__setattr__(self, "locales", require_locales(self.locales))

    def apply(self, tables: Frames, documents: Mapping[str, str] | None = None, *, key: Key, rng: np.random.Generator) -> Stripped:
        """Exchange what is personal in tables and documents.

        Args:
            tables: Raw frames by name; they are not changed.
            documents: Texts by name.
            key: Decides all surrogates.
            rng: Draws the values that the scan looks at.

        Raises:
            PIIError: A decision names a column that no table has, or free text has no model for names and ``ner`` is not ``"none"``.
        """
        documents = documents or {}
        self._require_columns(tables)
        plans = {name: self._decide(name, frame, rng) for name, frame in tables.items()}
        work = Exchange(settings=self, key=key, known=values_of_people(tables, plans, self.person))
        stripped, decisions = {}, []
        for name, frame in tables.items():
            columns, people = {}, people_of(name, frame, self.person)
            for position, label in enumerate(map(str, frame.columns)):
                values, decision = work.column(name, label, frame.iloc[:, position], plans[name][label], people=people)
                columns[label] = values
                decisions.append(decision)
            stripped[name] = pd.DataFrame(columns, index=frame.index)
        texts, about = work.documents(documents)
        notes = (NOT_PRIVATE, *_notes(self, [*decisions, *about]))
        return Stripped(tables=stripped, documents=texts, decisions=(*decisions, *about), notes=notes)

    def _require_columns(self, tables: Frames) -> None:
        known = [f"{table}.{column}" for table, frame in tables.items() for column in map(str, frame.columns)]
        bare = [column for frame in tables.values() for column in map(str, frame.columns)]
        for column in [*self.columns, *([self.person] if self.person and tables else [])]:
            if column not in known and column not in bare:
                raise PIIError(f"column {column!r} is in none of the tables{hint(column, [*bare, *known])}")
        for table, frame in tables.items():
            if len({str(label) for label in frame.columns}) < len(frame.columns):
                raise PIIError(f"table {table!r} has columns of the same name; expected distinct names")

    def _decide(self, table: str, frame: pd.DataFrame, rng: np.random.Generator) -> dict[str, tuple[str | None, str, ColumnFinding]]:
        """For each column the type as which it is treated, and why."""
        found = scan(frame, rng=rng, language=self.language, ner=self.ner)
        decided = {}
        for finding in found.findings:
            said = self.columns.get(f"{table}.{finding.column}", self.columns.get(finding.column))
            if said is not None:
                decided[finding.column] = (None if said == KEEP else said, "decided by a person", finding)
            elif finding.column == self.person:
                decided[finding.column] = ("ID" if finding.pii in (None, "ID") else finding.pii, "says whose row it is", finding)
            else:
                decided[finding.column] = (finding.pii or self._implied(finding), finding.evidence, finding)
        return decided

    def _implied(self, finding: ColumnFinding) -> str | None:
        """The type of a column that is no direct identifier and changes all the same: dates that move, and what is generalised."""
        words = set(header_tokens(finding.column))
        if finding.kind_proposal == "datetime" and (self.most_days or self.method == "generalise"):
            return "DATE_TIME"
        if self.method == "generalise" and finding.quasi_identifier:
            if words & {"age", "alter", "edad", "eta", "leeftijd", "idade"}:
                return "AGE"
            if words & {"zip", "zipcode", "postcode", "plz", "npa", "cap", "cep", "postal"}:
                return "POSTCODE"
        return None


def _notes(settings: Strip, decisions: Sequence[Decision]) -> list[str]:
    notes = []
    if settings.ner == NONE and any(decision.pii == "FREE_TEXT" for decision in decisions):
        notes.append('No model looked for names in free text (ner = "none"): most names in it were not found and are still there.')
    models = sorted({decision.ner for decision in decisions if decision.ner})
    if models:
        notes.append(f"Names in free text were looked for with {', '.join(models)}; some are missed: measure how many with scan --recall.")
    if (
        settings.person is None
        and any(decision.pii in ("DATE_TIME", "DATE_OF_BIRTH") for decision in decisions)
        and settings.method == "surrogate"
    ):
        notes.append("No column says whose row it is (--person): the dates of each row moved by a number of days of their own.")
    notes += [
        f"Column {decision.column!r} of {decision.table!r}: {decision.merged} distinct values share their new value with another; "
        "it is no key any more."
        for decision in decisions
        if decision.merged
        and settings.method == "surrogate"
        and decision.pii in ("EMAIL_ADDRESS", "IBAN_CODE", "CREDIT_CARD", "NATIONAL_ID", "USERNAME")
    ]
    return notes
