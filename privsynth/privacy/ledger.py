"""The ledger: every touch of private data, reserved before it happens, on disk for good.

An append-only SQLite file. Each entry carries a random nonce and the hash of the entry before it, so a
changed or removed entry breaks the chain, and a truncated ledger lacks the head that a signed manifest names. The head
reveals nothing: it is a hash over nonces.

The cap belongs to a *population* (these people), not to a plan. A population is known by its declared name and by a keyed
sketch of its unit ids: the smallest few ten thousand keyed hashes under a key that never leaves this machine. The same
people under another name share sketch entries, and the reservation is refused.

Releases of one population are added up: the sum of their closed (epsilon, delta) pairs is a valid bound however
the second was chosen after seeing the first (basic composition).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from privsynth.errors import BudgetExceededError, LedgerError
from privsynth.privacy.accounting import Total, delta_limit, total
from privsynth.privacy.events import Budget, Event, Touch, from_json, to_json
from privsynth.privacy.noise import NoiseSource, SystemNoise

SKETCH_SIZE = 65_536
"""How many of the smallest keyed hashes stand for a population.

Up to this many people every shared person is seen. Of m shared people, about m * SKETCH_SIZE / n are seen when the larger
population has n people: 300 of a million give about 20.
"""

LOCK_SECONDS = 30.0

_CREATE = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    population TEXT NOT NULL,
    body TEXT NOT NULL,
    time TEXT NOT NULL,
    nonce TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
);
CREATE TRIGGER IF NOT EXISTS entries_are_not_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_are_not_removed BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""

_GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Population:
    """The people behind a dataset.

    Attributes:
        name: Declared name, the key of the budget.
        units: One id per person (repeats are counted once).
        distinct_from: Names of populations that a person declares to be other people although ids coincide
            (two companies that both number their clients 1, 2, 3).
    """

    name: str
    units: Sequence[str] = field(repr=False)
    distinct_from: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    number: int
    kind: str
    population: str
    body: Mapping[str, Any]
    time: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What a population has spent: sums over its releases, mechanisms that a resumed run had to run twice counted twice.

    Attributes:
        epsilon: Sum of the releases' epsilons, inf if one had no proof.
        delta: Sum of the releases' deltas.
        cap: Largest epsilon allowed in all.
        attempts: Runs started, those that were refused or given up included.
        releases: Reservations that count.
    """

    epsilon: float
    delta: float
    cap: float
    attempts: int
    releases: int


