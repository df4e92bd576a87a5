"""How close are the marginals of the synthetic table to those of the training table?

The figure is the mean total variation distance over all 1-way, all 2-way and a sample of 3-way marginals, each beside what
it would be for a perfect synthesizer (a bootstrap of train: sampling noise alone, the floor) and for one that keeps every
column but no dependence (each column of train shuffled on its own, the ceiling). Without the two a score means nothing: a
shuffled table scores .88 of 1 on the quality score in common use. The protocol is that of marginal-based synthesis (McKenna,
Miklau & Sheldon 2021, arXiv:2108.04978; Tao et al. 2021, arXiv:2112.09238): numbers fall into 20 quantile bins of train.

Everything here is computed from private data and stays internal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset, numbers
from privsynth.errors import AuditError
from privsynth.schema import Column

IntArray = npt.NDArray[np.int64]
Clique = tuple[int, ...]
Coder = Callable[[Dataset], IntArray]

N_BINS = 20
"""Quantile bins of train for a numeric column; equal edges collapse, so a column with a point mass has fewer."""

N_WORST = 10
"""How many of the worst pairs a result lists, and of how many columns it gives the shares."""

N_CELLS = 24
"""Cells of one column whose shares are given; the rarest beyond that are added up."""

_DENSE_CELLS = 1 << 20
"""Up to this many cells a marginal is counted in an array; above, its occupied cells are sorted instead."""


@dataclass(frozen=True, kw_only=True)
class OrderDistance:
    """Mean total variation distance to train over the marginals of one order; each in [0, 1], higher is worse.

    Attributes:
        order: Columns in each marginal: 1, 2 or 3.
        n_marginals: How many marginals the mean is over.
        synthetic: The synthetic table.
        floor: A bootstrap of train with as many rows as the synthetic table: what sampling noise alone costs.
        ceiling: Each column of train shuffled on its own: what losing all dependence costs (0 for order 1).
        holdout: Rows of other real people, or None if there were none; above the floor when they are fewer.
    """

    order: int
    n_marginals: int
    synthetic: float
    floor: float
    ceiling: float
    holdout: float | None


@dataclass(frozen=True, kw_only=True)
class MarginalDistance:
    """Total variation distance of one marginal between synthetic and train, in [0, 1], beside its floor and ceiling."""

    columns: tuple[str, ...]
    synthetic: float
    floor: float
    ceiling: float


@dataclass(frozen=True, kw_only=True)
class MarginalShares:
    """Shares of one column's cells in train and in the synthetic table, in [0, 1]; no cell is named.

    Attributes:
        column: Its name.
        numeric: Whether the cells are quantile bins of train in ascending order, null last; cells by falling share in train otherwise.
        train: Shares, as many as there are cells, ``N_CELLS`` at most: the last then holds all others.
        synthetic: The same of the synthetic table.
    """

    column: str
    numeric: bool
    train: tuple[float, ...]
    synthetic: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class FidelityResult:
    """Distances by order, every column and the worst pairs, the worst first.

    Attributes:
        orders: One entry an order, as far as the number of columns allows.
        columns: The 1-way distance of every modelled column.
        pairs: The 2-way distances farthest above their floor, ``N_WORST`` at most.
        n_train: Rows of train.
        n_synthetic: Rows of the synthetic table.
        shares: Shares of the cells of the columns farthest above their floor, ``N_WORST`` at most.
    """

    orders: tuple[OrderDistance, ...]
    columns: tuple[MarginalDistance, ...]
    pairs: tuple[MarginalDistance, ...]
    n_train: int
    n_synthetic: int
    shares: tuple[MarginalShares, ...] = ()

    def order(self, order: int) -> OrderDistance:
        """The distances of one order.

        Raises:
            AuditError: The table has fewer columns than that.
        """
        for distance in self.orders:
            if distance.order == order:
                return distance
        raise AuditError(f"order={order!r} was not measured; expected one of {[distance.order for distance in self.orders]}")

    def to_json(self) -> dict[str, Any]:
        """The result as plain lists, strings and numbers. It names columns and holds no value of theirs."""
        return asdict(self)


def fidelity(
    train: Dataset, holdout: Dataset | None, synthetic: Dataset, *, rng: np.random.Generator, n_triples: int = 150
) -> FidelityResult:
    """Mean total variation distance of low-order marginals between the synthetic table and train.

    A null is a cell of its own, and so is what the synthetic table has and train has not.

    Args:
        train: The rows the synthesizer was fitted on.
        holdout: Rows of other real people, a context figure; the part kept for tuning will do. None: left out.
        synthetic: The rows to judge.
        rng: Draws the bootstrap, the shuffles and the triples.
        n_triples: 3-way marginals drawn at most; all of them if there are no more.

    Returns:
        A measurement without a verdict. Computed from private data: internal.

    Raises:
        AuditError: A table is empty, no column is modelled, or the tables have different modelled columns.
    """
    columns = _shared_columns(train, synthetic, holdout)
    others = {"synthetic": synthetic} | ({"holdout": holdout} if holdout is not None and len(holdout.frame) else {})
    train_codes, compared, sizes = _encode(train, others, columns)
    n_train, n_synthetic = train_codes.shape[1], compared["synthetic"].shape[1]
    # as many rows as the synthetic table: a small release is noisy however good its model
    compared["floor"] = train_codes[:, rng.integers(n_train, size=n_synthetic)]
    compared["ceiling"] = rng.permuted(train_codes, axis=1)
    orders: list[OrderDistance] = []
    by_order: dict[int, list[MarginalDistance]] = {}
    for order, cliques in _cliques(len(columns), n_triples, rng).items():
        distances = {name: [_total_variation(train_codes, codes, sizes, clique) for clique in cliques] for name, codes in compared.items()}
        means = {name: float(np.mean(values)) for name, values in distances.items()}
        orders.append(OrderDistance(order=order, n_marginals=len(cliques), **{"holdout": None, **means}))  # type: ignore[arg-type]  # the names are the fields
        by_order[order] = [
            MarginalDistance(columns=tuple(columns[i].name for i in clique), synthetic=own, floor=low, ceiling=high)
            for clique, own, low, high in zip(cliques, distances["synthetic"], distances["floor"], distances["ceiling"], strict=True)
        ]
    worst = _worst_first(by_order[1])
    position = {column.name: i for i, column in enumerate(columns)}
    shown = [position[distance.columns[0]] for distance in worst[:N_WORST]]
    return FidelityResult(
        orders=tuple(orders),
        columns=worst,
        pairs=_worst_first(by_order.get(2, []))[:N_WORST],
        n_train=n_train,
        n_synthetic=n_synthetic,
        shares=tuple(_shares(columns[i], train_codes[i], compared["synthetic"][i], sizes[i]) for i in shown),
    )


def _shared_columns(train: Dataset, synthetic: Dataset, holdout: Dataset | None) -> tuple[Column, ...]:
    """The modelled columns, after checking that every table has them and that there is something to compare."""
    columns = train.table.modelled
    if not columns:
        raise AuditError(
            f"table {train.table.name!r} has no modelled column; fidelity compares columns that are not PII, text or identifiers"
        )
    for name, dataset in {"train": train, "synthetic": synthetic}.items():
        if dataset.frame.empty:
            raise AuditError(f"the {name} table has 0 rows; expected 1 or more")
    for name, dataset in ({"synthetic": synthetic} | ({"holdout": holdout} if holdout is not None else {})).items():
        missing = [column.name for column in columns if column.name not in dataset.frame]
        if missing:
            raise AuditError(f"column {missing[0]!r} of train is not in the {name} table; expected the same modelled columns")
    return columns


def _cliques(n_columns: int, n_triples: int, rng: np.random.Generator) -> dict[int, list[Clique]]:
    """The marginals to measure by order: all of order 1 and 2, and a sample without repetition of order 3."""
    cliques: dict[int, list[Clique]] = {1: [(i,) for i in range(n_columns)]}
    if n_columns > 1:
        cliques[2] = list(combinations(range(n_columns), 2))
    if n_columns > 2 and n_triples > 0:
        cliques[3] = _triples(n_columns, n_triples, rng)
    return cliques


def _triples(n_columns: int, n_triples: int, rng: np.random.Generator) -> list[Clique]:
    if math.comb(n_columns, 3) <= n_triples:
        return list(combinations(range(n_columns), 3))
    chosen: set[Clique] = set()
    while len(chosen) < n_triples:
        chosen.add(tuple(sorted(rng.choice(n_columns, 3, replace=False).tolist())))
    return sorted(chosen)


def _encode(train: Dataset, others: Mapping[str, Dataset], columns: Sequence[Column]) -> tuple[IntArray, dict[str, IntArray], list[int]]:
    """Codes of shape (n_columns, n_rows) for train and for each other table, and the number of cells of each column."""
    coders = [_bins(train, column) if column.is_numeric else _categories(train, column) for column in columns]
    own = np.stack([code(train) for code, _ in coders])
    return own, {name: np.stack([code(dataset) for code, _ in coders]) for name, dataset in others.items()}, [size for _, size in coders]


def _bins(train: Dataset, column: Column) -> tuple[Coder, int]:
    """Quantile bins of train, the outer ones open, and a cell for null."""
    plain = numbers(train.frame[column.name], column)
    present = plain[~np.isnan(plain)]
    edges = np.unique(np.quantile(present, np.arange(1, N_BINS) / N_BINS)) if len(present) else np.empty(0)
    null = len(edges) + 1

    def code(dataset: Dataset) -> IntArray:
        values = numbers(dataset.frame[column.name], column)
        # bins closed on the right keep a point mass on an edge (capital gain 0) apart from everything above it
        return np.where(np.isnan(values), null, np.searchsorted(edges, values, side="left")).astype(np.int64)

    return code, null + 1


def _categories(train: Dataset, column: Column) -> tuple[Coder, int]:
    """The values of train, and a cell each for null and for what train has not."""
    known = pd.Index(train.frame[column.name].dropna().unique())
    null, not_in_train = len(known), len(known) + 1

    def code(dataset: Dataset) -> IntArray:
        values = dataset.frame[column.name]
        found = known.get_indexer(pd.Index(values))
        # one cell for all unknown values loses nothing: where train has no mass, the distance only adds up the other table's
        return np.where(values.isna().to_numpy(dtype=bool), null, np.where(found < 0, not_in_train, found)).astype(np.int64)

    return code, not_in_train + 1


def _total_variation(left: IntArray, right: IntArray, sizes: Sequence[int], clique: Clique) -> float:
    """Half the L1 distance between the two tables' frequencies over the cells of one marginal, in [0, 1]."""
    cells = math.prod(sizes[i] for i in clique)
    left_cell, right_cell = _cell(left, sizes, clique), _cell(right, sizes, clique)
    if cells > _DENSE_CELLS:
        _, compact = np.unique(np.concatenate([left_cell, right_cell]), return_inverse=True)
        left_cell, right_cell, cells = compact[: len(left_cell)], compact[len(left_cell) :], int(compact.max()) + 1
    left_share = np.bincount(left_cell, minlength=cells) / len(left_cell)
    return 0.5 * float(np.abs(left_share - np.bincount(right_cell, minlength=cells) / len(right_cell)).sum())


