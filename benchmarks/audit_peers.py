"""Attribute inference and linkability against Anonymeter: time and risks on the same targets and the same release.

    python benchmarks/audit_peers.py --anonymeter ANONYMETER_ENVIRONMENT/bin/python

Anonymeter pins numpy below 1.27 and gets an environment of its own (``pip install anonymeter``). Adult in thirds: train, holdout, and fresh
people; the release has 50,000 rows, of which a share are copies of train and the rest resampled fresh people whose numbers are
disturbed by 2 % of their spread. 2,000 people of train and 2,000 of the holdout are attacked by both tools, one thread each; a secret is
guessed from all other columns, and two halves of the columns are linked through the one nearest release row. Time is CPU time
of the attacks, in both cases from typed frames on. What costs time is targets x release x columns, not the size of train.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from privsynth.audit.encoding import fit_encoder, make_case
from privsynth.audit.membership import draw_targets
from privsynth.audit.reidentification import attribute_inference, column_halves, find_links, knowledge
from privsynth.dataset import conform
from privsynth.schema import Column, Schema, Table

NUMERIC = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
N_RELEASE, N_TARGETS = 50_000, 2_000

PEER = """
import json, sys, time, warnings
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator

warnings.simplefilter("ignore")
folder, plan = sys.argv[1], json.loads(sys.argv[2])
train, holdout, release = (pd.read_parquet(f"{folder}/{name}.parquet") for name in ("members", "non_members", "release"))
columns, numeric = list(release.columns), plan["numeric"]

def risk(evaluator):
    found = evaluator.risk(confidence_level=0.95)
    rates = evaluator.results(confidence_level=0.95)
    share = {"rate": rates.n_success / len(train), "control": rates.n_control / len(holdout)}
    return {"risk": found.value, "interval": list(found.ci), **share}

def linkability(train, holdout, release, halves):
    evaluator = LinkabilityEvaluator(
        ori=train, syn=release, control=holdout, n_attacks=len(train), aux_cols=tuple(halves), n_neighbors=1
    )
    return evaluator.evaluate(n_jobs=1)

# Numba compiles at the first call: that is not counted.
linkability(train[:50], holdout[:50], release[:200], plan["halves"])
if plan["links"]:
    start = time.process_time()
    evaluator = linkability(train, holdout, release, plan["halves"])
    print(json.dumps({"what": "linkability", "seconds": time.process_time() - start, **risk(evaluator)}), flush=True)
for secret in plan["secrets"]:
    start = time.process_time()
    known = [column for column in columns if column != secret]
    evaluator = InferenceEvaluator(
        ori=train, syn=release, control=holdout, aux_cols=known, secret=secret, regression=secret in numeric, n_attacks=len(train)
    )
    evaluator.evaluate(n_jobs=1)
    print(json.dumps({"what": secret, "seconds": time.process_time() - start, **risk(evaluator)}), flush=True)
"""


def adult_parts(path: Path, share: float, rng: np.random.Generator) -> tuple[list[pd.DataFrame], Schema]:
    """Train, holdout and a release that copies ``share`` of its rows from train."""
    raw = pd.read_csv(path, dtype=str)
    columns = tuple(Column(name=name, kind="integer" if name in NUMERIC else "categorical") for name in raw.columns)
    schema = Schema(tables=(Table(name="adult", columns=columns),), privacy_unit="row")
    frame = conform(raw, schema, schema.tables[0])[0]
    train, holdout, fresh = (frame.iloc[rows].reset_index(drop=True) for rows in np.array_split(rng.permutation(len(frame)), 3))
    n_copies = round(share * N_RELEASE)
    others = fresh.iloc[rng.integers(0, len(fresh), N_RELEASE - n_copies)].reset_index(drop=True)
    for name in NUMERIC:
        values = others[name].to_numpy(dtype=float)
        others[name] = pd.array(np.rint(values + rng.normal(0, 0.02 * values.std(), len(values))).astype(int), dtype="Int64")
    # Each person once: among equal rows Anonymeter's sort picks any, and then two halves of one person meet by chance only.
    copies = train.iloc[rng.choice(len(train), n_copies, replace=False)]
    release = pd.concat([copies, others], ignore_index=True).sample(frac=1, random_state=int(rng.integers(2**31)), ignore_index=True)
    return [train, holdout, release], schema


def residual_risk(rate: float, control: float) -> float:
    """Anonymeter's risk: excess over control as a share of what control left unguessed, at least 0."""
    return max(0.0, (rate - control) / (1 - control))


