"""What several test files need."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request: pytest.FixtureRequest) -> Path:
    """Each notebook of the book in turn."""
    return request.param


@pytest.fixture
def notebook(chapter: Path) -> dict[str, Any]:
    """The content of a chapter."""
    return json.loads(chapter.read_text(encoding="utf-8"))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs, and a dataset "tiny" that is trained on at once."""
    from small import make_data

    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    monkeypatch.setattr("vaelib.lab.experiment.load", make_data)
    return tmp_path / "runs"


# After what it takes from here.
from browser import browser, context  # noqa: E402, F401
