import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cgm.data.features import PCA, Deep
from cgm.data.features.deep import corrupt, power
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.mmd import mmd2_unbiased

SMALL = Deep(components=2, width=8, epochs=2, batch=20)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signs(n: int, seed: int = 0) -> Tensor:
    """Points near the corners of a cube with an even number of minus signs: each two columns are independent."""

    random = torch.Generator().manual_seed(seed)
    s = 2.0 * torch.randint(2, (n, 2), generator=random) - 1
    return torch.cat([s, s[:, :1] * s[:, 1:]], 1) + 0.2 * torch.randn(n, 3, generator=random)


def test_power_is_the_criterion_of_its_docstring() -> None:
    for seed in range(3):
        m = 7
        x, y = normal(m, 3, seed=seed), 1.5 * normal(m, 3, seed=seed + 9)

        def k(a: Tensor, b: Tensor) -> float:
            return math.exp(-float((a - b).square().sum()) / 2)

        h = np.array(
            [[k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(y[i], x[j]) for j in range(m)] for i in range(m)]
        )
        mmd2 = sum(h[i, j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        variance = 4 / m**3 * sum(h[i].sum() ** 2 for i in range(m)) - 4 / m**4 * h.sum() ** 2
        assert float(power(x, y)) == pytest.approx(mmd2 / math.sqrt(variance + 1e-8), rel=1e-10)


def test_power_estimates_the_mmd_over_its_standard_deviation() -> None:
    """Over many pairs of samples: the standard deviation of the estimate is sigma / sqrt(m)."""

    m, kernel = 60, SquaredExponential(1.0)
    pairs = [(normal(m, 1, seed=k), normal(m, 1, seed=1000 + k) + 1) for k in range(300)]
    found = np.array([mmd2_unbiased(kernel, x, y) for x, y in pairs])
    powers = np.array([float(power(x, y)) for x, y in pairs])
    assert powers.mean() == pytest.approx(found.mean() / (found.std() * math.sqrt(m)), rel=0.2)


def test_corrupted_points_keep_columns_and_lose_relations() -> None:
    x = normal(2000, 1).repeat(1, 3) * torch.tensor([1.0, 2.0, 3.0])  # each column tells the others
    random = torch.Generator().manual_seed(0)
    y = corrupt(x, 4000, 0.5, random)
    for j in range(3):
        assert torch.isin(y[:, j], x[:, j]).all()
        assert float(y[:, j].std()) == pytest.approx(float(x[:, j].std()), rel=0.05)
    # two columns stay together with probability 1/4, and are related then
    assert float(torch.corrcoef(y.T)[0, 1]) == pytest.approx(0.25, abs=0.05)
    whole = corrupt(x, 50, 1e-9, random)
    torch.testing.assert_close(3 * whole[:, 0], whole[:, 2])


def test_starts_at_principal_components() -> None:
    x = normal(300, 5) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]) + 7
    features = replace(SMALL, rate=1e-12).fit(x, seed=0)
    z, expected = features.transform(x), PCA(2).fit(x, seed=0).transform(x)
    unit = torch.pdist(expected).median()
    torch.testing.assert_close(z, expected / unit, rtol=1e-4, atol=1e-4)


def test_learns_to_tell_points_from_corrupted_ones() -> None:
    """On points that it was not trained on."""

    train, test = signs(1000), signs(1000, seed=1)
    wrong = corrupt(test, 1000, 0.5, torch.Generator().manual_seed(2))
    features = Deep(components=2, width=32, epochs=40, rate=5e-3).fit(train, seed=0)
    start = replace(features, rate=1e-12, epochs=1).fit(train, seed=0)

    learnt, first = (float(power(f.transform(test), f.transform(wrong))) for f in (features, start))
    assert learnt > 0.3
    assert learnt > 3 * first


def test_the_seed_matters() -> None:
    x = signs(100)
    z = [replace(SMALL).fit(x, seed=seed).transform(x) for seed in (0, 0, 1)]
    assert torch.equal(z[0], z[1])
    assert not torch.equal(z[0], z[2])


def test_a_checkpoint(tmp_path: Path) -> None:
    x = signs(100)
    expected = replace(SMALL).fit(x, seed=0).transform(x)
    features = replace(SMALL, checkpoint=str(tmp_path / "checkpoint"))
    assert torch.equal(features.fit(x, seed=0).transform(x), expected)
    assert (tmp_path / "checkpoint").exists()
    assert torch.equal(features.fit(x, seed=0).transform(x), expected)  # nothing is left to do
    with pytest.raises(ValueError, match=r"a checkpoint of another training .*share=0\.5, here 0\.3"):
        replace(features, share=0.3).fit(x, seed=0)


def test_bad_points() -> None:
    for x, message in [
        (torch.ones(20, 3), "all 20 are equal"),
        (normal(20, 1), "features=deep: the points have one column"),
        (normal(3, 2), "has 3 points, at least 4 are needed"),
        (normal(20, 2)[:, :1].repeat(1, 4), "features.components=2: the points vary in 1 directions, use 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(SMALL).fit(x, seed=0)
