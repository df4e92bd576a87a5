"""Every attack on one release, in order; what a run and its controls share.

What depends on the real records alone (targets, their vulnerability, their distances to reference rows) is prepared once
and serves every release that is attacked with the same records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from privsynth.audit import membership, replay
from privsynth.audit.base import AuditResult, guarded
from privsynth.audit.encoding import Case, FloatArray, Records
from privsynth.audit.membership import Targets
from privsynth.audit.replay import Neighbours

MAX_TARGETS = 6000
"""Members, and as many non-members, whose membership is guessed."""

MAX_PAIRS = 500_000_000
"""Distances computed by one attack; a longer release is sampled, and the result's details say so."""

REPLAY_BLANKS = (replay.EXACT, replay.COMBINATION, replay.NEAREST)
BLANKS = (*REPLAY_BLANKS, membership.DISTANCE, membership.CALIBRATED)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What attacks on different releases share.

    Attributes:
        case: Train and holdout.
        targets: People whose membership is guessed.
        reference: Their distances to reference rows, shape (n_targets,).
        level: P-value at which one result flags: the family-wise level over the number of results.
    """

    case: Case
    targets: Targets
    reference: FloatArray
    level: float


def prepare(case: Case, *, alpha: float, rng: np.random.Generator, max_targets: int = MAX_TARGETS) -> Prepared:
    """Draw the targets and set the level of a single result."""
    targets = membership.draw_targets(case, max_targets=max_targets, rng=rng)
    n_tests = len(REPLAY_BLANKS) + 2 * membership.count_results(targets.n_non_members)
    return Prepared(case=case, targets=targets, reference=membership.reference_distances(targets), level=alpha / n_tests)


def neighbours(case: Case, release: Records, *, rng: np.random.Generator) -> Neighbours:
    """Find them, for at most as many release rows as ``MAX_PAIRS`` allows."""
    return replay.nearest_records(case, sampled(release, len(case.pool), rng))


def sampled(release: Records, n_others: int, rng: np.random.Generator) -> Records:
    """The release, or a sample of its rows so that distances to ``n_others`` rows stay within ``MAX_PAIRS``."""
    limit = max(MAX_PAIRS // n_others, 1)
    return release if len(release) <= limit else release.take(rng.choice(len(release), limit, replace=False))


def attack(prepared: Prepared, release: Records, *, rng: np.random.Generator) -> list[AuditResult]:
    """All results on one release. An attack that crashes gives one result that says so, and the others run."""
    return attack_by_replay(prepared, release, rng=rng) + attack_by_membership(prepared, release, rng=rng)


def attack_by_replay(
    prepared: Prepared,
    release: Records,
    *,
    rng: np.random.Generator,
    points: npt.NDArray[np.int32] | None = None,
    near: Neighbours | None = None,
) -> list[AuditResult]:
    """The three replay attacks; ``points`` and ``near`` are taken as given where they were computed for many releases at once."""
    case = prepared.case

    def by_combination() -> list[AuditResult]:
        own = points if points is not None else replay.combination_points(case, [release], rng=rng)[0]
        return [replay.combination_replay(case, own, rng=rng)]

    def by_nearest() -> list[AuditResult]:
        own = near if near is not None else neighbours(case, release, rng=rng)
        return [replay.nearest_replay(case, own, rng=rng)]

    return [
        *guarded(replay.EXACT, lambda: [replay.exact_replay(case, release)]),
        *guarded(replay.COMBINATION, by_combination),
        *guarded(replay.NEAREST, by_nearest),
    ]


def attack_by_membership(prepared: Prepared, release: Records, *, rng: np.random.Generator) -> list[AuditResult]:
    """The two membership attacks; they share one search for the nearest release rows."""
    targets = prepared.targets
    part = sampled(release, len(targets.rows), rng)
    scores: list[FloatArray] = []

    def by_distance() -> list[AuditResult]:
        scores.append(membership.distance_scores(targets, part))
        return membership.measure(membership.DISTANCE, targets, scores[0], level=prepared.level)

    def by_calibrated_distance() -> list[AuditResult]:
        plain = scores[0] if scores else membership.distance_scores(targets, part)
        calibrated = membership.calibrated_scores(plain, prepared.reference)
        return membership.measure(membership.CALIBRATED, targets, calibrated, level=prepared.level)

    results = [*guarded(membership.DISTANCE, by_distance), *guarded(membership.CALIBRATED, by_calibrated_distance)]
    return [replace(result, details={**result.details, "n_release": len(part)}) for result in results]
