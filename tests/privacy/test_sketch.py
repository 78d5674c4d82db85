"""Sketches: their noise, an attack with all knowledge, their files, and files of strangers."""

import contextlib
import dataclasses
import json
import math
import os
import struct
import sys

import numpy as np
import pytest
import torch
from scipy.stats import beta, chi2, norm

from cgm.privacy import sketch as module
from cgm.privacy.accounting import Guarantee
from cgm.privacy.features import rounded_sums, sensitivity
from cgm.privacy.ledger import Ledger
from cgm.privacy.sketch import STEP, Sketch, check_keys, check_sketches
from cgm.utils.signing import new_key, public_key, read_key
from tests.privacy.rows_of_people import people
from tests.privacy.test_features import worst_pair

RARE = 1e-7  # probability with which a test of what is right fails


def points(n, seed=0):
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_noise_of_sketches_has_the_stated_deviation_in_all_coordinates(plane):
    schema = plane(landmarks=24)
    x, m, draws = points(50), schema.embedding.released_width, 400
    exact = schema.embedding.release(x).sum(0)
    z = torch.stack([Sketch.of_points(schema, x, "north", 1.0).released for _ in range(draws)]).double() * STEP - exact
    c = Sketch.of_points(schema, x, "north", 1.0).noise
    assert c == pytest.approx(sensitivity(schema.embedding, STEP) / Guarantee.of(1.0, 1e-5).mu, rel=1e-6)
    z = (z / c).numpy()
    assert chi2.ppf(RARE, z.size) < (z**2).sum() < chi2.ppf(1 - RARE, z.size)
    assert abs(z.mean()) < norm.isf(RARE) / math.sqrt(z.size)
    correlations = z.T @ z / draws - np.eye(m)
    correlations[np.diag_indices(m)] /= math.sqrt(2)
    assert np.abs(correlations).max() < norm.isf(RARE / m**2) / math.sqrt(draws)
    assert abs((z[1:] * z[:-1]).mean()) < norm.isf(RARE) / math.sqrt(z.size)


def attack(schema, epsilon, count):
    """Return the scores of the best attack on sketches with a row, and with another one in its place.

    It knows all other rows, both candidates and the noise: the ratio of the likelihoods, of which no attack is better.
    """

    pair, _ = worst_pair(schema.embedding, STEP)
    others, direction = points(20), schema.embedding.release(pair[0:1]) - schema.embedding.release(pair[1:2])
    scores = []
    for row in pair:
        x = torch.cat([others, row[None]])
        exact = rounded_sums(schema.embedding, x, STEP)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "rounded_sums", lambda *_, sums=exact: sums)  # has no noise: computed once
            drawn = torch.stack([Sketch.of_points(schema, x, "north", epsilon).released for _ in range(count)])
        without = schema.embedding.release(torch.cat([others, pair[1:2]])).sum(0)
        scores.append(((drawn.double() * STEP - without) @ direction[0] / direction.norm()).numpy())
    return scores


def true_positives(inside, outside, rate):
    """Return the true positive rate at a false positive rate, with an interval that errs with the probability RARE."""

    at = np.quantile(outside, 1 - rate, method="higher")
    hits = int((inside > at).sum())
    low = beta.ppf(RARE, hits, len(inside) - hits + 1) if hits else 0.0
    return hits / len(inside), low


