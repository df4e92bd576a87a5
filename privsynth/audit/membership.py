"""Can someone who holds the release tell whether a person was in the data?

Two attacks on the distance from a person's record to the release. The first takes the distance as it is
(Chen et al. 2020, GAN-Leaks). The second divides by what the distance would be in the population: a
record in a crowd is near everything, so nearness says something only where reference rows are far
(van Breugel et al. 2023, DOMIAS, with nearest-neighbour densities). Each gives an area under the curve and the share of
members found at a threshold that 1 % (0.1 %) of non-members pass (Carlini et al. 2022: an average hides the few who are exposed),
for everyone and for the tenth of people that lies farthest from all others (Meeus et al. 2023), picked without the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult, Population, plain
from privsynth.audit.encoding import Case, FloatArray, IntArray, Records, concatenate, nearest
from privsynth.audit.intervals import (
    TruePositiveRate,
    area_under_curve,
    bonferroni,
    clopper_pearson,
    rate_above,
    rate_difference,
    roc_points,
    smallest_flagged_rate,
    threshold_at,
)

NEIGHBOURS = 5
VULNERABLE_SHARE = 0.1
MIN_VULNERABLE_NON_MEMBERS = 300
MIN_NON_MEMBERS_FOR_PER_MILLE = 3000
MIN_NON_MEMBERS = 100
MAX_RESERVE = 20_000
"""Reference rows beside those of the other fold."""

DISTANCE = AuditResult(
    audit="distance membership",
    threat_model="release-only",
    question="Is the release nearer to people in the data than to people who are not?",
    metric="AUC",
)
CALIBRATED = AuditResult(
    audit="calibrated membership",
    threat_model="release + reference rows",
    question="Knowing what the population looks like, can one tell from the release who was in the data?",
    metric="AUC",
)

EARLIER = AuditResult(
    audit="two-release membership",
    threat_model="this release + an earlier one of the same people",
    question="Does this release come closer to people in the data than an earlier release of the same people does?",
    metric="AUC",
)
"""The earlier release takes the place of the population: whoever is near this one only joined, or left, in between (differencing)."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """People whose membership is guessed, one row each, in two folds.

    Attributes:
        people: Who they are, numbers of the case, shape (n,).
        rows: Their rows, shape (n,).
        is_member: Whether they are in train, shape (n,).
        fold: 0 or 1, shape (n,); the non-members of one fold are the reference rows of the other.
        calibration: Non-members that choose thresholds and are not evaluated, shape (n,).
        vulnerable: The tenth with the largest mean distance to their 5 nearest targets, shape (n,).
        groups: Declared subgroups by name, masks of shape (n,).
        reserve: One row of each non-member who is not a target: reference rows for both folds.
    """

    people: IntArray
    rows: Records
    is_member: npt.NDArray[np.bool_]
    fold: IntArray
    calibration: npt.NDArray[np.bool_]
    vulnerable: npt.NDArray[np.bool_]
    reserve: Records
    groups: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def n_non_members(self) -> int:
        """People not in train."""
        return int((~self.is_member).sum())

    def measurable_groups(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Subgroups with enough members and non-members."""
        return {
            name: mask
            for name, mask in self.groups.items()
            if min((mask & self.is_member).sum(), (mask & ~self.is_member).sum()) >= MIN_VULNERABLE_NON_MEMBERS
        }

    def fewer(self, n_each: int) -> Targets:
        """The first ``n_each`` members and non-members: they stand in an order drawn by lot."""
        keep = np.zeros(len(self.people), dtype=bool)
        for side in (self.is_member, ~self.is_member):
            keep[np.flatnonzero(side)[:n_each]] = True
        return replace(
            self,
            people=self.people[keep],
            rows=self.rows.take(keep),
            is_member=self.is_member[keep],
            fold=self.fold[keep],
            calibration=self.calibration[keep],
            vulnerable=self.vulnerable[keep],
            groups={name: mask[keep] for name, mask in self.groups.items()},
        )

    def reference_of(self, fold: int) -> Records:
        """The non-members that stand for the population when this fold is scored: none of them is in it."""
        return concatenate([self.rows.take((self.fold != fold) & ~self.is_member), self.reserve])


