"""HTML pages from templates, and figures in them as SVG."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from cgm import __version__
from cgm.utils.text import beta_name, listed, number, percent, printable, printable_lines

STYLE: Any = {  # of figures
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,  # names with a dollar are no formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text
}


def render(template: Path, **content: Any) -> bytes:
    """Return a page as UTF-8.

    In HTML, all text is escaped: names and values of the parties come from outside. A name that a template uses and
    that is not there is an error.

    Arguments:
        template: The file of the template, beside the `style.css` of its page.
        content: What the template shows.
    """

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=template.suffix == ".html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=template.suffix != ".html",
        finalize=_visible,
    )
    environment.filters |= {"number": number, "percent": percent, "listed": listed}
    environment.filters |= {"beta": lambda beta: beta_name(beta).replace("inf", "∞")}
    style = Markup((template.parent / "style.css").read_text(encoding="utf-8"))

    return environment.get_template(template.name).render(style=style, version=__version__, **content).encode()


def _visible(x: Any) -> Any:
    """Return text without characters that reverse its direction or, in text from outside, break lines."""

    if isinstance(x, Markup):
        return Markup(printable_lines(x))
    return printable(x) if isinstance(x, str) else x


def inline_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Return a figure as an `svg` element, readable by screen readers and without scripts.

    Arguments:
        figure: The figure; what comes from outside is in its texts only.
        name: A name that no other figure of the page has: letters, digits and hyphens.
        title: The title for screen readers.
        description: What the figure shows, in words.
    """

    buffer = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):  # ids that do not depend on the time
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", dpi=150, metadata=none)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'(<[a-zA-Z]+ [^>]*?\bid=")', rf"\1{name}-", text)  # ids that do not collide
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", text)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    view = re.search(r'viewBox="[^"]*"', text)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" {view[0] if view else ""} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )

    return Markup(head + text[text.index(">") + 1 :].strip())
