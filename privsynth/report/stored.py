"""A report rendered again from what a run stored: the vendor edition from either folder, the internal one from its own."""

from __future__ import annotations

import json
from pathlib import Path

from privsynth.errors import ReleaseError
from privsynth.report.render import render
from privsynth.report.summary import SCHEMA_VERSION, vendor

EDITIONS = ("vendor", "internal")


def rendered(folder: Path, edition: str, format: str) -> str:
    """One edition of the report stored in a release folder or an internal folder.

    Raises:
        ReleaseError: There is no report, it is of a newer version, or the edition is not stored there.
    """
    if edition not in EDITIONS:
        raise ReleaseError(f"edition={edition!r} is unknown; expected one of {', '.join(EDITIONS)}")
    path = folder / "report.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ReleaseError(f"report={str(path)!r} cannot be read; expected a release folder or an internal folder") from None
    except ValueError:
        raise ReleaseError(f"report={str(path)!r} is damaged; take it from a backup") from None
    if not isinstance(stored, dict) or stored.get("edition") not in EDITIONS or not isinstance(stored.get("schema_version"), int):
        raise ReleaseError(f"report={str(path)!r} is not a report of privsynth; expected a release folder or an internal folder")
    if stored["schema_version"] > SCHEMA_VERSION:
        raise ReleaseError(
            f"report={str(path)!r} has schema_version={stored['schema_version']}; expected at most {SCHEMA_VERSION}: use a newer privsynth"
        )
    if stored["edition"] == edition:
        return render(stored, format)
    if edition == "vendor":
        return render(vendor(stored), format)
    raise ReleaseError(f"folder={str(folder)!r} holds the vendor edition only; the internal edition lies in the internal folder of the run")
