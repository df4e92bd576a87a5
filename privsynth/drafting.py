"""A first plan for a person to complete: what the columns seem to be, and blanks for what must be declared.

Kinds and types of personal data are proposals read off the data: they become declarations when a person has looked at them.
Bounds, categories and facts about nulls are never filled in from the data: they stay as comments to complete.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from privsynth import pii, sources

_BLANKS = {
    "integer": "bounds = [LOW, HIGH]",
    "decimal": "step = 0.01, bounds = [LOW, HIGH]",
    "datetime": 'step = "day", bounds = [YYYY-MM-DD, YYYY-MM-DD]',
    "categorical": 'categories = ["A", "B"]',
    "boolean": "nullable = false",
}

_HEAD = """\
# A draft: privsynth looked at the columns and proposes how to read them. Confirm each line.
# What is typed here must come from something else than these data (a code book, a form, a law).
# Facts that stay undeclared are bought from the budget, and cost quality.

[dataset]
name = {name}  # the key of the ledger: the same people keep the same name
confirmed = false                 # set to true when a person has looked at every column below: until then the facts come from the data
# privacy_unit = "client_id"      # the column that identifies a person, or "row" if one row is one person
# people = 10000                  # how many, if that is public

[tables.{table}]
path = {path}
# target = "..."                  # the column that the recipient will predict

[tables.{table}.columns]
"""

_TAIL = """
[privacy]
# epsilon = 1.0                   # adding or removing one person; a guess at even odds ends at most at e^eps / (1 + e^eps)
# delta = 1e-6                    # at most 1 / (10 x people)

[synthesis]
tables = "tree"
text = "drop"
# rows = 5000

[release]
folder = {folder}
# purpose = "..."
# recipient = "..."
# expires = 2027-06-30
# publisher = "..."               # with license: for the description that machines read, croissant.json
# license = "..."
# sign_key = "build.key"          # signs the release as it is written; made with: privsynth keygen build.key
"""


def draft_plan(data: str | Path, *, relative_to: Path) -> str:
    """A commented plan for one table, as TOML text; holds no value of the data.

    Args:
        data: The table.
        relative_to: Folder of the plan, which the path to the data is relative to.

    Raises:
        SourceError: The table cannot be read.
    """
    data = Path(data)
    return plan_text(pii.scan(sources.read(data).frame, rng=np.random.default_rng(0)), data, relative_to=relative_to)


def plan_text(found: pii.ScanReport, data: Path, *, relative_to: Path) -> str:
    """A commented plan for a table that was scanned already; holds no value of the data.

    Args:
        found: The scan of the table.
        data: The table.
        relative_to: Folder of the plan, which the path to the data is relative to.
    """
    head = _HEAD.format(
        name=json.dumps(data.stem, ensure_ascii=False),
        table=_key(data.stem),
        path=json.dumps(os.path.relpath(data.resolve(), relative_to), ensure_ascii=False),
    )
    width = max(len(_key(finding.column)) for finding in found.findings)
    lines = [_line(finding, width) for finding in found.findings]
    return head + "\n".join(lines) + "\n" + _TAIL.format(folder=json.dumps(f"out/{data.stem}", ensure_ascii=False))


def _line(finding: pii.ColumnFinding, width: int) -> str:
    """One column: the proposal, and as a comment what to declare or why it is personal data."""
    name = f"{_key(finding.column):{width}}"
    if finding.pii in ("FREE_TEXT", None):
        kind = "text" if finding.pii == "FREE_TEXT" else finding.kind_proposal
        blank = _BLANKS.get(kind)
        quasi = ", quasi_identifier = true" if finding.quasi_identifier else ""
        return f'{name} = {{ kind = "{kind}"{quasi} }}' + (f"   # declare: {blank}" if blank else "")
    return f'{name} = {{ kind = "identifier", pii = "{finding.pii}" }}   # {finding.evidence}'


def _key(name: str) -> str:
    """A TOML key: bare if it may be, quoted otherwise."""
    bare = name and all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in name)
    return name if bare else json.dumps(name, ensure_ascii=False)
