"""Properties of every generator: each class in `cgm.generators`, and each file in `conf/generator`."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from safetensors import safe_open

import cgm.generators
from cgm.generators import MMDGAN, Generator, check_generator
from cgm.utils.run import limited
from tests.contracts.members import classes, configurations

CLASSES = classes(cgm.generators, lambda cls: issubclass(cls, Generator))
FILES = configurations("generator")

SMALL = {
    "VAE": {"latent": 2, "channels": 2, "hidden": 8, "steps": 2, "batch": 32},
    "FlowMatching": {
        "hidden": 8,
        "layers": 1,
        "latent": 2,
        "channels": 2,
        "solver_steps": 2,
        "steps": 2,
        "autoencoder_steps": 2,
        "batch": 32,
    },
    "Flow": {"transforms": 1, "hidden": 8, "epochs": 2},
    "GaussianMixture": {"components": 3},
    "MeanEmbedding": {"particles": 30, "steps": 5},
    "MMDGAN": {"pretrained": False, "channels": 2, "latent": 4, "steps": 2, "batch_size": 8, "evaluate_every": 2},
}
"""Settings with which a class is tested, where the defaults are too large."""

DATA = {
    "features": torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "data": torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
}


def small(generator: Generator) -> Generator:
    return replace(generator, **SMALL.get(type(generator).__name__, {}))


def of_file(name: str) -> Generator:
    return instantiate(OmegaConf.create({"generator": FILES[name]}).generator)


MAKERS: dict[str, Callable[[], Generator]] = {name: lambda cls=cls: small(cls()) for name, cls in CLASSES.items()} | {
    f"generator={name}": lambda name=name: small(of_file(name)) for name in FILES
}
every_generator = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    cls = get_class(FILES[name]._target_)

    assert list(FILES[name]) == ["_target_", *(field.name for field in fields(cls) if field.init)]
    assert repr(of_file(name)) == repr(cls())


@every_generator
def test_follows_the_rules(make):
    generator = make()
    check_generator(generator, DATA[generator.space])

    assert generator.state is None
    assert generator.fingerprint() is None


@pytest.mark.parametrize("name", ["VAE", "FlowMatching"])
def test_generators_of_both_images_and_points_follow_the_rules(name):
    category = torch.eye(3, dtype=torch.float64)[torch.arange(60) % 3]
    for x in (DATA["features"], torch.cat([DATA["features"], 1.5 * category], 1), torch.rand(40, 3, 9, 7)):
        check_generator(small(CLASSES[name]()), x)
    check_generator(small(CLASSES[name]()))


@every_generator
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_files_restore_the_generator(make, dtype, tmp_path):
    generator, fresh = make(), make()
    x = DATA[generator.space].to(dtype)
    sample = generator.fit(x, seed=1).sample(20, seed=2)
    generator.save(tmp_path / "file")

    assert sample.dtype == dtype
    assert torch.equal(fresh.load(str(tmp_path / "file")).sample(20, seed=2), sample)
    assert fresh.fingerprint() == generator.fingerprint() is not None
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert all(file.get_tensor(name).numel() > 0 for name in file.keys())  # noqa: SIM118


@every_generator
def test_files_of_other_classes_are_refused(make, tmp_path):
    generator = make()
    generator.fit(DATA[generator.space], seed=0).save(tmp_path / "file")

    for name, cls in CLASSES.items():
        if cls is not type(generator):
            message = f"saved by {type(generator).__name__}, cannot be loaded as {name}"
            with pytest.raises(ValueError, match=f"^{tmp_path / 'file'}: {message}"):
                small(cls()).load(tmp_path / "file")


@every_generator
def test_a_failed_load_changes_nothing(make, tmp_path):
    generator = make()
    sample = generator.fit(DATA[generator.space], seed=0).sample(9, seed=0)
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ValueError, match=f"^{tmp_path / 'file'}: not a file saved by cgm"):
        generator.load(tmp_path / "file")
    assert torch.equal(generator.sample(9, seed=0), sample)


@every_generator
def test_the_layout_in_memory_does_not_matter(make):
    generator = make()
    x = DATA[generator.space]
    sample = generator.fit(x, seed=0).sample(20, seed=1)
    columns = x.movedim(0, -1).contiguous().movedim(-1, 0)

    assert torch.equal(columns, x)
    assert not columns.is_contiguous()
    assert torch.equal(generator.fit(columns, seed=0).sample(20, seed=1), sample)


@every_generator
def test_the_fit_determines_the_fingerprint(make):
    generator, other = make(), make()
    x = DATA[generator.space]
    first = generator.fit(x, seed=0).fingerprint()

    assert other.fit(x.clone(), seed=0).fingerprint() == first
    assert generator.fit(x.float() if x.dtype == torch.float64 else x.double(), seed=0).fingerprint() != first


@pytest.mark.processor
@every_generator
def test_the_number_of_threads_changes_nothing(make):
    generator, random = make(), torch.Generator().manual_seed(0)
    x = torch.rand(1200, 1, 20, 20, generator=random)  # enough to share among threads
    x = x if generator.space == "data" else torch.randn(1200, 2, generator=random, dtype=torch.float64)
    if isinstance(generator, MMDGAN):
        generator = replace(generator, channels=8, batch_size=64)

    found = []
    for threads in (1, 2):
        with limited(threads):
            found.append(generator.fit(x, seed=0).sample(1200, seed=1))

    assert torch.equal(*found)
