"""Pieces that both pages show: text as text, errors in one line, work in progress."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from privsynth.app_pages.sessions import Job

_SIGN = {"pass": "● passed", "fail": "■ failed", "inconclusive": "▲ inconclusive"}
_ORDER = ("fail", "inconclusive", "pass")
_WORD_JOINER = "\u2060"


def plain(text: str) -> str:
    r"""Markdown that shows exactly this text: a column may be named like a link, an image or HTML.

    >>> plain("![x](y)<b>")
    '\\!\\[x\\]\\(y\\)\\<b\\>'
    """
    one_line = "".join(sign if sign.isprintable() else " " for sign in text)
    # The page makes links of bare addresses after it has read the escapes: a word joiner, which is not seen, takes their form away.
    unlinked = re.sub(r"(://|@|www(?=\.))", f"\\1{_WORD_JOINER}", one_line, flags=re.IGNORECASE)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", unlinked)


def error(message: str) -> None:
    """An error of the library: one line."""
    st.error(plain(message))


def light(verdict: str, text: str = "") -> None:
    """A verdict by sign, word and colour."""
    show = {"pass": st.success, "fail": st.error, "inconclusive": st.warning}[verdict]
    show(f"**Verdict: {_SIGN[verdict]}** {text}")


def judgements(listed: Sequence[Mapping[str, Any]]) -> None:
    """All judgements, the worst first."""
    ordered = sorted(listed, key=lambda judgement: _ORDER.index(judgement["light"]))
    rows = [{"Light": _SIGN[row["light"]], "Subject": row["subject"], "Reason": row["reason"]} for row in ordered]
    st.dataframe(pd.DataFrame(rows, columns=["Light", "Subject", "Reason"]), hide_index=True, column_config={"Reason": {"width": "large"}})
    passed = sum(row["light"] == "pass" for row in ordered)
    st.caption(f"{passed} of {len(ordered)} judgements passed.")


def watch(job: Job, *, key: str, what: str, stages: Sequence[str] = (), cancel_help: str | None = None) -> None:
    """Show how far the work is, with a button to cancel it; the page runs again when it is done.

    Args:
        job: The work, running.
        key: Tells the button from those of other work.
        what: What is being done.
        stages: Names of the main stages in order; other reports are shown as steps of the current one.
        cancel_help: What cancelling means.
    """

    @st.fragment(run_every=1.0)
    def look() -> None:
        if not job.is_running:
            st.rerun()
        seen = [message for message in job.stages if message["stage"] in stages or not stages]
        main, last = (seen[-1] if seen else None), job.stage
        detail = what if main is None else main["stage"]
        if last is not None and last is not main:
            named = f"{detail}: {last['stage'].removeprefix(f'{detail}: ')}"  # "audit: shuffled columns" tells its stage itself
            detail = f"{named} ({last['done']} of {last['total']})"
        st.progress(main["done"] / max(main["total"], 1) if main else 0.0, text=plain(f"{detail}, {time.monotonic() - job.started:.0f} s"))
        if stages:
            st.caption(_list_of(stages, main["stage"] if main else None))
        st.button("Cancel", key=f"cancel {key}", on_click=job.cancel, disabled=job.cancelled, help=cancel_help)

    look()


def _list_of(stages: Sequence[str], current: str | None) -> str:
    """The stages in one line: finished, at work, to come."""
    place = stages.index(current) if current in stages else 0
    return "  ·  ".join(f"✓ {name}" if i < place else f"**▸ {name}**" if i == place else name for i, name in enumerate(stages))


def zipped(folder: Path) -> bytes:
    """The files of a folder as a ZIP archive, with paths relative to it."""
    return zipped_files([path for path in folder.rglob("*") if path.is_file()], base=folder)


def zipped_files(paths: Sequence[Path], *, base: Path | None = None) -> bytes:
    """Files as a ZIP archive, with paths relative to ``base``, or with their names alone."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(paths):
            archive.write(path, path.relative_to(base) if base else path.name)
    return packed.getvalue()


def file_name(text: str) -> str:
    """A name that is safe in a folder and in a header: letters, digits, dash and underscore, 60 at most.

    >>> file_name("../<b>Kunden 2026")
    'b_Kunden_2026'
    """
    return re.sub(r"[^\w-]+", "_", text).strip("_-")[:60] or "table"
