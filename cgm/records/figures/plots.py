"""Draws the figures of a run: the sizes and values of rewards, chains and correlations.

Every function returns a `matplotlib.figure.Figure`, which `save` writes as PNG and PDF. No display is
needed and no global state of matplotlib is changed. Parties are numbered from 0 in data and from 1 in
figures.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from cgm.records.result import ChainResult, Result
from cgm.utils.files import write_whole

if TYPE_CHECKING:
    from cgm.rewards.sampling import Chain

BACKGROUND, INK = "#D0D0D0", "#333333"
TARGET = "#D55E00"  # after Okabe and Ito: colour-blind readers tell it from blue and orange
MARKERS = "os^Dv<>P"
DRAWN = 500  # points of a chain that are drawn

LABELS = {
    "neg_mmd2_unbiased": r"$-\mathrm{MMD}_u^2$",
    "neg_reverse_kl": "−reverse KL",
    "neg_wasserstein2": "−Wasserstein-2",
    "neg_class_imbalance": "−class imbalance",
    "size": r"$|G_i|$",
    "accuracy": "downstream accuracy",
}


def save(figure: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Writes a figure as `name.png` (200 dpi) and `name.pdf`, each whole or not at all.

    The files hold no time stamp: the same figure gives the same bytes.

    Arguments:
        figure: The figure.
        folder: Where the files go. Made if it does not exist.
        name: Their name, without an ending.

    Returns:
        The paths of the PNG and of the PDF.

    Raises:
        ValueError: If the name is empty or holds a folder.
    """

    if name in ("", "..") or name != Path(name).name:
        raise ValueError(f"name={name!r}: expected the name of a file without its folder and ending")

    folder = Path(folder)
    contents = []
    for kind in ("png", "pdf"):
        buffer = io.BytesIO()
        metadata = {"CreationDate": None} if kind == "pdf" else None
        with mpl.rc_context({"pdf.fonttype": 42}):  # publishers refuse the default, Type 3
            figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
        contents.append((folder / f"{name}.{kind}", buffer.getvalue()))
        figure.set_layout_engine("none")  # found once, kept: each search for it takes a quarter of a figure's time

    for path, content in contents:
        write_whole(path, content)

    return contents[0][0], contents[1][0]


def reward_sizes(record: Result) -> Figure:
    r"""Draws the number of rewards $|G_i|$ by party and $\beta$.

    Arguments:
        record: A run's record, the content of `result.json`.
    """

    n = record.n_parties
    runs = _runs(record.sampling)
    sizes = _series(runs, "size", n)
    known = sizes[np.isfinite(sizes)]

    figure, (axes,) = _party_axes(n, 1)
    missing = _scatter_betas(axes, runs, sizes)
    if (known > 0).any() and known.max() > 50 * known[known > 0].min():
        least = 10.0 ** np.floor(np.log10(known[known > 0].min()))
        decades = np.arange(np.log10(least), np.ceil(np.log10(known.max())) + 1)
        axes.set_yscale("symlog", linthresh=least, linscale=0.6)
        axes.set_yticks([0.0, *10.0**decades])
        axes.set_yticks([], minor=True)
    for line in axes.lines:
        line.set_clip_on(False)  # a marker at zero is drawn whole
    axes.set_ylim(bottom=0, top=None if (known > 0).any() else 1)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylabel(rf"rewards $|G_i|$ (of $|G|$ = {record.synthetic_size:,})")
    _finish(figure, "Number of synthetic points that each party gets", missing)

    return figure


