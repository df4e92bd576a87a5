"""What a table really holds, from the plan through the model to the written file and back."""

import dataclasses
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise, SeededNoise, reserve

from privsynth import sources, tabular
from privsynth.config import Plan
from privsynth.dataset import Dataset, conform
from privsynth.errors import PlanError, SchemaError
from privsynth.privacy import Budget, Ledger, SystemNoise
from privsynth.privacy.ledger import Population
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.tabular.binning import merge_rare
from privsynth.tabular.encode import numeric_cells, prefix_groups
from privsynth.tabular.prepare import Shares
from privsynth.tabular.tree import Tree

BUDGET = Budget(epsilon=1.0, delta=1e-6)
BIG = 2**60 + 1


def one_column(column, values, *, on_violation="stop"):
    table = Table(name="t", columns=(column,))
    schema = Schema(tables=(table,), privacy_unit=ROW)
    typed, clipped = conform(pd.DataFrame({column.name: values}, dtype=object), schema, table, on_violation=on_violation)
    return Dataset(tables={"t": typed}, schema=schema, role="train"), clipped


def sampled(column, values, n=500, noise_scale=1e-4, noise=None):
    data, _ = one_column(column, values)
    reservation = reserve(Tree(), data.table, noise_scale=noise_scale, budget=BUDGET, noise=noise or NoNoise())
    return Tree().fit(data, reservation=reservation), data


def plan(columns, **table):
    return Plan.from_dict(
        {
            "dataset": {"name": "d", "privacy_unit": "row"},
            "tables": {"t": {"path": "t.csv", "columns": columns, **table}},
            "privacy": {"epsilon": 1.0, "delta": 1e-6},
            "synthesis": {"rows": 10},
            "release": {"folder": "out"},
        }
    )


# --- integers beyond 2**53 ---------------------------------------------------------------------------------------------------


