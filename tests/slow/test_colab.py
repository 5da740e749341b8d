"""Chapters run alone, in an empty folder, where they believe themselves in Google Colab.

The environment is one with everything but the package: it sees the distributions of this one, and
pip may neither download nor change them. The repository is a copy of this checkout.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import colab

ROOT = colab.ROOT
# One whose cells only draw, one that trains nothing but needs many runs, one that reads the others.
CHAPTERS = ("index", "sparsity", "scoreboard")
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read("chapter.ipynb", as_version=4)
code = "import vaelib; print('vaelib is', vaelib.__file__)"
notebook.cells.append(nbformat.v4.new_code_cell(code))
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
print(notebook.cells[-1].outputs[0].text)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the files of this checkout, as they are now."""
    folder = tmp_path_factory.mktemp("git") / "book"
    folder.mkdir()
    listed = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    for name in subprocess.check_output(listed, text=True).split("\0")[:-1]:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment, which sees what is installed here but not this package."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # Named in a .pth file, a folder's own .pth files do not count: so not the editable vaelib.
    (site / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_alone(name: str, repository: Path, python: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4)
    colab.put(notebook, repository.as_uri())
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VAELIB_RUNS") and not name.startswith("PIP_")
    } | {
        "COLAB_RELEASE_TAG": "release-colab",
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home"),
        "VAELIB_TRAIN": "never",  # every run must have come with the repository
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # which means none
        "OMP_NUM_THREADS": "1",
    }
    answer = subprocess.run(
        [python, "-c", RUN], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert f"vaelib is {tmp_path}/variable-collapse/vaelib/__init__.py" in answer.stdout
