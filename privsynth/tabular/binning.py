"""Cells to bins: how many codes a column deserves, decided from noisy counts only.

A model of a column with more codes than the noise supports learns noise: the L1 error of a pair's table
grows with its number of cells. So cells are merged, as post-processing of noisy counts: numeric cells into neighbours of about
equal mass, with heavy cells (a default value, a mass at a bound) kept apart; categories below the noise into
one bin. Inside a bin, cells are drawn by their noisy counts, shrunk towards equal density by James & Stein's rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SIGNIFICANCE = 3.0
"""A count stands out from noise above this many standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Binning:
    """A map from cells to bins, and how to draw a cell of a bin.

    Attributes:
        bin_of_cell: Bin of each cell, shape (n_cells,), values 0 to n_bins - 1.
        draw_bins: Bin of each drawable (bin, cell) entry, shape (n_entries,), not decreasing; every bin occurs.
        draw_cells: Cell of each entry, shape (n_entries,).
        draw_weights: Probability of the entry within its bin, shape (n_entries,); sums to 1 over each bin.
    """

    bin_of_cell: IntArray
    draw_bins: IntArray
    draw_cells: IntArray
    draw_weights: FloatArray

    @property
    def size(self) -> int:
        """Number of bins."""
        return int(self.bin_of_cell.max()) + 1

    @property
    def cells_per_bin(self) -> IntArray:
        """How many cells each bin merges, shape (size,)."""
        return np.bincount(self.bin_of_cell, minlength=self.size).astype(np.int64)

    def merge(self, counts: npt.NDArray[np.number]) -> FloatArray:
        """Counts per bin from counts per cell, shape (size,)."""
        return np.bincount(self.bin_of_cell, weights=counts, minlength=self.size).astype(np.float64)

    def draw(self, bins: IntArray, *, rng: np.random.Generator) -> IntArray:
        """A cell for each bin code, shape (n,)."""
        starts = np.searchsorted(self.draw_bins, np.arange(self.size))
        single = np.diff(np.append(starts, len(self.draw_bins))) == 1
        cells = self.draw_cells[starts][bins]
        several = np.flatnonzero(~single[bins])
        if len(several):
            before = np.cumsum(self.draw_weights) - self.draw_weights
            cumulative = self.draw_bins + np.minimum(before - before[starts][self.draw_bins], 1.0)
            position = np.searchsorted(cumulative, bins[several] + rng.random(len(several)), side="right") - 1
            cells[several] = self.draw_cells[np.maximum(position, starts[bins[several]])]
        return cells


def bins_supported(noisy_total: float, pair_sigma: float, *, cells_of_noise: float, max_bins: int) -> int:
    """Bins per column at which an average pair cell holds ``cells_of_noise`` standard deviations of its noise.

    n / K^2 >= c sigma, so K = sqrt(n / (c sigma)); at least 2, at most ``max_bins``.
    """
    return int(min(max(2, math.sqrt(max(noisy_total, 0.0) / (cells_of_noise * pair_sigma))), max_bins))


def merge_neighbours(noisy: FloatArray, sigma: float, *, widths: FloatArray, n_bins: int, has_null: bool) -> Binning:
    """Bins of a numeric column from its noisy cell counts.

    Args:
        noisy: Noisy count of each cell, shape (n_cells,), null last if ``has_null``.
        sigma: Standard deviation of their noise.
        widths: Values in each cell, shape (n_cells,).
        n_bins: About how many bins are wanted.
        has_null: Whether the last cell is null.
    """
    values = noisy[: len(noisy) - has_null]
    bins = _neighbour_bins(values, sigma, n_bins)
    if has_null:
        # A null cell lost in the noise joins the heaviest bin; its weight there is then close to zero.
        alone = not len(values) or noisy[-1] > SIGNIFICANCE * sigma
        heaviest = int(np.argmax(np.bincount(bins, weights=np.maximum(values, 0)))) if len(values) else 0
        bins = np.append(bins, (bins.max() + 1 if len(values) else 0) if alone else heaviest)
    return _with_weights(bins, noisy, sigma, widths)


def _neighbour_bins(values: FloatArray, sigma: float, n_bins: int) -> IntArray:
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    seen = values > SIGNIFICANCE * sigma
    total = float(values[seen].sum()) if seen.sum() <= n_bins else float(values.sum())
    target = max(total, 1.0) / n_bins
    heavy = seen if seen.sum() <= n_bins else seen & (values > target)
    starts = np.zeros(len(values), dtype=bool)
    starts[0] = True
    borders = np.flatnonzero(np.diff(np.r_[False, heavy, False].astype(np.int8)))
    for first, last in zip(np.r_[0, borders], np.r_[borders, len(values)], strict=True):
        if first == last:
            continue
        if heavy[first]:
            starts[first:last] = True
        else:
            starts[first:last] = _run_starts(values[first:last], sigma, target, after_heavy=first > 0)
    starts[0] = True
    return np.asarray(np.cumsum(starts) - 1, dtype=np.int64)


def _run_starts(run: FloatArray, sigma: float, target: float, *, after_heavy: bool) -> npt.NDArray[np.bool_]:
    """Where bins begin in a run of light cells: about ``target`` mass each; a run below its noise joins the bin before it."""
    starts = np.zeros(len(run), dtype=bool)
    mass = float(run.sum())
    if mass < SIGNIFICANCE * sigma * math.sqrt(len(run)) and after_heavy:
        return starts
    parts = max(1, round(mass / target))
    # Running maximum: a noisy negative count must not move a border back.
    progress = np.maximum.accumulate(np.cumsum(run) - run / 2) / max(mass, 1e-9) * parts
    part = np.clip(progress, 0, parts - 1e-9).astype(np.int64)
    starts[0] = True
    starts[1:] = part[1:] > part[:-1]
    return starts


