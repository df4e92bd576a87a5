"""The form against the plan: what a person typed is what the plan says."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from privsynth.app_pages.form import KINDS, UNDECIDED, load, plan_of, rows_of
from privsynth.config import Plan
from privsynth.errors import PlanError

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "plan.toml"

DRAFT = """
[dataset]
name = "visits"
confirmed = false
[tables.visits]
path = "visits.csv"
[tables.visits.columns]
person = { kind = "identifier" }
mail = { kind = "identifier", pii = "EMAIL_ADDRESS" }
age = { kind = "integer", quasi_identifier = true }
day = { kind = "datetime" }
"a, \\"b\\" <script>" = { kind = "categorical" }
[privacy]
[synthesis]
tables = "tree"
[release]
folder = "out"
"""

SETTINGS = {
    "dataset": {"name": "visits", "privacy_unit": "person", "people": None, "confirmed": True},
    "table": {"target": None},
    "privacy": {"epsilon": 2.0, "delta": 1e-6},
    "synthesis": {"rows": 500},
}
HOSTILE = 'a, "b" <script>'


@pytest.fixture
def draft(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(DRAFT, encoding="utf-8")
    return path


def plan_with(draft: Path, column: str, **cells) -> Plan:
    rows = rows_of(load(draft), [])
    for row in rows:
        if row["column"] == column:
            row.update(cells)
    form = {"toml": str(draft), "rows": rows, "settings": SETTINGS}
    return plan_of(json.loads(json.dumps(form)))  # as it reaches the process that runs it


def section(plan: Plan, column: str):
    return plan.tables["visits"].columns[column]


def test_the_sample_untouched_gives_its_own_plan():
    values = load(SAMPLE)
    form = {"toml": str(SAMPLE), "rows": rows_of(values, []), "settings": {}}
    own, given = plan_of(form), Plan.load(SAMPLE)
    assert own.declared_schema() == given.declared_schema()
    assert own.model_dump(exclude={"tables"}) == given.model_dump(exclude={"tables"})


def test_a_draft_untouched_declares_nothing_but_its_proposals(draft):
    plan = plan_with(draft, "none of them")
    assert section(plan, "age").bounds is None
    assert section(plan, HOSTILE).categories is None
    assert section(plan, "mail").pii == "EMAIL_ADDRESS"
    assert plan.dataset.people is None
    assert plan.dataset.confirmed


@pytest.mark.parametrize(
    ("column", "cells", "field", "expected"),
    [
        ("age", {"lowest": "0", "highest": " 120 "}, "bounds", (0, 120)),
        ("age", {"kind": "decimal", "lowest": "-0.5", "highest": "1e3"}, "bounds", (-0.5, 1000.0)),
        ("day", {"lowest": "2001-01-31", "highest": "2026-06-30"}, "bounds", (date(2001, 1, 31), date(2026, 6, 30))),
        ("day", {"step": "hour"}, "step", "hour"),
        ("age", {"step": "5"}, "step", 5.0),
        (HOSTILE, {"categories": 'A, B, "C, D"'}, "categories", ("A", "B", "C, D")),
        ("age", {"may_be_empty": False}, "nullable", False),
        ("age", {"personal": "none"}, "pii", "none"),
        ("mail", {"personal": UNDECIDED}, "pii", None),
        ("age", {"secret": True}, "kind", "integer"),
        ("age", {"kind": "drop"}, "kind", "drop"),
        ("age", {"reference": "the form"}, "reference", "the form"),
    ],
)
def test_a_cell_reaches_the_plan(draft, column, cells, field, expected):
    assert getattr(section(plan_with(draft, column, **cells), column), field) == expected


def test_a_secret_is_attacked_by_the_audits(draft):
    plan = plan_with(draft, "age", secret=True)
    assert plan.audit.secrets == ("age",)
    assert plan.declared_schema().tables[0]["age"].secret


@pytest.mark.parametrize(
    ("column", "cells", "said"),
    [
        ("age", {"lowest": "low", "highest": "9"}, "lowest='low' of column 'age'"),
        ("age", {"lowest": "1"}, "highest='' of column 'age'"),
        ("day", {"lowest": "31.1.2001", "highest": "2002-01-01"}, "expected a date"),
        (HOSTILE, {"categories": 'A, "B'}, "cannot be read"),
        ("age", {"lowest": "9", "highest": "1"}, "smaller first"),
        ("age", {"step": "fortnight"}, "step='fortnight'"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(draft, column, cells, said):
    with pytest.raises(PlanError, match=said.replace("'", ".")):
        plan_with(draft, column, **cells)


def test_what_was_not_chosen_has_no_default(draft):
    form = {"toml": str(draft), "rows": rows_of(load(draft), []), "settings": {**SETTINGS, "privacy": {"epsilon": None, "delta": 1e-6}}}
    with pytest.raises(PlanError, match=r"privacy\.epsilon"):
        plan_of(form)


def test_evidence_stands_beside_its_column(draft):
    rows = rows_of(load(draft), [{"column": "mail", "pii": "EMAIL_ADDRESS", "evidence": "every value is one"}])
    assert [row["evidence"] for row in rows if row["evidence"]] == ["EMAIL_ADDRESS: every value is one"]


def test_kinds_are_those_of_a_plan_and_drop():
    assert KINDS[-1] == "drop"
    assert "categorical" in KINDS


def test_a_plan_that_is_not_toml_is_one_line(tmp_path):
    (tmp_path / "plan.toml").write_text("a = \x00")
    with pytest.raises(PlanError, match="control characters"):
        load(tmp_path / "plan.toml")
