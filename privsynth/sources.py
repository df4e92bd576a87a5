"""Readers that say what they did, and writers.

A reader returns raw cells and notes (encoding, delimiter); typing is ``dataset.conform``'s work. Everything
that is wrong with a file becomes one ``SourceError`` that names the file and the row, never a cell: the
parsers' own messages quote the data and are not passed on.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from privsynth.errors import SourceError
from privsynth.registry import require
from privsynth.schema import SECONDS, Column, Kind, Table
from privsynth.spreadsheet import FIRST_DAY, is_formula, write_workbook

DELIMITERS = ",;\t|"
_MAX_BLOCK_BYTES = 2**30
MAX_COLUMNS = 20_000
"""Wider files are refused: they are records written as columns."""

MAX_SCALE = 15
"""Digits after the point that a float64 can show."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A raw frame and what a person should know about how it was read."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def read(path: str | Path, *, encoding: str | None = None, delimiter: str | None = None, null_values: Sequence[str] = ()) -> Reading:
    """Read a table by its file name's ending: .csv .tsv .txt .parquet .xlsx .jsonl .ndjson .json.

    Args:
        path: The file.
        encoding: Of a text file; by default found by looking at the bytes.
        delimiter: Of a CSV file; by default found by looking at the first lines.
        null_values: Cells that mean "no value" besides the empty cell.

    Raises:
        SourceError: The file is missing, cannot be read, is damaged, or holds no rows.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise SourceError(f"file={str(path)!r} has an unknown ending; expected one of {', '.join(sorted(_READERS))}")
    data = _bytes_of(path)
    reading = _READERS[suffix](path, data, encoding, delimiter)
    frame = reading.frame
    _require_usable_header(path, list(frame.columns))
    if len(frame) == 0:
        raise SourceError(f"file={str(path)!r} holds a header and no rows; expected at least one row")
    if null_values:
        frame = frame.mask(frame.isin(list(null_values)), None)
    return Reading(frame=frame.reset_index(drop=True), notes=reading.notes)


def write(frame: pd.DataFrame, path: str | Path, *, table: Table | None = None, properties: Mapping[str, str] | None = None) -> None:
    """Write a typed frame as CSV (UTF-8), Parquet or Excel workbook, by the file name's ending.

    In CSV a text cell, or a column's name, that a spreadsheet would run as a formula gets an apostrophe before it
    (``spreadsheet.count_formulas``); in a workbook it is marked as text.

    Args:
        frame: Typed as ``dataset.conform`` types it.
        path: The file.
        table: With it, datetimes are written in their column's zone and decimals with their column's digits.
        properties: What the file says of itself: Parquet's key-value metadata, a workbook's custom properties. CSV has no place for them.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        write_chunks([frame], path, table=table, properties=properties)
    elif path.suffix == ".xlsx":
        write_workbook(_for_workbook(frame, table), path, table=table, properties=properties)
    else:
        has_returns = any(frame[name].map(_holds_return).any() for name in frame.select_dtypes(object))
        shown = _without_formulas(frame)
        shown = shown if table is None else _as_declared(shown, table.columns)
        shown = _with_iso_dates(shown, "D" if _only_dates(shown) else "s").rename(columns=_as_plain_text)
        # pandas leaves a bare carriage return unquoted, and every reader takes it for the end of the record.
        shown.to_csv(path, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL)


