"""Where commands print: results to standard output, errors and progress beside it, both as plain text."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDTH = None if sys.stdout.isatty() else 140

# No markup: a column or a file named "[red]" is shown as it is.
console = Console(highlight=False, markup=False, width=_WIDTH)
errors = Console(stderr=True, highlight=False, markup=False)


def one_line(text: str) -> str:
    """The text without signs that would break the line or reorder it: names of columns and files may hold any."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in text)
