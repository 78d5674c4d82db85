"""Properties of every reference: each class in `cgm.valuation.references`, and each file in `conf/reference`.

All values are compared with their definition, from the full kernel matrix in float64.
"""

import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hydra.utils import get_class, instantiate
from torch import Tensor

import cgm.valuation.references
from cgm.contributions.base import compute_contributions
from cgm.contributions.least_core import LeastCore
from cgm.contributions.pointwise import Pointwise, pointwise_values
from cgm.contributions.semivalues import Banzhaf, Shapley, shapley_exact
from cgm.mediator import Mediator
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.valuation.bounds import kernel_bounds
from cgm.valuation.game import TableGame
from cgm.valuation.kernels import Laplacian, SquaredExponential
from cgm.valuation.lengthscale import fit_lengthscale
from cgm.valuation.references import AllReference, LeaveOneOutReference, PoolReference, RealReference, Reference
from cgm.valuation.valuation import Valuation
from tests.contracts.members import check_configuration, classes, configurations
from tests.contributions.common import members, normal


@dataclass(frozen=True)
class FirstParty(Reference):
    """A reference of a user: the data of the first party and the pool."""

    def blocks(self, n: int) -> tuple[int, ...]:
        return (0, n)


CLASSES = classes(cgm.valuation.references, lambda cls: issubclass(cls, Reference))
FILES = configurations("reference")
OF_CGM: dict[str, Reference] = {name: cls() for name, cls in CLASSES.items()}
REFERENCES = OF_CGM | {"a user's own": FirstParty()}
every_reference = pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)

SIZES = [4, 6, 3, 20]  # three parties and the pool
POINTS = torch.cat([normal(size, 2, seed=i) + 0.4 * i for i, size in enumerate(SIZES)])
STARTS = np.cumsum([0, *SIZES])


def rows(blocks: Sequence[int]) -> list[int]:
    return [row for b in blocks for row in range(STARTS[b], STARTS[b + 1])]


def rows_of(reference: Reference, party: int | None = None) -> list[int]:
    """The rows of a reference in T, or of that of a party's contribution, by its definition."""

    if isinstance(reference, PoolReference):
        return rows([3])
    if isinstance(reference, RealReference):
        return rows([0, 1, 2])
    if isinstance(reference, FirstParty):
        return rows([0, 3])
    if isinstance(reference, LeaveOneOutReference) and party is not None:
        return rows([b for b in range(4) if b != party])
    return rows(range(4))


def matrix(lengthscale: float = 1.5) -> np.ndarray:
    x = POINTS.numpy()
    return np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * lengthscale**2))


def plain_value(k: np.ndarray, s: Sequence[int], q: Sequence[int]) -> float:
    """v(S) compared with Q."""

    return float(2 * k[np.ix_(s, q)].mean() - k[np.ix_(s, s)].mean()) if len(s) else 0.0


def make(reference: Reference) -> Valuation:
    *parties, pool = POINTS.split(SIZES)
    return Valuation(SquaredExponential(1.5), parties, pool, reference=reference)


def plain_game(q: Sequence[int]) -> Tensor:
    k = matrix()
    return torch.tensor([plain_value(k, rows(sorted(members(c, 3))), q) for c in range(8)], dtype=torch.float64)


def test_every_class_has_a_file() -> None:
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())
    assert {name: type(instantiate(config)) for name, config in FILES.items()} == {
        "all": AllReference,
        "pool": PoolReference,
        "real": RealReference,
        "leave_one_out": LeaveOneOutReference,
    }


def test_files_state_every_setting() -> None:
    for config in FILES.values():
        check_configuration(config, {})


@every_reference
def test_references_are_values(reference: Reference) -> None:
    assert pickle.loads(pickle.dumps(reference)) == replace(reference) == reference
    assert hash(replace(reference)) == hash(reference)


@every_reference
def test_blocks(reference: Reference) -> None:
    for n in (1, 2, 5):
        for blocks in (reference.blocks(n), *(reference.blocks_of(n, i) for i in range(n))):
            assert blocks
            assert list(blocks) == sorted(set(blocks))
            assert set(blocks) <= set(range(n + 1))


