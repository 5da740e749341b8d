"""Formulas as pictures in the page: typeset when the book is built, with no script for the reader.

MathJax runs in a JavaScript engine and draws each formula as SVG, beside MathML for those who hear
the page. The outlines of letters are written once a page, at its end, and only those it uses.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

MATHJAX = Path(__file__).parent / "mathjax"
# In this order: each needs those before it.
PARTS = (
    *("startup", "core", "adaptors-liteDOM", "input-tex-full"),
    *("output-svg", "output-svg-fonts-tex", "a11y-assistive-mml"),
)
START = """
MathJax.startup.defaultReady();
function typeset(tex, display) {
  return MathJax.startup.adaptor.outerHTML(MathJax.tex2svg(tex, {display}));
}
function outlines() {
  const found = MathJax.startup.document.outputJax.fontCache.getCache();
  return MathJax.startup.adaptor.innerHTML(found);
}
0"""
OUTLINE = re.compile(r'<path id="(MJX-[\w-]+)" d="[^"]*"></path>')
USED = re.compile(r'href="#(MJX-[\w-]+)"')
# For MathJax's own use, or said by the element already.
SUPERFLUOUS = re.compile(
    r' (?:data-(?:mml-node|c|mjx-texclass)="[^"]*"|xmlns(?::xlink)?="[^"]*"'
    r'|role="img"|focusable="false"|unselectable="on"|style="position: relative;")|(?<= )xlink:'
)
# Wider than a line on the narrowest phone, in units of the height of an x.
WIDE = 34

# What belongs to a formula without a space: a break between them would leave it alone on a line.
BEFORE = re.compile(r"[(\[“‘±–−]+$")
AFTER = re.compile(r"^[.,;:!?)\]”’%…]+")

logger = logging.getLogger(__name__)


class Typesetter:
    """MathJax, started once a build."""

    def __init__(self) -> None:
        self.engine = MiniRacer()
        self.engine.eval(
            "globalThis.MathJax = {loader: {load: []}, options: {enableMenu: false},"
            "startup: {typeset: false, document: '<html></html>', ready() {}},"
            "svg: {fontCache: 'global'},"
            "tex: {tags: 'none', packages: {'[-]': ['noundefined']}}}; 0"
        )
        for part in PARTS:
            self.engine.eval((MATHJAX / f"{part}.js").read_text(encoding="utf-8") + "\n;0")
        self.engine.eval(START)
        self.formulas: dict[tuple[str, bool], str] = {}
        self.outlines: dict[str, str] = {}

    def typeset(self, tex: str, display: bool) -> str:
        """HTML of a formula, without the outlines that it refers to."""
        if (tex, display) not in self.formulas:
            drawn = self.engine.call("typeset", tex, display)
            self.formulas[tex, display] = SUPERFLUOUS.sub("", drawn)
            if "data-mjx-error" in drawn:
                logger.warning("formula with an error: %s", tex, type="maths")
        return self.formulas[tex, display]

    def outline(self, name: str) -> str:
        """One letter's outline."""
        if name not in self.outlines:
            drawn = self.engine.call("outlines")
            self.outlines = {found[1]: found[0] for found in OUTLINE.finditer(drawn)}
        return self.outlines[name]


typesetter = cache(Typesetter)


def width(tex: str) -> float:
    """How wide a formula within a line is, in units of the height of an x."""
    found = re.search(r'width="([\d.]+)ex"', typesetter().typeset(tex, False))
    return float(found[1]) if found else 0


class KeepTogether(SphinxPostTransform):
    """Formulas within lines, each with the signs that belong to it and whether it is wide."""

    default_priority = 900

    def run(self, **kwargs: object) -> None:
        """Wrap formulas that are followed or preceded by a sign, and wide ones."""
        if self.app.builder.format != "html":
            return
        for node in list(self.document.findall(nodes.math)):
            parent, at = node.parent, node.parent.index(node)
            before = take(parent, at - 1, BEFORE)
            after = take(parent, at + 1, AFTER)
            wide = width(node.astext()) > WIDE
            if not before and not after and not wide:
                continue
            whole = nodes.inline(classes=["formula", *(["wide"] if wide else [])])
            parent[at] = whole
            whole += [nodes.Text(before)] if before else []
            whole += node
            whole += [nodes.Text(after)] if after else []


def take(parent: nodes.Element, at: int, signs: re.Pattern[str]) -> str:
    """Cut the signs that touch a formula off its neighbour."""
    if not 0 <= at < len(parent) or not isinstance(parent[at], nodes.Text):
        return ""
    text = parent[at].astext()
    if not (found := signs.search(text)):
        return ""
    parent[at] = nodes.Text(text[: found.start()] + text[found.end() :])
    return found[0]


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    drawn = typesetter().typeset(node.astext(), False)
    translator.body.append(f'<span class="math notranslate nohighlight">{drawn}</span>')
    raise nodes.SkipNode


def visit_display(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on its own line, with its number."""
    tag = translator.starttag(node, "div", CLASS="math notranslate nohighlight")
    translator.body.append(tag)
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    tex = node.astext()
    if not node.get("nowrap", node.get("no-wrap")):
        if len(parts := [part for part in tex.split("\n\n") if part.strip()]) > 1:
            tex = r"\begin{aligned}" + r"\\".join(parts) + r"\end{aligned}"
        elif r"\\" in tex:
            tex = r"\begin{split}" + tex + r"\end{split}"
    translator.body.append(typesetter().typeset(tex, True) + "</div>\n")
    raise nodes.SkipNode


def add_outlines(app: Sphinx, page: str, text: str) -> str:
    """Write the outlines that a page's formulas refer to at its end."""
    names = sorted(set(USED.findall(text)))
    if not names:
        return text
    drawn = "".join(map(typesetter().outline, names))
    hidden = f'<svg class="outlines" aria-hidden="true"><defs>{drawn}</defs></svg>'
    before, end, after = text.rpartition("</body>")
    return before + hidden + end + after


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; ``html_math_renderer: typeset`` turns it on."""
    app.setup_extension("rendered")
    app.add_html_math_renderer("typeset", (visit_inline, None), (visit_display, None))
    app.add_post_transform(KeepTogether)
    app.connect("page-rendered", add_outlines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
