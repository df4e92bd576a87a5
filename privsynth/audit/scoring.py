"""Scores of predictions on many resamples of people at once: area under the ROC curve, share of variance, bootstrap.

A resample is a row of weights, so that a model is fitted once and scored hundreds of times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.uint16]
Interval = tuple[float, float]

_BLOCK_CELLS = 1 << 22


def bootstrap_weights(units: npt.NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator) -> Counts:
    """How often each holdout row occurs in each resample of people, shape (1 + n_bootstrap, n_rows); the first row is all ones."""
    people, person = np.unique(units.astype(str), return_inverse=True)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=n_bootstrap)
    counts = drawn.astype(np.uint16)  # the matrix is the largest thing here: a quarter of its size
    return np.vstack([np.ones((1, len(units)), dtype=np.uint16), counts[:, person]])


def percentile_interval(replicates: FloatArray, confidence: float) -> Interval:
    """Percentile interval of the resamples; a resample without both classes says nothing and is left out."""
    low, high = np.nanquantile(replicates[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def score_in_blocks(actual: FloatArray, n_classes: int, predictions: FloatArray, weights: Counts) -> FloatArray:
    """``score`` over all resamples, so many at a time that a block of weights stays near 32 MiB."""
    at_once = max(1, _BLOCK_CELLS // weights.shape[1])
    starts = range(0, len(weights), at_once)
    return np.concatenate([score(actual, n_classes, predictions, weights[start : start + at_once].astype(np.float64)) for start in starts])


def score(actual: FloatArray, n_classes: int, predictions: FloatArray, weights: FloatArray) -> FloatArray:
    """The metric under each row of weights, shape (n_weights,)."""
    if not n_classes:
        return r_squared(actual, predictions[:, 0], weights)
    scored = range(1, 2) if n_classes == 2 else range(n_classes)
    per_class = [
        roc_auc(predictions[:, code], actual == code, weights) for code in scored if 0 < np.count_nonzero(actual == code) < len(actual)
    ]
    stacked = np.vstack(per_class)
    measured = ~np.isnan(stacked)
    total = np.where(measured, stacked, 0.0).sum(axis=0)
    mean: FloatArray = np.divide(total, measured.sum(axis=0), out=np.full(len(total), np.nan), where=measured.any(axis=0))
    return mean


def roc_auc(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve under each row of weights: the chance that a positive outranks a negative, ties one half.

    Args:
        scores: Shape (n_rows,); higher means "more likely positive".
        positive: Shape (n_rows,).
        weights: Row weights, 0 or more, shape (n_weights, n_rows).

    Returns:
        Shape (n_weights,), in [0, 1]; NaN where positives or negatives have no weight.

    >>> roc_auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]), np.ones((1, 4)))
    array([0.875])
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    first_of_tie = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    positives = np.add.reduceat(weights[:, order] * positive[order], first_of_tie, axis=1)  # (n_weights, n_distinct)
    negatives = np.add.reduceat(weights[:, order] * ~positive[order], first_of_tie, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    area: FloatArray = np.divide((positives * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return area


def r_squared(actual: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of the variance explained under each row of weights.

    Args:
        actual: Shape (n_rows,).
        predicted: Shape (n_rows,).
        weights: Row weights, 0 or more, shape (n_weights, n_rows).

    Returns:
        Shape (n_weights,), in (-inf, 1]; NaN where the weighted values do not vary.

    >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]), np.ones((1, 3)))
    array([0.])
    """
    mean = weights @ actual / weights.sum(axis=1)
    residual = weights @ (actual - predicted) ** 2
    # around the weighted mean directly: the difference of squares cancels for dates
    spread = (weights * (actual - mean[:, None]) ** 2).sum(axis=1)
    unexplained: FloatArray = np.divide(residual, spread, out=np.full(len(weights), np.nan), where=spread > 0)
    return 1.0 - unexplained
