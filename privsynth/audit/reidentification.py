"""Can a person's values be joined or guessed through the release, better for people in the data than for others?

Linkability and inference, two of the three criteria of Opinion 05/2014 of the Article 29 Working Party, played after Giomi et al. (2023),
Anonymeter, PETS, on people in the data and on held-out people of the same kind. Recall counts people, precision the attacker's claims
(Francis 2025, arXiv:2507.01710: either alone hides cases at risk).

What the attacker knows are the columns declared as quasi-identifiers, all other columns if there are none; the secrets
are the columns declared so, by default every column that is not a quasi-identifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from privsynth.audit.base import AuditResult, plain
from privsynth.audit.encoding import NULL_CELL, Encoder, FloatArray, IntArray, KeyArray, Records, nearest
from privsynth.audit.excess import BoolArray, Counts, by_population, count, largest_excess
from privsynth.audit.membership import Targets
from privsynth.audit.sweep import ColumnView, column_views, nearest_without, restricted
from privsynth.schema import Column

MAX_SECRETS = 30
MAX_SECRET_DISTANCES = 5_000_000_000
TOLERANCE = 0.05
SUREST = 0.1
LINK_NEIGHBOURS = 1

LINKABILITY = AuditResult(
    audit="linkability",
    threat_model="release-only",
    question="Can two files with different columns of the same people be joined through the release, better for people in the data?",
    metric="people linked, in excess of control",
)
INFERENCE = AuditResult(
    audit="attribute inference",
    threat_model="release-only",
    question="Can an unknown value of a person be guessed from the most similar release row, better for people in the data?",
    metric="guesses right, in excess of control",
)


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What the attacker knows of a person, and what they want to learn; positions of columns.

    Attributes:
        columns: All audited columns.
        views: Where each lies in ``Records``.
        known: What the attacker knows, without the secret that is being guessed.
        secrets: What they want to learn; columns with a single value are left out, there is nothing to learn.
        declared: Whether a person declared quasi-identifiers or secrets.
    """

    columns: tuple[Column, ...]
    views: tuple[ColumnView, ...]
    known: tuple[int, ...]
    secrets: tuple[int, ...]
    declared: bool


def knowledge(encoder: Encoder, pool: Records, *, rng: np.random.Generator) -> Knowledge:
    """Read it off the schema's roles; at most ``MAX_SECRETS`` undeclared secrets, drawn at random."""
    columns = encoder.columns
    quasi = [position for position, column in enumerate(columns) if column.quasi_identifier]
    flagged = [position for position, column in enumerate(columns) if column.secret]
    known = quasi or list(range(len(columns)))
    secrets = flagged or [position for position in range(len(columns)) if position not in quasi]
    varied = [secret for secret in secrets if (pool.cells[:, secret] != pool.cells[0, secret]).any() and set(known) - {secret}]
    if not flagged and len(varied) > MAX_SECRETS:
        varied = sorted(rng.choice(varied, MAX_SECRETS, replace=False).tolist())
    return Knowledge(
        columns=columns, views=column_views(encoder), known=tuple(known), secrets=tuple(varied), declared=bool(quasi or flagged)
    )


def column_halves(known: Knowledge, pool: Records) -> tuple[list[int], list[int]]:
    """Which columns each of the two files holds: quasi-identifiers and the rest, or the columns dealt out in turn by distinct values."""
    rest = [position for position in range(len(known.columns)) if position not in known.known]
    if min(len(known.known), len(rest)) >= 2:
        return list(known.known), rest
    distinct = [len(np.unique(pool.cells[:, position])) for position in range(len(known.columns))]
    dealt = sorted(range(len(distinct)), key=lambda position: -distinct[position])
    return sorted(dealt[::2]), sorted(dealt[1::2])


@dataclass(frozen=True, kw_only=True)
class Links:
    """Release rows nearest to each person in two sets of columns, each of shape (n, n_neighbours)."""

    left: IntArray
    right: IntArray

    @property
    def linked(self) -> BoolArray:
        """Whether both halves of a person share a release row, shape (n,)."""
        shared: BoolArray = (self.left[:, :, None] == self.right[:, None, :]).any(axis=(1, 2))
        return shared

    def precision(self, weights: FloatArray, n_release: int) -> float:
        """Share of right pairs among all pairs of halves that share a release row; 0 if there is none. Weights: shape (n,)."""
        repeated = np.repeat(weights, self.left.shape[1])
        left = np.bincount(self.left.ravel(), weights=repeated, minlength=n_release)
        right = np.bincount(self.right.ravel(), weights=repeated, minlength=n_release)
        claimed = float(left @ right)
        shared = (self.left[:, :, None] == self.right[:, None, :]).sum(axis=(1, 2))
        return float(weights @ shared) / claimed if claimed > 0 else 0.0

    def take(self, people: BoolArray) -> Links:
        """Those of some people."""
        return Links(left=self.left[people], right=self.right[people])


