"""The file of a run: what comes back, that no damage goes unseen, where it lies."""

import contextlib
import hashlib
import os
import pickle
import re
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from small import SMALL, make_data, same, small

from vaelib.data import folders
from vaelib.data.lock import exclusive_lock, temporary_prefix
from vaelib.lab import DamagedRunError, MissingRunError, Run, store, sweep

few = settings(
    deadline=None,
    max_examples=15,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TENSORS = {
    "history/step": torch.tensor([0, 3, 7]),
    "measured/nats": torch.tensor(1.25, dtype=torch.float64),
    "weights/mu.weight": torch.tensor([[1.0, -2.0], [0.5, 3.5]]),
    "weights/empty": torch.zeros(0, 3),
}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "a.run.safetensors"
    store.write(path, TENSORS, '{"seed":3}')
    return path


# ---- what is written comes back -----------------------------------------------------------------


@few
@given(
    shapes=st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8]),
    description=st.text() | st.just(f'"sha256":"{"0" * 64}"') | st.just(f"{'a' * 64} {{}}"),
)
def test_any_tensors_and_any_description_come_back(
    tmp_path: Path, shapes: list[list[int]], dtype: torch.dtype, description: str
) -> None:
    tensors = {f"{i}/ä": (100 * torch.rand(shape)).to(dtype) for i, shape in enumerate(shapes)}
    store.write(tmp_path / "deep" / "x", tensors, description)
    found, text = store.read(tmp_path / "deep" / "x")
    assert same(found, tensors)
    assert text == description


def test_extreme_values_and_views_come_back_bit_by_bit(tmp_path: Path) -> None:
    values = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-45, 3.4e38])
    turned = torch.arange(12.0).reshape(3, 4).T
    store.write(tmp_path / "x", {"values": values, "turned": turned, "row": turned[1]}, "")
    found, _ = store.read(tmp_path / "x")
    assert torch.equal(found.pop("values").view(torch.int32), values.view(torch.int32))
    assert same(found, {"turned": turned, "row": turned[1]})


def test_the_file_is_plain_safetensors_readable_by_all(stored: Path) -> None:
    with safe_open(stored, framework="pt") as file:
        assert set(file.keys()) == set(TENSORS)
        assert file.metadata()["run"].partition(" ")[2] == '{"seed":3}'
    assert stat.S_IMODE(stored.stat().st_mode) == 0o644
    assert list(stored.parent.iterdir()) == [stored]


def test_the_same_run_is_the_same_file(stored: Path) -> None:
    first = stored.read_bytes()
    for _ in range(20):
        store.write(stored, TENSORS, '{"seed":3}')
        assert stored.read_bytes() == first


def test_a_run_comes_back_and_its_file_keeps_the_names_of_the_first_edition(
    tmp_path: Path,
) -> None:
    number = torch.tensor([2.5, 1.0], dtype=torch.float64)  # used more than once
    names = ("var_mu", "mean_sigma2", "kl", "reconstruction_nats", "confident_share")
    run = Run(
        SMALL,
        history={"step": torch.tensor([0]), "var_mu": number, "snapshots": number},
        measurements=dict.fromkeys(names, number),
        weights={"mu.weight": torch.ones(2, 2), "kl": number},
    )
    run.write(tmp_path / "x")
    again = Run.read(tmp_path / "x", SMALL)
    for part in ("history", "measurements", "weights"):
        assert same(getattr(again, part), getattr(run, part))
    assert set(store.read(tmp_path / "x")[0]) == {
        *("history/step", "history/mu_variance", "history/film"),
        *("measured/mu_variance", "measured/mean_variance", "measured/kl"),
        *("measured/nats", "measured/legibility", "weights/mu.weight", "weights/kl"),
    }


# ---- damage -------------------------------------------------------------------------------------


def assert_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DamagedRunError, match=re.escape(str(path))):
        store.read(path)
    # What is there is left for the user to look at.
    assert path.read_bytes() == content


def sealed(content: bytes) -> bytes:
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def test_a_flipped_bit_or_a_missing_end_is_seen_wherever_it_is(stored: Path) -> None:
    content = stored.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        assert_damaged(stored, bytes(damaged))
    for length in range(0, len(content), 3):
        assert_damaged(stored, content[:length])


