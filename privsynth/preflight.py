"""What a plan will do, before it reads a cell: its engine, its mechanisms, their noise, and which judgements can pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privsynth import registry, texts
from privsynth.audit.power import MOST_ISOLATED, reachable
from privsynth.config import Plan
from privsynth.dataset import TUNING_RATE, Dataset
from privsynth.errors import PlanError, SchemaError
from privsynth.privacy import Budget, DiscreteGaussian, Internal, Touch, calibrate
from privsynth.privacy.accounting import ceil_text, delta_limit, total
from privsynth.report import policy as policies
from privsynth.report import wording
from privsynth.schema import Schema, Table
from privsynth.spreadsheet import MOST_ROWS
from privsynth.tabular.base import Synthesizer, require_modelled, unproven_facts

MOST_COLUMNS = 500
"""Modelled columns: engines choose among pairs of columns, and the time for that grows with the third power."""


SMALLEST_SIGNAL = 10.0
"""A run needs this many times as many people as the standard deviation of the noise on a count."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a plan will do, from declared facts alone.

    Attributes:
        touches: Every planned use of private data.
        noise_scale: What the noise was solved to.
        epsilon: Cost of all touches at the plan's delta.
        smallest_people: People below which noise exceeds signal.
        people: Declared number of people, or None.
        outside: What will be outside the guarantee.
        verdicts: Which lights are within reach, in sentences.
    """

    touches: tuple[Touch, ...]
    noise_scale: float
    epsilon: float
    smallest_people: int
    people: int | None
    outside: tuple[str, ...]
    verdicts: tuple[str, ...]

    def cost_sentence(self, budget: Budget) -> str:
        """What the plan costs of what it may cost, in one sentence."""
        if math.isinf(self.epsilon):
            return "no formal guarantee: private information is released without a proof, and no epsilon bounds what it says of a person."
        limit = "no limit" if math.isinf(budget.epsilon) else f"{budget.epsilon:g}"
        return f"epsilon <= {ceil_text(self.epsilon)} of {limit}, delta {budget.delta:g}, for adding or removing one person."


def check(plan: Plan) -> Preflight:
    """What a plan can deliver; reads the plan, the policy and public maps, and no private data."""
    schema = plan.declared_schema()
    table = schema.tables[0]
    require_columns(table)
    require_format(plan)
    engine = synthesizer(plan)
    told = texts.require_ready(plan, table, people=plan.dataset.people)
    policy = policies.Policy.load(plan.path_of(plan.audit.policy) if plan.audit.policy else None)
    touches, noise_scale = plan_touches(plan, schema, engine)
    cost = total(touches, plan.budget.delta)
    people = plan.dataset.people
    if people is not None and plan.budget.delta > delta_limit(people):
        raise PlanError(
            f"delta={plan.budget.delta:g}; expected at most 1/(10 x people) = {delta_limit(people):.3g} for {people} declared people"
        )
    return Preflight(
        touches=touches,
        noise_scale=noise_scale,
        epsilon=cost.epsilon,
        smallest_people=people_needed(plan, table, engine, touches, noise_scale),
        people=people,
        outside=(
            *wording.OUTSIDE,
            *(f"column {name!r}: text, left out" for name in texts.text_columns(table) if plan.synthesis.text == texts.DROP),
        ),
        verdicts=(
            *engine_notes(engine),
            *texts.notes_of(plan, table),
            *told,
            *_engine_reach(plan, table, engine, noise_scale),
            *_reachable(plan, policy, cost.epsilon),
        ),
    )


def synthesizer(plan: Plan) -> Synthesizer:
    """The engine that the plan names, with the plan's settings."""
    engine: Any = registry.synthesizer(plan.synthesis.tables)
    try:
        built: Synthesizer = engine(**plan.synthesis.settings)
    except TypeError:
        known = list(getattr(engine, "__dataclass_fields__", {}))
        unknown = next((key for key in plan.synthesis.settings if key not in known), "settings")
        raise PlanError(
            f"synthesis.settings has {unknown!r}; {plan.synthesis.tables!r} takes {', '.join(known)}{registry.hint(unknown, known)}"
        ) from None
    return built


def engine_notes(engine: Synthesizer) -> tuple[str, ...]:
    """What a reader of the report has to know of an engine: that it has no guarantee, or somebody's licence."""
    return tuple(getattr(engine, "notes", ()))


