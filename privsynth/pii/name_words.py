"""A keyed surrogate for every word of a name, so that all mentions of a person keep naming one person.

Names are exchanged word by word: "Anna Müller" becomes "Laura Steiner", and therefore "Müller", "MÜLLER", "A. Müller" and
"anna.mueller@…" become "Steiner", "STEINER", "L. Steiner" and "laura.steiner@…", in whatever column, table or text they stand and
without a list of people. What a word becomes depends on the key and the word alone. The kind of name is kept as far as
public lists know it: a first name stays one, of the same sex where only one sex bears it, and from a list of the same
language. Two names may share a surrogate (lists hold 200 to 2,000 names): pseudonyms of names are not keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from privsynth.pii.gazetteer import PARTICLES, WORD
from privsynth.pii.keyed import Key
from privsynth.pii.names import LOCALES, ascii_letters, names_of
from privsynth.pii.recognizers import fold

TITLES = frozenset(
    "mr mrs ms miss dr prof sir dame herr herrn frau fr hr mme mlle monsieur madame m sr sra srta sig dhr mevr jr phd md ii iii iv".split()
)
"""Words beside a name that stay as they are."""

ROLES = frozenset(
    "info contact office mail support sales admin hello service team kontakt noreply no reply help billing hr jobs press".split()
)
"""Local parts of addresses that name no person."""

_AT = re.compile(r"(@|\s*[(\[]at[)\]]\s*|\s+at\s+)", re.IGNORECASE)
"""The sign, or what people write for it."""

DOMAIN_LETTERS = "bcdfghjklmnpqrstvwz"


def canonical(word: str) -> str:
    """One spelling for the ways to write a word of a name: case, accents, "ue" for "ü".

    "Michael" and "Michal" meet too; two names with one surrogate do no harm, one name with two surrogates would.

    >>> canonical("MÜLLER"), canonical("Mueller"), canonical("Weiß")
    ('muller', 'muller', 'weiss')
    """
    return re.sub(r"(?<![aeiouq])([aou])e", r"\1", ascii_letters(word) or fold(word))


@dataclass(frozen=True)
class _Kind:
    """What public lists know of a word: in which list it stands."""

    locale: str
    part: str  # "female", "male", "any" for first names, "last" for last names


@dataclass(frozen=True, kw_only=True)
class NameWords:
    """Surrogates for the words of names.

    Attributes:
        key: Decides everything.
        locales: Faker locales in order of preference; names that no list holds become last names of the first one.
    """

    key: Key
    locales: tuple[str, ...]

    def word(self, word: str) -> str:
        """The surrogate of one word, in the case in which it is written; titles and particles stay."""
        plain = word.rstrip(".")
        if plain.lower() in PARTICLES | TITLES or not any(character.isalpha() for character in plain):
            return word
        genitive = re.search(r"['’]s$", plain)
        if genitive:
            return self.word(plain[: genitive.start()]) + genitive.group()
        own = canonical(plain)
        kind = _kinds(self.locales).get(own, _Kind(self.locales[0], "last"))
        pool = _pool(kind)
        position = self.key.number("name", own) % len(pool)
        if canonical(pool[position]) == own:
            position = (position + 1) % len(pool)
        return _in_case_of(plain, pool[position]) + ("." if word.endswith(".") and len(plain) > 1 and plain != word else "")

    def name(self, name: str, known: Iterable[str] = ()) -> str:
        """The surrogate of a mention of a person, in its form: full, parts, initials, "Last, First", any case.

        Args:
            name: The mention.
            known: Full names by which this person, or this document's people, are known: what an initial stands for.
        """
        words = [word.group() for other in (name, *known) for word in WORD.finditer(other)]
        full = [word.rstrip(".") for word in words if len(word.rstrip(".")) > 1]
        return WORD.sub(lambda match: self._initial(match.group(), full) or self.word(match.group()), name)

    def _initial(self, word: str, full: Sequence[str]) -> str:
        """The surrogate of "J." or "J", or nothing if the word is no initial."""
        plain = word.rstrip(".")
        if len(plain) != 1:
            return ""
        stands_for = next((other for other in full if fold(other)[:1] == fold(plain) and other.lower() not in PARTICLES | TITLES), None)
        letter = self.word(stands_for)[0] if stands_for else self.key.choice("ABCDEFGHJKLMNPRSTW", "initial", fold(plain))
        return (letter.upper() if plain.isupper() else letter.lower()) + word[1:]

    def email(self, address: str, known: Iterable[str] = ()) -> str:
        """The surrogate of an e-mail address: the person's surrogate name, at a domain that nobody can have (RFC 2606)."""
        parts = _AT.split(address.strip(), maxsplit=1)
        if len(parts) == 1:
            return self.handle(address, known)
        local, at, domain = parts
        return f"{self.handle(local, known)}{at}{self.domain(domain)}"

    def domain(self, domain: str) -> str:
        """A made-up name under ``.example``, the same for the same domain."""
        own = domain.lower().rstrip(".")
        return "".join(self.key.choice(DOMAIN_LETTERS if i % 2 == 0 else "aeiou", "domain", own, str(i)) for i in range(8)) + ".example"

    def handle(self, handle: str, known: Iterable[str] = ()) -> str:
        """The surrogate of a user name or of the part before the "@": words that are names as names, digits as digits."""
        forms = self._forms(known)
        parts = re.findall(r"[^\W\d_]+|\d+|[\W_]+", handle)
        return "".join(self._handle_part(part, forms) for part in parts)

    def _handle_part(self, part: str, forms: dict[str, str]) -> str:
        if part.isdigit():
            return self.key.permuted(part, "digits of a handle")
        if not part[0].isalpha() or part.lower() in ROLES:
            return part
        own = canonical(part)
        if own in forms:
            return forms[own]
        if len(own) == 1:
            return self.key.choice("abcdefghjklmnprstw", "initial", own)
        return ascii_letters(self.word(part)) or part

    def _forms(self, known: Iterable[str]) -> dict[str, str]:
        """What the usual ways to make a user name from these names become: "jsmith", "johns", "johnsmith", "smithjohn", "j"."""
        forms: dict[str, str] = {}
        for name in known:
            words = [word.group().rstrip(".") for word in WORD.finditer(name)]
            words = [word for word in words if len(word) > 1 and word.lower() not in PARTICLES | TITLES]
            pairs = [(canonical(word), ascii_letters(self.word(word))) for word in words]
            for one, surrogate in pairs:
                for two, other in pairs:
                    if (one, surrogate) != (two, other):
                        forms |= {one + two: surrogate + other, one[0] + two: surrogate[0] + other, one + two[0]: surrogate + other[0]}
            forms |= {one[0]: surrogate[0] for one, surrogate in reversed(pairs)}
            forms |= dict(pairs)
        return forms


