"""One encoding of train, holdout and synthetic that every attack shares, and the nearest-neighbour kernel.

Three views of a record. ``cells`` are exact values (is this row a copy?). ``codes`` are 20 quantile bins or
categories (does this combination occur?). ``numeric`` and ``categorical`` carry a distance in the manner
of Gower (1971): numbers differ by their gap over the column's spread, categories by 0 or 1, summed over columns.
What is learned from the data is learned from train and holdout together, without saying which is which, so
that no view can tell them apart by itself. Nulls are a value of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset, numbers
from privsynth.errors import AuditError
from privsynth.schema import ROW, Column

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
KeyArray = npt.NDArray[np.uint64]

BINS = 20
"""Quantile bins of a numeric column with more distinct values than this."""

NULL_CELL = np.uint64(0x9E3779B97F4A7C15)
"""Stands for null among exact values."""
_BLOCK_ROWS = 64
_BLOCK_COLUMNS = 8192


@dataclass(frozen=True, kw_only=True)
class Records:
    """Encoded rows of one table.

    Attributes:
        cells: Exact values, shape (n, n_columns), uint64.
        codes: Bins and categories, shape (n, n_columns), 0 for null.
        numeric: Scaled numbers, shape (n, n_numeric), float32, without NaN: a null sits at the median and differs by its category.
        categorical: Categories and null marks, shape (n, n_categorical), int32.
    """

    cells: KeyArray
    codes: npt.NDArray[np.int32]
    numeric: Float32Array
    categorical: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.cells)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Records:
        """These rows, by position or mask."""
        return Records(cells=self.cells[rows], codes=self.codes[rows], numeric=self.numeric[rows], categorical=self.categorical[rows])


def concatenate(parts: Sequence[Records]) -> Records:
    """The rows of all parts, in order."""
    return Records(
        cells=np.concatenate([part.cells for part in parts]),
        codes=np.concatenate([part.codes for part in parts]),
        numeric=np.concatenate([part.numeric for part in parts]),
        categorical=np.concatenate([part.categorical for part in parts]),
    )


@dataclass(frozen=True, kw_only=True)
class NumericScale:
    """How a numeric column is encoded.

    Attributes:
        edges: Ascending inner bin edges, shape (n_bins - 1,); the distinct values themselves if there are at most ``BINS``.
        discrete: Whether ``edges`` are the distinct values.
        median: Sits at 0.
        spread: Gap that counts as 1: from the 1st to the 99th percentile (from smallest to largest value if these coincide).
    """

    edges: FloatArray
    discrete: bool
    median: float
    spread: float

    def scaled(self, values: FloatArray) -> FloatArray:
        """Values over the spread; beyond one spread from the median they grow with the logarithm.

        One income of a billion must not make all others equal, and two outliers must stay distinct: the map is strictly increasing.
        """
        plain = (values - self.median) / self.spread
        size = np.abs(plain)
        return np.where(size <= 1, plain, np.sign(plain) * (1 + np.log(np.maximum(size, 1))))

    def binned(self, values: FloatArray) -> npt.NDArray[np.int32]:
        """Codes from 1; a number that is none of the known distinct values gets a code of its own."""
        if not self.discrete:
            return (1 + np.searchsorted(self.edges, values, side="right")).astype(np.int32)
        position = np.minimum(np.searchsorted(self.edges, values), len(self.edges) - 1)
        known = self.edges[position] == values
        codes = 1 + position
        codes[~known] = 1 + len(self.edges) + np.unique(values[~known], return_inverse=True)[1]
        return codes.astype(np.int32)


def fit_scale(values: FloatArray) -> NumericScale:
    """The encoding of a numeric column from its values, shape (n,), without NaN."""
    distinct = np.unique(values)
    if len(distinct) == 0:
        return NumericScale(edges=np.zeros(1), discrete=True, median=0.0, spread=1.0)
    discrete = len(distinct) <= BINS
    edges = distinct if discrete else np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    low, high = np.quantile(values, [0.01, 0.99])
    spread = float(high - low) or float(distinct[-1] - distinct[0]) or 1.0
    return NumericScale(edges=edges, discrete=discrete, median=float(np.median(values)), spread=spread)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The encoding learned from train and holdout together.

    Attributes:
        columns: The modelled columns, in file order; PII, text and identifiers are left out.
        scales: Of the numeric columns, by name.
        categories: Known values of the others, by name; the code of a value is its position + 1.
        marks_null: Numeric columns that get a null mark in the distance.
    """

    columns: tuple[Column, ...]
    scales: dict[str, NumericScale]
    categories: dict[str, pd.Index]
    marks_null: frozenset[str]

    def subgroups(self, records: Records) -> dict[str, npt.NDArray[np.bool_]]:
        """Rows by declared category of each quasi-identifier, masks of shape (n,); named by public facts only."""
        groups: dict[str, npt.NDArray[np.bool_]] = {}
        for position, column in enumerate(self.columns):
            declared = ("False", "True") if column.kind == "boolean" else column.categories
            if not column.quasi_identifier or declared is None:
                continue
            codes = 1 + self.categories[column.name].get_indexer(pd.Index(declared))
            groups |= {
                f"{column.name} = {value}": records.codes[:, position] == code for value, code in zip(declared, codes, strict=True) if code
            }
        return groups

    def encode(self, frame: pd.DataFrame) -> Records:
        """Encode a typed frame with the same columns. Values that do not occur in train or holdout get codes of their own."""
        n = len(frame)
        cells, codes, numeric, categorical = [], [], [], []
        for column in self.columns:
            values = frame[column.name]
            null = values.isna().to_numpy(dtype=bool)
            if column.is_numeric:
                scale, plain = self.scales[column.name], numbers(values, column)
                code = np.where(null, 0, scale.binned(np.where(null, scale.median, plain))).astype(np.int32)
                cell = _exact(values, plain, null, column)
                numeric.append(np.where(null, 0.0, scale.scaled(np.where(null, scale.median, plain))).astype(np.float32))
                if column.name in self.marks_null:
                    categorical.append(null.astype(np.int32))
            else:
                code = _category_codes(values, null, self.categories[column.name])
                cell = code.astype(np.uint64)
                categorical.append(code)
            codes.append(code)
            cells.append(np.where(null, NULL_CELL, cell))
        return Records(
            cells=np.column_stack(cells),
            codes=np.column_stack(codes),
            numeric=np.column_stack(numeric) if numeric else np.zeros((n, 0), np.float32),
            categorical=np.column_stack(categorical) if categorical else np.zeros((n, 0), np.int32),
        )


