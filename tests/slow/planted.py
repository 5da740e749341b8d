"""Copies of the project to plant faults in, and a pytest that starts in them at once."""

import importlib.util
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LARGE = 100_000  # bytes; files that are larger are linked to, not copied
NOT_OF_THE_PROJECT = {".git", ".venv", "_build", "__pycache__", ".ipynb_checkpoints", ".hypothesis"}
TIMEOUT = 300  # seconds for one check
# What this run of the tests was told and a check must not hear.
OF_THIS_RUN = ("PYTEST_", "VAELIB_RUNS", "VAELIB_FIGURES", "MAKE", "MFLAGS")

# Imported once, before the first check. A check is a fork of the process that imported them, and
# starts at once instead of after five seconds. Nothing of the project is among them.
IMPORTED_ONCE = [
    *("torch", "torch.distributions", "numpy", "safetensors.torch", "joblib", "tqdm", "yaml"),
    *("scipy.integrate", "scipy.linalg", "scipy.optimize", "scipy.stats"),
    *("matplotlib.pyplot", "matplotlib.font_manager", "IPython.display", "nbclient", "nbformat"),
    *("hypothesis.strategies", "nbval.plugin", "xdist.plugin", "packaging.requirements"),
]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(IMPORTED_ONCE)


def files() -> Iterator[Path]:
    """Every file of the project, relative to its root, without what is built or cached."""
    for folder, subfolders, names in os.walk(ROOT):
        hidden = {name for name in subfolders if name.endswith(("_cache", ".egg-info"))}
        subfolders[:] = sorted({*subfolders} - NOT_OF_THE_PROJECT - hidden)
        yield from (Path(folder, name).relative_to(ROOT) for name in sorted(names))


def copy_project(folder: Path) -> None:
    """Copy the project, with links in the place of its large files, which checks only read."""
    for name in files():
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.stat().st_size > LARGE and source.suffix != ".py":
            target.symlink_to(source)
        else:
            shutil.copy2(source, target)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file of a copy. Where it was a link, what that led to stays as it is."""
    path.unlink()
    path.write_bytes(content)


def run_pytest(project: Path, arguments: list[str]) -> tuple[int, str]:
    """Run pytest in a copy, on the package of this copy; return its exit status and output."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        output.touch()
        process = FORKS.Process(target=become_pytest, args=(project, arguments, output))
        process.start()
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode or 0, output.read_text(encoding="utf-8", errors="replace")


def settings(project: Path) -> dict[str, str]:
    """Return the environment of a check: that of this process, but of another project."""
    # A check is not a part of the pytest run that it is started from.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(OF_THIS_RUN)}
    if "VAELIB_DATA" in inherited:
        inherited["VAELIB_DATA"] = str(Path(inherited["VAELIB_DATA"]).absolute())
    return inherited | {
        "PYTHONPATH": str(project),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VAELIB_TRAIN": "never",
        "OMP_NUM_THREADS": "1",
    }


def become_pytest(project: Path, arguments: list[str], output: Path) -> None:
    """Become what ``python -m pytest`` in the copy would be, in a process of its own."""
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w") for number in (1, 2))
    sys.dont_write_bytecode = True
    environment = settings(project)
    os.environ.clear()
    os.environ |= environment
    os.chdir(project)
    of_this_project = {str(ROOT), str(ROOT / "tests"), str(ROOT / "tools"), ""}
    sys.path[:] = [str(project), *(path for path in sys.path if path not in of_this_project)]
    assert not {"vaelib", "conftest", "gates"} & sys.modules.keys()
    found = importlib.util.find_spec("vaelib")
    assert found, "the copy has no package"
    assert Path(str(found.origin)).is_relative_to(project), found.origin
    # Of modules that are imported already pytest complains that it cannot rewrite their asserts.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
    status = pytest.main([*quiet, "-q", "-rfE", "--tb=line", *arguments])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status))
