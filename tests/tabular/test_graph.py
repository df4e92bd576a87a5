import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.tabular.entropy import Potentials
from privsynth.tabular.graph import GraphDistribution, eliminate, junction_tree, neighbour_masks
from privsynth.tabular.pairs import pair_tables

SIZES = (2, 3, 4, 3, 2, 5)
EVERY = tuple(range(len(SIZES)))
CYCLE = [(0, 1), (1, 2), (2, 3), (0, 3)]
EDGES = st.lists(
    st.lists(st.sampled_from(EVERY), min_size=2, max_size=3, unique=True).map(lambda columns: tuple(sorted(columns))), max_size=7
)


def marginal(joint, columns):
    return joint.sum(axis=tuple(axis for axis in range(joint.ndim) if axis not in columns))


def random_model(edges, seed, *, root=0, sizes=SIZES):
    """A calibrated model with random potentials, its joint table by brute force, and the logarithm of its normaliser."""
    rng = np.random.default_rng(seed)
    measured = [(column,) for column in range(len(sizes))] + list(edges)
    tree = junction_tree(sizes, edges, root=root)
    potentials = Potentials(tree=tree, measured=tuple(measured))
    theta = rng.normal(0, 1.5, potentials.n_parameters)
    log_joint, start = np.zeros(sizes), 0
    for columns in measured:
        cells = math.prod(sizes[column] for column in columns)
        log_joint = log_joint + theta[start : start + cells].reshape([sizes[c] if c in columns else 1 for c in range(len(sizes))])
        start += cells
    normaliser = np.log(np.exp(log_joint).sum())
    found, tables = potentials.calibrate(theta)
    assert found == pytest.approx(normaliser, abs=1e-9)
    return GraphDistribution(tree=tree, beliefs=tuple(tables)), np.exp(log_joint - normaliser)


@given(edges=EDGES, root=st.sampled_from(EVERY))
@settings(max_examples=80, deadline=None)
def test_a_junction_tree_holds_every_edge_and_has_running_intersections(edges, root):
    tree = junction_tree(SIZES, edges, root=root)
    assert root in tree.cliques[0]
    assert all(tree.clique_with(columns) >= 0 for columns in edges)
    assert not any(set(a) <= set(b) for a, b in itertools.permutations(tree.cliques, 2))
    fresh = [column for _, new in tree.parts for column in new]
    assert sorted(fresh) == list(EVERY)  # so a column's cliques are connected: outside its first it is shared with the parent
    for k, shared in enumerate(tree.separators):
        assert set(shared) == (set(tree.cliques[k]) & set(tree.cliques[tree.parents[k]]) if k else set())


def test_a_chordless_cycle_is_triangulated_and_its_cells_are_counted():
    cliques, cells = eliminate(neighbour_masks(4, CYCLE), [2.0, 3.0, 4.0, 5.0])
    # The cheaper chord joins the columns of 2 and 4 codes: cliques {0, 1, 2} and {0, 2, 3}.
    assert sorted(cliques) == [0b0111, 0b1101]
    assert cells == 2 * 3 * 4 + 2 * 4 * 5
    assert junction_tree((2, 3, 4, 5), CYCLE).cells == cells


