"""The promises of `vaelib.data`."""

import contextlib
import functools
import gzip
import hashlib
import io
import itertools
import os
import pickle
import socket
import struct
import sys
import tarfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from vaelib import _glyphs, data
from vaelib.data import ImageData, load, to_pixels

# Pinned for matplotlib 3.11.2 (the outlines of the glyphs) and NumPy 2.4.6 (the draws).
GLYPHS_SHA256 = "6faca2c163ceae4d4fed867ec6454f59121473cf077cd8ae3f36ad0d1a71aadf"
TILES_SHA256 = "4eaa6fa5aa6cf9fa9a818c37b5798d37343207c38bd9b763d73c44b3fe18cdc3"

MNIST_HERE = Path(os.environ.get("VAELIB_DATA") or "~/.cache/vaelib").expanduser().absolute()
NOBODY = "http://127.0.0.1:9/"  # the discard port: refuses at once


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def everything_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine with nothing on it and no network."""
    monkeypatch.delenv("VAELIB_DATASET", raising=False)
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOBODY])
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [NOBODY])
    monkeypatch.setattr(datasets.CIFAR10, "url", NOBODY + "cifar-10-python.tar.gz")
    return tmp_path


@pytest.fixture
def few_glyphs(monkeypatch):
    """Make drawing cheap and count how often it is done."""
    calls = []

    def draw(train, test):
        calls.append(1)
        random = np.random.Generator(np.random.PCG64(1))
        images = random.integers(0, 256, (train + test, 1, 28, 28), np.uint8)
        return images, random.integers(0, 10, train + test)

    monkeypatch.setattr(data, "SPLIT", (60, 10))
    monkeypatch.setattr(_glyphs, "draw", draw)
    return calls


@pytest.fixture
def address(home):
    """Serve the files below `home/server` over HTTP, on this machine only."""
    (home / "server").mkdir()
    handler = functools.partial(QuietHandler, directory=home / "server")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def idx(array):
    """The bytes of an idx file, the format MNIST is published in."""
    return struct.pack(f">i{array.ndim}i", 0x800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def server(home, address, monkeypatch):
    """A small MNIST and a small Fashion-MNIST, published the way the real ones are."""
    random = np.random.Generator(np.random.PCG64(2))
    published = {}
    for name, source in (("mnist", datasets.MNIST), ("fashion", datasets.FashionMNIST)):
        folder = home / "server" / name
        folder.mkdir()
        files = {}
        for part, count in (("train", 6), ("t10k", 3)):
            images = random.integers(0, 256, (count, 28, 28), np.uint8)
            files[f"{part}-images-idx3-ubyte"] = idx(images)
            files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8))
        for file, content in files.items():
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        resources = [(f"{f}.gz", md5((folder / f"{f}.gz").read_bytes())) for f in files]
        monkeypatch.setattr(source, "resources", resources)
        monkeypatch.setattr(source, "mirrors", [f"{address}{name}/"])
        published[name] = files
    monkeypatch.setattr(data, "MNIST_MD5", {f: md5(c) for f, c in published["mnist"].items()})
    return published


@pytest.fixture
def raw(home, server):
    """The small MNIST, unpacked where VAELIB_DATA points."""
    folder = home / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file, content in server["mnist"].items():
        (folder / file).write_bytes(content)
    return folder


# The form


def arrays(**changes):
    parts = {
        "train_images": torch.zeros(4, 1, 8, 8, dtype=torch.uint8),
        "train_labels": torch.zeros(4, dtype=torch.int64),
        "test_images": torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
        "test_labels": torch.zeros(2, dtype=torch.int64),
    }
    return parts | changes


def test_image_data_accepts_what_it_describes():
    assert ImageData("x", **arrays()).train_images.shape == (4, 1, 8, 8)


@pytest.mark.parametrize(
    ("argument", "value", "error", "says"),
    [
        ("train_images", np.zeros((4, 1, 8, 8), np.uint8), TypeError, "a tensor.*got ndarray"),
        ("train_images", torch.zeros(4, 1, 8, 8), TypeError, "uint8; got one of torch.float32"),
        ("test_images", torch.zeros(2, 8, 8, dtype=torch.uint8), ValueError, r"got \(2, 8, 8\)"),
        ("test_images", torch.zeros(0, 1, 8, 8, dtype=torch.uint8), ValueError, "none of them 0"),
        (
            "test_images",
            torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
            ValueError,
            r"images of \(1, 8, 8\), as in train_images; got \(3, 8, 8\)$",
        ),
        ("train_labels", torch.zeros(4, dtype=torch.uint8), TypeError, "int64; got one of"),
        ("test_labels", torch.zeros(3, dtype=torch.int64), ValueError, r"\(2,\).*got \(3,\)"),
    ],
)
def test_image_data_refuses_anything_else_by_name(argument, value, error, says):
    with pytest.raises(error, match=f"(?s)^{argument}: expected.*{says}"):
        ImageData("x", **arrays(**{argument: value}))


def test_to_pixels():
    images = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    assert to_pixels(images).dtype == torch.float32
    assert to_pixels(images, torch.float64).tolist() == [[0.0, 0.2, 1.0]]
    assert images.tolist() == [[0, 51, 255]]
    with pytest.raises(TypeError, match=r"^images: expected a tensor of torch.uint8; got one of"):
        to_pixels(torch.rand(2, 2))
    with pytest.raises(TypeError, match=r"^dtype: expected a floating point type; got torch.int64"):
        to_pixels(images, torch.int64)


@pytest.mark.parametrize("name", ["mnits", "MNIST", "", None])
def test_unknown_name(name):
    with pytest.raises(
        ValueError, match=r"^name: expected one of mnist, fashion, cifar10, tiles, gl"
    ):
        load(name)


# Published sets


def test_mnist_itself(monkeypatch, capsys):
    if not (MNIST_HERE / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip("MNIST is not at hand: set VAELIB_DATA to check the real files")
    monkeypatch.setenv("VAELIB_DATA", str(MNIST_HERE))
    mnist = load("mnist")
    assert mnist.name == "mnist"
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.train_images.double().mean().item() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert load("mnist") is mnist
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_download_through_torchvision(name, home, server, monkeypatch, capsys):
    images = load(name)
    assert images.name == name
    published = server[name]["train-images-idx3-ubyte"]
    assert images.train_images.numpy().tobytes() == published[16:]
    assert images.test_labels.tolist() == [0, 1, 2]
    assert not [p for p in (home / "data").iterdir() if p.name.startswith(".")]
    # What is there is not downloaded again.
    monkeypatch.setattr(data._source(name), "mirrors", [NOBODY])
    data._stored.cache_clear()
    data._mnist_or_glyphs.cache_clear()
    assert torch.equal(load(name).train_images, images.train_images)
    assert load(name) is load(name)
    assert capsys.readouterr() == ("", "")


def test_one_missing_file_is_fetched_and_the_others_left_alone(raw):
    (raw / "t10k-labels-idx1-ubyte").unlink()
    before = (raw / "train-images-idx3-ubyte").stat()
    assert load("mnist").test_labels.tolist() == [0, 1, 2]
    after = (raw / "train-images-idx3-ubyte").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("cache", ["named", "empty", "not named"])
def test_user_cache_folder_is_the_default_place(home, server, monkeypatch, cache):
    monkeypatch.delenv("VAELIB_DATA")
    monkeypatch.setenv("HOME", str(home / "me"))
    place = home / "me" / ".cache"
    if cache == "named":
        place = home / "cache"
    elif cache == "empty":
        monkeypatch.setenv("XDG_CACHE_HOME", "")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
    load("mnist")
    assert (place / "vaelib/MNIST/raw/train-images-idx3-ubyte").exists()


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[-10:]
    elif how == "flipped":
        content[len(content) // 2] ^= 1
    else:
        content.clear()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "emptied"])
@pytest.mark.parametrize("forced", ["", "mnist"])
@pytest.mark.parametrize("file", data.MNIST_MD5)
def test_damaged_mnist_is_an_error_never_a_replacement(raw, file, how, forced, monkeypatch, server):
    monkeypatch.setenv("VAELIB_DATASET", forced)
    damage(raw / file, how)
    left = (raw / file).read_bytes()
    with pytest.raises(ValueError, match="expected md5") as error:
        load("mnist")
    assert str(error.value) == (
        f"{raw / file}: expected md5 {md5(server['mnist'][file])}; got {md5(left)} ({len(left)} "
        "bytes). The file is truncated or altered. Nothing was deleted: move it away for a new one"
    )
    assert (raw / file).read_bytes() == left


@pytest.mark.parametrize("damaged", ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"])
def test_damaged_mnist_is_an_error_even_where_another_file_is_missing(raw, damaged, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [NOBODY])
    damage(raw / damaged, "flipped")
    (raw / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match=f"{damaged}: expected md5"):
        load("mnist")


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_damaged_fashion(home, server, file):
    load("fashion")
    data._stored.cache_clear()
    damage(home / "data/FashionMNIST/raw" / file, "flipped")
    with pytest.raises(ValueError, match=f"{file}: expected md5"):
        load("fashion")


def test_files_are_checked_where_md5_is_barred_from_security(raw, monkeypatch):
    def md5_under_fips(content, *, usedforsecurity=True):
        if usedforsecurity:
            raise ValueError("disabled for FIPS")
        return known(content, usedforsecurity=False)

    known = hashlib.md5
    monkeypatch.setattr(hashlib, "md5", md5_under_fips)
    assert load("mnist").test_labels.tolist() == [0, 1, 2]


def test_the_checksums_are_those_published():
    # torchvision's are those of the packed files, ours those of the same files unpacked.
    packed = {file for file, _ in datasets.MNIST.resources}
    assert {f"{file}.gz" for file in data.MNIST_MD5} == packed
    assert data.MNIST_MD5["train-images-idx3-ubyte"] == "6bbc9ace898e44ae57da46a324031adb"


@pytest.fixture
def small_cifar(home, address, monkeypatch):
    """A small CIFAR-10 in the form of 2009: pickles in an archive."""
    random = np.random.Generator(np.random.PCG64(3))
    files, pixels = {}, {}
    for file in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels[file] = random.integers(0, 256, (2, 3072), np.uint8)
        batch = pickle.dumps({"data": pixels[file], "labels": [3, 7]}, protocol=2)
        old = batch.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")  # 0 and 1 for False and True
        assert old != batch
        files[file] = old
    files["batches.meta"] = pickle.dumps({"label_names": ["airplane"]}, protocol=2)
    archive = home / "server" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for file, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{file}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    sums = [[file, md5(content)] for file, content in files.items()]
    monkeypatch.setattr(datasets.CIFAR10, "url", address + archive.name)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:6])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums[6][1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return pixels


def test_cifar10(home, small_cifar):
    cifar = load("cifar10")
    assert cifar.name == "cifar10"
    assert cifar.train_images.shape == (10, 3, 32, 32)
    assert cifar.test_images.is_contiguous()
    assert cifar.test_images.flatten(1).tolist() == small_cifar["test_batch"].tolist()
    assert cifar.train_labels.tolist() == [3, 7] * 5
    data._stored.cache_clear()
    damage(home / "data/cifar-10-batches-py/data_batch_3", "flipped")
    with pytest.raises(ValueError, match="data_batch_3: expected md5"):
        load("cifar10")


@pytest.mark.parametrize("name", ["fashion", "cifar10"])
def test_only_mnist_is_ever_replaced(name):
    with pytest.raises(
        FileNotFoundError, match=f"^{name} is not in .*data and cannot be downloaded"
    ):
        load(name)


# Downloads


def test_a_partial_download_is_not_mistaken_for_the_data(home, server, monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    damage(home / "server/mnist/t10k-images-idx3-ubyte.gz", "truncated")
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded: .*corrupted"):
        load("mnist")
    assert everything_below(home / "data") == []


def test_an_interrupted_download_leaves_nothing(home, server, monkeypatch):
    half = []

    def interrupted(root, download):
        half.append(Path(root, "MNIST", "raw", "train-images-idx3-ubyte"))
        half[0].parent.mkdir(parents=True)
        half[0].write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data, "_source", lambda name: interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("mnist")
    assert everything_below(home / "data") == []
    # What a killed process leaves lies in the same folder, and the next one clears it away.
    assert half[0].parents[2].parent == home / "data"
    half[0].parent.mkdir(parents=True)
    half[0].write_bytes(b"half")
    load("mnist")
    names = [f"MNIST/raw/{file}" for file in sorted(data.MNIST_MD5)]
    assert everything_below(home / "data") == names


def test_two_downloads_at_once_leave_one_whole_set(home, server, monkeypatch):
    def overtaken(root, **options):
        if options.get("download"):
            monkeypatch.setattr(data, "_source", lambda name: datasets.MNIST)
            data._download("mnist", home / "data")  # another process, faster
        return datasets.MNIST(root, **options)

    monkeypatch.setattr(data, "_source", lambda name: overtaken)
    assert load("mnist").name == "mnist"
    names = [f"MNIST/raw/{file}" for file in sorted(data.MNIST_MD5)]
    assert everything_below(home / "data") == names


def test_a_silent_server_is_given_up_soon(monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    monkeypatch.setattr(data, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
        begin = time.monotonic()
        with pytest.raises(FileNotFoundError, match="timed out"):
            load("mnist")
    assert time.monotonic() - begin < 5
    assert socket.getdefaulttimeout() is None


def fake_download(monkeypatch, download):
    """Let `download` take the place of torchvision's class, and its failure be an error."""
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    monkeypatch.setattr(data, "_source", lambda name: download)


