"""Settlements of images, from end to end."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import cgm
from cgm.data.features import PCA
from cgm.data.features.umap import UMAP
from cgm.data.images import read_image_parties
from cgm.evaluation.privacy import NoAudit
from cgm.settlements import ImageMediator
from cgm.settlements.verification import verify

DIGITS = (load_digits().images / 16 * 255).astype(np.uint8)
PARTIES = {"north": DIGITS[:150], "south": DIGITS[150:250], "west": DIGITS[250:330]}
FAST = {"synthetic_size": 400, "features": PCA(components=6), "seed": 0}


@pytest.fixture(scope="module")
def settlement():
    return cgm.settle(PARTIES, **FAST)


def test_rewards_are_images_of_the_pool(settlement):
    assert settlement.names == ("north", "south", "west")
    assert [len(images) for images in settlement.tables] == [135, 90, 72]
    assert [len(images) for images in settlement.held_out] == [15, 10, 8]
    reward = settlement.reward_table(1, 8.0)
    assert reward.shape == (len(settlement.drawn[1, 8.0].indices), 1, 8, 8)
    assert reward.dtype == np.uint8
    with pytest.raises(ValueError, match="beta=3: north has no such reward; expected one of"):
        settlement.reward_table(0, 3)
    assert settlement.table().splitlines()[0].split()[:3] == ["party", "images", "v(D_i)"]


def test_what_is_valued_is_what_is_handed_out(settlement):
    points = settlement.features.transform(torch.from_numpy(settlement.pool_table).float() / 255)
    assert torch.equal(points, settlement.pool.points)
    own = settlement.features.transform(torch.from_numpy(settlement.tables[2]).float() / 255)
    assert torch.equal(own, settlement.parties[2])


def test_the_seed_determines_everything(settlement):
    again = cgm.settle(PARTIES, **FAST)
    assert np.array_equal(again.pool_table, settlement.pool_table)
    assert set(settlement.sensitivity) == {"length-scale × 0.5", "length-scale × 2", "another seed"}
    assert len(settlement.audits) == len(settlement.drawn.values())


def test_a_pool_of_more_images_than_the_mediator_keeps(settlement, monkeypatch):
    monkeypatch.setattr("cgm.generators.pool.MAX_IMAGES", 100)
    again = cgm.settle(PARTIES, **FAST)
    assert np.array_equal(again.pool_table, settlement.pool_table)


def test_a_limit_of_images(settlement):
    settings = {**FAST, "max_rows": 100, "audit": NoAudit(), "sensitivity": False}
    limited = cgm.settle(PARTIES, **settings)
    used = [len(images) for images in limited.tables]
    assert used == [45, 30, 24]  # the same share of each
    assert [a + len(b) for a, b in zip(used, limited.held_out, strict=True)] == [150, 100, 80]


@pytest.mark.parametrize("suffix", [".png", ".npz"])
def test_the_folder_of_a_settlement(tmp_path, suffix):
    for name, images in PARTIES.items():
        (tmp_path / name).mkdir()
        if suffix == ".npz":
            np.savez(tmp_path / name / "images.npz", images=images)
        for k, image in enumerate(images if suffix == ".png" else []):
            Image.fromarray(image).save(tmp_path / name / f"{k:04}.png")
    arrays, sources = read_image_parties([tmp_path / name for name in PARTIES])
    mediator = ImageMediator(**{**FAST, "sensitivity": False})
    mediator.settle_images(arrays, sources).write(tmp_path / "out")

    own = tmp_path / "out" / "parties" / "south"
    certificate = json.loads((own / "certificate.json").read_text())
    assert certificate["data"]["digest_of"] == "folder"
    rows = next(entry["rows"] for entry in certificate["rewards"] if entry["recommended"])
    if suffix == ".png":
        assert len(list((own / "reward").glob("*.png"))) == rows == certificate["files"]["reward"]["rows"]
        with Image.open(own / "reward" / "000001.png") as image:
            assert image.size == (8, 8)
    else:
        with np.load(own / "reward.npz") as file:
            assert file["images"].shape == (rows, 8, 8)
            assert file["images"].dtype == np.uint8
    with np.load(io.BytesIO((tmp_path / "out" / "mediator" / "pool.npz").read_bytes())) as file:
        assert file["images"].shape == (400, 1, 8, 8)
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Some images of the reward" in report
    assert "pooled 297 images." in " ".join(report.split())

    assert verify(own, tmp_path / "south").ok
    assert not verify(own, tmp_path / "north").ok
    for path in sorted(path for path in own.rglob("*") if path.is_file())[:: 7 if suffix == ".png" else 1]:
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert not verify(own).ok, path
        path.write_bytes(before)
    if suffix == ".png":
        (own / "reward" / "more.png").write_bytes(before)
        assert "it has" in " ".join(verify(own).lines)
        (own / "reward" / "more.png").rename(tmp_path / "south" / "more.png")
        assert verify(own).ok
        assert not verify(own, tmp_path / "south").ok


@pytest.mark.parametrize(
    ("parties", "settings", "message"),
    [
        ({"a": DIGITS[:20], "b": DIGITS[:20, :4]}, {}, r"party b: images of shape \(1, 4, 8\), but those of a have"),
        ({"a": DIGITS[:20], "b": DIGITS[:5]}, {}, "b: has 5 images, at least 10 are needed"),
        ({"a": DIGITS[:20], "b": DIGITS[:20] / 2}, {}, "party b: 'images' contains values from 0 to 127.5"),
        ({"a": DIGITS[:20], "b": DIGITS[:20]}, {"features": UMAP(fit_to="parties")}, "use generator=mmd_gan"),
        ({"a": DIGITS[:20], "b": DIGITS[:20]}, {"features": UMAP()}, "fitted to the pool as well"),
        ({"a": DIGITS[:20], "b": DIGITS[:20]}, {"max_rows": 5}, "max_rows=5"),
    ],
)
def test_what_is_refused(parties, settings, message):
    with pytest.raises(ValueError, match=message):
        cgm.settle(parties, **{**FAST, **settings})
