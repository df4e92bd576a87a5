"""What a run promises, measures and is stopped by: commitment, use of the holdout, the one-run bound, named comparisons."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import fakes
import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from privsynth import pipeline
from privsynth.audit.base import AuditRun
from privsynth.audit.commitment import Opening, coins_of
from privsynth.audit.epsilon_bounds import GUARANTEE_CONTRADICTED
from privsynth.audit.one_run import ONE_RUN
from privsynth.config import Plan
from privsynth.errors import PrivSynthError
from privsynth.privacy import DiscreteGaussian, Ledger, Touch
from privsynth.protocol import ATTACKS
from privsynth.release import Release
from privsynth.report import policy as policies
from privsynth.report.policy import Policy

N_PEOPLE = 1600

PLAN = """
[dataset]
name = "people"
privacy_unit = "person"
people = 1600
[tables.people]
path = "people.csv"
target = "active"
[tables.people.columns]
person  = { kind = "identifier" }
segment = { kind = "categorical", categories = ["retail", "private", "business"], nullable = false }
age     = { kind = "integer", bounds = [18, 110], nullable = false }
income  = { kind = "decimal", bounds = [0, 500000], step = 0.01, nullable = false }
joined  = { kind = "datetime", bounds = [2015-01-01, 2025-01-01], nullable = false }
active  = { kind = "boolean", nullable = false }
[privacy]
epsilon = 1.0
delta = 1e-6
[synthesis]
rows = 900
[audit]
AUDIT
[release]
folder = "out"
sensitivity = "low"
"""


@dataclass(frozen=True, kw_only=True)
class CopiedModel:
    """Rows of train."""

    frame: pd.DataFrame
    column_reports: tuple = ()
    edges: tuple = ()

    def sample(self, n, *, rng, given=None):
        return self.frame.iloc[rng.permutation(len(self.frame))[:n]].reset_index(drop=True)

    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text("{}")


@dataclass(frozen=True, kw_only=True)
class Copier:
    """An engine that says it adds noise, reserves what it says, and copies."""

    notes: tuple = field(default=())

    def touches(self, table, *, noise_scale, budget):
        return (Touch("tables", "histogram", DiscreteGaussian(noise_multiplier=noise_scale)),)

    def fit(self, train, *, reservation):
        reservation.spend("tables", "histogram")
        return CopiedModel(frame=train.frame[[column.name for column in train.table.modelled]])


NOTHING_FOUND = AuditRun(results=(), controls=(), floors={}, notes=(), alpha=0.01, seconds=0.0)
"""What all other attacks find is tested where they are; only the bound speaks here."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run, what the attacks were given, and what the ledger knew when fitting began."""

    base: Path
    release: Release
    given: dict
    parts: np.ndarray
    known: list[dict]


