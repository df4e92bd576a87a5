"""From noisy marginals on a tree to one consistent distribution, in closed form, and rows drawn from it.

On a tree no iteration over a joint table is needed (McKenna, Miklau & Sheldon 2021, arXiv:2108.04978, use mirror descent):
pool what all tables say about each column by inverse variance, project it to the simplex, bring each pair's table into line
with the margins of its two columns, and p(x) = p(root) * product of p(child | parent).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privsynth.tabular.binning import project_to_simplex

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

Edge = tuple[int, int]

PROJECTION_SWEEPS = 60
FITTING_SWEEPS = 40
TRACE = 1e-9
"""Probability that conditioning keeps for codes that the model gives none."""


@dataclass(frozen=True, kw_only=True)
class TreeDistribution:
    """A distribution over columns of codes whose dependence is a forest.

    Attributes:
        marginals: Probability of each code, one array of shape (size,) per column.
        parents: Parent of each column, -1 for a root, shape (n_columns,).
        order: Columns so that parents come first, shape (n_columns,).
        conditionals: Column -> P(code | parent's code), shape (size of parent, size), rows sum to 1.
    """

    marginals: tuple[FloatArray, ...]
    parents: IntArray
    order: IntArray
    conditionals: Mapping[int, FloatArray]

    def sample(self, n: int, *, rng: np.random.Generator, likelihoods: Mapping[int, FloatArray] | None = None) -> list[IntArray]:
        """Codes of ``n`` rows, one array of shape (n,) per column.

        Counts are drawn by systematic sampling, within each parent's code, and handed out in random order: each row follows the
        distribution, and the counts lie within one of their expectation. With ``likelihoods`` each row is drawn by itself from the
        distribution given what is known of it.

        Args:
            n: Rows.
            rng: Any generator; samples are no mechanism.
            likelihoods: Column -> P(what is known of the row | code), shape (n, size), not all zero in a row.
        """
        messages = self._messages(likelihoods or {})
        codes: list[IntArray] = [np.zeros(0, dtype=np.int64)] * len(self.marginals)
        for column in self.order.tolist():
            parent = int(self.parents[column])
            if column in messages:
                prior = self.marginals[column][None, :] if parent < 0 else self._smooth(column)[codes[parent]]
                codes[column] = _per_row(prior * messages[column], messages[column], rng)
            elif parent < 0:
                codes[column] = _systematic(self.marginals[column], n, rng)
            else:
                codes[column] = _given_parent(codes[parent], self.conditionals[column], rng)
        return codes

    def _messages(self, likelihoods: Mapping[int, FloatArray]) -> dict[int, FloatArray]:
        """P(all that is known in the column's subtree | code), up to a factor per row: Pearl's messages, leaves first."""
        messages: dict[int, FloatArray] = dict(likelihoods)
        for column in self.order.tolist()[::-1]:
            parent = int(self.parents[column])
            if column in messages and parent >= 0:
                upward = messages[column] @ self._smooth(column).T  # shape (n, size of parent)
                messages[parent] = _scaled(messages[parent] * _scaled(upward)) if parent in messages else _scaled(upward)
        return messages

    def _smooth(self, column: int) -> FloatArray:
        """P(code | parent's code) with a trace of every code, so that no value that a domain allows contradicts the model."""
        conditional = self.conditionals[column]
        return np.asarray((1 - TRACE) * conditional + TRACE / conditional.shape[1])


def _scaled(rows: FloatArray) -> FloatArray:
    """Each row divided by its maximum, so that long products do not vanish."""
    largest = rows.max(axis=1, keepdims=True)
    return np.asarray(rows / np.where(largest > 0, largest, 1.0))


def _per_row(weights: FloatArray, fallback: FloatArray, rng: np.random.Generator) -> IntArray:
    """One code per row with probability proportional to its weights, shape (n, size); rows without weight use the fallback's."""
    lost = weights.sum(axis=1) <= 0
    weights = np.where(lost[:, None], fallback, weights)
    cumulative = np.cumsum(weights, axis=1)
    thresholds = rng.random(len(weights)) * cumulative[:, -1]
    codes = (cumulative <= thresholds[:, None]).sum(axis=1)
    # Rounding may put a threshold at the very end: the last code with weight takes it.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum(codes, last), dtype=np.int64)


def _systematic(probabilities: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """``n`` codes in random order whose counts are the expected ones, rounded at random without bias."""
    cumulative = np.cumsum(probabilities) * (n / probabilities.sum())
    borders = np.ceil(cumulative - rng.random()).astype(np.int64)
    borders[-1] = n
    counts = np.diff(np.clip(borders, 0, n), prepend=0)
    codes = np.repeat(np.arange(len(probabilities)), counts)
    rng.shuffle(codes)
    return codes


def _given_parent(parent_codes: IntArray, conditional: FloatArray, rng: np.random.Generator) -> IntArray:
    """A child's code for each row, given its parent's code."""
    small = parent_codes.astype(np.uint16 if len(conditional) < 2**16 else np.int64)  # a narrow type sorts by radix
    order = np.argsort(small, kind="stable")
    counts = np.bincount(parent_codes, minlength=len(conditional))
    blocks = [_systematic(row, int(count), rng) for row, count in zip(conditional, counts, strict=True) if count]
    codes = np.empty(len(parent_codes), dtype=np.int64)
    if blocks:
        codes[order] = np.concatenate(blocks)
    return codes


def fit_tree(
    one_ways: Sequence[tuple[FloatArray, FloatArray]],
    pairs: Mapping[Edge, tuple[FloatArray, float]],
    *,
    noisy_total: float,
) -> TreeDistribution:
    """The distribution that agrees with all measurements.

    Args:
        one_ways: Estimate and variance of each code's count, two arrays of shape (size,) per column.
        pairs: Edge (i, j) -> noisy counts, shape (size i, size j), and their sigma. The edges form a forest.
        noisy_total: Number of rows, above 0.
    """
    margins = _pooled_margins(one_ways, pairs, noisy_total)
    tables = {(i, j): fit_to_margins(table, sigma, margins[i], margins[j]) for (i, j), (table, sigma) in pairs.items()}
    parents, order = _rooted(len(margins), list(pairs))
    conditionals = {}
    for child in order.tolist():
        parent = int(parents[child])
        if parent >= 0:
            joint = tables[parent, child] if (parent, child) in tables else tables[child, parent].T
            conditionals[child] = _rows_to_one(joint, margins[child])
    return TreeDistribution(marginals=tuple(m / m.sum() for m in margins), parents=parents, order=order, conditionals=conditionals)


def _pooled_margins(
    one_ways: Sequence[tuple[FloatArray, FloatArray]], pairs: Mapping[Edge, tuple[FloatArray, float]], noisy_total: float
) -> list[FloatArray]:
    """Counts of each column's codes from its one-way and its pairs' tables, on the simplex of ``noisy_total``."""
    precision = [1 / variance for _, variance in one_ways]
    weighted = [estimate / variance for estimate, variance in one_ways]
    for (i, j), (table, sigma) in pairs.items():
        for column, margin, n_summed in ((i, table.sum(axis=1), table.shape[1]), (j, table.sum(axis=0), table.shape[0])):
            weight = 1 / (n_summed * sigma**2)
            precision[column] = precision[column] + weight
            weighted[column] = weighted[column] + margin * weight
    margins = []
    for column, total_weight in enumerate(precision):
        estimate, spread = weighted[column] / total_weight, 1 / total_weight
        # Noise in the total is spread in proportion to variance before the projection: uncertain codes move most.
        estimate = estimate + spread * (noisy_total - estimate.sum()) / spread.sum()
        margins.append(project_to_simplex(estimate, noisy_total))
    return margins


def fit_to_margins(noisy: FloatArray, sigma: float, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """The table with the given margins that a noisy table supports, shape (n_rows, n_columns), no negative entry.

    The noisy table is shrunk towards independence as far as noise explains its distance from it (James & Stein 1961,
    positive part), projected in L2 onto non-negative tables with these margins (Dykstra's alternating projections), and fitted
    to the margins exactly by iterative proportional fitting.

    Args:
        noisy: Noisy counts, shape (n_rows, n_columns).
        sigma: Standard deviation of their noise.
        rows: Wanted row sums, shape (n_rows,), same total as ``columns``.
        columns: Wanted column sums, shape (n_columns,).
    """
    independent = np.outer(rows, columns) / rows.sum()
    deviation = _with_margins(noisy, rows, columns) - independent
    squares, freedom = float((deviation**2).sum()), (len(rows) - 1) * (len(columns) - 1)
    kept = max(0.0, 1.0 - freedom * sigma**2 / squares) if squares else 0.0
    table = _nonnegative_with_margins(independent + kept * deviation, rows, columns)
    return _proportionally_fitted(table + 1e-9 * independent, rows, columns)


def _with_margins(table: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Nearest table, in L2, with the given margins: the misfit is spread evenly over rows and columns."""
    row_gap, column_gap = rows - table.sum(axis=1), columns - table.sum(axis=0)
    n_rows, n_columns = table.shape
    shared = row_gap.sum() / (n_rows * n_columns)
    return np.asarray(table + row_gap[:, None] / n_columns + column_gap[None, :] / n_rows - shared)


def _nonnegative_with_margins(table: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """L2 projection on tables with these margins and no negative entry (Boyle & Dykstra 1986); close to converged."""
    correction = np.zeros_like(table)
    for _ in range(PROJECTION_SWEEPS):
        on_margins = _with_margins(table, rows, columns)
        table = np.maximum(on_margins + correction, 0.0)
        correction = on_margins + correction - table
        if np.abs(table - on_margins).max() < 1e-6 * rows.sum():
            break
    return table


def _proportionally_fitted(table: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Iterative proportional fitting: rows and columns are scaled in turn until the margins fit."""
    for _ in range(FITTING_SWEEPS):
        table = table * _ratio(columns, table.sum(axis=0))[None, :]
        table = table * _ratio(rows, table.sum(axis=1))[:, None]
        if np.abs(table.sum(axis=0) - columns).max() < 1e-9 * rows.sum():
            break
    return table


def _ratio(wanted: FloatArray, actual: FloatArray) -> FloatArray:
    return np.divide(wanted, actual, out=np.zeros_like(wanted), where=actual > 0)


def _rows_to_one(joint: FloatArray, fallback: FloatArray) -> FloatArray:
    """P(column | row) of a table of counts; a row without mass takes the margin, so that each row is a distribution."""
    sums = joint.sum(axis=1, keepdims=True)
    safe = np.where(sums > 0, sums, 1.0)
    return np.where(sums > 0, joint / safe, fallback / fallback.sum())


def _rooted(n_columns: int, edges: Sequence[Edge]) -> tuple[IntArray, IntArray]:
    """Parents, and an order in which parents come first; each component is rooted at its column of highest degree."""
    neighbours: list[list[int]] = [[] for _ in range(n_columns)]
    for i, j in edges:
        neighbours[i].append(j)
        neighbours[j].append(i)
    parents, seen, order = np.full(n_columns, -1, dtype=np.int64), set[int](), list[int]()
    for root in sorted(range(n_columns), key=lambda column: -len(neighbours[column])):
        if root in seen:
            continue
        seen.add(root)
        waiting = [root]
        while waiting:
            column = waiting.pop(0)
            order.append(column)
            for child in neighbours[column]:
                if child not in seen:
                    seen.add(child)
                    parents[child] = column
                    waiting.append(child)
    return parents, np.array(order, dtype=np.int64)
