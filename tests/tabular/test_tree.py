import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise, Replay, SeededNoise, reserve

from privsynth import tabular
from privsynth.dataset import Dataset, conform
from privsynth.errors import BudgetExceededError, PlanError, SchemaError, SourceError
from privsynth.privacy import Budget, Ledger, SystemNoise, calibrate, total
from privsynth.privacy.ledger import Population
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.tabular.tree import Tree, TreeModel

BUDGET = Budget(epsilon=1.0, delta=1e-6)
COLUMNS = (
    Column(name="colour", kind="categorical", categories=("red", "green", "blue")),
    Column(name="size", kind="integer", bounds=(0, 9)),
    Column(name="price", kind="decimal", step=0.01, bounds=(0, 5000)),
    Column(name="sold", kind="datetime", step=86400, bounds=(0, 86400 * 3000)),
    Column(name="returned", kind="boolean"),
)


def shop(n, seed=0):
    """Rows of a chain colour - size - price and independent dates; nulls in two columns."""
    rng = np.random.default_rng(seed)
    colour = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    size = np.minimum(3 * colour + rng.integers(0, 4, n), 9)
    price = np.round(100.0 * size + rng.integers(0, 50, n), 2)
    frame = pd.DataFrame({"colour": np.array(["red", "green", "blue"], dtype=object)[colour], "size": size, "price": price})
    frame["sold"] = (rng.integers(0, 3000, n) * 86400).astype("datetime64[s]")
    frame["returned"] = np.where(rng.random(n) < 0.1, None, rng.random(n) < 0.3)
    frame.loc[rng.random(n) < 0.2, "price"] = np.nan
    return frame


def dataset(frame, columns=COLUMNS, *, unit=ROW, m=1):
    table = Table(name="shop", columns=columns, max_rows_per_person=m)
    schema = Schema(tables=(table,), privacy_unit=unit)
    return Dataset(tables={"shop": conform(frame, schema, table)[0]}, schema=schema, role="train")


def fit(data, *, noise=None, noise_scale=1e-4, engine=None):
    engine = engine or Tree()
    reservation = reserve(engine, data.table, noise_scale=noise_scale, budget=BUDGET, noise=noise or NoNoise())
    return engine.fit(data, reservation=reservation), reservation


def test_touches_fit_the_budget_closely_and_do_not_depend_on_data():
    engine, table = Tree(), dataset(shop(10)).table
    scale = calibrate(lambda s: engine.touches(table, noise_scale=s, budget=BUDGET), BUDGET)
    cost = total(engine.touches(table, noise_scale=scale, budget=BUDGET), BUDGET.delta).epsilon
    assert 0.999 < cost <= 1.0


def undeclared():
    facts = {"bounds": None, "categories": None}
    return tuple(dataclasses.replace(column, **facts) for column in COLUMNS)


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[:1], undeclared()], ids=["declared", "one column", "undeclared"])
def test_all_reserved_touches_are_spent_in_the_reserved_order(columns):
    data = dataset(shop(500)[[column.name for column in columns]], columns)
    _, reservation = fit(data)
    assert reservation.spent == list(reservation.touches)


def test_every_question_to_the_noise_source_was_spent_with_its_noise():
    data = dataset(shop(500))
    noise = NoNoise()
    _, reservation = fit(data, noise=noise)
    assert len(noise.asked) == len(reservation.spent)
    for (kind, _, noise_size), touch in zip(noise.asked, reservation.spent, strict=True):
        if kind == "gaussian":
            assert noise_size == touch.event.noise_multiplier
        else:
            assert noise_size == 1.0


