"""``:::{opening} FIGURE``: what stands first in a chapter, its question and a picture.

The content begins with the question, emphasised, in a paragraph of its own; what follows stands
below the picture. FIGURE is the name of a figure of the chapter, of which a small copy is shown, or
a file ``_static/...`` with ``:alt:``. Without it something to touch follows at once.
"""

import re
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOGGER = logging.getLogger(__name__)
IDS = re.compile(r"""(\bid=["']|url\(["']?#|href=["']#)""")


class Opening(SphinxDirective):
    """The directive."""

    optional_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Question, picture, and what a reader needs to know."""
        self.assert_has_content()
        text = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, text)
        question, *rest = text.children
        if not (question.children and isinstance(question[0], nodes.emphasis)):
            raise self.error("opening: expected the content to begin with *a question*")
        question["classes"].append("opening-question")
        result = nodes.container("", question, classes=["opening"])
        if self.arguments:
            result += self.picture(self.arguments[0])
        if rest:
            result += nodes.container("", *rest, classes=["opening-needs"])
        return [result]

    def picture(self, name: str) -> nodes.container:
        """A file at once; a figure with a link to it, and its copy when the page is written."""
        result = nodes.container(classes=["opening-picture"])
        if name.startswith("_static/"):
            if "alt" not in self.options:
                raise self.error("opening: a picture needs :alt:")
            result += nodes.image(uri=name, alt=self.options["alt"])
            return result
        result["figure"] = name
        link = addnodes.pending_xref(
            "", nodes.inline(), refdomain="std", reftype="numref", reftarget=name,
            refexplicit=False, refwarn=True, refdoc=self.env.docname,
        )  # fmt: skip
        result += nodes.paragraph("", "", link, classes=["opening-link"])
        self.set_source_info(link)
        return result


def copy_figures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the copies of figures into openings: without captions, with ids of their own."""
    for picture in doctree.findall(nodes.container):
        if "figure" not in picture:
            continue
        name = picture["figure"]
        figure = next((f for f in doctree.findall(nodes.figure) if name in f["names"]), None)
        if figure is None:
            LOGGER.warning("opening: %s is no figure of this page", name, location=picture)
            continue
        shown = [c for c in figure if not isinstance(c, nodes.caption | nodes.legend)]
        picture[:0] = [anonymous(child.deepcopy()) for child in shown]


def anonymous(part: nodes.Node) -> nodes.Node:
    """A copy as it may stand on the page beside its original: no id twice, no second link."""
    for node in list(part.findall(nodes.Element)):
        node["ids"], node["names"] = [], []
        if "prefix" in node:  # of the ids within a drawing (figures.py)
            node["prefix"] = f"opening-{node['prefix']}"
        if isinstance(node, nodes.raw):
            text = IDS.sub(r"\1opening-", node.astext())
            node.children = [nodes.Text(text)]
        if isinstance(node, nodes.reference) and node.parent:
            node.replace_self(node.children)
    return part.children[0] if isinstance(part, nodes.reference) else part


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; figures are copied once they are what is shown."""
    app.add_directive("opening", Opening)
    app.connect("doctree-resolved", copy_figures, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
