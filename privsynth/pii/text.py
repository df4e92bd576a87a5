"""Everything personal in a text: patterns, a model for names, lists of names, and what is known of the text's own person.

Four detectors look at each text; none sees another person's:

1. patterns and checksums (``detect``);
2. a model that finds names (``ner``): the folder in ``PRIVSYNTH_NER``, else the best installed pipeline, else the embedded one;
3. lists of names and places (``gazetteer``);
4. the values of the person's own rows, and the names found once in the person's texts, wherever they recur (``propagation``).

Where spans overlap, one type stands for each character and nothing that was found is lost: a format with rules of its own (an
e-mail address, an IBAN) goes before a name, then the longer span before the shorter, then a name that is known from elsewhere, then
the surer; what the other span covers beyond it stays that span's.

Free text without a model for names is refused, unless the caller says ``ner="none"``: patterns and lists miss most names.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from privsynth.errors import PIIError
from privsynth.pii import gazetteer, ner, propagation
from privsynth.pii.boundaries import refined
from privsynth.pii.detect import Span, detect_spans
from privsynth.pii.gazetteer import Mention

NONE = "none"
"""``ner = "none"``: a person accepts that names in text are mostly missed."""

FORMATS = (
    *(
        "EMAIL_ADDRESS",
        "IBAN_CODE",
        "CREDIT_CARD",
        "NATIONAL_ID",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "PHONE_NUMBER",
        "URL",
        "SECRET",
        "CRYPTO",
        "ID",
    ),
    *("BANK_ACCOUNT", "PASSPORT", "DRIVER_LICENSE"),
)
"""Types that their form or their owner's row proves; a name that overlaps one of them keeps only what lies outside it."""

SHORTEST_VALUE = 4
"""Letters and digits that a value of a row needs to be looked up in text: shorter ones occur by chance."""

PROPAGATION = "propagation"
"""Recognizer of names that are known from elsewhere."""

OWN_SCORE = 0.95
"""Score of a value that stands in the person's own row."""

OwnValues = Mapping[str, Sequence[str]]
"""Values of one person's rows by type of personal data: ``{"PERSON": ["Anna Müller"], "ID": ["K9068107"]}``."""


def ner_model(language: str = "en") -> str | None:
    """Name of the model that looks for names in texts of a language, or None: then most of them are missed."""
    return ner.available(language)


def require_ner(column: str, *, language: str = "en") -> None:
    """Refuse free text when nothing here can find the names in it.

    Raises:
        PIIError: There is no model for this language.
    """
    if ner_model(language) is None:
        raise PIIError(
            f"column {column!r} is free text ({language}) and no model that finds names in it is installed; "
            f'set text = "drop" in the plan, name a model\'s folder in {ner.FOLDER_VARIABLE}, or accept the misses with ner = "none"'
        )


def find(
    texts: Sequence[str],
    *,
    people: Sequence[Hashable] | None = None,
    known: Mapping[Hashable, OwnValues] | None = None,
    language: str = "en",
    model: str | None = None,
    threshold: float = 0.4,
    alone: bool = False,
) -> list[tuple[Span, ...]]:
    """Personal data in each text, without overlaps.

    Args:
        texts: Texts of any number and length.
        people: Whose text each is; None makes every text a document of its own.
        known: Values of each person's own rows; they are found wherever they stand in that person's texts.
        language: One of ``recognizers.LANGUAGES``.
        model: Which model looks for names: a name that ``ner.load`` takes, ``"none"`` for no model, or None for ``ner_model``.
        threshold: Spans below this score are left out, in [0, 1].
        alone: Let the model read each text by itself, so that no text can change what is found in another.

    Returns:
        For each text its spans, by position.

    Raises:
        PIIError: There is no model for the language and ``model`` is not ``"none"``; or ``people`` and ``texts`` differ in length.
    """
    chosen = model or ner_model(language)
    if chosen is None:
        raise PIIError(
            f"no model that finds names in {language!r} texts is installed; name the folder of one in {ner.FOLDER_VARIABLE}, "
            'or accept the misses with ner = "none"'
        )
    if known is not None and people is None:
        raise PIIError("values of people were given without saying whose text each is; pass people= with one entry per text")
    # One pass for each distinct text: notes repeat, and what is found in a text depends on nothing else up to here.
    distinct = list(dict.fromkeys(texts))
    named = (
        [[] for _ in distinct] if chosen == NONE else ner.find_names(distinct, pipeline=ner.load(chosen, language=language), alone=alone)
    )
    first_look = {
        text: [
            part
            for span in [
                *patterns,
                *_spans(mentions, f"ner:{chosen}"),
                *_spans(gazetteer.find_names(text, language=language), "name lists"),
            ]
            for part in refined(text, span, language=language)
        ]
        for text, patterns, mentions in zip(distinct, detect_spans(distinct, language=language, threshold=threshold), named, strict=True)
    }
    found = [merged(text, [span for span in first_look[text] if span.score >= threshold]) for text in texts]
    names = {person: tuple(values.get("PERSON", ())) for person, values in (known or {}).items()} if known is not None else None
    spread = propagation.propagate(
        texts, [[(span.start, span.end, span.entity) for span in spans] for spans in found], persons=people, names=names, language=language
    )
    lookup = _OwnValues(known or {})
    owners: Sequence[Hashable] = range(len(texts)) if people is None else people
    return [
        merged(text, [*spans, *_spans(mentions, PROPAGATION), *lookup.find(text, owner)])
        for text, spans, mentions, owner in zip(texts, found, spread, owners, strict=True)
    ]


