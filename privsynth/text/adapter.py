"""The engines that train a language model: the embedded one or a user's own folder, by the same code.

Two mechanisms, reserved together. A tenth of the budget buys a histogram of tokens, and from it a bias on the model's logits: the cheapest
step from public text towards the private one, before any gradient. The rest buys DP-SGD of a LoRA adapter (``training.py``); the model's
own weights stay public. What is kept is the adapter, as peft saves it, and the bias.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from privsynth.errors import PlanError, SourceError
from privsynth.privacy import (
    Budget,
    DiscreteGaussian,
    Event,
    NoiseSource,
    NonPrivate,
    PoissonSampledGaussian,
    Reservation,
    Touch,
    calibrate,
)
from privsynth.text import training
from privsynth.text.base import STAGE, Progress, SampledText, TextRecords, limit_per_group
from privsynth.text.bias import bias_towards
from privsynth.text.counts import token_counts
from privsynth.text.decoding import Decoding, write
from privsynth.text.folder import EMBEDDED, open_model, open_tokenizer
from privsynth.text.lora import ADAPTER, LoraSettings, add_adapter
from privsynth.text.prompts import prompt_ids, tokenize
from privsynth.text.training import DPSGD, Speed

Tensor = torch.Tensor

FORMAT = 1

HISTOGRAM = "histogram of tokens"
TRAINING = "DP-SGD of the adapter"

BIAS_SEED = 0
"""Of the public coins that fit the bias: they are no part of the guarantee."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """Settings of an engine that trains an adapter.

    Attributes:
        training: The noisy steps.
        model: ``embedded``, or a folder with a causal language model.
        lora: Shape of the adapter.
        histogram_share: Part of the budget for the histogram of tokens, in [0, 1); 0 for none.
        max_keys: Distinct tokens of a person that the histogram counts.
        temperature: Of sampling.
        top_p: Share of the likeliest tokens that are drawn from.
        speed: Time and memory.
    """

    training: DPSGD
    model: str = EMBEDDED
    lora: LoraSettings = field(default_factory=LoraSettings)
    histogram_share: float = 0.1
    max_keys: int = 30
    temperature: float = 1.0
    top_p: float = 0.95
    speed: Speed = field(default_factory=Speed)

    name = "language-model"

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if not 0 <= self.histogram_share < 1 or self.max_keys < 1:
            raise PlanError(
                f"histogram_share={self.histogram_share!r}, max_keys={self.max_keys!r}; expected a share in [0, 1) and at least one key"
            )

    def touches(self, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """The histogram, if there is one, and the training; see ``TextSynthesizer``."""
        if math.isinf(budget.epsilon):
            return tuple(Touch(STAGE, label, NonPrivate()) for label in ([HISTOGRAM] if self.histogram_share else []) + [TRAINING])
        step = _Steps(self.training.sampling_prob, self.training.steps, self.histogram_share)
        return _touches(step, noise_scale * _unit_scale(step, budget), budget)

    def fit(
        self,
        train: TextRecords,
        *,
        reservation: Reservation,
        budget: Budget,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> AdaptedModel:
        """Buy the bias, then train; see ``TextSynthesizer``. The bias is kept beside the checkpoint, as ``NAME.bias.npy``.

        Raises:
            PlanError: The model cannot be opened, or reads fewer tokens than ``max_tokens``.
        """
        tokenizer, model = open_tokenizer(self.model), open_model(self.model)
        context = getattr(model.config, "max_position_embeddings", self.training.max_tokens)
        if self.training.max_tokens > context:
            raise PlanError(f"max_tokens={self.training.max_tokens}; model {self.model!r} reads at most {context}: lower max_tokens")
        bias = None
        if self.histogram_share:
            multiplier = _multiplier(reservation.spend(STAGE, HISTOGRAM))
            bias = self._bias(train, model, tokenizer, multiplier=multiplier, noise=reservation.noise, checkpoint=checkpoint)
        multiplier = _multiplier(reservation.spend(STAGE, TRAINING))
        data = training.prepare(train, tokenizer, self.training, noise=reservation.noise)
        if data.n_cut and warn is not None:
            warn(f"texts longer than max_tokens={self.training.max_tokens} are cut and have no end")
        adapted = add_adapter(model, self.lora)
        training.train(
            adapted,
            data,
            self.training,
            noise_multiplier=multiplier,
            noise=reservation.noise,
            speed=self.speed,
            logit_bias=bias,
            checkpoint=checkpoint,
            progress=progress,
            warn=warn,
        )
        return AdaptedModel(settings=self, model=adapted, tokenizer=tokenizer, bias=bias)

    def _bias(
        self, records: TextRecords, model: Any, tokenizer: Any, *, multiplier: float, noise: NoiseSource, checkpoint: Path | None
    ) -> Tensor:
        """The bias that a noisy histogram of the texts' tokens gives, or the one that an interrupted fit has bought."""
        stored = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.bias.npy")
        if stored is not None and stored.exists():
            return torch.from_numpy(np.load(stored, allow_pickle=False))
        kept = records.select(limit_per_group(records.persons(), self.training.max_texts_per_person, noise=noise))
        texts = [[*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id] for text in kept.texts]
        texts = [text[: self.training.max_tokens] for text in texts]
        counts = token_counts(
            np.repeat(kept.persons(), [len(text) for text in texts]),
            np.concatenate([np.array(text, dtype=np.int64) for text in texts]),
            vocabulary=model.config.vocab_size,
            max_keys=self.max_keys,
            noise_multiplier=multiplier,
            noise=noise,
        )
        bias = bias_towards(model, tokenizer, counts, rng=np.random.default_rng(BIAS_SEED))
        if stored is not None:
            draft = stored.with_name(f".{stored.name}.part")
            with draft.open("wb") as file:
                np.save(file, bias.cpu().numpy(), allow_pickle=False)
            draft.replace(stored)
        return bias


