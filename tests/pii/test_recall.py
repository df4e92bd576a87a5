"""Measured recall: what is planted is counted, an empty detector has none, and the interval covers."""

import numpy as np
import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")
pytest.importorskip("spacy")

from privsynth.errors import PIIError
from privsynth.pii import Span, detect, ner, recall
from privsynth.pii.recall import LISTED, OWN, UNLISTED, measure_recall, own_name_recall
from privsynth.pii.recognizers import fold, name_lists
from privsynth.pii.review import review
from privsynth.pii.text import find

HOSTS = ["The client asked about the fee. He was told to wait.", "No open requests.\nCard renewed.", "ok"]


@pytest.fixture(autouse=True)
def embedded_only(monkeypatch):
    monkeypatch.delenv(ner.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(ner, "INSTALLED", {})


def measured(**settings):
    found = measure_recall(HOSTS, rng=np.random.default_rng(0), planted=40, **settings)
    return {(result.entity, result.kind): result for result in found}


def test_formats_are_found_whole_and_names_mostly():
    results = measured(types=("PERSON", "EMAIL_ADDRESS", "IBAN_CODE"))
    assert results["EMAIL_ADDRESS", ""].share == 1.0
    assert results["IBAN_CODE", ""].share == 1.0
    assert results["PERSON", LISTED].share >= 0.9
    assert results["PERSON", LISTED].share >= results["PERSON", UNLISTED].share


def test_a_detector_without_a_model_for_names_shows(monkeypatch):
    # Positive control: names on no list are what patterns and lists cannot see.
    with_model, without = measured(types=("PERSON",)), measured(types=("PERSON",), model="none")
    assert without["PERSON", UNLISTED].interval[1] < with_model["PERSON", UNLISTED].interval[0]


@pytest.mark.parametrize(("finds_all", "share"), [(True, 1.0), (False, 0.0)])
def test_the_count_is_that_of_the_detector(monkeypatch, finds_all, share):
    def whole(texts, **options):
        return [(Span(start=0, end=len(text), entity="X", score=1.0, recognizer="x"),) if finds_all else () for text in texts]

    monkeypatch.setattr(recall, "find", whole)
    results = measured(types=("EMAIL_ADDRESS",))
    assert results["EMAIL_ADDRESS", ""].share == share


def test_the_interval_is_exact():
    # 0 of 40: the Clopper-Pearson bound is 1 - 0.025 ** (1 / 40).
    import unittest.mock

    with unittest.mock.patch.object(recall, "find", lambda texts, **_: [() for _ in texts]):
        (result,) = measured(types=("EMAIL_ADDRESS",)).values()
    assert result.interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 40)))


def test_a_half_found_value_is_touched_but_not_masked(monkeypatch):
    def at(texts, **options):
        return [(Span(start=text.index("@"), end=text.index("@") + 4, entity="X", score=1.0, recognizer="x"),) for text in texts]

    monkeypatch.setattr(recall, "find", at)
    (result,) = measured(types=("EMAIL_ADDRESS",)).values()
    assert (result.touched, result.masked, result.planted) == (40, 0, 40)


def test_planted_values_stand_in_copies_of_the_texts_and_unlisted_names_on_no_list():
    rng = np.random.default_rng(1)
    for value in ("Xyz", "a@b.org"):
        copy, start = recall._with_planted(HOSTS[1], value, "en", rng)
        assert copy[start : start + len(value)] == value
        assert all(part in copy for part in ("No open requests.", "Card renewed."))
    first, last = name_lists()
    names = recall._unlisted_names(50, ("de_CH", "en_US"), rng)
    assert not {fold(word) for name in names for word in name.split(" ")} & (first | last)


@pytest.mark.parametrize("country", ["CH", "DE", "US", "FR", "IT", "SE", "NL"])
def test_planted_national_identifiers_are_valid(country):
    value = recall._national_id(country, np.random.default_rng(0))
    assert any(rule.country == country and rule.is_valid(value) for rule in recall.NATIONAL_IDS)


def test_own_names_are_counted_where_the_text_mentions_them():
    texts = ["Client Yolanda Okonkwo called. OKONKWO will pay.", "no name here", "zzz plughw zzz"]
    result = own_name_recall(texts, [["Yolanda Okonkwo"], ["Per Ode"], ["Xyzzq Plughw"]])
    assert result.kind == OWN
    assert result.planted == 3
    assert result.masked >= 2
    assert own_name_recall(["nothing"], [["Anna Berg"]]) is None


@pytest.mark.parametrize(("texts", "types"), [([], ("PERSON",)), (["", " "], ("PERSON",)), (["x"], ("SECRET",))])
def test_nothing_to_plant_is_refused(texts, types):
    with pytest.raises(PIIError, match=r"planted|plant in"):
        measure_recall(texts, rng=np.random.default_rng(0), types=types)


def test_the_review_list_names_unsure_spans_and_passed_over_words():
    texts = ["We sold Zyltrax to the client. Zyltrax is new.", "Ann came.", "see Zyltrax"]
    spans = [(), (detect.Span(start=0, end=3, entity="PERSON", score=0.4, recognizer="name lists"),), ()]
    items = {(item.words, item.why): item for item in review(texts, spans)}
    assert items["Zyltrax", "passed over"].count == 2  # a sentence's first word says nothing
    assert items["Ann", "unsure"].entity == "PERSON"
    assert ("We", "passed over") not in items
    assert review(["Spoke with Anna Berg about it."], find(["Spoke with Anna Berg about it."])) == []
