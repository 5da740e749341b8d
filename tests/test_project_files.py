"""Files about the project agree: versions, licences, citation, changelog, guide, forms."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.version import Version

sys.path.insert(0, str(ROOT / "tools"))
import lock


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(text("pyproject.toml"))
VERSION = PROJECT["project"]["version"]
CITATION = yaml.safe_load(text("CITATION.cff"))
GUIDE = text("CONTRIBUTING.md")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*-*.yml"))

# --- versions -------------------------------------------------------------------------------------


def direct() -> list[Requirement]:
    """What pyproject.toml asks for, extras and groups included."""
    lists = [
        PROJECT["project"]["dependencies"],
        PROJECT["build-system"]["requires"],
        *PROJECT["project"]["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    return [Requirement(line) for lines in lists for line in lines if isinstance(line, str)]


def test_the_lock_has_every_direct_dependency_at_a_version_it_allows() -> None:
    pins = lock.read(lock.LOCK)
    for requirement in direct():
        name = lock.canonical(requirement.name)
        assert name in pins, f"{name} is not in requirements.lock: make lock PACKAGE={name}"
        assert Version(pins[name]) in requirement.specifier, name


def test_the_lock_holds_nothing_but_exact_versions_for_all_platforms() -> None:
    pins = lock.read(lock.LOCK)
    lines = [line for line in text("requirements.lock").splitlines() if not line.startswith("#")]
    assert lines == [f"{name}=={version}" for name, version in sorted(pins.items())]
    assert not [name for name in pins if lock.PLATFORM.match(name)]
    assert not [version for version in pins.values() if "+" in version]


def test_exact_versions_are_in_the_lock_alone() -> None:
    assert not [str(one) for one in direct() if "==" in str(one.specifier)]


def test_binders_environment_is_made_from_the_lock() -> None:
    assert text("environment.yml") == lock.environment(lock.read(lock.LOCK))
    packages = yaml.safe_load(text("environment.yml"))["dependencies"]
    assert "python=3.11" in packages
    assert {"-e .", "--extra-index-url https://download.pytorch.org/whl/cpu"} <= {
        *packages[-1]["pip"]
    }


def test_the_core_needs_torch_and_numpy_and_a_reader_neither() -> None:
    core = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    assert core == {"numpy", "torch"}
    assert not core & {Requirement(line).name for line in PROJECT["dependency-groups"]["book"]}


NEWEST = {"joblib": "9.1", "torch": "9.2", "numpy": "9.3", "nvidia-cublas": "9.4", "vaelib": "9.5"}


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (["Joblib"], {"joblib": "9.1", "numpy": "1.3", "torch": "1.2"}),
        ([], {"joblib": "9.1", "numpy": "9.3", "torch": "9.2"}),
    ],
)
def test_only_the_named_packages_move(
    packages: list[str],
    expected: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a pip that takes the newest version of what is not constrained."""

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        versions = NEWEST | lock.read(Path(command[command.index("-c") + 1]))
        items = [
            {"metadata": {"name": n, "version": f"{v}+cpu" if n == "torch" else v}}
            for n, v in versions.items()
        ]
        return subprocess.CompletedProcess(command, 0, json.dumps({"install": items}))

    monkeypatch.setattr(lock.subprocess, "run", pip)
    monkeypatch.setattr(lock, "environment", str)
    for name in ("LOCK", "ENVIRONMENT"):
        monkeypatch.setattr(lock, name, tmp_path / name)
    lock.LOCK.write_text("# a lock\njoblib==1.1\nnumpy==1.3\ntorch==1.2\n")
    lock.main(packages)
    assert lock.read(lock.LOCK) == expected
    assert lock.ENVIRONMENT.read_text() == str(expected)


def test_make_lock_does_not_install_with_the_old_lock() -> None:
    plan = subprocess.check_output(["make", "-n", "lock", "VENV=/nowhere"], cwd=ROOT, text=True)
    assert "tools/lock.py" in plan
    assert "--group" not in plan


def test_no_file_of_mnist_in_the_project() -> None:
    ignored = {".venv", ".git", "_build"}
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*-ubyte*"))
    assert [path for path in files if not ignored & set(path.parts)] == []


# --- citing and licences --------------------------------------------------------------------------

# Of version 1.2.0 of the schema, which allows no others.
CITATION_KEYS = """abstract authors cff-version commit contact date-released doi identifiers
keywords license license-url message preferred-citation references repository repository-artifact
repository-code title type url version"""


def test_the_citation_is_of_this_version_and_names_the_work_the_book_follows() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys() <= set(CITATION_KEYS.split())
    assert CITATION["version"] == VERSION
    assert CITATION["title"] == yaml.safe_load(text("_config.yml"))["title"]
    for work in CITATION["references"]:
        assert {"type", "title", "authors"} <= work.keys()
        assert work["title"] in text("book/references.bib")
    assert CITATION["references"][0]["authors"][0]["family-names"] == "Asperti"


