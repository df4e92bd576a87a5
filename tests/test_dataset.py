"""``conform`` types every kind exactly or refuses, and the split keeps a person on one side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes import SeededNoise, people, people_dataset, people_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.dataset import TUNING_RATE, Dataset, benchmark_split, conform, fingerprint, numbers, split_by_unit
from privsynth.errors import SchemaError
from privsynth.schema import ROW, Column, Schema, Table, seconds_since_epoch


def typed(values, *, on_violation="stop", **facts):
    """One column through ``conform``: its values and how many were clipped."""
    table = Table(name="t", columns=(Column(name="x", **facts),))
    frame = pd.DataFrame({"x": values})
    before = frame.copy(deep=True)
    result, clipped = conform(frame, Schema(tables=(table,), privacy_unit=ROW), table, on_violation=on_violation)
    pd.testing.assert_frame_equal(frame, before)  # an argument is never changed
    return result["x"], clipped


@pytest.mark.parametrize(
    ("kind", "raw", "dtype", "expected"),
    [
        ("integer", ["5", "-3", "+7", "8.0", None, " "], "Int64", [5, -3, 7, 8, None, None]),
        ("integer", [str(2**53 + 1), str(2**63 - 1), str(-(2**63))], "Int64", [2**53 + 1, 2**63 - 1, -(2**63)]),
        ("integer", np.array([2**63 - 1], dtype=np.uint64), "Int64", [2**63 - 1]),
        ("integer", pd.array([2**53 + 1, None], dtype="Int64"), "Int64", [2**53 + 1, None]),
        ("integer", [5.0, np.nan], "Int64", [5, None]),
        ("decimal", ["0.1", "1e3", "-5", None], "float64", [0.1, 1000.0, -5.0, None]),
        ("boolean", ["yes", "0", "T", "False", None, "1.0"], "boolean", [True, False, True, False, None, True]),
        ("boolean", pd.array([True, None], dtype="boolean"), "boolean", [True, None]),
        ("categorical", ["a", None, " ", "b c"], "object", ["a", None, None, "b c"]),
        ("categorical", [1.0, np.nan, 12.0], "object", ["1", None, "12"]),
        ("categorical", [1e300, 2.0], "object", [str(int(1e300)), "2"]),
        ("categorical", pd.Categorical(["a", None]), "object", ["a", None]),
        ("identifier", [2**53 + 1, 7], "object", [str(2**53 + 1), "7"]),
        ("text", ["Ünï", None], "object", ["Ünï", None]),
    ],
)
def test_values_are_read_as_their_kind(kind, raw, dtype, expected):
    values, clipped = typed(raw, kind=kind)
    assert str(values.dtype) == dtype
    assert [None if pd.isna(value) else value for value in values] == expected
    assert clipped == {}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2020-02-29", "2020-02-29T00:00:00"),
        ("9999-12-31", "9999-12-31T00:00:00"),
        ("9999-12-31T23:59:59", "9999-12-31T23:59:59"),
        ("0001-01-01", "0001-01-01T00:00:00"),
        ("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00"),
        ("2020-01-01 00:30Z", "2020-01-01T00:30:00"),
        ("2020-01-01T00:00:00-0530", "2020-01-01T05:30:00"),
    ],
)
def test_dates_are_read_in_utc(raw, expected):
    values, _ = typed([raw, None], kind="datetime")
    assert str(values.dtype) == "datetime64[s]"
    assert values.to_numpy()[0] == np.datetime64(expected)
    assert values.isna().tolist() == [False, True]


def test_typed_timestamps_with_a_zone_become_utc():
    values, _ = typed(pd.to_datetime(["2020-01-01T00:00+02:00", None]), kind="datetime")
    assert values.to_numpy()[0] == np.datetime64("2019-12-31T22:00:00")


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("integer", "1.5"),
        ("integer", "1e3"),
        ("integer", str(2**63)),
        ("integer", "Zyxwvut"),
        ("decimal", "inf"),
        ("decimal", "-inf"),
        ("decimal", "1e999"),
        ("decimal", "1,5"),
        ("decimal", "0x10"),
        ("decimal", True),
        ("boolean", "2"),
        ("datetime", "2021-02-29"),
        ("datetime", "31.12.2020"),
        ("datetime", "2020-01-01T25:00"),
        ("datetime", "9999-12-31T23:59:59-02:00"),
        ("datetime", "0001-01-01T00:00:00+02:00"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_refused_by_row_and_not_quoted(kind, bad):
    good = {"integer": "1", "decimal": "1", "boolean": "true", "datetime": "2020-01-01"}[kind]
    with pytest.raises(SchemaError, match=f"column 'x': 2 values cannot be read as {kind}, in records 3 and 5") as caught:
        typed(np.array([good, None, bad, good, bad], dtype=object), kind=kind)
    assert "Zyxwvut" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint64", "UInt64"])
def test_an_integer_that_does_not_fit_is_refused_not_wrapped(dtype):
    with pytest.raises(SchemaError, match="1 values cannot be read as integer, in record 2"):
        typed(pd.array([1, 2**63 + 5], dtype=dtype), kind="integer")


def test_integer_bounds_are_exact_beyond_the_precision_of_floats():
    with pytest.raises(SchemaError, match="1 values are outside the declared bounds, in record 1"):
        typed([str(2**53 + 1), "5"], kind="integer", bounds=(0, 2**53))


@pytest.mark.parametrize(
    ("facts", "raw", "expected", "moved"),
    [
        ({"kind": "integer", "bounds": (0, 10)}, ["-5", "0", "10", "11", None], [0, 0, 10, 10, None], 2),
        ({"kind": "integer", "bounds": (0.5, 9.5)}, ["0", "5", "10"], [1, 5, 9], 2),
        ({"kind": "integer", "bounds": (0, 2**53)}, [str(2**53 + 1), "1"], [2**53, 1], 1),
        ({"kind": "decimal", "bounds": (0, 1)}, ["-0.1", "0.5", "7"], [0.0, 0.5, 1.0], 2),
        (
            {"kind": "datetime", "bounds": (0, 86_400)},
            ["1969-12-31", "1970-01-02", "2020-01-01"],
            ["1970-01-01", "1970-01-02", "1970-01-02"],
            2,
        ),
        ({"kind": "categorical", "categories": ("a", "b")}, ["a", "c", None], ["a", None, None], 1),
    ],
)
def test_clip_moves_and_counts(facts, raw, expected, moved):
    values, clipped = typed(raw, on_violation="clip", **facts)
    shown = values.dt.strftime("%Y-%m-%d") if facts["kind"] == "datetime" else values
    assert [None if pd.isna(value) else value for value in shown] == expected
    assert clipped == {"x": moved}
    with pytest.raises(SchemaError, match=f"{moved} values are outside the declared"):
        typed(raw, **facts)


def test_clip_does_not_make_nulls_where_none_may_be():
    with pytest.raises(SchemaError, match="outside the declared categories"):
        typed(["a", "c"], kind="categorical", categories=("a",), nullable=False, on_violation="clip")


def test_nulls_that_were_declared_away_are_refused():
    with pytest.raises(SchemaError, match="declared without nulls but has 2"):
        typed(["1", None, ""], kind="integer", nullable=False)


def two_columns(unit="person", **changes):
    table = Table(name="t", columns=(Column(name="person", kind="identifier"), Column(name="x", kind="integer")), **changes)
    return Schema(tables=(table,), privacy_unit=unit)


def test_columns_come_in_the_order_of_the_table_and_dropped_ones_go():
    schema = two_columns(dropped=("y",))
    frame, _ = conform(pd.DataFrame({"y": ["?"], "x": ["1"], "person": ["a"]}, index=[9]), schema, schema.tables[0])
    assert list(frame.columns) == ["person", "x"]
    assert list(frame.index) == [0]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"person": ["a"]}, "column 'x' of table 't' is not in the file"),
        ({"person": ["a"], "x": [1], "z": [1]}, "column 'z' is in the file but not in the plan"),
        ({"person": ["a", None, " "], "x": [1, 2, 3]}, "'person'.* 2 "),
    ],
)
def test_columns_and_units_are_complete(frame, words):
    schema = two_columns()
    with pytest.raises(SchemaError, match=words):
        conform(pd.DataFrame(frame), schema, schema.tables[0])


def test_numbers_are_floats_with_nan_for_null():
    values, _ = typed(["1970-01-02", None], kind="datetime")
    np.testing.assert_array_equal(numbers(values, Column(name="x", kind="datetime")), [86_400.0, np.nan])
    values, _ = typed(["5", None], kind="integer")
    np.testing.assert_array_equal(numbers(values, Column(name="x", kind="integer")), [5.0, np.nan])


def test_the_fake_people_satisfy_their_schema():
    dataset = people_dataset(50)
    assert dataset.count_units() == 50
    assert dataset.units()[0] == "P000000"


def several_rows(n_people: int, rows: list[int]) -> Dataset:
    """Person p has ``rows[p % len(rows)]`` rows, in a shuffled order."""
    schema = two_columns()
    units = [f"P{person}" for person in range(n_people) for _ in range(rows[person % len(rows)])]
    frame = pd.DataFrame({"person": np.random.default_rng(0).permutation(units), "x": range(len(units))})
    frame, _ = conform(frame, schema, schema.tables[0])
    return Dataset(tables={"t": frame}, schema=schema, role="confidential")


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    rows=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    rate=st.floats(0.01, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_person_is_on_two_sides_and_no_row_is_lost(n, rows, rate, seed):
    dataset = several_rows(n, rows)
    split = split_by_unit(dataset, pool_rate=rate, noise=SeededNoise(seed))
    parts = [split.train, split.holdout, split.tuning]
    units = [set(part.units()) for part in parts]
    assert not units[0] & units[1]
    assert not units[0] & units[2]
    assert not units[1] & units[2]
    assert sorted(x for part in parts for x in part.frame["x"]) == sorted(dataset.frame["x"])
    assert [part.role for part in parts] == ["train", "holdout", "holdout"]


@pytest.mark.parametrize("rate", [0.4, 0.5])
def test_split_rates(rate):
    """5 standard errors on each of two shares: a false alarm once in 900,000 seeds; this seed is fixed."""
    n = 20_000
    split = split_by_unit(several_rows(n, [1]), pool_rate=rate, noise=SeededNoise(3))
    held_out = split.holdout.count_units() + split.tuning.count_units()
    assert abs(held_out / n - rate / 2) < 5 * np.sqrt(rate / 2 * (1 - rate / 2) / n)
    share = split.tuning.count_units() / held_out
    assert abs(share - TUNING_RATE) < 5 * np.sqrt(TUNING_RATE * (1 - TUNING_RATE) / held_out)


def test_rows_are_people_where_the_plan_says_so():
    schema = replace(people_schema(), privacy_unit=ROW)
    frame, _ = conform(people(30), schema, schema.tables[0])
    dataset = Dataset(tables={"people": frame}, schema=schema, role="confidential")
    assert dataset.count_units() == 30
    split = split_by_unit(dataset, pool_rate=1.0, noise=SeededNoise(0))
    assert sum(part.count_units() for part in (split.train, split.holdout, split.tuning)) == 30
    assert len(set(dataset.identities())) == 30


def test_benchmark_split_is_the_published_permutation():
    dataset = people_dataset(101)
    split = benchmark_split(dataset)
    order = np.random.RandomState(0).permutation(101)
    units = np.asarray(dataset.units())
    assert split.insecure
    assert set(split.train.units()) == set(units[order[:80]])
    assert set(split.holdout.units()) == set(units[order[80:]])


def test_fingerprint_depends_on_content_order_and_key():
    frame = people_dataset(20).frame
    same = fingerprint(frame, b"k" * 32)
    assert same == fingerprint(frame.copy(), b"k" * 32)
    changed = frame.copy()
    changed.loc[0, "age"] += 1
    others = [fingerprint(changed, b"k" * 32), fingerprint(frame[frame.columns[::-1]], b"k" * 32), fingerprint(frame, b"l" * 32)]
    assert len({same, *others}) == 4


def test_one_table_is_asked_of_a_dataset_of_two():
    tables = tuple(Table(name=name, columns=(Column(name="x", kind="integer"),)) for name in "ab")
    dataset = Dataset(tables={}, schema=Schema(tables=tables, privacy_unit=ROW), role="confidential")
    with pytest.raises(SchemaError, match="tables=2"):
        _ = dataset.table


def test_declared_times_with_a_zone_are_utc():
    from datetime import UTC, datetime, timedelta, timezone

    assert seconds_since_epoch(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0
    assert seconds_since_epoch(datetime(1970, 1, 1, tzinfo=UTC)) == seconds_since_epoch(datetime(1970, 1, 1)) == 0
