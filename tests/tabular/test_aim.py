import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise, Replay, SeededNoise, reserve

from privsynth import registry, tabular
from privsynth.dataset import Dataset, conform
from privsynth.errors import BudgetExceededError, PlanError, SourceError
from privsynth.privacy import Budget, Ledger, SystemNoise, ZeroConcentrated, calibrate, total
from privsynth.privacy.ledger import Population
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.tabular.aim import MAX_COLUMNS, Aim, AimModel, ZeroConcentratedFilter, candidates, count_workload
from privsynth.tabular.prepare import BinLimits, prepare
from privsynth.tabular.tree import Tree

BUDGET = Budget(epsilon=1.0, delta=1e-6)
COLUMNS = (
    Column(name="sun", kind="categorical", categories=("none", "some", "full"), nullable=False),
    Column(name="rain", kind="integer", bounds=(0, 5), nullable=False),
    Column(name="soil", kind="categorical", categories=("clay", "sand"), nullable=False),
    Column(name="height", kind="integer", bounds=(0, 4000), nullable=False),
    Column(name="blooms", kind="boolean"),
)


def garden(n, seed=0):
    """Sun and soil decide, only together, whether a plant blooms (exclusive or); height follows rain, and rain sun."""
    rng = np.random.default_rng(seed)
    sun, soil = rng.integers(0, 3, n), rng.integers(0, 2, n)
    rain = np.minimum(2 * sun + rng.integers(0, 2, n), 5)
    blooms = np.where(rng.random(n) < 0.05, None, ((sun > 0) ^ (soil > 0)) ^ (rng.random(n) < 0.1))
    return pd.DataFrame(
        {
            "sun": np.array(["none", "some", "full"], dtype=object)[sun],
            "rain": rain,
            "soil": np.array(["clay", "sand"], dtype=object)[soil],
            "height": 600 * rain + rng.integers(0, 500, n),
            "blooms": blooms,
        }
    )


def dataset(frame, columns=COLUMNS, *, unit=ROW, m=1, target="blooms"):
    table = Table(name="garden", columns=columns, max_rows_per_person=m, target=target)
    schema = Schema(tables=(table,), privacy_unit=unit)
    return Dataset(tables={"garden": conform(frame, schema, table)[0]}, schema=schema, role="train")


def fit(data, *, noise=None, noise_scale=1e-3, engine=None):
    engine = engine or Aim()
    reservation = reserve(engine, data.table, noise_scale=noise_scale, budget=BUDGET, noise=noise or NoNoise())
    return engine.fit(data, reservation=reservation), reservation


class Costs(NoNoise):
    """Adds up what a filter has to pay for, apart from it; touches of the preparation are paid elsewhere."""

    def __init__(self, inner=None, person_rows=1):
        super().__init__()
        self.inner, self.person_rows, self.rho = inner or NoNoise(), person_rows, Fraction(0)

    def discrete_gaussian(self, counts, sigma):
        if np.ndim(counts) > 1:  # the preparation measures one axis only
            self.rho += Fraction(self.person_rows) ** 2 / (2 * Fraction(sigma) ** 2)
        return self.inner.discrete_gaussian(counts, sigma)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        self.rho += Fraction(epsilon) ** 2 / 8
        return self.inner.noisy_max(scores, epsilon=epsilon, sensitivity=sensitivity)


@given(
    rho=st.floats(1e-6, 10.0),
    wanted=st.lists(st.tuples(st.booleans(), st.floats(1e-4, 5.0)), max_size=30),
    m=st.integers(1, 4),
)
@settings(max_examples=100)
def test_the_filter_never_lets_costs_pass_rho_and_refuses_before_drawing(rho, wanted, m):
    zcdp_filter, noise = ZeroConcentratedFilter(rho), Costs(person_rows=m)
    for selects, size in wanted:
        cost = Fraction(size) ** 2 / 8 if selects else Fraction(m) ** 2 / (2 * Fraction(size) ** 2)
        before, affordable = noise.rho, noise.rho + cost <= Fraction(rho)
        try:
            if selects:
                zcdp_filter.choose(np.zeros(2), epsilon=size, sensitivity=1.0, noise=noise)
            else:
                zcdp_filter.measure(np.zeros((1, 1), dtype=np.int64), sigma=size, sensitivity=m, noise=noise)
        except BudgetExceededError:
            assert not affordable
            assert noise.rho == before
        else:
            assert affordable
        assert noise.rho <= Fraction(rho)
        assert Fraction(zcdp_filter.left) <= Fraction(rho) - noise.rho


