"""Which language a column is in, and what is said where nothing can read it."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("spacy")
pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")

from privsynth.pii import ner, scan
from privsynth.pii.languages import CANDIDATES, _stop_words, language_of

SENTENCES = {
    "en": "The client called about the fee and was not happy with it.",
    "de": "Die Kundin hat sich nach der Gebühr erkundigt und war nicht zufrieden.",
    "fr": "Le client habite à Genève depuis deux ans et ne veut pas être appelé le matin.",
    "it": "Il cliente non vuole essere chiamato di mattina perché lavora.",
    "es": "El cliente no quiere que le llamen por la tarde porque está en el trabajo.",
    "nl": "De klant wil niet dat hij in de ochtend wordt gebeld omdat hij dan werkt.",
    "pt": "O cliente não quer ser contactado de manhã, mas sim à tarde, quando está em casa.",
    "pl": "Klient nie chce, aby do niego dzwoniono rano, ale po południu, bo jest w pracy.",
    "tr": "Müşteri sabah aranmak istemiyor çünkü o saatte iş yerinde ve çok meşgul ama sonra olur.",
    "ru": "Клиент не хочет, чтобы ему звонили утром.",
    "el": "Ο πελάτης δεν θέλει να τον καλούν το πρωί.",
    "ja": "お客様は朝の電話を希望していません。",
    "ar": "العميل لا يريد الاتصال به في الصباح",
}


@pytest.fixture(autouse=True)
def embedded_only(monkeypatch):
    monkeypatch.delenv(ner.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(ner, "INSTALLED", {})


@pytest.mark.parametrize(("language", "sentence"), SENTENCES.items())
def test_a_sentence_gives_its_language_away(language, sentence):
    assert language_of([sentence]) == language


@pytest.mark.parametrize("text", ["", "4711", "ok", "🙂", "Anna Müller\nBahnhofstrasse 12", "ERR-17 / XK"])
def test_names_and_codes_give_none(text):
    assert language_of([text]) is None


def test_every_candidate_has_stop_words():
    assert all(len(_stop_words(language)) > 30 for language in CANDIDATES)


def texts(language):
    return pd.DataFrame({"notes": [f"{SENTENCES[language]} {SENTENCES[language]} Nr {i}" for i in range(60)]})


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "privsynth/ner_en"), ("de", "language de; no model for names looked"), ("pl", "pl, which is not supported")],
)
def test_a_scan_says_for_each_column_who_looked_for_names(language, said):
    finding = scan(texts(language), rng=np.random.default_rng(0))["notes"]
    assert finding.pii == "FREE_TEXT"
    assert finding.language == language
    assert said in finding.evidence
    assert finding.ner == ("privsynth/ner_en" if language == "en" else None)


def test_a_scan_without_a_model_says_so():
    report = scan(texts("en"), rng=np.random.default_rng(0), ner="none")
    assert report.ner is None
    assert "most names are not counted" in report["notes"].evidence
