"""The annexes of a report, A to J: the evidence behind the decision sheet, in an order that law and standards ask for.

Annexes that need private figures exist in the internal edition only; the vendor edition says so where one is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from privsynth.report import blocks, breadth, plots
from privsynth.report.blocks import Block

Report = Mapping[str, Any]


def annexes(report: Report) -> list[Block]:
    """All annexes of one edition in order."""
    drawn = {drawing["name"]: blocks.plot(drawing) for drawing in plots.drawings(report)}
    internal = report["edition"] == "internal"
    return [
        *_data(report),
        *_guarantee(report, drawn),
        *_scenarios(report),
        *(_results(report, drawn) if internal else _limits_only()),
        *_policy(report),
        *_legal(report),
        *(_groups(report, drawn) + _quality(report, drawn) if internal else _groups_public()),
        *_provenance(report),
        *_governance(report),
        *_methods(report),
        *_components(report),
    ]


def _data(report: Report) -> list[Block]:
    dataset, facts = report["dataset"], report["fact_sources"]
    rows = ", ".join(f"{name}: {count}" for name, count in dataset["synthetic_rows"].items())
    parts = [
        blocks.heading("A. Data and context", level=2),
        blocks.pairs(
            [
                ("Unit of privacy", f"one person, known by column {dataset['privacy_unit']}"),
                ("Synthetic rows", rows),
                ("Sources of facts", ", ".join(f"{_SOURCES[source]}: {count}" for source, count in facts.items())),
            ]
        ),
        blocks.text(
            "A declared fact was typed by a person, a public one comes from a public file, a bought one was measured with noise and is "
            "covered by the guarantee. A fact read off the data ends the guarantee.",
            quiet=True,
        ),
        blocks.table(
            f"The {len(report['columns'])} columns: what happened to each, and where its facts come from",
            ("Column", "Kind", "What happened", "Source of its facts", "Cells", "Nulls", "Remark"),
            [_column_row(column) for column in report["columns"]],
            widths=(2, 1.4, 2.6, 2.6, 1, 0.9, 2),
        ),
    ]
    return parts


_SOURCES = {"declared": "declared", "public": "public", "dp": "bought with noise", "data": "read off the data"}


def _column_row(column: Mapping[str, Any]) -> tuple[blocks.Cell, ...]:
    model = column["model"]
    if model is None:
        return (column["name"], column["kind"], column["fate"], blocks.NOTHING, blocks.NOTHING, blocks.NOTHING, "")
    by_source: dict[str, list[str]] = {}
    for fact, source in model["sources"].items():
        by_source.setdefault(_SOURCES[source], []).append(fact.replace("_", " "))
    facts = "; ".join(f"{source}: {', '.join(names)}" for source, names in by_source.items())
    cells = f"{model['cells']} in {model['bins']} bins" if model["cells"] else blocks.NOTHING
    roles = [word for word, holds in (("quasi-identifier", column["quasi_identifier"]), ("secret", column["secret"])) if holds]
    remark = " ".join(part for part in (", ".join(roles), model["note"]) if part)
    return (column["name"], column["kind"], column["fate"], facts, cells, blocks.percent(model["null_share"]), remark)


def _guarantee(report: Report, drawn: Mapping[str, Block]) -> list[Block]:
    guarantee = report["guarantee"]
    parts = [blocks.heading("B. Guarantee and ledger", level=2), blocks.text(guarantee["sentence"])]
    if guarantee["formal"]:
        parts.append(blocks.text(f"Accountant: {guarantee['accountant']}.", quiet=True))
        rows = [
            (step["stage"], step["label"], blocks.figure(step["mechanisms"]), blocks.bound(step["epsilon_after"]))
            for step in guarantee["steps"]
        ]
        parts.append(
            blocks.table(
                "How epsilon grows, step by step", ("Stage", "Step", "Mechanisms", "Epsilon after it, at most"), rows, widths=(1, 3, 1, 1.5)
            )
        )
    parts += [drawn[name] for name in ("waterfall", "ladder") if name in drawn]
    parts.append(
        blocks.table(
            "The ledger of this release: every planned use of private data, in order",
            ("Stage", "What is read", "Class", "Event"),
            [(touch["stage"], touch["label"], touch["class"], _event(touch)) for touch in guarantee["touches"]],
            widths=(1, 3, 1.6, 2.6),
        )
    )
    return parts


def _event(touch: Mapping[str, Any]) -> str:
    if touch["class"] != "dp":
        return blocks.NOTHING
    figures = [f"{name.replace('_', ' ')} {blocks.figure_text(value)}" for name, value in touch["event"].items() if name != "type"]
    return ", ".join([touch["event"]["type"], *figures])


def _scenarios(report: Report) -> list[Block]:
    rows = [[entry[key] for key in ("who", "holds", "wants", "cost", "covered")] for entry in report["scenarios"]]
    return [
        blocks.heading("C. Attacker scenarios", level=2),
        blocks.table("Who might attack, with what, and what speaks to it here", ("Who", "Holds", "Wants", "Cost", "Covered by"), rows),
        blocks.heading("Not tested"),
        blocks.items(report["not_tested"]),
    ]


def _results(report: Report, drawn: Mapping[str, Block]) -> list[Block]:
    """Annex D, internal edition: results by legal criterion, then every figure."""
    audit = report["audit"]
    rows = [
        (
            blocks.light(entry["light"]),
            f"{entry['criterion']} ({entry['law']})",
            entry["question"],
            entry["result"],
            entry["limit_text"],
            entry["can_fail"],
        )
        for entry in report["criteria"]
    ]
    return [
        blocks.heading("D. Results by legal criterion", level=2),
        blocks.table(
            "The worst figure on everyone, in natural frequencies",
            ("Light", "Criterion", "Question", "Result", "Limit", "How it can miss a leak"),
            rows,
            widths=(1.1, 1.6, 1.6, 2.2, 1.4, 1.6),
        ),
        *(drawn[name] for name in ("forest", "roc", "rank") if name in drawn),
        blocks.heading("Every judgement"),
        blocks.table(
            "The verdict is the worst of these",
            ("Light", "Subject", "Reason"),
            [(blocks.light(reason["light"]), reason["subject"], reason["reason"]) for reason in report["verdict"]["reasons"]],
            widths=(1, 3, 3),
        ),
        blocks.heading("Every figure"),
        blocks.table(
            "Higher is worse; the control is the same figure where nothing can have leaked; the floor is the smallest leak that would show",
            ("Attack", "Holds", "Figure", "Value", "Interval", "Control", "p", "Floor", "Ceiling", "n", "Status"),
            [_result_row(result) for result in audit["results"]],
            widths=(2, 1.6, 2, 1, 1.5, 1, 1, 1, 1, 1, 1.4),
        ),
        *(blocks.text(note, quiet=True) for note in audit["notes"]),
        *_controls(audit),
    ]


def _result_row(result: Mapping[str, Any]) -> tuple[blocks.Cell, ...]:
    numbers = [blocks.figure(result[name]) for name in ("control", "p_value", "floor", "ceiling", "n")]
    return (
        f"{result['audit']}, {result['population']}",
        result["threat_model"],
        result["metric"],
        blocks.figure(result["value"]),
        blocks.interval(result["interval"]),
        *numbers,
        result["status"],
    )


def _controls(audit: Mapping[str, Any]) -> list[Block]:
    def floors(by_attack: Mapping[str, float | None]) -> str:
        return "; ".join(f"{attack} {blocks.percent_text(floor)}" for attack, floor in by_attack.items()) or "none was planted"

    return [
        blocks.heading("Controls"),
        blocks.table(
            "The same attacks on releases whose leak is known",
            ("Release", "Kind", "Copied rows", "Flagged by", "Behaved"),
            [
                (
                    control["name"],
                    control["kind"],
                    blocks.percent(control["planted_share"]),
                    f"{len(control['flagged_by'])} figures",
                    "yes" if control["behaved"] else "no",
                )
                for control in audit["controls"]
            ],
            widths=(3, 1, 1, 1, 1),
        ),
        blocks.text(f"{floors(audit['floors'])}.", lead="Smallest share of exact copies that was seen:"),
        blocks.text(f"{floors(audit['noisy_floors'])}.", lead="The same for copies with 2 % noise:"),
    ]


def _limits_only() -> list[Block]:
    return [
        blocks.heading("D. Results by legal criterion", level=2),
        blocks.text(
            "Figures of attacks are computed from private data outside the guarantee and stay with the sender. What was run is listed "
            "under methods, the limits that the sender's policy set are below; a reviewer may ask the sender to see the internal edition."
        ),
    ]


def _policy(report: Report) -> list[Block]:
    policy = report["policy"]
    rows = [
        (section, name.replace("_", " "), _limit(value)) for section, limits in policy["limits"].items() for name, value in limits.items()
    ]
    return [
        blocks.heading("Limits and floors of the policy"),
        blocks.text(f"{policy['label']}, version {policy['version']}."),
        {"kind": "hash", "label": "SHA-256 of the policy", "text": policy["sha256"]},
        blocks.table("What was allowed", ("Part", "Limit", "Value"), rows),
    ]


def _limit(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {entry}" for name, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _legal(report: Report) -> list[Block]:
    parts = [
        blocks.heading("E. Legal requirements", level=2),
        blocks.text(
            "Evidence beside requirements, drafted from public summaries; nothing here is a legal conclusion. A lawyer compares the "
            "rows with the texts before they are relied on."
        ),
    ]
    for framework in report["legal"]:
        checked = (
            f"checked on {framework['checked_on']} by {framework['checked_by']}"
            if framework["checked_on"]
            else "not yet checked by a lawyer"
        )
        rows = [(row["provision"], row["requirement"], " ".join(row["evidence"]), row["where"], row["attest"]) for row in framework["rows"]]
        parts += [
            blocks.heading(framework["title"]),
            blocks.text(f"{framework['scope']} {framework['jurisdiction']}; drafted on {framework['drafted_on']}, {checked}.", quiet=True),
            blocks.table(
                "Requirements, evidence, and what is left to a person",
                ("Provision", "Requirement", "Evidence", "Where", "A person must attest"),
                rows,
                widths=(1.3, 2, 2.8, 1, 1.6),
            ),
            *_identifiers(framework["identifiers"]),
            blocks.text(
                "; ".join(f"{source['title']} ({source['reference']}, {source['published']})" for source in framework["sources"]) + ".",
                lead="Sources:",
                quiet=True,
            ),
        ]
    return parts


def _identifiers(entries: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The 18 identifiers of HIPAA with what was done about each; nothing for other frameworks."""
    rows = [
        (entry["letter"], entry["identifier"], entry["status"], ", ".join(entry["columns"]) or blocks.NOTHING, entry["explanation"])
        for entry in entries
    ]
    columns = ("", "Identifier", "Status", "Columns", "Explanation")
    return (
        [
            blocks.heading("HIPAA identifiers"),
            blocks.table("The 18 identifiers of 45 CFR 164.514(b)(2)(i)", columns, rows, widths=(0.4, 2, 1, 1.4, 2.6)),
        ]
        if rows
        else []
    )


