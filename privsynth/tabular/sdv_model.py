"""A model fitted by SDV: sampling, saving without pickle, and what is said of each column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.registry import require
from privsynth.schema import Column, Table
from privsynth.tabular.base import ColumnReport
from privsynth.tabular.constraints import combination_of, finished_rows
from privsynth.tabular.encode import determined_by, typed_numbers
from privsynth.tabular.prepare import measured_columns
from privsynth.tabular.sdv_adapter import fixed_rows, require_given, sample_shown, shown_name
from privsynth.tabular.sdv_codecs import Codec

FORMAT = 1
"""Of a saved model."""


@dataclass(frozen=True, kw_only=True)
class SdvModel:
    """A model fitted by SDV; nothing in it is covered by a proof.

    Attributes:
        engine: Name of the engine.
        table: The schema.
        codecs: One per column that SDV was shown.
        synthesizer: SDV's own object.
        column_reports: One per modelled column.
    """

    engine: str
    table: Table
    codecs: tuple[Codec, ...]
    synthesizer: Any = field(repr=False)
    column_reports: tuple[ColumnReport, ...]

    def sample(self, n: int, *, rng: np.random.Generator, given: pd.DataFrame | None = None) -> pd.DataFrame:
        """``n`` synthetic rows: the modelled columns in table order, typed as ``dataset.py`` says.

        Args:
            n: Rows.
            rng: Where SDV's seeds are drawn from.
            given: Some columns of each row, shape (n, any), typed; the others are drawn to go with them. The copula does so in closed form,
                the networks by drawing until rows fit, which numbers rarely do. Rows given from real data are a release of these rows.

        Raises:
            PlanError: ``n`` is negative, ``given`` has another length or a column that is not modelled, or no row fits it.
        """
        if given is not None:
            require_given(given, n, [codec.column.name for codec in self.codecs])
        shown_given = None if given is None else self._shown_given(given)
        shown = sample_shown(self.synthesizer, n, rng=rng, given=shown_given, columns=len(self.codecs))
        values = {codec.column.name: codec.decode(shown[shown_name(i)]) for i, codec in enumerate(self.codecs)}
        if given is not None:
            values |= {str(name): given[name].reset_index(drop=True) for name in given.columns}
        for column in measured_columns(self.table):
            if column.name not in values:
                values[column.name] = _nulls(column, n)
        return finished_rows(values, self.table, rng=rng, fixed=fixed_rows(given))

    def _shown_given(self, given: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {shown_name(i): codec.encode(given[codec.column.name]) for i, codec in enumerate(self.codecs) if codec.column.name in given}
        )

    def save(self, folder: Path) -> None:
        """Write ``model.json``: all parameters of a parametric copula, or a note.

        SDV saves networks by pickle only, which runs code when it is read: they are kept in memory for the run only, and the file says so.
        """
        folder.mkdir(parents=True, exist_ok=True)
        plain: dict[str, Any] = {
            "format": FORMAT,
            "engine": self.engine,
            "table": asdict(self.table),
            "columns": [{"column": asdict(codec.column), "sdtype": codec.sdtype} for codec in self.codecs],
            "reports": [asdict(report) for report in self.column_reports],
        }
        parameters = _copula_parameters(self.synthesizer)
        if parameters is None:
            plain["note"] = "SDV saves this model by pickle only: it was kept in memory for the run and cannot be loaded again."
        else:
            plain |= parameters
        (folder / "model.json").write_text(json.dumps(plain, ensure_ascii=False, indent=1, default=_plain), encoding="utf-8")


def _nulls(column: Column, n: int) -> pd.Series[Any]:
    """A column without any value."""
    if column.is_numeric:
        return typed_numbers(column, np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool))
    return pd.Series([None] * n, dtype="boolean" if column.kind == "boolean" else "object")


def _copula_parameters(synthesizer: Any) -> dict[str, Any] | None:
    """Marginals, correlation and category intervals of a parametric copula; None for every other model."""
    copulas = require("copulas.univariate")
    model = synthesizer._model
    univariates = getattr(model, "univariates", None)
    if univariates is None or any(isinstance(univariate, copulas.GaussianKDE) for univariate in univariates):
        return None
    transformers = synthesizer._data_processor._hyper_transformer.field_transformers
    return {
        "copula": model.to_dict(),
        "intervals": {name: _intervals(transformer) for name, transformer in transformers.items() if hasattr(transformer, "intervals")},
        "null_shares": {
            name: transformer.null_transformer._null_percentage
            for name, transformer in transformers.items()
            if getattr(transformer, "null_transformer", None) is not None
        },
    }


def _intervals(transformer: Any) -> Mapping[str, list[float]]:
    return {str(code): [float(edge) for edge in interval] for code, interval in transformer.intervals.items()}


def _plain(value: Any) -> Any:
    """Scalars and arrays of numpy as JSON takes them."""
    return value.tolist() if isinstance(value, np.ndarray) else float(value)


def column_reports(table: Table, codecs: tuple[Codec, ...], left_out: int) -> tuple[ColumnReport, ...]:
    """Reports without a single exact figure but the internal one."""
    by_name = {codec.column.name: codec.column for codec in codecs}
    together, determined = combination_of(table), determined_by(table)
    computed = {constraint.total: f"Computed: {constraint.label}; not measured." for constraint in table.constraints}
    filled = computed | {name: f"Filled from the public map of {source!r}; not measured." for name, source in determined.items()}
    reports = []
    for declared in table.modelled:
        seen = by_name.get(together.get(declared.name, declared.name))
        column = declared if seen is None else seen
        reports.append(
            ColumnReport(
                column=declared.name,
                kind=declared.kind,
                sources={**declared.sources, **column.sources},
                cells=0,
                bins=0,
                null_share=None,
                rows_left_out=left_out,
                note=filled.get(declared.name) or _report_note(column, shown=seen is not None),
            )
        )
    return tuple(reports)


def _report_note(column: Column, *, shown: bool) -> str:
    if not shown:
        return "Released as null."
    if column.sources.get("categories") == "data":
        return "Its categories were read off the data: one that a single person has can be released."
    if column.sources.get("bounds") == "data":
        return "Its smallest and largest value were read off the data and can be released."
    if column.is_numeric:
        return "Sampled values are rounded to its step; beyond a declared bound they are moved to the bound."
    return ""
