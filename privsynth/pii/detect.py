"""Where in a text are personal data that show by their form? Patterns and checksums, kept on this machine.

The recognizers of ``recognizers`` run in the loop of ``engine``, on the text as a reader sees it (``disguise``). Names in running
text have no form: ``text`` adds the model, the lists and the person's own values to what is found here.

Each distinct text is searched once. Texts do not depend on each other, so that they can be shared among processes.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from privsynth.errors import PIIError
from privsynth.pii.disguise import base64_texts, original_span, plain
from privsynth.pii.engine import Engine, Hit
from privsynth.pii.recognizers import LANGUAGES, build_recognizers
from privsynth.registry import require

BACKENDS = ("fast", "presidio")
"""Engines that run the recognizers; they find the same."""

_BLOCK = 256  # characters; spans are compared with those that share a block
_CHUNK = 500  # texts that a process is given at a time
_DECODED_AT_MOST = 100_000  # characters of one stretch of base64 that are searched


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of personal data; it holds positions, never the text.

    Attributes:
        start: First character, counted from 0.
        end: One past the last character.
        entity: Type, for example ``EMAIL_ADDRESS``.
        score: Presidio's score in [0, 1]; higher is surer. Not a probability.
        recognizer: Which rule found it.
    """

    start: int
    end: int
    entity: str
    score: float
    recognizer: str


def detect_spans(
    texts: Sequence[str],
    *,
    language: str = "en",
    threshold: float = 0.4,
    recognizers: Sequence[Any] = (),
    backend: str = "fast",
    processes: int = 1,
) -> list[tuple[Span, ...]]:
    """Personal data in each text that show by their form.

    Args:
        texts: Texts to search, in any number and of any length.
        language: One of ``LANGUAGES``; it selects national phone formats. Patterns of all languages are used.
        threshold: Spans below this score are left out, in [0, 1].
        recognizers: Presidio recognizers of your own, used beside the built-in ones.
        backend: ``"fast"``, or ``"presidio"`` for Presidio's own engine over the same recognizers.
        processes: Processes among which distinct texts are shared; each spends about five CPU seconds on loading.

    Returns:
        For each text its spans by position. Spans of different types may overlap; mask their union.

    Raises:
        PIIError: The language or backend is not known, or a recognizer failed or ran out of time on a text.
    """
    if language not in LANGUAGES:
        raise PIIError(f"language={language!r} is not supported; expected one of {', '.join(LANGUAGES)}")
    if backend not in BACKENDS:
        raise PIIError(f"backend={backend!r} is not known; expected one of {', '.join(BACKENDS)}")
    if processes < 1:
        raise PIIError(f"processes={processes}; expected 1 or more")
    distinct = [text for text in dict.fromkeys(texts) if text]
    own = tuple(recognizers)
    if processes == 1 or len(distinct) <= _CHUNK:
        found = _search(distinct, language=language, threshold=threshold, recognizers=own, backend=backend)
    else:
        chunks = [distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK)]
        work = partial(_search, language=language, threshold=threshold, recognizers=own, backend=backend)
        # Spawned, not forked: the parent may hold threads of numerical libraries.
        with ProcessPoolExecutor(min(processes, len(chunks)), mp_context=multiprocessing.get_context("spawn")) as pool:
            found = [spans for part in pool.map(work, chunks) for spans in part]
    spans_of = dict(zip(distinct, found, strict=True))
    return [spans_of.get(text, ()) for text in texts]


def _search(texts: Sequence[str], *, language: str, threshold: float, recognizers: tuple[Any, ...], backend: str) -> list[tuple[Span, ...]]:
    hits_of = _hits_of(language, recognizers, backend)
    return [outermost(_undisguised(text, partial(hits_of, threshold=threshold))) for text in texts]


def _undisguised(text: str, hits_of: Callable[[str], list[Hit]]) -> list[Span]:
    """Spans of a text, found in the text as a reader sees it, and in what its base64 holds."""
    shown, places = plain(text)
    spans = [Span(start=hit.start, end=hit.end, entity=hit.entity, score=hit.score, recognizer=hit.recognizer) for hit in hits_of(shown)]
    if places is not None:
        moved = [(span, *original_span(span.start, span.end, places)) for span in spans]
        spans = [replace(span, start=start, end=end) for span, start, end in moved]
    for start, end, content in base64_texts(text):
        # The whole stretch is personal: nothing of it can be read without what was found.
        inside = hits_of(plain(content[:_DECODED_AT_MOST])[0])
        spans += [
            Span(start=start, end=end, entity=hit.entity, score=hit.score, recognizer=f"{hit.recognizer} in base64")
            for hit in sorted(inside, key=lambda hit: -hit.score)[:1]
        ]
    return spans


