"""Do values that occur once in the release point at one person, and at people in the data more than at others?

The first criterion of Opinion 05/2014 of the Article 29 Working Party, played after Cohen & Nissim (2020), PNAS 117: predicates are
made from the release alone, and one succeeds if exactly one person satisfies it. Recall counts the people singled out, precision the
predicates that succeed (Francis 2025, arXiv:2507.01710: either alone hides cases at risk). Predicates that point at the same person
are not independent, so the test counts people.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult, plain
from privsynth.audit.encoding import Case, IntArray, KeyArray, Records
from privsynth.audit.excess import by_population, count, largest_excess
from privsynth.audit.membership import Targets
from privsynth.audit.replay import owned_by_one, points_p_value, subsets_for, zobrist
from privsynth.audit.sweep import ColumnView
from privsynth.schema import Column

QUERY_SUBSETS = 60
QUERY_SIZES = (2, 5)

SINGLING_OUT = AuditResult(
    audit="singling out",
    threat_model="release-only",
    question="Do values that occur once in the release point at one person, more often at people in the data?",
    metric="people singled out by one value, in excess of control",
)


@dataclass(frozen=True, kw_only=True)
class Queries:
    """What came of a set of predicates.

    Attributes:
        points: How many of them each person of the pool alone satisfies, shape (n_people,).
        n: How many predicates there were.
    """

    points: npt.NDArray[np.int32]
    n: int


def value_queries(case: Case, release: Records, columns: Sequence[Column], views: Sequence[ColumnView]) -> Queries:
    """A predicate for every value that occurs once in the release, and for the release's extremes of every number."""
    points, n = np.zeros(case.n_people, dtype=np.int32), 0
    for position, (column, view) in enumerate(zip(columns, views, strict=True)):
        n += _count_isolated(points, case.pool.cells[:, position], case.person, release.cells[:, position])
        if column.is_numeric and view.numeric is not None:
            own, other = case.pool.numeric[:, view.numeric], release.numeric[:, view.numeric]
            for beyond in (own >= other.max(), own <= other.min()):
                owners = np.unique(case.person[beyond])
                points[owners] += len(owners) == 1
                n += 1
    return Queries(points=points, n=n)


def combination_queries(case: Case, release: Records, *, rng: np.random.Generator, n_subsets: int | None = None) -> Queries:
    """A predicate for every combination of 2 to 5 columns' codes that occurs once in the release, for random sets of columns."""
    n_subsets = subsets_for(len(case.pool), QUERY_SUBSETS) if n_subsets is None else n_subsets
    hashed = zobrist([case.pool, release], rng)
    n_pool, n_columns = len(case.pool), len(hashed)
    points, n = np.zeros(case.n_people, dtype=np.int32), 0
    for _ in range(n_subsets if n_columns > 1 else 0):
        size = int(rng.integers(QUERY_SIZES[0], min(QUERY_SIZES[1], n_columns) + 1))
        keys = np.bitwise_xor.reduce(hashed[rng.choice(n_columns, size, replace=False)], axis=0)
        n += _count_isolated(points, keys[:n_pool], case.person, keys[n_pool:])
    return Queries(points=points, n=n)


def _count_isolated(points: npt.NDArray[np.int32], pool: KeyArray, person: IntArray, release: KeyArray) -> int:
    """Give a point to each person who alone has a key that occurs once in the release; returns the number of such keys."""
    keys, counts = np.unique(release, return_counts=True)
    once = keys[counts == 1]
    owned, owners = owned_by_one(pool, person)
    found = owners[np.isin(owned, once, assume_unique=True)]
    points += np.bincount(found, minlength=len(points)).astype(np.int32)
    return len(once)


