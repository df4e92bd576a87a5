"""The machine-readable mark that a data file is synthetic: IPTC's Digital Source Type, where each format has a place for it.

Parquet: key-value metadata. Excel: custom document properties. CSV has no place: the mark stands in the manifest and in the Croissant
description, for each file, and in a column of the file itself if the plan asks for one.
"""

from __future__ import annotations

from collections.abc import Mapping

from privsynth import __version__

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC NewsCodes: made algorithmically, by a model derived from sampled content."""

MARKER_VALUE = "trainedAlgorithmicMedia"
"""In every row of a marker column."""

PROPERTIES: Mapping[str, str] = {"digitalSourceType": DIGITAL_SOURCE_TYPE, "synthetic": "true", "generator": f"privsynth {__version__}"}
"""What a data file says of itself, where its format lets it."""
