"""A transformers model in a folder is read offline and goes before everything else."""

import pytest

pytest.importorskip("spacy")
pytest.importorskip("faker")
pytest.importorskip("transformers")

import tokenizers
import torch
import transformers

from privsynth.errors import PIIError
from privsynth.pii import ner
from privsynth.pii.token_model import is_token_model

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries' own


def save_model(folder, labels):
    """A model of two layers that calls "qwertz" a person by its one embedding dimension and everything else nothing."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "qwertz", "we", "met", "there"]
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, max_position_embeddings=64,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.BertForTokenClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        embeddings = model.bert.embeddings
        embeddings.word_embeddings.weight[:, 0] = -1.0
        embeddings.word_embeddings.weight[4, 0] = 1.0  # "qwertz"
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        model.classifier.weight[1, 0] = 10.0
    model.save_pretrained(folder)


def test_a_folder_with_a_token_model_is_used(tmp_path, monkeypatch):
    save_model(tmp_path / "mine", ["O", "B-PER"])
    assert is_token_model(tmp_path / "mine")
    monkeypatch.setenv(ner.FOLDER_VARIABLE, str(tmp_path / "mine"))
    text = "we met Qwertz there. " * 30  # longer than one window
    (mentions,) = ner.find_names([text])
    assert {text[mention.start : mention.end] for mention in mentions} == {"Qwertz"}
    assert {mention.entity for mention in mentions} == {"PERSON"}
    assert len(mentions) == 30
    assert ner.find_names(["", "we met"]) == [[], []]
    described = ner.describe()
    assert (described.name, described.language, described.entities) == ("folder:mine", "mul", ("PERSON",))


def test_a_model_without_names_is_refused(tmp_path, monkeypatch):
    save_model(tmp_path / "colours", ["O", "B-COLOUR"])
    monkeypatch.setenv(ner.FOLDER_VARIABLE, str(tmp_path / "colours"))
    with pytest.raises(PIIError, match="finds none of the labels"):
        ner.load()


def test_a_damaged_folder_is_refused_in_one_line(tmp_path, monkeypatch):
    save_model(tmp_path / "mine", ["O", "B-PER"])
    (tmp_path / "mine" / "model.safetensors").write_bytes(b"broken")
    monkeypatch.setenv(ner.FOLDER_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(PIIError, match="cannot be loaded") as refused:
        ner.load()
    assert "\n" not in str(refused.value)


def test_other_folders_are_no_token_models(tmp_path):
    assert not is_token_model(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert not is_token_model(tmp_path)
