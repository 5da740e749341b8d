"""The built book opens from disk, complete, with the network off.

Needs `make book` (`make test` sees to it), and Chromium or Chrome for the tests in a browser.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import BOOK, ROOT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

HTML = ROOT / "_build" / "html"
PAGES = sorted(
    path
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts and path.name != "index.html"
)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


@pytest.fixture(params=PAGES, ids=lambda path: path.relative_to(HTML).as_posix())
def page_file(request: pytest.FixtureRequest) -> Path:
    return request.param


# --- without a browser --------------------------------------------------------------------------


@dataclass
class Parsed(HTMLParser):
    """Links, anchors and loaded files of one page."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values:
            self.loaded.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])


@cache
def parsed(path: Path) -> Parsed:
    parser = Parsed()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def broken(page: Path, link: str) -> bool:
    """Whether a link within the book leads nowhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return True
    anchored = parts.fragment and target.suffix == ".html"
    return bool(anchored) and unquote(parts.fragment) not in parsed(target).ids


def test_links_within_the_book_lead_somewhere(page_file: Path) -> None:
    links = {*parsed(page_file).links, *parsed(page_file).loaded}
    assert [link for link in links if broken(page_file, link)] == []


def test_nothing_is_loaded_from_elsewhere(page_file: Path) -> None:
    assert [link for link in parsed(page_file).loaded if re.match(r"(https?:)?//", link)] == []
    assert not re.search(
        r"unpkg|jsdelivr|cdnjs|googleapis|thebe", page_file.read_text(encoding="utf-8")
    )


def test_every_page_of_the_book_is_built() -> None:
    sources = {path.stem for pattern in ("*.ipynb", "*.md") for path in BOOK.glob(pattern)}
    assert {path.stem for path in (HTML / "book").glob("*.html")} == sources


def test_start_page_leads_to_the_book() -> None:
    start = (HTML / "index.html").read_text(encoding="utf-8")
    target = re.search(r"url=([^\"]+)\"", start)
    assert target
    assert (HTML / target[1]).exists()


def test_chapters_can_be_downloaded() -> None:
    for path in BOOK.glob("*.ipynb"):
        links = parsed(HTML / "book" / f"{path.stem}.html").links
        assert any(link.endswith(f"/{path.name}") for link in links), path.name


def test_api_page_has_every_public_name() -> None:
    # Read, not imported: torch takes seconds.
    tree = ast.parse((ROOT / "vaelib" / "__init__.py").read_text(encoding="utf-8"))
    public = {
        alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    documented = {
        name for name in parsed(HTML / "book" / "api.html").ids if name.startswith("vaelib.")
    }
    assert public
    assert {f"vaelib.{name}" for name in public} <= documented


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        # Without its sandbox, which root or a container cannot have: the pages are our own.
        instance = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield instance
        instance.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=PHONE)
    context.set_default_timeout(60_000)
    yield context
    context.close()


# Maths typeset and fonts in; then a moment for whatever still wants the network to ask for it.
SETTLED = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  await new Promise(resolve => setTimeout(resolve, 300));
}"""


def show(context: BrowserContext, path: Path) -> tuple[Page, list[str]]:
    """Open a page from disk; return it with every complaint of the browser's."""
    complaints: list[str] = []
    page = context.new_page()

    def on_request(url: str) -> None:
        if urlsplit(url).scheme not in ("file", "data", "blob"):
            complaints.append(f"asked for {url}")

    page.on("request", lambda request: on_request(request.url))
    page.on("requestfailed", lambda request: complaints.append(f"could not load {request.url}"))
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"console {message.type}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    context.route(re.compile(r"^(https?|wss?):"), lambda route: route.abort())
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(SETTLED)
    return page, complaints


def test_page_shows_everything_with_the_network_off(
    context: BrowserContext, page_file: Path
) -> None:
    page, complaints = show(context, page_file)
    assert complaints == []
    assert maths_complaints(page) == []
    assert image_complaints(page) == []
    for viewport in (PHONE, DESK):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"the page is {wide} pixels too wide at {viewport['width']}"


def maths_complaints(page: Page) -> list[str]:
    """Formulas that are not typeset, or wrongly."""
    formulas = page.locator(".bd-article .math").count()
    typeset = page.locator(".bd-article mjx-container").count()
    errors = page.locator("[data-mjx-error], mjx-merror, [data-mml-node=merror]").count()
    text = page.evaluate(
        """() => { const body = document.querySelector('.bd-article');
                   if (!body) return '';
                   const copy = body.cloneNode(true);
                   copy.querySelectorAll('pre, code, script').forEach(part => part.remove());
                   return copy.textContent; }"""
    )
    complaints = [f"{formulas} formulas, {typeset} typeset"] if typeset < formulas else []
    complaints += [f"{errors} formulas with an error"] if errors else []
    complaints += [
        f"raw {mark} in the text" for mark in (r"\(", r"\[", "$$", r"\begin{") if mark in text
    ]
    return complaints


def image_complaints(page: Page) -> list[str]:
    """Pictures that did not load or say nothing to who cannot see them."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.bd-article img')]
             .filter(image => !image.complete || !image.naturalWidth || !image.alt.trim())
             .map(image => `${image.src}: loaded ${image.naturalWidth > 0}, alt "${image.alt}"`)"""
    )


def test_dark_figures_lie_on_white(browser: Browser) -> None:
    figures = [path for path in PAGES if "<figure" in path.read_text(encoding="utf-8")]
    if not figures:
        pytest.skip("no page has a figure")
    context = browser.new_context(color_scheme="dark")
    page, _ = show(context, figures[0])
    style = page.locator(".bd-article figure img").first.evaluate(
        "image => [getComputedStyle(image).backgroundColor, getComputedStyle(image).filter]"
    )
    assert style == ["rgb(255, 255, 255)", "none"]
    context.close()


# --- these tests can fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<img src="https://example.org/x.png" alt="x">', "asked for https://example.org/x.png"),
        ('<script src="missing.js"></script>', "could not load"),
        ("<script>console.error('no')</script>", "console error: no"),
        ("<script>undefined_function()</script>", "script error"),
    ],
)
def test_browser_complaints_are_heard(
    context: BrowserContext, tmp_path: Path, body: str, expected: str
) -> None:
    (tmp_path / "bad.html").write_text(f"<!doctype html><body>{body}</body>")
    _, complaints = show(context, tmp_path / "bad.html")
    assert any(expected in complaint for complaint in complaints)


def test_raw_maths_and_silent_pictures_are_noticed(context: BrowserContext, tmp_path: Path) -> None:
    body = r'<div class="bd-article"><span class="math">\(x\)</span><img src="none.png"></div>'
    (tmp_path / "bad.html").write_text(f"<!doctype html><body>{body}</body>")
    page, _ = show(context, tmp_path / "bad.html")
    assert len(maths_complaints(page)) == 2
    assert len(image_complaints(page)) == 1


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<a id="here" href="#here"></a>')
    assert not broken(page, "#here")
    assert broken(page, "#there")
    assert broken(page, "elsewhere.html")
