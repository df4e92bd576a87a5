"""Which columns hold personal data? Proposals for a person to confirm, made without showing a value.

A column is judged by its header (words of seven languages), by the share of its distinct values that are
*entirely* of a type, by how much likelier that share is than chance for types that are only digits and a check
digit, and by listed names. Reading the data is an internal touch: nothing here may reach a release, and a report holds no
cell unless the caller asks for examples.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import PIIError
from privsynth.pii.headers import (
    BIRTH,
    CARD,
    COUNTED,
    DEMOGRAPHIC,
    EMAIL,
    FIRST_NAME,
    FULL_NAME,
    ID,
    ID_ENDINGS,
    LAST_NAME,
    NATIONAL,
    NOT_A_PERSON,
    PHONE,
    PLACE,
    POSTCODE,
    STREET,
    USERNAME,
    header_tokens,
    speaks_of,
)
from privsynth.pii.identifiers import NATIONAL_IDS, NationalId
from privsynth.pii.languages import language_of
from privsynth.pii.recognizers import LANGUAGES, WHOLE_CELL, is_card, is_date, is_phone, name_score
from privsynth.pii.text import NONE, find, ner_model
from privsynth.registry import hint
from privsynth.schema import Kind

FALSE_ALARM = 1e-6
"""Largest probability, per identifier and column, that random digits are taken for a checked number."""
TEXTS_SEARCHED = 120
"""Free texts per column that are searched for spans where values are sampled; more would only sharpen the counts."""
PHONE_REGIONS = ("US", "GB", "DE", "FR", "CH", "AT", "IT", "ES", "NL", "BE", "PT", "BR", "IE", "AU", "DK", "SE", "NO", "FI", "PL")


_TRUTH = frozenset({"true", "false", "t", "f", "yes", "no", "y", "n", "0", "1", "ja", "nein", "oui", "non", "si"})


@dataclass(frozen=True, kw_only=True)
class ColumnFinding:
    """What a column seems to hold.

    Attributes:
        column: Its name.
        pii: Type of personal data, or None. ``DATE_OF_BIRTH`` may still be modelled if a person decides so;
            ``FREE_TEXT`` must be searched text by text.
        kind_proposal: How the column could be declared.
        confidence: How sure the proposal of ``pii`` is, in [0, 1]: a rule of thumb, not a probability. 0.0 without one.
        evidence: One sentence for a person; it holds no value.
        distinct: Number of distinct values, nulls aside.
        checked: How many of them were looked at.
        matched: How many of those are of the type.
        quasi_identifier: An outsider may know it (place, age, sex, date of birth).
        spans: For free text, how many spans of each type the searched texts hold.
        language: For free text, the language it seems to be in, or None if that cannot be told.
        ner: For free text, the model that looked for names; None if none did: most names were then missed.
        examples: Up to three values of the type; empty unless the caller asked for values.
    """

    column: str
    pii: str | None
    kind_proposal: Kind
    confidence: float
    evidence: str
    distinct: int
    checked: int
    matched: int
    quasi_identifier: bool = False
    spans: dict[str, int] = field(default_factory=dict)
    language: str | None = None
    ner: str | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScanReport:
    """Findings by column, in the frame's order; an internal document.

    Attributes:
        findings: One for each column.
        n_rows: Rows of the frame.
        ner: The model that looks for names in text of the language asked for (English if none was), or None: names are then mostly
            missed. What looked into each column stands in its finding.
    """

    findings: tuple[ColumnFinding, ...]
    n_rows: int
    ner: str | None

    def __getitem__(self, column: str) -> ColumnFinding:
        """The finding of a column.

        Raises:
            PIIError: No column has this name.
        """
        for finding in self.findings:
            if finding.column == column:
                return finding
        raise PIIError(f"column {column!r} was not scanned{hint(column, [finding.column for finding in self.findings])}")

    @property
    def pii(self) -> dict[str, str]:
        """Type of personal data by column, for the columns that have one."""
        return {finding.column: finding.pii for finding in self.findings if finding.pii is not None}

    def to_json(self) -> str:
        """The report as JSON; it holds cells only where the caller of ``scan`` asked for examples."""
        return json.dumps(
            {"n_rows": self.n_rows, "ner": self.ner, "findings": [asdict(finding) for finding in self.findings]},
            ensure_ascii=False,
            indent=2,
        )


def scan(
    frame: pd.DataFrame,
    *,
    rng: np.random.Generator,
    sample: int | None = 500,
    language: str | None = None,
    ner: str | None = None,
    show_values: bool = False,
) -> ScanReport:
    """Propose for each column what personal data it holds and how to declare it.

    Args:
        frame: Raw frame of any types; it is not changed.
        rng: Draws the distinct values that are looked at.
        sample: Distinct values looked at per column, 1 or more; None looks at all of them. A type that occurs in a
            share p of the values is missed with probability about (1 - p) ** sample.
        language: Language of free text; None tells it for each column, and takes English where it cannot be told.
        ner: Which model looks for names in free text: ``"none"`` for none, None for the best that is there.
        show_values: Whether findings carry up to three examples. They are private data.

    Raises:
        PIIError: ``sample`` is below 1.
    """
    if sample is not None and sample < 1:
        raise PIIError(f"sample={sample!r}; expected a whole number of distinct values, 1 or more, or None for all")
    findings = []
    for position, name in enumerate(frame.columns):
        column = _Column.read(str(name), frame.iloc[:, position], sample=sample, rng=rng)
        findings.append(_judge(column, language=language, ner=ner, show_values=show_values))
    return ScanReport(findings=tuple(findings), n_rows=len(frame), ner=None if ner == NONE else ner or ner_model(language or "en"))


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column as the judge sees it: words of its header, counts, and a sample of its distinct values as text."""

    name: str
    header: tuple[str, ...]
    n: int
    distinct: int
    values: tuple[str, ...]
    dtype_kind: str
    is_sampled: bool

    @classmethod
    def read(cls, name: str, raw: pd.Series[Any], *, sample: int | None, rng: np.random.Generator) -> _Column:
        present = raw[~raw.isna().to_numpy(dtype=bool)]
        kind = present.dtype.kind if isinstance(present.dtype, np.dtype) else _extension_kind(present.dtype)
        if (
            kind == "f"
            and len(present)
            and bool(np.all(np.isfinite(floats := present.to_numpy(dtype=float)) & (floats == np.round(floats))))
        ):
            # Whole numbers that nulls turned into floats: 41791234567.0 is a phone number.
            texts = [f"{value:.0f}" for value in pd.unique(present.to_numpy(dtype=float))]
            counted = len(present)
            kind = "i"
        else:
            cells = [text for text in map(_text, present.astype(object)) if text]
            counted, texts = len(cells), list(dict.fromkeys(cells))
        chosen = (
            texts
            if sample is None or len(texts) <= sample
            else [texts[i] for i in np.sort(rng.choice(len(texts), size=sample, replace=False))]
        )
        return cls(
            name=name,
            header=header_tokens(name),
            n=counted,
            distinct=len(texts),
            values=tuple(chosen),
            dtype_kind=kind,
            is_sampled=sample is not None,
        )

    def speaks_of(self, words: frozenset[str]) -> bool:
        return speaks_of(self.header, words)

    def matching(self, test: Callable[[str], bool]) -> list[str]:
        return [value for value in self.values if test(value)]

    @property
    def repeats(self) -> bool:
        """True when values come back so often that they are categories."""
        return self.n >= 20 and (self.distinct <= 2 or self.n >= 20 * self.distinct)

    @property
    def is_unique(self) -> bool:
        return self.n >= 20 and self.distinct >= 0.98 * self.n