def test_what_is_left_can_be_spent_to_the_end():
    zcdp_filter = ZeroConcentratedFilter(0.1)
    zcdp_filter.choose(np.zeros(2), epsilon=0.3, sensitivity=1.0, noise=NoNoise())
    sigma = math.sqrt(1 / (2 * zcdp_filter.left * (1 - 1e-9)))
    zcdp_filter.measure(np.zeros(2, dtype=np.int64), sigma=sigma, sensitivity=1, noise=NoNoise())
    assert zcdp_filter.left < 1e-9


@pytest.mark.parametrize("noise_scale", [1e-2, 0.5, 2.0])
@pytest.mark.parametrize("m", [1, 3])
def test_a_run_spends_nearly_all_of_its_rho_and_never_more(noise_scale, m):
    frame = garden(1500).assign(who=np.arange(1500) // m)
    data = dataset(frame, (*COLUMNS, Column(name="who", kind="identifier")), unit="who", m=m)
    noise = Costs(SeededNoise(1), person_rows=m)
    _, reservation = fit(data, noise=noise, noise_scale=noise_scale)
    (event,) = [touch.event for touch in reservation.touches if isinstance(touch.event, ZeroConcentrated)]
    assert 0.999 * event.rho < noise.rho <= Fraction(event.rho)


def test_touches_fit_the_budget_closely_and_do_not_depend_on_data():
    engine, table = Aim(), dataset(garden(10)).table
    scale = calibrate(lambda s: engine.touches(table, noise_scale=s, budget=BUDGET), BUDGET)
    cost = total(engine.touches(table, noise_scale=scale, budget=BUDGET), BUDGET.delta).epsilon
    assert 0.999 < cost <= 1.0


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[:1]], ids=["all", "one column"])
def test_all_reserved_touches_are_spent_in_the_reserved_order(columns):
    data = dataset(garden(500)[[column.name for column in columns]], columns, target=None)
    _, reservation = fit(data)
    assert reservation.spent == list(reservation.touches)
    assert isinstance(reservation.spent[-1].event, ZeroConcentrated) == (len(columns) > 1)


def test_nothing_adaptive_runs_before_its_touch_is_spent():
    class Refusing(NoNoise):
        def noisy_max(self, scores, *, epsilon, sensitivity):
            assert reservation.spent[-1].label == "adaptive marginals"
            return super().noisy_max(scores, epsilon=epsilon, sensitivity=sensitivity)

    engine, data = Aim(), dataset(garden(500))
    reservation = reserve(engine, data.table, noise_scale=0.1, budget=BUDGET, noise=Refusing())
    engine.fit(data, reservation=reservation)


class Recorder(Replay):
    """Answers without noise and keeps the answers."""

    def discrete_gaussian(self, counts, sigma):
        self.answers.append(np.array(counts))
        self.asked.append(("gaussian", np.array(counts), sigma))
        return np.array(counts)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        self.answers.append(int(np.argmax(scores)))
        self.asked.append(("max", np.array(scores), sensitivity))
        return self.answers[-1]


