"""A transformers model for token classification, spoken to as if it were a spaCy pipeline.

Such models find more names than the embedded one and are of a size that nobody ships. A folder with one is read without a
network and without code of its own; what it labels becomes entities by the strategy that transformers calls
``first``: a word has the label of its first piece, and neighbouring words of one label are one entity.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from privsynth.errors import PIIError
from privsynth.registry import require

WINDOW_OVERLAP = 32
"""Word pieces that neighbouring windows of a long text share."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One entity of a document, with spaCy's attribute names."""

    start_char: int
    end_char: int
    label_: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """The entities of one text."""

    ents: tuple[Entity, ...]


@dataclass(frozen=True, kw_only=True)
class TokenModel:
    """A model of a folder.

    Attributes:
        classifier: transformers' pipeline for token classification.
        meta: Its version, as far as the folder tells.
        lang: ``mul``: the folder does not say.
        pipe_labels: The labels that are used, as spaCy's pipelines name them.
    """

    classifier: Any
    meta: Mapping[str, Any]
    pipe_labels: Mapping[str, list[str]]
    lang: str = "mul"
    pipeline: tuple[tuple[str, Any], ...] = field(default=())

    @classmethod
    def load(cls, folder: Path, *, labels: Mapping[str, str]) -> TokenModel:
        """Read a model from its folder.

        Raises:
            PIIError: The folder cannot be read, or the model gives none of ``labels``.
            MissingExtraError: transformers is not installed.
        """
        transformers = require("transformers")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
            model = transformers.AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except Exception as error:
            raise PIIError(
                f"the NER model in folder {folder.name!r} cannot be loaded ({type(error).__name__}); "
                "expected config.json, tokenizer.json and model.safetensors"
            ) from error
        known = sorted({label.split("-", 1)[-1] for label in model.config.id2label.values()} & set(labels))
        if not known:
            raise PIIError(
                f"the NER model in folder {folder.name!r} finds none of the labels {', '.join(sorted(labels))}; name another folder"
            )
        limit = min(int(model.config.max_position_embeddings), 512) if hasattr(model.config, "max_position_embeddings") else 512
        tokenizer.model_max_length = limit
        stride = min(WINDOW_OVERLAP, limit // 4)
        classifier = transformers.pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first", stride=stride, device=-1
        )
        return cls(classifier=classifier, meta={"version": str(model.config.model_type)}, pipe_labels={"token_model": known})

    def pipe(self, texts: Iterable[str], *, batch_size: int = 16) -> Iterator[Document]:
        """The documents of some texts, in order; a blank text has no entities."""
        for text in texts:
            found = self.classifier(text, batch_size=batch_size) if text.strip() else []
            yield Document(
                ents=tuple(
                    Entity(start_char=int(entity["start"]), end_char=int(entity["end"]), label_=str(entity["entity_group"]))
                    for entity in sorted(found, key=lambda entity: int(entity["start"]))
                )
            )


def is_token_model(folder: Path) -> bool:
    """True if a folder holds a transformers model for token classification."""
    try:
        described: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return any("TokenClassification" in str(name) for name in described.get("architectures") or ())
