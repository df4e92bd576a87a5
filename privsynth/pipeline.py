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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth import attempts, preflight, protocol, sources, stages, texts
from privsynth.config import Plan
from privsynth.dataset import Dataset, Split, benchmark_split, conform, draw_parts, split_by_parts
from privsynth.errors import PIIError, PrivSynthError, SchemaError, records
from privsynth.measuring import Edges, comparisons, measure, measured_once, pii_type
from privsynth.pii.columns import ScanReport
from privsynth.privacy import Ledger, NoiseSource, Reservation, SystemNoise
from privsynth.privacy.accounting import total
from privsynth.privacy.ledger import Population
from privsynth.publishing import signing_key, written
from privsynth.release import Edition, Release
from privsynth.report import policy as policies
from privsynth.report import render, summary
from privsynth.schema import Schema, Table
from privsynth.spreadsheet import count_formulas
from privsynth.stages import RunFolder
from privsynth.tabular import constraints
from privsynth.tabular.base import ColumnReport, FittedModel, Synthesizer, TrainedInEpochs
from privsynth.text.base import FittedText, TextSynthesizer
from privsynth.texts import DROP, WrittenTexts, text_columns

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
    key = signing_key(plan)

    event_id = earlier.facts.event_id if earlier else secrets.token_hex(8)
    # Written before the data is read: a run that is refused leaves a trace too, at no cost.
    ledger.note(plan.dataset.name, "attempt", {"id": event_id})
    step("read")
    dataset, clipped = read(plan)
    engine = preflight.synthesizer(plan)
    preflight.require_columns(dataset.table)
    preflight.require_format(plan)
    preflight.require_people(plan, dataset, engine)
    texts.require_ready(plan, dataset.table, people=dataset.count_units())
    compared = comparisons(plan, dataset.schema)
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
        opening = None if benchmark else protocol.commit(work, ledger, dataset, policy_sha256=policy.sha256)
        synthetic, columns, edges, written_texts = _synthetic(work, plan, engine, split, reservation, rng, step, warn or _say_nothing)
        step("audit")
        holdout_uses = protocol.use_holdout(work, ledger)
        measurements = measured_once(
            work,
            lambda: measure(
                dataset, split, synthetic, columns, edges, scan, clipped, reservation, compared, rng=rng, step=step, tell=step.tell
            ),
        )
        release = Release(
            event_id=reservation.event_id,
            plan=json.loads(plan.model_dump_json(exclude={"base"})),
            schema=dataset.schema,
            tables=synthetic.tables,
            touches=reservation.touches,
            cost=reservation.cost,
            balance=ledger.balance(plan.dataset.name),
            ledger_head=ledger.head(),
            measurements=measurements,
            insecure=split.insecure,
            holdout_uses=holdout_uses,
            opening=opening,
            made_on=datetime.now(UTC).date().isoformat(),
            notes=(
                *notes,
                *([BENCHMARK_NOTE] if benchmark else []),
                *preflight.engine_notes(engine),
                *texts.notes_of(plan, dataset.table),
                *_plan_notes(plan, dataset.table),
                *([written_texts.sentence()] if written_texts else []),
                *_export_notes(plan, synthetic),
            ),
            seconds=time.perf_counter() - start,
        )
        release = _judged(work, release, policy)
        step("write")
        release = written(work, release, ledger, folder=folder, key=key)
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
    free = list(text_columns(table))
    if free and plan.synthesis.text != DROP and plan.pii.ner != "none":
        pii.require_ner(free[0], language=plan.pii.language)
    pii.require_regenerable(_invented(table), locale=plan.pii.locale)
    found = pii.scan(dataset.frame.drop(columns=free), rng=rng, language=plan.pii.language, ner="none" if plan.pii.ner == "none" else None)
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


def _model(run: RunFolder, engine: Synthesizer, train: Dataset, reservation: Reservation, step: _Steps) -> FittedModel:
    """The fitted model: read back if an earlier attempt finished it and the engine can, fitted otherwise."""
    if run.finished("model"):
        load: Callable[[Path], FittedModel] | None = getattr(engine, "load", None)
        if load is not None:
            with run.reading("model") as stored:
                return load(stored)
        run.discard("model")
    try:
        if isinstance(engine, TrainedInEpochs):
            model = engine.fit(train, reservation=reservation, progress=lambda done, total: step.tell("split and fit: epochs", done, total))
        else:
            model = engine.fit(train, reservation=reservation)
    except PrivSynthError:
        # Its message may depend on noisy measurements and was shown: to fit again is a new run, charged again.
        run.close("failed")
        raise
    with run.writing("model") as draft:
        model.save(draft)
    return model


