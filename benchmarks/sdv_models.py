"""SDV's models and SDV under DP beside the tree, on Adult and on the sample bank, from one plan each.

    python benchmarks/sdv_models.py [--adult ../shared/data/adult/adult.csv] [--only tree] [--gan-epochs 30] [--vae-epochs 100]

Each row runs in a process of its own, on one thread, with the fixed 80/20 permutation of published figures. Printed: mean total variation
of 1-, 2- and 3-way marginals against train, ROC AUC of boosted trees trained on synthetic rows and tested on the real holdout,
CPU-seconds of fit and of sampling as many rows as train has, and peak memory. The floor is a bootstrap of train, the ceiling is
independent columns.
SDV's networks train for 300 epochs by default; the epochs used stand in the row.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ADULT = HERE.parents[1] / "shared" / "data" / "adult" / "adult.csv"
PLANS = {"adult": HERE / "plans" / "adult.toml", "sample bank": HERE.parent / "sample_data" / "plan.toml"}
INFINITE = float("inf")


def rows(gan_epochs: int, vae_epochs: int) -> list[dict[str, Any]]:
    """Engine, budget and settings of each row."""
    gan, vae = {"epochs": gan_epochs}, {"epochs": vae_epochs}
    return [
        {"engine": "tree", "epsilon": 1.0},
        {"engine": "sdv:gaussian-copula-dp", "epsilon": 1.0},
        {"engine": "sdv:gaussian-copula-dp", "epsilon": 3.0},
        {"engine": "sdv:gaussian-copula-dp", "epsilon": 1.0, "independent": True},
        {"engine": "sdv:gaussian-copula-dp", "epsilon": 3.0, "independent": True},
        {"engine": "sdv:gaussian-copula", "epsilon": INFINITE},
        {"engine": "sdv:tvae", "epsilon": INFINITE, "settings": vae},
        {"engine": "sdv:ctgan", "epsilon": INFINITE, "settings": gan},
        {"engine": "sdv:copula-gan", "epsilon": INFINITE, "settings": gan},
    ]


def measure(table: str, row: dict[str, Any], adult: Path, seed: int) -> dict[str, Any]:
    """One row's figures."""
    from privsynth import pipeline, preflight, tabular
    from privsynth.audit.fidelity import fidelity
    from privsynth.audit.utility import train_on_synthetic
    from privsynth.config import Plan
    from privsynth.dataset import Dataset, benchmark_split
    from privsynth.privacy import Ledger, SystemNoise
    from privsynth.privacy.ledger import Population
    from privsynth.registry import require

    values = tomllib.loads(PLANS[table].read_text(encoding="utf-8"))
    if table == "adult":
        values["tables"]["adult"]["path"] = str(adult)
    values["privacy"]["epsilon"] = row["epsilon"]
    values["synthesis"] |= {"tables": row["engine"], "settings": row.get("settings", {})}
    plan = Plan.from_dict(values, base=PLANS[table].parent)
    engine = preflight.synthesizer(plan)
    dataset = pipeline.read(plan)[0]
    parts = benchmark_split(dataset)
    SystemNoise().discrete_gaussian(np.zeros(1, dtype=np.int64), 1.0)  # importing OpenDP and SDV is no part of a fit
    if row["engine"].startswith("sdv:"):
        require("sdv.single_table")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        population = Population(name="benchmark", units=dataset.identities())
        before = time.process_time()
        model = tabular.fit(engine, parts.train, budget=plan.budget, ledger=ledger, population=population)
        fitted = time.process_time()
    if row.get("independent"):
        model = dataclasses.replace(model, correlation=np.eye(len(model.latents)))
    started = time.process_time()
    frame = model.sample(len(parts.train.frame), rng=np.random.default_rng(seed))
    sampled = time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    schema = parts.train.schema
    kept = schema.tables[0].with_columns(schema.tables[0].modelled)
    train, holdout = (
        Dataset(
            tables={kept.name: part.frame[list(kept.names)]},
            schema=dataclasses.replace(schema, tables=(kept,), privacy_unit="row"),
            role=part.role,
        )
        for part in (parts.train, parts.holdout)
    )
    synthetic = dataclasses.replace(train, tables={kept.name: frame}, role="synthetic")
    orders = fidelity(train, None, synthetic, rng=np.random.default_rng(0)).orders
    score = train_on_synthetic(train, holdout, synthetic, str(kept.target), rng=np.random.default_rng(seed), families=("boosting",)).scores[
        0
    ]
    return {
        "rows": len(train.frame),
        "TV": [order.synthetic for order in orders],
        "floor": [order.floor for order in orders],
        "ceiling": [order.ceiling for order in orders],
        "AUC": score.synthetic,
        "AUC real": score.ceiling,
        "fit": fitted - before,
        "sample": sampled - started,
        "MB": memory,
    }


def label(row: dict[str, Any]) -> str:
    """A row's name in the table."""
    parts = [row["engine"] + (", correlations set to 0" if row.get("independent") else "")]
    parts += [f"{key} {value}" for key, value in row.get("settings", {}).items()]
    return ", ".join([*parts, "no guarantee" if row["epsilon"] == INFINITE else f"epsilon {row['epsilon']:g}"])


def figures(values: list[float | None]) -> str:
    return " | ".join("–" if value is None else f"{value:.3f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adult", type=Path, default=ADULT)
    parser.add_argument("--tables", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--gan-epochs", type=int, default=30)
    parser.add_argument("--vae-epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        table, row = json.loads(options.one)
        print(json.dumps(measure(table, row, options.adult, options.seed)))
        return
    for table in options.tables:
        print(f"\n### {table}\n")
        printed_head = False
        for row in rows(options.gan_epochs, options.vae_epochs):
            if options.only not in label(row):
                continue
            command = [
                sys.executable,
                __file__,
                "--one",
                json.dumps([table, row]),
                "--adult",
                str(options.adult),
                "--seed",
                str(options.seed),
            ]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"| {label(row)} | failed: {(done.stderr.strip() or str(done.returncode)).splitlines()[-1]} |", flush=True)
                continue
            got = json.loads(done.stdout)
            if not printed_head:
                print(f"{got['rows']} training rows, as many sampled; one run, seed {options.seed}\n")
                print("| engine | TV1 | TV2 | TV3 | AUC | fit CPU-s | sample CPU-s | peak MB |\n|---|---|---|---|---|---|---|---|")
                print(f"| *floor: bootstrap of train; AUC of train itself* | {figures(got['floor'])} | {got['AUC real']:.3f} | | | |")
                print(f"| *ceiling: independent columns* | {figures(got['ceiling'])} | | | | |")
                printed_head = True
            print(
                f"| {label(row)} | {figures(got['TV'])} | {got['AUC']:.3f} | {got['fit']:.1f} | {got['sample']:.1f} | {got['MB']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
