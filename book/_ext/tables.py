"""Tables that cells show: numbered within the chapter, and folded where they are long.

`vaelib.book.table` gives a table its caption, and a label if ``{numref}`` is to refer to it. One of
more than ten rows shows the first six until its fold is opened; without style sheets, and on paper,
it shows all. A table in a cell that folds itself is not folded again.
"""

import html
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator
from unbroken import unbroken

TABLE = re.compile(
    r'<table class="table"(?: id="(?P<name>[^"]*)")?>(?:<caption>(?P<caption>.*?)</caption>)?'
    r"(?P<rest>.*)</table>",
    re.S,
)
MOST_ROWS, FIRST_ROWS = 10, 6  # tables.css hides the rows after the first six
FOLDED = {"tag_numbers", "tag_hide-cell", "tag_hide-output"}
VALUES = "table(claim_values())"  # folds too
FIRST_CELL = re.compile("<tr><td[^>]*>(.*?)</td>")
LONG = 20  # letters of a name that would break into single words on a phone


class cell_table(nodes.table):
    """A table that a cell shows, which Sphinx numbers as it numbers figures."""


class CellTables(SphinxTransform):
    """Find the tables among the outputs of cells."""

    # Before the standard domain collects the targets of a page (850).
    default_priority = 800

    def apply(self) -> None:
        """Put each table into a node of its own."""
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") == "cell_code":
                folded = not FOLDED.isdisjoint(cell["classes"]) or cell[0].astext() == VALUES
                for raw in list(cell.findall(nodes.raw)):
                    if raw["format"] == "html" and (found := TABLE.fullmatch(raw.astext().strip())):
                        raw.replace_self(self.node(found, folded))

    def node(self, found: re.Match[str], folded: bool) -> cell_table:
        """The node of a table."""
        rows = found["rest"].count("<tr>") - 1
        node = cell_table(rows=0 if folded or rows <= MOST_ROWS else rows)
        node["caption"] = html.unescape(found["caption"] or "") or None
        if any(len(name) >= LONG for name in FIRST_CELL.findall(found["rest"])):
            node["classes"].append("long-names")
        if found["name"]:
            node["names"] = [html.unescape(found["name"])]
            self.document.note_explicit_target(node, node)
        elif found["caption"]:
            node["ids"] = [f"table-{self.env.new_serialno('table') + 1}"]
        node += nodes.raw("", unbroken(found["rest"]), format="html")
        return node


def visit(translator: HTML5Translator, node: cell_table) -> None:
    """Begin with the caption and the number."""
    translator.body.append(translator.starttag(node, "div", CLASS="cell-table"))
    translator.body.append('<table class="table">')
    if node["caption"]:
        translator.body.append("<caption>")
        translator.add_fignumber(node)
        text = html.escape(node["caption"])
        translator.body.append(f'<span class="caption-text">{text}</span>')
        translator.add_permalink_ref(node, "Link to this table")
        translator.body.append("</caption>")


def depart(translator: HTML5Translator, node: cell_table) -> None:
    """End with the fold that shows the other rows."""
    translator.body.append("</table>")
    if node["rows"]:
        translator.body.append(
            '<details class="rows" data-fold="rows"><summary>'
            f'<span class="more">All {node["rows"]} rows</span>'
            f'<span class="less">The first {FIRST_ROWS} rows</span></summary></details>'
        )
    translator.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the tables and their numbers."""
    app.add_enumerable_node(cell_table, "table", lambda node: node["caption"], html=(visit, depart))
    app.add_transform(CellTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
