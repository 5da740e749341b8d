"""``make pdf``: the whole book as one PDF, from the built pages.

usage: pdf.py [FILE]

The pages are joined in the order of ``_toc.yml``, links between them become links within the file,
and Chromium prints the whole twice: the second time with the numbers of the pages in the table of
contents. Needs Chromium or Chrome.
"""

import html
import io
import re
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import unquote

import chromium
import yaml
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont
from pikepdf import ObjectStreamMode, Pdf
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1>", re.DOTALL)
SECTION = re.compile(r'(<(?:section|span)\b[^>]*\bid="([^"]+)"[^>]*>)')
OUTLINES = re.compile(r'<path id="(MJX-[\w-]+)" d="[^"]*"></path>')
# The pages of the file are counted from the cover on, so that a reader's program agrees.
STYLE = """
html { --pst-font-family-base: "Book Sans", sans-serif;
  --pst-font-family-monospace: "Book Code", monospace; }
@page { @top-left { content: "%(title)s"; font-family: "Book Sans" }
  @bottom-right { content: counter(page); font-family: "Book Sans" } }
@page cover { @top-left { content: none } @bottom-right { content: none } }
.book-cover { page: cover; padding: 60mm 8mm 0; break-after: page; }
.book-cover h1 { font-size: 32pt !important; line-height: 1.15; border-bottom: 3px solid #0072b2;
  padding-bottom: 6mm; }
.book-cover p { font-size: 12pt; max-width: 120mm; }
.book-contents { break-after: page; }
.book-contents li { list-style: none; display: flex; gap: 2mm; align-items: baseline; }
.book-contents li::marker { content: none; }
.book-contents ul { padding: 0; margin: 0 0 2mm; columns: 2; column-gap: 8mm; font-size: 9pt; }
.book-contents li.rank-2 { padding-left: 4mm; font-size: 8pt; }
.book-contents li.rank-1 { font-weight: 600; margin-top: 2mm; break-after: avoid; }
.book-contents li i { flex: 1; border-bottom: 1px dotted #9aa3b2; }
.book-contents a { color: inherit !important; text-decoration: none; }
.book-page { break-before: page; }
.book-page:first-of-type { break-before: auto; }
"""


# Chromium draws the letters of a font of varying weight one by one, and embeds others as they are.
WEIGHTS = {400: "200 499", 600: "500 649", 700: "650 900"}
FACES = {
    "source-sans-3": ("Book Sans", ("normal", "italic")),
    "source-code-pro": ("Book Code", ("normal",)),
}
SCRIPTS = {"latin": "U+0-036F, U+1E00-FFFF", "greek": "U+0370-03FF"}


@dataclass
class Heading:
    """A heading that the table of contents names."""

    rank: int
    text: str
    target: str


def pages_in_order() -> list[str]:
    """The names of the pages, the first one first."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    parts = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [toc["root"], *parts]


def article(page: str, pages: list[str], folder: Path) -> str:
    """The text of one page, with names that no other page has and links within the file."""
    (text,) = ARTICLE.findall((folder / f"{page}.html").read_text(encoding="utf-8"))
    text = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    text = re.sub(r"<details(?![^>]*\sopen)", "<details open", text)
    text = text.replace(' loading="lazy"', "")  # nobody scrolls to it
    text = re.sub(r'\s(id|for|name)="([^"]*)"', rf' \1="{page}--\2"', text)
    text = re.sub(r'aria-(labelledby|describedby|controls)="([^"]*)"', "", text)

    def link(found: re.Match[str]) -> str:
        path, _, fragment = html.unescape(found[1]).partition("#")
        if fragment.startswith("MJX-") and not path:
            return found[0]
        target = Path(path).stem if path else page
        if (path and not path.endswith(".html")) or target not in pages:
            return found[0] if ":" in path else ""  # a file beside the pages
        name = f"{target}--{unquote(fragment)}" if fragment else target
        return f'href="#{html.escape(name)}"'

    # A picture within a drawing, <image href>, is no link.
    text = re.sub(r"(<image\b[^>]*\s)href=", r"\1src=", text)
    text = re.sub(r'(?<!:)\bhref="([^"]*)"', link, text)
    text = re.sub(r'\b(src|srcset)="(?!data:|https?:)', rf'\1="{folder.as_uri()}/', text)
    text = re.sub(r"(<image\b[^>]*\s)src=", r"\1href=", text)
    return f'<div class="book-page" id="{page}">{text}</div>'


def headings(page: str, text: str) -> list[Heading]:
    """The chapter and its sections."""
    found = []
    for match in HEADING.finditer(text):
        rank, inner = int(match[1]), match[2]
        inner = re.sub(r'<a class="headerlink".*?</a>', "", inner, flags=re.DOTALL)
        inner = re.sub(r"<svg.*?</svg>", "", inner, flags=re.DOTALL)
        before = SECTION.findall(text[: match.start()])
        target = page if rank == 1 or not before else before[-1][1]
        text_alone = html.unescape(re.sub(r"<[^>]+>", "", inner))
        found.append(Heading(rank, " ".join(text_alone.split()), target))
    return found


def contents(entries: list[Heading], numbers: dict[str, int]) -> str:
    """The table of contents; the numbers of the pages are known the second time."""
    rows = "".join(
        f'<li class="rank-{entry.rank}"><a href="#{html.escape(entry.target)}">'
        f"{html.escape(entry.text)}</a><i></i><span>{numbers.get(entry.target, 0)}</span></li>"
        for entry in entries
        if entry.rank <= 2
    )
    return f'<div class="book-contents"><h1>Contents</h1><ul>{rows}</ul></div>'


def cover() -> str:
    """The title, and what one must know to cite the book."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    authors = ", ".join(
        author.get("name") or f"{author.get('given-names', '')} {author.get('family-names', '')}"
        for author in about["authors"]
    )
    lines = [authors, f"Version {about['version']}", "Text and figures: CC BY 4.0. Code: MIT."]
    if date := about.get("date-released"):
        lines[1] += f", {date}"
    title = html.escape(book_title())
    said = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<div class="book-cover"><h1>{title}</h1>{said}</div>'


