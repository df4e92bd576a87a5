"""The audit of one release, from three datasets to measurements and controls."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from privsynth.audit.attacks import BLANKS, MAX_TARGETS, Prepared, attack, prepare
from privsynth.audit.base import DEFAULT_ALPHA, AuditResult, AuditRun, Progress
from privsynth.audit.controls import Material, run_controls
from privsynth.audit.encoding import fit_encoder, make_case, units_of
from privsynth.audit.intervals import hypergeometric_tail
from privsynth.audit.membership import MIN_NON_MEMBERS
from privsynth.audit.replay import EXACT
from privsynth.dataset import Dataset
from privsynth.errors import AuditError

_STEPS = 6


def run(
    train: Dataset,
    holdout: Dataset | None,
    synthetic: Dataset,
    *,
    rng: np.random.Generator,
    alpha: float = DEFAULT_ALPHA,
    max_targets: int = MAX_TARGETS,
    progress: Progress | None = None,
) -> AuditRun:
    """Attack a release, and releases whose leak is known, with the same attacks.

    Reads private data: the figures are not differentially private and stay with the operator.

    Args:
        train: What the release was made from.
        holdout: People of the same population whom the release was not made from; None or fewer than 100 people make every
            result ``not measurable``, because a coincidence cannot be told from a leak without them.
        synthetic: The release.
        rng: Draws samples, subsets and lots. A fixed seed makes a run repeatable.
        alpha: Family-wise false-alarm rate, in (0, 1).
        max_targets: Members, and as many non-members, whose membership is guessed.
        progress: Told after each step.

    Raises:
        AuditError: A dataset is empty, a column is missing, or a person is in train and in holdout.
    """
    start = time.perf_counter()
    if not 0 < alpha < 1:
        raise AuditError(f"alpha={alpha!r}; expected a false-alarm rate in (0, 1), for example 0.01")
    if not len(train.frame) or not len(synthetic.frame):
        raise AuditError(f"train={len(train.frame)}, synthetic={len(synthetic.frame)} rows; expected at least one row in both")
    if holdout is None or holdout.count_units() < MIN_NON_MEMBERS or train.count_units() < MIN_NON_MEMBERS:
        return _without_control(train, holdout, alpha, start)
    columns = train.table.modelled
    encoder = fit_encoder(columns, [train.frame, holdout.frame], release=synthetic.frame)
    units = units_of(train, holdout)
    case = make_case(encoder.encode(train.frame), encoder.encode(holdout.frame), units=units, rng=rng)
    prepared = prepare(case, alpha=alpha, rng=rng, max_targets=max_targets)
    step = _Steps(progress)
    step("attacks on the release")
    results = attack(prepared, encoder.encode(synthetic.frame), rng=rng)
    material = Material(encoder=encoder, train=train.frame, holdout=holdout.frame, units=units, n_release=len(synthetic.frame))
    controls, floors = run_controls(material, prepared, alpha=alpha, max_targets=max_targets, rng=rng, step=step)
    step("done")
    return AuditRun(
        results=tuple(_with_floor(result, floors) for result in results),
        controls=controls,
        floors=floors,
        notes=_notes(train, prepared, results, max_targets=max_targets, fresh=any(control.name == "fresh records" for control in controls)),
        alpha=alpha,
        seconds=time.perf_counter() - start,
    )


class _Steps:
    """Counts the steps for ``progress``: called before each step, with the steps already finished."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.done = progress, 0

    def __call__(self, label: str) -> None:
        if self.progress:
            self.progress(min(self.done, _STEPS - 1), _STEPS - 1, label)
        self.done += 1


def _with_floor(result: AuditResult, floors: dict[str, float | None]) -> AuditResult:
    """A replay result with the smallest planted share that its attack flagged."""
    if result.audit not in floors or result.status != "measured":
        return result
    return replace(result, floor=floors[result.audit], details={**result.details, "floor_unit": "planted share of exact copies"})


def _without_control(train: Dataset, holdout: Dataset | None, alpha: float, start: float) -> AuditRun:
    n_holdout = 0 if holdout is None else holdout.count_units()
    details = {"n_train": train.count_units(), "n_holdout": n_holdout, "expected_at_least": MIN_NON_MEMBERS}
    return AuditRun(
        results=tuple(replace(blank, status="not measurable", details=details) for blank in BLANKS),
        controls=(),
        floors={},
        notes=("Nothing was measured: too few people in train or in holdout. Without held-out people a coincidence looks like a leak.",),
        alpha=alpha,
        seconds=time.perf_counter() - start,
    )


def _notes(train: Dataset, prepared: Prepared, results: list[AuditResult], *, max_targets: int, fresh: bool) -> tuple[str, ...]:
    """What a reader must know about this run."""
    left_out = [column.name for column in train.table.columns if not column.is_modelled]
    crashed = sorted({result.audit for result in results if result.status == "crashed"})
    unmeasured = [result.key for result in results if result.status == "not measurable"]
    notes = [f"Level of a single result: p <= {prepared.level:.2g} (Bonferroni)."]
    if left_out:
        notes.append(f"{len(left_out)} columns were left out: personal data, text and identifiers.")
    if prepared.targets.n_non_members == max_targets < prepared.case.n_people:
        notes.append(f"Membership was guessed for {max_targets} people of each side, drawn at random.")
    if not fresh:
        notes.append("The control with fresh records did not run: too few people are held out.")
    if any(_looks_swapped(prepared, result) for result in results):
        notes.append("Held-out records occur in the release far more often than chance allows: were train and holdout mixed up?")
    notes += [f"The attack {name!r} crashed; its silence says nothing." for name in crashed]
    notes += [f"Not measurable: {key}." for key in unmeasured]
    return tuple(notes)


def _looks_swapped(prepared: Prepared, result: AuditResult) -> bool:
    """Whether the release repeats whole held-out records beyond any coincidence (1e-6): an audit with swapped files sees no leak."""
    if result.audit != EXACT.audit or result.status != "measured":
        return False
    case, holdout, train = prepared.case, result.details["holdout_matched"], result.details["train_matched"]
    return hypergeometric_tail(holdout, holdout + train, case.n_holdout, case.n_people) < 1e-6
