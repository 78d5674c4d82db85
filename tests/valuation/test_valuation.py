"""The valuation, against full kernel matrices and what the paper proves."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cgm.utils.checks import check_parties, check_pool
from cgm.valuation.game import Game
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from tests.valuation.common import KERNELS, matrix, normal, plain_value


@pytest.fixture(params=KERNELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def problem(d: int = 2, seed: int = 0) -> tuple[list[Tensor], Tensor, list[list[int]]]:
    """Parties of 5, 2, 9 and 4 points, a pool of 13, and the rows of T of each of these blocks."""

    sizes = [5, 2, 9, 4, 13]
    blocks = [normal(size, d, seed=100 * seed + i) + 0.3 * i for i, size in enumerate(sizes)]
    edges = np.cumsum([0, *sizes])
    return blocks[:-1], blocks[-1], [list(range(a, b)) for a, b in itertools.pairwise(edges)]


# --- all attributes, against the full matrix


@pytest.mark.parametrize(("tile", "d"), [(7, 3), (1024, 1)])
def test_all_attributes(monkeypatch: pytest.MonkeyPatch, name: str, d: int, tile: int) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
    parties, synthetic, rows = problem(d)
    valuation = Valuation(KERNELS[name][0], parties, synthetic)
    x = torch.cat([*parties, synthetic])
    k = matrix(name, x, x)
    n, close = 4, {"rtol": 1e-12, "atol": 1e-14}

    assert valuation.n == n
    assert valuation.t == 33
    assert valuation.sizes == [5, 2, 9, 4, 13]
    assert valuation.kernel is KERNELS[name][0]
    assert torch.equal(valuation.points, x)
    for i in range(n):
        assert torch.equal(valuation.party(i), parties[i])
    assert torch.equal(valuation.synthetic, synthetic)
    assert [list(range(33))[valuation.block(i)] for i in range(n + 1)] == rows

    np.testing.assert_allclose(valuation.sums, np.stack([k[:, block].sum(1) for block in rows], axis=1), **close)
    np.testing.assert_allclose(valuation.a, [k[block].sum() for block in rows[:n]], **close)
    b = [[k[np.ix_(i, j)].sum() for j in rows[:n]] for i in rows[:n]]
    np.testing.assert_allclose(valuation.b, b, **close)
    assert torch.equal(valuation.b, valuation.b.T)
    assert valuation.total == pytest.approx(k.sum(), rel=1e-13)
    off_diagonal = k[~np.eye(33, dtype=bool)]
    assert valuation.gamma == pytest.approx(off_diagonal.min(), rel=1e-12)
    assert valuation.eta == pytest.approx(off_diagonal.max(), rel=1e-12)

    np.testing.assert_allclose(valuation.party_values, [plain_value(k, rows[i]) for i in range(n)], **close)
    together = [plain_value(k, rows[i] + rows[n]) for i in range(n)]
    np.testing.assert_allclose(valuation.with_synthetic, together, **close)
    assert valuation.grand_value == pytest.approx(plain_value(k, list(range(20))), rel=1e-12)
    for tensor in (valuation.a, valuation.b, valuation.sums, valuation.party_values, valuation.with_synthetic):
        assert tensor.dtype == torch.float64


def test_coalitions(name: str) -> None:
    """All subsets by itertools; the bits of c are the members of coalition number c."""

    parties, synthetic, rows = problem()
    valuation = Valuation(KERNELS[name][0], parties, synthetic)
    x = torch.cat([*parties, synthetic])
    k = matrix(name, x, x)

    values = valuation.coalition_values()
    assert values.shape == (16,)
    assert values.dtype == torch.float64
    assert values[0] == 0
    assert valuation.coalition([]) == 0
    for size in range(1, 5):
        for members in itertools.combinations(range(4), size):
            expected = plain_value(k, [x for i in members for x in rows[i]])
            number = sum(2**i for i in members)
            assert float(values[number]) == pytest.approx(expected, rel=1e-11)
            assert valuation.coalition(members) == pytest.approx(expected, rel=1e-11)
    assert valuation.coalition([2, 0, 2]) == valuation.coalition({0, 2}) == valuation.coalition(iter([0, 2]))


def test_one_party() -> None:
    parties, synthetic, _ = problem()
    valuation = Valuation(SquaredExponential(0.7), parties[:1], synthetic)
    assert isinstance(valuation, Game)
    assert valuation.n == 1
    assert valuation.coalition_values().tolist() == pytest.approx([0, valuation.grand_value], rel=1e-13)
    assert valuation.party_values.tolist() == pytest.approx([valuation.grand_value], rel=1e-13)


def test_coalition_values_of_ten_parties() -> None:
    parties = [normal(2 + i, 2, seed=i) for i in range(10)]
    valuation = Valuation(SquaredExponential(0.7), parties, normal(20, 2, seed=99))
    values = valuation.coalition_values()
    for number in range(1, 1024, 13):
        members = [i for i in range(10) if number >> i & 1]
        assert float(values[number]) == pytest.approx(valuation.coalition(members), rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("tile", [4, 1024])
def test_value_of_any_points(monkeypatch: pytest.MonkeyPatch, name: str, tile: int) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", tile)
    parties, synthetic, rows = problem()
    valuation = Valuation(KERNELS[name][0], parties, synthetic)
    x = torch.cat([*parties, synthetic])
    k = matrix(name, x, x)

    for s in ([0], [32], [3, 30], rows[2], rows[1] + rows[4], list(range(33))):
        assert valuation.value(x[s]) == pytest.approx(plain_value(k, s), rel=1e-11, abs=1e-13)
    outside = normal(11, 2, seed=77) + 0.2
    expected = 2 * matrix(name, outside, x).mean() - matrix(name, outside, outside).mean()
    assert valuation.value(outside) == pytest.approx(expected, rel=1e-11)
    assert valuation.value(outside.float()) == pytest.approx(expected, rel=1e-5)
    mixed = torch.cat([outside, x[5:9]])
    expected = 2 * matrix(name, mixed, x).mean() - matrix(name, mixed, mixed).mean()
    assert valuation.value(mixed) == pytest.approx(expected, rel=1e-11)


def test_in_closed_form() -> None:
    """Points so far apart that K is the identity: v(S) = 2 / t - 1 / s."""

    x = 1e3 * torch.arange(20, dtype=torch.float64)[:, None]
    valuation = Valuation(SquaredExponential(1.0), [x[:2], x[2:5]], x[5:])
    assert valuation.party_values.tolist() == pytest.approx([2 / 20 - 1 / 2, 2 / 20 - 1 / 3])
    assert valuation.grand_value == pytest.approx(2 / 20 - 1 / 5)
    assert valuation.with_synthetic.tolist() == pytest.approx([2 / 20 - 1 / 17, 2 / 20 - 1 / 18])
    assert valuation.value(x) == pytest.approx(1 / 20)
    assert valuation.gamma == valuation.eta == 0


def test_single_precision_data_is_valued_in_double() -> None:
    parties, synthetic, _ = problem()
    parties, synthetic = [x.float() for x in parties], synthetic.float()
    valuation = Valuation(SquaredExponential(0.7), parties, synthetic)
    assert valuation.points.dtype == torch.float64
    double = Valuation(SquaredExponential(0.7), [x.double() for x in parties], synthetic.double())
    assert torch.equal(valuation.sums, double.sums)
    assert valuation.with_synthetic.dtype == torch.float64


@pytest.mark.parametrize("d", [1, 2, 8])
def test_precision(name: str, d: int) -> None:
    """With float32 on G x G, values of the parties' own points do not change, and v(D_i ∪ G) is accurate to 1e-7."""

    parties = [normal(size, d, seed=size) + shift for size, shift in ((40, 0.0), (25, 1.0), (60, -0.5))]
    synthetic = 1.5 * normal(1500, d, seed=1)
    double, single = (Valuation(KERNELS[name][0], parties, synthetic, p) for p in ("float64", "float32"))
    exact = {"rtol": 1e-13, "atol": 1e-15}

    assert torch.equal(single.sums[:125], double.sums[:125])
    assert torch.equal(single.sums[:, :3], double.sums[:, :3])
    torch.testing.assert_close(single.b, double.b, **exact)
    torch.testing.assert_close(single.party_values, double.party_values, **exact)
    torch.testing.assert_close(single.coalition_values(), double.coalition_values(), **exact)
    torch.testing.assert_close(single.sums[125:, 3], double.sums[125:, 3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(single.with_synthetic, double.with_synthetic, rtol=1e-7, atol=0)
    assert not torch.equal(single.with_synthetic, double.with_synthetic)
    assert single.total == pytest.approx(double.total, rel=1e-7)
    assert single.value(synthetic[:50]) == double.value(synthetic[:50])
    for extreme in ("gamma", "eta"):
        assert getattr(single, extreme) == pytest.approx(getattr(double, extreme), rel=1e-4)


def test_precision_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    parties, synthetic, _ = problem()
    double, single = (Valuation(SquaredExponential(0.7), parties, synthetic, p) for p in ("float64", "float32"))
    assert torch.equal(Valuation(SquaredExponential(0.7), parties, synthetic).sums, double.sums)
    monkeypatch.setattr("cgm.valuation.mmd.LARGE", 32)
    assert torch.equal(Valuation(SquaredExponential(0.7), parties, synthetic).sums, single.sums)
    with pytest.raises(ValueError, match=r"^precision=half: expected one of auto, float32, float64$"):
        Valuation(SquaredExponential(0.7), parties, synthetic, "half")


def test_order_of_points_and_parties_does_not_matter() -> None:
    parties, synthetic, _ = problem()
    k = SquaredExponential(0.7)
    values = Valuation(k, parties, synthetic)
    turned = Valuation(k, [x.flip(0) for x in parties[::-1]], synthetic.flip(0))
    torch.testing.assert_close(turned.party_values.flip(0), values.party_values, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(turned.with_synthetic.flip(0), values.with_synthetic, rtol=1e-12, atol=1e-14)
    assert turned.grand_value == pytest.approx(values.grand_value, rel=1e-12)


# --- bad input


def broken(x: Tensor, row: int, value: float) -> Tensor:
    x = x.clone()
    x[row, 1] = value
    return x


PARTIES, POOL, _ = problem()
BAD: dict[str, tuple[list, object, str]] = {
    "no parties": ([], POOL, "parties: there are none"),
    "NaN": ([PARTIES[0], broken(PARTIES[2], 6, math.nan)], POOL, "party 2: row 6 holds NaN or infinity"),
    "infinity": ([broken(PARTIES[0], 1, -math.inf)], POOL, "party 1: row 1 holds NaN or infinity"),
    "NaN in G": (PARTIES, broken(POOL, 12, math.nan), r"synthetic_size\): row 12 holds NaN or infinity"),
    "width": ([PARTIES[0], normal(4, 3)], POOL, "party 2: has 3 columns where 2 are expected"),
    "width of G": (PARTIES, normal(4, 3), r"synthetic_size\): has 3 columns where 2 are expected"),
    "vector": ([PARTIES[0][:, 0]], POOL, r"party 1: expected shape \(N, d\), got \(5,\)"),
    "no columns": ([PARTIES[0][:, :0]], POOL, r"party 1: expected shape \(N, d\), got \(5, 0\)"),
    "empty party": ([*PARTIES, normal(0, 2)], POOL, "party 5: has 0 points, at least 2"),
    "one point": ([PARTIES[0], normal(1, 2)], POOL, "party 2: has 1 points, at least 2"),
    "empty pool": (PARTIES, normal(0, 2), r"synthetic_size\): has 0 points, at least 1"),
    "copies": ([PARTIES[0], torch.full((6, 2), 0.3)], POOL, "party 2: all its 6 points are equal"),
    "text": ([[["a", "b"], ["c", "d"]]], POOL, "party 1: expected numbers, got text"),
}


def test_bad_input() -> None:
    for parties, synthetic, match in BAD.values():
        with pytest.raises(ValueError, match=match):
            check_pool(synthetic, check_parties(parties))
        with pytest.raises(ValueError, match=match):
            Valuation(SquaredExponential(1.0), parties, synthetic)


def test_nearly_equal_points_can_be_valued() -> None:
    nearly = torch.full((3, 2), 0.3, dtype=torch.float64)
    nearly[2, 1] += 1e-12
    check_parties([nearly, PARTIES[0]])
    Valuation(SquaredExponential(1.0), [nearly, PARTIES[0]], POOL[:1])


def test_a_kernel_whose_lengthscale_is_a_rule() -> None:
    with pytest.raises(ValueError, match=r"kernel\.lengthscale='fit'"):
        Valuation(SquaredExponential("fit"), PARTIES, POOL)


def test_bad_coalition() -> None:
    valuation = Valuation(SquaredExponential(1.0), PARTIES, POOL)
    for members in ([4], [-1], [0, 7]):
        with pytest.raises(ValueError, match=r"coalition: members=.*numbered 0 to 3"):
            valuation.coalition(members)


def test_bad_points_to_value() -> None:
    valuation = Valuation(SquaredExponential(1.0), PARTIES, POOL)
    with pytest.raises(ValueError, match="value: points: has 3 columns where 2 are expected"):
        valuation.value(normal(4, 3))
    with pytest.raises(ValueError, match="value: points: has 0 points"):
        valuation.value(normal(0, 2))
    with pytest.raises(ValueError, match="value: points: row 2 holds NaN or infinity"):
        valuation.value(broken(normal(4, 2), 2, math.nan))
