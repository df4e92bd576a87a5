"""Training texts: gold sentences whose names are exchanged, business templates and single cells, all drawn afresh each epoch."""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import templates
from lists import LOCALES, OTHER_SCRIPTS, choose, countries, people, places, street_words

LABELS = ("PERSON", "LOCATION", "ORG", "ADDRESS")

SOURCES = {
    "en-wikigold.tsv": 3,
    "en-wnut17-train.tsv": 1,
    "en-wnut17-dev.tsv": 1,
    "en-btc.tsv.xz": 1,
    "en-gum-wikinews.tsv": 1,
    "en-re3d-uk.tsv": 2,
    "en-re3d-centcom.tsv": 2,
    "en-re3d-us-state.tsv": 2,
    "en-re3d-australian.tsv": 2,
    "en-multidogo-train.tsv.xz": 0.6,
}
"""How often each source is passed in an epoch. CC BY, OGL, US public domain and CDLA-Permissive."""

DEVELOPMENT = {"en-wikigold.tsv": 12, "en-btc.tsv.xz": 30, "en-wnut17-dev.tsv": 2}
"""Every n-th sentence of these sources serves to choose the operating point and is not trained on."""

UNMARKED = {"en-multidogo-train.tsv.xz": 0.1}
"""Share of the sentences without an entity that is kept where annotators marked only the caller's own details."""

HELD_OUT = ("en-uner-ewt-dev.tsv", "en-crossner-train.tsv", "en-crossner-dev.tsv")
"""Never trained on: share-alike, or text of Wikipedia whose share-alike terms the label licence does not lift."""

Text = tuple[str, tuple[tuple[int, int, str], ...]]
"""A text and its entities as (start, end, label)."""

Sentence = tuple[tuple[str, ...], tuple[str, ...]]
"""Tokens and IOB2 tags."""


def read_sentences(path: Path) -> list[Sentence]:
    """Sentences of a two-column file; MISC, which few sources annotate, is read as no entity."""
    opener: Callable[..., object] = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:  # type: ignore[attr-defined]
        blocks = file.read().strip().split("\n\n")
    sentences = []
    for block in blocks:
        rows = [line.split("\t") for line in block.split("\n") if "\t" in line]
        # A lone sign before a handle is not part of the name, and "I-" may not follow "O".
        tags = ["O" if tag.endswith("MISC") or token in ("@", "#") else tag for token, tag in rows]
        for i, tag in enumerate(tags):
            if tag.startswith("I-") and (i == 0 or tags[i - 1][2:] != tag[2:]):
                tags[i] = "B-" + tag[2:]
        sentences.append((tuple(_BRACKETS.get(token, token) for token, _ in rows), tuple(tags)))
    return [sentence for sentence in sentences if sentence[0]]


