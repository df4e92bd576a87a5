"""DP-SGD: what one person can change, what leaves a step, tokenizing, resuming, and that training learns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from fakes import NoNoise, SeededNoise  # noqa: E402
from text_models import WordTokenizer, adapted, tiny_model  # noqa: E402

from privsynth.errors import PlanError, PrivSynthError, SourceError  # noqa: E402
from privsynth.privacy import SystemNoise  # noqa: E402
from privsynth.text import training  # noqa: E402
from privsynth.text.base import TextRecords  # noqa: E402
from privsynth.text.lora import PerRecordLora  # noqa: E402
from privsynth.text.prompts import tokenize  # noqa: E402
from privsynth.text.training import (  # noqa: E402
    DPSGD,
    Speed,
    clipped_sum,
    losses_per_text,
    noisy_sum,
    prepare,
    train,
)

EXACT = Speed(microbatch=4, autocast=False)
WORDS = "the a card is late new lost bank sent paid fee why".split()


def settings(**changes):
    return DPSGD(**({"sampling_prob": 0.5, "steps": 4, "max_tokens": 24} | changes))


def texts_of(counts, seed=0, words=(1, 9)):
    """Random texts, ``counts[p]`` of person p."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(len(counts)), counts)
    texts = tuple(" ".join(rng.choice(WORDS, rng.integers(*words))) for _ in people)
    prompts = tuple("about: " + rng.choice(WORDS) if rng.random() < 0.7 else "" for _ in people)
    return TextRecords(prompts=prompts, texts=texts, people=people.astype(object))


def prepared(records, **changes):
    return prepare(records, WordTokenizer(WORDS), settings(**changes), noise=SystemNoise())


def sum_over(model, data, people, max_norm=0.5, speed=EXACT):
    return clipped_sum(model, data, np.asarray(people, dtype=np.int64), max_norm, speed=speed)


