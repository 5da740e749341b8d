"""Datasets are whole or not there: killed processes, full disks, random damage, the full drawing.

Each command runs in a process of its own, forked from a server that has imported everything, so
that starting one takes milliseconds. Killed processes get a real SIGKILL, disks are really full
(a small tmpfs, a limit on the size of files) and folders really cannot be written (a read-only
mount in a namespace of their own, because root ignores permissions).
"""

import ctypes
import errno
import hashlib
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import small_mnist
import torch
from test_data import GLYPHS_SHA256, MNIST_HERE

from vaelib import data
from vaelib.data import ImageData, glyphs, load, mnist, tiles, to_pixels

TESTS = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds until a process that should end counts as hung
TILES_SHA256 = "4eaa6fa5aa6cf9fa9a818c37b5798d37343207c38bd9b763d73c44b3fe18cdc3"

# ---- commands, each in a process of its own -----------------------------------------------------


class Machine(NamedTuple):
    """Where a command works."""

    folder: Path
    address: str  # of the server that publishes a small MNIST

    def set_up(self) -> None:
        """Make this process one of a machine with small datasets, all of it below one folder."""
        for name in [name for name in os.environ if name.startswith("VAELIB_")]:
            del os.environ[name]
        for name in ("data", "cache"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        os.environ["VAELIB_DATA"] = str(self.folder / "data")
        os.environ["XDG_CACHE_HOME"] = str(self.folder / "cache")
        data.SPLIT_SIZES = (300, 50)
        glyphs.FONTS = glyphs.FONTS[:2]
        draw = glyphs.draw

        def logged(count: int) -> Any:
            with (self.folder / "log").open("a") as file:
                file.write("draw\n")
            return draw(count)

        glyphs.draw = logged
        small_mnist.install(setattr, self.address)
        for stream in (1, 2):
            output = self.folder / "output"
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)

    def stored(self) -> dict[str, bytes]:
        """Everything that looks like a stored file, with its content."""
        return {name: path.read_bytes() for name, path in self.files() if "/." not in name}

    def leftovers(self) -> list[str]:
        """What a killed process left, if it takes space."""
        return [name for name, path in self.files() if "/." in name and path.stat().st_size]

    def files(self) -> list[tuple[str, Path]]:
        paths = sorted(self.folder.glob("[cd]a*/**/*"))
        return [(str(path.relative_to(self.folder)), path) for path in paths if path.is_file()]

    def clear(self) -> None:
        for path in sorted(self.folder.glob("[cd]a*/**/*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def log(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


def drawing(machine: Machine) -> None:
    assert load("glyphs").train_images.shape == (300, 1, 28, 28)


def fetching(machine: Machine) -> None:
    assert load("mnist").name == "mnist"


def process(pipe: Connection, machine: Machine, command: Callable[[Machine], Any]) -> None:
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
    """A process that runs a command."""

    def __init__(self, machine: Machine, command: Callable[[Machine], Any]) -> None:
        self.pipe, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=process, args=(other, machine, command), daemon=True)
        self.process.start()
        other.close()
        assert self.pipe.recv() == "ready"
        self.pipe.send("go")

    def answer(self) -> Any:
        assert self.pipe.poll(PATIENCE), "hung"
        with suppress(EOFError):
            return self.pipe.recv()
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
        folders = [str(TESTS / "slow"), str(TESTS), str(TESTS.parent)]
        patch.setenv("PYTHONPATH", os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        # matplotlib would write into the cache folder that is new for each test.
        CONTEXT.set_forkserver_preload([Path(__file__).stem, "matplotlib.textpath"])
        yield


@pytest.fixture
def machine(tmp_path: Path, requests: list[str]) -> Machine:
    """An empty machine, and a server that publishes a small MNIST."""
    return Machine(tmp_path / "machine", requests.pop())


@pytest.fixture
def requests(tmp_path: Path) -> Iterator[list[str]]:
    """What the server was asked for."""
    with small_mnist.serve(tmp_path / "server") as (address, asked):
        asked.append(address)
        yield asked


@pytest.fixture
def expected(machine: Machine, tmp_path: Path, requests: list[str]) -> dict[str, bytes]:
    """What both commands store when nothing disturbs them."""
    undisturbed = machine._replace(folder=tmp_path / "undisturbed")
    assert [Child(undisturbed, c).answer() for c in (drawing, fetching)] == [None, None]
    requests.clear()
    return undisturbed.stored()


def of(command: Callable[[Machine], None], expected: dict[str, bytes]) -> dict[str, bytes]:
    folder = "cache" if command is drawing else "data"
    return {name: content for name, content in expected.items() if name.startswith(folder)}


COMMANDS = pytest.mark.parametrize("command", [drawing, fetching], ids=lambda c: c.__name__)

# ---- killed, and several at once ----------------------------------------------------------------


@COMMANDS
def test_killed_at_any_moment_nothing_is_half_and_the_same_command_goes_on(
    machine: Machine, expected: dict[str, bytes], command: Callable[[Machine], None]
) -> None:
    whole = of(command, expected)
    start = time.monotonic()
    assert Child(machine, command).answer() is None
    duration = time.monotonic() - start
    machine.clear()
    moments = random.Random(command.__name__)
    killed, completed = 0, 0
    while killed < 6:
        child = Child(machine, command)
        time.sleep(moments.uniform(0, duration))
        if child.kill():
            killed += 1
            assert machine.stored().items() <= whole.items()
        else:
            completed += 1
            assert completed < 40, "it is never at work when it is to be killed"
            assert machine.stored() == whole
            machine.clear()
    assert Child(machine, command).answer() is None
    assert machine.stored() == whole
    assert machine.leftovers() == []


class KilledAt:
    """The same command, which dies at its n-th operation on files of the machine."""

    def __init__(self, command: Callable[[Machine], Any], n: int) -> None:
        self.command, self.n = command, n

    def __call__(self, machine: Machine) -> Any:
        left = [self.n]

        def die(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in {
                *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"),
                *("fcntl.flock", "tempfile.mkdtemp"),
            }:
                return
            here = any(str(machine.folder) in str(argument) for argument in arguments)
            if (here or event == "fcntl.flock") and "rb" not in arguments:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        return self.command(machine)


# A download has four times the operations of a drawing: every fourth of them will do.
@pytest.mark.parametrize(("command", "step"), [(drawing, 1), (fetching, 4)])
def test_killed_before_each_operation_on_a_file(
    machine: Machine, expected: dict[str, bytes], command: Callable[[Machine], None], step: int
) -> None:
    whole = of(command, expected)
    kills = 0
    while (answer := Child(machine, KilledAt(command, step * kills + 1)).answer()) is not None:
        assert answer == f"exit code {-signal.SIGKILL}"
        kills += 1
        before = machine.stored()
        assert before.items() <= whole.items()
        if kills % 3 == 0:  # what it left does not hinder the next, and is not kept for ever
            assert Child(machine, command).answer() is None
            assert machine.stored() == whole
            assert before == whole or machine.leftovers() == []
        machine.clear()
    assert kills >= 5
    assert machine.stored() == whole


@COMMANDS
def test_all_who_ask_at_once_get_it_and_it_is_made_once(
    machine: Machine,
    expected: dict[str, bytes],
    requests: list[str],
    command: Callable[[Machine], None],
) -> None:
    children = [Child(machine, command) for _ in range(3)]
    assert [child.answer() for child in children] == [None] * 3
    assert machine.stored() == of(command, expected)
    assert machine.log() == (["draw"] if command is drawing else [])
    # torchvision asks for each file twice, first for a redirection.
    assert len(requests) == (8 if command is fetching else 0)
    assert not list(machine.folder.rglob(".*"))


WITHOUT_FCNTL = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(["fcntl", "grp", "pwd", "resource"]))
import vaelib
from vaelib.data.lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1], "file")):
    assert len(list(Path(sys.argv[1]).iterdir())) == 1
