"""Finding personal data without a network, and inventing people to put in its place."""

from privsynth.pii.columns import ColumnFinding, ScanReport, scan
from privsynth.pii.detect import Span, detect_spans, ner_model, require_ner
from privsynth.pii.surrogates import pii_replay, regenerate

__all__ = [
    "ColumnFinding",
    "ScanReport",
    "Span",
    "detect_spans",
    "ner_model",
    "pii_replay",
    "regenerate",
    "require_ner",
    "scan",
]
