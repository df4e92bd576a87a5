"""A Gaussian copula under differential privacy: marginals and one noisy matrix of cross-products; SDV does the sampling.

In the manner of DPCopula (Li, Xiong & Jiang 2014, doi:10.5441/002/edbt.2014.43), with one vector of cross-products in place of a rank
correlation for each pair. Three steps, all inside the ledger:

1. Facts, histograms and one-way marginals as for every engine here (``prepare.py``). Each column is a latent normal variable, cut into
   its codes; a numeric column with nulls has a second one that says whether there is a value: null has no place on the number line.
2. Each row becomes normal scores through these noisy marginals, 0 where there is no value; a row's score vector is clipped in length; the
   sums of the products of all pairs of scores, as exact integers, get discrete Gaussian noise once.
3. Post-processing: the correlation of the latent normal variables whose cut scores have these moments, shrunk where noise
   explains it, and moved to the nearest correlation matrix. It is given to SDV with the marginals.

Sensitivity of step 2. Row r has whole-number scores k with sum of k_i^2 <= S, by clipping; its contribution is the vector v of k_i k_j
over the pairs i < j. Then |v|^2 = ((sum k_i^2)^2 - sum k_i^4) / 2 <= S^2 (1 - 1/d) / 2, because sum k_i^4 >= (sum k_i^2)^2 / d
(Cauchy & Schwarz). One person adds at most m rows: by the triangle inequality the sums move by at most m S sqrt((1 - 1/d) / 2) in L2.
S depends on outputs of step 1 only; the noise multiplier is fixed beforehand.

The noise on a correlation grows in proportion to the number of columns and shrinks as 1/n: wide tables of few people belong to the tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset
from privsynth.errors import PlanError
from privsynth.privacy import Budget, DiscreteGaussian, NoiseSource, Reservation, Touch
from privsynth.registry import require
from privsynth.schema import Table
from privsynth.tabular.base import STAGE, ColumnReport
from privsynth.tabular.binning import project_to_simplex
from privsynth.tabular.constraints import finished_rows
from privsynth.tabular.encode import NumericCells
from privsynth.tabular.prepare import BinLimits, CodedColumn, Prepared, Shares, measured_columns, preparation_touches, prepare
from privsynth.tabular.sdv import LICENCE_NOTE, fixed_rows, new_synthesizer, quiet_sdv, require_given, sample_shown
from privsynth.tabular.storage import load_columns, read_model, save_columns, table_from_json, write_model

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LABEL = "cross-products of normal scores"

FORMAT = 1
"""Of a saved model."""

GRID = 2**10
"""Steps per unit of a normal score."""

LARGEST_NOISE = 0.1
"""Standard deviation of the noise on one correlation beyond which this engine is refused: most correlations in tables are smaller."""

LARGEST_CORRELATION = 0.995
SMALLEST_SHARE = 1e-9
HERMITE_TERMS = 60
HALVINGS = 40
PROJECTIONS = 100
CHUNK_ROWS = 2**16


@dataclass(frozen=True, kw_only=True)
class OneWayLimits(BinLimits):
    """As many codes as a one-way marginal supports: no table of a pair is counted here. ``pair_sigma`` is its noise."""

    def numeric(self, noisy_total: float) -> int:
        """Bins at which an average bin holds ``cells_of_noise`` standard deviations of its noise: n / K >= c sigma."""
        return int(min(max(2.0, noisy_total / (self.cells_of_noise * self.pair_sigma)), self.max_bins))


@dataclass(frozen=True, kw_only=True)
class GaussianCopulaDP:
    """Settings of the copula engine; all of them affect what is measured, none the guarantee, which the ledger solves.

    Attributes:
        shares: Parts of the budget; ``pairs`` is that of the cross-products, ``selection`` is not used.
        max_bins: Most bins of a numeric column (categorical columns: twice as many).
        cells_of_noise: Standard deviations of its noise that a column's average bin should hold: higher means fewer bins.
    """

    name: ClassVar[str] = "sdv:gaussian-copula-dp"
    notes: ClassVar[tuple[str, ...]] = (LICENCE_NOTE,)

    shares: Shares = field(default_factory=Shares)
    max_bins: int = 64
    cells_of_noise: float = 5.0

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if self.max_bins < 2 or not self.cells_of_noise > 0:
            raise PlanError(f"max_bins={self.max_bins!r}, cells_of_noise={self.cells_of_noise!r}; expected at least 2 and a number above 0")

    def touches(self, table: Table, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """Preparation, then one measurement of all cross-products; depends on public facts only."""
        touches = preparation_touches(table, self.shares, noise_scale=noise_scale, budget=budget)
        if most_latents(table) < 2:
            return touches
        return (*touches, Touch(STAGE, LABEL, DiscreteGaussian(noise_multiplier=self._multiplier(noise_scale))))

    def correlation_noise(self, table: Table, *, noise_scale: float, rows: float) -> float:
        """Standard deviation of the noise on one correlation at this many rows; 0 for a single column."""
        n_latents = most_latents(table)
        if n_latents < 2:
            return 0.0
        sensitivity = pair_sensitivity(squared_length_limit(float(n_latents)), n_latents) * table.max_rows_per_person
        return self._multiplier(noise_scale) * sensitivity / rows

    def preflight(self, table: Table, *, noise_scale: float, rows: int | None) -> tuple[str, ...]:
        """What ``check`` prints of the noise, from public facts and the expected number of training rows, if that is declared."""
        needed = self.smallest_people(table, noise_scale=noise_scale)
        line = f"correlations: {needed} training rows are needed for a noise of {LARGEST_NOISE:g} on each, the most that is allowed"
        if rows is None:
            return (line,)
        noise = self.correlation_noise(table, noise_scale=noise_scale, rows=rows)
        verdict = "within reach" if noise <= LARGEST_NOISE else "refused: use the tree engine, fewer columns or a larger epsilon"
        return (f"{line}; at {rows} rows it is {noise:.3f}: {verdict}",)

    def smallest_people(self, table: Table, *, noise_scale: float) -> int:
        """How many training rows the plan needs for the noise on a correlation to stay within its limit."""
        return math.ceil(self.correlation_noise(table, noise_scale=noise_scale, rows=1.0) / LARGEST_NOISE)

    def load(self, folder: Path) -> CopulaModel:
        """The model that an earlier ``fit`` saved: a run that goes on after a crash does not fit again."""
        return CopulaModel.load(folder)

    def fit(self, train: Dataset, *, reservation: Reservation) -> CopulaModel:
        """Measure marginals and cross-products of one table.

        Raises:
            PlanError: The noise on a correlation exceeds the limit, or there are so few people that noise exceeds signal.
        """
        table, scale = train.table, reservation.noise_scale
        sigma = self.shares.multiplier("one_way", len(measured_columns(table)), scale) * table.max_rows_per_person
        limits = OneWayLimits(pair_sigma=sigma, cells_of_noise=self.cells_of_noise, max_bins=self.max_bins)
        prepared = prepare(train, reservation=reservation, limits=limits)
        noise = self.correlation_noise(table, noise_scale=scale, rows=prepared.noisy_total)
        if noise > LARGEST_NOISE:
            raise PlanError(
                f"epsilon={reservation.budget.epsilon:g} puts a noise of {noise:.2f} on each correlation of "
                f"{len(prepared.columns)} columns, the limit is {LARGEST_NOISE:g}; use the tree engine, fewer columns or a larger epsilon"
            )
        latents = tuple(latent for number, column in enumerate(prepared.columns) for latent in latents_of(number, column))
        correlation = np.eye(len(latents))
        if len(latents) > 1:
            event = reservation.spend(STAGE, LABEL)
            if not isinstance(event, DiscreteGaussian):
                raise PlanError(f"touch {LABEL!r} is reserved as {type(event).__name__}; expected DiscreteGaussian")
            multiplier = event.noise_multiplier * table.max_rows_per_person
            correlation = _measured_correlation(prepared, latents, multiplier, noise=reservation.noise)
        return CopulaModel(table=table, columns=prepared.columns, latents=latents, correlation=correlation, column_reports=prepared.reports)

    def _multiplier(self, noise_scale: float) -> float:
        return self.shares.multiplier("pairs", 1, noise_scale)


def most_latents(table: Table) -> int:
    """How many latent variables a table can need, from public facts: one a column, and one more where a number may be null."""
    return sum(1 + (column.is_numeric and column.nullable) for column in measured_columns(table))


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """A normal variable cut into pieces, known by their place.

    It has the two methods that SDV's copula asks of a marginal.

    Attributes:
        shares: Probability of each place, shape (size,); each above 0, together 1.
    """

    shares: FloatArray

    @property
    def cuts(self) -> FloatArray:
        """Where the latent normal variable is cut, -inf and inf included, shape (size + 1,)."""
        from scipy import stats

        inner = stats.norm.ppf(np.clip(np.cumsum(self.shares)[:-1], 0.0, 1.0))
        return np.concatenate([[-np.inf], inner, [np.inf]])

    @property
    def scores(self) -> FloatArray:
        """Mean of the latent normal variable at each place, shape (size,); the mean over all rows is 0."""
        return np.asarray(-np.diff(_density(self.cuts)) / self.shares)

    @property
    def variance(self) -> float:
        """Variance of the scores, in [0, 1): the share of the latent variable's that its cutting leaves."""
        return float(self.shares @ self.scores**2)

    def cdf(self, places: npt.ArrayLike) -> FloatArray:
        """Middle of the place's probability mass, shape of ``places``."""
        middle = np.cumsum(self.shares) - self.shares / 2
        return np.asarray(middle[np.clip(np.rint(np.asarray(places, dtype=np.float64)), 0, len(middle) - 1).astype(np.int64)])

    def percent_point(self, quantiles: npt.ArrayLike) -> FloatArray:
        """Place that holds each quantile in [0, 1], as float64."""
        upper = np.cumsum(self.shares)
        return np.asarray(np.searchsorted(upper[:-1], np.asarray(quantiles, dtype=np.float64), side="right"), dtype=np.float64)


