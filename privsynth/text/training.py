"""DP-SGD for an adapter: what leaves each step is one noisy sum, and the sum moves by at most the clipping norm with one person.

Abadi et al. (2016), arXiv:1607.00133, with people as the unit (Charles et al. 2024, arXiv:2407.07737, user-level sampling). One step:

1. each person is drawn by an own coin of a public rate (Poisson sampling; the draw may be empty, and then noise alone is added);
2. each of the person's texts gives the gradient of its mean loss per token, over the text and its end, not the prompt;
3. the person's gradient is their mean, zero if it is not finite, shortened once to ``max_grad_norm``;
4. the sum over people gets Gaussian noise of ``noise_multiplier * max_grad_norm`` and is put on a grid;
5. Adam takes the result.

A person's gradient depends on nobody else: losses are never averaged over a batch. So adding or removing a person, whatever their texts,
moves the sum of step 3 by at most ``max_grad_norm``. Nothing else of the data leaves a step: no loss is shown, no choice is made by one,
the number of steps is fixed, and only weights that are not finite stop it. A checkpoint holds the step, the weights and Adam's state,
which are functions of noisy sums; draws and noise are fresh after it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from privsynth.errors import PlanError, PrivSynthError, SourceError
from privsynth.privacy import NoiseSource
from privsynth.text.base import IntArray, Progress, TextRecords, limit_per_group
from privsynth.text.lora import PerRecordLora, clip_factors
from privsynth.text.prompts import TokenizedText, tokenize

Tensor = torch.Tensor
FloatArray = npt.NDArray[np.float64]

GRID = 2.0**-20
"""A noisy sum is rounded to the power of two nearest to this part of the noise's standard deviation."""


