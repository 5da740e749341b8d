"""No damage goes unseen: a truncated or altered run is an error that names it.

Hundreds of random truncations and flipped bits. No run is loaded as if it were whole, and what is
there stays there.
"""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelib import Experiment, Run, _store, sweep
from vaelib.data import ImageData
from vaelib.experiment import train

SEED = 21
# How often each kind of file is cut short at a random place, and how often a bit of it is flipped.
TRUNCATIONS = {"run": 150}
FLIPS = {"run": 250}


def damages(content: bytes, truncations: int, flips: int, label: str) -> list[tuple[str, bytes]]:
    """Random truncations and flipped bits of a file, first those at its ends, and a few others."""
    chance = random.Random(f"{SEED}{label}")
    lengths = [
        0,
        1,
        len(content) - 1,
        *(chance.randrange(len(content)) for _ in range(truncations)),
    ]
    bits = [0, 7, 8 * len(content) - 1, *(chance.randrange(8 * len(content)) for _ in range(flips))]
    found = [("truncated", content[:length]) for length in lengths[:truncations]]
    found += [("flipped", flipped(content, bit)) for bit in bits[:flips]]
    middle = len(content) // 2
    zeros = content[: middle - 4] + bytes(8) + content[middle + 4 :]
    found += [
        ("lengthened", content + b"\0"),
        ("lengthened", b"\0" + content),
        ("lengthened", content + content),
        ("two bits", flipped(flipped(content, 8 * middle), 8 * middle + 8)),
        ("halves exchanged", content[middle:] + content[:middle]),
    ]
    return found + ([("zeros", zeros)] if zeros != content else [])


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def counted(found: list[str], kind: str) -> None:
    """Record how often what was done to a kind of file; none of it went unseen."""
    for how in sorted(set(found)):


def files_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files, hidden ones too; one written anew has another number."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---- runs ---------------------------------------------------------------------------------------


def make_data(name: str = "tiles") -> ImageData:
    images = torch.arange(40 * 12).remainder(256).to(torch.uint8).reshape(40, 1, 3, 4)
    labels = torch.arange(40).remainder(3)
    return ImageData(name, images[:30], labels[:30], images[30:], labels[30:])


SMALL = Experiment(dataset="tiles", hidden=(4,), latent=2, epochs=1, batch_size=10, filmed_images=1)


@pytest.fixture(scope="module")
def trained() -> Run:
    return train(SMALL, make_data())


@pytest.mark.parametrize("weights", [True, False], ids=["run", "sweep"])
def test_a_damaged_run_is_never_loaded_trained_over_or_deleted(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: bool
) -> None:
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    monkeypatch.setattr("vaelib.experiment.train", lambda *_, **__: pytest.fail("trained over"))
    path = tmp_path / f"{SMALL.name}.{'run' if weights else 'sweep'}.safetensors"
    trained.write(path)
    assert SMALL.run(weights=weights).measurements.keys() == trained.measurements.keys()
    tried = []
    amounts = TRUNCATIONS["run"] // 2, FLIPS["run"] // 2  # half of them for each kind
    for how, content in damages(path.read_bytes(), *amounts, path.name):
        path.write_bytes(content)
        before = files_below(tmp_path)
        with pytest.raises(_store.DamagedRunError) as error:
            SMALL.run(weights=weights)
        assert str(error.value).startswith(f"{path}: ")
        assert files_below(tmp_path) == before
        tried.append(how)
    counted(tried, "run")


def test_a_damaged_run_is_not_mistaken_for_a_missing_one_by_a_sweep(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    monkeypatch.setenv("VAELIB_TRAIN", "never")
    path = tmp_path / f"{SMALL.name}.sweep.safetensors"
    trained.write(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(_store.DamagedRunError, match=path.name):
        sweep([SMALL])
    path.write_bytes(b"")
    with pytest.raises(_store.DamagedRunError, match=path.name):
        sweep([SMALL])
    assert list(tmp_path.iterdir()) == [path]
