"""Tables that are hard to audit: each gives figures, a grey result or one line, never a crash or a silent pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.audit import replay, run
from privsynth.audit.runner import MAX_SECRETS
from privsynth.auditing import audit_files
from privsynth.dataset import Dataset
from privsynth.errors import AuditError
from privsynth.schema import Column, Schema, Table


def frame_of(n: int, n_columns: int, rng: np.random.Generator) -> pd.DataFrame:
    columns = {}
    for i in range(n_columns):
        columns[f"c{i}"] = rng.normal(0, 1, n).round(3) if i % 3 == 0 else np.array([f"v{v}" for v in rng.geometric(0.3, n)], dtype=object)
    return pd.DataFrame(columns)


def dataset(frame: pd.DataFrame, role: str, **roles) -> Dataset:
    columns = tuple(
        Column(name=name, kind="decimal" if frame[name].dtype == float else "categorical", secret=name == roles.get("secret"))
        for name in frame.columns
    )
    return Dataset(tables={"t": frame}, schema=Schema(tables=(Table(name="t", columns=columns),), privacy_unit="row"), role=role)


def audited(train, holdout, synthetic, **options):
    parts = [dataset(part, role, **options) for part, role in ((train, "train"), (holdout, "holdout"), (synthetic, "synthetic"))]
    return run(*parts, rng=np.random.default_rng(0), max_targets=200)


def three(n: int, n_columns: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [frame_of(n, n_columns, rng) for _ in range(3)]


@pytest.fixture
def attacks_alone(monkeypatch):
    """Leaves the controls out: they are the same attacks on other rows, and are run whole in the slow tests."""
    monkeypatch.setattr("privsynth.audit.runner.run_controls", lambda *_, **__: ((), {}, {}))


def crashed(audit):
    return [
        result.key for results in (audit.results, *(c.results for c in audit.controls)) for result in results if result.status == "crashed"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("n_columns", [1, 3])
def test_controls_of_few_columns_run(n_columns):
    assert not crashed(audited(*three(220, n_columns)))


@pytest.mark.parametrize("n_columns", [1, 3])
def test_few_columns(attacks_alone, n_columns):
    audit = audited(*three(220, n_columns))
    assert not crashed(audit)
    assert not audit.flagged
    if n_columns == 1:
        unmeasured = {result.audit for result in audit.results if result.status == "not measurable" and result.population == "everyone"}
        assert {"linkability", "attribute inference"} <= unmeasured


@pytest.mark.slow
def test_two_hundred_columns_say_that_secrets_were_drawn():
    audit = audited(*three(250, 200))
    assert not crashed(audit)
    assert any(f"{MAX_SECRETS} of 200 columns" in note for note in audit.notes)


def test_a_release_of_one_repeated_row_is_described(attacks_alone):
    train, holdout, synthetic = three(220, 4, seed=1)
    audit = audited(train, holdout, pd.concat([synthetic.head(1)] * 150, ignore_index=True))
    assert not crashed(audit)
    assert any("1 distinct rows among 150" in note for note in audit.notes)


def test_a_release_of_nulls_is_audited_where_a_schema_says_what_they_are(attacks_alone):
    train, holdout, synthetic = three(220, 4, seed=2)
    audit = audited(train, holdout, synthetic.assign(c0=np.nan, c1=None))
    assert not crashed(audit)


def test_a_secret_with_one_value_is_not_measurable_and_no_pass(attacks_alone):
    train, holdout, synthetic = three(220, 3, seed=3)
    for frame in (train, holdout, synthetic):
        frame["c1"] = "same"
    audit = audited(train, holdout, synthetic, secret="c1")
    (result,) = [result for result in audit.results if result.audit == "attribute inference"]
    assert result.status == "not measurable"
    assert not crashed(audit)


def test_identical_rows_are_counted_and_no_overlap(attacks_alone):
    train, holdout, synthetic = three(220, 3, seed=4)
    audit = audited(train, pd.concat([holdout, train.head(7)], ignore_index=True), synthetic)
    assert any(note.startswith("7 held-out rows equal a row of train") for note in audit.notes)


def test_more_rows_than_fit_are_sampled_and_said_so(monkeypatch, attacks_alone):
    monkeypatch.setattr("privsynth.audit.attacks.MAX_PAIRS", 20_000)
    monkeypatch.setattr(replay, "MANY_ROWS", 100)
    monkeypatch.setattr("privsynth.audit.runner.MANY_ROWS", 100)
    monkeypatch.setattr("privsynth.audit.controls.MANY_ROWS", 100)
    audit = audited(*three(300, 4, seed=5))
    assert not crashed(audit)
    assert any("used samples of" in note for note in audit.notes)
    assert any("fewer sets of columns" in note for note in audit.notes)


@pytest.fixture
def files(tmp_path):
    def write(**frames):
        for name, frame in frames.items():
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        return [tmp_path / f"{name}.csv" for name in ("train", "holdout", "synthetic")]

    return write


def test_words_for_numbers_are_said(attacks_alone, files):
    train, holdout, synthetic = three(220, 3, seed=6)
    words = synthetic.assign(c0=np.array([f"word {i % 9}" for i in range(len(synthetic))], dtype=object))
    audit = audit_files(*files(train=train, holdout=holdout, synthetic=words), seed=0)
    assert any(note.startswith("Column 'c0' is decimal in the train file but not in all files") for note in audit.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h, s: (t, h, s.rename(columns={"c1": "other"})), "lacks column 'c1'"),
        (lambda t, h, s: (t, h, s.head(99)), "99 rows"),
        (lambda t, h, s: (t, h, s.assign(c0=None, c1=None, c2=None)), "nulls only"),
    ],
)
def test_files_that_cannot_be_audited_are_refused(files, change, message):
    train, holdout, synthetic = change(*three(120, 3, seed=7))
    with pytest.raises(AuditError, match=message):
        audit_files(*files(train=train, holdout=holdout, synthetic=synthetic), seed=0)


def test_shared_people_stop_the_audit(files):
    train, holdout, synthetic = three(150, 3, seed=8)
    people = pd.Series([f"P{i}" for i in range(150)])
    with pytest.raises(AuditError, match="shared=150 people"):
        audit_files(
            *files(train=train.assign(id=people), holdout=holdout.assign(id=people), synthetic=synthetic.assign(id=people)),
            unit="id",
            seed=0,
        )
