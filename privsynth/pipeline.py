"""The main job: from a plan to a release, stage by stage.

Everything that can be refused is refused before the ledger is touched; the whole sequence of mechanisms is reserved before
the first one runs; data leaves only in the last stage, in one step, and only if no judgement failed.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from privsynth import __version__, registry, sources, stages
from privsynth.audit.base import AuditRun
from privsynth.audit.power import MOST_ISOLATED, reachable
from privsynth.config import Plan
from privsynth.dataset import TUNING_RATE, Dataset, Split, benchmark_split, conform, draw_parts, fingerprint, split_by_parts
from privsynth.errors import PIIError, PlanError, PrivSynthError, ReleaseError, SchemaError, records
from privsynth.pii.columns import ScanReport
from privsynth.privacy import DiscreteGaussian, Internal, Ledger, NoiseSource, Reservation, SystemNoise, Touch, calibrate
from privsynth.privacy.accounting import delta_limit, total
from privsynth.privacy.events import to_json
from privsynth.privacy.ledger import Population
from privsynth.release import (
    Edition,
    Measurements,
    Release,
    event_id_of,
    folder_in_one_step,
    manifest,
    require_writable,
    write_json,
)
from privsynth.report import policy as policies
from privsynth.report import render, summary
from privsynth.schema import Column, Schema, Table
from privsynth.stages import RunFacts, RunFolder
from privsynth.tabular import constraints
from privsynth.tabular.base import ColumnReport, FittedModel, Synthesizer, require_modelled, unproven_facts

STAGES = ("read", "scan for personal data", "reserve", "split and fit", "sample", "audit", "measure quality", "write")

MOST_COLUMNS = 500
"""Modelled columns: engines choose among pairs of columns, and the time for that grows with the third power."""

SMALLEST_SPACE = 32 * 2**20
"""Free bytes that a run needs for its reports, its model and the ledger."""

COPIES = 4
"""How often a run writes its synthetic rows, drafts included, as a multiple of the size of as many rows of the source."""

SMALLEST_SIGNAL = 10.0
"""A run needs this many times as many people as the standard deviation of the noise on a count."""

RESERVED = ("EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "NATIONAL_ID", "CREDIT_CARD", "ID")
"""Types that are invented from ranges no real person has: an original value in the release is a trace, never a coincidence."""

BENCHMARK_NOTE = (
    "Insecure: the split is a fixed permutation that anyone can repeat (--benchmark-split). For benchmarks only; not to be released."
)


Edges = tuple[tuple[str, ...], ...]
"""Sets of column names that a graphical model holds."""

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
    earlier = _interrupted(plan, ledger, internal) if resume else None
    folder = plan.path_of(plan.release.folder)
    _require_places(folder, internal, earlier)

    event_id = earlier.facts.event_id if earlier else secrets.token_hex(8)
    # Written before the data is read: a run that is refused leaves a trace too, at no cost.
    ledger.note(plan.dataset.name, "attempt", {"id": event_id})
    step("read")
    dataset, clipped = read(plan)
    engine = synthesizer(plan)
    _require_modelled(dataset.table)
    _require_people(plan, dataset, engine)
    facts = _facts(plan, dataset, policy, ledger, event_id=event_id, folder=folder, benchmark=benchmark)
    step("scan for personal data")
    if earlier is None:
        _refuse_second_run(ledger, facts, internal)
        scan = _scan(plan, dataset, rng)
        _require_space(plan, dataset, ledger, folder, internal)
    else:
        _require_unchanged(earlier, facts)
        scan = _load_scan(earlier) if earlier.finished("scan") else _scan(plan, dataset, rng)
    touches, noise_scale = plan_touches(plan, dataset.schema, engine)
    for line in _out_of_reach(plan, policy, total(touches, plan.budget.delta).epsilon, people=dataset.count_units()):
        (warn or _say_nothing)(line)
    step("reserve")
    population = Population(name=plan.dataset.name, units=dataset.identities(), distinct_from=plan.dataset.distinct_from)
    work = earlier or _started(_internal_place(ledger, internal, facts), facts, scan)
    with (
        work.locked(),
        _reserved(work, ledger, population, touches, engine, scan, plan=plan, noise_scale=noise_scale, noise=noise) as reservation,
    ):
        step("split and fit")
        split = _split(work, plan, dataset, reservation, benchmark=benchmark)
        synthetic, columns, edges = _synthetic(work, plan, engine, split, reservation, rng, step)
        step("audit")
        measurements = _measurements(
            work, lambda: _measure(dataset, split, synthetic, columns, edges, scan, clipped, reservation, rng=rng, step=step)
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
                *engine_notes(engine),
                *_plan_notes(dataset.table),
                *_export_notes(plan, synthetic),
            ),
            seconds=time.perf_counter() - start,
        )
        release = _judged(work, release, policy)
        step("write")
        release = _written(work, release, ledger, folder=folder)
    work.close("blocked" if release.folder is None else "finished")
    step("done")
    return release


def _say_nothing(line: str) -> None:
    """For a caller who wants no warnings."""


def _interrupted(plan: Plan, ledger: Ledger, internal: str | Path | None) -> RunFolder:
    """The run that ``resume`` goes on with: in the folder named, or the latest of this dataset."""
    if internal is not None:
        found = [RunFolder.open(Path(internal).resolve())]
    else:
        found = stages.unfinished(_internal_home(ledger), dataset=plan.dataset.name)
    if not found:
        raise ReleaseError(
            f"dataset {plan.dataset.name!r} has no interrupted run; start one without --resume, or name its folder: --internal"
        )
    run = found[-1]
    if run.facts.state != "unfinished":
        raise ReleaseError(
            f"run={str(run.path)!r} is {run.facts.state}: there is nothing to resume; start a new run, which is charged again"
        )
    return run


def _facts(
    plan: Plan, dataset: Dataset, policy: policies.Policy, ledger: Ledger, *, event_id: str, folder: Path, benchmark: bool
) -> RunFacts:
    """What a run may not change between its start and its end."""
    return RunFacts(
        event_id=event_id,
        dataset=plan.dataset.name,
        # the schema holds the content of the public maps, which are files of their own
        plan=stages.hash_of(plan.model_dump_json(exclude={"base"}), stages.canonical(dataset.schema), policy.sha256),
        data=fingerprint(dataset.frame, ledger.local_key("fingerprint of data")),
        benchmark=benchmark,
        release=str(folder.resolve()),
    )


def _refuse_second_run(ledger: Ledger, facts: RunFacts, internal: str | Path | None) -> None:
    """A second run of an interrupted plan would pay twice for what resuming gives for nothing."""
    if internal is not None:
        return
    for run in stages.unfinished(_internal_home(ledger), dataset=facts.dataset):
        if not stages.differences(run, facts):
            raise ReleaseError(
                f"run={str(run.path)!r} of this plan was interrupted or is still at work; "
                f"go on with --resume, or remove it: privsynth purge {run.path}"
            )


def _require_unchanged(run: RunFolder, facts: RunFacts) -> None:
    """Refuse to go on with an interrupted run whose plan or data is another."""
    changed = stages.differences(run, facts)
    if changed:
        raise ReleaseError(
            f"run={str(run.path)!r} was started with other facts: {' and '.join(changed)} changed; "
            "put them back to resume, or start a new run, which is charged again"
        )


def _save_scan(run: RunFolder, scan: ScanReport) -> None:
    with run.writing("scan") as draft:
        stages.save_values(scan, draft / "scan.json")


def _load_scan(run: RunFolder) -> ScanReport:
    with run.reading("scan") as stored:
        return stages.load_values(ScanReport, stored / "scan.json")


def _started(place: Path, facts: RunFacts, scan: ScanReport) -> RunFolder:
    run = RunFolder.create(place, facts)
    try:
        _save_scan(run, scan)
    except ReleaseError:
        run.remove()
        raise
    return run


@contextmanager
def _reserved(
    run: RunFolder,
    ledger: Ledger,
    population: Population,
    touches: tuple[Touch, ...],
    engine: Synthesizer,
    scan: ScanReport,
    *,
    plan: Plan,
    noise_scale: float,
    noise: NoiseSource,
) -> Iterator[Reservation]:
    """The run's reservation, fresh or taken up again; a run that spent nothing leaves nothing behind."""
    event_id = run.facts.event_id
    if not run.finished("scan"):
        _save_scan(run, scan)
    if ledger.holds(event_id) or run.finished("split"):
        reservation = ledger.resume(
            population,
            touches,
            budget=plan.budget,
            noise_scale=noise_scale,
            event_id=event_id,
            finished=_spent_before(run, engine),
            written=_written_before(run, engine) if math.isfinite(plan.budget.epsilon) else None,
            noise=noise,
        )
        run.discard_drafts()
    else:
        try:
            reservation = ledger.reserve(
                population,
                touches,
                budget=plan.budget,
                noise_scale=noise_scale,
                noise=noise,
                purpose=plan.release.purpose,
                event_id=event_id,
            )
        except PrivSynthError:
            run.remove()
            raise
    try:
        with reservation:
            yield reservation
    except BaseException:
        if not reservation.is_charged:
            run.remove()
        raise