def test_code_and_text_have_their_licences() -> None:
    project = PROJECT["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert CITATION["license"] == "MIT"
    assert text("LICENSE").startswith("MIT License\n")
    assert text("LICENSE").endswith("SOFTWARE.\n")
    scope, _, licence = text("LICENSE-TEXT").partition("\nAttribution 4.0 International\n")
    assert all(f"Section {n} -- " in licence for n in range(1, 9))
    for name in re.findall(r"\b[\w*./-]+/[\w*.-]*\b/?", scope):
        assert list(ROOT.glob(name.rstrip("/"))), name
    assert all(f"`{name}`" in text("README.md") for name in ("LICENSE", "LICENSE-TEXT"))


# --- changes and releases -------------------------------------------------------------------------


def test_the_changelog_has_a_section_for_this_version_first() -> None:
    log = text("CHANGELOG.md")
    heads = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", log, re.M)
    assert len(heads) == log.count("\n## ")
    assert heads[0][0] == VERSION
    assert "unreleased" not in dict(heads[1:]).values()
    assert str(CITATION.get("date-released", "unreleased")) == heads[0][1]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", log, re.M)) <= kinds


@pytest.mark.parametrize(
    ("tag", "date", "message"),
    [
        (f"v{VERSION}", "2026-12-01", ""),
        (f"v{VERSION}0", "2026-12-01", "is not the version"),
        ("v", "2026-12-01", "is not the version"),
        (f"v{VERSION}", "unreleased", "has no section"),
    ],
)
def test_a_release_takes_its_notes_from_its_section(
    tag: str, date: str, message: str, tmp_path: Path
) -> None:
    jobs = yaml.safe_load(text(".github/workflows/release.yml"))["jobs"]
    step = next(step["run"] for step in jobs["build"]["steps"] if step.get("name") == "notes")
    (tmp_path / "pyproject.toml").write_text(text("pyproject.toml"))
    log = f"# Changelog\n\n## [{VERSION}] - {date}\n\n- New.\n\n## [0.0.1] - 2026-01-01\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    settings = os.environ | {"GITHUB_REF_NAME": tag}
    command = ["bash", "-e", "-c", step]
    result = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert result.returncode == bool(message)
    if message:
        assert message in result.stdout
    else:
        assert (tmp_path / "_build/release/notes.md").read_text().strip() == "- New."


# --- taking part ----------------------------------------------------------------------------------

# Of what a contributor would add.
MADE_UP = re.compile(r"NAME|small-data|bar-heights|NN-name")
FILE = re.compile(r"\.?[\w-]+(?:/[\w.*-]+)*\.(?:ipynb|py|yml|md|js|css|bib|toml|cff)|[\w./-]+/")


def code(document: str) -> tuple[list[str], list[str]]:
    """What is in code spans and in blocks of code."""
    blocks = re.findall(r"^ *```.*?\n(.*?)^ *```", document, re.M | re.S)
    return re.findall(
        r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", document, flags=re.M | re.S)
    ), blocks


def test_every_file_the_guide_names_exists() -> None:
    spans, blocks = code(GUIDE)
    names = {span for span in spans if FILE.fullmatch(span)}
    names |= {w for block in blocks for w in re.findall(r"\b(?:tests|book|tools)/[\w./-]+", block)}
    names = {name for name in names if not MADE_UP.search(name)}
    places = (ROOT, ROOT / "book", ROOT / "book/_static/explorables", *(ROOT / "vaelib").rglob(""))
    assert {name for name in names if not any(list(place.glob(name)) for place in places)} == set()
    assert len(names) > 10


def test_every_name_of_the_code_in_the_guide_exists() -> None:
    names = {name for span in code(GUIDE)[0] for name in re.findall(r"^(?:\w+\.)*(\w+)\(?", span)}
    sources = [
        path.read_text(encoding="utf-8")
        for path in [ROOT / "Makefile", *(ROOT / ".ci").iterdir(), *ROOT.glob("*.*")]
        + [p for f in ("vaelib", "tests", "tools", "book") for p in (ROOT / f).rglob("*.*")]
        if path.suffix in ("", ".py", ".js", ".ipynb", ".yml", ".toml", ".lock") and path.is_file()
    ]
    words = set(re.findall(r"\w+", "\n".join(sources)))
    assert {name for name in names - words if not MADE_UP.search(name)} == set()


def test_every_name_of_code_in_the_notation_exists() -> None:
    package = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "vaelib").rglob("*.py"))
    notation = re.sub(r"\{\w+\}`[^`]*`", "", text("book/notation.md"))
    spans = re.findall(r"`([^`\n]+)`", notation)
    names = {name for span in spans for name in re.findall(r"[A-Za-z]\w{2,}", span)}
    assert names - set(re.findall(r"\w+", package)) == set()
    assert "var_mu" in names


def test_every_target_that_is_named_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    workflows = [yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/workflows/*.yml")]
    steps = [s for flow in workflows for job in flow["jobs"].values() for s in job["steps"]]
    parts = [step["run"] for step in steps if "run" in step]
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        parts += [part for kind in code(text(name)) for part in kind]
    named = {target for part in parts for target in re.findall(r"\bmake ([a-z-]+)\b", part)}
    assert named - known == set()
    assert len(named) > 5


# --- reporting ------------------------------------------------------------------------------------

ELEMENTS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (
        {"name", "description", "body"} <= form.keys() <= {"name", "description", "title", "body"}
    )
    ids = [element["id"] for element in form["body"]]
    assert len(set(ids)) == len(ids)
    for element in form["body"]:
        assert element["type"] in ELEMENTS
        assert element["attributes"]["label"]
        assert ("options" in element["attributes"]) == (element["type"] == "dropdown")
    assert any(element.get("validations", {}).get("required") for element in form["body"])


def test_there_is_a_form_for_each_kind_of_report() -> None:
    assert {path.stem for path in FORMS} == {"wrong-claim", "does-not-run", "error-in-the-text"}