def test_additions_and_mixtures_are_seen(stored: Path) -> None:
    content = stored.read_bytes()
    assert_damaged(stored, content + b"\0")
    assert_damaged(stored, b"\0" + content)
    store.write(stored, {name: value + 1 for name, value in TENSORS.items()}, '{"seed":3}')
    assert_damaged(stored, content[:-32] + stored.read_bytes()[-32:])


class Bomb:
    """What pickle makes a program do when it reads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_what_is_no_run_is_an_error_and_is_not_executed(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "mark"))
    header = b'{"__metadata__":{"run":"' + b"0" * 64
    length = (len(header) + 6).to_bytes(8, "little")
    foreign = tmp_path / "foreign"
    save_file({"a": torch.zeros(2)}, foreign)
    for content in (
        *(b"", b"\0", b"not a run", b"0" * 5_000, bomb, foreign.read_bytes()),
        *(sealed(header + b' {}"}} and nothing else'), sealed(header + b" " + bomb)),
        sealed(length + header + b' {}"}}' + bomb),
    ):
        assert_damaged(tmp_path / "x", content)
    assert not (tmp_path / "mark").exists()
    pickle.loads(bomb)
    assert (tmp_path / "mark").exists()
    with pytest.raises(FileNotFoundError):
        store.read(tmp_path / "absent")


# ---- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    stored: Path, monkeypatch: pytest.MonkeyPatch, failure: type, owner: Any, step: str
) -> None:
    before = stored.read_bytes()

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise failure

    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(failure):
        store.write(stored, {"a": torch.ones(3)}, "new")
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(stored: Path) -> None:
    before, limit = stored.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OSError, match=re.escape(str(stored))):
            store.write(stored, {"a": torch.ones(300)}, "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_the_new_file_is_moved_in_whole(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, descriptions, sources = Path.replace, [], []

    def watch(self: Path, target: Path) -> Path:
        descriptions.append((store.read(stored)[1], store.read(self)[1]))
        sources.append(self)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    store.write(stored, {"a": torch.ones(3)}, "new")
    assert descriptions == [('{"seed":3}', "new")]
    # Beside it, under a name that says whose it is: else it would be left, or on another disk.
    assert sources[0].parent == stored.parent
    assert sources[0].name.startswith(temporary_prefix(stored))
    assert store.read(stored)[1] == "new"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.run.safetensors"
    store.write(path, {"a": torch.ones(3)}, "text")
    assert store.read(path)[1] == "text"


def test_what_a_killed_write_leaves_is_cleared_away_by_the_next(stored: Path) -> None:
    leftover = stored.with_name(f".unfinished-{stored.name}-abc")
    other = stored.with_name(".unfinished-b.run.safetensors-abc")
    leftover.write_text("half")
    other.write_text("another's")
    with exclusive_lock(stored):  # as whoever makes this file does
        assert not leftover.exists()
    assert sorted(stored.parent.iterdir()) == sorted([stored, other])


def test_a_link_is_replaced_and_what_it_points_to_stays(stored: Path) -> None:
    link = stored.with_name("link")
    link.symlink_to(stored)
    before = stored.read_bytes()
    store.write(link, {"a": torch.ones(2)}, "{}")
    assert not link.is_symlink()
    assert stored.read_bytes() == before


# ---- where runs lie -----------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing is trained: what comes is stored."""
    monkeypatch.setenv("VAELIB_TRAIN", "never")


def attempts() -> list[Callable[[], Any]]:
    return [SMALL.run, lambda: SMALL.run(weights=False), lambda: sweep([SMALL])]


