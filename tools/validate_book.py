"""Run every chapter from its stored runs and compare what it prints with what is stored.

With MNIST at hand every output is compared, to the letter (pictures excepted). Without it the
chapters run on glyphs, the digits the package draws itself, whose numbers differ; then only the
claim lines are compared, that is the cells tagged nbval-check-output.

A chapter that passed is not run again until a file that it opens has changed: the package, the
notebook, a run, the claims. ``_build/validated/`` keeps the digests of these files.

usage: validate_book.py [--again] [PART_OF_A_NAME ...]    no name: every chapter
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / "tools" / "validation"
STAMPS = ROOT / "_build" / "validated"
CELL_TIMEOUT = 120  # seconds; a whole chapter should take less than 60
WORKERS = 2
ALL_COMPARED = "MNIST is at hand: every output of every chapter is compared with what is stored."
CLAIMS_COMPARED = "NO MNIST: the chapters run on {}; ONLY CLAIM LINES ARE COMPARED, not numbers."
# What every chapter depends on, beside what it opens.
COMMON = ("vaelib/**/*.py", "tools/validate_book.py", "tools/validation/*.py", "requirements.lock")
# What a user has set for himself must not change what a chapter prints.
PERSONAL = ("IPYTHON", "JUPYTER", "MATPLOTLIB", "MPL", "PYTEST_", "PYTHONWARNINGS", "VAELIB_RUNS")


def command(strict: bool, targets: list[str]) -> list[str]:
    """Return the pytest call that validates these notebooks or folders."""
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"),
        # The project's pytest settings are for its own tests.
        *("--config-file", os.devnull, "--rootdir", "."),
        *("--nbval" if strict else "--nbval-lax", "--nbval-current-env"),
        *("--nbval-cell-timeout", str(CELL_TIMEOUT)),
        *("-p", "explain", "--quiet", "--no-header", "--color=no"),
        *targets,
    ]


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """Give the environment the chapters run in, with a matplotlib and IPython as if just installed.

    A font that is not there, or a home folder that cannot be written, makes matplotlib warn on
    stderr, which is compared too.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "matplotlibrc").touch()
        yield {k: v for k, v in os.environ.items() if not k.startswith(PERSONAL)} | {
            "MATPLOTLIBRC": str(folder / "matplotlibrc"),
            "MPLCONFIGDIR": name,
            "IPYTHONDIR": name,
            "JUPYTER_CONFIG_DIR": name,
            "JUPYTER_RUNTIME_DIR": name,
            # This package, wherever another one may be installed; the plugins; no other's.
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(PLUGINS)]),
            "VALIDATED_PROJECT": str(ROOT),
            "VALIDATED_LOG": str(folder / "opened"),
            # A run that is not stored is an error here, not something to train in silence.
            "VAELIB_TRAIN": "never",
            "VAELIB_RUNS": str(ROOT / "book" / "runs"),  # and not those in the user's cache
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }


def dataset(environment: dict[str, str]) -> str:
    """Return what ``load("mnist")`` gives on this machine; let matplotlib look for its fonts."""
    code = "import matplotlib.font_manager, vaelib; print('dataset:' + vaelib.load('mnist').name)"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    if answer.returncode:
        raise SystemExit(f"load('mnist') failed:\n{answer.stderr}")
    return answer.stdout.rsplit("dataset:", 1)[1].strip()


@dataclass
class Stamp:
    """What a chapter depended on when it passed, kept until one of these files changes."""

    path: Path
    files: dict[str, str]
    seconds: float

    @classmethod
    def of(cls, chapter: Path, dataset: str) -> "Stamp":
        """Return the stamp that is kept for a chapter, or an empty one."""
        path = STAMPS / f"{chapter.stem}.{dataset}.json"
        kept = json.loads(path.read_text()) if path.exists() else {"files": {}, "seconds": 0.0}
        return cls(path, **kept)

    @property
    def runs(self) -> list[str]:
        """The stored runs that the chapter read."""
        return [name for name in self.files if name.endswith(".safetensors")]

    def is_fresh(self) -> bool:
        """Whether each of these files is what it was, and there are no others."""
        return bool(self.files) and self.files == digests({*map(Path, self.files), *common()})

    def keep(self, files: set[Path], seconds: float) -> None:
        """Store what a chapter that has passed depends on."""
        self.files, self.seconds = digests(files), round(seconds, 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"files": self.files, "seconds": self.seconds}
        self.path.write_text(json.dumps(content, indent=1) + "\n")


def common() -> set[Path]:
    """The files that every chapter depends on, relative to the project."""
    return {path.relative_to(ROOT) for pattern in COMMON for path in ROOT.glob(pattern)}


def digests(files: set[Path]) -> dict[str, str]:
    """The digest of each file, or that it is gone."""
    return {
        path.as_posix(): hashlib.sha256((ROOT / path).read_bytes()).hexdigest()
        if (ROOT / path).is_file()
        else "gone"
        for path in sorted(files)
    }


def validate(chapter: Path, stamp: Stamp, environment: dict[str, str], strict: bool) -> bool:
    """Run one chapter and say what came of it; keep a stamp if all is as it is stored."""
    start, log = time.time(), Path(environment["VALIDATED_LOG"]).with_name(chapter.stem)
    done = subprocess.run(
        command(strict, [str(chapter.relative_to(ROOT))]),
        cwd=ROOT,
        env=environment | {"VALIDATED_LOG": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.time() - start
    opened = {Path(line) for line in log.read_text().splitlines()} if log.exists() else set()
    # A run of the reader's own: on another machine the chapter would stop here.
    foreign = [path for path in opened if not path.is_relative_to(ROOT)]
    if done.returncode or foreign:
        print(f"{chapter.stem}: FAILED, {seconds:.0f} s\n{done.stdout}", flush=True)
        print("".join(f"it reads a run that is not stored: {path}\n" for path in foreign), end="")
        stamp.path.unlink(missing_ok=True)
        return False
    files = common() | {path.relative_to(ROOT) for path in opened}
    # Not if one was written meanwhile: who knows which of the two was read.
    if all((ROOT / path).stat().st_mtime < start for path in files if (ROOT / path).exists()):
        stamp.keep(files, seconds)
    print(
        f"{chapter.stem}: {done.stdout.splitlines()[-1].split(' in ')[0]}, {seconds:.0f} s",
        flush=True,
    )
    return True


def main(arguments: Sequence[str]) -> int:
    """Validate the chapters named on the command line and return the exit status."""
    parts = [part for part in arguments if part != "--again"]
    chapters = [
        path
        for path in sorted((ROOT / "book").glob("*.ipynb"))
        if not parts or any(part in path.stem for part in parts)
    ]
    if not chapters:
        raise SystemExit(f"no chapter in book/ has a name with: {' '.join(parts) or '.ipynb'}")
    with surroundings() as environment:
        name = dataset(environment)
        strict = name == "mnist"
        print(ALL_COMPARED if strict else CLAIMS_COMPARED.format(name), flush=True)
        stamps = {path: Stamp.of(path, name) for path in chapters}
        due = [p for p in chapters if "--again" in arguments or not stamps[p].is_fresh()]
        due.sort(key=lambda path: -stamps[path].seconds)  # the longest first
        with ThreadPoolExecutor(WORKERS) as pool:
            passed = pool.map(lambda p: validate(p, stamps[p], environment, strict), due)
            failed = len(due) - sum(passed)
    print(
        f"{len(chapters)} chapters: {len(due) - failed} validated, {failed} failed, "
        f"{len(chapters) - len(due)} unchanged since they were validated"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
