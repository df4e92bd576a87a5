"""A release as a value, with exact counts that can be recognised wherever they turn up."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from privsynth.audit.attacks import BLANKS
from privsynth.audit.base import AuditResult, AuditRun, ControlResult
from privsynth.audit.breadth import Breadth, Contamination, Coverage, Diversity, GroupRate
from privsynth.audit.commitment import Opening
from privsynth.audit.fidelity import FidelityResult, MarginalDistance, MarginalShares, OrderDistance
from privsynth.audit.utility import FamilyScore, UtilityResult
from privsynth.pii.columns import ColumnFinding, ScanReport
from privsynth.privacy import DiscreteGaussian, Internal, Touch
from privsynth.privacy.accounting import Total
from privsynth.privacy.ledger import Balance
from privsynth.release import Measurements, Release
from privsynth.report.policy import CRITERIA
from privsynth.schema import Column, Schema, Table
from privsynth.tabular.base import ColumnReport

EXACT = {"train": 70_001, "holdout": 70_003, "tuning": 70_009, "train rows": 70_019, "clipped": 70_037, "traces": 70_039, "distinct": 70_051,
         "matched": 70_061, "rows left out": 70_067, "clipped cells": 70_079, "attempts": 70_099, "n": 70_111, "scan rows": 70_117, "uses": 70_121}  # fmt: skip
"""Counts read off the private data: primes that nothing else in a report equals."""

SECRET_FIGURES = (0.612345, 0.712345, 0.812345, 0.912345)
"""An attack's value, a distance, a utility score, a p-value: internal figures."""


OPENING = Opening.of(np.array([True, False]), ["exact replay"], "ab" * 32)
"""Opens a commitment: its nonce is for a reviewer only."""


def result(metric="AUC", *, status="measured", value=0.5, interval=(0.49, 0.51), p_value=None, **changes) -> AuditResult:
    """One attack's result."""
    if status != "measured":
        value = interval = p_value = None
    return AuditResult(
        audit=changes.pop("audit", "distance membership"),
        threat_model="release-only",
        question="?",
        metric=metric,
        value=value,
        interval=interval,
        p_value=p_value,
        n=EXACT["n"],
        status=status,
        **changes,
    )


def replayed(p_value=0.5, **changes) -> AuditResult:
    """One replay attack's result."""
    usual = {"audit": "exact replay", "interval": None, "details": {"train_matched": 3, "holdout_matched": 1}, "control": 0.0}
    return result("people replayed", p_value=p_value, **(usual | changes))


def control(kind="positive", *, flagged=True, results=None) -> ControlResult:
    """A control with one attack."""
    return ControlResult(
        name=f"{kind} control",
        kind=kind,
        planted_share=0.05 if kind == "positive" else 0.0,
        flagged_by=("exact replay",) if flagged else (),
        results=(replayed(1e-9 if flagged else 0.4),) if results is None else results,
    )


def run(*results, controls=None, floors=None) -> AuditRun:
    """All attacks; by default nothing leaks and everything has power."""
    return AuditRun(
        results=results or (result(), replayed()),
        controls=(control("positive"), control("negative", flagged=False)) if controls is None else controls,
        floors={"exact replay": 0.01} if floors is None else floors,
        notes=(f"Membership was guessed for {EXACT['n']} people.",),
        alpha=0.01,
        seconds=1.0,
    )


def full_run(*, worst: float = 0.5) -> AuditRun:
    """Every kind of attack with the details that plots are drawn from; ``worst`` is the area under the curve of the last one."""
    curve = [[0.001, 0.002], [0.01, 0.012], [0.1, 0.11], [1.0, 1.0]]
    areas = [
        result(audit=name, value=value, interval=(value - 0.02, value + 0.02), details={"roc": curve})
        for name, value in (("distance membership", 0.5), ("calibrated membership", worst))
    ]
    rate = result("TPR at 1.0% FPR", value=0.012, interval=(0.007, 0.019), control=0.01)
    tenth = result("AUC in excess of control", population="vulnerable tenth", value=0.01, interval=(-0.03, 0.05), control=0.5)
    group = result("AUC in excess of control, worst declared subgroup", value=0.02, interval=(-0.01, 0.06), control=0.5)
    criteria = [
        result(metrics[0], audit=name, value=0.004, interval=(-0.01, 0.02), control=0.1, p_value=0.5) for name, metrics in CRITERIA.items()
    ]
    nearest = replayed(
        audit="nearest-neighbour-rank replay",
        value=0.6,
        interval=(0.3, 0.9),
        control=0.5,
        details={
            "train_among_nearest": {"10 by distance": 6, "50 by distance": 26, "10 by ratio": 5, "50 by ratio": 24},
            "nearest_people": 10,
        },
    )
    bound = result("epsilon lower bound", audit="one-run lower bound", value=0.4, interval=None, ceiling=3.1, control=0.0)
    return run(replayed(), nearest, *areas, rate, tenth, group, *criteria, bound)


