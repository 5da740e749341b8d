"""The first screen of each chapter, on a desk and on a phone: the question and something to see."""

from pathlib import Path

import pytest
from browser import PAGES
from playwright.sync_api import Browser
from test_reading import first_screen_complaints

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


def test_question_and_picture_are_in_the_first_screen(browser: Browser, chapter: Path) -> None:
    if chapter.stem == "index":
        pytest.skip("the start page opens with something to touch")
    page = next(path for path in PAGES if path.stem == chapter.stem)
    assert first_screen_complaints(browser, page) == []
