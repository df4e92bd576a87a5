"""Does a model trained on the synthetic table predict as well on real people as one trained on the real table?

Train on synthetic, test on real (Esteban, Hyland & Rätsch 2017, arXiv:1706.02633): gradient boosting and a linear model are
fitted on the synthetic rows and scored on the real holdout, beside the same models fitted on train (the ceiling) and on train
with its target shuffled (the floor). Uncertainty is a bootstrap over the people of the holdout; the gap to the ceiling is
paired, both models being scored on the same resampled people. The same predictions are scored segment by segment: a release
that serves everyone well on average may serve a small group badly.

Everything here is computed from private data and stays internal. A score that a person may tune on takes the tuning part of
the holdout, never the part that the privacy audits use.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from privsynth.audit.scoring import BoolArray, Counts, FloatArray, Interval, bootstrap_weights, percentile_interval, score_in_blocks
from privsynth.dataset import Dataset, numbers
from privsynth.errors import AuditError
from privsynth.schema import Column, Table

Family = Literal["boosting", "linear"]
Metric = Literal["roc_auc", "r2"]

FAMILIES: tuple[Family, ...] = ("boosting", "linear")
_MAX_CATEGORIES = 254
"""Categories of a feature told apart; scikit-learn's histogram boosting takes 255 bins, one of them for the rest."""
_MAX_ONE_HOT = 50
_MIN_ROWS = 20
MIN_SEGMENT_ROWS = 50
"""Holdout rows of a segment, and of everyone else; with fewer its interval would say nothing."""
MIN_CLASS_ROWS = 5
"""Holdout rows of each of two classes in a segment, so that resamples hold both."""
MAX_SEGMENTS = 40
_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class SegmentScore:
    """One model family's scores on one segment of the real holdout; figures as in ``FamilyScore``.

    Attributes:
        segment: Column and declared category.
        n_holdout: Rows of the segment.
        synthetic: Trained on all synthetic rows, scored on this segment.
        ceiling: Trained on real train.
        gap: ``ceiling - synthetic``.
        excess_gap: The gap here minus the gap on everyone else: above 0, the release serves this segment worse than the others.
        excess_interval: Paired bootstrap interval of ``excess_gap``, without correction for the number of segments.
    """

    segment: str
    n_holdout: int
    synthetic: float
    interval: Interval
    ceiling: float
    gap: float
    gap_interval: Interval
    excess_gap: float
    excess_interval: Interval


