"""Do the audits catch planted leaks on Adult, stay silent on fresh rows, and end in time?

``controls``: halves of Adult (16k, 16k), a release of 10k: every positive with the attacks that flagged it, and the floors.
``nulls``: fresh rows as the release, without controls; at family-wise 1 %, 200 runs give at most 6 alarms with probability .99.
``planted``: copies among fresh rows, by share and noise. ``power``: the same for one share against the number of people.
``time``: 45k train, 24k holdout, 50k release, 15 columns: the whole set. Rows are Adult's, resampled and disturbed.

Reads the public Adult table; prints one line per release.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from privsynth.audit import AuditResult, run
from privsynth.audit.attacks import attack, prepare
from privsynth.audit.base import flagged_among
from privsynth.audit.controls import Material, noisy_copies
from privsynth.audit.encoding import fit_encoder, make_case
from privsynth.dataset import Dataset, Role, conform
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


def dataset(frame: pd.DataFrame, schema: Schema, role: Role) -> Dataset:
    return Dataset(tables={"adult": frame.reset_index(drop=True)}, schema=schema, role=role)


def summary(results: Sequence[AuditResult]) -> str:
    flagged = sorted({result.audit for result in flagged_among(results, ALPHA)})
    p_values = [result.p_value for result in results if result.p_value is not None]
    crashed = sorted({result.audit for result in results if result.status == "crashed"})
    return f"min p {min(p_values):8.1e}  flagged by: {', '.join(flagged) or 'none'}{'  CRASHED: ' + ', '.join(crashed) if crashed else ''}"


def parts_of(frame: pd.DataFrame, sizes: Sequence[int], rng: np.random.Generator) -> list[pd.DataFrame]:
    cuts = np.split(rng.permutation(len(frame))[: sum(sizes)], np.cumsum(sizes)[:-1])
    return [frame.iloc[rows].reset_index(drop=True) for rows in cuts]


def attacked(
    train: pd.DataFrame, holdout: pd.DataFrame, release: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> list[AuditResult]:
    """The attacks alone, without controls."""
    encoder = fit_encoder(schema.tables[0].modelled, [train, holdout], release=release)
    case = make_case(encoder.encode(train), encoder.encode(holdout), rng=rng)
    return attack(prepare(case, encoder, alpha=ALPHA, rng=rng), encoder.encode(release), rng=rng)


def controls(frame: pd.DataFrame, schema: Schema, seed: int) -> None:
    """The whole audit of disturbed rows of both sides, in which nothing about the split leaks; the planted leaks are its controls."""
    rng = np.random.default_rng(seed)
    train, holdout = parts_of(frame, (N_HALF, N_HALF), rng)
    both = pd.concat([train, holdout], ignore_index=True)
    encoder = fit_encoder(schema.tables[0].modelled, [both], release=both)
    material = Material(encoder=encoder, train=both, holdout=both, units=None, n_release=N_RELEASE)
    smooth = noisy_copies(material, rng=rng, noise=0.05, flips=0.1)
    start = time.process_time()
    audit = run(
        dataset(train, schema, "train"), dataset(holdout, schema, "holdout"), dataset(smooth, schema, "synthetic"), rng=rng, alpha=ALPHA
    )
    print(f"Adult halves {N_HALF}/{N_HALF}, release {N_RELEASE}: whole audit {time.process_time() - start:.1f} CPU-seconds")
    print(f"audited   {'disturbed rows of both sides':36s} {summary(audit.results)}")
    for control in audit.controls:
        print(f"{control.kind:10s}{control.name:36s} {summary(control.results)}")
    print("floors, exact copies:      ", audit.floors)
    print("floors, copies, 2 % noise: ", audit.noisy_floors)


def planted(frame: pd.DataFrame, schema: Schema, seed: int, *, share: float, noise: float, n_side: int | None = None) -> list[AuditResult]:
    """Fresh rows of which a share are copies of train whose numbers carry noise."""
    rng = np.random.default_rng(seed)
    n_side = n_side or (len(frame) - N_RELEASE) // 2
    train, holdout, fresh = parts_of(frame, (n_side, n_side, N_RELEASE), rng)
    encoder = fit_encoder(schema.tables[0].modelled, [train, holdout], release=fresh)
    material = Material(encoder=encoder, train=train, holdout=holdout, units=None, n_release=round(share * N_RELEASE))
    copied = noisy_copies(material, rng=rng, noise=noise)
    return attacked(train, holdout, pd.concat([copied, fresh], ignore_index=True).head(N_RELEASE), schema, rng)


def nulls(frame: pd.DataFrame, schema: Schema, seeds: range) -> None:
    alarms = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n_side = (len(frame) - N_RELEASE) // 2
        results = attacked(*parts_of(frame, (n_side, n_side, N_RELEASE), rng), schema, rng)
        alarms += bool(flagged_among(results, ALPHA))
        print(f"negative  fresh rows, run {seed:3d}  {summary(results)}", flush=True)
    print(f"false alarms: {alarms} of {len(seeds)} (family-wise level {ALPHA})")


def timed(frame: pd.DataFrame, schema: Schema, seed: int, sizes: tuple[int, int, int]) -> None:
    """The whole set at full size, on resampled and disturbed rows."""
    rng = np.random.default_rng(seed)
    rows = frame.iloc[rng.integers(0, len(frame), sum(sizes))].reset_index(drop=True)
    encoder = fit_encoder(schema.tables[0].modelled, [rows], release=rows)
    material = Material(encoder=encoder, train=rows, holdout=rows, units=None, n_release=len(rows))
    disturbed = noisy_copies(material, rng=rng, noise=0.05, flips=0.1)
    train, holdout, release = parts_of(disturbed, sizes, rng)
    cpu, wall = time.process_time(), time.perf_counter()

    def told(done: int, total: int, label: str) -> None:
        print(f"  {time.process_time() - cpu:6.1f} CPU-s  {done}/{total} {label}", flush=True)

    audit = run(
        dataset(train, schema, "train"), dataset(holdout, schema, "holdout"), dataset(release, schema, "synthetic"), rng=rng, progress=told
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{sizes}: {time.process_time() - cpu:.0f} CPU-s, {time.perf_counter() - wall:.0f} s wall, {memory:.2f} GiB at most")
    seconds = {result.audit: result.seconds for result in audit.results}
    print("  seconds by attack on the release: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    print(f"  release: {summary(audit.results)}; floors {dict(audit.floors)}, with noise {dict(audit.noisy_floors)}")
    for control in audit.controls:
        print(f"  {control.kind} {control.name}: {'as expected' if control.behaved else 'NOT as expected'}; {summary(control.results)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["controls", "nulls", "planted", "power", "time"], nargs="+")
    parser.add_argument("--adult", type=Path, default=Path("../shared/data/adult/adult.csv"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first null run")
    options = parser.parse_args()
    frame, schema = read(options.adult)
    if "controls" in options.what:
        controls(frame, schema, seed=0)
    if "planted" in options.what:
        for share, noise in ((0.001, 0.0), (0.003, 0.0), (0.01, 0.0), (0.01, 0.02), (0.03, 0.02), (0.1, 0.02)):
            for seed in range(3):
                results = planted(frame, schema, seed, share=share, noise=noise)
                print(f"positive  {share:.1%} copies, {noise:.0%} noise, run {seed}  {summary(results)}", flush=True)
    if "power" in options.what:
        for n_side in (500, 1000, 2000, 4000, 8000, 11_000):
            for noise in (0.0, 0.02):
                found = [
                    bool(flagged_among(planted(frame, schema, seed, share=0.01, noise=noise, n_side=n_side), ALPHA)) for seed in range(5)
                ]
                print(f"power     1 % copies, {noise:.0%} noise, {n_side} people a side: flagged {sum(found)} of {len(found)}", flush=True)
    if "time" in options.what:
        timed(frame, schema, 0, (45_000, 24_000, 50_000))
    if "nulls" in options.what:
        nulls(frame, schema, range(options.first, options.first + options.runs))


if __name__ == "__main__":
    main()
