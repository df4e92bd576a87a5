"""Where exactly does a name or an address begin and end?

Models and lists say that something personal stands here; their ends are rough. What follows are conventions, the same for every
text: an address is a street with its number, a place and a postcode, three facts that tables keep apart; a person's name
does not open with a word of grammar and does not hold the sign of a flat ("Anna Berg Apt").
"""

from __future__ import annotations

import re
from dataclasses import replace

from privsynth.pii.detect import Span
from privsynth.pii.gazetteer import WORD, common_words
from privsynth.pii.ner import GRAMMAR
from privsynth.pii.recognizers import fold, name_lists

_LINE = re.compile(r"[^,;\n]+")
_PREMISES = re.compile(
    r"\s*[>|]?\s*(?:suite|ste|apt|apartment|unit|flat|floor|fl|room|rm|no|nr|p\.?\s?o\.?\s*box|box|bsc|psc|dpo|c/o|#)\b\.?", re.IGNORECASE
)
"""A line that still belongs to the street: the flat, the floor, the box."""

_POSTCODE = (
    r"\d{4,6}(?:-\d{3,4})?|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}|[A-Z]\d[A-Z]\s?\d[A-Z]\d|\d{4}\s?[A-Z]{2}|(?:[A-Z]{1,2}-)\d{4,5}"
    r"|\d{2}-\d{3}|\d{3}\s\d{2}"
)
_POSTCODE_LAST = re.compile(rf"(?P<place>.*?[^\W\d_].*?)\s+(?P<code>{_POSTCODE})\s*$", re.DOTALL)
_POSTCODE_FIRST = re.compile(rf"\s*(?P<code>{_POSTCODE})\s+(?P<place>[^\W\d_].*)$", re.DOTALL)
_POSTCODE_ALONE = re.compile(rf"\s*(?P<code>{_POSTCODE})\s*$")
_PHONE_LINE = re.compile(r"(?:\D*\d){6,}\D*$")

ACRONYMS = frozenset(
    "ATM BIC BOT CEO CFO CTO DOB EUR FAQ FAX GBP IBAN ID IP KYC MD PC PDF PHD PIN SMS SSN SWIFT TAN TEL TV URL USD VAT VIP".split()
)
"""Capitals that stand before a personal value, never for one."""

_FLAT = re.compile(r"[\s,]+(?:apt|apartment|suite|flat|unit|tel|fax|phone|office|e-?mail)\.?$", re.IGNORECASE)


def refined(text: str, span: Span, *, language: str = "en") -> list[Span]:
    """A span with the ends that its type asks for; an address becomes its street, place and postcode."""
    if span.entity == "STREET_ADDRESS":
        return _address(text, span)
    if span.entity == "PERSON" and re.match(r"-[a-zß-ÿ]", text[span.end : span.end + 2]):
        return []  # "Long-standing": a part of a word is no name
    if span.entity in ("PERSON", "LOCATION") and span.recognizer.startswith(("ner:", "privsynth.person")):
        return _name(text, span, language)
    return [span]


def _address(text: str, span: Span) -> list[Span]:
    """Street, place and postcode of an address, each a span of its own; a line of digits after the postcode is a telephone number."""
    lines = [(span.start + match.start(), span.start + match.end()) for match in _LINE.finditer(text[span.start : span.end])]
    if len(lines) < 2:
        return [span]
    parts: list[tuple[int, int, str]] = []
    is_street, has_code = True, False
    for i, (start, end) in enumerate(lines):
        line = text[start:end]
        if is_street and (i == 0 or _PREMISES.match(line)):
            parts.append((start, end, "STREET_ADDRESS"))
            continue
        is_street = False
        if has_code and _PHONE_LINE.match(line):
            parts.append((start, end, "PHONE_NUMBER"))
            continue
        coded = _POSTCODE_ALONE.match(line) or _POSTCODE_FIRST.match(line) or _POSTCODE_LAST.match(line)
        has_code = has_code or coded is not None
        groups = {"place": "LOCATION", "code": "POSTCODE"}
        if coded is None:
            parts.append((start, end, "LOCATION"))
        else:
            parts += [(start + coded.start(name), start + coded.end(name), groups[name]) for name in coded.groupdict()]
    return [replace(span, start=start, end=end, entity=entity) for start, end, entity in _together(text, parts)]


def _together(text: str, parts: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Parts by position without blanks at their ends; neighbours of one type are one part."""
    together: list[tuple[int, int, str]] = []
    for start, end, entity in sorted(parts):
        while start < end and not text[start].isalnum():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start == end:
            continue
        if together and together[-1][2] == entity != "PHONE_NUMBER":
            together[-1] = (together[-1][0], end, entity)
        else:
            together.append((start, end, entity))
    return together


def _name(text: str, span: Span, language: str) -> list[Span]:
    """A name without everyday words before it and the sign of a flat behind it; none if nothing else is there."""
    start, end = span.start, span.end
    tail = _FLAT.search(text, start, end) if span.entity == "PERSON" else None
    end = tail.start() if tail else end
    first, last = name_lists()
    for word in WORD.finditer(text, start, end):
        folded = fold(word.group().rstrip("."))
        plain = folded in GRAMMAR or (
            span.entity == "PERSON" and len(folded) > 2 and folded in common_words(language) and folded not in first and folded not in last
        )
        opens = not text[:start].rstrip() or text[:start].rstrip()[-1] in ".!?"
        follower = WORD.match(text, word.end() + 1, end)
        # "Reached Arlinda Wolf": a sentence opens with a capital, and a listed first name can do without the word before it.
        named = follower is not None and fold(follower.group()) in first and follower.end() < end
        verb = opens and named and folded not in first and folded not in last
        if word.group().rstrip(".").upper() not in ACRONYMS and not plain and not verb:
            break
        start = word.end()
    while start < end and not text[start].isalnum():
        start += 1
    return [replace(span, start=start, end=end)] if start < end else []
