import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cgm.data.tables import infer_schema
from cgm.data.tables.encoding import TableEncoding
from cgm.valuation.kernels import SquaredExponential


def mixed(n=400, seed=0):
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": random.integers(20, 90, n),
            "bmi": random.normal(25, 4, n).round(1),
            "unit": random.choice(list("abc"), n, p=[0.6, 0.3, 0.1]),
            "smoker": random.choice([True, False], n),
        }
    )
    table.loc[random.random(n) < 0.2, "bmi"] = np.nan
    table["unit"] = table["unit"].astype(object)
    table.loc[random.random(n) < 0.2, "unit"] = None
    schema, parsed = infer_schema({"one": table})
    return schema, schema.to_codes(parsed["one"])


@pytest.mark.parametrize("numbers", ["standardise", "quantiles"])
def test_columns_have_the_same_weight(numbers):
    schema, codes = mixed()
    z = TableEncoding(schema, numbers).fit(codes, seed=0).transform(codes)

    assert z.dtype == torch.float64
    assert z.shape == (400, 2 + 2 + 4 + 2)  # numbers, indicator, levels with a missing one, booleans
    n = len(z)
    means = [float(torch.cdist(part, part).square().sum()) / n**2 for part in z.split([1, 1, 2, 4, 2], dim=1)]
    assert np.allclose(means[2:], 2)  # categories, exactly
    if numbers == "standardise":
        assert np.allclose(means[:2], 2)
    else:
        assert np.allclose(means[:2], 2, atol=0.2)


def test_the_kernel_is_a_product_over_columns():
    schema, codes = mixed(50)
    z = TableEncoding(schema).fit(codes, seed=0).transform(codes)
    lengthscale = 1.3
    kernel = SquaredExponential(lengthscale)(z, z)

    expected = torch.ones(50, 50, dtype=torch.float64)
    mean, std = codes.mean(0), codes.std(0, unbiased=False)
    for place in (0, 1):  # numbers
        x = (codes[:, place] - mean[place]) / std[place]
        expected *= torch.exp(-((x[:, None] - x[None]) ** 2) / (2 * lengthscale**2))
    for place in (2, 3, 4):  # the indicator and two categories
        x = codes[:, place]
        shares = torch.bincount(x.long()) / len(x)
        s2 = 1 / (1 - shares.double().square().sum())
        expected *= torch.where(x[:, None] == x[None], 1.0, torch.exp(-s2 / lengthscale**2))

    assert torch.allclose(kernel, expected, atol=1e-12)
    assert torch.linalg.eigvalsh(kernel).min() > -1e-10  # positive definite, with missing cells


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), numbers=st.sampled_from(["standardise", "quantiles"]))
def test_decoding_inverts_encoding(seed, numbers):
    schema, codes = mixed(60, seed)
    encoding = TableEncoding(schema, numbers).fit(codes, seed=0)

    assert torch.equal(encoding.decode(encoding.transform(codes)), codes)
    noisy = encoding.transform(codes) + torch.randn(60, 10, generator=torch.Generator().manual_seed(seed))
    nearest = encoding.nearest(noisy)
    assert torch.equal(schema.nearest(encoding.decode(noisy)), encoding.decode(noisy))
    assert torch.equal(encoding.nearest(nearest), nearest)  # the rows that are handed out are those that are valued


def test_an_unknown_level_equals_no_level():
    schema, codes = mixed()
    encoding = TableEncoding(schema).fit(codes, seed=0)
    codes[0, 3] = -1
    assert encoding.transform(codes[:1])[0, 4:8].tolist() == [0, 0, 0, 0]


def test_refusals():
    schema, codes = mixed()
    with pytest.raises(ValueError, match="numbers=ranks: expected one of standardise, quantiles"):
        TableEncoding(schema, "ranks")
    with pytest.raises(ValueError, match="not fitted"):
        TableEncoding(schema).transform(codes)
