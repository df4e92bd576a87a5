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
from privsynth.tabular.constraints import finished_rows
from privsynth.tabular.cross_products import (
    GRID,
    LARGEST_CORRELATION,
    cross_products,
    hermite_coefficients,
    latent_correlations,
    moments_at,
    nearest_correlation,
    pair_sensitivity,
    shrunk,
    squared_length_limit,
    whole_scores,
)
from privsynth.tabular.latents import SMALLEST_SHARE, Latent, Marginal, latents_of, present_shares
from privsynth.tabular.prepare import BinLimits, CodedColumn, Prepared, Shares, measured_columns, preparation_touches, prepare
from privsynth.tabular.sdv_adapter import LICENCE_NOTE, TABLE, fixed_rows, new_synthesizer, quiet_sdv, require_given, sample_shown
from privsynth.tabular.storage import load_columns, read_model, save_columns, table_from_json, write_model

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LABEL = "cross-products of normal scores"

FORMAT = 1
"""Of a saved model."""

LARGEST_NOISE = 0.1
"""Standard deviation of the noise on one correlation beyond which this engine is refused: most correlations in tables are smaller."""


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
        verdict = "within reach" if noise <= LARGEST_NOISE else 'refused: use "tree" or "aim", fewer columns or a larger epsilon'
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
                f'{len(prepared.columns)} columns, the limit is {LARGEST_NOISE:g}; use "tree" or "aim", fewer columns or a larger epsilon'
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
            synthesizer.fit({TABLE: dummy})
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
