"""Tables and the scoreboard on the built pages: numbered, aligned, folded, and to choose from.

Needs `make book` (`make test` sees to it), and Chromium or Chrome.
"""

import json
import re
from collections import Counter
from pathlib import Path

import gates
import pytest
import yaml
from browser import DESK, HTML, PAGES, show
from conftest import BOOK, CHAPTERS
from playwright.sync_api import Browser, BrowserContext, Page

from vaelib.book import scoreboard

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
BOARD, CYCLE = HTML / "scoreboard.html", HTML / "vicious-cycle.html"


def tables_of(path: Path) -> list[str]:
    """The tables that a page shows of its cells."""
    page = path.read_text(encoding="utf-8")
    return re.findall(r'<div class="[^"]*\bcell-table\b.*?</div>', page, re.S)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_each_table_of_a_chapter_is_on_its_page_with_its_caption_and_a_number(
    chapter: Path,
) -> None:
    stored = [
        gates.text_of(output["data"]["text/html"])
        for cell in gates.code_cells(json.loads(chapter.read_text(encoding="utf-8")))
        for output in cell["outputs"]
        if '<table class="table"' in gates.text_of(output.get("data", {}).get("text/html", ""))
    ]
    shown = tables_of(HTML / f"{chapter.stem}.html")
    assert len(shown) == len(stored)
    captions = re.compile(r'<caption>.*?class="caption-number">Table (?:\d+\.)?(\d+) .*?'
                          r'class="caption-text">(.*?)</span>', re.S)  # fmt: skip
    found = [match for table in shown for match in captions.findall(table)]
    assert [number for number, _ in found] == [str(n + 1) for n in range(len(found))]
    expected = [text for table in stored for text in re.findall("<caption>(.*?)</caption>", table)]
    assert [text for _, text in found] == expected


ALIGNED = """() => [...document.querySelectorAll(".cell-table td")]
  .filter(td => td.getClientRects().length)
  .map(td => [td.textContent, getComputedStyle(td).textAlign])"""
FADED = """() => [...document.querySelectorAll("[data-more] caption")].filter(caption => {
  if (!caption.checkVisibility()) return false;
  const edge = caption.closest("[data-more]").getBoundingClientRect().right;
  const fade = 2.5 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const range = document.createRange();
  range.selectNodeContents(caption.querySelector(".caption-text"));
  return [...range.getClientRects()].some(line => line.right > edge - fade);
}).map(caption => caption.textContent)"""
NUMBER = re.compile(r"[<>]? ?[+−]?[\d.]+(e−\d+)?")


def test_numbers_stand_on_the_right_and_long_tables_fold(context: BrowserContext) -> None:
    page, _ = show(context, CYCLE)
    cells = page.evaluate(ALIGNED)
    numbers = [align for text, align in cells if NUMBER.fullmatch(text)]
    words = [align for text, align in cells if re.fullmatch(r"[a-z ]+", text)]
    assert len(numbers) > 50
    assert set(numbers) == {"right"}
    assert len(words) > 5
    assert set(words) == {"left"}

    table = page.locator(".cell-table:has(details.rows)").first
    rows = int(re.sub(r"\D", "", table.locator(".more").text_content() or ""))
    assert rows > 10
    assert table.locator("tbody tr:visible").count() == 6
    table.locator("summary").click()
    assert table.locator("tbody tr:visible").count() == rows
    table.locator("summary").click()
    page.emulate_media(media="print")
    assert table.locator("tbody tr:visible").count() == rows
    assert not table.locator("summary").is_visible()


def sizes(page: Page) -> list[float]:
    return page.evaluate(
        """() => [...document.querySelectorAll(".cell-table :is(th, td)")]
        .map(cell => parseFloat(getComputedStyle(cell).fontSize))"""
    )


# The width of the first column of each table that has a long name there.
NAMED = """() => [...document.querySelectorAll(".cell-table tbody")]
    .map(body => [...body.querySelectorAll("td:first-child")])
    .filter(names => names.some(name => name.textContent.length >= 20))
    .map(names => names[0].getBoundingClientRect().width).filter(width => width > 0)"""


def test_on_a_phone_tables_can_be_read(context: BrowserContext) -> None:
    page, _ = show(context, CYCLE)
    assert min(sizes(page)) >= 12
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # A caption does not reach into the fade that says that there is more.
    assert page.locator("[data-more] caption").count() > 3
    assert page.evaluate(FADED) == []
    # A long name does not break into single words.
    page, _ = show(context, HTML / "your-own-vae.html")
    widths = page.evaluate(NAMED)
    assert len(widths) > 3
    assert min(widths) > 100
    # A number and its quartiles stay on one line.
    page, _ = show(context, HTML / "how-fast.html")
    quartiles = page.locator("td", has_text=re.compile(r"^[\d.]+ \([\d.]+–[\d.]+\)$"))
    assert quartiles.count() > 20
    assert set(quartiles.evaluate_all("all => all.map(td => getComputedStyle(td).whiteSpace)")) == {
        "nowrap"
    }
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# --- the scoreboard -----------------------------------------------------------------------------


