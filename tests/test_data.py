"""The images: their form, where they come from, and what happens if they are not there."""

import contextlib
import hashlib
import io
import os
import socket
import sys
import threading
from errno import ENOLCK
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
import pytest
import small_mnist
import torch
from conftest import ROOT
from small_mnist import FILES, PACKED
from torchvision import datasets

from vaelib import data
from vaelib.data import ImageData, check_image_shape, glyphs, load, mnist, tiles, to_pixels
from vaelib.data.lock import exclusive_lock, temporary_prefix

# Pinned for matplotlib 3.11.2 (the outlines of the glyphs) and NumPy 2.4.6 (the draws). If they
# change, raise glyphs.VERSION and train the stored runs on the glyphs again. The full sets are
# compared in slow/test_glyphs.py.
GLYPHS_SHA256 = "6faca2c163ceae4d4fed867ec6454f59121473cf077cd8ae3f36ad0d1a71aadf"
FIRST_GLYPHS = "fc5203809615ea985860b1a10d5da96d4d27685d52d384e90ab3f3aec324d8ba"
FIRST_GLYPHS_LABELS = "1a14b895306a3ed799310d1688048b24183b664587705df918eb751e87eda842"
FIRST_TILES = "cf7547938d3591845637b4fe4504ab67ac3a1f00bd7318a502a7fe868bb7be46"
FIRST_TILES_LABELS = "84fe648683b2e387b183f0410e79a976860c64ec2731cf4189b96d22172926ec"

MNIST_HERE = Path(os.environ.get("VAELIB_DATA") or "~/.cache/vaelib").expanduser().absolute()
CACHE_HERE = data.cache_folder()