def _for_workbook(frame: pd.DataFrame, table: Table | None) -> pd.DataFrame:
    """The frame with datetimes as text where a workbook has no such date: those with a zone, and columns with one before March 1900."""
    zoned = () if table is None else tuple(column for column in table.columns if column.zone is not None)
    shown = frame if table is None else _as_declared(frame, zoned)
    early = [name for name in shown.select_dtypes("datetime") if bool((shown[name] < FIRST_DAY).any())]
    return shown.assign(**_with_iso_dates(shown[early], "D" if _only_dates(shown[early]) else "s"))


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before text that a spreadsheet would run."""
    plain = frame.copy(deep=False)
    for name in frame.select_dtypes(object):
        plain[name] = frame[name].map(_as_plain_text)
    return plain


def _holds_return(value: object) -> bool:
    return isinstance(value, str) and "\r" in value


def _with_iso_dates(frame: pd.DataFrame, unit: Literal["D", "s"]) -> pd.DataFrame:
    """The frame with datetimes as ISO 8601 text; ``strftime`` would write the year 1 as "1"."""
    plain = frame.copy(deep=False)
    for name in frame.select_dtypes("datetime"):
        plain[name] = _iso(frame[name], unit)
    return plain


def _iso(values: pd.Series[Any], unit: Literal["D", "s"]) -> pd.Series[Any]:
    text = np.datetime_as_string(values.to_numpy().astype("datetime64[s]"), unit=unit, casting="unsafe").astype(object)
    text[values.isna().to_numpy()] = None
    return pd.Series(text, index=values.index)


def _as_plain_text(value: Any) -> Any:
    return f"'{value}" if is_formula(value) else value


def write_chunks(
    chunks: Iterable[pd.DataFrame], path: str | Path, *, table: Table | None = None, properties: Mapping[str, str] | None = None
) -> int:
    """Write frames one after the other into one Parquet file, holding one at a time; returns the number of rows.

    Raises:
        SourceError: There is no frame.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    writer, rows = None, 0
    try:
        for chunk in chunks:
            block = pa.Table.from_pandas(_in_zones(chunk, table) if table else chunk, preserve_index=False)
            block = _with_scales(block, table) if table else block
            # All blocks of a file have the first one's types: a chunk whose column is all null knows none.
            writer = writer or parquet.ParquetWriter(Path(path), block.schema)
            writer.write_table(block.cast(writer.schema))
            rows += len(chunk)
        if writer is not None and properties:
            writer.add_key_value_metadata(dict(properties))
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise SourceError(f"file={str(path)!r} would hold no table; expected at least one chunk")
    return rows


