"""Touches of private data as frozen values, and the mechanisms behind them.

A *touch* is one planned use of private data: a label that says what is read, and the event that
says what it costs. Events know nothing of accounting: ``accounting.py`` reads them. Their JSON form is
our own, so that an old ledger can be recomputed by a later library.

Neighbouring relation everywhere: add or remove one person with all their rows. Every noise
parameter is relative to the L2 (Gaussian) or L1 (Laplace) sensitivity under that relation, so
``noise_multiplier = sigma / sensitivity``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from privsynth.errors import PlanError, UnsupportedEventError

TouchClass = Literal["dp", "released-without-proof", "internal"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be spent: epsilon in nats, in (0, inf]; delta in (0, 1).

    ``epsilon = inf`` must be written by a person: it allows engines that have no formal guarantee.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse what is not a privacy parameter."""
        if not isinstance(self.epsilon, int | float) or isinstance(self.epsilon, bool) or not self.epsilon > 0:
            raise PlanError(f"epsilon={self.epsilon!r} is not a privacy parameter; expected a number above 0, for example 1.0")
        if not isinstance(self.delta, int | float) or isinstance(self.delta, bool) or not 0 < self.delta < 1:
            raise PlanError(f"delta={self.delta!r} is not a privacy parameter; expected a number in (0, 1), for example 1e-6")


@dataclass(frozen=True, kw_only=True)
class DiscreteGaussian:
    """Exact discrete Gaussian noise on integer counts; rho = 1 / (2 noise_multiplier^2).

    Canonne, Kamath & Steinke (2020), arXiv:2004.00010, Theorem 14: the same zCDP as continuous noise.
    """

    noise_multiplier: float

    def __post_init__(self) -> None:
        """Refuse a multiplier that is not positive."""
        _require_positive("noise_multiplier", self.noise_multiplier)


@dataclass(frozen=True, kw_only=True)
class ZeroConcentrated:
    """Any mechanism, or a whole adaptive stage behind a filter, that satisfies rho-zCDP."""

    rho: float

    def __post_init__(self) -> None:
        """Refuse a rho that is not positive."""
        _require_positive("rho", self.rho)


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """(Discrete) Laplace noise with scale = sensitivity * noise_multiplier; epsilon = 1 / noise_multiplier."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        """Refuse a multiplier that is not positive."""
        _require_positive("noise_multiplier", self.noise_multiplier)


@dataclass(frozen=True, kw_only=True)
class ExponentialMechanism:
    """Selection of one candidate at pure epsilon, with bounded range epsilon; rho = epsilon^2 / 8.

    Cesar & Rogers (2021), arXiv:2004.07223, Lemma 3.4.
    """

    epsilon: float

    def __post_init__(self) -> None:
        """Refuse an epsilon that is not positive."""
        _require_positive("epsilon", self.epsilon)


@dataclass(frozen=True, kw_only=True)
class PartitionSelection:
    """Release of the keys whose noisy count passes a threshold; (epsilon, delta), delta split off first."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        _require_positive("epsilon", self.epsilon)
        _require_positive("delta", self.delta)


@dataclass(frozen=True, kw_only=True)
class GaussianPartitionSelection:
    """Discrete Gaussian counts of keys, shown above a threshold: rho = 1 / (2 noise_multiplier^2), delta split off first.

    ``delta`` bounds the chance that any key which one person alone has is shown; but for that event the output is a function of noisy
    counts of the keys that others have too: delta-approximate rho-zCDP (Bun & Steinke 2016, arXiv:1605.02065, Definition 8.1).
    """

    noise_multiplier: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        _require_positive("noise_multiplier", self.noise_multiplier)
        _require_positive("delta", self.delta)


@dataclass(frozen=True, kw_only=True)
class PoissonSampledGaussian:
    """DP-SGD: ``steps`` Gaussian releases, each on an independent Poisson sample of people."""

    noise_multiplier: float
    sampling_prob: float
    steps: int

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        _require_positive("noise_multiplier", self.noise_multiplier)
        if not 0 < self.sampling_prob <= 1 or self.steps < 1:
            raise UnsupportedEventError(
                f"sampling_prob={self.sampling_prob!r}, steps={self.steps!r}; expected a rate in (0, 1] and at least one step"
            )


@dataclass(frozen=True, kw_only=True)
class NonPrivate:
    """Private information that reaches the release with no proof: epsilon is infinite."""


@dataclass(frozen=True, kw_only=True)
class Internal:
    """Private data is read and nothing computed from it leaves: listed, no epsilon."""


Event = (
    DiscreteGaussian
    | ZeroConcentrated
    | Laplace
    | ExponentialMechanism
    | PartitionSelection
    | GaussianPartitionSelection
    | PoissonSampledGaussian
    | NonPrivate
    | Internal
)

_EVENT_TYPES: tuple[type[Any], ...] = (
    DiscreteGaussian,
    ZeroConcentrated,
    Laplace,
    ExponentialMechanism,
    PartitionSelection,
    GaussianPartitionSelection,
    PoissonSampledGaussian,
    NonPrivate,
    Internal,
)


@dataclass(frozen=True)
class Touch:
    """One planned use of private data: ``stage`` and ``label`` say what is read, ``event`` what it costs."""

    stage: str
    label: str
    event: Event

    CLASS_OF: ClassVar[dict[type[Any], TouchClass]] = {NonPrivate: "released-without-proof", Internal: "internal"}

    @property
    def touch_class(self) -> TouchClass:
        """Which of the three classes of the guarantee this touch belongs to."""
        return self.CLASS_OF.get(type(self.event), "dp")


def to_json(touch: Touch) -> dict[str, Any]:
    """The touch as plain JSON; the inverse of ``from_json``."""
    event = {"type": type(touch.event).__name__} | dataclasses.asdict(touch.event)
    return {"stage": touch.stage, "label": touch.label, "class": touch.touch_class, "event": event}


def from_json(value: dict[str, Any]) -> Touch:
    """The touch written by ``to_json``.

    Raises:
        UnsupportedEventError: The event type is unknown to this version.
    """
    fields = dict(value["event"])
    name = fields.pop("type")
    for kind in _EVENT_TYPES:
        if kind.__name__ == name:
            return Touch(value["stage"], value["label"], kind(**fields))
    raise UnsupportedEventError(f"event type={name!r} is unknown to this version of privsynth; read the ledger with a newer one")


def _require_positive(name: str, value: float) -> None:
    if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise UnsupportedEventError(f"{name}={value!r}; expected a finite number above 0")
