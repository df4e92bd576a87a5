"""Presidio's recognizers, run faster than Presidio runs them, with the same answer.

Presidio tries every pattern of every recognizer on every text, tokenizes each text in full, searches a document for
phone numbers once per country, and builds an explanation for each match. Here a pattern is tried where ``gates`` says
that it can match, phone numbers are looked for around digits, and words are cut out only where a match asks for its
context. Recognizer objects are used as they are, the user's own included: their patterns, checks, context words and
scores mean what they mean in Presidio, and the tests hold the two engines to the same spans and scores.

A recognizer that fails, or runs out of time, ends the search with an error: a text that was not searched in full counts
as not searched.
"""

from __future__ import annotations

import bisect
import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, runtime_checkable

from privsynth.errors import PIIError
from privsynth.pii.context import PlainWords, Surroundings, Tokenizer
from privsynth.pii.gates import COUNTED, Needs, needs
from privsynth.pii.phones import phone_numbers
from privsynth.pii.traits import Traits, joined

PATTERN_SECONDS = 20.0
"""Time for one pattern on one text; Presidio allows 60 seconds, logs a warning, and goes on without the pattern."""

_CONTEXT_GAIN, _CONTEXT_FLOOR = 0.35, 0.4  # Presidio's defaults
_CHOICES = 20_000  # kinds of text whose rules are remembered
_QUICK = 100_000_000  # steps of a search that surely end before that time: a step takes under 100 nanoseconds
_SHORT = 256  # below this length a whole text is searched as fast as its neighbourhoods


class Hit(NamedTuple):
    """A match of a recognizer, by position.

    Attributes:
        start: First character, counted from 0.
        end: One past the last.
        entity: Type of personal data.
        score: In [0, 1].
        recognizer: The recognizer's name.
        owner: Its place in the engine's list.
    """

    start: int
    end: int
    entity: str
    score: float
    recognizer: str
    owner: int


@runtime_checkable
class TraitsRecognizer(Protocol):
    """A recognizer that can be told what is known of a text, beside Presidio's own interface.

    Attributes:
        needs: A text must satisfy one of them, if there are any.
    """

    needs: tuple[Needs, ...]

    def search(self, traits: Traits, floor: float) -> Iterable[tuple[int, int, float]]:
        """Start, end and score of each match; those that score below the floor may be left out."""


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """One pattern of one recognizer, ready to run."""

    owner: int
    name: str
    entity: str
    score: float
    expression: Any
    needs: Needs
    validate: Callable[[str], bool | None] | None
    invalidate: Callable[[str], bool | None] | None
    context: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    always: bool = False

    def may_reach(self, threshold: float, words: frozenset[str]) -> bool:
        """False if no match can have this score: a low one is raised by a context word alone, and none is in the text."""
        if self.words and self.words.isdisjoint(words):
            return False
        return self.may_reach_alone(threshold) or not self.context.isdisjoint(words)

    def may_reach_alone(self, threshold: float) -> bool:
        """False if a match needs a context word to have this score."""
        return self.always or self.score >= threshold or self.validate is not None

    def search(self, traits: Traits, reach: Callable[[frozenset[str]], Sequence[tuple[int, int]]] | None = None) -> list[Hit]:
        """Hits in a text; where ``reach`` is given, those with a context word in reach, as it tells for some words."""
        text = traits.text
        found = []
        for first, last in self._parts(traits, reach) if len(text) > _SHORT else ((0, len(text)),):
            # To watch the clock takes longer than most searches; where steps are few, there is no need.
            quick = self.needs.steps * (last - first) <= _QUICK
            for match in self.expression.finditer(text, first, last, timeout=None if quick else PATTERN_SECONDS):
                start, end = match.span()
                if start < end and (score := self._judged(text[start:end])) > 0:
                    found.append(Hit(start, end, self.entity, score, self.name, self.owner))
        return found

    def _parts(self, traits: Traits, reach: Callable[[frozenset[str]], Sequence[tuple[int, int]]] | None) -> Sequence[tuple[int, int]]:
        """Parts of a long text that hold all matches."""
        if reach is not None and self.needs.unbroken and self.needs.is_bounded:
            length = len(traits.text)
            return joined([(first, min(length, last + self.needs.ahead)) for first, last in reach(self.context)])
        if self.words and self.needs.is_bounded and traits.places:
            return traits.around(self.words, self.needs)
        return traits.neighbourhoods(self.needs) if self.needs.is_local else ((0, len(traits.text)),)

    def _judged(self, matched: str) -> float:
        """The pattern's score, or what the recognizer's checks make of it."""
        score = self.score
        if self.validate is not None and (valid := self.validate(matched)) is not None:
            score = 1.0 if valid else 0.0
        if self.invalidate is not None and self.invalidate(matched):
            score = 0.0
        return score


