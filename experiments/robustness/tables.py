"""Tables of gains, of remedies and of their prices."""

from collections import Counter
from collections.abc import Iterable, Sequence

from cgm.utils.text import markdown_table
from experiments.robustness.findings import percent, spread
from experiments.robustness.plan import ATTACKERS, ATTACKS, BASE, BASE_ONLY, HONEST_ONLY, UNCONDITIONAL, VARIANTS
from experiments.robustness.records import (
    Gain,
    Honest,
    Records,
    by_setting,
    choose,
    compared,
    honest_means,
    on_variants,
    over_seeds,
    write_number,
)
from experiments.text import NONE, distinct, names, signed

NUMBERS = {"alpha": ("α", 3), "reward": ("r", 1), "value": ("true value", 1)}
SCHEMES = {BASE: "fair", "scheme=stable": "stable", "scheme=gain": "gain"}  # of `COMPARED`, as tables name them
INCENTIVES = ("R1", "R2", "R3", "R4", "R5", "R6")


def base_gains(records: Records) -> list[str]:
    """List what each attack gains without a remedy, by either attacker."""

    base = choose(records.gains, variant=BASE)
    settings = list(dict.fromkeys(gain.setting for gain in base))
    rows = []
    for attack in ATTACKS:
        for attacker in ATTACKERS:
            gains = choose(base, attack=attack, attacker=attacker)
            if gains:
                values = by_setting(gains, "value")
                cells = [write_number(over_seeds(gains, name), digits) for name, (_, digits) in NUMBERS.items()]
                pays = f"{sum(x > 0 for x in values.values())} of {len(values)}"
                rows.append([attack, attacker, *cells, pays, write_number(over_seeds(gains, "others"), 1)])
    if not rows:
        return []
    return [
        "## What attacks gain in the paper's scheme without stability",
        f"Shapley values, all data as the reference, `scheme=fair`; means over {len(settings)} settings ± standard "
        "error over seeds. Gains in r and in true value are in % of v_c(N). The true value is that of the attacker's "
        "honest data with all it received, in the honest game; an attack pays if it rises.",
        markdown_table(["attack", "by the", "α", "r", "true value", "pays in", "others' true value"], rows),
    ]


def scheme_gains(records: Records) -> list[str]:
    """Compare what each attack gains with the paper's schemes and with `gain`, by either attacker."""

    gains = compared(records.gains)
    if not gains:
        return []
    parts = []
    for number, label in (("value", "true value"), ("others", "others' true value")):
        rows = []
        for attack in ATTACKS:
            for attacker in ATTACKERS:
                own = [choose(group, attack=attack, attacker=attacker) for group in gains.values()]
                if any(own):
                    cells = [write_number(over_seeds(group, number), 1) for group in own]
                    pays = [by_setting(group, number).values() for group in own]
                    cells += [f"{sum(x > 0 for x in values)} of {len(values)}" for values in pays]
                    rows.append([attack, attacker, *cells])
        columns = [f"{SCHEMES[name]}: {what}" for what in (label, "rises in") for name in gains]
        parts.append(markdown_table(["attack", "by the", *columns], rows))
    where = distinct(" ".join(names(gain.setting)) for gain in next(iter(gains.values())))
    return [
        "## Schemes: fair, stable and gain",
        "The paper's scheme without stability (the base) and with it, and `gain`, which pays each party a share of "
        f"what it can gain, with the stable bounds. Means over {where} ± standard error over seeds, in % of v_c(N), of "
        "the runs that there are with each of these schemes; then the number of settings in which the mean over seeds "
        "rises.",
        *parts,
        "![Gains in true value with each scheme](gains_schemes.png)",
        *_honest_schemes(records, list(gains)),
    ]


def _honest_schemes(records: Records, variants: Sequence[str]) -> list[str]:
    """List what each scheme does without an attack, in the runs that there are with all of them."""

    runs = {name: [run for run in records.honest if run.variant == name] for name in variants}
    common = set.intersection(*({(run.setting, run.seed) for run in own} for own in runs.values()))
    seeds = Counter(setting for setting, _ in common)
    common = {run for run in common if seeds[run[0]] == max(seeds.values())}
    rows = [
        [SCHEMES[name], *_honest_cells([run for run in own if (run.setting, run.seed) in common])]
        for name, own in runs.items()
    ]
    return [f"Without an attack, in {len(common)} runs:", markdown_table(["scheme", *_HONEST], rows)] if common else []