def _groups(report: Report, drawn: Mapping[str, Block]) -> list[Block]:
    """Annex F, internal edition: who is at more risk than others, and whom the data serve less."""
    own = [result for result in report["audit"]["results"] if result["population"] != "everyone" or "subgroup" in result["metric"]]
    measured = [result for result in own if result["status"] == "measured"]
    return [
        blocks.heading("F. Limits for subgroups, and quality", level=2),
        blocks.text(
            f"{len(measured)} of {len(own)} figures on the most isolated tenth and on declared subgroups could be measured. What could not "
            "be measured is unknown, not small: about small groups this report says less than about everyone."
        ),
        *([drawn["subgroups"]] if "subgroups" in drawn else []),
        *_groups_public()[1:],
    ]


def _groups_public() -> list[Block]:
    return [
        blocks.heading("F. Limits for subgroups", level=2),
        blocks.text(
            "Rare values are merged with their neighbours before they are measured (annex A, cells and bins), so that small groups are "
            "drawn less exactly than large ones; do not use the release for conclusions about groups of a few dozen people."
        ),
    ]


def _quality(report: Report, drawn: Mapping[str, Block]) -> list[Block]:
    rows = [
        tuple(blocks.figure(order[name]) for name in ("order", "n_marginals", "synthetic", "floor", "ceiling", "holdout"))
        for order in report["fidelity"]["orders"]
    ]
    parts = [
        blocks.heading("Fidelity"),
        blocks.table(
            "Mean total variation distance between marginals of train and synthetic; floor: sampling noise, ceiling: lost dependence",
            ("Order", "Marginals", "Synthetic", "Floor", "Ceiling", "Other real people"),
            rows,
        ),
        *([drawn["marginals"]] if "marginals" in drawn else []),
    ]
    return [*parts, *_utility(report), *breadth.segments(report), *breadth.groups(report)]


