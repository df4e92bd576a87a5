"""Which rows can exist at all? Public facts about several columns of one row, kept by construction.

A model sees a recoded table in which a broken row cannot be written, and its samples are turned back:

* the columns of ``combinations`` and ``one_hot`` become one categorical column whose categories are the allowed tuples, or the
  tuples that were bought (a partition selection on the tuples: its own touch);
* the total of ``sum`` is left out and computed;
* ``null_together``: the first column says whether there is a value; the others follow it;
* ``ordered``: sampled values are put in order. Two values drawn from the same bin become the order statistics of two draws, which is
  their distribution given that they are in order. Every column keeps its own bounds: see ``_in_order``.

Nothing is drawn again and nothing is dropped. Recoding a row looks at this row and at public facts only, so it changes no sensitivity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import ViolationPolicy
from privsynth.errors import SchemaError, records
from privsynth.schema import Column, Constraint, Table
from privsynth.tabular.encode import determined_by, fill_determined, last_value

BoolArray = npt.NDArray[np.bool_]

_AS_ONE = ("combinations", "one_hot")


def recoded_table(table: Table) -> Table:
    """The table as a model sees it: the public facts that remain when the constraints are built in."""
    if not table.constraints:
        return table
    replaced = {name: constraint for constraint in table.constraints if constraint.kind in _AS_ONE for name in constraint.columns}
    computed = {constraint.total for constraint in table.constraints}
    columns: list[Column] = []
    for column in table.columns:
        constraint = replaced.get(column.name)
        if constraint is not None and column.name == constraint.columns[0]:
            columns.append(_tuple_column(constraint, table))
        elif constraint is None and column.name not in computed:
            columns.append(column)
    target = table.target if table.target in {column.name for column in columns} else None
    return Table(name=table.name, columns=tuple(columns), target=target, max_rows_per_person=table.max_rows_per_person)


def combination_of(table: Table) -> dict[str, str]:
    """Column -> the recoded column that stands for it and others."""
    return {name: constraint.label for constraint in table.constraints if constraint.kind in _AS_ONE for name in constraint.columns}


def _tuple_column(constraint: Constraint, table: Table) -> Column:
    allowed = _allowed(constraint, table)
    if allowed is None:
        return Column(name=constraint.label, kind="categorical", nullable=_all_nullable(constraint, table))
    names = tuple(_written(combination) for combination in allowed)
    return Column(name=constraint.label, kind="categorical", categories=names, nullable=False, sources={"categories": "declared"})


def _allowed(constraint: Constraint, table: Table) -> list[tuple[str | None, ...]] | None:
    """Every tuple that may occur, "nothing known" included where all columns are nullable; None if they are bought."""
    allowed: list[tuple[str | None, ...]] = []
    if constraint.kind == "one_hot":
        size = len(constraint.columns)
        allowed += [tuple("true" if place == hot else "false" for place in range(size)) for hot in range(size + constraint.allow_none)]
    elif constraint.combinations is None:
        return None
    else:
        allowed += constraint.combinations
    empty: tuple[str | None, ...] = (None,) * len(constraint.columns)
    return [*allowed, empty] if _all_nullable(constraint, table) and empty not in allowed else allowed


def _all_nullable(constraint: Constraint, table: Table) -> bool:
    return all(table[name].nullable for name in constraint.columns)


def _written(combination: tuple[str | None, ...]) -> str:
    return json.dumps(combination, ensure_ascii=False)


def recoded_frame(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The rows as a model sees them; the frame is not changed."""
    tuples = {
        constraint.label: _tuples(frame, constraint, nothing_is_null=constraint.kind == "combinations" and constraint.combinations is None)
        for constraint in table.constraints
        if constraint.kind in _AS_ONE
    }
    return frame.assign(**tuples)


def _tuples(frame: pd.DataFrame, constraint: Constraint, *, nothing_is_null: bool) -> pd.Series[Any]:
    """Each row's tuple as one text."""
    texts = pd.DataFrame({name: as_text(frame[name]) for name in constraint.columns}, dtype=object)
    number, distinct = distinct_rows(texts)
    names = np.array([*(_written(row) for row in distinct), None], dtype=object)[:-1]
    if nothing_is_null:
        names = np.array([None if all(value is None for value in row) else _written(row) for row in distinct] + [None], dtype=object)[:-1]
    return pd.Series(names[number], index=frame.index, dtype=object)


