"""AIM: marginals chosen one after another, each where the model so far is worst; a graphical model instead of a tree.

McKenna, Mullins, Sheldon & Miklau (2022), arXiv:2201.12677. Each round scores every candidate marginal by the error of the current model
beyond the noise it would be measured with, weighted by how much the workload asks for it, draws one by the exponential
mechanism, measures it, and refits. When a measurement taught nothing beyond noise, the next ones are measured more exactly.

How many rounds there are and what each costs depends on what was measured before. So the whole adaptive stage is one event of
the plan, rho-zCDP, and a filter (Feldman & Zrnic 2021, arXiv:2008.11193; Whitehouse et al. 2023, arXiv:2203.05481) is
asked before every mechanism and refuses what would pass rho. docs/mechanisms.md has the proofs.

Where this engine departs from the paper: one-way marginals come from the preparation, the first rounds are cheaper to reach (2 rounds a
column, not 16), and noisy tables are shrunk towards the model before them (``entropy.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.dataset import Dataset
from privsynth.errors import BudgetExceededError, PlanError
from privsynth.privacy import Budget, NoiseSource, Reservation, Touch, ZeroConcentrated
from privsynth.schema import Table
from privsynth.tabular.base import STAGE
from privsynth.tabular.coded import CodedModel, load_coded, save_coded
from privsynth.tabular.constraints import combination_of
from privsynth.tabular.encode import determined_by
from privsynth.tabular.entropy import Fit, Measurement, first_guess, fit_graph, prior_weight
from privsynth.tabular.graph import Columns, GraphDistribution, JunctionTree, eliminate, junction_tree, neighbour_masks
from privsynth.tabular.pairs import pair_tables
from privsynth.tabular.prepare import BinLimits, Prepared, Shares, count_codes, measured_columns, preparation_touches, prepare

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FORMAT = 1
"""Of a saved model."""

LABEL = "adaptive marginals"
"""Of the one touch that pays for all rounds."""

MAX_COLUMNS = 40
"""Most measured columns: every round checks every pair."""

MEAN_ABSOLUTE_NOISE = math.sqrt(2 / math.pi)
"""E|x| of a standard normal x: a table's noise has this much L1 norm per cell and sigma."""


