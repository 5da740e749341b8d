"""Sweeps on a cluster of real processes, and killed ones: nothing is lost, nothing done twice."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from distributed import Client, KilledWorker, LocalCluster

from vaelib.lab import Experiment, Run, sweep

# The cluster's own housekeeping: what it says of a worker that was killed is no news here.
pytestmark = pytest.mark.filterwarnings("default")

TINY: dict[str, Any] = {"dataset": "tiles", "hidden": (8,), "latent": 2, "images": 600}
SIX = [
    Experiment(**TINY, epochs=1, batch_size=50, seed=seed, history=bool(seed % 2))
    for seed in range(6)
]
ENDLESS = Experiment(**TINY, epochs=1_000_000, history=False)

KILLED = """
import sys
from vaelib.lab import Experiment, sweep
sweep(map(Experiment.from_canonical, sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs, named only when the cluster is up already."""
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes of one thread each."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VAELIB_RUNS", "VAELIB_TRAIN"):
            patch.delenv(name, raising=False)
        with local_cluster(n_workers=2, threads_per_worker=1) as started:
            yield started


def local_cluster(**options: Any) -> LocalCluster:
    return LocalCluster(processes=True, host="127.0.0.1", dashboard_address=None, **options)


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as opened:
        opened.wait_for_workers(2, timeout=60)
        yield opened


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    """The runs in a folder, each with what changes when its file is written again."""
    paths = folder.glob("*.safetensors")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def when(condition: Callable[[], object], act: Callable[[], None]) -> threading.Thread:
    """Do something, in a thread, as soon as a condition holds."""

    def wait() -> None:
        deadline = time.monotonic() + 120
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise a TimeoutError in what takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(results: list[Run], experiments: list[Experiment], folder: Path) -> None:
    """Every result is there once, in order, and every file is whole."""
    assert [run.experiment for run in results] == experiments
    paths = {
        folder / f"{experiment.name}.sweep.safetensors": experiment for experiment in experiments
    }
    assert set(folder.glob("*.safetensors")) == set(paths)
    for path, experiment in paths.items():
        Run.read(path, experiment)


def test_a_sweep_on_a_cluster_outlives_a_worker_and_gives_the_same_bits(
    client: Client, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = client.run(os.getpid).values()
    there: list[dict[str, tuple[int, int]]] = []

    def kill() -> None:
        there.append(stored(folder))
        os.kill(second, signal.SIGKILL)

    killer = when(lambda: stored(folder), kill)
    results = sweep(SIX)
    killer.join()
    assert 0 < len(there[0]) < 6
    check(results, SIX, folder)
    # What was stored before the kill is not trained again, even if its worker was the one.
    assert there[0].items() <= stored(folder).items()
    client.wait_for_workers(2, timeout=60)
    pids = set(client.run(os.getpid).values())
    assert first in pids
    assert second not in pids
    before = stored(folder)
    sweep(SIX[::-1])
    assert stored(folder) == before
    # In this process, one after the other.
    (tmp_path / "alone").mkdir()
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "alone"))
    for experiment in SIX:
        experiment.run(weights=False)
    for path in folder.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "alone" / path.name).read_bytes()


def test_a_sweep_does_not_wait_for_a_task_that_no_worker_survives(
    client: Client, cluster: LocalCluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)

    def kill_all() -> None:
        for pid in client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)

    killer = when(lambda: stored(folder), kill_all)
    with pytest.raises(KilledWorker):
        sweep([SIX[0], ENDLESS])
    killer.join()


def test_a_worker_without_the_package_is_an_error_at_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vaelib").mkdir()
    failing = "raise ModuleNotFoundError(\"No module named 'vaelib'\", name='vaelib')"
    (tmp_path / "vaelib" / "__init__.py").write_text(failing)
    with local_cluster(n_workers=0) as scheduler, Client(scheduler) as client:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address]
        options = ["--no-dashboard", "--nthreads", "1", "--name", "bare"]
        worker = subprocess.Popen(
            command + options,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client.wait_for_workers(1, timeout=60)
            (address,) = client.scheduler_info()["workers"]
            with at_most(30), pytest.raises(RuntimeError, match=rf"{address} .*vaelib"):
                sweep([SIX[0]])
        finally:
            worker.terminate()
            worker.wait()
    assert stored(folder) == {}


def test_a_killed_sweep_goes_on_where_it_was(folder: Path) -> None:
    experiments = [
        Experiment(**TINY, epochs=2, seed=seed) for seed in range(2 * joblib.cpu_count())
    ]
    command = [sys.executable, "-c", KILLED, *(e.canonical for e in experiments)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        when(lambda: stored(folder) or process.poll() is not None, lambda: None).join()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = stored(folder)
    assert 0 < len(before) < len(experiments)
    check(sweep(experiments), experiments, folder)
    assert before.items() <= stored(folder).items()
