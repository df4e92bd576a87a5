"""A promise made before training, opened after the audit: who was held out, what would be attacked, by which limits.

An auditor who chooses attacks or limits after seeing the release can always find a set that passes. So the coins that put people into
train or holdout, the list of attacks and the hash of the policy are committed before training: a SHA-256 hash over
them and a secret nonce of 256 bits (a commitment in the random-oracle model, Pass 2003; hiding because of the nonce, binding
because collisions are not known). The digest may be shown to anyone; nonce and coins are opened to a reviewer only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.errors import AuditError

_DOMAIN = b"privsynth audit commitment v1\n"
NONCE_BYTES = 32
WARN_AFTER_USES = 3
"""People whose held-out part has judged this many releases: what is released then depends on earlier results."""


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """What is published, and what opens it.

    Attributes:
        digest: SHA-256 over everything committed, 64 hex digits; public.
        nonce: Random, 64 hex digits; secret until a reviewer asks.
    """

    digest: str
    nonce: str

    def public(self) -> dict[str, str]:
        """What may be shown before the audit."""
        return {"digest": self.digest}


def commit(flips: npt.NDArray[np.bool_], attacks: Sequence[str], policy_sha256: str, *, nonce: bytes | None = None) -> Commitment:
    """Commit to the split, the attacks and the policy before training.

    Args:
        flips: The coins of the split, in the order of the stored split, shape (n_coins,); see ``coins_of``.
        attacks: Names of the attacks that will run, in order.
        policy_sha256: Hash of the policy file, 64 hex digits.
        nonce: 32 bytes from the operating system by default; given only to open a commitment.

    Raises:
        AuditError: There is no person or no attack, the hash is no SHA-256, or the nonce is too short.
    """
    flips = np.asarray(flips)
    if flips.ndim != 1 or not len(flips) or flips.dtype != np.bool_ or not attacks:
        raise AuditError(f"flips={flips.shape} of {flips.dtype}, attacks={len(attacks)}; expected a vector of booleans and an attack")
    if len(policy_sha256) != 64 or not set(policy_sha256) <= set("0123456789abcdef"):
        raise AuditError(f"policy_sha256 has {len(policy_sha256)} characters; expected 64 hex digits")
    nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
    if len(nonce) != NONCE_BYTES:
        raise AuditError(f"nonce has {len(nonce)} bytes; expected {NONCE_BYTES}")
    # One JSON text of fixed layout: two different contents cannot give the same bytes.
    content = {"attacks": list(attacks), "n": len(flips), "flips": np.packbits(flips).tobytes().hex(), "policy": policy_sha256}
    message = _DOMAIN + nonce + json.dumps(content, sort_keys=True, ensure_ascii=True).encode()
    return Commitment(digest=hashlib.sha256(message).hexdigest(), nonce=nonce.hex())


def open_matches(commitment: Commitment, flips: npt.NDArray[np.bool_], attacks: Sequence[str], policy_sha256: str) -> bool:
    """Whether this split, these attacks and this policy are what was committed."""
    again = commit(flips, attacks, policy_sha256, nonce=bytes.fromhex(commitment.nonce))
    return hmac.compare_digest(again.digest, commitment.digest)


def coins_of(parts: npt.NDArray[np.int8], units: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """The part of each person as bits, two for each, people in the order of their ids as text, shape (2 * n_people,).

    Args:
        parts: The part of each row, 0 to 3, the same for all rows of a person, shape (n_rows,).
        units: The person behind each row, shape (n_rows,).
    """
    _, first = np.unique(units.astype(str), return_index=True)
    own = parts[first]
    return np.stack([own & 1, own >> 1], axis=1).astype(bool).ravel()


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Everything that a reviewer needs to check a commitment against the digest that was published before training.

    Attributes:
        commitment: Digest and nonce.
        flips: The coins, packed bits in hex; whoever has the dataset learns from them who was held out.
        n_flips: How many coins.
        attacks: Names of the attacks, in order.
        policy_sha256: Hash of the policy file, 64 hex digits.
    """

    commitment: Commitment
    flips: str
    n_flips: int
    attacks: tuple[str, ...]
    policy_sha256: str

    @classmethod
    def of(cls, flips: npt.NDArray[np.bool_], attacks: Sequence[str], policy_sha256: str) -> Opening:
        """Commit, and keep what opens the commitment."""
        return cls(
            commitment=commit(flips, attacks, policy_sha256),
            flips=np.packbits(flips).tobytes().hex(),
            n_flips=len(flips),
            attacks=tuple(attacks),
            policy_sha256=policy_sha256,
        )

    def to_json(self) -> dict[str, Any]:
        """The opening as plain JSON: for a reviewer only."""
        return asdict(self)

    def matches(self, digest: str) -> bool:
        """Whether this opens the digest that was published."""
        packed = np.frombuffer(bytes.fromhex(self.flips), dtype=np.uint8)
        coins = np.unpackbits(packed, count=self.n_flips).astype(bool)
        return hmac.compare_digest(self.commitment.digest, digest) and open_matches(
            self.commitment, coins, self.attacks, self.policy_sha256
        )


def count_holdout_uses(entries: Iterable[tuple[str, Mapping[str, object]]]) -> int:
    """How many releases the held-out people of one population have judged; a run that was resumed counts once.

    Each run holds out other people, drawn anew: what is used up is not a list of people but what their figures told.

    Args:
        entries: Kind and body of each ledger entry of the population.
    """
    return len({body.get("id") for kind, body in entries if kind == "audit"})


def reuse_note(uses: int) -> str | None:
    """What a reader must know about people whose held-out part has served before; None if this is its first use.

    >>> reuse_note(1) is None
    True
    """
    if uses <= 1:
        return None
    worn = " Results are worn: later releases may have been chosen by earlier ones." if uses >= WARN_AFTER_USES else ""
    return (
        f"Held-out people of this dataset have judged {uses} releases, this one included: whoever saw earlier results may have tuned.{worn}"
    )
