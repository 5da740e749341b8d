"""All rules of axe on every page, down to each word of code, by day and by night."""

from pathlib import Path

import pytest
from browser import DESK, HTML, PAGES, axe, change_scheme, show
from playwright.sync_api import Browser


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(HTML).as_posix())
def test_axe_finds_nothing_serious(browser: Browser, path: Path) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="light")  # type: ignore[arg-type]
    page, _ = show(context, path)
    change_scheme(page, "light")
    assert axe(page) == []
    change_scheme(page, "dark")  # which has the same elements in other colours
    assert axe(page, colours=True) == []
    context.close()


def test_there_are_pages() -> None:
    assert PAGES, "the book is not built: make book"
