"""The process that does one piece of work for the app: ``python -m privsynth.app_pages.worker``.

The first line of standard input is the request, as JSON. Standard output carries one JSON message a line: progress, warnings,
at last a result or an error. When standard input is closed the work stops as if a person had pressed Ctrl-C: the
library gives back what it may. The message of an unexpected error may quote private data, so only its type is told.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from privsynth.app_pages.form import plan_of
from privsynth.errors import PrivSynthError

Tell = Callable[..., None]
"""Sends one message: its fields as keywords."""

SAMPLE_NOTE = "Run on the fictional sample, with a ledger that is thrown away: nothing of its budget is remembered."


def propose(request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """What each column seems to be and why, and a draft of a plan where there is none yet."""
    import numpy as np

    from privsynth import sources

    data = Path(request["data"])
    tell(stage="read", done=0, total=2)
    frame = sources.read(data).frame
    from privsynth import drafting, pii

    tell(stage="scan for personal data", done=1, total=2)
    found = pii.scan(frame, rng=np.random.default_rng(0))
    if request["toml"] is None:
        draft = data.with_name("plan.toml")
        draft.write_text(drafting.plan_text(found, data, relative_to=draft.parent), encoding="utf-8")
    else:
        draft = Path(request["toml"])
    findings = [{"column": finding.column, "pii": finding.pii, "evidence": finding.evidence} for finding in found.findings]
    return {"toml": str(draft), "findings": findings}


def make_release(request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """A run of the plan that a form stands for."""
    from privsynth import pipeline
    from privsynth.privacy import Ledger

    ledger = Ledger.open(request["ledger"])
    release = pipeline.run(
        plan_of(request["form"]),
        ledger=ledger,
        internal=Path(request["internal"]),
        progress=lambda stage, done, total: tell(stage=stage, done=done, total=total),
        warn=lambda line: tell(warning=line),
        notes=[SAMPLE_NOTE] if request["ledger"] is not None else [],
    )
    return {"folder": str(release.folder) if release.folder else None, "internal": str(release.internal)}


def audit(request: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """An audit of a file that someone else made."""
    from privsynth.auditing import audit_files

    outcome = audit_files(
        Path(request["train"]),
        Path(request["holdout"]) if request["holdout"] else None,
        Path(request["synthetic"]),
        unit=request["unit"],
        progress=lambda stage, done, total: tell(stage=stage, done=done, total=total),
    )
    return outcome.to_json()


JOBS: Mapping[str, Callable[[Mapping[str, Any], Tell], dict[str, Any]]] = {"propose": propose, "release": make_release, "audit": audit}


def main() -> None:
    """Do what the first line of standard input asks for."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # a library that prints must not write into the channel

    def tell(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    with open(0, "rb", buffering=0, closefd=False) as requests:
        request = json.loads(requests.readline())
    threading.Thread(target=_stop_when_closed, daemon=True).start()
    try:
        tell(result=JOBS[request["job"]](request, tell))
    except PrivSynthError as error:
        tell(error=f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        tell(cancelled=True)
    except Exception as error:
        tell(error=f"{type(error).__name__}: an unexpected error stopped the work; run it on the command line with --debug to see where")


def _stop_when_closed() -> None:
    """Interrupt the work when whoever asked for it is gone or wants it no more."""
    while os.read(0, 1024):
        pass
    _thread.interrupt_main()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
