"""Replace personal data in public text by typed slots, with the package's own detectors.

Usage: python scrub.py --sources FOLDER_LM --benchmarks FOLDER_TEXT --out FOLDER [--processes 2]

Writes one JSON-lines file per source and part (train, held_out, never_read), and ``contamination.json`` with the number of documents
left out. A source that has been written is not read again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from corpus import HELD_OUT_AT_MOST, NEVER_READ, SOURCES, Source, benchmark_texts, contaminated, place, read_documents, runs_of_words, split

from privsynth.pii.detect import detect_spans
from privsynth.pii.ner import find_names

Stretch = tuple[int, int, str]
"""Start, end and the slot's name."""

BY_PATTERN = {
    "EMAIL_ADDRESS": "EMAIL_ADDRESS",
    "PHONE_NUMBER": "PHONE_NUMBER",
    "URL": "URL",
    "IP_ADDRESS": "IP_ADDRESS",
    "IBAN_CODE": "IBAN_CODE",
    "CREDIT_CARD": "CREDIT_CARD",
    "NATIONAL_ID": "NATIONAL_ID",
    "STREET_ADDRESS": "STREET_ADDRESS",
    "PERSON": "PERSON",
}
"""Types that the pattern detector gives; others (bare numbers that might be a bank's) are too unsure in public prose."""

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATES = re.compile(
    rf"\b(?:(?:{MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|\d{{1,2}}(?:st|nd|rd|th)? (?:{MONTHS})(?: \d{{4}})?"
    r"|\d{1,2}/\d{1,2}/\d{2,4}"
    r"|\d{4}-\d\d-\d\d|\d{1,2}(?::|\.)\d\d ?(?:am|pm|AM|PM|a\.m\.|p\.m\.)?|\d{1,2} ?(?:am|pm))\b"
)
AGES = re.compile(r"\b\d{1,3}(?=[- ]years?[- ]old)")
NUMBERS = re.compile(r"\b(?=[A-Z0-9-]*\d{3})(?:\d{5,16}|[A-Z]{1,4}-?\d{4,12})\b")
HANDLES = re.compile(r"(?<![\w.])@[A-Za-z_]\w{2,}")
TITLES = re.compile(r"(?:Mr|Mrs|Ms|Miss|Dr|Doctor|Professor|Prof)\.? $")


def find(text: str, mentions: Sequence[Stretch], coins: random.Random) -> list[Stretch]:
    """Stretches to replace, without overlaps: those of the detectors, then dates, ages and numbers by their shape.

    Dates, places and organisations are no one's secret in public text; they are replaced in some documents only, so that the
    model knows both the words and the slots.
    """
    found = list(mentions)
    if coins.random() < 0.4:
        found += [(*match.span(), "DATE_TIME") for match in DATES.finditer(text)]
    if coins.random() < 0.5:
        found += [(*match.span(), "AGE") for match in AGES.finditer(text)]
    found += [(*match.span(), "USERNAME") for match in HANDLES.finditer(text)]
    found += [(*match.span(), _number(text[: match.start()], coins)) for match in NUMBERS.finditer(text)]
    places, organisations = coins.random() < 0.6, coins.random() < 0.6
    kept: list[Stretch] = []
    for start, end, slot in sorted(found, key=lambda stretch: (stretch[0], -stretch[1])):
        if (slot == "LOCATION" and not places) or (slot == "ORGANIZATION" and not organisations):
            continue
        if not kept or start >= kept[-1][1]:
            kept.append((start, end, slot))
    return kept


def _number(before: str, coins: random.Random) -> str:
    """The slot of a long number, by the words that lead to it; some account numbers become IBANs, which public text lacks."""
    near = before[-40:].lower()
    if "card" in near:
        return "CREDIT_CARD"
    if "account" in near:
        return coins.choice(("ACCOUNT_NUMBER", "IBAN_CODE"))
    return "PHONE_NUMBER" if re.search(r"phone|call|mobile|number is", near) else "ID"


def replace(text: str, stretches: Sequence[Stretch], coins: random.Random) -> str:
    """The text with slots for the stretches."""
    parts, end = [], 0
    for start, stop, slot in stretches:
        parts += [text[end:start], f"<{_finer(text[:start], text[start:stop], slot, coins)}>"]
        end = stop
    return "".join([*parts, text[end:]])


