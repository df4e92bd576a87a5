import math

import numpy as np
import pandas as pd
import pytest
from tabular_fakes import NoNoise, SeededNoise

from privsynth.schema import Column
from privsynth.tabular.facts import bounds_from_counts, bounds_grid, count_on_grid, select_categories, selection_threshold


def chance_of_at_least(k, scale):
    """Naive oracle: P[Z >= k] of discrete Laplace noise, summed term by term."""
    a = math.exp(-1 / scale)
    return sum((1 - a) / (1 + a) * a ** abs(z) for z in range(k, k + int(60 * scale) + 60))


@pytest.mark.parametrize(("epsilon", "delta", "m"), [(1.0, 1e-6, 1), (0.1, 1e-7, 1), (2.0, 1e-5, 3), (0.05, 1e-8, 4)])
def test_the_threshold_is_the_smallest_that_keeps_delta(epsilon, delta, m):
    threshold = selection_threshold(epsilon=epsilon, delta=delta, max_rows_per_person=m)
    assert m * chance_of_at_least(threshold - 1, m / epsilon) <= delta
    assert m * chance_of_at_least(threshold - 2, m / epsilon) > delta


def select(values, units, **changes):
    arguments = {"epsilon": 1.0, "delta": 1e-6, "max_rows_per_person": 1, "noise": NoNoise()} | changes
    return select_categories(pd.Series(values, dtype=object), np.array(units, dtype=object), **arguments)


def test_a_category_of_one_person_is_not_shown_and_common_ones_are_sorted():
    values = ["b"] * 20 + ["a"] * 20 + ["SECRET"] + [None] * 30
    assert select(values, range(len(values))) == ("a", "b")


def test_rows_of_one_person_count_once():
    assert select(["x"] * 40, ["same person"] * 40, max_rows_per_person=40) == ()


def test_each_person_counts_once_in_a_category_whatever_the_rows():
    values, units = ["a", "a", "b", "b", "a", "c"], ["p", "p", "p", "q", "q", "q"]
    noise = NoNoise()
    select(values, units, max_rows_per_person=3, noise=noise)
    ((_, counts, scale),) = noise.asked
    assert counts.tolist() == [2, 2, 1]
    assert scale == 3.0


@pytest.mark.statistical
def test_a_unique_category_passes_no_more_often_than_delta():
    # delta = 0.05: 1,200 trials expect at most 60 passes, sd 7.6; 5 sigma, false alarms below 1 in 3 million.
    noise = SeededNoise(5)
    shown = sum(select(["only me"], ["p"], delta=0.05, noise=noise) == ("only me",) for _ in range(1200))
    assert 5 < shown < 98


def test_bounds_hold_the_bulk_and_stop_at_powers_of_two():
    column = Column(name="x", kind="integer")
    values = pd.Series(pd.array([0] * 50 + [3] * 50 + [60] * 50 + [10**9], dtype="Int64"))
    counts = count_on_grid(values, column)
    assert counts.sum() == 151
    assert bounds_from_counts(counts, 3.0, column) == (0.0, 63.0)


def test_bounds_of_dates_are_whole_years():
    column = Column(name="x", kind="datetime", step=86400)
    values = pd.Series(np.array(["2019-05-01"] * 40 + ["2021-02-03"] * 40 + ["0350-01-01"], dtype="datetime64[s]"))
    low, high = bounds_from_counts(count_on_grid(values, column), 2.0, column)
    assert np.array([low, high]).astype("datetime64[s]").astype(str).tolist() == ["2019-01-01T00:00:00", "2021-12-31T00:00:00"]


def test_negative_numbers_are_found():
    column = Column(name="x", kind="decimal", step=0.01)
    assert bounds_from_counts(count_on_grid(pd.Series([-3.5] * 99), column), 1.0, column) == (-5.12, -2.57)


@pytest.mark.statistical
def test_an_empty_column_gets_no_bounds_from_noise():
    # The threshold lets noise pass in at most 1 of 20 columns; 200 columns expect at most 10, 31 is over 6 sigma.
    column, noise = Column(name="x", kind="integer"), SeededNoise(3)
    empty = np.zeros(len(bounds_grid(column)) - 1, dtype=np.int64)
    assert sum(bounds_from_counts(noise.discrete_gaussian(empty, 20.0), 20.0, column) is not None for _ in range(200)) < 31
