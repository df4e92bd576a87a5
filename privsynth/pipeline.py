"""The main job: from a plan to a release, stage by stage.

Everything that can be refused is refused before the ledger is touched; the whole sequence of mechanisms is reserved before
the first one runs; data leaves only in the last stage, in one step, and only if no judgement failed.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from privsynth import attempts, preflight, sources, stages
from privsynth.config import Plan
from privsynth.dataset import Dataset, Split, benchmark_split, conform, draw_parts, split_by_parts
from privsynth.errors import PIIError, PlanError, PrivSynthError, SchemaError, records
from privsynth.measuring import Edges, measure, measured_once, pii_type
from privsynth.pii.columns import ScanReport
from privsynth.privacy import Ledger, NoiseSource, Reservation, SystemNoise
from privsynth.privacy.accounting import total
from privsynth.privacy.ledger import Population
from privsynth.publishing import written
from privsynth.release import Edition, Release
from privsynth.report import policy as policies
from privsynth.report import render, summary
from privsynth.schema import Schema, Table
from privsynth.stages import RunFolder
from privsynth.tabular import constraints
from privsynth.tabular.base import ColumnReport, FittedModel, Synthesizer

STAGES = ("read", "scan for personal data", "reserve", "split and fit", "sample", "audit", "measure quality", "write")


BENCHMARK_NOTE = (
    "Insecure: the split is a fixed permutation that anyone can repeat (--benchmark-split). For benchmarks only; not to be released."
)


Progress = Callable[[str, int, int], None]
"""Told when a run moves on: the stage, and how many of how many steps are finished."""


def run(
    plan: Plan,
    *,
    ledger: Ledger | None = None,
    internal: str | Path | None = None,
    noise: NoiseSource | None = None,
    rng: np.random.Generator | None = None,
    benchmark: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
    notes: Sequence[str] = (),
) -> Release:
    """Turn the plan's data into a release folder with evidence.

    Args:
        plan: What a person decided.
        ledger: Where the cost is written; the user's ledger by default.
        internal: Folder for everything that may not be handed over; beside the ledger by default. Stages are stored there.
        noise: Where protecting randomness comes from; the operating system by default, a fake only in tests.
        rng: Sampling and attacks; fresh randomness by default.
        benchmark: Use the fixed 80/20 permutation of published figures; stamps the output as insecure.
        resume: Go on after the last finished stage of the run of this plan that was interrupted.
        progress: Told as stages move on.
        warn: Told, before anything is spent, which judgements cannot pass; may depend on the number of people.
        notes: Put first into both editions of the report.

    Returns:
        The release. If a judgement failed, ``folder`` is None: the data were kept internal and not exported.

    Raises:
        PrivSynthError: With one line that says what to do; no half-written release is left.
    """
    start = time.perf_counter()
    ledger = ledger or Ledger.open()
    noise, rng = noise or SystemNoise(), rng or np.random.default_rng()
    step = _Steps(progress)
    policy = policies.Policy.load(plan.path_of(plan.audit.policy) if plan.audit.policy else None)
    earlier = attempts.interrupted(plan, ledger, internal) if resume else None
    folder = plan.path_of(plan.release.folder)
    attempts.require_places(folder, internal, earlier)

    event_id = earlier.facts.event_id if earlier else secrets.token_hex(8)
    # Written before the data is read: a run that is refused leaves a trace too, at no cost.
    ledger.note(plan.dataset.name, "attempt", {"id": event_id})
    step("read")
    dataset, clipped = read(plan)
    engine = preflight.synthesizer(plan)
    preflight.require_columns(dataset.table)
    preflight.require_people(plan, dataset, engine)
    facts = attempts.facts_of(plan, dataset, policy, ledger, event_id=event_id, folder=folder, benchmark=benchmark)
    step("scan for personal data")
    if earlier is None:
        attempts.refuse_second_run(ledger, facts, internal)
        scan = _scan(plan, dataset, rng)
        attempts.require_space(plan, dataset, ledger, folder, internal)
    else:
        attempts.require_unchanged(earlier, facts)
        scan = attempts.load_scan(earlier) if earlier.finished("scan") else _scan(plan, dataset, rng)
    touches, noise_scale = preflight.plan_touches(plan, dataset.schema, engine)
    for line in preflight.out_of_reach(plan, policy, total(touches, plan.budget.delta).epsilon, people=dataset.count_units()):
        (warn or _say_nothing)(line)
    step("reserve")
    population = Population(name=plan.dataset.name, units=dataset.identities(), distinct_from=plan.dataset.distinct_from)
    work = earlier or attempts.started(attempts.internal_place(ledger, internal, facts), facts, scan)
    with (
        work.locked(),
        attempts.reserved(work, ledger, population, touches, engine, scan, plan=plan, noise_scale=noise_scale, noise=noise) as reservation,
    ):
        step("split and fit")
        split = _split(work, plan, dataset, reservation, benchmark=benchmark)
        synthetic, columns, edges = _synthetic(work, plan, engine, split, reservation, rng, step)
        step("audit")
        measurements = measured_once(
            work, lambda: measure(dataset, split, synthetic, columns, edges, scan, clipped, reservation, rng=rng, step=step, tell=step.tell)
        )
        release = Release(
            event_id=reservation.event_id,
            plan=json.loads(plan.model_dump_json(exclude={"base"})),
            schema=dataset.schema,
            tables=synthetic.tables,
            touches=reservation.touches,
            cost=reservation.cost,
            balance=ledger.balance(plan.dataset.name),
            ledger_head=reservation.head,
            measurements=measurements,
            insecure=split.insecure,
            notes=(
                *notes,
                *([BENCHMARK_NOTE] if benchmark else []),
                *preflight.engine_notes(engine),
                *_plan_notes(dataset.table),
                *_export_notes(plan, synthetic),
            ),
            seconds=time.perf_counter() - start,
        )
        release = _judged(work, release, policy)
        step("write")
        release = written(work, release, ledger, folder=folder)
    work.close("blocked" if release.folder is None else "finished")
    step("done")
    return release


def _say_nothing(line: str) -> None:
    """For a caller who wants no warnings."""


def read(plan: Plan) -> tuple[Dataset, dict[str, int]]:
    """The plan's table, typed and checked, and how many values were clipped by column."""
    schema = plan.declared_schema()
    section = plan.tables[plan.table_name]
    # The encoding is a declared fact, UTF-8 by default: were it guessed, one person's byte would respell everybody's text.
    reading = sources.read(
        plan.path_of(section.path), encoding=section.encoding or "utf-8", delimiter=section.delimiter, null_values=section.null_values
    )
    table = schema.tables[0]
    frame, clipped = conform(reading.frame, schema, table, on_violation=section.on_violation)
    frame, moved = constraints.enforce(frame, table, on_violation=section.on_violation)
    dataset = Dataset(tables={table.name: frame}, schema=schema, role="confidential")
    _require_determined(dataset)
    return dataset, clipped | moved


