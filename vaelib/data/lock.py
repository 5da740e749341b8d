"""One process creates a file; others that need the same file wait for it."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from errno import ENOLCK, ENOTSUP
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock while `path` is created; delete temporary files of a killed process.

    The lock ends with the process that holds it. After waiting, check whether the file exists now.

    Raises
    ------
    OSError
        If the folder cannot be created or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"vaelib: another process is making {path}; waiting for it", file=sys.stderr)
        lock.acquire()
    except OSError as error:
        if error.errno not in (ENOLCK, ENOTSUP):
            raise  # else the file system has no locks: at worst the work is done twice
    try:
        for leftover in path.parent.glob(f"{temporary_prefix(path)}*") if lock.is_locked else ():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows does not delete an open file
            Path(lock.lock_file).unlink()
        lock.release()


def temporary_prefix(path: Path) -> str:
    """Prefix of temporary files that will be renamed to `path`."""
    return f".unfinished-{path.name}-"
