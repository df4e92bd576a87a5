"""The mechanism audit: right code passes, wrong noise, sums and facts are flagged; neighbours through the whole chain."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import pytest
from fakes import NoNoise, SeededNoise, people_dataset
from scipy.special import ndtr

from privsynth import mechanism_audit, registry
from privsynth.audit.epsilon_bounds import zero_concentrated_leak
from privsynth.errors import AuditError
from privsynth.mechanism_audit import AUDITED_BY, DELTA, ENGINES, MECHANISMS, audit_mechanisms, zero_concentrated_limit
from privsynth.privacy import Budget, DiscreteGaussian, Touch, accounting, calibrate, events, total
from privsynth.tabular import aim, copula, prepare

FIT = ["whole tree fit"]
FITS = [f"whole {engine} fit" for engine in ENGINES]


class Halved:
    """Half of the noise that was asked for."""

    def __init__(self, noise):
        self.noise, self.coins = noise, noise.coins

    def discrete_gaussian(self, counts, sigma):
        return self.noise.discrete_gaussian(counts, sigma / 2)

    def discrete_laplace(self, counts, scale):
        return self.noise.discrete_laplace(counts, scale / 2)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        return self.noise.noisy_max(scores, epsilon=2 * epsilon, sensitivity=sensitivity)

    def normals(self, n):
        return self.noise.normals(n) / 2


class ExactSeeded(SeededNoise):
    """Seeded discrete Laplace noise; the rounded one of ``SeededNoise`` has another distribution."""

    def discrete_laplace(self, counts, scale):
        p = 1 - np.exp(-1 / scale)
        return counts + self._rng.geometric(p, np.shape(counts)) - self._rng.geometric(p, np.shape(counts))


def flagged(results):
    return {result.mechanism for result in results if result.flagged}


@pytest.mark.statistical
def test_correct_code_with_the_systems_noise_passes():
    """False-alarm rate 1e-3 over all mechanisms."""
    results = audit_mechanisms(epsilon=4.0)
    assert flagged(results) == set()
    assert all(result.has_power for result in results)
    assert all(result.lower_bound > 0 for result in results if result.unit in ("rho", "epsilon", "log-odds range"))


@pytest.mark.statistical
@pytest.mark.parametrize("epsilon", [pytest.param(1.0, marks=pytest.mark.slow), 4.0, pytest.param(8.0, marks=pytest.mark.slow)])
def test_halved_noise_is_flagged(epsilon):
    """Every mechanism whose leak grows; seeded noise, so the test repeats."""
    halved = flagged(audit_mechanisms(epsilon=epsilon, noise=Halved(ExactSeeded(1))))
    assert halved == {
        "discrete Gaussian counts",
        "discrete Laplace counts",
        "bounds purchase",
        "selection of shared categories",
        "exponential selection",
        "DP-SGD step",
        "whole tree fit: all measurements",
    }
    assert flagged(audit_mechanisms(epsilon=epsilon, noise=ExactSeeded(2))) == set()


def only_the_largest(events, delta, *, replace, renyi=accounting._renyi_epsilon):
    """The cost of the dearest mechanism alone: composition forgotten."""
    return max(renyi([event], delta, replace=replace) for event in events)


@pytest.mark.statistical
@pytest.mark.parametrize("epsilon", [pytest.param(1.0, marks=pytest.mark.slow), 4.0, pytest.param(8.0, marks=pytest.mark.slow)])
def test_forgotten_composition_is_flagged(monkeypatch, epsilon):
    """Seen by what was drawn, and in every engine by what was asked."""
    monkeypatch.setattr(accounting, "_renyi_epsilon", only_the_largest)
    found = flagged(audit_mechanisms(epsilon=epsilon, noise=ExactSeeded(3), only=FITS))
    assert found >= {"whole tree fit: all measurements", *(f"whole {engine} fit: sum of measurements" for engine in ENGINES)}


def bounds_read_off_the_data(column, values, table, reservation):
    reservation.noise.discrete_gaussian(
        np.zeros(105, dtype=np.int64), reservation.spend("tables", f"bounds of {column.name}").noise_multiplier
    )
    return column.with_fact(source="dp", bounds=(float(values.min()), float(values.max())))


@pytest.mark.parametrize("epsilon", [pytest.param(1.0, marks=pytest.mark.slow), 4.0, pytest.param(8.0, marks=pytest.mark.slow)])
def test_bounds_read_off_the_data_are_flagged(monkeypatch, epsilon):
    monkeypatch.setattr(prepare, "_bought_bounds", bounds_read_off_the_data)
    results = audit_mechanisms(epsilon=epsilon, noise=ExactSeeded(4), only=FITS, n_runs=100)
    assert flagged(results) >= {f"whole {engine} fit: answers decide everything" for engine in ENGINES}


def test_a_model_that_keeps_an_exact_count_is_flagged(monkeypatch):
    code = prepare._coded

    def leaky(domain, encoded, histogram, table, reservation, limits):
        column, codes = code(domain, encoded, histogram, table, reservation, limits)
        return dataclasses.replace(column, one_way=column.one_way + 1e-9 * len(codes)), codes

    monkeypatch.setattr(prepare, "_coded", leaky)
    results = audit_mechanisms(epsilon=4.0, noise=ExactSeeded(5), only=FITS, n_runs=100)
    assert flagged(results) >= {f"whole {engine} fit: answers decide everything" for engine in ENGINES}


def test_rows_beyond_the_limit_that_are_measured_are_flagged(monkeypatch):
    monkeypatch.setattr(
        prepare, "limit_rows", lambda train, *, noise: (train.frame, train.units(), 0)
    )  # all three rows of the person are measured, where two are allowed
    results = audit_mechanisms(epsilon=8.0, noise=ExactSeeded(6), only=FIT, n_runs=100)
    assert "sensitivity of question" in results[0].note
    assert results[0].flagged


def test_without_noise_everything_measured_is_flagged():
    results = audit_mechanisms(epsilon=4.0, noise=NoNoise(), n_runs=4000)
    assert flagged(results) >= {"discrete Gaussian counts", "discrete Laplace counts", "exponential selection"}


def test_a_threshold_one_too_low_shows_too_many_new_categories(monkeypatch):
    threshold = mechanism_audit.selection_threshold
    monkeypatch.setattr("privsynth.tabular.facts.selection_threshold", lambda **facts: threshold(**facts) - 1)
    results = audit_mechanisms(epsilon=3.0, noise=ExactSeeded(7), only=["selection of new categories"])
    assert flagged(results) == {"selection of new categories"}


def test_an_ngram_threshold_two_too_low_shows_too_many_new_keys(monkeypatch):
    from privsynth.text import counts

    threshold = counts.selection_threshold
    monkeypatch.setattr(counts, "selection_threshold", lambda **facts: threshold(**facts) - 2)
    results = audit_mechanisms(epsilon=3.0, noise=SeededNoise(8), only=["selection of new n-grams"])
    assert flagged(results) == {"selection of new n-grams"}


def test_a_gradient_of_twice_the_norm_is_flagged(monkeypatch):
    from privsynth.text import lora

    monkeypatch.setattr(lora, "clip_factors", lambda gradients, max_norm: 2 * max_norm / gradients[:, 0])
    assert flagged(audit_mechanisms(epsilon=3.0, noise=SeededNoise(9), only=["DP-SGD step"])) == {"DP-SGD step"}


def test_every_event_that_can_be_charged_names_its_audit():
    charged = {event.__name__ for event in typing.get_args(events.Event)} - {"NonPrivate", "Internal"}
    assert set(AUDITED_BY) == charged
    for audits in AUDITED_BY.values():
        for audit in audits.split("; "):
            assert audit in MECHANISMS or audit.startswith(("whole tree fit", "no mechanism"))


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 4.0, 8.0])
def test_the_limit_of_a_plan_agrees_with_the_accountant(epsilon):
    """Two routes to one figure: the accountant's orders are fewer, so its noise is never too small."""
    limit = zero_concentrated_limit(epsilon, DELTA)
    budget = Budget(epsilon=epsilon, delta=DELTA)
    scale = calibrate(lambda s: [Touch("a", "b", DiscreteGaussian(noise_multiplier=s))], budget)
    assert 0.99 * limit < 0.5 / scale**2 <= limit
    assert total([Touch("a", "b", DiscreteGaussian(noise_multiplier=(0.5 / limit) ** 0.5))], DELTA).epsilon == pytest.approx(
        epsilon, rel=0.01
    )


