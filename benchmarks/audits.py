"""Do the audits catch planted leaks on Adult, stay silent on fresh rows, and end in time?

``controls``: halves of Adult (16k, 16k), a release of 10k: every positive with the attacks that flagged it, and the floors.
``nulls``: fresh rows as the release, without controls; at family-wise 1 %, 200 runs give at most 6 alarms with probability .99.
``planted``: copies among fresh rows, by share and noise. ``power``: the same for one share against the number of people.
``time``: 45k train, 24k holdout, 50k release, 15 columns: the whole set. Rows are Adult's, resampled and disturbed.

Reads the public Adult table; prints one line per release. Long series run in parts: ``--first 25 --runs 25`` are the seeds 25 to 49, and
``total FILE...`` counts the lines of all parts.
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
PLANTED = ((0.01, 0.0, 10_000), (0.01, 0.02, 10_000), (0.001, 0.0, 50_000), (0.001, 0.0, 10_000), (0.003, 0.0, 10_000), (0.1, 0.02, 10_000))
"""Share of copies, noise on their numbers in spreads, rows of the release."""


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


def planted(
    frame: pd.DataFrame,
    schema: Schema,
    seed: int,
    *,
    share: float,
    noise: float,
    n_side: int | None = None,
    n_release: int = N_RELEASE,
) -> list[AuditResult]:
    """Fresh rows of which a share are copies of train whose numbers carry noise; a release above 10,000 rows repeats fresh rows."""
    rng = np.random.default_rng(seed)
    n_side = n_side or (len(frame) - N_RELEASE) // 2
    train, holdout, fresh = parts_of(frame, (n_side, n_side, N_RELEASE), rng)
    if n_release > N_RELEASE:
        fresh = fresh.iloc[rng.integers(0, N_RELEASE, n_release)].reset_index(drop=True)
    encoder = fit_encoder(schema.tables[0].modelled, [train, holdout], release=fresh)
    material = Material(encoder=encoder, train=train, holdout=holdout, units=None, n_release=round(share * n_release))
    copied = noisy_copies(material, rng=rng, noise=noise)
    return attacked(train, holdout, pd.concat([copied, fresh], ignore_index=True).head(n_release), schema, rng)


def nulls(frame: pd.DataFrame, schema: Schema, seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n_side = (len(frame) - N_RELEASE) // 2
        results = attacked(*parts_of(frame, (n_side, n_side, N_RELEASE), rng), schema, rng)
        print(f"negative  fresh rows, run {seed:3d}  {summary(results)}", flush=True)


def total(paths: Sequence[Path]) -> None:
    """How many releases of each kind were flagged, over the output of several parts."""
    lines = [line for path in paths for line in path.read_text().splitlines() if "flagged by:" in line and ", run " in line]
    kinds = [line.split(", run ")[0] for line in lines]
    for kind in dict.fromkeys(kinds):
        own = {line for line, other in zip(lines, kinds, strict=True) if other == kind}
        flagged = [line for line in own if not line.endswith("flagged by: none")]
        print(f"{kind}: {len(flagged)} of {len(own)} flagged at family-wise level {ALPHA}")


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
    parser.add_argument("what", choices=["controls", "nulls", "planted", "power", "time", "total"])
    parser.add_argument("outputs", type=Path, nargs="*", help="of total: files with the output of parts of a series")
    parser.add_argument("--adult", type=Path, default=Path("../shared/data/adult/adult.csv"))
    parser.add_argument("--runs", type=int, help="of each kind; 200 null runs, 8 of planted copies, 5 of power")
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    options = parser.parse_args()
    if options.what == "total":
        total(options.outputs)
        return
    frame, schema = read(options.adult)
    seeds = range(options.first, options.first + (options.runs or {"nulls": 200, "planted": 8}.get(options.what, 5)))
    if options.what == "controls":
        controls(frame, schema, seed=options.first)
    if options.what == "planted":
        for share, noise, n_release in PLANTED:
            for seed in seeds:
                results = planted(frame, schema, seed, share=share, noise=noise, n_release=n_release)
                print(f"positive  {share:.1%} copies in {n_release}, {noise:.0%} noise, run {seed}  {summary(results)}", flush=True)
    if options.what == "power":
        for n_side in (500, 1000, 2000, 4000, 8000, 11_000):
            for noise in (0.0, 0.02):
                for seed in seeds:
                    results = planted(frame, schema, seed, share=0.01, noise=noise, n_side=n_side)
                    print(f"power     1 % copies, {noise:.0%} noise, {n_side} people a side, run {seed}  {summary(results)}", flush=True)
    if options.what == "time":
        timed(frame, schema, options.first, (45_000, 24_000, 50_000))
    if options.what == "nulls":
        nulls(frame, schema, seeds)


if __name__ == "__main__":
    main()
