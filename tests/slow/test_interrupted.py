"""Killed, on a full disk, or not alone: what is stored stays whole, and the same command goes on.

Of datasets and of runs, each command in a process on a small machine of its own.
"""

import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_mnist
import torch
from conftest import ROOT
from machine import CONTEXT, FULL, PATIENCE, Child, KilledAt, Machine, hindered

import vaelib.lab.training
from vaelib.data import glyphs, load
from vaelib.lab import Experiment, store, sweep
from vaelib.lab.reproduce import train_again

TINY = {"dataset": "tiles", "hidden": (8,), "latent": 2, "epochs": 2, "batch_size": 50}
ONE = Experiment(**TINY, seed=7)
SHORT = Experiment(**{**TINY, "epochs": 1}, history=False)
MANY = [Experiment(**TINY, seed=seed, history=seed == 0) for seed in range(4)]

# ---- the commands -------------------------------------------------------------------------------


def drawing(_: Machine) -> None:
    assert load("glyphs").train_images.shape == (300, 1, 28, 28)


def fetching(_: Machine) -> None:
    assert load("mnist").name == "mnist"


def training(_: Machine) -> None:
    ONE.run()


def short_training(_: Machine) -> None:
    SHORT.run()


def sweeping(_: Machine) -> None:
    sweep(MANY)


def training_all(_: Machine) -> None:
    ONE.run()
    sweep(MANY)


def reproducing(machine: Machine) -> None:
    train_again(machine.runs, machine.folder / "_build")


def overwriting(machine: Machine) -> None:
    """Write a run, and another in its place."""
    path = machine.runs / f"{ONE.name}.run.safetensors"
    for size in (100_000, 1_000):
        store.write(path, {"weights/a": torch.full((size,), 1.0)}, ONE.canonical)


def waiting_in_fit(_: Machine) -> None:
    """Reach the training, and stay there."""
    fit = vaelib.lab.training.fit

    def wait(*args: Any, **options: Any) -> None:
        fit(*args, **options)
        time.sleep(PATIENCE)

    vaelib.lab.training.fit = wait
    sweep(MANY)


Command = Callable[[Machine], Any]


def by_name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.fixture(scope="module", autouse=True)
def server_of_processes() -> Iterator[None]:
    """Let the processes start with this file already imported."""
    with pytest.MonkeyPatch.context() as patch:
        folders = [str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT)]
        patch.setenv("PYTHONPATH", os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        # matplotlib would write into the cache folder that is new for each test.
        CONTEXT.set_forkserver_preload([Path(__file__).stem, "matplotlib.textpath"])
        yield


@pytest.fixture
def requests(tmp_path: Path) -> Iterator[list[str]]:
    """What the server was asked for; first its address."""
    with small_mnist.serve(tmp_path / "server") as (address, asked):
        asked.append(address)
        yield asked


@pytest.fixture
def machine(tmp_path: Path, requests: list[str]) -> Machine:
    """An empty machine, and a server that publishes a small MNIST."""
    return Machine(tmp_path / "machine", requests.pop())


def undisturbed(machine: Machine, command: Command) -> dict[str, bytes]:
    """What the command stores on such a machine when nothing disturbs it."""
    other = machine._replace(folder=machine.folder.with_name("undisturbed"))
    if machine.folder.exists():
        shutil.copytree(machine.folder, other.folder)
    assert Child(other, command).answer() is None
    return other.stored()


# ---- killed -------------------------------------------------------------------------------------

KILLS = 4  # at random moments, for each command


@pytest.mark.parametrize("command", [drawing, fetching, training, sweeping, reproducing])
def test_killed_at_any_moment_nothing_is_half_and_the_same_command_goes_on(
    machine: Machine, command: Command
) -> None:
    if command is reproducing:
        assert Child(machine, training_all).answer() is None
    before = machine.stored()
    expected = undisturbed(machine, command)
    assert before.items() < expected.items()
    moments = random.Random(command.__name__)
    latest, killed = 2.0, 0  # seconds
    while killed < KILLS:
        child = Child(machine, command)
        time.sleep(moments.uniform(0, latest))
        if child.kill():
            killed += 1
            assert machine.stored().items() <= expected.items()
        else:
            latest *= 0.7  # it had finished: kill earlier
            assert latest > 1e-3, "it is never at work when it is to be killed"
            assert machine.stored() == expected
            machine.clear(but=before)
    assert Child(machine, command).answer() is None
    assert machine.stored() == expected
    assert machine.leftovers() == []


# A download has four times the operations of a drawing: every fourth of them will do.
@pytest.mark.parametrize(
    ("command", "step"), [(drawing, 1), (fetching, 4), (short_training, 1)], ids=by_name
)
def test_killed_before_each_operation_on_a_file(
    machine: Machine, command: Command, step: int
) -> None:
    expected = undisturbed(machine, command)
    kills = 0
    while (answer := Child(machine, KilledAt(command, step * kills + 1)).answer()) is not None:
        assert answer == f"exit code {-signal.SIGKILL}"
        kills += 1
        found = machine.stored()
        assert found.items() <= expected.items()
        if kills % 3 == 0:  # what it left does not hinder the next, and is not kept for ever
            assert Child(machine, command).answer() is None
            assert machine.stored() == expected
            assert found == expected or machine.leftovers() == []
        machine.clear(but={})
    assert kills >= 5
    assert machine.stored() == expected


def test_killed_while_a_file_is_replaced_the_old_or_the_new_one_is_there(
    machine: Machine,
) -> None:
    name = f"book/runs/{ONE.name}.run.safetensors"
    versions = []
    while Child(machine, KilledAt(overwriting, len(versions) + 1)).answer() is not None:
        versions.append(machine.stored().get(name, b""))
        machine.clear(but={})
    versions.append(machine.stored()[name])
    assert len(set(versions)) == 3  # none, the first and the second, and no mixture


def test_a_sweep_killed_in_its_first_training_goes_on(machine: Machine) -> None:
    expected = undisturbed(machine, sweeping)
    child = Child(machine, waiting_in_fit)
    wait_until(machine.log)
    assert child.kill()
    assert Child(machine, sweeping).answer() is None
    assert machine.stored() == expected


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- several at once ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "log", "requested"),
    [
        (drawing, ["draw"], 0),
        (fetching, [], 8),  # torchvision asks for each of four files twice, first to be redirected
        (training, ["fit"], 0),
        (sweeping, ["fit"] * len(MANY), 0),
    ],
    ids=by_name,
)
def test_all_who_ask_at_once_get_it_and_it_is_made_once(
    machine: Machine, requests: list[str], command: Command, log: list[str], requested: int
) -> None:
    expected = undisturbed(machine, command)
    requests.clear()
    children = [Child(machine, command, start=False) for _ in range(3)]
    for child in children:
        child.go()
    assert [child.answer() for child in children] == [None] * 3
    assert machine.stored() == expected
    assert machine.log() == log
    assert len(requests) == requested
    assert not list(machine.folder.rglob(".*"))


