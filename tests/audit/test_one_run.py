"""The one-run bound on the split's own coins: scores without labels, a copier refuted, nothing else."""

from __future__ import annotations

from dataclasses import replace

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth.audit.epsilon_bounds import Claim
from privsynth.audit.one_run import MIN_CANARIES, ONE_RUN, one_run_audit
from privsynth.dataset import HOLDOUT, TRAIN, TRAIN_IN_POOL, TUNING, Split, benchmark_split, draw_parts, split_by_unit

CLAIM = Claim(epsilon=1.0, delta=1e-6)


def split_of(n: int, seed: int) -> Split:
    return split_by_unit(fakes.people_dataset(n, seed), pool_rate=0.5, noise=fakes.SeededNoise(1000 + seed))


def release_of(frame: pd.DataFrame, split: Split):
    return replace(split.train, tables={"people": frame.reset_index(drop=True)}, role="synthetic")


def bound_of(split: Split, frame: pd.DataFrame, seed: int, **changes):
    settings = {"delta": CLAIM.delta, "claim": CLAIM, **changes}
    return one_run_audit(split, release_of(frame, split), rng=np.random.default_rng(seed), **settings)


@pytest.fixture(scope="module")
def split():
    return split_of(1500, 0)


def test_a_copier_that_claims_epsilon_one_is_contradicted(split):
    result = bound_of(split, split.train.frame, 0)
    assert result.status == "measured"
    assert result.value > 2
    assert result.details["contradicts"] is True
    assert result.value <= result.ceiling * 1.001  # the bisection's last step
    assert 0 <= result.details["power"] <= CLAIM.epsilon


def test_fresh_people_as_the_release_contradict_nothing(split):
    """Chance of a bound above 0 at most 5 % per release; two fixed seeds."""
    for seed in (1, 2):
        result = bound_of(split, fakes.people_dataset(1200, 100 + seed).frame, seed)
        assert result.value < 0.5
        assert result.details["contradicts"] is False


@pytest.mark.statistical
@pytest.mark.slow
def test_the_bound_covers_zero_where_nothing_leaks():
    """50 releases of fresh people: bounds above 0 at most 7 times, the 99 % quantile of Binomial(50, .05)."""
    above = 0
    for seed in range(50):
        above += bound_of(split_of(600, seed), fakes.people_dataset(400, 5000 + seed).frame, seed).value > 0
    assert above <= 7


def test_canaries_are_the_people_whom_a_fair_coin_decided(split):
    result = bound_of(split, split.train.frame, 0)
    assert result.n == int(split.in_pool.sum()) + len(split.holdout.frame)
    assert bound_of(split, split.train.frame, 0, max_canaries=150).n == 150


def test_coins_of_the_pool_are_fair_and_tuning_people_are_no_canaries():
    """Share of train among 7,000 pool people within four standard errors of one half: false-alarm rate 1e-4."""
    dataset = fakes.people_dataset(20_000)
    parts = draw_parts(dataset, pool_rate=0.5, noise=fakes.SeededNoise(3))
    counts = {part: int((parts == part).sum()) for part in (TRAIN, HOLDOUT, TUNING, TRAIN_IN_POOL)}
    n = counts[HOLDOUT] + counts[TRAIN_IN_POOL]
    assert abs(counts[TRAIN_IN_POOL] / n - 0.5) < 2 / n**0.5
    assert n == pytest.approx(20_000 * 0.5 * 0.7, rel=0.03)
    assert counts[TUNING] == pytest.approx(20_000 * 0.25 * 0.3, rel=0.05)


def test_scores_do_not_look_at_the_coins(monkeypatch, split):
    """With train and holdout members of the pool exchanged, every score of every person stays what it was."""
    from privsynth.audit import one_run

    seen = []
    scores = one_run._scores

    def remembered(case, canaries, encoder, *rest):
        found = scores(case, canaries, encoder, *rest)
        frame = case.one_row_each(canaries, np.random.default_rng(0))
        seen.append({tuple(cells): [score[i] for score in found.values()] for i, cells in enumerate(frame.cells.tolist())})
        return found

    monkeypatch.setattr(one_run, "_scores", remembered)
    release = fakes.people_dataset(700, 9).frame
    pool, rest = split.train.frame[split.in_pool], split.train.frame[~split.in_pool]
    turned = Split(
        train=release_of(pd.concat([rest, split.holdout.frame]), split),
        holdout=release_of(pool, split),
        tuning=split.tuning,
        pool_rate=0.5,
        in_pool=np.arange(len(rest) + len(split.holdout.frame)) >= len(rest),
    )
    # Subsets of columns are drawn: one seed, and draws that do not depend on the order of people.
    for one in (split, turned):
        bound_of(one, release, 0)
    assert seen[0].keys() == seen[1].keys()
    for row, values in seen[0].items():
        assert values[:3] == pytest.approx(seen[1][row][:3], abs=1e-6)


def test_a_person_of_many_rows_is_one_canary():
    split = split_of(1500, 4)
    twice = {
        name: replace(getattr(split, name), tables={"people": pd.concat([getattr(split, name).frame] * 2, ignore_index=True)})
        for name in ("train", "holdout", "tuning")
    }
    doubled = replace(split, **twice, in_pool=np.tile(split.in_pool, 2))
    result = bound_of(doubled, split.train.frame, 0)
    assert result.n == int(split.in_pool.sum()) + len(split.holdout.frame)
    assert result.details["contradicts"] is True


def test_without_coins_or_with_few_people_nothing_is_measured():
    fixed = benchmark_split(fakes.people_dataset(400))
    assert bound_of(fixed, fixed.train.frame, 0).status == "not measurable"
    small = split_of(200, 1)
    result = bound_of(small, small.train.frame, 0)
    assert result.status == "not measurable"
    assert str(MIN_CANARIES) in result.details["reason"]


def test_without_a_claim_there_is_a_bound_and_no_contradiction(split):
    result = bound_of(split, split.train.frame, 0, claim=None)
    assert result.value > 2
    assert "contradicts" not in result.details
    assert result.audit == ONE_RUN.audit


def test_a_release_without_a_tuning_part_is_measured(split):
    empty = replace(split, tuning=replace(split.tuning, tables={"people": split.tuning.frame.iloc[:0]}))
    assert bound_of(empty, split.train.frame, 0).details["contradicts"] is True
