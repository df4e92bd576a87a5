"""The run folder: what a run has finished, so that it can go on after a crash, be looked at, and be purged.

It is the internal folder of the run (mode 0700), made before anything is spent. Each stage is written to a draft, forced to
disk and renamed: a stage is finished if and only if its folder has its final name. Nothing of a draft is ever read: on
resume it is deleted, and its stage runs again with fresh randomness. ``partial`` names a draft that holds anything,
because a mechanism whose output was partly written is charged again, once for each draft.

A finished run keeps its evidence and its model; its stages (the raw measurements among them) are removed. Who was held out stays as
bits in the order of the people, because only they open what was committed before training; ``purge`` removes them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from privsynth.errors import LedgerError, ReleaseError
from privsynth.privacy import Ledger
from privsynth.release import release_draft, sync, sync_tree, to_json
from privsynth.schema import Schema

STAGE_NAMES = ("scan", "split", "commitment", "model", "text-model", "synthetic", "measurements", "summary")
"""Stages whose output is stored, in order."""

TEXT_STAGE = "text-model"

INTERNAL_FILES = ("report.json", "report.html", "report.pdf", "plan.json", "ledger.json", "commitment.json")
INTERNAL_FOLDERS = ("model", "text-model", "not-exported")

FORMAT = 2
"""Of the run folder; another version's unfinished run is not continued."""

RunState = Literal["unfinished", "failed", "finished", "blocked"]

Value = TypeVar("Value")

