"""Tiny random models, batches and losses for the tests of the text room."""

from __future__ import annotations

import numpy as np
import torch
import transformers
from torch.nn import functional

from privsynth.text.lora import LoraSettings, add_adapter

VOCABULARY = 40

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}

ARCHITECTURES = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=64,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    ),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**_COMMON, num_key_value_heads=1, tie_word_embeddings=True)),
    "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**_COMMON, num_key_value_heads=1, tie_word_embeddings=True)),
    "gemma": lambda: transformers.GemmaForCausalLM(transformers.GemmaConfig(**_COMMON, num_key_value_heads=1, head_dim=8)),
    "mistral": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**_COMMON, num_key_value_heads=1, sliding_window=6)),
    "phi": lambda: transformers.PhiForCausalLM(transformers.PhiConfig(**_COMMON)),
}


def tiny_model(name):
    """A random model of this architecture, the same at each call."""
    torch.manual_seed(0)
    model = ARCHITECTURES[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # larger than the usual start, so that no path is nearly silent
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
    return model


def adapted(model, settings=None):
    """The model with an adapter whose B is not zero."""
    torch.manual_seed(1)
    peft_model = add_adapter(model, settings or LoraSettings(rank=4)).eval()
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2)
    return peft_model


def batch(lengths, seed):
    """Right-padded random ids and the mask of scored tokens, shapes (n, T): the first token of each record is its prompt."""
    rng = np.random.default_rng(seed)
    longest = max(lengths) + 1
    ids = torch.full((len(lengths), longest), 2)
    mask = torch.zeros(len(lengths), longest)
    for record, length in enumerate(lengths):
        ids[record, : length + 1] = torch.from_numpy(rng.integers(3, VOCABULARY, length + 1))
        mask[record, 1 : length + 1] = 1
    return ids, mask


def losses_of(model, ids, mask):
    """Mean cross-entropy of the masked tokens of each record, shape (n,)."""
    logits = model(input_ids=ids).logits[:, :-1].float()
    per_token = functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (per_token * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)


class WordTokenizer:
    """A tokenizer of whole words with the part of the interface that training uses."""

    bos_token_id, eos_token_id, pad_token_id = 0, 1, 2

    def __init__(self, words):
        self.names = ["<bos>", "<eos>", "<pad>", "<unknown>", "\n", *words, "about:", "bank:"]
        assert len(self.names) <= VOCABULARY

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        pieces = text.replace("\n", " \n ").split(" ")
        ids = [self.names.index(piece) if piece in self.names else 3 for piece in pieces if piece]
        return transformers.BatchEncoding({"input_ids": ids})

    def __len__(self):
        return VOCABULARY

    def pieces(self, ids):
        return [self.names[i] for i in ids]

    def decode(self, ids):
        return " ".join(self.names[i] if i < len(self.names) else "?" for i in ids)


def saved_folder(folder, name="llama", words=()):
    """A model folder as Hugging Face writes it: a tiny random model and a tokenizer of whole words."""
    import tokenizers

    names = ["<bos>", "<eos>", "<pad>", "<unknown>", "\n", *words]
    words_only = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="<unknown>"))
    words_only.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Split("\n", "isolated"), tokenizers.pre_tokenizers.Split(" ", "removed")]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words_only, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unknown>"
    )
    tiny_model(name).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
