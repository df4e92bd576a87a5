"""From a release to one plain dict, and from that dict to the edition for a vendor.

The internal edition holds everything. The vendor edition is built by an allow-list: the verdict bit, the guarantee, the
methods, the policy, DP figures and open human items; nothing else in it is computed from private data. Both
are rendered from the dict alone: ``report`` never sees a record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from privsynth import __version__
from privsynth.audit.base import AuditResult, AuditRun, ControlResult
from privsynth.privacy.accounting import Total, ceil_text
from privsynth.privacy.events import to_json
from privsynth.release import Release
from privsynth.report.policy import Judgement, Policy, verdict

SCHEMA_VERSION = 1

VENDOR_KEYS = (
    "schema_version",
    "tool",
    "event_id",
    "dataset",
    "guarantee",
    "ledger_head",
    "columns",
    "policy",
    "methods",
    "outside_the_guarantee",
    "does_not_show",
    "human_items",
    "notes",
)
"""What the vendor edition takes over unchanged from the internal one; tested as an allow-list."""

OUTSIDE = ("the overall verdict (one bit)", "that this release exists at all; attempts are counted in the ledger")
"""What reaches the recipient and is not covered by epsilon."""

DOES_NOT_SHOW = (
    "That nobody can be re-identified: tests can find a leak, they cannot show that there is none.",
    "What an attacker with other data about the same people could learn by combining it.",
    "That statistics of groups are harmless: what is true of a group is kept on purpose, and may be sensitive.",
)

HUMAN_ITEMS = (
    "The declared bounds, categories and maps come from public knowledge, not from looking at the data.",
    "The privacy unit is right: one person has one id in this dataset.",
    "The policy's limits were set by the organisation (the shipped values are examples).",
    "The purpose, the recipient and the contract with the recipient are in order.",
    "The legal assessment was made by a person: this report is evidence for it, not its result.",
)

METHODS = (
    "Split by person with independent coins before anything is fitted; held-out people are never used for fitting.",
    "Each mechanism is reserved in the ledger before it runs; one accountant adds all of them up.",
    "Exact replay, unique-combination replay and nearest-neighbour replay of all training records against all held-out records.",
    "Membership inference by distance, calibrated neighbours, marginal densities and a classifier, for all and the most isolated tenth.",
    "Singling out, linkability and attribute inference, each against held-out people and against guessing.",
    "The same attacks on releases with a known leak and on releases without any, made of the same records.",
    "The verdict is the worst judgement; what was skipped or could not be measured counts as inconclusive.",
)


def build(release: Release, *, policy: Policy, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """The internal edition as a plain dict."""
    measured = release.measurements
    plan = release.plan
    summary = {
        "schema_version": SCHEMA_VERSION,
        "edition": "internal",
        "tool": {"name": "privsynth", "version": __version__},
        "event_id": release.event_id,
        "dataset": {
            "name": plan["dataset"]["name"],
            "privacy_unit": release.schema.privacy_unit,
            "purpose": plan["release"]["purpose"],
            "recipient": plan["release"]["recipient"],
            "sensitivity": plan["release"]["sensitivity"],
            "expires": plan["release"]["expires"],
            "synthetic_rows": {name: len(frame) for name, frame in release.tables.items()},
            "engine": plan["synthesis"]["tables"],
        },
        "verdict": {"light": verdict(judgements), "reasons": [asdict(judgement) for judgement in judgements]},
        "guarantee": guarantee(release),
        "ledger_head": release.ledger_head,
        "columns": columns(release),
        "policy": {"version": policy.version, "label": policy.label, "sha256": policy.sha256, "limits": policy.thresholds()},
        "methods": list(METHODS),
        "outside_the_guarantee": list(OUTSIDE),
        "does_not_show": list(DOES_NOT_SHOW),
        "human_items": list(HUMAN_ITEMS),
        "notes": list(release.notes),
        "audit": audit(measured.audit),
        "traces": dict(measured.pii_replay),
        "fidelity": measured.fidelity.to_json(),
        "utility": measured.utility.to_json() if measured.utility else None,
        "pii_scan": json.loads(measured.pii_scan.to_json()),
        "counts": {"people": dict(measured.people), "rows": dict(measured.rows), "clipped": dict(measured.clipped)},
        "attempts": release.balance.attempts,
        "seconds": round(release.seconds, 1),
    }
    finite: dict[str, Any] = _finite(summary)
    return finite


def vendor(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The vendor edition of a summary: an allow-list, and the verdict without its reasons."""
    bit = "pass" if summary["verdict"]["light"] == "pass" else "not passed"
    return {"edition": "vendor", "verdict": {"light": bit}, **{key: summary[key] for key in VENDOR_KEYS}}