def _density(cuts: FloatArray) -> FloatArray:
    """Standard normal density, 0 at infinity."""
    return np.asarray(np.exp(-(cuts**2) / 2) / math.sqrt(2 * math.pi))


@dataclass(frozen=True, kw_only=True)
class Latent:
    """What one latent normal variable decides: the value of a column, or whether it has one.

    Attributes:
        column: Number of the column.
        marginal: How the variable is cut.
        order: Code at each place, shape (size,): bins as they lie on the number line, categories by falling share. None: the variable
            says whether the column is null (place 1).
        null_code: The column's code of null, where that has a variable of its own.
    """

    column: int
    marginal: Marginal
    order: IntArray | None
    null_code: int | None = None

    def places(self, codes: IntArray) -> IntArray:
        """Place of each code, shape (n,); for the value of a null, the middle of the marginal."""
        if self.order is None:
            return np.asarray(codes == self.null_code, dtype=np.int64)
        middle = int(self.marginal.percent_point(0.5))
        place_of_code = np.full(int(self.order.max()) + 2, middle, dtype=np.int64)  # the last entry stands for null
        place_of_code[self.order] = np.arange(len(self.order))
        return place_of_code[np.minimum(codes, len(place_of_code) - 1)]

    def scores(self, codes: IntArray) -> FloatArray:
        """Normal score of each code, shape (n,); 0 for the value of a null."""
        scores = self.marginal.scores[self.places(codes)]
        return scores if self.order is None or self.null_code is None else np.where(codes == self.null_code, 0.0, scores)


