"""What annexes F and H of the internal edition say beyond attacks: groups, coverage, overlap, and what was promised before training.

Works on the plain dict of a summary, internal edition; everything here is computed from private data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from privsynth.report import blocks
from privsynth.report.blocks import Block

Report = Mapping[str, Any]

SHOWN = 12
"""Rows of a table on paper, the most telling first; the JSON holds all of them."""


def segments(report: Report) -> list[Block]:
    """Utility by segment: whom the release serves worse than the others."""
    scores = [
        (score["family"], segment) for score in (report["utility"] or {"scores": []})["scores"] for segment in score.get("segments", [])
    ]
    if not scores:
        return []
    worst = sorted(scores, key=lambda entry: -entry[1]["excess_gap"])
    rows = [
        (
            segment["segment"],
            family,
            blocks.figure(segment["n_holdout"]),
            blocks.figure(segment["synthetic"]),
            blocks.interval(segment["interval"]),
            blocks.figure(segment["ceiling"]),
            blocks.figure(segment["excess_gap"]),
            blocks.interval(segment["excess_interval"]),
        )
        for family, segment in worst[:SHOWN]
    ]
    columns = ("Segment", "Model", "Held out", "Synthetic", "Interval", "Ceiling", "Excess gap", "Interval of the excess")
    caption = (
        f"Worst {len(rows)} of {len(scores)}: the gap to training on real data, less the same gap for everyone else. Above 0 this segment "
        "is served worse; 95 % each, without correction for their number"
    )
    return [blocks.heading("Utility by segment"), blocks.table(caption, columns, rows, widths=(2, 1, 0.8, 1, 1.5, 1, 1, 1.5))]


def groups(report: Report) -> list[Block]:
    """Rates of the target by group, coverage of values and tails, and overlap with evaluation sets."""
    found = report["breadth"]
    return [*_rates(found["rates"]), *_coverage(found["diversity"]), *_overlap(found["contamination"])]


def _rates(rates: list[Mapping[str, Any]]) -> list[Block]:
    if not rates:
        return []
    worst = sorted(rates, key=lambda rate: -abs(rate["synthetic"] - rate["train"]))[:SHOWN]
    rows = [
        (
            rate["group"],
            rate["outcome"],
            blocks.percent(rate["train"]),
            blocks.percent(rate["synthetic"]),
            blocks.interval(rate["interval"]),
        )
        for rate in worst
    ]
    caption = f"The {len(rows)} of {len(rates)} rates that differ most; the interval is of synthetic minus train, 95 % each"
    return [blocks.heading("Rates by group"), blocks.table(caption, ("Group", "Outcome", "Train", "Synthetic", "Difference"), rows)]


def _coverage(diversity: Mapping[str, Any]) -> list[Block]:
    names = ("values", "values_of_resample", "rare", "rare_of_train", "tails", "tails_of_train")
    rows = [(entry["column"], *(blocks.percent(entry[name]) for name in names)) for entry in diversity["columns"]]
    columns = ("Column", "Values", "In a resample", "Rare values", "In train", "Tails", "In train")
    repeated = blocks.percent_text(diversity["repeated"]), blocks.percent_text(diversity["repeated_of_train"])
    return [
        blocks.heading("Diversity and tails"),
        blocks.table("Share of train's values that occur, and of rows in rare values (below 1 %) and in both 1 % tails", columns, rows),
        blocks.text(f"{repeated[0]} of the synthetic rows repeat an earlier one; of train {repeated[1]}."),
    ]


def _overlap(contamination: list[Mapping[str, Any]]) -> list[Block]:
    if not contamination:
        return [blocks.text("The plan names no evaluation set that the release should not contain.", quiet=True)]
    rows = [
        (entry["name"], blocks.figure(entry["shared"]), blocks.figure(entry["n"]), blocks.interval(entry["interval"]))
        for entry in contamination
    ]
    caption = "Whole rows of evaluation sets that occur in the release; scores on a set that it contains measure memory"
    return [blocks.heading("Overlap with evaluation sets"), blocks.table(caption, ("Set", "Shared", "Rows", "Share"), rows)]


def promises(report: Report) -> list[tuple[str, str]]:
    """Rows of annex H: what was committed before training, how used the held-out people are, and the worst attack."""
    protocol = report["protocol"]
    committed = protocol["commitment"]
    rows = [
        (
            "Committed before training",
            f"split, {len(protocol['attacks'])} attacks and policy: SHA-256 {committed['digest']} in the ledger, opened by commitment.json"
            if committed
            else "nothing: the split is a fixed permutation",
        ),
        ("Releases that held-out people have judged", " ".join(filter(None, (str(protocol["holdout_uses"]), protocol["note"])))),
    ]
    worst = protocol["worst_attack"]
    if worst is not None:
        rows.append(
            ("Worst attack", f"{worst['key']}: p = {blocks.figure_text(worst['p_value'])} after correction for {worst['n_tests']} tests")
        )
    return rows