def guarantee(release: Release) -> dict[str, Any]:
    """Epsilon and delta with what they mean, and every event behind them."""
    cost, balance = release.cost, release.balance
    formal = math.isfinite(cost.epsilon) and not release.insecure
    value: dict[str, Any] = {
        "formal": formal,
        "unit": "one person with all their rows",
        "relation": "add or remove one person",
        "sentence": sentence(cost, insecure=release.insecure),
        "touches": [to_json(touch) for touch in release.touches],
    }
    if formal:
        value |= {
            "epsilon": cost.epsilon,
            "delta": cost.delta,
            "replace_one_epsilon": _finite(cost.replace_one_epsilon),
            "accountant": cost.accountant,
            "cumulative": {
                "epsilon": _finite(balance.epsilon),
                "delta": balance.delta,
                "cap": _finite(balance.cap),
                "releases": balance.releases,
            },
            "odds": odds(cost),
        }
    return value


def sentence(cost: Total, *, insecure: bool) -> str:
    """The guarantee in one sentence."""
    if math.isinf(cost.epsilon):
        return "No formal guarantee: private information reaches the release without a proof. The audits are the only evidence."
    if insecure:
        return (
            f"No formal guarantee: the split is not random. The mechanisms alone would cost epsilon <= {ceil_text(cost.epsilon)} "
            f"at delta = {cost.delta:g}."
        )
    return (
        f"The synthetic data and every figure marked DP satisfy differential privacy with epsilon <= {ceil_text(cost.epsilon)} "
        f"and delta = {cost.delta:g}, for adding or removing one person with all their rows "
        f"(epsilon <= {ceil_text(cost.replace_one_epsilon)} for replacing one person)."
    )


def odds(cost: Total) -> str:
    """What epsilon means for one guess, in plain words.

    A guess with prior 1/2 ends at most at e^epsilon / (1 + e^epsilon), up to delta (Wasserman & Zhou 2010, arXiv:0811.2501, Section 2.2).
    """
    best = 1 / (1 + math.exp(-cost.epsilon))
    # Rounded up, and never to certainty: 99.33 % becomes 99.4 %.
    shown = "almost 100 %" if best > 0.999 else f"{math.ceil(best * 100)} %" if best < 0.99 else f"{math.ceil(best * 1000) / 10:g} %"
    return (
        "Someone who knows everything but one person's data, and thinks it as likely as not that the person is in the dataset, "
        f"can be at most {shown} sure after seeing the release (but for a chance of delta = {cost.delta:g})."
    )


def columns(release: Release) -> list[dict[str, Any]]:
    """What happened to each column; declared, public or DP figures only."""
    reports = {report.column: report.public() for report in release.measurements.columns}
    table = release.schema.tables[0]
    listed = []
    for column in table.columns:
        listed.append(
            {
                "name": column.name,
                "kind": column.kind,
                "pii": column.pii,
                "quasi_identifier": column.quasi_identifier,
                "secret": column.secret,
                "fate": _fate(column.name, column.pii, column.kind, release),
                "model": reports.get(column.name),
            }
        )
    unread = {"kind": "not read", "pii": None, "quasi_identifier": False, "secret": False, "fate": "left out by the plan", "model": None}
    listed += [{"name": name, **unread} for name in table.dropped]
    return listed


def _fate(name: str, pii: str | None, kind: str, release: Release) -> str:
    if name not in next(iter(release.tables.values())).columns:
        return "left out: free text is dropped by the plan"
    if pii is not None:
        return f"personal data ({pii}): never shown to a model, invented for the synthetic people"
    if kind == "identifier":
        return "identifier: never shown to a model, numbered anew"
    return "synthesized"


def audit(run: AuditRun) -> dict[str, Any]:
    """Attacks, controls and floors as plain JSON."""
    return {
        "alpha": run.alpha,
        "seconds": round(run.seconds, 1),
        "notes": list(run.notes),
        "floors": dict(run.floors),
        "noisy_floors": dict(run.noisy_floors),
        "results": [_result(result) for result in run.results],
        "controls": [_control(control) for control in run.controls],
    }


def _result(result: AuditResult) -> dict[str, Any]:
    return {**asdict(result), "key": result.key, "seconds": round(result.seconds, 2)}


def _control(control: ControlResult) -> dict[str, Any]:
    return {
        "name": control.name,
        "kind": control.kind,
        "planted_share": control.planted_share,
        "behaved": control.behaved,
        "flagged_by": list(control.flagged_by),
        "results": [_result(result) for result in control.results],
    }


def _finite(value: Any) -> Any:
    """A value in which every figure that is not finite is None: JSON has no word for it, and a report must not fail on it."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