def latents_of(number: int, column: CodedColumn) -> tuple[Latent, ...]:
    """The latent variables of a column, from its projected noisy one-way marginal.

    An empty code keeps a trace of probability, so that scores are finite.
    """
    total = max(float(column.one_way.sum()), 1.0)
    shares = project_to_simplex(column.one_way, total) / total + SMALLEST_SHARE
    shares = shares / shares.sum()
    if not isinstance(column.cells, NumericCells):
        order = np.argsort(-shares, kind="stable").astype(np.int64)
        return (Latent(column=number, marginal=Marginal(shares=shares[order]), order=order),)
    order = np.arange(column.size, dtype=np.int64)
    null_code = _code_of_null(column)
    if null_code is None:
        return (Latent(column=number, marginal=Marginal(shares=shares), order=order),)
    values, gone = shares[:-1], float(shares[-1])
    return (
        Latent(column=number, marginal=Marginal(shares=values / values.sum()), order=order[:-1], null_code=null_code),
        Latent(column=number, marginal=Marginal(shares=np.array([1 - gone, gone])), order=None, null_code=null_code),
    )


def _code_of_null(column: CodedColumn) -> int | None:
    """The last code of a numeric column, if null has it for itself and there are values beside it."""
    code = int(column.binning.bin_of_cell[-1])
    alone = column.cells.column.nullable and int(column.binning.cells_per_bin[code]) == 1
    return code if alone and 1 <= code == column.size - 1 else None