def ours(
    parts: list[pd.DataFrame], schema: Schema, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, pd.DataFrame], list[list[str]]]:
    """Rates and CPU-seconds of privsynth, and the frames of its targets for the peer."""
    train, holdout, release = parts
    start = time.process_time()
    encoder = fit_encoder(schema.tables[0].modelled, [train, holdout], release=release)
    coded = encoder.encode(release)
    case = make_case(encoder.encode(train), encoder.encode(holdout), rng=rng)
    encoding = time.process_time() - start
    targets = draw_targets(case, max_targets=N_TARGETS, rng=rng)
    known = knowledge(encoder, case.pool, rng=rng)
    results: dict[str, Any] = {}
    start = time.process_time()
    inference = attribute_inference(targets, coded, known, rng=rng, level=0.01, max_distances=10**12)
    results["inference seconds"] = time.process_time() - start + encoding
    for secret, shown in inference[0].details["secrets"].items():
        results[secret] = {"rate": shown["rate"], "control": shown["control"]}
    start = time.process_time()
    halves = column_halves(known, case.pool)
    linked = find_links(targets.rows, coded, known.views, halves, n_neighbours=1).linked
    results["linkability seconds"] = time.process_time() - start + encoding
    results["linkability"] = {"rate": float(linked[targets.is_member].mean()), "control": float(linked[~targets.is_member].mean())}
    people = pd.concat([train, holdout], ignore_index=True)
    frames = {
        "members": people.iloc[targets.people[targets.is_member]],
        "non_members": people.iloc[targets.people[~targets.is_member]],
        "release": release,
    }
    return results, frames, [[known.columns[position].name for position in half] for half in halves]


def peer(python: Path, frames: dict[str, pd.DataFrame], plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Anonymeter's answers, as they come."""
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in frames.items():
            plain = frame.reset_index(drop=True).astype(dict.fromkeys(plan["numeric"], "int64"))
            plain.fillna("missing").to_parquet(f"{folder}/{name}.parquet")
        environment = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [str(python), "-c", PEER, folder, json.dumps(plan)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise SystemExit(f"Anonymeter ended with {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adult", type=Path, default=Path("../shared/data/adult/adult.csv"))
    parser.add_argument("--anonymeter", type=Path, required=True, help="python of an environment that has Anonymeter")
    parser.add_argument("--secrets", type=int, default=15, help="secrets that Anonymeter guesses; its time for 15 is scaled from them")
    parser.add_argument("--skip", type=int, default=0, help="secrets passed over, and linkability with them: for a long run in parts")
    parser.add_argument("--copies", type=float, default=0.2, help="share of the release copied from train, at most 0.21")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    parts, schema = adult_parts(options.adult, options.copies, rng)
    found, frames, halves = ours(parts, schema, rng)
    print(f"privsynth: 15 secrets {found['inference seconds']:.1f}, linkability {found['linkability seconds']:.1f} CPU-seconds", flush=True)
    secrets = [column.name for column in schema.tables[0].columns]
    chosen = secrets[options.skip : options.skip + options.secrets]
    plan = {"secrets": chosen, "links": options.skip == 0, "numeric": list(NUMERIC), "halves": halves}
    print(f"{'target':16s} {'privsynth risk':>15s} {'Anonymeter risk, 95 % interval':>34s}  agrees  its CPU-seconds")
    answers, n_agree = [], 0
    for answer in peer(options.anonymeter, frames, plan):
        risk = residual_risk(**found[answer["what"]])
        low, high = answer["interval"]
        n_agree += low <= risk <= high
        shown = f"{risk:15.3f} {answer['risk']:16.3f} [{low:.3f}, {high:.3f}]"
        print(f"{answer['what']:16s} {shown}  {'yes' if low <= risk <= high else 'NO':>6s}  {answer['seconds']:13.1f}", flush=True)
        answers.append(answer)
    print(f"agree: {n_agree} of {len(answers)}")
    spent = [answer["seconds"] for answer in answers if answer["what"] != "linkability"]
    times = {"inference": sum(spent) * len(secrets) / len(spent)} if spent else {}
    if options.skip == 0:
        times["linkability"] = answers[0]["seconds"]
    for what, theirs in times.items():
        own = found[f"{what} seconds"]
        print(f"{what}: {theirs:.0f} against {own:.1f} CPU-seconds, {theirs / own:.0f} x faster")


if __name__ == "__main__":
    main()