@pytest.mark.parametrize("mu", [0.2, 1.0, 3.0])
def test_no_event_of_a_gaussian_shows_more_than_its_rho(mu):
    thresholds = np.linspace(-4, 4 + mu, 400)
    shown = [zero_concentrated_leak(float(ndtr(mu - t)), float(ndtr(-t))) for t in thresholds]
    assert 0.5 * mu**2 / 2 < max(shown) <= mu**2 / 2


@pytest.mark.parametrize("change", [{"epsilon": 0.01}, {"epsilon": 100.0}, {"alpha": 0.0}, {"n_runs": 2}, {"only": ["noise"]}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(AuditError):
        audit_mechanisms(**{"epsilon": 1.0} | change)


def test_every_engine_with_a_guarantee_is_audited():
    """An engine has one if none of its touches is released without proof."""
    with_proof = set()
    for name in registry.SYNTHESIZERS:
        engine = registry.synthesizer(name)()
        table = people_dataset(50).table
        touches = engine.touches(table, noise_scale=10.0, budget=Budget(epsilon=float("inf"), delta=1e-6))
        if not any(touch.touch_class == "released-without-proof" for touch in touches):
            with_proof.add(type(engine))
    assert with_proof == {type(engine()) for engine in ENGINES.values()}


def test_a_correlation_that_is_not_noisy_is_flagged(monkeypatch):
    """The copula's matrix gets a trace of the exact one: nothing that it asked for explains it."""
    measured = copula._measured_correlation

    def leaky(prepared, latents, multiplier, *, noise):
        return measured(prepared, latents, multiplier, noise=noise) + 1e-9 * len(prepared.codes[0])

    monkeypatch.setattr(copula, "_measured_correlation", leaky)
    results = audit_mechanisms(epsilon=4.0, noise=ExactSeeded(8), only=["whole copula fit"], n_runs=100)
    assert results[0].flagged
    assert "correlation" in results[0].note


def test_a_workload_read_without_noise_is_flagged(monkeypatch):
    """AIM that weighs its candidates by exact counts asks another question of the neighbour."""
    score = aim.count_workload

    def leaky(prepared, table, **settings):
        workload = score(prepared, table, **settings)
        total = len(prepared.codes[0])
        return dataclasses.replace(workload, weights={key: value * total for key, value in workload.weights.items()})

    monkeypatch.setattr(aim, "count_workload", leaky)
    results = audit_mechanisms(epsilon=4.0, noise=ExactSeeded(9), only=["whole AIM fit"], n_runs=100)
    assert results[0].flagged


@pytest.mark.parametrize("engine", ENGINES)
def test_measurements_of_every_engine_use_most_of_what_they_may_leak(engine):
    """Else an engine with a third too little noise would not show."""
    results = audit_mechanisms(epsilon=1.0, noise=ExactSeeded(10), only=[f"whole {engine} fit"], n_runs=100)
    (summed,) = [result for result in results if result.mechanism.endswith("sum of measurements")]
    assert 0.65 * summed.claimed < summed.lower_bound < summed.claimed
