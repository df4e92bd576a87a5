"""A bias on the logits that makes a public model use words as often as the private texts do.

The bias is fixed before training and needs one private thing, a noisy histogram of tokens. Added to every logit, it must make the model's
*own* texts have that histogram: so it is found by turns of writing a few texts with the bias so far and adding the logarithm of wanted over
predicted shares (iterative scaling, Darroch & Ratcliff 1972). All of that is post-processing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from privsynth.text.counts import Counts, token_shares
from privsynth.text.decoding import Decoding, write

Tensor = torch.Tensor

ROUNDS = 3
"""Turns of writing and correcting."""

TEXTS, TOKENS = 128, 32
"""Texts that are written in each turn, and their length at most."""

LARGEST = 10.0
"""Bounds of the bias, in nats."""


def bias_towards(model: Any, tokenizer: Any, counts: Counts, *, rng: np.random.Generator) -> Tensor:
    """The bias under which the model's own texts have the shares of a noisy histogram, shape (vocabulary,).

    Args:
        model: A causal language model, public.
        tokenizer: Its tokenizer.
        counts: From ``token_counts`` over the model's vocabulary.
        rng: Public coins of the texts that are written.
    """
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    device = next(model.parameters()).device
    bias = torch.zeros(model.config.vocab_size, device=device)
    for _ in range(ROUNDS):
        written = list(
            write(
                model,
                [[start]] * TEXTS,
                settings=Decoding(max_new_tokens=TOKENS, top_k=model.config.vocab_size, top_p=1.0, batch_size=TEXTS),
                rng=rng,
                logit_bias=bias,
            )
        )
        predicted = mean_prediction(model, [[start, *text.tokens] for text in written], bias)
        wanted = torch.from_numpy(token_shares(counts, predicted.double().cpu().numpy())).to(device, torch.float32)
        bias = (bias + wanted.clamp_min(1e-12).log() - predicted.clamp_min(1e-12).log()).clamp(-LARGEST, LARGEST)
    return bias


@torch.inference_mode()
def mean_prediction(model: Any, texts: Sequence[Sequence[int]], bias: Tensor) -> Tensor:
    """Mean over all positions of the probability of each next token, shape (vocabulary,)."""
    total, positions = torch.zeros_like(bias, dtype=torch.float64), 0
    for text in texts:  # one at a time: a batch of logits over a large vocabulary would fill the memory
        logits = model(input_ids=torch.tensor([list(text)], device=bias.device), use_cache=False).logits[0].float()
        total += torch.softmax(logits + bias, dim=-1).sum(dim=0, dtype=torch.float64)
        positions += len(text)
    return (total / positions).float()
