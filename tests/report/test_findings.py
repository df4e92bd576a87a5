"""The sentence of the verdict and the natural frequencies: worst first, plain, with figures that can be recomputed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_fakes import control, full_run, grey_run, release, replayed, result, run
from test_summary import build

from privsynth.report.findings import per_thousand


def verdict_of(audit_run, **changes):
    return build(audit_run=audit_run, **changes)["verdict"]


def test_a_pass_names_how_much_was_measured_and_the_smallest_leak_that_would_have_shown():
    verdict = verdict_of(run(floors={"exact replay": 0.01, "nearest-neighbour-rank replay": None}))
    assert verdict["light"] == "pass"
    assert verdict["sentence"] == (
        "No evidence of a leak was found in 2 figures of 2 attacks; "
        "a release with 1.0% of its rows copied from real people would have been noticed."
    )


def test_a_pass_says_how_many_figures_are_missing():
    tenth = result("AUC in excess of control", status="not measurable", population="vulnerable tenth")
    assert "1 figures could not be measured" in verdict_of(run(result(), replayed(), tenth))["sentence"]


def test_an_open_verdict_names_the_first_open_judgement_and_counts_the_others():
    sentence = verdict_of(grey_run())["sentence"]
    assert sentence.startswith("Open: no test failed, but ")
    assert "not measurable" in sentence


COPIED = {"train_matched": 300, "holdout_matched": 0}


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (
            [replayed(1e-12, details=COPIED)],
            "repeat the whole record of 300 people they were made from, and of 0 people they were not made from",
        ),
        (
            [replayed(1e-12, audit="unique-combination replay", value=0.5, control=0.25, interval=(0.4, 0.6))],
            "those of 750 of 1,000 people they were made from, and of 250 of 1,000 people they were not",
        ),
        (
            [
                replayed(
                    1e-12,
                    audit="nearest-neighbour-rank replay",
                    value=0.98,
                    control=0.5,
                    interval=(0.9, 1.0),
                    details={"nearest_people": 200},
                )
            ],
            "of the 200 nearest people 196 were in the data, where chance gives about 100",
        ),
        (
            [result("TPR at 1.0% FPR", value=0.25, interval=(0.2, 0.3), control=0.012)],
            "of 1,000 people in the data 250 are recognised (95 %: 200 to 300) by an attack that is wrong about 12 of 1,000",
        ),
        ([result(value=0.81, interval=(0.8, 0.82))], "picks the right one 81 times of 100"),
        (
            [result("people linked, in excess of control", audit="linkability", value=0.1, interval=(0.08, 0.12), control=0.02)],
            "of 1,000 people in the data 100 more are linked than of 1,000 people who are not (95 %: 80 more to 120 more); of those it is 20",
        ),
    ],
)
def test_a_red_verdict_says_why_in_one_plain_sentence(results, words):
    verdict = verdict_of(run(*results))
    assert verdict["light"] == "fail"
    assert verdict["sentence"].startswith("Stopped: ")
    assert words in verdict["sentence"]


def test_copied_records_are_said_before_anything_inferred_from_them():
    both = run(result(value=0.81, interval=(0.8, 0.82)), replayed(1e-12, details=COPIED))
    assert "repeat the whole record of 300 people" in verdict_of(both)["sentence"]


def test_original_values_are_counted_with_their_columns():
    made = release()
    traced = replace(made, measurements=replace(made.measurements, pii_replay={"email": 4, "phone": 0, "iban": 2}))
    assert build(traced)["verdict"]["sentence"] == "Stopped: 6 original personal values occur in the synthetic data (columns: email, iban)."


def test_a_control_that_fails_is_named():
    sentence = verdict_of(run(controls=(control("positive"), control("negative", results=(replayed(1e-9),)))))["sentence"]
    assert "reported a leak where none can be (control: negative control)" in sentence


def test_each_kind_of_attack_has_one_line_with_its_law_question_limit_and_how_it_can_fail():
    lines = build(audit_run=full_run())["criteria"]
    assert [line["criterion"] for line in lines] == ["singling out", "linkability", "attribute inference", "membership", "replay"]
    assert all(line["law"] and line["question"].endswith("?") and line["limit_text"] and line["can_fail"] for line in lines)
    assert {line["light"] for line in lines} == {"pass"}


def test_the_worst_figure_of_a_kind_is_shown():
    first, worse = (
        result(metric, audit="singling out", value=value, interval=(value - 0.001, value + 0.001), control=0.1)
        for metric, value in (
            ("people singled out by one value, in excess of control", 0.01),
            ("people singled out by several values, in excess of control", 0.09),
        )
    )
    (line,) = [line for line in build(audit_run=run(first, worse, replayed()))["criteria"] if line["criterion"] == "singling out"]
    assert line["worst"] == worse.key
    assert line["light"] == "fail"
    assert "Of 1,000 people in the data 90 more are singled out" in line["result"]


def test_an_attack_that_did_not_run_is_no_pass():
    lines = {line["criterion"]: line for line in build(audit_run=run(result(), replayed()))["criteria"]}
    assert lines["linkability"]["light"] == "inconclusive"
    assert lines["linkability"]["result"] == "Not measured: no such attack was run."


@pytest.mark.parametrize(
    ("share", "people"), [(0.0, "0"), (1.0, "1000"), (0.0099, "9.9"), (0.00004, "0"), (-0.00004, "0"), (-0.02, "-20"), (0.5556, "556")]
)
def test_shares_as_people_of_a_thousand(share, people):
    assert per_thousand(share) == people
