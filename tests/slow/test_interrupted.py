"""Killed, on a full disk, or not alone: what is stored stays whole, and the same command goes on.

Each command runs in a process of its own, forked from a server that has imported everything, so
that starting one takes milliseconds. Killed processes get a real SIGKILL, disks are really full
(a small tmpfs, a limit on the size of files) and folders really cannot be written (a read-only
mount in a namespace of their own, for root ignores permissions).
"""

import ctypes
import errno
import functools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import vaelib.experiment
import vaelib.reproduce
from conftest import ROOT

from vaelib import Experiment, _store, data, sweep

# How many processes are killed at random moments while they do what.
KILLS = {"training": 7, "storing": 8, "sweeping": 6, "reproducing": 6}
SEED = 20
PATIENCE = 60  # seconds until a process that should end counts as hung

TINY = {"dataset": "tiles", "hidden": (8,), "latent": 2, "epochs": 2, "batch_size": 50}
ONE = Experiment(**TINY, seed=7)
SHORT = Experiment(**{**TINY, "epochs": 1}, history=False)
MANY = [Experiment(**TINY, seed=seed, history=seed == 0) for seed in range(4)]


# ---- the commands, each in a process of its own -------------------------------------------------


class Place(NamedTuple):
    """Where a command works."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def logged(log: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which first adds its name to a log."""

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        with log.open("a") as file:
            file.write(f"{function.__name__}\n")
        return function(*args, **options)

    return wrapper


