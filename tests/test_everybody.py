"""Length of lines, focus, targets, "you are here", what scrolls sideways, contrast themes, cards.

All pages are gone through in tests/slow/test_everywhere.py.
"""

import pytest
from browser import DESK, HTML, PAGES, PHONE, show
from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
SPARSITY = HTML / "sparsity.html"

# Letters in each line of the paragraphs without formulas, but for the last line of each.
LETTERS = """() => {
  const letters = [], range = document.createRange();
  document.querySelectorAll('.bd-article section > p').forEach(paragraph => {
    if (paragraph.querySelector('.math')) return;
    const walker = document.createTreeWalker(paragraph, NodeFilter.SHOW_TEXT), lines = {};
    for (let node; (node = walker.nextNode()); ) for (let i = 0; i < node.length; i++) {
      range.setStart(node, i); range.setEnd(node, i + 1);
      const box = range.getClientRects()[0];
      if (box) lines[Math.round(box.bottom / 6)] = (lines[Math.round(box.bottom / 6)] || 0) + 1;
    }
    letters.push(...Object.values(lines).slice(0, -1));
  });
  return letters.sort((a, b) => a - b);
}"""
# Where one reads at each of 70 heights of the page, and what the list of contents says of it.
PLACES = """async () => {
  const links = [...document.querySelectorAll('#page-contents a')];
  const sections = links.map(a => document.getElementById(decodeURIComponent(a.hash.slice(1))))
    .map(part => part.tagName === 'DT' ? part.parentElement : part);
  const most = document.documentElement.scrollHeight - innerHeight, wrong = [];
  const frame = () => new Promise(done => requestAnimationFrame(done));
  for (let i = 0; i < 70; i++) {
    scrollTo({ top: most * i / 69, behavior: 'instant' });
    await frame(); await frame();
    const marked = links.findIndex(a => a.hasAttribute('aria-current'));
    const inView = sections.flatMap((section, n) => {
      const box = section.getBoundingClientRect();
      return box.top < innerHeight && box.bottom > 60 ? [n] : [];
    });
    // What is under the bar on top is being read, but on the last screen, where it is any in view.
    const last = most - scrollY < innerHeight;
    const under = inView.find(n => sections[n].getBoundingClientRect().bottom > 110);
    const top = sections[0].getBoundingClientRect().top > 110;
    // Between two sections the next one, as soon as the former is out of view.
    const next = marked > 0 && inView.includes(marked) && !inView.includes(marked - 1) &&
      sections[marked - 1].getBoundingClientRect().top < 0;
    const right = top ? marked <= 0 : last ? inView.includes(marked) : inView.includes(marked) &&
      (marked === under || next || sections[marked].getBoundingClientRect().top < 130);
    if (!right) wrong.push(`${i}: ${marked} of ${inView}`);
  }
  return wrong;
}"""
SCROLLS = """() => [...document.querySelectorAll('.bd-article *')].filter(part =>
  part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 40 &&
  /auto|scroll/.test(getComputedStyle(part).overflowX))"""
WITHOUT_CUE = f"""() => ({SCROLLS})()
  .filter(part => !getComputedStyle(part).maskImage.includes('gradient'))
  .map(part => part.outerHTML.slice(0, 100))"""
OUTLINE = """() => { const part = document.activeElement, style = getComputedStyle(part);
  return [part.outerHTML.slice(0, 120), style.outlineStyle, parseFloat(style.outlineWidth)]; }"""


def letters(page: Page) -> list[int]:
    """Letters in each line, sorted."""
    return page.evaluate(LETTERS)


def unseen_focus(page: Page, stops: int) -> list[str]:
    """Of the first stops of the Tab key, those whose focus is not seen."""
    unseen = []
    for _ in range(stops):
        page.keyboard.press("Tab")
        element, style, width = page.evaluate(OUTLINE)
        if element.startswith("<body"):
            break  # there are no more
        if style in ("none", "hidden") or width < 2:
            unseen.append(element)
    return unseen