def present_shares(latents: Sequence[Latent]) -> FloatArray:
    """Share of rows in which each variable is seen, shape (n_latents,): below 1 for values of columns with nulls."""
    null_shares = {latent.column: float(latent.marginal.shares[1]) for latent in latents if latent.order is None}
    return np.array([1.0 if latent.order is None else 1.0 - null_shares.get(latent.column, 0.0) for latent in latents])


def squared_length_limit(expected: float) -> float:
    """Limit on a row's sum of squared scores, when ``expected`` is its mean.

    Three standard deviations above the mean of a chi-squared variable with that many degrees of freedom: few rows are clipped.

    >>> squared_length_limit(8.0)
    20.0
    """
    return expected + 3 * math.sqrt(2 * expected)


def pair_sensitivity(squared_length: float, n_columns: int) -> float:
    """L2 length of all products of pairs of one row whose sum of squares is at most ``squared_length``; see the module.

    >>> pair_sensitivity(4.0, 2)
    2.0
    """
    return squared_length * math.sqrt((1 - 1 / n_columns) / 2)


def whole_scores(scores: FloatArray, limit: int) -> IntArray:
    """Scores on the grid of ``1 / GRID``, each row clipped to a sum of squares of at most ``limit``, shape (n_rows, n_columns).

    Args:
        scores: Normal scores, shape (n_rows, n_columns).
        limit: In squared grid steps.
    """
    lengths = np.sqrt((scores**2).sum(axis=1)) * GRID
    shrink = np.minimum(1.0, math.sqrt(limit) / np.maximum(lengths, 1e-300))
    # Towards zero: rounding never lengthens a row.
    whole: IntArray = np.trunc(scores * GRID * shrink[:, None]).astype(np.int64)
    # Floating point may still leave a row one step too long; such a row counts as zero, so that the proof has no gap.
    whole[(whole**2).sum(axis=1) > limit] = 0
    return whole


def cross_products(whole: IntArray) -> IntArray:
    """Sum over rows of k_i k_j for all pairs i < j, in the order of ``np.triu_indices``; exact."""
    n_columns = whole.shape[1]
    total = np.zeros((n_columns, n_columns), dtype=np.int64)
    for start in range(0, len(whole), CHUNK_ROWS):
        part = whole[start : start + CHUNK_ROWS].astype(np.float64)
        total += (part.T @ part).astype(np.int64)  # whole numbers below 2**53: float64 holds every sum exactly
    return total[np.triu_indices(n_columns, 1)]


def _measured_correlation(prepared: Prepared, latents: Sequence[Latent], multiplier: float, *, noise: NoiseSource) -> FloatArray:
    """The latent correlation matrix from one noisy vector of cross-products; ``multiplier`` covers all rows of a person."""
    n_latents = len(latents)
    scores = np.column_stack([latent.scores(prepared.codes[latent.column]) for latent in latents])
    present = present_shares(latents)
    expected = sum(share * latent.marginal.variance for share, latent in zip(present, latents, strict=True))
    limit = max(1, math.ceil(squared_length_limit(float(expected)) * GRID**2))
    sigma = multiplier * pair_sensitivity(float(limit), n_latents)
    noisy = noise.discrete_gaussian(cross_products(whole_scores(scores, limit)), sigma)
    left, right = np.triu_indices(n_latents, 1)
    # A mean over the rows in which both are seen; a person's nulls are taken to say nothing of what the value would be.
    rows = prepared.noisy_total * GRID**2 * np.maximum(present[left] * present[right], SMALLEST_SHARE)
    terms = np.array([hermite_coefficients(latent.marginal) for latent in latents])
    products = terms[left] * terms[right]  # (n_pairs, terms)
    # What no correlation can give is noise: a rare code, whose scores hardly vary, would otherwise be pulled to 1 or -1 by it.
    reach = [moments_at(np.full(len(left), side * LARGEST_CORRELATION), products) for side in (-1, 1)]
    moments = shrunk(np.clip(noisy / rows, *reach), sigma / rows)
    matrix = np.eye(n_latents)
    matrix[left, right] = matrix[right, left] = latent_correlations(moments, products)
    return nearest_correlation(matrix)


