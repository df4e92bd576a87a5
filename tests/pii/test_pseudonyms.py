"""Surrogates: one for one value however it is written, in its form, and where nobody can be reached."""

import ipaddress

import pytest

pytest.importorskip("faker")
pytest.importorskip("phonenumbers")
pytest.importorskip("stdnum")

import phonenumbers
from stdnum import luhn

from privsynth.pii.dates_of_people import shifted
from privsynth.pii.generalise import SPARSE_ZIP3, age_band, year, zip3
from privsynth.pii.identifiers import NATIONAL_IDS
from privsynth.pii.keyed import Key
from privsynth.pii.name_words import NameWords
from privsynth.pii.names import names_of
from privsynth.pii.pseudonyms import Pseudonyms
from privsynth.pii.ranges import IBAN_FORMS, NATIONAL_IDS_OF
from privsynth.pii.recognizers import is_iban

KEY = Key(secret=bytes(range(32)))
SWISS = Pseudonyms(key=KEY, locales=("de_CH", "fr_CH"))
NAMES = NameWords(key=KEY, locales=("de_CH", "en_US"))


def test_all_forms_of_a_name_keep_naming_one_person():
    known = ["Pamela Müller"]
    full = NAMES.name("Pamela Müller", known)
    first, last = full.split(" ")
    assert NAMES.name("MÜLLER", known) == last.upper()
    assert NAMES.name("Mueller, Pamela", known) == f"{last}, {first}"
    assert NAMES.name("P. Müller", known) == f"{first[0]}. {last}"
    assert NAMES.name("Frau Dr. Müller", known) == f"Frau Dr. {last}"
    assert NAMES.name("Müller's", known) == f"{last}'s"
    assert full != "Pamela Müller"


def test_an_email_address_names_the_surrogate():
    known = ["Pamela Müller"]
    first, last = (part.lower() for part in NAMES.name("Pamela Müller").split(" "))
    local = {
        form: NAMES.email(f"{form}@bank.ch", known).split("@")[0] for form in ("pamela.mueller", "pmueller", "mueller_p", "pamelam", "info")
    }
    from privsynth.pii.names import ascii_letters

    first, last = ascii_letters(first), ascii_letters(last)
    assert local == {
        "pamela.mueller": f"{first}.{last}",
        "pmueller": first[0] + last,
        "mueller_p": f"{last}_{first[0]}",
        "pamelam": first + last[0],
        "info": "info",
    }
    domains = {NAMES.email(f"x@{domain}").split("@")[1] for domain in ("bank.ch", "BANK.ch", "other.ch")}
    assert NAMES.email("pamela.mueller at bank.ch", known) == f"{first}.{last} at {NAMES.domain('bank.ch')}"
    assert NAMES.email("pamela.mueller", known) == f"{first}.{last}"
    assert len(domains) == 2
    assert all(domain.endswith(".example") for domain in domains)


@pytest.mark.parametrize("locale", ["de_CH", "en_US", "fr_FR"])
def test_sex_and_kind_of_a_name_are_kept_and_no_name_becomes_itself(locale):
    words, lists = NameWords(key=KEY, locales=(locale,)), names_of(locale)
    only = {"female": set(lists.first["female"]) - set(lists.first["male"]), "male": set(lists.first["male"]) - set(lists.first["female"])}
    for sex, names in only.items():
        plain = sorted(name for name in names if name.isalpha())[:150]
        changed = [words.word(name) for name in plain]
        assert all(one != other for one, other in zip(plain, changed, strict=True))
        # A word that preferred lists hold is exchanged from them.
        assert sum(name in lists.first[sex] for name in changed) >= 0.99 * len(changed)


@pytest.mark.parametrize(
    ("number", "prefix"),
    [("+41 59 987 35 76", "+41 "), ("0041 59 987 35 76", "0041 "), ("059 987 35 76", "0"), ("+1-415-555-2671", "+1-"), ("+49 30 1234567", "+49 ")],
)  # fmt: skip
def test_a_phone_number_keeps_its_country_and_reaches_nobody(number, prefix):
    changed = SWISS.phone(number)
    assert changed.startswith(prefix)
    assert changed != number
    parsed = phonenumbers.parse(changed.replace("0041", "+41"), "CH")
    country = phonenumbers.region_code_for_country_code(parsed.country_code)
    assert country == "US" or country == "DE" or not phonenumbers.is_valid_number(parsed)  # US, DE: ranges set aside for fiction


def test_the_same_number_written_differently_has_one_surrogate():
    digits = {
        "".join(sign for sign in SWISS.phone(number) if sign.isdigit())[-9:]
        for number in ("+41 59 987 35 76", "059 987 35 76", "0599873576")
    }
    assert len(digits) == 1


def test_a_country_without_a_range_for_fiction_gets_a_code_of_no_country():
    assert SWISS.phone("+81 3 1234 5678").startswith("+999 ")


@pytest.mark.parametrize("country", sorted(country for country, form in IBAN_FORMS.items() if form))
def test_ibans_keep_country_length_and_valid_check_digits(country):
    from privsynth.pii.ranges import with_check_digits

    own = with_check_digits(country, IBAN_FORMS[country].replace("#", "7").replace("0", "1"))
    changed = SWISS.iban(own)
    assert changed[:2] == country
    assert len(changed) == len(own)
    assert is_iban(changed)
    grouped = SWISS.iban(" ".join(own[i : i + 4] for i in range(0, len(own), 4)))
    assert grouped.replace(" ", "") == changed
    assert " " in grouped


