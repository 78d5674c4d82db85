"""The base class of generators that are networks: by the MMD-GAN, and by the smallest subclass that can be written."""

import logging
from dataclasses import asdict, dataclass
from typing import ClassVar

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cgm.data.features import PCA
from cgm.generators import MMDGAN, NetworkGenerator, check_generator, network
from cgm.generators.mmd_gan.networks import GeneratorNetwork
from cgm.generators.mmd_gan.training import GANTraining
from cgm.networks import weights
from cgm.networks.training import Budget, Descent, seeded
from tests.generators.mmd_gan.bars import bars, random, tiny


@dataclass(eq=False)
class Mean(NetworkGenerator[nn.Sequential]):
    """The mean image, blurred by noise in its logits."""

    rank: int = 3
    epochs: int = 2

    kind: ClassVar[str] = "mean"
    architecture: ClassVar[tuple[str, ...]] = ("rank",)

    def make_network(self, sizes):
        image = sizes["image"]
        return nn.Sequential(nn.Linear(sizes["rank"], image[0] * image[1] * image[2]), nn.Unflatten(1, tuple(image)))

    def train(self, x, seed):
        with seeded(seed):
            model = self.make_network({"image": x.shape[1:], "rank": self.rank})

        def loss(rows, stream):
            z = torch.randn(len(rows), self.rank, generator=stream)
            return nn.functional.binary_cross_entropy_with_logits(model(z), x[rows])

        budget = Budget(self.epochs, self.minutes, checkpoint=self.checkpoint_file)
        report = Descent(model, loss, {"images": x}, seed, budget, "generator", "generator: mean").train()
        return model, report

    def draw(self, network, n, random):
        return network(torch.randn(n, self.rank, generator=random)).sigmoid()


def test_a_generator_of_a_few_lines_follows_the_rules():
    check_generator(Mean(pretrained=False), bars())

    fitted = Mean(pretrained=False).fit(bars().double(), seed=0)
    assert fitted.sizes == {"image": [1, 8, 8], "dtype": "float64", "rank": 3}
    assert fitted.state["0.weight"].dtype == torch.float16
    assert fitted.report["steps"] == 2
    assert "the mean image" in Mean.__doc__.lower()


def test_a_training_is_resumed_from_the_folder_of_checkpoints(tmp_path):
    settings = {"pretrained": False, "checkpoint": str(tmp_path / "folder")}
    first = Mean(**settings).fit(bars(), seed=0)

    assert [path.name for path in (tmp_path / "folder").iterdir()] == [network.CHECKPOINT]
    assert torch.equal(Mean(**settings).fit(bars(), seed=0).sample(3, seed=0), first.sample(3, seed=0))
    with pytest.raises(ValueError, match=r"another training \(seed=0, here 1\); use another generator.checkpoint"):
        Mean(**settings).fit(bars(), seed=1)
    assert Mean().checkpoint_file is None


def test_a_class_without_a_method_is_abstract():
    class Half(NetworkGenerator):
        kind = "half"

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_bad_images():
    for x, message in [
        (torch.rand(5, 64), r"expected shape \(N, C, H, W\), got \(5, 64\)"),
        (bars() * 255, r"pixels lie in \[0, 255\], they must lie in \[0, 1\]; rescale them"),
        (bars() - 0.5, r"pixels lie in \[-0\."),
        (bars()[:, :, :3], "3 x 8 pixels; use images of at least 4 x 4"),
        (bars()[:1], "has 1 points, at least 2 are needed"),
    ]:
        if "255" in message:
            x.view(-1)[0], x.view(-1)[1] = 0, 255
        with pytest.raises(ValueError, match=f"images? .*MMDGAN to.*{message}|points to fit MMDGAN to: {message}"):
            tiny().fit(x, seed=0)


def test_samples_a_batch_at_a_time(monkeypatch):
    sizes, forward = [], GeneratorNetwork.forward
    gan = tiny().fit(bars(), seed=0)
    monkeypatch.setattr(GeneratorNetwork, "forward", lambda self, z: (sizes.append(len(z)), forward(self, z))[1])

    x = gan.sample(network.BATCH + 1, seed=0)

    assert sizes == [network.BATCH, 1]
    assert x.shape == (network.BATCH + 1, 1, 8, 8)
    assert len(x.unique(dim=0)) == len(x)


