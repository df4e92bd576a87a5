"""What a sequence of touches costs in all: dp-accounting does the sums.

One function, ``total``, serves both ends: it is what the noise is solved with before anything is spent
(``calibrate``) and what the report prints. Every event becomes an event of dp-accounting's Renyi accountant:

* discrete Gaussian noise satisfies the same zCDP as continuous noise (arXiv:2004.00010, Theorem 14);
* the exponential mechanism at epsilon satisfies epsilon^2/8-zCDP (arXiv:2004.07223, Lemma 3.4);
* partition selection on Gaussian counts is approximate zCDP: its delta is split off first;
* partition selection at (epsilon, delta) is epsilon-DP but for an event of probability delta, hence delta-approximate
  epsilon^2/2-zCDP (Bun & Steinke 2016, arXiv:1605.02065, Proposition 1.4 and Section 8): its delta is split off first, deltas add up.

A sequence that trains by DP-SGD is composed by privacy loss distributions instead, which are exact for it (Renyi costs a tenth of epsilon):
``_loss_distribution_epsilon``. That is allowed because all its events are fixed and reserved before the first runs; a stage that
chooses as it goes (AIM) enters as one mechanism with the privacy profile of its filter.

Renyi composition holds for adaptively chosen queries whose parameters were fixed beforehand, which is how a
plan is reserved. Unknown events are refused, never ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from privsynth.errors import BudgetExceededError, UnsupportedEventError
from privsynth.privacy.events import (
    Budget,
    DiscreteGaussian,
    Event,
    ExponentialMechanism,
    GaussianPartitionSelection,
    Internal,
    Laplace,
    NonPrivate,
    PartitionSelection,
    PoissonSampledGaussian,
    Touch,
    ZeroConcentrated,
)

Relation = Literal["add-or-remove-one-person", "replace-one-person"]

ACCOUNTANT = "Renyi (dp-accounting)"
SAMPLED_ACCOUNTANT = "privacy loss distributions (dp-accounting)"

_ORDERS = [1 + x / 20 for x in range(1, 200)] + [11 + x / 4 for x in range(400)] + [111 * 1.05**x for x in range(190)]

_FINEST, _COARSEST = 1e-5, 5e-3
"""Steps, in nats, on which privacy losses are kept; every step gives an upper bound, finer ones a tighter one."""

_LOSSES_PER_DEVIATION = 250
"""Steps in one standard deviation of the whole training's loss."""

_SCALE_TOLERANCE = 1e-5
"""A calibrated scale of noise is at most about this part larger than the least one."""

_PROFILE_POINTS = 300
"""Positive epsilons at which a privacy profile is taken."""


@dataclass(frozen=True, kw_only=True)
class Total:
    """The cost of a sequence of touches.

    Attributes:
        epsilon: In nats, at ``delta``, for adding or removing one person; inf if something was released without proof.
        delta: All of it, partition selections included.
        replace_one_epsilon: The same for replacing one person by another, at the same delta.
        accountant: The method that gave the figures.
    """

    epsilon: float
    delta: float
    replace_one_epsilon: float
    accountant: str


def total(touches: Sequence[Touch], delta: float) -> Total:
    """The cost of all touches together, at ``delta`` in (0, 1).

    >>> total([Touch("tables", "a count", DiscreteGaussian(noise_multiplier=10.0))], 1e-6).epsilon < 0.53
    True

    Raises:
        UnsupportedEventError: An event has no composition rule here.
    """
    events = [touch.event for touch in touches]
    return Total(
        epsilon=_epsilon(events, delta, "add-or-remove-one-person"),
        delta=delta,
        replace_one_epsilon=_epsilon(events, delta, "replace-one-person"),
        accountant=SAMPLED_ACCOUNTANT if any(isinstance(event, PoissonSampledGaussian) for event in events) else ACCOUNTANT,
    )


def calibrate(touches_of_scale: Callable[[float], Sequence[Touch]], budget: Budget) -> float:
    """The smallest noise scale at which all touches together cost at most the budget.

    Args:
        touches_of_scale: The whole plan's touches at a noise scale; more scale must mean more noise.
        budget: What may be spent.

    Returns:
        The scale, from above: ``total(touches_of_scale(scale), budget.delta).epsilon <= budget.epsilon``.
        1.0 if no touch has an event whose cost depends on noise.

    Raises:
        BudgetExceededError: No amount of noise makes the plan fit (delta is used up by partition selections).
    """
    if all(touch.touch_class != "dp" for touch in touches_of_scale(1.0)):
        return 1.0
    if math.isinf(budget.epsilon):
        raise UnsupportedEventError("epsilon=inf has no noise to solve for; write a finite epsilon for an engine that adds noise")

    def cost(scale: float) -> float:
        return _epsilon([touch.event for touch in touches_of_scale(scale)], budget.delta, "add-or-remove-one-person")

    low, high = 1.0, 1.0
    while cost(high) > budget.epsilon:
        high *= 2
        if high > 1e12:
            raise BudgetExceededError(
                f"epsilon={budget.epsilon:g}, delta={budget.delta:g} cannot pay for this plan at any noise; declare bounds and categories, "
                "or raise delta"
            )
    while low == high or cost(low) <= budget.epsilon:
        high, low = low, low / 2
        if low < 1e-12:
            return high
    return _least_scale(cost, budget.epsilon, low, high)


