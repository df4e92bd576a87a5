"""A small language model that is part of this package, so that free text can be synthesized with no network and no download.

It is an ordinary Llama of five million parameters with a tokenizer of its own, trained by ``training/base_model`` on permissively licensed
English; its model card in ``assets/lm_en`` states the data, its figures on text it never saw, and what it cannot do. It knows the typed
slots that stand for personal data, one token each, and a line ``key: value; key: value`` before a text as that text's attributes.
It is the floor, not the ceiling: a real model folder goes through the same code and writes better.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from privsynth.errors import SourceError
from privsynth.registry import require

EMBEDDED = "privsynth/lm_en"
"""Name under which the embedded model appears in reports."""

_ASSET = Path(__file__).resolve().parents[1] / "assets" / "lm_en"


class LanguageModel(NamedTuple):
    """A causal language model of Hugging Face's library and its tokenizer."""

    model: Any
    tokenizer: Any


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a report says about the embedded model.

    Attributes:
        name: ``privsynth/lm_en``.
        version: Version of the weights.
        language: ISO 639-1 code.
        parameters: Number of weights.
        context: Tokens that a prompt and its text may have together.
        vocabulary: Number of tokens.
        slots: Types of personal data whose slot ``<TYPE>`` is one token.
        card: Figures of the model card: tokens seen, bits per character by source, decontamination.
    """

    name: str
    version: str
    language: str
    parameters: int
    context: int
    vocabulary: int
    slots: tuple[str, ...]
    card: Mapping[str, Any]


def available() -> bool:
    """Whether the package holds the model's files; they may still be damaged."""
    return (_ASSET / "checksums.json").exists()


def load(*, half: bool = False) -> LanguageModel:
    """The embedded model and its tokenizer; see ``load_model`` and ``load_tokenizer``."""
    return LanguageModel(load_model(half=half), load_tokenizer())


def load_model(*, half: bool = False) -> Any:
    """The embedded model in evaluation mode, fresh in each call: a caller may train what it gets.

    Args:
        half: Weights in bfloat16, as they are stored, which writes fastest on most CPUs; otherwise in float32, for training.

    Raises:
        SourceError: The files are missing or damaged.
        MissingExtraError: torch or transformers is not installed.
    """
    torch, transformers = require("torch"), require("transformers")
    wanted = torch.bfloat16 if half else torch.float32
    return _opened(transformers.LlamaForCausalLM, use_safetensors=True, dtype=wanted).eval()


def load_tokenizer() -> Any:
    """The embedded model's tokenizer; it puts ``<bos>`` first, as in training, unless it is told to add no special tokens.

    Raises:
        SourceError: The files are missing or damaged.
        MissingExtraError: transformers is not installed.
    """
    return _opened(require("transformers").PreTrainedTokenizerFast)


def _opened(kind: Any, **options: Any) -> Any:
    """What the library makes of the asset: local files, no code of a model's own, and no bar of progress for a tenth of a second."""
    _verify()
    logging = require("transformers").utils.logging
    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(_ASSET, local_files_only=True, **options)
    except Exception as error:
        raise SourceError(f"the embedded language model cannot be loaded ({type(error).__name__}); reinstall privsynth") from error
    finally:
        if shows_progress:
            logging.enable_progress_bar()


def token_counts() -> npt.NDArray[np.int64]:
    """How often each token occurs in the public texts that the model was trained on, shape (vocabulary,); no private data.

    Raises:
        SourceError: The files are missing or damaged.
    """
    _verify()
    counts: npt.NDArray[np.int64] = np.load(_ASSET / "token_counts.npy", allow_pickle=False).astype(np.int64)
    return counts


def describe() -> Model:
    """Name, version and stated figures of the embedded model, for the report; loads no weights.

    Raises:
        SourceError: The files are missing or damaged.
    """
    _verify()
    figures = json.loads((_ASSET / "figures.json").read_text(encoding="utf-8"))
    config = json.loads((_ASSET / "config.json").read_text(encoding="utf-8"))
    return Model(
        name=EMBEDDED,
        version=figures["version"],
        language="en",
        parameters=figures["parameters"],
        context=config["max_position_embeddings"],
        vocabulary=config["vocab_size"],
        slots=tuple(figures["slots"]),
        card=figures,
    )


def _verify() -> None:
    """Refuse files that are not those that were shipped: damaged weights write nonsense in silence."""
    try:
        expected: dict[str, str] = json.loads((_ASSET / "checksums.json").read_text(encoding="utf-8"))
        actual = {name: hashlib.sha256((_ASSET / name).read_bytes()).hexdigest() for name in expected}
    except (OSError, ValueError) as error:
        raise SourceError("the embedded language model is incomplete; reinstall privsynth") from error
    damaged = sorted(name for name in expected if actual[name] != expected[name])
    if damaged:
        raise SourceError(f"the embedded language model is damaged ({', '.join(damaged)}); reinstall privsynth")
