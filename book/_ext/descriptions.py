"""What a link to a chapter says elsewhere is the question by which the start page introduces it.

Without this a description is the chapter's first paragraph, formulas and citations and all.
"""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROW = re.compile(r"^\| \{ref\}`(?P<label>[\w-]+)` \| (?P<question>[^|]+) \|", re.MULTILINE)


def questions(start: Path) -> dict[str, str]:
    """The question of each chapter, by the chapter's label, from the table of the start page."""
    cells = json.loads(start.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return {row["label"]: row["question"].strip() for row in ROW.finditer(text)}


def describe(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Leave each chapter's question where sphinxext.opengraph looks for a description."""
    labels = env.get_domain("std").labels  # type: ignore[attr-defined]
    for label, question in questions(Path(app.srcdir) / "index.ipynb").items():
        docname, *_ = labels[label]
        env.metadata[docname]["og:description"] = question
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("env-updated", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
