"""Did a real value come back? The check of a release against every personal value of the original.

Values from reserved ranges (e-mail addresses, telephones, IBANs, identifiers) must not match at all, in a column or inside a text.
Names match by chance, because invented people have common names too: they are compared with names that were invented and never used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from privsynth.errors import PIIError
from privsynth.pii.recognizers import fold
from privsynth.registry import require


def pii_replay(original: pd.DataFrame, released: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, int]:
    """How many released cells equal a value of the original, by column.

    A value is compared with the original values of *all* columns of its type, exactly and normalised (case, blanks
    and signs removed; telephone numbers by their last nine digits, so that "079 123 45 67" equals "+41 79 123 45 67").
    The comparison errs towards a match. E-mail addresses, IBANs, cards, identifiers and telephone numbers must give
    0; names coincide by chance and are judged elsewhere against names that were never used.

    Args:
        original: The confidential frame.
        released: The frame to be released.
        columns: Type of personal data by column name.

    Returns:
        Number of released cells that match, by column.

    Raises:
        PIIError: A column is in neither frame, or missing from ``released``.
    """
    # The scan names columns as text, whatever the frame calls them.
    original, released = (
        original.set_axis(original.columns.map(str), axis="columns"),
        released.set_axis(released.columns.map(str), axis="columns"),
    )
    for column in columns:
        for frame, role in ((original, "original"), (released, "released")):
            if column not in frame.columns:
                raise PIIError(f"column {column!r} is not in the {role} frame; name only columns that both frames have")
    known: dict[str, set[str]] = {}
    for column, entity in columns.items():
        known.setdefault(entity, set()).update(_normalised(original[column], entity))
    return {column: sum(key in known[entity] for key in _normalised(released[column], entity)) for column, entity in columns.items()}


def text_replay(original: pd.DataFrame, released: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """How many distinct values of the original stand inside released texts, by column.

    Values are compared normalised as in ``pii_replay``, at the borders of words: a value of at least six letters and digits
    is found however the text groups it.

    Args:
        original: The confidential frame.
        released: The texts to be released.
        columns: Type of personal data by column name; of reserved types only, names belong to ``name_replay``.
    """
    original = original.set_axis(original.columns.map(str), axis="columns")
    values = {column: {key for key in _normalised(original[column], entity) if len(key) >= _SHORTEST} for column, entity in columns.items()}
    lengths = sorted({len(key) for keys in values.values() for key in keys})
    stretches = {key for text in released for key in _stretches(text, lengths)}
    return {column: len(keys & stretches) for column, keys in values.items()}


_SHORTEST = 6
_WORDS = 12
"""Most words that one value in a text is spread over: an IBAN in groups of four has nine."""


def _stretches(text: str, lengths: Sequence[int]) -> set[str]:
    """Normalised runs of neighbouring words of a text that have one of these lengths, in each of the ways that values are normalised."""
    wanted = set(lengths)
    found: set[str] = set()
    for pattern, sign in ((r"[^\s<>()\[\]\"',;]+", r"\s"), (r"[^\W_]+", r"[\W_]")):
        words = [re.sub(sign, "", word).rstrip(".:!?") for word in re.findall(pattern, fold(text))]
        for start in range(len(words)):
            run = ""
            for word in words[start : start + _WORDS]:
                run += word
                if len(run) in wanted:
                    found.add(run)
                digits = re.sub(r"\D", "", run)[-9:]  # telephone numbers, by their last nine digits
                if len(digits) in wanted and len(digits) == 9:
                    found.add(digits)
    return found


@dataclass(frozen=True, kw_only=True)
class NameReplay:
    """Whether a release holds names of the original more often than names that were invented beside it and never used.

    Attributes:
        released: Names in the release.
        found: Those that are a full name of the original.
        never_used: Names that were invented in the same way and released nowhere.
        found_never_used: Those that are a full name of the original: coincidence alone.
        p_value: Chance of at least as many matches in the release if it coincides no more often than the others (one-sided).
    """

    released: int
    found: int
    never_used: int
    found_never_used: int
    p_value: float


def name_replay(original: Sequence[str], released: Sequence[str], never_used: Sequence[str]) -> NameReplay | None:
    """Compare the names of a release, by full name, with those of the original.

    Invented people are called like real ones now and then. How often is not guessed: names invented in the same way, from the same
    locales and for people of the same sex, coincide at the same rate whatever the original is. Given how many names coincide in
    all, how many of them are in the release is then a blind draw (Fisher's exact test).

    Args:
        original: Full names of the confidential people.
        released: Full names of the released people.
        never_used: Full names invented in the same way; ten times as many as released give the test most of its power.

    Returns:
        None if one of the three is empty.
    """
    own = {_full_name(name) for name in original} - {""}
    if not own or not len(released) or not len(never_used):
        return None
    found = sum(_full_name(name) in own for name in released)
    by_chance = sum(_full_name(name) in own for name in never_used)
    hypergeom: Any = require("scipy.stats").hypergeom
    p_value = float(hypergeom.sf(found - 1, len(released) + len(never_used), found + by_chance, len(released)))
    return NameReplay(
        released=len(released), found=found, never_used=len(never_used), found_never_used=by_chance, p_value=min(1.0, p_value)
    )


def _full_name(name: str) -> str:
    """Folded words of a name in alphabetical order: "Müller, Anna" is "Anna Müller"; nothing for a single word."""
    words = _NAME_WORD.findall(fold(name))
    return " ".join(sorted(words)) if len(words) >= 2 else ""


_NAME_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def _normalised(values: pd.Series[Any], entity: str) -> list[str]:
    """Keys of the non-null cells, for comparing."""
    keys = []
    for cell in values[~values.isna().to_numpy(dtype=bool)]:
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)  # 41791234567.0 in a column with nulls
        # Signs of an address carry meaning ("a.b@c", "a@b.c"); those of a number are only ways to write it.
        text = fold(str(cell))
        if entity == "PHONE_NUMBER":
            text = re.sub(r"\D", "", re.split(r"x|ext", text)[0])[-9:]
        else:
            text = re.sub(r"\s" if entity in ("EMAIL_ADDRESS", "URL", "IP_ADDRESS") else r"[\W_]", "", text)
        if text:
            keys.append(text)
    return keys
