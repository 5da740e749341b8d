"""The validation of chapters bites, says where and why, and forgets nothing that has changed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import run_notebooks
import runs
import validate_book

FIGURE = """from matplotlib import pyplot
from vaelib.book import use_style
use_style()
pyplot.plot([0, 1, 2], [0, 1, 4], label="square")
pyplot.legend()
pyplot.show()"""
CLAIM = "nbval-check-output"
SOURCES = {"1 + 1": [], "print(1)": [], 'print("✓ holds · tiny")': [CLAIM], FIGURE: []}
# What is changed of what is stored, and what is to be said of it.
CHANGED = {
    "In [1]": ('"2"', '"3"', ["-3", "+2"]),
    "In [2]": ('"1\\n"', '"7\\n"', ["-7", "+1"]),
    "In [3]": ("✓ holds", "✗ FAILS", ["-✗ FAILS · tiny", "+✓ holds · tiny"]),
    "In [4]": (
        ">square<",
        ">cube<",
        ["the figure differs: svg > text[19]: stored 'cube', new 'square'"],
    ),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chapter of four cells, stored by the tool that stores the book's."""
    notebook = nbformat.v4.new_notebook()
    for source, tags in SOURCES.items():
        metadata = {"tags": tags} if tags else {}
        notebook.cells.append(nbformat.v4.new_code_cell(source, metadata=metadata))
    path = tmp_path_factory.mktemp("stored") / "tiny.ipynb"
    nbformat.write(notebook, path)
    run_notebooks.run(path)
    return path


def spoiled(stored: Path) -> nbformat.NotebookNode:
    """What is stored, then the same with changed outputs, then cells that raise and warn."""
    true, notebook = (nbformat.read(stored, as_version=4) for _ in range(2))
    for cell, (old, new, _) in zip(notebook.cells, CHANGED.values(), strict=False):
        text = json.dumps(cell.outputs, ensure_ascii=False)
        assert old in text
        cell.outputs = nbformat.from_dict(json.loads(text.replace(old, new)))
    for number, cell in enumerate(true.cells):
        cell.update(id=f"true-{number}", execution_count=100 + number)
    for number, source in ((5, "1 / 0"), (6, "import sys\nprint('no font', file=sys.stderr)")):
        notebook.cells.append(nbformat.v4.new_code_cell(source, execution_count=number))
    notebook.cells = true.cells + notebook.cells
    return notebook


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """That of a validation, on a machine where matplotlib would complain on stderr."""
    rc = tmp_path_factory.mktemp("personal") / "rc"
    rc.write_text("font.family: No Such Font\n")
    personal = {"MATPLOTLIBRC": str(rc), "MPLCONFIGDIR": "/proc/nobody", "PYTHONWARNINGS": "always"}
    patch = pytest.MonkeyPatch()
    for name, value in personal.items():
        patch.setenv(name, value)
    with validate_book.surroundings() as environment:
        patch.undo()
        assert validate_book.dataset(environment | {"VAELIB_DATASET": "glyphs"}) == "glyphs"
        yield environment


