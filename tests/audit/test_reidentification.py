"""Sweep, linkability and inference: naive oracles, closed forms, null and positive controls."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.encoding import fit_encoder, make_case, nearest
from privsynth.audit.excess import Counts, count, largest_excess
from privsynth.audit.membership import draw_targets
from privsynth.audit.reidentification import (
    INFERENCE,
    Links,
    attribute_inference,
    column_halves,
    find_links,
    knowledge,
    linkability,
    right_guesses,
)
from privsynth.audit.sweep import column_views, nearest_without, restricted
from privsynth.errors import AuditError
from privsynth.schema import Column

COLUMNS = (
    Column(name="age", kind="integer"),
    Column(name="income", kind="decimal"),
    Column(name="job", kind="categorical"),
    Column(name="town", kind="categorical"),
    Column(name="owner", kind="boolean"),
)


def frame_of(n: int, rng: np.random.Generator) -> pd.DataFrame:
    income = np.round(rng.lognormal(8, 0.7, n), 2)
    income[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "age": pd.array(rng.integers(18, 90, n), dtype="Int64"),
            "income": income,
            "job": np.array([f"j{i}" for i in rng.integers(0, 8, n)], dtype=object),
            "town": np.array([f"t{i}" for i in rng.geometric(0.15, n)], dtype=object),
            "owner": pd.array(rng.random(n) < 0.5, dtype="boolean"),
        }
    )


def setting(n_train=400, n_holdout=400, seed=0, columns=COLUMNS, train=None, holdout=None):
    rng = np.random.default_rng(seed)
    train = frame_of(n_train, rng) if train is None else train
    holdout = frame_of(n_holdout, rng) if holdout is None else holdout
    encoder = fit_encoder(columns, [train, holdout], release=holdout)
    case = make_case(encoder.encode(train), encoder.encode(holdout), rng=rng)
    targets = draw_targets(case, max_targets=6000, rng=rng, subgroups=encoder.subgroups)
    known = knowledge(encoder, case.pool, rng=rng)
    return SimpleNamespace(train=train, holdout=holdout, encoder=encoder, case=case, targets=targets, known=known, rng=rng)


def test_the_sweep_finds_what_a_search_per_secret_finds():
    s = setting(90, 60)
    queries, release = s.encoder.encode(s.train), s.encoder.encode(frame_of(5000, s.rng))
    views = column_views(s.encoder)
    distances, rows = nearest_without(queries, release, views, range(5), range(5))
    for secret in range(5):
        keep = [column for column in range(5) if column != secret]
        naive, _ = nearest(restricted(queries, views, keep), restricted(release, views, keep))
        np.testing.assert_allclose(distances[:, secret], naive[:, 0], atol=1e-5)
        chosen = release.take(rows[:, secret])
        again = np.abs(queries.numeric - chosen.numeric)[:, [v.numeric for v in (views[c] for c in keep) if v.numeric is not None]].sum(1)
        again += (queries.categorical != chosen.categorical)[
            :, [v.categorical for v in (views[c] for c in keep) if v.categorical is not None]
        ].sum(1)
        np.testing.assert_allclose(again, naive[:, 0], atol=1e-5)


def test_secrets_outside_the_known_columns_share_one_search():
    s = setting(50, 50)
    release = s.encoder.encode(frame_of(300, s.rng))
    _, rows = nearest_without(s.targets.rows, release, s.known.views, [0, 2], [1, 3, 0])
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])
    naive = nearest(restricted(s.targets.rows, s.known.views, [2]), restricted(release, s.known.views, [2]))[0]
    distances, _ = nearest_without(s.targets.rows, release, s.known.views, [0, 2], [0])
    np.testing.assert_allclose(distances, naive, atol=1e-6)
    with pytest.raises(AuditError, match="a known column besides each secret"):
        nearest_without(s.targets.rows, release, s.known.views, [0], [0])


def test_roles_decide_what_is_known_and_what_is_secret():
    assert setting().known.known == setting().known.secrets == (0, 1, 2, 3, 4)
    quasi = tuple(Column(name=c.name, kind=c.kind, quasi_identifier=c.name in ("age", "job")) for c in COLUMNS)
    assert (setting(columns=quasi).known.known, setting(columns=quasi).known.secrets) == ((0, 2), (1, 3, 4))
    flagged = tuple(Column(name=c.name, kind=c.kind, secret=c.name == "income") for c in COLUMNS)
    assert setting(columns=flagged).known.secrets == (1,)


def test_a_constant_secret_is_nothing_to_learn():
    rng = np.random.default_rng(1)
    train, holdout = frame_of(150, rng), frame_of(150, rng)
    train["job"] = holdout["job"] = "same"
    s = setting(train=train, holdout=holdout)
    assert 2 not in s.known.secrets
    only = setting(train=train, holdout=holdout, columns=tuple(Column(name=c.name, kind=c.kind, secret=c.name == "job") for c in COLUMNS))
    (result,) = attribute_inference(only.targets, only.encoder.encode(train), only.known, rng=rng, level=0.001)
    assert result.status == "not measurable"


@pytest.mark.parametrize(
    ("kind", "true", "guess", "right"),
    [
        ("integer", 100, 105, True),
        ("integer", 100, 106, False),
        ("integer", -100, -95, True),
        ("integer", 0, 1, False),
        ("decimal", 10.0, 10.5, True),
        ("decimal", 10.0, 9.4, False),
        ("datetime", 1.6e9, 1.6e9 + 18 * 86_400, True),
        ("datetime", 1.6e9, 1.6e9 + 19 * 86_400, False),
    ],
)
def test_a_number_is_guessed_within_five_percent(kind, true, guess, right):
    cells = np.array([true, guess], dtype=np.int64 if kind == "integer" else np.float64).view(np.uint64)
    assert right_guesses(cells[:1], cells[1:], Column(name="x", kind=kind))[0] == right


def test_inference_finds_copies_and_names_the_figures_of_every_secret():
    s = setting(700, 700)
    results = attribute_inference(s.targets, s.encoder.encode(s.train), s.known, rng=s.rng, level=1e-3)
    everyone, tenth, surest = results
    assert everyone.p_value < 1e-20
    assert everyone.interval[0] > 0.2
    assert everyone.value > everyone.baseline
    assert tenth.status == "not measurable"
    assert surest.p_value < 1e-10
    assert set(everyone.details["secrets"]) == {"age", "income", "job", "town", "owner"}
    assert everyone.details["secrets"]["job"]["rate"] > 0.95  # a copy gives the job away, unless two people agree in all else


def test_inference_about_the_population_is_no_leak():
    rng = np.random.default_rng(2)
    frames = [frame_of(700, rng) for _ in range(3)]
    for frame in frames:
        frame["town"] = frame["job"]  # a law of the population, known to every release
    s = setting(train=frames[0], holdout=frames[1])
    everyone, _, surest = attribute_inference(s.targets, s.encoder.encode(frames[2]), s.known, rng=s.rng, level=1e-3)
    assert everyone.details["secrets"]["town"]["rate"] > 0.9
    assert everyone.details["secrets"]["town"]["control"] > 0.9
    assert min(everyone.p_value, surest.p_value) > 0.01


def test_subgroups_are_named_by_declared_categories_only():
    columns = tuple(Column(name=c.name, kind=c.kind, quasi_identifier=c.name in ("owner", "town", "age"), categories=None) for c in COLUMNS)
    s = setting(900, 900, columns=columns)
    assert set(s.targets.measurable_groups()) == {"owner = False", "owner = True"}
    results = attribute_inference(s.targets, s.encoder.encode(s.train), s.known, rng=s.rng, level=1e-3)
    (worst,) = [result for result in results if result.metric.endswith("worst declared subgroup")]
    assert worst.p_value < 1e-10
    assert "owner = " in worst.details["worst"]


def test_links_by_hand():
    links = Links(left=np.array([[0], [0], [2]]), right=np.array([[0], [1], [2]]))
    np.testing.assert_array_equal(links.linked, [True, False, True])
    # claims: row 0 joins two left halves with one right half, row 2 one with one: 3, of which 2 are right
    assert links.precision(np.ones(3), 3) == pytest.approx(2 / 3)


def test_linkability_finds_copies_and_not_fresh_rows():
    s = setting(500, 500)
    copied, _, precision = linkability(s.targets, s.encoder.encode(s.train), s.known, rng=s.rng, level=1e-3)
    assert copied.p_value < 1e-20
    assert copied.control < 0.2 < copied.value
    assert precision.interval[0] > 0
    fresh, *_ = linkability(s.targets, s.encoder.encode(frame_of(500, s.rng)), s.known, rng=s.rng, level=1e-3)
    assert fresh.p_value > 0.01


def test_links_are_found_as_by_brute_force():
    s = setting(30, 30)
    release = s.encoder.encode(frame_of(80, s.rng))
    halves = column_halves(s.known, s.targets.rows)
    assert sorted(halves[0] + halves[1]) == [0, 1, 2, 3, 4]
    links = find_links(s.targets.rows, release, s.known.views, halves, n_neighbours=3)
    for half, found in zip(halves, (links.left, links.right), strict=True):
        a, b = restricted(s.targets.rows, s.known.views, half), restricted(release, s.known.views, half)
        distances = np.abs(a.numeric[:, None] - b.numeric).sum(2) + (a.categorical[:, None] != b.categorical).sum(2)
        picked = np.take_along_axis(distances, found, axis=1)
        np.testing.assert_allclose(picked, np.sort(distances, axis=1)[:, :3], atol=1e-5)


def test_counts_and_the_largest_excess_by_hand():
    hits, member = np.array([1, 1, 0, 1, 0, 0], dtype=bool), np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    cell = count(hits, member)
    assert (cell.found, cell.n, cell.control_found, cell.control_n) == (2, 3, 1, 3)
    assert cell.excess == pytest.approx(1 / 3)
    assert cell.p_value == pytest.approx(10 / 20)  # C(3,2) C(3,1) + C(3,3) C(3,0) of C(6,3) draws
    one = Counts(found=300, n=1000, control_found=200, control_n=1000)
    other = Counts(found=210, n=1000, control_found=205, control_n=1000)
    result = largest_excess(INFERENCE, {"a": one, "b": other}, level=1e-3)
    assert result.value == pytest.approx(0.1)
    assert result.details["worst"] == "a"
    assert result.p_value == pytest.approx(2 * one.p_value)
    assert result.interval[1] == one.interval(0.95)[1]
    assert result.interval[0] == one.interval(0.975)[0]
