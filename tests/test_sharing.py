"""What a link to a page shows elsewhere; who, when, how long; cards and definitions."""

import json
import re
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from browser import HTML, PAGES
from bs4 import BeautifulSoup
from conftest import BOOK, CHAPTERS, ROOT
from docutils import nodes
from PIL import Image

sys.path.insert(0, str(BOOK / "_ext"))
sys.path.insert(0, str(ROOT / "tools"))
import byline
import cards
import chapters
import peek
import sharing

built = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PERSONS = [
    {"given-names": "Ada", "family-names": "Roe"},
    {"given-names": "B.", "family-names": "Li"},
]


def document(*paragraphs: str, title: str = "A title") -> Any:
    """A page as Sphinx has it."""
    page = nodes.document(None, None)
    page += nodes.section("", nodes.title("", title), *(nodes.paragraph("", p) for p in paragraphs))
    return page


def head_of(site: str, page: str = "sparsity", cards: Path = BOOK) -> dict[str, str]:
    """The lines that a page's head gets, by their names."""
    app = SimpleNamespace(
        config=SimpleNamespace(html_baseurl=site, html_title="The book", root_doc="index"),
        env=SimpleNamespace(metadata={page: {"og:description": 'Is "it" so?'}}),
        srcdir=str(cards),
    )
    context: dict[str, Any] = {}
    sharing.add_tags(app, page, "", context, document())
    tags = BeautifulSoup(context["metatags"], "html.parser").find_all("meta")
    return {tag.get("property") or tag["name"]: tag["content"] for tag in tags}


# --- the head -----------------------------------------------------------------------------------


def test_a_picture_and_addresses_are_absolute_where_the_address_is_known() -> None:
    head = head_of("https://pages.example/book/")
    assert head["og:url"] == "https://pages.example/book/sparsity.html"
    assert head["og:image"] == "https://pages.example/book/_static/cards/sparsity.png"
    assert head["twitter:card"] == "summary_large_image"
    assert head["og:title"] == "A title"
    assert head["description"] == head["og:description"] == 'Is "it" so?'
    # A page without a card shows that of the book; the start page is the book's address.
    assert head_of("https://pages.example/", "glossary")["og:image"].endswith("/cards/index.png")
    assert head_of("https://pages.example/", "index")["og:url"] == "https://pages.example/"


def test_what_must_be_absolute_is_left_out_where_no_address_is_known() -> None:
    assert not {"og:url", "og:image", "twitter:card"} & head_of("").keys()


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        (["No end", "One. Two?"], "One. Two?"),
        (["x" * 200 + ". " + "y" * 100 + "."], "x" * 200 + "."),
        (["long " * 60 + "end."], ("long " * 47).strip() + " …"),
        ([], ""),
    ],
)
def test_a_page_is_described_by_its_first_sentences(paragraphs: list[str], expected: str) -> None:
    assert sharing.first_paragraph(document(*paragraphs)) == expected


@built
def test_the_description_is_one_and_the_addresses_are_absolute() -> None:
    for path in PAGES:
        tags = BeautifulSoup(path.read_text(encoding="utf-8").split("<title>")[0], "html.parser")
        said = {tag.get("property") or tag.get("name"): tag for tag in tags.find_all("meta")}
        assert said["description"]["content"] == said["og:description"]["content"].strip() != ""
        for name in ("og:url", "og:image"):
            assert name not in said or said[name]["content"].startswith("https://")


# --- cards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_card_of_a_chapter_is_current_and_small(path: Path) -> None:
    card = cards.card(path)
    assert card.is_current(), f"{card.path.name}: run `make cards`"
    with Image.open(card.path) as image:
        assert image.size == (1200, 630)
    assert card.path.stat().st_size <= cards.LARGEST


def test_every_card_belongs_to_a_chapter_and_an_old_one_is_noticed() -> None:
    assert {path.stem for path in cards.CARDS.glob("*")} == {path.stem for path in CHAPTERS}
    card = cards.card(BOOK / "sparsity.ipynb")
    card.title = "Another title"
    assert not card.is_current()
    card.name = "no-such-chapter"
    assert not card.is_current()


def test_a_card_shows_what_a_chapter_opens_with_else_its_first_figure() -> None:
    def figure(name: str, kind: str, data: str) -> dict[str, Any]:
        return {
            "source": "",
            "metadata": {"mystnb": {"figure": {"name": name}}},
            "outputs": [{"data": {kind: data}}],
        }

    figures = [figure("fig-a", "image/png", "eA=="), figure("fig-b", "image/svg+xml", "<svg/>")]
    text = {"source": "# Title\n", "metadata": {}}
    assert cards.picture([text, *figures]) == '<img alt="" src="data:image/png;base64,eA==">'
    text["source"] = ":::{opening} fig-b\n*Why?*\n:::"
    assert cards.picture([text, *figures]) == "<svg/>"
    text["source"] = ":::{explorable} water-level\n:::"
    still = cards.inline((BOOK / "_static/explorables/water-level.png").read_bytes())
    assert cards.picture([text, *figures]) == still