_FACTS = "run.json"
_KEY = "run.key"
_STAGES = "stages"
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What identifies a run; ``run.json`` in its folder.

    Attributes:
        event_id: The id of its reservation in the ledger.
        dataset: The population's name.
        plan: Hash of everything that a person decided (the plan, its public maps, the policy), hex.
        data: Keyed fingerprint of the typed data, hex.
        benchmark: Whether the split is the fixed permutation of published figures.
        release: Where the release goes.
        started: When, UTC.
        state: ``failed`` while a model was fitted: the message may depend on the data, so the run does not go on.
        format: Version of this folder's layout.
    """

    event_id: str
    dataset: str
    plan: str
    data: str
    benchmark: bool
    release: str
    started: str = ""
    state: RunState = "unfinished"
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A run's folder on disk and the facts that its ``run.json`` states."""

    path: Path
    facts: RunFacts

    @classmethod
    def create(cls, path: Path, facts: RunFacts) -> RunFolder:
        """Make the folder of a new run, for its owner only.

        Raises:
            ReleaseError: It cannot be written, or is there already.
        """
        run = cls(path=path, facts=replace(facts, started=datetime.now(UTC).isoformat(timespec="seconds")))
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                path.mkdir(mode=0o700)
                (path / _STAGES).mkdir()
                _write_in_one_step(path / _KEY, secrets.token_bytes(32))
                run._write_facts()
            except FileExistsError:  # another's: not ours to remove
                raise
            except OSError:
                run.remove()
                raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run in this folder.

        Raises:
            ReleaseError: The folder holds no run, or one of another version.
        """
        path = Path(path)
        try:
            values = json.loads((path / _FACTS).read_text(encoding="utf-8"))
            if values["format"] == FORMAT:
                return cls(path=path, facts=RunFacts(**values))
        except OSError:
            raise ReleaseError(f"run={str(path)!r} holds no run; expected an internal folder of privsynth run") from None
        except (ValueError, TypeError, KeyError):
            raise ReleaseError(f"run={str(path)!r} has a damaged {_FACTS}; start a new run, which is charged again") from None
        raise ReleaseError(f"run={str(path)!r} was written by another version of privsynth; continue it with that version")

    @property
    def key(self) -> bytes:
        """The run's own key, 32 bytes: for hashes of internal files; gone when the run is purged."""
        with _disk(self.path):
            return (self.path / _KEY).read_bytes()

    def finished(self, stage: str) -> bool:
        """Whether the stage's output is complete and on disk."""
        return self._stage(stage).is_dir()

    def partial(self, stage: str) -> str | None:
        """The name of a draft of the stage that holds anything; None if nothing was written."""
        for draft in self._drafts(stage):
            if any(path.is_file() and path.stat().st_size for path in draft.rglob("*")):
                return draft.name
        return None

    def output(self, stage: str) -> Path:
        """The folder with a finished stage's output."""
        return self._stage(stage)

    @contextmanager
    def writing(self, stage: str) -> Iterator[Path]:
        """A draft folder that becomes the stage's output when the block ends well.

        After an error the draft stays where it is: that it was written decides what a resumed run is charged.
        """
        with _disk(self.path):
            draft = self.path / _STAGES / f".{stage}.{secrets.token_hex(4)}.part"
            draft.mkdir()
            yield draft
            sync_tree(draft)
            draft.rename(self._stage(stage))
            sync(draft.parent)

    @contextmanager
    def reading(self, stage: str) -> Iterator[Path]:
        """The output of a finished stage; what cannot be read becomes one line.

        Raises:
            ReleaseError: The output is damaged.
        """
        try:
            yield self._stage(stage)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(
                f"run={str(self.path)!r}: stage {stage!r} is damaged ({type(error).__name__}); start a new run, which is charged again"
            ) from None

    def scratch(self, name: str) -> Path:
        """A file in which a long stage keeps what it may go on from after a crash; removed when the run comes to its end."""
        return self.path / _STAGES / name

    def discard(self, stage: str) -> None:
        """Delete the stage's output and draft."""
        with _disk(self.path):
            for path in [*self._drafts(stage), self._stage(stage)]:
                if path.exists():
                    shutil.rmtree(path)

    def discard_drafts(self) -> None:
        """Delete what an interrupted attempt left behind."""
        for path in [*(self.path / _STAGES).glob(".*.part"), *self.path.glob(".*.part")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def write_file(self, name: str, data: bytes) -> None:
        """Write one of the run's final files in one step."""
        with _disk(self.path):
            _write_in_one_step(self.path / name, data)

    @contextmanager
    def writing_folder(self, name: str) -> Iterator[Path]:
        """A draft that becomes one of the run's final folders; one of an earlier attempt is replaced."""
        with _disk(self.path):
            draft = self.path / f".{name}.part"
            draft.mkdir()
            yield draft
            sync_tree(draft)
            if (self.path / name).exists():
                shutil.rmtree(self.path / name)
            draft.rename(self.path / name)
            sync(self.path)

    def keep(self, stage: str) -> None:
        """Move a finished stage's output to where it stays after the run; again after a crash does nothing."""
        with _disk(self.path):
            if self.finished(stage):
                self._stage(stage).rename(self.path / stage)
                sync(self.path)

    def close(self, state: RunState) -> RunFolder:
        """Write down how the run ended; the stages of a run that came to its end are removed.

        Returns:
            The folder with its new facts.
        """
        closed = replace(self, facts=replace(self.facts, state=state))
        with _disk(self.path):
            closed._write_facts()
            if state in ("finished", "blocked"):
                shutil.rmtree(self.path / _STAGES, ignore_errors=True)
                (self.path / _LOCK).unlink(missing_ok=True)
        return closed

    def remove(self) -> None:
        """Take back a run that spent nothing, and the parent folder if nothing else is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.parent.name == "internal" and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time; the operating system lets go of the lock when its process dies.

        Raises:
            ReleaseError: Another process works on the run.
        """
        try:
            import fcntl
        except ImportError:  # no such lock on Windows: the rename of each stage still refuses a second writer
            yield
            return
        with (self.path / _LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ReleaseError(f"run={str(self.path)!r} is at work in another process; wait for it, or stop it") from None
            yield

    def _stage(self, stage: str) -> Path:
        return self.path / _STAGES / stage

    def _drafts(self, stage: str) -> list[Path]:
        return sorted((self.path / _STAGES).glob(f".{stage}.*.part"))

    def _write_facts(self) -> None:
        _write_in_one_step(self.path / _FACTS, to_json(asdict(self.facts)).encode())


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """What a run folder holds.

    Attributes:
        facts: What identifies the run.
        stages: By stage: ``finished``, ``partly written`` or ``not started``; empty once the run came to its end.
        next_step: What a person can do, in a sentence.
        files: Paths in the folder and their sizes in bytes.
    """

    facts: RunFacts
    stages: Mapping[str, str]
    next_step: str
    files: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RunPurge:
    """What a purge removed.

    Attributes:
        facts: What identified the run.
        removed: Paths and their sizes in bytes.
        kept: Names of files in the folder that privsynth did not write, and left alone.
    """

    facts: RunFacts
    removed: Mapping[str, int]
    kept: tuple[str, ...]


def status(path: str | Path) -> RunStatus:
    """What a run has done and what can be done with it; changes nothing.

    Raises:
        ReleaseError: The folder holds no run.
    """
    run = RunFolder.open(path)
    is_open = run.facts.state in ("unfinished", "failed")
    stages = {stage: _progress_of(run, stage) for stage in STAGE_NAMES} if is_open else {}
    if stages.get(TEXT_STAGE) == "not started":  # most plans have no texts
        del stages[TEXT_STAGE]
    return RunStatus(facts=run.facts, stages=stages, next_step=_NEXT_STEP[run.facts.state], files=_files_of(run.path))


_NEXT_STEP: Mapping[RunState, str] = {
    "unfinished": "Continue with: privsynth run PLAN --resume, with the same plan and data. Or remove it with: privsynth purge RUN.",
    "failed": "An error was shown that may depend on the data, so it cannot go on; a new run costs again. Remove: privsynth purge RUN.",
    "finished": "Nothing is left to do. When the evidence is no longer needed: privsynth purge RUN.",
    "blocked": "The policy failed: the synthetic data were kept here and not exported. Remove with: privsynth purge RUN.",
}


def _progress_of(run: RunFolder, stage: str) -> str:
    if run.finished(stage):
        return "finished"
    return "partly written" if run.partial(stage) else "not started"


def purge(path: str | Path, *, ledger: Ledger) -> RunPurge:
    """Remove a run's internal files, model and key, and write that down in the ledger; what was spent stays spent.

    The release, if there is one, stays where it is. Files are removed, not overwritten: against someone who reads the
    raw disk only an encrypted disk helps.

    Args:
        path: The run's folder.
        ledger: The ledger that the run was reserved in.

    Raises:
        ReleaseError: The folder holds no run, a process is at work in it, or something cannot be removed.
        LedgerError: The ledger does not know the run.
    """
    run = RunFolder.open(path)
    if run.facts.state == "unfinished" and run.finished("split") and not ledger.holds(run.facts.event_id):
        raise LedgerError(
            f"the ledger holds no reservation {run.facts.event_id} of {run.facts.dataset!r}; use the ledger that the run was started with"
        )
    with run.locked():
        removed = _remove_own_files(run)
        shutil.rmtree(release_draft(Path(run.facts.release), run.facts.event_id), ignore_errors=True)
        # The entry comes before run.json goes: a purge that is interrupted can be asked for again.
        ledger.note(run.facts.dataset, "purge", {"id": run.facts.event_id, "files": len(removed), "bytes": sum(removed.values())})
        with _disk(run.path):
            (run.path / _FACTS).unlink()
            (run.path / _LOCK).unlink(missing_ok=True)
            kept = sorted(entry.name for entry in run.path.iterdir())
            if not kept:
                run.path.rmdir()
    return RunPurge(facts=run.facts, removed=removed, kept=tuple(kept))


def _remove_own_files(run: RunFolder) -> dict[str, int]:
    """Remove everything that privsynth wrote but ``run.json`` and the lock; returns paths and sizes in bytes."""
    own = {_STAGES, _KEY, *INTERNAL_FILES, *INTERNAL_FOLDERS, *(path.name for path in run.path.glob(".*.part"))}
    removed = {name: size for name, size in _files_of(run.path).items() if Path(name).parts[0] in own}
    with _disk(run.path):
        for name in own:
            path = run.path / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return removed


def unfinished(parent: Path, *, dataset: str) -> list[RunFolder]:
    """Runs on a dataset that stopped on their way, the latest last."""
    runs = []
    for path in parent.glob(f"*/{_FACTS}"):
        try:
            run = RunFolder.open(path.parent)
        except ReleaseError:
            continue  # another version's, or damaged: not a run that could go on
        if run.facts.dataset == dataset and run.facts.state == "unfinished":
            runs.append(run)
    return sorted(runs, key=lambda run: run.facts.started)


def canonical(facts: Schema) -> str:
    """A schema as text that is the same in every process (the order of a set, and of a dict made from one, is not)."""
    return json.dumps(asdict(facts), sort_keys=True, default=lambda value: sorted(map(str, value)))


def hash_of(*parts: str) -> str:
    """SHA-256 over texts whose borders count, hex."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def differences(run: RunFolder, expected: RunFacts) -> list[str]:
    """What an unfinished run was started with that is not so any more, in plain words."""
    words = {
        "dataset": "the dataset's name",
        "plan": "the plan",
        "data": "the data",
        "benchmark": "--benchmark-split",
        "release": "the release folder",
    }
    return [
        words[one.name] for one in fields(RunFacts) if one.name in words and getattr(run.facts, one.name) != getattr(expected, one.name)
    ]


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Errors of the disk as one line."""
    try:
        yield
    except OSError as error:
        raise ReleaseError(
            f"run={str(path)!r} cannot be written ({error.strerror or type(error).__name__}); "
            "free space or mend the disk, then continue with: privsynth run PLAN --resume"
        ) from None


def _write_in_one_step(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}


def save_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a typed frame as Arrow, which keeps every type that ``dataset.py`` names (Parquet has no seconds)."""
    frame.to_feather(path)


def load_frame(path: Path) -> pd.DataFrame:
    """The frame that ``save_frame`` wrote."""
    frame: pd.DataFrame = pd.read_feather(path)
    return frame


def save_values(value: object, path: Path) -> None:
    """Write a frozen dataclass, or a plain dict, as JSON; infinities and NaN are kept."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    path.write_text(json.dumps(plain, ensure_ascii=False, default=_plain_number), encoding="utf-8")


def load_values(kind: type[Value], path: Path) -> Value:
    """The value of this type that ``save_values`` wrote, every field checked against its annotation."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(json.loads(path.read_text(encoding="utf-8")))


def _plain_number(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)
