"""Many experiments side by side, and all of the book's trained again.

tests/slow/test_cluster.py has real processes; here joblib uses threads, which see the small data.
"""

import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from small import SMALL, make_data, same, small

from vaelib.lab import (
    DamagedRunError,
    Experiment,
    classifier_experiment,
    reproduce,
    store,
    sweep,
)
from vaelib.lab.sweep import _check_workers, _train_in_worker, train_all
from vaelib.lab.training import train

CLASSIFIER = classifier_experiment("tiny")


@pytest.fixture(autouse=True)
def threads(runs: Path) -> Iterator[None]:
    with joblib.parallel_config(backend="threading"):
        yield


def stored(folder: Path) -> dict[str, int]:
    """The runs in a folder, each with the time it was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def names(kind: str, *experiments: Experiment) -> set[str]:
    return {f"{experiment.name}.{kind}.safetensors" for experiment in experiments}


# ---- sweeps -------------------------------------------------------------------------------------


def test_a_sweep_keeps_measurements_only_answers_in_order_and_goes_on_where_it_was(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = [small(seed=seed) for seed in (5, 1, 3, 1)]
    wanted[1].run(weights=False)
    before = stored(runs)
    results = sweep(experiment for experiment in wanted)
    assert [run.experiment for run in results] == wanted
    assert stored(runs).keys() == names("sweep", *wanted)
    assert before.items() <= stored(runs).items()
    for run in results:
        alone = train(run.experiment, make_data())
        assert run.weights == {}
        assert same(run.measurements, alone.measurements)
        assert same(run.history, alone.history)
    shown = capfd.readouterr().err
    assert "2/2" in shown  # the bar of the sweep
    assert wanted[0].name not in shown  # that of a training
    monkeypatch.setenv("VAELIB_TRAIN", "never")
    assert [run.experiment for run in sweep(reversed(wanted))] == wanted[::-1]
    assert sweep([]) == []
    assert capfd.readouterr() == ("", "")


def test_the_classifier_is_trained_before_all_that_need_it_and_with_its_weights(
    runs: Path,
) -> None:
    CLASSIFIER.run(weights=False)
    evaluated = [small(seed=seed, evaluation_samples=5) for seed in range(2)]
    for run in sweep(evaluated):
        assert "frechet" in run.measurements
    assert stored(runs).keys() == (
        names("sweep", CLASSIFIER, *evaluated) | names("run", CLASSIFIER)
    )
    times = stored(runs)
    first = times.pop(f"{CLASSIFIER.name}.run.safetensors")
    assert all(first < times[name] for name in names("sweep", *evaluated))


def test_workers_are_told_where_and_how_and_classifiers_come_first(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[dict[str, Any], list[Experiment]]] = []

    def side_by_side(task: Any, todo: list[Experiment]) -> Iterator[None]:
        told.append((task.keywords, todo))
        return iter(())

    monkeypatch.setattr(sys.modules["vaelib.lab.sweep"], "_side_by_side", side_by_side)
    for name in [name for name in os.environ if name.startswith("VAELIB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(runs.parent)
    monkeypatch.setenv("VAELIB_RUNS", runs.name)
    monkeypatch.setenv("VAELIB_DATASET", "glyphs")
    evaluated = small(evaluation_samples=5)
    train_all([evaluated], weights=False)
    settings = {"VAELIB_RUNS": str(runs), "VAELIB_DATASET": "glyphs"}
    assert told == [
        ({"weights": weights, "settings": settings, "folder": runs}, todo)
        for weights, todo in ((True, [CLASSIFIER]), (False, [evaluated]))
    ]
    CLASSIFIER.run()
    told.clear()
    train_all([evaluated], weights=False)
    assert [todo for _, todo in told] == [[evaluated]]
    # The folder in the cache is made, since a worker elsewhere must find it.
    monkeypatch.delenv("VAELIB_RUNS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(runs / "cache"))
    train_all([SMALL], weights=False)
    assert told[-1][0]["settings"] == {"VAELIB_DATASET": "glyphs"}
    assert told[-1][0]["folder"].is_dir()


def test_a_sweep_gives_each_training_one_thread_whatever_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []

    def count(*_: Any) -> None:
        threads.append(torch.get_num_threads())
        raise InterruptedError

    monkeypatch.setattr("vaelib.lab.training._train", count)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for attempt in (lambda: sweep([SMALL]), SMALL.run):
        with pytest.raises(InterruptedError):
            attempt()
    assert threads == [1, 2]


def test_a_sweep_has_a_worker_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def parallel(*arguments: Any, **settings: Any) -> Any:
        asked.append((arguments, settings))
        return lambda jobs: iter([None for _ in jobs])

    monkeypatch.setattr(joblib, "Parallel", parallel)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 5)
    train_all([SMALL], weights=False)
    # In the order in which they end: the progress bar moves with each.
    assert asked == [((5,), {"return_as": "generator_unordered"})]


def test_what_was_stored_meanwhile_is_not_trained_again(runs: Path) -> None:
    SMALL.run(weights=False)
    before = stored(runs)
    train_all([SMALL], weights=False)
    assert stored(runs) == before


def test_a_worker_has_the_settings_of_its_caller_and_stores_where_it_does(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    elsewhere = runs.parent / "elsewhere"
    elsewhere.mkdir()
    _train_in_worker(SMALL, weights=False, settings={"VAELIB_DATASET": "glyphs"}, folder=elsewhere)
    assert os.environ["VAELIB_DATASET"] == "glyphs"
    assert stored(elsewhere).keys() == names("sweep", SMALL)
    assert stored(runs) == {}


def client_of(workers: dict[str, BaseException | None]) -> Any:
    """What a sweep asks of a client of dask.distributed."""

    def run(function: Any, code: str, on_error: str) -> dict[str, BaseException | None]:
        assert on_error == "return"
        function(code)
        return workers

    def submit(task: Any, experiments: list[Experiment], pure: bool) -> list[Any]:
        assert pure is False  # else a task is done once, even if its result was removed since
        return [types.SimpleNamespace(result=partial(task, e)) for e in reversed(experiments)]

    return types.SimpleNamespace(run=run, map=submit)


@pytest.mark.parametrize("there_is_a_client", [True, False])
def test_a_sweep_goes_to_the_cluster_of_an_open_client(
    runs: Path, monkeypatch: pytest.MonkeyPatch, there_is_a_client: bool
) -> None:
    def current() -> Any:
        if there_is_a_client:
            return client_of({"tcp://a": None})
        raise ValueError("No clients found")

    monkeypatch.setitem(
        sys.modules,
        "distributed",
        types.SimpleNamespace(Client=types.SimpleNamespace(current=current), as_completed=iter),
    )
    if there_is_a_client:
        monkeypatch.setattr(joblib, "Parallel", None)
    wanted = [SMALL, small(seed=4)]
    assert [run.experiment for run in sweep(wanted)] == wanted
    assert stored(runs).keys() == names("sweep", *wanted)


def test_a_worker_without_the_package_is_named() -> None:
    missing = ModuleNotFoundError("No module named 'vaelib'")
    with pytest.raises(RuntimeError, match=r"tcp://b .*vaelib"):
        _check_workers(client_of({"tcp://a": None, "tcp://b": missing}))
    _check_workers(client_of({"tcp://a": None}))


# ---- reproduction -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description",
    [
        *("", "not JSON", "[]", "3", "null", '{"unknown":1}', '{"epochs":"many"}', '{"epochs":-1}'),
        *('{"dataset":"../../outside"}', '{"dataset":"/outside"}', '{"seed":8}', "[" * 100_000),
    ],
    ids=lambda text: text[:30],
)
def test_a_strangers_run_that_describes_no_experiment_of_its_name_is_an_error(
    runs: Path, description: str
) -> None:
    path = runs / f"{SMALL.name}.run.safetensors"
    store.write(path, {"a": torch.ones(2)}, description)
    for attempt in (lambda: reproduce.stored_experiments(runs), SMALL.run):
        with pytest.raises(DamagedRunError, match=re.escape(str(path))):
            attempt()
    assert list(runs.iterdir()) == [path]


@pytest.fixture
def first(runs: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Stored runs on three datasets, and the content of their files."""
    monkeypatch.setattr(reproduce, "load", make_data)
    for dataset in ("mnist", "glyphs"):
        small(dataset=dataset).run()
        small(dataset=dataset, evaluation_samples=5).run(weights=False)
    small(dataset="tiles").run(weights=False)
    assert len(content(runs)) == 7  # two of them the classifiers
    return content(runs)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_everything_stored_is_trained_again_elsewhere_to_the_last_bit(
    first: dict[str, bytes], runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = runs.parent / "again"
    assert reproduce.train_again(runs, again) == {"mnist", "glyphs", "tiles"}
    assert content(runs) == content(again) == first
    assert not any(path.is_symlink() for path in again.iterdir())
    assert re.findall(r"\d of \d", capfd.readouterr().out) == ["4 of 4", "3 of 3"]
    next(again.glob("tiles*")).unlink()
    reproduce.train_again(runs, again)  # which goes on where it was
    assert content(again) == first
    assert re.findall(r"\d of \d", capfd.readouterr().out) == ["0 of 4", "1 of 3"]


def test_what_cannot_be_trained_here_is_taken_as_it_is_stored(
    first: dict[str, bytes],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def only_glyphs(name: str) -> Any:
        if name == "tiles":
            raise FileNotFoundError(name)
        return make_data("glyphs")

    again = runs.parent / "again"
    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "load", only_glyphs)
        assert reproduce.train_again(runs, again) == {"glyphs"}
    links = {path.name for path in again.iterdir() if path.is_symlink()}
    assert links == {name for name in first if "glyphs" not in name}
    assert content(again) == first
    assert "mnist is not available" in capfd.readouterr().out
    # When the images are there again, these runs are trained after all.
    reproduce.train_again(runs, again)
    assert not any(path.is_symlink() for path in again.iterdir())


def test_every_claim_is_checked_on_each_dataset_with_the_new_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[tuple[str, ...]] = []

    def run(command: list[str], cwd: Path, env: dict[str, str]) -> Any:
        assert {"--nbval-lax", "book"} <= set(command)
        commands.append((env["VAELIB_DATASET"], env["VAELIB_RUNS"], str(cwd)))
        return subprocess.CompletedProcess(command, len(commands) - 1)

    def train_again(stored: Path, folder: Path) -> set[str]:
        assert stored == root / "book" / "runs"
        os.environ["VAELIB_RUNS"] = str(folder)
        return {"mnist", "glyphs"}

    root = Path(__file__).parents[1]
    monkeypatch.setattr(reproduce, "train_again", train_again)
    monkeypatch.setattr(subprocess, "run", run)
    assert reproduce.main() == 1  # the first check passed, the second did not
    again = str(root / "_build" / "reproduce")
    assert commands == [("mnist", again, str(root)), ("glyphs", again, str(root))]
