"""A name found once is masked in its other forms, for that document or person and for no one else."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("faker")

from privsynth.errors import PIIError
from privsynth.pii.propagation import KnownNames, propagate


def mentions(name, text):
    return [text[mention.start : mention.end] for mention in KnownNames.of([name]).find(text)]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("SMITH - no answer", "SMITH"),
        ("then J. Smith called", "J. Smith"),
        ("file: Smith, John", "Smith, John"),
        ("asked John S. again", "John S."),
        ("john's car", "john"),
        ("Smith’s car", "Smith"),
        ("JOHN SMITH", "JOHN SMITH"),
        ("met Mr Smith.", "Smith"),
        ("J.Smith wrote", "J.Smith"),
        ("Smith-Meier", "Smith"),
    ],
)
def test_other_forms_of_a_name_are_found(text, form):
    assert mentions("Mr. John Smith", text) == [form]


def test_accents_and_case_do_not_matter():
    assert mentions("Anna Müller", "MULLER, anna") == ["MULLER, anna"]


def test_particles_and_titles_are_no_name_by_themselves():
    assert mentions("Dr. Jan van der Berghe", "the van of Dr. X and der Hund") == []


def test_a_name_with_particles_is_found_whole():
    assert mentions("Jan van der Berghe", "now Jan van der Berghe left") == ["Jan van der Berghe"]


@pytest.mark.parametrize("text", ["he will pay in may", "Will you pay?", "Young people"])
def test_everyday_words_of_a_name_alone_are_left(text):
    assert mentions("Will Young", text) == []


@pytest.mark.parametrize("text", ["Will Young", "W. Young", "Young, Will"])
def test_everyday_words_beside_each_other_are_a_name(text):
    assert mentions("Will Young", text) == [text]


def test_a_part_of_a_longer_word_is_left():
    assert mentions("Ann Smith", "Smithson annoyed blacksmiths") == []


def test_texts_without_persons_are_documents_of_their_own():
    texts = ["John Smith called. SMITH again", "Smith too"]
    first, second = propagate(texts, [[(0, 10, "PERSON")], []])
    assert [texts[0][m.start : m.end] for m in first] == ["SMITH"]
    assert second == []


def test_texts_of_one_person_share_their_names():
    texts = ["John Smith called", "Smith too", "Smith of another client"]
    found = propagate(texts, [[(0, 10, "PERSON")], [], []], persons=["a", "a", "b"])
    assert [len(mentions) for mentions in found] == [0, 1, 0]


def test_the_name_column_of_a_person_is_used_for_that_person_alone():
    found = propagate(["Müller rang", "Müller rang"], [[], []], persons=[1, 2], names={1: ["Anna Müller"], 3: ["Kurt Müller"]})
    assert [len(mentions) for mentions in found] == [1, 0]


def test_changing_one_persons_record_changes_only_that_persons_texts():
    texts = ["Smith rang", "Meier rang", "Smith and Meier met"]
    persons = ["a", "b", "b"]
    before = propagate(texts, [[], [], []], persons=persons, names={"a": ["John Smith"], "b": ["Eva Meier"]})
    after = propagate(texts, [[], [], []], persons=persons, names={"a": ["Zoe Other"], "b": ["Eva Meier"]})
    assert before[1:] == after[1:]
    assert before[0] != after[0]


def test_other_types_are_not_carried_on():
    assert propagate(["Acme. Acme"], [[(0, 4, "ORGANIZATION")]]) == [[]]


def test_what_is_found_already_is_not_found_again():
    assert propagate(["John Smith"], [[(0, 10, "PERSON")]]) == [[]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ["Secretname"], "found": []}, "one entry per text"),
        ({"texts": ["Secretname"], "found": [[]], "persons": []}, "one entry per text"),
        ({"texts": ["Secretname"], "found": [[]], "names": {}}, "whose text"),
    ],
)
def test_mismatched_arguments_are_refused_without_a_value(arguments, message):
    with pytest.raises(PIIError, match=message) as error:
        propagate(**arguments)
    assert "Secretname" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from("Qarvel Zimmow qarvel ZIMMOW paid, the Qarvels 12 \n van Zimmow. (Qarvel) Zimmow's 🙂 Q.".split(" ")), max_size=25
    )
)
def test_every_whole_word_occurrence_is_covered(words):
    text = " ".join(words)
    covered = {i for mention in KnownNames.of(["Qarvel Zimmow"]).find(text) for i in range(mention.start, mention.end)}
    for match in re.finditer(r"\b(?:qarvel|zimmow)\b", text, re.IGNORECASE):
        assert set(range(*match.span())) <= covered
