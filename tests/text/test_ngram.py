"""DP n-grams: counts and caps, thresholds, probabilities, labels, budget, storage; one person moves counts by the sensitivity."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from fakes import NoNoise, SeededNoise
from hypothesis import given, settings
from hypothesis import strategies as st
from text_models import WordTokenizer

from privsynth import text
from privsynth.errors import PlanError, SourceError
from privsynth.privacy import Budget, GaussianPartitionSelection, Ledger, NonPrivate, total
from privsynth.privacy.ledger import Population
from privsynth.text import ngram
from privsynth.text.base import TextRecords
from privsynth.text.counts import Counts, selected_counts, selection_threshold, token_counts
from privsynth.text.ngram import NGram, NGramModel, encoded

WORDS = "the a card is late new lost bank sent paid fee why".split()
TOKENIZER = WordTokenizer(WORDS)


@pytest.fixture(autouse=True)
def word_tokenizer(monkeypatch):
    monkeypatch.setattr(ngram, "open_tokenizer", lambda name: TOKENIZER)


def records(texts, people=None, labels=None):
    n = len(texts)
    people = np.arange(n) if people is None else np.array(people)
    return TextRecords(prompts=("",) * n, texts=tuple(texts), people=people.astype(object), labels=labels)


def fit(engine, train, *, epsilon=math.inf, noise=None, delta=1e-3):
    """Through the room's own entry; its ledger must hold no more than the budget."""
    ledger, population = Ledger.open(), Population(name="texts", units=[f"u{i}" for i in range(20)])
    budget = Budget(epsilon=epsilon, delta=delta)
    model = text.fit(engine, train, budget=budget, ledger=ledger, population=population, noise=noise or NoNoise())
    assert ledger.balance("texts").epsilon <= epsilon
    return model


def test_without_noise_probabilities_are_ratios_of_counts():
    model = fit(NGram(order=3), records(["the card is late", "the card is new", "the bank paid"]))
    ids = encoded(TOKENIZER, "the card is late", max_tokens=20).tolist()
    shares = model.next_shares(ids[:3])  # <bos> the card: "is" followed both times
    assert shares.sum() == pytest.approx(1)
    assert shares[ids[3]] == pytest.approx(0.98, abs=0.02)
    after_is = model.next_shares(ids[:4])
    assert after_is[ids[4]] == pytest.approx(after_is[TOKENIZER.names.index("new")])
    # Backing off: "card paid" was never seen, and stays possible through the counts of single tokens.
    assert 0 < model.next_shares(ids[:3])[TOKENIZER.names.index("paid")] < 0.02


def test_every_distribution_sums_to_one_and_the_start_never_comes_again():
    model = fit(NGram(order=3), records(["the card is late", "why", ""] * 30), epsilon=5.0, noise=SeededNoise(0))
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = model.next_shares([0, *rng.integers(3, 18, 3).tolist()])
        assert shares.sum() == pytest.approx(1)
        assert shares.min() >= 0
        assert shares[0] == 0


def test_a_label_conditions_by_bayes_rule():
    texts, labels = ["the card"] * 50 + ["the bank"] * 50, ("cards",) * 50 + ("banks",) * 50
    model = fit(NGram(order=1, labels=("cards", "banks")), records(texts, labels=labels))
    card, bank = TOKENIZER.names.index("card"), TOKENIZER.names.index("bank")
    assert model.next_shares([0])[card] == pytest.approx(model.next_shares([0])[bank])
    assert model.next_shares([0], "cards")[card] > 0.2
    assert model.next_shares([0], "cards")[bank] < 0.02
    assert model.next_shares([0], "cards").sum() == pytest.approx(1)


def test_a_label_that_was_not_shown_changes_nothing():
    model = fit(NGram(order=1, labels=("cards", "empty")), records(["the card"] * 20, labels=("cards",) * 20))
    assert np.array_equal(model.next_shares([0], "empty"), model.next_shares([0]))


def test_samples_follow_the_probabilities():
    model = fit(NGram(order=2), records(["the card"] * 30 + ["a card"] * 10))
    firsts = Counter(sample.text.split()[0] if sample.text else "" for sample in model.sample([""] * 400, rng=np.random.default_rng(0)))
    expected = model.next_shares([0])[TOKENIZER.names.index("the")]
    assert abs(firsts["the"] / 400 - expected) < 5 * math.sqrt(expected * (1 - expected) / 400)


def test_a_text_without_end_is_said_to_be_unfinished():
    model = fit(NGram(order=2, max_tokens=3), records(["the the the the the"] * 5))
    sampled = list(model.sample([""] * 20, rng=np.random.default_rng(0)))
    assert [sample.position for sample in sampled] == list(range(20))
    assert any(not sample.finished and len(sample.text.split()) == 3 for sample in sampled)


def test_keys_of_few_people_are_not_shown():
    texts = ["the card is late"] * 300 + ["why a fee"] * 2
    model = fit(NGram(order=2), records(texts), epsilon=3.0, noise=SeededNoise(1))
    shown = {tuple(key) for key in model.tables[1].keys.tolist()}
    names = TOKENIZER.names
    assert (names.index("the"), names.index("card")) in shown
    assert (names.index("why"), names.index("a")) not in shown


@pytest.mark.parametrize(("sigma", "delta", "max_keys"), [(0.7, 1e-3, 1), (5.0, 1e-6, 30), (80.0, 1e-9, 10)])
def test_the_threshold_keeps_lone_keys_back(sigma, delta, max_keys):
    """Exact tail of the discrete Gaussian."""
    z = np.arange(-60 * int(sigma + 1), 60 * int(sigma + 1))
    law = np.exp(-(z**2) / (2 * sigma**2))
    law /= law.sum()
    threshold = selection_threshold(sigma=sigma, delta=delta, max_keys=max_keys)
    assert max_keys * law[z >= threshold - 1].sum() <= delta
    assert max_keys * law[z >= threshold - 3 - 0.02 * sigma].sum() > delta  # and is not much larger than needed


