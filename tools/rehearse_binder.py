"""Rehearse Binder: build what environment.yml says, and run every chapter as Binder would.

usage: rehearse_binder.py [--folder FOLDER] [--python PYTHON] [PART_OF_A_NAME ...]

The last commit is cloned, for Binder sees no more. Its pins are installed into an environment of
their own, which is kept until they change; --python names a ready one instead. Then each chapter
runs with one core, no network, and 2 GB of memory for all its processes together. A chapter that
needs more is stopped, and so is one that would have to train. Peak memory and seconds are printed
as a table; when every chapter was run, they are kept in _build/binder.json too.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "_build" / "binder.json"
MEMORY = 2_000_000_000  # bytes, for the kernel and the process that drives it
TIMEOUT = 600  # seconds for a chapter
INTERVAL = 0.05  # seconds between two looks at the memory
CLAIM_CELL = "nbval-check-output"
KERNEL = "binder"
# Everything else a shell has set must not reach a chapter: Binder has not set it.
KEPT_SETTINGS = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_CACHE_HOME"),
    *("VAELIB_DATA", "VAELIB_DATASET"),
    # For systemd-run, where the limit of memory comes from.
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
)


@dataclass(frozen=True)
class Rehearsal:
    """How one chapter went."""

    chapter: str
    peak_megabytes: int
    seconds: float
    failed: str = ""


# --- what Binder would build --------------------------------------------------------------------


def clone(folder: Path) -> Path:
    """The last commit, in a folder that stays where it is: the environment points to it."""
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True).stdout:
        print("Changes that are not committed are not rehearsed: Binder would not see them.")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    return project


def pip_section(text: str) -> list[str]:
    """The lines that environment.yml hands to pip."""
    dependencies = yaml.safe_load(text)["dependencies"]
    return next(entry["pip"] for entry in dependencies if isinstance(entry, dict))


def python_version(text: str) -> str:
    """The version of Python that environment.yml names."""
    dependencies = yaml.safe_load(text)["dependencies"]
    return next(str(e).partition("=")[2] for e in dependencies if str(e).startswith("python="))


def answers(line: str) -> bool:
    """Whether a line of the pip section is no extra index, or one that can be reached."""
    option, _, address = line.partition(" ")
    if option != "--extra-index-url":
        return True
    try:
        urlopen(f"{address}/torch/", timeout=5).close()
    except (URLError, OSError):
        print("PyTorch's own index does not answer: its CPU builds are NOT rehearsed,")
        print("but the ordinary ones, which need more disk and more memory.")
        return False
    return True


def environment(folder: Path, project: Path) -> Path:
    """Python of an environment with exactly what environment.yml says; made where needed."""
    text = (project / "environment.yml").read_text(encoding="utf-8")
    lines = [line for line in pip_section(text) if answers(line)]
    wanted = "\n".join([python_version(text), *lines, (project / "pyproject.toml").read_text()])
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    venv, made_for = folder / "venv", folder / "venv.sha256"
    python = venv / "bin" / "python"
    if python.exists() and made_for.exists() and made_for.read_text() == digest:
        return python
    base = shutil.which(f"python{python_version(text)}") or sys.executable
    print(f"building an environment in {venv}: minutes, and some gigabytes", flush=True)
    made_for.unlink(missing_ok=True)
    subprocess.run([base, "-m", "venv", "--clear", str(venv)], check=True)
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "-r", str(requirements)], cwd=project, check=True)
    made_for.write_text(digest)
    return python


def add_kernel(folder: Path, python: Path) -> None:
    """A kernel for this environment, which the one that drives the chapters can find."""
    kernel = folder / "jupyter" / "kernels" / KERNEL
    kernel.mkdir(parents=True, exist_ok=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    said = {"argv": start, "display_name": KERNEL, "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(said), encoding="utf-8")


# --- one chapter ----------------------------------------------------------------------------------


def execute(chapter: Path) -> None:
    """Run a chapter in this process and a kernel; its verdicts must be those that are stored."""
    notebook = nbformat.read(chapter, as_version=4)
    stored = claim_lines(notebook)
    folder = {"metadata": {"path": str(chapter.parent)}}
    try:
        NotebookClient(notebook, kernel_name=KERNEL, timeout=None, resources=folder).execute()
    except CellExecutionError as error:
        raise SystemExit(f"a cell raised {error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise SystemExit("the kernel died, as it does without memory") from None
    if claim_lines(notebook) != stored:
        raise SystemExit("the verdicts are not those that are stored")


def claim_lines(notebook: dict[str, Any]) -> list[str]:
    """What the cells that check claims wrote."""
    return [
        output["text"]
        for cell in notebook["cells"]
        if CLAIM_CELL in cell["metadata"].get("tags", [])
        for output in cell["outputs"]
    ]


def family(pid: int) -> set[int]:
    """A process and all that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # A program's name may hold anything, brackets too; behind it: state, parent.
                after = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            children.setdefault(int(after[1]), []).append(int(entry.name))
    found, new = set(), [pid]
    while new:
        found.update(new)
        new = [child for parent in new for child in children.get(parent, []) if child not in found]
    return found


def memory_of(pids: set[int]) -> int:
    """Bytes of memory that processes need: the most that each has held, added up.

    So no short peak between two looks is missed; what two processes share is counted twice.
    """
    kilobytes = 0
    for pid in pids:
        with suppress(OSError):  # it may have ended meanwhile
            said = Path(f"/proc/{pid}/status").read_text(errors="replace")
            kilobytes += sum(map(int, re.findall(r"^VmHWM:\s*(\d+) kB", said, re.M)))
    return 1024 * kilobytes


