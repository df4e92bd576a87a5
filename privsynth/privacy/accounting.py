"""What a sequence of touches costs in all: dp-accounting does the sums.

One function, ``total``, serves both ends: it is what the noise is solved with before anything is spent
(``calibrate``) and what the report prints. Every event becomes an event of dp-accounting's Renyi accountant:

* discrete Gaussian noise satisfies the same zCDP as continuous noise (arXiv:2004.00010, Theorem 14);
* the exponential mechanism at epsilon satisfies epsilon^2/8-zCDP (arXiv:2004.07223, Lemma 3.4);
* partition selection at (epsilon, delta) is epsilon-DP but for an event of probability delta, hence delta-approximate
  epsilon^2/2-zCDP (Bun & Steinke 2016, arXiv:1605.02065, Proposition 1.4 and Section 8): its delta is split off first, deltas add up.

Renyi composition holds for adaptively chosen queries whose parameters were fixed beforehand, which is how a
plan is reserved. Unknown events are refused, never ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from privsynth.errors import BudgetExceededError, UnsupportedEventError
from privsynth.privacy.events import (
    Budget,
    DiscreteGaussian,
    Event,
    ExponentialMechanism,
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

_ORDERS = [1 + x / 20 for x in range(1, 200)] + [11 + x / 4 for x in range(400)]
_HIGH_ORDERS = [111 * 1.05**x for x in range(190)]  # for tiny epsilons; the sum for Poisson sampling does not converge there


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
        accountant=ACCOUNTANT,
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
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle) <= budget.epsilon else (middle, high)
    return high


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
    return _renyi_epsilon(costly, main_delta, replace=replace)


def _split_delta(event: Event, *, replace: bool) -> float:
    """The delta that leaves the budget before the rest is composed."""
    if not isinstance(event, PartitionSelection):
        return 0.0
    # Group privacy for two people (remove one, add another): (2 epsilon, (1 + e^epsilon) delta).
    return event.delta * (1 + math.exp(event.epsilon)) if replace else event.delta


def _renyi_epsilon(events: Sequence[Event], delta: float, *, replace: bool) -> float:
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    # Doubling the sensitivity covers removing one person and adding another: dp-accounting's own
    # REPLACE_ONE returns the add/remove figure for these events.
    factor = 2.0 if replace else 1.0
    sampled = any(isinstance(event, PoissonSampledGaussian) for event in events)
    orders = _ORDERS if sampled else _ORDERS + _HIGH_ORDERS
    accountant = RdpAccountant(orders=orders, neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    rho = sum(_rho(event, factor) for event in events)
    if rho:
        accountant.compose(dp_accounting.ZCDpEvent(rho))
    for event in events:
        if isinstance(event, Laplace):
            accountant.compose(dp_accounting.LaplaceDpEvent(event.noise_multiplier / factor))
        elif isinstance(event, PoissonSampledGaussian):
            _compose_sampled(accountant, event, factor)
    return max(0.0, float(accountant.get_epsilon(delta)))


def _compose_sampled(accountant: Any, event: PoissonSampledGaussian, factor: float) -> None:
    import dp_accounting

    step = dp_accounting.PoissonSampledDpEvent(event.sampling_prob, dp_accounting.GaussianDpEvent(event.noise_multiplier / factor))
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, event.steps))


def _rho(event: Event, factor: float) -> float:
    """Zero-concentrated cost of an event at ``factor`` times its sensitivity; 0 if it is composed otherwise."""
    match event:
        case DiscreteGaussian():
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
