"""Counts of tokens and n-grams under the guarantee of a person.

A person counts once for each distinct key (a token, or an n-gram, with a label or without), and for at most ``max_keys`` keys of one order,
chosen by coins. So adding or removing a person moves at most ``max_keys`` counts by 1 each: by sqrt(max_keys) in L2, which the
Gaussian noise is scaled to. The keys themselves are private where no public list of them exists: then a key is shown only if its noisy
count reaches a threshold that a key of one person alone hardly ever reaches (``selection_threshold``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privsynth.errors import PlanError
from privsynth.privacy import NoiseSource
from privsynth.text.base import limit_per_group

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SHOWN_DEVIATIONS = 3.0
"""Single tokens count above this many standard deviations of the noise: below lies mostly noise of tokens that nobody used."""

SMALLEST_REST = 0.02
"""Least probability of all tokens together that are lost in noise: they must stay possible."""


@dataclass(frozen=True)
class Counts:
    """Keys and their noisy counts.

    Attributes:
        keys: One row of token numbers per key, shape (n_keys, order); with a label its number comes first.
        counts: Noisy counts, shape (n_keys,).
        sigma: Standard deviation of the noise; 0 if there is none.
    """

    keys: IntArray
    counts: IntArray
    sigma: float


def selection_threshold(*, sigma: float, delta: float, max_keys: int) -> int:
    """Smallest noisy count at which a key may be shown.

    A key that one person alone has counts 1, and there are at most ``max_keys`` of them. One is shown with probability
    P[Z >= T - 1] <= P[N(0, sigma^2) >= T - 2] (Canonne, Kamath & Steinke 2020, arXiv:2004.00010, Proposition 25), any of them with at
    most max_keys times that, which the smallest such T makes at most ``delta``.

    >>> selection_threshold(sigma=10.0, delta=1e-6, max_keys=20)
    56
    """
    from scipy.special import ndtri

    return 2 + max(0, math.ceil(-sigma * float(ndtri(delta / max_keys))))


def token_counts(
    persons: IntArray, tokens: IntArray, *, vocabulary: int, max_keys: int, noise_multiplier: float, noise: NoiseSource
) -> Counts:
    """Noisy counts of people per token of a public vocabulary, every token shown.

    Args:
        persons: Person behind each token, shape (n,).
        tokens: Token numbers, shape (n,).
        vocabulary: Its size.
        max_keys: Most distinct tokens of a person that count.
        noise_multiplier: Noise over the sensitivity sqrt(max_keys); 0 adds none.
        noise: Where noise and coins come from.
    """
    _, keys = _capped(persons, tokens[:, None], max_keys=max_keys, noise=noise)
    exact = np.bincount(keys[:, 0], minlength=vocabulary).astype(np.int64)
    sigma = noise_multiplier * math.sqrt(max_keys)
    noisy = noise.discrete_gaussian(exact, sigma) if sigma else exact
    return Counts(np.arange(vocabulary, dtype=np.int64)[:, None], noisy, sigma)


def token_shares(table: Counts, rest: FloatArray, *, excluded: int | None = None) -> FloatArray:
    """Probability of each token, shape (vocabulary,): post-processing of its noisy counts.

    The sum of all noisy counts is unbiased, so what tokens above the noise leave of it is the probability of the others together.

    Args:
        table: From ``token_counts``.
        rest: Public weights by which tokens lost in noise share what is left, shape (vocabulary,).
        excluded: A token of probability 0.
    """
    counts = table.counts.astype(np.float64).copy()
    if excluded is not None:
        counts[excluded] = 0.0
    shown = np.where(counts > SHOWN_DEVIATIONS * table.sigma, counts, 0.0)
    total = max(float(counts.sum()), float(shown.sum()) / (1 - SMALLEST_REST), 1.0)
    rest = np.where(shown > 0, 0.0, rest)
    if not rest.any():
        return np.asarray(shown / shown.sum())
    return np.asarray(shown / total + (1 - float(shown.sum()) / total) * rest / rest.sum())


def selected_counts(
    persons: IntArray, keys: IntArray, *, max_keys: int, noise_multiplier: float, delta: float, noise: NoiseSource
) -> Counts:
    """Noisy counts of people per key, for keys that pass the threshold, in the order of their numbers.

    Args:
        persons: Person behind each key, shape (n,).
        keys: Rows of numbers, shape (n, order).
        max_keys: Most distinct keys of a person that count.
        noise_multiplier: Noise over the sensitivity sqrt(max_keys); 0 adds none and selects nothing out.
        delta: Chance that a key of one person alone is shown.
        noise: Where noise and coins come from.
    """
    _, kept = _capped(persons, keys, max_keys=max_keys, noise=noise)
    distinct, exact = np.unique(kept, axis=0, return_counts=True)
    exact = exact.astype(np.int64)
    sigma = noise_multiplier * math.sqrt(max_keys)
    if not sigma:
        return Counts(distinct, exact, 0.0)
    noisy = noise.discrete_gaussian(exact, sigma) if len(exact) else exact
    shown = noisy >= selection_threshold(sigma=sigma, delta=delta, max_keys=max_keys)
    return Counts(distinct[shown], noisy[shown], sigma)


def _capped(persons: IntArray, keys: IntArray, *, max_keys: int, noise: NoiseSource) -> tuple[IntArray, IntArray]:
    """Distinct (person, key) pairs, at most ``max_keys`` of each person."""
    if max_keys < 1:
        raise PlanError(f"max_keys={max_keys!r}; expected at least 1")
    pairs = np.unique(np.column_stack([persons, keys]), axis=0)
    pairs = pairs[limit_per_group(pairs[:, 0], max_keys, noise=noise)]
    return pairs[:, 0], pairs[:, 1:]
