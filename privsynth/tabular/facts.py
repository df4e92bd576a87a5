"""Buying what nobody declared: bounds from a noisy histogram on a public grid, categories by partition selection.

A bought fact costs budget and finds only the bulk: a value that few people share stays unseen. Declaring bounds and
categories from public knowledge is free and better; the reports say which facts were bought.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import numbers
from privsynth.privacy.noise import NoiseSource
from privsynth.schema import Column

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

DOUBLINGS = 52
"""Magnitudes up to 2**52 steps can be bought: integers stay exact in float64 bounds."""
FIRST_YEAR, LAST_YEAR = 1900, 2100


def bounds_grid(column: Column) -> FloatArray:
    """Public candidate bounds of a numeric column, increasing, shape (n_cells + 1,).

    Numbers: 0 and plus or minus ``step * 2**k``. Datetimes: the first second of each year from 1900 to 2100.
    """
    if column.kind == "datetime":
        years = np.arange(FIRST_YEAR, LAST_YEAR + 1) - 1970
        return years.astype("datetime64[Y]").astype("datetime64[s]").astype(np.int64).astype(np.float64)
    powers = column.step * 2.0 ** np.arange(DOUBLINGS + 1)
    return np.concatenate([-powers[::-1], [0.0], powers])


def count_on_grid(values: pd.Series[Any], column: Column) -> IntArray:
    """How many values lie in each cell ``[grid[k], grid[k + 1])``, shape (n_cells,); values beyond the grid count in the last cells.

    One person with at most m rows changes this histogram by at most m in L1, so by at most m in L2.
    """
    present = numbers(values, column)
    present = present[~np.isnan(present)]
    grid = bounds_grid(column)
    cells = np.clip(np.searchsorted(grid, present, side="right") - 1, 0, len(grid) - 2)
    return np.bincount(cells, minlength=len(grid) - 1).astype(np.int64)


def bounds_from_counts(noisy: IntArray, sigma: float, column: Column) -> tuple[float, float] | None:
    """The range of the cells whose noisy count stands out, or None if no cell does (post-processing).

    The threshold is the level that noise on empty cells passes with a chance of about 5 % over the whole grid:
    sigma * sqrt(2 ln(20 n_cells)).
    """
    seen = np.flatnonzero(noisy > sigma * math.sqrt(2 * math.log(20 * len(noisy))))
    if not len(seen):
        return None
    grid = bounds_grid(column)
    low, high = float(grid[seen[0]]), float(grid[seen[-1] + 1])
    # The cell is half open: its last value is one step below its end.
    return (low, high - column.step) if high - column.step > low else (low, high)


def selection_threshold(*, epsilon: float, delta: float, max_rows_per_person: int) -> int:
    """Smallest noisy count at which a category may be shown.

    Let each person count once in each of at most m categories, Z be discrete Laplace noise of scale m / epsilon, so
    P[Z = z] = (1 - a) / (1 + a) * a^|z| with a = exp(-epsilon / m). Add one person:

    * categories that others have too: at most m counts change, each by 1, so L1 by at most m, and noisy counts (hence which of them pass)
      are epsilon-indistinguishable;
    * categories that only this person has: at most m, each with count 1. One passes with probability
      P[Z >= T - 1] = a^(T - 1) / (1 + a), any of them with at most m times that.

    So the selection is (epsilon, delta) for the smallest T >= 2 with m a^(T - 1) / (1 + a) <= delta. This is the exact
    discrete form of 1 + m ln(m / 2 delta) / epsilon (Korolova et al. 2009; Wilson et al. 2020, arXiv:1909.01917).

    >>> selection_threshold(epsilon=1.0, delta=1e-6, max_rows_per_person=1)
    15
    """
    m = max_rows_per_person
    decay = math.exp(-epsilon / m)
    return 1 + max(1, math.ceil(math.log(m / (delta * (1 + decay))) * m / epsilon))


def select_categories(
    values: pd.Series[Any],
    units: npt.NDArray[np.object_],
    *,
    epsilon: float,
    delta: float,
    max_rows_per_person: int,
    noise: NoiseSource,
) -> tuple[str, ...]:
    """The categories that enough people share, sorted by name so that their order says nothing.

    Proof at ``selection_threshold``. Each person counts once per category, however many rows show it.
    """
    pairs = pd.DataFrame({"unit": units, "value": values.to_numpy(dtype=object)}).dropna(subset=["value"]).drop_duplicates()
    counts = pairs["value"].value_counts(sort=False)
    if counts.empty:
        return ()
    noisy = noise.discrete_laplace(np.asarray(counts, dtype=np.int64), max_rows_per_person / epsilon)
    threshold = selection_threshold(epsilon=epsilon, delta=delta, max_rows_per_person=max_rows_per_person)
    return tuple(sorted(str(name) for name in counts.index[noisy >= threshold]))
