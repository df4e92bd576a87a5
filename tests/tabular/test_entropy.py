import json
import os
import subprocess

import numpy as np
import pytest
from test_graph import CYCLE, EVERY, SIZES, marginal, random_model

from privsynth.tabular.entropy import Measurement, Potentials, _Dual, first_guess, fit_graph, prior_weight
from privsynth.tabular.graph import junction_tree

N = 20_000.0
MEASURED = [*((column,) for column in EVERY), *CYCLE, (3, 4, 5)]


def measurements(joint, sigma, *, rng=None, weight=1e9, measured=MEASURED):
    made = []
    for columns in measured:
        counts = N * marginal(joint, columns)
        noise = rng.normal(0, sigma, counts.shape) if rng else 0.0
        made.append(Measurement(columns=columns, counts=counts + noise, variance=np.full(counts.shape, sigma**2), weight=weight))
    return made


def brute_force_dual(made, theta, joint_shape):
    """F by summing over the whole domain, and its minimiser's distribution."""
    log_joint, start, linear, ridge = np.zeros(joint_shape), 0, 0.0, 0.0
    for m in made:
        part = theta[start : start + m.counts.size].reshape(m.counts.shape)
        log_joint = log_joint + part.reshape([s if c in m.columns else 1 for c, s in enumerate(joint_shape)])
        linear += (part * m.counts).sum()
        ridge += (m.ridge * part**2).sum() / 2
        start += m.counts.size
    return N * np.log(np.exp(log_joint).sum()) - linear + ridge


def test_the_gradient_is_that_of_the_brute_force_likelihood():
    _, joint = random_model([*CYCLE, (3, 4, 5)], 0)
    made = measurements(joint, 30.0, rng=np.random.default_rng(1), weight=5.0)
    potentials = Potentials(tree=junction_tree(SIZES, MEASURED), measured=tuple(MEASURED))
    counts = np.concatenate([m.counts.ravel() for m in made])
    dual = _Dual(potentials=potentials, counts=counts, ridge=np.concatenate([m.ridge.ravel() for m in made]), total=N)
    theta = np.random.default_rng(2).normal(0, 0.5, len(counts))
    value, gradient, _, _ = dual(theta)
    assert value == pytest.approx(brute_force_dual(made, theta, SIZES), rel=1e-12)
    for place in range(0, len(counts), 7):
        step = np.zeros(len(counts))
        step[place] = 1e-5
        slope = (brute_force_dual(made, theta + step, SIZES) - brute_force_dual(made, theta - step, SIZES)) / 2e-5
        assert gradient[place] == pytest.approx(slope, abs=0.05 + 1e-5 * abs(slope))


def test_without_noise_a_distribution_with_a_cycle_is_reproduced():
    _, joint = random_model([*CYCLE, (3, 4, 5)], 3)
    fit = fit_graph(junction_tree(SIZES, MEASURED), measurements(joint, 1e-3), total=N, tolerance=1.0, max_steps=3000)
    assert fit.converged
    for clique, belief in zip(fit.distribution.tree.cliques, fit.distribution.beliefs, strict=True):
        np.testing.assert_allclose(belief, marginal(joint, clique), atol=1e-6)


def test_a_fit_under_noise_is_the_optimum_and_a_loose_one_lies_within_the_noise():
    _, joint = random_model(CYCLE, 4)
    made = measurements(joint, 40.0, rng=np.random.default_rng(5), weight=50.0)
    exact = fit_graph(junction_tree(SIZES, MEASURED), made, total=N, tolerance=1e-6, max_steps=3000)
    loose = fit_graph(junction_tree(SIZES, MEASURED), made, total=N)
    assert exact.converged
    assert loose.steps < exact.steps
    for columns in MEASURED:
        gap = N * (exact.distribution.marginal(columns) - loose.distribution.marginal(columns))
        assert np.sqrt(np.mean(gap**2)) < 0.2 * 40.0


def test_fitting_lowers_the_error_of_what_was_measured():
    _, joint = random_model(CYCLE, 6)
    made = measurements(joint, 60.0, rng=np.random.default_rng(7), measured=[*((column,) for column in EVERY), (1, 2)])
    start = made[:-1]
    before = fit_graph(junction_tree(SIZES, []), start, total=N)
    predicted = N * np.outer(before.distribution.marginal((1,)), before.distribution.marginal((2,)))
    weight = prior_weight(made[-1].counts, made[-1].variance, predicted)
    last = Measurement(columns=(1, 2), counts=made[-1].counts, variance=made[-1].variance, weight=weight)
    fit = fit_graph(junction_tree(SIZES, [(1, 2)]), [*start, last], total=N)
    truth = N * marginal(joint, (1, 2))
    fitted = N * fit.distribution.marginal((1, 2))
    assert np.abs(fitted - truth).sum() < 0.8 * np.abs(made[-1].counts - truth).sum()
    assert np.abs(fitted - truth).sum() < 0.5 * np.abs(predicted - truth).sum()


