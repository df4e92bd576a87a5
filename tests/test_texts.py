"""Text columns of a run: stripped, learned under the same reservation, written for each synthetic person."""

from __future__ import annotations

import re
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth import pipeline, preflight, texts
from privsynth.config import Plan
from privsynth.errors import PlanError
from privsynth.privacy import Ledger
from privsynth.privacy.accounting import total
from privsynth.report import policy as policies

pytest.importorskip("tokenizers")

N_PEOPLE = 1100

PLAN = """
[dataset]
name = "callers"
privacy_unit = "person"
people = 1100
[tables.callers]
path = "callers.csv"
[tables.callers.columns]
person  = { kind = "identifier" }
name    = { kind = "identifier", pii = "PERSON" }
email   = { kind = "identifier", pii = "EMAIL_ADDRESS" }
topic   = { kind = "categorical", categories = ["card", "loan"], nullable = false }
note    = { kind = "text", about = ["topic"] }
[privacy]
epsilon = 8.0
delta = 1e-5
[synthesis]
text = "ngram"
rows = 200
[release]
folder = "out"
"""

CANARY = "zyxwcanary77@mail.invalid"


def callers(rng: np.random.Generator) -> pd.DataFrame:
    first, last = ["Anna", "Peter", "Julia", "Robert"], ["Miller", "Schmidt", "Rossi", "Taylor"]
    people = [f"{rng.choice(first)} {rng.choice(last)}" for _ in range(N_PEOPLE)]
    topics = rng.choice(["card", "loan"], N_PEOPLE)
    notes = [
        f"{name} called about the {topic}. Please write to {name.split()[0].lower()}{number}@firm.example."
        for number, (name, topic) in enumerate(zip(people, topics, strict=True))
    ]
    notes[0] = f"{people[0]} called about the card. Please write to {CANARY}."
    notes[1] = ""
    return pd.DataFrame(
        {
            "person": [f"p{number}" for number in range(N_PEOPLE)],
            "name": people,
            "email": [f"{name.split()[0].lower()}{number}@firm.example" for number, name in enumerate(people)],
            "topic": topics,
            "note": notes,
        }
    )


@pytest.fixture
def base(tmp_path, monkeypatch):
    callers(np.random.default_rng(0)).to_csv(tmp_path / "callers.csv", index=False)
    (tmp_path / "plan.toml").write_text(PLAN)
    light = policies.Judgement(subject="run", light="inconclusive", reason="a test")
    monkeypatch.setattr(policies, "judge", lambda *arguments, **keywords: (light,))
    return tmp_path


def plan_of(base: Path, **synthesis) -> Plan:
    plan = Plan.load(base / "plan.toml")
    return plan.model_copy(update={"synthesis": plan.synthesis.model_copy(update=synthesis)})


@pytest.mark.slow
def test_notes_are_written_for_the_synthetic_person_and_paid_by_the_same_budget(base):
    ledger = Ledger.open(base / "state" / "ledger.sqlite")
    release = pipeline.run(plan_of(base), ledger=ledger, rng=np.random.default_rng(0), noise=fakes.SeededNoise(0))
    frame = release.tables["callers"]
    written = frame["note"].dropna()
    assert len(frame) == 200
    assert len(written) > 150
    named = [row.note for row in frame.dropna(subset=["note"]).itertuples() if row.name in row.note or row.name.split()[0] in row.note]
    assert len(named) > 50, "the name in the note is the name in the table"
    assert not any(re.search(r"<[A-Z_0-9]+>", note) for note in written), "no slot is left"
    assert release.cost.epsilon <= 8.0
    assert {touch.stage for touch in release.touches if touch.touch_class == "dp"} == {"tables", "text"}
    assert ledger.balance("callers").epsilon == pytest.approx(release.cost.epsilon)
    for path in base.rglob("*"):
        if path.is_file() and path.name != "callers.csv":
            assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_no_real_address_is_in_a_synthetic_note(base):
    release = pipeline.run(plan_of(base), ledger=Ledger.open(base / "state" / "ledger.sqlite"), rng=np.random.default_rng(1))
    real = set(callers(np.random.default_rng(0))["email"])
    released = " ".join(release.tables["callers"]["note"].dropna())
    assert not real & set(re.findall(r"[\w.+-]+@[\w.-]+\w", released))
    assert "@firm.example" not in released


def test_table_and_texts_together_cost_what_the_plan_allows_and_no_less_than_nine_tenths_of_it(base):
    for share in (0.2, 0.5, 0.8):
        plan = plan_of(base, text_share=share)
        touches, _ = preflight.plan_touches(plan, plan.declared_schema(), preflight.synthesizer(plan))
        assert 0.9 * 8.0 <= total(touches, 1e-5).epsilon <= 8.0


