"""The first cell of each chapter: in Google Colab it fetches the package and the stored runs.

The cell clones the repository and runs this file there. Elsewhere it does nothing, and the pages do
not show it. It must know where the repository is: that is ``repository: url:`` in ``_config.yml``.

usage: colab.py [ADDRESS]      write the cell into every chapter, an address into _config.yml first
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGURED = re.compile(r'(?<=^repository:\n  url: )"(.*)"$', re.M)
SOURCE = """# In Google Colab this fetches vaelib and the stored runs. Elsewhere it does nothing.
import os
from pathlib import Path

REPOSITORY = "{address}"
if "COLAB_RELEASE_TAG" in os.environ and not Path("variable-collapse").exists():
    import runpy
    import subprocess

    assert REPOSITORY, "write the address of the book's repository between the quotation marks"
    subprocess.run(["git", "clone", "-q", "--depth=1", REPOSITORY, "variable-collapse"], check=True)
    runpy.run_path("variable-collapse/tools/colab.py", run_name="in_colab")"""
IDENTIFIER = "colab"


def address() -> str:
    """The repository's address, as it is configured."""
    return CONFIGURED.search((ROOT / "_config.yml").read_text(encoding="utf-8"))[1]


def put(notebook, repository: str) -> None:  # a NotebookNode; nbformat is not needed in Colab
    """Write the cell into a chapter, after its opening; replace it if it is there."""
    from nbformat.v4 import new_code_cell

    cell = new_code_cell(
        SOURCE.format(address=repository), id=IDENTIFIER, metadata={"tags": ["remove-cell"]}
    )
    old = [other for other in notebook.cells if other.get("id") == IDENTIFIER]
    if old:
        old[0].source = cell.source
    else:
        notebook.cells.insert(1, cell)


def install() -> None:
    """Install the package and what chapters need from this checkout, for the running kernel too."""
    command = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*command, "--editable", f"{ROOT}[lab,book]"], check=True)
    sys.path.insert(0, str(ROOT))  # else only the next kernel would see it
    importlib.invalidate_caches()


def main() -> None:
    """Write the cell into every chapter."""
    import nbformat

    if len(sys.argv) > 1:
        path = ROOT / "_config.yml"
        text = path.read_text(encoding="utf-8")
        path.write_text(CONFIGURED.sub(f'"{sys.argv[1]}"', text), encoding="utf-8")
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        put(notebook, address())
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
elif __name__ == "in_colab":
    install()
