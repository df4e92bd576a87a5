"""The text columns of a run: stripped of personal data, learned under the reservation, and written anew for each synthetic row.

One engine writes all text columns of a table. A person's texts are those of all their rows, each under a prompt that is the row as a
short line; where there are several text columns the line begins with the column's name. A missing text is an empty one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from privsynth import registry
from privsynth.config import Plan
from privsynth.dataset import Dataset
from privsynth.errors import PlanError
from privsynth.filters import Filter, TextRules, resample
from privsynth.privacy import Budget, Reservation
from privsynth.registry import hint
from privsynth.schema import ROW, Table

if TYPE_CHECKING:
    from privsynth.text.base import FittedText, TextRecords, TextSynthesizer

DROP = "drop"
NGRAM = "ngram"
EMBEDDED = "embedded"

PEOPLE_PER_STEP = 256
"""People that a step of training is expected to draw, unless the plan says otherwise."""

EPOCHS = 10
"""How often training is expected to draw each person, unless the plan says otherwise."""

FLOAT_NOTE = (
    "Noise of the language model's training is drawn in floating point and put on a grid (DP-SGD): the one exception to exact noise; "
    "what rounding could reveal beyond the guarantee is not bounded by a proof."
)

MAX_ATTEMPTS = 4
"""Texts that are drawn for one row at most."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class WrittenTexts:
    """How the texts of a release came about; functions of the fitted model and public rules alone.

    Attributes:
        engine: As the plan names it.
        columns: Text columns that were written.
        rows: Texts that were wanted.
        attempts: Texts that were drawn.
        missing: Rows without a text: every attempt was rejected.
        rejected: Texts that each public rule rejected.
    """

    engine: str
    columns: tuple[str, ...]
    rows: int
    attempts: int
    missing: int
    rejected: Mapping[str, int]

    def sentence(self) -> str:
        """The same for a reader of the report."""
        lost = f"; {self.missing} rows have none, because every attempt was rejected" if self.missing else ""
        return (
            f"Free text ({', '.join(self.columns)}) is written by the engine {self.engine!r}: "
            f"{self.attempts} texts drawn for {self.rows}, filtered by public rules{lost}."
        )


def text_columns(table: Table) -> tuple[str, ...]:
    """Columns of free text."""
    return tuple(column.name for column in table.columns if column.kind == "text" and column.pii is None)


def notes_of(plan: Plan, table: Table) -> tuple[str, ...]:
    """What a reader of the report has to know of the text engine."""
    return (FLOAT_NOTE,) if text_columns(table) and plan.synthesis.text not in (DROP, NGRAM) else ()


def engine_of(plan: Plan, table: Table) -> TextSynthesizer | None:
    """The text engine that the plan names, with the plan's settings; None if texts are dropped or there are none.

    Raises:
        PlanError: A setting is unknown, or the number of people, from which the sampling rate follows, is not declared.
    """
    columns, name = text_columns(table), plan.synthesis.text
    if name == DROP or not columns:
        return None
    most = table.max_rows_per_person * len(columns)
    settings = dict(plan.synthesis.text_settings)
    if name == NGRAM:
        registry.require("transformers")
        from privsynth.text.ngram import NGram

        return NGram(**_known(settings, NGram), max_texts_per_person=most)
    registry.require("torch")
    registry.require("peft")
    return _language_model(plan, settings, most)


def _language_model(plan: Plan, settings: dict[str, Any], max_texts_per_person: int) -> TextSynthesizer:
    from privsynth.text.adapter import LanguageModel
    from privsynth.text.lora import LoraSettings
    from privsynth.text.training import DPSGD, Speed

    own = {"people_per_step": PEOPLE_PER_STEP, "epochs": EPOCHS} | {
        key: settings.pop(key) for key in ("people_per_step", "epochs") if key in settings
    }
    parts: dict[str, dict[str, Any]] = {"training": {}, "lora": {}, "speed": {}}
    kinds: dict[str, type[Any]] = {"training": DPSGD, "lora": LoraSettings, "speed": Speed}
    for part, kind in kinds.items():
        for field in dataclasses.fields(kind):
            if field.name in settings and field.name not in ("sampling_prob", "steps", "max_texts_per_person"):
                value = settings.pop(field.name)
                parts[part][field.name] = tuple(value) if isinstance(value, list) else value
    if plan.dataset.people is None:
        raise PlanError(
            f"synthesis.text={plan.synthesis.text!r} needs people under [dataset]: the rate at which people are drawn is public; declare it"
        )
    trained_on = plan.dataset.people * (1 - plan.pool_rate / 2)
    rate = min(1.0, own["people_per_step"] / trained_on)
    training = DPSGD(
        sampling_prob=rate,
        steps=max(1, math.ceil(own["epochs"] / rate)),
        max_texts_per_person=max_texts_per_person,
        **parts["training"],
    )
    model = _model_name(plan)
    rest = _known(
        settings, LanguageModel, own=("people_per_step", "epochs", *(f.name for kind in kinds.values() for f in dataclasses.fields(kind)))
    )
    return LanguageModel(training=training, model=model, lora=LoraSettings(**parts["lora"]), speed=Speed(**parts["speed"]), **rest)


