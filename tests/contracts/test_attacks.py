"""Properties of every attack: each class in `cgm.data.attacks`, and each file in `conf/attack`."""

import dataclasses

import numpy as np
import pytest
import torch
from hydra.utils import get_class, instantiate
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import cgm.data.attacks
from cgm.data.attacks import Attack, NoAttack, PartyAttack
from cgm.utils.settings import constraints_of
from tests.contracts.members import check_configuration, classes, configurations

CLASSES = classes(cgm.data.attacks, lambda cls: issubclass(cls, Attack))
FILES = configurations("attack")
KINDS = {name: constraints_of(cls)["kind"][0][0].names for name, cls in CLASSES.items() if hasattr(cls, "kind")}
MEMBERS = (
    {name: cls() for name, cls in CLASSES.items()}
    | {f"{name}, {kind}": CLASSES[name](kind=kind) for name, kinds in KINDS.items() for kind in kinds}
    | {f"attack={name}": instantiate(config) for name, config in FILES.items()}
)
every_attack = pytest.mark.parametrize("attack", MEMBERS.values(), ids=MEMBERS)
ATTACKERS = [name for name, attack in MEMBERS.items() if isinstance(attack, PartyAttack)]


def make_parties(shape: tuple[int, ...], sizes: tuple[int, ...] = (30, 21, 40), seed: int = 0, dtype=torch.float64):
    """Parties' data in [0, 1], its classes, and public points."""

    random = torch.Generator().manual_seed(seed)
    x = [torch.rand(n, *shape, generator=random, dtype=dtype) for n in (*sizes, 25)]
    y = [torch.randint(5, (n,), generator=random) for n in (*sizes, 25)]
    return x[:-1], y[:-1], (x[-1], y[-1])


def same(one, other) -> bool:
    return one[2] == other[2] and all(
        len(a) == len(b) and all(map(torch.equal, a, b)) for a, b in zip(one[:2], other[:2], strict=True)
    )


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    check_configuration(FILES[name], {})


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_an_attack_is_a_frozen_dataclass_of_its_settings(cls):
    assert cls.__dataclass_params__.frozen
    assert dataclasses.replace(cls()) == cls()


@every_attack
@given(seed=st.integers(0, 2**40), images=st.booleans(), party=st.integers(1, 3), double=st.booleans())
@hypothesis(max_examples=25)
def test_what_is_handed_in(attack, seed, images, party, double):
    dtype = torch.float64 if double else torch.float32
    x, y, public = make_parties((1, 3, 4) if images else (3,), seed=seed % 7, dtype=dtype)
    copies = [t.clone() for t in (*x, *y, *public)]
    if isinstance(attack, PartyAttack):
        other = {"source": party % 3 + 1} if hasattr(attack, "source") else {}
        attack = dataclasses.replace(attack, party=party, **other)
    attacked = attack.apply(x, y, seed, public)
    assert all(map(torch.equal, copies, (*x, *y, *public)))  # the honest data is not changed
    assert same(attacked, attack.apply(x, y, seed, public))

    parties, labels, identities = attacked
    place = party - 1
    own = () if isinstance(attack, NoAttack) else (place, *range(3, len(parties)))
    assert identities == own
    assert len(parties) == len(labels) >= 3
    for i in range(3):
        if i not in own:  # the others keep their places and their data
            assert torch.equal(parties[i], x[i])
            assert torch.equal(labels[i], y[i])
    for data, classes_ in zip(parties, labels, strict=True):
        assert data.shape[1:] == x[0].shape[1:]
        assert data.dtype == dtype
        assert classes_.dtype == torch.int64
        assert len(data) == len(classes_) >= 2
        assert torch.isfinite(data).all()
        if images:
            assert data.min() >= 0
            assert data.max() <= 1
        assert 0 <= int(classes_.min()) <= int(classes_.max()) < 5


@pytest.mark.parametrize("name", ATTACKERS)
def test_the_attacker_hands_in_something_else(name):
    x, y, public = make_parties((3,))
    parties, _, (place, *_) = MEMBERS[name].apply(x, y, 0, public)
    assert not torch.equal(parties[place], x[place])


@pytest.mark.parametrize("name", ATTACKERS)
def test_another_seed_attacks_otherwise(name):
    x, y, public = make_parties((3,))
    zero, one = (MEMBERS[name].apply(x, y, seed, public) for seed in (0, 1))
    assert same(zero, one) == ("Duplicate" in name or "duplicate" in name)  # the only one without chance


@every_attack
def test_global_random_streams_are_not_used(attack):
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    x, y, public = make_parties((3,))
    attack.apply(x, y, 0, public)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if issubclass(cls, PartyAttack)])
def test_a_party_that_does_not_exist(name):
    x, y, public = make_parties((3,))
    with pytest.raises(ValueError, match=r"attack\.party=4: there are 3 parties"):
        CLASSES[name](party=4).apply(x, y, 0, public)
