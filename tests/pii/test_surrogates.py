"""Invented people: they agree with themselves, reach nobody, and the replay check sees what comes back."""

import importlib
import ipaddress

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("faker")
pytest.importorskip("phonenumbers")
pytest.importorskip("stdnum")

import phonenumbers

from privsynth.errors import PIIError
from privsynth.pii import pii_replay, ranges, regenerate
from privsynth.pii.names import ascii_letters, names_of
from privsynth.pii.ranges import IBAN_FORMS, NATIONAL_ID_RULES, PHONE_RANGES
from privsynth.pii.recognizers import NATIONAL_IDS, fold, is_card, is_iban, name_lists
from privsynth.pii.surrogates import TYPES

COLUMNS = {
    "name": "PERSON", "first_name": "PERSON", "last_name": "PERSON", "email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "iban": "IBAN_CODE", "id": "ID",
    "nid": "NATIONAL_ID", "street": "STREET_ADDRESS", "card": "CREDIT_CARD", "ip": "IP_ADDRESS", "url": "URL", "user": "USERNAME", "born": "DATE_OF_BIRTH",
}  # fmt: skip
LOCALES = {
    "AT": "de_AT", "BE": "nl_BE", "BR": "pt_BR", "CH": "de_CH", "DE": "de_DE", "DK": "da_DK", "ES": "es_ES", "FI": "fi_FI", "FR": "fr_FR", "GB": "en_GB",
    "IT": "it_IT", "NL": "nl_NL", "NO": "no_NO", "PL": "pl_PL", "PT": "pt_PT", "SE": "sv_SE", "US": "en_US",
}  # fmt: skip


def invent(n, columns=COLUMNS, *, seed=0, **settings):
    return regenerate(n, columns, rng=np.random.default_rng(seed), **settings)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    return invent(2_000, locale=["de_CH", "en", "fr_FR", "sv_SE"])


def test_every_type_is_made():
    assert set(COLUMNS.values()) == set(TYPES)


def test_parts_of_a_person_agree(mixed):
    assert (mixed["name"] == mixed["first_name"] + " " + mixed["last_name"]).all()
    for row in mixed.head(300).itertuples():
        local = row.email.partition("@")[0]
        first, last = (ascii_letters(part) for part in (row.first_name, row.last_name))
        assert local.rstrip("0123456789") == f"{first}.{last}"
        assert row.user == local.replace(".", "_")
        assert row.url.endswith(f"/{local}")


def test_names_come_from_lists(mixed):
    first, last = name_lists()
    assert all(fold(name) in first for name in mixed["first_name"])
    assert all(fold(name) in last for name in mixed["last_name"])


