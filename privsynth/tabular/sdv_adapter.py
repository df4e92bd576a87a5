"""All calls into SDV: a synthesizer for coded columns, seeds, conditions, progress, and silence about values.

SDV 2.0 offers no public way to seed a sample, to follow a fit, or to condition without a progress bar: what is used of its
internals stands here and in ``copula.py``, and is why ``pyproject.toml`` holds it below 2.1.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import PlanError, PrivSynthError
from privsynth.registry import require
from privsynth.tabular.base import FitProgress

LICENCE_NOTE = (
    "These tables were made with SDV by DataCebo, which is under the Business Source License 1.1 and not under an open-source licence: "
    "use inside your organisation is allowed; a commercial service that lets third parties use its functions is not. "
    "See the licence of the package sdv."
)

TABLE = "table"
_LOGGERS = ("SingleTableSynthesizer", "Metadata", "sdv", "rdt", "copulas", "ctgan")
_TRIES = 100


def shown_name(position: int) -> str:
    """The name under which SDV sees a column."""
    return f"c{position}"


def new_synthesizer(sdv_class: str, sdtypes: list[str], **options: Any) -> Any:
    """SDV's synthesizer for columns ``c0, c1, ...`` of these sdtypes.

    SDV's own rounding and its clipping to the smallest and largest value of the data are off: the codecs do both, from declared facts.
    """
    sdv = _sdv()
    columns = {shown_name(i): {"sdtype": sdtype} for i, sdtype in enumerate(sdtypes)}
    described = {"tables": {TABLE: {"columns": columns}}, "relationships": [], "METADATA_SPEC_VERSION": "V1"}
    with quiet_sdv():
        metadata = sdv.metadata.Metadata.load_from_dict(described)
        synthesizer = getattr(sdv.single_table, sdv_class)(metadata, enforce_rounding=False, enforce_min_max_values=False, **options)
    if hasattr(synthesizer, "_print_warning"):
        synthesizer._print_warning = lambda data: None  # it prints advice for wide tables on stdout, where our results go
    return synthesizer


def sample_shown(synthesizer: Any, n: int, *, rng: np.random.Generator, given: pd.DataFrame | None, columns: int) -> pd.DataFrame:
    """``n`` rows as SDV makes them, columns ``c0, c1, ...``, with seeds from ``rng``.

    Raises:
        PlanError: ``n`` is negative, or no row fits ``given``.
    """
    if n < 0:
        raise PlanError(f"n={n!r}; expected a number of rows, 0 or more")
    if n == 0:
        return pd.DataFrame({shown_name(i): pd.Series([], dtype=object) for i in range(columns)})
    _seed_sampling(synthesizer, rng)
    with quiet_sdv():
        if given is None:
            with own_errors("SDV cannot sample from this model"):
                return pd.DataFrame(synthesizer.sample(n)[TABLE]).reset_index(drop=True)
        with own_errors("SDV finds no rows that fit what is given"):
            # What sample_remaining_columns does, without its progress bar on the terminal.
            frame = pd.DataFrame(synthesizer._sample_with_conditions(given.copy(), _TRIES, None))
    if len(frame) < n:
        raise PlanError(f"SDV found rows for {len(frame)} of {n} given; give fewer columns, or categories instead of numbers")
    return frame.reset_index(drop=True)


def _seed_sampling(synthesizer: Any, rng: np.random.Generator) -> None:
    """Seeds for everything that SDV draws in sampling: otherwise it uses one fixed number."""
    synthesizer._set_random_state(int(rng.integers(2**31)))
    for transformer in synthesizer._data_processor._hyper_transformer.field_transformers.values():
        if transformer is not None:
            # SDV takes this type only.
            state = np.random.RandomState(int(rng.integers(2**31)))
            transformer.set_random_state(state, "reverse_transform")


def seed_networks() -> None:
    """Fresh weights for each fit: torch starts every process with the same seed."""
    require("torch").manual_seed(secrets.randbits(63))


def _sdv() -> Any:
    """SDV, imported on use (seconds), with its loggers told to keep counts of rows to themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        require("sdv.single_table")
        require("sdv.metadata")
        sdv = require("sdv")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return sdv


@contextlib.contextmanager
def quiet_sdv() -> Iterator[None]:
    """Warnings raised in SDV's packages, or in the numerics below them, are not shown."""
    with warnings.catch_warnings():
        for package in ("sdv", "rdt", "copulas", "ctgan", "scipy"):
            warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")
        yield


def in_one_process() -> contextlib.AbstractContextManager[Any]:
    """CTGAN and TVAE would hand 500 rows and more to processes of joblib, large columns through files: the data stay in this one."""
    context: contextlib.AbstractContextManager[Any] = require("joblib").parallel_config(backend="sequential")
    return context


@contextlib.contextmanager
def own_errors(what: str) -> Iterator[None]:
    """One line instead of SDV's errors, which may quote values; our own pass."""
    try:
        yield
    except PrivSynthError:
        raise
    except Exception as error:
        raise PlanError(f"{what} ({type(error).__name__}); check the columns, or take another engine") from None


_TELL: ContextVar[FitProgress | None] = ContextVar("told after each epoch", default=None)
_EPOCHS: ContextVar[int] = ContextVar("epochs in all", default=0)


@contextlib.contextmanager
def epochs_told(progress: FitProgress | None, epochs: int) -> Iterator[None]:
    """CTGAN and TVAE loop over ``tqdm(range(epochs))`` and offer nothing else to follow them by.

    Their modules' ``tqdm`` is replaced once by one that looks at the caller's context, so that two fits in two threads do not mix.
    """
    for name in ("ctgan", "tvae"):
        module = require(f"ctgan.synthesizers.{name}")
        if not isinstance(module.tqdm, _ToldBar):
            module.tqdm = _ToldBar(module.tqdm)  # type: ignore[attr-defined]  # the module is untyped
    tell, total = _TELL.set(progress), _EPOCHS.set(epochs)
    try:
        yield
    except _Stopped as stopped:
        raise stopped.reason from None
    finally:
        _TELL.reset(tell)
        _EPOCHS.reset(total)


class _Stopped(BaseException):
    """An exception of the caller's callback on its way through SDV, which would take it for one of its own."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True)
class _ToldBar:
    """Stands in for ``tqdm``: the original unless this context asked to be told."""

    original: Callable[..., Any]

    def __call__(self, iterable: Iterable[int], **options: Any) -> Any:
        return self.original(iterable, **options) if _TELL.get() is None else self._told(iterable)

    def _told(self, iterable: Iterable[int]) -> Iterator[int]:
        tell, total = _TELL.get(), _EPOCHS.get()
        for done, epoch in enumerate(iterable, start=1):
            yield epoch
            try:
                if tell:
                    tell(done, total)
            except BaseException as error:
                raise _Stopped(error) from None


def require_given(given: pd.DataFrame, n: int, known: list[str]) -> None:
    """Refuse conditions that a model cannot take.

    Raises:
        PlanError: Another number of rows, or a column that is not modelled.
    """
    unknown = [str(name) for name in given.columns if name not in known]
    if len(given) != n or unknown or not len(given.columns):
        what = f"column {unknown[0]!r}" if unknown else f"{len(given.columns)} columns"
        raise PlanError(f"given has {len(given)} rows and {what}; expected {n} rows of modelled columns: {', '.join(known)}")


def fixed_rows(given: pd.DataFrame | None) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows of each column were given: all of those that ``given`` has."""
    return {} if given is None else {str(name): np.ones(len(given), dtype=bool) for name in given.columns}
