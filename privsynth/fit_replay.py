"""Two fits of one engine to neighbouring public datasets on the same answers: what they ask, and where they differ.

An engine sees private data through its source of noise alone. So one fit is recorded, question by question, and its answers are replayed to
the dataset without one person: the same questions must follow, in the same order, of the same shape and with the same noise, and the
same model must come out. Whatever else differs has leaked past the noise; a bound read off the data does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset, conform
from privsynth.privacy import Budget, Ledger, NoiseSource, Reservation, Touch, calibrate
from privsynth.privacy.ledger import Population
from privsynth.schema import Column, Schema, Table
from privsynth.tabular.aim import Aim
from privsynth.tabular.base import ColumnReport, FittedModel, Synthesizer
from privsynth.tabular.copula import GaussianCopulaDP
from privsynth.tabular.tree import Tree

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

ROWS_PER_PERSON = 2
"""Limit of the public tables; the person whose absence is looked for has one row more."""

PEOPLE = 5000
"""Rows of the public table without that person."""


@contextmanager
def public_reservation(
    touches: Sequence[Touch], budget: Budget, *, noise: NoiseSource, noise_scale: float = 1.0, people: int = 10
) -> Iterator[Reservation]:
    """A real reservation in a ledger that is thrown away: the data are public."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.sqlite")
        population = Population(name="public", units=[str(unit) for unit in range(people)])
        with ledger.reserve(population, touches, budget=budget, noise_scale=noise_scale, noise=noise) as reservation:
            yield reservation


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a fit asked of its source of noise: exact values, and the scale of the noise they are to get."""

    kind: Literal["gaussian", "laplace", "choice"]
    values: FloatArray
    scale: tuple[float, ...]

    def fits(self, other: Question) -> bool:
        """Whether the other question differs in its exact values at most."""
        return self.kind == other.kind and self.values.shape == other.values.shape and self.scale == other.scale


class DifferentQuestionError(Exception):
    """The neighbouring dataset led to a question that the transcript does not hold."""


@dataclass
class Transcript:
    """A source of noise that remembers what it was asked; with ``answers`` it repeats them instead of asking ``noise``."""

    noise: NoiseSource
    expected: Sequence[tuple[Question, Any]] | None = None
    asked: list[tuple[Question, Any]] = field(default_factory=list)

    def discrete_gaussian(self, counts: IntArray, sigma: float) -> IntArray:
        """Noisy counts, new or recorded."""
        question = Question(kind="gaussian", values=np.asarray(counts, dtype=np.float64), scale=(sigma,))
        answer: IntArray = self._answer(question, lambda: self.noise.discrete_gaussian(counts, sigma))
        return answer

    def discrete_laplace(self, counts: IntArray, scale: float) -> IntArray:
        """Noisy counts, new or recorded."""
        question = Question(kind="laplace", values=np.asarray(counts, dtype=np.float64), scale=(scale,))
        answer: IntArray = self._answer(question, lambda: self.noise.discrete_laplace(counts, scale))
        return answer

    def noisy_max(self, scores: FloatArray, *, epsilon: float, sensitivity: float) -> int:
        """A choice, new or recorded."""
        question = Question(kind="choice", values=np.asarray(scores, dtype=np.float64), scale=(epsilon, sensitivity))
        choice: int = self._answer(question, lambda: self.noise.noisy_max(scores, epsilon=epsilon, sensitivity=sensitivity))
        return choice

    def coins(self, n: int, rate: float) -> BoolArray:
        """Coins choose among a person's rows, which are alike here: they need no replay."""
        return self.noise.coins(n, rate)

    def normals(self, n: int) -> FloatArray:
        """Noise of DP-SGD, which no table engine asks for: passed on."""
        return self.noise.normals(n)

    def _answer(self, question: Question, ask: Callable[[], Any]) -> Any:
        if self.expected is None:
            answer = ask()
        else:
            position = len(self.asked)
            if position >= len(self.expected) or not question.fits(self.expected[position][0]):
                raise DifferentQuestionError
            answer = self.expected[position][1]
        self.asked.append((question, answer))
        return answer


Asked = Sequence[tuple[Question, Any]]
"""Questions and their answers, in order."""


