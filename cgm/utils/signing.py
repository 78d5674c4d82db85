"""Ed25519 keys and signatures, by the package cryptography, which the extra `sign` installs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from cgm.utils.files import read_plain

INSTALL = 'install cryptography, by pip install ".[sign]" in a checkout of cgm'
PUBLIC, SIGNATURE = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{128}")  # in hexadecimal digits


def cryptography() -> tuple[Any, Any]:
    """Import the parts of cryptography that are used.

    Returns:
        Its modules `serialization` and `ed25519`.

    Raises:
        ImportError: If it is not installed.
    """

    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ImportError(f"signatures need the extra sign: {INSTALL}") from error
    return serialization, ed25519


def new_key(path: str | Path) -> str:
    """Write a new private key, PEM without a password, that its owner alone can read.

    Arguments:
        path: The file, which must not exist.

    Returns:
        Its public key, in hexadecimal digits.

    Raises:
        ImportError: If cryptography is not installed.
        OSError: If the file exists, or cannot be written.
    """

    serialization, ed25519 = cryptography()
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # never open to others
        file.write(text)
    return public_key(private)


def read_key(path: str | Path) -> Any:
    """Read a private key, Ed25519 in PEM without a password.

    Raises:
        ImportError: If cryptography is not installed.
        ValueError: If it is no such key.
        OSError: If the file cannot be read.
    """

    serialization, ed25519 = cryptography()
    content = read_plain(path, links=True)
    try:
        private = serialization.load_pem_private_key(content, password=None)
    except Exception as error:  # cryptography has errors of its own
        raise ValueError(f"key={path}: expected an Ed25519 private key in PEM without a password ({error})") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise ValueError(f"key={path}: expected an Ed25519 private key, got {type(private).__name__}")
    return private


def public_key(private: Any) -> str:
    """Return the public key of a private one, in hexadecimal digits."""

    return str(private.public_key().public_bytes_raw().hex())


def is_signed(message: bytes, public: str, signature: str) -> bool:
    """Return whether a signature is that of a message by a key, both in hexadecimal digits.

    Raises:
        ImportError: If cryptography is not installed.
    """

    _, ed25519 = cryptography()
    if not PUBLIC.fullmatch(public) or not SIGNATURE.fullmatch(signature):
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except Exception:  # of a class of its own
        return False
    return True
