"""How much must a release leak, given how well its canaries are recognised?

Accounting bounds the leak from above by a proof; these functions bound it from below by an attack, so that a wrong proof, a
wrong implementation or a wrong unit of privacy can be noticed. A low bound is never evidence that a claim holds: every
bound carries the largest value that it could have reached (``ceiling``) and what a perfect attacker on a mechanism that
leaks exactly what is claimed would have shown (``power``).

* One run: many canaries, each included by an independent fair coin, one release. Steinke, Nasr & Jagielski (2023),
  arXiv:2305.08846 (main theorem in its (epsilon, delta) form), and, for claims whose trade-off curve is Gaussian, Mahloujifar, Melis
  & Chaudhuri (2024), arXiv:2410.22235 (the recursion of their audit with a cap on the number of guesses).
* Many runs: a mechanism run often with and without one person. Jagielski, Ullman & Oprea (2020), arXiv:2006.07709.

All epsilons are in nats. Higher scores mean "more likely included".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from privsynth.audit.base import AuditResult
from privsynth.audit.intervals import clopper_pearson
from privsynth.errors import AuditError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Curve = Literal["any", "gaussian"]
"""What is known of the claim's trade-off curve: nothing beyond (epsilon, delta), or that it is the Gaussian mechanism's."""

EPSILON_BOUND = "epsilon lower bound"
"""Metric of every bound as an audit's result."""

GUARANTEE_CONTRADICTED = "guarantee contradicted"
"""How the judgement on a release begins whose lower bound lies above its claim."""

LARGEST_EPSILON = 64.0
"""Bounds are searched up to here."""