def distinct_rows(texts: pd.DataFrame) -> tuple[npt.NDArray[np.int64], list[tuple[str | None, ...]]]:
    """Number of each row's tuple, shape (n_rows,), and the tuples."""
    number = np.asarray(texts.groupby(list(texts.columns), dropna=False, sort=False).ngroup(), dtype=np.int64)
    first = np.unique(number, return_index=True)[1]
    return number, [
        tuple(None if pd.isna(value) else value for value in row) for row in texts.iloc[first].itertuples(index=False, name=None)
    ]


def as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Categories, truth values and whole numbers as the text of a plan; None for null."""
    nulls = values.isna().to_numpy(dtype=bool)
    if values.dtype == "boolean":
        texts = np.where(values.fillna(False).to_numpy(dtype=bool), "true", "false").astype(object)
    else:
        texts = np.array([*map(str, values.astype(object)), None], dtype=object)[:-1]
    texts[nulls] = None
    return pd.Series(texts, index=values.index, dtype=object)


def _from_text(texts: npt.NDArray[np.object_], column: Column) -> pd.Series[Any]:
    """The inverse of ``as_text``."""
    nulls = np.array([text is None for text in texts], dtype=bool)
    if column.kind == "boolean":
        return pd.Series(pd.arrays.BooleanArray(texts == "true", nulls))
    if column.kind == "integer":
        return pd.Series(pd.arrays.IntegerArray(np.array([int(text or 0) for text in texts], dtype=np.int64), nulls))
    return pd.Series(texts, dtype=object)


def broken_rows(frame: pd.DataFrame, constraint: Constraint, table: Table) -> BoolArray:
    """Which rows break a constraint, shape (n_rows,); none can break combinations that are bought."""
    columns = [frame[name] for name in constraint.columns]
    nulls = np.array([column.isna().to_numpy(dtype=bool) for column in columns])
    if constraint.kind in _AS_ONE:
        allowed = _allowed(constraint, table)
        if allowed is None:
            return np.zeros(len(frame), dtype=bool)
        return ~_tuples(frame, constraint, nothing_is_null=False).isin([_written(row) for row in allowed]).to_numpy(dtype=bool)
    if constraint.kind == "null_together":
        return np.asarray(nulls.any(axis=0) & ~nulls.all(axis=0))
    if constraint.kind == "sum":
        return _wrong_total(frame, constraint, table, np.asarray(nulls.any(axis=0)))
    values = np.array([_plain(column) for column in columns])
    # The largest value before each column; a null takes part in no comparison.
    before = np.maximum.accumulate(np.where(nulls, _extreme(values, -1), values), axis=0)
    return np.asarray(((values[1:] < before[:-1]) & ~nulls[1:]).any(axis=0))


def _wrong_total(frame: pd.DataFrame, constraint: Constraint, table: Table, unknown: BoolArray) -> BoolArray:
    total = table[str(constraint.total)]
    actual, expected = frame[total.name], _total(frame, constraint, total)
    gone = actual.isna().to_numpy(dtype=bool)
    wrong = np.abs(_plain(actual) - _plain(expected)) > (0 if total.kind == "integer" else total.step / 2)
    return np.asarray(np.where(gone | unknown, gone != unknown, wrong))


def _total(frame: pd.DataFrame | Mapping[str, pd.Series[Any]], constraint: Constraint, total: Column) -> pd.Series[Any]:
    """The sum of the parts, exact on the total's grid; null where a part is."""
    summed = frame[constraint.columns[0]]
    for name in constraint.columns[1:]:
        summed = summed + frame[name]
    return summed.round(min(total.scale, 15)) if total.kind == "decimal" else summed


def _plain(values: pd.Series[Any]) -> npt.NDArray[Any]:
    """Decimals as float64, integers and datetimes as int64; what stands for null has no meaning."""
    if values.dtype.kind == "M":
        return values.to_numpy().astype("datetime64[s]").astype(np.int64)
    return values.fillna(0).to_numpy(dtype=np.int64 if values.dtype == "Int64" else np.float64)