def find_links(
    rows: Records, release: Records, views: Sequence[ColumnView], halves: tuple[Sequence[int], Sequence[int]], *, n_neighbours: int
) -> Links:
    """The release rows nearest to each person in either half of the columns."""
    left, right = (
        nearest(restricted(rows, views, half), restricted(release, views, half), k=min(n_neighbours, len(release)))[1] for half in halves
    )
    return Links(left=left, right=right)


def linkability(
    targets: Targets,
    release: Records,
    known: Knowledge,
    *,
    rng: np.random.Generator,
    level: float,
    confidence: float = 0.95,
    n_neighbours: int = LINK_NEIGHBOURS,
) -> list[AuditResult]:
    """People of whom two files with half of the columns each would be joined through the release."""
    if len(known.columns) < 2:
        reason = {"reason": "a table of one column cannot be cut in two"}
        return [replace(LINKABILITY, status="not measurable", details=reason)]
    halves = column_halves(known, targets.rows)
    links = find_links(targets.rows, release, known.views, halves, n_neighbours=n_neighbours)
    guess = Links(
        left=rng.integers(len(release), size=links.left.shape), right=rng.integers(len(release), size=links.right.shape)
    ).linked.mean()
    details = {
        "criterion": "linkability",
        "columns": [[known.columns[position].name for position in half] for half in halves],
        "n_neighbours": n_neighbours,
    }
    results = by_population(LINKABILITY, {"": links.linked}, targets, level=level, confidence=confidence, details=details)
    results[0] = replace(results[0], baseline=float(guess))
    return [*results, _link_precision(links, targets, len(release), rng=rng, confidence=confidence)]


def _link_precision(
    links: Links, targets: Targets, n_release: int, *, rng: np.random.Generator, confidence: float, n_bootstrap: int = 200
) -> AuditResult:
    """Share of claimed links that are right, members minus non-members, with a bootstrap by person."""
    sides = links.take(targets.is_member), links.take(~targets.is_member)
    shown = [side.precision(np.ones(len(side.left)), n_release) for side in sides]
    draws = np.empty((2, n_bootstrap))
    for number, side in enumerate(sides):
        for draw in range(n_bootstrap):
            weights = rng.poisson(1.0, len(side.left)).astype(float)
            draws[number, draw] = side.precision(weights, n_release)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[0] - draws[1], [tail, 1 - tail])
    n_claims = [
        int((np.bincount(side.left.ravel(), minlength=n_release) * np.bincount(side.right.ravel(), minlength=n_release)).sum())
        for side in sides
    ]
    return replace(
        LINKABILITY,
        metric="links right, in excess of control",
        value=shown[0] - shown[1],
        interval=(float(low), float(high)),
        confidence=confidence,
        control=shown[1],
        baseline=1 / max(len(sides[0].left), 1),
        ceiling=1.0,
        n=len(targets.people),
        details={"criterion": "linkability", "precision": shown[0], "links_claimed": n_claims[0], "links_claimed_of_control": n_claims[1]},
    )


def right_guesses(true: KeyArray, guessed: KeyArray, column: Column) -> BoolArray:
    """Which guesses of exact cells are right, same shapes: equal, or for numbers within 5 % of the true value.

    A date is right within 5 % of a year (18 days): counted from 1970, 5 % of its value would be years.
    """
    equal: BoolArray = true == guessed
    if not column.is_numeric:
        return equal
    present = (true != NULL_CELL) & (guessed != NULL_CELL)
    numbers, guesses = (_as_numbers(np.where(present, cells, np.uint64(0)), column) for cells in (true, guessed))
    allowed = TOLERANCE * (365.25 * 86_400 if column.kind == "datetime" else np.abs(numbers))
    right: BoolArray = equal | (present & (np.abs(numbers - guesses) <= allowed))
    return right


