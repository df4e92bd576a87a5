"""Intervals and tests of the audits: closed forms, naive oracles, coverage."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import binom

from privsynth.audit.intervals import (
    area_under_curve,
    binomial_tail,
    bonferroni,
    clopper_pearson,
    hypergeometric_tail,
    rate_difference,
    score_difference,
    smallest_flagged_rate,
    threshold_at,
    true_positive_rate,
)
from privsynth.errors import AuditError


def test_clopper_pearson_of_no_success_is_the_closed_form():
    low, high = clopper_pearson(0, 25)
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 25))
    assert clopper_pearson(25, 25) == pytest.approx((0.025 ** (1 / 25), 1.0))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("rate", [0.003, 0.05, 0.31, 0.5, 0.97])
def test_clopper_pearson_covers_at_least_as_often_as_it_says(rate, confidence):
    n = 60  # exact coverage: a sum over all outcomes, no simulation
    covered = sum(
        binom.pmf(k, n, rate)
        for k in range(n + 1)
        if clopper_pearson(k, n, confidence=confidence)[0] <= rate <= clopper_pearson(k, n, confidence=confidence)[1]
    )
    assert covered >= confidence


def test_clopper_pearson_refuses_impossible_counts():
    with pytest.raises(AuditError, match="successes=5 of trials=3"):
        clopper_pearson(5, 3)
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("first", "second"), [(0.02, 0.02), (0.3, 0.25), (0.0, 0.01)])
def test_rate_difference_covers(first, second):
    n, m = 40, 30  # exact coverage over all pairs of outcomes
    covered = 0.0
    for i in range(n + 1):
        for j in range(m + 1):
            low, high = rate_difference(i, n, j, m)
            covered += binom.pmf(i, n, first) * binom.pmf(j, m, second) * (low <= first - second <= high)
    assert covered >= 0.95


def test_binomial_tail_is_the_sum():
    assert binomial_tail(7, 9, 0.3) == pytest.approx(sum(comb(9, k) * 0.3**k * 0.7 ** (9 - k) for k in range(7, 10)))
    assert binomial_tail(0, 9, 0.3) == 1.0


def test_hypergeometric_tail_counts_all_draws():
    labels = [1, 1, 1, 0, 0, 0, 0, 0]
    draws = [sum(labels[i] for i in chosen) for chosen in combinations(range(8), 4)]
    for count in range(5):
        assert hypergeometric_tail(count, 4, 3, 8) == pytest.approx(np.mean([draw >= count for draw in draws]))


def test_bonferroni_never_passes_one():
    assert bonferroni([0.6, 0.7]) == 1.0
    assert bonferroni([]) == 1.0


def test_area_under_curve_counts_pairs():
    rng = np.random.default_rng(1)
    members, others = rng.integers(0, 5, 30).astype(float), rng.integers(0, 4, 20).astype(float)
    naive = np.mean([(a > b) + 0.5 * (a == b) for a in members for b in others])
    assert area_under_curve(members, others).value == pytest.approx(naive)


def test_delong_variance_is_that_of_the_structural_components():
    rng = np.random.default_rng(2)
    members, others = rng.normal(1, 1, 25), rng.normal(0, 1, 40)
    wins = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    error = np.sqrt(wins.mean(1).var(ddof=1) / 25 + wins.mean(0).var(ddof=1) / 40)
    low, high = area_under_curve(members, others).interval
    assert high - low == pytest.approx(2 * 1.959963985 * error, rel=1e-6)


def test_permutation_error_is_that_of_relabelling():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 3, 60).astype(float)
    areas = []
    for _ in range(4000):
        mixed = rng.permutation(scores)
        areas.append(area_under_curve(mixed[:20], mixed[20:]).value)
    assert np.std(areas) == pytest.approx(area_under_curve(scores[:20], scores[20:]).null_error, rel=0.05)


def test_separated_scores_keep_a_wide_interval():
    area = area_under_curve(np.ones(50), np.zeros(50))
    assert area.value == 1.0
    assert area.interval == pytest.approx((0.025 ** (1 / 50), 1.0))
    assert area.p_value < 1e-10


def test_equal_scores_say_nothing():
    area = area_under_curve(np.zeros(5), np.zeros(7))
    assert (area.value, area.p_value) == (0.5, 1.0)


def test_area_refuses_scores_that_are_not_numbers():
    with pytest.raises(AuditError):
        area_under_curve(np.array([1.0, np.nan]), np.zeros(3))


@pytest.mark.statistical
def test_delong_interval_covers_the_area_of_two_normals():
    # True area 0.7602. 400 intervals at 95 %: fewer than 364 or more than 393 covered has probability below 1e-3 each way.
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        low, high = area_under_curve(rng.normal(1, 1, 150), rng.normal(0, 1, 100)).interval
        covered += low <= 0.76025 <= high
    assert 364 <= covered <= 393


def test_threshold_lets_at_most_the_rate_pass():
    scores = np.array([1.0, 5.0, 5.0, 5.0, 2.0, 0.0, 3.0, 4.0, 2.0, 1.0])
    for rate in (0.0, 0.1, 0.25, 0.5):
        assert np.mean(scores > threshold_at(scores, rate)) <= rate


def test_true_positive_rate_evaluates_on_the_other_half():
    non_members = np.concatenate([np.arange(100.0), np.full(100, 1000.0)])
    calibration = np.arange(200) < 100
    found = true_positive_rate(np.full(50, 99.5), non_members, calibration=calibration, false_positive_rate=0.01)
    assert (found.value, found.false_positive_rate) == (1.0, 1.0)  # the evaluation half shows that the threshold does not hold
    assert found.p_value == pytest.approx(1.0)


@pytest.mark.statistical
def test_true_positive_rate_p_value_keeps_its_level():
    # 600 null runs at level 0.05: more than 52 alarms has probability below 1e-4 (binomial).
    rng = np.random.default_rng(5)
    alarms = sum(
        true_positive_rate(rng.random(300), rng.random(300), calibration=np.arange(300) < 150, false_positive_rate=0.05).p_value <= 0.05
        for _ in range(600)
    )
    assert alarms <= 52


@pytest.mark.statistical
def test_a_threshold_chosen_on_few_people_raises_no_alarm_by_itself():
    # The margin is 3 %. Null: with 250 people to choose 1 % by, one or two of 600 Clopper-Pearson intervals lie wholly above it.
    # Positive control: 8 % of members found at a true rate of 1 %.
    rng, calibration = np.random.default_rng(6), np.arange(500) < 250
    settings = {"calibration": calibration, "false_positive_rate": 0.01}
    nulls = [true_positive_rate(rng.random(500), rng.random(500), **settings) for _ in range(600)]
    assert sum(clopper_pearson(found.found, 500)[0] > 0.03 for found in nulls) > 0
    assert sum(found.interval[0] > 0.03 for found in nulls) == 0  # of 3,000 such runs none came above 0.005
    leaks = [true_positive_rate(np.where(rng.random(2000) < 0.1, 2.0, rng.random(2000)), rng.random(4000), calibration=np.arange(4000) < 2000, false_positive_rate=0.01) for _ in range(20)]  # fmt: skip
    assert all(found.interval[0] > 0.03 for found in leaks)


def test_smallest_flagged_rate_is_the_first_that_is_flagged():
    rate = smallest_flagged_rate(200, 100, 0.01, 1e-3)
    found = round(rate * 200)
    assert hypergeometric_tail(found, found + 1, 200, 300) <= 1e-3 < hypergeometric_tail(found - 1, found, 200, 300)
    assert smallest_flagged_rate(3, 3, 0.01, 1e-6) is None


def test_score_difference_is_newcombes_own_example():
    # Newcombe (1998), table II, method 10: 56/70 against 48/80, and 9/10 against 3/10
    assert score_difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert score_difference(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=1e-4)


@pytest.mark.parametrize(("rate", "control"), [(0.5, 0.5), (0.3, 0.25), (0.05, 0.05)])
def test_score_difference_covers(rate, control):
    # 2 000 draws at 95 %: a share below .935 has probability below 2e-3
    rng = np.random.default_rng(0)
    found, of_control = rng.binomial(600, rate, 2000), rng.binomial(500, control, 2000)
    ends = np.array([score_difference(int(a), 600, int(b), 500) for a, b in zip(found, of_control, strict=True)])
    covered = (ends[:, 0] <= rate - control) & (rate - control <= ends[:, 1])
    assert covered.mean() > 0.935


def test_score_difference_refuses_more_successes_than_trials():
    with pytest.raises(AuditError, match="at most all"):
        score_difference(3, 2, 0, 5)
