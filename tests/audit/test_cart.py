"""Sequential trees: every value from train, dependence kept, leaves of one row copy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.audit.cart import sequential_trees
from privsynth.errors import AuditError
from privsynth.schema import Column

COLUMNS = (Column(name="x", kind="decimal"), Column(name="y", kind="integer"), Column(name="c", kind="categorical"))


def frame(n: int, rng: np.random.Generator) -> pd.DataFrame:
    x = np.round(rng.normal(0, 1, n), 6)
    y = pd.Series(pd.array(np.rint(100 * x + rng.normal(0, 5, n)).astype(int), dtype="Int64"))
    y[:5] = pd.NA
    return pd.DataFrame({"x": x, "y": y, "c": np.where(x > 0, "high", "low").astype(object)})


def test_values_types_and_dependence_are_kept():
    rng = np.random.default_rng(0)
    train = frame(800, rng)
    drawn = sequential_trees(train, COLUMNS, 500, rng=rng, leaf=5)
    assert len(drawn) == 500
    assert (drawn.dtypes == train.dtypes).all()
    for name in ("x", "y", "c"):
        assert set(drawn[name].dropna()) <= set(train[name].dropna())
    assert (drawn["c"] == np.where(drawn["x"] > 0, "high", "low")).mean() > 0.98
    both = drawn.dropna()
    assert np.corrcoef(both["x"], both["y"].astype(float))[0, 1] > 0.98


def test_leaves_of_one_row_copy_and_larger_ones_copy_less():
    rng = np.random.default_rng(1)
    train = frame(400, rng)
    rows = set(train.dropna().itertuples(index=False, name=None))

    def copied(leaf: int) -> float:
        drawn = sequential_trees(train, COLUMNS, 300, rng=rng, leaf=leaf).dropna()
        return float(np.mean([row in rows for row in drawn.itertuples(index=False, name=None)]))

    assert copied(1) > 0.9
    assert copied(50) < 0.2


def test_nothing_to_fit_is_refused():
    train = frame(10, np.random.default_rng(2))
    with pytest.raises(AuditError, match="train=0"):
        sequential_trees(train.head(0), COLUMNS, 5, rng=np.random.default_rng(0))
    with pytest.raises(AuditError, match="leaf=0"):
        sequential_trees(train, COLUMNS, 5, rng=np.random.default_rng(0), leaf=0)
