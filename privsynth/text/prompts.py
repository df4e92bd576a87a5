"""The line before a text, and how both become tokens.

A prompt is the row as a short line, ``key: value; key: value``, then a line break, then the text: the embedded model saw the same form in
pre-training, and attributes before the text are what large models take best too (Yue et al. 2023, arXiv:2210.14348). For training the line
is made of the person's own row, for the release of a synthetic one.

Personal data in a text stands as slots such as ``<PERSON>``, before training and in what a model writes; whoever strips texts fills them
after sampling. To this room a slot is a word, and one token where the tokenizer knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

MAX_VALUE_LETTERS = 80
"""A longer value of a row is cut in the prompt."""


def row_line(row: Mapping[str, object], columns: Sequence[str] | None = None) -> str:
    """A row as the line before its text, null values left out; "" if nothing is left.

    Args:
        row: Values by column name; None, NaN and NaT are null.
        columns: Which columns, in this order; all by default.

    >>> row_line({"food_type": "Thai; hot", "stars": 4.0, "open": True, "city": None})
    'food type: Thai, hot; stars: 4; open: yes'
    """
    parts = []
    for name in columns if columns is not None else list(row):
        value = _words(row[name])
        if value:
            parts.append(f"{' '.join(name.replace('_', ' ').split())}: {value}")
    return "; ".join(parts)


def _words(value: object) -> str:
    """A value as a person would write it, without what separates values; "" for null."""
    if value is None or str(value) in ("nan", "NaT", "<NA>"):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    words = " ".join(str(value).replace(";", ",").split())
    return words.removesuffix(" 00:00:00")[:MAX_VALUE_LETTERS].rstrip()


@dataclass(frozen=True)
class TokenizedText:
    """A prompt and its text as token numbers; ``start`` is the position of the first token of the text."""

    ids: IntArray
    start: int


def prompt_ids(tokenizer: Any, prompt: str, *, max_tokens: int) -> list[int]:
    """Tokens before a text: the start token, and the prompt with a line break; never empty.

    The prompt keeps at most half of ``max_tokens``: its end is cut, so that a long row leaves room for the text.
    """
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    if not prompt:  # something has to come before the first token that is scored
        return start or [tokenizer.eos_token_id]
    line = tokenizer(f"{prompt}\n", add_special_tokens=False).input_ids
    if len(start) + len(line) > max_tokens // 2:
        end = tokenizer("\n", add_special_tokens=False).input_ids
        line = [*line[: max(0, max_tokens // 2 - len(start) - len(end))], *end]
    return [*start, *line]


def tokenize(tokenizer: Any, prompt: str, text: str, *, max_tokens: int) -> tuple[TokenizedText, bool]:
    """A prompt line and its text with the end token, and whether the text was cut; a cut text has no end."""
    before = prompt_ids(tokenizer, prompt, max_tokens=max_tokens)
    target = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    room = max_tokens - len(before)
    return TokenizedText(np.array([*before, *target[:room]], dtype=np.int64), len(before)), len(target) > room
