"""The part of a marginal-based engine before its model: facts, histograms, bins and one-way marginals.

Every touch of this part is listed by ``preparation_touches`` from public facts alone, and ``prepare`` spends them in
that order. What leaves here is a table of small integer codes, the noisy one-way marginals of its columns, and how to
turn codes back into values.

Sensitivities, for adding or removing one person with at most m rows (other rows are left out beforehand): every
histogram changes by at most m in L1, hence in L2 (all m rows may share a cell), so noise has sigma = noise_multiplier * m.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset
from privsynth.errors import PlanError
from privsynth.privacy import Budget, DiscreteGaussian, Event, PartitionSelection, Reservation, Touch
from privsynth.schema import Column, Table
from privsynth.tabular.base import STAGE, ColumnReport, require_modelled
from privsynth.tabular.binning import Binning, bins_supported, merge_neighbours, merge_rare
from privsynth.tabular.constraints import combination_of, recoded_frame, recoded_table
from privsynth.tabular.encode import CategoryCells, Cells, cells_of, determined_by, limit_rows, prefix_groups
from privsynth.tabular.facts import bounds_from_counts, count_on_grid, select_categories

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Parts of the budget (in rho) of the kinds of mechanisms, relative to each other; absent kinds get nothing.

    Tuned at epsilon 1 on the 26,048 training rows of Adult and on a generated table of customers (benchmarks/tables_tree.py); figures of
    Adult are therefore slightly in favour of this engine. Neither table's values enter anything but these constants.
    """

    bounds: float = 0.10
    categories: float = 0.10
    histograms: float = 0.10
    one_way: float = 0.20
    selection: float = 0.10
    pairs: float = 0.50

    def __post_init__(self) -> None:
        """Refuse parts that are not positive."""
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise PlanError(f"{name}={value!r} is not a share of the budget; expected a number above 0")

    def multiplier(self, kind: str, count: int, noise_scale: float) -> float:
        """Noise multiplier of each of ``count`` Gaussian mechanisms that split a share: rho = share / (2 noise_scale^2) in all."""
        return noise_scale * math.sqrt(count / getattr(self, kind))

    def selection_epsilon(self, count: int, noise_scale: float) -> float:
        """Epsilon of each of ``count`` exponential mechanisms, epsilon^2 / 8 in rho: together share / (2 noise_scale^2)."""
        return 2 * math.sqrt(self.selection / count) / noise_scale

    def category_epsilon(self, count: int, noise_scale: float) -> float:
        """Epsilon of each of ``count`` partition selections, epsilon^2 / 2 in rho: together share / (2 noise_scale^2)."""
        return math.sqrt(self.categories / count) / noise_scale


CATEGORY_DELTA_SHARE = 0.2
"""Part of delta that all partition selections of a table share."""


@dataclass(frozen=True, kw_only=True)
class BinLimits:
    """What decides how many codes a column gets.

    Attributes:
        pair_sigma: Noise of the pair tables to come.
        cells_of_noise: Standard deviations of that noise that an average pair cell should hold.
        max_bins: Most codes of a numeric column; a categorical column gets up to twice as many.
    """

    pair_sigma: float
    cells_of_noise: float
    max_bins: int

    def numeric(self, noisy_total: float) -> int:
        """Bins wanted for a numeric column of about ``noisy_total`` rows."""
        return bins_supported(noisy_total, self.pair_sigma, cells_of_noise=self.cells_of_noise, max_bins=self.max_bins)

    def categorical(self, noisy_total: float) -> int:
        """Twice as many: merging categories loses their names, merging neighbours only detail."""
        return 2 * self.numeric(noisy_total)