def fit_encoder(columns: Sequence[Column], frames: Sequence[pd.DataFrame], *, release: pd.DataFrame) -> Encoder:
    """Learn the encoding from frames of train and holdout.

    Args:
        columns: Columns to encode, at least one.
        frames: Typed frames (see ``privsynth.dataset``).
        release: Only looked at for nulls, so that a null in the release is at distance from every number.

    Raises:
        AuditError: There is no column, or a frame lacks one.
    """
    if not columns:
        raise AuditError("columns=0 can be audited; expected at least one that is not PII, text or an identifier")
    for frame in (*frames, release):
        missing = [column.name for column in columns if column.name not in frame.columns]
        if missing:
            raise AuditError(f"column {missing[0]!r} is missing from one of train, holdout and synthetic; expected the same columns in all")
    pooled = pd.concat([frame[[column.name for column in columns]] for frame in frames], ignore_index=True)
    scales = {column.name: fit_scale(numbers(pooled[column.name].dropna(), column)) for column in columns if column.is_numeric}
    # Sorted: in the order of their occurrence the codes of rare categories would tell train, which stands first, from holdout.
    categories = {
        column.name: pd.Index(sorted(pooled[column.name].dropna().astype(str).unique()), dtype=object)
        for column in columns
        if not column.is_numeric
    }
    marks_null = frozenset(name for name in scales if pooled[name].isna().any() or release[name].isna().any())
    return Encoder(columns=tuple(columns), scales=scales, categories=categories, marks_null=marks_null)