@given(
    owners=st.lists(st.integers(0, 6), min_size=8, max_size=40),
    m=st.integers(1, 3),
    removed=st.integers(0, 6),
    target=st.sampled_from(["blooms", "soil", None]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None)
def test_removing_one_person_changes_every_measurement_and_score_by_at_most_its_sensitivity(owners, m, removed, target, seed):
    frame = garden(len(owners), seed).assign(who=[f"p{owner}" for owner in owners])
    columns = (*COLUMNS, Column(name="who", kind="identifier"))
    recorder = Recorder([])
    fit(dataset(frame, columns, unit="who", m=m, target=target), noise=recorder, noise_scale=0.02)
    fewer = frame[frame["who"] != f"p{removed}"].reset_index(drop=True)
    replay = Replay(recorder.answers)
    fit(dataset(fewer, columns, unit="who", m=m, target=target), noise=replay, noise_scale=0.02)
    assert len(replay.asked) == len(recorder.asked)
    for (kind, ours, size), (_, theirs, _) in zip(recorder.asked, replay.asked, strict=True):
        if kind == "gaussian":
            assert np.abs(ours - theirs).sum() <= m
        else:
            assert np.abs(ours - theirs).max() <= size + 1e-9
            assert size <= m


def test_a_score_is_the_weighted_error_beyond_noise():
    data, noise = dataset(garden(400)[["sun", "soil"]], (COLUMNS[0], COLUMNS[2]), target=None), NoNoise()
    fit(data, noise=noise, noise_scale=0.05)
    (score,) = next(asked for kind, asked, _ in noise.asked if kind == "max")
    sun, soil = data.frame["sun"], data.frame["soil"]
    naive = sum(
        abs(((sun == a) & (soil == b)).sum() - (sun == a).sum() * (soil == b).sum() / 400) for a in sun.unique() for b in soil.unique()
    )
    sigma = next(size for kind, asked, size in noise.asked if kind == "gaussian" and np.ndim(asked) == 2)
    # The model's one-way marginals are fitted within a tenth of their noise.
    assert score == pytest.approx(naive - math.sqrt(2 / math.pi) * sigma * 6, abs=0.5)


@pytest.mark.parametrize("target_weight", [0.5, 3.0])
def test_weights_are_overlaps_with_the_workload(target_weight):
    data = dataset(garden(500))
    engine = Aim()
    reservation = reserve(engine, data.table, noise_scale=1e-3, budget=BUDGET, noise=NoNoise())
    prepared = prepare(data, reservation=reservation, limits=BinLimits(pair_sigma=0.1, cells_of_noise=2.0, max_bins=6))
    workload = count_workload(prepared, data.table, target_weight=target_weight, max_target_codes=8)
    pairs, triples = list(itertools.combinations(range(5), 2)), [(i, j, 4) for i, j in itertools.combinations(range(4), 2)]
    assert set(workload.counts) == {*pairs, *triples}
    naive = {r: sum(len({*r} & {*s}) for s in pairs) + target_weight * sum(len({*r} & {*s}) for s in triples) for r in workload.counts}
    for r, weight in workload.weights.items():
        assert weight == pytest.approx(naive[r] / max(naive.values()))
        table = np.zeros([prepared.columns[k].size for k in r], dtype=int)
        np.add.at(table, tuple(prepared.codes[k] for k in r), 1)
        np.testing.assert_array_equal(workload.counts[r], table)


def test_three_columns_that_depend_only_together_are_learned_without_noise_and_a_tree_cannot():
    data = dataset(garden(4000))
    synthetic = fit(data)[0].sample(4000, rng=np.random.default_rng(0))
    triple = ["sun", "soil", "blooms"]
    real, ours = (rows[triple].astype(str).value_counts() for rows in (data.frame, synthetic))
    assert real.subtract(ours, fill_value=0).abs().max() <= 15
    tree = fit(data, engine=Tree())[0].sample(4000, rng=np.random.default_rng(0))
    theirs = tree[triple].astype(str).value_counts()
    assert real.subtract(theirs, fill_value=0).abs().max() > 200


def test_under_real_noise_the_interaction_is_kept_and_independent_columns_stay_independent():
    """n = 20,000, epsilon 1: the triple's total variation is far under that of a table without it."""
    data = dataset(garden(20_000))
    engine = Aim()
    scale = calibrate(lambda s: engine.touches(data.table, noise_scale=s, budget=BUDGET), BUDGET)
    synthetic = fit(data, noise=SeededNoise(1), noise_scale=scale)[0].sample(20_000, rng=np.random.default_rng(2))
    shuffled = data.frame.assign(blooms=data.frame["blooms"].sample(frac=1, random_state=0).to_numpy())

    def distance(frame, columns):
        real, theirs = (rows[columns].astype(str).value_counts(normalize=True) for rows in (data.frame, frame))
        return real.subtract(theirs, fill_value=0).abs().sum() / 2

    assert distance(synthetic, ["sun", "soil", "blooms"]) < 0.04
    assert distance(shuffled, ["sun", "soil", "blooms"]) > 0.3
    assert distance(synthetic, ["rain", "soil"]) < 0.04


def test_a_model_never_has_more_cells_than_allowed():
    sizes, wanted = (4, 5, 6, 7), [(0, 1), (0, 2), (2, 3), (0, 1, 3)]
    assert candidates(sizes, [(0,), (1,), (2,), (3,)], wanted, 40) == [(0, 1), (0, 2)]  # 20 + 6 + 7 and 24 + 5 + 7, but 42 + 4 + 5
    assert candidates(sizes, [(0, 1, 3)], wanted, 0) == [(0, 1), (0, 1, 3)]  # what a clique holds costs nothing
    model, _ = fit(dataset(garden(3000)), engine=Aim(max_model_cells=1000))
    assert model.distribution.tree.cells <= 1000


@pytest.mark.parametrize("target", [None, "height"])
def test_without_a_small_target_only_pairs_are_measured(target):
    noise = NoNoise()
    fit(dataset(garden(1000), target=target), noise=noise, engine=Aim(max_target_codes=6))
    assert {np.ndim(asked) for kind, asked, _ in noise.asked if kind == "gaussian"} == {1, 2}


@pytest.mark.parametrize("target", ["sun", "rain"])
def test_two_columns_are_modelled_together_though_one_is_the_target(target):
    data = dataset(garden(2000)[["sun", "rain"]], COLUMNS[:2], target=target)
    synthetic = fit(data)[0].sample(2000, rng=np.random.default_rng(0))
    real, ours = (rows.astype(str).value_counts(["sun", "rain"]) for rows in (data.frame, synthetic))
    assert real.subtract(ours, fill_value=0).abs().max() <= 10


def test_a_model_too_small_for_any_pair_is_refused():
    columns = tuple(Column(name=name, kind="integer", bounds=(0, 39), nullable=False) for name in "ab")
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 40, (20_000, 2)), columns=["a", "b"])
    with pytest.raises(PlanError, match="holds no pair"):
        fit(dataset(frame, columns, target=None), engine=Aim(max_bins=40, max_model_cells=1000))