@dataclass(frozen=True, kw_only=True)
class CodedColumn:
    """A column as the model sees it.

    Attributes:
        cells: Its finest domain.
        binning: Cells to codes.
        one_way: Best estimate of the count of each code from this part's measurements, shape (size,).
        variance: Variance of each estimate, shape (size,).
    """

    cells: Cells
    binning: Binning
    one_way: FloatArray
    variance: FloatArray

    @property
    def name(self) -> str:
        """The column's name."""
        return self.cells.column.name

    @property
    def size(self) -> int:
        """Number of codes."""
        return self.binning.size


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a model is built from.

    Attributes:
        columns: The modelled columns without those filled from maps, in table order.
        codes: The private codes of each column, each of shape (n_rows,).
        noisy_total: Noisy number of rows, at least 1.
        determined: Column -> the column that fixes it.
        reports: One per modelled column, in table order.
    """

    columns: tuple[CodedColumn, ...]
    codes: tuple[IntArray, ...]
    noisy_total: float
    determined: Mapping[str, str]
    reports: tuple[ColumnReport, ...]


def measured_columns(table: Table) -> tuple[Column, ...]:
    """The columns that are measured: modelled, not filled from a public map, and recoded so that constraints are built in."""
    determined = determined_by(table)
    require_modelled(table)
    return tuple(column for column in recoded_table(table).modelled if column.name not in determined)


def preparation_touches(table: Table, shares: Shares, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
    """Every touch of ``prepare``, in order."""
    columns = measured_columns(table)
    bounds = [column for column in columns if column.undeclared == "bounds"]
    categories = [column for column in columns if column.undeclared == "categories"]
    numeric = [column for column in columns if column.is_numeric]

    def gaussian(kind: str, among: list[Column]) -> Event:
        return DiscreteGaussian(noise_multiplier=shares.multiplier(kind, len(among), noise_scale))

    touches = [Touch(STAGE, f"bounds of {column.name}", gaussian("bounds", bounds)) for column in bounds]
    for column in categories:
        epsilon = shares.category_epsilon(len(categories), noise_scale)
        delta = CATEGORY_DELTA_SHARE * budget.delta / len(categories)
        touches.append(Touch(STAGE, f"categories of {column.name}", PartitionSelection(epsilon=epsilon, delta=delta)))
    touches += [Touch(STAGE, f"histogram of {column.name}", gaussian("histograms", numeric)) for column in numeric]
    touches += [Touch(STAGE, f"one-way marginal of {column.name}", gaussian("one_way", list(columns))) for column in columns]
    return tuple(touches)


def noisy_counts(counts: IntArray, label: str, *, reservation: Reservation, max_rows_per_person: int) -> tuple[FloatArray, float]:
    """A histogram with the noise of its reserved touch, same shape, and sigma.

    One person adds at most m = ``max_rows_per_person`` rows, all of them perhaps to one cell: L2 sensitivity m.
    """
    event = reservation.spend(STAGE, label)
    if not isinstance(event, DiscreteGaussian):
        raise PlanError(f"touch {label!r} is reserved as {type(event).__name__}; expected DiscreteGaussian")
    sigma = event.noise_multiplier * max_rows_per_person
    return reservation.noise.discrete_gaussian(counts, sigma).astype(np.float64), sigma


def count_codes(codes: IntArray, size: int) -> IntArray:
    """Rows of each code, shape (size,)."""
    return np.bincount(codes, minlength=size).astype(np.int64)


def prepare(train: Dataset, *, reservation: Reservation, limits: BinLimits) -> Prepared:
    """Facts, histograms, bins, codes and one-way marginals of a table.

    Args:
        train: One table.
        reservation: Holds the touches of ``preparation_touches``.
        limits: How fine columns are cut.

    Raises:
        PlanError: There are so few people that noise exceeds signal.
    """
    table = train.table
    frame, units, left_out = limit_rows(train, noise=reservation.noise)
    frame = recoded_frame(frame, table)
    columns = measured_columns(table)
    cells = _with_facts(columns, frame, units, table, reservation)
    encoded = {column.name: domain.encode(frame[column.name]) for column, domain in zip(columns, cells, strict=True)}
    rows = table.max_rows_per_person
    histograms = {}
    for domain in cells:
        if domain.column.is_numeric:
            counts = count_codes(encoded[domain.column.name][0], domain.size)
            label = f"histogram of {domain.column.name}"
            histograms[domain.column.name] = noisy_counts(counts, label, reservation=reservation, max_rows_per_person=rows)
    coded, codes = [], []
    for domain in cells:
        column, of_column = _coded(domain, encoded[domain.column.name][0], histograms.get(domain.column.name), table, reservation, limits)
        coded.append(column)
        codes.append(of_column)
    noisy_total = _noisy_total(coded)
    _require_signal(noisy_total, limits.pair_sigma, reservation.budget)
    reports = _reports(table, coded, {name: moved for name, (_, moved) in encoded.items()}, left_out, noisy_total)
    return Prepared(columns=tuple(coded), codes=tuple(codes), noisy_total=noisy_total, determined=determined_by(table), reports=reports)


def _with_facts(
    columns: tuple[Column, ...], frame: pd.DataFrame, units: npt.NDArray[np.object_], table: Table, reservation: Reservation
) -> list[Cells]:
    """The cells of each column, after buying what was not declared: first all bounds, then all categories."""
    bought: dict[str, Column] = {}
    for column in columns:
        if column.undeclared == "bounds":
            bought[column.name] = _bought_bounds(column, frame[column.name], table, reservation)
    for column in columns:
        if column.undeclared == "categories":
            bought[column.name] = _bought_categories(column, frame[column.name], units, table, reservation)
    return [cells_of(bought.get(column.name, column), bought=column.undeclared == "categories") for column in columns]


def _bought_bounds(column: Column, values: pd.Series[Any], table: Table, reservation: Reservation) -> Column:
    noisy, sigma = noisy_counts(
        count_on_grid(values, column),
        f"bounds of {column.name}",
        reservation=reservation,
        max_rows_per_person=table.max_rows_per_person,
    )
    bounds = bounds_from_counts(noisy.astype(np.int64), sigma, column)
    if bounds is None and not column.nullable:
        raise PlanError(
            f"bounds of column {column.name!r} cannot be bought: no range holds enough people for this epsilon; declare the bounds"
        )
    return column.with_fact(source="dp", bounds=bounds)


def _bought_categories(
    column: Column,
    values: pd.Series[Any],
    units: npt.NDArray[np.object_],
    table: Table,
    reservation: Reservation,
) -> Column:
    event = reservation.spend(STAGE, f"categories of {column.name}")
    if not isinstance(event, PartitionSelection):
        raise PlanError(f"touch 'categories of {column.name}' is reserved as {type(event).__name__}; expected PartitionSelection")
    kept = select_categories(
        values,
        units,
        epsilon=event.epsilon,
        delta=event.delta,
        max_rows_per_person=table.max_rows_per_person,
        noise=reservation.noise,
    )
    if not kept and not column.nullable:
        raise PlanError(
            f"categories of column {column.name!r} cannot be bought: no value is shared by enough people for this epsilon; declare them"
        )
    return column.with_fact(source="dp", categories=kept or None)


def _coded(
    domain: Cells,
    encoded: IntArray,
    histogram: tuple[FloatArray, float] | None,
    table: Table,
    reservation: Reservation,
    limits: BinLimits,
) -> tuple[CodedColumn, IntArray]:
    """The column's bins, its codes, and its one-way marginal; numeric columns have a ``histogram`` and its sigma."""
    label, rows = f"one-way marginal of {domain.column.name}", table.max_rows_per_person
    if histogram is None:
        noisy, sigma = noisy_counts(count_codes(encoded, domain.size), label, reservation=reservation, max_rows_per_person=rows)
        other = len(domain.categories) if isinstance(domain, CategoryCells) and domain.has_other else None
        groups = prefix_groups(domain) if isinstance(domain, CategoryCells) else ()
        binning = merge_rare(noisy, sigma, n_bins=limits.categorical(noisy.sum()), other=other, groups=groups)
        coded = CodedColumn(cells=domain, binning=binning, one_way=binning.merge(noisy), variance=_merged_variance(binning, sigma))
        return coded, binning.bin_of_cell[encoded]
    fine, fine_sigma = histogram
    binning = merge_neighbours(fine, fine_sigma, widths=domain.widths, n_bins=limits.numeric(fine.sum()), has_null=domain.column.nullable)
    codes = binning.bin_of_cell[encoded]
    noisy, sigma = noisy_counts(count_codes(codes, binning.size), label, reservation=reservation, max_rows_per_person=rows)
    one_way, variance = pool([(noisy, np.full(binning.size, sigma**2)), (binning.merge(fine), _merged_variance(binning, fine_sigma))])
    return CodedColumn(cells=domain, binning=binning, one_way=one_way, variance=variance), codes


