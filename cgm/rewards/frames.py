"""Rewards as tables of pandas, of settlements and records alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from cgm.contributions.base import Contributions
from cgm.rewards.incentives import Incentive, Incentives
from cgm.rewards.sampling import Reward
from cgm.rewards.schemes.base import Rewards
from cgm.utils.shown import counted
from cgm.utils.text import beta_name

if TYPE_CHECKING:
    import pandas as pd

MAX_SIZES = 4  # inverse temperatures whose sizes are shown


def reward_frame(
    drawn: Sequence[Reward],
    points: Sequence[int],
    own: torch.Tensor,
    contributions: Contributions,
    rewards: Rewards,
) -> pd.DataFrame:
    r"""Return a table of pandas with a row for each party and $\beta$.

    The columns are `party` (from 0), `beta`, `points` ($|D_i|$), `alpha`, `own_value` ($v(D_i)$), `reward_value`
    ($r_i$), `value` ($v(D_i \cup G_i)$), `size` ($|G_i|$), and `reached`: whether the value reached its target.

    Arguments:
        drawn: The reward of each party and $\beta$.
        points: The numbers of points of the parties.
        own: The values $v(D_i)$, of shape $(n)$.
        contributions: The contributions of the parties.
        rewards: The reward values.
    """

    import pandas as pd

    parties = [reward.party for reward in drawn]
    return pd.DataFrame(
        {
            "party": parties,
            "beta": [float(reward.beta) for reward in drawn],
            "points": [int(points[i]) for i in parties],
            "alpha": contributions.alpha[parties].tolist(),
            "own_value": own[parties].tolist(),
            "reward_value": rewards.values[parties].tolist(),
            "value": [reward.value for reward in drawn],
            "size": [reward.size for reward in drawn],
            "reached": [reward.reached for reward in drawn],
        }
    )


def party_frame(frame: pd.DataFrame) -> pd.DataFrame:
    r"""Return a row for each party of the table of `reward_frame`, with the sizes of its rewards side by side.

    With more than four $\beta$, only the first two and the last two have a column.
    """

    first = frame.drop_duplicates("party").set_index("party")
    table = first[[name for name in ("name", "points", "alpha", "own_value", "reward_value") if name in first]].copy()
    betas = list(dict.fromkeys(frame["beta"]))
    if len(betas) > MAX_SIZES:
        betas = [*betas[: MAX_SIZES // 2], *betas[-MAX_SIZES // 2 :]]
    short = {beta: f"{beta:.4g}" for beta in betas}
    names = short if len(set(short.values())) == len(betas) else {beta: beta_name(beta) for beta in betas}
    for beta in betas:
        table[f"size β={names[beta]}"] = frame[frame["beta"] == beta].set_index("party")["size"]
    return table.reset_index()


def states_line(incentives: Mapping[str, Incentive], warnings: Sequence[str]) -> str:
    """Say in a line which incentives hold, and how many warnings there are."""

    line = f"incentives: {Incentives(incentives).summary()}"
    return f"{line}; {counted(len(warnings), 'warning')}" if warnings else line
