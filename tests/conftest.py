"""What several test files need."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

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


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One browser for all tests of a process; only those that ask for it need playwright."""
    from browser import started

    with started() as browser:
        yield browser


@pytest.fixture
def context(browser: "Browser") -> "Iterator[BrowserContext]":
    """A fresh profile on a phone."""
    from browser import PHONE

    context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs, and a dataset "tiny" that is trained on at once."""
    from small import make_data

    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    monkeypatch.setattr("vaelib.lab.experiment.load", make_data)
    return tmp_path / "runs"
