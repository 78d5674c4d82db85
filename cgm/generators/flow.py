"""Standard deviations as units of points."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cgm.generators.base import Generator
from cgm.generators.columns import Cells
from cgm.networks.architectures import in_batches
from cgm.networks.fitted import FittedNetwork, Shape
from cgm.networks.training import Batch, Budget, Checkpoint, Descent, Epochs, Minutes, Progress, Rate, seeded, stream
from cgm.utils.checks import check_points
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Number


@dataclass(frozen=True)
class Units:
    """Coordinates in which each dimension has minimum zero and unit variance, and constant dimensions are left out.

    Arguments:
        origin: The minima, of shape $(d)$.
        scale: The standard deviations, of shape $(d)$; zero for a constant dimension.
    """

    origin: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> Units:
        """Compute the units of points of shape (N, d)."""

        with np.errstate(over="ignore"):
            origin, span = points.min(0), np.ptp(points, 0)
        if not np.isfinite(span).all():
            raise ValueError(f"points: dimension {int(np.argmax(span))} spans more than a float64 can hold; rescale it")
        share = (points - origin) / np.where(span > 0, span, 1.0)  # in [0, 1]: its square cannot overflow

        return cls(origin, span * share.std(0, ddof=1))

    @property
    def varying(self) -> np.ndarray:
        """The indices of the dimensions that are not constant."""

        return np.flatnonzero(self.scale)

    def reduced(self, points: np.ndarray) -> np.ndarray:
        """Convert points of shape (N, d) to their varying dimensions in these units, of shape (N, v)."""

        return (points - self.origin)[:, self.varying] / self.scale[self.varying]

    def restored(self, z: np.ndarray) -> np.ndarray:
        """Convert varying dimensions of shape (N, v) back to points of shape (N, d)."""

        points = np.tile(self.origin, (len(z), 1))
        points[:, self.varying] += self.scale[self.varying] * z

        return points


MAX_DIMENSIONS = 1000
HELD_OUT, NOISE, SAMPLE = 301, 302, 303  # keys of random streams


@dataclass(eq=False)
class Flow(FittedNetwork["nn.Module"], Generator):
    r"""Neural spline flow: an invertible network that maps points to Gaussian ones, trained by maximum likelihood.

    A point is first mapped to $y_j = \operatorname{asinh}((x_j - c_j) / w_j)$, where $c_j$ is the median and $w_j$ the
    mean distance from it; this shortens heavy tails. Each of several transforms then maps every $y_j$ by an increasing
    spline on $[-5, 5]$, whose knots a network computes from other coordinates. The network is that of the package zuko:
    `pip install ".[flow]"` in a checkout of cgm.

    The loss is $-\log \hat p(x)$, averaged over the rows of a batch. Some points are held out of the training: their
    likelihood is computed after each epoch, and the weights of the epoch with the largest one are kept.

    In training, a value of a discrete column is replaced by uniform draws from the numbers that are closer to it than
    to other values of the column, and samples are rounded to the nearest value: only values of the data occur.
    Samples of continuous columns are limited to the range of the data. Atoms of other columns, such as many zeros, are
    smoothed; `Copula` keeps them. A constant column stays constant. Of neighbouring columns that are the one-hot code
    of a category, the largest one is the category of a sample.

    On a table of a few hundred rows, 100 epochs are only as many steps; use more.

    Arguments:
        transforms: The number of transforms.
        hidden: The number of units of both hidden layers of each network; in more dimensions than this, as many.
        bins: The number of bins of the splines.
        validation: The share of points that are held out. If there are none, the last weights are kept.
        epochs, minutes, batch, rate, checkpoint: See `cgm.networks.training.Budget`.
        pretrained: A file that `save` has written, which is loaded instead of a fit; see `Generator`.

    Raises:
        ModuleNotFoundError: When fitted or loaded, if zuko is not installed.

    References:
        | Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019)
        | Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017)

    Example:
        >>> x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        >>> flow = Flow(transforms=1, hidden=8, epochs=2).fit(x, seed=0)
        >>> flow.sample(4, seed=0).shape, flow.log_density(x).shape
        (torch.Size([4, 2]), torch.Size([50]))
    """

    transforms: Annotated[int, Integer(min=1)] = 3
    hidden: Annotated[int, Integer(min=1)] = 64
    bins: Annotated[int, Integer(min=2)] = 8
    validation: Annotated[float, Number(min=0, max=0.5)] = 0.1
    epochs: Epochs = 100
    minutes: Minutes = None
    batch: Batch = 256
    rate: Rate = 5e-3
    checkpoint: Checkpoint = None

    size_names: ClassVar[tuple[str, ...]] = ("varying",)
    file_settings: ClassVar[tuple[str, ...] | None] = ("transforms", "hidden", "bins")

    def make_network(self, sizes: Mapping[str, Any]) -> nn.Module:
        """Construct the network for a number of varying dimensions, with random weights."""

        v = sizes["varying"]
        if v > MAX_DIMENSIONS:
            raise ValueError(f"generator=flow: {v:,} dimensions, at most {MAX_DIMENSIONS:,} are possible; use fewer")

        units = max(self.hidden, v)  # with fewer units, some dimensions would not depend on all others
        return _zuko().flows.NSF(v, transforms=self.transforms, bins=self.bins, hidden_features=(units, units))

    @limited(1)  # sums, and so the weights, depend on the number of threads
    def fit(self, x: torch.Tensor, seed: int) -> Flow:
        """Train the network on points of shape (N, d)."""

        points = self.check_fit(x)
        p = points.double().numpy()
        units, cells = Units.of(p), Cells.of(p)
        z = units.reduced(p)
        centre = np.median(z, axis=0)
        width = np.abs(z - centre).mean(0)
        sizes = {"varying": z.shape[1]}
        with seeded(seed):
            network = self.make_network(sizes)

        # the ends of the cells, with mean zero and unit width: between them, points are drawn in each step
        low, high = (torch.from_numpy((units.reduced(end) - centre) / width).float() for end in cells.limits(p))
        rows = torch.randperm(len(p), generator=stream(seed, HELD_OUT))
        held, used = rows.split([int(self.validation * len(p)), len(p) - int(self.validation * len(p))])
        low_used, high_used = low[used], high[used]

        def draw(low: torch.Tensor, high: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return torch.lerp(low, high, torch.rand(low.shape, generator=generator))

        def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return -_log_density(network, draw(low_used[rows], high_used[rows], generator)).mean()

        settings = {name: getattr(self, name) for name in ("transforms", "hidden", "bins", "validation")}
        data, label = {"low": low_used, "high": high_used}, "generator: flow"
        points_held = draw(low[held], high[held], stream(seed, NOISE))
        training = FlowTraining(network, points_held, loss, data, seed, Budget.of(self), "generator", label, settings)
        self.report = training.train()
        if "log_likelihood" in self.report:  # in the units of the points
            self.report["log_likelihood"] -= _log_scale(units, width)

        self.sizes = sizes
        self.state = {
            "origin": points.amin(0),  # its dtype is that of the points
            "scale": torch.from_numpy(units.scale),
            "centre": torch.from_numpy(centre),
            "width": torch.from_numpy(width),
            "values": torch.from_numpy(np.concatenate(cells.values)),
            "lengths": torch.tensor([len(v) for v in cells.values], dtype=torch.float64),
            "discrete": torch.from_numpy(cells.kinds).double(),
        } | {f"network.{name}": w.detach().clone() for name, w in training.best.named_parameters()}

        return self

    def shapes_for(self, sizes: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Return the shapes of the tensors, those of the network's weights among them."""

        v = sizes["varying"]
        with seeded(0):
            weights = self.make_network(sizes).named_parameters()
        own: dict[str, Shape] = {"origin": ("d",), "scale": ("d",), "centre": (v,), "width": (v,)}
        own |= {"values": ("k",), "lengths": ("d",), "discrete": ("d",)}

        return own | {f"network.{name}": tuple(w.shape) for name, w in weights}

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check scales and cells."""

        scale, lengths, discrete = (state[name] for name in ("scale", "lengths", "discrete"))
        if (scale < 0).any() or int((scale > 0).sum()) != len(state["width"]) or (state["width"] <= 0).any():
            raise ValueError("scale and width do not belong together")
        if (lengths < 1).any() or (lengths != lengths.round()).any() or int(lengths.sum()) != len(state["values"]):
            raise ValueError("lengths are not those of the values")
        if (discrete < 0).any() or (discrete != discrete.round()).any():
            raise ValueError("discrete has values other than 0 and 1, and numbers of categories")
        if any((np.diff(v) <= 0).any() for v in _cells(state).values):
            raise ValueError("values do not increase")

    def network(self) -> nn.Module:
        """Return the fitted network, in float64: in float32, splines are sometimes not invertible."""

        state = self.fitted()
        with seeded(0):
            network = self.make_network(self.sizes)
        weights = {name.removeprefix("network."): w for name, w in state.items() if name.startswith("network.")}
        network.load_state_dict(weights, strict=False)  # masks follow from the sizes

        return network.double().eval().requires_grad_(False)

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points: the inverse of the network for Gaussian noise."""

        state = self.check_sample(n)
        network = self.network()
        noise = torch.randn(n, len(state["width"]), generator=stream(seed, SAMPLE), dtype=torch.float64)

        def invert(part: torch.Tensor) -> torch.Tensor:
            return network().transform.inv(part).sinh()

        z = in_batches(invert, noise, "generating points") * state["width"] + state["centre"]
        points = Units(state["origin"].double().numpy(), state["scale"].numpy()).restored(z.numpy())

        return torch.from_numpy(_cells(state).rounded(points)).to(state["origin"].dtype)

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        r"""Compute the logarithm of the density, before samples are rounded or limited to the range of the data.

        Dimensions that are constant in the fit are left out.

        Arguments:
            x: Points of shape $(M, d)$.

        Returns:
            The logarithms, of shape $(M)$, float64.

        Raises:
            ValueError: If nothing has been fitted yet, or x has another width than the fitted points.
        """

        state = self.fitted()
        units, width = Units(state["origin"].double().numpy(), state["scale"].numpy()), state["width"].numpy()
        x = check_points(x, "points", width=len(units.origin))
        z = torch.from_numpy((units.reduced(x.detach().cpu().double().numpy()) - state["centre"].numpy()) / width)
        network = self.network()

        return in_batches(lambda part: _log_density(network, part), z, "log-density") - _log_scale(units, width)


