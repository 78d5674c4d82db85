"""Canonical JSON and SHA-256 of the files that a settlement writes. Needs neither torch nor pandas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SEAL = "sha256"  # the key of a sealed mapping that has the digest of all others


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits."""

    return hashlib.sha256(data).hexdigest()


def canonical_json(content: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: If a number is NaN or infinite.

    Example:
        >>> canonical_json({"b": [1, 2.5], "a": "ρ"}).decode()
        '{"a":"ρ","b":[1,2.5]}'
    """

    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def readable_json(content: Any) -> bytes:
    """Return the JSON text of a value for people: indented, in the order of its keys, UTF-8.

    Raises:
        ValueError: If a number is NaN or infinite.
    """

    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add the digest of a mapping's own content, the SHA-256 of its canonical JSON, under the key `sha256`.

    Arguments:
        content: The mapping; its keys are strings.
    """

    unsealed = {key: value for key, value in content.items() if key != SEAL}
    return unsealed | {SEAL: sha256(canonical_json(unsealed))}
