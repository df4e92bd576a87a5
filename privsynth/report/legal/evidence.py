"""Evidence in one sentence each, taken from the report's dict.

From a vendor edition only its own keys are read. What attacks found is there named as internal, whatever they found: the
sentences of two vendor editions differ only where the editions do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from privsynth.privacy.accounting import ceil_text
from privsynth.report.legal.safe_harbor import is_modelled, is_released

Summary = Mapping[str, Any]

NO_EVIDENCE = "The tool gives no evidence for this."

_INTERNAL = "Part of every run; what it found, or that it could not be measured, is in the internal edition and counts in the verdict."
_WORST_FIRST = ("fail", "inconclusive", "pass")


def _is_internal(summary: Summary) -> bool:
    return bool(summary["edition"] == "internal")


def _judged(what: str, chosen: Callable[[str], bool]) -> Callable[[Summary], str]:
    """Evidence by attacks: how many judgements there were, and the worst in full."""

    def sentence(summary: Summary) -> str:
        if not _is_internal(summary):
            return f"{what}: {_INTERNAL[0].lower()}{_INTERNAL[1:]}"
        reasons = [reason for reason in summary["verdict"]["reasons"] if chosen(reason["subject"])]
        if not reasons:
            return f"{what}: nothing was judged in this run."
        worst = min(reasons, key=lambda reason: _WORST_FIRST.index(reason["light"]))
        counts = ", ".join(f"{number} {light}" for light in _WORST_FIRST if (number := sum(reason["light"] == light for reason in reasons)))
        return f"{what}: {counts}. Worst: {worst['subject']}: {worst['reason']}."

    return sentence


def _guarantee(summary: Summary) -> str:
    return str(summary["guarantee"]["sentence"])


def _odds(summary: Summary) -> str:
    return str(summary["guarantee"].get("odds", "There is no bound on what can be learned about one person."))


def _policy_epsilon(summary: Summary) -> str:
    limit = summary["policy"]["limits"]["guarantee"]["largest_epsilon"][summary["dataset"]["sensitivity"]]
    return f"The policy's largest epsilon at sensitivity {summary['dataset']['sensitivity']} is {limit:g}."


def _unit(summary: Summary) -> str:
    given, unit = summary["guarantee"], summary["dataset"]["privacy_unit"]
    named = "one row is one person" if unit == "row" else f"a person is one value of {unit!r}"
    return f"Unit: {given['unit']} ({named}); neighbours: {given['relation']}."


def _composition(summary: Summary) -> str:
    given = summary["guarantee"]
    n_events = sum(touch["class"] == "dp" for touch in given["touches"])
    if not given["formal"]:
        return f"{n_events} events with a proof are listed; the total is not finite, or the split is not random."
    return f"{n_events} differentially private events, all reserved before the first ran, added up by {given['accountant']}."


def _cumulative(summary: Summary) -> str:
    spent = summary["guarantee"].get("cumulative")
    if spent is None:
        return "No finite sum over releases of these people can be stated."
    cap = "no cap" if spent["cap"] is None else f"cap {spent['cap']:g}"
    total = "no finite epsilon" if spent["epsilon"] is None else f"epsilon <= {ceil_text(spent['epsilon'])}"
    return f"These people have spent {total} in {spent['releases']} release(s), {cap}."


def _ledger(summary: Summary) -> str:
    return f"The ledger is a chain of hashes; its head at this release is {summary['ledger_head']}."


def _mechanisms(summary: Summary) -> str:
    kinds = sorted({touch["event"]["type"] for touch in summary["guarantee"]["touches"] if touch["class"] == "dp"})
    if not kinds:
        return f"Engine {summary['dataset']['engine']}; no mechanism with a proof."
    return (
        f"Engine {summary['dataset']['engine']}; mechanisms: {', '.join(kinds)}. Their noise comes from the operating system's randomness."
    )


def _without_proof(summary: Summary) -> str:
    labels = [touch["label"] for touch in summary["guarantee"]["touches"] if touch["class"] == "released-without-proof"]
    if labels:
        return f"Released without a proof: {', '.join(labels)}."
    return "Nothing reached the release without a proof; facts about columns were declared by a person or bought from the budget."


def _columns(summary: Summary) -> str:
    columns = summary["columns"]
    n_modelled = sum(map(is_modelled, columns))
    n_released = sum(map(is_released, columns))
    return (
        f"{n_modelled} columns synthesized by the model, {n_released - n_modelled} never shown to it and invented, "
        f"{len(columns) - n_released} left out."
    )


def _named(what: str, flag: str) -> Callable[[Summary], str]:
    def sentence(summary: Summary) -> str:
        names = [column["name"] for column in summary["columns"] if column[flag]]
        return f"{what}: {', '.join(names)}." if names else f"{what}: none declared."

    return sentence


def _text(summary: Summary) -> str:
    texts = [column for column in summary["columns"] if column["kind"] == "text"]
    released = [column["name"] for column in texts if is_released(column) and column["pii"] is None]
    if released:
        return f"Free text is released: {', '.join(released)}."
    return f"Free text: {len(texts)} column(s) in the data, none released."


def _no_keyed_value(summary: Summary) -> str:
    return "No released value is a keyed or hashed form of a real one: personal values and identifiers are invented."


def _traces(summary: Summary) -> str:
    if not _is_internal(summary):
        return f"Original personal values in the release: {_INTERNAL[0].lower()}{_INTERNAL[1:]}"
    found = summary["traces"]
    return f"Original personal values found in the release: {sum(found.values())}, looked for in {len(found)} columns."


def _controls(summary: Summary) -> str:
    if not _is_internal(summary):
        return "The same attacks run on releases with a known leak and on releases without any; a control that misbehaves prevents a pass."
    controls: Sequence[Mapping[str, Any]] = summary["audit"]["controls"]
    return f"{sum(bool(control['behaved']) for control in controls)} of {len(controls)} controls behaved as they must."


def _methods(summary: Summary) -> str:
    return f"Methods: {len(summary['methods'])} are listed in the report."


def _listed(what: str, key: str) -> Callable[[Summary], str]:
    return lambda summary: f"{what}: {' '.join(str(line).rstrip('.') + '.' for line in summary[key])}"


def _purpose(summary: Summary) -> str:
    given = summary["dataset"]
    return f"Declared: purpose {given['purpose']!r}, recipient {given['recipient']!r}, sensitivity {given['sensitivity']}."


def _expiry(summary: Summary) -> str:
    expires = summary["dataset"]["expires"]
    return f"Declared end: {expires}; a signature past its end is refused." if expires else "No end of validity was declared."


def _verdict(summary: Summary) -> str:
    return f"Verdict of the tool's measurements under the policy: {summary['verdict']['light']}."


def _policy(summary: Summary) -> str:
    policy = summary["policy"]
    return f"Policy {policy['version']!r} ({policy['label']}), SHA-256 {policy['sha256']}."


def _attempts(summary: Summary) -> str:
    if not _is_internal(summary):
        return "Attempts are counted in the ledger; their number is kept in the internal edition."
    return f"{summary['attempts']} attempt(s) on these people are in the ledger."


def _utility(summary: Summary) -> str:
    if not _is_internal(summary):
        return "Quality against the real data is in the internal edition; what was done to each column is in the report."
    measured = summary["utility"]
    if measured is None or measured.get("status") != "measured":
        return "Distances of marginals were measured; no target was declared, so no model was compared."
    return f"Distances of marginals were measured, and models of {measured['target']!r} trained on synthetic rows were compared."


def _identifiers(summary: Summary) -> str:
    return "Each of the 18 identifiers stands below with what the declared columns say about it."


def _marks(summary: Summary) -> str:
    return (
        "Each data file is named as trainedAlgorithmicMedia (IPTC Digital Source Type) in manifest.json and croissant.json; "
        "Parquet and Excel files say so in their own metadata too."
    )


def _signature(summary: Summary) -> str:
    return "A signed release holds an in-toto statement with the SHA-256 of every file; `privsynth verify` checks it offline."


def _no_watermark(summary: Summary) -> str:
    return "No watermark is embedded in values; a column that marks each row is a setting of the plan."


def _trust(summary: Summary) -> str:
    return (
        "Trusted: the operator and the machine. Not trusted: the recipient, who sees the release. The internal folder is its owner's alone."
    )


EVIDENCE: Mapping[str, Callable[[Summary], str]] = {
    "guarantee": _guarantee,
    "odds": _odds,
    "policy epsilon": _policy_epsilon,
    "unit": _unit,
    "composition": _composition,
    "cumulative": _cumulative,
    "ledger": _ledger,
    "mechanisms": _mechanisms,
    "released without proof": _without_proof,
    "columns": _columns,
    "quasi identifiers": _named("Quasi-identifiers", "quasi_identifier"),
    "secrets": _named("Secrets", "secret"),
    "text": _text,
    "no keyed value": _no_keyed_value,
    "identifiers": _identifiers,
    "singling out": _judged("Singling out", lambda subject: subject.startswith("singling out")),
    "linkability": _judged("Linkability", lambda subject: subject.startswith("linkability")),
    "attribute inference": _judged("Attribute inference", lambda subject: subject.startswith("attribute inference")),
    "membership": _judged("Membership inference", lambda subject: subject.partition(" / ")[0].endswith("membership")),
    "replay": _judged("Replay of records", lambda subject: subject.partition(" / ")[0].endswith("replay")),
    "unique combinations": _judged(
        "Replay of combinations that one person has", lambda subject: subject.startswith("unique-combination replay")
    ),
    "traces": _traces,
    "controls": _controls,
    "methods": _methods,
    "limits": _listed("What the report does not show", "does_not_show"),
    "outside": lambda summary: f"Outside the guarantee: {'; '.join(summary['outside_the_guarantee'])}.",
    "human items": _listed("Open for a person", "human_items"),
    "purpose": _purpose,
    "expiry": _expiry,
    "verdict": _verdict,
    "policy": _policy,
    "attempts": _attempts,
    "utility": _utility,
    "marks": _marks,
    "signature": _signature,
    "no watermark": _no_watermark,
    "trust": _trust,
}
"""What a requirement's ``evidence`` may name."""
