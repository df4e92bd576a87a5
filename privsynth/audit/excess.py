"""How much better does an attack work on people in the data than on people who are not?

What works as well on held-out people is knowledge about the population, not a leak (Giomi et al. 2023, Anonymeter, PETS): so the
figure is a rate of members minus the same rate of non-members, with an interval and Fisher's exact test over people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult, Population
from privsynth.audit.intervals import bonferroni, hypergeometric_tail, rate_difference, score_difference, smallest_flagged_rate
from privsynth.audit.membership import MIN_VULNERABLE_NON_MEMBERS, Targets

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Successes among members and among non-members."""

    found: int
    n: int
    control_found: int
    control_n: int
    baseline: float = 0.0

    @property
    def excess(self) -> float:
        """Rate of members minus rate of non-members."""
        return self.found / self.n - self.control

    @property
    def control(self) -> float:
        """Rate of non-members."""
        return self.control_found / self.control_n

    @property
    def p_value(self) -> float:
        """Fisher's exact test, one-sided."""
        return hypergeometric_tail(self.found, self.found + self.control_found, self.n, self.n + self.control_n)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Of the excess: exact bounds for rare successes, score intervals otherwise."""
        ends = self.found, self.n, self.control_found, self.control_n
        rare = min(self.found, self.control_found) < 10
        return (rate_difference if rare else score_difference)(*ends, confidence=confidence)


def count(hits: BoolArray, is_member: BoolArray, *, among: BoolArray | None = None, baseline: float = 0.0) -> Counts:
    """Successes by side; ``among`` restricts people, all arrays of shape (n,)."""
    inside = np.ones(len(hits), dtype=bool) if among is None else among
    return Counts(
        found=int((hits & is_member & inside).sum()),
        n=int((is_member & inside).sum()),
        control_found=int((hits & ~is_member & inside).sum()),
        control_n=int((~is_member & inside).sum()),
        baseline=baseline,
    )


def largest_excess(
    blank: AuditResult, cells: Mapping[str, Counts], *, level: float, confidence: float = 0.95, details: Mapping[str, Any] | None = None
) -> AuditResult:
    """The largest excess over several questions (secrets, subgroups) as one result.

    Its interval holds for the largest true excess: the lower end is the highest lower bound at an error shared among the questions;
    for the upper end no correction is needed, since the question with the largest true excess has only one bound.
    The p-value is Bonferroni-corrected.
    """
    shared = 1 - (1 - confidence) / len(cells)
    worst = max(cells, key=lambda name: cells[name].excess)
    chosen = cells[worst]
    floor = smallest_flagged_rate(chosen.n, chosen.control_n, chosen.control, level / len(cells))
    return replace(
        blank,
        value=chosen.excess,
        interval=(
            max(cell.interval(shared)[0] for cell in cells.values()),
            max(cell.interval(confidence)[1] for cell in cells.values()),
        ),
        confidence=confidence,
        p_value=bonferroni([cell.p_value for cell in cells.values()]),
        control=chosen.control,
        baseline=chosen.baseline,
        floor=None if floor is None else max(floor - chosen.control, 0.0),
        ceiling=1.0 - chosen.control,
        n=chosen.n + chosen.control_n,
        details={
            "floor_unit": "metric",
            **({"worst": worst} if len(cells) > 1 else {}),
            "members_found": chosen.found,
            "n_members": chosen.n,
            "control_found": chosen.control_found,
            "n_control": chosen.control_n,
            **(details or {}),
        },
    )


def by_population(
    blank: AuditResult, hits: Mapping[str, BoolArray], targets: Targets, *, level: float, confidence: float, details: Mapping[str, Any]
) -> list[AuditResult]:
    """One result on everyone, one on the vulnerable tenth and, where subgroups were declared, one on the worst of them.

    Args:
        blank: Which attack and metric.
        hits: Successes by question, each of shape (n,).
        targets: Who was attacked.
        level: P-value at which a result will be called a flag.
        confidence: Coverage of the intervals.
        details: Added to the result on everyone.
    """
    is_member = targets.is_member
    everyone = {name: count(hit, is_member) for name, hit in hits.items()}
    results = [largest_excess(blank, everyone, level=level, confidence=confidence, details=details)]
    tenth: Population = "vulnerable tenth"
    n_control = int((targets.vulnerable & ~is_member).sum())
    if n_control < MIN_VULNERABLE_NON_MEMBERS:
        few = {"n_non_members": n_control, "expected_at_least": MIN_VULNERABLE_NON_MEMBERS}
        results.append(replace(blank, population=tenth, status="not measurable", details=few))
    else:
        inside = {name: count(hit, is_member, among=targets.vulnerable) for name, hit in hits.items()}
        results.append(replace(largest_excess(blank, inside, level=level, confidence=confidence), population=tenth))
    groups = {
        f"{name}, {group}" if len(hits) > 1 else group: count(hit, is_member, among=mask)
        for group, mask in targets.measurable_groups().items()
        for name, hit in hits.items()
    }
    if groups:
        worst = largest_excess(blank, groups, level=level, confidence=confidence, details={"n_subgroups": len(targets.measurable_groups())})
        results.append(replace(worst, metric=f"{blank.metric}, worst declared subgroup"))
    return results
