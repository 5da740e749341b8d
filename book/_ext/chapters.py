"""The table of chapters, from ``_toc.yml`` and the opening of each chapter.

What is emphasised first is a chapter's question; it is also what a link to the chapter says
elsewhere. Chapters that are referred to after **Needed:** are what it builds on.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from byline import duration
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HEAD = re.compile(
    r"^\((?P<label>[\w-]+)\)=\n# (?P<title>.+?)\n.*?"
    r"^\*(?P<question>[^*]+)\*"
    r"(?:.*?^\*\*Needed:\*\*(?P<needed>.*?)(?:\n\n|^:::))?",
    re.MULTILINE | re.DOTALL,
)
CHAPTER = re.compile(r"`(?:[^`<]*<)?(chap-[\w-]+)>?`")


@dataclass
class Chapter:
    """What the head of a chapter says of it."""

    label: str
    title: str
    question: str
    needed: list[str]


def chapters(toc: Path, book: Path) -> dict[str, Chapter]:
    """The chapters in the order of the table of contents, by their file names."""
    parts = yaml.safe_load(toc.read_text(encoding="utf-8"))["parts"]
    names = [entry["file"] for part in parts for entry in part["chapters"]]
    return {name: head(path) for name in names if (path := book / f"{name}.ipynb").exists()}


def head(path: Path) -> Chapter:
    """Read the head of one chapter."""
    text = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    if not (found := HEAD.search(text)):
        raise ValueError(
            f"{path.name}: expected the first cell to have a label, a title, and an opening that "
            "begins with *a question*"
        )
    needed = list(dict.fromkeys(CHAPTER.findall(found["needed"] or "")))
    question = " ".join(found["question"].split())
    return Chapter(found["label"], found["title"], question, needed)


class Chapters(SphinxDirective):
    """A row for each chapter."""

    def run(self) -> list[nodes.Node]:
        """Write the table as MyST, and parse it."""
        book = Path(self.env.srcdir)
        toc = book / self.env.app.config.external_toc_path
        self.env.note_dependency(str(toc))
        rows = ["| No. | Chapter | The question | Builds on |", "|--:|---|---|---|"]
        for name, chapter in chapters(toc, book).items():
            length = duration(book / f"{name}.ipynb")
            needed = ", ".join(f"{{numref}}`%s <{label}>`" for label in chapter.needed)
            rows.append(
                f"| {{numref}}`%s <{chapter.label}>` | {{ref}}`{chapter.label}` ({length}) "
                f"| {chapter.question} | {needed} |"
            )
            self.env.note_dependency(str(book / f"{name}.ipynb"))
        node = nodes.Element()
        self.state.nested_parse(StringList(rows, "chapters"), self.content_offset, node)
        for table in node.findall(nodes.table):
            table["classes"].append("chapters")
        return node.children


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Leave a chapter's question where sharing.py looks for a description."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix == ".ipynb" and app.env.docname != app.config.root_doc:
        app.env.metadata[app.env.docname]["og:description"] = head(path).question


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the table."""
    app.add_directive("chapters", Chapters)
    app.connect("doctree-read", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
