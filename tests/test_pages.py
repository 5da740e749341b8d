"""The built book opens from disk, complete, with the network off.

Needs `make book` (`make test` sees to it), and Chromium or Chrome for the tests in a browser.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import DESK, HTML, PAGES, PHONE, axe, change_scheme, show
from conftest import BOOK, ROOT
from jupyter_book.config import get_final_config
from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
(SPARSITY,) = HTML.glob("*sparsity.html") if PAGES else [HTML]


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
    meta: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "meta" and "content" in values:
            name = values.get("property") or values.get("name", "")
            self.meta[name] = values["content"]
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values and values.get("rel") != "canonical":
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
    assert {path.stem for path in PAGES} == sources


def test_the_start_page_is_the_introduction_itself() -> None:
    start = (HTML / "index.html").read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in start.lower()
    assert "Why does a VAE switch its variables off?" in start
    assert 'data-explorable="sixteen-sliders"' in start


def test_a_page_says_what_it_is_about(page_file: Path) -> None:
    said = parsed(page_file).meta
    for name in ("og:title", "og:description", "og:site_name", "description"):
        assert said.get(name, "").strip(), name
    assert not re.search(r"[\\{}]|\[ ", said["og:description"])


def test_a_chapter_is_described_by_its_question() -> None:
    said = parsed(SPARSITY).meta["og:description"]
    assert said == "Give the network 16 variables. How many does it use?"


def test_no_button_leads_to_an_unknown_repository(page_file: Path) -> None:
    links = [link for link in parsed(page_file).links if re.search("mybinder|colab", link)]
    # A checkout that knows its repository has them, and with its name.
    if links:
        source = parsed(HTML / "index.html").links
        assert any(re.match(r"https://[^/]+/[^/]+/[^/]+$", link) for link in source)


def test_the_configured_address_reaches_the_buttons(tmp_path: Path) -> None:
    # html_theme_options once replaced it, unnoticed.
    text = (ROOT / "_config.yml").read_text(encoding="utf-8")
    assert text.count('  url: ""') == 1
    configuration = tmp_path / "_config.yml"
    configuration.write_text(text.replace('  url: ""', "  url: https://forge.example/some/book"))
    told, _ = get_final_config(user_yaml=configuration, cli_config={"latex_individualpages": None})
    assert told["html_theme_options"]["repository_url"] == "https://forge.example/some/book"


def test_every_page_is_in_the_side_bar_and_the_next_one_has_a_title(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    side = text[text.index('class="bd-links') : text.index("</nav>", text.index('class="bd-links'))]
    listed = {Path(link).name for link in re.findall(r'href="([^"#]+)', side)}
    # The page itself is a link to its top.
    assert {path.name for path in PAGES} - {page_file.name} <= listed
    titles = re.findall(r'class="prev-next-title">(.*?)</p>', text)
    ends = {"index.html", "colophon.html"}
    assert len(titles) == (1 if page_file.name in ends else 2)
    assert all(title.strip() for title in titles)


def test_chapters_can_be_downloaded() -> None:
    for path in BOOK.glob("*.ipynb"):
        links = parsed(HTML / f"{path.stem}.html").links
        assert any(link.endswith(f"/{path.name}") for link in links), path.name


# --- in a browser -------------------------------------------------------------------------------


def test_page_shows_everything_with_the_network_off(
    context: BrowserContext, page_file: Path
) -> None:
    page, complaints = show(context, page_file)
    assert complaints == []
    assert maths_complaints(page) == []
    assert image_complaints(page) == []
    assert page.locator("[data-explorable]:not([data-live], [data-asleep])").count() == 0
    for switch in page.locator("[data-set-reading=check]").all():
        switch.click()  # what is folded has no width
    for viewport in (PHONE, DESK):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        page.wait_for_timeout(200)  # formulas are fitted anew
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"the page is {wide} pixels too wide at {viewport['width']}"
    assert cut_code(page) == []


def maths_complaints(page: Page) -> list[str]:
    """Formulas that are not typeset, or wrongly."""
    formulas = page.locator(".bd-article .math").count()
    typeset = page.locator(".bd-article mjx-container").count()
    errors = page.locator("[data-mjx-error], merror").count()
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


def cut_code(page: Page) -> list[str]:
    """Beginnings of the blocks of code that are wider than their column; a desk has the room."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.bd-article .highlight pre')]
             .filter(block => block.scrollWidth > block.clientWidth + 1)
             .map(block => block.textContent.slice(0, 80))"""
    )


def image_complaints(page: Page) -> list[str]:
    """Pictures that did not load or say nothing to who cannot see them."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.bd-article img')]
             .filter(image => !image.complete || !image.naturalWidth || !image.alt.trim())
             .map(image => `${image.src}: loaded ${image.naturalWidth > 0}, alt "${image.alt}"`)"""
    )


# Every page, formula and word of code is looked at in tests/slow.
def test_the_start_page_is_accessible_by_day_and_by_night(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, _ = show(context, HTML / "index.html")
    for scheme, colours in (("light", None), ("dark", True)):
        change_scheme(page, scheme)
        assert axe(page, colours, everywhere=False) == [], scheme
    context.close()


@pytest.mark.parametrize("name", ["index", SPARSITY.stem, "api"])  # which differ in kind
def test_code_stands_out_by_day_by_night_and_on_paper(browser: Browser, name: str) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, _ = show(context, HTML / f"{name}.html")
    for scheme in ("light", "dark"):
        change_scheme(page, scheme)
        assert faint_code(page) == []
    on_paper(page)
    assert faint_code(page) == []
    context.close()


def on_paper(page: Page) -> None:
    """Show a page as it is printed by who reads it at night."""
    change_scheme(page, "dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # the browser does so
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")


def colours_of_code(scheme: str) -> set[str]:
    """The colours that words of code can have, of whatever kind they are."""
    sheet = (HTML / "_static" / "pygments.css").read_text(encoding="utf-8")
    rule = rf'data-theme="{scheme}"\] \.highlight \.\w+ {{[^}}]*?(?<!-)color: (#\w{{6}})'
    return set(re.findall(rule, sheet))


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb or rgb(r, g, b), as WCAG 2 defines it."""
    shares = (
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        if colour[0] == "#"
        else [int(number) for number in re.findall(r"\d+", colour)[:3]]
    )
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def faint_code(page: Page) -> list[str]:
    """Colours of code that do not stand out from the ground it lies on."""
    grounds = page.evaluate(
        """() => [...document.querySelectorAll('.highlight pre')].map(block => {
             const opaque = part => getComputedStyle(part).backgroundColor;
             while (block.parentElement && opaque(block) === 'rgba(0, 0, 0, 0)')
               block = block.parentElement;
             return opaque(block);
           })"""
    )
    colours = colours_of_code(page.evaluate("document.documentElement.dataset.theme"))
    assert colours
    faint = []
    for ground, colour in product(set(grounds), colours):
        dark, light = sorted((luminance(colour), luminance(ground)))
        if (light + 0.05) / (dark + 0.05) < 4.5:
            faint.append(f"{colour} on {ground}")
    return faint


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
    assert any(found.startswith(f"{rule}:") for found in axe(page))


