"""The waterfall adds up by the accountant that reports the total, step by step."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from privsynth.privacy import DiscreteGaussian, Internal, NonPrivate, Touch
from privsynth.privacy.accounting import total
from privsynth.report.spending import steps


def gaussian(label: str, multiplier: float = 5.0) -> Touch:
    return Touch("tables", label, DiscreteGaussian(noise_multiplier=multiplier))


def test_neighbours_of_one_kind_are_one_step():
    touches = [
        gaussian("histogram of a"),
        gaussian("histogram of b"),
        gaussian("choice of pair 1"),
        gaussian("choice of pair 2"),
        gaussian("pairs 3"),
    ]
    found = steps(touches, 1e-6)
    assert [(step["label"], step["mechanisms"]) for step in found] == [("histogram", 2), ("choice", 2), ("pairs", 1)]


def test_what_reads_data_and_releases_nothing_is_no_step():
    assert steps([Touch("audit", "attacks", Internal())], 1e-6) == []


def test_a_touch_without_proof_makes_the_rest_infinite():
    found = steps([gaussian("a"), Touch("tables", "fit", NonPrivate()), gaussian("b")], 1e-6)
    assert [math.isinf(step["epsilon_after"]) for step in found] == [False, True, True]


@given(st.lists(st.floats(min_value=2.0, max_value=50.0), min_size=1, max_size=6))
def test_steps_rise_and_end_at_the_total(multipliers):
    touches = [gaussian(f"marginal of {chr(97 + number)}", multiplier) for number, multiplier in enumerate(multipliers)]
    touches += [gaussian("adaptive marginals", 9.0)]
    found = [step["epsilon_after"] for step in steps(touches, 1e-6)]
    assert found == sorted(found)
    assert found[-1] == total(touches, 1e-6).epsilon
