"""Secret choices that are the same wherever the same thing is chosen: HMAC-SHA256 under one key.

A pseudonym is a function of the key and the value alone. Nothing is stored, so that columns, tables, partitions and machines agree
without talking to each other; and once the key is gone nobody, its maker included, can repeat or invert a choice.

Keys of tables must stay distinct. ``permuted`` is a keyed permutation of all strings of one shape: a balanced Feistel network
(Luby & Rackoff 1988) of ten rounds over the string read as a number, cycle-walked into the range (Black & Rogaway 2002,
"Ciphers with arbitrary finite domains"), as NIST's FF1 does for one radix. A shape with few strings (two digits) has few
permutations: such a code can be guessed, keyed or not.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from privsynth.errors import PIIError

KEY_BYTES = 32
ROUNDS = 10

_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()


@dataclass(frozen=True, kw_only=True)
class Key:
    """A secret of 32 bytes; it never appears in a ``repr``, a message or a report."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that could be guessed."""
        if len(self.secret) != KEY_BYTES:
            raise PIIError(f"key of {len(self.secret)} bytes; expected {KEY_BYTES}")

    @classmethod
    def fresh(cls) -> Key:
        """A new key from the operating system."""
        return cls(secret=secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, path: str | Path) -> Key:
        """A kept key.

        Raises:
            PIIError: The file is missing, is no key, or others than its owner may read it.
        """
        path = Path(path)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise PIIError(f"key={str(path)!r} cannot be read; expected a file that --keep-key wrote") from None
        if os.name == "posix" and mode & 0o077:
            raise PIIError(f"key={str(path)!r} may be read by others (mode {mode:o}); expected 600: chmod 600 {path}")
        try:
            return cls(secret=bytes.fromhex(text))
        except ValueError:
            raise PIIError(f"key={str(path)!r} is no key; expected {2 * KEY_BYTES} hexadecimal digits") from None

    def save(self, path: str | Path) -> None:
        """Write the key to a new file that only its owner may read.

        Raises:
            PIIError: The file exists or cannot be written.
        """
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise PIIError(f"key={str(path)!r} is already there; a key is never overwritten: choose another name") from None
        except OSError as error:
            raise PIIError(f"key={str(path)!r} cannot be written ({type(error).__name__}); choose another place") from None
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(self.secret.hex() + "\n")

    def derived(self, *parts: str) -> Key:
        """A key of its own for one purpose, for example one document."""
        return Key(secret=self._digest("key", parts))

    def number(self, *parts: str) -> int:
        """A number in [0, 2**256), the same for the same parts."""
        return int.from_bytes(self._digest("number", parts), "big")

    def choice(self, options: Sequence[str], *parts: str) -> str:
        """One of some options."""
        return options[self.number(*parts) % len(options)]

    def digits(self, count: int, *parts: str) -> str:
        """Up to 70 decimal digits; the bias of the last is below 2**-20."""
        return f"{self.number(*parts) % 10**count:0{count}d}"

    def generator(self, *parts: str) -> np.random.Generator:
        """A generator for inventors that take one; its stream is NumPy's, which may change between major versions."""
        return np.random.default_rng(self.number(*parts))

    def permuted(self, text: str, *parts: str) -> str:
        """Another string of the same shape: digits for digits, letters for letters of the same case, other characters unchanged.

        Distinct strings of one purpose (``parts``) give distinct strings. A leading zero stays one and no other digit becomes one, so
        that numbers keep their length; hexadecimal identifiers of 16 digits and more stay hexadecimal.
        """
        alphabets = _alphabets(text)
        size = 1
        for alphabet in alphabets:
            size *= len(alphabet)
        if size < 2:
            return text
        number, free = 0, [(character, alphabet) for character, alphabet in zip(text, alphabets, strict=True) if len(alphabet) > 1]
        for character, alphabet in free:
            number = number * len(alphabet) + alphabet.index(character)
        shape = "".join(str(len(alphabet)) if len(alphabet) > 1 else character for character, alphabet in zip(text, alphabets, strict=True))
        # What stays as it is belongs to the shape, so that strings of different shapes never meet.
        number = self._permuted_number(number, size, ("permutation", shape, *parts))
        changed = []
        for _, alphabet in reversed(free):
            number, index = divmod(number, len(alphabet))
            changed.append(alphabet[index])
        replaced = iter(reversed(changed))
        return "".join(next(replaced) if len(alphabet) > 1 else character for character, alphabet in zip(text, alphabets, strict=True))

    def _permuted_number(self, number: int, size: int, parts: tuple[str, ...]) -> int:
        """A permutation of range(size): Feistel over the next even number of bits, repeated until the result is in range."""
        half = max(1, ((size - 1).bit_length() + 1) // 2)
        mask = (1 << half) - 1
        length = (half + 7) // 8
        tweak = self._digest("feistel", parts)
        while True:
            left, right = number >> half, number & mask
            for turn in range(ROUNDS):
                block = hashlib.shake_256(tweak + bytes([turn]) + right.to_bytes(length, "big")).digest(length)
                left, right = right, left ^ (int.from_bytes(block, "big") & mask)
            number = (left << half) | right
            if number < size:
                return number

    def _digest(self, purpose: str, parts: Sequence[str]) -> bytes:
        # Lengths before the parts: ("ab", "c") and ("a", "bc") are different choices.
        message = b"".join(
            len(data).to_bytes(8, "big") + data for part in (purpose, *parts) for data in [part.encode("utf-8", "surrogatepass")]
        )
        return hmac.digest(self.secret, message, "sha256")


def _alphabets(text: str) -> list[str]:
    """For each character what it may become; a character alone is its own alphabet."""
    plain = [character for character in text if character.isalnum()]
    hexadecimal = (
        len(plain) >= 16 and all(character in "0123456789abcdefABCDEF" for character in plain) and not all(c in _DIGITS for c in plain)
    )
    if hexadecimal and (text == text.lower() or text == text.upper()):
        letters = "0123456789abcdef" if text == text.lower() else "0123456789ABCDEF"
        return [letters if character.isalnum() else character for character in text]
    alphabets = []
    for position, character in enumerate(text):
        first = position == 0
        if character in _DIGITS:
            alphabets.append(character if first and character == "0" else _DIGITS[1:] if first else _DIGITS)
        else:
            alphabets.append(next((letters for letters in (_LOWER, _UPPER) if character in letters), character))
    return alphabets