def replayed_fit(engine: Synthesizer, budget: Budget, *, noise: NoiseSource) -> tuple[Asked, Asked, list[str]]:
    """What the engine asked with the person, what it asked without on the same answers, and how the two runs differ."""
    with_person, without = _neighbours()
    table = with_person.table
    scale = calibrate(lambda noise_scale: engine.touches(table, noise_scale=noise_scale, budget=budget), budget)
    touches = engine.touches(table, noise_scale=scale, budget=budget)

    def fit(train: Dataset, source: Transcript) -> FittedModel:
        people = train.count_units()
        with public_reservation(touches, budget, noise=source, noise_scale=scale, people=people) as reservation:
            return engine.fit(train, reservation=reservation)

    recorded = Transcript(noise)
    model = fit(with_person, recorded)
    replayed = Transcript(noise, expected=recorded.asked)
    try:
        found = _differences(model, fit(without, replayed))
        if len(replayed.asked) < len(recorded.asked):
            found = [*found, f"{len(recorded.asked) - len(replayed.asked)} questions less"]
        found += _beyond_sensitivity(recorded.asked, replayed.asked)
    except DifferentQuestionError:
        found = [f"question {len(replayed.asked) + 1} of {len(recorded.asked)}"]
    return recorded.asked, replayed.asked, found


ENGINES: Mapping[str, Callable[[], Synthesizer]] = {"tree": Tree, "AIM": Aim, "copula": GaussianCopulaDP}
"""Every table engine with a guarantee."""


def _neighbours() -> tuple[Dataset, Dataset]:
    """A public table with one column of each kind of fact, with and without its most exposed person.

    That person is far out in every column at once, which moves products of scores (the copula's measurement) most.
    """
    rows = np.arange(PEOPLE)
    others = pd.DataFrame(
        {
            "person": [f"P{row}" for row in rows],
            "amount": rows % 1000,
            "segment": np.array([*"aaaaaaaaaa", "b", "c"], dtype=object)[rows % 12],
            "active": rows % 12 > 10,
        }
    )
    person = pd.DataFrame({"person": ["Q"] * (ROWS_PER_PERSON + 1), "amount": 10**6, "segment": "c", "active": True})
    columns = (
        Column(name="person", kind="identifier"),
        Column(name="amount", kind="integer"),  # bounds are bought
        Column(name="segment", kind="categorical"),  # categories are bought
        Column(name="active", kind="boolean", nullable=False),
    )
    table = Table(name="public", columns=columns, max_rows_per_person=ROWS_PER_PERSON)
    schema = Schema(tables=(table,), privacy_unit="person")
    with_person, without = (
        Dataset(tables={"public": conform(frame.astype({"amount": object}), schema, table)[0]}, schema=schema, role="train")
        for frame in (pd.concat([others, person], ignore_index=True), others)
    )
    return with_person, without


def _differences(ours: Any, theirs: Any, place: str = "model") -> list[str]:
    """Where two models of the same answers differ, part by part; the exact counts of their reports are internal and may."""
    if isinstance(ours, ColumnReport):
        return [] if ours.public() == theirs.public() else [f"{place} (public)"]
    if type(ours) is not type(theirs):
        return [place]
    if is_dataclass(ours):
        parts = {one.name: (getattr(ours, one.name), getattr(theirs, one.name)) for one in fields(ours)}
    elif isinstance(ours, Mapping):
        if ours.keys() != theirs.keys():
            return [place]
        parts = {str(key): (ours[key], theirs[key]) for key in ours}
    elif isinstance(ours, (tuple, list)):
        if len(ours) != len(theirs):
            return [place]
        parts = {str(position): pair for position, pair in enumerate(zip(ours, theirs, strict=True))}
    else:
        same = np.array_equal(ours, theirs) if isinstance(ours, np.ndarray) else ours == theirs
        return [] if same else [place]
    return [found for name, pair in parts.items() for found in _differences(*pair, f"{place}.{name}")]


def _beyond_sensitivity(asked: Asked, neighbours: Asked) -> list[str]:
    """Choices whose scores one person moves by more than the sensitivity that they were asked with."""
    return [
        f"sensitivity of question {number + 1}"
        for number, ((ours, _), (theirs, _)) in enumerate(zip(asked, neighbours, strict=False))
        if ours.kind == "choice" and np.abs(ours.values - theirs.values).max() > ours.scale[1] * (1 + 1e-9)
    ]
