"""Intervals and exact tests for the audits: how sure can one be of a rate, an AUC, a difference?

Rates get Clopper & Pearson (1934) intervals, which never cover less than they say. An AUC gets the
interval of DeLong, DeLong & Clarke-Pearson (1988), and a p-value from the permutation variance of the
Mann-Whitney statistic. Comparisons of train with holdout condition on the pooled records: if nothing
leaked, which records are train is a draw without replacement, so counts are hypergeometric, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privsynth.errors import AuditError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def clopper_pearson(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a rate, in [0, 1].

    Clopper & Pearson (1934), Biometrika 26. Coverage is at least ``confidence`` for every rate.

    Raises:
        AuditError: ``successes`` is not in [0, trials].

    >>> low, high = clopper_pearson(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    from scipy.stats import beta

    if not 0 <= successes <= trials:
        raise AuditError(f"successes={successes} of trials={trials}; expected 0 <= successes <= trials")
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.isf(tail, successes + 1, trials - successes))
    return low, high


def rate_difference(
    successes: int, trials: int, control_successes: int, control_trials: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Two-sided interval of the first rate minus the second, in [-1, 1].

    Two Clopper-Pearson intervals at half the error each (Bonferroni): conservative, and right for rates near zero.
    """
    each = (1 + confidence) / 2
    low, high = clopper_pearson(successes, trials, confidence=each)
    control_low, control_high = clopper_pearson(control_successes, control_trials, confidence=each)
    return low - control_high, high - control_low


