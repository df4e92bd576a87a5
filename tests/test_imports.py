"""``import privsynth`` and its help load nothing heavy, and the public names are what they claim."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import privsynth

HEAVY = (
    "torch",
    "sdv",
    "presidio_analyzer",
    "spacy",
    "streamlit",
    "opendp",
    "sklearn",
    "transformers",
    "faker",
    "matplotlib",
    "scipy.stats",
)

PRINT_LOADED = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)"


def loaded_by(code: str) -> list[str]:
    """The heavy modules that a fresh interpreter has loaded after running ``code``."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{PRINT_LOADED}"], capture_output=True, text=True, check=True)
    return json.loads(done.stderr.strip().splitlines()[-1])


def test_the_probe_sees_a_heavy_module():
    assert loaded_by("import scipy.stats") == ["scipy.stats"]


@pytest.mark.parametrize(
    "code",
    [
        "import privsynth",
        "import privsynth\nfor name in privsynth.__all__: getattr(privsynth, name)",
        "import privsynth.cli",
    ],
)
def test_nothing_heavy_is_loaded_by_importing(code):
    assert loaded_by(code) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["check", "none.toml"]])
def test_nothing_heavy_is_loaded_by_the_command_line(arguments):
    code = f"import sys; sys.argv = ['privsynth', *{arguments!r}]\nfrom privsynth.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_by(code) == []


def test_importing_writes_and_prints_nothing():
    done = subprocess.run([sys.executable, "-W", "error", "-c", "import privsynth"], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_public_names_are_sorted_and_importable():
    assert privsynth.__all__ == sorted(privsynth.__all__)
    assert len(set(privsynth.__all__)) == len(privsynth.__all__)
    assert dir(privsynth) == privsynth.__all__
    for name in privsynth.__all__:
        assert getattr(privsynth, name) is not None


def test_public_names_say_where_they_live():
    for name, home in privsynth._HOME.items():
        assert name in privsynth.__all__
        assert getattr(privsynth, name) is getattr(sys.modules[home], name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = privsynth.nothing


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "privsynth", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, privsynth.__version__, "")
