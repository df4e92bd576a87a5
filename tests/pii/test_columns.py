"""The column scan: what it proposes, what it must not, and that no value leaves it."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")

from privsynth.errors import PIIError
from privsynth.pii import regenerate, scan
from privsynth.pii.columns import FALSE_ALARM, beats_chance
from privsynth.pii.headers import header_tokens, name_part

N = 300


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def column(name, values, **settings):
    return scan(pd.DataFrame({name: values}), rng=rng(), **settings)[str(name)]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    types = {
        "Name": "PERSON", "Vorname": "PERSON", "email": "EMAIL_ADDRESS", "iban": "IBAN_CODE", "street": "STREET_ADDRESS", "url": "URL", "login": "USERNAME",
        "ip": "IP_ADDRESS", "client_id": "ID", "card": "CREDIT_CARD", "geburtsdatum": "DATE_OF_BIRTH",
    }  # fmt: skip
    return regenerate(N, types, rng=rng(), locale="de_CH")


@pytest.mark.parametrize("header", ["x", "known"])
@pytest.mark.parametrize(
    ("source", "pii"),
    [
        ("Name", "PERSON"),
        ("email", "EMAIL_ADDRESS"),
        ("iban", "IBAN_CODE"),
        ("street", "STREET_ADDRESS"),
        ("url", "URL"),
        ("ip", "IP_ADDRESS"),
        ("client_id", "ID"),
    ],
)
def test_types_are_found_with_and_without_a_header(people, source, pii, header):
    finding = column(source if header == "known" else "x", people[source])
    assert finding.pii == pii
    assert finding.matched >= 0.5 * finding.checked


@pytest.mark.parametrize(("source", "pii"), [("login", "USERNAME"), ("geburtsdatum", "DATE_OF_BIRTH"), ("Vorname", "PERSON")])
def test_types_that_need_their_header(people, source, pii):
    assert column(source, people[source]).pii == pii


def test_cards_are_found():
    stems = [f"4{number:014d}" for number in np.random.default_rng(1).integers(0, 10**14, size=60)]
    luhn = pytest.importorskip("stdnum.luhn")
    valid = [stem + luhn.calc_check_digit(stem) for stem in stems]
    assert column("x", valid).pii == "CREDIT_CARD"
    assert column("x", [stem + str((int(luhn.calc_check_digit(stem)) + 1) % 10) for stem in stems]).pii != "CREDIT_CARD"


@pytest.mark.parametrize("header", ["phone", "Telefonnummer", "téléphone portable", "celular"])
def test_phones_are_found(header):
    numbers = [f"+41 79 {i:03d} {i % 90 + 10} 67" for i in range(100, 160)]
    assert column(header, numbers).pii == "PHONE_NUMBER"
    assert column("x", numbers).pii == "PHONE_NUMBER"
    assert column(header, [41791234500.0 + i for i in range(60)] + [None]).pii == "PHONE_NUMBER"


def _valid(module, template, n=40):
    """Numbers that pass a national check, by trying check digits: an oracle that does not use the scan."""
    stdnum = pytest.importorskip(f"stdnum.{module}")
    found, draw = [], np.random.default_rng(3)
    while len(found) < n:
        stem = template(draw)
        found += [number for number in (stem + f"{tail:02d}" for tail in range(100)) if stdnum.is_valid(number)][:1]
    return found


@pytest.mark.parametrize(
    ("module", "template", "country"),
    [
        ("ch.ssn", lambda draw: f"756{draw.integers(10**8):08d}", "CH"),
        ("nl.bsn", lambda draw: f"{draw.integers(10**6, 10**7)}", "NL"),
        ("br.cpf", lambda draw: f"{draw.integers(10**8, 10**9)}", "BR"),
        (
            "fr.nir",
            lambda draw: (
                f"1{draw.integers(40, 99)}{draw.integers(1, 13):02d}{draw.integers(21, 95)}{draw.integers(1, 990):03d}{draw.integers(1, 999):03d}"
            ),
            "FR",
        ),
        (
            "be.nn",
            lambda draw: f"{draw.integers(40, 99)}{draw.integers(1, 13):02d}{draw.integers(1, 29):02d}{draw.integers(1, 997):03d}",
            "BE",
        ),
    ],
)
def test_national_identifiers_of_bare_digits_are_found_by_their_check_digits(module, template, country):
    finding = column("x", _valid(module, template))
    assert finding.pii == "NATIONAL_ID"
    assert f"({country}:" in finding.evidence


@pytest.mark.parametrize(
    "values",
    [
        ["756.9217.0769.85", "756.1234.5678.97"],
        ["12345678Z", "87654321X"],
        ["RSSMRA85T10A562S"],
        ["131052-308T"],
        ["AB 12 34 56 C", "JK 11 22 33 A"],
        ["529.982.247-25"],
    ],
    ids=["CH", "ES", "IT", "FI", "GB", "BR"],
)
def test_national_identifiers_in_their_own_form_are_found_in_few_rows(values):
    assert column("x", values).pii == "NATIONAL_ID"


def test_random_digits_are_no_national_identifier():
    # Null control. 50 columns of random numbers, 25 identifiers: expected false alarms below 50 * 25 * FALSE_ALARM = 0.002.
    draw = np.random.default_rng(5)
    for _ in range(5):
        frame = pd.DataFrame(
            {f"c{width}_{i}": draw.integers(10 ** (width - 1), 10**width, size=60) for width in (9, 10, 11, 12, 13) for i in range(2)}
        )
        assert "NATIONAL_ID" not in scan(frame, rng=draw).pii.values()


def test_beats_chance_against_the_exact_binomial_tail():
    stats = pytest.importorskip("scipy.stats")
    for checked in (5, 9, 40):
        for matched in range(checked + 1):
            if beats_chance(matched, checked, 1 / 11):
                assert stats.binom.sf(matched - 1, checked, 1 / 11) <= FALSE_ALARM
    assert not beats_chance(0, 0, 0.1)


DRAW = np.random.default_rng(2)
NEGATIVES = {
    "age": DRAW.integers(18, 90, N),
    "postcode": [f"{value:04d}" for value in DRAW.integers(1000, 9999, N)],
    "zip": [f"{value:05d}" for value in DRAW.integers(0, 99_999, N)],
    "city": DRAW.choice(["Zürich", "Bern", "Lincoln", "Jackson", "Hamilton", "Paris"], N),
    "amount": DRAW.normal(1e6, 2e5, N).round(2),
    "balance": DRAW.integers(10**9, 10**10, N),
    "segment": DRAW.choice(["retail", "private", "business"], N),
    "weekday": DRAW.choice(["May", "June", "April", "August", "Summer"], N),
    "event_date": pd.date_range("2020-01-01", periods=N),
    "order_date": [f"{day:02d}.{month:02d}.2021" for day, month in zip(DRAW.integers(1, 29, N), DRAW.integers(1, 13, N), strict=True)],
    "file": [f"file{i % 40}.py" for i in range(N)],
    "version": DRAW.choice(["1.2.3", "2.0.1", "10.4.2"], N),
    "number_of_children": DRAW.integers(0, 30, N),
    "product": DRAW.choice(["blue chair", "round table", "long lamp", "red sofa"], N),
    "time": [f"{hour:02d}:{minute:02d}:00" for hour, minute in zip(DRAW.integers(0, 24, N), DRAW.integers(0, 60, N), strict=True)],
    "flag": DRAW.choice(["yes", "no"], N),
    "branch_id": DRAW.integers(1, 6, N),
    "education_num": DRAW.integers(1, 17, N),
    "fnlwgt": DRAW.integers(12_285, 1_490_400, N),
    "company": DRAW.choice(["Morgan Stanley", "Ernst Young", "Smith Barney", "Wells Fargo"], N),
    "ratio": DRAW.random(N),
}


@pytest.mark.parametrize("header", list(NEGATIVES))
def test_ordinary_columns_are_not_personal_data(header):
    assert column(header, NEGATIVES[header]).pii is None


@pytest.mark.parametrize(
    "header", ["weekday", "product", "segment", "fnlwgt", "balance", "amount", "zip", "event_date", "order_date", "time", "version", "file"]
)
def test_ordinary_values_are_not_personal_data_whatever_the_header_hides(header):
    assert column("x", NEGATIVES[header]).pii is None


@pytest.mark.parametrize("header", ["city", "postcode", "age"])
def test_quasi_identifiers_are_marked_not_dropped(header):
    finding = column(header, NEGATIVES[header])
    assert (finding.pii, finding.quasi_identifier) == (None, True)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("age", "integer"),
        ("amount", "decimal"),
        ("segment", "categorical"),
        ("event_date", "datetime"),
        ("order_date", "datetime"),
        ("flag", "boolean"),
        ("postcode", "categorical"),
    ],
)
def test_kinds_are_proposed(header, kind):
    assert column(header, NEGATIVES[header]).kind_proposal == kind


def notes(n=60):
    draw = np.random.default_rng(4)
    verbs = ["asked about", "complained about", "cancelled", "praised", "renewed", "forgot"]
    return [
        f"Client {i} {verbs[draw.integers(6)]} the loan of branch {draw.integers(99)} and wrote from kim{i}@example.org about it"
        for i in range(n)
    ]


def test_free_text_is_counted_by_spans():
    finding = column("notes", notes())
    assert (finding.pii, finding.kind_proposal) == ("FREE_TEXT", "text")
    assert finding.spans["EMAIL_ADDRESS"] == 60


def test_short_remarks_that_hardly_repeat_are_free_text():
    assert column("remark", [f"called {word} back{i}" for i in range(40) for word in ("early", "late")]).pii == "FREE_TEXT"


def test_one_address_among_categories_is_not_overlooked():
    finding = column("remark", ["none", "late", "early"] * 100 + ["kim@example.org"])
    assert (finding.pii, finding.matched) == ("EMAIL_ADDRESS", 1)


CANARY = "zqxcanary"


def canary_frame() -> pd.DataFrame:
    return pd.DataFrame({
        "email": [f"{CANARY}{i}@example.org" for i in range(30)],
        "name": [f"Anna {CANARY.title()}" for _ in range(30)],
        "notes": [f"please write to {CANARY}{i}@example.org about the third of five loans" for i in range(30)],
        "seg": [CANARY] * 30,
    })  # fmt: skip


def test_no_value_leaves_the_scan(caplog, capsys):
    caplog.set_level("DEBUG")
    report = scan(canary_frame(), rng=rng())
    said = report.to_json() + repr(report) + caplog.text + "".join(capsys.readouterr())
    assert CANARY not in said.casefold()
    assert json.loads(report.to_json())["findings"][0]["pii"] == "EMAIL_ADDRESS"


def test_values_are_shown_when_asked_for():
    finding = scan(canary_frame(), rng=rng(), show_values=True)["email"]
    assert len(finding.examples) == 3
    assert all(CANARY in example for example in finding.examples)


def test_odd_frames_do_not_stop_the_scan():
    frame = pd.DataFrame({
        "mixed": [1, "two", None, 3.5, ["list"], {"a": 1}, b"bytes", "🙂"],
        "empty": [None] * 8,
        "nan": [float("nan")] * 8,
        "blank": ["", " "] * 4,
        "inf": [float("inf"), 1.0] * 4,
        7: list(range(8)),
        ("a", 1): ["x"] * 8,
        None: pd.Categorical(["u", "v"] * 4),
        "🙂": ["🙂🙂", "é"] * 4,
        "nullable": pd.array([1, None] * 4, dtype="Int64"),
        "zoned": pd.date_range("2020-01-01", periods=8, tz="UTC"),
        "truth": pd.array([True, None] * 4, dtype="boolean"),
    })  # fmt: skip
    report = scan(frame, rng=rng())
    assert [finding.column for finding in report.findings] == [str(name) for name in frame.columns]
    assert report["empty"].distinct == report["nan"].distinct == report["blank"].distinct == 0
    assert report["zoned"].kind_proposal == "datetime"
    assert report["truth"].kind_proposal == "boolean"


def test_empty_frames_and_repeated_names():
    assert scan(pd.DataFrame(), rng=rng()).findings == ()
    twice = pd.DataFrame([["a@example.org", "x"]], columns=["c", "c"])
    assert [finding.pii for finding in scan(twice, rng=rng()).findings] == ["EMAIL_ADDRESS", None]


def test_scan_changes_nothing():
    frame = canary_frame()
    before = frame.copy(deep=True)
    scan(frame, rng=rng())
    pd.testing.assert_frame_equal(frame, before)


def test_unknown_column_and_sample_are_refused():
    report = scan(canary_frame(), rng=rng())
    with pytest.raises(PIIError, match="did you mean 'email'"):
        report["emial"]
    with pytest.raises(PIIError, match="sample=0"):
        scan(canary_frame(), rng=rng(), sample=0)


def test_counts_without_sampling_match_a_naive_count():
    values = [f"p{i}@example.org" for i in range(700)] + ["unknown", "n/a"]
    finding = column("x", values, sample=None)
    assert (finding.distinct, finding.checked, finding.matched) == (702, 702, 700)


def test_headers():
    assert header_tokens("clientID") == ("client", "id")
    assert [name_part(header) for header in ("first_name", "Nachname", "Cognome", "prénom", "full name")] == [
        "first",
        "last",
        "last",
        "first",
        "full",
    ]


def test_twelve_thousand_rows_are_scanned(people):
    scan(people.head(3), rng=rng())  # imports and name lists are not part of the measure
    frame = pd.concat([people] * 40, ignore_index=True)
    frame["notes"] = [f"{text} {i}" for i, text in enumerate(notes(len(frame)))]
    for extra in range(5):
        frame[f"n{extra}"] = np.random.default_rng(extra).integers(0, 10**9, len(frame))
    assert frame.shape == (12_000, 17)
    assert len(scan(frame, rng=rng()).findings) == 17


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan(canary_frame(), rng=rng())
