"""Does the release repeat records of train more than it repeats records of people it never saw?

Three attacks, from exact to near. All pool train and holdout, pick people without looking at the label, and
count how many of the picked are train. If nothing leaked, the label is a blind draw: the count is hypergeometric with
share n_train / (n_train + n_holdout), exactly, and rows that are frequent in the population are picked on both sides.
So a coincidence is no leak. People, not rows, are counted, so that one person's rows do not count as independent.

The unique-combination attack is the singling-out game of Cohen & Nissim (2020), PNAS 117, played against everyone at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult, plain
from privsynth.audit.encoding import Case, Float32Array, IntArray, KeyArray, Records, nearest, row_keys
from privsynth.audit.intervals import (
    area_under_curve,
    bonferroni,
    clopper_pearson,
    hypergeometric_tail,
    rate_difference,
)

SUBSETS = 300
MANY_ROWS = 200_000
"""Above this many rows fewer column subsets are drawn, so that a million rows take minutes, not hours."""
SUBSET_SIZES = (4, 9)
NEAREST_COUNTS = (10, 50, 200)
RANKED_COUNTS = (10, 50, 100, 200)
NEXT = 11
POWER = 4
OFFSET = 0.04
MIN_HITS_FOR_AREA = 200

EXACT = AuditResult(
    audit="exact replay",
    threat_model="release + training records",
    question="Does the release contain whole records of people in the data more often than of people who are not?",
    metric="people replayed, in excess of holdout",
)
COMBINATION = AuditResult(
    audit="unique-combination replay",
    threat_model="release-only",
    question="Does the release repeat combinations of values that only one person has, more often for people in the data?",
    metric="people singled out, in excess of holdout",
)
NEAREST = AuditResult(
    audit="nearest-neighbour-rank replay",
    threat_model="release + training records",
    question="Of the people whom the release comes closest to, are more in the data than chance allows?",
    metric="share of train among the nearest people",
)


@dataclass(frozen=True, kw_only=True)
class Picked:
    """People picked without their labels, and how many of them are train."""

    train: int
    n: int
    p_value: float


def pick(case: Case, people: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Picked:
    """Count train among these people (distinct ids or a mask) and test it against blind picking."""
    labels = case.is_train[people]
    train, n = int(labels.sum()), len(labels)
    return Picked(train=train, n=n, p_value=hypergeometric_tail(train, n, case.n_train, case.n_people))


def exact_replay(case: Case, release: Records, *, confidence: float = 0.95) -> AuditResult:
    """Whole rows of the release that equal a row of train, against those that equal a row of holdout.

    Every person with such a row is picked; the test conditions on their number.
    """
    hit = np.isin(row_keys(case.pool.cells), row_keys(release.cells))
    matched = np.zeros(case.n_people, dtype=bool)
    matched[case.person[hit]] = True
    picked = pick(case, matched)
    return _excess(EXACT, case, picked, p_value=picked.p_value, confidence=confidence, details={})


def combination_points(
    case: Case, releases: Sequence[Records], *, rng: np.random.Generator, n_subsets: int | None = None
) -> npt.NDArray[np.int32]:
    """In how many column subsets a person's combination of codes is theirs alone and occurs in a release.

    Rows are hashed after Zobrist (1970): a random 64-bit number per column and code, joined by exclusive or, so that a subset's
    keys cost one operation per column. The same random subsets of 4 to 9 columns serve all releases.

    Returns:
        Points, shape (n_releases, n_people), in [0, n_subsets].
    """
    n_subsets = subsets_for(len(case.pool), SUBSETS) if n_subsets is None else n_subsets
    sizes = [len(case.pool), *map(len, releases)]
    hashed = zobrist([case.pool, *releases], rng)  # shape (n_columns, sum of sizes)
    n_columns = len(hashed)
    points = np.zeros((len(releases), case.n_people), dtype=np.int32)
    ends = np.cumsum(sizes)
    for _ in range(n_subsets):
        size = int(rng.integers(min(SUBSET_SIZES[0], n_columns), min(SUBSET_SIZES[1], n_columns) + 1))
        keys = np.bitwise_xor.reduce(hashed[rng.choice(n_columns, size, replace=False)], axis=0)
        unique_keys, owners = owned_by_one(keys[: ends[0]], case.person)
        if not len(unique_keys):
            continue
        for number, (start, stop) in enumerate(pairwise(ends)):
            position = np.minimum(np.searchsorted(unique_keys, keys[start:stop]), len(unique_keys) - 1)
            found = np.zeros(len(unique_keys), dtype=bool)
            found[position[unique_keys[position] == keys[start:stop]]] = True
            singled = np.zeros(case.n_people, dtype=bool)
            singled[owners[found]] = True
            points[number] += singled
    return points


def combination_replay(case: Case, points: npt.NDArray[np.int32], *, rng: np.random.Generator, confidence: float = 0.95) -> AuditResult:
    """Are the people with most points train?

    Five tests, Bonferroni among them: the 10, 50 and 200 people with most points (ties drawn by lot), everyone with a point,
    and the area under the curve of the points, which sees leaks that are spread thinly.
    """
    p_value, details = points_p_value(case, points, rng=rng, confidence=confidence)
    return _excess(COMBINATION, case, pick(case, points > 0), p_value=p_value, confidence=confidence, details=details)


def points_p_value(
    case: Case, points: npt.NDArray[np.int32], *, rng: np.random.Generator, confidence: float = 0.95
) -> tuple[float, dict[str, object]]:
    """P-value of "the people with most points are train", corrected for its five tests, and their figures."""
    order = rng.permutation(case.n_people)
    order = order[np.argsort(-points[order], kind="stable")]
    n_hit = int((points > 0).sum())
    tops = {count: pick(case, order[:count]) for count in NEAREST_COUNTS if count < n_hit}
    everyone = pick(case, points > 0)
    area = area_under_curve(points[case.is_train].astype(float), points[~case.is_train].astype(float), confidence=confidence)
    details = {
        "train_among_top": {count: top.train for count, top in tops.items()},
        "p_value_of_top": {count: top.p_value for count, top in tops.items()},
        "auc": area.value,
        "auc_interval": area.interval,
        "auc_p_value": area.p_value,
    }
    # With few points the area's normal approximation is too sure; the other tests are exact and see what few points can show.
    area_p_value = area.p_value if n_hit >= MIN_HITS_FOR_AREA else 1.0
    p_value = bonferroni([*(top.p_value for top in tops.values()), everyone.p_value, area_p_value])
    return p_value, details


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The pool rows nearest to each release row, each array of shape (n,).

    Attributes:
        rows: Number of the nearest pool row.
        distances: How far it is.
        candidates: Number of the pool row that this row would be a noisy copy of.
        ratios: How much closer that row is than the next ones, in (0, 1]; see ``nearest_records``.
    """

    rows: IntArray
    distances: Float32Array
    candidates: IntArray
    ratios: Float32Array

    def take(self, positions: IntArray) -> Neighbours:
        """Those of these release rows."""
        return Neighbours(
            rows=self.rows[positions],
            distances=self.distances[positions],
            candidates=self.candidates[positions],
            ratios=self.ratios[positions],
        )


