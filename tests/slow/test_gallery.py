"""The gallery of slips: what is stored of it holds, and a part of it is trained again."""

import inspect
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import gallery_of_slips as gallery  # noqa: E402

STORED = json.loads(gallery.STORED.read_text(encoding="utf-8"))
ROWS = [(dataset, case) for dataset in gallery.DATASETS for case in gallery.CASES]
AGAIN = ("ExpLogvar", "HandsVariance", "Detached", "MeanOverPixels", "NoMean", "one epoch", "table")


def stored(dataset: str, case: gallery.Case) -> dict:
    """The stored row of a network."""
    return STORED[dataset][case.group][case.name]


def is_right(case: gallery.Case, row: dict) -> bool:
    """Whether a slip is named first, or a correct network has no fault."""
    if case.group in ("slips", "later"):
        return row["findings"][0] in case.network.right
    return not row["faults"]


def test_the_table_is_that_of_the_code() -> None:
    for dataset in gallery.DATASETS:
        names = [name for group in STORED[dataset].values() for name in group]
        assert names == [case.name for case in gallery.CASES], dataset
    for dataset, case in ROWS:
        row = stored(dataset, case)
        assert row["about"] == inspect.getdoc(case.network)
        assert len(row["losses"]) == row["epochs"] == case.epochs
        if case.group in ("slips", "later"):
            assert (row["line"], tuple(row["right"])) == (case.network.line, case.network.right)


def test_slips_come_first_and_correct_networks_have_none() -> None:
    assert [case.name for dataset, case in ROWS if not is_right(case, stored(dataset, case))] == []


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_the_numbers_of_the_readme_are_those_of_the_gallery(page: str) -> None:
    groups = [case.group for case in gallery.CASES]
    slips = groups.count("slips") + groups.count("later")
    correct = groups.count("correct") + groups.count("later correct")
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"{slips} slips and {correct} correct networks" in " ".join(text.split())


@pytest.fixture
def one_thread() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", AGAIN)
@pytest.mark.usefixtures("one_thread")
def test_trained_again_the_same_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "KEPT", tmp_path)
    (case,) = (case for case in gallery.CASES if case.name == name)
    model, losses = gallery.train(case, "glyphs")
    row = gallery.row(case, losses, gallery.diagnosed(case, "glyphs", model))
    expected = stored("glyphs", case)
    assert row["losses"] == pytest.approx(expected["losses"], rel=0.01)
    assert (row["findings"][:1], row["faults"]) == (expected["findings"][:1], expected["faults"])
    assert is_right(case, row)
    # What is kept is what comes back.
    again = gallery.train(case, "glyphs")[0].state_dict()
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


def test_a_network_whose_code_changes_is_another_one() -> None:
    names = [gallery.fingerprint(case) for case in gallery.CASES]
    assert len(set(names)) == len(names)
