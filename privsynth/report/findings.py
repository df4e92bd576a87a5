"""What the attacks found, in the words of a reader who must decide: one sentence for the verdict, and natural frequencies.

Gigerenzer & Hoffrage (1995), Psychological Review 102: people judge "13 of 1,000" better than a probability. Each kind of attack
gives one line: the worst of its figures on everyone, beside what happens without any leak, and the policy's limit.

Works on the plain dict of a summary, internal edition; everything here is computed from private data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from privsynth.audit.epsilon_bounds import EPSILON_BOUND
from privsynth.report.policy import CRITERIA
from privsynth.report.wording import CAN_FAIL, LAW, QUESTIONS

MEMBERSHIP_RATE = "TPR at 1.0% FPR"
REPLAY = ("exact replay", "unique-combination replay", "nearest-neighbour-rank replay")
Result = Mapping[str, Any]


def verdict_sentence(light: str, reasons: Sequence[Mapping[str, str]], audit: Mapping[str, Any], traces: Mapping[str, int]) -> str:
    """Why the light is what it is, in one sentence for the first page.

    Args:
        light: The verdict.
        reasons: Judgements as dicts.
        audit: Attacks and controls as plain JSON.
        traces: Original personal values found in the release, by column.
    """
    if light == "fail":
        return _why_failed([reason for reason in reasons if reason["light"] == "fail"], audit, traces)
    measured = [result for result in audit["results"] if result["status"] == "measured"]
    unmeasured = len(audit["results"]) - len(measured)
    if light == "inconclusive":
        still_open = [reason for reason in reasons if reason["light"] == "inconclusive"]
        first = f"{still_open[0]['subject']}: {still_open[0]['reason']}" if still_open else "nothing was judged"
        more = f", and {len(still_open) - 1} more" if len(still_open) > 1 else ""
        return f"Open: no test failed, but {_count(len(still_open), 'judgement')} could not be made ({first}{more})."
    floors = [floor for floor in audit["floors"].values() if floor is not None]
    power = f"; a release with {min(floors):.1%} of its rows copied from real people would have been noticed" if floors else ""
    rest = f" {unmeasured} figures could not be measured and were not required." if unmeasured else ""
    return f"No evidence of a leak was found in {len(measured)} figures of {_count(_n_attacks(measured), 'attack')}{power}.{rest}"


def _n_attacks(results: Sequence[Result]) -> int:
    return len({result["audit"] for result in results})


def _why_failed(failed: Sequence[Mapping[str, str]], audit: Mapping[str, Any], traces: Mapping[str, int]) -> str:
    """The plainest of the failed judgements: what was found in the release itself comes before what was inferred from it."""
    found = [result for result in audit["results"] if any(reason["subject"] == result["key"] for reason in failed)]
    for applies, say in _EXPLANATIONS:
        for result in found:
            if applies(result):
                return f"Stopped: {say(result)}"
    subjects = [reason["subject"] for reason in failed]
    if "traces" in subjects:
        columns = [name for name, count in traces.items() if count]
        return f"Stopped: {sum(traces.values())} original personal values occur in the synthetic data (columns: {', '.join(columns)})."
    control = next((subject for subject in subjects if subject.startswith("control")), None)
    if control:
        return f"Stopped: an attack reported a leak where none can be ({control}), so that its other results cannot be relied on."
    return f"Stopped: {failed[0]['subject']}: {failed[0]['reason']}."


def _exact(result: Result) -> str:
    details = result["details"]
    return (
        f"the synthetic data repeat the whole record of {details['train_matched']} people they were made from, and of "
        f"{details['holdout_matched']} people they were not made from."
    )


def _combinations(result: Result) -> str:
    share, control = per_thousand(result["value"] + result["control"]), per_thousand(result["control"])
    return (
        "the synthetic data repeat combinations of values that only one person has: those of "
        f"{share} of 1,000 people they were made from, and of {control} of 1,000 people they were not made from."
    )


def _nearest(result: Result) -> str:
    n = result["details"]["nearest_people"]
    return (
        "the synthetic data come closer to the people they were made from than chance allows: of the "
        f"{n} nearest people {round(result['value'] * n)} were in the data, where chance gives about {round(result['control'] * n)}."
    )


def _recognised(result: Result) -> str:
    return f"an attacker can tell who was in the data: {_membership_frequency(result)}"


def _learned(result: Result) -> str:
    return f"the release gives away more about people in the data than about others: {_excess_frequency(result)}"


def _area(result: Result) -> str:
    share = round(100 * result["value"])
    return (
        f"an attacker can tell who was in the data: shown one person who was and one who was not, the attack '{result['audit']}' "
        f"picks the right one {share} times of 100 (50 is guessing)."
    )


_EXPLANATIONS: tuple[tuple[Callable[[Result], bool], Callable[[Result], str]], ...] = (
    (lambda result: result["audit"] == "exact replay", _exact),
    (lambda result: result["metric"] == EPSILON_BOUND, lambda result: _contradicted(result)),
    (lambda result: result["audit"] == "unique-combination replay", _combinations),
    (lambda result: result["audit"] == "nearest-neighbour-rank replay", _nearest),
    (lambda result: result["metric"] == MEMBERSHIP_RATE, _recognised),
    (lambda result: result["metric"] == "AUC", _area),
    (lambda result: result["audit"] in CRITERIA and result["interval"] is not None, _learned),
)


def _contradicted(result: Result) -> str:
    return f"an attack shows that epsilon is at least {result['value']:.3g}, more than the release claims."


def criteria(results: Sequence[Result], limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line for each kind of attack: the question, the result in natural frequencies, the limit, the light, how it can fail.

    Args:
        results: Plain results with their ``light``.
        limits: The policy's limits as plain JSON.
    """
    excess, rate = limits["criteria"]["largest_excess"], limits["membership"]["true_positive_rate_at_1_percent"]
    lines = []
    for name in (*CRITERIA, "membership", "replay"):
        own = [result for result in results if result["population"] == "everyone" and _belongs(result, name)]
        worst = max((result for result in own if result["status"] == "measured"), key=_severity, default=None)
        limit = rate if name == "membership" else None if name == "replay" else excess
        lines.append(
            {
                "criterion": name,
                "law": LAW[name],
                "question": QUESTIONS[name],
                "result": _sentence(_frequency(worst)) if worst else f"Not measured: {_reason(own)}.",
                "worst": worst["key"] if worst else None,
                "limit": limit,
                "limit_text": _limit_text(name, limit, limits),
                "light": _worst_light([result["light"] for result in own]),
                "can_fail": CAN_FAIL[name],
            }
        )
    return lines


