"""The plots of a report: each answers one question, and says it beside its alternative text.

Drawn by matplotlib to SVG that is the same byte for byte each time: text as paths, a fixed salt for ids, no date. Colours are those
of Okabe & Ito (2008), told apart by readers of any colour vision; marks differ in shape too. The two colours of ink are placeholders that
the page exchanges for those of its light or dark scheme.

The vendor edition gets the waterfall alone: everything else is drawn from private data outside the guarantee.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from privsynth.audit.epsilon_bounds import EPSILON_BOUND
from privsynth.report.blocks import bound_text, figure_text, percent_text
from privsynth.report.findings import MEMBERSHIP_RATE, REPLAY
from privsynth.report.fonts import FAMILY, displayable
from privsynth.report.policy import CRITERIA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET = "#1b1f24", "#59636e"
BLUE, ORANGE, GREEN, PURPLE, RED = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b3261e"
_CURVES = (BLUE, ORANGE, GREEN, PURPLE, QUIET)
_MARKS = ("o", "s", "^", "D", "v")

WIDTH = 7.0
"""Inches; the page scales it."""

_PANEL_GAP = 0.75
"""Inches between panels: ticks of one, title of the next."""

_SIGN = 0.068
"""Inches of an average sign in a label."""

MOST_ROWS = 40
"""Rows of one plot; more would not be read."""

Report = Mapping[str, Any]
Drawing = dict[str, str]


def drawings(report: Report) -> list[Drawing]:
    """Every plot that this edition has figures for: ``name``, ``title``, ``question``, ``alt`` and ``svg``."""
    makers: Sequence[Callable[[Report], Drawing | None]] = (
        (waterfall,) if report["edition"] == "vendor" else (waterfall, ladder, forest, roc, rank, subgroups, marginals)
    )
    return [drawing for make in makers if (drawing := make(report)) is not None]


def waterfall(report: Report) -> Drawing | None:
    """How epsilon grows from step to step, and what is left."""
    guarantee = report["guarantee"]
    steps = guarantee["steps"][-MOST_ROWS:]
    if not guarantee["formal"] or not steps:
        return None
    people = guarantee["cumulative"]
    labels = [f"{step['label']} ({step['mechanisms']})" if step["mechanisms"] > 1 else step["label"] for step in steps]
    ends = [step["epsilon_after"] for step in steps]
    starts = [0.0, *ends[:-1]]
    limit = report["policy"]["limits"]["guarantee"]["largest_epsilon"][report["dataset"]["sensitivity"]]
    with _figure(0.32 * (len(steps) + 1) + 1.0) as (figure, axes):
        places = range(len(steps))
        axes.barh(places, [end - start for start, end in zip(starts, ends, strict=True)], left=starts, color=BLUE, height=0.6)
        for place, end in zip(places, ends, strict=True):
            axes.annotate(bound_text(end), (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        total, names = people["epsilon"], [*labels]
        if total is not None:
            axes.barh([len(steps)], [total], color=QUIET, height=0.6)
            axes.annotate(bound_text(total), (total, len(steps)), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
            names.append("these people in all")
        lines = {"policy's limit": (limit, "--", ORANGE)} | ({"cap": (people["cap"], ":", RED)} if people["cap"] is not None else {})
        _lines(axes, lines)
        _names(axes, names)
        axes.set_xlabel("epsilon reached after the step, at most")
        axes.set_xlim(0, 1.15 * max(*ends, total or 0.0, limit, people["cap"] or 0.0))
        left = "" if people["cap"] is None or total is None else f" The cap of these people is {bound_text(people['cap'])}."
        alt = (
            f"Waterfall with {len(steps)} step{'' if len(steps) == 1 else 's'} to epsilon {bound_text(ends[-1])}; "
            f"these people have spent {bound_text(total)} in all.{left} The policy's limit is {limit:g}."
        )
        return _drawn("waterfall", "Ledger waterfall", "On which steps was the privacy budget spent, and what is left?", alt, figure)


def ladder(report: Report) -> Drawing | None:
    """Claimed epsilon, the lower bound that attacks prove, and the highest bound that they could have proved."""
    guarantee = report["guarantee"]
    bounds = [result for result in _measured(report) if result["metric"] == EPSILON_BOUND]
    if not guarantee["formal"] or not bounds:
        return None
    claim = guarantee["epsilon"]
    with _figure(0.5 * len(bounds) + 1.2) as (figure, axes):
        for place, result in enumerate(bounds):
            low, high = result["value"], result["ceiling"] if result["ceiling"] is not None else result["value"]
            axes.plot([low, high], [place, place], color=QUIET, linewidth=1.5)
            axes.plot([low], [place], ">", color=ORANGE, markersize=8, label="shown by an attack: at least" if not place else None)
            axes.plot([high], [place], "|", color=QUIET, markersize=14, label="the most that it could have shown" if not place else None)
        axes.axvline(claim, color=BLUE, linestyle="--", label="claimed: at most")
        _names(axes, [result["audit"] for result in bounds])
        axes.set_xlabel("epsilon")
        axes.set_xlim(left=-0.05 * claim)
        _legend(axes)
        worst = max(bounds, key=lambda result: result["value"])
        side = "above" if worst["value"] > claim else "below"
        alt = (
            f"The claim is epsilon {bound_text(claim)}. The highest lower bound is {figure_text(worst['value'])} "
            f"({worst['audit']}), {side} the claim; it could have been {figure_text(worst['ceiling'])} at most. "
            "A low bound is no evidence that the claim holds."
        )
        return _drawn("ladder", "Epsilon ladder", "Do attacks contradict the claimed epsilon, and could they have?", alt, figure)


def forest(report: Report) -> Drawing | None:
    """All attacks with intervals, thresholds, and what the same attacks find in releases whose leak is known."""
    panels = _panels(report)
    if not panels:
        return None
    n_rows = sum(len(rows) for _, _, rows in panels)
    known = _control_values(report)
    heights = [len(rows) + 1.2 for _, _, rows in panels]
    with _figure(0.24 * n_rows + _PANEL_GAP * len(panels) + 0.6, panels=heights) as (figure, axes):
        for number, (title, limit, rows) in enumerate(panels):
            panel = axes[number]
            for place, result in enumerate(rows):
                low, high = result["interval"] or (result["value"], result["value"])
                panel.plot([low, high], [place, place], color=BLUE, linewidth=2)
                panel.plot([result["value"]], [place], "o", color=BLUE, markersize=5, label=_once("this release, 95 % interval", panel))
                for kind, value in known.get(result["key"], ()):
                    mark, colour, words = _CONTROL_MARKS[kind]
                    panel.plot([value], [place], mark, color=colour, markersize=5, fillstyle="none", label=_once(words, panel))
            if limit is not None:
                panel.axvline(limit, color=RED, linestyle="--", linewidth=1.2, label="policy's limit")
            if "AUC" not in title:
                panel.set_xscale("symlog", linthresh=0.1)
                panel.set_xticks([0, 0.05, 0.1, 0.5, 1], ["0", "0.05", "0.1", "0.5", "1"])
                panel.minorticks_off()
            _names(panel, [_row_name(result) for result in rows])
            panel.set_title(title, fontsize=8, loc="left", x=0)
        _legend_below(figure, axes)
        n_beyond = sum(limit is not None and (result["interval"] or (0.0,))[0] > limit for _, limit, rows in panels for result in rows)
        alt = (
            f"Forest plot of {n_rows} figures with intervals in {len(panels)} panels; {n_beyond} intervals lie wholly beyond the "
            "policy's limit. Triangles are releases made to leak, circles releases that cannot leak: the annex's table has all figures."
        )
        return _drawn("forest", "All attacks", "Which attacks find more than the policy allows, and do they find known leaks?", alt, figure)


_CONTROL_MARKS = {"positive": ("^", ORANGE, "control with a known leak"), "negative": ("o", GREEN, "control without a leak")}


def _panels(report: Report) -> list[tuple[str, float | None, list[Mapping[str, Any]]]]:
    """Title, limit and results of each panel: figures on one scale stand together."""
    limits = report["policy"]["limits"]
    shown = [result for result in _measured(report) if result["population"] == "everyone" and result["interval"] is not None]

    def those(test: Callable[[Mapping[str, Any]], bool]) -> list[Mapping[str, Any]]:
        return [result for result in shown if test(result)][:MOST_ROWS]

    excess = {metric for metrics in CRITERIA.values() for metric in metrics}
    panels: list[tuple[str, float | None, list[Mapping[str, Any]]]] = [
        ("Membership: area under the curve (AUC); 0.5 is guessing", limits["membership"]["auc"], those(lambda r: r["metric"] == "AUC")),
        (
            "Membership: share recognised at 1 % false alarms",
            limits["membership"]["true_positive_rate_at_1_percent"],
            those(lambda r: r["metric"] == MEMBERSHIP_RATE),
        ),
        (
            "Singling out, linkability, inference: excess over others",
            limits["criteria"]["largest_excess"],
            those(lambda r: r["metric"] in excess),
        ),
        ("Replay: excess over others", None, those(lambda r: r["audit"] in REPLAY[:2])),
    ]
    return [panel for panel in panels if panel[2]]


def _row_name(result: Mapping[str, Any]) -> str:
    if result["audit"] in CRITERIA:
        return str(result["metric"].removesuffix(", in excess of control"))
    return str(result["audit"])


def _control_values(report: Report) -> dict[str, list[tuple[str, float]]]:
    """Kind and value of every control by the key of the result; replay tests without a common scale are left out."""
    values: dict[str, list[tuple[str, float]]] = {}
    for control in report["audit"]["controls"]:
        for result in control["results"]:
            if result["status"] == "measured" and result["value"] is not None:
                values.setdefault(result["key"], []).append((control["kind"], result["value"]))
    return values


def roc(report: Report) -> Drawing | None:
    """Receiver operating characteristics on logarithmic axes, with what the claimed epsilon allows at most."""
    curves = [result for result in _measured(report) if result["details"].get("roc")]
    if not curves:
        return None
    guarantee = report["guarantee"]
    smallest = min(point[0] for result in curves for point in result["details"]["roc"])
    with _figure(4.2) as (figure, axes):
        for number, result in enumerate(curves):
            points = [point for point in result["details"]["roc"] if point[1] > 0]
            style = {"color": _CURVES[number % len(_CURVES)], "marker": _MARKS[number % len(_MARKS)]}
            axes.plot([x for x, _ in points], [y for _, y in points], markersize=3, linewidth=1.2, label=result["audit"], **style)
        grid = [smallest ** (1 - step / 60) for step in range(61)]
        axes.plot(grid, grid, color=QUIET, linestyle=":", label="guessing")
        if guarantee["formal"]:
            claim = [claimed_rate(x, guarantee["epsilon"], guarantee["delta"]) for x in grid]
            axes.plot(grid, claim, color=RED, linestyle="--", label=f"most that epsilon {bound_text(guarantee['epsilon'])} allows")
        axes.set(
            xscale="log", yscale="log", xlabel="false alarms among people not in the data", ylabel="people in the data who are recognised"
        )
        axes.set_ylim(smallest / 2, 1.3)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.minorticks_off()
        _legend(axes, inside=True)
        worst = max(curves, key=lambda result: result["value"])
        alt = (
            f"{len(curves)} curves of membership attacks on logarithmic axes, from {percent_text(smallest)} false alarms upward; "
            f"the one with the largest area is {worst['audit']} ({figure_text(worst['value'])}, where 0.5 is guessing)."
        )
        return _drawn("roc", "Recognising members", "Can an attacker who tolerates few false alarms tell who was in the data?", alt, figure)


def claimed_rate(false_positive_rate: float, epsilon: float, delta: float) -> float:
    """The largest true positive rate that (epsilon, delta) allows; Kairouz, Oh & Viswanath (2015), arXiv:1311.0776, Theorem 2.1.

    >>> round(claimed_rate(0.1, 0.0, 0.0), 9), claimed_rate(1.0, 3.0, 0.0)
    (0.1, 1.0)
    """
    x = false_positive_rate
    return min(1.0, math.exp(min(epsilon, 700.0)) * x + delta, 1 - math.exp(-epsilon) * (1 - delta - x))


def rank(report: Report) -> Drawing | None:
    """Share of train among the people whom the release comes closest to, beside what chance gives."""
    found = [result for result in _measured(report) if result["audit"] == REPLAY[2] and result["details"].get("train_among_nearest")]
    if not found:
        return None
    (result,) = found[:1]
    expected, series = result["control"], _by_ranking(result["details"]["train_among_nearest"])
    counts = sorted({count for points in series.values() for count, _ in points})
    with _figure(3.0) as (figure, axes):
        low, high = zip(*(_band(count, expected) for count in counts), strict=True)
        axes.fill_between(counts, low, high, color=QUIET, alpha=0.25, label="95 % of blind draws")
        axes.axhline(expected, color=QUIET, linestyle=":", label="share of train among all")
        for number, (name, points) in enumerate(sorted(series.items())):
            style = {"color": _CURVES[number], "marker": _MARKS[number]}
            axes.plot([k for k, _ in points], [n / k for k, n in points], label=f"nearest by {name}", linewidth=1.2, **style)
        axes.set(xscale="log", xlabel="people nearest to the release", ylabel="share who were in the data", ylim=(0, 1.08))
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        _legend(axes, inside=True)
        shares = "; ".join(f"{n} of {k} by {name}" for name, points in sorted(series.items()) for k, n in points)
        alt = f"People in the data among those nearest to the release: {shares}. Chance gives {percent_text(expected)}."
        return _drawn(
            "rank", "Replay by rank", "Does the release come closest to people in the data, more than chance allows?", alt, figure
        )


def _by_ranking(counts: Mapping[str, int]) -> dict[str, list[tuple[int, int]]]:
    """(people, train among them) by ranking, from keys such as "50 by distance"."""
    series: dict[str, list[tuple[int, int]]] = {}
    for key, train in counts.items():
        people, _, name = key.partition(" by ")
        series.setdefault(name, []).append((int(people), train))
    return {name: sorted(points) for name, points in series.items()}


def _band(n: int, share: float) -> tuple[float, float]:
    from scipy.stats import binom

    low, high = binom.interval(0.95, n, share)
    return float(low) / n, float(high) / n


def subgroups(report: Report) -> Drawing | None:
    """Excess of membership and of the criteria on everyone, the most isolated tenth and the worst declared subgroup."""
    rows = []
    for result in _measured(report):
        group = _population(result)
        if group is not None and result["interval"] is not None:
            shift = 0.5 if result["metric"] == "AUC" else 0.0
            rows.append((result["audit"], group, result["value"] - shift, [end - shift for end in result["interval"]]))
    if not any(group != "everyone" for _, group, _, _ in rows):
        return None  # beside nobody else, everyone is no comparison
    audits = list(dict.fromkeys(audit for audit, _, _, _ in rows))[: MOST_ROWS // 3]
    with _figure(0.55 * len(audits) + 1.1) as (figure, axes):
        for audit, group, value, (low, high) in rows:
            if audit not in audits:
                continue
            shift, mark, colour = _GROUPS[group]
            place = audits.index(audit) + shift
            axes.plot([low, high], [place, place], color=colour, linewidth=1.8)
            axes.plot([value], [place], mark, color=colour, markersize=5, label=_once(group, axes))
        axes.axvline(0, color=QUIET, linestyle=":")
        _names(axes, audits)
        axes.set_xlabel("excess over people not in the data (area under the curve above 0.5, or share)")
        _legend(axes)
        groups = ", ".join(dict.fromkeys(group for _, group, _, _ in rows))
        worst = max(rows, key=lambda row: row[3][1])
        alt = f"Excess with intervals for {groups}; the highest upper end is {figure_text(worst[3][1])} ({worst[0]}, {worst[1]})."
        return _drawn("subgroups", "Risk by subgroup", "Are some people at more risk than others?", alt, figure)


_GROUPS = {
    "everyone": (-0.22, "o", BLUE),
    "most isolated tenth": (0.0, "s", ORANGE),
    "worst declared subgroup": (0.22, "^", GREEN),
}


def _population(result: Mapping[str, Any]) -> str | None:
    metric = result["metric"]
    if metric.endswith("worst declared subgroup"):
        return "worst declared subgroup"
    if result["population"] == "vulnerable tenth":
        return "most isolated tenth" if metric.startswith(("AUC", "people", "guesses right, ")) else None
    first = {metrics[0] for metrics in CRITERIA.values()}
    return "everyone" if metric == "AUC" or metric in first else None


def marginals(report: Report) -> Drawing | None:
    """Shares of the cells of single columns, synthetic beside real; internal edition only."""
    shares = report["fidelity"]["shares"]
    if not shares:
        return None
    n_across = 2
    n_down = math.ceil(len(shares) / n_across)
    with _figure(1.25 * n_down + 0.6, grid=(n_down, n_across)) as (figure, axes):
        for panel, column in zip(axes, shares, strict=False):
            places = range(len(column["train"]))
            panel.step(places, column["train"], where="mid", color=QUIET, linewidth=1.4, label="train")
            panel.plot(places, column["synthetic"], "o", color=ORANGE, markersize=3, label="synthetic")
            panel.set_title(
                _short(f"{column['column']} ({'bins in order' if column['numeric'] else 'cells by frequency'})"), fontsize=8, loc="left"
            )
            panel.set_xticks([])
            panel.set_ylim(bottom=0)
        for panel in axes[len(shares) :]:
            panel.set_axis_off()
        axes[0].legend(fontsize=7, frameon=False, labelcolor=INK)
        names = ", ".join(column["column"] for column in shares)
        alt = f"Shares of cells, synthetic as dots on the steps of train, for the columns that differ most from sampling noise: {names}."
        return _drawn("marginals", "Single columns", "Does each column of the synthetic data look like the real one?", alt, figure)


def _measured(report: Report) -> list[Mapping[str, Any]]:
    return [result for result in report["audit"]["results"] if result["status"] == "measured" and result["value"] is not None]


@contextmanager
def _figure(height: float, *, panels: Sequence[float] = (), grid: tuple[int, int] | None = None) -> Iterator[tuple[Figure, Any]]:
    """A figure in the report's style with one axes, panels of these relative heights, or a grid; nothing of pyplot's state is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "path",
        "svg.hashsalt": "privsynth",
        "font.family": FAMILY,
        "font.size": 8,
        "text.color": INK,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.parse_math": False,  # a column may be called $x$
        "axes.unicode_minus": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(WIDTH, height))
        # margins in inches: a layout engine would draw everything twice to find them
        edges = {"bottom": 0.45 / height, "top": 1 - 0.3 / height, "right": 0.97, "left": 0.65 / WIDTH}
        if panels:
            made: Any = list(figure.subplots(len(panels), 1, height_ratios=list(panels), squeeze=False)[:, 0])
            edges |= {"hspace": len(panels) * _PANEL_GAP / height, "bottom": 0.6 / height}
        elif grid:
            made = list(figure.subplots(*grid, squeeze=False).ravel())
            edges |= {"hspace": 0.45, "wspace": 0.15, "bottom": 0.1 / height}
        else:
            made = figure.subplots()
        figure.subplots_adjust(**edges)
        yield figure, made


