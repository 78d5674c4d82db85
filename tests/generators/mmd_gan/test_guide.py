import numpy as np
import pytest
import torch

from cgm.generators import MMDGAN
from cgm.generators.mmd_gan import training as module
from cgm.generators.mmd_gan.guide import CHANGES, GUIDES, Guide, change, mean_kernel
from cgm.networks import weights as pretrained
from cgm.networks.classifier import Classifier
from cgm.networks.training import read_checkpoint
from tests.generators.mmd_gan.bars import bars, random, tiny, training_of


def images(n, shape=(1, 28, 28), seed=0):
    return torch.rand(n, *shape, generator=random(seed))


def guide_of(names, x, mirror=False, changes=()):
    return Guide(names, x, mirror, changes, random(), "float32", torch.device("cpu"))


def test_changes_equal_plain_loops():
    x = images(5, (3, 9, 17)).double()
    n, _, height, width = x.shape

    draws = random(3)
    down, right = (torch.randint(2 * (side // 8) + 1, (n, 1), generator=draws) - side // 8 for side in (height, width))
    expected = torch.zeros_like(x)
    for i in range(n):
        for row in range(height):
            for column in range(width):
                r, c = row + int(down[i]), column + int(right[i])
                if 0 <= r < height and 0 <= c < width:
                    expected[i, :, row, column] = x[i, :, r, c]
    assert torch.equal(change(x, ["shift"], random(3)), expected)
    assert len({(int(a), int(b)) for a, b in zip(down, right, strict=True)}) > 1

    draws = random(4)
    top, left = (torch.randint(side + 1, (n, 1), generator=draws) - side // 4 for side in (height, width))
    expected = x.clone()
    for i in range(n):
        a, b = int(top[i]), int(left[i])
        expected[i, :, max(0, a) : max(0, a + height // 2), max(0, b) : max(0, b + width // 2)] = 0
    assert torch.equal(change(x, ["cutout"], random(4)), expected)


def test_colours_change_as_they_should():
    x = images(400, (3, 4, 4))
    y = change(x, ["colour"], random())
    lift = (y.mean((1, 2, 3)) - x.mean((1, 2, 3))).numpy()
    assert -0.27 < lift.min() < -0.2
    assert 0.2 < lift.max() < 0.27
    ratio = (y.std((1, 2, 3)) / x.std((1, 2, 3))).numpy()
    assert 0.2 < ratio.min() < 0.7
    assert 1.3 < ratio.max() < 3

    grey = images(50, (1, 4, 4))
    z = change(grey, ["colour"], random())
    slope = (z.std((2, 3)) / grey.std((2, 3))).numpy()  # of one colour, saturation is none
    assert 0.5 <= slope.min() < 0.6
    assert 1.4 < slope.max() <= 1.5


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_differentiable(name):
    x = images(2, (3, 8, 8)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: change(x, [name], random()), x, fast_mode=True)


def test_real_and_generated_images_are_changed_alike(monkeypatch):
    given = []

    def watched(x, changes, stream):
        given.append((len(x), changes, stream))
        return change(x, changes, stream)

    monkeypatch.setattr(module, "change", watched)
    training = training_of(tiny(changes=["shift", "cutout"]), bars())
    training.critic_step()
    training.generator_step()
    stream = training.streams["changes"]
    assert given == [(8, ("shift", "cutout"), stream)] * 4  # real and generated, for each of the two networks


def test_a_guide_compares_changed_with_changed_images():
    x = images(40)
    guide = guide_of(["encoder"], x, mirror=True, changes=["crop", "shift"])
    mirrored = torch.cat([x[::2], x[1::2].flip(3)])
    expected = guide.features(change(mirrored, ["crop", "shift"], random()))
    torch.testing.assert_close(guide.real, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(guide.real, guide.features(mirrored), atol=1e-2)


def test_the_loss_of_a_guide_equals_a_plain_double_loop():
    x, fake = images(40), images(3, seed=1)
    guide = guide_of(["encoder", "classifier"], x)
    guide.start(images(7, seed=2))
    recent, real = guide.recent.double(), guide.real.double()

    def k(a, b):
        d2 = sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))
        return sum((1 + d2 / (2 * alpha)) ** -alpha for alpha in (0.1, 1, 10))

    y = guide.features(fake).double()
    near = np.mean([k(a, b) for a in y for b in recent])
    expected = 2 * (near - np.mean([k(a, b) for a in y for b in real]))
    assert float(guide(fake)) == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(guide.recent.double(), torch.cat([recent[3:], y]), atol=1e-6)  # the oldest are replaced


def test_features_of_a_guide():
    x = images(60)
    guide = guide_of(["classifier"], x)
    network = Classifier.of(pretrained.get("classifier", (1, 28, 28))).network().double()
    found, h = [], x.double()
    for block in network.body[:-2]:  # with batch norm
        h = block(h)
        found.append(h.mean((2, 3)))
    raw = torch.cat([*found, h.amax((2, 3))], 1).detach()

    spread = raw.std(0).clamp_min(1e-3 * float(raw.std(0).max()))
    standard = (raw - raw.mean(0)) / spread
    expected = standard / torch.pdist(standard).median()
    torch.testing.assert_close(guide.features(x).double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(guide.real.double(), expected, rtol=1e-3, atol=1e-4)


def test_the_gradient_of_a_guide_is_that_of_mmd2():
    x, y = torch.randn(30, 4, generator=random()), torch.randn(20, 4, generator=random(1))
    y = y.double().requires_grad_()
    x = x.double()

    def loss(y, recent):
        return 2 * (mean_kernel(y, recent) - mean_kernel(y, x))

    (expected,) = torch.autograd.grad(mean_kernel(y, y) - 2 * mean_kernel(y, x) + mean_kernel(x, x), y)
    (found,) = torch.autograd.grad(loss(y, y.detach()), y)
    torch.testing.assert_close(found, expected)


def test_guides_alone_train_a_generator():
    x = images(80, (1, 28, 28)) * torch.linspace(0, 1, 28)  # brighter to the right
    settings = {"guides": ["encoder"], "critic_steps": 0, "learning_rate": 5e-3, "channels": 4, "ema": 5}
    losses = []
    for steps in (1, 30):
        training = training_of(tiny(**settings, steps=steps), x)
        training.run()
        losses.append(float(training.guide(training.network()(training.codes[:200])).detach()))
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize("settings", [{"critic_steps": 0}, {"changes": list(CHANGES)}])
def test_a_guided_training_that_is_resumed_is_the_same(settings, tmp_path):
    x = images(50)
    settings = {**settings, "guides": ["encoder"]}
    whole = tiny(**settings, steps=3, checkpoint=str(tmp_path / "whole")).fit(x, seed=5)
    for steps in (1, 3):
        parts = tiny(**settings, steps=steps, checkpoint=str(tmp_path / "parts")).fit(x, seed=5)

    assert all(torch.equal(parts.state[name], weights) for name, weights in whole.state.items())
    states = [read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts")]
    assert torch.equal(*(state["networks"]["guide"]["recent"] for state in states))
    with pytest.raises(ValueError, match=r"another training .*guidance=1.0, here 2.0"):
        tiny(**settings, guidance=2.0, checkpoint=str(tmp_path / "parts")).fit(x, seed=5)


def test_a_training_starts_from_weights(tmp_path):
    x, path = bars(), tmp_path / "first.safetensors"
    first = tiny().fit(x, seed=0)
    first.save(path)
    training = training_of(tiny(), x)
    assert training.start is None
    again = tiny(start=str(path), learning_rate=1e-12, steps=1).fit(x, seed=3)
    z = torch.rand(20, 5, generator=random())
    torch.testing.assert_close(again.network()(z), first.network()(z), rtol=0, atol=2e-3)
    assert not torch.allclose(tiny(steps=1).fit(x, seed=3).network()(z), first.network()(z), atol=1e-2)

    with pytest.raises(ValueError, match=r"generator.start=.*of images of shape \(1, 8, 8\) with .*channels=3"):
        tiny(start=str(path), channels=4).fit(x, seed=0)


def test_without_the_new_settings_a_step_is_as_ever():
    x = bars()
    training, other = (training_of(tiny(), x, seed=2) for _ in range(2))
    training.critic_step()
    training.generator_step()

    real, fake = other._real(), other._fake().detach()
    share = torch.rand(8, 1, 1, 1, generator=other.streams["batches"])
    gain, penalty = other.loss.critic(other.critic, real, fake, share * real + (1 - share) * fake)
    other.descend("critic", penalty - gain)
    with torch.no_grad():
        real = other.critic(other._real())
    other.critic.requires_grad_(False)
    other.descend("generator", other.loss.generator(other.critic(other._fake()), real))

    for name in ("generator", "critic"):
        for a, b in zip(training.networks[name].parameters(), other.networks[name].parameters(), strict=True):
            assert torch.equal(a, b)
    unused = training_of(tiny(), x, seed=2).streams["changes"].get_state()
    assert torch.equal(training.streams["changes"].get_state(), unused)


def test_settings_of_guides():
    assert GUIDES == ("encoder", "classifier")
    with pytest.raises(ValueError, match=r"generator.critic_steps=0: needs generator.guides"):
        MMDGAN(critic_steps=0)
    with pytest.raises(ValueError, match=r"generator.guides=\('critic',\): .* each one of encoder, classifier"):
        MMDGAN(guides=["critic"])
    with pytest.raises(ValueError, match=r"cgm comes with no trained encoder for images of shape \(1, 8, 8\)"):
        tiny(guides=["encoder"]).fit(bars(), seed=0)
