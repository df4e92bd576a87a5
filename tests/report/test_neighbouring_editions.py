"""Two runs on data that differ in one person: their vendor editions differ in entries that the guarantee covers, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import fakes
import numpy as np
import pytest

from privsynth import pipeline
from privsynth.config import Plan
from privsynth.privacy import Ledger
from privsynth.report.policy import Judgement

PLAN = """
[dataset]
name = "people"
privacy_unit = "person"
people = 700
[tables.people]
path = "people.csv"
on_violation = "clip"
[tables.people.columns]
person  = { kind = "identifier" }
segment = { kind = "categorical", categories = ["retail", "private", "business"], nullable = false }
age     = { kind = "integer", bounds = [18, 70], nullable = false }
income  = { kind = "decimal", bounds = [0, 500000], step = 0.01 }
joined  = { kind = "drop" }
active  = { kind = "boolean", nullable = false }
[privacy]
epsilon = 4.0
delta = 1e-6
[synthesis]
rows = 300
[release]
folder = "out"
sensitivity = "low"
"""

OF_THE_RUN = {"event_id", "ledger_head"}
"""Random ids; and the head of a chain in which every entry carries a random nonce."""

COVERED = {"cells", "bins", "merged", "null_share", "other_share"}
"""Of a column's model: bought with noise."""


def run_on(folder, frame, monkeypatch):
    folder.mkdir()
    frame.to_csv(folder / "people.csv", index=False)
    (folder / "plan.toml").write_text(PLAN)
    # the verdict is one bit outside the guarantee, and named as such in every edition: it is held still here
    light = Judgement(subject="run", light="inconclusive", reason="a test")
    monkeypatch.setattr("privsynth.report.policy.judge", lambda *arguments, **keywords: (light,))
    return pipeline.run(
        Plan.load(folder / "plan.toml"),
        ledger=Ledger.open(folder / "ledger.sqlite"),
        noise=fakes.SeededNoise(len(frame)),
        rng=np.random.default_rng(len(frame)),
    )


def differences(one: object, other: object, path: tuple = ()) -> Iterator[tuple]:
    """Paths of everything that is not the same."""
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        for key in one:
            yield from differences(one[key], other[key], (*path, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, (*path, number))
    elif one != other:
        yield path


def is_covered(path: tuple) -> bool:
    return path[0] in OF_THE_RUN or (path[0] == "columns" and path[2] == "model" and path[3] in COVERED)


@pytest.mark.slow
def test_vendor_editions_of_neighbours_differ_in_covered_entries_alone(tmp_path, monkeypatch):
    frame = fakes.people(700)
    frame.loc[0, "age"] = 69  # someone who stands out, and is not in the other data
    releases = [run_on(tmp_path / name, data, monkeypatch) for name, data in (("with", frame), ("without", frame.iloc[1:]))]
    editions = [json.loads(release.report("vendor", "json")) for release in releases]
    head = [edition["ledger_head"] for edition in editions]
    for edition, own in zip(editions, head, strict=True):  # the legal evidence quotes the head
        edition["legal"] = json.loads(json.dumps(edition["legal"]).replace(own, "HEAD"))
    found = list(differences(*editions))
    assert {path[0] for path in found} >= OF_THE_RUN
    assert [path for path in found if not is_covered(path)] == []


@pytest.mark.slow
def test_internal_editions_of_neighbours_do_differ_elsewhere(tmp_path, monkeypatch):
    """Positive control: the comparison sees exact counts where they are."""
    frame = fakes.people(700)
    releases = [run_on(tmp_path / name, data, monkeypatch) for name, data in (("with", frame), ("without", frame.iloc[1:]))]
    found = list(differences(*(json.loads(release.report("internal", "json")) for release in releases)))
    assert any(path[:2] == ("counts", "people") for path in found)
