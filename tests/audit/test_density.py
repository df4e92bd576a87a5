"""Density attacks: a naive oracle, no target in its own reference, null and positive controls."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.density import classifier_scores, edge_scores, marginal_scores
from privsynth.audit.encoding import Records, fit_encoder, make_case
from privsynth.audit.intervals import area_under_curve
from privsynth.audit.membership import draw_targets
from privsynth.schema import Column


def records(values: np.ndarray) -> Records:
    codes = np.asarray(values, dtype=np.int32)
    return Records(cells=codes.astype(np.uint64), codes=codes, numeric=np.zeros((len(codes), 0), np.float32), categorical=codes)


def draw(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.geometric(0.15, (n, 4))


def setting(n: int, seed: int, max_targets: int = 1000):
    rng = np.random.default_rng(seed)
    train, holdout = draw(n, rng), draw(n, rng)
    case = make_case(records(train), records(holdout), rng=rng)
    return train, draw_targets(case, max_targets=max_targets, rng=rng), rng


def area(targets, scores):
    return area_under_curve(scores[targets.is_member], scores[~targets.is_member])


def test_edge_scores_against_counting_by_hand():
    _, targets, rng = setting(60, 0, max_targets=40)
    release = records(draw(50, rng))
    edges = [(0, 1), (2, 3)]
    scores = edge_scores(targets, release, edges)
    assert len(targets.reserve) == 20
    for i in range(0, 80, 7):
        reference = targets.reference_of(int(targets.fold[i])).codes
        expected = 0.0
        for edge in edges:
            cell = targets.rows.codes[i, list(edge)]
            in_release = (release.codes[:, list(edge)] == cell).all(axis=1).sum()
            in_reference = (reference[:, list(edge)] == cell).all(axis=1).sum()
            expected += np.log((in_release + 0.1) / 50) - np.log((in_reference + 0.5) / len(reference))
        assert scores[i] == pytest.approx(expected / 2)


def test_marginal_scores_are_pairs_and_triples():
    _, targets, rng = setting(60, 1)
    release = records(draw(50, rng))
    pairs = edge_scores(targets, release, list(combinations(range(4), 2)))
    triples = edge_scores(targets, release, list(combinations(range(4), 3)))  # few distinct values: bins are exact values
    np.testing.assert_allclose(marginal_scores(targets, release, rng=rng), pairs + triples)


@pytest.mark.parametrize("score", [marginal_scores, classifier_scores])
def test_copies_are_found_and_fresh_rows_are_not(score):
    train, targets, rng = setting(1500, 2)
    assert area(targets, score(targets, records(train), rng=rng)).p_value < 1e-4
    assert area(targets, score(targets, records(draw(1500, rng)), rng=rng)).p_value > 1e-3


def test_nothing_is_found_where_nothing_leaked():
    # 40 null runs at 5 %: seven or more alarms has probability below 4e-3
    alarms = 0
    for seed in range(40):
        _, targets, rng = setting(150, 100 + seed)
        alarms += area(targets, marginal_scores(targets, records(draw(200, rng)), rng=rng)).p_value <= 0.05
    assert alarms <= 6


@pytest.mark.parametrize("score", [marginal_scores, classifier_scores])
def test_a_category_that_everyone_has_alone_betrays_nobody_to_a_release_without_it(score):
    """All values of a column occur once. Null of the area: standard deviation .029 at 200 people of each side; 5 of them are allowed."""
    rng = np.random.default_rng(11)
    columns = (Column(name="city", kind="categorical"), Column(name="size", kind="integer"))
    sizes = pd.array(rng.integers(0, 3, 600), dtype="Int64")
    everyone = pd.DataFrame({"city": rng.permutation([f"city {number}" for number in range(600)]).astype(object), "size": sizes})
    train, holdout = everyone[:400].reset_index(drop=True), everyone[400:].reset_index(drop=True)
    release = train.assign(city=None)
    encoder = fit_encoder(columns, [train, holdout], release=release)
    targets = draw_targets(make_case(encoder.encode(train), encoder.encode(holdout), units=None, rng=rng), max_targets=200, rng=rng)
    assert abs(area(targets, score(targets, encoder.encode(release), rng=rng)).value - 0.5) < 5 * 0.029


def test_no_target_is_its_own_reference():
    _, targets, _ = setting(100, 3)
    for fold in (0, 1):
        reference = targets.reference_of(fold)
        assert len(reference) == 50
        own = {tuple(row) for row in targets.rows.cells[(targets.fold != fold) & ~targets.is_member].tolist()}
        assert {tuple(row) for row in reference.cells.tolist()} == own
