"""Gates rule out only what cannot match: held against the engine itself on generated patterns and texts."""

import random

import hypothesis
import pytest
from hypothesis import strategies as st

from privsynth.pii.gates import COUNTED, MANY, Needs, needs
from privsynth.pii.traits import Traits

regex = pytest.importorskip("regex")

ATOMS = [
    "a",
    "B",
    "7",
    r"\d",
    "[0-9A-F]",
    r"\w",
    "[.]",
    "@",
    "-",
    r"\s",
    "[ -]",
    "[^ ]",
    ".",
    r"\b",
    "(?!9)",
    "(?<=x)",
    "(?:ab|12)",
    "[^\\W\\d_]",
    ":",
    "é",
]
REPEATS = ["", "", "?", "*", "+", "{2}", "{3,5}", "{0,2}", "+?"]
patterns = st.recursive(
    st.tuples(st.sampled_from(ATOMS), st.sampled_from(REPEATS)).map(
        lambda pair: pair[0] if pair[0][:2] in (r"\b", "(?") and pair[0] != "(?:ab|12)" else "".join(pair)
    ),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(?:" + "|".join(parts) + ")")
        | st.tuples(inner, st.sampled_from(["?", "{2}", "{1,3}", "*"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    ),
    max_leaves=8,
)
texts = st.text(alphabet="aBx0179 .@-:\n_é٣ﬁ²", max_size=40)


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(pattern=patterns, text=texts)
def test_a_text_that_matches_is_admitted_and_its_matches_lie_in_the_neighbourhoods(pattern, text):
    wanted, traits = needs(pattern, regex.IGNORECASE), Traits(text)
    compiled = regex.compile(pattern, regex.IGNORECASE)
    matches = [match.span() for match in compiled.finditer(text) if match.end() > match.start()]
    if matches:
        assert traits.admit(wanted)
    if wanted.is_local:
        parts = traits.neighbourhoods(wanted)
        assert [match.span() for first, last in parts for match in compiled.finditer(text, first, last)] == matches


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [
        (r"\d{3}-?\d{4}", {"digits": 7, "digit_run": 4, "stretch": 7, "width": 8}),
        (r"(?:\d\d){3}", {"digit_run": 6, "width": 6}),
        (r"\d{2}(?:-\d{3})?", {"digits": 2, "digit_run": 2}),
        (r"[A-F0-9]{4}([:-])[a-f0-9]{4}\1x", {"solid_run": 11}),
        (r"\w+[.](?:com|net)", {"dotted": True}),
        (r"\w+[.](?:com|net)?", {"dotted": False}),
        (r"[A-Z]\d", {"glued": True}),
        (r"[A-Z] ?\d", {"glued": False}),
        (r"\d{2}|[a-z]", {"digits": 0}),
        (r"(?=\d{9})x", {"digits": 0}),
    ],
)
def test_what_a_pattern_needs(pattern, fields):
    found = needs(pattern)
    assert {name: getattr(found, name) for name in fields} == fields


def test_signs_are_counted():
    counts = dict(zip(COUNTED, needs(r"(?:\d+\.){3}\d+@x(?::y|:z)").counts, strict=True))
    assert (counts["."], counts["@"], counts[":"], counts["-"]) == (3, 1, 1, 0)


@pytest.mark.parametrize(
    "pattern", [r"(?:\d{5}){e<=1}", r"\p{Lu}\d{9}", r"[[:alpha:]]\d{9}", r"(?V1)[\w--a]\d{9}", r"(\d{9}", r"\d{9}(?R)?"]
)
def test_what_only_the_regex_engine_knows_requires_nothing(pattern):
    assert needs(pattern) == Needs()


@pytest.mark.parametrize(
    ("pattern", "most"),
    [(r"\d{3}-\d{2}-\d{4}", 12), ("(?:ab|cd){2,3}", 84), ("a?b?", 12), ("(?:a|aa)+x", MANY), ("(?:a?){40}", MANY), (r"\d+", MANY)],
)
def test_steps_are_bounded_where_ways_through_a_pattern_are_few(pattern, most):
    assert needs(pattern).steps == most


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(pattern=patterns, text=texts)
def test_around_words_lies_every_match_that_must_see_one(pattern, text):
    expression = rf"{pattern}(?<=ab)|(?<=ab:)(?:{pattern})|(?:{pattern})(?=.ab)"
    wanted, traits, words = needs(expression, regex.IGNORECASE), Traits(text), frozenset({"ab"})
    compiled = regex.compile(expression, regex.IGNORECASE)
    matches = [match.span() for match in compiled.finditer(text) if "ab" in _seen(text, *match.span(), wanted)]
    if wanted.is_bounded and len(text.lower()) == len(text):
        parts = traits.around(words, wanted)
        assert all(any(first <= start and end <= last for first, last in parts) for start, end in matches)


def _seen(text, start, end, wanted):
    """Runs of letters that a match may see."""
    runs = regex.finditer(r"[^\W\d_]+", text.lower())
    return {run.group() for run in runs if run.end() > start - wanted.behind and run.start() < end + wanted.ahead}


def test_around_words_half_a_word_is_no_other_word():
    text = "x " * 200 + "3 marc " + "x " * 200
    ((first, last),) = Traits(text).around(frozenset({"marc"}), needs(r"\d marc(?!\w)"))
    assert (first > 300, last < 500, text[first:last].count("marc")) == (True, True, 1)


def test_neighbourhoods_leave_most_of_a_long_text_out():
    text = "word " * 2000 + "123-456-7890" + " word" * 2000
    (part,) = Traits(text).neighbourhoods(needs(r"\d{3}-\d{3}-\d{4}"))
    assert part[1] - part[0] < 100


def test_random_digits_are_admitted_by_their_own_shape():
    draw = random.Random(3)
    for _ in range(200):
        groups = [draw.randint(1, 5) for _ in range(draw.randint(1, 4))]
        pattern = "[ -]?".join(rf"\d{{{n}}}" for n in groups)
        text = "on 3 May " + draw.choice(["", " ", "-"]).join("".join(draw.choices("0123456789", k=n)) for n in groups) + " he"
        assert Traits(text).admit(needs(pattern))