_TOP_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
_BOTH_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a release says of itself: (epsilon, delta) for adding or removing one person."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse what is not a guarantee."""
        if not self.epsilon >= 0 or not 0 <= self.delta < 1:
            raise AuditError(f"epsilon={self.epsilon!r}, delta={self.delta!r}; expected epsilon >= 0 and delta in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """How many canaries the attacker says something about, fixed before the scores are seen.

    Attributes:
        n_in: The canaries with the highest scores, guessed to be included.
        n_out: The canaries with the lowest scores, guessed to be left out.
    """

    n_in: int
    n_out: int = 0

    @property
    def total(self) -> int:
        """All guesses; about the other canaries nothing is said."""
        return self.n_in + self.n_out


@dataclass(frozen=True, kw_only=True)
class EpsilonBound:
    """A lower bound on epsilon, and what it could have been.

    Attributes:
        value: (value, delta) is refuted at ``confidence``; 0.0 if nothing is.
        delta: The delta at which it holds.
        confidence: Chance that the bound holds, over everything that was tried.
        ceiling: The value that only right guesses would have given.
        power: Bound to be expected if an attacker did as well as the claim allows on a Gaussian mechanism; None without a claim.
        method: ``one run``, ``one run, Gaussian curve`` or ``many runs``.
        n: Canaries, or runs of both kinds.
        n_guesses: Guesses of the best attempt.
        n_correct: Right ones among them.
        n_tests: Attempts that the confidence was corrected for (Bonferroni).
    """

    value: float
    delta: float
    confidence: float
    ceiling: float
    power: float | None
    method: str
    n: int
    n_guesses: int
    n_correct: int
    n_tests: int


def contradicts(bound: EpsilonBound, claim: Claim) -> bool:
    """Whether the bound is statistical evidence that the claim is false.

    Raises:
        AuditError: The bound holds at a smaller delta than the claim's, so the two say nothing about each other.
    """
    if bound.delta < claim.delta:
        raise AuditError(f"delta={bound.delta:g} of the bound is below the claim's {claim.delta:g}; compute the bound at the claim's delta")
    return bound.value > claim.epsilon


def one_run_bound(
    scores: FloatArray,
    included: BoolArray,
    *,
    delta: float,
    rng: np.random.Generator,
    confidence: float = 0.95,
    curve: Curve = "any",
    guesses: Sequence[Guesses] | None = None,
    claim: Claim | None = None,
    n_attacks: int = 1,
) -> EpsilonBound:
    """Largest epsilon that canaries of one run refute.

    Args:
        scores: Of each canary, computed without knowing the coins, shape (m,); higher means "more likely included".
        included: The coins, fair and independent, shape (m,).
        delta: The delta of the claim under test, in [0, 1); above 0 for a Gaussian curve.
        rng: Breaks ties between scores, independently of the coins.
        confidence: Chance that the bound holds, in (0, 1).
        curve: ``gaussian`` only if the claim's own curve is Gaussian (DP-SGD, Gaussian marginals): the bound then tests that curve.
        guesses: Attempts fixed beforehand; ``default_guesses`` if None. The confidence is corrected for their number.
        claim: For the power figure.
        n_attacks: How many score vectors are tried on these coins; the confidence is corrected for them too.

    Raises:
        AuditError: Shapes differ, a score is NaN, or a parameter is out of range.

    >>> scores = np.arange(200.0)
    >>> bound = one_run_bound(scores, scores >= 100, delta=0.0, rng=np.random.default_rng(0), guesses=[Guesses(n_in=100, n_out=100)])
    >>> round(bound.value, 3) == round(ceiling(200, 0.95), 3)
    True
    """
    attempts = _checked(scores, included, delta, confidence, curve, guesses, n_attacks)
    n_tests, m = len(attempts) * n_attacks, len(scores)
    level = (1 - confidence) / n_tests
    order = np.lexsort((rng.permutation(m), scores))  # ascending; the permutation breaks ties
    best, best_attempt, best_correct = 0.0, attempts[0], 0
    for attempt in attempts:
        correct = int(included[order[m - attempt.n_in :]].sum()) + int((~included[order[: attempt.n_out]]).sum())
        value = _refuted(m, attempt.total, correct, level=level, delta=delta, curve=curve, start=best)
        if value > best or attempt is attempts[0]:
            best, best_attempt, best_correct = max(value, best), attempt, correct
    return EpsilonBound(
        value=best,
        delta=delta,
        confidence=confidence,
        ceiling=max(_refuted(m, attempt.total, attempt.total, level=level, delta=delta, curve=curve) for attempt in attempts),
        power=None
        if claim is None
        else expected_bound(m, claim, confidence=confidence, curve=curve, guesses=attempts, n_attacks=n_attacks),
        method="one run" if curve == "any" else "one run, Gaussian curve",
        n=m,
        n_guesses=best_attempt.total,
        n_correct=best_correct,
        n_tests=n_tests,
    )


def default_guesses(n_canaries: int) -> tuple[Guesses, ...]:
    """Attempts that serve when nothing is known of the attack: some for leaks of few canaries, some for faint leaks of all."""
    top = {Guesses(n_in=max(1, round(share * n_canaries))) for share in _TOP_SHARES}
    both = {Guesses(n_in=max(1, round(share * n_canaries / 2)), n_out=max(1, round(share * n_canaries / 2))) for share in _BOTH_SHARES}
    fitting = [attempt for attempt in top | both if attempt.total <= n_canaries]
    return tuple(sorted(fitting, key=lambda attempt: (attempt.n_in, attempt.n_out)))


def _checked(
    scores: FloatArray,
    included: BoolArray,
    delta: float,
    confidence: float,
    curve: Curve,
    guesses: Sequence[Guesses] | None,
    n_attacks: int,
) -> tuple[Guesses, ...]:
    """The attempts, after everything else has been checked."""
    if scores.ndim != 1 or scores.shape != included.shape or not len(scores):
        raise AuditError(f"scores have shape {scores.shape}, included {included.shape}; expected one dimension, alike and not empty")
    if np.isnan(scores).any():
        raise AuditError(f"{int(np.isnan(scores).sum())} scores are not numbers; expected one finite or infinite score per canary")
    if not 0 < confidence < 1 or not 0 <= delta < 1 or n_attacks < 1:
        raise AuditError(f"confidence={confidence!r}, delta={delta!r}, n_attacks={n_attacks!r}; expected (0, 1), [0, 1), 1 or more")
    if curve == "gaussian" and delta == 0:
        raise AuditError("delta=0 with a Gaussian curve; a Gaussian mechanism has no finite epsilon at delta 0: give the claim's delta")
    attempts = tuple(guesses) if guesses is not None else default_guesses(len(scores))
    if not attempts or any(min(a.n_in, a.n_out) < 0 or not 0 < a.total <= len(scores) for a in attempts):
        raise AuditError(f"guesses={attempts!r} do not fit {len(scores)} canaries; expected 1 to {len(scores)} guesses each")
    return attempts


def one_run_p_value(n_canaries: int, n_guesses: int, n_correct: int, *, epsilon: float, delta: float) -> float:
    """Chance of at least so many right guesses under (epsilon, delta), at most 1.

    Steinke, Nasr & Jagielski (2023), arXiv:2305.08846, main theorem: with W ~ Binomial(r, e^epsilon / (1 + e^epsilon)),
    P[right >= v] <= P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i.

    >>> one_run_p_value(10, 4, 4, epsilon=0.0, delta=0.0)
    0.0625
    """
    from scipy.stats import binom

    rate = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(n_correct - 1, n_guesses, rate))
    if delta == 0 or n_correct == 0:
        return min(1.0, tail)
    i = np.arange(1, n_correct + 1)
    slack = (binom.sf(n_correct - i - 1, n_guesses, rate) - tail) / i
    return min(1.0, tail + 2 * n_canaries * delta * float(slack.max()))


def _refuted(n_canaries: int, n_guesses: int, n_correct: int, *, level: float, delta: float, curve: Curve, start: float = 0.0) -> float:
    """Largest epsilon at or above ``start`` that is refuted at ``level``; ``start`` if that itself is not."""

    def refutes(epsilon: float) -> bool:
        if curve == "gaussian":
            return _gaussian_refutes(n_canaries, n_guesses, n_correct, mu=gaussian_mu(epsilon, delta), level=level)
        return one_run_p_value(n_canaries, n_guesses, n_correct, epsilon=epsilon, delta=delta) <= level

    if not refutes(start):
        return start
    low, high = start, LARGEST_EPSILON
    while high - low > 1e-4:  # the lower end is returned: the bound errs downwards
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(middle) else (low, middle)
    return low


def _gaussian_refutes(n_canaries: int, n_guesses: int, n_correct: int, *, mu: float, level: float) -> bool:
    """Whether so many right guesses refute mu-Gaussian privacy at ``level``.

    Mahloujifar, Melis & Chaudhuri (2024), arXiv:2410.22235, audit with a cap: suppose the chance of n_correct or more right guesses were
    at least ``level``; then the masses h and r (wrong and right guesses, per canary) that this implies for ever fewer right
    guesses must fit into what the attacker guessed at all. ``1 - f(x) = Phi(Phi^-1(x) + mu)`` for a Gaussian curve, inverted here.
    """
    from scipy.special import ndtr, ndtri

    right = level * n_correct / n_canaries
    wrong = level * (n_guesses - n_correct) / n_canaries
    for i in range(n_correct - 1, -1, -1):
        more_wrong = max(wrong, float(ndtr(ndtri(right) - mu)))
        if more_wrong == wrong:
            break
        right = min(1.0, right + i / (n_guesses - i) * (more_wrong - wrong))
        wrong = more_wrong
        if right + wrong > n_guesses / n_canaries:
            return True
    return right + wrong > n_guesses / n_canaries


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Epsilon of the Gaussian mechanism with sensitivity mu and unit noise, at delta in (0, 1).

    Dong, Roth & Su (2019), arXiv:1905.02383, Corollary 2.13, solved for epsilon by bisection.

    >>> round(gaussian_epsilon(1.0, 1e-5), 3)
    4.377
    """
    low, high = 0.0, 1.0
    if mu <= 0 or _gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    while _gaussian_delta(mu, high) > delta:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _gaussian_delta(mu, middle) > delta else (low, middle)
    return high


def _gaussian_delta(mu: float, epsilon: float) -> float:
    from scipy.special import log_ndtr

    first, second = float(log_ndtr(mu / 2 - epsilon / mu)), epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))
    return math.exp(first) * -math.expm1(min(0.0, second - first))


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Sensitivity over noise at which the Gaussian mechanism is (epsilon, delta), delta in (0, 1); inverse of ``gaussian_epsilon``.

    >>> round(gaussian_mu(gaussian_epsilon(0.7, 1e-6), 1e-6), 6)
    0.7
    """
    low, high = 0.0, 1.0
    while _gaussian_delta(high, epsilon) <= delta:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _gaussian_delta(middle, epsilon) <= delta else (low, middle)
    return low


def ceiling(n_guesses: int, confidence: float) -> float:
    """Bound that ``n_guesses`` right guesses give at delta 0: logit((1 - confidence)^(1 / n_guesses)), at least 0.

    >>> [round(ceiling(k, 0.95), 1) for k in (20, 50, 100, 200, 500, 1000, 4000)]
    [1.8, 2.8, 3.5, 4.2, 5.1, 5.8, 7.2]
    """
    rate = (1 - confidence) ** (1 / n_guesses)
    return max(0.0, math.log(rate) - math.log1p(-rate))


def expected_bound(
    n_canaries: int,
    claim: Claim,
    *,
    confidence: float = 0.95,
    curve: Curve = "any",
    guesses: Sequence[Guesses] | None = None,
    n_attacks: int = 1,
) -> float:
    """Power: the one-run bound of a perfect attacker on a Gaussian mechanism that leaks exactly the claim.

    The attacker sees, for each canary apart from all others, mu + N(0, 1) or N(0, 1) with mu = ``gaussian_mu(claim)``. The number of
    right guesses is set to its expectation, rounded down.

    Args:
        n_canaries: m.
        claim: With delta above 0.
        confidence: As in ``one_run_bound``.
        curve: As in ``one_run_bound``.
        guesses: As in ``one_run_bound``.
        n_attacks: As in ``one_run_bound``.

    Returns:
        An epsilon, in [0, claim.epsilon] up to rounding; far below the claim means that the audit could hardly contradict it.
    """
    if math.isinf(claim.epsilon):
        return expected_ceiling(n_canaries, confidence=confidence, guesses=guesses, n_attacks=n_attacks)
    mu = gaussian_mu(claim.epsilon, max(claim.delta, 1e-12))
    attempts = tuple(guesses) if guesses is not None else default_guesses(n_canaries)
    level = (1 - confidence) / (len(attempts) * n_attacks)
    best = 0.0
    for attempt in attempts:
        # The lowest scores mirror the highest: precision at share k of the bottom is that at share k of the top.
        correct = math.floor(sum(k * _precision(k / n_canaries, mu) for k in (attempt.n_in, attempt.n_out)))
        best = _refuted(n_canaries, attempt.total, correct, level=level, delta=claim.delta, curve=curve, start=best)
    return best


def expected_ceiling(n_canaries: int, *, confidence: float = 0.95, guesses: Sequence[Guesses] | None = None, n_attacks: int = 1) -> float:
    """The largest one-run bound that so many canaries allow at delta 0: all guesses of the longest attempt right."""
    attempts = tuple(guesses) if guesses is not None else default_guesses(n_canaries)
    return ceiling(max(attempt.total for attempt in attempts), 1 - (1 - confidence) / (len(attempts) * n_attacks))


def _precision(share: float, mu: float) -> float:
    """Share of included canaries among the top ``share`` of all scores, half of them N(mu, 1) and half N(0, 1); 0 for share 0."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    if share <= 0:
        return 0.0
    if share >= 1:
        return 0.5
    threshold = brentq(lambda t: 0.5 * (ndtr(mu - t) + ndtr(-t)) - share, -40.0, mu + 40.0)
    return float(0.5 * ndtr(mu - threshold) / share)


