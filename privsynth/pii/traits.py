"""What does a text hold of that which patterns need?

The other side of ``gates``: a text is asked for its signs, digits and words in one cheap pass, and for the parts where a pattern
with certain needs can match. Answers are found when they are first asked for and kept as long as the text is searched.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from privsynth.pii.gates import COUNTED, Needs

_LETTERS = re.compile(r"[^\W\d_]+")


@cache
def _finders() -> tuple[Any, Any, Any]:
    """The three searches of a text, in the engine whose idea of a word the patterns follow."""
    regex = importlib.import_module("regex")
    return regex.compile(r"\d+"), regex.compile(r"\d(?:[\d\W]*+\d)?|\d"), regex.compile(r"\.\w")


class Traits:
    """What a text holds, as far as patterns ask; each answer is found when it is first asked for.

    Attributes:
        text: The text.
        counts: How often each sign of ``COUNTED`` occurs.
        runs: Start and end of each run of digits.
    """

    __slots__ = ("_dotted", "_glued", "_places", "_stretches", "_words", "counts", "digit_run", "digits", "runs", "solid_run", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.counts = tuple(map(text.count, COUNTED))
        self.runs: list[tuple[int, int]] = [match.span() for match in _finders()[0].finditer(text)]
        lengths = [end - start for start, end in self.runs]
        self.digits = sum(lengths)
        self.digit_run = max(lengths, default=0)
        self.solid_run = max(map(len, text.split()), default=0)
        self._stretches: list[tuple[int, int, int]] | None = None
        self._dotted: bool | None = None
        self._glued: bool | None = None
        self._words: frozenset[str] | None = None
        self._places: dict[str, list[tuple[int, int]]] | None = None

    @property
    def words(self) -> frozenset[str]:
        """Runs of letters, in lower case."""
        if self._words is None:
            self._words = frozenset(_LETTERS.findall(self.text.lower()))
        return self._words

    @property
    def places(self) -> dict[str, list[tuple[int, int]]]:
        """Where the runs of letters are, in lower case; empty if the text in lower case has other positions ("İ" becomes two)."""
        if self._places is None:
            self._places = {}
            lowered = self.text.lower()
            for match in _LETTERS.finditer(lowered) if len(lowered) == len(self.text) else ():
                self._places.setdefault(match.group(), []).append(match.span())
        return self._places

    @property
    def stretches(self) -> list[tuple[int, int, int]]:
        """Start, end and number of digits of each part without letters."""
        if self._stretches is None:
            self._stretches = _stretches(self.text, self.runs)
        return self._stretches

    @property
    def dotted(self) -> bool:
        """True if a full stop is followed by a letter, a digit or an underscore."""
        if self._dotted is None:
            self._dotted = self.counts[1] > 0 and _finders()[2].search(self.text) is not None
        return self._dotted

    @property
    def glued(self) -> bool:
        """True if a letter stands beside a digit."""
        if self._glued is None:
            text, runs = self.text, self.runs
            before = any(start > 0 and text[start - 1].isalpha() for start, _ in runs)
            self._glued = before or any(text[end : end + 1].isalpha() for _, end in runs)
        return self._glued

    def admit(self, wanted: Needs) -> bool:
        """True unless the text surely holds no match of a pattern with these needs."""
        return (
            wanted.digits <= self.digits
            and wanted.digit_run <= self.digit_run
            and wanted.solid_run <= self.solid_run
            and all(map(int.__le__, wanted.counts, self.counts))
            and (wanted.stretch <= 1 or any(digits >= wanted.stretch for _, _, digits in self.stretches))
            and (not wanted.dotted or self.dotted)
            and (not wanted.glued or self.glued)
        )

    def around(self, words: frozenset[str], wanted: Needs) -> list[tuple[int, int]]:
        """Parts of the text, in order and apart, of which one holds each match of a (bounded) pattern that must see one of some words."""
        text, places = self.text, self.places
        before = wanted.width + wanted.ahead + 1
        after = wanted.behind + before
        parts = []
        for word in words & places.keys():
            for start, end in places[word]:
                last = min(len(text), end + after)
                while last < len(text) and text[last].isalpha():  # half a word could be another word
                    last += 1
                parts.append((max(0, start - before), last))
        return joined(parts)

    def neighbourhoods(self, wanted: Needs) -> list[tuple[int, int]]:
        """Parts of the text, in order and apart, of which one holds each match of a pattern with these (local) needs."""
        if wanted.stretch > wanted.digit_run:
            anchors = [(start, end) for start, end, digits in self.stretches if digits >= wanted.stretch]
        else:
            anchors = [(start, end) for start, end in self.runs if end - start >= wanted.digit_run]
        before, after, length = wanted.width, wanted.width + wanted.ahead, len(self.text)
        return joined([(max(0, start - before), min(length, end + after)) for start, end in anchors])


def joined(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts of a text in order, those that overlap or touch made one.

    >>> joined([(5, 8), (0, 3), (2, 5)])
    [(0, 8)]
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _stretches(text: str, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Runs of digits, joined where no letter stands between."""
    letter = _letter()
    joined: list[tuple[int, int, int]] = []
    for start, end in runs:
        if joined and letter.search(text, joined[-1][1], start) is None:
            joined[-1] = (joined[-1][0], end, joined[-1][2] + end - start)
        else:
            joined.append((start, end, end - start))
    return joined


@cache
def _letter() -> Any:
    return importlib.import_module("regex").compile(r"\w")
