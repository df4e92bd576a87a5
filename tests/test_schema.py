"""Facts that contradict each other are refused; a fact remembers its source."""

from __future__ import annotations

import pytest

from privsynth.errors import SchemaError
from privsynth.schema import Column, Schema, Table


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"kind": "intger"}, "did you mean 'integer'"),
        ({"kind": "categorical", "bounds": (0, 1)}, "cannot have bounds"),
        ({"kind": "integer", "categories": ("1",)}, "cannot have categories"),
        ({"kind": "integer", "bounds": (1, 1)}, "the smaller first"),
        ({"kind": "integer", "bounds": (2, 1)}, "the smaller first"),
        ({"kind": "decimal", "bounds": (0, float("inf"))}, "two finite values"),
        ({"kind": "decimal", "bounds": (float("nan"), 1)}, "two finite values"),
        ({"kind": "categorical", "categories": ()}, "empty or repeat"),
        ({"kind": "categorical", "categories": ("a", "a")}, "empty or repeat"),
        ({"kind": "decimal", "step": 0.0}, "above 0"),
        ({"kind": "decimal", "step": float("nan")}, "above 0"),
        ({"kind": "integer", "step": 0.5}, "whole number"),
    ],
)
def test_contradicting_facts_are_refused(facts, words):
    with pytest.raises(SchemaError, match=words) as caught:
        Column(name="x", **facts)
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "undeclared"),
    [
        ({"kind": "integer"}, "bounds"),
        ({"kind": "integer", "bounds": (0, 1)}, None),
        ({"kind": "categorical"}, "categories"),
        ({"kind": "categorical", "categories": ("a",)}, None),
        ({"kind": "boolean"}, None),
    ],
)
def test_undeclared_names_the_fact_that_is_missing(facts, undeclared):
    assert Column(name="x", **facts).undeclared == undeclared


@pytest.mark.parametrize(
    ("facts", "is_modelled"),
    [
        ({"kind": "integer"}, True),
        ({"kind": "categorical", "pii": "PERSON"}, False),
        ({"kind": "text"}, False),
        ({"kind": "identifier"}, False),
    ],
)
def test_personal_data_text_and_identifiers_are_not_modelled(facts, is_modelled):
    assert Column(name="x", **facts).is_modelled is is_modelled


def test_a_bought_fact_remembers_its_source_and_leaves_the_column_alone():
    column = Column(name="x", kind="integer", sources={"kind": "declared"})
    bought = column.with_fact(source="dp", bounds=(0, 9))
    assert (bought.bounds, dict(bought.sources)) == ((0, 9), {"kind": "declared", "bounds": "dp"})
    assert (column.bounds, dict(column.sources)) == (None, {"kind": "declared"})


X = Column(name="x", kind="integer")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"columns": (X, X)}, "'x' occurs twice"),
        ({"columns": (X,), "target": "xx"}, "did you mean 'x'"),
        ({"columns": (X,), "max_rows_per_person": 0}, "expected 1 or more"),
    ],
)
def test_contradicting_tables_are_refused(table, words):
    with pytest.raises(SchemaError, match=words):
        Table(name="t", **table)


def test_a_table_and_a_schema_find_by_name_or_say_the_nearest():
    schema = Schema(tables=(Table(name="clients", columns=(Column(name="income", kind="decimal"),)),), privacy_unit="row")
    assert schema["clients"]["income"].kind == "decimal"
    with pytest.raises(SchemaError, match="did you mean 'clients'"):
        schema["client"]
    with pytest.raises(SchemaError, match="did you mean 'income'"):
        schema["clients"]["incme"]


def test_the_privacy_unit_is_a_column_of_every_table():
    tables = (Table(name="a", columns=(Column(name="person", kind="identifier"),)), Table(name="b", columns=(X,)))
    with pytest.raises(SchemaError, match="'person' is not a column of table 'b'"):
        Schema(tables=tables, privacy_unit="person")
    assert Schema(tables=tables, privacy_unit="row").privacy_unit == "row"
