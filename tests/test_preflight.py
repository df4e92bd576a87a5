"""What is said and refused before a cell is read."""

from __future__ import annotations

import dataclasses
import math

import pytest

from privsynth import preflight, spreadsheet
from privsynth.config import Plan
from privsynth.errors import MissingExtraError, PlanError
from privsynth.privacy import Budget


def plan(*, epsilon: float = 2.0, rows: int = 100, engine: str = "tree", **release) -> Plan:
    columns = {"a": {"kind": "boolean", "nullable": False}, "b": {"kind": "integer", "bounds": [0, 9], "nullable": False}}
    return Plan.from_dict(
        {
            "dataset": {"name": "people", "privacy_unit": "row", "people": 5000},
            "tables": {"t": {"path": "t.csv", "columns": columns}},
            "privacy": {"epsilon": epsilon, "delta": 1e-6},
            "synthesis": {"rows": rows, "tables": engine},
            "release": {"folder": "out", **release},
        }
    )


def test_the_cost_is_rounded_up_and_set_against_the_budget():
    found = preflight.check(plan())
    assert found.cost_sentence(Budget(epsilon=2.0, delta=1e-6)).startswith("epsilon <= 2 of 2, delta 1e-06, ")
    dearer = dataclasses.replace(found, epsilon=2.0001)
    assert dearer.cost_sentence(Budget(epsilon=3.0, delta=1e-6)).startswith("epsilon <= 2.01 of 3")


def test_an_infinite_cost_is_said_in_words():
    found = dataclasses.replace(preflight.check(plan()), epsilon=math.inf)
    said = found.cost_sentence(Budget(epsilon=math.inf, delta=1e-6))
    assert said.startswith("no formal guarantee")
    assert "inf " not in said
    finite = dataclasses.replace(found, epsilon=2.0)
    assert "of no limit" in finite.cost_sentence(Budget(epsilon=math.inf, delta=1e-6))


@pytest.mark.parametrize(("sensitivity", "refused"), [("low", False), ("medium", True), ("high", True)])
def test_a_release_without_a_guarantee_is_judged_as_the_policy_will_judge_it(sensitivity, refused):
    pytest.importorskip("sdv", reason="the extra sdv is not installed")
    found = preflight.check(plan(epsilon=math.inf, engine="sdv:gaussian-copula", sensitivity=sensitivity))
    assert any(line.startswith("guarantee: cannot pass: there is none") for line in found.verdicts) == refused


def test_a_workbook_that_could_not_be_written_is_refused_before_anything_is_spent(monkeypatch):
    pytest.importorskip("openpyxl", reason="the extra excel is not installed")
    preflight.check(plan(rows=spreadsheet.MOST_ROWS, format="xlsx"))
    preflight.check(plan(rows=spreadsheet.MOST_ROWS + 1, format="csv"))
    with pytest.raises(PlanError, match="rows=1048576; a sheet of an Excel workbook holds 1048575"):
        preflight.check(plan(rows=spreadsheet.MOST_ROWS + 1, format="xlsx"))

    def missing(module):
        raise MissingExtraError(module)

    monkeypatch.setattr("privsynth.registry.require", missing)
    with pytest.raises(MissingExtraError, match="openpyxl"):
        preflight.check(plan(format="xlsx"))
