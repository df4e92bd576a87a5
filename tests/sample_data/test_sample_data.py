import hashlib
import importlib.util
import tomllib
from datetime import date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.utility import train_on_synthetic
from privsynth.config import Plan
from privsynth.dataset import Dataset, benchmark_split, conform
from privsynth.schema import SECONDS, Column, Schema, Table, seconds_since_epoch

FOLDER = Path(__file__).parents[2] / "sample_data"
SHA256 = {
    "clients.csv": "ad47d136345ccf3591bc2f91df61c73360a49607b3a2d73c2b076a9886f6c99d",
    "transactions.csv": "210f6cebe8d6c8b2fa526e82fe359d0b9adee0bd1f94c430ac14fa87ae096a95",
    "postcodes.csv": "2c1a3e3d2ea93833bc287a8c9bc6f4b228bc6a28ff247b18054a780ad4dbeb06",
}


def script():
    pytest.importorskip("faker", reason="the script that makes the files needs the extra 'pii'")
    spec = importlib.util.spec_from_file_location("make_sample_data", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / name, dtype=str, keep_default_na=False)


@cache
def plan() -> dict:
    return tomllib.loads((FOLDER / "plan.toml").read_text(encoding="utf-8"))


def seconds(value: object) -> float:
    return seconds_since_epoch(datetime(value.year, value.month, value.day)) if isinstance(value, date) else float(value)


@cache
def clients() -> Dataset:
    """The clients, typed and checked by the facts of the plan, read here without the package's own plan reader."""
    table, columns = plan()["tables"]["clients"], []
    for name, facts in table["columns"].items():
        facts = {key: value for key, value in facts.items() if key != "about"}  # what a text is about is no fact of the column
        facts["step"] = float(SECONDS.get(facts.get("step"), facts.get("step", 1.0)))
        facts["pii"] = None if facts.get("pii") == "none" else facts.get("pii")
        if "bounds" in facts:
            facts["bounds"] = tuple(map(seconds, facts["bounds"]))
        if "categories" in facts:
            facts["categories"] = tuple(facts["categories"])
        if "determines" in facts:
            facts["determines"] = {
                target: dict(zip(read(file)[name], read(file)[target], strict=True)) for target, file in facts["determines"].items()
            }
        columns.append(Column(name=name, **facts))
    schema = Schema(
        tables=(Table(name="clients", columns=tuple(columns), target=table["target"]),), privacy_unit=plan()["dataset"]["privacy_unit"]
    )
    frame, moved = conform(read("clients.csv"), schema, schema["clients"])
    assert moved == {}
    return Dataset(tables={"clients": frame}, schema=schema, role="confidential")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", sorted(SHA256))
def test_committed_files_are_the_ones_that_the_datasheet_describes(name):
    assert digest((FOLDER / name).read_bytes()) == SHA256[name]


def test_script_gives_the_same_bytes_twice(tmp_path):
    make = script()
    written = []
    for _ in range(2):
        make.write(make.make(n_people=150), tmp_path)
        written.append({name: (tmp_path / name).read_bytes() for name in SHA256})
    assert written[0] == written[1]


def test_another_seed_gives_other_people():
    make = script()
    one, other = make.make(n_people=100), make.make(n_people=100, seed=1)
    assert not one["clients.csv"]["iban"].isin(other["clients.csv"]["iban"]).any()


@pytest.mark.slow
def test_script_makes_the_committed_files(tmp_path):
    make = script()
    import faker

    if f"numpy {np.__version__} and Faker {faker.VERSION}" not in (FOLDER / "README.md").read_text(encoding="utf-8"):
        pytest.skip("other versions of numpy or Faker than the datasheet names: their streams and lists of names may differ")
    make.write(make.make(), tmp_path)
    assert {name: digest((tmp_path / name).read_bytes()) for name in SHA256} == SHA256


def test_files_stay_small():
    assert sum((FOLDER / name).stat().st_size for name in SHA256) < 8_000_000


def test_plan_declares_every_column_in_file_order_and_the_data_keep_every_declared_fact():
    assert list(plan()["tables"]["clients"]["columns"]) == list(read("clients.csv").columns)
    assert len(clients().frame) == clients().count_units() == plan()["dataset"]["people"] == 12_000


def test_plan_loads_and_its_own_schema_accepts_the_data():
    loaded = Plan.load(FOLDER / "plan.toml")
    schema = loaded.declared_schema()
    frame, moved = conform(read("clients.csv"), schema, schema["clients"])
    assert moved == {}
    pd.testing.assert_frame_equal(frame, clients().frame)
    assert loaded.privacy.delta <= 1 / (10 * len(frame))


def test_every_declared_bound_or_category_names_its_reference():
    facts = plan()["tables"]["clients"]["columns"]
    assert [
        name for name, column in facts.items() if {"bounds", "categories", "determines"} & set(column) and not column.get("reference")
    ] == []


