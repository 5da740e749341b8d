"""The book as one file: its outline, its links, its text, its fonts."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import HTML, PAGES, show
from pikepdf import Name, NameTree, OutlineItem, Pdf, String
from playwright.sync_api import Browser
from test_print import bare, left_out, text_of

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import pdf  # noqa: E402

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


@pytest.fixture(scope="module")
def book(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[pdf.Heading]]:
    target = tmp_path_factory.mktemp("pdf") / "book.pdf"
    return target, pdf.make(browser, HTML, target)


@pytest.fixture(scope="module")
def made(book: tuple[Path, list[pdf.Heading]]) -> Iterator[Pdf]:
    with Pdf.open(book[0]) as made:
        yield made


@pytest.fixture(scope="module")
def sheets(book: tuple[Path, list[pdf.Heading]]) -> list[str]:
    return text_of(book[0].read_bytes())


def entries(outline: Iterable[OutlineItem]) -> Iterator[str]:
    """The titles of an outline, flat."""
    for entry in outline:
        yield entry.title
        yield from entries(entry.children)


def test_every_heading_is_in_the_outline_and_in_the_contents(
    book: tuple[Path, list[pdf.Heading]], made: Pdf, browser: Browser
) -> None:
    file, headings = book
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.with_suffix(".html").as_uri())
    count = page.locator("h1, h2, h3, h4, h5, h6").count()
    context.close()
    with made.open_outline() as outline:
        titles = [*entries(outline.root)]
    assert len(titles) == count
    chapters = [heading.text for heading in headings if heading.rank == 1]
    assert len(chapters) == len(pdf.pages_in_order())
    assert set(chapters) <= set(titles)


def test_links_lead_to_pages_of_the_file(made: Pdf) -> None:
    known = {str(name).lstrip("/") for name in destinations(made)}
    within, lost = 0, set()
    for sheet in made.pages:
        for link in sheet.get("/Annots", []):
            if (target := link.get("/Dest")) is not None:
                within += 1
                if isinstance(target, String | Name) and str(target).lstrip("/") not in known:
                    lost.add(str(target))
            elif uri := link.get("/A", {}).get("/URI"):
                assert str(uri).startswith(("http://", "https://", "mailto:")), uri
    assert lost == set()
    assert within > 300


def destinations(made: Pdf) -> Iterable[str]:
    """The names of places that links can lead to, of both kinds that there are."""
    named = made.Root.get("/Names", {}).get("/Dests")
    return [*made.Root.get("/Dests", {}).keys(), *(NameTree(named) if named is not None else ())]


def test_every_picture_is_there(book: tuple[Path, list[pdf.Heading]], made: Pdf) -> None:
    text = book[0].with_suffix(".html").read_text(encoding="utf-8")
    # Each chart has a twin for phones, which paper does not show.
    text = re.sub(r"<svg\b[^>]*chart-narrow.*?</svg>", "", text, flags=re.DOTALL)
    pictures = re.findall(r"<(?:img|image)\b[^>]*>", text)
    sources = [re.search(r'\s(?:src|href)="file://([^"]*)"', picture) for picture in pictures]
    assert all(sources)
    files = {Path(unquote(source[1])) for source in sources if source}
    assert len(files) > 20
    assert all(file.is_file() for file in files)
    printed = {
        (image.read_raw_bytes(), image.get("/SMask", image).read_raw_bytes())
        for sheet in made.pages
        for image in sheet.get_images().values()
    }
    assert len(printed) == len(files)


def test_the_contents_name_the_right_pages(
    book: tuple[Path, list[pdf.Heading]], made: Pdf, sheets: list[str]
) -> None:
    numbers = pdf.page_numbers(made)
    for heading in book[1]:
        if heading.rank == 1:
            assert bare(heading.text) in sheets[numbers[heading.target] - 1], heading


def test_the_text_is_complete(sheets: list[str], browser: Browser) -> None:
    context = browser.new_context()
    for name in pdf.pages_in_order():
        page, _ = show(context, HTML / f"{name}.html")
        assert left_out(page, sheets) == [], name
        page.close()
    context.close()


def test_fonts_are_embedded_and_formulas_are_no_pictures(made: Pdf) -> None:
    fonts = {
        str(font.Subtype): font
        for sheet in made.pages
        for font in sheet.Resources.get("/Font", {}).values()
    }
    assert "/Type0" in fonts
    for kind, font in fonts.items():
        if kind == "/Type0":
            (inner,) = font.DescendantFonts
            assert {"/FontFile2", "/FontFile3"} & {*inner.FontDescriptor.keys()}
        else:
            assert kind == "/Type3"  # which draws its letters itself
    assert sum(len(sheet.get_images()) for sheet in made.pages) < 300