def _extreme(values: npt.NDArray[Any], sign: int) -> Any:
    """The smallest (-1) or largest (1) number of the values' type."""
    if values.dtype.kind == "f":
        return sign * np.inf
    return np.iinfo(np.int64).max if sign > 0 else np.iinfo(np.int64).min


def enforce(frame: pd.DataFrame, table: Table, *, on_violation: ViolationPolicy = "stop") -> tuple[pd.DataFrame, dict[str, int]]:
    """Check typed rows against the table's constraints.

    Args:
        frame: Typed rows; not changed.
        table: Says which constraints hold.
        on_violation: ``stop`` refuses broken rows. ``clip`` moves their values, row by row: ordered values are put in order, a total is
            computed anew, and the columns of other constraints become null.

    Returns:
        The frame, and how many rows were moved, by the constraint's label. Exact counts: internal.

    Raises:
        SchemaError: Rows break a constraint and ``on_violation`` is ``stop``, or the columns may not be null.
    """
    moved: dict[str, int] = {}
    for constraint in table.constraints:
        broken = broken_rows(frame, constraint, table)
        if not broken.any():
            continue
        to_null = constraint.kind not in ("ordered", "sum")
        if on_violation == "stop" or (to_null and not _all_nullable(constraint, table)):
            raise SchemaError(
                f"constraint {constraint.label!r} ({constraint.kind}) is broken by {int(broken.sum())} rows, in "
                f'{records(np.flatnonzero(broken))}; correct them or the constraint, or set on_violation = "clip" (for nullable columns)'
            )
        moved[constraint.label] = int(broken.sum())
        frame = frame.assign(**_repaired(frame, constraint, table, broken))
    return frame, moved


def _repaired(frame: pd.DataFrame, constraint: Constraint, table: Table, broken: BoolArray) -> dict[str, pd.Series[Any]]:
    if constraint.kind == "sum":
        total = table[str(constraint.total)]
        return {total.name: _total(frame, constraint, total)}
    if constraint.kind == "ordered":
        return _in_order(frame, constraint, table, {})
    return {name: frame[name].mask(pd.Series(broken, index=frame.index), None) for name in constraint.columns}


def finished_rows(
    values: Mapping[str, pd.Series[Any]], table: Table, *, rng: np.random.Generator, fixed: Mapping[str, BoolArray] | None = None
) -> pd.DataFrame:
    """Rows of the declared table from sampled values of the recoded one.

    Args:
        values: The measured columns of the recoded table, each of shape (n_rows,).
        table: The declared table.
        rng: Used where values are drawn from other rows (``null_together``).
        fixed: Rows of a column that were given and may not move.

    Returns:
        The modelled columns in table order, without a row that breaks a constraint or a map.
    """
    full = dict(values)
    for constraint in table.constraints:
        if constraint.kind in _AS_ONE:
            full |= split_tuples(full.pop(constraint.label), constraint, table)
        elif constraint.kind == "ordered":
            full |= _in_order(full, constraint, table, fixed or {})
        elif constraint.kind == "null_together":
            full |= _null_alike(full, constraint, rng)
        else:
            total = table[str(constraint.total)]
            full[total.name] = _total(full, constraint, total)
    for target, source in determined_by(table).items():
        full[target] = fill_determined(full[source], table[target], table[source].determines[target])
    return pd.DataFrame({column.name: full[column.name] for column in table.modelled}, copy=False)


def split_tuples(tuples: pd.Series[Any], constraint: Constraint, table: Table) -> dict[str, pd.Series[Any]]:
    """The columns that a column of tuples stands for."""
    number, names = pd.factorize(tuples.to_numpy(dtype=object))  # null has number -1: the last tuple
    rows = [*(json.loads(name) for name in names), [None] * len(constraint.columns)]
    parts = {}
    for place, name in enumerate(constraint.columns):
        distinct = np.array([row[place] for row in rows] + [None], dtype=object)[:-1]
        parts[name] = _from_text(distinct, table[name]).iloc[number].reset_index(drop=True)
    return parts


