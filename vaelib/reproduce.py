"""``make reproduce``: train every stored run again, elsewhere, and check every claim on the result.

    python -m vaelib.reproduce

The runs of the book are left alone. What was trained again is kept in ``_build/reproduce``, so a
reproduction that was stopped goes on where it was; delete that folder to start anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from vaelib import _store
from vaelib.data import load
from vaelib.experiment import Experiment, runs_folder, train_all

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "_build" / "reproduce"


def stored_experiments() -> dict[bool, list[Experiment]]:
    """The experiments of all stored runs: True those kept with weights, False the others."""
    found: dict[bool, list[Experiment]] = {True: [], False: []}
    for path in sorted(runs_folder().glob("*.safetensors")):
        _, description = _store.read(path)
        found[path.name.endswith(".run.safetensors")].append(Experiment(**json.loads(description)))
    return found


def main() -> int:
    """Train, then validate the chapters' claims; returns the exit status."""
    stored = stored_experiments()
    datasets = [name for name in ("mnist", "glyphs") if load(name).name == name]
    if "mnist" not in datasets:
        print("MNIST is not at hand: only the runs on glyphs are reproduced.")
    os.environ["VAELIB_RUNS"] = str(FOLDER)
    for weights, experiments in stored.items():
        kind = "run" if weights else "sweep"
        missing = [
            e
            for e in experiments
            if e.dataset in datasets and not (FOLDER / f"{e.name}.{kind}.safetensors").exists()
        ]
        print(f"{len(missing)} of {len(experiments)} runs to train, {kind}", flush=True)
        train_all(missing, weights=weights)
    status = 0
    for dataset in datasets:
        print(f"Checking every claim on {dataset}, with the runs just trained", flush=True)
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "book"]
        options = ["-p", "no:cacheprovider", "--nbval-cell-timeout=1800"]
        environment = os.environ | {"VAELIB_DATASET": dataset}
        status |= subprocess.run(command + options, cwd=ROOT, env=environment).returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
