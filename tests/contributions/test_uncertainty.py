"""Standard errors over rows: against real deletion of rows, and against the spread over draws."""

import itertools

import numpy as np
import pytest
import torch

from cgm.contributions import (
    Banzhaf,
    BetaShapley,
    Contribution,
    EqualShares,
    LeastCore,
    LeaveOneOut,
    Shapley,
    uncertainty,
)
from cgm.contributions.base import Contributions, compute_contributions
from cgm.contributions.uncertainty import Uncertainty, pair_sums, standard_errors
from cgm.valuation.kernels import Kernel, Laplacian, SquaredExponential
from cgm.valuation.references import AllReference, LeaveOneOutReference, PoolReference, RealReference, Reference
from cgm.valuation.valuation import Valuation

REFERENCES = [AllReference(), PoolReference(), RealReference(), LeaveOneOutReference()]
SEMIVALUES = [Shapley(), Banzhaf(), BetaShapley(4, 1), LeaveOneOut()]


def draw(seed: int, sizes: list[int], shifts: list[float], d: int = 2) -> list[torch.Tensor]:
    """Draw the parties' points, and those of the pool last."""

    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.standard_normal((s, d)) + shift) for s, shift in zip(sizes, shifts, strict=True)]


def value_of(blocks: list[torch.Tensor], kernel: Kernel, reference: Reference, seed: int = 0) -> Valuation:
    return Valuation(kernel, blocks[:-1], blocks[-1], reference=reference)


def plain_jackknife(blocks: list[torch.Tensor], kernel: Kernel, contribution: Contribution, reference: Reference):
    """Compute v(D_i) and φ_i again without each row, and the variances of v, φ and the differences of φ."""

    n, total = len(blocks) - 1, 0.0
    for k, block in enumerate(blocks):
        found = []
        for x in range(len(block)):
            without = [*blocks[:k], torch.cat([block[:x], block[x + 1 :]]), *blocks[k + 1 :]]
            game = value_of(without, kernel, reference)
            phi = compute_contributions(contribution, game, 0).phi
            found.append(torch.cat([game.party_values, phi, (phi[:, None] - phi).flatten()]).numpy())
        total += (len(block) - 1) * np.var(found, axis=0)
    v, phi, differences = np.split(np.sqrt(total), [n, 2 * n])
    return v, phi, differences.reshape(n, n)


@pytest.mark.parametrize(
    "reference",
    [AllReference(), PoolReference(), RealReference(), LeaveOneOutReference()],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("contribution", SEMIVALUES, ids=lambda c: type(c).__name__)
def test_equal_to_real_deletion(monkeypatch, contribution: Contribution, reference: Reference) -> None:
    """Without the correction of the second order, the errors are those of a plain delete-one jackknife."""

    monkeypatch.setattr(uncertainty, "MAX_BLOCKS", 0)
    blocks = draw(1, [5, 8, 3, 12], [0.0, 0.5, 1.0, 0.5])
    kernel = Laplacian(2.0)
    game = value_of(blocks, kernel, reference)
    errors = standard_errors(game, contribution, compute_contributions(contribution, game, 0))
    v, phi, differences = plain_jackknife(blocks, kernel, contribution, reference)
    np.testing.assert_allclose(errors.v, v, rtol=1e-9)
    np.testing.assert_allclose(errors.phi, phi, rtol=1e-9)
    np.testing.assert_allclose(errors.differences, differences, rtol=1e-9, atol=1e-14)


def test_pair_sums() -> None:
    values = np.random.default_rng(0).standard_normal(16)
    for i, j in itertools.product(range(4), repeat=2):
        expected = sum(values[c] for c in range(16) if c >> i & 1 and c >> j & 1)
        assert pair_sums(values)[i, j] == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [[20, 30, 25, 60], [40, 40, 40, 150]])
@pytest.mark.parametrize("lengthscale", [0.7, 3.0])
def test_spread_over_draws(sizes: list[int], lengthscale: float) -> None:
    """The mean of the squared errors is near the variance over draws, not below, for parties alike and not."""

    kernel, found, errors = SquaredExponential(lengthscale), [], []
    for seed in range(300):
        game = value_of(draw(seed, sizes, [0.0, 0.0, 1.0, 0.3]), kernel, AllReference())
        contributions = Shapley().compute(game)
        each = standard_errors(game, Shapley(), contributions)
        phi = contributions.phi
        found.append([*game.party_values, *phi, phi[0] - phi[1], phi[0] - phi[2]])
        errors.append([*each.v, *each.phi, each.differences[0, 1], each.differences[0, 2]])
    ratio = np.mean(np.square(errors), 0) / np.var(found, 0)
    assert (ratio > 0.8).all(), ratio
    assert (ratio < 1.3).all(), ratio
    inside = np.abs(np.array(found) - np.mean(found, 0)) <= 1.96 * np.array(errors)
    assert (inside.mean(0) > 0.91).all(), inside.mean(0)


def test_parties_that_cannot_be_told_apart() -> None:
    blocks = draw(3, [80, 80, 80, 80, 400], [0.0, 0.0, 2.0, 2.0, 1.0])
    game = value_of(blocks, SquaredExponential(1.0), AllReference())
    contributions = Shapley().compute(game)
    errors = standard_errors(game, Shapley(), contributions)
    assert isinstance(errors, Uncertainty)
    phi = contributions.phi
    expected = [
        (i, j) for i, j in itertools.combinations(range(4), 2) if abs(phi[i] - phi[j]) <= 2 * errors.differences[i, j]
    ]
    assert errors.not_distinguished(phi) == expected
    largest = phi.argsort(descending=True).tolist()
    for i in range(4):
        j = largest[0] if i != largest[0] else largest[1]
        assert errors.to_largest[i] == phi[i] - phi[j]
        assert errors.to_largest_stderr[i] >= errors.differences[i, j] > 0
    assert (errors.to_largest > 0).sum() == 1


def test_copies_have_no_error_between_them() -> None:
    x, _, pool = draw(0, [30, 30, 100], [0.0, 0.0, 0.5])
    game = value_of([x, x, pool], SquaredExponential(1.0), AllReference())
    contributions = Shapley().compute(game)
    errors = standard_errors(game, Shapley(), contributions)
    assert errors.not_distinguished(contributions.phi) == [(0, 1)]


def test_what_is_unknown() -> None:
    blocks = draw(0, [5] * 22, [0.0] * 22)
    game = value_of(blocks, SquaredExponential(2.0), AllReference())
    phi = torch.ones(21, dtype=torch.float64)
    errors = standard_errors(game, Shapley(), Contributions.of(phi, "sampled"))
    assert errors.phi is errors.differences is errors.to_largest is errors.to_largest_stderr is None
    assert "21 parties" in errors.reason
    assert errors.not_distinguished(phi) == []
    assert (errors.v > 0).all()

    game = value_of(draw(0, [5, 6, 2, 1], [0.0] * 4), SquaredExponential(2.0), AllReference())
    for concept in (LeastCore(), EqualShares()):
        errors = standard_errors(game, concept, concept.compute(game))
        assert errors.phi is None
        assert "states no weights of coalitions" in errors.reason
        assert torch.isfinite(errors.v).all()


def test_one_party() -> None:
    game = value_of(draw(0, [9, 30], [0.0, 0.0]), SquaredExponential(1.0), AllReference())
    contributions = Shapley().compute(game)
    errors = standard_errors(game, Shapley(), contributions)
    assert errors.phi.tolist() == pytest.approx(errors.v.tolist())
    assert errors.to_largest.tolist() == errors.to_largest_stderr.tolist() == [0]