def _category_codes(values: pd.Series, null: npt.NDArray[np.bool_], known: pd.Index) -> npt.NDArray[np.int32]:
    """Position among the known values + 1, 0 for null, and the next free codes for other values."""
    text = values[~null].astype(str)
    position = known.get_indexer(pd.Index(text))
    new = position < 0
    position[new] = len(known) + pd.factorize(text.to_numpy(dtype=object)[new])[0]
    codes = np.zeros(len(values), dtype=np.int32)
    codes[~null] = 1 + position
    return codes


def _exact(values: pd.Series, plain: FloatArray, null: npt.NDArray[np.bool_], column: Column) -> KeyArray:
    """Numbers as 64 bits; integers are not taken through float64, which rounds above 2**53."""
    if column.kind == "integer":
        return values.fillna(0).to_numpy(dtype=np.int64).view(np.uint64)
    return (np.where(null, 0.0, plain) + 0.0).view(np.uint64)  # + 0.0 makes -0.0 equal to 0.0


def row_keys(cells: KeyArray) -> KeyArray:
    """One 64-bit key per row, shape (n,): equal rows have equal keys, and others differ but with chance about n**2 / 2**65."""
    keys = np.zeros(len(cells), dtype=np.uint64)
    for column in range(cells.shape[1]):
        keys = _mixed(keys ^ cells[:, column])
    return keys


def _mixed(bits: KeyArray) -> KeyArray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection that changes half of the bits."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def nearest(queries: Records, reference: Records, *, k: int = 1) -> tuple[Float32Array, IntArray]:
    """The k nearest reference rows of each query.

    Args:
        queries: n rows.
        reference: At least k rows.
        k: Neighbours, at least 1.

    Returns:
        Distances, shape (n, k), ascending, in columns (0 for equal rows); and row numbers in ``reference``, shape (n, k). Among equal
        distances the order of ``reference`` decides: shuffle it where a tie must not favour anyone.

    Raises:
        AuditError: The reference has fewer than k rows.
    """
    if len(reference) < k:
        raise AuditError(f"reference={len(reference)} rows; expected at least k={k}")
    distances = np.empty((len(queries), k), dtype=np.float32)
    rows = np.empty((len(queries), k), dtype=np.int64)
    for start, block in _distance_blocks(queries, reference):
        stop = start + len(block)
        line = np.arange(len(block))
        for rank in range(k):  # k is small: k passes of a vectorised minimum beat a partition of the row
            chosen = block.argmin(axis=1)
            rows[start:stop, rank] = chosen
            distances[start:stop, rank] = block[line, chosen]
            block[line, chosen] = np.inf
    return distances, rows


def _distance_blocks(queries: Records, reference: Records) -> Iterator[tuple[int, Float32Array]]:
    """Distances of a few queries at a time to all reference rows, shape (block, n), and the first query's number.

    Column by column into one buffer, in tiles that stay in the cache; the buffer is reused, so a block must be read before the next.
    """
    numbers_q, numbers_r = queries.numeric, np.ascontiguousarray(reference.numeric.T)
    narrow = max(queries.categorical.max(initial=0), reference.categorical.max(initial=0)) < 256 and reference.categorical.shape[1] < 256
    kind: type[np.uint8] | type[np.int32] = np.uint8 if narrow else np.int32
    codes_q, codes_r = queries.categorical.astype(kind), np.ascontiguousarray(reference.categorical.T.astype(kind))
    block = np.empty((_BLOCK_ROWS, len(reference)), dtype=np.float32)
    for start in range(0, len(queries), _BLOCK_ROWS):
        some = slice(start, min(start + _BLOCK_ROWS, len(queries)))
        for left in range(0, len(reference), _BLOCK_COLUMNS):
            tile = slice(left, left + _BLOCK_COLUMNS)
            _fill(block[: some.stop - start, tile], numbers_q[some], numbers_r[:, tile], codes_q[some], codes_r[:, tile])
        yield start, block[: some.stop - start]


