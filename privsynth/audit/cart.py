"""A generator that is known to remember: sequential trees, the positive control of the self-test.

Each column is drawn from the values of the training rows that fall into the same leaf of a tree on the columns before it (Reiter
2005, Journal of Official Statistics 21; the method of the R package synthpop). With leaves of five rows it emits training values in
nearly their own combinations: it leaks, yet it copies no row on purpose. Never a release: for audits only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.dataset import numbers
from privsynth.errors import AuditError
from privsynth.schema import Column

MAX_ROWS = 20_000
"""Training rows that the trees are fitted to; more are sampled."""

_MAX_CLASSES = 60


def sequential_trees(train: pd.DataFrame, columns: tuple[Column, ...], n: int, *, rng: np.random.Generator, leaf: int = 5) -> pd.DataFrame:
    """Draw rows from sequential trees fitted to typed training rows.

    Args:
        train: Typed frame with at least one row.
        columns: Columns to draw, in the order in which they are fitted.
        n: Rows to draw.
        rng: Draws the sample, the seeds of the trees and the values.
        leaf: Fewest training rows in a leaf, at least 1; 1 copies.

    Returns:
        Typed frame of ``n`` rows, every value from ``train``.

    Raises:
        AuditError: There is no row to fit to, or ``leaf`` is below 1.
    """
    if not len(train) or leaf < 1:
        raise AuditError(f"train={len(train)} rows, leaf={leaf}; expected at least one of each")
    frame = train.iloc[rng.permutation(len(train))[:MAX_ROWS]].reset_index(drop=True)
    inputs = np.column_stack([_codes(frame[column.name], column) for column in columns])
    chosen = np.empty((n, len(columns)), dtype=np.int64)  # for each cell the training row that it comes from
    drawn = np.empty((n, len(columns)))
    for position in range(len(columns)):
        rows = rng.integers(len(frame), size=n) if position == 0 else _from_leaves(inputs, drawn, position, leaf, rng)
        chosen[:, position], drawn[:, position] = rows, inputs[rows, position]
    return pd.DataFrame(
        {column.name: frame[column.name].take(chosen[:, position]).reset_index(drop=True) for position, column in enumerate(columns)}
    )


def _codes(values: pd.Series, column: Column) -> np.ndarray:
    """Numbers as they are with nulls below all of them, others as codes."""
    if not column.is_numeric:
        return pd.factorize(values)[0].astype(float)
    plain = numbers(values, column)
    low = np.nanmin(plain) if (~np.isnan(plain)).any() else 0.0
    return np.where(np.isnan(plain), low - 1, plain)


def _from_leaves(inputs: np.ndarray, drawn: np.ndarray, position: int, leaf: int, rng: np.random.Generator) -> np.ndarray:
    """A training row for each drawn row: one of those in its leaf, by lot."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    target = inputs[:, position]
    kind = DecisionTreeClassifier if len(np.unique(target)) <= _MAX_CLASSES else DecisionTreeRegressor
    tree = kind(min_samples_leaf=leaf, random_state=int(rng.integers(2**31))).fit(inputs[:, :position], target)
    own, others = tree.apply(inputs[:, :position]), tree.apply(drawn[:, :position])
    order = np.argsort(own, kind="stable")
    first, last = np.searchsorted(own[order], others), np.searchsorted(own[order], others, side="right")
    rows: np.ndarray = order[first + np.floor(rng.random(len(others)) * (last - first)).astype(np.int64)]
    return rows
