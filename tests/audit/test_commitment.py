"""Commitments: they open to what was committed and to nothing else, and show nothing before."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from privsynth.audit.commitment import Opening, coins_of, commit, count_holdout_uses, open_matches, reuse_note
from privsynth.errors import AuditError

FLIPS = np.array([True, False, True, True])
POLICY = "ab" * 32


def test_a_commitment_opens_to_what_was_committed():
    made = commit(FLIPS, ["exact replay"], POLICY)
    assert open_matches(made, FLIPS, ["exact replay"], POLICY)
    assert made.public() == {"digest": made.digest}


@pytest.mark.parametrize(
    ("flips", "attacks", "policy"),
    [
        (~FLIPS, ["exact replay"], POLICY),
        (np.append(FLIPS, False), ["exact replay"], POLICY),  # the same bits with one more person
        (FLIPS, ["exact replay", "linkability"], POLICY),
        (FLIPS, ["exact", "replay"], POLICY),
        (FLIPS, ["exact replay"], "cd" * 32),
    ],
)
def test_it_opens_to_nothing_else(flips, attacks, policy):
    assert not open_matches(commit(FLIPS, ["exact replay"], POLICY), flips, attacks, policy)


def test_equal_contents_give_different_digests():
    assert len({commit(FLIPS, ["a"], POLICY).digest for _ in range(20)}) == 20  # without the nonce, few people could be guessed


@pytest.mark.parametrize(
    ("flips", "attacks", "policy", "nonce"),
    [
        (np.array([], dtype=bool), ["a"], POLICY, None),
        (np.array([0.5, 1.0]), ["a"], POLICY, None),
        (FLIPS, [], POLICY, None),
        (FLIPS, ["a"], "secret", None),
        (FLIPS, ["a"], POLICY, b"short"),
    ],
)
def test_impossible_contents_are_refused(flips, attacks, policy, nonce):
    with pytest.raises(AuditError, match="expected"):
        commit(flips, attacks, policy, nonce=nonce)


def test_the_use_of_held_out_people_is_counted_once_a_release():
    entries = [
        ("reserve", {"id": "a"}),
        ("audit", {"id": "a"}),
        ("audit", {"id": "a"}),  # of a resumed run
        ("commit", {"id": "a"}),
        ("audit", {"id": "b"}),
    ]
    assert count_holdout_uses(entries) == 2
    assert reuse_note(1) is None
    assert "2 releases" in str(reuse_note(2))
    assert "worn" not in str(reuse_note(2))
    assert "worn" in str(reuse_note(3))


def test_every_part_of_a_split_has_bits_of_its_own_and_the_order_of_rows_does_not_matter():
    parts, units = np.array([0, 1, 2, 3, 1], dtype=np.int8), np.array(["a", "b", "c", "d", "b"], dtype=object)
    coins = coins_of(parts, units)
    assert coins.reshape(-1, 2).tolist() == [[False, False], [True, False], [False, True], [True, True]]
    order = np.array([4, 3, 2, 0, 1])
    assert np.array_equal(coins_of(parts[order], units[order]), coins)


def test_an_opening_survives_json_and_opens_its_digest_only():
    opening = Opening.of(FLIPS, ["exact replay"], POLICY)
    stored = TypeAdapter(Opening).validate_python(json.loads(json.dumps(opening.to_json())))
    assert stored.matches(opening.commitment.digest)
    assert not stored.matches(Opening.of(FLIPS, ["exact replay"], POLICY).commitment.digest)
    turned = bytes.fromhex(stored.flips)
    other = dataclasses.replace(stored, flips=bytes([turned[0] ^ 0x80, *turned[1:]]).hex())
    assert not other.matches(opening.commitment.digest)
