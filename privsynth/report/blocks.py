"""The parts that a report is put together from, as plain values: what the page and the PDF both draw.

Figures become text here and nowhere else, so that a figure cannot read differently on the page and in the PDF. A table's
cell is a text, or a dict with ``text`` and either ``value`` (the figure behind it) or ``light``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from privsynth.privacy.accounting import ceil_text

Block = dict[str, Any]
Cell = str | dict[str, Any]

LIGHTS: Mapping[str, tuple[str, str]] = {
    "pass": ("●", "passed"),
    "fail": ("■", "failed"),
    "inconclusive": ("▲", "inconclusive"),
    "not passed": ("◆", "not passed"),
}
"""Shape and word of each light: colour alone would tell nothing to many readers."""

NOTHING = "–"


def heading(text: str, *, level: int = 3) -> Block:
    """A heading; level 1 is the title, 2 an annex."""
    return {"kind": "heading", "text": text, "level": level}


def text(words: str, *, lead: str = "", quiet: bool = False) -> Block:
    """A paragraph, with a few words in front that stand out."""
    return {"kind": "text", "text": words, "lead": lead, "quiet": quiet}


def items(lines: Iterable[str], *, boxes: bool = False) -> Block:
    """A list; with empty boxes if a person has to tick them."""
    return {"kind": "list", "items": list(lines), "boxes": boxes}


def pairs(rows: Iterable[tuple[str, str]]) -> Block:
    """Names and values, for a few facts that are looked up."""
    return {"kind": "pairs", "rows": [list(row) for row in rows]}


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, widths: Sequence[float] = ()) -> Block:
    """A table.

    Args:
        caption: What it shows.
        columns: Headings.
        rows: Cells by row.
        widths: Relative widths in the PDF; equal by default.
    """
    return {
        "kind": "table",
        "caption": caption,
        "columns": list(columns),
        "rows": [[_cell(entry) for entry in row] for row in rows],
        "widths": list(widths) or [1.0] * len(columns),
    }


def boxes(*parts: tuple[str, str, Sequence[str]]) -> Block:
    """A row of boxes: title, one large line, small lines."""
    return {"kind": "boxes", "boxes": [{"title": title, "big": big, "lines": list(lines)} for title, big, lines in parts]}


def plot(drawn: Mapping[str, str]) -> Block:
    """A plot with the question that it answers."""
    return {"kind": "plot", **drawn}


def light(value: str | None) -> Cell:
    """A light as shape and word; a dash for what was not judged."""
    if value is None:
        return NOTHING
    shape, word = LIGHTS[value]
    return {"text": f"{shape} {word}", "light": value}


def figure(value: float | int | str | None) -> Cell:
    """A measured figure with three significant digits."""
    return NOTHING if value is None else {"text": figure_text(value), "value": value}


def bound(value: float | None) -> Cell:
    """A bound, rounded up to three digits; infinite if there is none."""
    return {"text": bound_text(value), "value": value} if value is not None else bound_text(value)


def percent(value: float | None) -> Cell:
    """A share in per cent."""
    return NOTHING if value is None else {"text": percent_text(value), "value": value}


def interval(ends: Sequence[float | None] | None) -> Cell:
    """Both ends of an interval."""
    if ends is None:
        return NOTHING
    return f"{figure_text(ends[0])} to {figure_text(ends[1])}"


def figure_text(value: float | int | str | None) -> str:
    """A figure with three significant digits; counts and words as they are.

    >>> figure_text(0.012345), figure_text(12000), figure_text(None)
    ('0.0123', '12000', '–')
    """
    if value is None:
        return NOTHING
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def bound_text(value: float | None) -> str:
    """A bound rounded up to three digits: it is never shown smaller than it is."""
    return ceil_text(math.inf if value is None else value)


def percent_text(value: float | None) -> str:
    """A share in per cent with one decimal."""
    return NOTHING if value is None else f"{value:.1%}"


def _cell(entry: Cell) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {"text": entry}