def _fill(
    out: Float32Array, numbers_q: Float32Array, numbers_r: Float32Array, codes_q: npt.NDArray[Any], codes_r: npt.NDArray[Any]
) -> None:
    """Write the distances of one tile: mismatching categories are counted in small integers first, which is several times faster."""
    mismatches = np.zeros(out.shape, dtype=np.uint8 if codes_r.dtype == np.uint8 else np.int32)
    differs = np.empty(out.shape, dtype=bool)
    for column in range(codes_q.shape[1]):
        np.not_equal(codes_q[:, column, None], codes_r[None, column], out=differs)
        np.add(mismatches, differs.view(np.uint8), out=mismatches)
    out[...] = mismatches
    gap = np.empty(out.shape, dtype=np.float32)
    for column in range(numbers_q.shape[1]):
        np.subtract(numbers_q[:, column, None], numbers_r[None, column], out=gap)
        np.abs(gap, out=gap)
        np.add(out, gap, out=out)


@dataclass(frozen=True, kw_only=True)
class Case:
    """The real records of an audit: train and holdout pooled in a random order, and who is behind each row.

    The order is random so that ties fall on either side by chance, and the label is looked at only when counting.

    Attributes:
        pool: Rows of train and holdout, shape (n,).
        person: Person behind each row, 0 .. n_people - 1, shape (n,).
        is_train: Whether each *person* is in train, shape (n_people,).
    """

    pool: Records
    person: IntArray
    is_train: npt.NDArray[np.bool_]

    @property
    def n_people(self) -> int:
        """People in train and holdout."""
        return len(self.is_train)

    @property
    def n_train(self) -> int:
        """People in train."""
        return int(self.is_train.sum())

    @property
    def n_holdout(self) -> int:
        """People in holdout."""
        return self.n_people - self.n_train

    @property
    def null_share(self) -> float:
        """Share of train among all people: what blind picking finds."""
        return self.n_train / self.n_people

    def one_row_each(self, people: IntArray, rng: np.random.Generator) -> Records:
        """One row of each of these people, drawn at random, shape (len(people),)."""
        order = rng.permutation(len(self.person))
        row = np.empty(self.n_people, dtype=np.int64)
        row[self.person[order]] = order  # the last write wins: a random row of the person
        return self.pool.take(row[people])


def make_case(
    train: Records,
    holdout: Records,
    *,
    units: tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]] | None = None,
    rng: np.random.Generator,
) -> Case:
    """Pool train and holdout in a random order.

    Args:
        train: Rows the release was made from.
        holdout: Rows it was not made from.
        units: Person behind each row of train and of holdout; None if each row is one person.
        rng: Draws the order.

    Raises:
        AuditError: A person is in both.
    """
    n_train, n_rows = len(train), len(train) + len(holdout)
    person = number_people(units, n_rows)
    if units is None:
        is_train = person < n_train
    else:
        is_train = np.zeros(person.max() + 1, dtype=bool)
        is_train[person[:n_train]] = True
        n_shared = len(np.unique(person[n_train:][is_train[person[n_train:]]]))
        if n_shared:
            raise AuditError(
                f"shared={n_shared} people are in train and in holdout; expected each person on one side: split by privacy_unit"
            )
    order = rng.permutation(n_rows)
    return Case(pool=concatenate([train, holdout]).take(order), person=person[order], is_train=is_train)


def number_people(units: tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]] | None, n_rows: int) -> IntArray:
    """The number of the person behind each row of train, then of holdout, shape (n_rows,); the row's own if each is one person."""
    return np.arange(n_rows) if units is None else pd.factorize(np.concatenate(units))[0].astype(np.int64)


def units_of(train: Dataset, holdout: Dataset) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]] | None:
    """The people of both, or None if each row is one person."""
    if train.schema.privacy_unit == ROW:
        return None
    return train.units(), holdout.units()
