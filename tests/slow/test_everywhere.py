"""On every page: all rules of axe, lines, "you are here", focus, cues; and the search.

A page takes seconds to open, so that each is opened once.
"""

from pathlib import Path

import pytest
from browser import ALSO, DESK, HTML, PAGES, PHONE, axe, change_scheme, show
from playwright.sync_api import Browser, Page
from test_everybody import PLACES, WITHOUT_CUE, letters, unseen_focus
from test_pages import on_paper


def test_there_are_pages() -> None:
    assert PAGES, "the book is not built: make book"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_for_everybody(path: Path, browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="light")  # type: ignore[arg-type]
    page, _ = show(context, path)
    for forced in ("none", "active"):
        page.emulate_media(forced_colors=forced)  # type: ignore[arg-type]
        page.locator("a, button").first.focus()
        page.keyboard.press("Shift+Tab")  # Tab begins at the top again
        assert unseen_focus(page, 60) == [], forced
    page.emulate_media(forced_colors="none")
    change_scheme(page, "light")
    assert axe(page, also=ALSO) == []
    change_scheme(page, "dark")  # which has the same elements in other colours
    assert axe(page, colours=True) == []
    check_reading(page)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.wait_for_timeout(300)
    assert page.evaluate(WITHOUT_CUE) == []
    for switch in page.locator("[data-set-reading=check]").all():
        switch.click()  # what is folded has not been looked at
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    page.wait_for_timeout(300)  # what scrolls gets into reach of the keyboard
    assert axe(page, colours=False) == []
    context.close()


def check_reading(page: Page) -> None:
    """Lines are of a good length at two widths, and the list of contents says where one is."""
    for viewport in (DESK, {"width": 820, "height": 1100}):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        lines = letters(page)
        # A page of tables and signatures has few.
        assert len(lines) < 20 or 60 <= lines[len(lines) // 2] <= 75
        assert page.locator("#page-contents").count() == 0 or page.evaluate(PLACES) == []


def test_a_section_that_cannot_get_to_the_top_is_marked_if_its_link_was_followed(
    browser: Browser,
) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, _ = show(context, HTML / "sparsity.html")
    for link in page.locator("#page-contents a").all()[-2:]:
        link.click()
        page.wait_for_timeout(100)
        assert link.get_attribute("aria-current") == "location"
    context.close()


def test_on_paper_all_is_dark_on_white(browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    page, _ = show(context, HTML / "sparsity.html")
    on_paper(page)
    assert axe(page, colours=True, everywhere=False) == []
    context.close()


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
