"""One file per run: tensors and a description, written whole or not at all, sealed by a digest."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vaelib.data.lock import temporary_prefix

UNSEALED = "0" * 64
# The digest of the whole file, itself taken as zeros, stands in the header before the description.
SEAL = re.compile(rb'\{"__metadata__":\{"run":"([0-9a-f]{64}) ')


class DamagedRunError(ValueError):
    """A stored run is not what was written."""


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
        if isinstance(error, OSError) and not error.filename:  # a full disk does not say whose
            error.filename = str(path)
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
    found = hashlib.sha256(unsealed).hexdigest().encode()
    if found != seal[1]:
        raise DamagedRunError(
            f"{path}: truncated or altered (sha256 {found[:12].decode()}… instead of "
            f"{seal[1][:12].decode()}…); restore it, or delete it to train it again"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata()["run"].partition(" ")[2]
    except (SafetensorError, KeyError) as error:
        raise DamagedRunError(f"{path}: {error}") from error
