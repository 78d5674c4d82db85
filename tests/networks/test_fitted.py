import json
import os
import re
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cgm.data.features import Identity
from cgm.generators import KDE, MMDGAN, VAE, GaussianMixture, Generator, TrueMixture

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def path(tmp_path):
    KDE().fit(X, seed=0).save(tmp_path / "kde")
    return tmp_path / "kde"


def rewrite(path, tensors=None, **changes):
    """Replace tensors, and entries of the metadata, of a saved file; entries that become None are deleted."""

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | changes
        tensors = tensors or {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {name: value for name, value in metadata.items() if value is not None} or None)


def refused(generator, path, message):
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}"):
        generator.load(path)


@pytest.mark.parametrize(
    "generator", [KDE(), GaussianMixture(components=3, covariance="diag"), TrueMixture()], ids=repr
)
def test_same_sample_bit_for_bit(generator, tmp_path):
    generator.fit(X, seed=3).save(tmp_path / "new" / "file.safetensors")
    sample = generator.sample(1000, seed=4)
    generator.state = None

    assert torch.equal(generator.load(str(tmp_path / "new" / "file.safetensors")).sample(1000, seed=4), sample)


@pytest.mark.parametrize("generator", [KDE(), GaussianMixture(components=3)], ids=repr)
def test_layout_in_memory_does_not_matter(generator, tmp_path):
    x = torch.rand(300, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sample = generator.fit(x, seed=0).sample(1000, seed=1)
    columns = x.T.contiguous().T

    assert not columns.is_contiguous()
    assert torch.equal(generator.fit(columns, seed=0).sample(1000, seed=1), sample)
    generator.save(tmp_path / "file")
    assert torch.equal(generator.load(tmp_path / "file").sample(1000, seed=1), sample)


def test_rewriting_a_file_as_it_is_changes_nothing(path):
    """So the refusals below are due to the changes."""

    rewrite(path)

    assert torch.equal(KDE().load(path).sample(9, seed=0), KDE().fit(X, seed=0).sample(9, seed=0))


def test_bad_tensors(path):
    for tensors, message in [
        ({"points": torch.zeros(3)}, r"points has shape \(3,\) where \(N, d\) is expected"),
        ({"points": torch.zeros(3, 2, 1)}, r"points has shape \(3, 2, 1\) where \(N, d\) is expected"),
        ({"points": torch.tensor([[0.0], [float("nan")]])}, "points contains values other than finite"),
        ({"points": torch.tensor([[0.0], [float("inf")]])}, "points contains values other than finite"),
        ({"points": torch.tensor([[0], [1]])}, "points contains values other than finite"),
        ({"points": torch.ones(3, 2)}, "all 3 are equal"),
        ({"points": torch.ones(1, 2)}, "has 1 points"),
        ({"points": torch.ones(3, 0)}, r"expected shape \(N, d\)"),
        ({"other": torch.zeros(3, 2)}, r"has tensors \['other', 'widths'\] where \['points', 'widths'\] are"),
        ({"points": X, "more": X.clone()}, r"has tensors \['more', 'points', 'widths'\] where"),
        ({"points": X, "widths": torch.ones(49)}, r"widths has shape \(49,\) where \(N\) is expected"),
        ({"points": X, "widths": torch.zeros(50)}, "widths must be positive"),
    ]:
        rewrite(path, {"widths": torch.ones(len(next(iter(tensors.values())))), **tensors})
        refused(KDE(), path, message)


def test_shapes_that_do_not_fit_together(tmp_path):
    generator = GaussianMixture(components=2).fit(X, seed=0)
    generator.state["weights"] = torch.ones(3) / 3
    generator.save(tmp_path / "mixture")

    refused(GaussianMixture(components=2), tmp_path / "mixture", r"means has shape \(2, 2\) where \(k, v\) is")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "pt"}, "not a file saved by cgm"),
        ({"format": None}, "not a file saved by cgm"),
        ({"settings": None}, "not a file saved by cgm"),
        ({"format": None, "class": None, "settings": None}, "not a file saved by cgm"),
        ({"class": "GaussianMixture"}, "saved by GaussianMixture, cannot be loaded as KDE"),
        (
            {"settings": '{"bandwidth": 0.5}'},
            r'saved with the settings \{"bandwidth": 0.5\}, but here they are',
        ),
        ({"settings": "{"}, "Expecting property name"),
    ],
)
def test_bad_metadata(path, changes, message):
    rewrite(path, **changes)
    refused(KDE(), path, message)


def test_other_generator_or_settings(path):
    refused(GaussianMixture(), path, "saved by KDE, cannot be loaded as GaussianMixture")
    refused(KDE(0.5), path, "use the same settings, or fit again")

    KDE(1).fit(X, seed=0).save(path)
    assert KDE(1.0).load(path).bandwidth == 1.0


@pytest.mark.parametrize("length", [0, 4, 8, 60, -1])
def test_truncated(path, length):
    path.write_bytes(path.read_bytes()[:length])
    refused(KDE(), path, "not a file saved by cgm, or a damaged one")


def test_no_file(tmp_path):
    refused(KDE(), tmp_path, "not a file saved by cgm")
    with pytest.raises(FileNotFoundError, match="kde: there is no such file"):
        KDE().load(tmp_path / "kde")


