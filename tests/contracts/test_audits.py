"""Properties of every privacy audit: each class in `cgm.evaluation.privacy`, and each file in `conf/audit`."""

import dataclasses
import json
import math
from inspect import isabstract

import pytest
import torch
from hydra.utils import get_class, instantiate

import cgm.evaluation.privacy
from cgm.evaluation.entries import RewardAudit
from cgm.evaluation.privacy.base import Audit, Reward
from cgm.utils.plain import plain
from tests.contracts.members import check_configuration, classes, configurations

CLASSES = classes(cgm.evaluation.privacy, lambda cls: issubclass(cls, Audit))
FILES = configurations("audit")
MEMBERS = {name: cls() for name, cls in CLASSES.items()} | {
    f"audit={name}": instantiate(config, _convert_="all") for name, config in FILES.items()
}
every_audit = pytest.mark.parametrize("audit", MEMBERS.values(), ids=MEMBERS)


@pytest.fixture(scope="module")
def data() -> tuple[list[torch.Tensor], list[torch.Tensor], list[Reward]]:
    """Three parties, held-out rows for each, and rewards of several sizes, one of them empty."""

    random = torch.Generator().manual_seed(0)

    def draw(n: int) -> torch.Tensor:
        return torch.randn(n, 2, generator=random, dtype=torch.float64)

    rewards = [(party, beta, draw(k)) for party in (2, 0, 1) for k, beta in ((0, 0.0), (1, 2.0), (60, math.inf))]
    return [draw(40), draw(90), draw(60)], [draw(30), draw(50), draw(20)], rewards


def test_every_class_has_a_file():
    assert {get_class(config._target_) for config in FILES.values()} == set(CLASSES.values())


@pytest.mark.parametrize("name", FILES)
def test_files_state_every_setting(name):
    check_configuration(FILES[name], {})


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_an_audit_is_a_frozen_dataclass_of_its_settings(cls):
    assert not isabstract(cls)
    assert cls.__dataclass_params__.frozen
    assert dataclasses.replace(cls()) == cls()


@every_audit
def test_there_is_an_entry_for_each_reward_or_none_at_all(audit, data):
    entries = audit.audit(*data, seed=0)
    assert all(isinstance(entry, RewardAudit) for entry in entries)
    if entries:
        assert [(entry.party, entry.beta) for entry in entries] == [(party, beta) for party, beta, _ in data[2]]


@every_audit
def test_numbers_are_in_their_ranges_and_missing_ones_have_a_reason(audit, data):
    for entry in audit.audit(*data, seed=0):
        numbers = (entry.strongest, entry.copies, entry.copies_held_out, entry.nearest_share, entry.chance)
        if entry.reason is not None:
            assert entry.reason
            assert numbers == (None,) * 5
            assert entry.attacks == []
            continue
        for guess in entry.guesses:
            assert all(0 <= share <= 1 for share in (guess.rate, guess.without, guess.held_out))
            assert -1 <= guess.excess_low <= guess.rate - guess.held_out <= guess.excess_high <= 1
        assert entry.attacks or entry.guesses
        if not entry.attacks:  # of cells alone
            assert numbers == (None,) * 5
            continue
        assert entry.strongest in {attack.name for attack in entry.attacks}
        assert all(0 <= share <= 1 for share in (entry.nearest_share, entry.chance))
        for attack in entry.attacks:
            assert 0 <= attack.auc_low <= attack.auc <= attack.auc_high <= 1
            assert 0 <= attack.tpr_low <= attack.tpr <= attack.tpr_high <= 1


@every_audit
def test_entries_are_plain_json(audit, data):
    for entry in audit.audit(*data, seed=0):
        content = json.loads(json.dumps(plain(entry), allow_nan=False))
        assert content["attacks"] == [{"class": "AttackResult"} | vars(attack) for attack in entry.attacks]
        assert content["beta"] == ("inf" if math.isinf(entry.beta) else entry.beta)


@every_audit
def test_the_same_result_each_time_and_for_each_reward_alone(audit, data):
    parties, held_out, rewards = data
    copies = [x.clone() for x in (*parties, *held_out)]
    entries = audit.audit(parties, held_out, rewards, seed=5)
    assert audit.audit(parties, held_out, rewards, seed=5) == entries
    assert audit.audit(parties, held_out, rewards[::-1], seed=5) == entries[::-1]
    assert audit.audit(parties, held_out, rewards[4:6], seed=5) == entries[4:6]
    assert audit.audit(parties, held_out, [], seed=5) == []
    assert all(torch.equal(x, copy) for x, copy in zip((*parties, *held_out), copies, strict=True))


@every_audit
def test_the_same_result_with_any_number_of_threads(audit, data):
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            results.append(audit.audit(*data, seed=0))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert results[0] == results[1]
