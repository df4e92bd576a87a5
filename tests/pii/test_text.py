"""One look at a text by all detectors: what overlaps has one type, nothing found is lost, nobody's text changes another's."""

import socket

import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")
pytest.importorskip("spacy")

import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.errors import PIIError
from privsynth.pii import Span, ner, text
from privsynth.pii.text import find, merged, ner_model, require_ner


@pytest.fixture(autouse=True)
def embedded_only(monkeypatch):
    monkeypatch.delenv(ner.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(ner, "INSTALLED", {})


def found(words, **options):
    return {(span.entity, words[span.start : span.end]) for span in find([words], **options)[0]}


def span(start, end, entity, score=0.5, recognizer="x"):
    return Span(start=start, end=end, entity=entity, score=score, recognizer=recognizer)


def test_patterns_lists_and_model_look_at_the_same_text():
    seen = found("Client Yolanda Okonkwo wrote from y.okonkwo@example.org about her flat in Rotterdam.")
    assert ("PERSON", "Yolanda Okonkwo") in seen
    assert ("EMAIL_ADDRESS", "y.okonkwo@example.org") in seen
    assert ("LOCATION", "Rotterdam") in seen


def test_a_name_found_once_is_found_again_in_the_texts_of_that_person_only():
    texts = ["Spoke with Mrs. Xyzzq Plughw.", "plughw rang", "plughw rang"]
    first, same, other = find(texts, people=["a", "a", "b"], model="none")
    assert first
    assert [texts[1][s.start : s.end] for s in same] == ["plughw"]
    assert other == ()


def test_values_of_the_own_row_are_found_however_they_are_written():
    known = {"a": {"ID": ["K9068107"], "IBAN_CODE": ["CH860009981707198053"], "PERSON": ["Xyzzq Plughw"]}}
    words = "k-9068107 paid from CH86 0009 9817 0719 8053; plughw rang"
    (spans,) = find([words], people=["a"], known=known)
    assert {words[s.start : s.end] for s in spans} >= {"k-9068107", "CH86 0009 9817 0719 8053", "plughw"}
    (others,) = find([words], people=["b"], known=known)
    assert "plughw" not in {words[s.start : s.end] for s in others}


def test_short_values_of_a_row_are_not_looked_up():
    assert find(["code 12 of 12"], people=["a"], known={"a": {"ID": ["12"]}}) == [()]


def test_values_without_people_are_refused():
    with pytest.raises(PIIError, match="people="):
        find(["x"], known={"a": {}})


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([span(0, 5, "PERSON"), span(0, 10, "PERSON")], [(0, 10, "PERSON")]),
        ([span(0, 5, "LOCATION", 0.9), span(0, 10, "PERSON", 0.4)], [(0, 10, "PERSON")]),  # the longer
        ([span(0, 20, "ORGANIZATION", 0.85), span(5, 10, "EMAIL_ADDRESS", 0.5)], [(0, 5, "ORGANIZATION"), (5, 10, "EMAIL_ADDRESS"), (10, 20, "ORGANIZATION")]),
        ([span(0, 6, "PERSON", 0.6, "a"), span(4, 10, "PERSON", 0.6, "b")], [(0, 10, "PERSON")]),
        ([span(0, 6, "PERSON", 0.6), span(4, 10, "LOCATION", 0.9)], [(0, 4, "PERSON"), (4, 10, "LOCATION")]),
    ],
)  # fmt: skip
def test_overlaps_are_settled_by_the_stated_rule(spans, expected):
    assert [(s.start, s.end, s.entity) for s in merged("abcdefghijklmnopqrst", spans)] == expected


spans_of_20 = st.builds(
    lambda start, length, entity, score, who: span(start, min(20, start + length), entity, score, who),
    st.integers(0, 19), st.integers(1, 20), st.sampled_from(["PERSON", "LOCATION", "IBAN_CODE", "ID"]), st.sampled_from([0.4, 0.6, 0.9]), st.sampled_from("ab"),
)  # fmt: skip