def variant_gains(records: Records) -> list[str]:
    """List the gains of the weakest party for each variant and attack."""

    gains = on_variants(records.gains)
    if all(gain.variant == BASE for gain in gains):
        return []
    attacks = [attack for attack in ATTACKS if choose(gains, attack=attack)]
    bases = {attack: choose(gains, variant=BASE, attack=attack) for attack in attacks}
    parts = []
    for number in ("alpha", "value"):
        name, rows = NUMBERS[number][0], []
        for variant in VARIANTS:
            if choose(gains, variant=variant) and not (number == "alpha" and variant.startswith("scheme=")):
                cells = [_cell(choose(gains, variant=variant, attack=a), number, bases[a]) for a in attacks]
                rows.append([variant, *cells])
        unit = "" if number == "alpha" else ", % of v_c(N)"
        parts.append(markdown_table([f"gain in {name}{unit}", *attacks], rows))
    where = distinct(" ".join(names(gain.setting)) for gain in gains)
    return [
        "## What changes of the scheme do to the gains",
        f"Attacks by the weakest party; one choice is changed at a time. Means over {where}, "
        f"± standard error over seeds. Not repeated: {distinct(BASE_ONLY)}, which loses above, and attacks on "
        f"{' and '.join(f'`{name}`' for name in HONEST_ONLY)}. In brackets: the number of runs, where some of the "
        "base's have no counterpart. Schemes do not change α.",
        *parts,
        "![Gains in true value](gains_value.png)",
    ]


def _cell(gains: Sequence[Gain], number: str, base: Sequence[Gain]) -> str:
    """Write a mean gain, with the number of runs if the base has more."""

    missing = f" ({len(gains)} of {len(base)})" if len(gains) < len(base) else ""
    return write_number(over_seeds(gains, number), NUMBERS[number][1]) + missing


def remedies(records: Records) -> list[str]:
    """List for each attack the variant in which it gains least, and what this variant costs."""

    gains = on_variants(records.gains)
    costs = prices(records.honest, list(dict.fromkeys(gain.setting for gain in gains)))
    rows = []
    for number in ("alpha", "value"):
        for attack in ATTACKS:
            own = choose(gains, attack=attack)
            row = _remedy(own, number, costs)
            if row:
                rows.append([NUMBERS[number][0], attack, *row])
    if not rows:
        return []
    trivial = " and ".join(f"`{name}`" for name in UNCONDITIONAL)
    return [
        "## The best remedies",
        f"The change with the smallest gain of the weakest party. Left out are {trivial}, whose rewards do not depend "
        "on what a party contributes, and, for α, the schemes, which do not change it. An attack that loses by itself "
        "needs no remedy. The price is the change of: the correlation of α with −MMD_u² and with the accuracy of "
        "an SVM; the spread of rewards, (max r − min r) / max r; and incentives that hold without the remedy and fail "
        "with it.",
        markdown_table(["gain in", "attack", "without", "best remedy", "with it", *_PRICE], rows),
        *_against_all(gains),
    ]


def _against_all(gains: Sequence[Gain]) -> list[str]:
    """Say what the most successful attack gains in true value, without a remedy and with the best one."""

    worst: dict[str, tuple[float, str]] = {}
    attacks = {gain.attack for gain in gains}
    for variant in VARIANTS:
        runs = {attack: choose(gains, variant=variant, attack=attack) for attack in ATTACKS if attack in attacks}
        complete = all(len(own) == len(choose(gains, variant=BASE, attack=attack)) for attack, own in runs.items())
        means = {attack: by.mean for attack, own in runs.items() if (by := over_seeds(own, "value")).mean is not None}
        if variant not in UNCONDITIONAL and complete and means:
            attack = max(means, key=lambda name: means[name] or 0.0)
            worst[variant] = (means[attack] or 0.0, attack)
    if BASE not in worst:
        return []
    best = min(worst, key=worst.__getitem__)
    (without, attack), (least, other) = worst[BASE], worst[best]
    text = f"The attack that gains most in true value without a remedy is `{attack}` ({percent(without)})."
    if best == BASE:
        return [f"{text} No single change makes the most successful attack gain less."]
    return [f"{text} With `{best}`, the most successful attack, `{other}`, gains least: {percent(least)}."]


