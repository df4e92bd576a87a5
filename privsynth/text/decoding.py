"""Writing texts with any Hugging Face causal language model, in batches, one token of every row at a time.

The library's own ``generate`` is made for few long answers; a release needs ten thousand short texts. Three things are different here.
Prompts are grouped by length, so that hardly anything is padded. Rows that have ended leave the batch and its cache. And the nucleus
(Holtzman et al. 2020, arXiv:1904.09751) is sought among the ``top_k`` best tokens alone, so that no vocabulary is ever sorted; that is
the distribution which ``generate`` samples from when it is given both limits. Sampling reads the model and its prompts only: it has no
part in a privacy loss.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from privsynth.errors import PlanError, PrivSynthError

Tensor = torch.Tensor

RowProgress = Callable[[int, int, float], None]
"""Told after each row that ends: how many of how many rows are finished, and rows a second since the start."""

RETIRE_SHARE = 0.2
"""Ended rows leave the cache when they are this share of it; at every end the copying would cost more than it spares."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How texts are drawn.

    Attributes:
        max_new_tokens: Tokens after the prompt at most, the end of the text counted; at least 1.
        temperature: Logits are divided by it, at least 0; 0 takes the likeliest token.
        top_k: So many of the likeliest tokens are candidates, at least 1.
        top_p: Of the candidates, the fewest that hold this share of their probability, in (0, 1].
        batch_size: Rows that are written together; changes speed and memory, and which random numbers a row gets.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 200
    top_p: float = 0.95

    batch_size: int = 64

    def __post_init__(self) -> None:
        """Refuse settings under which nothing or everything would be drawn."""
        limits = {"max_new_tokens": self.max_new_tokens, "top_k": self.top_k, "batch_size": self.batch_size}
        for name, value in limits.items():
            if value < 1:
                raise PlanError(f"{name}={value}; expected at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise PlanError(f"temperature={self.temperature}; expected a finite number, at least 0")
        if not 0 < self.top_p <= 1:
            raise PlanError(f"top_p={self.top_p}; expected a share in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class Written:
    """One text.

    Attributes:
        position: Of its prompt in the list that was given.
        tokens: Ids after the prompt, without the one that ends a text.
        finished: False if the limit came before the text's end.
    """

    position: int
    tokens: tuple[int, ...]
    finished: bool


def write(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    settings: Decoding,
    rng: np.random.Generator,
    logit_bias: Tensor | None = None,
    progress: RowProgress | None = None,
) -> Iterator[Written]:
    """One text for each prompt, streamed in the order in which they end.

    Args:
        model: A causal language model with a cache; it is put into evaluation mode. Adapters are best merged first.
        prompts: Ids of each prompt, at least one each (the token that begins a text, say).
        settings: How texts are drawn.
        rng: Where draws come from: one number a row and token. The same numbers, prompts and settings give the same texts.
        logit_bias: Added to all logits before anything else, shape (vocabulary,); minus infinity forbids a token.
        progress: Told as rows end.

    Raises:
        PlanError: A prompt is empty, a text would not fit into the model's context, or the bias has another length than the vocabulary.
        PrivSynthError: The model gives logits that are not numbers.
    """
    ends = _ends(model)
    _check(model, prompts, settings, logit_bias)
    model.eval()
    started, done = time.perf_counter(), 0
    for batch in _batches(prompts, settings.batch_size, may_pad="position_ids" in _arguments(model)):
        for text in _write_batch(model, prompts, batch, settings, ends, rng, logit_bias):
            done += 1
            if progress is not None:
                progress(done, len(prompts), done / max(time.perf_counter() - started, 1e-9))
            yield text


def candidates(logits: Tensor, settings: Decoding) -> tuple[Tensor, Tensor]:
    """The tokens that may be drawn and their probabilities, likeliest first.

    Args:
        logits: Shape (n, vocabulary).
        settings: Limits and a temperature above 0.

    Returns:
        Ids and probabilities, shapes (n, min(top_k, vocabulary)); a candidate outside the nucleus has probability 0, the others sum to 1.
    """
    best, ids = torch.topk(logits.float() / settings.temperature, min(settings.top_k, logits.shape[-1]), dim=-1)
    shares = torch.softmax(best, dim=-1)
    before = shares.cumsum(dim=-1) - shares
    kept = torch.where(before < settings.top_p, shares, 0.0)
    kept[:, 0] = shares[:, 0]
    return ids, kept / kept.sum(dim=-1, keepdim=True)


def draw(logits: Tensor, settings: Decoding, rng: np.random.Generator) -> Tensor:
    """One token for each row of logits, shape (n,); by inversion, one number of ``rng`` a row."""
    if settings.temperature == 0:
        return logits.argmax(dim=-1)
    ids, shares = candidates(logits, settings)
    uniform = torch.from_numpy(rng.random((len(logits), 1))).to(shares.device)
    cumulative = shares.double().cumsum(dim=-1)
    # Sums end a rounding error off 1, and a number in the gap must not draw a token that has no probability.
    place = (cumulative <= uniform * cumulative[:, -1:]).sum(dim=-1, keepdim=True)
    last = (shares > 0).sum(dim=-1, keepdim=True) - 1
    return ids.gather(1, torch.minimum(place, last))[:, 0]


@torch.inference_mode()
def _step(model: Any, inputs: dict[str, Any], bias: Tensor | None) -> tuple[Tensor, Any]:
    """Logits after the last token, shape (n, vocabulary), and the cache."""
    output = model(**inputs, use_cache=True)
    logits = output.logits[:, -1].float()
    if bias is not None:
        logits = logits + bias.to(logits.device)
    if not bool(torch.isfinite(logits.amax(dim=-1)).all()):
        raise PrivSynthError("the language model gives logits that are not numbers; its weights are damaged or its training diverged")
    return logits, output.past_key_values


def _write_batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    batch: Sequence[int],
    settings: Decoding,
    ends: frozenset[int],
    rng: np.random.Generator,
    bias: Tensor | None,
) -> Iterator[Written]:
    """Prefill, then a token for every row a step; ``alive`` maps rows of the cache to rows of the batch."""
    device = next(model.parameters()).device
    written: list[list[int]] = [[] for _ in batch]
    alive = torch.arange(len(batch))
    ended = torch.zeros(len(batch), dtype=torch.bool)
    inputs = _prefill([prompts[position] for position in batch], device, _arguments(model))
    for step in range(1, settings.max_new_tokens + 1):
        logits, cache = _step(model, inputs, bias)
        tokens = draw(logits, settings, rng)
        for row, token in enumerate(tokens.tolist()):
            if ended[row]:
                continue
            mine = written[int(alive[row])]
            if token in ends:
                ended[row] = True
            else:
                mine.append(token)
            if token in ends or step == settings.max_new_tokens:
                yield Written(position=batch[int(alive[row])], tokens=tuple(mine), finished=token in ends)
        if ended.all() or step == settings.max_new_tokens:
            return
        keep = torch.arange(len(ended))
        if ended.float().mean() >= RETIRE_SHARE and hasattr(cache, "batch_select_indices"):
            keep = (~ended).nonzero()[:, 0]
            cache.batch_select_indices(keep.to(device))
            alive, ended = alive[keep], ended[keep]
        inputs = _next(inputs, tokens, keep.to(device), cache)


def _prefill(prompts: Sequence[Sequence[int]], device: torch.device, arguments: frozenset[str]) -> dict[str, Any]:
    """Prompts padded on the left, so that all rows end at the same place; without mask and positions where nothing is padded."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    inputs: dict[str, Any] = {"input_ids": ids}
    if any(len(prompt) < longest for prompt in prompts):
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        inputs.update(attention_mask=mask, position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0))
    if "logits_to_keep" in arguments:
        inputs["logits_to_keep"] = 1
    return inputs


def _next(inputs: dict[str, Any], tokens: Tensor, keep: Tensor, cache: Any) -> dict[str, Any]:
    """Inputs of the step after ``inputs``, for the rows to keep."""
    following: dict[str, Any] = {**inputs, "input_ids": tokens[keep, None], "past_key_values": cache}
    if "attention_mask" in inputs:
        mask = inputs["attention_mask"][keep]
        following["attention_mask"] = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        following["position_ids"] = inputs["position_ids"][keep, -1:] + 1
    return following


def _batches(prompts: Sequence[Sequence[int]], size: int, *, may_pad: bool) -> Iterator[list[int]]:
    """Positions of prompts, shortest first; in batches of one length only where the model cannot be told positions."""
    order = sorted(range(len(prompts)), key=lambda position: len(prompts[position]))
    batch: list[int] = []
    for position in order:
        if batch and (len(batch) == size or (not may_pad and len(prompts[position]) != len(prompts[batch[0]]))):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def _arguments(model: Any) -> frozenset[str]:
    """Names that the model's forward pass takes; an adapter's wrapper passes all on."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return frozenset(inspect.signature(inner.forward).parameters)


def _ends(model: Any) -> frozenset[int]:
    """Ids that end a text."""
    configured = getattr(model, "generation_config", None)
    end = getattr(configured, "eos_token_id", None)
    end = model.config.eos_token_id if end is None else end
    if end is None:
        raise PlanError("the language model's configuration names no token that ends a text (eos_token_id); add it to config.json")
    return frozenset(end if isinstance(end, (list, tuple)) else (end,))


def _check(model: Any, prompts: Sequence[Sequence[int]], settings: Decoding, bias: Tensor | None) -> None:
    if any(not len(prompt) for prompt in prompts):
        raise PlanError("a prompt has no token; expected at least the one that begins a text")
    context = getattr(model.config, "max_position_embeddings", None)
    longest = max(map(len, prompts), default=0)
    if context is not None and longest + settings.max_new_tokens > context:
        raise PlanError(
            f"a prompt of {longest} tokens and max_new_tokens={settings.max_new_tokens} exceed the model's context of {context} tokens; "
            f"lower max_new_tokens to at most {max(context - longest, 0)} or shorten the prompts"
        )
    vocabulary = model.config.vocab_size
    if bias is not None and tuple(bias.shape) != (vocabulary,):
        raise PlanError(f"logit_bias has shape {tuple(bias.shape)}; expected ({vocabulary},), one number for each token")