class ZeroConcentratedFilter:
    """Lets mechanisms run as long as their zCDP parameters add up to at most rho.

    Sums are exact (fractions), so that rounding lets none pass the limit.
    """

    def __init__(self, rho: float) -> None:
        self._rho = Fraction(rho)
        self._spent = Fraction(0)

    @property
    def left(self) -> float:
        """What may still be spent, rounded down."""
        left = self._rho - self._spent
        nearest = float(left)
        return nearest if Fraction(nearest) <= left else math.nextafter(nearest, 0.0)

    @property
    def rho(self) -> float:
        """The limit."""
        return float(self._rho)

    def choose(self, scores: FloatArray, *, epsilon: float, sensitivity: float, noise: NoiseSource) -> int:
        """Index of a candidate by the exponential mechanism, epsilon^2 / 8 in rho.

        Raises:
            BudgetExceededError: That is more than is left; nothing was drawn.
        """
        self._spend(Fraction(epsilon) ** 2 / 8)
        return noise.noisy_max(scores, epsilon=epsilon, sensitivity=sensitivity)

    def measure(self, counts: IntArray, *, sigma: float, sensitivity: int, noise: NoiseSource) -> FloatArray:
        """Counts plus discrete Gaussian noise, sensitivity^2 / (2 sigma^2) in rho; same shape.

        Raises:
            BudgetExceededError: That is more than is left; nothing was drawn.
        """
        self._spend(Fraction(sensitivity) ** 2 / (2 * Fraction(sigma) ** 2))
        return noise.discrete_gaussian(counts, sigma).astype(np.float64)

    def _spend(self, rho: Fraction) -> None:
        if self._spent + rho > self._rho:
            raise BudgetExceededError(f"a mechanism of rho={float(rho):.3g} would pass the {self.left:.3g} left for {LABEL!r}")
        self._spent += rho


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Settings of AIM; all of them affect what is measured, none the guarantee, which the ledger solves.

    Shares and bins are the tree's, which were tuned on Adult and on a generated table of customers; the other constants are the first
    tried, after a look at both tables (benchmarks/tables_aim.py). Figures of Adult are therefore slightly in favour of this engine.

    Attributes:
        shares: Parts of the budget; ``selection`` and ``pairs`` together pay for the adaptive stage, in that proportion.
        rounds_per_column: The first round is as exact as if there were this many rounds for each column.
        target_weight: How much each three-way marginal with the target counts in the workload; each two-way marginal counts 1.
        max_target_codes: Three-way marginals are considered if the target has at most this many codes.
        max_bins: Most bins of a numeric column (categorical columns: twice as many).
        cells_of_noise: Standard deviations of noise that an average pair cell should hold: higher means fewer bins.
        max_model_cells: Cells of the junction tree at most, 8 bytes each; a part of them that grows as the budget is used.
    """

    shares: Shares = field(default_factory=Shares)
    rounds_per_column: float = 2.0
    target_weight: float = 1.0
    max_target_codes: int = 8
    max_bins: int = 24
    cells_of_noise: float = 2.0
    max_model_cells: int = 200_000

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        at_least = {"rounds_per_column": 0.1, "target_weight": 0, "max_target_codes": 0, "max_bins": 2, "max_model_cells": 1000}
        for name, least in at_least.items():
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= least):
                raise PlanError(f"{name}={getattr(self, name)!r}; expected a number of at least {least}")
        if not self.cells_of_noise > 0:
            raise PlanError(f"cells_of_noise={self.cells_of_noise!r}; expected a number above 0")

    def touches(self, table: Table, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """Preparation, then the adaptive stage as one event; depends on public facts only.

        Raises:
            PlanError: The table has more columns than ``MAX_COLUMNS``.
        """
        n_columns = len(measured_columns(table))
        if n_columns > MAX_COLUMNS:
            raise PlanError(f"table {table.name!r} has {n_columns} columns to measure; aim takes {MAX_COLUMNS} at most: use 'tree'")
        preparation = preparation_touches(table, self.shares, noise_scale=noise_scale, budget=budget)
        if n_columns < 2:
            return preparation
        rho = (self.shares.selection + self.shares.pairs) / (2 * noise_scale**2)
        return (*preparation, Touch(STAGE, LABEL, ZeroConcentrated(rho=rho)))

    def load(self, folder: Path) -> AimModel:
        """The model that an earlier ``fit`` saved: a run that goes on after a crash does not fit again."""
        return AimModel.load(folder)

    def fit(self, train: Dataset, *, reservation: Reservation) -> AimModel:
        """Measure and model one table.

        Raises:
            PlanError: There are so few people that noise exceeds signal, or no pair of columns fits ``max_model_cells``.
        """
        table = train.table
        n_columns = len(measured_columns(table))
        rounds = max(1.0, self.rounds_per_column * n_columns)
        sigma = table.max_rows_per_person * reservation.noise_scale * math.sqrt(rounds / self.shares.pairs)
        limits = BinLimits(pair_sigma=sigma, cells_of_noise=self.cells_of_noise, max_bins=self.max_bins)
        prepared = prepare(train, reservation=reservation, limits=limits)
        model = _Model.of_one_ways(prepared, root=max(0, _target_number(prepared, table)))
        if n_columns > 1:
            event = reservation.spend(STAGE, LABEL)
            if not isinstance(event, ZeroConcentrated):
                raise PlanError(f"touch {LABEL!r} is reserved as {type(event).__name__}; expected ZeroConcentrated")
            workload = count_workload(prepared, table, target_weight=self.target_weight, max_target_codes=self.max_target_codes)
            zcdp_filter = ZeroConcentratedFilter(event.rho)
            model = _adaptive_stage(
                self, model, workload, zcdp_filter, rounds=rounds, noise=reservation.noise, person_rows=table.max_rows_per_person
            )
        return AimModel(table=table, columns=prepared.columns, distribution=model.fit.distribution, column_reports=prepared.reports)


def _target_number(prepared: Prepared, table: Table) -> int:
    """The measured column that holds the target, also where it is filled from another or is one of a combination; -1 if none."""
    name, names = table.target, [column.name for column in prepared.columns]
    determined, combined = determined_by(table), combination_of(table)
    while name in determined:
        name = determined[name]
    name = combined.get(name, name) if name is not None else None
    return names.index(name) if name in names else -1


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The marginals that may be measured: all pairs, and all pairs beside the target.

    Attributes:
        target: The target's number if three-way marginals are considered.
        counts: Columns -> exact counts, private, one axis per column.
        weights: Columns -> weight in the score, in (0, 1]; from declared facts and from which columns have one code, an output.
    """

    target: int | None
    counts: Mapping[Columns, IntArray]
    weights: Mapping[Columns, float]


