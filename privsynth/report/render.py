"""From the report's dict to a page: self-contained HTML that opens offline, and JSON.

Templates escape every value. Nothing is loaded from anywhere; there is no script.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from privsynth.errors import ReleaseError
from privsynth.privacy.accounting import ceil_text
from privsynth.release import to_json

FORMATS = ("html", "json")


def render(summary: Mapping[str, Any], format: str) -> str:
    """One edition in one format.

    Raises:
        ReleaseError: The format is unknown.
    """
    if format == "json":
        return to_json(summary)
    if format == "html":
        stored = json.loads(to_json(summary))  # with the keys in the order of the JSON file: rendered again, the page is the same
        return str(_environment().get_template("report.html.j2").render(report=stored))
    raise ReleaseError(f"format={format!r} is unknown; expected one of {', '.join(FORMATS)}")


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
    environment.filters |= {"figure": _figure, "bound": _bound, "percent": _percent}
    return environment


def _figure(value: object) -> str:
    """A measured figure with three significant digits; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def _bound(value: float | None) -> str:
    """A bound rounded up to three digits."""
    return ceil_text(math.inf if value is None else value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
