"""Tests of what is special about each attack."""

import pytest
import torch

from cgm.data.attacks import Clone, Duplicate, FreeRide, Noise, Poison, SplitParty


def data(n: int, seed: int, shape: tuple[int, ...] = (2,)) -> tuple[torch.Tensor, torch.Tensor]:
    """Distinct points whose classes are the numbers of their rows, so that they can be told apart."""

    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, *shape, generator=random, dtype=torch.float64), torch.arange(n)


(X, Y), (OTHER, Z) = data(40, 0), data(30, 1)


def apply(attack, public=None, seed=3):
    return attack.apply([X, OTHER], [Y, Z], seed, public)


def test_duplicates_are_copies():
    parties, labels, identities = apply(Duplicate(copies=3))
    assert identities == (0,)
    assert torch.equal(labels[0].bincount(), torch.full((40,), 3))
    assert torch.equal(parties[0], X[labels[0]])


def test_a_split_party_deals_each_row_once():
    for identities in [2, 3, 20]:
        parties, labels, found = apply(SplitParty(identities=identities))
        assert found == (0, *range(2, identities + 1))
        sizes = [len(parties[i]) for i in found]
        assert max(sizes) - min(sizes) <= 1
        assert sorted(torch.cat([labels[i] for i in found]).tolist()) == list(range(40))
        for i in found:
            assert torch.equal(parties[i], X[labels[i]])


def test_a_split_party_needs_two_rows_for_each_identity():
    with pytest.raises(ValueError, match=r"attack\.identities=21: party 1 has 40 points, .* at most .*=20 is possible"):
        apply(SplitParty(identities=21))


@pytest.mark.parametrize("kind", ["add", "replace"])
def test_a_clone_has_the_data_of_its_source(kind):
    parties, labels, _ = apply(Clone(kind=kind, jitter=0))
    own = 40 if kind == "add" else 0
    assert torch.equal(parties[0], torch.cat([X[:own], OTHER]))
    assert torch.equal(labels[0], torch.cat([Y[:own], Z]))


def test_jitter_is_relative_to_the_features():
    source = torch.cat([100 * data(4000, 5)[0][:, :1], data(4000, 6)[0][:, 1:]], 1)
    parties, *_ = Clone(jitter=0.1, kind="replace").apply([X, source], [Y, torch.zeros(4000).long()], 0)
    noise = (parties[0] - source).std(0)
    torch.testing.assert_close(noise, 0.1 * source.std(0), rtol=0.05, atol=0)


def test_a_source_that_does_not_exist_or_is_the_attacker():
    with pytest.raises(ValueError, match=r"^attack\.source=1: expected another party than attack\.party=1"):
        Clone(source=1)
    with pytest.raises(ValueError, match=r"attack\.source=3: there are 2 parties"):
        apply(Clone(source=3))


def test_noise_replaces_a_share_of_the_rows():
    for kind in ["uniform", "gaussian", "shuffled"]:
        for share in [0.1, 0.5, 1.0]:
            parties, labels, _ = apply(Noise(kind=kind, share=share))
            assert torch.equal(labels[0], Y)
            changed = (parties[0] != X).any(1)
            # a permutation may leave a few rows as they are
            assert share * 40 - (3 if kind == "shuffled" else 0) <= int(changed.sum()) <= share * 40


def test_uniform_noise_fills_the_box_of_the_features():
    x = torch.cat([data(5000, 2)[0] * torch.tensor([1.0, 7.0]) - 3, torch.full((5000, 1), 4.0)], 1).double()
    noise = Noise(share=1.0).apply([x], [torch.zeros(5000).long()], 0).parties[0]
    low, high = x.amin(0), x.amax(0)
    assert (noise >= low).all()
    assert (noise <= high).all()
    torch.testing.assert_close(noise.mean(0), (low + high) / 2, rtol=0.02, atol=0.02)
    torch.testing.assert_close(noise.std(0), (high - low) / 12**0.5, rtol=0.03, atol=1e-6)
    correlation = torch.corrcoef(noise[:, :2].T)[0, 1]
    assert abs(correlation) < 0.06


def test_gaussian_noise_has_mean_and_deviations_of_the_data():
    x = data(5000, 2)[0] * torch.tensor([1.0, 7.0]).double() - 3
    noise = Noise(kind="gaussian", share=1.0).apply([x], [torch.zeros(5000).long()], 0).parties[0]
    torch.testing.assert_close(noise.mean(0), x.mean(0), rtol=0.05, atol=0)
    torch.testing.assert_close(noise.std(0), x.std(0), rtol=0.05, atol=0)
    assert noise.amax() > x.amax()  # not limited to the range of the data


def test_shuffled_features_keep_their_distribution_and_lose_their_relation():
    x = torch.linspace(0, 1, 2000).double()[:, None] * torch.tensor([1.0, -2.0, 0.5]).double()
    noise = Noise(kind="shuffled", share=1.0).apply([x], [torch.zeros(2000).long()], 0).parties[0]
    assert torch.equal(noise.sort(0).values, x.sort(0).values)
    off_diagonal = torch.corrcoef(noise.T)[~torch.eye(3, dtype=torch.bool)]
    assert off_diagonal.abs().max() < 0.1  # 1 in x


def test_a_free_rider_keeps_a_tenth():
    parties, labels, _ = apply(FreeRide())
    assert len(labels[0].unique()) == len(labels[0]) == 4
    assert torch.equal(parties[0], X[labels[0]])
    assert len(apply(FreeRide(share=1e-9)).parties[0]) == 2


def test_a_free_rider_hands_in_copies_of_public_points():
    public = data(50, 9)
    parties, labels, _ = apply(FreeRide(kind="public", share=0.2), public)
    assert len(parties[0]) == 40
    assert labels[0].unique(return_counts=True)[1].tolist() == [5] * 8
    assert torch.equal(parties[0], public[0][labels[0]])


def test_too_few_public_points():
    for public, found in [(None, 0), (data(3, 9), 3), ((X[:0], Y[:0]), 0)]:
        message = rf"attack\.kind=public: there are {found} points that belong to no party, 4 are needed"
        with pytest.raises(ValueError, match=message):
            apply(FreeRide(kind="public"), public)


def test_poison_is_a_shifted_cluster():
    parties, labels, _ = apply(Poison(share=0.25, shift=4.0))
    assert torch.equal(labels[0], Y)
    moved = (parties[0] != X).any(1)
    assert int(moved.sum()) == 10
    steps = (parties[0] - X)[moved] / X.std(0, correction=0)
    torch.testing.assert_close(steps.abs(), torch.full((10, 2), 4.0).double(), rtol=1e-9, atol=0)
    assert len(steps.sign().unique(dim=0)) == 1  # all rows move the same way
    assert torch.cdist(parties[0][moved], X).min() > X.std(0).min()  # where there is no data


def test_the_cluster_may_be_anywhere():
    directions = {tuple((apply(Poison(share=1.0), seed=seed).parties[0] - X)[0].sign().tolist()) for seed in range(30)}
    assert len(directions) == 4
