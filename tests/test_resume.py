"""Runs that stop on their way: killed, out of disk, without their ledger. What is spent, what goes on, what is left."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth import cli, pipeline, stages
from privsynth.audit.base import AuditResult, AuditRun, ControlResult
from privsynth.config import Plan
from privsynth.dataset import HOLDOUT, TRAIN, TRAIN_IN_POOL, TUNING, conform
from privsynth.errors import BudgetExceededError, LedgerError, PlanError, PrivSynthError, ReleaseError
from privsynth.privacy import Ledger
from privsynth.release import ledger_head_of
from privsynth.report import policy as policies
from privsynth.stages import RunFolder

N_PEOPLE = 700

PLAN = """
[dataset]
name = "people"
privacy_unit = "person"
[tables.people]
path = "people.csv"
target = "active"
[tables.people.columns]
person  = { kind = "identifier" }
segment = { kind = "categorical", categories = ["retail", "private", "business"], nullable = false }
age     = { kind = "integer", bounds = [18, 110] }
income  = { kind = "drop" }
joined  = { kind = "drop" }
active  = { kind = "boolean", nullable = false }
[privacy]
epsilon = 20.0
delta = 1e-6
[synthesis]
rows = 300
[release]
folder = "out"
sensitivity = "low"
"""

context = multiprocessing.get_context("fork")


def made(base: Path) -> Path:
    fakes.people(N_PEOPLE).to_csv(base / "people.csv", index=False)
    (base / "plan.toml").write_text(PLAN)
    return base


@pytest.fixture
def base(tmp_path):
    return made(tmp_path)


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    """Few people make attacks fail by chance: what is judged is not what is tested here."""
    light = policies.Judgement(subject="run", light="inconclusive", reason="a test")
    monkeypatch.setattr(policies, "judge", lambda *arguments, **keywords: (light,))


def ledger_of(base: Path) -> Ledger:
    return Ledger.open(base / "state" / "ledger.sqlite")


def run(base: Path, **keywords):
    return pipeline.run(Plan.load(base / "plan.toml"), ledger=ledger_of(base), **keywords)


def run_folder(base: Path) -> Path:
    (folder,) = (base / "state" / "internal").iterdir()
    return folder


def die(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)


def killed(base: Path, patch) -> None:
    """Run the plan in another process in which ``patch`` puts ``die`` somewhere; return when it is dead."""

    def child():
        with pytest.MonkeyPatch.context() as monkeypatch:
            patch(monkeypatch)
            run(base)

    process = context.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def after(stage: str):
    """Die when this stage has its final name."""

    def patch(monkeypatch):
        sync = stages.sync
        monkeypatch.setattr(
            stages, "sync", lambda path: die() if (path / stage).is_dir() and not list(path.glob(".*.part")) else sync(path)
        )

    return patch


def inside(target: str):
    """Die when this is called."""
    return lambda monkeypatch: monkeypatch.setattr(target, die)


def kinds(base: Path) -> list[str]:
    return [entry.kind for entry in ledger_of(base).entries() if entry.kind not in ("attempt", "cap", "sketch", "commitment", "audit")]


def spent(base: Path) -> float:
    return ledger_of(base).balance("people").epsilon


def assert_whole_release(base: Path) -> None:
    """What every release must pass, however many processes made it."""
    folder = base / "out"
    manifest = json.loads((folder / "manifest.json").read_text())
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {*listed, "manifest.json"}
    assert found - {"report.pdf"} == {"data/people.csv", "croissant.json", "report.html", "report.json", "manifest.json"}
    for path, digest in listed.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    schema = Plan.load(base / "plan.toml").declared_schema()
    typed, clipped = conform(pd.read_csv(folder / "data" / "people.csv", dtype=str), schema, schema.tables[0])
    assert len(typed) == 300
    assert not clipped
    assert ledger_of(base).contains(manifest["ledger_head"])
    report = json.loads((folder / "report.json").read_text())
    assert (report["edition"], report["event_id"]) == ("vendor", manifest["event_id"])


def assert_finished(base: Path) -> None:
    folder = run_folder(base)
    state = stages.status(folder).facts.state
    kept = {"not-exported"} if state == "blocked" else set()
    if state == "blocked":
        assert not (base / "out").exists()
        assert len(pd.read_csv(folder / "not-exported" / "people.csv")) == 300
    else:
        assert state == "finished"
        assert_whole_release(base)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = {path.name for path in folder.iterdir()} - {"report.pdf"}  # made by the command line, not in passing by a test
    assert found == {*stages.INTERNAL_FILES, *kept, "model", "run.json", "run.key"} - {"report.pdf"}
    assert not list(base.rglob("*.part"))
    assert len([kind for kind in kinds(base) if kind == "reserve"]) == 1
    assert kinds(base)[-1] == "commit"
    (cost,) = (entry.body["epsilon"] for entry in ledger_of(base).entries() if entry.kind == "reserve")
    again = [entry for entry in ledger_of(base).entries() if entry.kind == "resume" and "epsilon" in entry.body]
    assert spent(base) == pytest.approx(cost * (1 + len(again)))


def test_a_killed_run_goes_on_with_its_model_and_is_charged_once(base, monkeypatch):
    killed(base, after("model"))
    assert kinds(base) == ["reserve"]
    assert not (base / "out").exists()
    charged = spent(base)
    assert stages.status(run_folder(base)).stages == {
        "scan": "finished", "split": "finished", "commitment": "finished", "model": "finished",
        "synthetic": "not started", "measurements": "not started", "summary": "not started",
    }  # fmt: skip
    monkeypatch.setattr("privsynth.tabular.tree.Tree.fit", lambda *arguments, **keywords: pytest.fail("fitted a second time"))
    run(base, resume=True)
    assert kinds(base) == ["reserve", "resume", "commit"]
    assert spent(base) == charged
    assert_finished(base)


@pytest.mark.slow
def test_the_split_is_drawn_once(base, monkeypatch):
    killed(base, after("split"))
    drawn = np.load(run_folder(base) / "stages" / "split" / "parts.npy")
    seen = []
    measure = pipeline.measure
    monkeypatch.setattr(
        pipeline, "measure", lambda dataset, split, *rest, **more: seen.append(split) or measure(dataset, split, *rest, **more)
    )
    run(base, resume=True)
    (split,) = seen
    people = fakes.people(N_PEOPLE)["person"].to_numpy()
    assert list(split.train.units()) == list(people[np.isin(drawn, [TRAIN, TRAIN_IN_POOL])])
    assert list(split.holdout.units()) == list(people[drawn == HOLDOUT])
    assert list(split.tuning.units()) == list(people[drawn == TUNING])
    assert_finished(base)


@pytest.mark.slow
def test_a_mechanism_that_dies_before_anything_is_written_reruns_for_free(base):
    killed(base, inside("privsynth.tabular.tree.fit_tree"))
    run(base, resume=True)
    assert kinds(base) == ["reserve", "resume", "commit"]
    assert_finished(base)


def half_saved(monkeypatch):
    def save(model, folder):
        (folder / "model.json").write_text('{"half"')
        die()

    monkeypatch.setattr("privsynth.tabular.tree.TreeModel.save", save)


@pytest.mark.slow
def test_a_partly_written_model_is_charged_again_once_and_refused_beyond_the_cap(base):
    killed(base, half_saved)
    first = spent(base)
    with pytest.raises(BudgetExceededError, match="raise the cap"):
        run(base, resume=True)
    assert spent(base) == first
    ledger_of(base).set_cap("people", 100.0)
    # Resuming dies too, after the ledger was told and before the draft is gone: the same draft is not charged twice.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "discard_drafts", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(base, resume=True)
    assert spent(base) == pytest.approx(2 * first)
    run(base, resume=True)
    assert spent(base) == pytest.approx(2 * first)
    assert_finished(base)


@pytest.mark.slow
def test_a_run_that_died_after_its_release_was_in_place_is_only_closed(base):
    killed(base, inside("privsynth.privacy.ledger.Reservation.commit"))
    assert_whole_release(base)
    before = {path: path.read_bytes() for path in (base / "out").rglob("*") if path.is_file()}
    release = run(base, resume=True)
    assert before == {path: path.read_bytes() for path in (base / "out").rglob("*") if path.is_file()}
    assert release.folder == base / "out"
    assert release.report("vendor", "html") == (base / "out" / "report.html").read_text()
    assert_finished(base)


@pytest.mark.slow
def test_a_run_that_dies_before_it_reserves_costs_nothing_and_goes_on(base):
    killed(base, inside("privsynth.privacy.ledger.Ledger.reserve"))
    assert kinds(base) == []
    run(base, resume=True)
    assert_finished(base)


@pytest.mark.slow
def test_an_interrupted_plan_is_not_started_a_second_time(base):
    killed(base, after("split"))
    with pytest.raises(ReleaseError, match="go on with --resume"):
        run(base)
    assert kinds(base) == ["reserve"]


CHANGES = {
    "the plan": lambda base: (base / "plan.toml").write_text(PLAN.replace("rows = 300", "rows = 301")),
    "the data": lambda base: fakes.people(N_PEOPLE, seed=1).to_csv(base / "people.csv", index=False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_plan_or_file_is_not_resumed(what, base):
    killed(base, after("split"))
    CHANGES[what](base)
    with pytest.raises(ReleaseError, match=f"{what} changed"):
        run(base, resume=True)
    assert kinds(base) == ["reserve"]


@pytest.mark.slow
def test_without_an_interrupted_run_there_is_nothing_to_resume(base):
    with pytest.raises(ReleaseError, match="has no interrupted run"):
        run(base, resume=True)
    run(base)
    with pytest.raises(ReleaseError, match="has no interrupted run"):
        run(base, resume=True)
    with pytest.raises(ReleaseError, match="nothing to resume"):
        run(base, resume=True, internal=run_folder(base))


def test_an_error_shown_while_fitting_ends_the_run(base, monkeypatch):
    def fails(engine, train, *, reservation):
        reservation.spend("tables", next(touch.label for touch in reservation.touches if touch.stage == "tables"))
        raise PlanError("noise exceeds signal")

    monkeypatch.setattr("privsynth.tabular.tree.Tree.fit", fails)
    with pytest.raises(PlanError, match="noise"):
        run(base)
    assert kinds(base) == ["reserve", "failed"]
    assert stages.status(run_folder(base)).facts.state == "failed"
    with pytest.raises(ReleaseError, match="no interrupted run"):
        run(base, resume=True)


def test_an_error_before_anything_is_spent_leaves_nothing(base, monkeypatch):
    monkeypatch.setattr(pipeline, "_split", lambda *arguments, **keywords: (_ for _ in ()).throw(PlanError("stop")))
    with pytest.raises(PlanError, match="stop"):
        run(base)
    assert kinds(base) == ["reserve", "void"]
    assert not (base / "state" / "internal").exists()
    assert spent(base) == 0.0


@pytest.mark.slow
def test_one_run_is_worked_on_by_one_process(base):
    killed(base, after("split"))
    with RunFolder.open(run_folder(base)).locked(), pytest.raises(ReleaseError, match="another process"):
        run(base, resume=True)


@pytest.mark.slow
def test_a_damaged_stage_is_one_line(base):
    killed(base, after("split"))
    (run_folder(base) / "stages" / "split" / "parts.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ReleaseError, match="stage 'split' is damaged"):
        run(base, resume=True)


@pytest.mark.slow
def test_a_purge_removes_all_but_foreign_files_and_is_in_the_ledger(base):
    run(base)
    folder = run_folder(base)
    (folder / "my notes.txt").write_text("kept")
    done = stages.purge(folder, ledger=ledger_of(base))
    assert done.kept == ("my notes.txt",)
    assert {path.name for path in folder.iterdir()} == {"my notes.txt"}
    last = ledger_of(base).entries()[-1]
    assert (last.kind, last.body["files"]) == ("purge", len(done.removed))
    assert "run.key" in done.removed
    assert_whole_release(base)
    with pytest.raises(ReleaseError, match="holds no run"):
        stages.purge(folder, ledger=ledger_of(base))


@pytest.mark.slow
def test_a_purge_of_an_interrupted_run_keeps_it_charged(base):
    killed(base, inside("privsynth.release.sync_tree"))
    assert list(base.glob(".out.*.part"))
    charged = spent(base)
    folder = run_folder(base)
    stages.purge(folder, ledger=ledger_of(base))
    assert not folder.exists()
    assert not list(base.rglob("*.part"))
    assert spent(base) == charged > 0


@pytest.mark.parametrize("content", ["", "{", '{"format": 1}', '{"format": 99}', "[]"])
def test_a_folder_that_is_no_run_is_refused(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "precious").write_text("x")
    for act in (stages.status, lambda path: stages.purge(path, ledger=ledger_of(tmp_path))):
        with pytest.raises(ReleaseError):
            act(tmp_path)
    assert (tmp_path / "precious").exists()


@pytest.mark.slow
def test_an_older_ledger_is_noticed_on_resume_and_by_a_finished_release(base):
    ledger_of(base)
    shutil.copy(base / "state" / "ledger.sqlite", base / "backup")
    killed(base, after("model"))
    newer = (base / "state" / "ledger.sqlite").read_bytes()
    shutil.copy(base / "backup", base / "state" / "ledger.sqlite")
    with pytest.raises(LedgerError, match="restored from an older copy"):
        run(base, resume=True)
    (base / "state" / "ledger.sqlite").write_bytes(newer)
    run(base, resume=True)
    assert ledger_of(base).contains(ledger_head_of(base / "out"))
    shutil.copy(base / "backup", base / "state" / "ledger.sqlite")
    assert not ledger_of(base).contains(ledger_head_of(base / "out"))


def test_a_locked_ledger_stops_before_anything_is_spent(base, monkeypatch):
    import sqlite3

    monkeypatch.setattr("privsynth.privacy.ledger.LOCK_SECONDS", 0.1)
    ledger = ledger_of(base)
    with sqlite3.connect(ledger.path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="wait for the other process"):
            pipeline.run(Plan.load(base / "plan.toml"), ledger=ledger)
        other.execute("ROLLBACK")
    other.close()
    assert kinds(base) == []
    assert not (base / "state" / "internal").exists()
    assert not (base / "out").exists()


def test_a_full_disk_is_refused_before_anything_is_spent(base, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(ReleaseError, match="1 MB free; expected"):
        run(base)
    assert kinds(base) == []
    assert not (base / "state" / "internal").exists()


def test_measurements_survive_storage_unchanged(tmp_path):
    result = AuditResult(
        audit="a", threat_model="t", question="?", metric="m", value=0.5, interval=(0.1, float("inf")), n=3, details={"x": [1]}
    )
    control = ControlResult(name="c", kind="negative", planted_share=0.0, flagged_by=("a",), results=(result,))
    measured = AuditRun(results=(result,), controls=(control,), floors={"a": None}, notes=("n",), alpha=0.01, seconds=1.0)
    stages.save_values(measured, tmp_path / "x.json")
    assert stages.load_values(AuditRun, tmp_path / "x.json") == measured


def test_frames_survive_storage_unchanged(tmp_path):
    frame = fakes.people_dataset(50).frame.assign(
        moment=np.array(["0001-01-01", "9999-12-31T23:59:59", *["NaT"] * 48], dtype="datetime64[s]"),
        large=pd.array([2**63 - 1, None, *[-(2**63)] * 48], dtype="Int64"),
    )
    frame.loc[3:9, "segment"] = None
    stages.save_frame(frame, tmp_path / "x.feather")
    pd.testing.assert_frame_equal(stages.load_frame(tmp_path / "x.feather"), frame)


class FullDisk:
    """Counts what is written and lets one of the writes fail."""

    def __init__(self, failing: int | None) -> None:
        self.failing, self.count = failing, 0

    def __call__(self, function):
        def write(*arguments, **keywords):
            self.count += 1
            if self.count - 1 == self.failing:
                raise OSError(28, "No space left on device")
            return function(*arguments, **keywords)

        return write

    def install(self, monkeypatch) -> None:
        for target, name in (
            (os, "fsync"),
            (Path, "rename"),
            (Path, "mkdir"),
            (Path, "write_text"),
            (pd.DataFrame, "to_feather"),
            (pd.DataFrame, "to_csv"),
        ):
            monkeypatch.setattr(target, name, self(getattr(target, name)))


@pytest.mark.slow
def test_a_disk_that_fills_up_at_any_write_leaves_no_half_release_and_costs_once(tmp_path, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        whole = tmp_path / "whole"
        whole.mkdir()
        made(whole)
        ledger_of(whole).local_key("made")
        disk = FullDisk(None)
        disk.install(patch)
        release = run(whole)
    # What is read is not what is tested here: it is measured once.
    monkeypatch.setattr(pipeline, "measure", lambda *arguments, **keywords: release.measurements)
    monkeypatch.setattr(pipeline, "_scan", lambda *arguments, **keywords: release.measurements.pii_scan)
    assert disk.count > 40
    recharged = 0
    for failing in range(0, disk.count, 3):
        base = tmp_path / str(failing)
        base.mkdir()
        made(base)
        ledger_of(base).set_cap("people", 100.0)
        ledger_of(base).local_key("made")  # the key is a write of its own, by whoever comes first
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(failing).install(patch)
            with pytest.raises(PrivSynthError, match="No space left"):
                run(base)
        if (base / "out").exists():
            assert_whole_release(base)
        left = bool(list(base.glob("state/internal/*/run.json")))
        partial = left and RunFolder.open(run_folder(base)).partial("model") is not None
        recharged += partial
        run(base, resume=left)
        assert len([entry for entry in ledger_of(base).entries() if "written" in entry.body]) == partial
        if left:
            assert_finished(base)
        assert_whole_release(base)
    assert recharged <= 4


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["reserve", "commit"])
def test_a_disk_that_is_full_for_the_ledger_is_one_line(entry, base, monkeypatch):
    import sqlite3

    from privsynth.privacy import ledger as module

    append = module._append

    def full(connection, kind, population, body):
        if kind == entry:
            raise sqlite3.OperationalError("database or disk is full")
        return append(connection, kind, population, body)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_append", full)
        with pytest.raises(LedgerError, match="disk is full"):
            run(base)
    run(base, resume=entry == "commit")
    assert_finished(base)


WATCHED = [
    "state/internal/*/run.json",
    "state/internal/*/stages/.scan.*.part",
    "state/internal/*/stages/scan",
    "state/internal/*/stages/scan +0.02",
    "state/internal/*/stages/.split.*.part",
    "state/internal/*/stages/split",
    "state/internal/*/stages/split +0.1",
    "state/internal/*/stages/split +0.3",
    "state/internal/*/stages/.model.*.part",
    "state/internal/*/stages/.model.*.part/model.json",
    "state/internal/*/stages/model",
    "state/internal/*/stages/model +0.03",
    "state/internal/*/stages/synthetic",
    "state/internal/*/stages/synthetic +0.2",
    "state/internal/*/stages/.measurements.*.part",
    "state/internal/*/stages/measurements",
    "state/internal/*/stages/summary",
    "state/internal/*/report.json",
    ".out.*.part",
    "out/manifest.json",
]


def command(base: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PRIVSYNTH_LEDGER": str(base / "state" / "ledger.sqlite"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "privsynth", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_at(process: subprocess.Popen[str], base: Path, watched: str) -> None:
    """Kill the process as soon as a path appears, or so many seconds later."""
    pattern, _, delay = watched.partition(" +")
    while process.poll() is None and not any(base.glob(pattern)):
        time.sleep(0.0002)
    time.sleep(float(delay or 0))
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("watched", WATCHED)
def test_a_run_killed_from_outside_goes_on(watched, base):
    """The kill campaign: 20 places, each a whole process killed by its parent (SIGKILL), then resumed."""
    ledger_of(base).set_cap("people", 100.0)
    kill_at(command(base, "run", str(base / "plan.toml")), base, watched)
    if (base / "out").exists():
        assert_whole_release(base)
    folder = RunFolder.open(run_folder(base)) if list(base.glob("state/internal/*/run.json")) else None
    is_open = folder is not None and folder.facts.state == "unfinished"
    lost = is_open and not folder.finished("model") and not folder.finished("synthetic") and folder.partial("model") is not None
    reserved = kinds(base).count("reserve")
    assert reserved <= 1
    resumed = command(base, "run", str(base / "plan.toml"), "--resume") if is_open else None
    if resumed is not None:
        out, err = resumed.communicate()
        assert resumed.returncode in (0, 1, 3), err
        assert ("Blocked:" if resumed.returncode == 1 else "Release:") in out
    assert_finished(base)
    again = [entry for entry in ledger_of(base).entries() if "written" in entry.body]
    assert len(again) == lost
    refused = command(base, "run", str(base / "plan.toml"), "--resume")
    refused.communicate()
    assert refused.returncode == 2


def test_status_and_purge_by_the_command_line(base, monkeypatch, capsys):
    facts = stages.RunFacts(event_id="0123", dataset="people\n", plan="p", data="d", benchmark=False, release=str(base / "out"))
    created = RunFolder.create(base / "state" / "internal" / "people-0123", facts)
    with created.writing("scan") as draft:
        (draft / "scan.json").write_text("{}")
    for arguments, words in ((["status"], "not started"), (["purge"], "Removed 2 files of run 0123"), (["status"], "holds no run")):
        monkeypatch.setattr(sys, "argv", ["privsynth", *arguments, str(created.path)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        assert stopped.value.code == (2 if "no run" in words else 0), printed.err
        assert words in " ".join((printed.out + printed.err).split())
    assert not created.path.exists()
    assert kinds(base) == ["purge"]


@pytest.mark.parametrize("folder", ["nothing", "out"])
def test_a_release_without_a_manifest_is_one_line(folder, base, monkeypatch, capsys):
    (base / "out").mkdir()
    (base / "out" / "manifest.json").write_text("[]")
    monkeypatch.setattr(sys, "argv", ["privsynth", "ledger", "--check", "--release", str(base / folder)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "no readable manifest" in capsys.readouterr().err