def reward_values(record: Result) -> Figure:
    r"""Draws each party's reward value $r_i$ between its bounds, and the values reached for each $\beta$.

    The upper panel shows all of it, the lower one only the stretch where the reward values lie.

    Arguments:
        record: A run's record, the content of `result.json`.
    """

    n = record.n_parties
    values, scheme = record.values, record.scheme
    runs = _runs(record.sampling)
    reached = _series(runs, "value", n)
    own, lower, upper, rewards = (
        np.array([_number(v) for v in series]) for series in (values.party, values.lower, values.upper, scheme.rewards)
    )
    levels = (
        (scheme.number("v_star"), "--", "largest reward value $v^*$"),
        (values.grand, ":", "all real data $v_c(N)$"),
    )

    figure, (top, bottom) = _party_axes(n, 2)
    party = np.arange(n)
    size = float(np.clip(120 / n, 4, 8))
    for axes in (top, bottom):
        axes.vlines(party, lower, upper, color=BACKGROUND, linewidth=2 * size, zorder=1)
        axes.plot(party, upper, "v", color=INK, markersize=size, label=r"upper bound $v(D_i \cup G)$")
        axes.plot(party, lower, "^", color=INK, markersize=size, label="lower bound")
        axes.plot(party, own, "x", color=TARGET, markersize=size, label="own data $v(D_i)$")
        axes.hlines(
            rewards,
            party - 0.4,
            party + 0.4,
            color=TARGET,
            linewidth=1.2,
            zorder=5,
            label="reward value $r_i$",
        )
        for level, line, label in levels:
            if level is not None:
                axes.axhline(level, color=INK, linestyle=line, linewidth=1, zorder=1.5, label=label)
        missing = _scatter_betas(axes, runs, reached)
        axes.set_ylabel("value $v$")
    top.set_title("whole range", fontsize=9, loc="left")
    bottom.set_title("close up: the reward values", fontsize=9, loc="left")

    # a chain that missed its target may lie far below: it is to be seen in the upper panel
    near = np.concatenate([rewards, reached[_series(runs, "reached", n) != 0]])
    near = near[np.isfinite(near)]
    if len(near):
        pad = max(0.15 * np.ptp(near), 1e-3 * np.abs(near).max(), 1e-9)
        bottom.set_ylim(near.min() - pad, near.max() + pad)

    for series, name in ((own, "v(D_i)"), (lower, "lower bound"), (upper, "upper bound"), (rewards, "r_i")):
        missing += [f"{name} of party {i + 1}" for i in np.flatnonzero(np.isnan(series))]
    missing += [label for level, _, label in levels if level is None]
    title = "Reward values between their bounds"
    if np.isfinite(rewards).any():
        title += f": spread max r − min r = {np.nanmax(rewards) - np.nanmin(rewards):.4g}"
    rho = scheme.number("rho")
    if rho is not None:
        title += f", ρ = {rho:.4g}"
    _finish(figure, title, missing)

    return figure


