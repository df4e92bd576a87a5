"""Tokenizer and training rows from scrubbed text.

Usage: python prepare.py tokenizer --work FOLDER        train the tokenizer on a sample of every source
       python prepare.py rows --work FOLDER [--passes 2]   write rows-0.u16, rows-1.u16, ...

FOLDER holds ``scrubbed/`` as written by scrub.py. A row is ``LENGTH`` tokens of whole pieces, each ``<bos> attributes text <eos>``;
no piece runs from one row into the next, so every row begins as a generated text does. Bit 15 marks tokens that are read but not
predicted: attributes and padding.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attributes import attribute_line, pieces
from corpus import SOURCES
from drills import drill
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 8192
LENGTH = 256
DRILLS = 0.25
"""Composed exercises for each piece of text; they are short."""

UNPREDICTED = np.uint16(1 << 15)
SPECIAL = ("<pad>", "<bos>", "<eos>")
PAD, BOS, EOS = range(len(SPECIAL))

SLOTS = (
    "PERSON FIRST_NAME LAST_NAME EMAIL_ADDRESS PHONE_NUMBER URL USERNAME IP_ADDRESS LOCATION ADDRESS STREET_ADDRESS CITY POSTCODE COUNTRY "
    "ORGANIZATION JOB DATE_TIME DATE_OF_BIRTH AGE ID NATIONAL_ID ACCOUNT_NUMBER IBAN_CODE CREDIT_CARD AMOUNT "
    "SLOT_1 SLOT_2 SLOT_3 SLOT_4 SLOT_5 SLOT_6 SLOT_7 SLOT_8"
).split()
"""Typed slots, each one token ``<NAME>``; the last eight are free for types of a user's own."""


def scrubbed(folder: Path, part: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every scrubbed document of one part with the name of its source."""
    for path in sorted(folder.glob(f"scrubbed/*.{part}.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield path.name.split(".")[0], json.loads(line)


def train_tokenizer(folder: Path) -> None:
    """Byte-level BPE: any text can be written, digits are single tokens, slots are one token each and survive decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SLOTS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=16,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(folder, n_characters=12_000_000), trainer)
    # Not "special": decoding that skips special tokens must keep slots.
    tokenizer.add_tokens([AddedToken(f"<{slot}>", special=False, normalized=False) for slot in SLOTS])
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)])
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise SystemExit(f"the vocabulary has {tokenizer.get_vocab_size()} entries; expected {VOCABULARY}")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        model_max_length=LENGTH,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder / "tokenizer")


def _sample(folder: Path, n_characters: int) -> Iterator[str]:
    """About so many characters, sources in the shares in which they are read."""
    sizes = {path: path.stat().st_size for path in sorted(folder.glob("scrubbed/*.train.jsonl"))}
    chance = min(1.0, n_characters / sum(sizes.values()))
    coins = random.Random(1)
    for _, document in scrubbed(folder, "train"):
        if coins.random() < chance:
            text = document["text"]
            for slot in SLOTS:
                text = text.replace(f"<{slot}>", " ")
            yield text


def words_for_drills(folder: Path) -> list[str]:
    """Words that occur at least five times, in lower case; short ones left out."""
    counts = Counter(word for _, document in scrubbed(folder, "train") for word in re.findall(r"\b[a-z]{3,12}\b", document["text"]))
    return sorted(word for word, n in counts.items() if n >= 5)


def render(folder: Path, number: int) -> Iterator[tuple[str, str]]:
    """One pass over the corpus as (attribute line, text): other pieces, other attributes and other drills in each pass."""
    coins, words = random.Random(1000 + number), words_for_drills(folder)
    for name, document in scrubbed(folder, "train"):
        passes = SOURCES[name].passes
        for _ in range(int(passes) + (coins.random() < passes % 1)):
            for written_as, title, text in pieces(document["text"], document["kind"], coins):
                yield attribute_line(text, title, written_as, coins), text
                if coins.random() < DRILLS:
                    yield drill(words, coins)


def write_rows(folder: Path, number: int) -> None:
    """Pack one pass into rows and shuffle them."""
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    rendered = list(render(folder, number))
    random.Random(number).shuffle(rendered)
    lines = tokenizer._tokenizer.encode_batch_fast([line for line, _ in rendered], add_special_tokens=False)
    texts = tokenizer._tokenizer.encode_batch_fast([text for _, text in rendered], add_special_tokens=False)
    documents = []
    for line, text in zip(lines, texts, strict=True):
        read = np.array([BOS, *line.ids], dtype=np.uint16) | UNPREDICTED
        documents.append(np.concatenate([read, np.array([*text.ids, EOS], dtype=np.uint16)])[:LENGTH])
    rows = pack(documents)
    np.random.default_rng(number).shuffle(rows)
    rows.tofile(folder / f"rows-{number}.tmp")
    (folder / f"rows-{number}.tmp").rename(folder / f"rows-{number}.u16")
    predicted = int((rows < UNPREDICTED).sum())
    figures = {"rows": len(rows), "pieces": len(documents), "tokens": int((rows != PAD | UNPREDICTED).sum()), "predicted": predicted}
    (folder / f"rows-{number}.json").write_text(json.dumps(figures) + "\n")
    print(figures, flush=True)


def pack(documents: list[np.ndarray], n_open: int = 64) -> np.ndarray:
    """Whole documents into rows, each into the fullest open row that still has room; shape (n_rows, LENGTH)."""
    rows: list[np.ndarray] = []
    open_rows: list[list[np.ndarray]] = []
    room: list[int] = []
    for document in documents:
        fitting = [i for i, left in enumerate(room) if left >= len(document)]
        if fitting:
            best = min(fitting, key=room.__getitem__)
            open_rows[best].append(document)
            room[best] -= len(document)
        else:
            open_rows.append([document])
            room.append(LENGTH - len(document))
        if len(room) > n_open or room[-1] < 4 or (fitting and room[best] < 4):
            fullest = min(range(len(room)), key=room.__getitem__)
            rows.append(_filled(open_rows.pop(fullest), room.pop(fullest)))
    rows += [_filled(parts, left) for parts, left in zip(open_rows, room, strict=True)]
    return np.stack(rows)


def _filled(parts: list[np.ndarray], left: int) -> np.ndarray:
    return np.concatenate([*parts, np.full(left, PAD | UNPREDICTED, dtype=np.uint16)])


def main() -> None:
    """Train the tokenizer or write rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("tokenizer", "rows"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.step == "tokenizer":
        train_tokenizer(arguments.work)
    else:
        for number in range(arguments.passes):
            write_rows(arguments.work, number)


if __name__ == "__main__":
    main()
