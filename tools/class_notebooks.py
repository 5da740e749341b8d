"""Write the chapters without their solutions, for a class, to _build/class/.

usage: class_notebooks.py [PART_OF_A_NAME ...]      no argument: every chapter
"""

import re
import sys
from pathlib import Path

import nbformat
import run_notebooks

ROOT = Path(__file__).resolve().parent.parent
CLASS = ROOT / "_build" / "class"
SOLUTION = re.compile(r"^:::\{admonition\} Solution\n:class: dropdown\n.*?^:::\n*", re.M | re.S)


def without_solutions(notebook: nbformat.NotebookNode) -> None:
    """Take the folded cells and the folded solutions out of a chapter."""
    notebook.cells = [
        cell for cell in notebook.cells if "hide-cell" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = SOLUTION.sub("", cell.source).rstrip()
            # Pictures are where they were.
            cell.source = cell.source.replace("](_static/", "](../../book/_static/")


def main() -> None:
    """Write the chapters named on the command line."""
    CLASS.mkdir(parents=True, exist_ok=True)
    for path in run_notebooks.chapters(sys.argv[1:]):
        notebook = nbformat.read(path, as_version=4)
        without_solutions(notebook)
        nbformat.write(notebook, CLASS / path.name)
        print((CLASS / path.name).relative_to(ROOT))


if __name__ == "__main__":
    main()
