"""From the report's dict to its three faces: self-contained HTML that opens offline, PDF, and JSON.

HTML and PDF draw the same parts (``document.py``), so that no figure can differ between them. Templates escape every
value. Nothing is loaded from anywhere; there is no script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from privsynth.errors import ReleaseError
from privsynth.release import to_json
from privsynth.report import pdf, plots
from privsynth.report.document import document

FORMATS = ("html", "json")
"""Formats that are text; ``pdf`` is the third."""


def render(summary: Mapping[str, Any], format: str) -> str:
    """One edition in a format that is text.

    Raises:
        ReleaseError: The format is unknown, or the summary lacks a part that every report has.
    """
    if format == "json":
        return to_json(summary)
    if format == "html":
        return _page(document(summary))
    raise ReleaseError(f"format={format!r} is unknown; expected one of {', '.join(FORMATS)} (and pdf, which is not text)")


def faces(summary: Mapping[str, Any]) -> dict[str, str | bytes]:
    """One edition in every format; PDF where typst is installed.

    Raises:
        ReleaseError: The summary lacks a part that every report has.
    """
    parts = document(summary)
    made: dict[str, str | bytes] = {"html": _page(parts), "json": to_json(summary)}
    return made | ({"pdf": pdf.compiled(parts, format="pdf")[0]} if pdf.is_available() else {})


def render_pdf(summary: Mapping[str, Any]) -> bytes:
    """One edition as PDF/A-2a and PDF/UA-1.

    Raises:
        MissingExtraError: typst is not installed.
        ReleaseError: The summary lacks a part that every report has.
    """
    return pdf.compiled(document(summary), format="pdf")[0]


def _page(parts: Mapping[str, Any]) -> str:
    return str(_environment().get_template("report.html.j2").render(report=parts))


@lru_cache(maxsize=1)
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("privsynth.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"anchor": _anchor, "drawing": _drawing}
    return environment


def _anchor(text: str) -> str:
    """An id made of a heading, which is our own text.

    >>> _anchor("D. Results by legal criterion")
    'd-results-by-legal-criterion'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _drawing(part: Mapping[str, str]) -> Any:
    """A plot as inline SVG in the colours of the page, with its alternative text."""
    import markupsafe

    svg = part["svg"]
    for colour, name in ((plots.INK, "ink"), (plots.QUIET, "quiet"), (plots.RED, "fail")):
        svg = svg.replace(colour, f"var(--{name})")
    label = markupsafe.escape(f"{part['title']}. {part['alt']}")
    # our own drawing: the only texts in it were drawn as paths
    return markupsafe.Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))
