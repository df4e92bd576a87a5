"""How good and how fast is AIM? Adult and a generated table of customers, everything inside the budget.

    python benchmarks/tables_aim.py --adult adult.csv --runs 3 --epsilon 1 3 8

Prints one line per run: mean total variation of 1-, 2- and 3-way marginals (20 quantile bins of train, 150 random
triples), ROC AUC of boosted trees trained on synthetic and tested on the real holdout, cells of the model and CPU-seconds. The floor
is a bootstrap of train, the ceiling independent columns. ``--bare`` declares nothing: bounds and categories are bought. A large
epsilon (1000) shows what bins and the model's size cost without noise. Constants of the engine were chosen while looking at both tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tables_tree import customers, split

from privsynth import tabular
from privsynth.audit.fidelity import fidelity
from privsynth.audit.utility import train_on_synthetic
from privsynth.config import Plan
from privsynth.dataset import Dataset, Split
from privsynth.privacy import Budget, Ledger, SystemNoise
from privsynth.privacy.ledger import Population
from privsynth.tabular.aim import Aim

SPEED_ROWS = 1_000_000
PLAN = Path(__file__).resolve().parent / "plans" / "adult.toml"


def adult(path: Path, *, bare: bool) -> Split:
    """Adult by the plan of its code book, or with its columns' kinds only."""
    table = Plan.load(PLAN).declared_schema().tables[0]
    columns = table.columns
    if bare:
        columns = tuple(dataclasses.replace(column, bounds=None, categories=None, nullable=True, sources={}) for column in columns)
    raw = pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False, na_values=[""])
    return split(raw, columns, name="adult", target=str(table.target))


def measure(parts: Split, seed: int, epsilon: float) -> dict[str, float]:
    train = parts.train
    budget = Budget(epsilon=epsilon, delta=1e-6)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        population = Population(name="benchmark", units=list(map(str, train.units())))
        started = time.process_time()
        model = tabular.fit(Aim(), train, budget=budget, ledger=ledger, population=population)
        fitted = time.process_time()
        spent = ledger.balance("benchmark").epsilon
    frame = model.sample(len(train.frame), rng=np.random.default_rng(seed))
    before = time.process_time()
    model.sample(SPEED_ROWS, rng=np.random.default_rng(seed))
    rate = SPEED_ROWS / (time.process_time() - before)
    synthetic = Dataset(tables={train.table.name: frame}, schema=train.schema, role="synthetic")
    orders = fidelity(train, None, synthetic, rng=np.random.default_rng(0)).orders
    target = str(train.table.target)
    score = train_on_synthetic(train, parts.holdout, synthetic, target, rng=np.random.default_rng(seed), families=("boosting",)).scores[0]
    figures = {f"TV{order.order}": order.synthetic for order in orders} | {"AUC": score.synthetic}
    figures |= {f"floor{order.order}": order.floor for order in orders[1:]} | {
        f"ceiling{order.order}": order.ceiling for order in orders[1:]
    }
    return figures | {
        "AUC real": score.ceiling,
        "cells": model.distribution.tree.cells,
        "fit s": fitted - started,
        "rows/s": rate,
        "spent": spent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adult", type=Path, help="adult.csv; without it only the generated table is measured")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0])
    parser.add_argument("--bare", action="store_true", help="declare nothing about Adult")
    arguments = parser.parse_args()
    SystemNoise().discrete_gaussian(np.zeros(1, dtype=np.int64), 1.0)  # importing OpenDP takes seconds and is no part of a fit
    tables = {"adult": adult(arguments.adult, bare=arguments.bare)} if arguments.adult else {}
    if not arguments.bare:
        tables["customers"] = customers(25_000, np.random.default_rng(7))
    for name, parts in tables.items():
        for epsilon in arguments.epsilon:
            results = pd.DataFrame([measure(parts, seed, epsilon) for seed in range(arguments.runs)])
            print(f"{name}{' bare' * arguments.bare}: {len(parts.train.frame)} training rows, epsilon {epsilon:g}, delta 1e-6")
            print(pd.concat([results, results.median().to_frame("median").T]).to_string(float_format="{:.4g}".format), flush=True)


if __name__ == "__main__":
    main()
