"""What tests of figures share."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def whole(figure: Figure) -> bool:
    """Return whether everything that is drawn is inside the figure."""

    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()

    return box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def legend(figure: Figure) -> list[str]:
    """Return the texts of the legend."""

    return [text.get_text() for text in figure.legends[0].get_texts()]


def line(axes: Axes, label: str) -> np.ndarray:
    """Return the y of the line with a label."""

    (found,) = [artist for artist in axes.lines if artist.get_label() == label]
    return np.asarray(found.get_ydata())