class _Steps:
    """Passes stages on to ``progress``."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def __call__(self, stage: str) -> None:
        done = len(STAGES) if stage == "done" else STAGES.index(stage)
        self.tell(stage, done, len(STAGES))

    def tell(self, stage: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(stage, done, total)


def _require_determined(dataset: Dataset) -> None:
    """Refuse rows that break a declared functional dependency: the map would write something else."""
    frame, table = dataset.frame, dataset.table
    for column in table.columns:
        for target, pairs in column.determines.items():
            if target not in table.names:
                raise SchemaError(f"column {column.name!r} determines {target!r}, which is not a column of table {table.name!r}")
            present = frame[column.name].notna() & frame[target].notna()
            known = frame[column.name].map(pairs)
            broken = present & (known != frame[target])
            if broken.any():
                raise SchemaError(
                    f"column {target!r}: {int(broken.sum())} values do not follow from {column.name!r} by the declared map, "
                    f"in {records(np.flatnonzero(broken))}; correct them or the map"
                ).about(frame[target][broken])


def _scan(plan: Plan, dataset: Dataset, rng: np.random.Generator) -> ScanReport:
    """Look for personal data in every column; a finding that the plan does not know stops the run."""
    from privsynth import pii

    table = dataset.table
    texts = [column.name for column in table.columns if column.kind == "text" and column.pii is None]
    if texts and plan.synthesis.text != "drop":
        pii.require_ner(texts[0])
        raise PlanError(
            f'synthesis.text={plan.synthesis.text!r} is not available yet; expected "drop": column {texts[0]!r} is then left out'
        )
    found = pii.scan(dataset.frame.drop(columns=texts), rng=rng)
    confirmed = plan.confirmed_not_personal
    for finding in found.findings:
        column = table[finding.column]
        if finding.pii is not None and column.is_modelled and column.name not in confirmed:
            raise PIIError(
                f"column {column.name!r} looks like personal data of type {finding.pii} ({finding.evidence}) but would be modelled; "
                f'write pii = "{finding.pii}" to have it invented anew, or pii = "none" if a person has looked'
            )
    return found


def _split(run: RunFolder, plan: Plan, dataset: Dataset, reservation: Reservation, *, benchmark: bool) -> Split:
    """The split, drawn once and stored: a second draw would show other people to the audits."""
    if not run.finished("split"):
        for touch in reservation.touches:
            if touch.stage in ("facts", "read", "pii"):
                reservation.spend(touch.stage, touch.label)
        parts = draw_parts(dataset, pool_rate=plan.pool_rate, noise=reservation.noise)
        with run.writing("split") as draft:
            np.save(draft / "parts.npy", parts)
    if benchmark:
        return benchmark_split(dataset)
    with run.reading("split") as stored:
        return split_by_parts(dataset, np.load(stored / "parts.npy", allow_pickle=False), pool_rate=plan.pool_rate)


def _model(run: RunFolder, engine: Synthesizer, train: Dataset, reservation: Reservation) -> FittedModel:
    """The fitted model: read back if an earlier attempt finished it and the engine can, fitted otherwise."""
    if run.finished("model"):
        load: Callable[[Path], FittedModel] | None = getattr(engine, "load", None)
        if load is not None:
            with run.reading("model") as stored:
                return load(stored)
        run.discard("model")
    try:
        model = engine.fit(train, reservation=reservation)
    except PrivSynthError:
        # Its message may depend on noisy measurements and was shown: to fit again is a new run, charged again.
        run.close("failed")
        raise
    with run.writing("model") as draft:
        model.save(draft)
    return model


def _synthetic(
    run: RunFolder, plan: Plan, engine: Synthesizer, split: Split, reservation: Reservation, rng: np.random.Generator, step: _Steps
) -> tuple[Dataset, tuple[ColumnReport, ...], Edges]:
    """The synthetic rows, what modelling did to each column, and the sets of columns that the model holds."""
    schema = split.train.schema
    if not run.finished("synthetic"):
        model = _model(run, engine, split.train, reservation)
        step("sample")
        sampled = _sample(plan, model, schema, rng)
        with run.writing("synthetic") as draft:
            stages.save_frame(sampled.frame, draft / "rows.feather")
            stages.save_values([asdict(report) for report in model.column_reports], draft / "columns.json")
            stages.save_values(getattr(model, "edges", ()), draft / "edges.json")
    with run.reading("synthetic") as stored:
        frame = stages.load_frame(stored / "rows.feather")
        reports = stages.load_values(tuple[ColumnReport, ...], stored / "columns.json")
        edges = stages.load_values(Edges, stored / "edges.json")
    table = schema.tables[0].with_columns(schema.tables[0][name] for name in frame.columns)
    return Dataset(tables={table.name: frame}, schema=replace(schema, tables=(table,)), role="synthetic"), reports, edges


def _sample(plan: Plan, model: FittedModel, schema: Schema, rng: np.random.Generator) -> Dataset:
    """Synthetic rows, and invented personal values and identifiers for their people."""
    from privsynth import pii

    table = schema.tables[0]
    modelled = model.sample(plan.synthesis.rows, rng=rng)
    invented = {column.name: pii_type(column) for column in table.columns if not column.is_modelled and column.kind != "text"}
    people = pii.regenerate(plan.synthesis.rows, invented, rng=rng, given=modelled)
    kept = [column for column in table.columns if column.kind != "text" or column.pii is not None]
    frame = pd.DataFrame({column.name: (modelled if column.name in modelled else people)[column.name] for column in kept})
    released = replace(schema, tables=(table.with_columns(kept),))
    return Dataset(tables={table.name: frame}, schema=released, role="synthetic")


def _plan_notes(table: Table) -> tuple[str, ...]:
    """What the plan left out, said first."""
    texts = [column.name for column in table.columns if column.kind == "text" and column.pii is None]
    notes = []
    if texts:
        notes.append(f"Free text is not released: {', '.join(texts)} dropped by the plan.")
    if table.dropped:
        notes.append(f"Columns left out by the plan: {', '.join(table.dropped)}.")
    return tuple(notes)


def _export_notes(plan: Plan, synthetic: Dataset) -> tuple[str, ...]:
    """What writing changes in the released file; synthetic cells only."""
    formulas = sources.count_formulas(synthetic.frame) if plan.release.format == "csv" else 0
    note = f"{formulas} text cells begin like a spreadsheet formula; the CSV file has an apostrophe before each."
    return (note,) if formulas else ()


def _judged(run: RunFolder, release: Release, policy: policies.Policy) -> Release:
    """The release with its verdict and its reports, all rendered from one stored summary."""
    if not run.finished("summary"):
        judgements = policies.judge(
            policy,
            run=release.measurements.audit,
            cost=release.cost,
            sensitivity=release.plan["release"]["sensitivity"],
            traces=release.measurements.pii_replay,
            holdout_people=release.measurements.people["holdout"],
            notes=[BENCHMARK_NOTE] if release.insecure else [],
        )
        with run.writing("summary") as draft:
            stages.save_values(summary.build(release, policy=policy, judgements=judgements), draft / "summary.json")
    with run.reading("summary") as stored:
        full = stages.load_values(dict[str, Any], stored / "summary.json")
    content: dict[Edition, Any] = {"vendor": summary.vendor(full), "internal": full}
    reports = {(edition, format): render.render(content[edition], format) for edition in get_args(Edition) for format in render.FORMATS}
    return replace(release, verdict=full["verdict"]["light"], ledger_head=full["ledger_head"], summary=full, reports=reports)
