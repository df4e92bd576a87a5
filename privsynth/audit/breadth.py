"""Beyond privacy: does the release serve everyone, cover the tails, and stay apart from what it must not touch?

Three measurements, internal like every audit. Fairness: how the synthetic rates of an outcome differ from train's, group by group (how
much worse a model trained on synthetic rows serves each group is told by ``utility``). Diversity: how much of train's rare
values and of its tails the release covers, beside a resample of train. Contamination: rows and word sequences that the release
shares with evaluation sets named by the user (Brown et al. 2020, arXiv:2005.14165, appendix C: a score on a contaminated set
measures memory). What two releases of the same people tell together is an attack: ``runner.run`` with ``earlier``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.audit.intervals import clopper_pearson, score_difference
from privsynth.dataset import Dataset, numbers
from privsynth.errors import AuditError

SMALLEST_GROUP = 30
RARE_SHARE = 0.01
TAIL = 0.01
N_GRAM = 8


@dataclass(frozen=True, kw_only=True)
class GroupRate:
    """How often an outcome occurs in one group, in train and in the release.

    Attributes:
        group: Column and category.
        outcome: Column and value that is counted.
        train: Rate in train.
        synthetic: Rate in the release.
        interval: Of synthetic minus train; 95 % unless said otherwise.
        n_train: Rows of the group in train; ``n_synthetic`` alike.
    """

    group: str
    outcome: str
    train: float
    synthetic: float
    interval: tuple[float, float]
    n_train: int
    n_synthetic: int


def group_rates(
    train: Dataset, synthetic: Dataset, outcome: str, value: object, groups: Sequence[str], *, confidence: float = 0.95
) -> tuple[GroupRate, ...]:
    """Rates of an outcome by group: statistical parity as the release tells it, beside what train tells.

    Args:
        train: Real rows.
        synthetic: The release.
        outcome: Column of the outcome.
        value: Its value that is counted, declared by a person.
        groups: Categorical or boolean columns; groups with fewer than 30 rows on a side are left out.
        confidence: Of each interval, without correction for their number.

    Raises:
        AuditError: A column is missing.
    """
    _require_columns((outcome, *groups), train, synthetic)
    rates = []
    for name in groups:
        declared = train.table[name].categories
        for category in declared or sorted(train.frame[name].dropna().unique(), key=str):
            sides = [_outcomes(dataset.frame, name, category, outcome, value) for dataset in (synthetic, train)]
            if min(len(side) for side in sides) < SMALLEST_GROUP:
                continue
            own, real = sides
            interval = score_difference(int(own.sum()), len(own), int(real.sum()), len(real), confidence=confidence)
            rates.append(
                GroupRate(
                    group=f"{name} = {category}",
                    outcome=f"{outcome} = {value}",
                    train=float(real.mean()),
                    synthetic=float(own.mean()),
                    interval=interval,
                    n_train=len(real),
                    n_synthetic=len(own),
                )
            )
    return tuple(rates)


def _outcomes(frame: pd.DataFrame, group: str, category: object, outcome: str, value: object) -> npt.NDArray[np.bool_]:
    """Whether each row of the group with a known outcome has the value."""
    inside = (frame[group] == category).fillna(False).to_numpy(dtype=bool) & frame[outcome].notna().to_numpy(dtype=bool)
    return np.asarray((frame[outcome][inside] == value).to_numpy(dtype=bool))


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of one column of train the release covers; each in [0, 1].

    Attributes:
        column: Its name.
        values: Share of train's distinct values that occur in the release, for categories; None for numbers.
        values_of_resample: The same for as many rows drawn from train with replacement: what sampling alone would cover.
        rare: Share of the release's rows that hold one of train's rare categories (below 1 % each); None for numbers.
        rare_of_train: The same for train.
        tails: Share of the release below train's 1 % or above its 99 % quantile; None for categories.
        tails_of_train: The same for train; below 2 % where many values are equal.
    """

    column: str
    values: float | None = None
    values_of_resample: float | None = None
    rare: float | None = None
    rare_of_train: float | None = None
    tails: float | None = None
    tails_of_train: float | None = None


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Coverage by column, and how many rows repeat another row of the release.

    Attributes:
        columns: One entry per modelled column.
        repeated: Share of the release's rows that equal an earlier one, in [0, 1].
        repeated_of_train: The same for train.
    """

    columns: tuple[Coverage, ...]
    repeated: float
    repeated_of_train: float

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON; it names columns and holds no value of theirs."""
        return asdict(self)


