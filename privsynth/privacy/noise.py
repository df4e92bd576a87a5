"""Where randomness that protects people comes from.

Counts get exact discrete noise and selections an exact noisy maximum, both by OpenDP, which draws from the
operating system (Mironov 2012 shows why floating-point noise on released values is not private). Coins for
the split come from the operating system too. Nothing here can be seeded: reproducible noise can be
subtracted. Tests pass a fake ``NoiseSource`` instead.

Training a network by DP-SGD is the one exception to exact noise: its gradients are no integers. ``normals`` are floating-point numbers,
from AES-256 in counter mode under a fresh key of the operating system. Each is the sum of several draws, so that recovering the bits
behind one takes solving for all of them (Holohan & Braghin 2021, arXiv:2107.10138), and its user puts the noisy sum on a grid. What is
left of the risk is said where such a figure is printed.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NORMAL_DRAWS = 4
"""Independent normal draws that are summed for one value of ``normals``."""

NORMAL_CHUNK = 2**16
"""Values of ``normals`` that are made at once: their temporary arrays stay in the cache."""

SCORE_GRID = 2.0**-10
"""Scores of a selection are rounded to this grid, so that the released index depends on exact integers only."""


class NoiseSource(Protocol):
    """Randomness that a guarantee rests on."""

    def discrete_gaussian(self, counts: IntArray, sigma: float) -> IntArray:
        """Counts plus independent discrete Gaussian noise of scale ``sigma``, same shape."""
        ...

    def discrete_laplace(self, counts: IntArray, scale: float) -> IntArray:
        """Counts plus independent discrete Laplace noise of scale ``scale``, same shape."""
        ...

    def noisy_max(self, scores: FloatArray, *, epsilon: float, sensitivity: float) -> int:
        """Index of one candidate, higher scores likelier, by the exponential mechanism at ``epsilon``.

        ``sensitivity`` is the largest change of any one score when one person is added or removed.
        """
        ...

    def coins(self, n: int, rate: float) -> BoolArray:
        """``n`` independent coins that show True with probability ``rate``, shape (n,)."""
        ...

    def normals(self, n: int) -> FloatArray:
        """``n`` independent standard normal values for DP-SGD, shape (n,)."""
        ...


class SystemNoise:
    """The default source: OpenDP's exact samplers and the operating system's generator."""

    def discrete_gaussian(self, counts: IntArray, sigma: float) -> IntArray:
        """Counts plus exact discrete Gaussian noise."""
        return _apply(_measurement("gaussian", sigma), counts)

    def discrete_laplace(self, counts: IntArray, scale: float) -> IntArray:
        """Counts plus exact discrete Laplace noise."""
        return _apply(_measurement("laplace", scale), counts)

    def noisy_max(self, scores: FloatArray, *, epsilon: float, sensitivity: float) -> int:
        """The exponential mechanism as OpenDP's noisy max with Gumbel noise.

        Scores are rounded to ``SCORE_GRID`` first. Rounding moves two neighbouring scores apart by at most
        one grid step more, which is added to the sensitivity. Sampling with Gumbel noise of scale
        2 * sensitivity / epsilon is the exponential mechanism (non-monotonic scores).
        """
        steps = np.rint(np.asarray(scores, dtype=np.float64) / SCORE_GRID).astype(np.int64)
        scale = 2 * (math.ceil(sensitivity / SCORE_GRID) + 1) / epsilon
        return int(_noisy_max(scale)(steps.tolist()))

    def coins(self, n: int, rate: float) -> BoolArray:
        """Coins from 64 bits of the operating system each; the rate is exact to 2**-53."""
        bits = np.frombuffer(secrets.token_bytes(8 * n), dtype=np.uint64)
        return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 < rate)

    def normals(self, n: int) -> FloatArray:
        """Sums of ``NORMAL_DRAWS`` Box-Muller values over the root of their number, from a stream under a fresh key."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        stream = Cipher(algorithms.AES256(secrets.token_bytes(32)), modes.CTR(bytes(16))).encryptor()
        values = np.empty(n)
        for start in range(0, n, NORMAL_CHUNK):
            size = min(NORMAL_CHUNK, n - start)
            uniform = np.frombuffer(stream.update(bytes(8 * NORMAL_DRAWS * 2 * ((size + 1) // 2))), dtype=np.uint64)
            pairs = ((uniform >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(NORMAL_DRAWS, 2, -1)
            radius, angle = np.sqrt(-2 * np.log1p(-pairs[:, 0])), 2 * np.pi * pairs[:, 1]
            both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)  # (draws, size or size + 1)
            values[start : start + size] = both.sum(axis=0)[:size] / math.sqrt(NORMAL_DRAWS)
        return values


def _apply(measurement: Callable[[list[int]], list[int]], counts: IntArray) -> IntArray:
    flat = np.asarray(counts, dtype=np.int64).ravel()
    return np.asarray(measurement(flat.tolist()), dtype=np.int64).reshape(np.shape(counts))


@lru_cache(maxsize=1)
def _opendp() -> Any:
    """OpenDP, imported on use: it takes a second and 40 MB."""
    import opendp.prelude as opendp

    opendp.enable_features("contrib")
    return opendp


@lru_cache(maxsize=256)
def _measurement(family: str, scale: float) -> Callable[[list[int]], list[int]]:
    dp = _opendp()
    domain = dp.vector_domain(dp.atom_domain(T=dp.i64))
    if family == "gaussian":
        measurement: Callable[[list[int]], list[int]] = dp.m.make_gaussian(domain, dp.l2_distance(T=dp.f64), scale)
    else:
        measurement = dp.m.make_laplace(domain, dp.l1_distance(T=dp.i64), scale)
    return measurement


@lru_cache(maxsize=256)
def _noisy_max(scale: float) -> Callable[[list[int]], int]:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T=dp.i64)), dp.linf_distance(T=dp.i64)
    # zCDP output measure: Gumbel noise, whose maximum is the exponential mechanism.
    measurement: Callable[[list[int]], int] = dp.m.make_noisy_max(*space, dp.zero_concentrated_divergence(), scale)
    return measurement
