import itertools

import numpy as np
import pytest

from privsynth.tabular.inference import fit_to_margins, fit_tree


def chain(rng, sizes=(3, 4, 2)):
    """A joint table a - b - c in which a and c are independent given b."""
    p_b = rng.dirichlet(np.ones(sizes[1]))
    a_b, c_b = rng.dirichlet(np.ones(sizes[0]), sizes[1]), rng.dirichlet(np.ones(sizes[2]), sizes[1])
    return np.einsum("b,ba,bc->abc", p_b, a_b, c_b)


def fitted(joint, n=10_000.0, sigma=1e-6):
    counts = joint * n
    one_ways = [(counts.sum(axis=tuple(set(range(3)) - {k})), np.full(joint.shape[k], sigma**2)) for k in range(3)]
    return fit_tree(one_ways, {(0, 1): (counts.sum(axis=2), sigma), (1, 2): (counts.sum(axis=0), sigma)}, noisy_total=n)


def test_without_noise_a_tree_structured_joint_is_reproduced_exactly():
    joint = chain(np.random.default_rng(0))
    model = fitted(joint)
    root = int(model.order[0])
    assert root == 1
    rebuilt = np.einsum("b,ba,bc->abc", model.marginals[1], model.conditionals[0], model.conditionals[2])
    np.testing.assert_allclose(rebuilt, joint, atol=1e-6)


def test_sampled_rows_follow_every_marginal():
    joint, n = chain(np.random.default_rng(1)), 200_000
    codes = fitted(joint).sample(n, rng=np.random.default_rng(2))
    sampled = np.zeros_like(joint)
    np.add.at(sampled, tuple(codes), 1 / n)
    for axis in range(3):  # tree marginals are rounded systematically: far closer than independent draws
        others = tuple(set(range(3)) - {axis})
        np.testing.assert_allclose(sampled.sum(axis=others), joint.sum(axis=others), atol=50 / n)
    # a and c are drawn independently given b: a cell's standard deviation is at most 0.5 / sqrt(n).
    np.testing.assert_allclose(sampled, joint, atol=5 * 0.5 / np.sqrt(n))


def test_systematic_counts_have_no_bias():
    # Mean over 2000 draws of 7 rows: standard error below 0.012 rows per code; 5 sigma.
    joint = chain(np.random.default_rng(3))
    model, rng = fitted(joint), np.random.default_rng(4)
    mean = np.mean([np.bincount(model.sample(7, rng=rng)[2], minlength=2) for _ in range(2000)], axis=0)
    np.testing.assert_allclose(mean, 7 * joint.sum(axis=(0, 1)), atol=0.15)


def test_margins_hold_and_no_cell_is_negative_under_heavy_noise():
    rng = np.random.default_rng(5)
    rows, columns = rng.dirichlet(np.ones(9)) * 1000, rng.dirichlet(np.ones(12)) * 1000
    table = fit_to_margins(rng.normal(0, 60, (9, 12)), 60.0, rows, columns)
    assert table.min() >= 0
    np.testing.assert_allclose(table.sum(axis=1), rows, atol=1e-3)
    np.testing.assert_allclose(table.sum(axis=0), columns, atol=1e-3)


def test_pure_noise_is_taken_for_independence():
    rng = np.random.default_rng(6)
    rows, columns = rng.dirichlet(np.ones(9) * 9) * 9000, rng.dirichlet(np.ones(9) * 9) * 9000
    independent = np.outer(rows, columns) / 9000
    table = fit_to_margins(independent + rng.normal(0, 40, (9, 9)), 40.0, rows, columns)
    noise_left = np.abs(table - independent).sum() / np.abs(rng.normal(0, 40, (9, 9))).sum()
    assert noise_left < 0.6


def test_strong_dependence_survives_the_shrinkage():
    counts = np.diag(np.full(6, 1500.0))
    noisy = counts + np.random.default_rng(7).normal(0, 30, (6, 6))
    table = fit_to_margins(noisy, 30.0, counts.sum(axis=1), counts.sum(axis=0))
    assert np.diag(table).sum() / table.sum() > 0.97


def test_pooling_beats_the_one_way_marginal_alone():
    rng, truth = np.random.default_rng(8), np.full((5, 5), 400.0)
    errors = []
    for with_pair, _ in itertools.product((False, True), range(60)):
        one_ways = [(truth.sum(axis=k) + rng.normal(0, 60, 5), np.full(5, 60.0**2)) for k in (1, 0)]
        pairs = {(0, 1): (truth + rng.normal(0, 20, (5, 5)), 20.0)} if with_pair else {}
        model = fit_tree(one_ways, pairs, noisy_total=10_000.0)
        errors.append(np.abs(model.marginals[0] - 0.2).sum())
    assert np.mean(errors[60:]) < 0.8 * np.mean(errors[:60])


@pytest.mark.parametrize("n", [0, 1, 5])
def test_any_number_of_rows_can_be_drawn(n):
    codes = fitted(chain(np.random.default_rng(9))).sample(n, rng=np.random.default_rng(0))
    assert [len(column) for column in codes] == [n, n, n]
