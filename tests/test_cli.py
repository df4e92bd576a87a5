"""The command line from end to end: one run of a plan, and every command on what it left."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth import __version__
from privsynth.cli import main
from privsynth.config import Plan
from privsynth.dataset import conform
from privsynth.privacy import Ledger
from privsynth.report.summary import VENDOR_KEYS
from privsynth.signing import generate_key

N_PEOPLE = 2003
N_CLIPPED = 41

CANARIES = {
    "person": "Qxzidentifier",
    "name": "Qxzfirst Qxzlast",
    "email": "qxzmailbox@qxzhost.org",
    "city": "Qxztown",
    "notes": "Qxznote",
    "internal_code": "Qxzdropped",
    "income": "123456.79",
}
"""One value of one person per column whose domain is not declared cell by cell; ``income`` is one of 50 million cells."""

PLAN = """
[dataset]
name = "bank clients"
privacy_unit = "person"
people = 2000
[tables.clients]
path = "clients.csv"
target = "active"
on_violation = "clip"
[tables.clients.columns]
person  = { kind = "identifier" }
name    = { pii = "PERSON" }
email   = { pii = "EMAIL_ADDRESS" }
notes   = { kind = "text" }
internal_code = { kind = "drop" }
segment = { kind = "categorical", categories = ["retail", "private", "business"], nullable = false }
city    = { kind = "categorical", pii = "none" }
age     = { kind = "integer", bounds = [18, 110], nullable = false, quasi_identifier = true }
income  = { kind = "decimal", bounds = [0, 500000], step = 0.01 }
joined  = { kind = "datetime", bounds = [2015-01-01, 2025-01-01] }
active  = { kind = "boolean", nullable = false }
[privacy]
epsilon = 4.0
delta = 1e-6
[synthesis]
rows = 700
[release]
folder = "out"
purpose = "a test <script>alert(1)</script>"
recipient = "Example & Sons"
"""


def clients() -> pd.DataFrame:
    """People with values of every kind, and one person who is a canary in each of them."""
    frame = fakes.people(N_PEOPLE)
    rng = np.random.default_rng(1)
    frame["name"] = [f"Person{row} Family{row}" for row in range(N_PEOPLE)]
    frame["email"] = [f"person{row}@example.org" for row in range(N_PEOPLE)]
    frame["notes"] = [f"Called on day {row}, wants a new card." for row in range(N_PEOPLE)]
    frame["internal_code"] = rng.integers(0, 9, N_PEOPLE).astype(str)
    frame["city"] = rng.choice(["Ulm", "Bonn", "Kiel"], N_PEOPLE)
    frame.loc[100 : 99 + N_CLIPPED, "age"] = 150
    frame = frame.astype({"income": object})
    for column, value in CANARIES.items():
        frame.loc[7, column] = value
    return frame


@dataclass
class Ran:
    """What one call of the command line did."""

    base: Path
    code: int
    out: str
    err: str
    log: str


def call(base: Path, *arguments: str) -> Ran:
    """The command line in this process, with the ledger of ``base``."""
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("PRIVSYNTH_LEDGER", str(base / "state" / "ledger.sqlite"))
        patch.setattr(sys, "argv", ["privsynth", *arguments])
        patch.setattr(logging.getLogger(), "handlers", [handler])
        patch.setattr(logging.getLogger(), "level", logging.DEBUG)
        with pytest.raises(SystemExit) as stopped:
            main()
    return Ran(base=base, code=int(stopped.value.code or 0), out=out.getvalue(), err=err.getvalue(), log=log.getvalue())


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One whole run; its coins and its sampling are fixed, so that its figures are the same in every test run."""
    base = tmp_path_factory.mktemp("run")
    (base / "temporary").mkdir()
    clients().to_csv(base / "clients.csv", index=False)
    generate_key(base / "build.key", passphrase=None)
    (base / "plan.toml").write_text(PLAN + 'sign_key = "build.key"\n')
    fresh = np.random.default_rng
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(base / "temporary"))
        patch.setattr("privsynth.pipeline.SystemNoise", lambda: fakes.SeededNoise(0))
        patch.setattr("privsynth.pipeline.np.random.default_rng", lambda seed=0: fresh(seed))
        return call(base, "run", str(base / "plan.toml"))


def internal_folder(ran) -> Path:
    (folder,) = (ran.base / "state" / "internal").iterdir()
    return folder


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def numbers_in(value) -> set[float]:
    if isinstance(value, dict):
        return set().union(*map(numbers_in, value.values()), set())
    if isinstance(value, list):
        return set().union(*map(numbers_in, value), set())
    return {value} if isinstance(value, int | float) and not isinstance(value, bool) else set()