def test_more_rows_per_person_mean_proportionally_more_noise():
    frame = shop(600).assign(who=np.arange(600) // 3)
    data = dataset(
        frame.assign(who=np.r_[np.zeros(5, dtype=int), frame["who"][5:]]),
        (*COLUMNS, Column(name="who", kind="identifier")),
        unit="who",
        m=3,
    )
    noise = NoNoise()
    model, reservation = fit(data, noise=noise)
    assert {report.rows_left_out for report in model.column_reports} == {2}
    for (kind, _, noise_size), touch in zip(noise.asked, reservation.spent, strict=True):
        assert noise_size == (3 * touch.event.noise_multiplier if kind == "gaussian" else 3.0)


def answers_of(data, engine):
    """The answers of a run without noise whose coins keep rows in file order."""

    class Recorder(Replay):
        def discrete_gaussian(self, counts, sigma):
            self.answers.append(np.array(counts))
            self.asked.append(("gaussian", np.array(counts), sigma))
            return np.array(counts)

        def noisy_max(self, scores, *, epsilon, sensitivity):
            self.answers.append(int(np.argmax(scores)))
            self.asked.append(("max", np.array(scores), sensitivity))
            return self.answers[-1]

    recorder = Recorder([])
    fit(data, noise=recorder, engine=engine, noise_scale=1e-5)
    return recorder


@given(
    owners=st.lists(st.integers(0, 6), min_size=8, max_size=40),
    m=st.integers(1, 3),
    removed=st.integers(0, 6),
    bought=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_removing_one_person_changes_every_measurement_by_at_most_its_sensitivity(owners, m, removed, bought, seed):
    frame = shop(len(owners), seed).assign(who=[f"p{owner}" for owner in owners])
    columns = [dataclasses.replace(column, bounds=None) if bought else column for column in COLUMNS]
    columns = (*columns, Column(name="who", kind="identifier"))
    engine = Tree()
    recorder = answers_of(dataset(frame, columns, unit="who", m=m), engine)
    fewer = frame[frame["who"] != f"p{removed}"].reset_index(drop=True)
    replay = Replay(recorder.answers)
    fit(dataset(fewer, columns, unit="who", m=m), noise=replay, engine=engine, noise_scale=1e-5)
    assert len(replay.asked) == len(recorder.asked)
    for (kind, ours, _), (_, theirs, _) in zip(recorder.asked, replay.asked, strict=True):
        if kind == "gaussian":
            assert np.abs(ours - theirs).sum() <= m
        else:
            assert np.abs(ours - theirs).max() <= m + 1e-9


def test_without_noise_tree_marginals_match_the_data():
    data = dataset(shop(4000)[["colour", "size", "returned"]], (COLUMNS[0], COLUMNS[1], COLUMNS[4]))
    synthetic = fit(data)[0].sample(4000, rng=np.random.default_rng(0))
    for pair in (["colour", "size"],):
        real = data.frame.astype(object).where(data.frame.notna(), "null").value_counts(pair)
        ours = synthetic.astype(object).where(synthetic.notna(), "null").value_counts(pair)
        assert (real.subtract(ours, fill_value=0).abs()).max() <= 3
    assert synthetic["returned"].isna().mean() == pytest.approx(data.frame["returned"].isna().mean(), abs=0.002)


def test_without_noise_the_strongest_pairs_are_chosen():
    model, _ = fit(dataset(shop(4000)))
    edges = {frozenset((int(child), int(parent))) for child, parent in enumerate(model.distribution.parents) if parent >= 0}
    assert frozenset((1, 2)) in edges  # size - price
    assert frozenset((0, 1)) in edges or frozenset((0, 2)) in edges
    assert len(edges) == 4


def test_samples_are_typed_like_the_data_and_inside_the_facts():
    data = dataset(shop(3000))
    synthetic = fit(data)[0].sample(2500, rng=np.random.default_rng(1))
    assert synthetic.dtypes.to_dict() == data.frame.dtypes.to_dict()
    again, _ = conform(synthetic, data.schema, data.table)
    pd.testing.assert_frame_equal(again, synthetic)
    cents = synthetic["price"].dropna() * 100
    np.testing.assert_allclose(cents, cents.round(), atol=1e-6)
    assert (synthetic["sold"].dropna().astype("int64") % 86400 == 0).all()


def test_a_chain_is_kept_under_real_noise_and_a_shuffle_is_not():
    """At n = 20,000 and epsilon 1 the pair's total variation stays well under that of independent columns."""
    data = dataset(shop(20_000))
    engine = Tree()
    scale = calibrate(lambda s: engine.touches(data.table, noise_scale=s, budget=BUDGET), BUDGET)
    synthetic = fit(data, noise=SeededNoise(1), noise_scale=scale)[0].sample(20_000, rng=np.random.default_rng(2))
    shuffled = data.frame.assign(size=data.frame["size"].sample(frac=1, random_state=0).to_numpy())
    real = data.frame.value_counts(["colour", "size"], normalize=True)

    def distance(frame):
        return real.subtract(frame.value_counts(["colour", "size"], normalize=True), fill_value=0).abs().sum() / 2

    assert distance(synthetic) < 0.05
    assert distance(shuffled) > 0.3


def test_a_determined_column_is_not_measured_and_always_agrees_with_its_map():
    mapping = {"red": "warm", "green": "cold", "blue": "cold"}
    columns = (dataclasses.replace(COLUMNS[0], determines={"mood": mapping}), *COLUMNS[1:], Column(name="mood", kind="categorical"))
    frame = shop(2000)
    model, reservation = fit(dataset(frame.assign(mood=frame["colour"].map(mapping)), columns))
    synthetic = model.sample(1000, rng=np.random.default_rng(0))
    assert (synthetic["mood"] == synthetic["colour"].map(mapping)).all()
    assert not any("mood" in touch.label for touch in reservation.touches)
    assert "map of 'colour'" in model.column_reports[-1].note


def test_bought_facts_hide_what_few_share_and_are_reported():
    frame = shop(3000)
    frame.loc[0, "colour"] = "SECRET"
    frame.loc[1, "price"] = 4e6
    model, _ = fit(dataset(frame, undeclared()), noise=SeededNoise(0), noise_scale=0.5)
    synthetic = model.sample(3000, rng=np.random.default_rng(0))
    reports = {report.column: report for report in model.column_reports}
    assert set(synthetic["colour"].dropna()) == {"red", "green", "blue"}
    assert synthetic["price"].max() < 2000
    assert reports["colour"].sources["categories"] == "dp"
    assert 0 <= reports["colour"].other_share < 0.02
    assert 1 <= reports["price"].clipped < 60  # the outlier, and prices near 0 in cells that too few share
    assert {"clipped", "rows_left_out"}.isdisjoint(reports["price"].public())


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Column(name="x", kind="integer", bounds=(0, 100)), [None] * 500),
        (Column(name="x", kind="integer"), [None] * 500),
        (Column(name="x", kind="categorical"), [None] * 500),
        (Column(name="x", kind="categorical", categories=("only",), nullable=False), ["only"] * 500),
        (Column(name="x", kind="integer", bounds=(5, 6)), [5] * 500),
        (Column(name="x", kind="categorical"), [f"id{i}" for i in range(500)]),
    ],
    ids=["all null", "all null, bounds bought", "all null, categories bought", "one category", "constant", "unique values bought"],
)
def test_degenerate_columns_are_modelled_and_release_nothing_they_should_not(column, values):
    data = dataset(shop(500).assign(x=pd.Series(values, dtype=object)), (*COLUMNS, column))
    synthetic = fit(data, noise=SeededNoise(3), noise_scale=0.05)[0].sample(400, rng=np.random.default_rng(0))["x"]
    assert len(synthetic) == 400
    if values[0] is None or values[0] == "id0":
        assert synthetic.isna().mean() > 0.97
    else:
        assert (synthetic == values[0]).mean() > 0.97