def _drawn(name: str, title: str, question: str, alt: str, figure: Figure) -> Drawing:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # ids are unique in one drawing only, and a page holds many
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    return {"name": name, "title": title, "question": question, "alt": alt, "svg": svg}


def _names(axes: Axes, names: Sequence[str]) -> None:
    """Names on the left, with as much room as the longest name of the figure needs."""
    shown = [_short(name) for name in names]
    axes.set_yticks(range(len(names)), shown)
    figure = axes.get_figure(root=True)
    if figure is not None:
        needed = (0.25 + _SIGN * max(map(len, shown))) / WIDTH
        figure.subplots_adjust(left=max(figure.subplotpars.left, needed))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _lines(axes: Axes, lines: Mapping[str, tuple[float, str, str]]) -> None:
    for name, (value, style, colour) in lines.items():
        axes.axvline(value, color=colour, linestyle=style, linewidth=1.2, label=f"{name} {value:g}")
    _legend(axes)


def _legend(axes: Axes, *, inside: bool = False) -> None:
    """A legend above the axes, where it covers nothing; inside at the lower right where it is long and that corner is empty."""
    style: dict[str, Any] = {"fontsize": 7, "frameon": False, "labelcolor": INK}
    if inside:
        axes.legend(loc="lower right", **style)
    else:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, borderaxespad=0.1, columnspacing=1.2, **style)


def _legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for several panels, under the last: their titles stand where it would else be."""
    entries = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), fontsize=7, frameon=False, labelcolor=INK, loc="lower center", ncols=4)


def _once(label: str, axes: Axes) -> str | None:
    """The label, unless the axes have it already."""
    return None if label in axes.get_legend_handles_labels()[1] else label


def _short(text: str) -> str:
    """A name that leaves room for the plot; the tables have it in full."""
    visible = displayable(text)
    return visible if len(visible) <= 44 else visible[:43] + "…"
