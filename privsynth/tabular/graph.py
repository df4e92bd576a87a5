"""A distribution over codes as a calibrated junction tree: its marginals, all pairs in one pass, and rows drawn from it.

Sets of columns that are modelled together are the edges of a graph; triangulating it by elimination gives a junction tree,
on which sums over the whole domain are sums over cliques (Koller & Friedman 2009, chapter 10). Every clique's table is its marginal, so a
marginal inside a clique is a sum, and rows are drawn clique by clique, each given what it shares with its parent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

Columns = tuple[int, ...]
"""A set of columns, ascending."""

TRACE = 1e-9
"""Probability that conditioning keeps for codes that the model gives none."""

BLOCK_CELLS = 2**22
"""Cells of clique tables, one table per pattern of evidence, that are held at a time."""


def eliminate(neighbours: Sequence[int], sizes: Sequence[float]) -> tuple[list[int], float]:
    """Maximal cliques of a triangulated graph, and how many cells they have together.

    The column whose clique has fewest cells is eliminated next (Kjaerulff 1990). Sets of columns are bit masks: this runs once for each
    candidate of each round.

    Args:
        neighbours: Neighbours of each column as a bit mask, the column itself included.
        sizes: Number of codes of each column.
    """
    masks = list(neighbours)
    cells_of = [_product(mask, sizes) for mask in masks]
    left = (1 << len(masks)) - 1
    cliques: list[int] = []
    cells = 0.0
    while left:
        column = min(_bits(left), key=cells_of.__getitem__)
        clique = masks[column]
        if not any(clique & ~other == 0 for other in cliques):
            cliques.append(clique)
            cells += cells_of[column]
        left &= ~(1 << column)
        rest = clique & left
        for other in _bits(rest):
            joined = (masks[other] | rest) & left
            if joined != masks[other]:
                masks[other] = joined
                cells_of[other] = _product(joined, sizes)
    return cliques, cells


def _bits(mask: int) -> list[int]:
    """Positions of the set bits, ascending."""
    positions = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return positions


def _product(mask: int, sizes: Sequence[float]) -> float:
    cells = 1.0
    while mask:
        low = mask & -mask
        cells *= sizes[low.bit_length() - 1]
        mask ^= low
    return cells


def neighbour_masks(n_columns: int, edges: Sequence[Columns]) -> list[int]:
    """Neighbours of each column as a bit mask, itself included, when every set in ``edges`` is a clique."""
    masks = [1 << column for column in range(n_columns)]
    for columns in edges:
        together = sum(1 << column for column in columns)
        for column in columns:
            masks[column] |= together
    return masks


@dataclass(frozen=True, kw_only=True)
class JunctionTree:
    """Cliques in an order in which each but the first follows its parent.

    Attributes:
        sizes: Number of codes of each column.
        cliques: The maximal cliques; the first is the root.
        parents: Parent of each clique, -1 for the root.
        separators: Columns that a clique shares with its parent; empty for the root, and between independent parts.
    """

    sizes: tuple[int, ...]
    cliques: tuple[Columns, ...]
    parents: tuple[int, ...]
    separators: tuple[Columns, ...]

    @property
    def cells(self) -> int:
        """Cells of all cliques."""
        return sum(math.prod(self.shape(clique)) for clique in self.cliques)

    @property
    def parts(self) -> tuple[tuple[Columns, Columns], ...]:
        """For each clique the columns it shares with its parent, and the others."""
        pairs = zip(self.cliques, self.separators, strict=True)
        return tuple((shared, tuple(column for column in clique if column not in shared)) for clique, shared in pairs)

    def shape(self, columns: Columns) -> tuple[int, ...]:
        """Number of codes of each of the columns."""
        return tuple(self.sizes[column] for column in columns)

    def clique_with(self, columns: Columns) -> int:
        """The smallest clique that holds the columns, -1 if there is none."""
        holding = [k for k, clique in enumerate(self.cliques) if set(columns) <= set(clique)]
        return min(holding, key=lambda k: math.prod(self.shape(self.cliques[k])), default=-1)


def junction_tree(sizes: Sequence[int], edges: Sequence[Columns], *, root: int = 0) -> JunctionTree:
    """The junction tree of the graph in which every set of ``edges`` is a clique.

    Args:
        sizes: Number of codes of each column, shape (n_columns,).
        edges: Sets of columns that some clique must hold.
        root: A column that the root clique holds.
    """
    masks, _ = eliminate(neighbour_masks(len(sizes), edges), [float(size) for size in sizes])
    left = [tuple(_bits(mask)) for mask in masks]
    first = next(clique for clique in left if root in clique)
    left.remove(first)
    cliques, parents, separators = [first], [-1], [()]
    # Prim's maximum spanning tree by size of the separator: it has the running intersection property.
    while left:
        overlap, clique, parent = max((len(set(a) & set(b)), a, k) for a in left for k, b in enumerate(cliques))
        left.remove(clique)
        shared = tuple(sorted(set(clique) & set(cliques[parent]))) if overlap else ()
        cliques.append(clique)
        parents.append(parent)
        separators.append(shared)  # type: ignore[arg-type]  # mypy takes the first, empty tuple for the type
    return JunctionTree(sizes=tuple(sizes), cliques=tuple(cliques), parents=tuple(parents), separators=tuple(separators))


def placed(inner: Columns, outer: Columns, sizes: Sequence[int]) -> tuple[int, ...]:
    """Shape that lays an array over ``inner`` along the axes of ``outer``."""
    return tuple(sizes[column] if column in inner else 1 for column in outer)


def summed_axes(inner: Columns, outer: Columns) -> tuple[int, ...]:
    """Axes of an array over ``outer`` that a marginal on ``inner`` sums over."""
    return tuple(axis for axis, column in enumerate(outer) if column not in inner)


@dataclass(frozen=True, kw_only=True)
class GraphDistribution:
    """A calibrated junction tree: each clique's table is its marginal.

    Attributes:
        tree: The junction tree.
        beliefs: Probability of each cell, one array per clique with one axis per column.
    """

    tree: JunctionTree
    beliefs: tuple[FloatArray, ...]

    def marginal(self, columns: Columns) -> FloatArray:
        """Probabilities of a set of columns that some clique holds, one axis per column."""
        k = self.tree.clique_with(columns)
        return np.asarray(self.beliefs[k].sum(axis=summed_axes(columns, self.tree.cliques[k])))

    def sample(self, n: int, *, rng: np.random.Generator, likelihoods: Mapping[int, FloatArray] | None = None) -> list[IntArray]:
        """Codes of ``n`` rows, one array of shape (n,) per column.

        Down the junction tree: within each code of the separator, the counts of a clique's new columns are drawn by systematic
        sampling and handed out in random order. Each row follows the distribution; counts lie within one of their expectation. With
        ``likelihoods`` each row is drawn by itself from the distribution given what is known of it.

        Args:
            n: Rows.
            rng: Any generator; samples are no mechanism.
            likelihoods: Column -> P(what is known of the row | code), shape (n, size), not all zero in a row.
        """
        evidence = _Evidence(self, likelihoods) if likelihoods else None
        codes: list[IntArray] = [np.zeros(0, dtype=np.int64)] * len(self.tree.sizes)
        for k, (shared, fresh) in enumerate(self.tree.parts):
            given = np.zeros(n, dtype=np.int64)
            for column in shared:
                given = given * self.tree.sizes[column] + codes[column]
            if evidence is not None and evidence.bears_on(k):
                drawn = evidence.draw(k, given, rng)
            else:
                drawn = _draw_given(self.split_table(k), given, rng)
            for column in reversed(fresh):
                drawn, codes[column] = np.divmod(drawn, self.tree.sizes[column])
        return codes

    def split_table(self, k: int) -> FloatArray:
        """Clique k's table, shape (cells shared with its parent, cells of its other columns)."""
        clique, (shared, fresh) = self.tree.cliques[k], self.tree.parts[k]
        order = [clique.index(column) for column in (*shared, *fresh)]
        return np.asarray(self.beliefs[k].transpose(order).reshape(math.prod(self.tree.shape(shared)), -1))


