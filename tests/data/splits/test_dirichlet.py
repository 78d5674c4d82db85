import numpy as np

from cgm.data import Dirichlet


def test_shares_follow_seed_and_concentration():
    split = Dirichlet(n_parties=400, concentration=2.0)
    shares = split.shares(4, seed=0)

    assert (shares == split.shares(4, seed=0)).all()
    assert (shares != split.shares(4, seed=1)).all()
    # Mean 1/m and variance (m - 1) / (m² (m c + 1)).
    assert np.abs(shares.mean(axis=0) - 0.25).max() < 0.03
    np.testing.assert_allclose(shares.var(axis=0), 3 / (16 * 9), rtol=0.2)
    assert Dirichlet(concentration=1e-6).shares(4, seed=0).max(axis=1).min() > 0.999