def singling_out(
    case: Case,
    targets: Targets,
    release: Records,
    columns: Sequence[Column],
    views: Sequence[ColumnView],
    *,
    rng: np.random.Generator,
    level: float,
    confidence: float = 0.95,
) -> list[AuditResult]:
    """People whom a predicate made from the release alone singles out, and the predicates that do so.

    A predicate succeeds if exactly one person of train and holdout together satisfies it: that set does not depend on the labels,
    so that the labels of the people singled out are a blind draw if nothing leaked.
    """
    shuffled = _shuffled(release, rng)
    several = "people singled out by several values, in excess of control"
    results = []

    def by_value(rows: Records) -> Queries:
        return value_queries(case, rows, columns, views)

    def by_combination(rows: Records) -> Queries:
        return combination_queries(case, rows, rng=rng)

    for metric, make in ((SINGLING_OUT.metric, by_value), (several, by_combination)):
        queries = make(release)
        blank = replace(SINGLING_OUT, metric=metric)
        p_value, details = points_p_value(case, queries.points, rng=rng, confidence=confidence)
        naive = make(shuffled)
        precision = _precision(case, queries, confidence)
        own = {
            "criterion": "singling_out",
            "queries": queries.n,
            "queries_of_guessing": naive.n,
            **precision,
            "train_among_top": details["train_among_top"],
        }
        everyone = count(queries.points > 0, case.is_train, baseline=_recall(case, naive))
        results.append(
            replace(largest_excess(blank, {"": everyone}, level=level, confidence=confidence, details=plain(own)), p_value=p_value)
        )
        on_targets = by_population(blank, {"": queries.points[targets.people] > 0}, targets, level=level, confidence=confidence, details={})
        results += on_targets[1:]
        results.append(_precision_result(blank, metric, precision, naive, case, queries, confidence))
    return results


def _recall(case: Case, queries: Queries) -> float:
    return float((queries.points[case.is_train] > 0).mean())


def _precision(case: Case, queries: Queries, confidence: float) -> dict[str, Any]:
    """Share of predicates that single out a member, and the same for non-members scaled to as many people.

    The variance treats a person with all the predicates that point at them as one draw, and adds one hit on either side, so that
    no hit at all does not pass for certainty.
    """
    from scipy.stats import norm

    n = max(queries.n, 1)
    scale = case.n_train / case.n_holdout
    own, other = queries.points[case.is_train].astype(float), queries.points[~case.is_train].astype(float)
    excess = float(own.sum() - scale * other.sum()) / n
    error = math.sqrt(float((own**2).sum() + scale**2 * (other**2).sum()) + scale**2 + 1) / n
    reach = float(norm.isf((1 - confidence) / 2)) * error
    return {
        "precision": float(own.sum()) / n,
        "precision_of_control": scale * float(other.sum()) / n,
        "precision_in_excess": excess,
        "precision_interval": (max(-1.0, excess - reach), min(1.0, excess + reach)),
    }


def _precision_result(
    blank: AuditResult, metric: str, precision: Mapping[str, Any], naive: Queries, case: Case, queries: Queries, confidence: float
) -> AuditResult:
    """The precision as a result of its own; it has no p-value, since the test counts people."""
    metric = metric.replace("people singled out by", "queries that single out by")
    if not queries.n:
        return replace(
            blank, metric=metric, status="not measurable", details={"reason": "no value or combination occurs once in the release"}
        )
    return replace(
        blank,
        metric=metric,
        value=precision["precision_in_excess"],
        interval=precision["precision_interval"],
        confidence=confidence,
        control=precision["precision_of_control"],
        baseline=float(naive.points[case.is_train].sum()) / max(naive.n, 1),
        ceiling=1.0,
        n=case.n_people,
        details={"criterion": "singling_out", "queries": queries.n},
    )


def _shuffled(release: Records, rng: np.random.Generator) -> Records:
    """The release with the cells of each column in a random order of their own: all that its columns tell one by one."""
    order = rng.permuted(np.tile(np.arange(len(release)), (release.cells.shape[1], 1)), axis=1).T
    columns = np.arange(release.cells.shape[1])
    return replace(release, cells=release.cells[order, columns], codes=release.codes[order, columns])
