"""The figures of gains."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from cgm.records.collect import Run
from cgm.records.figures.attack_gains import attack_gains
from experiments.robustness.plan import ATTACKS, BASE, VARIANTS
from experiments.robustness.records import Gain, by_seed
from experiments.robustness.tables import SCHEMES

TITLES = {
    "attack_gain_alpha": r"gain of the weakest party in $\alpha$, sum over identities",
    "attack_gain_value": r"gain of the weakest party in true value, % of $v_c(N)$",
}
DECIMALS = {"attack_gain_alpha": 2, "attack_gain_value": 1}


def draw_schemes(gains: Mapping[str, Sequence[Gain]]) -> Figure:
    """Draw the gains in true value with each scheme as a heat map: a row for each attack and attacker.

    Arguments:
        gains: The gains with each scheme, of the same runs.
    """

    cells: dict[tuple[str, str, str], list[Gain]] = {}
    for name, own in gains.items():
        for gain in own:
            cells.setdefault((SCHEMES[name], gain.attack, gain.attacker), []).append(gain)
    runs = []
    for (scheme, attack, attacker), found in cells.items():
        for seed, mean in by_seed((gain.seed, gain.setting, gain.value) for gain in found).items():
            settings = {"attack": f"{attack} by the {attacker}", "scheme": scheme, "seed": seed}
            runs.append(Run("", settings, {"attack_gain_value": mean}, []))
    figure = attack_gains(runs, "scheme", decimals=1)
    figure.suptitle(r"gain in true value, % of $v_c(N)$", fontsize=10)
    return figure


def draw_gains(gains: Iterable[Gain], number: str) -> Figure:
    r"""Draw gains as a heat map of attacks and variants: means over settings and seeds, and standard errors over seeds.

    A cell is empty if the variant lacks some of the base's runs, with which it would be compared. Schemes, which do not
    change α, are left out of its figure.

    Arguments:
        gains: The gains, at least one.
        number: `"attack_gain_alpha"` or `"attack_gain_value"`.
    """

    cells: dict[tuple[str, str, int], list[float]] = {}
    for gain in gains:
        x = gain.alpha if number == "attack_gain_alpha" else gain.value
        cells.setdefault((gain.variant, gain.attack, gain.seed), []).append(x)
    counts: Counter[tuple[str, str]] = Counter()
    for (variant, attack, _), values in cells.items():
        counts[variant, attack] += len(values)
    runs = []
    for variant in VARIANTS:
        if number == "attack_gain_alpha" and variant.startswith("scheme="):
            continue
        for attack in ATTACKS:
            for (own, name, seed), values in cells.items():
                if (own, name) == (variant, attack) and counts[own, name] >= counts[BASE, name]:
                    settings = {"attack": attack, "changed": variant.replace("=", "\n"), "seed": seed}
                    runs.append(Run("", settings, {"attack_gain_value": 0.0, number: fmean(values)}, []))
    figure = attack_gains(runs, "changed", number, decimals=DECIMALS[number])
    figure.axes[0].set_xlabel("what is changed in the base")
    figure.set_size_inches(1.1 * len({run.settings["changed"] for run in runs}) + 2, figure.get_size_inches()[1])
    figure.suptitle(TITLES[number], fontsize=10)
    return figure
