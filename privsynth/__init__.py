"""privsynth: turn a confidential dataset into synthetic data plus the evidence to sign it off.

``release = privsynth.run(privsynth.Plan.load("plan.toml"))`` is the whole flow; each room works alone too
(``privsynth.audit``, ``privsynth.pii``, ``privsynth.tabular``). Names are loaded on first use, so that
``import privsynth`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privsynth import audit, pii, tabular
    from privsynth.config import Plan
    from privsynth.dataset import Dataset
    from privsynth.pipeline import run
    from privsynth.privacy import Budget, Ledger
    from privsynth.release import Release
    from privsynth.schema import Column, Schema, Table

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Column",
    "Dataset",
    "Ledger",
    "Plan",
    "Release",
    "Schema",
    "Table",
    "audit",
    "pii",
    "run",
    "tabular",
]

_HOME = {
    "Budget": "privsynth.privacy",
    "Column": "privsynth.schema",
    "Dataset": "privsynth.dataset",
    "Ledger": "privsynth.privacy",
    "Plan": "privsynth.config",
    "Release": "privsynth.release",
    "Schema": "privsynth.schema",
    "Table": "privsynth.schema",
    "run": "privsynth.pipeline",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in __all__:
        return importlib.import_module(f"privsynth.{name}")
    raise AttributeError(f"module 'privsynth' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
