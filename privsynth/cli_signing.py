"""The commands around signatures: keygen, sign, verify."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privsynth.terminal import console, one_line

if TYPE_CHECKING:
    from privsynth.verifying import Verification

REFUSED = 1


def keygen(
    path: Annotated[Path, typer.Argument(help="The private key to write; the public key gets the ending .pub.")],
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the passphrase; asked for by default.")] = None,
    no_passphrase: Annotated[bool, typer.Option("--no-passphrase", help="Leave the private key unencrypted.")] = False,
) -> int:
    """Make a pair of keys for signing releases.

    Example: privsynth keygen build.key
    """
    from privsynth import signing
    from privsynth.errors import SigningError

    if no_passphrase and passphrase_file is not None:
        raise SigningError("--no-passphrase and --passphrase-file contradict each other; expected one of them")
    signing.require_new(path)  # before a passphrase is asked for
    passphrase = None if no_passphrase else _passphrase(passphrase_file, confirm=True)
    public = signing.generate_key(path, passphrase=passphrase)
    console.print(f"Private key: {path} (yours alone: mode 0600, never handed over)", soft_wrap=True)
    console.print(f"Public key:  {public} (for whoever verifies)", soft_wrap=True)
    console.print(f"Key id:      {signing.key_id(signing.load_public_key(public))}", soft_wrap=True)
    return 0


def sign(
    release: Annotated[Path, typer.Argument(help="A release folder.")],
    key: Annotated[Path, typer.Option(help="Your private key.")],
    role: Annotated[str, typer.Option(help="build, for the software that made the release; reviewer, for a person who signs it off.")],
    build_key: Annotated[
        Path | None, typer.Option(help="For a reviewer: the builder's public key; that signature is checked first.")
    ] = None,
    condition: Annotated[list[str] | None, typer.Option(help="A condition of the signature; may be given several times.")] = None,
    expires: Annotated[str | None, typer.Option(help="Last day on which the signature holds, such as 2027-06-30.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the key's passphrase; asked for by default.")] = None,
) -> int:
    """Sign a release, as its builder or as its reviewer.

    Example: privsynth sign out/bank-clients --role reviewer --key me.key --build-key build.pub --condition "deleted by 2027-06-30"
    """
    from privsynth import signing
    from privsynth.attesting import sign_release
    from privsynth.errors import SigningError
    from privsynth.verifying import DOES_NOT_PROVE, review

    if role not in ("build", "reviewer"):
        raise SigningError(f"role={role!r} is unknown; expected build or reviewer")
    if (role == "reviewer") != (build_key is not None):
        raise SigningError("--build-key belongs to --role reviewer; expected the builder's public key there, and nowhere else")
    ends = None if expires is None else _day(expires)
    passphrase = _passphrase(passphrase_file) if passphrase_file is not None or signing.is_encrypted(key) else None
    private = signing.load_private_key(key, passphrase=passphrase)
    if build_key is None:
        envelope = sign_release(release, role="build", key=private, expires=ends, conditions=condition or ())
    else:
        envelope = review(release, key=private, build_key=signing.load_public_key(build_key), expires=ends, conditions=condition or ())
    console.print(f"Signed as {role}: {envelope}", soft_wrap=True)
    console.print(f"Key id: {signing.key_id(private.public_key())}", soft_wrap=True)
    _print_list("A signature does not prove:", DOES_NOT_PROVE)
    return 0


def verify(
    release: Annotated[Path, typer.Argument(help="A release folder, or its ZIP archive.")],
    key: Annotated[Path, typer.Option(help="The builder's public key (.pub), got over another channel.")],
    reviewer_key: Annotated[Path | None, typer.Option(help="A reviewer's public key: a review by it must be there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check offline that a release is what was signed; exit 1 with the reason if it is not.

    Example: privsynth verify bank-clients.zip --key build.pub --reviewer-key reviewer.pub
    """
    from privsynth import signing, verifying

    found = verifying.verify(
        release,
        key=signing.load_public_key(key),
        reviewer_key=None if reviewer_key is None else signing.load_public_key(reviewer_key),
    )
    if as_json:
        console.print(json.dumps(found.to_json(), indent=1), soft_wrap=True)
    else:
        _show(found)
    return 0 if found.accepted else REFUSED


def _show(found: Verification) -> None:
    if not found.accepted:
        console.print(f"Refused: {found.reason}. {one_line(found.message)}", soft_wrap=True)
        return
    from privsynth.verifying import DOES_NOT_PROVE

    console.print(f"Accepted: {found.message}.", soft_wrap=True)
    for signature in found.signatures:
        until = f"holds until {signature.expires}" if signature.expires else "without an end"
        console.print(f"Signed as {signature.role} by key {signature.key_id}, {one_line(signature.signed_at)}, {until}.", soft_wrap=True)
        for condition in signature.conditions:
            console.print(f"  Condition: {one_line(condition)}", soft_wrap=True)
    if found.review == "not checked":
        console.print("A review is there and was not checked: give --reviewer-key.", soft_wrap=True)
    console.print(_guarantee(found.facts or {}), soft_wrap=True)
    _print_list("This does not prove:", DOES_NOT_PROVE)


def _guarantee(facts: Any) -> str:
    """The signed guarantee in one line."""
    from privsynth.privacy.accounting import ceil_text

    if facts.get("insecure") or facts.get("epsilon") is None:
        return "Guarantee: none."
    return f"Guarantee: epsilon <= {ceil_text(facts['epsilon'])}, delta = {facts['delta']:g} ({one_line(str(facts['relation']))})."


def _print_list(title: str, lines: Any) -> None:
    console.print(title)
    for line in lines:
        console.print(f"  - {line}", soft_wrap=True)


def _passphrase(file: Path | None, *, confirm: bool = False) -> bytes:
    """The passphrase from a file, or from the person at the terminal."""
    from privsynth import signing
    from privsynth.errors import SigningError

    if file is not None:
        return signing.read_passphrase(file)
    if not sys.stdin.isatty():
        raise SigningError(
            "the key needs a passphrase and there is no terminal to ask at; give --passphrase-file (or, for keygen, --no-passphrase)"
        )
    typed: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    return typed.encode()


def _day(text: str) -> date:
    from privsynth.errors import SigningError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SigningError(f"expires={text!r} is no date; expected one such as 2027-06-30") from None