def _spans(mentions: Sequence[Mention], recognizer: str) -> list[Span]:
    return [Span(start=m.start, end=m.end, entity=m.entity, score=m.score, recognizer=recognizer) for m in mentions]


def merged(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans without overlaps by the rule of this module, by position; together they cover what the given ones cover, signs aside."""
    kept: list[Span] = []
    order = sorted(
        spans,
        key=lambda span: (
            span.entity not in FORMATS,
            span.start - span.end,
            span.recognizer != PROPAGATION,
            -span.score,
            span.start,
            span.entity,
        ),
    )
    for span in order:
        for start, end in _uncovered(span, kept):
            while start < end and not text[start].isalnum() and start > span.start:
                start += 1
            while end > start and not text[end - 1].isalnum() and end < span.end:
                end -= 1
            if any(character.isalnum() for character in text[start:end]):
                kept.append(replace(span, start=start, end=end))
    return _joined(text, sorted(kept, key=lambda span: span.start))


def _uncovered(span: Span, others: Sequence[Span]) -> list[tuple[int, int]]:
    """The stretches of a span that no other covers."""
    stretches, start = [], span.start
    for other in sorted((other for other in others if other.start < span.end and span.start < other.end), key=lambda other: other.start):
        stretches.append((start, other.start))
        start = max(start, other.end)
    return [(low, high) for low, high in [*stretches, (start, span.end)] if low < high]


def _joined(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans of one type become one where they touch, or where two detectors each found a part of what one blank divides."""
    joined: list[Span] = []
    for span in spans:
        before = joined[-1] if joined else None
        if before and before.entity == span.entity and text[before.end : span.start] in ("", " ") and before.recognizer != span.recognizer:
            joined[-1] = replace(joined[-1], end=span.end, score=max(joined[-1].score, span.score))
        else:
            joined.append(span)
    return tuple(joined)


class _OwnValues:
    """Looks up the values of each person's rows, written in any case and with up to three signs between their characters."""

    def __init__(self, known: Mapping[Hashable, OwnValues]) -> None:
        self._known = known
        self._needles: dict[Hashable, list[tuple[str, str]]] = {}

    def find(self, text: str, person: Hashable) -> list[Span]:
        """The person's own values in a text."""
        if person not in self._known:
            return []
        if person not in self._needles:
            self._needles[person] = [
                (entity, needle)
                for entity, values in self._known[person].items()
                if entity not in ("PERSON", "FREE_TEXT")
                for value in values
                if len(needle := _letters(value)[0]) >= SHORTEST_VALUE
            ]
        haystack, places = _letters(text)
        found = []
        for entity, needle in self._needles[person]:
            start = haystack.find(needle)
            while start >= 0:
                where = places[start : start + len(needle)]
                if _stands_alone(text, where):
                    found.append(Span(start=where[0], end=where[-1] + 1, entity=entity, score=OWN_SCORE, recognizer="own row"))
                start = haystack.find(needle, start + 1)
        return found


def _letters(text: str) -> tuple[str, list[int]]:
    """The letters and digits of a text in one case, and where each stands."""
    places = [i for i, character in enumerate(text) if character.isalnum()]
    # One character each: "ß" in capitals is two.
    return "".join(text[i].lower() if len(text[i].lower()) == 1 else text[i] for i in places), places


def _stands_alone(text: str, places: Sequence[int]) -> bool:
    """True if no letter or digit touches a found value, and its parts are no further apart than a value is ever grouped."""
    before, after = places[0] - 1, places[-1] + 1
    apart = any(later - earlier > 4 for earlier, later in pairwise(places))
    return not apart and not (before >= 0 and text[before].isalnum()) and not (after < len(text) and text[after].isalnum())
