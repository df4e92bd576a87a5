"""What counts as too much: a versioned file of limits, and the judgement of each measurement.

Audits measure, the policy judges. Every limit stands in a TOML file that an organisation owns; the shipped values
are labelled as examples. The verdict is the worst judgement, never a mean. Anything that was skipped,
crashed or could not be measured is inconclusive: never a pass.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from privsynth.audit.base import AuditResult, AuditRun
from privsynth.audit.epsilon_bounds import EPSILON_BOUND, GUARANTEE_CONTRADICTED
from privsynth.errors import PlanError
from privsynth.privacy.accounting import Total, ceil_text
from privsynth.release import Verdict

Light = Literal["pass", "fail", "inconclusive"]
Sensitivity = Literal["low", "medium", "high"]

CRITERIA: Mapping[str, tuple[str, ...]] = {
    "singling out": (
        "people singled out by one value, in excess of control",
        "queries that single out by one value, in excess of control",
        "people singled out by several values, in excess of control",
        "queries that single out by several values, in excess of control",
    ),
    "linkability": ("people linked, in excess of control",),
    "attribute inference": ("guesses right, in excess of control",),
}
"""The attacks behind the three criteria of Opinion 05/2014, and their figures that are judged by the whole interval."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GuaranteeLimits(_Section):
    """Limits on the guarantee."""

    largest_epsilon: dict[Sensitivity, float]
    no_guarantee_allowed: tuple[Sensitivity, ...]

    @field_validator("largest_epsilon")
    @classmethod
    def _is_complete(cls, limits: dict[Sensitivity, float]) -> dict[Sensitivity, float]:
        if missing := [name for name in get_args(Sensitivity) if name not in limits]:
            raise ValueError(f"there is no limit for sensitivity {missing[0]!r}")
        if not all(math.isfinite(limit) and limit > 0 for limit in limits.values()):
            raise ValueError("expected finite numbers above 0")
        return limits


class ReplayLimits(_Section):
    """Limits on replayed records."""

    p_value: float = Field(gt=0, lt=1)
    largest_floor: float = Field(gt=0, lt=1)


class MembershipLimits(_Section):
    """Limits on membership inference."""

    auc: float = Field(gt=0.5, le=1)
    true_positive_rate_at_1_percent: float = Field(gt=0.01, le=1)
    true_positive_rate_at_0_1_percent: float = Field(gt=0.001, le=1)
    vulnerable_tenth_required: bool


class CriteriaLimits(_Section):
    """Limits on singling out, linkability and inference."""

    largest_excess: float = Field(gt=0, lt=1)


class HoldoutLimits(_Section):
    """Limits on the holdout."""

    smallest: int = Field(ge=1)


class ControlLimits(_Section):
    """Limits on the controls."""

    negative_p_value: float = Field(gt=0, lt=1)


class TraceLimits(_Section):
    """Limits on traces of personal values."""

    largest_matches: int = Field(ge=0)


