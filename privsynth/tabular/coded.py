"""What the tree and the graphical model share: a distribution over codes, rows drawn from it, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.schema import Table
from privsynth.tabular.base import ColumnReport
from privsynth.tabular.prepare import CodedColumn
from privsynth.tabular.sampling import Distribution, draw_chunks, draw_rows
from privsynth.tabular.storage import load_columns, read_model, save_columns, table_from_json, write_model


@dataclass(frozen=True, kw_only=True)
class CodedModel:
    """A fitted model: outputs of reserved mechanisms and public facts, and the reports' internal counts.

    Attributes:
        table: The schema.
        columns: The measured columns.
        distribution: Over their codes.
        column_reports: One per modelled column.
    """

    table: Table
    columns: tuple[CodedColumn, ...]
    distribution: Distribution
    column_reports: tuple[ColumnReport, ...]

    def sample(
        self,
        n: int,
        *,
        rng: np.random.Generator,
        given: pd.DataFrame | None = None,
        target_shares: Mapping[str, Mapping[str, float]] | None = None,
    ) -> pd.DataFrame:
        """``n`` synthetic rows; see ``sampling.draw_rows``."""
        return draw_rows(self, n, rng=rng, given=given, target_shares=target_shares)

    def sample_chunks(self, n: int, *, chunk_rows: int, rng: np.random.Generator) -> Iterator[pd.DataFrame]:
        """``n`` synthetic rows, ``chunk_rows`` at a time; see ``sampling.draw_chunks``."""
        return draw_chunks(self, n, chunk_rows=chunk_rows, rng=rng)


def save_coded(
    model: CodedModel, folder: Path, *, engine: str, format_number: int, plain: Mapping[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Write ``model.json`` and ``arrays.npz``: the columns and reports, and the distribution as ``plain`` facts and ``arrays``.

    The reports hold internal counts, so the folder is internal.
    """
    facts, of_columns = save_columns(model.columns)
    shared = {
        "format": format_number,
        "engine": engine,
        "table": asdict(model.table),
        "columns": facts,
        "reports": [asdict(report) for report in model.column_reports],
    }
    write_model(folder, {**shared, **plain}, {**of_columns, **arrays})


def load_coded(folder: Path, *, engine: str, format_number: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """What ``save_coded`` wrote: the model's fields but its distribution, and the facts and arrays that the distribution is made of.

    Raises:
        SourceError: The folder holds no such model of this format.
    """
    plain, arrays = read_model(folder, engine=engine, format_number=format_number)
    fields = {
        "table": table_from_json(plain["table"]),
        "columns": load_columns(plain["columns"], arrays),
        "column_reports": tuple(ColumnReport(**report) for report in plain["reports"]),
    }
    return fields, plain, arrays
