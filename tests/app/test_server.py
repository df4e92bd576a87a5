"""How the app is served: locally and silently, whichever way it is started."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from privsynth.app_pages.server import ALLOWED_HOSTS, OPTIONS, arguments

ROOT = Path(__file__).resolve().parents[2]


def test_the_configuration_of_the_repository_says_the_same_as_the_flags():
    sections = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    flat = {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}
    assert flat.pop("server.allowedHosts") == list(ALLOWED_HOSTS)
    assert flat == OPTIONS


def test_it_is_local_and_sends_nothing():
    assert OPTIONS["server.address"] == "localhost"
    assert OPTIONS["browser.gatherUsageStats"] is False
    assert OPTIONS["client.showErrorDetails"] == "none"


def test_streamlit_knows_every_option():
    config = pytest.importorskip("streamlit.config", reason="the extra app is not installed")
    known = {option.key for option in config.get_config_options().values()}
    assert {*OPTIONS, "server.allowedHosts", "server.port"} <= known


def test_flags_are_written_as_streamlit_reads_them():
    given = arguments(8600)
    assert given[0] == "run"
    assert Path(given[1]) == ROOT / "privsynth" / "app.py"
    assert "--browser.gatherUsageStats=false" in given
    assert "--server.maxUploadSize=200" in given


def test_the_script_of_the_repository_is_two_lines():
    lines = [line for line in (ROOT / "app.py").read_text().splitlines() if line]
    assert lines[1:] == ["from privsynth.app import main", "main()"]
