"""The plan: one TOML file, checked word by word, as one frozen value.

Everything a person decides stands in the plan before a run: kinds and public facts of the columns, which columns are
personal data, the budget, the engine, the audits, the release. ``epsilon``, ``delta`` and ``privacy_unit``
have no default. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from privsynth.errors import PlanError, PrivSynthError
from privsynth.privacy.events import Budget
from privsynth.registry import hint
from privsynth.schema import SECONDS, Column, Constraint, ConstraintKind, Kind, Resolution, Schema, Source, Table, seconds_since_epoch

NOT_PERSONAL = "none"
"""``pii = "none"``: a person looked at the column and says it holds no personal data."""

DEFAULT_DECIMAL_STEP = 0.01

_LAST_OF_DAY = {"day": time.min, "hour": time(23), "minute": time(23, 59), "second": time(23, 59, 59)}


Strings = Annotated[tuple[str, ...], Strict(False)]
"""TOML has lists; a plan is frozen."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DatasetSection(_Section):
    """``[dataset]``: whose data it is.

    ``confirmed = false`` (a fresh draft of ``privsynth init``) means that nobody looked at the proposals yet:
    every fact of the columns then has source ``data``, which no finite epsilon pays for.
    """

    name: str = Field(min_length=1)
    privacy_unit: str
    people: int | None = Field(default=None, gt=0)
    confirmed: bool = True
    distinct_from: Strings = ()


class ColumnSection(_Section):
    """One entry of ``[tables.NAME.columns]``: the public facts of a column."""

    kind: Kind | Literal["drop"] = "identifier"
    bounds: Annotated[tuple[Any, Any], Strict(False)] | None = None
    categories: Strings | None = None
    step: float | Resolution | None = None
    zone: str | None = None
    point_masses: Annotated[tuple[float, ...], Strict(False)] = ()
    prefix: Annotated[tuple[int, ...], Strict(False)] = ()
    nullable: bool = True
    pii: str | None = None
    determines: dict[str, str] = Field(default_factory=dict)
    about: Strings | None = None
    quasi_identifier: bool = False
    secret: bool = False
    reference: str | None = None


class ConstraintSection(_Section):
    """One entry of ``constraints`` of a table: a public fact about several columns of one row."""

    kind: ConstraintKind
    columns: Strings
    combinations: Annotated[tuple[tuple[str, ...], ...], Strict(False)] | None = None
    file: str | None = None
    total: str | None = None
    allow_none: bool = False
    reference: str | None = None


class TableSection(_Section):
    """``[tables.NAME]``: a file and how to read it."""

    path: str
    target: str | None = None
    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    null_values: Strings = ()
    on_violation: Literal["stop", "clip"] = "stop"
    max_rows_per_person: int = Field(default=1, ge=1)
    constraints: Annotated[tuple[ConstraintSection, ...], Strict(False)] = ()
    columns: dict[str, ColumnSection]


class PrivacySection(_Section):
    """``[privacy]``: what this release may cost."""

    epsilon: float
    delta: float


class PIISection(_Section):
    """``[pii]``: how personal data are looked for, and of what kind the invented people are.

    ``ner = "none"`` accepts that no model looks for names in free text: most of them are then missed, and the report says so first.
    """

    ner: Literal["auto", "none"] = "auto"
    language: str = "en"
    locale: Strings = ("en_US",)