def _merged_variance(binning: Binning, sigma: float) -> FloatArray:
    """Variance of each bin's sum of independently noised cells, shape (size,)."""
    return binning.cells_per_bin.astype(np.float64) * sigma**2


def pool(measurements: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Inverse-variance mean of independent (estimate, variance) pairs of one shape, and its variance."""
    precision = np.sum([1 / variance for _, variance in measurements], axis=0)
    return np.sum([estimate / variance for estimate, variance in measurements], axis=0) / precision, 1 / precision


def _noisy_total(columns: list[CodedColumn]) -> float:
    """Rows, as the inverse-variance mean of the noisy marginals' totals; at least 1."""
    totals = [(np.array([column.one_way.sum()]), np.array([column.variance.sum()])) for column in columns]
    return max(1.0, float(pool(totals)[0][0]))


def _require_signal(noisy_total: float, pair_sigma: float, budget: Budget) -> None:
    # A pair of two columns with two codes each needs cells above their noise; below that only noise would be released.
    needed = math.ceil(8 * pair_sigma)
    if noisy_total < needed:
        enough = budget.epsilon * needed / noisy_total  # noise shrinks nearly as 1 / epsilon
        raise PlanError(
            f"epsilon={budget.epsilon:g} gives this table more noise than signal: it needs about {needed} people; "
            f"use more people, fewer columns or epsilon of about {enough:.2g}"
        )


def _reports(
    table: Table, coded: list[CodedColumn], moved: Mapping[str, int], left_out: int, noisy_total: float
) -> tuple[ColumnReport, ...]:
    by_name = {column.name: column for column in coded}
    unmeasured = {name: f"Filled from the public map of {source!r}; not measured." for name, source in determined_by(table).items()}
    unmeasured |= {item.total: f"Computed: {item.label}; not measured." for item in table.constraints if item.total is not None}
    together = combination_of(table)
    notes = {name: "Modelled as one column of combinations: " + label + "." for name, label in together.items()}
    for item in table.constraints:
        if item.kind in ("ordered", "null_together"):
            notes |= dict.fromkeys(item.columns, f"Public constraint, kept in every row: {item.label}.")
    reports = []
    for column in table.modelled:
        if column.name in unmeasured:
            note = unmeasured[column.name]
            reports.append(ColumnReport(column=column.name, kind=column.kind, sources=column.sources, cells=0, bins=0, note=note))
            continue
        measured = together.get(column.name, column.name)
        report = _report(by_name[measured], moved[measured], left_out, noisy_total)
        sources = {**column.sources, **report.sources}
        note = f"{notes.get(column.name, '')} {report.note}".strip()
        reports.append(replace(report, column=column.name, kind=column.kind, sources=sources, note=note))
    return tuple(reports)


def _report(coded: CodedColumn, moved: int, left_out: int, noisy_total: float) -> ColumnReport:
    column, binning = coded.cells.column, coded.binning
    merged = int(binning.cells_per_bin[binning.cells_per_bin > 1].sum())
    has_other = isinstance(coded.cells, CategoryCells) and coded.cells.has_other
    notes = []
    if column.undeclared == "bounds":
        notes.append("No range held enough people to be bought: released as null.")
    elif "dp" in column.sources.values():
        notes.append("Its facts were bought: rare values lie outside them.")
    if isinstance(coded.cells, CategoryCells) and has_other and not coded.cells.categories:
        notes.append("No category held enough people to be bought: released as null.")
    return ColumnReport(
        column=column.name,
        kind=column.kind,
        sources=column.sources,
        cells=coded.cells.size,
        bins=binning.size,
        merged=merged,
        null_share=_share(coded, coded.cells.size - 1, noisy_total) if column.nullable else 0.0,
        other_share=_share(coded, coded.cells.size - 1 - column.nullable, noisy_total) if has_other else None,
        clipped=moved,
        rows_left_out=left_out,
        note=" ".join(notes),
    )


def _share(coded: CodedColumn, cell: int, noisy_total: float) -> float:
    """Model's share of one cell, in [0, 1]."""
    entries = (coded.binning.draw_cells == cell) & (coded.binning.draw_bins == coded.binning.bin_of_cell[cell])
    inside = float(coded.binning.draw_weights[entries].sum()) if entries.any() else 1.0
    return float(np.clip(coded.one_way[coded.binning.bin_of_cell[cell]] * inside / noisy_total, 0.0, 1.0))
