"""What a person should look at: spans of which the detector was not sure, and capitalised words that it passed over.

The list holds words of the texts. It is an internal document for whoever knows the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from privsynth.pii.detect import Span
from privsynth.pii.gazetteer import WORD, common_words
from privsynth.pii.recognizers import fold

UNSURE = 0.5
"""Spans below this score are listed: one listed name alone, digits without a context word."""


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """One thing to look at.

    Attributes:
        words: As they stand in the texts: private.
        why: ``unsure`` for what was found with a low score, ``passed over`` for a capitalised word inside a sentence that was not found.
        entity: Type that was found, or empty.
        count: In how many places.
        text: Number of the first text that holds it, from 0.
    """

    words: str
    why: Literal["unsure", "passed over"]
    entity: str
    count: int
    text: int


def review(texts: Sequence[str], found: Sequence[Sequence[Span]], *, language: str = "en", most: int = 200) -> list[ReviewItem]:
    """What to look at, the rarest words first: a name stands in few texts, a product in many.

    Args:
        texts: The texts.
        found: Their spans.
        language: Whose everyday words are not listed.
        most: Length of the list.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    where: dict[tuple[str, str, str], int] = {}
    for number, (text, spans) in enumerate(zip(texts, found, strict=True)):
        unsure = [(text[span.start : span.end], "unsure", span.entity) for span in spans if span.score < UNSURE]
        for item in [*unsure, *((word, "passed over", "") for word in _passed_over(text, spans, language))]:
            counts[item] += 1
            where.setdefault(item, number)
    order = sorted(counts, key=lambda item: (item[1] != "unsure", counts[item], item))
    return [
        ReviewItem(words=words, why="unsure" if why == "unsure" else "passed over", entity=entity, count=counts[item], text=where[item])
        for item in order[:most]
        for words, why, entity in [item]
    ]


def _passed_over(text: str, spans: Sequence[Span], language: str) -> list[str]:
    """Capitalised words inside sentences that no span covers and that are no everyday words."""
    everyday = common_words(language)
    covered = {i for span in spans for i in range(span.start, span.end)}
    words = []
    for match in WORD.finditer(text):
        before = text[: match.start()].rstrip(" \"'(")
        opens = not before or before[-1] in ".!?:\n\r•-*|"
        word = match.group().rstrip(".")
        if word[0].isupper() and len(word) > 1 and not opens and match.start() not in covered and fold(word) not in everyday:
            words.append(word)
    return words
