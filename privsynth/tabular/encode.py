"""Values to cells and back: the finest domain on which a column is ever counted.

A column's cells are public: declared facts, or facts bought from the budget, fix them before a
histogram is drawn. Categories get one cell each. A numeric column with at most ``MAX_SINGLE_VALUES`` values gets one cell
per value; a longer one gets a linear grid united with a geometric grid around zero and around both bounds, so
that a heavy tail keeps its resolution and a point mass at zero or at a bound has a cell of its own. Null has
the last cell unless a person declared that nulls do not occur.

Numbers live on the grid ``low + index * step`` and are handled as int64 indices, so integers are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset, conform
from privsynth.errors import SchemaError
from privsynth.privacy.noise import NoiseSource
from privsynth.registry import hint
from privsynth.schema import ROW, Column, Schema, Table

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_SINGLE_VALUES = 256
LINEAR_CELLS = 96
CELLS_PER_DOUBLING = 2
MAX_GRID = 2**62
"""Longest grid whose indices and differences fit int64."""


class Cells(Protocol):
    """The cells of one column."""

    @property
    def column(self) -> Column:
        """The column, with declared or bought facts."""
        ...

    @property
    def size(self) -> int:
        """Number of cells, the null cell included."""
        ...

    @property
    def widths(self) -> FloatArray:
        """How many values each cell holds, shape (size,); 1 for null."""
        ...

    def encode(self, values: pd.Series[Any]) -> tuple[IntArray, int]:
        """Cell of each value, shape (n,), and how many values were moved to fit a cell."""
        ...

    def decode(self, cells: IntArray, *, rng: np.random.Generator) -> pd.Series[Any]:
        """A value drawn uniformly inside each cell, typed by kind."""
        ...


@dataclass(frozen=True, kw_only=True)
class CategoryCells:
    """One cell per category or truth value, then "other" if the categories were bought, then null.

    Values that no bought category covers fall into "other", which is never decoded.
    """

    column: Column
    has_other: bool = False

    @property
    def categories(self) -> tuple[str, ...]:
        """The values in cell order; truth values are "false" and "true"."""
        return ("false", "true") if self.column.kind == "boolean" else self.column.categories or ()

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.categories) + self.has_other + self.column.nullable

    @property
    def widths(self) -> FloatArray:
        """One value per cell."""
        return np.ones(self.size)

    def encode(self, values: pd.Series[Any]) -> tuple[IntArray, int]:
        """Cell of each value, shape (n,); nothing is ever moved here."""
        nulls = values.isna().to_numpy(dtype=bool)
        if self.column.kind == "boolean":
            cells = values.fillna(False).to_numpy(dtype=bool).astype(np.int64)
        else:
            cells = pd.Index(list(self.categories), dtype=object).get_indexer(pd.Index(values.to_numpy(dtype=object))).astype(np.int64)
            unknown = (cells < 0) & ~nulls
            if unknown.any() and not self.has_other:
                raise SchemaError(
                    f"column {self.column.name!r}: {int(unknown.sum())} values are outside the declared categories; correct them"
                )
            cells[unknown] = len(self.categories)
        return _with_nulls(cells, nulls, self), 0

    def decode(self, cells: IntArray, *, rng: np.random.Generator) -> pd.Series[Any]:
        """The category of each cell."""
        if self.column.kind == "boolean":
            return pd.Series(pd.arrays.BooleanArray(cells == 1, cells > 1))
        names = np.array([*self.categories, *[None] * (self.size - len(self.categories))], dtype=object)
        return pd.Series(names[cells], dtype=object)


@dataclass(frozen=True, kw_only=True)
class NumericCells:
    """Intervals of the value grid ``low + index * step``.

    Attributes:
        column: The column, with bounds; without them (nothing could be bought) null is the only cell.
        edges: First grid index of each interval and, last, the grid's length; shape (n_intervals + 1,), increasing.
    """

    column: Column
    edges: IntArray

    @property
    def size(self) -> int:
        """Number of cells."""
        return max(len(self.edges) - 1, 0) + self.column.nullable

    @property
    def widths(self) -> FloatArray:
        """Grid values in each cell; 1 for null."""
        return np.append(np.diff(self.edges).astype(np.float64), [1.0] * self.column.nullable)

    def encode(self, values: pd.Series[Any]) -> tuple[IntArray, int]:
        """Cell of each value, shape (n,), and how many were clipped to a bound or rounded to the grid."""
        nulls = values.isna().to_numpy(dtype=bool)
        if len(self.edges) < 2:
            return np.zeros(len(values), dtype=np.int64), int((~nulls).sum())
        indices, moved = self._indices(values, nulls)
        cells = np.searchsorted(self.edges, indices, side="right").astype(np.int64) - 1
        return _with_nulls(cells, nulls, self), int((moved & ~nulls).sum())

    def _indices(self, values: pd.Series[Any], nulls: npt.NDArray[np.bool_]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Grid index of each value and whether it moved; the null rows hold index 0."""
        low, last = grid_start(self.column), int(self.edges[-1]) - 1
        if self.column.kind == "decimal":
            exact = (values.fillna(low).to_numpy(dtype=np.float64) - low) / self.column.step
            rounded = np.rint(np.clip(exact, -1.0, last + 1.0))
            # A value off the grid by rounding error of the division has not been moved.
            moved = np.abs(exact - rounded) > 1e-6 * np.maximum(1.0, np.abs(exact))
            indices = rounded.astype(np.int64)
            return np.clip(indices, 0, last), moved | (indices < 0) | (indices > last)
        step, start, end = int(self.column.step), int(low), int(low) + last * int(self.column.step)
        whole = _whole_numbers(values, start)
        inside = np.clip(whole, start, end)
        offsets = inside - start
        return (offsets + step // 2) // step, (inside != whole) | (offsets % step != 0)

    def decode(self, cells: IntArray, *, rng: np.random.Generator) -> pd.Series[Any]:
        """A grid value drawn uniformly inside each cell."""
        n_intervals = max(len(self.edges) - 1, 0)
        nulls = cells >= n_intervals
        if n_intervals == 0:
            indices = np.zeros(len(cells), dtype=np.int64)
        else:
            safe = np.where(nulls, 0, cells)
            indices = self.edges[:-1][safe] + _uniform_below(np.diff(self.edges), safe, rng)
        return typed_numbers(self.column, indices, nulls)


def _uniform_below(widths: IntArray, cells: IntArray, rng: np.random.Generator) -> IntArray:
    """A uniform integer in [0, width of its cell), shape (n,)."""
    if widths.max() == 1:
        return np.zeros(len(cells), dtype=np.int64)
    if widths.max() < 2**32:  # 53 random bits leave a bias below 2**-21
        return (rng.random(len(cells)) * widths[cells]).astype(np.int64)
    return rng.integers(0, widths[cells])


def typed_numbers(column: Column, indices: IntArray, nulls: npt.NDArray[np.bool_]) -> pd.Series[Any]:
    """The values at these grid indices, shape (n,), null where ``nulls`` is true, typed by kind."""
    low = grid_start(column)
    if column.kind == "decimal":
        return pd.Series(np.where(nulls, np.nan, np.round(low + indices * column.step, min(column.scale, 15))))
    whole = int(low) + indices * int(column.step)
    if column.kind == "datetime":
        stamps = whole.astype("datetime64[s]")
        stamps[nulls] = np.datetime64("NaT")
        return pd.Series(stamps)
    return pd.Series(pd.arrays.IntegerArray(whole, nulls))


def _with_nulls(cells: IntArray, nulls: npt.NDArray[np.bool_], domain: CategoryCells | NumericCells) -> IntArray:
    if nulls.any() and not domain.column.nullable:
        raise SchemaError(
            f"column {domain.column.name!r} is declared without nulls but has {int(nulls.sum())}; correct the data or the plan"
        )
    return np.where(nulls, domain.size - 1, cells)


def _whole_numbers(values: pd.Series[Any], fill: int) -> IntArray:
    """Integers, or datetimes as seconds, as int64; null rows hold ``fill``."""
    if values.dtype.kind == "M":
        stamps = values.to_numpy().astype("datetime64[s]")
        return np.where(np.isnat(stamps), fill, stamps.astype(np.int64))
    return values.fillna(fill).to_numpy(dtype=np.int64)


def grid_start(column: Column) -> float:
    """First value of the grid: the lower bound, rounded up to a whole number unless decimals are meant."""
    low = column.bounds[0] if column.bounds else 0.0
    return low if column.kind == "decimal" else math.ceil(low)


def _grid_length(column: Column, low: float, high: float) -> int:
    """Values on the grid from ``low`` to ``high``."""
    if column.kind != "decimal":  # in whole numbers: beyond 2**53 a float no longer tells neighbours apart
        return (math.floor(high) - math.ceil(low)) // int(column.step) + 1
    # The small slack keeps a bound on the grid that division moves just below it.
    return math.floor((high - low) / column.step * (1 + 1e-12) + 1e-9) + 1


def _grid_index(column: Column, low: float, value: float) -> int:
    """Grid index nearest to a public value."""
    if column.kind == "decimal":
        return round((value - low) / column.step)
    step = int(column.step)
    return (round(value) - int(low) + step // 2) // step


def last_value(column: Column) -> float:
    """The largest value of a bounded column's grid: its upper bound, or the grid value below it."""
    assert column.bounds is not None
    low = grid_start(column)
    steps = _grid_length(column, low, column.bounds[1]) - 1
    return round(low + steps * column.step, column.scale) if column.kind == "decimal" else int(low) + steps * int(column.step)


def numeric_cells(column: Column) -> NumericCells:
    """The candidate cells of a numeric column with bounds; depends on public facts only.

    Raises:
        SchemaError: The grid between the bounds is empty or longer than 2**62.
    """
    if column.bounds is None:
        return NumericCells(column=column, edges=np.zeros(0, dtype=np.int64))
    low, high = grid_start(column), column.bounds[1]
    length = _grid_length(column, low, high)
    if not 1 <= length <= MAX_GRID:
        raise SchemaError(f"bounds and step={column.step!r} of column {column.name!r} give a grid of {length} values; expected 1 to 2**62")
    if length <= MAX_SINGLE_VALUES:
        return NumericCells(column=column, edges=np.arange(length + 1, dtype=np.int64))
    zero = _grid_index(column, low, 0.0)
    anchors = [0, length - 1, *([zero] if column.kind != "datetime" and 0 < zero < length - 1 else [])]
    edges = {length * part // LINEAR_CELLS for part in range(LINEAR_CELLS + 1)}
    for value in column.point_masses:
        mass = _grid_index(column, low, value)
        edges |= {edge for edge in (mass, mass + 1) if 0 <= edge <= length}
    for anchor in anchors:
        edges.update(_geometric_edges(anchor, length))
    return NumericCells(column=column, edges=np.array(sorted(edges), dtype=np.int64))


def _geometric_edges(anchor: int, length: int) -> set[int]:
    """Edges that isolate the anchor and then move away from it by a constant factor, inside [0, length]."""
    offsets = {1, *(round(2 ** (k / CELLS_PER_DOUBLING)) for k in range(CELLS_PER_DOUBLING * length.bit_length()))}
    # An offset below an anchor is mirrored so that the anchor's own cell is [anchor, anchor + 1).
    edges = {anchor, *(anchor + offset for offset in offsets), *(anchor + 1 - offset for offset in offsets)}
    return {edge for edge in edges if 0 <= edge <= length}


def cells_of(column: Column, *, bought: bool = False) -> Cells:
    """The cells of a column whose facts are declared, or were bought."""
    return numeric_cells(column) if column.is_numeric else CategoryCells(column=column, has_other=bought)


def prefix_groups(domain: CategoryCells) -> tuple[IntArray, ...]:
    """Group of each cell at each declared prefix length, each of shape (size,); -1 for "other" and null."""
    groups = []
    for length in domain.column.prefix:
        group = np.full(domain.size, -1, dtype=np.int64)
        group[: len(domain.categories)] = pd.factorize(np.array([name[:length] for name in domain.categories], dtype=object))[0]
        groups.append(group)
    return tuple(groups)


def limit_rows(train: Dataset, *, noise: NoiseSource) -> tuple[pd.DataFrame, npt.NDArray[np.object_], int]:
    """At most ``max_rows_per_person`` rows of each person, chosen by coins and not by values.

    Returns:
        The kept rows, the person behind each, shape (n_kept,), and how many rows were left out.
    """
    frame, units, limit = train.frame, train.units(), train.table.max_rows_per_person
    if train.schema.privacy_unit == ROW:
        return frame, units, 0
    person = pd.factorize(units)[0]
    over = np.flatnonzero(np.bincount(person, minlength=1)[person] > limit)
    priority = np.zeros(len(over), dtype=np.int64)
    for _ in range(32):  # 32 coins a row: a random order with rare ties
        priority = 2 * priority + noise.coins(len(over), 0.5)
    order = np.lexsort((priority, person[over]))
    ranked = person[over][order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.r_[starts, len(ranked)]))
    keep = np.ones(len(frame), dtype=bool)
    keep[over[order[rank >= limit]]] = False
    return frame.loc[keep].reset_index(drop=True), units[keep], int((~keep).sum())


def determined_by(table: Table) -> dict[str, str]:
    """Column -> the column that fixes it by a public map, in an order in which they can be filled.

    Only pairs in which a model sees both columns count; a column with several maps takes the first.

    Raises:
        SchemaError: A map's column is not in the table, or maps run in a circle.
    """
    parent: dict[str, str] = {}
    modelled = {column.name for column in table.modelled}
    for column in table.columns:
        for target in column.determines:
            if target not in table.names:
                raise SchemaError(
                    f"column {column.name!r} determines {target!r}, which is not in table {table.name!r}{hint(target, table.names)}"
                )
            if column.name in modelled and target in modelled:
                parent.setdefault(target, column.name)
    ordered: dict[str, str] = {}
    while len(ordered) < len(parent):
        ready = {
            target: source for target, source in parent.items() if target not in ordered and (source in ordered or source not in parent)
        }
        if not ready:
            circle = sorted(set(parent) - set(ordered))
            raise SchemaError(f"columns {', '.join(circle)} determine each other in a circle; remove one map")
        ordered |= ready
    return ordered


def fill_determined(source: pd.Series[Any], column: Column, mapping: Mapping[str, str]) -> pd.Series[Any]:
    """The determined column of synthetic rows: each source value looked up in the public map; null where there is none."""
    keys = pd.Index([*mapping, ""], dtype=object)
    raw = pd.DataFrame({column.name: [*mapping.values(), None]}, dtype=object)
    # The map is a public file: nullable here, because a null source has no image.
    free = replace(column, nullable=True, bounds=None, categories=None, determines={})
    table = Table(name=column.name, columns=(free,))
    images = conform(raw, Schema(tables=(table,), privacy_unit=ROW), table)[0][column.name]
    found = keys.get_indexer(pd.Index(source.astype(object).map(str, na_action="ignore")))
    return images.iloc[np.where(found < 0, len(mapping), found)].reset_index(drop=True)
