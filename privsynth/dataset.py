"""Typed frames with the schema they satisfy, and the split that keeps a person on one side.

A frame is checked and typed once, at the border (``conform``); rooms trust what they are given. The
representation is fixed by kind:

=============  ==========================================================
categorical    object: str, None for null
integer        Int64, exact to 2**63
decimal        float64, NaN for null
datetime       datetime64[s], NaT for null (years 1 to 9999 fit); in UTC if offsets or a zone are given
boolean        boolean
text           object: str, None for null
identifier     object: str, None for null
=============  ==========================================================
"""

from __future__ import annotations

import hashlib
import hmac
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import SchemaError, records
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

    Attributes:
        train: What is fitted.
        holdout: For the audits.
        tuning: For utility scores.
        pool_rate: The coin of the audit pool.
        in_pool: Rows of train whose person a fair coin could have put into ``holdout``, shape (n_train_rows,); none of a fixed split.
        insecure: A fixed permutation (benchmarks), whose output must not be released.
    """

    train: Dataset
    holdout: Dataset
    tuning: Dataset
    pool_rate: float
    in_pool: npt.NDArray[np.bool_]
    insecure: bool = False


TUNING_RATE = 0.3
"""Share of the held-out people that serves utility scores; the rest serves audits, once."""


TRAIN, HOLDOUT, TUNING, TRAIN_IN_POOL = 0, 1, 2, 3
"""Parts of a split, as ``draw_parts`` numbers them."""


def draw_parts(dataset: Dataset, *, pool_rate: float, noise: NoiseSource) -> npt.NDArray[np.int8]:
    """The part of each row, shape (n_rows,), the same for all rows of a person.

    Each person enters the audit pool with probability ``pool_rate`` (a public number), and each member of the pool goes to the
    holdout with probability one half, so that holdout and train members of the pool are exchangeable.
    A third coin gives ``TUNING_RATE`` of the held-out people to utility scores. It is thrown for all, and train members of the pool on
    whom it falls count as plain ``TRAIN``: for everyone in ``HOLDOUT`` or ``TRAIN_IN_POOL`` the second coin alone decided, and was fair.
    """
    units, person = np.unique(dataset.units().astype(str), return_inverse=True)
    n = len(units)
    in_pool, held_out, set_aside = noise.coins(n, pool_rate), noise.coins(n, 0.5), noise.coins(n, TUNING_RATE)
    parts = np.select([~in_pool, held_out & set_aside, held_out, ~set_aside], [TRAIN, TUNING, HOLDOUT, TRAIN_IN_POOL], TRAIN)
    return parts[person].astype(np.int8)


def split_by_parts(dataset: Dataset, parts: npt.NDArray[np.int8], *, pool_rate: float) -> Split:
    """The split that ``draw_parts`` drew, shape (n_rows,): a run that goes on after a crash must not draw another."""
    in_train = (parts == TRAIN) | (parts == TRAIN_IN_POOL)
    return Split(
        train=dataset.select(in_train, role="train"),
        holdout=dataset.select(parts == HOLDOUT, role="holdout"),
        tuning=dataset.select(parts == TUNING, role="holdout"),
        pool_rate=pool_rate,
        in_pool=parts[in_train] == TRAIN_IN_POOL,
    )


def split_by_unit(dataset: Dataset, *, pool_rate: float, noise: NoiseSource) -> Split:
    """Split people by independent coins; see ``draw_parts``."""
    return split_by_parts(dataset, draw_parts(dataset, pool_rate=pool_rate, noise=noise), pool_rate=pool_rate)


def benchmark_split(dataset: Dataset) -> Split:
    """The fixed 80/20 permutation that published figures use; anyone who knows it knows who was held out."""
    if dataset.count_units() < len(dataset.frame):
        raise SchemaError("the benchmark split divides rows, and some people have several; leave out --benchmark-split")
    order = np.random.RandomState(0).permutation(len(dataset.frame))
    keep = np.zeros(len(order), dtype=bool)
    keep[order[: int(0.8 * len(order))]] = True
    holdout = dataset.select(~keep, role="holdout")
    in_pool = np.zeros(int(keep.sum()), dtype=bool)  # no coin was thrown
    return Split(train=dataset.select(keep, role="train"), holdout=holdout, tuning=holdout, pool_rate=0.4, in_pool=in_pool, insecure=True)


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
    _require_one_row_per_person(frame, schema, table)
    typed: dict[str, pd.Series[Any]] = {}
    clipped: dict[str, int] = {}
    for column in table.columns:
        values = _typed(frame[column.name], column)
        rounded = _require_kept_digits(frame[column.name], column, on_violation)
        values, moved = _within_facts(values, column, on_violation)
        moved += rounded
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
    nulls = _nulls(frame[schema.privacy_unit])
    if nulls.any():
        raise SchemaError(
            f"privacy_unit={schema.privacy_unit!r} is null in {records(np.flatnonzero(nulls))} of table {table.name!r}; "
            "expected a person in every record"
        )


def _require_one_row_per_person(frame: pd.DataFrame, schema: Schema, table: Table) -> None:
    """An identifier that repeats contradicts that one row is one person: the claim would protect rows, not people."""
    if schema.privacy_unit != ROW:
        return
    for column in table.columns:
        if column.kind != "identifier" or column.pii is not None:
            continue
        present = frame[column.name][~_nulls(frame[column.name])]
        repeated = present[present.duplicated(keep=False)]
        if len(repeated):
            raise SchemaError(
                f'privacy_unit="row" says that one row is one person, but identifier {column.name!r} repeats in {len(repeated)} rows '
                f"of table {table.name!r} ({records(np.flatnonzero(frame.index.isin(repeated.index)))}); "
                f"write privacy_unit = {column.name!r} and max_rows_per_person, or declare the column as another kind"
            ).about(repeated)


def _nulls(raw: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    nulls = raw.isna().to_numpy(dtype=bool)
    if raw.dtype == object or isinstance(raw.dtype, pd.StringDtype):
        nulls = nulls | (raw.astype(str).str.strip() == "").to_numpy(dtype=bool)
    return nulls


def _typed(raw: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """The column in the representation of its kind."""
    nulls = _nulls(raw)
    present = raw[~nulls]
    converted, bad = _as_datetime(present, column.zone) if column.kind == "datetime" else _CONVERTERS[column.kind](present)
    if bad.any():
        rows = np.flatnonzero(~nulls)[bad]
        raise SchemaError(
            f"column {column.name!r}: {len(rows)} values cannot be read as {column.kind}, in {records(rows)}; "
            f"{_EXPECTED.get(column.kind, 'correct them')}, or declare another kind"
        ).about(present[bad])
    values = pd.Series([None] * len(raw), dtype=_DTYPES[column.kind])
    if len(present):
        values[~nulls] = converted
    return values


_EXPECTED = {
    "integer": "expected whole numbers below 2**63",
    "decimal": "expected finite numbers with a decimal point",
    "datetime": "expected YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS (seconds to 59)",
    "boolean": "expected true or false",
}


def _require_kept_digits(raw: pd.Series[Any], column: Column, on_violation: ViolationPolicy) -> int:
    """How many decimals a float64 cannot hold as they are written; refused unless values may be moved.

    Up to 15 significant digits always survive, and what a float64 itself prints does (17 digits); 30 digits do not.
    """
    if column.kind != "decimal" or raw.dtype != object:
        return 0
    text = {row: str(raw.iloc[row]).strip() for row in _rows_of_many_digits(raw)}
    lost = [row for row, written in text.items() if Decimal(written) != Decimal(repr(float(written)))]
    if len(lost) and on_violation == "stop":
        raise SchemaError(
            f"column {column.name!r}: {len(lost)} values have more digits than a decimal holds (15 to 17), in {records(lost)}; "
            'round them at their source, declare kind = "identifier", or set on_violation = "clip"'
        ).about(text[row] for row in lost)
    return len(lost)


def _rows_of_many_digits(values: pd.Series[Any]) -> list[int]:
    """Positions of texts (or exact decimals) with more than 15 digits, which a float64 may not keep."""
    if values.dtype != object:
        return []
    return [row for row, value in enumerate(values) if len(str(value)) > 15 and sum(map(str.isdigit, str(value))) > 15]


def _as_text(present: pd.Series[Any]) -> tuple[Any, npt.NDArray[np.bool_]]:
    if pd.api.types.is_float_dtype(present.dtype):
        # 1.0, read as a float because the column has nulls, is the category "1". Each value by itself: were it
        # decided for the whole column, one person's 1.5 would rename everybody's category.
        text = [str(int(value)) if value.is_integer() else repr(value) for value in present.to_numpy(dtype=np.float64).tolist()]
        return np.array(text, dtype=object), np.zeros(len(present), dtype=bool)
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
    numbers = np.array(pd.to_numeric(present, errors="coerce"), dtype=np.float64)
    for row in _rows_of_many_digits(present):
        if np.isfinite(numbers[row]):
            numbers[row] = float(str(present.iloc[row]))  # pandas is off by one in the last digit beyond 15
    return numbers, truth | ~np.isfinite(numbers)


def _as_datetime(present: pd.Series[Any], zone: str | None) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Seconds in UTC; values without an offset are wall-clock times in ``zone``."""
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        has_offset = getattr(present.dt, "tz", None) is not None
        plain = (present.dt.tz_convert("UTC").dt.tz_localize(None) if has_offset else present).to_numpy().astype("datetime64[s]")
        return _in_utc(plain, np.full(len(plain), not has_offset), zone)
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
    plain = ~text.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$").to_numpy(dtype=bool) | (text.str.len() == 10).to_numpy(dtype=bool)
    converted, outside = _in_utc(seconds.astype("datetime64[s]"), plain & ~bad, zone)
    return converted, bad | outside