def value_curves(chains: Sequence["Chain"], record: Result) -> Figure:
    r"""Draws $v(D_i \cup G_i)$ along each chain, one panel for each party and one line for each $\beta$.

    Of a long chain, 500 points at equal distances are drawn, the first and the last among them.

    Arguments:
        chains: The chains of `cgm.sampling.sample_rewards`.
        record: A run's record, the content of `result.json`.
    """

    n = record.n_parties
    alpha = record.contributions.alpha
    betas = sorted({float(chain.beta) for chain in chains})
    styles = _styles(betas)

    columns, width = (min(n, 5), 2.3) if n <= 25 else (8, 1.8)
    rows = -(-n // columns)
    figure = Figure(figsize=(max(5.0, width * columns + 0.6), 0.8 * width * rows + 1.0), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[n:]:
        axes.remove()
    for i, axes in enumerate(panels.flat[:n]):
        mine = [chain for chain in chains if chain.party == i]
        for chain in sorted(mine, key=lambda chain: float(chain.beta)):
            # (1 + |G_i|): v before any point, then after each
            v = np.concatenate([[_number(chain.start)], np.asarray(chain.values, dtype=float).ravel()])
            kept = np.unique(np.linspace(0, len(v) - 1, DRAWN).round().astype(int)) if len(v) > DRAWN else range(len(v))
            color, marker = styles[float(chain.beta)]
            axes.plot(np.arange(len(v))[kept], v[kept], color=color, linewidth=1.2)
            axes.plot(len(v) - 1, v[-1], color=color, marker=marker, markersize=5, linestyle="")
        for target in sorted({float(chain.target) for chain in mine if chain.target is not None}):
            axes.axhline(target, color=TARGET, linestyle="--", linewidth=1.2, zorder=1.5)
        if not mine:
            axes.text(0.5, 0.5, "no chain", transform=axes.transAxes, ha="center", va="center", color=INK)
        weight = "n/a" if alpha[i] is None else f"{alpha[i]:.3g}"
        axes.set_title(rf"party {i + 1} ($\alpha$ = {weight})", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        longest = max([1, *(len(chain.values) for chain in mine)])
        axes.set_xlim(-0.06 * longest, 1.06 * longest)
        axes.grid(color="#EEEEEE")
        axes.set_axisbelow(True)

    handles = [
        Line2D([], [], color=color, marker=marker, markersize=5, label=rf"$\beta$ = {beta_text(beta)}")
        for beta, (color, marker) in styles.items()
    ]
    handles.append(Line2D([], [], color=TARGET, linestyle="--", label=r"target $r_i$"))
    figure.supxlabel("accepted points $|G_i|$", fontsize=10)
    figure.supylabel(r"value $v(D_i \cup G_i)$", fontsize=10)
    legend(figure, handles, "upper")

    return figure


def correlations(record: Result) -> Figure:
    r"""Draws the correlations of $\alpha$ with negated metrics, $|G_i|$ and accuracy (the paper's Fig. 2).

    A bar is the mean over $\beta$, its error bar the standard error, a dot the correlation for one $\beta$. A
    correlation that could not be computed is named with its reason.

    Arguments:
        record: A run's record, the content of `result.json`.
    """

    entries = record.correlations
    names = [LABELS.get(metric, metric.replace("_", " ")) for metric in entries]
    betas = list(dict.fromkeys(float(entry.beta) for entry in record.sampling))
    styles = _styles(sorted(betas))

    figure = Figure(figsize=(7.2, 0.5 * max(len(names), 1) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    reach = 1.0
    for row, (metric, entry) in enumerate(entries.items()):
        mean, sem, by_beta = entry.mean, entry.sem, entry.by_beta
        if len(by_beta) != len(betas):
            raise ValueError(f"correlations.{metric}.by_beta={by_beta}: expected a value for each beta of {betas}")
        if mean is None:
            reason = textwrap.shorten("; ".join(entry.reasons), 140, placeholder=" …")
            text = "\n".join(textwrap.wrap(f"n/a: {reason}", 70))
            white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            axes.text(0, row, text, va="center", ha="center", fontsize=8, color=INK, bbox=white)
            continue
        axes.barh(row, mean, height=0.6, xerr=sem, color="#56B4E9", ecolor=INK, capsize=3, zorder=1)
        dots = zip(sorted(zip(betas, by_beta, strict=True)), row + _offsets(len(betas), 0.2), strict=True)
        for (beta, value), y in dots:
            if value is not None:
                color, marker = styles[beta]
                axes.plot(value, y, color=color, marker=marker, markersize=4, linestyle="", zorder=3)
        unknown = by_beta.count(None)
        text = f"{mean:+.3f}".replace("-", "−") + (" ± n/a" if sem is None else f" ± {sem:.3f}")
        text += f"\n({unknown} of {len(betas)} β n/a)" if unknown else ""
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        reach = max(reach, abs(mean) + (sem or 0.0))

    axes.set_xlim(-1.05 * reach, 1.05 * reach)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(r"Pearson correlation with $\alpha_i$ (mean ± standard error over $\beta$)")
    axes.grid(axis="x", color="#EEEEEE")
    axes.set_axisbelow(True)
    handles = [
        Line2D([], [], color=color, marker=marker, markersize=4, linestyle="", label=rf"$\beta$ = {beta_text(beta)}")
        for beta, (color, marker) in styles.items()
    ]
    legend(figure, handles, "upper")

    return figure


def _number(value: float | None) -> float:
    """Returns what has no value as NaN, which matplotlib leaves out."""

    return np.nan if value is None else float(value)


def beta_text(beta: float) -> str:
    """Writes an inverse temperature."""

    return "∞" if np.isinf(float(beta)) else f"{float(beta):g}"


def _styles(betas: Sequence[float]) -> dict[float, tuple[Any, str]]:
    """Gives each inverse temperature a colour, from dark to light, and a marker."""

    shades = np.linspace(0.0, 0.85, max(len(betas), 2))
    return {
        beta: (mpl.colormaps["viridis"](shade), MARKERS[k % len(MARKERS)])
        for k, (beta, shade) in enumerate(zip(betas, shades, strict=False))
    }


def _offsets(k: int, reach: float) -> NDArray[np.float64]:
    """Spreads k markers evenly around 0."""

    return np.linspace(-reach, reach, k) if k > 1 else np.zeros(k)


def _runs(sampling: Sequence[ChainResult]) -> dict[float, dict[int, ChainResult]]:
    """Sort chains by inverse temperature and party."""

    runs: dict[float, dict[int, ChainResult]] = {}
    for entry in sorted(sampling, key=lambda entry: entry.beta):
        runs.setdefault(entry.beta, {})[entry.party] = entry

    return runs


def _series(runs: Mapping[float, Mapping[int, ChainResult]], key: str, n: int) -> NDArray[np.float64]:
    """Collect one field of the chains, of shape (betas, n), NaN where it is unknown."""

    rows = [[_number(getattr(chains.get(i), key, None)) for i in range(n)] for chains in runs.values()]
    return np.array(rows, dtype=float).reshape(len(runs), n)


def _party_axes(n: int, rows: int) -> tuple[Figure, list[Axes]]:
    """Makes a figure of panels above one another with a place for each of n parties."""

    figure = Figure(figsize=(float(np.clip(0.45 * n + 3.0, 6.4, 13.0)), 3.0 * rows + 1.0), layout="constrained")
    panels = list(figure.subplots(rows, 1, sharex=True, squeeze=False).flat)
    for axes in panels:
        axes.set_xlim(-0.6, n - 0.4)
        axes.set_xticks(range(n), [str(i + 1) for i in range(n)], fontsize=9 if n <= 25 else 7)
        axes.grid(axis="y", color="#EEEEEE")
        axes.set_axisbelow(True)
    panels[-1].set_xlabel("party")

    return figure, panels


def _scatter_betas(axes: Axes, runs: Mapping[float, Mapping[int, ChainResult]], y: NDArray[np.float64]) -> list[str]:
    """Draws a point for each party and inverse temperature, hollow where the target was not reached.

    Returns:
        The names of the chains that have no value.
    """

    n = y.shape[1]
    missing = []
    size = float(np.clip(120 / n, 3.5, 6.0))
    styles = _styles(list(runs))
    for offset, row, (beta, (color, marker)) in zip(_offsets(len(runs), 0.3), y, styles.items(), strict=True):
        full = np.array([getattr(runs[beta].get(i), "reached", True) for i in range(n)])
        style = {"color": color, "marker": marker, "markersize": size, "linestyle": "", "zorder": 4}
        x = np.arange(n) + offset
        axes.plot(x, np.where(full, row, np.nan), label=rf"$\beta$ = {beta_text(beta)}", **style)
        axes.plot(x, np.where(full, np.nan, row), markerfacecolor="white", **style)
        missing += [f"party {i + 1}, β = {beta_text(beta)}" for i in np.flatnonzero(np.isnan(row))]

    return missing


def _finish(figure: Figure, title: str, missing: Sequence[str]) -> None:
    """Adds title, legend and what could not be drawn."""

    handles, _ = figure.axes[0].get_legend_handles_labels()
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    if any(np.isfinite(line.get_ydata()).any() for line in hollow):
        style = {"color": INK, "marker": "o", "markerfacecolor": "white", "linestyle": ""}
        handles.append(Line2D([], [], label="target not reached", **style))
    if missing:
        width = int(14 * figure.get_size_inches()[0])
        title += "\n" + "\n".join(textwrap.wrap("n/a: " + "; ".join(missing), width))
    figure.suptitle(title, fontsize=10)
    legend(figure, handles, "lower")


def legend(figure: Figure, handles: Sequence[Any], where: str) -> None:
    """Adds a legend above or below the panels, in as few rows of equal length as fit the figure's width."""

    if not handles:
        return
    # at 9 points a character is some 0.075 inches wide; TeX takes more characters than it draws
    lengths = [len(h.get_label().replace("$", "").replace("\\", "")) for h in handles]
    fitting = max(1, int(figure.get_size_inches()[0] / (0.075 * max(lengths) + 0.55)))
    rows = -(-len(handles) // fitting)
    figure.legend(
        handles=handles,
        loc=f"outside {where} center",
        ncols=-(-len(handles) // rows),
        fontsize=9,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.4,
    )