class Policy(_Section):
    """All limits; ``sha256`` identifies the file that they came from."""

    version: str
    label: str
    guarantee: GuaranteeLimits
    replay: ReplayLimits
    membership: MembershipLimits
    criteria: CriteriaLimits
    holdout: HoldoutLimits
    controls: ControlLimits
    traces: TraceLimits
    sha256: str = ""

    @classmethod
    def load(cls, path: Path | None = None) -> Policy:
        """Read a policy; the shipped example by default.

        Raises:
            PlanError: The file cannot be read, has an unknown key or an impossible limit.
        """
        try:
            data = path.read_bytes() if path else files("privsynth.report").joinpath("policy.toml").read_bytes()
            return cls.model_validate({**tomllib.loads(data.decode()), "sha256": hashlib.sha256(data).hexdigest()})
        except OSError as error:
            raise PlanError(f"policy={str(path)!r} cannot be read ({error.strerror}); expected a TOML file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PlanError(f"policy={str(path)!r} is not valid TOML: {error}; correct this line") from None
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise PlanError(f"policy={str(path)!r}: key {place!r}: {fault['msg']}; start from a copy of the shipped policy") from None

    def thresholds(self) -> dict[str, Any]:
        """The limits as plain JSON."""
        return self.model_dump(mode="json", exclude={"version", "label", "sha256"})


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One light.

    Attributes:
        subject: What was judged: an attack, the guarantee, a control, traces.
        light: Its light.
        reason: One sentence, with the figure and the limit.
    """

    subject: str
    light: Light
    reason: str


def judge(
    policy: Policy,
    *,
    run: AuditRun,
    cost: Total,
    sensitivity: Sensitivity,
    traces: Mapping[str, int],
    holdout_people: int,
    notes: Sequence[str] = (),
) -> tuple[Judgement, ...]:
    """Every judgement on one release.

    Args:
        policy: The limits.
        run: Attacks and controls.
        cost: The guarantee.
        sensitivity: Of the dataset, declared by a person.
        traces: Original personal values found in the release, by column.
        holdout_people: People that the attacks could use as control.
        notes: Reasons for which the whole cannot pass (a benchmark split).
    """
    judged = [_guarantee(policy, cost, sensitivity), _traces(policy, traces)]
    judged += audit_judgements(policy, run, holdout_people=holdout_people)
    judged += [Judgement(subject="run", light="inconclusive", reason=note) for note in notes]
    return tuple(judged)


def audit_judgements(policy: Policy, run: AuditRun, *, holdout_people: int) -> list[Judgement]:
    """The judgements on attacks and controls alone: what ``privsynth audit`` gives for anyone's file."""
    n_tests = max(1, sum(result.p_value is not None for result in run.results))
    judged = [_attack(policy, result, n_tests) for result in run.results if not _may_be_missing(policy, result)]
    if not run.results:
        judged.append(Judgement(subject="attacks", light="inconclusive", reason="no attack was run"))
    judged += _controls(policy, run)
    judged += _floors(policy, run)
    if holdout_people < policy.holdout.smallest:
        judged.append(
            Judgement(
                subject="holdout",
                light="inconclusive",
                reason=f"{holdout_people} people were held out, the policy asks for {policy.holdout.smallest}: the attacks have no control",
            )
        )
    return judged


def verdict(judgements: Sequence[Judgement]) -> Verdict:
    """The worst light; nothing judged is inconclusive.

    >>> verdict([])
    'inconclusive'
    """
    lights = {judgement.light for judgement in judgements}
    if "fail" in lights:
        return "fail"
    return "inconclusive" if not lights or "inconclusive" in lights else "pass"


def _guarantee(policy: Policy, cost: Total, sensitivity: Sensitivity) -> Judgement:
    limit = policy.guarantee.largest_epsilon[sensitivity]
    if math.isinf(cost.epsilon):
        allowed = sensitivity in policy.guarantee.no_guarantee_allowed
        reason = f"there is no formal guarantee, which the policy {'allows' if allowed else 'does not allow'} at sensitivity {sensitivity}"
        return Judgement(subject="guarantee", light="pass" if allowed else "inconclusive", reason=reason)
    light: Light = "pass" if cost.epsilon <= limit else "inconclusive"
    return Judgement(
        subject="guarantee",
        light=light,
        reason=f"epsilon <= {ceil_text(cost.epsilon)}, the policy's limit at sensitivity {sensitivity} is {limit:g}",
    )


def _traces(policy: Policy, traces: Mapping[str, int]) -> Judgement:
    found = {column: count for column, count in traces.items() if count > policy.traces.largest_matches}
    if found:
        where = ", ".join(f"{count} in {column!r}" for column, count in found.items())
        return Judgement(subject="traces", light="fail", reason=f"original personal values occur in the release: {where}")
    return Judgement(subject="traces", light="pass", reason=f"no original value of {len(traces)} personal columns occurs in the release")


def _attack(policy: Policy, result: AuditResult, n_tests: int) -> Judgement:
    subject = result.key
    if result.status != "measured":
        return Judgement(subject=subject, light="inconclusive", reason=f"{result.status}: {_why(result)}")
    figures = [figure for figure in (result.value, result.p_value, *(result.interval or ())) if figure is not None]
    if not all(map(math.isfinite, figures)):
        return Judgement(subject=subject, light="inconclusive", reason="the figure is not a finite number")
    if result.metric == EPSILON_BOUND:
        return _lower_bound(result)
    limit, largest = _interval_limit(policy, result), policy.criteria.largest_excess
    if limit is not None and result.interval is not None:
        return _by_interval(subject, result.interval, limit)
    if result.audit in CRITERIA and result.interval is not None and (result.p_value is None or result.interval[0] > largest):
        low, high = result.interval
        reason = f"interval {low:.3f} to {high:.3f}, fails if its lower end is above {largest:g}"
        return Judgement(subject=subject, light="fail" if low > largest else "pass", reason=reason)
    if result.p_value is None:
        return Judgement(subject=subject, light="inconclusive", reason="no limit of the policy applies to this figure")
    corrected = min(1.0, result.p_value * n_tests)
    light: Light = "fail" if corrected <= policy.replay.p_value else "pass"
    return Judgement(
        subject=subject,
        light=light,
        reason=f"p = {corrected:.2g} after correction for {n_tests} tests, the limit is {policy.replay.p_value:g}",
    )


def _lower_bound(result: AuditResult) -> Judgement:
    """Whether what the release betrays at least is more than what it claims to betray at most."""
    claimed, power = result.details["claimed_epsilon"], result.details["power"]
    sure = f"at {result.confidence:.0%} confidence"
    if result.details["contradicts"]:
        reason = f"{GUARANTEE_CONTRADICTED}: epsilon is at least {result.value:.3g} {sure}, which is above the claimed {claimed:.3g}"
        return Judgement(subject=result.key, light="fail", reason=reason)
    reach = f"a perfect attacker on what is claimed would have shown about {power:.2g}, a copy of everyone {result.ceiling:.2g}"
    reason = f"the claimed {claimed:.3g} is not contradicted {sure}: epsilon is at least {result.value:.2g}; {reach}"
    return Judgement(subject=result.key, light="pass", reason=reason)


def _may_be_missing(policy: Policy, result: AuditResult) -> bool:
    """Whether the policy does without a figure: on the most isolated tenth, which small holdouts cannot give, or against no claim."""
    if result.metric == EPSILON_BOUND and result.status == "measured" and "claimed_epsilon" not in result.details:
        return True
    is_tenth = result.population == "vulnerable tenth"
    return is_tenth and result.status == "not measurable" and not policy.membership.vulnerable_tenth_required


def _interval_limit(policy: Policy, result: AuditResult) -> float | None:
    """The policy's limit for figures that are judged by their interval."""
    limits, excess = policy.membership, policy.criteria.largest_excess
    if result.audit in CRITERIA:
        # Lights apply to everyone. Few people are in the tenth or claim a link: there only a lower end above the limit tells.
        return excess if result.population == "everyone" and result.metric in CRITERIA[result.audit] else None
    return {
        "AUC": limits.auc,
        "TPR at 1.0% FPR": limits.true_positive_rate_at_1_percent,
        "TPR at 0.1% FPR": limits.true_positive_rate_at_0_1_percent,
        "AUC in excess of control": limits.auc - 0.5,
        "TPR at 1.0% FPR in excess of control": limits.true_positive_rate_at_1_percent - 0.01,
    }.get(result.metric)


def _by_interval(subject: str, interval: tuple[float, float], limit: float) -> Judgement:
    low, high = interval
    shown = f"interval {low:.3f} to {high:.3f}, the limit is {limit:g}"
    if low > limit:
        return Judgement(subject=subject, light="fail", reason=shown)
    if high > limit:
        return Judgement(subject=subject, light="inconclusive", reason=f"{shown}: it cannot be told on which side the truth lies")
    return Judgement(subject=subject, light="pass", reason=shown)


def _controls(policy: Policy, run: AuditRun) -> list[Judgement]:
    judged = []
    for control in run.controls:
        subject = f"control: {control.name}"
        if control.kind == "positive":
            light: Light = "pass" if control.flagged_by else "inconclusive"
            reason = (
                f"flagged by {len(control.flagged_by)} attacks"
                if control.flagged_by
                else "a known leak was not flagged: no power at this size"
            )
        else:
            smallest = control.smallest_p_value
            corrected = 1.0 if smallest is None else min(1.0, smallest * max(1, sum(r.p_value is not None for r in control.results)))
            light = "fail" if corrected <= policy.controls.negative_p_value else "pass"
            reason = f"nothing leaks in it; smallest corrected p = {corrected:.2g}, the limit is {policy.controls.negative_p_value:g}"
            if light == "pass" and smallest is None:
                light, reason = "inconclusive", "no attack was measured on it"
        crashed = sorted({result.audit for result in control.results if result.status == "crashed"})
        if light == "pass" and crashed:
            light, reason = "inconclusive", f"{crashed[0]} crashed on it"
        judged.append(Judgement(subject=subject, light=light, reason=reason))
    return judged


def _floors(policy: Policy, run: AuditRun) -> list[Judgement]:
    """Whether any replay attack could have seen the share of copies that the policy wants seen."""
    if not run.floors:
        return [Judgement(subject="floor", light="inconclusive", reason="no copies were planted: what the attacks can see is not known")]
    reached = [floor for floor in run.floors.values() if floor is not None]
    best = min(reached) if reached else None
    if best is not None and best <= policy.replay.largest_floor:
        return [Judgement(subject="floor", light="pass", reason=f"{best:.1%} of copied records would have been seen")]
    shown = "no planted share was seen" if best is None else f"only {best:.1%} of copied records would have been seen"
    return [Judgement(subject="floor", light="inconclusive", reason=f"{shown}; the policy asks for {policy.replay.largest_floor:.1%}")]


def _why(result: AuditResult) -> str:
    return str(result.details.get("reason") or result.details.get("error") or "no reason was given")
