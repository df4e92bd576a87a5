"""The copula under differential privacy: its measurement and its post-processing; only the last tests need SDV."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise, Replay, SeededNoise, reserve

from privsynth.dataset import Dataset, conform
from privsynth.errors import PlanError
from privsynth.privacy import Budget, calibrate, total
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.tabular.copula import LABEL, CopulaModel, GaussianCopulaDP
from privsynth.tabular.cross_products import (
    GRID,
    cross_products,
    hermite_coefficients,
    latent_correlations,
    moments_at,
    nearest_correlation,
    pair_sensitivity,
    shrunk,
    squared_length_limit,
    whole_scores,
)
from privsynth.tabular.latents import Marginal

BUDGET = Budget(epsilon=1.0, delta=1e-6)
COLUMNS = (
    Column(name="colour", kind="categorical", categories=("red", "green", "blue"), nullable=False),
    Column(name="size", kind="integer", bounds=(0, 60), nullable=False),
    Column(name="price", kind="decimal", step=0.01, bounds=(0, 900)),
    Column(name="sold", kind="datetime", step=86400, bounds=(0, 86400 * 300)),
    Column(name="returned", kind="boolean", nullable=False),
)


def shop(n, seed=0):
    """Rows cut from four correlated normals and one independent date; nulls in the price."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(np.zeros(4), [[1, 0.6, 0.5, -0.4], [0.6, 1, 0.7, 0], [0.5, 0.7, 1, 0], [-0.4, 0, 0, 1]], n)
    frame = pd.DataFrame({"colour": np.array(["red", "green", "blue"], dtype=object)[np.digitize(z[:, 0], [0.3, 1.2])]})
    frame["size"] = np.clip(np.rint(30 + 8 * z[:, 1]), 0, 60).astype(int)
    frame["price"] = np.round(np.clip(300 + 90 * z[:, 2], 0, 900), 2)
    frame["sold"] = (rng.integers(0, 300, n) * 86400).astype("datetime64[s]")
    frame["returned"] = z[:, 3] > 0.8
    frame.loc[rng.random(n) < 0.1, "price"] = np.nan
    return frame


def dataset(frame, columns=COLUMNS, *, unit=ROW, m=1):
    table = Table(name="shop", columns=columns, max_rows_per_person=m)
    schema = Schema(tables=(table,), privacy_unit=unit)
    return Dataset(tables={"shop": conform(frame, schema, table)[0]}, schema=schema, role="train")


def fit(data, *, noise=None, noise_scale=1e-4):
    engine = GaussianCopulaDP()
    reservation = reserve(engine, data.table, noise_scale=noise_scale, budget=BUDGET, noise=noise or NoNoise())
    return engine.fit(data, reservation=reservation), reservation


def marginal(shares):
    return Marginal(shares=np.asarray(shares, dtype=float))


def test_touches_fit_the_budget_closely_and_end_with_the_cross_products():
    engine, table = GaussianCopulaDP(), dataset(shop(10)).table
    scale = calibrate(lambda s: engine.touches(table, noise_scale=s, budget=BUDGET), BUDGET)
    touches = engine.touches(table, noise_scale=scale, budget=BUDGET)
    assert 0.999 < total(touches, BUDGET.delta).epsilon <= 1.0
    assert [touch.label for touch in touches].count(LABEL) == 1
    assert touches[-1].label == LABEL


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[1:2]], ids=["five columns", "one column"])
def test_all_reserved_touches_are_spent_in_the_reserved_order(columns):
    data = dataset(shop(900)[[column.name for column in columns]], columns)
    _, reservation = fit(data)
    assert reservation.spent == list(reservation.touches)


@given(
    scores=st.lists(st.lists(st.floats(-6, 6), min_size=4, max_size=4), min_size=1, max_size=6),
    squared=st.floats(0.5, 40),
)
@settings(max_examples=200, deadline=None)
def test_one_row_never_moves_the_cross_products_beyond_their_sensitivity(scores, squared):
    limit = math.ceil(squared * GRID**2)
    whole = whole_scores(np.array(scores), limit)
    assert ((whole**2).sum(axis=1) <= limit).all()
    for row in whole:
        assert np.linalg.norm(cross_products(row[None, :]).astype(float)) <= pair_sensitivity(limit, 4) * (1 + 1e-12)


