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


@pytest.fixture
def adult_path():
    if not ADULT.exists():
        pytest.skip("the public Adult table is not beside this checkout")
    return ADULT
