"""Sections of the report about the numbers of the runs themselves."""

from statistics import fmean, stdev

from cgm.utils.text import markdown_table
from experiments.paper import published
from experiments.paper.records import Groups, all_results
from experiments.paper.text import increasing_share
from experiments.text import NONE, mean_over_seeds, minus, names

INCENTIVES = ("R1", "R2", "R3", "R4", "R5", "R6")
STATIONS = ("valuation", "lengthscale", "sampling", "downstream", "figures")
ROUNDING = 1e-12  # slack below it is a rounding error


def contributions(groups: Groups) -> list[str]:
    """List the normalised contributions α."""

    parties = max(result.n_parties for result in all_results(groups))
    rows = []
    for setting, group in groups.items():
        alphas = [result.contributions.alpha.tolist() for result in group]
        by_party = list(zip(*alphas, strict=True))
        spread = [max(alpha) - min(alpha) for alpha in alphas]
        columns = (*by_party, *([()] * (parties - len(by_party))), spread, [r.kernel.lengthscale for r in group])
        rows.append([*names(setting), *(mean_over_seeds(column, 3) for column in columns)])
        known, length = published.CONTRIBUTIONS.get(setting), published.LENGTHSCALES.get(setting)
        if length is not None:
            cells = [NONE] * (parties + 1)
            if known is not None:
                cells = [f"{alpha:.3f}" for alpha in known] + [NONE] * (parties - len(known))
                cells += [f"{max(known) - min(known):.3f}"]
            rows.append(["", "published", *cells, f"{length:.3f}"])
    return [
        "## Assessing contributions: α",
        "Normalised Shapley values, mean ± standard error over seeds. The paper says in words that α is very large for "
        "parties that have all classes (parties 1 and 2 of the unequal split), and more evenly spread for the equal "
        "disjoint split; numbers are published for three settings. The credit ratings are the points of the paper, "
        "the same for every seed.",
        markdown_table(
            ["dataset", "split", *(f"party {i + 1}" for i in range(parties)), "max − min", "length-scale"], rows
        ),
    ]


def increasing(groups: Groups) -> list[str]:
    """List the shares of the accepted points that raised v."""

    betas = sorted({chain.beta for result in all_results(groups) for chain in result.sampling})
    labelled = [(names(setting), group) for setting, group in groups.items()]
    rows = []
    for name, results in [*labelled, (["all", ""], all_results(groups))]:
        chains = [chain for result in results for chain in result.sampling]
        shares = [increasing_share([chain for chain in chains if chain.beta == beta]) for beta in betas]
        known = [chain.increasing for chain in chains if chain.increasing is not None]
        rows.append([*name, *shares, increasing_share(chains), f"{fmean(known):.1%}" if known else NONE])
    head = ["dataset", "split", *(f"β = {beta:g}" for beta in betas), "all points", "mean over rewards"]
    return [
        "## Accepted points that raise v",
        f"The paper (Sec. 5): roughly {published.INCREASING:.0%} of all synthetic points that are added. Large rewards "
        "weigh more in the share of all points; in the last column each reward, of one party for one β, counts once.",
        markdown_table(head, rows),
    ]


def incentives(groups: Groups) -> list[str]:
    """List which incentives hold."""

    rows = []
    for setting, group in groups.items():
        cells = []
        for name in INCENTIVES:
            states = [result.incentives[name].holds for result in group]
            held, unknown = states.count(True), states.count(None)
            cell = "held" if held == len(states) else f"held in {held} of {len(states)}"
            cell += f", {unknown} unknown" if unknown else ""
            slacks = [slack for result in group if (slack := result.incentives[name].slack) is not None]
            if slacks:
                slack = min(slacks)
                cell += minus(f" ({slack if abs(slack) > ROUNDING else 0:.2g})")
            cells.append(cell)
        rows.append([*names(setting), *cells])
    return [
        "## Incentives",
        "Whether R1 to R6 hold, checked by their definitions over all coalitions, with the smallest slack over seeds "
        "(if negative, the amount by which an incentive is missed). The paper's bounds v_c(C_i) guarantee R6 where v "
        "is monotone, which no data guarantees: those of cgm are the largest v_c(C) over all coalitions C in which a "
        "party contributes most, the same where v is monotone.",
        markdown_table(["dataset", "split", *INCENTIVES], rows),
    ]