def test_a_row_of_equal_scores_attains_the_sensitivity():
    whole = np.full((1, 5), 7, dtype=np.int64)
    assert np.linalg.norm(cross_products(whole)) == pytest.approx(pair_sensitivity(5 * 49, 5))


def test_cross_products_equal_a_naive_sum():
    rng = np.random.default_rng(0)
    whole = rng.integers(-4000, 4000, (50, 4))
    naive = [sum(int(row[i]) * int(row[j]) for row in whole) for i in range(4) for j in range(i + 1, 4)]
    assert cross_products(whole).tolist() == naive


class Recorder(Replay):
    def discrete_gaussian(self, counts, sigma):
        self.answers.append(np.array(counts))
        self.asked.append((np.array(counts), sigma))
        return np.array(counts)


@given(
    owners=st.lists(st.integers(0, 30), min_size=300, max_size=400),
    m=st.integers(1, 3),
    removed=st.integers(0, 30),
    seed=st.integers(0, 99),
)
@settings(max_examples=6, deadline=None)
def test_removing_one_person_changes_every_measurement_by_at_most_its_sensitivity(owners, m, removed, seed):
    frame = shop(len(owners), seed).assign(who=[f"p{owner}" for owner in owners])
    columns = (*COLUMNS, Column(name="who", kind="identifier"))
    engine = GaussianCopulaDP()

    def run(rows, noise):
        data = dataset(rows, columns, unit="who", m=m)
        engine.fit(data, reservation=reserve(engine, data.table, noise_scale=1e-5, budget=BUDGET, noise=noise))

    recorder = Recorder([])
    run(frame, recorder)
    fewer = frame[frame["who"] != f"p{removed}"].reset_index(drop=True)
    replay = Replay(recorder.answers)
    run(fewer, replay)
    assert len(replay.asked) == len(recorder.asked)
    touches = engine.touches(dataset(frame, columns, unit="who", m=m).table, noise_scale=1e-5, budget=BUDGET)
    for (ours, sigma), (_, theirs, their_sigma), touch in zip(recorder.asked, replay.asked, touches, strict=True):
        assert sigma == their_sigma
        sensitivity = sigma / touch.event.noise_multiplier
        assert np.linalg.norm((ours - theirs).astype(float)) <= sensitivity * (1 + 1e-9)


def test_scores_of_a_column_cut_in_half_have_their_closed_form():
    half = marginal([0.5, 0.5])
    np.testing.assert_allclose(half.scores, [-math.sqrt(2 / math.pi), math.sqrt(2 / math.pi)])
    assert half.variance == pytest.approx(2 / math.pi)


def test_scores_increase_and_have_mean_zero():
    column = marginal([0.1, 0.2, 1e-9, 0.65, 0.05 - 1e-9])
    assert (np.diff(column.scores) > 0).all()
    assert column.shares @ column.scores == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rho", [-0.9, -0.5, 0.0, 0.3, 0.8])
def test_latent_correlation_of_two_halves_is_the_tetrachoric_one(rho):
    """E[s s'] = (2 / pi) (2 / pi) asin(rho) for scores of plus or minus sqrt(2 / pi) (Sheppard 1899)."""
    products = hermite_coefficients(marginal([0.5, 0.5]))[None, :] ** 2
    moment = np.array([(2 / math.pi) ** 2 * math.asin(rho)])
    np.testing.assert_allclose(moments_at(np.array([rho]), products), moment, atol=2e-4)
    assert latent_correlations(moment, products)[0] == pytest.approx(rho, abs=2e-4)


def test_latent_correlation_of_finely_cut_columns_is_their_moment():
    products = hermite_coefficients(marginal(np.full(400, 1 / 400)))[None, :] ** 2
    assert latent_correlations(np.array([0.5]), products)[0] == pytest.approx(0.5, abs=0.01)