def test_the_timeout_of_others_is_left_as_it_was(monkeypatch):
    def failing(root, download):
        seen.append(socket.getdefaulttimeout())
        raise OSError("no network")

    seen = []
    fake_download(monkeypatch, failing)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(70.0)
    try:
        with pytest.raises(FileNotFoundError, match=r"cannot be downloaded: no network$"):
            load("mnist")
        assert (seen, socket.getdefaulttimeout()) == ([data.TIMEOUT], 70.0)
    finally:
        socket.setdefaulttimeout(before)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(monkeypatch, terminal):
    def progressing(root, download):
        print("10 %", file=sys.stderr)
        raise OSError("no network")

    fake_download(monkeypatch, progressing)
    errors = io.StringIO()
    monkeypatch.setattr(errors, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", errors)
    with pytest.raises(FileNotFoundError):
        load("mnist")
    assert errors.getvalue() == ("10 %\n" if terminal else "")


def test_a_failure_without_words_is_told_by_its_name(home, monkeypatch):
    def failing(root, download):
        raise TimeoutError

    fake_download(monkeypatch, failing)
    with pytest.raises(FileNotFoundError) as error:
        load("mnist")
    assert str(error.value) == (
        f"mnist is not in {home / 'data'} and cannot be downloaded: TimeoutError"
    )


def test_a_folder_that_cannot_be_made_is_told_with_what_is_in_its_way(home, monkeypatch):
    disk = home / "disk"
    disk.symlink_to(home / "not mounted")
    monkeypatch.setenv("VAELIB_DATA", str(disk / "data"))
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    with pytest.raises(FileNotFoundError, match=f"File exists: '{disk}'$"):
        load("mnist")


# The offline rule


def test_without_mnist_and_network_the_glyphs_take_its_place(home, few_glyphs, capsys):
    images = load("mnist")
    assert images.name == "glyphs"
    assert images is load("glyphs")
    printed, errors = capsys.readouterr()
    lines = printed.splitlines()
    assert errors == ""
    assert len(lines) > 6
    assert {len(line) for line in lines} == {88}
    assert lines[0] == lines[-1] == "#" * 88
    # Where the path is long it is broken over lines, so blanks do not count.
    notice = [line[1:-1].replace(" ", "") for line in lines[1:-1]]
    title, why, *rest = (
        "".join(group)
        for blank, group in itertools.groupby(notice, lambda line: not line)
        if not blank
    )
    assert title == "MNISTISNOTHERE:THEGLYPHSTAKEITSPLACE"
    assert why.startswith(f"mnistisnotin{home / 'data'}andcannotbedownloaded:")
    assert rest == [
        "What follows is computed on digits that vaelib draws from fonts. The numbers will differ "
        "from the book's. Its claims must hold all the same.".replace(" ", ""),
        "To get MNIST: connect this machine to the network, or set VAELIB_DATA to a folder with "
        "MNIST's four unpacked files in MNIST/raw.".replace(" ", ""),
    ]
    assert load("mnist") is images
    assert capsys.readouterr().out == "", "one notice a session is enough"


def test_a_notice_is_framed_and_shown_at_once():
    pipe = io.BytesIO()  # what others see of it while the program goes on
    with contextlib.redirect_stdout(io.TextIOWrapper(pipe)):
        data._print_framed("just twenty letters. and more", "the end", width=24)
        assert pipe.getvalue().decode().splitlines() == [
            "########################",
            "# just twenty letters. #",
            "# and more             #",
            "#                      #",
            "# the end              #",
            "########################",
        ]


def test_glyphs_forced(raw, few_glyphs, monkeypatch, capsys):
    monkeypatch.setenv("VAELIB_DATASET", "glyphs")
    assert load("mnist").name == "glyphs"
    notice = "VAELIB_DATASET=glyphs: digits drawn by vaelib take MNIST's place."
    assert capsys.readouterr().out == f"{'#' * 88}\n# {notice:<84} #\n{'#' * 88}\n"
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    assert load("mnist").name == "mnist"
    assert capsys.readouterr().out == ""


def test_mnist_forced_but_missing_is_an_error(few_glyphs, monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    with pytest.raises(FileNotFoundError, match=r"mnist is not in .* and cannot be downloaded"):
        load("mnist")
    assert not few_glyphs


@pytest.mark.parametrize("name", data.NAMES)
def test_any_other_forced_value_is_an_error(name, monkeypatch):
    monkeypatch.setenv("VAELIB_DATASET", "fashion")
    with pytest.raises(
        ValueError, match=r"^VAELIB_DATASET: expected mnist, glyphs or nothing; got"
    ):
        load(name)


def test_a_folder_that_cannot_be_written_counts_as_no_network(home, server, few_glyphs):
    (home / "data").write_text("a file where a folder should be")
    assert load("mnist").name == "glyphs"


# Tiles


def test_tiles():
    tiles = load("tiles")
    assert tiles.train_images.shape == (60_000, 1, 28, 28)
    assert tiles.test_images.shape == (10_000, 1, 28, 28)
    pixels = to_pixels(tiles.test_images, torch.float64)[:, 0]
    assert pixels.sum((1, 2)).sub(9).abs().max() < 0.02, "a tile covers 9 pixels wherever it is"
    mass = pixels.sum((1, 2))
    place = torch.arange(28) + 0.5
    down = (pixels.sum(2) * place).sum(1) / mass
    right = (pixels.sum(1) * place).sum(1) / mass
    clear = ((down - 14).abs() > 0.01) & ((right - 14).abs() > 0.01)
    quadrant = 2 * (down > 14).long() + (right > 14).long()
    assert torch.equal(quadrant[clear], tiles.test_labels[clear])
    assert down.min() < 1.6
    assert down.max() > 26.4
    # Two degrees of freedom, without grain: hardly any image comes twice.
    seen = {image.tobytes() for image in tiles.train_images.numpy()}
    assert len(seen) > 59_900
    assert sum(image.tobytes() in seen for image in tiles.test_images.numpy()) < 20
    data._tiles.cache_clear()
    assert torch.equal(load("tiles").train_images, tiles.train_images)


def test_the_tiles_are_pinned():
    data._tiles.cache_clear()
    tiles = load("tiles")
    assert tiles.name == "tiles"
    parts = (tiles.train_images, tiles.train_labels, tiles.test_images, tiles.test_labels)
    stored = b"".join(part.numpy().tobytes() for part in parts)
    assert hashlib.sha256(stored).hexdigest() == TILES_SHA256, "stored runs were trained on others"


# Glyphs: the cache


def glyphs_file(home):
    (path,) = (home / "cache" / "vaelib").iterdir()
    return path


def test_glyphs_are_drawn_once(home, few_glyphs, capsys):
    first = load("glyphs")
    assert load("glyphs") is first
    versions = f"matplotlib{metadata.version('matplotlib')}-numpy{np.__version__}"
    assert glyphs_file(home).name == f"glyphs-v{_glyphs.VERSION}-{versions}.bin"
    data._drawn_glyphs.cache_clear()
    again = load("glyphs")
    assert again.name == "glyphs"
    assert len(few_glyphs) == 1
    assert torch.equal(again.train_images, first.train_images)
    assert torch.equal(again.test_labels, first.test_labels)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("how", ["truncated", "flipped", "emptied"])
def test_a_damaged_glyphs_file_is_reported_and_drawn_again(home, few_glyphs, how, capsys):
    first = load("glyphs")
    path = glyphs_file(home)
    whole = path.read_bytes()
    damage(path, how)
    data._drawn_glyphs.cache_clear()
    assert torch.equal(load("glyphs").train_images, first.train_images)
    assert f"{path} is damaged" in capsys.readouterr().out
    assert len(few_glyphs) == 2
    data._drawn_glyphs.cache_clear()
    load("glyphs")
    assert len(few_glyphs) == 2
    assert path.read_bytes() == whole
    assert capsys.readouterr().out == ""


def test_glyphs_without_a_cache_folder(home, few_glyphs, capsys):
    (home / "cache").write_text("a file where a folder should be")
    assert load("glyphs").name == "glyphs"
    assert capsys.readouterr() == ("", "")


def test_an_interrupted_write_leaves_no_glyphs_file(home, few_glyphs, monkeypatch):
    half = []

    def interrupted(path, content):
        half.append(path)
        with path.open("wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("glyphs")
    assert everything_below(home / "cache") == []
    # What a killed process leaves lies in the same folder, and the next one clears it away.
    assert half[0].parent.parent == home / "cache" / "vaelib"
    half[0].parent.mkdir()
    half[0].write_bytes(b"half")
    load("glyphs")
    assert everything_below(home / "cache") == [f"vaelib/{half[0].name}"]


# Glyphs: the images


@pytest.fixture(scope="module")
def glyphs():
    """The real set, drawn without any cache."""
    begin = time.process_time()
    images, labels = _glyphs.draw()
    seconds = time.process_time() - begin
    return data._split("glyphs", images, labels), images, labels, seconds


def test_the_drawing_is_pinned(glyphs):
    _, images, labels, _ = glyphs
    stored = images.tobytes() + labels.astype("<i8").tobytes()
    assert hashlib.sha256(stored).hexdigest() == GLYPHS_SHA256, (
        "The glyphs have changed: raise _glyphs.VERSION, pin the new digest here, and train the "
        "stored runs on glyphs again. Outlines come from matplotlib, draws from NumPy."
    )


def test_the_glyphs_take_little_time(glyphs):
    assert glyphs[3] < 20


def test_the_glyphs_resemble_mnist(glyphs):
    digits = glyphs[0]
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


def test_no_test_glyph_is_a_training_glyph(glyphs):
    seen = {image.tobytes() for image in glyphs[0].train_images.numpy()}
    assert len(seen) == 60_000
    assert not any(image.tobytes() in seen for image in glyphs[0].test_images.numpy())


def accuracy(model, digits, epochs, rate):
    """Of a classifier after `epochs` of training with a rate that falls to zero."""
    pixels = to_pixels(digits.train_images).flatten(1)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    steps = epochs * -(-len(pixels) // 128)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels)).split(128):
            loss = torch.nn.functional.cross_entropy(
                model(pixels[batch]), digits.train_labels[batch]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        guess = model(to_pixels(digits.test_images).flatten(1)).argmax(1)
    return (guess == digits.test_labels).double().mean().item()


def test_glyphs_are_too_varied_for_a_linear_classifier_but_not_for_a_small_network(glyphs):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            linear = torch.nn.Linear(784, 10)
            network = torch.nn.Sequential(
                torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
            )
            linear_accuracy = accuracy(linear, glyphs[0], epochs=6, rate=5e-3)
            network_accuracy = accuracy(network, glyphs[0], epochs=5, rate=3e-3)
    finally:
        torch.set_num_threads(before)
    print(f"linear {linear_accuracy:.4f}, network {network_accuracy:.4f}")
    assert 0.85 < linear_accuracy < 0.94
    assert network_accuracy > 0.965
