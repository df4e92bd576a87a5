"""The nearest release row of every person for every secret left out, in one sweep over the columns.

Someone who knows all of a person's record but one value looks for the release row nearest in what they know. With a secret in
each of d columns that is d searches; but the distance (after Gower 1971) is a sum over columns, so the distance without a
column is the total minus that column's term, and all searches share one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privsynth.audit.encoding import Encoder, Float32Array, IntArray, Records
from privsynth.errors import AuditError

_TILE_ROWS = 32
_TILE_COLUMNS = 2048


@dataclass(frozen=True, kw_only=True)
class ColumnView:
    """Where one column lies in the numbers and the categories of ``Records``; None if it has no such part."""

    numeric: int | None
    categorical: int | None


def column_views(encoder: Encoder) -> tuple[ColumnView, ...]:
    """The views of all columns of an encoding, in column order."""
    views: list[ColumnView] = []
    n_numeric = n_categorical = 0
    for column in encoder.columns:
        has_category = not column.is_numeric or column.name in encoder.marks_null
        views.append(ColumnView(numeric=n_numeric if column.is_numeric else None, categorical=n_categorical if has_category else None))
        n_numeric += column.is_numeric
        n_categorical += has_category
    return tuple(views)


def restricted(records: Records, views: Sequence[ColumnView], columns: Sequence[int]) -> Records:
    """The same rows with some of their columns, by position."""
    numeric = [view.numeric for view in (views[column] for column in columns) if view.numeric is not None]
    categorical = [view.categorical for view in (views[column] for column in columns) if view.categorical is not None]
    return Records(
        cells=records.cells[:, list(columns)],
        codes=records.codes[:, list(columns)],
        numeric=records.numeric[:, numeric],
        categorical=records.categorical[:, categorical],
    )


def nearest_without(
    queries: Records, reference: Records, views: Sequence[ColumnView], known: Sequence[int], secrets: Sequence[int]
) -> tuple[Float32Array, IntArray]:
    """The nearest reference row of each query for each secret, in the known columns other than the secret.

    Args:
        queries: n rows.
        reference: At least one row.
        views: Of all columns.
        known: Positions of the columns that the attacker knows.
        secrets: Positions of the columns to guess, in ``known`` or not.

    Returns:
        Distances, shape (n, n_secrets), and row numbers, shape (n, n_secrets). Among equal distances the order of ``reference``
        decides. Distances may be off by float32 rounding, alike for all queries.

    Raises:
        AuditError: There is no reference row, or nothing is known besides a secret.
    """
    if not len(reference) or any(set(known) <= {secret} for secret in secrets):
        raise AuditError(
            f"reference={len(reference)} rows, known={len(known)} columns; expected a row, and a known column besides each secret"
        )
    # A secret outside the known columns leaves the total as it is: one search serves all such secrets.
    left_out = sorted({known.index(secret) if secret in known else -1 for secret in secrets})
    distances, rows = _sweep(queries, reference, [views[column] for column in known], left_out)
    chosen = [left_out.index(known.index(secret) if secret in known else -1) for secret in secrets]
    return distances[:, chosen], rows[:, chosen]


def _sweep(queries: Records, reference: Records, views: Sequence[ColumnView], left_out: Sequence[int]) -> tuple[Float32Array, IntArray]:
    """Best distance and row for each entry of ``left_out`` (a position in ``views``, -1 for none), tile by tile."""
    n = len(queries)
    best = np.full((n, len(left_out)), np.inf, dtype=np.float32)
    rows = np.zeros((n, len(left_out)), dtype=np.int64)
    numbers = np.ascontiguousarray(reference.numeric.T)
    categories = np.ascontiguousarray(reference.categorical.T)
    terms = np.empty((len(views), _TILE_ROWS, min(_TILE_COLUMNS, len(reference))), dtype=np.float32)
    total = np.empty(terms.shape[1:], dtype=np.float32)
    rest = np.empty_like(total)
    for start in range(0, n, _TILE_ROWS):
        some = slice(start, min(start + _TILE_ROWS, n))
        height = some.stop - start
        line = np.arange(height)
        for left in range(0, len(reference), _TILE_COLUMNS):
            tile = slice(left, min(left + _TILE_COLUMNS, len(reference)))
            width = tile.stop - left
            block, whole, other = terms[:, :height, :width], total[:height, :width], rest[:height, :width]
            for position, view in enumerate(views):
                _fill_term(block[position], queries, some, numbers, categories, tile, view)
            np.sum(block, axis=0, out=whole)
            for number, position in enumerate(left_out):
                near = whole if position < 0 else np.subtract(whole, block[position], out=other)
                nearest = near.argmin(axis=1)
                distance = near[line, nearest]
                better = distance < best[some, number]
                best[some, number] = np.where(better, distance, best[some, number])
                rows[some, number] = np.where(better, nearest + left, rows[some, number])
    return best, rows


def _fill_term(
    out: Float32Array,
    queries: Records,
    some: slice,
    numbers: Float32Array,
    categories: npt.NDArray[np.int32],
    tile: slice,
    view: ColumnView,
) -> None:
    """One column's distances, shape (n_queries, n_reference) of the tile."""
    if view.numeric is None:
        assert view.categorical is not None
        np.not_equal(queries.categorical[some, view.categorical, None], categories[view.categorical, None, tile], out=out, casting="unsafe")
        return
    np.subtract(queries.numeric[some, view.numeric, None], numbers[view.numeric, None, tile], out=out)
    np.abs(out, out=out)
    if view.categorical is not None:  # a null is at distance 1 from every number, and its own number sits at the median
        out += queries.categorical[some, view.categorical, None] != categories[view.categorical, None, tile]
