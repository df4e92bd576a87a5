"""Which lights can be reached at all, given how many people there are: said before anything is spent.

A limit is a margin of non-inferiority: an attack passes when the upper end of its interval lies below. Even where nothing leaks,
the interval is as wide as the number of people makes it, so with few people no release can pass. The widths here are
those of the intervals that the audit prints, for a release that leaks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from privsynth.audit.attacks import MAX_TARGETS
from privsynth.audit.intervals import clopper_pearson, hypergeometric_tail, score_difference
from privsynth.audit.membership import MIN_NON_MEMBERS, MIN_NON_MEMBERS_FOR_PER_MILLE, MIN_VULNERABLE_NON_MEMBERS, VULNERABLE_SHARE

MOST_ISOLATED = "the most isolated tenth"
"""Subject of the judgement that a policy may do without."""

TYPICAL_TESTS = 35
"""Results with a p-value in an audit of a table without declared subgroups; the family of the correction."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Whether one judgement can pass.

    Attributes:
        subject: What is judged.
        reachable: Whether a release that leaks nothing passes in the middle of its chances.
        reason: One sentence with the figures.
    """

    subject: str
    reachable: bool
    reason: str


def reachable(
    n_train: int,
    n_holdout: int,
    n_release: int,
    *,
    auc: float,
    true_positive_rates: Mapping[float, float],
    largest_excess: float,
    largest_floor: float,
    smallest_holdout: int,
    replay_p_value: float,
    confidence: float = 0.95,
) -> tuple[Reach, ...]:
    """What each kind of judgement needs, and whether these numbers give it.

    Args:
        n_train: People in train; a public or declared number, never the exact one before it is bought.
        n_holdout: People held out for the audits.
        n_release: Rows of the release.
        auc: Limit on membership inference, in (0.5, 1].
        true_positive_rates: Limit by false positive rate.
        largest_excess: Limit on the excess of singling out, linkability and inference, in (0, 1).
        largest_floor: Largest planted share of copies that some replay attack must see, in (0, 1).
        smallest_holdout: People that the policy asks to hold out.
        replay_p_value: P-value at which a replay attack fails the release.
        confidence: Coverage of the intervals.
    """
    if min(n_train, n_holdout) < max(MIN_NON_MEMBERS, smallest_holdout):
        needed = max(MIN_NON_MEMBERS, smallest_holdout)
        return (Reach(subject="attacks", reachable=False, reason=f"{n_holdout} people held out of {n_train}: {needed} of each are needed"),)
    n_each = min(MAX_TARGETS, n_train, n_holdout)
    found = [_area(n_each, auc, confidence)]
    found += [_rate(n_each, rate, limit, confidence) for rate, limit in true_positive_rates.items()]
    found.append(_criteria(n_each, largest_excess, confidence))
    found.append(_copies(n_train, n_holdout, n_release, largest_floor, replay_p_value))
    found.append(_tenth(n_each))
    return tuple(found)


def _area(n_each: int, limit: float, confidence: float) -> Reach:
    """Hanley & McNeil (1982) at AUC one half: variance (2 n + 1) / (12 n squared)."""
    width = _normal_width(confidence) * math.sqrt((2 * n_each + 1) / (12 * n_each**2))
    return _compared("membership inference", 0.5 + width, limit, f"an AUC of one half would be known to ±{width:.3f}")


def _rate(n_each: int, rate: float, limit: float, confidence: float) -> Reach:
    subject = f"membership inference at {rate:.1%} false positives"
    if rate < 0.01 and n_each < MIN_NON_MEMBERS_FOR_PER_MILLE:
        return Reach(subject=subject, reachable=True, reason=f"not measured: it takes {MIN_NON_MEMBERS_FOR_PER_MILLE} held-out people")
    upper = clopper_pearson(round(rate * n_each), n_each, confidence=confidence)[1]
    return _compared(subject, upper, limit, f"a rate of {rate:.1%} would be known to be below {upper:.2%}")


def _criteria(n_each: int, limit: float, confidence: float) -> Reach:
    """The widest case: half of all guesses are right on both sides."""
    half = n_each // 2
    upper = score_difference(half, n_each, half, n_each, confidence=confidence)[1]
    return _compared("singling out, linkability, inference", upper, limit, f"an excess of zero would be known to be below {upper:.3f}")


def _copies(n_train: int, n_holdout: int, n_release: int, largest_floor: float, p_value: float) -> Reach:
    """Exact replay sees this many copies if it flags when each is of train and none of holdout."""
    copies = min(max(round(largest_floor * n_release), 1), n_train)
    chance = hypergeometric_tail(copies, copies, n_train, n_train + n_holdout)
    corrected = min(1.0, chance * TYPICAL_TESTS)
    return Reach(
        subject="copies",
        reachable=corrected <= p_value,
        reason=f"{copies} copied records ({largest_floor:.1%} of the release) would give p = {corrected:.2g}, the limit is {p_value:g}",
    )


def _tenth(n_each: int) -> Reach:
    n_tenth = round(VULNERABLE_SHARE * n_each)
    return Reach(
        subject=MOST_ISOLATED,
        reachable=n_tenth >= MIN_VULNERABLE_NON_MEMBERS,
        reason=f"about {n_tenth} held-out people in it, {MIN_VULNERABLE_NON_MEMBERS} are needed to measure it",
    )


def _compared(subject: str, upper: float, limit: float, shown: str) -> Reach:
    return Reach(subject=subject, reachable=upper <= limit, reason=f"{shown}, the limit is {limit:g}")


def _normal_width(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.isf((1 - confidence) / 2))
