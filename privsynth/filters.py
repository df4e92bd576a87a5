"""Filters for synthetic records: rules that anyone may know, applied after sampling.

A filter that looked at private records would spend budget, or leak. So every rule here is public: what a person writes into a plan, what
the synthetic row says, and what a detector of personal data finds in the synthetic text. Resampling what a rule rejects is then
post-processing of the released model. Nearness to a real record is no rule: that is what audits measure, on unfiltered samples.

Each rule names its reason; ``resample`` asks for new texts up to a bound and reports what was kept and what was rejected, by reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from privsynth.errors import PlanError

Rule = Callable[[str, Mapping[str, object]], bool]
"""Whether a text, given its row, is rejected."""

Detector = Callable[[str], Sequence[str]]
"""Types of the personal data in a text, repeats included; handed in by whoever runs the filters."""

SLOT = re.compile(r"<[A-Z]+(?:_[A-Z0-9]+)*>")
"""What stands for personal data in a text until it is filled."""

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
CLOSERS = "\"'”’»)]}"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One rule.

    Attributes:
        reason: What a rejected text did wrong, in words for a report.
        rejects: The rule.
        reads_private_data: Always False here: said in every report, and checked where filters are run.
    """

    reason: str
    rejects: Rule
    reads_private_data: bool = False


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """Which rules are applied; all public choices.

    Attributes:
        min_letters: Shorter texts are rejected; 0 keeps empty ones.
        max_letters: Longer texts are rejected.
        finished: Reject texts that do not end with a sentence's end.
        max_repeats: Reject texts in which some run of ``repeat_words`` words comes more often than this.
        repeat_words: Length of such runs.
        scripts: Unicode scripts whose letters may occur, such as ``LATIN``; empty for any.
        forbid_slots: Reject texts in which a slot is left.
        contradictions: By column: values that belong to other rows. A text that names one of them and not its own row's value is rejected.
    """

    min_letters: int = 1
    max_letters: int = 10_000
    finished: bool = False
    max_repeats: int = 2
    repeat_words: int = 4
    scripts: tuple[str, ...] = ()
    forbid_slots: bool = True
    contradictions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse limits that reject everything."""
        if not 0 <= self.min_letters <= self.max_letters or self.max_repeats < 1 or self.repeat_words < 1:
            raise PlanError(
                f"min_letters={self.min_letters!r}, max_letters={self.max_letters!r}, max_repeats={self.max_repeats!r}, "
                f"repeat_words={self.repeat_words!r}; expected 0 <= min_letters <= max_letters, and at least 1"
            )

    def filters(self, detect: Detector | None = None, *, allowed: Iterable[str] = ()) -> tuple[Filter, ...]:
        """The rules in the order in which they are tried: a text is counted under the first that rejects it.

        Args:
            detect: Finds personal data; None looks for none.
            allowed: Types that a text may hold, because the pipeline wrote them there.
        """
        may_hold = frozenset(allowed)
        found = [
            Filter(reason="empty or too short", rejects=lambda text, row: len(text.strip()) < self.min_letters),
            Filter(reason="too long", rejects=lambda text, row: len(text) > self.max_letters),
            Filter(reason="characters that cannot be shown", rejects=lambda text, row: has_unprintable(text)),
            Filter(reason="repeats itself", rejects=lambda text, row: most_repeats(text, self.repeat_words) > self.max_repeats),
        ]
        if self.scripts:
            found.append(Filter(reason="letters of another script", rejects=lambda text, row: bool(scripts_of(text) - set(self.scripts))))
        if self.finished:
            found.append(Filter(reason="unfinished sentence", rejects=lambda text, row: not is_finished(text)))
        if self.forbid_slots:
            found.append(Filter(reason="unfilled slot", rejects=lambda text, row: SLOT.search(text) is not None))
        if detect is not None:
            found.append(Filter(reason="personal data", rejects=lambda text, row: bool(set(detect(text)) - may_hold)))
        for column, values in self.contradictions.items():
            found.append(Filter(reason=f"contradicts its row in {column}", rejects=_contradiction(column, values)))
        return tuple(found)


def has_unprintable(text: str) -> bool:
    r"""Whether a text holds control characters (line breaks and tabs are none), or the sign of a byte that was no letter.

    >>> has_unprintable("line\nbreak"), has_unprintable("bell\a"), has_unprintable("lost \ufffd")
    (False, True, True)
    """
    return any(
        letter == "\ufffd" or (unicodedata.category(letter) in ("Cc", "Co", "Cs", "Cn") and letter not in "\n\t\r") for letter in text
    )


def most_repeats(text: str, n_words: int) -> int:
    """How often the most frequent run of ``n_words`` words comes, 0 in a shorter text.

    >>> most_repeats("it is a pub it is a pub it is a pub", 4)
    3
    """
    words = text.lower().split()
    runs = Counter(tuple(words[start : start + n_words]) for start in range(len(words) - n_words + 1))
    return max(runs.values(), default=0)


def scripts_of(text: str) -> frozenset[str]:
    """Unicode scripts of a text's letters, as the first word of their names.

    >>> sorted(scripts_of("Zürich — Москва 10"))
    ['CYRILLIC', 'LATIN']
    """
    return frozenset(unicodedata.name(letter, "UNKNOWN").split()[0] for letter in text if letter.isalpha())


def is_finished(text: str) -> bool:
    """Whether a text ends where a sentence ends.

    >>> is_finished('He said "no."'), is_finished("and then the")
    (True, False)
    """
    return text.rstrip().rstrip(CLOSERS).endswith(SENTENCE_ENDS)


def names_value(text: str, value: str) -> bool:
    """Whether a text names a value as whole words, in any case.

    >>> names_value("A Thai place.", "thai"), names_value("Thailand", "Thai")
    (True, False)
    """
    return re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", text.lower()) is not None


def _contradiction(column: str, values: Sequence[str]) -> Rule:
    def rejects(text: str, row: Mapping[str, object]) -> bool:
        own = row.get(column)
        if own is None or names_value(text, str(own)):
            return False
        return any(names_value(text, value) for value in values if value != str(own))

    return rejects


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What filters left.

    Attributes:
        texts: One per row; None where every attempt was rejected.
        attempts: Texts drawn in all.
        rejected: How many texts each reason rejected, the reasons of all filters listed.
    """

    texts: tuple[str | None, ...]
    attempts: int
    rejected: Mapping[str, int]


