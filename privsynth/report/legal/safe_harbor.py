"""The 18 identifiers of HIPAA's Safe Harbor (45 CFR 164.514(b)(2)(i), A to R), each with what the plan's columns say about it.

The status comes from declared facts alone: types of personal data and kinds of columns. It says what was done, and where a person
has to look; a column's name proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["invented", "open", "not declared", "not present"]
"""``invented``: columns declared so were never modelled. ``open``: modelled or released columns may hold it, a person must look.
``not declared``: no column was declared so. ``not present``: no column of a release can hold it."""


@dataclass(frozen=True, kw_only=True)
class _Identifier:
    letter: str
    name: str
    types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """Kinds of modelled columns that may hold it whatever they are called."""
    is_media: bool = False
    takes_any_number: bool = False
    """Whether identifiers of no declared type are of this kind."""


_IDENTIFIERS = (
    _Identifier(letter="A", name="Names", types=("PERSON",)),
    _Identifier(
        letter="B",
        name="Geographic subdivisions smaller than a state; the first three digits of a ZIP code only where more than 20,000 people live",
        types=("STREET_ADDRESS",),
        kinds=("categorical",),
    ),
    _Identifier(
        letter="C",
        name="Dates directly related to an individual, except the year; all ages over 89",
        types=("DATE_OF_BIRTH",),
        kinds=("datetime", "integer"),
    ),
    _Identifier(letter="D", name="Telephone numbers", types=("PHONE_NUMBER",)),
    _Identifier(letter="E", name="Fax numbers", types=("PHONE_NUMBER",)),
    _Identifier(letter="F", name="E-mail addresses", types=("EMAIL_ADDRESS",)),
    _Identifier(letter="G", name="Social security numbers", types=("NATIONAL_ID",)),
    _Identifier(letter="H", name="Medical record numbers"),
    _Identifier(letter="I", name="Health plan beneficiary numbers"),
    _Identifier(letter="J", name="Account numbers", types=("IBAN_CODE", "CREDIT_CARD")),
    _Identifier(letter="K", name="Certificate and licence numbers"),
    _Identifier(letter="L", name="Vehicle identifiers and serial numbers, licence plates"),
    _Identifier(letter="M", name="Device identifiers and serial numbers"),
    _Identifier(letter="N", name="Web addresses (URLs)", types=("URL",)),
    _Identifier(letter="O", name="IP addresses", types=("IP_ADDRESS",)),
    _Identifier(letter="P", name="Biometric identifiers, finger and voice prints", is_media=True),
    _Identifier(letter="Q", name="Full-face photographs and comparable images", is_media=True),
    _Identifier(
        letter="R", name="Any other unique identifying number, characteristic or code", types=("USERNAME", "ID"), takes_any_number=True
    ),
)


def identifiers(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each identifier: ``letter``, ``identifier``, ``status``, ``columns``, ``explanation``."""
    return [_row(identifier, summary["columns"]) for identifier in _IDENTIFIERS]


def is_modelled(column: Mapping[str, Any]) -> bool:
    """Whether a column of the report's dict was shown to a model and is in the release."""
    return is_released(column) and column["pii"] is None and column["kind"] != "identifier"


def is_released(column: Mapping[str, Any]) -> bool:
    """Whether a column of the report's dict is in the release at all."""
    return not column["fate"].startswith("left out")


def _row(identifier: _Identifier, columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    released = [column for column in columns if is_released(column)]
    texts = [column["name"] for column in released if column["kind"] == "text" and column["pii"] is None]
    doubtful = [column["name"] for column in released if is_modelled(column) and column["kind"] in identifier.kinds]
    # An identifier without a type is numbered anew; which of the lettered numbers it was, nobody declared.
    numbered = [column["name"] for column in released if column["kind"] == "identifier" and column["pii"] in (None, "ID")]
    declared = [
        column["name"]
        for column in released
        if column["pii"] in identifier.types or (identifier.takes_any_number and column["name"] in numbered)
    ]
    status, named, explanation = _judged(identifier, texts, doubtful, declared, numbered)
    return {"letter": identifier.letter, "identifier": identifier.name, "status": status, "columns": named, "explanation": explanation}


def _judged(
    identifier: _Identifier, texts: list[str], doubtful: list[str], declared: list[str], numbered: list[str]
) -> tuple[Status, list[str], str]:
    if texts:
        return "open", [*declared, *doubtful, *texts], "Free text is released: a person must read a sample of it."
    if doubtful:
        return (
            "open",
            [*declared, *doubtful],
            "These columns are modelled, or of a kind that may hold it: a person must say whether they do.",
        )
    if declared:
        return "invented", declared, "No model saw these columns; their values were invented."
    if identifier.is_media:
        return "not present", [], "A release holds numbers, dates, categories and short codes; no images or recordings."
    if identifier.types:
        return "not declared", [], "No column was declared so: a person must say that no modelled column holds it."
    return (
        "not declared",
        numbered,
        "The columns named here, if any, are identifiers of no declared type, never modelled and numbered anew. "
        "A person must say that no modelled column holds it.",
    )
