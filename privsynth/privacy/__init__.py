"""Accounting, noise and the ledger: what a release costs, and the proof that it was paid."""

from privsynth.privacy.accounting import Total, calibrate, total
from privsynth.privacy.events import (
    Budget,
    DiscreteGaussian,
    Event,
    ExponentialMechanism,
    GaussianPartitionSelection,
    Internal,
    Laplace,
    NonPrivate,
    PartitionSelection,
    PoissonSampledGaussian,
    Touch,
    TouchClass,
    ZeroConcentrated,
)
from privsynth.privacy.ledger import Ledger, Reservation
from privsynth.privacy.noise import NoiseSource, SystemNoise

__all__ = [
    "Budget",
    "DiscreteGaussian",
    "Event",
    "ExponentialMechanism",
    "GaussianPartitionSelection",
    "Internal",
    "Laplace",
    "Ledger",
    "NoiseSource",
    "NonPrivate",
    "PartitionSelection",
    "PoissonSampledGaussian",
    "Reservation",
    "SystemNoise",
    "Total",
    "Touch",
    "TouchClass",
    "ZeroConcentrated",
    "calibrate",
    "total",
]
