"""Copies of the project to plant faults in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LARGE = 100_000  # bytes; files that are larger are linked to, not copied
NOT_OF_THE_PROJECT = {".git", ".venv", "_build", "__pycache__", ".ipynb_checkpoints", ".hypothesis"}
# What this run of the tests was told and a check must not hear.
OF_THIS_RUN = ("PYTEST_", "VAELIB_RUNS", "MAKE", "MFLAGS")


def files() -> Iterator[Path]:
    """Every file of the project, relative to its root, without what is built or cached."""
    for folder, subfolders, names in os.walk(ROOT):
        hidden = {name for name in subfolders if name.endswith(("_cache", ".egg-info"))}
        subfolders[:] = sorted({*subfolders} - NOT_OF_THE_PROJECT - hidden)
        yield from (Path(folder, name).relative_to(ROOT) for name in sorted(names))


def copy_project(folder: Path) -> Path:
    """Copy the project, with links in the place of runs and large files, which checks only read."""
    for name in files():
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        large = source.suffix != ".py" and source.stat().st_size > LARGE
        if large or source.suffix == ".safetensors":
            target.symlink_to(source)
        else:
            shutil.copy2(source, target)
    return folder


def replace_file(path: Path, content: bytes) -> None:
    """Write a file of a copy. Where it was a link, what that led to stays as it is."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def run(project: Path, *command: str) -> tuple[int, str]:
    """Run a command in a copy, on the package of this copy; return its exit status and output."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(OF_THIS_RUN)}
    if "VAELIB_DATA" in inherited:
        inherited["VAELIB_DATA"] = str(Path(inherited["VAELIB_DATA"]).absolute())
    settings = {"PYTHONPATH": str(project), "VAELIB_TRAIN": "never", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=project,
        env=inherited | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout


def python(project: Path, *arguments: str) -> tuple[int, str]:
    """Run Python in a copy."""
    return run(project, sys.executable, *arguments)


def make(project: Path, *arguments: str) -> tuple[int, str]:
    """Run make in a copy, with the environment that runs this test as the one it has set up."""
    venv = project / ".venv"
    if not venv.exists():
        venv.symlink_to(sys.prefix)
    done = [f"--old-file=.venv/{stamp}" for stamp in (".created", ".book", ".full")]
    return run(project, "make", *done, *arguments)
