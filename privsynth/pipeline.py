"""The main job: from a plan to a release, stage by stage.

Everything that can be refused is refused before the ledger is touched; the whole sequence of mechanisms is reserved before
the first one runs; data leaves only in the last stage, in one step, and only if no judgement failed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from privsynth import __version__, registry, sources
from privsynth.audit.base import AuditRun
from privsynth.config import Plan
from privsynth.dataset import Dataset, Split, benchmark_split, conform, split_by_unit
from privsynth.errors import PIIError, PlanError, ReleaseError, SchemaError
from privsynth.privacy import DiscreteGaussian, Internal, Ledger, NoiseSource, NonPrivate, Reservation, SystemNoise, Touch, calibrate
from privsynth.privacy.accounting import delta_limit, total
from privsynth.privacy.events import to_json
from privsynth.privacy.ledger import Population
from privsynth.release import Edition, Measurements, Release, folder_in_one_step, manifest, require_writable, write_json
from privsynth.report import policy as policies
from privsynth.report import render, summary
from privsynth.schema import Column, Schema, Table
from privsynth.tabular.base import FittedModel, Synthesizer, require_modelled

STAGES = ("read", "scan for personal data", "reserve", "split and fit", "sample", "audit", "measure quality", "write")

SMALLEST_SIGNAL = 10.0
"""A run needs this many times as many people as the standard deviation of the noise on a count."""

COINCIDENT = ("PERSON", "STREET_ADDRESS")
"""Types whose invented values may equal a real one by chance; all others come from ranges that no real person has."""

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
    progress: Progress | None = None,
    notes: Sequence[str] = (),
) -> Release:
    """Turn the plan's data into a release folder with evidence.

    Args:
        plan: What a person decided.
        ledger: Where the cost is written; the user's ledger by default.
        internal: Folder for everything that may not be handed over; beside the ledger by default.
        noise: Where protecting randomness comes from; the operating system by default, a fake only in tests.
        rng: Sampling and attacks; fresh randomness by default.
        benchmark: Use the fixed 80/20 permutation of published figures; stamps the output as insecure.
        progress: Told as stages move on.
        notes: Put first into both editions of the report.

    Returns:
        The release. If a judgement failed, ``folder`` is None: the data were kept internal and not exported.

    Raises:
        PrivSynthError: With one line that says what to do; nothing half-written is left.
    """
    start = time.perf_counter()
    ledger = ledger or Ledger.open()
    noise, rng = noise or SystemNoise(), rng or np.random.default_rng()
    step = _Steps(progress)
    policy = policies.Policy.load(plan.path_of(plan.audit.policy) if plan.audit.policy else None)
    folder, internal = _folders(plan, ledger, internal)

    step("read")
    dataset, clipped = read(plan)
    engine = synthesizer(plan)
    require_modelled(dataset.table)
    _require_people(plan, dataset, engine)
    step("scan for personal data")
    scan = _scan(plan, dataset, rng)
    step("reserve")
    touches, noise_scale = plan_touches(plan, dataset.schema, engine)
    population = Population(name=plan.dataset.name, units=dataset.identities(), distinct_from=plan.dataset.distinct_from)
    with ledger.reserve(
        population, touches, budget=plan.budget, noise_scale=noise_scale, noise=noise, purpose=plan.release.purpose
    ) as reservation:
        step("split and fit")
        split = _split(plan, dataset, reservation, benchmark=benchmark)
        model = engine.fit(split.train, reservation=reservation)
        step("sample")
        synthetic = _sample(plan, model, dataset.schema, rng)
        step("audit")
        measurements = _measure(plan, dataset, split, synthetic, model, scan, clipped, reservation, rng=rng, step=step)
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
            notes=(*notes, *([BENCHMARK_NOTE] if benchmark else []), *_plan_notes(dataset.table)),
            seconds=time.perf_counter() - start,
        )
        release = _judged(release, policy)
        step("write")
        release = _written(release, model, ledger, folder=folder, internal=internal)
    step("done")
    return release


def read(plan: Plan) -> tuple[Dataset, dict[str, int]]:
    """The plan's table, typed and checked, and how many values were clipped by column."""
    schema = plan.declared_schema()
    section = plan.tables[plan.table_name]
    reading = sources.read(
        plan.path_of(section.path), encoding=section.encoding, delimiter=section.delimiter, null_values=section.null_values
    )
    table = schema.tables[0]
    frame, clipped = conform(reading.frame, schema, table, on_violation=section.on_violation)
    dataset = Dataset(tables={table.name: frame}, schema=schema, role="confidential")
    _require_determined(dataset)
    return dataset, clipped


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


