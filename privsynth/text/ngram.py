"""The n-gram engine: noisy counts of short word sequences, seconds to fit, the baseline that a trained model has to beat.

Every text is a walk through counts: the next token is drawn from what followed the last two tokens in enough people's texts, backing off to
what followed the last one, and to single tokens. Counts are differentially private (``counts.py``): single tokens over the public
vocabulary, longer keys by partition selection, each order with a delta of its own.

A label enters by Bayes' rule under the assumption that it depends on the next token alone:
p(w | context, label) is proportional to p(w | context) p(w | label) / p(w). So one more table, of tokens by label, conditions every order.
Prompts are ignored: counts of a whole row's values would be a selection for each value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.errors import PlanError, SourceError
from privsynth.privacy import (
    Budget,
    DiscreteGaussian,
    GaussianPartitionSelection,
    NonPrivate,
    Reservation,
    Touch,
    calibrate,
)
from privsynth.text.base import STAGE, IntArray, Progress, SampledText, TextRecords, limit_per_group
from privsynth.text.counts import Counts, selected_counts, token_counts, token_shares
from privsynth.text.folder import open_tokenizer

FloatArray = npt.NDArray[np.float64]

FORMAT = 1

SELECTION_DELTA_SHARE = 0.5
"""Part of the stage's delta that all its selections share."""

SMALLEST_BACKOFF = 0.02
"""Least probability of leaving the keys that were shown: what was not shown must stay possible."""


