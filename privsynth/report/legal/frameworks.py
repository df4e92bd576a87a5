"""Frameworks of requirements as dated data files: one TOML file each, checked word by word.

They are drafts from public summaries until a person has compared them with the texts and filled in ``checked_on`` and ``checked_by``.
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from privsynth.errors import PlanError
from privsynth.report.legal.evidence import EVIDENCE

FRAMEWORKS = ("gdpr_wp29", "hipaa", "nist_800_226", "nist_800_188", "eu_ai_act", "iso_27559")
"""The shipped tables, in the order in which they are shown."""

Section = Literal[
    "Decision sheet",
    "Data and context",
    "Guarantee",
    "Attacker scenarios",
    "Results",
    "HIPAA identifiers",
    "Limits",
    "Provenance",
    "Governance",
    "Methods",
]
"""Sections of the report that a row may point to."""

SECTIONS: tuple[str, ...] = get_args(Section)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LegalSource(_Part):
    """A text that requirements were taken from."""

    title: str = Field(min_length=1)
    reference: str = Field(min_length=1)
    published: str = Field(pattern=r"^\d{4}(-\d{2}){0,2}$")


class Requirement(_Part):
    """One row: what is required, which evidence speaks to it, and what a person must attest."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    provision: str = Field(min_length=1)
    requirement: str = Field(min_length=1)
    evidence: list[str]
    where: Section
    attest: str = Field(min_length=1)

    @field_validator("evidence")
    @classmethod
    def _is_known(cls, names: list[str]) -> list[str]:
        if unknown := [name for name in names if name not in EVIDENCE]:
            raise ValueError(f"evidence {unknown[0]!r} is unknown; expected some of {', '.join(EVIDENCE)}")
        return names


class Framework(_Part):
    """One file: a framework, its sources and requirements, and who checked them when.

    ``checked_on`` (an ISO date) and ``checked_by`` are empty until a person has compared the file with the texts.
    """

    id: str
    title: str = Field(min_length=1)
    jurisdiction: str = Field(min_length=1)
    scope: str = Field(min_length=1)
    drafted_on: str
    checked_on: str
    checked_by: str
    sources: list[LegalSource] = Field(min_length=1)
    requirements: list[Requirement] = Field(min_length=1)

    @field_validator("drafted_on", "checked_on")
    @classmethod
    def _is_date(cls, value: str) -> str:
        if value:
            date.fromisoformat(value)
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if bool(self.checked_on) != bool(self.checked_by.strip()):
            raise ValueError("checked_on and checked_by belong together; expected both or neither")
        ids = [requirement.id for requirement in self.requirements]
        if len(set(ids)) < len(ids):
            raise ValueError("two requirements have the same id; expected distinct ids")
        return self


def load(path: Path) -> Framework:
    """Read one framework's file.

    Raises:
        PlanError: It cannot be read, has an unknown key, names unknown evidence, or its id is not its file's name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PlanError(f"legal table={str(path)!r} cannot be read ({error.strerror}); expected a TOML file") from None
    return _parsed(data, str(path), path.stem)


@lru_cache(maxsize=1)
def shipped() -> tuple[Framework, ...]:
    """The frameworks that come with privsynth."""
    folder = files("privsynth.report.legal")
    return tuple(_parsed(folder.joinpath(f"{name}.toml").read_bytes(), f"{name}.toml", name) for name in FRAMEWORKS)


def _parsed(data: bytes, name: str, stem: str) -> Framework:
    try:
        framework = Framework.model_validate(tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"legal table={name!r} is not valid TOML: {error}; correct this line") from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "table"
        raise PlanError(f"legal table={name!r}: key {place!r}: {fault['msg']}; start from a copy of the shipped table") from None
    if framework.id != stem:
        raise PlanError(f"legal table={name!r} has id={framework.id!r}; expected the file's name, {stem!r}")
    return framework