def prepare(place: Place) -> None:
    """Make the process one of a machine with small datasets, all of it below one folder."""
    place.folder.mkdir(exist_ok=True)
    for name in ("VAELIB_DATASET", "VAELIB_TRAIN"):
        os.environ.pop(name, None)
    os.environ["VAELIB_RUNS"] = str(place.runs)
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # in this process: it must be the one that is killed
    data.SPLIT_SIZES = (300, 50)
    vaelib.experiment.fit = logged(place.log, vaelib.experiment.fit)
    for stream in (1, 2):
        os.dup2(os.open(place.folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)


def training(place: Place) -> None:
    ONE.run()


def short_training(place: Place) -> None:
    SHORT.run()


CONTENTS = [{"weights/a": torch.full((size,), float(size))} for size in (500_000, 30, 200_000)]


def storing(place: Place) -> None:
    for turn in range(10):
        for number, tensors in enumerate(CONTENTS):
            _store.write(place.runs / "x.run.safetensors", tensors, f"{number}")
        if turn == 0:
            _store.read(place.runs / "x.run.safetensors")


def sweeping(place: Place) -> None:
    sweep(MANY, jobs=1)


def reproducing(place: Place) -> None:
    """What `make reproduce` does, but for the last step, which is another program's."""
    with suppress(FileExistsError):
        (place.folder / "again").mkdir()
    vaelib.reproduce.FOLDER = place.folder / "again"

    def check(_command: list[str], env: dict[str, str], **_: object) -> Any:
        for path in sorted(Path(env["VAELIB_RUNS"]).glob("*.safetensors")):
            _store.read(path)
        return subprocess.CompletedProcess([], 0)

    vaelib.reproduce.subprocess.run = check  # type: ignore[assignment]
    assert vaelib.reproduce.main() == 0


def stored_before_reproducing(place: Place) -> None:
    for experiment in (ONE, SHORT):
        experiment.run()
    sweep(MANY, jobs=1)


def process(pipe: Connection, place: Place, command: Callable[[Place], Any]) -> None:
    """Say when all is ready, wait for the start, answer with what the command said or raised."""
    prepare(place)
    pipe.send("ready")
    pipe.recv()
    try:
        answer = command(place)
    except Exception as error:
        answer = error
    with suppress(BrokenPipeError):
        pipe.send(f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else answer)


class Child:
    """A process that is ready to run a command."""

    def __init__(self, place: Place, command: Callable[[Place], Any]) -> None:
        self.pipe, other = CONTEXT.Pipe()
        self.process: ForkServerProcess = CONTEXT.Process(
            target=process, args=(other, place, command), daemon=True
        )
        self.process.start()
        other.close()
        assert self.pipe.recv() == "ready"

    def go(self) -> "Child":
        self.pipe.send("go")
        return self

    def answer(self) -> Any:
        assert self.pipe.poll(PATIENCE), "hung"
        with suppress(EOFError):
            found = self.pipe.recv()
            self.process.join(PATIENCE)
            return found
        self.process.join(PATIENCE)
        return f"exit code {self.process.exitcode}"

    def kill(self) -> bool:
        """Kill it, and say whether it was still at work."""
        self.process.kill()  # SIGKILL
        self.process.join(PATIENCE)
        with suppress(EOFError):
            self.pipe.recv()  # it had finished
            return False
        return True


CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def server_of_processes() -> Iterator[None]:
    """Let the processes start with this file already imported."""
    with pytest.MonkeyPatch.context() as patch:
        here = [*map(str, (Path(__file__).parent, ROOT / "tests", ROOT))]
        here.append(os.environ.get("PYTHONPATH", ""))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, here)))
        patch.setenv("OMP_NUM_THREADS", "1")
        CONTEXT.set_forkserver_preload([Path(__file__).stem])
        yield


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty machine."""
    return Place(tmp_path / "machine")


def result(place: Place, command: Callable[[Place], Any], folder: Path) -> dict[str, bytes]:
    """What the command stores when nothing disturbs it."""
    undisturbed = place._replace(folder=folder)
    assert Child(undisturbed, command).go().answer() is None
    return stored(undisturbed)


def stored(place: Place) -> dict[str, bytes]:
    """Everything that looks like a stored file, with its content."""
    return {
        str(path.relative_to(place.folder)): path.read_bytes()
        for part in ("runs", "again")
        for path in sorted((place.folder / part).rglob("*"))
        if path.is_file()
        and not any(p.startswith(".") for p in path.relative_to(place.folder).parts)
    }


def litter(place: Place) -> list[str]:
    """What a killed process left, where it takes space."""
    return [
        str(path.relative_to(place.folder))
        for path in sorted(place.folder.rglob("*"))
        if path.is_file()
        and path.stat().st_size
        and any(p.startswith(".") for p in path.relative_to(place.folder).parts)
    ]


def clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


# ---- killed -------------------------------------------------------------------------------------


# Needs the patch lock for its last line: what a killed process left took space for ever.
@pytest.mark.parametrize(
    "command",
    [training, storing, sweeping, reproducing],
    ids=lambda c: c.__name__,
)
def test_killed_at_any_moment_nothing_is_half_and_the_same_command_goes_on(
    place: Place, tmp_path: Path, command: Callable[[Place], None]
) -> None:
    if command is reproducing:
        before = result(place, stored_before_reproducing, place.folder)
        shutil.copytree(place.folder, tmp_path / "reference")
    undisturbed = Child(place._replace(folder=tmp_path / "reference"), command)
    start = time.monotonic()
    assert undisturbed.go().answer() is None
    duration = time.monotonic() - start
    expected = stored(place._replace(folder=tmp_path / "reference"))
    versions = {"runs/x.run.safetensors": contents(tmp_path)} if command is storing else {}
    moments = random.Random(f"{SEED}{command.__name__}")
    killed, completed = 0, 0
    while killed < KILLS[command.__name__]:
        child = Child(place, command).go()
        time.sleep(moments.uniform(0, duration))
        if child.kill():
            killed += 1
            for name, content in stored(place).items():
                assert content in versions.get(name, [expected.get(name)]), name
        else:
            completed += 1
            assert completed < 5 * killed + 10, "it is never at work when it is to be killed"
            assert stored(place) == expected
            if command is reproducing:
                clear(place.folder / "again")
            else:
                clear(place.folder)
    assert Child(place, command).go().answer() is None
    assert stored(place) == expected
    if command is reproducing:
        assert before.items() <= stored(place).items()
    if command is not storing:  # a bare write, without the lock of who makes a run
        assert litter(place) == []


def contents(tmp_path: Path) -> list[bytes]:
    found = []
    for number, tensors in enumerate(CONTENTS):
        _store.write(tmp_path / "version", tensors, f"{number}")
        found.append((tmp_path / "version").read_bytes())
    return found


WATCHED = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"),
    *("fcntl.flock", "os.fsync", "tempfile.mkstemp", "tempfile.mkdtemp"),
}


class KilledAt:
    """The same command, which dies at its n-th operation on files of the machine."""

    def __init__(self, command: Callable[[Place], Any], n: int) -> None:
        self.command, self.n = command, n

    def __call__(self, place: Place) -> Any:
        left, flush = [self.n], os.fsync

        def fsync(handle: int) -> None:
            sys.audit("os.fsync", f"{place.folder}")
            flush(handle)

        def die(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in WATCHED or str(place.log) in map(str, arguments):
                return
            here = any(str(place.folder) in str(argument) for argument in arguments)
            if not (here or event == "fcntl.flock") or "rb" in arguments:
                return
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = fsync
        sys.addaudithook(die)
        return self.command(place)


def test_killed_before_each_operation_on_a_file(place: Place, tmp_path: Path) -> None:
    command = short_training
    expected = result(place, command, tmp_path / "reference")
    kills = 0
    while (said := Child(place, KilledAt(command, kills + 1)).go().answer()) is not None:
        assert said == f"exit code {-signal.SIGKILL}"
        kills += 1
        found = stored(place)
        assert found.items() <= expected.items()
        # What it left does not hinder the next, and is not kept for ever.
        if kills % 3 == 0:
            assert Child(place, command).go().answer() is None
            assert stored(place) == expected
            if found != expected:  # else only the tidying up was left to do
                assert litter(place) == []  # needs the patch lock
        clear(place.folder)
    assert kills >= 5
    assert stored(place) == expected


def test_a_sweep_killed_in_its_first_training_goes_on(place: Place, tmp_path: Path) -> None:
    expected = result(place, sweeping, tmp_path / "reference")
    child = Child(place, waiting_in_fit).go()
    while not place.lines():
        time.sleep(0.01)
    child.kill()
    assert Child(place, sweeping).go().answer() is None
    assert stored(place) == expected


def waiting_in_fit(place: Place) -> None:
    """Reach the training, and stay there."""
    fit = vaelib.experiment.fit

    def wait(*args: Any, **options: Any) -> None:
        fit(*args, **options)
        time.sleep(PATIENCE)

    vaelib.experiment.fit = wait
    sweep(MANY, jobs=1)


# ---- two at once --------------------------------------------------------------------------------


# The four below need the patch lock: each process did the work for itself.
@pytest.mark.parametrize(
    ("command", "made"),
    [(training, ["fit"]), (sweeping, ["fit"] * len(MANY))],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_all_who_ask_at_once_get_it_and_it_is_made_once(
    place: Place, tmp_path: Path, command: Callable[[Place], None], made: list[str]
) -> None:
    expected = result(place, command, tmp_path / "reference")
    children = [Child(place, command) for _ in range(3)]
    for child in children:
        child.go()
    assert [child.answer() for child in children] == [None] * 3
    assert stored(place) == expected
    assert place.lines() == made
    assert not list(place.folder.rglob(".*"))


def test_who_waits_for_one_that_is_killed_makes_it_himself(place: Place, tmp_path: Path) -> None:
    expected = result(place, sweeping, tmp_path / "reference")
    first = Child(place, waiting_in_fit).go()
    while not place.lines():
        time.sleep(0.01)
    second = Child(place, sweeping).go()
    said = place.folder / "said"
    deadline = time.monotonic() + PATIENCE
    while "waiting for it" not in said.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert MANY[0].name in said.read_text()
    assert first.kill()
    assert second.answer() is None
    assert stored(place) == expected
    assert not list(place.folder.rglob(".*"))


# ---- disk full, folder read-only ----------------------------------------------------------------

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000  # of unshare(2)
READ_ONLY, REMOUNT, BIND = 1, 32, 4096  # of mount(2)


def mount(kind: str, folder: Path, flags: int = 0, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    source = str(folder) if flags & BIND else kind
    arguments = (source.encode(), bytes(folder), kind.encode(), flags, options.encode())
    if libc.mount(*arguments):
        raise OSError(ctypes.get_errno(), "mount", str(folder))


def own_mounts() -> None:
    """Let this process mount what nobody else sees."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USERS | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


