"""The line before a text, and its tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from text_models import WordTokenizer

from privsynth.errors import SchemaError
from privsynth.privacy import SystemNoise
from privsynth.text.base import TextRecords, limit_per_group, random_order
from privsynth.text.prompts import prompt_ids, row_line


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({"type": "pub", "area": "riverside"}, "type: pub; area: riverside"),
        ({"opened_at": pd.Timestamp("2020-01-31"), "open": False}, "opened at: 2020-01-31; open: no"),
        ({"amount": 12.5, "stars": 4.0, "n": np.int64(3)}, "amount: 12.5; stars: 4; n: 3"),
        ({"a": None, "b": float("nan"), "c": pd.NA, "d": pd.NaT}, ""),
        ({"note": "one; two\n three"}, "note: one, two three"),
        ({"name": "x" * 200}, "name: " + "x" * 80),
        ({}, ""),
    ],
)
def test_a_row_becomes_a_line(row, line):
    assert row_line(row) == line


def test_columns_can_be_chosen_and_ordered():
    assert row_line({"a": 1, "b": 2, "c": 3}, ["c", "a"]) == "c: 3; a: 1"


def test_a_text_without_prompt_starts_with_the_start_token():
    assert prompt_ids(WordTokenizer(["a"]), "", max_tokens=8) == [0]


def test_a_tokenizer_without_start_uses_the_end_token():
    tokenizer = WordTokenizer(["a"])
    tokenizer.bos_token_id = None
    assert prompt_ids(tokenizer, "", max_tokens=8) == [1]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_group_keeps_at_most_its_limit(limit):
    groups = np.array([0, 1, 0, 2, 0, 1, 0])
    kept = limit_per_group(groups, limit, noise=SystemNoise())
    assert np.array_equal(np.bincount(groups[kept]), np.minimum(np.bincount(groups), limit))
    assert np.all(np.diff(kept) > 0)


@pytest.mark.statistical
def test_which_members_are_kept_is_up_to_coins():
    """Each of four members is kept in a quarter of 2,000 draws; false-alarm rate below 1e-5 each (5 standard errors)."""
    kept = np.concatenate([limit_per_group(np.zeros(4, dtype=np.int64), 1, noise=SystemNoise()) for _ in range(2000)])
    assert np.all(np.abs(np.bincount(kept, minlength=4) - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75))


def test_a_random_order_is_a_permutation():
    assert sorted(random_order(50, noise=SystemNoise())) == list(range(50))


@pytest.mark.parametrize("parts", [{"texts": ("a",)}, {"people": np.array(["x"], dtype=object)}, {"labels": ("x",)}])
def test_parts_of_different_lengths_are_refused(parts):
    facts = {"prompts": ("", ""), "texts": ("a", "b"), "people": np.array(["x", "y"], dtype=object)} | parts
    with pytest.raises(SchemaError, match="lengths"):
        TextRecords(**facts)


def test_no_text_at_all_is_refused():
    with pytest.raises(SchemaError, match="no text"):
        TextRecords(prompts=(), texts=(), people=np.zeros(0, dtype=object))
