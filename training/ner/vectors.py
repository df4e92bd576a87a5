"""What company does a word keep? A small table of word vectors from permissively licensed text.

Positive pointwise mutual information between a word and the frequent words at each of four positions around it,
reduced by a singular value decomposition (Levy, Goldberg & Dagan 2015, TACL 3:211-225, with their context
distribution smoothing of 0.75). Appended: how often the word is capitalised inside a sentence, its log frequency, and
whether it is on a list of first names, last names or places. Listed words that the text does not hold share one row
for each combination of lists, so that the table stays small.

Usage: python training/ner/vectors.py --corpus ../shared/data/lm --out vectors.npz
"""

from __future__ import annotations

import argparse
import itertools
import lzma
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lists import people, places
from scipy import sparse

FILES = {
    "taskmaster": 1.0,
    "star": 0.5,
    "multiwoz-val-test": 1.0,
    "dstc9-track1-faq": 1.0,
    "qmsum-ami-icsi": 1.0,
    "synthetic-persona-chat": 1.0,
    "mts-dialog": 1.0,
    "aci-bench": 1.0,
    "primock57": 1.0,
    "medec": 1.0,
    "medquad": 0.5,
    "gsm8k-questions": 1.0,
    "digitalgov": 1.0,
    "18f-site": 1.0,
    "18f-handbook": 1.0,
    "github-site-policy": 1.0,
    "msdocs-business-central": 0.5,
    "msdocs-ax2012": 0.2,
    "govuk-schemas": 1.0,
    "openstax-ccby": 1.0,
    "classic-books": 0.7,
}
"""Share of each file's documents that is read. CC BY, CC0, public domain, MIT, Apache; the sharing licences are left out."""

TOKEN = re.compile(r"'s\b|n't\b|[^\W_]+|[^\w\s]")
CONTEXT_WORDS = 2500
WIDTH = 64
OFFSETS = (-2, -1, 1, 2)


def read(corpus: Path) -> list[str]:
    """Documents of the corpus, every n-th one where a file is read in part."""
    documents = []
    for name, share in FILES.items():
        with lzma.open(corpus / f"{name}.txt.xz", "rt", encoding="utf-8") as file:
            texts = file.read().split("<|doc|>")
        step = 1.0 / share
        documents += [texts[int(i * step)] for i in range(int(len(texts) * share))]
    return documents


