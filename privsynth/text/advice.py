"""Is there enough to learn from? What a person should know before a text engine spends anything; from public facts alone.

Limits follow published results (Yue et al. 2023, arXiv:2210.14348; Kurakin et al. 2023, arXiv:2306.01684: hundreds of thousands of texts)
and our own benchmarks on 8,500 short texts: with few people or a small epsilon, noise leaves the style of the texts and little of what
they say.
"""

from __future__ import annotations

from privsynth.errors import PlanError

FEWEST_PEOPLE = 1_000
GOOD_PEOPLE = 10_000
GOOD_EPSILON = 3.0


def require_people(people: int, *, force: bool = False) -> None:
    """Refuse to model the texts of too few people.

    Args:
        people: A declared number.
        force: A person wants it anyway.

    Raises:
        PlanError: There are fewer than ``FEWEST_PEOPLE``.
    """
    if people < FEWEST_PEOPLE and not force:
        raise PlanError(
            f"people={people}; texts of fewer than {FEWEST_PEOPLE:,} people teach a model nothing under noise: drop the column, or force it"
        )


def advice(*, people: int, epsilon: float, engine: str) -> tuple[str, ...]:
    """Lines for a person who is about to spend ``epsilon`` on the texts of so many people with the engine of this name."""
    lines = []
    if people < GOOD_PEOPLE:
        lines.append(f"texts of {people:,} people are few: below {GOOD_PEOPLE:,} expect their style, not their content")
    if epsilon < GOOD_EPSILON:
        lines.append(f"epsilon={epsilon:g} for texts is small: below {GOOD_EPSILON:g} expect their words, not their sentences")
    if engine != "ngram" and (people < GOOD_PEOPLE or epsilon < GOOD_EPSILON):
        lines.append("compare with the engine 'ngram' on public texts of the same size: noise takes less from counts than from gradients")
    return tuple(lines)
