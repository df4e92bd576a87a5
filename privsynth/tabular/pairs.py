"""All two-way marginals of a graphical model, beside a target if wanted, in one pass over its junction tree."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from privsynth.tabular.graph import Columns, GraphDistribution, placed, summed_axes

FloatArray = npt.NDArray[np.float64]


def pair_tables(model: GraphDistribution, target: int | None) -> dict[Columns, FloatArray]:
    """P(i, j, target) of all pairs i < j of other columns, shape (size of target or 1, size i, size j), in one pass.

    With the target fixed to each of its codes (first axis), every table inside a clique is a sum. For columns of different
    cliques, what is behind a separator is carried across the tree as one matrix P(all codes behind, separator), first towards the root,
    then away from it, so that the cost is a few matrix products per clique for all pairs together.

    Args:
        model: Its root clique holds the target.
        target: A column, or None for P(i, j) with a first axis of length 1.
    """
    return _PairSweep(model, target).tables()


class _PairSweep:
    """The state of one pass of ``pair_tables``."""

    def __init__(self, model: GraphDistribution, target: int | None) -> None:
        tree = model.tree
        self.sizes = tree.sizes
        self.parents = tree.parents
        self.cliques = [tuple(c for c in clique if c != target) for clique in tree.cliques]
        self.separators = [tuple(c for c in shared if c != target) for shared in tree.separators]
        self.joint = _given_target(model, target)
        self.n_cases = len(self.joint[0])

    def tables(self) -> dict[Columns, FloatArray]:
        """All pairs."""
        found: dict[Columns, FloatArray] = {}
        for k, clique in enumerate(self.cliques):
            for b, j in enumerate(clique):
                for i in clique[:b]:
                    if (i, j) not in found:
                        found[i, j] = self._onto(k, (i,), (j,))
        up = self._upward()
        for k, (outside, behind) in self._downward(up).items():
            for j in self.cliques[k]:
                if behind and j not in self.separators[k]:
                    given = _conditional(self._onto(k, self.separators[k], (j,)))  # (cases, separator, size j)
                    self._split(found, outside @ given, behind, j)
        return found

    def _split(self, found: dict[Columns, FloatArray], stacked: FloatArray, behind: Columns, j: int) -> None:
        """Cut a stack of tables (cases, codes behind, size j) by column."""
        cuts = np.cumsum([self.sizes[i] for i in behind])[:-1]
        for i, table in zip(behind, np.split(stacked, cuts, axis=1), strict=True):
            key = (min(i, j), max(i, j))
            if key not in found:
                found[key] = table if i < j else table.transpose(0, 2, 1)

    def _upward(self) -> list[tuple[FloatArray, Columns]]:
        """For each clique: P(codes of columns below its separator, separator), and the columns."""
        up: list[tuple[FloatArray, Columns]] = [(np.zeros(0), ())] * len(self.cliques)
        for k in reversed(range(1, len(self.cliques))):
            up[k] = self._collect(k, self.separators[k], [(m, up[m]) for m in range(k + 1, len(self.cliques)) if self.parents[m] == k])
        return up

    def _downward(self, up: list[tuple[FloatArray, Columns]]) -> dict[int, tuple[FloatArray, Columns]]:
        """For each clique but the root: P(codes of columns beyond its separator, separator), and the columns."""
        down: dict[int, tuple[FloatArray, Columns]] = {}
        for k in range(1, len(self.cliques)):
            parent = self.parents[k]
            sources = [(m, up[m]) for m in range(1, len(self.cliques)) if self.parents[m] == parent and m != k]
            if parent > 0:
                sources.append((parent, down[parent]))
            down[k] = self._collect(parent, self.separators[k], sources)
        return down

    def _collect(self, k: int, wanted: Columns, sources: list[tuple[int, tuple[FloatArray, Columns]]]) -> tuple[FloatArray, Columns]:
        """P(codes, wanted) for clique k's other columns and all that its sources carry, stacked along the second axis."""
        blocks, behind = [], []
        for column in self.cliques[k]:
            if column not in wanted:
                blocks.append(self._onto(k, (column,), wanted))
                behind.append(column)
        for m, (stack, columns) in sources:
            if columns:
                blocks.append(self._carry(k, stack, self.separators[m], wanted))
                behind.extend(columns)
        cells = math.prod(self.sizes[c] for c in wanted)
        return (np.concatenate(blocks, axis=1) if blocks else np.zeros((self.n_cases, 0, cells))), tuple(behind)

    def _carry(self, k: int, stack: FloatArray, known: Columns, wanted: Columns) -> FloatArray:
        """From P(codes, known) to P(codes, wanted), both separators of clique k: codes and clique are independent given ``known``."""
        if known == wanted:
            return stack
        both = tuple(c for c in known if c in wanted)
        gone, fresh = tuple(c for c in known if c not in wanted), tuple(c for c in wanted if c not in known)
        n_both, n_gone, n_fresh = (math.prod(self.sizes[c] for c in part) for part in (both, gone, fresh))
        given = _conditional(self._onto(k, (*both, *gone), fresh)).reshape(self.n_cases, n_both, n_gone, n_fresh)
        rows = stack.shape[1]
        spread = stack.reshape(self.n_cases, rows, *(self.sizes[c] for c in known))
        spread = spread.transpose(0, *(2 + known.index(c) for c in both), 1, *(2 + known.index(c) for c in gone))
        moved = spread.reshape(self.n_cases, n_both, rows, n_gone) @ given  # (cases, both, rows, fresh)
        moved = moved.transpose(0, 2, 1, 3).reshape(self.n_cases, rows, *(self.sizes[c] for c in (*both, *fresh)))
        order = [2 + (*both, *fresh).index(c) for c in wanted]
        return np.asarray(moved.transpose(0, 1, *order).reshape(self.n_cases, rows, -1))

    def _onto(self, k: int, rows: Columns, columns: Columns) -> FloatArray:
        """Clique k's table on two disjoint sets of its columns, shape (cases, cells of rows, cells of columns)."""
        clique, kept = self.cliques[k], (*rows, *columns)
        table = self.joint[k].sum(axis=tuple(1 + axis for axis in summed_axes(kept, clique)))
        present = [c for c in clique if c in kept]
        table = table.transpose(0, *(1 + present.index(c) for c in kept))
        return np.asarray(table.reshape(self.n_cases, math.prod(self.sizes[c] for c in rows), -1))


