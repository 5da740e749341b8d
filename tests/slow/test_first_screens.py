"""The first screen of each chapter, on a desk and on a phone: the question and something to see."""

from pathlib import Path

import pytest
from browser import PAGES, show
from playwright.sync_api import Browser

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
SCREENS = ({"width": 1280, "height": 800}, {"width": 390, "height": 844})


def test_question_and_picture_are_in_the_first_screen(browser: Browser, chapter: Path) -> None:
    if chapter.stem == "index":
        pytest.skip("the start page opens with something to touch")
    page = next(path for path in PAGES if path.stem == chapter.stem)
    assert first_screen_complaints(browser, page) == []


def first_screen_complaints(browser: Browser, path: Path) -> list[str]:
    """What a reader would have to scroll to: the question, all of the picture, enough to touch."""
    complaints = []
    context = browser.new_context()
    page, _ = show(context, path)
    for screen in SCREENS:
        page.set_viewport_size(screen)  # type: ignore[arg-type]
        page.wait_for_timeout(300)
        for what, selector, enough in (
            ("question", ".opening-question", None),
            ("picture", ".opening-picture :is(img, svg), .explorable, .tally", 250),
        ):
            for part in page.locator(f".bd-article :is({selector}):visible").all()[:1]:
                place = part.bounding_box()
                end = place["y"] + min(enough or place["height"], place["height"])
                if end > screen["height"]:
                    complaints.append(f"{what} ends at {end:.0f} of {screen['height']}")
                break
            else:
                complaints.append(f"no {what}")
    context.close()
    return complaints
