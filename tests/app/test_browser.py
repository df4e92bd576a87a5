"""The app in a real Chromium: two people at once, a release each, downloads that verify, nothing sent anywhere; Cancel; the audit."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
CANARY = "Zebulon-Quixworth"
HOSTILE_COLUMN = "<script>window.hacked=1</script>![x](http://127.0.0.1:9/leak)"
HOSTILE_FILE = "..%2f<b>=cmd()clients.csv"
LOOK, RUN = 90_000, 300_000
"""How long a step of the page and a run may take, in milliseconds, on a machine that others use too."""

LOWEST, HIGHEST, CATEGORIES = 6, 7, 9
"""Places in the column table."""

AGE, TOWN = 2, 3
"""Lines of ``table`` in it."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


def table(n: int = 1500) -> bytes:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "person": [f"P{i:05d}" for i in range(n)],
            "mail": [f"p{i}@mail.invalid" for i in range(n)],
            "age": rng.integers(18, 90, n),
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], n, p=[0.5, 0.3, 0.2]),
            HOSTILE_COLUMN: rng.choice(["=1+1", "<img src=x onerror=alert(1)>", "plain"], n),
            "member": rng.random(n) < 0.4,
        }
    )
    frame.loc[3, "mail"] = f"{CANARY}@mail.invalid"
    return frame.to_csv(index=False).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def server(folder):
    """The app as ``privsynth app`` serves it; yields its address and its log."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    (folder / "temporary").mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "temporary"),
        "PRIVSYNTH_LEDGER": str(folder / "state" / "ledger.sqlite"),
        "HOME": str(folder),
        "STREAMLIT_SERVER_HEADLESS": "true",
        "STREAMLIT_SERVER_ADDRESS": "0.0.0.0",  # the flags of the app stand above it
    }
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "privsynth", "app", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
        )
    try:
        _wait_for(f"http://localhost:{port}/_stcore/health")
        yield f"http://localhost:{port}", log
    finally:
        process.terminate()
        process.wait(60)
    assert not list((folder / "temporary").glob("privsynth-app-*")), "the server left private files behind"


def _wait_for(address: str) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not start")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra dev is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGUMENTS)
        yield opened
        opened.close()


class Visitor:
    """One person's browser: what it asked for and what its console said."""

    def __init__(self, browser, address: str, *, width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
        self.context.set_default_timeout(LOOK)
        self.page = self.context.new_page()
        self.hosts: set[str] = set()
        self.console: list[str] = []
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))
        self.page.on("websocket", lambda opened: self.hosts.add(urlsplit(opened.url).hostname or ""))
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.goto(address)

    def heading(self, text: str, *, timeout: float = LOOK) -> None:
        """Wait until this heading is there and the page has come to rest: what is clicked before is lost when it runs again."""
        self.page.get_by_role("heading", name=text).wait_for(timeout=timeout)
        self.settle()

    def uploader(self, label: str):
        return self.page.get_by_test_id("stFileUploader").filter(has_text=label).locator("input[type=file]")

    def settle(self) -> None:
        """Wait until the page has taken up what was typed."""
        self.page.wait_for_timeout(300)
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        self.page.wait_for_timeout(200)

    def choose(self, label: str, option: str) -> None:
        """Choose from a list, which closes when the page scrolls under it: then it is opened again."""
        box, wanted = self.page.get_by_role("combobox", name=label), self.page.get_by_role("option", name=option)
        for _ in range(10):
            box.scroll_into_view_if_needed()
            self.page.wait_for_timeout(500)
            box.click()
            self.page.wait_for_timeout(1000)
            if wanted.count():
                wanted.click()
                break
        self.settle()
        assert box.input_value() == option

    def write(self, column: int, line: int, text: str) -> None:
        """Type into a cell of the column table, reached by keys: it may lie outside the window."""
        grid = self.page.get_by_test_id("stDataFrame").first
        grid.scroll_into_view_if_needed()
        box = grid.bounding_box()
        x, y = box["x"] + 40, box["y"] + 52  # the first cell
        self.page.mouse.move(x - 10, y - 5)  # the grid takes a click only where it has seen the mouse come from
        self.page.mouse.move(x, y, steps=5)
        self.page.wait_for_timeout(300)
        self.page.mouse.down()
        self.page.wait_for_timeout(100)
        self.page.mouse.up()
        for key in ["ArrowDown"] * line + ["ArrowRight"] * column:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(50)
        cell = f"#glide-cell-{column}-{line}"
        self.page.locator(f"{cell}[aria-selected=true]").wait_for(state="attached")
        self.page.keyboard.press("Enter")
        editor = self.page.locator("textarea.gdg-input")
        editor.fill(text)
        editor.press("Enter")
        self.page.locator(cell, has_text=text).wait_for(state="attached")
        self.settle()

    def download(self, label: str) -> zipfile.ZipFile:
        with self.page.expect_download() as waiting:
            self.page.get_by_role("button", name=label).click()
        return zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes()))

    def picture(self, path: Path) -> None:
        """The whole page as one picture."""
        height = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        width = self.page.viewport_size["width"]
        self.page.set_viewport_size({"width": width, "height": min(height + 60, 12_000)})
        self.page.wait_for_timeout(1500)
        self.page.screenshot(path=str(path))
        self.page.set_viewport_size({"width": width, "height": 900})


