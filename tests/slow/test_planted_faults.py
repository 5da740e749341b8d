"""A tired author's mistakes, planted one at a time in a copy, and the check that notices each.

A check that nobody has seen failing proves little. Here are faults that cross a boundary: between
the claims and the chapters, what is stored and what it is of, the pins and Binder, the tools and
what they guard, the text and the build. Faults within a function are what `make mutants` plants;
those within a stored chapter, `SPOILED` in test_book.py.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planted
import pytest
from conftest import BOOK, ROOT

from vaelib import _store

Change = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Fault:
    """What the author did to which file of the project, and which test notices."""

    name: str
    file: str
    change: Change
    caught_by: str = ""


# --- ways to spoil a file -----------------------------------------------------------------------


def swap(find: str, replace: str, first: bool = False) -> Change:
    """Replace what is written once (or the first of several)."""

    def change(content: bytes) -> bytes:
        text = content.decode()
        found = text.count(find)
        assert found == 1 or (first and found), f"{find!r} is there {found} times: plant elsewhere"
        return text.replace(find, replace, 1).encode()

    return change


def add(line: str) -> Change:
    """Write one more line at the end."""
    return lambda content: content + f"\n{line}\n".encode()


def in_cells(spoil: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """Change the list of a notebook's cells."""

    def change(content: bytes) -> bytes:
        notebook = json.loads(content)
        spoil(notebook["cells"])
        return json.dumps(notebook, ensure_ascii=False, indent=1).encode()

    return change


def in_cell(text: str, spoil: Callable[[dict[str, Any]], Any]) -> Change:
    """Change the first code cell that has this text."""
    return in_cells(
        lambda cells: spoil(
            next(c for c in cells if c["cell_type"] == "code" and text in "".join(c["source"]))
        )
    )


def in_source(find: str, replace: str) -> Change:
    """Edit the code of a cell and do not run it again."""

    def spoil(cell: dict[str, Any]) -> None:
        cell["source"] = "".join(cell["source"]).replace(find, replace)

    return in_cell(find, spoil)


def in_prose(find: str, replace: str) -> Change:
    """Edit the first text cell in which these words are."""

    def spoil(cells: list[dict[str, Any]]) -> None:
        cell = next(
            c for c in cells if c["cell_type"] == "markdown" and find in "".join(c["source"])
        )
        cell["source"] = "".join(cell["source"]).replace(find, replace, 1)

    return in_cells(spoil)


def in_output(text: str, find: str, replace: str) -> Change:
    """Edit what the first cell with this text has printed."""

    def spoil(cell: dict[str, Any]) -> None:
        written = json.dumps(cell["outputs"], ensure_ascii=False)
        assert find in written
        cell["outputs"] = json.loads(written.replace(find, replace))

    return in_cell(text, spoil)


def run_of(pattern: str, number: int = 0) -> str:
    """A stored run whose name fits."""
    return sorted((ROOT / "book" / "runs").glob(pattern))[number].relative_to(ROOT).as_posix()


def content_of(file: str) -> Change:
    """Put another file in its place."""
    return lambda _: (ROOT / file).read_bytes()


