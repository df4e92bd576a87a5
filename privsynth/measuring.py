"""All internal figures of a run: attacks, traces of personal values, fidelity and utility."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from privsynth import stages
from privsynth.audit.base import AuditRun
from privsynth.dataset import Dataset, Split
from privsynth.pii.columns import ScanReport
from privsynth.privacy import Reservation
from privsynth.release import Measurements
from privsynth.schema import Column
from privsynth.stages import RunFolder
from privsynth.tabular.base import ColumnReport

RESERVED = ("EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "NATIONAL_ID", "CREDIT_CARD", "ID")
"""Types that are invented from ranges no real person has: an original value in the release is a trace, never a coincidence."""


Edges = tuple[tuple[str, ...], ...]
"""Sets of column names that a graphical model holds."""


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
    *,
    rng: np.random.Generator,
    step: Callable[[str], None],
    tell: Callable[[str, int, int], None],
) -> Measurements:
    """All internal figures: attacks, traces, fidelity, utility."""
    from privsynth import audit, pii
    from privsynth.audit.fidelity import fidelity
    from privsynth.audit.utility import train_on_synthetic

    table = dataset.table
    reservation.spend("audit", "attacks and controls")
    attacks: AuditRun = audit.run(
        split.train,
        split.holdout,
        synthetic,
        rng=rng,
        edges=[edge for edge in edges if set(edge) <= {column.name for column in synthetic.table.modelled}],
        progress=lambda done, total, label: tell(f"audit: {label}", done, total),
    )
    reservation.spend("audit", "replay of personal values")
    personal = {
        column.name: pii_type(column)
        for column in table.columns
        if column.kind != "text" and not column.is_modelled and pii_type(column) in RESERVED
    }
    traces = pii.pii_replay(dataset.frame, synthetic.frame, personal)
    step("measure quality")
    reservation.spend("quality", "distances between marginals")
    distances = fidelity(split.train, split.tuning, synthetic, rng=rng)
    utility = None
    if table.target:
        reservation.spend("quality", "train on synthetic, test on real")
        utility = train_on_synthetic(split.train, split.tuning, synthetic, table.target, rng=rng)
    parts = {"train": split.train, "holdout": split.holdout, "tuning": split.tuning}
    return Measurements(
        audit=attacks,
        fidelity=distances,
        utility=utility,
        pii_scan=scan,
        pii_replay=traces,
        columns=columns,
        people={name: part.count_units() for name, part in parts.items()},
        rows={name: len(part.frame) for name, part in parts.items()},
        clipped=clipped,
    )


def pii_type(column: Column) -> str:
    """As what a column that is not modelled is invented anew: its personal type, or an identifier."""
    return column.pii or "ID"
