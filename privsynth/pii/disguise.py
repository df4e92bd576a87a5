"""Texts as a reader sees them: what hides an address from a pattern, but not from a person, is taken away before the search.

Zero-width and control characters inside words, full-width and mathematical letters, digits of other scripts, Cyrillic or Greek
letters inside Latin words (homoglyphs), HTML entities and percent signs of web addresses, base64. The search then runs on the
plain text, and every character of it remembers where it came from, so that spans are given in the original.

References: Unicode Technical Standard 39 (confusables; the letters that are told apart by no common typeface), Unicode
Standard Annex 15 (compatibility forms), RFC 3986 (percent-encoding), RFC 4648 (base64).
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_CONFUSABLE = str.maketrans(
    "АВЕЅІЈКМНОРСТХУаеіјорсухѕԁһԛԝҮΑΒΕΖΗΙΚΜΝΟΡΤΥΧοναιρυκ",
    "ABESIJKMHOPCTXYaeijopcyxsdhqwYABEZHIKMNOPTYXovaipuk",
)
"""Letters of Cyrillic and Greek by the Latin letter that they look like."""

_ENCODED = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,31}\d{0,2});|%[2-7][0-9a-fA-F]"
_MIXED = re.compile(r"[^\W\d_]+")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{16,100000}={0,2}(?![A-Za-z0-9+/=_-])")
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_UNUSUAL = re.compile("[^\t\n\r\x20-\x7e\xa1-\xac\xae-\u024f\u2018-\u201f\u2022\u2026\u20ac]")
"""Anything but printable characters of European languages, which are as they look."""
_UNUSUAL_OR_ENCODED = re.compile(rf"{_UNUSUAL.pattern}|{_ENCODED}")
_LATIN = re.compile(r"[A-Za-z]")
_LOOKALIKE = re.compile("[\u0370-\u052f]")


def plain(text: str) -> tuple[str, list[int] | None]:
    r"""The text without disguise, and for each of its characters, and its end, the place in the original; None if nothing changed.

    >>> plain("a\u200b@x.org")[0], plain("a&#64;x.org")[0], plain("plain")
    ('a@x.org', 'a@x.org', ('plain', None))
    """
    encoded = "&" in text or "%" in text
    if not encoded and text.isascii() and text.isprintable():  # most texts
        return text, None
    changes = _UNUSUAL_OR_ENCODED if encoded else _UNUSUAL
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    for match in changes.finditer(text):
        found = match.group()
        shown = _shown(found) if len(found) == 1 else _decoded(found)
        if shown == found:
            continue
        pieces += (text[position : match.start()], shown)
        places += range(position, match.start())
        places += [match.start()] * len(shown)
        position = match.end()
    joined = text if not position else "".join([*pieces, text[position:]])
    places += range(position, len(text) + 1)
    if _LOOKALIKE.search(joined):
        joined = _MIXED.sub(lambda word: _latin(word.group()), joined)
    return (text, None) if joined == text else (joined, places)


def _decoded(code: str) -> str:
    """What an HTML entity or a percent-encoded character stands for; itself if there is no such entity."""
    shown = html.unescape(code) if code[0] == "&" else chr(int(code[1:], 16))
    return code if shown == code else "".join(map(_shown, shown))


@lru_cache(maxsize=1 << 14)
def _shown(character: str) -> str:
    """What a character looks like in plain letters: nothing if it has no width."""
    if character.isascii():
        return character if character.isprintable() or character in "\t\n\r" else ""
    category = unicodedata.category(character)
    if category in ("Cf", "Cc"):  # joiners, direction marks, soft hyphens, byte order marks
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Zs":
        return " "
    if _DASHES.match(character):
        return "-"
    # One for one: a ligature or a fraction keeps its place as it is.
    compatible = unicodedata.normalize("NFKC", character)
    return compatible if len(compatible) == 1 and compatible.isprintable() else character


def _latin(word: str) -> str:
    """A word that mixes Latin letters with look-alikes of other alphabets, in Latin letters; its length stays."""
    if word.isascii() or _LATIN.search(word) is None:
        return word
    return word.translate(_CONFUSABLE)


def original_span(start: int, end: int, places: list[int]) -> tuple[int, int]:
    """Where a span of the plain text lies in the original; a disguised character is covered whole."""
    return places[start], places[end] if end < len(places) else places[-1]


def base64_texts(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and content of each stretch of base64 that holds readable text."""
    for match in _BASE64.finditer(text) if len(text) >= 16 else ():
        code = match.group().rstrip("=")
        if code.isalpha() and (code.islower() or code.isupper()):
            continue  # a long word
        try:
            content = base64.b64decode(code.replace("-", "+").replace("_", "/") + "=" * (-len(code) % 4), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        if sum(map(str.isprintable, content)) >= 0.9 * len(content):
            yield match.start(), match.end(), content
