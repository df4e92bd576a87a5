"""National identifiers: many countries, and no check claims to be stricter than it is."""

import importlib
import math

import numpy as np
import pytest

pytest.importorskip("stdnum")

from privsynth.pii.identifiers import NATIONAL_IDS

PARSER = importlib.import_module("re._parser")
PLAIN = [identifier for identifier in NATIONAL_IDS if identifier.plain]


def drawn(parts, rng):
    """A random string that a simple pattern matches."""
    made = ""
    for kind, value in parts:
        name = str(kind)
        if name == "LITERAL":
            made += chr(value)
        elif name == "IN":
            choices = []
            for member, what in value:
                choices += {"CATEGORY": list("0123456789"), "RANGE": [], "LITERAL": []}[str(member)]
                choices += [chr(code) for code in range(what[0], what[1] + 1)] if str(member) == "RANGE" else []
                choices += [chr(what)] if str(member) == "LITERAL" else []
            made += choices[rng.integers(len(choices))]
        elif name == "MAX_REPEAT":
            made += "".join(drawn(value[2], rng) for _ in range(rng.integers(value[0], value[1] + 1)))
        elif name == "SUBPATTERN":
            made += drawn(value[3], rng)
        elif name == "BRANCH":
            made += drawn(value[1][rng.integers(len(value[1]))], rng)
        else:
            raise AssertionError(name)
    return made


def test_at_least_twenty_five_countries():
    assert len({identifier.country for identifier in NATIONAL_IDS}) >= 25


@pytest.mark.parametrize("identifier", PLAIN, ids=lambda entry: f"{entry.country}-{entry.name}")
def test_declared_chance_bounds_the_rate_of_random_digits(identifier):
    # 800 draws, 4 standard errors: false alarm below 1e-4 per identifier.
    rng, parts = np.random.default_rng(11), PARSER.parse(identifier.plain)
    values = [drawn(parts, rng) for _ in range(800)]
    rate = sum(map(identifier.is_plain, values)) / 800
    assert rate <= identifier.chance + 4 * math.sqrt(identifier.chance / 800)


@pytest.mark.parametrize(
    ("country", "value"),
    [
        ("GR", "AMKA 01013099997"), ("BG", "EGN 7523169263"), ("EE", "EE36805280109"), ("LT", "LT33309240064"), ("SK", "SK 710319/2745"),
        ("SI", "EMŠO 0101006500006"), ("IS", "IS 120174-3399"), ("TR", "TC 17291716060"), ("IN", "2341 2341 2346"), ("IN", "ACUPA7085R"),
        ("AU", "TFN 123 456 782"), ("NZ", "IRD 49098576"), ("MX", "BOXW310820HNERXN09"), ("CL", "12.531.909-2"), ("AR", "20-05536168-2"),
        ("KR", "971013-9019902"), ("MY", "770305-02-1234"), ("TH", "1-2345-45678-78-1"), ("UA", "РНОКПП 1759013776"), ("CN", "360426199101010071"),
    ],
)  # fmt: skip
def test_written_forms_are_recognized(country, value):
    assert any(identifier.is_written(value) for identifier in NATIONAL_IDS if identifier.country == country)


@pytest.mark.parametrize(
    "value", ["2341 2341 2347", "12.531.909-3", "20-05536168-3", "BOXW310820HNERXN08", "1-2345-45678-78-9", "2020-01-31", "12345678"]
)
def test_wrong_check_digits_and_other_numbers_are_not(value):
    assert not any(identifier.is_written(value) for identifier in NATIONAL_IDS)
