"""Replay of texts: naive oracles, silence on fresh texts, planted copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from text_fakes import NAMES, notes

from privsynth.audit.text_replay import (
    CHARACTERS,
    TOKENS,
    Texts,
    audit_texts,
    audit_values,
    near_copies,
    tokens_of,
    windows_of,
)
from privsynth.errors import AuditError


def by_name(results):
    return {result.audit: result for result in results}


@pytest.mark.parametrize(("by", "width"), [("token", 3), ("token", TOKENS), ("character", 20)])
def test_windows_are_equal_exactly_where_the_runs_are(by, width):
    texts = [*notes(6, 1), "one two three", "", "A  b\nc d e f g h i j K"]
    hashes, owner = windows_of(texts, width, by=by)
    runs = []
    for number, text in enumerate(texts):
        parts = tokens_of(text) if by == "token" else list(" ".join(text.casefold().split()))
        runs += [(tuple(parts[i : i + width]), number) for i in range(len(parts) - width + 1)]
    assert owner.tolist() == [number for _, number in runs]
    assert len(set(hashes.tolist())) == len({run for run, _ in runs})
    for i in range(0, len(runs), 7):
        assert (hashes == hashes[i]).tolist() == [run == runs[i][0] for run, _ in runs]


def test_texts_shorter_than_a_window_have_none():
    assert len(windows_of(["a b", ""], 3, by="token")[0]) == 0
    assert len(windows_of([], 3, by="token")[0]) == 0


def naive_jaccard(first, second):
    shingles = [{tuple(tokens_of(text)[i : i + 3]) for i in range(len(tokens_of(text)) - 2)} for text in (first, second)]
    return len(shingles[0] & shingles[1]) / max(len(shingles[0] | shingles[1]), 1)


def test_near_copies_are_the_pairs_above_the_similarity():
    texts = notes(60, 2)
    rng = np.random.default_rng(0)
    release = notes(40, 3)
    for text in texts[:15]:
        words = text.split()
        words[rng.integers(len(words))] = "changed"
        release.append(" ".join(words))
    pairs, similarities = near_copies(texts, release)
    truth = {(i, j) for i, text in enumerate(texts) for j, other in enumerate(release) if naive_jaccard(text, other) >= 0.5}
    assert set(map(tuple, pairs.tolist())) <= truth
    assert len(pairs) >= 0.9 * len(truth)
    assert len(truth) >= 12
    for (i, j), similarity in zip(pairs, similarities, strict=True):
        assert similarity == pytest.approx(naive_jaccard(texts[i], release[j]))


def test_copies_are_found_by_all_three_attacks():
    train, holdout = notes(400, 4), notes(400, 5)
    results = by_name(audit_texts(Texts(texts=train), Texts(texts=holdout), [*notes(500, 6), *train[:25]]))
    for result in results.values():
        assert result.p_value < 1e-3
        assert result.value > 0.02
        assert result.interval[0] < result.value < result.interval[1]
    assert results["text: verbatim replay"].details["train_replayed"] >= 20


def test_copies_with_one_word_changed_are_found_near_verbatim():
    train, holdout = notes(300, 7), notes(300, 8)
    changed = [text.replace(" ref ", " number ") for text in train[:20]]
    results = by_name(audit_texts(Texts(texts=train), Texts(texts=holdout), [*notes(300, 9), *changed]))
    assert results["text: near copies"].p_value < 1e-3


@pytest.mark.statistical
def test_fresh_texts_raise_no_alarm():
    """12 releases that leak nothing, three attacks at 1 % each: at most the binomial 99.9 % quantile of alarms."""
    alarms = 0
    for seed in range(12):
        train, holdout, release = (notes(100, 1000 * part + seed) for part in (1, 2, 3))
        alarms += sum(result.p_value <= 0.01 for result in audit_texts(Texts(texts=train), Texts(texts=holdout), release))
    assert alarms <= binom.ppf(0.999, 36, 0.01)


def test_what_several_people_wrote_is_no_replay():
    line = "this call may be recorded for training and quality purposes thank you"
    train, holdout = [f"{line} {i}" for i in range(50)], [f"{i} {line}" for i in range(50)]
    results = by_name(audit_texts(Texts(texts=train), Texts(texts=holdout), [line] * 10))
    assert results["text: verbatim replay"].details == {"train_replayed": 0, "holdout_replayed": 0, "train_among_most_replayed": []}
    assert results["text: verbatim replay"].p_value == 1.0


def test_a_person_counts_once_however_many_texts_they_wrote():
    train, holdout = notes(100, 10), notes(100, 11)
    people = [f"p{i // 50}" for i in range(100)]
    results = by_name(
        audit_texts(Texts(texts=train, people=people), Texts(texts=holdout, people=[f"h{i}" for i in range(100)]), [*train, *notes(50, 12)])
    )
    verbatim = results["text: verbatim replay"]
    assert verbatim.details["train_replayed"] == 2
    assert verbatim.n == 102
    assert verbatim.p_value > 1e-4  # two people cannot show more


def test_the_most_replayed_people_are_tested_apart():
    """Chance replay of short runs by many does not hide whole copies of few."""
    rng = np.random.default_rng(13)
    words = [f"w{i}" for i in range(400)]
    train, holdout = ([" ".join(rng.choice(words, 60)) for _ in range(400)] for _ in range(2))
    snippets = [" ".join(text.split()[:TOKENS]) for text in [*train[:200], *holdout[:200]]]
    result = by_name(audit_texts(Texts(texts=train), Texts(texts=holdout), [*snippets, *train[300:312]]))["text: verbatim replay"]
    assert result.details["train_among_most_replayed"][0] == [12, 12]
    assert result.p_value < 0.01


@pytest.mark.parametrize("empty", ["train", "holdout", "release"])
def test_an_empty_part_is_not_measurable(empty):
    parts = {"train": notes(5, 1), "holdout": notes(5, 2), "release": notes(5, 3)} | {empty: []}
    results = audit_texts(Texts(texts=parts["train"]), Texts(texts=parts["holdout"]), parts["release"])
    assert {result.status for result in results} == {"not measurable"}


def test_a_person_on_both_sides_is_refused_without_being_named():
    with pytest.raises(AuditError, match="1 people are in train and in the holdout") as error:
        audit_texts(Texts(texts=["a"], people=["Anna"]), Texts(texts=["b"], people=["Anna"]), ["c"])
    assert "Anna" not in str(error.value)
    with pytest.raises(AuditError, match="one person per text"):
        Texts(texts=["a", "b"], people=["x"])


def test_values_of_train_are_compared_with_values_never_used():
    release = [f"{name} called about the card" for name in NAMES[:8]]
    leaked = audit_values(NAMES[:8], NAMES[8:], release, coincidence=True)
    assert leaked.p_value == pytest.approx(1 / 12870)  # 8 of 8 against 0 of 8: one of C(16, 8) draws
    assert leaked.value == 1.0
    chance = audit_values(NAMES[:8], NAMES[8:], [f"{name} called" for name in NAMES[4:12]], coincidence=True)
    assert chance.p_value > 0.5
    assert chance.value == 0.0


def test_a_value_of_a_reserved_range_must_not_match_at_all():
    ids = [f"ID-{i:06d}" for i in range(50)]
    assert audit_values(ids, [], ["see ID-000007, please"], coincidence=False).p_value == 0.0
    assert audit_values(ids, [], ["see ID-0000071 or ID-99"], coincidence=False).p_value == 1.0
    assert audit_values(["Anna Maria Lind"], ["Bo Ek"], ["for anna  maria\nlind."], coincidence=True).details["found"] == 1


def test_without_values_or_control_nothing_is_measured():
    assert audit_values([], ["a"], ["b"], coincidence=True).status == "not measurable"
    assert audit_values(["a"], ["a"], ["b"], coincidence=True).status == "not measurable"


def test_characters_find_what_tokens_cannot():
    """A run of 50 characters in a language without blanks between words is a single token."""
    rng = np.random.default_rng(14)
    train, holdout = (["".join(rng.choice(list("abcdefgh"), 90)) for _ in range(60)] for _ in range(2))
    results = by_name(audit_texts(Texts(texts=train), Texts(texts=holdout), [text[5 : 5 + CHARACTERS + 10] for text in train[:30]]))
    assert results["text: verbatim replay of characters"].p_value < 1e-6
    assert results["text: verbatim replay"].p_value == 1.0