def grey_run() -> AuditRun:
    """Nothing could be measured."""
    blanks = tuple(dataclasses.replace(blank, status="not measurable", details={"n_holdout": EXACT["holdout"]}) for blank in BLANKS)
    return AuditRun(results=blanks, controls=(), floors={}, notes=(), alpha=0.01, seconds=0.0)


COST = Total(epsilon=2.5, delta=1e-6, replace_one_epsilon=5.5, accountant="Renyi (dp-accounting)")


def release(
    *, audit_run=None, cost=COST, insecure=False, name="clients", column="segment", utility=True, notes=(), figure=SECRET_FIGURES[0]
) -> Release:
    """A release with every part filled."""
    table = Table(
        name=name,
        target="active",
        dropped=("left_out",),
        columns=(
            Column(name="person", kind="identifier"),
            Column(name=column, kind="categorical", categories=("a", "b")),
            Column(name="active", kind="boolean"),
            Column(name="email", kind="identifier", pii="EMAIL_ADDRESS"),
            Column(name="notes", kind="text"),
        ),
    )
    frame = pd.DataFrame({"person": ["1"], column: ["a"], "active": [True], "email": ["x@example.org"]})
    score = SECRET_FIGURES[2]
    scores = FamilyScore(family="linear", synthetic=score, interval=(0.7, 0.9), ceiling=0.9, ceiling_interval=(0.8, 1.0), floor=0.5, gap=0.1, gap_interval=(0.0, 0.2), note="")  # fmt: skip
    distance = SECRET_FIGURES[1]
    measured = Measurements(
        audit=audit_run or run(result(value=figure), replayed(SECRET_FIGURES[3])),
        fidelity=FidelityResult(
            orders=(OrderDistance(order=1, n_marginals=2, synthetic=distance, floor=0.01, ceiling=0.0, holdout=None),),
            columns=(MarginalDistance(columns=(column,), synthetic=distance, floor=0.01, ceiling=0.0),),
            pairs=(),
            n_train=EXACT["train rows"],
            n_synthetic=1,
            shares=(MarginalShares(column=column, numeric=False, train=(0.6, 0.4), synthetic=(0.55, 0.45)),),
        ),
        utility=UtilityResult(
            status="measured",
            reason="",
            target="active",
            metric="roc_auc",
            scores=(scores,),
            n_train=EXACT["train rows"],
            n_holdout=EXACT["tuning"],
            n_synthetic=1,
            confidence=0.95,
        )
        if utility
        else None,
        breadth=Breadth(
            rates=(
                GroupRate(
                    group=f"{column} = a",
                    outcome="active = True",
                    train=SECRET_FIGURES[0],
                    synthetic=0.4,
                    interval=(-0.3, -0.1),
                    n_train=EXACT["train rows"],
                    n_synthetic=1,
                ),
            ),
            diversity=Diversity(
                columns=(Coverage(column=column, values=1.0, rare=0.0),), repeated=0.0, repeated_of_train=SECRET_FIGURES[1]
            ),
            contamination=(Contamination(name="test.csv", shared=EXACT["matched"], n=EXACT["n"], interval=(0.1, 0.9)),),
        ),
        pii_scan=ScanReport(
            findings=(
                ColumnFinding(
                    column="email",
                    pii="EMAIL_ADDRESS",
                    kind_proposal="identifier",
                    confidence=1.0,
                    evidence=f"{EXACT['matched']} match",
                    distinct=EXACT["distinct"],
                    checked=EXACT["distinct"],
                    matched=EXACT["matched"],
                    quasi_identifier=False,
                ),
            ),
            n_rows=EXACT["scan rows"],
            ner=None,
        ),
        pii_replay={"email": 0},
        columns=(
            ColumnReport(
                column=column, kind="categorical", cells=3, bins=3, clipped=EXACT["clipped cells"], rows_left_out=EXACT["rows left out"]
            ),
        ),
        people={key: EXACT[key] for key in ("train", "holdout", "tuning")},
        rows={"train": EXACT["train rows"]},
        clipped={column: EXACT["clipped"]},
    )
    return Release(
        event_id="0123456789abcdef",
        plan={
            "dataset": {"name": name},
            "synthesis": {"tables": "tree"},
            "release": {"purpose": "a test", "recipient": "nobody", "sensitivity": "high", "expires": None},
        },
        schema=Schema(tables=(table,), privacy_unit="person"),
        tables={name: frame},
        touches=(Touch("pii", "scan", Internal()), Touch("tables", f"histogram of {column}", DiscreteGaussian(noise_multiplier=7.0))),
        cost=cost,
        balance=Balance(epsilon=cost.epsilon, delta=1e-6, cap=math.inf, attempts=EXACT["attempts"], releases=1),
        ledger_head="ab" * 32,
        measurements=measured,
        insecure=insecure,
        holdout_uses=EXACT["uses"],
        opening=OPENING,
        made_on="2026-11-20",
        notes=notes,
    )
