"""Speed and recall of pattern detection against Presidio as it ships, in one run on one thread.

    python benchmarks/pii.py [--rows 100000] [--stock-rows 300] [--templates generated_large.json]

Three kinds of text: a table of eight columns with notes, short texts, and long documents. Presidio is its stock registry
for English on a blank spaCy pipeline whose lemmas are the lower-cased words (without them its context words never work);
it runs on a sample and its time is extrapolated by characters, because the whole table takes it ten minutes. Times are CPU
seconds of this process. Recall counts the planted values of which every letter and digit is covered, by any type.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth import pii
from privsynth.pii import detect
from privsynth.pii.engine import Engine

COLUMNS = ("name", "email", "phone", "ssn", "iban", "address", "birth_date", "notes")
SENTENCES = (
    "Client called about the {topic} and was told that the {topic} is being looked into.",
    "Spoke with {name} on {date}; the {topic} will be sent by post.",
    "Please call back on {phone} after lunch, the line was bad and the {topic} remained open.",
    "Confirmation of the {topic} was sent to {email} as agreed.",
    "Transfer to {iban} was refused because the {topic} had expired.",
    "The branch manager approved the {topic} without further questions this week.",
    "Identity checked, SSN {ssn} matches the file.",
    "No further action on the {topic} is needed until the next review in spring.",
    "New address is {address}, effective from {date}.",
    "Asked whether the {topic} can be arranged online; explained the usual way and the fees.",
    "The documents for the {topic} are complete and were filed with the back office.",
    "Reminded the client that the {topic} must be signed by both partners.",
    "Nobody picked up; a letter about the {topic} goes out tomorrow.",
    "Login came from {ip}, which is unusual for this account.",
)
TOPICS = ("mortgage offer", "overdraft", "standing order", "card replacement", "complaint", "savings plan", "fee reversal")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Texts and the personal values planted in each, as (start, end)."""

    texts: list[str]
    planted: list[list[tuple[int, int, str]]]


def people(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Invented people from Faker's lists, with a note of about 165 characters each."""
    from faker import Faker

    Faker.seed(int(rng.integers(2**31)))
    fake = Faker("en_US")
    base = min(n, 4000)  # Faker is slow: beyond this, values are combined anew
    pool = {
        "name": [fake.name() for _ in range(base)],
        "phone": [fake.phone_number() for _ in range(base)],
        "address": [fake.address().replace("\n", ", ") for _ in range(base)],
        "iban": [fake.iban() for _ in range(base)],
        "birth_date": [fake.date_of_birth().isoformat() for _ in range(base)],
    }
    frame = pd.DataFrame({key: rng.permutation(np.resize(np.array(values), n)) for key, values in pool.items()})
    numbers = rng.integers(0, 10**6, size=n)
    frame["email"] = [f"{name.split()[-1].lower()}{number}@example.com" for name, number in zip(frame["name"], numbers, strict=True)]
    area, group, serial = rng.integers(100, 665, n), rng.integers(1, 100, n), rng.integers(1, 10_000, n)
    frame["ssn"] = [f"{a:03d}-{g:02d}-{s:04d}" for a, g, s in zip(area, group, serial, strict=True)]
    return frame


def notes(frame: pd.DataFrame, rng: np.random.Generator, *, sentences: int = 2) -> Corpus:
    """A note for each row, of sentences that hold the row's values or none."""
    texts, planted = [], []
    dates = pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, len(frame)), unit="D")
    written = [date.strftime(form) for date, form in zip(dates, rng.choice(["%Y-%m-%d", "%d %B %Y", "%m/%d/%Y"], len(frame)), strict=True)]
    addresses = rng.integers(1, 255, size=(len(frame), 4))
    for row, date, octets in zip(frame.to_dict("records"), written, addresses, strict=True):
        values = {**row, "date": date, "ip": ".".join(map(str, octets))}
        text, spans = "", []
        for which in rng.choice(len(SENTENCES), size=sentences, replace=sentences > len(SENTENCES)):
            sentence = SENTENCES[which]
            while "{" in sentence:
                before, _, rest = sentence.partition("{")
                key, _, sentence = rest.partition("}")
                value = values[key] if key in values else TOPICS[int(rng.integers(len(TOPICS)))]
                text += before
                if key in values:
                    spans.append((len(text), len(text) + len(value), key))
                text += value
            text += sentence + " "
        texts.append(text.rstrip())
        planted.append(spans)
    return Corpus(texts=texts, planted=planted)


