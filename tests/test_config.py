"""A plan is checked word by word: unknown keys name the nearest known one, and nothing is coerced."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from privsynth.config import Plan
from privsynth.errors import PlanError

BASE = {
    "dataset": {"name": "clients", "privacy_unit": "person"},
    "tables": {
        "clients": {
            "path": "clients.csv",
            "columns": {
                "person": {"kind": "identifier"},
                "age": {"kind": "integer", "bounds": [18, 110]},
                "income": {"kind": "decimal"},
                "segment": {"kind": "categorical", "categories": ["a", "b"]},
            },
        }
    },
    "privacy": {"epsilon": 3.0, "delta": 1e-6},
    "synthesis": {"rows": 10},
    "release": {"folder": "out"},
}

REMOVED = object()


def plan(place: str = "", value: object = None, *, base=None) -> Plan:
    """The base plan with one value set (or removed) at a dotted place."""
    values = copy.deepcopy(BASE)
    *parents, last = place.split(".") if place else [""]
    section = values
    for key in parents:
        section = section.setdefault(key, {})
    if value is REMOVED:
        del section[last]
    elif last:
        section[last] = value
    return Plan.from_dict(values, **({"base": base} if base else {}))


def column(**facts):
    """One column of the declared schema."""
    return plan("tables.clients.columns.x", facts).declared_schema()["clients"]["x"]


@pytest.mark.parametrize(
    ("place", "nearest"),
    [
        ("privcy", "privacy"),
        ("dataset.nam", "name"),
        ("dataset.privacy_units", "privacy_unit"),
        ("tables.clients.pth", "path"),
        ("tables.clients.on_violations", "on_violation"),
        ("tables.clients.columns.age.bound", "bounds"),
        ("tables.clients.columns.age.quasi_identifer", "quasi_identifier"),
        ("privacy.epsilom", "epsilon"),
        ("synthesis.row", "rows"),
        ("audit.secret", "secrets"),
        ("release.foldr", "folder"),
    ],
)
def test_an_unknown_key_names_its_place_and_the_nearest_known_key(place, nearest):
    with pytest.raises(PlanError, match=f"key '{place}' of the plan is unknown; .*did you mean '{nearest}'") as caught:
        plan(place, 1)
    assert "\n" not in str(caught.value)


def test_a_key_of_python_is_not_a_key_of_the_plan():
    with pytest.raises(PlanError, match="key 'base' of the plan is unknown"):
        plan("base", "/elsewhere")


def test_a_key_that_is_near_to_none_gets_no_hint():
    with pytest.raises(PlanError, match="is unknown") as caught:
        plan("privacy.zzz", 1)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("place", ["dataset.name", "dataset.privacy_unit", "privacy.epsilon", "privacy.delta", "synthesis.rows", "release.folder", "tables.clients.path"])  # fmt: skip
def test_what_a_person_has_to_state_has_no_default(place):
    with pytest.raises(PlanError, match=f"key '{place}' is missing from the plan"):
        plan(place, REMOVED)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("privacy.epsilon", "3.0"),
        ("privacy.epsilon", True),
        ("privacy.epsilon", 0),
        ("privacy.epsilon", -1.0),
        ("privacy.epsilon", float("nan")),
        ("privacy.delta", 0.0),
        ("privacy.delta", 1.0),
        ("privacy.delta", float("nan")),
        ("synthesis.rows", 0),
        ("synthesis.rows", 10.0),
        ("synthesis.rows", "10"),
        ("dataset.people", 0),
        ("dataset.people", 1e4),
        ("dataset.name", ""),
        ("audit.pool_rate", 0.0),
        ("audit.pool_rate", 1.1),
        ("release.expires", "2027-01-01"),
        ("release.format", "ods"),
        ("release.sensitivity", "secret"),
        ("tables.clients.max_rows_per_person", 0),
        ("tables.clients.on_violation", "drop"),
        ("tables.clients.delimiter", "::"),
        ("tables.clients.columns.age.nullable", "no"),
        ("tables.clients.columns.segment.categories", [1, 2]),
        ("tables.clients.columns.segment.categories", "ab"),
        ("tables.clients.columns.age.bounds", [1, 2, 3]),
        ("tables.clients.columns.age.bounds", ["1", "2"]),
        ("tables.clients.columns.age.bounds", [True, 5]),
        ("tables.clients.columns.age.bounds", [2, 1]),
        ("tables.clients.columns.age.bounds", [date(2020, 1, 1), date(2021, 1, 1)]),
        ("tables.clients.columns.age.step", 0.5),
        ("tables.clients.columns.age.step", "day"),
        ("tables.clients.columns.income.categories", ["1"]),
        ("tables.clients.target", "agee"),
        ("dataset.privacy_unit", "persn"),
        ("dataset", "clients"),
        ("tables", []),
        ("tables", {}),
    ],
)
def test_a_wrong_value_is_refused_and_its_key_named(place, value):
    with pytest.raises(PlanError) as caught:
        plan(place, value)
    assert place.rpartition(".")[2] in str(caught.value) or "'age'" in str(caught.value) or "'income'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("tables.clients.columns.age.kind", "intger", "columns.age.kind='intger' in the plan; expected one of .*did you mean 'integer'"),
        ("tables.clients.columns.age.kind", "dropp", "did you mean 'drop'"),
        ("tables.clients.columns.age.step", "dya", "columns.age.step='dya' in the plan; expected a number, or one of .*did you mean 'day'"),
        ("audit.secrets", ["incme"], "did you mean 'income'"),
        ("dataset.privacy_unit", "persn", "did you mean 'person'"),
    ],
)
def test_a_wrong_word_names_the_nearest_known_word(place, value, words):
    with pytest.raises(PlanError, match=words):
        plan(place, value)


def test_a_column_may_be_called_like_a_key():
    named = plan("tables.clients.columns.kind", {"kind": "integer", "bounds": [0, 1]})
    assert named.declared_schema()["clients"]["kind"].bounds == (0, 1)
    with pytest.raises(PlanError, match=r"columns\.kind\.nullable=5"):
        plan("tables.clients.columns.kind", {"kind": "integer", "nullable": 5})


def test_two_tables_and_none_are_refused():
    with pytest.raises(PlanError, match="tables=2; a plan takes one table"):
        plan("tables.other", {"path": "b.csv", "columns": {}})
    with pytest.raises(PlanError, match="tables=0"):
        plan("tables", {})


def test_declared_facts_have_the_source_declared():
    age = plan().declared_schema()["clients"]["age"]
    assert age.bounds == (18.0, 110.0)
    assert dict(age.sources) == {"kind": "declared", "bounds": "declared"}


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({"kind": "integer"}, 1.0),
        ({"kind": "integer", "step": 5}, 5.0),
        ({"kind": "decimal"}, 0.01),
        ({"kind": "decimal", "step": 0.5}, 0.5),
        ({"kind": "datetime"}, 86_400.0),
        ({"kind": "datetime", "step": "hour"}, 3_600.0),
        ({"kind": "datetime", "step": "second"}, 1.0),
    ],
)
def test_steps(facts, step):
    assert column(**facts).step == step


@pytest.mark.parametrize("step", [0.0, 5, "week"])
def test_the_step_of_a_date_is_a_resolution(step):
    with pytest.raises(PlanError, match="day, hour, minute, second"):
        column(kind="datetime", step=step)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (date(1970, 1, 2), 86_400),
        (datetime(1970, 1, 1, 1), 3_600),
        (datetime(1970, 1, 1, 1, tzinfo=UTC), 3_600),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
    ],
)
def test_bounds_of_dates_are_seconds_in_utc(value, seconds):
    assert column(kind="datetime", bounds=[value, date(9999, 12, 31)]).bounds == (seconds, 253_402_214_400)


@pytest.mark.parametrize("bounds", [[0, 1], ["2020-01-01", "2021-01-01"]])
def test_bounds_of_dates_are_dates(bounds):
    with pytest.raises(PlanError, match="two dates such as"):
        column(kind="datetime", bounds=bounds)


def test_pii_none_is_a_persons_word_that_a_column_is_not_personal():
    looked_at = plan("tables.clients.columns.segment.pii", "none")
    assert looked_at.declared_schema()["clients"]["segment"].is_modelled
    assert looked_at.confirmed_not_personal == {"segment"}
    assert not plan("tables.clients.columns.segment.pii", "PERSON").declared_schema()["clients"]["segment"].is_modelled


def test_dropped_columns_have_no_facts_and_secrets_are_marked():
    changed = plan("tables.clients.columns.income.kind", "drop")
    assert changed.declared_schema()["clients"].dropped == ("income",)
    assert "income" not in changed.declared_schema()["clients"].names
    assert plan("audit.secrets", ["income"]).declared_schema()["clients"]["income"].secret


@pytest.mark.parametrize(
    ("place", "value", "rate"),
    [("", None, 0.4), ("dataset.people", 9_999, 0.5), ("dataset.people", 10_000, 0.4), ("audit.pool_rate", 0.25, 0.25)],
)
def test_the_pool_rate_depends_on_declared_facts_only(place, value, rate):
    assert plan(place, value).pool_rate == rate


DETERMINES = "tables.clients.columns.segment"


def with_map(tmp_path, text: str) -> Plan:
    (tmp_path / "map.csv").write_text(text, encoding="utf-8")
    return plan(DETERMINES, {"kind": "categorical", "determines": {"region": "map.csv"}}, base=tmp_path)


def test_a_public_map_gives_the_pairs_and_the_categories(tmp_path):
    loaded = with_map(tmp_path, "\ufeffsegment,region,more\na,North,1\nb,South,2\na,North,3\n")
    segment = loaded.declared_schema()["clients"]["segment"]
    assert segment.determines == {"region": {"a": "North", "b": "South"}}
    assert segment.categories == ("a", "b")
    assert segment.sources["determines"] == segment.sources["categories"] == "public"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("segment,area\na,North\n", "lacks column"),
        ("", "lacks column"),
        ("segment,region\na,North\na,South\n", "gives two values"),
        ("segment,region\na\n", "a row without a value"),
        ("segment,region\n,North\n", "a row without a value"),
    ],
)
def test_a_bad_public_map_is_refused(text, words, tmp_path):
    with pytest.raises(PlanError, match=words):
        with_map(tmp_path, text)


def test_a_plan_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        plan().privacy.epsilon = 100.0


def test_load_reads_paths_relative_to_the_plan(tmp_path):
    (tmp_path / "plan.toml").write_text(
        '[dataset]\nname = "c"\nprivacy_unit = "row"\n[tables.c]\npath = "c.csv"\n[tables.c.columns]\nx = { kind = "boolean" }\n'
        '[privacy]\nepsilon = 1\ndelta = 1e-6\n[synthesis]\nrows = 5\n[release]\nfolder = "out"\nexpires = 2027-06-30\n'
    )
    loaded = Plan.load(tmp_path / "plan.toml")
    assert loaded.path_of("c.csv") == tmp_path / "c.csv"
    assert loaded.budget.epsilon == 1.0
    assert loaded.release.expires == date(2027, 6, 30)


@pytest.mark.parametrize(("data", "words"), [(b"[dataset\n", "not valid TOML"), (b"\xff\xfe", "cannot be read"), (None, "is not there")])
def test_a_file_that_is_no_plan_is_refused(data, words, tmp_path):
    if data is not None:
        (tmp_path / "plan.toml").write_bytes(data)
    with pytest.raises(PlanError, match=words):
        Plan.load(tmp_path / "plan.toml")