def _least_scale(cost: Callable[[float], float], epsilon: float, low: float, high: float) -> float:
    """The scale in (low, high] at which the cost falls to epsilon, from above, within a hundred-thousandth."""
    from scipy.optimize import brentq

    def excess(log_scale: float) -> float:
        return math.log(min(max(cost(math.exp(log_scale)), 1e-300), 1e300) / epsilon)

    log_scale = float(brentq(excess, math.log(low), math.log(high), xtol=_SCALE_TOLERANCE / 4))
    # The root may lie a hair on the dear side, and the cost has steps where losses are kept more finely.
    step = _SCALE_TOLERANCE / 2
    while cost(scale := math.exp(log_scale + step)) > epsilon:
        step *= 2
    return scale


def delta_limit(people: int) -> float:
    """The largest delta allowed for this many people: 1 / (10 * people)."""
    return 1 / (10 * people)


def ceil_text(value: float) -> str:
    """A bound rounded up to three digits: it is never shown smaller than it is.

    >>> ceil_text(0.99999978), ceil_text(2.1117), ceil_text(math.inf)
    ('1', '2.12', 'infinity')
    """
    if math.isinf(value):
        return "infinity"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(value))
    return f"{math.ceil(value * 10**digits - 1e-9) / 10**digits:g}"


def _epsilon(events: Sequence[Event], delta: float, relation: Relation) -> float:
    """Epsilon of the composition under the relation, at ``delta``."""
    if any(isinstance(event, NonPrivate) for event in events):
        return math.inf
    replace = relation == "replace-one-person"
    costly = [event for event in events if not isinstance(event, Internal)]
    if not costly:
        return 0.0
    main_delta = delta - sum(_split_delta(event, replace=replace) for event in costly)
    if main_delta <= 0:
        return math.inf
    if any(isinstance(event, PoissonSampledGaussian) for event in costly):
        return _loss_distribution_epsilon(costly, main_delta, replace=replace)
    return _renyi_epsilon(costly, main_delta, replace=replace)


def _split_delta(event: Event, *, replace: bool) -> float:
    """The delta that leaves the budget before the rest is composed."""
    match event:
        case PartitionSelection():
            # Group privacy for two people (remove one, add another): (2 epsilon, (1 + e^epsilon) delta).
            return event.delta * (1 + math.exp(event.epsilon)) if replace else event.delta
        case GaussianPartitionSelection():
            # Approximate zCDP asks for one event on either side: no key of the one person, no key of the other.
            return event.delta
    return 0.0


