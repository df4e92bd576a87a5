"""Anyone's files: read alike, attacked, judged; copies are caught, fresh people are not."""

from __future__ import annotations

import json

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth.auditing import audit_files
from privsynth.errors import AuditError, SourceError

N = 500


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Train, holdout, a copy of train and fresh people, as CSV files."""
    folder = tmp_path_factory.mktemp("audit")
    frame = fakes.people(2 * N)
    frame.loc[:5, "income"] = np.nan
    parts = {
        "train": frame.iloc[:N],
        "holdout": frame.iloc[N:],
        "copy": frame.iloc[:N].drop(columns="person"),
        "fresh": fakes.people(N, seed=5).drop(columns="person"),
    }
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    return folder


def audited(files, synthetic, *, holdout="holdout", unit="person", **options):
    return audit_files(
        files / "train.csv", files / f"{holdout}.csv" if holdout else None, files / f"{synthetic}.csv", unit=unit, seed=0, **options
    )


@pytest.fixture(scope="module")
def steps():
    """What the audit of fresh people told of its progress."""
    return []


@pytest.fixture(scope="module")
def fresh(files, steps):
    return audited(files, "fresh", progress=lambda label, done, total: steps.append((label, done, total)))


def test_a_copy_of_train_fails(files):
    """Positive control."""
    outcome = audited(files, "copy")
    assert outcome.verdict == "fail"
    failed = {judgement.subject for judgement in outcome.judgements if judgement.light == "fail"}
    assert any(subject.startswith("exact replay") for subject in failed)


def test_fresh_people_do_not_fail(fresh):
    """Null control: at a fixed seed; the family-wise false-alarm rate of the attacks is 1e-2, of the policy's limits 1e-3."""
    assert fresh.verdict in ("pass", "inconclusive")
    assert not fresh.run.flagged


def test_a_seed_repeats_an_audit(files, tmp_path):
    for name in ("train", "holdout", "fresh"):
        pd.read_csv(files / f"{name}.csv").head(120).to_csv(tmp_path / f"{name}.csv", index=False)
    first, again = (audited(tmp_path, "fresh").run.results for _ in range(2))
    assert [(item.key, item.value, item.p_value) for item in first] == [(item.key, item.value, item.p_value) for item in again]
    assert any(item.status == "measured" for item in first)


def test_it_says_how_the_columns_were_read(fresh):
    assert "age: integer, income: decimal, joined: datetime, active: boolean" in fresh.notes[0]
    assert "person: identifier" in fresh.notes[0]


def test_the_result_is_plain_json_without_a_value(fresh):
    text = json.dumps(fresh.to_json(), allow_nan=False)
    assert set(fresh.to_json()) == {"verdict", "judgements", "notes", "audit"}
    assert "P000001" not in text


def test_without_a_holdout_nothing_is_measured(files):
    outcome = audited(files, "copy", holdout=None)
    assert outcome.verdict == "inconclusive"
    assert {result.status for result in outcome.run.results} == {"not measurable"}


def test_a_person_in_train_and_in_holdout_is_refused(files):
    with pytest.raises(AuditError, match=r"train.*holdout|holdout.*train"):
        audited(files, "fresh", holdout="train")


def test_progress_is_told(fresh, steps):
    assert steps
    assert all(0 <= done <= total for _, done, total in steps)


def write(frame: pd.DataFrame, path):
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="age"), "the synthetic file lacks column 'age'"),
        (lambda frame: frame.assign(more=1), "has column 'more', which train lacks"),
        (lambda frame: frame.head(99), "99 rows; expected at least 100"),
        (lambda frame: frame.assign(**dict.fromkeys(frame.columns, "")), "nulls only"),
    ],
)
def test_files_that_do_not_fit_are_refused(change, words, files, tmp_path):
    synthetic = write(change(pd.read_csv(files / "fresh.csv")), tmp_path / "synthetic.csv")
    with pytest.raises(AuditError, match=words):
        audit_files(files / "train.csv", files / "holdout.csv", synthetic, unit="person")


def test_an_unknown_unit_is_refused(files):
    with pytest.raises(AuditError, match="unit='persn' is not a column"):
        audited(files, "fresh", unit="persn")


def test_a_file_that_is_not_there_is_refused(files):
    with pytest.raises(SourceError, match="is not there"):
        audited(files, "none")


def test_a_column_is_a_number_only_if_it_is_one_in_every_file(files, tmp_path):
    frame = pd.read_csv(files / "fresh.csv").assign(age="old")
    outcome = audit_files(files / "train.csv", None, write(frame, tmp_path / "synthetic.csv"), unit="person")
    assert "age: categorical" in outcome.notes[0]


def test_a_synthetic_file_may_have_ids_of_its_own(files, tmp_path):
    frame = pd.read_csv(files / "fresh.csv").assign(person=[f"S{row}" for row in range(N)])
    outcome = audit_files(files / "train.csv", None, write(frame, tmp_path / "synthetic.csv"), unit="person")
    assert "person: identifier" in outcome.notes[0]
