import json

import pytest
import torch

from cgm import Experiment
from cgm.contributions import Banzhaf, Shapley
from cgm.data import Digits, EqualDisjoint
from cgm.data.attacks import Noise, SplitParty
from cgm.data.features import PCA, UMAP
from cgm.evaluation.tasks import NoTask
from cgm.generators import KDE
from cgm.rewards import ShapleyFair, WeightedSampling
from cgm.utils import sharing as module
from cgm.utils.sharing import data_of, settings_of, shared, sharing
from cgm.valuation.references import LeaveOneOutReference, RealReference


def run(folder, **settings):
    """Run a small experiment, and return its result without what depends on the clock, and its rewards."""

    split = EqualDisjoint(n_parties=3, points_per_party=40)
    fixed = {"split": split, "synthetic_size": 300, "sampling": WeightedSampling([4]), "downstream": NoTask()}
    record = Experiment(**fixed | {"scheme": ShapleyFair(stable=False), "figures": False} | settings).run(folder)
    result = json.loads((folder / "result.json").read_text())
    return {k: v for k, v in result.items() if k not in ("seconds", "memory")}, record.rewards


RUNS = [
    {},
    {"contribution": Banzhaf()},
    {"attack": Noise(party=2)},
    {"attack": Noise(party=2), "contribution": Banzhaf()},
    {"attack": Noise(party=2), "reference": RealReference()},
    {"attack": Noise(party=2), "reference": LeaveOneOutReference()},
    {"attack": SplitParty(party=2)},
    {"dataset": Digits(), "features": PCA(3), "generator": KDE("cv"), "attack": Noise(party=1)},
    {"dataset": Digits(), "features": PCA(3), "generator": KDE("cv"), "attack": Noise(party=1), "seed": 1},
    {"dataset": Digits(), "features": PCA(3), "contribution": Banzhaf()},
]


def test_shared_runs_have_the_same_numbers(tmp_path):
    alone = [run(tmp_path / f"alone{i}", **settings) for i, settings in enumerate(RUNS)]
    with sharing():
        together = [run(tmp_path / f"together{i}", **settings) for i, settings in enumerate(RUNS)]
    for (one, rewards), (other, shared_rewards) in zip(alone, together, strict=True):
        assert one == other
        assert all(torch.equal(rows, shared_rewards[key]) for key, rows in rewards.items())


@pytest.mark.slow
def test_features_of_parties_and_pool_together(tmp_path):
    settings = {"dataset": Digits(), "features": UMAP(components=2), "generator": KDE("scott")}
    alone = [run(tmp_path / f"alone{i}", **settings, contribution=c) for i, c in enumerate((Shapley(), Banzhaf()))]
    with sharing():
        both = [run(tmp_path / f"both{i}", **settings, contribution=c) for i, c in enumerate((Shapley(), Banzhaf()))]
    assert [result for result, _ in alone] == [result for result, _ in both]


def test_what_is_computed_once(tmp_path):
    class Counted(Digits):
        loaded = 0

        def load(self, data_dir, seed):
            Counted.loaded += 1
            return super().load(data_dir, seed)

    settings = {"dataset": Counted(), "features": PCA(3)}
    with sharing():
        for name, more in (("a", {}), ("b", {"attack": Noise()})):
            run(tmp_path / f"{name}0", **settings, **more)
            run(tmp_path / f"{name}1", **settings, **more, contribution=Banzhaf())
        store = module._store.get()
        assert len(store["valuation"]) == 2  # honest and attacked
        assert len(store["honest"]) == 2  # with either contribution
    assert Counted.loaded == 1
    assert module._store.get() is None


def test_the_oldest_is_dropped():
    computed = []
    with sharing():
        for key in (1, 2, 1, 3, 1, 2):
            shared("x", key, lambda key=key: computed.append(key), keep=2)
    assert computed == [1, 2, 3, 2]
    shared("x", 1, lambda: computed.append("again"))
    shared("x", 1, lambda: computed.append("again"))
    assert computed[-2:] == ["again", "again"]


def test_errors_are_not_kept():
    def fail():
        raise ValueError("no")

    with sharing():
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                shared("x", 1, fail)
        assert shared("x", 1, lambda: 2) == 2


def test_keys():
    assert settings_of(KDE("scott")) == settings_of(KDE("scott")) != settings_of(KDE("cv"))
    assert settings_of(Noise(party=1)) != settings_of(SplitParty(party=1))
    assert settings_of({"a": [1, 2]}) == settings_of({"a": [1, 2]})
    assert hash(settings_of(WeightedSampling([1, 2])))
    assert data_of([torch.zeros(2)]) is None
    with sharing():
        assert data_of([torch.zeros(2)]) == data_of([torch.zeros(2)]) != data_of([torch.zeros(1, 2)])
