"""Every test has its own ledger: none may touch the user's."""

from __future__ import annotations

from pathlib import Path

import pytest


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