class SynthesisSection(_Section):
    """``[synthesis]``: which engines make how many rows.

    ``text`` is ``drop``, ``ngram``, ``embedded`` or a folder with a language model; texts get ``text_share`` of the budget.
    ``force_few_people`` models the texts of fewer than a thousand people, which teaches a model next to nothing.
    """

    tables: str = "tree"
    text: str = "drop"
    text_share: float = Field(default=0.5, gt=0, lt=1)
    force_few_people: bool = False
    rows: int = Field(ge=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    text_settings: dict[str, Any] = Field(default_factory=dict)


class AuditSection(_Section):
    """``[audit]``: what is attacked, and with which split.

    ``earlier_release`` is a released table of the same people, which an attacker may hold too; ``evaluation`` are tables on which models
    trained on the release will be scored, and which it should not contain.
    """

    secrets: Strings = ()
    pool_rate: float | None = Field(default=None, gt=0, le=1)
    policy: str | None = None
    earlier_release: str | None = None
    evaluation: Strings = ()


class ReleaseSection(_Section):
    """``[release]``: where the release goes, to whom, and how it is marked and signed.

    ``marker_column`` names a column that marks every row as synthetic. With ``sign_key``, a private key, the release is signed as it is
    written; ``sign_passphrase_file`` holds the passphrase of that key.
    """

    folder: str
    purpose: str = "not stated"
    recipient: str = "not stated"
    sensitivity: Literal["low", "medium", "high"] = "high"
    expires: date | None = None
    format: Literal["csv", "parquet", "xlsx"] = "csv"
    publisher: str = "not stated"
    license: str = "not stated"
    marker_column: str | None = Field(default=None, min_length=1)
    sign_key: str | None = None
    sign_passphrase_file: str | None = None


class Plan(_Section):
    """A whole plan; paths are relative to ``base``, the folder of the TOML file."""

    dataset: DatasetSection
    tables: dict[str, TableSection]
    privacy: PrivacySection
    pii: PIISection = PIISection()
    synthesis: SynthesisSection
    audit: AuditSection = AuditSection()
    release: ReleaseSection
    base: Path = Path()

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan.

        Raises:
            PlanError: The file is not there, is not TOML, or a key is unknown, missing or wrong.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise PlanError(f"plan={str(path)!r} is not there; write one with: privsynth init DATA") from None
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"plan={str(path)!r} cannot be read ({type(error).__name__}); expected a TOML file in UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"plan={str(path)!r} is not valid TOML: {error}; correct this line") from None
        return cls.from_dict(values, base=path.resolve().parent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, base: Path = Path()) -> Self:
        """A plan from the TOML file's values.

        Raises:
            PlanError: A key is unknown, missing or wrong.
        """
        if "base" in values:
            raise PlanError(f"key 'base' of the plan is unknown; expected one of {', '.join(_keys_at(()))}")
        try:
            plan = cls.model_validate({**values, "base": base})
        except ValidationError as error:
            raise PlanError(_first_fault(error)) from None
        _ = plan.budget
        plan._check_tables()
        return plan

    @property
    def budget(self) -> Budget:
        """What this release may cost."""
        return Budget(epsilon=self.privacy.epsilon, delta=self.privacy.delta)

    @property
    def table_name(self) -> str:
        """The name of the only table."""
        return next(iter(self.tables))

    @property
    def pool_rate(self) -> float:
        """Rate of the audit pool's coin: a public number, from the declared number of people if there is one."""
        if self.audit.pool_rate is not None:
            return self.audit.pool_rate
        return 0.5 if self.dataset.people is not None and self.dataset.people < 10_000 else 0.4

    @property
    def confirmed_not_personal(self) -> frozenset[str]:
        """Columns of which a person said that they hold no personal data."""
        return frozenset(name for table in self.tables.values() for name, column in table.columns.items() if column.pii == NOT_PERSONAL)

    def path_of(self, name: str) -> Path:
        """Where a path written in the plan points to."""
        return self.base / name

    def declared_schema(self) -> Schema:
        """The declared schema; public maps are read from their files.

        Raises:
            PlanError: A fact is wrong, or a map cannot be read.
        """
        tables = []
        for name, section in self.tables.items():
            columns = tuple(self._column(label, column) for label, column in section.columns.items() if column.kind != "drop")
            dropped = tuple(label for label, column in section.columns.items() if column.kind == "drop")
            tables.append(
                Table(
                    name=name,
                    columns=columns,
                    target=section.target,
                    max_rows_per_person=section.max_rows_per_person,
                    dropped=dropped,
                    constraints=tuple(self._constraint(constraint) for constraint in section.constraints),
                )
            )
        return Schema(tables=tuple(tables), privacy_unit=self.dataset.privacy_unit)

    def _check_tables(self) -> None:
        if len(self.tables) != 1:
            raise PlanError(
                f"tables={len(self.tables)}; a plan takes one table for now: related tables are not supported yet, release them one by one"
            )
        secrets = [name for name in self.audit.secrets if name not in self.tables[self.table_name].columns]
        if secrets:
            raise PlanError(
                f"audit.secrets names {secrets[0]!r}, which is not a column{hint(secrets[0], self.tables[self.table_name].columns)}"
            )
        if self.release.marker_column in self.tables[self.table_name].columns:
            raise PlanError(f"release.marker_column={self.release.marker_column!r} is a column of the table; expected a name that is free")
        if self.release.sign_passphrase_file is not None and self.release.sign_key is None:
            raise PlanError("release.sign_passphrase_file is there without release.sign_key; expected the key that it opens")
        try:
            self.declared_schema()
        except PlanError:
            raise
        except PrivSynthError as error:
            raise PlanError(str(error)) from None

    def _column(self, name: str, section: ColumnSection) -> Column:
        kind = section.kind
        if kind == "drop":
            raise PlanError(f"column {name!r} is dropped and has no facts")
        if section.about is not None and kind != "text":
            raise PlanError(f'about={list(section.about)!r} of column {name!r}; expected on a column of kind = "text" only')
        sources: dict[str, Source] = dict.fromkeys(section.model_fields_set, "declared" if self.dataset.confirmed else "data")
        maps = {target: self._public_map(name, target, file) for target, file in section.determines.items()}
        if maps:
            sources |= dict.fromkeys(["determines"] if section.categories else ["determines", "categories"], "public")
        return Column(
            name=name,
            kind=kind,
            bounds=self._bounds(name, section),
            categories=section.categories or _keys_of(maps, section.kind),
            step=_step(name, section),
            zone=section.zone,
            point_masses=section.point_masses,
            prefix=section.prefix,
            nullable=section.nullable,
            pii=None if section.pii == NOT_PERSONAL else section.pii,
            determines=maps,
            quasi_identifier=section.quasi_identifier,
            secret=section.secret or name in self.audit.secrets,
            reference=section.reference,
            sources=sources,
        )

    def _bounds(self, name: str, section: ColumnSection) -> tuple[float, float] | None:
        if section.bounds is None:
            return None
        bounds: list[float] = []
        for position, value in enumerate(section.bounds):
            if section.kind == "datetime" and isinstance(value, date):
                # a date as upper bound means the whole day, up to its last value on the grid
                clock = time.min if position == 0 else _LAST_OF_DAY[section.step if isinstance(section.step, str) else "day"]
                moment = value if isinstance(value, datetime) else datetime.combine(value, clock)
                bounds.append(seconds_since_epoch(moment, section.zone))
            elif section.kind != "datetime" and isinstance(value, int | float) and not isinstance(value, bool):
                # an integer stays one: beyond 2**53 a float is another number
                bounds.append(value if section.kind == "integer" else float(value))
            else:
                expected = "two dates such as 2001-01-31" if section.kind == "datetime" else "two numbers"
                raise PlanError(f"bounds={list(section.bounds)!r} of column {name!r}; expected {expected}")
        return bounds[0], bounds[1]

    def _constraint(self, section: ConstraintSection) -> Constraint:
        if section.file is not None and section.combinations is not None:
            raise PlanError(f"constraint on {', '.join(section.columns)} has combinations and a file; expected one of them")
        combinations = section.combinations if section.file is None else self._public_combinations(section.columns, section.file)
        return Constraint(
            kind=section.kind,
            columns=section.columns,
            combinations=None if combinations is None else tuple(tuple(value or None for value in row) for row in combinations),
            total=section.total,
            allow_none=section.allow_none,
        )

    def _public_combinations(self, columns: Sequence[str], file: str) -> tuple[tuple[str, ...], ...]:
        """The distinct tuples of these columns in a public CSV file."""
        path = self.path_of(file)
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                rows = list(csv.DictReader(lines))
        except (OSError, UnicodeDecodeError, csv.Error):
            raise PlanError(f"file={str(path)!r} of a constraint cannot be read; expected a CSV file with {', '.join(columns)}") from None
        if not rows or any(row.get(name) is None for row in rows for name in columns):
            raise PlanError(f"file={str(path)!r} of a constraint lacks a column or cells; expected a CSV file with {', '.join(columns)}")
        return tuple(dict.fromkeys(tuple(row[name] for name in columns) for row in rows))

    def _public_map(self, source: str, target: str, file: str) -> dict[str, str]:
        """The public map ``source`` -> ``target`` from a CSV file with both columns."""
        path = self.path_of(file)
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                rows = list(csv.DictReader(lines))
        except (OSError, UnicodeDecodeError, csv.Error):
            raise PlanError(
                f"map={str(path)!r} ({source} -> {target}) cannot be read; expected a CSV file with these two columns"
            ) from None
        if not rows or source not in rows[0] or target not in rows[0]:
            raise PlanError(f"map={str(path)!r} lacks column {source!r} or {target!r}; expected a CSV file with both")
        if any(not row[source] or not row[target] for row in rows):
            raise PlanError(f"map={str(path)!r} has a row without a value of {source!r} or {target!r}; expected both in every row")
        pairs: dict[str, str] = {}
        for row in rows:
            if pairs.setdefault(row[source], row[target]) != row[target]:
                raise PlanError(f"map={str(path)!r} gives two values of {target!r} for {source}={row[source]!r}; expected one")
        return pairs


def _keys_of(maps: Mapping[str, Mapping[str, str]], kind: str) -> tuple[str, ...] | None:
    """The categories that public maps imply: a value without an entry would determine nothing."""
    return tuple(next(iter(maps.values()))) if maps and kind == "categorical" else None


def _step(name: str, section: ColumnSection) -> float:
    if section.kind == "datetime":
        resolution = "day" if section.step is None else section.step
        if resolution not in SECONDS:
            raise PlanError(f"step={resolution!r} of column {name!r}; expected one of {', '.join(SECONDS)}")
        return float(SECONDS[str(resolution)])
    if isinstance(section.step, str):
        raise PlanError(f"step={section.step!r} of column {name!r}; expected a number, for example 0.01")
    if section.step is not None:
        return section.step
    return DEFAULT_DECIMAL_STEP if section.kind == "decimal" else 1.0


def _first_fault(error: ValidationError) -> str:
    """The first thing wrong with a plan, in one line."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    key = str(fault["loc"][-1]) if fault["loc"] else "plan"
    if fault["type"] == "extra_forbidden":
        known = _keys_at(fault["loc"][:-1])
        return f"key {place!r} of the plan is unknown; expected one of {', '.join(known)}{hint(key, known)}"
    if fault["type"] == "missing":
        return f"key {place!r} is missing from the plan; it has no default: write it"
    choices = _choices(fault["loc"])
    if choices:
        expected, words = choices
        place = ".".join(str(part) for part in fault["loc"][:5])  # beyond it pydantic names the type that it tried
        return f"{place}={fault['input']!r} in the plan; expected {expected}{hint(str(fault['input']), words)}"
    return f"{place}={fault['input']!r} in the plan: {fault['msg'][0].lower()}{fault['msg'][1:]}; correct this key"


def _choices(place: tuple[int | str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """For a key that takes one of several types, which pydantic would name: what it expects, and the words it knows."""
    key = place[4] if place[:1] == ("tables",) and len(place) > 4 else None
    if key == "kind":
        words = (*get_args(Kind), "drop")
        return f"one of {', '.join(words)}", words
    if key == "step":
        return f"a number, or one of {', '.join(SECONDS)}", tuple(SECONDS)
    return None


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The known keys of the section at this place of a plan."""
    section: type[BaseModel] = Plan
    if place[:1] == ("tables",):
        section = ColumnSection if "columns" in place[2:] else ConstraintSection if "constraints" in place[2:] else TableSection
    elif place:
        annotation = Plan.model_fields[str(place[0])].annotation
        assert isinstance(annotation, type)
        section = annotation
    return [key for key in section.model_fields if key != "base"]