def test_a_run_is_trained_once_and_loaded_from_then_on(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = SMALL.run()
    assert SMALL.name in capsys.readouterr().err  # a progress bar
    assert files(runs) == [f"{SMALL.name}.run.safetensors"]
    never(monkeypatch)
    for again in (SMALL.run(), SMALL.run(weights=False), *sweep([SMALL])):
        assert again.experiment == SMALL
        for part in ("weights", "history", "measurements"):
            assert same(getattr(first, part), getattr(again, part))
    assert capsys.readouterr().err == ""


def test_measurements_are_kept_without_weights_where_none_are_wanted(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = SMALL.run(weights=False)
    assert light.weights == {}
    with pytest.raises(ValueError, match=r"^weights: "):
        light.model()
    sweep_file = f"{SMALL.name}.sweep.safetensors"
    assert files(runs) == [sweep_file]
    with monkeypatch.context() as patch:
        never(patch)
        with pytest.raises(MissingRunError, match=re.escape(sweep_file)):
            SMALL.run()
    full = SMALL.run()
    assert len(files(runs)) == 2
    assert same(light.measurements, full.measurements)
    assert same(light.history, full.history)


def test_training_can_be_forbidden(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never(monkeypatch)
    for attempt in attempts():
        with pytest.raises(MissingRunError) as error:
            attempt()
        for part in (f"{SMALL.name}: no stored run in {runs}, ", SMALL.canonical):
            assert part in str(error.value)
    assert files(runs) == []
    monkeypatch.setattr(store, "run_folders", lambda: [runs, runs / "more"])
    with pytest.raises(MissingRunError, match=re.escape(f" in {runs}, {runs / 'more'}, and ")):
        SMALL.run()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VAELIB_TRAIN", "Never"),
        ("VAELIB_TRAIN", "0"),
        ("VAELIB_RUN", "runs"),
        ("VAELIB_RUNS", "not/mounted"),
    ],
)
def test_a_setting_that_is_none_is_an_error_and_nothing_is_trained(
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.chdir(runs.parent)
    monkeypatch.setenv(variable, value)
    for attempt in attempts():
        with pytest.raises((ValueError, FileNotFoundError), match=rf"^{variable}: "):
            attempt()
    assert [path.name for path in runs.parent.rglob("*")] == ["runs"]
    assert capsys.readouterr().err == ""


def test_runs_are_read_from_the_book_and_a_readers_own_go_to_the_cache(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.run_folders() == [runs]
    monkeypatch.delenv("VAELIB_RUNS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(runs))
    book, cache = store.run_folders()
    assert book == Path(__file__).parents[1] / "book" / "runs"
    assert cache == runs / "vaelib" / "runs"
    before = files(book)
    SMALL.run()
    assert files(cache) == [f"{SMALL.name}.run.safetensors"]
    assert files(book) == before
    # Without a checkout there is the cache alone.
    monkeypatch.setattr(folders, "__file__", str(runs / "vaelib" / "data" / "x.py"))
    assert store.run_folders() == [cache]
    with pytest.raises(FileNotFoundError, match="clone"):
        store.book_folder()


def test_a_name_that_begins_like_another_is_not_taken_for_it(runs: Path) -> None:
    for kind in ("run", "sweep"):
        for name in (f"{SMALL.name}0", SMALL.name[:-1], f"x{SMALL.name}"):
            (runs / f"{name}.{kind}.safetensors").write_bytes(b"another run")
    assert SMALL.stored(weights=False) is None
    assert SMALL.stored(weights=True) is None
    first, second = small(seed=1), small(seed=11)  # seed1-… and seed11-…
    first.run(weights=False)
    assert second.stored(weights=False) is None


def test_a_run_under_another_name_is_an_error(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SMALL.run()
    another = small(seed=4)
    moved = runs / f"{another.name}.run.safetensors"
    (runs / f"{SMALL.name}.run.safetensors").rename(moved)
    content = moved.read_bytes()
    with pytest.raises(DamagedRunError) as error:
        another.run()
    for part in (str(moved), SMALL.canonical, another.canonical):
        assert part in str(error.value)
    assert moved.read_bytes() == content


def test_a_damaged_run_is_not_trained_over(runs: Path) -> None:
    SMALL.run()
    path = runs / f"{SMALL.name}.run.safetensors"
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    for attempt in attempts():
        with pytest.raises(DamagedRunError, match=SMALL.name):
            attempt()
    assert path.read_bytes() == damaged


def test_a_training_that_fails_stores_nothing(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^(loss|x|mu)\b"):
        small(learning_rate=1e30).run()
    with pytest.raises(ValueError, match=r"^device: "):
        SMALL.run(device="nowhere")
    # Data that stand in for others are not trained on.
    monkeypatch.setattr("vaelib.lab.experiment.load", lambda name: make_data("glyphs"))
    with pytest.raises(ValueError, match=r"^dataset: "):
        SMALL.run()
    assert files(runs) == []


def test_a_link_in_a_locks_place_is_not_followed(runs: Path) -> None:
    precious = runs.parent / "precious"
    precious.write_text("precious")
    (runs / f".{SMALL.name}.run.safetensors.lock").symlink_to(precious)
    with contextlib.suppress(OSError):
        SMALL.run()
    assert precious.read_text() == "precious"
