"""SDV's models of one table behind the same protocol: good likenesses, without any formal guarantee.

GaussianCopula (Patki, Wedge & Veeramachaneni 2016, "The Synthetic Data Vault"), CTGAN and TVAE (Xu et al. 2019, arXiv:1907.00503) and
CopulaGAN are fitted to exact values: whatever is released after that is covered by no proof, the total epsilon is infinite, and
the audits are the only evidence.

SDV is never shown names or raw categories: each column becomes a code ``k0, k1, ...`` or a float, by our schema and
not by SDV's detection, and comes back on the column's grid, inside its bounds. What it would corrupt without a word (infinities, whole
numbers that a float cannot hold) is refused. Its errors are replaced by one line, because they may quote values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import pandas as pd

from privsynth.dataset import Dataset
from privsynth.errors import PlanError, SchemaError
from privsynth.privacy import Budget, NonPrivate, Reservation, Touch
from privsynth.schema import Table
from privsynth.tabular.base import STAGE, FitProgress
from privsynth.tabular.constraints import recoded_frame
from privsynth.tabular.encode import limit_rows
from privsynth.tabular.prepare import measured_columns
from privsynth.tabular.sdv_adapter import (
    LICENCE_NOTE,
    TABLE,
    epochs_told,
    in_one_process,
    new_synthesizer,
    own_errors,
    quiet_sdv,
    seed_networks,
    shown_name,
)
from privsynth.tabular.sdv_codecs import codec_of, require_representable
from privsynth.tabular.sdv_model import SdvModel, column_reports

Distribution = Literal["beta", "norm", "truncnorm", "uniform", "gamma", "gaussian_kde"]

NO_GUARANTEE_NOTE = (
    "This engine has no formal guarantee: it is fitted to exact values, and no epsilon bounds what its output says about one person."
)


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
                'write epsilon = inf to use it all the same, or take an engine with a guarantee: "tree", "aim", "sdv:gaussian-copula-dp"'
            )
        return (Touch(STAGE, _label(self.name), NonPrivate()),)

    def fit(self, train: Dataset, *, reservation: Reservation, progress: FitProgress | None = None) -> SdvModel:
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
        shown = pd.DataFrame({shown_name(i): codec.encode(frame[codec.column.name]) for i, codec in enumerate(codecs)})
        synthesizer = new_synthesizer(self.sdv_class, [codec.sdtype for codec in codecs], **self.options())
        with epochs_told(progress, getattr(self, "epochs", 0)), in_one_process(), quiet_sdv():
            seed_networks()
            with own_errors(f"{self.name} cannot be fitted to table {table.name!r}"):
                synthesizer.fit({TABLE: shown})
        reports = column_reports(table, codecs, left_out)
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


def _label(name: str) -> str:
    return f"{name} fitted to exact values"
