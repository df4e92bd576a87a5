"""The graphical model that noisy marginals support: maximum entropy with a penalty, fitted no closer than the noise.

The model is p(x) proportional to exp(sum of theta_r(x_r)) over the measured sets of columns r (McKenna, Sheldon & Miklau 2019,
arXiv:1901.09136), fitted as in Dudik, Phillips & Schapire (2007), section 5:

    minimise over p   n KL(p || uniform) + sum over r of (w_r / 2) |n p_r - y_r|^2 / variance_r

Its dual is smooth and convex in theta, and its gradient costs one pass over the junction tree. The weight w_r says how far the counts may
be from what the model predicted before r was measured: the prior variance of a cell is w_r times its prediction, and
``prior_weight`` estimates it. So noise is shrunk away, most where a cell is predicted small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from privsynth.tabular.graph import Columns, GraphDistribution, JunctionTree, placed, summed_axes

FloatArray = npt.NDArray[np.float64]

MEMORY = 10
"""Steps that L-BFGS remembers."""

NEWTON_STEPS = 30

LEAST_RIDGE = 0.05


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Noisy counts of a set of columns.

    Attributes:
        columns: The set, ascending.
        counts: Noisy counts, one axis per column.
        variance: Variance of each count, same shape.
        weight: Prior variance of a cell, as a multiple of its predicted count.
    """

    columns: Columns
    counts: FloatArray
    variance: FloatArray
    weight: float

    @property
    def ridge(self) -> FloatArray:
        """Penalty of each squared parameter in the dual, same shape: variance over weight, and at least a trace of the noise.

        The trace moves a count by ``LEAST_RIDGE`` standard deviations for each unit of its parameter; without it the parameters of
        empty cells run off to minus infinity and the fit with them.
        """
        return np.asarray(np.maximum(self.variance / self.weight, LEAST_RIDGE * np.sqrt(self.variance)))


