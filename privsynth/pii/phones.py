"""Phone numbers in a text: libphonenumber, asked only about the neighbourhood of digits, and no oftener than needed.

Its matcher walks through a whole text once for each country, which is half of the time that Presidio spends on a text. A
number lies around digits, so that only those parts are given to it; a country whose shortest number has more digits than
a part is not tried there; and once all digits of a part belong to a number, no further country can add one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from privsynth.pii.traits import Traits
from privsynth.registry import require

GAP = 24
"""Characters between two runs of digits of one number at most: an extension ("ext. 123") may stand there."""


def phone_numbers(
    traits: Traits, *, regions: Sequence[str], leniency: int, asked: Callable[[int, int], bool] | None = None
) -> Iterator[tuple[int, int]]:
    """Start and end of each phone number in a text, as libphonenumber's matcher finds them in the whole text.

    Args:
        traits: The text.
        regions: ISO 3166-1 codes of the countries whose national formats count.
        leniency: As in ``phonenumbers.Leniency``: 0 takes possible numbers, 1 valid ones.
        asked: Told start and end of each stretch of digits and signs; where it says no, no number is looked for.

    A number found for several countries is yielded once.
    """
    known: dict[str, list[tuple[int, int]]] = {}  # a long text that repeats itself is asked about once
    for first, last, digits in neighbourhoods(traits) if asked is None else _candidates(traits, asked):
        part = traits.text[first:last]
        if part not in known:
            known[part] = _numbers_in(part, digits, regions=regions, leniency=leniency)
        yield from ((first + start, first + end) for start, end in known[part])


def _numbers_in(part: str, digits: int, *, regions: Sequence[str], leniency: int) -> list[tuple[int, int]]:
    """Start and end of each number in a part of a text that holds so many digits."""
    phonenumbers = require("phonenumbers")
    found: set[tuple[int, int]] = set()
    for region in regions:
        if digits < shortest(region, leniency):
            continue
        matches = {(match.start, match.end) for match in phonenumbers.PhoneNumberMatcher(part, region, leniency=leniency)}
        found |= matches
        if sum(sum(map(str.isdecimal, part[start:end])) for start, end in matches) >= digits:
            break
    return sorted(found)


def neighbourhoods(traits: Traits) -> Iterator[tuple[int, int, int]]:
    """Start, end and number of digits of each part that may hold a phone number, with the brackets and signs around it."""
    # Half the gap on either side: no digit of another part comes in.
    pad = GAP // 2
    first = last = digits = 0
    for start, end in traits.runs:
        if digits and start - last > GAP:
            yield max(0, first - pad), min(len(traits.text), last + pad), digits
            digits = 0
        first, last, digits = (first if digits else start), end, digits + end - start
    if digits:
        yield max(0, first - pad), min(len(traits.text), last + pad), digits


_STRETCH = re.compile(r"\d(?:[ ()./\u00a0-]{0,4}\d){6,50}")


def _candidates(traits: Traits, asked: Callable[[int, int], bool]) -> Iterator[tuple[int, int, int]]:
    """Stretches that hold seven digits or more, with the signs before and an extension after; between them no other digit is given."""
    for match in _STRETCH.finditer(traits.text):
        start, end = match.span()
        if asked(start, end):
            digits = sum(map(str.isdecimal, match.group()))
            before = re.search(r"[^\d]{0,4}$", traits.text[max(0, start - 4) : start])
            first = start - len(before.group()) if before else start
            extension = _EXTENSION.match(traits.text, end)
            yield first, (extension.end() if extension else end), digits


_EXTENSION = re.compile(r"[ ,;]{0,3}(?:x|ext\.?|extn\.?|extension|#)[ .:]{0,2}\d{1,7}(?!\d)", re.IGNORECASE)


@lru_cache(maxsize=512)
def shortest(region: str, leniency: int) -> int:
    """Digits of a country's shortest national number; an international number is not shorter, and any country finds it."""
    metadata: Any = require("phonenumbers").PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return 0
    lengths = [length for length in metadata.general_desc.possible_length if length > 0]
    if leniency == 0:  # a local number, without its area code, is possible though not valid
        lengths += [length for length in metadata.general_desc.possible_length_local_only if length > 0]
    return min(lengths, default=0)
