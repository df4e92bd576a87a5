"""The last stage: internal files always, and the release folder in one step unless a judgement failed."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privsynth import __version__, signing, sources
from privsynth.attesting import sign_release
from privsynth.config import Plan
from privsynth.contents import MANIFEST
from privsynth.marking import MARKER_VALUE, PROPERTIES
from privsynth.privacy import Ledger
from privsynth.privacy.events import to_json
from privsynth.release import Edition, Release, event_id_of, folder_in_one_step, manifest, write_json
from privsynth.report import croissant
from privsynth.report.summary import vendor
from privsynth.stages import RunFolder


def signing_key(plan: Plan) -> Ed25519PrivateKey | None:
    """The key that a plan signs its release with, opened before anything is spent; None if it names none.

    Raises:
        SigningError: The key or its passphrase cannot be used.
    """
    if plan.release.sign_key is None:
        return None
    file = plan.release.sign_passphrase_file
    passphrase = None if file is None else signing.read_passphrase(plan.path_of(file))
    return signing.load_private_key(plan.path_of(plan.release.sign_key), passphrase=passphrase)


def written(run: RunFolder, release: Release, ledger: Ledger, *, folder: Path, key: Ed25519PrivateKey | None = None) -> Release:
    """Write the internal files always, and the release folder in one step unless a judgement failed; with a key, sign it."""
    blocked = release.verdict == "fail"
    release = replace(release, internal=run.path, folder=None if blocked else folder)
    if event_id_of(folder) == release.event_id:  # an interrupted attempt had come as far as this
        return release
    files = _internal_files(release, ledger)
    for name, data in files.items():
        run.write_file(name, data)
    run.keep("model")
    run.keep("text-model")
    if blocked:
        with run.writing_folder("not-exported") as draft:
            _write_tables(release, draft)
        return release
    with folder_in_one_step(folder, event_id=release.event_id) as draft:
        (draft / "data").mkdir()
        _write_tables(release, draft / "data")
        for name, data in _reports(release, "vendor").items():
            (draft / name).write_bytes(data)
        write_json(draft / "croissant.json", _described(release, draft))
        write_json(draft / MANIFEST, manifest(draft, release=_manifest_facts(release), internal=files, key=run.key))
        if key is not None:
            sign_release(draft, role="build", key=key)
    return release


def _write_tables(release: Release, folder: Path) -> None:
    for name, frame in release.tables.items():
        sources.write(_marked(release, frame), folder / data_file(release, name), table=release.schema[name], properties=PROPERTIES)


def _marked(release: Release, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as it is released: with the column that marks every row, if the plan asks for one."""
    column = release.plan["release"].get("marker_column")
    return frame if column is None else frame.assign(**{column: MARKER_VALUE})


def _described(release: Release, draft: Path) -> dict[str, Any]:
    """The Croissant description of the data files in a draft."""
    files = []
    for name, frame in release.tables.items():
        path = draft / "data" / data_file(release, name)
        with path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        files.append(
            croissant.DataFile(
                table=name,
                path=path.relative_to(draft).as_posix(),
                suffix=path.suffix,
                bytes=path.stat().st_size,
                sha256=digest,
                columns=tuple(_marked(release, frame.head(0)).columns),
            )
        )
    stated = release.plan["release"]
    return croissant.describe(vendor(release.summary), release.schema, files, publisher=stated["publisher"], licence=stated["license"])


def _reports(release: Release, edition: Edition) -> dict[str, bytes]:
    """Name and content of one edition in every format that was made."""
    made = {format: face for (own, format), face in release.reports.items() if own == edition}
    return {f"report.{format}": face.encode() if isinstance(face, str) else face for format, face in made.items()}


def _internal_files(release: Release, ledger: Ledger) -> dict[str, bytes]:
    """Name and content of every internal file but the model."""
    name = release.plan["dataset"]["name"]
    entries = [
        {"number": entry.number, "kind": entry.kind, "time": entry.time, "hash": entry.hash, "body": dict(entry.body)}
        for entry in ledger.entries()
        if entry.population == name and entry.kind != "sketch"
    ]
    opening = {} if release.opening is None else {"commitment.json": json.dumps(release.opening.to_json(), indent=1, sort_keys=True) + "\n"}
    texts = {
        **opening,
        "plan.json": json.dumps(release.plan, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "ledger.json": json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
    }
    return _reports(release, "internal") | {name: text.encode() for name, text in texts.items()}


def _manifest_facts(release: Release) -> dict[str, Any]:
    """What the manifest says besides files; nothing of it is computed from the number of people."""
    return {
        "tool": {"name": "privsynth", "version": __version__},
        "event_id": release.event_id,
        "ledger_head": release.ledger_head,
        "policy": {name: release.summary["policy"][name] for name in ("version", "sha256")},
        "expires": release.plan["release"]["expires"],
        "synthetic": True,
        "insecure": release.insecure,
        "epsilon": release.cost.epsilon if math.isfinite(release.cost.epsilon) and not release.insecure else None,
        "delta": release.cost.delta,
        "relation": "add or remove one person",
        "events": [to_json(touch) for touch in release.touches if touch.touch_class == "dp"],
    }


def data_file(release: Release, table: str) -> str:
    """The name of a table's file in the folder ``data``."""
    return f"{file_name(table)}.{release.plan['release']['format']}"


def file_name(name: str) -> str:
    """A table's or dataset's name as a file name: letters, digits, dot, dash and underscore."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name) or "table"