@given(edges=EDGES, seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_clique_and_every_pair_beside_every_target_equal_brute_force(edges, seed):
    for target in (None, 0, 2):
        model, joint = random_model(edges, seed, root=target or 0)
        for clique, belief in zip(model.tree.cliques, model.beliefs, strict=True):
            np.testing.assert_allclose(belief, marginal(joint, clique), atol=1e-12)
        tables = pair_tables(model, target)
        others = [column for column in EVERY if column != target]
        assert set(tables) == set(itertools.combinations(others, 2))
        for (i, j), table in tables.items():
            wanted = marginal(joint, {i, j} | ({target} if target is not None else set()))
            wanted = wanted[None] if target is None else np.moveaxis(wanted, sorted((i, j, target)).index(target), 0)
            np.testing.assert_allclose(table, wanted, atol=1e-12)


def test_sampled_rows_follow_a_joint_with_a_cycle():
    model, joint = random_model([*CYCLE, (3, 4, 5)], 1)
    n = 400_000
    sampled = np.zeros(SIZES)
    np.add.at(sampled, tuple(model.sample(n, rng=np.random.default_rng(2))), 1 / n)
    # 720 cells, each off by at most 6 standard deviations: a false alarm below 1e-5.
    assert (np.abs(sampled - joint) <= 6 * np.sqrt(joint / n) + 6 / n).all()
    root = model.tree.cliques[0]
    np.testing.assert_allclose(marginal(sampled, root), marginal(joint, root), atol=1.01 / n)


def test_new_columns_of_a_clique_do_not_depend_on_each_other_through_row_order():
    """Two columns that are independent given a third stay so: rows of one code are not served in a shared order."""
    model, _ = random_model([(0, 1), (0, 2)], 7, sizes=(2, 3, 4))
    first, second, third = model.sample(60_000, rng=np.random.default_rng(4))
    for code in (0, 1):
        rows = first == code
        table = np.zeros((3, 4))
        np.add.at(table, (second[rows], third[rows]), 1)
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        # Chi-squared with 6 degrees of freedom: above 35 with probability 4e-6.
        assert ((table - expected) ** 2 / expected).sum() < 35


@pytest.mark.parametrize("n", [0, 1, 7])
def test_few_rows_are_drawn_without_bias(n):
    model, joint = random_model(CYCLE, 5)
    rng = np.random.default_rng(6)
    draws = [model.sample(n, rng=rng) for _ in range(500)]
    assert all(len(codes) == n for draw in draws for codes in draw)
    counts = np.mean([np.bincount(draw[2], minlength=4) for draw in draws], axis=0)
    # Standard error at most 0.5 * sqrt(7 / 500) = 0.06; 6 sigma.
    np.testing.assert_allclose(counts, n * marginal(joint, (2,)), atol=0.36)


@pytest.mark.parametrize("known", [(0,), (5,), (1, 4), (0, 2, 5)])
def test_rows_given_other_columns_follow_the_posterior(known):
    model, joint = random_model([*CYCLE, (2, 4), (1, 5)], 7)
    n, rng = 60_000, np.random.default_rng(8)
    codes = {column: rng.integers(0, SIZES[column], n) for column in known}
    likelihoods = {column: np.eye(SIZES[column])[values] for column, values in codes.items()}
    drawn = model.sample(n, rng=rng, likelihoods=likelihoods)
    for column, values in codes.items():
        np.testing.assert_array_equal(drawn[column], values)
    others = [column for column in EVERY if column not in known]
    for pair in itertools.combinations(others, 2):
        table = marginal(joint, {*known, *pair})
        axes = sorted({*known, *pair})
        given_known = table.transpose([axes.index(column) for column in (*known, *pair)])
        posterior = given_known / given_known.sum(axis=(-2, -1), keepdims=True)
        expected = posterior[tuple(codes[column] for column in known)].sum(axis=0)
        observed = np.zeros_like(expected)
        np.add.at(observed, (drawn[pair[0]], drawn[pair[1]]), 1)
        # Counts of independent rows: 6 standard deviations; below 1e-5 over all cells.
        assert (np.abs(observed - expected) <= 6 * np.sqrt(expected) + 6).all()


def test_soft_evidence_is_weighed_and_rows_without_any_keep_the_model():
    model, joint = random_model(CYCLE, 9)
    n = 120_000
    soft = np.where(np.arange(n)[:, None] < n // 2, [[1.0, 1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 1.0]])
    drawn = model.sample(n, rng=np.random.default_rng(10), likelihoods={2: soft})
    assert drawn[2][: n // 2].max() <= 1
    free = np.bincount(drawn[0][n // 2 :], minlength=2) / (n // 2)
    np.testing.assert_allclose(free, marginal(joint, (0,)), atol=6 * 0.5 / math.sqrt(n // 2))
    given_two = marginal(joint, (0, 2))[:, :2].sum(axis=1)
    np.testing.assert_allclose(
        np.bincount(drawn[0][: n // 2], minlength=2) / (n // 2), given_two / given_two.sum(), atol=6 * 0.5 / math.sqrt(n // 2)
    )


def test_evidence_in_small_blocks_draws_the_same_distribution(monkeypatch):
    model, joint = random_model(CYCLE, 11)
    monkeypatch.setattr("privsynth.tabular.graph.BLOCK_CELLS", 50)
    likelihood = np.eye(2)[np.arange(6000) % 2]
    drawn = model.sample(6000, rng=np.random.default_rng(12), likelihoods={0: likelihood})
    assert (drawn[0] == np.arange(6000) % 2).all()
    observed = np.bincount(drawn[2][drawn[0] == 1], minlength=4) / 3000
    table = marginal(joint, (0, 2))[1]
    np.testing.assert_allclose(observed, table / table.sum(), atol=6 * 0.5 / math.sqrt(3000))


def test_given_codes_that_the_model_excludes_are_still_drawn():
    tree = junction_tree((2, 2), [(0, 1)])
    model = GraphDistribution(tree=tree, beliefs=(np.array([[1.0, 0.0], [0.0, 0.0]]),))
    drawn = model.sample(10, rng=np.random.default_rng(0), likelihoods={1: np.tile([0.0, 1.0], (10, 1))})
    assert (drawn[1] == 1).all()