def _conditional(table: FloatArray) -> FloatArray:
    """P(last axis | the others); zero where there is no mass."""
    mass = table.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(table, mass, out=np.zeros_like(table), where=mass > 0))


def _given_target(model: GraphDistribution, target: int | None) -> list[FloatArray]:
    """P(clique without target, target = case) of each clique, shape (cases, ...)."""
    tree = model.tree
    if target is None:
        return [belief[None] for belief in model.beliefs]
    joint: list[FloatArray] = []
    for k, (clique, belief) in enumerate(zip(tree.cliques, model.beliefs, strict=True)):
        if target in clique:
            joint.append(np.moveaxis(belief, clique.index(target), 0))
            continue
        # The root holds the target, and so does every clique between it and another that does.
        parent = tree.parents[k]
        above = tuple(c for c in tree.cliques[parent] if c != target)
        shared = joint[parent].sum(axis=tuple(1 + axis for axis in summed_axes(tree.separators[k], above)))
        shared = shared.reshape(len(shared), *placed(tree.separators[k], clique, tree.sizes))
        joint.append(belief[None] * _share_of_cases(shared))
    return joint


def _share_of_cases(table: FloatArray) -> FloatArray:
    """P(case | the other axes)."""
    mass = table.sum(axis=0, keepdims=True)
    return np.asarray(np.divide(table, mass, out=np.zeros_like(table), where=mass > 0))
