"""Lower bounds on epsilon: closed forms, naive oracles, coverage, and jax_privacy where it is installed."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, norm

from privsynth.audit.epsilon_bounds import (
    Claim,
    Guesses,
    approximate_dp_leak,
    as_result,
    bounded_range_leak,
    ceiling,
    contradicts,
    default_guesses,
    expected_bound,
    gaussian_epsilon,
    gaussian_mu,
    many_runs_bound,
    one_run_bound,
    one_run_p_value,
    zero_concentrated_leak,
)
from privsynth.errors import AuditError

JAX_PRIVACY = Path(os.environ.get("PRIVSYNTH_JAX_PRIVACY_PYTHON", "no python"))


def rng(seed=0):
    return np.random.default_rng(seed)


def gaussian_attack(m, mu, seed):
    """Canaries that do not touch each other, seen through unit noise."""
    generator = rng(seed)
    included = generator.random(m) < 0.5
    return generator.normal(0, 1, m) + mu * included, included


@pytest.mark.parametrize(("k", "expected"), [(20, 1.8), (50, 2.8), (100, 3.5), (200, 4.2), (500, 5.1), (1000, 5.8), (4000, 7.2)])
def test_the_ceiling_is_the_bound_of_all_guesses_right(k, expected):
    scores = np.arange(2.0 * k)
    bound = one_run_bound(scores, scores >= k, delta=0.0, rng=rng(), guesses=[Guesses(n_in=k)])
    assert bound.value == pytest.approx(ceiling(k, 0.95), abs=2e-4)
    assert bound.ceiling == bound.value
    assert round(bound.value, 1) == expected
    assert (bound.n_guesses, bound.n_correct, bound.n_tests) == (k, k, 1)


def test_p_value_at_epsilon_zero_is_a_coin_toss():
    assert one_run_p_value(100, 30, 20, epsilon=0.0, delta=0.0) == pytest.approx(binom.sf(19, 30, 0.5))


@pytest.mark.parametrize(("epsilon", "delta"), [(0.5, 1e-3), (2.0, 1e-5), (1.0, 0.02)])
def test_p_value_equals_the_sum_of_the_theorem(epsilon, delta):
    m, r, v = 60, 40, 33
    rate = math.exp(epsilon) / (1 + math.exp(epsilon))
    pmf = [math.comb(r, k) * rate**k * (1 - rate) ** (r - k) for k in range(r + 1)]
    tail = sum(pmf[v:])
    slack = max(sum(pmf[v - i : v]) / i for i in range(1, v + 1))
    assert one_run_p_value(m, r, v, epsilon=epsilon, delta=delta) == pytest.approx(min(1.0, tail + 2 * m * delta * slack))


def test_p_value_grows_with_epsilon_and_delta():
    values = [one_run_p_value(100, 50, 45, epsilon=e, delta=1e-4) for e in np.linspace(0, 6, 40)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(values))
    assert one_run_p_value(100, 50, 45, epsilon=1.0, delta=0.1) > one_run_p_value(100, 50, 45, epsilon=1.0, delta=0.0)


@pytest.mark.parametrize("mu", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("delta", [1e-2, 1e-6])
def test_gaussian_epsilon_solves_its_equation(mu, delta):
    epsilon = gaussian_epsilon(mu, delta)
    if epsilon > 0:
        assert norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu) == pytest.approx(delta, rel=1e-5)
        assert gaussian_mu(epsilon, delta) == pytest.approx(mu, rel=1e-6)


def test_a_score_of_noise_refutes_nothing():
    scores, included = gaussian_attack(2000, 0.0, 3)
    for curve in ("any", "gaussian"):
        assert one_run_bound(scores, included, delta=1e-5, rng=rng(), curve=curve).value == 0.0


def test_equal_scores_refute_nothing_however_the_canaries_are_ordered():
    included = np.arange(400) < 200
    assert one_run_bound(np.zeros(400), included, delta=0.0, rng=rng(1)).value == 0.0


def test_low_scores_of_left_out_canaries_count_too():
    included = np.arange(600) < 300
    scores = np.where(included, 0.0, -np.arange(600.0))
    assert one_run_bound(scores, included, delta=0.0, rng=rng()).value > 2


def test_more_attempts_and_more_attacks_cost_confidence():
    scores, included = gaussian_attack(1000, 3.0, 5)
    single = one_run_bound(scores, included, delta=1e-5, rng=rng(), guesses=[Guesses(n_in=200)])
    several = one_run_bound(scores, included, delta=1e-5, rng=rng(), guesses=[Guesses(n_in=200)], n_attacks=10)
    assert several.value < single.value
    assert several.ceiling < single.ceiling
    assert several.n_tests == 10


def test_the_gaussian_curve_gives_about_half_as_much_again():
    claim = Claim(epsilon=4.0, delta=1e-5)
    plain, curved = (expected_bound(1000, claim, curve=curve, guesses=[Guesses(n_in=50, n_out=50)]) for curve in ("any", "gaussian"))
    assert 1.3 < curved / plain < 1.7
    assert curved < claim.epsilon


def test_power_grows_with_canaries_and_epsilon_and_stays_below_the_truth():
    by_size = [expected_bound(m, Claim(epsilon=4.0, delta=1e-5)) for m in (100, 1000, 10_000)]
    by_epsilon = [expected_bound(1000, Claim(epsilon=e, delta=1e-5)) for e in (1.0, 2.0, 4.0, 8.0)]
    assert by_size == sorted(by_size)
    assert by_epsilon == sorted(by_epsilon)
    assert all(bound < e for bound, e in zip(by_epsilon, (1, 2, 4, 8), strict=True))


def test_power_is_what_a_perfect_attacker_shows_on_average():
    claim, guesses = Claim(epsilon=6.0, delta=1e-5), [Guesses(n_in=50, n_out=50)]
    mu = gaussian_mu(claim.epsilon, claim.delta)
    shown = []
    for seed in range(30):
        scores, included = gaussian_attack(1000, mu, seed)
        shown.append(one_run_bound(scores, included, delta=claim.delta, rng=rng(seed), guesses=guesses).value)
    assert np.median(shown) == pytest.approx(expected_bound(1000, claim, guesses=guesses), abs=0.3)


@pytest.mark.statistical
@pytest.mark.parametrize("curve", ["any", "gaussian"])
def test_the_bound_passes_the_truth_no_more_often_than_stated(curve):
    """Gaussian attacker of true epsilon 1, confidence .9: 80 runs, at most the binomial 99.9 % quantile of rate .1."""
    delta, runs = 1e-3, 80
    mu = gaussian_mu(1.0, delta)
    beyond = 0
    for seed in range(runs):
        scores, included = gaussian_attack(1000, mu, seed)
        bound = one_run_bound(
            scores,
            included,
            delta=delta,
            rng=rng(seed),
            confidence=0.9,
            curve=curve,
            guesses=[Guesses(n_in=100), Guesses(n_in=50, n_out=50)],
        )
        beyond += bound.value > 1.0
    assert beyond <= binom.ppf(0.999, runs, 0.1)


@pytest.mark.statistical
def test_randomized_response_is_tight_and_covered():
    """The mechanism for which the one-run bound is exact: pure epsilon 1 for each canary; 100 runs at confidence .9."""
    runs, m = 100, 1000
    rate = math.e / (1 + math.e)
    values = []
    for seed in range(runs):
        generator = rng(seed)
        included = generator.random(m) < 0.5
        answer = included == (generator.random(m) < rate)
        values.append(
            one_run_bound(
                answer.astype(float), included, delta=0.0, rng=generator, confidence=0.9, guesses=[Guesses(n_in=m // 2, n_out=m // 2)]
            ).value
        )
    assert sum(value > 1.0 for value in values) <= binom.ppf(0.999, runs, 0.1)
    assert np.median(values) > 0.75


@pytest.mark.statistical
@pytest.mark.parametrize("delta", [0.0, pytest.param(1e-3, marks=pytest.mark.slow)])
def test_many_runs_of_laplace_noise_are_covered_and_close(delta):
    """True epsilon 1 at delta 0: 80 audits at confidence .9, at most the binomial 99.9 % quantile above it."""
    values = []
    for seed in range(80):
        generator = rng(seed)
        with_person, without = generator.laplace(0.5, 1, 2000), generator.laplace(-0.5, 1, 2000)
        values.append(many_runs_bound(with_person, without, delta=delta, confidence=0.9).value)
    assert sum(value > 1.0 for value in values) <= binom.ppf(0.999, 80, 0.1)
    assert np.median(values) > 0.6


def test_many_runs_find_the_likelier_neighbour_and_the_side():
    low, high = rng(1).normal(0, 1, 3000), rng(2).normal(3, 1, 3000)
    assert many_runs_bound(high, low, delta=0.0).value > 3
    assert many_runs_bound(low, high, delta=0.0).value > 3
    rare = np.where(rng(3).random(3000) < 0.3, 5.0, 0.0)  # a symptom that only runs without the person never show
    assert many_runs_bound(np.zeros(3000), rare, delta=0.0).value > 3


def test_leaks_of_rates_have_closed_forms():
    assert approximate_dp_leak(0.8, 0.2, 0.0) == pytest.approx(math.log(4))
    assert approximate_dp_leak(0.8, 0.2, 0.4) == pytest.approx(math.log(2))
    assert bounded_range_leak(0.8, 0.2) == pytest.approx(2 * math.log(4))
    assert zero_concentrated_leak(0.5, 0.5) == 0.0
    assert zero_concentrated_leak(0.75, 0.25) == pytest.approx(0.5 * math.log(3))  # order 1: 3/4 log 3 - 1/4 log 3
    assert zero_concentrated_leak(1.0, 0.5) == math.inf


def test_a_contradiction_needs_the_claims_delta():
    scores, included = np.arange(400.0), np.arange(400) >= 200
    claim = Claim(epsilon=2.0, delta=1e-5)
    bound = one_run_bound(scores, included, delta=1e-5, rng=rng(), claim=claim)
    assert contradicts(bound, claim)
    assert not contradicts(bound, Claim(epsilon=6.0, delta=1e-5))
    with pytest.raises(AuditError, match="claim's delta"):
        contradicts(one_run_bound(scores, included, delta=0.0, rng=rng()), claim)
    result = as_result(bound, audit="canaries", threat_model="release-only", question="?", claim=claim)
    assert result.details["contradicts"] is True
    assert result.value == bound.value
    assert json.dumps(dict(result.details))
    assert 0 < bound.power < claim.epsilon


def test_default_guesses_fit_any_number_of_canaries():
    for m in (1, 2, 7, 50, 1001):
        assert all(0 < attempt.total <= m for attempt in default_guesses(m))
        assert default_guesses(m)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": np.zeros(3)},
        {"scores": np.array([0.0, np.nan])},
        {"delta": 1.0},
        {"confidence": 1.0},
        {"curve": "gaussian", "delta": 0.0},
        {"guesses": [Guesses(n_in=3)]},
        {"n_attacks": 0},
    ],
)
def test_bad_input_is_refused(change):
    arguments = {"scores": np.zeros(2), "included": np.array([True, False]), "delta": 1e-5, "rng": rng()} | change
    with pytest.raises(AuditError):
        one_run_bound(arguments.pop("scores"), arguments.pop("included"), **arguments)


ORACLE = """
import json, sys
from jax_privacy import auditing
facts = json.load(sys.stdin)
found = []
for scores_in, scores_out, threshold in facts:
    auditor = auditing.CanaryScoreAuditor(scores_in, scores_out)
    at = auditing.Explicit(threshold=threshold)
    found.append([auditor.epsilon_one_run(0.05, 1e-5, threshold_strategy=at), auditor.epsilon_one_run_fdp(0.05, 1e-5, threshold_strategy=at)])
print(json.dumps(found))
"""


@pytest.mark.skipif(not JAX_PRIVACY.exists(), reason="PRIVSYNTH_JAX_PRIVACY_PYTHON names no python with jax_privacy (its own environment)")
def test_bounds_agree_with_jax_privacy():
    facts, ours = [], []
    for seed, (m, mu, k) in enumerate([(400, 2.0, 40), (1000, 1.0, 300), (1000, 4.0, 400), (150, 0.0, 30)]):
        scores, included = gaussian_attack(m, mu, seed)
        facts.append([scores[included].tolist(), scores[~included].tolist(), float(np.sort(scores)[m - k])])
        bounds = [
            one_run_bound(scores, included, delta=1e-5, rng=rng(), curve=curve, guesses=[Guesses(n_in=k)]) for curve in ("any", "gaussian")
        ]
        ours.append([bound.value for bound in bounds])
    oracle = subprocess.run([JAX_PRIVACY, "-c", ORACLE], input=json.dumps(facts), capture_output=True, text=True, check=True)
    np.testing.assert_allclose(ours, json.loads(oracle.stdout), atol=1e-3)
