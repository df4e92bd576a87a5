"""Tables: privsynth's engines against dpmm at equal domain, epsilon and delta; growth; the split of the budget.

    python benchmarks/tables.py quality --adult adult.csv --peer /path/to/dpmm/bin/python --results tables.jsonl
    python benchmarks/tables.py split   --adult adult.csv --results tables.jsonl
    python benchmarks/tables.py growth  --results tables.jsonl
    python benchmarks/tables.py report  --results tables.jsonl --plot benchmarks/tables.svg

Three tables: Adult (declared bounds and categories), the fictional bank of ``sample_data``, and a generated one with 40 columns, most
of them binary, with heavy tails and a mass at zero. Each is split 80/20 by the fixed permutation of published figures.

Equal domain: privsynth's bins at this epsilon become the peer's categories, its own preprocessing is off, and what it samples is decoded
by privsynth's bins. The peer spends all of epsilon on its model, privsynth about a tenth on the bins: the comparison favours the peer.

TV1/2/3: mean total variation of all 1- and 2-way and 150 random 3-way marginals (20 quantile bins of train). AUC: trained on synthetic,
tested on the real holdout. Broken: rows that break a declared dependency. CPU-seconds of one thread; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth import registry, sources, tabular
from privsynth.audit.fidelity import fidelity
from privsynth.audit.utility import train_on_synthetic
from privsynth.config import Plan
from privsynth.dataset import Dataset, Split, benchmark_split, conform
from privsynth.pipeline import read
from privsynth.privacy import Budget, Ledger, SystemNoise
from privsynth.privacy.ledger import Population
from privsynth.schema import ROW, Column, Constraint, Schema, Table
from privsynth.tabular.constraints import finished_rows, recoded_frame
from privsynth.tabular.prepare import Shares
from privsynth.tabular.tree import Tree

HERE = Path(__file__).resolve().parent
DELTA = 1e-6
EPSILONS = (0.5, 1.0, 3.0, 8.0)
GROWTH_ROWS = (10_000, 100_000, 1_000_000)


def adult(path: Path, *, declared: bool) -> Split:
    """Adult by the plan of its code book; with ``declared`` also the public fact that education and education-num are one thing."""
    schema = Plan.load(HERE / "plans" / "adult.toml").declared_schema()
    table = schema.tables[0]
    if declared:
        names = ("Preschool 1st-4th 5th-6th 7th-8th 9th 10th 11th 12th HS-grad Some-college Assoc-voc Assoc-acdm Bachelors Masters").split()
        grades = {name: str(grade) for grade, name in enumerate([*names, "Prof-school", "Doctorate"], start=1)}
        columns = (
            dataclasses.replace(column, determines={"education-num": grades}) if column.name == "education" else column
            for column in table.columns
        )
        table = table.with_columns(columns)
    raw = pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False, na_values=[""])
    return _split(raw, table)


def bank(*, declared: bool) -> Split:
    """The clients of the sample bank, modelled columns only."""
    dataset, _ = read(Plan.load(HERE.parent / "sample_data" / "plan.toml"))
    columns = dataset.table.modelled
    if not declared:
        towns = sorted(set(next(c for c in columns if c.name == "postcode").determines["city"].values()))
        columns = tuple(
            dataclasses.replace(c, determines={}, categories=tuple(towns) if c.name == "city" else c.categories) for c in columns
        )
    constraints = dataset.table.constraints if declared else ()
    table = Table(name="clients", columns=columns, target=dataset.table.target, constraints=constraints)
    return _split(dataset.frame[[column.name for column in columns]], table)


def wide(n: int, rng: np.random.Generator, *, declared: bool) -> Split:
    """40 columns: 26 binary answers and 4 grades behind two hidden traits, 8 heavy-tailed amounts with a mass at zero, 2 dates."""
    traits = rng.normal(size=(n, 2))
    frame: dict[str, Any] = {}
    columns: list[Column] = []
    for k in range(26):
        load = rng.normal(0, 1.2, 2)
        frame[f"answer{k}"] = rng.random(n) < 1 / (1 + np.exp(-(traits @ load + rng.normal(0, 1.5))))
        columns.append(Column(name=f"answer{k}", kind="boolean", nullable=False))
    for k in range(4):
        score = traits @ rng.normal(0, 1, 2) + rng.normal(0, 1, n)
        frame[f"grade{k}"] = np.array(list("abcdefgh"))[np.clip((score * 1.3 + 4).astype(int), 0, 7)]
        columns.append(Column(name=f"grade{k}", kind="categorical", categories=tuple("abcdefgh"), nullable=False))
    for k in range(8):
        amount = np.exp(4 + traits @ rng.normal(0, 0.6, 2)) * rng.pareto(1.8, n)
        frame[f"amount{k}"] = np.where(rng.random(n) < 0.1 * k, 0, np.minimum(np.round(amount, 2), 1e6))
        columns.append(Column(name=f"amount{k}", kind="decimal", step=0.01, bounds=(0, 1e6), nullable=False))
    start = (6000 * rng.beta(2, 1, n)).astype(int)
    frame["start"], frame["end"] = (
        (day * 86_400).astype("datetime64[s]") for day in (start, start + (rng.random(n) * (7000 - start)).astype(int))
    )
    columns += [Column(name=name, kind="datetime", step=86_400, bounds=(0, 7000 * 86_400), nullable=False) for name in ("start", "end")]
    table = Table(
        name="wide", columns=tuple(columns), target="answer0", constraints=(Constraint(kind="ordered", columns=("start", "end")),)
    )
    return _split(pd.DataFrame(frame), table)


def _split(frame: pd.DataFrame, table: Table) -> Split:
    schema = Schema(tables=(table,), privacy_unit=ROW)
    return benchmark_split(Dataset(tables={table.name: conform(frame, schema, table)[0]}, schema=schema, role="confidential"))


DEPENDENCY = {"adult": "education, education-num", "bank": "postcode, city; opened_on <= last_seen_on", "wide": "start <= end"}


def broken_share(name: str, frame: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Share of rows that break the table's dependency, read off a table that keeps it."""
    if name == "adult":
        return float((frame["education-num"] != frame["education"].map(_map_of(truth, "education", "education-num"))).mean())
    if name == "bank":
        wrong_town = frame["city"] != frame["postcode"].map(_map_of(truth, "postcode", "city"))
        return float((wrong_town | (frame["opened_on"] > frame["last_seen_on"])).mean())
    return float((frame["start"] > frame["end"]).mean())


