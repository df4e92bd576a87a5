"""The audit of one release, from three datasets to measurements and controls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from privsynth.audit.attacks import BLANKS, MAX_TARGETS, REPLAY_BLANKS, Prepared, attack, prepare
from privsynth.audit.base import DEFAULT_ALPHA, AuditResult, AuditRun, Progress, flagged
from privsynth.audit.controls import CONTROL_STEPS, MAX_CONTROL_ROWS, Material, run_controls
from privsynth.audit.encoding import Records, fit_encoder, make_case, row_keys, units_of
from privsynth.audit.intervals import hypergeometric_tail
from privsynth.audit.membership import MIN_NON_MEMBERS
from privsynth.audit.reidentification import MAX_SECRETS
from privsynth.audit.replay import EXACT, MANY_ROWS
from privsynth.dataset import Dataset
from privsynth.errors import AuditError

_REPLAY = tuple(blank.audit for blank in REPLAY_BLANKS)
_STEPS = 2 + len(CONTROL_STEPS)


def run(
    train: Dataset,
    holdout: Dataset | None,
    synthetic: Dataset,
    *,
    rng: np.random.Generator,
    alpha: float = DEFAULT_ALPHA,
    max_targets: int = MAX_TARGETS,
    edges: Sequence[tuple[str, ...]] = (),
    earlier: Dataset | None = None,
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
        edges: Sets of columns that the model is known to have measured (the edges of a tree, the cliques of AIM): these add an
            attack by someone who knows the model's structure. None for other models.
        earlier: An earlier release of the same people with the same columns: adds an attack by someone who holds both.
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
    released = synthetic.frame if earlier is None else _both(synthetic, earlier, [column.name for column in columns])
    encoder = fit_encoder(columns, [train.frame, holdout.frame], release=released)
    units = units_of(train, holdout)
    case = make_case(encoder.encode(train.frame), encoder.encode(holdout.frame), units=units, rng=rng)
    known = None if earlier is None else encoder.encode(earlier.frame)
    prepared = prepare(case, encoder, alpha=alpha, rng=rng, max_targets=max_targets, edges=edges, earlier=known)
    step = _Steps(progress)
    step("attacks on the release")
    release = encoder.encode(synthetic.frame)
    results = attack(prepared, release, rng=rng)
    repeated = any(result.audit in _REPLAY and flagged(result, prepared.level) for result in results)
    n_release = min(len(release), MAX_CONTROL_ROWS)
    material = Material(encoder=encoder, train=train.frame, holdout=holdout.frame, units=units, n_release=n_release)
    controls, floors, noisy_floors = run_controls(
        material, prepared, None if repeated else release, alpha=alpha, max_targets=max_targets, rng=rng, step=step
    )
    step("done")
    return AuditRun(
        results=tuple(_with_floor(result, floors, noisy_floors) for result in results),
        controls=controls,
        floors=floors,
        noisy_floors=noisy_floors,
        notes=(
            *_notes(train, prepared, results, max_targets=max_targets, fresh=any(control.name == "fresh records" for control in controls)),
            *_notes_on_rows(
                train, encoder.encode(train.frame), encoder.encode(holdout.frame), release, results, floors_in_release=not repeated
            ),
        ),
        alpha=alpha,
        seconds=time.perf_counter() - start,
    )


def _both(synthetic: Dataset, earlier: Dataset, names: list[str]) -> pd.DataFrame:
    """The rows of both releases; refuses an earlier one without rows or without an audited column."""
    missing = [name for name in names if name not in earlier.frame.columns]
    if missing or not len(earlier.frame):
        what = f"lacks column {missing[0]!r}" if missing else "has no rows"
        raise AuditError(f"the earlier release {what}; expected rows with the audited columns of this one")
    return pd.concat([synthetic.frame[names], earlier.frame[names]], ignore_index=True)


class _Steps:
    """Counts the steps for ``progress``: called before each step, with the steps already finished."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.done = progress, 0

    def __call__(self, label: str) -> None:
        if self.progress:
            self.progress(min(self.done, _STEPS - 1), _STEPS - 1, label)
        self.done += 1


def _with_floor(result: AuditResult, floors: dict[str, float | None], noisy_floors: dict[str, float | None]) -> AuditResult:
    """A replay result with the smallest planted shares that its attack flagged."""
    if result.audit not in floors or result.status != "measured":
        return result
    unit = {"floor_unit": "planted share of exact copies", "floor_with_2_percent_noise": noisy_floors[result.audit]}
    return replace(result, floor=floors[result.audit], details={**result.details, **unit})


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


def _notes_on_rows(
    train: Dataset, own: Records, held_out: Records, release: Records, results: list[AuditResult], *, floors_in_release: bool
) -> list[str]:
    """What was sampled, and coincidences: rows that are alike are no sign that people were shared."""
    notes = []
    keys = row_keys(release.cells)
    n_shared = int(np.isin(row_keys(held_out.cells), row_keys(own.cells)).sum())
    n_distinct = len(np.unique(keys))
    if n_shared:
        notes.append(f"{n_shared} held-out rows equal a row of train. Identical rows of different people are no overlap.")
    if n_distinct <= len(release) // 2:
        notes.append(f"The release holds {n_distinct} distinct rows among {len(release)}.")
    sampled_to = {result.details["n_release"] for result in results if "n_release" in result.details}
    if sampled_to and min(sampled_to) < len(release):
        notes.append(f"The release has {len(release)} rows; attacks by distance used samples of {min(sampled_to)} rows or more.")
    if len(release) > MAX_CONTROL_ROWS:
        notes.append(f"Control releases have {MAX_CONTROL_ROWS} rows, fewer than the release.")
    if len(own) + len(held_out) > MANY_ROWS:
        notes.append("Attacks by combinations of columns drew fewer sets of columns because of the number of rows.")
    if not floors_in_release:
        notes.append("The release repeats records: floors were measured by planting copies in shuffled rows instead.")
    n_default = sum(not column.quasi_identifier for column in train.table.modelled)
    if n_default > MAX_SECRETS and not any(column.secret for column in train.table.modelled):
        notes.append(f"{MAX_SECRETS} of {n_default} columns were guessed as secrets, drawn at random; declare secrets to choose them.")
    return notes


def _looks_swapped(prepared: Prepared, result: AuditResult) -> bool:
    """Whether the release repeats whole held-out records beyond any coincidence (1e-6): an audit with swapped files sees no leak."""
    if result.audit != EXACT.audit or result.status != "measured":
        return False
    case, holdout, train = prepared.case, result.details["holdout_matched"], result.details["train_matched"]
    return hypergeometric_tail(holdout, holdout + train, case.n_holdout, case.n_people) < 1e-6
