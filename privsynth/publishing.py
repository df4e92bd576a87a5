"""The last stage: internal files always, and the release folder in one step unless a judgement failed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from privsynth import __version__, sources
from privsynth.privacy import Ledger
from privsynth.privacy.events import to_json
from privsynth.release import Release, event_id_of, folder_in_one_step, manifest, write_json
from privsynth.report import render
from privsynth.stages import RunFolder


def written(run: RunFolder, release: Release, ledger: Ledger, *, folder: Path) -> Release:
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
        sources.write(frame, folder / f"{file_name(name)}.{release.plan['release']['format']}", table=release.schema[name])


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


def file_name(name: str) -> str:
    """A table's or dataset's name as a file name: letters, digits, dot, dash and underscore."""
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name) or "table"
