import pytest
import torch

from cgm.generators.mmd_gan import training as module
from cgm.generators.mmd_gan.changes import CHANGES, change
from tests.generators.mmd_gan.bars import bars, random, tiny, training_of


def images(n, shape=(1, 28, 28), seed=0):
    return torch.rand(n, *shape, generator=random(seed))


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


def test_without_changes_a_step_draws_none():
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
