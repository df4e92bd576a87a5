"""Do the mechanisms leak more than they are charged for? Their code, run thousands of times on public worst cases.

A release audit sees one release of data nobody chose, and has little power at small epsilon. Here the data are public and as bad as the
guarantee allows: two datasets that differ in one person, for each mechanism. The real functions run with the real source of noise, with
and without that person, and the rates of an event, chosen on one part of the runs and evaluated on the rest, give a lower
bound on what is leaked, in the unit in which the mechanism is charged:

* ``rho`` for Gaussian noise and for whole plans: rho-zCDP bounds every Renyi divergence (arXiv:1605.02065);
* ``epsilon`` for Laplace noise and for the selection of categories that others have too;
* ``log-odds range`` for the exponential mechanism (arXiv:1909.13830), which is what its charge of epsilon^2 / 8 rests on;
* ``delta`` for categories that one person alone has.

The whole fit of each engine that has a guarantee, from raw rows to the fitted model, is audited twice. First one run is recorded and its
answers are replayed to the neighbouring dataset: the same questions must follow, in the same order, of the same shape and with the same
noise, and the same model must come out; whatever else differs has leaked past the noise (a bound read off the data does). Then
what the recorded questions leak is added up, and for one engine each of them is answered thousands of times for both neighbours: along a
fixed transcript the answers compose, so all of them together may leak no more than the plan was reserved for.

The limit for a plan is computed here from (epsilon, delta) and not by ``privsynth.privacy``, whose sums are under test. A bound above the
limit proves a fault. A bound below it proves nothing beyond what ``ceiling`` and ``n_runs`` say.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.audit.epsilon_bounds import (
    Leak,
    approximate_dp_leak,
    bounded_range_leak,
    leak_evidence,
    leak_of_counts,
    zero_concentrated_leak,
)
from privsynth.audit.intervals import clopper_pearson
from privsynth.errors import AuditError
from privsynth.fit_replay import ENGINES, PEOPLE, ROWS_PER_PERSON, Asked, Question, public_reservation, replayed_fit
from privsynth.privacy import (
    Budget,
    DiscreteGaussian,
    NoiseSource,
    PoissonSampledGaussian,
    SystemNoise,
    Touch,
    calibrate,
)
from privsynth.schema import Column
from privsynth.tabular.base import STAGE, Synthesizer
from privsynth.tabular.facts import count_on_grid, select_categories, selection_threshold
from privsynth.tabular.prepare import noisy_counts
from privsynth.text.counts import selected_counts

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Unit = Literal["rho", "epsilon", "log-odds range", "delta", "differences"]

DELTA = 1e-6
"""Delta of the plans under audit."""

SELECTION_DELTA = 0.01
"""Delta at which the selection of categories is audited: large enough to be seen in some thousand runs."""

SMALLEST_EPSILON, LARGEST_EPSILON = 0.1, 16.0

MAX_RUNS = 60_000
"""Runs with, and as many without; at large epsilons the ceiling may then lie below the claim, which the result says."""

AUDITED_BY: Mapping[str, str] = {
    "DiscreteGaussian": "discrete Gaussian counts; bounds purchase; whole tree fit; whole copula fit",
    "Laplace": "discrete Laplace counts",
    "PartitionSelection": "selection of shared categories; selection of new categories; whole tree fit",
    "ExponentialMechanism": "exponential selection; whole tree fit",
    "ZeroConcentrated": "whole AIM fit",
    "PoissonSampledGaussian": "DP-SGD step",
    "GaussianPartitionSelection": "discrete Gaussian counts; selection of new n-grams",
}
"""Which audit covers each event that the ledger can charge; a new mechanism adds its worst case to ``MECHANISMS`` and its name here."""

_CHOICE_SHARE = 0.25
_SGD_RATE = 0.5
_SGD_LARGEST_EPSILON = 4.0


@dataclass(frozen=True, kw_only=True)
class MechanismResult:
    """What one mechanism was seen to leak.

    Attributes:
        mechanism: Its name.
        unit: Unit of the next three.
        claimed: What it is charged for; a correct mechanism leaks no more.
        lower_bound: What it leaks at least, at ``confidence``.
        ceiling: The largest bound that so many runs could have given.
        confidence: Chance that the bound holds.
        n_runs: Runs with the person; as many without.
        seconds: CPU time.
        note: What was compared, or what differed.
    """

    mechanism: str
    unit: Unit
    claimed: float
    lower_bound: float
    ceiling: float
    confidence: float
    n_runs: int
    seconds: float
    note: str

    @property
    def flagged(self) -> bool:
        """True if the mechanism is refuted: it leaks more than it is charged for."""
        return self.lower_bound > self.claimed

    @property
    def has_power(self) -> bool:
        """False if not even the worst leak could have been flagged with so many runs."""
        return self.ceiling > self.claimed


def audit_mechanisms(
    *,
    epsilon: float,
    n_runs: int | None = None,
    alpha: float = 1e-3,
    noise: NoiseSource | None = None,
    only: Sequence[str] | None = None,
) -> tuple[MechanismResult, ...]:
    """Audit every mechanism at a claimed epsilon.

    Args:
        epsilon: Claimed by each mechanism, and by the whole plan of the tree fit, in [0.1, 16].
        n_runs: Runs with and without the person; by default as many as show halved noise, at most ``MAX_RUNS``.
        alpha: Chance that any mechanism is flagged though all are correct (Bonferroni), in (0, 1).
        noise: Where noise comes from; the operating system by default, something else only to test the audit.
        only: Names of ``MECHANISMS`` to audit; all by default. The correction stays that of all.

    Returns:
        One result per mechanism, in the order of ``MECHANISMS``.

    Raises:
        AuditError: A parameter is out of range.
    """
    if not SMALLEST_EPSILON <= epsilon <= LARGEST_EPSILON or not 0 < alpha < 1 or (n_runs is not None and n_runs < 8):
        raise AuditError(
            f"epsilon={epsilon!r}, alpha={alpha!r}, n_runs={n_runs!r}; expected epsilon in [{SMALLEST_EPSILON:g}, {LARGEST_EPSILON:g}], "
            "alpha in (0, 1) and at least 8 runs"
        )
    unknown = sorted(set(only or ()) - set(MECHANISMS))
    if unknown:
        raise AuditError(f"mechanism={unknown[0]!r} is not one of {', '.join(MECHANISMS)}")
    setting = _Setting(epsilon=epsilon, n_runs=n_runs, confidence=1 - alpha / len(MECHANISMS), noise=noise or SystemNoise())
    names = [name for name in MECHANISMS if only is None or name in only]
    return tuple(result for name in names for result in MECHANISMS[name](setting))


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """What all audits share; ``confidence`` of each is corrected for their number."""

    epsilon: float
    n_runs: int | None
    confidence: float
    noise: NoiseSource

    def runs(self, leak: Leak, claimed: float, high: float, low: float) -> int:
        """Runs with which rates ``high`` and ``low`` would be flagged, or those asked for."""
        if self.n_runs is not None:
            return self.n_runs
        n = 500
        while n < MAX_RUNS:
            counts = (math.floor(n * high), n, math.ceil(n * low), n)
            # A tenth more than needed on average: half of all repetitions would otherwise fall short.
            if leak_of_counts(counts, leak=leak, confidence=self.confidence) > 1.1 * claimed:
                break
            n = math.ceil(1.15 * n)
        return min(MAX_RUNS, math.ceil(n / (1 - _CHOICE_SHARE)))

    def result(
        self, name: str, unit: Unit, claimed: float, leak: Leak, scores: tuple[FloatArray, FloatArray], *, start: float, note: str
    ) -> MechanismResult:
        """The result for scores of runs with and without the person."""
        evidence = leak_evidence(*scores, leak=leak, confidence=self.confidence, share=_CHOICE_SHARE)
        return MechanismResult(
            mechanism=name,
            unit=unit,
            claimed=claimed,
            lower_bound=evidence.value,
            ceiling=evidence.ceiling,
            confidence=self.confidence,
            n_runs=len(scores[0]),
            seconds=time.process_time() - start,
            note=note,
        )


def zero_concentrated_limit(epsilon: float, delta: float) -> float:
    """The largest rho whose rho-zCDP is known to be (epsilon, delta)-DP, delta in (0, 1).

    Canonne, Kamath & Steinke (2020), arXiv:2004.00010, Proposition 12: delta = inf_a exp((a - 1)(a rho - epsilon)) / (a - 1) (1 - 1/a)^a.

    >>> 0.024 < zero_concentrated_limit(1.0, 1e-6) < 0.025
    True
    """
    orders = 1 + np.geomspace(1e-3, 1e6, 20_000)

    def log_delta(rho: float) -> float:
        return float(((orders - 1) * (orders * rho - epsilon) - np.log(orders - 1) + orders * np.log1p(-1 / orders)).min())

    low, high = 0.0, epsilon + 1.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if log_delta(middle) <= math.log(delta) else (low, middle)
    return high  # from above: a plan solved on another grid of orders must not be flagged for the last digit


def _halved_gaussian(rho: float) -> tuple[float, float]:
    """Rates of the best event of a Gaussian mechanism whose noise is half of what rho needs, a quarter of the leak left unused."""
    from scipy.special import ndtr

    reach = math.sqrt(2 * 4 * 0.75 * rho) / 2
    return float(ndtr(reach)), float(ndtr(-reach))


def _gaussian_counts(setting: _Setting) -> list[MechanismResult]:
    """A histogram cell that a person's rows share, through ``noisy_counts``."""
    start, rho = time.process_time(), zero_concentrated_limit(setting.epsilon, DELTA)
    n = setting.runs(zero_concentrated_leak, rho, *_halved_gaussian(rho))
    scores = _noisy_cells(setting, rho, np.array([10 + ROWS_PER_PERSON]), np.array([10]), n)
    note = f"one cell of {10 + ROWS_PER_PERSON} rows against 10, {ROWS_PER_PERSON} rows per person"
    return [setting.result("discrete Gaussian counts", "rho", rho, zero_concentrated_leak, scores, start=start, note=note)]


