"""Names for things that are loaded on use: engines, and packages that are optional.

The core installs and imports fast because nothing heavy is imported before it is needed.
An engine is known by a short name (the one written in a plan) and a "module:Class" target;
other packages add engines through the entry point group ``privsynth.synthesizers``.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from privsynth.errors import MissingExtraError, PlanError

SYNTHESIZERS: Mapping[str, str] = {
    "aim": "privsynth.tabular.aim:Aim",
    "tree": "privsynth.tabular.tree:Tree",
    "sdv:gaussian-copula": "privsynth.tabular.sdv:GaussianCopula",
    "sdv:ctgan": "privsynth.tabular.sdv:CTGAN",
    "sdv:tvae": "privsynth.tabular.sdv:TVAE",
    "sdv:copula-gan": "privsynth.tabular.sdv:CopulaGAN",
    "sdv:gaussian-copula-dp": "privsynth.tabular.copula:GaussianCopulaDP",
}

TEXT_SYNTHESIZERS: Mapping[str, str] = {
    "language-model": "privsynth.text.adapter:LanguageModel",
    "ngram": "privsynth.text.ngram:NGram",
}

ENTRY_POINT_GROUP = "privsynth.synthesizers"

_EXTRA_OF_MODULE: Mapping[str, str] = {
    "presidio_analyzer": "pii",
    "spacy": "pii",
    "faker": "pii",
    "stdnum": "pii",
    "phonenumbers": "pii",
    "openpyxl": "excel",
    "streamlit": "app",
    "typst": "pdf",
    "sdv": "sdv",
    "copulas": "sdv",
    "ctgan": "sdv",
    "torch": "text",
    "transformers": "text",
    "peft": "text",
    "safetensors": "text",
}


def require(module: str) -> ModuleType:
    """Import an optional package, or say in one line how to install it.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        extra = _EXTRA_OF_MODULE[package]
        raise MissingExtraError(
            f'package {package!r} is not installed; it belongs to the extra {extra!r}: pip install "privsynth[{extra}]"'
        ) from None


def synthesizer(name: str) -> Any:
    """The synthesizer class behind a name written in a plan.

    Raises:
        PlanError: No engine has this name.
    """
    return _engine(name, {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)} | dict(SYNTHESIZERS), "synthesizer")


def text_synthesizer(name: str) -> Any:
    """The text engine's class behind a name written in a plan.

    Raises:
        PlanError: No text engine has this name.
    """
    return _engine(name, TEXT_SYNTHESIZERS, "text synthesizer")


def _engine(name: str, targets: Mapping[str, str], what: str) -> Any:
    if name not in targets:
        raise PlanError(f"{what}={name!r} is unknown; expected one of {', '.join(sorted(targets))}{hint(name, targets)}")
    module, _, attribute = targets[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def hint(name: str, known: Iterable[str]) -> str:
    """The nearest known name as the tail of a message, or nothing.

    >>> hint("epsilom", ["epsilon", "delta"])
    "; did you mean 'epsilon'?"
    >>> hint("zzz", ["epsilon", "delta"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
