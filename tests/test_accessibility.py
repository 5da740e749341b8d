"""The built pages for readers who use a screen reader, or need contrast: axe finds nothing serious.

Apart from tests/test_pages.py, since these take longest: so they can run beside those.
"""

from pathlib import Path

import pytest
from browser import AXE, DESK, HTML, PAGES, RUN_AXE, show
from playwright.sync_api import Browser, BrowserContext

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")

OF_COLOUR = ["color-contrast", "link-in-text-block"]  # the dark page has the same elements


@pytest.mark.parametrize("page_file", PAGES, ids=lambda path: path.relative_to(HTML).as_posix())
def test_axe_finds_nothing_serious(browser: Browser, page_file: Path) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="light")  # type: ignore[arg-type]
    page, _ = show(context, page_file)
    page.evaluate(AXE)
    for scheme, rules in (("light", []), ("dark", OF_COLOUR)):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        # While a colour changes gradually, its contrast is that of neither page.
        page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")
        assert page.evaluate(RUN_AXE, rules) == [], scheme
    context.close()


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ('<p style="color: #aaa; background: #fff">faint</p>', "color-contrast"),
        ("<button></button>", "button-name"),
        ('<img src="x.png">', "image-alt"),
    ],
)
def test_axe_can_find_something(
    context: BrowserContext, tmp_path: Path, body: str, rule: str
) -> None:
    path = tmp_path / "bad.html"
    path.write_text(f'<!doctype html><html lang="en"><title>t</title><main><h1>t</h1>{body}</main>')
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate(AXE)
    assert any(found.startswith(f"{rule}:") for found in page.evaluate(RUN_AXE, []))
