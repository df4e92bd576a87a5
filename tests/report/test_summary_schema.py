"""Both editions satisfy the committed schema of the summary, and the schema refuses what the contract forbids."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from report_fakes import COST, full_run, grey_run, run
from test_summary import build

from privsynth.report import summary
from privsynth.report.render import render

SCHEMA = json.loads(files("privsynth.report").joinpath("summary.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

MADE = [
    {},
    {"audit_run": full_run()},
    {"audit_run": grey_run()},
    {"audit_run": replace(run(), results=(), controls=(), floors={})},
    {"cost": replace(COST, epsilon=math.inf, replace_one_epsilon=math.inf)},
    {"insecure": True},
    {"utility": False},
]


def faults(report) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(json.loads(render(report, "json")))]


def test_the_schema_is_one_and_has_the_version_of_the_summary():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == summary.SCHEMA_VERSION


@pytest.mark.parametrize("made", MADE)
def test_both_editions_satisfy_it(made):
    full = build(**made)
    assert faults(full) == []
    assert faults(summary.vendor(full)) == []


def test_it_knows_every_key_of_the_internal_edition():
    (internal,) = [part for part in SCHEMA["oneOf"] if part["title"].startswith("internal")]
    assert set(build()) <= set(SCHEMA["properties"]) | set(internal["properties"])


@pytest.mark.parametrize(
    "change",
    [
        {"counts": {"people": {}}},
        {"verdict": {"light": "pass", "sentence": "No evidence."}},
        {"verdict": {"light": "inconclusive"}},
        {"schema_version": 3},
        {"made_on": "yesterday"},
        {"columns": [{"name": "a"}]},
    ],
)
def test_it_refuses_a_vendor_edition_with_something_else(change):
    assert faults({**summary.vendor(build()), **change})


def test_it_refuses_an_epsilon_where_there_is_no_guarantee():
    full = build(insecure=True)
    assert faults({**full, "guarantee": {**full["guarantee"], "epsilon": 1.0}})
    assert faults({**build(), "guarantee": {**build()["guarantee"], "formal": False}})