def test_the_likelihood_ratio_attack_stays_below_the_bound_and_breaks_it_without_enough_noise(plane, monkeypatch):
    schema, count = plane(landmarks=12), 400
    sigma = module._sigma
    for epsilon in (0.5, 1.0, 3.0):
        guarantee = Guarantee.of(epsilon, 1e-5)
        for scale in (1, 8):
            monkeypatch.setattr(module, "_sigma", lambda *given, k=scale: sigma(*given) // k)
            inside, outside = attack(schema, epsilon, count)
            auc = np.searchsorted(np.sort(outside), inside).mean() / count
            margin = norm.isf(RARE) * math.sqrt(1 / (6 * count))  # of an AUC near 1/2, at most
            broken = auc - margin > guarantee.auc
            for rate in (0.05, 0.2):
                # the threshold is drawn, too: the bound at a rate that is higher by what it may miss
                possible = beta.ppf(1 - RARE, rate * count + 1, count * (1 - rate))
                broken |= true_positives(inside, outside, rate)[1] > guarantee.true_positives(float(possible))
            assert broken == (scale == 8), (epsilon, scale)
            if scale == 1:  # the bound is attained: more noise than this would be a waste
                assert auc + margin > guarantee.auc


def test_files_are_small_and_are_read_as_they_were_written(plane, tmp_path):
    schema = plane(landmarks=1024)
    sketch = Sketch.of_points(schema, points(600), "Nørth", 1.0)
    path = sketch.write(tmp_path / "north.sketch")
    assert path.stat().st_size < 20_000
    read = Sketch.read(path, schema)
    assert torch.equal(read.released, sketch.released)
    assert (read.party, read.rows, read.epsilon, read.noise) == ("Nørth", 600, 1.0, sketch.noise)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:  # also for others
        assert file.keys() == ["sums"]
        assert torch.equal(file.get_tensor("sums"), sketch.released)
        assert json.loads(file.metadata()["sketch"])["schema"] == schema.digest
    with pytest.raises(ValueError, match="all parties need the same schema"):
        Sketch.read(path, plane(landmarks=1024, lengthscale=0.6))
    words = " ".join(sketch.in_words())
    for text in ("ε = 1 and δ = 1e-05", "one row replaced", "at most 2 %", "600 rows", "k times μ", "does not prove"):
        assert text in words
    assert "hardly be resolved" not in words
    assert "WARNING" not in words
    assert "protects hardly anything" in " ".join(Sketch.of_points(schema, points(600), "s", 20.0).in_words())
    assert "nothing can be learnt" in " ".join(Sketch.of_points(schema, points(600), "s", 1e-3).in_words())
    assert "hardly be resolved" in " ".join(Sketch.of_points(schema, points(100), "s", 1.0).in_words())
    assert "Nørth" in repr(sketch)
    assert "is large for 600 rows" in " ".join(
        Sketch.of_points(plane(landmarks=16, delta=0.01), points(600), "s", 1.0).in_words()
    )
    assert "is large" not in words


def test_files_of_strangers_are_checked(plane, tmp_path):
    schema = plane(landmarks=16)
    good = Sketch.of_points(schema, points(30), "north", 1.0).to_bytes()
    size = struct.unpack("<Q", good[:8])[0]
    values, data = json.loads(good[8 : 8 + size]), good[8 + size :]
    header = json.loads(values["__metadata__"]["sketch"])

    def file(header, data=data, **changes):
        described = {"dtype": "I64", "shape": [len(data) // 8], "data_offsets": [0, len(data)]}
        text = json.dumps({"__metadata__": {"sketch": json.dumps(header)}, "sums": described, **changes}).encode()
        return struct.pack("<Q", len(text)) + text + data

    assert Sketch.from_bytes(file(header), schema).rows == 30
    cases = [
        (b"", "no sketch, or a truncated one"),
        (good[:20], "truncated"),
        (good[:-8], "do not fit its header"),
        (good + b"12345678", "do not fit its header"),
        (struct.pack("<Q", 2**63) + good[8:], "truncated"),
        (struct.pack("<Q", 5) + b"[[[[[" + data, "no sketch"),
        (struct.pack("<Q", 9000) + b"[" * 9000 + data, "no sketch"),
        (file(header, other={}), "expected one tensor"),
        (file(header, sums={"dtype": "F64", "shape": [16], "data_offsets": [0, 128]}), "do not fit"),
        (file(header, sums={"dtype": "I64", "shape": [2**40], "data_offsets": [0, 128]}), "do not fit"),
        (file(header, data[:64]), "8 numbers, but the schema's features have 16"),
        (file({**header, "rows": 10**30}), "rows="),
        (file({**header, "rows": 1}), "rows=1"),
        (file({**header, "rows": True}), "rows=True"),
        (file({**header, "epsilon": 0}), "epsilon=0"),
        (file({**header, "epsilon": "1"}), "epsilon=1"),
        (file({**header, "epsilon": 1e9}), "epsilon="),
        (file({**header, "epsilon": math.nan}), "NaN is no number"),
        (file({**header, "party": ""}), "party"),
        (file({**header, "party": "x" * 300}), "party"),
        (file({**header, "party": ["x"]}), "party"),
        (file({**header, "schema": 5}), "expected a digest"),
        (file({**header, "schema": "0" * 64}), "all parties need the same schema"),
        (file({**header, "format": "cgm sketch 2"}), "format cgm sketch 1"),
        (file({**header, "seed": 1}), "its header needs"),
        (file(header, struct.pack("<q", 2**62) + data[8:]), "it was not made from rows"),
        (good[:8] + good[8 : 8 + size].replace(b'"rows', b'"epsi') + data, "no sketch"),
    ]
    for content, message in cases:
        path = tmp_path / "north.sketch"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"north.sketch: .*{message}"):
            Sketch.read(path, schema)
    random = np.random.default_rng(0)
    for _ in range(300):  # every flipped bit is another sketch or an error of the same kind
        flipped = bytearray(good)
        flipped[random.integers(8 + size)] ^= 1 << random.integers(8)
        with contextlib.suppress(ValueError):
            Sketch.from_bytes(bytes(flipped), schema)


def test_sketches_that_do_not_belong_together_are_refused(plane):
    schema = plane(landmarks=16)
    a, b = (Sketch.of_points(schema, points(30, seed), name, 1.0) for seed, name in ((0, "a"), (1, "b")))
    check_sketches([a, b])
    copied = Sketch(schema, "c", 30, 1.0, a.released)
    other = Sketch.of_points(plane(landmarks=17), points(30), "d", 1.0)
    for sketches, message in (
        ([], "at least one"),
        ([a, a], "two sketches of this name"),
        ([a, copied], "the same sketch"),
        ([a, other], "its schema"),
    ):
        with pytest.raises(ValueError, match=message):
            check_sketches(sketches)


def test_the_ledger_knows_earlier_sketches_of_the_same_rows(mixed, tmp_path):
    from cgm.data.tables.files import rows_digest

    table, path = people(40), tmp_path / "sketches.ledger.json"
    sketch = Sketch.draw(mixed, table, "north", 1.0)
    assert Ledger(path).earlier(rows_digest(table)) == []
    assert Ledger(path).together(rows_digest(table), 1e-5) is None
    Ledger(path).add(rows_digest(table), sketch, "north.sketch")
    Ledger(path).add(rows_digest(people(40, seed=1)), sketch, "other.sketch")
    Ledger(path).add(rows_digest(table.iloc[::-1]), Sketch.draw(mixed, table, "north", 2.0), "again.sketch")
    ledger = Ledger(path)
    assert [(entry.file, entry.epsilon) for entry in ledger.earlier(rows_digest(table))] == [
        ("north.sketch", 1.0),
        ("again.sketch", 2.0),
    ]
    together = ledger.together(rows_digest(table), 1e-5)
    assert together.mu == pytest.approx(math.hypot(Guarantee.of(1.0, 1e-5).mu, Guarantee.of(2.0, 1e-5).mu))
    assert 2 < together.epsilon < 3
    assert rows_digest(table) not in path.read_text()  # salted
    assert path.stat().st_mode & 0o077 == 0 or os.name == "nt"
    for text in ("{}", "[]", "x", path.read_text().replace('"epsilon": 1.0', '"epsilon": -1.0'), "[" * 5000):
        path.write_text(text)
        with pytest.raises(ValueError, match="not a ledger of sketches, or a damaged one"):
            Ledger(path)


@pytest.fixture
def keys(tmp_path):
    """Two private keys, of north and of somebody else."""

    pytest.importorskip("cryptography")
    for name in ("north", "other"):
        new_key(tmp_path / f"{name}.key")
    return [read_key(tmp_path / f"{name}.key") for name in ("north", "other")]


def test_every_changed_byte_of_a_signed_sketch_is_found(plane, keys, tmp_path):
    schema = plane(landmarks=8)
    plain = Sketch.of_points(schema, points(30), "north", 1.0)
    sketch = plain.signed(keys[0])
    content = sketch.to_bytes()
    read = Sketch.from_bytes(content, schema)
    assert (read.public_key, read.signature) == (public_key(keys[0]), sketch.signature)
    assert read.to_bytes() == content
    assert Sketch.from_bytes(plain.to_bytes(), schema).signature == ""
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError, match=r".+"):
            Sketch.from_bytes(bytes(changed), schema)
    moved = struct.pack("<q", int(sketch.released[0]) + 1) + content[-56:]
    with pytest.raises(ValueError, match="sketch of north: its signature is not that of its content"):
        Sketch.from_bytes(content[:-64] + moved, schema)
    forged = dataclasses.replace(sketch, public_key=public_key(keys[1]))
    renamed = dataclasses.replace(sketch, party="south")
    for each in (forged, renamed, dataclasses.replace(sketch, signature="0" * 128)):
        with pytest.raises(ValueError, match="its signature is not that of its content"):
            Sketch.from_bytes(each.to_bytes(), schema)


def test_keys_of_parties(plane, keys):
    schema = plane(landmarks=8)
    north = Sketch.of_points(schema, points(30), "north", 1.0)
    own, other = (public_key(key) for key in keys)
    check_keys([north.signed(keys[0])], {"north": own, "south": other})
    for sketch, given, message in (
        (north.signed(keys[1]), {"north": own}, f"signed by the key {other[:16]}.*that of the party is {own[:16]}"),
        (north, {"north": own}, "is not signed"),
        (north.signed(keys[0]), {"south": own}, "has no key of north"),
        (north.signed(keys[0]), {"north": own[:-1]}, "64 hexadecimal digits"),
        (north.signed(keys[0]), {"north": 7}, "64 hexadecimal digits"),
        (north.signed(keys[0]), {}, "a public key for each name"),
        (north.signed(keys[0]), [own], "a public key for each name"),
    ):
        with pytest.raises(ValueError, match=message):
            check_keys([sketch], given)


def test_signed_sketches_need_cryptography(plane, keys, monkeypatch):
    schema = plane(landmarks=8)
    content = Sketch.of_points(schema, points(30), "north", 1.0).signed(keys[0]).to_bytes()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(ImportError, match="signatures need the extra sign: install cryptography"):
        Sketch.from_bytes(content, schema)