def test_a_moment_of_zero_means_no_correlation_even_where_scores_do_not_vary():
    products = np.zeros((1, 60))
    assert latent_correlations(np.zeros(1), products)[0] == 0.0


@pytest.mark.statistical
def test_noise_does_not_pull_rare_codes_to_certainty():
    """Two independent truth values of one row in a thousand at epsilon 1, ten seeded fits: a correlation beyond .9 is a pull by noise."""
    columns = tuple(Column(name=name, kind="boolean", nullable=False) for name in "abcd")
    rng = np.random.default_rng(0)
    data = dataset(pd.DataFrame({name: rng.random(4000) < 0.001 for name in "abcd"}), columns)
    engine = GaussianCopulaDP()
    scale = calibrate(lambda s: engine.touches(data.table, noise_scale=s, budget=BUDGET), BUDGET)
    for seed in range(10):
        correlation = fit(data, noise=SeededNoise(seed), noise_scale=scale)[0].correlation
        assert np.abs(correlation[np.triu_indices(4, 1)]).max() < 0.9


def test_hermite_coefficients_equal_numerical_integrals():
    column = marginal([0.2, 0.5, 0.3])
    z = np.linspace(-8, 8, 400_001)
    step = column.scores[np.searchsorted(column.cuts[1:-1], z)] * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    expected = [(step * z).sum(), (step * (z**2 - 1)).sum() / math.sqrt(2), (step * (z**3 - 3 * z)).sum() / math.sqrt(6)]
    np.testing.assert_allclose(hermite_coefficients(column)[:3], expected, atol=1e-4)


def test_without_noise_moments_equal_numpy_on_the_normal_scores():
    columns = tuple(dataclasses.replace(column, nullable=False) for column in COLUMNS)
    data = dataset(shop(3000).fillna({"price": 250.0}), columns)
    noise = NoNoise()
    model, _ = fit(data, noise=noise)
    counts = noise.asked[-1][1]
    scores = np.column_stack(
        [
            latent.scores(model.columns[i].binning.bin_of_cell[model.columns[i].cells.encode(data.frame[COLUMNS[i].name])[0]])
            for i, latent in enumerate(model.latents)
        ]
    )
    inside = (scores**2).sum(axis=1) <= squared_length_limit(sum(latent.marginal.variance for latent in model.latents))
    assert inside.mean() > 0.97
    moments = (scores.T @ scores / len(scores))[np.triu_indices(5, 1)]
    clipped = (scores[inside].T @ scores[inside] / len(scores))[np.triu_indices(5, 1)]
    measured = counts / GRID**2 / len(scores)
    assert np.abs(measured - moments).max() < 0.04  # the few long rows count for less
    assert np.abs(measured - clipped).max() < np.abs((scores[~inside] ** 2).sum() / len(scores)) + 0.005
    plain = np.corrcoef(scores.T)[np.triu_indices(5, 1)]
    spreads = np.sqrt(np.outer(*[[latent.marginal.variance for latent in model.latents]] * 2))[np.triu_indices(5, 1)]
    np.testing.assert_allclose(moments / spreads, plain, atol=1e-6)


def test_without_clipping_or_noise_cross_products_are_numpy_s_to_the_grid():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(2000, 3))
    measured = cross_products(whole_scores(scores, 10**12)) / GRID**2
    expected = (scores.T @ scores)[np.triu_indices(3, 1)]
    assert np.abs(measured - expected).max() / 2000 < 3 / GRID


def test_without_noise_latent_correlations_of_cut_normals_are_found_again():
    model, _ = fit(dataset(shop(40_000)[["colour", "size", "returned"]], (COLUMNS[0], COLUMNS[1], COLUMNS[4])))
    # "red", "green", "blue" fall in share, so the order is that in which they were cut; true is the rarer value.
    assert model.correlation[0, 1] == pytest.approx(0.6, abs=0.03)
    assert model.correlation[0, 2] == pytest.approx(-0.4, abs=0.04)
    assert model.correlation[1, 2] == pytest.approx(0.0, abs=0.03)


def test_moments_below_their_noise_are_set_to_zero():
    np.testing.assert_allclose(shrunk(np.array([0.05, -0.05, 0.2, -1.0]), np.full(4, 0.1)), [0, 0, 0.15, -0.99])


