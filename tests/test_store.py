"""The file of a run: what comes back, that no damage goes unseen, that no write loses a file."""

import errno
import hashlib
import stat

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from vaelib import _store
from vaelib._lock import alone

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
def stored(tmp_path):
    path = tmp_path / "a.run.safetensors"
    _store.write(path, TENSORS, '{"seed":3}')
    return path


def same(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype
        for name, value in expected.items()
    )


def test_what_is_written_comes_back(stored):
    tensors, description = _store.read(stored)
    assert same(tensors, TENSORS)
    assert description == '{"seed":3}'


@few
@given(
    shapes=st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8]),
    description=st.text(),
)
def test_any_tensors_and_any_description_come_back(tmp_path, shapes, dtype, description):
    tensors = {f"{i}/ä": (100 * torch.rand(s)).to(dtype) for i, s in enumerate(shapes)}
    path = tmp_path / "any.safetensors"
    _store.write(path, tensors, description)
    found, said = _store.read(path)
    assert same(found, tensors)
    assert said == description


def test_a_description_that_looks_like_a_seal_does_no_harm(tmp_path):
    zeros, other = "0" * 64, "a" * 64
    for description in (f'"sha256":"{zeros}"', f'{{"sha256":"{other}"}}', f"{zeros} {other} {{}}"):
        _store.write(tmp_path / "x", TENSORS, description)
        assert _store.read(tmp_path / "x")[1] == description


def test_extreme_values_come_back_bit_by_bit(tmp_path):
    values = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-45, 3.4e38])
    _store.write(tmp_path / "x", {"a": values}, "")
    found = _store.read(tmp_path / "x")[0]["a"]
    assert torch.equal(found.view(torch.int32), values.view(torch.int32))


