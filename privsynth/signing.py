"""Keys and envelopes: ed25519 signatures (RFC 8032) over a DSSE envelope, made by ``cryptography``.

DSSE v1 (github.com/secure-systems-lab/dsse) signs the payload together with its type, as
``"DSSEv1" SP len(type) SP type SP len(payload) SP payload``, so that a signature cannot be read as one over something else.

A private key is a PKCS#8 PEM file that only its owner can read, encrypted if there is a passphrase; the public key is a PEM file
beside it. A key's id is the SHA-256 of the public key in DER form (SubjectPublicKeyInfo).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privsynth.errors import SigningError

MAX_KEY_BYTES = 64 * 1024
MAX_SIGNATURES = 16
"""Of one envelope: each costs a check."""

PUBLIC_SUFFIX = ".pub"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One signature of an envelope; ``key_id`` is a hint that nothing protects."""

    key_id: str
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A payload, its type and the signatures over both."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Envelope:
        """The envelope in a DSSE JSON object.

        Raises:
            SigningError: It is not one.
        """
        try:
            signatures = tuple(Signature(key_id=str(entry.get("keyid", "")), value=_decoded(entry["sig"])) for entry in value["signatures"])
            envelope = cls(payload_type=value["payloadType"], payload=_decoded(value["payload"]), signatures=signatures)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise SigningError(
                "the envelope is not DSSE; expected payload, payloadType and signatures with sig, binary parts in base64"
            ) from None
        if not isinstance(envelope.payload_type, str) or not 1 <= len(signatures) <= MAX_SIGNATURES:
            raise SigningError(
                f"the envelope has {len(signatures)} signatures; expected a payload type and 1 to {MAX_SIGNATURES} signatures"
            )
        return envelope

    def to_json(self) -> dict[str, Any]:
        """The DSSE JSON object; the inverse of ``from_json``."""
        return {
            "payloadType": self.payload_type,
            "payload": _encoded(self.payload),
            "signatures": [{"keyid": signature.key_id, "sig": _encoded(signature.value)} for signature in self.signatures],
        }

    def names(self, key: Ed25519PublicKey) -> bool:
        """Whether some signature claims to be by this key, or claims no key."""
        return any(signature.key_id in ("", key_id(key)) for signature in self.signatures)

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether some signature is by this key."""
        return any(
            _verifies(key, signature.value, pre_authentication_encoding(self.payload_type, self.payload)) for signature in self.signatures
        )


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload with their lengths in bytes.

    >>> pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def seal(payload: bytes, payload_type: str, *, key: Ed25519PrivateKey) -> Envelope:
    """An envelope with one signature."""
    signature = Signature(key_id=key_id(key.public_key()), value=key.sign(pre_authentication_encoding(payload_type, payload)))
    return Envelope(payload_type=payload_type, payload=payload, signatures=(signature,))


def generate_key(path: Path, *, passphrase: bytes | None) -> Path:
    """Make a key pair: the private key at ``path``, mode 0600, and the public key beside it.

    Args:
        path: Of the private key; the public key gets the ending ``.pub``.
        passphrase: Encrypts the private key (PKCS#8, the best scheme that ``cryptography`` has); None writes it in the clear.

    Returns:
        Where the public key is.

    Raises:
        SigningError: A file is there already, lies in a release, or cannot be written.
    """
    require_new(path)
    public = path.with_suffix(PUBLIC_SUFFIX)
    if passphrase is not None and not passphrase:
        raise SigningError("the passphrase is empty; expected at least one character, or no passphrase at all")
    key = Ed25519PrivateKey.generate()
    scheme = serialization.BestAvailableEncryption(passphrase) if passphrase is not None else serialization.NoEncryption()
    private_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, scheme)
    public_pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private_pem, mode=0o600)
    try:
        _write_new(public, public_pem, mode=0o644)
    except SigningError:
        path.unlink()  # a private key without its public half would only be in the way
        raise
    return public


def load_private_key(path: Path, *, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key that only its owner may read.

    Raises:
        SigningError: It cannot be read, others may read it, it lies in a release, or the passphrase is wrong or missing.
    """
    require_outside_releases(path)
    data, mode = _read(path)
    if os.name == "posix" and mode & 0o077:
        raise SigningError(
            f"key={str(path)!r} has mode {mode:04o}: others may read it; make it yours alone with chmod 600, or make a new key"
        )
    try:
        key = serialization.load_pem_private_key(data, password=passphrase)
    except TypeError:
        expected = "is encrypted; expected its passphrase" if passphrase is None else "is not encrypted; leave the passphrase out"
        raise SigningError(f"key={str(path)!r} {expected}") from None
    except (ValueError, UnsupportedAlgorithm):
        what = "cannot be opened: the passphrase is wrong, or it" if passphrase is not None else "cannot be read: it"
        raise SigningError(f"key={str(path)!r} {what} is no PEM private key; expected one made with: privsynth keygen") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"key={str(path)!r} is no ed25519 key; expected one made with: privsynth keygen")
    return key


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file that only its owner may read: its first line.

    Raises:
        SigningError: It cannot be read, others may read it, or it is empty.
    """
    data, mode = _read(path)
    if os.name == "posix" and mode & 0o077:
        raise SigningError(f"passphrase file={str(path)!r} has mode {mode:04o}: others may read it; make it yours alone with chmod 600")
    passphrase = data.partition(b"\n")[0].removesuffix(b"\r")
    if not passphrase:
        raise SigningError(f"passphrase file={str(path)!r} has an empty first line; expected the passphrase")
    return passphrase


def is_encrypted(path: Path) -> bool:
    """Whether a private key needs a passphrase.

    Raises:
        SigningError: It cannot be read.
    """
    return b"ENCRYPTED" in _read(path)[0].partition(b"\n")[0]


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        SigningError: It cannot be read, or is no ed25519 public key.
    """
    data, _ = _read(path)
    if b"PRIVATE KEY" in data:
        raise SigningError(f"key={str(path)!r} is a private key; expected the public one (.pub): keep the private one to yourself")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError(f"key={str(path)!r} is no public key; expected a PEM file made with: privsynth keygen") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"key={str(path)!r} is no ed25519 key; expected one made with: privsynth keygen")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key in DER form, hex: what two people compare over the telephone."""
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def require_new(path: Path) -> None:
    """Refuse a place for a new pair of keys where something is, or that is handed over.

    Raises:
        SigningError: With the reason.
    """
    if path.suffix == PUBLIC_SUFFIX:
        raise SigningError(f"key={str(path)!r} ends like a public key; expected another ending, for example .key")
    require_outside_releases(path)
    for taken in (path, path.with_suffix(PUBLIC_SUFFIX)):
        if taken.exists() or taken.is_symlink():
            raise SigningError(f"key={str(taken)!r} is already there and is never overwritten; choose another name")


def require_outside_releases(path: Path) -> None:
    """Refuse a key inside a release folder, which is handed over.

    Raises:
        SigningError: Some folder above the key holds a manifest.
    """
    for folder in path.resolve().parents:
        if (folder / "manifest.json").is_file():
            raise SigningError(f"key={str(path)!r} lies in the release {str(folder)!r}, which is handed over; keep keys elsewhere")


def _read(path: Path) -> tuple[bytes, int]:
    """A small regular file, of a key or a passphrase, and its permissions."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for ever
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_KEY_BYTES:
                raise SigningError(
                    f"file={str(path)!r} holds no key and no passphrase; expected a file of at most {MAX_KEY_BYTES // 1024} KiB"
                )
            return file.read(), stat.S_IMODE(facts.st_mode)
    except OSError as error:
        raise SigningError(
            f"key={str(path)!r} cannot be read ({error.strerror}); expected a PEM file made with: privsynth keygen"
        ) from None


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        raise SigningError(f"key={str(path)!r} cannot be written ({error.strerror}); choose another folder") from None


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    with contextlib.suppress(InvalidSignature):
        key.verify(signature, message)
        return True
    return False


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str) -> bytes:
    """Strict base64; raises ValueError for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error