def draw_targets(
    case: Case,
    *,
    max_targets: int,
    rng: np.random.Generator,
    subgroups: Callable[[Records], Mapping[str, npt.NDArray[np.bool_]]] | None = None,
) -> Targets:
    """Draw as many members as non-members, at most ``max_targets`` of each, and who is vulnerable among them.

    Vulnerability is computed on members and non-members together, without the label: the two are exchangeable if nothing leaked.
    """
    n_each = min(max_targets, case.n_train, case.n_holdout)
    members = rng.choice(np.flatnonzero(case.is_train), n_each, replace=False)
    non_members = rng.choice(np.flatnonzero(~case.is_train), n_each, replace=False)
    # Order by lot: equal distances must not favour members. Both classes are then split evenly by position in their own draw.
    lot = rng.permutation(2 * n_each)
    people = np.concatenate([members, non_members])[lot]
    rows = case.one_row_each(people, rng)
    fold = np.tile(np.arange(n_each) % 2, 2)[lot]
    is_member = (np.arange(2 * n_each) < n_each)[lot]
    calibration = ~is_member & np.tile(np.arange(n_each) // 2 % 2 == 0, 2)[lot]
    distances, _ = nearest(rows, rows, k=min(NEIGHBOURS + 1, 2 * n_each))  # the nearest is the row itself
    isolation = distances[:, 1:].mean(axis=1)
    vulnerable = np.zeros(2 * n_each, dtype=bool)
    vulnerable[np.argsort(-isolation, kind="stable")[: round(VULNERABLE_SHARE * 2 * n_each)]] = True
    others = rng.permutation(np.setdiff1d(np.flatnonzero(~case.is_train), non_members))[:MAX_RESERVE]
    return Targets(
        people=people,
        rows=rows,
        is_member=is_member,
        fold=fold,
        calibration=calibration,
        vulnerable=vulnerable,
        reserve=case.one_row_each(others, rng),
        groups=subgroups(rows) if subgroups else {},
    )


def distance_scores(targets: Targets, release: Records) -> FloatArray:
    """Minus the distance to the nearest release row, shape (n,)."""
    return -nearest(targets.rows, release)[0][:, 0].astype(np.float64)


def reference_distances(targets: Targets) -> FloatArray:
    """Mean distance of each target to its 5 nearest non-members of the other fold, shape (n,).

    A target's own fold never serves as its reference, so that no non-member is compared with itself, and members and
    non-members of one fold are compared with the same rows.
    """
    distances = np.empty(len(targets.rows), dtype=np.float64)
    for fold in (0, 1):
        own = targets.fold == fold
        reference = targets.rows.take(~own & ~targets.is_member)
        distances[own] = nearest(targets.rows.take(own), reference, k=min(NEIGHBOURS, len(reference)))[0].mean(axis=1)
    return distances


def calibrated_scores(release_scores: FloatArray, reference: FloatArray) -> FloatArray:
    """Logarithm of reference distance over release distance, shape (n,).

    A hundredth of the median reference distance is added to both: two exact matches must not divide zero by zero.
    """
    offset = 0.01 * float(np.median(reference)) or 1e-6
    return np.asarray(np.log(reference + offset) - np.log(-release_scores + offset), dtype=np.float64)


def measure(blank: AuditResult, targets: Targets, scores: FloatArray, *, level: float, confidence: float = 0.95) -> list[AuditResult]:
    """All figures of one attack from its scores, shape (n,), higher meaning "member".

    Args:
        blank: Which attack.
        targets: Who was scored.
        scores: Finite scores.
        level: P-value at which a result will be called a flag; the floors are computed for it.
        confidence: Coverage of the intervals.
    """
    results = [_area(blank, targets, scores, level=level, confidence=confidence)]
    results += [_rate(blank, targets, scores, rate, level=level, confidence=confidence) for rate in _rates(targets.n_non_members)]
    results += _vulnerable(blank, targets, scores, level=level, confidence=confidence)
    return results + _worst_group(blank, targets, scores, level=level, confidence=confidence)


def count_results(n_non_members: int, *, subgroups: bool = False) -> int:
    """How many results with a p-value one attack gives, if the vulnerable tenth holds its share of non-members."""
    rates = 2 if n_non_members >= MIN_NON_MEMBERS_FOR_PER_MILLE else 1
    tenth = 2 if n_non_members * VULNERABLE_SHARE >= MIN_VULNERABLE_NON_MEMBERS else 0
    return 1 + rates + tenth + subgroups


def _rates(n_non_members: int) -> tuple[float, ...]:
    return (0.01, 0.001) if n_non_members >= MIN_NON_MEMBERS_FOR_PER_MILLE else (0.01,)


def _area(blank: AuditResult, targets: Targets, scores: FloatArray, *, level: float, confidence: float) -> AuditResult:
    area = area_under_curve(scores[targets.is_member], scores[~targets.is_member], confidence=confidence)
    return replace(
        blank,
        value=area.value,
        interval=area.interval,
        confidence=confidence,
        p_value=area.p_value,
        control=0.5,
        baseline=0.5,
        floor=_area_floor(area.null_error, level),
        ceiling=1.0,
        n=len(scores),
        details={
            "floor_unit": "metric",
            "n_non_members": targets.n_non_members,
            "roc": plain(roc_points(scores[targets.is_member], scores[~targets.is_member])),
        },
    )


def _area_floor(null_error: float, level: float) -> float:
    from scipy.stats import norm

    return float(0.5 + norm.isf(level) * null_error)


def _rate(blank: AuditResult, targets: Targets, scores: FloatArray, rate: float, *, level: float, confidence: float) -> AuditResult:
    members = scores[targets.is_member]
    evaluation = scores[~targets.is_member & ~targets.calibration]
    found = rate_above(members, evaluation, threshold_at(scores[targets.calibration], rate), aimed_at=rate, confidence=confidence)
    return replace(
        blank,
        metric=f"TPR at {rate:.1%} FPR",
        value=found.value,
        interval=found.interval,
        confidence=confidence,
        p_value=found.p_value,
        control=found.false_positive_rate,
        baseline=rate,
        floor=smallest_flagged_rate(len(members), len(evaluation), rate, level),
        ceiling=1.0,
        n=len(scores),
        details=_counts(found, len(members)),
    )


def _vulnerable(blank: AuditResult, targets: Targets, scores: FloatArray, *, level: float, confidence: float) -> Iterator[AuditResult]:
    """Excess of area and true positive rate over the control, on the vulnerable tenth."""
    tenth: Population = "vulnerable tenth"
    inside = targets.vulnerable
    members, non_members = scores[inside & targets.is_member], scores[inside & ~targets.is_member]
    evaluation = scores[inside & ~targets.is_member & ~targets.calibration]
    blanks = [
        replace(blank, metric=metric, population=tenth, n=int(inside.sum()))
        for metric in ("AUC in excess of control", "TPR at 1.0% FPR in excess of control")
    ]
    if len(non_members) < MIN_VULNERABLE_NON_MEMBERS:
        details = {"n_non_members": len(non_members), "expected_at_least": MIN_VULNERABLE_NON_MEMBERS}
        yield from (replace(result, status="not measurable", details=details) for result in blanks)
        return
    area = area_under_curve(members, non_members, confidence=confidence)
    yield replace(
        blanks[0],
        value=area.value - 0.5,
        interval=(area.interval[0] - 0.5, area.interval[1] - 0.5),
        confidence=confidence,
        p_value=area.p_value,
        control=0.5,
        baseline=0.0,
        floor=_area_floor(area.null_error, level) - 0.5,
        ceiling=0.5,
        details={"floor_unit": "metric", "n_non_members": len(non_members)},
    )
    found = rate_above(members, evaluation, threshold_at(scores[targets.calibration], 0.01), aimed_at=0.01, confidence=confidence)
    floor = smallest_flagged_rate(len(members), len(evaluation), 0.01, level)
    yield replace(
        blanks[1],
        value=found.value - found.false_positive_rate,
        interval=rate_difference(found.found, len(members), found.false_alarms, len(evaluation), confidence=confidence),
        confidence=confidence,
        p_value=found.p_value,
        control=found.false_positive_rate,
        baseline=0.0,
        floor=None if floor is None else floor - 0.01,
        ceiling=1.0,
        details=_counts(found, len(members)),
    )


def _worst_group(blank: AuditResult, targets: Targets, scores: FloatArray, *, level: float, confidence: float) -> list[AuditResult]:
    """Excess of area over one half in the declared subgroup with the largest; none if no subgroup is large enough.

    The interval holds for the largest true excess: its lower end shares the error among the subgroups, the upper needs no correction.
    """
    groups = targets.measurable_groups()
    if not groups:
        return []
    sides = {name: (scores[mask & targets.is_member], scores[mask & ~targets.is_member]) for name, mask in groups.items()}
    areas = {name: area_under_curve(*side, confidence=confidence) for name, side in sides.items()}
    strict = [area_under_curve(*side, confidence=1 - (1 - confidence) / len(groups)) for side in sides.values()]
    worst = max(areas, key=lambda name: areas[name].value)
    return [
        replace(
            blank,
            metric="AUC in excess of control, worst declared subgroup",
            value=areas[worst].value - 0.5,
            interval=(max(area.interval[0] for area in strict) - 0.5, max(area.interval[1] for area in areas.values()) - 0.5),
            confidence=confidence,
            p_value=bonferroni([area.p_value for area in areas.values()]),
            control=0.5,
            baseline=0.0,
            floor=_area_floor(areas[worst].null_error, level / len(groups)) - 0.5,
            ceiling=0.5,
            n=int(groups[worst].sum()),
            details={"floor_unit": "metric", "worst": worst, "n_subgroups": len(groups)},
        )
    ]


def _counts(found: TruePositiveRate, n_members: int) -> dict[str, Any]:
    low, high = clopper_pearson(found.false_alarms, found.n_evaluation)
    counts: dict[str, Any] = plain(
        {
            "floor_unit": "metric",
            "members_found": found.found,
            "n_members": n_members,
            "false_alarms": found.false_alarms,
            "n_evaluation": found.n_evaluation,
            "fpr_interval": (low, high),
        }
    )
    return counts