def test_bounds_that_miss_all_data_give_the_nearest_bound_and_say_how_many_moved():
    column = Column(name="x", kind="integer", bounds=(1000, 2000))
    data = dataset(shop(500), COLUMNS)
    frame = data.frame.assign(x=pd.array([7] * 500, dtype="Int64"))
    table = Table(name="shop", columns=(*COLUMNS, column))
    moved = Dataset(tables={"shop": frame}, schema=Schema(tables=(table,), privacy_unit=ROW), role="train")
    model, _ = fit(moved)
    assert (model.sample(300, rng=np.random.default_rng(0))["x"] == 1000).mean() > 0.99
    assert model.column_reports[-1].clipped == 500


def test_too_few_people_are_refused_with_the_number_needed():
    with pytest.raises(PlanError, match=r"needs about \d+ people"):
        fit(dataset(shop(30)), noise=SeededNoise(0), noise_scale=10.0)


def test_a_table_without_modelled_columns_is_refused():
    with pytest.raises(SchemaError, match="no column that can be modelled"):
        fit(dataset(pd.DataFrame({"note": ["a", "b"]}), (Column(name="note", kind="text"),)))


def test_pairs_beyond_the_cell_limit_are_never_measured():
    noise = NoNoise()
    model, _ = fit(dataset(shop(2000)), noise=noise, engine=Tree(max_pair_cells=30))
    measured = [len(column.binning.bin_of_cell) and column.size for column in model.columns]
    for child, parent in enumerate(model.distribution.parents):
        if parent >= 0:
            assert measured[child] * measured[parent] <= 30


