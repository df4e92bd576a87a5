"""Words that no report may use of a release: they are conclusions that a person has to draw, not a tool.

One list for every text that is rendered: both editions, legal tables, Croissant, statements, pages.
"""

from __future__ import annotations

import re

BANNED_WORDS = (
    "anonymous",
    "anonymized",
    "anonymised",
    "safe",
    "zero risk",
    "no risk",
    "compliant",
    "certified",
    "guaranteed",
    "risk-free",
)
"""Tested over everything that is rendered."""

NAMES_OF_RULES = ("Safe Harbor",)
"""Proper names that contain a banned word and conclude nothing."""


def conclusions_in(text: str) -> list[str]:
    """The banned words that a text uses, outside the proper names of rules.

    >>> conclusions_in("HIPAA Safe Harbor; unsafe; the data is Safe and fully anonymised.")
    ['anonymised', 'safe']
    """
    for name in NAMES_OF_RULES:
        text = text.replace(name, "")
    return [word for word in BANNED_WORDS if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE)]
