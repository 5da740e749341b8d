"""What somebody needs who finds the project: how to cite, to take part, to rely on a release."""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import rehearse_binder as rehearsal

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*-*.yml"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- citing ---------------------------------------------------------------------------------------

# Of version 1.2.0 of the schema, which allows no others.
CITATION_KEYS = {
    *("abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi"),
    *("identifiers", "keywords", "license", "license-url", "message", "preferred-citation"),
    *("references", "repository", "repository-artifact", "repository-code", "title", "type"),
    *("url", "version"),
}


def test_the_citation_is_of_this_version() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys() <= CITATION_KEYS
    assert CITATION["version"] == VERSION
    assert CITATION["title"] == yaml.safe_load(text("_config.yml"))["title"]


def test_the_citation_names_the_work_the_book_follows() -> None:
    for work in CITATION["references"]:
        assert {"type", "title", "authors"} <= work.keys()
    first = CITATION["references"][0]
    assert (first["authors"][0]["family-names"], first["year"]) == ("Asperti", 2019)
    bibliography = text("book/references.bib")
    for work in CITATION["references"]:
        assert work["title"] in bibliography


# --- licences -------------------------------------------------------------------------------------


def test_the_code_is_under_the_mit_licence_alone() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    lines = text("LICENSE").splitlines()
    assert lines[0] == "MIT License"
    assert lines[-1] == "SOFTWARE."
    assert "Creative Commons" not in text("LICENSE")
    assert CITATION["license"] == "MIT"


def test_the_licence_of_the_text_is_whole_and_says_what_it_covers() -> None:
    said, _, licence = text("LICENSE-TEXT").partition("\nAttribution 4.0 International\n")
    assert [f"Section {n} -- " in licence for n in range(1, 9)] == [True] * 8
    for name in re.findall(r"\b[\w*./-]+/[\w*.-]*\b/?", said):
        assert list(ROOT.glob(name.rstrip("/"))), name


def test_the_readme_names_both_licences() -> None:
    assert "`LICENSE`" in text("README.md")
    assert "`LICENSE-TEXT`" in text("README.md")


# --- changes and releases -------------------------------------------------------------------------

SECTION = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", re.M)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_changelog_has_a_section_for_this_version_first() -> None:
    sections = SECTION.findall(text("CHANGELOG.md"))
    assert len(sections) == text("CHANGELOG.md").count("\n## ")
    assert sections[0][0] == VERSION
    assert "unreleased" not in dict(sections[1:]).values()


def test_the_changelog_sorts_by_kind() -> None:
    assert set(re.findall(r"^### (.*)$", text("CHANGELOG.md"), re.M)) <= KINDS


