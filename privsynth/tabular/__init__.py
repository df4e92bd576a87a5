"""The tabular room: engines that turn one table into a model of it, inside the budget."""

from privsynth.tabular.base import ColumnReport, FittedModel, Synthesizer, fit

__all__ = ["ColumnReport", "FittedModel", "Synthesizer", "fit"]
