"""Small machines to kill processes on: their folders lie below one, and each command is a process.

A command is forked from a server that has imported everything, so that starting one takes
milliseconds. Killed processes get a real SIGKILL, disks are really full (a small tmpfs, a limit on
the size of files) and folders really cannot be written (a read-only mount in a namespace of their
own, because root ignores permissions).
"""

import ctypes
import errno
import functools
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import small_mnist

import vaelib.lab.training
from vaelib import data
from vaelib.data import glyphs

CONTEXT = multiprocessing.get_context("forkserver")
PATIENCE = 60  # seconds until a process that should end counts as hung
FOLDERS = ("data", "cache", "book/runs", "_build")


class Machine(NamedTuple):
    """Where a command works, all of it below one folder."""

    folder: Path
    address: str = small_mnist.NOBODY  # of the server that publishes a small MNIST

    @property
    def runs(self) -> Path:
        return self.folder / "book/runs"

    def set_up(self) -> None:
        """Make this process one of a machine with small datasets."""
        for name in [name for name in os.environ if name.startswith("VAELIB_")]:
            del os.environ[name]
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        os.environ["VAELIB_DATA"] = str(self.folder / "data")
        os.environ["VAELIB_RUNS"] = str(self.runs)
        os.environ["XDG_CACHE_HOME"] = str(self.folder / "cache")
        os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # in this process: it must be the one that is killed
        data.SPLIT_SIZES = (300, 50)
        glyphs.FONTS = glyphs.FONTS[:2]
        small_mnist.install(setattr, self.address)
        self.log_calls(glyphs, "draw")
        self.log_calls(vaelib.lab.training, "fit")
        for stream in (1, 2):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            os.dup2(os.open(self.folder / "output", flags), stream)

    def log_calls(self, module: Any, name: str) -> None:
        function = getattr(module, name)

        @functools.wraps(function)
        def logged(*args: Any, **options: Any) -> Any:
            with (self.folder / "log").open("a") as file:
                file.write(f"{name}\n")
            return function(*args, **options)

        setattr(module, name, logged)

    def log(self) -> list[str]:
        """The costly functions that were called."""
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def files(self) -> dict[str, Path]:
        paths = [path for name in FOLDERS for path in sorted((self.folder / name).rglob("*"))]
        return {str(path.relative_to(self.folder)): path for path in paths if path.is_file()}

    def stored(self) -> dict[str, bytes]:
        """Everything that looks like a stored file, with its content."""
        return {name: path.read_bytes() for name, path in self.files().items() if "/." not in name}

    def leftovers(self) -> list[str]:
        """What a killed process left, if it takes space."""
        return [name for name, path in self.files().items() if "/." in name and path.stat().st_size]

    def clear(self, but: dict[str, bytes]) -> None:
        """Delete all files but some, and the folders that are then empty."""
        for name in FOLDERS:
            for path in sorted((self.folder / name).rglob("*"), reverse=True):
                if path.is_dir():
                    with suppress(OSError):
                        path.rmdir()
                elif str(path.relative_to(self.folder)) not in but:
                    path.unlink()


def process(pipe: Connection, machine: Machine, command: Callable[[Machine], Any]) -> None:
    """Say when all is ready, wait for the start, answer with what the command returns or raises."""
    machine.set_up()
    pipe.send("ready")
    pipe.recv()
    try:
        answer = command(machine)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    with suppress(BrokenPipeError):
        pipe.send(answer)


class Child:
    """A process that runs a command; one that is not started yet waits for `go`."""

    def __init__(
        self, machine: Machine, command: Callable[[Machine], Any], start: bool = True
    ) -> None:
        self.pipe, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=process, args=(other, machine, command), daemon=True)
        self.process.start()
        other.close()
        assert self.pipe.recv() == "ready"
        if start:
            self.go()

    def go(self) -> None:
        self.pipe.send("go")

    def answer(self) -> Any:
        """What the command returned, a sentence if it raised, or the exit code of a killed one."""
        assert self.pipe.poll(PATIENCE), "hung"
        answer: Any = EOFError
        with suppress(EOFError):
            answer = self.pipe.recv()
        self.process.join(PATIENCE)
        return f"exit code {self.process.exitcode}" if answer is EOFError else answer

    def kill(self) -> bool:
        """Kill it, and say whether it was still at work."""
        self.process.kill()  # SIGKILL
        self.process.join(PATIENCE)
        with suppress(EOFError, ConnectionResetError):  # the latter if it had not begun
            self.pipe.recv()  # it had finished
            return False
        return True


# ---- killed at a certain operation --------------------------------------------------------------

# What Python itself announces, and os.fsync, which is announced here.
OPERATIONS = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.fsync"),
    *("fcntl.flock", "tempfile.mkstemp", "tempfile.mkdtemp"),
}


class KilledAt:
    """The same command, which dies at its n-th operation on files of the machine."""

    def __init__(self, command: Callable[[Machine], Any], n: int) -> None:
        self.command, self.n = command, n

    def __call__(self, machine: Machine) -> Any:
        left, flush = [self.n], os.fsync
        watched = [str(machine.folder / name) for name in FOLDERS]

        def fsync(handle: int) -> None:
            sys.audit("os.fsync", watched[0])
            flush(handle)

        def die(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in OPERATIONS or "rb" in arguments:
                return
            here = any(folder in str(one) for folder in watched for one in arguments)
            if here or event == "fcntl.flock":
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = fsync
        sys.addaudithook(die)
        return self.command(machine)


# ---- disk full, folders read-only ---------------------------------------------------------------

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000  # of unshare(2)
READ_ONLY, REMOUNT, BIND = 1, 32, 4096  # of mount(2)
FULL = {"size limit": errno.EFBIG, "full disk": errno.ENOSPC}


def mount(kind: str, folder: Path, flags: int = 0, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    source = str(folder) if flags & BIND else kind
    if libc.mount(source.encode(), bytes(folder), kind.encode(), flags, options.encode()):
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
    """A command on a machine whose folders are full or read-only."""

    def __init__(self, mechanism: str, command: Callable[[Machine], Any]) -> None:
        self.mechanism, self.command = mechanism, command

    def __call__(self, machine: Machine) -> Any:
        stored = machine.stored()
        try:
            if self.mechanism == "size limit":
                _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, most))
            else:
                own_mounts()
            for folder in [machine.folder / name for name in FOLDERS]:
                if self.mechanism == "full disk":
                    mount("tmpfs", folder, options="size=16k")
                elif self.mechanism == "read-only":
                    mount("none", folder, BIND)
                    mount("none", folder, BIND | REMOUNT | READ_ONLY)
        except (OSError, AttributeError) as error:
            return "cannot be tried", str(error)
        if self.mechanism == "full disk":
            for name, content in stored.items():
                (machine.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (machine.folder / name).write_bytes(content)
        # From here on in this process, for only it sees the mounts.
        before, start = machine.files(), len(machine.output())
        try:
            answer = self.command(machine)
        except OSError as error:
            answer = str(error)
        assert machine.files() == before
        assert machine.stored() == stored
        return answer, machine.output()[start:]


def hindered(
    machine: Machine, mechanism: str, command: Callable[[Machine], Any]
) -> tuple[Any, str]:
    """What the command returned or raised on such a machine, and what it printed."""
    answer = Child(machine, Hindered(mechanism, command)).answer()
    assert isinstance(answer, tuple), answer
    if answer[0] == "cannot be tried":
        pytest.skip(f"{mechanism}: no namespace with mounts of its own here ({answer[1]})")
    return answer
