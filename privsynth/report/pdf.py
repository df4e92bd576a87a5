"""The PDF face of a report: PDF/A-2a for archives, PDF/UA-1 for screen readers, made by typst without a network.

typst is an optional package. The template is ours; every value reaches it as JSON, never as markup, so that nothing in a
report is interpreted. Fonts come from one known folder, and the date is the run's: the same report gives the same bytes.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Literal

from privsynth.registry import require
from privsynth.report.fonts import displayable, folder

STANDARDS = ("a-2a", "ua-1")


def is_available() -> bool:
    """Whether typst is installed."""
    return importlib.util.find_spec("typst") is not None


def compiled(document: Mapping[str, Any], *, format: Literal["pdf", "png"], ppi: float = 100.0) -> list[bytes]:
    """The document as one PDF, or as one PNG a page.

    Args:
        document: Parts in reading order, see ``document.py``.
        format: What to make.
        ppi: Pixels an inch of a PNG.

    Raises:
        MissingExtraError: typst is not installed.
    """
    typst = require("typst")
    template = files("privsynth.report").joinpath("templates", "report.typ").read_bytes()
    compiler = typst.Compiler(
        template,
        font_paths=[str(folder())],
        ignore_system_fonts=True,
        sys_inputs={"report": json.dumps(_drawable(document), ensure_ascii=True)},
    )
    made_on = datetime.fromisoformat(document["made_on"]).replace(tzinfo=UTC)
    standards = list(STANDARDS) if format == "pdf" else []
    pages = compiler.compile(format=format, ppi=ppi, pdf_standards=standards, timestamp=made_on)
    return list(pages) if isinstance(pages, list) else [pages]


def _drawable(value: Any, key: str = "") -> Any:
    """The document with every character that the font lacks as U+XXXX; drawings hold no text."""
    if isinstance(value, Mapping):
        return {name: _drawable(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [_drawable(entry) for entry in value]
    return displayable(value) if isinstance(value, str) and key != "svg" else value