def plan_touches(plan: Plan, schema: Schema, engine: Synthesizer) -> tuple[tuple[Touch, ...], float]:
    """Every planned use of private data, in order, and the noise scale at which it costs the plan's epsilon.

    Raises:
        BudgetExceededError: No noise makes the plan fit its budget.
    """
    table = schema.tables[0]
    noise_scale = calibrate(lambda scale: engine.touches(table, noise_scale=scale, budget=plan.budget), plan.budget)
    unproven = [
        Touch("facts", f"{' and '.join(facts)} of {column.name}, read off the data", NonPrivate())
        for column in table.columns
        if (facts := [fact for fact, source in column.sources.items() if source == "data"])
    ]
    if unproven and math.isfinite(plan.budget.epsilon):
        raise PlanError(
            f"facts of {len(unproven)} columns come from the data, which epsilon={plan.budget.epsilon:g} cannot pay for; "
            "look at every column of the plan and set confirmed = true, or write epsilon = inf"
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


def _folders(plan: Plan, ledger: Ledger, internal: str | Path | None) -> tuple[Path, Path | None]:
    """The release folder and the internal one, both writable and apart."""
    folder = plan.path_of(plan.release.folder)
    require_writable(folder)
    if internal is None:
        return folder, None
    internal = Path(internal).resolve()
    if internal == folder.resolve() or folder.resolve() in internal.parents:
        raise ReleaseError(f"internal={str(internal)!r} lies inside the release folder; choose a place that is not handed over")
    require_writable(internal)
    return folder, internal


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
                    f"first in row {int(np.flatnonzero(broken)[0]) + 2}; correct them or the map"
                )


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
    touches, _ = plan_touches(plan, dataset.schema, engine)
    needed = smallest_people(touches, rows_per_person=dataset.table.max_rows_per_person)
    if people < needed:
        raise PlanError(f"people={people} are too few for epsilon={plan.budget.epsilon:g}; expected at least {needed}, or a larger epsilon")


def _scan(plan: Plan, dataset: Dataset, rng: np.random.Generator) -> Any:
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


def _split(plan: Plan, dataset: Dataset, reservation: Reservation, *, benchmark: bool) -> Split:
    for touch in reservation.touches:
        if touch.stage == "facts":
            reservation.spend(touch.stage, touch.label)
    reservation.spend("read", "the file, checked against declared facts")
    reservation.spend("pii", "scan of every column")
    if benchmark:
        return benchmark_split(dataset)
    return split_by_unit(dataset, pool_rate=plan.pool_rate, noise=reservation.noise)


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


def _measure(
    plan: Plan,
    dataset: Dataset,
    split: Split,
    synthetic: Dataset,
    model: FittedModel,
    scan: Any,
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
        progress=lambda done, total, label: step.tell(f"audit: {label}", done, total),
    )
    reservation.spend("audit", "replay of personal values")
    personal = {
        column.name: column.pii
        for column in table.columns
        if column.pii is not None and column.pii not in COINCIDENT and not column.is_modelled
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
        columns=tuple(model.column_reports),
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


def _judged(release: Release, policy: policies.Policy) -> Release:
    judgements = policies.judge(
        policy,
        run=release.measurements.audit,
        cost=release.cost,
        sensitivity=release.plan["release"]["sensitivity"],
        traces=release.measurements.pii_replay,
        holdout_people=release.measurements.people["holdout"],
        notes=[BENCHMARK_NOTE] if release.insecure else [],
    )
    full = summary.build(release, policy=policy, judgements=judgements)
    content: dict[Edition, Any] = {"vendor": summary.vendor(full), "internal": full}
    reports = {(edition, format): render.render(content[edition], format) for edition in get_args(Edition) for format in render.FORMATS}
    return replace(release, verdict=policies.verdict(judgements), summary=full, reports=reports)


def _written(release: Release, model: FittedModel, ledger: Ledger, *, folder: Path, internal: Path | None) -> Release:
    """Write the internal folder always, the release folder unless a judgement failed; each in one step."""
    name = release.plan["dataset"]["name"]
    internal = internal or ledger.path.parent / "internal" / f"{_file_name(name)}-{release.event_id}"
    blocked = release.verdict == "fail"
    with folder_in_one_step(internal, mode=0o700) as draft:
        files = _internal_files(release, ledger)
        for path, text in files.items():
            (draft / path).write_text(text, encoding="utf-8")
        model.save(draft / "model")
        if blocked:
            (draft / "not-exported").mkdir()
            _write_tables(release, draft / "not-exported")
    if blocked:
        return replace(release, internal=internal)
    with folder_in_one_step(folder) as draft:
        (draft / "data").mkdir()
        _write_tables(release, draft / "data")
        for format in render.FORMATS:
            (draft / f"report.{format}").write_text(release.report("vendor", format), encoding="utf-8")
        key = ledger.local_key("hashes of internal files")
        write_json(
            draft / "manifest.json",
            manifest(draft, release=_manifest_facts(release), internal={path: text.encode() for path, text in files.items()}, key=key),
        )
    return replace(release, internal=internal, folder=folder)


def _write_tables(release: Release, folder: Path) -> None:
    for name, frame in release.tables.items():
        sources.write(frame, folder / f"{_file_name(name)}.{release.plan['release']['format']}")


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
        "epsilon": release.cost.epsilon if math.isfinite(release.cost.epsilon) else None,
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
    require_modelled(table)
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
        smallest_people=smallest_people(touches, rows_per_person=table.max_rows_per_person),
        people=people,
        outside=(
            *summary.OUTSIDE,
            *(f"column {column.name!r}: {column.kind}, left out" for column in table.columns if column.kind == "text"),
        ),
        verdicts=_reachable(plan, policy, cost.epsilon),
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
    held_out = people * plan.pool_rate / 2 * 0.7
    if held_out < policy.holdout.smallest:
        lines.append(f"attacks: cannot pass: about {held_out:.0f} people held out, the policy asks for {policy.holdout.smallest}")
        return tuple(lines)
    # Hanley & McNeil (1982) at AUC 1/2 with many members: the variance is 1 / (12 * non-members).
    half_width = 1.96 * math.sqrt(1 / (12 * held_out))
    reach = "within reach" if 0.5 + half_width < policy.membership.auc else "cannot pass"
    lines.append(
        f"membership inference: {reach}: an AUC of 1/2 would be known to ±{half_width:.3f}, the limit is {policy.membership.auc:g}"
    )
    return tuple(lines)
