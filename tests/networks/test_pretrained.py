import hashlib
import json

import pytest
import torch

from cgm.data.features.autoencoder import Autoencoder
from cgm.data.features.linear import PCA
from cgm.generators import MMDGAN
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier

X = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


def test_what_is_kept_is_found(folder):
    fitted = PCA(2).fit(X, seed=0)
    path = pretrained.keep(fitted, "thing", "mine", (1, 2, 2), {"settings": {"components": 2}})

    for weights in (
        pretrained.find("thing"),
        pretrained.find("thing", shape=torch.Size([1, 2, 2])),
        pretrained.get("thing", dataset="mine"),
    ):
        assert (weights.path, weights.dataset) == (path, "mine")
        assert weights.info["settings"] == {"components": 2}
        assert weights.info["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert torch.equal(PCA(2).load(weights.path).transform(X), fitted.transform(X))

    assert pretrained.find("other") is None
    assert pretrained.find("thing", shape=(1, 2, 3)) is None
    assert pretrained.find("thing", dataset="yours", shape=(1, 2, 2)) is None
    with pytest.raises(ValueError, match=r"no trained thing for images of shape \(1, 2, 3\) of dataset=yours"):
        pretrained.get("thing", dataset="yours", shape=(1, 2, 3))


def test_damaged_or_missing_weights_are_refused(folder):
    path = pretrained.keep(PCA(2).fit(X, seed=0), "thing", "mine", (1, 2, 2), {})
    content = path.read_bytes()

    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"^{path}: missing, damaged or replaced: sha256 "):
        pretrained.find("thing")
    path.unlink()
    with pytest.raises(ValueError, match=f"^{path}: missing, damaged or replaced"):
        pretrained.read(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match=f"^{path}: there is no such file"):
        pretrained.read(path)


def test_a_file_without_a_description_describes_itself(tmp_path):
    path = tmp_path / "mine.safetensors"
    PCA(2).fit(X, seed=0).save(path)
    info = pretrained.read(path).info

    assert info["settings"]["components"] == 2
    assert info["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    pretrained.check_path("generator.pretrained", str(path))
    path.rename(tmp_path / "mine.bin")
    pretrained.check_path("generator.pretrained", str(tmp_path / "mine.bin"))
    (tmp_path / "mine.bin").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="not a file saved by cgm"):
        pretrained.read(tmp_path / "mine.bin")


def test_what_does_not_describe_weights_is_refused(folder):
    for notes in ["", "[]", "{}", '{"sha256": "0", "dataset": "mine", "image": 3}']:
        path = pretrained.keep(PCA(2).fit(X, seed=0), "thing", "mine", (1, 2, 2), {})
        path.with_suffix(".json").write_text(notes)

        with pytest.raises(ValueError, match=r"mine_thing.json: not the description of a file of weights"):
            pretrained.find("thing")


def test_bad_settings(tmp_path):
    for value in (True, False, "auto"):
        pretrained.check_path("some.pretrained", value)
    with pytest.raises(ValueError, match=r"^some.pretrained=maybe: expected others or the path of a .safetensors"):
        pretrained.check_path("some.pretrained", "maybe", "others or ")
    path = tmp_path / "no.safetensors"
    with pytest.raises(FileNotFoundError, match=f"^some.pretrained={path}: there is no such file"):
        pretrained.check_path("some.pretrained", str(path))


def test_weights_are_kept_in_another_folder(folder, tmp_path):
    path = pretrained.keep(PCA(2).fit(X, seed=0), "thing", "mine", (1, 2, 2), {}, tmp_path / "other")

    assert path == tmp_path / "other" / "mine_thing.safetensors"
    assert pretrained.read(path).dataset == "mine"
    assert pretrained.find("thing") is None


SHIPPED = sorted(pretrained.FOLDER.glob("*.json"))


def test_an_autoencoder_comes_with_cgm():
    assert pretrained.get("autoencoder", (1, 28, 28)).dataset == "mnist"


@pytest.mark.parametrize("notes", SHIPPED, ids=lambda path: path.stem)
def test_shipped_weights_are_small_and_work(notes):
    info = json.loads(notes.read_text())
    what = notes.stem.removeprefix(info["dataset"] + "_")
    x = torch.rand(3, *info["image"], generator=torch.Generator().manual_seed(0))

    assert notes.with_suffix(".safetensors").stat().st_size < 4e6
    assert {"settings", "training"} <= set(info)
    if what == "autoencoder":
        features = Autoencoder(pretrained=True).fit(x, seed=0)
        z = features.transform(x)
        assert z.shape == (3, 8)
        assert torch.equal(features.transform(x), z)
    elif what == "mmd_gan":
        images = MMDGAN(pretrained=True).fit(x, seed=0).sample(3, seed=0)
        assert images.shape == x.shape
        assert 0 <= float(images.min()) < 0.1 < 0.9 < float(images.max()) <= 1
    else:
        classifier = Classifier.shipped(dataset=info["dataset"])
        torch.testing.assert_close(classifier.probabilities(x).sum(1), torch.ones(3))
