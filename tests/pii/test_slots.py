"""Slots: what is personal leaves the text, by the person's own rows alone, and the synthetic person comes in."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")
pytest.importorskip("spacy")

from privsynth.errors import PIIError
from privsynth.pii import ner, regenerate, slots

COLUMNS = {"name": "PERSON", "email": "EMAIL_ADDRESS", "client_id": "ID", "city": "LOCATION"}
TEXTS = [
    "Spoke with Pamela Geiger. Ms Geiger (K9068107) wants mail to pamela.geiger@alpenpost.example.",
    "Pamela asked for Frédéric Marty, her husband, on 3 May 2024.",
    "Recommended us to a colleague.",
]
KNOWN = {"a": {"PERSON": ["Pamela Geiger"], "ID": ["K9068107"]}, "b": {"PERSON": ["Noel Baur"]}}


@pytest.fixture(autouse=True)
def embedded_only(monkeypatch):
    monkeypatch.delenv(ner.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(ner, "INSTALLED", {})


@pytest.fixture
def people():
    invented = regenerate(
        3, {name: entity for name, entity in COLUMNS.items() if name != "city"}, rng=np.random.default_rng(0), locale="de_CH"
    )
    return invented.assign(city=["Bern", "Basel", "Chur"])


def test_everything_personal_becomes_a_slot_of_its_type():
    stripped = slots.strip(TEXTS, people=["a", "a", "b"], known=KNOWN)
    assert stripped.texts == (
        "Spoke with <PERSON>. Ms <LAST_NAME> (<ID>) wants mail to <EMAIL_ADDRESS>.",
        "<FIRST_NAME> asked for <SLOT_1>, her husband, on <DATE_TIME>.",
        "Recommended us to a colleague.",
    )
    assert stripped.counts["PERSON"] == 1
    assert set(stripped.counts) <= set(slots.SLOTS)


def test_one_persons_texts_do_not_change_with_another_persons_record():
    # The neighbouring dataset lacks person b; then it holds a b whose name stands in a's text.
    alone = slots.strip(TEXTS[:2], people=["a", "a"], known={"a": KNOWN["a"]})
    for name in ("Noel Baur", "Frédéric Marty", "Husband Fee"):
        both = slots.strip([*TEXTS[:2], f"{name} called."], people=["a", "a", "b"], known={"a": KNOWN["a"], "b": {"PERSON": [name]}})
        assert both.texts[:2] == alone.texts


def test_slots_are_filled_with_the_synthetic_person(people):
    stripped = slots.strip(TEXTS, people=["a", "a", "b"], known=KNOWN).texts
    filled = slots.fill(stripped, people, COLUMNS, rng=np.random.default_rng(1), locale="de_CH")
    first, last = people["name"][0].split(" ", 1)
    assert filled[0] == f"Spoke with {first} {last}. Ms {last} ({people['client_id'][0]}) wants mail to {people['email'][0]}."
    assert filled[1].startswith(people["name"][1].split(" ")[0] + " asked for ")
    assert filled[2] == TEXTS[2]
    assert not any(slots.SLOT.search(text) for text in filled)


def test_the_other_person_is_not_the_synthetic_one(people):
    filled = slots.fill(["<PERSON> and <SLOT_1>"] * 3, people, COLUMNS, rng=np.random.default_rng(1), locale="de_CH")
    assert all(text.split(" and ")[1] != name for text, name in zip(filled, people["name"], strict=True))


def test_a_modelled_column_fills_its_slot(people):
    assert slots.fill(["in <LOCATION>"] * 3, people, COLUMNS, rng=np.random.default_rng(0)) == ["in Bern", "in Basel", "in Chur"]


def test_first_and_last_name_columns_make_the_full_name():
    people = pd.DataFrame({"first_name": ["Anna"], "last_name": ["Berg"]})
    filled = slots.fill(
        ["<PERSON>, <FIRST_NAME>, <LAST_NAME>"], people, {"first_name": "PERSON", "last_name": "PERSON"}, rng=np.random.default_rng(0)
    )
    assert filled == ["Anna Berg, Anna, Berg"]


@pytest.mark.parametrize("locale", ["en_US", "de_CH", "fr_FR", "it_IT"])
def test_every_slot_can_be_filled_without_any_column(locale):
    text = " ".join(f"<{slot}>" for slot in slots.SLOTS)
    (filled,) = slots.fill([text], pd.DataFrame(index=[0]), {}, rng=np.random.default_rng(0), locale=locale)
    assert not slots.SLOT.search(filled)
    assert "nan" not in filled.lower().split()


def test_a_slot_of_an_unknown_name_stays_for_a_filter_to_see(people):
    assert slots.fill(["<WHAT_ELSE>"] * 3, people, COLUMNS, rng=np.random.default_rng(0)) == ["<WHAT_ELSE>"] * 3


def test_filling_needs_a_row_for_each_text(people):
    with pytest.raises(PIIError, match="texts=1 for 3"):
        slots.fill(["x"], people, COLUMNS, rng=np.random.default_rng(0))
    with pytest.raises(PIIError, match="'town'"):
        slots.fill(["x"] * 3, people, {"town": "LOCATION"}, rng=np.random.default_rng(0))


def test_an_empty_cell_is_invented(people):
    filled = slots.fill(["<PERSON>"] * 3, people.assign(name=[None, "A B", "C D"]), COLUMNS, rng=np.random.default_rng(0))
    assert filled[1:] == ["A B", "C D"]
    assert len(filled[0].split(" ")) >= 2