def sha256(array):
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def load_again(name):
    """Load as a new process would."""
    for function in (data._load_mnist, data._load_glyphs, data._load_tiles):
        function.cache_clear()
    return load(name)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine with nothing on it and no network."""
    for variable in [name for name in os.environ if name.startswith("VAELIB_")]:
        monkeypatch.delenv(variable)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [small_mnist.NOBODY])
    return tmp_path


@pytest.fixture
def draws(monkeypatch):
    """Make drawing cheap and count how often it is done."""
    calls = []

    def draw(count):
        calls.append(count)
        random = np.random.Generator(np.random.PCG64(1))
        images = random.integers(0, 256, (count, 1, 28, 28), np.uint8)
        return images, random.integers(0, 10, count)

    monkeypatch.setattr(data, "SPLIT_SIZES", (60, 10))
    monkeypatch.setattr(glyphs, "draw", draw)
    return calls


@pytest.fixture
def server(home, monkeypatch):
    """A small MNIST, to be had from a server."""
    with small_mnist.serve(home / "server") as (address, requests):
        small_mnist.install(monkeypatch.setattr, address)
        yield requests


@pytest.fixture
def raw(home, monkeypatch):
    """The small MNIST, unpacked where VAELIB_DATA points; no server."""
    small_mnist.install(monkeypatch.setattr)
    lay_out(home / "data/MNIST/raw", FILES)
    return home / "data/MNIST/raw"


def lay_out(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def is_small_mnist(images):
    return (
        images.name == "mnist"
        and images.train_images.numpy().tobytes() == FILES["train-images-idx3-ubyte"][16:]
        and images.train_labels.tolist() == list(FILES["train-labels-idx1-ubyte"][8:])
        and images.test_images.numpy().tobytes() == FILES["t10k-images-idx3-ubyte"][16:]
        and images.test_labels.tolist() == list(FILES["t10k-labels-idx1-ubyte"][8:])
    )


# ---- ImageData and pixels -----------------------------------------------------------------------


def parts(**changes):
    return {
        "train_images": torch.zeros(4, 1, 8, 8, dtype=torch.uint8),
        "train_labels": torch.zeros(4, dtype=torch.int64),
        "test_images": torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
        "test_labels": torch.zeros(2, dtype=torch.int64),
    } | changes


def test_image_data_accepts_tensors_and_arrays():
    assert ImageData("x", **parts()).train_images.shape == (4, 1, 8, 8)
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 1, 8, 8)[:, :, ::-1]
    labels = np.arange(4)
    labels.flags.writeable = False
    converted = ImageData("x", **parts(train_images=images, train_labels=labels))
    assert converted.train_images.tolist() == images.tolist()
    assert converted.train_labels.tolist() == [0, 1, 2, 3]
    assert converted.train_labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("train_images", [[0]], TypeError),
        ("train_images", torch.zeros(4, 1, 8, 8), TypeError),
        ("train_labels", np.zeros(4, np.uint8), TypeError),
        ("test_images", torch.zeros(2, 8, 8, dtype=torch.uint8), ValueError),
        ("test_images", torch.zeros(0, 1, 8, 8, dtype=torch.uint8), ValueError),
        ("test_images", torch.zeros(2, 3, 8, 8, dtype=torch.uint8), ValueError),
        ("test_images", torch.zeros(2, 8, 8, 1, dtype=torch.uint8), ValueError),
        ("test_labels", torch.zeros(3, dtype=torch.int64), ValueError),
    ],
)
def test_image_data_refuses_anything_else_by_name(argument, value, error):
    with pytest.raises(error, match=f"^{argument}: expected"):
        ImageData("x", **parts(**{argument: value}))


@pytest.mark.parametrize(
    "shape", [(1, 28, 28), (3, 8, 8), (512, 4, 4), (64, 1, 1), (7, 9, 32, 32), (60, 4)]
)
def test_channels_first(shape):
    check_image_shape("shape", shape)


@pytest.mark.parametrize(
    "shape", [(28, 28, 1), (32, 32, 3), (5, 7, 4), (100, 32, 32, 3), (2, 28, 28, 1)]
)
def test_channels_last_are_an_error_that_says_what_to_do(shape):
    with pytest.raises(ValueError, match=r"^shape: .*movedim"):
        check_image_shape("shape", shape)


@pytest.mark.parametrize("as_given", [torch.from_numpy, np.asarray])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_pixels_from_bytes_and_from_numbers(as_given, dtype):
    stored = np.arange(256, dtype=np.uint8).reshape(2, 128)
    for given in (stored, stored / 255, (stored / 255).astype(np.float32)):
        before = given.copy()
        pixels = to_pixels(as_given(given), dtype)
        expected = torch.from_numpy(given).to(dtype) / (255 if given is stored else 1)
        assert pixels.dtype == dtype
        assert torch.equal(pixels, expected)
        assert np.array_equal(given, before)


def test_pixels_keep_device_and_do_not_depend_on_the_default_type(monkeypatch):
    stored = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.set_default_dtype(torch.float64)
    try:
        assert to_pixels(stored).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert to_pixels(stored.to("meta")).device.type == "meta"
    pixels = torch.rand(3, requires_grad=True)
    assert to_pixels(pixels) is pixels, "nothing to convert costs no memory"
    assert to_pixels(torch.zeros(0, 1, 8, 8)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_pixels_are_bytes_or_floating_point_numbers(dtype):
    for images in (torch.zeros(2, dtype=dtype), torch.zeros(2, dtype=dtype).numpy()):
        with pytest.raises(TypeError, match=r"^images: "):
            to_pixels(images)
    with pytest.raises(TypeError, match=r"^images: "):
        to_pixels([0.5])
    with pytest.raises(TypeError, match=r"^dtype: "):
        to_pixels(torch.zeros(2), dtype)


# ---- names and the environment ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnits", "MNIST", "", None, "fashion", "cifar10"])
def test_unknown_name(name):
    with pytest.raises(ValueError, match=r"^name: "):
        load(name)


@pytest.mark.parametrize("variable", ["VAELIB_DATASETS", "VAELIB_THREADS", "VAELIB_"])
def test_an_unknown_setting_is_an_error(variable, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", "somewhere")
    monkeypatch.setenv("VAELIB_TRAIN", "never")
    data.check_environment()
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ValueError, match=rf"^{variable}: "):
        load("tiles")


@pytest.mark.parametrize("name", data.NAMES)
def test_an_unknown_replacement_of_mnist_is_an_error(name, monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "fashion")
    with pytest.raises(ValueError, match=r"^VAELIB_DATASET: "):
        load(name)


def test_a_drive_that_is_not_mounted_is_not_filled_anew(home, server, draws, monkeypatch):
    monkeypatch.setenv("VAELIB_DATA", str(home / "not mounted" / "data"))
    with pytest.raises(FileNotFoundError, match=r"^VAELIB_DATA: .*not mounted"):
        load("mnist")
    assert not (home / "not mounted").exists()
    assert server == []
    assert load("glyphs").name == "glyphs"  # needs no such folder


# ---- MNIST --------------------------------------------------------------------------------------


def test_mnist_itself(monkeypatch, capsys):
    if not (MNIST_HERE / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip("MNIST is not at hand: set VAELIB_DATA to check the real files")
    monkeypatch.setenv("VAELIB_DATA", str(MNIST_HERE))
    images = load("mnist")
    assert images.name == "mnist"
    assert images.train_images.shape == (60_000, 1, 28, 28)
    assert images.test_images.shape == (10_000, 1, 28, 28)
    assert images.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert images.train_images.double().mean().item() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert load("mnist") is images
    assert capsys.readouterr() == ("", "")


def test_the_names_of_the_files_are_those_published():
    assert {f"{file}.gz" for file in mnist.MD5} == {file for file, _ in datasets.MNIST.resources}


def test_mnist_is_downloaded_once(home, server, capsys):
    assert is_small_mnist(load("mnist"))
    assert files_below(home / "data") == [f"MNIST/raw/{name}" for name in sorted(FILES)]
    assert [p.name for p in (home / "data").iterdir()] == ["MNIST"]
    server.clear()
    assert is_small_mnist(load_again("mnist"))
    assert server == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("files", [FILES, PACKED], ids=["unpacked", "packed"])
@pytest.mark.parametrize("kaggle", [False, True])
def test_files_at_hand_are_found(home, monkeypatch, place, files, kaggle):
    small_mnist.install(monkeypatch.setattr)
    folder = home / "data" / place
    if kaggle:
        lay_out(folder, {name.replace("-idx", ".idx"): files[name] for name in files})
        for name in files:
            (folder / name).mkdir()  # its archive unpacks to these, too
    else:
        lay_out(folder, files)
    assert is_small_mnist(load("mnist"))


@pytest.mark.parametrize("place", ["MNIST/raw", "."])
def test_one_missing_file_joins_the_others_which_are_left_alone(home, server, place):
    folder = home / "data" / place
    lay_out(folder, {name: FILES[name] for name in sorted(FILES)[1:]})
    before = (folder / "train-images-idx3-ubyte").stat()
    assert is_small_mnist(load("mnist"))
    assert files_below(folder) == sorted(FILES)
    after = (folder / "train-images-idx3-ubyte").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_users_cache_folder_is_the_default_place(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home / "me"))
    assert data.cache_folder() == home / "cache" / "vaelib"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert data.cache_folder() == home / "me" / ".cache" / "vaelib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.cache_folder() == home / "me" / ".cache" / "vaelib"
    small_mnist.install(monkeypatch.setattr)
    monkeypatch.delenv("VAELIB_DATA")
    lay_out(data.cache_folder(), PACKED)
    assert is_small_mnist(load("mnist"))


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[-10:]
    elif how == "flipped":
        content[len(content) // 2] ^= 1
    elif how == "no deflated stream":
        content[10:] = b"\xff" * 20  # after the header of a gzip file
    else:
        content.clear()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "no deflated stream", "emptied"])
@pytest.mark.parametrize("forced", ["", "mnist"])
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_mnist_is_an_error_never_a_replacement(raw, how, forced, packed, monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", forced)
    (raw / "train-labels-idx1-ubyte").unlink()  # another file may even be missing
    path = raw / "t10k-images-idx3-ubyte"
    if packed:
        path.unlink()
        path = path.with_suffix(".gz")
        path.write_bytes(PACKED[path.name])
    damage(path, how)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"^{path}: .*{mnist.MD5[path.stem]}"):
        load("mnist")
    assert path.read_bytes() == before


def test_files_are_checked_where_md5_is_barred_from_security(raw, monkeypatch):
    def md5_under_fips(content, *, usedforsecurity=True):
        if usedforsecurity:
            raise ValueError("disabled for FIPS")
        return known(content, usedforsecurity=False)

    known = hashlib.md5
    monkeypatch.setattr(hashlib, "md5", md5_under_fips)
    assert is_small_mnist(load("mnist"))


def test_what_another_process_has_made_meanwhile_is_used(home, server, draws, monkeypatch):
    @contextlib.contextmanager
    def waited(path):
        if path.name == "mnist":
            lay_out(home / "data", FILES)
        else:
            lay_out(path.parent, {path.name: stored})
        yield

    load("glyphs")
    (path,) = (home / "cache/vaelib").iterdir()
    stored = path.read_bytes()
    path.unlink()
    for module in (mnist, glyphs):
        monkeypatch.setattr(module, "exclusive_lock", waited)
    assert is_small_mnist(load("mnist"))
    assert load_again("glyphs").name == "glyphs"
    assert (server, draws) == ([], [70])


# ---- downloads that fail ------------------------------------------------------------------------


def fail_with(monkeypatch, error, before=lambda root: None):
    """Let a download that fails take the place of torchvision's, and make that an error."""

    def download(root, download):
        before(root)
        raise error

    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    monkeypatch.setattr(datasets, "MNIST", download)