@given(st.lists(spans_of_20, max_size=6))
@settings(max_examples=200, deadline=None)
def test_merged_spans_do_not_overlap_and_cover_every_letter_that_was_covered(spans):
    words = "ab cd,ef gh-ij kl mn"
    settled = merged(words, spans)
    covered = [i for s in settled for i in range(s.start, s.end)]
    assert len(covered) == len(set(covered))
    letters = {i for i, character in enumerate(words) if character.isalnum()}
    assert set(covered) & letters == {i for s in spans for i in range(s.start, s.end)} & letters


def test_free_text_without_a_model_is_refused_unless_a_person_accepts_it(monkeypatch, tmp_path):
    monkeypatch.setattr(ner, "_ASSET", tmp_path)
    assert ner_model() is None
    with pytest.raises(PIIError, match=r'notes.*text = "drop".*ner = "none"') as refused:
        require_ner("notes")
    assert "\n" not in str(refused.value)
    with pytest.raises(PIIError, match='ner = "none"'):
        find(["Yolanda Okonkwo called"])
    assert ("EMAIL_ADDRESS", "a@example.org") in found("a@example.org", model="none")


def test_a_language_without_a_model_is_refused():
    assert ner_model("de") is None
    with pytest.raises(PIIError, match="'de'"):
        find(["Frau Meier rief an."], language="de")


def test_the_best_installed_model_is_named(monkeypatch):
    monkeypatch.setattr(ner, "INSTALLED", {"en": ("en_core_web_trf", "en_core_web_sm"), "de": ("de_core_news_lg",)})
    monkeypatch.setattr(ner, "find_spec", lambda name: object() if name in ("en_core_web_sm", "de_core_news_lg") else None)
    assert ner_model() == "en_core_web_sm"
    assert ner_model("de") == "de_core_news_lg"
    require_ner("notes", language="de")


def test_a_folder_of_the_users_own_goes_first(monkeypatch, tmp_path):
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "qwertz uiop"}])
    pipeline.to_disk(tmp_path / "model")
    assert ("PERSON", "qwertz uiop") not in found("we met qwertz uiop there")
    monkeypatch.setenv(ner.FOLDER_VARIABLE, str(tmp_path / "model"))
    assert ner_model() == "folder:model"
    assert ("PERSON", "qwertz uiop") in found("we met qwertz uiop there")


def test_with_sockets_blocked_the_embedded_model_works_and_is_named(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    ner._load.cache_clear()  # so that loading is watched too
    (spans,) = find(["Client Yolanda Okonkwo called about www.example.org."])
    assert {s.recognizer for s in spans if s.entity == "PERSON"} == {f"ner:{ner.EMBEDDED}"}
    assert any(s.entity == "URL" for s in spans)


def test_reading_texts_alone_gives_what_reading_them_together_gives():
    texts = [
        f"Spoke with {name} about the fee in {place}." for name in ("Yolanda Okonkwo", "Per Halvorsen") for place in ("Lisbon", "Oslo")
    ]
    assert find(texts, alone=True) == find(texts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("Write to 48 Kestrel Avenue, Apt. 7, Dayton, OH 45402 soon.", {("STREET_ADDRESS", "48 Kestrel Avenue, Apt. 7"), ("POSTCODE", "45402")}),
        ("Sent to 9 Kestrel Avenue\nSuite 12\nDayton\nOhio 45402", {("STREET_ADDRESS", "9 Kestrel Avenue\nSuite 12"), ("POSTCODE", "45402")}),
    ],
)  # fmt: skip
def test_an_address_is_its_street_place_and_postcode(words, parts):
    seen = found(words)
    assert parts <= seen
    assert any(entity == "LOCATION" and value.startswith("Dayton") for entity, value in seen)


def test_blank_and_odd_texts_have_no_spans():
    assert text.find(["", " \n", "🙂", "\u200b"]) == [(), (), (), ()]
