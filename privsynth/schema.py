"""What is publicly known about a table before anyone looks at it.

A fact here (a bound, a list of categories, whether nulls occur) was typed by a person who takes it from
something other than the data, or was bought from the budget (source ``dp``). A fact read off the data
has source ``data``, and adds a touch without proof to the ledger: the total epsilon becomes infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, get_args

from privsynth.errors import SchemaError
from privsynth.registry import hint

Kind = Literal["categorical", "integer", "decimal", "datetime", "boolean", "text", "identifier"]
Source = Literal["declared", "public", "dp", "data"]
Resolution = Literal["day", "hour", "minute", "second"]

SECONDS: Mapping[str, int] = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
ROW = "row"
"""The privacy unit of a table in which one row is one person."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column and the public facts about it.

    Attributes:
        name: Its name in the file.
        kind: How values are read and modelled; ``identifier`` and ``text`` never reach a tabular model.
        bounds: Smallest and largest value, inclusive, for integer, decimal (numbers) and datetime (seconds
            since 1970-01-01T00:00:00, UTC). None: not declared.
        categories: Every value that may occur, for categorical. None: not declared.
        step: Grid of the values: 1 for integers, a decimal's smallest unit (0.01), a datetime's resolution in seconds.
        nullable: False if a person declared that nulls do not occur. Otherwise a null cell is part of
            the domain, whether nulls occur or not.
        pii: Type of personal data (``EMAIL_ADDRESS``); such a column is dropped before training and regenerated.
        determines: Column names that this column fixes, each with the public map value -> value.
        quasi_identifier: An outsider may know it.
        secret: An outsider wants to learn it.
        reference: What a person took the declared facts from.
        sources: Where each fact came from, by the fact's field name.
    """

    name: str
    kind: Kind
    bounds: tuple[float, float] | None = None
    categories: tuple[str, ...] | None = None
    step: float = 1.0
    nullable: bool = True
    pii: str | None = None
    determines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    quasi_identifier: bool = False
    secret: bool = False
    reference: str | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse facts that contradict each other."""
        if self.kind not in get_args(Kind):
            raise SchemaError(
                f"kind={self.kind!r} of column {self.name!r}; expected one of {', '.join(get_args(Kind))}{hint(self.kind, get_args(Kind))}"
            )
        if self.bounds is not None:
            self._check_bounds(*self.bounds)
        if self.categories is not None:
            if self.kind != "categorical":
                raise SchemaError(f"column {self.name!r} is {self.kind} and cannot have categories; expected kind categorical")
            if not self.categories or len(set(self.categories)) < len(self.categories):
                raise SchemaError(f"categories of column {self.name!r} are empty or repeat a value; expected a list of distinct values")
        if not (math.isfinite(self.step) and self.step > 0):
            raise SchemaError(f"step={self.step!r} of column {self.name!r}; expected a number above 0, for example 0.01")
        if self.kind == "integer" and self.step != int(self.step):
            raise SchemaError(f"step={self.step!r} of integer column {self.name!r}; expected a whole number")

    def _check_bounds(self, low: float, high: float) -> None:
        if self.kind not in ("integer", "decimal", "datetime"):
            raise SchemaError(f"column {self.name!r} is {self.kind} and cannot have bounds; expected kind integer, decimal or datetime")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SchemaError(f"bounds={[low, high]!r} of column {self.name!r}; expected two finite values, the smaller first")

    @property
    def is_numeric(self) -> bool:
        """True for kinds that lie on an ordered grid."""
        return self.kind in ("integer", "decimal", "datetime")

    @property
    def is_modelled(self) -> bool:
        """True if a tabular model may see the column: not PII, not text, not an identifier."""
        return self.pii is None and self.kind not in ("text", "identifier")

    @property
    def undeclared(self) -> str | None:
        """The fact a model needs and nobody declared: "bounds", "categories" or None."""
        if self.is_numeric and self.bounds is None:
            return "bounds"
        if self.kind == "categorical" and self.categories is None:
            return "categories"
        return None

    def with_fact(self, *, source: Source, **facts: object) -> Column:
        """A copy with the given facts and their source."""
        return replace(self, **facts, sources={**self.sources, **dict.fromkeys(facts, source)})  # type: ignore[arg-type]  # mypy cannot type ** into replace


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its columns in file order, and what it is used for.

    Attributes:
        target: The column that a recipient will want to predict; None if there is none.
        max_rows_per_person: How many rows of one person are measured at most. Which ones is chosen without
            looking at the values.
        dropped: Columns of the file that a person left out of everything.
    """

    name: str
    columns: tuple[Column, ...]
    target: str | None = None
    max_rows_per_person: int = 1
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse repeated names and a target that is not there."""
        names = [column.name for column in self.columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise SchemaError(f"column {repeated[0]!r} occurs twice in table {self.name!r}; expected distinct names")
        if self.target is not None and self.target not in names:
            raise SchemaError(f"target={self.target!r} is not a column of table {self.name!r}{hint(self.target, names)}")
        if self.max_rows_per_person < 1:
            raise SchemaError(f"max_rows_per_person={self.max_rows_per_person!r} of table {self.name!r}; expected 1 or more")

    def __getitem__(self, name: str) -> Column:
        """The column of this name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"column {name!r} is not in table {self.name!r}{hint(name, self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(column.name for column in self.columns)

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that a tabular model may see."""
        return tuple(column for column in self.columns if column.is_modelled)

    def with_columns(self, columns: Iterable[Column]) -> Table:
        """A copy with other columns."""
        return replace(self, columns=tuple(columns))


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The tables of a dataset and the column that says whose privacy is protected.

    Attributes:
        privacy_unit: Name of the column that identifies a person, or ``"row"`` when one row is one person.
    """

    tables: tuple[Table, ...]
    privacy_unit: str

    def __post_init__(self) -> None:
        """Refuse a privacy unit that some table does not have."""
        if self.privacy_unit == ROW:
            return
        for table in self.tables:
            if self.privacy_unit not in table.names:
                raise SchemaError(
                    f"privacy_unit={self.privacy_unit!r} is not a column of table {table.name!r}; "
                    f'expected one of its columns, or "row" if one row is one person{hint(self.privacy_unit, table.names)}'
                )

    def __getitem__(self, name: str) -> Table:
        """The table of this name."""
        for table in self.tables:
            if table.name == name:
                return table
        raise SchemaError(f"table {name!r} is not in the schema{hint(name, [table.name for table in self.tables])}")


def seconds_since_epoch(value: datetime) -> float:
    """A declared date or time as seconds since 1970 (UTC when it has no zone).

    >>> from datetime import date
    >>> seconds_since_epoch(datetime(1970, 1, 2))
    86400.0
    """
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
