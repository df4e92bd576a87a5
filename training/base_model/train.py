"""Train the embedded base model; stop it at any time and call it again.

Usage: python train.py --work FOLDER [--threads 1]                 warm up, then train at a constant rate until stopped
       python train.py --work FOLDER --decay STEPS                 from the last checkpoint, bring the rate to zero in so many steps

The schedule is warm-up, stable, decay (Hu et al. 2024, arXiv:2404.06395): the stable phase has no planned end, and a decayed model
can be made from any of its checkpoints without spoiling it for a longer run. Matrices are trained by Muon (Jordan 2024; torch's own),
embeddings and norms by AdamW. Checkpoints appear every few minutes, whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prepare import BOS, EOS, LENGTH, PAD, UNPREDICTED, VOCABULARY
from transformers import LlamaConfig, LlamaForCausalLM

CHUNK = 256
"""Tokens whose logits exist at once: 8 MB."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is made of.

    Attributes:
        rows: Rows of 256 tokens in a step.
        muon_rate: Stable learning rate of the matrices, on AdamW's scale (Liu et al. 2025, arXiv:2502.16982).
        adam_rate: Stable learning rate of embeddings and norms.
        warm_up: Steps of linear warm-up.
        save_seconds: Wall time between checkpoints.
    """

    rows: int
    muon_rate: float = 4e-3
    adam_rate: float = 3e-3
    muon_decay: float = 0.05
    warm_up: int = 150
    max_norm: float = 1.0
    save_seconds: float = 240.0


def configuration() -> LlamaConfig:
    """4 layers, 256 wide: 5.3 million parameters, of which 2.1 are the embedding, which is the head too."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        # The mask of pieces is dense, and on a CPU the fused kernel's backward pass is no faster than plain products.
        attn_implementation="eager",
    )


