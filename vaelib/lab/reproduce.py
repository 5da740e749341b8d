"""``make reproduce``: train every stored run again, elsewhere, and check every claim on the result.

    python -m vaelib.lab.reproduce

The runs of the book are left alone. What was trained again is kept in ``_build/reproduce``, so a
reproduction that was stopped goes on where it was; delete that folder to start anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vaelib.data import book_folder, load
from vaelib.lab import store
from vaelib.lab.experiment import Experiment
from vaelib.lab.sweep import train_all

DATASETS = ("mnist", "glyphs")  # every claim must hold on both


def stored_experiments(folder: Path) -> dict[Path, Experiment]:
    """All runs in a folder, those kept with weights first."""
    experiments = {}
    for path in sorted(folder.glob("*.run.safetensors")) + sorted(
        folder.glob("*.sweep.safetensors")
    ):
        _, description = store.read(path)
        try:
            experiment = Experiment.from_canonical(description)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise store.DamagedRunError(f"{path}: describes no experiment: {error}") from error
        if path.name.partition(".")[0] != experiment.name:
            raise store.DamagedRunError(f"{path}: this is a run of {experiment.name}")
        experiments[path] = experiment
    return experiments


def is_available(dataset: str) -> bool:
    """Whether there are the images themselves, and not others in their place."""
    try:
        return load(dataset).name == dataset
    except FileNotFoundError:
        return False


def train_again(stored: Path, folder: Path) -> set[str]:
    """Train the runs of one folder again in another; returns the datasets that are available."""
    experiments = stored_experiments(stored)
    used = {experiment.dataset for experiment in experiments.values()}
    available = {name for name in used.union(DATASETS) if is_available(name)}
    for name in sorted(used - available):
        print(f"{name} is not available: its runs are linked as they are stored.")
    folder.mkdir(parents=True, exist_ok=True)
    for link in filter(Path.is_symlink, folder.iterdir()):
        link.unlink()
    os.environ["VAELIB_RUNS"] = str(folder)
    # Those with weights first: the classifiers, by which others are evaluated, are among them.
    for kind in ("run", "sweep"):
        paths = [path for path in experiments if path.name.endswith(f".{kind}.safetensors")]
        missing = []
        for path in [path for path in paths if not (folder / path.name).exists()]:
            if experiments[path].dataset in available:
                missing.append(experiments[path])
            else:
                (folder / path.name).symlink_to(path.absolute())
        print(f"{len(missing)} of {len(paths)} runs to train, {kind}", flush=True)
        train_all(missing, weights=kind == "run")
    return available


def main() -> int:
    """Train, then validate the chapters' claims; returns the exit status."""
    root = book_folder().parent
    available = train_again(root / "book" / "runs", root / "_build" / "reproduce")
    status = 0
    for dataset in [name for name in DATASETS if name in available]:
        print(f"Checking every claim on {dataset}, with the runs just trained", flush=True)
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "book"]
        options = ["-p", "no:cacheprovider", "--nbval-cell-timeout=1800"]
        environment = os.environ | {"VAELIB_DATASET": dataset}
        status |= subprocess.run(command + options, cwd=root, env=environment).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