_PRICE = ("−MMD_u²", "accuracy", "spread", "incentives lost")


def _remedy(gains: Sequence[Gain], number: str, costs: dict[str, list[str]]) -> list[str]:
    """Return the gain without a remedy, the remedy, the gain with it and its price; nothing without variants."""

    runs = {variant: choose(gains, variant=variant) for variant in VARIANTS}
    found = {variant: over_seeds(own, number) for variant, own in runs.items() if len(own) == len(runs[BASE])}
    digits = NUMBERS[number][1]
    without = found.pop(BASE)
    means = {
        variant: summary.mean
        for variant, summary in found.items()
        if summary.mean is not None
        and variant not in UNCONDITIONAL
        and not (number == "alpha" and variant.startswith("scheme="))
    }
    if without.mean is None or not means:
        return []
    if without.mean <= 0:
        return [write_number(without, digits), "none needed", *[NONE] * (1 + len(_PRICE))]
    best = min(means, key=means.__getitem__)
    if means[best] >= without.mean:
        return [write_number(without, digits), "none helps", *[NONE] * (1 + len(_PRICE))]
    return [write_number(without, digits), best, write_number(found[best], digits), *costs.get(best, [NONE] * 4)]


def prices(honest: Sequence[Honest], settings: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return what each variant costs compared with the base: the cells of a table, changes and lost incentives."""

    runs = [run for run in honest if run.setting in settings]
    base = {(run.setting, run.seed): run for run in runs if run.variant == BASE}
    cells = {}
    for variant in VARIANTS[1:]:
        pairs = [
            (run, base[run.setting, run.seed])
            for run in runs
            if run.variant == variant and (run.setting, run.seed) in base
        ]
        if pairs:
            changes = []
            for number in (_mmd, _accuracy, spread):
                known = [
                    (x, y) for run, old in pairs if (x := number(run)) is not None and (y := number(old)) is not None
                ]
                changes.append(
                    signed(sum(x - y for x, y in known) / len(known)).replace("+0.000", "0") if known else "n/a"
                )
            cells[variant] = [*changes, _lost(pairs)]
    return cells


def honest_runs(records: Records) -> list[str]:
    """List what each variant does without an attack: whether rewards follow contributions, their spread, incentives."""

    rows = []
    for variant in VARIANTS:
        runs = [run for run in records.honest if run.variant == variant]
        if runs:
            rows.append([variant, *_honest_cells(runs)])
    if not rows:
        return []
    count = len({run.setting for run in records.honest})
    return [
        "## Without an attack",
        f"Means over {count} settings ± standard error over seeds. `–`: all α or all rewards are the same, or the "
        "scheme has no ρ. Incentives are checked by definition with the contributions and values of the variant "
        "itself; in brackets, in how many of the runs they are missed.",
        markdown_table(["", *_HONEST], rows),
    ]


_HONEST = ("α with −MMD_u²", "α with accuracy", "spread of rewards", "ρ", "incentives missed")


def _honest_cells(runs: Sequence[Honest]) -> list[str]:
    numbers = [write_number(honest_means(runs, f), 3, sign=False) for f in (_mmd, _accuracy, spread, _rho)]
    return [*numbers, _missed(runs)]


def _mmd(run: Honest) -> float | None:
    return _correlation(run, "neg_mmd2_unbiased")


def _accuracy(run: Honest) -> float | None:
    return _correlation(run, "accuracy")


def _correlation(run: Honest, metric: str) -> float | None:
    entry = run.result.correlations.get(metric)
    return None if entry is None else entry.mean


def _rho(run: Honest) -> float | None:
    return run.result.scheme.number("rho")


def _missed(runs: Sequence[Honest]) -> str:
    counts = {name: sum(run.result.incentives[name].holds is False for run in runs) for name in INCENTIVES}
    return distinct(f"{name} ({count} of {len(runs)})" for name, count in counts.items() if count) or "none"


def _lost(pairs: Iterable[tuple[Honest, Honest]]) -> str:
    """Return the incentives that hold in the base run and fail in that of the variant, in any pair."""

    lost = [
        name
        for name in INCENTIVES
        for run, old in pairs
        if run.result.incentives[name].holds is False and old.result.incentives[name].holds
    ]
    return distinct(lost) or "none"
