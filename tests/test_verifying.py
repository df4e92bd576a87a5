"""Every kind of tampering is refused for its own reason; the untouched release is accepted with the public key alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import zipfile
from datetime import UTC, date, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from release_fakes import FILES, edit_json, signed, written

from privsynth import attesting
from privsynth.attesting import PAYLOAD_TYPE, sign_release
from privsynth.contents import ENVELOPES, open_contents
from privsynth.errors import ReleaseError, SigningError
from privsynth.report.conclusions import conclusions_in
from privsynth.signing import key_id, seal
from privsynth.verifying import DOES_NOT_PROVE, review, verify

BUILD, REVIEW = "manifest.dsse.json", "review.dsse.json"
OTHER = Ed25519PrivateKey.generate()


@pytest.fixture
def made(tmp_path):
    return signed(tmp_path / "release", reviewed=True)


def refused(made, *, reviewer=False, **changes) -> str | None:
    found = verify(
        changes.pop("path", made.folder),
        key=changes.pop("key", made.build.public_key()),
        reviewer_key=made.reviewer.public_key() if reviewer else None,
        **changes,
    )
    assert found.accepted == (found.reason is None)
    return found.reason


def append(path, text="x"):
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def payload_of(envelope):
    return json.loads(base64.b64decode(envelope["payload"]))


def reseal(folder, key, change, *, name=BUILD, payload_type=PAYLOAD_TYPE):
    """Sign a changed statement anew: what only the holder of a key can do."""
    statement = payload_of(json.loads((folder / name).read_text()))
    payload = change(statement)
    payload = json.dumps(statement).encode() if payload is None else payload
    (folder / name).write_text(json.dumps(seal(payload, payload_type, key=key).to_json()))


def change_statement(envelope):
    statement = payload_of(envelope)
    statement["predicate"]["epsilon"] = 0.1
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


def flip_signature(envelope):
    value = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    value[0] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(value).decode()


def forge_key_id(made):
    """Another's signature that claims to be by the builder's key."""
    reseal(made.folder, OTHER, lambda statement: None)
    edit_json(made.folder / BUILD, lambda envelope: envelope["signatures"][0].update(keyid=key_id(made.build.public_key())))


def swap_files(made):
    one, other = made.folder / "report.html", made.folder / "report.json"
    text = one.read_text()
    one.write_text(other.read_text())
    other.write_text(text)


def rename(made):
    (made.folder / "report.html").rename(made.folder / "index.html")


def link(made):
    path = made.folder / "report.html"
    path.rename(made.folder.parent / "elsewhere.html")
    path.symlink_to(made.folder.parent / "elsewhere.html")


def link_folder(made):
    (made.folder / "data").rename(made.folder.parent / "elsewhere")
    (made.folder / "data").symlink_to(made.folder.parent / "elsewhere")


def update_manifest_too(made):
    """A forger who keeps the manifest consistent with the changed file."""
    import hashlib

    path = made.folder / "data" / "clients.csv"
    append(path, "3,4\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_json(made.folder / "manifest.json", lambda value: value["files"][1].update(sha256=digest))


TAMPERING = {
    "a changed cell": (lambda made: (made.folder / "data" / "clients.csv").write_text("a,b\n1,3\n"), "changed file"),
    "two files swapped": (swap_files, "changed file"),
    "a missing file": (lambda made: (made.folder / "report.html").unlink(), "missing file"),
    "a whole folder missing": (lambda made: shutil.rmtree(made.folder / "data"), "missing file"),
    "an added file": (lambda made: (made.folder / "data" / "more.csv").write_text("a\n"), "added file"),
    "a hidden file": (lambda made: (made.folder / ".note").write_text("a\n"), "added file"),
    "a renamed file": (rename, "renamed file"),
    "an altered manifest": (lambda made: append(made.folder / "manifest.json", "\n"), "altered manifest"),
    "a manifest altered with the file": (update_manifest_too, "altered manifest"),
    "a truncated manifest": (lambda made: (made.folder / "manifest.json").write_text('{"files": ['), "altered manifest"),
    "no manifest": (lambda made: (made.folder / "manifest.json").unlink(), "missing file"),
    "no envelope": (lambda made: (made.folder / BUILD).unlink(), "unsigned"),
    "a truncated envelope": (lambda made: (made.folder / BUILD).write_text((made.folder / BUILD).read_text()[:80]), "malformed envelope"),
    "an envelope of bytes": (lambda made: (made.folder / BUILD).write_bytes(b"\xff\xfe\x00"), "malformed envelope"),
    "an envelope of a list": (lambda made: (made.folder / BUILD).write_text("[]"), "malformed envelope"),
    "an envelope nested too deeply": (lambda made: (made.folder / BUILD).write_text("[" * 100_000), "malformed envelope"),
    "an envelope with a repeated key": (
        lambda made: (made.folder / BUILD).write_text((made.folder / BUILD).read_text().replace("{", '{"payload": "", ', 1)),
        "malformed envelope",
    ),
    "no signature": (lambda made: edit_json(made.folder / BUILD, lambda value: value.update(signatures=[])), "malformed envelope"),
    "a signature that is no base64": (
        lambda made: edit_json(made.folder / BUILD, lambda value: value["signatures"][0].update(sig="%%")),
        "malformed envelope",
    ),
    "a statement altered in its envelope": (lambda made: edit_json(made.folder / BUILD, change_statement), "altered envelope"),
    "an altered signature": (lambda made: edit_json(made.folder / BUILD, flip_signature), "altered envelope"),
    "another's signature under the builder's name": (forge_key_id, "altered envelope"),
    "another payload type": (
        lambda made: edit_json(made.folder / BUILD, lambda value: value.update(payloadType="application/json")),
        "wrong payload type",
    ),
    "signed by another key": (lambda made: reseal(made.folder, OTHER, lambda statement: None), "other key"),
    "a newer predicate": (
        lambda made: reseal(made.folder, made.build, lambda value: value["predicate"].update(schema_version=2)),
        "newer version",
    ),
    "another predicate": (
        lambda made: reseal(made.folder, made.build, lambda value: value.update(predicateType="https://slsa.dev/provenance/v1")),
        "newer version",
    ),
    "a truncated statement": (lambda made: reseal(made.folder, made.build, lambda value: b'{"_type": '), "malformed statement"),
    "a statement without a subject": (
        lambda made: reseal(made.folder, made.build, lambda value: value.pop("subject") and None),
        "malformed statement",
    ),
    "a statement that names a file twice": (
        lambda made: reseal(made.folder, made.build, lambda value: value["subject"].append(value["subject"][0])),
        "malformed statement",
    ),
    "a review in the builder's place": (lambda made: shutil.copy(made.folder / REVIEW, made.folder / BUILD), "other key"),
    "a statement that contradicts the manifest": (
        lambda made: reseal(made.folder, made.build, lambda value: value["predicate"].update(epsilon=0.1)),
        "contradiction",
    ),
    "a link in place of a file": (link, "link"),
    "a link in place of a folder": (link_folder, "link"),
    "a pipe": (lambda made: os.mkfifo(made.folder / "pipe"), "link"),
    "folders without end": (lambda made: (made.folder / "/".join("d" * 20)).mkdir(parents=True), "too large"),
    "a foreign file called as the review": (lambda made: (made.folder / REVIEW).write_text("hello"), "malformed envelope"),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_refused_for_its_own_reason(name, made):
    tamper, reason = TAMPERING[name]
    assert refused(made) is None
    tamper(made)
    assert refused(made) == reason


def test_there_are_tamperings_of_many_kinds():
    assert len(TAMPERING) >= 12
    assert len({reason for _, reason in TAMPERING.values()}) >= 12


def drop_review(made):
    (made.folder / REVIEW).unlink()


def review_of_another_release(made):
    other = signed(made.folder.parent / "other", reviewed=True)
    shutil.copy(other.folder / REVIEW, made.folder / REVIEW)


def own_review_of_another_release(made):
    """By the right reviewer, over another release."""
    other = signed(made.folder.parent / "other", event_id="fedcba9876543210")
    review(other.folder, key=made.reviewer, build_key=other.build.public_key())
    shutil.copy(other.folder / REVIEW, made.folder / REVIEW)


def built_anew(made):
    """The same files, signed a second time by the builder: the review was of the first statement."""
    (made.folder / BUILD).unlink()
    sign_release(made.folder, role="build", key=made.build, now=datetime(2031, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (drop_review, "not reviewed"),
        (review_of_another_release, "other key"),
        (own_review_of_another_release, "other statement"),
        (built_anew, "other statement"),
        (lambda made: shutil.copy(made.folder / BUILD, made.folder / REVIEW), "other key"),
        (
            lambda made: reseal(made.folder, made.reviewer, lambda value: value["predicate"].update(role="build"), name=REVIEW),
            "other statement",
        ),
        (lambda made: edit_json(made.folder / REVIEW, change_statement), "altered envelope"),
        (lambda made: (made.folder / REVIEW).write_text("{"), "malformed envelope"),
    ],
)
def test_a_review_has_to_be_over_this_build(tamper, reason, made):
    assert refused(made, reviewer=True) is None
    tamper(made)
    assert refused(made, reviewer=True) == reason


def test_without_the_reviewers_key_a_review_is_named_as_not_checked(made):
    assert verify(made.folder, key=made.build.public_key()).review == "not checked"
    assert verify(made.folder, key=made.build.public_key(), reviewer_key=made.reviewer.public_key()).review == "checked"
    (made.folder / REVIEW).unlink()
    assert verify(made.folder, key=made.build.public_key()).review == "none"


def test_an_accepted_release_says_who_signed_what(made):
    found = verify(made.folder, key=made.build.public_key(), reviewer_key=made.reviewer.public_key())
    assert found.n_files == len(FILES) + 1
    assert [(signature.role, signature.conditions) for signature in found.signatures] == [
        ("build", ()),
        ("reviewer", ("deleted within a year",)),
    ]
    assert found.facts["epsilon"] == 2.5
    assert found.facts["policy"]["sha256"] == "cd" * 32
    assert json.loads(json.dumps(found.to_json()))["does_not_prove"] == list(DOES_NOT_PROVE)


def test_a_signature_holds_on_its_last_day_and_not_after(tmp_path):
    made = signed(tmp_path / "release", expires="2030-06-30")
    assert refused(made, today=date(2030, 6, 30)) is None
    assert refused(made, today=date(2030, 7, 1)) == "expired"


def test_an_expired_review_is_refused_while_the_build_still_holds(tmp_path):
    made = signed(tmp_path / "release", expires="2040-06-30")
    review(made.folder, key=made.reviewer, build_key=made.build.public_key(), expires=date(2035, 1, 1))
    assert refused(made, reviewer=True, today=date(2035, 1, 1)) is None
    assert refused(made, reviewer=True, today=date(2035, 1, 2)) == "expired"
    assert refused(made, today=date(2035, 1, 2)) is None


def test_a_changed_file_outranks_an_expired_signature(tmp_path):
    made = signed(tmp_path / "release", expires="2030-06-30")
    append(made.folder / "report.html")
    assert refused(made, today=date(2031, 1, 1)) == "changed file"


def test_nothing_there_is_an_error_and_no_refusal(tmp_path):
    with pytest.raises(ReleaseError, match="is not there"):
        verify(tmp_path / "none", key=OTHER.public_key())


def test_a_release_of_a_newer_manifest_is_refused(tmp_path, monkeypatch):
    folder = written(tmp_path / "release")
    edit_json(folder / "manifest.json", lambda value: value.update(manifest_version=2))
    with monkeypatch.context() as patch:
        patch.setattr(attesting, "MANIFEST_VERSION", 2)
        sign_release(folder, role="build", key=OTHER)
    assert verify(folder, key=OTHER.public_key()).reason == "newer version"


@pytest.mark.parametrize("inside", [False, True])
def test_an_archive_is_accepted_flat_or_in_one_folder(inside, made, tmp_path):
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(made.folder.rglob("*")):
            archive.write(file, file.relative_to(made.folder.parent if inside else made.folder))
    assert refused(made, path=path, reviewer=True) is None


def test_an_archive_with_a_changed_file_is_refused(made, tmp_path):
    path = tmp_path / "release.zip"
    append(made.folder / "report.html")
    with zipfile.ZipFile(path, "w") as archive:
        for file in made.folder.rglob("*"):
            archive.write(file, file.relative_to(made.folder))
    assert refused(made, path=path) == "changed file"


@given(data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_changed_byte_anywhere_is_refused_or_changes_nothing(archived, data):
    """Over the whole archive: no other exception, and what is accepted holds the very files that were signed."""
    made, packed, path = archived
    place = data.draw(st.integers(0, len(packed) - 1))
    changed = bytearray(packed)
    changed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    if refused(made, path=path) is None:
        with open_contents(path) as one, open_contents(made.folder) as other:
            assert {name: one.sha256(name) for name in one.sizes if name not in ENVELOPES.values()} == {
                name: other.sha256(name) for name in other.sizes if name not in ENVELOPES.values()
            }


@given(data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_changed_byte_of_a_file_is_refused(archived, data):
    """What is no envelope is covered byte by byte; in an envelope only blanks and the hint of the key may change."""
    made, _, _ = archived
    path = data.draw(st.sampled_from(sorted(file for file in made.folder.rglob("*") if file.is_file())))
    before = path.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    changed = bytearray(before)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(changed)
        found = refused(made, reviewer=True)
        if found is None:
            assert path.name in ENVELOPES.values()
            one, other = (json.loads(value) for value in (before, bytes(changed)))
            assert one["payload"] == other["payload"]
            assert one["signatures"][0]["sig"] == other["signatures"][0]["sig"]
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    made = signed(tmp_path_factory.mktemp("archived") / "release", reviewed=True)
    path = made.folder.parent / "release.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(made.folder.rglob("*")):
            archive.write(file, file.relative_to(made.folder))
    return made, path.read_bytes(), path


def test_reviewer_and_builder_need_two_keys(tmp_path):
    made = signed(tmp_path / "release")
    with pytest.raises(SigningError, match="same key"):
        review(made.folder, key=made.build, build_key=made.build.public_key())


def test_nobody_signs_off_a_changed_release(tmp_path):
    made = signed(tmp_path / "release")
    append(made.folder / "report.html")
    with pytest.raises(ReleaseError, match=r"refused \(changed file"):
        review(made.folder, key=made.reviewer, build_key=made.build.public_key())
    assert not (made.folder / ENVELOPES["reviewer"]).exists()


def test_what_a_signature_does_not_prove_concludes_nothing():
    assert conclusions_in(" ".join(DOES_NOT_PROVE)) == []
