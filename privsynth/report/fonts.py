"""The one typeface of plots and PDF, and which characters it can draw.

DejaVu Sans comes with matplotlib: nothing depends on the fonts of a machine. A character that it lacks is shown by its code point,
because PDF/A and PDF/UA refuse a glyph that does not exist, and a silent gap in a name would be worse.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

FAMILY = "DejaVu Sans"


@lru_cache(maxsize=1)
def folder() -> Path:
    """Where the font files lie."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    """Code points that both weights have."""
    from matplotlib.ft2font import FT2Font

    regular, bold = (frozenset(FT2Font(str(folder() / name)).get_charmap()) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"))
    return regular & bold


def displayable(text: str) -> str:
    """The text with characters that cannot be drawn as U+XXXX.

    >>> displayable("Graz, Łódź, 東京")
    'Graz, Łódź, U+6771U+4EAC'
    """
    return "".join(sign if _is_drawable(sign) else f"U+{ord(sign):04X}" for sign in text)


def _is_drawable(sign: str) -> bool:
    # Cc and Cf: control characters, and marks without a glyph that reorder or join what stands around them
    return ord(sign) in _drawable() and unicodedata.category(sign) not in ("Cc", "Cf")