def release_notes(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Run the step of the release that checks the versions and writes the notes."""
    jobs = yaml.safe_load(text(".github/workflows/release.yml"))["jobs"]
    step = next(step for step in jobs["build"]["steps"] if step.get("name") == "notes")
    return subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=folder,
        env=os.environ | {"GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A project whose changelog has a date, and an older section."""
    (tmp_path / "pyproject.toml").write_text(text("pyproject.toml"))
    log = text("CHANGELOG.md").replace("- unreleased", "- 2026-12-01")
    (tmp_path / "CHANGELOG.md").write_text(log + "\n## [0.0.1] - 2026-01-01\n\n- Old.\n")
    return tmp_path


def test_a_release_takes_its_notes_from_its_section(released: Path) -> None:
    assert release_notes(released, f"v{VERSION}").returncode == 0
    notes = (released / "_build" / "release" / "notes.md").read_text()
    assert "### Added" in notes
    assert "## [" not in notes
    assert "- Old." not in notes


def test_a_tag_that_is_not_the_version_makes_no_release(released: Path) -> None:
    for tag in ("v0.0.1", "v0", f"v{VERSION}0", "v"):
        found = release_notes(released, tag)
        assert found.returncode == 1, tag
        assert "is not the version" in found.stdout


def test_what_is_unreleased_makes_no_release(released: Path) -> None:
    log = text("CHANGELOG.md").replace("- 2026-12-01", "- unreleased")
    (released / "CHANGELOG.md").write_text(log)
    assert "has no section" in release_notes(released, f"v{VERSION}").stdout


# --- taking part ----------------------------------------------------------------------------------

GUIDE = text("CONTRIBUTING.md")
# Names that the guide makes up, of what a contributor would add.
MADE_UP = re.compile(r"small-data|bar-heights|NN-name")
FILE = re.compile(r"\.?[\w-]+(?:/[\w.*-]+)*\.(?:ipynb|py|yml|md|js|css|bib|toml|cff)\b|[\w./-]+/")


def code(document: str) -> list[str]:
    """What stands in code spans and in blocks of code."""
    blocks = re.findall(r"^ *```.*?\n(.*?)^ *```", document, re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", document, flags=re.M | re.S))
    return [*blocks, *spans]


MAKE = re.compile(r"\bmake ([a-z]+)\b")


def make_targets(document: str) -> set[str]:
    return {name for part in code(document) for name in MAKE.findall(part)}


def runs(folder: Path) -> list[str]:
    """What the workflows run."""
    workflows = [yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")]
    jobs = [job for workflow in workflows for job in workflow["jobs"].values()]
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_every_file_the_guide_names_exists() -> None:
    spans = [part for part in code(GUIDE) if "\n" not in part and not MADE_UP.search(part)]
    blocks = [part for part in code(GUIDE) if "\n" in part]
    commands = [w for b in blocks for w in re.findall(r"\b(?:tests|book|tools)/[\w./-]+", b)]
    named = [part for part in spans if FILE.fullmatch(part)] + commands
    assert len(named) > 20
    places = (ROOT, ROOT / "book", ROOT / "book" / "_static" / "explorables")
    missing = {
        name
        for name in named
        if not MADE_UP.search(name) and not any(list(folder.glob(name)) for folder in places)
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("vaelib/experiment.py", ["_KINDS", "__post_init__", "_train", "_objective", "_by_hand"]),
        ("tests/test_experiment.py", ["OTHER", "FIELDS", "reference", "reference_loss"]),
        ("tools/explorables.py", ["EXPLORABLES", "SIXTEEN", "rounded"]),
        ("tests/test_explorables_data.py", ["stored"]),
        ("book/_static/explorables/core.js", ["register", "status", "slider", "digits", "calm"]),
    ],
)
def test_every_name_of_the_code_in_the_guide_exists(file: str, names: list[str]) -> None:
    for name in names:
        assert re.search(rf"\b{name}\b", GUIDE), name
        assert re.search(rf"\b{name}\b", text(file)), name


def test_the_claim_in_the_guide_is_one(tmp_path: Path) -> None:
    from vaelib.claims import load_claims

    block = next(part for part in code(GUIDE) if "accepted: [" in part)
    (tmp_path / "claims.yml").write_text(block)
    assert list(load_claims(tmp_path / "claims.yml")) == ["small-data-active"]


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".github/workflows"]
)
def test_every_target_that_is_named_exists(name: str) -> None:
    if (ROOT / name).is_dir():
        named = {target for run in runs(ROOT / name) for target in MAKE.findall(run)}
    else:
        named = make_targets(text(name))
    known = set(re.findall(r"^([a-z]+):", text("Makefile"), re.M))
    assert named - known == set()
    assert named


# --- reporting ------------------------------------------------------------------------------------

ELEMENTS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (
        {"name", "description", "body"} <= form.keys() <= {"name", "description", "title", "body"}
    )
    elements = form["body"]
    ids = [element["id"] for element in elements]
    assert len(set(ids)) == len(ids)
    for element in elements:
        assert element["type"] in ELEMENTS
        assert element["attributes"]["label"]
        assert ("options" in element["attributes"]) == (element["type"] == "dropdown")
    assert any(element.get("validations", {}).get("required") for element in elements)