def count_workload(prepared: Prepared, table: Table, *, target_weight: float, max_target_codes: int) -> Workload:
    """Counts and weights of all candidates.

    A candidate r weighs as much as it overlaps with what is asked for (AIM, section 4.2): the sum over pairs, at 1, and over triples with
    the target, at ``target_weight``, of the number of columns shared with r; divided by the largest such sum. A column with one code is in
    no candidate.
    """
    sizes = [column.size for column in prepared.columns]
    number = _target_number(prepared, table)
    varied = [k for k, size in enumerate(sizes) if size > 1 and k != number]
    wanted = number >= 0 and 2 <= sizes[number] <= max_target_codes and target_weight > 0 and len(varied) > 1
    target = number if wanted else None
    cases, case = (1, np.zeros_like(prepared.codes[0])) if target is None else (sizes[target], prepared.codes[target])
    by_case: dict[Columns, IntArray] = {}
    for i, j in combinations([k for k, size in enumerate(sizes) if k != target and size > 1], 2):
        joint = (case * sizes[i] + prepared.codes[i]) * sizes[j] + prepared.codes[j]
        by_case[i, j] = count_codes(joint, cases * sizes[i] * sizes[j]).reshape(cases, sizes[i], sizes[j])
    counts = _marginals_of(by_case, target)
    # The overlap with all that is asked for is a sum over the candidate's columns of what asks for each.
    asked = np.zeros(len(sizes))
    for columns in counts:
        asked[list(columns)] += 1.0 if len(columns) == 2 else target_weight
    overlap = {columns: float(asked[list(columns)].sum()) for columns in counts}
    largest = max(overlap.values(), default=1.0)
    return Workload(target=target, counts=counts, weights={columns: value / largest for columns, value in overlap.items()})