def test_a_load_that_fails_leaves_the_generator_as_it_was(path):
    generator = KDE().load(path)
    sample = generator.sample(5, seed=0)
    path.write_bytes(b"")

    refused(generator, path, "damaged")
    assert torch.equal(generator.sample(5, seed=0), sample)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_file_as_it_was(path, monkeypatch, step):
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        KDE().fit(X + 1, seed=0).save(path)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["kde"]


def test_not_fitted(tmp_path):
    for call in (lambda: KDE().sample(1, seed=0), lambda: KDE().save(tmp_path / "kde")):
        with pytest.raises(ValueError, match="KDE is not fitted; call fit or load first"):
            call()


SIZED = [TrueMixture(), Identity(), MMDGAN(pretrained=False, channels=2, latent=3, steps=1, batch_size=4)]
IMAGES = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fitted", SIZED, ids=lambda fitted: type(fitted).__name__)
def test_sizes_are_kept_as_text(fitted, tmp_path):
    fitted.fit(X if isinstance(fitted, TrueMixture) else IMAGES, seed=0).save(tmp_path / "file")
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert json.loads(file.metadata()["sizes"]) == fitted.sizes
        assert all(file.get_tensor(name).numel() > 0 for name in file.keys())  # noqa: SIM118
    before, sizes = fitted.fingerprint(), fitted.sizes
    fitted.state, fitted.sizes = None, {}

    assert fitted.load(tmp_path / "file").sizes == sizes
    assert fitted.fingerprint() == before
    fitted.sizes = {**sizes, "width": 9}
    assert fitted.fingerprint() != before


def test_bad_sizes(tmp_path):
    for sizes, message in [
        ('{"dtype": "float99"}', "size dtype=float99: expected the name of a floating-point dtype"),
        ('{"dtype": "int64"}', "size dtype=int64: expected the name of a floating-point dtype"),
        ('{"dtype": "save"}', "size dtype=save: expected the name of a floating-point dtype"),
        ('{"dtype": 7}', "size dtype=7: expected the name of a floating-point dtype"),
        ('{"dtype": "float32", "more": 1}', r"has the sizes .* where \['dtype'\] are expected"),
        ("{}", r"has the sizes \{\} where \['dtype'\] are expected"),
        ("[]", r"has the sizes \[\] where \['dtype'\] are expected"),
        ("{", "Expecting property name"),
        (None, r"has the sizes \{\} where \['dtype'\] are expected"),
    ]:
        path = tmp_path / "mixture"
        generator = TrueMixture().fit(X, seed=0)
        generator.save(path)
        rewrite(path, sizes=sizes)

        refused(TrueMixture(), path, message)


def test_sizes_are_positive_integers(tmp_path):
    for width in ["0", "-3", "1.5", "true", '"two"', "null", "[2]"]:
        path = tmp_path / "features"
        Identity().fit(X, seed=0).save(path)
        rewrite(path, sizes=f'{{"width": {width}}}')

        refused(Identity(), path, "size width=.*: expected an integer >= 1")


# --- load of a class, and what is saved


def test_load_of_a_class_restores_the_settings(tmp_path):
    path = tmp_path / "file"
    for generator, x in [
        (KDE(0.5), X),
        (KDE("adaptive", neighbours=2), X.float()),
        (GaussianMixture(components=3, covariance="diag"), X),
        (VAE(latent=2, hidden=8, steps=3, rate=0.01, checkpoint=str(tmp_path / "folder")), X),
        (MMDGAN(False, channels=2, latent=3, steps=1, batch_size=4, momentum=(0.4, 0.9)), IMAGES),
    ]:
        generator.fit(x, seed=0).save(path)
        sample = generator.sample(9, seed=1)
        for cls in (type(generator), Generator):
            loaded = cls.load(path)
            assert type(loaded) is type(generator)
            assert torch.equal(loaded.sample(9, seed=1), sample)
            for name, value in asdict(generator).items():
                if name not in ("pretrained", "checkpoint"):  # paths of this machine
                    assert list(np.atleast_1d(getattr(loaded, name))) == list(np.atleast_1d(value)), name
        assert str(tmp_path).encode() not in path.read_bytes()


def test_load_of_another_class(path, tmp_path):
    with pytest.raises(ValueError, match=f"^{path}: saved by KDE, cannot be loaded as GaussianMixture$"):
        GaussianMixture.load(path)
    rewrite(path, **{"class": "Unknown"})
    with pytest.raises(ValueError, match="saved by Unknown, cannot be loaded as Generator; import the module that"):
        Generator.load(path)
    with pytest.raises(FileNotFoundError, match="nothing: there is no such file"):
        Generator.load(tmp_path / "nothing")


def test_nan_is_not_saved(path):
    before = path.read_bytes()
    for value in (float("nan"), float("inf")):
        generator = KDE().fit(X, seed=0)
        generator.state["widths"][3] = value
        with pytest.raises(ValueError, match=f"^KDE is not saved to {path}: widths contains values other than finite"):
            generator.save(path)
    assert path.read_bytes() == before


def test_the_fingerprint_does_not_depend_on_where_weights_came_from(path):
    fitted = KDE().fit(X, seed=0)

    assert KDE(pretrained=str(path)).fit(X, seed=5).fingerprint() == fitted.fingerprint()
