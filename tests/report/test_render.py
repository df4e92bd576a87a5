"""Pages escape every value, load nothing, and can be made again from what was stored."""

from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace

import pytest
from report_fakes import full_run, grey_run, release, run
from test_summary import build

from privsynth.audit.attacks import BLANKS
from privsynth.errors import ReleaseError
from privsynth.report import plots, summary
from privsynth.report.render import render
from privsynth.report.stored import rendered

HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>{{ 7*7 }}"


class Page(html.parser.HTMLParser):
    """Tags and attributes of a page, and whether every tag is closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def editions(**changes):
    full = build(**changes)
    return {"internal": full, "vendor": summary.vendor(full)}


@pytest.mark.parametrize("edition", ["vendor", "internal"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": HOSTILE, "column": HOSTILE, "notes": (HOSTILE,)},
        {"audit_run": grey_run()},
        {"audit_run": replace(run(), results=(), controls=(), floors={})},
        {"utility": False},
        {"insecure": True},
    ],
)
def test_a_page_is_well_formed_and_loads_nothing(edition, changes):
    text = render(editions(**changes)[edition], "html")
    page = Page(text)
    assert page.open == []
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src", value
        assert not name.endswith("href") or (value or "").startswith("#"), value
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_ids_are_unique_and_every_reference_inside_the_page_resolves(edition):
    text = render(editions(audit_run=full_run())[edition], "html")
    ids = [value for name, value in Page(text).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    references = {value[1:] for name, value in Page(text).attributes if name.endswith("href")} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert references <= set(ids)


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_each_plot_has_an_alternative_text_and_a_caption_with_its_question(edition):
    page = Page(render(editions(audit_run=full_run())[edition], "html"))
    assert page.tags.count("figure") == page.tags.count("figcaption") == page.tags.count("svg") == (1 if edition == "vendor" else 7)
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert all(labels)
    assert page.text.count("?") > page.tags.count("figure")


def test_plots_are_drawn_in_the_ink_of_the_page():
    page = render(editions()["vendor"], "html")
    assert "fill: var(--ink)" in page
    assert plots.INK not in page.split("</style>")[1]


@pytest.mark.parametrize("edition", ["vendor", "internal"])
def test_a_hostile_name_is_shown_as_it_is(edition):
    page = Page(render(editions(name=HOSTILE, column=HOSTILE, notes=(HOSTILE,))[edition], "html"))
    assert page.text.count(HOSTILE) >= 3


def test_an_all_grey_run_says_that_nothing_was_measured():
    page = Page(render(editions(audit_run=grey_run())["internal"], "html"))
    assert f"0 of {len(BLANKS)} figures measured" in page.text
    assert "▲ inconclusive" in page.text
    assert "Open: no test failed, but" in page.text
    assert "No evidence of a leak" not in page.text


def test_zero_attacks_are_no_pass():
    nothing = editions(audit_run=replace(run(), results=(), controls=(), floors={}))
    assert "no attack was run" in Page(render(nothing["internal"], "html")).text
    assert "0 of 0 figures measured" in Page(render(nothing["internal"], "html")).text
    assert "not passed" in Page(render(nothing["vendor"], "html")).text


def test_the_vendor_page_has_no_internal_section():
    page = Page(render(editions()["vendor"], "html"))
    internal = Page(render(editions()["internal"], "html"))
    for heading in ("The verdict is the worst of these", "Controls", "Fidelity", "Utility", "Do not hand over"):
        assert heading not in page.text
        assert heading in internal.text


def test_json_is_what_was_given():
    full = build()
    assert json.loads(render(full, "json")) == json.loads(json.dumps(full))


def test_an_unknown_format_is_refused():
    with pytest.raises(ReleaseError, match="format='pdf'"):
        render(build(), "pdf")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "report.json").write_text(render(build(), "json"), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("format", ["html", "json"])
def test_a_stored_report_gives_the_same_page_again(folder, format):
    assert rendered(folder, "internal", format) == render(build(), format)
    assert rendered(folder, "vendor", format) == render(summary.vendor(build()), format)


def test_a_vendor_folder_has_no_internal_edition(tmp_path):
    (tmp_path / "report.json").write_text(render(summary.vendor(build()), "json"), encoding="utf-8")
    assert rendered(tmp_path, "vendor", "html") == render(summary.vendor(build()), "html")
    with pytest.raises(ReleaseError, match="vendor edition only"):
        rendered(tmp_path, "internal", "html")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is damaged"),
        ("[]", "is not a report"),
        ("{}", "is not a report"),
        ('{"edition": "vendor", "schema_version": "1"}', "is not a report"),
        ('{"edition": "vendor", "schema_version": 99}', "use a newer privsynth"),
        ('{"edition": "vendor", "schema_version": 1}', "use the older privsynth"),
        ('{"edition": "vendor", "schema_version": 2}', "lacks 'dataset'"),
        ('{"edition": "internal", "schema_version": 2, "verdict": []}', "is damaged"),
    ],
)
def test_a_stored_file_that_is_no_report_is_refused(text, words, tmp_path):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ReleaseError, match=words):
        rendered(tmp_path, "vendor", "html")


def test_an_unknown_edition_is_refused(folder):
    with pytest.raises(ReleaseError, match="edition='public' is unknown"):
        rendered(folder, "public", "html")


def test_a_release_without_its_report_says_which_exist():
    made = replace(release(), reports={("vendor", "html"): "page"})
    assert made.report("vendor", "html") == "page"
    with pytest.raises(ReleaseError, match="expected one of vendor/html"):
        made.report("internal", "html")
