"""One gradient per record for LoRA adapters, exact, in a single backward pass.

The gradient of one record with respect to a layer's factors A (r, in) and B (out, r) is a product of two small matrices that the backward
pass holds anyway: with input x (T, in), h = x A^T (T, r) and output gradient g (T, out),

    dB = s g^T h        dA = s (g B)^T x        (s = alpha / r)

so that keeping records apart costs as many multiplications as adding them up, and r (in + out) numbers of memory per record and layer. Each
adapted layer gets an autograd function that writes both products, record by record, into one flat (n_records, size) buffer of
single precision. Norms, clipping and sums are then a row norm and one vector-matrix product. Ghost clipping (Li et al. 2022,
arXiv:2110.05679) saves memory for wide full layers at the price of a second backward pass; for LoRA there is nothing to save.

The adapters are peft's own: peft makes, names, saves and opens them, only their forward pass is replaced while gradients per record are
wanted.
What would make a record's gradient depend on other records, or on unseen coins, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from privsynth.errors import PlanError

Tensor = torch.Tensor

ADAPTER = "default"
"""Name of the adapter, peft's own default."""

ROUNDING = 2.0**-17
"""Clipped gradients are this much shorter than allowed, so that single-precision rounding never makes one too long."""

BLOCK = 1024
"""Squares that are added up in single precision."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Shape of an adapter; public choices.

    Attributes:
        rank: Of each product B A.
        alpha: The product is scaled by ``alpha / rank``.
        targets: Names of the adapted modules; empty for every linear layer but the output head.
    """

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse shapes that are none."""
        if self.rank < 1 or self.alpha < 1:
            raise PlanError(f"rank={self.rank!r}, alpha={self.alpha!r}; expected whole numbers of at least 1")


def add_adapter(model: Any, settings: LoraSettings) -> Any:
    """A peft model around ``model``, whose own weights are frozen; B is zero, so the model computes what it computed before.

    The random start of A comes from torch's global generator: it is public, and no part of the guarantee.

    Raises:
        PlanError: The model has no layer of these names.
    """
    import warnings

    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=list(settings.targets) or "all-linear",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out")  # peft corrects this itself for GPT-2's layers
        warnings.filterwarnings("ignore", category=FutureWarning)  # peft asks transformers by names of older versions
        try:
            return get_peft_model(model, config)
        except ValueError:
            raise PlanError(
                f"targets={list(settings.targets)!r} name no linear layer of {type(model).__name__}; "
                "leave them empty to adapt every linear layer"
            ) from None


@dataclass(frozen=True)
class _Place:
    """Where one layer's factors live in the flat vector."""

    layer: Any
    start: int
    rank: int
    inputs: int
    outputs: int

    @property
    def middle(self) -> int:
        return self.start + self.rank * self.inputs

    @property
    def end(self) -> int:
        return self.middle + self.rank * self.outputs

    def factors(self) -> tuple[Tensor, Tensor]:
        """A (r, in) and B (out, r)."""
        return self.layer.lora_A[ADAPTER].weight, self.layer.lora_B[ADAPTER].weight