@dataclass(frozen=True, kw_only=True)
class NGram:
    """Settings of the engine.

    Attributes:
        tokenizer: ``embedded``, or a folder with a public tokenizer.
        order: Tokens of the longest key, at least 1.
        labels: The public labels; empty if the texts have none or they are not to be used.
        max_keys: Distinct keys of one order that a person may count in.
        max_texts_per_person: More texts of a person are left out, chosen by coins.
        max_tokens: Longest text; the rest is cut.
        shares: Of the budget in rho: for each order, and last, if there are labels, for the tokens by label; empty for equal parts.
    """

    tokenizer: str = "embedded"
    order: int = 3
    labels: tuple[str, ...] = ()
    max_keys: int = 30
    max_texts_per_person: int = 1
    max_tokens: int = 128
    shares: tuple[float, ...] = ()

    name = "ngram"

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if min(self.order, self.max_keys, self.max_texts_per_person, self.max_tokens) < 1:
            raise PlanError(
                f"order={self.order!r}, max_keys={self.max_keys!r}, max_texts_per_person={self.max_texts_per_person!r}, "
                f"max_tokens={self.max_tokens!r}; expected whole numbers of at least 1"
            )
        if self.shares and (len(self.shares) != self.order + bool(self.labels) or min(self.shares) <= 0):
            raise PlanError(
                f"shares={self.shares!r}; expected {self.order + bool(self.labels)} numbers above 0, one for each table of counts"
            )

    def touches(self, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """One touch for each table of counts; see ``TextSynthesizer``."""
        labels = self._tables()
        if math.isinf(budget.epsilon):
            return tuple(Touch(STAGE, label, NonPrivate()) for label in labels)
        return _touches(labels, self.shares or (1.0,) * len(labels), noise_scale * _unit_scale(self, budget), budget.delta)

    def fit(
        self,
        train: TextRecords,
        *,
        reservation: Reservation,
        budget: Budget,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> NGramModel:
        """Count; see ``TextSynthesizer``. Nothing is kept between steps, so ``checkpoint`` is not used.

        Raises:
            PlanError: A label is not declared.
        """
        noise = reservation.noise
        tokenizer = open_tokenizer(self.tokenizer)
        kept = train.select(limit_per_group(train.persons(), self.max_texts_per_person, noise=noise))
        sequences = [encoded(tokenizer, text, max_tokens=self.max_tokens) for text in kept.texts]
        persons = np.repeat(kept.persons(), [len(sequence) for sequence in sequences])
        tables: list[Counts] = []
        for number, label in enumerate(self._tables()):
            multiplier, delta = _parameters(reservation.spend(STAGE, label))
            counting: dict[str, Any] = {"max_keys": self.max_keys, "noise_multiplier": multiplier, "noise": noise}
            if number == 0:
                tables.append(token_counts(persons, np.concatenate(sequences), vocabulary=len(tokenizer), **counting))
            elif number < self.order:
                keys = np.concatenate([_windows(sequence, number + 1) for sequence in sequences])
                owners = np.repeat(kept.persons(), [max(0, len(sequence) - number) for sequence in sequences])
                tables.append(selected_counts(owners, keys, delta=delta, **counting))
            else:
                labelled = np.column_stack([np.repeat(self._label_numbers(kept), [len(s) for s in sequences]), np.concatenate(sequences)])
                tables.append(selected_counts(persons, labelled, delta=delta, **counting))
            if progress is not None:
                progress("count", number + 1, len(self._tables()))
        return NGramModel(settings=self, start=start_token(tokenizer), end=int(tokenizer.eos_token_id), tables=tuple(tables))

    def _tables(self) -> tuple[str, ...]:
        """Labels of the touches, in order."""
        longer = [f"selection and counts of {order}-grams" for order in range(2, self.order + 1)]
        return ("counts of tokens", *longer, *(["selection and counts of tokens by label"] if self.labels else []))

    def _label_numbers(self, records: TextRecords) -> IntArray:
        number = {label: position for position, label in enumerate(self.labels)}
        found = records.labels or ()
        if len(found) != len(records.texts) or any(label not in number for label in found):
            raise PlanError("a text has no label, or one that is not declared; declare every label under labels, or leave labels out")
        return np.array([number[label] for label in found], dtype=np.int64)


def start_token(tokenizer: Any) -> int:
    """The token before a text."""
    return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)


def encoded(tokenizer: Any, text: str, *, max_tokens: int) -> IntArray:
    """A text between its start and end token, cut to ``max_tokens`` tokens (a cut text has no end)."""
    ids = [start_token(tokenizer), *tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return np.array(ids[: max_tokens + 1], dtype=np.int64)


def _windows(sequence: IntArray, order: int) -> IntArray:
    """All runs of ``order`` tokens, shape (n, order)."""
    if len(sequence) < order:
        return np.zeros((0, order), dtype=np.int64)
    return np.lib.stride_tricks.sliding_window_view(sequence, order)


def _parameters(event: Any) -> tuple[float, float]:
    """Noise multiplier and selection delta of a reserved event; no noise for one without proof."""
    if isinstance(event, NonPrivate):
        return 0.0, 1.0
    return event.noise_multiplier, getattr(event, "delta", 1.0)


def _touches(labels: Sequence[str], shares: Sequence[float], scale: float, delta: float) -> tuple[Touch, ...]:
    """Gaussian noise for each table: rho = share of all shares / (2 scale^2)."""
    selections = max(1, len(labels) - 1)
    events: list[DiscreteGaussian | GaussianPartitionSelection] = []
    for number, share in enumerate(shares):
        multiplier = scale * math.sqrt(sum(shares) / share)
        if number == 0:
            events.append(DiscreteGaussian(noise_multiplier=multiplier))
        else:
            events.append(GaussianPartitionSelection(noise_multiplier=multiplier, delta=delta * SELECTION_DELTA_SHARE / selections))
    return tuple(Touch(STAGE, label, event) for label, event in zip(labels, events, strict=True))


@lru_cache(maxsize=64)
def _unit_scale(engine: NGram, budget: Budget) -> float:
    """The scale at which this stage alone spends its budget."""
    labels = engine._tables()
    shares = engine.shares or (1.0,) * len(labels)
    return calibrate(lambda scale: _touches(labels, shares, scale, budget.delta), budget)


@dataclass(frozen=True)
class _Followers:
    """What followed a context: tokens, their probabilities, and what is left for shorter contexts."""

    tokens: IntArray
    shares: FloatArray
    left: float


@dataclass(frozen=True)
class NGramModel:
    """A fitted engine: noisy counts and public settings.

    Attributes:
        settings: The engine's.
        start: Token before a text.
        end: Token after a text.
        tables: Noisy counts: tokens, then one table for each longer order, then tokens by label if there are labels.
    """

    settings: NGram
    start: int
    end: int
    tables: tuple[Counts, ...]
    _tokens: FloatArray = field(init=False, repr=False)
    _followers: tuple[Mapping[tuple[int, ...], _Followers], ...] = field(init=False, repr=False)
    _ratios: Mapping[str, FloatArray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Turn counts into probabilities, once."""
        orders = self.tables[: self.settings.order]
        object.__setattr__(self, "_tokens", _token_shares(orders[0], self.start))
        object.__setattr__(self, "_followers", tuple(_followers(shorter, longer) for shorter, longer in pairwise(orders)))
        object.__setattr__(self, "_ratios", self._label_ratios())

    def next_shares(self, context: Sequence[int], label: str | None = None) -> FloatArray:
        """Probability of each token after a context, shape (vocabulary,).

        Args:
            context: All tokens so far, the start token first.
            label: A declared label; None for any.
        """
        shares = self._tokens
        for longer, table in enumerate(self._followers, start=1):
            found = table.get(tuple(context[-longer:])) if len(context) >= longer else None
            if found is None:
                break
            shares = shares * found.left
            shares[found.tokens] += found.shares
        if label is not None and label in self._ratios:
            shares = shares * self._ratios[label]
            shares = shares / shares.sum()
        return shares

    def log_probability(self, tokens: Sequence[int], label: str | None = None) -> float:
        """Natural logarithm of the probability of a sequence after its start token."""
        return sum(
            math.log(float(self.next_shares(tokens[max(0, i - self.settings.order) : i], label)[tokens[i]])) for i in range(1, len(tokens))
        )

    def sample(self, prompts: Sequence[str], *, rng: np.random.Generator, labels: Sequence[str] | None = None) -> Iterator[SampledText]:
        """One text for each prompt, in order; prompts are ignored."""
        tokenizer = open_tokenizer(self.settings.tokenizer)
        for position in range(len(prompts)):
            tokens = [self.start]
            label = None if labels is None else labels[position]
            while len(tokens) <= self.settings.max_tokens:
                cumulative = np.cumsum(self.next_shares(tokens[-self.settings.order :], label))
                token = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
                if token == self.end:
                    break
                tokens.append(token)
            finished = len(tokens) <= self.settings.max_tokens
            yield SampledText(position=position, text=tokenizer.decode(tokens[1:]).strip(), finished=finished)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``arrays.npz``."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"{number}.{part}": getattr(table, part) for number, table in enumerate(self.tables) for part in ("keys", "counts")}
        np.savez_compressed(folder / "arrays.npz", **arrays)
        plain = {
            "format": FORMAT,
            "engine": NGram.name,
            "settings": asdict(self.settings),
            "start": self.start,
            "end": self.end,
            "sigmas": [table.sigma for table in self.tables],
        }
        (folder / "model.json").write_text(json.dumps(plain, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> NGramModel:
        """The model that ``save`` wrote.

        Raises:
            SourceError: The folder holds no n-gram model of this format.
        """
        try:
            plain = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if (plain["engine"], plain["format"]) != (NGram.name, FORMAT):
                raise KeyError
            with np.load(folder / "arrays.npz", allow_pickle=False) as file:
                tables = tuple(
                    Counts(file[f"{number}.keys"], file[f"{number}.counts"], sigma) for number, sigma in enumerate(plain["sigmas"])
                )
        except (OSError, ValueError, KeyError) as error:
            raise SourceError(
                f"folder={str(folder)!r} holds no readable n-gram model ({type(error).__name__}); expected model.json and arrays.npz"
            ) from None
        settings: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain["settings"].items()}
        return cls(settings=NGram(**settings), start=plain["start"], end=plain["end"], tables=tables)

    def _label_ratios(self) -> dict[str, FloatArray]:
        """p(w | label) / p(w) for every label whose number of texts was shown, shape (vocabulary,) each."""
        if not self.settings.labels:
            return {}
        table, ratios = self.tables[-1], {}
        texts = max(1.0, float(self.tables[0].counts[self.start]))
        total = float(np.maximum(self.tables[0].counts, 0)[self._tokens > 0].sum())
        for number, label in enumerate(self.settings.labels):
            own = table.keys[:, 0] == number
            tokens, counts = table.keys[own, 1], table.counts[own].astype(np.float64)
            starts = counts[tokens == self.start]
            if not len(starts):
                continue
            counted = tokens != self.start
            tokens, counts = tokens[counted], counts[counted]
            shares = counts / max(total * float(starts[0]) / texts, float(counts.sum()) * (1 + SMALLEST_BACKOFF))
            others = max(1e-9, 1 - float(self._tokens[tokens].sum()))
            ratio = np.full(len(self._tokens), max(SMALLEST_BACKOFF, 1 - float(shares.sum())) / others)
            ratio[tokens] = shares / np.maximum(self._tokens[tokens], 1e-12)
            ratios[label] = ratio
        return ratios


def _token_shares(table: Counts, start: int) -> FloatArray:
    """Probability of each token with no context; the start token never comes again."""
    others = np.ones(len(table.counts))
    others[start] = 0.0
    return token_shares(table, others, excluded=start)


def _followers(shorter: Counts, longer: Counts) -> dict[tuple[int, ...], _Followers]:
    """For each context of the longer keys, what followed it."""
    of_shorter = {tuple(key): float(count) for key, count in zip(shorter.keys.tolist(), shorter.counts.tolist(), strict=True)}
    found: dict[tuple[int, ...], _Followers] = {}
    if not len(longer.keys):
        return found
    contexts, starts = np.unique(longer.keys[:, :-1], axis=0, return_index=True)  # keys are sorted
    for context, part in zip(contexts.tolist(), np.split(np.arange(len(longer.keys)), starts[1:]), strict=True):
        counts = np.maximum(longer.counts[part], 0).astype(np.float64)
        total = max(of_shorter.get(tuple(context), 0.0), float(counts.sum()) / (1 - SMALLEST_BACKOFF), 1.0)
        found[tuple(context)] = _Followers(longer.keys[part, -1], counts / total, 1 - float(counts.sum()) / total)
    return found
