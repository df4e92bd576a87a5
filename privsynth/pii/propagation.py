"""A name found once is a name everywhere in that document, and in all texts of that person.

Detectors judge each mention by its neighbourhood: "Mr John Smith called" is easy, "SMITH - no answer" is not. Once the
full name is known, its other forms are looked up and no longer judged: "J. Smith", "Smith, John", "Smith", "SMITH",
"john". Only the names of the same document or the same person are used: a mask never depends on another person's
values, so that one person's record changes one person's texts.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from privsynth.errors import PIIError
from privsynth.pii.gazetteer import PARTICLES, WORD, Mention, common_words
from privsynth.pii.recognizers import fold

SCORE = 0.7
"""Score of a mention that is known from elsewhere: surer than a pattern, less sure than a checksum."""

_TITLES = frozenset("mr mrs ms miss dr prof sir herr herrn frau mme mlle monsieur madame sr sra srta sig dhr mevr jr phd md med".split())


@dataclass(frozen=True, kw_only=True)
class KnownNames:
    """Folded parts of the names of one document or one person.

    Attributes:
        parts: Words that are a name by themselves.
        shared: Words that are also everyday words ("Will", "May"): they count when capitalised beside another part, or in capitals or
            capitalised inside a sentence when the whole name was one word.
        initials: First letters of all parts.
    """

    parts: frozenset[str]
    shared: frozenset[str]
    initials: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str], *, language: str = "en") -> KnownNames:
        """The parts of some names; titles, particles, single letters and digits are left out.

        >>> sorted(KnownNames.of(["Dr. John van der Smith", "Will"]).parts)
        ['john', 'smith']
        """
        everyday = common_words(language)
        words = {fold(word.rstrip(".")) for name in names for word in WORD.findall(name)}
        words = {part for word in words for part in {word, re.sub(r"['’]s$", "", word)} if len(part) > 1}
        words -= PARTICLES | _TITLES
        parts = frozenset(word for word in words if word not in everyday and len(word) > 2)
        return cls(parts=parts, shared=frozenset(words - parts), initials=frozenset(word[0] for word in words))

    def find(self, text: str) -> list[Mention]:
        """All mentions of these names in a text, by position; time grows in step with the text's length."""
        if not self.parts and not self.shared:
            return []
        words = list(WORD.finditer(text))
        roles = [self._role(word.group()) for word in words]
        found: list[Mention] = []
        i = 0
        while i < len(words):
            if roles[i] == "":
                i += 1
                continue
            end = i + 1
            while end < len(words) and roles[end] != "" and _beside(text, words[end - 1], words[end]):
                end += 1
            found += self._mention(words[i:end], roles[i:end])
            i = end
        return found

    def _role(self, word: str) -> str:
        """What a word may be: a part, a shared part, an initial, a particle, or nothing."""
        plain = word.rstrip(".")
        folded = re.sub(r"['’]s$", "", fold(plain))
        if folded in self.parts:
            return "part"
        if plain[0].isupper() and folded in self.shared:
            return "shared"
        if len(plain) == 1 and plain.isupper() and folded in self.initials:
            return "initial"
        if len(word) > len(plain) and plain.isupper() and len(plain) <= 3 and set(folded) <= self.initials:
            return "initial"
        return "particle" if plain.lower() in PARTICLES else ""

    @staticmethod
    def _mention(words: Sequence[re.Match[str]], roles: Sequence[str]) -> list[Mention]:
        """One mention from neighbouring words, without particles at its ends; none if no word of it is a name by itself."""
        inner = [i for i, role in enumerate(roles) if role != "particle"]
        kinds = [roles[i] for i in inner]
        if "part" not in kinds and kinds.count("shared") < 2 and not ("shared" in kinds and "initial" in kinds):
            return []
        first, last = words[inner[0]], words[inner[-1]]
        end = last.end()
        if last.group().endswith(".") and roles[inner[-1]] != "initial":
            end -= 1
        possessive = re.search(r"['’]s$", last.group())
        if possessive:
            end -= 2
        return [Mention(first.start(), end, "PERSON", SCORE)]


def _beside(text: str, before: re.Match[str], word: re.Match[str]) -> bool:
    """True if two words may belong to one name: "John Smith", "Smith, John", "J.Smith", "Anna-Maria"."""
    gap = text[before.end() : word.start()]
    if before.group().endswith(".") and len(before.group()) > 4:
        return False  # the end of a sentence
    return gap in ("", " ", ", ", "-", "  ", "\u00a0") or (gap == "," and before.end() < word.start())


def propagate(
    texts: Sequence[str],
    found: Sequence[Iterable[tuple[int, int, str]]],
    *,
    persons: Sequence[Hashable] | None = None,
    names: Mapping[Hashable, Iterable[str]] | None = None,
    language: str = "en",
) -> list[list[Mention]]:
    """Further mentions of persons who were found once, in the same text or in texts of the same person.

    Args:
        texts: Any number of texts.
        found: For each text what was found in it, as (start, end, entity); only ``PERSON`` is carried on.
        persons: Whose text each is; None makes every text a document of its own.
        names: Names of each person from columns, for example the name column of their own row.
        language: Whose everyday words need more than themselves to count as a name.

    Returns:
        For each text the mentions that no found person covers, by position.

    Raises:
        PIIError: ``texts``, ``found`` and ``persons`` differ in length, or ``names`` is given without ``persons``.
    """
    if len(texts) != len(found) or (persons is not None and len(persons) != len(texts)):
        raise PIIError(f"texts, found and persons must have one entry per text; got {len(texts)}, {len(found)} and {len(persons or texts)}")
    if names is not None and persons is None:
        raise PIIError("names of persons were given without saying whose text each is; pass persons= with one entry per text")
    owners: Sequence[Hashable] = range(len(texts)) if persons is None else persons
    spans = [[(start, end) for start, end, entity in spans if entity == "PERSON"] for spans in found]
    known: dict[Hashable, set[str]] = {}
    for owner, text, own in zip(owners, texts, spans, strict=True):
        known.setdefault(owner, set()).update(text[start:end] for start, end in own)
    for owner, listed in (names or {}).items():
        if owner in known:
            known[owner].update(listed)
    parts = {owner: KnownNames.of(listed, language=language) for owner, listed in known.items()}
    return [
        [mention for mention in parts[owner].find(text) if not _covered(mention, own)]
        for owner, text, own in zip(owners, texts, spans, strict=True)
    ]


def _covered(mention: Mention, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= mention.start and mention.end <= end for start, end in spans)
