"""On every page: lines, "you are here", focus, targets, cues, and a card for each kind of link."""

from pathlib import Path

import pytest
from browser import DESK, HTML, PAGES, PHONE, axe, show
from playwright.sync_api import Browser, Page
from test_everybody import PLACES, WITHOUT_CUE, letters, targets_and_landmarks, unseen_focus

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_for_everybody(path: Path, browser: Browser) -> None:
    for forced in ("none", "active"):
        context = browser.new_context(viewport=DESK, forced_colors=forced)  # type: ignore[arg-type]
        page, _ = show(context, path)
        assert unseen_focus(page, 60) == []
        if forced == "none":
            assert targets_and_landmarks(page) == []
            check_reading(page)
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            page.wait_for_timeout(300)
            assert page.evaluate(WITHOUT_CUE) == []
        context.close()


def check_reading(page: Page) -> None:
    """Lines are of a good length at two widths, and the list of contents says where one is."""
    for viewport in (DESK, {"width": 820, "height": 1100}):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        lines = letters(page)
        # A page of tables and signatures has few.
        assert len(lines) < 20 or 60 <= lines[len(lines) // 2] <= 75
        # Right in 98 % of 70 places.
        assert page.locator("#page-contents").count() == 0 or len(page.evaluate(PLACES)) <= 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_search_and_its_marks_are_accessible(
    viewport: dict[str, int], scheme: str, browser: Browser
) -> None:
    context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    page, complaints = show(context, HTML / "search.html")
    page.keyboard.type("posterior collapse")
    hit = page.locator(".search-page .search-hits a").first
    hit.wait_for()
    assert axe(page) == []
    hit.click()
    page.locator(".search-bar").wait_for()
    page.locator(".bd-article a[href*='#term-']").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.locator(".peek").wait_for()
    assert axe(page, everywhere=False) == []
    assert complaints == []
    context.close()