def _renyi_epsilon(events: Sequence[Event], delta: float, *, replace: bool) -> float:
    """Epsilon of events without sampling."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    # Doubling the sensitivity covers removing one person and adding another: dp-accounting's own
    # REPLACE_ONE returns the add/remove figure for these events.
    factor = 2.0 if replace else 1.0
    accountant = RdpAccountant(orders=_ORDERS, neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    rho = sum(_rho(event, factor) for event in events)
    if rho:
        accountant.compose(dp_accounting.ZCDpEvent(rho))
    for event in events:
        if isinstance(event, Laplace):
            accountant.compose(dp_accounting.LaplaceDpEvent(event.noise_multiplier / factor))
    return max(0.0, float(accountant.get_epsilon(delta)))


def _loss_distribution_epsilon(events: Sequence[Event], delta: float, *, replace: bool) -> float:
    """Epsilon of a sequence with Poisson-sampled Gaussian events, by their privacy loss distributions.

    Sampled events and Laplace noise have their own; everything else enters through its zCDP. dp-accounting's REPLACE_ONE is a proof of its
    own for sampled Gaussian noise: half of the sensitivity moves either way.
    """
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import privacy_loss_distribution as losses

    factor = 2.0 if replace else 1.0
    relation = NeighboringRelation.REPLACE_ONE if replace else NeighboringRelation.ADD_OR_REMOVE_ONE
    rho = sum(_rho(event, factor) for event in events)
    step = _loss_step(events, rho, factor)
    parts = [_zero_concentrated_losses(rho, step=step, smallest_delta=delta * 1e-4)] if rho else []
    for event in events:
        if isinstance(event, Laplace):
            parts.append(losses.from_laplace_mechanism(event.noise_multiplier / factor, value_discretization_interval=step))
        elif isinstance(event, PoissonSampledGaussian):
            sampled = losses.from_gaussian_mechanism(
                event.noise_multiplier,
                value_discretization_interval=step,
                sampling_prob=event.sampling_prob,
                neighboring_relation=relation,
            )
            parts.append(sampled.self_compose(event.steps))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.compose(part)
    return max(0.0, float(whole.get_epsilon_for_delta(delta)))


def _loss_step(events: Sequence[Event], rho: float, factor: float) -> float:
    """The step on which losses are kept: a small part of the spread of the whole loss, the finest step times a power of two."""
    variance = 2 * rho  # of a Gaussian mechanism with this zCDP
    for event in events:
        if isinstance(event, PoissonSampledGaussian):
            variance += event.steps * (factor * event.sampling_prob / event.noise_multiplier) ** 2
    wanted = math.sqrt(variance) / _LOSSES_PER_DEVIATION
    return min(_COARSEST, _FINEST * 2.0 ** max(0, round(math.log2(wanted / _FINEST))))


def _zero_concentrated_losses(rho: float, *, step: float, smallest_delta: float) -> Any:
    """A privacy loss distribution that dominates every rho-zCDP mechanism.

    Its privacy profile is bounded by delta(epsilon) = min over a of exp((a - 1)(a rho - epsilon)) / (a - 1) (1 - 1/a)^a (Canonne, Kamath &
    Steinke 2020, arXiv:2004.00010, Proposition 12), and, because zCDP is symmetric, delta(-epsilon) by 1 - exp(-epsilon)(1 -
    delta(epsilon)).
    A true profile is convex in exp(epsilon), so it also lies below the lines between any of these points; those on the lower hull are
    joined ("connect the dots", Doroshenko et al. 2022, arXiv:2207.04380; domination composes: Zhu, Dong & Wang 2022, arXiv:2106.08567).
    """
    from dp_accounting.pld.pld_pmf import create_pmf_pessimistic_connect_dots
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

    largest = rho + 2 * math.sqrt(rho * math.log(1 / smallest_delta))
    positions = np.unique(np.ceil(np.arange(_PROFILE_POINTS + 1) * largest / (_PROFILE_POINTS * step)).astype(np.int64))
    epsilons = positions * step
    orders = 1 + np.geomspace(1e-3, 1e6, 1000)[:, None]
    log_deltas = (orders - 1) * (orders * rho - epsilons) - np.log(orders - 1) + orders * np.log1p(-1 / orders)
    positive = np.minimum(1.0, np.exp(np.minimum(0.0, log_deltas).min(axis=0)))
    negative = -np.expm1(-epsilons) + np.exp(-epsilons) * positive
    places = np.concatenate([-positions[:0:-1], positions])
    profile = np.minimum.accumulate(np.concatenate([negative[:0:-1], positive]))
    kept = _lower_hull(np.exp(places * step), profile)
    return PrivacyLossDistribution(create_pmf_pessimistic_connect_dots(step, places[kept], profile[kept]))


def _lower_hull(x: Any, y: Any) -> list[int]:
    """Positions of the points on the lower convex hull, ``x`` increasing (Andrew 1979)."""
    hull: list[int] = []
    for point in range(len(x)):
        while len(hull) > 1:
            first, second = hull[-2:]
            if (y[second] - y[first]) * (x[point] - x[first]) < (y[point] - y[first]) * (x[second] - x[first]):
                break
            hull.pop()
        hull.append(point)
    return hull


def _rho(event: Event, factor: float) -> float:
    """Zero-concentrated cost of an event at ``factor`` times its sensitivity; 0 if it is composed otherwise."""
    match event:
        case DiscreteGaussian() | GaussianPartitionSelection():
            return 0.5 * (factor / event.noise_multiplier) ** 2
        case ZeroConcentrated():
            return event.rho * factor**2
        case ExponentialMechanism():
            return (factor * event.epsilon) ** 2 / 8
        case PartitionSelection():
            return (factor * event.epsilon) ** 2 / 2
        case Laplace() | PoissonSampledGaussian():
            return 0.0
    raise UnsupportedEventError(f"event {type(event).__name__} has no composition rule; add one to accounting.py with its source")