@pytest.mark.parametrize("change", [{"max_bins": 1}, {"max_pair_cells": 0}, {"cells_of_noise": 0.0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(PlanError):
        Tree(**change)


def test_a_saved_model_samples_the_same_rows(tmp_path):
    model, _ = fit(dataset(shop(800), undeclared()))
    model.save(tmp_path / "model")
    loaded = TreeModel.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(99, rng=np.random.default_rng(5)), model.sample(99, rng=np.random.default_rng(5)))
    assert loaded.column_reports == model.column_reports
    assert loaded.table == model.table


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no readable model"):
        TreeModel.load(tmp_path)


def population(data):
    return Population(name="shop", units=list(map(str, data.units())))


def test_fit_reserves_in_the_ledger_and_commits(tmp_path):
    ledger, data = Ledger.open(tmp_path / "ledger.sqlite"), dataset(shop(2000))
    model = tabular.fit(Tree(), data, budget=BUDGET, ledger=ledger, population=population(data), noise=SystemNoise())
    assert [entry.kind for entry in ledger.entries()][-2:] == ["reserve", "commit"]
    assert 0.999 < ledger.balance("shop").epsilon <= 1.0
    assert len(model.sample(10, rng=np.random.default_rng(0))) == 10
    with pytest.raises(BudgetExceededError):
        tabular.fit(Tree(), data, budget=BUDGET, ledger=ledger, population=population(data))


def test_only_training_data_is_fitted(tmp_path):
    data = dataset(shop(100))
    with pytest.raises(PlanError, match="holdout"):
        tabular.fit(
            Tree(),
            dataclasses.replace(data, role="holdout"),
            budget=BUDGET,
            ledger=Ledger.open(tmp_path / "l"),
            population=population(data),
        )


def test_scores_equal_a_naive_count():
    data, noise = dataset(shop(300)[["colour", "size"]], COLUMNS[:2]), NoNoise()
    model, _ = fit(data, noise=noise)
    (score,) = next(asked for kind, asked, _ in noise.asked if kind == "max")
    colour, size = (column.binning.bin_of_cell[column.cells.encode(data.frame[column.name])[0]] for column in model.columns)
    naive = 0.0
    for a, b in itertools.product(range(model.columns[0].size), range(model.columns[1].size)):
        naive += abs(((colour == a) & (size == b)).sum() - (colour == a).sum() * (size == b).sum() / 300)
    assert score == pytest.approx(naive, abs=1e-6)


def test_rows_drawn_in_chunks_keep_their_types_and_marginals(monkeypatch):
    columns = (*COLUMNS, Column(name="empty", kind="integer", bounds=(0, 9)), Column(name="blank", kind="categorical"))
    data = dataset(shop(2000).assign(empty=None, blank=None), columns)
    model, _ = fit(data)
    monkeypatch.setattr("privsynth.tabular.sampling.CHUNK_ROWS", 300)
    synthetic = model.sample(2000, rng=np.random.default_rng(0))
    assert len(synthetic) == 2000
    assert synthetic.dtypes.to_dict() == data.frame.dtypes.to_dict()
    # Each of 7 chunks rounds a count by less than one row.
    assert abs((synthetic["colour"] == "red").sum() - (data.frame["colour"] == "red").sum()) <= 9
