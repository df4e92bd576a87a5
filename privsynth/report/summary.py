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
from typing import Any, get_args

from privsynth import __version__
from privsynth.audit import text_replay
from privsynth.audit.attacks import BLANKS
from privsynth.audit.base import AuditResult, AuditRun, ControlResult
from privsynth.audit.commitment import reuse_note
from privsynth.audit.one_run import ONE_RUN
from privsynth.privacy.accounting import Total, ceil_text
from privsynth.privacy.events import to_json
from privsynth.release import Release, Verdict
from privsynth.report import legal, wording
from privsynth.report.components import bill_of_materials
from privsynth.report.findings import criteria, verdict_sentence
from privsynth.report.policy import Judgement, Policy, verdict
from privsynth.report.spending import steps
from privsynth.schema import Source

SCHEMA_VERSION = 2
"""Raised when a key changes its meaning or goes; ``summary.schema.json`` describes this version."""

VENDOR_KEYS = (
    "schema_version",
    "tool",
    "made_on",
    "event_id",
    "dataset",
    "guarantee",
    "ledger_head",
    "columns",
    "fact_sources",
    "policy",
    "methods",
    "scenarios",
    "tested",
    "not_tested",
    "outside_the_guarantee",
    "does_not_show",
    "human_items",
    "signing",
    "notes",
    "components",
)
"""What the vendor edition takes over unchanged from the internal one; tested as an allow-list."""


def build(release: Release, *, policy: Policy, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """The internal edition as a plain dict."""
    measured = release.measurements
    plan = release.plan
    light, limits, listed = verdict(judgements), policy.thresholds(), columns(release)
    reasons = [asdict(judgement) for judgement in judgements]
    attacks = audit(measured.audit, {judgement.subject: judgement.light for judgement in judgements})
    traces = dict(measured.pii_replay)
    has_texts = any(touch.stage == "text" for touch in release.touches)
    tested = (*BLANKS, *(text_replay.BLANKS if has_texts else ()), ONE_RUN)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "edition": "internal",
        "tool": {"name": "privsynth", "version": __version__},
        "made_on": release.made_on,
        "event_id": release.event_id,
        "dataset": {
            "name": plan["dataset"]["name"],
            "privacy_unit": release.schema.privacy_unit,
            "purpose": plan["release"]["purpose"],
            "recipient": plan["release"]["recipient"],
            "sensitivity": plan["release"]["sensitivity"],
            "expires": plan["release"]["expires"],
            "synthetic_rows": {name: len(frame) for name, frame in release.tables.items()},
            "engine": plan["synthesis"]["tables"] + (f", texts by {plan['synthesis']['text']}" if has_texts else ""),
        },
        "verdict": {"light": light, "sentence": verdict_sentence(light, reasons, attacks, traces), "reasons": reasons},
        "guarantee": guarantee(release),
        "ledger_head": release.ledger_head,
        "columns": listed,
        "fact_sources": fact_sources(listed),
        "policy": {"version": policy.version, "label": policy.label, "sha256": policy.sha256, "limits": limits},
        "methods": list(wording.METHODS),
        "scenarios": [dict(scenario) for scenario in wording.SCENARIOS],
        "tested": [{"attack": blank.audit, "holds": blank.threat_model, "question": blank.question} for blank in tested],
        "not_tested": [*wording.NOT_TESTED, *([wording.NO_CANARIES] if has_texts else [])],
        "outside_the_guarantee": list(wording.OUTSIDE),
        "does_not_show": list(wording.DOES_NOT_SHOW),
        "human_items": list(wording.HUMAN_ITEMS),
        "signing": {"meaning": list(wording.SIGNING), "at_grey": list(wording.AT_GREY), "at_red": list(wording.AT_RED)},
        "notes": list(release.notes),
        "components": [dict(component) for component in bill_of_materials()],
        "audit": attacks,
        "criteria": criteria(attacks["results"], limits),
        "traces": traces,
        "fidelity": measured.fidelity.to_json(),
        "utility": measured.utility.to_json() if measured.utility else None,
        "breadth": measured.breadth.to_json(),
        "protocol": protocol(release),
        "pii_scan": json.loads(measured.pii_scan.to_json()),
        "counts": {"people": dict(measured.people), "rows": dict(measured.rows), "clipped": dict(measured.clipped)},
        "attempts": release.balance.attempts,
        "seconds": round(release.seconds, 1),
    }
    finite: dict[str, Any] = _finite(summary)
    return {**finite, "legal": legal.tables(finite)}


