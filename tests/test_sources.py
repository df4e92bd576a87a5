"""Readers return every cell as it stands in the file, say how they read it, and refuse what is damaged."""

from __future__ import annotations

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth import sources
from privsynth.errors import SourceError
from privsynth.spreadsheet import is_formula

CANARY = "Zyxwvut"


@pytest.fixture
def read(tmp_path):
    def read_bytes(name, data, **options):
        (tmp_path / name).write_bytes(data)
        return sources.read(tmp_path / name, **options)

    return read_bytes


def cells(reading) -> dict[str, list[object]]:
    return {name: list(values) for name, values in reading.frame.items()}


@pytest.mark.parametrize(
    ("encoding", "options", "note"),
    [
        ("utf-8", {}, "encoding utf-8"),
        ("utf-8-sig", {}, "encoding utf-8"),
        ("utf-8-sig", {"encoding": "utf-8"}, "encoding utf-8"),
        ("utf-16", {}, "encoding utf-16"),
        ("utf-16-le", {"encoding": "utf-16-le"}, "encoding utf-16-le"),
        ("cp1252", {}, "encoding cp1252"),
        ("latin-1", {"encoding": "latin-1"}, "encoding latin-1"),
    ],
)
def test_csv_is_read_in_its_encoding(encoding, options, note, read):
    reading = read("a.csv", "näme,ort\nJosé,Zürich\n".encode(encoding), **options)
    assert cells(reading) == {"näme": ["José"], "ort": ["Zürich"]}
    assert note in reading.notes


@pytest.mark.parametrize("delimiter", list(sources.DELIMITERS))
def test_the_delimiter_is_found_and_noted(delimiter, read):
    reading = read("a.csv", f"a{delimiter}b\n1{delimiter}x y\n".encode())
    assert cells(reading) == {"a": ["1"], "b": ["x y"]}
    assert f"delimiter {delimiter!r}" in reading.notes


def test_a_tsv_file_is_cut_at_tabs(read):
    assert cells(read("a.tsv", b"a,b\tc\n1,5\t2\n")) == {"a,b": ["1,5"], "c": ["2"]}


def test_quoted_cells_hold_delimiters_quotes_and_line_ends(read):
    reading = read("a.csv", b'a,b\n"1,5","he said ""no""\nand left"\n')
    assert cells(reading) == {"a": ["1,5"], "b": ['he said "no"\nand left']}


def test_csv_cells_are_never_retyped(read):
    row = ["007", "1e5", "true", "NA", "2020-01-01", "9007199254740993", " padded "]
    names = [f"c{number}" for number in range(len(row))]
    reading = read("a.csv", (",".join(names) + "\n" + ",".join(row) + "\n").encode())
    assert list(reading.frame.iloc[0]) == row


def test_empty_lines_before_the_header_do_not_change_the_types(read):
    assert cells(read("a.csv", b"\n\r\nid,x\n007,1\n")) == {"id": ["007"], "x": ["1"]}


def test_an_empty_line_in_a_file_of_one_column_is_an_empty_cell(read):
    assert cells(read("a.csv", b"x\n1\n\n3\n")) == {"x": ["1", None, "3"]}


def test_null_values_become_null_and_nothing_else_does(read):
    reading = read("a.csv", b"a,b\n-,NA\nNA-,\n", null_values=["-", "NA"])
    assert cells(reading) == {"a": [None, "NA-"], "b": [None, None]}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)] * 2), min_size=1, max_size=8))
def test_csv_round_trip(rows):
    import tempfile
    from pathlib import Path

    frame = pd.DataFrame(rows, columns=["a", "b"])
    with tempfile.TemporaryDirectory() as folder:
        sources.write(frame, Path(folder) / "a.csv")
        expected = frame.map(lambda cell: f"'{cell}" if is_formula(cell) else cell)
        pd.testing.assert_frame_equal(sources.read(Path(folder) / "a.csv").frame, expected)


