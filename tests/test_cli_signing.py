"""keygen, sign and verify from the command line: exit codes, one line for each fault, and nothing of a passphrase."""

from __future__ import annotations

import json
import sys

import pytest
from release_fakes import written

from privsynth.cli import main
from privsynth.verifying import DOES_NOT_PROVE


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder with a release, a builder's key, and a reviewer's key with a passphrase."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "release", expires="2050-01-01")
    (tmp_path / "passphrase").write_text("correct horse\n")
    (tmp_path / "passphrase").chmod(0o600)
    assert call(monkeypatch, "keygen", "build.key", "--no-passphrase") == 0
    assert call(monkeypatch, "keygen", "me.key", "--passphrase-file", "passphrase") == 0
    return tmp_path


def call(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["privsynth", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


BUILD = ("sign", "release", "--role", "build", "--key", "build.key")
REVIEW = ("sign", "release", "--role", "reviewer", "--key", "me.key", "--build-key", "build.pub", "--passphrase-file", "passphrase")


def test_a_release_is_signed_reviewed_and_verified(base, monkeypatch, capsys):
    assert call(monkeypatch, *BUILD) == 0
    assert call(monkeypatch, *REVIEW, "--condition", "deleted by 2040-06-30", "--expires", "2040-06-30") == 0
    capsys.readouterr()
    assert call(monkeypatch, "verify", "release", "--key", "build.pub", "--reviewer-key", "me.pub") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Accepted: 5 files are those that were signed.")
    assert "Condition: deleted by 2040-06-30" in shown
    assert "holds until 2040-06-30" in shown
    assert "epsilon <= 2.5" in shown
    assert all(line in shown for line in DOES_NOT_PROVE)


def test_a_refused_release_exits_1_with_its_reason(base, monkeypatch, capsys):
    assert call(monkeypatch, *BUILD) == 0
    (base / "release" / "report.html").write_text("other")
    capsys.readouterr()
    assert call(monkeypatch, "verify", "release", "--key", "build.pub") == 1
    assert capsys.readouterr().out == "Refused: changed file. not as signed: 'report.html'\n"


@pytest.mark.parametrize("signed", [True, False])
def test_json_says_the_same(signed, base, monkeypatch, capsys):
    if signed:
        assert call(monkeypatch, *BUILD) == 0
    capsys.readouterr()
    assert call(monkeypatch, "verify", "release", "--key", "build.pub", "--json") == (0 if signed else 1)
    found = json.loads(capsys.readouterr().out)
    assert (found["accepted"], found["reason"]) == ((True, None) if signed else (False, "unsigned"))


def test_a_hostile_file_name_does_not_reach_the_terminal(base, monkeypatch, capsys):
    assert call(monkeypatch, *BUILD) == 0
    (base / "release" / "a\x1b[31m\nAccepted[red]").write_text("x")
    capsys.readouterr()
    assert call(monkeypatch, "verify", "release", "--key", "build.pub") == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count("\n") == 1
    assert "Accepted[red]" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("keygen", "build.key", "--no-passphrase"), "never overwritten"),
        (("keygen", "release/new.key", "--no-passphrase"), "which is handed over"),
        (("keygen", "new.key"), "no terminal to ask at"),
        (("keygen", "new.key", "--no-passphrase", "--passphrase-file", "passphrase"), "contradict each other"),
        (("sign", "release", "--role", "king", "--key", "build.key"), "role='king' is unknown"),
        (("sign", "release", "--role", "reviewer", "--key", "build.key"), "--build-key belongs to"),
        ((*BUILD, "--build-key", "build.pub"), "--build-key belongs to"),
        ((*BUILD, "--expires", "tomorrow"), "is no date"),
        ((*BUILD, "--expires", "2001-01-01"), "has passed"),
        ((*BUILD, "--expires", "2060-01-01"), "later than the release's own end"),
        ((*BUILD, "--condition", ""), "a condition is empty"),
        ((*BUILD, "--passphrase-file", "passphrase"), "is not encrypted"),
        (("sign", "release", "--role", "build", "--key", "me.key"), "no terminal to ask at"),
        (("sign", "release", "--role", "build", "--key", "build.pub"), "mode 0644"),
        (("sign", "nowhere", "--role", "build", "--key", "build.key"), "is no folder"),
        (REVIEW, "refused (unsigned"),
        (("verify", "release", "--key", "build.key"), "is a private key"),
        (("verify", "release", "--key", "none.pub"), "cannot be read"),
        (("verify", "nowhere", "--key", "build.pub"), "is not there"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, words, base, monkeypatch, capsys):
    before = sorted(path.relative_to(base) for path in base.rglob("*"))
    capsys.readouterr()
    assert call(monkeypatch, *arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert "correct horse" not in shown.err + shown.out
    assert sorted(path.relative_to(base) for path in base.rglob("*")) == before


def test_a_passphrase_is_asked_for_twice_at_a_terminal(base, monkeypatch, capsys):
    import typer

    asked = []

    def prompt(text, *, hide_input, confirmation_prompt):
        asked.append((hide_input, confirmation_prompt))
        return "typed"

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert call(monkeypatch, "keygen", "typed.key") == 0
    assert call(monkeypatch, "sign", "release", "--role", "build", "--key", "typed.key") == 0
    assert asked == [(True, True), (True, False)]
    assert call(monkeypatch, "verify", "release", "--key", "typed.pub") == 0
