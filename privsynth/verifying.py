"""Check a release offline: that every file is the one that was signed, by the key that you were given, and that it still holds.

The order of the checks gives each kind of tampering its one reason: first what the folder or archive holds, then the envelope and its
signature, then the manifest and the files, then the end of validity, then the review. Nothing is believed before the
signature over it was checked, but for the sizes of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privsynth.attesting import (
    MAX_JSON_BYTES,
    PAYLOAD_TYPE,
    REPEATED,
    Statement,
    listed,
    parsed_statement,
    payload_hash,
    sign_release,
    strict_json,
)
from privsynth.contents import ENVELOPES, MANIFEST, MANIFEST_VERSION, Contents, Reason, RefusedRelease, Role, open_contents
from privsynth.errors import ReleaseError, SigningError
from privsynth.signing import Envelope, key_id

DOES_NOT_PROVE = (
    "That the verdict or a measurement is right: a signature says who signed which files, and that they have not changed since.",
    "That a key belongs to a person: compare its id with the sender over another channel.",
    "That nobody can be re-identified: read what the report does not show.",
    "When it was signed: the time is that of the signer's own clock.",
    "That it was not withdrawn since: ask the sender.",
)
"""Printed beside every accepted release."""

SHOWN_NAMES = 5


@dataclass(frozen=True, kw_only=True)
class SignatureFacts:
    """A signature that was checked: by whom, when by their clock, until when, under which conditions."""

    role: Role
    key_id: str
    signed_at: str
    expires: str | None
    conditions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The outcome for one release.

    Attributes:
        accepted: Whether everything that was asked for holds.
        reason: Why not, in a word; None if accepted.
        message: One line for a person.
        n_files: Files whose hash was compared; 0 if it did not come to that.
        signatures: Those that were checked and hold.
        facts: Public facts of the release that were signed: guarantee, policy, ledger head, tool.
        build_statement: Hash of the builder's payload: what a reviewer signs.
        review: ``checked``, ``not checked`` (there is one, no key was given) or ``none``.
    """

    accepted: bool
    reason: Reason | None
    message: str
    n_files: int = 0
    signatures: tuple[SignatureFacts, ...] = ()
    facts: Mapping[str, Any] | None = None
    build_statement: str | None = None
    review: str = "none"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with what a signature does not prove."""
        return {**asdict(self), "does_not_prove": list(DOES_NOT_PROVE)}


def verify(path: Path, *, key: Ed25519PublicKey, reviewer_key: Ed25519PublicKey | None = None, today: date | None = None) -> Verification:
    """Check a release folder or its ZIP archive, with public keys alone.

    Args:
        path: Folder or archive.
        key: The builder's public key, got from the sender over another channel.
        reviewer_key: With it, a review by this key must be there and hold.
        today: The clock, UTC; the machine's by default.

    Returns:
        What was found; a release that is refused is a result and not an error.

    Raises:
        ReleaseError: There is nothing at ``path``, or it cannot be read.
    """
    try:
        with open_contents(path) as contents:
            return _checked(contents, key, reviewer_key, today or datetime.now(UTC).date())
    except RefusedRelease as refusal:
        return Verification(accepted=False, reason=refusal.reason, message=str(refusal))


def review(
    folder: Path, *, key: Ed25519PrivateKey, build_key: Ed25519PublicKey, conditions: Sequence[str] = (), expires: date | None = None
) -> Path:
    """Sign a release off as its reviewer, after the builder's signature was checked.

    Args:
        folder: The release.
        key: The reviewer's private key.
        build_key: The builder's public key.
        conditions: Under which it is signed off, one sentence each.
        expires: Last day on which the review holds; by default, and at most, the day that the release declares.

    Returns:
        The envelope's path.

    Raises:
        ReleaseError: The release is refused, or has a review already.
        SigningError: Reviewer and builder have one key, the end has passed, or a condition is too long.
    """
    if key_id(key.public_key()) == key_id(build_key):
        raise SigningError("reviewer and builder have the same key; expected a key that the reviewer alone holds")
    found = verify(folder, key=build_key)
    if not found.accepted:
        raise ReleaseError(f"release={str(folder)!r} is refused ({found.reason}: {found.message}); do not sign it off")
    return sign_release(folder, role="reviewer", key=key, expires=expires, conditions=conditions, build_statement=found.build_statement)


def _checked(contents: Contents, key: Ed25519PublicKey, reviewer_key: Ed25519PublicKey | None, today: date) -> Verification:
    """Every check in order; each raises its own reason."""
    envelope = _signed(contents, "build", key)
    build = _statement(envelope, "build")
    digests = {name: contents.sha256(name) for name in contents.sizes if name not in ENVELOPES.values()}
    _require_same_files(build.digests, digests)
    _require_agreement(contents, build)
    _require_valid(build, today)
    signatures, review = [_facts(build, key)], "none"
    if reviewer_key is not None:
        reviewed = _reviewed(contents, reviewer_key, build, payload_hash(envelope))
        _require_valid(reviewed, today)
        signatures.append(_facts(reviewed, reviewer_key))
        review = "checked"
    elif ENVELOPES["reviewer"] in contents.sizes:
        _envelope(contents, "reviewer")  # whatever else is called so is an added file
        review = "not checked"
    return Verification(
        accepted=True,
        reason=None,
        message=f"{len(digests)} files are those that were signed",
        n_files=len(digests),
        signatures=tuple(signatures),
        facts=build.facts,
        build_statement=payload_hash(envelope),
        review=review,
    )


def _envelope(contents: Contents, role: Role) -> Envelope:
    """The envelope of a role, of the right kind, its signature not checked."""
    name = ENVELOPES[role]
    if name not in contents.sizes:
        raise RefusedRelease("unsigned", f"there is no {name}; ask the sender for a signed release")
    value = strict_json(contents.read(name, max_bytes=MAX_JSON_BYTES), reason="malformed envelope", what=name)
    try:
        envelope = Envelope.from_json(value)
    except SigningError:
        raise RefusedRelease("malformed envelope", f"{name} is no DSSE envelope; expected payload, payloadType and signatures") from None
    if envelope.payload_type != PAYLOAD_TYPE:
        raise RefusedRelease("wrong payload type", f"{name} has payload type {envelope.payload_type!r}; expected {PAYLOAD_TYPE!r}")
    return envelope


def _signed(contents: Contents, role: Role, key: Ed25519PublicKey) -> Envelope:
    """The envelope of a role, signed by the key."""
    name = ENVELOPES[role]
    envelope = _envelope(contents, role)
    if envelope.is_signed_by(key):
        return envelope
    if not envelope.names(key):
        others = ", ".join(sorted({signature.key_id[:16] for signature in envelope.signatures}))
        raise RefusedRelease("other key", f"{name} is signed by key {others!r}…; expected {key_id(key)[:16]!r}…")
    raise RefusedRelease("altered envelope", f"the signature in {name} is not over its payload by this key; the envelope was altered")


def _statement(envelope: Envelope, role: Role) -> Statement:
    statement = parsed_statement(envelope)
    if statement.role != role:
        raise RefusedRelease("other statement", f"{ENVELOPES[role]} holds the statement of a {statement.role}; expected that of a {role}")
    return statement


def _reviewed(contents: Contents, key: Ed25519PublicKey, build: Statement, build_hash: str) -> Statement:
    """The reviewer's statement, if it is over this very build."""
    if ENVELOPES["reviewer"] not in contents.sizes:
        raise RefusedRelease("not reviewed", f"there is no {ENVELOPES['reviewer']}; expected a review by the given key")
    review = _statement(_signed(contents, "reviewer", key), "reviewer")
    if review.build_statement != build_hash or review.digests != build.digests:
        raise RefusedRelease("other statement", f"{ENVELOPES['reviewer']} was signed over another release or another build of it")
    return review