def test_write_keeps_days_as_days_and_times_as_times(tmp_path):
    frame = pd.DataFrame({"t": np.array(["2020-01-31", "9999-12-31"], dtype="datetime64[s]")})
    sources.write(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "t\n2020-01-31\n9999-12-31\n"
    sources.write(frame + np.timedelta64(5, "s"), tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().splitlines()[1] == "2020-01-31T00:00:05"


def test_parquet_integers_with_nulls_stay_integers(tmp_path):
    types = {"int64": 2**53 + 1, "uint64": 2**64 - 1, "int8": -128, "uint32": 2**32 - 1}
    parquet.write_table(pa.table({name: pa.array([value, None], name) for name, value in types.items()}), tmp_path / "a.parquet")
    frame = sources.read(tmp_path / "a.parquet").frame
    for name, value in types.items():
        assert int(frame[name][0]) == value
        assert frame[name][1] is pd.NA


def test_a_parquet_file_keeps_the_column_that_pandas_made_its_index(tmp_path):
    pd.DataFrame({"person": ["a", "b"], "x": [1, 2]}).set_index("person").to_parquet(tmp_path / "a.parquet")
    assert sorted(sources.read(tmp_path / "a.parquet").frame.columns) == ["person", "x"]


def test_parquet_keeps_decimals_dates_and_truth_values(tmp_path):
    table = pa.table(
        {
            "amount": pa.array([decimal.Decimal("0.10"), None]),
            "day": pa.array([datetime.date(9999, 12, 31), None]),
            "flag": pa.array([True, None]),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    frame = sources.read(tmp_path / "a.parquet").frame
    assert str(frame["amount"][0]) == "0.10"
    assert str(frame["day"][0]) == "9999-12-31"
    assert frame["flag"].dtype == "boolean"
    assert frame.isna().sum().tolist() == [1, 1, 1]


def test_parquet_columns_may_not_share_a_name(tmp_path):
    parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="two columns named 'a'"):
        sources.read(tmp_path / "a.parquet")


def workbook(path, *sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_excel_cells_keep_their_types(tmp_path):
    day = datetime.datetime(2020, 1, 31)
    path = workbook(
        tmp_path / "a.xlsx",
        [["id", "n", "x", "day", "flag", "word"], ["007", 5, 0.1, day, True, "NA"], ["008", None, 2.5, None, False, ""]],
    )
    reading = sources.read(path)
    assert list(reading.frame.iloc[0]) == ["007", 5, 0.1, day, True, "NA"]
    assert [value is None for value in reading.frame.iloc[1]] == [False, True, False, True, False, True]


def test_excel_reads_the_first_sheet_and_says_so(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]], [["b"], [2]])
    reading = sources.read(path)
    assert cells(reading) == {"a": [1]}
    assert any("the first of 2" in note for note in reading.notes)


def test_excel_rows_above_the_header_may_be_empty(tmp_path):
    assert cells(sources.read(workbook(tmp_path / "a.xlsx", [[None, None], ["a", "b"], [1, 2]]))) == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["a", "a"], [1, 2]], "two columns named 'a'"),
        ([["a", None], [1, 2]], "without a name"),
        ([["a", "b"]], "no rows"),
        ([], "is empty"),
    ],
)
def test_a_sheet_without_a_usable_header_is_refused(rows, words, tmp_path):
    with pytest.raises(SourceError, match=words):
        sources.read(workbook(tmp_path / "a.xlsx", rows))


def test_excel_names_that_pandas_would_invent_are_kept(tmp_path):
    assert list(sources.read(workbook(tmp_path / "a.xlsx", [["a", "a.1"], [1, 2]])).frame) == ["a", "a.1"]


def test_json_lines_keep_types_and_missing_names_are_null(read):
    lines = [{"a": 9007199254740993, "b": "x"}, {"a": None, "c": True}, {"b": "line\u2028break"}]
    reading = read("a.jsonl", "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode())
    assert cells(reading) == {"a": [9007199254740993, None, None], "b": ["x", None, "line\u2028break"], "c": [None, True, None]}


def test_a_json_list_reads_as_its_lines_do(read):
    records = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    lines = read("a.ndjson", "\r\n".join(map(json.dumps, records)).encode())
    pd.testing.assert_frame_equal(read("a.json", json.dumps(records).encode()).frame, lines.frame)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", f"a,b\n1,2\n{CANARY},2,3\n".encode(), "record 2 has 3 cells, the header has 2"),
        ("a.csv", f"a,b\n1,2\n{CANARY}\n".encode(), "1 cells, the header has 2"),
        ("a.csv", f"a,b\n{CANARY},\x00\n".encode(), "NUL bytes from byte"),
        ("a.csv", b"x" * 200_000 + b"\n1\n", "header that cannot be read"),
        ("a.csv", b"\xef\xbb\xbf\n\n", "is empty"),
        ("a.jsonl", f'{{"a": 1}}\n{{"a": {CANARY}}}\n'.encode(), "record 2 is not valid JSON"),
        ("a.jsonl", f'{{"a": 1, "a": "{CANARY}"}}\n'.encode(), "record 1 is not valid JSON"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.json", b"[]", "not a list of records"),
        ("a.json", b"[{}]", "no rows"),
        ("a.parquet", CANARY.encode(), "not a readable Parquet"),
        ("a.xlsx", CANARY.encode(), "not a readable Excel"),
        ("a.doc", CANARY.encode(), "unknown ending"),
    ],
)
def test_a_damaged_file_is_refused_without_quoting_it(name, data, words, read):
    with pytest.raises(SourceError, match=words) as caught:
        read(name, data)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["true", "False", "yes"], "boolean"),
        (["1", "-5", None], "integer"),
        (["0", "10"], "integer"),
        (["01234", "10115"], "categorical"),
        (["1.5", "2", "1e3", "0.5", ".5"], "decimal"),
        (["2020-01-31", "2020-01-31T10:00:00Z"], "datetime"),
        (["a", "b", "a"], "categorical"),
        ([None, "", " "], "categorical"),
        ([f"K{number:05d}" for number in range(30)], "identifier"),
        ([f"A note of more than forty characters about client number {number}." for number in range(30)], "text"),
        ([1.0, None, 3.0], "integer"),
        ([1.5, None], "decimal"),
        ([True, False], "boolean"),
        (pd.to_datetime(["2020-01-01"]), "datetime"),
    ],
)
def test_the_narrowest_kind_that_fits_all_values_is_proposed(values, kind):
    assert sources.propose_kind(pd.Series(values)) == kind


def test_a_proposed_table_declares_no_fact():
    table = sources.infer_table(pd.DataFrame({"a": ["1", "2"], "b": ["x", "y"]}), "t")
    for column in table.columns:
        assert (column.bounds, column.categories, column.nullable) == (None, None, True)
        assert dict(column.sources) == {"kind": "data"}