def test_the_nearest_correlation_matrix_is_highams():
    """Higham (2002), section 4: the nearest correlation matrix of this one has 0.7607 and 0.1573."""
    nearest = nearest_correlation(np.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]]))
    np.testing.assert_allclose(nearest, [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]], atol=5e-4)


def test_the_nearest_correlation_matrix_is_valid_and_leaves_a_valid_one_alone():
    rng = np.random.default_rng(2)
    rough = np.clip(rng.normal(0, 0.5, (30, 30)), -0.99, 0.99)
    rough = (rough + rough.T) / 2
    np.fill_diagonal(rough, 1.0)
    nearest = nearest_correlation(rough)
    assert np.linalg.eigvalsh(nearest).min() > -1e-9
    np.testing.assert_allclose(np.diag(nearest), 1.0)
    valid = 0.5 * np.eye(4) + 0.5
    np.testing.assert_allclose(nearest_correlation(valid), valid, atol=1e-6)


def test_places_and_quantiles_are_inverse_and_rare_codes_are_reached():
    column = marginal([0.5, 0.3, 0.2])
    np.testing.assert_array_equal(column.percent_point(column.cdf([0, 1, 2])), [0, 1, 2])
    np.testing.assert_array_equal(column.percent_point([0.0, 0.49, 0.51, 0.81, 1.0]), [0, 0, 1, 2, 2])


def wide(n_columns):
    return Table(name="wide", columns=tuple(Column(name=f"x{i}", kind="integer", bounds=(0, 9)) for i in range(n_columns)))


@pytest.mark.parametrize(("n_columns", "refused"), [(15, False), (300, True)])
def test_check_says_whether_the_noise_leaves_a_signal(n_columns, refused):
    engine, table = GaussianCopulaDP(), wide(n_columns)
    scale = calibrate(lambda s: engine.touches(table, noise_scale=s, budget=BUDGET), BUDGET)
    (line,) = engine.preflight(table, noise_scale=scale, rows=10_000)
    assert ("refused" in line) == refused
    assert (engine.correlation_noise(table, noise_scale=scale, rows=10_000) > 0.1) == refused
    assert (engine.smallest_people(table, noise_scale=scale) > 10_000) == refused


def test_too_much_noise_is_refused_before_the_cross_products_are_spent():
    data = dataset(shop(800))
    engine = GaussianCopulaDP()
    reservation = reserve(engine, data.table, noise_scale=9.0, budget=BUDGET, noise=SeededNoise(0))
    with pytest.raises(PlanError, match="on each correlation"):
        engine.fit(data, reservation=reservation)
    assert LABEL not in {touch.label for touch in reservation.spent}


def test_settings_out_of_range_are_refused():
    for change in ({"max_bins": 1}, {"cells_of_noise": 0.0}):
        with pytest.raises(PlanError):
            GaussianCopulaDP(**change)


@pytest.fixture(scope="module")
def fitted():
    pytest.importorskip("sdv", reason="the extra sdv is not installed")
    data = dataset(shop(8000))
    return data, fit(data)[0]


def test_samples_are_typed_like_the_data_and_inside_the_facts(fitted):
    data, model = fitted
    synthetic = model.sample(4000, rng=np.random.default_rng(1))
    assert synthetic.dtypes.to_dict() == data.frame.dtypes.to_dict()
    pd.testing.assert_frame_equal(conform(synthetic, data.schema, data.table)[0], synthetic)
    assert synthetic["price"].isna().mean() == pytest.approx(0.1, abs=0.02)