def classes() -> Counter[str]:
    """How many claims are of which kind, from the verdicts."""
    counts: Counter[str] = Counter()
    for verdict in scoreboard():
        claim = verdict.claim
        counts["fails"] += not verdict.holds
        counts["published"] += bool(claim.published) and claim.source != "this book"
        counts[claim.kind] += 1
        counts["one-set"] += verdict.sets == 1
        counts[verdict.chapter] += 1
    return counts


def test_each_claim_has_one_row_that_can_be_linked_to() -> None:
    rows = re.findall(r'<tr[^>]* id="verdict-([^"]+)"', BOARD.read_text(encoding="utf-8"))
    assert sorted(rows) == sorted(yaml.safe_load((BOOK / "claims.yml").read_text("utf-8")))


def test_the_page_opens_with_its_headline(context: BrowserContext) -> None:
    page, _ = show(context, BOARD)
    headline = page.locator(".tally strong")
    assert re.fullmatch(r"\d+ of \d+ claims hold\.", headline.text_content() or "")
    box = headline.bounding_box()
    assert box
    assert box["y"] < 500
    assert page.locator(".tally td > *").count() == len(scoreboard())


def shown_rows(page: Page) -> int:
    return page.locator(".tag_scoreboard tbody tr:visible").count()


def test_rows_can_be_chosen_and_the_choice_is_in_the_address(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, complaints = show(context, BOARD)
    counts, every = classes(), len(scoreboard())
    buttons = page.locator(".board-choice button")
    offered = {button.get_attribute("value") for button in buttons.all()}
    kinds = ("fails", "published", "before", "after", "identity", "one-set")
    assert offered == {kind for kind in kinds if counts[kind]}
    assert shown_rows(page) == 0  # the chapters are folded
    page.click("[data-set-reading=check]")
    assert shown_rows(page) == every

    page.locator("button[value=fails]").click()
    assert page.url.endswith("#fails")
    assert shown_rows(page) == counts["fails"]
    page.click("[data-set-reading=read]")
    page.wait_for_timeout(100)
    assert shown_rows(page) == counts["fails"]  # what was chosen does not fold
    page.locator(".board-choice select").select_option("in-what-decides")
    assert page.url.endswith("#fails+what-decides")
    assert 0 < shown_rows(page) < counts["fails"]
    page.locator("button[value=fails]").click()
    assert shown_rows(page) == counts["what-decides"]

    for kind in ("before", "one-set"):
        page.locator(f"button[value={kind}]").click()
        page.locator(".board-choice select").select_option("")
        assert shown_rows(page) == counts[kind]
        page.locator(f"button[value={kind}]").click()

    # From elsewhere: a choice, then a row, which is shown whatever was chosen before.
    page.goto(f"{BOARD.as_uri()}#published")
    assert shown_rows(page) == counts["published"]
    page.locator(".tally a").first.click()
    first = next(verdict for verdict in scoreboard() if not verdict.holds)
    assert page.url.endswith(f"#verdict-{first.claim.id}")
    assert shown_rows(page) == counts[first.chapter]
    assert page.locator(".tag_scoreboard tr:target.fails").is_visible()
    page.goto(f"{BOARD.as_uri()}#fails")
    page.emulate_media(media="print")
    assert shown_rows(page) == every
    assert complaints == []
    context.close()


def test_each_chapters_fold_says_what_is_in_it(context: BrowserContext) -> None:
    page, _ = show(context, BOARD)
    claims, fails = Counter[str](), Counter[str]()
    for verdict in scoreboard():
        claims[verdict.title] += 1
        fails[verdict.title] += not verdict.holds
    folds = page.locator("details[data-fold=claims] > summary")
    said = [
        re.fullmatch(r"(.+): (\d+) claims, (?:(\d+) fails?|all hold)", text)
        for text in folds.all_text_contents()
    ]
    assert [(m[1], int(m[2]), int(m[3] or 0)) for m in said if m] == [
        (title, claims[title], fails[title]) for title in claims
    ]
    folds.nth(4).click()
    assert shown_rows(page) == list(claims.values())[4]


def test_without_scripts_all_rows_open_as_cards_on_a_phone(browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{BOARD.as_uri()}#fails")
    for fold in page.locator("details[data-fold=claims] > summary").all():
        fold.click()
    assert shown_rows(page) == len(scoreboard())
    assert not page.locator(".board-choice").is_visible()
    row = page.locator(".tag_scoreboard tbody tr").first.bounding_box()
    assert row
    assert row["x"] >= 0
    assert row["x"] + row["width"] <= 390
    assert row["height"] > 100
    context.close()


def test_what_fails_is_not_green(context: BrowserContext) -> None:
    page, _ = show(context, HTML / "what-decides.html")
    colours = page.evaluate(
        """() => [".claim.fails", ".claim:not(.fails)"].map(
          name => getComputedStyle(document.querySelector(name)).borderLeftColor)"""
    )
    red, green, _ = map(int, re.findall(r"\d+", colours[0]))
    assert red > 2 * green
    assert colours[0] != colours[1]
