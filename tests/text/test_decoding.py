"""Greedy texts equal the library's; samples follow the model's own probabilities; rows are independent; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from text_models import ARCHITECTURES, VOCABULARY, tiny_model  # noqa: E402

from privsynth.errors import PlanError, PrivSynthError  # noqa: E402
from privsynth.text.decoding import Decoding, candidates, draw, write  # noqa: E402

BOS, EOS = 0, 1


def prompts(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [[BOS, *rng.integers(3, VOCABULARY, length - 1).tolist()] for length in lengths]


def texts(model, given, settings, seed=0, **options):
    written = list(write(model, given, settings=settings, rng=np.random.default_rng(seed), **options))
    assert sorted(text.position for text in written) == list(range(len(given)))
    return {text.position: (list(text.tokens), text.finished) for text in written}


def by_generate(model, prompt, n_tokens):
    """The library's own greedy decoding of one prompt, cut at its end."""
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n_tokens, do_sample=False)[0, len(prompt) :].tolist()
    return (out[: out.index(EOS)], True) if EOS in out else (out, False)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_greedy_equals_generate_for_prompts_of_different_lengths(name):
    model = tiny_model(name)
    given = prompts([1, 7, 3, 3, 12, 1, 5])
    settings = Decoding(max_new_tokens=20, temperature=0, batch_size=4)
    ours = texts(model, given, settings)
    assert ours == {i: by_generate(model, prompt, 20) for i, prompt in enumerate(given)}


def test_some_rows_end_early_and_some_at_the_limit():
    """The comparisons above would be empty if no row ever left the batch."""
    given = prompts([4] * 60, seed=1)
    written = texts(tiny_model("llama"), given, Decoding(max_new_tokens=20))
    finished = [finished for _, finished in written.values()]
    assert 5 < sum(finished) < 60
    assert all(len(tokens) == 20 for tokens, finished in written.values() if not finished)
    assert all(EOS not in tokens for tokens, _ in written.values())


def test_retired_rows_leave_the_others_as_they_are():
    model = tiny_model("llama")
    given = prompts([3, 4, 5, 6] * 6, seed=2)
    bias = torch.zeros(VOCABULARY)
    bias[EOS] = 1.0  # rows end at different steps
    settings = Decoding(max_new_tokens=24, temperature=0, batch_size=24)
    together = texts(model, given, settings, logit_bias=bias)
    assert len({len(tokens) for tokens, _ in together.values()}) >= 4
    for i, prompt in enumerate(given):
        assert texts(model, [prompt], settings, logit_bias=bias)[0] == together[i]


def test_candidates_equal_the_librarys_limits():
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(0)) * 3
    for temperature, top_k, top_p in [(1.0, 300, 1.0), (0.7, 20, 0.9), (1.3, 50, 0.5), (1.0, 1, 0.9), (1.0, 500, 0.95)]:
        ids, shares = candidates(logits, Decoding(max_new_tokens=1, temperature=temperature, top_k=top_k, top_p=top_p))
        ours = torch.zeros_like(logits).scatter(1, ids, shares)
        processors = transformers.LogitsProcessorList(
            [
                transformers.TemperatureLogitsWarper(temperature),
                transformers.TopKLogitsWarper(top_k),
                transformers.TopPLogitsWarper(top_p),
            ]
        )
        theirs = torch.softmax(processors(torch.zeros(50, 1, dtype=torch.long), logits.clone()), dim=-1)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_draws_follow_the_candidates_probabilities():
    """Chi-square over 40,000 draws; false-alarm rate 1e-3, the seed is fixed."""
    from scipy.stats import chisquare

    logits = torch.tensor([[2.0, 1.5, 0.0, -1.0, 0.5, -9.0]])
    settings = Decoding(max_new_tokens=1, temperature=0.8, top_k=5, top_p=0.97)
    ids, shares = candidates(logits, settings)
    expected = torch.zeros(6).scatter(0, ids[0], shares[0]).double().numpy()
    drawn = draw(logits.expand(40_000, -1), settings, np.random.default_rng(5)).numpy()
    counts = np.bincount(drawn, minlength=6)
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    assert chisquare(counts[possible], 40_000 * expected[possible] / expected.sum()).pvalue > 1e-3


def test_a_draw_by_inversion_reaches_neither_end():
    class Ends:
        def random(self, shape):
            return np.array([[0.0], [np.nextafter(1.0, 0.0)]])

    logits = torch.tensor([[3.0, 2.0, 1.0, -50.0]] * 2)
    settings = Decoding(max_new_tokens=1, top_k=4, top_p=0.9)
    assert draw(logits, settings, Ends()).tolist() == [0, 1]