@lru_cache(maxsize=128)
def _pool(kind: _Kind) -> tuple[str, ...]:
    """Names of a list that are one word: a name of several would change how many words a mention has."""
    lists = names_of(kind.locale)
    return tuple(name for name in (lists.last if kind.part == "last" else lists.first[kind.part]) if " " not in name and "-" not in name)


@lru_cache(maxsize=8)
def _kinds(locales: tuple[str, ...]) -> dict[str, _Kind]:
    """In which list each listed word stands, the preferred locales' first; what is a first and a last name counts as a first name."""
    kinds: dict[str, _Kind] = {}
    for locale in (*locales, *LOCALES.values()):
        lists = names_of(locale)
        female, male = ({canonical(name) for name in lists.first[sex]} for sex in ("female", "male"))
        for word in {canonical(name) for name in lists.first["any"]} | female | male:
            part = "any" if word in female and word in male else "female" if word in female else "male" if word in male else "any"
            kinds.setdefault(word, _Kind(locale, part))
        for name in lists.last:
            kinds.setdefault(canonical(name), _Kind(locale, "last"))
    return kinds


def _in_case_of(word: str, surrogate: str) -> str:
    if word.isupper() and len(word) > 1:
        return surrogate.upper()
    return surrogate.lower() if word.islower() else surrogate
