"""The release: what a run measured, as one value, and the folder on disk.

``Release`` holds everything that the report is made of. Two folders come out of it: the release folder, which
may be handed over, and the internal folder (mode 0700), which may not. Each is written to a temporary folder beside its
place and moved there in one step, so that a half-written release never exists.

``manifest.json`` lists the files of the release and the DP events. Nothing in it is computed from the number of people.
Internal files are named there by keyed hashes only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import pandas as pd

from privsynth.audit.base import AuditRun
from privsynth.audit.breadth import Breadth
from privsynth.audit.commitment import Opening
from privsynth.audit.fidelity import FidelityResult
from privsynth.audit.utility import UtilityResult
from privsynth.contents import MANIFEST, MANIFEST_VERSION
from privsynth.errors import ReleaseError
from privsynth.marking import DIGITAL_SOURCE_TYPE
from privsynth.pii.columns import ScanReport
from privsynth.privacy.accounting import Total
from privsynth.privacy.events import Touch
from privsynth.privacy.ledger import Balance
from privsynth.schema import Schema
from privsynth.tabular.base import ColumnReport

Verdict = Literal["pass", "fail", "inconclusive"]
Edition = Literal["vendor", "internal"]


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What a run measured on private data; internal, apart from what the guarantee covers.

    Attributes:
        audit: All attacks and their controls.
        fidelity: Distances between marginals of train and synthetic.
        utility: Train-on-synthetic-test-on-real; None without a target.
        breadth: Groups, coverage, and overlap with evaluation sets.
        pii_scan: What the scan found, column by column.
        pii_replay: Original personal values that occur in the release, by column.
        columns: What the tabular engine did with each column.
        people: People by part of the split.
        rows: Rows by part of the split.
        clipped: Values moved into declared bounds, by column.
    """

    audit: AuditRun
    fidelity: FidelityResult
    utility: UtilityResult | None
    breadth: Breadth
    pii_scan: ScanReport
    pii_replay: Mapping[str, int]
    columns: tuple[ColumnReport, ...]
    people: Mapping[str, int]
    rows: Mapping[str, int]
    clipped: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Release:
    """One run's outcome.

    Attributes:
        event_id: The id of the reservation in the ledger.
        plan: The plan as plain values.
        schema: Declared and bought facts.
        tables: Synthetic frames by table name.
        touches: Every planned use of private data, in order.
        cost: Epsilon and delta of this release.
        balance: What these people have spent in all, this release included.
        ledger_head: Hash of the ledger's last entry.
        measurements: What was measured.
        made_on: The day of the run, ISO 8601, in UTC.
        summary: The report's dict (internal edition).
        reports: Rendered reports by (edition, format).
        verdict: The worst of all judgements.
        notes: What a reader must know, first things first.
        folder: Where the release lies; None if it was blocked.
        internal: Where the internal files lie.
    """

    event_id: str
    plan: Mapping[str, Any]
    schema: Schema
    tables: Mapping[str, pd.DataFrame]
    touches: tuple[Touch, ...]
    cost: Total
    balance: Balance
    ledger_head: str
    measurements: Measurements
    insecure: bool
    holdout_uses: int = 1
    opening: Opening | None = field(default=None, repr=False)
    made_on: str
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    summary: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reports: Mapping[tuple[Edition, str], str | bytes] = field(default_factory=dict, repr=False)
    verdict: Verdict = "inconclusive"
    folder: Path | None = None
    internal: Path | None = None

    @overload
    def report(self, edition: Edition, format: Literal["html", "json"] = "html") -> str: ...
    @overload
    def report(self, edition: Edition, format: Literal["pdf"]) -> bytes: ...
    def report(self, edition: Edition, format: str = "html") -> str | bytes:
        """A rendered report.

        Args:
            edition: ``vendor`` may be handed over; ``internal`` may not.
            format: ``html`` or ``json``; ``pdf`` (bytes) where typst is installed.

        Raises:
            ReleaseError: There is no such report.
        """
        if (edition, format) not in self.reports:
            known = ", ".join(f"{edition}/{format}" for edition, format in self.reports)
            raise ReleaseError(f"report={edition}/{format} does not exist; expected one of {known}")
        return self.reports[edition, format]


def require_writable(folder: Path) -> None:
    """Refuse a folder that exists already or cannot be made, before anything is spent.

    Raises:
        ReleaseError: With the reason.
    """
    if folder.exists():
        raise ReleaseError(f"folder={str(folder)!r} is already there; choose another, or move it away: a release is never overwritten")
    parent = folder.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ReleaseError(f"folder={str(folder)!r} cannot be made: {str(parent)!r} is not a folder you may write; choose another")
    _probe(parent)


def _probe(folder: Path) -> None:
    """Make and remove a folder: permissions alone do not tell (root, read-only disks)."""
    probe = folder / f".privsynth-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise ReleaseError(f"folder={str(folder)!r} cannot be written ({error.strerror}); choose another") from None


def release_draft(folder: Path, event_id: str) -> Path:
    """Where a release folder is built before it gets its name; the run's id tells it from another run's."""
    return folder.parent / f".{folder.name}.{event_id}.part"


@contextmanager
def folder_in_one_step(folder: Path, *, event_id: str, mode: int = 0o755) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when the block ends well, and vanishes otherwise."""
    draft = release_draft(folder, event_id)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if draft.exists():  # of a process that was killed
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        yield draft
        draft.chmod(mode)
        sync_tree(draft)
        if folder.exists():
            raise ReleaseError(f"folder={str(folder)!r} appeared during the run; the release was not written over it")
        draft.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise ReleaseError(
            f"folder={str(folder)!r} cannot be written ({error.strerror}); free space, then continue with: privsynth run PLAN --resume"
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Force a folder's files and names to disk, so that a later rename never outlives what it names."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def event_id_of(folder: Path) -> str | None:
    """The event id that a release folder's manifest states; None if there is no readable manifest."""
    try:
        stated = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["event_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(stated)


def ledger_head_of(folder: Path) -> str:
    """The ledger head that a release folder's manifest states.

    Raises:
        ReleaseError: There is no readable manifest.
    """
    try:
        return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["ledger_head"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ReleaseError(f"release={str(folder)!r} has no readable manifest.json; expected a release folder") from None


def manifest(folder: Path, *, release: Mapping[str, Any], internal: Mapping[str, bytes], key: bytes) -> dict[str, Any]:
    """The manifest of a folder: every file with its SHA-256 and size, data files with their mark, and the release's public facts.

    Args:
        folder: The draft of the release; ``manifest.json`` itself is not listed.
        release: Public facts (DP events, ledger head, tool version).
        internal: Content of the internal files by name.
        key: Key for the hashes of internal files, 32 bytes.
    """
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        "manifest_version": MANIFEST_VERSION,
        **release,
        "files": [
            {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            | ({"digital_source_type": DIGITAL_SOURCE_TYPE} if name.startswith("data/") else {})
            for name, data in files.items()
        ],
        "internal_files": [
            {"path": name, "hmac_sha256": hmac.new(key, data, hashlib.sha256).hexdigest()} for name, data in sorted(internal.items())
        ],
    }


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON that people can read and diff."""
    path.write_text(to_json(value), encoding="utf-8")


def to_json(value: Mapping[str, Any]) -> str:
    """JSON text with sorted keys, no NaN."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def is_private(folder: Path) -> bool:
    """Whether only the owner may enter the folder."""
    return stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
