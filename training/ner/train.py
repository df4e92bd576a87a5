"""Train the embedded NER pipeline; stop and start at will, it goes on after the last whole epoch.

Usage:
    python training/ner/vectors.py --corpus ../shared/data/lm --out work/vectors.npz
    python training/ner/train.py --sources ../shared/data/ner --vectors work/vectors.npz --work work
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import data
import numpy as np
import spacy
from spacy.attrs import LOWER
from spacy.training import Example
from spacy.util import filter_spans, fix_random_seed, load_config
from spacy.vectors import Vectors
from thinc.api import Adam

HERE = Path(__file__).resolve().parent


def blank_pipeline(vectors: Path) -> Any:
    """The untrained pipeline with its word vectors, looked up by lower-cased word."""
    nlp = spacy.util.load_model_from_config(load_config(HERE / "config.cfg"), auto_fill=True)
    arrays = np.load(vectors)
    words = [*arrays["words"].tolist(), *arrays["shared_words"].tolist()]
    rows = np.concatenate([np.arange(len(arrays["words"])), arrays["shared_rows"]])
    table = Vectors(strings=nlp.vocab.strings, shape=arrays["table"].shape, attr="LOWER")
    table.data[:] = arrays["table"]
    for word, row in zip(words, rows.tolist(), strict=True):
        # The hash, not the word: the words themselves need not be in the shipped string store.
        table.add(spacy.strings.get_string_id(word), row=row)
    nlp.vocab.vectors = table
    return nlp


def example(nlp: Any, text: data.Text) -> Example:
    """A text as spaCy trains on it; entities grow to whole tokens, and lose blanks at their ends."""
    doc = nlp.make_doc(text[0])
    spans = []
    for start, end, label in text[1]:
        span = doc.char_span(start, end, label=label, alignment_mode="expand")
        while span is not None and len(span) and span[0].is_space:
            span = span[1:]
        while span is not None and len(span) and span[-1].is_space:
            span = span[:-1]
        if span is not None and len(span):
            spans.append(spacy.tokens.Span(doc, span.start, span.end, label=label))
    reference = doc.copy()
    reference.set_ents([spacy.tokens.Span(reference, s.start, s.end, label=s.label_) for s in filter_spans(spans)])
    return Example(doc, reference)


def batches(examples: list[Example], n_words: int) -> Iterator[list[Example]]:
    """Neighbouring examples of about this many words together."""
    batch: list[Example] = []
    size = 0
    for item in examples:
        batch.append(item)
        size += len(item.reference)
        if size >= n_words:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def learn_rate(step: int, done: float, peak: float) -> float:
    """Up in 200 steps, then down in a straight line to a twentieth; ``done`` is the share of the run in [0, 1]."""
    return peak * min((step + 1) / 200, max(0.05, 1.0 - done))


def save(nlp: Any, optimizer: Adam, work: Path, progress: dict[str, Any]) -> None:
    """Weights, the optimizer's moments and averages, and where the run is; the last file written makes the checkpoint count."""
    folder = work / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    nlp.to_disk(folder / "last")
    with nlp.select_pipes(enable=["ner"]), nlp.use_params(optimizer.averages):
        nlp.to_disk(folder / "averaged")
    look_up_lower(folder / "averaged")
    place = {node.id: number for number, node in enumerate(nlp.get_pipe("ner").model.walk())}
    arrays = {
        f"{kind}|{place[key[0]]}|{key[1]}": value
        for kind, moments in (("mom1", optimizer.mom1), ("mom2", optimizer.mom2), ("averages", optimizer.averages))
        for key, value in moments.items()
        if key[0] in place
    }
    counts = {f"nr_update|{place[key[0]]}|{key[1]}": np.array(count) for key, count in optimizer.nr_update.items() if key[0] in place}
    np.savez(folder / "optimizer.npz", **arrays, **counts)
    (folder / "progress.json").write_text(json.dumps(progress))


def look_up_lower(pipeline: Path) -> None:
    """Note in a stored pipeline that its vectors are looked up by lower-cased word: spaCy reads that note but does not write it."""
    settings = pipeline / "vocab" / "vectors.cfg"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "attr": LOWER}))


def restore(nlp: Any, optimizer: Adam, work: Path) -> dict[str, Any]:
    """Take up the last checkpoint, if there is one."""
    folder = work / "checkpoint"
    if not (folder / "progress.json").exists():
        return {"epoch": 0, "step": 0, "words": 0, "cpu_seconds": 0.0}
    nlp.get_pipe("ner").from_disk(folder / "last" / "ner", exclude=["vocab"])
    nodes = list(nlp.get_pipe("ner").model.walk())
    for name, value in np.load(folder / "optimizer.npz").items():
        kind, number, parameter = name.split("|")
        stored = int(value) if kind == "nr_update" else value
        getattr(optimizer, kind)[nodes[int(number)].id, parameter] = stored
    progress: dict[str, Any] = json.loads((folder / "progress.json").read_text())
    return progress


def main() -> None:
    """Train for the epochs asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sources", type=Path, required=True, help="folder with the two-column files")
    parser.add_argument("--vectors", type=Path, required=True, help="what vectors.py wrote")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints go here")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--templates", type=int, default=7000, help="business texts per epoch")
    parser.add_argument("--cells", type=int, default=3500, help="cells per epoch")
    parser.add_argument("--share", type=float, default=1.0, help="share of each epoch's texts that is used, in (0, 1]")
    parser.add_argument("--batch-words", type=int, default=350)
    parser.add_argument("--dropout", type=float, default=0.15)
    parser.add_argument("--peak", type=float, default=0.0015)
    parser.add_argument("--seed", type=int, default=20261120)
    arguments = parser.parse_args()
    fix_random_seed(arguments.seed)
    gold = {name: data.split(name, data.read_sentences(arguments.sources / name))[0] for name in data.SOURCES}
    nlp = blank_pipeline(arguments.vectors)
    optimizer = Adam(0.001, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=True)
    inventor = data.Inventor(np.random.default_rng(arguments.seed))
    shown = [example(nlp, inventor.fill(template)) for template in data.templates.TEXTS]
    nlp.initialize(lambda: shown, sgd=optimizer)
    progress = restore(nlp, optimizer, arguments.work)
    before = progress["cpu_seconds"]
    while progress["epoch"] < arguments.epochs:
        rng = np.random.default_rng([arguments.seed, progress["epoch"]])
        sentences = {name: data.thin(found, data.UNMARKED.get(name, 1.0), rng) for name, found in gold.items()}
        texts = data.epoch(sentences, n_templates=arguments.templates, n_cells=arguments.cells, settings=data.Augmentation(), rng=rng)
        texts = texts[: int(len(texts) * arguments.share)]
        examples = [example(nlp, text) for text in texts]
        groups = list(batches(examples, arguments.batch_words))
        losses: dict[str, float] = {}
        for number, group in enumerate(groups):
            done = (progress["epoch"] + number / len(groups)) / arguments.epochs
            optimizer.learn_rate = learn_rate(progress["step"], done, arguments.peak)
            nlp.update(group, sgd=optimizer, losses=losses, drop=arguments.dropout)
            progress["step"] += 1
            progress["words"] += sum(len(item.reference) for item in group)
        progress["epoch"] += 1
        progress["cpu_seconds"] = before + time.process_time()
        save(nlp, optimizer, arguments.work, progress)
        print(json.dumps({**progress, "loss": round(losses["ner"])}), flush=True)


if __name__ == "__main__":
    main()
