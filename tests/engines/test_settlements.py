"""The same bytes of a whole settlement, whatever the engine and the number of its workers."""

import hashlib
import os
from pathlib import Path

import pytest
import torch

from cgm.clusters import Dask, Ray
from cgm.engines import Engine, Loky, Threads
from cgm.mediator import Mediator, Settlement
from cgm.valuation.kernels import Kernel, Laplacian, SquaredExponential
from tests.engines.tasks import Deadly


def digest(settlement: Settlement) -> str:
    """Return a hash of all numbers of a settlement."""

    game = settlement.game
    numbers = [game.sums, game.coalition_values(), game.with_synthetic, torch.tensor([game.gamma, game.eta])]
    numbers += [settlement.contributions.alpha, settlement.rewards.values, settlement.pool.points]
    for reward in settlement.drawn.values():
        numbers += [reward.indices, reward.values, torch.tensor([reward.mmd2_biased, reward.mmd2_unbiased])]
    whole = hashlib.sha256()
    for each in numbers:
        whole.update(each.numpy().tobytes())
    return whole.hexdigest()


def settle(engine: Engine, size: int, kernel: Kernel) -> Settlement:
    generator = torch.Generator().manual_seed(0)
    parties = [torch.randn(500, 2, generator=generator) + shift for shift in (0.0, 0.5, 1.0)]
    mediator = Mediator(kernel=kernel, synthetic_size=size, engine=engine)
    return mediator.settle(parties, seed=1)


@pytest.fixture
def all_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgm.engines.FEW", 0)


@pytest.mark.usefixtures("all_travels")
def test_threads_and_processes() -> None:
    for kernel in (SquaredExponential(0.5), Laplacian(0.5)):
        expected = settle(Threads(1), 2000, kernel)
        for engine in (Threads(3), Loky(1)):
            assert digest(settle(engine, 2000, kernel)) == digest(expected), (engine, kernel)


@pytest.mark.usefixtures("all_travels")
def test_a_process_that_is_killed_in_the_middle_of_a_pass(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kernel = Deadly(0.5, str(tmp_path / "killed"), os.getpid())
    expected = digest(settle(Threads(1), 2000, kernel))
    assert not Path(kernel.marker).exists()
    assert digest(settle(Loky(1), 2000, kernel)) == expected
    assert Path(kernel.marker).exists()
    assert [line for line in caplog.messages if line.startswith("engine=loky: a worker has ended")]


@pytest.mark.cluster
def test_all_engines(pytestconfig: pytest.Config) -> None:
    if "cluster" not in pytestconfig.option.markexpr:
        pytest.skip("takes minutes: -m cluster")
    kernel = SquaredExponential("fit")
    expected = digest(settle(Threads(1), 20_000, kernel))
    engines = [Threads(2), Threads(3), Loky(1), Loky(2), Loky(3), Dask(1), Dask(2), Dask(3), Ray(1), Ray(2), Ray(3)]
    assert {repr(engine): digest(settle(engine, 20_000, kernel)) for engine in engines} == {
        repr(engine): expected for engine in engines
    }
