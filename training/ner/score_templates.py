"""How well do patterns, lists and model together find planted personal data? Span F2 on template sentences.

The measure is that of presidio-research's span evaluator (type-agnostic ``pii_f``, beta 2), so that published figures
can stand beside it: neighbouring spans of one type are merged, a gold span is found if a prediction of any type overlaps
it with an intersection over union of at least 0.9, counted in letters and digits; each prediction serves once. Beside it
stand a smaller overlap, and the same on *regions*: neighbours of any type merged, which is what a mask shows ("street,
town, postcode" is one stretch however it is typed).

Usage: python training/ner/score_templates.py --templates ../shared/data/pii/templates/generated_large.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from privsynth.pii import detect, gazetteer, ner, propagation
from privsynth.pii.text import find

Span = tuple[int, int, str]


def merged(text: str, spans: Sequence[Span], *, any_type: bool = False) -> list[Span]:
    """Overlapping spans become one; so do neighbours of one type (or of any) with nothing but blanks and signs between."""
    out: list[Span] = []
    for start, end, entity in sorted(spans):
        if out:
            before = out[-1]
            gap = text[before[1] : start]
            if start < before[1] or ((any_type or entity == before[2]) and not any(c.isalnum() for c in gap)):
                out[-1] = (before[0], max(end, before[1]), before[2])
                continue
        out.append((start, end, entity))
    return out


def matches(text: str, gold: Sequence[Span], predicted: Sequence[Span], least: float) -> list[Span]:
    """Gold spans that a prediction of any type matches; each prediction serves once, the best first."""

    def characters(span: Span) -> set[int]:
        return {i for i in range(span[0], span[1]) if text[i].isalnum()}

    free = [characters(span) for span in predicted]
    found = []
    for span in gold:
        own = characters(span)
        best = max(free, key=lambda other: len(own & other) / max(len(own | other), 1), default=set())
        if own and len(own & best) / len(own | best) >= least:
            found.append(span)
            free.remove(best)
    return found


def f_beta(precision: float, recall: float, beta: float = 2.0) -> float:
    """Weighted harmonic mean; beta 2 weighs recall higher."""
    return (1 + beta**2) * precision * recall / max(beta**2 * precision + recall, 1e-12)


def summarise(texts: Sequence[str], gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """Span F2 at two overlaps, and how much of each type is masked whole or touched."""
    result: dict[str, Any] = {}
    for name, any_type in (("spans", False), ("regions", True)):
        pairs = [
            (text, merged(text, g, any_type=any_type), merged(text, p, any_type=any_type))
            for text, g, p in zip(texts, gold, predicted, strict=True)
        ]
        n_gold, n_predicted = sum(len(g) for _, g, _ in pairs), sum(len(p) for _, _, p in pairs)
        for least in (0.9, 0.5):
            hits = sum(len(matches(text, g, p, least)) for text, g, p in pairs)
            precision, recall = hits / max(n_predicted, 1), hits / n_gold
            result[f"{name}_{least}"] = {
                "precision": round(precision, 3),
                "recall": round(recall, 3),
                "f2": round(f_beta(precision, recall), 3),
            }
    total, touched, masked = Counter[str](), Counter[str](), Counter[str]()
    for text, g, p in zip(texts, gold, predicted, strict=True):
        covered = {i for start, end, _ in p for i in range(start, end)}
        for start, end, entity in g:
            letters = {i for i in range(start, end) if text[i].isalnum()}
            total[entity] += 1
            touched[entity] += bool(letters & covered)
            masked[entity] += letters <= covered
    result["masked_whole"] = {entity: round(masked[entity] / n, 2) for entity, n in total.most_common()}
    result["touched"] = {entity: round(touched[entity] / n, 2) for entity, n in total.most_common()}
    result["masked_whole"]["all"] = round(masked.total() / total.total(), 3)
    return result


def main() -> None:
    """Print the figures of patterns alone, with lists, with the model, and with propagation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--templates", type=Path, required=True)
    parser.add_argument("--pipeline", type=Path, help="another pipeline than the embedded one")
    arguments = parser.parse_args()
    records = json.loads(arguments.templates.read_text(encoding="utf-8"))
    texts = [record["full_text"] for record in records]
    gold = [[(s["start_position"], s["end_position"], s["entity_type"]) for s in record["spans"]] for record in records]
    begin = time.process_time()
    patterns = [[(s.start, s.end, s.entity) for s in spans] for spans in detect.detect_spans(texts)]
    print("patterns", time.process_time() - begin, "CPU-s", json.dumps(summarise(texts, gold, patterns)["spans_0.9"]))
    lists = [[mention[:3] for mention in gazetteer.find_names(text)] for text in texts]
    with_lists = [p + g for p, g in zip(patterns, lists, strict=True)]
    print("+ lists", json.dumps(summarise(texts, gold, with_lists)["spans_0.9"]))
    import spacy

    pipeline = spacy.load(arguments.pipeline) if arguments.pipeline else ner.load(ner.EMBEDDED)
    names = [[mention[:3] for mention in mentions] for mentions in ner.find_names(texts, pipeline=pipeline)]
    print("model alone", json.dumps(summarise(texts, gold, names)))
    print("patterns + model", json.dumps(summarise(texts, gold, [p + m for p, m in zip(patterns, names, strict=True)])))
    everything = [p + m for p, m in zip(with_lists, names, strict=True)]
    print("+ lists", json.dumps(summarise(texts, gold, everything)))
    composed = [[(span.start, span.end, span.entity) for span in spans] for spans in find(texts, model=ner.EMBEDDED)]
    print("pii.find, all together", json.dumps(summarise(texts, gold, composed)))
    spread = propagation.propagate(texts, everything)
    print("+ propagation", json.dumps(summarise(texts, gold, [e + [m[:3] for m in s] for e, s in zip(everything, spread, strict=True)])))


if __name__ == "__main__":
    main()