def one_bit(content: bytes) -> bytes:
    """Flip a bit in the middle, as a disk does."""
    spoiled = bytearray(content)
    spoiled[len(spoiled) // 2] ^= 1
    return bytes(spoiled)


def other_weights(file: str, other: str) -> Change:
    """Store the weights of another run beside this one's measurements, properly sealed."""

    def change(content: bytes) -> bytes:
        tensors, description = _store.read(ROOT / file)
        weights = {
            name: value
            for name, value in _store.read(ROOT / other)[0].items()
            if name.startswith("weights/")
        }
        return sealed(tensors | weights, description)

    return change


def sealed(tensors: dict[str, Any], description: str) -> bytes:
    """The bytes of a run as the package would store it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        _store.write(path, tensors, description)
        return path.read_bytes()


# --- the faults ---------------------------------------------------------------------------------


def chapter(name: str) -> str:
    """The file of a chapter."""
    (path,) = BOOK.glob(f"*{name}.ipynb")
    return path.relative_to(ROOT).as_posix()


KL, SPARSITY, SCOREBOARD = (chapter(name) for name in ("kl-derived", "sparsity", "scoreboard"))
ROWS, BIB, BINDER = "book/claims.yml", "book/references.bib", "environment.yml"
VAE2 = "glyphs-vae2-*.run.safetensors"
RUN, OTHER_RUN = run_of(VAE2, 0), run_of(VAE2, 1)
FAULTS = (
    Fault(
        "a claim checked twice",
        KL,
        in_source('claim("kl-', 'claim("law-sixteen", 1)\nclaim("kl-'),
        "test_book.py::test_every_claim_is_checked_by_exactly_one_cell",
    ),
    Fault(
        "a claim that no chapter checks any more",
        SPARSITY,
        in_source('claim("law-sixteen", (off_law <= 0.2).double().mean())\n', ""),
        "test_book.py::test_every_claim_is_checked_by_exactly_one_cell",
    ),
    Fault(
        "a scoreboard from before the last change",
        SCOREBOARD,
        in_output("show_verdicts(", " values)", "0 values)"),
        "test_book.py::test_the_scoreboard_shows_every_claim_as_its_chapter_stored_it",
    ),
    Fault(
        "a page that the table of contents does not list",
        "_toc.yml",
        swap("      - file: notation\n", ""),
        "test_book.py::test_table_of_contents_lists_exactly_the_pages_of_the_book",
    ),
    Fault(
        "a citation key broken in the text",
        SPARSITY,
        in_prose("{cite", "{cite:t}`asperti2918` {cite"),
        "test_book.py::test_citations_are_in_the_bibliography",
    ),
    Fault(
        "a key changed in the bibliography",
        BIB,
        swap("{alemi2018,", "{alemi2017,"),
        "test_book.py::test_citations_are_in_the_bibliography",
    ),
    Fault(
        "a claim's interval widened to everything",
        ROWS,
        swap("accepted: [0.8, 1.2]", "accepted: [null, null]", first=True),
        "test_claims.py::test_the_claims_of_the_book_are_well_formed",
    ),
    Fault(
        "a claim's interval widened until it holds",
        ROWS,
        swap("accepted: [0.99, 1.02]", "accepted: [0.9, 1.2]"),
        "test_book.py::test_claim_lines_say_what_the_file_says",
    ),
    Fault(
        "a claim reworded, its chapter not run again",
        ROWS,
        swap(
            "changes the average pixel by at most two", "changes the average pixel by at most ten"
        ),
        "test_book.py::test_claim_lines_say_what_the_file_says",
    ),
    Fault(
        "two claims with one id",
        ROWS,
        swap("intro-working-knobs:", "intro-silent-knobs:"),
        "test_claims.py::test_the_claims_of_the_book_are_well_formed",
    ),
    Fault(
        "a claim by nobody we know",
        ROWS,
        swap("source: baldi1989", "source: baldi1998"),
        "test_book.py::test_every_claim_says_what_by_whom_and_why",
    ),
    Fault(
        "a run of another experiment renamed",
        RUN,
        content_of(OTHER_RUN),
        f"test_runs.py::test_a_stored_run_is_whole_and_has_its_right_name"
        f"[{Path(RUN).name.removesuffix('.safetensors')}]",
    ),
    Fault(
        "the weights of another seed beside the measurements",
        RUN,
        other_weights(RUN, OTHER_RUN),
        f"test_runs.py::test_the_weights_are_those_that_were_measured"
        f"[{Path(RUN).name.removesuffix('.run.safetensors')}]",
    ),
    Fault(
        "the README's picture from an older introduction",
        "book/_static/overview.png",
        one_bit,
        "test_book.py::test_the_picture_of_the_readme_is_the_one_the_intro_computed",
    ),
    Fault(
        "a pin drifted in Binder's environment",
        BINDER,
        swap("numpy==2.4.6", "numpy==2.4.7"),
        "test_environment.py::test_binder_has_the_versions_of_the_lock",
    ),
    Fault(
        "another Python for Binder",
        BINDER,
        swap("python=3.11", "python>=3.11"),
        "test_environment.py::test_binder_file_is_as_binder_reads_it",
    ),
    Fault(
        "a dependency that is in no lock",
        "pyproject.toml",
        swap('    "pyyaml>=6.0",\n', '    "pandas>=3",\n    "pyyaml>=6.0",\n'),
        "test_environment.py::test_lock_has_every_direct_dependency_at_a_version_it_allows",
    ),
    Fault(
        "a validation that looks away",
        "tools/validate_book.py",
        swap('"--nbval" if strict else', '"--nbval-lax" if strict else'),
        "test_validation.py::test_each_difference_is_shown_as_stored_and_new_and_no_other_cell_fails",
    ),
    Fault(
        "a scoreboard run before the chapters it reads",
        "tools/run_notebooks.py",
        swap('("scoreboard" in path.stem, path)', "path.stem"),
        "test_book.py::test_the_scoreboard_is_stored_after_all_it_reads",
    ),
    Fault(
        "a gate that always opens",
        "tests/gates.py",
        swap("if expects_output(cell) and not cell", "if not expects_output(cell) and not cell"),
        "test_book.py::test_gate_notices[stripped outputs]",
    ),
)


def plant(fault: Fault, project: Path) -> None:
    """Spoil one file of a copy."""
    content = (project / fault.file).read_bytes()
    spoiled = fault.change(content)
    assert spoiled != content
    planted.replace_file(project / fault.file, spoiled)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught(fault: Fault, tmp_path: Path) -> None:
    project = planted.copy_project(tmp_path)
    plant(fault, project)
    options = ("-p", "no:cacheprovider", "-q", "-rfE", "--tb=line")
    status, output = planted.python(project, "-m", "pytest", *options, f"tests/{fault.caught_by}")
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert f"FAILED tests/{fault.caught_by}" in output, output


# --- what only running a chapter shows ----------------------------------------------------------

IN_CHAPTERS = (
    Fault("a stored output edited", KL, in_output("Q, P = Normal(1.0, 0.5)", "1.77", "1.78")),
    Fault(
        "a cell's code changed and not run again",
        KL,
        in_source("sd = torch.tensor([0.01,", "sd = torch.tensor([0.02,"),
    ),
)


@pytest.mark.parametrize("fault", IN_CHAPTERS, ids=lambda fault: fault.name)
def test_a_fault_is_caught_where_the_chapter_is_run(fault: Fault, tmp_path: Path) -> None:
    project = planted.copy_project(tmp_path)
    stored = cells_of(project / KL)
    plant(fault, project)
    pairs = zip(stored, cells_of(project / KL), strict=True)
    (spoiled,) = [new["execution_count"] for old, new in pairs if old != new]
    status, output = planted.python(project, "tools/validate_book.py", Path(KL).stem)
    if "NO MNIST" in output:
        pytest.skip("MNIST is not at hand: numbers are not compared")
    assert status == 1, output
    # That cell, and no other: so on the chapter without the fault all would pass.
    assert re.findall(r"^\S+\.ipynb, In \[(\d+)\]: ", output, re.M) == [str(spoiled)], output


def cells_of(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


# --- what only the build shows ------------------------------------------------------------------

# Each with what the warning says. A build takes half a minute, so they share one.
IN_THE_TEXT = {
    "a citation of nobody": ("{cite}`nobody1999`", "nobody1999"),
    "a section that was renamed": ("{ref}`chap-old`", "undefined label: 'chap-old'"),
    "a figure that was dropped": ("{numref}`fig-old`", "undefined label: 'fig-old'"),
    "an equation that has no number": ("{eq}`eq-old`", "equation not found: eq-old"),
    "a claim that was withdrawn": ("{ref}`so <claim-old>`", "undefined label: 'claim-old'"),
    "a word that the glossary lacks": ("{term}`old word`", "term not in glossary: 'old word'"),
    "a function that was renamed": ("{py:func}`vaelib.old_kl`", "not found: vaelib.old_kl"),
    "a page that was moved": ("[there](old-page.md)", "old-page.md"),
    "a picture that was not stored": ("![a line](_static/old.png)", "old.png"),
    "a directive misspelt": ("```{admonitoin} Note\nSo.\n```", "admonitoin"),
    "a heading two levels down": ("#### Down here", "Non-consecutive header level"),
    "a label given twice": ("(chap-sparsity)=\n## Sparse", "duplicate label chap-sparsity"),
}


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_build_complains_of_every_fault_in_the_text_and_of_nothing_else(tmp_path: Path) -> None:
    project = planted.copy_project(tmp_path)
    for name, (text, _) in IN_THE_TEXT.items():
        plant(Fault(name, "book/notation.md", add(text)), project)
    status, output = planted.make(project, "book")
    assert status, output
    warnings = re.findall(r"^.*(?:WARNING|ERROR): .*$", re.sub(r"\x1b\[[\d;]*m", "", output), re.M)
    for name, (_, says) in IN_THE_TEXT.items():
        assert any(says in warning for warning in warnings), f"{name}: {output}"
    expected = [says for _, says in IN_THE_TEXT.values()]
    assert [w for w in warnings if not any(says in w for says in expected)] == []


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_book_is_built_in_a_folder_with_a_space(tmp_path: Path) -> None:
    project = planted.copy_project(tmp_path / "a book")
    status, output = planted.make(project, "book")
    assert status == 0, output
    assert (project / "_build" / "html" / "index.html").is_file()
    status, output = planted.make(project, "validate", f"CHAPTER={Path(KL).stem}")
    assert status == 0, output
    assert "1 validated" in output