@pytest.mark.parametrize("card", ["4111 1111 1111 1111", "378282246310005", "5555-5555-5555-4444"])
def test_cards_keep_their_form_and_pass_luhn(card):
    changed = SWISS.card(card)
    assert luhn.is_valid(changed.replace(" ", "").replace("-", ""))
    assert [sign.isdigit() for sign in changed] == [sign.isdigit() for sign in card]
    assert changed.startswith("9999")


@pytest.mark.parametrize(
    ("country", "value"), [("CH", "756.9217.0769.85"), ("US", "536-22-8145"), ("IT", "RSSMRA85T10A562S"), ("ES", "12345678Z")]
)
def test_national_identifiers_keep_country_and_form_and_are_never_issued(country, value):
    assert country in NATIONAL_IDS_OF
    changed = SWISS.national_id(value)
    assert changed != value
    assert [sign.isalnum() for sign in changed] == [sign.isalnum() for sign in value]
    assert not any(rule.is_valid(changed) and rule.is_written(changed) for rule in NATIONAL_IDS if rule.country == country and rule.module)


def test_identifiers_are_exchanged_one_to_one():
    values = [f"K{i:05d}" for i in range(3000)]
    changed = [SWISS.identifier(value) for value in values]
    assert len(set(changed)) == len(values)
    assert all(one[0].isupper() and one[1:].isdigit() and len(one) == 6 for one in changed)


def test_network_addresses_are_those_of_documentation():
    assert ipaddress.ip_address(SWISS.ip_address("10.1.2.3")) in ipaddress.ip_network(
        SWISS.ip_address("10.1.2.3").rsplit(".", 1)[0] + ".0/24"
    )
    assert SWISS.ip_address("10.1.2.3").startswith(("192.0.2.", "198.51.100.", "203.0.113."))
    assert ipaddress.ip_address(SWISS.ip_address("fe80::1")) in ipaddress.ip_network("2001:db8::/32")
    assert SWISS.url("https://www.bank.ch/people/anna").startswith("https://www.")
    assert ".example/" in SWISS.url("https://www.bank.ch/people/anna")
    assert "anna" not in SWISS.url("https://www.bank.ch/people/anna")


def test_countries_stay_and_towns_change():
    assert SWISS.place("Switzerland") == "Switzerland"
    assert SWISS.place("BERN").isupper()
    assert SWISS.place("Bern") != "Bern"


def test_an_unknown_type_becomes_its_name():
    assert SWISS.of("SECRET", "hunter2") == "<SECRET>"
    assert SWISS.of("TITLE", "Dr.") == "Dr."


@pytest.mark.parametrize(
    ("text", "days", "expected"),
    [
        ("2021-02-27", 3, "2021-03-02"), ("2021-02-27T10:11:12Z", 3, "2021-03-02T10:11:12Z"), ("2021-02-27 10:11", 3, "2021-03-02 10:11"),
        ("27.02.2021", 3, "02.03.2021"), ("27.2.21", 3, "2.3.21"), ("13/02/2021", 1, "14/02/2021"), ("03/02/2021", 1, "04/02/2021"),
        ("29 November 1996", 3, "2 December 1996"), ("May 3rd, 2021", -2, "May 1st, 2021"), ("1er janvier 2001", 1, "2 janvier 2001"),
        ("3. März 2020", 30, "2. April 2020"), ("3 de marzo de 2020", 1, "4 de marzo de 2020"), ("Monday", 3, None), ("May 2021", 3, None),
        ("31.02.2001", 3, None), ("2021-01-01 to 2021-02-01", 3, None), ("9999-12-30", 5, None),
    ],
)  # fmt: skip
def test_dates_move_in_their_own_form(text, days, expected):
    assert shifted(text, days) == expected


def test_a_month_may_come_first():
    assert shifted("03/02/2021", 1, month_first=True) == "03/03/2021"
    assert shifted("03/25/2021", 1) == "03/26/2021"


def test_dates_of_one_person_move_together_and_always_move():
    days = [SWISS.days(f"person {i}") for i in range(3000)]
    assert 0 not in days
    assert min(days) >= -182
    assert max(days) <= 182
    assert len(set(days)) == 364
    assert Pseudonyms(key=KEY, most_days=0).days("person 1") == 0


@pytest.mark.parametrize(
    ("postcode", "expected"), [("94110", "941**"), ("94110-1234", "941**"), ("03601", "000**"), ("8004", "80**"), ("SW1A 1AA", "SW** ***")]
)
def test_postcodes_are_covered_by_the_20_000_rule(postcode, expected):
    assert zip3(postcode) == expected


def test_ages_and_years():
    assert [age_band(age) for age in ("0", "4", "89", "90", "104")] == ["0-4", "0-4", "85-89", "90+", "90+"]
    assert year("born 12.03.1987") == "1987"
    assert year("12.03.87") is None
    assert len(SPARSE_ZIP3) == 17