def optimizers(model: Any, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(
            matrices, lr=settings.muon_rate, weight_decay=settings.muon_decay, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=settings.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of a linear head, in nats, with the gradients made on the way.

    The logits of a batch take a hundred megabytes, which a CPU would read and write four times over; here they exist for a few
    hundred tokens at once and stay in its cache.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, head: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Loss for hidden states (n, width), head (vocabulary, width) and the ids that follow (n,)."""
        states, weight = hidden.to(torch.bfloat16), head.to(torch.bfloat16)
        to_states, to_head, total = torch.empty_like(hidden), torch.zeros_like(head), 0.0
        for start in range(0, len(wanted), CHUNK):
            part, targets = states[start : start + CHUNK], wanted[start : start + CHUNK, None]
            logits = (part @ weight.T).float()
            shift = logits.logsumexp(dim=1, keepdim=True)
            total += float((shift - logits.gather(1, targets)).sum())
            slope = logits.sub_(shift).exp_()
            slope.scatter_add_(1, targets, -torch.ones_like(shift))
            slope = slope.div_(len(wanted)).to(torch.bfloat16)
            to_states[start : start + CHUNK] = slope @ weight
            to_head += slope.T @ part
        ctx.save_for_backward(to_states, to_head)
        return hidden.new_tensor(total / len(wanted))

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Gradients for hidden states and head."""
        to_states, to_head = ctx.saved_tensors
        return to_states * slopes[0], to_head * slopes[0], None


def loss_of(model: Any, rows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Mean cross-entropy in nats over the predicted tokens of the rows, shape (n, LENGTH), and their number."""
    unpredicted = rows >= int(UNPREDICTED)
    tokens = rows & (int(UNPREDICTED) - 1)
    wanted = ~unpredicted[:, 1:]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(
            input_ids=tokens[:, :-1], attention_mask=own_piece(tokens[:, :-1]), position_ids=positions(tokens[:, :-1]), use_cache=False
        ).last_hidden_state
    # The head is a third of the work: it is spared where nothing is predicted.
    return HeadLoss.apply(hidden[wanted].float(), model.lm_head.weight, tokens[:, 1:][wanted]), int(wanted.sum())


def positions(tokens: torch.Tensor) -> torch.Tensor:
    """Position of each token in its own piece, counted from its ``<bos>``; shape as given."""
    index = torch.arange(tokens.shape[1]).expand_as(tokens)
    starts = torch.where(tokens == BOS, index, 0).cummax(dim=1).values
    return index - starts


def own_piece(tokens: torch.Tensor) -> torch.Tensor:
    """Additive mask that shows each token what stands before it in its own piece; shape (n, 1, length, length)."""
    piece = (tokens == BOS).cumsum(dim=1)
    seen = (piece[:, :, None] == piece[:, None, :]).tril()
    return torch.where(seen, 0.0, float("-inf"))[:, None].to(torch.bfloat16)


class Rows:
    """The rows of all passes in order, again from the first when they end."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("rows-*.u16"))
        if not paths:
            raise SystemExit(f"no rows in {folder}; run prepare.py first")
        self.parts = [np.memmap(path, dtype=np.uint16, mode="r").reshape(-1, LENGTH) for path in paths]
        self.total = sum(map(len, self.parts))

    def take(self, start: int, n: int) -> torch.Tensor:
        """Rows ``start`` to ``start + n`` of the endless sequence, shape (n, LENGTH)."""
        return torch.from_numpy(np.stack([self._row((start + i) % self.total) for i in range(n)]).astype(np.int64))

    def _row(self, i: int) -> np.ndarray:
        for part in self.parts:
            if i < len(part):
                return part[i]
            i -= len(part)
        raise IndexError(i)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one and exchange them."""
    fresh = path.with_suffix(".tmp")
    with fresh.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def train(folder: Path, settings: Settings, decay: int) -> None:
    """Train until stopped, or until the rate has reached zero."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(configuration())
    model.train()
    both = optimizers(model, settings)
    state: dict[str, Any] = {"step": 0, "row": 0, "tokens": 0, "cpu_seconds": 0.0, "decayed": 0}
    stable, decaying = folder / "stable.pt", folder / "decaying.pt"
    latest = decaying if decay and decaying.exists() else stable
    if latest.exists():
        saved = torch.load(latest, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, own in zip(both, saved["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        state = {key: saved[key] for key in state}
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    rows, rates = Rows(folder), [settings.muon_rate, settings.adam_rate]
    spent, started, saved_at = state["cpu_seconds"], time.process_time(), time.monotonic()
    losses: list[float] = []
    while not stopping and not (decay and state["decayed"] >= decay):
        factor = min(1.0, (state["step"] + 1) / settings.warm_up) * (1 - state["decayed"] / decay if decay else 1.0)
        for optimizer, rate in zip(both, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss, n_tokens = loss_of(model, rows.take(state["row"], settings.rows))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_norm)
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        state.update(
            step=state["step"] + 1,
            row=state["row"] + settings.rows,
            tokens=state["tokens"] + n_tokens,
            cpu_seconds=spent + time.process_time() - started,
        )
        state["decayed"] += bool(decay)
        if not np.isfinite(losses[-1]):
            raise SystemExit(f"the loss of step {state['step']} is not finite; lower the learning rate")
        if state["step"] % 25 == 0:
            figures = {**state, "loss": round(float(np.mean(losses)), 4), "norm": round(float(norm), 2), "rate": round(factor, 3)}
            print(json.dumps({**figures, "cpu_seconds": round(state["cpu_seconds"])}), time.strftime("%H:%M:%S"), flush=True)
            losses = []
        if time.monotonic() - saved_at > settings.save_seconds:
            saved_at = time.monotonic()
            save(decaying if decay else stable, _whole(model, both, state, settings))
    save(decaying if decay else stable, _whole(model, both, state, settings))


def _whole(model: Any, both: list[torch.optim.Optimizer], state: dict[str, Any], settings: Settings) -> dict[str, Any]:
    return {"model": model.state_dict(), "optimizers": [o.state_dict() for o in both], "settings": asdict(settings), **state}


def main() -> None:
    """Train from where the last call ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--decay", type=int, default=0)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.work, Settings(rows=arguments.rows), arguments.decay)


if __name__ == "__main__":
    main()