class PerRecordLora:
    """The adapter of a peft model as one flat vector, with gradients per record.

    Attributes:
        size: Length of the flat vector: layer by layer, A then B, row by row.

    Raises:
        PlanError: Something in the model would make gradients per record inexact.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        layers = _lora_layers(model)
        _refuse_inexact(model, layers)
        places, start = [], 0
        for layer in layers:
            factor_a, factor_b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
            place = _Place(layer, start, factor_a.shape[0], factor_a.shape[1], factor_b.shape[0])
            places.append(place)
            start = place.end
        self.size = start
        self._places = tuple(places)
        self._buffer = torch.zeros(0)
        self._written: set[int] = set()
        self._n_records = 0

    def weights(self) -> Tensor:
        """The adapter as a flat vector, shape (size,), single precision."""
        return torch.cat([factor.detach().float().reshape(-1) for place in self._places for factor in place.factors()])

    def assign(self, weights: Tensor) -> None:
        """Set the adapter from a flat vector, shape (size,)."""
        with torch.no_grad():
            for place in self._places:
                factor_a, factor_b = place.factors()
                factor_a.copy_(weights[place.start : place.middle].view_as(factor_a))
                factor_b.copy_(weights[place.middle : place.end].view_as(factor_b))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While inside, losses of the model can be given to ``gradients``; peft's own forward pass afterwards."""
        for place in self._places:
            place.layer.forward = partial(_forward, self, place)
        try:
            yield
        finally:
            for place in self._places:
                del place.layer.forward
            self.release()

    def gradients(self, losses: Tensor) -> Tensor:
        """The gradient of each record's loss, shape (n_records, size), single precision; overwritten by the next call.

        Args:
            losses: One loss per record of the batch that was just computed inside ``recording``, shape (n_records,). The loss of a
                record must not depend on other records: a mean over the tokens of a batch would.

        Raises:
            PlanError: ``losses`` is a single number, or a layer mixes records.
        """
        if losses.dim() != 1:
            raise PlanError(
                f"losses have shape {tuple(losses.shape)}; expected one loss per record: "
                "a mean over the batch makes a record's gradient depend on the others"
            )
        self._n_records = losses.shape[0]
        if self._buffer.shape[0] < self._n_records or self._buffer.device != losses.device:
            self._buffer = torch.zeros(0)  # the old one is freed first
            self._buffer = torch.empty(self._n_records, self.size, device=losses.device)
        self._written.clear()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        for place in self._places:
            if place.start not in self._written:  # a layer that the losses do not reach
                self._buffer[: self._n_records, place.start : place.end] = 0
        return self._buffer[: self._n_records]

    def release(self) -> None:
        """Give the buffer's memory back."""
        self._buffer = torch.zeros(0)

    def _write(self, place: _Place, grad_a: Tensor, grad_b: Tensor) -> None:
        """Put one layer's gradients, (n, r, in) and (n, out, r), in their columns."""
        n = grad_a.shape[0]
        if n != self._n_records:
            raise PlanError(
                f"a layer {type(place.layer.get_base_layer()).__name__} sees {n} records of a batch of {self._n_records}: this "
                "architecture mixes records inside a layer, and their gradients cannot be told apart; name other targets"
            )
        rows = self._buffer[:n]
        view_a = rows[:, place.start : place.middle].view(n, place.rank, place.inputs)
        view_b = rows[:, place.middle : place.end].view(n, place.outputs, place.rank)
        if place.start in self._written:  # a layer that is used twice in one pass
            view_a += grad_a
            view_b += grad_b
        else:
            view_a.copy_(grad_a)
            view_b.copy_(grad_b)
            self._written.add(place.start)


def clip_factors(gradients: Tensor, max_norm: float) -> Tensor:
    """Factor by which each row is shortened to ``max_norm`` at most, shape (n,), single precision.

    Rows that are not finite are set to zero, in place. Squares are summed in single precision within short blocks, where rounding stays
    below a quarter of ``ROUNDING``, and in double precision over blocks.

    Args:
        gradients: Shape (n, size).
        max_norm: Above 0.
    """
    n, blocks = gradients.shape[0], gradients.shape[1] // BLOCK
    norms = torch.linalg.vector_norm(gradients[:, : blocks * BLOCK].view(n, blocks, BLOCK), dim=2).double()  # (n, blocks)
    rest = torch.linalg.vector_norm(gradients[:, blocks * BLOCK :], dim=1).double()
    lengths = torch.sqrt(norms.square().sum(1) + rest.square())
    finite = torch.isfinite(lengths)
    if not bool(finite.all()):
        gradients[~finite] = 0
        lengths = torch.where(finite, lengths, 0.0)
    return torch.clamp(max_norm * (1 - ROUNDING) / lengths.clamp_min(1e-300), max=1.0).float()