def _map_of(truth: pd.DataFrame, source: str, target: str) -> pd.Series[Any]:
    return truth.drop_duplicates(source).set_index(source)[target]


def fit(engine: Any, train: Dataset, epsilon: float) -> tuple[Any, float]:
    """The model, and the CPU-seconds of everything from solving the noise to the model."""
    people = train.count_units()
    budget = Budget(epsilon=epsilon, delta=min(DELTA, 1 / (10 * people)))  # a larger delta is refused for a million people
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        population = Population(name="benchmark", units=list(map(str, train.units())))
        start = time.process_time()
        model = tabular.fit(engine, train, budget=budget, ledger=ledger, population=population)
        return model, time.process_time() - start


def scored(name: str, parts: Split, frame: pd.DataFrame, seed: int) -> dict[str, float]:
    """Every quality figure of one synthetic table."""
    train = parts.train
    synthetic = Dataset(tables={train.table.name: frame}, schema=train.schema, role="synthetic")
    orders = fidelity(train, None, synthetic, rng=np.random.default_rng(0)).orders
    rng = np.random.default_rng(seed)
    # One seed a table: the runs give the spread.
    scores = train_on_synthetic(train, parts.holdout, synthetic, str(train.table.target), rng=rng, n_seeds=1, n_bootstrap=20).scores
    figures = {f"TV{order.order}": order.synthetic for order in orders}
    figures |= {f"floor TV{order.order}": order.floor for order in orders} | {f"ceiling TV{order.order}": order.ceiling for order in orders}
    figures |= {f"AUC {score.family}": score.synthetic for score in scores} | {f"real {score.family}": score.ceiling for score in scores}
    forests = forest_aucs(train.frame, frame, parts.holdout.frame, train.table, seed)
    return figures | forests | {"broken": broken_share(name, frame, pd.concat([train.frame, parts.holdout.frame]))}