def test_a_partial_download_is_not_mistaken_for_the_data(home, server, monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    damage(home / "server/t10k-images-idx3-ubyte.gz", "truncated")
    with pytest.raises(FileNotFoundError, match="corrupted"):
        load("mnist")
    assert files_below(home / "data") == []


def test_an_interrupted_download_leaves_nothing(home, server, monkeypatch):
    temporary = []

    def half(root):
        temporary.append(Path(root))
        (Path(root) / "half").write_bytes(b"half")

    with monkeypatch.context() as patch:
        fail_with(patch, KeyboardInterrupt, half)
        with pytest.raises(KeyboardInterrupt):
            load("mnist")
    assert files_below(home / "data") == []
    # A killed process leaves it in the same folder, and the next one deletes it.
    assert temporary[0].parent == home / "data"
    temporary[0].mkdir()
    half(temporary[0])
    load("mnist")
    assert files_below(home / "data") == [f"MNIST/raw/{name}" for name in sorted(FILES)]


def test_a_silent_server_is_given_up_soon_and_the_timeout_of_others_is_kept(monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    monkeypatch.setattr(mnist, "TIMEOUT", 0.2)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(70.0)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
            with pytest.raises(FileNotFoundError, match="timed out"):
                load("mnist")
        assert socket.getdefaulttimeout() == 70.0
    finally:
        socket.setdefaulttimeout(before)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(monkeypatch, terminal):
    fail_with(monkeypatch, OSError(), lambda root: print("10 %", file=sys.stderr))
    errors = io.StringIO()
    monkeypatch.setattr(errors, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", errors)
    with pytest.raises(FileNotFoundError):
        load("mnist")
    assert errors.getvalue() == ("10 %\n" if terminal else "")


@pytest.mark.parametrize("error", [OSError("no network"), TimeoutError(), RuntimeError("a\nb.")])
def test_a_required_mnist_that_is_missing_is_an_error_that_says_what_is_wanted(
    home, draws, monkeypatch, error
):
    fail_with(monkeypatch, error)
    reason = {"": "TimeoutError", "a\nb.": "b"}.get(str(error), str(error))
    with pytest.raises(FileNotFoundError, match=rf": {reason}\. ") as raised:
        load("mnist")
    for wanted in (str(home / "data"), "VAELIB_DATA", "four files", ".gz", "MNIST/raw"):
        assert wanted in str(raised.value)
    assert draws == []


def test_without_torchvision_mnist_cannot_be_downloaded(draws, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert load("mnist").name == "glyphs"
    assert "torchvision" in capsys.readouterr().out


# ---- the glyphs in MNIST's place ----------------------------------------------------------------


def test_without_mnist_and_network_the_glyphs_take_its_place(home, draws):
    pipe = io.BytesIO()  # what others see of it while the program goes on
    with contextlib.redirect_stdout(io.TextIOWrapper(pipe)):
        images = load("mnist")
        printed = pipe.getvalue().decode()
        assert load("mnist") is load("glyphs") is images
        assert pipe.getvalue().decode() == printed, "one notice a session is enough"
    assert images.name == "glyphs"
    first, *lines, last = printed.splitlines()
    assert first == last == "#" * 88
    assert {(len(line), line[:2], line[-2:]) for line in lines} == {(88, "# ", " #")}
    assert f"#{'':86}#" in lines, "a blank line between paragraphs"
    notice = "".join(line[2:-2].strip() for line in lines)  # a long path is broken
    for word in ("MNIST IS NOT HERE", "VAELIB_DATA", str(home / "data"), "draws", "differ"):
        assert word.replace(" ", "") in notice.replace(" ", "")


def test_glyphs_forced(raw, draws, monkeypatch, capsys):
    monkeypatch.setenv("VAELIB_DATASET", "glyphs")
    assert load("mnist").name == "glyphs"
    assert "VAELIB_DATASET=glyphs" in capsys.readouterr().out
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    assert load("mnist").name == "mnist"
    assert capsys.readouterr().out == ""


# ---- tiles --------------------------------------------------------------------------------------


def test_tiles_are_where_their_labels_say():
    images, labels = tiles.draw(1_000)
    assert (sha256(images), sha256(labels)) == (FIRST_TILES, FIRST_TILES_LABELS)
    pixels = images[:, 0] / 255
    mass = pixels.sum((1, 2))
    assert abs(mass - 9).max() < 0.02, "a tile covers 9 pixels wherever it is"
    place = np.arange(28) + 0.5
    down, right = pixels.sum(2) @ place / mass, pixels.sum(1) @ place / mass
    clear = (abs(down - 14) > 0.01) & (abs(right - 14) > 0.01)
    assert (2 * (down > 14) + (right > 14) == labels)[clear].all()
    assert down.min() < 1.6
    assert down.max() > 26.4
    many, _ = tiles.draw(tiles.CHUNK + 7)
    assert (many[-7:].sum((1, 2, 3)) > 2_000).all(), "more than are drawn at once"


def test_tiles_are_split_in_order(monkeypatch):
    monkeypatch.setattr(data, "SPLIT_SIZES", (7, 3))
    images, labels = tiles.draw(10)
    split = load_again("tiles")
    data._load_tiles.cache_clear()
    assert split.name == "tiles"
    assert split.train_images.tolist() == images[:7].tolist()
    assert split.test_images.tolist() == images[7:].tolist()
    assert split.train_labels.tolist() == labels[:7].tolist()
    assert split.test_labels.tolist() == labels[7:].tolist()


# ---- glyphs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first_glyphs():
    """The first 500 of the real set."""
    return next(glyphs.draw_chunks(70_000))


def test_the_drawing_is_pinned(first_glyphs):
    assert tuple(map(sha256, first_glyphs)) == (FIRST_GLYPHS, FIRST_GLYPHS_LABELS)


def test_the_chunks_of_a_drawing_are_joined(monkeypatch):
    fields = np.zeros((len(glyphs.FONTS) * 10, glyphs.NODES, glyphs.NODES)), np.ones(20)
    monkeypatch.setattr(glyphs, "_distance_fields", lambda: fields)
    monkeypatch.setattr(glyphs, "CHUNK", 3)
    chunks = list(glyphs.draw_chunks(7))
    assert [len(labels) for _, labels in chunks] == [3, 3, 1]
    images, labels = glyphs.draw(7)
    assert images.shape == (7, 1, 28, 28)
    assert images.tobytes() == b"".join(part.tobytes() for part, _ in chunks)
    assert labels.tolist() == [digit for _, part in chunks for digit in part]


def test_points_outside_a_field_read_its_border():
    field = np.random.default_rng(0).normal(size=(2, glyphs.NODES, glyphs.NODES))
    far = 10 * glyphs.FIELD_RADIUS
    read = glyphs._interpolate(field, np.array([1]), *np.array([[[-far, far]], [[far, -far]]]))
    np.testing.assert_allclose(read, [[field[1, -1, 0], field[1, 0, -1]]], atol=0.01)


def test_a_glyphs_file_is_complete_before_it_has_its_name(tmp_path, monkeypatch):
    moved = []
    monkeypatch.setattr(Path, "replace", lambda *paths: moved.append(paths))
    path = tmp_path / "glyphs.bin"
    glyphs._write(path, np.zeros((1, 1, 28, 28), np.uint8), np.zeros(1, np.int64))
    ((complete, goal),) = moved
    assert goal == path
    # On the same file system, under a name by which what is left of it is known and deleted.
    assert complete.parent.parent == tmp_path
    assert complete.parent.name.startswith(temporary_prefix(path))


def test_the_glossary_has_the_factors_of_the_glyphs(monkeypatch):
    drawn = {"discrete": 0, "continuous": 0}

    class Counting:
        def __init__(self, _):
            self.random = np.random.default_rng(0)

        def __getattr__(self, name):
            def draw(*arguments, **more):
                values = getattr(self.random, name)(*arguments, **more)
                drawn["discrete" if name == "integers" else "continuous"] += values.size
                return values

            return draw

    fonts = len(glyphs.FONTS)
    fields = np.zeros((10 * fonts, glyphs.NODES, glyphs.NODES)), np.ones(fonts)
    monkeypatch.setattr(glyphs, "_distance_fields", lambda: fields)
    monkeypatch.setattr(np.random, "Generator", Counting)
    next(glyphs.draw_chunks(1))
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    entry = glossary.partition("\nglyphs\n")[2].partition("\n\n")[0]
    assert drawn["discrete"] == 2
    assert f"Two are discrete, the digit\n  and the font ({fonts} of them)" in entry
    assert f"{drawn['continuous']} are continuous" in entry


def test_the_cache_of_this_machine_holds_what_the_code_draws(first_glyphs):
    """A file that faulty code has written would be read without complaint by correct code."""
    path = CACHE_HERE / glyphs.file_name()
    if not path.exists():
        pytest.skip("no glyphs are stored on this machine")
    content = path.read_bytes()
    assert content[:-32][: 500 * 784] == first_glyphs[0].tobytes()
    assert hashlib.sha256(content[:-32]).hexdigest() == GLYPHS_SHA256, f"delete {path}"


def test_glyphs_are_drawn_once_and_stored_as_drawn(home, draws, capsys):
    first = load("glyphs")
    assert load("glyphs") is first
    images, labels = glyphs.draw(70)
    draws.clear()
    assert first.train_images.tolist() == images[:60].tolist()
    assert first.test_labels.tolist() == labels[60:].tolist()
    # The file, read without the package.
    (path,) = (home / "cache" / "vaelib").iterdir()
    assert path.name == f"glyphs-v1-matplotlib{version('matplotlib')}-numpy{np.__version__}.bin"
    content = path.read_bytes()
    assert content[: 70 * 784] == images.tobytes()
    assert np.frombuffer(content[70 * 784 : -32], "<i8").tolist() == labels.tolist()
    assert content[-32:] == hashlib.sha256(content[:-32]).digest()
    # What is read is what was drawn.
    again = load_again("glyphs")
    for part in parts():
        assert torch.equal(getattr(again, part), getattr(first, part))
    assert again.name == "glyphs"
    assert draws == []
    assert capsys.readouterr() == ("", "")


def resealed(content):
    """One image too few, under a seal that fits."""
    content = content[784:-40]
    return content + hashlib.sha256(content).digest()


@pytest.mark.parametrize("how", ["truncated", "flipped", "emptied", "resealed"])
def test_a_damaged_glyphs_file_is_reported_and_drawn_again(home, draws, how, capsys):
    first = load("glyphs")
    path = home / "cache" / "vaelib" / glyphs.file_name()
    whole = path.read_bytes()
    if how == "resealed":
        path.write_bytes(resealed(whole))
    else:
        damage(path, how)
    assert torch.equal(load_again("glyphs").train_images, first.train_images)
    assert capsys.readouterr().out.count(str(path)) == 1
    assert draws == [70, 70]
    assert path.read_bytes() == whole
    load_again("glyphs")
    assert draws == [70, 70]
    assert capsys.readouterr().out == ""


def test_glyphs_without_a_cache_folder(home, draws, capsys):
    (home / "cache").write_text("a file where a folder should be")
    assert load("glyphs").name == "glyphs"
    assert capsys.readouterr() == ("", "")


def test_an_interrupted_write_leaves_no_glyphs_file(home, draws, monkeypatch):
    def interrupted(path, content):
        with path.open("wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("glyphs")
    assert files_below(home / "cache") == []
    load("glyphs")
    assert files_below(home / "cache") == [f"vaelib/{glyphs.file_name()}"]


# ---- the lock -----------------------------------------------------------------------------------


def test_the_second_waits_for_the_first_and_says_so(home, capsys):
    path, order = home / "new" / "file", []

    def second():
        with exclusive_lock(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive_lock(path):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert str(path) in capsys.readouterr().err
    assert list(path.parent.iterdir()) == []
    with exclusive_lock(path):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_a_killed_process_left_is_deleted_and_nothing_else(home):
    path = home / "file"
    (home / f"{temporary_prefix(path)}folder").mkdir()
    (home / f"{temporary_prefix(path)}folder" / "x").touch()
    (home / f"{temporary_prefix(path)}file").touch()
    other = home / f"{temporary_prefix(home / 'other')}1"
    other.touch()
    with exclusive_lock(path):
        left = {entry.name for entry in home.iterdir() if entry.name.startswith(".unfinished")}
        assert left == {other.name}


def test_on_a_file_system_without_locks_work_goes_on(home, monkeypatch):
    def no_locks(self, **_):
        raise OSError(ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    path = home / "file"
    other = home / f"{temporary_prefix(path)}1"
    other.touch()
    with exclusive_lock(path):
        assert other.exists(), "it may be another process's, at work"


def test_a_folder_that_cannot_be_made_is_an_error(home):
    (home / "file").touch()
    with pytest.raises(OSError, match="file"), exclusive_lock(home / "file" / "x"):
        pass
