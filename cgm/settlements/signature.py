"""Detached Ed25519 signatures of certificates. Needs the extra `sign`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cgm.settlements.files import readable_json, sha256
from cgm.utils.files import write_whole

SIGNATURE = "certificate.sig"
INSTALL = 'install cryptography, by pip install ".[sign]" in a checkout of cgm'


def sign(folder: str | Path, key: str | Path) -> Path:
    """Sign the certificate in a folder, as `certificate.sig`.

    The signature covers the bytes of `certificate.json`, which has the digests of all other files.

    Arguments:
        folder: The folder with `certificate.json`.
        key: The file of the mediator's private key, Ed25519 in PEM without a password, such as that of
            `openssl genpkey -algorithm ed25519 -out key.pem`. Its public key is that of
            `openssl pkey -in key.pem -pubout -out public.pem`.

    Returns:
        The path of the signature.

    Raises:
        ImportError: If cryptography is not installed.
        ValueError: If the key is not as described.
        OSError: If a file cannot be read or written.
    """

    serialization, ed25519 = _library()
    try:
        private = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"key={key}: expected an Ed25519 private key in PEM without a password ({error})") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise ValueError(f"key={key}: expected an Ed25519 private key, got {type(private).__name__}")

    path = Path(folder) / SIGNATURE
    content = {
        "public_key": private.public_key().public_bytes_raw().hex(),
        "signature": private.sign((Path(folder) / "certificate.json").read_bytes()).hex(),
    }
    write_whole(path, readable_json(content))

    return path


def check_signature(folder: Path, certificate: bytes, key: Path | None, add: Callable[[str, str], Any]) -> None:
    """Check the signature of a certificate, if there is one.

    Arguments:
        folder: The folder of the certificate.
        certificate: The bytes of the certificate.
        key: The file of the public key in PEM. If `None`, the signature is compared with the key that it names itself.
        add: Adds a finding: its state, `ok`, `FAILED` or `open`, and its text.
    """

    path = folder / SIGNATURE
    if not path.is_file():
        if key is not None:
            add("FAILED", f"{SIGNATURE} is missing, although a key was given")
        else:
            add("open", "the certificate is not signed")
        return
    try:
        serialization, ed25519 = _library()
    except ImportError:
        add("open" if key is None else "FAILED", f"{SIGNATURE} could not be verified: {INSTALL}")
        return

    try:
        text = path.read_bytes()
        content = json.loads(text)
        named, signature = bytes.fromhex(content["public_key"]), bytes.fromhex(content["signature"])
        if readable_json({"public_key": named.hex(), "signature": signature.hex()}) != text:
            raise ValueError("its layout was changed")
        ed25519.Ed25519PublicKey.from_public_bytes(named).verify(signature, certificate)
    except Exception as error:  # cryptography has errors of its own, without a text
        add("FAILED", f"{SIGNATURE} is not a signature of this certificate{f' ({error})' if str(error) else ''}")
        return
    if key is None:
        add("open", f"signed with the key {sha256(named)[:16]}, but no public key was given to compare with (--key)")
        return

    try:
        public = serialization.load_pem_public_key(key.read_bytes())
        given = public.public_bytes_raw() if isinstance(public, ed25519.Ed25519PublicKey) else b""
    except (OSError, ValueError) as error:
        add("FAILED", f"key={key}: expected an Ed25519 public key in PEM ({error})")
        return
    if given == named:
        add("ok", f"the certificate, and with it every file that it lists, is signed by {key}")
    else:
        add("FAILED", f"{SIGNATURE} was made with another key than {key}")


def _library() -> tuple[Any, Any]:
    """Import the parts of cryptography that are used."""

    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ImportError(f"signatures need the extra sign: {INSTALL}") from error
    return serialization, ed25519
