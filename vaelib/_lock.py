"""Of all processes that want the same file made, one makes it and the others wait for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is to be made, and clear away what a killed maker left.

    The system frees the lock when its process ends, however that ends. Whoever has waited must
    look whether the file is there now.

    Raises
    ------
    OSError
        If the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    while True:
        # A link in its place is not followed: it could point to a file of the user's.
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            with contextlib.suppress(FileNotFoundError):
                locked = _lock(handle, path)
                # Whoever held it before has removed it, and others may hold a newer one.
                if os.path.samestat(os.fstat(handle), lock.stat()):
                    for left in path.parent.glob(f"{unfinished(path)}*") if locked else ():
                        shutil.rmtree(left) if left.is_dir() else left.unlink()
                    break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def unfinished(path: Path) -> str:
    """What the names of files begin with that are to become ``path``."""
    return f".unfinished-{path.name}-"


def _lock(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"vaelib: another process is making {path}; waiting for it", file=sys.stderr)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: at worst the work is done twice
        return False
    return True