def _belongs(result: Result, name: str) -> bool:
    if name == "membership":
        return bool(result["metric"] == MEMBERSHIP_RATE)
    if name == "replay":
        return result["audit"] in REPLAY
    return result["audit"] == name and result["metric"] in CRITERIA[name]


def _severity(result: Result) -> tuple[int, float]:
    """A worse light first; among equals the higher end of the interval, and for replay the smaller p-value."""
    order = {"fail": 2, "inconclusive": 1}.get(result["light"], 0)
    if result["audit"] in REPLAY:
        return order, -(result["p_value"] if result["p_value"] is not None else 1.0)
    return order, (result["interval"] or (0.0, result["value"] or 0.0))[1] or 0.0


def _frequency(result: Result) -> str:
    if result["audit"] == "exact replay":
        matched = result["details"]
        return (
            f"The release repeats the whole record of {matched['train_matched']} people in the data and of "
            f"{matched['holdout_matched']} people who are not."
        )
    if result["audit"] == "unique-combination replay":
        return (
            f"Of 1,000 people in the data, the telling combinations of {per_thousand(result['value'] + result['control'])} occur in the "
            f"release; of 1,000 people who are not, those of {per_thousand(result['control'])}."
        )
    if result["audit"] == "nearest-neighbour-rank replay":
        n = result["details"]["nearest_people"]
        return (
            f"Of the {n} people nearest to the release {round(result['value'] * n)} are in the data; "
            f"chance gives about {round(result['control'] * n)}."
        )
    return _membership_frequency(result) if result["metric"] == MEMBERSHIP_RATE else _excess_frequency(result)


def _membership_frequency(result: Result) -> str:
    low, high = result["interval"]
    return (
        f"of 1,000 people in the data {per_thousand(result['value'])} are recognised (95 %: {per_thousand(low)} to {per_thousand(high)}) "
        f"by an attack that is wrong about {per_thousand(result['control'])} of 1,000 people who are not."
    )


def _excess_frequency(result: Result) -> str:
    low, high = (_more(end) for end in result["interval"])
    control = per_thousand(result["control"])
    if result["metric"].startswith("queries"):
        return (
            f"of 1,000 descriptions taken from the release {_more(result['value'])} fit exactly one person in the data "
            f"than fit exactly one person who is not (95 %: {low} to {high}); for people who are not it is {control} of 1,000."
        )
    return (
        f"of 1,000 people in the data {_more(result['value'])} {_FATES[result['audit']]} than of 1,000 people who are not "
        f"(95 %: {low} to {high}); of those it is {control} of 1,000."
    )


_FATES = {"singling out": "are singled out", "linkability": "are linked", "attribute inference": "have an unknown value guessed"}


def _more(share: float) -> str:
    """An excess as people of 1,000.

    >>> _more(0.02), _more(-0.003)
    ('20 more', '3 fewer')
    """
    return f"{per_thousand(abs(share))} {'fewer' if share < 0 else 'more'}"


def per_thousand(share: float) -> str:
    """A share as people of 1,000, to one decimal below 10.

    >>> per_thousand(0.0126), per_thousand(0.0004), per_thousand(-0.0114), per_thousand(0.0)
    ('13', '0.4', '-11', '0')
    """
    people = 1000 * share
    return f"{people:.0f}" if abs(people) >= 10 else f"{round(people, 1) + 0.0:g}"


def _limit_text(name: str, limit: float | None, limits: Mapping[str, Any]) -> str:
    if name == "membership":
        return f"at most {per_thousand(limit or 0)} of 1,000 recognised, over the whole interval"
    if name == "replay":
        return f"p-value above {limits['replay']['p_value']:g} after correction for the number of tests"
    return f"at most {per_thousand(limit or 0)} more of 1,000, over the whole interval"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _reason(results: Sequence[Result]) -> str:
    return str(results[0]["status"]) if results else "no such attack was run"


def _worst_light(lights: Sequence[str]) -> str:
    for light in ("fail", "inconclusive"):
        if light in lights:
            return light
    return "pass" if lights else "inconclusive"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