def nearest_records(case: Case, release: Records) -> Neighbours:
    """The pool row nearest to each release row, and how much closer one is than the next; the pool holds at least two rows.

    A noisy copy is near its original in every column at once; a row that merely lies in a crowd equals its nearest in most columns
    and differs in one. So the 12 nearest are compared again by the fourth root of the sum of fourth powers of the column
    distances, which weighs the largest most. And a copy of someone who stands alone is far closer to them than to anyone else: the
    score is the closeness of the closest over the mean closeness of the others, with an offset below which closeness says
    nothing (4 % of a column's spread), or the densest crowds would win.
    """
    distances, rows = nearest(release, case.pool, k=min(NEXT + 1, len(case.pool)))
    closeness = np.empty_like(distances)
    for rank in range(distances.shape[1]):
        others = case.pool.take(rows[:, rank])
        gaps = (np.abs(release.numeric - others.numeric) ** POWER).sum(axis=1)
        closeness[:, rank] = (gaps + (release.categorical != others.categorical).sum(axis=1)) ** (1 / POWER)
    line, best = np.arange(len(release)), closeness.argmin(axis=1)
    closest = closeness[line, best]
    others_mean = (closeness.sum(axis=1) - closest) / (closeness.shape[1] - 1)
    return Neighbours(
        rows=rows[:, 0], distances=distances[:, 0], candidates=rows[line, best], ratios=(closest + OFFSET) / (others_mean + OFFSET)
    )


