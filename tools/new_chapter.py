"""Start a chapter: its frame, its line in _toc.yml and its row in README.md.

usage: new_chapter.py NAME TITLE      as in: new_chapter.py small-data "Few images"
"""

import re
import sys
from pathlib import Path

import colab
import run_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
LAST = "scoreboard"  # the new chapter is put before it

HEAD = """(chap-{name})=
# {title}

:::{{opening}} fig-{name}
*{question}* TO DO: one more sentence on the question.

**Needed:** {{ref}}`chap-vae`. TO DO: what else must a reader know?
:::"""
QUESTION = "TO DO: what does this chapter ask?"
IMPORTS = """from vaelib import load
from vaelib.book import table, use_style
from vaelib.lab import Experiment

use_style()
data = load("mnist")"""
SECTION = """## TO DO: a section

TO DO: ask, let the reader guess, run, look, explain."""
EXPERIMENT = """few = Experiment(dataset=data.name, hidden=(32,), latent=4, epochs=1, images=2_000)
run = few.run()
table({"variable": range(4), "KL (nats)": run.statistics.kl})"""
CLOSE = """## What we measured

TO DO: claims from `book/claims.yml` in a cell with the tag `nbval-check-output`, and a cell
`table(claim_values())`.

## Exercises

:::{exercise}
TO DO: a task.
:::

:::{admonition} Solution
:class: dropdown
TO DO: its solution. Cells that follow belong to it, up to the next exercise or section.
:::

## Further reading

TO DO: works from `book/references.bib`, as {cite:t}`kingma2014`."""


def insert(path: Path, line: str, before: str) -> None:
    """Insert a line before the one line that contains a text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    (place,) = (number for number, other in enumerate(lines) if before in other)
    lines.insert(place, line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def start(root: Path, name: str, title: str) -> Path:
    """Write the chapter, and name it where chapters are named."""
    chapter = root / "book" / f"{name}.ipynb"
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name) or chapter.exists() or not title:
        raise SystemExit(
            f"NAME and TITLE: expected a new name of lower-case letters and hyphens, and a title; "
            f"got {name!r} and {title!r}"
        )
    cells = [
        new_markdown_cell(HEAD.format(name=name, title=title, question=QUESTION)),
        new_code_cell(IMPORTS),
        new_markdown_cell(SECTION),
        new_code_cell(EXPERIMENT),
        new_markdown_cell(CLOSE),
    ]
    notebook = new_notebook(cells=cells)
    colab.put(notebook, colab.address())
    run_notebooks.store(notebook, chapter)
    insert(root / "_toc.yml", f"      - file: {name}", f"file: {LAST}")
    insert(root / "README.md", f"| [{title}](book/{name}.ipynb) | {QUESTION} |", f"book/{LAST}.")
    return chapter


def main() -> None:
    """Start the chapter named on the command line."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    name = sys.argv[1]
    chapter = start(ROOT, *sys.argv[1:])
    print(
        f"{chapter.relative_to(ROOT)} is in _toc.yml and README.md, before the {LAST}: "
        "move both lines to where it belongs.\n"
        f"`grep -n 'TO DO' book/{name}.ipynb README.md` lists what is to be filled in. Then:\n"
        f"  make notebooks CHAPTER={name}    # trains what is missing, on both data sets\n"
        f"  make notebooks CHAPTER={LAST}    # if it makes claims\n"
        "  make book unit"
    )


if __name__ == "__main__":
    main()