class FlowTraining(Descent):
    r"""Training of a flow that keeps the weights of the epoch in which held-out points have the largest likelihood.

    Arguments:
        network: The network. It is changed in place.
        held: Held-out points of shape $(M, v)$. If there are none, the last weights are the best ones.
        arguments: The further arguments of `Descent`.

    Attributes:
        best: The network with the best weights.
    """

    def __init__(self, network: nn.Module, held: torch.Tensor, *arguments: Any) -> None:
        super().__init__(network, *arguments)
        self.network, self.held = network, held
        self.best, self.likelihood = copy.deepcopy(network), -np.inf
        self.networks = {"network": network, "best": self.best}
        self.evaluate_every = self.batches

    def numbers(self) -> dict[str, Any]:
        """Return the largest likelihood; `None` before the first one."""

        return {"likelihood": self.likelihood if np.isfinite(self.likelihood) else None}

    def load_numbers(self, numbers: Mapping[str, Any]) -> None:
        """Restore the largest likelihood."""

        self.likelihood = -np.inf if numbers["likelihood"] is None else float(numbers["likelihood"])

    def evaluate(self, progress: Progress) -> None:
        """Keep the weights if the held-out points are more likely than before."""

        if len(self.held):
            with torch.no_grad():
                found = float(_log_density(self.network, self.held).double().mean())
            if found <= self.likelihood:
                return
            self.likelihood = found
        self.best.load_state_dict(self.network.state_dict())

    def finish(self, progress: Progress) -> None:
        """Measure the last weights too, if the time limit has ended an epoch early."""

        self.evaluate(progress)
        if len(self.held):
            self.report["log_likelihood"] = self.likelihood


def _log_density(network: nn.Module, z: torch.Tensor) -> torch.Tensor:
    r"""Compute the log-density of $z$ of shape $(B, v)$ in units of the widths, if the network has that of asinh z."""

    return network().log_prob(z.asinh()) - torch.log1p(z.square()).sum(1) / 2


def _log_scale(units: Units, width: NDArray) -> float:
    """Return the difference between log-densities in units of the widths and those in units of the points."""

    return float(np.log(width).sum() + np.log(units.scale[units.varying]).sum())


def _cells(state: Mapping[str, torch.Tensor]) -> Cells:
    return Cells.joined(*(state[name].numpy() for name in ("values", "lengths", "discrete")))


def _zuko() -> ModuleType:
    try:
        import zuko
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'generator=flow: zuko is not installed; run pip install ".[flow]" in a checkout of cgm'
        ) from error

    return zuko