def assert_verifies(release: zipfile.ZipFile) -> dict:
    """Every file has the hash that the manifest names, and there is no other."""
    manifest = json.loads(release.read("manifest.json"))
    assert {entry["path"] for entry in manifest["files"]} == set(release.namelist()) - {"manifest.json"}
    for entry in manifest["files"]:
        assert hashlib.sha256(release.read(entry["path"])).hexdigest() == entry["sha256"]
    return manifest


def fill_in(visitor: Visitor) -> None:
    """The decisions that a person has to take for the uploaded table."""
    page = visitor.page
    visitor.choose("What identifies one person?", "column person")
    for role, label, text in (
        ("textbox", "delta: the chance", "1e-6"),
        ("spinbutton", "Synthetic rows", "500"),
        ("textbox", "Recipient", "Delta Research"),
    ):
        page.get_by_role(role, name=label).fill(text)
        page.keyboard.press("Tab")
        visitor.settle()
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(4):  # not chosen, 0.1, 0.25, 0.5, 1: at a large epsilon a few runs leak enough to be blocked, and rightly
        page.keyboard.press("ArrowRight")
    visitor.settle()
    assert slider.get_attribute("aria-valuetext") == "1.0"
    page.get_by_text("I have looked at every column").click()
    visitor.settle()
    undeclared = uses(visitor)
    visitor.write(LOWEST, AGE, "18")
    page.get_by_text("PlanError").wait_for()  # a lowest value without a highest
    visitor.write(HIGHEST, AGE, "90")
    visitor.write(CATEGORIES, TOWN, "Ulm, Bonn, Kiel")
    assert page.get_by_text("PlanError").count() == 0
    assert uses(visitor) < undeclared  # what is declared need not be read off the data


def uses(visitor: Visitor) -> int:
    """How often the plan on the page would use private data."""
    visitor.page.get_by_text("uses of private data").wait_for()
    return int(visitor.page.get_by_text("uses of private data").inner_text().split()[1])


def test_two_people_make_releases_at_once(server, browser, folder):
    address, log = server
    pictures = Path(os.environ.get("PRIVSYNTH_PICTURES", folder))

    one = Visitor(browser, address)
    one.heading("6 · Check")
    one.page.get_by_text("thrown away").wait_for()
    one.picture(pictures / "sample-1280-form.png")

    two = Visitor(browser, address, width=390)
    two.heading("1 · Data")
    two.page.get_by_text("My own table").click()
    two.uploader("One table, one file").set_input_files({"name": HOSTILE_FILE, "mimeType": "text/csv", "buffer": table()})
    two.heading("6 · Check")
    assert two.page.get_by_role("heading", name="8 · Decision sheet").count() == 0
    two.page.get_by_text("Still to be decided by you").wait_for()
    fill_in(two)
    two.page.get_by_text("your ledger").wait_for()
    two.picture(pictures / "upload-390-form.png")
    one.page.get_by_role("button", name="Make the release").click()
    one.page.get_by_role("button", name="Cancel").wait_for()
    one.page.screenshot(path=str(pictures / "sample-1280-run.png"))
    two.page.get_by_role("button", name="Make the release").click()
    two.page.get_by_role("button", name="Cancel").wait_for()
    two.page.screenshot(path=str(pictures / "upload-390-run.png"))

    one.heading("8 · Decision sheet", timeout=RUN)
    sample = one.download("Release (ZIP)")
    assert_verifies(sample)
    assert len(pd.read_csv(io.BytesIO(sample.read("data/clients.csv")))) == 5000
    one.picture(pictures / "sample-1280-sheet.png")

    two.heading("8 · Decision sheet", timeout=RUN)
    two.picture(pictures / "upload-390-sheet.png")
    own = two.download("Release (ZIP)")
    manifest = assert_verifies(own)
    (name,) = [path for path in own.namelist() if path.startswith("data/")]
    assert len(pd.read_csv(io.BytesIO(own.read(name)))) == 500
    internal = two.download("Internal evidence (ZIP)")
    assert {"report.html", "plan.json"} <= set(internal.namelist())
    (declared,) = json.loads(internal.read("plan.json"))["tables"].values()
    assert declared["columns"]["age"]["bounds"] == [18, 90]
    assert declared["columns"]["town"]["categories"] == ["Ulm", "Bonn", "Kiel"]

    assert HOSTILE_COLUMN not in one.page.content()
    assert one.page.get_by_text("Delta Research").count() == two.page.get_by_text("thrown away").count() == 0
    assert two.page.evaluate("window.hacked") is None
    assert two.page.locator("[data-testid=stMain] a[href*='127.0.0.1:9']").count() == 0
    assert all(frame.evaluate("window.hacked") is None for frame in two.page.frames)
    assert one.hosts | two.hosts <= {"localhost", "127.0.0.1", ""}
    shown = "\n".join([*one.console, *two.console, log.read_text(errors="replace")])
    for private in (CANARY, "mail.invalid", "app_pages"):  # the last: a traceback through the app
        assert private not in shown

    from privsynth.privacy import Ledger

    ledger = Ledger.open(folder / "state" / "ledger.sqlite")
    assert ledger.contains(manifest["ledger_head"])
    assert len(ledger.populations()) == 1  # the sample left no trace in the real ledger

    folders = list((folder / "temporary").glob("privsynth-app-*/session-*"))
    assert len(folders) == 2
    (uploaded,) = [path for path in folders if list(path.glob("upload-*"))]
    (other,) = set(folders) - {uploaded}
    two.page.get_by_role("button", name="End this session").click()
    two.heading("1 · Data")
    assert not uploaded.exists()
    assert list(other.rglob("manifest.json"))
    one.context.close()
    two.context.close()


