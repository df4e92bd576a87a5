"""Names in running text, found by a model that is part of this package.

The embedded pipeline is a small convolutional one for English (hashed token features, word vectors, a transition-based
parser), trained by ``training/ner`` on permissively licensed text; its model card in ``assets/ner_en`` states the
data, the figures on sources it never saw, and what it misses. It is the floor, not the ceiling: a better spaCy
pipeline that is installed, or a folder named by the environment variable below, goes first. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from privsynth.errors import PIIError
from privsynth.pii.gazetteer import Mention, common_words
from privsynth.pii.recognizers import fold, name_lists
from privsynth.pii.token_model import TokenModel, is_token_model
from privsynth.registry import require

EMBEDDED = "privsynth/ner_en"
"""Name under which the embedded pipeline appears in reports."""

FOLDER_VARIABLE = "PRIVSYNTH_NER"
"""Environment variable with the folder of a transformers model for token classification, or of a spaCy pipeline (also one with GLiNER)."""

INSTALLED: Mapping[str, tuple[str, ...]] = {
    "en": ("en_core_web_trf", "en_core_web_lg", "en_core_web_md", "en_core_web_sm"),
    **{
        language: tuple(f"{language}_core_news_{size}" for size in ("lg", "md", "sm"))
        for language in ("da", "de", "es", "fi", "fr", "it", "nb", "nl", "pl", "pt", "sv")
    },
}
"""spaCy pipelines by language that go before the embedded one when installed, best first."""

EMBEDDED_LANGUAGE = "en"

ENTITIES: Mapping[str, str] = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "PRS": "PERSON",
    "persName": "PERSON",
    "LOCATION": "LOCATION",
    "LOC": "LOCATION",
    "GPE": "LOCATION",
    "FAC": "LOCATION",
    "placeName": "LOCATION",
    "geogName": "LOCATION",
    "ORG": "ORGANIZATION",
    "ORGANIZATION": "ORGANIZATION",
    "orgName": "ORGANIZATION",
    "ADDRESS": "STREET_ADDRESS",
    "STREET_ADDRESS": "STREET_ADDRESS",
}
"""Types of personal data by the label that a pipeline gives; other labels (dates, works of art) are not used."""

SCORE = 0.85
"""Score of every mention; a transition-based parser gives none of its own, and Presidio uses the same figure."""

MAX_CHARACTERS = 20_000
"""Longer texts are read in pieces that overlap, so that memory stays bounded."""

GRAMMAR = frozenset(
    (
        "a an the this that these those what when where who whom whose which why how if then else so because although while as at by "
        "for from in into of off on onto out over to under up upon with without and or but nor not no yes i me my mine we us our ours "
        "you your yours he him his she her hers it its they them their theirs is are was were be been being am do does did done has "
        "have had having can could shall should will would must there here very just also only even still again once too now never "
        "always often hello hi hey thanks thank please dear sorry"
    ).split()
)
"""Words of grammar and greeting: never a name by themselves, however a sentence opens. "Will" is one; beside a last name it is found."""

_OVERLAP = 200
_ASSET = Path(__file__).resolve().parents[1] / "assets" / "ner_en"


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a report says about the model that looked for names.

    Attributes:
        name: ``privsynth/ner_en``, the name of an installed pipeline, or ``folder:`` with the last part of the folder's path.
        version: The pipeline's own version.
        language: ISO 639-1 code.
        entities: Types of personal data that it can find.
        card: What the model card says about its recall on sources it never saw; empty for models of others.
    """

    name: str
    version: str
    language: str
    entities: tuple[str, ...]
    card: Mapping[str, Any]


def available(language: str = EMBEDDED_LANGUAGE) -> str | None:
    """Name of the model that ``load`` would take for texts of a language, or None when there is none.

    The order: the folder in the environment variable, then installed spaCy pipelines from the best, then the embedded one.
    A folder is taken for every language: whoever names it knows what it reads.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        return f"folder:{Path(folder).name}"
    installed = next((name for name in INSTALLED.get(language, ()) if find_spec(name) is not None), None)
    embedded = EMBEDDED if language == EMBEDDED_LANGUAGE and (_ASSET / "meta.json").exists() else None
    return installed or embedded


def load(name: str | None = None, *, language: str = EMBEDDED_LANGUAGE) -> Any:
    """A pipeline that recognizes names; loaded once in a process.

    Args:
        name: What ``available`` gives, or None for just that.
        language: Of the texts, when ``name`` is None.

    Raises:
        PIIError: The model is missing, damaged, or finds none of the types used here.
        MissingExtraError: spaCy, or transformers for such a folder, is not installed.
    """
    wanted = name or available(language)
    if wanted is None:
        advice = "reinstall privsynth, or name" if language == EMBEDDED_LANGUAGE else "name"
        raise PIIError(f"no model that finds names in {language!r} texts is installed; {advice} the folder of one in {FOLDER_VARIABLE}")
    folder = os.environ.get(FOLDER_VARIABLE, "") if wanted.startswith("folder:") else ""
    return _load(wanted, folder)


@lru_cache(maxsize=4)
def _load(name: str, folder: str) -> Any:
    if folder and is_token_model(Path(folder)):
        return TokenModel.load(Path(folder), labels=ENTITIES)
    spacy = require("spacy")
    if name == EMBEDDED:
        _verify(_ASSET)
    source = _ASSET if name == EMBEDDED else folder or name
    try:
        pipeline = spacy.load(source)
    except Exception as error:
        raise PIIError(f"the NER model {name!r} cannot be loaded ({type(error).__name__}); reinstall it") from error
    if name == EMBEDDED:
        accelerate(pipeline)
    if not _labels(pipeline):
        raise PIIError(
            f"the NER model {name!r} finds none of the labels {', '.join(sorted(ENTITIES))}; name another folder in {FOLDER_VARIABLE}"
        )
    return pipeline


def accelerate(pipeline: Any) -> None:
    """Let NumPy multiply the matrices of a pipeline: with a tuned BLAS that takes a third of the time of thinc's own product."""
    numpy_ops = importlib.import_module("thinc.api").NumpyOps

    class NumpyProducts(numpy_ops):  # type: ignore[misc, valid-type]  # thinc has no types here
        """thinc's operations with NumPy's matrix product."""

        def gemm(self, x: Any, y: Any, out: Any = None, trans1: bool = False, trans2: bool = False) -> Any:
            return np.matmul(x.T if trans1 else x, y.T if trans2 else y, out=out)

    operations = NumpyProducts()
    for _, component in pipeline.pipeline:
        for node in component.model.walk() if hasattr(component, "model") else ():
            node.ops = operations


