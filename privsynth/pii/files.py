"""Several files at once: tables, and folders of texts, read for a scan or for pseudonymisation and written back in their own formats."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth import sources
from privsynth.errors import PIIError, SourceError
from privsynth.pii.columns import ScanReport, scan
from privsynth.pii.languages import language_of
from privsynth.pii.recall import PLANTED_TYPES, Recall, measure_recall, own_name_recall
from privsynth.pii.recognizers import LANGUAGES
from privsynth.pii.review import ReviewItem, review
from privsynth.pii.strip import Stripped
from privsynth.pii.text import NONE, find, ner_model

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".xlsx", ".jsonl", ".ndjson", ".json")
TEXT_ENDINGS = (".txt", ".md", ".text", ".log", ".eml", ".html", ".htm")
"""Files in a folder that are read as one text each."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What was read.

    Attributes:
        tables: Frames by name: the file's path inside its folder without its ending, or its name without its ending.
        documents: Texts by path inside their folder.
        paths: The file of each table, relative to its folder.
        notes: How files were read, and which were left out.
    """

    tables: dict[str, pd.DataFrame]
    documents: dict[str, str]
    paths: dict[str, Path]
    notes: tuple[str, ...]


def read_inputs(paths: Sequence[str | Path]) -> Inputs:
    """Read tables and folders.

    A file named by itself is a table (``.txt`` with a delimiter as well); in a folder, files of text are documents.

    Raises:
        SourceError: A file cannot be read, two have the same name, or nothing was found.
    """
    tables: dict[str, pd.DataFrame] = {}
    documents: dict[str, str] = {}
    places: dict[str, Path] = {}
    notes: list[str] = []
    for root in map(Path, paths):
        files = sorted(file for file in root.rglob("*") if file.is_file() and not file.is_symlink()) if root.is_dir() else [root]
        left_out = 0
        for file in files:
            inside = file.relative_to(root) if root.is_dir() else Path(file.name)
            if root.is_dir() and file.suffix.lower() in TEXT_ENDINGS:
                _require_new(documents, str(inside))
                documents[str(inside)] = _read_text(file)
            elif file.suffix.lower() in TABLE_ENDINGS or not root.is_dir():
                name = str(inside.with_suffix(""))
                _require_new(tables, name)
                reading = sources.read(file)
                tables[name], places[name] = reading.frame, inside
                notes += [f"{inside}: {note}" for note in reading.notes]
            else:
                left_out += 1
        if left_out:
            notes.append(
                f"{root.name}: {left_out} files of other kinds were left out; read are {', '.join((*TABLE_ENDINGS, *TEXT_ENDINGS))}"
            )
    if not tables and not documents:
        raise SourceError(f"nothing to read in {', '.join(repr(str(path)) for path in paths)}; expected tables or folders of texts")
    return Inputs(tables=tables, documents=documents, paths=places, notes=tuple(notes))


def _require_new(known: Mapping[str, object], name: str) -> None:
    if name in known:
        raise SourceError(f"two inputs are called {name!r}; rename one, or read their common folder")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise SourceError(f"file={str(path)!r} cannot be read as UTF-8 text ({type(error).__name__}); save it as UTF-8") from None


@dataclass(frozen=True, kw_only=True)
class DocumentFinding:
    """What one document holds: spans by type, its language if it can be told, and who looked for names."""

    name: str
    spans: dict[str, int]
    language: str | None
    ner: str | None


@dataclass(frozen=True, kw_only=True)
class FilesReport:
    """What a scan of files found; an internal document.

    Attributes:
        tables: Findings by table.
        documents: Findings by document.
        recall: Recall by table and column, or ``documents``; empty unless it was asked for.
        notes: How files were read.
    """

    tables: dict[str, ScanReport]
    documents: tuple[DocumentFinding, ...]
    recall: dict[str, tuple[Recall, ...]]
    notes: tuple[str, ...]

    @property
    def types(self) -> frozenset[str]:
        """All types found, in columns, in texts of columns and in documents."""
        columns = [finding for report in self.tables.values() for finding in report.findings]
        spans = [*(finding.spans for finding in columns), *(document.spans for document in self.documents)]
        return frozenset([finding.pii for finding in columns if finding.pii is not None] + [entity for found in spans for entity in found])

    def to_json(self) -> str:
        """The report as JSON."""
        values = {
            "tables": {name: json.loads(report.to_json()) for name, report in self.tables.items()},
            "documents": [asdict(document) for document in self.documents],
            "recall": {place: [asdict(recall) for recall in recalls] for place, recalls in self.recall.items()},
            "notes": self.notes,
        }
        return json.dumps(values, ensure_ascii=False, indent=2)


def scan_files(
    inputs: Inputs,
    *,
    rng: np.random.Generator,
    every_value: bool = False,
    language: str | None = None,
    ner: str | None = None,
    locale: str | Sequence[str] = "en",
    with_recall: bool = False,
    show_values: bool = False,
) -> FilesReport:
    """Look for personal data in tables and documents.

    Args:
        inputs: What ``read_inputs`` gives.
        rng: Draws the values that are looked at, and what is planted.
        every_value: Look at every distinct value and text; a gate that samples is no gate. Documents are always read whole.
        language: Of all texts; None tells it for each column and document.
        ner: ``"none"`` for no model that looks for names; None for the best that is there.
        locale: Of planted values.
        with_recall: Also measure how much the detector finds of values planted into these texts.
        show_values: Whether findings carry up to three examples.
    """
    tables = {
        name: scan(frame, rng=rng, sample=None if every_value else 500, language=language, ner=ner, show_values=show_values)
        for name, frame in inputs.tables.items()
    }
    documents = tuple(_document(name, text, language=language, ner=ner) for name, text in inputs.documents.items())
    recall: dict[str, tuple[Recall, ...]] = {}
    if with_recall:
        recall = {
            place: _recall(texts, names, spoken or "en", ner, locale, rng)
            for place, texts, names, spoken in _texts_of(inputs, tables, language)
        }
        if not recall:
            raise PIIError("there is no free text to measure recall on; expected a column of running text, or a folder of texts")
    return FilesReport(tables=tables, documents=documents, recall=recall, notes=inputs.notes)


def _document(name: str, text: str, *, language: str | None, ner: str | None) -> DocumentFinding:
    told = language or language_of([text])
    model = None if ner == NONE else ner or ner_model(told or "en")
    (spans,) = find([text], language=told if told in LANGUAGES else "en", model=model or NONE)
    counts: dict[str, int] = {}
    for span in spans:
        counts[span.entity] = counts.get(span.entity, 0) + 1
    return DocumentFinding(name=name, spans=dict(sorted(counts.items())), language=told, ner=model)


Texts = tuple[str, list[str], list[list[str]] | None, str | None]
"""A place, its texts, for each the names in its own row (None for documents), and their language."""


def _texts_of(inputs: Inputs, tables: Mapping[str, ScanReport], language: str | None) -> list[Texts]:
    found: list[Texts] = []
    for name, report in tables.items():
        frame = inputs.tables[name]
        people = [finding.column for finding in report.findings if finding.pii == "PERSON"]
        for finding in report.findings:
            if finding.pii != "FREE_TEXT":
                continue
            rows = frame[frame[finding.column].notna()]
            names = [[str(cell) for cell in row if not pd.isna(cell)] for row in rows[people].itertuples(index=False)] if people else None
            found.append((f"{name}.{finding.column}", [str(cell) for cell in rows[finding.column]], names, language or finding.language))
    if inputs.documents:
        texts = list(inputs.documents.values())
        found.append(("documents", texts, None, language or language_of(texts)))
    return found


def _recall(
    texts: list[str],
    names: list[list[str]] | None,
    language: str,
    ner: str | None,
    locale: str | Sequence[str],
    rng: np.random.Generator,
) -> tuple[Recall, ...]:
    supported = language if language in LANGUAGES else "en"
    model = NONE if ner == NONE or ner_model(language) is None else ner or ner_model(language)
    planted = measure_recall(texts, rng=rng, types=PLANTED_TYPES, language=supported, model=model, locale=locale)
    own = own_name_recall(texts, names, language=supported, model=model) if names else None
    return (*planted, own) if own else planted


def review_files(
    inputs: Inputs, report: FilesReport, *, language: str | None = None, ner: str | None = None
) -> dict[str, list[ReviewItem]]:
    """What a person should look at in each column of text and in the documents; holds words of the texts."""
    reviewed = {}
    for place, texts, _, spoken in _texts_of(inputs, report.tables, language):
        supported = spoken if spoken in LANGUAGES else "en"
        model = NONE if ner == NONE or ner_model(spoken or "en") is None else ner or ner_model(spoken or "en")
        # Low thresholds: what is just below them is what should be looked at.
        reviewed[place] = review(texts, find(texts, language=supported, model=model, threshold=0.3), language=supported)
    return reviewed


def write_stripped(stripped: Stripped, inputs: Inputs, folder: str | Path) -> list[Path]:
    """Write pseudonymised tables and documents in their own formats, all or none.

    Args:
        stripped: What ``Strip.apply`` gave.
        inputs: What it was made from: names and formats of the files.
        folder: A folder that is not there yet, or empty.

    Returns:
        The files written.

    Raises:
        SourceError: The folder holds something, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SourceError(f"folder={str(folder)!r} holds something; nothing is overwritten: choose another")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise SourceError(f"folder={str(folder)!r} cannot be written ({type(error).__name__})") from None
    try:
        for name, frame in stripped.tables.items():
            place = draft / inputs.paths[name]
            place.parent.mkdir(parents=True, exist_ok=True)
            writer = _WRITERS.get(place.suffix.lower(), sources.write)
            writer(frame, place)
        for name, text in stripped.documents.items():
            place = draft / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _write_json_lines(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True, force_ascii=False, date_format="iso")


def _write_json(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", force_ascii=False, date_format="iso", indent=1)


def _write_delimited(frame: pd.DataFrame, path: Path) -> None:
    """Tables of tabs keep their delimiter."""
    frame.to_csv(path, index=False, sep="\t", lineterminator="\n")


_WRITERS: Mapping[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".jsonl": _write_json_lines,
    ".ndjson": _write_json_lines,
    ".json": _write_json,
    ".tsv": _write_delimited,
}
