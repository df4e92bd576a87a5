"""A report rendered again from what a run stored: the vendor edition from either folder, the internal one from its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, overload

from privsynth.errors import ReleaseError
from privsynth.report.render import render, render_pdf
from privsynth.report.summary import SCHEMA_VERSION, vendor

EDITIONS = ("vendor", "internal")


@overload
def rendered(folder: Path, edition: str, format: Literal["html", "json"]) -> str: ...
@overload
def rendered(folder: Path, edition: str, format: str) -> str | bytes: ...
def rendered(folder: Path, edition: str, format: str) -> str | bytes:
    """One edition of the report stored in a release folder or an internal folder: text, or bytes for ``pdf``.

    Raises:
        ReleaseError: There is no report, it is damaged or of another version, or the edition is not stored there.
        MissingExtraError: PDF is asked for and typst is not installed.
    """
    if edition not in EDITIONS:
        raise ReleaseError(f"edition={edition!r} is unknown; expected one of {', '.join(EDITIONS)}")
    stored = _read(folder / "report.json")
    if stored["edition"] != edition and edition == "internal":
        raise ReleaseError(
            f"folder={str(folder)!r} holds the vendor edition only; the internal edition lies in the internal folder of the run"
        )
    try:
        own = stored if stored["edition"] == edition else vendor(stored)
        return render_pdf(own) if format == "pdf" else render(own, format)
    except (KeyError, TypeError, AttributeError) as error:  # values of other types than a report has
        raise ReleaseError(f"report={str(folder / 'report.json')!r} is damaged ({type(error).__name__}); take it from a backup") from None


def _read(path: Path) -> dict[str, Any]:
    """The stored report, if this version of privsynth can show it."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ReleaseError(f"report={str(path)!r} cannot be read; expected a release folder or an internal folder") from None
    except ValueError:
        raise ReleaseError(f"report={str(path)!r} is damaged; take it from a backup") from None
    if not isinstance(stored, dict) or stored.get("edition") not in EDITIONS or not isinstance(stored.get("schema_version"), int):
        raise ReleaseError(f"report={str(path)!r} is not a report of privsynth; expected a release folder or an internal folder")
    version = stored["schema_version"]
    if version != SCHEMA_VERSION:
        other = "a newer" if version > SCHEMA_VERSION else "the older"
        raise ReleaseError(f"report={str(path)!r} has schema_version={version}; expected {SCHEMA_VERSION}: use {other} privsynth")
    return stored
