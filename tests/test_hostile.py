"""Input that attacks or overstrains: each case gives the right result or one line and exit code 2."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth import cli, sources
from privsynth.dataset import conform
from privsynth.errors import PrivSynthError, SchemaError, SourceError
from privsynth.schema import Column, Schema, Table
from privsynth.spreadsheet import count_formulas

FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+SUM(A1)",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "-x",
    "+",
    "=",
    '=HYPERLINK("http://x")',
]
HARMLESS = ["-5", "+5", "-5.25", "-1e9", "+41 44 123 45 67", "+41-44-123-45-67", "+49 (0)30 1234", "a=b", "'=1", "1-2", "", " ", "Zürich"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(cell, tmp_path):
    frame = pd.DataFrame({"t": [cell, "x"]}, dtype=object)
    sources.write(frame, tmp_path / "t.csv")
    assert count_formulas(frame) == 1
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as lines:
        assert [row[0] for row in csv.reader(lines)] == ["t", f"'{cell}", "x"]


@pytest.mark.parametrize("cell", HARMLESS)
def test_numbers_phones_and_plain_text_stay(cell, tmp_path):
    frame = pd.DataFrame({"t": [cell, "x"]}, dtype=object)
    sources.write(frame, tmp_path / "t.csv")
    assert count_formulas(frame) == 0
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as lines:
        assert [row[0] for row in csv.reader(lines)] == ["t", cell, "x"]


def test_numbers_are_no_text_and_parquet_is_not_touched(tmp_path):
    frame = pd.DataFrame({"n": pd.array([-5, None], dtype="Int64"), "d": [-0.5, np.nan], "=t": ["=1", None]})
    sources.write(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "n,d,'=t\n-5,-0.5,'=1\n,,\n"
    assert frame.columns[2] == "=t"
    sources.write(frame, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["=t"].tolist() == ["=1", None]


NAMES = [
    "line\nbreak",
    'quote"s',
    "it's",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "emoji 🦊",
    "\u202eright to left",
    "[red]x[/red]",
    "{{ 7*7 }}",
    "a,b",
    "=1+1",
    "%s",
    "a" * 500,
]


def typed(raw, **facts):
    table = Table(name="t", columns=(Column(name="x", **facts),))
    frame, moved = conform(
        pd.DataFrame({"x": np.array([*raw, None], dtype=object)[:-1]}), Schema(tables=(table,), privacy_unit="row"), table
    )
    return frame["x"], moved


VALUES = {
    "mixed types": (["1", "two", "3.5"], {"kind": "integer"}, "2 values cannot be read as integer, in records 2 and 3"),
    "dates in three formats": (["2020-01-31", "31.01.2020", "01/31/2020"], {"kind": "datetime"}, "in records 2 and 3; expected YYYY-MM-DD"),
    "a leap second": (["2016-12-31T23:59:60"], {"kind": "datetime"}, "in record 1; expected YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS (seconds to 59)"),
    "year 10000": (["10000-01-01"], {"kind": "datetime"}, "in record 1"),
    "two to the 63": (["9223372036854775807", "9223372036854775808"], {"kind": "integer"}, "in record 2; expected whole numbers below 2**63"),
    "thirty digits": (["1.5", "0.123456789012345678901234567890"], {"kind": "decimal"}, "1 values have more digits than a decimal holds (15 to 17), in record 2"),
    "a large decimal": (["12345678901234567890.5"], {"kind": "decimal"}, "more digits than a decimal holds"),
    "zero-width space": (["yes", "ye\u200bs", "no"], {"kind": "categorical", "categories": ("yes", "no")}, "1 values are outside the declared categories (1 of them differ"),
    "a blank more": (["yes ", "no"], {"kind": "categorical", "categories": ("yes", "no")}, "(1 of them differ"),
    "many records": ([str(row) for row in range(100)] + ["x"] * 8, {"kind": "integer"}, "in records 101, 102, 103, 104, 105 and 3 more"),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_would_be_changed_is_refused_by_record_and_not_quoted(case):
    raw, facts, words = VALUES[case]
    with pytest.raises(SchemaError) as caught:
        typed(raw, **facts)
    assert words in str(caught.value)
    assert "'x'" in str(caught.value)
    assert caught.value.values
    assert not any(value in str(caught.value) for value in caught.value.values if len(value) > 4)


RIGHT = {
    "year 9999": (["9999-12-31T23:59:59", "0001-01-01"], {"kind": "datetime"}, ["9999-12-31T23:59:59", "0001-01-01T00:00:00"]),
    "largest integers": ([str(2**63 - 1), str(-(2**63))], {"kind": "integer"}, [2**63 - 1, -(2**63)]),
    "seventeen digits that a float64 prints": (["0.30000000000000004", "0.1"], {"kind": "decimal"}, [0.30000000000000004, 0.1]),
    "thirty digits that are zeros": (["1.500000000000000000000000000000"], {"kind": "decimal"}, [1.5]),
    "undeclared category with a zero-width space": (["a", "a\u200b"], {"kind": "categorical"}, ["a", "a\u200b"]),
}


@pytest.mark.parametrize("case", RIGHT)
def test_an_extreme_value_is_kept_as_it_is(case):
    raw, facts, expected = RIGHT[case]
    values, moved = typed(raw, **facts)
    assert not moved
    shown = list(np.datetime_as_string(values.to_numpy())) if facts["kind"] == "datetime" else values.tolist()
    assert shown == expected


def test_digits_that_are_rounded_are_counted_where_a_person_allows_it():
    table = Table(name="t", columns=(Column(name="x", kind="decimal"),))
    raw = pd.DataFrame({"x": ["0.123456789012345678901234567890", "1"]}, dtype=object)
    frame, moved = conform(raw, Schema(tables=(table,), privacy_unit="row"), table, on_violation="clip")
    assert frame["x"].tolist() == [0.12345678901234568, 1.0]
    assert moved == {"x": 1}


def test_records_are_counted_in_the_file_and_not_in_lines(tmp_path):
    (tmp_path / "x.csv").write_text('a,b\n"one\ntwo\nthree",1\nx,2\ny,z\n')
    frame = sources.read(tmp_path / "x.csv").frame
    table = Table(name="t", columns=(Column(name="a", kind="text"), Column(name="b", kind="integer")))
    with pytest.raises(SchemaError, match="in record 3"):
        conform(frame, Schema(tables=(table,), privacy_unit="row"), table)


def test_a_row_of_another_width_is_named_by_its_record(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n5,6,7\n")
    with pytest.raises(SourceError, match="record 3 has 3 cells"):
        sources.read(tmp_path / "x.csv")


def test_dates_of_all_years_are_written_so_that_they_can_be_read(tmp_path):
    column = Column(name="x", kind="datetime", step=1)
    table = Table(name="t", columns=(column,))
    moments = np.array(["0001-01-01", "0999-12-31T23:59:59", "9999-12-31T23:59:59", "NaT"], dtype="datetime64[s]")
    for known in (table, None):
        sources.write(pd.DataFrame({"x": moments}), tmp_path / "x.csv", table=known)
        frame, _ = conform(sources.read(tmp_path / "x.csv").frame, Schema(tables=(table,), privacy_unit="row"), table)
        assert list(frame["x"].dropna()) == list(pd.Series(moments).dropna())


@pytest.mark.parametrize("cell", ["a\rb", "a\r\nb", 'a"b', "a,b", "a\nb", "\r"])
def test_line_breaks_and_quotes_in_cells_survive_the_way_through_a_file(cell, tmp_path):
    sources.write(pd.DataFrame({"t": [cell, "x"], "n": [1, 2]}), tmp_path / "t.csv")
    assert sources.read(tmp_path / "t.csv").frame["t"].tolist()[-1] == "x"
    assert sources.read(tmp_path / "t.csv").frame["t"].tolist()[0].lstrip("'") == cell


def test_a_million_names_in_one_record_are_refused_at_once(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps({f"k{number}": 1 for number in range(100_000)}))
    with pytest.raises(SourceError, match="has 100000 columns; expected at most"):
        sources.read(tmp_path / "x.jsonl")


def test_hostile_names_of_columns_survive_the_way_through_a_file(tmp_path):
    frame = pd.DataFrame({name: [f"{number}", "x"] for number, name in enumerate(NAMES)})
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert list(sources.read(tmp_path / "x.csv").frame.columns) == NAMES


class Terminal:
    """A stream that says that a person sits before it."""

    def __init__(self, is_terminal: bool) -> None:
        self.is_terminal, self.text = is_terminal, ""

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("arguments", "is_terminal", "shown"), [([], True, False), (["--show-values"], True, True), (["--show-values"], False, False)]
)
def test_values_are_shown_on_a_terminal_on_request_only(arguments, is_terminal, shown, monkeypatch):
    def fails(path):
        raise SchemaError("column 'x\ny': 1 values are wrong, in record 1; correct them").about(["Zyxwvut\nsecond line"])

    terminal = Terminal(is_terminal)
    monkeypatch.setattr("privsynth.config.Plan.load", fails)
    monkeypatch.setattr(sys, "argv", ["privsynth", "check", "plan.toml", *arguments])
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert ("Zyxwvut" in terminal.text) == shown
    assert "x\\ny" in terminal.text
    assert len(terminal.text.strip().splitlines()) == (2 if arguments else 1)


def test_an_error_keeps_its_values_out_of_its_message():
    error = PrivSynthError("message").about(range(100))
    assert error.values == ("0", "1", "2", "3", "4")
    assert str(error) == repr(error.args[0]).strip("'")


def quoted(name: str) -> str:
    """A TOML key."""
    return json.dumps(name, ensure_ascii=False)


def plan_of(base: Path, path: str, columns: dict[str, str], *, table: str = "t", epsilon: float = 20.0, unit: str = "row") -> Path:
    lines = "\n".join(f"{quoted(name)} = {facts}" for name, facts in columns.items())
    (base / "plan.toml").write_text(
        f'[dataset]\nname = "hostile"\nprivacy_unit = "{unit}"\n[tables.{quoted(table)}]\npath = "{path}"\n[tables.{quoted(table)}.columns]\n{lines}\n'
        f'[privacy]\nepsilon = {epsilon}\ndelta = 1e-6\n[synthesis]\nrows = 100\n[release]\nfolder = "out"\nsensitivity = "low"\n'
    )
    return base / "plan.toml"


def call(base: Path, *arguments: str) -> tuple[int, str, str]:
    """The command line as a process of its own."""
    environment = {**os.environ, "PRIVSYNTH_LEDGER": str(base / "state" / "l.sqlite"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "privsynth", *arguments], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def assert_one_line(outcome: tuple[int, str, str], words: str) -> None:
    code, _, err = outcome
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2, err
    assert len(lines) == 1, err
    assert words in lines[0]
    assert "unexpected" not in err


@pytest.mark.slow
def test_hostile_names_make_a_release_in_which_nothing_runs(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice(["=1+1", "<b>x</b>", "ok"], 900) for name in NAMES})
    frame.to_csv(tmp_path / "x.csv", index=False)
    facts = dict.fromkeys(NAMES, '{ kind = "categorical", categories = ["=1+1", "<b>x</b>", "ok"] }')
    code, out, err = call(tmp_path, "run", str(plan_of(tmp_path, "x.csv", facts, table="../../t <script>", epsilon=200.0)))
    assert code in (0, 1, 3), err
    (written,) = [path for path in tmp_path.rglob("*.csv") if path.name != "x.csv"]
    assert written.parent.name in ("data", "not-exported")
    released = pd.read_csv(written, dtype=str)
    assert [name.removeprefix("'") for name in released.columns] == NAMES
    assert set(released.to_numpy().ravel()) <= {"'=1+1", "<b>x</b>", "ok", np.nan}
    pages = [path.read_text() for path in tmp_path.rglob("report.html")]
    assert pages
    for page in pages:
        assert "<script>alert" not in page
        assert "<b>x</b>" not in page
    assert "begin like a spreadsheet formula" in out


@pytest.mark.slow
def test_cells_of_ten_megabytes_are_read_or_refused(tmp_path):
    frame = fakes.people(5).assign(note="x" * 10_000_000)
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert len(sources.read(tmp_path / "x.csv").frame.loc[4, "note"]) == 10_000_000
    facts = {"person": '{ kind = "identifier" }', "note": '{ kind = "categorical" }', "age": '{ kind = "integer", bounds = [0, 110] }'}
    facts |= dict.fromkeys(["segment", "income", "joined", "active"], '{ kind = "drop" }')
    assert_one_line(call(tmp_path, "run", str(plan_of(tmp_path, "x.csv", facts))), "too few")


@pytest.mark.slow
def test_two_thousand_columns_are_read_and_too_many_to_model(tmp_path):
    names = [f"c{number}" for number in range(2000)]
    pd.DataFrame(np.random.default_rng(0).integers(0, 3, (1000, 2000)), columns=names).to_csv(tmp_path / "x.csv", index=False)
    facts = dict.fromkeys(names, '{ kind = "integer", bounds = [0, 2] }')
    assert_one_line(call(tmp_path, "run", str(plan_of(tmp_path, "x.csv", facts, epsilon=5.0))), "expected at most 500")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_fifty_megabytes_in_one_line_are_read_or_refused(name, tmp_path):
    if name == "x.json":
        (tmp_path / name).write_text(json.dumps([{"a": row % 3, "b": "x" * 40} for row in range(900_000)]))
        assert len(sources.read(tmp_path / name).frame) == 900_000
        facts = {"a": '{ kind = "integer", bounds = [0, 1] }', "b": '{ kind = "drop" }'}
        assert_one_line(call(tmp_path, "run", str(plan_of(tmp_path, name, facts))), "outside the declared bounds, in records 3, 6, 9")
    else:
        (tmp_path / name).write_text(json.dumps({f"k{number}": "x" * 40 for number in range(1_000_000)}))
        assert_one_line(call(tmp_path, "run", str(plan_of(tmp_path, name, {"k0": '{ kind = "boolean" }'}))), "has 1000000 columns")


@pytest.mark.slow
def test_a_million_categories_are_bought_refused_or_pooled(tmp_path):
    rows = 1_000_000
    pd.DataFrame({"c": [f"cat {row}" for row in range(rows)], "v": np.arange(rows) % 3}).to_csv(tmp_path / "x.csv", index=False)
    facts = {"c": '{ kind = "categorical", pii = "none" }', "v": '{ kind = "integer", bounds = [0, 2] }'}
    assert_one_line(call(tmp_path, "run", str(plan_of(tmp_path, "x.csv", facts, epsilon=1.0))), "1/(10 x people) = 1e-07")


@pytest.mark.slow
def test_a_category_of_everyones_own_ends_in_a_release_that_names_none(tmp_path):
    """20,000 distinct ids and as many distinct categories: none is bought, none is released, and no attack takes that for a leak."""
    rows = 20_000
    pd.DataFrame(
        {"id": [f"P{row:07d}" for row in range(rows)], "c": [f"cat {row}" for row in range(rows)], "v": np.arange(rows) % 3}
    ).to_csv(tmp_path / "x.csv", index=False)
    facts = {"id": '{ kind = "identifier" }', "c": '{ kind = "categorical", pii = "none" }', "v": '{ kind = "integer", bounds = [0, 2] }'}
    code, _, err = call(tmp_path, "run", str(plan_of(tmp_path, "x.csv", facts, epsilon=1.0, unit="id")))
    assert code in (0, 3), err
    released = pd.read_csv(tmp_path / "out" / "data" / "t.csv", dtype=str)
    assert len(released) == 100
    assert not released["c"].dropna().str.startswith("cat ").any()
    assert not set(released["id"]) & {f"P{row:07d}" for row in range(rows)}