def _labels(pipeline: Any) -> tuple[str, ...]:
    labels = {label for labels in pipeline.pipe_labels.values() for label in labels}
    return tuple(sorted({ENTITIES[label] for label in labels if label in ENTITIES}))


def _verify(folder: Path) -> None:
    """Refuse an embedded model whose files are not those that were shipped: a damaged model misses names in silence."""
    try:
        expected: dict[str, str] = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
        actual = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in expected}
    except (OSError, ValueError) as error:
        raise PIIError("the embedded NER model is incomplete; reinstall privsynth") from error
    damaged = sorted(name for name in expected if actual[name] != expected[name])
    if damaged:
        raise PIIError(f"the embedded NER model is damaged ({', '.join(damaged)}); reinstall privsynth")


def describe(name: str | None = None) -> Model:
    """Name, version and stated figures of the model that ``load`` takes, for the report.

    Raises:
        PIIError: There is no such model.
    """
    pipeline = load(name)
    wanted = name or available() or EMBEDDED
    card = json.loads((_ASSET / "figures.json").read_text(encoding="utf-8")) if wanted == EMBEDDED else {}
    return Model(
        name=wanted,
        version=str(pipeline.meta.get("version", "")),
        language=str(pipeline.lang),
        entities=_labels(pipeline),
        card=card,
    )


def find_names(texts: Sequence[str], *, pipeline: Any = None, alone: bool = False) -> list[list[Mention]]:
    """Persons, places, organisations and addresses in each text, by position.

    Args:
        texts: Texts in the model's language, in any number and of any length.
        pipeline: What ``load`` gives; None takes the English one.
        alone: Read each text by itself. In a batch the last bit of a matrix product may depend on what else is in it, and so, in
            principle, one person's text on another's. About 2.5 times slower.

    Returns:
        For each text its mentions; those of one text do not overlap.
    """
    model = load() if pipeline is None else pipeline
    pieces = [(number, *piece) for number, text in enumerate(texts) for piece in _pieces(text)]
    found: list[list[Mention]] = [[] for _ in texts]
    settings = {"batch_size": 1} if alone else {}
    documents = model.pipe((piece for _, _, _, piece in pieces), **settings)
    for (number, offset, own, piece), document in zip(pieces, documents, strict=True):
        for entity in document.ents:
            if entity.label_ not in ENTITIES:
                continue
            kind = ENTITIES[entity.label_]
            for start, end in _stretches(piece, entity.start_char, entity.end_char, kind):
                # The tail of a mention that the piece before has found whole is not found again.
                fresh = not found[number] or start + offset >= found[number][-1].end
                if start < own and fresh and not _everyday(piece[start:end], kind):
                    found[number].append(Mention(start + offset, end + offset, kind, SCORE))
    return found


def _pieces(text: str) -> list[tuple[int, int, str]]:
    """Overlapping pieces as (offset, own, piece): a mention that begins after ``own`` is the next piece's, where its neighbourhood is."""
    pieces, offset = [], 0
    while len(text) - offset > MAX_CHARACTERS:
        pieces.append((offset, MAX_CHARACTERS - _OVERLAP, text[offset : offset + MAX_CHARACTERS]))
        offset += MAX_CHARACTERS - _OVERLAP
    return [*pieces, (offset, len(text), text[offset:])] if text else []


_BREAK = re.compile(r"[\n\r\t\":;|<>()\\]+|['’]s\b")
"""What never stands inside a name, but may inside what a model takes for one: the end of a line, of a quotation, a genitive."""


def _stretches(text: str, start: int, end: int, kind: str) -> list[tuple[int, int]]:
    """A mention without blanks and signs at its ends; one of several lines is one for each line, unless it is an address."""
    borders = [] if kind == "STREET_ADDRESS" else [match.span() for match in _BREAK.finditer(text, start, end)]
    edges = [start, *(edge for border in borders for edge in border), end]
    trimmed = (_trimmed(text, left, right) for left, right in zip(edges[::2], edges[1::2], strict=True))
    return [(left, right) for left, right in trimmed if left < right]


def _everyday(name: str, kind: str) -> bool:
    """True for one everyday English word that is on no list of names ("When", "Customer"); capitals ("US", "IT") are kept."""
    if " " in name or not name.isalpha() or name.isupper():
        return False
    word = fold(name)
    first, last = name_lists()
    # Organisations are often called by an everyday word ("Congress", "Target"): for them only the words of grammar are left out.
    everyday = word in common_words("en") and kind != "ORGANIZATION" and word not in first and word not in last
    return everyday or word in GRAMMAR


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch without blanks and closing punctuation at its ends."""
    while start < end and (text[start].isspace() or text[start] in "\"'(,;:"):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in "\"'),;:"):
        end -= 1
    return start, end