def _utility(report: Report) -> list[Block]:
    utility = report["utility"]
    if utility is None:
        return []
    if utility["status"] != "measured":
        return [blocks.heading("Utility"), blocks.text(f"Not measurable: {utility['reason']}")]
    scores = [
        (
            score["family"],
            blocks.figure(score["synthetic"]),
            blocks.interval(score["interval"]),
            blocks.figure(score["floor"]),
            blocks.figure(score["ceiling"]),
        )
        for score in utility["scores"]
    ]
    caption = f"Predicting {utility['target']} on held-out real people ({utility['metric']}); the ceiling is trained on real data"
    return [blocks.heading("Utility"), blocks.table(caption, ("Model", "Trained on synthetic", "Interval", "Floor", "Ceiling"), scores)]


def _provenance(report: Report) -> list[Block]:
    return [
        blocks.heading("G. Provenance", level=2),
        blocks.pairs(
            [
                ("Software", f"{report['tool']['name']} {report['tool']['version']}"),
                ("Engine", report["dataset"]["engine"]),
                ("Made on", report["made_on"]),
                ("Origin of the rows", "synthetic: sampled from a model"),
            ]
        ),
        {"kind": "hash", "label": "Run", "text": report["event_id"]},
        {"kind": "hash", "label": "Head of the ledger after the run", "text": report["ledger_head"]},
        blocks.text(
            "The manifest beside this report lists every file with its SHA-256. A signature proves who vouches for which files, not that "
            "the verdict is right. Check the folder offline: privsynth verify RELEASE --key FILE."
        ),
    ]