def test_a_run_prints_where_things_are_and_exits_by_its_verdict(ran):
    report = read_json(internal_folder(ran) / "report.json")
    assert ran.code == {"pass": 0, "inconclusive": 3}[report["verdict"]["light"]]
    assert str(ran.base / "out") in ran.out
    assert ("may be handed over" in ran.out) == (report["verdict"]["light"] == "pass")
    assert "do not hand over" in ran.out
    assert "epsilon <= 4 and delta = 1e-06" in ran.out


def test_the_release_folder_holds_these_files_and_no_other(ran):
    files = {str(path.relative_to(ran.base / "out")) for path in (ran.base / "out").rglob("*") if path.is_file()}
    assert files == {
        "data/clients.csv",
        "croissant.json",
        "report.html",
        "report.json",
        "report.pdf",
        "manifest.json",
        "manifest.dsse.json",
    }


def test_the_manifest_names_every_file_with_its_hash(ran):
    manifest = read_json(ran.base / "out" / "manifest.json")
    assert {entry["path"] for entry in manifest["files"]} == {
        "data/clients.csv",
        "croissant.json",
        "report.html",
        "report.json",
        "report.pdf",
    }
    for entry in manifest["files"]:
        data = (ran.base / "out" / entry["path"]).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry["sha256"], entry["bytes"])


def test_the_release_verifies_with_the_public_key_alone(ran, tmp_path):
    (tmp_path / "build.pub").write_bytes((ran.base / "build.pub").read_bytes())
    found = call(tmp_path, "verify", str(ran.base / "out"), "--key", str(tmp_path / "build.pub"))
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith("Accepted: ")


