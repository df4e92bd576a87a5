"""From a summary to the report's parts in reading order: a decision sheet of two pages, then annexes.

The page and the PDF draw these parts as they are; every word and figure of a report is chosen here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from privsynth.errors import ReleaseError
from privsynth.release import to_json
from privsynth.report import blocks
from privsynth.report.annexes import annexes
from privsynth.report.blocks import Block

MOST_REASONS = 5
"""Judgements that the decision sheet names; the annex has all."""

VENDOR_SENTENCES = {
    "pass": "Every judgement of the sender's policy passed. This is evidence for a person's decision, not the decision.",
    "not passed": "At least one judgement of the sender's policy did not pass. "
    "Ask the sender on which ground the release was made nevertheless.",
}


def document(summary: Mapping[str, Any]) -> dict[str, Any]:
    """One edition as plain JSON: ``title``, ``edition``, ``first`` and ``second`` page of the decision sheet, ``annexes``.

    Raises:
        ReleaseError: The summary lacks a part that every report has.
    """
    report = json.loads(to_json(summary))  # with the keys in the order of the JSON file: rendered again, the report is the same
    try:
        return {
            "title": f"{report['dataset']['name']}: privsynth report",
            "edition": report["edition"],
            "made_on": report["made_on"],
            "marking": _marking(report),
            "light": report["verdict"]["light"],
            "first": _first_page(report),
            "second": _second_page(report),
            "annexes": annexes(report),
        }
    except KeyError as error:
        key = error.args[0]
        raise ReleaseError(f"the report lacks {key!r}; it is damaged or was not written by privsynth: take it from a backup") from None


def _marking(report: Mapping[str, Any]) -> str:
    if report["edition"] == "internal":
        return "Internal edition: holds figures computed from private data. Do not hand over."
    return "Vendor edition: nothing in it was computed from private data, but for the verdict and figures covered by the guarantee."


def _first_page(report: Mapping[str, Any]) -> list[Block]:
    dataset, guarantee = report["dataset"], report["guarantee"]
    parts = [
        blocks.heading(dataset["name"], level=1),
        blocks.text(f"Decision sheet, {report['edition']} edition.", quiet=True),
        blocks.text(guarantee["odds"] if guarantee["formal"] else guarantee["sentence"], lead="In plain odds."),
        blocks.pairs(
            [
                ("Purpose", dataset["purpose"]),
                ("Recipient", dataset["recipient"]),
                ("Sensitivity", dataset["sensitivity"]),
                ("Valid until", dataset["expires"] or "no date was set"),
                ("Made", f"on {report['made_on']} by privsynth {report['tool']['version']}, engine {dataset['engine']}"),
            ]
        ),
        _verdict(report),
        *(blocks.text(note, lead="Note.") for note in report["notes"]),
        blocks.boxes(_guarantee_box(guarantee), _attack_box(report), _trace_box(report)),
    ]
    if guarantee["formal"]:
        parts.append(blocks.text(guarantee["sentence"]))
    return parts + _frequencies(report) + _reasons(report) + _tested(report)


def _verdict(report: Mapping[str, Any]) -> Block:
    verdict = report["verdict"]
    shape, word = blocks.LIGHTS[verdict["light"]]
    sentence = verdict.get("sentence") or VENDOR_SENTENCES[verdict["light"]]
    return {"kind": "verdict", "light": verdict["light"], "shape": shape, "word": word, "text": sentence}


def _guarantee_box(guarantee: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    if not guarantee["formal"]:
        return "Guarantee", "none", ["Nothing limits by proof what the release gives away; the attacks are the only evidence."]
    people = guarantee["cumulative"]
    cap = "no cap was set" if people["cap"] is None else f"cap {blocks.bound_text(people['cap'])}"
    lines = [
        f"delta {guarantee['delta']:g}; {guarantee['relation']}; unit: {guarantee['unit']}.",
        f"These people in all: epsilon ≤ {blocks.bound_text(people['epsilon'])} over {_releases(people['releases'])} ({cap}).",
        f"Replacing one person: epsilon ≤ {blocks.bound_text(guarantee['replace_one_epsilon'])}.",
    ]
    return "Guarantee", f"epsilon ≤ {blocks.bound_text(guarantee['epsilon'])}", lines


def _releases(n: int) -> str:
    return "1 release" if n == 1 else f"{n} releases"


def _attack_box(report: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    if report["edition"] == "vendor":
        lines = [
            f"{len(report['tested'])} attacks, each beside a control, before anything left.",
            "Their figures stay with the sender; the limits are in annex D.",
        ]
        return "Attacks", "run by the sender", lines
    results, controls = report["audit"]["results"], report["audit"]["controls"]
    measured = sum(result["status"] == "measured" for result in results)
    lines = [
        f"{sum(control['behaved'] for control in controls)} of {len(controls)} controls with a known answer behaved.",
        f"{sum(result['light'] == 'fail' for result in results)} figures are beyond the policy's limit.",
    ]
    return "Attacks", f"{measured} of {len(results)} figures measured", lines


def _trace_box(report: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    if report["edition"] == "vendor":
        return "Traces", "invented values", ["Personal columns were never shown to a model; their values are made up."]
    traces = report["traces"]
    n_columns = len(traces)
    lines = [f"compared in {n_columns} personal column{'' if n_columns == 1 else 's'} (e-mail, phone, account, identifier)."]
    return "Traces", f"{sum(traces.values())} original values found", lines


def _tested(report: Mapping[str, Any]) -> list[Block]:
    """What was tested and what was not, on the first page of either edition."""
    attacks = ", ".join(dict.fromkeys(entry["attack"] for entry in report["tested"]))
    untested = " ".join(report["not_tested"])
    parts = [blocks.text(f"{attacks}.", lead="Tested:"), blocks.text(untested, lead="Not tested.")]
    if report["edition"] == "internal":
        unmeasured = [result["key"] for result in report["audit"]["results"] if result["status"] != "measured"]
        if unmeasured:
            parts.append(
                blocks.text(
                    f"{len(unmeasured)} figures, most often because too few people were held out; annex D lists them.", lead="Not measured:"
                )
            )
    return parts


def _frequencies(report: Mapping[str, Any]) -> list[Block]:
    """What each kind of attack found, in natural frequencies; internal edition only."""
    if report["edition"] == "vendor":
        return []
    rows = [(blocks.light(entry["light"]), entry["question"], entry["result"]) for entry in report["criteria"]]
    return [blocks.table("What the attacks found", ("Light", "Question", "Worst result"), rows, widths=(1.1, 2.2, 4))]


def _reasons(report: Mapping[str, Any]) -> list[Block]:
    """The judgements that did not pass, worst first; internal edition only."""
    reasons = report["verdict"].get("reasons", [])
    failed = [reason for reason in reasons if reason["light"] == "fail"]
    shown = failed + [reason for reason in reasons if reason["light"] == "inconclusive"]
    if not shown:
        return []
    rows = [(blocks.light(reason["light"]), reason["subject"], reason["reason"]) for reason in shown[:MOST_REASONS]]
    parts = [blocks.table("Judgements that did not pass", ("Light", "Subject", "Reason"), rows, widths=(1, 2, 3))]
    if len(shown) > MOST_REASONS:
        parts.append(blocks.text(f"and {len(shown) - MOST_REASONS} more in annex D.", quiet=True))
    return parts


def _second_page(report: Mapping[str, Any]) -> list[Block]:
    signing = report["signing"]
    grey = [] if report["verdict"]["light"] == "pass" else [*signing["at_grey"], *signing["at_red"]]
    after = [blocks.heading("If the light is not green", level=2), *(blocks.text(line) for line in grey)] if grey else []
    return [
        blocks.heading("What this does not show", level=2),
        blocks.items(report["does_not_show"]),
        blocks.text(f"{'; '.join(report['outside_the_guarantee'])}.", lead="Outside the guarantee:"),
        blocks.heading("What a person still has to confirm", level=2),
        blocks.items(report["human_items"], boxes=True),
        blocks.heading("What signing means", level=2),
        *(blocks.text(line) for line in signing["meaning"]),
        *(after or [blocks.text(line) for line in signing["at_grey"]]),
        blocks.heading("Signatures", level=2),
        {"kind": "signatures", "columns": ["Role", "Name", "Date, signature", "Conditions"], "roles": ["Data owner", "Privacy reviewer"]},
        blocks.text(
            "Signed electronically: privsynth sign RELEASE --role reviewer. Checked offline: privsynth verify RELEASE --key FILE.",
            quiet=True,
        ),
    ]
