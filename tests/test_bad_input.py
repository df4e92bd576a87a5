"""Bad input through the command line: one line, exit code 2, nothing spent, nothing shown, nothing left behind."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import fakes
import pandas as pd
import pytest

from privsynth.cli import main
from privsynth.privacy import Ledger

CANARY = "Zyxwvut"
"""A value that stands in every bad file and may not stand in any message."""

N_PEOPLE = 2000

COLUMNS = {
    "person": '{ kind = "identifier" }',
    "segment": '{ kind = "categorical", categories = ["retail", "private", "business"], nullable = false }',
    "age": '{ kind = "integer", bounds = [18, 110] }',
    "income": '{ kind = "decimal", bounds = [0, 500000], step = 0.01 }',
    "joined": '{ kind = "datetime", bounds = [2015-01-01, 2025-01-01] }',
    "active": '{ kind = "boolean", nullable = false }',
}


def plan_text(*, path="people.csv", dataset='name = "people"\nprivacy_unit = "person"', columns=None, privacy="epsilon = 5.0\ndelta = 1e-6",
              table="", synthesis="rows = 500", release='folder = "out"', more="") -> str:  # fmt: skip
    """A small plan over ``fakes.people`` in which any section can be replaced."""
    lines = "\n".join(f"{name} = {facts}" for name, facts in {**COLUMNS, **(columns or {})}.items() if facts)
    return (
        f"[dataset]\n{dataset}\n[tables.people]\npath = '{path}'\n{table}\n[tables.people.columns]\n{lines}\n"
        f"[privacy]\n{privacy}\n[synthesis]\n{synthesis}\n[release]\n{release}\n{more}\n"
    )


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return fakes.people(N_PEOPLE)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a plan as the command line does: what was printed, and the exit code."""

    def run_plan(plan: str | None, *arguments: str, files: dict[str, bytes] | None = None):
        for name, data in (files or {}).items():
            (tmp_path / name).write_bytes(data)
        if plan is not None:
            (tmp_path / "plan.toml").write_text(plan, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["privsynth", *(arguments or ("run", str(tmp_path / "plan.toml")))])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out, printed.err

    return run_plan


def entries_of_ledger(tmp_path) -> list[str]:
    path = tmp_path / "state" / "ledger.sqlite"
    return [entry.kind for entry in Ledger.open(path).entries()] if path.exists() else []


def assert_refused(outcome, tmp_path, *words: str) -> None:
    code, out, err = outcome
    # Warnings about the policy's reach come before the ledger is asked.
    lines = [line for line in err.splitlines() if line.strip() and not line.startswith("Warning: ")]
    assert code == 2, err
    assert len(lines) == 1, err
    assert "unexpected error" not in err
    assert "Traceback" not in out + err
    assert CANARY not in out + err
    assert not out.strip()
    assert "; " in lines[0], "a message ends with what was expected or the next step"
    for word in words:
        assert word in lines[0]
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob(".privsynth-*"))
    assert not (tmp_path / "state" / "internal").exists()
    assert "reserve" not in entries_of_ledger(tmp_path)


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def with_cells(frame: pd.DataFrame, column: str, value: object, rows: int = 3) -> bytes:
    """The frame with a value in some cells, and the canary in the id of the same rows."""
    frame = frame.astype({column: object})
    frame.loc[: rows - 1, column] = value
    if column != "person":
        frame.loc[: rows - 1, "person"] = [f"{CANARY}{row}" for row in range(rows)]
    return csv_of(frame)


HEADER = "person,segment,age,income,joined,active\n"
ROW = f"{CANARY},retail,40,100.5,2020-01-01,true\n"

FILES = {
    "empty file": (b"", "is empty"),
    "only spaces": (b" \n \n", "is empty"),
    "byte order mark only": (b"\xef\xbb\xbf", "is empty"),
    "header only": (HEADER.encode(), "no rows"),
    "one row": ((HEADER + ROW).encode(), "one row cannot be protected"),
    "repeated column": ((HEADER.replace("age", "person") + ROW).encode(), "two columns named 'person'"),
    "column without a name": ((HEADER.replace("age", "") + ROW).encode(), "without a name"),
    "too many cells": ((HEADER + ROW * 3 + ROW.replace("\n", ",1\n")).encode(), "cells"),
    "too few cells": ((HEADER + ROW * 3 + CANARY + ",retail\n").encode(), "cells"),
    "NUL bytes": ((HEADER + ROW * 3).encode() + b"\x00\x00\n", "UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00" + CANARY.encode(), "UTF-8"),
    "control signs": ((HEADER + ROW).encode() + b"\xff\x01\n", "UTF-8"),
    "an open quote": ((HEADER + '"' + ROW * 3).encode(), "cells"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_csv_file_is_refused(case, run, tmp_path):
    data, words = FILES[case]
    assert_refused(run(plan_text(), files={"people.csv": data}), tmp_path, words)


@pytest.mark.parametrize("encoding", ["ascii", "utf-16", "utf-8", "no-such-encoding"])
def test_a_wrong_encoding_is_refused(encoding, run, tmp_path):
    data = (HEADER + ROW.replace("retail", "détail")).encode("latin-1")
    assert_refused(run(plan_text(table=f'encoding = "{encoding}"'), files={"people.csv": data}), tmp_path, "encoding")


def test_a_wrong_delimiter_is_refused(run, tmp_path):
    assert_refused(run(plan_text(table='delimiter = ";"'), files={"people.csv": (HEADER + ROW).encode()}), tmp_path)
    assert_refused(run(plan_text(table='delimiter = "::"'), files={"people.csv": (HEADER + ROW).encode()}), tmp_path, "delimiter")


def nested_parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"person": [CANARY], "age": [[1, 2]]}).to_parquet(buffer)
    return buffer.getvalue()


