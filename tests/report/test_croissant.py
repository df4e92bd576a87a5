"""The description for machines: valid Croissant 1.1, our required fields, and rows that load by it."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from importlib.resources import files

import pytest
from report_fakes import COST, release

from privsynth import sources
from privsynth.report import summary
from privsynth.report.conclusions import conclusions_in
from privsynth.report.croissant import ENCODING_FORMATS, DataFile, describe
from privsynth.report.policy import Policy

SCHEMA = json.loads(files("privsynth.report").joinpath("croissant.schema.json").read_text(encoding="utf-8"))


def described(folder, suffix=".csv", **changes):
    made = release(**changes)
    path = folder / "data" / f"clients{suffix}"
    path.parent.mkdir(exist_ok=True)
    sources.write(made.tables["clients"], path, table=made.schema["clients"])
    file = DataFile(
        table="clients",
        path=f"data/{path.name}",
        suffix=suffix,
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        columns=tuple(made.tables["clients"].columns),
    )
    vendor = summary.vendor(summary.build(made, policy=Policy.load(), judgements=[]))
    return describe(vendor, made.schema, [file], publisher="Example Bank", licence="Contract 7")


@pytest.fixture(scope="module")
def validator():
    return pytest.importorskip("jsonschema").Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which mlcroissant calls
def test_mlcroissant_finds_no_fault_and_loads_the_rows(suffix, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    (tmp_path / "croissant.json").write_text(json.dumps(described(tmp_path, suffix)), encoding="utf-8")
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert dataset.metadata.data_collection_type == ["Synthetic"]
    (row,) = list(dataset.records("clients"))
    assert row["clients/email"] in ("x@example.org", b"x@example.org")
    assert row["clients/active"] is True


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlcroissant_would_find_a_fault(tmp_path):
    """Positive control."""
    mlcroissant = pytest.importorskip("mlcroissant")
    broken = described(tmp_path)
    broken["recordSet"][0]["field"][0]["source"]["fileObject"]["@id"] = "data/other.csv"
    (tmp_path / "croissant.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json"))


@pytest.mark.parametrize("changes", [{}, {"insecure": True}, {"cost": replace(COST, epsilon=float("inf"))}])
def test_every_required_field_is_there(changes, tmp_path, validator):
    value = described(tmp_path, **changes)
    assert [error.message for error in validator.iter_errors(value)] == []
    assert ("differential privacy" in value["keywords"]) == (changes == {})


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_a_missing_field_is_seen(key, tmp_path, validator):
    value = described(tmp_path)
    del value[key]
    assert not validator.is_valid(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update({"rai:dataCollectionType": ["Surveys"]}),
        lambda value: value["conformsTo"].remove("http://mlcommons.org/croissant/1.1"),
        lambda value: value["distribution"][0].update(sha256="ab"),
        lambda value: value["distribution"][0].update(contentUrl="../clients.csv"),
        lambda value: value["distribution"][0].pop("digitalSourceType"),
        lambda value: value["recordSet"][0]["field"][0].pop("dataType"),
        lambda value: value.update(recordSet=[]),
    ],
)
def test_a_wrong_value_is_seen(change, tmp_path, validator):
    value = copy.deepcopy(described(tmp_path))
    change(value)
    assert not validator.is_valid(value)


def test_each_format_of_a_release_has_a_type():
    from typing import get_args

    from privsynth.config import ReleaseSection

    assert {f".{name}" for name in get_args(ReleaseSection.model_fields["format"].annotation)} == set(ENCODING_FORMATS)


def test_it_draws_no_conclusion(tmp_path):
    assert conclusions_in(json.dumps(described(tmp_path), ensure_ascii=False)) == []


def test_personal_columns_are_named_as_invented(tmp_path):
    value = described(tmp_path)
    assert "email (EMAIL_ADDRESS)" in value["rai:personalSensitiveInformation"][0]
    fields = {field["name"]: field for field in value["recordSet"][0]["field"]}
    assert fields["email"]["description"] == "Personal data of type EMAIL_ADDRESS, invented."
    assert fields["active"]["dataType"] == "sc:Boolean"
    assert "notes" not in fields
