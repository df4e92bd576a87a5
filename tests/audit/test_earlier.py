"""The attack with two releases: it sees who joined in between, and nothing where nothing leaks."""

from __future__ import annotations

import fakes
import numpy as np
import pandas as pd
import pytest

from privsynth.audit import run
from privsynth.audit.attacks import Prepared, attack_by_membership, prepare
from privsynth.audit.encoding import Encoder, fit_encoder, make_case
from privsynth.audit.membership import EARLIER, count_results
from privsynth.dataset import Dataset
from privsynth.errors import AuditError
from privsynth.schema import Schema, Table

COLUMNS = tuple(column for column in fakes.people_schema().tables[0].columns if column.name != "person")
SCHEMA = Schema(tables=(Table(name="people", columns=COLUMNS),), privacy_unit="row")
N = 600


def frames(seed: int) -> list[pd.DataFrame]:
    """Train, holdout and others, without ids."""
    everyone = fakes.people_dataset(3 * N, seed).frame.drop(columns="person")
    return [everyone.iloc[start : start + N].reset_index(drop=True) for start in (0, N, 2 * N)]


def prepared(train: pd.DataFrame, holdout: pd.DataFrame, earlier: pd.DataFrame | None, rng) -> tuple[Prepared, Encoder]:
    encoder = fit_encoder(COLUMNS, [train, holdout], release=train)
    case = make_case(encoder.encode(train), encoder.encode(holdout), rng=rng)
    known = None if earlier is None else encoder.encode(earlier)
    return prepare(case, encoder, alpha=0.01, rng=rng, earlier=known), encoder


def area(train, holdout, release, earlier, seed):
    rng = np.random.default_rng(seed)
    ready, encoder = prepared(train, holdout, earlier, rng)
    results = attack_by_membership(ready, encoder.encode(release), rng=rng)
    return next(result for result in results if result.audit == EARLIER.audit and result.metric == "AUC")


def test_people_who_joined_between_two_releases_are_recognised():
    """Both releases copy the people they had; the earlier one had the people held out now, and others."""
    train, holdout, others = frames(0)
    earlier = pd.concat([holdout, others], ignore_index=True)
    result = area(train, holdout, train, earlier, 0)
    assert result.value > 0.95
    assert result.p_value < 1e-6


def test_two_releases_of_other_people_tell_nothing():
    """P-value above .001 on three fixed seeds; false-alarm rate .003."""
    for seed in (1, 2, 3):
        train, holdout, others = frames(seed)
        release, earlier = others.iloc[: N // 2], others.iloc[N // 2 :]
        assert area(train, holdout, release, earlier, seed).p_value > 1e-3


def test_an_earlier_release_that_copied_train_makes_this_one_no_leak():
    """What the earlier release gave away is not counted against a release that leaks nothing: no flag in favour of members."""
    train, holdout, others = frames(4)
    assert area(train, holdout, others, train, 4).p_value > 0.01


def test_the_family_of_tests_grows_with_the_attack():
    train, holdout, others = frames(5)
    alone, _ = prepared(train, holdout, None, np.random.default_rng(5))
    both, _ = prepared(train, holdout, others, np.random.default_rng(5))
    n_alone, n_both = (round(0.01 / one.level) for one in (alone, both))
    assert n_both - n_alone == count_results(alone.targets.n_non_members)


@pytest.mark.parametrize(("change", "words"), [("rows", "no rows"), ("columns", "lacks column 'age'")])
def test_an_earlier_release_that_does_not_fit_is_refused(change, words):
    train, holdout, others = frames(6)
    wrong = others.iloc[:0] if change == "rows" else others.drop(columns="age")

    def dataset(frame, role):
        return Dataset(tables={"people": frame}, schema=SCHEMA, role=role)

    with pytest.raises(AuditError, match=words):
        run(
            dataset(train, "train"),
            dataset(holdout, "holdout"),
            dataset(others, "synthetic"),
            rng=np.random.default_rng(0),
            earlier=dataset(wrong, "synthetic"),
        )