def watch(
    command: list[str], settings: dict[str, str], limit: int = MEMORY, timeout: float = TIMEOUT
) -> tuple[int, float, str]:
    """Run a command on one core; return its peak memory, its seconds, and why it failed if so."""
    peak, why, start = 0, "", time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL, stderr=said)
        # What it starts later inherits this.
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        while process.poll() is None:
            alive = family(process.pid)
            peak = max(peak, memory_of(alive))
            if peak > limit:
                why = f"stopped: more than {limit / 1e9:g} GB"
            elif time.monotonic() - start > timeout:
                why = f"stopped: more than {timeout:g} seconds"
            if why:
                for pid in alive:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()
                break
            time.sleep(INTERVAL)
        seconds = time.monotonic() - start
        said.seek(0)
        lines = said.read().split("\n")
    if process.returncode and not why:
        why = next((line for line in reversed(lines) if line.strip()), "failed without a word")
    return peak, seconds, why


def works(command: list[str]) -> bool:
    """Whether something can be had on this machine."""
    return (
        bool(shutil.which(command[0]))
        and not subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
    )


def limits() -> list[str]:
    """What to put in front of a command so that it has neither the network nor more memory."""
    prefix = []
    scope = ["systemd-run", "--scope", "--quiet", *(["--user"] if os.geteuid() else [])]
    scope += ["-p", f"MemoryMax={MEMORY}", "-p", "MemorySwapMax=0"]
    if works([*scope, "true"]):
        print(f"memory: the system gives no more than {MEMORY / 1e9:g} GB")
        prefix += scope
    else:
        print(
            f"memory: watched {1 / INTERVAL:.0f} times a second, stopped above {MEMORY / 1e9:g} GB"
        )
    alone = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if works([*alone, "true"]):
        print("network: none")
        prefix += alone
    else:
        print("network: NOT taken away, for no namespace can be had here")
    return prefix


def rehearse(chapter: Path, prefix: list[str], settings: dict[str, str]) -> Rehearsal:
    """Run one chapter as Binder would."""
    command = [*prefix, sys.executable, str(Path(__file__).resolve()), "--execute", str(chapter)]
    peak, seconds, why = watch(command, settings)
    return Rehearsal(chapter.stem, round(peak / 1e6), round(seconds, 1), why)


# --- all of them --------------------------------------------------------------------------------


def table(rehearsals: list[Rehearsal]) -> str:
    """The result as Markdown."""
    lines = ["| chapter | peak memory (MB) | seconds | |", "|---|--:|--:|---|"]
    for one in rehearsals:
        said = re.sub(r"[|\n]", " ", one.failed or "ran")
        lines.append(f"| {one.chapter} | {one.peak_megabytes} | {one.seconds:.1f} | {said} |")
    return "\n".join(lines)


def describe(python: Path, project: Path) -> dict[str, str]:
    """What was rehearsed, and where."""
    code = "import platform, torch; print(platform.python_version(), torch.__version__)"
    said = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    git = ["git", "-C", str(project), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    version, torch = said.stdout.split()
    system = f"{platform.system()} {platform.machine()}"
    return {"commit": commit, "python": version, "torch": torch, "system": system}


def main() -> int:
    """Rehearse the chapters named on the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "_build" / "binder")
    parser.add_argument("--python", type=Path, help="of an environment that is ready")
    parser.add_argument("--execute", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", metavar="PART_OF_A_NAME")
    arguments = parser.parse_args()
    if arguments.execute:
        execute(arguments.execute)
        return 0
    if sys.platform != "linux":
        raise SystemExit("rehearse: memory is measured as Linux reports it; Binder runs Linux")
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    project = clone(folder)
    every = sorted(project.glob("book/*.ipynb"))
    chapters = [
        p for p in every if not arguments.parts or any(s in p.stem for s in arguments.parts)
    ]
    if not chapters:
        raise SystemExit(f"no chapter in book/ has a name with: {' '.join(arguments.parts)}")
    settings = {name: os.environ[name] for name in KEPT_SETTINGS if name in os.environ}
    settings |= {"VAELIB_TRAIN": "never", "JUPYTER_PATH": str(folder / "jupyter")}
    if arguments.python:
        python = arguments.python.absolute()
        # Not the package that this environment has, which may be the working tree's.
        settings["PYTHONPATH"] = str(project)
    else:
        python = environment(folder, project)
    add_kernel(folder, python)
    said = describe(python, project)
    print(", ".join(f"{name} {value}" for name, value in said.items()))
    prefix = limits()
    rehearsals = []
    for chapter in chapters:
        print(f"{chapter.stem} ... ", end="", flush=True)
        rehearsals.append(rehearse(chapter, prefix, settings))
        one = rehearsals[-1]
        print(f"{one.peak_megabytes} MB, {one.seconds:.1f} s {one.failed}".rstrip(), flush=True)
    print(f"\n{table(rehearsals)}")
    if chapters == every and not arguments.python:
        kept = {"memory_limit_megabytes": MEMORY // 10**6, "cores": 1, **said}
        kept |= {"chapters": [asdict(one) for one in rehearsals]}
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        print(f"\nkept in {RESULT.relative_to(ROOT)}")
    return int(any(one.failed for one in rehearsals))


if __name__ == "__main__":
    sys.exit(main())
