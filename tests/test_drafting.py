"""A draft proposes kinds and personal data, holds no value of the data, and declares nothing in a person's place."""

from __future__ import annotations

import json
import tomllib

import pandas as pd
import pytest
from fakes import people

from privsynth.config import Plan
from privsynth.drafting import draft_plan
from privsynth.errors import PlanError, SourceError

CANARY = "Zyxwvut"


@pytest.fixture(scope="module")
def draft(tmp_path_factory):
    """The draft for people with personal data and a canary in every column of text."""
    folder = tmp_path_factory.mktemp("draft")
    frame = people(400)
    frame["email"] = [f"{CANARY.lower()}{row}@example.org" for row in range(400)]
    frame["notes"] = [f"{CANARY} called about card number {row} and wants to be called back soon." for row in range(400)]
    frame["segment"] = [f"{CANARY}{row % 5}" for row in range(400)]
    frame['odd = name # with "quotes"\n and lines'] = 1
    frame.to_csv(folder / "clients.csv", index=False)
    return draft_plan(folder / "clients.csv", relative_to=folder)


def columns_of(draft: str):
    return tomllib.loads(draft)["tables"]["clients"]["columns"]


def test_a_draft_is_toml_with_every_column(draft):
    assert list(columns_of(draft)) == [*people(1).columns, "email", "notes", 'odd = name # with "quotes"\n and lines']


def test_a_draft_proposes_kinds_and_personal_data(draft):
    columns = columns_of(draft)
    assert columns["age"]["kind"] == "integer"
    assert columns["income"]["kind"] == "decimal"
    assert columns["joined"]["kind"] == "datetime"
    assert columns["active"]["kind"] == "boolean"
    assert columns["notes"]["kind"] == "text"
    assert columns["email"]["pii"] == "EMAIL_ADDRESS"


def test_a_draft_declares_no_fact_read_off_the_data(draft):
    for facts in columns_of(draft).values():
        assert not {"bounds", "categories", "nullable", "step", "determines"} & set(facts)


def test_a_draft_holds_no_value_of_the_data(draft):
    frame = people(400)
    assert CANARY.lower() not in draft.lower()
    for column in ("person", "income", "joined"):
        assert not [value for value in frame[column].astype(str).unique() if value in draft]
    for extreme in (frame["age"].min(), frame["age"].max()):
        assert f"[{extreme}" not in draft
        assert f"{extreme}]" not in draft


@pytest.mark.parametrize("key", ["privacy_unit", "epsilon", "delta", "rows"])
def test_a_draft_cannot_run_before_a_person_has_filled_it(draft, key):
    filled = draft
    for blank in ("privacy_unit", "epsilon", "delta", "rows"):
        if blank != key:
            filled = filled.replace(f"# {blank} =", f"{blank} =")
    with pytest.raises(PlanError, match=f"{key}' is missing"):
        Plan.from_dict(tomllib.loads(filled))


def test_a_filled_draft_is_a_plan(draft):
    filled = draft
    for blank in ("privacy_unit", "epsilon", "delta", "rows"):
        filled = filled.replace(f"# {blank} =", f"{blank} =")
    filled = filled.replace('"client_id"', '"person"')
    plan = Plan.from_dict(tomllib.loads(filled))
    assert plan.declared_schema()["clients"]["email"].pii == "EMAIL_ADDRESS"
    assert plan.tables["clients"].path == "clients.csv"


@pytest.mark.parametrize("name", ["two words.csv", 'quote"d.csv', "ümlaut.csv", "dot.ted.csv", "1.csv"])
def test_any_file_name_makes_a_draft(name, tmp_path):
    pd.DataFrame({"a": [1, 2], "": [3, 4]}).rename(columns={"": "b c"}).to_csv(tmp_path / name, index=False)
    values = tomllib.loads(draft_plan(tmp_path / name, relative_to=tmp_path))
    assert list(values["tables"]) == [name.removesuffix(".csv")]
    assert values["tables"][name.removesuffix(".csv")]["path"] == name


def test_a_draft_in_another_folder_points_to_the_data(tmp_path):
    (tmp_path / "plans").mkdir()
    pd.DataFrame({"a": [1, 2]}).to_csv(tmp_path / "data.csv", index=False)
    values = tomllib.loads(draft_plan(tmp_path / "data.csv", relative_to=tmp_path / "plans"))
    assert values["tables"]["data"]["path"] == "../data.csv"


def test_a_code_with_leading_zeros_is_not_proposed_as_a_number(tmp_path):
    pd.DataFrame({"postcode": ["01067", "10115"] * 20}).to_csv(tmp_path / "data.csv", index=False)
    facts = tomllib.loads(draft_plan(tmp_path / "data.csv", relative_to=tmp_path))["tables"]["data"]["columns"]["postcode"]
    assert facts["kind"] in ("categorical", "identifier"), json.dumps(facts)


def test_a_file_that_cannot_be_read_makes_no_draft(tmp_path):
    with pytest.raises(SourceError, match="is not there"):
        draft_plan(tmp_path / "none.csv", relative_to=tmp_path)
