"""Where in a text are personal data? Presidio, kept on this machine.

Presidio runs with a blank spaCy pipeline and the recognizers of ``recognizers``: patterns, checksums and name
lists. When one of spaCy's English pipelines is installed its named entities are used too; none is ever
downloaded. Patterns alone miss most names in running text, so that a caller who is about to train on or
release free text must first ask ``require_ner``.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from privsynth.errors import PIIError
from privsynth.pii.recognizers import LANGUAGES, build_recognizers
from privsynth.registry import require

NER_MODELS = ("en_core_web_trf", "en_core_web_lg", "en_core_web_md", "en_core_web_sm")
"""spaCy pipelines that are used when installed, best first."""


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


def ner_model() -> str | None:
    """Name of the best installed spaCy pipeline that recognizes names in text, or None."""
    return next((name for name in NER_MODELS if find_spec(name) is not None), None)


def require_ner(column: str) -> None:
    """Refuse free text when nothing installed can find the names in it.

    Raises:
        PIIError: No NER model is installed.
    """
    if ner_model() is None:
        raise PIIError(
            f"column {column!r} is free text and no model that finds names in text is installed; "
            f'set text = "drop" in the plan, or install a spaCy pipeline such as {NER_MODELS[1]}'
        )


def detect_spans(texts: Sequence[str], *, language: str = "en", threshold: float = 0.4) -> list[tuple[Span, ...]]:
    """Personal data in each text.

    Args:
        texts: Texts to search, in any number.
        language: One of ``LANGUAGES``; it selects national phone formats and whether an English model is used.
        threshold: Spans below this score are left out, in [0, 1].

    Returns:
        For each text its spans by position. Spans of different types may overlap; mask their union.

    Raises:
        PIIError: The language is not known, or a pattern ran out of time on a text, which is then not searched.
    """
    if language not in LANGUAGES:
        raise PIIError(f"language={language!r} is not supported; expected one of {', '.join(LANGUAGES)}")
    analyzer = _analyzer(language, ner_model() if language == "en" else None)
    return [_outermost(analyzer.analyze(text, language, score_threshold=threshold)) if text else () for text in texts]


def _outermost(results: list[Any]) -> tuple[Span, ...]:
    """Spans without those that lie inside one of at least their score, by position."""
    name_key = require("presidio_analyzer").RecognizerResult.RECOGNIZER_NAME_KEY
    spans: list[Span] = []
    for result in sorted(results, key=lambda result: (-result.score, result.start - result.end, result.start, result.entity_type)):
        if not any(kept.start <= result.start and result.end <= kept.end for kept in spans):
            recognizer = (result.recognition_metadata or {}).get(name_key, "unknown")
            spans.append(Span(start=result.start, end=result.end, entity=result.entity_type, score=result.score, recognizer=recognizer))
    return tuple(sorted(spans, key=lambda span: (span.start, span.end)))


@lru_cache(maxsize=8)
def _analyzer(language: str, model: str | None) -> Any:
    """Presidio's engine for one language, on a blank pipeline or on an installed model."""
    _keep_offline()
    presidio = require("presidio_analyzer")
    nlp = require("presidio_analyzer.nlp_engine")
    engine = nlp.SpacyNlpEngine(models=[{"lang_code": language, "model_name": model or "blank"}])
    # A loaded engine: Presidio would download a missing model in load().
    engine.nlp = {language: _pipeline(model)}
    recognizers = build_recognizers(language)
    if model is not None:
        recognizers.append(require("presidio_analyzer.predefined_recognizers").SpacyRecognizer(supported_language=language))
    enhancer = require("presidio_analyzer.context_aware_enhancers").LemmaContextAwareEnhancer(context_matching_mode="whole_word")
    registry = presidio.RecognizerRegistry(recognizers=recognizers, supported_languages=[language])
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language], context_aware_enhancer=enhancer)


def _pipeline(model: str | None) -> Any:
    spacy = require("spacy")
    if model is not None:
        return spacy.load(model)
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