def nearest_replay(case: Case, near: Neighbours, *, rng: np.random.Generator, confidence: float = 0.95) -> AuditResult:
    """Of the people whom release rows come nearest to, how many are train?

    Each release row points at its nearest pool row, and at the one that it would be a noisy copy of. The 10, 50, 100 and 200 distinct
    people with the smallest distances are picked (each once, or the labels would not be independent), and as many with the
    smallest ratios; equal ones in an order drawn by lot. Neither ranking looks at a label, so every count is hypergeometric;
    Bonferroni over the counts.
    """
    lot = rng.permutation(len(near.rows))
    tops: dict[str, Picked] = {}
    for name, rows, closeness in (("distance", near.rows, near.distances), ("ratio", near.candidates, near.ratios)):
        people = case.person[rows[lot[np.argsort(closeness[lot], kind="stable")]]]
        people = people[np.sort(np.unique(people, return_index=True)[1])]
        counts = [count for count in RANKED_COUNTS if count < len(people)] or [len(people)]
        tops |= {f"{count} by {name}": pick(case, people[:count]) for count in counts}
    worst = min(tops, key=lambda name: tops[name].p_value)
    picked = tops[worst]
    return _filled(
        NEAREST,
        value=picked.train / picked.n,
        interval=clopper_pearson(picked.train, picked.n, confidence=1 - (1 - confidence) / len(tops)),
        confidence=confidence,
        p_value=bonferroni([top.p_value for top in tops.values()]),
        control=case.null_share,
        baseline=case.null_share,
        ceiling=1.0,
        n=case.n_people,
        details={
            "worst": worst,
            "nearest_people": picked.n,
            "train_among_nearest": {name: top.train for name, top in tops.items()},
            "p_value_of_nearest": {name: top.p_value for name, top in tops.items()},
            "n_release": len(near.rows),
        },
    )


def subsets_for(n_rows: int, most: int) -> int:
    """How many column subsets are drawn for so many rows: a fifth of ``most`` at least.

    >>> subsets_for(50_000, 300), subsets_for(400_000, 300), subsets_for(10**7, 300)
    (300, 150, 60)
    """
    return max(min(most, most * MANY_ROWS // max(n_rows, 1)), most // 5)


def zobrist(parts: Sequence[Records], rng: np.random.Generator) -> KeyArray:
    """A random number for each column and code, shape (n_columns, rows of all parts)."""
    codes = np.concatenate([part.codes for part in parts]).T
    return np.stack([rng.integers(0, 2**64, size=int(column.max()) + 1, dtype=np.uint64)[column] for column in codes])


def owned_by_one(keys: KeyArray, person: IntArray) -> tuple[KeyArray, IntArray]:
    """Keys that occur for one person only, ascending, and that person."""
    order = np.argsort(keys)
    ordered, owners = keys[order], person[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    alone = np.minimum.reduceat(owners, starts) == np.maximum.reduceat(owners, starts)
    return ordered[starts[alone]], owners[starts[alone]]


def _excess(
    blank: AuditResult, case: Case, picked: Picked, *, p_value: float, confidence: float, details: dict[str, object]
) -> AuditResult:
    """Share of train that was picked minus the same share of holdout."""
    holdout = picked.n - picked.train
    return _filled(
        blank,
        value=picked.train / case.n_train - holdout / case.n_holdout,
        interval=rate_difference(picked.train, case.n_train, holdout, case.n_holdout, confidence=confidence),
        confidence=confidence,
        p_value=p_value,
        control=holdout / case.n_holdout,
        baseline=0.0,
        ceiling=1.0,
        n=case.n_people,
        details={"train_matched": picked.train, "holdout_matched": holdout, **details},
    )


def _filled(blank: AuditResult, *, details: dict[str, object], **values: object) -> AuditResult:
    """The blank result, filled in."""
    return replace(blank, **values, details=plain(details))  # type: ignore[arg-type]  # mypy cannot type ** into replace