def _bounds_purchase(setting: _Setting) -> list[MechanismResult]:
    """The histogram on the public grid from which bounds are bought; the person's value is far from all others."""
    start, rho = time.process_time(), zero_concentrated_limit(setting.epsilon, DELTA)
    column = Column(name="amount", kind="integer")
    others = np.arange(200) * 5
    histograms = [
        count_on_grid(pd.Series(values, dtype="Int64"), column) for values in (np.append(others, [10**6] * ROWS_PER_PERSON), others)
    ]
    cells = np.flatnonzero(histograms[0] != histograms[1])  # noise is independent: equal cells carry nothing
    n = setting.runs(zero_concentrated_leak, rho, *_halved_gaussian(rho))
    scores = _noisy_cells(setting, rho, histograms[0][cells], histograms[1][cells], n)
    note = f"one person of {ROWS_PER_PERSON} rows at 10^6 among 200 people below 10^3"
    return [setting.result("bounds purchase", "rho", rho, zero_concentrated_leak, scores, start=start, note=note)]


def _noisy_cells(setting: _Setting, rho: float, with_person: IntArray, without: IntArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Log-likelihood ratios of n noisy copies of the cells, with and without, through the real measurement."""
    touch = Touch(STAGE, "cells", DiscreteGaussian(noise_multiplier=1 / math.sqrt(2 * rho)))
    scores = []
    for counts in (with_person, without):
        with public_reservation([touch], Budget(epsilon=math.inf, delta=DELTA), noise=setting.noise) as reservation:
            noisy, sigma = noisy_counts(np.tile(counts, (n, 1)), "cells", reservation=reservation, max_rows_per_person=ROWS_PER_PERSON)
        scores.append((noisy - (with_person + without) / 2) @ (with_person - without) / sigma**2)
    return scores[0], scores[1]


def _laplace_counts(setting: _Setting) -> list[MechanismResult]:
    """A count of one against none."""
    start, epsilon = time.process_time(), setting.epsilon
    leak = _pure_leak
    n = setting.runs(leak, epsilon, 1 / (1 + math.exp(-1.7 * epsilon)), 1 / (1 + math.exp(1.7 * epsilon)))
    scores = [setting.noise.discrete_laplace(np.full(n, count), 1 / epsilon).astype(np.float64) for count in (1, 0)]
    note = "a count of 1 against 0"
    return [setting.result("discrete Laplace counts", "epsilon", epsilon, leak, (scores[0], scores[1]), start=start, note=note)]


def _pure_leak(low: float, high: float) -> float:
    return approximate_dp_leak(low, high, 0.0)


def _shared_categories(setting: _Setting) -> list[MechanismResult]:
    """Whether a category is shown that one person more or less has; every run is a category of its own in one call."""
    start, epsilon = time.process_time(), setting.epsilon
    leak = _pure_leak
    n = setting.runs(leak, epsilon, 1 / (1 + math.exp(-1.7 * epsilon)), 1 / (1 + math.exp(1.7 * epsilon)))
    threshold = selection_threshold(epsilon=epsilon, delta=SELECTION_DELTA, max_rows_per_person=1)
    # At the threshold noise decides: below it with and without differ by the whole of epsilon.
    scores = [_shown(setting, n, people) for people in (threshold, threshold - 1)]
    note = f"a category of {threshold} people against {threshold - 1}"
    return [setting.result("selection of shared categories", "epsilon", epsilon, leak, (scores[0], scores[1]), start=start, note=note)]


def _new_categories(setting: _Setting) -> list[MechanismResult]:
    """How often a category is shown that one person alone has: without that person it cannot be."""
    start = time.process_time()
    n = setting.n_runs or 4000
    shown = int(_shown(setting, n, 1).sum())
    low, _ = clopper_pearson(shown, n, confidence=2 * setting.confidence - 1)  # one-sided
    ceiling, _ = clopper_pearson(n, n, confidence=2 * setting.confidence - 1)
    result = MechanismResult(
        mechanism="selection of new categories",
        unit="delta",
        claimed=SELECTION_DELTA,
        lower_bound=low,
        ceiling=ceiling,
        confidence=setting.confidence,
        n_runs=n,
        seconds=time.process_time() - start,
        note="a category of 1 person against none",
    )
    return [result]


def _dp_sgd_step(setting: _Setting) -> list[MechanismResult]:
    """One step in which a person's gradient is as long as can be and nobody else has any; every run is a coordinate of one call.

    Audited at a delta that some thousand runs can see, and at ``_SGD_LARGEST_EPSILON`` at most: beyond, the event that shows epsilon is
    rarer than one in ten thousand. Half of the steps draw the person.
    """
    if find_spec("torch") is None:  # then no engine can take such a step either
        return []
    start, epsilon = time.process_time(), min(setting.epsilon, _SGD_LARGEST_EPSILON)

    def event(scale: float) -> list[Touch]:
        return [Touch("text", "step", PoissonSampledGaussian(noise_multiplier=scale, sampling_prob=_SGD_RATE, steps=1))]

    multiplier = calibrate(event, Budget(epsilon=epsilon, delta=SELECTION_DELTA))
    n = setting.n_runs or 8000
    scores = [_step_outputs(n, multiplier, person=person, noise=setting.noise) for person in (True, False)]

    def leak(low: float, high: float) -> float:
        return approximate_dp_leak(low, high, SELECTION_DELTA)

    note = f"a person drawn with probability {_SGD_RATE:g} against none, at delta={SELECTION_DELTA:g}"
    return [setting.result("DP-SGD step", "epsilon", epsilon, leak, (scores[0], scores[1]), start=start, note=note)]


def _step_outputs(n: int, multiplier: float, *, person: bool, noise: NoiseSource) -> FloatArray:
    """What n steps release in the direction of the person's gradient, shape (n,): drawn, clipped, summed and made noisy by real code."""
    import torch

    from privsynth.text.lora import clip_factors
    from privsynth.text.training import noisy_sum

    gradients = torch.full((n, 1), 1e6)
    clipped = (clip_factors(gradients, 1.0)[:, None] * gradients).double().numpy()[:, 0]
    drawn = noise.coins(n, _SGD_RATE) & person
    return noisy_sum(np.where(drawn, clipped, 0.0), max_norm=1.0, noise_multiplier=multiplier, noise=noise)


def _new_ngrams(setting: _Setting) -> list[MechanismResult]:
    """How often a key is shown that one person alone has, by the selection on Gaussian counts."""
    start = time.process_time()
    n = setting.n_runs or 4000
    multiplier = 1 / math.sqrt(2 * zero_concentrated_limit(setting.epsilon, DELTA))
    alone = np.arange(n)
    found = selected_counts(alone, alone[:, None], max_keys=1, noise_multiplier=multiplier, delta=SELECTION_DELTA, noise=setting.noise)
    low, _ = clopper_pearson(len(found.keys), n, confidence=2 * setting.confidence - 1)  # one-sided
    ceiling, _ = clopper_pearson(n, n, confidence=2 * setting.confidence - 1)
    result = MechanismResult(
        mechanism="selection of new n-grams",
        unit="delta",
        claimed=SELECTION_DELTA,
        lower_bound=low,
        ceiling=ceiling,
        confidence=setting.confidence,
        n_runs=n,
        seconds=time.process_time() - start,
        note="an n-gram of 1 person against none",
    )
    return [result]


def _shown(setting: _Setting, n: int, people: int) -> FloatArray:
    """1 for each of n categories of so many people that is selected, else 0, shape (n,)."""
    names = np.array([f"category {number}" for number in range(n)], dtype=object)
    selected = select_categories(
        pd.Series(np.repeat(names, people)),
        np.arange(n * people).astype(object),
        epsilon=setting.epsilon,
        delta=SELECTION_DELTA,
        max_rows_per_person=1,
        noise=setting.noise,
    )
    return np.isin(names.astype(str), np.array(selected, dtype=str)).astype(np.float64)


def _exponential_selection(setting: _Setting) -> list[MechanismResult]:
    """Two candidates whose scores one person moves in opposite directions."""
    start, epsilon = time.process_time(), setting.epsilon
    rate = 1 / (1 + math.exp(-epsilon))
    n = setting.runs(bounded_range_leak, epsilon, rate, 1 - rate)
    scores = [
        np.array([setting.noise.noisy_max(np.array(pair), epsilon=epsilon, sensitivity=1.0) for _ in range(n)], dtype=np.float64)
        for pair in ([10.0, 11.0], [11.0, 10.0])
    ]
    note = "two scores, 10 and 11 against 11 and 10"
    return [
        setting.result(
            "exponential selection", "log-odds range", epsilon, bounded_range_leak, (scores[0], scores[1]), start=start, note=note
        )
    ]


DRAWN = "tree"
"""The engine whose measurements are answered thousands of times; those of the others are added up."""


def _whole_fit(name: str, engine: Callable[[], Synthesizer]) -> Callable[[_Setting], list[MechanismResult]]:
    """The audit of one engine on raw rows of 5,000 people, one of whom has three equal rows far from all others."""

    def audit(setting: _Setting) -> list[MechanismResult]:
        start = time.process_time()
        ours, theirs, found = replayed_fit(engine(), Budget(epsilon=setting.epsilon, delta=DELTA), noise=setting.noise)
        decided = MechanismResult(
            mechanism=f"whole {name} fit: answers decide everything",
            unit="differences",
            claimed=0,
            lower_bound=len(found),
            ceiling=math.inf,
            confidence=1.0,
            n_runs=1,
            seconds=time.process_time() - start,
            note=f"same answers, differing: {', '.join(found)}" if found else f"{len(ours)} questions and the model are the same",
        )
        summed = _sum_of_measurements(name, setting, ours, theirs)
        # Drawing answers costs the same for every engine, and their noise comes from one source: one of them is enough.
        return [decided, summed, _composition(name, setting, ours, theirs)] if name == DRAWN else [decided, summed]

    return audit


def _sum_of_measurements(name: str, setting: _Setting, asked: Asked, neighbours: Asked) -> MechanismResult:
    """What all Gaussian measurements of the plan leak together, from what was asked: exact counts of both neighbours, and noise.

    A shift of d leaks rho = d^2 / (2 sigma^2) exactly where d is whole (Canonne, Kamath & Steinke 2020, arXiv:2004.00010, Proposition 5),
    and rho adds up. Choices and Laplace noise are left out, which can only make the sum smaller.
    """
    start, rho, measured = time.process_time(), 0.0, 0
    for (ours, _), (theirs, _) in zip(asked, neighbours, strict=False):
        if ours.kind == "gaussian":
            rho += float(((ours.values - theirs.values) ** 2).sum()) / (2 * ours.scale[0] ** 2)
            measured += 1
    return MechanismResult(
        mechanism=f"whole {name} fit: sum of measurements",
        unit="rho",
        claimed=zero_concentrated_limit(setting.epsilon, DELTA),
        lower_bound=rho,
        ceiling=math.inf,
        confidence=1.0,
        n_runs=1,
        seconds=time.process_time() - start,
        note=f"{measured} measurements with the noise that they asked for; that they get it is for the other audits",
    )


def _composition(name: str, setting: _Setting, asked: Asked, neighbours: Asked) -> MechanismResult:
    """All noisy counts of the plan together, each answered n times for both neighbours.

    Leaving out the choices, a small part of the plan's budget, is post-processing: the limit still holds. Drawing them one by one would
    take most of the time, and they are audited on their own.
    """
    start = time.process_time()
    rho = zero_concentrated_limit(setting.epsilon, DELTA)
    n = setting.runs(zero_concentrated_leak, rho, *_halved_gaussian(rho))
    scores_in, scores_out, informative = np.zeros(n), np.zeros(n), 0
    for (ours, _), (theirs, _) in zip(asked, neighbours, strict=False):
        if ours.kind == "choice" or np.array_equal(ours.values, theirs.values):
            continue
        informative += 1
        scores_in += _log_ratios(setting.noise, ours, theirs, ours, n)
        scores_out += _log_ratios(setting.noise, ours, theirs, theirs, n)
    counted = sum(question.kind != "choice" for question, _ in asked)
    note = f"{informative} of {counted} measurements differ by one person of {ROWS_PER_PERSON} measured rows among {PEOPLE}"
    return setting.result(
        f"whole {name} fit: all measurements", "rho", rho, zero_concentrated_leak, (scores_in, scores_out), start=start, note=note
    )


def _log_ratios(noise: NoiseSource, ours: Question, theirs: Question, asked: Question, n: int) -> FloatArray:
    """Log-likelihood ratios, ours over theirs, of n answers to the question asked, shape (n,); larger speaks for ours.

    Noise is independent from cell to cell, so cells with equal counts carry nothing and are not drawn.
    """
    cells = np.flatnonzero(ours.values.ravel() != theirs.values.ravel())
    (scale,) = asked.scale
    first, second = ours.values.ravel()[cells], theirs.values.ravel()[cells]
    tiled = np.tile(asked.values.ravel()[cells].astype(np.int64), (n, 1))
    if asked.kind == "gaussian":
        ratios: FloatArray = (noise.discrete_gaussian(tiled, scale) - (first + second) / 2) @ (first - second) / scale**2
        return ratios
    noisy = noise.discrete_laplace(tiled, scale)
    return np.asarray((np.abs(noisy - second) - np.abs(noisy - first)).sum(axis=1) / scale)


MECHANISMS: Mapping[str, Callable[[_Setting], list[MechanismResult]]] = {
    "discrete Gaussian counts": _gaussian_counts,
    "discrete Laplace counts": _laplace_counts,
    "bounds purchase": _bounds_purchase,
    "selection of shared categories": _shared_categories,
    "selection of new categories": _new_categories,
    "exponential selection": _exponential_selection,
    "DP-SGD step": _dp_sgd_step,
    "selection of new n-grams": _new_ngrams,
    **{f"whole {name} fit": _whole_fit(name, engine) for name, engine in ENGINES.items()},
}
"""The audits by name."""