class Ledger:
    """An append-only, hash-chained store of touches, safe for several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: str | Path | None = None) -> Ledger:
        """Open the ledger, and create it where there is none.

        Args:
            path: The file; by default ``$PRIVSYNTH_LEDGER`` or ``privsynth/ledger.sqlite`` in the user's state folder.

        Raises:
            LedgerError: The file is not a ledger or cannot be written.
        """
        ledger = cls(Path(path) if path is not None else default_path())
        try:
            ledger.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not ledger.path.exists():
                os.close(os.open(ledger.path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise LedgerError(
                f"ledger={str(ledger.path)!r} cannot be written ({error.strerror}); set PRIVSYNTH_LEDGER to a file you may write"
            ) from None
        with ledger._connection() as connection:
            connection.executescript(_CREATE)
        return ledger

    def reserve(
        self,
        population: Population,
        touches: Sequence[Touch],
        *,
        budget: Budget,
        noise_scale: float,
        noise: NoiseSource | None = None,
        purpose: str = "",
        event_id: str | None = None,
    ) -> Reservation:
        """Write down what will be spent, before anything is; refuse what would pass the cap.

        Args:
            population: Whose data is touched.
            touches: The whole plan, in order.
            budget: What this release may cost.
            noise_scale: The scale that the touches were made with.
            noise: Where noise comes from; the operating system by default.
            purpose: What the release is for, kept in the entry.
            event_id: The id of this release; a fresh one by default.

        Raises:
            BudgetExceededError: The plan costs more than its budget, or the population's cap would be passed.
            LedgerError: The same people are known under another name, or the ledger is damaged.
        """
        cost = total(touches, budget.delta)
        if cost.epsilon > budget.epsilon:
            raise BudgetExceededError(
                f"the plan costs epsilon={cost.epsilon:.4g} of a budget of {budget.epsilon:g} (delta={budget.delta:g}); "
                "solve its noise with calibrate"
            )
        people = set(map(str, population.units))
        sketch = self._sketch(people)
        event_id = event_id or secrets.token_hex(8)
        body = {
            "id": event_id,
            "purpose": purpose,
            "epsilon": _json_number(cost.epsilon),
            "delta": cost.delta,
            "replace_one_epsilon": _json_number(cost.replace_one_epsilon),
            "accountant": cost.accountant,
            "noise_scale": noise_scale,
            "touches": [to_json(touch) for touch in touches],
        }
        with self._transaction() as connection:
            entries = _verified(connection)
            _refuse_other_name(entries, population, sketch)
            if not any(entry.kind in ("sketch", "cap") and entry.population == population.name for entry in entries):
                _append(
                    connection, "cap", population.name, {"epsilon": _json_number(budget.epsilon), "why": "epsilon of the first release"}
                )
                entries = _verified(connection)
            _refuse_beyond_cap(balance_of(entries, population.name), population.name, cost, len(people))
            known = {
                value
                for entry in entries
                if entry.kind == "sketch" and entry.population == population.name
                for value in entry.body["smallest"]
            }
            if not set(sketch) <= known:
                _append(connection, "sketch", population.name, {"smallest": sketch, "distinct_from": list(population.distinct_from)})
            head = _append(connection, "reserve", population.name, body)
        return Reservation(
            ledger=self,
            population=population.name,
            event_id=event_id,
            touches=tuple(touches),
            noise_scale=noise_scale,
            budget=budget,
            cost=cost,
            noise=noise or SystemNoise(),
            head=head,
        )

    def resume(
        self,
        population: Population,
        touches: Sequence[Touch],
        *,
        budget: Budget,
        noise_scale: float,
        event_id: str,
        finished: Collection[str] = (),
        written: str | None = None,
        noise: NoiseSource | None = None,
    ) -> Reservation:
        """Take up a reservation whose process ended before its commit, under the same event id.

        Args:
            population: Whose data is touched.
            touches: The whole plan, in order: what was reserved.
            budget: What this release may cost.
            noise_scale: The scale that the touches were made with.
            event_id: The id of the reservation.
            finished: Stages whose output is on disk: their touches count as spent.
            written: Name of an output that a mechanism wrote, wholly or in part, and that is thrown away: its mechanism runs a second
                time, so the whole plan is charged once more, once for each name. None if nothing was written.
            noise: Where noise comes from; the operating system by default.

        Raises:
            BudgetExceededError: Charging again would pass the population's cap.
            LedgerError: This ledger holds no such reservation, or it was given back.
        """
        cost = total(touches, budget.delta)
        body: dict[str, Any] = {"id": event_id}
        with self._transaction() as connection:
            entries = _verified(connection)
            own = [entry for entry in entries if entry.population == population.name and entry.body.get("id") == event_id]
            reserved = [entry for entry in own if entry.kind == "reserve"]
            if not reserved or any(entry.kind == "void" for entry in own):
                raise LedgerError(
                    f"the ledger holds no reservation {event_id} of {population.name!r}; "
                    "it was restored from an older copy, or is another ledger: use the one that the run was started with"
                )
            if touches_of(reserved[0]) != list(touches):
                raise LedgerError(
                    f"reservation {event_id} was made for other mechanisms than this version of privsynth plans; "
                    "continue with the version that started the run, or start a new run, which is charged again"
                )
            if written is not None and all(entry.body.get("written") != written for entry in own):
                body |= {"written": written, "epsilon": _json_number(cost.epsilon), "delta": cost.delta}
                people = set(map(str, population.units))
                _refuse_beyond_cap(balance_of(entries, population.name), population.name, cost, len(people))
            head = _append(connection, "resume", population.name, body)
        return Reservation(
            ledger=self,
            population=population.name,
            event_id=event_id,
            touches=tuple(touches),
            noise_scale=noise_scale,
            budget=budget,
            cost=cost,
            noise=noise or SystemNoise(),
            head=head,
            resumed=True,
            _spent={position for position, touch in enumerate(touches) if touch.stage in finished},
        )

    def holds(self, event_id: str) -> bool:
        """Whether a reservation of this id was made here."""
        return any(entry.kind == "reserve" and entry.body["id"] == event_id for entry in self.entries())

    def set_cap(self, population: str, epsilon: float) -> None:
        """Change the largest epsilon that a population may spend in all; the change is an entry of its own."""
        if not epsilon > 0:
            raise LedgerError(f"cap={epsilon!r}; expected a number above 0, or inf to allow releases without a guarantee")
        with self._transaction() as connection:
            _verified(connection)
            _append(connection, "cap", population, {"epsilon": _json_number(epsilon), "why": "set by a person"})

    def note(self, population: str, kind: str, body: Mapping[str, Any]) -> str:
        """Append an entry that spends nothing (a commit, a purge); returns the new head."""
        with self._transaction() as connection:
            _verified(connection)
            return _append(connection, kind, population, dict(body))

    def entries(self) -> list[Entry]:
        """All entries in order, the chain checked.

        Raises:
            LedgerError: The chain is broken.
        """
        with self._connection() as connection:
            return _verified(connection)

    def balance(self, population: str) -> Balance:
        """What a population has spent so far."""
        return balance_of(self.entries(), population)

    def populations(self) -> list[str]:
        """Names of all populations, in order of first appearance."""
        return list(dict.fromkeys(entry.population for entry in self.entries()))

    def head(self) -> str:
        """Hash of the last entry: 64 hex digits, all zero for an empty ledger."""
        entries = self.entries()
        return entries[-1].hash if entries else _GENESIS

    def contains(self, head: str) -> bool:
        """Whether this ledger once had this head; False shows a ledger truncated or restored from an older copy."""
        return head == _GENESIS or any(entry.hash == head for entry in self.entries())

    def local_key(self, purpose: str) -> bytes:
        """A key derived for one purpose from the secret beside the ledger (32 bytes)."""
        return hmac.new(self._identity_key(), purpose.encode(), hashlib.sha256).digest()

    def _identity_key(self) -> bytes:
        path = self.path.with_suffix(".key")
        try:
            if not path.exists():
                # Looked at again after the entries: another process may have made key and first entry meanwhile.
                if any(entry.kind == "sketch" for entry in self.entries()) and not path.exists():
                    raise LedgerError(
                        f"key={str(path)!r} is missing although the ledger knows people; restore it from a backup: "
                        "without it known people cannot be recognised"
                    )
                _create_key(path)
            key = path.read_bytes()
        except OSError as error:
            raise LedgerError(f"key={str(path)!r} cannot be used ({error.strerror}); expected a folder you may write") from None
        if len(key) != 32:
            raise LedgerError(f"key={str(path)!r} is damaged; restore it from a backup: without it known people cannot be recognised")
        return key

    def _sketch(self, people: Iterable[str]) -> list[str]:
        """The ``SKETCH_SIZE`` smallest keyed hashes of the ids (BLAKE2b as a MAC), 16 hex digits each, increasing."""
        key = self.local_key("identity of people")
        hashes = b"".join(hashlib.blake2b(person.encode(), key=key, digest_size=8).digest() for person in people)
        smallest = np.sort(np.frombuffer(hashes, dtype=">u8"))[:SKETCH_SIZE]
        return [f"{value:016x}" for value in smallest.tolist()]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"ledger={str(self.path)!r} is not available ({error}); wait for the other process, or check the disk"
            ) from None
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"ledger={str(self.path)!r} is damaged ({error}); restore it from a backup") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, from the first read to the commit."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


@dataclass(kw_only=True)
class Reservation:
    """A plan that has been paid for: each touch may be spent once.

    A context manager: leaving it normally commits; leaving it by an error before anything was spent
    gives the reservation back, and after that keeps it charged. ``resumed``: taken up again after its first process
    ended; it is never given back.
    """

    ledger: Ledger
    population: str
    event_id: str
    touches: tuple[Touch, ...]
    noise_scale: float
    budget: Budget
    cost: Total
    noise: NoiseSource
    head: str
    resumed: bool = False
    _spent: set[int] = field(default_factory=set)

    @property
    def is_charged(self) -> bool:
        """Whether an error would leave it charged: something was spent, or an earlier attempt may have spent it."""
        return self.resumed or bool(self._spent)

    def spend(self, stage: str, label: str) -> Event:
        """Take one reserved touch, before its mechanism runs.

        Raises:
            LedgerError: It was never reserved, or is spent already.
        """
        for position, touch in enumerate(self.touches):
            if (touch.stage, touch.label) == (stage, label) and position not in self._spent:
                self._spent.add(position)
                return touch.event
        raise LedgerError(f"touch={stage}/{label!r} was not reserved or is spent already; every read of private data is reserved first")

    def unspent(self) -> tuple[Touch, ...]:
        """Reserved touches that have not been spent."""
        return tuple(touch for position, touch in enumerate(self.touches) if position not in self._spent)

    def commit(self, **facts: object) -> str:
        """Close the reservation; returns the ledger's new head."""
        self.head = self.ledger.note(self.population, "commit", {"id": self.event_id, **facts})
        return self.head

    def __enter__(self) -> Self:
        """Nothing happens on entry: the reservation is on disk already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or write down how the attempt ended."""
        if kind is None:
            self.commit()
        else:
            how = "failed" if self.is_charged else "void"
            self.ledger.note(self.population, how, {"id": self.event_id, "error": kind.__name__})


