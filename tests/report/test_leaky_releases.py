"""Whole runs that leak: the report is red, its first page says why in one sentence, and nothing is exported."""

from __future__ import annotations

import io
from dataclasses import dataclass

import fakes
import numpy as np
import pandas as pd
import pypdf

from privsynth import pipeline
from privsynth.config import Plan
from privsynth.privacy import NonPrivate, Touch

PLAN = """
[dataset]
name = "people"
privacy_unit = "person"
people = PEOPLE
[tables.people]
path = "people.csv"
[tables.people.columns]
person  = { kind = "identifier" }
segment = { kind = "categorical", categories = ["retail", "private", "business"], nullable = false }
age     = { kind = "integer", bounds = [18, 110], nullable = false }
income  = { kind = "decimal", bounds = [0, 500000], step = 0.01, nullable = false }
joined  = { kind = "datetime", bounds = [2015-01-01, 2025-01-01], nullable = false }
active  = { kind = "boolean", nullable = false }
[privacy]
epsilon = inf
delta = 1e-5
[synthesis]
tables = "ENGINE"
rows = 300
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
        return self.frame.iloc[rng.integers(len(self.frame), size=n)].reset_index(drop=True)

    def save(self, folder) -> None:
        (folder / "model.json").write_text("{}")


class Copier:
    """An engine that hands out its training rows, and admits that it has no proof."""

    def touches(self, table, *, noise_scale, budget):
        return (Touch("tables", "rows of train", NonPrivate()),)

    def fit(self, train, *, reservation):
        reservation.spend("tables", "rows of train")
        return CopiedModel(frame=train.frame[[column.name for column in train.table.modelled]])


def planned(folder, *, engine: str, people: int) -> Plan:
    fakes.people(people).to_csv(folder / "people.csv", index=False)
    (folder / "plan.toml").write_text(PLAN.replace("ENGINE", engine).replace("PEOPLE", str(people)))
    return Plan.load(folder / "plan.toml")


def assert_red_and_why(release, folder, words: str) -> None:
    assert release.verdict == "fail"
    assert release.folder is None
    assert not (folder / "out").exists()
    sentence = release.summary["verdict"]["sentence"]
    assert sentence.startswith("Stopped: ")
    assert words in sentence
    first = pypdf.PdfReader(io.BytesIO(release.report("internal", "pdf"))).pages[0].extract_text()
    printed = " ".join(first.split())
    assert "■ failed" in printed
    assert sentence in printed
    assert printed.index(sentence) < printed.index("Tested:")
    assert sentence in release.report("internal").replace("&#39;", "'")


def test_a_copier_is_stopped_for_the_records_that_it_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr("privsynth.preflight.synthesizer", lambda plan: Copier())
    release = pipeline.run(planned(tmp_path, engine="tree", people=900), rng=np.random.default_rng(0), noise=fakes.SeededNoise(1))
    assert_red_and_why(release, tmp_path, "the synthetic data repeat the whole record of")
    vendor = release.report("vendor")
    assert "Stopped" not in vendor
    assert "not passed" in vendor