def shrunk(moments: FloatArray, spread: FloatArray) -> FloatArray:
    """Moments moved towards 0 as far as noise of standard deviation ``spread`` explains them; all of shape (n_pairs,).

    The factor max(0, 1 - spread^2 / moment^2) is James & Stein's (1961), positive part, for each moment on its own.
    """
    squares = np.maximum(moments**2, 1e-300)
    return np.asarray(moments * np.maximum(0.0, 1.0 - spread**2 / squares))


def hermite_coefficients(marginal: Marginal) -> FloatArray:
    """Coefficients of the column's scores in normalised Hermite polynomials of orders 1 to ``HERMITE_TERMS``, shape (terms,).

    For a step function s with the cuts a and the normal density f,
    E[s(Z) h_k(Z)] = sum over codes of s (h_{k-1}(a_low) f(a_low) - h_{k-1}(a_high) f(a_high)) / sqrt(k).
    """
    cuts, density = marginal.cuts, _density(marginal.cuts)
    finite = np.where(np.isfinite(cuts), cuts, 0.0)  # multiplied by a density of 0
    before, current = np.zeros_like(finite), np.ones_like(finite)
    coefficients = np.zeros(HERMITE_TERMS)
    for k in range(1, HERMITE_TERMS + 1):
        coefficients[k - 1] = -(marginal.scores @ np.diff(current * density)) / math.sqrt(k)
        before, current = current, (finite * current - math.sqrt(k - 1) * before) / math.sqrt(k)
    return coefficients


def moments_at(correlations: FloatArray, products: FloatArray) -> FloatArray:
    """Mean product of two columns' scores at latent correlations in (-1, 1), shape (n_pairs,).

    E[s_i s_j] = sum over k of rho^k c_ik c_jk (Mehler 1866).

    Args:
        correlations: One for each pair, shape (n_pairs,).
        products: c_ik c_jk, from ``hermite_coefficients`` of both columns, shape (n_pairs, terms).
    """
    value = np.zeros_like(correlations)
    for of_order in products.T[::-1]:
        value = (value + of_order) * correlations
    return value


def latent_correlations(moments: FloatArray, products: FloatArray) -> FloatArray:
    """Correlations of the latent normal variables at which the cut scores have these moments, shape (n_pairs,).

    ``moments_at`` increases with the correlation because scores increase with the variable (Slepian 1962): found by halving.

    Args:
        moments: Mean products of scores, shape (n_pairs,).
        products: As for ``moments_at``.
    """
    low = np.full(len(moments), -LARGEST_CORRELATION)
    high = -low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = moments_at(middle, products) < moments
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(moments == 0, 0.0, (low + high) / 2)


def nearest_correlation(matrix: FloatArray) -> FloatArray:
    """The nearest matrix, in L2, with unit diagonal and no negative eigenvalue (Higham 2002, algorithm 3.3), shape as given.

    Alternating projections with Dykstra's correction; the last step makes the diagonal exactly 1.
    """
    current, correction = matrix.copy(), np.zeros_like(matrix)
    for _ in range(PROJECTIONS):
        values, vectors = np.linalg.eigh(current - correction)
        positive = (vectors * np.maximum(values, 0.0)) @ vectors.T
        correction = positive - (current - correction)
        current = positive.copy()
        np.fill_diagonal(current, 1.0)
        if np.abs(current - positive).max() < 1e-9:
            break
    values, vectors = np.linalg.eigh(current)
    positive = (vectors * np.maximum(values, 1e-9)) @ vectors.T
    spread = np.sqrt(np.diag(positive))
    unit = positive / np.outer(spread, spread)
    return np.asarray((unit + unit.T) / 2)


