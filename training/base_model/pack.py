"""Write the trained model, its tokenizer, figures, model card and checksums into the package's asset folder.

Usage: python pack.py --work FOLDER --checkpoint FILE --out privsynth/assets/lm_en

``evaluate.py`` must have run on the checkpoint. An asset above 32 MB is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attributes import WITH_ATTRIBUTES
from corpus import NEVER_READ, SOURCES
from prepare import LENGTH, UNPREDICTED, VOCABULARY
from train import configuration
from transformers import LlamaForCausalLM

VERSION = "1.0.0"
MAX_BYTES = 32_000_000


def token_counts(folder: Path) -> np.ndarray:
    """How often each token was to be predicted in one pass over all rows, shape (VOCABULARY,)."""
    counts = np.zeros(VOCABULARY, dtype=np.uint32)
    for path in sorted(folder.glob("rows-*.u16")):
        rows = np.memmap(path, dtype=np.uint16, mode="r")
        counts += np.bincount(rows[rows < UNPREDICTED], minlength=VOCABULARY).astype(np.uint32)
    return counts


def pack(folder: Path, checkpoint: Path, out: Path) -> None:
    """Replace the asset; refuse one that is too large to ship."""
    figures = {"version": VERSION, **json.loads(checkpoint.with_suffix(".figures.json").read_text(encoding="utf-8"))}
    shutil.rmtree(out, ignore_errors=True)
    model = LlamaForCausalLM(configuration())
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    model.set_attn_implementation("sdpa")
    model.to(torch.bfloat16).save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    shutil.copy(folder / "tokenizer" / "tokenizer.json", out)
    settings = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text(encoding="utf-8"))
    # The name that every release of the library since 4 knows.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    np.save(out / "token_counts.npy", token_counts(folder))
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    files = sorted(path for path in out.iterdir() if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > MAX_BYTES:
        raise SystemExit(f"the asset takes {size} bytes; at most {MAX_BYTES} may be shipped")
    checksums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (out / "checksums.json").write_text(json.dumps(checksums, indent=1) + "\n")
    (out / "MODEL_CARD.md").write_text(card(figures, size), encoding="utf-8")
    print(f"{out}: {size / 1e6:.1f} MB")


def card(figures: dict[str, Any], size: int) -> str:
    """The model card with the figures of this run."""
    measured = {**figures["held_out"], **figures["never_read"]}
    rows = [
        f"| {name} | {'left out whole' if name in NEVER_READ else 'documents held out'} "
        f"| {row['characters']} | {row['bits_per_character']:.2f} | {row['with_four_words']:.2f} |"
        for name, row in measured.items()
    ]
    left_out = {name: counts for name, counts in figures["contaminated_documents_left_out"].items() if counts}
    template = (Path(__file__).resolve().parent / "MODEL_CARD.template.md").read_text(encoding="utf-8")
    return template.format(
        version=VERSION,
        size=f"{size / 1e6:.1f}",
        parameters=f"{figures['parameters'] / 1e6:.2f}",
        vocabulary=VOCABULARY,
        context=LENGTH,
        with_attributes=f"{WITH_ATTRIBUTES:.0%}",
        longest=LENGTH - 48,
        slots=", ".join(f"`<{slot}>`" for slot in figures["slots"]),
        tokens=f"{figures['tokens_seen'] / 1e6:.2f}",
        passes=f"{figures['tokens_seen'] / figures['corpus_tokens']:.2f}",
        corpus=f"{figures['corpus_tokens'] / 1e6:.1f}",
        steps=figures["steps"],
        decay_steps=figures["decay_steps"],
        cpu_seconds=figures["cpu_seconds"],
        figures="\n".join(rows),
        n_left_out=sum(sum(counts.values()) for counts in left_out.values()),
        left_out="; ".join(f"{name}: {n} ({benchmark})" for name, counts in left_out.items() for benchmark, n in counts.items()),
        n_sources=len(SOURCES),
        samples="\n".join(_sample(sample) for sample in figures["samples"]),
    )


def _sample(sample: dict[str, Any]) -> str:
    text = sample["text"].replace("\n", " / ")
    end = "" if sample["finished"] else " *(cut at the limit)*"
    return f"- `{sample['prompt'] or '(no attributes)'}` → {text}{end}"


def main() -> None:
    """Pack one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    pack(arguments.work, arguments.checkpoint, arguments.out)


if __name__ == "__main__":
    main()