def outermost(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans without those that lie inside one of at least their score, by position."""
    kept: list[Span] = []
    blocks: dict[int, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (-span.score, span.start - span.end, span.start, span.entity)):
        if any(other.start <= span.start and span.end <= other.end for other in blocks.get(span.start // _BLOCK, ())):
            continue
        kept.append(span)
        for block in range(span.start // _BLOCK, span.end // _BLOCK + 1):
            blocks.setdefault(block, []).append(span)
    return tuple(sorted(kept, key=lambda span: (span.start, span.end)))


def _hits_of(language: str, recognizers: tuple[Any, ...], backend: str) -> Callable[..., list[Hit]]:
    """The search of one text, by one of the two engines."""
    if backend == "fast":
        return _engine(language, recognizers).search
    analyzer = _analyzer(language, recognizers)
    name_key = require("presidio_analyzer").RecognizerResult.RECOGNIZER_NAME_KEY

    def search(text: str, *, threshold: float) -> list[Hit]:
        results = analyzer.analyze(text, language, score_threshold=threshold)
        return [
            Hit(result.start, result.end, result.entity_type, result.score, (result.recognition_metadata or {}).get(name_key, "unknown"), 0)
            for result in results
        ]

    return search


@lru_cache(maxsize=8)
def _engine(language: str, recognizers: tuple[Any, ...]) -> Engine:
    """The fast loop for one language."""
    _keep_offline()
    # The artifacts of an NLP engine are only made if a recognizer of the user's asks for them.
    return Engine(
        [*build_recognizers(language), *recognizers], language=language, words=_pipeline().tokenizer, nlp_engine=_nlp_engine(language)
    )


@lru_cache(maxsize=8)
def _analyzer(language: str, recognizers: tuple[Any, ...]) -> Any:
    """Presidio's engine for one language, on a blank pipeline."""
    _keep_offline()
    presidio = require("presidio_analyzer")
    enhancer = require("presidio_analyzer.context_aware_enhancers").LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    registry = presidio.RecognizerRegistry(recognizers=[*build_recognizers(language), *recognizers], supported_languages=[language])
    return presidio.AnalyzerEngine(
        registry=registry, nlp_engine=_nlp_engine(language), supported_languages=[language], context_aware_enhancer=enhancer
    )


def _nlp_engine(language: str) -> Any:
    """Presidio's wrapper of a pipeline that only cuts words; it is loaded already, because Presidio would download a missing model."""
    engine = require("presidio_analyzer.nlp_engine").SpacyNlpEngine(models=[{"lang_code": language, "model_name": "blank"}])
    engine.nlp = {language: _pipeline()}
    return engine


@lru_cache(maxsize=1)
def _pipeline() -> Any:
    spacy = require("spacy")
    if not spacy.Language.has_factory("privsynth_lower_lemma"):
        spacy.Language.component("privsynth_lower_lemma", func=_lower_lemma)
    # The multi-language tokenizer: words are only needed for context, and the French one takes seconds to build.
    pipeline = spacy.blank("xx")
    pipeline.add_pipe("privsynth_lower_lemma")
    return pipeline


def _lower_lemma(document: Any) -> Any:
    """Lower-cased words as lemmas: without a lemma Presidio's context words never match and phones stay below 0.5."""
    for token in document:
        token.lemma_ = token.lower_
    return document


class _Refuse(logging.Handler):
    """Turns Presidio's warning that a pattern was skipped into an error: a skipped pattern finds nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        if "timed out" in record.msg:
            raise PIIError("a recognizer ran out of time on one text, which was not searched; shorten the texts of this column or drop it")


def _keep_offline() -> None:
    """No public-suffix download, and no log line that could carry a value."""
    tldextract: Any = importlib.import_module("tldextract")
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    logger = logging.getLogger("presidio-analyzer")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_Refuse()]