def _fits_again(run: RunFolder, engine: Synthesizer) -> bool:
    """Whether the mechanisms have to run: there are no synthetic rows yet, and no model that could be read back."""
    return not run.finished("synthetic") and not (run.finished("model") and hasattr(engine, "load"))


def _spent_before(run: RunFolder, engine: Synthesizer) -> list[str]:
    """Stages of touches that an earlier attempt spent and that do not run again."""
    spent = ["facts", "read", "pii"] if run.finished("split") else []
    spent += [] if _fits_again(run, engine) else ["tables"]
    return [*spent, "audit", "quality"] if run.finished("measurements") else spent


def _written_before(run: RunFolder, engine: Synthesizer) -> str | None:
    """The output of mechanisms that was written and will be thrown away: what is charged again."""
    if not _fits_again(run, engine):
        return None
    # A finished model that cannot be read back has no name of its own: each time it is thrown away counts.
    return f"model {secrets.token_hex(4)}" if run.finished("model") else run.partial("model")


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


def synthesizer(plan: Plan) -> Synthesizer:
    """The engine that the plan names, with the plan's settings."""
    engine: Any = registry.synthesizer(plan.synthesis.tables)
    try:
        built: Synthesizer = engine(**plan.synthesis.settings)
    except TypeError:
        known = list(getattr(engine, "__dataclass_fields__", {}))
        unknown = next((key for key in plan.synthesis.settings if key not in known), "settings")
        raise PlanError(
            f"synthesis.settings has {unknown!r}; {plan.synthesis.tables!r} takes {', '.join(known)}{registry.hint(unknown, known)}"
        ) from None
    return built