def test_the_target_is_found_behind_a_public_map():
    mapping = {"none": "low", "some": "high", "full": "high"}
    columns = (dataclasses.replace(COLUMNS[0], determines={"light": mapping}), *COLUMNS[1:], Column(name="light", kind="categorical"))
    frame = garden(2000)
    model, _ = fit(dataset(frame.assign(light=frame["sun"].map(mapping)), columns, target="light"))
    assert 0 in model.distribution.tree.cliques[0]
    synthetic = model.sample(500, rng=np.random.default_rng(0))
    assert (synthetic["light"] == synthetic["sun"].map(mapping)).all()


def test_rows_are_typed_like_the_data_and_can_be_given_columns():
    data = dataset(garden(3000))
    model, _ = fit(data)
    synthetic = model.sample(800, rng=np.random.default_rng(1))
    assert synthetic.dtypes.to_dict() == data.frame.dtypes.to_dict()
    pd.testing.assert_frame_equal(conform(synthetic, data.schema, data.table)[0], synthetic)
    given_rows = pd.DataFrame({"sun": ["full"] * 600, "soil": ["clay"] * 600})
    rows = model.sample(600, rng=np.random.default_rng(2), given=given_rows)
    assert (rows["sun"] == "full").all()
    assert (rows["rain"] >= 4).mean() > 0.97
    assert 0.8 < rows["blooms"].mean() < 0.97  # 0.9 in the data; 600 rows: 6 standard errors are 0.07
    chunks = list(model.sample_chunks(1000, chunk_rows=300, rng=np.random.default_rng(3)))
    assert [len(chunk) for chunk in chunks] == [300, 300, 300, 100]


def test_a_saved_model_samples_the_same_rows(tmp_path):
    model, _ = fit(dataset(garden(800)), noise_scale=0.1)
    model.save(tmp_path / "model")
    loaded = AimModel.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(99, rng=np.random.default_rng(5)), model.sample(99, rng=np.random.default_rng(5)))
    assert loaded.column_reports == model.column_reports
    assert loaded.table == model.table
    with pytest.raises(SourceError, match="engine='aim'"):
        fit(dataset(garden(800)), engine=Tree())[0].load(tmp_path / "model")


def test_fit_reserves_in_the_ledger_commits_and_costs_what_it_says(tmp_path):
    ledger, data = Ledger.open(tmp_path / "ledger.sqlite"), dataset(garden(2000))
    population = Population(name="garden", units=list(map(str, data.units())))
    model = tabular.fit(registry.synthesizer("aim")(), data, budget=BUDGET, ledger=ledger, population=population, noise=SystemNoise())
    assert [entry.kind for entry in ledger.entries()][-2:] == ["reserve", "commit"]
    assert 0.999 < ledger.balance("garden").epsilon <= 1.0
    assert len(model.sample(10, rng=np.random.default_rng(0))) == 10


@pytest.mark.parametrize(
    "frame",
    [garden(300).assign(sun="none"), garden(300).assign(sun="none", soil="clay", rain=0, height=1, blooms=True)],
    ids=["a constant column", "all constant"],
)
def test_constant_columns_are_modelled(frame):
    synthetic = fit(dataset(frame), noise=SeededNoise(3), noise_scale=0.05)[0].sample(300, rng=np.random.default_rng(0))
    assert (synthetic["sun"] == "none").mean() > 0.97


def test_too_few_people_are_refused():
    with pytest.raises(PlanError, match=r"needs about \d+ people"):
        fit(dataset(garden(30)), noise=SeededNoise(0), noise_scale=10.0)


def test_a_wide_table_is_refused_before_anything_is_spent():
    columns = tuple(Column(name=f"c{number}", kind="boolean") for number in range(MAX_COLUMNS + 1))
    with pytest.raises(PlanError, match="use 'tree'"):
        Aim().touches(Table(name="wide", columns=columns), noise_scale=1.0, budget=BUDGET)


@pytest.mark.parametrize(
    "change",
    [{"max_bins": 1}, {"max_model_cells": 10}, {"cells_of_noise": 0.0}, {"rounds_per_column": 0.0}, {"target_weight": -1.0}],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(PlanError):
        Aim(**change)