def _create_key(path: Path) -> None:
    """Write a fresh key whole: of two processes at once, the first to link its file wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def default_path() -> Path:
    """Where the ledger lives: ``$PRIVSYNTH_LEDGER``, or the user's state folder."""
    if chosen := os.environ.get("PRIVSYNTH_LEDGER"):
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "privsynth" / "ledger.sqlite"


def balance_of(entries: Sequence[Entry], population: str) -> Balance:
    """What a population has spent according to these entries."""
    own = [entry for entry in entries if entry.population == population]
    void = {entry.body["id"] for entry in own if entry.kind == "void"}
    reserved = [entry for entry in own if entry.kind == "reserve"]
    charged = [entry.body for entry in reserved if entry.body["id"] not in void]
    again = [entry.body for entry in own if entry.kind == "resume" and "epsilon" in entry.body]
    caps = [_number(entry.body["epsilon"]) for entry in own if entry.kind == "cap"]
    return Balance(
        epsilon=math.fsum(_number(body["epsilon"]) for body in [*charged, *again]),
        delta=math.fsum(body["delta"] for body in [*charged, *again]),
        cap=caps[-1] if caps else 0.0,
        attempts=len({entry.body["id"] for entry in own if entry.kind in ("attempt", "reserve")}),
        releases=len(charged),
    )


