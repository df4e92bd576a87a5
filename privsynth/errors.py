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
└── ReleaseError                    a release folder cannot be written or read

A message is one line: what was wrong (``name=value``), what was expected, and the next step.
It never holds a cell of private data: it names the column, the number of rows and the kind.
"""


class PrivSynthError(Exception):
    """Base of all errors that privsynth raises on purpose."""


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
