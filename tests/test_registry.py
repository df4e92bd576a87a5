"""Engines and optional packages are loaded on use, and a wrong name is answered with the nearest one."""

from __future__ import annotations

import importlib

import pytest

from privsynth import registry
from privsynth.errors import MissingExtraError, PlanError
from privsynth.tabular.tree import Tree


class EntryPoint:
    """What an installed package declares."""

    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value


def test_every_engine_that_is_named_can_be_loaded():
    assert registry.synthesizer("tree") is Tree
    for name in registry.SYNTHESIZERS:
        assert hasattr(registry.synthesizer(name), "touches")


def test_an_unknown_engine_is_refused_with_the_nearest_name():
    with pytest.raises(PlanError, match=r"expected one of .*tree.*did you mean 'tree'"):
        registry.synthesizer("tre")


def test_a_package_can_add_an_engine_and_cannot_replace_one(monkeypatch):
    points = [EntryPoint("other", "collections:OrderedDict"), EntryPoint("tree", "collections:Counter")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.ENTRY_POINT_GROUP else [])
    assert registry.synthesizer("other").__name__ == "OrderedDict"
    assert registry.synthesizer("tree") is Tree


@pytest.mark.parametrize("module", sorted(registry._EXTRA_OF_MODULE))
def test_a_missing_package_names_its_extra(module, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    extra = registry._EXTRA_OF_MODULE[module]
    with pytest.raises(MissingExtraError, match=rf'pip install "privsynth\[{extra}\]"'):
        registry.require(module)


def test_every_extra_that_a_message_names_is_declared():
    import tomllib
    from pathlib import Path

    project = Path(registry.__file__).parents[1] / "pyproject.toml"
    extras = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
    assert set(registry._EXTRA_OF_MODULE.values()) <= set(extras)


def test_a_package_that_is_broken_inside_is_not_called_missing(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("No module named 'something_else'", name="something_else")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError) as caught:
        registry.require("spacy")
    assert not isinstance(caught.value, MissingExtraError)


def test_a_hint_is_given_only_when_something_is_near():
    assert registry.hint("epsilom", ["epsilon", "delta"]) == "; did you mean 'epsilon'?"
    assert registry.hint("rows", ["epsilon", "delta"]) == ""


def test_text_engines_are_found_by_name():
    from privsynth.text.ngram import NGram

    assert registry.text_synthesizer("ngram") is NGram
    with pytest.raises(PlanError, match="did you mean 'ngram'"):
        registry.text_synthesizer("ngrams")
