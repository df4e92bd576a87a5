"""Each rule of the policy passes, fails or stays open; what was not measured never passes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from importlib.resources import files

import pytest
from report_fakes import COST, control, grey_run, replayed, result, run

from privsynth.audit.base import AuditResult
from privsynth.errors import PlanError
from privsynth.report.policy import Judgement, Policy, audit_judgements, judge, verdict

POLICY = Policy.load()
SHIPPED = files("privsynth.report").joinpath("policy.toml").read_text(encoding="utf-8")


def light_of(audit_run, subject: str, *, policy=POLICY, holdout_people=5000) -> str:
    """The light of the only judgement whose subject starts so."""
    (judgement,) = [
        judgement
        for judgement in audit_judgements(policy, audit_run, holdout_people=holdout_people)
        if judgement.subject.startswith(subject)
    ]
    return judgement.light


def judged(audit_run=None, *, cost=COST, sensitivity="high", traces=None, holdout_people=5000, notes=()):
    return judge(
        POLICY, run=audit_run or run(), cost=cost, sensitivity=sensitivity, traces=traces or {}, holdout_people=holdout_people, notes=notes
    )


def test_a_run_in_which_all_is_well_passes():
    judgements = judged()
    assert verdict(judgements) == "pass"
    assert {judgement.light for judgement in judgements} == {"pass"}


@pytest.mark.parametrize(
    ("epsilon", "sensitivity", "light"),
    [
        (4.0, "high", "pass"),
        (4.01, "high", "inconclusive"),
        (8.0, "medium", "pass"),
        (10.0, "low", "pass"),
        (10.1, "low", "inconclusive"),
        (math.inf, "low", "pass"),
        (math.inf, "medium", "inconclusive"),
        (math.inf, "high", "inconclusive"),
    ],
)
def test_the_guarantee_is_judged_by_sensitivity(epsilon, sensitivity, light):
    guarantee = judged(cost=replace(COST, epsilon=epsilon), sensitivity=sensitivity)[0]
    assert (guarantee.subject, guarantee.light) == ("guarantee", light)


@pytest.mark.parametrize(("traces", "light"), [({}, "pass"), ({"email": 0}, "pass"), ({"email": 1}, "fail"), ({"a": 0, "b": 3}, "fail")])
def test_any_trace_of_a_personal_value_fails(traces, light):
    assert judged(traces=traces)[1].light == light


@pytest.mark.parametrize(
    "metric", ["AUC", "TPR at 1.0% FPR", "TPR at 0.1% FPR", "AUC in excess of control", "TPR at 1.0% FPR in excess of control"]
)
@pytest.mark.parametrize(("shift", "light"), [((-0.02, -0.001), "pass"), ((-0.01, 0.01), "inconclusive"), ((0.001, 0.02), "fail")])
def test_membership_is_judged_by_its_interval(metric, shift, light):
    limits = POLICY.membership
    limit = {
        "AUC": limits.auc,
        "TPR at 1.0% FPR": limits.true_positive_rate_at_1_percent,
        "TPR at 0.1% FPR": limits.true_positive_rate_at_0_1_percent,
        "AUC in excess of control": limits.auc - 0.5,
        "TPR at 1.0% FPR in excess of control": limits.true_positive_rate_at_1_percent - 0.01,
    }[metric]
    interval = (limit + shift[0], limit + shift[1])
    assert light_of(run(result(metric, interval=interval)), "distance membership") == light


@pytest.mark.parametrize(("p_value", "n_tests", "light"), [(1e-3, 1, "fail"), (1e-3, 2, "pass"), (4e-4, 2, "fail"), (0.5, 1, "pass")])
def test_replay_is_judged_after_correction_for_the_number_of_tests(p_value, n_tests, light):
    others = [replayed(0.9, population="vulnerable tenth")] * (n_tests - 1)
    assert light_of(run(replayed(p_value), *others), "exact replay / people replayed / everyone") == light


@pytest.mark.parametrize("status", ["skipped", "crashed", "not measurable"])
@pytest.mark.parametrize("make", [result, replayed])
def test_what_was_not_measured_never_passes(status, make):
    broken = make(status=status)
    assert light_of(run(broken), broken.key) == "inconclusive"
    assert verdict(judged(run(result(), replayed(), broken))) == "inconclusive"


@pytest.mark.parametrize(
    "odd",
    [
        result(interval=(math.nan, math.nan)),
        result(value=math.nan),
        replayed(math.nan),
        result("a figure that no limit is for", interval=(0.0, 0.1)),
        result("a figure that no limit is for", interval=None),
    ],
)
def test_a_figure_that_says_nothing_never_passes(odd):
    assert light_of(run(odd), odd.key) == "inconclusive"


@pytest.mark.parametrize(("status", "required", "n"), [("not measurable", False, 0), ("not measurable", True, 1), ("crashed", False, 1)])
def test_the_vulnerable_tenth_may_be_unmeasurable_unless_the_policy_requires_it(status, required, n):
    policy = POLICY.model_copy(update={"membership": POLICY.membership.model_copy(update={"vulnerable_tenth_required": required})})
    tenth = result(status=status, population="vulnerable tenth")
    lights = [item.light for item in audit_judgements(policy, run(result(), tenth), holdout_people=5000) if item.subject == tenth.key]
    assert lights == ["inconclusive"] * n


@pytest.mark.parametrize(
    ("made", "light"),
    [
        (control("positive"), "pass"),
        (control("positive", flagged=False), "inconclusive"),
        (control("negative", flagged=False), "pass"),
        (control("negative", results=(replayed(1e-4),)), "fail"),
        (control("negative", results=(replayed(1e-4, status="crashed"),)), "inconclusive"),
        (control("negative", results=(replayed(0.5), result(status="crashed"))), "inconclusive"),
        (control("negative", results=()), "inconclusive"),
        (control("positive", results=(replayed(1e-9), result(status="crashed"))), "inconclusive"),
    ],
)
def test_a_control_has_to_behave(made, light):
    assert light_of(run(controls=(made,)), "control") == light


@pytest.mark.parametrize(
    ("floors", "light"),
    [
        ({"a": 0.03}, "pass"),
        ({"a": 0.05}, "inconclusive"),
        ({"a": None}, "inconclusive"),
        ({"a": None, "b": 0.01}, "pass"),
        ({}, "inconclusive"),
    ],
)
def test_attacks_that_could_see_little_stay_open(floors, light):
    assert light_of(run(floors=floors), "floor") == light


@pytest.mark.parametrize(("people", "expected"), [(299, "inconclusive"), (300, "pass")])
def test_too_few_held_out_people_stay_open(people, expected):
    assert verdict(judged(holdout_people=people)) == expected


def test_no_attack_is_no_pass():
    nothing = replace(run(), results=())
    assert light_of(nothing, "attacks") == "inconclusive"
    assert verdict(judged(nothing)) == "inconclusive"


def test_an_all_grey_run_is_inconclusive():
    assert verdict(judged(grey_run())) == "inconclusive"


def test_a_note_keeps_the_whole_from_passing():
    assert verdict(judged(notes=["fixed split"])) == "inconclusive"


@pytest.mark.parametrize("lights", list(itertools.product(["pass", "fail", "inconclusive"], repeat=3)))
def test_the_verdict_is_the_worst_light_in_any_order(lights):
    order = ["pass", "inconclusive", "fail"]
    judgements = [Judgement(subject="s", light=light, reason="r") for light in lights]
    assert verdict(judgements) == max(lights, key=order.index)


def test_every_metric_of_the_audits_has_a_rule():
    """Real attacks on a small release: no result is left without a limit."""
    import fakes
    import numpy as np

    from privsynth import audit

    dataset = fakes.people_dataset(300)
    side = np.arange(300) < 150
    found = audit.run(
        dataset.select(side, role="train"),
        dataset.select(~side, role="holdout"),
        fakes.people_dataset(300, seed=9),
        rng=np.random.default_rng(0),
        max_targets=150,
    )
    measured = [item for item in found.results if item.status == "measured"]
    assert measured
    reasons = {item.subject: item.reason for item in audit_judgements(POLICY, found, holdout_people=400)}
    assert all("no limit of the policy" not in reasons[item.key] for item in measured)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("auc = 0.55", "auc = 0.55\nauk = 0.5", "membership.auk"),
        ("auc = 0.55", "", "membership.auc"),
        ("auc = 0.55", "auc = 0.4", "membership.auc"),
        ("\np_value = 1e-3", "\np_value = 0", "replay.p_value"),
        ("low = 10.0, ", "", "no limit for sensitivity 'low'"),
        ("low = 10.0", "low = inf", "finite"),
        ("low = 10.0", "low = nan", "finite"),
        ("low = 10.0", "low = -1", "finite"),
        ('["low"]', '["none"]', "no_guarantee_allowed"),
        ("[traces]", "[traces", "not valid TOML"),
        ("smallest = 300", "smallest = 0", "holdout.smallest"),
    ],
)
def test_a_wrong_policy_is_refused(old, new, words, tmp_path):
    assert SHIPPED.count(old) == 1
    (tmp_path / "policy.toml").write_text(SHIPPED.replace(old, new))
    with pytest.raises(PlanError) as caught:
        Policy.load(tmp_path / "policy.toml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_policy_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlanError, match="cannot be read"):
        Policy.load(tmp_path / "none.toml")


def test_the_hash_identifies_the_file(tmp_path):
    (tmp_path / "policy.toml").write_text(SHIPPED)
    assert Policy.load(tmp_path / "policy.toml").sha256 == POLICY.sha256
    (tmp_path / "policy.toml").write_text(SHIPPED + "# ours\n")
    assert Policy.load(tmp_path / "policy.toml").sha256 != POLICY.sha256


def test_shipped_limits_are_labelled_as_examples():
    assert "example" in POLICY.version
    assert "example" in POLICY.label


def test_a_reason_for_a_crash_names_its_type():
    crashed = AuditResult(
        audit="a", threat_model="release-only", question="?", metric="AUC", status="crashed", details={"error": "KeyError"}
    )
    (found,) = [item for item in audit_judgements(POLICY, run(crashed), holdout_people=5000) if item.subject == crashed.key]
    assert found.reason == "crashed: KeyError"
