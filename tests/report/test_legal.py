"""Legal tables: data that a lawyer can check, evidence that follows the edition, and no conclusion."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files

import pytest
from report_fakes import COST, EXACT, SECRET_FIGURES, control, grey_run, release, replayed, result, run

from privsynth.errors import PlanError
from privsynth.report import summary
from privsynth.report.conclusions import conclusions_in
from privsynth.report.legal import tables
from privsynth.report.legal.evidence import EVIDENCE, NO_EVIDENCE
from privsynth.report.legal.frameworks import FRAMEWORKS, SECTIONS, load, shipped
from privsynth.report.legal.safe_harbor import identifiers
from privsynth.report.policy import Policy, judge

POLICY = Policy.load()


def build(made=None, **changes):
    made = made or release(**changes)
    measured = made.measurements
    judgements = judge(
        POLICY,
        run=measured.audit,
        cost=made.cost,
        sensitivity="high",
        traces=measured.pii_replay,
        holdout_people=measured.people["holdout"],
    )
    return summary.build(made, policy=POLICY, judgements=judgements)


def evidence_of(given, framework, row) -> list[str]:
    (table,) = [table for table in tables(given) if table["id"] == framework]
    (found,) = [entry for entry in table["rows"] if entry["id"] == row]
    return found["evidence"]


def test_the_shipped_tables_are_those_of_the_list_and_wait_for_a_lawyer():
    assert tuple(framework.id for framework in shipped()) == FRAMEWORKS
    found = {entry.name for entry in files("privsynth.report.legal").iterdir() if entry.name.endswith(".toml")}
    assert found == {f"{name}.toml" for name in FRAMEWORKS}
    assert {(framework.checked_on, framework.checked_by) for framework in shipped()} == {("", "")}


def test_every_piece_of_evidence_is_used_by_some_requirement():
    used = {name for framework in shipped() for requirement in framework.requirements for name in requirement.evidence}
    assert used == set(EVIDENCE)


@pytest.mark.parametrize(
    "made", [{}, {"audit_run": grey_run()}, {"cost": replace(COST, epsilon=math.inf)}, {"insecure": True}, {"utility": False}]
)
@pytest.mark.parametrize("edition", ["internal", "vendor"])
def test_every_row_has_evidence_a_place_and_something_to_attest(edition, made):
    full = build(**made)
    filled = tables(full if edition == "internal" else summary.vendor(full))
    assert [table["id"] for table in filled] == list(FRAMEWORKS)
    for table in filled:
        assert table["sources"]
        for row in table["rows"]:
            assert all(row["evidence"])
            assert row["where"] in SECTIONS
            assert row["attest"]
    assert json.loads(json.dumps(filled, allow_nan=False)) == filled


@pytest.mark.parametrize("made", [{}, {"audit_run": grey_run()}, {"cost": replace(COST, epsilon=math.inf)}, {"insecure": True}])
@pytest.mark.parametrize("edition", ["internal", "vendor"])
def test_no_table_draws_the_conclusion_that_a_person_has_to_draw(edition, made):
    full = build(**made)
    assert conclusions_in(json.dumps(tables(full if edition == "internal" else summary.vendor(full)), ensure_ascii=False)) == []


def test_the_vendor_tables_hold_no_figure_of_an_audit():
    text = json.dumps(tables(summary.vendor(build())))
    for figure in [*EXACT.values(), *SECRET_FIGURES]:
        assert str(figure) not in text


def test_the_vendor_tables_do_not_depend_on_what_was_measured():
    """Null control: with the same verdict bit, no measurement moves a byte. Positive control: the internal tables do move."""
    one, other = (
        build(audit_run=grey_run()),
        build(audit_run=run(result(interval=(0.9, 0.95)), controls=(control("positive", flagged=False),))),
    )
    assert tables(summary.vendor(one)) == tables(summary.vendor(other))
    assert tables(one) != tables(other)


def test_internal_evidence_names_the_worst_judgement():
    full = build(audit_run=run(result(interval=(0.9, 0.95)), replayed(1e-9)))
    (membership,) = [line for line in evidence_of(full, "iso_27559", "adversarial-testing") if line.startswith("Membership")]
    assert membership.startswith("Membership inference: 1 fail. Worst: distance membership")
    assert "0.900 to 0.950" in membership
    (replay,) = [line for line in evidence_of(full, "iso_27559", "adversarial-testing") if line.startswith("Replay")]
    assert "1 fail" in replay


def test_without_a_guarantee_no_row_speaks_of_one():
    full = build(cost=replace(COST, epsilon=math.inf, replace_one_epsilon=math.inf))
    assert evidence_of(full, "nist_800_226", "parameters")[0].startswith("No formal guarantee")
    assert "no bound" in evidence_of(full, "nist_800_226", "parameters")[1]
    assert "not finite" in evidence_of(full, "nist_800_226", "composition")[0]


def test_what_the_tool_cannot_know_has_no_evidence():
    assert evidence_of(build(), "nist_800_226", "collection") == [NO_EVIDENCE]


def column(name, kind="categorical", pii=None, fate="synthesized"):
    return {"name": name, "kind": kind, "pii": pii, "fate": fate}


def status_of(letter, *columns):
    (row,) = [row for row in identifiers({"columns": columns}) if row["letter"] == letter]
    return row["status"], row["columns"]


def test_there_are_eighteen_identifiers():
    assert [row["letter"] for row in identifiers({"columns": []})] == list("ABCDEFGHIJKLMNOPQR")


@pytest.mark.parametrize(
    ("letter", "columns", "expected"),
    [
        ("A", [column("n", "identifier", "PERSON")], ("invented", ["n"])),
        ("A", [column("n", "identifier", "PERSON", fate="left out by the plan")], ("not declared", [])),
        ("A", [column("n")], ("not declared", [])),
        ("B", [column("postcode")], ("open", ["postcode"])),
        ("B", [column("street", "identifier", "STREET_ADDRESS")], ("invented", ["street"])),
        ("C", [column("born", "datetime")], ("open", ["born"])),
        ("C", [column("age", "integer")], ("open", ["age"])),
        ("C", [column("born", "identifier", "DATE_OF_BIRTH"), column("age", "integer")], ("open", ["born", "age"])),
        ("G", [column("id", "identifier", "NATIONAL_ID")], ("invented", ["id"])),
        ("H", [column("record", "identifier")], ("not declared", ["record"])),
        ("R", [column("record", "identifier"), column("handle", "identifier", "USERNAME")], ("invented", ["record", "handle"])),
        ("J", [column("iban", "identifier", "IBAN_CODE"), column("record", "identifier")], ("invented", ["iban"])),
        ("P", [column("notes", "text", fate="left out: free text")], ("not present", [])),
        ("P", [column("notes", "text")], ("open", ["notes"])),
        ("F", [column("mail", "identifier", "EMAIL_ADDRESS"), column("notes", "text")], ("open", ["mail", "notes"])),
    ],
)
def test_the_status_of_an_identifier_follows_the_declared_columns(letter, columns, expected):
    assert status_of(letter, *columns) == expected


def test_only_hipaa_lists_identifiers():
    assert [table["id"] for table in tables(build()) if table["identifiers"]] == ["hipaa"]


OWN = """
id = "own"
title = "Own rules"
jurisdiction = "Here"
scope = "All"
drafted_on = "2026-11-20"
checked_on = "2027-01-31"
checked_by = "A. Lawyer"
[[sources]]
title = "Rule"
reference = "1"
published = "2020"
[[requirements]]
id = "one"
provision = "Rule 1"
requirement = "Be careful."
evidence = ["guarantee"]
where = "Guarantee"
attest = "That care was taken."
"""


def test_an_organisation_brings_its_own_checked_tables(tmp_path):
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    (table,) = tables(build(), folder=tmp_path)
    assert (table["checked_on"], table["checked_by"]) == ("2027-01-31", "A. Lawyer")
    assert table["rows"][0]["evidence"][0].startswith("The synthetic data")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Own rules"', 'title = "Own rules"\ncolour = "red"', "'colour'"),
        ('evidence = ["guarantee"]', 'evidence = ["luck"]', "evidence 'luck' is unknown"),
        ('where = "Guarantee"', 'where = "Somewhere"', "'requirements.0.where'"),
        ('checked_by = "A. Lawyer"', 'checked_by = " "', "belong together"),
        ('checked_on = "2027-01-31"', 'checked_on = "31.1.2027"', "'checked_on'"),
        ('attest = "That care was taken."', 'attest = ""', "'requirements.0.attest'"),
        ('id = "own"', 'id = "other"', "expected the file's name"),
        ("[[requirements]]", "[[requirements", "not valid TOML"),
        ('published = "2020"', 'published = "last year"', "'sources.0.published'"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(old, new, words, tmp_path):
    assert OWN.count(old) == 1
    (tmp_path / "own.toml").write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(PlanError) as refusal:
        load(tmp_path / "own.toml")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_requirement_given_twice_is_refused(tmp_path):
    (tmp_path / "own.toml").write_text(OWN + OWN[OWN.index("[[requirements]]") :], encoding="utf-8")
    with pytest.raises(PlanError, match="same id"):
        load(tmp_path / "own.toml")


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(PlanError, match="holds no legal table"):
        tables(build(), folder=tmp_path)
    with pytest.raises(PlanError, match="cannot be read"):
        load(tmp_path / "own.toml")
