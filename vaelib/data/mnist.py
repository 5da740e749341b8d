"""MNIST: four files, found, verified, and downloaded through torchvision if some are missing."""

import contextlib
import gzip
import hashlib
import http.client
import io
import socket
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaelib.data.lock import exclusive_lock, temporary_prefix

# Of the unpacked files: torchvision knows only those of the packed ones.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TIMEOUT = 5.0  # seconds without an answer from the server; a machine without network must not wait


class MissingMNISTError(FileNotFoundError):
    """MNIST is not in the folder, and the download failed."""


def load(root: Path) -> list[NDArray[np.uint8]]:
    """Return the content of MNIST's four files, in the order of `MD5`.

    Each may lie in `root/MNIST/raw`, `root/raw` or `root` itself, be packed (`.gz`), and have
    Kaggle's name (`train-images.idx3-ubyte`). Missing files are downloaded to the folder that has
    the others, else to `root/MNIST/raw`.

    Raises
    ------
    ValueError
        If a file is truncated or altered. Nothing is deleted.
    MissingMNISTError
        If files are missing and cannot be downloaded.
    """
    arrays = _read_present(root)
    if len(arrays) < len(MD5):
        try:
            with exclusive_lock(root / "mnist"):
                arrays = _read_present(root)  # another process may have been faster
                if len(arrays) < len(MD5):
                    _download(root)
                    arrays = _read_present(root)
        except (OSError, RuntimeError, ImportError, http.client.HTTPException) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
            raise MissingMNISTError(
                f"MNIST is not in {root} and cannot be downloaded: {reason}. Connect this machine "
                "to the network, or set VAELIB_DATA to a folder with MNIST's four files, as they "
                "are or packed (.gz), in it or in MNIST/raw below it."
            ) from error
    return list(arrays.values())


def _find(root: Path, file: str) -> Path | None:
    spellings = (file, file.replace("-idx", ".idx"))
    for folder in (root / "MNIST" / "raw", root / "raw", root):
        for name in (*spellings, *(f"{spelling}.gz" for spelling in spellings)):
            if (folder / name).is_file():
                return folder / name
    return None


def _read_present(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Read and verify those of the four files that exist."""
    return {file: _read(path, MD5[file]) for file in MD5 if (path := _find(root, file))}


def _read(path: Path, expected: str) -> NDArray[np.uint8]:
    """Read a file of MNIST's format: bytes, after a header with their shape."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        with contextlib.suppress(OSError, EOFError, zlib.error):  # the checksum will differ
            content = gzip.decompress(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != expected:
        raise ValueError(
            f"{path}: expected md5 {expected} of the unpacked file; got {md5}. The file is "
            "truncated or altered. Nothing was deleted: move it away to download a new one"
        )
    data = np.frombuffer(content, np.uint8)
    start = 4 + 4 * int(data[3])
    return data[start:].reshape(data[4:start].view(">i4"))


def _download(root: Path) -> None:
    """Download all files to a temporary folder, then move those in that are missing, one by one.

    So an interrupted download leaves nothing that looks like data.
    """
    from torchvision import datasets  # not above: it takes 160 MB

    paths = {file: _find(root, file) for file in MD5}
    raw = next((path.parent for path in paths.values() if path), root / "MNIST" / "raw")
    raw.mkdir(parents=True, exist_ok=True)
    prefix = temporary_prefix(root / "mnist")
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root) as temporary:
        with _short_timeout(), _quiet_outside_a_terminal():
            datasets.MNIST(temporary, download=True)  # compares checksums
        for file, path in paths.items():
            if path is None:
                Path(temporary, "MNIST", "raw", file).rename(raw / file)


@contextlib.contextmanager
def _short_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()  # torchvision has no timeout of its own
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _quiet_outside_a_terminal() -> Iterator[None]:
    # torchvision's progress bar would enter a notebook's output.
    with contextlib.redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        yield
