"""Rows from a fitted model: in chunks, and given what is known of some columns.

Conditioning is exact in the model and draws each row once: what is known of a row becomes, for each measured column, the set of
cells that agree with it; the probability of that set within each code is the likelihood that the model's messages carry
(Pearl 1988); codes and then cells are drawn from what remains. Nothing is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import conform
from privsynth.errors import PlanError, SchemaError
from privsynth.registry import hint
from privsynth.schema import ROW, Schema, Table
from privsynth.tabular.binning import Binning
from privsynth.tabular.constraints import as_text, distinct_rows, finished_rows, split_tuples
from privsynth.tabular.encode import CategoryCells, NumericCells, determined_by, fill_determined
from privsynth.tabular.prepare import CodedColumn

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CHUNK_ROWS = 2**17
"""Rows drawn at a time: bounds the memory for codes, which then stay in the processor's cache."""

GIVEN_ROWS = 2**14
"""Rows conditioned at a time: each needs a float per code of the columns on the way to what is given."""

FAINT = 1e-9
"""Weight of a cell whose noisy count is zero, so that a given value of the domain is never impossible."""


class Distribution(Protocol):
    """A distribution over codes that can be conditioned."""

    def sample(self, n: int, *, rng: np.random.Generator, likelihoods: Mapping[int, FloatArray] | None = None) -> list[IntArray]:
        """Codes of ``n`` rows; ``likelihoods``: column -> P(what is known of the row | code), shape (n, size)."""
        ...


class CodeModel(Protocol):
    """A fitted model whose rows are codes of prepared columns."""

    @property
    def table(self) -> Table:
        """The declared schema."""
        ...

    @property
    def columns(self) -> tuple[CodedColumn, ...]:
        """The measured columns."""
        ...

    @property
    def distribution(self) -> Distribution:
        """Over their codes."""
        ...