def reports(
    strict: bool, notebook: nbformat.NotebookNode, folder: Path, environment: dict[str, str]
) -> dict[str, list[str]]:
    """Validate a notebook; return what is said of each cell that failed, by Jupyter's number."""
    nbformat.write(notebook, folder / "spoiled.ipynb")
    result = subprocess.run(
        validate_book.command(strict, ["spoiled.ipynb"]),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    said = result.stdout.partition("short test summary")[0]
    parts = re.split(r"^spoiled\.ipynb, (In \[\d+\]): ", said, flags=re.M)[1:]
    return {cell: text.splitlines() for cell, text in zip(parts[::2], parts[1::2], strict=True)}


def test_each_difference_is_shown_as_stored_and_new_and_no_other_cell_fails(
    tiny: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    found = reports(True, spoiled(tiny), tmp_path, environment)
    assert list(found) == [*CHANGED, "In [5]", "In [6]"]
    for cell, (*_, lines) in CHANGED.items():
        shown = r"[-+](?![-+])|the figure"
        assert [line for line in found[cell] if re.match(shown, line)] == lines
    assert any("ZeroDivisionError" in line for line in found["In [5]"])
    assert "+no font" in found["In [6]"]


def test_without_mnist_numbers_may_differ_and_verdicts_may_not(
    tiny: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert list(reports(False, spoiled(tiny), tmp_path, environment)) == ["In [3]", "In [5]"]


def test_storing_a_chapter_twice_changes_nothing(tiny: Path) -> None:
    before = tiny.read_bytes()
    run_notebooks.run(tiny)
    assert tiny.read_bytes() == before


def test_validation_forbids_training() -> None:
    with validate_book.surroundings() as environment:
        assert environment["VAELIB_TRAIN"] == "never"


# --- stamps ---------------------------------------------------------------------------------------


RUN = "book/runs/a.run.safetensors"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two chapters, one of which reads a run; what stands for pytest reads them."""
    code = "import sys; chapter = sys.argv[1]; open(chapter).read(); run = ''\n"
    code += "if 'reader' in chapter: run = open('book/runs/a.run.safetensors').read()\n"
    code += "print('1 passed in 2 s'); sys.exit(run == 'bad')"
    monkeypatch.setattr(validate_book, "ROOT", tmp_path)
    monkeypatch.setattr(validate_book, "STAMPS", tmp_path / "_build")
    monkeypatch.setattr(validate_book, "dataset", lambda _: "mnist")
    monkeypatch.setattr(
        validate_book, "command", lambda _, targets: [sys.executable, "-c", code, *targets]
    )
    for name in ("book/plain.ipynb", "book/reader.ipynb", RUN, "vaelib/x.py"):
        write(tmp_path / name, "old")
    return tmp_path


def write(path: Path, text: str) -> None:
    """Write a file, as of long ago: it is the content that counts."""
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    os.utime(path, (0, 0))


def test_only_what_depends_on_a_change_is_run_again(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def validated(*arguments: str) -> tuple[int, set[str]]:
        """Exit status, and which chapters were run."""
        status = validate_book.main(arguments)
        out = capsys.readouterr().out
        return status, set(re.findall(r"^(\w+): (?:1 passed|FAILED)", out, re.M))

    assert validated() == (0, {"plain", "reader"})
    assert validated() == (0, set())
    assert validated("plain", "--again") == (0, {"plain"})
    write(project / RUN, "bad")
    assert validated() == (1, {"reader"})
    assert validated("reader") == (1, {"reader"})  # what failed is not taken as done
    write(project / RUN, "new")
    assert validated() == (0, {"reader"})
    write(project / "vaelib" / "more.py", "")
    assert validated("plain") == (0, {"plain"})


def test_a_run_that_is_not_stored_in_the_book_fails(
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    elsewhere = tmp_path_factory.mktemp("cache") / "b.safetensors"
    write(elsewhere, "")
    code = f"open({str(elsewhere)!r}).read(); print('1 passed in 2 s')"
    monkeypatch.setattr(validate_book, "command", lambda *_: [sys.executable, "-c", code])
    assert validate_book.main([]) == 1
    assert str(elsewhere) in capsys.readouterr().out


def test_a_run_that_nobody_reads_is_listed_and_deleted_only_when_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        runs.main(arguments)
        return capsys.readouterr().out

    monkeypatch.setattr(runs, "ROOT", project)
    monkeypatch.setattr(runs, "BOOK", project / "book")
    unread = project / "book" / "runs" / "b.run.safetensors"
    write(unread, "")
    assert validate_book.main([]) == 0
    with pytest.raises(SystemExit, match="Nothing is deleted"):
        said("prune", "--yes")  # what the chapters read on glyphs is not known
    monkeypatch.setattr(validate_book, "dataset", lambda _: "glyphs")
    assert validate_book.main([]) == 0
    capsys.readouterr()
    assert re.findall(r"(\S+)\.run  (.*)", said()) == [("a", "reader"), ("b", "nobody")]
    assert said("prune").startswith("book/runs/b.run.safetensors\n1 ")
    assert unread.exists()
    said("prune", "--yes")
    assert [path.name for path in unread.parent.iterdir()] == ["a.run.safetensors"]
