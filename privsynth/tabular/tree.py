"""The tree engine: a maximum spanning tree of two-way marginals, the default for tables.

MST, McKenna, Miklau & Sheldon (2021), arXiv:2108.04978, the winner of the 2018 NIST challenge: measure every one-way marginal,
choose the pairs that independence explains worst, one at a time and so that they form a tree, measure these, and
sample from the one distribution on the tree that agrees with all measurements (``inference.py``: in closed form).

What it can say is limited by the tree: each column depends on one other directly. Past epsilon 3 or so
that, and no longer noise, is what keeps it from the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.dataset import Dataset
from privsynth.errors import PlanError
from privsynth.privacy import Budget, DiscreteGaussian, ExponentialMechanism, Reservation, Touch
from privsynth.schema import Table
from privsynth.tabular.base import STAGE
from privsynth.tabular.coded import CodedModel, load_coded, save_coded
from privsynth.tabular.inference import Edge, TreeDistribution, fit_tree
from privsynth.tabular.prepare import (
    BinLimits,
    Prepared,
    Shares,
    count_codes,
    measured_columns,
    noisy_counts,
    preparation_touches,
    prepare,
)

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FORMAT = 2
"""Of a saved model."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Settings of the tree engine; all of them affect what is measured, none the guarantee, which the ledger solves.

    Attributes:
        shares: Parts of the budget.
        max_bins: Most bins of a numeric column (categorical columns: twice as many).
        cells_of_noise: Standard deviations of noise that an average pair cell should hold: higher means fewer bins.
        max_pair_cells: Pairs with more cells than this are not considered.
    """

    shares: Shares = field(default_factory=Shares)
    max_bins: int = 24
    cells_of_noise: float = 2.0
    max_pair_cells: int = 10_000

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if self.max_bins < 2 or self.max_pair_cells < 4 or not self.cells_of_noise > 0:
            raise PlanError(
                f"max_bins={self.max_bins!r}, max_pair_cells={self.max_pair_cells!r}, cells_of_noise={self.cells_of_noise!r}; "
                "expected at least 2, at least 4 and a number above 0"
            )

    def touches(self, table: Table, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """Preparation, then a choice and a measurement for each of the d - 1 edges; depends on public facts only."""
        touches = list(preparation_touches(table, self.shares, noise_scale=noise_scale, budget=budget))
        n_edges = len(measured_columns(table)) - 1
        if n_edges:
            choice = ExponentialMechanism(epsilon=self.shares.selection_epsilon(n_edges, noise_scale))
            pair = DiscreteGaussian(noise_multiplier=self.shares.multiplier("pairs", n_edges, noise_scale))
            touches += [Touch(STAGE, _choice_label(edge), choice) for edge in range(n_edges)]
            touches += [Touch(STAGE, _pair_label(edge), pair) for edge in range(n_edges)]
        return tuple(touches)

    def fit(self, train: Dataset, *, reservation: Reservation) -> TreeModel:
        """Measure and model one table.

        Raises:
            PlanError: There are so few people that noise exceeds signal.
        """
        table = train.table
        n_edges = len(measured_columns(table)) - 1
        multiplier = self.shares.multiplier("pairs", max(n_edges, 1), reservation.noise_scale)
        limits = BinLimits(pair_sigma=multiplier * table.max_rows_per_person, cells_of_noise=self.cells_of_noise, max_bins=self.max_bins)
        prepared = prepare(train, reservation=reservation, limits=limits)
        rows = table.max_rows_per_person
        edges = _select_edges(prepared, self.max_pair_cells, reservation=reservation, max_rows_per_person=rows)
        pairs = {}
        for number, (i, j) in enumerate(edges):
            size_i, size_j = prepared.columns[i].size, prepared.columns[j].size
            counts = count_codes(prepared.codes[i] * size_j + prepared.codes[j], size_i * size_j)
            noisy, sigma = noisy_counts(counts, _pair_label(number), reservation=reservation, max_rows_per_person=rows)
            pairs[i, j] = (noisy.reshape(size_i, size_j), sigma)
        one_ways = [(column.one_way, column.variance) for column in prepared.columns]
        distribution = fit_tree(one_ways, pairs, noisy_total=prepared.noisy_total)
        return TreeModel(table=table, columns=prepared.columns, distribution=distribution, column_reports=prepared.reports)

    def load(self, folder: Path) -> TreeModel:
        """The model that an earlier ``fit`` saved: a run that goes on after a crash does not fit again."""
        return TreeModel.load(folder)


def pair_scores(prepared: Prepared, max_pair_cells: int) -> dict[Edge, float]:
    """L1 distance between each pair's table of counts and what independence predicts.

    score(i, j) = sum over cells |count - n p_i p_j|, where n, p_i and p_j come from noisy marginals that are fixed before. One person
    with at most m rows changes the counts by at most m in L1 and the prediction not at all; by the triangle
    inequality no score changes by more than m, the sensitivity of the choice.

    A column with a single code and a pair with more cells than ``max_pair_cells`` are left out; sizes are noisy figures.
    """
    predicted = [np.maximum(column.one_way, 0) / max(np.maximum(column.one_way, 0).sum(), 1e-9) for column in prepared.columns]
    scores: dict[Edge, float] = {}
    for j, right in enumerate(prepared.columns):
        for i, left in enumerate(prepared.columns[:j]):
            if min(left.size, right.size) < 2 or left.size * right.size > max_pair_cells:
                continue
            joint = prepared.codes[i] * right.size + prepared.codes[j]
            counts = count_codes(joint, left.size * right.size)
            expected = prepared.noisy_total * np.outer(predicted[i], predicted[j]).ravel()
            scores[i, j] = float(np.abs(counts - expected).sum())
    return scores


def _select_edges(prepared: Prepared, max_pair_cells: int, *, reservation: Reservation, max_rows_per_person: int) -> list[Edge]:
    """Edges of a forest, one at a time by the exponential mechanism among pairs that connect two components."""
    scores = pair_scores(prepared, max_pair_cells)
    component = np.arange(len(prepared.columns))
    edges: list[Edge] = []
    while candidates := [edge for edge in scores if component[edge[0]] != component[edge[1]]]:
        event = reservation.spend(STAGE, _choice_label(len(edges)))
        if not isinstance(event, ExponentialMechanism):
            raise PlanError(f"touch {_choice_label(len(edges))!r} is reserved as {type(event).__name__}; expected ExponentialMechanism")
        chosen = reservation.noise.noisy_max(
            np.array([scores[edge] for edge in candidates]), epsilon=event.epsilon, sensitivity=float(max_rows_per_person)
        )
        i, j = candidates[chosen]
        component[component == component[j]] = component[i]
        edges.append((i, j))
    return edges


def _choice_label(edge: int) -> str:
    return f"choice of pair {edge + 1}"


def _pair_label(edge: int) -> str:
    return f"two-way marginal of pair {edge + 1}"


@dataclass(frozen=True, kw_only=True)
class TreeModel(CodedModel):
    """A fitted tree."""

    distribution: TreeDistribution

    @property
    def edges(self) -> tuple[tuple[str, ...], ...]:
        """The pairs of columns that the model holds, by name."""
        parents = enumerate(self.distribution.parents.tolist())
        return tuple((self.columns[parent].name, self.columns[child].name) for child, parent in parents if parent >= 0)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``arrays.npz``; the folder is internal."""
        tree = self.distribution
        arrays: dict[str, npt.NDArray[Any]] = {"parents": tree.parents, "order": tree.order}
        arrays |= {f"{number}.marginal": marginal for number, marginal in enumerate(tree.marginals)}
        arrays |= {f"{number}.conditional": conditional for number, conditional in tree.conditionals.items()}
        save_coded(self, folder, engine="tree", format_number=FORMAT, plain={}, arrays=arrays)

    @classmethod
    def load(cls, folder: Path) -> TreeModel:
        """The model that ``save`` wrote.

        Raises:
            SourceError: The folder holds no tree model of this format.
        """
        fields, _, arrays = load_coded(folder, engine="tree", format_number=FORMAT)
        numbers = range(len(fields["columns"]))
        distribution = TreeDistribution(
            marginals=tuple(arrays[f"{number}.marginal"] for number in numbers),
            parents=arrays["parents"],
            order=arrays["order"],
            conditionals={number: arrays[f"{number}.conditional"] for number in numbers if f"{number}.conditional" in arrays},
        )
        return cls(distribution=distribution, **fields)
