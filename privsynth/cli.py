"""The command line: each command parses, calls one public function and prints.

Exit codes: 0 passed, 1 the policy failed or a release was refused, 2 bad input or usage, 3 inconclusive. Every error is one
line; ``--debug`` shows where it came from.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.table import Table as Grid
from rich.text import Text

from privsynth import __version__, cli_pii, cli_signing
from privsynth.errors import PrivSynthError
from privsynth.terminal import console, errors, one_line

if TYPE_CHECKING:
    from privsynth.audit.base import AuditResult
    from privsynth.release import Release
    from privsynth.report.policy import Judgement

EXIT_OF = {"pass": 0, "fail": 1, "inconclusive": 3}
USAGE_ERROR = 2

SHOW_VALUES = "--show-values"
"""With any command: an error about cells prints the first of them, on a terminal only."""

DEMO_MARK = ".written-by-privsynth-demo"
DEMO_NOTE = "Demo on fictional data, with a ledger that is thrown away: nothing of its budget is remembered."

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Turn a confidential dataset into synthetic data plus the evidence to sign it off.",
)
_STYLE = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_SIGN = {"pass": "● passed", "fail": "■ failed", "inconclusive": "▲ inconclusive"}


def main() -> NoReturn:
    """Run the command line; every expected error becomes one line and exit code 2."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    show_values = SHOW_VALUES in arguments
    if arguments[:1] != ["scan"]:  # the one command that takes the option itself
        arguments = [argument for argument in arguments if argument != SHOW_VALUES]
    try:
        sys.exit(app(arguments, standalone_mode=False) or 0)
    except PrivSynthError as error:
        if debug:
            raise
        errors.print(f"{type(error).__name__}: {one_line(str(error))}", soft_wrap=True)
        if show_values:
            _show_values(error)
        sys.exit(USAGE_ERROR)
    except typer.TyperException as error:
        errors.print(f"UsageError: {error.format_message()}", soft_wrap=True)
        sys.exit(USAGE_ERROR)
    except (typer.Abort, KeyboardInterrupt):
        errors.print("Stopped. What was reserved stays charged if anything had been measured; go on with: privsynth run PLAN --resume")
        sys.exit(USAGE_ERROR)
    except Exception as error:
        # The message of an unexpected error may quote private data: only its type is shown.
        if debug:
            raise
        errors.print(
            f"{type(error).__name__}: an unexpected error stopped the command; run it again with --debug to see where (may show data)",
            soft_wrap=True,
        )
        sys.exit(USAGE_ERROR)


def _show_values(error: PrivSynthError) -> None:
    """The cells that an error is about: private data, for a person at a terminal and nobody's log."""
    if not error.values:
        return
    if not sys.stderr.isatty():
        errors.print("The values are not shown: --show-values prints private data and needs a terminal.", soft_wrap=True)
        return
    errors.print(f"Values: {one_line(', '.join(map(repr, error.values)))}", soft_wrap=True)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        console.print(__version__)
        raise typer.Exit


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the release and the internal files go.")] = Path("reports/demo"),
) -> int:
    """Run the main job on the fictional bank in sample_data.

    Example: privsynth demo
    """
    from privsynth.config import Plan
    from privsynth.errors import PlanError
    from privsynth.pipeline import run as run_plan
    from privsynth.privacy import Ledger

    plan_file = Path(__file__).resolve().parents[1] / "sample_data" / "plan.toml"
    if not plan_file.exists():
        raise PlanError(f"sample={str(plan_file)!r} is not there; run the demo from a clone of the repository")
    _clear_demo(folder)
    plan = Plan.load(plan_file)
    plan = plan.model_copy(update={"release": plan.release.model_copy(update={"folder": str((folder / "release").resolve())})})
    with tempfile.TemporaryDirectory() as state, _progress() as progress:
        release = run_plan(
            plan, ledger=Ledger.open(Path(state) / "ledger.sqlite"), internal=folder / "internal", progress=progress, notes=[DEMO_NOTE]
        )
    _show(release)
    return EXIT_OF[release.verdict]


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="A table: CSV, Parquet, Excel or JSON lines.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The plan to write.")] = Path("plan.toml"),
) -> int:
    """Write a commented plan for a table: proposals to confirm, blanks to fill.

    Example: privsynth init clients.csv
    """
    from privsynth.drafting import draft_plan
    from privsynth.errors import PlanError

    if out.exists():
        raise PlanError(f"plan={str(out)!r} is already there; choose another name with --out")
    out.write_text(draft_plan(data, relative_to=out.resolve().parent), encoding="utf-8")
    console.print(
        f"Wrote {out}. Confirm each line, fill the blanks (epsilon, delta, privacy_unit, bounds), then: privsynth check {out}",
        soft_wrap=True,
    )
    return 0


