"""Fitted models on disk: plain JSON for facts, npz for arrays, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.errors import SourceError
from privsynth.schema import Column, Constraint, Table
from privsynth.tabular.binning import Binning
from privsynth.tabular.encode import CategoryCells, Cells, NumericCells
from privsynth.tabular.prepare import CodedColumn

Arrays = Mapping[str, npt.NDArray[Any]]


def write_model(folder: Path, plain: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write ``model.json`` and ``arrays.npz``; reports hold internal counts, so the folder is internal."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    (folder / "model.json").write_text(json.dumps(plain, ensure_ascii=False, indent=1), encoding="utf-8")


def read_model(folder: Path, *, engine: str, format_number: int) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The facts and arrays of a saved model.

    Raises:
        SourceError: The folder holds no model of this engine and format.
    """
    try:
        plain = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"folder={str(folder)!r} holds no readable model ({type(error).__name__}); expected model.json and arrays.npz"
        ) from None
    if (plain.get("engine"), plain.get("format")) != (engine, format_number):
        raise SourceError(
            f"engine={plain.get('engine')!r}, format={plain.get('format')!r}; expected a model of {engine!r}, format {format_number}"
        )
    return plain, arrays


def save_columns(columns: Sequence[CodedColumn]) -> tuple[list[dict[str, Any]], dict[str, npt.NDArray[Any]]]:
    """The measured columns as JSON facts and named arrays."""
    facts: list[dict[str, Any]] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for number, column in enumerate(columns):
        cells = column.cells
        facts.append({"column": asdict(cells.column), "has_other": isinstance(cells, CategoryCells) and cells.has_other})
        arrays |= {f"{number}.{name}": value for name, value in vars(column.binning).items()}
        arrays |= {f"{number}.one_way": column.one_way, f"{number}.variance": column.variance}
        if isinstance(cells, NumericCells):
            arrays[f"{number}.edges"] = cells.edges
    return facts, arrays


def load_columns(facts: Sequence[Mapping[str, Any]], arrays: Arrays) -> tuple[CodedColumn, ...]:
    """The columns that ``save_columns`` wrote."""
    return tuple(_coded_from(number, of_column, arrays) for number, of_column in enumerate(facts))


def table_from_json(facts: Mapping[str, Any]) -> Table:
    """The schema that ``asdict`` turned into a saved model's JSON."""
    columns = [_column_from(column) for column in facts["columns"]]
    constraints = []
    for constraint in facts["constraints"]:
        combinations = constraint["combinations"]
        rows = None if combinations is None else tuple(tuple(row) for row in combinations)
        constraints.append(Constraint(**{**_with_tuples(constraint), "combinations": rows}))
    return Table(**_with_tuples({**facts, "columns": columns, "constraints": constraints}))


def _with_tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists only; the schema's values are tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}


def _column_from(facts: Mapping[str, Any]) -> Column:
    return Column(**_with_tuples(facts))


def _coded_from(number: int, facts: Mapping[str, Any], arrays: Arrays) -> CodedColumn:
    column = _column_from(facts["column"])
    cells: Cells = (
        NumericCells(column=column, edges=arrays[f"{number}.edges"])
        if column.is_numeric
        else CategoryCells(column=column, has_other=facts["has_other"])
    )
    names = ("bin_of_cell", "draw_bins", "draw_cells", "draw_weights")
    binning = Binning(**{name: arrays[f"{number}.{name}"] for name in names})
    return CodedColumn(cells=cells, binning=binning, one_way=arrays[f"{number}.one_way"], variance=arrays[f"{number}.variance"])
