"""Finding personal data without a network, and inventing people to put in its place."""

from privsynth.pii.columns import ColumnFinding, ScanReport, scan
from privsynth.pii.detect import Span, detect_spans
from privsynth.pii.replay import pii_replay
from privsynth.pii.surrogates import regenerate, require_regenerable
from privsynth.pii.text import find, ner_model, require_ner

__all__ = [
    "ColumnFinding",
    "ScanReport",
    "Span",
    "detect_spans",
    "find",
    "ner_model",
    "pii_replay",
    "regenerate",
    "require_ner",
    "require_regenerable",
    "scan",
]