def stock_presidio() -> tuple[Any, Sequence[Any]]:
    """Presidio's engine with the recognizers that it loads for English, and those recognizers without its NER."""
    presidio = __import__("presidio_analyzer")
    detect._keep_offline()
    registry = presidio.RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.recognizers = [recognizer for recognizer in registry.recognizers if type(recognizer).__name__ != "SpacyRecognizer"]
    engine = presidio.AnalyzerEngine(registry=registry, nlp_engine=detect._nlp_engine("en"), supported_languages=["en"])
    return engine, registry.recognizers


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a piece of work, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def recall(corpus: Corpus, found: Sequence[Sequence[tuple[int, int]]], kinds: set[str]) -> float:
    """Share of planted values of some kinds whose every letter and digit is covered."""
    hit = total = 0
    for text, planted, spans in zip(corpus.texts, corpus.planted, found, strict=False):
        covered = np.zeros(len(text) + 1, dtype=bool)
        for start, end in spans:
            covered[start:end] = True
        for start, end, kind in planted:
            if kind in kinds:
                total += 1
                hit += all(covered[i] for i in range(start, end) if text[i].isalnum())
    return hit / total if total else float("nan")


def handled_whole(frame: pd.DataFrame) -> tuple[list[str], list[str], pd.DataFrame]:
    """Our way with a table: columns first, whole columns of personal data taken out, texts searched in what is left."""
    report = pii.scan(frame, rng=np.random.default_rng(0), ner="none")
    whole = [column for column, kind in report.pii.items() if kind != "FREE_TEXT"]
    texts = [column for column, kind in report.pii.items() if kind == "FREE_TEXT"]
    return whole, texts, frame.drop(columns=whole)


def table(rows: int, stock_rows: int, engine: Any) -> None:
    rng = np.random.default_rng(1)
    frame = people(rows, rng)
    corpus = notes(frame, rng)
    frame = frame.assign(notes=corpus.texts)[list(COLUMNS)]
    characters = sum(int(frame[column].str.len().sum()) for column in frame)
    sample = frame.head(stock_rows)
    seen = sum(int(sample[column].str.len().sum()) for column in sample)
    per_column = {}
    for column in COLUMNS:
        seconds, results = cpu(lambda column=column: [engine.analyze(text, "en", score_threshold=0.4) for text in sample[column]])
        per_column[column] = (seconds, results)
    stock = sum(seconds for seconds, _ in per_column.values()) * rows / stock_rows
    scanning, (whole, texts, rest) = cpu(lambda: handled_whole(frame))
    searching, found = cpu(lambda: {column: pii.detect_spans(rest[column].tolist()) for column in rest})
    ours = scanning + searching
    length = frame["notes"].str.len().mean()
    print(f"table: {rows} rows x {len(COLUMNS)} columns, {characters / 1e6:.1f} M characters, notes of {length:.0f} on average")
    print(f"  Presidio {stock:.0f} CPU-s (extrapolated from {stock_rows} rows, {seen / 1e3:.0f} k characters)")
    print(f"  privsynth {ours:.1f} CPU-s: columns {scanning:.1f}, texts {searching:.1f}   ratio {stock / ours:.1f}")
    print(f"  taken out whole: {', '.join(whole)}; free text: {', '.join(texts)}; searched: {', '.join(rest)}")
    kinds = {"email", "phone", "ssn", "iban", "ip", "date", "address", "name"}
    head = Corpus(texts=corpus.texts[:stock_rows], planted=corpus.planted[:stock_rows])
    theirs = [[(result.start, result.end) for result in row] for row in per_column["notes"][1]]
    mine = [[(span.start, span.end) for span in row] for row in found["notes"][:stock_rows]] if "notes" in found else []
    seconds = per_column["notes"][0] * rows / stock_rows
    print(f"  notes alone: Presidio {seconds:.0f} CPU-s, privsynth {searching:.1f}   ratio {seconds / searching:.1f}")
    for kind in sorted(kinds):
        print(f"  recall in notes, {kind:8s} Presidio {recall(head, theirs, {kind}):.3f}   privsynth {recall(head, mine, {kind}):.3f}")
    for column in whole:
        planted = [[(0, len(text), column)] for text in sample[column]]
        cells = Corpus(texts=sample[column].tolist(), planted=planted)
        results = [[(result.start, result.end) for result in row] for row in per_column[column][1]]
        print(f"  recall of cells, {column:10s} Presidio {recall(cells, results, {column}):.3f}   privsynth 1.000 (goes as a whole)")


