"""Tests of certificates: what they say, and what they must not give away."""

import hashlib
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from cgm.evaluation.entries import GuessResult
from cgm.generators import KDE
from cgm.generators.flow import Units
from cgm.mediator import Mediator
from cgm.rewards import Gain, WeightedSampling
from cgm.settlements.certificate import canonical_json, contents, readable_json, rounded, seal
from cgm.settlements.folder import certificate, party_files, settings_file
from cgm.settlements.report import report
from cgm.settlements.view import describe
from cgm.utils.files import sha256
from cgm.utils.random import Stream, random_state, stream_seed
from tests.settlements.settled_tables import attack, settle

GAIN = {"scheme": Gain(), "sampling": WeightedSampling((1.0, 4.0, 8.0), tolerance=0.05)}


def numbers(content: object) -> list[float]:
    """List all numbers in nested dictionaries and lists."""

    if isinstance(content, dict):
        return [x for value in content.values() for x in numbers(value)]
    if isinstance(content, list):
        return [x for value in content for x in numbers(value)]
    return [float(content)] if isinstance(content, int | float) and not isinstance(content, bool) else []


def text(settlement, party: int, **given) -> str:
    files = party_files(settlement, party, **given)
    return "\n".join(data.decode() for name, data in files.items() if not name.endswith(".csv"))


def test_a_certificate_says_what_the_party_receives():
    settlement = settle()
    found = certificate(settlement, 1)
    assert (found["party"], found["parties"], found["data"]["file"]) == ("South Bank", 3, "South Bank.csv")
    assert (found["data"]["rows_valued"], found["data"]["rows_held_out"]) == (67, 6)
    rewards = settlement.rewards
    own = {
        "own_data": settlement.game.party_values[1],
        "alpha": settlement.contributions.alpha[1],
        "reward": rewards.values[1],
        "target": rewards.values[1],
        "limit": rewards.upper[1],
    }
    assert found["value"] == pytest.approx({key: float(x) for key, x in own.items()}, rel=1e-5)
    assert [entry["beta"] for entry in found["rewards"]] == [8]  # what the party receives, and nothing else
    found["rewards"] = certificate(settlement, 1, alternatives=True)["rewards"]
    assert [entry["beta"] for entry in found["rewards"]] == [1, 4, 8]
    for entry in found["rewards"]:
        reward = settlement.drawn[1, entry["beta"]]
        assert (entry["rows"], entry["reached"]) == (len(reward.indices), reward.reached)
        assert entry["value_reached"] == pytest.approx(reward.value, rel=1e-5)
        assert entry["share_of_gain"] == pytest.approx(reward.share_of_gain, rel=1e-5)
        assert entry["recommended"] == (entry["beta"] == 8) == (entry["file"] == "reward.csv")
    assert [entry["name"] for entry in found["incentives"]] == ["R1", "R2", "R3", "R4", "R5", "R6"]
    slack = {entry["name"]: entry["own_slack"] for entry in found["incentives"]}
    assert slack["R4"] == pytest.approx(float(rewards.values[1] - settlement.game.party_values[1]), rel=1e-5)
    assert slack["R3"] is slack["R5"] is slack["R6"] is None


