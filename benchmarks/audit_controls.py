"""Do the audits catch planted leaks on Adult, and stay silent on fresh rows?

Halves of Adult (16k, 16k) for the whole audit, whose controls are the planted leaks; three disjoint parts (train 11k, holdout 11k,
fresh rows 10k) for copies planted among fresh rows, and for the null runs.
Prints one line per release: which attacks flagged it at family-wise 1e-2, and the smallest p-value.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from privsynth.audit import AuditRun, run
from privsynth.audit.attacks import attack, prepare
from privsynth.audit.base import AuditResult, flagged_among
from privsynth.audit.controls import Material, noisy_copies
from privsynth.audit.encoding import fit_encoder, make_case
from privsynth.dataset import Dataset, conform
from privsynth.schema import Column, Schema, Table

NUMERIC = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
ALPHA = 1e-2
N_RELEASE = 10_000
N_HALF = 16_000


def read(path: Path) -> tuple[pd.DataFrame, Schema]:
    raw = pd.read_csv(path, dtype=str)
    columns = tuple(Column(name=name, kind="integer" if name in NUMERIC else "categorical") for name in raw.columns)
    table = Table(name="adult", columns=columns)
    schema = Schema(tables=(table,), privacy_unit="row")
    return conform(raw, schema, table)[0], schema


def summary(results: list[AuditResult]) -> str:
    flagged = sorted({result.audit for result in flagged_among(results, ALPHA)})
    p_values = [result.p_value for result in results if result.p_value is not None]
    return f"min p {min(p_values):8.1e}  flagged by: {', '.join(flagged) or 'none'}"


def null_run(frame: pd.DataFrame, schema: Schema, seed: int) -> list[AuditResult]:
    """Fresh rows as the release: nothing can have leaked."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frame))
    n_side = (len(frame) - N_RELEASE) // 2
    train, holdout, fresh = (frame.iloc[rows] for rows in np.split(order, [n_side, 2 * n_side]))
    encoder = fit_encoder(schema.tables[0].modelled, [train, holdout], release=fresh)
    case = make_case(encoder.encode(train), encoder.encode(holdout), rng=rng)
    return attack(prepare(case, alpha=ALPHA, rng=rng), encoder.encode(fresh), rng=rng)


def halves_run(frame: pd.DataFrame, schema: Schema, seed: int) -> AuditRun:
    """The whole audit of a release that is 71 % of train; the planted leaks are its controls."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frame))
    train, holdout = (frame.iloc[rows].reset_index(drop=True) for rows in (order[:N_HALF], order[N_HALF : 2 * N_HALF]))

    def dataset(part: pd.DataFrame, role: str) -> Dataset:
        return Dataset(tables={"adult": part}, schema=schema, role=role)  # type: ignore[arg-type]

    return run(dataset(train, "train"), dataset(holdout, "holdout"), dataset(train.head(N_RELEASE), "synthetic"), rng=rng, alpha=ALPHA)


def planted_run(frame: pd.DataFrame, schema: Schema, seed: int, *, share: float, noise: float) -> list[AuditResult]:
    """Fresh rows of which a share are copies of train with noise."""
    rng = np.random.default_rng(seed)
    n_side = (len(frame) - N_RELEASE) // 2
    train, holdout, fresh = (
        frame.iloc[rows].reset_index(drop=True) for rows in np.split(rng.permutation(len(frame)), [n_side, 2 * n_side])
    )
    encoder = fit_encoder(schema.tables[0].modelled, [train, holdout], release=fresh)
    material = Material(encoder=encoder, train=train, holdout=holdout, units=None, n_release=round(share * N_RELEASE))
    release = pd.concat([noisy_copies(material, rng=rng, noise=noise), fresh], ignore_index=True).head(N_RELEASE)
    case = make_case(encoder.encode(train), encoder.encode(holdout), rng=rng)
    return attack(prepare(case, alpha=ALPHA, rng=rng), encoder.encode(release), rng=rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adult", type=Path, default=Path("../shared/data/adult/adult.csv"))
    parser.add_argument("--nulls", type=int, default=10)
    options = parser.parse_args()
    frame, schema = read(options.adult)
    start = time.process_time()
    audit = halves_run(frame, schema, seed=0)
    print(f"Adult halves {N_HALF}/{N_HALF}, release {N_RELEASE}: whole audit {time.process_time() - start:.1f} CPU-seconds")
    print(f"{'release':34s} copy of train: {summary(list(audit.results))}")
    for control in audit.controls:
        print(f"{control.kind:10s}{control.name:34s} {summary(list(control.results))}")
    print("floors (smallest planted share of exact copies):", audit.floors)
    for share, noise in ((0.01, 0.0), (0.01, 0.02), (0.03, 0.02), (1.0, 0.3)):
        for seed in range(3):
            name = f"{share:.0%} copies, {noise:.0%} noise, run {seed}"
            print(f"positive  {name:34s} {summary(planted_run(frame, schema, seed, share=share, noise=noise))}")
    n_alarms = 0
    for seed in range(options.nulls):
        results = null_run(frame, schema, seed)
        n_alarms += bool(flagged_among(results, ALPHA))
        print(f"negative  fresh rows, run {seed:2d}                {summary(results)}")
    print(f"false alarms: {n_alarms} of {options.nulls} (family-wise level {ALPHA})")


if __name__ == "__main__":
    main()