def many_runs_bound(
    scores_in: FloatArray, scores_out: FloatArray, *, delta: float, confidence: float = 0.95, selection_share: float = 0.5
) -> EpsilonBound:
    """Largest epsilon that runs with and runs without one person refute.

    Args:
        scores_in: Of independent runs with the person, shape (n_in,).
        scores_out: Of independent runs without, shape (n_out,).
        delta: The delta of the claim under test, in [0, 1).
        confidence: Chance that the bound holds, in (0, 1).
        selection_share: Part of each array that chooses the event, in (0, 1).

    Raises:
        AuditError: A part would be empty, a score is NaN, or a parameter is out of range.
    """
    if not 0 <= delta < 1:
        raise AuditError(f"delta={delta!r}; expected a number in [0, 1)")
    evidence = leak_evidence(
        scores_in, scores_out, leak=lambda low, high: approximate_dp_leak(low, high, delta), confidence=confidence, share=selection_share
    )
    hits, runs, other_hits, other_runs = evidence.counts
    return EpsilonBound(
        value=evidence.value,
        delta=delta,
        confidence=confidence,
        ceiling=evidence.ceiling,
        power=None,
        method="many runs",
        n=len(scores_in) + len(scores_out),
        n_guesses=runs + other_runs,
        n_correct=hits + other_runs - other_hits,
        n_tests=1,
    )


