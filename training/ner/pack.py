"""Write the trained pipeline, its figures, its model card and the checksums of its files into the package's asset folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import spacy
from spacy.vectors import Vectors
from train import look_up_lower

VERSION = "1.0.0"
MAX_BYTES = 16_000_000
TARGETS = {"PERSON": 0.93, "LOCATION": 0.92, "ORG": 0.80}
WORDS_PER_SECOND = 18_000


def pack(nlp: Any, figures: dict[str, Any], out: Path) -> None:
    """Replace the asset; refuse one that is too large to ship."""
    nlp.meta.update(
        name="privsynth_ner",
        version=VERSION,
        description="Persons, places, organisations and addresses in English text; small, for CPUs",
        author="privsynth",
        license="Apache-2.0",
    )
    shutil.rmtree(out, ignore_errors=True)
    nlp.to_disk(out)
    look_up_lower(out)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    files = sorted(path for path in out.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if size > MAX_BYTES:
        raise SystemExit(f"the asset takes {size} bytes; at most {MAX_BYTES} may be shipped")
    checksums = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (out / "checksums.json").write_text(json.dumps(checksums, indent=1) + "\n")
    (out / "MODEL_CARD.md").write_text(card(figures, size), encoding="utf-8")


def without_words(folder: Path) -> Any:
    """The trained pipeline with an empty string store: spaCy keeps every word that it has read, those of training texts too."""
    nlp = spacy.util.load_model_from_config(spacy.util.load_config(folder / "config.cfg"), auto_fill=True)
    vectors = Vectors(strings=nlp.vocab.strings)
    vectors.from_disk(folder / "vocab", exclude=["strings"])
    nlp.vocab.vectors = vectors
    nlp.get_pipe("ner").from_disk(folder / "ner", exclude=["vocab"])
    return nlp


def card(figures: dict[str, Any], size: int) -> str:
    """The model card with the figures of this run; whether they reach the targets is computed, not typed."""
    sources = {name: rows for name, rows in figures.items() if isinstance(rows, dict) and "all" in rows}
    table = ["| held out | label | mentions | touched | precision | exact F1 |", "|---|---|---|---|---|---|"]
    table += [
        f"| {name} | {label} | {row['mentions']} | {row['touched']:.3f} | {row['precision']:.3f} | {row['exact_f1']:.3f} |"
        for name, rows in sources.items()
        for label, row in rows.items()
    ]
    missed = [
        f"{label} on {name} ({rows[label]['touched']:.3f})"
        for name, rows in sources.items()
        for label, target in TARGETS.items()
        if rows[label]["touched"] < target
    ]
    missed += [f"speed ({figures['words_per_second']})"] if figures["words_per_second"] < WORDS_PER_SECOND else []
    verdict = f"**Not reached: {'; '.join(missed)}.**" if missed else "All reached."
    template = (Path(__file__).resolve().parent / "MODEL_CARD.template.md").read_text(encoding="utf-8")
    return template.format(
        version=VERSION,
        size=f"{size / 1e6:.1f}",
        figures="\n".join(table),
        verdict=verdict,
        **{key: figures[key] for key in ("words_per_second", "busy", "outside_bias", "epochs", "words", "cpu_seconds")},
    )
