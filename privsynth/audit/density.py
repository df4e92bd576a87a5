"""Is the release denser than the population where a person's record lies?

A generator that remembers its training records puts too much mass on them. Three attacks estimate the ratio of the
release's density to the population's at a record, from rows of people who were not in the data. The first adds up
log ratios of low-order marginals (Golob et al. 2024, MAMA-MIA, arXiv:2410.05506), over all pairs of exact values and over triples
of bins. The second does so over the pairs that a marginal-based model is known to have measured. The third asks a classifier that
was trained to tell release rows from reference rows (Hayes et al. 2019, LOGAN, arXiv:1705.07663).

No target is ever among the reference rows of its own score: targets fall into two folds, members and non-members alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult
from privsynth.audit.encoding import FloatArray, IntArray, Records
from privsynth.audit.membership import Targets

MAX_MARGINALS = 500
FINE_BINS = 100
MAX_CLASSIFIER_ROWS = 20_000

MARGINAL = AuditResult(
    audit="marginal membership",
    threat_model="release + reference rows",
    question="Do a person's combinations of two and three values occur in the release more often than in the population?",
    metric="AUC",
)
EDGE = AuditResult(
    audit="edge-restricted membership",
    threat_model="release + reference rows + structure of the model",
    question="The same for the combinations that the model is known to have measured?",
    metric="AUC",
)
CLASSIFIER = AuditResult(
    audit="classifier membership",
    threat_model="release + reference rows",
    question="Does a classifier that tells release from population take people in the data for release rows?",
    metric="AUC",
)

# An unseen cell of the release counts a tenth, of the reference one half: the release is the evidence, the reference only scales it.
_RELEASE_PRIOR, _REFERENCE_PRIOR = 0.1, 0.5
_DENSE_CELLS = 1 << 20


def marginal_scores(targets: Targets, release: Records, *, rng: np.random.Generator) -> FloatArray:
    """Mean log ratio over pairs of exact values plus mean log ratio over triples of bins, shape (n,).

    Pairs of exact values see a generator that emits values it has seen (trees); triples see smooth models. All pairs and
    triples, or ``MAX_MARGINALS`` of each drawn at random.
    """
    n_columns = release.codes.shape[1]
    exact = _exact_codes([targets.rows, targets.reserve, release])
    fine = _fine_codes(exact)
    scores = np.zeros(len(targets.rows))
    for codes, order in ((exact, 2), (fine, 3)):
        order = min(order, n_columns)
        scores += _mean_log_ratio(targets, codes, _drawn(n_columns, order, rng))
    return scores


def edge_scores(targets: Targets, release: Records, edges: Sequence[tuple[int, ...]]) -> FloatArray:
    """Mean log ratio over the given sets of columns (positions), shape (n,)."""
    return _mean_log_ratio(targets, _fine_codes(_exact_codes([targets.rows, targets.reserve, release])), edges)


def classifier_scores(targets: Targets, release: Records, *, rng: np.random.Generator) -> FloatArray:
    """Log odds "release row" against "reference row" by boosted trees, cross-fitted over the two folds, shape (n,)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores = np.empty(len(targets.rows))
    release_inputs = _inputs(release.take(_some(len(release), rng)))
    for fold in (0, 1):
        reference = targets.reference_of(fold)
        reference_inputs = _inputs(reference.take(_some(len(reference), rng)))
        inputs = np.concatenate([release_inputs, reference_inputs])
        is_release = np.arange(len(inputs)) < len(release_inputs)
        # Unequal sizes of the two classes only shift the log odds, for all targets of a fold alike.
        model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=15, early_stopping=False, random_state=int(rng.integers(2**31)))
        model.fit(inputs, is_release)
        scores[targets.fold == fold] = model.decision_function(_inputs(targets.rows.take(targets.fold == fold)))
    return scores


def _some(n: int, rng: np.random.Generator) -> IntArray:
    return rng.permutation(n)[:MAX_CLASSIFIER_ROWS]


def _inputs(records: Records) -> FloatArray:
    """Numbers and category codes side by side; a tree splits codes as it would any number."""
    return np.column_stack([records.numeric.astype(np.float64), records.categorical.astype(np.float64)])


def _drawn(n_columns: int, order: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All sets of so many columns, or ``MAX_MARGINALS`` of them."""
    if comb(n_columns, order) <= MAX_MARGINALS:
        return list(combinations(range(n_columns), order))
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < MAX_MARGINALS:
        drawn.add(tuple(sorted(rng.choice(n_columns, order, replace=False).tolist())))
    return sorted(drawn)


def _exact_codes(parts: Sequence[Records]) -> list[IntArray]:
    """Exact values as consecutive numbers, in the order of their bits, for all parts alike, each of shape (n_columns, n)."""
    cells = np.concatenate([part.cells for part in parts]).T
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in cells]).astype(np.int64)
    return np.split(codes, np.cumsum([len(part) for part in parts])[:-1], axis=1)


def _fine_codes(exact: Sequence[IntArray]) -> list[IntArray]:
    """At most 100 codes of about equal frequency per column, the exact values if there are no more.

    The bits of non-negative numbers order as the numbers do, so neighbours share a code; negative ones follow in their own order.
    """
    codes = np.concatenate(exact, axis=1)
    fine = np.empty_like(codes)
    for number, column in enumerate(codes):
        edges = np.unique(np.quantile(column, np.linspace(0, 1, FINE_BINS + 1)[1:-1], method="lower"))
        fine[number] = column if column.max(initial=0) < FINE_BINS else np.searchsorted(edges, column, side="right")
    return np.split(fine, np.cumsum([part.shape[1] for part in exact])[:-1], axis=1)


def _mean_log_ratio(targets: Targets, codes: Sequence[IntArray], cliques: Iterable[tuple[int, ...]]) -> FloatArray:
    """Mean over the cliques of the log of release frequency over reference frequency in each target's cell, shape (n,)."""
    own, reserve, release = codes
    total, n_cliques = np.zeros(own.shape[1]), 0
    for clique in cliques:
        cell_own, cell_reserve, cell_release, n_cells = _cells(own, reserve, release, clique)
        in_release = np.bincount(cell_release, minlength=n_cells)[cell_own] + _RELEASE_PRIOR
        reserved = np.bincount(cell_reserve, minlength=n_cells)
        for fold in (0, 1):
            scored = targets.fold == fold
            reference = reserved + np.bincount(cell_own[~scored & ~targets.is_member], minlength=n_cells)
            n_reference = max(int(reference.sum()), 1)
            in_reference = reference[cell_own[scored]] + _REFERENCE_PRIOR
            total[scored] += np.log(in_release[scored] / release.shape[1]) - np.log(in_reference / n_reference)
        n_cliques += 1
    return total / max(n_cliques, 1)


def _cells(
    own: IntArray, reserve: IntArray, release: IntArray, clique: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """The cell of each row of the three parts, and the number of cells; large tables are renumbered by occupied cells."""
    joined = np.concatenate([part[clique[0]] for part in (own, reserve, release)])
    n_cells = int(joined.max(initial=0)) + 1
    for column in clique[1:]:
        codes = np.concatenate([part[column] for part in (own, reserve, release)])
        size = int(codes.max(initial=0)) + 1
        joined, n_cells = joined * size + codes, n_cells * size
        if n_cells > _DENSE_CELLS:
            occupied, joined = np.unique(joined, return_inverse=True)
            n_cells = len(occupied)
    stop = own.shape[1], own.shape[1] + reserve.shape[1]
    return joined[: stop[0]], joined[stop[0] : stop[1]], joined[stop[1] :], n_cells
