"""The main job on public data, by the command line alone: what a run costs and gives, and what the audit catches.

    python benchmarks/main_job.py [--adult ../shared/data/adult/adult.csv] [--runs 3]

Claims: at epsilon 1 (delta 1e-6, everything inside) the tree engine gives TV2 <= .060, TV3 <= .112 and a TSTR AUC >= .815
on Adult (UCI); `privsynth audit` exits with 1 for a copy of train, for 1 % copied rows and for copies with 2 % noise,
and not with 1 for fresh rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
ADULT = HERE.parents[1] / "shared" / "data" / "adult" / "adult.csv"
NUMERIC = ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]


def privsynth(*arguments: str, folder: Path) -> tuple[int, float, float]:
    """Exit code, CPU-seconds and wall seconds of one command, with a ledger of its own."""
    environment = {**os.environ, "PRIVSYNTH_LEDGER": str(folder / "ledger.sqlite"), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "privsynth", *arguments], env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode == 2:
        raise SystemExit(done.stderr)
    return done.returncode, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main_job(adult: Path, runs: int) -> None:
    rows = []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plan = (
                (HERE / "plans" / "adult.toml")
                .read_text()
                .replace('path = "adult.csv"', f'path = "{adult}"')
                .replace("out/adult", str(folder / "out"))
            )
            (folder / "plan.toml").write_text(plan)
            code, cpu, wall = privsynth(
                "run", str(folder / "plan.toml"), "--benchmark-split", "--internal", str(folder / "internal"), folder=folder
            )
            report = json.loads((folder / "internal" / "report.json").read_text())
            entries = json.loads((folder / "internal" / "ledger.json").read_text())
            epsilon = next(entry["body"]["epsilon"] for entry in entries if entry["kind"] == "reserve")
            distances = [order["synthetic"] for order in report["fidelity"]["orders"]]
            auc = {score["family"]: score["synthetic"] for score in report["utility"]["scores"]}
            rows.append((epsilon, *distances, auc["boosting"], cpu, wall))
            print(
                f"run {run + 1}: exit {code}, epsilon {epsilon:.6f}, TV1/2/3 {distances}, AUC {auc}, {cpu:.0f} CPU-s, {wall:.0f} s wall",
                flush=True,
            )
    median = [statistics.median(column) for column in zip(*rows, strict=True)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"median: epsilon {median[0]:.6f}, TV2 {median[2]:.4f} (<= .060), TV3 {median[3]:.4f} (<= .112), AUC {median[4]:.3f} (>= .815)")
    print(f"        {median[5]:.0f} CPU-s, {median[6]:.0f} s wall, peak memory {peak:.0f} MB")


def releases(train: pd.DataFrame, holdout: pd.DataFrame, rng: np.random.Generator) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Releases of 10,000 rows whose leak is known, each with the holdout to audit it against."""
    picked = train.sample(10_000, random_state=rng.integers(2**31)).reset_index(drop=True)
    noisy = picked.copy()
    for column in NUMERIC:
        values = noisy[column].astype(float)
        spread = 0.02 * float(train[column].astype(float).std())
        noisy[column] = np.maximum(0, np.rint(values + rng.normal(0, spread, len(values)))).astype(int).astype(str)
    fresh, rest = holdout.iloc[: len(holdout) // 2], holdout.iloc[len(holdout) // 2 :]
    planted = pd.concat([picked.iloc[:100], fresh.iloc[: min(9_900, len(fresh))]], ignore_index=True)
    return {
        "copy of train": (picked, holdout),
        "1 % copied rows": (planted, rest),
        "copies with 2 % noise": (noisy, holdout),
        "fresh rows": (fresh, rest),
    }


def audits(adult: Path, null_runs: int) -> None:
    frame = pd.read_csv(adult, dtype=str)
    for run in range(1 + null_runs):
        rng = np.random.default_rng(run)
        order = rng.permutation(len(frame))
        train, holdout = frame.iloc[order[:16_280]], frame.iloc[order[16_280:]]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            train.to_csv(folder / "train.csv", index=False)
            for release, (synthetic, others) in releases(train, holdout, rng).items():
                if run and release != "fresh rows":
                    continue
                synthetic.to_csv(folder / "synthetic.csv", index=False)
                others.to_csv(folder / "holdout.csv", index=False)
                files = [f"--{part}={folder / f'{part}.csv'}" for part in ("train", "holdout", "synthetic")]
                code, cpu, wall = privsynth("audit", *files, f"--out={folder / 'out'}", f"--seed={run}", folder=folder)
                result = json.loads((folder / "out" / "audit.json").read_text())
                caught = [judgement["subject"] for judgement in result["judgements"] if judgement["light"] == "fail"]
                print(f"{release:22} exit {code}  {cpu:.0f} CPU-s {wall:.0f} s  caught by: {'; '.join(caught) or '-'}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adult", type=Path, default=ADULT)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--null-runs", type=int, default=10)
    options = parser.parse_args()
    if options.runs:
        main_job(options.adult, options.runs)
    audits(options.adult, options.null_runs)