@pytest.mark.parametrize("counts", [[10, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
@pytest.mark.parametrize("autocast", [False, True])
def test_one_person_moves_the_clipped_sum_by_at_most_the_norm(counts, autocast):
    model = adapted(tiny_model("llama"))
    data = prepared(texts_of(counts), max_texts_per_person=10)
    assert [len(own) for own in data.of_person] == counts
    speed = Speed(microbatch=4, autocast=autocast)
    everyone = sum_over(model, data, range(5), speed=speed)
    for removed in range(5):
        rest = sum_over(model, data, [person for person in range(5) if person != removed], speed=speed)
        assert float((everyone - rest).norm()) <= 0.5 * (1 + 1e-5)  # rounding of sums of others that were computed in another batch
    assert float((everyone - sum_over(model, data, [1, 2, 3, 4], speed=speed)).norm()) > 0.49  # and really by as much


def test_ten_texts_of_one_person_are_averaged_and_clipped_once():
    model, data = adapted(tiny_model("gpt2")), prepared(texts_of([10, 3]), max_texts_per_person=10)
    lora = PerRecordLora(model)
    expected = torch.zeros(lora.size, dtype=torch.float64)
    for own in data.of_person:
        rows = []
        for position in own:
            with lora.recording():
                rows.append(lora.gradients(losses_per_text(model, [data.texts[position]])).clone())
        mean = torch.cat(rows).double().mean(0)
        expected += mean * min(1.0, 0.5 / float(mean.norm()))
    found = sum_over(model, data, [0, 1])
    assert float((found - expected).norm() / expected.norm()) < 1e-5  # both sides round, and one is a little short on purpose


@pytest.mark.parametrize("microbatch", [1, 3, 64])
def test_the_sum_does_not_depend_on_the_microbatch(microbatch):
    model, data = adapted(tiny_model("llama")), prepared(texts_of([1, 4, 2, 1, 7, 1]), max_texts_per_person=10)
    one = sum_over(model, data, range(6), speed=Speed(microbatch=microbatch, autocast=False))
    other = sum_over(model, data, range(6))
    assert float((one - other).norm() / other.norm()) < 2e-6


def test_the_sum_equals_opacus_with_the_same_draw():
    opacus = pytest.importorskip("opacus")
    model, data = adapted(tiny_model("llama")), prepared(texts_of([1] * 8, seed=3))
    drawn = np.array([0, 2, 3, 7])
    ours = sum_over(model, data, drawn)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = opacus.GradSampleModule(model.train(), loss_reduction="sum", strict=False)
        inner = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
        optimizer = opacus.optimizers.DPOptimizer(
            inner, noise_multiplier=0.0, max_grad_norm=0.5, expected_batch_size=1, loss_reduction="sum"
        )
        losses_per_text(wrapped, [data.texts[data.of_person[person][0]] for person in drawn]).sum().backward()
        optimizer.clip_and_accumulate()
    theirs = torch.cat([p.summed_grad.reshape(-1) for p in model.parameters() if p.requires_grad])
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


def test_a_gradient_that_is_not_finite_counts_as_zero(monkeypatch):
    model, data = adapted(tiny_model("llama")), prepared(texts_of([1, 1, 1]))
    without = sum_over(model, data, [0, 2])
    honest = losses_per_text
    bad = data.texts[data.of_person[1][0]]
    monkeypatch.setattr(
        training,
        "losses_per_text",
        lambda model, texts, logit_bias: honest(model, texts) * torch.tensor([np.nan if text is bad else 1.0 for text in texts]),
    )
    assert float((sum_over(model, data, [0, 1, 2]) - without).norm()) < 1e-6


def test_nobody_drawn_sums_to_zero_and_still_gets_noise():
    model, data = adapted(tiny_model("llama")), prepared(texts_of([1, 1]))
    assert float(sum_over(model, data, []).abs().max()) == 0

    class Nobody(SeededNoise):
        def coins(self, n, rate):
            return np.zeros(n, dtype=bool)

    before = PerRecordLora(model).weights()
    train(model, data, settings(steps=1), noise_multiplier=1.0, noise=Nobody(0), speed=EXACT)
    assert float((PerRecordLora(model).weights() != before).float().mean()) > 0.99


def test_losses_are_means_over_the_text_and_its_end():
    model, tokenizer = tiny_model("gpt2"), WordTokenizer(WORDS)
    pieces = [tokenize(tokenizer, p, t, max_tokens=24)[0] for p, t in [("about: card", "the card is late"), ("", "why"), ("bank: a", "")]]
    together = losses_per_text(model, pieces).detach()
    for piece, found in zip(pieces, together, strict=True):
        ids = torch.from_numpy(piece.ids)[None]
        log_probs = torch.log_softmax(model(input_ids=ids).logits[0, :-1].detach(), -1)
        scored = -log_probs[torch.arange(len(piece.ids) - 1), ids[0, 1:]][piece.start - 1 :]
        assert float(found) == pytest.approx(float(scored.mean()), rel=1e-5)


def test_the_prompt_is_a_line_before_the_text():
    tokenizer = WordTokenizer(WORDS)
    piece, cut = tokenize(tokenizer, "about: card", "is late", max_tokens=24)
    assert tokenizer.pieces(piece.ids) == ["<bos>", "about:", "card", "\n", "is", "late", "<eos>"]
    assert (piece.start, cut) == (4, False)


def test_long_texts_are_cut_without_an_end_and_counted():
    tokenizer = WordTokenizer(WORDS)
    piece, cut = tokenize(tokenizer, "", "the card is late", max_tokens=4)
    assert tokenizer.pieces(piece.ids) == ["<bos>", "the", "card", "is"]
    assert cut
    records = TextRecords(prompts=("", ""), texts=("the " * 50, "why"), people=np.array(["a", "b"], dtype=object))
    assert prepared(records).n_cut == 1


def test_a_long_prompt_leaves_half_of_the_room():
    piece, _ = tokenize(WordTokenizer(WORDS), "card " * 50, "is late", max_tokens=12)
    assert piece.start == 6


def test_texts_beyond_the_limit_are_left_out_by_coins():
    data = prepared(texts_of([6, 1]), max_texts_per_person=2)
    assert [len(own) for own in data.of_person] == [2, 1]
    assert data.n_left_out == 4


def test_noise_has_its_scale_and_lies_on_the_grid():
    # 20,000 values: the sample deviation is within 5 standard errors, 2.5 %.
    noisy = noisy_sum(np.zeros(20_000), max_norm=0.5, noise_multiplier=2.0, noise=SystemNoise())
    assert noisy.std() == pytest.approx(1.0, rel=0.025)
    assert np.array_equal(noisy * 2**20, np.rint(noisy * 2**20))


def test_without_noise_training_learns_and_the_base_model_stays():
    torch.manual_seed(0)
    model, data = adapted(tiny_model("llama")), prepared(texts_of([1] * 12, seed=5))
    base = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    before = float(losses_per_text(model, data.texts).detach().mean())
    train(model, data, settings(steps=60, sampling_prob=1.0, learning_rate=0.02), noise_multiplier=0, noise=SystemNoise(), speed=EXACT)
    assert float(losses_per_text(model, data.texts).detach().mean()) < before - 1.0
    assert all(torch.equal(p, base[name]) for name, p in model.named_parameters() if not p.requires_grad)


class Stop(Exception):
    pass


def stop_after(step):
    def progress(what, done, of):
        if done == step:
            raise Stop

    return progress


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path):
    data, path = prepared(texts_of([1] * 4)), tmp_path / "state.safetensors"
    plan, speed = settings(steps=6, sampling_prob=1.0), Speed(microbatch=4, autocast=False, checkpoint_every=2)
    whole = adapted(tiny_model("llama"))
    train(whole, data, plan, noise_multiplier=1.0, noise=NoNoise4Draws(), speed=speed)
    first, second = adapted(tiny_model("llama")), adapted(tiny_model("llama"))
    with pytest.raises(Stop):
        train(first, data, plan, noise_multiplier=1.0, noise=NoNoise4Draws(), speed=speed, checkpoint=path, progress=stop_after(3))
    steps = []
    train(
        second,
        data,
        plan,
        noise_multiplier=1.0,
        noise=NoNoise4Draws(),
        speed=speed,
        checkpoint=path,
        progress=lambda what, done, of: steps.append(done),
    )
    assert steps == [3, 4, 5, 6]
    assert torch.equal(PerRecordLora(second).weights(), PerRecordLora(whole).weights())


class NoNoise4Draws(NoNoise):
    def coins(self, n, rate):
        return np.ones(n, dtype=bool)


def test_a_checkpoint_holds_step_weights_and_optimizer_only(tmp_path):
    from safetensors import safe_open

    data, path = prepared(texts_of([1] * 4)), tmp_path / "state.safetensors"
    train(adapted(tiny_model("llama")), data, settings(), noise_multiplier=1.0, noise=SystemNoise(), speed=EXACT, checkpoint=path)
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == {"weights", "exp_avg", "exp_avg_sq"}
        assert set(file.metadata()) == {"step", "of"}


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    data, path = prepared(texts_of([1] * 4)), tmp_path / "state.safetensors"
    train(adapted(tiny_model("llama")), data, settings(), noise_multiplier=1.0, noise=SystemNoise(), speed=EXACT, checkpoint=path)
    with pytest.raises(SourceError, match="other settings"):
        train(adapted(tiny_model("llama")), data, settings(), noise_multiplier=0.5, noise=SystemNoise(), speed=EXACT, checkpoint=path)
    path.write_bytes(b"nothing")
    with pytest.raises(SourceError, match="damaged"):
        train(adapted(tiny_model("llama")), data, settings(), noise_multiplier=1.0, noise=SystemNoise(), speed=EXACT, checkpoint=path)


def test_weights_that_are_not_finite_stop_training():
    class Broken(SeededNoise):
        def normals(self, n):
            return np.full(n, np.inf)

    data = prepared(texts_of([1] * 4))
    with pytest.raises(PrivSynthError, match="not finite after step 1"):
        train(adapted(tiny_model("llama")), data, settings(), noise_multiplier=1.0, noise=Broken(0), speed=EXACT)


def test_out_of_memory_halves_the_microbatch_and_changes_nothing(monkeypatch):
    model, data = adapted(tiny_model("llama")), prepared(texts_of([1, 3, 1, 1, 2, 1]), max_texts_per_person=5)
    expected = sum_over(model, data, range(6))
    honest, said = losses_per_text, []

    def small_memory(model, texts, logit_bias=None):
        if len(texts) > 2:
            raise torch.OutOfMemoryError("no memory")
        return honest(model, texts)

    monkeypatch.setattr(training, "losses_per_text", small_memory)
    worker = training._Worker(PerRecordLora(model), data, Speed(microbatch=8, autocast=False), warn=said.append)
    with worker.lora.recording():
        found = worker.clipped_sum(np.arange(6), 0.5)
    assert float((found - expected).norm() / expected.norm()) < 2e-6
    assert [line.split(";")[0] for line in said] == [
        "out of memory: microbatch halved to 4 texts",
        "out of memory: microbatch halved to 2 texts",
    ]


def test_a_text_that_never_fits_is_an_error(monkeypatch):
    def no_memory(model, texts, logit_bias=None):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(training, "losses_per_text", no_memory)
    with pytest.raises(PrivSynthError, match="does not fit into memory"):
        sum_over(adapted(tiny_model("llama")), prepared(texts_of([1, 1])), [0, 1])


def test_a_logit_bias_is_part_of_the_model():
    model, data = tiny_model("gpt2"), prepared(texts_of([1, 1]))
    bias = torch.randn(40, generator=torch.Generator().manual_seed(0))
    plain = losses_per_text(model, data.texts)
    assert not torch.allclose(losses_per_text(model, data.texts, logit_bias=bias), plain)
    assert torch.allclose(losses_per_text(model, data.texts, logit_bias=torch.ones(40)), plain, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [{"sampling_prob": 0}, {"sampling_prob": 1.1}, {"steps": 0}, {"max_grad_norm": 0}, {"warmup": 1.0}, {"max_texts_per_person": 0}],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(PlanError, match="expected"):
        settings(**changes)
