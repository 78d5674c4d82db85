"""Checks of the rules of generators."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from cgm.generators.base import Generator
from cgm.networks.fitted import ObjectOrClassMethod
from cgm.utils.checks import check_points
from cgm.utils.rules import broken_rule, call_before, check_object, refused, require, unchanged_random_state

DRAWS = 16


def check_generator(generator: Generator, x: torch.Tensor | None = None) -> None:
    r"""Check that a generator follows the rules of `Generator`.

    The equivalent of scikit-learn's `check_estimator` for generators. Copies of the generator are fitted a few
    times; the generator itself is not changed.

    Nothing is returned or printed if all rules hold.

    Arguments:
        generator: A generator that is not fitted yet.
        x: Points to fit it to, of shape $(N, d)$ or, for a generator of images, $(N, C, H, W)$. By default 90
            points in 2 dimensions. Check a generator of both with both.

    Raises:
        AssertionError: If a rule is broken; the message names the rule.
        ValueError: If x is not suitable for a check, the generator is already fitted, or it is a class.

    Example:
        >>> from cgm.generators import KDE
        >>> check_generator(KDE())
    """

    check_object("generator", generator)
    rule = partial(broken_rule, type(generator).__name__, "generators")

    with rule("is a subclass of cgm.generators.Generator"):
        require(isinstance(generator, Generator), f"its bases are {type(generator).__mro__[1:]}")
    with rule('space is "features" or "data"'):
        require(generator.space in ("features", "data"), f"it is {generator.space!r}")

    if generator.state is not None:
        raise ValueError("generator: already fitted; pass a new one")
    if x is None:
        if generator.space == "data" and "points" not in getattr(generator, "takes", ()):
            raise ValueError("x: pass images of shape (N, C, H, W) to check a generator of images")
        x = _blobs()

    x = check_points(x, "x", min=2)
    new = partial(copy.deepcopy, generator)

    with TemporaryDirectory() as folder:
        fitted, points = _check_fit(rule, new, x)  # what matters first: most classes that are wrong fail here
        _check_sample(rule, fitted, x)
        _check_hold(rule, fitted, points)
        _check_refusals(rule, new, fitted, x, Path(folder))
        _check_refit(rule, fitted, x)
        _check_files(rule, new, fitted, Path(folder))
        _check_pretrained(rule, new, fitted, x, Path(folder))


def _check_refusals(
    rule: Callable, new: Callable[[], Generator], generator: Generator, x: torch.Tensor, folder: Path
) -> None:
    with rule("sample before fit raises a ValueError"):
        refused(lambda: new().sample(1, seed=0), "call self.check_sample(n) first")
    for n in (0, -1):
        with rule(f"sample for n = {n} raises a ValueError"):
            refused(partial(generator.sample, n, seed=0), "call self.check_sample(n) first")
    with rule("save before fit raises a ValueError"):
        refused(lambda: new().save(folder / "unfitted"))

    def spoiled(value: float) -> torch.Tensor:
        y = x.clone()
        y[-1].view(-1)[-1] = value
        return y

    bad = {
        "NaN": spoiled(float("nan")),
        "infinity": spoiled(float("inf")),
        "no points": x[:0],
        "a single point": x[:1],
        "constant data": x[:1].expand_as(x),
        "a one-dimensional tensor": x.flatten(),
    }
    if new().space == "features":
        bad["a three-dimensional tensor"] = x[:, None, :]

    for name, y in bad.items():
        with rule(f"fit on {name} raises a ValueError"):
            refused(partial(new().fit, y, seed=0), "call self.check_fit(x) first")


def _check_fit(rule: Callable, new: Callable[[], Generator], x: torch.Tensor) -> tuple[Generator, torch.Tensor]:
    call_before(lambda: new().fit(x.clone(), seed=0).sample(DRAWS, seed=0))
    generator, points = new(), x.clone()

    with unchanged_random_state(rule, "fit"), rule("fit works"):
        result = generator.fit(points, seed=0)
    with rule("fit returns the generator itself"):
        require(result is generator, f"it returns {type(result).__name__}")
    with rule("fit does not change x"):
        require(torch.equal(points, x), "x is different after the fit")

    return generator, points


def _check_sample(rule: Callable, generator: Generator, x: torch.Tensor) -> None:
    with unchanged_random_state(rule, "sample"), rule("sample works"):
        sample = generator.sample(DRAWS, seed=0)
    with rule("sample returns a tensor of shape (n, d), on the CPU"):
        require(isinstance(sample, torch.Tensor), f"it is a {type(sample).__name__}")
        require(sample.shape == (DRAWS, *x.shape[1:]), f"it is {tuple(sample.shape)}")
        require(sample.device.type == "cpu", f"it is on {sample.device}")
    with rule("sample returns the dtype of the points of the fit"):
        require(sample.dtype == x.dtype, f"{sample.dtype} after a fit to {x.dtype}")
    with rule("a sample is finite"):
        require(bool(torch.isfinite(sample).all()), "it contains NaN or infinity")
    with rule("a sample needs no gradient"):
        require(not sample.requires_grad, "it requires one")

    kept = sample.clone()

    with rule("the same seed gives the same sample"):
        require(torch.equal(generator.sample(DRAWS, seed=0), kept), "two samples of seed 0 differ")
    with rule("a change of a sample does not change the next one"):
        generator.sample(DRAWS, seed=0).zero_()
        require(torch.equal(generator.sample(DRAWS, seed=0), kept), "it does")
    if generator.fixed:
        with rule("a generator that is fixed gives the same sample for every seed"):
            require(torch.equal(generator.sample(DRAWS, seed=1), kept), "samples of the seeds 0 and 1 differ")
    else:
        with rule("another seed gives another sample, unless the generator is declared as fixed"):
            require(not torch.equal(generator.sample(DRAWS, seed=1), kept), "seeds 0 and 1 give the same sample")

    with rule("sample works for n = 1"):
        one = generator.sample(1, seed=0)
        require(one.shape == (1, *x.shape[1:]), f"its shape is {tuple(one.shape)}")


def _check_hold(rule: Callable, generator: Generator, points: torch.Tensor) -> None:
    kept = generator.sample(DRAWS, seed=0)

    with rule("fit does not keep x without a copy"):
        points.zero_()
        require(torch.equal(generator.sample(DRAWS, seed=0), kept), "the sample changes when x does")


def _check_refit(rule: Callable, generator: Generator, x: torch.Tensor) -> None:
    kept = generator.sample(DRAWS, seed=0)
    other = torch.float32 if x.dtype == torch.float64 else torch.float64

    with rule("sample returns the dtype of the points of the fit"):
        dtype = generator.fit(x.to(other), seed=0).sample(DRAWS, seed=0).dtype
        require(dtype == other, f"{dtype} after a fit to {other}")
    with rule("a second fit with the same points and seed gives the same sample"):
        generator.fit(x.clone(), seed=0)
        require(torch.equal(generator.sample(DRAWS, seed=0), kept), "the sample is different")


def _check_files(rule: Callable, new: Callable[[], Generator], generator: Generator, folder: Path) -> None:
    from safetensors.torch import save as to_bytes

    path = folder / "generator.saved"

    with rule("save writes exactly the given file"):
        generator.save(path)
        generator.save(path)
        names = sorted(file.name for file in folder.iterdir())
        require(names == [path.name], f"asked to write {path.name}, it leaves {names}")

    fresh = new()

    with rule("load works and returns the generator itself"):
        require(fresh.load(path) is fresh, "it returns something else")
    with rule("after load, the same seed gives the same sample"):
        same = torch.equal(fresh.sample(DRAWS, seed=0), generator.sample(DRAWS, seed=0))
        require(same, "the sample differs from the one before save")

    marker, data = folder / "marker", path.read_bytes()
    path.write_bytes(pickle.dumps(_Touch(marker)))
    torch.save(_Touch(marker), folder / "torch")
    foreign = {
        "a pickle": path.read_bytes(),
        "a pickle of torch": (folder / "torch").read_bytes(),
        "an empty file": b"",
        "a text": b"This is not a generator.",
        "someone else's tensors": to_bytes({"x": torch.zeros(3)}),
        "a truncated file": data[: len(data) // 2],
    }

    for name, content in foreign.items():
        path.write_bytes(content)
        error = None
        try:
            new().load(path)
        except Exception as raised:  # its type matters only after the check that no code was executed
            error = raised
        with rule("load executes no code from a file"):
            require(not marker.exists(), f"it executed that of {name}")
        with rule(f"load of {name} raises a ValueError"):
            require(isinstance(error, ValueError), f"it raises {error!r}" if error else "no error is raised")


def _check_pretrained(
    rule: Callable, new: Callable[[], Generator], generator: Generator, x: torch.Tensor, folder: Path
) -> None:
    """Check what is inherited by a generator that does not override `save` and `load`."""

    cls, path = type(generator), folder / "pretrained"
    if not isinstance(inspect.getattr_static(cls, "load"), ObjectOrClassMethod):
        return

    sample = generator.sample(DRAWS, seed=0)
    generator.save(path)
    with rule("load of the class returns a generator with the settings that were saved"):
        loaded = cls.load(path)
        require(type(loaded) is cls, f"it returns a {type(loaded).__name__}")
        require(torch.equal(loaded.sample(DRAWS, seed=0), sample), "its sample differs from the one before save")
    fresh = new()
    fresh.pretrained = str(path)
    with rule("with pretrained=FILE, fit loads the file"):
        require(fresh.fit(x.clone(), seed=1) is fresh, "it returns something else")
        require(torch.equal(fresh.sample(DRAWS, seed=0), sample), "the sample differs from the one before save")
    if fresh.state:  # a generator may have learnt nothing but sizes
        for weights in fresh.state.values():
            weights.fill_(float("nan"))
        with rule("save of NaN raises a ValueError"):
            refused(partial(fresh.save, folder / "spoiled"))


class _Touch:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def _blobs() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]], dtype=torch.float64)
    return centres.repeat(30, 1) + 0.3 * torch.randn(90, 2, generator=random, dtype=torch.float64)
