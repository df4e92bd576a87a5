"""Excel workbooks of releases: values keep their type, text that a spreadsheet would run is text, nothing is changed silently."""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
import pytest
from test_hostile import FORMULAS, HARMLESS

pytest.importorskip("openpyxl", reason="the extra excel is not installed")

import openpyxl

from privsynth import sources, spreadsheet
from privsynth.dataset import conform
from privsynth.errors import SourceError
from privsynth.schema import Column, Schema, Table

TABLE = Table(
    name="t",
    columns=(
        Column(name="=name", kind="categorical", categories=("=1+1", "plain", "Zürich 🦊")),
        Column(name="count", kind="integer"),
        Column(name="price", kind="decimal", step=0.05),
        Column(name="day", kind="datetime", step=86_400),
        Column(name="early", kind="datetime", step=86_400),
        Column(name="seen", kind="datetime", step=1, zone="Europe/Zurich"),
        Column(name="at", kind="datetime", step=1),
        Column(name="member", kind="boolean"),
    ),
)
SCHEMA = Schema(tables=(TABLE,), privacy_unit="row")


def typed():
    raw = {
        "=name": ["=1+1", "plain", None],
        "count": ["-5", str(2**62), None],
        "price": ["1.5", "2.05", None],
        "day": ["2020-02-29", "9999-12-31", None],
        "early": ["1899-12-31", "2020-01-01", None],
        "seen": ["2024-07-01T12:00:00+02:00", "2024-01-01T12:00:00+01:00", None],
        "at": ["2024-07-01T23:59:59", "2024-01-01T00:00:00", None],
        "member": ["true", "false", None],
    }
    return conform(pd.DataFrame(raw, dtype=object), SCHEMA, TABLE)[0]


def sheet_of(path):
    return openpyxl.load_workbook(path).active


@pytest.mark.parametrize("text", [*FORMULAS, *(text for text in HARMLESS if text), "#N/A", "TRUE", "2020-01-01", "_x0041_", "a\x0bb"])
def test_text_is_text_whatever_it_looks_like(text, tmp_path):
    frame = pd.DataFrame({text: [text, "x"]}, dtype=object)
    sources.write(frame, tmp_path / "t.xlsx")
    sheet = sheet_of(tmp_path / "t.xlsx")
    shown = text.replace("_x0041_", "_x005F_x0041_").replace("\x0b", "_x000B_").replace("\r", "_x000D_")  # as ECMA-376 writes them
    for cell in (sheet["A1"], sheet["A2"]):
        assert (cell.value, cell.data_type) == (shown, "s")
        assert cell.quotePrefix == spreadsheet.is_formula(text)
    assert not sheet["A3"].quotePrefix
    with zipfile.ZipFile(tmp_path / "t.xlsx") as packed:
        assert b"<f>" not in packed.read("xl/worksheets/sheet1.xml")


def test_numbers_dates_and_truth_values_keep_their_type(tmp_path):
    sources.write(typed(), tmp_path / "t.xlsx", table=TABLE)
    sheet = sheet_of(tmp_path / "t.xlsx")
    assert [cell.data_type for cell in sheet[2]] == ["s", "n", "n", "d", "s", "s", "d", "b"]
    assert [cell.number_format for cell in sheet[2]][2:4] == ["0.00", "yyyy-mm-dd"]
    assert sheet["B2"].value == -5
    assert (sheet["B3"].value, sheet["B3"].data_type) == (str(2**62), "s")  # a float64 would lose its last digits
    assert [sheet["E2"].value, sheet["F2"].value] == ["1899-12-31", "2024-07-01T12:00:00+0200"]
    assert [cell.value for cell in sheet[4]] == [None] * 8


def test_what_was_written_is_read_as_it_was(tmp_path):
    sources.write(typed(), tmp_path / "t.xlsx", table=TABLE)
    again = conform(sources.read(tmp_path / "t.xlsx").frame, SCHEMA, TABLE)[0]
    pd.testing.assert_frame_equal(again.iloc[:2], typed().iloc[:2])


def test_without_a_schema_infinities_and_times_are_written_too(tmp_path):
    frame = pd.DataFrame({"d": [np.inf, 0.1], "t": np.array(["2020-01-01T00:00:00", "NaT"], dtype="datetime64[s]")})
    sources.write(frame, tmp_path / "t.xlsx")
    sheet = sheet_of(tmp_path / "t.xlsx")
    assert [sheet["A2"].value, sheet["A3"].value, sheet["B3"].value] == ["inf", 0.1, None]
    assert sheet["B2"].value == pd.Timestamp("2020-01-01")


def test_what_a_sheet_cannot_hold_is_refused_and_no_cell_is_cut(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="a text of 32768 signs"):
        sources.write(pd.DataFrame({"t": ["x" * 32_768]}), tmp_path / "t.xlsx")
    monkeypatch.setattr(spreadsheet, "MOST_ROWS", 1)
    with pytest.raises(SourceError, match="would have 2 rows"):
        sources.write(pd.DataFrame({"t": ["x", "y"]}), tmp_path / "t.xlsx")
    assert not list(tmp_path.iterdir())
