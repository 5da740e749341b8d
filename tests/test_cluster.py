"""Sweeps on a cluster of real processes, and killed ones: nothing is lost, nothing done twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client, KilledWorker, LocalCluster

from vaelib import Experiment, Run, sweep

# The cluster's own housekeeping: what it says of a worker that was killed is no news here.
pytestmark = pytest.mark.filterwarnings("default")

TINY = {"dataset": "tiles", "hidden": (8,), "latent": 2, "images": 600, "epochs": 1}
SIX = [Experiment(**TINY, batch_size=50, seed=seed, history=bool(seed % 2)) for seed in range(6)]
ENDLESS = Experiment(**{**TINY, "epochs": 1_000_000}, history=False)

KILLED = """
import json, sys
from vaelib import Experiment, sweep
sweep([Experiment(**json.loads(fields)) for fields in sys.argv[1:]], jobs=2)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty run store, named only when the cluster is up already."""
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the same sweep gives on this machine, in this process."""
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_RUNS", str(folder))
        patch.delenv("VAELIB_TRAIN", raising=False)
        sweep(SIX, jobs=1)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes of one thread each."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("VAELIB_RUNS", "VAELIB_TRAIN"):
            patch.delenv(name, raising=False)
        with LocalCluster(**options, host="127.0.0.1", dashboard_address=None) as started:
            yield started


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as opened:
        opened.wait_for_workers(2, timeout=60)
        yield opened


def stored(folder: Path) -> dict[str, tuple[int, int]]:
    """The runs in a folder, each with what changes when its file is written again."""
    paths = folder.glob("*.safetensors")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def names(experiments: list[Experiment]) -> set[str]:
    return {f"{experiment.name}.sweep.safetensors" for experiment in experiments}


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


def check(results: list[Run], experiments: list[Experiment], folder: Path) -> None:
    """Every result is there once, in order, and every file is whole."""
    assert [run.experiment for run in results] == experiments
    assert stored(folder).keys() == names(experiments)
    for experiment in experiments:
        Run.read(folder / f"{experiment.name}.sweep.safetensors", experiment)


def test_a_sweep_on_a_cluster_outlives_a_worker_and_gives_the_same_bits(
    local: Path, client: Client, folder: Path
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
    for name in names(SIX):
        assert (folder / name).read_bytes() == (local / name).read_bytes()


def test_the_cluster_is_left_alone_where_nothing_is_missing(
    client: Client, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = [SIX[1], SIX[0], SIX[1]]
    results = sweep(again)
    assert [run.experiment for run in results] == again
    assert stored(folder).keys() == names(SIX[:2])
    before, _ = stored(folder), capfd.readouterr()
    sweep(again)
    assert stored(folder) == before
    assert capfd.readouterr() == ("", "")


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


def test_a_killed_sweep_goes_on_where_it_was(folder: Path) -> None:
    experiments = [Experiment(**TINY, seed=seed) for seed in range(4)]
    command = [sys.executable, "-c", KILLED, *(e.canonical for e in experiments)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        when(lambda: stored(folder) or process.poll() is not None, lambda: None).join()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = stored(folder)
    assert 0 < len(before) < 4
    check(sweep(experiments, jobs=1), experiments, folder)
    assert before.items() <= stored(folder).items()
