"""How much does the pipeline find on sources it never saw? Choose the operating point, pack the asset, print the figures.

A transition-based parser has no threshold. Its last layer has a bias for each action; lowering that of "outside" by
c nats makes it touch more and err more. c is chosen on held-back sentences of the *training* sources (``choose``), and
only then are the sources that were left out whole scored (``report``).

Usage:
    python training/ner/evaluate.py choose --sources ../shared/data/ner --pipeline work/checkpoint/averaged
    python training/ner/evaluate.py report --sources ../shared/data/ner --pipeline work/checkpoint/averaged --bias 1.0
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import data
import numpy as np
import spacy

from privsynth.pii import ner

_LABEL = {"PERSON": "PERSON", "LOCATION": "LOCATION", "ORGANIZATION": "ORG", "STREET_ADDRESS": "ADDRESS"}


def lower_outside(nlp: Any, bias: float) -> None:
    """Lower the bias of the parser's "outside" action by so many nats, once."""
    ner = nlp.get_pipe("ner")
    names = [ner.moves.get_class_name(i) for i in range(ner.moves.n_moves)]
    upper = next(node for node in ner.model.walk() if node.name == "linear" and node.has_dim("nO") and node.get_dim("nO") == len(names))
    values = upper.get_param("b").copy()
    values[names.index("O")] -= bias
    upper.set_param("b", values)


def score(nlp: Any, texts: Sequence[data.Text]) -> dict[str, Any]:
    """Share of gold mentions touched, precision and exact F1, by label.

    A gold mention is touched if any prediction of any label shares a character with it. Precision counts predictions
    (of the label; "all" for any) that share a character with a gold mention of any label. F1 wants the same ends and label.
    """
    counts = {label: dict.fromkeys(("gold", "touched", "predicted", "right", "exact"), 0) for label in data.LABELS}
    found = ner.find_names([text for text, _ in texts], pipeline=nlp)
    for (_, gold), mentions in zip(texts, found, strict=True):
        predicted = [(mention.start, mention.end, _LABEL[mention.entity]) for mention in mentions]
        for start, end, label in gold:
            counts[label]["gold"] += 1
            counts[label]["touched"] += any(left < end and start < right for left, right, _ in predicted)
        for start, end, label in predicted:
            counts[label]["predicted"] += 1
            counts[label]["right"] += any(left < end and start < right for left, right, _ in gold)
            counts[label]["exact"] += (start, end, label) in gold
    rows = {label: _rates(row) for label, row in counts.items() if row["gold"]}
    rows["all"] = _rates({key: sum(row[key] for row in counts.values()) for key in counts["ORG"]})
    return rows


def _rates(row: dict[str, int]) -> dict[str, float]:
    return {
        "mentions": row["gold"],
        "touched": round(row["touched"] / max(row["gold"], 1), 3),
        "precision": round(row["right"] / max(row["predicted"], 1), 3),
        "exact_f1": round(2 * row["exact"] / max(row["gold"] + row["predicted"], 1), 3),
    }


def texts_of(sentences: Sequence[data.Sentence]) -> list[data.Text]:
    """Sentences as texts."""
    return [data.join_tokens(*sentence) for sentence in sentences]


def development(sources: Path) -> list[data.Text]:
    """Held-back sentences of the training sources."""
    return [text for name in data.DEVELOPMENT for text in texts_of(data.split(name, data.read_sentences(sources / name))[1])]


def words_per_second(nlp: Any, texts: Sequence[data.Text], repeats: int = 12) -> float:
    """Words read in a CPU-second of one thread, on notes of about 30 words: the best of some repeats, as other work only slows it down."""
    notes = [" ".join(text for text, _ in texts[i : i + 2]) for i in range(0, min(len(texts), 400), 2)]
    n_words = sum(len(nlp.make_doc(note)) for note in notes)
    speeds = []
    for _ in range(repeats):
        begin = time.process_time()
        ner.find_names(notes, pipeline=nlp)
        speeds.append(n_words / (time.process_time() - begin))
    return max(speeds)


def main() -> None:
    """Print a table for each bias, or the figures of one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("choose", "report", "pack"))
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--bias", type=float, nargs="+", default=[0.0, 1.0, 2.0, 3.0])
    parser.add_argument("--out", type=Path, help="pack: where the pipeline goes")
    arguments = parser.parse_args()
    if arguments.what == "choose":
        texts = development(arguments.sources)
        for bias in arguments.bias:
            nlp = spacy.load(arguments.pipeline)
            ner.accelerate(nlp)
            lower_outside(nlp, bias)
            print(json.dumps({"bias": bias, **score(nlp, texts)}))
        return
    nlp = spacy.load(arguments.pipeline)
    ner.accelerate(nlp)
    lower_outside(nlp, arguments.bias[0])
    held_out = {name.partition(".")[0]: texts_of(data.read_sentences(arguments.sources / name)) for name in data.HELD_OUT}
    figures: dict[str, Any] = {name: score(nlp, texts) for name, texts in held_out.items()}
    figures["words_per_second"] = int(np.round(words_per_second(nlp, held_out["en-uner-ewt-dev"]), -2))
    figures["busy"] = "shared with other work" if os.getloadavg()[0] > (os.cpu_count() or 1) else "otherwise idle"
    figures["outside_bias"] = arguments.bias[0]
    progress = json.loads((arguments.pipeline.parent / "progress.json").read_text())
    figures |= {"epochs": progress["epoch"], "words": progress["words"], "cpu_seconds": round(progress["cpu_seconds"])}
    print(json.dumps(figures, indent=1))
    if arguments.what == "pack":
        from pack import pack, without_words

        unread = without_words(arguments.pipeline)
        lower_outside(unread, arguments.bias[0])
        pack(unread, figures, arguments.out)


if __name__ == "__main__":
    main()
