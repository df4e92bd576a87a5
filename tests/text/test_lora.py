"""Gradients per record: equal to a batch of one, to Opacus, to peft's own sum; clipping; what is refused."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from text_models import ARCHITECTURES, adapted, batch, losses_of, tiny_model  # noqa: E402

from privsynth.errors import PlanError  # noqa: E402
from privsynth.text.lora import LoraSettings, PerRecordLora, add_adapter, clip_factors  # noqa: E402


def per_record(model, ids, mask):
    lora = PerRecordLora(model)
    with lora.recording():
        return lora.gradients(losses_of(model, ids, mask)).clone()


def by_loop(model, ids, mask):
    """Oracle: peft's own forward and torch's summed gradient, one record at a time, padding cut off."""
    rows = []
    for record in range(len(ids)):
        model.zero_grad()
        length = int(mask[record].nonzero().max()) + 1
        losses_of(model, ids[record : record + 1, :length], mask[record : record + 1, :length]).sum().backward()
        factors = [parameter.grad.reshape(-1) for parameter in model.parameters() if parameter.requires_grad]
        rows.append(torch.cat(factors))
    return torch.stack(rows)


def relative(ours, theirs):
    return float(((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_gradients_equal_a_batch_of_one(name):
    model = adapted(tiny_model(name))
    ids, mask = batch(lengths=(9, 3, 12, 1), seed=1)
    assert relative(per_record(model, ids, mask), by_loop(model, ids, mask)) < 1e-6


@pytest.mark.parametrize("targets", [("c_attn",), ("c_attn", "c_fc", "c_proj")])
def test_chosen_layers_of_gpt2_equal_a_batch_of_one(targets):
    model = adapted(tiny_model("gpt2"), LoraSettings(rank=3, targets=targets))
    ids, mask = batch(lengths=(7, 8), seed=2)
    assert relative(per_record(model, ids, mask), by_loop(model, ids, mask)) < 1e-6


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_gradients_equal_opacus(name):
    opacus = pytest.importorskip("opacus")
    model = adapted(tiny_model(name))
    ids, mask = batch(lengths=(9, 5, 6), seed=3)
    ours = per_record(model, ids, mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = opacus.GradSampleModule(model.train(), loss_reduction="sum", strict=False)  # it records in training mode only
        losses_of(wrapped, ids, mask).sum().backward()
    theirs = torch.cat([p.grad_sample.reshape(len(ids), -1) for p in model.parameters() if p.requires_grad], dim=1)
    assert relative(ours, theirs) < 1e-6


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_record_changes_its_own_gradient_only(name):
    model = adapted(tiny_model(name))
    ids, mask = batch(lengths=(9, 9, 9), seed=4)
    other = ids.clone()
    other[1] = (other[1] + 1) % 40
    before, after = per_record(model, ids, mask), per_record(model, other, mask)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1])


def test_under_autocast_the_buffer_is_single_precision_and_close():
    model = adapted(tiny_model("llama"))
    ids, mask = batch(lengths=(9, 5), seed=5)
    exact = per_record(model, ids, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = per_record(model, ids, mask)
    assert rough.dtype == torch.float32
    assert 0 < relative(rough, exact) < 0.1


def test_a_layer_used_twice_adds_up():
    model = tiny_model("llama")
    model.model.layers[1] = model.model.layers[0]
    model = adapted(model)
    ids, mask = batch(lengths=(6, 4), seed=6)
    assert relative(per_record(model, ids, mask), by_loop(model, ids, mask)) < 1e-6


def test_the_flat_vector_is_the_adapter():
    model = adapted(tiny_model("llama"))
    lora = PerRecordLora(model)
    weights = lora.weights()
    expected = torch.cat([p.detach().reshape(-1) for p in model.parameters() if p.requires_grad])
    assert torch.equal(weights, expected)
    lora.assign(2 * weights)
    assert torch.equal(lora.weights(), 2 * weights)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_peft_opens_the_adapter_with_the_same_outputs(name, tmp_path):
    from peft import PeftModel

    model = adapted(tiny_model(name))
    ids, _ = batch(lengths=(8, 8), seed=7)
    lora = PerRecordLora(model)
    with lora.recording(), torch.no_grad():
        ours = model(input_ids=ids).logits
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = PeftModel.from_pretrained(tiny_model(name), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(opened(input_ids=ids).logits, ours)


def test_a_fresh_adapter_changes_nothing():
    ids, _ = batch(lengths=(8,), seed=8)
    with torch.no_grad():
        before = tiny_model("llama")(input_ids=ids).logits
        after = add_adapter(tiny_model("llama"), LoraSettings()).eval()(input_ids=ids).logits
    assert torch.equal(before, after)


def clip(rows, max_norm):
    return clip_factors(rows, max_norm)[:, None] * rows


def test_clipping_bounds_every_row_and_keeps_short_ones():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [1e19, 1e19]])
    clipped = clip(rows.clone(), 1.0)
    assert torch.equal(clipped[1:3], rows[1:3])
    assert clipped.norm(dim=1).max() <= 1.0
    assert clipped[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_not_finite_counts_as_zero(bad):
    rows = torch.tensor([[bad, 1.0], [0.1, 0.1]])
    clipped = clip(rows, 1.0)
    assert clipped[0].tolist() == [0.0, 0.0]
    assert clipped[1].tolist() == pytest.approx([0.1, 0.1])


def test_clipped_rows_are_never_longer_than_allowed():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 5000, generator=generator) * torch.logspace(-6, 6, 200)[:, None]
    assert float(torch.linalg.vector_norm(clip(rows, 0.1), dim=1, dtype=torch.float64).max()) <= 0.1


def dropout(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(lora_dropout=0.1, target_modules=["q_proj"]))


def dora(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(use_dora=True, target_modules=["q_proj"]))


def embedding(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(target_modules=["q_proj", "embed_tokens"]))


def whole_head(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(target_modules=["q_proj"], modules_to_save=["norm"]))


def checkpointing(model):
    model = adapted(model)
    model.gradient_checkpointing_enable()
    return model


def two_adapters(model):
    from peft import LoraConfig

    model = adapted(model)
    model.add_adapter("second", LoraConfig(target_modules=["q_proj"]))
    return model


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (dropout, "dropout"),
        (dora, "DoRA"),
        (embedding, "Embedding"),
        (whole_head, "freeze it"),
        (checkpointing, "checkpointing"),
        (two_adapters, "adapters"),
        (lambda model: model, "no LoRA layer"),
    ],
)
def test_what_breaks_exactness_is_refused(build, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build(tiny_model("llama"))
    with pytest.raises(PlanError, match=reason):
        PerRecordLora(model)


def test_a_mean_over_the_batch_is_refused():
    model = adapted(tiny_model("llama"))
    lora = PerRecordLora(model)
    ids, mask = batch(lengths=(5, 4), seed=9)
    with lora.recording(), pytest.raises(PlanError, match="one loss per record"):
        lora.gradients(losses_of(model, ids, mask).mean())


def test_a_layer_that_mixes_records_is_refused():
    model = tiny_model("llama")
    inner = model.model.layers[0].mlp
    original = inner.forward
    inner.forward = lambda x: original(x.reshape(1, -1, x.shape[-1])).reshape(x.shape)
    model = adapted(model)
    lora = PerRecordLora(model)
    ids, mask = batch(lengths=(5, 5), seed=10)
    with lora.recording(), pytest.raises(PlanError, match="mixes records"):
        lora.gradients(losses_of(model, ids, mask))


def test_unknown_targets_are_refused():
    with pytest.raises(PlanError, match="name no linear layer"):
        add_adapter(tiny_model("llama"), LoraSettings(targets=("nothing",)))