@dataclass(frozen=True, kw_only=True)
class CopulaModel:
    """A fitted copula: outputs of reserved mechanisms and public facts, and the reports' internal counts.

    Attributes:
        table: The schema.
        columns: The measured columns.
        latents: The latent variables, in the order of the columns.
        correlation: Of the latent variables, shape (n_latents, n_latents).
        column_reports: One per modelled column.
    """

    table: Table
    columns: tuple[CodedColumn, ...]
    latents: tuple[Latent, ...]
    correlation: FloatArray
    column_reports: tuple[ColumnReport, ...]

    def sample(self, n: int, *, rng: np.random.Generator, given: pd.DataFrame | None = None) -> pd.DataFrame:
        """``n`` synthetic rows: the modelled columns in table order, typed as ``dataset.py`` says.

        Args:
            n: Rows.
            rng: Where SDV's seeds are drawn from.
            given: Public or synthetic values of some columns, typed, shape (n, any); the others are drawn conditionally by SDV. A given
                null tells the others that it is null, and the middle of the column's values.

        Raises:
            PlanError: ``n`` is negative, or ``given`` has another length or a column that is not modelled.
        """
        shown_given = None
        if given is not None:
            require_given(given, n, [column.name for column in self.columns])
            shown_given = self._shown_given(given)
        shown = sample_shown(self._synthesizer(), n, rng=rng, given=shown_given, columns=len(self.latents))
        codes: dict[int, IntArray] = {}
        for i, latent in enumerate(self.latents):
            places = np.clip(np.rint(shown[f"c{i}"].to_numpy(dtype=np.float64)), 0, len(latent.marginal.shares) - 1).astype(np.int64)
            of_value = codes.get(latent.column)
            if latent.order is not None:
                codes[latent.column] = latent.order[places]
            elif of_value is not None and latent.null_code is not None:
                codes[latent.column] = np.where(places == 1, latent.null_code, of_value)
        values = {
            column.name: column.cells.decode(column.binning.draw(codes[number], rng=rng), rng=rng)
            for number, column in enumerate(self.columns)
        }
        if given is not None:
            values |= {str(name): given[name].reset_index(drop=True) for name in given.columns}
        return finished_rows(values, self.table, rng=rng, fixed=fixed_rows(given))

    def _shown_given(self, given: pd.DataFrame) -> pd.DataFrame:
        """Places of the given values."""
        columns = {}
        for i, latent in enumerate(self.latents):
            column = self.columns[latent.column]
            if column.name in given:
                codes = column.binning.bin_of_cell[column.cells.encode(given[column.name])[0]]
                columns[f"c{i}"] = latent.places(codes).astype(np.float64)
        return pd.DataFrame(columns)

    def _synthesizer(self) -> Any:
        """SDV's synthesizer, fitted to a dummy of the public domain, with marginals and correlation replaced by ours."""
        sizes = [len(latent.marginal.shares) for latent in self.latents]
        names = [f"c{i}" for i in range(len(sizes))]
        dummy = pd.DataFrame(np.arange(2 * max(sizes))[:, None] % np.array(sizes), columns=names, dtype=np.float64)
        synthesizer = new_synthesizer("GaussianCopulaSynthesizer", ["numerical"] * len(names), default_distribution="norm")
        with quiet_sdv():
            synthesizer.fit({"table": dummy})
        model = synthesizer._model
        if list(model.columns) != names:
            raise PlanError(f"sdv {require('sdv').__version__} orders columns in another way than expected; use sdv 2.0")
        model.univariates = [latent.marginal for latent in self.latents]
        model.correlation = pd.DataFrame(self.correlation, index=names, columns=names)
        return synthesizer

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``arrays.npz``; the reports hold internal counts, so the folder is internal."""
        facts, arrays = save_columns(self.columns)
        arrays["correlation"] = self.correlation
        for i, latent in enumerate(self.latents):
            arrays[f"latent {i}.shares"] = latent.marginal.shares
            if latent.order is not None:
                arrays[f"latent {i}.order"] = latent.order
        plain = {
            "format": FORMAT,
            "engine": GaussianCopulaDP.name,
            "table": asdict(self.table),
            "columns": facts,
            "latents": [{"column": latent.column, "null_code": latent.null_code} for latent in self.latents],
            "reports": [asdict(report) for report in self.column_reports],
        }
        write_model(folder, plain, arrays)

    @classmethod
    def load(cls, folder: Path) -> CopulaModel:
        """The model that ``save`` wrote.

        Raises:
            SourceError: The folder holds no copula of this format.
        """
        plain, arrays = read_model(folder, engine=GaussianCopulaDP.name, format_number=FORMAT)
        latents = tuple(
            Latent(marginal=Marginal(shares=arrays[f"latent {i}.shares"]), order=arrays.get(f"latent {i}.order"), **facts)
            for i, facts in enumerate(plain["latents"])
        )
        return cls(
            table=table_from_json(plain["table"]),
            columns=load_columns(plain["columns"], arrays),
            latents=latents,
            correlation=arrays["correlation"],
            column_reports=tuple(ColumnReport(**report) for report in plain["reports"]),
        )