def test_a_run_that_is_cancelled_exports_nothing_and_can_be_started_again(server, browser, folder):
    address, _ = server
    visitor = Visitor(browser, address, width=390)
    visitor.heading("7 · Run")
    before = set((folder / "temporary").rglob("run-*"))
    start = visitor.page.get_by_role("button", name="Make the release")
    start.click()
    visitor.page.get_by_role("button", name="Cancel").click()
    visitor.page.get_by_text("Cancelled; nothing was exported").wait_for()
    visitor.settle()
    visitor.picture(Path(os.environ.get("PRIVSYNTH_PICTURES", folder)) / "sample-390-cancelled.png")
    (run,) = set((folder / "temporary").rglob("run-*")) - before
    assert not list(run.rglob("manifest.json"))
    assert visitor.page.get_by_role("heading", name="8 · Decision sheet").count() == 0
    assert start.is_enabled()
    visitor.context.close()


def test_a_file_that_repeats_its_training_records_fails_the_audit(server, browser, folder):
    address, log = server
    pictures = Path(os.environ.get("PRIVSYNTH_PICTURES", folder))
    frame = pd.read_csv(io.BytesIO(table(3000)))
    frame["spent"] = np.random.default_rng(1).normal(50_000, 9000, len(frame)).round(2)
    visitor = Visitor(browser, address)
    visitor.heading("1 · Data")
    visitor.page.get_by_role("tab", name="Audit any file").click()
    start = visitor.page.get_by_role("button", name="Audit", exact=True)
    assert start.is_disabled()
    for role, part in {"Train": frame[:2000], "Holdout": frame[2000:], "Synthetic": frame[:2000]}.items():
        content = part.to_csv(index=False).encode()
        visitor.uploader(f"{role}: ").set_input_files({"name": f"{role}.csv", "mimeType": "text/csv", "buffer": content})
        visitor.page.get_by_text(f"{role}.csv").wait_for()
        visitor.settle()
    visitor.page.get_by_role("textbox", name="Column that identifies a person").fill("person")
    visitor.page.keyboard.press("Tab")
    visitor.settle()
    start.click()
    visitor.page.get_by_text("Verdict:").wait_for(timeout=RUN)
    visitor.settle()
    assert visitor.page.get_by_text("■ failed").count()
    with visitor.page.expect_download() as waiting:
        visitor.page.get_by_role("button", name="Results (JSON)").click()
    assert json.loads(Path(waiting.value.path()).read_text())["verdict"] == "fail"
    visitor.page.get_by_text("Columns were read as").wait_for()
    assert visitor.page.locator("[data-testid=stMain] a[href*='127.0.0.1:9']").count() == 0  # a column's name is text
    visitor.picture(pictures / "audit-1280.png")
    visitor.page.set_viewport_size({"width": 390, "height": 900})
    visitor.picture(pictures / "audit-390.png")
    assert visitor.hosts <= {"localhost", "127.0.0.1", ""}
    for private in (CANARY, "mail.invalid", "app_pages"):
        assert private not in "\n".join([*visitor.console, log.read_text(errors="replace")])
    visitor.context.close()
