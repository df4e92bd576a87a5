"""The files of a release, in a folder or in a ZIP archive, as an outsider sent them: listed within limits, never followed, never unpacked.

A release holds regular files with plain relative names. Links, devices, paths that lead out of the release, and archives that
unpack to more than they should are refused before anything is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from privsynth.errors import ReleaseError

Reason = Literal[
    "unsigned",
    "malformed envelope",
    "wrong payload type",
    "other key",
    "altered envelope",
    "malformed statement",
    "newer version",
    "other statement",
    "contradiction",
    "altered manifest",
    "changed file",
    "renamed file",
    "missing file",
    "added file",
    "expired",
    "path",
    "link",
    "too large",
    "damaged archive",
    "not reviewed",
]
"""Why a release is refused, in one or two words."""

Role = Literal["build", "reviewer"]
"""Who signs: the software that made a release, or a person who signs it off."""

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
ENVELOPES: Mapping[Role, str] = {"build": "manifest.dsse.json", "reviewer": "review.dsse.json"}
"""Envelope by role: the only files of a release that are not part of what is signed."""

MAX_FILES = 10_000
MAX_DEPTH = 16
"""Folders within folders."""

MAX_UNPACKED_BYTES = 16 * 2**30
"""Of all files of an archive together."""

MAX_RATIO = 200
"""Unpacked to packed, of an archive that unpacks to more than ``RATIO_FROM_BYTES``."""

RATIO_FROM_BYTES = 100 * 2**20

_DIRECTORY_ENTRY = b"PK\x01\x02"
_CHUNK_BYTES = 2**20


class RefusedRelease(ReleaseError):
    """A release is not what its signer signed, or cannot be looked at without danger; ``reason`` says why in a word."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a release holds: size in bytes by name, and a way to open each name."""

    sizes: Mapping[str, int]
    opener: Callable[[str], io.BufferedIOBase]

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """A whole small file.

        Raises:
            RefusedRelease: It is larger than ``max_bytes``, or damaged.
        """
        if self.sizes[name] > max_bytes:
            raise RefusedRelease("too large", f"file={name!r} has {self.sizes[name]} bytes; expected at most {max_bytes}")
        with _damage(name), self.opener(name) as file:
            return file.read(max_bytes)

    def sha256(self, name: str) -> str:
        """The hash of one file, hex.

        Raises:
            RefusedRelease: The file is damaged or gone.
        """
        with _damage(name), self.opener(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def open_contents(path: Path) -> Iterator[Contents]:
    """The files of a release folder or of its ZIP archive.

    An archive may hold the release in one folder, as archives made from a folder do.

    Raises:
        ReleaseError: There is nothing at ``path``, or nothing that can be a release.
        RefusedRelease: It holds what a release never holds.
    """
    if path.is_dir():
        yield Contents(sizes=_listed(path), opener=lambda name: _opened(path / name))
    elif path.is_file():
        with _archive(path) as archive:
            entries = _entries(archive, packed_bytes=path.stat().st_size)
            yield Contents(
                sizes={name: entry.file_size for name, entry in entries.items()},
                opener=lambda name: cast(io.BufferedIOBase, archive.open(entries[name])),
            )
    else:
        raise ReleaseError(f"release={str(path)!r} is not there; expected a release folder or its ZIP archive")


def _listed(root: Path) -> dict[str, int]:
    """Sizes of the files below a folder by their name relative to it; folders that hold nothing do not count."""
    sizes: dict[str, int] = {}
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise RefusedRelease("too large", f"folders lie more than {MAX_DEPTH} deep; a release is flat")
        with _damage(str(folder)), os.scandir(folder) as found:
            for entry in found:
                name = Path(entry.path).relative_to(root).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), depth + 1))
                    continue
                if not entry.is_file(follow_symlinks=False):
                    raise RefusedRelease("link", f"{name!r} is a link or a special file; a release holds regular files only")
                sizes[name] = entry.stat(follow_symlinks=False).st_size
                if len(sizes) > MAX_FILES:
                    raise RefusedRelease("too large", f"there are more than {MAX_FILES} files; a release has fewer")
    return dict(sorted(sizes.items()))


def _opened(path: Path) -> io.BufferedIOBase:
    """The file, unless it has become a link since it was listed."""
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    _require_few_entries(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, UnicodeDecodeError):
        raise RefusedRelease("damaged archive", f"release={str(path)!r} is no ZIP archive, or a damaged one; ask for it again") from None


def _require_few_entries(path: Path) -> None:
    """Count directory entries before the list of them is built: a small archive can name millions of files."""
    count, tail = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            count += (tail + chunk).count(_DIRECTORY_ENTRY)
            tail = chunk[-(len(_DIRECTORY_ENTRY) - 1) :]
            if count > 2 * MAX_FILES:  # folders are entries too
                raise RefusedRelease(
                    "too large", f"the archive names more than {2 * MAX_FILES} entries; a release has at most {MAX_FILES} files"
                )


def _entries(archive: zipfile.ZipFile, *, packed_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The archive's files by name, within the limits."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = _plain(entry)
        if entry.is_dir():
            continue
        if name in entries:
            raise RefusedRelease("path", f"the archive names {name!r} twice; expected each file once")
        entries[name] = entry
    unpacked = sum(entry.file_size for entry in entries.values())
    if len(entries) > MAX_FILES:
        raise RefusedRelease("too large", f"the archive has {len(entries)} files; expected at most {MAX_FILES}")
    if unpacked > MAX_UNPACKED_BYTES:
        raise RefusedRelease("too large", f"the archive unpacks to {unpacked} bytes; expected at most {MAX_UNPACKED_BYTES}")
    if unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed_bytes:
        raise RefusedRelease("too large", f"the archive unpacks to {unpacked // packed_bytes} times its size; expected at most {MAX_RATIO}")
    if sum(entry.compress_size for entry in entries.values()) > packed_bytes:
        raise RefusedRelease("too large", "the archive's files overlap: together they are larger than the archive")
    return _without_common_folder(entries)


def _plain(entry: zipfile.ZipInfo) -> str:
    """The entry's name, if it is a relative path of a regular, unencrypted file."""
    name = entry.orig_filename  # ``filename`` is cut at a null byte and has its backslashes turned round
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise RefusedRelease("path", f"the archive holds the path {name!r}, which leads out of the release; expected plain relative paths")
    if len(parts) > MAX_DEPTH:
        raise RefusedRelease("too large", f"folders lie more than {MAX_DEPTH} deep; a release is flat")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RefusedRelease("link", f"{name!r} is a link or a special file; a release holds regular files only")
    if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedRelease(
            "damaged archive", f"{name!r} is encrypted or packed in an unusual way; expected plain ZIP (stored or deflated)"
        )
    return name


def _without_common_folder(entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The entries with the one folder that holds them all taken off their names."""
    tops = {name.partition("/")[0] for name in entries}
    if len(tops) != 1 or not all("/" in name for name in entries):
        return dict(entries)
    return {name.partition("/")[2]: entry for name, entry in entries.items()}


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """What reading can find: a damaged archive, or a file that changed while it was looked at."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise _damaged(name) from None
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place in the archive that cannot be
            raise _damaged(name) from None
        raise ReleaseError(f"file={name!r} cannot be read ({error.strerror}); give yourself the right to read it") from None


def _damaged(name: str) -> RefusedRelease:
    return RefusedRelease("damaged archive", f"file={name!r} cannot be unpacked; ask for the archive again")