def _in_utc(stamps: npt.NDArray[Any], plain: npt.NDArray[np.bool_], zone: str | None) -> tuple[Any, npt.NDArray[np.bool_]]:
    """UTC from stamps whose ``plain`` rows are wall-clock times in ``zone``, and which rows are no time there.

    An hour that the clock shows twice is read as its first pass (summer time); one that it skips is no time.
    """
    bad = np.zeros(len(stamps), dtype=bool)
    stamps = stamps.copy()
    if zone is not None and plain.any():
        local = pd.DatetimeIndex(stamps[plain]).tz_localize(zone, ambiguous=np.ones(int(plain.sum()), dtype=bool), nonexistent="NaT")
        converted = local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")
        bad[plain] = np.isnat(converted)
        stamps[plain] = np.where(np.isnat(converted), np.datetime64(0, "s"), converted)
    seconds = stamps.astype(np.int64)
    return stamps, bad | (seconds < _FIRST_SECOND) | (seconds > _LAST_SECOND)  # a zone can lead out of the years 1 to 9999


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
        raise SchemaError(
            f"column {column.name!r} is declared without nulls but has {int(nulls.sum())}, in {records(np.flatnonzero(nulls))}; "
            "correct the data or the plan"
        )
    if column.bounds is not None:
        return _within_bounds(values, column, on_violation)
    if column.categories is not None:
        unknown = ~nulls & ~values.isin(column.categories).to_numpy(dtype=bool)
        if unknown.any() and (on_violation == "stop" or not column.nullable):
            raise _broken(column, values, unknown, "outside the declared categories" + _but_for_invisible_signs(values[unknown], column))
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
    _require_some_inside(column, values, outside, np.isnan(plain), on_violation)
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
    _require_some_inside(column, values, outside, values.isna().to_numpy(dtype=bool), on_violation)
    values = values.copy()
    values[outside] = values[outside].clip(low, high)
    return values, int(outside.sum())