def _shares(column: Column, train: IntArray, synthetic: IntArray, size: int) -> MarginalShares:
    """Shares of the cells; those of categories by falling share in train, so that no order of theirs is told."""
    shares = np.stack([np.bincount(codes, minlength=size) / len(codes) for codes in (train, synthetic)])
    if not column.is_numeric:
        shares = shares[:, np.argsort(-shares[0], kind="stable")]
    if size > N_CELLS:
        shares = np.concatenate([shares[:, : N_CELLS - 1], shares[:, N_CELLS - 1 :].sum(axis=1, keepdims=True)], axis=1)
    own, other = (tuple(round(float(share), 4) for share in row) for row in shares)
    return MarginalShares(column=column.name, numeric=column.is_numeric, train=own, synthetic=other)


def _cell(codes: IntArray, sizes: Sequence[int], clique: Clique) -> IntArray:
    """The number of the cell that each row falls into, shape (n_rows,), counted row-major."""
    cell: IntArray = codes[clique[0]]
    for i in clique[1:]:
        cell = cell * sizes[i] + codes[i]
    return cell


def _worst_first(distances: list[MarginalDistance]) -> tuple[MarginalDistance, ...]:
    """By distance above the floor: a marginal with many cells is far from train through sampling noise alone."""
    return tuple(sorted(distances, key=lambda distance: (distance.floor - distance.synthetic, distance.columns)))
