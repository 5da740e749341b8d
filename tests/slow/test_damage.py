"""No damage goes unseen: truncated or altered, every stored file is an error that names it.

Hundreds of random truncations and flipped bits of every kind of file that the package reads: runs,
datasets unpacked and packed, the batches of CIFAR-10, the glyphs. None is loaded as if it were
whole, and what is there stays there. The only exception are the glyphs: their file is a cache of
what the package draws itself, so that it is reported, drawn again and replaced.
"""

import gzip
import hashlib
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torchvision import datasets

from vaelib import Experiment, Run, _glyphs, _store, data, load, sweep
from vaelib.data import ImageData
from vaelib.experiment import train

SEED = 21
# How often each kind of file is cut short at a random place, and how often a bit of it is flipped.
TRUNCATIONS = {"run": 150, "mnist": 100, "fashion": 60, "cifar10": 60, "glyphs": 80}
FLIPS = {"run": 250, "mnist": 150, "fashion": 90, "cifar10": 90, "glyphs": 120}


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
    amounts = TRUNCATIONS["run"] // 2, FLIPS["run"] // 2  # half of them for each kind
    for _, content in damages(path.read_bytes(), *amounts, path.name):
        path.write_bytes(content)
        before = files_below(tmp_path)
        with pytest.raises(_store.DamagedRunError) as error:
            SMALL.run(weights=weights)
        assert str(error.value).startswith(f"{path}: ")
        assert files_below(tmp_path) == before


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


# ---- datasets -----------------------------------------------------------------------------------


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx(array: np.ndarray) -> bytes:
    """The bytes of a file in MNIST's format."""
    head = struct.pack(f">i{array.ndim}i", 0x800 + array.ndim, *array.shape)
    return head + array.tobytes()


def mnist_files() -> dict[str, bytes]:
    numbers = np.random.Generator(np.random.PCG64(4))
    files = {}
    for part, count in (("train", 6), ("t10k", 3)):
        files[f"{part}-images-idx3-ubyte"] = idx(
            numbers.integers(0, 256, (count, 28, 28), np.uint8)
        )
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(count, dtype=np.uint8))
    return files


class Files(NamedTuple):
    """A dataset as it lies in its folder."""

    folder: Path
    damaged: tuple[str, ...]  # the files that are damaged, all or those that say most


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def mnist(root: Path, patch: pytest.MonkeyPatch) -> Files:
    """MNIST, unpacked as torchvision leaves it; what was published is injected."""
    files = mnist_files()
    patch.setattr(data, "MNIST_MD5", {name: md5(content) for name, content in files.items()})
    lay_out(root / "MNIST" / "raw", files)
    return Files(root / "MNIST" / "raw", tuple(files))


def fashion(root: Path, patch: pytest.MonkeyPatch) -> Files:
    """Fashion-MNIST, packed and unpacked: the checksums are those of the packed files."""
    files = mnist_files()
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}
    resources = [(name, md5(content)) for name, content in packed.items()]
    patch.setattr(datasets.FashionMNIST, "resources", resources)
    lay_out(root / "FashionMNIST" / "raw", files | packed)
    names = ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return Files(root / "FashionMNIST" / "raw", (*names, *(f"{name}.gz" for name in names)))


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> Files:
    """CIFAR-10: pickles, which must not be opened before they are known to be whole."""
    numbers = np.random.Generator(np.random.PCG64(5))
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    files = {
        name: pickle.dumps(
            {
                "data": numbers.integers(0, 256, (2, 3072), np.uint8),
                "labels": [3, 7],
                "label_names": ["airplane"],
            },
            protocol=2,
        ).replace(b"\x89\x88\x87", b"K\x00K\x01\x87")  # as in 2009: 0 and 1 for False and True
        for name in names
    }
    sums = [[name, md5(content)] for name, content in files.items()]
    patch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    patch.setattr(datasets.CIFAR10, "test_list", sums[5:6])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums[6][1]}
    patch.setattr(datasets.CIFAR10, "meta", meta)
    lay_out(root / "cifar-10-batches-py", files)
    return Files(root / "cifar-10-batches-py", ("data_batch_1", "test_batch", "batches.meta"))


