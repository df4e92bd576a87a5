"""How good are the text engines at which epsilon? E2E restaurant descriptions and banking77 requests, everything inside one epsilon.

    python benchmarks/text.py e2e --data E2E_FOLDER --engine ngram --epsilon 8
    python benchmarks/text.py e2e --data E2E_FOLDER --engine language-model --model FOLDER --epsilon 8 --steps 300 --rate 0.05
    python benchmarks/text.py banking77 --data BANKING77_FOLDER --engine ngram --epsilon 8

E2E: a tenth of the meaning representations is held out with all their references. Bits per character of held-out references, prompt not
counted, end of the text counted; attribute hits: share of 300 sampled texts that name the value their prompt asks for. banking77: accuracy
of TF-IDF with logistic regression, trained on as many synthetic requests as there are real ones, tested on the real test set. Settings
were not chosen on these data, but for what RESULTS.md says. Ten samples are printed as they come.
"""

from __future__ import annotations

import argparse
import math
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from privsynth.privacy import Budget, Ledger, SystemNoise
from privsynth.privacy.ledger import Population
from privsynth.text.adapter import AdaptedModel, LanguageModel
from privsynth.text.base import FittedText, TextRecords, TextSynthesizer
from privsynth.text.folder import open_tokenizer
from privsynth.text.lora import LoraSettings
from privsynth.text.ngram import NGram, NGramModel, encoded
from privsynth.text.prompts import row_line
from privsynth.text.training import DPSGD, Speed

KEYS = {"eatType": "type", "priceRange": "price", "familyFriendly": "family friendly", "customer rating": "rating", "near": "near"}
ATTRIBUTES = ("food", "type", "area", "price", "rating", "name", "near")
MAX_TOKENS = 96


def attributes(meaning: str) -> dict[str, str]:
    """``name[The Mill], area[riverside]`` as a row."""
    return {KEYS.get(key.strip(), key.strip()): value for key, value in re.findall(r"([\w ]+)\[([^\]]*)\]", meaning)}


