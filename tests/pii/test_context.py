"""Context words: cut as the spaCy tokenizer cuts the whole text, and looked for only where a match can have them."""

import random

import hypothesis
import pytest
from hypothesis import strategies as st

from privsynth.pii import detect
from privsynth.pii.context import CONTEXT_WORDS, PlainWords, Surroundings, Tokenizer, _keywords
from privsynth.pii.engine import Engine, without_contained

presidio = pytest.importorskip("presidio_analyzer")
pytest.importorskip("spacy")

ATOMS = [
    "a",
    "be",
    "phone",
    "10",
    "10:30",
    "(415)",
    "555-2671",
    ".",
    ",",
    "-",
    "a.m.",
    "é",
    "$",
    "/",
    "x@y.org",
    " ",
    "  ",
    "\n",
    "\t",
    "\u00a0",
]
written = st.lists(st.sampled_from([*ATOMS, " ", " "]), max_size=40).map("".join)


@pytest.fixture(scope="module")
def spacy_tokenizer():
    return detect._pipeline().tokenizer


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(text=written)
def test_words_are_those_of_the_tokenizer(spacy_tokenizer, text):
    tokens = Tokenizer(spacy_tokenizer)(text)
    expected = [(token.text.lower(), token.idx + len(token)) for token in spacy_tokenizer(text)]
    assert list(zip(tokens.words, tokens.ends, strict=True)) == expected


def naive_words(text, start, tokenizer):
    """As Presidio's enhancer collects them: six keywords from the match backwards, the first from it onwards."""
    tokens = list(tokenizer(text))
    parts = [token.text.lower() for token in tokens]
    keywords = {piece for part in parts for piece in _keywords(part)}
    here = next(i for i, token in enumerate(tokens) if start < token.idx + len(token))
    before = [part for part in reversed(parts[: here + 1]) if part in keywords][: CONTEXT_WORDS + 1]
    return {*before, *[part for part in parts[here:] if part in keywords][:1]}


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(text=written.filter(lambda text: text.strip()), data=st.data())
def test_support_is_what_presidio_collects(spacy_tokenizer, text, data):
    start = data.draw(st.sampled_from([i for i, sign in enumerate(text) if not sign.isspace()]))
    expected = naive_words(text, start, spacy_tokenizer)
    for word in ("phone", "a", "é", "10"):
        assert Surroundings(text, Tokenizer(spacy_tokenizer)).support(start, frozenset({word})) == (word in expected)


def test_a_long_text_is_cut_around_the_match_only(spacy_tokenizer):
    cut = []
    text = "word " * 10_000 + "phone 5552671 " + "word " * 10_000
    tokenizer = Tokenizer(lambda chunk: cut.append(chunk) or spacy_tokenizer(chunk))
    assert Surroundings(text, tokenizer).support(text.index("5552671"), frozenset({"phone"}))
    assert len(cut) < 10


def test_reach_holds_every_match_with_the_word_before_it(spacy_tokenizer):
    draw = random.Random(4)
    tried = 0
    for _ in range(15):
        text = "".join(draw.choices([*ATOMS, "word ", "more ", " "], k=120))
        places = [(i, i + 5) for i in range(len(text)) if text.startswith("phone", i)]
        parts = PlainWords(text).reach(places)
        for start in (i for i, sign in enumerate(text) if sign.isdecimal()):
            if "phone" in naive_words(text, start, spacy_tokenizer):
                tried += 1
                assert any(first <= start < last for first, last in parts)
    assert tried > 30


def test_reach_leaves_most_of_a_long_text_out():
    text = "word " * 500 + "phone 5552671 " + "word " * 500
    ((first, last),) = PlainWords(text).reach([(2500, 2505)])
    assert (first >= 2490, last <= 2560) == (True, True)


@pytest.mark.parametrize("seed", range(3))
def test_rules_that_need_a_word_find_the_same_in_its_reach(spacy_tokenizer, seed):
    def recognizer(entity, expression, context):
        return presidio.PatternRecognizer(
            supported_entity=entity, name=entity, patterns=[presidio.Pattern(entity, expression, 0.1)], context=context
        )

    engine = Engine(
        [
            recognizer("DIGITS", r"(?<!\d)\d(?:[ -]?\d){3,9}(?!\d)", ["phone", "a/c"]),
            recognizer("TOKEN", r"(?=[a-z]*\d)[a-z][\w.-]{2,20}", ["login"]),
            recognizer("MIXED", r"[a-z]{2,5} \d{2,6}", ["phone"]),
        ],
        language="en",
        words=spacy_tokenizer,
    )
    draw = random.Random(seed)
    words = ["phone", "login", "a/c", "lorem", "ipsum", "be", "ab12", "x7.y", "55 44-33", "123456", "12 34", "(9)", "10:30", ",", "-", "\n"]
    found = 0
    for _ in range(12):
        text = " ".join(draw.choices([*words, "lorem", "dolor", "amet"], k=150))
        expected = sorted(without_contained(hit for hit in engine.search(text) if hit.score >= 0.4))
        assert engine.search(text, threshold=0.4) == expected
        found += len(expected)
    assert found > 50
