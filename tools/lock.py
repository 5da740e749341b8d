"""Resolve pyproject.toml into requirements.lock, and write the same pins into environment.yml.

usage: lock.py [PACKAGE ...]

With packages named, only these may move: all other pins stay. Needs nothing but pip.

The lock is used as constraints (``pip install -c``): it says which version, never that a package
must be installed. Packages that only some platforms need (CUDA and its kin) are left out.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK, ENVIRONMENT = ROOT / "requirements.lock", ROOT / "environment.yml"
PLATFORM = re.compile(r"^(nvidia-|cuda-|triton|pytorch-triton)")
EXTRAS = ("lab", "book", "cluster")
GROUPS = ("test", "mutants", "jupyterlab")
# What Binder installs beside the package and the extras that the chapters need.
BINDER_EXTRAS, BINDER = ("lab", "book"), ("ipykernel", "jupyterlab-myst")
HEADER = "# Made by `make lock` from pyproject.toml: do not edit. Used as pip's constraints (-c)."


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> dict[str, str]:
    """The pins of a lock."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", path.read_text(), re.M))


def resolve(kept: dict[str, str]) -> dict[str, str]:
    """Ask pip which versions it would install into an empty environment, given some of them."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("".join(f"{name}=={version}\n" for name, version in kept.items()))
        constraints.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--report", "-", "--dry-run"]
        command += ["--ignore-installed", "-c", constraints.name, "pip", "setuptools"]
        command += [word for group in GROUPS for word in ("--group", group)]
        command += ["--editable", f".[{','.join(EXTRAS)}]"]
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise SystemExit("nothing is changed. A pin may hold back what you named: name that too")
    pins = {}
    for item in json.loads(result.stdout)["install"]:
        name = canonical(item["metadata"]["name"])
        if name != "vaelib" and not PLATFORM.match(name):
            # A local version (+cpu) belongs to one index, not to the pin.
            pins[name] = item["metadata"]["version"].split("+")[0]
    return dict(sorted(pins.items()))


def environment(pins: dict[str, str]) -> str:
    """Binder's environment: what the package and the chapters import, with CPU builds of torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *BINDER]
    lines += [line for extra in BINDER_EXTRAS for line in extras[extra]]
    names = sorted({canonical(re.split(r"[=<>!~ ;\[]", line)[0]) for line in lines})
    head = """\
# For Binder. Made by `make lock`: the versions are those of requirements.lock.
name: vaelib
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
      - --extra-index-url https://download.pytorch.org/whl/cpu
"""
    return head + "".join(f"      - {name}=={pins[name]}\n" for name in names) + "      - -e .\n"


def main(packages: list[str]) -> None:
    """Write both files."""
    before = read(LOCK) if LOCK.exists() else {}
    named = set(map(canonical, packages))
    pins = resolve({name: pin for name, pin in before.items() if packages and name not in named})
    LOCK.write_text("\n".join([HEADER, *(f"{n}=={v}" for n, v in pins.items())]) + "\n")
    ENVIRONMENT.write_text(environment(pins))
    for name in sorted(before.keys() | pins.keys()):
        if before.get(name) != pins.get(name):
            print(f"{name}: {before.get(name, 'new')} -> {pins.get(name, 'gone')}")


if __name__ == "__main__":
    main(sys.argv[1:])
