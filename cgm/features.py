"""Reduces points or images to the features that are valued."""

import json
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import torch
from sklearn.decomposition import PCA as ScikitPCA
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from torch import Tensor
from torch.nn import functional

from . import pretrained
from .checks import check_points, check_whole
from .fitted import Fitted, random_state
from .networks import AutoencoderNetwork, check_images, in_batches, settle, weights_of, with_weights
from .pretrained import Weights, check_choice
from .training import SETTLE, Budget, seeded, stream, train

log = logging.getLogger(__name__)

KNOWN = 1000  # images, about, that pretrained weights are tried on
UNLIKE = 2.0  # the greatest ratio of their mean squared errors to those of the weights' own test


class Features(Fitted, ABC):
    r"""Represents a map from points or images to the $d$-dimensional points that are valued.

    It is fitted to real points, and never sees a label. `save` and `load` are those of a generator.
    """

    @abstractmethod
    def fit(self, x: Tensor, seed: int) -> "Features":
        r"""Fits the map to x of shape $(N, D)$ or $(N, C, H, W)$, and returns itself."""

    @abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        r"""Maps x of shape $(N, D)$ or $(N, C, H, W)$ to features of shape $(N, d)$, float64.

        Raises:
            ValueError: If nothing has been fitted yet, or x is not as wide as what was fitted.
        """


class Identity(Features):
    """Leaves points as they are, and flattens images.

    Example:
        >>> images = torch.zeros(5, 1, 8, 8)
        >>> Identity().fit(images, seed=0).transform(images).shape
        torch.Size([5, 64])
    """

    shapes: ClassVar = {"empty": (0, "D")}  # all there is to remember is the width

    def fit(self, x: Tensor, seed: int) -> "Identity":
        """Remembers the width of x."""

        self.state = {"empty": _flat(x, "points to fit features to").new_empty(0, x[0].numel())}

        return self

    def transform(self, x: Tensor) -> Tensor:
        """Flattens x."""

        return _flat(x, "points to transform", width=self.fitted()["empty"].shape[1])


@dataclass(frozen=True)
class Automatic:
    r"""Picks features by what is to be reduced: an autoencoder's code for images, and points as they are.

    Arguments:
        components: The number $d$ of dimensions of the code.
    """

    components: int = 8

    def __post_init__(self) -> None:
        """Refuses a number of components that is none."""

        check_whole("features.components", self.components, least=1)

    def pick(self, x: Tensor) -> Features:
        r"""Picks the features for x of shape $(N, D)$ or $(N, C, H, W)$."""

        return Autoencoder(self.components) if x.dim() == 4 else Identity()


