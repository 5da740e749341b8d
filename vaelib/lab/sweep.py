"""Many experiments side by side: on the cores of this machine, or on a dask cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
from tqdm import tqdm

from vaelib.lab import store
from vaelib.lab.experiment import (
    Experiment,
    check_training_allowed,
    classifier_experiment,
    train_and_store,
)
from vaelib.lab.run import Run


def sweep(experiments: Iterable[Experiment]) -> list[Run]:
    """Run many experiments side by side, one core each, keeping only their measurements.

    Each result is stored as soon as it is there: a sweep that was stopped goes on where it was.
    While a client of `dask.distributed` is open, the same call trains on its cluster, whose workers
    need this package and must see the folders of the runs and of the data under the same names.
    Shown in the chapter on sparsity.

    Returns
    -------
    list of Run
        In the order of the experiments.

    Raises
    ------
    MissingRunError
        If one is not stored and training is forbidden.
    RuntimeError
        If a worker of the cluster lacks the package.
    """
    wanted = list(experiments)
    train_all([e for e in dict.fromkeys(wanted) if e.stored(weights=False) is None], weights=False)
    return [experiment.run(weights=False) for experiment in wanted]


def train_all(missing: list[Experiment], *, weights: bool) -> None:
    """Train and store experiments side by side, with a progress bar if there are any.

    The classifiers with which they are evaluated come first.
    """
    if not missing:
        return
    check_training_allowed(missing[0], weights)
    classifiers = {classifier_experiment(e.dataset) for e in missing if e.evaluation_samples}
    train_all([e for e in classifiers if e.stored(weights=True) is None], weights=True)
    # A worker may have started under other settings, or elsewhere.
    folder = store.run_folders()[-1].absolute()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in os.environ.items() if name.startswith("VAELIB_")}
    if "VAELIB_RUNS" in settings:
        settings["VAELIB_RUNS"] = str(folder)  # absolute
    task = partial(_train_in_worker, weights=weights, settings=settings, folder=folder)
    for _ in tqdm(_side_by_side(task, missing), total=len(missing)):
        pass


def _side_by_side(task: Callable[[Experiment], None], todo: list[Experiment]) -> Iterator[None]:
    """Do a task for each experiment, on an open cluster or on the cores of this machine."""
    distributed = sys.modules.get("distributed")  # a user with a client has imported it
    try:
        client = distributed.Client.current() if distributed else None
    except ValueError:
        client = None
    if distributed and client:
        _check_workers(client)
        # Not by joblib's dask backend: that waits for ever for a task that ended all its workers.
        for future in distributed.as_completed(client.map(task, todo, pure=False)):
            yield future.result()
    else:
        parallel = joblib.Parallel(joblib.cpu_count(), return_as="generator_unordered")
        yield from parallel(map(joblib.delayed(task), todo))


def _check_workers(client: Any) -> None:
    """Raise an error if a worker cannot import the package: dask itself would wait for ever."""
    answers = client.run(exec, "import vaelib.lab", on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise RuntimeError(f"worker {worker} cannot import vaelib.lab: {answer!r}") from answer


def _train_in_worker(
    experiment: Experiment, weights: bool, settings: dict[str, str], folder: Path
) -> None:
    os.environ.update(settings)
    if store.run_folders()[-1].absolute() != folder:
        os.environ["VAELIB_RUNS"] = str(folder)
    if experiment.stored(weights) is None:
        # Whatever OMP_NUM_THREADS says: joblib sets it in its workers as it sees fit.
        train_and_store(experiment, weights, progress=False, threads=1)
