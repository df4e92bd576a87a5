"""Listed names and places: found beside evidence, silent on everyday words."""

import pytest

pytest.importorskip("faker")

import itertools

from privsynth.pii.gazetteer import BESIDE_SCORE, PAIR_SCORE, SINGLE_SCORE, Mention, common_words, find_names, place_list


def found(text, **settings):
    return {(mention.entity, text[mention.start : mention.end]) for mention in find_names(text, **settings)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("spoke with Anna Müller today", "Anna Müller"),
        ("SMITH JOHN", "SMITH JOHN"),
        ("ask Kevin.", "Kevin"),
        ("signed by J. Smith.", "J. Smith"),
        ("I met Priya Xyzzyk at the bank", "Priya Xyzzyk"),
        ("then Anna-Maria van der Berg-Meier left", "Anna-Maria van der Berg-Meier"),
        ("when Zoë arrived", "Zoë"),
    ],
)
def test_listed_names_are_found(text, name):
    assert ("PERSON", name) in found(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("moved to Zürich.", "Zürich"),
        ("in the United States, he", "United States"),
        ("New York", "New York"),
        ("from Sri Lanka", "Sri Lanka"),
    ],
)
def test_listed_places_are_found(text, place):
    assert found(text) == {("LOCATION", place)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Direct Debit returned on Monday.",
        "Will you pay the Bill in May?",
        "Thank You For Your Order",
        "Customer Service: Card Payment declined",
        "the client will call back in august",
        "🙂 12345 -- //",
        "A B C",
    ],
)
def test_everyday_words_are_not_names(text):
    assert find_names(text) == []


def test_a_pair_scores_above_a_listed_word_with_a_neighbour_and_that_above_one_word():
    scores = [find_names(text)[0].score for text in ("met Anna Müller", "met Anna Xyzzyk", "met Anna")]
    assert scores == [PAIR_SCORE, BESIDE_SCORE, SINGLE_SCORE]


def test_mentions_are_ordered_and_do_not_overlap():
    mentions = find_names("Anna Müller and Kevin York flew from New York to Bern; Paris Hilton too.")
    assert all(before.end <= after.start for before, after in itertools.pairwise(mentions))
    assert len(mentions) >= 4


def test_everyday_words_follow_the_language():
    assert "kunde" in common_words("de") or "und" in common_words("de")
    assert "und" not in common_words("en")


def test_everyday_words_are_no_places():
    assert not {place for place in place_list() if len(place) == 1} & {(word,) for word in common_words("en")}


def test_a_mention_holds_no_text():
    assert Mention._fields == ("start", "end", "entity", "score")