def _require_some_inside(
    column: Column,
    values: pd.Series[Any],
    outside: npt.NDArray[np.bool_],
    nulls: npt.NDArray[np.bool_],
    on_violation: ViolationPolicy,
) -> None:
    """Refuse values outside the bounds; clipping is refused too where it would leave a single value."""
    if on_violation == "stop":
        raise _broken(column, values, outside, "outside the declared bounds")
    if (outside | nulls).all():
        raise SchemaError(f"bounds of column {column.name!r} exclude all of its {int(outside.sum())} values; correct the bounds")


def _broken(column: Column, values: pd.Series[Any], where: npt.NDArray[np.bool_], what: str) -> SchemaError:
    return SchemaError(
        f"column {column.name!r}: {int(where.sum())} values are {what}, in {records(np.flatnonzero(where))}; "
        'correct them, widen the declaration, or set on_violation = "clip"'
    ).about(values[where])


def _but_for_invisible_signs(unknown: pd.Series[Any], column: Column) -> str:
    """A hint where unknown categories look like declared ones: spaces, zero-width signs, another Unicode form."""
    known = {_visible(name) for name in column.categories or ()}
    alike = sum(_visible(value) in known for value in unknown)
    return f" ({alike} of them differ from a declared one only by spaces or invisible characters)" if alike else ""


def _visible(text: str) -> str:
    plain = unicodedata.normalize("NFC", text)
    return "".join(sign for sign in plain if unicodedata.category(sign) not in ("Cf", "Cc", "Zs")).casefold()