def _model_name(plan: Plan) -> str:
    """``embedded``, or the folder that the plan names; a name that is no folder stays as it is, for the message that refuses it."""
    folder = plan.path_of(plan.synthesis.text)
    return str(folder) if plan.synthesis.text != EMBEDDED and folder.is_dir() else plan.synthesis.text


def require_ready(plan: Plan, table: Table, *, people: int | None) -> tuple[str, ...]:
    """Refuse, before anything is spent, texts of too few people or a model that cannot be opened.

    Args:
        plan: The plan.
        table: The declared table.
        people: How many there are; None if that is not known.

    Returns:
        What a person should know before spending anything, in sentences; from the plan alone.

    Raises:
        PlanError: There are too few people, or the model folder is none, or reads too few tokens.
    """
    if engine_of(plan, table) is None:
        return ()
    from privsynth.text import advice
    from privsynth.text.folder import open_model, open_tokenizer

    if people is not None:
        advice.require_people(people, force=plan.synthesis.force_few_people)
    if plan.synthesis.text == NGRAM:
        open_tokenizer(str(plan.synthesis.text_settings.get("tokenizer", EMBEDDED)))
    else:
        open_tokenizer(_model_name(plan))
        context = getattr(open_model(_model_name(plan)).config, "max_position_embeddings", None)
        wanted = plan.synthesis.text_settings.get("max_tokens", 0)
        if context is not None and wanted > context:
            raise PlanError(f"max_tokens={wanted}; model {plan.synthesis.text!r} reads at most {context}: lower max_tokens")
    declared = plan.dataset.people
    if declared is None or math.isinf(plan.budget.epsilon):
        return ()
    return advice.advice(people=declared, epsilon=budget_of(plan).epsilon, engine=plan.synthesis.text)


