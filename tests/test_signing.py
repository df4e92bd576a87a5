"""Keys that only their owner can use, and envelopes after DSSE."""

from __future__ import annotations

import base64
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from release_fakes import signed, written

from privsynth import signing
from privsynth.errors import SigningError
from privsynth.signing import Envelope, pre_authentication_encoding, seal

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
KEY = Ed25519PrivateKey.from_private_bytes(SEED)
"""The first test vector of RFC 8032, section 7.1."""


def test_signatures_are_those_of_rfc_8032():
    """Known answer: the signature over the empty message."""
    expected = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert KEY.sign(b"").hex() == expected


def test_an_envelope_signs_type_and_payload_together():
    """Naive oracle: the encoding written out by hand."""
    envelope = seal("héllo".encode(), "text/é", key=KEY)
    message = b"DSSEv1 7 text/\xc3\xa9 6 h\xc3\xa9llo"
    assert pre_authentication_encoding("text/é", "héllo".encode()) == message
    KEY.public_key().verify(envelope.signatures[0].value, message)
    assert envelope.is_signed_by(KEY.public_key())


@given(st.binary(max_size=50), st.text(max_size=20), st.binary(max_size=50), st.text(max_size=20))
def test_two_contents_never_have_one_encoding(payload, kind, other_payload, other_kind):
    same = (payload, kind) == (other_payload, other_kind)
    assert (pre_authentication_encoding(kind, payload) == pre_authentication_encoding(other_kind, other_payload)) == same


@given(st.binary(max_size=200), st.text(max_size=20))
def test_an_envelope_survives_its_json(payload, kind):
    envelope = seal(payload, kind, key=KEY)
    assert Envelope.from_json(envelope.to_json()) == envelope


@pytest.mark.parametrize("change", [{"payload_type": "b"}, {"payload": b"other"}])
def test_a_changed_envelope_is_not_signed(change):
    from dataclasses import replace

    assert not replace(seal(b"payload", "a", key=KEY), **change).is_signed_by(KEY.public_key())


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"payload": "", "payloadType": "a", "signatures": "x"},
        {"payload": "", "payloadType": "a", "signatures": []},
        {"payload": "", "payloadType": "a", "signatures": [1]},
        {"payload": "", "payloadType": 1, "signatures": [{"sig": ""}]},
        {"payload": "a=b", "payloadType": "a", "signatures": [{"sig": ""}]},
        {"payload": "YQ==\n", "payloadType": "a", "signatures": [{"sig": ""}]},
        {"payload": 1, "payloadType": "a", "signatures": [{"sig": ""}]},
        {"payload": "", "payloadType": "a", "signatures": [{"sig": ""}] * 17},
    ],
)
def test_what_is_no_envelope_is_refused(value):
    with pytest.raises(SigningError, match="the envelope"):
        Envelope.from_json(value)


@pytest.mark.parametrize("passphrase", [None, "pässword".encode()])
def test_a_key_pair_signs_and_verifies(passphrase, tmp_path):
    public = signing.generate_key(tmp_path / "build.key", passphrase=passphrase)
    assert public == tmp_path / "build.pub"
    assert stat.S_IMODE((tmp_path / "build.key").stat().st_mode) == 0o600
    assert signing.is_encrypted(tmp_path / "build.key") == (passphrase is not None)
    private = signing.load_private_key(tmp_path / "build.key", passphrase=passphrase)
    assert signing.key_id(private.public_key()) == signing.key_id(signing.load_public_key(public))


def test_an_encrypted_key_file_does_not_hold_the_key_in_the_clear(tmp_path):
    signing.generate_key(tmp_path / "k.key", passphrase=b"secret")
    signing.generate_key(tmp_path / "clear.key", passphrase=None)

    def raw(name, passphrase=None):
        key = signing.load_private_key(tmp_path / name, passphrase=passphrase)
        return key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())

    def body(name):
        return base64.b64decode("".join((tmp_path / name).read_text().splitlines()[1:-1]))

    assert raw("clear.key") in body("clear.key")  # positive control: the search finds it
    assert raw("k.key", b"secret") not in body("k.key")