class _PerRecordLinear(torch.autograd.Function):
    """base_out + (x A^T B^T) scaling, whose backward writes the factors' gradients per record and returns none for them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base_out: Tensor, factor_a: Tensor, factor_b: Tensor, scaling: float, sink: Any) -> Tensor:
        low = functional.linear(x, factor_a)
        ctx.save_for_backward(x, low, factor_a, factor_b)
        ctx.scaling, ctx.sink = scaling, sink
        return base_out + functional.linear(low, factor_b) * scaling

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        x, low, factor_a, factor_b = ctx.saved_tensors
        grad_low = (grad @ factor_b) * ctx.scaling  # (n, T, r)
        per_record_a = torch.bmm(grad_low.transpose(1, 2), x)  # (n, r, in)
        # As (n, r, out) and turned afterwards: a product with r columns takes up to four times as long as one with r rows.
        per_record_b = torch.bmm(low.transpose(1, 2), grad).mul_(ctx.scaling)
        ctx.sink(per_record_a, per_record_b.transpose(1, 2))
        grad_x = grad_low @ factor_a if ctx.needs_input_grad[0] else None
        return grad_x, grad if ctx.needs_input_grad[1] else None, None, None, None, None


def _forward(lora: PerRecordLora, place: _Place, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The forward pass of an adapted layer inside ``recording``; the same operations as peft's."""
    if x.dim() != 3:
        raise PlanError(
            f"a layer {type(place.layer.get_base_layer()).__name__} sees an input of shape {tuple(x.shape)}; expected (records, tokens, "
            "features): this architecture mixes records inside a layer; name other targets"
        )
    base_out = place.layer.base_layer(x, *args, **kwargs)
    factor_a, factor_b = place.factors()
    dtype = base_out.dtype  # bfloat16 under autocast: the products are, the buffer is not
    out: Tensor = _PerRecordLinear.apply(  # type: ignore[no-untyped-call]
        x.to(dtype), base_out, factor_a.to(dtype), factor_b.to(dtype), place.layer.scaling[ADAPTER], partial(lora._write, place)
    )
    return out


def _lora_layers(model: Any) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def _refuse_inexact(model: Any, layers: list[Any]) -> None:
    """Refuse, with the reason, whatever breaks gradients per record."""
    from peft.tuners.lora.layer import Linear
    from transformers.pytorch_utils import Conv1D

    if not layers:
        raise PlanError("the model has no LoRA layer; add one with add_adapter")
    if any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        raise PlanError("gradient checkpointing is on: layers run twice, and each record's gradient would be written twice; turn it off")
    adapters = set()
    for layer in layers:
        adapters |= {ADAPTER} ^ set(layer.lora_A)
        base = layer.get_base_layer()
        if not isinstance(layer, Linear) or not isinstance(base, torch.nn.Linear | Conv1D):
            raise PlanError(
                f"a {type(base).__name__} is adapted; gradients per record are exact for linear layers only: name other targets"
            )
        if layer.lora_variant:
            raise PlanError("a variant of LoRA is used (DoRA or another); its factors enter nonlinearly: use plain LoRA")
        if any(getattr(dropout, "p", 0.0) > 0 for dropout in layer.lora_dropout.values()):
            raise PlanError("lora_dropout is above 0: the released adapter would depend on coins that the proof does not know; set it to 0")
        if layer.merged:
            raise PlanError("the adapter is merged into the model; unmerge it before training")
        if any(bool(layer.lora_bias.get(name)) for name in layer.lora_A):
            raise PlanError("lora_bias is on: the bias would be trained without clipping; turn it off")
    if adapters:
        raise PlanError(f"the model has adapters {sorted(adapters)}; expected one, named {ADAPTER!r}")
    known = {id(factor) for layer in layers for factor in (layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight)}
    if len(known) != 2 * len(layers):
        raise PlanError("two layers share one factor; expected factors of their own")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in known:
            raise PlanError(f"parameter={name!r} is trainable beside the adapter and would be trained without clipping; freeze it")
        if not parameter.requires_grad and id(parameter) in known:
            raise PlanError(f"parameter={name!r} of the adapter is frozen; train all of it")
