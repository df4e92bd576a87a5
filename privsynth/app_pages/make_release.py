"""The page "Make a release": data, columns, budget, check, run, decision sheet, downloads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from privsynth import pipeline, preflight, registry
from privsynth.app_pages import elements
from privsynth.app_pages.form import KINDS, NOT_PERSONAL, UNDECIDED, Row, load, plan_of, rows_of
from privsynth.app_pages.server import MAX_UPLOAD_MEGABYTES
from privsynth.app_pages.sessions import Session
from privsynth.errors import PlanError, PrivSynthError
from privsynth.pii.surrogates import TYPES
from privsynth.privacy import Budget, Ledger
from privsynth.privacy.accounting import Total, ceil_text
from privsynth.privacy.ledger import default_path
from privsynth.report.stored import rendered
from privsynth.report.summary import handing_over, odds
from privsynth.schema import ROW

SAMPLE, OWN = "The sample: a fictional bank's 12,000 clients", "My own table"
ENDINGS = ["csv", "tsv", "txt", "parquet", "xlsx", "jsonl", "ndjson", "json"]
NOT_CHOSEN, NO_LIMIT = "not chosen", "no limit"
EPSILONS = (NOT_CHOSEN, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, NO_LIMIT)
CANCEL_HELP = "A run that is cancelled before it splits the people costs nothing; from then on its whole cost stays charged."
INERT = "<head><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
"""In the frame of a report nothing may run or be loaded, whatever a report might hold."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """The table that a person chose; ``key`` tells one choice from another."""

    key: str
    path: Path
    toml: Path | None

    @property
    def is_sample(self) -> bool:
        """Whether it is the sample, whose plan exists already."""
        return self.toml is not None


def show(session: Session) -> None:
    """The whole page."""
    data = _choose(session)
    if data is None:
        return
    proposal = _proposal(session, data)
    if proposal is None:
        return
    values = load(Path(proposal["toml"]))
    form = {"toml": proposal["toml"], "rows": _columns(data, values, proposal["findings"]), "settings": _settings(data, values)}
    is_ready = _check(session, data, form)
    _run(session, data, form, is_ready=is_ready)
    _outcome(session)


def _choose(session: Session) -> Data | None:
    st.header("1 · Data")
    sample = Path(__file__).resolve().parents[2] / "sample_data" / "plan.toml"
    choices = [SAMPLE, OWN] if sample.exists() else [OWN]
    choice = st.radio("Which table?", choices, key="choice", horizontal=True)
    if choice == SAMPLE:
        return Data(key="sample", path=sample.with_name("clients.csv"), toml=sample)
    upload = st.file_uploader(
        f"One table, one file, at most {MAX_UPLOAD_MEGABYTES} MB",
        type=ENDINGS,
        key="upload",
        help="It is kept in this session's folder, readable by you alone, and removed with the session.",
    )
    if upload is None:
        return None
    stored: dict[str, Path] = st.session_state.setdefault("uploads", {})
    if upload.file_id not in stored:
        path = session.new_folder("upload") / f"{elements.file_name(Path(upload.name).stem)}{Path(upload.name).suffix.lower()}"
        path.write_bytes(upload.getbuffer())
        stored[upload.file_id] = path
    return Data(key=upload.file_id, path=stored[upload.file_id], toml=None)


def _proposal(session: Session, data: Data) -> dict[str, Any] | None:
    """What the columns seem to be; None while that is being found out, or if the table cannot be read."""
    found: dict[str, dict[str, Any]] = st.session_state.setdefault("proposals", {})
    if data.key in found:
        return found[data.key]
    if st.session_state.get("proposing") != data.key:
        st.session_state["proposing"] = data.key
        session.start("propose", {"job": "propose", "data": str(data.path), "toml": str(data.toml) if data.toml else None})
    job = session.jobs["propose"]
    if job.is_running:
        elements.watch(job, key="propose", what="Looking at the columns")
    elif job.result is not None:
        found[data.key] = job.result
        return job.result
    else:
        elements.error(job.error or "Cancelled.")
        if st.button("Try again", key="propose again"):
            del st.session_state["proposing"]
            st.rerun()
    return None


def _columns(data: Data, values: Mapping[str, Any], findings: list[dict[str, Any]]) -> list[Row]:
    """The column table, for a person to confirm or to correct."""
    st.header("2 · Columns")
    st.markdown(
        "What each column seems to be, and why. **Confirm or correct every line**: personal data are never shown to a model and are "
        "invented anew. Bounds, categories and whether a column may be empty have to come from something other than these data "
        "(a form, a code book, a law); what you leave out is bought from the budget and costs quality."
    )
    rows = rows_of(values, findings)
    personal = [UNDECIDED, NOT_PERSONAL, *TYPES]
    text, choice, tick = st.column_config.TextColumn, st.column_config.SelectboxColumn, st.column_config.CheckboxColumn
    edited = st.data_editor(
        pd.DataFrame(rows),
        key=f"columns {data.key}",
        hide_index=True,
        num_rows="fixed",
        height=min(35 * (len(rows) + 1) + 2, 800),
        disabled=["column", "evidence"],
        column_config={
            "column": text("Column", pinned=True),
            "kind": choice("Kind", options=list(KINDS), required=True, help="drop: leave the column out of everything"),
            "personal": choice(
                "Personal data", options=personal, required=True, help="none: a person has looked, and it holds no personal data"
            ),
            "evidence": text("What the scan saw", width="large"),
            "quasi_identifier": tick("Outsiders may know it", help="quasi-identifier: the audits attack with it"),
            "secret": tick("Secret", help="outsiders want to learn it"),
            "lowest": text("Lowest", help="a number, or a date such as 2001-01-31"),
            "highest": text("Highest"),
            "step": text("Step", help="100, 0.01, or for dates: day, hour, minute, second"),
            "categories": text("Categories", width="medium", help='every value that may occur, between commas: A, B, "C, D"'),
            "may_be_empty": tick("May be empty"),
            "reference": text("Taken from", width="medium", help="where these facts come from"),
        },
    )
    return [
        {name: _cell(cell, like=rows[0][name]) for name, cell in zip(rows[0], row, strict=True)}
        for row in edited.itertuples(index=False, name=None)
    ]


def _cell(cell: Any, *, like: Any) -> str | bool:
    """A cell of the edited table with the type that its column started with; a cleared one is empty text."""
    if isinstance(like, bool):
        return bool(cell)
    return "" if cell is None else str(cell)


def _settings(data: Data, values: Mapping[str, Any]) -> dict[str, Any]:
    """Everything in a plan that is not a column; a value of None is one that the person has not chosen."""
    return {
        **_facts(data, values),
        "privacy": _budget(data, values),
        **_purpose(data, values),
    }


def _facts(data: Data, values: Mapping[str, Any]) -> dict[str, Any]:
    st.header("3 · People")
    dataset = values["dataset"]
    (table,) = values["tables"].values()
    names = list(table["columns"])
    left, right = st.columns(2)
    name = left.text_input(
        "Name of these people",
        dataset["name"],
        key=f"name {data.key}",
        disabled=data.is_sample,
        help="The key of their budget: the same people keep the same name in every release.",
    )
    units = [ROW, *names]
    unit = left.selectbox(
        "What identifies one person?",
        units,
        index=_place(units, dataset.get("privacy_unit")),
        format_func=lambda name: "each row is one person" if name == ROW else f"column {name}",
        placeholder="choose",
        key=f"unit {data.key}",
    )
    people = left.number_input(
        "How many people, if that is public",
        min_value=1,
        value=dataset.get("people"),
        placeholder="not public",
        key=f"people {data.key}",
        help="Lets the check say what can be reached. Never count them in the data.",
    )
    rows_per_person = left.number_input(
        "Rows of one person, at most", min_value=1, value=table.get("max_rows_per_person", 1), key=f"rows per person {data.key}"
    )
    target = right.selectbox(
        "What will the recipient predict?",
        names,
        index=_place(names, table.get("target")),
        placeholder="nothing in particular",
        key=f"target {data.key}",
    )
    violation = right.selectbox(
        "If a value breaks a declared fact",
        ["stop", "clip"],
        key=f"violation {data.key}",
        help="clip moves it to the nearest bound, and counts it in the internal report",
    )
    encoding = right.text_input("Encoding of a text file", table.get("encoding", "utf-8"), key=f"encoding {data.key}")
    confirmed = st.checkbox(
        "I have looked at every column, and all these facts come from something other than the data",
        dataset.get("confirmed", True),
        key=f"confirmed {data.key}",
        help="Without it, the facts count as read off the data, which no finite epsilon pays for.",
    )
    return {
        "dataset": {"name": name, "privacy_unit": unit, "people": people, "confirmed": confirmed},
        "table": {"target": target, "max_rows_per_person": rows_per_person, "on_violation": violation, "encoding": encoding or None},
    }


def _budget(data: Data, values: Mapping[str, Any]) -> dict[str, Any]:
    st.header("4 · Budget")
    declared = values.get("privacy", {})
    chosen = st.select_slider(
        "epsilon: how much this release may reveal about any one person",
        EPSILONS,
        declared.get("epsilon", NOT_CHOSEN),
        key=f"epsilon {data.key}",
        help="For adding or removing one person with all their rows. Smaller is safer and noisier.",
    )
    delta_text = st.text_input(
        "delta: the chance that this does not hold, at most 1 / (10 × people)",
        f"{declared['delta']:g}" if "delta" in declared else "",
        placeholder="for example 1e-6",
        key=f"delta {data.key}",
    )
    delta = _delta(delta_text)
    if chosen == NO_LIMIT:
        st.warning("No formal guarantee: only for engines without a proof; the audits are then the only evidence.")
        return {"epsilon": math.inf, "delta": delta}
    epsilon = None if chosen == NOT_CHOSEN else float(chosen)
    if epsilon is not None and delta is not None:
        st.info(odds(Total(epsilon=epsilon, delta=delta, replace_one_epsilon=math.inf, accountant="")))
    return {"epsilon": epsilon, "delta": delta}


def _delta(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise PlanError(f"delta={text!r}; expected a number such as 1e-6") from None


def _purpose(data: Data, values: Mapping[str, Any]) -> dict[str, Any]:
    st.header("5 · Release")
    synthesis, release = values.get("synthesis", {}), values["release"]
    left, right = st.columns(2)
    rows = left.number_input(
        "Synthetic rows",
        min_value=1,
        value=synthesis.get("rows"),
        placeholder="a round number",
        key=f"rows {data.key}",
        help="Not the number of people: that would show it.",
    )
    engines = list(registry.SYNTHESIZERS)
    engine = right.selectbox("Engine", engines, index=_place(engines, synthesis.get("tables", "tree")), key=f"engine {data.key}")
    purpose = left.text_input("Purpose", release.get("purpose", ""), key=f"purpose {data.key}")
    recipient = right.text_input("Recipient", release.get("recipient", ""), key=f"recipient {data.key}")
    sensitivity = left.selectbox("Sensitivity of the data", ["high", "medium", "low"], key=f"sensitivity {data.key}")
    kind = right.selectbox("File format", ["csv", "parquet", "xlsx"], key=f"format {data.key}")
    return {
        "synthesis": {"rows": rows, "tables": engine},
        "release": {"purpose": purpose or None, "recipient": recipient or None, "sensitivity": sensitivity, "format": kind},
    }


def _place(options: list[str], value: str | None) -> int | None:
    return options.index(value) if value in options else None


def _check(session: Session, data: Data, form: Mapping[str, Any]) -> bool:
    """What the plan costs and can deliver, before anything is spent; whether it can be run."""
    st.header("6 · Check")
    settings = form["settings"]
    open_items = {
        "what identifies one person": settings["dataset"]["privacy_unit"],
        "epsilon": settings["privacy"]["epsilon"],
        "delta": settings["privacy"]["delta"],
        "the number of synthetic rows": settings["synthesis"]["rows"],
    }
    missing = [name for name, value in open_items.items() if value is None]
    if missing:
        st.info(f"Still to be decided by you: {', '.join(missing)}.")
        return False
    found = _checked(form)
    if isinstance(found, str):
        elements.error(found)
        return False
    cost = found.cost_sentence(Budget(**settings["privacy"]))
    st.markdown(f"**{elements.plain(cost)}** Needs at least **{found.smallest_people} people**.")
    for line in found.verdicts:
        st.markdown(f"- {elements.plain(line)}")
    st.caption(elements.plain("Outside the guarantee: " + "; ".join(found.outside) + "."))
    with st.expander(f"All {len(found.touches)} uses of private data"):
        touches = [{"Stage": touch.stage, "What is read": touch.label, "Class": touch.touch_class} for touch in found.touches]
        st.dataframe(pd.DataFrame(touches), hide_index=True)
    st.markdown(_ledger_line(data, settings["dataset"]["name"]))
    return True


def _checked(form: Mapping[str, Any]) -> preflight.Preflight | str:
    """The check of a form, or the line that says what is wrong; made once for each state of the form."""
    state = json.dumps(form)
    if st.session_state.get("checked state") != state:
        try:
            st.session_state["checked"] = preflight.check(plan_of(form))
        except PrivSynthError as error:
            st.session_state["checked"] = f"{type(error).__name__}: {error}"
        st.session_state["checked state"] = state
    checked: preflight.Preflight | str = st.session_state["checked"]
    return checked


def _ledger_line(data: Data, name: str) -> str:
    """Where the cost is written, and what these people have spent already."""
    if data.is_sample:
        return "The cost goes to a **ledger that is thrown away**: these clients are fictional."
    path = default_path()
    line = f"The cost goes to **your ledger**, {elements.plain(str(path))}"
    if not path.exists():
        return f"{line}, which begins with this release; its epsilon becomes the cap of these people."
    ledger = Ledger.open(path)
    if name not in ledger.populations():
        return f"{line}; these people are new in it, and this release's epsilon becomes their cap."
    balance = ledger.balance(name)
    if math.isinf(balance.epsilon):
        return f"{line}. These people have {balance.releases} release(s) behind them, at least one of which has no formal guarantee."
    cap = "no cap" if math.isinf(balance.cap) else f"their cap {balance.cap:g}"
    return f"{line}. These people have spent epsilon ≤ {ceil_text(balance.epsilon)} of {cap} in {balance.releases} release(s)."


def _run(session: Session, data: Data, form: Mapping[str, Any], *, is_ready: bool) -> None:
    """Start, watch and cancel the run."""
    st.header("7 · Run")
    job = session.jobs.get("release")
    if job is not None and job.is_running:
        for line in job.warnings:
            st.warning(elements.plain(line))
        elements.watch(job, key="release", what="Starting", stages=pipeline.STAGES, cancel_help=CANCEL_HELP)
        st.caption(CANCEL_HELP + " Leaving this page for more than two minutes cancels the run too.")
        return
    if st.button("Make the release", type="primary", disabled=not is_ready, key="run"):
        folder = session.new_folder("run")
        settings = {**form["settings"], "release": {**form["settings"]["release"], "folder": str(folder / "release")}}
        session.start(
            "release",
            {
                "job": "release",
                "form": {**form, "settings": settings},
                "ledger": str(folder / "ledger.sqlite") if data.is_sample else None,
                "internal": str(folder / "internal"),
            },
        )
        st.rerun()
    if job is not None and job.error:
        elements.error(job.error)
    if job is not None and job.cancelled and job.result is None:
        st.warning(f"Cancelled; nothing was exported. {CANCEL_HELP}")


def _outcome(session: Session) -> None:
    """The decision sheet and the downloads of the last run."""
    job = session.jobs.get("release")
    if job is None or job.is_running or job.result is None:
        return
    internal = Path(job.result["internal"])
    folder = Path(job.result["folder"]) if job.result["folder"] else None
    summary = json.loads((internal / "report.json").read_text(encoding="utf-8"))
    st.header("8 · Decision sheet")
    blocked = "" if folder else "Blocked: the synthetic data were kept internal and not exported."
    elements.light(summary["verdict"]["light"], blocked)
    st.markdown(f"Release of **{elements.plain(summary['dataset']['name'])}**. {elements.plain(summary['guarantee']['sentence'])}")
    for note in summary["notes"]:
        st.caption(elements.plain(note))
    elements.judgements(summary["verdict"]["reasons"])
    fate = handing_over(summary["verdict"]["light"], formal=summary["guarantee"]["formal"])
    _downloads(folder, internal, elements.file_name(summary["dataset"]["name"]), fate=fate)
    vendor, own = st.tabs(["Vendor edition", "Internal edition: do not hand over"])
    with vendor:
        _report(rendered(internal, "vendor", "html"), "Decision sheet, vendor edition")
    with own:
        _report(rendered(internal, "internal", "html"), "Decision sheet, internal edition")


def _downloads(folder: Path | None, internal: Path, name: str, *, fate: str) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("For the recipient")
        if folder is None:
            st.markdown("Nothing: a judgement failed.")
        else:
            st.markdown(f"{elements.plain(fate[0].upper() + fate[1:])}.")
            st.download_button("Release (ZIP)", elements.zipped(folder), f"{name}-release.zip", key="release zip", on_click="ignore")
            st.caption("Synthetic data, vendor report, and a manifest with the hash of every file.")
    with right:
        st.subheader("To keep")
        evidence = [path for path in internal.iterdir() if path.suffix in (".html", ".json")]
        st.download_button(
            "Internal evidence (ZIP)", elements.zipped_files(evidence), f"{name}-internal.zip", key="internal zip", on_click="ignore"
        )
        st.warning("Computed from private data: **do not hand it over**. Download it before the session ends: no other copy is kept.")


def _report(html: str, title: str) -> None:
    st.iframe(html.replace("<head>", INERT, 1), height=700, alt=title)
