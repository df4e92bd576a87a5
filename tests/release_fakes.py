"""A small release folder with a manifest as privsynth writes it, and keys to sign it with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privsynth.attesting import sign_release
from privsynth.release import manifest, write_json
from privsynth.verifying import review

FACTS = {
    "tool": {"name": "privsynth", "version": "0.1.0"},
    "event_id": "0123456789abcdef",
    "ledger_head": "ab" * 32,
    "policy": {"version": "p", "sha256": "cd" * 32},
    "synthetic": True,
    "insecure": False,
    "epsilon": 2.5,
    "delta": 1e-6,
    "relation": "add or remove one person",
    "events": [],
}

FILES = {"data/clients.csv": "a,b\n1,2\n", "report.json": "{}\n", "report.html": "<p>report</p>\n", "croissant.json": "{}\n"}


@dataclass(frozen=True)
class Signed:
    """A release folder that was built and reviewed, with both private keys."""

    folder: Path
    build: Ed25519PrivateKey
    reviewer: Ed25519PrivateKey


def written(folder: Path, *, expires: str | None = None, **facts: object) -> Path:
    """An unsigned release folder."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    content = manifest(folder, release={**FACTS, "expires": expires, **facts}, internal={"report.json": b"secret"}, key=b"k" * 32)
    write_json(folder / "manifest.json", content)
    return folder


def signed(folder: Path, *, expires: str | None = None, reviewed: bool = False, **facts: object) -> Signed:
    """A release folder signed with new keys."""
    made = Signed(written(folder, expires=expires, **facts), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())
    sign_release(made.folder, role="build", key=made.build)
    if reviewed:
        review(made.folder, key=made.reviewer, build_key=made.build.public_key(), conditions=["deleted within a year"])
    return made


def edit_json(path: Path, change) -> None:
    """Apply ``change`` to the JSON value of a file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")
