"""Plots are the same byte for byte, show what the summary holds, and are left out where it holds nothing."""

from __future__ import annotations

import math
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from report_fakes import COST, full_run, grey_run, release, run
from test_summary import build

from privsynth.privacy import DiscreteGaussian, Touch
from privsynth.report import plots, summary

INTERNAL = ["waterfall", "ladder", "forest", "roc", "rank", "subgroups", "marginals"]


def drawn(report):
    return {drawing["name"]: drawing for drawing in plots.drawings(report)}


@pytest.fixture(scope="module")
def full():
    return build(audit_run=full_run(worst=0.58))


@pytest.fixture(scope="module")
def shown(full):
    return drawn(full)


def test_the_internal_edition_has_every_plot(shown):
    assert list(shown) == INTERNAL


def test_the_vendor_edition_has_the_ledger_alone(full):
    assert list(drawn(summary.vendor(full))) == ["waterfall"]


def test_a_plot_is_the_same_each_time(full, shown):
    assert drawn(full) == shown


def test_a_plot_is_well_formed_and_holds_no_text_script_date_or_reference_outside(shown):
    for drawing in shown.values():
        root = ElementTree.fromstring(drawing["svg"])
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"text", "script", "image", "foreignObject", "metadata"}, drawing["name"]
        for element in root.iter():
            for name, value in element.attrib.items():
                assert not name.endswith("href") or value.startswith(f"#{drawing['name']}-")


def test_every_plot_says_which_question_it_answers_and_what_it_shows(shown):
    for drawing in shown.values():
        assert drawing["question"].endswith("?")
        assert len(drawing["alt"]) > 40
        assert drawing["title"]


def test_alternative_texts_hold_the_figures(shown):
    assert "1 step to epsilon 0.629; these people have spent 2.5 in all" in shown["waterfall"]["alt"]
    assert "highest lower bound is 0.4" in shown["ladder"]["alt"]
    assert "below the claim" in shown["ladder"]["alt"]
    assert "calibrated membership (0.58" in shown["roc"]["alt"]
    assert "6 of 10 by distance" in shown["rank"]["alt"]
    assert "segment" in shown["marginals"]["alt"]


def test_a_bound_above_the_claim_is_said_to_be_above(full):
    results = [{**result, "value": 2.9} if result["metric"] == "epsilon lower bound" else result for result in full["audit"]["results"]]
    assert "above the claim" in plots.ladder({**full, "audit": {**full["audit"], "results": results}})["alt"]


@pytest.mark.parametrize(
    "made",
    [
        {"audit_run": grey_run()},
        {"audit_run": replace(run(), results=(), controls=(), floors={})},
        {"insecure": True},
        {"cost": replace(COST, epsilon=math.inf, replace_one_epsilon=math.inf)},
    ],
)
def test_what_was_not_measured_is_not_drawn(made):
    names = set(drawn(build(**made)))
    if made.get("insecure") or "cost" in made:
        assert not names & {"waterfall", "ladder"}
    else:
        assert names == {"waterfall", "marginals"}


def test_names_that_the_font_lacks_and_formulas_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.marginals(build(column="東京 $x^2$ " + 60 * "ü"))


def test_hundreds_of_mechanisms_stay_readable():
    made = release()
    touches = tuple(Touch("tables", f"step{number} of a", DiscreteGaussian(noise_multiplier=90.0)) for number in range(60))
    full = build(replace(made, touches=touches))
    svg = plots.waterfall(full)["svg"]
    height = float(svg.partition('height="')[2].partition("pt")[0])
    assert height <= 72 * (0.32 * (plots.MOST_ROWS + 1) + 1.0) + 1


@pytest.mark.parametrize(
    ("rate", "epsilon", "delta", "expected"),
    [
        (0.1, 0.0, 0.0, 0.1),
        (0.01, math.log(3), 0.0, 0.03),
        (0.9, math.log(3), 0.0, 1 - 0.1 / 3),
        (0.0, 1.0, 1e-3, 1e-3),
        (0.5, 800.0, 0.0, 1.0),
    ],
)
def test_the_claim_bounds_the_curve(rate, epsilon, delta, expected):
    """Closed form: min(e^epsilon x + delta, 1 - e^-epsilon (1 - delta - x))."""
    assert plots.claimed_rate(rate, epsilon, delta) == pytest.approx(expected)
