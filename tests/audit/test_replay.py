"""Replay attacks: closed forms, a naive oracle, null and positive controls."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.audit.encoding import Case, Records, make_case
from privsynth.audit.replay import SUBSETS, combination_points, combination_replay, exact_replay, nearest_records, nearest_replay


def records(values: np.ndarray) -> Records:
    """Whole numbers as categories and as numbers."""
    codes = values.astype(np.int32)
    return Records(
        cells=codes.astype(np.uint64), codes=codes, numeric=values.astype(np.float32), categorical=np.zeros((len(values), 0), np.int32)
    )


def case_of(train: np.ndarray, holdout: np.ndarray, seed: int = 0, units=None) -> Case:
    return make_case(records(train), records(holdout), units=units, rng=np.random.default_rng(seed))


def test_exact_replay_of_unique_rows_is_the_closed_form():
    values = np.arange(200).reshape(100, 2)
    result = exact_replay(case_of(values[:50], values[50:]), records(values[:5]))
    expected = np.prod([(50 - i) / (100 - i) for i in range(5)])
    assert result.p_value == pytest.approx(expected)
    assert result.value == pytest.approx(5 / 50)
    assert result.control == 0.0
    assert result.interval[0] < result.value < result.interval[1]


def test_rows_that_are_frequent_in_the_population_are_no_leak():
    frequent = np.tile([[7, 7]], (60, 1))
    rare = np.arange(100, 180).reshape(40, 2)
    case = case_of(np.concatenate([frequent[:30], rare[:20]]), np.concatenate([frequent[30:], rare[20:]]))
    result = exact_replay(case, records(frequent[:25]))
    assert (result.details["train_matched"], result.details["holdout_matched"]) == (30, 30)
    assert result.value == 0.0
    assert result.p_value > 0.5


def test_replay_counts_people_not_rows():
    train, holdout = np.arange(40).reshape(20, 2), np.arange(100, 140).reshape(20, 2)
    ids = (
        np.repeat(np.array([f"t{i}" for i in range(4)], dtype=object), 5),
        np.repeat(np.array([f"h{i}" for i in range(4)], dtype=object), 5),
    )
    result = exact_replay(case_of(train, holdout, units=ids), records(train[:5]))  # five rows, all of one person
    assert result.details["train_matched"] == 1
    assert result.p_value == pytest.approx(0.5)


def test_no_match_is_no_evidence():
    values = np.arange(200).reshape(100, 2)
    result = exact_replay(case_of(values[:50], values[50:]), records(values + 1000))
    assert (result.value, result.p_value) == (0.0, 1.0)


def test_combination_points_agree_with_a_loop():
    # With four columns every subset is all four, so that each person has no point or all of them.
    rng = np.random.default_rng(1)
    train, holdout, release = (rng.integers(0, 4, (n, 4)) for n in (60, 60, 80))
    case = case_of(train, holdout)
    points = combination_points(case, [records(release), records(train)], rng=rng)
    rows = [tuple(row) for row in case.pool.codes]
    for number, other in enumerate((release, train)):
        present = {tuple(row) for row in other}
        naive = [SUBSETS if rows.count(row) == 1 and row in present else 0 for row in rows]
        by_person = np.zeros(case.n_people, dtype=int)
        by_person[case.person] = naive
        np.testing.assert_array_equal(points[number], by_person)


def test_a_combination_that_only_one_person_has_twice_is_theirs_alone():
    train, holdout = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2]]), np.array([[2, 2, 2, 2], [3, 3, 3, 3]])
    ids = np.array(["a", "a", "b"], dtype=object), np.array(["c", "d"], dtype=object)
    points = combination_points(case_of(train, holdout, units=ids), [records(train)], rng=np.random.default_rng(0))
    np.testing.assert_array_equal(points[0], [SUBSETS, 0, 0, 0])


def test_combination_replay_sees_a_few_copies():
    rng = np.random.default_rng(2)
    train, holdout, fresh = (rng.integers(0, 12, (2000, 8)) for _ in range(3))
    fresh[:60] = train[:60]
    case = case_of(train, holdout)
    result = combination_replay(case, combination_points(case, [records(fresh)], rng=rng)[0], rng=rng)
    assert result.p_value < 1e-3


def test_nearest_replay_sees_noisy_copies():
    rng = np.random.default_rng(3)
    train, holdout, fresh = (rng.normal(0, 1, (1000, 6)) for _ in range(3))
    fresh[:30] = train[:30] + rng.normal(0, 0.01, (30, 6))
    case = case_of(train, holdout)
    result = nearest_replay(case, nearest_records(case, records(fresh)), rng=rng)
    assert result.p_value < 1e-3
    assert result.baseline == 0.5
    assert result.value > 0.7


def test_nearest_replay_counts_each_person_once():
    train, holdout = np.arange(40.0).reshape(20, 2) * 100, np.arange(40.0).reshape(20, 2) * 100 + 50
    case = case_of(train, holdout)
    result = nearest_replay(case, nearest_records(case, records(np.tile(train[:1], (500, 1)))), rng=np.random.default_rng(0))
    assert result.details["nearest_people"] == 1  # 500 copies of one row are one person, no evidence by themselves
    assert result.details["p_value_of_nearest"] == pytest.approx({"1 by distance": 0.5, "1 by ratio": 0.5})


@pytest.mark.statistical
@pytest.mark.parametrize("n_holdout", [150, 600])
def test_replay_keeps_its_level_on_fresh_rows(n_holdout):
    # 120 null runs of three attacks at level 0.05, coarse values so that coincidences and ties abound, balanced and 4:1 splits.
    # More than 16 alarms of one attack has probability below 1e-3 (binomial).
    rng = np.random.default_rng(4)
    alarms = np.zeros(3)
    for _ in range(120):
        train, holdout, fresh = (rng.integers(0, 4, (n, 5)) * rng.integers(0, 2, (n, 5)) for n in (600, n_holdout, 400))
        case = make_case(records(train), records(holdout), rng=rng)
        points = combination_points(case, [records(fresh)], rng=rng, n_subsets=20)[0]
        results = (
            exact_replay(case, records(fresh)),
            combination_replay(case, points, rng=rng),
            nearest_replay(case, nearest_records(case, records(fresh)), rng=rng),
        )
        alarms += [result.p_value <= 0.05 for result in results]
    assert (alarms <= 16).all(), alarms
