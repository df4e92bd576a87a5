"""Which texts, and which parts of them, can a pattern match at all?

A regular expression is asked once what every one of its matches must hold: so many "@", so many digits, a run of digits
of some length, a full stop with a letter after it. A text is asked the same in one cheap pass, and a pattern is tried
only where the answers agree: not at all, or in the neighbourhood of the digits that it needs. The conditions are derived
from the parse tree, never written by hand, so that a user's own recognizer is as fast as those that come with the package
and no match is lost; where a construct is not understood, nothing is required.

The derivation is an abstract interpretation over sequences: the minimal longest run of a sequence of parts follows
from each part's own best, first and last run, as in the segment tree of the maximum-subarray problem.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

# The parser of the standard library; its module moved in Python 3.11 and has no public name.
_parser: Any = importlib.import_module("re._parser")
_op: Any = importlib.import_module("re._constants")

COUNTED = "@.:/-_+#"
"""Signs whose number is required where a pattern holds them literally."""

UNBOUNDED = 4096
"""Longest match, in characters, for which a pattern is tried in neighbourhoods only."""

MANY = 10**9
"""As many steps, or more, as are counted."""


@dataclass(frozen=True)
class _Run:
    """What is certain about runs of one kind of character: at the start, at the end, and the longest; ``pure`` if nothing else occurs."""

    first: int = 0
    last: int = 0
    best: int = 0
    pure: bool = True

    def then(self, after: _Run) -> _Run:
        return _Run(
            first=self.best + after.first if self.pure else self.first,
            last=after.best + self.last if after.pure else after.last,
            best=max(self.best, after.best, self.last + after.first),
            pure=self.pure and after.pure,
        )

    def either(self, other: _Run) -> _Run:
        return _Run(min(self.first, other.first), min(self.last, other.last), min(self.best, other.best), self.pure and other.pure)


@dataclass(frozen=True)
class _Part:
    """What is certain about every match of a part of a pattern.

    The runs: digits; letters; letters, digits and underscores; anything but blanks; digits among anything but letters.
    """

    counts: tuple[int, ...] = (0,) * len(COUNTED)
    total: int = 0
    digits: _Run = _Run()
    letters: _Run = _Run()
    word: _Run = _Run()
    solid: _Run = _Run()
    stretch: _Run = _Run()
    dotted: bool = False
    glued: bool = False
    ends_in_dot: bool = False
    empty: bool = True  # matches nothing but the empty string
    width: int = 0  # longest match
    ahead: int = 0  # how far beyond its end it may look
    behind: int = 0  # how far before its start
    paths: int = 1  # ways through the part: no more are tried at one place of a text

    def then(self, after: _Part) -> _Part:
        return _Part(
            counts=tuple(a + b for a, b in zip(self.counts, after.counts, strict=True)),
            total=self.total + after.total,
            digits=self.digits.then(after.digits),
            letters=self.letters.then(after.letters),
            word=self.word.then(after.word),
            solid=self.solid.then(after.solid),
            stretch=self.stretch.then(after.stretch),
            dotted=self.dotted or after.dotted or (self.ends_in_dot and after.word.first > 0),
            glued=self.glued or after.glued or self._touches(after),
            ends_in_dot=after.ends_in_dot or (after.empty and self.ends_in_dot),
            empty=self.empty and after.empty,
            width=min(self.width + after.width, UNBOUNDED + 1),
            ahead=max(self.ahead, after.ahead),
            behind=max(self.behind, after.behind),
            paths=min(self.paths * after.paths, MANY),
        )

    def _touches(self, after: _Part) -> bool:
        """True if a letter and a digit surely meet where one part ends and the next begins."""
        return (self.letters.last > 0 and after.digits.first > 0) or (self.digits.last > 0 and after.letters.first > 0)

    def either(self, other: _Part) -> _Part:
        return _Part(
            counts=tuple(map(min, self.counts, other.counts)),
            total=min(self.total, other.total),
            digits=self.digits.either(other.digits),
            letters=self.letters.either(other.letters),
            word=self.word.either(other.word),
            solid=self.solid.either(other.solid),
            stretch=self.stretch.either(other.stretch),
            dotted=self.dotted and other.dotted,
            glued=self.glued and other.glued,
            ends_in_dot=self.ends_in_dot and other.ends_in_dot,
            empty=self.empty and other.empty,
            width=max(self.width, other.width),
            ahead=max(self.ahead, other.ahead),
            behind=max(self.behind, other.behind),
            paths=min(self.paths + other.paths, MANY),
        )

    def repeated(self, least: int, most: int) -> _Part:
        if least == 0:
            return NOTHING.either(self.repeated(1, max(most, 1)))
        certain = self
        for _ in range(min(least, 64) - 1):
            certain = certain.then(self)
        if most > least:
            certain = certain.then(NOTHING.either(self))
        width = UNBOUNDED + 1 if self.width and most > UNBOUNDED else min(self.width * most, UNBOUNDED + 1)
        # However many copies there are, the last one ends the part.
        return replace(certain, width=width, ends_in_dot=self.ends_in_dot, paths=self._repeated_paths(least, most))

    def _repeated_paths(self, least: int, most: int) -> int:
        """Sum of the ways through each number of copies."""
        if self.paths == 1:
            return min(most - least + 1, MANY)
        total = 0
        for copies in range(least, most + 1):
            total += self.paths ** min(copies, 64)
            if total >= MANY:
                return MANY
        return total


NOTHING = _Part()
_FUZZY = re.compile(r"\{\s*[\dc+<=]*[eisd]")
_IMPURE = _Run(pure=False)
_FAR = UNBOUNDED + 1
_ANYTHING = _Part(
    digits=_IMPURE,
    letters=_IMPURE,
    word=_IMPURE,
    solid=_IMPURE,
    stretch=_IMPURE,
    empty=False,
    width=_FAR,
    ahead=_FAR,
    behind=_FAR,
    paths=MANY,
)


@dataclass(frozen=True)
class _Kind:
    """What is certain about one character."""

    digit: bool = False
    letter: bool = False
    word: bool = False
    solid: bool = False
    letterless: bool = False

    def both(self, other: _Kind) -> _Kind:
        return _Kind(
            self.digit and other.digit,
            self.letter and other.letter,
            self.word and other.word,
            self.solid and other.solid,
            self.letterless and other.letterless,
        )

    @classmethod
    def of(cls, character: str) -> _Kind:
        # Narrower than str.isalnum: the regex engine counts no superscript or fraction as part of a word.
        digit, letter = character.isdecimal(), character.isalpha()
        word = digit or letter or character == "_"
        letterless = digit or (character.isascii() and not word)
        return cls(
            digit=digit, letter=letter, word=word, solid=word or (character.isascii() and not character.isspace()), letterless=letterless
        )

    def part(self, sign: str = "") -> _Part:
        """One such character; ``sign`` if it is literally one of ``COUNTED``."""
        run = _Run(1, 1, 1)
        return _Part(
            counts=tuple(int(sign == counted) for counted in COUNTED),
            total=int(self.digit),
            digits=run if self.digit else _IMPURE,
            letters=run if self.letter else _IMPURE,
            word=run if self.word else _IMPURE,
            solid=run if self.solid else _IMPURE,
            stretch=run if self.digit else (_Run() if self.letterless else _IMPURE),
            ends_in_dot=sign == ".",
            empty=False,
            width=1,
        )


_ALL_KINDS = _Kind(digit=True, letter=True, word=True, solid=True, letterless=True)


def _literal(code: int) -> _Part:
    return _Kind.of(chr(code)).part(sign=chr(code) if chr(code) in COUNTED else "")


def _class(members: Sequence[Any]) -> _Part:
    """One character out of a set."""
    if members[0][0] is _op.NEGATE:
        # [^\W_] leaves letters and digits, [^\W\d_] letters.
        excluded = {value for kind, value in members[1:] if kind is _op.CATEGORY}
        word = _op.CATEGORY_NOT_WORD in excluded
        underscore = (_op.LITERAL, ord("_")) in members
        letter = word and underscore and _op.CATEGORY_DIGIT in excluded
        return _Kind(letter=letter, word=word, solid=word, letterless=_op.CATEGORY_WORD in excluded).part()
    kinds = _ALL_KINDS
    for kind, value in members:
        if kind is _op.LITERAL:
            kinds = kinds.both(_Kind.of(chr(value)))
        elif kind is _op.RANGE and value[1] - value[0] < 512:
            for code in range(value[0], value[1] + 1):
                kinds = kinds.both(_Kind.of(chr(code)))
        elif kind is _op.CATEGORY:
            kinds = kinds.both(_CATEGORIES.get(value, _Kind()))
        else:
            kinds = _Kind()
    return kinds.part()


_CATEGORIES = {
    _op.CATEGORY_DIGIT: _Kind(digit=True, word=True, solid=True, letterless=True),
    _op.CATEGORY_WORD: _Kind(word=True, solid=True),
    _op.CATEGORY_SPACE: _Kind(letterless=True),
    _op.CATEGORY_NOT_WORD: _Kind(letterless=True),
}


def _part(kind: Any, value: Any, groups: dict[int, _Part]) -> _Part:
    if kind is _op.LITERAL:
        return _literal(value)
    if kind is _op.IN:
        return _class(value)
    if kind in (_op.ANY, _op.NOT_LITERAL):
        return _Kind().part()
    if kind is _op.AT:
        return _Part(ahead=1, behind=1)
    if kind in (_op.ASSERT, _op.ASSERT_NOT):
        direction, inner = value
        looked = _sequence(inner, groups)
        inside = looked.width + max(looked.ahead, looked.behind)
        ahead, behind = (inside, looked.behind) if direction > 0 else (looked.ahead, inside)
        return _Part(ahead=ahead, behind=behind, paths=looked.paths)
    if kind is _op.SUBPATTERN:
        part = _sequence(value[3], groups)
        if value[0] is not None:
            groups[value[0]] = part
        return part
    if kind is _op.ATOMIC_GROUP:
        return _sequence(value, groups)
    if kind is _op.BRANCH:
        branches = [_sequence(branch, groups) for branch in value[1]]
        joined = branches[0]
        for branch in branches[1:]:
            joined = joined.either(branch)
        return joined
    if kind in (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT):
        least, most, inner = value
        return _sequence(inner, groups).repeated(int(least), int(most))
    if kind is _op.GROUPREF and value in groups:
        return groups[value]
    return _ANYTHING  # conditionals: anything may be there


def _sequence(parts: Any, groups: dict[int, _Part]) -> _Part:
    whole = NOTHING
    for kind, value in parts:
        whole = whole.then(_part(kind, value, groups))
    return whole


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What every match of a pattern holds; all zero when nothing is certain.

    Attributes:
        counts: How often each sign of ``COUNTED`` occurs.
        digits: Decimal digits in all.
        digit_run: Digits side by side.
        solid_run: Characters without a blank between.
        stretch: Digits with no letter or underscore between the first and the last.
        dotted: A full stop is followed by a letter, a digit or an underscore.
        glued: A letter stands beside a digit.
        width: Longest match in characters; above ``UNBOUNDED`` when there is no bound.
        ahead: How far beyond its end a match may look.
        behind: How far before its start a match may look.
        steps: How many steps a backtracking engine takes at one place of a text, at most; ``MANY`` when there may be more.
        unbroken: No match holds a letter, or none holds a blank: a word between blanks has no match across it.
    """

    counts: tuple[int, ...] = (0,) * len(COUNTED)
    digits: int = 0
    digit_run: int = 0
    solid_run: int = 0
    stretch: int = 0
    dotted: bool = False
    glued: bool = False
    width: int = UNBOUNDED + 1
    ahead: int = UNBOUNDED + 1
    behind: int = UNBOUNDED + 1
    steps: int = MANY
    unbroken: bool = False

    @property
    def is_bounded(self) -> bool:
        """True when a match sees only a bounded part of the text."""
        return self.behind + self.width + self.ahead <= UNBOUNDED

    @property
    def is_local(self) -> bool:
        """True when a match lies in a bounded neighbourhood of digits."""
        return self.digits > 0 and self.width + self.ahead <= UNBOUNDED