@app.command()
def check(plan: Annotated[Path, typer.Argument(help="The plan.")]) -> int:
    """Say what a plan will cost and what it can deliver; reads no private data.

    Example: privsynth check plan.toml
    """
    from privsynth.config import Plan
    from privsynth.preflight import check as check_plan

    loaded = Plan.load(plan)
    found = check_plan(loaded)
    grid = Grid("Stage", "What is read", "Class", "Noise")
    for touch in found.touches:
        grid.add_row(touch.stage, touch.label, touch.touch_class, _noise(touch.event))
    console.print(grid)
    console.print(f"In all: {found.cost_sentence(loaded.budget)}", soft_wrap=True)
    console.print(
        f"Needs at least {found.smallest_people} people"
        + (f"; {found.people} are declared." if found.people else "; people is not declared.")
    )
    for line in found.verdicts:
        console.print(line, soft_wrap=True)
    console.print("Outside the guarantee: " + "; ".join(found.outside), soft_wrap=True)
    return 0


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(help="The plan.")],
    internal: Annotated[Path | None, typer.Option(help="Folder for what may not be handed over; beside the ledger by default.")] = None,
    benchmark_split: Annotated[
        bool, typer.Option("--benchmark-split", help="Fixed 80/20 split of published figures; stamps the output insecure.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run of this plan.")] = False,
) -> int:
    """Run a plan: synthetic data, audits, report, release folder.

    Example: privsynth run plan.toml; after a crash: privsynth run plan.toml --resume
    """
    from privsynth.config import Plan
    from privsynth.pipeline import run as run_plan

    loaded = Plan.load(plan)
    with _progress() as progress:
        release = run_plan(
            loaded,
            internal=internal,
            benchmark=benchmark_split,
            resume=resume,
            progress=progress,
            warn=lambda line: errors.print(f"Warning: {line}", soft_wrap=True),
        )
    _show(release)
    return EXIT_OF[release.verdict]


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="The internal folder of a run.")]) -> int:
    """Say how far a run has come and what can be done with it.

    Example: privsynth status ~/.local/state/privsynth/internal/bank-clients-0123456789abcdef
    """
    from privsynth.stages import status as status_of

    found = status_of(folder)
    facts = found.facts
    console.print(f"Run {facts.event_id} of {one_line(facts.dataset)!r}, started {facts.started}: {facts.state}.")
    if found.stages:
        grid = Grid("Stage", "State")
        for stage, state in found.stages.items():
            grid.add_row(stage, state)
        console.print(grid)
    console.print(f"{len(found.files)} files, {sum(found.files.values()) / 1e6:.1f} MB. {found.next_step}", soft_wrap=True)
    return 0


@app.command()
def purge(folder: Annotated[Path, typer.Argument(help="The internal folder of a run.")]) -> int:
    """Remove a run's internal files, model and key; the ledger keeps that they were removed, and what was spent.

    Example: privsynth purge ~/.local/state/privsynth/internal/bank-clients-0123456789abcdef
    """
    from privsynth.privacy import Ledger
    from privsynth.stages import purge as purge_run

    done = purge_run(folder, ledger=Ledger.open())
    console.print(
        f"Removed {len(done.removed)} files of run {done.facts.event_id}; the ledger says so. What was spent stays spent.", soft_wrap=True
    )
    if done.kept:
        console.print(f"Left alone, not written by privsynth: {one_line(', '.join(done.kept))}", soft_wrap=True)
    return 0


