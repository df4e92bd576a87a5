"""The bill of materials names what is installed and required, and nothing else."""

from __future__ import annotations

from importlib import metadata

from privsynth.report.components import bill_of_materials


def test_direct_and_indirect_requirements_are_listed_with_their_version_and_licence():
    listed = {entry["name"].lower(): entry for entry in bill_of_materials()}
    for name in ("numpy", "pandas", "dp-accounting", "scipy", "markupsafe"):  # the last by way of jinja2
        assert listed[name]["version"] == metadata.version(name)
        assert listed[name]["licence"]
    assert "BSD" in listed["pandas"]["licence"]


def test_tools_of_developers_and_strangers_are_left_out():
    listed = {entry["name"].lower() for entry in bill_of_materials()}
    assert not listed & {"pytest", "hypothesis", "mypy", "pip", "privsynth"}


def test_the_order_is_by_name_and_nothing_is_there_twice():
    names = [entry["name"] for entry in bill_of_materials()]
    assert len(names) == len(set(names)) > 20
    assert [name.lower().replace("_", "-") for name in names] == sorted(name.lower().replace("_", "-") for name in names)
