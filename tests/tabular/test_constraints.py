"""Public facts about several columns: synthetic rows keep them without exception, whatever the noise."""

import dataclasses
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise, Replay, SeededNoise, reserve

from privsynth.config import Plan
from privsynth.dataset import Dataset, conform
from privsynth.errors import PlanError, SchemaError
from privsynth.privacy import Budget
from privsynth.schema import ROW, Column, Constraint, Schema, Table
from privsynth.tabular.aim import Aim
from privsynth.tabular.constraints import broken_rows, enforce, finished_rows, recoded_frame, recoded_table
from privsynth.tabular.tree import Tree, TreeModel

BUDGET = Budget(epsilon=1.0, delta=1e-6)
DAY = 86_400


def table(*columns, constraints, target=None):
    return Table(name="t", columns=columns, constraints=constraints, target=target)


def dataset(frame, schema_table):
    schema = Schema(tables=(schema_table,), privacy_unit=ROW)
    return Dataset(tables={"t": conform(frame, schema, schema_table)[0]}, schema=schema, role="train")


def fit(data, *, noise=None, noise_scale=1e-4):
    reservation = reserve(Tree(), data.table, noise_scale=noise_scale, budget=BUDGET, noise=noise or NoNoise())
    return Tree().fit(data, reservation=reservation), reservation


def firm(n, seed=0, null_rate=0.1):
    """Rows that keep every constraint of FIRM."""
    rng = np.random.default_rng(seed)
    country = rng.choice(["CH", "DE"], n, p=[0.7, 0.3])
    opened = rng.integers(0, 4000, n)
    seen = opened + rng.integers(0, 4001 - opened)
    left = np.where(rng.random(n) < 0.5, seen + rng.integers(0, 4500 - seen), -1)
    colour = rng.integers(0, 4, n)
    gone = rng.random(n) < null_rate
    wages, rent = np.round(rng.gamma(2, 3000, n).clip(0, 90_000), 2), np.round(rng.gamma(2, 400, n).clip(0, 9_000), 2)
    frame = pd.DataFrame(
        {
            "country": country,
            "currency": np.where(country == "CH", "CHF", "EUR"),
            "opened": (opened * DAY).astype("datetime64[s]"),
            "seen": (seen * DAY).astype("datetime64[s]"),
            "left": np.where(left < 0, np.datetime64("NaT"), (np.maximum(left, 0) * DAY).astype("datetime64[s]")),
            "red": colour == 0,
            "green": colour == 1,
            "blue": colour == 2,
            "wages": wages,
            "rent": np.where(rng.random(n) < null_rate, np.nan, rent),
            "height": np.where(gone, None, rng.integers(150, 200, n)),
            "weight": np.where(gone, None, rng.integers(50, 110, n)),
        }
    )
    frame["income"] = (frame["wages"] + frame["rent"]).round(2)
    return frame


FIRM = table(
    Column(name="country", kind="categorical", categories=("CH", "DE", "FR"), nullable=False),
    Column(name="currency", kind="categorical", nullable=False),
    Column(name="opened", kind="datetime", step=DAY, bounds=(0, 4000 * DAY), nullable=False),
    Column(name="seen", kind="datetime", step=DAY, bounds=(0, 4000 * DAY), nullable=False),
    Column(name="left", kind="datetime", step=DAY, bounds=(0, 4500 * DAY)),
    Column(name="red", kind="boolean", nullable=False),
    Column(name="green", kind="boolean", nullable=False),
    Column(name="blue", kind="boolean", nullable=False),
    Column(name="wages", kind="decimal", step=0.01, bounds=(0, 90_000), nullable=False),
    Column(name="rent", kind="decimal", step=0.01, bounds=(0, 9_000)),
    Column(name="height", kind="integer", bounds=(100, 250)),
    Column(name="weight", kind="integer", bounds=(20, 250)),
    Column(name="income", kind="decimal", step=0.01, bounds=(0, 100_000)),
    constraints=(
        Constraint(kind="combinations", columns=("country", "currency"), combinations=(("CH", "CHF"), ("DE", "EUR"), ("FR", "EUR"))),
        Constraint(kind="ordered", columns=("opened", "seen", "left")),
        Constraint(kind="one_hot", columns=("red", "green", "blue"), allow_none=True),
        Constraint(kind="sum", columns=("wages", "rent"), total="income"),
        Constraint(kind="null_together", columns=("height", "weight")),
    ),
)


