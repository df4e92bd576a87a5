"""Latent normal variables: what each decides of a column, how it is cut, and the scores of its places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privsynth.tabular.binning import project_to_simplex
from privsynth.tabular.encode import NumericCells
from privsynth.tabular.prepare import CodedColumn

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

SMALLEST_SHARE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """A normal variable cut into pieces, known by their place.

    It has the two methods that SDV's copula asks of a marginal.

    Attributes:
        shares: Probability of each place, shape (size,); each above 0, together 1.
    """

    shares: FloatArray

    @property
    def cuts(self) -> FloatArray:
        """Where the latent normal variable is cut, -inf and inf included, shape (size + 1,)."""
        from scipy import stats

        inner = stats.norm.ppf(np.clip(np.cumsum(self.shares)[:-1], 0.0, 1.0))
        return np.concatenate([[-np.inf], inner, [np.inf]])

    @property
    def scores(self) -> FloatArray:
        """Mean of the latent normal variable at each place, shape (size,); the mean over all rows is 0."""
        return np.asarray(-np.diff(normal_density(self.cuts)) / self.shares)

    @property
    def variance(self) -> float:
        """Variance of the scores, in [0, 1): the share of the latent variable's that its cutting leaves."""
        return float(self.shares @ self.scores**2)

    def cdf(self, places: npt.ArrayLike) -> FloatArray:
        """Middle of the place's probability mass, shape of ``places``."""
        middle = np.cumsum(self.shares) - self.shares / 2
        return np.asarray(middle[np.clip(np.rint(np.asarray(places, dtype=np.float64)), 0, len(middle) - 1).astype(np.int64)])

    def percent_point(self, quantiles: npt.ArrayLike) -> FloatArray:
        """Place that holds each quantile in [0, 1], as float64."""
        upper = np.cumsum(self.shares)
        return np.asarray(np.searchsorted(upper[:-1], np.asarray(quantiles, dtype=np.float64), side="right"), dtype=np.float64)


def normal_density(cuts: FloatArray) -> FloatArray:
    """Standard normal density, 0 at infinity."""
    return np.asarray(np.exp(-(cuts**2) / 2) / math.sqrt(2 * math.pi))


@dataclass(frozen=True, kw_only=True)
class Latent:
    """What one latent normal variable decides: the value of a column, or whether it has one.

    Attributes:
        column: Number of the column.
        marginal: How the variable is cut.
        order: Code at each place, shape (size,): bins as they lie on the number line, categories by falling share. None: the variable
            says whether the column is null (place 1).
        null_code: The column's code of null, where that has a variable of its own.
    """

    column: int
    marginal: Marginal
    order: IntArray | None
    null_code: int | None = None

    def places(self, codes: IntArray) -> IntArray:
        """Place of each code, shape (n,); for the value of a null, the middle of the marginal."""
        if self.order is None:
            return np.asarray(codes == self.null_code, dtype=np.int64)
        middle = int(self.marginal.percent_point(0.5))
        place_of_code = np.full(int(self.order.max()) + 2, middle, dtype=np.int64)  # the last entry stands for null
        place_of_code[self.order] = np.arange(len(self.order))
        return place_of_code[np.minimum(codes, len(place_of_code) - 1)]

    def scores(self, codes: IntArray) -> FloatArray:
        """Normal score of each code, shape (n,); 0 for the value of a null."""
        scores = self.marginal.scores[self.places(codes)]
        return scores if self.order is None or self.null_code is None else np.where(codes == self.null_code, 0.0, scores)


def latents_of(number: int, column: CodedColumn) -> tuple[Latent, ...]:
    """The latent variables of a column, from its projected noisy one-way marginal.

    An empty code keeps a trace of probability, so that scores are finite.
    """
    total = max(float(column.one_way.sum()), 1.0)
    shares = project_to_simplex(column.one_way, total) / total + SMALLEST_SHARE
    shares = shares / shares.sum()
    if not isinstance(column.cells, NumericCells):
        order = np.argsort(-shares, kind="stable").astype(np.int64)
        return (Latent(column=number, marginal=Marginal(shares=shares[order]), order=order),)
    order = np.arange(column.size, dtype=np.int64)
    null_code = _code_of_null(column)
    if null_code is None:
        return (Latent(column=number, marginal=Marginal(shares=shares), order=order),)
    values, gone = shares[:-1], float(shares[-1])
    return (
        Latent(column=number, marginal=Marginal(shares=values / values.sum()), order=order[:-1], null_code=null_code),
        Latent(column=number, marginal=Marginal(shares=np.array([1 - gone, gone])), order=None, null_code=null_code),
    )


def _code_of_null(column: CodedColumn) -> int | None:
    """The last code of a numeric column, if null has it for itself and there are values beside it."""
    code = int(column.binning.bin_of_cell[-1])
    alone = column.cells.column.nullable and int(column.binning.cells_per_bin[code]) == 1
    return code if alone and 1 <= code == column.size - 1 else None


def present_shares(latents: Sequence[Latent]) -> FloatArray:
    """Share of rows in which each variable is seen, shape (n_latents,): below 1 for values of columns with nulls."""
    null_shares = {latent.column: float(latent.marginal.shares[1]) for latent in latents if latent.order is None}
    return np.array([1.0 if latent.order is None else 1.0 - null_shares.get(latent.column, 0.0) for latent in latents])