def test_mail_and_addresses_reach_nobody(mixed):
    assert set(mixed["email"].str.partition("@")[2]) <= {"example.com", "example.org", "example.net"}
    assert mixed["email"].str.fullmatch(r"[a-z]+\.[a-z]+\d*@[a-z.]+").all()
    blocks = [ipaddress.ip_network(block) for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
    assert all(any(ipaddress.ip_address(address) in block for block in blocks) for address in mixed["ip"])


@pytest.mark.parametrize("column", ["email", "iban", "card", "id", "user", "url"])
def test_keys_are_distinct(mixed, column):
    assert mixed[column].is_unique


@pytest.mark.parametrize("country", list(LOCALES))
def test_phones_are_of_the_country_and_reserved_or_outside_its_plan(country):
    reserved = {"US", "GB", "DE", "FR", "SE"}
    prefixes = [form.partition("#")[0] for form in PHONE_RANGES[country]]
    for text in invent(200, {"phone": "PHONE_NUMBER"}, locale=LOCALES[country])["phone"]:
        number = phonenumbers.parse(text)
        assert number.country_code == phonenumbers.country_code_for_region(country)
        assert phonenumbers.is_possible_number(number)
        assert any(text.startswith(prefix) for prefix in prefixes)
        if country not in reserved:
            assert not phonenumbers.is_valid_number(number)


@pytest.mark.parametrize(("country", "low", "high"), [("US", 100, 199), ("CA", 100, 199)])
def test_american_numbers_stay_in_555_0100_to_0199(country, low, high):
    for text in invent(500, {"phone": "PHONE_NUMBER"}, locale={"US": "en_US", "CA": "en_CA"}[country])["phone"]:
        area, exchange, line = text.removeprefix("+1 ").split("-")
        assert (len(area), exchange) == (3, "555")
        assert low <= int(line) <= high


@pytest.mark.parametrize("country", sorted(NATIONAL_ID_RULES))
def test_national_identifiers_are_well_formed_and_impossible(country):
    values = invent(500, {"nid": "NATIONAL_ID"}, locale=LOCALES[country])["nid"]
    known = [identifier for identifier in NATIONAL_IDS if identifier.country == country]
    assert known
    for identifier in known:
        if identifier.module:
            check = importlib.import_module(f"stdnum.{identifier.module}")
            assert not any(check.is_valid(value) for value in values)
    lengths = {"DE": 11, "US": 11, "DK": 11, "FI": 11, "GB": 13}
    assert len(set(map(len, values))) == 1
    assert len(values[0]) == lengths.get(country, len(values[0]))
    assert values.nunique() > 490


def test_national_identifiers_with_a_reserved_range_lie_in_it():
    assert invent(200, {"nid": "NATIONAL_ID"}, locale="en_US")["nid"].str.startswith("666-").all()
    assert invent(200, {"nid": "NATIONAL_ID"}, locale="de_DE")["nid"].str.startswith("0").all()
    assert invent(200, {"nid": "NATIONAL_ID"}, locale="en_GB")["nid"].str.startswith("QQ").all()
    assert invent(200, {"nid": "NATIONAL_ID"}, locale="da_DK")["nid"].str.startswith("00").all()
    finnish = invent(200, {"nid": "NATIONAL_ID"}, locale="fi_FI")["nid"]
    hetu = importlib.import_module("stdnum.fi.hetu")
    assert all(hetu.is_valid(value, allow_temporary=True) for value in finnish)
    assert finnish.str[7].eq("9").all()


@pytest.mark.parametrize("country", sorted(IBAN_FORMS))
def test_ibans_have_valid_check_digits_and_their_countrys_form(country):
    values = invent(100, {"iban": "IBAN_CODE"}, locale=LOCALES[country])["iban"]
    assert values.str.startswith(country).all()
    assert all(is_iban(value) for value in values)


def test_the_belgian_bank_code_is_unassigned():
    info = importlib.import_module("stdnum.numdb").get("be/banks").info(ranges._belgian_bank())
    assert not info[0][1]


def test_cards_pass_luhn_and_belong_to_no_scheme(mixed):
    luhn = importlib.import_module("stdnum.luhn")
    assert all(luhn.is_valid(card) and len(card) == 16 and card.startswith("9999") for card in mixed["card"])
    assert not any(is_card(card) for card in mixed["card"])


def test_the_given_sex_picks_the_first_name():
    given = pd.DataFrame({"gender": ["F", "male"] * 200})
    names = invent(400, {"first_name": "PERSON"}, locale="en_US", given=given)["first_name"]
    lists = names_of("en_US").first
    assert set(names[::2]) <= set(lists["female"])
    assert set(names[1::2]) <= set(lists["male"])


def test_given_columns_stay_and_are_not_returned():
    given = pd.DataFrame({"city": ["Bern"] * 5, "postcode": ["3011"] * 5})
    before = given.copy()
    made = invent(5, {"address": "STREET_ADDRESS"}, locale="de_CH", given=given)
    assert list(made.columns) == ["address"]
    assert made["address"].str.contains(r"\D \d+$").all()
    pd.testing.assert_frame_equal(given, before)


def test_the_same_seed_gives_the_same_people_and_another_seed_others():
    pd.testing.assert_frame_equal(invent(50), invent(50))
    assert not invent(50)["email"].equals(invent(50, seed=1)["email"])


def test_nobody_is_a_frame_too():
    assert invent(0).shape == (0, len(COLUMNS))


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"notes": "FREE_TEXT"}, {}, "FREE_TEXT"),
        ({"x": "EMAIL_ADRESS"}, {}, "did you mean 'EMAIL_ADDRESS'"),
        ({"x": "ID"}, {"locale": "xx_XX"}, "locale='xx_XX'"),
        ({"x": "ID"}, {"locale": []}, "locale is empty"),
        ({"x": "NATIONAL_ID"}, {"locale": "cs_CZ"}, "NATIONAL_ID"),
        ({"x": "ID"}, {"given": pd.DataFrame({"a": [1]})}, "n=3"),
    ],
)
def test_what_cannot_be_made_is_refused(columns, settings, message):
    with pytest.raises(PIIError, match=message):
        invent(3, columns, **settings)