def violations(frame, schema_table):
    """Rows that break a constraint, counted by reading the definitions, not by the code under test."""
    count = 0
    for row in frame.itertuples(index=False):
        count += (row.country, row.currency) not in {("CH", "CHF"), ("DE", "EUR"), ("FR", "EUR")}
        dates = [value for value in (row.opened, row.seen, row.left) if not pd.isna(value)]
        count += dates != sorted(dates)
        count += row.red + row.green + row.blue > 1
        count += pd.isna(row.income) != pd.isna(row.rent)
        if not (pd.isna(row.rent) or pd.isna(row.income)):
            count += round(100 * row.wages) + round(100 * row.rent) != round(100 * row.income)
        count += pd.isna(row.height) != pd.isna(row.weight)
        count += any(
            not pd.isna(getattr(row, column.name)) and not column.bounds[0] <= getattr(row, column.name) <= column.bounds[1]
            for column in schema_table.columns
            if column.bounds and column.kind != "datetime"
        )
    return count


@given(seed=st.integers(0, 10_000), noise_scale=st.sampled_from([1e-4, 0.3, 1.0, 3.0]), n=st.integers(300, 700))
@settings(max_examples=8, deadline=None)
def test_no_synthetic_row_breaks_a_constraint_whatever_the_noise(seed, noise_scale, n):
    data = dataset(firm(n, seed), FIRM)
    assert violations(data.frame, FIRM) == 0
    try:
        model, _ = fit(data, noise=SeededNoise(seed), noise_scale=noise_scale)
    except PlanError:  # more noise than signal: nothing is released
        return
    synthetic = model.sample(300, rng=np.random.default_rng(seed))
    assert violations(synthetic, FIRM) == 0
    again, _ = conform(synthetic, data.schema, FIRM)  # types and declared facts
    pd.testing.assert_frame_equal(again, synthetic)
    assert synthetic.dtypes.to_dict() == data.frame[list(synthetic)].dtypes.to_dict()


def test_the_constraints_hold_in_samples_of_aim_too():
    data = dataset(firm(800), FIRM)
    engine = Aim()
    model = engine.fit(data, reservation=reserve(engine, FIRM, noise_scale=0.5, budget=BUDGET, noise=SeededNoise(0)))
    assert violations(model.sample(400, rng=np.random.default_rng(0)), FIRM) == 0
    known = pd.DataFrame({"country": ["DE", "CH"] * 100, "opened": (np.arange(200) * 20 * DAY).astype("datetime64[s]")})
    rows = model.sample(200, rng=np.random.default_rng(0), given=known)
    assert violations(rows, FIRM) == 0
    assert rows["currency"].tolist() == ["EUR", "CHF"] * 100


class Recorded(Replay):
    """Without answers it returns exact counts and keeps them; with answers it replays them."""

    def __init__(self, answers=None):
        super().__init__(answers or [])
        self.replays = answers is not None

    def _answer(self, kind, asked, own):
        self.asked.append((kind, np.array(asked)))
        if self.replays:
            return self.answers.pop(0)
        self.answers.append(own)
        return own

    def discrete_gaussian(self, counts, sigma):
        return self._answer("gaussian", counts, np.array(counts))

    def noisy_max(self, scores, *, epsilon, sensitivity):
        return self._answer("max", scores, int(np.argmax(scores)))


