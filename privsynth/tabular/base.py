"""What every tabular engine offers, and the one way to run one: calibrate, reserve, fit, commit.

An engine is a frozen value of its own settings. It first says which mechanisms it will run (``touches``), from
public facts alone; the noise is solved from that list and the list is reserved in the ledger; only then
does ``fit`` see data, and each measurement takes its reserved touch before it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from privsynth.dataset import Dataset
from privsynth.errors import PlanError, SchemaError
from privsynth.privacy import Budget, Ledger, NoiseSource, NonPrivate, Reservation, Touch, calibrate
from privsynth.privacy.ledger import Population
from privsynth.schema import Column, Source, Table

STAGE = "tables"
"""Stage name of every touch of this room."""

FitProgress = Callable[[int, int], None]
"""Told after each epoch: how many of how many are finished."""


@dataclass(frozen=True, kw_only=True)
class ColumnReport:
    """What modelling did to one column.

    Attributes:
        column: Its name.
        kind: Its kind in the schema.
        sources: Where each public fact came from, by the fact's field name.
        cells: Size of the public or bought domain, the null cell included; 0 if the engine has no cells or fills the column from a map.
        bins: Cells kept after merging; 0 if the column is filled from a map.
        merged: Cells that share a bin with another, because alone they would drown in noise.
        null_share: Share of nulls in the model, in [0, 1]; a differentially private figure, None if it was not bought.
        other_share: Share of values that bought categories do not cover, in [0, 1]; differentially private, None if declared.
        clipped: Values moved to a bound or rounded to the grid. Exact, so internal: never shown to a recipient.
        rows_left_out: Rows beyond ``max_rows_per_person`` that were not measured. Exact, so internal.
        note: What a reader has to know beyond that, in one sentence each.
    """

    column: str
    kind: str
    sources: Mapping[str, Source] = field(default_factory=dict)
    cells: int
    bins: int
    merged: int = 0
    null_share: float | None = 0.0
    other_share: float | None = None
    clipped: int = 0
    rows_left_out: int = 0
    note: str = ""

    def public(self) -> dict[str, Any]:
        """The report without its exact counts, for an edition that leaves the house."""
        return {key: value for key, value in asdict(self).items() if key not in ("clipped", "rows_left_out")}


class FittedModel(Protocol):
    """A fitted engine: everything it holds, the reports' exact counts apart, is an output of reserved mechanisms."""

    @property
    def column_reports(self) -> tuple[ColumnReport, ...]:
        """One report per modelled column, in table order."""
        ...

    def sample(self, n: int, *, rng: np.random.Generator, given: pd.DataFrame | None = None) -> pd.DataFrame:
        """``n`` synthetic rows with the modelled columns, typed as ``dataset.py`` says.

        ``given`` holds public or synthetic values of some columns, which the rows keep; see ``sampling.draw_rows``.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the model as npz and JSON."""
        ...


class Synthesizer(Protocol):
    """A tabular engine before it has seen data."""

    def touches(self, table: Table, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """Every mechanism that ``fit`` may run, in order; depends on public facts only.

        Args:
            table: Schema of the table.
            noise_scale: All noise grows in proportion to it.
            budget: Used for the delta of partition selections, a fixed part of the whole.
        """
        ...

    def fit(self, train: Dataset, *, reservation: Reservation) -> FittedModel:
        """Measure and model; takes every touch from the reservation before its mechanism runs."""
        ...


@runtime_checkable
class TrainedInEpochs(Protocol):
    """What an engine offers besides if it passes over its data many times, for minutes or hours."""

    @property
    def epochs(self) -> int:
        """How many passes."""
        ...

    def fit(self, train: Dataset, *, reservation: Reservation, progress: FitProgress | None = None) -> FittedModel:
        """As ``Synthesizer.fit``; ``progress`` is told after each epoch, and an exception that it raises ends the fit."""
        ...


def fit(
    engine: Synthesizer, train: Dataset, *, budget: Budget, ledger: Ledger, population: Population, noise: NoiseSource | None = None
) -> FittedModel:
    """Fit an engine to one table and write the cost into the ledger.

    Args:
        engine: Its settings.
        train: One table of role ``train``.
        budget: What this release may cost.
        ledger: Where the cost is reserved before anything is measured.
        population: Whose data it is.
        noise: Where noise comes from; the operating system by default, a fake only in tests.

    Raises:
        BudgetExceededError: The population's cap, or the budget itself, cannot pay for the plan.
        PlanError: The data is not ``train``, or the noise exceeds the signal.
        SchemaError: No column can be modelled.
    """
    if train.role != "train":
        raise PlanError(f"role={train.role!r}; a model is fitted to data of role 'train': split the data first")
    table = train.table
    require_modelled(table)
    noise_scale = calibrate(lambda scale: engine.touches(table, noise_scale=scale, budget=budget), budget)
    touches = (*unproven_facts(table), *engine.touches(table, noise_scale=noise_scale, budget=budget))
    with ledger.reserve(population, touches, budget=budget, noise_scale=noise_scale, noise=noise) as reservation:
        return engine.fit(train, reservation=reservation)


def unproven_facts(table: Table) -> tuple[Touch, ...]:
    """A touch without proof for every column with a fact that was read off the data."""
    return tuple(
        Touch("facts", f"{' and '.join(facts)} of {column.name}, read off the data", NonPrivate())
        for column in table.columns
        if (facts := sorted(fact for fact, source in column.sources.items() if source == "data"))
    )


def require_modelled(table: Table) -> tuple[Column, ...]:
    """The modelled columns, at least one.

    Raises:
        SchemaError: There is none.
    """
    if not table.modelled:
        raise SchemaError(f"table {table.name!r} has no column that can be modelled; expected one that is not text, identifier or PII")
    return table.modelled
