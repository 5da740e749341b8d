"""Run every chapter from its stored runs and compare what it prints with what is stored.

With MNIST at hand every output is compared, to the letter (figures excepted). Without it the
chapters run on glyphs, the digits the package draws itself, whose numbers differ; then only the
claim lines are compared, that is the cells tagged nbval-check-output.

usage: validate_book.py [PART_OF_A_NAME ...]      no argument: every chapter
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CELL_TIMEOUT = 120  # seconds; a whole chapter should take less than 60


def dataset() -> str:
    """Return what ``load("mnist")`` gives on this machine: mnist or glyphs."""
    forced = os.environ.get("VAELIB_DATASET")
    if forced:
        return forced
    # A process of its own: the notice and the threads of torch stay out of this one.
    code = "import vaelib; print('dataset:' + vaelib.load('mnist').name)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(f"load('mnist') failed:\n{answer.stderr}")
    return answer.stdout.rsplit("dataset:", 1)[1].strip()


def command(strict: bool, targets: list[str], workers: int = 2) -> list[str]:
    """Return the pytest call that validates these notebooks or folders."""
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        # The project's pytest settings are for its own tests.
        *("--override-ini", "addopts=", "--override-ini", "filterwarnings=default"),
        *("--nbval" if strict else "--nbval-lax", "--nbval-current-env"),
        *("--nbval-cell-timeout", str(CELL_TIMEOUT)),
        # A notebook has one kernel: its cells must stay in one process.
        *(("-n", str(workers), "--dist", "loadfile") if workers > 1 else ()),
        *("--tb=short", "-q"),
        *targets,
    ]


def settings() -> dict[str, str]:
    """Return the environment the chapters run in."""
    return os.environ | {
        # A run that is not stored is an error here, not something to train in silence.
        "VAELIB_TRAIN": "never",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }


def main() -> int:
    """Validate the chapters named on the command line and return pytest's exit status."""
    parts = sys.argv[1:]
    found = sorted((ROOT / "book").glob("*.ipynb"))
    targets = (
        [path for path in found if any(part in path.stem for part in parts)] if parts else found
    )
    if not targets:
        raise SystemExit(f"no chapter in book/ has a name with: {' '.join(parts) or '.ipynb'}")
    name = dataset()
    strict = name == "mnist"
    said = (
        "MNIST is at hand: every output of every chapter is compared with what is stored."
        if strict
        else f"NO MNIST: the chapters run on {name}; ONLY CLAIM LINES ARE COMPARED, not numbers."
    )
    print(f"\n{'=' * 100}\n{said}\n{'=' * 100}", flush=True)
    arguments = [str(path.relative_to(ROOT)) for path in targets] if parts else ["book/"]
    return subprocess.run(
        command(strict, arguments, workers=min(2, len(targets))), cwd=ROOT, env=settings()
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
