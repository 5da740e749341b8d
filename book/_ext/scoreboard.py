"""The rows of the scoreboard: each can be linked to, and scripts can choose among them.

A row of a table in a cell with the tag ``scoreboard`` becomes the target ``#verdict-ID`` and gets
classes: ``fails``, ``published`` (a work from outside gives a value or a law), what ``claims.yml``
says of when its interval was set, ``one-set`` (what the row says of its data), and ``in-CHAPTER``.
Its cells with nothing but a dash get the class ``nothing``. The rows of each chapter fold. Above
them stand the buttons for what there is of these; without scripts they are not shown.

``{{ on_images }}`` is how many claims rest on images, as the stored scoreboard shows it,
``{{ two_sets }}`` how many of these on two sets or more, ``{{ one_set }}`` how many on one.
"""

import html
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from folds import fold
from sphinx.application import Sphinx
from sphinx.config import Config

CLAIM = re.compile(r"#claim-([\w.-]+)$")
BUTTONS = {
    "fails": "fail",
    "published": "have a published value",
    "before": "were set before the runs",
    "after": "were set with the data in view",
    "identity": "are identities",
    "one-set": "were measured on one set",
}
ONE_SET, NOTHING = " only", "–"  # how the last column ends, which has the datasets


def annotate(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Find the tables of verdicts, once references are resolved."""
    for cell in doctree.findall(nodes.container):
        if "tag_scoreboard" in cell["classes"]:
            for table in list(cell.findall(nodes.table)):
                if found := rows(app, table):
                    table.replace_self([buttons(app, found), *chapter_folds(app, table)])


def rows(app: Sphinx, table: nodes.table) -> Counter[str]:
    """Name the rows of a table and give them their classes; return how many have which."""
    claims = yaml.safe_load(Path(app.srcdir, "claims.yml").read_text(encoding="utf-8"))
    places = app.env.get_domain("std").data["anonlabels"]
    counts: Counter[str] = Counter()
    for row in table.findall(nodes.row):
        for link in row.findall(nodes.reference):
            if found := CLAIM.search(link.get("refuri", "") or f"#{link.get('refid', '')}"):
                key = found[1]
                row["ids"].append(f"verdict-{key}")
                kinds = [*classes(claims[key], "✗" in row[0].astext())]
                kinds += ["one-set"] * row[-1].astext().endswith(ONE_SET)
                kinds.append(f"in-{places[f'claim-{key}'][0]}")
                row["classes"] += kinds
                for entry in row.findall(nodes.entry):
                    entry["classes"] += ["nothing"] * (entry.astext() == NOTHING)
                counts.update(["all", *kinds])
    return counts


def chapter_folds(app: Sphinx, table: nodes.table) -> list[fold]:
    """A fold for each chapter, named by how many of its claims hold, with a table of its rows."""
    by_chapter: dict[str, list[nodes.row]] = {}
    for row in table.findall(nodes.row):
        for chapter in [name[3:] for name in row["classes"] if name.startswith("in-")]:
            by_chapter.setdefault(chapter, []).append(row)
    folds = []
    for chapter, of_chapter in by_chapter.items():
        fails = sum("fails" in row["classes"] for row in of_chapter)
        verdict = f"{fails} fail{'s' * (fails == 1)}" if fails else "all hold"
        title = app.env.titles[chapter].astext()
        result = fold(kind="claims", name=f"{title}: {len(of_chapter)} claims, {verdict}")
        copy = table.deepcopy()
        for body in copy.findall(nodes.tbody):
            body.children = []
            body += [row.deepcopy() for row in of_chapter]
        result += copy
        folds.append(result)
    return folds


def classes(claim: dict[str, Any], fails: bool) -> list[str]:
    """The classes of one claim."""
    published = bool(claim.get("published")) and claim["source"] != "this book"
    result = ["fails"] * fails + ["published"] * published
    return result + [kind for kind in [claim.get("kind")] if kind in BUTTONS]


def buttons(app: Sphinx, counts: Counter[str]) -> nodes.raw:
    """The choices, and targets for links such as ``#fails``."""
    chosen = "".join(
        f'<button type="button" value="{kind}" aria-pressed="false">{counts[kind]} {words}</button>'
        for kind, words in BUTTONS.items()
        if counts[kind]
    )
    chapters = [name for name in app.env.found_docs if counts[f"in-{name}"]]
    chapters.sort(key=list(dict.fromkeys(k[3:] for k in counts if k.startswith("in-"))).index)
    options = "".join(
        f'<option value="in-{name}">{html.escape(app.env.titles[name].astext())} '
        f"({counts[f'in-{name}']})</option>"
        for name in chapters
    )
    targets = "".join(f'<span id="{kind}"></span>' for kind in BUTTONS if counts[kind])
    return nodes.raw(
        "",
        f'{targets}<form class="board-choice" hidden>{chosen}'
        f'<label>in <select><option value="">all chapters</option>{options}</select></label>'
        f'<output data-all="{counts["all"]}"></output></form>',
        format="html",
    )


def count_sets(app: Sphinx, config: Config) -> None:
    """Make the numbers known to MyST."""
    cells = json.loads(Path(app.srcdir, "scoreboard.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = [
        "".join(output.get("data", {}).get("text/markdown", ()))
        for cell in cells
        if "scoreboard" in cell["metadata"].get("tags", ())
        for output in cell["outputs"]
    ]
    # Below the names of the columns and the line under them.
    data = [row.rsplit("|", 2)[1].rstrip() for text in shown for row in text.splitlines()[2:]]
    images = len(data) - data.count(f" {NOTHING}")
    one = sum(text.endswith(ONE_SET) for text in data)
    numbers = {"on_images": images, "two_sets": images - one, "one_set": one}
    config.myst_substitutions.update(numbers)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("config-inited", count_sets, priority=400)  # before MyST reads its options
    app.connect("doctree-resolved", annotate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