def e2e(folder: Path) -> tuple[TextRecords, TextRecords, list[dict[str, str]]]:
    """Train, held-out, and the held-out rows; every reference counts as one person."""
    parts = [pd.read_csv(folder / name).rename(columns=str.lower) for name in ("devset.csv", "testset_w_refs.csv")]
    frame = pd.concat(parts, ignore_index=True)
    meanings = np.array(sorted(set(frame["mr"])), dtype=object)
    held = set(np.random.default_rng(0).permutation(meanings)[: len(meanings) // 10])
    is_held = frame["mr"].isin(held).to_numpy()
    rows = [attributes(meaning) for meaning in frame["mr"]]
    lines = [row_line(row) for row in rows]
    data = [
        TextRecords(
            prompts=tuple(line for line, part in zip(lines, is_held, strict=True) if part == side),
            texts=tuple(text for text, part in zip(frame["ref"], is_held, strict=True) if part == side),
            people=np.arange((is_held == side).sum()).astype(object),
        )
        for side in (False, True)
    ]
    return data[0], data[1], [row for row, part in zip(rows, is_held, strict=True) if part]


def banking77(folder: Path) -> tuple[TextRecords, pd.DataFrame]:
    train, test = (pd.read_csv(folder / name) for name in ("train.csv", "test.csv"))
    labels = tuple(train["category"])
    records = TextRecords(
        prompts=tuple(row_line({"category": label.replace("_", " ")}) for label in labels),
        texts=tuple(" ".join(text.split()) for text in train["text"]),
        people=np.arange(len(train)).astype(object),
        labels=labels,
    )
    return records, test


def engine(options: argparse.Namespace, labels: Sequence[str]) -> TextSynthesizer:
    if options.engine == "ngram":
        return NGram(tokenizer=options.model, labels=tuple(sorted(set(labels))), max_tokens=MAX_TOKENS, max_keys=options.max_keys)
    return LanguageModel(
        training=DPSGD(sampling_prob=options.rate, steps=options.steps, learning_rate=options.learning_rate, max_tokens=MAX_TOKENS),
        model=options.model,
        lora=LoraSettings(rank=options.rank),
        histogram_share=options.histogram_share,
        temperature=options.temperature,
        speed=Speed(microbatch=32),
    )


def fit(built: TextSynthesizer, train: TextRecords, options: argparse.Namespace) -> FittedText:
    budget = Budget(epsilon=options.epsilon, delta=options.delta)
    touches = built.touches(noise_scale=1.0, budget=budget)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        population = Population(name="benchmark", units=[str(person) for person in train.people])
        with ledger.reserve(population, touches, budget=budget, noise_scale=1.0, noise=SystemNoise()) as reservation:
            model = built.fit(train, reservation=reservation, budget=budget, progress=_progress)
            cost = reservation.cost
            print(f"total epsilon {cost.epsilon:.4g} at delta {cost.delta:g}; fit {time.process_time() - start:.0f} CPU-s")
    for touch in touches:
        print(f"  {touch.label}: {touch.event}")
    return model


def _progress(what: str, done: int, of: int) -> None:
    if done % 50 == 0:
        print(f"  {what} {done}/{of}", flush=True)


def bits_per_character(model: FittedText, held: TextRecords, tokenizer: object) -> float:
    """Of the held-out texts, their end counted as one character."""
    characters = sum(len(text) + 1 for text in held.texts)
    if isinstance(model, NGramModel):
        nats = -sum(model.log_probability(encoded(tokenizer, text, max_tokens=MAX_TOKENS).tolist()) for text in held.texts)
    else:
        assert isinstance(model, AdaptedModel)
        lengths = [len(encoded(tokenizer, text, max_tokens=10**6)) - 1 for text in held.texts]
        nats = float((model.losses(held).double().numpy() * np.array(lengths)).sum())
    return nats / math.log(2) / characters


def hits(texts: Sequence[str], rows: Sequence[dict[str, str]]) -> str:
    """Share of texts that name the attribute's value, among rows that have the attribute."""
    shares = []
    for name in ATTRIBUTES:
        asked = [(text.lower(), row[name].lower()) for text, row in zip(texts, rows, strict=True) if name in row]
        shares.append(f"{name} {np.mean([value in text for text, value in asked]):.2f}")
    return ", ".join(shares)


def run_e2e(options: argparse.Namespace) -> None:
    train, held, rows = e2e(options.data)
    print(f"{len(train.texts)} train, {len(held.texts)} held out; {vars(options)}")
    tokenizer = open_tokenizer(options.model)
    model = fit(engine(options, ()), train, options)
    print(f"bits per character of held-out text: {bits_per_character(model, held, tokenizer):.3f}", flush=True)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(rows), options.samples, replace=True)
    sampled = sorted(model.sample([held.prompts[i] for i in chosen], rng=rng), key=lambda sample: sample.position)
    texts = [sample.text for sample in sampled]
    known = set(train.texts)
    print(f"attribute hits ({len(texts)} texts): {hits(texts, [rows[i] for i in chosen])}")
    unfinished, copied = np.mean([not sample.finished for sample in sampled]), np.mean([text in known for text in texts])
    print(f"unfinished {unfinished:.3f}, equal to a training text {copied:.3f}")
    for i, text in zip(chosen[:10], texts[:10], strict=True):
        print(f"  {held.prompts[i]}\n    -> {text}")


def accuracy(texts: Sequence[str], labels: Sequence[str], test: pd.DataFrame) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=300))
    classifier.fit(list(texts), list(labels))
    return float(classifier.score(test["text"], test["category"]))


def run_banking77(options: argparse.Namespace) -> None:
    train, test = banking77(options.data)
    labels = train.labels or ()
    print(f"{len(train.texts)} train, {len(test)} test; {vars(options)}")
    if options.engine == "real":
        print(f"accuracy of training on the real texts: {accuracy(train.texts, labels, test):.3f}")
        return
    model = fit(engine(options, labels), train, options)
    rng = np.random.default_rng(0)
    wanted = [label for label in sorted(set(labels)) for _ in range(options.samples // 77)]  # labels are public, and every one gets as many
    sampled = list(model.sample([row_line({"category": label.replace("_", " ")}) for label in wanted], rng=rng, labels=wanted))
    print(
        f"accuracy of training on {len(sampled)} synthetic texts: "
        f"{accuracy([s.text for s in sampled], [wanted[s.position] for s in sampled], test):.3f}"
    )
    for sample in [sampled[i] for i in rng.choice(len(sampled), 10, replace=False)]:
        print(f"  {wanted[sample.position]}\n    -> {sample.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["e2e", "banking77"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engine", choices=["ngram", "language-model", "real"], required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--histogram-share", type=float, default=0.1)
    parser.add_argument("--max-keys", type=int, default=30)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--samples", type=int, default=300)
    options = parser.parse_args()
    (run_e2e if options.task == "e2e" else run_banking77)(options)


if __name__ == "__main__":
    main()