@every_reference
def test_values(reference: Reference) -> None:
    valuation, k, q = make(reference), matrix(), rows_of(reference)
    np.testing.assert_allclose(valuation.coalition_values(), plain_game(q), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        valuation.party_values, [plain_value(k, rows([i]), q) for i in range(3)], rtol=0, atol=1e-12
    )
    expected = [plain_value(k, rows([i, 3]), q) for i in range(3)]
    np.testing.assert_allclose(valuation.with_synthetic, expected, rtol=0, atol=1e-12)
    assert valuation.grand_value == pytest.approx(plain_value(k, rows([0, 1, 2]), q), abs=1e-12)
    some = [1, 5, 11, 20, 30]
    assert valuation.value(POINTS[some]) == pytest.approx(plain_value(k, some, q), abs=1e-12)
    assert valuation.total == pytest.approx(k.sum(), rel=1e-12)
    assert valuation.t == len(q)


@every_reference
def test_contributions(reference: Reference) -> None:
    """φ_i in the game of party i's own reference; for most references, one game."""

    valuation = make(reference)
    for contribution in (Shapley(), Banzhaf(), LeastCore()):
        result = compute_contributions(contribution, valuation, seed=0)
        expected = [contribution.compute(TableGame(plain_game(rows_of(reference, i))), seed=0).phi[i] for i in range(3)]
        np.testing.assert_allclose(result.phi, expected, rtol=0, atol=1e-11)
        np.testing.assert_allclose(result.alpha, result.phi / result.phi.max(), rtol=1e-14)


@every_reference
def test_contributions_of_points(reference: Reference) -> None:
    """Against all coalitions of points of two parties of three points each."""

    parties, pool = [normal(3, 2, seed=5), normal(3, 2, seed=6)], normal(9, 2, seed=7)
    valuation = Valuation(SquaredExponential(1.5), parties, pool, reference=reference)
    x = torch.cat([*parties, pool])
    k = np.exp(-(torch.cdist(x, x).numpy() ** 2) / (2 * 1.5**2))
    ends = {0: range(3), 1: range(3, 6), 2: range(6, 15)}
    games = valuation.contribution_games()
    assert len(games) == (2 if isinstance(reference, LeaveOneOutReference) else 1)
    totals = []
    for i, game in enumerate(games):
        q = [row for b in reference.blocks_of(2, i) for row in ends[b]]
        values = [plain_value(k, sorted(members(c, 6)), q) for c in range(2**6)]
        expected = shapley_exact(torch.tensor(values, dtype=torch.float64))
        np.testing.assert_allclose(pointwise_values(game), expected, rtol=0, atol=1e-12)
        totals.append(expected.reshape(2, 3).sum(1))
    phi = [totals[min(i, len(totals) - 1)][i] for i in range(2)]
    np.testing.assert_allclose(compute_contributions(Pointwise(), valuation, 0).phi, phi, rtol=0, atol=1e-12)


@every_reference
@pytest.mark.parametrize("beta", [0.0, 3.0, math.inf])
def test_sampling(reference: Reference, beta: float) -> None:
    """The values of each step compare with the reference, the MMD with T, and the greedy choice is the best value."""

    valuation, k, q = make(reference), matrix(), rows_of(reference)
    chains = WeightedSampling([beta], patience=None).draw(valuation, [math.inf] * 3, seed=0)
    everything = list(range(len(POINTS)))
    for chain in chains:
        s = rows([chain.party])
        assert chain.start == pytest.approx(plain_value(k, s, q), abs=1e-12)
        assert len(chain.indices) == 20
        for x, value in zip(chain.indices.tolist(), chain.values.tolist(), strict=True):
            if beta == math.inf:
                others = [row for row in rows([3]) if row not in s]
                best = max(plain_value(k, [*s, row], q) for row in others)
                assert plain_value(k, [*s, STARTS[3] + x], q) == pytest.approx(best, abs=1e-12)
            s.append(STARTS[3] + x)
            assert value == pytest.approx(plain_value(k, s, q), abs=1e-12)
        mmd2 = k[np.ix_(s, s)].mean() - 2 * k[np.ix_(s, everything)].mean() + k.mean()
        assert chain.mmd2_biased == pytest.approx(mmd2, abs=1e-12)


@every_reference
def test_targets(reference: Reference) -> None:
    """A chain ends at the first value that reaches its target."""

    valuation = make(reference)
    targets = valuation.party_values.lerp(valuation.with_synthetic.clamp(min=0), 0.3)
    for chain in WeightedSampling([8.0], patience=None).draw(valuation, targets, seed=1):
        if chain.reached and len(chain.values):
            assert chain.value >= chain.target * (1 - 1e-7)
            assert (chain.values[:-1] < chain.target).all()