@dataclass(frozen=True, kw_only=True)
class _Whole:
    """A recognizer that is asked as a whole, because its search is its own code."""

    owner: int
    recognizer: Any
    needs: tuple[Needs, ...] = ()
    reads_artifacts: bool = True

    def search(self, traits: Traits, artifacts: Any, floor: float) -> list[Hit]:
        """Hits in a text; those below the floor may be left out."""
        if self.needs and not any(map(traits.admit, self.needs)):
            return []
        results = self.recognizer.analyze(traits.text, self.recognizer.supported_entities, artifacts)
        return [
            Hit(result.start, result.end, result.entity_type, result.score, self.recognizer.name, self.owner) for result in results or ()
        ]


@dataclass(frozen=True, kw_only=True)
class _Phones(_Whole):
    """Presidio's phone recognizer."""

    def search(self, traits: Traits, artifacts: Any, floor: float) -> list[Hit]:
        own = self.recognizer
        numbers = phone_numbers(traits, regions=own.supported_regions, leniency=own.leniency)
        hits = [Hit(start, end, own.supported_entities[0], own.SCORE, own.name, self.owner) for start, end in numbers]
        return without_contained(hits)


@dataclass(frozen=True, kw_only=True)
class _Direct(_Whole):
    """A recognizer of this package whose search takes what is known of the text."""

    def search(self, traits: Traits, artifacts: Any, floor: float) -> list[Hit]:
        if self.needs and not any(map(traits.admit, self.needs)):
            return []
        own = self.recognizer
        return [Hit(start, end, own.supported_entities[0], score, own.name, self.owner) for start, end, score in own.search(traits, floor)]