@lru_cache(maxsize=1024)
def needs(expression: str, flags: int = 0) -> Needs:
    """What every match of a regular expression must hold.

    Args:
        expression: In the syntax of ``re`` or ``regex``; what only ``regex`` knows makes the answer "nothing".
        flags: As for ``re.compile``; case and line flags change nothing here.

    >>> needs(r"[^@ ]+@[a-z]+[.](?:com|org)").counts[COUNTED.index("@")]
    1
    >>> needs(r"[0-9]{3}-?[0-9]{4}").stretch, needs(r"[0-9]{3}-?[0-9]{4}").digit_run
    (7, 4)
    """
    # Fuzzy matching, "(?:...){e<=1}", would be read as literal text.
    if flags & re.VERBOSE or _FUZZY.search(expression):
        return Needs()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a construct that the two engines read differently
            whole = _sequence(_parser.parse(expression), {})
    except (re.error, Warning, OverflowError, RecursionError):
        return Needs()
    return Needs(
        counts=whole.counts,
        digits=whole.total,
        digit_run=whole.digits.best,
        solid_run=whole.solid.best,
        stretch=whole.stretch.best,
        dotted=whole.dotted,
        glued=whole.glued,
        width=whole.width,
        ahead=whole.ahead,
        behind=whole.behind,
        steps=min(whole.paths * (whole.width + whole.ahead + whole.behind + 1), MANY),
        unbroken=whole.solid.pure or whole.stretch.pure,
    )