@dataclass(frozen=True, kw_only=True)
class AdaptedModel:
    """A trained engine: public weights, an adapter and a bias.

    Attributes:
        settings: The engine's.
        model: The peft model.
        tokenizer: The public model's.
        bias: Added to every logit, shape (vocabulary,); None for none.
    """

    settings: LanguageModel
    model: Any
    tokenizer: Any
    bias: Tensor | None

    def sample(
        self,
        prompts: Sequence[str],
        *,
        rng: np.random.Generator,
        labels: Sequence[str] | None = None,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> Iterator[SampledText]:
        """One text for each prompt, in the order in which they end; labels are ignored, a prompt says what a text is about."""
        settings = self.settings
        ids = [prompt_ids(self.tokenizer, prompt, max_tokens=settings.training.max_tokens) for prompt in prompts]
        if not ids:
            return
        decoding = Decoding(
            max_new_tokens=settings.training.max_tokens - max(map(len, ids)), temperature=settings.temperature, top_p=settings.top_p
        )
        merged = copy.deepcopy(self.model).merge_and_unload()  # a third faster than the adapter beside each layer
        for text in write(merged, ids, settings=decoding, rng=rng, logit_bias=self._writing_bias(), progress=progress):
            words = self.tokenizer.decode(list(text.tokens), skip_special_tokens=True).strip()
            yield SampledText(position=text.position, text=words, finished=text.finished)

    def losses(self, records: TextRecords) -> Tensor:
        """Mean loss per token of each text, end included, in nats, shape (n,): for canaries and evaluation, never for a choice."""
        pieces = [
            tokenize(self.tokenizer, prompt, text, max_tokens=self.settings.training.max_tokens)[0]
            for prompt, text in zip(records.prompts, records.texts, strict=True)
        ]
        size = self.settings.speed.microbatch
        with torch.inference_mode():
            parts = [
                training.losses_per_text(self.model, pieces[start : start + size], logit_bias=self.bias)
                for start in range(0, len(pieces), size)
            ]
        return torch.cat(parts)

    def save(self, folder: Path) -> None:
        """Write the adapter as peft does, ``bias.npy`` and ``model.json``; the public model stays where it is."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.peft_config[ADAPTER].base_model_name_or_path = self.settings.model
        self.model.save_pretrained(folder)
        if self.bias is not None:
            np.save(folder / "bias.npy", self.bias.cpu().numpy(), allow_pickle=False)
        plain = {"format": FORMAT, "engine": LanguageModel.name, "settings": asdict(self.settings)}
        (folder / "model.json").write_text(json.dumps(plain, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> AdaptedModel:
        """The model that ``save`` wrote, around its public model.

        Raises:
            SourceError: The folder holds no adapter of this format.
            PlanError: The public model cannot be opened.
        """
        from peft import PeftModel

        try:
            plain = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if (plain["engine"], plain["format"]) != (LanguageModel.name, FORMAT):
                raise KeyError
            settings = _settings(plain["settings"])
            bias = torch.from_numpy(np.load(folder / "bias.npy", allow_pickle=False)) if settings.histogram_share else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"folder={str(folder)!r} holds no readable adapter ({type(error).__name__}); expected what save wrote"
            ) from None
        model = PeftModel.from_pretrained(open_model(settings.model), folder, local_files_only=True).eval()
        return cls(settings=settings, model=model, tokenizer=open_tokenizer(settings.model), bias=bias)

    def _writing_bias(self) -> Tensor:
        """The bias with tokens forbidden that no text holds: start and padding."""
        bias = torch.zeros(self.model.config.vocab_size) if self.bias is None else self.bias.clone()
        for token in {self.tokenizer.bos_token_id, self.tokenizer.pad_token_id} - {None, self.tokenizer.eos_token_id}:
            bias[token] = -math.inf
        return bias


def _multiplier(event: Event) -> float:
    """Noise multiplier of a reserved event; no noise for one without proof."""
    if isinstance(event, DiscreteGaussian | PoissonSampledGaussian):
        return event.noise_multiplier
    return 0.0


def _touches(step: _Steps, scale: float, budget: Budget) -> tuple[Touch, ...]:
    """Both mechanisms, each with ``scale`` times the noise at which it alone would spend its share of the budget."""
    sampled = PoissonSampledGaussian(
        noise_multiplier=scale * _training_multiplier(step, budget), sampling_prob=step.sampling_prob, steps=step.steps
    )
    if not step.histogram_share:
        return (Touch(STAGE, TRAINING, sampled),)
    histogram = DiscreteGaussian(noise_multiplier=scale * _histogram_multiplier(step.histogram_share, budget))
    return (Touch(STAGE, HISTOGRAM, histogram), Touch(STAGE, TRAINING, sampled))


@dataclass(frozen=True)
class _Steps:
    """The public facts that decide the noise."""

    sampling_prob: float
    steps: int
    histogram_share: float


def _part(budget: Budget, share: float) -> Budget:
    return Budget(epsilon=budget.epsilon * share, delta=budget.delta * share)


@lru_cache(maxsize=64)
def _histogram_multiplier(share: float, budget: Budget) -> float:
    return calibrate(lambda scale: [Touch(STAGE, HISTOGRAM, DiscreteGaussian(noise_multiplier=scale))], _part(budget, share))


@lru_cache(maxsize=64)
def _training_multiplier(step: _Steps, budget: Budget) -> float:
    def touches(scale: float) -> list[Touch]:
        return [Touch(STAGE, TRAINING, PoissonSampledGaussian(noise_multiplier=scale, sampling_prob=step.sampling_prob, steps=step.steps))]

    return calibrate(touches, _part(budget, 1 - step.histogram_share))


@lru_cache(maxsize=64)
def _unit_scale(step: _Steps, budget: Budget) -> float:
    """The scale at which this stage alone spends its budget: below 1, because composed costs are less than their sum."""
    if not step.histogram_share:
        return 1.0
    return calibrate(lambda scale: _touches(step, scale, budget), budget)


def _settings(plain: dict[str, Any]) -> LanguageModel:
    """The settings that ``asdict`` turned into JSON."""
    lora: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain["lora"].items()}
    parts = {"training": DPSGD(**plain["training"]), "lora": LoraSettings(**lora), "speed": Speed(**plain["speed"])}
    return LanguageModel(**{**plain, **parts})
