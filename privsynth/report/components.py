"""The software that made a release, with its licences: what was installed, by the metadata of the packages themselves."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from importlib import metadata

PACKAGE = "privsynth"

_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_LONGEST = 60
_UNKNOWN = "not stated by the package"


@lru_cache(maxsize=1)
def bill_of_materials() -> tuple[dict[str, str], ...]:
    """Name, version and licence of every installed package that privsynth requires, directly or not, by name.

    Of its extras those for users count. Packages that merely lie in the same environment are left out, and so are developers' tools.
    """
    found: dict[str, dict[str, str]] = {}
    queue = deque([PACKAGE])
    seen = set(queue)
    while queue:
        name = queue.popleft()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name != PACKAGE:
            label = distribution.metadata["Name"]
            found[name] = {"name": label, "version": distribution.version, "licence": _licence(distribution.metadata)}
        for requirement in distribution.requires or ():
            matched = _NAME.match(requirement)
            if matched and _is_asked_for(name, requirement) and (other := _normal(matched.group())) not in seen:
                seen.add(other)
                queue.append(other)
    return tuple(found[name] for name in sorted(found))


def _is_asked_for(package: str, requirement: str) -> bool:
    """Whether it belongs to the package itself, or to one of our own extras: nobody here asks for extras of others."""
    extra = re.search(r"extra == ['\"]([^'\"]+)", requirement)
    return extra is None or (package == PACKAGE and extra[1] != "dev")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _licence(fields: metadata.PackageMetadata) -> str:
    """The SPDX expression if there is one, then the classifiers, then the first line of the free field."""
    names = fields.get_all("License-Expression") or [
        classifier.rpartition(" :: ")[2]
        for classifier in fields.get_all("Classifier") or ()
        if classifier.startswith("License ::") and not classifier.endswith("OSI Approved")
    ]
    free = "".join(fields.get_all("License") or ()).strip().splitlines()
    text = ", ".join(names) or (free[0].strip() if free else "") or _UNKNOWN
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
