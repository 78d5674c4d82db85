"""The interface of generators."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import torch

from cgm.networks.fitted import NOT_SAVED, Fitted, ObjectOrClassMethod, as_declared, saved_settings, to_json
from cgm.networks.weights import check_path
from cgm.utils.checks import check_integer, check_points
from cgm.utils.convert import to_tensor
from cgm.utils.settings import Settings, Text

log = logging.getLogger(__name__)

COMPARED = 1000  # points that a loaded generator draws, to compare them with those of the fit
MAX_SHIFT = 1.0  # of the mean of a column, in standard deviations, without a warning

G = TypeVar("G", bound="Generator")


@dataclass(eq=False)
class GeneratorSettings(Settings):
    """The setting that all generators have; other annotations of `Generator` are no settings.

    Arguments:
        pretrained: A file that `save` has written. `fit` then loads it instead of fitting anything, and takes its
            settings; a setting that contradicts them is refused. `None`: no file. A subclass need not do anything for
            this.
    """

    section = "generator"

    pretrained: Annotated[str, Text(path=True)] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pretrained is not None:
            check_path("generator.pretrained", str(self.pretrained))


class Generator(Fitted, GeneratorSettings, ABC):
    r"""Base class of distributions $\mathcal{G}$ that are fitted to the pooled data (Sec. 2).

    A generator has four methods: `fit`, `sample`, `save`, `load`. The first two take a seed, and neither use nor
    change the global random state. The last two are inherited by a generator that keeps what it learns in `state`
    and declares the shapes in `shapes`. A generator that overrides them must not execute code from the file.
    `check_generator` checks all these rules.
    """

    space: ClassVar[str] = "features"
    """The space of the samples: `"features"` (the points that are valued, in d dimensions) or `"data"` (images)."""

    fixed: bool = False
    """Whether all seeds give the same sample, as with a given pool."""

    warnings: Sequence[str] = ()
    """What the user should know of the last fit; warnings are logged as well, and reports contain them."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Let `fit` convert its points, and load the file of the setting `pretrained`, which `load` sets."""

        super().__init_subclass__(**options)
        if "fit" in vars(cls):
            cls.fit = _or_load(cls.fit)  # type: ignore[method-assign]
        if inspect.isfunction(load := vars(cls).get("load")):  # a subclass that keeps elsewhere what it has learnt
            cls.load = _noting_file(load)  # type: ignore[assignment]

    @abstractmethod
    def fit(self: G, x: torch.Tensor, seed: int) -> G:
        r"""Fit the generator, and return it.

        Arguments:
            x: Points of shape $(N, d)$, or images of shape $(N, C, H, W)$ if `space` is `"data"`. They must neither be
                changed nor kept without a copy.
            seed: An integer from 0. The same seed and points give the same fit, whatever was fitted before.

        Raises:
            ValueError: If x has another shape, contains NaN or infinity, or all points are equal.
        """

    @abstractmethod
    def sample(self, n: int, seed: int) -> torch.Tensor:
        r"""Draw points from the fitted distribution.

        Arguments:
            n: The number of points, at least 1.
            seed: An integer from 0. The same seed gives the same sample.

        Returns:
            The points, of shape $(n, d)$ or $(n, C, H, W)$, on the CPU, in the dtype of the fitted points.

        Raises:
            ValueError: If n < 1, or nothing has been fitted yet.
        """

    def check_fit(self, x: torch.Tensor) -> torch.Tensor:
        """Check the points of a fit, and return a copy of them on the CPU.

        Raises:
            ValueError: If `fit` has to reject them.
        """

        name = f"points to fit {type(self).__name__} to"
        x = check_points(x, name, min=2)

        if self.space == "features" and x.dim() != 2:
            raise ValueError(f"{name}: expected shape (N, d), got {tuple(x.shape)}; reduce images by features=pca")
        if (x == x[:1]).all():
            raise ValueError(f"{name}: all {len(x)} are equal, at least two must differ")

        # Sums depend on the memory layout, in the last digit, and a file does not keep the layout
        return x.detach().cpu().clone(memory_format=torch.contiguous_format)

    def check_sample(self, n: int) -> dict[str, torch.Tensor]:
        """Check the number of points of a sample, and return the state.

        Raises:
            ValueError: If n is not an integer from 1, or nothing has been fitted yet.
        """

        state = self.fitted()
        check_integer(f"{type(self).__name__}.sample: n (synthetic_size)", n, min=1)

        return state

    def loaded_from(self, path: str | Path) -> None:
        """Set `pretrained`, so that a later fit, as by a mediator, uses what was loaded."""

        self.pretrained = str(path)

    def pretrained_file(self, x: torch.Tensor) -> Path | None:
        """Return the file to load instead of a fit to points x, or `None`."""

        return None if self.pretrained is None else Path(self.pretrained)

    def load_pretrained(self: G, path: Path, x: torch.Tensor, seed: int) -> G:
        """Load a file instead of a fit to points x, which are checked and compared with what the generator draws.

        Raises:
            ValueError: If the file is not one of this class, its points have another shape, or a setting contradicts
                those of the file.
        """

        x = self.check_fit(x)
        before = dict(vars(self))
        self.warnings = ()
        try:
            if isinstance(inspect.getattr_static(type(self), "load"), ObjectOrClassMethod):
                loaded = type(self).load(path)
                self._take_settings(path)
                self.state, self.sizes = loaded.state, loaded.sizes
            else:  # a subclass that keeps elsewhere what it has learnt
                self.load(path)
            self._compare(path, x, seed)
        except Exception:
            vars(self).clear()
            vars(self).update(before)
            raise
        log.info("generator: %s loaded from %s", type(self).__name__, path)

        return self

    def _take_settings(self, path: Path) -> None:
        """Take the settings of a file."""

        for name, value in self._differing(path).items():
            setattr(self, name, as_declared(type(self), name, value))

    def _differing(self, path: Path) -> dict[str, Any]:
        """Return the settings of a file that differ; one that was given is refused or, if unused, reported."""

        settings, training = saved_settings(path)
        found = {}
        for each in fields(self):
            if not each.init or each.name in NOT_SAVED:
                continue
            name, here = each.name, getattr(self, each.name)
            default = each.default if each.default_factory is MISSING else each.default_factory()
            value = (training | settings).get(name, default)  # it may not have been a setting when the file was saved
            if to_json(here) == to_json(value):
                continue
            if to_json(here) != to_json(default):
                text = f"generator.{name}={here}"
                if name in settings or name in self.architecture:
                    raise ValueError(
                        f"{text}: {path} was saved with {name}={value}; leave {name} out, or fit again, with "
                        f"generator.pretrained={'null' if type(self).pretrained is None else 'false'}"
                    )
                self.warn(f"{text} is not used: the generator is loaded, not fitted")
            found[name] = value
        self.warn_of_checkpoint()

        return found

    def warn_of_checkpoint(self) -> None:
        """Warn that a folder of checkpoints has no use where weights are loaded."""

        if (checkpoint := getattr(self, "checkpoint", None)) is not None:
            self.warn(
                f"generator.checkpoint={checkpoint} is not used: the weights are pretrained; use "
                "generator.pretrained=false to train"
            )

    def _compare(self, path: Path, x: torch.Tensor, seed: int) -> None:
        """Compare what the loaded generator draws with the points of the fit: their shape, and the means of columns."""

        sample = self.sample(min(len(x), COMPARED), seed)
        if sample.shape[1:] != x.shape[1:]:
            what, shapes = "images" if x.dim() == 4 else "points", (tuple(sample.shape[1:]), tuple(x.shape[1:]))
            raise ValueError(
                f"generator.pretrained: {path} makes {what} of shape {shapes[0]}, but those of the dataset have shape "
                f"{shapes[1]}; use generator.pretrained=false to train"
            )
        if x.dim() == 2:
            scale = x.double().std(0).clamp(min=1e-12)
            shift = (sample.double().mean(0) - x.double().mean(0)).abs() / scale
            if float(shift.max()) > MAX_SHIFT:
                self.warn(
                    f"generator.pretrained: {path} makes points unlike those of the data: the mean of column "
                    f"{int(shift.argmax()) + 1} is {float(shift.max()):.3g} standard deviations away; fit again"
                )

    def warn(self, message: str) -> None:
        """Log a warning, and keep it for the report."""

        log.warning(message)
        self.warnings = (*self.warnings, message)


def _noting_file(load: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(load)
    def load_and_note(self: Generator, path: str | Path) -> Any:
        loaded = load(self, path)
        self.loaded_from(path)
        return loaded

    return load_and_note


def _or_load(fit: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fit)
    def fit_or_load(self: Generator, x: Any, seed: int) -> Any:
        x = to_tensor(x, f"points to fit {type(self).__name__} to")
        path = self.pretrained_file(x)
        return fit(self, x, seed) if path is None else self.load_pretrained(path, x, seed)

    return fit_or_load
