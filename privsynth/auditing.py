"""The audits alone, on anyone's synthetic file: read three files alike, attack, judge.

There is no plan and no guarantee here: what the figures mean rests on the holdout being people of the same kind whom the
generator never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth import audit, sources
from privsynth.audit.base import AuditRun
from privsynth.dataset import Dataset, Role, conform
from privsynth.errors import AuditError
from privsynth.release import Verdict
from privsynth.report.policy import Judgement, Policy, audit_judgements, verdict
from privsynth.report.summary import audit as audit_json
from privsynth.schema import ROW, Column, Schema, Table

SMALLEST_SYNTHETIC = 100


Progress = Callable[[str, int, int], None]
"""Told when the audit moves on: the step, and how many of how many are finished."""


@dataclass(frozen=True, kw_only=True)
class FileAudit:
    """The audit of a file: attacks, judgements, and how the columns were read."""

    run: AuditRun
    judgements: tuple[Judgement, ...]
    verdict: Verdict
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; computed from private data."""
        return {
            "verdict": self.verdict,
            "judgements": [asdict(judgement) for judgement in self.judgements],
            "notes": list(self.notes),
            "audit": audit_json(self.run, {judgement.subject: judgement.light for judgement in self.judgements}),
        }


def audit_files(
    train: Path,
    holdout: Path | None,
    synthetic: Path,
    *,
    unit: str = ROW,
    seed: int | None = None,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> FileAudit:
    """Attack a synthetic file with the people it was made from and people it was not made from.

    Args:
        train: File with the records that the generator saw.
        holdout: File with other people's records; without it every attack is not measurable.
        synthetic: File under audit.
        unit: Column that identifies a person in train and holdout, or "row".
        seed: Makes the audit repeatable; fresh randomness by default.
        policy: Limits; the shipped example by default.
        progress: Told as the audit moves on.

    Raises:
        SourceError: A file cannot be read.
        AuditError: The files do not fit each other, or a person is in train and in holdout.
    """
    policy = policy or Policy.load()
    frames = {"train": sources.read(train).frame, "synthetic": sources.read(synthetic).frame}
    if holdout is not None:
        frames["holdout"] = sources.read(holdout).frame
    _require_alike(frames, unit)
    schema = _common_schema(frames, unit)
    unlike = _read_unlike(frames, schema)
    datasets = {name: _typed(frame, schema, name) for name, frame in frames.items()}
    run = audit.run(
        datasets["train"],
        datasets.get("holdout"),
        datasets["synthetic"],
        rng=np.random.default_rng(seed),
        progress=(lambda done, total, label: progress(label, done, total)) if progress else None,
    )
    held_out = datasets["holdout"].count_units() if holdout is not None else 0
    judgements = tuple(audit_judgements(policy, run, holdout_people=held_out))
    kinds = ", ".join(f"{column.name}: {column.kind}" for column in schema.tables[0].columns)
    return FileAudit(
        run=run, judgements=judgements, verdict=verdict(judgements), notes=(f"Columns were read as {kinds}.", *unlike, *run.notes)
    )


def _require_alike(frames: dict[str, pd.DataFrame], unit: str) -> None:
    """Refuse files whose columns differ, and a synthetic file that cannot be audited."""
    expected = set(map(str, frames["train"].columns))
    if unit != ROW and unit not in expected:
        raise AuditError(f'unit={unit!r} is not a column of the train file; expected one of its columns, or "row"')
    for name, frame in frames.items():
        actual = set(map(str, frame.columns))
        optional = {unit} if name == "synthetic" else set()
        missing, extra = sorted(expected - actual - optional), sorted(actual - expected)
        if missing or extra:
            what = f"lacks column {missing[0]!r}" if missing else f"has column {extra[0]!r}, which train lacks"
            raise AuditError(f"the {name} file {what}; expected the same columns in all files")
    synthetic = frames["synthetic"]
    if len(synthetic) < SMALLEST_SYNTHETIC:
        raise AuditError(f"the synthetic file has {len(synthetic)} rows; expected at least {SMALLEST_SYNTHETIC}")
    if not len(synthetic.dropna(how="all")):
        raise AuditError("the synthetic file holds nulls only; expected values")


def _common_schema(frames: dict[str, pd.DataFrame], unit: str) -> Schema:
    """Kinds that hold for all files together: a column is a number only if it is one everywhere."""
    stacked = pd.concat([frame.astype(object) for frame in frames.values()], ignore_index=True)[list(frames["train"].columns)]
    table = sources.infer_table(stacked, "data")
    columns = tuple(
        Column(name=column.name, kind="identifier" if column.name == unit else column.kind, step=_step(column), sources=column.sources)
        for column in table.columns
    )
    return Schema(tables=(Table(name="data", columns=columns),), privacy_unit=unit)


def _read_unlike(frames: dict[str, pd.DataFrame], schema: Schema) -> list[str]:
    """Columns that one file alone would be read differently: a release with words for numbers is a finding, not a detail."""
    notes = []
    for name, frame in frames.items():
        alone = {column.name: column.kind for column in sources.infer_table(frame, "data").columns}
        for column in schema.tables[0].columns:
            if column.name != schema.privacy_unit and frame.get(column.name, pd.Series(dtype=object)).notna().any():
                kind = alone[column.name]
                if column.kind in ("categorical", "text") and kind not in ("categorical", "text", "identifier"):
                    notes.append(f"Column {column.name!r} is {kind} in the {name} file but not in all files; it was read as {column.kind}.")
    return notes


def _step(column: Column) -> float:
    return 86_400.0 if column.kind == "datetime" else 1.0


def _typed(frame: pd.DataFrame, schema: Schema, name: str) -> Dataset:
    role: Role = "train" if name == "train" else "holdout" if name == "holdout" else "synthetic"
    table = schema.tables[0]
    if schema.privacy_unit not in frame.columns and schema.privacy_unit != ROW:
        table = table.with_columns(column for column in table.columns if column.name != schema.privacy_unit)
        schema = Schema(tables=(table,), privacy_unit=ROW)
    typed, _ = conform(frame, schema, table)
    return Dataset(tables={"data": typed}, schema=schema, role=role)