Leak = Callable[[float, float], float]
"""What two rates of one event say of a mechanism: rises with the first (the likelier neighbour's) and falls with the second."""


def approximate_dp_leak(low: float, high: float, delta: float) -> float:
    """Epsilon that the rates refute at ``delta``: log((low - delta) / high), at least 0."""
    return max(0.0, math.log((low - delta) / high)) if low > delta and high > 0 else 0.0 if low <= delta else math.inf


def bounded_range_leak(low: float, high: float) -> float:
    """Range in log-odds that the rates refute, at least 0: an exponential mechanism at epsilon moves no event's log-odds by more.

    Dong, Durfee & Rogers (2020), arXiv:1909.13830: epsilon-bounded range.
    """
    return max(0.0, _logit(low) - _logit(high))


def zero_concentrated_leak(low: float, high: float) -> float:
    """Rho that the rates refute: largest D_a(low || high) / a of the two-point Renyi divergences over orders a >= 1, at least 0.

    Bun & Steinke (2016), arXiv:1605.02065: rho-zCDP bounds every D_a by a rho, and no event can diverge more than the whole output.
    """
    if low <= high:
        return 0.0
    if high <= 0 or low >= 1:
        return math.inf
    kl = low * math.log(low / high) + (1 - low) * math.log((1 - low) / (1 - high))
    a = np.array([1.05, 1.25, 1.5, 2.0, 3.0, 5.0, 9.0, 17.0, 33.0])
    hit = a * math.log(low) + (1 - a) * math.log(high)
    miss = a * math.log1p(-low) + (1 - a) * math.log1p(-high)
    return max(kl, float((np.logaddexp(hit, miss) / (a - 1) / a).max()))