def draw_rows(
    model: CodeModel,
    n: int,
    *,
    rng: np.random.Generator,
    given: pd.DataFrame | None = None,
    target_shares: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """``n`` synthetic rows: the modelled columns in table order, typed as ``dataset.py`` says.

    Args:
        model: A fitted model.
        n: Rows.
        rng: Any generator; samples of a model are no mechanism.
        given: Some columns of ``n`` rows, typed as ``dataset.py`` says or as text; the rows keep these values, and the other columns are
            drawn given them. A null cell is unknown: it is imputed, by a value and never by null. The values must be public or synthetic:
            with rows of real people the output holds their values, and no guarantee covers it.
        target_shares: One column -> share of each of its values; the rows have these shares and not the model's. Shares sum to 1.

    Raises:
        PlanError: ``n`` is negative or not the number of given rows, or the shares are none.
        SchemaError: A given column is not modelled, or a given value is outside its domain or contradicts another.
    """
    if n < 0:
        raise PlanError(f"n={n!r}; expected a number of rows, 0 or more")
    if target_shares is not None:
        if given is not None:
            raise PlanError("given and target_shares are both set; expected one: put the target's values into given")
        given = _shared_out(target_shares, n, rng)
    if given is None:
        chunks = [_sampled(model, min(CHUNK_ROWS, n - done), rng) for done in range(0, max(n, 1), CHUNK_ROWS)]
        values = {name: pd.concat([chunk[name] for chunk in chunks], ignore_index=True) for name in chunks[0]}
        return finished_rows(values, model.table, rng=rng)
    if len(given) != n:
        raise PlanError(f"n={n!r} but given has {len(given)} rows; expected the same number")
    known = _typed_given(given, model.table)
    parts = [_conditioned(model, known.iloc[done : done + GIVEN_ROWS], rng) for done in range(0, max(n, 1), GIVEN_ROWS)]
    return pd.concat(parts, ignore_index=True)


def draw_chunks(model: CodeModel, n: int, *, chunk_rows: int, rng: np.random.Generator) -> Iterator[pd.DataFrame]:
    """``n`` synthetic rows in frames of ``chunk_rows`` (the last may be shorter), so that memory does not grow with ``n``.

    Raises:
        PlanError: ``n`` or ``chunk_rows`` is out of range.
    """
    if n < 0 or chunk_rows < 1:
        raise PlanError(f"n={n!r}, chunk_rows={chunk_rows!r}; expected 0 or more and 1 or more")
    return (draw_rows(model, min(chunk_rows, n - done), rng=rng) for done in range(0, max(n, 1), chunk_rows))


def _sampled(model: CodeModel, n: int, rng: np.random.Generator) -> dict[str, pd.Series[Any]]:
    """The measured columns of ``n`` rows."""
    codes = model.distribution.sample(n, rng=rng)
    return {
        column.name: column.cells.decode(column.binning.draw(of_column, rng=rng), rng=rng)
        for column, of_column in zip(model.columns, codes, strict=True)
    }


def _shared_out(target_shares: Mapping[str, Mapping[str, float]], n: int, rng: np.random.Generator) -> pd.DataFrame:
    """``n`` values of one column in random order, their counts the wanted ones, rounded at random without bias."""
    if len(target_shares) != 1:
        raise PlanError(f"target_shares names {len(target_shares)} columns; expected one")
    ((name, shares),) = target_shares.items()
    parts = np.array(list(shares.values()), dtype=np.float64)
    if not len(parts) or not (parts >= 0).all() or abs(parts.sum() - 1) > 1e-9:
        raise PlanError(f"target_shares of {name!r} are {list(shares.values())!r}; expected shares that are not negative and sum to 1")
    borders = np.clip(np.ceil(np.cumsum(parts) * n - rng.random()), 0, n).astype(np.int64)
    borders[-1] = n
    values = np.repeat(np.array([*shares, None], dtype=object)[:-1], np.diff(borders, prepend=0))
    rng.shuffle(values)
    return pd.DataFrame({name: values}, dtype=object)


def _typed_given(given: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The given columns, typed; their values are checked against the model's domains later."""
    modelled = [column.name for column in table.modelled]
    computed = {constraint.total: constraint.columns for constraint in table.constraints if constraint.total is not None}
    for name in map(str, given.columns):
        if name not in modelled:
            raise SchemaError(f"given: column {name!r} is not modelled; expected some of {', '.join(modelled)}{hint(name, modelled)}")
        if name in computed:
            raise SchemaError(f"given: column {name!r} is computed; give its parts {', '.join(computed[name])}")
    # Typed values have no zone any more, and facts are checked by the cells, which know bought ones too.
    plain = tuple(
        replace(table[name], zone=None, bounds=None, point_masses=(), categories=None, determines={}, nullable=True)
        for name in map(str, given.columns)
    )
    only = Table(name=table.name, columns=plain)
    return conform(given.reset_index(drop=True), Schema(tables=(only,), privacy_unit=ROW), only)[0]


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What is known of one measured column, row by row.

    Attributes:
        patterns: Which cells agree with what is known, one row per distinct knowledge, shape (n_patterns, n_cells).
        pattern_of_row: Shape (n_rows,).
    """

    patterns: BoolArray
    pattern_of_row: IntArray

    def likelihood(self, binning: Binning) -> FloatArray:
        """P(a cell drawn from the bin agrees), shape (n_rows, n_bins)."""
        weights = self.patterns[:, binning.draw_cells] * (binning.draw_weights + FAINT)
        starts = np.searchsorted(binning.draw_bins, np.arange(binning.size))
        return np.asarray(np.add.reduceat(weights, starts, axis=1)[self.pattern_of_row])

    def draw(self, binning: Binning, bins: IntArray, rng: np.random.Generator) -> IntArray:
        """A cell of each row's bin that agrees, shape (n_rows,)."""
        starts = np.searchsorted(binning.draw_bins, np.arange(binning.size + 1))
        cells = np.zeros(len(bins), dtype=np.int64)
        keys, group = np.unique(self.pattern_of_row * binning.size + bins, return_inverse=True)
        rows_of_group = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]) if len(keys) else []
        for key, rows in zip(keys.tolist(), rows_of_group, strict=True):
            pattern, code = divmod(key, binning.size)
            entries = slice(starts[code], starts[code + 1])
            candidates = binning.draw_cells[entries]
            weights = self.patterns[pattern, candidates] * (binning.draw_weights[entries] + FAINT)
            cells[rows] = rng.choice(candidates, len(rows), p=weights / weights.sum())
        return cells


