"""Every test has its own ledger: none may touch the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Threads that wait for a busy core spin: on a shared machine they cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ADULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "adult" / "adult.csv"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIVSYNTH_LEDGER", str(tmp_path / "state" / "ledger.sqlite"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))


@pytest.fixture(autouse=True)
def no_pdf_in_passing(request, monkeypatch):
    """A PDF costs each run half a second: it is made in the tests of the report, and in fixtures of a whole module."""
    if request.path.parent.name != "report" and request.path.name != "test_docs.py":
        monkeypatch.setattr("privsynth.report.pdf.is_available", lambda: False)


@pytest.fixture
def without_plots(monkeypatch):
    """Plots take most of a report's time, and say nothing where its words are tested."""
    monkeypatch.setattr("privsynth.report.plots.drawings", lambda report: [])


@pytest.fixture
def adult_path():
    if not ADULT.exists():
        pytest.skip("the public Adult table is not beside this checkout")
    return ADULT
