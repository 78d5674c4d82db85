r"""The pass over the kernel in independent tasks, for many processes or machines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from cgm.utils.checks import check_integer
from cgm.utils.run import limited
from cgm.valuation.kernels import Kernel
from cgm.valuation.mmd import KernelPass, check_pass, partial_pass, resolve_precision, tile_size
from cgm.valuation.tiles import Tiles, sort_by_norm


class Part(NamedTuple):
    """What one task returns: sums of its rows with all blocks, and of the later rows with the blocks of its rows."""

    rows: np.ndarray
    columns: dict[int, np.ndarray]
    gamma: float
    eta: float


def kernel_pass_in_tasks(
    kernel: Kernel, x: torch.Tensor, sizes: Sequence[int], precision: str = "auto", exact: int = 0, tasks: int = 64
) -> KernelPass:
    r"""Compute the pass of `kernel_pass` in independent tasks of joblib.

    A task has some rows of tiles, the same number of tiles in each task. It uses one core, reads the points, of shape
    $(t, d)$, and returns sums of about $t$ points. The backend of joblib says where tasks run: in processes on this
    machine, or with `joblib.parallel_config(backend="dask")` or `"ray"` on the machines of a cluster.

    The sums depend on the number of tasks, but only in the order of additions, by about $10^{-15}$ of their size. They
    do not depend on the backend.

    Arguments:
        kernel, x, sizes, precision, exact: See `kernel_pass`. Tasks compute on the CPU.
        tasks: The number of tasks; several for each core, so that all cores finish at about the same time.

    Raises:
        ValueError: As `kernel_pass`.

    Example:
        >>> import joblib, torch
        >>> from cgm.valuation.kernels import SquaredExponential
        >>> x = torch.tensor([[0.0], [0.0], [100.0]])
        >>> with joblib.parallel_config(backend="threading", n_jobs=2):
        ...     kernel_pass_in_tasks(SquaredExponential(1.0), x, sizes=[2, 1]).sums
        tensor([[2., 0.],
                [2., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    import joblib

    x = check_pass(x, sizes)
    check_integer("tasks", tasks, min=1)
    precision = resolve_precision(precision, len(x))
    order, size = sort_by_norm(x, sizes), tile_size(x)
    points = x[order].cpu().numpy()  # of an array, joblib gives all processes of this machine the same copy
    ranges = row_ranges(len(x), size, tasks)
    sums = np.zeros((len(x), len(sizes)))
    gamma, eta = np.inf, -np.inf
    with limited(1), joblib.Parallel() as parallel:  # for backends whose tasks are threads of this process
        ahead = 4 * joblib.effective_n_jobs(parallel.n_jobs)  # results are large, and not all backends yield them
        for first in range(0, len(ranges), ahead):
            batch = ranges[first : first + ahead]
            results = parallel(
                joblib.delayed(compute_part)(kernel, points, list(sizes), size, precision, exact, starts)
                for starts in batch
            )
            for starts, part in zip(batch, results, strict=True):  # in order
                stop = starts.start + len(part.rows)
                sums[starts.start : stop] += part.rows
                for block, column in part.columns.items():
                    sums[stop:, block] += column
                gamma, eta = min(gamma, part.gamma), max(eta, part.eta)

    result = torch.empty(sums.shape, dtype=torch.float64)
    result[order.cpu()] = torch.from_numpy(sums)
    return KernelPass(result.to(x.device), gamma, eta)


def compute_part(
    kernel: Kernel, points: np.ndarray, sizes: list[int], size: int, precision: str, exact: int, starts: range
) -> Part:
    """Compute some rows of tiles, in one thread.

    Arguments:
        kernel: The kernel.
        points: The points, sorted by their norms within each block, of shape (t, d).
        sizes: The number of points in each block.
        size: The number of rows of a tile.
        precision: `"float32"` or `"float64"`.
        exact: The number of points, from the first, for which all kernel values are in float64 in any case.
        starts: The first points of the rows of tiles.
    """

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = torch.from_numpy(np.array(points))  # a copy: an array that processes share is read-only
        with ThreadPoolExecutor(1) as pool:
            tiles = Tiles(kernel, x, x, size, precision, exact, rows=starts)
            part = partial_pass(tiles, sizes, exact, starts, pool)
    finally:
        torch.set_num_threads(threads)
    stop = min(starts.stop, len(points))
    edges = np.cumsum([0, *sizes])
    blocks = [b for b in range(len(sizes)) if edges[b] < stop and edges[b + 1] > starts.start]
    sums = part.sums.numpy()
    columns = {block: np.ascontiguousarray(sums[stop:, block]) for block in blocks}
    return Part(np.ascontiguousarray(sums[starts.start : stop]), columns, part.gamma, part.eta)


def row_ranges(t: int, size: int, tasks: int) -> list[range]:
    """Split the rows of tiles, of which later ones have fewer tiles, into ranges of about as many tiles each.

    Arguments:
        t: The number of points.
        size: The number of rows of a tile.
        tasks: The number of ranges; fewer, if there are fewer rows.

    Example:
        >>> [list(starts) for starts in row_ranges(t=40, size=10, tasks=2)]
        [[0, 10], [20, 30]]
    """

    rows = -(-t // size)
    done = np.cumsum(np.arange(rows, 0, -1)).tolist()  # tiles of the rows up to each row
    ends = sorted({bisect_left(done, done[-1] * (k + 1) / tasks) + 1 for k in range(tasks)} | {rows})
    return [range(a * size, b * size, size) for a, b in zip([0, *ends], ends, strict=False) if a < b <= rows]