class Recorded(NoNoise):
    def __init__(self):
        self.asked = []

    def discrete_gaussian(self, counts, sigma):
        self.asked.append((np.asarray(counts), sigma))
        return np.asarray(counts, dtype=np.int64)

    def coins(self, n, rate):
        return np.ones(n, dtype=bool)  # keys are kept in order, for one person independently of the others


@given(
    owners=st.lists(st.integers(0, 5), min_size=1, max_size=30), removed=st.integers(0, 5), cap=st.integers(1, 6), seed=st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_one_person_moves_token_counts_by_at_most_the_sensitivity(owners, removed, cap, seed):
    tokens, persons = np.random.default_rng(seed).integers(0, 12, len(owners)), np.array(owners)
    counts = []
    for keep in (np.ones(len(owners), dtype=bool), persons != removed):
        noise = Recorded()
        found = token_counts(persons[keep], tokens[keep], vocabulary=12, max_keys=cap, noise_multiplier=1.0, noise=noise)
        assert noise.asked[0][1] == pytest.approx(math.sqrt(cap))
        counts.append(found.counts)
    assert np.linalg.norm(counts[0] - counts[1]) <= math.sqrt(cap)


@given(
    owners=st.lists(st.integers(0, 5), min_size=1, max_size=30), removed=st.integers(0, 5), cap=st.integers(1, 6), seed=st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_one_person_moves_shared_keys_by_the_sensitivity_and_owns_few(owners, removed, cap, seed):
    keys, persons = np.random.default_rng(seed).integers(0, 4, (len(owners), 2)), np.array(owners)
    tables = []
    for keep in (np.ones(len(owners), dtype=bool), persons != removed):
        noise = Recorded()
        _ = selected_counts(persons[keep], keys[keep], max_keys=cap, noise_multiplier=1e-6, delta=0.5, noise=noise)
        # Undo the selection: the exact counts that got noise, in the order of the distinct keys that survived the cap.
        exact = selected_counts(persons[keep], keys[keep], max_keys=cap, noise_multiplier=0.0, delta=0.5, noise=noise)
        if noise.asked:
            assert np.array_equal(noise.asked[0][0], exact.counts)
        tables.append({tuple(key): count for key, count in zip(exact.keys.tolist(), exact.counts.tolist(), strict=True)})
    shared = np.array([tables[0][key] - tables[1][key] for key in tables[0] if key in tables[1]] or [0])
    alone = [count for key, count in tables[0].items() if key not in tables[1]]
    assert math.hypot(np.linalg.norm(shared), math.sqrt(len(alone))) <= math.sqrt(cap) + 1e-9
    assert all(count == 1 for count in alone)
    assert set(tables[1]) <= set(tables[0])


def test_a_person_with_many_texts_counts_like_one():
    many = records(["the card"] * 9 + ["a bank"], people=[0] * 9 + [1])
    model = fit(NGram(order=2, max_texts_per_person=9), many)
    assert model.tables[0].counts.max() == 2  # start and end, of two people
    assert model.tables[1].counts.max() == 1


@pytest.mark.parametrize("epsilon", [0.5, 8.0])
def test_the_stage_spends_its_budget_and_no_more(epsilon):
    budget = Budget(epsilon=epsilon, delta=1e-5)
    touches = NGram(labels=("a", "b"), shares=(1, 2, 4, 1)).touches(noise_scale=1.0, budget=budget)
    assert 0.99 * epsilon < total(touches, 1e-5).epsilon <= epsilon
    assert sum(isinstance(touch.event, GaussianPartitionSelection) for touch in touches) == 3


def test_an_infinite_budget_is_no_guarantee():
    touches = NGram().touches(noise_scale=1.0, budget=Budget(epsilon=math.inf, delta=1e-5))
    assert all(isinstance(touch.event, NonPrivate) for touch in touches)


def test_a_saved_model_comes_back(tmp_path):
    texts = ["the card is late", "a bank"] * 40
    model = fit(NGram(order=2, labels=("x", "y")), records(texts, labels=("x", "y") * 40), epsilon=20.0, noise=SeededNoise(2))
    model.save(tmp_path)
    loaded = NGramModel.load(tmp_path)
    assert loaded.settings == model.settings
    for label in (None, "x"):
        assert np.array_equal(loaded.next_shares([0], label), model.next_shares([0], label))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no readable n-gram model"):
        NGramModel.load(tmp_path)


def test_a_label_that_is_not_declared_is_refused():
    with pytest.raises(PlanError, match="not declared"):
        fit(NGram(labels=("x",)), records(["the card"], labels=("other",)))


def test_equal_or_empty_texts_can_be_counted():
    for texts in (["the card"] * 3, ["", "", ""]):
        model = fit(NGram(), records(texts))
        assert [sample.text for sample in model.sample([""] * 3, rng=np.random.default_rng(0))]


def test_noise_on_a_table_without_keys_is_none():
    found = selected_counts(
        np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.int64), max_keys=3, noise_multiplier=1.0, delta=0.1, noise=NoNoise()
    )
    assert isinstance(found, Counts)
    assert len(found.keys) == 0


@pytest.mark.parametrize("changes", [{"order": 0}, {"max_keys": 0}, {"shares": (1.0,)}, {"shares": (1.0, 1.0, 0.0)}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(PlanError, match="expected"):
        NGram(**changes)