@dataclass(eq=False)
class PCA(Features):
    r"""Projects onto the directions of greatest variance.

    Of the two signs that a direction could have, scikit-learn's `svd_flip` picks one.

    Arguments:
        components: The number $d$ of directions.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> PCA(components=1).fit(x, seed=0).transform(x)
        tensor([[-1.4142],
                [ 0.0000],
                [ 1.4142]], dtype=torch.float64)
    """

    components: int = 8

    shapes: ClassVar = {"mean": ("D",), "directions": ("d", "D")}

    def __post_init__(self) -> None:
        """Refuses a number of components that is none."""

        value = self.components
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"features.components={value!r}: use a whole number from 1")

    def fit(self, x: Tensor, seed: int) -> "PCA":
        """Finds the directions; the seed counts only where scikit-learn takes its randomised solver."""

        points = _flat(x, "points to fit features to", least=2).numpy()

        if self.components > min(points.shape):
            raise ValueError(
                f"features.components={self.components}: at most {min(points.shape)} for "
                f"{points.shape[0]} points in {points.shape[1]} dimensions"
            )
        if (points == points[:1]).all():
            raise ValueError(f"points to fit features to: all {len(points)} are equal, at least two must differ")

        pca = ScikitPCA(self.components, random_state=random_state(seed)).fit(points)

        # A direction without variance is arbitrary: rounding would pick it
        variance = pca.explained_variance_
        rank = int((variance > variance[0] * max(points.shape) * torch.finfo(torch.float64).eps).sum())
        if rank < self.components:
            raise ValueError(f"features.components={self.components}: the points vary in {rank} directions, use {rank}")

        # Products depend on the layout in memory, in the last digit; a file keeps none
        directions = torch.from_numpy(pca.components_).contiguous()
        self.state = {"mean": torch.from_numpy(pca.mean_), "directions": directions}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses another number of directions."""

        if len(state["directions"]) != self.components:
            raise ValueError(f"{len(state['directions'])} directions where {self.components} are expected")

    def transform(self, x: Tensor) -> Tensor:
        """Projects x."""

        mean, directions = self.fitted()["mean"], self.fitted()["directions"]

        return (_flat(x, "points to transform", width=len(mean)) - mean) @ directions.T  # (N, D) @ (D, d)


@dataclass(eq=False)
class UMAP(Features):
    r"""Reduces points or images by Uniform Manifold Approximation and Projection.

    Points of the fit get the places that umap-learn finds for them. Any other point is placed at the mean of the
    places of its nearest points of the fit, weighted by the inverse of their distances, so that its place depends
    on nothing but itself. (umap-learn places new points by a stochastic descent of all of them together.) Cost:
    $N^2 D$ for the fit, $N M D$ for $M$ new points.

    Arguments:
        components: The number $d$ of dimensions.
        n_neighbors: The number of nearest points that a point is placed by.
        min_dist: The least distance of places, as UMAP tries to have it.

    Raises:
        ValueError: If a setting is out of range.

    References:
        UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018), https://arxiv.org/abs/1802.03426
    """

    components: int = 8
    n_neighbors: int = 15
    min_dist: float = 0.1

    shapes: ClassVar = {"points": ("N", "D"), "places": ("N", "d")}

    def __post_init__(self) -> None:
        """Refuses settings out of range."""

        check_whole("features.components", self.components, least=1)
        check_whole("features.n_neighbors", self.n_neighbors, least=2)
        if not isinstance(self.min_dist, Real) or not 0 <= self.min_dist <= 1:
            raise ValueError(f"features.min_dist={self.min_dist}: use a number from 0 to 1")

    def fit(self, x: Tensor, seed: int) -> "UMAP":
        """Finds places for x."""

        from umap import UMAP as Learnt  # takes seconds to import

        points = _flat(x, "points to fit features to", least=2).float()
        least = max(self.n_neighbors, self.components) + 2
        if len(points) < least:
            raise ValueError(
                f"features.n_neighbors={self.n_neighbors}, features.components={self.components}: need at least "
                f"{least} points, got {len(points)}"
            )
        if (points == points[:1]).all():
            raise ValueError(f"points to fit features to: all {len(points)} are equal, at least two must differ")

        # Exact neighbours: umap-learn's own search is slow for few points, and draws at random for many
        distances, neighbours = NearestNeighbors(n_neighbors=self.n_neighbors).fit(points).kneighbors(points)
        threads = torch.get_num_threads()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="umap|sklearn")
            places = Learnt(
                n_components=self.components,
                n_neighbors=self.n_neighbors,
                min_dist=self.min_dist,
                random_state=random_state(seed),
                n_jobs=1,
                precomputed_knn=(neighbours, distances),
            ).fit_transform(points.numpy())
        torch.set_num_threads(threads)  # numba, which umap-learn needs, sets them to the number of cores
        self.state = {"points": points, "places": torch.from_numpy(places).double().contiguous()}

        return self

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses another number of dimensions, or too few points."""

        found = state["places"].shape
        if found[1] != self.components or found[0] < self.n_neighbors:
            raise ValueError(
                f"{found[0]} places in {found[1]} dimensions where {self.components} dimensions and at least "
                f"{self.n_neighbors} places are expected"
            )

    def transform(self, x: Tensor) -> Tensor:
        """Places x."""

        points, places = self.fitted()["points"], self.fitted()["places"]
        x = _flat(x, "points to transform", width=points.shape[1]).float()
        mean = KNeighborsRegressor(self.n_neighbors, weights="distance").fit(points, places)

        return in_batches(lambda part: torch.from_numpy(mean.predict(part.numpy())), x, "features")


