"""The images: one function, `load`, and one form, `ImageData`, for every dataset of the book."""

import functools
import os
import textwrap
from pathlib import Path

import torch

from vaelib.data import glyphs, mnist, tiles
from vaelib.data.folders import book_folder as book_folder
from vaelib.data.folders import cache_folder as cache_folder
from vaelib.data.folders import check_environment as check_environment
from vaelib.data.images import ImageData as ImageData
from vaelib.data.images import check_image_shape as check_image_shape
from vaelib.data.images import to_pixels as to_pixels

NAMES = ("mnist", "tiles", "glyphs")
SPLIT_SIZES = (60_000, 10_000)  # training and test images of a generated set, as in MNIST


def load(name: str) -> ImageData:
    """Load a dataset by its name.

    Shown in the chapter on the autoencoder.

    Parameters
    ----------
    name
        `mnist` is read from the folder that the environment variable `VAELIB_DATA` names, else from
        the user's cache folder. Its files may be packed (`.gz`), in that folder itself or in
        `MNIST/raw` below it. Missing files are downloaded through torchvision. Each file's checksum
        is compared with the published one.

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
        If the name, `VAELIB_DATASET` or another variable that begins with `VAELIB_` is unknown, or
        a file is truncated or altered. Nothing is deleted.
    FileNotFoundError
        If `VAELIB_DATA` is not a folder, or if MNIST is required and cannot be downloaded.

    Notes
    -----
    If MNIST is missing and cannot be downloaded, `load("mnist")` prints a notice and returns the
    glyphs: a claim about the phenomenon must hold on both. `VAELIB_DATASET=glyphs` replaces MNIST
    by the glyphs; `VAELIB_DATASET=mnist` makes a missing MNIST an error. A damaged MNIST is always
    an error.
    """
    check_environment()
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; got {name!r}")
    if name == "tiles":
        return _load_tiles()
    if name == "glyphs":
        return _load_glyphs(cache_folder())
    return _load_mnist(
        os.environ.get("VAELIB_DATA"), cache_folder(), os.environ.get("VAELIB_DATASET")
    )


@functools.cache
def _load_mnist(folder: str | None, cache: Path, dataset: str | None) -> ImageData:
    if dataset == "glyphs":
        _print_framed("VAELIB_DATASET=glyphs: digits drawn by vaelib replace MNIST.")
        return _load_glyphs(cache)
    root = Path(folder).expanduser().absolute() if folder else cache
    if folder and not root.is_dir():  # a drive that is not mounted must not be filled anew
        raise FileNotFoundError(f"VAELIB_DATA: expected a folder that exists; got {folder!r}")
    try:
        arrays = map(torch.tensor, mnist.load(root))
    except mnist.MissingMNISTError as error:
        if dataset == "mnist":
            raise
        _print_framed(
            "MNIST IS NOT HERE: THE GLYPHS TAKE ITS PLACE",
            str(error),
            "What follows is computed on digits that vaelib draws from fonts. The numbers will "
            "differ from the book's. Its claims must hold all the same.",
        )
        return _load_glyphs(cache)
    train, train_labels, test, test_labels = arrays
    return ImageData(
        "mnist", train[:, None], train_labels.long(), test[:, None], test_labels.long()
    )


@functools.cache
def _load_glyphs(cache: Path) -> ImageData:
    return _split("glyphs", *glyphs.load(cache, sum(SPLIT_SIZES)))


@functools.cache
def _load_tiles() -> ImageData:
    return _split("tiles", *tiles.draw(sum(SPLIT_SIZES)))


def _split(name: str, images: glyphs.Bytes, labels: glyphs.Integers) -> ImageData:
    x, y, train = torch.from_numpy(images), torch.from_numpy(labels), SPLIT_SIZES[0]
    return ImageData(name, x[:train], y[:train], x[train:], y[train:])


def _print_framed(*paragraphs: str, width: int = 88) -> None:
    lines = [line for p in paragraphs for line in ("", *textwrap.wrap(p, width - 4))][1:]
    edge = "#" * width
    print("\n".join([edge, *(f"# {line:<{width - 4}} #" for line in lines), edge]), flush=True)
