"""One tree of errors; the tree in the docstring is the tree in the code."""

from __future__ import annotations

import inspect
import re

import pytest

from privsynth import errors

CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}


def test_the_docstring_draws_every_error_with_its_second_base():
    drawn = dict(re.findall(r"^[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__, flags=re.MULTILINE))
    assert set(drawn) | {"PrivSynthError"} == set(CLASSES)
    for name, base in drawn.items():
        bases = {cls.__name__ for cls in CLASSES[name].__bases__}
        assert bases == {"PrivSynthError", base} - {""}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_is_caught_by_the_base_and_keeps_its_message(name):
    with pytest.raises(errors.PrivSynthError, match="what; expected; next"):
        raise CLASSES[name]("what; expected; next")


def test_every_message_in_the_package_is_built_from_its_own_text():
    """No raise passes another exception's text on: parsers quote the data. Named below: the ones that quote a plan, a legal table or SQLite."""
    from pathlib import Path

    allowed = {"config.py", "policy.py", "frameworks.py", "ledger.py"}
    for path in Path(errors.__file__).parent.rglob("*.py"):
        quoted = re.findall(r"raise \w+Error\([^)]*\{error\}", path.read_text(encoding="utf-8"))
        assert not quoted or path.name in allowed, path
