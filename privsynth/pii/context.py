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

from privsynth.pii.gates import joined

CONTEXT_WORDS = 5
"""Words before a match that may support it, as in Presidio."""

_LOCAL_CONTEXT = 20_000  # in longer texts only the neighbourhood of a match is cut into words
_TOKENS = 100  # as far as keywords are looked for: a row of punctuation is not followed for ever
_PIECES = re.compile(r"\s+|\S+")
# Runs of letters between blanks: no tokenizer makes less than one keyword of them ("be", which Presidio leaves out, is too short).
_PLAIN_WORD = re.compile(r"(?<!\S)[^\W\d_]{3,}(?!\S)")
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
        words = tuple(token.lower_ for token in tokens)
        return Tokens(words, tuple(token.idx + len(token) for token in tokens), frozenset(part for word in words for part in _keywords(word)))

    def __call__(self, text: str) -> Tokens:
        """The words of a text, as the spaCy tokenizer gives them for the whole; emoticons with a bracket before may be cut otherwise."""
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
    """Words around places of one text, which is cut when the first match asks."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self._text, self._tokenizer = text, tokenizer
        self._tokens = tokenizer(text) if len(text) <= _LOCAL_CONTEXT else None

    def words(self, start: int) -> set[str]:
        """Up to five words before a position, the word there, and the next."""
        tokens = self._tokens
        if tokens is None:
            first = max(0, start - 1000)
            # A cut inside a word would make a word that is not there.
            while 0 < first < start and not self._text[first - 1].isspace():
                first += 1
            tokens = self._tokenizer(self._text[first : start + 1000])
            start -= first
        words, keywords = tokens.words, tokens.keywords
        here = bisect.bisect_right(tokens.ends, start)
        collected: list[str] = []
        for i in range(min(here, len(words) - 1), max(-1, here - _TOKENS - 1), -1):
            if words[i] in keywords:
                collected.append(words[i])
                if len(collected) > CONTEXT_WORDS:
                    break
        # Presidio also takes the first word at or after the match: "4155552671," is followed by nothing, "(415)" by a digit group.
        following = next((word for word in words[here : here + _TOKENS] if word in keywords), None)
        return {*collected} if following is None else {*collected, following}


class PlainWords:
    """Places of the words of a text that are surely keywords; they measure how far a context word reaches."""

    def __init__(self, text: str) -> None:
        places = [match.span() for match in _PLAIN_WORD.finditer(text)]
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