def forest_aucs(train: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame, table: Table, seed: int) -> dict[str, float]:
    """AUC of a random forest on integer codes, trained on synthetic rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    everything = pd.concat([train, holdout, synthetic])
    vocabulary = {column.name: pd.Index(everything[column.name].dropna().unique()).sort_values() for column in table.modelled}

    def coded(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        codes = np.stack(
            [vocabulary[c.name].get_indexer(pd.Index(frame[c.name])) for c in table.modelled if c.name != table.target], axis=1
        )
        return codes, vocabulary[str(table.target)].get_indexer(pd.Index(frame[str(table.target)]))

    test_inputs, test_targets = coded(holdout)
    inputs, targets = coded(synthetic)
    forest = RandomForestClassifier(n_estimators=40, min_samples_leaf=5, random_state=seed).fit(inputs, targets)
    return {"AUC forest": float(roc_auc_score(test_targets, forest.predict_proba(test_inputs)[:, 1]))}


def ours(name: str, parts: Split, engine_name: str, epsilon: float, seed: int, *, facts: str) -> tuple[dict[str, Any], Any]:
    engine = registry.synthesizer(engine_name)()
    model, seconds = fit(engine, parts.train, epsilon)
    start = time.process_time()
    frame = model.sample(len(parts.train.frame), rng=np.random.default_rng(seed))
    sampled = time.process_time() - start
    row = {
        "table": name,
        "engine": f"privsynth {engine_name}",
        "facts": facts,
        "epsilon": epsilon,
        "run": seed,
        "fit s": seconds,
        "sample s": sampled,
    }
    return row | scored(name, parts, frame, seed), model


def peer_on_codes(name: str, parts: Split, model: Any, peer: Path, engine: str, epsilon: float) -> dict[str, Any]:
    """Run dpmm on the model's own codes, decoded by the model's bins."""
    train = parts.train
    frame = recoded_frame(train.frame, train.table)
    codes = {str(k): column.binning.bin_of_cell[column.cells.encode(frame[column.name])[0]] for k, column in enumerate(model.columns)}
    sizes = {str(k): int(column.size) for k, column in enumerate(model.columns)}
    with tempfile.TemporaryDirectory() as folder:
        pd.DataFrame(codes).to_csv(Path(folder) / "train.csv", index=False)
        (Path(folder) / "domain.json").write_text(json.dumps(sizes))
        _run_peer(peer, folder, engine, epsilon, len(train.frame), "codes")
        sampled = pd.read_csv(Path(folder) / "synthetic.csv")
        cost = json.loads((Path(folder) / "cost.json").read_text())
    rng = np.random.default_rng(0)
    values = {
        column.name: column.cells.decode(column.binning.draw(sampled[str(k)].to_numpy(dtype=np.int64), rng=rng), rng=rng)
        for k, column in enumerate(model.columns)
    }
    without = dataclasses.replace(train.table, constraints=())  # the peer knows no constraints
    frame = finished_rows(values, without, rng=rng)
    return (
        {"table": name, "engine": f"dpmm {engine}", "facts": "same domain", "epsilon": epsilon, "run": 0}
        | cost
        | scored(name, parts, frame, 0)
    )


def peer_by_default(name: str, parts: Split, peer: Path, engine: str, epsilon: float) -> dict[str, Any]:
    """Run dpmm on raw values with its own preprocessing; dates as days, because its bounds search knows numbers only."""
    train = parts.train
    raw = train.frame.copy()
    for column in train.table.columns:
        if column.kind == "datetime":
            raw[column.name] = raw[column.name].astype("int64") // 86_400
    with tempfile.TemporaryDirectory() as folder:
        raw.to_csv(Path(folder) / "train.csv", index=False)
        _run_peer(peer, folder, engine, epsilon, len(raw), "defaults")
        sampled = pd.read_csv(Path(folder) / "synthetic.csv")
        cost = json.loads((Path(folder) / "cost.json").read_text())
    for column in train.table.columns:
        if column.kind == "datetime":
            sampled[column.name] = (sampled[column.name].round().astype("int64") * 86_400).astype("datetime64[s]")
        elif column.kind == "integer":
            sampled[column.name] = sampled[column.name].round()
    free = [dataclasses.replace(column, bounds=None, categories=None, determines={}, point_masses=()) for column in train.table.columns]
    table = Table(name=train.table.name, columns=tuple(free))
    frame = conform(sampled[list(table.names)], Schema(tables=(table,), privacy_unit=ROW), table)[0]
    return (
        {"table": name, "engine": f"dpmm {engine}", "facts": "its defaults", "epsilon": epsilon, "run": 0}
        | cost
        | scored(name, parts, frame, 0)
    )


def _run_peer(peer: Path, folder: str, engine: str, epsilon: float, rows: int, mode: str) -> None:
    script = str(HERE / "peer_dpmm.py")
    command = [str(peer), script, folder, engine, str(epsilon), str(DELTA), str(rows), mode]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def quality(arguments: argparse.Namespace) -> None:
    """Engines, epsilons and runs on the tables asked for; the peer once each."""
    SystemNoise().discrete_gaussian(np.zeros(1, dtype=np.int64), 1.0)  # importing OpenDP takes seconds and is no part of a fit
    for name in arguments.tables:
        plain = _table(name, arguments, declared=False)
        for epsilon in arguments.epsilons:
            models: dict[str, Any] = {}
            for engine in arguments.engines:
                for seed in range(arguments.runs):
                    row, models[engine] = ours(name, plain, engine, epsilon, seed, facts="same domain")
                    _keep(arguments.results, row)
                    if epsilon == 1.0:
                        declared = _table(name, arguments, declared=True)
                        _keep(arguments.results, ours(name, declared, engine, epsilon, seed, facts="with dependencies")[0])
            for peer, counterpart in PEERS.items():
                if arguments.peer and peer in arguments.peer_engines and counterpart in models:
                    _keep(arguments.results, peer_on_codes(name, plain, models[counterpart], arguments.peer, peer, epsilon))
                    if epsilon == 1.0:
                        _keep(arguments.results, peer_by_default(name, plain, arguments.peer, peer, epsilon))


PEERS = {"mst": "tree", "aim": "aim"}
"""Each of dpmm's engines gets the domain of privsynth's engine of the same algorithm."""


def _table(name: str, arguments: argparse.Namespace, *, declared: bool) -> Split:
    if name == "adult":
        return adult(arguments.adult, declared=declared)
    return bank(declared=declared) if name == "bank" else wide(30_000, np.random.default_rng(11), declared=declared)


def budget_split(arguments: argparse.Namespace) -> None:
    """Each share of the budget halved and doubled, the others as they are."""
    base = Shares()
    variants = {"as shipped": base}
    for field in ("histograms", "one_way", "selection", "pairs"):
        for factor in (0.5, 2.0):
            variants[f"{field} x {factor:g}"] = dataclasses.replace(base, **{field: factor * getattr(base, field)})
    for name in arguments.tables:
        parts = _table(name, arguments, declared=False)
        for label, shares in variants.items():
            for seed in range(arguments.runs):
                model, seconds = fit(Tree(shares=shares), parts.train, 1.0)
                frame = model.sample(len(parts.train.frame), rng=np.random.default_rng(seed))
                row = {"table": name, "engine": "split", "facts": label, "epsilon": 1.0, "run": seed, "fit s": seconds}
                synthetic = Dataset(tables={parts.train.table.name: frame}, schema=parts.train.schema, role="synthetic")
                orders = fidelity(parts.train, None, synthetic, rng=np.random.default_rng(0)).orders
                target = str(parts.train.table.target)
                rng = np.random.default_rng(seed)
                score = train_on_synthetic(parts.train, parts.holdout, synthetic, target, rng=rng, families=("boosting",)).scores[0]
                _keep(arguments.results, row | {f"TV{o.order}": o.synthetic for o in orders} | {"AUC boosting": score.synthetic})


def growth(arguments: argparse.Namespace) -> None:
    """Fit, sampling and streaming at growing sizes, each in a process of its own so that its peak memory is its own."""
    for rows in GROWTH_ROWS:
        out = subprocess.run([sys.executable, __file__, "one-size", "--rows", str(rows)], check=True, capture_output=True, text=True)
        _keep(arguments.results, json.loads(out.stdout.splitlines()[-1]))
    for rows in (100_000, 10_000_000):
        out = subprocess.run([sys.executable, __file__, "one-stream", "--rows", str(rows)], check=True, capture_output=True, text=True)
        _keep(arguments.results, json.loads(out.stdout.splitlines()[-1]))


def _census(rows: int) -> Dataset:
    """15 columns shaped like a census extract, made from a seed; the frame is typed already."""
    rng = np.random.default_rng(5)
    group = rng.integers(0, 8, rows)
    frame: dict[str, Any] = {"group": pd.Series(np.array([f"g{k}" for k in range(8)], dtype=object)[group])}
    columns = [Column(name="group", kind="categorical", categories=tuple(f"g{k}" for k in range(8)), nullable=False)]
    for k in range(8):
        code = (group * (k + 1) + rng.integers(0, 3, rows)) % 12
        frame[f"class{k}"] = np.array([f"v{j}" for j in range(12)], dtype=object)[code]
        columns.append(Column(name=f"class{k}", kind="categorical", categories=tuple(f"v{j}" for j in range(12)), nullable=False))
    for k in range(6):
        amount = np.exp(6 + 0.3 * group + rng.normal(0, 1, rows)).astype(np.int64)
        frame[f"amount{k}"] = pd.array(np.where(rng.random(rows) < 0.2, 0, np.minimum(amount, 99_999)), dtype="Int64")
        columns.append(Column(name=f"amount{k}", kind="integer", bounds=(0, 99_999), nullable=False))
    table = Table(name="census", columns=tuple(columns))
    return Dataset(tables={"census": pd.DataFrame(frame)}, schema=Schema(tables=(table,), privacy_unit=ROW), role="train")


def one_size(arguments: argparse.Namespace) -> None:
    SystemNoise().discrete_gaussian(np.zeros(1, dtype=np.int64), 1.0)  # importing OpenDP takes seconds and is no part of a fit
    data = _census(arguments.rows)
    model, seconds = fit(Tree(), data, 1.0)
    start = time.process_time()
    model.sample(arguments.rows, rng=np.random.default_rng(0))
    row = {"table": "growth", "engine": "privsynth tree", "rows": arguments.rows, "fit s": seconds, "sample s": time.process_time() - start}
    print(json.dumps(row | {"peak MB": _peak()}))


def one_stream(arguments: argparse.Namespace) -> None:
    model, _ = fit(Tree(), _census(20_000), 1.0)
    before, start = _peak(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        chunks = model.sample_chunks(arguments.rows, chunk_rows=100_000, rng=np.random.default_rng(0))
        sources.write_chunks(chunks, Path(folder) / "rows.parquet", table=model.table)
    row = {"table": "stream", "engine": "privsynth tree", "rows": arguments.rows, "sample s": time.process_time() - start}
    print(json.dumps(row | {"peak MB": _peak(), "before MB": before}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _keep(path: Path, row: dict[str, Any]) -> None:
    """One line of results, at once: a long benchmark that is stopped has not run for nothing."""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")
    shown = {
        key: round(value, 4) if isinstance(value, float) else value for key, value in row.items() if not key.startswith(("floor", "real"))
    }
    print(" ".join(f"{key}={value}" for key, value in shown.items()), flush=True)


def report(arguments: argparse.Namespace) -> None:
    """Medians with the spread of the runs as Markdown, and quality against epsilon as a plot."""
    rows = pd.DataFrame([json.loads(line) for line in arguments.results.read_text(encoding="utf-8").splitlines()])
    figures = ["TV1", "TV2", "TV3", "AUC boosting", "AUC linear", "AUC forest", "broken", "fit s", "sample s"]
    keys = ["table", "facts", "epsilon", "engine"]
    for group, part in rows[rows["table"].isin(DEPENDENCY)].groupby(keys, sort=True):
        print("| " + " | ".join([*map(str, group), *(_spread(part[name]) for name in figures)]) + " |")
    for name, part in rows[rows["table"].isin(DEPENDENCY)].groupby("table"):
        limits = part.filter(regex="^(floor|ceiling|real)").median()
        print(name, ", ".join(f"{label} {value:.3f}" for label, value in limits.items()))
    print(rows[rows["table"].isin(["growth", "stream"])].dropna(axis=1, how="all").to_string())
    _plot(rows[rows["facts"] == "same domain"], arguments.plot)


def _spread(values: pd.Series[Any]) -> str:
    values = values.dropna()
    if not len(values):
        return "–"
    digits = 1 if values.median() >= 10 else 3
    text = f"{values.median():.{digits}f}"
    return text if len(values) == 1 else f"{text} ±{(values.max() - values.min()) / 2:.{digits}f}"


def _plot(rows: pd.DataFrame, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    names = [name for name in ("adult", "bank", "wide") if name in set(rows["table"])]
    figure, axes = plt.subplots(2, len(names), figsize=(3.4 * len(names), 5.2), sharex=True, squeeze=False)
    colours = {"privsynth tree": "#1b6ca8", "privsynth aim": "#0b3954", "dpmm mst": "#e07a5f", "dpmm aim": "#c1121f"}
    for place, name in enumerate(names):
        part = rows[rows["table"] == name]
        for axis, figure_name, limit in ((axes[0, place], "TV2", "floor TV2"), (axes[1, place], "AUC boosting", "real boosting")):
            for engine, colour in colours.items():
                line = part[part["engine"] == engine].groupby("epsilon")[figure_name].median()
                if len(line):
                    axis.plot(line.index, line, marker="o", markersize=3, color=colour, label=engine)
            axis.axhline(part[limit].median(), color="grey", linewidth=0.8, linestyle=":")
            axis.set_xscale("log", base=2)
            axis.set_xticks(EPSILONS, [f"{value:g}" for value in EPSILONS])
        axes[0, place].set_title(name, fontsize=10)
        axes[0, place].set_ylim(bottom=0)
        axes[1, place].set_xlabel("epsilon")
    axes[0, 0].set_ylabel("TV2 (lower is better)")
    axes[1, 0].set_ylabel("AUC, boosting")
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["quality", "split", "growth", "report", "one-size", "one-stream"])
    parser.add_argument("--adult", type=Path, help="adult.csv; without it Adult is left out")
    parser.add_argument("--peer", type=Path, help="the Python of an environment that has dpmm")
    parser.add_argument("--peer-engines", nargs="+", default=["mst", "aim"])
    parser.add_argument("--engines", nargs="*", default=["tree", "aim"])
    parser.add_argument("--tables", nargs="+", default=["adult", "bank", "wide"])
    parser.add_argument("--epsilons", nargs="+", type=float, default=list(EPSILONS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--results", type=Path, default=Path("tables.jsonl"))
    parser.add_argument("--plot", type=Path, default=HERE / "tables.svg")
    arguments = parser.parse_args()
    if arguments.adult is None:
        arguments.tables = [name for name in arguments.tables if name != "adult"]
    commands = {
        "quality": quality,
        "split": budget_split,
        "growth": growth,
        "report": report,
        "one-size": one_size,
        "one-stream": one_stream,
    }
    commands[arguments.command](arguments)


if __name__ == "__main__":
    main()
