import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from privsynth.errors import BudgetExceededError, UnsupportedEventError
from privsynth.privacy import (
    Budget,
    DiscreteGaussian,
    ExponentialMechanism,
    GaussianPartitionSelection,
    Internal,
    Laplace,
    NonPrivate,
    PartitionSelection,
    PoissonSampledGaussian,
    Touch,
    ZeroConcentrated,
    calibrate,
    total,
)
from privsynth.privacy.accounting import delta_limit


def touches(*events):
    return [Touch("stage", f"label {i}", event) for i, event in enumerate(events)]


def epsilon(*events, delta=1e-6):
    return total(touches(*events), delta).epsilon


def zcdp_epsilon(rho, delta):
    """Oracle: the best Renyi order by brute force, Canonne, Kamath & Steinke (2020), Proposition 12."""
    orders = 1 + np.exp(np.linspace(np.log(1e-3), np.log(1e6), 200_000))
    values = rho * orders + np.log1p(-1 / orders) - (math.log(delta) + np.log(orders)) / (orders - 1)
    return float(np.min(values))


@pytest.mark.parametrize("rho", [1e-5, 1e-3, 0.02, 0.5, 5.0])
def test_zcdp_agrees_with_the_best_renyi_order(rho):
    assert epsilon(ZeroConcentrated(rho=rho)) == pytest.approx(zcdp_epsilon(rho, 1e-6), rel=5e-3)


@pytest.mark.parametrize("sigma", [0.8, 2.0, 10.0])
def test_gaussian_is_an_upper_bound_on_the_exact_curve(sigma):
    found = epsilon(DiscreteGaussian(noise_multiplier=sigma))
    exact_delta = norm.cdf(0.5 / sigma - found * sigma) - math.exp(found) * norm.cdf(-0.5 / sigma - found * sigma)
    assert exact_delta <= 1e-6


def test_a_single_laplace_costs_at_most_its_pure_epsilon():
    assert 0 < epsilon(Laplace(noise_multiplier=2.0)) <= 0.5 + 1e-9


def test_a_selection_costs_an_eighth_of_its_square():
    assert epsilon(ExponentialMechanism(epsilon=0.2)) == epsilon(ZeroConcentrated(rho=0.2**2 / 8))


def test_partition_selection_spends_its_delta_first():
    selection = PartitionSelection(epsilon=0.1, delta=4e-7)
    assert epsilon(selection, DiscreteGaussian(noise_multiplier=10)) == pytest.approx(
        epsilon(ZeroConcentrated(rho=0.005), DiscreteGaussian(noise_multiplier=10), delta=6e-7)
    )


def test_partition_selection_beyond_delta_has_no_finite_epsilon():
    assert epsilon(PartitionSelection(epsilon=0.1, delta=2e-6)) == math.inf


def test_one_touch_without_proof_makes_the_total_infinite():
    assert epsilon(DiscreteGaussian(noise_multiplier=10), NonPrivate()) == math.inf


def test_internal_touches_cost_nothing():
    assert epsilon(Internal(), Internal()) == 0.0


def test_replacing_a_person_costs_as_much_as_twice_the_sensitivity():
    cost = total(touches(DiscreteGaussian(noise_multiplier=10)), 1e-6)
    assert cost.replace_one_epsilon == pytest.approx(epsilon(DiscreteGaussian(noise_multiplier=5)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1.0, 50.0), min_size=1, max_size=6), st.randoms())
def test_order_does_not_matter_and_spending_never_lowers_epsilon(sigmas, random):
    events = [DiscreteGaussian(noise_multiplier=sigma) for sigma in sigmas]
    shuffled = random.sample(events, len(events))
    assert epsilon(*events) == pytest.approx(epsilon(*shuffled))
    assert epsilon(*events, ExponentialMechanism(epsilon=0.1)) >= epsilon(*events)


@pytest.mark.parametrize("target", [0.05, 1.0, 8.0])
def test_calibrated_noise_uses_the_budget_and_no_more(target):
    def plan(scale):
        return touches(
            *[DiscreteGaussian(noise_multiplier=scale)] * 20,
            ExponentialMechanism(epsilon=1 / scale),
            PartitionSelection(epsilon=1 / scale, delta=1e-7),
        )

    scale = calibrate(plan, Budget(epsilon=target, delta=1e-6))
    assert target * (1 - 1e-4) <= total(plan(scale), 1e-6).epsilon <= target


def test_a_plan_whose_delta_is_used_up_is_refused():
    with pytest.raises(BudgetExceededError, match="any noise"):
        calibrate(lambda scale: touches(PartitionSelection(epsilon=1 / scale, delta=1e-5)), Budget(epsilon=1, delta=1e-6))


def test_noise_cannot_be_solved_for_an_infinite_budget():
    with pytest.raises(UnsupportedEventError, match="finite"):
        calibrate(lambda scale: touches(DiscreteGaussian(noise_multiplier=scale)), Budget(epsilon=math.inf, delta=1e-6))


def test_delta_limit_is_a_tenth_of_one_over_n():
    assert delta_limit(12_000) == pytest.approx(1 / 120_000)


SAMPLED = [(0.916, 0.061, 328, 6e-5), (0.679, 0.0243, 410, 1e-5), (2.0, 0.05, 300, 1e-6), (6.0, 0.02, 1000, 1e-6)]