def test_half_precision_where_no_pixel_changes():
    gan = tiny(steps=5)
    model, _ = gan.train(bars(), seed=0)
    before = gan.draw(model, 50, random())

    halved = gan.halved(model)
    assert all(x.dtype == torch.float16 for x in halved.values())
    assert torch.equal(gan.draw(model, 50, random()), before)  # the network keeps its weights
    model.load_state_dict(halved)
    assert float((gan.draw(model, 50, random()) - before).abs().max()) < 1 / 255

    with torch.no_grad():  # too large for half precision
        model.layers[0].weight.mul_(1e6)
        model.layers[1].weight.mul_(1e-6)
    assert all(x.dtype == torch.float32 for x in gan.halved(model).values())


# --- pretrained weights


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package that comes with weights for 8 x 8 images."""

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    gan = tiny().fit(bars(), seed=0)
    return gan, weights.keep(gan, "mmd_gan", "bars", (1, 8, 8), {"settings": asdict(gan)})


@pytest.mark.parametrize("pretrained", [True, "auto", "path"])
def test_pretrained(pretrained, shipped, caplog, monkeypatch):
    gan, path = shipped
    x = gan.sample(300, seed=2)
    monkeypatch.setattr(GANTraining, "run", None)

    with caplog.at_level(logging.INFO, "cgm"):
        other = MMDGAN(pretrained=str(path) if pretrained == "path" else pretrained).fit(x, seed=9)

    assert torch.equal(other.sample(9, seed=1), gan.sample(9, seed=1))
    assert other.fit(x.double(), seed=0).sample(2, seed=0).dtype == torch.float64
    assert str(path) in caplog.text
    other.save(path.with_name("saved"))
    again = MMDGAN(pretrained=other.pretrained).load(path.with_name("saved"))
    assert torch.equal(again.sample(9, seed=1), gan.sample(9, seed=1).double())


def test_a_pretrained_generator_follows_the_rules(shipped):
    check_generator(MMDGAN(pretrained=True), bars())


def test_pretrained_on_other_images(shipped, caplog):
    gan, _ = shipped

    with caplog.at_level(logging.WARNING, "cgm"):
        MMDGAN().fit(gan.sample(300, seed=2), seed=0)
        assert not caplog.text
        with pytest.raises(ValueError, match=r"^generator.pretrained=auto: .* images unlike those of the dataset"):
            MMDGAN().fit(1 - bars(), seed=0)
        MMDGAN(pretrained=True).fit(1 - bars(), seed=0)
    assert "generates images unlike those of the dataset" in caplog.text


def test_a_useless_checkpoint_is_reported(shipped, caplog, tmp_path):
    gan, path = shipped

    MMDGAN(checkpoint=str(tmp_path)).fit(gan.sample(300, seed=2), seed=0)
    assert f"generator.checkpoint={tmp_path} is not used" in caplog.text
    with pytest.raises(ValueError, match=f"^generator.checkpoint={path}: is a file, expected a folder"):
        MMDGAN(checkpoint=str(path))


def test_sizes_without_weights(shipped):
    x = torch.rand(9, 1, 9, 9, generator=random())

    with pytest.raises(ValueError, match=r"pretrained=true: .*no trained mmd_gan for images of shape \(1, 9, 9\)"):
        tiny(pretrained=True).fit(x, seed=0)
    with pytest.raises(ValueError, match=r"makes images of shape \(1, 8, 8\), but those .* shape \(1, 9, 9\)"):
        tiny(pretrained=str(shipped[1])).fit(x, seed=0)
    assert tiny(pretrained="auto").fit(x, seed=0).sample(1, seed=0).shape == (1, 1, 9, 9)


def test_wrong_checksum(shipped):
    _, path = shipped
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["layers.0.bias"][0] += 1
    save_file(tensors, path, metadata)

    with pytest.raises(ValueError, match=r"bars_mmd_gan.safetensors: missing, damaged or replaced: sha256"):
        MMDGAN().fit(bars(), seed=0)


@pytest.mark.parametrize(
    ("other", "name"), [(PCA(2), "PCA"), (Mean(pretrained=False), "Mean")], ids=lambda value: str(value)
)
def test_weights_of_something_else(shipped, other, name):
    gan, path = shipped
    weights.keep(other.fit(bars(), seed=0), "mmd_gan", "bars", (1, 8, 8), {})
    sample = gan.sample(3, seed=0)

    with pytest.raises(ValueError, match=f"bars_mmd_gan.safetensors: saved by {name}, cannot be loaded as MMDGAN"):
        gan.load(path)
    with pytest.raises(ValueError, match=f"bars_mmd_gan.safetensors: saved by {name}, cannot be loaded as MMDGAN"):
        MMDGAN().fit(bars(), seed=0)
    assert torch.equal(gan.sample(3, seed=0), sample)
