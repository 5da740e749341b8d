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
    """Take the solutions out of a chapter, and the cells of code that follow each."""
    kept, solved = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # The cells after a solution that ends the text are its own, as in the page.
            ends = [solution.end() for solution in SOLUTION.finditer(cell.source)]
            solved = bool(ends) and not cell.source[ends[-1] :].strip()
            cell.source = SOLUTION.sub("", cell.source).rstrip()
            # Pictures are where they were.
            cell.source = cell.source.replace("](_static/", "](../../book/_static/")
        if cell.cell_type == "markdown" or not solved:
            kept.append(cell)
    notebook.cells = kept


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
