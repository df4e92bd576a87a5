"""SDV's models of one table behind the same protocol: good likenesses, without any formal guarantee.

GaussianCopula (Patki, Wedge & Veeramachaneni 2016, "The Synthetic Data Vault"), CTGAN and TVAE (Xu et al. 2019, arXiv:1907.00503) and
CopulaGAN are fitted to exact values: whatever is released after that is covered by no proof, the total epsilon is infinite, and
the audits are the only evidence.

SDV is never shown names or raw categories: each column becomes a code ``k0, k1, ...`` or a float, by our schema and
not by SDV's detection, and comes back on the column's grid, inside its bounds. What it would corrupt without a word (infinities, whole
numbers that a float cannot hold) is refused. Its errors are replaced by one line, because they may quote values.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.dataset import Dataset, numbers
from privsynth.errors import PlanError, PrivSynthError, SchemaError
from privsynth.privacy import Budget, NonPrivate, Reservation, Touch
from privsynth.registry import require
from privsynth.schema import Column, Table
from privsynth.tabular.base import STAGE, ColumnReport
from privsynth.tabular.constraints import combination_of, finished_rows, recoded_frame
from privsynth.tabular.encode import determined_by, grid_start, limit_rows, numeric_cells, typed_numbers
from privsynth.tabular.prepare import measured_columns

FloatArray = npt.NDArray[np.float64]

Distribution = Literal["beta", "norm", "truncnorm", "uniform", "gamma", "gaussian_kde"]
EpochProgress = Callable[[int, int], None]
"""Told after each epoch: how many of how many are finished."""

FORMAT = 1
"""Of a saved model."""

LARGEST_EXACT = 2**53
"""Whole numbers up to here have a float64 of their own."""

LICENCE_NOTE = (
    "These tables were made with SDV by DataCebo, which is under the Business Source License 1.1 and not under an open-source licence: "
    "use inside your organisation is allowed; a commercial service that lets third parties use its functions is not. "
    "See the licence of the package sdv."
)
NO_GUARANTEE_NOTE = (
    "This engine has no formal guarantee: it is fitted to exact values, and no epsilon bounds what its output says about one person."
)

_TABLE = "table"
_LOGGERS = ("SingleTableSynthesizer", "Metadata", "sdv", "rdt", "copulas", "ctgan")
_TRIES = 100


class Codec(Protocol):
    """How one column goes to SDV and back."""

    @property
    def column(self) -> Column:
        """The column with its facts; those read off the data have source ``data``."""
        ...

    @property
    def sdtype(self) -> str:
        """SDV's name for what it is shown."""
        ...

    def encode(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """What SDV is shown, shape (n,)."""
        ...

    def decode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values typed as ``dataset.py`` says, inside the column's facts."""
        ...


@dataclass(frozen=True, kw_only=True)
class CategoryCodec:
    """Categories and truth values as ``k0, k1, ...``; null is a category of its own, the last."""

    column: Column
    sdtype: ClassVar[str] = "categorical"

    @property
    def categories(self) -> tuple[str, ...]:
        """The values in code order; truth values are "false" and "true"."""
        return ("false", "true") if self.column.kind == "boolean" else self.column.categories or ()

    def encode(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """Code of each value, shape (n,)."""
        nulls = values.isna().to_numpy(dtype=bool)
        if self.column.kind == "boolean":
            codes = values.fillna(False).to_numpy(dtype=bool).astype(np.int64)
        else:
            codes = pd.Index(list(self.categories), dtype=object).get_indexer(pd.Index(values.to_numpy(dtype=object))).astype(np.int64)
            unknown = (codes < 0) & ~nulls
            if unknown.any():
                raise SchemaError(f"column {self.column.name!r}: {int(unknown.sum())} values are outside its categories; correct them")
        codes = np.where(nulls, len(self.categories), codes)
        return np.array([f"k{code}" for code in range(len(self.categories) + 1)], dtype=object)[codes]

    def decode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """The category of each code."""
        codes = values.astype(str).str.removeprefix("k").to_numpy(dtype=object).astype(np.int64)
        if self.column.kind == "boolean":
            return pd.Series(pd.arrays.BooleanArray(codes == 1, codes > 1))
        return pd.Series(np.array([*self.categories, None], dtype=object)[codes], dtype=object)


@dataclass(frozen=True, kw_only=True)
class NumberCodec:
    """Integers, decimals and datetimes (in seconds since 1970) as floats; NaN is null. Its column has bounds."""

    column: Column
    sdtype: ClassVar[str] = "numerical"

    def encode(self, values: pd.Series[Any]) -> npt.NDArray[Any]:
        """The values as float64, shape (n,)."""
        return numbers(values, self.column)

    def decode(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values on the column's grid; beyond its bounds, the nearest bound."""
        plain = values.to_numpy(dtype=np.float64)
        nulls = np.isnan(plain)
        last = int(numeric_cells(self.column).edges[-1]) - 1
        steps = (np.where(nulls, 0.0, plain) - grid_start(self.column)) / self.column.step
        return typed_numbers(self.column, np.rint(np.clip(steps, 0, last)).astype(np.int64), nulls)


def codec_of(column: Column, values: pd.Series[Any]) -> Codec:
    """The codec of a column; facts that nobody declared are read off the data and say so."""
    if not column.is_numeric:
        if column.undeclared == "categories":
            found = tuple(sorted({str(value) for value in values.dropna()}))
            column = column.with_fact(source="data", categories=found)
        return CategoryCodec(column=column)
    if column.undeclared == "bounds":
        plain = numbers(values, column)
        low, high = float(np.nanmin(plain)), float(np.nanmax(plain))
        column = column.with_fact(source="data", bounds=(low, max(high, low + column.step)))
    return NumberCodec(column=column)


def require_representable(columns: Iterable[Column], frame: pd.DataFrame) -> None:
    """Refuse what SDV would change without a word.

    Raises:
        SchemaError: A column holds infinities or whole numbers beyond 2**53, or there are fewer than two rows.
    """
    if len(frame) < 2:
        raise SchemaError(f"rows={len(frame)}; SDV would release the only row as it is: expected many people")
    for column in columns:
        values = frame[column.name]
        if column.kind == "integer":
            count = int(((values > LARGEST_EXACT) | (values < -LARGEST_EXACT)).fillna(False).sum())
            if count:
                raise SchemaError(
                    f"column {column.name!r}: {count} whole numbers are beyond 2**53, which SDV cannot hold exactly; "
                    'use kind = "identifier" if it numbers things, or another engine'
                )
        elif column.kind == "decimal" and (count := int(np.isinf(numbers(values, column)).sum())):
            raise SchemaError(f"column {column.name!r}: {count} values are infinite, which SDV would turn into nulls; correct them")


@dataclass(frozen=True, kw_only=True)
class SdvEngine:
    """What the four engines share; use one of its subclasses.

    Attributes:
        name: The engine's name in a plan.
        sdv_class: SDV's class.
        notes: What a reader of the report has to know.
    """

    name: ClassVar[str]
    sdv_class: ClassVar[str]
    notes: ClassVar[tuple[str, ...]] = (NO_GUARANTEE_NOTE, LICENCE_NOTE)

    def touches(self, table: Table, *, noise_scale: float, budget: Budget) -> tuple[Touch, ...]:
        """One touch without proof.

        Raises:
            PlanError: The budget is finite, which this engine cannot keep.
        """
        if math.isfinite(budget.epsilon):
            raise PlanError(
                f"epsilon={budget.epsilon:g} cannot be kept by {self.name!r}, which has no formal guarantee; "
                'write epsilon = inf to use it all the same, or take an engine with a guarantee: "tree", "sdv:gaussian-copula-dp"'
            )
        return (Touch(STAGE, _label(self.name), NonPrivate()),)

    def fit(self, train: Dataset, *, reservation: Reservation, progress: EpochProgress | None = None) -> SdvModel:
        """Fit SDV's model to exact values.

        Args:
            train: One table; of one person at most ``max_rows_per_person`` rows are used.
            reservation: Holds the touch.
            progress: Told after each epoch; engines without epochs do not call it. An exception it raises ends the fit.

        Raises:
            SchemaError: SDV would corrupt the data, or cannot be fitted to it.
        """
        table = train.table
        columns = measured_columns(table)
        limited, _, left_out = limit_rows(train, noise=reservation.noise)
        frame = recoded_frame(limited, table)
        require_representable(columns, frame)
        reservation.spend(STAGE, _label(self.name))
        present = [column for column in columns if bool(frame[column.name].notna().any())]
        if not present:
            raise SchemaError(f"table {table.name!r} holds no value at all in the columns to be modelled; expected one with values")
        codecs = tuple(codec_of(column, frame[column.name]) for column in present)
        shown = pd.DataFrame({_shown(i): codec.encode(frame[codec.column.name]) for i, codec in enumerate(codecs)})
        synthesizer = new_synthesizer(self.sdv_class, [codec.sdtype for codec in codecs], **self.options())
        with _epochs_told(progress, getattr(self, "epochs", 0)), quiet_sdv():
            _seed_networks()
            with _own_errors(f"{self.name} cannot be fitted to table {table.name!r}"):
                synthesizer.fit({_TABLE: shown})
        reports = _reports(table, codecs, left_out)
        return SdvModel(engine=self.name, table=table, codecs=codecs, synthesizer=synthesizer, column_reports=reports)

    def options(self) -> dict[str, Any]:
        """The settings as SDV's class takes them."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class GaussianCopula(SdvEngine):
    """SDV's GaussianCopula: a parametric marginal per column and one correlation matrix; seconds.

    Attributes:
        default_distribution: Family of the marginals; ``gaussian_kde`` keeps every training value in the model.
    """

    name: ClassVar[str] = "sdv:gaussian-copula"
    sdv_class: ClassVar[str] = "GaussianCopulaSynthesizer"

    default_distribution: Distribution = "beta"

    def __post_init__(self) -> None:
        """Refuse an unknown family."""
        _require_distribution(self.default_distribution)


@dataclass(frozen=True, kw_only=True)
class NetworkEngine(SdvEngine):
    """Settings that SDV's networks share.

    Attributes:
        epochs: Passes over the data.
        batch_size: Rows in each step.
        embedding_dim: Size of the random input of the network.
        enable_gpu: Use an accelerator if there is one; affects speed only.
    """

    epochs: int = 300
    batch_size: int = 500
    embedding_dim: int = 128
    enable_gpu: bool = True

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        for setting in ("epochs", "batch_size", "embedding_dim"):
            value = getattr(self, setting)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PlanError(f"{setting}={value!r}; expected a whole number, 1 or more")


@dataclass(frozen=True, kw_only=True)
class CTGAN(NetworkEngine):
    """SDV's CTGAN: a conditional generative adversarial network (arXiv:1907.00503); minutes to hours.

    Attributes:
        generator_dim: Sizes of the generator's layers.
        discriminator_dim: Sizes of the discriminator's layers.
        generator_lr: Learning rate of the generator.
        discriminator_lr: Learning rate of the discriminator.
        discriminator_steps: Steps of the discriminator for each step of the generator.
        pac: Rows that the discriminator sees together; divides ``batch_size``.
        log_frequency: Draw rare categories more often in training.
    """

    name: ClassVar[str] = "sdv:ctgan"
    sdv_class: ClassVar[str] = "CTGANSynthesizer"

    generator_dim: tuple[int, ...] = (256, 256)
    discriminator_dim: tuple[int, ...] = (256, 256)
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    discriminator_steps: int = 1
    pac: int = 10
    log_frequency: bool = True

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        super().__post_init__()
        _require_layers("generator_dim", self.generator_dim)
        _require_layers("discriminator_dim", self.discriminator_dim)
        if self.pac < 1 or self.batch_size % 2 or self.batch_size % self.pac:
            raise PlanError(f"batch_size={self.batch_size!r}, pac={self.pac!r}; expected an even batch size that pac divides")
        if not (self.generator_lr > 0 and self.discriminator_lr > 0 and self.discriminator_steps >= 1):
            raise PlanError(
                f"generator_lr={self.generator_lr!r}, discriminator_lr={self.discriminator_lr!r}, "
                f"discriminator_steps={self.discriminator_steps!r}; expected rates above 0 and at least one step"
            )


@dataclass(frozen=True, kw_only=True)
class CopulaGAN(CTGAN):
    """SDV's CopulaGAN: CTGAN after each number went through the normal scores of a parametric marginal.

    Attributes:
        default_distribution: Family of the marginals.
    """

    name: ClassVar[str] = "sdv:copula-gan"
    sdv_class: ClassVar[str] = "CopulaGANSynthesizer"

    default_distribution: Distribution = "beta"

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        super().__post_init__()
        _require_distribution(self.default_distribution)


@dataclass(frozen=True, kw_only=True)
class TVAE(NetworkEngine):
    """SDV's TVAE: a variational autoencoder for tables (arXiv:1907.00503); minutes.

    Attributes:
        compress_dims: Sizes of the encoder's layers.
        decompress_dims: Sizes of the decoder's layers.
        l2scale: Weight of the L2 penalty.
        loss_factor: Weight of the reconstruction error.
    """

    name: ClassVar[str] = "sdv:tvae"
    sdv_class: ClassVar[str] = "TVAESynthesizer"

    compress_dims: tuple[int, ...] = (128, 128)
    decompress_dims: tuple[int, ...] = (128, 128)
    l2scale: float = 1e-5
    loss_factor: float = 2

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        super().__post_init__()
        _require_layers("compress_dims", self.compress_dims)
        _require_layers("decompress_dims", self.decompress_dims)
        if not (self.l2scale >= 0 and self.loss_factor > 0):
            raise PlanError(f"l2scale={self.l2scale!r}, loss_factor={self.loss_factor!r}; expected 0 or more, and a number above 0")


def _require_distribution(name: str) -> None:
    if name not in get_args(Distribution):
        raise PlanError(f"default_distribution={name!r}; expected one of {', '.join(get_args(Distribution))}")


def _require_layers(setting: str, sizes: Iterable[int]) -> None:
    if not isinstance(sizes, list | tuple) or not sizes or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise PlanError(f"{setting}={sizes!r}; expected a list of layer sizes, each 1 or more")


@dataclass(frozen=True, kw_only=True)
class SdvModel:
    """A model fitted by SDV; nothing in it is covered by a proof.

    Attributes:
        engine: Name of the engine.
        table: The schema.
        codecs: One per column that SDV was shown.
        synthesizer: SDV's own object.
        column_reports: One per modelled column.
    """

    engine: str
    table: Table
    codecs: tuple[Codec, ...]
    synthesizer: Any = field(repr=False)
    column_reports: tuple[ColumnReport, ...]

    def sample(self, n: int, *, rng: np.random.Generator, given: pd.DataFrame | None = None) -> pd.DataFrame:
        """``n`` synthetic rows: the modelled columns in table order, typed as ``dataset.py`` says.

        Args:
            n: Rows.
            rng: Where SDV's seeds are drawn from.
            given: Some columns of each row, shape (n, any), typed; the others are drawn to go with them. The copula does so in closed form,
                the networks by drawing until rows fit, which numbers rarely do. Rows given from real data are a release of these rows.

        Raises:
            PlanError: ``n`` is negative, ``given`` has another length or a column that is not modelled, or no row fits it.
        """
        if given is not None:
            require_given(given, n, [codec.column.name for codec in self.codecs])
        shown_given = None if given is None else self._shown_given(given)
        shown = sample_shown(self.synthesizer, n, rng=rng, given=shown_given, columns=len(self.codecs))
        values = {codec.column.name: codec.decode(shown[_shown(i)]) for i, codec in enumerate(self.codecs)}
        if given is not None:
            values |= {str(name): given[name].reset_index(drop=True) for name in given.columns}
        for column in measured_columns(self.table):
            if column.name not in values:
                values[column.name] = _nulls(column, n)
        return finished_rows(values, self.table, rng=rng, fixed=fixed_rows(given))

    def _shown_given(self, given: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {_shown(i): codec.encode(given[codec.column.name]) for i, codec in enumerate(self.codecs) if codec.column.name in given}
        )

    def save(self, folder: Path) -> None:
        """Write ``model.json``: all parameters of a parametric copula, or a note.

        SDV saves networks by pickle only, which runs code when it is read: they are kept in memory for the run only, and the file says so.
        """
        folder.mkdir(parents=True, exist_ok=True)
        plain: dict[str, Any] = {
            "format": FORMAT,
            "engine": self.engine,
            "table": asdict(self.table),
            "columns": [{"column": asdict(codec.column), "sdtype": codec.sdtype} for codec in self.codecs],
            "reports": [asdict(report) for report in self.column_reports],
        }
        parameters = _copula_parameters(self.synthesizer)
        if parameters is None:
            plain["note"] = "SDV saves this model by pickle only: it was kept in memory for the run and cannot be loaded again."
        else:
            plain |= parameters
        (folder / "model.json").write_text(json.dumps(plain, ensure_ascii=False, indent=1, default=_plain), encoding="utf-8")


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


def _nulls(column: Column, n: int) -> pd.Series[Any]:
    """A column without any value."""
    if column.is_numeric:
        return typed_numbers(column, np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool))
    return pd.Series([None] * n, dtype="boolean" if column.kind == "boolean" else "object")


def new_synthesizer(sdv_class: str, sdtypes: list[str], **options: Any) -> Any:
    """SDV's synthesizer for columns ``c0, c1, ...`` of these sdtypes.

    SDV's own rounding and its clipping to the smallest and largest value of the data are off: the codecs do both, from declared facts.
    """
    sdv = _sdv()
    columns = {_shown(i): {"sdtype": sdtype} for i, sdtype in enumerate(sdtypes)}
    described = {"tables": {_TABLE: {"columns": columns}}, "relationships": [], "METADATA_SPEC_VERSION": "V1"}
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
        return pd.DataFrame({_shown(i): pd.Series([], dtype=object) for i in range(columns)})
    _seed_sampling(synthesizer, rng)
    with quiet_sdv():
        if given is None:
            with _own_errors("SDV cannot sample from this model"):
                return pd.DataFrame(synthesizer.sample(n)[_TABLE]).reset_index(drop=True)
        with _own_errors("SDV finds no rows that fit what is given"):
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


def _seed_networks() -> None:
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


@contextlib.contextmanager
def _own_errors(what: str) -> Iterator[None]:
    """One line instead of SDV's errors, which may quote values; our own pass."""
    try:
        yield
    except PrivSynthError:
        raise
    except Exception as error:
        raise PlanError(f"{what} ({type(error).__name__}); check the columns, or take another engine") from None


_TELL: ContextVar[EpochProgress | None] = ContextVar("told after each epoch", default=None)
_EPOCHS: ContextVar[int] = ContextVar("epochs in all", default=0)


@contextlib.contextmanager
def _epochs_told(progress: EpochProgress | None, epochs: int) -> Iterator[None]:
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


def _copula_parameters(synthesizer: Any) -> dict[str, Any] | None:
    """Marginals, correlation and category intervals of a parametric copula; None for every other model."""
    copulas = require("copulas.univariate")
    model = synthesizer._model
    univariates = getattr(model, "univariates", None)
    if univariates is None or any(isinstance(univariate, copulas.GaussianKDE) for univariate in univariates):
        return None
    transformers = synthesizer._data_processor._hyper_transformer.field_transformers
    return {
        "copula": model.to_dict(),
        "intervals": {name: _intervals(transformer) for name, transformer in transformers.items() if hasattr(transformer, "intervals")},
        "null_shares": {
            name: transformer.null_transformer._null_percentage
            for name, transformer in transformers.items()
            if getattr(transformer, "null_transformer", None) is not None
        },
    }


def _intervals(transformer: Any) -> Mapping[str, list[float]]:
    return {str(code): [float(edge) for edge in interval] for code, interval in transformer.intervals.items()}


def _plain(value: Any) -> Any:
    """Scalars and arrays of numpy as JSON takes them."""
    return value.tolist() if isinstance(value, np.ndarray) else float(value)


def _reports(table: Table, codecs: tuple[Codec, ...], left_out: int) -> tuple[ColumnReport, ...]:
    """Reports without a single exact figure but the internal one."""
    by_name = {codec.column.name: codec.column for codec in codecs}
    together, determined = combination_of(table), determined_by(table)
    computed = {constraint.total: f"Computed: {constraint.label}; not measured." for constraint in table.constraints}
    filled = computed | {name: f"Filled from the public map of {source!r}; not measured." for name, source in determined.items()}
    reports = []
    for declared in table.modelled:
        seen = by_name.get(together.get(declared.name, declared.name))
        column = declared if seen is None else seen
        reports.append(
            ColumnReport(
                column=declared.name,
                kind=declared.kind,
                sources={**declared.sources, **column.sources},
                cells=0,
                bins=0,
                null_share=None,
                rows_left_out=left_out,
                note=filled.get(declared.name) or _report_note(column, shown=seen is not None),
            )
        )
    return tuple(reports)


def _report_note(column: Column, *, shown: bool) -> str:
    if not shown:
        return "Released as null."
    if column.sources.get("categories") == "data":
        return "Its categories were read off the data: one that a single person has can be released."
    if column.sources.get("bounds") == "data":
        return "Its smallest and largest value were read off the data and can be released."
    if column.is_numeric:
        return "Sampled values are rounded to its step; beyond a declared bound they are moved to the bound."
    return ""


def _shown(position: int) -> str:
    """The name under which SDV sees a column."""
    return f"c{position}"


def _label(name: str) -> str:
    return f"{name} fitted to exact values"