def test_on_paper_there_is_the_text_and_no_navigation(context: BrowserContext) -> None:
    page, _ = show(context, SPARSITY)
    on_paper(page)
    for part in (".bd-sidebar-primary", ".bd-header-article", ".prev-next-footer"):
        assert not page.locator(part).first.is_visible(), part
    assert page.locator(".explorable-static img").first.is_visible()
    assert not page.locator(".explorable-stage").first.is_visible()
    assert page.locator(".bd-article h1").first.is_visible()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")


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


def test_cut_code_is_noticed(context: BrowserContext, tmp_path: Path) -> None:
    code = '<div class="highlight"><pre style="overflow: auto; width: 40em">{}</pre></div>'
    body = f'<div class="bd-article">{code.format("x" * 20)}{code.format("y" * 200)}</div>'
    (tmp_path / "bad.html").write_text(f"<!doctype html><body>{body}</body>")
    page, _ = show(context, tmp_path / "bad.html")
    assert cut_code(page) == ["y" * 80]


def test_faint_code_is_noticed(context: BrowserContext, tmp_path: Path) -> None:
    code = '<div class="highlight" style="background: {}"><pre>x</pre></div>'
    for ground, faint in (("#fefefe", False), ("#999", True)):
        (tmp_path / "bad.html").write_text(
            f'<!doctype html><html data-theme="light"><body>{code.format(ground)}</body>'
        )
        page, _ = show(context, tmp_path / "bad.html")
        assert bool(faint_code(page)) == faint


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<a id="here" href="#here"></a>')
    assert not broken(page, "#here")
    assert broken(page, "#there")
    assert broken(page, "elsewhere.html")