@dataclass(frozen=True, kw_only=True)
class DPSGD:
    """What decides the cost of training, and what decides how well noise is used; all public choices.

    Attributes:
        sampling_prob: Rate at which each person is drawn in each step, in (0, 1].
        steps: Noisy sums that are released.
        max_texts_per_person: More texts of a person are left out, chosen by coins.
        max_grad_norm: Length to which a person's gradient is shortened.
        learning_rate: Of Adam, at its highest.
        warmup: Share of the steps in which the rate rises; then it falls linearly to zero.
        max_tokens: Longest prompt with its text; texts beyond it are cut.
    """

    sampling_prob: float
    steps: int
    max_texts_per_person: int = 1
    max_grad_norm: float = 0.5
    learning_rate: float = 2e-3
    warmup: float = 0.05
    max_tokens: int = 128

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if not 0 < self.sampling_prob <= 1 or self.steps < 1 or self.max_texts_per_person < 1 or self.max_tokens < 2:
            raise PlanError(
                f"sampling_prob={self.sampling_prob!r}, steps={self.steps!r}, max_texts_per_person={self.max_texts_per_person!r}, "
                f"max_tokens={self.max_tokens!r}; expected a rate in (0, 1] and whole numbers of at least 1, 1 and 2"
            )
        if not (0 < self.max_grad_norm < math.inf and 0 < self.learning_rate < math.inf and 0 <= self.warmup < 1):
            raise PlanError(
                f"max_grad_norm={self.max_grad_norm!r}, learning_rate={self.learning_rate!r}, warmup={self.warmup!r}; "
                "expected numbers above 0 and a share below 1"
            )


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What changes time and memory and never the guarantee.

    Attributes:
        microbatch: Texts computed at once.
        autocast: Compute products in bfloat16.
        checkpoint_every: Steps between checkpoints.
    """

    microbatch: int = 16
    autocast: bool = True
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if self.microbatch < 1 or self.checkpoint_every < 1:
            raise PlanError(f"microbatch={self.microbatch!r}, checkpoint_every={self.checkpoint_every!r}; expected at least 1")


@dataclass(frozen=True)
class TrainingTexts:
    """What training reads.

    Attributes:
        texts: Tokenized, at most ``max_texts_per_person`` of each person.
        of_person: Positions of each person's texts.
        n_cut: Texts that were longer than allowed. Exact, so internal.
        n_left_out: Texts beyond the limit per person. Exact, so internal.
    """

    texts: tuple[TokenizedText, ...]
    of_person: tuple[IntArray, ...]
    n_cut: int
    n_left_out: int


def prepare(records: TextRecords, tokenizer: Any, settings: DPSGD, *, noise: NoiseSource) -> TrainingTexts:
    """Tokenize, and keep at most ``max_texts_per_person`` texts of each person."""
    kept = records.select(limit_per_group(records.persons(), settings.max_texts_per_person, noise=noise))
    pairs = [tokenize(tokenizer, p, t, max_tokens=settings.max_tokens) for p, t in zip(kept.prompts, kept.texts, strict=True)]
    persons = kept.persons()
    order = np.argsort(persons, kind="stable")
    borders = np.flatnonzero(np.diff(persons[order])) + 1
    return TrainingTexts(
        texts=tuple(text for text, _ in pairs),
        of_person=tuple(np.split(order, borders)),
        n_cut=sum(cut for _, cut in pairs),
        n_left_out=len(records.texts) - len(kept.texts),
    )


def noisy_sum(clipped: FloatArray, *, max_norm: float, noise_multiplier: float, noise: NoiseSource) -> FloatArray:
    """A sum of clipped gradients with Gaussian noise, on a grid, shape (size,): all that leaves a step.

    Args:
        clipped: A sum that one person moves by at most ``max_norm`` in L2.
        max_norm: That bound.
        noise_multiplier: Standard deviation of the noise over ``max_norm``; 0 adds none (no guarantee).
        noise: Where noise comes from.
    """
    if noise_multiplier == 0:
        return clipped
    sigma = noise_multiplier * max_norm
    step = 2.0 ** round(math.log2(sigma * GRID))
    return np.asarray(np.rint((clipped + sigma * noise.normals(len(clipped))) / step) * step)


def train(
    model: Any,
    data: TrainingTexts,
    settings: DPSGD,
    *,
    noise_multiplier: float,
    noise: NoiseSource,
    speed: Speed | None = None,
    logit_bias: Tensor | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> None:
    """Train the adapter of a peft model in place.

    Args:
        model: A peft model with one LoRA adapter; it is set to evaluation mode, so that no dropout acts.
        data: From ``prepare``.
        settings: The plan.
        noise_multiplier: As reserved; 0 for training without a guarantee.
        noise: Where draws and noise come from.
        speed: Time and memory.
        logit_bias: Added to the logits of every position, shape (vocabulary,): part of the model from the start.
        checkpoint: Where the state is kept; training goes on from a file that is there.
        progress: Told after each step.
        warn: Told when a microbatch is halved.

    Raises:
        PrivSynthError: The weights are not finite, or one text does not fit into memory.
        SourceError: The checkpoint is of another training.
    """
    model.eval()
    lora = PerRecordLora(model)
    device = next(model.parameters()).device
    flat = torch.nn.Parameter(lora.weights())
    adam = torch.optim.Adam([flat], lr=settings.learning_rate, betas=(0.9, 0.99))
    identity = _identity(settings, noise_multiplier, lora.size)
    first = _load_state(checkpoint, flat, adam, identity)
    lora.assign(flat.detach())
    worker = _Worker(lora, data, speed or Speed(), logit_bias=logit_bias, warn=warn)
    with lora.recording(), _plain_attention(model, device):
        for step in range(first, settings.steps):
            drawn = np.flatnonzero(noise.coins(len(data.of_person), settings.sampling_prob))
            clipped = worker.clipped_sum(drawn, settings.max_grad_norm).cpu().numpy()
            noisy = noisy_sum(clipped, max_norm=settings.max_grad_norm, noise_multiplier=noise_multiplier, noise=noise)
            # Adam's direction does not depend on the scale: dividing by the number of people would only reveal it.
            flat.grad = torch.from_numpy(noisy / settings.max_grad_norm).to(device, torch.float32)
            for group in adam.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, settings)
            adam.step()
            if not bool(torch.isfinite(flat).all()):
                raise PrivSynthError(f"weights are not finite after step {step + 1}; start again with a smaller learning_rate")
            lora.assign(flat.detach())
            if checkpoint is not None and ((step + 1) % worker.speed.checkpoint_every == 0 or step + 1 == settings.steps):
                _save_state(checkpoint, step + 1, flat, adam, identity)
            if progress is not None:
                progress("train", step + 1, settings.steps)


def clipped_sum(model: Any, data: TrainingTexts, people: IntArray, max_norm: float, *, speed: Speed | None = None) -> Tensor:
    """The exact sum of step 3 for these people, shape (size,), double precision: for tests and audits, private data otherwise."""
    lora = PerRecordLora(model)
    with lora.recording():
        return _Worker(lora, data, speed or Speed()).clipped_sum(people, max_norm)


class _Worker:
    """Turns drawn people into their clipped sum, in microbatches that fit into memory."""

    def __init__(
        self,
        lora: PerRecordLora,
        data: TrainingTexts,
        speed: Speed,
        *,
        logit_bias: Tensor | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.lora, self.data, self.speed, self.logit_bias, self.warn = lora, data, speed, logit_bias, warn
        self.device = next(lora.model.parameters()).device
        # Apple's devices know no double precision: there gradients are clipped and added up on the processor.
        self.adder = torch.device("cpu") if self.device.type == "mps" else self.device
        self.lengths = np.array([max(len(data.texts[i].ids) for i in own) for own in data.of_person], dtype=np.int64)

    def clipped_sum(self, people: IntArray, max_norm: float) -> Tensor:
        """Sum over people of their clipped gradients, shape (size,), double precision; zero for nobody."""
        total = torch.zeros(self.lora.size, dtype=torch.float64, device=self.adder)
        queue = list(self._groups(people))
        while queue:
            group = queue.pop()
            try:
                gradients = self._gradients(group).to(self.adder)
                total += clip_factors(gradients, max_norm) @ gradients
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve()
                queue.extend(self._groups(group))
        return total

    def _groups(self, people: IntArray) -> Iterable[IntArray]:
        """People of similar length whose texts fill a microbatch; one person with more texts than that stays whole."""
        group: list[int] = []
        size = 0
        for person in people[np.argsort(self.lengths[people], kind="stable")].tolist():
            own = len(self.data.of_person[person])
            if group and size + own > self.speed.microbatch:
                yield np.array(group, dtype=np.int64)
                group, size = [], 0
            group.append(person)
            size += own
        if group:
            yield np.array(group, dtype=np.int64)

    def _gradients(self, group: IntArray) -> Tensor:
        """Mean gradient of each person's texts, shape (n_people, size), single precision."""
        counts = [len(self.data.of_person[person]) for person in group]
        positions = np.concatenate([self.data.of_person[person] for person in group])
        if max(counts) == 1:
            return self.lora.gradients(self._losses(positions))
        owners = torch.from_numpy(np.repeat(np.arange(len(group)), counts)).to(self.device)
        shares = torch.from_numpy(np.repeat(1 / np.array(counts), counts)).to(self.device, torch.float32)
        means = torch.zeros(len(group), self.lora.size, device=self.device)
        for start in range(0, len(positions), self.speed.microbatch):
            part = slice(start, start + self.speed.microbatch)
            gradients = self.lora.gradients(self._losses(positions[part]))
            means.index_add_(0, owners[part], gradients.mul_(shares[part][:, None]))
        return means

    def _losses(self, positions: IntArray) -> Tensor:
        texts = [self.data.texts[i] for i in positions]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.speed.autocast):
            return losses_per_text(self.lora.model, texts, logit_bias=self.logit_bias)

    def _halve(self) -> None:
        """Half the microbatch from now on."""
        if self.speed.microbatch == 1:
            raise PrivSynthError("one text does not fit into memory; lower max_tokens or rank, or use a smaller model") from None
        self.speed = replace(self.speed, microbatch=self.speed.microbatch // 2)
        self.lora.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.warn is not None:
            self.warn(f"out of memory: microbatch halved to {self.speed.microbatch} texts; the guarantee does not depend on it")


def losses_per_text(model: Any, texts: Sequence[TokenizedText], *, logit_bias: Tensor | None = None) -> Tensor:
    """Mean cross-entropy per token of each text, its end included, its prompt not, in nats, shape (n,).

    Texts are padded on the right, where a causal model cannot look: no mask is needed. The output head sees the positions that are scored
    and no others, which spares its products for prompts and padding.
    """
    device = next(model.parameters()).device
    longest = max(len(text.ids) for text in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.int64)
    scored = torch.zeros(len(texts), longest, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, : len(text.ids)] = torch.from_numpy(text.ids)
        scored[row, text.start - 1 : len(text.ids) - 1] = True
    targets = ids[:, 1:][scored[:, :-1]].to(device)
    rows = scored.nonzero()[:, 0].to(device)
    mask = scored.to(device)
    head = _language_model(model).get_output_embeddings()
    # After the head, models only scale their logits one by one, so that positions may be left out.
    hook = head.register_forward_pre_hook(lambda module, inputs: (inputs[0][mask][None],))
    try:
        logits = model(input_ids=ids.to(device), use_cache=False).logits[0]  # (scored, vocabulary)
    finally:
        hook.remove()
    if len(logits) != len(targets):
        raise PlanError(f"{type(model).__name__} gives {len(logits)} predictions for {len(targets)} tokens; use another model")
    if logit_bias is not None:
        logits = logits + logit_bias
    per_token = functional.cross_entropy(logits.float(), targets, reduction="none")
    counts = torch.bincount(rows, minlength=len(texts))
    return torch.zeros(len(texts), device=device).index_add(0, rows, per_token) / counts


@contextmanager
def _plain_attention(model: Any, device: torch.device) -> Iterator[None]:
    """On a processor, attention as plain products: for short texts the fused kernel's backward pass takes longer."""
    inner = _language_model(model)
    before = inner.config._attn_implementation
    if device.type == "cpu":
        inner.set_attn_implementation("eager")
    try:
        yield
    finally:
        inner.set_attn_implementation(before)


def _language_model(model: Any) -> Any:
    """The transformers model inside the wrappers of peft and Opacus."""
    inner = getattr(model, "_module", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)  # the second is the CPU's


def _schedule(step: int, settings: DPSGD) -> float:
    """Factor of the learning rate: up over the warm-up, then down to zero."""
    rising = settings.warmup * settings.steps
    return min((step + 1) / rising if rising else 1.0, (settings.steps - step) / max(1.0, settings.steps - rising))


def _identity(settings: DPSGD, noise_multiplier: float, size: int) -> str:
    """What a checkpoint must have in common with the training that takes it up."""
    return json.dumps({"settings": asdict(settings), "noise_multiplier": noise_multiplier, "size": size}, sort_keys=True)


def _save_state(path: Path, step: int, flat: Tensor, adam: torch.optim.Adam, identity: str) -> None:
    """Write step, weights and Adam's state in one step."""
    from safetensors.torch import save_file

    state = adam.state[flat]
    tensors = {"weights": flat.detach(), "exp_avg": state["exp_avg"], "exp_avg_sq": state["exp_avg_sq"]}
    draft = path.with_name(f".{path.name}.part")
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, draft, metadata={"step": str(step), "of": identity})
    draft.replace(path)


def _load_state(path: Path | None, flat: Tensor, adam: torch.optim.Adam, identity: str) -> int:
    """Take up a checkpoint if there is one; returns the steps that are done."""
    if path is None or not path.exists():
        return 0
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name).to(flat.device) for name in ("weights", "exp_avg", "exp_avg_sq")}
            step = int(facts["step"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"checkpoint={str(path)!r} is damaged ({type(error).__name__}); remove it and train again, which costs again"
        ) from None
    if facts.get("of") != identity:
        raise SourceError(f"checkpoint={str(path)!r} is of a training with other settings; remove it, or put the settings back")
    with torch.no_grad():
        flat.copy_(tensors["weights"])
    adam.state[flat] = {
        "step": torch.tensor(float(step)),
        "exp_avg": tensors["exp_avg"].clone(),
        "exp_avg_sq": tensors["exp_avg_sq"].clone(),
    }
    return step
