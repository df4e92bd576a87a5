"""Pseudonymisation: one person has one surrogate wherever they are mentioned, keys still join, nothing real is left."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("presidio_analyzer")
pytest.importorskip("faker")
pytest.importorskip("spacy")

from privsynth.errors import PIIError
from privsynth.pii import ner, pii_replay
from privsynth.pii.keyed import Key
from privsynth.pii.names import ascii_letters
from privsynth.pii.strip import NOT_PRIVATE, Strip

KEY = Key(secret=bytes(range(32)))


@pytest.fixture(autouse=True)
def embedded_only(monkeypatch):
    monkeypatch.delenv(ner.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(ner, "INSTALLED", {})


def people(n=30):
    first = ["John", "Mary", "Peter", "Susan", "Robert", "Linda", "James", "Karen", "Paul", "Nancy"]
    last = ["Smith", "Wilson", "Taylor", "Anderson", "Thompson", "Robinson"]
    rows = []
    for i in range(n):
        one, two = first[i % 10], last[i % 6]
        rows.append(
            {
                "client_id": f"K{4711 + 37 * i}",
                "name": f"{one} {two}",
                "email": f"{one}.{two}{i}@bank.com".lower(),
                "date_of_birth": f"19{50 + i}-03-{1 + i % 28:02d}",
                "opened": f"20{10 + i % 10}-05-{1 + i % 28:02d}",
                "city": ["Leeds", "York", "Bath"][i % 3],
                "notes": f"Spoke with {one} {two} about the fee on his account. {one[0]}. {two} will call back. Asked again: {two.upper()} has no time, mail to {one}.{two}{i}@bank.com. "
                f"{two} agreed to pay on 20{10 + i % 10}-06-{1 + i % 28:02d}; number {4711 + 37 * i} is K{4711 + 37 * i}.".replace(
                    f"number {4711 + 37 * i} is ", "see "
                ),
            }
        )
    return pd.DataFrame(rows)


def orders(clients):
    return pd.DataFrame(
        {"order": range(len(clients)), "client_id": clients["client_id"][::-1].to_numpy(), "ordered_by": clients["name"][::-1].to_numpy()}
    )


def stripped(tables, documents=None, key=KEY, **settings):
    settings = {
        "person": "client_id",
        "columns": {"ordered_by": "PERSON", "notes": "FREE_TEXT", "order": "keep", "city": "keep"},
        **settings,
    }
    columns = {name for frame in tables.values() for name in frame.columns}
    settings["columns"] = {name: entity for name, entity in settings["columns"].items() if name in columns}
    return Strip(**settings).apply(tables, documents, key=key, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def both():
    clients = people()
    tables = {"clients": clients, "orders": orders(clients)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ner, "INSTALLED", {})
        return tables, stripped(tables)


def test_one_person_has_one_surrogate_in_every_linked_mention(both):
    tables, result = both
    linked = 0
    for before, after in zip(tables["clients"].itertuples(), result.tables["clients"].itertuples(), strict=True):
        first, last = after.name.split(" ")
        own_first, own_last = before.name.split(" ")
        assert after.name != before.name
        for mention in (
            f"Spoke with {first} {last} about",
            f"{first[0]}. {last} will call",
            f": {last.upper()} has no time",
            f" {last} agreed",
        ):
            assert mention in after.notes
            linked += 1
        assert after.email.startswith(f"{ascii_letters(first)}.{ascii_letters(last)}")
        assert after.email in after.notes.lower()
        assert not {own_first, own_last, own_last.upper()} & set(after.notes.replace(".", " ").split())
        assert (result.tables["orders"].loc[result.tables["orders"]["client_id"] == after.client_id, "ordered_by"] == after.name).all()
    assert linked == 4 * len(tables["clients"])


def test_foreign_keys_join_as_before(both):
    tables, result = both
    before = tables["clients"].merge(tables["orders"], on="client_id")
    after = result.tables["clients"].merge(result.tables["orders"], on="client_id")
    assert len(after) == len(before)
    assert not set(after["client_id"]) & set(before["client_id"]) or len(set(after["client_id"])) == len(set(before["client_id"]))
    assert (before["order"].to_numpy() == after["order"].to_numpy()).all()


def test_dates_of_a_person_move_together(both):
    tables, result = both
    for column in ("date_of_birth", "opened"):
        assert (tables["clients"][column] != result.tables["clients"][column]).all()
    shift = pd.to_datetime(result.tables["clients"]["opened"]) - pd.to_datetime(tables["clients"]["opened"])
    births = pd.to_datetime(result.tables["clients"]["date_of_birth"]) - pd.to_datetime(tables["clients"]["date_of_birth"])
    assert (shift == births).all()
    in_notes = pd.to_datetime(result.tables["clients"]["notes"].str.extract(r"pay on (\S+);")[0])
    assert (in_notes - pd.to_datetime(tables["clients"]["notes"].str.extract(r"pay on (\S+);")[0]) == shift).all()


def test_nothing_real_is_left(both):
    tables, result = both
    personal = {"name": "PERSON", "email": "EMAIL_ADDRESS"}
    assert pii_replay(tables["clients"], result.tables["clients"], personal)["email"] == 0
    for before, after in zip(tables["clients"].itertuples(), result.tables["clients"].itertuples(), strict=True):
        assert before.client_id not in after.notes
        assert before.email not in after.notes.lower()


def test_it_says_first_that_it_is_no_privacy(both):
    assert both[1].notes[0] == NOT_PRIVATE
    assert "no differential privacy" in NOT_PRIVATE


def test_inputs_stay_as_they_are_and_the_same_key_gives_the_same(both):
    tables, result = both
    pd.testing.assert_frame_equal(tables["clients"], people())
    # A partition alone gives what the whole gave: surrogates know nothing but the key and the value.
    part = stripped({"clients": tables["clients"].head(7), "orders": tables["orders"]})
    pd.testing.assert_frame_equal(part.tables["clients"], result.tables["clients"].head(7))


def test_another_key_gives_others(both):
    tables, result = both
    other = stripped({"clients": tables["clients"]}, key=Key(secret=bytes(32)))
    assert (other.tables["clients"]["client_id"] != result.tables["clients"]["client_id"]).mean() > 0.9


def test_in_documents_a_name_found_once_is_exchanged_everywhere():
    text = "Dear Mr. Weatherby,\nplease sign. WEATHERBY must sign before weatherby leaves."
    result = stripped({}, {"letter.txt": text}, person=None, columns={})
    changed = result.documents["letter.txt"]
    name = changed.split("Mr. ")[1].split(",")[0]
    assert "eatherby" not in changed.lower()
    assert changed == text.replace("Weatherby", name).replace("WEATHERBY", name.upper()).replace("weatherby", name.lower())


def names_in(result):
    return [text.split("Mr. ")[1].split(",")[0] for text in result.documents.values()], [
        text.split("Yours, ")[1] for text in result.documents.values()
    ]


@pytest.mark.parametrize(("scope", "across", "within"), [("dataset", True, True), ("document", False, True), ("none", False, False)])
def test_scope_says_how_far_surrogates_agree(scope, across, within):
    documents = {f"{i}.txt": "Dear Mr. Weatherby, thank you. Yours, Mr. Weatherby" for i in range(6)}
    result = stripped({}, documents, person=None, columns={}, scope=scope)
    heads, tails = names_in(result)
    tails = [tail.removeprefix("Mr. ") for tail in tails]
    assert (len(set(heads)) == 1) == across
    assert (heads == tails) == within


@pytest.mark.parametrize(
    ("method", "name", "birth", "note"),
    [
        ("redact", "<PERSON>", "<DATE_OF_BIRTH>", "<PERSON>"),
        ("mask", "**** *****", "****-**-**", "****"),
        ("generalise", "<PERSON>", "1950", "<PERSON>"),
    ],
)
def test_other_methods(method, name, birth, note):
    result = stripped({"clients": people()}, method=method).tables["clients"]
    assert result["name"][0] == name
    assert result["date_of_birth"][0] == birth
    assert note in result["notes"][0]
    assert not result["notes"].str.contains("Smith|SMITH").any()


def test_generalisation_makes_bands_and_zip3():
    frame = pd.DataFrame({"zip": ["94110", "03601", "10001"] * 10, "age": [33, 91, 58] * 10, "churned": [True, False, True] * 10})
    result = Strip(method="generalise").apply({"t": frame}, key=KEY, rng=np.random.default_rng(0)).tables["t"]
    assert list(result["zip"][:3]) == ["941**", "000**", "100**"]
    assert list(result["age"][:3]) == ["30-34", "90+", "55-59"]


def test_numbers_that_are_keys_stay_numbers():
    a = pd.DataFrame({"customer_id": range(1000, 1100), "x": np.arange(100) % 3})
    b = pd.DataFrame({"customer_id": np.repeat(range(1000, 1100), 2), "y": np.arange(200) % 5})
    result = Strip(person="customer_id").apply({"a": a, "b": b}, key=KEY, rng=np.random.default_rng(0)).tables
    assert result["a"]["customer_id"].dtype == a["customer_id"].dtype
    assert result["a"]["customer_id"].is_unique
    assert set(result["a"]["customer_id"]) == set(result["b"]["customer_id"])


def test_typed_dates_and_empty_cells_stay_what_they_are():
    frame = pd.DataFrame({"name": ["Anna Berg", None, "Karl Ode"] * 10, "born": pd.to_datetime(["1980-01-02", None, "1990-03-04"] * 10)})
    result = Strip().apply({"t": frame}, key=KEY, rng=np.random.default_rng(0)).tables["t"]
    assert result["name"].isna().equals(frame["name"].isna())
    assert pd.api.types.is_datetime64_any_dtype(result["born"])
    assert result["born"].isna().equals(frame["born"].isna())
    assert (result["born"].dropna() != frame["born"].dropna()).all()


def test_free_text_without_a_model_stops_unless_a_person_accepts_it(monkeypatch, tmp_path):
    monkeypatch.setattr(ner, "_ASSET", tmp_path)
    with pytest.raises(PIIError, match='ner = "none"'):
        stripped({"clients": people()})
    result = stripped({"clients": people()}, ner="none")
    assert "No model looked for names" in result.notes[1]


def test_an_unsupported_language_stops():
    notes = [f"Klient nie chce, aby do niego dzwoniono rano, ale po południu, bo jest w pracy i nie ma czasu {i}." for i in range(60)]
    with pytest.raises(PIIError, match=r"t\.notes.*\(pl\)"):
        Strip().apply({"t": pd.DataFrame({"notes": notes})}, key=KEY, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"nmae": "PERSON"}}, "did you mean"), ({"columns": {"name": "PERSN"}}, "PERSON"), ({"person": "client"}, "client"),
        ({"method": "encrypt"}, "surrogate"), ({"scope": "world"}, "dataset"), ({"most_days": -1}, "0 or more"), ({"locales": ("xx_YY",)}, "locale"),
    ],
)  # fmt: skip
def test_settings_that_nobody_could_mean_are_refused(settings, message):
    with pytest.raises(PIIError, match=message):
        Strip(**settings).apply({"clients": people()}, key=KEY, rng=np.random.default_rng(0))
