import os
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cgm.evaluation.metrics import KID, check_metric
from cgm.evaluation.tasks import SVM, check_task
from cgm.generators import KDE, GaussianMixture, Generator, TrueMixture, check_generator

ALL = [
    KDE(),
    KDE(bandwidth="silverman"),
    KDE(bandwidth=0.3),
    GaussianMixture(),
    GaussianMixture(components=1),
    GaussianMixture(components=3, covariance="tied", restarts=2),
    GaussianMixture(components=3, covariance="diag"),
    GaussianMixture(components=3, covariance="spherical"),
    TrueMixture(),
    TrueMixture(mixture_seed=5),
    TrueMixture(reference=True),
]


@dataclass(eq=False)
class Bootstrap(Generator):
    """A generator that follows all rules; each class below breaks one."""

    jitter: float = 0.1
    shapes: ClassVar = {"points": ("N", "d")}

    def fit(self, x, seed):
        self.state = {"points": self.check_fit(x)}
        return self

    def sample(self, n, seed):
        return self.draw(self.check_sample(n)["points"], n, seed)

    def draw(self, points, n, seed):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(points), (n,), generator=generator)
        noise = torch.randn(n, *points.shape[1:], generator=generator, dtype=points.dtype)
        return points[rows] + self.jitter * noise


class Images(Bootstrap):
    space = "data"
    shapes: ClassVar = {"points": ("N", "C", "H", "W")}


