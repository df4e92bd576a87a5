"""Spans in texts: found without a network, with no value in a span, a message or a log."""

import logging
import socket
import subprocess
import sys

import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")

from privsynth.errors import PIIError
from privsynth.pii import Span, detect, detect_spans


def found(text, language="en", **settings):
    return {(span.entity, text[span.start : span.end]) for span in detect_spans([text], language=language, **settings)[0]}


@pytest.mark.parametrize(
    ("language", "text", "entity", "value"),
    [
        ("en", "mail x.y@example.org now", "EMAIL_ADDRESS", "x.y@example.org"),
        ("en", "paid from CH93 0076 2011 6238 5295 7 today", "IBAN_CODE", "CH93 0076 2011 6238 5295 7"),
        ("en", "card 4111 1111 1111 1111 declined", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("en", "ring (415) 555-2671 please", "PHONE_NUMBER", "(415) 555-2671"),
        ("en", "ring +41 79 123 45 67 please", "PHONE_NUMBER", "+41 79 123 45 67"),
        ("en", "my ssn is 536-22-8145", "NATIONAL_ID", "536-22-8145"),
        ("en", "his bsn is 111222333 he said", "NATIONAL_ID", "111222333"),
        ("en", "AHV 756.9217.0769.85", "NATIONAL_ID", "756.9217.0769.85"),
        ("en", "lives at 12 Long Acre Road now", "STREET_ADDRESS", "12 Long Acre Road"),
        ("en", "on 29 November 1996 she", "DATE_TIME", "29 November 1996"),
        ("en", "spoke to Mr Qwertz today", "PERSON", "Qwertz"),
        ("en", "Yesterday Anna Müller called", "PERSON", "Anna Müller"),
        ("en", "from 10.0.0.1 again", "IP_ADDRESS", "10.0.0.1"),
        ("en", "see www.example.com/a, then", "URL", "www.example.com/a"),
        ("de", "Sie wohnt Bahnhofstrasse 12 in Bern", "STREET_ADDRESS", "Bahnhofstrasse 12"),
        ("de", "Natel 079 123 45 67", "PHONE_NUMBER", "079 123 45 67"),
        ("fr", "né le 1er janvier 2001 à Lyon", "DATE_TIME", "1er janvier 2001"),
        ("it", "codice fiscale RSSMRA85T10A562S", "NATIONAL_ID", "RSSMRA85T10A562S"),
        ("es", "DNI 12345678Z", "NATIONAL_ID", "12345678Z"),
        ("nl", "Hij woont Prinsengracht 263", "STREET_ADDRESS", "Prinsengracht 263"),
        ("pt", "CPF 529.982.247-25", "NATIONAL_ID", "529.982.247-25"),
    ],
)
def test_spans_are_found(language, text, entity, value):
    assert (entity, value) in found(text, language)


@pytest.mark.parametrize(
    "text",
    [
        "see file.py and 16943",
        "order 1234567890 of 2021",
        "the bank approved the credit in may",
        "take 4155552671 units",
        "v1 m2 A1 public",
        "🙂 ok",
    ],
)
def test_ordinary_text_has_no_spans(text):
    assert found(text) == set()


def test_context_raises_bare_digits():
    assert ("PHONE_NUMBER", "4155552671") in found("his phone is 4155552671")


def test_context_matches_whole_words_only():
    # "assinnment" holds "sin", a context word of a nine-digit identifier.
    assert found("assinnment 130692544") == set()


def test_one_tuple_per_text_and_positions_count_characters():
    texts = ["", "🙂🙂 a@example.org", "nothing"]
    spans = detect_spans(texts)
    assert [len(row) for row in spans] == [0, 1, 0]
    assert texts[1][spans[1][0].start : spans[1][0].end] == "a@example.org"


def test_threshold_one_keeps_only_certain_spans():
    assert found("Anna Müller a@example.org", threshold=1.0) == {("EMAIL_ADDRESS", "a@example.org")}


def test_unknown_language_is_refused():
    with pytest.raises(PIIError, match="language='xx'"):
        detect_spans(["x"], language="xx")


def test_a_skipped_pattern_is_an_error_not_a_warning():
    detect_spans(["x"])
    with pytest.raises(PIIError, match="ran out of time"):
        logging.getLogger("presidio-analyzer").warning("Regex pattern '%s' timed out after %s seconds, skipping.", "x", 60)


def test_no_value_is_logged(caplog, capsys):
    caplog.set_level("DEBUG")
    spans = detect_spans(["zqxcanary@example.org and Mr Zqxcanary"])
    assert {span.entity for span in spans[0]} == {"EMAIL_ADDRESS", "PERSON", "TITLE"}
    assert "zqxcanary" not in (repr(spans) + caplog.text + "".join(capsys.readouterr())).casefold()


def test_no_socket_is_opened(monkeypatch):
    def refuse(*args, **settings):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    detect._analyzer.cache_clear()  # so that loading is watched too
    assert ("EMAIL_ADDRESS", "a@example.org") in found("a@example.org and www.example.com and +41 79 123 45 67")


def test_spans_are_values():
    span = Span(start=0, end=3, entity="PERSON", score=0.6, recognizer="x")
    assert span == Span(start=0, end=3, entity="PERSON", score=0.6, recognizer="x")


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, privsynth.pii; print([m for m in ('presidio_analyzer', 'spacy', 'faker', 'phonenumbers', 'torch', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
