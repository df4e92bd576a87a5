"""Singling out: predicates counted by hand, a naive oracle, null and positive controls."""

from __future__ import annotations

from collections import Counter

import numpy as np

from privsynth.audit.encoding import Records, make_case
from privsynth.audit.membership import draw_targets
from privsynth.audit.singling_out import combination_queries, singling_out, value_queries
from privsynth.audit.sweep import ColumnView
from privsynth.schema import Column


def records(values: np.ndarray) -> Records:
    codes = np.asarray(values, dtype=np.int32)
    return Records(cells=codes.astype(np.uint64), codes=codes, numeric=np.zeros((len(codes), 0), np.float32), categorical=codes)


def columns(n: int):
    return tuple(Column(name=f"c{i}", kind="categorical") for i in range(n)), tuple(
        ColumnView(numeric=None, categorical=i) for i in range(n)
    )


def test_values_that_occur_once_single_out_who_alone_has_them():
    case = make_case(records([[1], [2], [2], [3]]), records([[4], [5], [5], [3]]), rng=np.random.default_rng(0))
    # once in the release: 1 (one person of train), 2 (two people), 3 (one on each side), 4 (one of holdout); 7 occurs twice, 9 nobody has
    queries = value_queries(case, records([[1], [2], [3], [4], [7], [7], [9]]), *columns(1))
    assert queries.n == 5
    assert queries.points[case.is_train].sum() == 1
    assert queries.points[~case.is_train].sum() == 1


def test_extremes_of_numbers_are_predicates():
    column, view = (Column(name="x", kind="integer"),), (ColumnView(numeric=0, categorical=None),)

    def numeric(values):
        cells = np.asarray(values)[:, None]
        return Records(
            cells=cells.astype(np.uint64),
            codes=cells.astype(np.int32),
            numeric=cells.astype(np.float32),
            categorical=np.zeros((len(cells), 0), np.int32),
        )

    case = make_case(numeric([1, 5, 90]), numeric([5, 6, 7]), rng=np.random.default_rng(0))
    queries = value_queries(case, numeric([5, 5, 50, 50]), column, view)
    assert queries.n == 2  # at least 50: one person; at most 5: three
    assert queries.points.sum() == 1


def test_combinations_against_brute_force():
    rng = np.random.default_rng(1)
    train, holdout, release = (rng.integers(0, 4, (n, 2)) for n in (20, 20, 25))
    case = make_case(records(train), records(holdout), rng=np.random.default_rng(2))
    queries = combination_queries(case, records(release), rng=np.random.default_rng(3), n_subsets=7)  # both columns each time
    once = [pair for pair, n in Counter(map(tuple, release.tolist())).items() if n == 1]
    owners = Counter(map(tuple, np.concatenate([train, holdout]).tolist()))
    assert queries.n == 7 * len(once)
    assert queries.points.sum() == 7 * sum(owners[pair] == 1 for pair in once)


def run(release: np.ndarray, seed: int):
    rng = np.random.default_rng(seed)
    train, holdout = rng.geometric(0.2, (500, 5)), rng.geometric(0.2, (500, 5))
    case = make_case(records(train), records(holdout), rng=rng)
    targets = draw_targets(case, max_targets=500, rng=rng)
    rows = train[:300] if release is None else release
    return singling_out(case, targets, records(rows), *columns(5), rng=rng, level=1e-3)


def test_copies_single_out_people_in_the_data():
    results = {result.metric: result for result in run(None, 0) if result.population == "everyone"}
    several = results["people singled out by several values, in excess of control"]
    assert several.p_value < 1e-20
    assert several.interval[0] > 0.1
    assert several.value > several.baseline - several.control
    assert results["queries that single out by several values, in excess of control"].interval[0] > 0.02
    assert several.details["precision"] > several.details["precision_of_control"]


def test_fresh_rows_single_out_both_sides_alike():
    # 20 null runs at 1 %: three or more alarms of one metric has probability below 1e-3
    alarms = Counter()
    covered = Counter()
    for seed in range(20):
        fresh = np.random.default_rng(1000 + seed).geometric(0.2, (300, 5))
        for result in run(fresh, seed):
            if result.status == "measured" and result.p_value is not None:
                alarms[result.metric] += result.p_value <= 0.01
            if result.interval is not None:
                covered[result.metric] += result.interval[0] <= 0 <= result.interval[1]
    assert max(alarms.values()) <= 2
    assert min(covered.values()) >= 16  # 95 % intervals: fewer than 16 of 20 has probability below 3e-3
