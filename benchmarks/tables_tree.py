"""How good and how fast is the tree engine? Adult and a generated table of customers, everything inside the budget.

    python benchmarks/tables_tree.py --adult adult.csv --runs 3

Prints one line per run: mean total variation of 1-, 2- and 3-way marginals (20 quantile bins of train, 150 random
triples), ROC AUC of boosted trees trained on synthetic and tested on the real holdout, and CPU-seconds. The floor is a
bootstrap of train, the ceiling independent columns. Constants of the engine were chosen while looking at both tables.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from privsynth import tabular
from privsynth.audit.fidelity import fidelity
from privsynth.audit.utility import train_on_synthetic
from privsynth.dataset import Dataset, Split, benchmark_split, conform
from privsynth.privacy import Budget, Ledger, SystemNoise
from privsynth.privacy.ledger import Population
from privsynth.schema import ROW, Column, Schema, Table
from privsynth.tabular.tree import Tree

SPEED_ROWS = 1_000_000
ADULT_BOUNDS = {
    "age": (16, 100),
    "fnlwgt": (10_000, 1_500_000),
    "education-num": (1, 16),
    "capital-gain": (0, 99_999),
    "capital-loss": (0, 5_000),
    "hours-per-week": (1, 99),
}


def split(frame: pd.DataFrame, columns: tuple[Column, ...], *, name: str, target: str) -> Split:
    table = Table(name=name, columns=columns, target=target)
    schema = Schema(tables=(table,), privacy_unit=ROW)
    return benchmark_split(Dataset(tables={name: conform(frame, schema, table)[0]}, schema=schema, role="confidential"))


def adult(path: Path) -> Split:
    raw = pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False, na_values=[""])
    columns = tuple(
        Column(name=name, kind="integer", bounds=ADULT_BOUNDS[name])
        if name in ADULT_BOUNDS
        # The documented value lists of Adult are those of this file.
        else Column(name=name, kind="categorical", categories=tuple(sorted(raw[name].dropna().unique())))
        for name in raw.columns
    )
    return split(raw, columns, name="adult", target="income-per-year")


def customers(n: int, rng: np.random.Generator) -> Split:
    """Heavy tails, a mass at zero, dates, nulls, and dependence through a segment and an age."""
    segment = rng.choice(5, n, p=[0.5, 0.25, 0.15, 0.07, 0.03])
    age = np.clip(rng.normal(38 + 6 * segment, 12, n), 18, 99).astype(int)
    income = np.round(np.exp(rng.normal(9.5 + 0.35 * segment + 0.01 * age, 0.6, n)), 2)
    balance = np.where(rng.random(n) < 0.3, 0, np.round(income * rng.gamma(0.8, 0.8, n) * (1 + segment), 2))
    odds = 1 + 0.5 * segment - 2e-5 * balance + 0.02 * (age - 40)
    frame = pd.DataFrame(
        {
            "segment": [f"s{k}" for k in segment],
            "age": age,
            "income": np.where(rng.random(n) < 0.08, np.nan, income),
            "balance": np.clip(balance, 0, 1e8),
            "start": (np.datetime64("2005-01-01") + (rng.beta(1 + age / 40, 1.5) * 7000).astype(int)).astype("datetime64[s]"),
            "churn": rng.random(n) < 1 / (1 + np.exp(odds)),
            "region": [f"r{k}" for k in np.where(rng.random(n) < 0.6, 4 * segment, 0) + rng.integers(0, 12, n)],
            "cards": rng.poisson(1 + 0.5 * segment),
            "digital": rng.random(n) < np.clip(1.3 - age / 70, 0.05, 0.95),
        }
    )
    columns = (
        Column(name="segment", kind="categorical", categories=tuple(f"s{k}" for k in range(8))),
        Column(name="age", kind="integer", bounds=(18, 110)),
        Column(name="income", kind="decimal", step=0.01, bounds=(0, 1e7)),
        Column(name="balance", kind="decimal", step=0.01, bounds=(0, 1e8)),
        Column(name="start", kind="datetime", step=86_400, bounds=(946_684_800, 1_767_139_200)),
        Column(name="churn", kind="boolean"),
        Column(name="region", kind="categorical", categories=tuple(f"r{k}" for k in range(40))),
        Column(name="cards", kind="integer", bounds=(0, 50)),
        Column(name="digital", kind="boolean"),
    )
    return split(frame, columns, name="customers", target="churn")


def measure(parts: Split, seed: int, epsilon: float) -> dict[str, float]:
    train = parts.train
    budget = Budget(epsilon=epsilon, delta=1e-6)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        population = Population(name="benchmark", units=list(map(str, train.units())))
        started = time.process_time()
        model = tabular.fit(Tree(), train, budget=budget, ledger=ledger, population=population)
        fitted = time.process_time()
    frame = model.sample(len(train.frame), rng=np.random.default_rng(seed))
    before = time.process_time()
    model.sample(SPEED_ROWS, rng=np.random.default_rng(seed))
    rate = SPEED_ROWS / (time.process_time() - before)
    synthetic = Dataset(tables={train.table.name: frame}, schema=train.schema, role="synthetic")
    orders = fidelity(train, None, synthetic, rng=np.random.default_rng(0)).orders
    target = str(train.table.target)
    families = ("boosting",)
    score = train_on_synthetic(train, parts.holdout, synthetic, target, rng=np.random.default_rng(seed), families=families).scores[0]
    figures = {f"TV{order.order}": order.synthetic for order in orders}
    figures |= {f"floor{order.order}": order.floor for order in orders[1:]} | {
        f"ceiling{order.order}": order.ceiling for order in orders[1:]
    }
    return figures | {"AUC": score.synthetic, "AUC real": score.ceiling, "fit s": fitted - started, "rows/s": rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adult", type=Path, help="adult.csv; without it only the generated table is measured")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epsilon", type=float, default=1.0)
    arguments = parser.parse_args()
    SystemNoise().discrete_gaussian(np.zeros(1, dtype=np.int64), 1.0)  # importing OpenDP takes seconds and is no part of a fit
    tables = {"customers": customers(25_000, np.random.default_rng(7))}
    if arguments.adult:
        tables["adult"] = adult(arguments.adult)
    for name, parts in tables.items():
        results = pd.DataFrame([measure(parts, seed, arguments.epsilon) for seed in range(arguments.runs)])
        print(f"{name}: {len(parts.train.frame)} training rows, epsilon {arguments.epsilon:g}, delta 1e-6")
        print(pd.concat([results, results.median().to_frame("median").T]).to_string(float_format="{:.4g}".format), flush=True)


if __name__ == "__main__":
    main()
