"""Runs one engine of dpmm in dpmm's own environment: its pins cannot live beside numpy 2.

    python peer_dpmm.py FOLDER ENGINE EPSILON DELTA ROWS [codes|defaults]

FOLDER holds train.csv. With ``codes`` its columns are integer codes, domain.json gives their sizes, and dpmm's preprocessing is off: all
of epsilon goes into the model. With ``defaults`` the columns are raw values and dpmm preprocesses them as it ships: bounds from
10 % of epsilon, categories and null facts from the data for nothing. Writes synthetic.csv and cost.json.
"""

import json
import resource
import sys
import time
from pathlib import Path

import pandas as pd
from dpmm.pipelines.aim import AIMPipeline
from dpmm.pipelines.mst import MSTPipeline

AIM_ITERATIONS = 100
"""dpmm's default of 1000 takes over 8 minutes on Adult and was not seen to end."""


def main() -> None:
    folder, engine, epsilon, delta, rows, mode = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:]
    frame = pd.read_csv(folder / "train.csv")
    kind = {"mst": MSTPipeline, "aim": AIMPipeline}[engine]
    settings = {"gen_kwargs": {"n_iters": AIM_ITERATIONS}} if engine == "aim" else {}
    if mode == "codes":
        domain = json.loads((folder / "domain.json").read_text())
        pipeline = kind(epsilon=epsilon, delta=delta, disable_processing=True, n_jobs=1, **settings)
    else:
        domain = None
        frame = frame.apply(lambda values: values.astype("category") if values.dtype == object else values)
        pipeline = kind(epsilon=0.9 * epsilon, delta=delta, proc_epsilon=0.1 * epsilon, n_jobs=1, **settings)
    start = time.process_time()
    pipeline.fit(frame, domain=domain)
    fitted = time.process_time()
    synthetic = pipeline.generate(n_records=int(rows))
    cost = {
        "fit s": fitted - start,
        "sample s": time.process_time() - fitted,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    synthetic.to_csv(folder / "synthetic.csv", index=False)
    (folder / "cost.json").write_text(json.dumps(cost))


if __name__ == "__main__":
    main()