class Engine:
    """Runs recognizers over texts; between calls it remembers single words, no text and no result.

    Args:
        recognizers: Presidio recognizers, of any class.
        language: Handed to ``nlp_engine``.
        words: A spaCy tokenizer; it cuts out the words around a match.
        nlp_engine: Presidio NLP engine for recognizers that read its artifacts (named entities); None gives them nothing.
    """

    def __init__(
        self,
        recognizers: Sequence[Any],
        *,
        language: str,
        words: Callable[[str], Any],
        nlp_engine: Any = None,
    ) -> None:
        self._recognizers = tuple(recognizers)
        self._language = language
        self._tokenizer = Tokenizer(words)
        self._nlp_engine = nlp_engine
        self._context = [frozenset(word.lower() for word in recognizer.context or ()) for recognizer in self._recognizers]
        self._rules: list[_Rule] = []
        self._wholes: list[_Whole] = []
        for owner, recognizer in enumerate(self._recognizers):
            self._add(owner, recognizer)
        self._enhancers = [owner for owner, recognizer in enumerate(self._recognizers) if _enhances_itself(recognizer)]
        self._choose = _Chooser(self._rules)
        self._spelled = {word for words in self._context for word in words if not word.isalpha()}
        self._sought = frozenset(word for words in self._context for word in words).union(*(rule.words for rule in self._rules))

    def _add(self, owner: int, recognizer: Any) -> None:
        base = importlib.import_module("presidio_analyzer").PatternRecognizer
        known = importlib.import_module("presidio_analyzer.predefined_recognizers")
        own = type(recognizer)
        if isinstance(recognizer, base) and own.analyze is base.analyze:
            self._rules += _rules(owner, recognizer, base)
            return
        if isinstance(recognizer, known.PhoneRecognizer) and own.analyze is known.PhoneRecognizer.analyze:
            self._wholes.append(_Phones(owner=owner, recognizer=recognizer, reads_artifacts=False))
        elif isinstance(recognizer, known.IbanRecognizer) and own.analyze is known.IbanRecognizer.analyze:
            # Its code is its own, but it looks for nothing beside its patterns.
            wanted = tuple(needs(pattern.regex, recognizer.global_regex_flags) for pattern in recognizer.patterns)
            self._wholes.append(_Whole(owner=owner, recognizer=recognizer, needs=wanted, reads_artifacts=False))
        else:
            direct = isinstance(recognizer, TraitsRecognizer)
            kind = _Direct if direct else _Whole
            asked = recognizer.needs if direct else ()
            self._wholes.append(kind(owner=owner, recognizer=recognizer, needs=asked, reads_artifacts=not direct))

    def search(self, text: str, *, threshold: float = 0.0) -> list[Hit]:
        """All hits in a text with at least a score, by position; what lies inside a hit of the same type and score is left out.

        Raises:
            PIIError: A recognizer failed or ran out of time. The message names it, never the text.
        """
        traits = Traits(text)
        artifacts = None
        if self._nlp_engine is not None and any(whole.reads_artifacts for whole in self._wholes):
            artifacts = _guarded("the NLP engine", self._nlp_engine.process_text, text, self._language)
        present = self._sought & traits.words
        if self._spelled:  # "a/c", "driver's": a run of letters cannot tell
            lowered = text.lower()
            present |= {word for word in self._spelled if word in lowered}
        by_owner = self._matched(traits, present, threshold)
        for owner, hits in by_owner.items():
            by_owner[owner] = without_contained(hits) if len(hits) > 1 else hits
        for whole in self._wholes:
            floor = threshold if self._context[whole.owner].isdisjoint(present) else 0.0
            if hits := _guarded(whole.recognizer.name, whole.search, traits, artifacts, floor):
                by_owner[whole.owner] = hits
        if not by_owner:
            return []
        for owner in self._enhancers:
            by_owner[owner] = self._enhanced_by_owner(owner, by_owner, text, artifacts)
        found = [hit for hit in self._supported(text, by_owner, present) if hit.score >= threshold]
        return sorted(without_contained(found) if len(found) > 1 else found)

    def _matched(self, traits: Traits, present: frozenset[str], threshold: float) -> dict[int, list[Hit]]:
        """Hits of the patterns, by recognizer."""
        reach = _Reach(traits, self._spelled)
        by_owner: dict[int, list[Hit]] = {}
        name = ""
        try:
            for rule in self._choose(traits, present, threshold):
                name = rule.name
                hits = rule.search(traits, None if rule.may_reach_alone(threshold) else reach)
                if hits:
                    by_owner.setdefault(rule.owner, []).extend(hits)
        except Exception as error:
            raise _named(name, error) from None
        return by_owner

    def _supported(self, text: str, by_owner: dict[int, list[Hit]], present: frozenset[str]) -> Iterable[Hit]:
        """Hits with their score raised where a context word of their recognizer stands before them; ``present`` are those in the text."""
        surroundings: Surroundings | None = None
        for owner, hits in by_owner.items():
            context = self._context[owner] & present
            for hit in hits:
                if context and hit.score < 1.0:
                    if surroundings is None:
                        surroundings = Surroundings(text, self._tokenizer)
                    if surroundings.support(hit.start, context):
                        hit = hit._replace(score=min(1.0, max(hit.score + _CONTEXT_GAIN, _CONTEXT_FLOOR)))
                yield hit

    def _enhanced_by_owner(self, owner: int, by_owner: dict[int, list[Hit]], text: str, artifacts: Any) -> list[Hit]:
        """Hits of a recognizer that judges context by code of its own."""
        recognizer = self._recognizers[owner]
        own = [self._result(hit) for hit in by_owner.get(owner, ())]
        others = [self._result(hit) for other, hits in by_owner.items() if other != owner for hit in hits]
        results = _guarded(recognizer.name, recognizer.enhance_using_context, text, own, others, artifacts, None)
        return [Hit(result.start, result.end, result.entity_type, result.score, recognizer.name, owner) for result in results]

    def _result(self, hit: Hit) -> Any:
        recognizer = self._recognizers[hit.owner]
        presidio = importlib.import_module("presidio_analyzer")
        explanation = presidio.AnalysisExplanation(recognizer=recognizer.name, original_score=hit.score)
        keys = presidio.RecognizerResult
        metadata = {keys.RECOGNIZER_NAME_KEY: recognizer.name, keys.RECOGNIZER_IDENTIFIER_KEY: recognizer.id}
        return keys(hit.entity, hit.start, hit.end, hit.score, explanation, metadata)


def _enhances_itself(recognizer: Any) -> bool:
    base = importlib.import_module("presidio_analyzer").EntityRecognizer
    return type(recognizer).enhance_using_context is not base.enhance_using_context


def _rules(owner: int, recognizer: Any, base: Any) -> list[_Rule]:
    """The patterns of a recognizer; checks that the class does not define are not called."""
    regex = importlib.import_module("regex")
    own, flags = type(recognizer), recognizer.global_regex_flags
    return [
        _Rule(
            owner=owner,
            name=recognizer.name,
            entity=recognizer.supported_entities[0],
            score=pattern.score,
            expression=regex.compile(pattern.regex, flags=flags),
            needs=needs(pattern.regex, flags),
            context=frozenset(word.lower() for word in recognizer.context or ()),
            words=frozenset(getattr(recognizer, "words", ())),
            always=_enhances_itself(recognizer),  # code of its own may raise any score
            validate=None if own.validate_result is base.validate_result else recognizer.validate_result,
            invalidate=None if own.invalidate_result is base.invalidate_result else recognizer.invalidate_result,
        )
        for pattern in recognizer.patterns
    ]