def sampled(noise_multiplier, sampling_prob, steps):
    return PoissonSampledGaussian(noise_multiplier=noise_multiplier, sampling_prob=sampling_prob, steps=steps)


@pytest.mark.parametrize(("sigma", "rate", "steps", "delta"), SAMPLED)
def test_dp_sgd_costs_what_a_fine_grid_says(sigma, rate, steps, delta):
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    fine = from_gaussian_mechanism(sigma, sampling_prob=rate, value_discretization_interval=1e-4).self_compose(steps)
    exact = fine.get_epsilon_for_delta(delta)
    assert exact * (1 - 1e-6) <= epsilon(sampled(sigma, rate, steps), delta=delta) <= exact * 1.002


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "rate", "steps", "delta"), SAMPLED)
def test_dp_sgd_agrees_with_opacus(sigma, rate, steps, delta):
    """Another library's accountant (PRV), whose stated error is 0.01 in epsilon."""
    opacus = pytest.importorskip("opacus")
    accountant = opacus.accountants.PRVAccountant()
    accountant.history = [(sigma, rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its first guess, by Renyi orders, warns of itself
        theirs = accountant.get_epsilon(delta)
    assert epsilon(sampled(sigma, rate, steps), delta=delta) == pytest.approx(theirs, abs=0.025, rel=2e-3)


def test_dp_sgd_on_everyone_is_a_sum_of_gaussians():
    steps = 16
    exact = gaussian_epsilon(4.0 / math.sqrt(steps), 1e-6)
    assert exact <= epsilon(sampled(4.0, 1.0, steps)) <= exact * 1.002


def gaussian_epsilon(sigma, delta):
    """Oracle: the exact curve of one Gaussian mechanism (Balle & Wang 2018), by halving."""
    low, high = 0.0, 200.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        found = norm.cdf(0.5 / sigma - middle * sigma) - math.exp(middle) * norm.cdf(-0.5 / sigma - middle * sigma)
        low, high = (middle, high) if found > delta else (low, middle)
    return high


@pytest.mark.parametrize("rho", [0.002, 0.05, 0.5, 4.0])
def test_zcdp_beside_dp_sgd_keeps_its_own_cost(rho):
    """With a training that costs nothing, the loss distribution of zCDP gives back what Renyi orders give."""
    alone = epsilon(ZeroConcentrated(rho=rho))
    assert epsilon(ZeroConcentrated(rho=rho), sampled(1e5, 0.01, 1)) == pytest.approx(alone, rel=2e-3)


@pytest.mark.parametrize("rho", [0.01, 0.5])
def test_zcdp_beside_dp_sgd_is_an_upper_bound_for_gaussian_noise(rho):
    """A Gaussian mechanism is rho-zCDP: its exact composition with training costs less, and little less."""
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    training = from_gaussian_mechanism(1.5, sampling_prob=0.05, value_discretization_interval=1e-3).self_compose(100)
    exact = training.compose(from_gaussian_mechanism(1 / math.sqrt(2 * rho), value_discretization_interval=1e-3)).get_epsilon_for_delta(
        1e-6
    )
    assert exact <= epsilon(ZeroConcentrated(rho=rho), sampled(1.5, 0.05, 100)) <= 1.12 * exact


def test_everything_composes_with_dp_sgd():
    others = [DiscreteGaussian(noise_multiplier=5), Laplace(noise_multiplier=4), PartitionSelection(epsilon=0.1, delta=1e-8)]
    others.append(GaussianPartitionSelection(noise_multiplier=9, delta=1e-8))
    training = sampled(1.5, 0.05, 100)
    together = epsilon(training, *others)
    assert max(epsilon(training), epsilon(*others)) < together < epsilon(training, delta=5e-7) + epsilon(*others, delta=5e-7)
    assert epsilon(training, NonPrivate()) == math.inf


def test_dp_sgd_for_replacing_a_person_uses_its_own_relation():
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    exact = from_gaussian_mechanism(1.5, sampling_prob=0.05, neighboring_relation=NeighboringRelation.REPLACE_ONE).self_compose(100)
    cost = total(touches(sampled(1.5, 0.05, 100)), 1e-6)
    assert cost.replace_one_epsilon == pytest.approx(exact.get_epsilon_for_delta(1e-6), rel=2e-3)
    assert cost.epsilon < cost.replace_one_epsilon
    assert cost.accountant.startswith("privacy loss distributions")


def test_selection_on_gaussian_counts_is_zcdp_with_its_delta_split_off():
    selection = GaussianPartitionSelection(noise_multiplier=10, delta=4e-7)
    assert epsilon(selection) == epsilon(ZeroConcentrated(rho=0.005), delta=6e-7)
    assert total(touches(selection), 1e-6).replace_one_epsilon == pytest.approx(epsilon(ZeroConcentrated(rho=0.02), delta=6e-7))


def test_noise_of_training_is_solved_with_the_rest_of_the_plan():
    def plan(scale):
        return touches(
            DiscreteGaussian(noise_multiplier=4 * scale),
            sampled(scale, 0.05, 200),
            GaussianPartitionSelection(noise_multiplier=9 * scale, delta=1e-8),
        )

    scale = calibrate(plan, Budget(epsilon=3.0, delta=1e-6))
    assert 3.0 * (1 - 1e-4) <= total(plan(scale), 1e-6).epsilon <= 3.0