def _in_zones(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The frame with zoned columns in their zone, not in UTC."""
    zones = {column.name: column.zone for column in table.columns if column.zone is not None and column.name in frame}
    return frame.assign(**{name: frame[name].dt.tz_localize("UTC").dt.tz_convert(zone) for name, zone in zones.items()})


def _with_scales(block: Any, table: Table) -> Any:
    """Decimals as Arrow decimals of their column's scale; text columns as text even where a block holds only nulls."""
    import pyarrow as pa

    for column in table.columns:
        place = block.schema.get_field_index(column.name)
        if place < 0:
            continue
        if column.kind == "decimal" and column.scale <= MAX_SCALE:
            block = block.set_column(place, column.name, block.column(place).cast(pa.decimal128(38, column.scale)))
        elif column.kind in ("categorical", "text", "identifier"):
            block = block.set_column(place, column.name, block.column(place).cast(pa.string()))
    return block


def _as_declared(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """The frame with the datetimes and decimals among these columns as the text that a file should show."""
    shown = {}
    for column in columns:
        if column.name not in frame:
            continue
        values = frame[column.name]
        if column.kind == "decimal" and column.scale <= MAX_SCALE:
            shown[column.name] = values.map(f"{{:.{column.scale}f}}".format, na_action="ignore")
        elif column.kind == "datetime" and column.zone is not None:
            local = values.dt.tz_localize("UTC").dt.tz_convert(column.zone)
            shown[column.name] = local.dt.strftime("%Y-%m-%dT%H:%M:%S%z")
        elif column.kind == "datetime":
            shown[column.name] = _iso(values, "D" if column.step % SECONDS["day"] == 0 else "s")
    return frame.assign(**shown)


def infer_table(frame: pd.DataFrame, name: str) -> Table:
    """Propose a kind for every column by looking at all of its values.

    The proposal reads private data and has source ``data``. It sets no bounds, categories or null facts: those
    are typed by a person, or bought.
    """
    columns = [Column(name=str(label), kind=propose_kind(frame[label]), sources={"kind": "data"}) for label in frame.columns]
    return Table(name=name, columns=tuple(columns))


def propose_kind(values: pd.Series[Any]) -> Kind:
    """The kind that all values of a column can be read as, the narrowest first."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "datetime"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "integer"
    if pd.api.types.is_float_dtype(values.dtype):
        present = values.dropna()
        return "integer" if len(present) and bool((present == present.round()).all()) else "decimal"
    text = values.dropna().astype(str).str.strip()
    text = text[text != ""]
    if not len(text):
        return "categorical"
    for kind, pattern in _KIND_PATTERNS:
        if text.str.fullmatch(pattern).all():
            return kind
    distinct = text.nunique()
    if distinct == len(text) and len(text) > 20 and not text.str.contains(" ").any():
        return "identifier"
    is_long = float(text.str.len().mean()) > 40 and distinct > len(text) / 2
    return "text" if is_long else "categorical"


_KIND_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("boolean", r"(?i)true|false|yes|no"),
    ("integer", r"[+-]?(0|[1-9]\d{0,17})"),  # 01234 is a code: as a number it would lose its zero
    ("decimal", r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?"),
    ("datetime", r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?"),
)


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SourceError(f"file={str(path)!r} is not there; check the path") from None
    except IsADirectoryError:
        raise SourceError(f"file={str(path)!r} is a folder; expected a file") from None
    except OSError as error:
        raise SourceError(f"file={str(path)!r} cannot be read ({error.strerror}); check its permissions") from None
    if not data.strip():
        raise SourceError(f"file={str(path)!r} is empty; expected a header and rows")
    return data


def _require_usable_header(path: Path, names: list[Any]) -> None:
    text = list(map(str, names))
    if len(text) > MAX_COLUMNS:
        raise SourceError(
            f"file={str(path)!r} has {len(text)} columns; expected at most {MAX_COLUMNS}: one record a line, one cell a value"
        )
    repeated = sorted(name for name, count in Counter(text).items() if count > 1)
    if repeated:
        raise SourceError(f"file={str(path)!r} has two columns named {repeated[0]!r}; expected distinct names")
    if any(not name.strip() for name in text):
        raise SourceError(f"file={str(path)!r} has a column without a name; expected a name in every cell of the header")


def _read_csv(path: Path, data: bytes, encoding: str | None, delimiter: str | None) -> Reading:
    if encoding is None and b"\x00" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError(f"file={str(path)!r} holds NUL bytes from byte {data.index(0)}; expected text: export it again")
    text, encoding_note = _decoded(path, data, encoding)
    text = text.lstrip("\r\n")  # Arrow skips empty lines before the header: the header read here must be the one that it finds
    if not text.strip():
        raise SourceError(f"file={str(path)!r} is empty; expected a header and rows")
    found = delimiter or ("\t" if path.suffix.lower() == ".tsv" else _sniffed_delimiter(text))
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=found))
    except csv.Error:
        raise SourceError(f"file={str(path)!r} has a header that cannot be read; expected names in the first line") from None
    _require_usable_header(path, header)
    frame = _parsed_csv(path, text, header, found)
    return Reading(frame=frame, notes=(encoding_note, f"delimiter {found!r}"))


def _parsed_csv(path: Path, text: str, header: list[str], delimiter: str) -> pd.DataFrame:
    """All cells as str; empty cells are None. Arrow's parser refuses rows with too many or too few cells."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    data = text.encode()
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(block_size=min(max(len(data), 1024), _MAX_BLOCK_BYTES), use_threads=False),
            # in a file of one column an empty line is an empty cell
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(header) > 1),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        raise SourceError(_csv_fault(path, str(error))) from None
    return _cells(table.to_pandas())


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of objects in which every kind of null is None."""
    cells = frame.astype(object)
    cells[frame.isna()] = None
    return cells


def _csv_fault(path: Path, message: str) -> str:
    """What Arrow found, without the row that it quotes."""
    shape = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", message)
    if shape:
        row, expected, actual = shape.groups()
        return (
            f"file={str(path)!r}: record {int(row) - 1} has {actual} cells, the header has {expected}; quote cells that hold the delimiter"
        )
    shape = re.search(r"Expected (\d+) columns, got (\d+)", message)
    if shape:
        return f"file={str(path)!r}: a record has {shape[2]} cells, the header has {shape[1]}; quote cells that hold the delimiter"
    return f"file={str(path)!r} is not a well-formed CSV file; check quotes and line ends"


def _decoded(path: Path, data: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of a file, and a note on its encoding."""
    if encoding is None:
        encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
        try:
            return data.decode(encoding), f"encoding {encoding.removesuffix('-sig')}"
        except UnicodeDecodeError:
            encoding = "cp1252"
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"file={str(path)!r} is not {encoding} text (byte {error.start}); save it as UTF-8, or write its encoding in the plan"
        ) from None
    except LookupError:
        raise SourceError(f"encoding={encoding!r} is unknown; expected a name such as utf-8, cp1252 or utf-16") from None
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        raise SourceError(f"file={str(path)!r} is not text in {encoding}; save it as UTF-8, or write its encoding in the plan")
    return text, f"encoding {encoding}"


def _sniffed_delimiter(text: str) -> str:
    """The delimiter that gives the header the most cells; rows of another width are then refused, not explained away."""

    def width(delimiter: str) -> int:
        try:
            return len(next(csv.reader(io.StringIO(text[: 2**20], newline=""), delimiter=delimiter)))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=width)