@given(low=st.integers(-(2**61), 2**61), span=st.integers(1, 2**61), step=st.sampled_from([1, 3, 10]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_integers_of_any_size_keep_their_cell_and_their_bounds_exactly(low, span, step, data):
    column = Column(name="x", kind="integer", bounds=(low, low + span), step=step, nullable=False)
    cells = numeric_cells(column)
    index = data.draw(st.lists(st.integers(0, span // step), min_size=1, max_size=10))
    values = pd.Series(pd.array([low + step * i for i in index], dtype="Int64"))
    codes, moved = cells.encode(values)
    assert moved == 0
    drawn = cells.decode(codes, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(cells.encode(drawn)[0], codes)
    assert all(low <= value <= low + span and (value - low) % step == 0 for value in drawn.tolist())


def test_integers_beyond_float_precision_survive_from_the_plan_to_the_file(tmp_path):
    table = plan({"account": {"kind": "integer", "bounds": [BIG, BIG + 3], "nullable": False}}).declared_schema().tables[0]
    assert table["account"].bounds == (BIG, BIG + 3)
    model, _ = sampled(table["account"], [str(BIG), str(BIG + 1), str(BIG + 3)] * 200)
    rows = model.sample(600, rng=np.random.default_rng(0))
    assert set(rows["account"].tolist()) == {BIG, BIG + 1, BIG + 3}
    for ending in ("csv", "parquet"):
        sources.write(rows, tmp_path / f"f.{ending}", table=table)
        back, _ = conform(sources.read(tmp_path / f"f.{ending}").frame, Schema(tables=(table,), privacy_unit=ROW), table)
        assert back["account"].tolist() == rows["account"].tolist()


# --- decimals, dates, truth values --------------------------------------------------------------------------------------------


def test_decimals_lie_on_their_grid_and_are_written_with_their_scale(tmp_path):
    column = Column(name="x", kind="decimal", bounds=(-1.25, 2.0), step=0.05, nullable=True)
    model, data = sampled(column, ["1.5", "-1.25", "2", None] * 100)
    rows = model.sample(400, rng=np.random.default_rng(0))
    sources.write(rows, tmp_path / "f.csv", table=data.table)
    cells = (tmp_path / "f.csv").read_text().splitlines()[1:]
    assert {"1.50", "-1.25", "2.00"} <= set(cells) <= {"1.50", "-1.25", "2.00", "", '""'}
    sources.write(rows, tmp_path / "f.parquet", table=data.table)
    shown = sources.read(tmp_path / "f.parquet").frame["x"].dropna()
    assert set(shown) == {Decimal("1.50"), Decimal("-1.25"), Decimal("2.00")}
    back, _ = conform(sources.read(tmp_path / "f.parquet").frame, data.schema, data.table)
    pd.testing.assert_frame_equal(back, rows)


ZURICH = Column(name="at", kind="datetime", step=3600, zone="Europe/Zurich", bounds=(1_700_000_000 // 3600 * 3600, 1_760_000_400))


def test_times_with_a_zone_are_stored_in_utc_and_written_back_in_the_zone(tmp_path):
    raw = ["2024-07-01T12:00:00", "2024-01-01T12:00:00", "2024-07-01T12:00:00+00:00", "2024-01-01T12:00:00Z"]
    data, _ = one_column(ZURICH, raw)
    assert data.frame["at"].astype(str).tolist() == [
        "2024-07-01 10:00:00",
        "2024-01-01 11:00:00",
        "2024-07-01 12:00:00",
        "2024-01-01 12:00:00",
    ]
    sources.write(data.frame, tmp_path / "f.csv", table=data.table)
    assert (tmp_path / "f.csv").read_text().splitlines()[1:3] == ["2024-07-01T12:00:00+0200", "2024-01-01T12:00:00+0100"]
    for ending in ("csv", "parquet"):
        sources.write(data.frame, tmp_path / f"f.{ending}", table=data.table)
        pd.testing.assert_frame_equal(conform(sources.read(tmp_path / f"f.{ending}").frame, data.schema, data.table)[0], data.frame)


def test_an_hour_that_a_zone_skips_is_no_time_and_one_that_it_repeats_is_its_first_pass():
    data, _ = one_column(ZURICH, ["2024-10-27T02:30:00"])
    assert str(data.frame["at"][0]) == "2024-10-27 00:30:00"
    with pytest.raises(SchemaError, match="1 values cannot be read as datetime"):
        one_column(ZURICH, ["2024-03-31T02:30:00"])


def test_a_zone_is_declared_in_the_plan_and_bounds_are_meant_in_it():
    section = {"kind": "datetime", "step": "minute", "zone": "Europe/Zurich"}
    from datetime import datetime

    column = plan({"at": {**section, "bounds": [datetime(2024, 1, 1), datetime(2024, 7, 1)]}}).declared_schema().tables[0]["at"]
    assert column.bounds == (1_704_063_600.0, 1_719_784_800.0)
    model, _ = sampled(column, ["2024-01-01T00:00:00", "2024-06-30T23:59:00"] * 200)
    local = model.sample(200, rng=np.random.default_rng(0))["at"].dt.tz_localize("UTC").dt.tz_convert("Europe/Zurich")
    assert (local.dt.year == 2024).all()


@pytest.mark.parametrize(
    ("section", "match"),
    [
        ({"kind": "datetime", "zone": "Europe/Zurich"}, "a day has no zone"),
        ({"kind": "datetime", "step": "hour", "zone": "Europe/Zurch"}, "did you mean 'Europe/Zurich'"),
        ({"kind": "integer", "zone": "Europe/Zurich"}, "expected kind datetime"),
        ({"kind": "integer", "point_masses": [0]}, "with declared bounds"),
        ({"kind": "integer", "bounds": [1, 9], "point_masses": [0.0]}, "outside its bounds"),
        ({"kind": "categorical", "prefix": [3, 5]}, "longest first"),
        ({"kind": "integer", "prefix": [3]}, "for kind categorical"),
    ],
)
def test_facts_that_do_not_fit_their_kind_are_refused(section, match):
    with pytest.raises(PlanError, match=match):
        plan({"x": section})


def test_truth_values_and_their_nulls_survive(tmp_path):
    model, data = sampled(Column(name="x", kind="boolean"), ["yes", "no", "", "1", "f"] * 100)
    rows = model.sample(500, rng=np.random.default_rng(0))
    assert rows["x"].value_counts(dropna=False).to_dict() == {True: 200, False: 200, pd.NA: 100}
    sources.write(rows, tmp_path / "f.csv", table=data.table)
    pd.testing.assert_frame_equal(conform(sources.read(tmp_path / "f.csv").frame, data.schema, data.table)[0], rows)


def test_a_constant_category_stays_constant():
    model, _ = sampled(Column(name="x", kind="categorical", categories=("CH",), nullable=False), ["CH"] * 500)
    assert set(model.sample(50, rng=np.random.default_rng(0))["x"]) == {"CH"}


# --- point masses ------------------------------------------------------------------------------------------------------------


def spiky(n=20_000):
    rng = np.random.default_rng(0)
    return [0 if u < 0.9 else 7298 if u < 0.93 else int(v) for u, v in zip(rng.random(n), rng.integers(1, 100_000, n), strict=True)]


def test_a_declared_point_mass_has_its_own_cell_and_keeps_its_share():
    bounds = (0, 99_999)
    declared = Column(name="x", kind="integer", bounds=bounds, point_masses=(7298,), nullable=False)
    cells = numeric_cells(declared)
    cell = np.searchsorted(cells.edges, 7298, side="right") - 1
    assert cells.widths[cell] == 1
    values = spiky()
    rows = sampled(declared, values, noise_scale=1.0, noise=SeededNoise(0))[0].sample(20_000, rng=np.random.default_rng(0))
    # Noise of the one-column model is below 30 rows of 20,000.
    assert (rows["x"] == 7298).mean() == pytest.approx(0.03, abs=0.005)
    assert (rows["x"] == 0).mean() == pytest.approx(0.9, abs=0.01)
    undeclared = dataclasses.replace(declared, point_masses=())
    rows = sampled(undeclared, values, noise_scale=1.0, noise=SeededNoise(0))[0].sample(20_000, rng=np.random.default_rng(0))
    assert (rows["x"] == 7298).mean() < 0.005  # the control: undeclared, the mass is spread over its cell


# --- many categories, codes with prefixes --------------------------------------------------------------------------------------


def zip_codes(n=4000):
    """941xx is common and spread over 40 codes, 100xx has one common code, 5xxxx is rare."""
    rng = np.random.default_rng(0)
    codes = np.where(
        rng.random(n) < 0.55, 94100 + rng.integers(0, 40, n), np.where(rng.random(n) < 0.97, 10001, 50000 + rng.integers(0, 90, n))
    )
    return [str(code) for code in codes]


CODES = tuple(str(code) for code in (*range(94100, 94140), *range(10001, 10021), *range(50000, 50090)))


def test_codes_too_rare_alone_are_modelled_by_their_prefix_and_completed_from_the_public_list():
    column = Column(name="zip", kind="categorical", categories=CODES, prefix=(3,), nullable=False)
    values = zip_codes()
    model, _ = sampled(column, values, noise_scale=15.0, noise=SeededNoise(0))  # sigma 34 a code, and about 55 rows of each 941xx
    rows = model.sample(4000, rng=np.random.default_rng(0))
    assert set(rows["zip"]) <= set(CODES)
    real, ours = (pd.Series(list(codes)).str[:3].value_counts(normalize=True) for codes in (values, rows["zip"]))
    # Noise of the sum of 40 codes: 212 of 4,000 rows; 3 sigma is .16.
    assert ours["941"] == pytest.approx(real["941"], abs=0.16)
    assert len(set(rows["zip"][rows["zip"].str.startswith("941")])) > 30
    binning = model.columns[0].binning
    assert binning.size < 12
    flat, _ = sampled(dataclasses.replace(column, prefix=()), values, noise_scale=15.0, noise=SeededNoise(0))
    spread = flat.sample(4000, rng=np.random.default_rng(0))["zip"].str[:3].value_counts(normalize=True)
    assert abs(spread["941"] - real["941"]) > 0.2  # the control: without the hierarchy all rare codes share one bin


def test_bins_of_groups_place_every_cell_once_and_keep_other_apart():
    noisy = np.array([500.0, 5, 6, 7, 4, 3, 200, 0])
    groups = (np.array([0, 0, 0, 0, 1, 1, -1, -1]),)
    binning = merge_rare(noisy, 3.0, n_bins=6, other=6, groups=groups)
    bins = binning.bin_of_cell
    assert set(bins) == set(range(binning.size))
    assert list(bins).count(bins[0]) == 1
    assert bins[1] == bins[2] == bins[3] != bins[4]
    assert list(bins).count(bins[6]) == 1


@given(st.lists(st.integers(-20, 900), min_size=2, max_size=60), st.integers(2, 20), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_grouped_bins_are_never_more_than_wanted(counts, n_bins, levels):
    noisy = np.array(counts, dtype=float)
    groups = tuple(np.arange(len(noisy)) // 3**level for level in range(1, levels + 1))
    binning = merge_rare(noisy, 10.0, n_bins=n_bins, groups=groups)
    assert binning.size <= n_bins
    assert set(binning.bin_of_cell) == set(range(binning.size))


def test_prefixes_group_bought_categories_but_neither_other_nor_null():
    from privsynth.tabular.encode import CategoryCells

    cells = CategoryCells(column=Column(name="z", kind="categorical", categories=("11a", "11b", "2"), prefix=(2, 1)), has_other=True)
    assert [group.tolist() for group in prefix_groups(cells)] == [[0, 0, 1, -1, -1], [0, 0, 1, -1, -1]]


def test_a_thousand_categories_fit_with_few_bins():
    rng = np.random.default_rng(0)
    names = tuple(f"n{k}" for k in range(1000))
    values = [names[k] for k in np.minimum(rng.geometric(0.01, 5000), 1000) - 1]
    model, _ = sampled(
        Column(name="x", kind="categorical", categories=names, nullable=False), values, noise_scale=1.0, noise=SeededNoise(0)
    )
    assert model.columns[0].size <= 2 * Tree().max_bins
    assert len(set(model.sample(5000, rng=rng)["x"])) > 100


# --- bounds and identifiers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["integer", "decimal"])
def test_bounds_that_exclude_every_value_are_refused_even_with_clip(kind):
    column = Column(name="age", kind=kind, bounds=(18, 110))
    with pytest.raises(SchemaError, match="bounds of column 'age' exclude all of its 3 values"):
        one_column(column, ["1950", "1960", "1970", None], on_violation="clip")
    _, clipped = one_column(column, ["1950", "1960", "40"], on_violation="clip")
    assert clipped == {"age": 2}


PEOPLE = Table(
    name="t",
    max_rows_per_person=2,
    columns=(Column(name="card", kind="identifier"), Column(name="spent", kind="integer", bounds=(0, 9), nullable=False)),
)


def test_an_identifier_that_repeats_is_refused_when_a_row_is_said_to_be_a_person():
    raw = pd.DataFrame({"card": ["a", "b", "a", None, None], "spent": [1, 2, 3, 4, 5]})
    with pytest.raises(SchemaError, match=r"identifier 'card' repeats in 2 rows .*privacy_unit = 'card'"):
        conform(raw, Schema(tables=(PEOPLE,), privacy_unit=ROW), PEOPLE)
    conform(raw.drop(index=[2]), Schema(tables=(PEOPLE,), privacy_unit=ROW), PEOPLE)
    personal = PEOPLE.with_columns([Column(name="card", kind="identifier", pii="PERSON"), PEOPLE["spent"]])
    conform(raw, Schema(tables=(personal,), privacy_unit=ROW), personal)  # names may repeat
    conform(raw.dropna(), Schema(tables=(PEOPLE,), privacy_unit="card"), PEOPLE)


def test_a_person_with_many_rows_moves_no_count_by_more_than_allowed(tmp_path):
    """One person has 600 rows of a value nobody else has; with at most 2 measured, the release shows next to nothing of it."""
    rng = np.random.default_rng(0)
    others = pd.DataFrame({"card": [f"c{k}" for k in range(3000)], "spent": rng.integers(0, 5, 3000)})
    raw = pd.concat([others, pd.DataFrame({"card": ["heavy"] * 600, "spent": 9})], ignore_index=True)
    schema = Schema(tables=(PEOPLE,), privacy_unit="card")
    data = Dataset(tables={"t": conform(raw, schema, PEOPLE)[0]}, schema=schema, role="train")
    population = Population(name="d", units=list(map(str, data.units())))
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    model = tabular.fit(Tree(), data, budget=BUDGET, ledger=ledger, population=population, noise=SystemNoise())
    report = model.column_reports[0]
    assert report.rows_left_out == 598
    shown = model.sample(3000, rng=rng)["spent"]
    assert (shown == 9).mean() < 0.02  # 2 rows and noise of at most about 20


def test_too_few_people_are_told_which_epsilon_would_do():
    data, _ = one_column(Column(name="x", kind="integer", bounds=(0, 9)), ["1", "2"] * 40)
    table = Table(name="t", columns=tuple(Column(name=f"x{k}", kind="boolean") for k in range(5)))
    rows = pd.DataFrame({f"x{k}": pd.array([True, False] * 40, dtype="boolean") for k in range(5)})
    data = Dataset(tables={"t": rows}, schema=Schema(tables=(table,), privacy_unit=ROW), role="train")
    with pytest.raises(PlanError, match=r"needs about \d+ people; .* or epsilon of about \d+"):
        Tree(shares=Shares()).fit(data, reservation=reserve(Tree(), table, noise_scale=20.0, budget=BUDGET, noise=SeededNoise(0)))
