"""Read and Check: the code of a page, the numbers behind its figures and its solutions fold.

Each fold is a ``details`` with ``data-fold``, named by what it holds:

- ``code``: the code of a cell, with that of neighbours above it that show nothing; printed in Check
  only. The tag ``open`` keeps the code of a cell in the text.
- ``numbers``: a cell with the tag ``numbers``, whole, and the measured values of claims.
- ``solution``: the solution of an exercise, an admonition *Solution* with the class ``dropdown``,
  with the cells that follow it.

*Check* opens them all. The switch is in the bar on top of pages that have folds, where scripts run.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from exercises import exercise
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.writers.html5 import HTML5Translator

CLAIM, VALUES = "tag_nbval-check-output", "table(claim_values())"
SHOWS_SOURCE = re.compile(r"show_source\([\w.()]+\)")
MOST_NAMES = 5
# They say nothing of what a cell is for.
PLUMBING = {"figure", "ax", "axes"}
# Before a page is painted: whether it is to be read or checked, and its folds as they come in.
EARLY = """(function () {
  var root = document.documentElement, reading;
  try { reading = localStorage.getItem("reading"); } catch (error) { reading = null; }
  root.dataset.reading = reading === "check" ? "check" : "read";
  if (reading !== "check") return;
  function open() {
    document.querySelectorAll("details[data-fold]:not([open], [data-fold=guess])").forEach(
      function (fold) { fold.open = true; });
  }
  var watch = new MutationObserver(open);
  watch.observe(root, { childList: true, subtree: true });
  document.addEventListener("DOMContentLoaded", function () { open(); watch.disconnect(); });
})();"""


class fold(nodes.General, nodes.Element):
    """What is seen by its name only, until it is opened."""


class Cell:
    """A code cell of a notebook, as a node."""

    def __init__(self, node: nodes.Element) -> None:
        self.node = node
        parts = {part.get("nb_element"): part for part in node.children}
        self.input = parts.get("cell_code_source")
        self.output = parts.get("cell_code_output")
        self.source = self.input.astext() if self.input is not None else ""

    @property
    def silent(self) -> bool:
        """Whether it shows nothing."""
        return self.output is None or not self.output.children

    def tagged(self, tag: str) -> bool:
        """Whether it has a tag."""
        return f"tag_{tag}" in self.node["classes"]


def is_cell(node: nodes.Node) -> bool:
    """Whether a node is a code cell."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


class Numbers:
    """The numbers that the build gave to figures, tables and exercises of a page."""

    def __init__(self, app: Sphinx, docname: str) -> None:
        self.by_kind = app.env.toc_fignumbers.get(docname, {})

    def of(self, kind: str, node: nodes.Element) -> str:
        """As "Figure 5.4"; the bare word where there is no number."""
        numbered = self.by_kind.get(kind, {})
        for name in node["ids"]:
            if name in numbered:
                return f"{kind.title()} {'.'.join(map(str, numbered[name]))}"
        return f"the {kind}"


def fold_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fold the solutions of a page, then the code outside them."""
    numbers = Numbers(app, docname)
    for task in list(doctree.findall(exercise)):
        fold_solution(task, f"Solution of {numbers.of('exercise', task)}")
    figure = ""
    for part in list(doctree.findall(lambda n: isinstance(n, nodes.section | nodes.document))):
        figure = fold_cells(part, numbers, figure)


def fold_solution(task: nodes.Element, name: str) -> None:
    """Fold all that follows an exercise from its solution to the next exercise."""
    parent = task.parent
    following = []
    for node in parent.children[parent.index(task) + 1 :]:
        if isinstance(node, exercise | nodes.section):
            break
        following.append(node)
    while following and isinstance(following[-1], nodes.target):
        following.pop()  # the label of the next exercise
    is_solution = [
        isinstance(n, nodes.admonition) and "dropdown" in n["classes"] for n in following
    ]
    if True not in is_solution:
        return
    solution, *rest = following[is_solution.index(True) :]
    result = fold(kind="solution", name=name)
    parent.insert(parent.index(solution), result)
    for node in (solution, *rest):
        parent.remove(node)
    result += [n for n in solution.children if not isinstance(n, nodes.title)]
    result += rest


def fold_cells(parent: nodes.Element, numbers: Numbers, figure: str) -> str:
    """Fold the cells of one section; return the last figure's number."""
    silent: list[Cell] = []
    above: nodes.Element | None = None  # the cell that comes directly before, if it is seen
    for node in list(parent.children):
        cell = Cell(node) if is_cell(node) else None
        if cell is None or cell.input is None or cell.tagged("open"):
            fold_code(silent, beside=above)
            silent, above = [], node if cell is not None and cell.input is not None else None
        elif cell.tagged("numbers") or cell.source.strip() == VALUES:
            claims = not cell.tagged("numbers")
            name = (
                "The values of the claims" if claims else f"The numbers of {figure or 'the text'}"
            )
            above = fold_numbers(cell, [*inputs(silent)], name, above)
            silent = []
        elif cell.silent:
            silent.append(cell)
        else:
            fold_code([*silent, cell], numbers)
            silent, above = [], node
        for shown in node.findall(nodes.figure):
            figure = numbers.of("figure", shown)
    fold_code(silent, beside=above)
    return figure


