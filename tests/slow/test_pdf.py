"""The book as one file: its outline, its links, its text, its fonts."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import HTML, PAGES, show
from playwright.sync_api import Browser
from pypdf import PdfReader
from test_print import left_out, text_of

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


def entries(outline: list) -> list[str]:
    """The titles of an outline, flat."""
    titles = []
    for entry in outline:
        titles += entries(entry) if isinstance(entry, list) else [entry.title]
    return titles


def test_every_heading_is_in_the_outline_and_in_the_contents(
    book: tuple[Path, list[pdf.Heading]], browser: Browser
) -> None:
    file, headings = book
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.with_suffix(".html").as_uri())
    count = page.locator("h1, h2, h3, h4, h5, h6").count()
    context.close()
    titles = entries(PdfReader(file).outline)
    assert len(titles) == count
    chapters = [heading.text for heading in headings if heading.rank == 1]
    assert len(chapters) == len(pdf.pages_in_order())
    assert set(chapters) <= set(titles)


def test_links_lead_to_pages_of_the_file(book: tuple[Path, list[pdf.Heading]]) -> None:
    reader = PdfReader(book[0])
    known = {name.lstrip("/") for name in reader.named_destinations}
    within, lost = 0, set()
    for sheet in reader.pages:
        for annotation in sheet.get("/Annots") or []:
            link = annotation.get_object()
            if (target := link.get("/Dest")) is not None:
                within += 1
                if isinstance(target, str) and target.lstrip("/") not in known:
                    lost.add(target)
            elif uri := (link.get("/A") or {}).get("/URI"):
                assert uri.startswith(("http://", "https://", "mailto:")), uri
    assert lost == set()
    assert within > 300


def test_every_picture_is_there(book: tuple[Path, list[pdf.Heading]]) -> None:
    text = book[0].with_suffix(".html").read_text(encoding="utf-8")
    # Each chart has a twin for phones, which paper does not show.
    text = re.sub(r"<svg\b[^>]*chart-narrow.*?</svg>", "", text, flags=re.DOTALL)
    pictures = re.findall(r"<(?:img|image)\b[^>]*>", text)
    sources = [re.search(r'\s(?:src|href)="file://([^"]*)"', picture) for picture in pictures]
    assert all(sources)
    files = {Path(unquote(source[1])) for source in sources if source}
    assert len(files) > 20
    assert all(file.is_file() for file in files)
    printed = {image.data for sheet in PdfReader(book[0]).pages for image in sheet.images}
    assert len(printed) == len(files)


def test_the_contents_name_the_right_pages(book: tuple[Path, list[pdf.Heading]]) -> None:
    file, headings = book
    numbers = pdf.page_numbers(pdf.Pdf.open(file))
    sheets = PdfReader(file).pages
    for heading in headings:
        if heading.rank == 1:
            text = "".join(sheets[numbers[heading.target] - 1].extract_text().split())
            assert "".join(heading.text.split()) in text, heading


def test_the_text_is_complete(book: tuple[Path, list[pdf.Heading]], browser: Browser) -> None:
    printed = text_of(book[0].read_bytes())
    context = browser.new_context()
    for name in pdf.pages_in_order():
        page, _ = show(context, HTML / f"{name}.html")
        assert left_out(page, printed) == [], name
        page.close()
    context.close()


def test_fonts_are_embedded_and_formulas_are_no_pictures(
    book: tuple[Path, list[pdf.Heading]],
) -> None:
    fonts = {
        font.get_object()["/Subtype"]: font.get_object()
        for sheet in PdfReader(book[0]).pages
        for font in (sheet["/Resources"].get("/Font") or {}).values()
    }
    assert "/Type0" in fonts
    for font in fonts.values():
        if font["/Subtype"] == "/Type0":
            (inner,) = font["/DescendantFonts"]
            assert "/FontFile2" in inner.get_object()["/FontDescriptor"] or (
                "/FontFile3" in inner.get_object()["/FontDescriptor"]
            )
        else:
            assert font["/Subtype"] == "/Type3"  # which draws its letters itself
    things = [
        thing.get_object()
        for sheet in PdfReader(book[0]).pages
        for thing in (sheet["/Resources"].get("/XObject") or {}).values()
    ]
    assert sum(thing["/Subtype"] == "/Image" for thing in things) < 300
