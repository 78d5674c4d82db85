import threading

import numba
import pytest
import torch

from cgm.utils.run import in_order, limited, workers


@pytest.fixture(params=[1, 3])
def threads(request):
    """Set the number of threads of torch."""

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_there_are_as_many_workers_as_torch_has_threads(threads):
    together = threading.Barrier(threads, timeout=30)  # opens when this many wait at the same time

    def work(_):
        together.wait()
        return threading.get_ident()

    with workers() as pool:
        assert pool._max_workers == threads
        assert len(set(pool.map(work, range(threads)))) == threads


def test_torch_has_one_thread_inside_and_its_own_number_afterwards(threads):
    with workers() as pool:
        assert torch.get_num_threads() == 1
        assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
        with workers() as inner:
            assert inner._max_workers == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_torch_has_its_own_number_after_an_error(threads):
    def fail(_):
        raise OverflowError("in a worker")

    with pytest.raises(OverflowError, match="in a worker"), workers() as pool:
        list(pool.map(fail, range(5)))
    assert torch.get_num_threads() == threads


def test_results_come_in_order(threads):
    with workers() as pool:
        assert list(pool.map(lambda k: float(torch.full((100,), k).sum()), range(20))) == [100 * k for k in range(20)]


def test_in_order_computes_a_limited_number_ahead(threads):
    given, release = [], threading.Event()

    def tasks():
        for k in range(50):
            given.append(k)
            yield k, 10

    def work(k, factor):
        if k == 0:
            release.wait(30)  # the first ends last
        return factor * k

    with workers() as pool:
        results = in_order(pool, work, tasks(), ahead=7)
        assert given == []
        release.set()
        assert next(results) == 0
        assert len(given) == 8
        assert list(results) == [10 * k for k in range(1, 50)]
        assert list(in_order(pool, work, [])) == []


def test_in_order_passes_errors_on(threads):
    def fail(k):
        if k == 3:
            raise OverflowError("in a worker")
        return k

    with workers() as pool:
        results = in_order(pool, fail, [(k,) for k in range(9)], ahead=2)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OverflowError, match="in a worker"):
            next(results)


def test_limited():
    before = torch.get_num_threads(), numba.get_num_threads()
    with limited(None):
        assert (torch.get_num_threads(), numba.get_num_threads()) == before
    with limited(1):
        assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
    assert (torch.get_num_threads(), numba.get_num_threads()) == before
    with pytest.raises(OverflowError), limited(1):
        raise OverflowError
    assert (torch.get_num_threads(), numba.get_num_threads()) == before
