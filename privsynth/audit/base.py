"""What an audit hands back: a measurement, never a verdict.

An attack on a release is only readable beside what the same attack finds where nothing leaked (control),
what it could have found (floor, ceiling) and how sure it is (interval, p-value). ``AuditResult`` keeps
these together; a policy judges them elsewhere. Higher is always worse.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

Population = Literal["everyone", "vulnerable tenth"]
Status = Literal["measured", "skipped", "crashed", "not measurable"]

DEFAULT_ALPHA = 1e-2
"""Family-wise chance that any attack flags a release that leaks nothing."""


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """One attack, one metric, one population.

    Attributes:
        audit: Name of the attack.
        threat_model: What the attacker holds: ``release-only``, ``release + reference rows``, ``release + training records``.
        question: What is asked, in plain words.
        metric: What ``value`` counts; higher is worse.
        value: The measurement; None unless ``status`` is ``measured``.
        interval: Two-sided confidence interval of ``value``.
        confidence: Coverage of ``interval``, in (0, 1).
        p_value: One-sided: chance of such a value or worse if nothing leaked, corrected for the choices made inside the attack.
        control: The same figure where nothing can have leaked (held-out people).
        baseline: What guessing gives.
        floor: Smallest leak that this attack would have flagged; ``details["floor_unit"]`` says in what unit.
        ceiling: Largest value that it could have shown.
        n: People behind the figure.
        seconds: Wall time.
        population: ``everyone``, or the tenth that lies farthest from all others.
        status: ``crashed`` and ``not measurable`` are results, not passes.
        details: Plain JSON.
    """

    audit: str
    threat_model: str
    question: str
    metric: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    p_value: float | None = None
    control: float | None = None
    baseline: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    n: int = 0
    seconds: float = 0.0
    population: Population = "everyone"
    status: Status = "measured"
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Attack, metric and population as one label, unique in a run."""
        return f"{self.audit} / {self.metric} / {self.population}"


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """The attacks on a release whose leak is known.

    Attributes:
        name: What the release was made of.
        kind: ``negative`` if nothing leaks in it, ``positive`` if records of train do.
        planted_share: Share of its rows that are (noisy) copies of train, in [0, 1].
        flagged_by: Keys of the results that flagged it at the family-wise level.
        results: All results.
    """

    name: str
    kind: Literal["negative", "positive"]
    planted_share: float
    flagged_by: tuple[str, ...]
    results: tuple[AuditResult, ...]

    @property
    def behaved(self) -> bool:
        """True if every attack ran, and a positive was flagged and a negative was not."""
        crashed = any(result.status == "crashed" for result in self.results)
        return not crashed and bool(self.flagged_by) == (self.kind == "positive")

    @property
    def smallest_p_value(self) -> float | None:
        """The smallest p-value of any attack, before correction for their number; None if none was measured."""
        p_values = [result.p_value for result in self.results if result.p_value is not None]
        return min(p_values) if p_values else None


@dataclass(frozen=True, kw_only=True)
class AuditRun:
    """All attacks on one release, and what they do on releases whose leak is known.

    Attributes:
        results: The attacks on the release under audit.
        controls: The same attacks on known releases made of the same records.
        floors: Smallest share of exact copies, planted in the release, that each replay attack flagged, None if none was; by attack.
        noisy_floors: The same for copies whose numbers carry 2 % noise.
        notes: Limits of this run, in plain words.
        alpha: Family-wise false-alarm rate.
        seconds: Wall time of everything.
    """

    results: tuple[AuditResult, ...]
    controls: tuple[ControlResult, ...]
    floors: Mapping[str, float | None]
    notes: tuple[str, ...]
    alpha: float
    seconds: float
    noisy_floors: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def flagged(self) -> tuple[AuditResult, ...]:
        """The results that flag the release, Bonferroni over all results with a p-value."""
        return flagged_among(self.results, self.alpha)

    @property
    def worst(self) -> tuple[str, float] | None:
        """Key and p-value of the result that speaks most for a leak, corrected for the number of results; None if none has a p-value."""
        tested = [(result.p_value, result.key) for result in self.results if result.p_value is not None]
        if not tested:
            return None
        p_value, key = min(tested)
        return key, min(1.0, len(tested) * p_value)


class Progress(Protocol):
    """Told after each step; ``done`` of ``total`` steps are finished."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """Show it."""
        ...


def flagged(result: AuditResult, alpha: float, *, n_tests: int = 1) -> bool:
    """Whether a result is evidence of a leak at family-wise level ``alpha`` over ``n_tests`` results (Bonferroni).

    >>> result = AuditResult(audit="a", threat_model="release-only", question="?", metric="AUC", p_value=0.004)
    >>> flagged(result, 0.01), flagged(result, 0.01, n_tests=3)
    (True, False)
    """
    return result.status == "measured" and result.p_value is not None and result.p_value <= alpha / n_tests


def flagged_among(results: Sequence[AuditResult], alpha: float) -> tuple[AuditResult, ...]:
    """The results of one family that are evidence of a leak at family-wise level ``alpha``."""
    n_tests = sum(result.p_value is not None for result in results)
    return tuple(result for result in results if flagged(result, alpha, n_tests=max(n_tests, 1)))


def guarded(blank: AuditResult, attack: Callable[[], Sequence[AuditResult]]) -> list[AuditResult]:
    """The results of an attack with its wall time; if it crashes, ``blank`` as crashed with the type of the exception only.

    The message of an exception may hold a cell of private data; its type cannot.
    """
    start = time.perf_counter()
    try:
        results = list(attack())
    except Exception as error:  # an attack that crashes is a result ("crashed"), and must not hide the others
        results = [replace(blank, status="crashed", details={"error": type(error).__name__})]
    seconds = time.perf_counter() - start
    return [replace(result, seconds=seconds) for result in results]


def plain(value: object) -> Any:
    """A details value as plain JSON: numpy numbers become Python's, arrays and tuples become lists."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value
