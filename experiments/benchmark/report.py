"""Tables and figure of the benchmark."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cgm.figures import style
from cgm.utils.text import markdown_table

AXES = {  # what grows, and its label
    "synthetic": "|G|",
    "t": "t, by the parties' points",
    "parties": "n, same total of points",
    "dimensions": "d",
    "chains": "chains",
}
GROWING = {
    "pass_seconds": "kernel pass, s",
    "pass_cpu_seconds": "kernel pass, CPU s",
    "point_ms": "sampling, ms per point",
    "point_cpu_ms": "sampling, CPU ms per point",
    "sampling_seconds": "sampling, s",
    "mebibytes": "peak memory, MiB",
}
PANELS = {  # rows of the figure: wall time, and processor time if there is any
    "kernel pass, s": ("pass_seconds", "pass_cpu_seconds"),
    "sampling, ms per point": ("point_ms", "point_cpu_ms"),
    "peak memory, MiB": ("mebibytes",),
}

NOTES = {
    "startup": "Help, and wrong settings that are refused, each in a new process, beside the import of Hydra alone and "
    "that of torch, which no refusal waits for. A sweep is refused before its first job.",
    "kernel_sums": "Sums of the squared exponential kernel of each of t points with all t points. All implementations "
    "deliver sums of t² kernel values; cgm computes t² / 2 of them, since k(x, x') = k(x', x), and the others t². The "
    "others get points in float32, and cgm in float64: it chooses its own arithmetic by size, except in the row named "
    "float64. `exponentials` are t² / 2 powers of two in float32 that never leave the cache, and nothing else: a lower "
    "bound of the time.",
    "linear": "All values and sums of five parties with {points:,} points each and a pool: by Fourier grids in two "
    "dimensions, by landmarks in eight (`valuation.tolerance=1e-4`), with the errors that they state. The exact pass "
    "(`valuation.method=exact`) and KeOps, which computes twice as many kernel values, up to a size where they take "
    "less than a minute; errors are those to values in float64.",
    "lengthscale": "The search for the length-scale and the valuation of simulated credit ratings, by all pairs of "
    "points and by Fourier grids, the default.",
    "sampling": "Time per accepted point: 5 parties, β = 1, 2, 4, 8, until each of these 20 chains has gone half of "
    "the way from v(D_i) to v(D_i ∪ G). The loop keeps the sums a and u, and computes one row of the kernel per point; "
    "its chains run side by side, one on each core, or one after the other, with each operation on all cores. The "
    "authors' way computes the kernel of every candidate with S and T again; one step is measured. Sums over G are "
    "estimated from some of its points, since the time does not depend on their values.",
    "shapley": "For games with parties of 2 to 40 points. For pyDVL, the seconds until the standard error is 1 % of "
    "the largest φ are extrapolated from fewer permutations by the square root law; those of cgm are measured.",
    "contributions": "After the pass over the kernel, for games with parties of 2 to 40 points: concepts compared with "
    "the Shapley values of the same game, and cgm with shapiq, which computes the values of all coalitions from the "
    "same sums of the kernel. Of points as players, shapiq has the Shapley values as well, from all sets of points.",
    "runs": "Whole runs of `cgm`: seconds and share of each station.",
    "reproduction": "One seed of both splits of the paper's datasets, one run after another in one process: seconds "
    "and share of each station. Pools and features of images are read from the cache, if it has them.",
    "growth": "Each curve changes one size; the others are |G| = {synthetic:,} points, {parties} parties of {points}, "
    "d = {dimensions}, {chains} chains. Memory is the peak of a separate process, minus that of a process in which "
    "everything is loaded. Exponents: least squares of logarithms, on the larger half of each axis.",
}
TITLES = {
    "startup": "Start-up",
    "kernel_sums": "Kernel sums",
    "linear": "Linear time",
    "lengthscale": "Length-scale",
    "sampling": "Weighted sampling",
    "shapley": "Shapley values",
    "contributions": "Contribution concepts",
    "runs": "Whole runs",
    "reproduction": "The paper's experiments",
    "growth": "Growth",
}


def tables(result: Mapping[str, Any]) -> str:
    """Write the numbers of a result as Markdown."""

    host = result["machine"]
    lines = [
        "# Speed and memory of cgm\n",
        f"{host['processor']}, {host['cores']} cores, {host['gibibytes']:g} GiB of memory, {host['system']}.\n",
        "Written by `python -m experiments.benchmark`. Medians over rounds, minimum to maximum in brackets; the "
        "implementations of a comparison take turns, and a ratio is the median of the ratios within each round. If the "
        "machine runs other programs, processor time (CPU, of all cores together) is more reliable than wall time.\n",
    ]
    for part, found in result["parts"].items():
        settings = found["settings"]
        note = NOTES[part].format(**{"growth": found.get("start"), "linear": found}.get(part) or {})
        packages = ", ".join(f"{name} {number}" for name, number in found.get("versions", host["versions"]).items())
        lines += [f"## {TITLES[part]}\n", f"{note} Cores used: {settings['threads']}. {packages}.\n"]
        if "comparisons" in found:
            lines.append(comparison_table(found["comparisons"]))
        elif part == "linear":
            lines.append(linear_table(found))
        elif part == "runs":
            lines.append(run_table(found["runs"]))
        elif part == "reproduction":
            lines += [
                f"`{found['command']}`: {number(found['wall'])} s, {number(found['cpu'])} s of processor time, "
                "start-up included. Pools and features computed because the cache did not have them: "
                f"{found['computed']}.\n",
                run_table(found["runs"]),
            ]
        else:
            lines += [growth_tables(found), "\n![Growth](growth.png)"]
        lines.append("")

    return "\n".join(lines)


def comparison_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Write a table of comparisons, a row for each implementation."""

    rates = any("computed_per_second" in found for c in comparisons for found in c["implementations"].values())
    head = ["", "implementation", "time", "CPU time", "time / first", "CPU time / first", "rounds"]
    head += ["10⁹ computed / s", "10⁹ delivered / s"] if rates else []
    rows = []
    for c in comparisons:
        scale, unit = (1000, "ms per point") if c["unit"] == "point" else (1, "s")
        for name, found in c["implementations"].items():
            cells = [c["name"], name]
            cells += [f"{cell(found[clock], scale)} {unit}" for clock in ("wall", "cpu")]
            cells += [cell(found[clock]["ratio"]) for clock in ("wall", "cpu")]
            cells.append(str(len(found["wall"]["rounds"])))
            if rates:
                cells += [f"{found[f'{what}_per_second'] / 1e9:.3g}" for what in ("computed", "delivered")]
            rows.append(cells)
        for name, why in c["not_measured"].items():
            rows.append([c["name"], name, f"not measured: {why}", *["–"] * (len(head) - 3)])

    return markdown_table(head, rows)