def _null_alike(values: Mapping[str, pd.Series[Any]], constraint: Constraint, rng: np.random.Generator) -> dict[str, pd.Series[Any]]:
    """Every column null exactly where the first is; a value that is missing is that of another row, drawn at random."""
    columns = [values[name].reset_index(drop=True) for name in constraint.columns]
    present = [column.notna().to_numpy(dtype=bool) for column in columns]
    shown = present[0] if all(rows.any() for rows in present) else np.zeros(len(columns[0]), dtype=bool)
    alike = {}
    for name, column, rows in zip(constraint.columns, columns, present, strict=True):
        source = np.arange(len(column))
        missing = shown & ~rows
        if missing.any():
            source[missing] = rng.choice(np.flatnonzero(rows), int(missing.sum()))
        alike[name] = column.iloc[source].reset_index(drop=True).mask(pd.Series(~shown), None)
    return alike


def _in_order(
    values: Mapping[str, pd.Series[Any]] | pd.DataFrame, constraint: Constraint, table: Table, fixed: Mapping[str, BoolArray]
) -> dict[str, pd.Series[Any]]:
    """Each row's values in increasing order, every column inside its own bounds; nulls stay where they are.

    Let L_i be the largest lower bound of the columns up to i and H_i the smallest upper bound of the columns from i on, over
    those with a value. Both increase with i and L_i <= H_i (else the plan is refused), so clipping the i-th
    smallest value to [L_i, H_i] keeps the order and every bound. A row that is in order already does not change. In rows
    with given values, these are bounds too, and the others move to the nearest allowed value.
    """
    columns = [table[name] for name in constraint.columns]
    series = [values[name] for name in constraint.columns]
    nulls = np.array([column.isna().to_numpy(dtype=bool) for column in series])
    plain = np.array([_plain(column) for column in series])
    smallest, largest = _extreme(plain, -1), _extreme(plain, 1)
    given = np.array([fixed.get(name, np.zeros(plain.shape[1], dtype=bool)) for name in constraint.columns])
    low = np.array([smallest if column.bounds is None else column.bounds[0] for column in columns], dtype=plain.dtype)[:, None]
    high = np.array([largest if column.bounds is None else last_value(column) for column in columns], dtype=plain.dtype)[:, None]
    low = np.where(nulls, smallest, np.where(given, plain, low))
    high = np.where(nulls, largest, np.where(given, plain, high))
    low, high = np.maximum.accumulate(low, axis=0), np.minimum.accumulate(high[::-1], axis=0)[::-1]
    if given.any() and (low > high).any():
        raise SchemaError(
            f"given: {int((low > high).any(axis=0).sum())} rows leave no value that keeps {constraint.label!r} and the bounds; correct them"
        )
    ordered = np.where(given.any(axis=0), np.clip(plain, low, high), np.clip(_sorted_rows(plain, nulls), low, high))
    ordered = np.where(nulls, plain, np.maximum.accumulate(np.where(nulls, smallest, ordered), axis=0))
    changed = (ordered != plain) & ~nulls
    return {
        name: column if not rows.any() else _with_plain(column, row, rows)
        for name, column, row, rows in zip(constraint.columns, series, ordered, changed, strict=True)
    }


def _sorted_rows(plain: npt.NDArray[Any], nulls: BoolArray) -> npt.NDArray[Any]:
    """The i-th column with a value gets the i-th smallest value, shape (n_columns, n_rows)."""
    if not nulls.any():
        return np.sort(plain, axis=0)
    ordered = np.sort(np.where(nulls, _extreme(plain, 1), plain), axis=0)
    rank = np.clip(np.cumsum(~nulls, axis=0) - 1, 0, None)
    return np.take_along_axis(ordered, rank, axis=0)


def _with_plain(column: pd.Series[Any], plain: npt.NDArray[Any], rows: BoolArray) -> pd.Series[Any]:
    changed = column.copy()
    changed[rows] = plain[rows].astype("datetime64[s]") if column.dtype.kind == "M" else plain[rows]
    return changed