def touches_of(entry: Entry) -> list[Touch]:
    """The touches of a ``reserve`` entry."""
    return [from_json(value) for value in entry.body["touches"]]


def _refuse_beyond_cap(balance: Balance, population: str, cost: Total, people: int) -> None:
    # A relative 1e-9 absorbs the rounding of a sum of doubles; it is no budget.
    if balance.epsilon + cost.epsilon > balance.cap * (1 + 1e-9):
        left = max(0.0, balance.cap - balance.epsilon)
        left = 0.0 if left < 1e-3 else left  # what rounding leaves over buys nothing
        raise BudgetExceededError(
            f"this release costs epsilon={cost.epsilon:.4g}, and {population!r} has {left:.4g} left of its cap {balance.cap:g} "
            f"({balance.epsilon:.4g} spent by {balance.releases} releases); "
            + (f"set epsilon to at most {left:.4g}, or " if left > 0 else "")
            + f"raise the cap: privsynth ledger --cap {population} --epsilon EPSILON"
        )
    if balance.delta + cost.delta > delta_limit(people) * (1 + 1e-9):
        raise BudgetExceededError(
            f"delta={balance.delta + cost.delta:.3g} in all for {population!r}; "
            f"expected at most 1/(10 x people) = {delta_limit(people):.3g}: use a smaller delta"
        )


def _refuse_other_name(entries: Sequence[Entry], population: Population, sketch: Sequence[str]) -> None:
    own = set(sketch)
    declared = {(entry.population, name) for entry in entries if entry.kind == "sketch" for name in entry.body["distinct_from"]}
    for entry in entries:
        if entry.kind != "sketch" or entry.population == population.name or entry.population in population.distinct_from:
            continue
        shared = len(own.intersection(entry.body["smallest"]))
        if shared and (entry.population, population.name) not in declared:
            raise LedgerError(
                f"dataset {population.name!r} shares people with {entry.population!r} ({shared} of {len(own)} sketched ids): "
                f"one person has one budget. Use that name, or, if they are other people whose ids coincide, "
                f"write distinct_from = [{entry.population!r}] under [dataset]"
            )


def _append(connection: sqlite3.Connection, kind: str, population: str, body: Mapping[str, Any]) -> str:
    last = connection.execute("SELECT hash FROM entries ORDER BY number DESC LIMIT 1").fetchone()
    previous = last[0] if last else _GENESIS
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, allow_nan=False)
    time, nonce = datetime.now(UTC).isoformat(timespec="seconds"), secrets.token_hex(32)
    digest = _digest(kind, population, text, time, nonce, previous)
    connection.execute(
        "INSERT INTO entries (kind, population, body, time, nonce, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, population, text, time, nonce, previous, digest),
    )
    return digest


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def _verified(connection: sqlite3.Connection) -> list[Entry]:
    """All entries, each checked against its hash and its predecessor."""
    rows: Iterable[tuple[Any, ...]] = connection.execute(
        "SELECT number, kind, population, body, time, nonce, previous, hash FROM entries ORDER BY number"
    )
    entries: list[Entry] = []
    expected_previous = _GENESIS
    for number, kind, population, body, time, nonce, previous, digest in rows:
        intact = digest == _digest(kind, population, body, time, nonce, previous)
        if number != len(entries) + 1 or previous != expected_previous or not intact:
            raise LedgerError(f"entry {len(entries) + 1} of the ledger does not fit the chain: it was changed or removed; restore a backup")
        expected_previous = digest
        entries.append(Entry(number=number, kind=kind, population=population, body=json.loads(body), time=time, hash=digest))
    return entries


def _json_number(value: float) -> float | str:
    return "inf" if math.isinf(value) else value


def _number(value: float | str) -> float:
    return float(value)
