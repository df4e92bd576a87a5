"""Which words of a text are on a public list of names or places? The lists that Faker ships, and no others.

A list finds the names that a model does not expect, in any sentence, and it explains itself; it says nothing about
names that are not on it, and many names are words too ("Will", "May", "Grant"). So one listed word is weak evidence, a
listed first name beside a capitalised word is good evidence, and a word that is common in the text's language counts
only beside another name. The lists come from Faker's locales, never from a leak.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from privsynth.pii.recognizers import fold, name_lists
from privsynth.registry import require


class Mention(NamedTuple):
    """A stretch of text that names someone or some place; it holds positions, never the text.

    Attributes:
        start: First character, counted from 0.
        end: One past the last character.
        entity: ``PERSON``, ``LOCATION``, ``ORGANIZATION`` or ``STREET_ADDRESS``.
        score: In [0, 1]; higher is surer. Not a probability.
    """

    start: int
    end: int
    entity: str
    score: float


PAIR_SCORE = 0.6
"""A listed first name with a listed last name, in either order."""

BESIDE_SCORE = 0.5
"""A listed first name followed by a capitalised word that is no common one, or a place."""

SINGLE_SCORE = 0.4
"""One listed name alone."""

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*\.?")
"""A word with its apostrophes and the full stop of an initial; hyphens separate."""

PARTICLES = frozenset("van von der den de di da dos das do del della la le les zu zum ten ter bin al el ibn af av y e du".split())
"""Words inside a name that are no name themselves."""

_LOREM = {"de": "de_DE", "en": "en_US", "es": "es_ES", "fr": "fr_FR", "it": "it_IT", "nl": "nl_NL", "pt": "en_US"}
_NOT_NAMES = (
    "i january february march april may june july august september october november december monday tuesday wednesday thursday friday "
    "saturday sunday jan feb mar apr jun jul aug sep sept oct nov dec mr mrs ms miss dr prof sir madam dear hello hi hey thanks thank "
    "please regards yours the and or not yes no new old a an in on at to from of by as is it he she they we you if so ok he's she's "
    "it's i'm what's account card bank client customer patient order invoice payment street road avenue city county state university "
    "hospital department english german french spanish italian portuguese dutch internet christmas easter god lord king queen saint "
    "st max min price sales read write call sunny rain cash ship van love joy grace hope faith angel honey baby bill mark will grant "
    "page rich art ray don rose dawn summer autumn winter spring chase chance drew frank gene guy jack pat rob skip sue tad victor "
    "wade warren young white black brown green gray grey long short best good west east north south park hill wood woods field stone "
    "day case major bishop pope"
)
"""Words that are also names, or that open many sentences: alone they are no evidence."""


@lru_cache(maxsize=8)
def common_words(language: str = "en") -> frozenset[str]:
    """Folded everyday words of a language: Faker's word lists and the words above. Single letters are among them."""
    words = set(_NOT_NAMES.split()) | set("abcdefghijklmnopqrstuvwxyz")
    # English text opens sentences with English words in any language's notes, so that its list always counts.
    for locale in {"en_US", _LOREM.get(language, "en_US")}:
        words.update(fold(word) for word in require(f"faker.providers.lorem.{locale}").Provider.word_list)
    # Lists of some languages hold names: what is a first name of its people is no everyday word.
    return frozenset(words - _INNOCENT)


_INNOCENT = frozenset(
    "antonio carlos felipe fernando francisco jorge juan luis manuel miguel pablo pedro rafael claire pierre massimo cristiano".split()
)


@lru_cache(maxsize=1)
def place_list() -> frozenset[tuple[str, ...]]:
    """Folded words of countries, states and towns of all of Faker's locales, without those that are one everyday word."""
    package = require("faker.providers.address")
    names: set[str] = {
        "usa",
        "uk",
        "uae",
        "england",
        "scotland",
        "wales",
        "europe",
        "asia",
        "africa",
        "america",
        "russia",
        "korea",
        "vietnam",
        "iran",
        "syria",
    }
    for module in pkgutil.iter_modules(package.__path__):
        provider = importlib.import_module(f"faker.providers.address.{module.name}").Provider
        for attribute in ("cities", "city_names", "countries", "states", "provinces", "regions", "cantons", "municipalities"):
            listed = getattr(provider, attribute, ())
            if isinstance(listed, (list, tuple)):
                names.update(fold(name) for name in listed if isinstance(name, str))
    places = {tuple(word.rstrip(".") for word in WORD.findall(re.sub(r"\(.*", "", name))) for name in names}
    # A town called as a person is far more often the person.
    given, family = name_lists()
    everyday = common_words("en") | common_words("de") | common_words("nl") | common_words("it") | given | family
    return frozenset(place for place in places if place and not (len(place) == 1 and (place[0] in everyday or len(place[0]) < 4)))


