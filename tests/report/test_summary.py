"""One dict, two editions: the vendor's is an allow-list that holds no exact figure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
from report_fakes import COST, EXACT, SECRET_FIGURES, control, grey_run, release, replayed, result, run

from privsynth.report import summary
from privsynth.report.conclusions import conclusions_in
from privsynth.report.policy import Policy, judge
from privsynth.report.render import render

POLICY = Policy.load()

pytestmark = pytest.mark.usefixtures("without_plots")


def build(made=None, **changes):
    made = made or release(**changes)
    judgements = judge(
        POLICY,
        run=made.measurements.audit,
        cost=made.cost,
        sensitivity="high",
        traces=made.measurements.pii_replay,
        holdout_people=made.measurements.people["holdout"],
    )
    return summary.build(made, policy=POLICY, judgements=judgements)


def text_of(value) -> str:
    return json.dumps(value, ensure_ascii=False)


ALLOWED = {
    "schema_version", "edition", "verdict", "tool", "made_on", "event_id", "dataset", "guarantee", "ledger_head", "columns", "fact_sources",
    "policy", "methods", "scenarios", "tested", "not_tested", "outside_the_guarantee", "does_not_show", "human_items", "signing", "notes",
    "components", "legal",
}  # fmt: skip


def test_the_vendor_edition_is_an_allow_list():
    assert set(summary.vendor(build())) == ALLOWED


def test_a_new_key_of_the_internal_edition_does_not_reach_the_vendor():
    assert set(summary.vendor({**build(), "something_new": EXACT})) == ALLOWED


def test_the_internal_edition_holds_the_exact_figures():
    text = text_of(build())
    shown = [name for name, count in EXACT.items() if str(count) in text]
    assert set(EXACT) - set(shown) <= {"clipped cells", "rows left out", "traces"}
    assert all(str(figure) in text for figure in SECRET_FIGURES)


@pytest.mark.parametrize("format", ["json", "html"])
def test_the_vendor_edition_holds_no_exact_count_and_no_figure_of_an_audit(format):
    text = render(summary.vendor(build()), format)
    for name, count in EXACT.items():
        assert str(count) not in text, name
        assert f"{count:,}" not in text, name
    for figure in SECRET_FIGURES:
        assert str(figure) not in text
        assert f"{figure:.3f}" not in text
        assert f">{figure:.3g}<" not in text


@pytest.mark.parametrize(
    ("audit_run", "bit"),
    [
        (run(result(), replayed()), "pass"),
        (grey_run(), "not passed"),
        (run(result(interval=(0.9, 0.95))), "not passed"),
        (run(controls=(control("positive", flagged=False),)), "not passed"),
    ],
)
def test_the_vendor_learns_one_bit(audit_run, bit):
    vendor = summary.vendor(build(audit_run=audit_run))
    assert vendor["verdict"] == {"light": bit}


def test_vendor_editions_differ_by_the_bit_alone_whatever_the_audits_found():
    """Null control: with the same bit, nothing that was measured moves a byte."""
    one = summary.vendor(build(audit_run=grey_run()))
    other_release = release(audit_run=run(result(interval=(0.9, 0.95))))
    measured = replace(
        other_release.measurements, people={"train": 1, "holdout": 2, "tuning": 3}, rows={"train": 9}, clipped={}, utility=None
    )
    other = summary.vendor(build(replace(other_release, measurements=measured, seconds=99.0)))
    assert text_of(one) == text_of(other)


@pytest.mark.parametrize("edition", ["vendor", "internal"])
@pytest.mark.parametrize("format", ["html", "json"])
@pytest.mark.parametrize("made", [{}, {"audit_run": grey_run()}, {"cost": replace(COST, epsilon=math.inf)}, {"insecure": True}])
def test_no_edition_draws_the_conclusion_that_a_person_has_to_draw(edition, format, made):
    full = build(**made)
    text = render(full if edition == "internal" else summary.vendor(full), format)
    assert conclusions_in(text) == []


def test_the_search_for_banned_words_finds_one():
    assert conclusions_in(render(build(notes=("This release is Anonymous.",)), "html")) == ["anonymous"]


def test_a_guarantee_names_its_relation_delta_and_replace_one_value():
    sentence = build()["guarantee"]["sentence"]
    assert "epsilon <= 2.5 and delta = 1e-06, for adding or removing one person" in sentence
    assert "epsilon <= 5.5 for replacing one person" in sentence


@pytest.mark.parametrize("made", [{"cost": replace(COST, epsilon=math.inf, replace_one_epsilon=math.inf)}, {"insecure": True}])
def test_without_a_proof_there_is_no_epsilon_and_no_word_of_differential_privacy(made):
    guarantee = build(**made)["guarantee"]
    assert guarantee["formal"] is False
    assert "epsilon" not in guarantee
    assert "odds" not in guarantee
    assert "differential privacy" not in guarantee["sentence"]
    for own in (build(**made), summary.vendor(build(**made))):
        page = render({**own, "legal": []}, "html")  # norms are named by their titles, whatever the release
        assert "No formal guarantee" in page
        assert not re.search(r"differential(ly)? priva", page, flags=re.IGNORECASE)


@pytest.mark.parametrize(
    ("epsilon", "shown", "rare"),
    [
        (math.log(3) - 1e-9, "75 %", 3),
        (1.0, "74 %", 3),
        (0.01, "51 %", 2),
        (20.0, "almost 100 %", 999),
        (0.0, "50 %", 1),
        (math.log(999) - 1e-9, "99.9 %", 500),
    ],
)
def test_odds_are_rounded_up(epsilon, shown, rare):
    """Closed form: e^epsilon / (1 + e^epsilon), 3/4 at ln 3; from 1 in 1,000, e^epsilon / (999 + e^epsilon), one half at ln 999."""
    odds = summary.odds(replace(COST, epsilon=epsilon))
    assert f"at most {shown} sure" in odds
    assert f"ends with at most {rare} in 1,000" in odds


@pytest.mark.parametrize("light", ["pass", "inconclusive", "fail"])
@pytest.mark.parametrize("formal", [True, False])
@pytest.mark.parametrize("insecure", [True, False])
def test_only_a_release_that_passed_with_a_guarantee_may_be_handed_over(light, formal, insecure):
    said = summary.handing_over(light, formal=formal, insecure=insecure)
    assert ("may be handed over" in said) == (light == "pass" and formal and not insecure)
    assert ("not to be handed over" in said) != ("may be handed over" in said)
    assert conclusions_in(said) == []


def test_every_column_says_what_happened_to_it():
    fates = {column["name"]: column["fate"] for column in build()["columns"]}
    assert fates["segment"] == "synthesized"
    assert fates["person"].startswith("identifier")
    assert fates["email"].startswith("personal data (EMAIL_ADDRESS)")
    assert fates["notes"].startswith("left out: free text")
    assert fates["left_out"] == "left out by the plan"


def test_a_figure_that_is_not_finite_does_not_stop_the_report():
    made = release(audit_run=run(result(value=math.nan, interval=(-math.inf, math.nan)), replayed(math.nan)))
    full = build(made)
    assert full["audit"]["results"][0]["interval"] == [None, None]
    assert json.loads(render(full, "json"))["verdict"]["light"] == "inconclusive"
    assert "inconclusive" in render(full, "html")


def test_without_a_target_there_is_no_utility():
    full = build(utility=False)
    assert full["utility"] is None
    assert "Utility" not in render(full, "html")
