"""Looks at figures, for the tests of all that draw."""

from matplotlib.figure import Figure


def whole(figure: Figure) -> bool:
    """Says whether all that is drawn lies inside the figure."""

    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()

    return box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]
