"""What a reader sees is searched; spans are given in the original; hostile text ends."""

import base64

import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")

from privsynth.errors import PIIError
from privsynth.pii import detect_spans
from privsynth.pii.disguise import base64_texts, original_span, plain


def found(text, language="en"):
    return {(span.entity, text[span.start : span.end]) for span in detect_spans([text], language=language)[0]}


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        ("mail jo\u200bhn@exa\u00admple.org now", "EMAIL_ADDRESS", "jo\u200bhn@exa\u00admple.org"),
        ("mail john&#64;example&#x2E;org now", "EMAIL_ADDRESS", "john&#64;example&#x2E;org"),
        ("?to=john%40example.org&x=1", "EMAIL_ADDRESS", "john%40example.org"),
        ("mail jоhn@example.оrg now", "EMAIL_ADDRESS", "jоhn@example.оrg"),  # two Cyrillic letters
        ("ｃａｒｄ ４１１１ １１１１ １１１１ １１１１", "CREDIT_CARD", "４１１１ １１１１ １１１１ １１１１"),
        ("رقم البطاقة ٤١١١ ١١١١ ١١١١ ١١١١ شكرا", "CREDIT_CARD", "٤١١١ ١١١١ ١١١١ ١١١١"),
        ("שלום a@example.org תודה", "EMAIL_ADDRESS", "a@example.org"),
        ("\u202ea@example.org\u202c", "EMAIL_ADDRESS", "a@example.org"),
        ("😀👩‍👩‍👧 a@example.org 😀", "EMAIL_ADDRESS", "a@example.org"),
        ("<b>a@example.org</b><br>", "EMAIL_ADDRESS", "a@example.org"),
        ("a\x00@exam\x07ple.org", "EMAIL_ADDRESS", "a\x00@exam\x07ple.org"),
        ("ssn 536\u201122\u20118145", "NATIONAL_ID", "536\u201122\u20118145"),
        ("tel +41\u00a079\u00a0123\u00a045\u00a067", "PHONE_NUMBER", "+41\u00a079\u00a0123\u00a045\u00a067"),
    ],
)
def test_disguised_values_are_found_where_they_stand(text, entity, value):
    assert any(kind == entity and value in stretch and len(stretch) <= len(value) + 4 for kind, stretch in found(text))


def test_base64_that_holds_personal_data_is_personal():
    hidden = base64.b64encode(b"please write to zq.canary@example.org soon").decode()
    assert ("EMAIL_ADDRESS", hidden) in found(f"blob {hidden} end")
    assert found(f"blob {base64.b64encode(b'nothing to be seen in here at all').decode()} end") == set()
    assert list(base64_texts("donaudampfschifffahrtsgesellschaft AAAAAAAAAAAAAAAAAAAA " + "/w" * 20)) == []


@pytest.mark.parametrize("text", ["", "plain", "Grüße, çà et là — “x” €5", "line\nline\ttab", "50% & more; 100%"])
def test_ordinary_text_is_left_as_it_is(text):
    shown, places = plain(text)
    assert len(shown) == len(text)
    assert places is None or [original_span(i, i + 1, places) for i in range(len(text))] == [(i, i + 1) for i in range(len(text))]


def test_places_lead_back_to_the_original():
    text = "ab\u200bc&#64;d\u202ee%40f"
    shown, places = plain(text)
    assert shown == "abc@de@f"
    assert [text[slice(*original_span(i, i + 1, places))] for i in range(len(shown))] == [
        "a",
        "b\u200b",
        "c",
        "&#64;",
        "d\u202e",
        "e",
        "%40",
        "f",
    ]


def test_an_unsupported_language_is_said():
    with pytest.raises(PIIError, match="language='ja' is not supported"):
        detect_spans(["x"], language="ja")


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1",
        "1 ",
        "a.",
        "@",
        "a@",
        "0-",
        "A",
        "Aa ",
        "rue ",
        "x@x.",
        "::",
        "%40",
        "&#64;",
        "eyJ",
        "12 May ",
        "(1",
        "\u200b",
        "Анна a",
        "=",
        "AAAA",
    ],
)
def test_hostile_text_ends(unit):
    # The limit is a guard against a run without end, not a measure of speed.
    detect_spans([unit * (4_000 // len(unit))], threshold=0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "length"), [("lorem ipsum 12 dolor ", 10_000_000), ("a@b.example, ", 2_000_000), ("1234567890 ", 2_000_000)]
)
def test_a_cell_of_ten_megabytes_ends(unit, length):
    # An error that names the recognizer would be as good an end as a result; a run without end would not.
    assert len(detect_spans([unit * (length // len(unit))])) == 1
