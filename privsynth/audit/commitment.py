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
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privsynth.errors import AuditError

_DOMAIN = b"privsynth audit commitment v1\n"
NONCE_BYTES = 32
WARN_AFTER_USES = 3
"""A holdout that has judged this many releases is worn: results then depend on earlier ones."""


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
        flips: For each person, in the order of the stored split, whether they are in train, shape (n_people,).
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


def count_holdout_uses(entries: Iterable[tuple[str, Mapping[str, object]]], holdout: str) -> int:
    """How many audits a holdout has served.

    Args:
        entries: Kind and body of each ledger entry, in order; ``commit`` entries name their holdout by a keyed fingerprint.
        holdout: That fingerprint.
    """
    return sum(kind == "commit" and body.get("holdout") == holdout for kind, body in entries)


def reuse_note(uses: int) -> str | None:
    """What a reader must know about a holdout that has served before; None if this is its first use.

    >>> reuse_note(1) is None
    True
    """
    if uses <= 1:
        return None
    worn = " It is worn: draw a new one before the next release." if uses >= WARN_AFTER_USES else ""
    return f"The holdout has served {uses} audits: whoever saw earlier results may have tuned on it.{worn}"
