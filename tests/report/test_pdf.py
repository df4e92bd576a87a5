"""PDF: two pages of decision sheet, the same figures as the page and the JSON, archivable, and the same bytes each time."""

from __future__ import annotations

import html
import io
import json
import re
from dataclasses import replace
from functools import lru_cache

import pypdf
import pytest
from report_fakes import full_run, grey_run, release, replayed, run
from test_summary import build

from privsynth import registry
from privsynth.errors import MissingExtraError
from privsynth.report import blocks, pdf, summary
from privsynth.report.conclusions import conclusions_in
from privsynth.report.document import document
from privsynth.report.findings import per_thousand
from privsynth.report.fonts import displayable
from privsynth.report.render import faces, render_pdf

pytest.importorskip("typst", reason="PDF is an optional extra")

LONG = "Überlange Bezeichnung eines Datensatzes mit sechzig Zeichen!"
NON_LATIN = "北京客户数据集-עברית-العربية-ไทย-हिन्दी-🏦"


@pytest.fixture(scope="module")
def editions():
    full = build(audit_run=full_run(worst=0.53))
    return {"internal": full, "vendor": summary.vendor(full)}


@pytest.fixture(scope="module")
def made(editions):
    return {edition: faces(report) for edition, report in editions.items()}


@lru_cache
def pages_of(data: bytes) -> list[str]:
    """Text by page, without the places at which long words may break."""
    return [page.extract_text().replace("\u200b", "") for page in pypdf.PdfReader(io.BytesIO(data)).pages]


def body_of(page: str) -> str:
    """The text that a reader of the page sees, apart from the list of annexes, which the PDF has as bookmarks."""
    main = page.partition("<main")[2]
    main = re.sub(r"<nav.*?</nav>|<svg.*?</svg>", "", main, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", " ", main))


def digits(text: str) -> str:
    """Figures alone, in reading order: a PDF breaks lines where a page does not."""
    return re.sub(r"[^0-9.%]", "", text)


def without_footer(page: str, marking: str) -> str:
    return re.sub(re.escape(marking) + r"\s*\d+ / \d+", "", page)


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_every_figure_of_the_pdf_is_that_of_the_page(edition, editions, made):
    marking = document(editions[edition])["marking"]
    printed = [without_footer(page, marking) for page in pages_of(made[edition]["pdf"])]
    assert all(len(page) < len(full) for page, full in zip(printed, pages_of(made[edition]["pdf"]), strict=True))
    shown = digits(body_of(made[edition]["html"]))
    assert len(shown) > 500
    assert digits("".join(printed)) == shown


def leaves(value):
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from leaves(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry)
    else:
        yield value


def tokens(text: str) -> set[str]:
    return {token.strip(".,") for token in re.findall(r"[0-9][0-9.,]*(?:e[-+]?[0-9]+)?", text)}


def written(value: float) -> set[str]:
    forms = {blocks.figure_text(value), blocks.percent_text(value), str(value), f"{value:g}", per_thousand(value), str(round(abs(value)))}
    return forms | ({blocks.bound_text(value)} if value >= 0 else set())


OUR_WORDS = {"2", "45", "164.514", "95", "1", "18", "256", "0.5"}
"""Figures in the fixed sentences: 2 % noise, 45 CFR 164.514, 95 % intervals, 18 identifiers, SHA-256, guessing at one half."""


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_every_figure_of_the_page_stands_in_the_json(edition, editions, made):
    stored = json.loads(made[edition]["json"])
    allowed = set(OUR_WORDS)
    for leaf in leaves(stored):
        if isinstance(leaf, str):
            allowed |= tokens(leaf.replace("_", " "))
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            for form in written(leaf):
                allowed |= tokens(form)
    for entries in (stored["columns"], stored["guarantee"]["touches"], *stored.get("audit", {}).values()):
        allowed |= {str(len(entries))} if isinstance(entries, list) else set()
    unknown = tokens(body_of(made[edition]["html"])) - allowed
    counts = {str(count) for count in range(41)}  # "3 of 12 figures": counted from the lists themselves
    assert unknown <= counts


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_the_figure_behind_each_cell_is_one_of_the_json(edition, made):
    stored = {json.dumps(leaf) for leaf in leaves(json.loads(made[edition]["json"]))}
    cells = re.findall(r'<data value="([^"]*)">([^<]*)</data>', made[edition]["html"])
    assert len(cells) > (40 if edition == "internal" else 1)
    for value, shown in cells:
        assert html.unescape(value) in stored, shown
        if re.fullmatch(r"-?[0-9.e-]+", value):
            assert html.unescape(shown) in written(float(value)) | {value}


@pytest.mark.parametrize("edition", ["vendor", "internal"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"audit_run": grey_run()}, marks=pytest.mark.slow),
        pytest.param({"audit_run": replace(run(), results=(), controls=(), floors={})}, marks=pytest.mark.slow),
        pytest.param({"audit_run": run(replayed(1e-9))}, marks=pytest.mark.slow),
        pytest.param({"insecure": True}, marks=pytest.mark.slow),
        pytest.param({"name": LONG, "column": LONG, "notes": (LONG,) * 4}, marks=pytest.mark.slow),
        pytest.param({"name": NON_LATIN, "column": NON_LATIN}, marks=pytest.mark.slow),
        pytest.param({"name": "x" * 200, "notes": ("word " * 120,) * 3}, marks=pytest.mark.slow),
    ],
)
def test_the_decision_sheet_has_two_pages(without_plots, edition, changes):
    full = build(**changes)
    parts = document(full if edition == "internal" else summary.vendor(full))
    (data,) = pdf.compiled({**parts, "annexes": parts["annexes"][:2]}, format="pdf")  # the rest costs time and moves nothing
    pages = pages_of(data)
    assert len(pages) == 3
    assert "Decision sheet" in pages[0]
    assert "What this does not show" in pages[1]
    assert "Signatures" in pages[1]
    assert "A. Data and context" in pages[2]


