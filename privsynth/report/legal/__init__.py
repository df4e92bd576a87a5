"""Legal and normative requirements beside the evidence that a release gives for them.

The requirements are data (``frameworks``); ``tables`` fills in the evidence from the report's dict. It concludes nothing: each row
ends in what a person must attest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privsynth.errors import PlanError
from privsynth.report.legal.evidence import EVIDENCE, NO_EVIDENCE
from privsynth.report.legal.frameworks import Framework, load, shipped
from privsynth.report.legal.safe_harbor import identifiers


def tables(summary: Mapping[str, Any], *, folder: Path | None = None) -> list[dict[str, Any]]:
    """Every framework with the evidence of one edition of a report, as plain JSON.

    Args:
        summary: The report's dict. From a vendor edition only what that edition shows is read: figures of attacks are then named as
            internal.
        folder: An organisation's own tables (``*.toml``), checked by its lawyer; the shipped ones by default.

    Returns:
        One dict for each framework: ``id``, ``title``, ``jurisdiction``, ``scope``, ``drafted_on``, ``checked_on``, ``checked_by``,
        ``sources`` (``title``, ``reference``, ``published``), ``rows`` (``id``, ``provision``, ``requirement``, ``evidence`` as a list of
        sentences, ``where``, ``attest``) and ``identifiers``: the 18 identifiers of HIPAA's Safe Harbor (``letter``,
        ``identifier``, ``status``, ``columns``, ``explanation``), empty for other frameworks.

    Raises:
        PlanError: A table of the organisation is wrong, or there is none.
    """
    frameworks = shipped() if folder is None else tuple(load(path) for path in sorted(folder.glob("*.toml")))
    if not frameworks:
        raise PlanError(f"folder={str(folder)!r} holds no legal table; expected files such as gdpr_wp29.toml")
    return [_filled(framework, summary) for framework in frameworks]


def _filled(framework: Framework, summary: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {**row.model_dump(), "evidence": [EVIDENCE[name](summary) for name in row.evidence] or [NO_EVIDENCE]}
        for row in framework.requirements
    ]
    return {
        **framework.model_dump(exclude={"requirements"}),
        "rows": rows,
        "identifiers": identifiers(summary) if framework.id == "hipaa" else [],
    }