def test_nothing_of_the_private_key_is_in_the_release_or_beside_the_ledger(ran):
    secret = (ran.base / "build.key").read_bytes().splitlines()[1]
    assert len(secret) == 64
    for folder in ("out", "state"):
        assert [path for path in (ran.base / folder).rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def test_the_manifest_holds_no_plain_hash_of_an_internal_file(ran):
    text = (ran.base / "out" / "manifest.json").read_text()
    for path in internal_folder(ran).iterdir():
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() not in text


def test_internal_files_are_for_their_owner_only(ran):
    assert stat.S_IMODE(internal_folder(ran).stat().st_mode) == 0o700
    files = {"report.html", "report.json", "report.pdf", "plan.json", "ledger.json", "commitment.json", "model", "run.json", "run.key"}
    assert files == {path.name for path in internal_folder(ran).iterdir()}


def test_the_released_table_satisfies_the_declared_schema(ran):
    schema = Plan.load(ran.base / "plan.toml").declared_schema()
    table = schema.tables[0]
    released = pd.read_csv(ran.base / "out" / "data" / "clients.csv", dtype=str, keep_default_na=False)
    kept = table.with_columns(column for column in table.columns if column.kind != "text")
    typed, clipped = conform(released, schema, kept)
    assert len(typed) == 700
    assert not clipped
    assert typed["person"].is_unique
    assert set(typed["city"].dropna()) <= {"Ulm", "Bonn", "Kiel"}


def test_the_ledger_has_a_reservation_and_its_commit(ran):
    ledger = Ledger.open(ran.base / "state" / "ledger.sqlite")
    entries = [entry for entry in ledger.entries() if entry.kind in ("reserve", "commit")]
    assert [entry.kind for entry in entries][:2] == ["reserve", "commit"]
    manifest = read_json(ran.base / "out" / "manifest.json")
    assert entries[0].body["id"] == entries[1].body["id"] == manifest["event_id"]
    assert ledger.contains(manifest["ledger_head"])
    assert ledger.balance("bank clients").epsilon <= 4.0


def text_in(path: Path) -> str:
    """What a file says to a reader."""
    if path.suffix != ".pdf":
        return path.read_text(encoding="utf-8")
    from pypdf import PdfReader

    return "".join(page.extract_text() for page in PdfReader(path).pages)


def test_no_canary_leaves_the_internal_folder(ran):
    shown = {"stdout": ran.out, "stderr": ran.err, "log": ran.log}
    shown |= {str(path): text_in(path) for path in (ran.base / "out").rglob("*") if path.is_file()}
    for place, text in shown.items():
        for column, canary in CANARIES.items():
            for word in canary.split():
                assert word.lower() not in text.lower(), f"the canary of {column!r} is in {place}"


def test_no_original_value_of_a_dropped_or_personal_column_is_released(ran):
    original = clients()
    released = pd.read_csv(ran.base / "out" / "data" / "clients.csv", dtype=str)
    assert "notes" not in released
    assert "internal_code" not in released
    for column in ("person", "email"):
        assert not set(released[column]) & set(original[column])


def test_no_canary_stands_in_the_internal_reports_or_the_ledger(ran):
    for path in [*internal_folder(ran).rglob("*.json"), *internal_folder(ran).rglob("*.html"), ran.base / "state" / "ledger.sqlite"]:
        data = path.read_bytes().lower()
        for column, canary in CANARIES.items():
            assert canary.lower().encode() not in data, f"the canary of {column!r} is in {path.name}"


def test_nothing_is_left_in_temporary_places(ran):
    assert not [path for path in (ran.base / "temporary").rglob("*") if path.is_file()]
    assert {path.name for path in ran.base.iterdir()} <= {
        "temporary",
        "clients.csv",
        "plan.toml",
        "state",
        "out",
        "other.toml",
        "build.key",
        "build.pub",
    }
    assert not list(ran.base.rglob("*.part"))


def test_the_vendor_report_has_allowed_keys_only(ran):
    report = read_json(ran.base / "out" / "report.json")
    assert set(report) == {"edition", "verdict", "legal", *VENDOR_KEYS}
    assert set(report["verdict"]) == {"light"}
    assert report["verdict"]["light"] in ("pass", "not passed")


def test_exact_counts_stay_in_the_internal_report(ran):
    vendor, internal = read_json(ran.base / "out" / "report.json"), read_json(internal_folder(ran) / "report.json")
    counts = internal["counts"]
    assert sum(counts["people"].values()) == N_PEOPLE
    assert counts["clipped"] == {"age": N_CLIPPED}
    exact = numbers_in(counts)
    assert len(exact) >= 4
    assert not exact & numbers_in(vendor)
    page = (ran.base / "out" / "report.html").read_text()
    assert str(counts["people"]["train"]) not in page


def test_a_second_run_of_the_same_people_is_refused_by_the_cap(ran):
    (ran.base / "other.toml").write_text(PLAN.replace('folder = "out"', 'folder = "again"'))
    again = call(ran.base, "run", str(ran.base / "other.toml"))
    assert again.code == 2
    assert "'bank clients' has" in again.err
    assert "left of its cap 4" in again.err
    assert not (ran.base / "again").exists()


def test_the_same_people_under_another_name_are_refused(ran):
    (ran.base / "other.toml").write_text(PLAN.replace("bank clients", "other").replace('folder = "out"', 'folder = "again"'))
    again = call(ran.base, "run", str(ran.base / "other.toml"))
    assert again.code == 2
    assert "shares people with 'bank clients'" in again.err
    assert not (ran.base / "again").exists()


def test_report_renders_the_stored_vendor_edition_from_either_folder(ran):
    stored = (ran.base / "out" / "report.html").read_text()
    assert call(ran.base, "report", str(ran.base / "out")).out == stored
    assert call(ran.base, "report", str(internal_folder(ran))).out == stored
    internal = call(ran.base, "report", str(internal_folder(ran)), "--edition", "internal")
    assert internal.out == (internal_folder(ran) / "report.html").read_text()


def test_report_refuses_the_internal_edition_of_a_release_folder(ran):
    refused = call(ran.base, "report", str(ran.base / "out"), "--edition", "internal")
    assert refused.code == 2
    assert "vendor edition only" in refused.err


def test_ledger_proves_the_chain_and_knows_the_release(ran):
    shown = call(ran.base, "ledger", "--check", "--release", str(ran.base / "out"))
    assert shown.code == 0
    assert "the chain holds" in shown.out
    assert "bank clients" in shown.out


def test_ledger_does_not_know_a_release_of_another_ledger(ran, tmp_path):
    refused = call(tmp_path, "ledger", "--check", "--release", str(ran.base / "out"))
    assert refused.code == 2
    assert "not here" in refused.err


def test_check_reads_no_data(ran, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    shown = call(tmp_path, "check", str(tmp_path / "plan.toml"))
    assert shown.code == 0
    assert "Outside the guarantee" in shown.out
    assert "2000 are declared" in shown.out
    assert not (tmp_path / "state").exists()


def test_scan_prints_types_and_no_value(ran):
    shown = call(ran.base, "scan", str(ran.base / "clients.csv"), "--json", "--fail-on", "EMAIL_ADDRESS")
    assert shown.code == 1
    found = {finding["column"]: finding["pii"] for finding in json.loads(shown.out)["tables"]["clients"]["findings"]}
    assert found["email"] == "EMAIL_ADDRESS"
    assert found["age"] is None
    assert not any(canary in shown.out + shown.err + shown.log for canary in CANARIES.values())


def test_init_writes_a_draft_once(ran, tmp_path):
    draft = tmp_path / "draft.toml"
    assert call(ran.base, "init", str(ran.base / "clients.csv"), "--out", str(draft)).code == 0
    before = draft.read_text()
    again = call(ran.base, "init", str(ran.base / "clients.csv"), "--out", str(draft))
    assert again.code == 2
    assert draft.read_text() == before


def test_version_and_help(ran):
    assert call(ran.base, "--version").out.strip() == __version__
    shown = call(ran.base, "--help")
    assert shown.code == 0
    for command in ("demo", "init", "scan", "strip", "check", "run", "status", "purge", "audit", "report", "ledger"):
        assert command in shown.out
        assert "Example: privsynth" in call(ran.base, command, "--help").out
