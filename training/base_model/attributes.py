"""How a document is shown to the model: short pieces, half of them under a line of attributes.

The format is the one that conditional generation uses: ``key: value; key: value``, a line break, then the text. Public text has few labels,
so most attributes are words of the text itself under keys that tables have: to write such a text, the model must learn to
carry the values of the line into it, whatever the key is called.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import pairwise

WITH_ATTRIBUTES = 0.65
"""Share of the pieces that stand under a line of attributes."""

SINGLE_TURNS = 0.35
"""Share of the dialogues that are cut into single messages without speaker."""

LONGEST = 900
"""Characters of a piece; about 220 tokens."""

KEYS = (
    "category product reason status area type service issue subject item request department channel plan city place food "
    "price rating order detail topic name brand model feature condition symptom account event style group activity purpose "
    "option size colour level result source"
).split()
"""Names that columns of tables have."""

WORD_LISTS = ("about", "keywords", "mentions", "words")

TYPES = {"dialogue": "conversation", "note": "note", "request": "message", "faq": "answer", "guide": "article", "book": "story"}

STOP_WORDS = frozenset(
    (
        "a an the this that these those what when where who whom which why how if then else so because although while as at by "
        "for from in into of off on onto out over to under up upon with without and or but nor not no yes i me my mine we us our "
        "ours you your yours he him his she her hers it its they them their theirs is are was were be been being am do does did "
        "done has have had having can could shall should will would must may might there here very just also only even still "
        "again once too now never always often hello hi hey thanks thank please dear sorry about after before more most some any "
        "all each every both few other such than through during between against own same like get got one two much many well "
        "really okay let know think going make see need want use used using new good great right sure"
    ).split()
)

_WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")
_PAIR = re.compile(r"\b[A-Za-z][a-z'-]{2,} [a-z][a-z'-]{3,}\b")
_AMOUNT = re.compile(r"[$£€]\d[\d,]*(?:\.\d\d)?")
_COUNT = re.compile(r"\b\d{1,4}\b(?![.,:/]\d)")
_SLOT = re.compile(r"<[A-Z_]+>")
_TURN = re.compile(r"^[A-Z][\w ]{0,24}: (.+)$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def pieces(text: str, kind: str, coins: random.Random) -> Iterator[tuple[str, str, str]]:
    """Pieces of a document as (type, title, text); the title is empty where there is none. Long documents become many pieces."""
    if kind == "dialogue":
        yield from _turns(text, coins)
        return
    title, rest = _title(text) if kind in ("guide", "faq") else ("", text)
    for piece in [rest] if len(rest) <= 250 else _packed(_sentences(rest), coins):
        yield TYPES[kind], title, piece


def _turns(text: str, coins: random.Random) -> list[tuple[str, str, str]]:
    """Single messages, or runs of turns; calls of a program among the turns are no text."""
    lines = [line for line in text.split("\n") if line.strip() and '{"' not in line]
    if coins.random() >= SINGLE_TURNS:
        return [(TYPES["dialogue"], "", run) for run in _packed([line + "\n" for line in lines], coins)]
    messages = [match[1] for line in lines if (match := _TURN.match(line)) and len(match[1].split()) >= 5]
    return [(TYPES["request"], "", message[:LONGEST]) for message in coins.sample(messages, min(4, len(messages)))]


def _title(text: str) -> tuple[str, str]:
    first, _, rest = text.partition("\n")
    is_title = bool(rest.strip()) and len(first) <= 80 and not first.endswith((".", ":", ","))
    return (first, rest.strip()) if is_title else ("", text)


def _sentences(text: str) -> list[str]:
    """Sentences with the blanks that follow them, none longer than a piece."""
    edges = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    sentences = [text[start:end] for start, end in pairwise(edges) if start < end]
    return [sentence[i : i + LONGEST] for sentence in sentences for i in range(0, len(sentence), LONGEST)]


def _packed(parts: list[str], coins: random.Random) -> list[str]:
    """Consecutive parts in pieces of different lengths, more short than long ones."""
    found, piece, limit = [], "", _limit(coins)
    for part in parts:
        if piece and len(piece) + len(part) > limit:
            found.append(piece)
            piece, limit = "", _limit(coins)
        piece += part
    return [text for piece in [*found, piece] if (text := piece.strip()[:LONGEST])]


def _limit(coins: random.Random) -> int:
    low, high = coins.choice(((80, 250), (150, 450), (400, LONGEST)))
    return coins.randint(low, high)


def attribute_line(text: str, title: str, written_as: str, coins: random.Random) -> str:
    """``key: value; key: value`` and a line break, or nothing."""
    if coins.random() >= WITH_ATTRIBUTES:
        return ""
    fields = []
    if coins.random() < 0.2:
        fields.append(("type", written_as))
    if title and coins.random() < 0.4:
        fields.append((coins.choice(("topic", "title", "subject")), title))
    fields += _typed(text, coins)
    if coins.random() < 0.92:
        fields += _copied(text, coins)
    coins.shuffle(fields)
    written = [(key, value.replace(";", ",")) for key, value in dict(fields).items()]
    return "; ".join(f"{key}: {value}" for key, value in written) + "\n" if written else ""


def _typed(text: str, coins: random.Random) -> list[tuple[str, str]]:
    """Amounts, numbers and slots of the text."""
    fields = []
    amounts, counts, slots = _AMOUNT.findall(text), _COUNT.findall(text), _SLOT.findall(text)
    if amounts and coins.random() < 0.4:
        fields.append((coins.choice(("amount", "price", "cost", "total")), coins.choice(amounts)))
    if counts and coins.random() < 0.25:
        fields.append((coins.choice(("number", "count", "quantity", "rating", "level")), coins.choice(counts)))
    if slots and coins.random() < 0.4:
        slot = coins.choice(slots)
        fields.append((slot.strip("<>").lower().replace("_", " "), slot))
    return fields


def _copied(text: str, coins: random.Random) -> list[tuple[str, str]]:
    """One to four words or pairs of words of the text, in one list or each under a key of its own."""
    plain = _SLOT.sub(" . ", text)
    words = [word for word in _WORD.findall(plain) if len(word) > 3 and word.lower() not in STOP_WORDS]
    pairs = [pair for pair in _PAIR.findall(plain) if not STOP_WORDS.intersection(pair.lower().split())]
    candidates = list(dict.fromkeys(words + pairs * 2))
    if not candidates:
        return []
    # Longer words carry more of the text; the order says nothing about where they stand in it.
    wanted = min(len(candidates), coins.randint(1, 4))
    chosen = sorted(candidates, key=lambda word: -(coins.random() ** (1 / len(word))))[:wanted]
    chosen = [_cased(word, coins) for word in chosen]
    if coins.random() < 0.5:
        return [(coins.choice(WORD_LISTS), ", ".join(chosen))]
    return list(zip(coins.sample(KEYS, len(chosen)), chosen, strict=True))


def _cased(word: str, coins: random.Random) -> str:
    chance = coins.random()
    return word.lower() if chance < 0.3 else word.capitalize() if chance < 0.4 else word
