"""The search leads to sections, with the words marked, also in pages opened from disk."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import DESK, HTML, PAGES, show
from conftest import BOOK
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(BOOK / "_ext"))
from search import DATA, Reader, readable

built = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
LARGEST = 130_000  # bytes on the wire, packed; nothing of it is loaded before somebody searches


@pytest.fixture
def desk(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


def found(page: Page, query: str) -> list[tuple[str, str]]:
    """The pages and anchors of all hits, on the page of the search."""
    page.goto(f"{(HTML / 'search.html').as_uri()}?q={query}")
    page.wait_for_function("document.querySelector('.search-page .search-status').textContent")
    links = page.locator(".search-page .search-hits a").evaluate_all("all => all.map(a => a.href)")
    parts = [urlsplit(link) for link in links]
    assert all(parse_qs(part.query)["highlight"] == [query] for part in parts)
    return [(Path(part.path).stem, part.fragment) for part in parts]


# --- what is searched ---------------------------------------------------------------------------


def test_a_page_is_read_as_sections() -> None:
    reader = Reader()
    reader.feed(
        '<p>menu</p><article class="bd-article"><section id="a"><h1>1. One<a class="headerlink">#'
        '</a></h1><p>First <a href="glossary.html#term-KL-divergence">KL</a>.</p>'
        '<div class="highlight"><pre><span>gaussian_kl</span>(x)</pre></div>'
        r'<section id="b"><h2>Two</h2><p>with <span class="math">\(\sigma_j^2\)</span></p>'
        "<table><tr><td>0.123</td><td>word</td></tr></table><h3>Not a title</h3></section>"
        '<p>After</p><dl><dt id="term-x">x term</dt><dd>what <br>it is</dd></dl></section>'
        "</article><section id='c'>foot</section>"
    )
    one, two, term = reader.sections
    assert (one.anchor, one.title, " ".join(one.text.split())) == ("a", "1. One", "First KL. After")
    assert (one.code, one.terms) == ({"gaussian_kl"}, {"kl divergence"})
    assert (two.title, " ".join(two.text.split())) == ("Two", "with σj² word Not a title")
    assert (term.anchor, term.title) == ("term-x", "x term")
    assert " ".join(term.text.split()) == "what it is"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [(r"\(Q(z \mid X)\)", "Q(z | X)"), (r"\beta \eta^2", "β η²"), ("no formula", "no formula")],
)
def test_formulas_are_read_as_one_types_them(formula: str, expected: str) -> None:
    assert " ".join(readable(formula).split()) == expected


@built
def test_every_page_can_be_found_and_every_anchor_is_there() -> None:
    text = (HTML / "_static" / DATA).read_text(encoding="utf-8")
    pages = json.loads(text.removeprefix("window.bookSearch(").removesuffix(");\n"))
    assert {name for name, _ in pages} == {path.name for path in PAGES}
    for name, sections in pages:
        html = (HTML / name).read_text(encoding="utf-8")
        assert sections, name
        for anchor, title, *_ in sections:
            assert f'id="{anchor}"' in html
            assert title.strip()


@built
def test_no_page_loads_the_index_by_itself() -> None:
    for path in (*PAGES, HTML / "search.html"):
        text = path.read_text(encoding="utf-8")
        assert not {name for name in (DATA, "searchindex.js", "searchtools.js") if name in text}
    assert not (HTML / "searchindex.js").exists()


@built
def test_the_index_is_small() -> None:
    import gzip

    assert len(gzip.compress((HTML / "_static" / DATA).read_bytes())) < LARGEST


# --- what is found ------------------------------------------------------------------------------


@built
def test_the_section_that_introduces_a_word_comes_first(desk: Page) -> None:
    first = found(desk, "posterior collapse")
    assert first[0] == ("sparsity", "what-an-inactive-variable-says")
    assert first[1] == ("glossary", "term-posterior-collapse")
    names = [name for name, _ in first]
    assert all(names.index(late) > 1 for late in ("questions", "scoreboard") if late in names)
    assert found(desk, "gaussian_kl")[0] == ("api", "vaelib.gaussian_kl")
    assert found(desk, "burda")[0][0] == "bibliography"
    # Words match by their stems, and all of them must be there.
    assert ("glossary", "term-inactive-variable") in found(desk, "inactive variables")[:4]
    assert found(desk, "inactive qwertyuiop") == []


@built
def test_what_is_typed_stands_beside_the_magnifying_glass(desk: Page) -> None:
    desk.goto((HTML / "search.html").as_uri())
    form = desk.locator(".search-page form.bd-search")
    glass, field = form.locator("i").bounding_box(), form.locator("input")
    begins = field.evaluate(
        "e => e.getBoundingClientRect().left + parseFloat(getComputedStyle(e).paddingLeft)"
    )
    assert begins > glass["x"] + glass["width"]


@built
def test_a_hit_leads_to_its_section_with_the_words_marked(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, complaints = show(context, HTML / "index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("posterior collapse")
    hits = page.locator("dialog .search-hits a")
    hits.first.wait_for()
    page.keyboard.press("ArrowDown")
    assert hits.first.evaluate("a => a === document.activeElement")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sparsity.html?highlight=*#what-an-inactive-variable-says")
    page.locator(".search-bar").wait_for()
    marked = page.evaluate("[...CSS.highlights.get('search-hit')].map(range => range.toString())")
    assert {"posterior", "collapse"} <= {word.lower() for word in marked}
    top = "document.querySelector('#what-an-inactive-variable-says').getBoundingClientRect().top"
    page.wait_for_function(f"Math.abs({top}) < 120")
    # To the next place, and away.
    page.get_by_role("button", name="Next place").click()
    page.wait_for_function(
        "(box => box.top > 0 && box.bottom < innerHeight)"
        "([...CSS.highlights.get('search-hit-now')][0].getBoundingClientRect())"
    )
    page.keyboard.press("Escape")
    assert page.locator(".search-bar").count() == 0
    assert page.evaluate("CSS.highlights.size") == 0
    assert "highlight" not in page.url
    assert complaints == []
    context.close()
