import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular_fakes import NoNoise

from privsynth.dataset import Dataset, conform
from privsynth.errors import SchemaError
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.tabular.encode import MAX_SINGLE_VALUES, cells_of, determined_by, fill_determined, limit_rows, numeric_cells


def typed(values, column):
    table = Table(name="t", columns=(column,))
    return conform(pd.DataFrame({column.name: values}, dtype=object), Schema(tables=(table,), privacy_unit=ROW), table)[0][column.name]


SHORT = [
    (Column(name="c", kind="categorical", categories=("a", "b", "c")), ["a", None, "c", "b"]),
    (Column(name="c", kind="boolean"), [True, False, None]),
    (Column(name="c", kind="integer", bounds=(-5, 5)), [-5, 0, None, 5]),
    (Column(name="c", kind="integer", bounds=(10, 50), step=10), [10, 50, None, 30]),
    (Column(name="c", kind="decimal", bounds=(0, 1), step=0.01), [0, 0.07, 0.29, None, 1]),
    (Column(name="c", kind="datetime", bounds=(0, 86400 * 100), step=86400), ["1970-01-01", None, "1970-03-05"]),
]


@pytest.mark.parametrize(("column", "values"), SHORT, ids=[column.kind for column, _ in SHORT])
def test_a_domain_of_single_values_survives_the_round_trip_with_its_type(column, values):
    series = typed(values, column)
    cells = cells_of(column)
    encoded, moved = cells.encode(series)
    back = cells.decode(encoded, rng=np.random.default_rng(0))
    assert moved == 0
    pd.testing.assert_series_equal(back, series, check_names=False)


@pytest.mark.parametrize("kind", ["integer", "decimal", "datetime"])
def test_a_long_grid_decodes_into_the_cell_it_came_from(kind):
    column = Column(name="x", kind=kind, bounds=(-40_000, 2_000_000), step=0.5 if kind == "decimal" else 1)
    cells = numeric_cells(column)
    codes = np.tile(np.arange(cells.size), 20)
    values = cells.decode(codes, rng=np.random.default_rng(1))
    again, moved = cells.encode(values)
    assert moved == 0
    np.testing.assert_array_equal(again, codes)


def test_zero_and_both_bounds_have_a_cell_of_their_own():
    cells = numeric_cells(Column(name="x", kind="integer", bounds=(-10_000, 99_999)))
    assert cells.size > 100
    for index in (0, 10_000, 109_999):
        cell = np.searchsorted(cells.edges, index, side="right") - 1
        assert cells.widths[cell] == 1


def test_cells_cover_every_grid_value_once():
    for high in (3, MAX_SINGLE_VALUES - 1, MAX_SINGLE_VALUES, 10**9):
        cells = numeric_cells(Column(name="x", kind="integer", bounds=(0, high), nullable=False))
        assert cells.widths.sum() == high + 1


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_integers_up_to_2_to_the_53_are_exact(values):
    column = Column(name="x", kind="integer", bounds=(-(2.0**53), 2.0**53), nullable=False)
    cells = numeric_cells(column)
    encoded, moved = cells.encode(pd.Series(pd.array(values, dtype="Int64")))
    starts = cells.edges[:-1] - 2**53
    assert moved == 0
    assert all(
        starts[code] <= value and value < starts[code] + int(cells.widths[code]) for code, value in zip(encoded, values, strict=True)
    )


def test_values_outside_the_bounds_or_off_the_grid_are_counted():
    column = Column(name="x", kind="integer", bounds=(0, 100), step=10)
    encoded, moved = numeric_cells(column).encode(pd.Series([-3, 0, 14, 100, 120, None], dtype="Int64"))
    np.testing.assert_array_equal(encoded, [0, 0, 1, 10, 10, 11])
    assert moved == 3


def test_nulls_in_a_column_declared_without_are_refused_without_showing_values():
    cells = cells_of(Column(name="x", kind="categorical", categories=("secret",), nullable=False))
    with pytest.raises(SchemaError, match="declared without nulls but has 1") as caught:
        cells.encode(pd.Series(["secret", None], dtype=object))
    assert "secret" not in str(caught.value)


def test_a_grid_too_long_for_exact_indices_is_refused():
    with pytest.raises(SchemaError, match="grid"):
        numeric_cells(Column(name="x", kind="decimal", bounds=(0, 1e18), step=1e-6))


def people_frame(counts):
    frame = pd.DataFrame({"who": np.repeat([f"p{i}" for i in range(len(counts))], counts), "x": np.arange(sum(counts))})
    frame["x"] = frame["x"].astype("Int64")
    table = Table(
        name="t", max_rows_per_person=2, columns=(Column(name="who", kind="identifier"), Column(name="x", kind="integer", bounds=(0, 999)))
    )
    return Dataset(tables={"t": frame}, schema=Schema(tables=(table,), privacy_unit="who"), role="train")


def test_no_person_keeps_more_rows_than_allowed_and_the_rest_is_counted():
    kept, units, left_out = limit_rows(people_frame([1, 2, 5, 3]), noise=NoNoise())
    assert kept["who"].value_counts().to_dict() == {"p0": 1, "p1": 2, "p2": 2, "p3": 2}
    assert left_out == 4
    assert list(units) == list(kept["who"])


@pytest.mark.statistical
def test_every_row_of_a_person_is_kept_equally_often():
    # 600 draws of 2 out of 4: each row 300 +- 12.2; 5 sigma, false alarms below 1 in 400,000.
    noise, data = NoNoise(), people_frame([4])
    kept = np.concatenate([limit_rows(data, noise=noise)[0]["x"].to_numpy(dtype=int) for _ in range(600)])
    assert np.abs(np.bincount(kept, minlength=4) - 300).max() < 62


def test_maps_are_followed_in_chains_and_unknown_sources_become_null():
    table = Table(
        name="t",
        columns=(
            Column(name="country", kind="categorical"),
            Column(name="code", kind="integer"),
            Column(name="city", kind="categorical", determines={"country": {"Bonn": "DE", "Lyon": "FR"}, "code": {"Bonn": "49"}}),
        ),
    )
    assert determined_by(table) == {"country": "city", "code": "city"}
    source = pd.Series(["Lyon", None, "Bonn", "Oslo"], dtype=object)
    assert fill_determined(source, table["country"], table["city"].determines["country"]).tolist() == ["FR", None, "DE", None]
    code = fill_determined(source, table["code"], table["city"].determines["code"])
    assert code.dtype == "Int64"
    assert code.isna().tolist() == [True, True, False, True]


def test_a_circle_of_maps_is_refused():
    columns = (
        Column(name="a", kind="categorical", determines={"b": {"1": "2"}}),
        Column(name="b", kind="categorical", determines={"a": {"2": "1"}}),
    )
    with pytest.raises(SchemaError, match="circle"):
        determined_by(Table(name="t", columns=columns))