@dataclass(eq=False)
class Autoencoder(Features):
    r"""Reduces images to the code of a convolutional autoencoder.

    Four convolutions of 5 × 5 pixels and stride 2, with `width`, 2, 4 and 8 times `width` channels, and a linear
    map give the code; a mirrored decoder, with a sigmoid at its end, gives the image back. Training minimises the
    binary cross-entropy of the two.

    The decoder can undo any invertible linear map of the code, so training leaves the code's basis open; but a
    kernel, which knows distances, depends on it. So the code is brought to mean zero and covariance $I$ over
    the images of the training, which leaves only rotations open.

    Arguments:
        components: The number $d$ of dimensions of the code.
        width: The number of channels of the first convolution.
        pretrained: Whether to take weights that come with cgm, for images of the shape of those of the fit
            (trained on the training images of MNIST or CIFAR-10), instead of training on those of the fit:
            `True`, `False`, or `"auto"` for yes if there are some for that shape which reconstruct images of the fit
            about as well as those they were tested on; or the path of a file of weights.
        epochs: The number of passes over the images, at most.
        minutes: The time after which to stop, if that comes first. `None`: no limit. Only without one does a
            seed give the same weights whatever the machine's speed.
        batch: The number of images in a step.
        rate: The greatest learning rate.
        checkpoint: A file from which an interrupted training goes on. `None`: no such file.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> features = Autoencoder(components=2, width=2, pretrained=False, epochs=1).fit(images, seed=0)
        >>> features.transform(images).shape
        torch.Size([20, 2])
    """

    components: int = 8
    width: int = 16
    pretrained: bool | str = "auto"
    epochs: int = 20
    minutes: float | None = None
    batch: int = 64
    rate: float = 4e-3
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        """Refuses settings that make no autoencoder."""

        check_whole("features.components", self.components, least=1)
        check_whole("features.width", self.width, least=1)
        check_choice("features.pretrained", self.pretrained)
        self._budget().check("features")

    def _weights(self, shape: Sequence[int]) -> Weights | None:
        """Finds weights that come with cgm for images of shape (C, H, W), if they are wanted."""

        weights = pretrained.choose(self.pretrained, "autoencoder", shape)
        sizes = {"components": self.components, "width": self.width}
        if self.pretrained == "auto" and weights is not None and not sizes.items() <= weights.info["settings"].items():
            return None  # those of another size are none of these

        return weights

    def _knows(self, weights: Weights, x: Tensor) -> bool:
        """Tells whether weights reconstruct images about as well as those on which they were tested."""

        some = x[:: max(1, len(x) // KNOWN)]
        theirs = weights.info["figures"]["test_mean_squared_error"]
        mine = float(functional.mse_loss(self.decode(self.transform(some)), some))
        if mine <= UNLIKE * theirs:
            return True
        log.warning(
            "features: the autoencoder trained on %s reconstructs these images with a mean squared error of %.3g, "
            "those of its own test with %.3g: it is not taken, another is trained (features.pretrained=true takes it "
            "anyway)",
            weights.dataset,
            mine,
            theirs,
        )

        return False

    def _budget(self) -> Budget:
        return Budget(self.epochs, self.minutes, self.batch, self.rate, checkpoint=self.checkpoint)

    @property
    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """The shapes of the state's tensors; one without entries remembers the shape of the images."""

        with torch.device("meta"):
            weights = weights_of(AutoencoderNetwork(self.components, self.width, (1, 16, 16)))

        return {name: tuple(tensor.shape) for name, tensor in weights.items()} | {
            "empty": (0, "C", "H", "W"),
            "encoder.0.0.weight": (self.width, "C", 5, 5),
            "pixels.weight": (self.width, "C", 5, 5),
            "pixels.bias": ("C",),
            "code.weight": (self.components, "F"),
            "decode_code.weight": ("F", self.components),
            "decode_code.bias": ("F",),
        }

    def fit(self, x: Tensor, seed: int) -> "Autoencoder":
        """Trains the autoencoder on x of shape (N, C, H, W), or takes the weights that come with cgm."""

        x = check_images(x, "images to fit features to", least=2)

        weights = self._weights(x.shape[1:])
        if weights is not None:
            self.load(weights.path)
            if self.pretrained != "auto" or self._knows(weights, x):
                log.info("features: an autoencoder trained on %s, %s", weights.dataset, weights.path)
                return self
            self.state = None
        if (x == x[:1]).all():
            raise ValueError(f"images to fit features to: all {len(x)} are equal, at least two must differ")

        with seeded(seed):
            network = AutoencoderNetwork(self.components, self.width, tuple(x.shape[1:]))

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            return functional.binary_cross_entropy_with_logits(network.decode(network.encode(x[rows])), x[rows])

        train(network, loss, len(x), seed, self._budget(), "features: autoencoder")
        settle(network, lambda images: network.decode(network.encode(images)), x, stream(seed, SETTLE))
        rank = network.whiten(in_batches(network.encode, x, "features").double())
        if rank < self.components:
            raise ValueError(
                f"features.components={self.components}: the codes vary in {rank} directions only; use {rank}, or "
                "more images, or train for longer"
            )
        self.state = {"empty": x.new_empty(0, *x.shape[1:])} | weights_of(network)

        return self

    def transform(self, x: Tensor) -> Tensor:
        """Encodes images, batch by batch."""

        shape = self.fitted()["empty"].shape[1:]
        x = check_images(x, "points to transform", shape=shape)

        return in_batches(self._network().encode, x, "features").double()

    def decode(self, z: Tensor) -> Tensor:
        """Turns features z of shape (N, d) into images of shape (N, C, H, W), float32, as the decoder sees them."""

        self.fitted()
        check_points(z, "features to decode", width=self.components)

        return in_batches(self._network().decode, z.float(), "decoding").sigmoid()

    def check_state(self, state: dict[str, Tensor]) -> None:
        """Refuses weights that don't fit the shape of the images."""

        height, width = (-(-side // 16) for side in state["empty"].shape[2:])
        expected = 8 * self.width * height * width
        if state["code.weight"].shape[1] != expected:
            raise ValueError(
                f"code.weight has {state['code.weight'].shape[1]} columns where images of shape "
                f"{tuple(state['empty'].shape[1:])} need {expected}"
            )

    def _network(self) -> AutoencoderNetwork:
        state = dict(self.fitted())
        shape = tuple(state.pop("empty").shape[1:])

        return with_weights(lambda: AutoencoderNetwork(self.components, self.width, shape), state)

    def _metadata(self) -> dict[str, str]:
        """Leaves out how the training went, which matters no more."""

        metadata = super()._metadata()
        settings = json.loads(metadata["settings"])

        return metadata | {"settings": json.dumps({name: settings[name] for name in ("components", "width")})}


def _flat(x: Tensor, name: str, width: int | None = None, least: int = 1) -> Tensor:
    check_points(x, name, least=least)
    return check_points(x.detach().cpu().double().flatten(1).contiguous(), name, width=width)