def engine_notes(engine: Synthesizer) -> tuple[str, ...]:
    """What a reader of the report has to know of an engine: that it has no guarantee, or somebody's licence."""
    return tuple(getattr(engine, "notes", ()))


def plan_touches(plan: Plan, schema: Schema, engine: Synthesizer) -> tuple[tuple[Touch, ...], float]:
    """Every planned use of private data, in order, and the noise scale at which it costs the plan's epsilon.

    Raises:
        BudgetExceededError: No noise makes the plan fit its budget.
    """
    table = schema.tables[0]
    noise_scale = calibrate(lambda scale: engine.touches(table, noise_scale=scale, budget=plan.budget), plan.budget)
    unproven = unproven_facts(table)
    if unproven and math.isfinite(plan.budget.epsilon):
        raise PlanError(
            f"facts of {len(unproven)} columns come from the data, which epsilon={plan.budget.epsilon:g} cannot pay for; "
            "look at every column of the plan and set confirmed = true"
        )
    before = [Touch("read", "the file, checked against declared facts", Internal()), Touch("pii", "scan of every column", Internal())]
    after = [
        Touch("audit", "attacks and controls", Internal()),
        Touch("audit", "replay of personal values", Internal()),
        Touch("quality", "distances between marginals", Internal()),
    ]
    if table.target:
        after.append(Touch("quality", "train on synthetic, test on real", Internal()))
    return (*unproven, *before, *engine.touches(table, noise_scale=noise_scale, budget=plan.budget), *after), noise_scale


def smallest_people(touches: Sequence[Touch], *, rows_per_person: int) -> int:
    """How many people a plan needs for its counts to rise above its noise."""
    multipliers = [touch.event.noise_multiplier for touch in touches if isinstance(touch.event, DiscreteGaussian)]
    return math.ceil(SMALLEST_SIGNAL * rows_per_person * float(np.median(multipliers))) if multipliers else 100


def people_needed(plan: Plan, table: Table, engine: Synthesizer, touches: Sequence[Touch], noise_scale: float) -> int:
    """How many people a plan needs: for its counts, and for what the engine asks of its training rows."""
    needed = smallest_people(touches, rows_per_person=table.max_rows_per_person)
    of_engine = getattr(engine, "smallest_people", None)
    return max(needed, math.ceil(of_engine(table, noise_scale=noise_scale) / (1 - plan.pool_rate / 2))) if of_engine else needed