class _Evidence:
    """What is known of each row, carried from the leaves of the junction tree to its root (Pearl 1988).

    Rows of which the same is known share their messages, which have one row per pattern.
    """

    def __init__(self, model: GraphDistribution, likelihoods: Mapping[int, FloatArray]) -> None:
        self.tree = model.tree
        distinct = {column: np.unique(rows, axis=0, return_inverse=True) for column, rows in likelihoods.items()}
        numbers = np.stack([inverse.ravel() for _, inverse in distinct.values()])
        patterns, inverse = np.unique(numbers, axis=1, return_inverse=True)
        self.pattern_of_row = inverse.ravel()
        known = {column: rows[number] for (column, (rows, _)), number in zip(distinct.items(), patterns, strict=True)}
        # For each clique: columns, and P(what is known | their codes), shape (n_patterns, *sizes).
        self.factors: list[list[tuple[Columns, FloatArray]]] = [[] for _ in self.tree.cliques]
        self.tables = [_smooth(model.split_table(k)) for k in range(len(self.tree.cliques))]
        for k in reversed(range(len(self.tree.cliques))):
            shared, fresh = self.tree.parts[k]
            self.factors[k] += [((column,), known[column]) for column in fresh if column in known]
            if k and self.factors[k]:
                message = self._message(k).reshape(len(patterns.T), *self.tree.shape(shared))
                self.factors[self.tree.parents[k]].append((shared, message))

    def bears_on(self, k: int) -> bool:
        """Whether anything is known of clique k's new columns or of columns below them."""
        return bool(self.factors[k])

    def _message(self, k: int) -> FloatArray:
        """P(what is known below | separator) up to a factor per pattern, shape (n_patterns, cells of the separator)."""
        n_patterns = len(self.factors[k][0][1])
        message = np.empty((n_patterns, len(self.tables[k])))
        block = max(1, BLOCK_CELLS // self.tables[k].size)
        for first in range(0, n_patterns, block):
            rows = np.arange(first, min(first + block, n_patterns))
            weights = np.broadcast_to(self.tables[k], (len(rows), *self.tables[k].shape)).copy()
            self._multiply(k, weights, rows, None)
            message[rows] = weights.sum(axis=2)
        largest = message.max(axis=1, keepdims=True)
        return np.asarray(message / np.where(largest > 0, largest, 1.0))

    def draw(self, k: int, given: IntArray, rng: np.random.Generator) -> IntArray:
        """A cell of the clique's new columns for each row, given its cell of the separator; shape (n,)."""
        drawn = np.empty(len(given), dtype=np.int64)
        block = max(1, BLOCK_CELLS // self.tables[k].shape[1])
        for first in range(0, len(given), block):
            rows = slice(first, first + block)
            weights = self.tables[k][given[rows]][:, None, :]
            self._multiply(k, weights, self.pattern_of_row[rows], given[rows])
            drawn[rows] = _one_per_row(weights[:, 0, :], rng)
        return drawn

    def _multiply(self, k: int, weights: FloatArray, patterns: IntArray, given: IntArray | None) -> None:
        """Multiply weights of (row, cell of the separator, cell of the new columns) by what is known, in place.

        With ``given`` the second axis has only each row's own cell of the separator.
        """
        shared, fresh = self.tree.parts[k]
        n_shared = math.prod(self.tree.shape(shared))
        for columns, factor in self.factors[k]:
            cells = _cell_numbers((*shared, *fresh), columns, self.tree.sizes).reshape(n_shared, -1)
            flat = factor.reshape(len(factor), -1)
            if given is None:
                weights *= flat[patterns][:, cells]
            else:
                weights[:, 0, :] *= flat[patterns[:, None], cells[given]]


def _smooth(table: FloatArray) -> FloatArray:
    """P(column | row) of a table with a trace of every column, so that nothing that a domain allows contradicts the model."""
    mass = table.sum(axis=1, keepdims=True)
    equal = 1 / table.shape[1]
    return np.asarray((1 - TRACE) * np.divide(table, mass, out=np.full_like(table, equal), where=mass > 0) + TRACE * equal)


def _cell_numbers(outer: Columns, inner: Columns, sizes: Sequence[int]) -> IntArray:
    """For each cell of ``outer``, in C order, its cell of ``inner``; shape (cells of outer,)."""
    numbers = np.zeros([sizes[column] for column in outer], dtype=np.int64)
    for column in inner:
        shape = [sizes[column] if other == column else 1 for other in outer]
        numbers = numbers * sizes[column] + np.arange(sizes[column]).reshape(shape)
    return np.asarray(numbers).ravel()


def _one_per_row(weights: FloatArray, rng: np.random.Generator) -> IntArray:
    """One column per row with probability proportional to its weight; a row without weight takes equal shares."""
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 1.0)
    cumulative = np.cumsum(weights, axis=1)
    thresholds = rng.random((len(weights), 1)) * cumulative[:, -1:]
    columns = (cumulative <= thresholds).sum(axis=1)
    # Rounding may put a threshold at the very end: the last column with weight takes it.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum(columns, last), dtype=np.int64)


def _draw_given(table: FloatArray, given: IntArray, rng: np.random.Generator) -> IntArray:
    """A column of ``table`` for each row, given its row of ``table``; shape (n,)."""
    n_rows = np.bincount(given, minlength=len(table))
    # A row of the table that occurs although its mass was rounded away takes equal shares.
    mass = table.sum(axis=1, keepdims=True)
    weights = np.where(mass > 0, table, 1.0)
    cumulative = np.cumsum(weights, axis=1)
    cumulative *= n_rows[:, None] / cumulative[:, -1:]
    borders = np.ceil(cumulative - rng.random((len(table), 1))).astype(np.int64)
    borders[:, -1] = n_rows
    np.clip(borders, 0, n_rows[:, None], out=borders)
    counts = np.diff(borders, prepend=0, axis=1)
    drawn = np.repeat(np.tile(np.arange(table.shape[1]), len(table)), counts.ravel())
    shuffled = rng.permutation(len(given))  # rows of one code must not be served in an order that other columns share
    keys = given[shuffled].astype(np.uint16 if len(table) < 2**16 else np.int64)  # a narrow type sorts by radix
    codes = np.empty(len(given), dtype=np.int64)
    codes[shuffled[np.argsort(keys, kind="stable")]] = drawn
    return codes