@pytest.mark.slow
def test_a_hundred_thousand_people_have_ids_and_addresses_of_their_own():
    people = invent(100_000, {name: COLUMNS[name] for name in ("name", "email", "phone", "street", "id", "nid")}, locale="de_CH")
    assert people["id"].is_unique
    assert people["email"].is_unique


def test_replay_is_zero_for_fresh_people_and_counts_copies():
    columns = {name: entity for name, entity in COLUMNS.items() if entity in ("EMAIL_ADDRESS", "IBAN_CODE", "ID", "CREDIT_CARD")}
    # Original people of real-looking ranges: no overlap is possible with what is invented.
    original = pd.DataFrame({"email": [f"p{i}@firm.example" for i in range(50)], "iban": [f"CH93007620116238{i:05d}" for i in range(50)],
                             "id": range(50), "card": [f"4{i:015d}" for i in range(50)]})  # fmt: skip
    released = invent(50, columns)
    assert set(pii_replay(original, released, columns).values()) == {0}
    released.loc[:4, "email"] = original["email"][:5]
    assert pii_replay(original, released, columns) == {"email": 5, "iban": 0, "id": 0, "card": 0}
    assert set(pii_replay(original, original, columns).values()) == {50}


@pytest.mark.parametrize(
    ("entity", "was", "now"),
    [
        ("PHONE_NUMBER", "079 123 45 67", "+41 79 123 45 67"),
        ("PHONE_NUMBER", 41791234567.0, "0041791234567"),
        ("PHONE_NUMBER", "(415) 555-2671 x12", "+1 415 555 2671"),
        ("EMAIL_ADDRESS", "Kim@Example.org", " kim@example.org"),
        ("IBAN_CODE", "CH93 0076 2011 6238 5295 7", "ch9300762011623852957"),
        ("NATIONAL_ID", "756.9217.0769.85", "7569217076985"),
        ("ID", 17, "17"),
        ("PERSON", "José  García", "jose garcia"),
    ],
)
def test_replay_sees_through_ways_of_writing(entity, was, now):
    assert pii_replay(pd.DataFrame({"c": [was, None]}), pd.DataFrame({"c": [now, "other", None]}), {"c": entity}) == {"c": 1}


def test_replay_looks_across_columns_of_a_type():
    original = pd.DataFrame({"home": ["a@x.example"], "work": ["b@x.example"]})
    released = pd.DataFrame({"home": ["b@x.example"], "work": ["c@x.example"]})
    assert pii_replay(original, released, dict.fromkeys(original, "EMAIL_ADDRESS")) == {"home": 1, "work": 0}


def test_replay_matches_a_naive_count():
    draw = np.random.default_rng(0)
    original, released = pd.DataFrame({"id": draw.integers(0, 500, 200)}), pd.DataFrame({"id": draw.integers(0, 500, 200)})
    naive = sum(any(str(cell) == str(other) for other in original["id"]) for cell in released["id"])
    assert naive > 0
    assert pii_replay(original, released, {"id": "ID"}) == {"id": naive}


def test_replay_refuses_a_missing_column():
    with pytest.raises(PIIError, match="released"):
        pii_replay(pd.DataFrame({"a": ["zqxcanary"]}), pd.DataFrame({"b": ["x"]}), {"a": "ID"})