def _logit(rate: float) -> float:
    if rate <= 0 or rate >= 1:
        return math.copysign(math.inf, rate - 0.5)
    return math.log(rate) - math.log1p(-rate)


@dataclass(frozen=True, kw_only=True)
class LeakEvidence:
    """A lower bound from runs with and without one person.

    Attributes:
        value: The leak that the rates refute.
        ceiling: The value that hits in all runs of one neighbour, and in none of the other, would have given.
        counts: Hits and runs of the likelier neighbour, then of the other, in the part that was evaluated.
    """

    value: float
    ceiling: float
    counts: tuple[int, int, int, int]


def leak_evidence(scores_in: FloatArray, scores_out: FloatArray, *, leak: Leak, confidence: float, share: float) -> LeakEvidence:
    """The leak shown by one event, chosen on the first part of each array and evaluated on the rest.

    The event is a threshold, a side of it, and which neighbour should be likelier. The two rates get Clopper-Pearson bounds at half of
    the error each; they need not be independent.

    Args:
        scores_in: Of runs with the person, shape (n_in,).
        scores_out: Of runs without, shape (n_out,).
        leak: What the rates say.
        confidence: Chance that the bound holds, in (0, 1).
        share: Part of each array that chooses the event, in (0, 1).

    Raises:
        AuditError: A part would be empty, a score is NaN, or a parameter is out of range.
    """
    if not 0 < share < 1 or not 0 < confidence < 1:
        raise AuditError(f"selection_share={share!r}, confidence={confidence!r}; expected numbers in (0, 1)")
    chosen_in, chosen_out = round(share * len(scores_in)), round(share * len(scores_out))
    if min(chosen_in, chosen_out, len(scores_in) - chosen_in, len(scores_out) - chosen_out) < 1:
        raise AuditError(f"runs={len(scores_in)} and {len(scores_out)}; expected at least two of each kind")
    if np.isnan(scores_in).any() or np.isnan(scores_out).any():
        raise AuditError("a score is not a number; expected one finite or infinite score per run")
    event = _choose_event(scores_in[:chosen_in], scores_out[:chosen_out], leak=leak, confidence=confidence)
    counts = event.count(scores_in[chosen_in:], scores_out[chosen_out:])
    return LeakEvidence(
        value=leak_of_counts(counts, leak=leak, confidence=confidence),
        ceiling=leak_of_counts((counts[1], counts[1], 0, counts[3]), leak=leak, confidence=confidence),
        counts=counts,
    )


