"""HTML pages from templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cgm import __version__
from cgm.settlements.report.words import number

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, folder: Path = TEMPLATES, **content: Any) -> bytes:
    """Return a page as UTF-8.

    All text is escaped: names and values of the parties come from outside. A name that a template uses and that is not
    there is an error.

    Arguments:
        template: The name of the template, without its extension.
        folder: The folder of the template and of `style.css`.
        content: What the template shows.
    """

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    style = Markup((folder / "style.css").read_text(encoding="utf-8"))
    page = environment.get_template(f"{template}.html").render(style=style, version=__version__, **content)

    return page.encode()
