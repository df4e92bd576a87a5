"""What the base model reads: public sources, their shares, the parts held out, and what must not be in them.

Text of people is scrubbed before anything else sees it: mentions that the package's own detectors find become typed slots,
which is also how the model meets confidential text later. A document that shares ten words in a row with one of the sets that
serve as private data in benchmarks is left out.
"""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of documents.

    Attributes:
        share: Share of its documents that is read at all, in (0, 1]: less for repetitive or distant sources.
        passes: How often a document that is read appears in one pass over the corpus.
        kind: ``dialogue``, ``note`` (clinical), ``request`` (single utterances), ``faq``, ``guide`` (edited modern prose) or ``book``.
        names: Whether the name model reads it beside the patterns and name lists.
    """

    share: float = 1.0
    passes: float = 1.0
    kind: str
    names: bool = True


SOURCES = {
    "star": Source(kind="dialogue", passes=1.2),
    "multiwoz-val-test": Source(kind="dialogue", passes=2),
    "taskmaster": Source(kind="dialogue", share=0.7),
    "multidogo": Source(kind="dialogue", share=0.5),
    "synthetic-persona-chat": Source(kind="dialogue", share=0.8),
    "mts-dialog": Source(kind="note", passes=1.5),
    "aci-bench": Source(kind="note"),
    "primock57": Source(kind="note", passes=2),
    "medec": Source(kind="note"),
    "qmsum-ami-icsi": Source(kind="dialogue", share=0.5),
    "gsm8k-questions": Source(kind="request", passes=1.5),
    "nlu-home": Source(kind="request", passes=2),
    "dstc9-track1-faq": Source(kind="faq", passes=1.2),
    "medquad": Source(kind="faq", share=0.2, names=False),
    "smart-answers": Source(kind="guide", passes=2, names=False),
    "irs-direct-file": Source(kind="guide", passes=2, names=False),
    "govuk-schemas": Source(kind="guide", passes=1.5),
    "18f-handbook": Source(kind="guide", passes=1.5),
    "18f-site": Source(kind="guide", share=0.5),
    "digitalgov": Source(kind="guide", share=0.3),
    "github-site-policy": Source(kind="guide", names=False),
    "msdocs-business-central": Source(kind="guide", share=0.4, names=False),
    "msdocs-ax2012": Source(kind="guide", share=0.06, names=False),
    "openstax-ccby": Source(kind="guide", share=0.2, names=False),
    "peps": Source(kind="guide", share=0.04, names=False),
    "classic-books": Source(kind="book", share=0.06, names=False),
}
"""Permissive licences and the public domain only."""

NEVER_READ = {
    "topical-chat": Source(kind="dialogue"),
    "dstc11-track5-reviews": Source(kind="guide"),
    "dstc11-track5-dialogues": Source(kind="dialogue"),
    "sgd-by-sa": Source(kind="dialogue"),
}
"""Sources whose licences ask for sharing alike; left out of the weights whole, they measure the model on text of other origin."""

HELD_OUT_SHARE = 0.015
"""Share of each source's documents that is kept for evaluation."""

HELD_OUT_AT_MOST = 250
"""Documents per source that are evaluated."""

SHARED_WORDS = 10
"""So many words in a row, shared with a benchmark set, make a document contaminated."""

_WORD = re.compile(r"[a-z0-9]+")


def read_documents(folder: Path, name: str) -> list[str]:
    """The documents of one source, blanks at their ends removed."""
    with lzma.open(folder / f"{name}.txt.xz", "rt", encoding="utf-8") as file:
        parts = re.split(r"^<\|doc\|>\n?", file.read(), flags=re.MULTILINE)
    return [text for part in parts if (text := part.strip())]


def place(document: str) -> float:
    """A number in [0, 1) that depends on nothing but the text: decides what is held out and what is read."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:7], "big") / 2**56


def split(documents: list[str], source: Source) -> tuple[list[str], list[str]]:
    """Documents to train on and documents held out."""
    places = [(place(document), document) for document in documents]
    held_out = [document for where, document in places if where < HELD_OUT_SHARE][:HELD_OUT_AT_MOST]
    end = HELD_OUT_SHARE + source.share * (1 - HELD_OUT_SHARE)
    return [document for where, document in places if HELD_OUT_SHARE <= where < end], held_out


def benchmark_texts(folder: Path) -> dict[str, list[str]]:
    """Every text of the sets that stand for private data in benchmarks."""
    e2e = pd.concat(pd.read_csv(path) for path in sorted((folder / "e2e").glob("*.csv")))
    banking = pd.concat(pd.read_csv(folder / "banking77" / f"{part}.csv") for part in ("train", "test"))
    return {"e2e": list(e2e["ref"].astype(str)), "banking77": list(banking["text"].astype(str))}


def runs_of_words(text: str) -> Iterator[int]:
    """Hashes of every run of ``SHARED_WORDS`` words; a shorter text has none."""
    words = _WORD.findall(text.lower())
    return (hash(tuple(words[i : i + SHARED_WORDS])) for i in range(len(words) - SHARED_WORDS + 1))


def contaminated(document: str, runs: dict[str, frozenset[int]]) -> list[str]:
    """The benchmark sets that share a run of words with the document."""
    own = set(runs_of_words(document))
    return [name for name, theirs in runs.items() if not own.isdisjoint(theirs)]
