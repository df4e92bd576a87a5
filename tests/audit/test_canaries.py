"""Canaries: a memorizing writer is caught, shuffled coins are not, and the scores equal a naive count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakes import SeededNoise
from text_fakes import NgramWriter, notes

from privsynth.audit.canaries import (
    BACK_OFF,
    audit_canaries,
    exposure,
    flip_coins,
    inserted,
    make_canaries,
    matches_canary,
    sample_scores,
)
from privsynth.audit.epsilon_bounds import Claim
from privsynth.audit.text_replay import tokens_of
from privsynth.errors import AuditError

CLAIM = Claim(epsilon=2.0, delta=1e-6)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def run():
    """500 canaries, each included once by a fair coin, and what a 3-gram writer makes of train."""
    canaries = make_canaries(notes(2000, 1), n=500, rng=rng(1))
    included = flip_coins(canaries, noise=SeededNoise(1))
    writer = NgramWriter([*notes(1500, 2), *inserted(canaries, included).texts], order=3)
    return canaries, included, writer.write(2500, rng(2)), writer


def test_a_memorizing_writer_is_caught_from_its_sample(run):
    canaries, included, sample, _ = run
    (result,) = audit_canaries(canaries, included, sample, rng=rng(), claim=CLAIM)
    assert result.value > 2
    assert result.value <= result.ceiling
    assert result.details["contradicts"] is True
    assert result.details["AUC"] > 0.9
    assert result.details["power"] < CLAIM.epsilon
    assert result.p_value is None  # a leak within the claim is no alarm: the claim decides


def test_shuffled_coins_give_zero(run):
    canaries, included, sample, writer = run
    losses = writer.loss([canary.text for canary in canaries])
    for seed in range(2):
        shuffled = rng(seed).permutation(included)
        results = audit_canaries(canaries, shuffled, sample, rng=rng(seed), claim=CLAIM, loss=lambda texts: losses)
        assert [result.value for result in results] == [0.0, 0.0]
        assert not any(result.details["contradicts"] for result in results)


def test_the_models_loss_leaks_at_least_as_much(run):
    canaries, included, sample, writer = run
    by_sample, by_loss = audit_canaries(canaries, included, sample, rng=rng(), claim=CLAIM, loss=writer.loss)
    assert by_loss.value >= by_sample.value > 2
    assert by_loss.threat_model == "model weights"
    assert by_loss.details["AUC"] > 0.99
    assert by_loss.details["exposure_median_bits"] == pytest.approx(by_loss.details["exposure_largest_possible_bits"])


def test_a_writer_that_never_saw_them_shows_nothing(run):
    canaries, included, _, _ = run
    clean = NgramWriter(notes(1500, 3), order=3).write(1500, rng(4))
    (result,) = audit_canaries(canaries, included, clean, rng=rng(), claim=CLAIM)
    assert result.value == 0.0


def test_whatever_resembles_a_canary_is_found_for_removal(run):
    canaries, _, sample, _ = run
    matches = matches_canary(sample, canaries)
    suffixes = [tokens_of(canary.suffix) for canary in canaries]
    quads = {tuple(suffix[i : i + 4]) for suffix in suffixes for i in range(len(suffix) - 3)}
    naive = [any(tuple(tokens_of(text)[i : i + 4]) in quads for i in range(len(tokens_of(text)) - 3)) for text in sample]
    assert matches.tolist() == naive
    assert 0 < matches.sum() < len(sample) / 2
    kept = [text for text, match in zip(sample, matches, strict=True) if not match]
    assert not matches_canary(kept, canaries).any()
    assert not matches_canary(notes(500, 5), canaries).any()


def test_scores_equal_a_naive_count():
    canaries = make_canaries(notes(30, 6), n=4, rng=rng(3), suffix_tokens=6)
    sample = [*notes(20, 7), canaries[0].text, canaries[0].text + " again", canaries[1].prefix]
    grams = {k: [tuple(t[i : i + k]) for t in map(tokens_of, sample) for i in range(len(t) - k + 1)] for k in (1, 2, 3)}
    for canary, score in zip(canaries, sample_scores(canaries, sample), strict=True):
        tokens = tokens_of(canary.text)
        ratios = []
        for position in range(len(tokens_of(canary.prefix)), len(tokens)):
            single = (grams[1].count((tokens[position],)) + 1) / (len(grams[1]) + len(tokens))
            probability = single
            for k in (1, 2):
                context = grams[k].count(tuple(tokens[position - k : position]))
                if not context:
                    break
                share = grams[k + 1].count(tuple(tokens[position - k : position + 1])) / context
                probability = (1 - BACK_OFF) * share + BACK_OFF * probability
            ratios.append(math.log(probability / single))
        assert score == pytest.approx(np.mean(ratios))


def test_exposure_is_the_rank_in_bits():
    candidates = rng(8).normal(size=1023)
    assert exposure(np.array([100.0, -100.0]), candidates).tolist() == [10.0, 0.0]
    assert exposure(np.array([0.0]), np.zeros(3)).tolist() == [0.0]  # ties count against exposure
    assert exposure(rng(9).normal(size=4000), candidates).mean() == pytest.approx(1 / math.log(2), abs=0.1)  # E[-log2 U]


def test_canaries_start_like_the_reference_and_differ():
    reference = notes(50, 9)
    canaries = make_canaries(reference, n=200, rng=rng(10), prefix_tokens=4, suffix_tokens=8)
    assert len({canary.suffix for canary in canaries}) == 200
    assert {canary.prefix for canary in canaries} <= {" ".join(text.split()[:4]) for text in reference}
    assert all(len(canary.suffix.split()) == 8 and canary.text.startswith(canary.prefix) for canary in canaries)


def test_inserted_texts_belong_to_one_invented_person_each():
    canaries = make_canaries(notes(50, 11), n=6, rng=rng(12))
    included = np.array([True, False, True, False, False, True])
    texts = inserted(canaries, included, times=3)
    assert list(texts.texts) == [canaries[i].text for i in (0, 0, 0, 2, 2, 2, 5, 5, 5)]
    assert len(set(texts.people)) == 3


def test_coins_come_from_the_noise_source():
    canaries = make_canaries(notes(50, 13), n=100, rng=rng(14))
    assert flip_coins(canaries, noise=SeededNoise(3)).tolist() == SeededNoise(3).coins(100, 0.5).tolist()


def test_too_few_canaries_or_equal_coins_are_not_measurable():
    canaries = make_canaries(notes(50, 15), n=60, rng=rng(16))
    assert audit_canaries(canaries[:20], np.arange(20) < 9, notes(5, 1), rng=rng())[0].status == "not measurable"
    assert audit_canaries(canaries, np.ones(60, dtype=bool), notes(5, 1), rng=rng())[0].status == "not measurable"


def test_bad_input_is_refused():
    canaries = make_canaries(notes(50, 15), n=60, rng=rng(16))
    with pytest.raises(AuditError, match="one each"):
        audit_canaries(canaries, np.ones(3, dtype=bool), notes(5, 1), rng=rng())
    with pytest.raises(AuditError, match="some texts"):
        sample_scores(canaries, [])
    with pytest.raises(AuditError, match="distinct words"):
        make_canaries(["short"], n=3, rng=rng())