def score_difference(
    successes: int, trials: int, control_successes: int, control_trials: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Two-sided interval of the first rate minus the second, in [-1, 1], for rates in the middle.

    Newcombe (1998), Statistics in Medicine 17, method 10: the score intervals of Wilson (1927) of both rates, joined in squares. Near
    its nominal coverage where ``rate_difference`` is a third wider than it need be; for rates near zero take that one.

    >>> [round(end, 4) for end in score_difference(56, 70, 48, 80)]
    [0.0524, 0.3339]
    """
    if not (0 <= successes <= trials and 0 <= control_successes <= control_trials):
        raise AuditError(f"successes={successes} of {trials}, control={control_successes} of {control_trials}; expected at most all")
    if trials == 0 or control_trials == 0:
        return -1.0, 1.0
    rate, control = successes / trials, control_successes / control_trials
    low, high = _wilson(rate, trials, confidence)
    control_low, control_high = _wilson(control, control_trials, confidence)
    below = math.hypot(rate - low, control_high - control)
    above = math.hypot(high - rate, control - control_low)
    return max(-1.0, rate - control - below), min(1.0, rate - control + above)


def _wilson(rate: float, trials: int, confidence: float) -> tuple[float, float]:
    from scipy.stats import norm

    width = float(norm.isf((1 - confidence) / 2))
    shrunk = 1 + width**2 / trials
    middle = (rate + width**2 / (2 * trials)) / shrunk
    reach = width * math.sqrt(rate * (1 - rate) / trials + width**2 / (4 * trials**2)) / shrunk
    return max(0.0, middle - reach), min(1.0, middle + reach)


def binomial_tail(successes: int, trials: int, rate: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, rate).

    >>> round(binomial_tail(10, 10, 0.5) * 1024, 9)
    1.0
    """
    from scipy.stats import binom

    return float(binom.sf(successes - 1, trials, rate))


def hypergeometric_tail(drawn_train: int, drawn: int, n_train: int, n_total: int) -> float:
    """P(X >= drawn_train) when ``drawn`` of ``n_total`` people are picked blindly and ``n_train`` of all are train.

    The exact null of every replay test: the picked people were chosen without their labels.

    >>> round(hypergeometric_tail(2, 2, 2, 4), 6)
    0.166667
    """
    from scipy.stats import hypergeom

    return float(min(1.0, hypergeom.sf(drawn_train - 1, n_total, n_train, drawn)))


def bonferroni(p_values: Sequence[float]) -> float:
    """The smallest p-value times their number, at most 1; 1 for none.

    >>> bonferroni([0.01, 0.5, 0.9])
    0.03
    """
    return min(1.0, len(p_values) * min(p_values)) if p_values else 1.0


@dataclass(frozen=True, kw_only=True)
class AreaUnderCurve:
    """Chance that a member scores above a non-member (ties count half), its interval, and p-value against one half.

    Attributes:
        p_value: One-sided, from the permutation variance of the Mann-Whitney statistic, ties included.
        null_error: Standard error of the area if scores say nothing.
    """

    value: float
    interval: tuple[float, float]
    p_value: float
    null_error: float


def area_under_curve(members: FloatArray, non_members: FloatArray, *, confidence: float = 0.95) -> AreaUnderCurve:
    """Area under the ROC curve with the interval of DeLong et al. (1988), Biometrics 44.

    Args:
        members: Scores, shape (m,); higher means "more likely a member".
        non_members: Scores, shape (n,).
        confidence: Coverage of the interval, in (0, 1).

    Returns:
        The area. If the two sets are separated, DeLong's variance is zero; the interval then ends at the area whose chance of
        separating the smaller set would be (1 - confidence) / 2.

    Raises:
        AuditError: A set has fewer than two scores, or a score is not a number.
    """
    from scipy.stats import norm, rankdata

    m, n = len(members), len(non_members)
    scores = np.concatenate([members, non_members])
    if m < 2 or n < 2 or np.isnan(scores).any():
        raise AuditError(f"members={m}, non_members={n}; expected two scores or more of each, none NaN")
    ranks = rankdata(scores)
    above_non_members = (ranks[:m] - rankdata(members)) / n  # share of non-members below each member, shape (m,)
    above_members = 1 - (ranks[m:] - rankdata(non_members)) / m  # share of members above each non-member, shape (n,)
    value = float(above_non_members.mean())
    error = math.sqrt(above_non_members.var(ddof=1) / m + above_members.var(ddof=1) / n)
    tail = (1 - confidence) / 2
    if error > 0:
        width = float(norm.isf(tail)) * error
        interval = max(0.0, value - width), min(1.0, value + width)
    else:
        reach = 1 - tail ** (1 / min(m, n))
        interval = max(0.0, value - reach), min(1.0, value + reach)
    # Variance of the mean of m of the m + n ranks, drawn without replacement: holds for any ties.
    null_error = math.sqrt(ranks.var(ddof=1) * n / (m * (m + n))) / n
    p_value = float(norm.sf((value - 0.5) / null_error)) if null_error > 0 else 1.0
    return AreaUnderCurve(value=value, interval=interval, p_value=p_value, null_error=null_error)


def roc_points(members: FloatArray, non_members: FloatArray, *, n_points: int = 32) -> FloatArray:
    """A few points of the receiver operating characteristic, spread evenly over the logarithm of the false positive rate.

    Each point calls everyone "member" whose score is at or above that of some non-member, so that scores tied with the
    threshold count on both sides.

    Args:
        members: Scores of members, shape (n_in,); higher means "more likely a member".
        non_members: Scores of non-members, shape (n_out,).
        n_points: At most so many points, at least 2.

    Returns:
        False and true positive rates, shape (at most n_points, 2), ascending; the last is (1, 1).

    >>> roc_points(np.array([3.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [[0.5, 0.5], [1.0, 1.0]]
    """
    ordered = np.sort(non_members)[::-1]
    ranks = np.unique(np.round(np.geomspace(1, len(ordered), n_points)).astype(int))
    thresholds = ordered[ranks - 1]
    false_positive = (non_members[None, :] >= thresholds[:, None]).mean(axis=1)
    true_positive = (members[None, :] >= thresholds[:, None]).mean(axis=1)
    # the lowest non-member may stand above some members: the curve ends where everyone is called a member
    true_positive[false_positive == 1] = 1.0
    return np.unique(np.stack([false_positive, true_positive], axis=1), axis=0)


@dataclass(frozen=True, kw_only=True)
class TruePositiveRate:
    """Members found at a threshold that few non-members pass.

    Attributes:
        value: Share of members above the threshold.
        interval: Clopper-Pearson interval of ``value``; its lower end is at most the rate aimed at plus the lower end of the excess over
            the control, which covers that the threshold was chosen on a sample.
        false_positive_rate: The same share among the evaluation half of the non-members: the control.
        p_value: Fisher's exact test, one-sided, members against the evaluation half.
        found: Members above the threshold.
        false_alarms: Non-members of the evaluation half above the threshold.
        n_evaluation: Non-members in the evaluation half.
    """

    value: float
    interval: tuple[float, float]
    false_positive_rate: float
    p_value: float
    found: int
    false_alarms: int
    n_evaluation: int


def threshold_at(non_members: FloatArray, false_positive_rate: float) -> float:
    """The score that at most this share of these non-members exceeds, shape (n,).

    >>> threshold_at(np.arange(100.0), 0.01)
    98.0
    """
    allowed = math.floor(false_positive_rate * len(non_members))
    return float(np.sort(non_members)[len(non_members) - 1 - allowed])


def true_positive_rate(
    members: FloatArray, non_members: FloatArray, *, calibration: BoolArray, false_positive_rate: float, confidence: float = 0.95
) -> TruePositiveRate:
    """Share of members above a threshold chosen on one part of the non-members and evaluated on the other.

    A threshold chosen and evaluated on the same scores promises a false positive rate that does not hold.

    Args:
        members: Scores, shape (m,); higher means "more likely a member".
        non_members: Scores, shape (n,).
        calibration: Which non-members choose the threshold, shape (n,).
        false_positive_rate: Rate aimed at, in (0, 1).
        confidence: Coverage of the interval, in (0, 1).

    Raises:
        AuditError: One of the three groups is empty.
    """
    evaluation = non_members[~calibration]
    if not (len(members) and len(evaluation) and calibration.any()):
        raise AuditError(f"members={len(members)}, evaluation={len(evaluation)}; expected members and both parts of the non-members")
    threshold = threshold_at(non_members[calibration], false_positive_rate)
    return rate_above(members, evaluation, threshold, aimed_at=false_positive_rate, confidence=confidence)


def rate_above(
    members: FloatArray, evaluation: FloatArray, threshold: float, *, aimed_at: float, confidence: float = 0.95
) -> TruePositiveRate:
    """Members above a threshold against non-members that did not choose it.

    Args:
        members: Scores, shape (m,).
        evaluation: Scores of non-members, shape (n,).
        threshold: Chosen on other non-members.
        aimed_at: False positive rate at which the threshold was chosen, in (0, 1).
        confidence: Coverage of the interval, in (0, 1).
    """
    found, false_alarms = int((members > threshold).sum()), int((evaluation > threshold).sum())
    n_members, n_evaluation = len(members), len(evaluation)
    low, high = clopper_pearson(found, n_members, confidence=confidence)
    # A threshold chosen on few non-members may let several times the rate aimed at pass, members and non-members alike.
    in_excess = rate_difference(found, n_members, false_alarms, n_evaluation, confidence=confidence)[0]
    return TruePositiveRate(
        value=found / n_members,
        interval=(min(low, max(0.0, aimed_at + in_excess)), high),
        false_positive_rate=false_alarms / n_evaluation,
        p_value=hypergeometric_tail(found, found + false_alarms, n_members, n_members + n_evaluation),
        found=found,
        false_alarms=false_alarms,
        n_evaluation=n_evaluation,
    )


def smallest_flagged_rate(n_members: int, n_evaluation: int, false_positive_rate: float, level: float) -> float | None:
    """Smallest true positive rate that Fisher's test flags at ``level`` when the control shows the rate aimed at; None if none does."""
    false_alarms = round(false_positive_rate * n_evaluation)
    low, high = 0, n_members + 1
    while low < high:  # the p-value falls as more members are found
        middle = (low + high) // 2
        if hypergeometric_tail(middle, middle + false_alarms, n_members, n_members + n_evaluation) <= level:
            high = middle
        else:
            low = middle + 1
    return low / n_members if low <= n_members else None