def resample(
    draw: Callable[[Sequence[int]], Sequence[str]],
    rows: Sequence[Mapping[str, object]],
    filters: Sequence[Filter],
    *,
    max_attempts: int = 4,
) -> Kept:
    """A text for each row that no filter rejects, drawn again up to a bound.

    Args:
        draw: Texts for the rows at these positions, as many and in the same order.
        rows: Synthetic rows.
        filters: Public rules.
        max_attempts: Draws for one row at most, at least 1: a row without a good text stays without one, which is counted.

    Raises:
        PlanError: A filter reads private data, or the bound is below 1.
    """
    private = [one.reason for one in filters if one.reads_private_data]
    if private or max_attempts < 1:
        raise PlanError(
            f"filter {private[0]!r} reads private data; releases are filtered by public rules only"
            if private
            else f"max_attempts={max_attempts!r}; expected at least 1"
        )
    texts: list[str | None] = [None] * len(rows)
    rejected = {one.reason: 0 for one in filters}
    open_rows, attempts = list(range(len(rows))), 0
    for _ in range(max_attempts):
        if not open_rows:
            break
        drawn = draw(open_rows)
        attempts += len(open_rows)
        left = []
        for position, text in zip(open_rows, drawn, strict=True):
            reason = next((one.reason for one in filters if one.rejects(text, rows[position])), None)
            if reason is None:
                texts[position] = text
            else:
                rejected[reason] += 1
                left.append(position)
        open_rows = left
    return Kept(texts=tuple(texts), attempts=attempts, rejected=rejected)