@given(seed=st.integers(0, 99), removed=st.integers(0, 39))
@settings(max_examples=10, deadline=None)
def test_removing_one_person_changes_no_measurement_of_a_recoded_table_by_more_than_one(seed, removed):
    data = dataset(firm(40, seed), FIRM)
    fewer = dataset(firm(40, seed).drop(index=[removed]).reset_index(drop=True), FIRM)
    recorder = Recorded()
    fit(data, noise=recorder, noise_scale=1e-5)
    replay = Recorded(list(recorder.answers))
    fit(fewer, noise=replay, noise_scale=1e-5)
    assert len(replay.asked) == len(recorder.asked)
    for (kind, ours), (_, theirs) in zip(recorder.asked, replay.asked, strict=True):
        distance = np.abs(ours - theirs)
        assert (distance.sum() if kind == "gaussian" else distance.max()) <= 1 + 1e-9


def test_without_constraints_the_same_model_breaks_them():
    """The positive control of the property test: it finds violations where there are some."""
    free = dataclasses.replace(FIRM, constraints=())
    data = dataset(firm(600), free)
    facts = tuple(dataclasses.replace(c, categories=("CHF", "EUR")) if c.name == "currency" else c for c in free.columns)
    data = dataset(data.frame, dataclasses.replace(free, columns=facts))
    model, _ = fit(data, noise=SeededNoise(1), noise_scale=0.3)
    assert violations(model.sample(400, rng=np.random.default_rng(0)), FIRM) > 30


def test_recoding_and_back_returns_the_rows():
    data = dataset(firm(200), FIRM)
    recoded = recoded_frame(data.frame, FIRM)
    inner = recoded_table(FIRM)
    assert "income" not in inner.names
    assert inner["country + currency"].categories == ('["CH", "CHF"]', '["DE", "EUR"]', '["FR", "EUR"]')
    back = finished_rows({name: recoded[name] for name in inner.names}, FIRM, rng=np.random.default_rng(0))
    pd.testing.assert_frame_equal(back, data.frame)


def test_a_total_and_the_columns_of_a_tuple_are_not_measured_alone():
    _, reservation = fit(dataset(firm(500), FIRM))
    measured = {touch.label.removeprefix("one-way marginal of ") for touch in reservation.spent}
    assert measured.isdisjoint({"income", "country", "currency", "red", "green", "blue"})
    assert {"country + currency", "red + green + blue", "wages", "rent"} <= measured


def test_without_noise_the_share_of_each_combination_is_kept():
    data = dataset(firm(3000), FIRM)
    synthetic = fit(data)[0].sample(3000, rng=np.random.default_rng(0))
    for names in (["country", "currency"], ["red", "green", "blue"]):
        real, ours = data.frame.value_counts(names), synthetic.value_counts(names)
        assert real.subtract(ours, fill_value=0).abs().max() <= 2


def test_ordering_keeps_the_marginals_of_correlated_dates():
    """Without noise each date's distribution stays near the data's: mean distance of quantiles below 2.5 % of the range."""
    data = dataset(firm(5000), FIRM)
    synthetic = fit(data)[0].sample(5000, rng=np.random.default_rng(0))
    for name in ("opened", "seen"):
        grid = np.linspace(0.02, 0.98, 25)
        ours, real = (np.quantile(frame[name].astype("int64") / DAY, grid) for frame in (synthetic, data.frame))
        assert np.abs(ours - real).mean() < 100


BOUGHT = table(
    Column(name="town", kind="categorical", nullable=False),
    Column(name="region", kind="categorical", nullable=False),
    Column(name="age", kind="integer", bounds=(0, 99), nullable=False),
    constraints=(Constraint(kind="combinations", columns=("town", "region")),),
)


def towns(n):
    rng = np.random.default_rng(0)
    town = rng.integers(0, 6, n)
    return pd.DataFrame({"town": [f"t{k}" for k in town], "region": [f"r{k // 2}" for k in town], "age": rng.integers(20, 60, n)})


