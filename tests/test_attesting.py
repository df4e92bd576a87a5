"""What is signed: every file but the envelopes, the public facts of the manifest, and nothing of a folder that was changed."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, date, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from release_fakes import FACTS, FILES, edit_json, written

from privsynth.attesting import sign_release
from privsynth.errors import ReleaseError, SigningError

KEY = Ed25519PrivateKey.generate()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def statement_of(path):
    return json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))


def test_the_statement_is_in_toto_over_every_file_but_the_envelopes(tmp_path):
    folder = written(tmp_path / "release")
    statement = statement_of(sign_release(folder, role="build", key=KEY, now=NOW))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    subject = {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]}
    assert set(subject) == {*FILES, "manifest.json"}
    for name, digest in subject.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_predicate_repeats_public_facts_and_adds_who_signs_until_when(tmp_path):
    folder = written(tmp_path / "release", expires="2027-06-30")
    path = sign_release(folder, role="build", key=KEY, conditions=["deleted within a year"], now=NOW)
    predicate = statement_of(path)["predicate"]
    assert {name: predicate[name] for name in ("tool", "event_id", "ledger_head", "policy", "epsilon", "delta")} == {
        name: FACTS[name] for name in ("tool", "event_id", "ledger_head", "policy", "epsilon", "delta")
    }
    assert predicate["role"] == "build"
    assert predicate["signed_at"] == "2026-11-20T12:00:00+00:00"
    assert predicate["expires"] == "2027-06-30"
    assert predicate["conditions"] == ["deleted within a year"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expires": date(2026, 11, 19)}, "has passed"),
        ({"expires": date(2027, 7, 1)}, "later than the release's own end"),
        ({"conditions": [""]}, "a condition is empty"),
        ({"conditions": ["a\nb"]}, "broken over lines"),
        ({"conditions": ["a" * 501]}, "too long"),
        ({"conditions": ["a"] * 21}, "at most 20"),
        ({"build_statement": "ab" * 32}, "only there"),
    ],
)
def test_impossible_statements_are_refused(changes, words, tmp_path):
    folder = written(tmp_path / "release", expires="2027-06-30")
    with pytest.raises(SigningError, match=words):
        sign_release(folder, role="build", key=KEY, now=NOW, **changes)
    assert not (folder / "manifest.dsse.json").exists()


def test_an_end_that_passed_while_the_run_lasted_does_not_stop_it(tmp_path):
    folder = written(tmp_path / "release", expires="2026-11-19")
    assert statement_of(sign_release(folder, role="build", key=KEY, now=NOW))["predicate"]["expires"] == "2026-11-19"


def change(folder):
    (folder / "report.html").write_text("other")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (change, "was changed since"),
        (lambda folder: (folder / "extra.txt").write_text("x"), "was changed since"),
        (lambda folder: (folder / "report.html").unlink(), "was changed since"),
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "manifest.json").write_text('{"manifest_version": 7}'), "manifest_version=7"),
        (lambda folder: (folder / "manifest.json").write_text('{"manifest_version": 1, "files": 3}'), "no list of files"),
        (lambda folder: edit_json(folder / "manifest.json", lambda value: value.update(expires="soon")), "expected a date"),
    ],
)
def test_a_folder_that_is_not_as_its_manifest_says_is_not_signed(tamper, words, tmp_path):
    folder = written(tmp_path / "release")
    tamper(folder)
    with pytest.raises(ReleaseError, match=words):
        sign_release(folder, role="build", key=KEY)
    assert not (folder / "manifest.dsse.json").exists()


def test_a_signature_is_never_overwritten(tmp_path):
    folder = written(tmp_path / "release")
    first = sign_release(folder, role="build", key=KEY).read_bytes()
    with pytest.raises(ReleaseError, match="signed already"):
        sign_release(folder, role="build", key=Ed25519PrivateKey.generate())
    assert (folder / "manifest.dsse.json").read_bytes() == first


def test_an_archive_is_not_signed(tmp_path):
    (tmp_path / "release.zip").write_bytes(b"PK")
    with pytest.raises(ReleaseError, match="is no folder"):
        sign_release(tmp_path / "release.zip", role="build", key=KEY)
