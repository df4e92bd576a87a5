from __future__ import annotations

import pytest

from privsynth.errors import PlanError
from privsynth.text.advice import advice, require_people


def test_too_few_people_are_refused_unless_forced():
    with pytest.raises(PlanError, match="fewer than 1,000"):
        require_people(999)
    require_people(999, force=True)
    require_people(1000)


@pytest.mark.parametrize(
    ("people", "epsilon", "engine", "lines"),
    [(10_000, 3.0, "language-model", 0), (9_999, 3.0, "ngram", 1), (10_000, 2.9, "ngram", 1), (9_999, 2.9, "language-model", 3)],
)
def test_advice_warns_below_its_limits(people, epsilon, engine, lines):
    assert len(advice(people=people, epsilon=epsilon, engine=engine)) == lines
