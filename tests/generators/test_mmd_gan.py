import json
import logging
import pickle
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file

from cgm.generators import MMDGAN, check_generator
from cgm.generators.mmd_gan import generator as mmd_gan
from cgm.generators.mmd_gan import training as mmd_gan_training
from cgm.generators.mmd_gan.generator import network_of, state_of
from cgm.generators.mmd_gan.losses import RATIONAL, critic_kernel, critic_objective, gradient_penalty, mmd2, stalled
from cgm.generators.mmd_gan.networks import CriticNetwork, GeneratorNetwork
from cgm.generators.mmd_gan.training import CHECKPOINT, Training
from cgm.utils.models import pretrained as weights
from cgm.utils.tensors import digest
from cgm.valuation.mmd import mmd2_unbiased

TINY = {
    "pretrained": False,
    "channels": 3,
    "latent": 5,
    "steps": 2,
    "batch_size": 8,
    "evaluate_every": 2,
    "patience": 1,
}


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def digits(n=40):
    """Images of a bright bar, upright or lying, on a dark ground."""

    x = 0.2 * torch.rand(n, 1, 8, 8, generator=random())
    x[: n // 2, :, :, 3:5] += 0.8
    x[n // 2 :, :, 3:5, :] += 0.8
    return x


def tiny(**settings):
    return MMDGAN(**{**TINY, **settings})


def critic(seed=0):
    network = CriticNetwork((1, 8, 8), channels=2, outputs=3).initialise(random(seed)).double()
    for layer in network.layers:  # else a bias that was forgotten would go unnoticed
        torch.nn.init.normal_(layer.bias, 0, 0.1, generator=random(seed + 1))
    return network


def plain_kernel(x, y):
    """The kernel of two vectors, written down."""

    q = ((x - y) ** 2).sum()
    return sum((1 + q / (2 * a)) ** -a for a in (0.1, 1.0, 10.0)) + x @ y


def plain_mmd2(x, y):
    def mean(a, b, same):
        values = [plain_kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        return sum(values) / len(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


# --- the loss


def test_loss_is_the_mmd_of_cgm():
    x, y = torch.randn(30, 16, generator=random()), 2 * torch.randn(20, 16, generator=random(1)) + 0.3

    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        loss = float(mmd2(RATIONAL, x.to(dtype), y.to(dtype)))
        assert loss == pytest.approx(mmd2_unbiased(RATIONAL, x.double(), y.double()), abs=tolerance)
    assert float(mmd2(critic_kernel, x.double(), y.double())) == pytest.approx(
        plain_mmd2(x.double().numpy(), y.double().numpy()), abs=1e-12
    )


def test_kernel_can_be_differentiated_twice():
    x, y = torch.randn(3, 2, generator=random()).double(), torch.randn(4, 2, generator=random(1)).double()
    x, y = x.requires_grad_(), y.requires_grad_()

    assert torch.autograd.gradcheck(critic_kernel, (x, y))
    assert torch.autograd.gradgradcheck(critic_kernel, (x, y))
    assert torch.autograd.gradcheck(lambda x, y: mmd2(critic_kernel, x, y), (x, y))


def test_gradient_penalty_by_finite_differences():
    h, x, (real, fake) = critic(), digits(3).double(), digits(12).double().split(6)
    hr, hf = h(real).detach(), h(fake).detach()

    def witness(image):
        with torch.no_grad():
            a = h(image[None])[0].numpy()
        return np.mean([plain_kernel(a, b) for b in hr.numpy()]) - np.mean([plain_kernel(a, b) for b in hf.numpy()])

    expected, step = 0.0, 1e-5
    for image in x:
        slope = np.zeros(image.numel())
        for i in range(image.numel()):
            change = torch.zeros(image.numel(), dtype=torch.float64)
            change[i] = step
            change = change.view_as(image)
            slope[i] = (witness(image + change) - witness(image - change)) / (2 * step)
        expected += (np.sqrt((slope**2).sum()) - 1) ** 2 / len(x)

    assert float(gradient_penalty(h, x, hr, hf).detach()) == pytest.approx(expected, rel=1e-6)


def test_objective_of_the_critic_and_its_gradient():
    h, (real, fake, between) = critic(), digits(12).double().split(4)
    weights = 0.7, 0.3

    gain, penalty = critic_objective(h, real, fake, between, *weights)
    hr, hf = h(real).detach(), h(fake).detach()
    size = float((hr**2).sum() + (hf**2).sum()) / (hr.numel() + hf.numel())
    assert gain.item() == pytest.approx(plain_mmd2(hr.numpy(), hf.numpy()), abs=1e-12)
    slope = gradient_penalty(h, between, hr, hf).item()
    assert penalty.item() == pytest.approx(0.7 * slope + 0.3 * size, abs=1e-12)

    (penalty - gain).backward()
    for layer in h.layers:
        place = (0,) * layer.weight.dim()
        values = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                layer.weight[place] += step
            gain, penalty = critic_objective(h, real, fake, between, *weights)
            values.append((penalty - gain).item())
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(layer.weight.grad[place]), rel=1e-4, abs=1e-7)
        with torch.no_grad():
            layer.weight[place] += 1e-5


# --- the networks


@pytest.mark.parametrize("image", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 20)])
@pytest.mark.parametrize("spectral", [False, True])
def test_networks_of_every_size(image, spectral):
    z = torch.rand(6, 5, generator=random())
    x = GeneratorNetwork(image, channels=2, latent=5).initialise(random())(z)

    assert x.shape == (6, *image)
    assert 0 <= x.min() < x.max() <= 1
    assert CriticNetwork(image, 2, 16, spectral).initialise(random())(x).shape == (6, 16)


def test_folding_measures_what_batch_normalisation_does():
    z = torch.rand(50, 5, generator=random())
    network = GeneratorNetwork((1, 28, 28), channels=2, latent=5).initialise(random())
    for norm in network.norms:
        torch.nn.init.normal_(norm.weight, 1, 0.3, generator=random(1))
        torch.nn.init.normal_(norm.bias, 0, 0.3, generator=random(2))

    folded = network.folded(z)

    assert not len(folded.norms)
    torch.testing.assert_close(folded(z), network(z), rtol=0, atol=1e-5)
    torch.testing.assert_close(folded(z[:1]), network(z)[:1], rtol=0, atol=1e-5)  # no matter who else is in the batch


def test_spectral_normalisation():
    network = CriticNetwork((1, 8, 8), 4, 16, spectral=True).initialise(random())
    for _ in range(50):
        network(digits(2))

    for layer in network.layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


# --- the generator


@pytest.mark.parametrize("normalisation", ["none", "spectral"])
def test_contract(normalisation):
    check_generator(tiny(normalisation=normalisation), digits())


def test_learns():
    x = digits()
    kid = {}

    for steps in (1, 40):
        gan = tiny(channels=8, latent=8, steps=steps, batch_size=16, learning_rate=2e-3, ema=10, evaluate_every=500)
        training = Training(gan, x, seed=0)
        training.run()
        kid[steps] = float(training.evaluate().mean())

    assert kid[40] < 0.2 * kid[1]


def test_same_whatever_the_dtype_of_the_images():
    x = digits()
    a, b = tiny().fit(x, seed=0).sample(9, seed=1), tiny().fit(x.double(), seed=0).sample(9, seed=1)

    assert b.dtype == torch.float64
    assert torch.equal(a.double(), b)


def test_another_seed_trains_another_generator():
    x = digits()

    assert not torch.equal(tiny().fit(x, seed=0).sample(2, seed=0), tiny().fit(x, seed=1).sample(2, seed=0))


def test_samples_a_batch_at_a_time(monkeypatch):
    sizes, forward = [], GeneratorNetwork.forward
    gan = tiny().fit(digits(), seed=0)
    monkeypatch.setattr(GeneratorNetwork, "forward", lambda self, z: (sizes.append(len(z)), forward(self, z))[1])

    x = gan.sample(mmd_gan.BATCH + 1, seed=0)

    assert sizes == [mmd_gan.BATCH, 1]
    assert x.shape == (mmd_gan.BATCH + 1, 1, 8, 8)
    assert len(x.unique(dim=0)) == len(x)


def test_half_precision_where_no_pixel_tells():
    training = Training(tiny(steps=5), digits(), seed=0)
    network = training.run()
    codes, before = training.codes, network(training.codes)

    weights = mmd_gan.halved(network, codes)
    state = {"images": digits()[:0], "network": torch.empty(0, 5, 3), "weights": weights}
    assert weights.dtype == torch.float16
    assert float((network_of(state)(codes) - before).abs().max()) < 1 / 255

    with torch.no_grad():  # too large for half precision
        network.layers[0].weight.mul_(1e6)
        network.layers[1].weight.mul_(1e-6)
    assert mmd_gan.halved(network, codes).dtype == torch.float32


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(5, 64), r"expected shape \(N, C, H, W\), got \(5, 64\)"),
        (digits() * 255, r"pixels lie in \[0, 255\], they must lie in \[0, 1\]; rescale them"),
        (digits() - 0.5, r"pixels lie in \[-0\."),
        (digits()[:, :, :3], "3 x 8 pixels; use images of at least 4 x 4"),
        (digits()[:1], "has 1 points, at least 2 are needed"),
    ],
)
def test_bad_images(x, message):
    if "255" in message:
        x.view(-1)[0], x.view(-1)[1] = 0, 255
    with pytest.raises(ValueError, match=f"images? .*MMDGAN to.*{message}|points to fit MMDGAN to: {message}"):
        tiny().fit(x, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, "generator.channels=0: expected an integer >= 1"),
        ({"latent": 1.5}, "generator.latent=1.5: expected an integer >= 1"),
        ({"steps": 0}, "generator.steps=0: expected an integer >= 1"),
        ({"batch_size": 1}, "generator.batch_size=1: expected a whole number from 2"),
        ({"critic_steps": 0}, "generator.critic_steps=0"),
        ({"evaluate_every": 0}, "generator.evaluate_every=0"),
        ({"patience": 0}, "generator.patience=0"),
        ({"learning_rate": 0}, "generator.learning_rate=0: use a positive number"),
        ({"learning_rate": "high"}, "generator.learning_rate='high': use a positive number"),
        ({"minutes": -1}, "generator.minutes=-1: use a positive number"),
        ({"ema": 0.5}, "generator.ema=0.5: use a number of steps from 1"),
        ({"gradient_penalty": float("nan")}, "generator.gradient_penalty=nan: use a non-negative number"),
        ({"normalisation": "batch"}, "generator.normalisation='batch': use none or spectral"),
        ({"pretrained": None}, "generator.pretrained=None: use true, false, auto, or the path of a .safetensors"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MMDGAN(**settings)


def test_divergence_is_an_error():
    with pytest.raises(ValueError, match=r"training diverged at step .*lower generator.learning_rate=1e\+38"):
        tiny(learning_rate=1e38, steps=50).fit(digits(), seed=0)


def test_config_shows_every_default():
    config = OmegaConf.load(Path(__file__).parents[2] / "conf" / "generator" / "mmd_gan.yaml")
    generator = instantiate(config)

    assert repr(generator) == repr(MMDGAN())
    assert set(config) == {"_target_", *vars(generator)}


# --- training: learning rate, time, checkpoints


def test_stalled():
    before = torch.tensor([0.5, 0.6, 0.4, 0.5])

    assert stalled(before, before)
    assert stalled(before, before + 0.1)
    assert stalled(before, before - torch.tensor([0.1, -0.1, 0.1, 0.0]))  # a fall, but within its error
    assert not stalled(before, before - torch.tensor([0.10, 0.11, 0.09, 0.10]))


def test_learning_rate_is_halved_when_training_has_stalled():
    training = Training(tiny(patience=2), digits(), seed=0)
    rates = []
    for kid in (1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1):
        training.adapt(torch.full((10,), kid))
        rates.append(training.optimizers["critic"].param_groups[0]["lr"])

    # 0.8 twice: still below 0.9; three times: not; then it starts again, with two more to come
    assert rates == [5e-4] * 4 + [2.5e-4] * 2 + [1.25e-4] * 3
    assert training.optimizers["generator"].param_groups[0]["lr"] == 1.25e-4


def test_stops_when_the_time_is_up(tmp_path):
    gan = tiny(steps=100_000, minutes=0.01, checkpoint=str(tmp_path)).fit(digits(), seed=0)
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        progress = json.loads(file.metadata()["progress"])

    assert 0.6 < progress["seconds"] < 10
    assert 0 < progress["step"] < 100_000
    assert gan.sample(1, seed=0).shape == (1, 1, 8, 8)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def content(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.mark.parametrize("normalisation", ["none", "spectral"])
@pytest.mark.usefixtures("one_thread")
def test_resumed_training_is_the_same_as_an_uninterrupted_one(normalisation, tmp_path, monkeypatch):
    monkeypatch.setattr(mmd_gan_training, "stalled", lambda before, now: True)
    x, folders = digits(), [str(tmp_path / "whole"), str(tmp_path / "parts")]

    whole = tiny(normalisation=normalisation, steps=7, checkpoint=folders[0]).fit(x, seed=5)
    for steps in (1, 3, 4, 7):  # before, after and at an evaluation, at which the learning rate changes
        parts = tiny(normalisation=normalisation, steps=steps, checkpoint=folders[1]).fit(x, seed=5)

    assert torch.equal(whole.state["weights"], parts.state["weights"])
    (a, metadata), (b, other) = (content(Path(folder) / CHECKPOINT) for folder in folders)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    progress, others = json.loads(metadata["progress"]), json.loads(other["progress"])
    assert {**progress, "seconds": 0} == {**others, "seconds": 0}
    assert progress["step"] == 7
    assert progress["learning_rate"] == 5e-4 / 4  # halved at the evaluations after the first one
    assert {"samples-000002.png", "samples-000007.png"} <= {file.name for file in Path(folders[0]).iterdir()}


def test_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    first = tiny(checkpoint=str(tmp_path)).fit(digits(), seed=0)
    monkeypatch.setattr(Training, "advance", None)

    assert torch.equal(tiny(checkpoint=str(tmp_path)).fit(digits(), seed=0).sample(3, seed=0), first.sample(3, seed=0))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def checkpoint(tmp_path):
    tiny(checkpoint=str(tmp_path)).fit(digits(), seed=0)
    return tmp_path / CHECKPOINT


@pytest.mark.parametrize("kind", ["pickle", "torch", "text", "empty", "truncated", "foreign"])
def test_foreign_checkpoints_are_refused(checkpoint, kind):
    marker, data = checkpoint.with_name("marker"), checkpoint.read_bytes()
    if kind == "pickle":
        checkpoint.write_bytes(pickle.dumps(Touch(marker)))
    elif kind == "torch":
        torch.save(Touch(marker), checkpoint)
    elif kind == "foreign":
        save_file({"x": torch.zeros(3)}, checkpoint)
    else:
        checkpoint.write_bytes({"text": b"not a checkpoint", "empty": b"", "truncated": data[: len(data) // 2]}[kind])

    with pytest.raises(ValueError, match=f"^{re.escape(str(checkpoint))}: not a checkpoint of MMDGAN"):
        tiny(steps=3, checkpoint=str(checkpoint.parent)).fit(digits(), seed=0)
    assert not marker.exists()


def rewrite(path, sign, **changes):
    """Replaces tensors of a checkpoint, None: takes them away, with or without a checksum that is right."""

    tensors, metadata = content(path)
    tensors = {name: x for name, x in {**tensors, **changes}.items() if x is not None}
    if sign:
        metadata["sha256"] = digest(tensors, metadata["identity"] + metadata["progress"])
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("sign", "changes", "message"),
    [
        (False, {"critic.layers.0.bias": torch.ones(3)}, "the checksum is wrong"),
        (True, {"critic.layers.0.bias": torch.ones(4)}, "or not finite: critic.layers.0.bias"),
        (True, {"critic.layers.0.bias": torch.ones(3, dtype=torch.float64)}, "critic.layers.0.bias"),
        (True, {"adam.critic.0.exp_avg": None, "other": torch.ones(1)}, "adam.critic.0.exp_avg, other"),
        (True, {"random.codes": torch.ones(5000, dtype=torch.uint8)}, "random.codes"),
        (True, {"average.layers.0.weight": torch.full((24, 5), torch.nan)}, "average.layers.0.weight"),
    ],
)
def test_altered_checkpoints_are_refused(checkpoint, sign, changes, message):
    rewrite(checkpoint, True)
    gan = tiny(steps=3, checkpoint=str(checkpoint.parent))
    Training(gan, digits(), seed=0).load(checkpoint)  # as it is, it's good
    rewrite(checkpoint, sign, **changes)

    with pytest.raises(ValueError, match=f"^{re.escape(str(checkpoint))}: .*{re.escape(message)}"):
        gan.fit(digits(), seed=0)


@pytest.mark.parametrize(
    ("settings", "seed", "n", "message"),
    [
        ({"latent": 6}, 0, 40, "latent=5, here 6"),
        ({}, 1, 40, "seed=0, here 1"),
        ({}, 0, 39, "images='.*', here '"),
    ],
)
def test_checkpoints_of_another_training_are_refused(checkpoint, settings, seed, n, message):
    with pytest.raises(ValueError, match=rf"from another training \({message}.*use another generator.checkpoint"):
        tiny(**settings, checkpoint=str(checkpoint.parent)).fit(digits()[:n], seed=seed)


# --- files of weights


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package that comes with weights for 8 x 8 images."""

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    gan = tiny().fit(digits(), seed=0)
    return gan, weights.keep(gan, "mmd_gan", "bars", (1, 8, 8), {"settings": asdict(gan)})


@pytest.mark.parametrize("pretrained", [True, "auto", "path"])
def test_pretrained(pretrained, shipped, caplog, monkeypatch):
    gan, path = shipped
    monkeypatch.setattr(Training, "run", None)

    with caplog.at_level(logging.INFO, "cgm"):
        other = MMDGAN(pretrained=str(path) if pretrained == "path" else pretrained).fit(digits(7), seed=9)

    assert torch.equal(other.sample(9, seed=1), gan.sample(9, seed=1))
    assert other.fit(digits(7).double(), seed=0).sample(2, seed=0).dtype == torch.float64
    assert str(path) in caplog.text
    other.save(path.with_name("saved"))
    again = MMDGAN(pretrained=other.pretrained).load(path.with_name("saved"))
    assert torch.equal(again.sample(9, seed=1), gan.sample(9, seed=1).double())


def test_contract_of_a_pretrained_generator(shipped):
    check_generator(MMDGAN(pretrained=True), digits())


def test_pretrained_on_other_images(shipped, caplog):
    gan, _ = shipped

    with caplog.at_level(logging.WARNING, "cgm"):
        MMDGAN().fit(gan.sample(300, seed=2), seed=0)
        assert not caplog.text
        with pytest.raises(ValueError, match=r"^generator.pretrained=auto: .* images unlike those of the dataset"):
            MMDGAN().fit(1 - digits(), seed=0)
        MMDGAN(pretrained=True).fit(1 - digits(), seed=0)
    assert "makes images unlike those of the dataset" in caplog.text


def test_a_checkpoint_that_is_of_no_use_is_told(shipped, caplog, tmp_path):
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
    tensors, metadata = content(path)
    tensors["weights"][0] += 1
    save_file(tensors, path, metadata)

    with pytest.raises(ValueError, match=r"bars_mmd_gan.safetensors: missing, damaged or replaced: sha256"):
        MMDGAN().fit(digits(), seed=0)


@pytest.mark.parametrize("settings", [{}, {"settings": {"latent": 0}}, {"settings": {"height": 8}}, {"settings": None}])
def test_weights_of_something_else(shipped, settings):
    gan, _ = shipped
    path = weights.keep(gan, "mmd_gan", "bars", (1, 8, 8), settings)

    with pytest.raises(ValueError, match=r"bars_mmd_gan.safetensors: beside it are not the settings of an MMD-GAN"):
        state_of(weights.read(path), (1, 8, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": torch.zeros(3)}, "weights holds 3 numbers where [0-9]+ are expected"),
        ({"network": torch.empty(0, 5, 4)}, "weights holds [0-9]+ numbers where [0-9]+ are expected"),
        ({"network": torch.empty(0, 5, 10**7)}, "numbers where"),  # a petabyte, if it were believed
        ({"network": torch.empty(0, 2**31, 2**31)}, "impossible size"),
        ({"network": torch.empty(0, 0, 3)}, "can't be"),
    ],
)
def test_states_that_no_training_leaves(change, message, tmp_path):
    gan = tiny().fit(digits(), seed=0)
    gan.state |= change
    gan.save(tmp_path / "gan")

    with pytest.raises(ValueError, match=message):
        tiny().load(tmp_path / "gan")