def leak_of_counts(counts: tuple[int, int, int, int], *, leak: Leak, confidence: float) -> float:
    """The leak that hits and runs of one neighbour, then of the other, refute with chance ``confidence`` of being right."""
    hits, runs, other_hits, other_runs = counts
    # A two-sided interval errs at each end with half its error, so that the two ends used err together with 1 - confidence.
    low = clopper_pearson(hits, runs, confidence=confidence)[0]
    high = clopper_pearson(other_hits, other_runs, confidence=confidence)[1]
    return leak(low, high) if low > high else 0.0


@dataclass(frozen=True, kw_only=True)
class _Event:
    """Scores of at least the threshold, or below it; ``in_first`` if the runs with the person should show it more often."""

    threshold: float
    above: bool
    in_first: bool

    def count(self, scores_in: FloatArray, scores_out: FloatArray) -> tuple[int, int, int, int]:
        """Hits and runs of the likelier neighbour, then of the other."""
        with_person, without = ((int(((scores >= self.threshold) == self.above).sum()), len(scores)) for scores in (scores_in, scores_out))
        return (*with_person, *without) if self.in_first else (*without, *with_person)


def _choose_event(scores_in: FloatArray, scores_out: FloatArray, *, leak: Leak, confidence: float) -> _Event:
    """The event with the largest leak on these runs, over at most 33 thresholds, both sides and both neighbours."""
    pooled = np.concatenate([scores_in, scores_out])
    thresholds = np.unique(np.quantile(pooled, np.linspace(0, 1, 33), method="higher"))
    events = [
        _Event(threshold=float(threshold), above=above, in_first=in_first)
        for threshold in thresholds
        for above in (True, False)
        for in_first in (True, False)
    ]
    counts = np.array([event.count(scores_in, scores_out) for event in events])
    lows, highs = _rate_bounds(counts, confidence)
    leaks = [leak(low, high) if low > high else 0.0 for low, high in zip(lows.tolist(), highs.tolist(), strict=True)]
    return events[int(np.argmax(leaks))] if max(leaks) > 0 else events[len(thresholds) // 2 * 4]


def _rate_bounds(counts: npt.NDArray[np.int64], confidence: float) -> tuple[FloatArray, FloatArray]:
    """Clopper-Pearson bounds of ``leak_of_counts`` for many counts at once, shape (n, 4): lower of the first rates, upper of the second."""
    from scipy.stats import beta

    hits, runs, other_hits, other_runs = counts.T
    tail = (1 - confidence) / 2
    low = np.where(hits == 0, 0.0, beta.ppf(tail, np.maximum(hits, 1), runs - hits + 1))
    high = np.where(other_hits == other_runs, 1.0, beta.isf(tail, other_hits + 1, np.maximum(other_runs - other_hits, 1)))
    return low, high


def as_result(
    bound: EpsilonBound, *, audit: str, threat_model: str, question: str, claim: Claim | None = None, seconds: float = 0.0
) -> AuditResult:
    """The bound as an audit's result; ``details["contradicts"]`` says whether it refutes the claim."""
    details: dict[str, object] = {"method": bound.method, "delta": bound.delta, "n_guesses": bound.n_guesses, "n_correct": bound.n_correct}
    details |= {"n_tests": bound.n_tests, "power": bound.power}
    if claim is not None:
        details |= {"claimed_epsilon": claim.epsilon, "claimed_delta": claim.delta, "contradicts": contradicts(bound, claim)}
    return AuditResult(
        audit=audit,
        threat_model=threat_model,
        question=question,
        metric=EPSILON_BOUND,
        value=bound.value,
        confidence=bound.confidence,
        control=0.0,
        baseline=0.0,
        ceiling=bound.ceiling,
        n=bound.n,
        seconds=seconds,
        details=details,
    )