def count_words(documents: list[str]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Lower-cased words; those seen inside a sentence; and those of them that were capitalised."""
    total: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    capitalised: Counter[str] = Counter()
    for document in documents:
        tokens = TOKEN.findall(document)
        total.update(map(str.lower, tokens))
        # A word after a lower-case word or a comma does not start a sentence.
        middle = [word for before, word in itertools.pairwise(tokens) if before == "," or before.islower()]
        inside.update(map(str.lower, middle))
        capitalised.update(word.lower() for word in middle if word[0].isupper())
    return total, inside, capitalised


def cooccurrences(documents: list[str], vocabulary: dict[str, int]) -> Any:
    """Counts of shape (words, 4 positions x context words)."""
    n_words = len(vocabulary)
    counts: Any = sparse.csr_matrix((n_words, len(OFFSETS) * CONTEXT_WORDS), dtype=np.float32)
    block: list[int] = []
    for number, document in enumerate(documents):
        block += [vocabulary.get(token.lower(), -1) for token in TOKEN.findall(document)] + [-1, -1]
        if len(block) > 2_000_000 or number == len(documents) - 1:
            ids = np.array(block)
            for position, offset in enumerate(OFFSETS):
                words, contexts = (ids[-offset:], ids[:offset]) if offset < 0 else (ids[:-offset], ids[offset:])
                keep = (words >= 0) & (contexts >= 0) & (contexts < CONTEXT_WORDS)
                columns = contexts[keep] + position * CONTEXT_WORDS
                ones = np.ones(len(columns), dtype=np.float32)
                counts = counts + sparse.csr_matrix((ones, (words[keep], columns)), shape=counts.shape)
            block = []
    return counts


def reduce(counts: Any) -> npt.NDArray[np.float32]:
    """Word vectors of shape (words, WIDTH), each of length sqrt(WIDTH)."""
    from sklearn.utils.extmath import randomized_svd

    table = counts.tocoo()
    rows = np.asarray(counts.sum(axis=1)).ravel()
    columns = np.asarray(counts.sum(axis=0)).ravel() ** 0.75
    with np.errstate(divide="ignore"):
        information = np.log(table.data) - np.log(rows[table.row]) - np.log(columns[table.col] / columns.sum())
    positive = information > 0
    matrix = sparse.csr_matrix((information[positive], (table.row[positive], table.col[positive])), shape=table.shape)
    left, values, _ = randomized_svd(matrix, n_components=WIDTH, n_iter=4, random_state=0)
    vectors = left * np.sqrt(values)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return (vectors / lengths * np.sqrt(WIDTH)).astype(np.float32)


def listed_words() -> tuple[set[str], set[str], set[str]]:
    """Lower-cased words of first names, last names and places."""
    first = {word for names, _ in people().values() for name in names for word in TOKEN.findall(name.lower()) if len(word) > 1}
    last = {word for _, names in people().values() for name in names for word in TOKEN.findall(name.lower()) if len(word) > 1}
    place = {word for name in places() for word in TOKEN.findall(name.lower()) if len(word) > 2}
    return first, last, place


def build(corpus: Path, n_rows: int) -> dict[str, npt.NDArray[Any]]:
    """The table, its words, and the rows that listed words outside the vocabulary share."""
    documents = read(corpus)
    total, inside, capitalised = count_words(documents)
    words = [word for word, count in total.most_common(n_rows) if count >= 8]
    index = {word: row for row, word in enumerate(words)}
    vectors = reduce(cooccurrences(documents, index))
    share = np.array([(capitalised[word] + 0.5) / (inside[word] + 1.0) for word in words])
    lists = listed_words()
    flags = np.array([[word in listed for listed in lists] for word in words], dtype=float)
    flags[:, 2] *= share > 0.5  # "the", "park", "new" are words of place names too
    log_frequency = np.log(np.array([total[word] for word in words]))
    log_frequency = (log_frequency - log_frequency.mean()) / log_frequency.std()
    features = np.column_stack([vectors * 0.5, 3.0 * share - 1.5, 2.0 * flags, 0.5 * log_frequency])
    shared_keys, shared_rows, extra = [], [], []
    for code in range(1, 8):
        wanted = np.array([code & 1, code >> 1 & 1, code >> 2 & 1], dtype=float)
        alike = (flags == wanted).all(axis=1) & (share > 0.7)
        row = features[alike].mean(axis=0) if alike.any() else features.mean(axis=0)
        row[WIDTH : WIDTH + 5] = [1.5, *(2.0 * wanted), -1.0]
        extra.append(row)
    for word in sorted(set().union(*lists) - set(index)):
        code = sum((word in listed) << bit for bit, listed in enumerate(lists))
        shared_keys.append(word)
        shared_rows.append(len(words) + code - 1)
    table = np.vstack([features, np.array(extra)]).astype(np.float32)
    return {"table": table, "words": np.array(words), "shared_words": np.array(shared_keys), "shared_rows": np.array(shared_rows)}


def main() -> None:
    """Write the table and print a few neighbourhoods to look at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=18_000)
    arguments = parser.parse_args()
    arrays = build(arguments.corpus, arguments.rows)
    np.savez_compressed(arguments.out, **arrays)
    words = list(arrays["words"])
    unit = arrays["table"][: len(words), :WIDTH]
    for word in ("john", "smith", "paris", "university", "monday", "invoice", "microsoft"):
        if word in words:
            nearest = np.argsort(-(unit @ unit[words.index(word)]))[1:9]
            print(word, [words[i] for i in nearest], arrays["table"][words.index(word), WIDTH:].round(1))
    print(f"{len(words)} words, {len(arrays['shared_words'])} shared, {time.process_time():.0f} CPU-s")


if __name__ == "__main__":
    main()
