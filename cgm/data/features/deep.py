"""The features of a network that learns to tell points from points with mixed columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch

from cgm.data.features.base import Features, check_distinct, flatten_points
from cgm.data.features.linear import PCA
from cgm.networks.architectures import DeepNetwork, in_batches, weights_of
from cgm.networks.fitted import FittedNetwork
from cgm.networks.training import Batch, Budget, Checkpoint, Descent, Epochs, Minutes, Rate, seeded
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Number

WEIGHT_DECAY = 1e-3
SUBSET = 1000  # points from which the first length-scale is computed
REGULARISATION = 1e-8  # of the variance, as in MMD-D


@dataclass(eq=False)
class Deep(FittedNetwork["DeepNetwork"], Features):
    r"""The features of a network with which a two-sample test tells the points from corrupted ones.

    With a squared exponential kernel on its features, the network $\varphi$ makes a deep kernel,
    $k(x, x') = \exp(-\|\varphi(x) - \varphi(x')\|^2 / 2 \ell^2)$. A corrupted point is a point in which each column is
    replaced, with probability `share`, by that of another random point: each column keeps its distribution, and the
    relations between columns are lost. Training maximises the power of the test that compares the two by the MMD,
    approximately $\text{MMD}_u^2 / \sigma$ with the standard deviation $\sigma$ of the estimate (see `power`).
    No labels are used, and not which point is whose.

    The network is a linear map plus one of two hidden layers. Training starts at principal components in units of their
    median distance, with $\ell = 1$. Then the network is fixed, and the kernel of the valuation with its own
    length-scale is applied to its features: Proposition 4 and Theorem 1 hold as for any points. Images are flattened.

    Arguments:
        components: The number $d$ of features.
        width: The number of units of each hidden layer.
        share: The probability that a column of a corrupted point is replaced.
        epochs, minutes, batch, rate, checkpoint: See `cgm.networks.training.Budget`.

    References:
        | Learning Deep Kernels for Non-Parametric Two-Sample Tests (Liu et al., 2020), https://arxiv.org/abs/2002.09116
        | SCARF: Self-Supervised Contrastive Learning using Random Feature Corruption (Bahri et al., 2022),
          https://arxiv.org/abs/2106.15147, for the corruption

    Example:
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> Deep(components=2, width=4, epochs=1).fit(x, seed=0).transform(x).shape
        torch.Size([50, 2])
    """

    components: Annotated[int, Integer(min=1)] = 8
    width: Annotated[int, Integer(min=1)] = 64
    share: Annotated[float, Number(min=0, max=1, open_min=True)] = 0.5
    epochs: Epochs = 50
    minutes: Minutes = None
    batch: Batch = 256
    rate: Rate = 1e-3
    checkpoint: Checkpoint = None

    size_names: ClassVar[tuple[str, ...]] = ("width",)
    file_settings: ClassVar[tuple[str, ...] | None] = ("components", "width")

    def make_network(self, sizes: Mapping[str, Any]) -> DeepNetwork:
        """Construct the network for a number of columns."""

        return DeepNetwork(self.components, self.width, sizes["width"])

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> Deep:
        """Train the network on x of shape (N, D) or (N, C, H, W)."""

        points = flatten_points(x, "points to fit features to", min=4)
        check_distinct(points, "points to fit features to")
        if points.shape[1] < 2:
            raise ValueError(
                "features=deep: the points have one column, and there are no relations of columns to learn"
            )

        sizes = {"width": points.shape[1]}
        with seeded(seed):
            network = self.make_network(sizes)
        pca = PCA(self.components).fit(points, seed)
        z = pca.transform(points[:: max(1, len(points) // SUBSET)])
        unit = float(torch.pdist(z).median()) or float(torch.pdist(z).mean())
        scale = float(points.var(0, correction=0).mean().sqrt())
        network.start(pca.fitted()["mean"], scale, pca.fitted()["directions"], unit)
        x = points.float()

        def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            z = network(torch.cat([x[rows], corrupt(x, len(rows), self.share, generator)]))
            return -power(*z.chunk(2))

        settings = {"components": self.components, "width": self.width, "share": self.share}
        label = "features: deep"
        budget = Budget.of(self, WEIGHT_DECAY)
        self.report = Descent(network, loss, {"points": x}, seed, budget, "features", label, settings).train()
        self.sizes, self.state = sizes, weights_of(network)

        return self

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features of points, batch by batch."""

        network = self.network()
        x = flatten_points(x, "points to transform", width=self.sizes["width"]).float()

        return in_batches(network, x, "features").double()


def corrupt(x: torch.Tensor, n: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """Draw corrupted points.

    Arguments:
        x: The points, of shape (N, D).
        n: The number of corrupted points.
        share: The probability that a column of one is replaced by that of another random point.
        generator: Draws them.

    Returns:
        The points, of shape (n, D).
    """

    rows = torch.randint(len(x), (n, 1), generator=generator)
    others = torch.randint(len(x), (n, x.shape[1]), generator=generator)
    replaced = torch.rand(n, x.shape[1], generator=generator) < share

    return x.gather(0, torch.where(replaced, others, rows))


def power(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    r"""Compute the criterion of the power of the two-sample test by the MMD, with a squared exponential kernel.

    .. math:: \frac{\text{MMD}_u^2}{\sqrt{\sigma^2 + \lambda}}, \qquad
        \text{MMD}_u^2 = \frac{1}{m (m - 1)} \sum_{i \neq j} H_{ij}, \qquad
        \sigma^2 = \frac{4}{m^3} \sum_i \Bigl(\sum_j H_{ij}\Bigr)^2 - \frac{4}{m^4} \Bigl(\sum_{i, j} H_{ij}\Bigr)^2

    with $H_{ij} = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(y_i, x_j)$ and the length-scale 1.

    Arguments:
        x: Points of one sample, of shape $(m, d)$, $m \geq 2$.
        y: As many points of the other, of shape $(m, d)$.

    References:
        Learning Deep Kernels for Non-Parametric Two-Sample Tests (Liu et al., 2020), Eq. 3 to 5.
    """

    m = len(x)
    z = torch.cat([x, y])
    square = z.square().sum(1)
    k = (-(square[:, None] + square - 2 * z @ z.T).clamp(min=0) / 2).exp()  # (2m, 2m)
    cross = k[:m, m:]
    h = k[:m, :m] + k[m:, m:] - cross - cross.T
    mmd2 = (h.sum() - h.diagonal().sum()) / (m * (m - 1))
    variance = 4 / m**3 * h.sum(1).square().sum() - 4 / m**4 * h.sum().square()

    return mmd2 / (variance.clamp(min=0) + REGULARISATION).sqrt()