def diversity(train: Dataset, synthetic: Dataset, *, rng: np.random.Generator) -> Diversity:
    """Distinct values, rare categories, tails and repetition of the release, beside train."""
    columns = train.table.modelled
    _require_columns([column.name for column in columns], train, synthetic)
    names = [column.name for column in columns]
    covered = []
    for column in columns:
        real, own = train.frame[column.name], synthetic.frame[column.name]
        if column.is_numeric:
            low, high = np.nanquantile(numbers(real, column), [TAIL, 1 - TAIL]) if real.notna().any() else (0.0, 0.0)
            tails = [float(((part < low) | (part > high)).mean()) for part in (numbers(own, column), numbers(real, column))]
            covered.append(Coverage(column=column.name, tails=tails[0], tails_of_train=tails[1]))
            continue
        shares = real.value_counts(normalize=True)
        drawn = real.iloc[rng.integers(len(real), size=len(own))]
        rare = shares.index[shares < RARE_SHARE]
        covered.append(
            Coverage(
                column=column.name,
                values=_share_found(shares.index, own),
                values_of_resample=_share_found(shares.index, drawn),
                rare=float(own.isin(rare).mean()),
                rare_of_train=float(real.isin(rare).mean()),
            )
        )
    repeated = [float(frame[names].duplicated().mean()) for frame in (synthetic.frame, train.frame)]
    return Diversity(columns=tuple(covered), repeated=repeated[0], repeated_of_train=repeated[1])


def _share_found(values: pd.Index, where: pd.Series) -> float:
    return float(values.isin(where.dropna().unique()).mean()) if len(values) else 1.0


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """What a release shares with one evaluation set.

    Attributes:
        name: The set, as the user named it.
        shared: Items of the set (rows, or texts with a shared sequence of words) that occur in the release.
        n: Items of the set.
        interval: Clopper-Pearson interval of the share.
    """

    name: str
    shared: int
    n: int
    interval: tuple[float, float]


def row_contamination(synthetic: pd.DataFrame, evaluation: Mapping[str, pd.DataFrame]) -> tuple[Contamination, ...]:
    """Whole rows of each evaluation set that occur in the release, compared as text on the columns of the set.

    Raises:
        AuditError: A set has a column that the release lacks.
    """
    found = []
    for name, frame in evaluation.items():
        missing = [column for column in frame.columns if column not in synthetic.columns]
        if missing:
            raise AuditError(f"evaluation set {name!r} has column {missing[0]!r}, which the release lacks; expected its columns in both")
        own = set(pd.util.hash_pandas_object(synthetic[list(frame.columns)].astype(str), index=False))
        shared = int(pd.util.hash_pandas_object(frame.astype(str), index=False).isin(own).sum())
        found.append(Contamination(name=name, shared=shared, n=len(frame), interval=clopper_pearson(shared, len(frame))))
    return tuple(found)


def text_contamination(
    synthetic: Iterable[str], evaluation: Mapping[str, Sequence[str]], *, n_gram: int = N_GRAM
) -> tuple[Contamination, ...]:
    """Texts of each evaluation set that share a sequence of ``n_gram`` words with a released text, case and signs aside."""
    own = {gram for text in synthetic for gram in _grams(text, n_gram)}
    found = []
    for name, texts in evaluation.items():
        shared = sum(not own.isdisjoint(_grams(text, n_gram)) for text in texts)
        found.append(Contamination(name=name, shared=shared, n=len(texts), interval=clopper_pearson(shared, len(texts))))
    return tuple(found)


def _grams(text: str, n_gram: int) -> set[tuple[str, ...]]:
    words = "".join(sign if sign.isalnum() else " " for sign in text.casefold()).split()
    return {tuple(words[start : start + n_gram]) for start in range(len(words) - n_gram + 1)}


@dataclass(frozen=True, kw_only=True)
class Breadth:
    """All measurements of this module on one release.

    Attributes:
        rates: Rates of the target by group; none without a target that is categorical or boolean.
        diversity: Coverage and repetition.
        contamination: By evaluation set that the plan names.
    """

    rates: tuple[GroupRate, ...]
    diversity: Diversity
    contamination: tuple[Contamination, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON; it names columns and declared categories only."""
        return asdict(self)


def breadth(
    train: Dataset, synthetic: Dataset, evaluation: Mapping[str, pd.DataFrame], groups: Sequence[str], *, rng: np.random.Generator
) -> Breadth:
    """Everything on one release: rates of the table's target by group, coverage, and what it shares with evaluation sets.

    Args:
        train: Real rows.
        synthetic: The release.
        evaluation: Typed frames with columns of the release, by name.
        groups: Categorical or boolean columns with declared categories.
        rng: Draws the resample that coverage is compared with.
    """
    target = train.table[train.table.target] if train.table.target else None
    values: Sequence[object] = ()
    if target is not None and target.name in synthetic.frame:
        values = (True,) if target.kind == "boolean" else (target.categories or ())
    rates = [rate for value in values for rate in group_rates(train, synthetic, target.name if target else "", value, groups)]
    return Breadth(
        rates=tuple(rates),
        diversity=diversity(train, synthetic, rng=rng),
        contamination=row_contamination(synthetic.frame, evaluation),
    )


def _require_columns(names: Iterable[str], *datasets: Dataset) -> None:
    for dataset in datasets:
        missing = [name for name in names if name not in dataset.frame.columns]
        if missing:
            raise AuditError(f"column {missing[0]!r} is not in the {dataset.role} table; expected the same columns in all")
