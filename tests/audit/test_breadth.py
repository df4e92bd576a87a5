"""Fairness, diversity, contamination and linkage of releases: by hand, null and positive controls."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.breadth import diversity, group_rates, row_contamination, text_contamination
from privsynth.dataset import Dataset
from privsynth.errors import AuditError
from privsynth.schema import Column, Schema, Table

COLUMNS = (
    Column(name="sex", kind="categorical"),
    Column(name="income", kind="decimal"),
    Column(name="granted", kind="boolean"),
)


def dataset(frame: pd.DataFrame, role: str = "train") -> Dataset:
    return Dataset(tables={"t": frame}, schema=Schema(tables=(Table(name="t", columns=COLUMNS),), privacy_unit="row"), role=role)


def people(n: int, rng: np.random.Generator, *, rate_of_f: float = 0.5) -> pd.DataFrame:
    sex = rng.choice(["f", "m"], n)
    granted = rng.random(n) < np.where(sex == "f", rate_of_f, 0.5)
    return pd.DataFrame(
        {"sex": sex.astype(object), "income": np.round(rng.lognormal(8, 1, n), 2), "granted": pd.array(granted, dtype="boolean")}
    )


def test_a_group_that_the_release_treats_worse_is_seen_and_the_other_is_not():
    rng = np.random.default_rng(0)
    rates = {
        r.group: r for r in group_rates(dataset(people(3000, rng)), dataset(people(3000, rng, rate_of_f=0.3)), "granted", True, ["sex"])
    }
    assert rates["sex = f"].interval[1] < -0.1
    low, high = rates["sex = m"].interval
    assert low < 0 < high
    assert rates["sex = f"].synthetic == pytest.approx(0.3, abs=0.05)


def test_small_groups_and_missing_columns():
    frame = people(100, np.random.default_rng(1))
    frame["sex"] = np.array(["f"] * 20 + ["m"] * 80, dtype=object)
    assert [rate.group for rate in group_rates(dataset(frame), dataset(frame), "granted", True, ["sex"])] == ["sex = m"]
    with pytest.raises(AuditError, match="column 'age'"):
        group_rates(dataset(frame), dataset(frame), "granted", True, ["age"])


def test_rates_leave_unknown_outcomes_out():
    frame = people(100, np.random.default_rng(2))
    frame.loc[:49, "granted"] = pd.NA
    rates = group_rates(dataset(frame), dataset(frame), "granted", True, ["sex"])
    assert sum(rate.n_train for rate in rates) <= 50


def test_diversity_sees_a_release_without_tails_and_rare_values():
    rng = np.random.default_rng(3)
    train = people(2000, rng)
    train.loc[:9, "sex"] = "x"  # half a percent
    flat = train[(train["sex"] != "x") & train["income"].between(*train["income"].quantile([0.05, 0.95]))]
    by_name = {c.column: c for c in diversity(dataset(train), dataset(flat, "synthetic"), rng=rng).columns}
    assert by_name["income"].tails == 0.0
    assert by_name["income"].tails_of_train == pytest.approx(0.02, abs=0.002)
    assert by_name["sex"].values == pytest.approx(2 / 3)
    assert by_name["sex"].rare == 0.0
    assert by_name["sex"].rare_of_train == pytest.approx(0.005)
    fresh = diversity(dataset(train), dataset(people(2000, rng), "synthetic"), rng=rng)
    assert {c.column: c for c in fresh.columns}["income"].tails == pytest.approx(0.02, abs=0.015)
    json.dumps(fresh.to_json(), allow_nan=False)


def test_repetition_is_counted():
    rng = np.random.default_rng(4)
    train = people(200, rng)
    collapsed = pd.concat([train.head(10)] * 20, ignore_index=True)
    found = diversity(dataset(train), dataset(collapsed, "synthetic"), rng=rng)
    assert found.repeated == pytest.approx(0.95)
    assert found.repeated_of_train == 0.0


def test_contaminated_rows_are_counted():
    rng = np.random.default_rng(5)
    release, test_set = people(300, rng), people(100, rng)
    clean, dirty = row_contamination(release, {"clean": test_set, "dirty": pd.concat([test_set.head(90), release.head(10)])})
    assert (clean.shared, clean.n, dirty.shared, dirty.n) == (0, 100, 10, 100)
    assert dirty.interval[0] > 0.04
    with pytest.raises(AuditError, match="'other'"):
        row_contamination(release, {"a": test_set.assign(other=1)})


def test_contaminated_texts_share_eight_words_whatever_their_signs():
    released = ["We noted: the customer moved to a new flat, and asked for a lower rate."]
    sets = {
        "copied": ["the customer moved to a new flat and asked", "nothing in common here at all, not a single phrase"],
        "seven words": ["customer moved to a new flat and then left"],
    }
    copied, seven = text_contamination(released, sets)
    assert (copied.shared, copied.n) == (1, 2)
    assert seven.shared == 0
