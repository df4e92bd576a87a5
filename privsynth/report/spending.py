"""How epsilon grows from step to step of one release: the ledger as a waterfall.

Epsilons of single mechanisms do not add up, so that a step's height is the difference between what all touches up to it cost and
what all before it cost, by the same accountant that reports the total.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from privsynth.privacy.accounting import total
from privsynth.privacy.events import Touch

_OBJECT = re.compile(r"( of .*| \d+)$")


def steps(touches: Sequence[Touch], delta: float) -> list[dict[str, Any]]:
    """Touches with a cost, neighbours of one kind joined, each with the epsilon reached after it.

    Args:
        touches: Every planned use of private data, in order.
        delta: The delta of the release, in (0, 1).

    Returns:
        One dict a step: ``stage``, ``label``, ``mechanisms`` (how many), ``epsilon_after``; the last has the release's epsilon. Infinite
        from the first touch that is released without proof.
    """
    found, spent = [], 0
    for stage, label, group in _groups([touch for touch in touches if touch.touch_class != "internal"]):
        spent += len(group)
        costly = [touch for touch in touches if touch.touch_class != "internal"][:spent]
        found.append({"stage": stage, "label": label, "mechanisms": len(group), "epsilon_after": total(costly, delta).epsilon})
    return found


def _groups(touches: Sequence[Touch]) -> Iterator[tuple[str, str, list[Touch]]]:
    """Neighbouring touches whose labels differ in their object alone (a column, a number)."""
    for (stage, label), group in groupby(touches, key=lambda touch: (touch.stage, _OBJECT.sub("", touch.label))):
        yield stage, label, list(group)