@dataclass(frozen=True, kw_only=True)
class FamilyScore:
    """One model family's scores on the real holdout; higher is better.

    Attributes:
        synthetic: Trained on the synthetic table, mean over seeds; ROC AUC in [0, 1] or R2 in (-inf, 1].
        interval: Bootstrap interval of ``synthetic`` over the people of the holdout.
        ceiling: Trained on real train.
        floor: Trained on train with its target shuffled, mean over seeds: what no information scores. Near AUC .5 or R2 0,
            but a fit to noise over a few strong features may lie .1 off by chance.
        gap: ``ceiling - synthetic``.
        gap_interval: Paired bootstrap interval of ``gap``.
        note: What a reader must know about the fits, or "".
        segments: Scores by segment, the largest excess first; segments that are too small are left out.
    """

    family: Family
    synthetic: float
    interval: Interval
    ceiling: float
    ceiling_interval: Interval
    floor: float
    gap: float
    gap_interval: Interval
    note: str
    segments: tuple[SegmentScore, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UtilityResult:
    """Scores by model family, or the reason why there are none.

    Attributes:
        status: ``measured`` or ``not measurable``; the latter has no scores and is not a zero.
        reason: Why it is not measurable, or "".
        metric: ``roc_auc`` (macro one-vs-rest for three classes or more) or ``r2``.
        n_train: Rows of train with a target; ``n_holdout`` and ``n_synthetic`` alike.
        confidence: Of every interval.
    """

    status: Literal["measured", "not measurable"]
    reason: str
    target: str
    metric: Metric
    scores: tuple[FamilyScore, ...]
    n_train: int
    n_holdout: int
    n_synthetic: int
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """The result as plain lists, strings and numbers. It names columns and holds no value of theirs."""
        return asdict(self)


def train_on_synthetic(
    train: Dataset,
    holdout: Dataset,
    synthetic: Dataset,
    target: str,
    *,
    rng: np.random.Generator,
    families: Sequence[Family] = FAMILIES,
    n_seeds: int = 3,
    n_bootstrap: int = 400,
    confidence: float = 0.95,
    segments: Sequence[str] = (),
) -> UtilityResult:
    """Score models trained on synthetic rows on the real holdout, beside models trained on real rows.

    Features are the modelled columns other than the target. A category that the fitted table lacks is treated as missing by
    the boosted model and as "none of them" by the linear one; rows without a target are left out.

    Args:
        train: Real rows the synthesizer was fitted on.
        holdout: Rows of other real people.
        synthetic: The rows to judge.
        target: A categorical or boolean column (ROC AUC) or a numeric one (R2).
        rng: Draws the seeds of the models, the shuffles of the floor and the bootstrap.
        families: Model families to fit.
        n_seeds: Fits of each boosted model, averaged; the linear model has no seed and is fitted once.
        n_bootstrap: Resamples of the holdout's people.
        confidence: Chance that an interval holds, over the drawing of the holdout alone.
        segments: Columns whose declared categories (true and false for a boolean) are scored one by one.

    Returns:
        A measurement without a verdict; ``not measurable`` where a table lacks the target or has one class of it.

    Raises:
        AuditError: The target is not a column of train, or a setting is out of range.
    """
    if target not in train.table.names:
        raise AuditError(f"target={target!r} is not a column of table {train.table.name!r}; name one of its modelled columns")
    if n_seeds < 1 or n_bootstrap < 2:
        raise AuditError(f"n_seeds={n_seeds!r}, n_bootstrap={n_bootstrap!r}; expected at least 1 seed and 2 resamples")
    if not 0 < confidence < 1:
        raise AuditError(f"confidence={confidence!r}; expected a number in (0, 1), for example 0.95")
    column = train.table[target]
    tables = {"train": train, "synthetic": synthetic, "holdout": holdout}
    with_target = {name: _rows_with(dataset, target) for name, dataset in tables.items()}
    counts = {f"n_{name}": len(rows) for name, rows in with_target.items()}
    metric: Metric = "r2" if column.is_numeric else "roc_auc"
    features = [other for other in train.table.modelled if other.name != target]
    reason = _why_not(tables, with_target, column, features)
    scores: tuple[FamilyScore, ...] = ()
    if not reason:
        problem = _Problem.encode(with_target, column, features)
        weights = bootstrap_weights(holdout.units()[with_target["holdout"].index.to_numpy()], n_bootstrap, rng)
        masks = _segments(train, with_target["holdout"], segments, problem)
        scores = tuple(_score_family(problem, family, weights, masks, n_seeds, confidence, rng) for family in families)
    return UtilityResult(
        status="not measurable" if reason else "measured",
        reason=reason,
        target=target,
        metric=metric,
        scores=scores,
        confidence=confidence,
        **counts,
    )


def _rows_with(dataset: Dataset, target: str) -> pd.DataFrame:
    """The rows that have a target, keeping their row numbers; none if the column is missing."""
    frame = dataset.frame.reset_index(drop=True)
    return frame[frame[target].notna()] if target in frame else frame.iloc[:0]


def _why_not(tables: Mapping[str, Dataset], with_target: Mapping[str, pd.DataFrame], column: Column, features: Sequence[Column]) -> str:
    """Why the score is not measurable, without any value of the data; "" if it is."""
    if not column.is_modelled:
        return f"the target is {'personal data' if column.pii else f'a column of kind {column.kind}'} and is not modelled"
    if not features:
        return "the table has no modelled column besides the target"
    for name, dataset in tables.items():
        missing = [wanted.name for wanted in (column, *features) if wanted.name not in dataset.frame]
        if missing:
            return f"the {name} table lacks column {missing[0]!r}"
        rows = with_target[name]
        if len(rows) < _MIN_ROWS:
            return f"the {name} table has {len(rows)} rows with a target; at least {_MIN_ROWS} are needed"
        if rows[column.name].nunique() < 2:
            return f"the {name} table has a single value of the target"
    return ""


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """The prediction task as arrays, encoded alike for the three tables."""

    inputs: Mapping[str, FloatArray]
    """By table, shape (n_rows, n_features): numbers, and codes for categories; NaN for null and for values train and synthetic lack."""
    targets: Mapping[str, FloatArray]
    """By table, shape (n_rows,): numbers, or class codes with -1 for a class that no real row has."""
    is_category: BoolArray
    n_classes: int
    """0 for a numeric target."""

    @staticmethod
    def encode(frames: Mapping[str, pd.DataFrame], target: Column, features: Sequence[Column]) -> _Problem:
        encoded = [_encode_feature(frames, column) for column in features]
        inputs = {name: np.column_stack([feature[name] for feature in encoded]) for name in frames}
        targets, n_classes = _encode_target(frames, target)
        return _Problem(
            inputs=inputs, targets=targets, n_classes=n_classes, is_category=np.array([not column.is_numeric for column in features])
        )


def _encode_feature(frames: Mapping[str, pd.DataFrame], column: Column) -> dict[str, FloatArray]:
    if column.is_numeric:
        # linear models square the values: days keep a date's scale near that of other numbers
        unit = _SECONDS_PER_DAY if column.kind == "datetime" else 1.0
        return {name: numbers(frame[column.name], column) / unit for name, frame in frames.items()}
    # most frequent first in train; the holdout must not decide what a model can see
    vocabulary = pd.Index(
        pd.concat(
            [frames["train"][column.name].dropna().value_counts(), frames["synthetic"][column.name].dropna().value_counts()]
        ).index.unique()
    )
    return {name: _feature_codes(frame[column.name], vocabulary) for name, frame in frames.items()}


def _feature_codes(values: pd.Series[Any], vocabulary: pd.Index[Any]) -> FloatArray:
    codes = vocabulary.get_indexer(pd.Index(values)).astype(np.float64)
    codes[(codes < 0) | values.isna().to_numpy(dtype=bool)] = np.nan
    return np.minimum(codes, _MAX_CATEGORIES)  # beyond this many, the rest share one code


def _encode_target(frames: Mapping[str, pd.DataFrame], target: Column) -> tuple[dict[str, FloatArray], int]:
    if target.is_numeric:
        unit = _SECONDS_PER_DAY if target.kind == "datetime" else 1.0
        return {name: numbers(frame[target.name], target) / unit for name, frame in frames.items()}, 0
    classes = pd.Index(np.unique(pd.concat([frames["train"][target.name], frames["holdout"][target.name]]).astype(str)))
    codes = {name: classes.get_indexer(pd.Index(frame[target.name].astype(str))).astype(np.float64) for name, frame in frames.items()}
    return codes, len(classes)


def segment_columns(table: Table, *, most: int = 12) -> list[str]:
    """Modelled columns with few declared categories: what a table is cut by where nobody says otherwise."""
    few = [column for column in table.modelled if column.kind == "boolean" or 2 <= len(column.categories or ()) <= most]
    return [column.name for column in few if column.name != table.target]


def _segments(train: Dataset, holdout: pd.DataFrame, names: Sequence[str], problem: _Problem) -> dict[str, BoolArray]:
    """Holdout rows by declared category, masks of shape (n_holdout,), where both sides are large enough to be scored."""
    masks = {}
    for name in names:
        column = train.table[name]
        for category in (False, True) if column.kind == "boolean" else column.categories or ():
            inside = (holdout[name] == category).fillna(False).to_numpy(dtype=bool)
            if all(_can_be_scored(problem.targets["holdout"][side], problem.n_classes) for side in (inside, ~inside)):
                masks[f"{name} = {category}"] = inside
    return dict(list(masks.items())[:MAX_SEGMENTS])


def _can_be_scored(targets: FloatArray, n_classes: int) -> bool:
    if len(targets) < MIN_SEGMENT_ROWS or not n_classes:
        return len(targets) >= MIN_SEGMENT_ROWS and len(np.unique(targets)) > 1
    counts = np.bincount(targets[targets >= 0].astype(int), minlength=n_classes)
    return int(np.sort(counts)[-2]) >= MIN_CLASS_ROWS


def _score_family(
    problem: _Problem,
    family: Family,
    weights: Counts,
    masks: Mapping[str, BoolArray],
    n_seeds: int,
    confidence: float,
    rng: np.random.Generator,
) -> FamilyScore:
    """Mean score over the seeds for the three training tables, each with its bootstrap replicates."""
    notes: set[str] = set()
    by_segment = {name: [np.zeros((2, len(weights))) for _ in ("synthetic", "ceiling")] for name in masks}
    seeds = rng.integers(2**31, size=n_seeds).tolist()  # the same for the three tables, so that their gap is paired
    replicates = {name: np.zeros(len(weights)) for name in ("synthetic", "ceiling", "floor")}
    for name in replicates:
        # a linear fit has no seed of its own, but its floor still depends on the shuffle
        used = seeds if family == "boosting" or name == "floor" else seeds[:1]
        inputs, targets = _training_rows(problem, "synthetic" if name == "synthetic" else "train")
        for seed in used:
            learned = rng.permutation(targets) if name == "floor" else targets
            predictions, note = _fit_predict(problem, family, inputs, learned, seed)
            notes |= {f"{name}: {note}"} if note else set()
            replicates[name] += score_in_blocks(problem.targets["holdout"], problem.n_classes, predictions, weights) / len(used)
            if name != "floor":
                for segment, mask in masks.items():
                    by_segment[segment][name == "ceiling"] += _score_sides(problem, predictions, weights, mask) / len(used)
    segments = [_segment_score(name, int(mask.sum()), *by_segment[name], confidence=confidence) for name, mask in masks.items()]
    gap = replicates["ceiling"] - replicates["synthetic"]
    return FamilyScore(
        family=family,
        synthetic=float(replicates["synthetic"][0]),
        interval=percentile_interval(replicates["synthetic"], confidence),
        ceiling=float(replicates["ceiling"][0]),
        ceiling_interval=percentile_interval(replicates["ceiling"], confidence),
        floor=float(replicates["floor"][0]),
        gap=float(gap[0]),
        gap_interval=percentile_interval(gap, confidence),
        note="; ".join(sorted(notes)),
        segments=tuple(sorted(segments, key=lambda segment: -segment.excess_gap)),
    )


def _score_sides(problem: _Problem, predictions: FloatArray, weights: Counts, mask: BoolArray) -> FloatArray:
    """Scores on the rows of a segment and on all other rows under each row of weights, shape (2, n_weights)."""
    actual = problem.targets["holdout"]
    return np.stack([score_in_blocks(actual[side], problem.n_classes, predictions[side], weights[:, side]) for side in (mask, ~mask)])


def _segment_score(name: str, n_rows: int, synthetic: FloatArray, ceiling: FloatArray, *, confidence: float) -> SegmentScore:
    """The figures of one segment from its replicates and those of everyone else, each of shape (2, n_weights)."""
    gaps = ceiling - synthetic
    excess = gaps[0] - gaps[1]
    return SegmentScore(
        segment=name,
        n_holdout=n_rows,
        synthetic=float(synthetic[0, 0]),
        interval=percentile_interval(synthetic[0], confidence),
        ceiling=float(ceiling[0, 0]),
        gap=float(gaps[0, 0]),
        gap_interval=percentile_interval(gaps[0], confidence),
        excess_gap=float(excess[0]),
        excess_interval=percentile_interval(excess, confidence),
    )


def _training_rows(problem: _Problem, table: str) -> tuple[FloatArray, FloatArray]:
    """Inputs and targets of one table, without rows of a class that no real row has: their predictions could not be scored."""
    inputs, targets = problem.inputs[table], problem.targets[table]
    known = targets >= 0 if problem.n_classes else np.ones(len(targets), dtype=bool)
    return inputs[known], targets[known]


def _fit_predict(problem: _Problem, family: Family, inputs: FloatArray, targets: FloatArray, seed: int) -> tuple[FloatArray, str]:
    """Predictions for the holdout, shape (n_holdout, n_classes) or (n_holdout, 1), and a note on the fit."""
    from sklearn.exceptions import ConvergenceWarning

    if problem.n_classes and len(np.unique(targets)) < 2:
        # every synthetic row but one class was of classes no real row has: the model can only be constant
        return np.zeros((len(problem.targets["holdout"]), problem.n_classes)), "a single known class to learn from; scored as constant"
    # scikit-learn fails on a column that is null throughout; as a constant it carries just as much
    inputs = np.where(np.isnan(inputs).all(axis=0), 0.0, inputs)
    model = _boosting(problem, targets, seed) if family == "boosting" else _linear(problem)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(inputs, targets)
        predictions = _predict(problem, model)
    unfinished = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return predictions, "the linear fit stopped before it converged" if unfinished else ""


def _predict(problem: _Problem, model: Any) -> FloatArray:
    rows = problem.inputs["holdout"]
    if not problem.n_classes:
        return np.asarray(model.predict(rows), dtype=np.float64)[:, None]
    predictions = np.zeros((len(rows), problem.n_classes))  # 0 for a class the model never saw
    predictions[:, model.classes_.astype(int)] = model.predict_proba(rows)
    return predictions


def _boosting(problem: _Problem, targets: FloatArray, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    # scikit-learn's own rule (more than 10,000 rows), less the case where its stratified split of one row a class would fail
    rarest = int(np.unique(targets, return_counts=True)[1].min()) if problem.n_classes else 2
    settings = {"random_state": seed, "categorical_features": problem.is_category, "early_stopping": len(targets) > 10_000 and rarest >= 2}
    return HistGradientBoostingClassifier(**settings) if problem.n_classes else HistGradientBoostingRegressor(**settings)


def _linear(problem: _Problem) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="ignore", max_categories=_MAX_ONE_HOT)
    encoder = make_column_transformer((scaled, np.flatnonzero(~problem.is_category)), (one_hot, np.flatnonzero(problem.is_category)))
    return make_pipeline(encoder, LogisticRegression(max_iter=1_000) if problem.n_classes else Ridge())
