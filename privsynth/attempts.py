"""One attempt at a plan: where it may write, whether it goes on with an interrupted one, and what the ledger is asked for."""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privsynth import stages
from privsynth.config import Plan
from privsynth.dataset import Dataset, fingerprint
from privsynth.errors import PrivSynthError, ReleaseError
from privsynth.pii.columns import ScanReport
from privsynth.privacy import Ledger, NoiseSource, Reservation, Touch
from privsynth.privacy.ledger import Population
from privsynth.publishing import file_name
from privsynth.release import event_id_of, require_writable
from privsynth.report import policy as policies
from privsynth.stages import RunFacts, RunFolder
from privsynth.tabular.base import Synthesizer

SMALLEST_SPACE = 32 * 2**20
"""Free bytes that a run needs for its reports, its model and the ledger."""


COPIES = 4
"""How often a run writes its synthetic rows, drafts included, as a multiple of the size of as many rows of the source."""


def interrupted(plan: Plan, ledger: Ledger, internal: str | Path | None) -> RunFolder:
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


def facts_of(
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


def refuse_second_run(ledger: Ledger, facts: RunFacts, internal: str | Path | None) -> None:
    """A second run of an interrupted plan would pay twice for what resuming gives for nothing."""
    if internal is not None:
        return
    for run in stages.unfinished(_internal_home(ledger), dataset=facts.dataset):
        if not stages.differences(run, facts):
            raise ReleaseError(
                f"run={str(run.path)!r} of this plan was interrupted or is still at work; "
                f"go on with --resume, or remove it: privsynth purge {run.path}"
            )


def require_unchanged(run: RunFolder, facts: RunFacts) -> None:
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


def load_scan(run: RunFolder) -> ScanReport:
    """What the interrupted attempt had found of personal data."""
    with run.reading("scan") as stored:
        return stages.load_values(ScanReport, stored / "scan.json")


def started(place: Path, facts: RunFacts, scan: ScanReport) -> RunFolder:
    """A new run folder at ``place`` that holds the scan; no folder if it could not be written."""
    run = RunFolder.create(place, facts)
    try:
        _save_scan(run, scan)
    except ReleaseError:
        run.remove()
        raise
    return run


@contextmanager
def reserved(
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
    spent += ["text"] if run.finished("text-model") or run.finished("synthetic") else []
    return [*spent, "audit", "quality"] if run.finished("measurements") else spent


def _written_before(run: RunFolder, engine: Synthesizer) -> str | None:
    """The output of mechanisms that was written and will be thrown away: what is charged again."""
    if not _fits_again(run, engine):
        return None
    # A finished model that cannot be read back has no name of its own: each time it is thrown away counts.
    return f"model {secrets.token_hex(4)}" if run.finished("model") else run.partial("model")


def require_places(folder: Path, internal: str | Path | None, earlier: RunFolder | None) -> None:
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


def internal_place(ledger: Ledger, internal: str | Path | None, facts: RunFacts) -> Path:
    """Where this run keeps what may not be handed over."""
    if internal is not None:
        return Path(internal).resolve()
    return _internal_home(ledger) / f"{file_name(facts.dataset)}-{facts.event_id}"


def require_space(plan: Plan, dataset: Dataset, ledger: Ledger, folder: Path, internal: str | Path | None) -> None:
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
