"""The style that figures share: colours, markers, labels, legends and files.

No display is needed, and no global state of matplotlib is changed. Parties are numbered from 0 in data and from 1 in
figures.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cgm.utils.files import write_whole

BACKGROUND, GRID, INK = "#D0D0D0", "#EEEEEE", "#333333"
TARGET = "#D55E00"  # of Okabe and Ito's palette: distinguishable from blue and orange by colour-blind readers
MARKERS = "os^Dv<>P"
LABELS = {
    "neg_mmd2_unbiased": r"$-\mathrm{MMD}_u^2$",
    "neg_reverse_kl": "−reverse KL",
    "neg_wasserstein2": "−Wasserstein-2",
    "neg_class_imbalance": "−class imbalance",
    "neg_kid": "−KID",
    "neg_mmd2_laplacian": r"$-\mathrm{MMD}_u^2$, Laplacian",
    "neg_sliced_wasserstein": "−sliced Wasserstein",
    "size": r"$|G_i|$",
    "accuracy": "downstream accuracy",
    "balanced_accuracy": "downstream balanced accuracy",
    "f1": "downstream F1",
    "r2": "downstream $R^2$",
    "v_star": "largest reward value $v^*$",
    "rho": r"$\rho$ of the reward scheme",
    "spread": r"spread of the rewards, max $r_i$ − min $r_i$",
    "t": "number of points $|T|$",
    "lengthscale": r"length-scale $\ell$ of the kernel",
    "accuracy_gain": "gain in downstream accuracy",
    "seconds": "seconds of a run",
    "warnings": "number of warnings",
}


def metric_label(name: str) -> str:
    """Return the label of a number in a figure, also of a metric or score of the user's own.

    Example:
        >>> metric_label("neg_reverse_kl"), metric_label("neg_my_distance")
        ('−reverse KL', '−my distance')
    """

    sign, text = ("−", name.removeprefix("neg_")) if name.startswith("neg_") else ("", name)
    return LABELS.get(name) or sign + text.replace("_", " ")


def save(figure: Figure, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Write a figure as `name.png` (200 dpi) and `name.pdf`, each completely or not at all.

    The files have no time stamp: the same figure gives the same bytes.

    Arguments:
        figure: The figure.
        folder: The folder of the files, created if necessary.
        name: Their name, without an extension.

    Returns:
        The paths of the PNG and of the PDF.

    Raises:
        ValueError: If the name is empty or contains a folder.
    """

    if name in ("", "..") or name != Path(name).name:
        raise ValueError(f"name={name!r}: expected the name of a file without its folder and extension")

    folder = Path(folder)
    contents = []
    for kind in ("png", "pdf"):
        buffer = io.BytesIO()
        metadata: dict[str, Any] | None = {"CreationDate": None} if kind == "pdf" else None
        with mpl.rc_context({"pdf.fonttype": 42}):  # publishers refuse the default, Type 3
            figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
        contents.append((folder / f"{name}.{kind}", buffer.getvalue()))
        figure.set_layout_engine("none")  # keep the layout: to compute it again takes a quarter of a figure's time

    for path, content in contents:
        write_whole(path, content)

    return contents[0][0], contents[1][0]


def legend(
    figure: Figure, handles: Sequence[Artist], where: Literal["upper", "lower"], handle_length: float = 1.6
) -> None:
    """Add a legend above or below the panels, in as few rows of equal length as fit the figure's width.

    Arguments:
        figure: The figure.
        handles: The entries.
        where: Where the legend is.
        handle_length: The length of the line of an entry, in units of the font size.
    """

    if not handles:
        return
    figure.legend(
        handles=handles,
        loc="outside upper center" if where == "upper" else "outside lower center",
        ncols=_columns(handles, figure.get_size_inches()[0], handle_length),
        fontsize=9,
        frameon=False,
        handlelength=handle_length,
        columnspacing=1.4,
    )


def axes_for(ax: Axes | None, width: float, height: float) -> Axes:
    """Return axes to draw into: those that were given, or those of a new figure of pyplot, which notebooks show.

    Arguments:
        ax: The axes, or `None`.
        width, height: The size of a new figure, in inches.

    Raises:
        ValueError: If something else was given.
    """

    if ax is None:
        from matplotlib import pyplot  # which chooses how figures are shown: files of runs are drawn without it

        return pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ValueError(f"ax: expected one Axes of matplotlib, such as plt.subplots()[1], got {type(ax).__name__}")
    return ax


def axes_legend(
    axes: Axes, handles: Sequence[Artist], where: Literal["upper", "right"] = "right", title: str | None = None
) -> None:
    """Add a legend above the axes or to the right of them, where it hides nothing."""

    if not handles:
        return
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    if where == "upper":
        columns = _columns(handles, axes_width(axes), 1.6)
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": columns}
    axes.legend(handles=handles, frameon=False, fontsize=9, handlelength=1.6, columnspacing=1.4, title=title, **place)


def axes_width(axes: Axes) -> float:
    """Return the width of axes in inches, before labels take their room."""

    figure = axes.get_figure(root=True)
    return axes.get_window_extent().width / (figure.dpi if figure else 100)


def _columns(handles: Sequence[Artist], width: float, handle_length: float) -> int:
    """Return the number of columns of a legend with as few rows of equal length as fit a width in inches."""

    # at 9 points a character is about 0.075 inches wide, and a unit of handle_length 0.125; TeX has more characters
    # than it draws
    lengths = [len(str(handle.get_label()).replace("$", "").replace("\\", "")) for handle in handles]
    fitting = max(1, int(width / (0.075 * max(lengths) + 0.35 + 0.125 * handle_length)))
    rows = -(-len(handles) // fitting)
    return -(-len(handles) // rows)


def beta_text(beta: float) -> str:
    """Return an inverse temperature as text."""

    return "∞" if np.isinf(float(beta)) else f"{float(beta):g}"


def beta_label(beta: float) -> str:
    """Return the label of an inverse temperature in a legend or title."""

    return rf"$\beta$ = {beta_text(beta)}"


def beta_styles(betas: Sequence[float]) -> dict[float, tuple[Any, str]]:
    """Return a colour, from dark to light, and a marker for each inverse temperature."""

    shades = np.linspace(0.0, 0.85, max(len(betas), 2))
    return {
        beta: (mpl.colormaps["viridis"](shade), MARKERS[k % len(MARKERS)])
        for k, (beta, shade) in enumerate(zip(betas, shades, strict=False))
    }


def beta_handles(betas: Sequence[float], **style: Any) -> list[Line2D]:
    """Return a legend's handle for each inverse temperature; `style` has further options of `Line2D`."""

    return [
        Line2D([], [], color=color, marker=marker, label=beta_label(beta), **style)
        for beta, (color, marker) in beta_styles(betas).items()
    ]


def offsets(k: int, width: float) -> NDArray[np.float64]:
    """Return k numbers at even distances from -width to width; 0 if there is only one."""

    return np.linspace(-width, width, k) if k > 1 else np.zeros(k)
