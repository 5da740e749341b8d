"""What a reader prints is the whole page: the text of the PDF is compared with that of the page."""

import re
import unicodedata
from itertools import pairwise

import pytest
from browser import HTML, PAGES, PHONE, show
from playwright.sync_api import Browser, Page
from pypdfium2 import PdfDocument

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")

# All there is to read in a page, folded or not, piece by piece; in Check the code too.
TEXTS = """() => {
  const read = document.documentElement.dataset.reading !== "check";
  const screen = ".explorable-stage, .explorable-text, .guess-entry, .guess-result, .chart-narrow";
  const out = "mjx-container, script, style, .headerlink, button, summary, output, option, " +
    ".chart-note, " + screen + (read ? ", [data-fold=code]" : "");
  const walk = document.createTreeWalker(
    document.querySelector(".bd-article"), NodeFilter.SHOW_TEXT,
    node => node.parentElement.closest(out) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  const texts = [];
  while (walk.nextNode()) texts.push(walk.currentNode.data);
  return texts;
}"""


def bare(text: str) -> str:
    """Letters and digits alone: lines break elsewhere on paper."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))


def text_of(made: bytes) -> list[str]:
    """The text of a PDF, sheet by sheet."""
    return [bare(sheet.get_textpage().get_text_range()) for sheet in PdfDocument(made)]


def crosses(text: str, sheets: list[str]) -> bool:
    """Whether a text begins on one sheet and ends on the next."""
    for sheet, following in pairwise(sheets):
        begins = 0
        while text[: begins + 1] in sheet:
            begins += 1
        if begins and text[begins:] in following:
            return True
    return False


def left_out(page: Page, sheets: list[str]) -> list[str]:
    """What is in the page and not on paper."""
    texts = [text for text in page.evaluate(TEXTS) if len(bare(text)) > 3]
    assert len(texts) > 20
    on_one_sheet = "|".join(sheets)  # which is no letter
    return [
        text for text in texts if bare(text) not in on_one_sheet and not crosses(bare(text), sheets)
    ]


def printed_whole(browser: Browser, name: str, checked: bool = False) -> list[str]:
    """Print a page as a reader does, at night; return what is missing."""
    context = browser.new_context(viewport=PHONE, color_scheme="dark")  # type: ignore[arg-type]
    page, _ = show(context, HTML / f"{name}.html")
    if checked:
        page.get_by_role("button", name="Check").click()
    missing = left_out(page, text_of(page.pdf(prefer_css_page_size=True)))
    context.close()
    return missing


def test_a_missing_sentence_is_noticed(browser: Browser) -> None:
    context = browser.new_context()
    page, _ = show(context, HTML / "glossary.html")
    words = " ".join(page.evaluate(TEXTS))
    (longest,) = sorted(page.evaluate(TEXTS), key=len)[-1:]
    assert left_out(page, [bare(words)]) == []
    assert left_out(page, [bare(words.replace(longest, ""))]) == [longest]
    context.close()


FOLDS = "[...document.querySelectorAll('.bd-article details')].map(fold => fold.open)"
SCHEME = "document.documentElement.dataset.theme"


def test_folds_and_scheme_are_as_before_once_it_is_printed(browser: Browser) -> None:
    context = browser.new_context(color_scheme="dark")
    page, _ = show(context, HTML / "sparsity.html")
    page.locator(".bd-article details").first.evaluate("fold => { fold.open = true }")
    folds = page.evaluate(FOLDS)
    assert True in folds
    assert False in folds
    assert page.evaluate(SCHEME) == "dark"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(page.evaluate(FOLDS))
    assert page.evaluate(SCHEME) == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(FOLDS) == folds
    assert page.evaluate(SCHEME) == "dark"
    context.close()


# The caption, the head and the rows of each table that has a caption.
ROWS = """() => [...document.querySelectorAll(".cell-table table:has(caption)")].map(table => [
  table.caption, ...table.rows].map(part => part.textContent))"""


def test_a_short_table_is_on_one_sheet(browser: Browser) -> None:
    context = browser.new_context()
    page, _ = show(context, HTML / "hysteresis.html")
    tables = [[bare(row) for row in rows] for rows in page.evaluate(ROWS)]
    sheets = text_of(page.pdf(prefer_css_page_size=True))
    context.close()
    short = [rows for rows in tables if len(rows) <= 14]
    assert len(short) > 5
    for rows in short:
        assert any(all(row in sheet for row in rows) for sheet in sheets), rows


def test_sheets_have_numbers_and_the_title_of_the_page(browser: Browser) -> None:
    context = browser.new_context()
    page, _ = show(context, HTML / "glossary.html")
    sheets = PdfDocument(page.pdf(prefer_css_page_size=True))
    lines = sheets[1].get_textpage().get_text_range().splitlines()
    assert {"Glossary", "2"} <= {*lines[:2], *lines[-2:]}, lines
    assert sheets[0].get_width() == pytest.approx(595, abs=1)  # A4
    context.close()
