"""Experiments with `privacy=release`: what the record states, and what one party's rows change."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cgm.data.attacks import FreeRide
from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.features.encoder import Encoder
from cgm.data.features.linear import PCA
from cgm.data.features.umap import UMAP
from cgm.data.splits import EqualDisjoint
from cgm.experiment import Experiment
from cgm.generators.kde import KDE
from cgm.generators.mean_embedding import MeanEmbedding
from cgm.generators.mmd_gan.generator import MMDGAN
from cgm.privacy.release import Release
from cgm.privacy.sketch import Sketch
from cgm.records.headline import headline_table
from cgm.records.result import Result
from cgm.records.settings import with_metrics
from cgm.release import _uses_weights, _warn_of_less
from cgm.rewards.sampling import WeightedSampling
from cgm.utils.plain import plain
from cgm.valuation.kernels import SquaredExponential

SMALL = {
    "dataset": CreditRatings(points_per_class=120, test_points_per_class=100),
    "split": EqualDisjoint(n_parties=3, points_per_party=120),
    "generator": MeanEmbedding(particles=60, steps=20),
    "kernel": SquaredExponential("median"),
    "scheme": "fair",
    "sampling": WeightedSampling((4.0,), tolerance=0.05),
    "synthetic_size": 1000,
    "metric": "none",
    "figures": False,
}
PRIVACY = Release(epsilon=[3, 5, 10], landmarks=60, draws=5)


def experiment(**settings):
    return Experiment(**{**SMALL, "privacy": PRIVACY, **settings})


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return experiment().run(tmp_path_factory.mktemp("run") / "one")


def test_the_record_states_the_guarantee_and_what_it_costs(record):
    result, privacy = record.result, record.result.privacy
    assert [each["epsilon"] for each in privacy.guarantees] == [3.0, 5.0, 10.0]
    for each in privacy.guarantees:
        assert {"delta", "mu", "max_auc", "max_true_positives", "unit"} <= each.keys()
    assert privacy.public[0].startswith("the public rows")
    assert privacy.public_rows == 250
    assert privacy.replay.startswith("the noise came from the operating system")
    for name in ("values_stderr", "phi_stderr", "alpha_stderr", "values_exact", "alpha_exact", "alpha_features"):
        assert len(getattr(privacy, name)) == 3
    assert privacy.alpha_exact == pytest.approx(privacy.alpha_features, abs=1e-3)
    errors = result.values.party - torch.tensor(privacy.values_exact, dtype=torch.float64)
    assert (errors.abs() < 6 * torch.tensor(privacy.values_stderr)).all()
    assert result.settings["privacy"]["class"] == "Release"
    assert Result.loads(result.dumps()) == result
    assert {entry.party for entry in result.downstream} == {0, 1, 2}
    for reward in result.sampling:
        assert reward.checked == pytest.approx(reward.value, abs=0.05)


def test_rewards_that_noise_leaves_empty_are_warned_of(record):
    assert re.search(
        r"privacy: ε = .*, δ = 1e-05, μ = .*; largest standard errors .*: v\(D_i\) 0", headline_table(record.result)
    )
    reward = SimpleNamespace(party=1, size=0, start=0.5, promised=0.4)
    assert _warn_of_less([reward, reward]) == [
        "party 2: its rows are worth v(D_i) = 0.5, more than r_i = 0.4, because of the noise: its reward is empty"
    ]
    assert not _warn_of_less([SimpleNamespace(party=1, size=0, start=0.4, promised=0.4)])


def test_the_same_seed_is_another_release_and_a_record_is_kept(record, tmp_path):
    first = experiment().run(tmp_path)
    assert not first.result.contributions.phi.equal(record.result.contributions.phi)
    again = experiment().run(tmp_path)  # complete: nothing is drawn again
    assert again.result == first.result
    with pytest.raises(ValueError, match=r"a run with other settings .*privacy"):
        experiment(privacy=replace(PRIVACY, epsilon=1.0)).run(tmp_path)
    assert experiment().run(tmp_path, force=True).result != first.result


def test_other_rows_with_the_same_sketch_change_the_reward_of_their_owner_alone(monkeypatch):
    sketches, draw, load = {}, Sketch.of_points.__func__, Experiment.load
    monkeypatch.setattr(
        Sketch, "of_points", classmethod(lambda cls, *given: sketches.setdefault(given[2], draw(cls, *given)))
    )
    before = experiment().run(None)

    def changed(self):
        data = load(self)
        return replace(data, parties=[data.parties[0].flip(1) + 0.1, *data.parties[1:]])

    monkeypatch.setattr(Experiment, "load", changed)
    after = experiment().run(None)
    one, two = before.result, after.result
    for name in ("values", "contributions", "scheme", "incentives"):
        assert plain(getattr(one, name)) == plain(getattr(two, name)), name
    assert one.privacy.alpha_stderr == two.privacy.alpha_stderr
    assert one.privacy.values_exact != two.privacy.values_exact
    assert torch.equal(before.pool, after.pool)
    for key, rows in before.rewards.items():
        assert torch.equal(rows, after.rewards[key]) is (key[0] != 0), key


def test_a_pool_of_public_rows_and_a_length_scale_that_is_fitted_to_them():
    public = experiment(
        generator="kde", privacy=replace(PRIVACY, pool="public"), kernel="squared_exponential", features=PCA(2)
    )
    result = public.run(None).result
    assert result.generator == "kde"
    assert result.features == "pca"
    assert isinstance(result.kernel.lengthscale, float)


def test_what_would_be_fitted_to_rows_is_refused_by_name():
    for settings, message in (
        ({"generator": KDE()}, "generator=kde: would be fitted to the parties' rows; .*generator=mean_embedding"),
        ({"generator": MeanEmbedding(jitter=0.5)}, "generator.jitter=0.5"),
        ({"features": "umap"}, "features=umap: would be fitted to the parties' rows and the pool"),
        ({"reference": "real"}, "reference=real: with privacy=release"),
        ({"contribution": "pointwise"}, "contribution=pointwise: needs the rows themselves"),
        ({"attack": FreeRide()}, "attack=free_ride: not with privacy=release"),
        ({"privacy": Release(epsilon=[1, 2])}, "privacy.epsilon=.*one for each of 3 parties"),
        ({"privacy": Release(public="schema.yaml")}, "privacy.public=schema.yaml: of an experiment"),
    ):
        with pytest.raises(ValueError, match=message):
            experiment(**settings)
    with pytest.raises(ValueError, match=r"privacy.public=0.001: 0 of 500 held-out points would be public"):
        experiment(privacy=replace(PRIVACY, public=0.001)).run(None)


def test_weights_that_were_trained_before_are_warned_of():
    for features, generator, privacy, expected in (
        (PCA(2), KDE(), PRIVACY, False),
        (UMAP(of="encoder", fit_to="parties"), KDE(), PRIVACY, True),
        (UMAP(fit_to="parties"), KDE(), PRIVACY, False),
        (Encoder(), KDE(), PRIVACY, True),  # without a report of a training
        (PCA(2), MMDGAN(), PRIVACY, False),
        (PCA(2), MMDGAN(), replace(PRIVACY, pool="public"), True),
    ):
        assert _uses_weights(features, generator, privacy) is expected


def test_records_without_the_setting_have_no_privacy():
    for key, name in (("class", "NoPrivacy"), ("_target_", "cgm.privacy.NoPrivacy")):
        assert with_metrics({key: "Experiment", "metric": {}, "valuation": {}})["privacy"] == {key: name}
