"""Diagnose models of other libraries, and try the wheel with its oldest and its newest versions.

usage: run.py [LIBRARY ...]      no argument: all of them, and the versions

Two environments are made below `.venv-foreign`: one has the libraries as they come from the
registry today, the other the lower bounds of pyproject.toml. In both the package is the wheel of
this tree. Writes `book/foreign.json`, which the chapter *Your own VAE* shows.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STORED = ROOT / "book" / "foreign.json"
ENVIRONMENTS, BUILT = ROOT / ".venv-foreign", ROOT / "_build" / "foreign"
LIBRARIES = {
    "pythae": "pythae",
    "diffusers": "diffusers",
    "scvi": "scvi-tools",
    "keras": "keras",
    "pyro": "pyro-ppl",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def wheel() -> Path:
    """Build the wheel of this tree, from a copy: setuptools leaves things behind."""
    shutil.rmtree(BUILT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(ROOT / "vaelib", Path(copy, "vaelib"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--wheel-dir", BUILT, copy], check=True)
    (path,) = BUILT.glob("*.whl")
    return path


def lower_bounds() -> list[str]:
    """The oldest versions that pyproject.toml allows for the core and `vaelib.lab`."""
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["lab"]]
    return [line.replace(">=", "==") for line in lines]


def small_builds() -> list[str]:
    """Where PyTorch has builds without CUDA, if that answers: they save 4 GB each."""
    index = os.environ.get("CPU_WHEELS")
    try:
        if index and sys.platform == "linux":
            with urlopen(f"{index}/torch/", timeout=5):
                return ["--extra-index-url", index]
    except (URLError, TimeoutError):
        pass
    return []


def environment(name: str, requirements: list[str], package: Path) -> Path:
    """An environment with these and the wheel; returns its Python."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "--no-cache-dir"]
    install = [*pip, "install", *small_builds()]
    print(f"installing {', '.join(requirements)}", flush=True)
    # At once, so that pip cannot take what the package does not allow.
    subprocess.run([*install, "--upgrade", *requirements, f"{package}[lab]"], check=True)
    subprocess.run([*install, "--force-reinstall", "--no-deps", package], check=True)
    return python


def run(python: Path, *command: str | Path) -> bool:
    """Run something of it far from this tree, so that `vaelib` is that of the wheel."""
    print(f"--- {command[0]}", flush=True)
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    settings |= {"PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(ENVIRONMENTS / "cache")}
    return subprocess.run([python, *command], cwd=BUILT, env=settings).returncode == 0


def results(name: str) -> list[dict[str, Any]]:
    """What was written under a name, if anything."""
    path = BUILT / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def tried(python: Path, which: str) -> list[dict[str, Any]]:
    """The versions with which training, diagnosis and the tests of the diagnosis pass."""
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    passed = run(python, HERE / "bounds.py", f"{which}.json") and run(
        python, *tests, "-o", "filterwarnings=", ROOT / "tests" / "test_diagnosis.py"
    )
    return results(f"{which}.json") if passed else []


def main(names: list[str]) -> None:
    """Bring the stored table up to date."""
    if unknown := set(names) - {*LIBRARIES}:
        raise SystemExit(f"expected some of {', '.join(LIBRARIES)}, got {', '.join(unknown)}")
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    package, failed = wheel(), []
    python = environment("libraries", ["pytest", *LIBRARIES.values()], package)
    if not names:
        stored["versions"] = tried(python, "newest")
        oldest = environment("oldest", ["pytest", *lower_bounds()], package)
        stored["versions"] = tried(oldest, "oldest") + stored["versions"]
        failed += [] if len(stored["versions"]) == 2 else ["versions"]
    rows = {library: stored.get("rows", {}).get(library, []) for library in LIBRARIES}
    for library in names or LIBRARIES:
        if run(python, HERE / f"with_{library}.py", f"{library}.json"):
            rows[library] = results(f"{library}.json")
        else:
            failed.append(library)
    stored["rows"] = rows
    STORED.write_text(json.dumps(stored, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
