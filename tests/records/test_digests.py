"""Tests of canonical JSON and digests."""

import hashlib
import json

import pytest

from cgm.settlements.files import canonical_json, readable_json, seal, sha256


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    one, other = {"b": [1, {"d": None, "c": "β"}], "a": 0.1}, {"a": 0.1, "b": [1, {"c": "β", "d": None}]}
    assert canonical_json(one) == canonical_json(other) == '{"a":0.1,"b":[1,{"c":"β","d":null}]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_a_seal_is_the_digest_of_everything_else():
    sealed = seal({"b": 1, "a": "x"})
    assert sealed == {"b": 1, "a": "x", "sha256": hashlib.sha256(b'{"a":"x","b":1}').hexdigest()}
    assert seal(sealed) == sealed
    assert seal(sealed | {"b": 2})["sha256"] != sealed["sha256"]
    assert json.loads(readable_json(sealed)) == sealed
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
