"""Which words stand around a match, and where in a text can a match have a given word before it?

A match that scores low counts only beside a word of its recognizer's context. Presidio cuts each text in full into
words to find out; here each run of non-blank characters is cut once and remembered (spaCy's tokenizer treats them apart), and
in a long text a pattern that cannot count alone is tried only in the neighbourhood of its context words.

What counts as a word, and how many of them do, follows Presidio's ``LemmaContextAwareEnhancer`` with the lower-cased word as
lemma: up to five keywords before a match, the word at its start, and the first one after that.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from privsynth.pii.traits import joined

CONTEXT_WORDS = 5
"""Words before a match that may support it, as in Presidio."""

_LOCAL_CONTEXT = 20_000  # in longer texts only the neighbourhood of a match is cut into words
_FAR = 1000  # characters on either side of it
_TOKENS = 100  # as far as keywords are looked for: a row of punctuation is not followed for ever
_CHUNK = re.compile(r"\S+")
_PIECES = re.compile(r"\s+|\S+")
_REMEMBERED = 1 << 16


class Tokens(NamedTuple):
    """Words of a piece of text.

    Attributes:
        words: In lower case.
        ends: One past the last character of each, counted from the start of the piece.
        keywords: Those among the words that may count as context, and the parts of "phone:mobile".
    """

    words: tuple[str, ...]
    ends: tuple[int, ...]
    keywords: frozenset[str]


class Tokenizer:
    """Cuts texts into words with a spaCy tokenizer; it remembers how a run of non-blank characters was cut, and no text.

    Args:
        cut: The spaCy tokenizer.
    """

    def __init__(self, cut: Callable[[str], Any]) -> None:
        self._cut = cut
        self._chunk = lru_cache(maxsize=_REMEMBERED)(self._cut_chunk)

    def _cut_chunk(self, chunk: str) -> Tokens:
        tokens = self._cut(chunk)
        words = tuple(token.text.lower() for token in tokens)
        return Tokens(
            words, tuple(token.idx + len(token) for token in tokens), frozenset(part for word in words for part in _keywords(word))
        )

    def __call__(self, text: str) -> Tokens:
        """The words of a text, as the spaCy tokenizer gives them for the whole; emoticons after a bracket may be cut otherwise."""
        words: list[str] = []
        ends: list[int] = []
        keywords: set[str] = set()
        position = 0
        for piece in _PIECES.findall(text):
            start, position = position, position + len(piece)
            if not piece[0].isspace():
                chunk = self._chunk(piece)
                words += chunk.words
                ends += chunk.ends if not start else [start + end for end in chunk.ends]
                keywords |= chunk.keywords
            elif piece != " " or not start:
                # One blank belongs to the word before it; what is left is a word, for Presidio too.
                words.append(piece[1:] if start and piece[0] == " " else piece)
                ends.append(position)
                keywords.add(words[-1])
        return Tokens(tuple(words), tuple(ends), frozenset(keywords))


def _keywords(word: str) -> tuple[str, ...]:
    """What a word contributes to context: nothing if it is punctuation; "phone:mobile" is two."""
    return () if word == "be" or _is_punctuation(word) else tuple(word.split(":"))


def _is_punctuation(word: str) -> bool:
    return bool(word) and all(unicodedata.category(character).startswith("P") for character in word)


class Surroundings:
    """Words around places of one text; no more of it is cut into words than the answers need."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self._text, self._tokenizer = text, tokenizer
        self._places = [match.span() for match in _CHUNK.finditer(text)] if len(text) <= _LOCAL_CONTEXT else None

    def support(self, start: int, context: frozenset[str]) -> bool:
        """True if one of some words stands among the words around a position."""
        before = None if any(word[:1].isdecimal() for word in context) else self._words_before_number(start)
        return not context.isdisjoint(self.words(start) if before is None else before)

    def _words_before_number(self, start: int) -> set[str] | None:
        """Up to five words before a number that stands alone; None if something else stands at the position.

        The number is the word at the position and the next one, and no context word: how it would be cut need not be known.
        """
        text, places = self._text, self._places
        if places is None or not text[start].isdecimal():
            return None
        at = bisect.bisect_left(places, (start, start))
        # In "10:30 am" Presidio does not count the time as a word.
        if at == len(places) or places[at][0] != start or text.find(":", *places[at]) >= 0:
            return None
        reach = CONTEXT_WORDS + 1
        while True:
            first = places[at - reach][0] if at > reach else 0
            words, _, keywords = self._tokenizer(text[first:start])
            before = [word for word in words[-_TOKENS:] if word in keywords][-CONTEXT_WORDS:]
            if first == 0 or len(before) == CONTEXT_WORDS or len(words) >= _TOKENS:
                return {*before}
            reach *= 8

    def words(self, start: int) -> set[str]:
        """Up to five words before a position, the word there, and the next."""
        text, places, offset = self._text, self._places, 0
        if places is None:
            offset = max(0, start - _FAR)
            # A cut inside a word would make a word that is not there.
            while 0 < offset < start and not text[offset - 1].isspace():
                offset += 1
            text, start = text[offset : start + _FAR], start - offset
            places = [match.span() for match in _CHUNK.finditer(text)]
        at = bisect.bisect_right(places, (start, len(text))) - 1
        reach = CONTEXT_WORDS + 2
        while True:
            earliest, latest = max(0, at - reach), min(len(places), at + 2 + reach // 8)
            first = places[earliest][0] if earliest else 0
            last = places[latest - 1][1] if latest < len(places) else len(text)
            words, ends, keywords = self._tokenizer(text[first:last])
            here = bisect.bisect_right(ends, start - first)
            before = [word for word in words[max(0, here - _TOKENS) : here + 1] if word in keywords][-CONTEXT_WORDS - 1 :]
            # Presidio also takes the first word at or after the match: "4155552671," is followed by nothing, "(415)" by a digit group.
            after = [word for word in words[here : here + _TOKENS] if word in keywords][:1]
            found_before = first == 0 or len(before) > CONTEXT_WORDS or here >= _TOKENS
            if found_before and (last == len(text) or after or len(words) - here >= _TOKENS):
                return {*before, *after}
            reach *= 8


class PlainWords:
    """Places of the words of a text that are surely keywords; they measure how far a context word reaches."""

    def __init__(self, text: str) -> None:
        # No tokenizer makes less than one keyword of three letters between blanks; "be", which Presidio leaves out, is too short.
        places = [match.span() for match in _CHUNK.finditer(text) if match.end() - match.start() > 2 and match.group().isalpha()]
        self._starts, self._ends = [start for start, _ in places], [end for _, end in places]
        self._length = len(text)

    def reach(self, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Parts of the text, in order and apart, where a match must start to have a word at one of the places among its context.

        Each part starts and ends with a plain word or with the text, so that no pattern without letters, and none without blanks,
        matches across its border.
        """
        return joined(
            (self._starts[before] if before >= 0 else 0, self._ends[after] if after < len(self._ends) else self._length)
            for before, after in (
                (bisect.bisect_left(self._ends, start) - 1, bisect.bisect_left(self._starts, end) + CONTEXT_WORDS + 1)
                for start, end in places
            )
        )
