"""Figures as SVG within a page: readable by screen readers, without scripts, with ids that do not collide."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,  # names with a dollar are no formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw figures in the style of the report."""

    with mpl.rc_context(STYLE):
        yield


def inline_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Return a figure as an `svg` element.

    Arguments:
        figure: The figure; what comes from outside is in its texts only.
        name: A name that no other figure of the page has: letters, digits and hyphens.
        title: The title for screen readers.
        description: What the figure shows, in words.
    """

    buffer = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):  # ids that do not depend on the time
        figure.savefig(
            buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'(<[a-zA-Z]+ [^>]*?\bid=")', rf"\1{name}-", text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", text)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    view = re.search(r'viewBox="[^"]*"', text)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" {view[0] if view else ""} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )

    return Markup(head + text[text.index(">") + 1 :].strip())


def label(text: str, length: int = 24) -> str:
    """Return text from outside as one line for a figure.

    Example:
        >>> label("a name that is much too long for an axis"), label("two\\nlines")
        ('a name that is much too…', 'two lines')
    """

    line = " ".join("".join(x if x.isprintable() else " " for x in str(text)).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