def _engine_reach(plan: Plan, table: Table, engine: Synthesizer, noise_scale: float) -> tuple[str, ...]:
    """What an engine says of its own noise, from declared facts."""
    preflight = getattr(engine, "preflight", None)
    rows = None if plan.dataset.people is None else int(plan.dataset.people * (1 - plan.pool_rate / 2))
    return tuple(preflight(table, noise_scale=noise_scale, rows=rows)) if preflight else ()


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


def _require_places(folder: Path, internal: str | Path | None, earlier: RunFolder | None) -> None:
    """Refuse a release folder or an internal folder that cannot be written, or that do not lie apart."""
    if earlier is None or event_id_of(folder) != earlier.facts.event_id:
        require_writable(folder)
    if internal is None:
        return
    inside = Path(internal).resolve()
    if inside == folder.resolve() or folder.resolve() in inside.parents:
        raise ReleaseError(f"internal={str(inside)!r} lies inside the release folder; choose a place that is not handed over")
    if earlier is None:
        require_writable(inside)


def _internal_home(ledger: Ledger) -> Path:
    """Where internal folders lie unless a person says otherwise."""
    return ledger.path.parent / "internal"


def _internal_place(ledger: Ledger, internal: str | Path | None, facts: RunFacts) -> Path:
    if internal is not None:
        return Path(internal).resolve()
    return _internal_home(ledger) / f"{_file_name(facts.dataset)}-{facts.event_id}"