def test_the_error_of_alpha_and_the_target_of_a_party():
    settlement = settle(**GAIN)
    for party in range(3):
        without = certificate(settlement, party, disclose=["names", "values", "rewards", "sizes"])
        assert "alpha_stderr" not in json.dumps(without)
        found = certificate(settlement, party, disclose=["contributions"])
        assert found["value"]["alpha_stderr"] == pytest.approx(float(settlement.alpha_stderr[party]), rel=1e-5)

        own, limit = (float(x[party]) for x in (settlement.game.party_values, settlement.rewards.upper))
        target = min(float(settlement.rewards.values[party]), own + 0.95 * (limit - own))
        assert found["value"]["target"] == pytest.approx(target, rel=1e-5)
        for entry in found["incentives"]:
            assert entry["target_holds"] is settlement.target_incentives[entry["name"]].holds
        slack = {entry["name"]: entry["own_target_slack"] for entry in found["incentives"]}
        expected = {"R1": target, "R2": limit - target, "R4": target - own}
        assert {name: slack[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-9)
        assert slack["R3"] is slack["R5"] is slack["R6"] is None
    page = party_files(settlement, 0)["certificate.html"].decode()
    assert "Not held by the targets: R3 (weak efficiency)" in page.replace("\n", " ")


def test_digests_are_those_of_the_files():
    settlement = settle()
    files = party_files(settlement, 0, alternatives=True)
    found = json.loads(files["certificate.json"])
    assert found == certificate(settlement, 0, alternatives=True) == seal(found)
    names = {"reward.csv", "alternatives/reward-beta-1.csv", "alternatives/reward-beta-4.csv"}
    assert set(found["files"]) == names | {"certificate.html", "README.txt"} == set(files) - {"certificate.json"}
    for name, entry in found["files"].items():
        assert (entry["sha256"], entry["bytes"]) == (sha256(files[name]), len(files[name]))
    settings = settings_file(settlement)
    assert found["settings_sha256"] == sha256(settings)
    assert json.loads(settings)["settings"]["seed"] == 3
    assert party_files(settlement, 0, alternatives=True) == files  # the same settlement, the same bytes


@pytest.mark.parametrize("settings", [{}, GAIN], ids=["stable", "gain"])
def test_no_number_of_another_party_follows_from_a_certificate(settings):
    """Neither a number nor the sum, difference, product or quotient of two of them is one of another party."""

    settlement = settle(**settings)
    for party in range(3):
        content = certificate(settlement, party)
        own = numbers({key: content[key] for key in ("value", "rewards", "incentives", "data")})
        pairs = list(itertools.permutations({x for x in own if x}, 2))
        known = {*own, *(a + b for a, b in pairs), *(a - b for a, b in pairs)}
        known |= {a * b for a, b in pairs} | {a / b for a, b in pairs}

        contributions, game = settlement.contributions, settlement.game
        for other in {0, 1, 2} - {party}:
            secrets = {
                "phi": float(contributions.phi[other]),
                "value": float(game.party_values[other]),
                "distance": float(settlement.uncertainty.to_largest[party]),
                "error": float(settlement.alpha_stderr[party]),
            }
            if contributions.alpha[other] < 1:  # the largest reward is r_i / α_i for ρ = 1, see the module
                secrets["alpha"] = float(contributions.alpha[other])
                secrets["reward"] = float(settlement.rewards.values[other])
                secrets["limit"] = float(settlement.rewards.upper[other])
            for name, secret in secrets.items():
                assert not [x for x in known if abs(x - secret) <= 2e-6 * abs(secret)], (other, name)


def test_a_certificate_names_and_counts_no_other_party():
    settlement = settle()
    for party in range(3):
        said = text(settlement, party)
        without_digests = re.sub(r"[0-9a-f]{64}", "", said)
        for i, name in enumerate(settlement.names):
            assert (name in said) == (i == party)
            if i != party:
                assert not re.search(rf"\b{len(settlement.tables[i])}\b", without_digests)
        audit = settlement.audits[party]
        for number in (audit.members, audit.non_members, audit.nearest_share):
            assert not re.search(rf"\b{number}\b", without_digests)
        for word in ("v_star", '"rho"', '"seed"', '"t"', "copies", "/data"):
            assert word not in said


def test_results_of_an_audit_are_rounded_and_name_their_threat_model():
    audit = certificate(settle(), 0)["audit"]
    assert "rows of the other parties that were used" in audit["threat_model"]
    (result,) = audit["results"]
    assert result["attacks"][0] == {"name": "nearest_distance", "auc": 0.5, "tpr": 0.0}  # in steps of 0.05
    assert result["meaning"].endswith(
        "picks the used one in about 50 of 100 cases; guessing picks it in 50. The attack was not shown to be better "
        "than guessing."
    )
    for auc, low, said in [(0.62, 0.48, "was not shown to be better"), (0.62, 0.52, "seems better than guessing")]:
        attacks = [replace(attack("nearest_distance", auc), auc_low=low)]
        audits = [replace(entry, attacks=attacks) for entry in settle().audits[:1]]
        (coarse,) = certificate(replace(settle(), audits=audits), 0)["audit"]["results"]
        assert f"in about 60 of 100 cases; guessing picks it in 50. The attack {said}" in coarse["meaning"]
    (result,) = certificate(settle(), 0, disclose=["sizes"])["audit"]["results"]
    assert result["attacks"][0] == {
        "name": "nearest_distance", "auc": 0.51, "auc_low": 0.47, "auc_high": 0.55,
        "tpr": 0.012, "tpr_low": 0.001, "tpr_high": 0.046,
    }  # fmt: skip
    assert result["meaning"].startswith("Shown a row of another party that was used and one that was kept apart")
    assert "51 of 100 cases (95 % interval 47 to 55)" in result["meaning"]
    for disclose in ([], ["sizes"]):
        page = party_files(settle(), 0, disclose)["certificate.html"].decode()
        assert ("95 % interval" in page) == ("sizes" in disclose)
    result = certificate(settle(), 0, alternatives=True)["audit"]["results"][1]
    reason = "too few rows could be attacked"  # how many there are is not said
    nothing = {"strongest": None, "meaning": None, "attacks": [], "guesses": []}
    assert result == {"beta": 1.0, **nothing, "reason": reason}
    assert certificate(replace(settle(), audits=[]), 0)["audit"]["results"] == []


def test_attacks_on_cells_are_in_coarse_steps():
    settlement = settle()
    guesses = [
        GuessResult("attribute_inference", "age", 331, 0.3333, 0.3111, 0.2876, 0.0123, 0.0789),
        GuessResult("attribute_inference", "income", 331, 0.0123, 0.0111, 0.02, -0.03, 0.03),
        GuessResult("singling_out_by_one_column", None, 331, 0.0123, 0.0111, 0.02, -0.03, 0.03),
    ]
    audits = [replace(audit, guesses=guesses, cells=400, foreign_cells=7) for audit in settlement.audits]
    settlement = replace(settlement, audits=audits)
    (result,) = certificate(settlement, 0)["audit"]["results"]
    first, second = result["guesses"]  # the strongest of each kind
    meaning = first.pop("meaning")
    assert first == {"name": "attribute_inference", "column": "age", "rate": 0.35, "without": 0.3, "held_out": 0.3}
    assert "the attacker guesses age right in about 35 of 100 cases; without the reward in about 30" in meaning
    assert meaning.endswith("The reward gives away more than rows that were kept apart.")
    assert (
        ", fewer than 3 hold for exactly one row of the others; made of its own data fewer than 3" in second["meaning"]
    )
    assert second["meaning"].endswith("The reward was not shown to give away more than rows that were kept apart.")
    assert second["name"] == "singling_out_by_one_column"
    assert meaning in party_files(settlement, 0)["certificate.html"].decode()
    (result,) = certificate(settlement, 0, disclose=["sizes"])["audit"]["results"]
    assert result["guesses"][0]["excess_low"] == 0.012
    assert "331" not in json.dumps(certificate(settlement, 0)["audit"])
    page = report(settlement).decode()
    assert "The reward gives away more than rows that were kept apart." in page
    assert "7 of the 400 cells of its reward have a value that" in page


def test_a_mediator_may_disclose_more():
    settlement = settle()
    alpha = [float(a) for a in settlement.contributions.alpha]
    found = certificate(settlement, 0, disclose=["contributions"])["disclosed"]
    assert found[0]["own"]
    assert found[0]["alpha"] == pytest.approx(alpha[0], rel=1e-5)
    assert [entry["alpha"] for entry in found[1:]] == pytest.approx(sorted(alpha[1:], reverse=True), rel=1e-5)
    assert all(set(entry) == {"own", "alpha", "alpha_stderr", "contribution"} for entry in found)
    assert "South Bank" not in text(settlement, 0, disclose=["contributions", "values", "rewards", "sizes"])

    found = certificate(settlement, 1, disclose=["names", "values", "rewards", "sizes"])["disclosed"]
    assert [entry["name"] for entry in found] == list(settlement.names)
    assert [entry["own"] for entry in found] == [False, True, False]
    assert [entry["rows_valued"] for entry in found] == [60, 67, 74]
    rewards = settlement.rewards.values.tolist()
    assert [entry["reward"] for entry in found] == pytest.approx(rewards, rel=1e-5)
    assert "West Bank" in text(settlement, 1, disclose=["names"])


def test_the_digest_of_the_settings_cannot_be_guessed():
    """The same settings with another pool have another digest."""

    settlement = settle()
    other = replace(settlement, pool_table=settlement.pool_table.iloc[::-1])
    assert settings_file(settlement) != settings_file(other)


def test_what_cannot_be_certified_is_refused():
    for given, message in [
        ({"disclose": ["all"]}, "disclose=all: expected one of names, contributions, values, rewards, sizes, levels"),
        ({"disclose": "names"}, "disclose='names': expected a list"),
        ({"party": 3}, "party=3: expected an integer from 0 to 2"),
        ({"party": -1}, "party=-1: expected an integer from 0 to 2"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            contents(**{"view": describe(settle()), "party": 0, "settings_sha256": ""} | given)


def test_a_recommended_reward_must_exist():
    with pytest.raises(ValueError, match=r"beta=2: North Bank has no such reward; expected one of 1, 4, 8"):
        party_files(replace(settle(), recommended=(2.0, 8.0, 8.0)), 0)


def test_why_a_certificate_has_no_seed():
    """With the seed and the widths, subtracting the noise of the pool from a reward leaves real rows of others.

    Two rows of a reward that were drawn around the same real row agree in it, and in nothing else.
    """

    generator = torch.Generator().manual_seed(1)
    parties = [torch.randn(100, 4, generator=generator).double() + shift for shift in (0.0, 0.7, 1.4)]
    mediator = Mediator(KDE(), sampling=WeightedSampling((1.0,)), synthetic_size=1000)
    reward = mediator.settle(parties, seed=0).reward(0, 1.0).numpy()

    everything = torch.cat(parties).numpy()
    random = random_state(stream_seed(0, Stream.SAMPLE_POOL))
    random.uniform(size=1000)
    noise = random.normal(size=(1000, 4)) * 300 ** (-1 / 8) * Units.of(everything).scale
    guesses = (reward[:, None] - noise).reshape(-1, 4)  # each row of the reward without each noise
    _, first, count = np.unique(guesses.round(7), axis=0, return_index=True, return_counts=True)
    found = guesses[first[count > 1]]
    others = everything[100:]
    assert (np.abs(found[:, None] - others).max(2).min(1) < 1e-6).sum() >= 5


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    one, other = {"b": [1, {"d": None, "c": "β"}], "a": 0.1}, {"a": 0.1, "b": [1, {"c": "β", "d": None}]}
    assert canonical_json(one) == canonical_json(other) == '{"a":0.1,"b":[1,{"c":"β","d":null}]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_a_seal_is_the_digest_of_everything_else():
    sealed = seal({"b": 1, "a": "x"})
    assert sealed == {"b": 1, "a": "x", "sha256": hashlib.sha256(b'{\n  "b": 1,\n  "a": "x"\n}\n').hexdigest()}
    assert seal(sealed) == sealed
    assert seal({"a": "x", "b": 1})["sha256"] != sealed["sha256"]  # another order
    older = seal({"format": "cgm certificate 1", "a": 1})
    assert older["sha256"] == hashlib.sha256(b'{"a":1,"format":"cgm certificate 1"}').hexdigest()
    assert seal(sealed | {"b": 2})["sha256"] != sealed["sha256"]
    assert json.loads(readable_json(sealed)) == sealed
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_numbers_are_rounded():
    assert [rounded(x) for x in (0.123456789, -123456789.0, 12345678, "inf", None)] == [
        0.123457, -123457000.0, 12345678, "inf", None
    ]  # fmt: skip
