"""Where runs lie, and the form of their files: written whole or not at all, sealed by a digest."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vaelib.data import book_folder, cache_folder, check_environment
from vaelib.data.lock import temporary_prefix

UNSEALED = "0" * 64
# The header starts with the SHA-256 of the file, computed with these 64 digits set to zero.
SEAL = re.compile(rb'\{"__metadata__":\{"run":"([0-9a-f]{64}) ')


class DamagedRunError(ValueError):
    """A stored run is not what was written."""


def run_folders() -> list[Path]:
    """The folders where runs are looked for; a new one is written to the last.

    The folder that the environment variable ``VAELIB_RUNS`` names, else the book's runs, where
    there is a checkout, and the user's cache folder.

    Raises
    ------
    FileNotFoundError
        If ``VAELIB_RUNS`` names no folder.
    """
    check_environment()
    if chosen := os.environ.get("VAELIB_RUNS"):
        if not Path(chosen).is_dir():
            raise FileNotFoundError(f"VAELIB_RUNS: expected a folder, got {chosen}")
        return [Path(chosen)]
    own = cache_folder() / "runs"
    try:
        return [book_folder() / "runs", own]
    except FileNotFoundError:
        return [own]


def training_forbidden() -> bool:
    """Whether ``VAELIB_TRAIN=never`` is set: a run that is not stored is then an error."""
    check_environment()
    value = os.environ.get("VAELIB_TRAIN", "")
    if value not in ("", "never"):
        raise ValueError(f"VAELIB_TRAIN: expected never or nothing, got {value!r}")
    return value == "never"


def write(path: Path, tensors: dict[str, Tensor], description: str) -> None:
    """Write tensors and their description atomically: readers see the old file or the new one."""
    content = save(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        {"run": f"{UNSEALED} {description}"},
    )
    seal = hashlib.sha256(content).hexdigest()
    content = content.replace(UNSEALED.encode(), seal.encode(), 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink()
        if isinstance(error, OSError) and not error.filename:
            error.filename = str(path)  # an OSError for a full disk has no filename
        raise


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read tensors and description back.

    Raises
    ------
    DamagedRunError
        If one bit of the file differs from what was written; the message names the file.
    """
    content = path.read_bytes()
    seal = SEAL.search(content)
    if seal is None:
        raise DamagedRunError(f"{path}: not a stored run, or its header is damaged")
    unsealed = content[: seal.start(1)] + UNSEALED.encode() + content[seal.end(1) :]
    digest = hashlib.sha256(unsealed).hexdigest().encode()
    if digest != seal[1]:
        raise DamagedRunError(
            f"{path}: truncated or altered (sha256 {digest[:12].decode()}… instead of "
            f"{seal[1][:12].decode()}…); restore it, or delete it to train it again"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata()["run"].partition(" ")[2]
    except (SafetensorError, KeyError) as error:
        raise DamagedRunError(f"{path}: {error}") from error