class Hindered:
    """A command on a machine one of whose folders is full or read-only."""

    def __init__(self, mechanism: str, part: str, command: Callable[[Place], Any]) -> None:
        self.mechanism, self.part, self.command = mechanism, part, command

    def __call__(self, place: Place) -> Any:
        folder = getattr(place, self.part)
        folder.mkdir(parents=True, exist_ok=True)
        before = stored(place)
        try:
            if self.mechanism == "size limit":
                _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, most))
            elif self.mechanism == "full disk":
                own_mounts()
                mount("tmpfs", folder, options="size=16k")
                for name, content in before.items():
                    if (place.folder / name).is_relative_to(folder):
                        (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
                        (place.folder / name).write_bytes(content)
            else:
                own_mounts()
                mount("none", folder, BIND)
                mount("none", folder, BIND | REMOUNT | READ_ONLY)
        except (OSError, AttributeError) as error:
            return "cannot be tried", str(error), ()
        left, before_said = set(folder.rglob("*")), (place.folder / "said").stat().st_size
        assert stored(place) == before
        try:
            answer = self.command(place)
        except OSError as error:
            answer = str(error)
        # The mount is seen from in here only. (The log of trainings lies outside.)
        assert stored(place) == before
        assert set(folder.rglob("*")) == left
        said = (place.folder / "said").read_bytes()[before_said:].decode()
        return answer, said, tuple(place.lines())


def hindered(
    place: Place, mechanism: str, part: str, command: Callable[[Place], Any]
) -> tuple[Any, str, tuple[str, ...]]:
    found = Child(place, Hindered(mechanism, part, command)).go().answer()
    assert isinstance(found, tuple), found
    if found[0] == "cannot be tried":
        pytest.skip(f"{mechanism}: no namespace with mounts of its own here ({found[1]})")
    return found


FULL = {"size limit": errno.EFBIG, "full disk": errno.ENOSPC}
OLD = {"weights/a": torch.ones(8)}
RUN = f"{ONE.name}.run.safetensors"


def overwriting(place: Place) -> None:
    _store.write(place.runs / RUN, CONTENTS[0], "new")


def big_training(place: Place) -> None:
    Experiment(**{**TINY, "epochs": 1}, history=False, seed=3).run()


@pytest.mark.parametrize("mechanism", FULL)
@pytest.mark.parametrize("command", [overwriting, big_training], ids=lambda c: c.__name__)
def test_on_a_full_disk_a_run_is_an_error_that_names_the_file_and_nothing_is_half_written(
    place: Place, mechanism: str, command: Callable[[Place], None]
) -> None:
    _store.write(place.runs / RUN, OLD, "old")
    said, _, _ = hindered(place, mechanism, "runs", command)
    assert os.strerror(FULL[mechanism]) in said
    assert ".run.safetensors" in said  # needs the patch disk-full-message
    assert ".unfinished" not in said
    # With space again, the same command works.
    assert Child(place, command).go().answer() is None
    assert len(stored(place)) == 1 + (command is big_training)


def test_in_a_read_only_folder_nothing_is_trained_for_nothing(place: Place) -> None:
    said, _, log = hindered(place, "read-only", "runs", training)
    assert os.strerror(errno.EROFS) in said
    assert str(place.runs) in said
    assert log == ()  # needs the patch lock: it was trained first


def test_what_a_read_only_folder_holds_is_read(place: Place) -> None:
    assert Child(place, training).go().answer() is None
    place.log.unlink()
    assert hindered(place, "read-only", "runs", training) == (None, "", ())
