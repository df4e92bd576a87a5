"""All internal figures of a run: attacks, a lower bound on epsilon, traces of personal values, fidelity, utility and breadth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from privsynth import sources, stages
from privsynth.audit.base import AuditResult, AuditRun
from privsynth.audit.epsilon_bounds import Claim
from privsynth.config import Plan
from privsynth.dataset import Dataset, Split, conform
from privsynth.errors import PlanError
from privsynth.pii.columns import ScanReport
from privsynth.privacy import Reservation
from privsynth.privacy.accounting import Total
from privsynth.release import Measurements
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.stages import RunFolder
from privsynth.tabular.base import ColumnReport
from privsynth.texts import text_columns

if TYPE_CHECKING:
    from privsynth.audit.text_replay import Texts

RESERVED = ("EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "NATIONAL_ID", "CREDIT_CARD", "ID")
"""Types that are invented from ranges no real person has: an original value in the release is a trace, never a coincidence."""


Edges = tuple[tuple[str, ...], ...]
"""Sets of column names that a graphical model holds."""


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """What the plan names for a release to be compared with, read before anything is spent.

    Attributes:
        earlier: An earlier release of the same people; None if the plan names none.
        evaluation: Evaluation sets by the name of their file.
    """

    earlier: Dataset | None
    evaluation: Mapping[str, pd.DataFrame]


def comparisons(plan: Plan, schema: Schema) -> Comparisons:
    """Read the files that ``[audit]`` names, typed like the table but without its bounds and categories: strangers may lie outside.

    Raises:
        PrivSynthError: A file cannot be read, or does not fit the table.
    """
    table = schema.tables[0]
    earlier = None
    if plan.audit.earlier_release is not None:
        frame, own = _read_like(plan, plan.audit.earlier_release, table, others_allowed=True)
        missing = [column.name for column in table.modelled if column.name not in frame]
        if missing:
            named = f"audit.earlier_release={plan.audit.earlier_release!r}"
            raise PlanError(f"{named} lacks column {missing[0]!r}; expected a released table of the same people")
        earlier = Dataset(tables={table.name: frame}, schema=Schema(tables=(own,), privacy_unit=ROW), role="synthetic")
    evaluation = {}
    for path in plan.audit.evaluation:
        frame, _ = _read_like(plan, path, table, others_allowed=False)
        if not len(frame.columns):
            raise PlanError(f"audit.evaluation names {path!r}; expected a table with modelled columns of the plan")
        evaluation[Path(path).name] = frame
    return Comparisons(earlier=earlier, evaluation=evaluation)


def _read_like(plan: Plan, path: str, table: Table, *, others_allowed: bool) -> tuple[pd.DataFrame, Table]:
    """A file's modelled columns, typed; identifiers and personal columns of a released table are invented and not read.

    A release may have a column that marks its rows as synthetic; an evaluation set with other columns is another table's.
    """
    raw = sources.read(plan.path_of(path)).frame
    unknown = [str(name) for name in raw.columns if str(name) not in table.names]
    if unknown and not others_allowed:
        raise PlanError(f"file {path!r} of [audit] has column {unknown[0]!r}, which table {table.name!r} lacks")
    columns = tuple(
        Column(name=column.name, kind=column.kind, step=column.step, zone=column.zone)
        for column in table.modelled
        if column.name in raw.columns
    )
    own = Table(name=table.name, columns=columns)
    typed, _ = conform(raw[[column.name for column in columns]], Schema(tables=(own,), privacy_unit=ROW), own)
    return typed, own


def measured_once(run: RunFolder, measure: Callable[[], Measurements]) -> Measurements:
    """All internal figures, measured once: measuring again would offer another verdict to choose from."""
    if not run.finished("measurements"):
        measured = measure()
        with run.writing("measurements") as draft:
            stages.save_values(measured, draft / "measurements.json")
    with run.reading("measurements") as stored:
        return stages.load_values(Measurements, stored / "measurements.json")


def measure(
    dataset: Dataset,
    split: Split,
    synthetic: Dataset,
    columns: tuple[ColumnReport, ...],
    edges: Edges,
    scan: ScanReport,
    clipped: dict[str, int],
    reservation: Reservation,
    compared: Comparisons,
    *,
    rng: np.random.Generator,
    step: Callable[[str], None],
    tell: Callable[[str, int, int], None],
) -> Measurements:
    """All internal figures: attacks, a lower bound on epsilon, traces, fidelity, utility, breadth."""
    from privsynth import audit, pii
    from privsynth.audit.breadth import breadth
    from privsynth.audit.fidelity import fidelity
    from privsynth.audit.one_run import one_run_audit
    from privsynth.audit.text_replay import audit_texts
    from privsynth.audit.utility import segment_columns, train_on_synthetic
    from privsynth.pii.replay import text_replay

    table = dataset.table
    held = [edge for edge in edges if set(edge) <= {column.name for column in synthetic.table.modelled}]
    reservation.spend("audit", "attacks and controls")
    attacks: AuditRun = audit.run(
        split.train,
        split.holdout,
        synthetic,
        rng=rng,
        edges=held,
        earlier=compared.earlier,
        progress=lambda done, total, label: tell(f"audit: {label}", done, total),
    )
    reservation.spend("audit", "lower bound on epsilon")
    bound = one_run_audit(split, synthetic, delta=reservation.cost.delta, claim=_claim(reservation.cost), rng=rng, edges=held)
    reservation.spend("audit", "replay of personal values")
    personal = {
        column.name: pii_type(column)
        for column in table.columns
        if column.kind != "text" and not column.is_modelled and pii_type(column) in RESERVED
    }
    traces = pii.pii_replay(dataset.frame, synthetic.frame, personal)
    free = [name for name in text_columns(dataset.table) if name in synthetic.frame]
    of_texts: tuple[AuditResult, ...] = ()
    if free:
        reservation.spend("audit", "replay of texts")
        released = _texts_of(synthetic, free).texts
        of_texts = audit_texts(_texts_of(split.train, free), _texts_of(split.holdout, free), released)
        inside = text_replay(dataset.frame, released, personal)
        traces = {**traces, **{f"{column}, inside texts": count for column, count in inside.items()}}
    step("measure quality")
    reservation.spend("quality", "distances between marginals")
    distances = fidelity(split.train, split.tuning, synthetic, rng=rng)
    utility = None
    if table.target:
        reservation.spend("quality", "train on synthetic, test on real")
        utility = train_on_synthetic(split.train, split.tuning, synthetic, table.target, rng=rng, segments=segment_columns(synthetic.table))
    reservation.spend("quality", "groups, coverage and overlap")
    broad = breadth(split.train, synthetic, compared.evaluation, segment_columns(synthetic.table), rng=rng)
    parts = {"train": split.train, "holdout": split.holdout, "tuning": split.tuning}
    return Measurements(
        audit=replace(attacks, results=(*attacks.results, *of_texts, bound)),
        fidelity=distances,
        utility=utility,
        breadth=broad,
        pii_scan=scan,
        pii_replay=traces,
        columns=columns,
        people={name: part.count_units() for name, part in parts.items()},
        rows={name: len(part.frame) for name, part in parts.items()},
        clipped=clipped,
    )


def _texts_of(data: Dataset, columns: Sequence[str]) -> Texts:
    """The texts of these columns that are there, and whose each is."""
    from privsynth.audit.text_replay import Texts

    units = data.units()
    pairs = [
        (text, str(unit)) for name in columns for text, unit in zip(data.frame[name], units, strict=True) if isinstance(text, str) and text
    ]
    return Texts(texts=[text for text, _ in pairs], people=[unit for _, unit in pairs])


def _claim(cost: Total) -> Claim | None:
    """What the release claims; None without a proof."""
    return Claim(epsilon=cost.epsilon, delta=cost.delta) if math.isfinite(cost.epsilon) else None


def pii_type(column: Column) -> str:
    """As what a column that is not modelled is invented anew: its personal type, or an identifier."""
    return column.pii or "ID"
