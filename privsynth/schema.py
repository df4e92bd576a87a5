"""What is publicly known about a table before anyone looks at it.

A fact here (a bound, a list of categories, whether nulls occur) was typed by a person who takes it from
something other than the data, or was bought from the budget (source ``dp``). A fact read off the data
has source ``data``, and adds a touch without proof to the ledger: the total epsilon becomes infinite.
"""

from __future__ import annotations

import math
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, get_args

from privsynth.errors import SchemaError
from privsynth.registry import hint

Kind = Literal["categorical", "integer", "decimal", "datetime", "boolean", "text", "identifier"]
Source = Literal["declared", "public", "dp", "data"]
Resolution = Literal["day", "hour", "minute", "second"]
ConstraintKind = Literal["combinations", "one_hot", "ordered", "sum", "null_together"]

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
        zone: IANA name of the zone in which a datetime is read and written (``Europe/Zurich``); None: a date or time without zone.
        point_masses: Numbers that many rows share (0, a default limit); each is modelled apart from its neighbours.
        prefix: Lengths at which the categories' names fall into groups, longest first: ``(3,)`` puts ZIP code 94110 into group 941.
            A category too rare to be modelled alone is modelled by its group.
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
    zone: str | None = None
    point_masses: tuple[float, ...] = ()
    prefix: tuple[int, ...] = ()
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
        if self.zone is not None:
            self._check_zone(self.zone)
        if self.point_masses and (self.kind not in ("integer", "decimal") or self.bounds is None):
            raise SchemaError(f"point_masses of column {self.name!r}; expected a column of kind integer or decimal with declared bounds")
        if any(not self.bounds[0] <= value <= self.bounds[1] for value in self.point_masses if self.bounds):
            raise SchemaError(f"point_masses={list(self.point_masses)!r} of column {self.name!r} lie outside its bounds; correct either")
        if self.prefix and (
            self.kind != "categorical" or min(self.prefix) < 1 or list(self.prefix) != sorted(set(self.prefix), reverse=True)
        ):
            raise SchemaError(
                f"prefix={list(self.prefix)!r} of {self.kind} column {self.name!r}; expected lengths, longest first, for kind categorical"
            )

    def _check_zone(self, zone: str) -> None:
        if self.kind != "datetime" or self.step % SECONDS["day"] == 0:
            raise SchemaError(f"zone={zone!r} of column {self.name!r}; expected kind datetime with a step below a day: a day has no zone")
        if zone not in zoneinfo.available_timezones():
            known = zoneinfo.available_timezones()
            raise SchemaError(
                f"zone={zone!r} of column {self.name!r} is unknown; expected an IANA name such as Europe/Zurich{hint(zone, known)}"
            )

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
    def scale(self) -> int:
        """Digits after the point of a decimal's values, from its step and its lower bound.

        >>> Column(name="price", kind="decimal", step=0.05).scale
        2
        """
        starts = [self.step] if self.bounds is None else [self.step, self.bounds[0]]
        return max(0, *(-int(Decimal(repr(float(value))).normalize().as_tuple().exponent) for value in starts))

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
class Constraint:
    """A public fact about several columns of one row; synthetic rows keep it without exception.

    Attributes:
        kind: ``combinations``: the columns take only certain tuples of values. ``one_hot``: exactly one of the boolean columns is true.
            ``ordered``: each column is at most the next, where both have a value. ``sum``: ``total`` is the sum of the columns, and
            null where one of them is. ``null_together``: the columns are null in the same rows.
        columns: At least two.
        combinations: Every tuple that may occur, for ``combinations``; None in a tuple stands for null. None: bought from the budget.
        total: The computed column of ``sum``.
        allow_none: All columns of ``one_hot`` may be false.
    """

    kind: ConstraintKind
    columns: tuple[str, ...]
    combinations: tuple[tuple[str | None, ...], ...] | None = None
    total: str | None = None
    allow_none: bool = False

    def __post_init__(self) -> None:
        """Refuse facts of another kind."""
        if self.kind not in get_args(ConstraintKind):
            known = get_args(ConstraintKind)
            raise SchemaError(f"kind={self.kind!r} of a constraint; expected one of {', '.join(known)}{hint(self.kind, known)}")
        if len(self.columns) < 2 or len(set(self.names)) < len(self.names):
            raise SchemaError(f"columns={list(self.names)!r} of a constraint {self.kind!r}; expected at least two, all distinct")
        if (self.total is not None) != (self.kind == "sum"):
            raise SchemaError(f"total={self.total!r} of a constraint {self.kind!r}; expected the computed column, for kind sum alone")
        if self.combinations is not None and self.kind != "combinations":
            raise SchemaError(f"combinations of a constraint {self.kind!r}; expected kind combinations")
        if self.combinations is not None and (
            not self.combinations
            or len(set(self.combinations)) < len(self.combinations)
            or any(len(combination) != len(self.columns) for combination in self.combinations)
        ):
            raise SchemaError(f"combinations of {self.label!r} are empty, repeat or lack a value; expected one value for each column")
        if self.allow_none and self.kind != "one_hot":
            raise SchemaError(f"allow_none of a constraint {self.kind!r}; expected kind one_hot")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that it binds, the computed one included."""
        return self.columns if self.total is None else (*self.columns, self.total)

    @property
    def label(self) -> str:
        """Its name in messages and reports, and of the column that stands for its combinations.

        >>> Constraint(kind="ordered", columns=("born_on", "hired_on")).label
        'born_on <= hired_on'
        """
        sign = {"ordered": " <= ", "null_together": " null with "}.get(self.kind, " + ")
        return sign.join(self.columns) if self.total is None else f"{self.total} = {' + '.join(self.columns)}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its columns in file order, and what it is used for.

    Attributes:
        target: The column that a recipient will want to predict; None if there is none.
        max_rows_per_person: How many rows of one person are measured at most. Which ones is chosen without
            looking at the values.
        dropped: Columns of the file that a person left out of everything.
        constraints: Public facts about several columns of one row.
    """

    name: str
    columns: tuple[Column, ...]
    target: str | None = None
    max_rows_per_person: int = 1
    dropped: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()

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
        _check_constraints(self)

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


