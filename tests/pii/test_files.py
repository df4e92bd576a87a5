"""Several files at once: read, scanned, pseudonymised and written back in their own formats, from the command line."""

import contextlib
import io
import json
import stat
import sys

import pandas as pd
import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")
pytest.importorskip("spacy")
pytest.importorskip("openpyxl")

from privsynth import cli, sources
from privsynth.errors import SourceError
from privsynth.pii import files, ner

CLIENTS = pd.DataFrame(
    {
        "client_id": [f"K{4711 + 13 * i}" for i in range(40)],
        "name": [f"{first} Okonkwo" for first in ("Anna", "Karl", "Mary", "John")] * 10,
        "segment": ["retail", "private"] * 20,
        "notes": [
            "Spoke with Mrs. Okonkwo about the fee and the card.",
            "Nothing to report for this client.",
            "Mail to a.okonkwo@bank.com, please.",
        ]
        * 13
        + ["ok then"],
    }
)
VISITS = pd.DataFrame({"client_id": CLIENTS["client_id"], "visits": range(40)})
LETTER = "Dear Mrs. Okonkwo,\nthe card is ready.\n"


@pytest.fixture(autouse=True)
def embedded_only(monkeypatch):
    monkeypatch.delenv(ner.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(ner, "INSTALLED", {})


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "data"
    (home / "letters").mkdir(parents=True)
    CLIENTS.to_csv(home / "clients.csv", index=False)
    VISITS.to_parquet(home / "visits.parquet", index=False)
    VISITS.to_excel(home / "sheet.xlsx", index=False)
    VISITS.to_json(home / "lines.jsonl", orient="records", lines=True)
    (home / "letters" / "one.txt").write_text(LETTER, encoding="utf-8")
    (home / "image.png").write_bytes(b"x")
    return home


def call(monkeypatch, *arguments):
    """Exit code and standard output of a command."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "argv", ["privsynth", *map(str, arguments)])
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code, out.getvalue() + err.getvalue()


def test_a_folder_is_tables_and_documents_and_says_what_it_left_out(folder):
    inputs = files.read_inputs([folder])
    assert set(inputs.tables) == {"clients", "visits", "sheet", "lines"}
    assert inputs.documents == {"letters/one.txt": LETTER}
    assert any("1 files of other kinds were left out" in note for note in inputs.notes)


def test_names_that_clash_and_nothing_at_all_are_refused(tmp_path, folder):
    with pytest.raises(SourceError, match="two inputs are called 'clients'"):
        files.read_inputs([folder / "clients.csv", folder])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="nothing to read"):
        files.read_inputs([tmp_path / "empty"])


def test_scan_counts_columns_spans_and_documents(folder, monkeypatch):
    code, shown = call(monkeypatch, "scan", folder, "--json")
    found = json.loads(shown)
    assert code == 0
    notes = next(finding for finding in found["tables"]["clients"]["findings"] if finding["column"] == "notes")
    assert notes["spans"]["PERSON"] >= 1
    assert notes["ner"] == ner.EMBEDDED
    assert found["documents"] == [{"name": "letters/one.txt", "spans": {"PERSON": 1, "TITLE": 1}, "language": "en", "ner": ner.EMBEDDED}]
    assert "Okonkwo" not in shown


@pytest.mark.parametrize(("types", "code"), [("PERSON", 1), ("US_SSN,CREDIT_CARD", 0), ("EMAIL_ADDRESS", 1)])
def test_a_gate_fails_on_what_stands_in_one_text(folder, monkeypatch, types, code):
    assert call(monkeypatch, "scan", folder, "--fail-on", types)[0] == code


def test_a_gate_on_an_unknown_type_is_refused(folder, monkeypatch):
    code, shown = call(monkeypatch, "scan", folder, "--fail-on", "PERSN")
    assert code == 2
    assert "PERSN" in shown


def test_a_gate_looks_at_every_value(tmp_path, monkeypatch):
    frame = pd.DataFrame({"remark": [f"The client called about the fee and the card number {i} again." for i in range(900)]})
    frame.loc[777, "remark"] = "The client called about the fee from hidden@bank.com again today."
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert call(monkeypatch, "scan", tmp_path / "t.csv", "--fail-on", "EMAIL_ADDRESS", "--ner", "none")[0] == 1


def test_recall_is_printed_with_its_interval_and_the_review_list_is_private(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "PLANTED_TYPES", ("EMAIL_ADDRESS",))
    code, shown = call(monkeypatch, "scan", folder / "clients.csv", "--recall", "--review", tmp_path / "review.json")
    assert code == 0
    assert "Recall on clients.notes" in shown
    assert "0.964 to 1.000" in shown  # 100 of 100, Clopper-Pearson
    assert "mentions of the row's own name" in " ".join(shown.split())
    assert stat.S_IMODE((tmp_path / "review.json").stat().st_mode) == 0o600
    assert list(json.loads((tmp_path / "review.json").read_text())) == ["clients.notes"]


def test_recall_without_text_is_refused(folder, monkeypatch):
    code, shown = call(monkeypatch, "scan", folder / "visits.parquet", "--recall")
    assert code == 2
    assert "no free text" in shown


def test_strip_writes_every_file_in_its_format_and_destroys_the_key(folder, monkeypatch, tmp_path):
    code, shown = call(monkeypatch, "strip", folder, "--person", "client_id", "--out", tmp_path / "out", "--column", "name=PERSON")
    assert code == 0
    assert shown.startswith("Pseudonymised only")
    assert "Key: destroyed." in shown
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert written == {"clients.csv", "visits.parquet", "sheet.xlsx", "lines.jsonl", "letters/one.txt"}
    tables = {name: sources.read(tmp_path / "out" / name).frame for name in written if not name.endswith(".txt")}
    keys = {name: list(frame["client_id"].astype(str)) for name, frame in tables.items()}
    assert len(set(map(tuple, keys.values()))) == 1
    assert set(keys["clients.csv"]).isdisjoint(CLIENTS["client_id"]) or len(set(keys["clients.csv"])) == 40
    letter = (tmp_path / "out" / "letters" / "one.txt").read_text()
    surname = letter.split("Mrs. ")[1].split(",")[0]
    assert letter == LETTER.replace("Okonkwo", surname)
    assert all(name.endswith(" " + surname) for name in tables["clients.csv"]["name"])
    assert not any("okonkwo" in file.read_bytes().lower().decode("latin-1") for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert not [file for file in tmp_path.iterdir() if file.name not in ("data", "out")]


def test_a_kept_key_repeats_the_surrogates(folder, monkeypatch, tmp_path):
    first = ["strip", folder / "clients.csv", "--out", tmp_path / "a", "--keep-key", tmp_path / "key"]
    assert call(monkeypatch, *first)[0] == 0
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert call(monkeypatch, "strip", folder / "clients.csv", "--out", tmp_path / "b", "--key", tmp_path / "key")[0] == 0
    assert (tmp_path / "a" / "clients.csv").read_bytes() == (tmp_path / "b" / "clients.csv").read_bytes()
    assert call(monkeypatch, "strip", folder / "clients.csv", "--out", tmp_path / "c")[0] == 0
    assert (tmp_path / "a" / "clients.csv").read_bytes() != (tmp_path / "c" / "clients.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "nmae=PERSON"], "'nmae' is in none of the tables"), (["--column", "name"], "COLUMN=TYPE"), (["--method", "x"], "surrogate"),
        (["--key", "none.key"], "cannot be read"), (["--key", "k", "--keep-key", "k"], "exclude each other"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused_and_nothing_is_written(folder, monkeypatch, tmp_path, options, message):
    code, shown = call(monkeypatch, "strip", folder / "clients.csv", "--out", tmp_path / "out", *options)
    assert code == 2
    assert message in shown
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(folder, monkeypatch, tmp_path):
    code, shown = call(monkeypatch, "strip", folder / "clients.csv", "--out", folder)
    assert code == 2
    assert "nothing is overwritten" in shown
    assert sorted(file.name for file in folder.iterdir()) == [
        "clients.csv",
        "image.png",
        "letters",
        "lines.jsonl",
        "sheet.xlsx",
        "visits.parquet",
    ]