def split(name: str, sentences: list[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
    """Sentences to train with and sentences for choosing the operating point, always the same ones."""
    every = DEVELOPMENT.get(name)
    if every is None:
        return sentences, []
    return [s for i, s in enumerate(sentences) if i % every], [s for i, s in enumerate(sentences) if i % every == 0]


def thin(sentences: list[Sentence], share: float, rng: np.random.Generator) -> list[Sentence]:
    """All sentences with an entity and a share of those without."""
    return [sentence for sentence in sentences if any(tag != "O" for tag in sentence[1]) or rng.random() < share]


_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "``": '"', "''": '"'}
_NO_SPACE_BEFORE = re.compile(r"(?:[.,;:!?)\]%…]+|'s|'S|’s|n't|'m|'re|'ve|'ll|'d|’t)$")
_NO_SPACE_AFTER = frozenset("([$£€#@")


def join_tokens(tokens: Sequence[str], tags: Sequence[str]) -> Text:
    """The sentence as people write it, with character positions of its entities."""
    text, entities, quotes, glue = "", [], 0, True
    start, label = -1, ""
    for token, tag in zip(tokens, tags, strict=True):
        closing_quote = token == '"' and quotes % 2 == 1
        if text and not glue and not closing_quote and not _NO_SPACE_BEFORE.match(token):
            gap = " "
        else:
            gap = ""
        if not tag.startswith("I-") and start >= 0:
            entities.append((start, len(text), label))
            start = -1
        text += gap
        if tag.startswith("B-"):
            start, label = len(text), tag[2:]
        text += token
        glue = token in _NO_SPACE_AFTER or (token == '"' and quotes % 2 == 0)
        quotes += token == '"'
    if start >= 0:
        entities.append((start, len(text), label))
    return text, tuple(entities)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Shares of the texts that are changed, each in [0, 1].

    Attributes:
        person: Sentences with a person whose names are exchanged.
        location: The same for places.
        organisation: The same for organisations.
        lower: Texts in lower case.
        upper: Texts in upper case.
        title: Texts with every word capitalised, as headlines are.
    """

    person: float = 0.35
    location: float = 0.25
    organisation: float = 0.15
    lower: float = 0.08
    upper: float = 0.03
    title: float = 0.03


class Inventor:
    """Draws names, addresses, organisations and whole texts from one generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._holes: dict[str, Callable[[], str]] = {
            "PERSON": self.person,
            "FIRST": self.first,
            "LAST": self.last,
            "LASTFIRST": lambda: f"{self.last()}, {self.first()}",
            "INITIALED": lambda: f"{self.first()[0]}. {self.last()}",
            "CITY": self.city,
            "COUNTRY": self.country,
            "ORG": self.organisation,
            "ADDRESS": self.address,
            "STREET": self.street,
            "date": self._date,
            "month": lambda: self._pick(templates.MONTHS),
            "weekday": lambda: self._pick(templates.WEEKDAYS),
            "amount": lambda: self._pick(("{0} CHF", "${0}", "EUR {0}", "£{0}.00")).format(int(rng.integers(20, 90_000))),
            "ref": lambda: self._pick(("#{0}", "{0}", "TK-{0}", "AB{0}X")).format(int(rng.integers(1000, 10**8))),
            "phone": lambda: f"+{rng.integers(1, 99)} {rng.integers(10, 99)} {rng.integers(100, 999)} {rng.integers(1000, 9999)}",
            "email": lambda: f"{self.first().split()[0].lower()}{rng.integers(1, 99)}@example.org",
            "age": lambda: str(rng.integers(18, 95)),
            "job": lambda: self._pick(templates.JOBS),
            "subject": lambda: self._pick(templates.SUBJECTS),
        }
        self._locale = "en_US"

    def _pick(self, options: Sequence[str]) -> str:
        return choose(self._rng, options)

    def move(self) -> None:
        """Take the names that follow from another locale: half of the time an English one."""
        draw = self._rng.random()
        self._locale = self._pick(LOCALES[:5] if draw < 0.5 else LOCALES if draw < 0.98 else OTHER_SCRIPTS)

    def first(self) -> str:
        """A first name of the locale."""
        return self._pick(people()[self._locale][0])

    def last(self) -> str:
        """A last name of the locale."""
        return self._pick(people()[self._locale][1])

    def person(self) -> str:
        """A full name, now and then with a middle name or initial, a double name or only a part."""
        draw = self._rng.random()
        if draw < 0.06:
            return f"{self.first()} {chr(65 + int(self._rng.integers(26)))}. {self.last()}"
        if draw < 0.10:
            return f"{self.first()} {self.first()} {self.last()}"
        if draw < 0.13:
            return f"{self.first()} {self.last()}-{self.last()}"
        if draw < 0.15:
            return f"{self.first()[0]}.{self.first()[0]}. {self.last()}"
        return f"{self.first()} {self.last()}"

    def city(self) -> str:
        """A town; one in four is a well-known place."""
        return self._pick(templates.REGIONS) if self._rng.random() < 0.25 else self._pick(places())

    def country(self) -> str:
        """A country, a state of the US or a part of the world."""
        return self._pick(countries()) if self._rng.random() < 0.9 else self._pick(templates.REGIONS)

    def street(self) -> str:
        """A street with a number, as English, German, French or Spanish speakers write it."""
        rng, number = self._rng, str(self._rng.integers(1, 2500 if self._rng.random() < 0.3 else 200))
        name = self.last() if rng.random() < 0.6 else self._pick(places())
        draw = rng.random()
        if draw < 0.55:
            return f"{number} {name} {self._pick(street_words())}"
        if draw < 0.75:
            return f"{name}{self._pick(('strasse', 'straße', 'weg', 'gasse', 'straat', 'vägen', 'vej', ' utca', ' ulica', ' út'))} {number}"
        if draw < 0.9:
            return f"{self._pick(('Rua', 'Via', 'Calle', 'Rue de', 'Avenida', 'Ulica', 'Rue'))} {name} {number}"
        return f"{number} {self._pick(('rue', 'avenue', 'boulevard'))} {name}"

    def address(self) -> str:
        """A street, often with flat, town, postcode and country, on one line or several."""
        rng = self._rng
        parts = [self.street()]
        if rng.random() < 0.25:
            parts.append(self._pick(("Apt. {0}", "Suite {0}", "Flat {0}", "Unit {0}", "# {0}")).format(rng.integers(1, 990)))
        if rng.random() < 0.75:
            town, postcode = self._pick(places()), str(rng.integers(1000, 99_999))
            state = self._pick(("CA", "NY", "TX", "IL", "FL", "OH", "MA", "WA"))
            parts.append(self._pick((f"{town}, {state} {postcode}", f"{postcode} {town}", f"{town} {postcode}", town)))
            if rng.random() < 0.35:
                parts.append(self.country() + (f" {postcode}" if rng.random() < 0.2 else ""))
        return self._pick((", ", ", ", "\n", "\n ", " ")).join(parts)

    def organisation(self) -> str:
        """A known organisation, or a name composed as companies, banks, schools and offices compose theirs."""
        if self._rng.random() < 0.3:
            return self._pick(templates.ORGANISATIONS)
        acronym = "".join(chr(65 + int(code)) for code in self._rng.integers(26, size=int(self._rng.integers(3, 5))))
        return self._pick(templates.ORGANISATION_FORMS).format(
            last=self.last(),
            other=self.last(),
            first=self.first(),
            place=self._pick(places()),
            legal=self._pick(templates.LEGAL_FORMS),
            trade=self._pick(templates.TRADES),
            topic=self._pick(templates.TOPICS),
            coined=self._pick(templates.COINED[0]) + self._pick(templates.COINED[1]),
            acronym=acronym,
        )

    def _date(self) -> str:
        day, month, year = (int(self._rng.integers(low, high)) for low, high in ((1, 29), (0, 12), (1950, 2027)))
        name = templates.MONTHS[month]
        forms = (
            "{day:02d}.{month:02d}.{year}",
            "{name} {day}, {year}",
            "{day} {name} {year}",
            "{year}-{month:02d}-{day:02d}",
            "{name} {day}",
        )
        return self._pick(forms).format(day=day, month=month + 1, year=year, name=name)

    def fill(self, template: str) -> Text:
        """One text from a template, with its entities."""
        self.move()
        text, entities, position = "", [], 0
        for hole in re.finditer(r"\{(\w+)\}", template):
            text += template[position : hole.start()]
            position = hole.end()
            name = hole.group(1)
            if name in ("TITLED", "DOCTOR"):
                text += self._pick(templates.TITLES[name])
                value = self.last() if self._rng.random() < 0.7 else self.person()
            else:
                value = self._holes[name]()
            if name.isupper():
                entities.append((len(text), len(text) + len(value), _LABEL_OF_HOLE.get(name, "PERSON")))
            text += value
        return text + template[position:], tuple(entities)

    def exchange(self, sentence: Sentence, settings: Augmentation) -> Sentence:
        """The sentence with its names, places or organisations exchanged; equal mentions stay equal."""
        tokens, tags = sentence
        rng = self._rng
        shares = {"PERSON": settings.person, "LOCATION": settings.location, "ORG": settings.organisation}
        chosen = {label for label, share in shares.items() if rng.random() < share and f"B-{label}" in tags}
        if not chosen:
            return sentence
        self.move()
        known: dict[tuple[str, ...], tuple[str, ...]] = {}
        new_tokens: list[str] = []
        new_tags: list[str] = []
        position = 0
        while position < len(tokens):
            end = position + 1
            label = tags[position][2:]
            if tags[position].startswith("B-"):
                while end < len(tokens) and tags[end] == f"I-{label}":
                    end += 1
            mention = tokens[position:end]
            if label in chosen:
                if mention not in known:
                    known[mention] = tuple(self._substitute(label, mention).split())
                mention = known[mention]
                new_tags += [f"B-{label}"] + [f"I-{label}"] * (len(mention) - 1)
            else:
                new_tags += tags[position:end]
            new_tokens += mention
            position = end
        return tuple(new_tokens), tuple(new_tags)

    def _substitute(self, label: str, mention: tuple[str, ...]) -> str:
        lower = all(word.islower() for word in mention)
        if label == "PERSON":
            name = self.person() if len(mention) > 1 else self.first() if self._rng.random() < 0.5 else self.last()
        elif label == "LOCATION":
            name = self.city() if self._rng.random() < 0.6 else self.country()
        else:
            name = self.organisation()
        return name.lower() if lower else name


_LABEL_OF_HOLE = {"CITY": "LOCATION", "COUNTRY": "LOCATION", "ORG": "ORG", "ADDRESS": "ADDRESS", "STREET": "ADDRESS"}


def change_case(text: Text, settings: Augmentation, rng: np.random.Generator) -> Text:
    """The text in lower, upper or title case for a share of the texts; letters that would change the length are kept."""
    draw = rng.random()
    for share, change in ((settings.lower, str.lower), (settings.upper, str.upper), (settings.title, str.title)):
        if draw < share:
            changed = change(text[0])
            return (changed, text[1]) if len(changed) == len(text[0]) else text
        draw -= share
    return text


def join_texts(texts: Sequence[Text], gap: str = " ") -> Text:
    """Several texts as one."""
    joined, entities = "", []
    for number, (text, spans) in enumerate(texts):
        joined += gap if number else ""
        entities += [(start + len(joined), end + len(joined), label) for start, end, label in spans]
        joined += text
    return joined, tuple(entities)


def epoch(
    gold: dict[str, list[Sentence]], *, n_templates: int, n_cells: int, settings: Augmentation, rng: np.random.Generator
) -> list[Text]:
    """All texts of one epoch in random order: one to three sentences of one source, templates, cells."""
    inventor = Inventor(rng)
    texts: list[Text] = []
    for name, sentences in gold.items():
        times = SOURCES[name]
        count = int(len(sentences) * times)
        order = np.concatenate([rng.permutation(len(sentences)) for _ in range(int(np.ceil(times)))])[:count]
        changed = iter(join_tokens(*inventor.exchange(sentences[i], settings)) for i in order)
        texts += list(_grouped(changed, rng))
    written = [inventor.fill(choose(rng, templates.TEXTS if rng.random() < 0.8 else templates.PLAIN)) for _ in range(n_templates)]
    texts += list(_grouped(iter(written), rng))
    texts += [inventor.fill(choose(rng, templates.CELLS if rng.random() < 0.7 else templates.PLAIN_CELLS)) for _ in range(n_cells)]
    order = rng.permutation(len(texts))
    return [change_case(texts[i], settings, rng) for i in order]


def _grouped(texts: Iterator[Text], rng: np.random.Generator) -> Iterator[Text]:
    """One to three neighbours as one text."""
    for text in texts:
        size = int(rng.choice(3, p=(0.5, 0.3, 0.2)))
        yield join_texts([text, *(following for _, following in zip(range(size), texts, strict=False))])