def compare(name: str, texts: list[str], engine: Any, recognizers: Sequence[Any], *, stock_texts: int) -> None:
    """Two ratios: our rules against stock Presidio, and our loop over Presidio's own recognizers with equal spans."""
    sample = texts[:stock_texts]
    size, all_of = sum(map(len, sample)), sum(map(len, texts))
    loop = Engine(recognizers, language="en", words=detect._pipeline().tokenizer)
    engine.analyze(sample[0], "en")
    for text in sample[:50]:
        loop.search(text)
    stock, theirs = cpu(lambda: [engine.analyze(text, "en", score_threshold=0.0) for text in sample])
    same, equal = cpu(lambda: [loop.search(text) for text in sample])
    mine, _ = cpu(lambda: pii.detect_spans(texts))
    spans = [{(result.start, result.end, result.entity_type) for result in row} for row in theirs]
    again = [{(hit.start, hit.end, hit.entity) for hit in row} for row in equal]
    missed = sum(len(a - b) for a, b in zip(spans, again, strict=True))
    extra = sum(len(b - a) for a, b in zip(spans, again, strict=True))
    ratio = (stock / size) / (mine / all_of)
    count = sum(map(len, spans))
    print(f"{name}: {len(texts)} texts of {all_of / len(texts):.0f} characters")
    print(f"  thousand characters a CPU-s: Presidio {size / stock / 1e3:.0f} ({len(sample)} texts), privsynth {all_of / mine / 1e3:.0f}")
    print(f"  ratio {ratio:.1f}; Presidio's recognizers in our loop {stock / same:.1f}")
    print(f"  of Presidio's {count} spans at score 0: missed {missed}, extra {extra}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--stock-rows", type=int, default=300)
    parser.add_argument("--templates", type=Path, help="texts of presidio-research's generator (MIT), as JSON with full_text")
    arguments = parser.parse_args()
    engine, recognizers = stock_presidio()
    engine.analyze("warm up", "en")
    pii.detect_spans(["Warm up: Anna Smith, 12 Long Acre Road, +41 79 123 45 67, 29 November 1996."])
    rng = np.random.default_rng(2)
    short = notes(people(1000, rng), rng, sentences=1).texts
    long = notes(people(60, rng), rng, sentences=47).texts
    compare("short texts", short, engine, recognizers, stock_texts=300)
    compare("long documents", long, engine, recognizers, stock_texts=15)
    if arguments.templates:
        texts = [entry["full_text"] for entry in json.loads(arguments.templates.read_text(encoding="utf-8"))]
        compare("templates, short", texts[:1000], engine, recognizers, stock_texts=300)
        joined = [" ".join(texts[start : start + 45]) for start in range(1000, 2000, 45)]
        compare("templates, long", joined, engine, recognizers, stock_texts=10)
    table(arguments.rows, arguments.stock_rows, engine)


if __name__ == "__main__":
    main()