"""


def test_without_fcntl_as_on_windows_files_are_locked_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path)]
    subprocess.run(command, check=True, cwd=TESTS.parent)
    assert list(tmp_path.iterdir()) == []


# ---- disk full, folder read-only ----------------------------------------------------------------

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
        try:
            if self.mechanism == "size limit":
                _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, most))
            else:
                own_mounts()
            for folder in (machine.folder / "data", machine.folder / "cache"):
                if self.mechanism == "full disk":
                    mount("tmpfs", folder, options="size=16k")
                elif self.mechanism == "read-only":
                    mount("none", folder, BIND)
                    mount("none", folder, BIND | REMOUNT | READ_ONLY)
        except (OSError, AttributeError) as error:
            return "cannot be tried", str(error)
        before = machine.files()
        try:
            answer = self.command(machine)
        except OSError as error:
            answer = str(error)
        assert machine.files() == before  # the mount is seen from in here only
        return answer, (machine.folder / "output").read_text()


def hindered(
    machine: Machine, mechanism: str, command: Callable[[Machine], Any]
) -> tuple[Any, str]:
    answer = Child(machine, Hindered(mechanism, command)).answer()
    assert isinstance(answer, tuple), answer
    if answer[0] == "cannot be tried":
        pytest.skip(f"{mechanism}: no namespace with mounts of its own here ({answer[1]})")
    return answer


def drawing_for_nothing(machine: Machine) -> None:
    images, labels = glyphs.draw(350)
    assert load("glyphs").train_images.numpy().tobytes() == images[:300].tobytes()
    assert load("glyphs").test_labels.tolist() == labels[300:].tolist()


def fetching_or_error(machine: Machine) -> None:
    os.environ["VAELIB_DATASET"] = "mnist"
    load("mnist")


MECHANISMS = pytest.mark.parametrize(
    ("mechanism", "number"), [*FULL.items(), ("read-only", errno.EROFS)]
)


@MECHANISMS
def test_glyphs_that_cannot_be_stored_are_drawn(
    machine: Machine, mechanism: str, number: int
) -> None:
    assert hindered(machine, mechanism, drawing_for_nothing) == (None, "")
    assert Child(machine, drawing).answer() is None
    assert len(machine.stored()) == 1


@MECHANISMS
def test_a_download_that_cannot_be_stored_is_an_error_that_says_so(
    machine: Machine, mechanism: str, number: int
) -> None:
    answer, _ = hindered(machine, mechanism, fetching_or_error)
    assert str(machine.folder / "data") in answer
    assert os.strerror(number) in answer
    assert Child(machine, fetching).answer() is None
    assert len(machine.stored()) == 4


def test_what_a_read_only_folder_holds_is_read(machine: Machine, requests: list[str]) -> None:
    for command in (drawing, fetching):
        assert Child(machine, command).answer() is None
    requests.clear()
    for command in (drawing, fetching):
        assert hindered(machine, "read-only", command) == (None, "")
    assert machine.log() == ["draw"]
    assert requests == []


# ---- random damage ------------------------------------------------------------------------------


def damages(content: bytes, count: int) -> Iterator[bytes]:
    """Truncate a file, flip a bit of it, and lengthen it, at its ends and at random places."""
    chance = random.Random(len(content))
    for length in (0, 1, len(content) - 1, *(chance.randrange(len(content)) for _ in range(count))):
        yield content[:length]
    last = 8 * len(content) - 1
    for bit in (0, 7, last, *(chance.randrange(last) for _ in range(count))):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)
    yield from (content + b"\0", b"\0" + content, content + content)


def forget() -> None:
    data._load_mnist.cache_clear()
    data._load_glyphs.cache_clear()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the small MNIST, no network, and few glyphs of one font."""
    for variable in [name for name in os.environ if name.startswith("VAELIB_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "SPLIT_SIZES", (6, 2))
    small_mnist.install(monkeypatch.setattr)
    (tmp_path / "data").mkdir()
    for name, content in small_mnist.FILES.items():
        (tmp_path / "data" / name).write_bytes(content)
    return tmp_path


def test_damaged_mnist_is_never_loaded_replaced_or_deleted(home: Path) -> None:
    for name, whole in small_mnist.FILES.items():
        path = home / "data" / name
        for content in damages(whole, 30):
            path.write_bytes(content)
            forget()
            with pytest.raises(ValueError, match=f"^{path}: "):
                load("mnist")
            assert path.read_bytes() == content
        path.write_bytes(whole)
        forget()
        assert load("mnist").name == "mnist"


def test_a_damaged_packed_file_is_an_error_or_unpacks_to_the_same(home: Path) -> None:
    """gzip ignores the time in its header and zeros behind the end."""
    name = "t10k-labels-idx1-ubyte"
    (home / "data" / name).unlink()
    path = home / "data" / f"{name}.gz"
    messages = []
    for content in damages(small_mnist.PACKED[path.name], 100):
        path.write_bytes(content)
        forget()
        try:
            assert bytes(load("mnist").test_labels.tolist()) == small_mnist.FILES[name][8:]
        except ValueError as error:
            messages.append(str(error))
        assert path.read_bytes() == content
    assert len(messages) > 180
    assert all(message.startswith(f"{path}: ") for message in messages)


@pytest.mark.parametrize("instead", [Path.mkdir, lambda path: path.symlink_to("gone")])
def test_what_lies_in_a_files_place_is_left_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, instead: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    path = home / "data" / "train-images-idx3-ubyte"
    path.unlink()
    instead(path)
    before = sorted(path.parent.iterdir())
    forget()
    with pytest.raises(FileNotFoundError, match="cannot be downloaded"):
        load("mnist")
    assert sorted(path.parent.iterdir()) == before


def test_a_damaged_glyphs_file_is_reported_and_never_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = glyphs.draw(8)
    monkeypatch.setattr(glyphs, "draw", lambda count: drawn)
    load("glyphs")
    path = home / "cache" / "vaelib" / glyphs.file_name()
    whole = path.read_bytes()
    for content in damages(whole, 80):
        path.write_bytes(content)
        forget()
        assert load("glyphs").train_images.numpy().tobytes() == drawn[0][:6].tobytes()
        assert str(path) in capsys.readouterr().out
        assert path.read_bytes() == whole
        assert list(path.parent.iterdir()) == [path]


# ---- the full sets ------------------------------------------------------------------------------


def digest(images: ImageData) -> str:
    """Of the images and labels in the order in which they were drawn."""
    parts = (images.train_images, images.test_images, images.train_labels, images.test_labels)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """The full set of glyphs, drawn without any cache."""
    begin = time.process_time()
    drawn = glyphs.draw(70_000)
    assert time.process_time() - begin < 20
    return data._split("glyphs", *drawn)


def test_the_full_sets_are_pinned(digits: ImageData) -> None:
    assert digest(digits) == GLYPHS_SHA256
    images = data._split("tiles", *tiles.draw(70_000))
    parts = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    stored = b"".join(part.numpy().tobytes() for part in parts)
    assert hashlib.sha256(stored).hexdigest() == TILES_SHA256
    # Two degrees of freedom, without grain: hardly any image comes twice.
    train = {image.tobytes() for image in images.train_images.numpy()}
    assert len(train) > 59_900
    assert sum(image.tobytes() in train for image in images.test_images.numpy()) < 20


def test_the_glyphs_resemble_mnist(digits: ImageData) -> None:
    assert digits.train_images.shape == (60_000, 1, 28, 28)
    assert digits.test_images.shape == (10_000, 1, 28, 28)
    assert digits.train_labels.bincount().min() > 5_700
    pixels = to_pixels(digits.train_images).flatten(1)
    assert 0.11 < pixels.mean() < 0.16, "MNIST: 0.131"
    assert (pixels[:, [0, 27, 756, 783]] == 0).float().mean() > 0.995, "corners are black"
    # As many directions of large variance as MNIST has: 12 above 1, the first 5.12.
    spread = torch.linalg.eigvalsh(torch.cov(pixels.T.double())).flip(0)
    assert 9 <= (spread > 1).sum() <= 15
    assert 4 < spread[0] < 6.5


def test_no_test_glyph_is_a_training_glyph(digits: ImageData) -> None:
    train = {image.tobytes() for image in digits.train_images.numpy()}
    assert len(train) == 60_000
    assert not any(image.tobytes() in train for image in digits.test_images.numpy())


def accuracy(model: torch.nn.Module, digits: ImageData, epochs: int, rate: float) -> float:
    """Of a classifier after `epochs` of training with a rate that falls to zero."""
    pixels = to_pixels(digits.train_images).flatten(1)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    steps = epochs * -(-len(pixels) // 128)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels)).split(128):
            labels = digits.train_labels[batch]
            loss = torch.nn.functional.cross_entropy(model(pixels[batch]), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        guess = model(to_pixels(digits.test_images).flatten(1)).argmax(1)
    return (guess == digits.test_labels).double().mean().item()


def test_glyphs_are_too_varied_for_a_linear_classifier_but_not_for_a_small_network(
    digits: ImageData,
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            linear = torch.nn.Linear(784, 10)
            layers = torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
            assert 0.85 < accuracy(linear, digits, epochs=6, rate=5e-3) < 0.94
            assert accuracy(torch.nn.Sequential(*layers), digits, epochs=5, rate=3e-3) > 0.965
    finally:
        torch.set_num_threads(threads)


def test_mnist_itself_damaged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The true file against the true checksum: the others need not be there."""
    name = "t10k-images-idx3-ubyte"
    source = MNIST_HERE / "MNIST" / "raw" / name
    if not source.exists():
        pytest.skip("MNIST is not at hand: set VAELIB_DATA to check the real files")
    monkeypatch.setitem(mnist.MD5, name, "2646ac647ad5339dbf082846283269ea")
    for content in damages(source.read_bytes(), 5):
        (home / "data" / name).write_bytes(content)
        forget()
        with pytest.raises(ValueError, match=name):
            load("mnist")
