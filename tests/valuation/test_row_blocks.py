"""The pass in independent tasks, against the pass of one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import joblib
import pytest
import torch

from cgm.valuation.mmd import kernel_pass
from cgm.valuation.row_blocks import kernel_pass_in_tasks, row_ranges
from cgm.valuation.valuation import Valuation
from tests.valuation.common import KERNELS, clouds, normal


@contextmanager
def backend(name: str) -> Iterator[None]:
    with joblib.parallel_config(backend=name, n_jobs=2):
        yield


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_sums_are_those_of_one_process(monkeypatch: pytest.MonkeyPatch, name: str, precision: str) -> None:
    monkeypatch.setattr("cgm.valuation.mmd.TILE", 64)
    for d, tasks in product((2, 8), (1, 3, 64)):
        x, sizes, kernel = clouds(d, 700), [50, 90, 560], KERNELS[name][0]
        expected = kernel_pass(kernel, x, sizes, precision, exact=140)
        with backend("threading"):
            result = kernel_pass_in_tasks(kernel, x, sizes, precision, exact=140, tasks=tasks)
        torch.testing.assert_close(result.sums, expected.sums, rtol=1e-13, atol=1e-13)
        assert result.gamma == pytest.approx(expected.gamma, rel=1e-6, abs=1e-30)
        assert result.eta == pytest.approx(expected.eta, rel=1e-6)


def test_processes_have_the_numbers_of_threads() -> None:
    x, sizes, kernel = normal(2500, 2), [100, 2400], KERNELS["squared_exponential"][0]
    results = []
    for name in ("threading", "loky"):
        with backend(name):
            results.append(kernel_pass_in_tasks(kernel, x, sizes, "float32", exact=100, tasks=4))
    assert torch.equal(results[0].sums, results[1].sums)
    assert results[0][1:] == results[1][1:]
    expected = kernel_pass(kernel, x, sizes, "float32", exact=100)
    torch.testing.assert_close(results[0].sums, expected.sums, rtol=1e-13, atol=0)


def test_a_valuation_in_tasks() -> None:
    parties, pool, kernel = [normal(20, 2, seed=1), normal(30, 2, seed=2)], normal(900, 2), KERNELS["laplacian"][0]
    whole = Valuation(kernel, parties, pool)
    with backend("threading"):
        tasks = Valuation(kernel, parties, pool, tasks=8)
    for name in ("party_values", "with_synthetic"):
        torch.testing.assert_close(getattr(tasks, name), getattr(whole, name), rtol=0, atol=1e-14)
    assert (tasks.gamma, tasks.eta) == pytest.approx((whole.gamma, whole.eta), rel=1e-12)


def test_bad_sizes_and_settings() -> None:
    with pytest.raises(ValueError, match="expected positive sizes that add up to 10 points"):
        kernel_pass_in_tasks(KERNELS["laplacian"][0], normal(10, 2), [4, 5])
    with pytest.raises(ValueError, match=r"^tasks=0: expected an integer >= 1"):
        kernel_pass_in_tasks(KERNELS["laplacian"][0], normal(10, 2), [4, 6], tasks=0)


def test_ranges_cover_all_rows_with_equal_work() -> None:
    for (t, size), tasks in product(((1, 10), (10, 10), (95, 10), (1000, 7)), (1, 2, 5, 64, 1000)):
        ranges = row_ranges(t, size, tasks)
        assert [start for starts in ranges for start in starts] == list(range(0, t, size))
        assert len(ranges) <= tasks
        rows = -(-t // size)
        work = [sum(rows - start // size for start in starts) for starts in ranges]
        assert max(work) <= rows * (rows + 1) / 2 / tasks + rows