def _marginals_of(by_case: Mapping[Columns, npt.NDArray[Any]], target: int | None) -> dict[Columns, npt.NDArray[Any]]:
    """Every candidate's table from the tables of all pairs beside the target, shape (cases, size i, size j)."""
    tables: dict[Columns, npt.NDArray[Any]] = {}
    for (i, j), table in by_case.items():
        tables[i, j] = table.sum(axis=0)
        if target is None:
            continue
        triple = tuple(sorted((i, j, target)))
        tables[triple] = np.moveaxis(table, 0, triple.index(target))
        for column, other_axis in ((i, 2), (j, 1)):
            if (pair := tuple(sorted((column, target)))) not in tables:
                summed = table.sum(axis=other_axis)
                tables[pair] = summed if target < column else summed.T
    return tables


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What was measured so far and the model of it; outputs of mechanisms only."""

    sizes: tuple[int, ...]
    root: int
    total: float
    measurements: tuple[Measurement, ...]
    fit: Fit

    @classmethod
    def of_one_ways(cls, prepared: Prepared, *, root: int) -> _Model:
        """Independent columns."""
        sizes = tuple(column.size for column in prepared.columns)
        measurements, start = [], []
        for number, column in enumerate(prepared.columns):
            equal = np.full(column.size, prepared.noisy_total / column.size)
            weight = prior_weight(column.one_way, column.variance, equal)
            measurement = Measurement(columns=(number,), counts=column.one_way, variance=column.variance, weight=weight)
            measurements.append(measurement)
            start.append(first_guess(measurement.counts, measurement.ridge, equal))
        fit = fit_graph(junction_tree(sizes, [], root=root), measurements, total=prepared.noisy_total, start=start)
        return cls(sizes=sizes, root=root, total=prepared.noisy_total, measurements=tuple(measurements), fit=fit)

    def with_measurement(self, columns: Columns, counts: FloatArray, sigma: float, predicted: FloatArray) -> _Model:
        """The model refitted to one more table, from where the fit was."""
        variance = np.full(counts.shape, sigma**2)
        measurements, start = list(self.measurements), list(self.fit.theta)
        known = [number for number, measurement in enumerate(measurements) if measurement.columns == columns]
        if known:
            measurements[known[0]] = _pooled(measurements[known[0]], counts, variance)
        else:
            predicted = np.maximum(predicted, 1e-9 * self.total / predicted.size)
            weight = prior_weight(counts, variance, predicted)
            measurements.append(Measurement(columns=columns, counts=counts, variance=variance, weight=weight))
            start.append(first_guess(counts, measurements[-1].ridge, predicted))
        tree = junction_tree(self.sizes, [measurement.columns for measurement in measurements], root=self.root)
        return replace(self, measurements=tuple(measurements), fit=fit_graph(tree, measurements, total=self.total, start=start))


def _pooled(before: Measurement, counts: FloatArray, variance: FloatArray) -> Measurement:
    """A marginal that was measured again: the inverse-variance mean."""
    precision = 1 / before.variance + 1 / variance
    return replace(before, counts=(before.counts / before.variance + counts / variance) / precision, variance=1 / precision)


def _adaptive_stage(
    settings: Aim,
    model: _Model,
    workload: Workload,
    zcdp_filter: ZeroConcentratedFilter,
    *,
    rounds: float,
    noise: NoiseSource,
    person_rows: int,
) -> _Model:
    """Rounds of choosing, measuring and refitting until the filter has nothing left.

    Raises:
        PlanError: No marginal fits the largest model allowed.
    """
    part = settings.shares.pairs / (settings.shares.pairs + settings.shares.selection)
    per_round, last = zcdp_filter.left / rounds, False
    while workload.counts and not last:
        if zcdp_filter.left < 2 * per_round:  # one round with all of it beats a round and a rest
            per_round, last = zcdp_filter.left * (1 - 1e-9), True
        sigma, epsilon = person_rows / math.sqrt(2 * part * per_round), math.sqrt(8 * (1 - part) * per_round)
        limit = settings.max_model_cells * min(1.0, 1 - (zcdp_filter.left - per_round) / zcdp_filter.rho)
        measured, wanted = [m.columns for m in model.measurements], list(workload.counts)
        allowed = candidates(model.sizes, measured, wanted, limit) or candidates(model.sizes, measured, wanted, settings.max_model_cells)
        if not allowed:
            raise PlanError(f"max_model_cells={settings.max_model_cells!r} holds no pair of columns; raise it, or lower max_bins")
        by_case = pair_tables(model.fit.distribution, workload.target)
        predicted = {columns: model.total * table for columns, table in _marginals_of(by_case, workload.target).items()}
        scores = np.array([_score(workload, r, predicted[r], sigma) for r in allowed])
        sensitivity = person_rows * max(workload.weights[r] for r in allowed)
        chosen = allowed[zcdp_filter.choose(scores, epsilon=epsilon, sensitivity=sensitivity, noise=noise)]
        counts = zcdp_filter.measure(workload.counts[chosen], sigma=sigma, sensitivity=person_rows, noise=noise)
        model = model.with_measurement(chosen, counts, sigma, predicted[chosen])
        change = np.abs(model.total * model.fit.distribution.marginal(chosen) - predicted[chosen]).sum()
        if change <= MEAN_ABSOLUTE_NOISE * sigma * counts.size:
            per_round *= 4
    return model


def _score(workload: Workload, columns: Columns, predicted: FloatArray, sigma: float) -> float:
    """Weighted error of the model on a candidate, less the error that measuring it would leave.

    weight * (|counts - predicted|_1 - sqrt(2 / pi) sigma n_cells): one person with at most m rows changes the counts by at most m in L1
    and nothing else, so by the triangle inequality the score by at most weight * m.
    """
    counts = workload.counts[columns]
    return workload.weights[columns] * float(np.abs(counts - predicted).sum() - MEAN_ABSOLUTE_NOISE * sigma * counts.size)


def candidates(sizes: tuple[int, ...], measured: list[Columns], wanted: list[Columns], max_cells: float) -> list[Columns]:
    """The marginals that a clique holds already, or whose junction tree would have at most ``max_cells`` cells."""
    masks = neighbour_masks(len(sizes), measured)
    cliques, cells = eliminate(masks, sizes)
    allowed = []
    for columns in wanted:
        # All but the largest column put into every clique would do: a bound that spares most eliminations.
        bound = cells * math.prod(sizes[column] for column in columns) / max(sizes[column] for column in columns)
        together = sum(1 << column for column in columns)
        if bound <= max_cells or any(together & ~clique == 0 for clique in cliques):
            allowed.append(columns)
            continue
        joined = [mask | together if together >> column & 1 else mask for column, mask in enumerate(masks)]
        if eliminate(joined, sizes)[1] <= max_cells:
            allowed.append(columns)
    return allowed


@dataclass(frozen=True, kw_only=True)
class AimModel(CodedModel):
    """A fitted graphical model."""

    distribution: GraphDistribution

    @property
    def edges(self) -> tuple[tuple[str, ...], ...]:
        """The sets of columns that the model holds, by name."""
        return tuple(tuple(self.columns[column].name for column in clique) for clique in self.distribution.tree.cliques if len(clique) > 1)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``arrays.npz``; the folder is internal."""
        tree = self.distribution.tree
        plain = {"tree": {"cliques": tree.cliques, "parents": tree.parents, "separators": tree.separators}}
        arrays = {f"belief.{k}": belief for k, belief in enumerate(self.distribution.beliefs)}
        save_coded(self, folder, engine="aim", format_number=FORMAT, plain=plain, arrays=arrays)

    @classmethod
    def load(cls, folder: Path) -> AimModel:
        """The model that ``save`` wrote.

        Raises:
            SourceError: The folder holds no such model of this format.
        """
        fields, plain, arrays = load_coded(folder, engine="aim", format_number=FORMAT)
        tree = JunctionTree(
            sizes=tuple(column.size for column in fields["columns"]),
            cliques=tuple(map(tuple, plain["tree"]["cliques"])),
            parents=tuple(plain["tree"]["parents"]),
            separators=tuple(map(tuple, plain["tree"]["separators"])),
        )
        beliefs = tuple(arrays[f"belief.{k}"] for k in range(len(tree.cliques)))
        return cls(distribution=GraphDistribution(tree=tree, beliefs=beliefs), **fields)
