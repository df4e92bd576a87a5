"""Would these attacks have found a leak in this data, and do they stay silent where there is none?

The attacks run again on releases whose leak is known, made of the user's own records. Negative: fresh
records (a part of the holdout served as the release), and columns shuffled independently of each other. Positive: copies
of train, copies with 2 % noise, sequential trees with leaves of five rows, and 1 % copies among shuffled rows. The detection
floor is the smallest share of copies, planted in the release under audit, that a replay attack flags, for exact copies and for
copies with 2 % noise: "no leak found" means nothing without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.audit.attacks import REPLAY_BLANKS, Prepared, attack, attack_by_replay, neighbours, prepare
from privsynth.audit.base import AuditResult, ControlResult, flagged_among
from privsynth.audit.cart import sequential_trees
from privsynth.audit.encoding import Case, Encoder, IntArray, Records, concatenate, make_case
from privsynth.audit.membership import MIN_NON_MEMBERS
from privsynth.audit.replay import MANY_ROWS, Neighbours, combination_points
from privsynth.dataset import numbers
from privsynth.schema import Column

PLANTED_SHARES = (0.001, 0.003, 0.01, 0.03, 0.1)
PARTIAL_SHARE = 0.01
NOISE = 0.02
LEAF = 5
MAX_CONTROL_ROWS = 50_000
"""Rows of a control release at most."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What controls are made of.

    Attributes:
        encoder: The encoding of the run.
        train: Typed frame.
        holdout: Typed frame.
        units: Person behind each row of train and holdout, None if each row is one person.
        n_release: Rows of a control release: as many as the release under audit has, ``MAX_CONTROL_ROWS`` at most.
    """

    encoder: Encoder
    train: pd.DataFrame
    holdout: pd.DataFrame
    units: tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]] | None
    n_release: int

    @property
    def columns(self) -> tuple[Column, ...]:
        """The audited columns."""
        return self.encoder.columns


def shuffled_columns(material: Material, *, rng: np.random.Generator) -> pd.DataFrame:
    """Rows whose cells come from independent rows, each of train or holdout in proportion to their sizes.

    Train alone would be no negative: a value that only one person has (an income to the cent) would come from train only.
    """
    pool = pd.concat([material.train, material.holdout], ignore_index=True)
    n_pool, n = len(pool), material.n_release
    draws = {column.name: rng.choice(n_pool, n, replace=n > n_pool) for column in material.columns}
    return pd.DataFrame({name: pool[name].iloc[rows].reset_index(drop=True) for name, rows in draws.items()})


def copies(material: Material, *, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of train as they are, each at most once unless the release is longer than train."""
    n_train, n = len(material.train), material.n_release
    return material.train.iloc[rng.choice(n_train, n, replace=n > n_train)].reset_index(drop=True)


def noisy_copies(material: Material, *, rng: np.random.Generator, noise: float = NOISE, flips: float = 0.0) -> pd.DataFrame:
    """Rows of train with every number moved by normal noise, on the column's grid.

    Args:
        material: Holds train.
        rng: Draws rows and noise.
        noise: Standard deviation over the column's spread.
        flips: Chance that a category or boolean is replaced by that of a random row.
    """
    frame = copies(material, rng=rng)
    return pd.DataFrame(
        {column.name: _disturbed(frame[column.name], column, material.encoder, noise, flips, rng) for column in material.columns}
    )


def _disturbed(
    values: pd.Series[Any], column: Column, encoder: Encoder, noise: float, flips: float, rng: np.random.Generator
) -> pd.Series[Any]:
    n = len(values)
    if not column.is_numeric:
        other = values.iloc[rng.permutation(n)].reset_index(drop=True)
        return values.where(pd.Series(rng.random(n) >= flips), other)
    moved = numbers(values, column) + rng.normal(0, noise * encoder.scales[column.name].spread, n)
    if column.kind == "decimal":
        return pd.Series(moved)
    null = values.isna().to_numpy(dtype=bool)
    whole = np.rint(np.where(null, 0, moved)).astype(np.int64)
    if column.kind == "datetime":
        return pd.Series(whole.astype("datetime64[s]")).mask(pd.Series(null))
    return pd.Series(pd.arrays.IntegerArray(whole, null))