def _known(settings: dict[str, Any], engine: type[Any], own: Sequence[str] = ()) -> dict[str, Any]:
    """The settings, lists as tuples, if the engine has fields of all these names."""
    hidden = ("training", "model", "lora", "speed", "max_texts_per_person", "sampling_prob", "steps")
    known = [name for name in (*(field.name for field in dataclasses.fields(engine)), *own) if name not in hidden]
    unknown = next((key for key in settings if key not in known), None)
    if unknown is not None:
        raise PlanError(f"synthesis.text_settings has {unknown!r}; expected some of {', '.join(known)}{hint(unknown, known)}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def budget_of(plan: Plan) -> Budget:
    """The part of the release's budget that the texts are given before all parts are solved together."""
    return Budget(epsilon=plan.budget.epsilon * plan.synthesis.text_share, delta=plan.budget.delta * plan.synthesis.text_share)


def records_of(plan: Plan, data: Dataset) -> TextRecords:
    """The texts of every person, stripped by the person's own rows and public lists alone, each under its row."""
    from privsynth.pii import slots
    from privsynth.text.base import TextRecords

    columns, table = text_columns(data.table), data.table
    people = np.tile(data.units(), len(columns))
    texts = [str(text) if isinstance(text, str) else "" for name in columns for text in data.frame[name]]
    stripped = slots.strip(texts, people=people.tolist(), known=_known_values(data), language=plan.pii.language, model=_name_model(plan))
    return TextRecords(prompts=tuple(prompts_of(plan, table, data.frame)), texts=stripped.texts, people=people)


def _name_model(plan: Plan) -> str | None:
    """Which model looks for names, as the detector takes it."""
    return "none" if plan.pii.ner == "none" else None


def _known_values(data: Dataset) -> dict[Any, dict[str, list[str]]]:
    """Personal values of each person's own rows by type, so that they are found wherever that person's texts hold them."""
    known: dict[Any, dict[str, list[str]]] = {}
    units = data.units()
    typed = [
        (column.name, column.pii or "ID")
        for column in data.table.columns
        if not column.is_modelled and (column.kind != "text" or column.pii)
    ]
    if data.schema.privacy_unit == ROW:
        typed = [(name, entity) for name, entity in typed if name != ROW]
    for name, entity in typed:
        for unit, value in zip(units, data.frame[name], strict=True):
            if value is not None and value == value:
                known.setdefault(unit, {}).setdefault(entity, []).append(str(value))
    return known


def prompts_of(plan: Plan, table: Table, frame: pd.DataFrame) -> list[str]:
    """The line before each text, text columns one after another; made of the columns that ``about`` names, or of all categories."""
    from privsynth.text.prompts import row_line

    columns = text_columns(table)
    prompts = []
    for name in columns:
        about = about_columns(plan, table, name)
        rows = frame[list(about)].to_dict("records") if about else [{} for _ in range(len(frame))]
        first = {"text": name} if len(columns) > 1 else {}
        prompts += [row_line({**first, **{str(key): value for key, value in row.items()}}) for row in rows]
    return prompts


def about_columns(plan: Plan, table: Table, name: str) -> tuple[str, ...]:
    """Columns of the row that a text is about, as the plan says, or every column of few public values."""
    declared = plan.tables[plan.table_name].columns[name].about
    modelled = [column.name for column in table.modelled]
    if declared is None:
        return tuple(column.name for column in table.modelled if column.kind in ("categorical", "boolean"))
    unknown = next((column for column in declared if column not in modelled), None)
    if unknown is not None:
        raise PlanError(f"column {name!r} is about {unknown!r}, which is not a modelled column; expected some of {', '.join(modelled)}")
    return declared


def fit(
    plan: Plan,
    engine: TextSynthesizer,
    train: Dataset,
    reservation: Reservation,
    *,
    checkpoint: Path,
    tell: Tell,
    warn: Callable[[str], None],
) -> FittedText:
    """Strip the texts of train and let the engine learn from them."""
    return engine.fit(
        records_of(plan, train),
        reservation=reservation,
        budget=budget_of(plan),
        checkpoint=checkpoint,
        progress=lambda what, done, total: tell(f"texts: {what}", done, total),
        warn=warn,
    )


def load(plan: Plan, folder: Path) -> FittedText:
    """The model that the plan's engine saved.

    Raises:
        SourceError: The folder holds none.
    """
    if plan.synthesis.text == NGRAM:
        from privsynth.text.ngram import NGramModel

        return NGramModel.load(folder)
    from privsynth.text.adapter import AdaptedModel

    return AdaptedModel.load(folder)


def write(
    plan: Plan, table: Table, model: FittedText, rows: pd.DataFrame, *, rng: np.random.Generator, tell: Tell
) -> tuple[pd.DataFrame, WrittenTexts]:
    """Text columns for synthetic rows.

    Args:
        plan: The plan.
        table: The declared table.
        model: What ``fit`` returned.
        rows: Synthetic rows, modelled and invented columns.
        rng: Sampling and invented values.
        tell: Told how many texts are finished.

    Returns:
        A frame with the text columns, and how they came about.
    """
    from privsynth.pii import find, slots

    columns = text_columns(table)
    prompts = prompts_of(plan, table, rows)
    context = rows.to_dict("records") * len(columns)
    personal: dict[str, Sequence[str]] = {}

    def draw(wanted: Sequence[int]) -> list[str]:
        drawn: dict[int, str] = {}
        for text in model.sample([prompts[position] for position in wanted], rng=rng):
            drawn[text.position] = text.text
            tell("texts: write", len(drawn), len(wanted))
        texts = [drawn[number] for number in range(len(wanted))]
        for drawn_text, spans in zip(texts, find(texts, language=plan.pii.language, model=_name_model(plan)), strict=True):
            personal[drawn_text] = [span.entity for span in spans if span.entity in _NEVER_WRITTEN]
        return texts

    nullable = all(table[name].nullable for name in columns)
    rules = TextRules(min_letters=0 if nullable else 1, forbid_slots=False).filters(lambda text: personal[text])
    unknown = Filter(reason="unknown slot", rejects=lambda text, row: bool(set(slots.SLOT.findall(text)) - set(slots.SLOTS)))
    kept = resample(
        draw, [{str(key): value for key, value in row.items()} for row in context], (*rules, unknown), max_attempts=MAX_ATTEMPTS
    )
    invented = {column.name: column.pii or "ID" for column in table.columns if not column.is_modelled and column.kind != "text"}
    filled: dict[str, list[str | None]] = {}
    for number, name in enumerate(columns):
        own = kept.texts[number * len(rows) : (number + 1) * len(rows)]
        texts = slots.fill([text or "" for text in own], rows, invented, rng=rng, locale=list(plan.pii.locale))
        filled[name] = [text or None for text in texts]
    written = WrittenTexts(
        engine=plan.synthesis.text,
        columns=columns,
        rows=len(prompts),
        attempts=kept.attempts,
        missing=sum(text is None for text in kept.texts),
        rejected=dict(kept.rejected),
    )
    return pd.DataFrame(filled, index=rows.index, dtype=object), written


_NEVER_WRITTEN = (
    "PERSON",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "IBAN_CODE",
    "NATIONAL_ID",
    "CREDIT_CARD",
    "IP_ADDRESS",
    "STREET_ADDRESS",
    "SECRET",
    "USERNAME",
)
"""Personal data that a model may only write as slots: found in the raw text, it rejects it."""
