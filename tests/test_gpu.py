"""What `device=cuda` computes, against the CPU: `pytest -m gpu` on a machine with a GPU."""

import pytest
import torch

from cgm.generators.mmd_gan import MMDGAN
from cgm.mediator import Mediator
from cgm.utils.run import training_device, training_on
from cgm.valuation.kernels import Kernel
from cgm.valuation.mmd import cross_sums, kernel_pass
from cgm.valuation.valuation import Valuation
from tests.utils.gpu import gpu
from tests.valuation.common import KERNELS, clouds, normal

CUDA = torch.device("cuda")


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return KERNELS[request.param][0]


@gpu
@pytest.mark.parametrize("d", [2, 8])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_kernel_pass(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, d: int, precision: str) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", 50)  # 800 on a GPU
    x, sizes = clouds(d, 3000), [100, 200, 2700]
    cpu, found = (kernel_pass(kernel, y, sizes, precision, exact=300) for y in (x, x.to(CUDA)))
    assert found.sums.device.type == "cuda"
    double = kernel_pass(kernel, x, sizes)
    torch.testing.assert_close(found.sums.cpu()[:300], double.sums[:300], rtol=1e-12, atol=1e-12)
    tolerance = 1e-5 if precision == "float32" else 1e-12
    torch.testing.assert_close(found.sums.cpu(), cpu.sums, rtol=tolerance, atol=tolerance)
    assert float(found.sums.sum()) == pytest.approx(float(double.sums.sum()), rel=1e-7)
    assert found.eta == pytest.approx(double.eta, rel=1e-6)
    cross = cross_sums(kernel, x[:500].to(CUDA), x[500:].to(CUDA)).cpu()
    torch.testing.assert_close(cross, cross_sums(kernel, x[:500], x[500:]), rtol=1e-12, atol=1e-12)


@gpu
def test_near_copies(kernel: Kernel) -> None:
    pool = 0.4 * normal(10, 8)[torch.arange(3000) % 10] + 1e-9 * normal(3000, 8, seed=1)
    parties = [normal(50, 8, seed=2), normal(50, 8, seed=3)]
    single = Valuation(kernel, [x.to(CUDA) for x in parties], pool.to(CUDA), "float32").with_synthetic
    torch.testing.assert_close(single, Valuation(kernel, parties, pool).with_synthetic, rtol=0, atol=1e-7)


@gpu
def test_a_settlement_has_the_numbers_of_the_cpu() -> None:
    parties = [normal(100, 2, seed=seed) + seed for seed in range(3)]
    cpu, found = (Mediator(synthetic_size=1000, device=device).settle(parties, seed=0) for device in ("cpu", "cuda"))
    torch.testing.assert_close(found.contributions.alpha, cpu.contributions.alpha, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.rewards.values, cpu.rewards.values, rtol=1e-9, atol=0)
    for one, other in zip(found.drawn.values(), cpu.drawn.values(), strict=True):
        assert torch.equal(one.indices.cpu(), other.indices.cpu())


@gpu
@pytest.mark.parametrize("loss", ["paper", "repulsive"])
@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_the_training_of_a_gan(tmp_path, loss: str, arithmetic: str) -> None:
    images = torch.rand(64, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    settings = {"pretrained": False, "channels": 4, "steps": 4, "batch_size": 8, "evaluate_every": 2}
    settings |= {"loss": loss, "arithmetic": arithmetic}
    cpu = MMDGAN(**settings).fit(images, seed=0)
    with training_on(CUDA):
        found = MMDGAN(**settings, checkpoint=str(tmp_path)).fit(images, seed=0)
        again = MMDGAN(**settings, checkpoint=str(tmp_path)).fit(images, seed=0)  # from the checkpoint
    assert all(x.device.type == "cpu" for x in found.fitted().values())
    tolerance = 1e-3 if arithmetic == "float32" else 0.1
    for name, x in found.fitted().items():
        torch.testing.assert_close(x.float(), cpu.fitted()[name].float(), rtol=tolerance, atol=tolerance)
        assert torch.equal(x, again.fitted()[name])
    assert found.sample(3, seed=0).device.type == "cpu"
    with pytest.raises(ValueError, match="a checkpoint of another training"):
        MMDGAN(**settings, checkpoint=str(tmp_path)).fit(images, seed=0)


def test_generators_are_trained_on_the_device_of_the_mediator(monkeypatch: pytest.MonkeyPatch) -> None:
    devices, meta = [], torch.device("meta")

    def fit(*args: object) -> None:
        devices.append(training_device())
        raise ZeroDivisionError

    monkeypatch.setattr("cgm.mediator.resolve_device", lambda name: meta)
    monkeypatch.setattr("cgm.generators.kde.KDE.fit", fit)
    with pytest.raises(ZeroDivisionError):
        Mediator(synthetic_size=100).settle([normal(20, 2), normal(20, 2, seed=1)], seed=0)
    assert devices == [meta]
    assert training_device() == torch.device("cpu")
