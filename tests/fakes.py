"""Values that stand for the world in tests: noise that can be predicted, and small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.dataset import Dataset, conform
from privsynth.schema import Column, Schema, Table


class SeededNoise:
    """A NoiseSource with numpy's generator: for tests only, since whoever knows the seed can subtract the noise."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def discrete_gaussian(self, counts, sigma):
        return counts + np.rint(self._rng.normal(0, sigma, np.shape(counts))).astype(np.int64)

    def discrete_laplace(self, counts, scale):
        return counts + np.rint(self._rng.laplace(0, scale, np.shape(counts))).astype(np.int64)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        return int(np.argmax(np.asarray(scores) + self._rng.gumbel(0, 2 * sensitivity / epsilon, len(scores))))

    def coins(self, n, rate):
        return self._rng.random(n) < rate

    def normals(self, n):
        return self._rng.standard_normal(n)


class NoNoise:
    """A NoiseSource that adds nothing: what a mechanism measures before noise."""

    def discrete_gaussian(self, counts, sigma):
        return np.asarray(counts, dtype=np.int64)

    def discrete_laplace(self, counts, scale):
        return np.asarray(counts, dtype=np.int64)

    def noisy_max(self, scores, *, epsilon, sensitivity):
        return int(np.argmax(scores))

    def coins(self, n, rate):
        return np.arange(n) % 2 == 0

    def normals(self, n):
        return np.zeros(n)


def people(n: int, seed: int = 0) -> pd.DataFrame:
    """A raw frame of n people with every kind of column."""
    rng = np.random.default_rng(seed)
    segment = rng.choice(["retail", "private", "business"], n, p=[0.7, 0.2, 0.1])
    income = np.round(np.where(segment == "private", 90_000, 50_000) * rng.lognormal(0, 0.3, n), 2)
    return pd.DataFrame(
        {
            "person": [f"P{i:06d}" for i in range(n)],
            "segment": segment,
            "age": rng.integers(18, 90, n),
            "income": np.minimum(income, 499_999.0),
            "joined": [str(np.datetime64("2015-01-01") + int(day)) for day in rng.integers(0, 3000, n)],
            "active": rng.random(n) < np.where(segment == "retail", 0.8, 0.3),
        }
    )


def people_schema() -> Schema:
    """The declared schema of ``people``."""
    return Schema(
        tables=(
            Table(
                name="people",
                target="active",
                columns=(
                    Column(name="person", kind="identifier"),
                    Column(name="segment", kind="categorical", categories=("retail", "private", "business"), nullable=False),
                    Column(name="age", kind="integer", bounds=(18, 110), nullable=False),
                    Column(name="income", kind="decimal", bounds=(0, 500_000), step=0.01),
                    Column(name="joined", kind="datetime", bounds=(1_420_070_400, 1_735_689_600), step=86_400),
                    Column(name="active", kind="boolean", nullable=False),
                ),
            ),
        ),
        privacy_unit="person",
    )


def people_dataset(n: int, seed: int = 0) -> Dataset:
    """``people`` as a checked dataset."""
    schema = people_schema()
    frame, _ = conform(people(n, seed), schema, schema.tables[0])
    return Dataset(tables={"people": frame}, schema=schema, role="confidential")
