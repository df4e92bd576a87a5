"""Membership attacks: what is scored, what is not measurable, level and power."""

from __future__ import annotations

import numpy as np
import pytest

from privsynth.audit import membership
from privsynth.audit.encoding import Records, make_case, nearest
from privsynth.audit.membership import (
    CALIBRATED,
    DISTANCE,
    calibrated_scores,
    count_results,
    distance_scores,
    draw_targets,
    measure,
    reference_distances,
)


def records(values: np.ndarray) -> Records:
    codes = np.zeros(values.shape, np.int32)
    return Records(
        cells=codes.astype(np.uint64), codes=codes, numeric=values.astype(np.float32), categorical=np.zeros((len(values), 0), np.int32)
    )


def case_of(n_train: int, n_holdout: int, rng: np.random.Generator):
    train, holdout = rng.normal(0, 1, (n_train, 3)), rng.normal(0, 1, (n_holdout, 3))
    return train, make_case(records(train), records(holdout), rng=rng)


def test_targets_are_balanced_in_every_part():
    rng = np.random.default_rng(0)
    _, case = case_of(900, 400, rng)
    targets = draw_targets(case, max_targets=1000, rng=rng)
    assert len(targets.rows) == 800
    assert targets.n_non_members == 400
    for fold in (0, 1):
        assert (targets.is_member & (targets.fold == fold)).sum() == 200
    assert targets.calibration.sum() == 200
    assert not (targets.calibration & targets.is_member).any()
    assert targets.vulnerable.sum() == 80


def test_the_vulnerable_are_the_isolated():
    rng = np.random.default_rng(1)
    train, holdout = rng.normal(0, 1, (200, 2)), rng.normal(0, 1, (200, 2))
    train[:5] += 100 * np.arange(1, 6)[:, None]
    case = make_case(records(train), records(holdout), rng=rng)
    targets = draw_targets(case, max_targets=200, rng=rng)
    far = targets.rows.numeric[:, 0] > 50
    assert far.sum() == 5
    assert targets.vulnerable[far].all()


def test_reference_rows_are_non_members_of_the_other_fold():
    rng = np.random.default_rng(2)
    _, case = case_of(100, 60, rng)
    targets = draw_targets(case, max_targets=60, rng=rng)
    naive = np.empty(len(targets.rows))
    for i in range(len(targets.rows)):
        others = targets.rows.numeric[(targets.fold != targets.fold[i]) & ~targets.is_member]
        naive[i] = np.sort(np.abs(others - targets.rows.numeric[i]).sum(axis=1))[:5].mean()
    np.testing.assert_allclose(reference_distances(targets), naive, rtol=1e-4)
    assert reference_distances(targets).min() > 0  # nobody is compared with themselves


def test_scores_are_finite_for_exact_copies():
    scores = calibrated_scores(np.array([-0.0, -0.0, -1.0]), np.array([0.0, 2.0, 2.0]))
    assert np.isfinite(scores).all()
    assert scores[1] > scores[2]
    assert np.isfinite(calibrated_scores(np.zeros(2), np.zeros(2))).all()


def test_copies_are_found_and_intervals_hold_the_value():
    rng = np.random.default_rng(3)
    train, case = case_of(600, 600, rng)
    targets = draw_targets(case, max_targets=600, rng=rng)
    scores = distance_scores(targets, records(train[:400]))
    results = measure(DISTANCE, targets, scores, level=1e-3)
    measured = [result for result in results if result.status == "measured"]
    assert [result.metric for result in measured] == ["AUC", "TPR at 1.0% FPR"]
    for result in measured:
        assert result.p_value < 1e-6
        assert result.interval[0] <= result.value <= result.interval[1]
        assert result.floor < result.value <= result.ceiling
    assert measured[1].value == pytest.approx(400 / 600, abs=0.07)


def test_small_holdouts_do_not_measure_the_vulnerable_tenth():
    rng = np.random.default_rng(4)
    train, case = case_of(600, 500, rng)
    targets = draw_targets(case, max_targets=600, rng=rng)
    results = measure(DISTANCE, targets, distance_scores(targets, records(train)), level=1e-3)
    tenth = [result for result in results if result.population == "vulnerable tenth"]
    assert [result.status for result in tenth] == ["not measurable"] * 2
    assert all(result.value is None and result.p_value is None for result in tenth)
    assert not any("0.1%" in result.metric for result in results)


@pytest.mark.parametrize("n", [500, 4000])
def test_the_number_of_results_is_known_beforehand(n):
    rng = np.random.default_rng(5)
    _, case = case_of(n, n, rng)
    targets = draw_targets(case, max_targets=n, rng=rng)
    targets.vulnerable[:] = np.arange(2 * n) % 10 == 0
    results = measure(DISTANCE, targets, rng.random(2 * n), level=1e-3)
    assert sum(result.p_value is not None for result in results) == count_results(n)


def test_excess_on_the_vulnerable_tenth_is_zero_for_chance_scores():
    rng = np.random.default_rng(6)
    _, case = case_of(4000, 4000, rng)
    targets = draw_targets(case, max_targets=4000, rng=rng)
    results = measure(CALIBRATED, targets, rng.random(8000), level=1e-3, confidence=0.999)
    tenth = [result for result in results if result.population == "vulnerable tenth"]
    assert len(tenth) == 2
    for result in tenth:
        assert result.status == "measured"
        assert result.interval[0] <= 0 <= result.interval[1]


@pytest.mark.statistical
def test_membership_keeps_its_level_on_fresh_rows():
    # 150 null runs at level 0.05, calibrated with the swapped halves: more than 19 alarms of one figure has probability below 1e-3.
    rng = np.random.default_rng(7)
    alarms: dict[str, int] = {}
    for _ in range(150):
        _, case = case_of(400, 300, rng)
        targets = draw_targets(case, max_targets=300, rng=rng)
        plain = distance_scores(targets, records(rng.normal(0, 1, (300, 3))))
        for blank, scores in ((DISTANCE, plain), (CALIBRATED, calibrated_scores(plain, reference_distances(targets)))):
            for result in measure(blank, targets, scores, level=1e-3):
                if result.p_value is not None:
                    alarms[result.key] = alarms.get(result.key, 0) + (result.p_value <= 0.05)
    assert len(alarms) == 4
    assert max(alarms.values()) <= 19, alarms


def test_neighbours_of_targets_never_see_the_label():
    rng = np.random.default_rng(8)
    _, case = case_of(300, 300, rng)
    targets = draw_targets(case, max_targets=300, rng=rng)
    isolation = nearest(targets.rows, targets.rows, k=6)[0][:, 1:].mean(axis=1)
    cut = np.sort(isolation)[-targets.vulnerable.sum()]
    np.testing.assert_array_equal(targets.vulnerable, isolation >= cut)
    assert membership.VULNERABLE_SHARE == pytest.approx(targets.vulnerable.mean())
