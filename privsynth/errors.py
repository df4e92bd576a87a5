"""Every error that privsynth raises on purpose.

PrivSynthError
├── PlanError (ValueError)          the plan or a command's options are wrong
├── SchemaError (ValueError)        the data does not fit what the plan declares
├── SourceError (ValueError)        a file cannot be read or written
├── BudgetExceededError             a reservation would pass the population's cap
├── LedgerError                     the ledger is locked, damaged or contradicts itself
├── UnsupportedEventError           no accountant can compose an event
├── MissingExtraError (ImportError) an optional package is not installed
├── PIIError                        personal data was found or could not be looked for
├── AuditError (ValueError)         an audit cannot be run on what it was given
├── ReleaseError                    a release folder cannot be written or read
└── SigningError                    a key or a signature cannot be made or used

A message is one line: what was wrong (``name=value``), what was expected, and the next step.
It never holds a cell of private data: it names the column, the records and the kind. The cells themselves travel beside the
message (``values``), for a person who asks for them on a terminal.

Records are numbered from 1 in the file's order, the header not counted: line numbers would mislead where cells hold line breaks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

SHOWN_VALUES = 5
"""How many cells an error carries."""


class PrivSynthError(Exception):
    """Base of all errors that privsynth raises on purpose."""

    values: tuple[str, ...] = ()
    """The first cells that the error is about: private data, so never part of the message or of a log."""

    def about(self, values: Iterable[object]) -> Self:
        """This error, carrying the first of these cells."""
        self.values = tuple(str(value) for value, _ in zip(values, range(SHOWN_VALUES), strict=False))
        return self


def records(positions: Iterable[int]) -> str:
    """The records at these positions, counted from 0, as words for a message.

    >>> records([4])
    'record 5'
    >>> records([0, 1, 2])
    'records 1, 2 and 3'
    >>> records(range(1000))
    'records 1, 2, 3, 4, 5 and 995 more'
    """
    numbers = [position + 1 for position in positions]
    if len(numbers) == 1:
        return f"record {numbers[0]}"
    if len(numbers) <= SHOWN_VALUES:
        return f"records {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    return f"records {', '.join(map(str, numbers[:SHOWN_VALUES]))} and {len(numbers) - SHOWN_VALUES} more"


class PlanError(PrivSynthError, ValueError):
    """The plan or a command's options are wrong."""


class SchemaError(PrivSynthError, ValueError):
    """The data does not fit what the plan declares."""


class SourceError(PrivSynthError, ValueError):
    """A file cannot be read or written."""


class BudgetExceededError(PrivSynthError):
    """A reservation would pass the cap of the population."""


class LedgerError(PrivSynthError):
    """The ledger is locked, damaged or contradicts itself."""


class UnsupportedEventError(PrivSynthError):
    """No accountant can compose the event."""


class MissingExtraError(PrivSynthError, ImportError):
    """An optional package is not installed."""


class PIIError(PrivSynthError):
    """Personal data was found where none may be, or could not be looked for."""


class AuditError(PrivSynthError, ValueError):
    """An audit cannot be run on what it was given."""


class ReleaseError(PrivSynthError):
    """A release folder cannot be written or read."""


class SigningError(PrivSynthError):
    """A key or a signature cannot be made or used."""