def _require_space(plan: Plan, dataset: Dataset, ledger: Ledger, folder: Path, internal: str | Path | None) -> None:
    """Refuse a full disk before anything is spent."""
    section = plan.tables[plan.table_name]
    bytes_per_row = plan.path_of(section.path).stat().st_size / len(dataset.frame)
    needed = SMALLEST_SPACE + round(COPIES * bytes_per_row * plan.synthesis.rows)
    for place in {ledger.path.parent, Path(internal or _internal_home(ledger)), folder}:
        existing = next(path for path in (place, *place.resolve().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise ReleaseError(
                f"disk of {str(place)!r} has {free / 1e6:.0f} MB free; expected {needed / 1e6:.0f} MB: free space or choose another"
            )


def _out_of_reach(plan: Plan, policy: policies.Policy, epsilon: float, *, people: int) -> list[str]:
    """Which judgements cannot pass with these people, in sentences; for the operator's eyes."""
    counted = plan.model_copy(update={"dataset": plan.dataset.model_copy(update={"people": people})})
    return [line for line in _reachable(counted, policy, epsilon) if "cannot pass" in line]


def _require_modelled(table: Table) -> None:
    """Refuse a table without a column to model, or with so many that choosing among their pairs would take hours."""
    columns = require_modelled(table)
    if len(columns) > MOST_COLUMNS:
        raise PlanError(
            f"columns={len(columns)} of table {table.name!r} would be modelled; expected at most {MOST_COLUMNS}: "
            'leave columns out with kind = "drop", or release the table in parts'
        )


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


def _require_people(plan: Plan, dataset: Dataset, engine: Synthesizer) -> None:
    """Refuse, before anything is spent, a delta too large or people too few."""
    people = dataset.count_units()
    limit = delta_limit(people)
    if plan.budget.delta > limit:
        raise PlanError(f"delta={plan.budget.delta:g}; expected at most 1/(10 x people) = {limit:.3g} for {people} people")
    if len(dataset.frame) < 2:
        raise SchemaError(f"rows={len(dataset.frame)}; one row cannot be protected: expected many people")
    for column in dataset.table.modelled:
        if bool(dataset.frame[column.name].isna().all()):
            raise SchemaError(f'column {column.name!r} holds no value at all; leave it out with kind = "drop"')
    touches, noise_scale = plan_touches(plan, dataset.schema, engine)
    needed = people_needed(plan, dataset.table, engine, touches, noise_scale)
    if people < needed:
        # Noise shrinks nearly as 1 / epsilon.
        enough = plan.budget.epsilon * needed / people
        raise PlanError(
            f"people={people} are too few for epsilon={plan.budget.epsilon:g}; expected at least {needed}, or epsilon of about {enough:.2g}"
        )


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
    invented = {column.name: _pii_type(column) for column in table.columns if not column.is_modelled and column.kind != "text"}
    people = pii.regenerate(plan.synthesis.rows, invented, rng=rng, given=modelled)
    kept = [column for column in table.columns if column.kind != "text" or column.pii is not None]
    frame = pd.DataFrame({column.name: (modelled if column.name in modelled else people)[column.name] for column in kept})
    released = replace(schema, tables=(table.with_columns(kept),))
    return Dataset(tables={table.name: frame}, schema=released, role="synthetic")


def _pii_type(column: Column) -> str:
    return column.pii or "ID"


def _measurements(run: RunFolder, measure: Callable[[], Measurements]) -> Measurements:
    """All internal figures, measured once: measuring again would offer another verdict to choose from."""
    if not run.finished("measurements"):
        measured = measure()
        with run.writing("measurements") as draft:
            stages.save_values(measured, draft / "measurements.json")
    with run.reading("measurements") as stored:
        return stages.load_values(Measurements, stored / "measurements.json")


def _measure(
    dataset: Dataset,
    split: Split,
    synthetic: Dataset,
    columns: tuple[ColumnReport, ...],
    edges: Edges,
    scan: ScanReport,
    clipped: dict[str, int],
    reservation: Reservation,
    *,
    rng: np.random.Generator,
    step: _Steps,
) -> Measurements:
    """All internal figures: attacks, traces, fidelity, utility."""
    from privsynth import audit, pii
    from privsynth.audit.fidelity import fidelity
    from privsynth.audit.utility import train_on_synthetic

    table = dataset.table
    reservation.spend("audit", "attacks and controls")
    attacks: AuditRun = audit.run(
        split.train,
        split.holdout,
        synthetic,
        rng=rng,
        edges=[edge for edge in edges if set(edge) <= {column.name for column in synthetic.table.modelled}],
        progress=lambda done, total, label: step.tell(f"audit: {label}", done, total),
    )
    reservation.spend("audit", "replay of personal values")
    personal = {
        column.name: _pii_type(column)
        for column in table.columns
        if column.kind != "text" and not column.is_modelled and _pii_type(column) in RESERVED
    }
    traces = pii.pii_replay(dataset.frame, synthetic.frame, personal)
    step("measure quality")
    reservation.spend("quality", "distances between marginals")
    distances = fidelity(split.train, split.tuning, synthetic, rng=rng)
    utility = None
    if table.target:
        reservation.spend("quality", "train on synthetic, test on real")
        utility = train_on_synthetic(split.train, split.tuning, synthetic, table.target, rng=rng)
    parts = {"train": split.train, "holdout": split.holdout, "tuning": split.tuning}
    return Measurements(
        audit=attacks,
        fidelity=distances,
        utility=utility,
        pii_scan=scan,
        pii_replay=traces,
        columns=columns,
        people={name: part.count_units() for name, part in parts.items()},
        rows={name: len(part.frame) for name, part in parts.items()},
        clipped=clipped,
    )


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


def _written(run: RunFolder, release: Release, ledger: Ledger, *, folder: Path) -> Release:
    """Write the internal files always, and the release folder in one step unless a judgement failed."""
    blocked = release.verdict == "fail"
    release = replace(release, internal=run.path, folder=None if blocked else folder)
    if event_id_of(folder) == release.event_id:  # an interrupted attempt had come as far as this
        return release
    files = _internal_files(release, ledger)
    for name, text in files.items():
        run.write_file(name, text)
    run.keep("model")
    if blocked:
        with run.writing_folder("not-exported") as draft:
            _write_tables(release, draft)
        return release
    with folder_in_one_step(folder, event_id=release.event_id) as draft:
        (draft / "data").mkdir()
        _write_tables(release, draft / "data")
        for format in render.FORMATS:
            (draft / f"report.{format}").write_text(release.report("vendor", format), encoding="utf-8")
        internal = {path: text.encode() for path, text in files.items()}
        write_json(draft / "manifest.json", manifest(draft, release=_manifest_facts(release), internal=internal, key=run.key))
    return release


def _write_tables(release: Release, folder: Path) -> None:
    for name, frame in release.tables.items():
        sources.write(frame, folder / f"{_file_name(name)}.{release.plan['release']['format']}", table=release.schema[name])


def _internal_files(release: Release, ledger: Ledger) -> dict[str, str]:
    """Name and text of every internal file but the model."""
    name = release.plan["dataset"]["name"]
    entries = [
        {"number": entry.number, "kind": entry.kind, "time": entry.time, "hash": entry.hash, "body": dict(entry.body)}
        for entry in ledger.entries()
        if entry.population == name and entry.kind != "sketch"
    ]
    return {
        "report.json": release.report("internal", "json"),
        "report.html": release.report("internal", "html"),
        "plan.json": json.dumps(release.plan, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "ledger.json": json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
    }


def _manifest_facts(release: Release) -> dict[str, Any]:
    """What the manifest says besides files; nothing of it is computed from the number of people."""
    return {
        "tool": {"name": "privsynth", "version": __version__},
        "event_id": release.event_id,
        "ledger_head": release.ledger_head,
        "synthetic": True,
        "insecure": release.insecure,
        "epsilon": release.cost.epsilon if math.isfinite(release.cost.epsilon) and not release.insecure else None,
        "delta": release.cost.delta,
        "relation": "add or remove one person",
        "events": [to_json(touch) for touch in release.touches if touch.touch_class == "dp"],
    }


def _file_name(name: str) -> str:
    """A table's or dataset's name as a file name: letters, digits, dot, dash and underscore."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name) or "table"


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a plan will do, from declared facts alone.

    Attributes:
        touches: Every planned use of private data.
        noise_scale: What the noise was solved to.
        epsilon: Cost of all touches at the plan's delta.
        smallest_people: People below which noise exceeds signal.
        people: Declared number of people, or None.
        outside: What will be outside the guarantee.
        verdicts: Which lights are within reach, in sentences.
    """

    touches: tuple[Touch, ...]
    noise_scale: float
    epsilon: float
    smallest_people: int
    people: int | None
    outside: tuple[str, ...]
    verdicts: tuple[str, ...]


def check(plan: Plan) -> Preflight:
    """What a plan can deliver; reads the plan, the policy and public maps, and no private data."""
    schema = plan.declared_schema()
    table = schema.tables[0]
    _require_modelled(table)
    engine = synthesizer(plan)
    policy = policies.Policy.load(plan.path_of(plan.audit.policy) if plan.audit.policy else None)
    touches, noise_scale = plan_touches(plan, schema, engine)
    cost = total(touches, plan.budget.delta)
    people = plan.dataset.people
    if people is not None and plan.budget.delta > delta_limit(people):
        raise PlanError(
            f"delta={plan.budget.delta:g}; expected at most 1/(10 x people) = {delta_limit(people):.3g} for {people} declared people"
        )
    return Preflight(
        touches=touches,
        noise_scale=noise_scale,
        epsilon=cost.epsilon,
        smallest_people=people_needed(plan, table, engine, touches, noise_scale),
        people=people,
        outside=(
            *summary.OUTSIDE,
            *(f"column {column.name!r}: {column.kind}, left out" for column in table.columns if column.kind == "text"),
        ),
        verdicts=(*engine_notes(engine), *_engine_reach(plan, table, engine, noise_scale), *_reachable(plan, policy, cost.epsilon)),
    )


def _reachable(plan: Plan, policy: policies.Policy, epsilon: float) -> tuple[str, ...]:
    """Which judgements can pass at all, given declared facts."""
    limit = policy.guarantee.largest_epsilon[plan.release.sensitivity]
    lines = []
    if epsilon > limit:
        lines.append(
            f"guarantee: cannot pass: epsilon {epsilon:.3g} is above the policy's {limit:g} at sensitivity {plan.release.sensitivity}"
        )
    people = plan.dataset.people
    if people is None:
        return (*lines, "attacks: declare people under [dataset] to see whether they have power")
    held_out = round(people * plan.pool_rate / 2 * (1 - TUNING_RATE))
    limits = policy.membership
    found = reachable(
        round(people * (1 - plan.pool_rate / 2)),
        held_out,
        plan.synthesis.rows,
        auc=limits.auc,
        true_positive_rates={0.01: limits.true_positive_rate_at_1_percent, 0.001: limits.true_positive_rate_at_0_1_percent},
        largest_excess=policy.criteria.largest_excess,
        largest_floor=policy.replay.largest_floor,
        smallest_holdout=policy.holdout.smallest,
        replay_p_value=policy.replay.p_value,
    )
    for reach in found:
        may_be_missing = reach.subject == MOST_ISOLATED and not limits.vulnerable_tenth_required
        missed = "will not be measured, which the policy allows" if may_be_missing else "cannot pass"
        lines.append(f"{reach.subject}: {'within reach' if reach.reachable else missed}: {reach.reason}")
    return tuple(lines)
