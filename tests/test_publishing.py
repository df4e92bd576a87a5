"""The release folder as it is written: marked, described for machines, signed in the same step, and telling nothing beyond the guarantee."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
from report_fakes import COST, grey_run, release, result, run

from privsynth import pipeline, publishing, signing
from privsynth.config import Plan
from privsynth.errors import PlanError, SigningError
from privsynth.marking import DIGITAL_SOURCE_TYPE, MARKER_VALUE
from privsynth.privacy import Ledger
from privsynth.report import render, summary
from privsynth.report.policy import Policy, judge
from privsynth.stages import RunFacts, RunFolder
from privsynth.verifying import verify

PLAN = {
    "dataset": {"name": "people", "privacy_unit": "person"},
    "tables": {"people": {"path": "people.csv", "columns": {"person": {"kind": "identifier"}, "active": {"kind": "boolean"}}}},
    "privacy": {"epsilon": 1.0, "delta": 1e-6},
    "synthesis": {"rows": 10},
    "release": {"folder": "out"},
}


def plan(base, **changes) -> Plan:
    return Plan.from_dict({**PLAN, "release": {**PLAN["release"], **changes}}, base=base)


def judged(made, **stated):
    """A fake release with its reports, as the pipeline hands it to the last stage."""
    defaults = {"format": "csv", "publisher": "Example Bank", "license": "Contract 7", "marker_column": None}
    made = replace(made, plan={**made.plan, "release": {**made.plan["release"], **defaults, **stated}})
    measured, policy = made.measurements, Policy.load()
    judgements = judge(
        policy,
        run=measured.audit,
        cost=made.cost,
        sensitivity="high",
        traces=measured.pii_replay,
        holdout_people=measured.people["holdout"],
    )
    full = summary.build(made, policy=policy, judgements=judgements)
    editions = {"vendor": summary.vendor(full), "internal": full}
    reports = {(edition, format): render.render(editions[edition], format) for edition in editions for format in render.FORMATS}
    return replace(made, summary=full, reports=reports, verdict="inconclusive")


def published(base, made, key=None) -> Path:
    facts = RunFacts(event_id=made.event_id, dataset="clients", plan="", data="", benchmark=False, release=str(base / "out"))
    written = publishing.written(RunFolder.create(base / "internal", facts), made, Ledger.open(), folder=base / "out", key=key)
    assert written.folder == base / "out"
    return base / "out"


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_manifest_marks_data_files_and_nothing_else(tmp_path):
    files = read_json(published(tmp_path, judged(release())) / "manifest.json")["files"]
    marked = {entry["path"]: entry.get("digital_source_type") for entry in files}
    assert marked.pop("data/clients.csv") == DIGITAL_SOURCE_TYPE
    assert set(marked.values()) == {None}


def test_the_manifest_states_policy_and_end(tmp_path):
    manifest = read_json(published(tmp_path, judged(release(), expires="2027-06-30")) / "manifest.json")
    assert manifest["policy"]["sha256"] == Policy.load().sha256
    assert manifest["expires"] == "2027-06-30"


def test_a_parquet_file_says_of_itself_that_it_is_synthetic(tmp_path):
    folder = published(tmp_path, judged(release(), format="parquet"))
    metadata = pyarrow.parquet.read_metadata(folder / "data" / "clients.parquet").metadata
    assert metadata[b"digitalSourceType"].decode() == DIGITAL_SOURCE_TYPE
    assert metadata[b"synthetic"] == b"true"
    assert len(pd.read_parquet(folder / "data" / "clients.parquet")) == 1


def test_a_workbook_says_of_itself_that_it_is_synthetic(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    folder = published(tmp_path, judged(release(), format="xlsx"))
    properties = openpyxl.load_workbook(folder / "data" / "clients.xlsx").custom_doc_props
    assert {found.name: found.value for found in properties.props}["digitalSourceType"] == DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize("marker", [None, "source"])
def test_a_csv_file_has_a_marker_column_if_the_plan_asks_for_one(marker, tmp_path):
    folder = published(tmp_path, judged(release(), marker_column=marker))
    frame = pd.read_csv(folder / "data" / "clients.csv")
    assert ("source" in frame) == (marker is not None)
    fields = [field["name"] for field in read_json(folder / "croissant.json")["recordSet"][0]["field"]]
    assert fields == list(frame.columns)
    if marker:
        assert set(frame["source"]) == {MARKER_VALUE}


def test_a_marker_may_not_take_the_place_of_a_column(tmp_path):
    with pytest.raises(PlanError, match="is a column of the table"):
        plan(tmp_path, marker_column="active")


def test_a_run_with_a_key_is_signed_in_the_same_step(tmp_path):
    public = signing.generate_key(tmp_path / "build.key", passphrase=b"secret")
    (tmp_path / "passphrase").write_text("secret\n")
    (tmp_path / "passphrase").chmod(0o600)
    key = publishing.signing_key(plan(tmp_path, sign_key="build.key", sign_passphrase_file="passphrase"))
    folder = published(tmp_path, judged(release(), expires="2050-01-01"), key)
    found = verify(folder, key=signing.load_public_key(public))
    assert found.accepted
    assert found.signatures[0].expires == "2050-01-01"
    assert (found.facts["epsilon"], found.facts["policy"]["sha256"]) == (COST.epsilon, Policy.load().sha256)


def test_a_release_without_a_key_is_unsigned(tmp_path):
    public = signing.generate_key(tmp_path / "build.key", passphrase=None)
    assert publishing.signing_key(plan(tmp_path)) is None
    found = verify(published(tmp_path, judged(release())), key=signing.load_public_key(public))
    assert found.reason == "unsigned"


def test_a_key_that_cannot_be_used_stops_a_run_before_anything_is_read_or_noted(tmp_path):
    (tmp_path / "build.key").write_text("no key")
    (tmp_path / "build.key").chmod(0o600)
    ledger = Ledger.open()
    with pytest.raises(SigningError, match="no PEM private key"):
        pipeline.run(plan(tmp_path, sign_key="build.key"), ledger=ledger)
    assert ledger.entries() == []
    assert not (tmp_path / "out").exists()


def test_a_passphrase_without_a_key_is_refused(tmp_path):
    with pytest.raises(PlanError, match=r"without release\.sign_key"):
        plan(tmp_path, sign_passphrase_file="passphrase")


def test_what_is_handed_over_does_not_depend_on_what_was_measured(tmp_path):
    """Two releases of the same rows, whose audits, counts and quality differ: every file but those of the internal edition is the same."""
    one, other = tmp_path / "one", tmp_path / "other"
    other_release = release(audit_run=run(result(interval=(0.9, 0.95))))
    measured = replace(
        other_release.measurements, people={"train": 1, "holdout": 2, "tuning": 3}, rows={"train": 9}, clipped={}, utility=None
    )
    for base, made in ((one, release(audit_run=grey_run())), (other, replace(other_release, measurements=measured, seconds=99.0))):
        base.mkdir()
        published(base, judged(made))
    assert read_json(one / "internal" / "report.json") != read_json(other / "internal" / "report.json")  # positive control
    assert (one / "out" / "croissant.json").read_bytes() == (other / "out" / "croissant.json").read_bytes()
    manifests = [read_json(base / "out" / "manifest.json") for base in (one, other)]
    for manifest in manifests:
        manifest.pop("internal_files")  # keyed with each run's own key
    assert manifests[0] == manifests[1]


def test_neighbours_differ_only_where_the_guarantee_covers_it(tmp_path):
    """Another epsilon moves the description and the manifest; nothing else does."""
    one, other = tmp_path / "one", tmp_path / "other"
    for base, made in ((one, release()), (other, release(cost=replace(COST, epsilon=1.5)))):
        base.mkdir()
        published(base, judged(made))
    described = [read_json(base / "out" / "croissant.json") for base in (one, other)]
    moved = {key for key in described[0] if described[0][key] != described[1][key]}
    assert moved == {"description", "rai:dataLimitations"}