def test_who_waits_for_one_that_is_killed_makes_it_himself(machine: Machine) -> None:
    expected = undisturbed(machine, sweeping)
    first = Child(machine, waiting_in_fit)
    wait_until(machine.log)
    second = Child(machine, sweeping)
    wait_until(lambda: "waiting for it" in machine.output())
    assert MANY[0].name in machine.output()
    assert first.kill()
    assert second.answer() is None
    assert machine.stored() == expected
    assert not list(machine.folder.rglob(".*"))


# ---- disk full, folder read-only ----------------------------------------------------------------

MECHANISMS = [*FULL, "read-only"]


def drawing_for_nothing(_: Machine) -> None:
    images, labels = glyphs.draw(350)
    assert load("glyphs").train_images.numpy().tobytes() == images[:300].tobytes()
    assert load("glyphs").test_labels.tolist() == labels[300:].tolist()


def fetching_or_error(_: Machine) -> None:
    os.environ["VAELIB_DATASET"] = "mnist"
    load("mnist")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_glyphs_that_cannot_be_stored_are_drawn(machine: Machine, mechanism: str) -> None:
    assert hindered(machine, mechanism, drawing_for_nothing) == (None, "")
    assert Child(machine, drawing).answer() is None
    assert len(machine.stored()) == 1


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(
    ("command", "folder", "files"),
    [(fetching_or_error, "data", 4), (training, "book/runs", 1), (overwriting, "book/runs", 1)],
    ids=by_name,
)
def test_what_cannot_be_stored_is_an_error_that_names_it_and_nothing_is_half_written(
    machine: Machine, mechanism: str, command: Command, folder: str, files: int
) -> None:
    if command is overwriting:
        store.write(machine.runs / f"{ONE.name}.run.safetensors", {"old": torch.ones(8)}, "old")
    answer, _ = hindered(machine, mechanism, command)
    assert str(machine.folder / folder) in answer
    assert os.strerror({**FULL, "read-only": errno.EROFS}[mechanism]) in answer
    assert ".unfinished" not in answer or mechanism == "read-only"
    if mechanism == "read-only":
        assert machine.log() == [], "it was trained for nothing"
    # With space again, the same command works.
    assert Child(machine, command).answer() is None
    assert len(machine.stored()) == files


def test_what_a_read_only_folder_holds_is_read(machine: Machine, requests: list[str]) -> None:
    for command in (drawing, fetching, training):
        assert Child(machine, command).answer() is None
    log = machine.log()
    requests.clear()
    for command in (drawing, fetching, training):
        assert hindered(machine, "read-only", command) == (None, "")
    assert machine.log() == log
    assert requests == []