def _check_constraints(table: Table) -> None:
    """Refuse constraints that contradict each other, the columns' facts, or the public maps."""
    bound: dict[str, Constraint] = {}
    filled = {target: column.name for column in table.columns for target in column.determines}
    for constraint in table.constraints:
        for name in constraint.names:
            if not table[name].is_modelled:
                raise SchemaError(f"constraint {constraint.label!r} names {name!r}, which is not modelled; expected modelled columns")
            if name in filled:
                raise SchemaError(
                    f"constraint {constraint.label!r} names {name!r}, which follows from {filled[name]!r} by a map; remove one of them"
                )
            if name in bound:
                raise SchemaError(_twice(name, bound[name], constraint))
            bound[name] = constraint
        if constraint.label in table.names:
            raise SchemaError(f"column {constraint.label!r} is named like a constraint on other columns; expected another name")
        _CONSTRAINT_CHECKS[constraint.kind](constraint, [table[name] for name in constraint.columns], table)


def _twice(name: str, first: Constraint, second: Constraint) -> str:
    if first.kind == second.kind == "ordered" and len(set(first.columns) & set(second.columns)) > 1:
        return f"constraints {first.label!r} and {second.label!r} contradict each other; keep one"
    return f"column {name!r} is in the constraints {first.label!r} and {second.label!r}; expected one: join them, for example a <= b <= c"


def _require_kinds(constraint: Constraint, columns: Iterable[Column], kinds: tuple[str, ...]) -> None:
    for column in columns:
        if column.kind not in kinds:
            raise SchemaError(f"constraint {constraint.label!r}: column {column.name!r} is {column.kind}; expected {' or '.join(kinds)}")


def _check_combinations(constraint: Constraint, columns: list[Column], table: Table) -> None:
    _require_kinds(constraint, columns, ("categorical", "boolean", "integer"))
    for combination in constraint.combinations or ():
        for column, value in zip(columns, combination, strict=True):
            fits = column.nullable if value is None else _fits(column, value)
            if not fits:
                raise SchemaError(
                    f"constraint {constraint.label!r} allows {column.name}={value!r}, which the column's facts exclude; correct either"
                )


def _fits(column: Column, value: str) -> bool:
    """Whether the column's facts allow a value written in a plan."""
    if column.kind == "boolean":
        return value in ("true", "false")
    if column.kind == "integer":
        digits = value.removeprefix("-")
        whole = digits.isascii() and digits.isdigit()
        return whole and (column.bounds is None or column.bounds[0] <= int(value) <= column.bounds[1])
    return column.categories is None or value in column.categories


def _check_one_hot(constraint: Constraint, columns: list[Column], table: Table) -> None:
    _require_kinds(constraint, columns, ("boolean",))