def book_title() -> str:
    """The title of the book."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]


def fonts(folder: Path, target: Path) -> str:
    """Write the book's fonts in the weights that it uses; return the rules that name them."""
    rules = []
    for file, (family, styles) in FACES.items():
        for style, script, weight in product(styles, SCRIPTS, WEIGHTS):
            source = folder / "_static" / "fonts" / f"{file}-{script}-wght-{style}.woff2"
            path = target / f"{file}-{script}-{style}-{weight}.ttf"
            font = instantiateVariableFont(TTFont(source), {"wght": weight})
            font.flavor = None
            font.save(path)
            rules.append(
                f'@font-face {{ font-family: "{family}"; src: url("{path.as_uri()}");'
                f" font-style: {style}; font-weight: {WEIGHTS[weight]};"
                f" unicode-range: {SCRIPTS[script]} }}"
            )
    return "\n".join(rules)


def whole(folder: Path, faces: str, numbers: dict[str, int]) -> tuple[str, list[Heading]]:
    """The book as one page of HTML, and its headings."""
    pages = pages_in_order()
    texts = {page: article(page, pages, folder) for page in pages}
    entries = [entry for page, text in texts.items() for entry in headings(page, text)]
    drawn = {
        name: path[0]
        for page in pages
        for path in OUTLINES.finditer((folder / f"{page}.html").read_text(encoding="utf-8"))
        if (name := path[1])
    }
    title = book_title()
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>"
        f'<link rel="stylesheet" href="{folder.as_uri()}/_static/book.css">'
        f"<style>{faces}\n{STYLE % {'title': title}}</style></head><body>"
        f"{cover()}{contents(entries, numbers)}"
        '<main class="bd-main"><div class="bd-content"><div class="bd-article-container">'
        f'<article class="bd-article">{"".join(texts.values())}</article></div></div></main>'
        f'<svg class="outlines" aria-hidden="true"><defs>{"".join(drawn.values())}</defs></svg>'
        "</body></html>"
    ), entries


def printed(browser: Browser, path: Path) -> bytes:
    """What Chromium makes of a page."""
    page = browser.new_page()
    page.set_default_timeout(0)  # the whole book takes a busy machine minutes
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("document.fonts.ready")
    made = page.pdf(prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    page.close()
    return made


def page_numbers(made: Pdf) -> dict[str, int]:
    """On which page each target of a link is."""
    numbers = {sheet.objgen: number for number, sheet in enumerate(made.pages, start=1)}
    targets = made.Root.Dests
    return {name.lstrip("/"): numbers[targets[name][0].objgen] for name in targets.keys()}  # noqa: SIM118


def mend_titles(made: Pdf, headings: list[str]) -> None:
    """Mend the outline: Chromium loses spaces where a heading breaks its line, or says it twice."""
    titles = {"".join(text.split()): text for text in headings}
    waiting = [made.Root.Outlines]
    while waiting:
        entry = waiting.pop()
        squeezed = re.sub(r"^(.+)\1$", r"\1", "".join(str(entry.get("/Title", "")).split()))
        if squeezed in titles:
            entry.Title = titles[squeezed]
        waiting += [entry[key] for key in ("/First", "/Next") if key in entry]


def make(browser: Browser, folder: Path, target: Path) -> list[Heading]:
    """Print the book; return its headings."""
    (target.parent / "fonts").mkdir(parents=True, exist_ok=True)
    faces = fonts(folder, target.parent / "fonts")
    draft = target.with_suffix(".html")
    numbers: dict[str, int] = {}
    for _ in range(2):
        text, entries = whole(folder, faces, numbers)
        draft.write_text(text, encoding="utf-8")
        made = Pdf.open(io.BytesIO(printed(browser, draft)))
        numbers = page_numbers(made)
    mend_titles(made, [book_title(), *(entry.text for entry in entries)])
    made.save(target, object_stream_mode=ObjectStreamMode.generate)  # half as large
    return entries


def main(target: Path) -> None:
    """Start the browser that is there, and print."""
    with chromium.started() as browser:
        make(browser, HTML, target)
    print(f"The book as one file: {target}, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build" / "pdf" / "book.pdf"
    main(given.resolve())