def _conditioned(model: CodeModel, known: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows drawn given what is known of each."""
    known = known.reset_index(drop=True)
    evidence = {
        number: found for number, column in enumerate(model.columns) if (found := _evidence(model.table, column, known)) is not None
    }
    _require_used(model, known)
    likelihoods = {number: found.likelihood(model.columns[number].binning) for number, found in evidence.items()}
    codes = model.distribution.sample(len(known), rng=rng, likelihoods=likelihoods)
    values: dict[str, pd.Series[Any]] = {}
    fixed: dict[str, BoolArray] = {}
    for number, column in enumerate(model.columns):
        binning = column.binning
        cells = evidence[number].draw(binning, codes[number], rng) if number in evidence else binning.draw(codes[number], rng=rng)
        values[column.name] = column.cells.decode(cells, rng=rng)
        if column.name in known:
            fixed[column.name] = known[column.name].notna().to_numpy(dtype=bool)
            # The cell is right already; the value inside it is the given one.
            values[column.name] = values[column.name].mask(pd.Series(fixed[column.name]), known[column.name])
    return finished_rows(values, model.table, rng=rng, fixed=fixed)


def _require_used(model: CodeModel, known: pd.DataFrame) -> None:
    """Refuse a given column that follows by a map from a numeric one: its cells are too many to look up."""
    sources = determined_by(model.table)
    numeric = {column.name for column in model.columns if isinstance(column.cells, NumericCells)}
    for name in known.columns:
        source = name
        while source in sources:
            source = sources[source]
        if source != name and source in numeric:
            raise SchemaError(f"given: column {name!r} follows from the number {source!r}; give that one")


def _evidence(table: Table, column: CodedColumn, known: pd.DataFrame) -> _Evidence | None:
    """The cells of a column that agree with what is known, or None if nothing bears on it."""
    exists = _known_to_exist(table, column.name, known)
    domain = column.cells
    if isinstance(domain, NumericCells):
        return _numeric_evidence(table, domain, known, exists)
    assert isinstance(domain, CategoryCells)
    shown = _shown_by(table, domain)
    names = [name for name in known.columns if name in shown]
    if not names and exists is None:
        return None
    texts = pd.DataFrame(
        {name: as_text(known[name]) for name in names} | ({} if exists is None else {"": exists.astype(str)}), dtype=object
    )
    pattern_of_row, distinct = distinct_rows(texts)
    patterns = np.ones((len(distinct), domain.size), dtype=bool)
    for place, name in enumerate(names):
        cell_texts = as_text(shown[name]).to_numpy(dtype=object)
        has_value = np.array([text is not None for text in cell_texts], dtype=bool)
        for pattern, row in zip(patterns, distinct, strict=True):
            pattern &= has_value if row[place] is None else cell_texts == row[place]
    if exists is not None and domain.column.nullable:
        patterns[[row[-1] == "True" for row in distinct], -1] = False
    _require_possible(np.asarray(patterns.any(axis=1))[pattern_of_row], names or [column.name])
    return _Evidence(patterns=patterns, pattern_of_row=pattern_of_row)


def _shown_by(table: Table, domain: CategoryCells) -> dict[str, pd.Series[Any]]:
    """The columns of the declared table that a cell fixes, with their value for each cell."""
    cells = domain.decode(np.arange(domain.size, dtype=np.int64), rng=np.random.default_rng(0))  # categories are decoded without chance
    constraint = next((item for item in table.constraints if item.label == domain.column.name), None)
    shown = {domain.column.name: cells} if constraint is None else split_tuples(cells, constraint, table)
    for target, source in determined_by(table).items():
        if source in shown:
            shown[target] = fill_determined(shown[source], table[target], table[source].determines[target])
    return shown


def _known_to_exist(table: Table, name: str, known: pd.DataFrame) -> BoolArray | None:
    """Rows in which a column cannot be null because one that is null in the same rows is given."""
    for constraint in table.constraints:
        others = [other for other in constraint.columns if other in known]
        if constraint.kind == "null_together" and name in constraint.columns and others:
            return np.asarray(known[others].notna().to_numpy(dtype=bool).any(axis=1))
    return None


def _numeric_evidence(table: Table, domain: NumericCells, known: pd.DataFrame, exists: BoolArray | None) -> _Evidence | None:
    """Known values fix a cell, and known values before or after a column in an order bound its cells."""
    name, n_intervals = domain.column.name, max(len(domain.edges) - 1, 0)
    first = np.zeros(len(known), dtype=np.int64)
    last = np.full(len(known), n_intervals - 1, dtype=np.int64)
    null = np.full(len(known), domain.column.nullable)
    bounds = _bounding(table, name, known)
    if name not in known and not bounds and exists is None:
        return None
    if name in known:
        present = known[name].notna().to_numpy(dtype=bool)
        cells, moved = domain.encode(known.loc[present, name])
        if moved or (present.any() and not n_intervals):
            raise SchemaError(
                f"given: {moved} values of column {name!r} are outside its domain; expected values inside its bounds, on its grid"
            )
        first[present] = last[present] = cells
        null[:] = False
    for other, before in bounds:
        present = known[other].notna().to_numpy(dtype=bool)
        cells = domain.encode(known.loc[present, other])[0] if n_intervals else np.zeros(int(present.sum()), dtype=np.int64)
        if before:
            first[present] = np.maximum(first[present], cells)
        else:
            last[present] = np.minimum(last[present], cells)
    if exists is not None:
        null &= ~exists
    rows = np.stack([first, last, null.astype(np.int64)], axis=1)
    distinct, pattern_of_row = np.unique(rows, axis=0, return_inverse=True)
    interval = np.arange(n_intervals)
    patterns = (distinct[:, :1] <= interval) & (interval <= distinct[:, 1:2])
    if domain.column.nullable:
        patterns = np.concatenate([patterns, distinct[:, 2:] == 1], axis=1)
    pattern_of_row = pattern_of_row.ravel().astype(np.int64)
    _require_possible(np.asarray(patterns.any(axis=1))[pattern_of_row], [name])
    return _Evidence(patterns=patterns, pattern_of_row=pattern_of_row)


def _bounding(table: Table, name: str, known: pd.DataFrame) -> list[tuple[str, bool]]:
    """The given columns that are ordered with a column, and whether each comes before it."""
    for constraint in table.constraints:
        if constraint.kind == "ordered" and name in constraint.columns:
            place = constraint.columns.index(name)
            return [(other, constraint.columns.index(other) < place) for other in constraint.columns if other in known and other != name]
    return []


def _require_possible(possible: BoolArray, names: list[str]) -> None:
    if not possible.all():
        raise SchemaError(
            f"given: {int((~possible).sum())} rows of {', '.join(names)} are outside the domain; expected declared, public or bought values"
        )
