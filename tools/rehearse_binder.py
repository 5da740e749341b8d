"""Rehearse Binder: build what environment.yml says, and run every chapter as Binder would.

usage: rehearse_binder.py [PART_OF_A_NAME ...]

The last commit is cloned, for Binder sees no more. Its pins are installed into an environment of
their own (gigabytes and minutes), which is kept until they change. Then each chapter runs with one
core, 2 GB of memory, no network and no training, and must give the verdicts that are stored. When
every chapter was run, seconds and peak memory are kept in _build/binder.json for `make bench`.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "binder"
MEMORY = 2_000_000_000  # bytes
TIMEOUT = 600  # seconds for a chapter
KEPT = "PATH HOME LANG TMPDIR XDG_CACHE_HOME XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS VAELIB_DATA"


def environment(project: Path) -> Path:
    """Python of an environment with what environment.yml says; made anew if that changed."""
    python, made_for = FOLDER / "venv" / "bin" / "python", FOLDER / "made_for"
    text = (project / "environment.yml").read_text(encoding="utf-8")
    if python.exists() and made_for.exists() and made_for.read_text(encoding="utf-8") == text:
        return python
    packages = yaml.safe_load(text)["dependencies"]
    version = next(line for line in packages if str(line).startswith("python=")).split("=")[1]
    pip = next(line["pip"] for line in packages if isinstance(line, dict))
    base = shutil.which(f"python{version}") or sys.executable
    subprocess.run([base, "-m", "venv", "--clear", FOLDER / "venv"], check=True)
    (FOLDER / "requirements.txt").write_text("\n".join(pip) + "\n", encoding="utf-8")
    command = [python, "-m", "pip", "install", "--quiet", "-r", FOLDER / "requirements.txt"]
    subprocess.run(command, cwd=project, check=True)
    made_for.write_text(text, encoding="utf-8")
    return python


def limits() -> list[str]:
    """What to put in front of a command so that it has neither the network nor more memory."""
    scope = ["systemd-run", "--scope", "--quiet", *(["--user"] if os.geteuid() else [])]
    scope += ["-p", f"MemoryMax={MEMORY}", "-p", "MemorySwapMax=0"]
    alone = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    prefix = []
    for what, command in (("memory", scope), ("network", alone)):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if shutil.which(command[0]) and not subprocess.call([*command, "true"], **quiet):
            prefix += command
        else:
            print(f"{what}: cannot be limited here")
    return prefix


def claim_lines(notebook: dict[str, Any]) -> list[str]:
    """What the cells that check claims wrote."""
    checks = (c for c in notebook["cells"] if "nbval-check-output" in c["metadata"].get("tags", []))
    return [output["text"] for cell in checks for output in cell["outputs"]]


def execute(chapter: Path) -> None:
    """Run a chapter with one core, in this process and a kernel; print its peak memory."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    notebook = nbformat.read(chapter, as_version=4)
    stored = claim_lines(notebook)
    folder = {"metadata": {"path": str(chapter.parent)}}
    try:
        NotebookClient(
            notebook, kernel_name="binder", startup_timeout=300, timeout=None, resources=folder
        ).execute()
    except CellExecutionError as error:
        raise SystemExit(f"a cell raised {error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise SystemExit("the kernel died, as it does without memory") from None
    if claim_lines(notebook) != stored:
        raise SystemExit("the verdicts are not those that are stored")
    # The kernel is the only child. For this process getrusage gives the peak of whoever started it,
    # if that is larger: Linux carries the number over an exec.
    own = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    peak = 1024 * (int(own) + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    if peak > MEMORY:
        raise SystemExit(f"needs {peak / 1e9:.1f} GB")
    print(peak)


def rehearse(chapter: Path, python: Path, prefix: list[str]) -> dict[str, Any]:
    """Run one chapter as Binder would; ``failed`` says why if it did."""
    kernel = FOLDER / "jupyter" / "kernels" / "binder" / "kernel.json"
    kernel.parent.mkdir(parents=True, exist_ok=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": start, "display_name": "", "language": "python"}))
    # What else a shell has set must not reach a chapter: Binder has not set it.
    settings = {name: os.environ[name] for name in KEPT.split() if name in os.environ}
    settings |= {"VAELIB_TRAIN": "never", "JUPYTER_PATH": str(FOLDER / "jupyter")}
    command = [*prefix, sys.executable, str(Path(__file__).resolve()), "--execute", str(chapter)]
    start_time, row = time.monotonic(), {"chapter": chapter.stem, "failed": ""}
    try:
        result = subprocess.run(
            command, env=settings, capture_output=True, text=True, timeout=TIMEOUT
        )
        if result.returncode:
            row["failed"] = (result.stderr.splitlines() or ["was stopped"])[-1]
        else:
            row["peak_megabytes"] = int(result.stdout.split()[-1]) // 10**6
    except subprocess.TimeoutExpired:
        row["failed"] = f"took more than {TIMEOUT} seconds"
    return row | {"seconds": round(time.monotonic() - start_time, 1)}


def main(parts: list[str]) -> int:
    """Rehearse the chapters that are named, or all; return the exit status."""
    project = FOLDER / "project"
    shutil.rmtree(project, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, project], check=True)
    every = sorted(project.glob("book/*.ipynb"))
    chapters = [path for path in every if not parts or any(part in path.stem for part in parts)]
    python, prefix, rows = environment(project), limits(), []
    for chapter in chapters:
        rows.append(rehearse(chapter, python, prefix))
        print(*rows[-1].values(), flush=True)
    if failed := not rows or any(row["failed"] for row in rows):
        print("Binder could not run this book")
    elif chapters == every:
        (ROOT / "_build" / "binder.json").write_text(
            json.dumps({"chapters": rows}, indent=1) + "\n"
        )
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--execute"]:
        execute(Path(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
