"""``:::{explorable} NAME``: a figure that a reader can move.

The content is a picture and a text. The picture stands where scripts are off, and in print; where
they are on, ``_static/explorables/NAME.js`` puts something to touch in its place, with the numbers
of ``NAME.data.js``. Pages without explorables load none of it.
"""

from pathlib import Path
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = "explorables"


class explorable(nodes.General, nodes.Element):
    """A section that a script may bring to life."""


class Explorable(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """Sort the content into picture and text."""
        name = self.arguments[0]
        static = Path(self.env.srcdir) / "_static" / FOLDER
        for kind in ("js", "data.js"):
            if not (static / f"{name}.{kind}").is_file():
                raise self.error(f"explorable: {name}.{kind} is not in {static.name}/")
        content = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, content)
        pictures = list(content.findall(nodes.image))
        if len(pictures) != 1:
            raise self.error(f"explorable: {name} needs one picture, got {len(pictures)}")
        picture = pictures[0].parent  # the paragraph in which Markdown puts it
        content.remove(picture)
        section = explorable(name=name)
        section += nodes.container("", picture, classes=["explorable-static"])
        section += nodes.container("", *content.children, classes=["explorable-text"])
        return [section]


def visit(translator: nodes.NodeVisitor, node: explorable) -> None:
    """Open the section, with an empty stage for the script."""
    name = node["name"]
    label = name.replace("-", " ")
    translator.body.append(  # type: ignore[attr-defined]
        f'<section class="explorable" data-explorable="{name}" aria-label="Explorable: {label}">'
        '<div class="explorable-stage"></div>'
    )


def depart(translator: nodes.NodeVisitor, node: explorable) -> None:
    """Close the section."""
    translator.body.append("</section>")  # type: ignore[attr-defined]


def load_scripts(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, object],
    doctree: nodes.document,
) -> None:
    """Add to a page what its explorables need."""
    names = {node["name"] for node in doctree.findall(explorable)} if doctree else set()
    if names:
        app.add_css_file(f"{FOLDER}/explorables.css")
        app.add_js_file(f"{FOLDER}/core.js", loading_method="defer")
    for name in sorted(names):
        app.add_js_file(f"{FOLDER}/{name}.data.js", loading_method="defer")
        app.add_js_file(f"{FOLDER}/{name}.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("explorable", Explorable)
    app.add_node(explorable, html=(visit, depart))
    app.connect("html-page-context", load_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