def _as_numbers(cells: KeyArray, column: Column) -> FloatArray:
    if column.kind == "integer":
        return cells.view(np.int64).astype(np.float64)
    return cells.view(np.float64)


def attribute_inference(
    targets: Targets,
    release: Records,
    known: Knowledge,
    *,
    rng: np.random.Generator,
    level: float,
    confidence: float = 0.95,
    max_distances: int = MAX_SECRET_DISTANCES,
) -> list[AuditResult]:
    """Guesses of each secret from the nearest release row: for everyone, and for the tenth where the attacker is surest.

    The attacker who always guesses has precision equal to recall. One who guesses only where the release comes closest is judged on
    the closest tenth of all targets, picked without labels: a release that holds a few copies shows there first.
    """
    if not known.secrets:
        reason = {"reason": "no secret has more than one value and another column to guess it from"}
        return [replace(INFERENCE, status="not measurable", details=reason)]
    targets, release = _within_budget(targets, release, len(known.secrets), max_distances, rng)
    distances, nearest_rows = nearest_without(targets.rows, release, known.views, known.known, known.secrets)
    right: dict[str, BoolArray] = {}
    sure: dict[str, Counts] = {}
    everyone: dict[str, Counts] = {}
    shown: dict[str, dict[str, Any]] = {}
    lot = rng.random(len(targets.people))
    for number, secret in enumerate(known.secrets):
        column = known.columns[secret]
        true, guesses = targets.rows.cells[:, secret], release.cells[nearest_rows[:, number], secret]
        right[column.name] = right_guesses(true, guesses, column)
        naive = float(right_guesses(true, np.full(len(true), _most_frequent(release.cells[:, secret])), column)[targets.is_member].mean())
        everyone[column.name] = count(right[column.name], targets.is_member, baseline=naive)
        attempted = np.zeros(len(true), dtype=bool)
        attempted[np.lexsort((lot, distances[:, number]))[: max(round(SUREST * len(true)), 1)]] = True
        sure[column.name] = count(right[column.name] & attempted, targets.is_member, baseline=naive)
        shown[column.name] = _shown(everyone[column.name], sure[column.name], count(attempted, targets.is_member), confidence)
    details = {
        "criterion": "inference",
        "secrets": plain(shown),
        "known": [known.columns[position].name for position in known.known] if known.declared else "all other columns",
        "n_release": len(release),
    }
    results = by_population(INFERENCE, right, targets, level=level, confidence=confidence, details=details)
    worst = results[0].details.get("worst", known.columns[known.secrets[0]].name)
    results[0] = replace(results[0], baseline=everyone[worst].baseline)
    metric = "guesses right among the surest tenth, in excess of control"
    surest = largest_excess(replace(INFERENCE, metric=metric), sure, level=level, confidence=confidence)
    return [*results, surest]


def _shown(everyone: Counts, sure: Counts, attempted: Counts, confidence: float) -> dict[str, Any]:
    """One secret's figures: rates of members and control for all guesses, precision and recall for the surest tenth."""
    return {
        "rate": everyone.found / everyone.n,
        "control": everyone.control,
        "baseline": everyone.baseline,
        "excess": everyone.excess,
        "interval": everyone.interval(confidence),
        "p_value": everyone.p_value,
        "surest_recall": sure.found / sure.n,
        "surest_recall_of_control": sure.control,
        "surest_precision": sure.found / max(attempted.found, 1),
        "surest_precision_of_control": sure.control_found / max(attempted.control_found, 1),
        "surest_p_value": sure.p_value,
    }


def _most_frequent(cells: KeyArray) -> np.uint64:
    """The commonest exact value: the best single guess for categories, and for numbers with a point mass."""
    values, counts = np.unique(cells, return_counts=True)
    return np.uint64(values[counts.argmax()])


def _within_budget(
    targets: Targets, release: Records, n_secrets: int, max_distances: int, rng: np.random.Generator
) -> tuple[Targets, Records]:
    """Fewer targets, down to 2 000 of each side, then fewer release rows, so that the sweep stays within its distances."""
    n_each = int(min(max(max_distances // (len(release) * n_secrets * 2), 2000), targets.is_member.sum()))
    fewer = targets.fewer(n_each)
    limit = max(max_distances // (len(fewer.people) * n_secrets), 1)
    return fewer, release if len(release) <= limit else release.take(rng.choice(len(release), limit, replace=False))