def credit_ratings(groups: Groups) -> list[str]:
    """Compare credit ratings of the paper's own points, at full size, in all published digits."""

    points, size = published.SIZES["credit_ratings"]
    setting = ("credit_ratings", "equal_disjoint")
    group = [
        result
        for result in groups.get(setting, [])
        if result.settings["dataset"].get("reference")
        and (result.points_per_party, result.synthetic_size) == ([points] * len(published.REWARDS), size)
    ]
    if not group:
        return []
    first = group[0]
    numbers: list[tuple[str, float | None, float, int]] = [
        ("length-scale", first.kernel.lengthscale, published.LENGTHSCALES[setting], 10),
        ("v*", first.scheme.number("v_star"), published.V_STAR, 6),
        ("ρ", first.scheme.number("rho"), published.RHO, 4),
    ]
    alpha, rewards = first.contributions.alpha.tolist(), first.scheme.values.tolist()
    for i, (own, known) in enumerate(zip(alpha, published.CONTRIBUTIONS[setting], strict=True)):
        numbers.append((f"α, party {i + 1}", own, known, 8))
    for i, (own, known) in enumerate(zip(rewards, published.REWARDS, strict=True)):
        numbers.append((f"r, party {i + 1}", own, known, 4))
    exact = []
    for name, a, b, digits in numbers:
        difference = NONE if a is None else minus(f"{a - b:+.1e}") if a != b else "0"
        exact.append([name, NONE if a is None else f"{a:.{digits}f}", f"{b:.{digits}f}", difference])

    sizes = []
    for beta, counts in published.REWARD_SIZES[setting].items():
        for i, count in enumerate(counts):
            mine = [chain.size for r in group for chain in r.sampling if (chain.party, chain.beta) == (i, beta)]
            if not mine:
                continue  # the runs have other β's
            deviation = f" ± {stdev(mine):.0f}" if len(mine) > 1 else ""
            difference = minus(f"{fmean(mine) / count - 1:+.1%}")
            sizes.append([str(beta), str(i + 1), f"{fmean(mine):.0f}{deviation}", str(count), difference])
    return [
        "## Credit ratings in all published digits",
        "From the points of the paper's own experiment, equal disjoint split. Numbers that involve no randomness:",
        markdown_table(["", "cgm", "published", "difference"], exact),
        f"The number of synthetic points |G_i|, mean ± standard deviation over {len(group)} seeds of the sampling, "
        "compared with one published run:",
        markdown_table(["β", "party", "cgm", "published", "difference"], sizes),
    ]


def time_and_memory(groups: Groups) -> list[str]:
    """List the seconds and the memory of the runs."""

    rows = []
    for setting, group in groups.items():
        totals = [sum(result.seconds.values()) for result in group]
        stations = [[r.seconds[station] for r in group if station in r.seconds] for station in STATIONS]
        peak = max(result.memory.peak_mib for result in group) / 1024
        total = f"{fmean(totals):.0f} ({min(totals):.0f} to {max(totals):.0f})"
        rows.append([*names(setting), total, *(f"{fmean(s):.0f}" if s else NONE for s in stations), f"{peak:.1f}"])
    hours = sum(sum(result.seconds.values()) for result in all_results(groups)) / 3600
    head = ["dataset", "split", "whole run, s", *(f"{station}, s" for station in STATIONS), "peak memory, GiB"]
    return [
        "## Time and memory",
        f"Wall-clock seconds, means over seeds, on the machine that made the records, which may have run other "
        f"programs at the same time; {hours:.1f} hours in total. Features and pools of images are cached between runs, "
        "and figures are drawn for seed 0 only. Memory is that of the whole process.",
        markdown_table(head, rows),
    ]


def warnings(groups: Groups) -> list[str]:
    """List the first warnings of each dataset and split."""

    lines = []
    for setting, group in groups.items():
        warned = [result for result in group if result.warnings]
        if warned:
            first = warned[0]
            seeds = f" ({len(warned)} of {len(group)} seeds warned)" if len(group) > 1 else ""
            text = "; ".join(first.warnings[:3]) + ("; ..." if len(first.warnings) > 3 else "")
            lines.append(f"- {', '.join(names(setting))}, seed {first.seed}{seeds}: {text}")
    return ["## Warnings", "\n".join(lines)] if lines else []
