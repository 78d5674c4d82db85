import torch

from cgm.networks.training import seeded, stream


def test_streams_differ():
    draws = {tuple(torch.rand(2, generator=stream(*key)).tolist()) for key in ((0,), (1,), (0, 1), (0, 1, 1), (1, 1))}

    assert len(draws) == 5


def test_the_global_state_is_restored():
    state = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(2)
    with seeded(3):
        assert torch.equal(torch.rand(2), first)

    assert torch.equal(torch.get_rng_state(), state)