def protocol(release: Release) -> dict[str, Any]:
    """What was promised before training, how often these people's held-out part has judged, and the worst attack; internal."""
    run, opening = release.measurements.audit, release.opening
    worst = run.worst
    return {
        "commitment": asdict(opening.commitment) if opening else None,
        "attacks": list(opening.attacks) if opening else [],
        "holdout_uses": release.holdout_uses,
        "note": reuse_note(release.holdout_uses),
        "worst_attack": None
        if worst is None
        else {"key": worst[0], "p_value": worst[1], "n_tests": sum(result.p_value is not None for result in run.results)},
    }


def vendor(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The vendor edition of a summary: an allow-list, and the verdict without its reasons."""
    bit = "pass" if summary["verdict"]["light"] == "pass" else "not passed"
    edition = {"edition": "vendor", "verdict": {"light": bit}, **{key: summary[key] for key in VENDOR_KEYS}}
    return {**edition, "legal": legal.tables(edition)}  # the evidence of this edition, not the internal one's


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
        "steps": steps(release.touches, cost.delta) if formal else [],
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


def handing_over(light: Verdict, *, formal: bool, insecure: bool = False) -> str:
    """Whether a release folder may go to its recipient, as far as a program can say.

    >>> handing_over("pass", formal=True)
    'vendor edition: may be handed over'
    """
    if insecure:
        return "insecure, for benchmarks only: not to be handed over"
    if light == "fail":
        return "a judgement failed: not to be handed over"
    if light == "inconclusive":
        return "inconclusive: not to be handed over unless a person who may do so decides what was left open"
    return (
        "vendor edition: may be handed over"
        if formal
        else "no formal guarantee: not to be handed over unless a person who may do so decides it"
    )


def odds(cost: Total) -> str:
    """What epsilon means for one guess, in plain words.

    A guess with prior 1/2 ends at most at e^epsilon / (1 + e^epsilon), up to delta (Wasserman & Zhou 2010, arXiv:0811.2501, Section 2.2).
    """
    best = 1 / (1 + math.exp(-cost.epsilon))
    rare = 1 / (1 + 999 * math.exp(-cost.epsilon))
    # Rounded up, and never to certainty: 99.33 % becomes 99.4 %.
    shown = "almost 100 %" if best > 0.999 else f"{math.ceil(best * 100)} %" if best < 0.99 else f"{math.ceil(best * 1000) / 10:g} %"
    return (
        "Someone who knows everything but one person's data, and thinks it as likely as not that the person is in the dataset, "
        f"can be at most {shown} sure after seeing the release (but for a chance of delta = {cost.delta:g}). "
        f"Whoever begins with odds of 1 in 1,000 ends with at most {min(math.ceil(1000 * rare), 999)} in 1,000."
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


def fact_sources(listed: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many facts of the modelled columns are declared, public, bought (dp) or read off the data."""
    counts = dict.fromkeys(get_args(Source), 0)
    for column in listed:
        for source in (column["model"] or {"sources": {}})["sources"].values():
            counts[source] += 1
    return counts


def audit(run: AuditRun, lights: Mapping[str, str]) -> dict[str, Any]:
    """Attacks, controls and floors as plain JSON.

    Args:
        run: What was measured.
        lights: The policy's light by the key of a result; results that were not judged have none.
    """
    return {
        "alpha": run.alpha,
        "seconds": round(run.seconds, 1),
        "notes": list(run.notes),
        "floors": dict(run.floors),
        "noisy_floors": dict(run.noisy_floors),
        "results": [{**_result(result), "light": lights.get(result.key)} for result in run.results],
        "controls": [_control(control) for control in run.controls],
    }


def _result(result: AuditResult) -> dict[str, Any]:
    return {**asdict(result), "key": result.key, "seconds": round(result.seconds, 2)}


def _control_result(result: AuditResult) -> dict[str, Any]:
    """Without the points of its curve: one for each control would be most of the file."""
    plain = _result(result)
    return {**plain, "details": {name: value for name, value in plain["details"].items() if name != "roc"}}


def _control(control: ControlResult) -> dict[str, Any]:
    return {
        "name": control.name,
        "kind": control.kind,
        "planted_share": control.planted_share,
        "behaved": control.behaved,
        "flagged_by": list(control.flagged_by),
        "results": [_control_result(result) for result in control.results],
    }


def _finite(value: Any) -> Any:
    """A value in which every figure that is not finite is None: JSON has no word for it, and a report must not fail on it."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