def test_sdv_samples_from_our_marginals_and_our_correlation(fitted):
    """Standard error of a correlation at n = 8,000 is .011: a deviation of .06 means another matrix."""
    data, model = fitted
    synthetic = model.sample(8000, rng=np.random.default_rng(1))
    for name in ("colour", "returned"):
        shares = data.frame[name].value_counts(normalize=True), synthetic[name].value_counts(normalize=True)
        assert (shares[0] - shares[1]).abs().max() < 0.02
    numeric = ["size", "price"]
    assert synthetic[numeric].astype(float).corr().iloc[0, 1] == pytest.approx(
        data.frame[numeric].astype(float).corr().iloc[0, 1], abs=0.06
    )
    cleared = dataclasses.replace(model, correlation=np.eye(len(model.latents)))
    without = cleared.sample(8000, rng=np.random.default_rng(1))[numeric].astype(float).corr().iloc[0, 1]
    assert abs(without) < 0.06


def test_the_same_generator_gives_the_same_rows_and_another_gives_others(fitted):
    _, model = fitted
    first, again, other = (model.sample(50, rng=np.random.default_rng(seed)) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_given_columns_are_kept_and_the_others_follow_them(fitted):
    _, model = fitted
    chosen = pd.DataFrame({"size": pd.array([15] * 150 + [45] * 150, dtype="Int64")})
    synthetic = model.sample(300, rng=np.random.default_rng(2), given=chosen)
    pd.testing.assert_series_equal(synthetic["size"], chosen["size"])
    price = synthetic["price"]
    assert price[150:].mean() - price[:150].mean() > 100


@pytest.mark.parametrize("chosen", [{"size": [1, 2]}, {"weight": [1, 2, 3]}], ids=["another length", "unknown column"])
def test_given_columns_that_do_not_fit_are_refused(fitted, chosen):
    with pytest.raises(PlanError, match="given has"):
        fitted[1].sample(3, rng=np.random.default_rng(0), given=pd.DataFrame(chosen))


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_rows_are_typed_too(fitted, n):
    data, model = fitted
    synthetic = model.sample(n, rng=np.random.default_rng(0))
    assert len(synthetic) == n
    assert synthetic.dtypes.to_dict() == data.frame.dtypes.to_dict()


def test_a_saved_model_samples_the_same_rows(fitted, tmp_path):
    _, model = fitted
    model.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["arrays.npz", "model.json"]
    loaded = CopulaModel.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(40, rng=np.random.default_rng(3)), model.sample(40, rng=np.random.default_rng(3)))
    assert loaded.column_reports == model.column_reports


def test_nulls_that_go_with_another_column_still_do(fitted):
    """Nulls in 40 % of red rows and in none of the others: kept as a dependence, while values keep their own."""
    frame = shop(8000, seed=3)
    frame["price"] = frame["price"].fillna(300.0).mask((frame["colour"] == "red") & (np.arange(8000) % 5 < 2))
    model, _ = fit(dataset(frame))
    synthetic = model.sample(8000, rng=np.random.default_rng(4))
    nulls = synthetic["price"].isna().groupby(synthetic["colour"]).mean()
    assert nulls["red"] > nulls["green"] + 0.2
    assert synthetic["price"].isna().mean() == pytest.approx(frame["price"].isna().mean(), abs=0.02)


def test_a_column_of_nulls_goes_with_nothing():
    columns = (*COLUMNS, Column(name="empty", kind="integer", bounds=(0, 9)))
    model, _ = fit(dataset(shop(900).assign(empty=None), columns))
    (of_value, of_null) = [latent for latent in model.latents if latent.column == 5]
    assert of_value.marginal.shares.tolist() == [1.0]
    assert of_null.marginal.shares[1] > 0.999
    assert np.isfinite(model.correlation).all()
    np.testing.assert_allclose(model.correlation[-2:, :-2], 0, atol=1e-6)


@pytest.mark.statistical
def test_at_epsilon_1_dependence_survives_real_noise():
    """Four seeded fits at n = 10,000: noise on a latent correlation is about .02, so none is off by .15 (false alarms below 1e-9)."""
    data = dataset(shop(10_000))
    engine = GaussianCopulaDP()
    scale = calibrate(lambda s: engine.touches(data.table, noise_scale=s, budget=BUDGET), BUDGET)
    exact = fit(data)[0].correlation[1, 2]
    for seed in range(4):
        noisy = fit(data, noise=SeededNoise(seed), noise_scale=scale)[0].correlation[1, 2]
        assert noisy == pytest.approx(exact, abs=0.15)
