"""How fast are texts written? The embedded model, our loop against the library's ``generate``, in turn inside one process.

    python benchmarks/text_generation.py --runs 3 --batch-sizes 16 64

Prints tokens and rows per CPU-second, each the median of the runs, and the ratios. Three cases: a fixed number of tokens from prompts of
one length (no text may end), with top-k 50 alone and with top-k 200 and top-p 0.95; and whole texts from prompts of different lengths,
which end when the model ends them. Limits, weights, number format and batch size are the same for both; one thread.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers

from privsynth.text import base_model
from privsynth.text.decoding import Decoding, write

NEW_TOKENS = 48


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both are asked to write."""

    name: str
    prompts: list[list[int]]
    top_k: int
    top_p: float
    may_end: bool


def cases(vocabulary: int, n_rows: int, rng: np.random.Generator) -> list[Case]:
    def prompts(lengths: np.ndarray) -> list[list[int]]:
        return [[1, *rng.integers(300, vocabulary - 40, length - 1).tolist()] for length in lengths]

    equal, mixed = prompts(np.full(n_rows, 12)), prompts(rng.integers(4, 24, n_rows))
    return [
        Case(name="12 + 48 tokens, top-k 50", prompts=equal, top_k=50, top_p=1.0, may_end=False),
        Case(name="12 + 48 tokens, top-k 200, top-p .95", prompts=equal, top_k=200, top_p=0.95, may_end=False),
        Case(name="4-23 + at most 48 tokens, top-k 200, top-p .95", prompts=mixed, top_k=200, top_p=0.95, may_end=True),
    ]


def by_loop(model: Any, case: Case, batch_size: int) -> int:
    bias = torch.zeros(model.config.vocab_size)
    bias[model.config.eos_token_id] = 0.0 if case.may_end else -torch.inf
    settings = Decoding(max_new_tokens=NEW_TOKENS, top_k=case.top_k, top_p=case.top_p, batch_size=batch_size)
    return sum(len(text.tokens) for text in write(model, case.prompts, settings=settings, rng=np.random.default_rng(0), logit_bias=bias))


def by_generate(model: Any, case: Case, batch_size: int) -> int:
    """The library's loop on the same batches, shortest prompts first, padded on the left."""
    ordered, n_tokens = sorted(case.prompts, key=len), 0
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in batch])
        out = model.generate(
            ids,
            attention_mask=(ids != 0).long(),
            do_sample=True,
            top_k=case.top_k,
            top_p=case.top_p,
            max_new_tokens=NEW_TOKENS,
            suppress_tokens=None if case.may_end else [model.config.eos_token_id],
        )[:, longest:]
        n_tokens += int(((out != model.config.pad_token_id) & (out != model.config.eos_token_id)).sum())
    return n_tokens


def compared(model: Any, case: Case, batch_size: int, n_runs: int) -> str:
    """Both loops in turn; the first round is a warm-up."""
    measured: dict[str, list[tuple[float, int]]] = {"generate": [], "ours": []}
    for run in range(n_runs + 1):
        torch.manual_seed(run)
        for name, function in (("generate", by_generate), ("ours", by_loop)):
            started = time.process_time()
            n_tokens = function(model, case, batch_size)
            if run:
                measured[name].append((time.process_time() - started, n_tokens))
    tokens = {name: median(n / seconds for seconds, n in results) for name, results in measured.items()}
    rows = {name: median(len(case.prompts) / seconds for seconds, _ in results) for name, results in measured.items()}
    return (
        f"generate {tokens['generate']:.0f} tokens and {rows['generate']:.1f} rows per CPU-second, "
        f"ours {tokens['ours']:.0f} and {rows['ours']:.1f}; {tokens['ours'] / tokens['generate']:.2f} x in tokens, "
        f"{rows['ours'] / rows['generate']:.2f} x in rows"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--batches", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    models = {"float32": base_model.load().model, "bfloat16": base_model.load(half=True).model}
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, one thread, {arguments.runs} runs each, median")
    for batch_size in arguments.batch_sizes:
        for case in cases(8192, batch_size * arguments.batches, np.random.default_rng(1)):
            for format_name, model in models.items():
                print(f"batch {batch_size}, {case.name}, {format_name}: {compared(model, case, batch_size, arguments.runs)}", flush=True)


if __name__ == "__main__":
    main()
