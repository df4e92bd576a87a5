"""Neighbouring datasets through the whole chain of the tree engine: raw rows, typing, row limit, bought facts, bins, pairs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from fakes import NoNoise
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.dataset import Dataset, conform
from privsynth.privacy import Budget, DiscreteGaussian, ExponentialMechanism, PartitionSelection, Reservation
from privsynth.schema import Column, Schema, Table
from privsynth.tabular.tree import Tree

CITY_OF = {"1010": "Vienna", "1020": "Vienna", "4020": "Linz"}


class Answers(NoNoise):
    """Exact answers, remembered; a second one repeats those of a first, so that both runs are asked along one transcript."""

    def __init__(self, expected=None):
        self.expected, self.asked, self.spent = expected, [], []

    def _answer(self, kind, values, exact):
        answer = exact if self.expected is None else self.expected[len(self.asked)][2]
        self.asked.append((kind, np.asarray(values, dtype=float), answer))
        return answer

    def discrete_gaussian(self, counts, sigma):
        return self._answer("gaussian", counts, np.asarray(counts, dtype=np.int64))

    def discrete_laplace(self, counts, scale):
        exact = np.asarray(counts, dtype=np.int64)
        if self.expected is not None and len(self.expected[len(self.asked)][2]) != len(exact):
            raise CategoryGone
        return self._answer("laplace", counts, exact)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        return self._answer("choice", scores, int(np.argmax(scores)))

    def coins(self, n, rate):
        return np.ones(n, dtype=bool)  # rows are kept in file order, for one person independently of the others


class CategoryGone(Exception):
    """One person alone had a category: the case that the selection's delta pays for."""


def table(*, declared, m):
    free = {} if declared else {"bounds": None, "categories": None}
    columns = [
        Column(name="who", kind="identifier"),
        Column(name="postcode", kind="categorical", categories=tuple(CITY_OF), determines={"city": CITY_OF}),
        Column(name="city", kind="categorical"),
        Column(name="kind", kind="categorical", **({"categories": ("a", "b", "c")} | {k: v for k, v in free.items() if k == "categories"})),
        Column(name="amount", kind="decimal", step=0.01, **({"bounds": (0, 2000)} | {k: v for k, v in free.items() if k == "bounds"})),
        Column(
            name="day", kind="datetime", step=86_400, **({"bounds": (0, 86_400 * 900)} | {k: v for k, v in free.items() if k == "bounds"})
        ),
        Column(name="open", kind="boolean"),
    ]
    return Table(name="t", columns=tuple(columns), max_rows_per_person=m)


def raw(owners, seed):
    """Strings as a file holds them; every fourth amount is missing, and some lie beyond their bounds."""
    rng = np.random.default_rng(seed)
    n = len(owners)
    postcode = rng.choice(list(CITY_OF), n)
    return pd.DataFrame(
        {
            "who": [f"p{owner}" for owner in owners],
            "postcode": postcode,
            "city": [CITY_OF[code] for code in postcode],
            "kind": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
            "amount": [None if rng.random() < 0.25 else f"{rng.choice([5.5, 80, 1999.99])}" for _ in range(n)],
            "day": [str(np.datetime64("1970-01-01") + int(d)) for d in rng.integers(0, 900, n)],
            "open": rng.choice(["yes", "no", None], n),
        },
        dtype=object,
    )


class Spending(Reservation):
    """A reservation whose touches are remembered in the order in which they were taken."""

    def spend(self, stage, label):
        event = super().spend(stage, label)
        self.noise.spent.append(event)
        return event


def run(frame, table, noise):
    schema = Schema(tables=(table,), privacy_unit="who")
    train = Dataset(tables={"t": conform(frame, schema, table)[0]}, schema=schema, role="train")
    engine, budget = Tree(), Budget(epsilon=math.inf, delta=1e-3)
    touches = engine.touches(table, noise_scale=1e-3, budget=budget)
    # Neither the ledger nor the cost matters here, and writing them takes most of the time.
    reservation = Spending(
        ledger=None, population="t", event_id="", touches=touches, noise_scale=1e-3, budget=budget, cost=None, noise=noise, head=""
    )
    engine.fit(train, reservation=reservation)
    assert len(noise.spent) == len(noise.asked)


@given(
    owners=st.lists(st.integers(0, 7), min_size=10, max_size=50),
    m=st.integers(1, 3),
    removed=st.integers(0, 7),
    declared=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=20, deadline=None)
def test_one_person_changes_every_measurement_by_at_most_its_sensitivity(owners, m, removed, declared, seed):
    anchors = list(range(100, 120))  # people who stay, so that no measurement falls away for want of values
    frame, facts = raw([*anchors, *owners], seed), table(declared=declared, m=m)
    fewer = frame[frame["who"] != f"p{removed}"].reset_index(drop=True)
    first = Answers()
    run(frame, facts, first)
    second = Answers(first.asked)
    try:
        run(fewer, facts, second)
        assert second.spent == first.spent
    except CategoryGone:
        pass  # what was asked until then is compared
    for event, (kind, ours, _), (_, theirs, _) in zip(first.spent, first.asked, second.asked, strict=False):
        if isinstance(event, DiscreteGaussian):
            assert kind == "gaussian"
            assert np.linalg.norm(ours - theirs) <= m
        elif isinstance(event, PartitionSelection):
            assert kind == "laplace"
            # The order of categories is that of their first rows; sorting brings no two vectors further apart.
            assert np.abs(np.sort(ours) - np.sort(theirs)).sum() <= m
        else:
            assert isinstance(event, ExponentialMechanism)
            assert np.abs(ours - theirs).max() <= m + 1e-9
