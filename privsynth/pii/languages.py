"""In which language is a column of text? Said so that nobody takes an English detector's silence for an absence of names.

Running text gives itself away by its smallest words (Grefenstette 1995, "Comparing two language identification schemes"): the
language whose stop words make up the largest share is taken, if they make up enough of the text and clearly more than
those of the next one. Other scripts are told by their letters.
"""

from __future__ import annotations

import re
import runpy
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from privsynth.registry import require

CANDIDATES = ("en", "de", "fr", "it", "es", "nl", "pt", "pl", "sv", "da", "nb", "fi", "cs", "ro", "hu", "tr", "hr", "id")
"""Languages written in Latin letters that are told apart."""

SMALLEST_SHARE = 0.12
"""Share of stop words below which a text is too short or too terse to tell: names and codes have none."""

SMALLEST_LEAD = 1.15
"""How many times as many stop words as the next language's a language needs."""

CHARACTERS = 50_000
"""Characters of a column that are looked at."""

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = {
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "CJK": "zh",
    "HIRAGANA": "ja",
    "HANGUL": "ko",
    "DEVANAGARI": "hi",
    "THAI": "th",
}
"""A language for each script; others may share it, and none of them is supported."""


def language_of(texts: Sequence[str]) -> str | None:
    """ISO 639-1 code of the language that most of some texts are in, or None if it cannot be told.

    >>> language_of(["The client called about the fee and was not happy with it."])
    'en'
    >>> language_of(["Die Kundin hat sich nach der Gebühr erkundigt und war nicht zufrieden."])
    'de'
    >>> language_of(["4711", "ok"]) is None
    True
    """
    sample = "\n".join(texts)[:CHARACTERS]
    letters = [character for character in sample if character.isalpha()]
    if not letters:
        return None
    scripts = Counter(unicodedata.name(letter, "?").split(" ")[0].split("-")[0] for letter in letters)
    script, count = scripts.most_common(1)[0]
    if script in _SCRIPTS and count > len(letters) / 2:
        return "ja" if script == "CJK" and scripts["HIRAGANA"] else _SCRIPTS[script]
    words = _WORD.findall(sample.casefold())
    shares = {language: sum(word in _stop_words(language) for word in words) / len(words) for language in CANDIDATES}
    (best, share), (_, second) = Counter(shares).most_common(2)
    return best if share >= SMALLEST_SHARE and share >= SMALLEST_LEAD * second else None


@lru_cache(maxsize=32)
def _stop_words(language: str) -> frozenset[str]:
    """Stop words up to five letters long, from spaCy: the long ones are often nouns."""
    # The file alone: importing the language would build its tokenizer, which takes seconds for some.
    package = find_spec("spacy")
    if package is None or package.origin is None:
        require("spacy")  # says how to install it
        return frozenset()
    listed = runpy.run_path(str(Path(package.origin).parent / "lang" / language / "stop_words.py"))["STOP_WORDS"]
    return frozenset(word for word in listed if len(word) <= 5)