def _text(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", errors="replace").strip()
    return str(cell).strip()


def _extension_kind(dtype: Any) -> str:
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "M"
    kind = getattr(dtype, "kind", "O")
    return kind if isinstance(kind, str) and kind in "iufbM" else "O"


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """A proposal before it is written down."""

    pii: str
    confidence: float
    evidence: str
    matched: Sequence[str] = ()
    kind: Kind = "identifier"
    quasi_identifier: bool = False
    spans: dict[str, int] = field(default_factory=dict)
    language: str | None = None
    ner: str | None = None


def _judge(column: _Column, *, language: str | None, ner: str | None, show_values: bool) -> ColumnFinding:
    kind = _kind(column)
    quasi = column.speaks_of(PLACE) or column.speaks_of(DEMOGRAPHIC)
    verdict = None
    if column.values:
        if kind == "text":
            verdict = _by_value(column) or _phone(column) or _street(column) or _person(column) or _free_text(column, language, ner)
        else:
            rules = (_by_value, _national_digits, _phone, _card_digits, _birth, _street, _username, _person, _identifier, _some_values)
            verdict = next((found for rule in rules if (found := rule(column)) is not None), None) or _sentences(column, language, ner)
    checked = len(column.values)
    if verdict is None:
        evidence = "the column is empty" if not column.values else "no type of personal data fits"
        if quasi:
            evidence = "no direct identifier, but an outsider may know it: a quasi-identifier"
        return ColumnFinding(
            column=column.name,
            pii=None,
            kind_proposal=kind,
            confidence=0.0,
            evidence=evidence,
            distinct=column.distinct,
            checked=checked,
            matched=0,
            quasi_identifier=quasi,
        )
    return ColumnFinding(
        column=column.name,
        pii=verdict.pii,
        kind_proposal=verdict.kind,
        confidence=round(verdict.confidence, 2),
        evidence=verdict.evidence,
        distinct=column.distinct,
        checked=checked,
        matched=len(verdict.matched),
        quasi_identifier=quasi or verdict.quasi_identifier,
        spans=verdict.spans,
        language=verdict.language,
        ner=verdict.ner,
        examples=tuple(verdict.matched[:3]) if show_values else (),
    )


def _kind(column: _Column) -> Kind:
    values = column.values
    if column.dtype_kind == "M":
        return "datetime"
    if column.dtype_kind == "b" or (0 < column.distinct <= 2 and {value.casefold() for value in values} <= _TRUTH):
        return "boolean"
    if not values:
        return "categorical"
    if len(column.matching(is_date)) >= 0.95 * len(values):
        return "datetime"
    if _is_number(column):
        return "integer" if all(re.fullmatch(r"[+-]?\d+", value) for value in values) else "decimal"
    # A word has two letters: "AB 12 34 56 C" and "+41 79 123 45 67" are not running text.
    words = float(np.median([len(re.findall(r"[^\W\d_]{2,}", value)) for value in values]))
    length = float(np.mean([len(value) for value in values]))
    if (words >= 4 or length >= 60) and words >= 2 and (column.distinct >= 50 or column.distinct >= 0.3 * column.n):
        return "text"
    # Short remarks that hardly repeat ("called Anna back") are no categories, and may hold anything.
    several = column.matching(lambda value: len(value.split()) >= 2 and len(re.findall(r"[^\W\d_]{2,}", value)) >= 2)
    if column.n >= 50 and column.distinct >= 0.5 * column.n and len(several) >= 0.5 * len(values) and not column.speaks_of(PLACE):
        return "text"
    return "categorical"


def _is_number(column: _Column) -> bool:
    if column.speaks_of(POSTCODE):
        return False
    if column.dtype_kind in "iuf":
        return True
    numbers = column.matching(lambda value: re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", value) is not None)
    padded = column.matching(lambda value: re.fullmatch(r"0\d+", value) is not None)
    return not padded and len(numbers) >= 0.99 * len(column.values)


def _confidence(share: float, header: bool) -> float:
    """The share of matching values; a header that says the same halves the doubt."""
    return min(0.99, 1 - (1 - share) / 2 if header else share)


def _counted(matched: Sequence[str], column: _Column, what: str) -> str:
    return f"{len(matched)} of {len(column.values)} distinct values checked {what}"


_WHAT = {
    "EMAIL_ADDRESS": "are e-mail addresses",
    "IBAN_CODE": "are IBANs with valid check digits",
    "IP_ADDRESS": "are IP addresses",
    "URL": "are web addresses",
    "STREET_ADDRESS": "are a street with a number",
    "CREDIT_CARD": "have the length, first digits and check digit of payment cards",
}


def _by_value(column: _Column) -> _Verdict | None:
    """Types that show by themselves: half of the values or more are entirely of the type."""
    for entity in ("EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "URL"):
        matched = column.matching(WHOLE_CELL[entity])
        if matched and len(matched) >= 0.5 * len(column.values):
            header = column.speaks_of(EMAIL) if entity == "EMAIL_ADDRESS" else False
            return _Verdict(
                pii=entity,
                confidence=_confidence(len(matched) / len(column.values), header),
                evidence=_counted(matched, column, _WHAT[entity]),
                matched=matched,
            )
    for identifier in NATIONAL_IDS:
        matched = column.matching(identifier.is_written)
        if matched and len(matched) >= 0.5 * len(column.values):
            return _national(column, identifier, matched)
    return None


def _national(column: _Column, identifier: NationalId, matched: Sequence[str]) -> _Verdict:
    form = "the form and check digits" if identifier.module else "the form"
    what = f"have {form} of a national identifier ({identifier.country}: {identifier.name})"
    share = len(matched) / len(column.values)
    return _Verdict(
        pii="NATIONAL_ID",
        confidence=_confidence(share, column.speaks_of(NATIONAL)),
        evidence=_counted(matched, column, what),
        matched=matched,
    )


def beats_chance(matched: int, checked: int, chance: float) -> bool:
    """True if this many matches among random values would have probability below ``FALSE_ALARM``.

    Chernoff's bound for the upper tail of a binomial: P(X >= k) <= exp(-n KL(k/n || chance)).

    >>> beats_chance(9, 9, 1 / 11), beats_chance(50, 500, 1 / 11)
    (True, False)
    """
    if not 0 < matched or matched <= chance * checked:
        return False
    share = matched / checked
    divergence = share * math.log(share / chance) + (0.0 if share == 1 else (1 - share) * math.log((1 - share) / (1 - chance)))
    return checked * divergence >= -math.log(FALSE_ALARM)


def _national_digits(column: _Column) -> _Verdict | None:
    """Digits that pass a national check far oftener than chance, or under a header that says so."""
    header = column.speaks_of(NATIONAL)
    best: tuple[float, NationalId, list[str]] | None = None
    for identifier in NATIONAL_IDS:
        matched = column.matching(identifier.is_plain) if identifier.plain else []
        share = len(matched) / len(column.values)
        if share >= 0.8 and (header or beats_chance(len(matched), len(column.values), identifier.chance)):
            # Of two that fit equally, the one that chance meets less often.
            rank = share - identifier.chance
            best = max(best, (rank, identifier, matched), key=lambda found: found[0]) if best else (rank, identifier, matched)
    if best is not None:
        return _national(column, best[1], best[2])
    shaped = column.matching(lambda value: len(re.sub(r"[\W_]", "", value)) >= 6 and any(character.isdigit() for character in value))
    if header and not column.repeats and len(shaped) >= 0.8 * len(column.values):
        return _Verdict(
            pii="NATIONAL_ID", confidence=0.6, evidence="the header names a national identifier; no known check digit fits", matched=shaped
        )
    return None


def _phone(column: _Column) -> _Verdict | None:
    header = column.speaks_of(PHONE)
    if column.dtype_kind == "f" or (column.repeats and not header) or column.speaks_of(COUNTED):
        return None
    international = column.matching(lambda value: value.startswith(("+", "00")) and is_phone(value))
    matched = international
    for region in PHONE_REGIONS:
        national = column.matching(lambda value: is_phone(value, regions=(region,), bare=header))  # noqa: B023 - used at once
        matched = max(matched, national, key=len)
        if len(matched) == len(column.values):
            break
    share = len(matched) / len(column.values)
    if share >= (0.3 if header else 0.6):
        return _Verdict(
            pii="PHONE_NUMBER",
            confidence=_confidence(share, header),
            evidence=_counted(matched, column, "are telephone numbers"),
            matched=matched,
        )
    return None


def _card_digits(column: _Column) -> _Verdict | None:
    header = column.speaks_of(CARD)
    matched = column.matching(is_card)
    share = len(matched) / len(column.values)
    # One number in ten passes Luhn's check.
    if share >= 0.5 and (header or beats_chance(len(matched), len(column.values), 0.1)):
        return _Verdict(
            pii="CREDIT_CARD",
            confidence=_confidence(share, header),
            evidence=_counted(matched, column, _WHAT["CREDIT_CARD"]),
            matched=matched,
        )
    return None


def _birth(column: _Column) -> _Verdict | None:
    # "birth rate", "birth country" and a year of birth are no dates.
    dates = list(column.values) if column.dtype_kind == "M" else column.matching(is_date)
    if not column.speaks_of(BIRTH) or len(dates) < 0.5 * len(column.values):
        return None
    evidence = "the header speaks of birth and the values are dates; a quasi-identifier that may be modelled if a person decides so"
    return _Verdict(pii="DATE_OF_BIRTH", confidence=0.95, evidence=evidence, matched=dates, kind="datetime", quasi_identifier=True)


def _street(column: _Column) -> _Verdict | None:
    matched = column.matching(WHOLE_CELL["STREET_ADDRESS"])
    share = len(matched) / len(column.values)
    header = column.speaks_of(STREET) and not column.speaks_of(EMAIL) and not (set(column.header) & {"ip", "mac", "web", "url"})
    if share >= 0.5 or (header and share >= 0.1):
        return _Verdict(
            pii="STREET_ADDRESS",
            confidence=_confidence(share, header),
            evidence=_counted(matched, column, _WHAT["STREET_ADDRESS"]),
            matched=matched,
        )
    lettered = column.matching(lambda value: any(character.isalpha() for character in value) and " " in value)
    if header and not column.repeats and len(lettered) >= 0.5 * len(column.values):
        return _Verdict(pii="STREET_ADDRESS", confidence=0.6, evidence="the header speaks of an address", matched=lettered)
    return None


def _username(column: _Column) -> _Verdict | None:
    shaped = column.matching(lambda value: re.fullmatch(r"@?[^\W\d][\w.@-]{1,38}", value) is not None)
    handles = [value for value in shaped if value.startswith("@")]
    header = column.speaks_of(USERNAME) and not column.speaks_of(ID - {"identifiant"})
    if len(handles) >= 0.8 * len(column.values):
        return _Verdict(pii="USERNAME", confidence=0.9, evidence=_counted(handles, column, "are handles"), matched=handles)
    if header and not column.repeats and column.distinct >= 0.3 * column.n and len(shaped) >= 0.8 * len(column.values):
        return _Verdict(
            pii="USERNAME", confidence=0.8, evidence="the header speaks of user names and the values are single words", matched=shaped
        )
    return None


def _person(column: _Column) -> _Verdict | None:
    """Names: a header that says so, or listed names; places and things with people's names are kept out by their header."""
    header = any(column.speaks_of(words) for words in (FIRST_NAME, LAST_NAME, FULL_NAME))
    if (
        column.dtype_kind != "O"
        or column.speaks_of(PLACE)
        or (column.speaks_of(NOT_A_PERSON) and not column.speaks_of(FIRST_NAME | LAST_NAME))
    ):
        return None
    if column.repeats and not header:
        return None
    scores = {value: name_score(value) for value in column.values}
    pairs = [value for value, score in scores.items() if score == 1.0]
    listed = [value for value, score in scores.items() if score > 0.0]
    checked = len(column.values)
    if len(pairs) >= (0.2 if header else 0.5) * checked:
        return _Verdict(
            pii="PERSON",
            confidence=_confidence(len(pairs) / checked, header),
            evidence=_counted(pairs, column, "are a listed first and last name"),
            matched=pairs,
        )
    # Single words: many surnames are words, so that without a header nearly all of many values must be listed.
    if len(listed) >= (0.3 if header else 0.85) * checked and (header or checked >= 20):
        return _Verdict(
            pii="PERSON",
            confidence=_confidence(len(listed) / checked, header),
            evidence=_counted(listed, column, "are listed names"),
            matched=listed,
        )
    shaped = column.matching(lambda value: re.fullmatch(r"[^\W\d_][^\d_@/\\:;]{0,60}", value) is not None)
    if header and not column.repeats and len(shaped) >= 0.9 * checked:
        evidence = "the header speaks of names and the values are words; few of them are listed names"
        return _Verdict(pii="PERSON", confidence=0.5, evidence=evidence, matched=shaped)
    return None


def _identifier(column: _Column) -> _Verdict | None:
    values = column.values
    if column.speaks_of(COUNTED) or column.dtype_kind in "fMb":
        return None
    named = bool(column.header) and (
        column.header[-1] in ID or column.header[-1] in ID_ENDINGS or column.header[0] in {"id", "uuid", "guid"}
    )
    hexadecimal = column.matching(
        lambda value: re.fullmatch(r"\{?[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?|[0-9a-fA-F]{32,128}", value) is not None
    )
    if len(hexadecimal) >= 0.8 * len(values):
        return _Verdict(
            pii="ID", confidence=0.95, evidence=_counted(hexadecimal, column, "are UUIDs or hexadecimal digests"), matched=hexadecimal
        )
    coded = column.matching(
        lambda value: re.fullmatch(r"[\w./:#-]{1,64}", value) is not None and any(character.isdigit() for character in value)
    )
    # Dates are distinct where few people were born or served on one day; that makes them no key.
    if len(coded) < 0.9 * len(values) or len(column.matching(is_date)) >= 0.5 * len(values):
        return None
    if named and column.is_unique:
        return _Verdict(pii="ID", confidence=0.95, evidence="the header names a key and the values are unique", matched=coded)
    if named and column.distinct >= 20 and not column.repeats:
        return _Verdict(
            pii="ID", confidence=0.6, evidence="the header names a key; values repeat as in a reference to another table", matched=coded
        )
    if named and 0 < column.n < 20 and column.distinct == column.n:
        return _Verdict(
            pii="ID", confidence=0.6, evidence="the header names a key; there are too few rows to judge by values", matched=coded
        )
    # Short digits with a leading zero are postcodes rather than keys.
    lettered = column.matching(lambda value: not value.isdigit() or len(value) >= 8)
    if (
        column.is_unique
        and column.dtype_kind == "O"
        and not _is_number(column)
        and not column.speaks_of(PLACE)
        and len(lettered) >= 0.9 * len(values)
    ):
        return _Verdict(pii="ID", confidence=0.8, evidence="every value is a code that occurs once", matched=coded)
    if column.is_unique and _is_sequence(column):
        return _Verdict(pii="ID", confidence=0.8, evidence="the values number the rows", matched=coded)
    return None


def _is_sequence(column: _Column) -> bool:
    """True if unique whole numbers fill their range without gaps, as a row number does."""
    if not all(re.fullmatch(r"\d{1,18}", value) for value in column.values):
        return False
    numbers = [int(value) for value in column.values]
    # The range of a sample is nearly that of all: a sequence of d numbers spans no more than d.
    return max(numbers) - min(numbers) <= 1.02 * column.distinct


def _some_values(column: _Column) -> _Verdict | None:
    """A few cells of a type that does not occur by chance: the column is not of that type, but must not be modelled as it is."""
    for entity in ("EMAIL_ADDRESS", "IBAN_CODE"):
        matched = column.matching(WHOLE_CELL[entity])
        if matched:
            return _Verdict(
                pii=entity, confidence=0.5, evidence=_counted(matched, column, f"{_WHAT[entity]}; the others are not"), matched=matched
            )
    return None


def _sentences(column: _Column, language: str | None, ner: str | None) -> _Verdict | None:
    """Sentences that repeat like categories, if one of them holds somebody's data: "Spoke with Mrs. Berg about the fee."."""
    if column.dtype_kind != "O" or float(np.median([len(value.split()) for value in column.values])) < 4:
        return None
    found = _free_text(column, language, ner)
    return found if found and set(found.spans) & _OF_SOMEBODY else None


_OF_SOMEBODY = frozenset("PERSON EMAIL_ADDRESS PHONE_NUMBER IBAN_CODE CREDIT_CARD NATIONAL_ID STREET_ADDRESS USERNAME".split())


def _free_text(column: _Column, language: str | None, ner: str | None) -> _Verdict | None:
    texts = column.values
    if column.is_sampled:
        texts = texts[:: max(1, len(texts) // TEXTS_SEARCHED)][:TEXTS_SEARCHED]
    told = language_of(texts)
    wanted = language or told or "en"
    # Patterns of an unsupported language are those of English: e-mail addresses and IBANs look the same everywhere.
    supported = wanted if wanted in LANGUAGES else "en"
    model = None if ner == NONE else ner or ner_model(wanted)
    found = find(texts, language=supported, model=model or NONE)
    spans = dict(sorted(Counter(span.entity for row in found for span in row).items()))
    listed = ", ".join(f"{entity} {count}" for entity, count in spans.items()) or "none"
    evidence = f"running text; spans in {len(texts)} texts: {listed}; {_doubt(wanted, model, asked=language is not None, told=told)}"
    return _Verdict(
        pii="FREE_TEXT",
        confidence=0.9,
        evidence=evidence,
        matched=[text for text, row in zip(texts, found, strict=True) if row],
        kind="text",
        spans=spans,
        language=language or told,
        ner=model,
    )


def _doubt(language: str, model: str | None, *, asked: bool, told: str | None) -> str:
    """Who looked for names, and what that leaves out."""
    said = f"language {language}" if asked or told else "language not told, taken for English"
    if language not in LANGUAGES:
        said += ", which is not supported"
    if model is None:
        return f"{said}; no model for names looked, so that most names are not counted"
    return f"{said}; names were looked for with {model}"
