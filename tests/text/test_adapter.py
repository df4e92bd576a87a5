"""The language-model engine: budget, fit, sample, resume, storage; model folders that are refused."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from fakes import NoNoise, SeededNoise  # noqa: E402
from text_models import saved_folder  # noqa: E402

from privsynth.errors import PlanError, SourceError  # noqa: E402
from privsynth.privacy import Budget, DiscreteGaussian, Ledger, NonPrivate, PoissonSampledGaussian, Touch, calibrate, total  # noqa: E402
from privsynth.privacy.ledger import Population  # noqa: E402
from privsynth.text.adapter import AdaptedModel, LanguageModel  # noqa: E402
from privsynth.text.base import TextRecords  # noqa: E402
from privsynth.text.bias import bias_towards, mean_prediction  # noqa: E402
from privsynth.text.counts import token_counts  # noqa: E402
from privsynth.text.folder import open_model, open_tokenizer  # noqa: E402
from privsynth.text.lora import LoraSettings  # noqa: E402
from privsynth.text.training import DPSGD, Speed  # noqa: E402

WORDS = "the a card is late new lost bank sent paid fee why topic: cards banks".split()


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft and transformers disagree about a name
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved_folder(tmp_path_factory.mktemp("model"), words=WORDS)


def engine(folder, **changes):
    training = {"sampling_prob": 1.0, "steps": 3, "max_tokens": 16} | changes.pop("training", {})
    settings = {"model": folder, "lora": LoraSettings(rank=4), "speed": Speed(microbatch=32, autocast=False)} | changes
    return LanguageModel(training=DPSGD(**training), **settings)


def records(n=12):
    texts = ["the card is late", "a new bank fee"] * (n // 2)
    prompts = ["topic: cards", "topic: banks"] * (n // 2)
    return TextRecords(prompts=tuple(prompts), texts=tuple(texts), people=np.arange(n).astype(object))


def fit(engine, train, *, epsilon, noise=None, checkpoint=None, progress=None, warn=None, delta=1e-3):
    budget = Budget(epsilon=epsilon, delta=delta)
    touches = engine.touches(noise_scale=1.0, budget=budget)
    population = Population(name="texts", units=[f"u{i}" for i in range(20)])
    with Ledger.open().reserve(population, touches, budget=budget, noise_scale=1.0, noise=noise or SeededNoise(0)) as reservation:
        model = engine.fit(train, reservation=reservation, budget=budget, checkpoint=checkpoint, progress=progress, warn=warn)
        assert reservation.unspent() == ()
    return model


@pytest.mark.parametrize(
    ("epsilon", "share"), [pytest.param(1.0, 0.1, marks=pytest.mark.slow), (3.0, 0.1), pytest.param(8.0, 0.0, marks=pytest.mark.slow)]
)
def test_the_stage_spends_its_budget_and_no_more(epsilon, share):
    plan = engine("x", histogram_share=share, training={"sampling_prob": 0.1, "steps": 10})
    touches = plan.touches(noise_scale=1.0, budget=Budget(epsilon=epsilon, delta=1e-5))
    assert 0.9999 * epsilon < total(touches, 1e-5).epsilon <= epsilon
    assert [type(touch.event) for touch in touches] == [DiscreteGaussian, PoissonSampledGaussian][0 if share else 1 :]


@pytest.mark.slow
def test_composing_both_mechanisms_needs_less_noise_than_their_sum():
    plan, budget = engine("x", training={"sampling_prob": 0.1, "steps": 10}), Budget(epsilon=3.0, delta=1e-5)
    composed = plan.touches(noise_scale=1.0, budget=budget)[1].event.noise_multiplier

    def alone(scale):
        return [Touch("text", "training", PoissonSampledGaussian(noise_multiplier=scale, sampling_prob=0.1, steps=10))]

    assert composed < calibrate(alone, Budget(epsilon=2.7, delta=0.9e-5))
    assert composed > calibrate(alone, budget)


def test_an_infinite_budget_is_no_guarantee(folder):
    touches = engine(folder).touches(noise_scale=1.0, budget=Budget(epsilon=math.inf, delta=1e-5))
    assert all(isinstance(touch.event, NonPrivate) for touch in touches)


def test_without_noise_the_model_learns_what_its_prompt_says(folder):
    plan = engine(folder, training={"steps": 60, "learning_rate": 0.03}, temperature=0.1)
    model = fit(plan, records(), epsilon=math.inf, noise=AllDrawn())
    sampled = list(model.sample(["topic: cards", "topic: banks"] * 5, rng=np.random.default_rng(0)))
    texts = [sample.text for sample in sorted(sampled, key=lambda sample: sample.position)]
    assert texts == ["the card is late", "a new bank fee"] * 5
    assert all(sample.finished for sample in sampled)
    assert float(model.losses(records()).mean()) < 1.0


class AllDrawn(NoNoise):
    def coins(self, n, rate):
        return np.ones(n, dtype=bool)


def test_a_saved_model_comes_back(folder, tmp_path):
    model = fit(engine(folder), records(), epsilon=10.0)
    model.save(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    loaded = AdaptedModel.load(tmp_path)
    assert loaded.settings == model.settings
    assert torch.equal(loaded.losses(records()), model.losses(records()))
    written = [[sample.text for sample in one.sample(["topic: cards"] * 4, rng=np.random.default_rng(1))] for one in (model, loaded)]
    assert written[0] == written[1]


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no readable adapter"):
        AdaptedModel.load(tmp_path)


class Stop(Exception):
    pass


def test_a_killed_fit_goes_on_and_buys_the_histogram_once(folder, tmp_path):
    state = tmp_path / "state.safetensors"
    plan = engine(folder, training={"steps": 4}, speed=Speed(microbatch=32, autocast=False, checkpoint_every=1))
    asked = []

    class Counting(SeededNoise):
        def discrete_gaussian(self, counts, sigma):
            asked.append(sigma)
            return super().discrete_gaussian(counts, sigma)

    def stop(what, done, of):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        fit(plan, records(), epsilon=5.0, noise=Counting(0), checkpoint=state, progress=stop)
    steps = []
    Ledger.open().set_cap("texts", 20.0)
    fit(plan, records(), epsilon=5.0, noise=Counting(0), checkpoint=state, progress=lambda what, done, of: steps.append(done))
    assert steps == [3, 4]
    assert len(asked) == 1


def test_the_bias_gives_the_models_own_texts_the_wanted_shares(folder):
    model, tokenizer = open_model(folder), open_tokenizer(folder)
    tokens = np.repeat([5, 7, 1], [600, 300, 100])
    counts = token_counts(np.arange(1000), tokens, vocabulary=40, max_keys=1, noise_multiplier=0.0, noise=NoNoise())
    bias = bias_towards(model, tokenizer, counts, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    texts = [[0, *rng.choice([5, 7], 10, p=[2 / 3, 1 / 3])] for _ in range(50)]
    plain, biased = (mean_prediction(model, texts, b) for b in (torch.zeros(40), bias))
    assert abs(float(biased[5]) - 0.6) < 0.15 < abs(float(plain[5]) - 0.6)
    assert float(biased[[5, 7, 1]].sum()) > 0.9


def test_cut_texts_are_said(folder):
    said = []
    long = TextRecords(prompts=("",), texts=("the " * 40,), people=np.array(["a"], dtype=object))
    fit(engine(folder), long, epsilon=10.0, warn=said.append)
    assert said == ["texts longer than max_tokens=16 are cut and have no end"]


def test_more_tokens_than_the_model_reads_are_refused(folder):
    with pytest.raises(PlanError, match="at most 64"):
        fit(engine(folder, training={"max_tokens": 100}), records(), epsilon=10.0)


def without(folder, name):
    (folder / name).unlink()


def with_code(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModel": "own.Model"}}))


def not_causal(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["BertForMaskedLM"]}))


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damaged(folder):
    (folder / "model.safetensors").write_bytes(b"nothing")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: without(folder, "config.json"), "config.json cannot be read"),
        (lambda folder: without(folder, "model.safetensors"), "no weights"),
        (with_code, "its own code"),
        (not_causal, "causal language model"),
        (pickled, "pickled weights"),
        (damaged, "cannot be opened"),
    ],
)
def test_a_model_folder_that_is_unsafe_or_wrong_is_refused(tmp_path, spoil, reason):
    path = saved_folder(tmp_path, words=WORDS)
    spoil(tmp_path)
    with pytest.raises(PlanError, match=reason):
        open_model(path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    path = saved_folder(tmp_path, words=WORDS)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(PlanError, match="no tokenizer"):
        open_tokenizer(path)


def test_a_name_on_the_hub_says_how_to_fetch_it():
    with pytest.raises(PlanError, match="huggingface-cli download gpt2"):
        open_model("gpt2")


@pytest.mark.parametrize("changes", [{"histogram_share": 1.0}, {"histogram_share": -0.1}, {"max_keys": 0}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(PlanError, match="expected"):
        engine("x", **changes)
