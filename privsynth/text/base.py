"""What every text engine offers, and the records that it is fitted to.

An engine is a frozen value of its own settings. As for tables, it first lists the mechanisms that it will run (``touches``) from public
facts alone; the list is reserved in the ledger, and ``fit`` takes each touch before its mechanism runs. A text is written in the
light of its prompt: the columns of its row as a short line, which for the release come from a synthetic row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from privsynth.errors import SchemaError
from privsynth.privacy import Budget, Ledger, NoiseSource, Reservation, Touch, calibrate
from privsynth.privacy.ledger import Population

IntArray = npt.NDArray[np.int64]

STAGE = "text"
"""Stage name of every touch of this room."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many of how many steps are finished: nothing that depends on the data."""


@dataclass(frozen=True, kw_only=True)
class TextRecords:
    """Texts of people, stripped of personal data: slots stand for it.

    Attributes:
        prompts: The line before each text, "" for none, length n.
        texts: Length n; a text may be empty.
        people: The person behind each text, shape (n,).
        labels: The public label of each text, length n; None if texts have none.
    """

    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    people: npt.NDArray[np.object_]
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse parts of different lengths, and no text at all."""
        lengths = {len(self.prompts), len(self.texts), len(self.people), len(self.texts if self.labels is None else self.labels)}
        if len(lengths) != 1:
            raise SchemaError(f"prompts, texts, people and labels have lengths {sorted(lengths)}; expected one each per text")
        if not self.texts:
            raise SchemaError("there is no text to learn from; expected at least one")

    def select(self, keep: IntArray) -> TextRecords:
        """The records at these positions."""
        return TextRecords(
            prompts=tuple(self.prompts[i] for i in keep),
            texts=tuple(self.texts[i] for i in keep),
            people=self.people[keep],
            labels=None if self.labels is None else tuple(self.labels[i] for i in keep),
        )

    def persons(self) -> IntArray:
        """Number of the person behind each text, from 0, shape (n,)."""
        return np.unique(self.people.astype(str), return_inverse=True)[1].astype(np.int64)


def random_order(n: int, *, noise: NoiseSource) -> IntArray:
    """An order of n things by coins of the guarantee's source: 64 coins each, ties are rarer than faults of the machine."""
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    bits = noise.coins(64 * n, 0.5).reshape(n, 64).astype(np.uint64)
    return np.argsort((bits * weights).sum(axis=1), kind="stable").astype(np.int64)


def limit_per_group(groups: IntArray, limit: int, *, noise: NoiseSource) -> IntArray:
    """Positions of at most ``limit`` members of each group, increasing; chosen by coins, for each group on its own.

    Args:
        groups: Group of each member, shape (n,).
        limit: At least 1.
        noise: Where the coins come from.
    """
    over = np.flatnonzero(np.bincount(groups, minlength=1)[groups] > limit)
    order = over[random_order(len(over), noise=noise)]
    order = order[np.argsort(groups[order], kind="stable")]
    ranked = groups[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.r_[starts, len(ranked)]))
    keep = np.ones(len(groups), dtype=bool)
    keep[order[rank >= limit]] = False
    return np.flatnonzero(keep)


@dataclass(frozen=True, kw_only=True)
class SampledText:
    """A synthetic text.

    Attributes:
        position: Of its prompt.
        text: With slots.
        finished: False if the longest length came before the text's end.
    """

    position: int
    text: str
    finished: bool


class FittedText(Protocol):
    """A fitted engine: everything it holds is an output of reserved mechanisms, or public."""

    def sample(self, prompts: Sequence[str], *, rng: np.random.Generator, labels: Sequence[str] | None = None) -> Iterator[SampledText]:
        """One text for each prompt, in the order in which they are finished.

        Args:
            prompts: Lines made of synthetic or public rows.
            rng: Where sampling draws from.
            labels: One for each prompt, for engines that are conditional on a label; ignored by others.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the model without pickle."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote."""
        ...


class TextSynthesizer(Protocol):
    """A text engine before it has seen data."""

    def touches(self, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """Every mechanism that ``fit`` may run, in order; depends on public facts only.

        Args:
            noise_scale: All noise grows in proportion to it; at 1 the stage alone costs about ``budget``, never more.
            budget: This stage's part of the release's budget.
        """
        ...

    def fit(
        self,
        train: TextRecords,
        *,
        reservation: Reservation,
        budget: Budget,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> FittedText:
        """Measure and train; takes every touch from the reservation before its mechanism runs.

        Args:
            train: The texts.
            reservation: What was paid for.
            budget: As given to ``touches``.
            checkpoint: A file that holds the state of training between steps; training goes on from one that is there.
            progress: Told as work moves on.
            warn: Told what a person should know, such as a microbatch that was halved.
        """
        ...


def fit(
    engine: TextSynthesizer,
    train: TextRecords,
    *,
    budget: Budget,
    ledger: Ledger,
    population: Population,
    noise: NoiseSource | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> FittedText:
    """Fit an engine to texts alone and write the cost into the ledger; beside a table the pipeline reserves both together.

    Args:
        engine: Its settings.
        train: The texts of people who are trained on.
        budget: What this release may cost.
        ledger: Where the cost is reserved before anything is read.
        population: Whose texts they are.
        noise: Where noise comes from; the operating system by default, a fake only in tests.
        checkpoint: As in ``TextSynthesizer.fit``.
        progress: As in ``TextSynthesizer.fit``.
        warn: As in ``TextSynthesizer.fit``.

    Raises:
        BudgetExceededError: The population's cap, or the budget itself, cannot pay for the plan.
    """
    scale = 1.0
    if math.isfinite(budget.epsilon):
        scale = calibrate(lambda noise_scale: engine.touches(noise_scale=noise_scale, budget=budget), budget)
    touches = engine.touches(noise_scale=scale, budget=budget)
    with ledger.reserve(population, touches, budget=budget, noise_scale=scale, noise=noise) as reservation:
        return engine.fit(train, reservation=reservation, budget=budget, checkpoint=checkpoint, progress=progress, warn=warn)