def _governance(report: Report) -> list[Block]:
    rows = [("Valid until", report["dataset"]["expires"] or "no date was set"), ("Policy", report["policy"]["version"])]
    if report["edition"] == "internal":
        counts = report["counts"]
        rows += [
            ("Attempts on these people so far", str(report["attempts"])),
            ("People", ", ".join(f"{part}: {count}" for part, count in counts["people"].items())),
            ("Rows", ", ".join(f"{part}: {count}" for part, count in counts["rows"].items())),
            ("Moved into declared bounds", ", ".join(f"{name}: {count}" for name, count in counts["clipped"].items()) or "nothing"),
            *breadth.promises(report),
        ]
    else:
        rows.append(("Attempts", "counted in the sender's ledger"))
    return [
        blocks.heading("H. Governance", level=2),
        blocks.pairs(rows),
        blocks.text(" ".join(report["notes"]) or "none.", lead="Deviations and notes:"),
        blocks.text("Review again at the date above, when the data, the recipient or the state of the art changes, or after an incident."),
    ]


def _methods(report: Report) -> list[Block]:
    rows = [(entry["attack"], entry["holds"], entry["question"]) for entry in report["tested"]]
    return [
        blocks.heading("I. Methods", level=2),
        blocks.items(report["methods"]),
        blocks.table("Attacks", ("Attack", "Attacker holds", "Question"), rows, widths=(1.4, 1.4, 3)),
    ]


def _components(report: Report) -> list[Block]:
    rows = [(entry["name"], entry["version"], entry["licence"]) for entry in report["components"]]
    return [
        blocks.heading("J. Software and licences", level=2),
        blocks.table("Installed packages that privsynth requires, as they describe themselves", ("Package", "Version", "Licence"), rows),
    ]