@pytest.mark.parametrize("generator", [*ALL, Bootstrap()], ids=repr)
def test_follows_the_rules(generator):
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002

    assert check_generator(generator) is None

    assert generator.state is None
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("generator", [KDE(), GaussianMixture(components=2)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_the_rules_on_digits(generator, dtype):
    check_generator(generator, torch.tensor(load_digits().data[:200], dtype=dtype))


def test_follows_the_rules_on_images():
    images = torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    check_generator(Images(), images)
    with pytest.raises(ValueError, match=r"pass images of shape \(N, C, H, W\)"):
        check_generator(Images())
    with pytest.raises(AssertionError, match=r"KDE breaks a rule of generators: fit works.*expected shape \(N, d\)"):
        check_generator(KDE(), images)


@pytest.mark.parametrize("x", [torch.zeros(3), torch.full((9, 2), float("nan")), torch.zeros(1, 2)])
def test_unsuitable_points_are_refused(x):
    with pytest.raises(ValueError, match=r"^x: "):
        check_generator(KDE(), x)


def test_a_fitted_generator_is_refused():
    with pytest.raises(ValueError, match="already fitted"):
        check_generator(KDE().fit(torch.eye(2), seed=0))


def test_a_class_is_refused():
    for check, kind in ((check_generator, KDE), (check_metric, KID), (check_task, SVM)):
        with pytest.raises(
            ValueError, match=rf"got the class {kind.__name__} itself; pass an object, {kind.__name__}\(\)"
        ):
            check(kind)


BROKEN = {}


def breaks(rule):
    def register(cls):
        BROKEN[cls.__name__] = (cls, rule)
        return cls

    return register


@breaks("is a subclass of cgm.generators.Generator")
class NoGenerator:
    pass


@breaks('space is "features" or "data"')
class OtherSpace(Bootstrap):
    space = "pixels"


@breaks("sample before fit raises a ValueError. Found: no error is raised")
class SamplesUnfitted(Bootstrap):
    def sample(self, n, seed):
        return torch.zeros(n, 2) if self.state is None else super().sample(n, seed)


@breaks("sample before fit raises a ValueError. Found: it raises TypeError")
class CrashesUnfitted(Bootstrap):
    def sample(self, n, seed):
        return self.draw(self.state["points"], n, seed)


@breaks("save before fit raises a ValueError")
class SavesUnfitted(Bootstrap):
    def save(self, path):
        if self.state is not None:
            super().save(path)


@breaks("fit on NaN raises a ValueError")
class ImputesNaN(Bootstrap):
    def fit(self, x, seed):
        return super().fit(torch.where(x.isnan(), 0.0, x), seed)


@breaks("fit on infinity raises a ValueError")
class ImputesInfinity(Bootstrap):
    def fit(self, x, seed):
        return super().fit(torch.where(x.isinf(), 0.0, x), seed)


@breaks("fit on NaN raises a ValueError. Found: it raises FloatingPointError")
class OtherError(Bootstrap):
    def fit(self, x, seed):
        if x.isnan().any():
            raise FloatingPointError("NaN")
        return super().fit(x, seed)


@breaks("fit on no points raises a ValueError")
class TakesNoPoints(Bootstrap):
    def fit(self, x, seed):
        return super().fit(x if len(x) else torch.eye(2), seed)


@breaks("fit on a single point raises a ValueError")
class TakesSinglePoint(Bootstrap):
    def fit(self, x, seed):
        return super().fit(torch.cat([x, x + 1]) if len(x) == 1 else x, seed)


@breaks("fit on constant data raises a ValueError")
class TakesConstantData(Bootstrap):
    def fit(self, x, seed):
        constant = len(x) > 1 and (x == x[:1]).all()
        return super().fit(x + torch.arange(len(x))[:, None] if constant else x, seed)


@breaks("fit on a one-dimensional tensor raises a ValueError")
class TakesOneDimension(Bootstrap):
    def fit(self, x, seed):
        return super().fit(x[:, None] if x.dim() == 1 else x, seed)


@breaks("fit on a three-dimensional tensor raises a ValueError")
class TakesThreeDimensions(Bootstrap):
    def fit(self, x, seed):
        return super().fit(x.flatten(1) if x.dim() == 3 else x, seed)


@breaks("fit works. Found: KeyError('no')")
class CantFit(Bootstrap):
    def fit(self, x, seed):
        super().fit(x, seed)
        raise KeyError("no")


@breaks("fit does not change the global random state. Found: it changes that of torch")
class SeedsTorch(Bootstrap):
    def fit(self, x, seed):
        torch.manual_seed(seed + 7)
        return super().fit(x, seed)


@breaks("fit does not change the global random state. Found: it changes that of numpy")
class DrawsFromNumpy(Bootstrap):
    def fit(self, x, seed):
        np.random.rand()  # noqa: NPY002
        return super().fit(x, seed)


@breaks("fit does not change the global random state. Found: it changes that of random")
class DrawsFromRandom(Bootstrap):
    def fit(self, x, seed):
        random.random()
        return super().fit(x, seed)


@breaks("fit returns the generator itself")
class ReturnsNothing(Bootstrap):
    def fit(self, x, seed):
        super().fit(x, seed)


@breaks("fit does not change x")
class ChangesX(Bootstrap):
    def fit(self, x, seed):
        super().fit(x, seed)
        x.mul_(2)
        return self


@breaks("fit does not keep x without a copy")
class KeepsX(Bootstrap):
    def fit(self, x, seed):
        super().fit(x, seed)
        self.state = {"points": x}
        return self


@breaks("sample does not change the global random state. Found: it changes that of torch")
class SamplesGlobally(Bootstrap):
    def draw(self, points, n, seed):
        torch.randn(1)
        return super().draw(points, n, seed)


@breaks("sample returns a tensor of shape (n, d), on the CPU. Found: it is a ndarray")
class SamplesArrays(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed).numpy()


@breaks("sample returns a tensor of shape (n, d), on the CPU. Found: it is (15, 2)")
class SamplesTooFew(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed)[: max(1, n - 1)]


@breaks("sample returns the dtype of the points of the fit. Found: torch.float32 after a fit to torch.float64")
class SamplesSingle(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed).float()


@breaks("sample returns the dtype of the points of the fit. Found: torch.float64 after a fit to torch.float32")
class SamplesDouble(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed).double()


@breaks("a sample is finite")
class SamplesInfinity(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed) / torch.arange(n)[:, None]


@breaks("a sample needs no gradient")
class SamplesGradients(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed).requires_grad_()


@breaks("the same seed gives the same sample")
class RunsOn(Bootstrap):
    calls = 0

    def draw(self, points, n, seed):
        self.calls += 1
        return super().draw(points, n, seed + self.calls)


@breaks("a change of a sample does not change the next one")
class GivesOutItsCache(Bootstrap):
    def draw(self, points, n, seed):
        if not hasattr(self, "cache"):
            self.cache = {}
        key = n, seed, points.dtype, points.sum().item()
        if key not in self.cache:
            self.cache[key] = super().draw(points, n, seed)
        return self.cache[key]


@breaks("another seed gives another sample, unless the generator is declared as fixed")
class IgnoresTheSeed(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed=3)


@breaks("a generator that is fixed gives the same sample for every seed")
class NotFixed(Bootstrap):
    fixed = True


@breaks("sample works for n = 1. Found: its shape is (2,)")
class Squeezes(Bootstrap):
    def draw(self, points, n, seed):
        return super().draw(points, n, seed).squeeze()


@breaks("sample for n = 0 raises a ValueError")
class SamplesNothing(Bootstrap):
    def sample(self, n, seed):
        return super().sample(n, seed) if n else self.state["points"][:0]


@breaks("sample for n = -1 raises a ValueError")
class SamplesLessThanNothing(Bootstrap):
    def sample(self, n, seed):
        return super().sample(abs(n), seed)


@breaks("a second fit with the same points and seed gives the same sample")
class StartsWarm(Bootstrap):
    def fit(self, x, seed):
        old = [] if self.state is None else [self.state["points"].to(x.dtype)]
        super().fit(x, seed)
        self.state = {"points": torch.cat([*old, x.clone()])}
        return self


@breaks("save writes exactly the given file. Found: asked to write generator.saved, it leaves")
class AddsSuffix(Bootstrap):
    def save(self, path):
        super().save(f"{path}.npz")

    def load(self, path):
        return super().load(f"{path}.npz")


@breaks("save writes exactly the given file")
class LeavesAnother(Bootstrap):
    def save(self, path):
        super().save(path)
        Path(f"{path}.log").write_text("saved")


@breaks("load works and returns the generator itself")
class LoadsNothing(Bootstrap):
    def load(self, path):
        super().load(path)


@breaks("after load, the same seed gives the same sample")
class Rounds(Bootstrap):
    def load(self, path):
        super().load(path)
        self.state = {"points": self.state["points"].float().double()}
        return self


@breaks("load executes no code from a file. Found: it executed that of a pickle")
class Pickles(Bootstrap):
    def save(self, path):
        Path(path).write_bytes(pickle.dumps(self.fitted()))

    def load(self, path):
        try:
            self.state = pickle.loads(Path(path).read_bytes())
            self.check_sample(1)["points"]
        except Exception as error:
            raise ValueError(f"{path}: not a pickle") from error
        return self


@breaks("load executes no code from a file. Found: it executed that of a pickle of torch")
class PicklesWithTorch(Bootstrap):
    def save(self, path):
        torch.save(self.fitted(), path)

    def load(self, path):
        if not Path(path).read_bytes().startswith(b"PK"):
            raise ValueError(f"{path}: not a file of torch")
        self.state = torch.load(path, weights_only=False)
        return self


@breaks("load of a text raises a ValueError. Found: no error is raised")
class TakesText(Bootstrap):
    def load(self, path):
        return self if Path(path).read_bytes().startswith(b"This") else super().load(path)


@breaks("load of an empty file raises a ValueError. Found: it raises EOFError")
class CrashesOnEmptyFile(Bootstrap):
    def load(self, path):
        if os.path.getsize(path) == 0:
            raise EOFError
        return super().load(path)


@breaks("load of someone else's tensors raises a ValueError")
class TakesTensors(Bootstrap):
    def load(self, path):
        return self if b'"x"' in Path(path).read_bytes() else super().load(path)


@breaks("load of a truncated file raises a ValueError")
class TakesHalves(Bootstrap):
    def load(self, path):
        try:
            return super().load(path)
        except ValueError as error:
            if "points" in Path(path).read_bytes().decode(errors="ignore"):
                return self
            raise error


def test_names_the_broken_rule():
    for name in list(BROKEN):
        cls, rule = BROKEN[name]

        with pytest.raises(AssertionError) as error:
            check_generator(cls())

        assert str(error.value).startswith(f"{name} breaks a rule of generators: {rule}")


def test_what_matters_is_named_before_a_missing_check_of_arguments():
    class Plain(Bootstrap):
        def sample(self, n, seed):
            return self.change(self.draw(self.state["points"], n, seed))

    for change, message in [
        (lambda x: x.numpy(), "on the CPU. Found: it is a ndarray"),
        (lambda x: x / 0, "a sample is finite"),
        (lambda x: x[:, :1], r"on the CPU. Found: it is \(16, 1\)"),
        (lambda x: x, r"sample before fit raises a ValueError. Found: .*; call self.check_sample\(n\) first"),
    ]:
        Plain.change = staticmethod(change)
        with pytest.raises(AssertionError, match=message):
            check_generator(Plain())
