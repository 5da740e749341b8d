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


def stored_experiments(folder: Path) -> dict[bool, dict[Path, Experiment]]:
    """All runs in a folder: under True those kept with weights, under False the others."""
    runs: dict[bool, dict[Path, Experiment]] = {True: {}, False: {}}
    for path in sorted(folder.glob("*.safetensors")):
        _, description = store.read(path)
        try:
            experiment = Experiment.from_canonical(description)
        except (TypeError, ValueError, RecursionError) as error:
            raise store.DamagedRunError(f"{path}: describes no experiment: {error}") from error
        if path.name.partition(".")[0] != experiment.name:
            raise store.DamagedRunError(f"{path}: this is a run of {experiment.name}")
        runs[path.name.endswith(".run.safetensors")][path] = experiment
    return runs


def is_available(dataset: str) -> bool:
    """Whether there are the images themselves, and not others in their place."""
    try:
        return load(dataset).name == dataset
    except FileNotFoundError:
        return False


def main() -> int:
    """Train, then validate the chapters' claims; returns the exit status."""
    root = book_folder().parent
    folder = root / "_build" / "reproduce"
    stored = stored_experiments(root / "book" / "runs")
    used = {experiment.dataset for runs in stored.values() for experiment in runs.values()}
    datasets = {name: is_available(name) for name in sorted(used.union(DATASETS))}
    for name in [name for name in datasets if not datasets[name]]:
        print(f"{name} is not available: its runs are taken as they are stored.")
    folder.mkdir(parents=True, exist_ok=True)
    for link in filter(Path.is_symlink, folder.iterdir()):
        link.unlink()
    os.environ["VAELIB_RUNS"] = str(folder)
    # Those with weights first: the classifiers, by which others are evaluated, are among them.
    for weights, runs in stored.items():
        missing = []
        for path, experiment in runs.items():
            again = folder / path.name
            if not again.exists() and datasets[experiment.dataset]:
                missing.append(experiment)
            elif not again.exists():
                again.symlink_to(path)
        kind = "run" if weights else "sweep"
        print(f"{len(missing)} of {len(runs)} runs to train, {kind}", flush=True)
        train_all(missing, weights=weights)
    status = 0
    for dataset in [name for name in DATASETS if datasets[name]]:
        print(f"Checking every claim on {dataset}, with the runs just trained", flush=True)
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "book"]
        options = ["-p", "no:cacheprovider", "--nbval-cell-timeout=1800"]
        environment = os.environ | {"VAELIB_DATASET": dataset}
        status |= subprocess.run(command + options, cwd=root, env=environment).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