def fresh_records(material: Material, *, alpha: float, max_targets: int, rng: np.random.Generator) -> ControlResult | None:
    """A random half of the held-out people as the release, audited with the other half as holdout; None if either half is too small."""
    person = np.arange(len(material.holdout)) if material.units is None else pd.factorize(material.units[1])[0]
    n_people = int(person.max()) + 1
    if n_people < 2 * MIN_NON_MEMBERS:
        return None
    released = (rng.permutation(n_people) < n_people // 2)[person]
    holdout = material.encoder.encode(material.holdout)
    units = None if material.units is None else (material.units[0], material.units[1][~released])
    case = make_case(material.encoder.encode(material.train), holdout.take(~released), units=units, rng=rng)
    prepared = prepare(case, material.encoder, alpha=alpha, rng=rng, max_targets=max_targets)
    release = holdout.take(np.flatnonzero(released)[: material.n_release])
    return _judged("fresh records", "negative", 0.0, attack(prepared, release, rng=rng, control=True), alpha)


CONTROL_STEPS = ("fresh records", "copies of train", "copies with 2 % noise", "sequential trees", "shuffled columns", "planted copies")


def run_controls(
    material: Material,
    prepared: Prepared,
    base: Records | None,
    *,
    alpha: float,
    max_targets: int,
    rng: np.random.Generator,
    step: Callable[[str], None],
) -> tuple[tuple[ControlResult, ...], dict[str, float | None], dict[str, float | None]]:
    """All controls, and the floors of each replay attack for exact copies and for copies with 2 % noise.

    Args:
        material: What the controls are made of.
        prepared: The targets of the run under audit, which the controls share (fresh records have their own).
        base: Rows in which copies are planted for the floors: the release under audit, or None if a replay attack flags it, so
            that planted copies could not be told from its own; shuffled rows then.
        alpha: Family-wise level of each control.
        max_targets: Members, and as many non-members, whose membership is guessed.
        rng: Draws everything.
        step: Told the name of each control before it runs.
    """

    def positive(name: str, frame: pd.DataFrame) -> ControlResult:
        results = attack(prepared, material.encoder.encode(frame), rng=rng, control=True)
        return _judged(name, "positive", 1.0, results, alpha)

    step(CONTROL_STEPS[0])
    fresh = fresh_records(material, alpha=alpha, max_targets=max_targets, rng=rng)
    controls = [fresh] if fresh else []
    step(CONTROL_STEPS[1])
    exact = copies(material, rng=rng)
    controls.append(positive("copies of train", exact))
    step(CONTROL_STEPS[2])
    noisy = noisy_copies(material, rng=rng)
    controls.append(positive("copies with 2 % noise", noisy))
    step(CONTROL_STEPS[3])
    trees = sequential_trees(material.train, material.columns, material.n_release, leaf=LEAF, rng=rng)
    controls.append(positive(f"sequential trees, leaves of {LEAF}", trees))
    step(CONTROL_STEPS[4])
    shuffled, copied = material.encoder.encode(shuffled_columns(material, rng=rng)), material.encoder.encode(exact)
    controls.append(_judged("shuffled columns", "negative", 0.0, attack(prepared, shuffled, rng=rng, control=True), alpha))
    partial = planted_release(shuffled, copied, PARTIAL_SHARE)
    partial_results = attack(prepared, partial, rng=rng, control=True)
    controls.append(_judged("1 % copies among shuffled rows", "positive", PARTIAL_SHARE, partial_results, alpha))
    step(CONTROL_STEPS[5])
    whole = shuffled if base is None else base
    ground = whole if len(whole) <= MANY_ROWS else whole.take(rng.choice(len(whole), MANY_ROWS, replace=False))
    found = attack_planted(prepared, ground, {"exact": copied, "noisy": material.encoder.encode(noisy)}, rng=rng)
    return tuple(controls), floors(found["exact"], prepared.level), floors(found["noisy"], prepared.level)


def planted_count(n_release: int, share: float) -> int:
    """Planted rows of a release: the share, rounded, at least one if it is above zero."""
    return max(round(share * n_release), 1) if share > 0 else 0


def planted_release(base: Records, copied: Records, share: float) -> Records:
    """The base with its first rows replaced by copies; larger shares contain the copies of smaller ones."""
    n = planted_count(len(base), share)
    return concatenate([copied.take(np.arange(n)), base.take(np.arange(n, len(base)))])


def attack_planted(
    prepared: Prepared, base: Records, planted: Mapping[str, Records], *, rng: np.random.Generator
) -> dict[str, dict[float, list[AuditResult]]]:
    """The replay attacks at every planted share, by kind of copy and by share; neighbours of base and copies are searched once."""
    cases = [(kind, share) for kind in planted for share in PLANTED_SHARES]
    releases = [planted_release(base, planted[kind], share) for kind, share in cases]
    points = _points_or_none(prepared.case, releases, rng)
    most = planted_count(len(base), max(PLANTED_SHARES))
    parts = [base, *(copied.take(np.arange(min(most, len(copied)))) for copied in planted.values())]
    near = _neighbours_or_none(prepared.case, parts, rng)
    results: dict[str, dict[float, list[AuditResult]]] = {kind: {} for kind in planted}
    for number, (kind, share) in enumerate(cases):
        own = None if points is None else points[number]
        joined = None
        if near is not None:
            joined = _planted_neighbours(near[0], near[1 + list(planted).index(kind)], len(base), share, rng)
        results[kind][share] = attack_by_replay(prepared, releases[number], rng=rng, points=own, near=joined)
    return results


def _planted_neighbours(base: Neighbours, copied: Neighbours, n_base: int, share: float, rng: np.random.Generator) -> Neighbours:
    """Neighbours of a planted release from those of the base and of the copies; copies are sampled at the rate of the base."""
    rate = len(base.rows) / n_base
    n = min(planted_count(n_base, share), len(copied.rows))
    some = rng.permutation(n)[: max(round(rate * n), 1)]
    return _joined(copied, some, base, round(rate * n))


def _points_or_none(case: Case, releases: Sequence[Records], rng: np.random.Generator) -> npt.NDArray[np.int32] | None:
    """Points for all releases at once; None if that crashes: the guarded attack then tries by itself and reports the crash."""
    try:
        return combination_points(case, releases, rng=rng)
    except Exception:
        return None


def _neighbours_or_none(case: Case, parts: Sequence[Records], rng: np.random.Generator) -> list[Neighbours] | None:
    """Neighbours of each part; None if that crashes, as above."""
    try:
        return [neighbours(case, part, rng=rng) for part in parts]
    except Exception:
        return None


def _joined(planted: Neighbours, some: IntArray, base: Neighbours, skip: int) -> Neighbours:
    """Neighbours of some planted rows and of the base without as many rows."""
    parts = planted.take(some), base.take(np.arange(skip, len(base.rows)))
    return Neighbours(
        rows=np.concatenate([part.rows for part in parts]),
        distances=np.concatenate([part.distances for part in parts]),
        candidates=np.concatenate([part.candidates for part in parts]),
        ratios=np.concatenate([part.ratios for part in parts]),
    )


def floors(planted: dict[float, list[AuditResult]], level: float) -> dict[str, float | None]:
    """By attack, the smallest planted share from which on every larger one was flagged too; None if the largest was not."""
    found: dict[str, float | None] = {blank.audit: None for blank in REPLAY_BLANKS}
    for audit in found:
        for share in sorted((share for share in planted if share > 0), reverse=True):
            result = next(result for result in planted[share] if result.audit == audit)
            if result.p_value is None or result.p_value > level:
                break
            found[audit] = share
    return found


def _judged(
    name: str, kind: Literal["negative", "positive"], planted_share: float, results: Sequence[AuditResult], alpha: float
) -> ControlResult:
    flagged_by = tuple(result.key for result in flagged_among(results, alpha))
    return ControlResult(name=name, kind=kind, planted_share=planted_share, flagged_by=flagged_by, results=tuple(results))