def _require_same_files(signed: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse any difference between what was signed and what is there."""
    if MANIFEST in found and found[MANIFEST] != signed.get(MANIFEST):
        raise RefusedRelease("altered manifest", f"{MANIFEST} is not the one that was signed")
    changed = [name for name, digest in signed.items() if name in found and found[name] != digest]
    if changed:
        raise RefusedRelease("changed file", f"not as signed: {_shown(changed)}")
    missing = [name for name in signed if name not in found]
    added = [name for name in found if name not in signed]
    renamed = [(old, new) for old in missing for new in added if signed[old] == found[new]]
    if renamed:
        raise RefusedRelease(
            "renamed file", f"signed as {_shown([old for old, _ in renamed])}, found as {_shown([new for _, new in renamed])}"
        )
    if missing:
        raise RefusedRelease("missing file", f"signed, but not there: {_shown(missing)}")
    if added:
        raise RefusedRelease("added file", f"there, but not signed: {_shown(added)}")


def _require_agreement(contents: Contents, build: Statement) -> None:
    """Refuse a manifest that says something else than the statement: both were signed, one of them misleads."""
    manifest = strict_json(contents.read(MANIFEST, max_bytes=MAX_JSON_BYTES), reason="contradiction", what=MANIFEST)
    version = manifest.get("manifest_version")
    if not isinstance(version, int) or isinstance(version, bool) or version > MANIFEST_VERSION:
        raise RefusedRelease("newer version", f"manifest_version={version!r}; expected at most {MANIFEST_VERSION}: use a newer privsynth")
    own = {name: digest for name, digest in build.digests.items() if name != MANIFEST}
    told = {name: manifest.get(name) for name in REPEATED if name != "expires"}  # a signature may end before the release
    if listed(manifest) != own or told != {name: build.facts[name] for name in told}:
        raise RefusedRelease("contradiction", f"{MANIFEST} and the signed statement disagree")


def _require_valid(statement: Statement, today: date) -> None:
    if statement.expires is not None and today > statement.expires:
        raise RefusedRelease(
            "expired",
            f"the {statement.role}'s signature held until {statement.expires.isoformat()}; ask the sender for one that holds today",
        )


def _facts(statement: Statement, key: Ed25519PublicKey) -> SignatureFacts:
    return SignatureFacts(
        role=statement.role,
        key_id=key_id(key),
        signed_at=statement.signed_at,
        expires=None if statement.expires is None else statement.expires.isoformat(),
        conditions=statement.conditions,
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(map(repr, names[:SHOWN_NAMES])) + more
