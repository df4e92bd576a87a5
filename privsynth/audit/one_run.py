"""How much epsilon does this very release betray? The coins of its own split, guessed from its own rows.

Everyone in the audit pool went into train or stayed out by a fair and independent coin, so they are the canaries of a one-run
audit (Steinke, Nasr & Jagielski 2023, arXiv:2305.08846), and no record has to be planted. The theorem asks that scores be computed
from the release without knowing these coins. So the reference rows are people whose coin is none of them (the tuning part of the
holdout) or the canaries themselves, members and non-members alike, and every view is learned from train and holdout together.

On ordinary people the bound is weak: it finds a release that copies, not one whose noise is a tenth too small. That is
what the mechanism audit is for; ceiling and power stand beside the bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from privsynth.audit import density
from privsynth.audit.attacks import MAX_TARGETS, sampled
from privsynth.audit.base import AuditResult, guarded
from privsynth.audit.encoding import Case, Encoder, FloatArray, IntArray, Records, fit_encoder, make_case, nearest, number_people, units_of
from privsynth.audit.epsilon_bounds import EPSILON_BOUND, Claim, as_result, one_run_bound
from privsynth.audit.membership import MAX_RESERVE, NEIGHBOURS, Targets, calibrated_scores, distance_scores
from privsynth.audit.replay import combination_points
from privsynth.dataset import Dataset, Split

MIN_CANARIES = 100
"""With fewer, not even a copy of everyone refutes an epsilon that people choose."""

ONE_RUN = AuditResult(
    audit="one-run epsilon bound",
    threat_model="release + training records + who was in the audit pool",
    question="How large must epsilon be at least, given how well the coins of the split are guessed from the release?",
    metric=EPSILON_BOUND,
)


def one_run_audit(
    split: Split,
    synthetic: Dataset,
    *,
    delta: float,
    claim: Claim | None,
    rng: np.random.Generator,
    edges: Sequence[tuple[str, ...]] = (),
    max_canaries: int = MAX_TARGETS,
    confidence: float = 0.95,
) -> AuditResult:
    """Largest epsilon that the release refutes by what it tells about the split's coins.

    Args:
        split: By independent coins; of a fixed split nothing can be measured.
        synthetic: The release, before or after filters that did not look at the coins.
        delta: At which the bound holds, in [0, 1): the claim's.
        claim: What the release says of itself; None if it claims nothing.
        rng: Draws canaries, rows and subsets of columns.
        edges: Sets of columns that the model is known to have measured.
        max_canaries: People at most; drawn by lot where the pool is larger.
        confidence: Chance that the bound holds, over all attacks and thresholds tried.

    Returns:
        One result, whose ``details["contradicts"]`` says whether the claim is refuted; ``not measurable`` below 100 canaries.
    """

    def measured() -> list[AuditResult]:
        start = time.perf_counter()
        columns = split.train.table.modelled
        encoder = fit_encoder(columns, [split.train.frame, split.holdout.frame], release=synthetic.frame)
        units = units_of(split.train, split.holdout)
        case = make_case(encoder.encode(split.train.frame), encoder.encode(split.holdout.frame), units=units, rng=rng)
        canaries = _canaries(split, number_people(units, len(case.pool)), max_canaries, rng)
        if len(canaries) < MIN_CANARIES:
            details = {"reason": f"{len(canaries)} people were in the audit pool; expected at least {MIN_CANARIES}"}
            return [replace(ONE_RUN, status="not measurable", details=details)]
        names = [column.name for column in columns]
        cliques = [tuple(names.index(name) for name in edge) for edge in edges]
        scores = _scores(case, canaries, encoder, split, encoder.encode(synthetic.frame), cliques, rng)
        bounds = {
            name: one_run_bound(
                score,
                case.is_train[canaries],
                delta=delta,
                rng=rng,
                confidence=confidence,
                claim=claim,
                n_attacks=len(scores),
            )
            for name, score in scores.items()
        }
        worst = max(bounds, key=lambda name: bounds[name].value)
        result = as_result(
            bounds[worst],
            audit=ONE_RUN.audit,
            threat_model=ONE_RUN.threat_model,
            question=ONE_RUN.question,
            claim=claim,
            seconds=time.perf_counter() - start,
        )
        by_attack = {name: bound.value for name, bound in bounds.items()}
        return [replace(result, details={**result.details, "worst": worst, "bounds": by_attack})]

    if split.insecure:
        return replace(ONE_RUN, status="not measurable", details={"reason": "the split is fixed: no coins were thrown"})
    return guarded(ONE_RUN, measured)[0]


def _canaries(split: Split, person: IntArray, max_canaries: int, rng: np.random.Generator) -> IntArray:
    """People whose side a fair coin decided, drawn without a look at the coin, shape (n,)."""
    n_train = len(split.train.frame)
    people = np.union1d(person[:n_train][split.in_pool], person[n_train:])
    return rng.permutation(people)[:max_canaries]


def _scores(
    case: Case,
    canaries: IntArray,
    encoder: Encoder,
    split: Split,
    release: Records,
    edges: Sequence[tuple[int, ...]],
    rng: np.random.Generator,
) -> dict[str, FloatArray]:
    """Scores of each canary by attack, each of shape (n,); none of them looks at a canary's coin."""
    n = len(canaries)
    reference = encoder.encode(split.tuning.frame)
    others = np.ones(n, dtype=bool)
    targets = Targets(
        people=canaries,
        rows=case.one_row_each(canaries, rng),
        is_member=others,  # so that no canary serves as a reference row: that would use its coin
        fold=np.zeros(n, dtype=np.int64),
        calibration=~others,
        vulnerable=~others,
        reserve=reference.take(rng.permutation(len(reference))[:MAX_RESERVE]),
    )
    part = sampled(release, n, rng)
    distance = distance_scores(targets, part)
    crowd = nearest(targets.rows, targets.rows, k=NEIGHBOURS + 1)[0][:, 1:].mean(axis=1).astype(np.float64)  # the nearest is the row itself
    scores: dict[str, Callable[[], FloatArray]] = {
        "distance": lambda: distance,
        "calibrated distance": lambda: calibrated_scores(distance, crowd),
        "marginal density": lambda: density.marginal_scores(targets, part, rng=rng),
        "unique combinations": lambda: combination_points(case, [release], rng=rng)[0][canaries].astype(np.float64),
    }
    if edges:
        scores["edge density"] = lambda: density.edge_scores(targets, part, edges)
    return {name: score() for name, score in scores.items()}
