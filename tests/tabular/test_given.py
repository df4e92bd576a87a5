"""Sampling that people ask for: given values, a rebalanced target, imputation, chunks."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise, SeededNoise, reserve

from privsynth import sources
from privsynth.dataset import Dataset, conform
from privsynth.errors import PlanError, SchemaError
from privsynth.privacy import Budget
from privsynth.schema import ROW, Column, Constraint, Schema, Table
from privsynth.tabular.inference import TreeDistribution
from privsynth.tabular.tree import Tree

DAY = 86_400
BUDGET = Budget(epsilon=1.0, delta=1e-6)
TABLE = Table(
    name="t",
    target="churned",
    columns=(
        Column(
            name="town",
            kind="categorical",
            nullable=False,
            categories=("A", "B", "C"),
            determines={"region": {"A": "n", "B": "n", "C": "s"}},
        ),
        Column(name="region", kind="categorical", nullable=False),
        Column(name="age", kind="integer", bounds=(0, 99)),
        Column(name="income", kind="decimal", step=0.01, bounds=(0, 200_000)),
        Column(name="opened", kind="datetime", step=DAY, bounds=(0, 3000 * DAY), nullable=False),
        Column(name="seen", kind="datetime", step=DAY, bounds=(0, 3000 * DAY), nullable=False),
        Column(name="size", kind="categorical", categories=("s", "m", "l"), nullable=False),
        Column(name="grams", kind="integer", bounds=(1, 900), nullable=False),
        Column(name="parcels", kind="integer", bounds=(0, 9), nullable=False),
        Column(name="letters", kind="integer", bounds=(0, 9), nullable=False),
        Column(name="items", kind="integer", bounds=(0, 18), nullable=False),
        Column(name="churned", kind="boolean", nullable=False),
    ),
    constraints=(
        Constraint(kind="ordered", columns=("opened", "seen")),
        Constraint(
            kind="combinations",
            columns=("size", "grams"),
            combinations=tuple((s, str(g)) for s, g in zip("smml", (10, 50, 80, 400), strict=True)),
        ),
        Constraint(kind="sum", columns=("parcels", "letters"), total="items"),
    ),
)
SCHEMA = Schema(tables=(TABLE,), privacy_unit=ROW)


def frame(n, seed=0):
    rng = np.random.default_rng(seed)
    town = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    age = np.clip(rng.normal(30 + 15 * town, 8, n), 0, 99).astype(int)
    opened = rng.integers(0, 2900, n)
    kind = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    parcels, letters = rng.integers(0, 5, n), rng.integers(0, 9, n)
    return pd.DataFrame(
        {
            "town": np.array(["A", "B", "C"])[town],
            "region": np.array(["n", "n", "s"])[town],
            "age": np.where(rng.random(n) < 0.1, None, age),
            "income": np.round(1000.0 * age + rng.random(n) * 500, 2),
            "opened": (opened * DAY).astype("datetime64[s]"),
            "seen": ((opened + rng.integers(0, 3000 - opened)) * DAY).astype("datetime64[s]"),
            "size": np.array(list("smml"))[kind],
            "grams": np.array([10, 50, 80, 400])[kind],
            "parcels": parcels,
            "letters": letters,
            "items": parcels + letters,
            "churned": rng.random(n) < 0.1 + 0.3 * (town == 2),
        }
    )


@pytest.fixture(scope="module")
def model():
    data = Dataset(tables={"t": conform(frame(6000), SCHEMA, TABLE)[0]}, schema=SCHEMA, role="train")
    reservation = reserve(Tree(), TABLE, noise_scale=1e-3, budget=BUDGET, noise=SeededNoise(0))
    return Tree().fit(data, reservation=reservation)


def rng(seed=0):
    return np.random.default_rng(seed)


def random_tree(seed, sizes=(2, 3, 2, 3), parents=(-1, 0, 1, 0)):
    generator = np.random.default_rng(seed)
    conditionals = {k: generator.dirichlet(np.ones(sizes[k]), sizes[p]) for k, p in enumerate(parents) if p >= 0}
    marginals = [generator.dirichlet(np.ones(sizes[0]))]
    for k, p in enumerate(parents[1:], start=1):
        marginals.append(marginals[p] @ conditionals[k])
    return TreeDistribution(marginals=tuple(marginals), parents=np.array(parents), order=np.arange(4), conditionals=conditionals)


def joint(tree):
    table = {}
    for codes in itertools.product(*[range(len(m)) for m in tree.marginals]):
        mass = tree.marginals[0][codes[0]]
        for k, conditional in tree.conditionals.items():
            mass *= conditional[codes[tree.parents[k]], codes[k]]
        table[codes] = mass
    return table


@pytest.mark.statistical
@given(seed=st.integers(0, 10**6), known=st.sets(st.integers(0, 3), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_samples_given_soft_evidence_follow_the_brute_force_posterior(seed, known):
    """Seeds are fixed; each of about 540 cells is within 5.5 sigma + 4 rows: false alarms below 1 in 20,000 over the test."""
    tree, generator, n = random_tree(seed), np.random.default_rng(seed), 4000
    evidence = {k: generator.random(len(tree.marginals[k])) + 0.05 for k in known}
    posterior = {codes: mass * np.prod([evidence[k][codes[k]] for k in known]) for codes, mass in joint(tree).items()}
    scale = sum(posterior.values())
    drawn = tree.sample(n, rng=generator, likelihoods={k: np.tile(row, (n, 1)) for k, row in evidence.items()})
    counts = pd.Series(list(zip(*drawn, strict=True))).value_counts()
    for codes, mass in posterior.items():
        p = mass / scale
        assert abs(counts.get(codes, 0) - n * p) <= 5.5 * np.sqrt(n * p * (1 - p)) + 4


def test_evidence_that_the_model_holds_impossible_still_gives_a_row():
    tree = random_tree(0)
    conditionals = dict(tree.conditionals)
    conditionals[1] = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    tree = TreeDistribution(marginals=tree.marginals, parents=tree.parents, order=tree.order, conditionals=conditionals)
    drawn = tree.sample(5, rng=rng(), likelihoods={1: np.tile([0.0, 0.0, 1.0], (5, 1))})
    assert (drawn[1] == 2).all()


def test_given_values_are_kept_and_the_rest_follows_them(model):
    known = pd.DataFrame({"town": ["A", "C"] * 1000, "churned": [True] * 1000 + [False] * 1000})
    rows = model.sample(2000, rng=rng(), given=known)
    assert rows["town"].tolist() == known["town"].tolist()
    assert rows["churned"].tolist() == known["churned"].tolist()
    assert (rows["region"] == rows["town"].map({"A": "n", "C": "s"})).all()
    # The data's means by town are 30 and 60; spread 8 over 900 rows: 5 sigma is 1.4, bins add less than 1.
    means = rows.groupby("town")["age"].mean()
    assert means["A"] == pytest.approx(30, abs=2.5)
    assert means["C"] == pytest.approx(60, abs=2.5)
    again, _ = conform(rows, SCHEMA, TABLE)
    pd.testing.assert_frame_equal(again, rows)


def test_given_a_child_the_parents_follow_by_bayes(model):
    """P(town = C | churned) = .2 x .4 / (.2 x .4 + .8 x .1) = 1/2 in the population, against 1/5 unconditionally."""
    rows = model.sample(4000, rng=rng(1), given=pd.DataFrame({"churned": [True] * 4000}))
    data = conform(frame(6000), SCHEMA, TABLE)[0]
    expected = (data.loc[data["churned"], "town"] == "C").mean()
    assert (rows["town"] == "C").mean() == pytest.approx(expected, abs=0.05)


def test_numbers_are_kept_exactly_and_not_only_to_their_bin(model):
    known = pd.DataFrame({"income": [12_345.67, 0.01, 199_999.99], "age": [17, 99, 0]})
    rows = model.sample(3, rng=rng(), given=known)
    assert rows["income"].tolist() == known["income"].tolist()
    assert rows["age"].tolist() == known["age"].tolist()


def test_null_cells_are_imputed_by_values(model):
    known = pd.DataFrame({"age": pd.array([None, 40] * 500, dtype="Int64"), "town": ["C", "A"] * 500})
    rows = model.sample(1000, rng=rng(), given=known)
    assert rows["age"].notna().all()
    assert rows["age"][::2].mean() == pytest.approx(60, abs=3)
    assert (rows["age"][1::2] == 40).all()
    free = model.sample(1000, rng=rng())
    assert free["age"].isna().mean() > 0.05  # the control: without given, nulls occur


def test_part_of_a_combination_and_the_image_of_a_map_can_be_given(model):
    known = pd.DataFrame({"size": ["m"] * 400 + ["l"] * 100, "region": ["n"] * 500})
    rows = model.sample(500, rng=rng(), given=known)
    assert set(rows["grams"][:400]) == {50, 80}
    assert set(rows["grams"][400:]) == {400}
    assert set(rows["town"]) == {"A", "B"}
    # In the data 50 is as 80 as 3 to 2: 240 +- 9.8, 5 sigma.
    assert abs((rows["grams"][:400] == 50).sum() - 240) < 55


def test_ordered_columns_stay_in_order_around_given_ones(model):
    opened = (np.array([2999, 10, 1500] * 200) * DAY).astype("datetime64[s]")
    rows = model.sample(600, rng=rng(), given=pd.DataFrame({"opened": opened}))
    assert (rows["opened"].to_numpy() == opened).all()
    assert (rows["opened"] <= rows["seen"]).all()
    seen = (np.array([5, 2000] * 200) * DAY).astype("datetime64[s]")
    rows = model.sample(400, rng=rng(), given=pd.DataFrame({"seen": seen}))
    assert (rows["seen"].to_numpy() == seen).all()
    assert (rows["opened"] <= rows["seen"]).all()


@pytest.mark.parametrize(
    ("known", "match"),
    [
        ({"town": ["Z"]}, "town are outside the domain"),
        ({"age": [120]}, "1 values of column 'age' are outside its domain"),
        ({"age": ["many"]}, "cannot be read as integer"),
        ({"twon": ["A"]}, "did you mean 'town'"),
        ({"items": [3]}, "computed; give its parts parcels, letters"),
        ({"town": ["A"], "region": ["s"]}, "town, region are outside the domain"),
        ({"size": ["s"], "grams": [400]}, "outside the domain"),
        ({"opened": [np.datetime64(20 * DAY, "s")], "seen": [np.datetime64(10 * DAY, "s")]}, "opened <= seen|outside the domain"),
    ],
)
def test_given_values_outside_the_domain_are_refused_in_one_line(model, known, match):
    with pytest.raises(SchemaError, match=match) as caught:
        model.sample(1, rng=rng(), given=pd.DataFrame(known))
    assert "\n" not in str(caught.value)


def test_numbers_of_rows_that_do_not_fit_are_refused(model):
    with pytest.raises(PlanError, match="n=3 but given has 1 rows"):
        model.sample(3, rng=rng(), given=pd.DataFrame({"town": ["A"]}))
    with pytest.raises(PlanError, match="0 or more"):
        model.sample(-1, rng=rng())
    assert len(model.sample(0, rng=rng())) == 0
    assert len(model.sample(0, rng=rng(), given=pd.DataFrame({"town": np.array([], dtype=object)}))) == 0


def test_a_target_is_rebalanced_to_the_wanted_shares(model):
    rows = model.sample(1001, rng=rng(), target_shares={"churned": {"true": 0.5, "false": 0.5}})
    assert rows["churned"].sum() in (500, 501)
    assert model.sample(1000, rng=rng())["churned"].mean() < 0.25
    churners = rows[rows["churned"]]
    assert (churners["town"] == "C").mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(
    ("shares", "match"),
    [
        ({"churned": {"true": 0.5, "false": 0.4}}, "sum to 1"),
        ({"churned": {"true": 1.5, "false": -0.5}}, "not negative"),
        ({"churned": {"true": 1.0}, "town": {"A": 1.0}}, "names 2 columns"),
        ({"churned": {}}, "sum to 1"),
    ],
)
def test_shares_that_are_none_are_refused(model, shares, match):
    with pytest.raises(PlanError, match=match):
        model.sample(10, rng=rng(), target_shares=shares)


def test_given_and_shares_together_are_refused(model):
    with pytest.raises(PlanError, match="both set"):
        model.sample(1, rng=rng(), given=pd.DataFrame({"town": ["A"]}), target_shares={"churned": {"true": 1.0}})


def test_chunks_stream_into_one_parquet_file_with_one_type_each(model, tmp_path):
    path = tmp_path / "rows.parquet"
    written = sources.write_chunks(model.sample_chunks(2500, chunk_rows=1000, rng=rng()), path, table=TABLE)
    back, _ = conform(sources.read(path).frame, SCHEMA, TABLE)
    assert written == len(back) == 2500
    whole = model.sample(2500, rng=rng(1))
    assert back.dtypes.to_dict() == whole.dtypes.to_dict()
    # Two samples of 2,500 rows: a share of 1/2 differs by at most 4.5 sigma = .064.
    assert abs((back["town"] == "A").mean() - (whole["town"] == "A").mean()) < 0.064


def test_a_first_chunk_of_nulls_does_not_decide_a_columns_type(tmp_path):
    table = Table(name="t", columns=(Column(name="c", kind="categorical"), Column(name="d", kind="decimal", step=0.01)))
    chunks = [pd.DataFrame({"c": pd.Series([value], dtype=object), "d": [number]}) for value, number in ((None, np.nan), ("x", 1.5))]
    sources.write_chunks(chunks, tmp_path / "f.parquet", table=table)
    back = sources.read(tmp_path / "f.parquet").frame
    assert [None if pd.isna(value) else value for value in back["c"]] == [None, "x"]
    assert str(back["d"][1]) == "1.50"


@pytest.mark.parametrize(("n", "chunk_rows"), [(-1, 10), (10, 0)])
def test_chunks_out_of_range_are_refused(model, n, chunk_rows):
    with pytest.raises(PlanError, match="chunk_rows"):
        model.sample_chunks(n, chunk_rows=chunk_rows, rng=rng())


def test_no_chunk_is_no_file(tmp_path):
    with pytest.raises(sources.SourceError, match="at least one chunk"):
        sources.write_chunks([], tmp_path / "f.parquet")


@pytest.mark.slow
def test_three_hundred_columns_fit_and_sample():
    """300 columns x 10,000 rows by the tree: 299 edges among 44,850 pairs."""
    generator, n = np.random.default_rng(0), 10_000
    trait = generator.integers(0, 4, n)
    columns, values = [], {}
    for k in range(300):
        if k % 3:
            values[f"c{k}"] = np.array(list("abcdef"), dtype=object)[(trait + generator.integers(0, 3, n)) % 6]
            columns.append(Column(name=f"c{k}", kind="categorical", categories=tuple("abcdef"), nullable=False))
        else:
            values[f"c{k}"] = pd.array(np.clip(100 * trait + generator.integers(0, 300, n), 0, 999), dtype="Int64")
            columns.append(Column(name=f"c{k}", kind="integer", bounds=(0, 999), nullable=False))
    table = Table(name="t", columns=tuple(columns))
    data = Dataset(tables={"t": pd.DataFrame(values)}, schema=Schema(tables=(table,), privacy_unit=ROW), role="train")
    model = Tree().fit(data, reservation=reserve(Tree(), table, noise_scale=2.0, budget=BUDGET, noise=NoNoise()))
    rows = model.sample(n, rng=rng())
    assert rows.shape == (n, 300)
