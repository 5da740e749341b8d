"""One set of versions: pyproject.toml, requirements.lock and environment.yml agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

sys.path.insert(0, str(ROOT / "tools"))
import lock


def pins(lines: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"([\w.-]+)==(\S+)", line.strip()) for line in lines)
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def locked() -> dict[str, str]:
    return pins((ROOT / "requirements.lock").read_text().splitlines())


def project() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def direct() -> list[Requirement]:
    data = project()
    lines = [*data["project"]["dependencies"], *data["build-system"]["requires"]]
    extras = data["project"]["optional-dependencies"]
    for group in [*extras.values(), *data["dependency-groups"].values()]:
        lines += [line for line in group if isinstance(line, str)]
    return [Requirement(line) for line in lines]


def binder() -> list[str | dict[str, list[str]]]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def binder_pip() -> list[str]:
    return next(entry["pip"] for entry in binder() if isinstance(entry, dict))


def test_lock_has_every_direct_dependency_at_a_version_it_allows() -> None:
    versions = locked()
    for requirement in direct():
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not in requirements.lock: make lock"
        assert Version(versions[name]) in requirement.specifier, name


def test_lock_holds_nothing_but_exact_versions() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(locked()) == len([line for line in lines if line and not line.startswith("#")])
    assert list(locked()) == sorted(locked())


def test_what_an_extra_brings_is_there_when_the_tests_run() -> None:
    data = project()
    extras = data["project"]["optional-dependencies"]
    assert extras["cluster"]
    for lines in extras.values():
        assert set(lines) <= {
            line for line in data["dependency-groups"]["test"] if isinstance(line, str)
        }


def test_the_package_does_without_its_extras() -> None:
    code = "import sys, vaelib; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_lock_forces_no_accelerator_package() -> None:
    assert not [name for name in locked() if lock.PLATFORM.match(name)]
    assert not [version for version in locked().values() if "+" in version]


def test_binder_has_the_versions_of_the_lock() -> None:
    versions, binders = locked(), pins(binder_pip())
    shared = binders.keys() & versions.keys()
    assert shared == binders.keys()
    assert {name: binders[name] for name in shared} == {name: versions[name] for name in shared}


def test_binder_has_every_dependency_of_the_package() -> None:
    needed = {
        canonicalize_name(Requirement(line).name) for line in project()["project"]["dependencies"]
    }
    assert needed | {"ipykernel"} <= pins(binder_pip()).keys()


def test_binder_file_is_as_binder_reads_it() -> None:
    text = (ROOT / "environment.yml").read_text()
    assert "  - python=3.11\n" in text
    assert "-e ." in binder_pip()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in binder_pip()


def test_binder_file_is_what_the_lock_makes_of_it() -> None:
    assert (ROOT / "environment.yml").read_text() == lock.environment(locked())


def test_reading_the_book_needs_no_torch() -> None:
    assert not [line for line in project()["dependency-groups"]["book"] if "torch" in str(line)]


def test_no_file_of_mnist_in_the_project() -> None:
    ignored = {".venv", ".git", "_build"}
    found = [
        path
        for path in Path(ROOT).rglob("*-ubyte*")
        if not ignored & set(path.relative_to(ROOT).parts)
    ]
    assert found == []
