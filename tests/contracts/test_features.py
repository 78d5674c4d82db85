"""Properties of all features: each class in `cgm.data.features`, and each file in `conf/features`."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from hydra.utils import get_class, instantiate

import cgm.data.features
from cgm.data.features import Autoencoder, Encoder
from cgm.data.features.base import Features, transform_parts
from cgm.utils.run import limited
from tests.contracts.members import classes, configurations

CLASSES = classes(cgm.data.features, lambda cls: issubclass(cls, Features) or hasattr(cls, "choose"))
FILES = configurations("features")

SMALL = {
    "Autoencoder": {"components": 3, "width": 2, "pretrained": False, "epochs": 2, "batch": 10},
    "Deep": {"components": 3, "width": 4, "epochs": 2, "batch": 20},
    "Encoder": {"components": 3, "width": 2, "pretrained": False, "epochs": 2, "batch": 10},
    "PCA": {"components": 3},
    "UMAP": {"components": 3, "n_neighbors": 5, "pca": 20},
}
"""Settings with which a class is tested, where the defaults are too large."""

ONLY_IMAGES = {"Autoencoder", "Encoder"}

DATA = {
    "points": torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 6.0)),
    "wide points": torch.randn(101, 45, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "images": torch.rand(30, 2, 5, 4, generator=torch.Generator().manual_seed(0)),
    "float64 images": torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
}


def small(features: object, x: torch.Tensor) -> Features:
    """Return the features for some data, with small settings."""

    if hasattr(features, "choose"):
        features = features.choose(x)
    overrides = SMALL.get(type(features).__name__, {})

    return replace(features, **overrides) if is_dataclass(features) else features


MEMBERS: dict[str, Callable[[], object]] = {**CLASSES} | {
    f"features={name}": lambda config=config: instantiate(config) for name, config in FILES.items()
}


def combinations() -> list:
    found = []
    for name, make in MEMBERS.items():
        for kind, x in DATA.items():
            if not (type(make()).__name__ in ONLY_IMAGES and x.dim() == 2):
                found.append(pytest.param(lambda make=make, x=x: small(make(), x), x, id=f"{name}, {kind}"))
    return found


every_combination = pytest.mark.parametrize(("make", "x"), combinations())


def with_value(x: torch.Tensor, value: float) -> torch.Tensor:
    """Return a copy of x with a value in the second row."""

    x = x.clone()
    x[1].view(-1)[-1] = value
    return x


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    config = FILES[name]
    cls = get_class(config._target_)
    settings = [field.name for field in fields(cls) if field.init] if is_dataclass(cls) else []

    assert list(config) == ["_target_", *settings]
    assert vars(instantiate(config)) == vars(cls())


@every_combination
def test_the_map_is_fitted_and_applied(make, x):
    features, kept, state = make(), x.clone(), torch.get_rng_state()
    with pytest.raises(ValueError, match="is not fitted; call fit or load first"):
        features.transform(x)

    assert features.fit(x, seed=0) is features
    z = features.transform(x)
    assert z.shape[0] == len(x)
    assert z.dim() == 2
    assert z.shape[1] == getattr(features, "components", z.shape[1])
    assert z.dtype == torch.float64
    assert z.device.type == "cpu"
    assert torch.isfinite(z).all()
    assert not z.requires_grad
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)  # the global random stream is not used


@every_combination
def test_the_seed_determines_the_map(make, x):
    features = make()
    z = features.fit(x, seed=3).transform(x)

    assert torch.equal(features.fit(x, seed=3).transform(x), z)  # a second fit forgets the first one
    assert torch.equal(make().fit(x, seed=3).transform(x), z)
    columns = x.movedim(0, -1).contiguous().movedim(-1, 0)  # another layout in memory
    assert not columns.is_contiguous()
    assert torch.equal(make().fit(columns, seed=3).transform(columns), z)


@every_combination
def test_points_are_mapped_one_by_one(make, x):
    features = make().fit(x, seed=0)
    z = features.transform(x)

    torch.testing.assert_close(features.transform(x[4:9]), z[4:9], rtol=1e-4, atol=1e-5)
    first, second = transform_parts(features, [x[:7], x[7:]])
    torch.testing.assert_close(torch.cat([first, second]), z, rtol=1e-4, atol=1e-5)
    assert (len(first), len(second)) == (7, len(x) - 7)


@every_combination
def test_files(make, x, tmp_path):
    features = make()
    with pytest.raises(ValueError, match="is not fitted"):
        features.save(tmp_path / "features")
    z = features.fit(x, seed=0).transform(x)
    features.save(tmp_path / "features")
    fresh = make()

    assert fresh.fingerprint() is None
    assert fresh.load(tmp_path / "features") is fresh
    assert torch.equal(fresh.transform(x), z)
    assert fresh.fingerprint() == features.fingerprint() is not None
    (tmp_path / "features").write_bytes((tmp_path / "features").read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"^{tmp_path / 'features'}: "):
        make().load(tmp_path / "features")


@every_combination
def test_bad_points(make, x):
    features = make().fit(x, seed=0)
    z = features.transform(x)

    for value in (float("nan"), float("inf")):
        for call in (lambda y: make().fit(y, seed=0), features.transform):
            with pytest.raises(ValueError, match="row 1 holds NaN or infinity"):
                call(with_value(x, value))
    for call in (lambda y: make().fit(y, seed=0), features.transform):
        with pytest.raises(ValueError, match="expected numbers, got objects"):
            call(x.numpy().astype(object))
        with pytest.raises(ValueError, match="points"):
            call(x[:0])
    with pytest.raises(ValueError, match="points to transform: has 7 columns where"):
        features.transform(torch.zeros(3, 7))
    assert torch.equal(features.transform(x), z)  # a refusal changes nothing


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, id=name, marks=[pytest.mark.processor] * (name == "UMAP")) for name, make in MEMBERS.items()],
)
def test_the_number_of_threads_changes_nothing(make):
    x = torch.rand(1200, 1, 20, 20, generator=torch.Generator().manual_seed(0))  # enough to share among threads
    features = small(make(), x)
    if isinstance(features, Autoencoder | Encoder):
        features = replace(features, width=8, batch=100)

    found = []
    for threads in (1, 2):
        with limited(threads):
            found.append(features.fit(x, seed=0).transform(x))

    assert torch.equal(*found)