def _guarded(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        raise _named(name, error) from None


def _named(name: str, error: Exception) -> PIIError:
    """What to raise for an error of a recognizer. The error's own words may hold a value: only its kind is told."""
    if isinstance(error, PIIError):
        return error
    if isinstance(error, TimeoutError):
        return PIIError(
            f"recognizer {name!r} ran out of time on one text of the column, which was not searched; shorten its texts or drop it"
        )
    return PIIError(f"recognizer {name!r} failed on one text ({type(error).__name__}), which was not searched; repair or remove it")


class _Reach:
    """Parts of one text where a match may have one of some words as its context."""

    def __init__(self, traits: Traits, spelled: Iterable[str]) -> None:
        self._traits, self._spelled = traits, spelled
        self._plain: PlainWords | None = None
        self._known: dict[frozenset[str], list[tuple[int, int]]] = {}

    def __call__(self, words: frozenset[str]) -> list[tuple[int, int]]:
        if words not in self._known:
            self._known[words] = self._parts(words)
        return self._known[words]

    def _parts(self, words: frozenset[str]) -> list[tuple[int, int]]:
        text, places = self._traits.text, self._traits.places
        if not places:
            return [(0, len(text))]
        if self._plain is None:
            self._plain = PlainWords(text)
        found = [place for word in words & places.keys() for place in places[word]]
        for word in words.intersection(self._spelled):
            found += [match.span() for match in re.finditer(re.escape(word), text.lower())]
        return self._plain.reach(found)


class _Chooser:
    """The rules that a text may match; texts that agree in what patterns ask share one list."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = tuple(rules)
        wanted = [rule.needs for rule in rules]
        self._signs = [_levels(need.counts[i] for need in wanted) for i in range(len(COUNTED))]
        self._digits = _levels(need.digits for need in wanted)
        self._digit_run = _levels(need.digit_run for need in wanted)
        self._solid_run = _levels(need.solid_run for need in wanted)
        self._stretch = _levels(need.stretch for need in wanted)
        # Sets of rules as the bits of a number: a bit is a rule's place in the list.
        self._admitted: dict[tuple[Any, ...], int] = {}
        self._reaching: dict[tuple[frozenset[str], float], int] = {}
        self._chosen: dict[int, tuple[_Rule, ...]] = {}

    def __call__(self, traits: Traits, words: frozenset[str], threshold: float) -> tuple[_Rule, ...]:
        """The rules to try: those that the text admits and whose matches may reach the threshold, given the words of the text."""
        key = (
            tuple([levels[min(count, len(levels) - 1)] for levels, count in zip(self._signs, traits.counts, strict=True)]),
            self._digits[min(traits.digits, len(self._digits) - 1)],
            self._digit_run[min(traits.digit_run, len(self._digit_run) - 1)],
            self._solid_run[min(traits.solid_run, len(self._solid_run) - 1)],
            self._stretch[min(max((digits for _, _, digits in traits.stretches), default=0), len(self._stretch) - 1)],
            traits.dotted,
            traits.glued,
        )
        admitted = self._admitted.get(key)
        if admitted is None:
            admitted = sum(1 << i for i, rule in enumerate(self._rules) if traits.admit(rule.needs))
            _remember(self._admitted, key, admitted)
        reaching = self._reaching.get((words, threshold))
        if reaching is None:
            reaching = sum(1 << i for i, rule in enumerate(self._rules) if rule.may_reach(threshold, words))
            _remember(self._reaching, (words, threshold), reaching)
        chosen = self._chosen.get(admitted & reaching)
        if chosen is None:
            chosen = tuple([rule for i, rule in enumerate(self._rules) if admitted & reaching & 1 << i])
            _remember(self._chosen, admitted & reaching, chosen)
        return chosen


def _remember(table: dict[Any, Any], key: Any, value: Any) -> None:
    if len(table) < _CHOICES:
        table[key] = value


def _levels(thresholds: Iterable[int]) -> list[int]:
    """For each count up to the largest threshold, how many thresholds it reaches: counts of one level are alike to all rules."""
    distinct = sorted(set(thresholds))
    return [bisect.bisect_right(distinct, count) for count in range((distinct or [0])[-1] + 1)]


def without_contained(hits: Iterable[Hit]) -> list[Hit]:
    """Hits without those that lie inside one of the same type with at least their score.

    Presidio's ``EntityRecognizer.remove_duplicates``, on positions.
    """
    kept: list[Hit] = []
    ordered = sorted(hits, key=lambda hit: (hit.entity, hit.start, hit.start - hit.end, -hit.score))
    for _, same in groupby(ordered, key=attrgetter("entity")):
        active: list[Hit] = []
        for hit in same:
            if hit.score == 0:
                continue
            active = [other for other in active if other.end >= hit.start]
            if not any(other.start <= hit.start and hit.end <= other.end and hit.score <= other.score for other in active):
                kept.append(hit)
                active.append(hit)
    return kept