@dataclass(frozen=True, kw_only=True)
class _Placement:
    """Where a measurement lives: precompiled once per junction tree."""

    start: int
    stop: int
    clique: int
    shape: tuple[int, ...]
    summed: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Potentials:
    """Measurements laid out on a junction tree: parameters and statistics are one flat vector, in measurement order.

    Attributes:
        tree: The junction tree; some clique holds the columns of each measurement.
        measured: Columns of each measurement.
    """

    tree: JunctionTree
    measured: tuple[Columns, ...]
    _placements: tuple[_Placement, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find a clique, a slice and axes for each measurement."""
        placements, start = [], 0
        for columns in self.measured:
            k = self.tree.clique_with(columns)
            clique, stop = self.tree.cliques[k], start + math.prod(self.tree.shape(columns))
            shape, summed = placed(columns, clique, self.tree.sizes), summed_axes(columns, clique)
            placements.append(_Placement(start=start, stop=stop, clique=k, shape=shape, summed=summed))
            start = stop
        object.__setattr__(self, "_placements", tuple(placements))

    @cached_property
    def _links(self) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """For each clique but the root: itself, its parent; axes beyond the separator and its shape, in both."""
        tree, links = self.tree, []
        for k in range(1, len(tree.cliques)):
            parent, shared = tree.parents[k], tree.separators[k]
            own, other = tree.cliques[k], tree.cliques[parent]
            shapes = placed(shared, own, tree.sizes), placed(shared, other, tree.sizes)
            links.append((k, parent, summed_axes(shared, own), shapes[0], summed_axes(shared, other), shapes[1]))
        return links

    @property
    def n_parameters(self) -> int:
        """Length of the flat vector."""
        return self._placements[-1].stop if self._placements else 0

    def calibrate(self, theta: FloatArray) -> tuple[float, list[FloatArray]]:
        """Logarithm of the normaliser, and every clique's marginal.

        Towards the root each clique becomes P(its new columns | separator) and hands the logarithm of the mass it had; scaled by its
        maximum within each cell of the separator, no sum underflows. Away from the root conditionals become marginals.
        """
        tree = self.tree
        tables = [np.zeros(tree.shape(clique)) for clique in tree.cliques]
        for place in self._placements:
            tables[place.clique] += theta[place.start : place.stop].reshape(place.shape)
        for k, parent, summed, _, _, parent_shape in reversed(self._links):
            log_mass = _normalise(tables[k], summed)
            tables[parent] += log_mass.reshape(parent_shape)
        log_normaliser = float(_normalise(tables[0], tuple(range(tables[0].ndim))).item())
        for k, parent, _, own_shape, parent_summed, _ in self._links:
            tables[k] *= tables[parent].sum(axis=parent_summed).reshape(own_shape)
        return log_normaliser, tables

    def marginals(self, tables: Sequence[FloatArray]) -> FloatArray:
        """Probabilities of the cells of all measurements, shape (n_parameters,)."""
        flat = np.empty(self.n_parameters)
        for place in self._placements:
            flat[place.start : place.stop] = tables[place.clique].sum(axis=place.summed).ravel()
        return flat


def _normalise(logs: FloatArray, summed: tuple[int, ...]) -> FloatArray:
    """Exponentiate a table in place to sum 1 over the given axes; returns the logarithm of what the sums were, same number of axes."""
    top = logs.max(axis=summed, keepdims=True)
    logs -= top
    np.exp(logs, out=logs)
    mass = logs.sum(axis=summed, keepdims=True)
    logs /= mass
    return np.asarray(top + np.log(mass))


def prior_weight(counts: FloatArray, variance: FloatArray, predicted: FloatArray) -> float:
    """How far counts are from their prediction beyond noise: prior variance over predicted count.

    Empirical Bayes: counts ~ N(predicted, weight * predicted + variance) in every cell; the likeliest weight on a grid.

    Args:
        counts: Noisy counts.
        variance: Variance of each, same shape.
        predicted: Counts that the model predicts, same shape, not negative.
    """
    grid = np.geomspace(1e-2, 1e5, 71)[:, None]
    squares, noise, mean = (counts - predicted).ravel() ** 2, variance.ravel(), predicted.ravel()
    spread = grid * mean + noise
    likelihood = -(np.log(spread) + squares / spread).sum(axis=1)
    return float(grid[int(np.argmax(likelihood)), 0])


def first_guess(counts: FloatArray, ridge: FloatArray, predicted: FloatArray) -> FloatArray:
    """Parameters of a new measurement that fit it in closed form, if the margins it shares with others agree; same shape.

    In each cell the optimum satisfies predicted * exp(theta) + ridge * theta = counts. Where the graph is a tree this is the answer
    up to the margins; on a cycle it is a start. The left side is convex and increasing: Newton's method falls to the root from above.

    Args:
        counts: Noisy counts.
        ridge: ``Measurement.ridge``, same shape, above 0.
        predicted: Counts of the model before, same shape, above 0.
    """
    theta = np.maximum(0.0, np.log(np.maximum(counts, 1e-300) / predicted))
    for _ in range(NEWTON_STEPS):
        mean = predicted * np.exp(theta)
        theta = theta - (mean + ridge * theta - counts) / (mean + ridge)
    return np.asarray(theta)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted model and what a warm start of the next one needs.

    Attributes:
        distribution: The calibrated model.
        theta: Parameters, one array per measurement.
        steps: Gradient evaluations used.
        converged: Whether the fit stopped at the noise level and not at ``max_steps``.
    """

    distribution: GraphDistribution
    theta: tuple[FloatArray, ...]
    steps: int
    converged: bool


def fit_graph(
    tree: JunctionTree,
    measurements: Sequence[Measurement],
    *,
    total: float,
    start: Sequence[FloatArray] = (),
    tolerance: float = 0.1,
    max_steps: int = 200,
) -> Fit:
    """The penalised maximum-entropy model of the measurements.

    L-BFGS (Nocedal & Wright 2006, algorithm 7.4) on the dual, scaled by the diagonal of its Hessian.

    Args:
        tree: Holds the columns of every measurement in some clique.
        measurements: At least one.
        total: Number of rows, above 0.
        start: Parameters of the first measurements, from an earlier fit; the others start at 0. ``first_guess`` gives better ones.
        tolerance: The fit stops when its root mean square distance from the optimum, measured by the gradient, is this many
            standard deviations of noise.
        max_steps: Gradient evaluations at most.
    """
    potentials = Potentials(tree=tree, measured=tuple(m.columns for m in measurements))
    counts = np.concatenate([_with_total(m, total).ravel() for m in measurements])
    variance = np.concatenate([m.variance.ravel() for m in measurements])
    ridge = np.concatenate([m.ridge.ravel() for m in measurements])
    theta = np.zeros(potentials.n_parameters)
    given = np.concatenate([np.zeros(0), *(array.ravel() for array in start)])
    theta[: len(given)] = given
    dual = _Dual(potentials=potentials, counts=counts, ridge=ridge, total=total)
    theta, tables, steps, converged = _minimise(dual, theta, np.sqrt(variance), tolerance=tolerance, max_steps=max_steps)
    pieces = np.split(theta, np.cumsum([m.counts.size for m in measurements])[:-1])
    fitted = tuple(piece.reshape(m.counts.shape) for piece, m in zip(pieces, measurements, strict=True))
    return Fit(distribution=GraphDistribution(tree=tree, beliefs=tuple(tables)), theta=fitted, steps=steps, converged=converged)


def _with_total(measurement: Measurement, total: float) -> FloatArray:
    """Counts with the wanted sum: the misfit is spread in proportion to variance, so uncertain cells move most."""
    share = measurement.variance / measurement.variance.sum()
    return np.asarray(measurement.counts + share * (total - measurement.counts.sum()))


@dataclass(frozen=True, kw_only=True)
class _Dual:
    """F(theta) = n log Z(theta) - <theta, y> + sum of ridge theta^2 / 2, convex."""

    potentials: Potentials
    counts: FloatArray
    ridge: FloatArray
    total: float

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray, list[FloatArray]]:
        """Value, gradient, probabilities of the measured cells, clique tables."""
        log_normaliser, tables = self.potentials.calibrate(theta)
        probabilities = self.potentials.marginals(tables)
        value = self.total * log_normaliser - float(theta @ self.counts) + 0.5 * float(self.ridge @ theta**2)
        return value, self.total * probabilities - self.counts + self.ridge * theta, probabilities, tables