def _text_model(
    run: RunFolder, plan: Plan, writer: TextSynthesizer, train: Dataset, reservation: Reservation, step: _Steps, warn: Callable[[str], None]
) -> FittedText:
    """The fitted text model: read back if an earlier attempt finished it; training goes on from its last checkpoint otherwise."""
    if not run.finished("text-model"):
        checkpoint = run.scratch("text.checkpoint.safetensors")
        try:
            model = texts.fit(plan, writer, train, reservation, checkpoint=checkpoint, tell=step.tell, warn=warn)
        except PrivSynthError:
            run.close("failed")
            raise
        with run.writing("text-model") as draft:
            model.save(draft)
    with run.reading("text-model") as stored:
        return texts.load(plan, stored)


def _synthetic(
    run: RunFolder,
    plan: Plan,
    engine: Synthesizer,
    split: Split,
    reservation: Reservation,
    rng: np.random.Generator,
    step: _Steps,
    warn: Callable[[str], None],
) -> tuple[Dataset, tuple[ColumnReport, ...], Edges, WrittenTexts | None]:
    """The synthetic rows, what modelling did to each column, the sets of columns that the model holds, and how texts came about."""
    schema = split.train.schema
    if not run.finished("synthetic"):
        model = _model(run, engine, split.train, reservation, step)
        writer = texts.engine_of(plan, schema.tables[0])
        text_model = None if writer is None else _text_model(run, plan, writer, split.train, reservation, step, warn)
        step("sample")
        sampled, written_texts = _sample(plan, model, text_model, schema, rng, step)
        with run.writing("synthetic") as draft:
            stages.save_frame(sampled.frame, draft / "rows.feather")
            stages.save_values([asdict(report) for report in model.column_reports], draft / "columns.json")
            stages.save_values(getattr(model, "edges", ()), draft / "edges.json")
            stages.save_values(None if written_texts is None else asdict(written_texts), draft / "texts.json")
    with run.reading("synthetic") as stored:
        frame = stages.load_frame(stored / "rows.feather")
        reports = stages.load_values(tuple[ColumnReport, ...], stored / "columns.json")
        edges = stages.load_values(Edges, stored / "edges.json")
        how = stages.load_values(WrittenTexts | None, stored / "texts.json")  # type: ignore[arg-type]
    table = schema.tables[0].with_columns(schema.tables[0][name] for name in frame.columns)
    return Dataset(tables={table.name: frame}, schema=replace(schema, tables=(table,)), role="synthetic"), reports, edges, how


def _sample(
    plan: Plan, model: FittedModel, text_model: FittedText | None, schema: Schema, rng: np.random.Generator, step: _Steps
) -> tuple[Dataset, WrittenTexts | None]:
    """Synthetic rows, invented personal values and identifiers for their people, and texts written for each."""
    from privsynth import pii

    table = schema.tables[0]
    modelled = model.sample(plan.synthesis.rows, rng=rng)
    people = pii.regenerate(plan.synthesis.rows, _invented(table), rng=rng, locale=plan.pii.locale, given=modelled)
    rows = pd.concat([modelled, people], axis="columns")
    how = None
    if text_model is not None:
        written_texts, how = texts.write(plan, table, text_model, rows, rng=rng, tell=step.tell)
        rows = pd.concat([rows, written_texts], axis="columns")
    kept = [column for column in table.columns if column.name in rows]
    released = replace(schema, tables=(table.with_columns(kept),))
    return Dataset(tables={table.name: rows[[column.name for column in kept]]}, schema=released, role="synthetic"), how


def _invented(table: Table) -> dict[str, str]:
    """Type of personal data of each column that is invented anew."""
    return {column.name: pii_type(column) for column in table.columns if not column.is_modelled and column.kind != "text"}


NO_NER_NOTE = 'No model looked for names in free text (ner = "none" in the plan): most names in it were not found.'


def _plan_notes(plan: Plan, table: Table) -> tuple[str, ...]:
    """What the plan left out, said first."""
    dropped = text_columns(table) if plan.synthesis.text == DROP else ()
    notes = [NO_NER_NOTE] if plan.pii.ner == "none" else []
    if dropped:
        notes.append(f"Free text is not released: {', '.join(dropped)} dropped by the plan.")
    if table.dropped:
        notes.append(f"Columns left out by the plan: {', '.join(table.dropped)}.")
    return tuple(notes)


def _export_notes(plan: Plan, synthetic: Dataset) -> tuple[str, ...]:
    """What writing changes in the released file; synthetic cells only."""
    treatments = {"csv": "the CSV file has an apostrophe before each", "xlsx": "the workbook marks each as text"}
    treatment = treatments.get(plan.release.format)
    formulas = count_formulas(synthetic.frame) if treatment else 0
    return (f"{formulas} text cells begin like a spreadsheet formula; {treatment}.",) if formulas else ()


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
    reports = {(edition, format): face for edition, own in content.items() for format, face in render.faces(own).items()}
    return replace(release, verdict=full["verdict"]["light"], ledger_head=full["ledger_head"], summary=full, reports=reports)
