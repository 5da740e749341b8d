"""Resolve pyproject.toml into requirements.lock, and write the same pins into environment.yml.

The lock is used as constraints (``pip install -c``): it says which version, never that a package
must be installed. Packages that only some platforms need (CUDA and its kin) are left out.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLATFORM = re.compile(r"^(nvidia-|cuda-|triton|pytorch-triton)")
HEADER = """\
# Made by `make lock` from pyproject.toml: do not edit. Used as pip's constraints (-c).
"""
# What Binder installs beside the package itself.
BINDER_EXTRA = ["ipykernel"]


def canonical(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve() -> dict[str, str]:
    """Ask pip which versions it would install into an empty environment."""
    report = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--report", "-"),
            *("--dry-run", "--ignore-installed"),
            *("--group", "test", "--group", "mutants", "--editable", ".", "pip", "setuptools"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {}
    for item in json.loads(report)["install"]:
        name = canonical(item["metadata"]["name"])
        if name != "vaelib" and not PLATFORM.match(name):
            # A local version (+cpu) belongs to one index, not to the pin.
            found[name] = item["metadata"]["version"].split("+")[0]
    return dict(sorted(found.items()))


def direct_dependencies() -> list[str]:
    """Names of what the package itself imports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [canonical(re.split(r"[=<>!~ ;\[]", line)[0]) for line in project["dependencies"]]


def environment(pins: dict[str, str]) -> str:
    """Binder's environment: the package and what it imports, at the lock's versions, CPU torch."""
    lines = [
        "# For Binder. Made by `make lock`: the versions are those of requirements.lock.",
        "name: vaelib",
        "channels:",
        "  - conda-forge",
        "dependencies:",
        "  - python=3.11",
        "  - pip",
        "  - pip:",
        "      - --extra-index-url https://download.pytorch.org/whl/cpu",
    ]
    names = sorted(direct_dependencies() + BINDER_EXTRA)
    lines += [f"      - {name}=={pins[name]}" for name in names]
    lines += ["      - -e ."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    pins = resolve()
    lines = [f"{name}=={version}" for name, version in pins.items()]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(lines) + "\n")
    (ROOT / "environment.yml").write_text(environment(pins))
    print(f"{len(pins)} versions in requirements.lock")


if __name__ == "__main__":
    main()