def find_names(text: str, *, language: str = "en") -> list[Mention]:
    """Persons and places on the lists, by position and without overlap.

    Args:
        text: Any text; time grows in step with its length.
        language: Whose everyday words do not count as names.
    """
    words = list(WORD.finditer(text))
    folded = [fold(word.group().rstrip(".")) for word in words]
    return _apart(_persons(text, words, folded, common_words(language)) + _places(text, words, folded))


def _apart(mentions: Sequence[Mention]) -> list[Mention]:
    """The mentions by position; of those that overlap the longest, of equally long ones the surest."""
    kept: list[Mention] = []
    for mention in sorted(mentions, key=lambda mention: (mention.start, mention.start - mention.end, -mention.score)):
        if kept and mention.start < kept[-1].end:
            before = kept[-1]
            if (mention.end - mention.start, mention.score) > (before.end - before.start, before.score):
                kept[-1] = mention
        else:
            kept.append(mention)
    return kept


def _persons(text: str, words: Sequence[re.Match[str]], folded: Sequence[str], common: frozenset[str]) -> list[Mention]:
    """Runs of capitalised words, looked up in the lists."""
    first, last = name_lists()
    found = []
    for run in _runs(text, words):
        # "Yesterday Anna Muller": a run may open with words that are no name, and close with some.
        low, high = 0, len(run)
        while low < high and folded[run[low]] in common and not _is_initial(words[run[low]]):
            low += 1
        while low < high and (folded[run[high - 1]] in common or folded[run[high - 1]] in PARTICLES):
            high -= 1
        run = run[low:high]
        listed = [i for i in run if folded[i] in first or folded[i] in last]
        if not listed or sum(folded[i] not in PARTICLES for i in run) > 5:
            continue
        given = [i for i in run if folded[i] in first]
        if len(run) == 1:
            score = SINGLE_SCORE if given and len(folded[run[0]]) > 2 else 0.0
        elif len(listed) >= 2 and given:
            score = PAIR_SCORE
        else:
            score = BESIDE_SCORE if run[0] in given or _is_initial(words[run[0]]) else 0.0
        if score:
            found.append(Mention(words[run[0]].start(), words[run[-1]].end() - _full_stop(words[run[-1]]), "PERSON", score))
    return found


def _is_initial(word: re.Match[str]) -> bool:
    """True for "J."."""
    return word.group().endswith(".") and len(word.group()) == 2


def _full_stop(word: re.Match[str]) -> int:
    """1 if the word ends in the full stop of a sentence; "J." keeps its own."""
    return int(word.group().endswith(".") and len(word.group()) > 2)


def _runs(text: str, words: Sequence[re.Match[str]]) -> list[list[int]]:
    """Positions of neighbouring capitalised words, particles between them included."""
    runs: list[list[int]] = []
    current: list[int] = []
    for i, word in enumerate(words):
        gap = text[words[i - 1].end() : word.start()] if i else ""
        together = bool(current) and gap in (" ", "-", "") and not _full_stop(words[i - 1])
        name = word.group()[0].isupper()
        if not together:
            runs.append(current)
            current = []
        if name or (current and word.group() in PARTICLES):
            current.append(i)
        else:
            runs.append(current)
            current = []
    runs.append(current)
    return [run for run in runs if run]


def _places(text: str, words: Sequence[re.Match[str]], folded: Sequence[str]) -> list[Mention]:
    """Listed places, longest first; the first word must be capitalised."""
    listed = place_list()
    longest = 4
    found = []
    position = 0
    while position < len(words):
        step = 1
        if words[position].group()[0].isupper():
            for length in range(min(longest, len(words) - position), 0, -1):
                if tuple(folded[position : position + length]) in listed:
                    end = words[position + length - 1]
                    found.append(Mention(words[position].start(), end.end() - _full_stop(end), "LOCATION", BESIDE_SCORE))
                    step = length
                    break
        position += step
    return found