def _check_ordered(constraint: Constraint, columns: list[Column], table: Table) -> None:
    _require_kinds(constraint, columns, ("integer", "decimal", "datetime"))
    first = columns[0]
    for place, column in enumerate(columns):
        aligned = column.bounds is None or first.bounds is None or _is_multiple(column.bounds[0] - first.bounds[0], first.step)
        if (column.kind, column.step) != (first.kind, first.step) or not aligned:
            raise SchemaError(f"constraint {constraint.label!r}: expected columns of one kind, on one grid: the same step and start")
        for later in columns[place + 1 :]:
            if column.bounds and later.bounds and column.bounds[0] > later.bounds[1]:
                raise SchemaError(
                    f"constraint {constraint.label!r} contradicts the bounds of {column.name!r} and {later.name!r}; correct them"
                )


def _is_multiple(difference: float, step: float) -> bool:
    return abs(difference / step - round(difference / step)) < 1e-6


def _check_sum(constraint: Constraint, columns: list[Column], table: Table) -> None:
    total = table[str(constraint.total)]
    _require_kinds(constraint, [total], ("integer", "decimal"))
    _require_kinds(constraint, columns, (total.kind,))
    if not all(_is_multiple(column.step, total.step) for column in columns):
        raise SchemaError(
            f"constraint {constraint.label!r}: step={total.step!r} of {total.name!r} cannot show every sum; expected a finer step"
        )
    if any(column.nullable for column in columns) and not total.nullable:
        raise SchemaError(
            f"constraint {constraint.label!r}: a part may be null but {total.name!r} may not; declare the parts nullable = false"
        )
    if total.bounds is None:
        return
    bounds = [column.bounds for column in columns if column.bounds is not None]
    if len(bounds) < len(columns):
        raise SchemaError(f"constraint {constraint.label!r}: {total.name!r} has bounds but a part has none; declare the parts' bounds too")
    low, high = (sum(pair[side] for pair in bounds) for side in (0, 1))
    slack = 1e-9 * total.step if total.kind == "decimal" else 0
    if low < total.bounds[0] - slack or high > total.bounds[1] + slack:
        raise SchemaError(
            f"constraint {constraint.label!r}: the parts add up to {[low, high]!r} by their bounds, beyond bounds={list(total.bounds)!r} "
            f"of {total.name!r}; widen these or narrow the parts"
        )


def _check_null_together(constraint: Constraint, columns: list[Column], table: Table) -> None:
    fixed = [column.name for column in columns if not column.nullable]
    if fixed:
        raise SchemaError(f"constraint {constraint.label!r}: column {fixed[0]!r} is declared without nulls; expected nullable columns")


_CONSTRAINT_CHECKS = {
    "combinations": _check_combinations,
    "one_hot": _check_one_hot,
    "ordered": _check_ordered,
    "sum": _check_sum,
    "null_together": _check_null_together,
}


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The tables of a dataset and the column that says whose privacy is protected.

    Attributes:
        privacy_unit: Name of the column that identifies a person, or ``"row"`` when one row is one person.
    """

    tables: tuple[Table, ...]
    privacy_unit: str

    def __post_init__(self) -> None:
        """Refuse a privacy unit that some table does not have, or that a model would see."""
        if self.privacy_unit == ROW:
            return
        for table in self.tables:
            if self.privacy_unit not in table.names:
                raise SchemaError(
                    f"privacy_unit={self.privacy_unit!r} is not a column of table {table.name!r}; "
                    f'expected one of its columns, or "row" if one row is one person{hint(self.privacy_unit, table.names)}'
                )
            if table[self.privacy_unit].is_modelled:
                raise SchemaError(
                    f"privacy_unit={self.privacy_unit!r} is declared as {table[self.privacy_unit].kind}, which a model would learn; "
                    'expected kind = "identifier"'
                )

    def __getitem__(self, name: str) -> Table:
        """The table of this name."""
        for table in self.tables:
            if table.name == name:
                return table
        raise SchemaError(f"table {name!r} is not in the schema{hint(name, [table.name for table in self.tables])}")


def seconds_since_epoch(value: datetime, zone: str | None = None) -> float:
    """A declared date or time as seconds since 1970; without an offset it is meant in ``zone``, or in UTC.

    >>> seconds_since_epoch(datetime(1970, 1, 2))
    86400.0
    """
    aware = value.replace(tzinfo=zoneinfo.ZoneInfo(zone) if zone else UTC) if value.tzinfo is None else value
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
