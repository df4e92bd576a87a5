"""How each column goes to SDV and comes back: a code or a float, by our schema and not by SDV's detection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import numbers
from privsynth.errors import SchemaError
from privsynth.schema import Column
from privsynth.tabular.encode import grid_start, numeric_cells, typed_numbers

LARGEST_EXACT = 2**53
"""Whole numbers up to here have a float64 of their own."""


class Codec(Protocol):
    """How one column goes to SDV and back."""

    @property
    def column(self) -> Column:
        """The column with its facts; those read off the data have source ``data``."""
        ...

    @property
    def sdtype(self) -> str:
        """SDV's name for what it is shown."""
        ...

    def encode(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """What SDV is shown, shape (n,)."""
        ...

    def decode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values typed as ``dataset.py`` says, inside the column's facts."""
        ...


@dataclass(frozen=True, kw_only=True)
class CategoryCodec:
    """Categories and truth values as ``k0, k1, ...``; null is a category of its own, the last."""

    column: Column
    sdtype: ClassVar[str] = "categorical"

    @property
    def categories(self) -> tuple[str, ...]:
        """The values in code order; truth values are "false" and "true"."""
        return ("false", "true") if self.column.kind == "boolean" else self.column.categories or ()

    def encode(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """Code of each value, shape (n,)."""
        nulls = values.isna().to_numpy(dtype=bool)
        if self.column.kind == "boolean":
            codes = values.fillna(False).to_numpy(dtype=bool).astype(np.int64)
        else:
            codes = pd.Index(list(self.categories), dtype=object).get_indexer(pd.Index(values.to_numpy(dtype=object))).astype(np.int64)
            unknown = (codes < 0) & ~nulls
            if unknown.any():
                raise SchemaError(f"column {self.column.name!r}: {int(unknown.sum())} values are outside its categories; correct them")
        codes = np.where(nulls, len(self.categories), codes)
        return np.array([f"k{code}" for code in range(len(self.categories) + 1)], dtype=object)[codes]

    def decode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """The category of each code."""
        codes = values.astype(str).str.removeprefix("k").to_numpy(dtype=object).astype(np.int64)
        if self.column.kind == "boolean":
            return pd.Series(pd.arrays.BooleanArray(codes == 1, codes > 1))
        return pd.Series(np.array([*self.categories, None], dtype=object)[codes], dtype=object)


@dataclass(frozen=True, kw_only=True)
class NumberCodec:
    """Integers, decimals and datetimes (in seconds since 1970) as floats; NaN is null. Its column has bounds."""

    column: Column
    sdtype: ClassVar[str] = "numerical"

    def encode(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """The values as float64, shape (n,)."""
        return numbers(values, self.column)

    def decode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values on the column's grid; beyond its bounds, the nearest bound."""
        plain = values.to_numpy(dtype=np.float64)
        nulls = np.isnan(plain)
        last = int(numeric_cells(self.column).edges[-1]) - 1
        steps = (np.where(nulls, 0.0, plain) - grid_start(self.column)) / self.column.step
        return typed_numbers(self.column, np.rint(np.clip(steps, 0, last)).astype(np.int64), nulls)


def codec_of(column: Column, values: pd.Series[Any]) -> Codec:
    """The codec of a column; facts that nobody declared are read off the data and say so."""
    if not column.is_numeric:
        if column.undeclared == "categories":
            found = tuple(sorted({str(value) for value in values.dropna()}))
            column = column.with_fact(source="data", categories=found)
        return CategoryCodec(column=column)
    if column.undeclared == "bounds":
        plain = numbers(values, column)
        low, high = float(np.nanmin(plain)), float(np.nanmax(plain))
        column = column.with_fact(source="data", bounds=(low, max(high, low + column.step)))
    return NumberCodec(column=column)


def require_representable(columns: Iterable[Column], frame: pd.DataFrame) -> None:
    """Refuse what SDV would change without a word.

    Raises:
        SchemaError: A column holds infinities or whole numbers beyond 2**53, or there are fewer than two rows.
    """
    if len(frame) < 2:
        raise SchemaError(f"rows={len(frame)}; SDV would release the only row as it is: expected many people")
    for column in columns:
        values = frame[column.name]
        if column.kind == "integer":
            count = int(((values > LARGEST_EXACT) | (values < -LARGEST_EXACT)).fillna(False).sum())
            if count:
                raise SchemaError(
                    f"column {column.name!r}: {count} whole numbers are beyond 2**53, which SDV cannot hold exactly; "
                    'use kind = "identifier" if it numbers things, or another engine'
                )
        elif column.kind == "decimal" and (count := int(np.isinf(numbers(values, column)).sum())):
            raise SchemaError(f"column {column.name!r}: {count} values are infinite, which SDV would turn into nulls; correct them")