@app.command()
def audit(
    train: Annotated[Path | None, typer.Option(help="What the synthetic file was made from.")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="The file under audit.")] = None,
    holdout: Annotated[Path | None, typer.Option(help="Other people of the same kind, never shown to the generator.")] = None,
    unit: Annotated[str, typer.Option(help="Column that identifies a person.")] = "row",
    out: Annotated[Path | None, typer.Option(help="Folder for the results as JSON (internal: do not hand over).")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat an audit exactly.")] = None,
    mechanisms: Annotated[bool, typer.Option("--mechanisms", help="Audit privsynth's own mechanisms on public data instead.")] = False,
    epsilon: Annotated[float, typer.Option(help="With --mechanisms: the epsilon they claim.")] = 1.0,
) -> int:
    """Attack anyone's synthetic file, with controls; no plan needed.

    Example: privsynth audit --train train.csv --holdout holdout.csv --synthetic synthetic.csv
    """
    from privsynth.auditing import audit_files
    from privsynth.errors import PlanError

    if mechanisms:
        return _audit_mechanisms(epsilon)
    if train is None or synthetic is None:
        raise PlanError("--train and --synthetic are missing; expected both files (and --holdout), or --mechanisms alone")
    with _progress() as progress:
        outcome = audit_files(train, holdout, synthetic, unit=unit, seed=seed, progress=progress)
    for note in outcome.notes:
        console.print(note, soft_wrap=True)
    _show_attacks(outcome.run.results)
    _show_judgements(outcome.judgements)
    _show_verdict(outcome.verdict)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        (out / "audit.json").write_text(json.dumps(outcome.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")
        console.print(f"Results: {out / 'audit.json'} (computed from private data)")
    return EXIT_OF[outcome.verdict]


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A release folder, or an internal folder.")],
    edition: Annotated[str, typer.Option(help="vendor or internal.")] = "vendor",
    format: Annotated[str | None, typer.Option(help="html, pdf or json; by the ending of --out unless given, else html.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default the page goes to standard output.")] = None,
) -> int:
    """Render a report again from stored results.

    Example: privsynth report out/bank-clients --edition vendor --format pdf --out report.pdf
    """
    from privsynth.errors import PlanError
    from privsynth.report.stored import rendered

    chosen = format or (out.suffix[1:] if out is not None and out.suffix in (".json", ".pdf") else "html")
    if chosen == "pdf" and out is None:
        raise PlanError("format='pdf' is not text and needs a file; add --out report.pdf")
    made = rendered(folder, edition, chosen)
    if out is not None:
        try:
            out.write_bytes(made.encode() if isinstance(made, str) else made)
        except OSError as error:
            raise PlanError(f"out={str(out)!r} cannot be written ({error.strerror}); choose another file") from None
        console.print(f"Wrote {out}")
    elif isinstance(made, str):
        sys.stdout.write(made)
    return 0


@app.command()
def ledger(
    check: Annotated[bool, typer.Option("--check", help="Prove the chain of all entries.")] = False,
    release: Annotated[Path | None, typer.Option(help="With --check: also that this release's ledger head is in the chain.")] = None,
    cap: Annotated[str | None, typer.Option(help="With --epsilon: set the cap of this dataset's people.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="The new cap.")] = None,
) -> int:
    """Show what has been spent on which people.

    Example: privsynth ledger; privsynth ledger --cap bank-clients --epsilon 6
    """
    from privsynth.errors import LedgerError, PlanError
    from privsynth.privacy import Ledger
    from privsynth.release import ledger_head_of

    book = Ledger.open()
    if (cap is None) != (epsilon is None):
        raise PlanError("--cap and --epsilon belong together, for example: privsynth ledger --cap bank-clients --epsilon 6")
    if cap is not None and epsilon is not None:
        book.set_cap(cap, epsilon)
    if check:
        entries = book.entries()
        console.print(f"{len(entries)} entries, the chain holds. Head: {book.head()}", soft_wrap=True)
        if release is not None:
            if not book.contains(ledger_head_of(release)):
                raise LedgerError(
                    f"release={str(release)!r} names a ledger head that is not here; "
                    "this ledger was truncated or restored from an older copy"
                )
            console.print("The release's ledger head is in the chain.")
    grid = Grid("People of", "epsilon spent", "delta spent", "cap", "releases", "attempts")
    for name in book.populations():
        balance = book.balance(name)
        grid.add_row(
            name, f"{balance.epsilon:.4g}", f"{balance.delta:.3g}", f"{balance.cap:g}", str(balance.releases), str(balance.attempts)
        )
    console.print(grid)
    return 0


for _command in (cli_pii.scan, cli_pii.strip, cli_signing.keygen, cli_signing.sign, cli_signing.verify):
    app.command()(_command)


@app.command(name="app")
def serve_app(port: Annotated[int, typer.Option(help="Port on this machine.")] = 8501) -> int:
    """Open the app in a browser, for this machine only.

    Example: privsynth app
    """
    from privsynth.app_pages.server import serve

    return serve(port)


def _audit_mechanisms(epsilon: float) -> int:
    """Whether each mechanism leaks no more than it is charged for, on worst-case public data."""
    from privsynth.mechanism_audit import audit_mechanisms

    grid = Grid("Mechanism", "Claimed", "Leaks at least", "Could have shown", "Unit", "Runs", "Light")
    results = audit_mechanisms(epsilon=epsilon)
    for result in results:
        light = "fail" if result.flagged else "pass" if result.has_power else "inconclusive"
        grid.add_row(
            result.mechanism,
            _figure(result.claimed),
            _figure(result.lower_bound),
            _figure(result.ceiling),
            result.unit,
            str(result.n_runs),
            _light(light),
        )
    console.print(grid)
    verdict = (
        "fail" if any(result.flagged for result in results) else "pass" if all(result.has_power for result in results) else "inconclusive"
    )
    _show_verdict(verdict)
    return EXIT_OF[verdict]


def _clear_demo(folder: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    from privsynth.errors import ReleaseError

    if folder.exists() and any(folder.iterdir()):
        if not (folder / DEMO_MARK).exists():
            raise ReleaseError(f"folder={str(folder)!r} holds something else than an earlier demo; choose another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEMO_MARK).touch()


class _progress:  # a context manager reads best in lower case
    """A progress bar with time left on a terminal; lines otherwise."""

    def __enter__(self) -> Callable[[str, int, int], None]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=errors, transient=True
        )
        self.task = self.bar.add_task("starting", total=None)
        self.bar.start()
        return self._tell

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def _tell(self, stage: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=stage, completed=done, total=total)


def _noise(event: Any) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in vars(event).items())


def _show(release: Release) -> None:
    """The final tables of a run."""
    from privsynth.report.summary import handing_over

    _show_attacks(release.measurements.audit.results)
    _show_quality(release)
    _show_judgements([_as_judgement(reason) for reason in release.summary["verdict"]["reasons"]])
    console.print(release.summary["guarantee"]["sentence"], soft_wrap=True)
    for note in release.notes:
        console.print(f"Note: {note}", soft_wrap=True)
    _show_verdict(release.verdict)
    if release.folder is None:
        console.print("Blocked: the synthetic data were kept internal and not exported.")
    else:
        fate = handing_over(release.verdict, formal=release.summary["guarantee"]["formal"], insecure=release.insecure)
        console.print(f"Release:  {release.folder}  ({fate})", soft_wrap=True)
    console.print(f"Internal: {release.internal}  (computed from private data: do not hand over)", soft_wrap=True)


def _as_judgement(reason: dict[str, Any]) -> Judgement:
    from privsynth.report.policy import Judgement

    return Judgement(**reason)


def _show_attacks(results: Sequence[AuditResult]) -> None:
    grid = Grid("Attack", "Figure (higher is worse)", "Value", "95 % interval", "Control", "p")
    for result in results:
        who = "" if result.population == "everyone" else f" ({result.population})"
        if result.status != "measured":
            grid.add_row(result.audit + who, result.metric, result.status, "", "", "")
            continue
        interval = f"{result.interval[0]:.3g} to {result.interval[1]:.3g}" if result.interval else "–"
        grid.add_row(result.audit + who, result.metric, _figure(result.value), interval, _figure(result.control), _figure(result.p_value))
    console.print(grid)


def _show_quality(release: Release) -> None:
    grid = Grid("Quality", "Synthetic", "Floor", "Ceiling")
    for order in release.measurements.fidelity.orders:
        grid.add_row(
            f"distance of {order.order}-way marginals (lower is better)",
            _figure(order.synthetic),
            _figure(order.floor),
            _figure(order.ceiling),
        )
    utility = release.measurements.utility
    if utility is not None and utility.status == "measured":
        for score in utility.scores:
            grid.add_row(
                f"{utility.metric} of {score.family}, trained on synthetic",
                _figure(score.synthetic),
                _figure(score.floor),
                _figure(score.ceiling),
            )
    console.print(grid)


def _show_judgements(judgements: Sequence[Judgement]) -> None:
    """What did not pass, and how many passed."""
    grid = Grid("Light", "Subject", "Reason")
    order = ("fail", "inconclusive", "pass")
    for judgement in sorted(judgements, key=lambda judgement: order.index(judgement.light)):
        if judgement.light != "pass":
            grid.add_row(_light(judgement.light), judgement.subject, judgement.reason)
    if grid.row_count:
        console.print(grid)
    console.print(f"{sum(judgement.light == 'pass' for judgement in judgements)} of {len(judgements)} judgements passed.")


def _light(light: str) -> Text:
    return Text(_SIGN[light], style=_STYLE[light])


def _show_verdict(verdict: str) -> None:
    console.print("Verdict:", _light(verdict))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