def fold_numbers(
    cell: Cell, before: list[nodes.Node], name: str, above: nodes.Element | None
) -> nodes.Element:
    """Fold a whole cell, into the one above it if there is one; return the cell it is in."""
    parts = [*before, *cell.node.children]
    cell.node.children = []
    if above is None:
        above = cell.node
    else:
        cell.node.parent.remove(cell.node)
    if not (above.children and isinstance(above[-1], fold) and above[-1]["name"] == name):
        above += fold(kind="numbers", name=name)
    above[-1] += parts
    return above


def inputs(cells: list[Cell]) -> Iterator[nodes.Node]:
    """The code of cells that show nothing, which are taken off the page."""
    for cell in cells:
        cell.node.parent.remove(cell.node)
        yield cell.input


def fold_code(
    cells: list[Cell], numbers: Numbers | None = None, beside: nodes.Element | None = None
) -> None:
    """Fold the code of neighbours into the last of them, named by what that shows.

    If none of them shows anything, into the cell ``beside`` them, if there is one.
    """
    if not cells:
        return
    *before, last = cells
    name = (numbers and shown_by(last, numbers)) or "Code: " + ", ".join(
        made_by("\n".join(cell.source for cell in cells))
    )
    result = fold(kind="code", name=name)
    if not before and SHOWS_SOURCE.fullmatch(last.source.strip()):
        result["classes"].append("call")  # what it shows is the code: its call is for Check
    if beside is not None:
        beside += result
        result += inputs(cells)
        return
    result += [*inputs(before), last.input]
    last.node.children[0] = result
    result.parent = last.node


def shown_by(cell: Cell, numbers: Numbers) -> str:
    """The name of a cell's code, if it makes a figure, a table, or claims."""
    for kind in (nodes.figure, nodes.table):
        for node in cell.output.findall(kind):
            return f"Code of {numbers.of(kind.__name__, node)}"
    if CLAIM in cell.node["classes"]:
        claims = len(list(cell.output.findall(nodes.literal_block)))
        return "Code of the claims" if claims > 1 else "Code of the claim"
    if any("<table" in node.astext() for node in cell.output.findall(nodes.raw)):
        return "Code of the table"
    return ""


def made_by(source: str) -> list[str]:
    """What code defines, at most a few names; else what it calls."""
    names: dict[str, None] = {}
    called = ""
    for statement in ast.parse(source).body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                names["imports"] = None
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names[name] = None
            case ast.Assign(targets=targets):
                names.update(dict.fromkeys(name for t in targets for name in assigned(t)))
            case ast.Expr(value=ast.Call(func=ast.Name(id=called))):
                pass
    made = [name for name in names if name not in PLUMBING and not name.startswith("_")]
    if not made:
        return [called or "output"]
    return made if len(made) <= MOST_NAMES else [*made[: MOST_NAMES - 1], "…"]


def assigned(target: ast.expr) -> Iterator[str]:
    """The names in the target of an assignment."""
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from assigned(part)


def show_by_ourselves(app: Sphinx, doctree: nodes.document) -> None:
    """Keep MyST-NB from folding cells in its way."""
    for cell in doctree.findall(is_cell):
        cell.attributes.pop("hide_mode", None)


def visit(translator: HTML5Translator, node: fold) -> None:
    """Open the fold."""
    start = translator.starttag(node, "details", CLASS="fold", **{"data-fold": node["kind"]})
    translator.body.append(f"{start}<summary>{translator.encode(node['name'])}</summary>")


def depart(translator: HTML5Translator, node: fold) -> None:
    """Close the fold."""
    translator.body.append("</details>")


def prepare_page(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: nodes.document
) -> None:
    """Put the early script on each page, and the switch on those that have folds."""
    context["metatags"] = f"{context.get('metatags', '')}<script>{EARLY}</script>"
    context["has_folds"] = doctree is not None and any(doctree.findall(fold))


def add_switch(app: Sphinx, config: Config) -> None:
    """Put the switch into the bar on top."""
    config.templates_path.append(str(Path(__file__).parent / "templates"))
    parts = config.html_theme_options.get("article_header_end", ["article-header-buttons.html"])
    config.html_theme_options["article_header_end"] = ["reading-switch.html", *parts]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the folds and the switch."""
    app.add_node(fold, html=(visit, depart))
    app.connect("config-inited", add_switch)
    app.connect("doctree-read", show_by_ourselves)
    # After figures and tables have been made what they are on the page.
    app.connect("doctree-resolved", fold_page, priority=850)
    app.connect("html-page-context", prepare_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
