"""What a spreadsheet program makes of cells: text that it would run as a formula, and Excel workbooks written without any."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import SourceError
from privsynth.registry import require
from privsynth.schema import SECONDS, Table

MOST_ROWS, MOST_COLUMNS, MOST_SIGNS = 1_048_575, 16_384, 32_767
"""Of one sheet below its header, of one sheet, and of one cell (Microsoft, "Excel specifications and limits")."""

LARGEST_WHOLE = 2**53
"""A workbook holds every number as a float64: whole numbers beyond are written as text."""

FIRST_DAY = pd.Timestamp("1900-03-01")
"""Excel counts a 29 February 1900 that never was, and knows no date before that year."""

_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_NUMBER_OR_PHONE = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?|\+\d[\d ()./-]*\d")
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def is_formula(value: object) -> bool:
    """Whether a spreadsheet may run a text cell (OWASP, CSV injection): it begins like one and is no number or phone number.

    >>> is_formula("=1+1"), is_formula("-2+3+cmd|' /C calc'!A0"), is_formula("-5"), is_formula("+41 44 123 45 67")
    (True, True, False, False)
    """
    return isinstance(value, str) and _FORMULA.match(value) is not None and _NUMBER_OR_PHONE.fullmatch(value) is None


def count_formulas(frame: pd.DataFrame) -> int:
    """How many text cells a spreadsheet may run."""
    return sum(int(frame[name].map(is_formula).sum()) for name in frame.select_dtypes(object))


def write_workbook(frame: pd.DataFrame, path: Path, *, table: Table | None = None, properties: Mapping[str, str] | None = None) -> None:
    """Write a typed frame as an Excel workbook of one sheet.

    Text stays what it is and is marked as text, with the mark that keeps a cell text when it is edited ("quote prefix"), where it
    begins like a formula. Whole numbers beyond 2**53 become text; dates that Excel lacks (``FIRST_DAY``) have to be text in ``frame``.

    Args:
        frame: Typed as ``dataset.conform`` types it.
        path: The file.
        table: With it, decimals show their column's digits and dates no time of day that their column lacks.
        properties: Custom document properties: what the file says of itself.

    Raises:
        SourceError: A sheet does not hold so many rows, columns or signs.
        MissingExtraError: openpyxl is not installed.
    """
    openpyxl = require("openpyxl")
    if len(frame) > MOST_ROWS or frame.shape[1] > MOST_COLUMNS:
        raise SourceError(
            f"file={str(path)!r} would have {len(frame)} rows and {frame.shape[1]} columns; a sheet holds {MOST_ROWS} and {MOST_COLUMNS}: "
            'use format = "csv" or "parquet"'
        )
    _require_short_texts(frame)  # before a file is begun: openpyxl cannot give one up in its middle
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("data")
    sheet.append([_text_cell(sheet, str(name)) for name in frame.columns])
    for row in zip(*(_cells(sheet, frame[name], _number_format(name, frame[name], table)) for name in frame.columns), strict=True):
        sheet.append(row)
    for name, value in (properties or {}).items():
        workbook.custom_doc_props.append(require("openpyxl.packaging.custom").StringProperty(name=name, value=value))
    workbook.save(path)


def _require_short_texts(frame: pd.DataFrame) -> None:
    for name in frame.columns:
        texts = [str(name), *(value for value in frame[name] if isinstance(value, str))] if frame[name].dtype == object else [str(name)]
        longest = max(len(_escaped(text)) for text in texts)
        if longest > MOST_SIGNS:
            raise SourceError(
                f"column {str(name)[:60]!r} holds a text of {longest} signs; a cell of a workbook holds {MOST_SIGNS}: "
                'use format = "csv" or "parquet"'
            )


def _escaped(text: str) -> str:
    """The text without signs that XML cannot hold, as ECMA-376, part 1, 22.9.2.19 writes them."""
    return _UNWRITABLE.sub(lambda sign: f"_x{ord(sign[0]):04X}_", text)


def _number_format(name: str, values: pd.Series[Any], table: Table | None) -> str:
    """How Excel shows the numbers or dates of a column."""
    column = table[name] if table is not None and name in table.names else None
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "yyyy-mm-dd" if column is not None and column.step % SECONDS["day"] == 0 else "yyyy-mm-dd hh:mm:ss"
    digits = column.scale if column is not None and column.kind == "decimal" else 0
    return f"0.{'0' * digits}" if 0 < digits <= 15 else "General"


def _cells(sheet: Any, values: pd.Series[Any], number_format: str) -> Iterator[Any]:
    """The cells of a column, top to bottom; None is empty."""
    for value in values.astype(object):
        if pd.isna(value):
            yield None
        elif isinstance(value, str):
            yield _text_cell(sheet, value)
        elif isinstance(value, bool | np.bool_):
            yield bool(value)
        elif isinstance(value, pd.Timestamp):
            yield _formatted(sheet, value.to_pydatetime(), number_format)
        elif not np.isfinite(value) or (float(value).is_integer() and abs(value) > LARGEST_WHOLE):
            yield _text_cell(sheet, str(value))
        elif number_format == "General":
            yield value.item() if isinstance(value, np.generic) else value
        else:
            yield _formatted(sheet, float(value), number_format)


def _formatted(sheet: Any, value: Any, number_format: str) -> Any:
    cell = require("openpyxl.cell").WriteOnlyCell(sheet, value=value)
    cell.number_format = number_format
    return cell


def _text_cell(sheet: Any, text: str) -> Any:
    """A cell that is text whatever it looks like."""
    cell = require("openpyxl.cell").WriteOnlyCell(sheet, value=_escaped(text))
    cell.data_type = "s"
    cell.quotePrefix = is_formula(text)
    return cell
