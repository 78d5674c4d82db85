"""Sphinx configuration: `make docs`."""

import html
import os
import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

from cgm import __version__

log = logging.getLogger(__name__)

project = "cgm"
author = "the cgm developers"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_show_copyright = False  # the licence has it
html_title = f"cgm {version}"
html_static_path = ["_static"]
html_css_files = ["cgm.css"]
html_math_renderer = "mathml"
default_role = "py:obj"  # `Settlement` in a docstring is a link if it is the name of something
python_maximum_signature_line_length = 100

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
# the tutorials run when the pages are built: outputs that are kept would be those of an older cgm
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
os.environ["TQDM_DISABLE"] = "1"  # a page shows no progress bars

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_ivar = True
napoleon_use_rtype = False


def inline_math(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn $...$ in docstrings into reStructuredText, outside of examples."""

    parts = re.split(r"(^ *>>> .*(?:\n(?! *$).*)*)", "\n".join(lines), flags=re.M)
    parts[::2] = [
        re.sub(r"(\w?)\$([^$]+)\$(\w?)", lambda m: _role(m[1], " ".join(m[2].split()), m[3]), part)
        for part in parts[::2]
    ]
    lines[:] = "".join(parts).split("\n")


def _role(before: str, text: str, after: str) -> str:
    """Write inline mathematics, separated from letters next to it as reStructuredText requires."""

    return before + r"\ " * bool(before) + f":math:`{text}`" + r"\ " * bool(after) + after


def skip(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of named tuples, which the docstring of the class lists."""

    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Make the names of cgm in the text of a page, such as `cgm.valuation.Valuation`, refer to the reference."""

    page = app.env.docname
    for literal in list(doctree.findall(nodes.literal)):
        if re.fullmatch(r"cgm(\.\w+)+", literal.astext()) and not isinstance(literal.parent, pending_xref):
            target = {"refdomain": "py", "reftype": "obj", "reftarget": literal.astext()}
            reference = pending_xref("", refdoc=page, of_paper=page == "mathematics", **target)
            literal.replace_self(reference)
            reference += literal


def link(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Node) -> nodes.Node | None:
    """Link the name of a class, function or method to where it is documented, which is where users import it from."""

    target = node["reftarget"]
    if node.get("refdomain") != "py" or ("." in target and not target.startswith("cgm.")):
        return None
    objects = [(name, o) for name, o in env.domains["py"].data["objects"].items() if not o.aliased]
    for parts, kinds in ((1, ("class", "exception", "function")), (2, ("method", "property", "attribute"))):
        last = target.split(".")[-parts:]
        found = [o for name, o in objects if name.split(".")[-parts:] == last and o.objtype in kinds]
        if len(found) == 1:
            return make_refnode(app.builder, node["refdoc"], found[0].docname, found[0].node_id, text, target)
    if node.get("of_paper"):
        log.warning("%s is not in the reference", target, location=node)
    return None


def mathml(text: str, display: bool) -> str:
    """Convert LaTeX to MathML, which browsers show without any script."""

    text = re.sub(r"\\[bB]igg?[lr]?(?![a-z])", "", text.replace(r"\dots", r"\ldots"))  # unknown to docutils
    if display and ("&" in text or r"\\" in text):
        text = rf"\begin{{aligned}} {text} \end{{aligned}}"
    try:
        return tex2mathml(text, as_block=display)
    except (ValueError, SyntaxError, AttributeError) as error:
        log.warning("mathematics: %s: %s", text, error)
        return html.escape(text)


def visit_math(self, node: nodes.math) -> None:
    """Write inline mathematics."""

    self.body.append(mathml(node.astext(), display=False))
    raise nodes.SkipNode


def visit_math_block(self, node: nodes.math_block) -> None:
    """Write displayed mathematics."""

    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    self.body.append(f'<div class="math">{number}{mathml(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register what is defined above."""

    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("autodoc-process-docstring", inline_math, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", link)
