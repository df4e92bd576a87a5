"""Does a model trained on the synthetic table predict as well on real people as one trained on the real table?

Train on synthetic, test on real (Esteban, Hyland & Rätsch 2017, arXiv:1706.02633): gradient boosting and a linear model are
fitted on the synthetic rows and scored on the real holdout, beside the same models fitted on train (the ceiling) and on train
with its target shuffled (the floor). Uncertainty is a bootstrap over the people of the holdout; the gap to the ceiling is
paired, both models being scored on the same resampled people.

Everything here is computed from private data and stays internal. A score that a person may tune on takes the tuning part of
the holdout, never the part that the privacy audits use.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset, numbers
from privsynth.errors import AuditError
from privsynth.schema import Column

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.uint16]
Family = Literal["boosting", "linear"]
Metric = Literal["roc_auc", "r2"]
Interval = tuple[float, float]

FAMILIES: tuple[Family, ...] = ("boosting", "linear")
_MAX_CATEGORIES = 254
"""Categories of a feature told apart; scikit-learn's histogram boosting takes 255 bins, one of them for the rest."""
_MAX_ONE_HOT = 50
_MIN_ROWS = 20
_BLOCK_CELLS = 1 << 22
_SECONDS_PER_DAY = 86_400.0


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
        weights = _bootstrap_weights(holdout.units()[with_target["holdout"].index.to_numpy()], n_bootstrap, rng)
        scores = tuple(_score_family(problem, family, weights, n_seeds, confidence, rng) for family in families)
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


def _bootstrap_weights(units: npt.NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator) -> Counts:
    """How often each holdout row occurs in each resample of people, shape (1 + n_bootstrap, n_rows); the first row is all ones."""
    people, person = np.unique(units.astype(str), return_inverse=True)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=n_bootstrap)
    counts = drawn.astype(np.uint16)  # the matrix is the largest thing here: a quarter of its size
    return np.vstack([np.ones((1, len(units)), dtype=np.uint16), counts[:, person]])


def _score_family(
    problem: _Problem, family: Family, weights: Counts, n_seeds: int, confidence: float, rng: np.random.Generator
) -> FamilyScore:
    """Mean score over the seeds for the three training tables, each with its bootstrap replicates."""
    notes: set[str] = set()
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
            replicates[name] += _score_in_blocks(problem, predictions, weights) / len(used)
    gap = replicates["ceiling"] - replicates["synthetic"]
    return FamilyScore(
        family=family,
        synthetic=float(replicates["synthetic"][0]),
        interval=_interval(replicates["synthetic"], confidence),
        ceiling=float(replicates["ceiling"][0]),
        ceiling_interval=_interval(replicates["ceiling"], confidence),
        floor=float(replicates["floor"][0]),
        gap=float(gap[0]),
        gap_interval=_interval(gap, confidence),
        note="; ".join(sorted(notes)),
    )


def _training_rows(problem: _Problem, table: str) -> tuple[FloatArray, FloatArray]:
    """Inputs and targets of one table, without rows of a class that no real row has: their predictions could not be scored."""
    inputs, targets = problem.inputs[table], problem.targets[table]
    known = targets >= 0 if problem.n_classes else np.ones(len(targets), dtype=bool)
    return inputs[known], targets[known]


def _interval(replicates: FloatArray, confidence: float) -> Interval:
    """Percentile interval of the resamples; a resample without both classes says nothing and is left out."""
    low, high = np.nanquantile(replicates[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


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


def _score_in_blocks(problem: _Problem, predictions: FloatArray, weights: Counts) -> FloatArray:
    """``_score`` over all resamples, so many at a time that a block of weights stays near 32 MiB."""
    at_once = max(1, _BLOCK_CELLS // weights.shape[1])
    starts = range(0, len(weights), at_once)
    return np.concatenate([_score(problem, predictions, weights[start : start + at_once].astype(np.float64)) for start in starts])


def _score(problem: _Problem, predictions: FloatArray, weights: FloatArray) -> FloatArray:
    """The metric under each row of weights, shape (n_weights,)."""
    actual = problem.targets["holdout"]
    if not problem.n_classes:
        return r_squared(actual, predictions[:, 0], weights)
    scored = range(1, 2) if problem.n_classes == 2 else range(problem.n_classes)
    per_class = [
        roc_auc(predictions[:, code], actual == code, weights) for code in scored if 0 < np.count_nonzero(actual == code) < len(actual)
    ]
    stacked = np.vstack(per_class)
    measured = ~np.isnan(stacked)
    total = np.where(measured, stacked, 0.0).sum(axis=0)
    mean: FloatArray = np.divide(total, measured.sum(axis=0), out=np.full(len(total), np.nan), where=measured.any(axis=0))
    return mean


def roc_auc(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve under each row of weights: the chance that a positive outranks a negative, ties one half.

    Args:
        scores: Shape (n_rows,); higher means "more likely positive".
        positive: Shape (n_rows,).
        weights: Row weights, 0 or more, shape (n_weights, n_rows).

    Returns:
        Shape (n_weights,), in [0, 1]; NaN where positives or negatives have no weight.

    >>> roc_auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]), np.ones((1, 4)))
    array([0.875])
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    first_of_tie = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    positives = np.add.reduceat(weights[:, order] * positive[order], first_of_tie, axis=1)  # (n_weights, n_distinct)
    negatives = np.add.reduceat(weights[:, order] * ~positive[order], first_of_tie, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    area: FloatArray = np.divide((positives * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return area


def r_squared(actual: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of the variance explained under each row of weights.

    Args:
        actual: Shape (n_rows,).
        predicted: Shape (n_rows,).
        weights: Row weights, 0 or more, shape (n_weights, n_rows).

    Returns:
        Shape (n_weights,), in (-inf, 1]; NaN where the weighted values do not vary.

    >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]), np.ones((1, 3)))
    array([0.])
    """
    mean = weights @ actual / weights.sum(axis=1)
    residual = weights @ (actual - predicted) ** 2
    # around the weighted mean directly: the difference of squares cancels for dates
    spread = (weights * (actual - mean[:, None]) ** 2).sum(axis=1)
    unexplained: FloatArray = np.divide(residual, spread, out=np.full(len(weights), np.nan), where=spread > 0)
    return 1.0 - unexplained
