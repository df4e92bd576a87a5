"""The commands around personal data: scan, strip."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from privsynth.terminal import console, one_line

if TYPE_CHECKING:
    from privsynth.pii.files import FilesReport
    from privsynth.pii.strip import Stripped

FOUND = 1
"""Exit code of a scan that found what ``--fail-on`` names."""

Paths = Annotated[list[Path], typer.Argument(help="Tables (CSV, Parquet, Excel, JSON lines) and folders of tables and texts.")]
Language = Annotated[str | None, typer.Option(help="Language of free text, for example de; told by column by default.")]
Locale = Annotated[str, typer.Option(help="Of invented names and numbers, in order of preference, for example de_CH,fr_CH.")]
Ner = Annotated[str | None, typer.Option(help='"none" accepts that no model looks for names in free text.')]


def scan(
    data: Paths,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_values: Annotated[bool, typer.Option("--show-values", help="Show a few values; on a terminal only.")] = False,
    fail_on: Annotated[
        str, typer.Option(help="Exit with 1 if one of these types is found in any value, for example PERSON,IBAN_CODE.")
    ] = "",
    recall: Annotated[
        bool, typer.Option("--recall", help="Plant known values into a copy of the texts; measure how many are found.")
    ] = False,
    review: Annotated[
        Path | None,
        typer.Option(help="File for a list of unsure and passed-over words, JSON, mode 600 (private: holds words of the texts)."),
    ] = None,
    language: Language = None,
    locale: Locale = "en_US",
    ner: Ner = None,
) -> int:
    """Look for personal data, column by column and text by text.

    Example: privsynth scan clients.csv; privsynth scan notes/ --recall; in a pipeline: privsynth scan data/ --fail-on PERSON,IBAN_CODE
    """
    import numpy as np

    from privsynth.errors import PlanError
    from privsynth.pii import files

    if show_values and not sys.stdout.isatty():
        raise PlanError("--show-values prints private data and needs a terminal; leave it out")
    wanted = _types(fail_on)
    inputs = files.read_inputs(data)
    report = files.scan_files(
        inputs,
        rng=np.random.default_rng(0),
        every_value=bool(wanted),
        language=language,
        ner=ner,
        locale=_split(locale),
        with_recall=recall,
        show_values=show_values,
    )
    if as_json:
        console.print(report.to_json(), soft_wrap=True)
    else:
        _show_scan(report)
    if review is not None:
        listed = files.review_files(inputs, report, language=language, ner=ner)
        _write_private(
            review, json.dumps({place: [asdict(item) for item in items] for place, items in listed.items()}, ensure_ascii=False, indent=1)
        )
    return FOUND if wanted & report.types else 0


def strip(
    data: Paths,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; must be new or empty.")],
    person: Annotated[str | None, typer.Option(help="Column that says whose row it is, in every table that has it.")] = None,
    method: Annotated[str, typer.Option(help="surrogate, redact, mask or generalise.")] = "surrogate",
    scope: Annotated[str, typer.Option(help="How far surrogates in texts agree: dataset, document or none.")] = "dataset",
    column: Annotated[
        list[str] | None, typer.Option(help="What a column is, for example notes=FREE_TEXT or clients.city=keep; may be repeated.")
    ] = None,
    shift_days: Annotated[int, typer.Option(help="Dates of a person move by up to so many days; 0 leaves them.")] = 182,
    keep_key: Annotated[Path | None, typer.Option(help="Keep the key in this new file (mode 600); it is destroyed otherwise.")] = None,
    key: Annotated[Path | None, typer.Option(help="Use a kept key, for another part of the same data.")] = None,
    language: Language = None,
    locale: Locale = "en_US",
    ner: Ner = None,
) -> int:
    """Pseudonymise alone: one surrogate for one person in all tables and texts. No differential privacy.

    Example: privsynth strip clients.csv transactions.csv --person client_id --locale de_CH --out stripped
    """
    import numpy as np

    from privsynth.errors import PlanError
    from privsynth.pii import files
    from privsynth.pii.keyed import Key
    from privsynth.pii.strip import NOT_PRIVATE, Strip

    console.print(NOT_PRIVATE, soft_wrap=True)
    if key is not None and keep_key is not None:
        raise PlanError("--key and --keep-key exclude each other: a kept key is kept already")
    settings = Strip(
        method=method,  # type: ignore[arg-type]  # checked by Strip
        scope=scope,  # type: ignore[arg-type]  # checked by Strip
        person=person,
        columns=_decisions(column or []),
        locales=_split(locale),
        most_days=shift_days,
        language=language,
        ner=ner,
    )
    secret = Key.load(key) if key is not None else Key.fresh()
    inputs = files.read_inputs(data)
    stripped = settings.apply(inputs.tables, inputs.documents, key=secret, rng=np.random.default_rng(0))
    if keep_key is not None:
        secret.save(keep_key)
    written = files.write_stripped(stripped, inputs, out)
    _show_strip(stripped)
    for note in (*inputs.notes, *stripped.notes[1:]):
        console.print(f"Note: {one_line(note)}", soft_wrap=True)
    fate = f"kept in {keep_key}: whoever has it can link surrogates to values" if keep_key else "destroyed" if key is None else "as it was"
    console.print(f"Wrote {len(written)} files to {out}. Key: {fate}.", soft_wrap=True)
    return 0


def _types(text: str) -> set[str]:
    """Types of ``--fail-on``; an unknown one would never be found."""
    from privsynth.errors import PlanError
    from privsynth.pii.strip import COLUMN_TYPES
    from privsynth.registry import hint

    known = (*COLUMN_TYPES, "TITLE", "NRP", "SECRET", "CRYPTO")
    wanted = {"NATIONAL_ID" if name == "US_SSN" else name for name in _split(text)}
    for name in sorted(wanted - set(known)):
        raise PlanError(f"--fail-on names {name!r}, which is no type; expected some of {', '.join(known)}{hint(name, known)}")
    return wanted


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _decisions(written: list[str]) -> dict[str, str]:
    from privsynth.errors import PlanError

    decided = {}
    for item in written:
        name, sign, entity = item.rpartition("=")
        if not sign or not name or not entity:
            raise PlanError(f"--column {item!r} cannot be read; expected COLUMN=TYPE, for example notes=FREE_TEXT")
        decided[name] = entity
    return decided


def _write_private(path: Path, text: str) -> None:
    from privsynth.errors import PlanError

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise PlanError(f"file={str(path)!r} cannot be written ({type(error).__name__}); expected a new file") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    console.print(f"Review list: {path} (private: holds words of the texts)", soft_wrap=True)


def _show_scan(report: FilesReport) -> None:
    several = len(report.tables) > 1
    for table, found in report.tables.items():
        if several:
            console.print(f"{one_line(table)}: {found.n_rows} rows")
        grid = Grid("Column", "Personal data", "Confidence", "Evidence")
        for finding in found.findings:
            evidence = finding.evidence + (f" ({', '.join(finding.examples)})" if finding.examples else "")
            grid.add_row(one_line(finding.column), finding.pii or "–", f"{finding.confidence:.2f}" if finding.pii else "", evidence)
        console.print(grid)
    if report.documents:
        grid = Grid("Document", "Spans", "Language", "Names looked for with")
        for document in report.documents:
            spans = ", ".join(f"{entity} {count}" for entity, count in document.spans.items()) or "none"
            grid.add_row(one_line(document.name), spans, document.language or "not told", document.ner or "nothing: most names are missed")
        console.print(grid)
    for place, recalls in report.recall.items():
        grid = Grid("Planted", "Kind", "Number", "Masked whole", "95 % interval", "Touched", title=f"Recall on {one_line(place)}")
        for recall in recalls:
            low, high = recall.interval
            share, touched = f"{recall.share:.3f}", f"{recall.touched / recall.planted:.3f}"
            grid.add_row(recall.entity, recall.kind, str(recall.planted), share, f"{low:.3f} to {high:.3f}", touched)
        console.print(grid)
    for note in report.notes:
        console.print(f"Note: {one_line(note)}", soft_wrap=True)


def _show_strip(stripped: Stripped) -> None:
    grid = Grid("Table", "Column", "Treated as", "Cells changed", "Why, and what was found in texts")
    for decision in stripped.decisions:
        spans = ", ".join(f"{entity} {count}" for entity, count in decision.spans.items())
        why = f"exchanged: {spans}" if spans else decision.why
        grid.add_row(one_line(decision.table), one_line(decision.column), decision.pii or "– (stays)", str(decision.cells), why)
    console.print(grid)
