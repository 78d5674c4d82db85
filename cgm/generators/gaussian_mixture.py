"""A mixture of Gaussians."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from cgm.data.datasets.credit_ratings import mixture, reference_pool
from cgm.generators.base import Generator
from cgm.generators.flow import Units
from cgm.networks.fitted import dtype_name
from cgm.utils.random import random_state
from cgm.utils.settings import Integer, Number


@dataclass(eq=False)
class GaussianMixture(Generator):
    r"""Mixture of Gaussians, fitted by expectation maximisation.

    The fit is in units of the standard deviation of each dimension. A constant dimension stays constant.

    Arguments:
        components: The number $k$ of Gaussians.
        covariance: `"full"`, `"tied"` (one covariance for all Gaussians), `"diag"` or `"spherical"`.
        regularization: The number that is added to each variance, as a share of the variance of the dimension. In many
            dimensions (64 pixels that hardly vary) 0.1 gives a higher likelihood of unseen points than the default.
        restarts: The number of starts, of which the fit of highest likelihood is kept.
        iterations: The maximum number of steps of each start. There is a warning if it is reached.
        pretrained: A file that `save` has written, which is loaded instead of a fit; see `Generator`.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]], dtype=torch.float64)
        >>> sample = GaussianMixture(components=2).fit(x, seed=0).sample(1000, seed=0)
        >>> round(float(sample.mean()), 1), round(float(sample.std()), 1)
        (2.5, 2.5)
    """

    components: Annotated[int, Integer(min=1)] = 10
    covariance: Literal["full", "tied", "diag", "spherical"] = "full"
    regularization: Annotated[float, Number(min=0, open_min=True)] = 1e-6
    restarts: Annotated[int, Integer(min=1)] = 1
    iterations: Annotated[int, Integer(min=1)] = 500

    shapes: ClassVar = {
        "origin": ("d",),
        "scale": ("d",),
        "weights": ("k",),
        "means": ("k", "v"),  # v of the d dimensions vary
        "covariances": ("k", "v", "v"),
    }

    def fit(self, x: torch.Tensor, seed: int) -> GaussianMixture:
        """Fit the mixture to points of shape (N, d), at least `components` of which must differ."""

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Mixture

        points = self.check_fit(x)
        units = Units.of(points.double().numpy())
        z = units.reduced(points.double().numpy())

        distinct = len(np.unique(z, axis=0))
        if distinct < self.components:
            raise ValueError(
                f"generator.components={self.components}: more than the {distinct} different points "
                "that it is fitted to; use fewer"
            )

        mixture = Mixture(
            n_components=self.components,
            covariance_type=self.covariance,
            reg_covar=self.regularization,
            n_init=self.restarts,
            max_iter=self.iterations,
            random_state=random_state(seed),
        )

        # k-means adds up results of threads in the order in which they finish; with one thread, the same seed gives the
        # same fit. For such small matrices, more threads are not faster.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(z)

        if not mixture.converged_:
            warnings.warn(
                f"generator.iterations={self.iterations}: the mixture has not converged, use more",
                stacklevel=2,
            )

        k, v = mixture.means_.shape
        covariances = {
            "full": lambda c: c,
            "tied": lambda c: np.broadcast_to(c, (k, v, v)),
            "diag": lambda c: c[:, :, None] * np.eye(v),
            "spherical": lambda c: c[:, None, None] * np.eye(v),
        }[self.covariance](mixture.covariances_)

        self.state = {
            "origin": points.amin(0),  # its dtype is that of the points
            "scale": torch.from_numpy(units.scale),
            "weights": torch.from_numpy(mixture.weights_),
            "means": torch.from_numpy(mixture.means_),
            "covariances": torch.from_numpy((covariances + covariances.transpose(0, 2, 1)) / 2),
        }

        return self

    def check_state(self, state: dict[str, torch.Tensor]) -> None:
        """Check that the tensors describe a mixture."""

        weights, covariances = state["weights"], state["covariances"]
        varying = int((state["scale"] > 0).sum())

        if (state["scale"] < 0).any() or state["means"].shape != (self.components, varying) or varying == 0:
            raise ValueError("means and scale do not belong together")
        if (weights < 0).any() or abs(float(weights.sum()) - 1.0) > 1e-6:
            raise ValueError("weights are not probabilities")
        if not torch.equal(covariances, covariances.mT) or (torch.linalg.eigvalsh(covariances) <= 0).any():
            raise ValueError("covariances are not positive definite")

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points, each from a random component."""

        from sklearn.mixture import GaussianMixture as Mixture

        state = self.check_sample(n)
        weights, means, covariances = (state[name].numpy() for name in ("weights", "means", "covariances"))
        random = random_state(seed)

        mixture = Mixture(n_components=len(weights), covariance_type="full", random_state=random)
        mixture.weights_, mixture.means_, mixture.covariances_ = weights, means, covariances
        # scikit-learn draws component by component; after shuffling, the first points are a sample as well
        with threadpool_limits(1):
            z = random.permutation(mixture.sample(n)[0])

        units = Units(state["origin"].double().numpy(), state["scale"].numpy())

        return torch.from_numpy(units.restored(z)).to(state["origin"].dtype)


REFERENCE_SEED = 2


@dataclass(eq=False)
class TrueMixture(Generator):
    r"""The mixture of five Gaussians from which `dataset=credit_ratings` is drawn (Sec. 6).

    A fit learns nothing; it only checks the shape of the points.

    Arguments:
        mixture_seed: The seed of the five means; that of the dataset.
        reference: Whether to return the paper's own pool, in its order, instead of new draws. The generator is
            `fixed` then: all seeds give the same sample.

    Example:
        >>> x = torch.rand(5, 2, dtype=torch.float64)
        >>> TrueMixture().fit(x, seed=0).sample(3, seed=0).shape
        torch.Size([3, 2])
    """

    mixture_seed: Annotated[int, Integer(min=0, max=2**32 - 1)] = REFERENCE_SEED
    reference: bool = False

    size_names: ClassVar[tuple[str, ...]] = ("dtype",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference and self.mixture_seed != REFERENCE_SEED:
            raise ValueError(
                f"generator.mixture_seed={self.mixture_seed}: the reference has mixture_seed={REFERENCE_SEED}; "
                "use it, or reference=false"
            )

        self.fixed = self.reference

    def fit(self, x: torch.Tensor, seed: int) -> TrueMixture:
        """Check that x has shape (N, 2)."""

        points = self.check_fit(x)
        if points.shape[1] != 2:
            raise ValueError(
                f"generator=true_mixture is the distribution of dataset=credit_ratings (d = 2) only, "
                f"but the points have d = {points.shape[1]}; use another generator, such as generator=kde"
            )

        self.sizes, self.state = {"dtype": dtype_name(points.dtype)}, {}

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n points from the mixture, or return the first n of the reference."""

        self.check_sample(n)

        if self.reference:
            points = reference_pool(n)
        else:
            means, variance = mixture(self.mixture_seed)
            random = np.random.default_rng(seed)
            components = random.integers(len(means), size=n)
            points = means[components] + np.sqrt(variance) * random.standard_normal((n, 2))

        return torch.tensor(points, dtype=getattr(torch, self.sizes["dtype"]))
