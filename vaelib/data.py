"""The images: one function, `load`, and one form, `ImageData`, for every dataset of the book."""

import contextlib
import functools
import gzip
import hashlib
import http.client
import io
import os
import socket
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelib import _glyphs
from vaelib._lock import alone, unfinished

NAMES = ("mnist", "fashion", "cifar10", "tiles", "glyphs")
SPLIT = (60_000, 10_000)  # images for training and for testing in the generated sets, as in MNIST
TIMEOUT = 5.0  # seconds a server may stay silent: without network the answer must come soon

# torchvision checks what it downloads, but of unpacked files it asks only whether they exist.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset of labelled images, split into a training and a test part.

    Parameters
    ----------
    name
        Which images these are. `load("mnist")` may answer with the name `glyphs`: see `load`.
    train_images, test_images
        uint8, (n, channels, height, width). `to_pixels` makes them numbers in [0, 1].
    train_labels, test_labels
        int64, (n,).

    Raises
    ------
    TypeError
        Where a tensor has another type of number.
    ValueError
        Where a tensor has another shape, is empty, or does not fit the others.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor

    def __post_init__(self) -> None:
        """Check types and shapes."""
        for part in ("train", "test"):
            images: torch.Tensor = getattr(self, f"{part}_images")
            labels: torch.Tensor = getattr(self, f"{part}_labels")
            _check_tensor(f"{part}_images", images, torch.uint8)
            _check_tensor(f"{part}_labels", labels, torch.int64)
            if images.ndim != 4 or 0 in images.shape:
                raise ValueError(
                    f"{part}_images: expected shape (n, channels, height, width), none of them 0; "
                    f"got {tuple(images.shape)}"
                )
            if labels.shape != images.shape[:1]:
                raise ValueError(
                    f"{part}_labels: expected shape ({len(images)},), one label for each image; "
                    f"got {tuple(labels.shape)}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"test_images: expected images of {tuple(self.train_images.shape[1:])}, as in "
                f"train_images; got {tuple(self.test_images.shape[1:])}"
            )


