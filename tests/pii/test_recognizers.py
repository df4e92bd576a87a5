"""Whole-cell questions: what each type accepts and what it must leave alone."""

import pytest

pytest.importorskip("faker")

from privsynth.pii import recognizers as r


@pytest.mark.parametrize(
    ("question", "value"),
    [
        (r.is_email, "a.b+c@mail.example.co.uk"),
        (r.is_email, "jürg@bücher.example"),
        (r.is_iban, "CH93 0076 2011 6238 5295 7"),
        (r.is_iban, "GB82WEST12345698765432"),
        (r.is_card, "4111 1111 1111 1111"),
        (r.is_card, "378282246310005"),
        (r.is_ip_address, "10.0.0.1"),
        (r.is_ip_address, "2001:db8::1"),
        (r.is_url, "https://a.example/x?y=1"),
        (r.is_url, "www.example.de"),
        (r.is_url, "example.com"),
        (r.is_street_address, "12 Long Acre Road"),
        (r.is_street_address, "221B Baker Street, London"),
        (r.is_street_address, "Bahnhofstrasse 12"),
        (r.is_street_address, "Lange Gasse 3a"),
        (r.is_street_address, "12, rue de la Paix"),
        (r.is_street_address, "Rue du Rhône 8"),
        (r.is_street_address, "Via Roma, 12"),
        (r.is_street_address, "Calle de Alcalá, 45"),
        (r.is_street_address, "Prinsengracht 263"),
        (r.is_street_address, "Rua Augusta 100"),
        (r.is_date, "2020-01-31"),
        (r.is_date, "31.01.2020"),
        (r.is_date, "29 November 1996"),
        (r.is_date, "1er janvier 2001"),
        (r.is_date, "3 de marzo de 1999"),
        (r.is_phone, "+41 79 123 45 67"),
        (r.is_phone, "0044 20 7946 0123"),
    ],
)
def test_accepts(question, value):
    assert question(value)


@pytest.mark.parametrize(
    ("question", "value"),
    [
        (r.is_email, "user@localhost"),
        (r.is_email, "write to a@example.org"),
        (r.is_iban, "CH93 0076 2011 6238 5295 8"),
        (r.is_iban, "an ordinary sentence"),
        (r.is_card, "4111 1111 1111 1112"),
        (r.is_card, "1234567890123456"),
        (r.is_ip_address, "1.2.3"),
        (r.is_ip_address, "12:30:00"),
        (r.is_ip_address, "300.1.1.1"),
        (r.is_url, "file.py"),
        (r.is_url, "john.sm"),
        (r.is_url, "3.14"),
        (r.is_street_address, "8001 Zürich"),
        (r.is_street_address, "room 12"),
        (r.is_street_address, "The long road to freedom"),
        (r.is_date, "may"),
        (r.is_date, "1996"),
        (r.is_phone, "8001"),
        (r.is_phone, "2020-01-31"),
        (r.is_phone, "1234567.89"),
        (r.is_phone, "4155552671"),
    ],
)
def test_rejects(question, value):
    assert not question(value)


def test_bare_digits_are_a_phone_only_when_told_so():
    assert not r.is_phone("4155552671", regions=("US",))
    assert r.is_phone("4155552671", regions=("US",), bare=True)
    assert r.is_phone("(415) 555-2671", regions=("US",))


@pytest.mark.parametrize("value", ["Anna Müller", "MÜLLER, Anna", "Dr. John Smith", "maria garcía"])
def test_names_score(value):
    assert r.name_score(value) == 1.0


@pytest.mark.parametrize("value", ["credit approved", "Zürich Hauptbahnhof", "blue chair", "Room 12", "", "🙂"])
def test_ordinary_words_are_no_names(value):
    assert r.name_score(value) == 0.0


@pytest.mark.parametrize(
    "hostile",
    ["a" * 50_000, "1 " * 25_000, "rue " * 12_000, "a." * 25_000, "A" * 25_000 + "@", "12 " + "Aa " * 15_000, "@" * 50_000, "00" * 25_000],
)
def test_hostile_values_do_not_hang(hostile):
    # a search without end would meet the time limit of every test
    assert all(question(hostile) in (True, False) for question in (*r.WHOLE_CELL.values(), r.is_date, r.is_phone))
    assert all(identifier.is_written(hostile) in (True, False) for identifier in r.NATIONAL_IDS)
