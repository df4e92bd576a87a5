import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.tabular.binning import bins_supported, merge_neighbours, merge_rare, project_to_simplex

CELLS = st.lists(st.integers(-60, 4000), min_size=1, max_size=60).map(lambda cells: np.array(cells, dtype=float))


@given(CELLS, st.sampled_from([0.01, 5.0, 40.0]), st.integers(2, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_cell_has_a_bin_and_every_bin_draws_its_own_cells(noisy, sigma, n_bins, has_null):
    for binning in (
        merge_neighbours(noisy, sigma, widths=np.ones(len(noisy)), n_bins=n_bins, has_null=has_null and len(noisy) > 1),
        merge_rare(noisy, sigma, n_bins=n_bins),
    ):
        assert set(binning.bin_of_cell) == set(range(binning.size))
        np.testing.assert_array_equal(binning.bin_of_cell[binning.draw_cells], binning.draw_bins)
        np.testing.assert_allclose(np.bincount(binning.draw_bins, weights=binning.draw_weights), 1.0)
        assert binning.draw_weights.min() >= 0
        codes = np.tile(np.arange(binning.size), 30)
        np.testing.assert_array_equal(binning.bin_of_cell[binning.draw(codes, rng=np.random.default_rng(0))], codes)


def test_without_noise_few_values_keep_a_bin_each():
    noisy = np.array([40.0, 300.0, 1.0, 7.0, 0.0])
    binning = merge_neighbours(noisy, 1e-3, widths=np.ones(5), n_bins=10, has_null=True)
    assert binning.size == 4
    assert len(set(binning.bin_of_cell[:4])) == 4


def test_bins_hold_about_equal_mass():
    noisy = np.random.default_rng(0).poisson(100, 200).astype(float)
    masses = merge_neighbours(noisy, 5.0, widths=np.ones(200), n_bins=20, has_null=False).merge(noisy)
    assert len(masses) == 20
    assert masses.min() > 800
    assert masses.max() < 1200


def test_a_heavy_cell_stays_alone_among_light_ones():
    noisy = np.full(100, 50.0)
    noisy[30] = 6000.0
    binning = merge_neighbours(noisy, 4.0, widths=np.ones(100), n_bins=10, has_null=False)
    assert binning.cells_per_bin[binning.bin_of_cell[30]] == 1


def test_categories_below_the_noise_share_a_bin_and_are_drawn_by_their_counts():
    noisy = np.array([5000.0, 60.0, 20.0, 3000.0, 0.0])
    binning = merge_rare(noisy, 21.0, n_bins=10)
    assert binning.size == 3
    drawn = np.bincount(binning.draw(np.full(9000, 2), rng=np.random.default_rng(1)), minlength=5)
    assert drawn[0] == drawn[3] == 0
    assert drawn[1] > drawn[2]


def test_other_is_drawn_from_the_kept_categories_by_their_share():
    noisy = np.array([300.0, 100.0, 80.0, 0.0])  # a, b, other, null
    binning = merge_rare(noisy, 5.0, n_bins=10, other=2)
    drawn = binning.draw(np.full(4000, binning.bin_of_cell[2]), rng=np.random.default_rng(0))
    # 3000 +- 27.4 expected; 5 sigma, false alarms below 1 in a million.
    assert abs((drawn == 0).sum() - 3000) < 140
    assert set(drawn) == {0, 1}


def test_bins_grow_with_the_square_root_of_people():
    assert bins_supported(10_000, 25.0, cells_of_noise=4.0, max_bins=99) == 10
    assert bins_supported(40_000, 25.0, cells_of_noise=4.0, max_bins=99) == 20
    assert bins_supported(-5, 25.0, cells_of_noise=4.0, max_bins=99) == 2


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.floats(0.1, 90))
@settings(max_examples=60, deadline=None)
def test_the_projection_is_nearer_than_other_points_of_the_simplex(values, total):
    values = np.array(values)
    projected = project_to_simplex(values, total)
    assert projected.min() >= 0
    assert projected.sum() == pytest.approx(total)
    for other in np.random.default_rng(0).dirichlet(np.ones(len(values)), 40) * total:
        assert np.linalg.norm(values - projected) <= np.linalg.norm(values - other) + 1e-6
