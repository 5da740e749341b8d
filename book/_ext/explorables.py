"""``:::{explorable} NAME``: a figure that a reader can move.

The content is the alt text of a still picture, as an image of Markdown, and a text for those who
can touch. Where scripts are off, and in print, there is the picture, ``NAME.png`` or
``NAME-dark.png`` in ``_static/explorables/``, with the sentence of the option ``still`` under it.
Where they are on, ``NAME.js`` puts something to touch in its place, with the numbers of
``NAME.data.js``, and the text is seen. The option ``open`` is for explorables that have an answer:
it is shown at once. Pages without explorables load none of it.

``{moves}`words <NAME#key=value&...>``: a link of the text that moves the explorable NAME of its
page. What stands behind ``#`` is what the address of the page would hold. Without scripts the link
leads to the figure, which has an anchor for each of them.

One that needs other scripts has them in ``SCRIPTS``. With the option ``asleep`` a page loads none
of them: under the picture is a button, with the words of the option, that asks for them. The option
``preset`` says how it begins.
"""

import struct
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective

FOLDER = "explorables"
logger = logging.getLogger(__name__)
# Those that are more than NAME.data.js and NAME.js, in the order in which they are needed.
SCRIPTS = {
    "laboratory": [
        "engine-products.js",
        "engine.js",
        "laboratory-presets.js",
        "laboratory-charts.js",
        "laboratory-bench.js",
        "laboratory.js",
    ],
}
# Until the script is there the picture keeps its place, at the height of what replaces it. If the
# script never comes, the picture stays as it is.
WAIT = (
    "<script>(function (section) {"
    'section.dataset.waiting = "";'
    'addEventListener("load", function () { delete section.dataset.waiting; });'
    "})(document.currentScript.parentElement)</script>"
)


class explorable(nodes.General, nodes.Element):
    """A section that a script may bring to life."""


class still(nodes.General, nodes.Element):
    """Its picture, by day and by night."""


class moves(nodes.Inline, nodes.TextElement):
    """A link that moves an explorable of its page."""


class Moves(ReferenceRole):
    """The role."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Part the target into the explorable and its state."""
        name, _, state = self.target.partition("#")
        link = moves(self.rawtext, self.title, name=name, state=state)
        self.set_source_info(link)
        return [link], []


def check_moves(app: Sphinx, doctree: nodes.document) -> None:
    """Complain of a link to what is not on its page, or that says nothing."""
    names = {node["name"] for node in doctree.findall(explorable)}
    for link in doctree.findall(moves):
        if link["name"] not in names or "=" not in link["state"]:
            logger.warning("moves: no explorable %s here, or no state", link, location=link)


class Explorable(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {
        "still": directives.unchanged_required,
        "open": directives.flag,
        "preset": directives.unchanged_required,
        "asleep": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Sort the content into picture and text."""
        name = self.arguments[0]
        static = Path(self.env.srcdir) / "_static" / FOLDER
        for file in (*scripts(name), f"{name}.png", f"{name}-dark.png"):
            if not (static / file).is_file():
                raise self.error(f"explorable: {file} is not in {static.name}/")
        content = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, content)
        pictures = list(content.findall(nodes.image))
        if len(pictures) != 1:
            raise self.error(f"explorable: {name} needs one picture, got {len(pictures)}")
        paragraph = pictures[0].parent  # in which Markdown puts it
        content.remove(paragraph)
        width, height = size(static / f"{name}.png")
        picture = still(name=name, alt=pictures[0]["alt"], width=width, height=height)
        under = nodes.container("", picture, classes=["explorable-static"])
        if "still" in self.options:
            words, _ = self.parse_inline(self.options["still"])
            under += nodes.paragraph("", "", *words)
        data = {key: self.options[key] for key in ("preset", "asleep") if key in self.options}
        section = explorable("", under, name=name, open="open" in self.options, **data)
        section += nodes.container("", *content.children, classes=["explorable-text"])
        return [section]


def scripts(name: str) -> list[str]:
    """What has to be loaded, after core.js."""
    return SCRIPTS.get(name, [f"{name}.data.js", f"{name}.js"])


def size(png: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    return struct.unpack(">II", png.read_bytes()[16:24])


def visit(translator: nodes.NodeVisitor, node: explorable) -> None:
    """Open the section, with an empty stage for the script."""
    name = node["name"]
    label = name.replace("-", " ")
    data = " data-open" if node["open"] else ""
    if "preset" in node:
        data += f' data-preset="{node["preset"]}"'
    wait = WAIT
    if "asleep" in node:
        words = translator.attval(node["asleep"])  # type: ignore[attr-defined]
        data += f' data-asleep="{" ".join(scripts(name))}" data-opens="{words}"'
        wait = ""
    translator.body.append(  # type: ignore[attr-defined]
        f'<section class="explorable" data-explorable="{name}"{data} '
        f'aria-label="Explorable: {label}">{wait}<div class="explorable-stage"></div>'
    )
    links = translator.document.findall(moves)
    for state in sorted({link["state"] for link in links if link["name"] == name}):
        anchor = translator.attval(state)  # type: ignore[attr-defined]
        translator.body.append(  # type: ignore[attr-defined]
            f'<span class="explorable-moment" id="{anchor}"></span>'
        )


def depart(translator: nodes.NodeVisitor, node: explorable) -> None:
    """Close the section."""
    translator.body.append("</section>")  # type: ignore[attr-defined]


def visit_still(translator: nodes.NodeVisitor, node: still) -> None:
    """The picture for the reader's scheme. Paper is white."""
    alt = translator.attval(node["alt"])  # type: ignore[attr-defined]
    file = f"_static/{FOLDER}/{node['name']}"
    night = "screen and (prefers-color-scheme: dark)"
    translator.body.append(  # type: ignore[attr-defined]
        f'<picture><source media="{night}" srcset="{file}-dark.png">'
        f'<img src="{file}.png" alt="{alt}" width="{node["width"]}" height="{node["height"]}">'
        "</picture>"
    )
    raise nodes.SkipNode


def visit_moves(translator: nodes.NodeVisitor, node: moves) -> None:
    """The link, with a hint at what it does."""
    state = translator.attval(node["state"])  # type: ignore[attr-defined]
    label = node["name"].replace("-", " ")
    translator.body.append(  # type: ignore[attr-defined]
        f'<a class="moves" href="#{state}" data-moves="{node["name"]}" '
        f'title="Show this in the figure: {label}">'
    )


def depart_moves(translator: nodes.NodeVisitor, node: moves) -> None:
    """Close it."""
    translator.body.append("</a>")  # type: ignore[attr-defined]


def load_scripts(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, object],
    doctree: nodes.document,
) -> None:
    """Add to a page what its explorables need, before the maths."""
    found = list(doctree.findall(explorable)) if doctree else []
    names = {node["name"] for node in found if "asleep" not in node}
    if found:
        app.add_css_file(f"{FOLDER}/explorables.css")
    needed = [script for name in sorted(names) for script in scripts(name)]
    for script in ["core.js", *needed] if found else []:
        app.add_js_file(f"{FOLDER}/{script}", loading_method="defer", priority=200)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("explorable", Explorable)
    app.add_node(explorable, html=(visit, depart))
    app.add_node(still, html=(visit_still, depart))
    app.add_node(moves, html=(visit_moves, depart_moves))
    app.add_role("moves", Moves())
    app.connect("doctree-read", check_moves)
    app.connect("html-page-context", load_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
