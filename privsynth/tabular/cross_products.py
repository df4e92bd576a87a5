"""Sums of products of clipped scores, and the latent correlations that explain them; ``copula.py`` has the proof of the sensitivity."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from privsynth.tabular.latents import Marginal, normal_density

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

GRID = 2**10
"""Steps per unit of a normal score."""

LARGEST_CORRELATION = 0.995
HERMITE_TERMS = 60
HALVINGS = 40
PROJECTIONS = 100
CHUNK_ROWS = 2**16


def squared_length_limit(expected: float) -> float:
    """Limit on a row's sum of squared scores, when ``expected`` is its mean.

    Three standard deviations above the mean of a chi-squared variable with that many degrees of freedom: few rows are clipped.

    >>> squared_length_limit(8.0)
    20.0
    """
    return expected + 3 * math.sqrt(2 * expected)


def pair_sensitivity(squared_length: float, n_columns: int) -> float:
    """L2 length of all products of pairs of one row whose sum of squares is at most ``squared_length``; see the module.

    >>> pair_sensitivity(4.0, 2)
    2.0
    """
    return squared_length * math.sqrt((1 - 1 / n_columns) / 2)


def whole_scores(scores: FloatArray, limit: int) -> IntArray:
    """Scores on the grid of ``1 / GRID``, each row clipped to a sum of squares of at most ``limit``, shape (n_rows, n_columns).

    Args:
        scores: Normal scores, shape (n_rows, n_columns).
        limit: In squared grid steps.
    """
    lengths = np.sqrt((scores**2).sum(axis=1)) * GRID
    shrink = np.minimum(1.0, math.sqrt(limit) / np.maximum(lengths, 1e-300))
    # Towards zero: rounding never lengthens a row.
    whole: IntArray = np.trunc(scores * GRID * shrink[:, None]).astype(np.int64)
    # Floating point may still leave a row one step too long; such a row counts as zero, so that the proof has no gap.
    whole[(whole**2).sum(axis=1) > limit] = 0
    return whole


def cross_products(whole: IntArray) -> IntArray:
    """Sum over rows of k_i k_j for all pairs i < j, in the order of ``np.triu_indices``; exact."""
    n_columns = whole.shape[1]
    total = np.zeros((n_columns, n_columns), dtype=np.int64)
    for start in range(0, len(whole), CHUNK_ROWS):
        part = whole[start : start + CHUNK_ROWS].astype(np.float64)
        total += (part.T @ part).astype(np.int64)  # whole numbers below 2**53: float64 holds every sum exactly
    return total[np.triu_indices(n_columns, 1)]


def shrunk(moments: FloatArray, spread: FloatArray) -> FloatArray:
    """Moments moved towards 0 as far as noise of standard deviation ``spread`` explains them; all of shape (n_pairs,).

    The factor max(0, 1 - spread^2 / moment^2) is James & Stein's (1961), positive part, for each moment on its own.
    """
    squares = np.maximum(moments**2, 1e-300)
    return np.asarray(moments * np.maximum(0.0, 1.0 - spread**2 / squares))


def hermite_coefficients(marginal: Marginal) -> FloatArray:
    """Coefficients of the column's scores in normalised Hermite polynomials of orders 1 to ``HERMITE_TERMS``, shape (terms,).

    For a step function s with the cuts a and the normal density f,
    E[s(Z) h_k(Z)] = sum over codes of s (h_{k-1}(a_low) f(a_low) - h_{k-1}(a_high) f(a_high)) / sqrt(k).
    """
    cuts, density = marginal.cuts, normal_density(marginal.cuts)
    finite = np.where(np.isfinite(cuts), cuts, 0.0)  # multiplied by a density of 0
    before, current = np.zeros_like(finite), np.ones_like(finite)
    coefficients = np.zeros(HERMITE_TERMS)
    for k in range(1, HERMITE_TERMS + 1):
        coefficients[k - 1] = -(marginal.scores @ np.diff(current * density)) / math.sqrt(k)
        before, current = current, (finite * current - math.sqrt(k - 1) * before) / math.sqrt(k)
    return coefficients


def moments_at(correlations: FloatArray, products: FloatArray) -> FloatArray:
    """Mean product of two columns' scores at latent correlations in (-1, 1), shape (n_pairs,).

    E[s_i s_j] = sum over k of rho^k c_ik c_jk (Mehler 1866).

    Args:
        correlations: One for each pair, shape (n_pairs,).
        products: c_ik c_jk, from ``hermite_coefficients`` of both columns, shape (n_pairs, terms).
    """
    value = np.zeros_like(correlations)
    for of_order in products.T[::-1]:
        value = (value + of_order) * correlations
    return value


def latent_correlations(moments: FloatArray, products: FloatArray) -> FloatArray:
    """Correlations of the latent normal variables at which the cut scores have these moments, shape (n_pairs,).

    ``moments_at`` increases with the correlation because scores increase with the variable (Slepian 1962): found by halving.

    Args:
        moments: Mean products of scores, shape (n_pairs,).
        products: As for ``moments_at``.
    """
    low = np.full(len(moments), -LARGEST_CORRELATION)
    high = -low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = moments_at(middle, products) < moments
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(moments == 0, 0.0, (low + high) / 2)


def nearest_correlation(matrix: FloatArray) -> FloatArray:
    """The nearest matrix, in L2, with unit diagonal and no negative eigenvalue (Higham 2002, algorithm 3.3), shape as given.

    Alternating projections with Dykstra's correction; the last step makes the diagonal exactly 1.
    """
    current, correction = matrix.copy(), np.zeros_like(matrix)
    for _ in range(PROJECTIONS):
        values, vectors = np.linalg.eigh(current - correction)
        positive = (vectors * np.maximum(values, 0.0)) @ vectors.T
        correction = positive - (current - correction)
        current = positive.copy()
        np.fill_diagonal(current, 1.0)
        if np.abs(current - positive).max() < 1e-9:
            break
    values, vectors = np.linalg.eigh(current)
    positive = (vectors * np.maximum(values, 1e-9)) @ vectors.T
    spread = np.sqrt(np.diag(positive))
    unit = positive / np.outer(spread, spread)
    return np.asarray((unit + unit.T) / 2)
