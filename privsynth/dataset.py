"""Typed frames with the schema they satisfy, and the split that keeps a person on one side.

A frame is checked and typed once, at the border (``conform``); rooms trust what they are given. The
representation is fixed by kind:

=============  ==========================================================
categorical    object: str, None for null
integer        Int64, exact to 2**63
decimal        float64, NaN for null
datetime       datetime64[s] in UTC, NaT for null (years 1 to 9999 fit)
boolean        boolean
text           object: str, None for null
identifier     object: str, None for null
=============  ==========================================================
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import SchemaError
from privsynth.privacy.noise import NoiseSource
from privsynth.schema import ROW, Column, Schema, Table

Role = Literal["confidential", "train", "holdout", "synthetic"]
ViolationPolicy = Literal["stop", "clip"]

_DTYPES: Mapping[str, str] = {
    "categorical": "object",
    "text": "object",
    "identifier": "object",
    "integer": "Int64",
    "decimal": "float64",
    "datetime": "datetime64[s]",
    "boolean": "boolean",
}
_FIRST_SECOND, _LAST_SECOND = (int(np.datetime64(moment, "s").astype(np.int64)) for moment in ("0001-01-01", "9999-12-31T23:59:59"))
_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Frames by table name, the schema they satisfy, and what part of the data they are."""

    tables: Mapping[str, pd.DataFrame]
    schema: Schema
    role: Role

    @property
    def table(self) -> Table:
        """The only table.

        Raises:
            SchemaError: There are several.
        """
        if len(self.schema.tables) != 1:
            raise SchemaError(f"tables={len(self.schema.tables)}; this step takes one table: related tables are not supported yet")
        return self.schema.tables[0]

    @property
    def frame(self) -> pd.DataFrame:
        """The frame of the only table."""
        return self.tables[self.table.name]

    def units(self) -> npt.NDArray[np.object_]:
        """The person behind each row of the only table, shape (n_rows,); the row number when one row is one person."""
        if self.schema.privacy_unit == ROW:
            return np.arange(len(self.frame)).astype(object)
        return self.frame[self.schema.privacy_unit].to_numpy(dtype=object)

    def identities(self) -> list[str]:
        """What recognises the people of the only table in another file: their ids, or the content of their row."""
        if self.schema.privacy_unit == ROW:
            return [str(value) for value in pd.util.hash_pandas_object(self.frame.astype(str), index=False)]
        return [str(unit) for unit in pd.unique(self.units())]

    def count_units(self) -> int:
        """How many people the only table holds."""
        return len(pd.unique(self.units()))

    def select(self, keep: npt.NDArray[np.bool_], *, role: Role) -> Dataset:
        """The rows where ``keep`` is true, shape (n_rows,), as a dataset of another role."""
        frame = self.frame.loc[keep].reset_index(drop=True)
        return replace(self, tables={self.table.name: frame}, role=role)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Train, and a holdout in two parts: one for the audits, one for utility scores that a person may tune on.

    ``insecure`` marks a fixed permutation (benchmarks), whose output must not be released.
    """

    train: Dataset
    holdout: Dataset
    tuning: Dataset
    pool_rate: float
    insecure: bool = False


TUNING_RATE = 0.3
"""Share of the held-out people that serves utility scores; the rest serves audits, once."""


def split_by_unit(dataset: Dataset, *, pool_rate: float, noise: NoiseSource) -> Split:
    """Split people by independent coins.

    Each person enters the audit pool with probability ``pool_rate`` (a public number), and each member of the pool goes to the
    holdout with probability one half, so that holdout and train members of the pool are exchangeable.
    A third coin gives ``TUNING_RATE`` of the held-out people to utility scores.
    """
    units, person = np.unique(dataset.units().astype(str), return_inverse=True)
    n = len(units)
    held_out = noise.coins(n, pool_rate) & noise.coins(n, 0.5)
    for_tuning = held_out & noise.coins(n, TUNING_RATE)
    return Split(
        train=dataset.select(~held_out[person], role="train"),
        holdout=dataset.select((held_out & ~for_tuning)[person], role="holdout"),
        tuning=dataset.select(for_tuning[person], role="holdout"),
        pool_rate=pool_rate,
    )


def benchmark_split(dataset: Dataset) -> Split:
    """The fixed 80/20 permutation that published figures use; anyone who knows it knows who was held out."""
    order = np.random.RandomState(0).permutation(len(dataset.frame))
    keep = np.zeros(len(order), dtype=bool)
    keep[order[: int(0.8 * len(order))]] = True
    holdout = dataset.select(~keep, role="holdout")
    return Split(train=dataset.select(keep, role="train"), holdout=holdout, tuning=holdout, pool_rate=0.4, insecure=True)


def fingerprint(frame: pd.DataFrame, key: bytes) -> str:
    """Keyed digest of a frame's content and column order (HMAC-SHA256, hex); reveals nothing without the key."""
    digest = hmac.new(key, "\x1f".join(map(str, frame.columns)).encode(), hashlib.sha256)
    digest.update(pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()


def conform(
    frame: pd.DataFrame, schema: Schema, table: Table, *, on_violation: ViolationPolicy = "stop"
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Type a frame as the table says and check it against every declared fact.

    Args:
        frame: Raw frame; it is not changed. Columns may come in any order.
        schema: Says which column identifies a person.
        table: The public facts.
        on_violation: ``stop`` refuses values outside declared bounds or categories; ``clip`` moves numbers to the
            nearest bound and sets unknown categories to null.

    Returns:
        The typed frame, in the table's column order, and how many values were moved by ``clip``, by column.

    Raises:
        SchemaError: A column is missing, unknown or cannot be read as its kind, the privacy unit is null
            in some rows, or a declared fact is broken and ``on_violation`` is ``stop``.
    """
    _require_same_columns(frame, table)
    _require_units(frame, schema, table)
    typed: dict[str, pd.Series[Any]] = {}
    clipped: dict[str, int] = {}
    for column in table.columns:
        values = _typed(frame[column.name], column)
        values, moved = _within_facts(values, column, on_violation)
        if moved:
            clipped[column.name] = moved
        typed[column.name] = values
    return pd.DataFrame(typed).reset_index(drop=True), clipped


def _require_same_columns(frame: pd.DataFrame, table: Table) -> None:
    actual = list(map(str, frame.columns))
    missing = [name for name in table.names if name not in actual]
    unknown = [name for name in actual if name not in table.names and name not in table.dropped]
    if missing:
        raise SchemaError(f"column {missing[0]!r} of table {table.name!r} is not in the file; the file has {len(actual)} columns")
    if unknown:
        raise SchemaError(
            f"column {unknown[0]!r} is in the file but not in the plan's table {table.name!r}; "
            'declare it, or leave it out with kind = "drop"'
        )


def _require_units(frame: pd.DataFrame, schema: Schema, table: Table) -> None:
    if schema.privacy_unit == ROW:
        return
    n_null = int(_nulls(frame[schema.privacy_unit]).sum())
    if n_null:
        raise SchemaError(
            f"privacy_unit={schema.privacy_unit!r} is null in {n_null} rows of table {table.name!r}; expected a person in every row"
        )


def _nulls(raw: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    nulls = raw.isna().to_numpy(dtype=bool)
    if raw.dtype == object or isinstance(raw.dtype, pd.StringDtype):
        nulls = nulls | (raw.astype(str).str.strip() == "").to_numpy(dtype=bool)
    return nulls


def _typed(raw: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """The column in the representation of its kind."""
    nulls = _nulls(raw)
    present = raw[~nulls]
    converted, bad = _CONVERTERS[column.kind](present)
    if bad.any():
        rows = np.flatnonzero(~nulls)[bad]
        raise SchemaError(
            f"column {column.name!r}: {len(rows)} values cannot be read as {column.kind}, first in row {rows[0] + 2}; "
            f"correct them or declare another kind"
        )
    values = pd.Series([None] * len(raw), dtype=_DTYPES[column.kind])
    if len(present):
        values[~nulls] = converted
    return values


def _as_text(present: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    if pd.api.types.is_float_dtype(present.dtype):
        plain = present.to_numpy(dtype=np.float64)
        if ((plain == np.round(plain)) & (np.abs(plain) < 2**63)).all():
            present = present.astype("int64")  # 1.0, read as a float because the column has nulls, is the category "1"
    return present.astype(str).to_numpy(dtype=object), np.zeros(len(present), dtype=bool)


def _as_integer(present: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    if pd.api.types.is_signed_integer_dtype(present.dtype):
        return present.astype("Int64").to_numpy(), np.zeros(len(present), dtype=bool)
    text = present.astype(str).str.strip().str.replace(r"\.0+$", "", regex=True)
    bad = ~text.str.fullmatch(r"[+-]?\d{1,19}").to_numpy(dtype=bool)
    whole = [0 if wrong else int(value) for value, wrong in zip(text, bad, strict=True)]
    bad = bad | np.array([not -(2**63) <= value < 2**63 for value in whole], dtype=bool)
    return np.array([0 if wrong else value for value, wrong in zip(whole, bad, strict=True)], dtype=np.int64), bad


def _as_decimal(present: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    truth = present.map(lambda value: isinstance(value, bool | np.bool_)).to_numpy(dtype=bool)  # True is not the number 1
    numbers = pd.to_numeric(present, errors="coerce").to_numpy(dtype=np.float64)
    return numbers, truth | ~np.isfinite(numbers)


def _as_datetime(present: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        zoned = present.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(present.dt, "tz", None) is not None else present
        return zoned.to_numpy().astype("datetime64[s]"), np.zeros(len(present), dtype=bool)
    text = present.astype(str).str.strip()
    iso = r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
    bad = ~text.str.fullmatch(iso).to_numpy(dtype=bool)
    seconds = np.zeros(len(text), dtype=np.int64)
    for position, value in enumerate(text):
        if not bad[position]:
            try:
                stamp = pd.Timestamp(value).as_unit("s") if len(value) > 10 else pd.Timestamp(np.datetime64(value, "s"))
                seconds[position] = int(
                    stamp.tz_convert("UTC").timestamp() if stamp.tzinfo else (stamp - pd.Timestamp(0).as_unit("s")).total_seconds()
                )
            except ValueError:
                bad[position] = True
    bad |= (seconds < _FIRST_SECOND) | (seconds > _LAST_SECOND)  # a zone can lead out of the years 1 to 9999
    return seconds.astype("datetime64[s]"), bad


def _as_boolean(present: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    text = present.astype(str).str.strip().str.casefold()
    true = text.isin(_TRUE).to_numpy(dtype=bool)
    return true, ~(true | text.isin(_FALSE).to_numpy(dtype=bool))


_CONVERTERS = {
    "categorical": _as_text,
    "text": _as_text,
    "identifier": _as_text,
    "integer": _as_integer,
    "decimal": _as_decimal,
    "datetime": _as_datetime,
    "boolean": _as_boolean,
}


def numbers(values: pd.Series[Any], column: Column) -> npt.NDArray[np.float64]:
    """A numeric column as float64, shape (n,): NaN for null, datetimes in seconds since 1970."""
    if column.kind == "datetime":
        seconds = values.to_numpy().astype("datetime64[s]").astype(np.int64).astype(np.float64)
        return np.where(values.isna().to_numpy(), np.nan, seconds)
    return np.asarray(values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _within_facts(values: pd.Series[Any], column: Column, on_violation: ViolationPolicy) -> tuple[pd.Series[Any], int]:
    nulls = values.isna().to_numpy(dtype=bool)
    if not column.nullable and nulls.any():
        raise SchemaError(f"column {column.name!r} is declared without nulls but has {int(nulls.sum())}; correct the data or the plan")
    if column.bounds is not None:
        return _within_bounds(values, column, on_violation)
    if column.categories is not None:
        unknown = ~nulls & ~values.isin(column.categories).to_numpy(dtype=bool)
        if unknown.any() and (on_violation == "stop" or not column.nullable):
            raise SchemaError(_broken(column, int(unknown.sum()), unknown, "outside the declared categories"))
        return values.mask(unknown, None), int(unknown.sum())
    return values, 0


def _within_bounds(values: pd.Series[Any], column: Column, on_violation: ViolationPolicy) -> tuple[pd.Series[Any], int]:
    low, high = column.bounds or (-np.inf, np.inf)
    if column.kind == "integer":
        return _within_whole_bounds(values, column, on_violation)
    plain = numbers(values, column)
    outside = (plain < low) | (plain > high)
    if not outside.any():
        return values, 0
    if on_violation == "stop":
        raise SchemaError(_broken(column, int(outside.sum()), outside, "outside the declared bounds"))
    clipped = np.clip(plain[outside], low, high)
    values = values.copy()
    values[outside] = clipped.astype(np.int64).astype("datetime64[s]") if column.kind == "datetime" else clipped
    return values, int(outside.sum())


def _within_whole_bounds(values: pd.Series[Any], column: Column, on_violation: ViolationPolicy) -> tuple[pd.Series[Any], int]:
    """Integers are compared as integers: beyond 2**53 a float no longer tells neighbours apart."""
    assert column.bounds is not None
    low, high = math.ceil(column.bounds[0]), math.floor(column.bounds[1])
    outside = ((values < low) | (values > high)).fillna(False).to_numpy(dtype=bool)
    if not outside.any():
        return values, 0
    if on_violation == "stop":
        raise SchemaError(_broken(column, int(outside.sum()), outside, "outside the declared bounds"))
    return values.mask(values < low, low).mask(values > high, high), int(outside.sum())


def _broken(column: Column, count: int, where: npt.NDArray[np.bool_], what: str) -> str:
    return (
        f"column {column.name!r}: {count} values are {what}, first in row {int(np.flatnonzero(where)[0]) + 2}; "
        'correct them, widen the declaration, or set on_violation = "clip"'
    )