def test_samples_follow_the_models_chain():
    """The first two tokens of 4,000 texts against the product of the model's own conditional probabilities; false-alarm rate 1e-3."""
    from scipy.stats import chisquare

    model = tiny_model("gpt2")
    settings = Decoding(max_new_tokens=2, temperature=0.7, top_k=4, top_p=1.0, batch_size=500)
    prompt = [BOS, 5, 9]
    written = texts(model, [prompt] * 4000, settings, seed=11)
    expected = {}
    with torch.no_grad():
        ids, shares = candidates(model(torch.tensor([prompt])).logits[:, -1], settings)
        for first, p in zip(ids[0].tolist(), shares[0].tolist(), strict=True):
            if first == EOS:
                expected[()] = p
                continue
            next_ids, next_shares = candidates(model(torch.tensor([[*prompt, first]])).logits[:, -1], settings)
            for second, q in zip(next_ids[0].tolist(), next_shares[0].tolist(), strict=True):
                expected[(first,) if second == EOS else (first, second)] = p * q
    seen = dict.fromkeys(expected, 0)
    for tokens, _ in written.values():
        seen[tuple(tokens)] += 1
    assert len(expected) > 8
    assert chisquare(list(seen.values()), 4000 * np.array(list(expected.values())) / sum(expected.values())).pvalue > 1e-3


def test_a_bias_moves_and_forbids_tokens():
    model = tiny_model("llama")
    bias = torch.zeros(VOCABULARY)
    bias[7], bias[EOS] = 1e4, -torch.inf
    assert texts(model, prompts([2, 3]), Decoding(max_new_tokens=5), logit_bias=bias) == {0: ([7] * 5, False), 1: ([7] * 5, False)}


def test_the_same_numbers_give_the_same_texts():
    model, given, settings = tiny_model("gpt2"), prompts([2, 5, 3]), Decoding(max_new_tokens=8)
    assert texts(model, given, settings, seed=3) == texts(model, given, settings, seed=3)
    assert texts(model, given, settings, seed=3) != texts(model, given, settings, seed=4)


def test_texts_are_streamed_and_counted():
    model, told = tiny_model("llama"), []
    stream = write(
        model,
        prompts([2] * 6),
        settings=Decoding(max_new_tokens=4, batch_size=2),
        rng=np.random.default_rng(0),
        progress=lambda *a: told.append(a),
    )
    next(stream)
    assert [a[:2] for a in told] == [(1, 6)]
    list(stream)
    assert [a[:2] for a in told] == [(i, 6) for i in range(1, 7)]
    assert all(rate > 0 for _, _, rate in told)


def test_a_model_without_positions_gets_batches_of_one_length():
    model = transformers.BloomForCausalLM(
        transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2, bos_token_id=BOS, eos_token_id=EOS)
    ).eval()
    given = prompts([2, 4, 2, 4, 6])
    assert texts(model, given, Decoding(max_new_tokens=6, temperature=0)) == {i: by_generate(model, p, 6) for i, p in enumerate(given)}


def test_an_adapter_writes_as_its_base_model_while_it_is_zero():
    pytest.importorskip("peft")
    from privsynth.text.lora import LoraSettings, add_adapter

    given, settings = prompts([2, 6, 4]), Decoding(max_new_tokens=10)
    plain = texts(tiny_model("llama"), given, settings)
    assert texts(add_adapter(tiny_model("llama"), LoraSettings(rank=2)), given, settings) == plain


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"top_k": 0},
        {"batch_size": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.1},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(PlanError, match=f"{next(iter(wrong))}="):
        Decoding(**{"max_new_tokens": 5, **wrong})


def test_bad_input_is_refused():
    model = tiny_model("llama")
    settings = Decoding(max_new_tokens=5)
    with pytest.raises(PlanError, match="no token"):
        texts(model, [[]], settings)
    with pytest.raises(PlanError, match="lower max_new_tokens to at most 4"):
        texts(model, prompts([60]), settings)
    with pytest.raises(PlanError, match="logit_bias"):
        texts(model, prompts([3]), settings, logit_bias=torch.zeros(3))
    assert texts(model, [], settings) == {}


def test_weights_that_are_not_numbers_are_an_error():
    model = tiny_model("llama")
    with torch.no_grad():
        model.lm_head.weight[4] = torch.nan
    with pytest.raises(PrivSynthError, match="not numbers"):
        texts(model, prompts([3]), Decoding(max_new_tokens=2))
