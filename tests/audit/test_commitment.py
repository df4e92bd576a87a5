"""Commitments: they open to what was committed and to nothing else, and show nothing before."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.audit.commitment import commit, count_holdout_uses, open_matches, reuse_note
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


def test_uses_of_a_holdout_are_counted_in_commits_only():
    entries = [
        ("reserve", {"holdout": "h"}),
        ("commit", {"holdout": "h"}),
        ("commit", {"holdout": "other"}),
        ("commit", {}),
        ("commit", {"holdout": "h"}),
    ]
    assert count_holdout_uses(entries, "h") == 2
    assert reuse_note(1) is None
    assert "2 audits" in str(reuse_note(2))
    assert "worn" not in str(reuse_note(2))
    assert "worn" in str(reuse_note(3))
