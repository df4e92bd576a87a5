"""What can be reached: by hand, against the intervals that audits print, and growing with the number of people."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.audit.intervals import area_under_curve
from privsynth.audit.power import reachable

LIMITS = {
    "auc": 0.55,
    "true_positive_rates": {0.01: 0.03, 0.001: 0.01},
    "largest_excess": 0.05,
    "largest_floor": 0.03,
    "smallest_holdout": 300,
    "replay_p_value": 1e-3,
}


def by_subject(n_train: int, n_holdout: int, n_release: int = 5000, **changed):
    return {reach.subject: reach for reach in reachable(n_train, n_holdout, n_release, **{**LIMITS, **changed})}


def test_too_few_people_reach_nothing():
    (only,) = reachable(1000, 200, 1000, **LIMITS)
    assert not only.reachable
    assert "300" in only.reason


def test_many_people_reach_everything():
    assert all(reach.reachable for reach in by_subject(40_000, 20_000, 50_000).values())


def test_middling_numbers_reach_membership_but_not_the_criteria():
    found = by_subject(1600, 400)
    assert found["membership inference"].reachable
    assert not found["singling out, linkability, inference"].reachable
    assert not found["the most isolated tenth"].reachable


def test_the_width_of_the_area_is_that_of_the_interval():
    # half the width of DeLong's interval on scores that say nothing, mean of 20 draws: within 5 % of the promise
    rng = np.random.default_rng(0)
    widths = [np.diff(area_under_curve(rng.random(500), rng.random(500)).interval)[0] / 2 for _ in range(20)]
    reason = by_subject(500, 500)["membership inference"].reason
    promised = float(reason.split("±")[1].split(",")[0])
    assert np.mean(widths) == pytest.approx(promised, rel=0.05)


def test_copies_are_judged_by_the_exact_test():
    # three copies of train against as many holdout people: p about 1/8, times the tests
    found = by_subject(1000, 1000, 100)["copies"]
    assert not found.reachable
    assert "3 copied records" in found.reason
    assert by_subject(1000, 1000, 1000)["copies"].reachable
