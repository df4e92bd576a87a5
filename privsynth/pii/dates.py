"""Dates as people write them: "29 November 1996", "Nov 29th, 1996", "1er janvier 2001", "3 de marzo de 1999".

Month names are those of the Unicode Common Locale Data Repository, version 47 (Unicode License v3): wide and abbreviated,
in sentences and alone, with the Austrian, Mexican and British variants. A text is searched for the months of all languages,
because notes mix them; only forms that are everyday words of another language ("2 out of 3", "5 may apply") need a year.
"""

from __future__ import annotations

import re

MONTHS = {
    "de": "januar jänner februar märz april mai juni juli august september oktober november dezember",
    "en": "january february march april may june july august september october november december",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
"""Wide month names by language, in the order of the year."""

SHORT_MONTHS = {
    "de": "jan jän feb mär apr mai jun juni jul juli aug sep sept okt nov dez",
    "en": "jan feb mar apr may jun jul aug sep sept oct nov dec",
    "es": "ene feb mar abr may jun jul ago sep sept oct nov dic",
    "fr": "janv févr mars avr mai juin juil août sept oct nov déc",
    "it": "gen feb mar apr mag giu lug ago set ott nov dic",
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "pt": "jan fev mar abr mai jun jul ago set out nov dez",
}
"""Abbreviated month names by language; a full stop may follow."""

_NEED_A_YEAR = frozenset("may march mar mars out set ago mag mei ene gen dic dez lug giu".split())
"""Month words that mean something else after a number: a year, or a capital letter for the English ones, makes them a date."""


def _words(table: dict[str, str]) -> set[str]:
    return {word for words in table.values() for word in words.split()}


def _any_of(words: set[str]) -> str:
    return "(?:" + "|".join(sorted(words, key=lambda word: (-len(word), word))) + ")"


_ALL = _words(MONTHS) | _words(SHORT_MONTHS)
MONTH_WORDS = frozenset(_ALL)
"""A text without any of these words holds no date in words."""
_SURE = _ALL - _NEED_A_YEAR
_CAPITALS = {word.capitalize() for word in _words({"en": MONTHS["en"]}) | _words({"en": SHORT_MONTHS["en"]})}
_DAY = r"\d{1,2}(?:\.|st|nd|rd|th|er|ère|re|º|ª|°|e)?"
_JOIN = r"(?:\s{1,3}(?:de|del|of|di|do)\s{1,3}|\s{1,3}|[-/.]|\.\s)"
_YEAR = r"(?:\d{4}|['’]\d{2})"

TEXTUAL_DATE = (
    # 29 November 1996, 29-Nov-96, 1er janvier 2001, 3 de marzo del 1999
    rf"{_DAY}{_JOIN}{_any_of(_ALL)}\.?(?:,?\s{{1,3}}(?:de\s{{1,3}}|del\s{{1,3}}|of\s{{1,3}})?{_YEAR}|[-/.]\d{{2,4}})(?!\d)"
    # 29 November, 3. Oktober
    rf"|{_DAY}{_JOIN}(?:{_any_of(_SURE)}|(?-i:May|March|Mar))(?!\w)"
    # November 29th, 1996; Nov 29
    rf"|{_any_of(_ALL)}\.?\s{{1,3}}\d{{1,2}}(?:st|nd|rd|th)?,?\s{{1,3}}{_YEAR}(?!\d)"
    rf"|(?-i:{_any_of(_CAPITALS)})\.?\s{{1,3}}\d{{1,2}}(?:st|nd|rd|th)?(?![\d%:.,]?\d|\s{0, 9}%)"
    # November 1996, marzo de 1999
    rf"|{_any_of(_ALL)}\.?\s{{1,3}}(?:de\s{{1,3}}|del\s{{1,3}}|of\s{{1,3}})?{_YEAR}(?!\d)"
)
"""Pattern of a date with a month in words; ignore case when compiling it."""

_DATE_CELL = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?: \d{1,2}:\d{2}(?::\d{2})?)?"
    rf"|{TEXTUAL_DATE}",
    re.IGNORECASE,
)


def is_date(value: str) -> bool:
    """True if the value is written as a date; whether that day exists is not checked.

    >>> is_date("29 November 1996"), is_date("2020-01-31"), is_date("may")
    (True, True, False)
    """
    return _DATE_CELL.fullmatch(value) is not None
