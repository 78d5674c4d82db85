"""The figures of gains."""

from collections.abc import Iterable
from statistics import fmean

from matplotlib.figure import Figure

from cgm.records.collect import Run
from cgm.records.figures.attack_gains import attack_gains
from experiments.robustness.plan import ATTACKS, VARIANTS
from experiments.robustness.records import Gain

TITLES = {
    "attack_gain_alpha": r"gain of the weakest party in $\alpha$, sum over identities",
    "attack_gain_value": r"gain of the weakest party in true value, % of $v_c(N)$",
}


def draw_gains(gains: Iterable[Gain], number: str) -> Figure:
    r"""Draw gains as a heat map of attacks and variants: means over settings and seeds, and standard errors over seeds.

    Arguments:
        gains: The gains, at least one.
        number: `"attack_gain_alpha"` or `"attack_gain_value"`.
    """

    cells: dict[tuple[str, str, int], list[float]] = {}
    for gain in gains:
        x = gain.alpha if number == "attack_gain_alpha" else gain.value
        cells.setdefault((gain.variant, gain.attack, gain.seed), []).append(x)
    runs = []
    for variant in VARIANTS:
        for attack in ATTACKS:
            for (own, name, seed), values in cells.items():
                if (own, name) == (variant, attack):
                    settings = {"attack": attack, "changed": variant.replace("=", "\n"), "seed": seed}
                    runs.append(Run("", settings, {"attack_gain_value": 0.0, number: fmean(values)}, []))
    figure = attack_gains(runs, "changed", number)
    figure.suptitle(TITLES[number], fontsize=10)
    return figure
