"""A small MNIST, published the way the real one is, by a server on this machine only."""

import functools
import gzip
import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from torchvision import datasets

from vaelib.data import mnist

NOBODY = "http://127.0.0.1:9/"  # the discard port: refuses at once


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """The bytes of an idx file, the format MNIST is published in."""
    return struct.pack(f">i{array.ndim}i", 0x800 + array.ndim, *array.shape) + array.tobytes()


def make_files() -> dict[str, bytes]:
    random = np.random.Generator(np.random.PCG64(2))
    files = {}
    for part, count in (("train", 60), ("t10k", 20)):
        files[f"{part}-images-idx3-ubyte"] = idx(random.integers(0, 256, (count, 28, 28), np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx(random.integers(0, 10, count, np.uint8))
    return files


FILES = make_files()
PACKED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in FILES.items()}


def install(patch: Callable[[object, str, object], None], address: str = NOBODY) -> None:
    """Make the package and torchvision take this for MNIST, to be had from `address`."""
    patch(mnist, "MD5", {name: md5(content) for name, content in FILES.items()})
    resources = [(name, md5(content)) for name, content in PACKED.items()]
    patch(datasets.MNIST, "resources", resources)
    patch(datasets.MNIST, "mirrors", [address])


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the packed files from `folder`; yield the address and the list of what is asked for."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            requests.append(self.path)
            time.sleep(0.005)  # slow enough for a client to be killed in between
            with suppress(BrokenPipeError, ConnectionResetError):
                super().do_GET()

    folder.mkdir()
    for name, content in PACKED.items():
        (folder / name).write_bytes(content)
    handler = functools.partial(Handler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", requests
        server.shutdown()
        thread.join()