def test_a_larger_share_buys_the_texts_less_noise(base):
    def noise(share: float) -> float:
        plan = plan_of(base, text_share=share)
        touches, _ = preflight.plan_touches(plan, plan.declared_schema(), preflight.synthesizer(plan))
        return next(touch.event.noise_multiplier for touch in touches if touch.stage == "text")

    assert noise(0.8) < noise(0.5) < noise(0.2)


def test_a_text_is_stripped_by_its_own_persons_rows_alone(base):
    plan = plan_of(base)
    dataset, _ = pipeline.read(plan)
    alone = texts.records_of(plan, dataset.select(np.arange(N_PEOPLE) == 5, role="train"))
    among = texts.records_of(plan, dataset.select(np.arange(N_PEOPLE) < 40, role="train"))
    assert among.texts[5] == alone.texts[0]
    assert "<" in alone.texts[0]
    assert among.texts[1] == "", "a missing text is an empty one"
    assert among.prompts[5].startswith("topic: ")


def test_no_personal_value_reaches_the_model(base):
    plan = plan_of(base)
    dataset, _ = pipeline.read(plan)
    learned = " ".join(texts.records_of(plan, dataset.select(np.arange(N_PEOPLE) < 200, role="train")).texts)
    assert CANARY not in learned
    assert "@" not in learned
    assert not re.search(r"\b(Anna|Peter|Julia|Robert) (Miller|Schmidt|Rossi|Taylor)\b", learned)


@pytest.mark.parametrize(
    ("synthesis", "expected"),
    [
        ({"text": "ngram", "text_settings": {"ordr": 2}}, "text_settings has 'ordr'.*did you mean 'order'"),
        ({"text": "embedded", "text_settings": {"epoch": 2}}, "text_settings has 'epoch'.*did you mean 'epochs'"),
        ({"text": "no/such/folder"}, "model='no/such/folder' is not a folder on this machine"),
    ],
)
def test_a_wrong_text_setting_is_one_line(base, synthesis, expected):
    plan = plan_of(base, **synthesis)
    with pytest.raises(PlanError, match=expected):
        pipeline.run(plan, ledger=Ledger.open(base / "state" / "ledger.sqlite"))
    assert Ledger.open(base / "state" / "ledger.sqlite").balance("callers").releases == 0


def test_few_people_are_refused_unless_forced(base):
    callers(np.random.default_rng(0)).head(600).to_csv(base / "callers.csv", index=False)
    plan = plan_of(base)
    with pytest.raises(PlanError, match="people=600; texts of fewer than 1,000 people"):
        pipeline.run(plan, ledger=Ledger.open(base / "state" / "ledger.sqlite"))
    forced = plan_of(base, force_few_people=True)
    assert texts.require_ready(forced, forced.declared_schema().tables[0], people=600)


def test_check_says_what_to_expect(base):
    lines = preflight.check(plan_of(base)).verdicts
    assert any("texts of 1,100 people are few" in line for line in lines)


def test_a_language_model_needs_a_public_number_of_people(base):
    plan = plan_of(base, text="embedded")
    plan = plan.model_copy(update={"dataset": plan.dataset.model_copy(update={"people": None})})
    with pytest.raises(PlanError, match="needs people under"):
        texts.engine_of(plan, plan.declared_schema().tables[0])


def test_about_names_modelled_columns_of_text_columns_only(base):
    text = (base / "plan.toml").read_text()
    (base / "plan.toml").write_text(text.replace('about = ["topic"]', 'about = ["name"]'))
    plan = Plan.load(base / "plan.toml")
    with pytest.raises(PlanError, match="is about 'name', which is not a modelled column"):
        texts.about_columns(plan, plan.declared_schema().tables[0], "note")
    (base / "plan.toml").write_text(text.replace('["card", "loan"], ', '["card", "loan"], about = ["note"], '))
    with pytest.raises(PlanError, match=r'expected on a column of kind = "text" only'):
        Plan.load(base / "plan.toml")


def test_the_floating_point_of_dp_sgd_is_said_where_it_is_used(base):
    table = plan_of(base).declared_schema().tables[0]
    assert texts.notes_of(plan_of(base, text="embedded"), table) == (texts.FLOAT_NOTE,)
    assert texts.notes_of(plan_of(base), table) == ()


def test_dropped_texts_have_no_engine_and_no_cost(base):
    plan = plan_of(base, text="drop")
    assert texts.engine_of(plan, plan.declared_schema().tables[0]) is None
    touches, _ = preflight.plan_touches(plan, plan.declared_schema(), preflight.synthesizer(plan))
    assert "text" not in {touch.stage for touch in touches}