def test_there_is_a_form_for_each_kind_of_report() -> None:
    assert {path.stem for path in FORMS} == {"wrong-claim", "does-not-run", "error-in-the-text"}


# --- the rehearsal of Binder ----------------------------------------------------------------------

MEGABYTE = 1_000_000


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_rehearsal_installs_what_binder_would() -> None:
    section = rehearsal.pip_section(text("environment.yml"))
    assert "-e ." in section
    assert rehearsal.python_version(text("environment.yml")) == "3.11"


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="measured as Linux reports it")
# 80 MB here, and as much in a process of its own.
HOLD = "x = bytearray(80_000_000); time.sleep(1)"
BOTH = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; {HOLD}"], start_new_session=True)
{HOLD}
child.wait()
"""


@needs_linux
def test_the_memory_of_all_processes_together_is_measured() -> None:
    peak, seconds, why = rehearsal.watch(python(BOTH), dict(os.environ))
    assert why == ""
    assert 160 * MEGABYTE < peak < 300 * MEGABYTE
    assert seconds > 1


@needs_linux
def test_what_needs_too_much_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    late = tmp_path / "late"
    code = BOTH.replace("time.sleep(1)", f"time.sleep(3); open('{late}', 'w')")
    _, seconds, why = rehearsal.watch(python(code), dict(os.environ), limit=120 * MEGABYTE)
    assert "more than 0.12 GB" in why
    assert seconds < 3
    time.sleep(3.5)
    assert not late.exists()


@needs_linux
def test_what_takes_too_long_is_stopped() -> None:
    code = python("import time; time.sleep(60)")
    _, seconds, why = rehearsal.watch(code, dict(os.environ), timeout=0.5)
    assert "more than 0.5 seconds" in why
    assert seconds < 10


@needs_linux
def test_a_rehearsal_has_one_core() -> None:
    code = "import os, sys, time; time.sleep(.2); sys.exit(str(len(os.sched_getaffinity(0))))"
    assert rehearsal.watch(python(code), dict(os.environ))[2] == "1"


CLAIM = 'print("✓ holds · tiny")'
CHAPTERS = {
    "good": (CLAIM, "✓ holds · tiny\n", ""),
    "another-verdict": (CLAIM, "✗ FAILS · tiny\n", "the verdicts are not those that are stored"),
    "raises": ("1 / 0", "", "a cell raised ZeroDivisionError: division by zero"),
    "dies": ("import os; os._exit(1)", "", "the kernel died, as it does without memory"),
}


@needs_linux
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_must_run_and_give_the_stored_verdicts(name: str, tmp_path: Path) -> None:
    source, stored, expected = CHAPTERS[name]
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": [rehearsal.CLAIM_CELL]})
    cell.outputs = [nbformat.v4.new_output("stream", text=stored)]
    chapter = tmp_path / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), chapter)
    before = chapter.read_bytes()
    rehearsal.add_kernel(tmp_path, Path(sys.executable))
    settings = {key: os.environ[key] for key in rehearsal.KEPT_SETTINGS if key in os.environ}
    settings["JUPYTER_PATH"] = str(tmp_path / "jupyter")
    found = rehearsal.rehearse(chapter, [], settings)
    assert (found.chapter, found.failed) == (name, expected)
    assert chapter.read_bytes() == before


def test_the_result_is_a_table_that_markdown_can_show() -> None:
    bad = rehearsal.Rehearsal("02", 2_001, 3.0, "stopped: a | b\nc")
    shown = rehearsal.table([rehearsal.Rehearsal("01", 900, 12.34), bad])
    assert shown.splitlines()[2:] == [
        "| 01 | 900 | 12.3 | ran |",
        "| 02 | 2001 | 3.0 | stopped: a   b c |",
    ]
