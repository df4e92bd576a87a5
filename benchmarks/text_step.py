"""What does a DP-LoRA step cost? One logical step of 32 texts against plain peft and Opacus, in turns, in one process.

    python benchmarks/text_step.py --rounds 3
    python benchmarks/text_step.py --memory          (a process of its own for each way)

Random models of 6 layers, width 384, vocabulary 8,192, single precision, one thread; rank 8, texts of 128 tokens, microbatches of 16.
Every way computes the same loss, the sum over texts of their mean loss per token, and an Adam step. Ratios are medians over rounds of CPU
time over that of plain peft in the same round.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
import transformers

from privsynth.privacy import SystemNoise
from privsynth.text.lora import LoraSettings, PerRecordLora, add_adapter, clip_factors
from privsynth.text.prompts import TokenizedText
from privsynth.text.training import losses_per_text, noisy_sum

VOCABULARY, LENGTH, TEXTS, MICROBATCH, NORM = 8192, 128, 32, 16, 0.5

Step = Callable[[list[TokenizedText]], None]


def model_of(architecture: str) -> tuple[torch.nn.Module, LoraSettings]:
    torch.manual_seed(0)
    if architecture == "gpt2":
        facts = {
            "vocab_size": VOCABULARY,
            "n_embd": 384,
            "n_layer": 6,
            "n_head": 6,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        }
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**facts)), LoraSettings(targets=("c_attn",))
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6, tie_word_embeddings=True
    )
    return transformers.LlamaForCausalLM(config), LoraSettings()


def microbatches(texts: list[TokenizedText]) -> list[list[TokenizedText]]:
    return [texts[start : start + MICROBATCH] for start in range(0, len(texts), MICROBATCH)]


def adam(model: torch.nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-3)


def plain(model: torch.nn.Module) -> Step:
    optimizer = adam(model)

    def step(texts: list[TokenizedText]) -> None:
        optimizer.zero_grad()
        for part in microbatches(texts):
            losses_per_text(model, part).sum().backward()
        optimizer.step()

    return step


def ours(model: torch.nn.Module) -> Step:
    lora, noise = PerRecordLora(model), SystemNoise()
    flat = torch.nn.Parameter(lora.weights())
    optimizer = torch.optim.Adam([flat], lr=1e-3)

    def step(texts: list[TokenizedText]) -> None:
        total = torch.zeros(lora.size, dtype=torch.float64)
        with lora.recording():
            for part in microbatches(texts):
                gradients = lora.gradients(losses_per_text(model, part))
                total += clip_factors(gradients, NORM) @ gradients
        flat.grad = torch.from_numpy(noisy_sum(total.numpy(), max_norm=NORM, noise_multiplier=1.0, noise=noise)).float()
        optimizer.step()
        lora.assign(flat.detach())

    return step


def opacus_hooks(model: torch.nn.Module, *, functorch: bool = False) -> Step:
    import opacus

    wrapped = opacus.GradSampleModule(model.train(), loss_reduction="sum", strict=False, force_functorch=functorch)
    optimizer = opacus.optimizers.DPOptimizer(
        adam(model), noise_multiplier=1.0, max_grad_norm=NORM, expected_batch_size=TEXTS, loss_reduction="sum"
    )

    def step(texts: list[TokenizedText]) -> None:
        parts = microbatches(texts)
        for number, part in enumerate(parts):
            optimizer.signal_skip_step(number + 1 < len(parts))
            losses_per_text(wrapped, part).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def opacus_functorch(model: torch.nn.Module) -> Step:
    return opacus_hooks(model, functorch=True)


def opacus_ghost(model: torch.nn.Module) -> Step:
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping

    wrapped = GradSampleModuleFastGradientClipping(
        model.train(), max_grad_norm=NORM, use_ghost_clipping=True, loss_reduction="sum", strict=False
    )
    optimizer = DPOptimizerFastGradientClipping(
        adam(model), noise_multiplier=1.0, max_grad_norm=NORM, expected_batch_size=TEXTS, loss_reduction="sum"
    )

    def step(texts: list[TokenizedText]) -> None:
        parts = microbatches(texts)
        for number, part in enumerate(parts):
            optimizer.signal_skip_step(number + 1 < len(parts))
            losses = losses_per_text(wrapped, part)
            losses.sum().backward(retain_graph=True)
            for parameter in optimizer.params:
                parameter.grad = None
            coefficients = wrapped.get_clipping_coef()
            wrapped.disable_hooks()
            (coefficients * losses).sum().backward()
            wrapped.enable_hooks()
            optimizer.step()
            optimizer.zero_grad()

    return step


WAYS: dict[str, Callable[[torch.nn.Module], Step]] = {
    "plain peft": plain,
    "privsynth": ours,
    "Opacus hooks": opacus_hooks,
    "Opacus functorch": opacus_functorch,
    "Opacus ghost": opacus_ghost,
}


def texts(rng: np.random.Generator) -> list[TokenizedText]:
    return [TokenizedText(rng.integers(3, VOCABULARY, LENGTH), 1) for _ in range(TEXTS)]


def ready(way: str, architecture: str) -> Step:
    model, settings = model_of(architecture)
    adapted = add_adapter(model, settings)
    return WAYS[way](adapted.eval())


def cpu_seconds(step: Step, data: list[TokenizedText]) -> float:
    start = time.process_time()
    step(data)
    return time.process_time() - start


def time_table(architecture: str, rounds: int) -> None:
    data = texts(np.random.default_rng(0))
    steps = {way: ready(way, architecture) for way in WAYS}
    for step in steps.values():
        step(data[:MICROBATCH])
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, step in steps.items():
            seconds[way].append(cpu_seconds(step, data))
    for way in WAYS:
        ratios = np.array(seconds[way]) / np.array(seconds["plain peft"])
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})"
        print(f"{architecture:6} {way:18} {np.median(seconds[way]):6.2f} CPU-s  {spread}", flush=True)


def peak_memory(architecture: str, way: str) -> None:
    step, data = ready(way, architecture), texts(np.random.default_rng(0))
    for _ in range(2):
        step(data)
    print(f"{architecture:6} {way:18} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", nargs=2, metavar=("ARCHITECTURE", "WAY"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.only:
        peak_memory(*options.only)
        return
    for architecture in ("llama", "gpt2"):
        if options.memory:
            for way in WAYS:
                subprocess.run([sys.executable, __file__, "--only", architecture, way], check=True)
        else:
            time_table(architecture, options.rounds)


if __name__ == "__main__":
    main()