def plan_touches(plan: Plan, schema: Schema, engine: Synthesizer) -> tuple[tuple[Touch, ...], float]:
    """Every planned use of private data, in order, and the noise scale at which it costs the plan's epsilon.

    Raises:
        BudgetExceededError: No noise makes the plan fit its budget.
    """
    table = schema.tables[0]
    mechanisms, noise_scale = _mechanisms(plan, table, engine)
    unproven = unproven_facts(table)
    if unproven and math.isfinite(plan.budget.epsilon):
        raise PlanError(
            f"facts of {len(unproven)} columns come from the data, which epsilon={plan.budget.epsilon:g} cannot pay for; "
            "look at every column of the plan and set confirmed = true"
        )
    before = [Touch("read", "the file, checked against declared facts", Internal()), Touch("pii", "scan of every column", Internal())]
    after = [
        Touch("audit", "attacks and controls", Internal()),
        Touch("audit", "lower bound on epsilon", Internal()),
        Touch("audit", "replay of personal values", Internal()),
        Touch("quality", "distances between marginals", Internal()),
    ]
    if texts.engine_of(plan, table) is not None:
        after.insert(3, Touch("audit", "replay of texts", Internal()))
    if table.target:
        after.append(Touch("quality", "train on synthetic, test on real", Internal()))
    after.append(Touch("quality", "groups, coverage and overlap", Internal()))
    return (*unproven, *before, *mechanisms, *after), noise_scale


def _mechanisms(plan: Plan, table: Table, engine: Synthesizer) -> tuple[tuple[Touch, ...], float]:
    """The mechanisms of table and texts, and the table's noise scale at which all of them together cost the plan's epsilon.

    With texts each part is first given its share of the budget; then all noise shrinks by one factor until the whole
    costs what the plan allows, because parts that are composed cost less than their sum.
    """
    writer = texts.engine_of(plan, table)
    if writer is None:
        scale = calibrate(lambda scale: engine.touches(table, noise_scale=scale, budget=plan.budget), plan.budget)
        return engine.touches(table, noise_scale=scale, budget=plan.budget), scale
    of_texts = texts.budget_of(plan)
    of_table = Budget(
        epsilon=plan.budget.epsilon * (1 - plan.synthesis.text_share), delta=plan.budget.delta * (1 - plan.synthesis.text_share)
    )
    alone = calibrate(lambda scale: engine.touches(table, noise_scale=scale, budget=of_table), of_table)

    def both(factor: float) -> tuple[Touch, ...]:
        own = engine.touches(table, noise_scale=alone * factor, budget=of_table)
        return (*own, *writer.touches(noise_scale=factor, budget=of_texts))

    factor = calibrate(both, plan.budget)
    return both(factor), alone * factor


def smallest_people(touches: Sequence[Touch], *, rows_per_person: int) -> int:
    """How many people a plan needs for its counts to rise above its noise."""
    multipliers = [touch.event.noise_multiplier for touch in touches if isinstance(touch.event, DiscreteGaussian)]
    return math.ceil(SMALLEST_SIGNAL * rows_per_person * float(np.median(multipliers))) if multipliers else 100


def people_needed(plan: Plan, table: Table, engine: Synthesizer, touches: Sequence[Touch], noise_scale: float) -> int:
    """How many people a plan needs: for its counts, and for what the engine asks of its training rows."""
    needed = smallest_people(touches, rows_per_person=table.max_rows_per_person)
    of_engine = getattr(engine, "smallest_people", None)
    return max(needed, math.ceil(of_engine(table, noise_scale=noise_scale) / (1 - plan.pool_rate / 2))) if of_engine else needed


def _engine_reach(plan: Plan, table: Table, engine: Synthesizer, noise_scale: float) -> tuple[str, ...]:
    """What an engine says of its own noise, from declared facts."""
    preflight = getattr(engine, "preflight", None)
    rows = None if plan.dataset.people is None else int(plan.dataset.people * (1 - plan.pool_rate / 2))
    return tuple(preflight(table, noise_scale=noise_scale, rows=rows)) if preflight else ()