def test_a_name_without_glyphs_is_shown_by_its_code_points(without_plots):
    name = "北京客户-ไทย-🏦"
    assert displayable(name) == "U+5317U+4EACU+5BA2U+6237-U+0E44U+0E17U+0E22-U+1F3E6"
    assert displayable(name) in "".join(pages_of(render_pdf(summary.vendor(build(name=name))))).replace("\n", "")


def test_markup_in_a_name_is_text(without_plots):
    hostile = '#panic("x") $a$ *b* <img> \\u{41} ]['
    assert hostile in "".join(pages_of(render_pdf(summary.vendor(build(name=hostile)))))


def test_the_same_report_gives_the_same_bytes(editions, made):
    assert render_pdf(editions["vendor"]) == made["vendor"]["pdf"]


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_it_declares_archive_and_accessibility_standards_title_language_and_date(edition, made):
    reader = pypdf.PdfReader(io.BytesIO(made[edition]["pdf"]))
    metadata = reader.trailer["/Root"]["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>2</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert reader.trailer["/Root"]["/Lang"].startswith("en")
    assert "privsynth report" in reader.metadata.title
    assert reader.metadata.creation_date.date().isoformat() == "2026-11-20"


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_it_draws_no_conclusion_that_is_a_persons(edition, made):
    text = " ".join("".join(pages_of(made[edition]["pdf"])).split())
    assert conclusions_in(text) == []


def test_internal_figures_are_not_in_the_vendor_edition(made):
    text = "".join(pages_of(made["vendor"]["pdf"]))
    assert "Do not hand over" not in text
    assert "Every figure" not in text


def test_without_typst_there_are_two_formats_and_one_line(monkeypatch, editions):
    monkeypatch.setattr(pdf.importlib.util, "find_spec", lambda name: None)
    assert set(faces(editions["vendor"])) == {"html", "json"}

    def missing(module):
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr(registry.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r'pip install "privsynth\[pdf\]"'):
        render_pdf(editions["vendor"])


@pytest.mark.slow
def test_three_hundred_columns_fit():
    made_of = release()
    table = made_of.schema.tables[0]
    wide = tuple(replace(table["active"], name=f"column with a long name {number:03d}") for number in range(300))
    full = build(replace(made_of, schema=replace(made_of.schema, tables=(table.with_columns([*table.columns, *wide]),))))
    report = faces(summary.vendor(full))
    assert len(report["html"]) < 3e6
    assert "columnwithalongname299" in "".join("".join(pages_of(report["pdf"])).split())