def test_pairs_can_be_bought_with_a_touch_of_their_own_and_rare_ones_stay_hidden():
    frame = towns(2000)
    frame.loc[0, ["town", "region"]] = ["SECRET", "r0"]
    model, reservation = fit(dataset(frame, BOUGHT), noise=SeededNoise(0), noise_scale=0.3)
    assert next(touch.label for touch in reservation.spent) == "categories of town + region"
    synthetic = model.sample(2000, rng=np.random.default_rng(0))
    assert set(map(tuple, synthetic[["town", "region"]].to_numpy())) == {(f"t{k}", f"r{k // 2}") for k in range(6)}
    report = model.column_reports[0]
    assert report.sources["categories"] == "dp"
    assert "town + region" in report.note


def test_pairs_that_nobody_shares_cannot_be_bought_for_columns_without_nulls():
    frame = towns(300).assign(town=[f"id{k}" for k in range(300)])
    with pytest.raises(PlanError, match="cannot be bought"):
        fit(dataset(frame, BOUGHT), noise=NoNoise(), noise_scale=0.3)


def test_a_model_with_constraints_survives_saving(tmp_path):
    model, _ = fit(dataset(firm(500), FIRM))
    model.save(tmp_path)
    loaded = TreeModel.load(tmp_path)
    assert loaded.table == model.table
    pd.testing.assert_frame_equal(loaded.sample(50, rng=np.random.default_rng(1)), model.sample(50, rng=np.random.default_rng(1)))


# --- rows that break a constraint --------------------------------------------------------------------------------------------


def broken_firm():
    frame = firm(100, null_rate=0.0).astype({"height": object, "weight": object})
    frame.loc[3, "seen"] = frame.loc[3, "opened"] - np.timedelta64(2, "D")
    frame.loc[5, "income"] += 1.0
    frame.loc[7, "height"] = None
    return frame


def test_rows_that_break_a_constraint_are_counted_and_stop_without_a_value():
    typed = dataset(broken_firm(), FIRM).frame
    counts = {item.kind: int(broken_rows(typed, item, FIRM).sum()) for item in FIRM.constraints}
    assert counts == {"combinations": 0, "ordered": 1, "one_hot": 0, "sum": 1, "null_together": 1}
    with pytest.raises(SchemaError, match=r"'opened <= seen <= left' \(ordered\) is broken by 1 rows, in record 4") as caught:
        enforce(typed, FIRM)
    assert "1970" not in str(caught.value)


def test_clip_moves_broken_rows_only_and_counts_them():
    typed = dataset(broken_firm(), FIRM).frame
    mended, moved = enforce(typed, FIRM, on_violation="clip")
    assert moved == {"opened <= seen <= left": 1, "income = wages + rent": 1, "height null with weight": 1}
    assert violations(mended, FIRM) == 0
    untouched = ~np.isin(np.arange(100), [3, 5, 7])
    pd.testing.assert_frame_equal(mended[untouched], typed[untouched])


def test_a_broken_combination_of_columns_without_nulls_stops_even_with_clip():
    typed = dataset(firm(50), FIRM).frame
    typed.loc[0, "currency"] = "XXX"
    with pytest.raises(SchemaError, match="country") as caught:
        enforce(typed, FIRM, on_violation="clip")
    assert "XXX" not in str(caught.value)


# --- facts that contradict each other -------------------------------------------------------------------------------------------

A = Column(name="a", kind="integer", bounds=(10, 20), nullable=False)
B = Column(name="b", kind="integer", bounds=(0, 9), nullable=False)
C = Column(name="c", kind="integer", bounds=(0, 12))
WORD = Column(name="word", kind="categorical", categories=("x", "y"), nullable=False)
FLAG = Column(name="flag", kind="boolean", nullable=False)


