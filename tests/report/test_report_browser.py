"""The page in a real browser without a network: it loads nothing, fits each screen, and axe finds nothing serious."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from report_fakes import full_run, grey_run
from test_summary import build

from privsynth.report import summary
from privsynth.report.render import render

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
LONG = "Überlange Bezeichnung-eines-Datensatzes_mit_sechzig_Zeichen!"


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The source of axe-core, fetched by npm into a temporary folder."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: axe-core cannot be fetched")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "install", "--no-save", "--ignore-scripts", "--prefix", str(folder), "axe-core@4"]
    try:
        fetched = subprocess.run(command, capture_output=True, check=False, timeout=180).returncode == 0
    except subprocess.TimeoutExpired:
        fetched = False
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not fetched or not script.exists():
        pytest.skip("axe-core could not be installed by npm")
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


def page_file(folder: Path, edition: str, **changes) -> Path:
    full = build(**{"audit_run": full_run(worst=0.56), **changes})
    path = folder / f"{edition}.html"
    path.write_text(render(full if edition == "internal" else summary.vendor(full), "html"), encoding="utf-8")
    return path


def opened(browser, path: Path, *, scheme: str = "light", width: int = 1280):
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True).new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(path.as_uri())
    return page, asked, errors


@pytest.mark.parametrize("edition", ["vendor", "internal"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, axe, tmp_path, edition, scheme):
    page, _, _ = opened(browser, page_file(tmp_path, edition), scheme=scheme)
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations.map(v => [v.id, v.impact, v.nodes.map(n => n.html).slice(0, 3)])")
    assert [entry for entry in found if entry[1] in ("serious", "critical")] == []


def test_axe_would_find_something(browser, axe, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text('<!DOCTYPE html><html><title>t</title><main><p style="color:#ccc">pale</p><img src="#x"></main></html>')
    page, _, _ = opened(browser, path)
    page.evaluate(axe)
    assert {"color-contrast", "image-alt", "html-has-lang"} <= set(page.evaluate("async () => (await axe.run()).violations.map(v => v.id)"))


@pytest.mark.parametrize("edition", ["vendor", "internal"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("changes", [{}, {"name": LONG, "column": LONG}, {"audit_run": grey_run()}])
def test_it_loads_nothing_and_fits_the_screen(browser, tmp_path, edition, width, changes):
    path = page_file(tmp_path, edition, **changes)
    page, asked, errors = opened(browser, path, width=width)
    assert asked == [path.as_uri()]
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_the_decision_sheet_the_annexes_and_every_wide_table(browser, tmp_path):
    page, _, _ = opened(browser, page_file(tmp_path, "internal"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the decision sheet"
    stops = page.evaluate("[...document.querySelectorAll('a[href], [tabindex=\"0\"]')].length")
    tables = page.evaluate("document.querySelectorAll('table').length")
    assert stops >= tables + 10


def test_both_parts_of_the_decision_sheet_print_on_pages_of_their_own_in_ink_on_white(browser, tmp_path):
    import io

    pypdf = pytest.importorskip("pypdf")
    page, _, _ = opened(browser, page_file(tmp_path, "internal"), scheme="dark")
    pages = [sheet.extract_text() for sheet in pypdf.PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]
    starts = [sheet.lstrip() for sheet in pages]
    (second,) = [number for number, sheet in enumerate(starts) if sheet.startswith("What this does not show")]
    assert second in (1, 2)
    assert "Signatures" in pages[second]
    assert starts[second + 1].startswith("A. Data and context")
    page.emulate_media(media="print")
    assert json.loads(page.evaluate("JSON.stringify(getComputedStyle(document.body).backgroundColor)")) in (
        "rgb(255, 255, 255)",
        "rgba(0, 0, 0, 0)",
    )
