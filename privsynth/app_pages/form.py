"""What a person fills in, and the plan that it stands for.

A form is plain JSON: the path of a TOML plan to start from (a draft, or the sample's), one row for each column, and settings.
Cells of the column table are text as typed; they are read here, and ``config.Plan`` checks them word by word.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args

from privsynth.config import NOT_PERSONAL, Plan
from privsynth.errors import PlanError
from privsynth.schema import SECONDS, Kind

KINDS = (*get_args(Kind), "drop")
UNDECIDED = "not stated"
"""Of a column's personal data: the plan says nothing, and a finding of the run stops it."""

Row = dict[str, Any]
"""One line of the column table, by the keys of ``rows_of``."""


def load(path: Path) -> dict[str, Any]:
    """The values of a TOML plan.

    Raises:
        PlanError: The file is not TOML: a column's name cannot be written in a plan.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise PlanError(f"plan={path.name!r} is not valid TOML; rename columns whose names hold control characters") from None


def rows_of(values: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The column table for a plan's values, with what the scan found beside it.

    Args:
        values: A plan's values, as TOML gives them.
        findings: For each column ``column``, ``pii`` and ``evidence``.
    """
    found = {finding["column"]: finding for finding in findings}
    secrets = values.get("audit", {}).get("secrets", ())
    return [_row(name, section, found.get(name), name in secrets) for name, section in _table(values)["columns"].items()]


def _row(name: str, section: Mapping[str, Any], finding: Mapping[str, Any] | None, is_secret: bool) -> Row:
    low, high = section.get("bounds", ("", ""))
    return {
        "column": name,
        "kind": section.get("kind", "identifier"),
        "personal": section.get("pii", UNDECIDED),
        "evidence": "" if finding is None else f"{finding['pii'] or 'nothing found'}: {finding['evidence']}",
        "quasi_identifier": bool(section.get("quasi_identifier", False)),
        "secret": is_secret or bool(section.get("secret", False)),
        "lowest": _shown(low),
        "highest": _shown(high),
        "step": _shown(section.get("step", "")),
        "categories": _joined(section.get("categories", ())),
        "may_be_empty": bool(section.get("nullable", True)),
        "reference": section.get("reference", ""),
    }


def plan_of(form: Mapping[str, Any]) -> Plan:
    """The plan that a form stands for.

    Args:
        form: ``toml`` (path of the plan to start from), ``rows`` and ``settings``: a plan's sections with the values that the
            person chose; a value of None is one not chosen.

    Raises:
        PlanError: With the key or cell that is wrong.
    """
    path = Path(form["toml"])
    values = load(path)
    table = _table(values)
    sections = table["columns"]
    table["columns"] = {row["column"]: _section(row, sections[row["column"]]) for row in form["rows"]}
    for name, section in form["settings"].items():
        target = table if name == "table" else values.setdefault(name, {})
        target.update(section)
        for key in [key for key, value in target.items() if value is None]:
            del target[key]
    secrets = [row["column"] for row in form["rows"] if row["secret"]]
    values.setdefault("audit", {})["secrets"] = secrets
    return Plan.from_dict(values, base=path.parent)


def _section(row: Row, base: Mapping[str, Any]) -> dict[str, Any]:
    """One column's section: what the plan said, with the row's cells in the place of its own."""
    if row["kind"] == "drop":
        return {"kind": "drop"}
    section = {key: value for key, value in base.items() if key not in ("bounds", "step", "categories", "nullable", "pii")}
    section["kind"] = row["kind"]
    for tick in ("quasi_identifier", "secret"):
        if row[tick] or tick in base:
            section[tick] = row[tick]
    if row["lowest"] or row["highest"]:
        section["bounds"] = [_bound(row, "lowest"), _bound(row, "highest")]
    if row["step"]:
        section["step"] = row["step"] if row["step"] in SECONDS else _number(row, "step")
    if row["categories"].strip():
        section["categories"] = _split(row)
    if not row["may_be_empty"] or "nullable" in base:
        section["nullable"] = row["may_be_empty"]
    if row["personal"] != UNDECIDED:
        section["pii"] = row["personal"]
    if row["reference"]:
        section["reference"] = row["reference"]
    return section


def _table(values: Mapping[str, Any]) -> dict[str, Any]:
    tables: dict[str, dict[str, Any]] = values["tables"]
    return next(iter(tables.values()))


def _bound(row: Row, key: str) -> Any:
    text = row[key].strip()
    if row["kind"] != "datetime":
        return _number(row, key)
    try:
        return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError:
        raise PlanError(f"{key}={text!r} of column {row['column']!r}; expected a date such as 2001-01-31") from None


def _number(row: Row, key: str) -> int | float:
    text = row[key].strip()
    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    except ValueError:
        raise PlanError(f"{key}={text!r} of column {row['column']!r}; expected a number with a decimal point, without spaces") from None


def _split(row: Row) -> list[str]:
    """Categories between commas; one that holds a comma stands in quotes."""
    try:
        (cells,) = csv.reader([row["categories"].strip()], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        raise PlanError(f'categories of column {row["column"]!r} cannot be read; expected values between commas: A, B, "C, D"') from None
    return [cell.strip() for cell in cells]


def _joined(categories: Sequence[str]) -> str:
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' if re.search(r'[,"]|^\s|\s$', name) else name for name in categories]
    return ", ".join(quoted)


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


__all__ = ["KINDS", "NOT_PERSONAL", "UNDECIDED", "Row", "load", "plan_of", "rows_of"]