PUBLISHED = {"mnist": mnist, "fashion": fashion, "cifar10": cifar10}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it and no network."""
    nobody = "http://127.0.0.1:9/"
    monkeypatch.delenv("VAELIB_DATASET", raising=False)
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for source in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(source, "mirrors", [nobody])
    monkeypatch.setattr(datasets.CIFAR10, "url", nobody + "cifar-10-python.tar.gz")
    return tmp_path


def forget() -> None:
    for function in (data._stored, data._mnist_or_glyphs, data._drawn_glyphs):
        function.cache_clear()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_damaged_dataset_is_never_loaded_replaced_or_deleted(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = PUBLISHED[name](home / "data", monkeypatch)
    forget()
    # Undamaged it loads, so that what follows is due to the damage alone.
    assert load(name).name == name
    for file in place.damaged:
        path = place.folder / file
        whole = path.read_bytes()
        amounts = (-(-amount[name] // len(place.damaged)) for amount in (TRUNCATIONS, FLIPS))
        for _, content in damages(whole, *amounts, f"{name}{file}"):
            path.write_bytes(content)
            before = files_below(home)
            forget()
            with pytest.raises(ValueError, match=r"altered\. Nothing was deleted") as error:
                load(name)
            assert str(error.value).startswith(f"{path}: expected md5 {md5(whole)}; got ")
            assert files_below(home) == before
        path.write_bytes(whole)
    forget()
    assert load(name).name == name


MNIST_HERE = Path(os.environ.get("VAELIB_DATA") or "~/.cache/vaelib").expanduser().absolute()


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_mnist_itself_damaged(home: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The true file against the true checksum: the rest of the files need not be there."""
    source = MNIST_HERE / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    if not source.exists():
        pytest.skip("MNIST is not at hand: set VAELIB_DATA to check the real files")
    path = home / "data" / "MNIST" / "raw" / source.name
    path.parent.mkdir(parents=True)
    for done, content in damages(source.read_bytes(), 6, 10, how):
        if done == how:
            path.write_bytes(content)
            forget()
            with pytest.raises(ValueError, match=f"{source.name}: expected md5 2646ac647ad5339d"):
                load("mnist")
            assert path.read_bytes() == content


# ---- glyphs -------------------------------------------------------------------------------------


@pytest.fixture
def few_glyphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make drawing cheap, and count how often it is done."""
    calls: list[int] = []

    def draw(train: int, test: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append(1)
        numbers = np.random.Generator(np.random.PCG64(1))
        images = numbers.integers(0, 256, (train + test, 1, 28, 28), np.uint8)
        return images, numbers.integers(0, 10, train + test)

    monkeypatch.setattr(data, "SPLIT", (6, 2))
    monkeypatch.setattr(_glyphs, "draw", draw)
    return calls


def same(a: ImageData, b: ImageData) -> bool:
    parts = ("train_images", "train_labels", "test_images", "test_labels")
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in parts)


def test_a_damaged_glyphs_file_is_reported_and_never_used(
    home: Path, few_glyphs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    forget()
    true = load("glyphs")
    (path,) = (home / "cache" / "vaelib").iterdir()
    whole = path.read_bytes()
    capsys.readouterr()
    for _, content in damages(whole, TRUNCATIONS["glyphs"], FLIPS["glyphs"], "glyphs"):
        path.write_bytes(content)
        few_glyphs.clear()
        forget()
        assert same(load("glyphs"), true)
        assert few_glyphs == [1]
        assert f"{path} is damaged" in capsys.readouterr().out
        # It is a cache of what the package draws: it is whole again, and nothing else is there.
        assert path.read_bytes() == whole
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("images", [0, 1, 7, 9])
def test_a_sealed_glyphs_file_of_another_size_is_drawn_again(
    home: Path, few_glyphs: list[int], capsys: pytest.CaptureFixture[str], images: int
) -> None:
    forget()
    true = load("glyphs")
    (path,) = (home / "cache" / "vaelib").iterdir()
    whole = path.read_bytes()
    stored = bytes(images * (784 + 8))
    path.write_bytes(stored + hashlib.sha256(stored).digest())
    forget()
    assert same(load("glyphs"), true)
    assert f"{path} is damaged" in capsys.readouterr().out
    assert path.read_bytes() == whole


def test_there_are_at_least_500_random_damages() -> None:
    assert sum(TRUNCATIONS.values()) + sum(FLIPS.values()) >= 1_000
    assert min(TRUNCATIONS.values()) >= 50
    assert min(FLIPS.values()) >= 50


# ---- what lies where a file should be -----------------------------------------------------------


def nothing(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


# A missing file is no damage; a folder in its place is none of the package's business to remove.
@pytest.mark.parametrize("instead", [nothing, folder, dangling_link], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", PUBLISHED)
def test_what_lies_in_a_files_place_is_left_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, instead: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    place = PUBLISHED[name](home / "data", monkeypatch)
    path = place.folder / place.damaged[0]
    path.unlink()
    instead(path)
    before = sorted(place.folder.iterdir())
    forget()
    with pytest.raises(FileNotFoundError, match=f"^{name} is not in .* cannot be downloaded"):
        load(name)
    assert sorted(place.folder.iterdir()) == before
