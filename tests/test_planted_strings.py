"""Strings that nobody else has, planted in every column of the sample bank: they are refused or they stay inside, and nothing quotes them."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import shutil
import sys
import tempfile
import tomllib
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privsynth.cli import main
from privsynth.stages import RunFolder

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"
CANARY = "Qxz7canary"
ROW = 7


def columns_of(*kinds: str) -> list[str]:
    """Columns of the sample plan that are modelled (``typed``) or are not: personal, identifiers and text."""
    columns = tomllib.loads((SAMPLE / "plan.toml").read_text(encoding="utf-8"))["tables"]["clients"]["columns"]
    apart = [name for name, facts in columns.items() if facts["kind"] in ("identifier", "text") or facts.get("pii", "none") != "none"]
    return [name for name in columns if (name in apart) == ("apart" in kinds)]


def planted(base: Path, columns: dict[str, str], *, rows: int | None = None) -> Path:
    """The sample bank with one client's values replaced; returns the plan."""
    frame = pd.read_csv(SAMPLE / "clients.csv", dtype=str, keep_default_na=False).head(rows or 10**9)
    for column, value in columns.items():
        frame.loc[ROW, column] = value
    frame.to_csv(base / "clients.csv", index=False)
    shutil.copy(SAMPLE / "postcodes.csv", base)
    shutil.copy(SAMPLE / "plan.toml", base)
    return base / "plan.toml"


def call(base: Path, *arguments: str) -> tuple[int, str]:
    """The command line in this process: its exit code, and all that it printed or logged."""
    shown, log = io.StringIO(), io.StringIO()
    (base / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        patch.setenv("PRIVSYNTH_LEDGER", str(base / "state" / "ledger.sqlite"))
        patch.setattr(sys, "argv", ["privsynth", *arguments])
        patch.setattr(tempfile, "tempdir", str(base / "temporary"))
        patch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(log)])
        patch.setattr(logging.getLogger(), "level", logging.DEBUG)
        with pytest.raises(SystemExit) as stopped:
            main()
    return int(stopped.value.code or 0), shown.getvalue() + log.getvalue()


def content_of(path: Path) -> bytes:
    """A file's bytes in lower case, with what is compressed in it unpacked."""
    data = path.read_bytes()
    parts = [data]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts += [archive.read(name) for name in archive.namelist()]
    if path.suffix == ".feather":
        parts.append(pd.read_feather(path).to_csv().encode())
    if data.startswith(b"%PDF"):
        for stream in re.findall(rb"stream\r?\n(.*?)endstream", data, flags=re.DOTALL):
            with contextlib.suppress(zlib.error):
                parts.append(zlib.decompressobj().decompress(stream))
    return b"\n".join(parts).lower()


def holding(base: Path, word: str) -> list[str]:
    """Files below the folder, but for the bank's own table, that hold the word."""
    files = [path for path in base.rglob("*") if path.is_file() and path != base / "clients.csv"]
    return [str(path.relative_to(base)) for path in files if word.lower().encode() in content_of(path)]


@pytest.mark.parametrize("column", columns_of("typed"))
def test_a_string_in_a_typed_column_is_refused_without_being_quoted(column, tmp_path):
    plan = planted(tmp_path, {column: CANARY}, rows=300)
    code, shown = call(tmp_path, "run", str(plan))
    assert code == 2
    assert column in shown
    assert CANARY.lower() not in shown.lower()
    assert holding(tmp_path, CANARY) == []
    assert not (tmp_path / "out").exists()


def test_every_column_of_the_sample_is_tested():
    assert len(columns_of("typed")) == 11
    assert set(columns_of("apart")) == {"client_id", "name", "email", "phone", "iban", "national_id", "street_address", "notes"}


def test_the_search_finds_what_is_compressed(tmp_path):
    frame = pd.DataFrame({"a": [f"{CANARY}{row}" for row in range(500)]})
    frame.to_feather(tmp_path / "a.feather")
    np.savez_compressed(tmp_path / "b.npz", a=np.frombuffer(CANARY.encode() * 50, dtype=np.uint8))
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7\nstream\n" + zlib.compress(CANARY.encode() * 50) + b"\nendstream")
    (tmp_path / "d.txt").write_text("nothing")
    assert sorted(holding(tmp_path, CANARY)) == ["a.feather", "b.npz", "c.pdf"]


@pytest.mark.slow
def test_strings_in_all_personal_columns_reach_no_file_and_no_screen(tmp_path, monkeypatch):
    """One whole run of the sample's plan; the run folder is searched before its stages are removed, and everything after."""
    canaries = {column: f"Qxz{number}{column.replace('_', '')}" for number, column in enumerate(columns_of("apart"))}
    plan = planted(tmp_path, canaries)
    found_inside: list[str] = []
    close = RunFolder.close

    def searched(run, state):
        found_inside.extend(path for word in canaries.values() for path in holding(tmp_path, word))
        return close(run, state)

    monkeypatch.setattr(RunFolder, "close", searched)
    code, shown = call(tmp_path, "run", str(plan))
    assert code in (0, 3), shown
    released = pd.read_csv(next((tmp_path / "out").rglob("clients.csv")), dtype=str)
    assert len(released) == 5000
    assert found_inside == []
    for word in canaries.values():
        assert word.lower() not in shown.lower()
        assert holding(tmp_path, word) == []
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()] == []
