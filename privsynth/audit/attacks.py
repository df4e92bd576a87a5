"""Every attack on one release, in order; what a run and its controls share.

What depends on the real records alone (targets, their vulnerability, their distances to reference rows) is prepared once
and serves every release that is attacked with the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from privsynth.audit import density, membership, reidentification, replay, singling_out
from privsynth.audit.base import AuditResult, guarded
from privsynth.audit.encoding import Case, Encoder, FloatArray, Records
from privsynth.audit.membership import Targets
from privsynth.audit.reidentification import Knowledge
from privsynth.audit.replay import Neighbours
from privsynth.errors import AuditError

MAX_TARGETS = 6000
"""Members, and as many non-members, whose membership is guessed."""

MAX_PAIRS = 500_000_000
"""Distances computed by one attack; a longer release is sampled, and the result's details say so."""

CONTROL_TARGETS = 1500
"""Members, and as many non-members, whose records are linked and guessed in a control: enough to see a known leak."""

REPLAY_BLANKS = (replay.EXACT, replay.COMBINATION, replay.NEAREST)
MEMBERSHIP_BLANKS = (membership.DISTANCE, membership.CALIBRATED, density.MARGINAL, density.CLASSIFIER)
CRITERION_BLANKS = (singling_out.SINGLING_OUT, reidentification.LINKABILITY, reidentification.INFERENCE)
BLANKS = (*REPLAY_BLANKS, *MEMBERSHIP_BLANKS, *CRITERION_BLANKS)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What attacks on different releases share.

    Attributes:
        case: Train and holdout.
        targets: People whose membership is guessed.
        reference: Their distances to reference rows, shape (n_targets,).
        knowledge: What the attacker knows and wants to learn.
        edges: Sets of columns (positions) that the model is known to have measured; none for most.
        earlier: Distances of the targets to an earlier release of the same people, shape (n_targets,); None without one.
        level: P-value at which one result flags: the family-wise level over the number of results.
    """

    case: Case
    targets: Targets
    reference: FloatArray
    knowledge: Knowledge
    edges: tuple[tuple[int, ...], ...]
    earlier: FloatArray | None
    level: float


def prepare(
    case: Case,
    encoder: Encoder,
    *,
    alpha: float,
    rng: np.random.Generator,
    max_targets: int = MAX_TARGETS,
    edges: Sequence[tuple[str, ...]] = (),
    earlier: Records | None = None,
) -> Prepared:
    """Draw the targets and set the level of a single result.

    Args:
        case: Train and holdout.
        encoder: Their encoding.
        alpha: Family-wise false-alarm rate.
        rng: Draws the targets.
        max_targets: Members, and as many non-members.
        edges: Sets of column names that the model is known to have measured.
        earlier: An earlier release of the same people, which the attacker holds too.

    Raises:
        AuditError: An edge names a column that is not audited.
    """
    names = [column.name for column in encoder.columns]
    unknown = [name for edge in edges for name in edge if name not in names]
    if unknown:
        raise AuditError(f"edges name column {unknown[0]!r}, which is not audited; expected modelled columns")
    targets = membership.draw_targets(case, max_targets=max_targets, rng=rng, subgroups=encoder.subgroups)
    known = reidentification.knowledge(encoder, case.pool, rng=rng)
    return Prepared(
        case=case,
        targets=targets,
        reference=membership.reference_distances(targets),
        knowledge=known,
        edges=tuple(tuple(names.index(name) for name in edge) for edge in edges),
        earlier=None if earlier is None else -membership.distance_scores(targets, sampled(earlier, len(targets.rows), rng)),
        level=alpha / count_results(targets, known, n_more=bool(edges) + (earlier is not None)),
    )


def count_results(targets: Targets, known: Knowledge, *, n_more: int) -> int:
    """How many results with a p-value one release gives, with so many membership attacks beyond the usual: the family of its tests."""
    subgroups = bool(targets.measurable_groups())
    populations = 1 + (targets.n_non_members * membership.VULNERABLE_SHARE >= membership.MIN_VULNERABLE_NON_MEMBERS) + subgroups
    by_membership = (len(MEMBERSHIP_BLANKS) + n_more) * membership.count_results(targets.n_non_members, subgroups=subgroups)
    by_criterion = 2 * populations + (len(known.columns) > 1) * populations + bool(known.secrets) * (populations + 1)
    return len(REPLAY_BLANKS) + by_membership + by_criterion


def neighbours(case: Case, release: Records, *, rng: np.random.Generator) -> Neighbours:
    """Find them, for at most as many release rows as ``MAX_PAIRS`` allows."""
    return replay.nearest_records(case, sampled(release, len(case.pool), rng))


def sampled(release: Records, n_others: int, rng: np.random.Generator) -> Records:
    """The release, or a sample of its rows so that distances to ``n_others`` rows stay within ``MAX_PAIRS``."""
    limit = max(MAX_PAIRS // n_others, 1)
    return release if len(release) <= limit else release.take(rng.choice(len(release), limit, replace=False))


def attack(prepared: Prepared, release: Records, *, rng: np.random.Generator, control: bool = False) -> list[AuditResult]:
    """All results on one release. An attack that crashes gives one result that says so, and the others run."""
    return attack_by_replay(prepared, release, rng=rng) + attack_people(prepared, release, rng=rng, control=control)


def attack_people(prepared: Prepared, release: Records, *, rng: np.random.Generator, control: bool = False) -> list[AuditResult]:
    """All attacks but replay: whether people were in the data, and what the release tells about them."""
    return attack_by_membership(prepared, release, rng=rng) + attack_by_criterion(prepared, release, rng=rng, control=control)


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
    """The membership attacks; the first two share one search for the nearest release rows."""
    targets = prepared.targets
    part = sampled(release, len(targets.rows), rng)
    scores: list[FloatArray] = []

    def distance() -> FloatArray:
        scores.append(membership.distance_scores(targets, part))
        return scores[0]

    def against(reference: FloatArray) -> FloatArray:
        return membership.calibrated_scores(scores[0] if scores else membership.distance_scores(targets, part), reference)

    attacks: list[tuple[AuditResult, Callable[[], FloatArray]]] = [
        (membership.DISTANCE, distance),
        (membership.CALIBRATED, lambda: against(prepared.reference)),
        (density.MARGINAL, lambda: density.marginal_scores(targets, part, rng=rng)),
        (density.CLASSIFIER, lambda: density.classifier_scores(targets, part, rng=rng)),
    ]
    if prepared.edges:
        attacks.append((density.EDGE, lambda: density.edge_scores(targets, part, prepared.edges)))
    earlier = prepared.earlier
    if earlier is not None:
        attacks.append((membership.EARLIER, lambda: against(earlier)))
    results: list[AuditResult] = []
    for blank, score in attacks:
        results += guarded(blank, lambda blank=blank, score=score: membership.measure(blank, targets, score(), level=prepared.level))  # type: ignore[misc]  # mypy cannot type a lambda's defaults
    return [replace(result, details={**result.details, "n_release": len(part)}) for result in results]


def attack_by_criterion(prepared: Prepared, release: Records, *, rng: np.random.Generator, control: bool) -> list[AuditResult]:
    """Singling out, linkability and inference; a control attacks fewer people."""
    known, level = prepared.knowledge, prepared.level
    targets = prepared.targets.fewer(CONTROL_TARGETS) if control else prepared.targets
    part = sampled(release, len(targets.rows), rng)
    return [
        *guarded(
            singling_out.SINGLING_OUT,
            lambda: singling_out.singling_out(prepared.case, prepared.targets, release, known.columns, known.views, rng=rng, level=level),
        ),
        *guarded(reidentification.LINKABILITY, lambda: reidentification.linkability(targets, part, known, rng=rng, level=level)),
        *guarded(reidentification.INFERENCE, lambda: reidentification.attribute_inference(targets, release, known, rng=rng, level=level)),
    ]
