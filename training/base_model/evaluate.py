"""Bits per character of a checkpoint on text that it was not trained on, and samples.

Usage: python evaluate.py --work FOLDER --checkpoint FILE [--documents 100]

Writes the figures beside the checkpoint (``.figures.json``): held-out documents of every source, documents of sources that were left
out whole, and the same texts under a line with four of their own words, which shows how far the model carries attributes into a text.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attributes import pieces
from corpus import NEVER_READ, SOURCES
from prepare import BOS, EOS, LENGTH, SLOTS, scrubbed
from train import configuration
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from privsynth.text.decoding import Decoding, write

PROMPTS = (
    "",
    "",
    "",
    "type: message",
    "type: message; about: card, payment",
    "type: conversation; topic: hotel; name: <PERSON>",
    "product: savings account; reason: higher interest rate",
    "department: billing; issue: charged twice; amount: $45",
    "type: note; symptom: headache; age: <AGE>",
    "category: delivery; status: delayed; place: <LOCATION>",
)
"""Attribute lines of the samples that the model card shows, whatever comes out."""


def nats(model: Any, encoded: Sequence[tuple[list[int], list[int]]], rows: int = 16) -> float:
    """Negative log-likelihood of all texts and their ends, given what stands before each; in nats.

    Args:
        model: The language model.
        encoded: Pairs of ids before and ids of the text, together at most ``LENGTH``.
        rows: Texts that are read at once.
    """
    total = 0.0
    ordered = sorted(encoded, key=lambda pair: len(pair[0]) + len(pair[1]))
    for start in range(0, len(ordered), rows):
        batch = ordered[start : start + rows]
        longest = max(len(before) + len(text) for before, text in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        scored = torch.zeros(len(batch), longest, dtype=torch.bool)
        for i, (before, text) in enumerate(batch):
            ids[i, : len(before) + len(text)] = torch.tensor(before + text)
            scored[i, len(before) : len(before) + len(text)] = True
        with torch.inference_mode():
            logits = model(input_ids=ids[:, :-1]).logits[scored[:, 1:]].float()
        total += float(torch.nn.functional.cross_entropy(logits, ids[:, 1:][scored[:, 1:]], reduction="sum"))
    return total


def texts_of(folder: Path, part: str, name: str, n_documents: int) -> list[str]:
    """One piece of each of the first so many documents of a source, all characters of which fit the context."""
    coins = random.Random(0)
    documents = [document for source, document in scrubbed(folder, part) if source == name][:n_documents]
    chosen = [list(pieces(document["text"], document["kind"], coins)) for document in documents]
    return [coins.choice(options)[2] for options in chosen if options]


def bits_per_character(model: Any, tokenizer: Any, texts: Sequence[str], *, lines: Sequence[str] | None = None) -> tuple[float, int]:
    """Bits per character of the texts and their ends, and the number of characters.

    Lines are cut to 47 tokens, and texts that would not fit the context beside such a line are left out, with lines or without.
    """
    encoded, characters = [], 0
    for i, text in enumerate(texts):
        before = [BOS, *tokenizer(lines[i] if lines else "", add_special_tokens=False).input_ids]
        ids = [*tokenizer(text, add_special_tokens=False).input_ids, EOS]
        if len(ids) <= LENGTH - 48:
            encoded.append((before[:48], ids))
            characters += len(text)
    return nats(model, encoded) / math.log(2) / max(characters, 1), characters


def own_words(text: str, coins: random.Random) -> str:
    """A line with four of the longer words of a text."""
    words = sorted({word for word in text.replace("<", " <").split() if word.isalpha()}, key=lambda word: (-len(word), word))[:12]
    return f"about: {', '.join(coins.sample(words, min(4, len(words))))}\n" if words else ""


def samples(model: Any, tokenizer: Any, *, seed: int = 0) -> list[dict[str, Any]]:
    """One text for each of ``PROMPTS``, the first that is drawn."""
    ids = [tokenizer(f"{prompt}\n" if prompt else "").input_ids for prompt in PROMPTS]
    settings = Decoding(max_new_tokens=100, temperature=0.8, top_p=0.95)
    written = {text.position: text for text in write(model, ids, settings=settings, rng=np.random.default_rng(seed))}
    return [
        {"prompt": prompt, "text": tokenizer.decode(written[i].tokens), "finished": written[i].finished} for i, prompt in enumerate(PROMPTS)
    ]


def evaluate(folder: Path, checkpoint: Path, n_documents: int) -> dict[str, Any]:
    """All figures of one checkpoint."""
    saved = torch.load(checkpoint, weights_only=True)
    model = LlamaForCausalLM(configuration())
    model.load_state_dict(saved["model"])
    # The figures are those of the weights that are shipped.
    model.to(torch.bfloat16).float().eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    rows: dict[str, dict[str, dict[str, float]]] = {"held_out": {}, "never_read": {}}
    for part, names in (("held_out", SOURCES), ("never_read", NEVER_READ)):
        for name in names:
            texts, coins = texts_of(folder, part, name, n_documents), random.Random(1)
            plain, characters = bits_per_character(model, tokenizer, texts)
            told, _ = bits_per_character(model, tokenizer, texts, lines=[own_words(text, coins) for text in texts])
            rows[part][name] = {"bits_per_character": round(plain, 3), "with_four_words": round(told, 3), "characters": characters}
            print(part, name, rows[part][name], flush=True)
    parts = [json.loads(path.read_text()) for path in sorted(folder.glob("rows-*.json"))]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "slots": list(SLOTS),
        "steps": saved["step"],
        "tokens_seen": saved["tokens"],
        "cpu_seconds": round(saved["cpu_seconds"]),
        "decay_steps": saved["decayed"],
        "corpus_tokens": sum(part["predicted"] for part in parts),
        "contaminated_documents_left_out": json.loads((folder / "scrubbed" / "contamination.json").read_text()),
        **rows,
        "samples": samples(model, tokenizer),
    }


def main() -> None:
    """Evaluate one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = evaluate(arguments.work, arguments.checkpoint, arguments.documents)
    arguments.checkpoint.with_suffix(".figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    for sample in figures["samples"]:
        print(json.dumps(sample))


if __name__ == "__main__":
    main()
