"""The page "Audit any file": attack a synthetic file that anyone made, with controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from privsynth.app_pages import elements
from privsynth.app_pages.make_release import ENDINGS
from privsynth.app_pages.server import MAX_UPLOAD_MEGABYTES
from privsynth.app_pages.sessions import Session

ROLES = {
    "train": "Train: what the synthetic file was made from",
    "holdout": "Holdout: other people of the same kind, never shown to the generator",
    "synthetic": "Synthetic: the file under audit",
}


def show(session: Session) -> None:
    """The whole page."""
    st.markdown(
        "Attacks on a synthetic file, each beside a control: made by any tool, no plan needed. Without a holdout no attack can be "
        f"measured. At most {MAX_UPLOAD_MEGABYTES} MB a file. It is internal work: nothing is charged to a ledger."
    )
    uploads = {role: st.file_uploader(label, type=ENDINGS, key=f"audit {role}") for role, label in ROLES.items()}
    unit = st.text_input("Column that identifies a person, or row", "row", key="audit unit")
    job = session.jobs.get("audit")
    if job is not None and job.is_running:
        elements.watch(job, key="audit", what="Reading the files")
        return
    if st.button("Audit", type="primary", disabled=not (uploads["train"] and uploads["synthetic"]), key="audit start"):
        session.start("audit", {"job": "audit", "unit": unit, **_stored(session, uploads)})
        st.rerun()
    if job is None:
        return
    if job.error:
        elements.error(job.error)
    elif job.result is None:
        st.warning("Cancelled.")
    else:
        _outcome(job.result)


def _stored(session: Session, uploads: dict[str, Any]) -> dict[str, str | None]:
    """Paths of the uploaded files in the session's folder, by role."""
    folder = session.new_folder("audit")
    paths: dict[str, str | None] = dict.fromkeys(uploads)
    for role, upload in uploads.items():
        if upload is not None:
            path = folder / f"{role}{Path(upload.name).suffix.lower()}"
            path.write_bytes(upload.getbuffer())
            paths[role] = str(path)
    return paths


def _outcome(outcome: dict[str, Any]) -> None:
    elements.light(outcome["verdict"])
    elements.judgements(outcome["judgements"])
    st.subheader("Attacks")
    st.dataframe(pd.DataFrame([_attack(result) for result in outcome["audit"]["results"]]), hide_index=True)
    for note in outcome["notes"]:
        st.caption(elements.plain(note))
    st.download_button("Results (JSON)", json.dumps(outcome, indent=1), "audit.json", key="audit json", on_click="ignore")
    st.warning("Computed from private data: **do not hand it over**.")


def _attack(result: dict[str, Any]) -> dict[str, str]:
    """One attack as a line of text."""
    is_measured = result["status"] == "measured"
    interval = result["interval"]
    return {
        "Attack": result["audit"] + ("" if result["population"] == "everyone" else f" ({result['population']})"),
        "Figure (higher is worse)": result["metric"],
        "Value": _figure(result["value"]) if is_measured else result["status"],
        "95 % interval": f"{_figure(interval[0])} to {_figure(interval[1])}" if is_measured and interval else "–",
        "Control": _figure(result["control"]) if is_measured else "",
    }


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