@every_reference
def test_the_length_scale(reference: Reference) -> None:
    """The smallest one of 2^12 for which all v(D_i), compared with the reference, are non-negative."""

    *parties, pool = POINTS.split(SIZES)
    q = rows_of(reference)

    def worst(lengthscale: float) -> float:
        k = matrix(lengthscale)
        return min(plain_value(k, rows([i]), q) for i in range(3))

    fitted = fit_lengthscale(SquaredExponential(), parties, pool, 0.01, 20, 12, reference)
    step = (20 - 0.01) / 2**12
    assert worst(fitted.lengthscale) >= 0
    assert worst(fitted.lengthscale - step) < 0
    assert fit_lengthscale(Laplacian(), parties, pool, 0.01, 20, 12, reference).lengthscale != fitted.lengthscale


def test_one_party_and_its_own_data() -> None:
    """There is no other point in the reference: v(D_1) is the mean of the kernel, positive for any length-scale."""

    x, pool = normal(5, 2), normal(9, 2, seed=1)
    fitted = fit_lengthscale(SquaredExponential(), [x], pool, 0.01, 20, 12, RealReference())
    assert fitted.lengthscale == pytest.approx(0.01 + (20 - 0.01) / 2**12)
    valuation = Valuation(SquaredExponential(1.0), [x], pool, reference=RealReference())
    expected = float(np.exp(-(torch.cdist(x, x).numpy() ** 2) / 2).mean())
    assert float(valuation.party_values[0]) == pytest.approx(expected, abs=1e-12)


@every_reference
def test_bounds_are_those_of_all_data(reference: Reference) -> None:
    """Proposition 4 and Theorem 1 compare with T."""

    bounds = kernel_bounds(make(reference))
    k = matrix()
    assert bounds.min == pytest.approx(k.min(), rel=1e-12)
    same = len(rows_of(reference)) == len(POINTS)
    assert bool(bounds.nonnegative) == same  # at least half of T has a non-negative value in any case
    assert same or bounds.monotone == []


def test_bad_blocks() -> None:
    class Own(Reference):
        def __init__(self, numbers: tuple[int, ...]) -> None:
            self.numbers = numbers

        def blocks(self, n: int) -> tuple[int, ...]:
            return self.numbers

    *parties, pool = POINTS.split(SIZES)
    for numbers in ((), (0, 0), (4,), (1, 0), (-1, 2)):
        with pytest.raises(ValueError, match=r"reference: Own has the blocks \(.*; expected one or more ascending"):
            make(Own(numbers))
        with pytest.raises(ValueError, match="reference: Own has the blocks"):
            fit_lengthscale(SquaredExponential(), parties, pool, reference=Own(numbers))


# --- the mediator


@every_reference
def test_mediator(reference: Reference) -> None:
    parties = list(POINTS.split(SIZES)[:3])
    # with all real points as the reference, no data is worth as much as they are: there are no stable rewards
    scheme, sampling = ShapleyFair(stable=False), WeightedSampling([4.0], patience=None)
    mediator = Mediator(scheme=scheme, sampling=sampling, reference=reference, synthetic_size=200)
    settlement = mediator.settle(parties, seed=0)
    game = settlement.game
    assert game.reference == reference
    assert (game.party_values >= 0).all()  # the length-scale was fitted with the same reference
    expected = Shapley().compute(game)
    if isinstance(reference, LeaveOneOutReference):
        assert not torch.equal(settlement.contributions.phi, expected.phi)
        other = replace(mediator, reference=AllReference()).settle(parties, seed=0)
        assert torch.equal(settlement.rewards.upper, other.rewards.upper)  # bounds compare with T
        assert game.kernel == other.game.kernel
    else:
        assert torch.equal(settlement.contributions.phi, expected.phi)
    for chain in settlement.drawn.values():
        s = torch.cat([game.party(chain.party), settlement.reward(chain.party, chain.beta)])
        assert chain.value == pytest.approx(game.value(s), abs=1e-9)


def test_real_data_has_the_largest_value_if_it_is_the_reference() -> None:
    """v(S) = const - MMD²(S, Q), and the MMD of Q itself is 0. So no reward is worth v(N), as stability requires."""

    valuation = make(RealReference())
    assert float(valuation.with_synthetic.max()) < valuation.grand_value
    assert valuation.grand_value == pytest.approx(float(valuation.coalition_values().max()))
    with pytest.raises(InfeasibleScheme):
        Mediator(reference=RealReference(), synthetic_size=100).settle(list(POINTS.split(SIZES)[:3]), seed=0)


def test_the_reference_of_a_mediator_is_checked() -> None:
    with pytest.raises(ValueError, match="reference: expected a Reference, got int"):
        Mediator(reference=5)  # type: ignore[arg-type]