def ran(base: Path, *, audit: str = "", engine: object = None, seed: int = 0, **keywords) -> Ran:
    if not (base / "people.csv").exists():
        fakes.people(N_PEOPLE).to_csv(base / "people.csv", index=False)
    (base / "plan.toml").write_text(PLAN.replace("AUDIT", audit))
    given, known, drawn = {}, [], []
    draw, model = pipeline.draw_parts, pipeline._model

    def attacked(*datasets, **settings):
        given.update(settings)
        return NOTHING_FOUND

    def drawn_once(*arguments, **settings):
        drawn.append(draw(*arguments, **settings))
        return drawn[-1]

    def fitted(*arguments):
        known.extend(entries(base, "commitment"))
        return model(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("privsynth.audit.run", attacked)
        patch.setattr("privsynth.pipeline.draw_parts", drawn_once)
        patch.setattr("privsynth.pipeline._model", fitted)
        patch.setattr("privsynth.audit.utility.MIN_SEGMENT_ROWS", 20)  # few people are held out here
        if engine is not None:
            patch.setattr("privsynth.preflight.synthesizer", lambda plan: engine)
        release = pipeline.run(
            Plan.load(base / "plan.toml"),
            ledger=ledger_of(base),
            noise=fakes.SeededNoise(1000 + seed),
            rng=np.random.default_rng(seed),
            **keywords,
        )
    return Ran(base=base, release=release, given=given, parts=drawn[0], known=known)


def ledger_of(base: Path) -> Ledger:
    return Ledger.open(base / "state" / "ledger.sqlite")


def entries(base: Path, kind: str) -> list[dict]:
    return [dict(entry.body) for entry in ledger_of(base).entries() if entry.kind == kind]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A release of the tree, at the plan's epsilon, with an earlier release named."""
    base = tmp_path_factory.mktemp("tree")
    fakes.people(400, seed=3).assign(is_synthetic=True).to_csv(base / "earlier.csv", index=False)
    return ran(base, audit='earlier_release = "earlier.csv"')


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A release of the copier, with two evaluation sets named."""
    base = tmp_path_factory.mktemp("copier")
    fakes.people(N_PEOPLE).to_csv(base / "seen.csv", index=False)
    fakes.people(200, seed=9).drop(columns="person").to_csv(base / "fresh.csv", index=False)
    return ran(base, audit='evaluation = ["seen.csv", "fresh.csv"]', engine=Copier())


def bound_of(release):
    (result,) = [result for result in release.measurements.audit.results if result.audit == ONE_RUN.audit]
    return result


def test_a_copier_that_claims_epsilon_one_is_contradicted_and_not_exported(copied):
    release = copied.release
    assert release.cost.epsilon <= 1.0
    assert bound_of(release).details["contradicts"] is True
    assert release.verdict == "fail"
    assert release.folder is None
    assert not (copied.base / "out").exists()
    reasons = [reason for reason in release.summary["verdict"]["reasons"] if reason["light"] == "fail"]
    assert [reason["subject"] for reason in reasons] == [bound_of(release).key]
    assert GUARANTEE_CONTRADICTED in reasons[0]["reason"]
    assert (release.internal / "not-exported" / "people.csv").exists()


def test_a_tree_with_noise_is_not_contradicted(tree):
    """Chance of an alarm at most 5 %; noise and split are fixed."""
    result = bound_of(tree.release)
    assert result.status == "measured"
    assert result.value < 0.5
    assert result.details["contradicts"] is False
    assert tree.release.verdict != "fail"
    assert (tree.base / "out").exists()


def test_split_attacks_and_policy_are_committed_before_anything_is_fitted(tree):
    release = tree.release
    (entry,) = tree.known
    assert entry == {"id": release.event_id, "digest": entry["digest"], "attacks": list(ATTACKS), "policy": Policy.load().sha256}
    assert entries(tree.base, "commitment") == tree.known
    assert len(bytes.fromhex(release.opening.commitment.nonce)) == 32
    stored = TypeAdapter(Opening).validate_python(json.loads((release.internal / "commitment.json").read_text()))
    assert stored.matches(entry["digest"])
    assert release.summary["protocol"]["commitment"]["digest"] == entry["digest"]


def test_the_opening_says_who_was_held_out(tree):
    people = pd.read_csv(tree.base / "people.csv", dtype=str)["person"].to_numpy(dtype=object)
    assert tree.release.opening.flips == np.packbits(coins_of(tree.parts, people)).tobytes().hex()


def test_the_ledger_head_of_a_release_holds_its_commitment(tree):
    """A ledger from which the commitment was cut off does not know the release."""
    kinds = {entry.hash: entry.kind for entry in ledger_of(tree.base).entries()}
    hashes = list(kinds)
    committed = next(hash for hash in hashes if kinds[hash] == "commitment")
    assert hashes.index(tree.release.ledger_head) >= hashes.index(committed)


def test_the_vendor_edition_holds_nothing_of_the_protocol(tree):
    release = tree.release
    vendor = release.report("vendor", "json") + release.report("vendor", "html") + (tree.base / "out" / "manifest.json").read_text()
    for secret in (release.opening.commitment.nonce, release.opening.commitment.digest, release.opening.flips):
        assert secret not in vendor
    assert "protocol" not in json.loads(release.report("vendor", "json"))


def test_groups_segments_and_coverage_are_measured(tree):
    broad = tree.release.measurements.breadth
    assert {rate.group for rate in broad.rates} == {"segment = retail", "segment = private", "segment = business"}
    assert {entry.column for entry in broad.diversity.columns} == {"segment", "age", "income", "joined", "active"}
    segments = {segment.segment for score in tree.release.measurements.utility.scores for segment in score.segments}
    assert "segment = retail" in segments
    for edition, shown in (("internal", True), ("vendor", False)):
        page = tree.release.report(edition, "html")
        for title in ("Utility by segment", "Rates by group", "Diversity and tails", "Committed before training"):
            assert (title in page) == shown


def test_an_earlier_release_reaches_the_attacks(tree):
    earlier = tree.given["earlier"]
    assert list(earlier.frame) == ["segment", "age", "income", "joined", "active"]
    assert len(earlier.frame) == 400


def test_evaluation_sets_that_the_plan_names_are_looked_for_in_the_release(copied):
    shared = {one.name: (one.shared, one.n) for one in copied.release.measurements.breadth.contamination}
    assert shared == {"seen.csv": (900, N_PEOPLE), "fresh.csv": (0, 200)}


@pytest.mark.slow
def test_releases_judged_by_these_people_are_counted(tmp_path):
    first = ran(tmp_path).release
    ledger_of(tmp_path).set_cap("people", 10.0)
    text = (tmp_path / "plan.toml").read_text()
    for folder in ("second", "third"):
        (tmp_path / "plan.toml").write_text(text.replace('folder = "out"', f'folder = "{folder}"'))
        last = pipeline.run(Plan.load(tmp_path / "plan.toml"), ledger=ledger_of(tmp_path), rng=np.random.default_rng(5))
    assert (first.holdout_uses, last.holdout_uses) == (1, 3)
    assert first.summary["protocol"]["note"] is None
    assert "3 releases" in last.summary["protocol"]["note"]
    assert len(entries(tmp_path, "audit")) == 3


@pytest.mark.slow
def test_a_benchmark_split_has_no_coins_to_commit_to_or_to_guess(tmp_path):
    run = ran(tmp_path, benchmark=True)
    assert run.release.opening is None
    assert bound_of(run.release).status == "not measurable"
    assert run.known == entries(tmp_path, "commitment") == []
    assert not (run.release.internal / "commitment.json").exists()


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        ('evaluation = ["none.csv"]', "none.csv"),
        ('evaluation = ["other.csv"]', "colour"),
        ('evaluation = ["ids.csv"]', "modelled columns"),
        ('earlier_release = "part.csv"', "lacks column 'age'"),
        ('earlier_release = "empty.csv"', "no rows"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_anything_is_spent(audit, words, tmp_path):
    people = fakes.people(30)
    people[["person"]].to_csv(tmp_path / "ids.csv", index=False)
    people.assign(colour="red").to_csv(tmp_path / "other.csv", index=False)
    people[["segment"]].to_csv(tmp_path / "part.csv", index=False)
    people.iloc[:0].to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(PrivSynthError, match=words) as caught:
        ran(tmp_path, audit=audit)
    assert "P0000" not in str(caught.value)
    assert entries(tmp_path, "reserve") == []
    assert not (tmp_path / "out").exists()


def test_a_bound_is_judged_by_its_claim_alone():
    policy = Policy.load()

    def judged(**details):
        result = replace(ONE_RUN, value=1.2, ceiling=4.0, details={"power": 0.4, **details})
        audit = AuditRun(results=(result,), controls=(), floors={"exact replay": 0.01}, notes=(), alpha=0.01, seconds=0.0)
        return [j for j in policies.audit_judgements(policy, audit, holdout_people=10_000) if j.subject == result.key]

    assert [j.light for j in judged(claimed_epsilon=1.0, contradicts=True)] == ["fail"]
    assert [j.light for j in judged(claimed_epsilon=3.0, contradicts=False)] == ["pass"]
    assert judged() == []
    assert "1.2" in judged(claimed_epsilon=3.0, contradicts=False)[0].reason
