"""What the networks of points learn: dependence, categories, atoms, images; and their trainings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cgm import Mediator
from cgm.data.features import PCA
from cgm.data.tables.encoding import TableEncoding
from cgm.data.tables.schema import infer_schema
from cgm.generators import VAE, FlowMatching
from cgm.settlements.tables import Rows
from tests.generators.mmd_gan.bars import bars

VAES = VAE(latent=2, hidden=32, channels=4, steps=600, batch=128, rate=5e-3)
FLOWS = FlowMatching(
    hidden=32, layers=2, latent=4, channels=4, solver_steps=10, steps=600, autoencoder_steps=300, batch=128, rate=5e-3
)
both = pytest.mark.parametrize("generator", [VAES, FLOWS], ids=["vae", "flow_matching"])


def table(n=400):
    """Two numbers that depend on a category of three levels, one of them with many zeros."""

    random = np.random.default_rng(0)
    level = random.integers(3, size=n)
    x = np.column_stack(
        [4.0 * level + random.normal(size=n), np.where(level == 0, 0.0, level + random.uniform(size=n))]
    )
    return torch.from_numpy(np.column_stack([x, 1.3 * np.eye(3)[level]]))


@both
def test_learns_how_columns_depend(generator):
    x = table()
    sample = replace(generator).fit(x, seed=0).sample(1000, seed=0).numpy()
    level, real = sample[:, 2:].argmax(1), x[:, 2:].argmax(1).numpy()

    assert (sample[:, 2:].sum(1) == 1.3).all()
    assert np.bincount(level, minlength=3) / 1000 == pytest.approx(np.bincount(real) / len(x), abs=0.1)
    for k in range(3):
        assert sample[level == k, 0].mean() == pytest.approx(float(x[real == k, 0].mean()), abs=1.0)
    assert (sample[level == 0, 1] == 0).mean() > 0.7
    assert (sample[level != 0, 1] == 0).mean() < 0.1
    assert len(set(map(tuple, sample)) & set(map(tuple, x.numpy()))) < 100  # rows with no zeros are new


@both
def test_images(generator):
    few = {"steps": 150, "batch": 32} | ({"autoencoder_steps": 150} if generator is FLOWS else {})
    images = replace(generator, **few).fit(bars(60), seed=0).sample(100, seed=0)
    upright = images[:, 0, :, 3:5].mean((1, 2)) - images[:, 0, 3:5].mean((1, 2))

    assert images.shape == (100, 1, 8, 8)
    assert 0 <= float(images.min()) < 0.2
    assert 0.7 < float(images.max()) <= 1
    assert 0.2 < float((upright > 0.2).double().mean() + (upright < -0.2).double().mean()) <= 1


@both
def test_a_training_is_resumed(generator, tmp_path):
    tiny = replace(generator, steps=4, autoencoder_steps=4) if generator is FLOWS else replace(generator, steps=4)
    for x in (bars(), table(50)):
        settings = {"checkpoint": str(tmp_path / f"{x.dim()}")}
        first = replace(tiny, **settings).fit(x, seed=0)
        again = replace(tiny, **settings).fit(x, seed=0)
        assert torch.equal(again.sample(3, seed=0), first.sample(3, seed=0))
        assert first.report["steps"] == again.report["steps"] >= 4
        assert torch.equal(replace(tiny).fit(x, seed=0).sample(3, seed=0), first.sample(3, seed=0))
        with pytest.raises(ValueError, match=r"another training \(.*; use another generator.checkpoint"):
            replace(tiny, **settings).fit(x, seed=1)


@both
def test_in_a_mediator_and_for_tables(generator, tmp_path):
    import pandas as pd

    tiny = replace(generator, steps=4, autoencoder_steps=4) if generator is FLOWS else replace(generator, steps=4)
    parties = [table(60), table(50)]
    assert Mediator(generator=tiny, synthetic_size=300).fit(parties, 0).generator.sample(5, 0).shape == (5, 5)
    fitted = Mediator(generator=tiny, features=PCA(3), synthetic_size=300)
    pooled = fitted.pool(fitted.fit([bars(), bars(30)], 0), 300, 0)
    assert pooled.pool.points.shape == (300, 3)
    assert pooled.pool.images.shape == (300, 1, 8, 8)

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.normal(size=90), "sex": random.choice(["f", "m"], 90), "n": np.arange(90) % 3})
    schema, parsed = infer_schema({"a": frame}, {"a": np.ones(90, bool)}, (), (), 0.005, None)
    codes = schema.to_codes(parsed["a"])
    drawn = Rows(tiny, TableEncoding(schema).fit(codes, 0)).fit(codes, 0).sample(200, 0)
    rows = schema.to_table(drawn)
    assert set(rows["sex"]) <= {"f", "m"}
    assert set(rows["n"].astype(int)) <= {0, 1, 2}


@both
def test_bad_data(generator):
    tiny = replace(generator, steps=1)
    for x, message in [
        (torch.rand(9, 3, 3), r"expected shape \(N, C, H, W\) or \(N, d\), got \(9, 3, 3\)"),
        (torch.rand(9, 1, 8, 8) + 1, "they must lie in "),
        (torch.ones(9, 2), "all 9 are equal"),
        (torch.tensor([[float("nan")], [1.0]]), "row 0 holds NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny.fit(x, seed=0)
    with pytest.raises(ValueError, match=r"pretrained=true: cgm comes with no trained .* for points of shape \(2,\)"):
        replace(tiny, pretrained=True).fit(torch.rand(9, 2), seed=0)
    with pytest.raises(ValueError, match="diverged"):
        replace(generator, steps=50, rate=1e9).fit(torch.rand(300, 2), seed=0)