def test_what_scrolls_sideways_shows_it_and_the_end_does_not(context: BrowserContext) -> None:
    page, _ = show(context, SPARSITY)
    page.get_by_role("button", name="Check").click()
    assert page.evaluate(f"({SCROLLS})().length") > 20
    assert page.evaluate(WITHOUT_CUE) == []
    part = page.locator("[data-more=after]").first
    part.evaluate("part => part.scrollTo(5, 0)")
    part = page.locator("[data-more='before after']").first
    part.wait_for(state="attached")
    part.evaluate("part => { window.part = part; part.scrollTo(part.scrollWidth, 0); }")
    page.wait_for_function("window.part.dataset.more === 'before'")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    page.wait_for_function("!document.querySelector('pre[data-more]')")


def test_in_the_dark_a_claim_has_no_ground_and_the_foot_begins_where_the_text_does(
    browser: Browser,
) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="dark")  # type: ignore[arg-type]
    page, _ = show(context, SPARSITY)
    ground = "part => getComputedStyle(part).backgroundColor"
    assert page.locator(".claim > .highlight").first.evaluate(ground) == "rgba(0, 0, 0, 0)"
    for width in (1280, 1000, 800, 390):
        page.set_viewport_size({"width": width, "height": 900})
        left = "part => part.getBoundingClientRect().left"
        foot = page.locator(".bd-footer-content p").first.evaluate(left)
        assert abs(foot - page.locator(".bd-article h1").evaluate(left)) < 1, width
    context.close()


def test_a_contrast_theme_shows_the_place_and_the_focus(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, forced_colors="active")  # type: ignore[arg-type]
    page, _ = show(context, SPARSITY)
    page.evaluate("document.querySelector('#hold-it-still').scrollIntoView()")
    colour = "a => getComputedStyle(a).color"
    here = page.locator("#page-contents a[aria-current]")
    other = page.locator("#page-contents a:not([aria-current])").first
    assert here.evaluate(colour) != other.evaluate(colour)
    page.keyboard.press("Tab")
    assert unseen_focus(page, 12) == []
    edge = "part => getComputedStyle(part).borderTopStyle"
    assert page.locator(".theme-switch-button").evaluate(edge) == "solid"
    context.close()


def test_a_term_and_a_work_show_themselves(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, complaints = show(context, SPARSITY)
    term = page.locator('a[href$="#term-posterior-collapse"]').first
    card = page.locator(".peek")
    term.scroll_into_view_if_needed()
    term.hover()
    card.wait_for()
    assert "posterior collapse" in card.inner_text().lower()
    assert term.get_attribute("aria-describedby") == card.get_attribute("id")
    # The pointer can move into the card, and Escape takes it away.
    box = card.bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + 10, steps=8)
    page.wait_for_timeout(500)
    assert card.is_visible()
    assert 0 <= box["x"] <= DESK["width"] - box["width"]
    page.keyboard.press("Escape")
    assert card.count() == 0
    # By keyboard, and a link leads where it says.
    work = page.locator('a[href*="bibliography.html#"]').first
    work.evaluate("link => link.previousElementSibling?.focus()")
    work.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    card.wait_for()
    assert work.inner_text().split(",")[0] in card.inner_text()
    assert card.locator("a[href^=https]").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_url("**/bibliography.html#*")
    assert complaints == []
    context.close()


def test_a_tap_shows_a_term_and_a_second_one_leads_there(browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True)  # type: ignore[arg-type]
    page, _ = show(context, SPARSITY)
    term = page.locator('a[href$="#term-reconstruction-gain"]').first
    term.tap()
    card = page.locator(".peek")
    card.wait_for()
    assert page.url.endswith("sparsity.html")
    box = card.bounding_box()
    assert box
    assert 0 <= box["x"] <= PHONE["width"] - box["width"]
    page.locator("h1").tap()
    assert card.count() == 0
    term.tap()
    card.locator("a", has_text="In the glossary").tap()
    page.wait_for_url("**/glossary.html#term-reconstruction-gain")
    context.close()