def _finer(before: str, mention: str, slot: str, coins: random.Random) -> str:
    if slot == "STREET_ADDRESS":
        return coins.choice(("STREET_ADDRESS", "ADDRESS"))
    if slot != "PERSON" or " " in mention:
        return slot
    return "LAST_NAME" if TITLES.search(before) else coins.choice(("PERSON", "FIRST_NAME"))


def scrub(batch: Sequence[str], *, source: Source) -> list[str]:
    """Documents with slots in place of what was found; the same document gives the same result."""
    patterns = detect_spans(batch)
    names = find_names(batch) if source.names else [[] for _ in batch]
    scrubbed = []
    for text, spans, mentions in zip(batch, patterns, names, strict=True):
        # Where the name model reads, lists of names would only add homonyms ("North Heights"); guides name real staff, so both count.
        listed = not source.names or source.kind == "guide"
        stretches = [
            (span.start, span.end, BY_PATTERN[span.entity])
            for span in spans
            if span.entity in BY_PATTERN and (span.entity != "PERSON" or (listed and "\n" not in text[span.start : span.end]))
        ]
        stretches += [(m.start, m.end, m.entity) for m in mentions if _named(text[m.start : m.end], m.entity)]
        coins = random.Random(place(text))
        scrubbed.append(replace(text, find(text, stretches, coins), coins))
    return scrubbed


ROLES = frozenset("doctor patient nurse customer agent guest guest_family guest_clinician user assistant speaker".split())


def _named(mention: str, entity: str) -> bool:
    """False for the roles of a dialogue, and for organisations in lower case or short capitals, often no names ("asap", "ATM")."""
    if mention.lower() in ROLES:
        return False
    return entity != "ORGANIZATION" or (any(c.isupper() for c in mention) and not (mention.isupper() and len(mention) < 5))


def write(documents: Sequence[str], path: Path, pool: object, source: Source, part: str) -> None:
    """Scrub the documents over the processes and write them when all are done."""
    batches = [documents[i : i + 64] for i in range(0, len(documents), 64)]
    with path.with_suffix(".tmp").open("w", encoding="utf-8") as file:
        for batch in pool.imap(partial(scrub, source=source), batches):  # type: ignore[attr-defined]
            file.writelines(json.dumps({"kind": source.kind, "part": part, "text": text}) + "\n" for text in batch)
    path.with_suffix(".tmp").rename(path)


def main() -> None:
    """Scrub every source, most wanted first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--benchmarks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") is None:
        raise SystemExit("set PYTHONHASHSEED=0: runs of words are compared by their hashes")
    arguments.out.mkdir(parents=True, exist_ok=True)
    benchmarks = benchmark_texts(arguments.benchmarks)
    runs = {name: frozenset(run for text in texts for run in runs_of_words(text)) for name, texts in benchmarks.items()}
    counts = arguments.out / "contamination.json"
    left_out: dict[str, dict[str, int]] = json.loads(counts.read_text()) if counts.exists() else {}
    with Pool(arguments.processes) as pool:
        for name, source in {**SOURCES, **NEVER_READ}.items():
            parts = {part: arguments.out / f"{name}.{part}.jsonl" for part in ("train", "held_out", "never_read")}
            if parts["never_read" if name in NEVER_READ else "held_out"].exists():
                continue
            clean, contaminations = [], Counter[str]()
            for document in read_documents(arguments.sources, name):
                hits = contaminated(document, runs)
                contaminations.update(hits)
                if not hits:
                    clean.append(document)
            left_out[name] = dict(contaminations)
            if name in NEVER_READ:
                some = sorted(clean, key=place)[:HELD_OUT_AT_MOST]
                write(some, parts["never_read"], pool, source, "never_read")
            else:
                train, held_out = split(clean, source)
                write(train, parts["train"], pool, source, "train")
                write(held_out, parts["held_out"], pool, source, "held_out")
            counts.write_text(json.dumps(left_out, indent=1) + "\n")
            print(name, len(clean), left_out[name], flush=True)


if __name__ == "__main__":
    main()
