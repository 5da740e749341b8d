"""Figures on the built pages: legible on a phone, in both schemes, and whole when asked for."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from browser import HTML, PHONE, change_scheme, show
from playwright.sync_api import Browser, Page

PAGE = HTML / "sparsity.html"
COLUMN = 350  # pixels that a phone of 390 leaves to a figure, at least
DRAWING = re.compile(
    r'<svg [^>]*class="chart-(\w+)".*?</svg>(?=<svg|<p|<a class="chart-open")', re.S
)

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="no pages: make book")


def drawings(kind: str) -> Iterator[tuple[str, ET.Element]]:
    """The drawings of a kind on all pages, each with the name of its page."""
    for path in sorted(HTML.glob("*.html")):
        for found in DRAWING.finditer(path.read_text(encoding="utf-8")):
            if found[1] == kind:
                yield path.stem, ET.fromstring(found[0])


def sizes(drawing: ET.Element) -> Iterator[float]:
    """The sizes of a drawing's words, in its own unit."""
    for element in drawing.iter():
        if element.tag in ("text", "tspan") and "".join(element.itertext()).strip():
            found = re.search(r"font-size:([\d.]+)px", element.get("style", ""))
            yield float(found[1]) if found else float(drawing.get("font-size", 0))


def test_no_text_of_a_figure_is_under_11_pixels_on_a_phone() -> None:
    found = 0
    for page, drawing in drawings("narrow"):
        width = float(drawing.get("viewBox", "").split()[2])
        for size in sizes(drawing):
            found += 1
            assert size * COLUMN / width >= 11, (page, drawing.get("aria-label"))
    assert found > 500


def test_every_figure_has_two_drawings_its_alt_text_and_ids_of_its_own() -> None:
    wide, narrow = (list(drawings(kind)) for kind in ("wide", "narrow"))
    assert len(wide) == len(narrow) > 30
    for (page, first), (_, second) in zip(wide, narrow, strict=True):
        assert first.get("aria-label") == second.get("aria-label"), page
        assert len(first.get("aria-label", "")) > 40, page
        assert first.get("role") == "img"
    for path in HTML.glob("*.html"):
        ids = re.findall(r'\sid="(chart[\w-]+)"', path.read_text(encoding="utf-8"))
        assert len(ids) == len(set(ids)), path.name


def test_no_colour_of_a_figure_ignores_the_scheme() -> None:
    fixed = re.compile(r"(?:fill|stroke):#(?:000000|ffffff|0072b2|e69f00|d55e00|009e73|6b7280)")
    for page, drawing in (*drawings("wide"), *drawings("narrow")):
        assert not fixed.search(ET.tostring(drawing, encoding="unicode")), page


def test_a_page_is_no_heavier_for_it() -> None:
    for path in HTML.glob("*.html"):
        assert path.stat().st_size < 1_500_000, path.name


# --- in a browser ---------------------------------------------------------------------------------


SEEN = "svg => getComputedStyle(svg).display !== 'none'"
# Left edges and tops of the two titles of the first figure.
TITLES = """svg => [...svg.querySelectorAll("text")]
  .filter(t => / is (in)?active$/.test(t.textContent))
  .map(t => [t.getBoundingClientRect().left, t.getBoundingClientRect().top])"""


def test_a_figure_fits_the_page_and_its_scheme_and_opens(browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme="light")
    page, complaints = show(context, PAGE)
    chart = page.locator("figure .chart").first
    chart.scroll_into_view_if_needed()
    drawn = chart.locator("svg.chart-narrow")
    assert drawn.evaluate(SEEN)
    assert not chart.locator("svg.chart-wide").evaluate(SEEN)
    # Two panels, one below the other, in letters that can be read.
    (left, top), (other_left, other_top) = drawn.evaluate(TITLES)
    assert abs(left - other_left) < 40
    assert other_top > top + 150
    letters = "svg => [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect().height)"
    assert min(drawn.evaluate(letters)) >= 11
    # Nothing white in the dark, and letters in the colour of the page's text.
    change_scheme(page, "dark")
    assert chart.evaluate("e => getComputedStyle(e).backgroundColor") == "rgba(0, 0, 0, 0)"
    body = page.locator("body").evaluate("e => getComputedStyle(e).color")
    assert drawn.locator("text").first.evaluate("e => getComputedStyle(e).fill") == body
    assert not page.locator(".bd-article figure img").count()
    opens_and_closes(page)
    # On a desk the panels are beside one another.
    page.set_viewport_size({"width": 1280, "height": 800})
    wide = chart.locator("svg.chart-wide")
    assert wide.evaluate(SEEN)
    assert not drawn.evaluate(SEEN)
    (left, top), (other_left, other_top) = wide.evaluate(TITLES)
    assert abs(top - other_top) < 2
    assert other_left > left + 200
    opens_and_closes(page)
    assert complaints == []
    context.close()


@pytest.mark.parametrize("name", ["variational-autoencoder", "kl-derived", "what-decides"])
def test_the_picture_of_an_opening_can_be_read_on_a_phone(browser: Browser, name: str) -> None:
    context = browser.new_context(viewport=PHONE)
    page, _ = show(context, HTML / f"{name}.html")
    drawn = page.locator(".opening-picture svg.chart-narrow")
    sizes = """svg => [...svg.querySelectorAll("text")].map(text =>
      parseFloat(getComputedStyle(text).fontSize))"""
    scale = "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
    assert min(drawn.evaluate(sizes)) * drawn.evaluate(scale) >= 11
    assert drawn.bounding_box()["y"] + 250 < PHONE["height"]
    context.close()


def test_where_it_is_narrow_left_is_above(browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE)
    page, _ = show(context, HTML / "kl-derived.html")
    note = page.locator("figure .chart:has([aria-label^='Left: contours']) .chart-note")
    assert note.is_visible()
    page.set_viewport_size({"width": 1280, "height": 800})
    assert not note.is_visible()
    context.close()


def opens_and_closes(page: Page) -> None:
    """A click opens the whole figure, Escape closes it; so do Enter and the button."""
    chart, dialog = page.locator("figure .chart").first, page.locator("dialog.chart-dialog")
    assert chart.get_by_role("link", name="Enlarge Figure 5.1").count() == 1
    chart.locator("svg:visible").first.click(position={"x": 100, "y": 100})
    assert dialog.is_visible()
    # The drawing that was touched, larger; where it is wider than the window, it scrolls.
    small, whole = chart.locator("svg:visible").first, dialog.locator("svg:visible")
    assert whole.count() == 1
    assert whole.get_attribute("class") == small.get_attribute("class")
    sizes = [svg.bounding_box()["width"] for svg in (small, whole)]  # type: ignore[index]
    assert sizes[1] > 1.35 * sizes[0]
    around = dialog.locator(".chart")
    wider = around.evaluate("e => e.scrollWidth > e.clientWidth")
    assert (around.get_attribute("data-more") == "after") == wider
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert dialog.get_attribute("aria-label") == "Figure 5.1"
    assert "An active variable" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    chart.locator("a.chart-open").focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.className") == "chart-open"


def test_without_scripts_a_link_leads_to_the_file(browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(PAGE.as_uri())
    page.locator("figure a.chart-open").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/*.svg")
    context.close()