def require_columns(table: Table) -> None:
    """Refuse a table without a column to model, or with so many that choosing among their pairs would take hours."""
    columns = require_modelled(table)
    if len(columns) > MOST_COLUMNS:
        raise PlanError(
            f"columns={len(columns)} of table {table.name!r} would be modelled; expected at most {MOST_COLUMNS}: "
            'leave columns out with kind = "drop", or release the table in parts'
        )


def require_format(plan: Plan) -> None:
    """Refuse a release that could not be written in the plan's file format.

    Raises:
        PlanError: There are more rows than a sheet holds.
        MissingExtraError: The format needs a package that is not installed.
    """
    if plan.release.format != "xlsx":
        return
    registry.require("openpyxl")
    if plan.synthesis.rows > MOST_ROWS:
        raise PlanError(f'rows={plan.synthesis.rows}; a sheet of an Excel workbook holds {MOST_ROWS}: use fewer, or format = "csv"')


def require_people(plan: Plan, dataset: Dataset, engine: Synthesizer) -> None:
    """Refuse, before anything is spent, a delta too large or people too few."""
    people = dataset.count_units()
    limit = delta_limit(people)
    if plan.budget.delta > limit:
        raise PlanError(f"delta={plan.budget.delta:g}; expected at most 1/(10 x people) = {limit:.3g} for {people} people")
    if len(dataset.frame) < 2:
        raise SchemaError(f"rows={len(dataset.frame)}; one row cannot be protected: expected many people")
    for column in dataset.table.modelled:
        if bool(dataset.frame[column.name].isna().all()):
            raise SchemaError(f'column {column.name!r} holds no value at all; leave it out with kind = "drop"')
    touches, noise_scale = plan_touches(plan, dataset.schema, engine)
    needed = people_needed(plan, dataset.table, engine, touches, noise_scale)
    if people < needed:
        if math.isinf(plan.budget.epsilon):
            raise PlanError(f"people={people} are too few; expected at least {needed}")
        # Noise shrinks nearly as 1 / epsilon.
        enough = plan.budget.epsilon * needed / people
        raise PlanError(
            f"people={people} are too few for epsilon={plan.budget.epsilon:g}; expected at least {needed}, or epsilon of about {enough:.2g}"
        )


def out_of_reach(plan: Plan, policy: policies.Policy, epsilon: float, *, people: int) -> list[str]:
    """Which judgements cannot pass with these people, in sentences; for the operator's eyes."""
    counted = plan.model_copy(update={"dataset": plan.dataset.model_copy(update={"people": people})})
    return [line for line in _reachable(counted, policy, epsilon) if "cannot pass" in line]


def _reachable(plan: Plan, policy: policies.Policy, epsilon: float) -> tuple[str, ...]:
    """Which judgements can pass at all, given declared facts."""
    sensitivity = plan.release.sensitivity
    limit = policy.guarantee.largest_epsilon[sensitivity]
    lines = []
    if math.isinf(epsilon):
        if sensitivity not in policy.guarantee.no_guarantee_allowed:
            lines.append(f"guarantee: cannot pass: there is none, which the policy does not allow at sensitivity {sensitivity}")
    elif epsilon > limit:
        lines.append(f"guarantee: cannot pass: epsilon {epsilon:.3g} is above the policy's {limit:g} at sensitivity {sensitivity}")
    people = plan.dataset.people
    if people is None:
        return (*lines, "attacks: declare people under [dataset] to see whether they have power")
    held_out = round(people * plan.pool_rate / 2 * (1 - TUNING_RATE))
    limits = policy.membership
    found = reachable(
        round(people * (1 - plan.pool_rate / 2)),
        held_out,
        plan.synthesis.rows,
        auc=limits.auc,
        true_positive_rates={0.01: limits.true_positive_rate_at_1_percent, 0.001: limits.true_positive_rate_at_0_1_percent},
        largest_excess=policy.criteria.largest_excess,
        largest_floor=policy.replay.largest_floor,
        smallest_holdout=policy.holdout.smallest,
        replay_p_value=policy.replay.p_value,
    )
    for reach in found:
        may_be_missing = reach.subject == MOST_ISOLATED and not limits.vulnerable_tenth_required
        missed = "will not be measured, which the policy allows" if may_be_missing else "cannot pass"
        lines.append(f"{reach.subject}: {'within reach' if reach.reachable else missed}: {reach.reason}")
    return tuple(lines)