def test_noise_alone_gets_a_small_weight_and_a_signal_the_right_one():
    rng = np.random.default_rng(8)
    predicted = rng.gamma(2.0, 100.0, 4000)
    noise = rng.normal(0, 30.0, 4000)
    variance = np.full(4000, 900.0)
    assert prior_weight(predicted + noise, variance, predicted) < 0.3
    signal = rng.normal(0, np.sqrt(20.0 * predicted))
    # 4000 cells: the estimate's relative standard error is about 3 %, the grid's step 26 %.
    assert 14 < prior_weight(predicted + signal + noise, variance, predicted) < 28


def test_the_first_guess_solves_its_equation_and_fits_a_tree_in_closed_form():
    rng = np.random.default_rng(9)
    predicted, counts, ridge = rng.gamma(1.0, 50.0, 500) + 1e-6, rng.normal(40, 60, 500), rng.gamma(1.0, 5.0, 500) + 0.1
    theta = first_guess(counts, ridge, predicted)
    np.testing.assert_allclose(predicted * np.exp(theta) + ridge * theta, counts, atol=1e-6)
    _, joint = random_model([(0, 1)], 10, sizes=(3, 4))
    one_ways = measurements(joint, 1.0, measured=[(0,), (1,)])
    independent = fit_graph(junction_tree((3, 4), []), one_ways, total=N, tolerance=1e-3, max_steps=1000)
    pair = Measurement(columns=(0, 1), counts=N * joint, variance=np.ones(joint.shape), weight=1e9)
    start = [
        *independent.theta,
        first_guess(pair.counts, pair.ridge, N * np.outer(*(independent.distribution.marginal((c,)) for c in (0, 1)))),
    ]
    fit = fit_graph(junction_tree((3, 4), [(0, 1)]), [*one_ways, pair], total=N, start=start)
    assert fit.converged
    assert fit.steps == 1


def test_potentials_that_contradict_each_other_by_thousands_do_not_underflow():
    potentials = Potentials(tree=junction_tree((2, 2, 2), [(0, 1), (1, 2)]), measured=((0, 1), (1, 2)))
    theta = np.array([0.0, -2000.0, 0.0, -2000.0, -2000.0, -2000.0, 1.0, 0.0])
    value, tables = potentials.calibrate(theta)
    # Column 1 pays 2000 either way; given its second code column 2 has odds e : 1.
    odds = np.e + 1 + 2
    assert value == pytest.approx(-2000 + np.log(2 * odds), abs=1e-9)
    np.testing.assert_allclose(tables[0], np.outer([0.5, 0.5], [2 / odds, (np.e + 1) / odds]), atol=1e-12)


MBI = os.environ.get("PRIVSYNTH_MBI_PYTHON")
MBI_SCRIPT = """
import json, sys
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from mbi import Domain, LinearMeasurement, estimation
given = json.load(sys.stdin)
names = [str(c) for c in range(len(given["sizes"]))]
domain = Domain(names, given["sizes"])
made = [LinearMeasurement(np.array(counts).ravel(), tuple(str(c) for c in columns), stddev=given["sigma"]) for columns, counts in given["made"]]
model = estimation.MirrorDescent().estimate(domain, made, known_total=given["total"], iters=5000)
print(json.dumps([np.asarray(model.project(tuple(str(c) for c in columns)).datavector()).tolist() for columns, _ in given["made"]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not MBI, reason="PRIVSYNTH_MBI_PYTHON does not name a Python that has mbi 2.0")
def test_marginals_agree_with_mbi():
    """With weights that shrink next to nothing both solve the same least-squares problem, up to the trace of a ridge."""
    _, joint = random_model([*CYCLE, (3, 4, 5)], 11)
    made = measurements(joint, 20.0, rng=np.random.default_rng(12), weight=1e5)
    fit = fit_graph(junction_tree(SIZES, MEASURED), made, total=N, tolerance=1e-4, max_steps=5000)
    given = {"sizes": SIZES, "sigma": 20.0, "total": N, "made": [(m.columns, m.counts.tolist()) for m in made]}
    run = subprocess.run([str(MBI), "-c", MBI_SCRIPT], input=json.dumps(given), capture_output=True, text=True, check=True, timeout=250)
    for m, theirs in zip(made, json.loads(run.stdout), strict=True):
        ours = N * fit.distribution.marginal(m.columns).ravel()
        assert np.sqrt(np.mean((ours - np.array(theirs)) ** 2)) < 0.25 * 20.0
