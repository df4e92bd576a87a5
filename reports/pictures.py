"""Pictures for docs/reading-the-report.md, drawn from the example reports: run by ``make report``."""

from __future__ import annotations

import json
from pathlib import Path

from privsynth.report import pdf, plots
from privsynth.report.document import document

ROOT = Path(__file__).resolve().parents[1]
PLOTS = ("waterfall", "ladder", "forest", "roc", "rank")
PIXELS_PER_INCH = 70.0


def main() -> None:
    """Write the first two pages as PNG and the plots as SVG."""
    internal = json.loads((ROOT / "reports" / "bank-internal.json").read_text(encoding="utf-8"))
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    pages = pdf.compiled(document(internal), format="png", ppi=PIXELS_PER_INCH)
    for name, page in zip(("first-page", "second-page"), pages, strict=False):
        (folder / f"{name}.png").write_bytes(page)
    for drawing in plots.drawings(internal):
        if drawing["name"] in PLOTS:
            start, tag, rest = drawing["svg"].partition(">")
            # on white: a reader's dark scheme would swallow the ink
            white = '<rect width="100%" height="100%" fill="#ffffff"/>'
            (folder / f"{drawing['name']}.svg").write_text(start + tag + white + rest, encoding="utf-8")


if __name__ == "__main__":
    main()
