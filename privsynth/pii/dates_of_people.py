"""Dates moved by a number of days, in the form in which they are written.

All dates of one person move together, so that intervals and their order stay; a day of the week or a season does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

_MONTHS: Mapping[str, tuple[str, ...]] = {
    "en": tuple("january february march april may june july august september october november december".split()),
    "en short": tuple("jan feb mar apr may jun jul aug sep oct nov dec".split()),
    "de": tuple("januar februar märz april mai juni juli august september oktober november dezember".split()),
    "fr": tuple("janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()),
    "it": tuple("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split()),
    "es": tuple("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()),
    "nl": tuple("januari februari maart april mei juni juli augustus september oktober november december".split()),
    "pt": tuple("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro".split()),
}
_NAME = "|".join(sorted({name for names in _MONTHS.values() for name in names}, key=lambda name: (-len(name), name)))
_ISO = re.compile(r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})(?!\d)")
_NUMERIC = re.compile(r"(?<!\d)(?P<first>\d{1,2})(?P<sep>[-/.])\s?(?P<second>\d{1,2})(?P=sep)\s?(?P<year>\d{4}|\d{2})(?!\d)")
_DAY_FIRST = re.compile(
    rf"(?P<day>\d{{1,2}})(?P<mark>\.|st|nd|rd|th|er|º)?(?P<gap>(?:[\s-]+(?:de|of))?[\s-]+)(?P<month>{_NAME})(?P<dot>\.?)(?P<gap2>,?(?:[\s-]+(?:de|of))?[\s-]+)(?P<year>\d{{4}})",
    re.IGNORECASE,
)
_MONTH_FIRST = re.compile(
    rf"(?P<month>{_NAME})(?P<dot>\.?)(?P<gap>\s+)(?P<day>\d{{1,2}})(?P<mark>st|nd|rd|th)?(?P<gap2>,?\s+)(?P<year>\d{{4}})", re.IGNORECASE
)
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")
_PIVOT = 50
"""Years of two digits: below it 20xx, from it on 19xx."""


def shifted(text: str, days: int, *, month_first: bool = False) -> str | None:
    """A date moved by some days, written as it was; a time of day after it stays.

    Args:
        text: What stands in the cell or text.
        days: Of either sign.
        month_first: Whether 3/4/2021 is 4 March, where both readings are possible.

    Returns:
        None if the text is no whole date ("May 2021", "Monday", "31.02.2001"): it cannot be moved.

    >>> shifted("2021-02-27", 3), shifted("3rd of March 2021", -3), shifted("12/31/2020", 1, month_first=True)
    ('2021-03-02', '28th of February 2021', '01/01/2021')
    """
    for pattern, read in ((_ISO, _iso), (_NUMERIC, _numeric), (_DAY_FIRST, _worded), (_MONTH_FIRST, _worded)):
        match = pattern.search(text)
        if match is None:
            continue
        try:
            moved = read(match, timedelta(days=days), month_first)
        except (ValueError, OverflowError):
            return None
        rest = text[: match.start()] + text[match.end() :]
        # A second date beside the first would stay as it is.
        return None if re.search(r"\d{4}|\d[-/.]\d", _TIME.sub("", rest)) else text[: match.start()] + moved + text[match.end() :]
    return None


def _iso(match: re.Match[str], days: timedelta, month_first: bool) -> str:
    moved = date(int(match["year"]), int(match["month"]), int(match["day"])) + days
    month, day = (f"{number:0{len(match[part])}d}" for number, part in ((moved.month, "month"), (moved.day, "day")))
    return f"{moved.year:04d}{match['sep']}{month}{match['sep']}{day}"


def _numeric(match: re.Match[str], days: timedelta, month_first: bool) -> str:
    first, second = int(match["first"]), int(match["second"])
    # Only one reading is a date when a number is above 12; full stops are European.
    by_month = second > 12 or (month_first and first <= 12 and match["sep"] != ".")
    year = int(match["year"])
    full = year if len(match["year"]) == 4 else year + (2000 if year < _PIVOT else 1900)
    moved = date(full, *((first, second) if by_month else (second, first))) + days
    parts = (moved.month, moved.day) if by_month else (moved.day, moved.month)
    shown = moved.year if len(match["year"]) == 4 else moved.year % 100
    one, two = (f"{number:0{2 if len(match['first']) == 2 and len(match['second']) == 2 else 1}d}" for number in parts)
    return f"{one}{match['sep']}{two}{match['sep']}{shown:0{len(match['year'])}d}"


def _worded(match: re.Match[str], days: timedelta, month_first: bool) -> str:
    name = match["month"].lower()
    language, names = next((language, names) for language, names in _MONTHS.items() if name in names)
    moved = date(int(match["year"]), names.index(name) + 1, int(match["day"])) + days
    month = names[moved.month - 1]
    month = month.upper() if match["month"].isupper() else month.capitalize() if match["month"][0].isupper() else month
    mark = match["mark"] or ""
    if mark in ("st", "nd", "rd", "th"):
        mark = "th" if 11 <= moved.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(moved.day % 10, "th")
    elif language == "fr":
        mark = "er" if moved.day == 1 else ""
    day = f"{moved.day}{mark}"
    if match.re is _MONTH_FIRST:
        return f"{month}{match['dot']}{match['gap']}{day}{match['gap2']}{moved.year}"
    return f"{day}{match['gap']}{month}{match['dot']}{match['gap2']}{moved.year}"