def test_views_are_stored_as_they_read(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    _store.write(tmp_path / "x", {"turned": whole.T, "column": whole[:, 1]}, "")
    found, _ = _store.read(tmp_path / "x")
    assert same(found, {"turned": whole.T, "column": whole[:, 1]})


def test_the_file_is_plain_safetensors_readable_by_all(stored):
    with safe_open(stored, framework="pt") as file:
        assert set(file.keys()) == set(TENSORS)
        seal, _, description = file.metadata()["run"].partition(" ")
        assert len(seal) == 64
        assert description == '{"seed":3}'
    assert stat.S_IMODE(stored.stat().st_mode) == 0o644


def test_folders_are_made(tmp_path):
    path = tmp_path / "not" / "there" / "x.safetensors"
    _store.write(path, TENSORS, "")
    assert path.exists()


def test_nothing_but_the_file_is_left(stored):
    assert list(stored.parent.iterdir()) == [stored]


def check_damage(path, damaged):
    path.write_bytes(damaged)
    with pytest.raises(_store.DamagedRunError) as error:
        _store.read(path)
    assert str(path) in str(error.value)
    # What is there is left for the user to look at.
    assert path.read_bytes() == damaged
    assert list(path.parent.iterdir()) == [path]


def test_damage_is_told_with_both_digests_and_what_to_do(stored):
    content = stored.read_bytes()
    seal = _store.SEAL.search(content)[1]
    altered = content[:-1] + b"?"
    found = hashlib.sha256(altered.replace(seal, b"0" * 64)).hexdigest()
    stored.write_bytes(altered)
    with pytest.raises(_store.DamagedRunError) as error:
        _store.read(stored)
    assert str(error.value) == (
        f"{stored}: truncated or altered (sha256 {found[:12]}… instead of "
        f"{seal.decode()[:12]}…); restore it, or delete it to train it again"
    )


@few
@given(data=st.data(), bits=st.integers(1, 255))
def test_one_changed_byte_is_seen_wherever_it_is(tmp_path, data, bits):
    path = tmp_path / "a.run.safetensors"
    _store.write(path, TENSORS, '{"seed":3}')
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= bits
    check_damage(path, bytes(content))


def test_one_flipped_bit_is_seen_in_every_byte(stored):
    content = stored.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        stored.write_bytes(damaged)
        with pytest.raises(_store.DamagedRunError, match=r"a\.run\.safetensors"):
            _store.read(stored)


def test_truncation_is_seen_wherever_it_is(stored):
    content = stored.read_bytes()
    for length in range(0, len(content), 3):
        stored.write_bytes(content[:length])
        with pytest.raises(_store.DamagedRunError, match=r"a\.run\.safetensors"):
            _store.read(stored)


@few
@given(more=st.binary(min_size=1, max_size=20), front=st.booleans())
def test_additions_are_seen(tmp_path, more, front):
    path = tmp_path / "a.run.safetensors"
    _store.write(path, TENSORS, "")
    content = path.read_bytes()
    check_damage(path, more + content if front else content + more)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a run", b"0" * 5000])
def test_what_is_no_run_is_an_error(tmp_path, content):
    check_damage(tmp_path / "x.safetensors", content)


def test_the_parts_of_two_files_do_not_mix(tmp_path):
    contents = []
    for value in (1.0, 2.0):
        _store.write(tmp_path / "x", {"a": torch.full((8,), value)}, "")
        contents.append((tmp_path / "x").read_bytes())
    check_damage(tmp_path / "x", contents[0][:-32] + contents[1][-32:])


def test_a_file_of_another_program_is_an_error(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "x")
    check_damage(tmp_path / "x", (tmp_path / "x").read_bytes())


def test_a_sealed_file_that_is_not_safetensors_is_an_error(tmp_path):
    content = b'{"__metadata__":{"run":"' + b"0" * 64 + b' {}"}} and nothing else'
    seal = hashlib.sha256(content).hexdigest().encode()
    (tmp_path / "x").write_bytes(content.replace(b"0" * 64, seal))
    check_damage(tmp_path / "x", (tmp_path / "x").read_bytes())


def test_damage_is_a_value_error_and_absence_is_not_damage(tmp_path):
    assert issubclass(_store.DamagedRunError, ValueError)
    with pytest.raises(FileNotFoundError):
        _store.read(tmp_path / "x")


class Stop(BaseException):
    """Not an Exception, as KeyboardInterrupt is not."""


@pytest.mark.parametrize("said", [None, "elsewhere"])
def test_an_error_of_the_system_names_the_file_if_it_names_none(stored, monkeypatch, said):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device", said)

    monkeypatch.setattr(_store.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        _store.write(stored, TENSORS, "new")
    assert caught.value.filename == (said or str(stored))


@pytest.mark.parametrize("failure", [OSError("disk full"), Stop(), KeyboardInterrupt()])
@pytest.mark.parametrize("function", ["fsync", "fdopen-write", "replace", "chmod"])
def test_a_failed_write_leaves_the_old_file_and_no_other(stored, monkeypatch, failure, function):
    before = stored.read_bytes()

    def fail(*_args, **_kwargs):
        raise failure

    if function == "fsync":
        monkeypatch.setattr(_store.os, "fsync", fail)
    elif function == "fdopen-write":
        original = _store.os.fdopen

        class Half:
            """Writes half of what it is given, then fails."""

            def __init__(self, handle, mode):
                self.file = original(handle, mode)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            def write(self, content):
                self.file.write(content[: len(content) // 2])
                raise failure

        monkeypatch.setattr(_store.os, "fdopen", Half)
    else:
        monkeypatch.setattr(_store.Path, function, fail)
    with pytest.raises(type(failure)):
        _store.write(stored, {"a": torch.ones(3)}, "new")
    monkeypatch.undo()
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]
    assert _store.read(stored)[1] == '{"seed":3}'


def test_what_a_killed_write_leaves_is_cleared_away_by_the_next(stored, monkeypatch):
    def killed(*_):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(_store.Path, "replace", killed)
        patch.setattr(_store.Path, "unlink", lambda _: None)  # a killed process tidies nothing
        with pytest.raises(Stop):
            _store.write(stored, {"a": torch.ones(3)}, "new")
    assert len(list(stored.parent.iterdir())) == 2
    with alone(stored):  # as whoever makes this file does
        pass
    assert list(stored.parent.iterdir()) == [stored]


def test_the_new_file_is_moved_in_whole(stored, monkeypatch):
    original, seen = _store.Path.replace, []

    def watch(self, target):
        # Just before the move the old file is still whole, and so is the new one.
        seen.append((_store.read(stored)[1], _store.read(self)[1]))
        return original(self, target)

    monkeypatch.setattr(_store.Path, "replace", watch)
    _store.write(stored, {"a": torch.ones(3)}, "new")
    assert seen == [('{"seed":3}', "new")]
    assert _store.read(stored)[1] == "new"


class NotATensor:
    def contiguous(self):
        return self


def test_tensors_that_cannot_be_stored_leave_the_old_file(stored):
    before = stored.read_bytes()
    with pytest.raises(ValueError, match="NotATensor"):
        _store.write(stored, {"a": NotATensor()}, "new")
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_the_same_run_is_the_same_file(tmp_path):
    contents = set()
    for _ in range(30):
        _store.write(tmp_path / "x", TENSORS, "{}")
        contents.add((tmp_path / "x").read_bytes())
    assert len(contents) == 1
