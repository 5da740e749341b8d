"""What chapters are made of, in Read: what a reader came for, and little else."""

import sys
from pathlib import Path

import pytest
from browser import HTML, PAGES, show
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import page_shares  # noqa: E402

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


def test_most_of_a_chapters_height_is_text_and_figures_and_hardly_any_is_code(
    browser: Browser,
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    heights = dict.fromkeys(page_shares.KINDS, 0.0)
    total = 0.0
    for name in page_shares.chapters.chapters(ROOT / "_toc.yml", ROOT / "book"):
        page, _ = show(context, HTML / f"{name}.html")
        shares = page_shares.shares(page, "read")
        page.close()
        total += shares["height"]
        for kind in heights:
            heights[kind] += shares.get(kind, 0.0) * shares["height"]
    context.close()
    shares = {kind: height / total for kind, height in heights.items()}
    assert shares["code"] + shares["folds"] <= 0.05, shares
    assert shares["prose"] + shares["figures"] >= 0.55, shares