@pytest.mark.parametrize(
    ("columns", "constraints", "match"),
    [
        ((A, B), [Constraint(kind="ordered", columns=("a", "b"))], "contradicts the bounds of 'a' and 'b'"),
        ((B, C), [Constraint(kind="ordered", columns=("b", "c")), Constraint(kind="ordered", columns=("c", "b"))], "contradict each other"),
        (
            (A, B, C),
            [Constraint(kind="ordered", columns=("b", "c")), Constraint(kind="ordered", columns=("b", "a"))],
            r"join them, for example a <= b <= c",
        ),
        ((A, B, C), [Constraint(kind="sum", columns=("a", "b"), total="c")], r"add up to \[10, 29\]"),
        (
            (Column(name="d", kind="integer", nullable=False), B, C),
            [Constraint(kind="sum", columns=("d", "b"), total="c")],
            "declare the parts' bounds",
        ),
        ((WORD, A), [Constraint(kind="combinations", columns=("word", "a"), combinations=(("z", "12"),))], "word='z'"),
        ((WORD, A), [Constraint(kind="combinations", columns=("word", "a"), combinations=(("x", "99"),))], "a='99'"),
        ((WORD, A), [Constraint(kind="combinations", columns=("word", "a"), combinations=((None, "12"),))], "word=None"),
        ((WORD, FLAG), [Constraint(kind="one_hot", columns=("word", "flag"))], "expected boolean"),
        ((WORD, A), [Constraint(kind="ordered", columns=("word", "a"))], "expected integer or decimal or datetime"),
        ((A, B), [Constraint(kind="null_together", columns=("a", "b"))], "declared without nulls"),
        ((A, dataclasses.replace(A, name="b", step=5)), [Constraint(kind="ordered", columns=("a", "b"))], "same step"),
        ((A, B), [Constraint(kind="ordered", columns=("a", "z"))], "'z' is not in table"),
        (
            (dataclasses.replace(WORD, determines={"a": {"x": "11"}}), A, C),
            [Constraint(kind="ordered", columns=("a", "c"))],
            "follows from 'word' by a map",
        ),
        (
            (Column(name="a", kind="integer", pii="ID"), B),
            [Constraint(kind="ordered", columns=("b", "a"))],
            "which is not modelled",
        ),
        ((C, dataclasses.replace(C, name="d"), A), [Constraint(kind="sum", columns=("c", "d"), total="a")], "may be null"),
    ],
)
def test_contradictory_constraints_are_refused(columns, constraints, match):
    with pytest.raises(SchemaError, match=match):
        table(*columns, constraints=tuple(constraints))


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"kind": "orderd", "columns": ("a", "b")}, "did you mean 'ordered'"),
        ({"kind": "ordered", "columns": ("a",)}, "at least two"),
        ({"kind": "sum", "columns": ("a", "b")}, "total=None"),
        ({"kind": "ordered", "columns": ("a", "b"), "combinations": (("1", "2"),)}, "expected kind combinations"),
        ({"kind": "combinations", "columns": ("a", "b"), "combinations": (("1",),)}, "one value for each column"),
        ({"kind": "ordered", "columns": ("a", "b"), "allow_none": True}, "expected kind one_hot"),
    ],
)
def test_a_constraint_with_facts_of_another_kind_is_refused(facts, match):
    with pytest.raises(SchemaError, match=match):
        Constraint(**facts)


def test_a_value_moved_to_a_bound_stays_on_the_grid():
    columns = (Column(name="a", kind="integer", bounds=(0, 100), step=10), Column(name="b", kind="integer", bounds=(0, 55), step=10))
    ordered = table(*columns, constraints=(Constraint(kind="ordered", columns=("a", "b")),))
    frame = pd.DataFrame({"a": [70], "b": [20]}).astype("Int64")
    result = finished_rows({"a": frame["a"], "b": frame["b"]}, ordered, rng=np.random.default_rng(0))
    assert result.to_numpy().tolist() == [[20, 50]]