def merge_rare(noisy: FloatArray, sigma: float, *, n_bins: int, other: int | None = None, groups: Sequence[IntArray] = ()) -> Binning:
    """Bins of a categorical column: a bin per category that stands out, one for all the rest.

    With ``groups`` (a public hierarchy of codes) a category that does not stand out joins the bin of its group if the rest of
    that group does, and else that of the next coarser group.

    Args:
        noisy: Noisy count of each cell, shape (n_cells,).
        sigma: Standard deviation of their noise.
        n_bins: Most bins that the noise supports; lighter categories than the n_bins - 1 heaviest are merged.
        other: The cell of values without a category; it keeps its bin and is drawn from the categories' cells before it.
        groups: Group of each cell at each level, finest first, each of shape (n_cells,); -1 for a cell in no group.
    """
    if groups:
        bins = _grouped_bins(noisy, sigma, n_bins, groups, other)
        binning = _with_weights(bins, noisy, sigma, np.ones(len(noisy)))
        return _draw_other(binning, noisy, other) if other is not None and other > 0 else binning
    light = noisy <= SIGNIFICANCE * sigma
    if (~light).sum() > n_bins:
        light |= np.argsort(np.argsort(-noisy)) >= n_bins - 1
    if other is not None:
        light[other] = False
    bins = np.where(light, (~light).sum(), np.cumsum(~light) - 1).astype(np.int64)
    binning = _with_weights(bins, noisy, sigma, np.ones(len(noisy)))
    # Without any category before it (other = 0), "other" is drawn as itself and decoded to null.
    return _draw_other(binning, noisy, other) if other is not None and other > 0 else binning


def _grouped_bins(noisy: FloatArray, sigma: float, n_bins: int, groups: Sequence[IntArray], other: int | None) -> IntArray:
    """Level by level, bins for what stands out among the cells not placed yet; the last bin takes the rest."""
    bins = np.full(len(noisy), -1, dtype=np.int64)
    n_placed = 0
    if other is not None:
        bins[other], n_placed = 0, 1
    single = np.arange(len(noisy))
    for number, level in enumerate((single, *groups)):
        free = np.flatnonzero((bins < 0) & (level >= 0))
        if not len(free):
            break
        keys, group = np.unique(level[free], return_inverse=True)
        mass = np.bincount(group, weights=noisy[free], minlength=len(keys))
        noise = sigma * np.sqrt(np.bincount(group, minlength=len(keys)))
        room = n_bins - 1 - n_placed
        stands_out = mass > SIGNIFICANCE * noise
        if number < len(groups):  # a finer level leaves room for coarser ones: only what holds its fair share, if not all fit
            stands_out &= (stands_out.sum() <= room) | (mass > max(noisy.sum(), 1.0) / n_bins)
        kept = [key for key in np.argsort(-mass) if stands_out[key]][: max(room, 0)]
        for key in kept:
            bins[free[group == key]] = n_placed
            n_placed += 1
    bins[bins < 0] = n_placed
    return bins


def _draw_other(binning: Binning, noisy: FloatArray, other: int) -> Binning:
    """The same bins, with "other" drawn from the categories before it in proportion to their noisy counts."""
    weights = np.maximum(noisy[:other], 0) + 1e-9
    keep = binning.draw_cells != other
    bins = np.r_[binning.draw_bins[keep], np.full(other, binning.bin_of_cell[other])]
    cells = np.r_[binning.draw_cells[keep], np.arange(other)]
    shares = np.r_[binning.draw_weights[keep], weights / weights.sum()]
    order = np.argsort(bins, kind="stable")
    return Binning(bin_of_cell=binning.bin_of_cell, draw_bins=bins[order], draw_cells=cells[order], draw_weights=shares[order])


def _with_weights(bins: IntArray, noisy: FloatArray, sigma: float, widths: FloatArray) -> Binning:
    order = np.argsort(bins, kind="stable")
    weights = np.concatenate([_shrunk(noisy[cells], sigma, widths[cells]) for cells in np.split(order, _cuts(bins[order]))])
    return Binning(bin_of_cell=bins, draw_bins=bins[order], draw_cells=order.astype(np.int64), draw_weights=weights)


def _cuts(ordered: IntArray) -> IntArray:
    return np.flatnonzero(np.diff(ordered)) + 1


def _shrunk(noisy: FloatArray, sigma: float, widths: FloatArray) -> FloatArray:
    """Shares of the cells of one bin, from noisy counts shrunk towards equal density.

    James & Stein (1961), positive part: keep the share max(0, 1 - (k - 1) sigma^2 / |deviation|^2) of the deviation.
    """
    equal: FloatArray = widths / widths.sum()
    total = float(noisy.sum())
    if len(noisy) == 1 or total <= 0:
        return equal
    deviation = noisy - total * equal
    squares = float(deviation @ deviation)
    kept = max(0.0, 1.0 - (len(noisy) - 1) * sigma**2 / squares) if squares else 0.0
    return np.asarray(project_to_simplex(total * equal + kept * deviation, total) / total)


def project_to_simplex(values: FloatArray, total: float) -> FloatArray:
    """The nearest point, in L2, with no negative entry and the given sum > 0 (Duchi et al. 2008, figure 1).

    >>> project_to_simplex(np.array([3.0, 1.0, -1.0]), 2.0)
    array([2., 0., 0.])
    """
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(values) + 1)
    shift = excess[np.flatnonzero(ordered > excess)[-1]]
    return np.asarray(np.maximum(values - shift, 0.0))