def _read_parquet(path: Path, data: bytes, encoding: str | None, delimiter: str | None) -> Reading:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        _require_usable_header(path, file.schema_arrow.names)
        table = file.read()
    except SourceError:
        raise
    except (pa.ArrowException, OSError, ValueError):
        raise SourceError(f"file={str(path)!r} is not a readable Parquet file; export it again") from None
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise SourceError(f"file={str(path)!r}: column {nested[0]!r} is nested; expected plain values: flatten it first")
    return Reading(frame=_plain(table), notes=())


def _plain(table: Any) -> pd.DataFrame:
    """An Arrow table as a frame in which integers with nulls stay integers."""
    import pyarrow as pa

    nullable = {
        kind: dtype
        for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
        for kind, dtype in [(pa.type_for_alias(name.lower()), pd.api.types.pandas_dtype(name))]
    }
    # The metadata that pandas writes would turn a column into the frame's index, which is no column.
    frame: pd.DataFrame = table.to_pandas(
        ignore_metadata=True,
        types_mapper=lambda kind: nullable.get(kind) or (pd.BooleanDtype() if pa.types.is_boolean(kind) else None),
    )
    return frame


def _read_excel(path: Path, data: bytes, encoding: str | None, delimiter: str | None) -> Reading:
    require("openpyxl")
    try:
        sheets = pd.read_excel(
            io.BytesIO(data), sheet_name=None, header=None, dtype=object, keep_default_na=False, na_values=[""], engine="openpyxl"
        )
    except Exception as error:  # openpyxl raises KeyError, BadZipFile, ValueError and more on damaged files
        raise SourceError(f"file={str(path)!r} is not a readable Excel file ({type(error).__name__}); save it again as .xlsx") from None
    name, sheet = next(iter(sheets.items()))
    sheet = sheet[sheet.notna().to_numpy().any(axis=1).cumsum() > 0]  # from the first row with a value on
    if not len(sheet):
        raise SourceError(f"file={str(path)!r}: sheet {name!r} is empty; expected a header and rows")
    # The header is taken as a row: pandas would give new names to repeated and empty ones.
    header = ["" if pd.isna(label) else str(label) for label in sheet.iloc[0]]
    frame = sheet.iloc[1:].set_axis(header, axis="columns")
    _require_usable_header(path, header)
    notes = (f"sheet {name!r}, the first of {len(sheets)}",)
    return Reading(frame=_cells(frame), notes=notes)


def _read_json_lines(path: Path, data: bytes, encoding: str | None, delimiter: str | None) -> Reading:
    text, note = _decoded(path, data, encoding)
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            records.append(_flat_object(path, number, _parsed_json(path, number, line)))
    return Reading(frame=_frame_of(path, records), notes=(note,))


def _read_json(path: Path, data: bytes, encoding: str | None, delimiter: str | None) -> Reading:
    text, note = _decoded(path, data, encoding)
    values = _parsed_json(path, 1, text)
    if not isinstance(values, list) or not values:
        raise SourceError(f"file={str(path)!r} is not a list of records; expected [{{...}}, ...], or JSON lines in a .jsonl file")
    records = [_flat_object(path, number, value) for number, value in enumerate(values, start=1)]
    return Reading(frame=_frame_of(path, records), notes=(note,))


def _parsed_json(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise SourceError(f"file={str(path)!r}: record {number} is not valid JSON; check how it was written") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names do not repeat: JSON would keep the last value and say nothing."""
    if len(values := dict(pairs)) < len(pairs):
        raise ValueError
    return values


def _flat_object(path: Path, number: int, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SourceError(f"file={str(path)!r}: record {number} is not an object; expected one {{...}} a record")
    for key, cell in value.items():
        if isinstance(cell, dict | list):
            raise SourceError(f"file={str(path)!r}: field {key!r} of record {number} is nested; expected plain values: flatten it first")
    return value


def _frame_of(path: Path, records: list[dict[str, Any]]) -> pd.DataFrame:
    names = list(dict.fromkeys(name for record in records for name in record))
    _require_usable_header(path, names)  # before a cell is made for every record and name
    cells = {name: np.array([record.get(name) for record in records] + [None], dtype=object)[:-1] for name in names}
    return pd.DataFrame(cells, dtype=object)


def _only_dates(frame: pd.DataFrame) -> bool:
    """True if no datetime in the frame has a time of day."""
    times = frame.select_dtypes("datetime")
    return all(bool((values.dropna() == values.dropna().dt.normalize()).all()) for _, values in times.items())


_READERS: dict[str, Callable[[Path, bytes, str | None, str | None], Reading]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".parquet": _read_parquet,
    ".xlsx": _read_excel,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
}