@pytest.mark.parametrize("taken", ["build.key", "build.pub"])
def test_a_key_is_never_overwritten(taken, tmp_path):
    (tmp_path / taken).write_text("mine")
    with pytest.raises(SigningError, match="never overwritten"):
        signing.generate_key(tmp_path / "build.key", passphrase=None)
    assert (tmp_path / taken).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "build.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SigningError, match="never overwritten"):
        signing.generate_key(tmp_path / "build.key", passphrase=None)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("place", ["build.key", "data/build.key"])
def test_a_key_does_not_lie_in_a_release(place, tmp_path):
    folder = written(tmp_path / "release")
    with pytest.raises(SigningError, match="which is handed over"):
        signing.generate_key(folder / place, passphrase=None)
    signing.generate_key(tmp_path / "build.key", passphrase=None)
    (tmp_path / "build.key").rename(folder / place)
    with pytest.raises(SigningError, match="which is handed over"):
        signing.load_private_key(folder / place)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_may_read_is_refused(mode, tmp_path):
    signing.generate_key(tmp_path / "build.key", passphrase=None)
    (tmp_path / "build.key").chmod(mode)
    with pytest.raises(SigningError, match=f"has mode {mode:04o}"):
        signing.load_private_key(tmp_path / "build.key")


@pytest.mark.parametrize(
    ("made_with", "given_one", "words"),
    [(b"right", b"wrong", "passphrase is wrong"), (b"right", None, "is encrypted"), (None, b"any", "is not encrypted")],
)
def test_a_wrong_passphrase_is_one_line(made_with, given_one, words, tmp_path):
    signing.generate_key(tmp_path / "build.key", passphrase=made_with)
    with pytest.raises(SigningError, match=words):
        signing.load_private_key(tmp_path / "build.key", passphrase=given_one)


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


ELLIPTIC = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no PEM private key"),
        (b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n", "no PEM private key"),
        (pem(ELLIPTIC), "no ed25519 key"),
        (b"x" * 100_000, "holds no key"),
    ],
)
def test_what_is_no_private_key_is_refused(data, words, tmp_path):
    path = tmp_path / "some.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(SigningError, match=words):
        signing.load_private_key(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "no public key"), (pem(KEY), "is a private key"), (public_pem(ELLIPTIC), "no ed25519 key"), (b"\x00\xff" * 9, "no public key")],
)
def test_what_is_no_public_key_is_refused(data, words, tmp_path):
    (tmp_path / "some.pub").write_bytes(data)
    with pytest.raises(SigningError, match=words):
        signing.load_public_key(tmp_path / "some.pub")


def test_a_large_rsa_key_is_refused_as_a_public_key(tmp_path):
    (tmp_path / "some.pub").write_bytes(public_pem(rsa.generate_private_key(65537, 1024)))
    with pytest.raises(SigningError, match="no ed25519 key"):
        signing.load_public_key(tmp_path / "some.pub")


@pytest.mark.parametrize("name", ["none.key", "."])
def test_a_key_that_is_not_there_is_one_line(name, tmp_path):
    with pytest.raises(SigningError, match=r"cannot be read|holds no key"):
        signing.load_private_key(tmp_path / name)


def test_an_empty_passphrase_is_refused(tmp_path):
    with pytest.raises(SigningError, match="passphrase is empty"):
        signing.generate_key(tmp_path / "build.key", passphrase=b"")


def test_a_passphrase_is_the_first_line_of_a_file_of_ones_own(tmp_path):
    path = tmp_path / "passphrase"
    path.write_bytes(b"two words\r\nsecond line\n")
    path.chmod(0o600)
    assert signing.read_passphrase(path) == b"two words"
    path.chmod(0o644)
    with pytest.raises(SigningError, match="has mode 0644"):
        signing.read_passphrase(path)
    path.chmod(0o600)
    path.write_bytes(b"\nx")
    with pytest.raises(SigningError, match="empty first line"):
        signing.read_passphrase(path)


def test_nothing_of_a_private_key_is_in_a_signed_release(tmp_path):
    made = signed(tmp_path / "release", reviewed=True)
    secrets = []
    for key in (made.build, made.reviewer):
        raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        secrets += [raw, raw.hex().encode(), base64.b64encode(raw), base64.b64encode(raw)[:-3], pem(key).splitlines()[1]]
    for path in made.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"PRIVATE" not in data
            assert [secret for secret in secrets if secret in data] == []