def to_pixels(images: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Turn stored bytes into pixels in [0, 1], 1 being white.

    Parameters
    ----------
    images
        uint8, any shape.
    dtype
        The result's floating point type: float32 to train with, float64 for numbers to print.

    Raises
    ------
    TypeError
        Where `images` is not a uint8 tensor or `dtype` is not a floating point type.
    """
    _check_tensor("images", images, torch.uint8)
    if not dtype.is_floating_point:
        raise TypeError(f"dtype: expected a floating point type; got {dtype}")
    return images.to(dtype).div_(255)


def load(name: str) -> ImageData:
    """Load a dataset by its name.

    Parameters
    ----------
    name
        `mnist`, `fashion` (Fashion-MNIST) and `cifar10` come through torchvision, from the folder
        that the environment variable `VAELIB_DATA` names, else from the user's cache folder. What
        is not there is downloaded to it. Each file's checksum is compared with the published one.

        `glyphs` are 60,000 + 10,000 digits of 28×28 that the package draws itself, from the fonts
        that ship with matplotlib. Drawing takes seconds; the result is kept in the user's cache
        folder. A cache file found damaged is reported, drawn again and replaced.

        `tiles` are 60,000 + 10,000 black images of 28×28 with one white tile each, after the
        generated set of Asperti (2019), whose exact geometry we could not check. Ours is a square
        of 3×3 pixels whose corner is uniform and not bound to whole pixels; a pixel covered in
        part is grey by that share. So the data have two continuous degrees of freedom and tens of
        millions of distinct images. On whole pixels there would be 676, and every test image would
        be a training image. The label is the quadrant of the tile's centre: 0, 1 above, 2, 3 below.

    Returns
    -------
    ImageData
        Kept in memory and shared between calls: do not write into its tensors.

    Raises
    ------
    ValueError
        Where the name or `VAELIB_DATASET` is unknown, or a file is truncated or altered. Nothing
        is deleted.
    FileNotFoundError
        Where the data are neither there nor to be had from the network.

    Notes
    -----
    Where MNIST is neither there nor to be had, `load("mnist")` prints a notice and returns the
    glyphs: a claim about the phenomenon must hold on both. `VAELIB_DATASET=glyphs` asks for the
    glyphs in MNIST's place; `VAELIB_DATASET=mnist` makes a missing MNIST an error. A damaged MNIST
    is always an error.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; got {name!r}")
    forced = os.environ.get("VAELIB_DATASET", "")
    if forced not in ("", "mnist", "glyphs"):
        raise ValueError(f"VAELIB_DATASET: expected mnist, glyphs or nothing; got {forced!r}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "vaelib").expanduser().absolute()
    root = Path(os.environ.get("VAELIB_DATA") or cache).expanduser().absolute()
    if name == "tiles":
        return _tiles()
    if name == "glyphs":
        return _drawn_glyphs(cache)
    if name == "mnist":
        return _mnist_or_glyphs(root, cache, forced)
    return _stored(name, root)


class _NotAtHand(FileNotFoundError):
    """The data are neither in their folder nor to be had from the network."""


@functools.cache
def _mnist_or_glyphs(root: Path, cache: Path, forced: str) -> ImageData:
    if forced == "glyphs":
        _print_framed("VAELIB_DATASET=glyphs: digits drawn by vaelib take MNIST's place.")
        return _drawn_glyphs(cache)
    try:
        return _stored("mnist", root)
    except _NotAtHand as error:
        if forced == "mnist":
            raise
        _print_framed(
            "MNIST IS NOT HERE: THE GLYPHS TAKE ITS PLACE",
            str(error),
            "What follows is computed on digits that vaelib draws from fonts. The numbers will "
            "differ from the book's. Its claims must hold all the same.",
            "To get MNIST: connect this machine to the network, or set VAELIB_DATA to a folder "
            "with MNIST's four unpacked files in MNIST/raw.",
        )
        return _drawn_glyphs(cache)


@functools.cache
def _stored(name: str, root: Path) -> ImageData:
    """Read a published dataset from `root`, downloading it first where a file is missing."""
    if not _verify(name, root):
        with _alone_if_possible(root / name):
            if not _verify(name, root):
                _download(name, root)
                _verify(name, root)
    if name == "cifar10":
        return _cifar10(root)
    folder = root / {"mnist": "MNIST", "fashion": "FashionMNIST"}[name] / "raw"
    train, train_labels, test, test_labels = (_idx(folder / file) for file in MNIST_MD5)
    return ImageData(name, train[:, None], train_labels.long(), test[:, None], test_labels.long())


def _idx(path: Path) -> torch.Tensor:
    """Read a file of MNIST's format, known to be whole: bytes, after a header with their shape."""
    content = np.fromfile(path, np.uint8)
    start = 4 + 4 * int(content[3])
    return torch.from_numpy(content[start:].reshape(content[4:start].view(">i4")))


def _cifar10(root: Path) -> ImageData:
    parts = [_source("cifar10")(root, train=train) for train in (True, False)]
    # torchvision has (n, height, width, channels).
    train, test = (torch.as_tensor(part.data).movedim(3, 1).contiguous() for part in parts)
    train_labels, test_labels = (torch.tensor(part.targets) for part in parts)
    return ImageData("cifar10", train, train_labels, test, test_labels)


def _source(name: str) -> Any:
    """torchvision's class, which downloads a dataset. Imported late: it takes 160 MB."""
    from torchvision import datasets

    return {
        "mnist": datasets.MNIST,
        "fashion": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
    }[name]


def _checksums(name: str) -> dict[str, str]:
    """Map a dataset's files to their md5: "" where torchvision knows only the packed file's."""
    if name == "mnist":
        return {f"MNIST/raw/{file}": md5 for file, md5 in MNIST_MD5.items()}
    source = _source(name)
    if name == "fashion":
        packed = {f"FashionMNIST/raw/{file}": md5 for file, md5 in source.resources}
        return packed | {file.removesuffix(".gz"): "" for file in packed}
    batches = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
    return {f"{source.base_folder}/{file}": md5 for file, md5 in batches}


def _verify(name: str, root: Path) -> bool:
    """Whether all files are there; ValueError where one that is there is not what was published."""
    complete = True
    for file, md5 in _checksums(name).items():
        path, packed = root / file, root / f"{file}.gz"
        if not path.is_file() or (not md5 and not packed.is_file()):
            complete = False
            continue
        content = path.read_bytes()
        expected = md5 or _md5(gzip.decompress(packed.read_bytes()))
        if _md5(content) != expected:
            raise ValueError(
                f"{path}: expected md5 {expected}; got {_md5(content)} ({len(content)} bytes). "
                "The file is truncated or altered. Nothing was deleted: move it away for a new one"
            )
    return complete


def _download(name: str, root: Path) -> None:
    """Download a dataset beside its place, check it, then move it in file by file.

    So an interrupted download leaves nothing that looks like data, and of two processes that
    download at once each moves in whole and equal files. A file that is there is left alone.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=unfinished(root / name), dir=root) as temporary:
            with _impatient_and_quiet():
                _source(name)(temporary, download=True)
            _verify(name, Path(temporary))
            for file in _checksums(name):
                if not (root / file).exists():
                    (root / file).parent.mkdir(parents=True, exist_ok=True)
                    Path(temporary, file).replace(root / file)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise _NotAtHand(f"{name} is not in {root} and cannot be downloaded: {reason}") from error


@contextlib.contextmanager
def _alone_if_possible(path: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        # Where no lock can be had, nothing can be stored either: whoever tries will say so.
        with contextlib.suppress(OSError):
            stack.enter_context(alone(path))
        yield


@contextlib.contextmanager
def _impatient_and_quiet() -> Iterator[None]:
    # torchvision offers no timeout of its own; its progress bar would enter a notebook's output.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    errors = sys.stderr if sys.stderr.isatty() else io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            yield
    finally:
        socket.setdefaulttimeout(before)


@functools.cache
def _tiles(tile: int = 3, side: int = 28) -> ImageData:
    random = np.random.Generator(np.random.PCG64(0))
    corners = random.uniform(0, side - tile, (sum(SPLIT), 2, 1))
    pixels = np.arange(side)
    # How much of each row, and of each column, the tile covers.
    covered = np.minimum(pixels + 1, corners + tile) - np.maximum(pixels, corners)
    images = np.empty((len(corners), 1, side, side), np.uint8)
    for start in range(0, len(corners), 5000):  # in pieces, to spare memory
        rows, columns = covered[start : start + 5000].clip(0.0).swapaxes(0, 1)
        images[start : start + 5000, 0] = np.rint(255 * rows[:, :, None] * columns[:, None, :])
    below, right = (corners[:, :, 0] + tile / 2 >= side / 2).T.astype(np.int64)
    return _split("tiles", images, 2 * below + right)


@functools.cache
def _drawn_glyphs(cache: Path) -> ImageData:
    """Read the glyphs from the cache file, else draw them and, where possible, store them there.

    The file holds the images, the labels and the sha256 of both, which is checked before use.
    """
    # Outlines are matplotlib's and draws are NumPy's: other versions may draw other images.
    versions = "-".join(f"{name}{metadata.version(name)}" for name in ("matplotlib", "numpy"))
    path = cache / f"glyphs-v{_glyphs.VERSION}-{versions}.bin"
    if path.exists():
        return _read_or_draw(path)
    with _alone_if_possible(path):
        return _read_or_draw(path)


def _read_or_draw(path: Path) -> ImageData:
    with contextlib.suppress(OSError):  # not there, or not readable: the glyphs are drawn
        content = np.fromfile(path, np.uint8)
        end = sum(SPLIT) * 784
        whole = len(content) == end + 8 * sum(SPLIT) + 32
        if whole and hashlib.sha256(content[:-32].data).digest() == content[-32:].tobytes():
            images = content[:end].reshape(-1, 1, 28, 28)
            return _split("glyphs", images, content[end:-32].view("<i8").astype(np.int64))
        print(f"vaelib: {path} is damaged. The glyphs are drawn again and the file is replaced.")
    images, labels = _glyphs.draw(*SPLIT)
    with (
        contextlib.suppress(OSError),  # a folder that cannot be written costs only time
        tempfile.TemporaryDirectory(prefix=unfinished(path), dir=path.parent) as temporary,
    ):
        complete = Path(temporary, path.name)
        stored = images.tobytes() + labels.astype("<i8").tobytes()
        complete.write_bytes(stored + hashlib.sha256(stored).digest())
        complete.replace(path)
    return _split("glyphs", images, labels)


def _split(name: str, images: _glyphs.Bytes, labels: _glyphs.Integers) -> ImageData:
    i, j, count = torch.from_numpy(images), torch.from_numpy(labels), SPLIT[0]
    return ImageData(name, i[:count], j[:count], i[count:], j[count:])


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _check_tensor(name: str, value: object, dtype: torch.dtype) -> None:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor of {dtype}; got {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name}: expected a tensor of {dtype}; got one of {value.dtype}")


def _print_framed(*paragraphs: str, width: int = 88) -> None:
    lines = [line for p in paragraphs for line in ("", *textwrap.wrap(p, width - 4))][1:]
    edge = "#" * width
    print("\n".join([edge, *(f"# {line:<{width - 4}} #" for line in lines), edge]), flush=True)
