"""Each type of the rules: what it finds in a sentence, and what it leaves alone. Also dates, and what Presidio is known to get wrong."""

import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")

from privsynth.pii import detect_spans
from privsynth.pii.dates import MONTHS

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def found(text, language="en"):
    return {(span.entity, text[span.start : span.end]) for span in detect_spans([text], language=language)[0]}


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        ("she is 45 years old", "AGE", "45"),
        ("a 45-year-old man", "AGE", "45"),
        ("patient aged 87 fell", "AGE", "87"),
        ("er ist 45 Jahre alt", "AGE", "45"),
        ("la patiente, âgée de 62 ans", "AGE", "62"),
        ("tiene 33 años", "AGE", "33"),
        ("spoke to Dr. Qwertz", "TITLE", "Dr."),
        ("sehr geehrte Frau Qwertz", "TITLE", "Frau"),
        ("follow @jane_doe42 there", "USERNAME", "@jane_doe42"),
        ("username: jdoe", "USERNAME", "jdoe"),
        ("his login was j.doe77 then", "USERNAME", "j.doe77"),
        ("the user anna_ called", "USERNAME", "anna_"),
        ("key AKIAIOSFODNN7EXAMPLE leaked", "SECRET", "AKIAIOSFODNN7EXAMPLE"),
        ("token ghp_abcdefghijklmnopqrstuvwxyz0123456789AB", "SECRET", "ghp_abcdefghijklmnopqrstuvwxyz0123456789AB"),
        (f"header {JWT} sent", "SECRET", JWT),
        ("the password is hunter2!", "SECRET", "hunter2!"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "SECRET", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"),
        ("in London SW1A 1AA now", "POSTCODE", "SW1A 1AA"),
        ("Ottawa K1A 0B1", "POSTCODE", "K1A 0B1"),
        ("Palo Alto, CA 94301", "POSTCODE", "94301"),
        ("CH-8001 Zürich", "POSTCODE", "CH-8001"),
        ("his zip is 94105", "POSTCODE", "94105"),
        ("PLZ 80331", "POSTCODE", "80331"),
        ("account 12345678 was closed", "BANK_ACCOUNT", "12345678"),
        ("Konto 1234567890", "BANK_ACCOUNT", "1234567890"),
        ("passport C01X00T47 expired", "PASSPORT", "C01X00T47"),
        ("driving licence MORGA753116SM9IJ", "DRIVER_LICENSE", "MORGA753116SM9IJ"),
        ("card 4111 1111 1111 1112 was refused", "CREDIT_CARD", "4111 1111 1111 1112"),
        ("phone 123 456 789 0123", "PHONE_NUMBER", "123 456 789 0123"),
        ("ring 001-486-894-6032x5306 now", "PHONE_NUMBER", "001-486-894-6032x5306"),
        ("ring +1-986-796-2726 ext. 35803 now", "PHONE_NUMBER", "+1-986-796-2726 ext. 35803"),
        ("mac 00:1B:44:11:3A:B7 seen", "MAC_ADDRESS", "00:1B:44:11:3A:B7"),
    ],
)  # fmt: skip
def test_found(text, entity, value):
    assert (entity, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "it took 45 years and 6 months",
        "he ran 10 km in 45 minutes",
        "Doctor who? Frau, Mann und Kind",
        "meet @ 5 and mail them",
        "the user was happy and the login worked",
        "passwords are never sent",
        "a token of thanks",
        "16943 units in room 80331",
        "the order 12345678 shipped",
        "A1 and v1 and m2 are public",
        "licence to build 12 flats",
        "card stock of 300 grams",
        "phone on 3 of 4 desks",
        "4111 1111 1111 1112 units",
        "take 4155552671 of them",
        "call on 2024-01-15 at 10:30",
        "12345678901234567 and 123456789",
        "see file.py, john.sm and README.md",
        "3.14 and 1,000,000.00",
        "2 out of 3, 5 may apply, 7 mag, 1 set",
        "50% of 12 march past",
    ],
)
def test_left_alone(text):
    assert {entity for entity, _ in found(text)} - {"DATE_TIME"} == set()
    if "2024" not in text:
        assert found(text) == set()


@pytest.mark.parametrize("language", sorted(MONTHS))
def test_every_month_of_every_language_makes_a_date(language):
    for month in MONTHS[language].split():
        for text in (f"am 3 {month} 1999 dort", f"x 3. {month} 1999", f"{month} 1999"):
            assert any(entity == "DATE_TIME" and month in value and "1999" in value for entity, value in found(text, language)), month


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on November 29th, 1996 she", "November 29th, 1996"),
        ("Nov 29, 1996", "Nov 29, 1996"),
        ("29-Nov-96 done", "29-Nov-96"),
        ("the 3rd of May 2001", "3rd of May 2001"),
        ("le 1er janvier 2001", "1er janvier 2001"),
        ("el 3 de marzo del 2020", "3 de marzo del 2020"),
        ("am 3. Oktober war", "3. Oktober"),
        ("born Sept 12 in", "Sept 12"),
        ("on 2020-01-31", "2020-01-31"),
        ("on 31.01.2020", "31.01.2020"),
    ],
)
def test_dates_are_found_whole(text, value):
    assert ("DATE_TIME", value) in found(text)


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "it", "nl", "pt"])
def test_cards_ibans_and_mails_are_found_in_every_language(language):
    text = "4111 1111 1111 1111 CH93 0076 2011 6238 5295 7 a@example.org +41 79 123 45 67"
    assert {entity for entity, _ in found(text, language)} >= {"CREDIT_CARD", "IBAN_CODE", "EMAIL_ADDRESS", "PHONE_NUMBER"}


def test_a_ten_digit_phone_is_no_health_number_without_the_word():
    assert ("NATIONAL_ID", "9434765919") in found("nhs 9434765919")
    assert found("number 9434765919") == set()
