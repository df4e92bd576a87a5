"""The shared encoding and the nearest-neighbour kernel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.encoding import Records, fit_encoder, fit_scale, make_case, nearest, row_keys
from privsynth.errors import AuditError
from privsynth.schema import Column

COLUMNS = (
    Column(name="id", kind="integer"),
    Column(name="income", kind="decimal"),
    Column(name="since", kind="datetime"),
    Column(name="city", kind="categorical"),
    Column(name="member", kind="boolean"),
)


def frame(n: int, seed: int, *, nulls: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "id": pd.array(rng.integers(0, 10**6, n), dtype="Int64"),
            "income": rng.lognormal(3, 1, n),
            "since": rng.integers(0, 10**9, n).astype("datetime64[s]"),
            "city": rng.choice(["a", "b", "c"], n).astype(object),
            "member": pd.array(rng.random(n) < 0.5, dtype="boolean"),
        }
    )
    if nulls:
        for name in made.columns:
            made.loc[rng.random(n) < 0.1, name] = None
    return made


def naive_distance(one: Records, i: int, two: Records, j: int) -> float:
    return float(np.abs(one.numeric[i] - two.numeric[j]).sum() + (one.categorical[i] != two.categorical[j]).sum())


def test_codes_do_not_tell_train_from_holdout():
    rng = np.random.default_rng(0)
    names = rng.permutation([f"city {number}" for number in range(600)]).astype(object)
    train, holdout = frame(400, 0).assign(city=names[:400]), frame(200, 1).assign(city=names[400:])
    there, back = fit_encoder(COLUMNS, [train, holdout], release=train), fit_encoder(COLUMNS, [holdout, train], release=train)
    for part in (train, holdout):
        assert (there.encode(part).codes == back.encode(part).codes).all()
        assert (there.encode(part).categorical == back.encode(part).categorical).all()


@pytest.mark.parametrize("k", [1, 3])
def test_nearest_agrees_with_a_loop(k):
    train, release = frame(150, 0), frame(70, 1)
    encoder = fit_encoder(COLUMNS, [train], release=release)
    queries, reference = encoder.encode(release), encoder.encode(train)
    distances, rows = nearest(queries, reference, k=k)
    table = np.array([[naive_distance(queries, i, reference, j) for j in range(150)] for i in range(70)])
    np.testing.assert_allclose(distances, np.sort(table, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(table, rows, axis=1), distances, atol=1e-5)


def test_nearest_with_many_categories_and_long_references():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 1000, (9000, 2)).astype(np.int32)
    records = Records(cells=codes.astype(np.uint64), codes=codes, numeric=np.zeros((9000, 0), np.float32), categorical=codes)
    distances, rows = nearest(records.take(np.array([8500])), records)
    assert distances[0, 0] == 0
    assert (codes[rows[0, 0]] == codes[8500]).all()


def test_nearest_refuses_a_reference_that_is_too_short():
    records = fit_encoder(COLUMNS, [frame(5, 0)], release=frame(5, 0)).encode(frame(2, 0))
    with pytest.raises(AuditError, match="reference=2"):
        nearest(records, records, k=3)


def test_nulls_equal_each_other_and_differ_from_values():
    rows = pd.concat([frame(30, 0, nulls=False)] * 2, ignore_index=True)
    rows.loc[:1, "income"] = np.nan
    rows.loc[2, "city"] = None
    encoder = fit_encoder(COLUMNS, [rows], release=rows)
    records = encoder.encode(rows)
    same = rows.loc[[0, 0]].copy().reset_index(drop=True)
    assert naive_distance(encoder.encode(same), 0, encoder.encode(same), 1) == 0
    assert naive_distance(records, 0, records, 30) >= 1  # row 30 is row 0 with its income
    assert records.codes[0, 1] == 0
    assert records.codes[2, 3] == 0
    assert np.isfinite(records.numeric).all()


def test_a_null_that_only_the_release_has_is_far_from_every_number():
    train, release = frame(30, 0, nulls=False), frame(30, 0, nulls=False)
    release["income"] = np.nan
    encoder = fit_encoder(COLUMNS, [train], release=release)
    assert nearest(encoder.encode(release), encoder.encode(train))[0].min() >= 1


def test_values_only_in_the_release_get_codes_of_their_own():
    train = pd.DataFrame({"city": np.array(["a", "b", "a"], dtype=object), "n": pd.array([1, 5, 9], dtype="Int64")})
    release = pd.DataFrame({"city": np.array(["z", "y", "a"], dtype=object), "n": pd.array([1, 3, 99], dtype="Int64")})
    encoder = fit_encoder([Column(name="city", kind="categorical"), Column(name="n", kind="integer")], [train], release=release)
    known, new = encoder.encode(train), encoder.encode(release)
    assert len({*known.codes[:, 0], new.codes[0, 0], new.codes[1, 0]}) == 4
    assert new.codes[2, 0] == known.codes[0, 0]
    assert new.codes[0, 1] == known.codes[0, 1]
    assert not set(new.codes[1:, 1]) & set(known.codes[:, 1])


def test_scale_is_increasing_and_keeps_outliers_apart():
    scale = fit_scale(np.concatenate([np.arange(1000.0), [1e9, 2e9]]))
    values = np.array([-1e6, -5, 0, 500, 999, 1e6, 1e9, 2e9])
    assert (np.diff(scale.scaled(values)) > 0).all()
    assert scale.scaled(np.array([999.0]))[0] - scale.scaled(np.array([0.0]))[0] == pytest.approx(1, abs=0.05)
    assert fit_scale(np.array([])).spread == 1.0
    assert fit_scale(np.full(9, 4.0)).spread == 1.0


def test_row_keys_are_equal_for_equal_rows_only():
    rows = pd.DataFrame({"n": pd.array([2**53, 2**53 + 1, 2**53, None], dtype="Int64"), "x": [0.0, 0.0, -0.0, 0.0]})
    columns = [Column(name="n", kind="integer"), Column(name="x", kind="decimal")]
    keys = row_keys(fit_encoder(columns, [rows], release=rows).encode(rows).cells)
    assert keys[0] == keys[2]
    assert len(set(keys)) == 3


def test_row_keys_do_not_collide_when_columns_swap():
    swapped = np.array([[1, 2], [2, 1], [3, 3], [0, 0]], dtype=np.uint64)
    assert len(set(row_keys(swapped))) == 4


def test_a_person_on_both_sides_is_refused():
    train, holdout = frame(4, 0), frame(3, 1)
    encoder = fit_encoder(COLUMNS, [train, holdout], release=train)
    ids = np.array(["p", "p", "q", "r"], dtype=object), np.array(["s", "q", "q"], dtype=object)
    with pytest.raises(AuditError, match="shared=1 people") as refusal:
        make_case(encoder.encode(train), encoder.encode(holdout), units=ids, rng=np.random.default_rng(0))
    assert "'q'" not in str(refusal.value)


def test_case_counts_people_not_rows():
    train, holdout = frame(4, 0), frame(3, 1)
    encoder = fit_encoder(COLUMNS, [train, holdout], release=train)
    ids = np.array(["p", "p", "q", "r"], dtype=object), np.array(["s", "t", "t"], dtype=object)
    case = make_case(encoder.encode(train), encoder.encode(holdout), units=ids, rng=np.random.default_rng(0))
    assert (case.n_train, case.n_holdout, case.null_share) == (3, 2, 0.6)
    assert len(case.one_row_each(np.arange(5), np.random.default_rng(1))) == 5


def test_missing_columns_are_named():
    with pytest.raises(AuditError, match="'city'"):
        fit_encoder(COLUMNS, [frame(3, 0)], release=frame(3, 0).drop(columns="city"))
    with pytest.raises(AuditError, match="columns=0"):
        fit_encoder([], [frame(3, 0)], release=frame(3, 0))
