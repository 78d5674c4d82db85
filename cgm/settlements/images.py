"""From the images of several parties to rewards that are images."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from cgm.data.datasets.image_arrays import check_image_array
from cgm.data.features.base import Features
from cgm.data.tables.files import Source
from cgm.generators.base import Generator
from cgm.settlements.inputs import read_inputs
from cgm.settlements.party import PartyMediator, name_parties
from cgm.settlements.settlement import PartySettlement
from cgm.utils.convert import label_of
from cgm.utils.files import folder_digest
from cgm.utils.plain import plain
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import Clock, timed

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Pixels(Generator):
    r"""Images of 8 bits per pixel, as files hold them, drawn by another generator.

    A generator of features draws features, which are decoded to images. So a generator of points, which takes no
    training, draws images as well. The pixels are rounded to multiples of 1/255: what is valued is what can be written
    to a file.

    Arguments:
        generator: The generator, of images or of features.
        features: The features, fitted; they need `decode` if the generator is one of features.

    Example:
        >>> import torch
        >>> from cgm.data.features import PCA
        >>> from cgm.generators import KDE
        >>> images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> generator = Pixels(KDE(), PCA(components=4).fit(images, seed=0)).fit(images, seed=0)
        >>> generator.sample(5, seed=0).shape
        torch.Size([5, 1, 8, 8])
    """

    generator: Generator
    features: Features

    space: ClassVar[str] = "data"

    def fit(self, x: torch.Tensor, seed: int) -> Pixels:
        """Fit the generator to images x of shape (N, C, H, W)."""

        x = self.check_fit(x)
        made = self.generator.space == "data"
        self.generator.fit(x if made else self.features.transform(x), seed)
        self.state, self.sizes = self.generator.state, {"image": list(x.shape[1:])}
        self.warnings = self.generator.warnings

        return self

    def sample(self, n: int, seed: int) -> torch.Tensor:
        """Draw n images, of shape (n, C, H, W), float32."""

        self.check_sample(n)
        x = self.generator.sample(n, seed)
        if self.generator.space != "data":
            x = self.features.decode(x)
        images = x.float().reshape(n, *self.sizes["image"])

        return (255 * images.clamp(0, 1)).round() / 255


@dataclass(frozen=True, kw_only=True)
class ImageMediator(PartyMediator):
    r"""Turns the images of several parties into rewards, which are images too.

    Images are valued in features, by default the code of an autoencoder. A generator of features draws codes, which are
    decoded to images and encoded again, so that the images that are valued are those that are handed out; `MMDGAN`
    makes images itself. In the settings, a row is an image.

    Raises:
        ValueError: If a setting is out of range.
    """

    def settle_images(self, parties: Any, sources: Sequence[Source | None] | None = None) -> PartySettlement:
        """Compute the rewards of parties with images.

        Arguments:
            parties: The images of each party by its name, or in a list: arrays of shape (N, H, W), (N, H, W, C) or
                (N, C, H, W), uint8 or numbers in [0, 1], or paths of folders.
            sources: Where the images came from; `None` for an array that has no file.

        Raises:
            ValueError: If the images cannot be valued; the message names the party and the remedy.
            InfeasibleScheme: If no rewards fit their bounds, however large the pool.
        """

        if sources is None:
            inputs = read_inputs(parties)
            parties, sources = inputs.data, inputs.sources
        arrays = {str(name): _images(label_of(str(name)), images) for name, images in parties.items()}
        files = [
            _source(name, np.asarray(images)) if source is None else source
            for source, (name, images) in zip(sources, parties.items(), strict=True)
        ]
        (first, one), *others = arrays.items()
        for name, other in others:
            if other.shape[1:] != one.shape[1:]:
                raise ValueError(
                    f"party {name}: images of shape {other.shape[1:]}, but those of {first} have {one.shape[1:]}; all "
                    "need the same"
                )
        seed = self.draw_seed()
        masks = self.choose_rows(arrays, seed, "images")
        few = self.warn_of_few(masks, unit="images")
        used = [_tensor(arrays[name][mask]) for name, mask in masks.items()]
        apart = [_tensor(arrays[name][~mask]) for name, mask in masks.items()]
        log.info("%d parties, %d images of shape %s", len(used), sum(map(len, used)), one.shape[1:])

        with self.engine.running(), Clock() as clock:
            features = copy.copy(self.choose_features(used[0]))
            if features.joint:
                raise ValueError("features: these are fitted to the pool as well; use features=auto or features=pca")
            with timed("features"):
                features.fit(torch.cat(used), stream_seed(seed, Stream.FIT_FEATURES))
                if self.generator.space == "features":
                    features.decode(features.transform(used[0][:2]))  # refused before the long work
            mediator = self.mediator(features=features, generator=Pixels(copy.copy(self.generator), features))
            settlement = mediator.settle(dict(zip(arrays, used, strict=True)), seed, features)
            with timed("pool"):
                pool = settlement.pool.images
                if len(pool) < len(settlement.pool.points):  # the mediator keeps some of them only
                    size = len(settlement.pool.points)
                    pool = _bytes(settlement.generator.sample(size, stream_seed(seed, Stream.SAMPLE_POOL)))
            approximation = mediator.approximation(settlement.game, seed)
            none = settlement.pool.points[:0]
            audits = self.run_audit(settlement, [features.transform(x) if len(x) else none for x in apart], seed)
            copied = self.warn_of_copies(settlement, audits, list(arrays), "images")
            # a generator that takes long to fit is not fitted again
            again = used if self.generator.space == "features" else None
            sensitivity, warnings = self.compare_settings(mediator, settlement, again, seed)

        return name_parties(
            replace(settlement, warnings=[*few, *settlement.warnings]),
            warnings=[*copied, *warnings],
            seconds=clock.seconds,
            schema=None,
            tables=tuple(_bytes(x).numpy() for x in used),
            held_out=tuple(_bytes(x).numpy() for x in apart),
            pool_table=pool.numpy(),
            audits=tuple(audits),
            accuracies=(),
            sensitivity=sensitivity,
            approximation=approximation,
            samples=self.samples(settlement, "images"),
            settings=plain(replace(self, seed=seed)),
            sources=tuple(files),
        )


def _images(name: str, images: Any) -> np.ndarray:
    """Return images of shape (N, C, H, W)."""

    try:
        return check_image_array(np.asarray(images), "images")[0]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _source(name: str, images: np.ndarray) -> Source:
    """Return the source of images that have no file."""

    return Source(str(name), folder_digest({"images": np.ascontiguousarray(images).tobytes()}), ".npz")


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32, order="C")) / (255 if images.dtype == np.uint8 else 1)


def _bytes(images: torch.Tensor) -> torch.Tensor:
    return (255 * images.clamp(0, 1)).round().to(torch.uint8)