@given(
    rows=st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, 60))] * 3), min_size=1, max_size=12),
    bounds=st.lists(st.tuples(st.integers(0, 30), st.integers(31, 60)), min_size=3, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_any_values_inside_their_bounds_are_put_in_order_inside_their_bounds(rows, bounds):
    columns = tuple(Column(name=name, kind="integer", bounds=pair) for name, pair in zip("abc", bounds, strict=True))
    ordered = table(*columns, constraints=(Constraint(kind="ordered", columns=("a", "b", "c")),))
    raw = [[None if v is None else min(max(v, low), high) for v, (low, high) in zip(row, bounds, strict=True)] for row in rows]
    frame = pd.DataFrame(raw, columns=list("abc")).astype("Int64")
    result = finished_rows({name: frame[name] for name in "abc"}, ordered, rng=np.random.default_rng(0))
    for before, after in zip(raw, result.astype(object).where(result.notna(), None).to_numpy(), strict=True):
        assert [v is None for v in before] == [v is None for v in after]
        present = [v for v in after if v is not None]
        assert present == sorted(present)
        assert all(v is None or low <= v <= high for v, (low, high) in zip(after, bounds, strict=True))
        kept = [v for v in before if v is not None]
        if kept == sorted(kept):
            assert list(after) == before


# --- in a plan ---------------------------------------------------------------------------------------------------------------

PLAN = {
    "dataset": {"name": "d", "privacy_unit": "row"},
    "tables": {
        "t": {
            "path": "t.csv",
            "constraints": [
                {"kind": "ordered", "columns": ["a", "b"]},
                {"kind": "combinations", "columns": ["x", "y"], "file": "pairs.csv"},
            ],
            "columns": {
                "a": {"kind": "integer", "bounds": [0, 9]},
                "b": {"kind": "integer", "bounds": [0, 9]},
                "x": {"kind": "categorical"},
                "y": {"kind": "categorical"},
            },
        }
    },
    "privacy": {"epsilon": 1.0, "delta": 1e-6},
    "synthesis": {"rows": 10},
    "release": {"folder": "out"},
}


def test_a_plan_declares_constraints_with_public_files(tmp_path):
    (tmp_path / "pairs.csv").write_text("y,x,other\n1,a,k\n2,b,k\n1,a,l\n,c,m\n", encoding="utf-8")
    constraints = Plan.from_dict(PLAN, base=tmp_path).declared_schema().tables[0].constraints
    assert constraints[0] == Constraint(kind="ordered", columns=("a", "b"))
    assert constraints[1].combinations == (("a", "1"), ("b", "2"), ("c", None))


def test_a_wrong_constraint_in_a_plan_is_one_line(tmp_path):
    with pytest.raises(PlanError, match=r"pairs.csv.* cannot be read"):
        Plan.from_dict(PLAN, base=tmp_path)
    (tmp_path / "pairs.csv").write_text("x\n1\n", encoding="utf-8")
    with pytest.raises(PlanError, match="lacks a column"):
        Plan.from_dict(PLAN, base=tmp_path)
    section = {**PLAN["tables"]["t"], "constraints": [{"kind": "ordered", "colums": ["a", "b"]}]}
    with pytest.raises(PlanError, match=r"did you mean .columns.|columns. is missing"):
        Plan.from_dict({**PLAN, "tables": {"t": section}}, base=tmp_path)
    section = {**PLAN["tables"]["t"], "constraints": [{"kind": "order", "columns": ["a", "b"]}]}
    with pytest.raises(PlanError, match="kind"):
        Plan.from_dict({**PLAN, "tables": {"t": section}}, base=tmp_path)


def test_the_plan_in_the_documents_is_valid(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    (tmp_path / "wards.csv").write_text("ward,specialty\nA1,surgery\nA2,\n", encoding="utf-8")
    part = tomllib.loads(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    section = part["tables"]["visits"]
    section["columns"]["specialty"]["nullable"] = True  # the file above has an empty cell
    table = Plan.from_dict({**PLAN, "tables": part["tables"]}, base=tmp_path).declared_schema().tables[0]
    assert [item.kind for item in table.constraints] == ["ordered", "sum", "combinations", "one_hot", "null_together"]
    assert table["device"].bounds == (10**18, 10**18 + 99_999)
