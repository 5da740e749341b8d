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


# After what it takes from here.
from browser import browser, context  # noqa: E402, F401
