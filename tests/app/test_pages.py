"""The pages without a browser: widgets, plan, run, decision sheet."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("streamlit", reason="the extra app is not installed")

from streamlit.testing.v1 import AppTest

from privsynth.app_pages import elements, sessions

ROOT = Path(__file__).resolve().parents[2]
LINK = "![x](http://127.0.0.1:9/leak)<b>"


@pytest.fixture(scope="module")
def proposal(tmp_path_factory):
    """What the scan says of ``table``: done once, in the app's own worker."""
    server = sessions.Sessions(tmp_path_factory.mktemp("scan"))
    session = server.open()
    path = session.new_folder("upload") / "clients.csv"
    path.write_bytes(table(300))
    job = session.start("propose", {"job": "propose", "data": str(path), "toml": None})
    job.wait(120)
    found = {"draft": Path(job.result["toml"]).read_text(), "findings": job.result["findings"]}
    server.close()
    return found


@dataclass
class Done:
    """A job that came to its end at once."""

    result: dict
    is_running = cancelled = False
    error = None

    def end(self) -> None:
        pass


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The app with a server of its own, which is closed after the test."""
    server = sessions.Sessions(tmp_path)
    monkeypatch.setattr(sessions, "of_this_server", lambda: server)
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    server.close()


@pytest.fixture
def quick(page, proposal, monkeypatch):
    """The app with the scan of ``table`` at hand, so that a test need not wait for it; all other work is real."""
    start = sessions.Session.start

    def at_once(session, name, request):
        if name != "propose":
            return start(session, name, request)
        draft = Path(request["data"]).with_name("plan.toml") if request["toml"] is None else Path(request["toml"])
        if request["toml"] is None:
            draft.write_text(proposal["draft"])
        session.jobs[name] = Done({"toml": str(draft), "findings": proposal["findings"]})
        return session.jobs[name]

    monkeypatch.setattr(sessions.Session, "start", at_once)
    return page


def table(n: int) -> bytes:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "person": [f"P{i:05d}" for i in range(n)],
            LINK: rng.choice(["Ulm", "Bonn", "Kiel"], n, p=[0.5, 0.3, 0.2]),
            "age": rng.integers(18, 90, n),
            "member": rng.random(n) < 0.4,
        }
    )
    return frame.to_csv(index=False).encode()


def wait(page, name: str, seconds: float = 240) -> None:
    """Until the work of this name is done and shown."""
    page.session_state["session"].jobs[name].wait(seconds)
    page.run()


def uploaded(page, data: bytes, name: str = "clients.csv") -> None:
    page.run()
    page.session_state["session"].jobs["propose"].end()  # the sample's scan is not wanted
    page.radio(key="choice").set_value("My own table")
    page.run()
    page.file_uploader(key="upload").set_value((name, data, "text/csv")).run()
    if not isinstance(page.session_state["session"].jobs["propose"], Done):
        wait(page, "propose")


def widget(page, kind: str, name: str):
    (found,) = [one for one in getattr(page, kind) if (one.key or "").rsplit(" ", 1)[0] == name]
    return found


def decide(page, **chosen) -> None:
    """Fill in what has no default; ``chosen`` replaces an answer."""
    answers = {"unit": "person", "epsilon": 4.0, "delta": "1e-6", "rows": 300, "confirmed": True} | chosen
    kinds = {
        "unit": "selectbox",
        "people": "number_input",
        "epsilon": "select_slider",
        "delta": "text_input",
        "rows": "number_input",
        "confirmed": "checkbox",
    }
    for name, value in answers.items():
        if value is not None:
            widget(page, kinds[name], name).set_value(value)
    page.run()


def headings(page) -> list[str]:
    return [one.value for one in page.header]


def test_the_sample_is_ready_to_run_with_its_own_facts(quick):
    quick.run()
    assert not quick.exception
    assert not quick.error
    assert headings(quick)[-1] == "7 · Run"
    assert not quick.button(key="run").disabled
    assert any("ledger that is thrown away" in one.value for one in quick.markdown)


def test_the_page_waits_while_the_columns_are_looked_at(page):
    page.run()
    assert headings(page) == ["1 · Data"]
    (cancel,) = [one for one in page.button if one.label == "Cancel"]
    cancel.click().run()
    page.session_state["session"].jobs["propose"].wait(60)
    page.run()
    assert not page.exception
    assert [one.value for one in page.error] == ["Cancelled\\."]


def test_nothing_is_decided_for_the_person(quick):
    uploaded(quick, table(300))
    (open_items,) = [one.value for one in quick.info if "Still to be decided" in one.value]
    for item in ("identifies one person", "epsilon", "delta", "number of synthetic rows"):
        assert item in open_items
    assert quick.button(key="run").disabled
    assert not widget(quick, "checkbox", "confirmed").value


def test_a_plan_whose_facts_nobody_confirmed_cannot_be_run(quick):
    uploaded(quick, table(300))
    decide(quick, confirmed=None)
    assert any("come from the data" in one.value.replace("\\", "") for one in quick.error)
    assert quick.button(key="run").disabled


def test_epsilon_is_explained_in_words(quick):
    uploaded(quick, table(300))
    decide(quick, epsilon=1.0)
    assert any("at most 74 % sure" in one.value for one in quick.info)  # e / (1 + e) = .7311, rounded up


def test_a_wrong_cell_is_named_and_a_corrected_one_is_taken(quick):
    uploaded(quick, table(300))
    decide(quick)
    (upload,) = quick.session_state["uploads"]
    key = f"columns {upload}"
    quick.session_state[key] = {"edited_rows": {2: {"lowest": "low", "highest": "120"}}, "added_rows": [], "deleted_rows": []}
    quick.run()
    assert any("lowest" in one.value and "age" in one.value for one in quick.error)
    quick.session_state[key] = {"edited_rows": {2: {"lowest": "0", "highest": "120"}}, "added_rows": [], "deleted_rows": []}
    quick.run()
    assert not quick.error
    assert not quick.button(key="run").disabled


@pytest.mark.slow
def test_a_release_of_an_uploaded_table(quick, tmp_path):
    uploaded(quick, table(2500), "../clients.csv")
    decide(quick)
    assert not quick.error
    quick.button(key="run").click().run()
    wait(quick, "release")
    assert "8 · Decision sheet" in headings(quick)
    result = quick.session_state["session"].jobs["release"].result
    summary = json.loads(Path(result["internal"], "report.json").read_text())
    offered = {one.label for one in quick.get("download_button")}
    assert "Internal evidence (ZIP)" in offered
    assert ("Release (ZIP)" in offered) == (result["folder"] is not None)
    if summary["verdict"]["light"] == "fail":  # the coins are not seeded: an attack may be unlucky, and then nothing is exported
        assert result["folder"] is None
        assert any("Blocked" in one.value for one in quick.error)
    else:
        assert not quick.error
        assert json.loads(Path(result["folder"], "manifest.json").read_text())["epsilon"] <= 4.0
    assert (tmp_path / "state" / "ledger.sqlite").exists()


@pytest.mark.slow
def test_a_table_with_too_few_people_is_one_line_and_costs_nothing(quick, tmp_path):
    uploaded(quick, table(12))
    decide(quick)
    quick.button(key="run").click().run()
    wait(quick, "release")
    (said,) = [one.value for one in quick.error]
    assert "too few" in said
    assert quick.session_state["session"].jobs["release"].result is None
    from privsynth.privacy import Ledger

    ledger = Ledger.open(tmp_path / "state" / "ledger.sqlite")
    balance = ledger.balance("clients")
    assert (balance.epsilon, balance.releases, balance.attempts) == (0.0, 0, 1)


def test_a_damaged_file_is_one_line_without_its_cells(page):
    uploaded(page, b"person,age\n1,2,Zebulon\n")
    (said,) = [one.value for one in page.error]
    assert "SourceError" in said
    assert "Zebulon" not in said


def test_an_unexpected_error_shows_its_type_alone(quick, monkeypatch):
    monkeypatch.setattr("privsynth.app_pages.make_release.load", lambda path: {}["Zebulon"])
    quick.run()
    assert any(one.value.startswith("KeyError") for one in quick.error)
    assert not any("Zebulon" in one.value for one in quick.error)


def test_ending_the_session_removes_its_folder(quick):
    quick.run()
    folder = quick.session_state["session"].folder
    (end,) = [one for one in quick.button if one.label.startswith("End this session")]
    end.click().run()
    assert not folder.exists()
    assert quick.session_state["session"].folder != folder


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "![x](http://a/b.png)", "[a](javascript:b)", "$x^2$", ":red[a]", "`a`", "a\nb", "**a**"]
)
def test_plain_text_escapes_every_sign_that_markdown_reads(text):
    shown = elements.plain(text)
    assert all(shown[place - 1] == "\\" for place, sign in enumerate(shown) if sign in "<>![](){}$:`*_#|~" and sign != "\\")
    assert shown.replace("\\", "").replace("\u2060", "") == text.replace("\n", " ")


@pytest.mark.parametrize("text", ["http://a.b/c", "see HTTPS://a.b", "www.a.b", "x@a.b"])
def test_plain_text_holds_no_address_that_the_page_would_make_a_link_of(text):
    """The patterns are those of mdast-util-gfm-autolink-literal, which looks at text without its escapes."""
    shown = elements.plain(text).replace("\\", "")
    assert re.search(r"(https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w]+(\.[-\w]+)+", text, re.IGNORECASE)
    assert not re.search(r"(https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w]+(\.[-\w]+)+", shown, re.IGNORECASE)


def test_a_folder_is_zipped_with_relative_paths(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x")
    with zipfile.ZipFile(BytesIO(elements.zipped(tmp_path))) as archive:
        assert archive.namelist() == ["data/a.csv"]


@pytest.mark.slow
def test_an_audit_of_a_copy_fails(quick):
    quick.run()
    frame = pd.read_csv(BytesIO(table(3000)))
    frame["spent"] = np.random.default_rng(1).normal(50_000, 9000, len(frame)).round(2)
    train, holdout = frame[:2000], frame[2000:]
    for role, part in {"train": train, "holdout": holdout, "synthetic": train}.items():
        quick.file_uploader(key=f"audit {role}").set_value((f"{role}.csv", part.to_csv(index=False).encode(), "text/csv"))
    quick.text_input(key="audit unit").set_value("person")
    quick.run()
    quick.button(key="audit start").click().run()
    wait(quick, "audit")
    assert any("failed" in one.value for one in quick.error)
    assert "Results (JSON)" in {one.label for one in quick.get("download_button")}
