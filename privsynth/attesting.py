"""What is signed: an in-toto Statement v1 over every file of a release, by the software that built it or a person who reviewed it.

The statement's subject is the SHA-256 of every file but the envelopes; its predicate repeats what the manifest says of the policy,
the ledger and the guarantee, and adds role, conditions and end of validity. Builder and reviewer say different things, so
each has an envelope of its own: one DSSE envelope has one payload. The reviewer's predicate holds the hash of the builder's payload, so
that a review cannot be put beside another build.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privsynth.contents import ENVELOPES, MANIFEST, MANIFEST_VERSION, Contents, Reason, RefusedRelease, Role, open_contents
from privsynth.errors import ReleaseError, SigningError
from privsynth.signing import Envelope, seal

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:x-privsynth:release:v1"
PREDICATE_VERSION = 1

MAX_JSON_BYTES = 16 * 2**20
MAX_CONDITIONS = 20
MAX_CONDITION_CHARACTERS = 500

REPEATED = ("tool", "event_id", "ledger_head", "policy", "insecure", "epsilon", "delta", "relation", "expires")
"""Public facts that the predicate takes over from the manifest."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A parsed statement.

    Attributes:
        digests: SHA-256 by file name, hex.
        role: Who signs.
        signed_at: By the signer's clock, UTC.
        expires: Last day on which it holds; None if it has no end.
        conditions: Under which it was signed.
        facts: What the predicate repeats from the manifest.
        build_statement: SHA-256 of the builder's payload, of a review.
    """

    digests: Mapping[str, str]
    role: Role
    signed_at: str
    expires: date | None
    conditions: tuple[str, ...]
    facts: Mapping[str, Any]
    build_statement: str | None


def sign_release(
    folder: Path,
    *,
    role: Role,
    key: Ed25519PrivateKey,
    expires: date | None = None,
    conditions: Sequence[str] = (),
    build_statement: str | None = None,
    now: datetime | None = None,
) -> Path:
    """Sign a release folder as it is on disk.

    Args:
        folder: The release.
        role: ``build`` for the software that made it, ``reviewer`` for a person who signs it off.
        key: Of the signer.
        expires: Last day on which the signature holds; by default, and at most, the day that the manifest declares.
        conditions: Under which it is signed, one sentence each.
        build_statement: For a reviewer: hash of the builder's payload, as ``verifying.verify`` returned it.
        now: The clock; the machine's by default.

    Returns:
        The envelope's path.

    Raises:
        ReleaseError: The folder is no release, was changed since its manifest was written, or has this role's signature already.
        SigningError: The end lies in the past or after the release's, or a condition is too long.
    """
    now = now or datetime.now(UTC)
    target = folder / ENVELOPES[role]
    if not folder.is_dir():
        raise ReleaseError(f"release={str(folder)!r} is no folder; expected a release folder (unpack an archive first)")
    if (role == "reviewer") != (build_statement is not None):
        raise SigningError(
            f"role={role!r} with build_statement={build_statement!r}; expected the builder's hash for a reviewer, and only there"
        )
    with open_contents(folder) as contents:
        if target.name in contents.sizes:
            raise ReleaseError(
                f"release={str(folder)!r} is signed already ({target.name}); remove that file first if it has to be signed anew"
            )
        manifest, digests = _unchanged(folder, contents)
    ends = _end(expires, manifest, now.date())
    _require_conditions(conditions)
    payload = _payload(manifest, digests, role=role, ends=ends, conditions=conditions, build_statement=build_statement, now=now)
    _write_new(target, json.dumps(seal(payload, PAYLOAD_TYPE, key=key).to_json(), indent=1) + "\n")
    return target


def _payload(
    manifest: Mapping[str, Any],
    digests: Mapping[str, str],
    *,
    role: Role,
    ends: date | None,
    conditions: Sequence[str],
    build_statement: str | None,
    now: datetime,
) -> bytes:
    """The statement as the bytes that are signed."""
    predicate = {
        "schema_version": PREDICATE_VERSION,
        "role": role,
        "signed_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        **{name: manifest.get(name) for name in REPEATED},
        "expires": None if ends is None else ends.isoformat(),
        "conditions": list(conditions),
        "events": len(manifest.get("events", [])),
    }
    if build_statement is not None:
        predicate["build_statement"] = {"sha256": build_statement}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    return json.dumps(statement, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def parsed_statement(envelope: Envelope) -> Statement:
    """The statement in an envelope whose signature was checked.

    Raises:
        RefusedRelease: It is not JSON, not ours, or of a newer version.
    """
    value = strict_json(envelope.payload, reason="malformed statement", what="the signed statement")
    if value.get("_type") != STATEMENT_TYPE or not isinstance(value.get("predicateType"), str):
        raise RefusedRelease("malformed statement", "the signed statement is no in-toto statement of version 1")
    predicate = value.get("predicate")
    version = predicate.get("schema_version") if isinstance(predicate, dict) else None
    if value["predicateType"] != PREDICATE_TYPE or not isinstance(version, int) or isinstance(version, bool) or version > PREDICATE_VERSION:
        raise RefusedRelease(
            "newer version",
            f"the signed statement is of type {value['predicateType']!r}, version {version!r}; expected {PREDICATE_TYPE!r}, "
            f"version {PREDICATE_VERSION}: use a newer privsynth",
        )
    assert isinstance(predicate, dict)
    try:
        statement = Statement(
            digests={entry["name"]: entry["digest"]["sha256"] for entry in value["subject"]},
            role=predicate["role"],
            signed_at=predicate["signed_at"],
            expires=None if predicate["expires"] is None else date.fromisoformat(predicate["expires"]),
            conditions=tuple(predicate["conditions"]),
            facts={name: predicate[name] for name in REPEATED},
            build_statement=predicate["build_statement"]["sha256"] if "build_statement" in predicate else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RefusedRelease("malformed statement", "the signed statement lacks a part or has one of another kind") from None
    strings = [*statement.digests, *statement.digests.values(), *statement.conditions, statement.signed_at]
    if (
        statement.role not in get_args(Role)
        or not all(isinstance(text, str) for text in strings)
        or len(value["subject"]) != len(statement.digests)
    ):
        raise RefusedRelease("malformed statement", "the signed statement lacks a part or has one of another kind")
    return statement


def strict_json(data: bytes, *, reason: Reason, what: str) -> dict[str, Any]:
    """A JSON object without what readers understand differently: repeated keys, NaN, other encodings.

    Raises:
        RefusedRelease: With ``reason``.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise RefusedRelease(reason, f"{what} is not valid JSON (truncated, repeated keys, or another encoding than UTF-8)") from None
    if not isinstance(value, dict):
        raise RefusedRelease(reason, f"{what} is no JSON object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _unchanged(folder: Path, contents: Contents) -> tuple[dict[str, Any], dict[str, str]]:
    """The manifest and the hash of every file, if the files are those that the manifest names: nobody signs what was changed since."""
    if MANIFEST not in contents.sizes:
        raise ReleaseError(f"release={str(folder)!r} has no {MANIFEST}; expected a release folder")
    manifest = strict_json(contents.read(MANIFEST, max_bytes=MAX_JSON_BYTES), reason="altered manifest", what=MANIFEST)
    digests = {name: contents.sha256(name) for name in contents.sizes if name not in ENVELOPES.values()}
    if manifest.get("manifest_version") != MANIFEST_VERSION:
        raise ReleaseError(
            f"manifest_version={manifest.get('manifest_version')!r}; expected {MANIFEST_VERSION}: use the privsynth that made it"
        )
    if listed(manifest) != {name: digest for name, digest in digests.items() if name != MANIFEST}:
        raise ReleaseError(
            f"release={str(folder)!r} was changed since its {MANIFEST} was written; make the release again, or take it from a backup"
        )
    return manifest, digests


def listed(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 by file name, as a manifest lists it.

    Raises:
        RefusedRelease: It lists no files.
    """
    try:
        return {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    except (KeyError, TypeError):
        raise RefusedRelease("altered manifest", f"{MANIFEST} has no list of files") from None


def _end(expires: date | None, manifest: Mapping[str, Any], today: date) -> date | None:
    """The last day on which the signature holds: the one asked for, within the release's own."""
    declared = manifest.get("expires")
    try:
        own = None if declared is None else date.fromisoformat(declared)
    except (TypeError, ValueError):
        raise ReleaseError(f"{MANIFEST} has expires={declared!r}; expected a date such as 2027-06-30, or nothing") from None
    if expires is None:
        return own  # even if it has passed while the run lasted: the release is then refused as expired, and says so
    if expires < today:
        raise SigningError(f"expires={expires.isoformat()} has passed; expected today or later")
    if own is not None and expires > own:
        raise SigningError(f"expires={expires.isoformat()} is later than the release's own end; expected {own.isoformat()} at the latest")
    return expires


def _require_conditions(conditions: Sequence[str]) -> None:
    if len(conditions) > MAX_CONDITIONS:
        raise SigningError(f"{len(conditions)} conditions; expected at most {MAX_CONDITIONS}")
    for condition in conditions:
        if not condition.strip() or not condition.isprintable() or len(condition) > MAX_CONDITION_CHARACTERS:
            raise SigningError(
                f"a condition is empty, broken over lines or too long; expected one line of at most {MAX_CONDITION_CHARACTERS} signs"
            )


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise ReleaseError(f"file={str(path)!r} cannot be written ({error.strerror}); choose a folder that you may write") from None
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ReleaseError(f"file={str(path)!r} cannot be written ({error.strerror}); free space and sign again") from None


def payload_hash(envelope: Envelope) -> str:
    """SHA-256 of an envelope's payload, hex."""
    return hashlib.sha256(envelope.payload).hexdigest()