DAMAGED = {
    "parquet": ("people.parquet", b"PAR1" + CANARY.encode() * 9 + b"PAR1", "not a readable Parquet file"),
    "truncated parquet": ("people.parquet", nested_parquet()[:-20], "not a readable Parquet file"),
    "nested parquet": ("people.parquet", nested_parquet(), "nested"),
    "excel": ("people.xlsx", b"PK\x03\x04" + CANARY.encode(), "not a readable Excel file"),
    "json lines": ("people.jsonl", b'{"person": "a"}\n{"person": "' + CANARY.encode() + b"\n", "record 2 is not valid JSON"),
    "json lines of lists": ("people.jsonl", f'["{CANARY}"]\n'.encode(), "record 1 is not an object"),
    "nested json lines": ("people.jsonl", f'{{"person": {{"name": "{CANARY}"}}}}\n'.encode(), "nested"),
    "repeated name in json": ("people.jsonl", f'{{"person": "a", "person": "{CANARY}"}}\n'.encode(), "record 1"),
    "json": ("people.json", b"[1, 2", "not valid JSON"),
    "json that is no list": ("people.json", f'{{"{CANARY}": 1}}'.encode(), "not a list of records"),
    "unknown ending": ("people.sas7bdat", CANARY.encode(), "unknown ending"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused(case, run, tmp_path):
    name, data, words = DAMAGED[case]
    assert_refused(run(plan_text(path=name), files={name: data}), tmp_path, words)


def test_a_file_that_is_not_there_is_refused(run, tmp_path):
    assert_refused(run(plan_text()), tmp_path, "is not there")


def test_a_folder_in_place_of_a_file_is_refused(run, tmp_path):
    (tmp_path / "people.csv").mkdir()
    assert_refused(run(plan_text()), tmp_path, "is a folder")


def test_a_file_that_may_not_be_read_is_refused(run, tmp_path, monkeypatch):
    read_bytes = Path.read_bytes

    def denied(path):
        if path.name == "people.csv":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert_refused(run(plan_text(), files={"people.csv": b"x"}), tmp_path, "Permission denied", "check its permissions")


CELLS = {
    "infinity": ("income", "inf", "cannot be read as decimal"),
    "minus infinity": ("income", "-inf", "cannot be read as decimal"),
    "overflow to infinity": ("income", "1e999", "cannot be read as decimal"),
    "text in a number": ("age", CANARY, "cannot be read as integer"),
    "text in a truth value": ("active", CANARY, "cannot be read as boolean"),
    "text in a date": ("joined", CANARY, "cannot be read as datetime"),
    "a day that does not exist": ("joined", "2020-02-30", "cannot be read as datetime"),
    "below the bounds": ("age", 3, "3 values are outside the declared bounds, in records 1, 2 and 3"),
    "above the bounds": ("income", 7e8, "outside the declared bounds"),
    "date outside the bounds": ("joined", "1999-01-01", "outside the declared bounds"),
    "unknown category": ("segment", CANARY, "3 values are outside the declared categories, in records 1, 2 and 3"),
    "null that was declared away": ("segment", None, "declared without nulls but has 3"),
    "null person": ("person", None, "person"),
    "blank person": ("person", "  ", "person"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_that_breaks_a_declared_fact_stops_the_run(case, run, tmp_path, people):
    column, value, words = CELLS[case]
    assert_refused(run(plan_text(), files={"people.csv": with_cells(people, column, value)}), tmp_path, f"{column!r}", words)


def test_an_all_null_column_is_refused(run, tmp_path, people):
    assert_refused(run(plan_text(), files={"people.csv": with_cells(people, "income", None, rows=N_PEOPLE)}), tmp_path, "'income'", "drop")


PLANS = {
    "unknown key at the top": ({"more": "[privcy]\n"}, "did you mean 'privacy'?"),
    "unknown key in privacy": ({"privacy": "epsilom = 5.0\ndelta = 1e-6\nepsilon = 5.0"}, "did you mean 'epsilon'?"),
    "unknown key in a column": ({"columns": {"age": '{ kind = "integer", bound = [18, 110] }'}}, "did you mean 'bounds'?"),
    "unknown key in a table": ({"table": 'tarjet = "active"'}, "did you mean 'target'?"),
    "unknown kind": ({"columns": {"age": '{ kind = "intger" }'}}, "did you mean 'integer'?"),
    "unknown setting": ({"synthesis": "rows = 500\nsettings = { bin = 3 }"}, "synthesis.settings has 'bin'"),
    "unknown target": ({"table": 'target = "actve"'}, "did you mean 'active'?"),
    "unknown secret": ({"more": '[audit]\nsecrets = ["incme"]'}, "did you mean 'income'?"),
    "unknown engine": ({"synthesis": 'rows = 500\ntables = "tre"'}, "did you mean 'tree'?"),
    "embedded text": (
        {"columns": {"segment": '{ kind = "text" }'}, "synthesis": 'rows = 500\ntext = "embedded"'},
        "needs people under [dataset]",
    ),
    "missing epsilon": ({"privacy": "delta = 1e-6"}, "'privacy.epsilon' is missing"),
    "missing delta": ({"privacy": "epsilon = 5.0"}, "'privacy.delta' is missing"),
    "missing unit": ({"dataset": 'name = "people"'}, "'dataset.privacy_unit' is missing"),
    "missing name": ({"dataset": 'privacy_unit = "person"'}, "'dataset.name' is missing"),
    "epsilon zero": ({"privacy": "epsilon = 0.0\ndelta = 1e-6"}, "epsilon=0.0"),
    "epsilon below zero": ({"privacy": "epsilon = -1\ndelta = 1e-6"}, "epsilon=-1.0"),
    "epsilon not a number": ({"privacy": "epsilon = nan\ndelta = 1e-6"}, "epsilon=nan"),
    "epsilon a word": ({"privacy": 'epsilon = "abc"\ndelta = 1e-6'}, "epsilon='abc'"),
    "delta zero": ({"privacy": "epsilon = 5.0\ndelta = 0.0"}, "delta=0.0"),
    "delta one": ({"privacy": "epsilon = 5.0\ndelta = 1"}, "delta=1.0"),
    "delta above the limit": ({"privacy": "epsilon = 5.0\ndelta = 1e-4"}, "1/(10 x people) = 5e-05 for 2000 people"),
    "unit not a column": ({"dataset": 'name = "people"\nprivacy_unit = "persn"'}, "did you mean 'person'?"),
    "two tables": ({"more": "[tables.other]\npath = 'b.csv'\ncolumns = { a = { kind = \"text\" } }"}, "one table"),
    "column that the plan does not know": ({"columns": {"income": ""}}, "column 'income' is in the file but not in the plan"),
    "column that the file does not have": ({"columns": {"height": '{ kind = "integer" }'}}, "column 'height' of table 'people' is not in the file"),
    "bounds the wrong way": ({"columns": {"age": '{ kind = "integer", bounds = [110, 18] }'}}, "the smaller first"),
    "a map that is not there": (
        {"columns": {"segment": '{ kind = "categorical", determines = { active = "map.csv" } }'}},
        "cannot be read",
    ),
    "a policy that is not there": ({"more": '[audit]\npolicy = "none.toml"'}, "policy"),
    "too few people for the budget": ({"privacy": "epsilon = 0.001\ndelta = 1e-6"}, "are too few for epsilon=0.001; expected at least"),
    "no column to model": (
        {"columns": {name: '{ kind = "drop" }' for name in COLUMNS if name != "person"}, "table": ""},
        "no column that can be modelled",
    ),
    "not TOML": ({"more": "[["}, "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANS)
def test_a_bad_plan_is_refused(case, run, tmp_path, people):
    sections, words = PLANS[case]
    assert_refused(run(plan_text(**sections), files={"people.csv": csv_of(people)}), tmp_path, words)


def test_a_plan_that_is_not_there_is_refused(run, tmp_path):
    assert_refused(run(None, "run", str(tmp_path / "plan.toml")), tmp_path, "privsynth init")


def test_a_plan_in_another_encoding_is_refused(run, tmp_path):
    (tmp_path / "plan.toml").write_bytes(plan_text().encode().replace(b"people", b"p\xffople"))
    assert_refused(run(None, "run", str(tmp_path / "plan.toml")), tmp_path, "UTF-8")


def test_too_few_people_are_told_the_minimum_that_then_suffices(run, tmp_path, people):
    code, _, err = run(plan_text(), files={"people.csv": csv_of(people.head(20))})
    assert code == 2
    assert "people=20 are too few" in err
    needed = int(err.split("expected at least ")[1].split(",")[0])
    assert 20 < needed <= N_PEOPLE
    assert_refused(run(plan_text(), files={"people.csv": csv_of(people.head(needed - 1))}), tmp_path, f"at least {needed}")


def test_new_personal_data_stop_the_run(run, tmp_path, people):
    frame = people.assign(segment=[f"{CANARY.lower()}.{row}@mail{row % 7}.org" for row in range(N_PEOPLE)])
    plan = plan_text(columns={"segment": '{ kind = "categorical" }'})
    outcome = run(plan, files={"people.csv": csv_of(frame)})
    assert CANARY.lower() not in outcome[2]
    assert_refused(outcome, tmp_path, "'segment'", "EMAIL_ADDRESS")


@pytest.mark.parametrize("place", ["there already", "below a file", "read-only disk", "not absolute and above a file"])
def test_a_release_folder_that_cannot_be_written_is_refused(place, run, tmp_path, people, monkeypatch):
    folder = {"there already": "taken", "below a file": "people.csv/out", "not absolute and above a file": "people.csv"}.get(
        place, "disk/out"
    )
    (tmp_path / "taken").mkdir()
    (tmp_path / "disk").mkdir()
    if place == "read-only disk":
        mkdir = Path.mkdir

        def refused(path, *arguments, **keywords):
            if path.parent.name == "disk":
                raise OSError(30, "Read-only file system")
            mkdir(path, *arguments, **keywords)

        monkeypatch.setattr(Path, "mkdir", refused)
    outcome = run(plan_text(release=f'folder = "{folder}"'), files={"people.csv": csv_of(people)})
    assert_refused(outcome, tmp_path, "folder=")
    assert list((tmp_path / "taken").iterdir()) == []
    assert list((tmp_path / "disk").iterdir()) == []


def test_an_internal_folder_inside_the_release_is_refused(run, tmp_path, people):
    (tmp_path / "people.csv").write_bytes(csv_of(people))
    (tmp_path / "plan.toml").write_text(plan_text())
    outcome = run(None, "run", str(tmp_path / "plan.toml"), "--internal", str(tmp_path / "out" / "internal"))
    assert_refused(outcome, tmp_path, "inside the release folder")


def test_an_exhausted_budget_says_what_is_left(run, tmp_path, people):
    Ledger.open(tmp_path / "state" / "ledger.sqlite").set_cap("people", 2.0)
    outcome = run(plan_text(), files={"people.csv": csv_of(people)})
    assert_refused(outcome, tmp_path, "2 left of its cap 2", "set epsilon to at most 2")


def test_a_damaged_ledger_is_refused(run, tmp_path, people):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.sqlite").write_bytes(b"no database" * 100)
    code, out, err = run(plan_text(), files={"people.csv": csv_of(people)})
    assert code == 2
    assert not out.strip()
    assert "is damaged" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rn"], "UsageError"),
        (["run"], "UsageError"),
        (["run", "plan.toml", "--fast"], "--fast"),
        (["audit", "--train", "a.csv"], "--synthetic"),
        (["scan", "none.csv"], "is not there"),
        (["scan", "none.csv", "--show-values"], "needs a terminal"),
        (["init", "none.csv", "--out", "draft.toml"], "is not there"),
        (["check", "none.toml"], "is not there"),
        (["report", "none"], "cannot be read"),
        (["ledger", "--cap", "people"], "belong together"),
        (["ledger", "--cap", "people", "--epsilon", "-1"], "above 0"),
        (["ledger", "--cap", "people", "--epsilon", "x"], "--epsilon"),
    ],
)
def test_wrong_usage_is_one_line(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(None, *arguments)
    assert code == 2
    assert len([line for line in err.splitlines() if line.strip()]) == 1
    assert words in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "draft.toml").exists()


def test_nothing_is_left_in_the_temporary_folder(run, tmp_path, people, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert_refused(run(plan_text(), files={"people.csv": with_cells(people, "age", 3)}), tmp_path)
    assert list(folder.iterdir()) == []


def test_debug_shows_where_an_error_came_from(run, tmp_path, monkeypatch):
    from privsynth.errors import PlanError

    monkeypatch.setattr(sys, "argv", ["privsynth", "run", str(tmp_path / "none.toml"), "--debug"])
    with pytest.raises(PlanError, match="is not there"):
        main()


def test_an_unexpected_error_does_not_show_its_message(run, tmp_path, monkeypatch):
    def broken(*arguments, **keywords):
        raise RuntimeError(CANARY)

    monkeypatch.setattr("privsynth.config.Plan.load", broken)
    code, out, err = run(plan_text())
    assert code == 2
    assert CANARY not in out + err
    assert "RuntimeError: an unexpected error" in err
