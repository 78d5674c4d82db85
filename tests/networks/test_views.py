import pytest
import torch

from cgm.networks.architectures import GREY, crop, mirror_some, recolour

IMAGES = torch.rand(400, 3, 6, 8, generator=torch.Generator().manual_seed(0))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_half_of_the_images_are_mirrored():
    found = mirror_some(IMAGES, seeded())
    mirrored = (found == IMAGES.flip(3)).flatten(1).all(1)
    kept = (found == IMAGES).flatten(1).all(1)

    assert (mirrored ^ kept).all()
    assert 0.4 < float(mirrored.float().mean()) < 0.6


def test_crops_are_rectangles_within_the_image():
    height, width = 30, 40
    down = torch.linspace(0, 1, height)[:, None].expand(height, width)
    right = torch.linspace(0, 1, width).expand(height, width)
    x = torch.stack([down, right]).expand(300, 2, height, width).contiguous()
    found = crop(x, 0.3, seeded())

    # each crop of a linear image is linear: its range tells the sides of the rectangle
    assert found.min() >= -1e-6
    assert found.max() <= 1 + 1e-6
    sides = torch.stack([found[:, 0, -1, 0] - found[:, 0, 0, 0], found[:, 1, 0, -1] - found[:, 1, 0, 0]])
    areas, ratios = sides.prod(0), sides[0] / sides[1]
    assert areas.min() > 0.25
    assert areas.min() < 0.4
    assert areas.max() > 0.9
    assert ratios.min() > 3 / 4 - 0.12
    assert ratios.max() < 4 / 3 + 0.12
    whole = crop(x, 1.0, seeded())[:, :, 5:-5, 5:-5]
    assert (whole - x[:, :, 5:-5, 5:-5]).abs().max() < 0.15  # but for the aspect ratio


def test_colours_change_and_some_images_turn_grey():
    found = recolour(IMAGES, seeded())

    assert found.min() >= 0
    assert found.max() <= 1
    grey = (found.std(1) < 1e-6).flatten(1).all(1)
    assert 0.1 < float(grey.float().mean()) < 0.3
    kept = (found == IMAGES).flatten(1).all(1)
    assert 0.08 < float(kept.float().mean()) < 0.25  # one in five is not changed, four in five of these not grey
    only_grey = (found - (IMAGES * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)).abs().flatten(1).amax(1)
    assert (only_grey[grey] < 1e-6).any()


@pytest.mark.parametrize("change", [lambda x, g: crop(x, 0.3, g), mirror_some, recolour])
def test_the_stream_determines_the_views(change):
    kept = IMAGES.clone()
    assert torch.equal(change(IMAGES, seeded()), change(IMAGES, seeded()))
    assert not torch.equal(change(IMAGES, seeded()), change(IMAGES, torch.Generator().manual_seed(2)))
    assert torch.equal(IMAGES, kept)