def cell(found: Mapping[str, float | None], scale: float = 1) -> str:
    """Write a median with the minimum and the maximum."""

    median, low, high = (None if (x := found[key]) is None else number(scale * x) for key in ("median", "min", "max"))
    return "–" if median is None else f"{median} ({low} to {high})"


def number(x: float) -> str:
    """Write a number with three significant digits."""

    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def run_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Write a table of the stations of runs, a column for each run."""

    names = list(dict.fromkeys(station for run in found for station in run["seconds"]))
    totals = [sum(run["seconds"].values()) for run in found]

    def share(run: Mapping[str, Any], name: str, total: float) -> str:
        seconds = run["seconds"].get(name)
        return "–" if seconds is None else f"{seconds:.1f} s ({seconds / total:.0%})"

    rows = [[name, *(share(run, name, total) for run, total in zip(found, totals, strict=True))] for name in names]
    rows.append(["all stations", *(f"{t:.1f} s" for t in totals)])
    for label, key, unit in (
        ("whole process", "wall", "s"),
        ("whole process, CPU", "cpu", "s"),
        ("peak memory", "mebibytes", "MiB"),
    ):
        if any(key in run for run in found):
            rows.append([label, *(f"{number(run[key])} {unit}" if key in run else "not measured" for run in found)])
    rows.append(["t", *(f"{run['t']:,}" for run in found)])
    rows.append(["accepted points", *(f"{run['accepted']:,}" for run in found)])

    return markdown_table(["", *(f"{run['dataset']}, {run['split']}, seed {run['seed']}" for run in found)], rows)


def linear_table(found: Mapping[str, Any]) -> str:
    """Write the table of valuations in linear time, and the exponents of their growth."""

    head = ["d", "t", "method", "modes or landmarks", "time", "CPU time", "peak memory, MiB", "error of v, stated"]
    head += ["error of v", "error of α, stated", "error of α", "exact: time", "CPU time", "KeOps: time", "CPU time"]
    columns = {"d": "d", "t": ",d", "method": "s", "size": ",d", "wall": ".3g", "cpu": ".3g", "mebibytes": ",.0f"}
    columns |= dict.fromkeys(("v_stated", "v_error", "alpha_stated", "alpha_error"), ".0e")
    columns |= dict.fromkeys(("exact_wall", "exact_cpu", "keops_wall", "keops_cpu"), ".3g")

    def cell(row: Mapping[str, Any], key: str, form: str) -> str:
        return "–" if row.get(key) is None else format(row[key], form) + (" s" if form == ".3g" else "")

    rows = [[cell(row, key, form) for key, form in columns.items()] for row in found["rows"]]
    grows = [
        f"d = {d}: {' and '.join('–' if p is None else f'{p:.2f}' for p in exponents.values())}"
        for d, exponents in found["exponents"].items()
    ]
    return f"{markdown_table(head, rows)}\n\nExponents of time and of CPU time: {'; '.join(grows)}.\n"


def growth_tables(found: Mapping[str, Any]) -> str:
    """Write a table of exponents, and one of all measurements."""

    exponents = [
        [AXES[axis], *("–" if p is None else f"{p:.2f}" for p in fitted.values())]
        for axis, fitted in found["exponents"].items()
    ]
    rows = [
        [AXES[axis], f"{row[axis]:,}", f"{row['t']:,}", *(number(row[key]) for key in GROWING), f"{row['accepted']:,}"]
        for axis, measured in found["axes"].items()
        for row in measured
    ]
    parts = [
        "Exponents:\n",
        markdown_table(["", *GROWING.values()], exponents),
        "\nMeasurements:\n",
        markdown_table(["", "value", "t", *GROWING.values(), "points"], rows),
    ]
    return "\n".join(parts)


def growth_figure(found: Mapping[str, Any]) -> Figure:
    """Draw the growth curves: a column for each size that grows, a row for each quantity that is measured."""

    figure = Figure(figsize=(2.4 * len(found["axes"]), 2.1 * len(PANELS)), layout="constrained")
    panels = figure.subplots(len(PANELS), len(found["axes"]), sharex="col", sharey="row", squeeze=False)
    for row, (label, keys) in zip(panels, PANELS.items(), strict=True):
        row[0].set_ylabel(label)
        for axes, (axis, measured) in zip(row, found["axes"].items(), strict=True):
            for key, line in zip(keys, ("o-", "s:"), strict=False):
                x, y = [case[axis] for case in measured], [case[key] for case in measured]
                axes.plot(
                    x, y, line, color=style.INK, markersize=4, linewidth=1, label="CPU" if "cpu" in key else "wall"
                )
            axes.set(xscale="log", yscale="log")
            axes.grid(color=style.BACKGROUND, linewidth=0.5)
            axes.set_axisbelow(True)
            p = found["exponents"][axis][keys[0]]
            if p is not None:
                axes.set_title(f"exponent {p:.2f}", fontsize="small")
    for axes, (axis, measured) in zip(panels[-1], found["axes"].items(), strict=True):
        axes.set_xlabel(AXES[axis])
        values = [case[axis] for case in measured]
        axes.set_xticks(values, [short(value) for value in values], fontsize="x-small")
        axes.xaxis.set_minor_locator(NullLocator())
    panels[0, 0].legend(frameon=False, fontsize="small")

    return figure


def short(x: int) -> str:
    """Write a size as on a scale: 300, 10k, 1M."""

    for unit, name in ((10**6, "M"), (1000, "k")):
        if x >= unit:
            return f"{x / unit:.3g}{name}"
    return str(x)
