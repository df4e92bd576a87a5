"""The documents against the code: commands, links, words, and README's program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from privsynth.cli import app
from privsynth.config import Plan
from privsynth.report.conclusions import conclusions_in

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDES = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/quickstart.md"))
COMMANDS = sorted(typer.main.get_command(app).commands)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

FEW_PEOPLE, FEW_ROWS = 2000, 300


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def relative_links(text: str) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text))
    return [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith(("#", "mailto:"))]


def test_relative_links_are_found():
    assert relative_links("[a](b.md#c) [d](https://e.org) [f](#g)\n```toml\n[h](i.md)\n```\n") == ["b.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    broken = [target for target in relative_links(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert broken == []


def test_there_are_commands_to_look_for():
    assert {"run", "check", "ledger"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_documented(command):
    assert re.search(rf"privsynth {command}\b", GUIDES)


def commands_named(text: str) -> set[str]:
    """What follows ``privsynth`` at the start of a line of code, or of code inside a line."""
    shell = "".join(code for language, code in FENCE.findall(text) if language == "sh")
    return set(re.findall(r"^privsynth ([a-z]+)", shell, re.MULTILINE)) | set(re.findall(r"`privsynth ([a-z]+)", FENCE.sub("", text)))


def test_commands_are_found_in_code_only():
    assert commands_named("privsynth turns\n`privsynth run`\n```sh\nprivsynth check plan.toml\n```\n") == {"run", "check"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_is_documented_that_does_not_exist(page):
    assert commands_named(page.read_text(encoding="utf-8")) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_starts_with_the_command(command):
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: privsynth {command}" in shown.output


def test_options_in_the_guides_exist():
    known = {
        option for command in typer.main.get_command(app).commands.values() for parameter in command.params for option in parameter.opts
    }
    of_other_tools = {"--strict", "--version", "--debug"}
    named = {option for page in PAGES for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8"))}
    assert named - known - of_other_tools == set()


def test_overall_help_lists_each_command_with_what_it_does():
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert all(re.search(rf"^\s+{command}\s+\S", shown.output, re.M) for command in COMMANDS)


def test_banned_words_are_seen():
    assert conclusions_in("This data is SAFE and fully anonymised.") == ["anonymised", "safe"]
    assert conclusions_in("unsafe, safely") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_draws_a_conclusion_that_a_person_has_to_draw(page):
    assert conclusions_in(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("target", re.findall(r"`make (\w+)`|^make (\w+)", GUIDES, re.M), ids=lambda pair: "".join(pair))
def test_make_targets_in_the_guides_exist(target):
    assert re.search(rf"^{''.join(target)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def test_decisions_are_numbered_without_gaps():
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


@pytest.fixture
def small_bank(tmp_path, monkeypatch):
    """The fictional bank's plan, with fewer clients and synthetic rows, where README's program looks for it."""
    folder = tmp_path / "sample_data"
    folder.mkdir()
    source = ROOT / "sample_data"
    plan = (source / "plan.toml").read_text(encoding="utf-8")
    small = plan.replace("people = 12000", f"people = {FEW_PEOPLE}").replace("rows = 5000", f"rows = {FEW_ROWS}")
    assert small.count(f"people = {FEW_PEOPLE} ") == small.count(f"rows = {FEW_ROWS}\n") == 1
    (folder / "plan.toml").write_text(small, encoding="utf-8")
    (folder / "postcodes.csv").write_bytes((source / "postcodes.csv").read_bytes())
    lines = (source / "clients.csv").read_bytes().splitlines(keepends=True)
    (folder / "clients.csv").write_bytes(b"".join(lines[: FEW_PEOPLE + 1]))
    monkeypatch.chdir(tmp_path)
    return folder


def test_readme_program_runs_and_ends_in_a_verdict(small_bank, capsys):
    programs = blocks(ROOT / "README.md", "python")
    assert len(programs) == 1
    assert len(programs[0].splitlines()) == 8
    names: dict[str, object] = {}
    exec(compile(programs[0], "README.md", "exec"), names)
    release = names["release"]
    shown = capsys.readouterr().out.splitlines()
    assert "differential privacy with epsilon <= 4 " in shown[0]
    assert shown[-1] == f"Verdict: {release.verdict}"
    assert shown[-1].removeprefix("Verdict: ") in ("pass", "fail", "inconclusive")
    assert len(shown) == 2 + len(release.summary["verdict"]["reasons"])
    assert release.internal.is_dir()
    assert (release.folder is None) == (release.verdict == "fail")
    if release.folder:  # a blocked run, at the policy's false-alarm rate of 1e-3 for each family of attacks, writes none
        files = {path.name for path in release.folder.iterdir() if path.is_file()}
        assert files == {"croissant.json", "report.html", "report.json", "report.pdf", "manifest.json"}
        assert all(f"`{name}`" in GUIDES for name in files)


def test_toml_in_the_quickstart_is_a_valid_part_of_a_plan(small_bank):
    import tomllib

    part = tomllib.loads(blocks(ROOT / "docs" / "quickstart.md", "toml")[0])
    columns = part["tables"]["clients"]["columns"]
    whole = tomllib.loads((small_bank / "plan.toml").read_text(encoding="utf-8"))
    whole["tables"]["clients"] |= {"columns": columns}
    del whole["tables"]["clients"]["target"], whole["tables"]["clients"]["constraints"]
    plan = Plan.from_dict(whole, base=small_bank)
    assert {column.name for column in plan.declared_schema().tables[0].columns} == set(columns) - {"branch"}