# --- who, when, how long ------------------------------------------------------------------------


def test_length_counts_prose_and_cells(tmp_path: Path) -> None:
    def cell(kind: str, source: str, **metadata: Any) -> dict[str, Any]:
        rest = {"outputs": [], "execution_count": None} if kind == "code" else {}
        return {"cell_type": kind, "source": source, "metadata": metadata, "id": "x", **rest}

    words = "word " * 460
    unread = "$x y z$\n\n```\nnot read\n```\n\n:::{note} name\n:class: dropdown\n:::\n"
    cells = [
        cell("markdown", words + "\n\n" + unread),
        cell("code", "1"),
        cell("code", "2", tags=["remove-cell"]),
    ]
    path = tmp_path / "chapter.ipynb"
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    for number, one in enumerate(cells):
        one["id"] = str(number)
    path.write_text(json.dumps(notebook))
    assert byline.length(path) == (460, 1)
    assert byline.duration(path) == "2 min, 1 cells"


def test_the_day_is_that_of_the_release_else_of_the_commit(tmp_path: Path) -> None:
    assert byline.day({"date-released": date(2026, 3, 5)}, tmp_path) == "5 March 2026"
    assert byline.day({}, tmp_path) == ""
    assert re.fullmatch(r"(\d+ \w+ 20\d\d)?", byline.day({}, ROOT))


def test_persons_are_named_under_the_title_and_everybody_in_the_foot() -> None:
    citation = CITATION | {"authors": PERSONS}
    page = BOOK / "glossary.md"
    assert "Ada Roe, B. Li" in byline.line(citation, page)
    assert "The authors" not in byline.line(CITATION, page)
    foot = byline.foot(citation, "5 March 2026", "https://pages.example/")
    text = BeautifulSoup(foot, "html.parser").get_text(" ")
    assert "Ada Roe, B. Li (2026)." in text
    assert f"version {CITATION['version']}, 5 March 2026" in text
    assert "https://pages.example/" in text


@built
def test_every_page_says_who_how_long_and_under_which_licence() -> None:
    for path in PAGES:
        page = BeautifulSoup(path.read_text(encoding="utf-8").split("<article")[1], "html.parser")
        under = page.find(class_="byline").get_text()
        assert f"version {CITATION['version']}" in under
        chapter = BOOK / f"{path.stem}.ipynb"
        if chapter.exists():
            assert byline.duration(chapter) in under
        foot = page.find(id="about-this-book").get_text()
        assert CITATION["authors"][0]["name"] in foot
        assert "CC BY 4.0" in foot


@built
def test_the_table_of_chapters_says_how_long_they_are() -> None:
    start = BeautifulSoup((HTML / "index.html").read_text(encoding="utf-8"), "html.parser")
    text = start.find("article").get_text()
    for name in chapters.chapters(ROOT / "_toc.yml", BOOK):
        assert byline.duration(BOOK / f"{name}.ipynb") in text, name


# --- terms and works ----------------------------------------------------------------------------


def test_what_is_shown_of_a_term_and_of_a_work() -> None:
    glossary = (
        '<dl><dt id="term-a">a<a class="headerlink" href="#term-a">#</a></dt><dd><p>see '
        '<a class="x" href="#term-b">b</a> <span id="id1">cited</span></p></dd></dl>'
    )
    bibliography = (
        '<div class="citation" id="id7" role="listitem">\n<span class="label"><span>[</span>1'
        '<span>]</span></span>\n<p>Work. <a href="https://x.example">x</a></p>\n</div>'
    )
    assert peek.entries(glossary, bibliography) == {
        "glossary.html#term-a": "<p><strong>a</strong></p><p>see b <span>cited</span></p>",
        "bibliography.html#id7": '<p>Work. <a href="https://x.example">x</a></p>',
    }


@built
def test_every_link_to_a_term_or_a_work_has_something_to_show() -> None:
    text = (HTML / "_static" / peek.DATA).read_text(encoding="utf-8")
    shown = json.loads(text.removeprefix("window.bookPeek(").removesuffix(");\n"))
    assert all(value.strip() for value in shown.values())
    for path in PAGES:
        links = re.findall(
            r'href="((?:glossary\.html#term-|bibliography\.html#id)[^"]+)"',
            path.read_text(encoding="utf-8"),
        )
        assert [link for link in links if link not in shown] == [], path.name