def test_postcode_determines_city_as_the_public_map_says():
    postcodes = read("postcodes.csv")
    assert postcodes["postcode"].is_unique
    assert {"Zürich", "Genève", "Neuchâtel", "Delémont"} <= set(postcodes["city"])
    public = dict(zip(postcodes["postcode"], postcodes["city"], strict=True))
    frame = clients().frame
    assert (frame["postcode"].map(public) == frame["city"]).all()


def test_last_login_is_never_before_the_opening():
    frame = clients().frame
    assert (frame["last_seen_on"] >= frame["opened_on"]).all()


def test_balance_has_a_point_mass_at_zero_and_a_heavy_tail():
    balance = clients().frame["balance"]
    assert 0.13 < (balance == 0).mean() < 0.17
    assert balance.quantile(0.999) > 15 * balance.quantile(0.75)


def test_income_is_missing_where_the_segment_explains_it():
    frame = clients().frame
    missing = frame["income"].isna().groupby(frame["segment"]).mean()
    assert missing["student"] > 0.3 > missing["retired"] > 0.1 > missing["retail"] > 0


def test_rare_segments_are_rare_and_present():
    share = clients().frame["segment"].value_counts(normalize=True)
    assert 0.001 < share["diplomat"] < 0.005
    assert 0.001 < share["staff"] < 0.005


@pytest.mark.parametrize("column", ["income", "balance", "products"])
def test_modelled_numbers_lie_on_the_declared_grid(column):
    step = clients().schema["clients"][column].step
    steps = clients().frame[column].dropna().astype(float) / step
    assert (steps - steps.round()).abs().max() < 1e-6


def test_churn_can_be_learned_from_the_other_columns():
    split = benchmark_split(clients())
    result = train_on_synthetic(
        split.train, split.holdout, split.train, "churned", rng=np.random.default_rng(0), families=("linear",), n_seeds=1, n_bootstrap=20
    )
    assert 0.76 < result.scores[0].synthetic < 0.9


def test_contact_data_lead_nowhere():
    raw = read("clients.csv")
    domains = raw["email"].str.extract(r"(?:@| at )(.+)$")[0]
    assert domains.str.endswith(".example").all()
    assert raw["phone"].str.startswith("+41 59 ").all()
    assert (raw["iban"].str.replace(" ", "").str[4:9] == "00099").all()
    assert not raw["client_id"].duplicated().any()


def test_ibans_and_national_ids_have_valid_check_digits_but_for_the_planted_errors():
    raw = read("clients.csv")
    compact = raw["iban"].str.replace(" ", "").str.upper()
    assert all(int(iban[4:] + "1217" + iban[2:4]) % 97 == 1 for iban in compact)
    digits = raw["national_id"].str.replace(".", "")
    wrong = [sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(number)) % 10 != 0 for number in digits]
    assert sum(wrong) == 24


def test_typing_errors_are_planted_in_personal_columns_as_the_datasheet_says():
    raw = read("clients.csv")
    assert (~raw["email"].str.contains("@")).sum() == 24
    assert (~raw["phone"].str.fullmatch(r"[+\d ]+")).sum() == 24
    assert raw["name"].str.contains("  ").sum() == 24
    assert raw["iban"].str.islower().sum() == 24


def test_notes_follow_the_row_and_name_people():
    raw = read("clients.csv")
    notes = raw["notes"]
    assert set(raw.loc[notes.str.contains("closing form"), "churned"]) == {"true"}
    assert set(raw.loc[notes.str.contains("account is empty"), "balance"].astype(float)) == {0.0}
    assert set(raw.loc[notes.str.contains("diplomatic card"), "segment"]) == {"diplomat"}
    sentences = notes[notes != ""].str.replace("St. ", "St ").str.count(r"[.](?= |$)")
    assert sentences.between(1, 4).all()
    own = [name.replace("  ", " ") in note for name, note in zip(raw["name"], notes, strict=True)]
    assert 0.1 < np.mean(own) < 0.3
    assert notes.str.contains("power of attorney").any()


def test_bookings_belong_to_clients_and_fall_into_their_time_at_the_bank():
    bookings = read("transactions.csv").merge(read("clients.csv")[["client_id", "opened_on", "last_seen_on"]], on="client_id", how="left")
    assert len(bookings) == 60_000
    assert bookings["transaction_id"].is_unique
    assert ((bookings["opened_on"] <= bookings["booked_on"]) & (bookings["booked_on"] <= bookings["last_seen_on"])).all()
    assert (bookings["amount"].astype(float).where(bookings["merchant_category"] == "salary") > 0).sum() == (
        bookings["merchant_category"] == "salary"
    ).sum()