def _minimise(
    dual: _Dual, theta: FloatArray, sigma: FloatArray, *, tolerance: float, max_steps: int
) -> tuple[FloatArray, list[FloatArray], int, bool]:
    """L-BFGS with backtracking; returns parameters, clique tables, steps used and whether the tolerance was met."""
    value, gradient, probabilities, tables = dual(theta)
    pairs: list[tuple[FloatArray, FloatArray, float]] = []
    steps = 1
    while steps < max_steps:
        if math.sqrt(float(np.mean((gradient / sigma) ** 2))) < tolerance:
            return theta, tables, steps, True
        scale = 1.0 / (dual.total * probabilities * (1 - probabilities) + dual.ridge + 1e-12)
        direction = -_inverse_hessian(gradient, pairs, scale)
        slope = float(gradient @ direction)
        if slope >= 0:  # rounding spoiled the memory: start it afresh
            pairs, direction = [], -scale * gradient
            slope = float(gradient @ direction)
        length = 1.0 if pairs else min(1.0, 2.0 / float(np.abs(direction).max() + 1e-300))
        while steps < max_steps:
            trial = dual(theta + length * direction)
            steps += 1
            if trial[0] <= value + 1e-4 * length * slope + 1e-12 * abs(value):
                break
            length /= 3
        else:
            break
        step, change = length * direction, trial[1] - gradient
        theta = theta + step
        value, gradient, probabilities, tables = trial
        curvature = float(step @ change)
        if curvature > 1e-12:
            pairs = [*pairs[-(MEMORY - 1) :], (step, change, 1 / curvature)]
    return theta, tables, steps, False


def _inverse_hessian(gradient: FloatArray, pairs: Sequence[tuple[FloatArray, FloatArray, float]], scale: FloatArray) -> FloatArray:
    """Two-loop recursion: the approximate inverse Hessian times the gradient, from a diagonal first guess."""
    vector, factors = gradient.copy(), []
    for step, change, inverse in reversed(pairs):
        factor = inverse * float(step @ vector)
        vector -= factor * change
        factors.append(factor)
    vector *= scale
    if pairs:
        step, change, _ = pairs[-1]
        vector *= float(step @ change) / float(change @ (scale * change))
    for (step, change, inverse), factor in zip(pairs, reversed(factors), strict=True):
        vector += (factor - inverse * float(change @ vector)) * step
    return vector
