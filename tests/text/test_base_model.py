"""The embedded language model: whole, local, an ordinary one, and what its card says."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from privsynth.errors import SourceError  # noqa: E402
from privsynth.text import base_model  # noqa: E402
from privsynth.text.decoding import Decoding, write  # noqa: E402

BUSINESS = (
    "I would like to cancel my order, because it has not arrived yet. Could you please tell me when I will get my money back?",
    "Customer: Hello, I would like to book a table for two on Friday.\nAgent: Sure, what time would you like?",
    "The patient is a 45-year-old woman who comes in today for a follow-up. She has no fever.",
)
"""Plain sentences of the kind that the model is for, written for this test."""


@pytest.fixture(scope="module")
def tokenizer():
    return base_model.load_tokenizer()


@pytest.fixture(scope="module")
def model():
    return base_model.load_model()


@pytest.fixture
def copied_asset(tmp_path, monkeypatch):
    copy = tmp_path / "lm_en"
    shutil.copytree(base_model._ASSET, copy)
    monkeypatch.setattr(base_model, "_ASSET", copy)
    return copy


def bits_per_character(model, tokenizer, text):
    ids = torch.tensor([tokenizer(text).input_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")) / math.log(2) / len(text)


def test_it_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in base_model._ASSET.iterdir()) <= 32_000_000


def test_it_holds_data_only():
    names = {path.name for path in base_model._ASSET.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "MODEL_CARD.md", "checksums.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl", ".py")) for name in names)
    assert "auto_map" not in (base_model._ASSET / "config.json").read_text()


def test_it_is_an_ordinary_llama(model):
    assert type(model) is transformers.LlamaForCausalLM
    assert not model.training
    assert model.dtype == torch.float32
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert base_model.load_model(half=True).dtype == torch.bfloat16


def test_the_automatic_classes_open_it_too(model):
    other = transformers.AutoModelForCausalLM.from_pretrained(base_model._ASSET, local_files_only=True)
    assert other.num_parameters() == model.num_parameters()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base_model._ASSET, local_files_only=True)
    assert tokenizer("a").input_ids[0] == model.config.bos_token_id


def test_two_calls_share_no_weights():
    first, second = base_model.load_model(), base_model.load_model()
    with torch.no_grad():
        first.lm_head.weight.zero_()
    assert second.lm_head.weight.abs().sum() > 0


def test_every_text_survives_the_tokenizer(tokenizer):
    for text in (
        "Größe 5 €, naïve – «да» 中文 🙂\n\ttab",
        " two  spaces ",
        "IBAN DE00 1234",
        "<PERSON> owes <ORGANIZATION>, not <NOBODY>.",
    ):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_slots_are_one_token_each(tokenizer):
    slots = base_model.describe().slots
    assert {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "LOCATION", "STREET_ADDRESS", "DATE_TIME", "ORGANIZATION"} <= set(slots)
    ids = [tokenizer(f"<{slot}>", add_special_tokens=False).input_ids for slot in slots]
    assert all(len(found) == 1 for found in ids)
    assert len({found[0] for found in ids}) == len(slots)


def test_slots_of_stripped_text_are_among_them():
    pytest.importorskip("presidio_analyzer")
    from privsynth.pii.slots import SLOTS

    assert set(SLOTS) <= set(base_model.describe().slots)


def test_special_tokens_agree_with_the_configuration(tokenizer, model):
    special = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert special == (model.config.pad_token_id, model.config.bos_token_id, model.config.eos_token_id)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer("x").input_ids[0] == tokenizer.bos_token_id


def test_digits_are_single_tokens(tokenizer):
    assert len(tokenizer("20261120", add_special_tokens=False).input_ids) == 8


def test_it_has_learned_english(model, tokenizer):
    """Against the same letters in another order, and against a model that has learned nothing."""
    torch.manual_seed(0)
    untrained = transformers.LlamaForCausalLM(model.config).eval()
    rng = np.random.default_rng(0)
    for text in BUSINESS:
        words = text.split(" ")
        shuffled = " ".join(words[i] for i in rng.permutation(len(words)))
        plain = bits_per_character(model, tokenizer, text)
        assert plain < 0.9 * bits_per_character(model, tokenizer, shuffled)
        assert plain < 0.6 * bits_per_character(untrained, tokenizer, text)


def test_its_figures_are_those_of_the_shipped_weights(model, tokenizer):
    """The card's figure on conversations of another origin, within a factor, on sentences of that kind."""
    stated = base_model.describe().card["never_read"]["sgd-by-sa"]["bits_per_character"]
    assert bits_per_character(model, tokenizer, BUSINESS[1]) == pytest.approx(stated, rel=0.6)


def test_it_writes(model, tokenizer):
    prompt = tokenizer("type: message\n").input_ids
    settings = Decoding(max_new_tokens=24, temperature=0.8, batch_size=8)
    texts = [tokenizer.decode(text.tokens) for text in write(model, [prompt] * 8, settings=settings, rng=np.random.default_rng(0))]
    assert all(text.strip() and "\ufffd" not in text for text in texts)
    assert len(set(texts)) == 8


def test_counts_of_public_tokens(tokenizer):
    counts = base_model.token_counts()
    assert counts.shape == (len(tokenizer),)
    assert counts.min() >= 0
    assert counts[tokenizer.bos_token_id] == 0
    assert counts[tokenizer.eos_token_id] > 10_000
    common, rare = (tokenizer(word, add_special_tokens=False).input_ids[0] for word in (" the", " statute"))
    assert counts[common] > 50 * counts[rare]


def test_the_card_states_what_was_measured():
    described = base_model.describe()
    card = (base_model._ASSET / "MODEL_CARD.md").read_text()
    assert described.name == "privsynth/lm_en"
    assert described.parameters <= 15_000_000
    assert described.context == 256
    assert set(described.card["never_read"]) == {"topical-chat", "dstc11-track5-reviews", "dstc11-track5-dialogues", "sgd-by-sa"}
    for name, row in {**described.card["held_out"], **described.card["never_read"]}.items():
        assert f"| {name} |" in card
        assert f"{row['bits_per_character']:.2f}" in card
    assert f"{described.card['tokens_seen'] / 1e6:.2f} million" in card
    assert len(described.card["samples"]) == 10


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "figures.json", "token_counts.npy"])
def test_a_damaged_file_is_named(copied_asset, name):
    damaged = copied_asset / name
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for use in (base_model.load_model, base_model.load_tokenizer, base_model.describe, base_model.token_counts):
        with pytest.raises(SourceError, match=rf"damaged \({name}\); reinstall"):
            use()


@pytest.mark.parametrize("name", ["model.safetensors", "checksums.json"])
def test_a_missing_file_is_an_error_of_one_line(copied_asset, name):
    (copied_asset / name).unlink()
    with pytest.raises(SourceError, match="incomplete; reinstall") as caught:
        base_model.load()
    assert "\n" not in str(caught.value)
    assert base_model.available() == (name != "checksums.json")


def test_files_that_the_library_refuses_are_an_error_of_one_line(copied_asset):
    (copied_asset / "config.json").write_text("{")
    checksums = json.loads((copied_asset / "checksums.json").read_text())
    del checksums["config.json"]
    (copied_asset / "checksums.json").write_text(json.dumps(checksums))
    with pytest.raises(SourceError, match=r"cannot be loaded \(\w+\); reinstall") as caught:
        base_model.load_model()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_loading_opens_no_connection():
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from privsynth.text import base_model\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "base_model.describe(); assert 'torch' not in sys.modules\n"
        "base_model.load()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=200)
