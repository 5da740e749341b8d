"""The pictures that links to pages show elsewhere: one for each chapter, 1200 by 630 pixels.

A card has the chapter's title, its question and the picture it opens with, else its first figure.
Chromium draws it with the book's fonts. What it was drawn from is kept in it as a digest, so that a
test can tell that a card is out of date without drawing it again.

usage: cards.py [PART_OF_A_NAME ...]      no argument: every chapter
"""

import base64
import hashlib
import html
import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.Image import Quantize
from PIL.PngImagePlugin import PngInfo
from run_notebooks import BOOK, ROOT
from run_notebooks import chapters as chosen

sys.path.insert(0, str(BOOK / "_ext"))
from chapters import head

STATIC = BOOK / "_static"
CARDS = STATIC / "cards"
SIZE = {"width": 1200, "height": 630}
LARGEST = 40_000  # bytes
COLOURS = (48, 32, 16, 8)  # the most that stay below that
OPENING = re.compile(r"^:::\{(?:opening|explorable)\} +(\S+)", re.M)
TEMPLATE = """<!doctype html>
<html data-theme="light"><meta charset="utf-8">{styles}
<style>
  html {{ font-size: 16px; }}
  body {{
    display: grid; grid-template: auto 1fr auto / auto; gap: 24px; box-sizing: border-box;
    width: 1200px; height: 630px; margin: 0; padding: 46px 56px 26px;
    background: #fff; color: #222832; font-family: "Source Sans 3", sans-serif; overflow: hidden;
  }}
  header {{ border-left: 14px solid #0072b2; padding-left: 28px; }}
  h1 {{ margin: 0; font-size: 58px; font-weight: 650; line-height: 1.1; letter-spacing: -0.01em; }}
  p {{ margin: 12px 0 0; font-size: 33px; line-height: 1.25; color: #48566b; }}
  footer {{ font-size: 24px; color: #48566b; }}
  figure {{ display: flex; justify-content: center; min-height: 0; margin: 0; }}
  figure > * {{ width: 100%; height: 100%; object-fit: contain; }}
</style>
<body><header><h1>{title}</h1><p>{question}</p></header><figure>{picture}</figure>
<footer>{book}</footer>"""
BOOK_TITLE = re.search("^title: (.+)", (ROOT / "_config.yml").read_text(encoding="utf-8"), re.M)[1]
STYLES = "".join(
    f'<link rel="stylesheet" href="../{path.name}">' for path in sorted(STATIC.glob("*.css"))
)


@dataclass
class Card:
    """What a card is drawn from."""

    name: str
    title: str
    question: str
    picture: str  # HTML

    @property
    def path(self) -> Path:
        """Where it is stored."""
        return CARDS / f"{self.name}.png"

    @property
    def digest(self) -> str:
        """What changes if the card would look different."""
        parts = (TEMPLATE, self.title, self.question, self.picture)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def is_current(self) -> bool:
        """Whether the stored card was drawn from this."""
        if not self.path.exists():
            return False
        with Image.open(self.path) as image:
            return image.info.get("drawn-from") == self.digest


def card(chapter: Path) -> Card:
    """What the card of a chapter is drawn from."""
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    first = "".join(cells[0]["source"])
    if chapter.stem == "index":
        title, question = (
            re.search(r"^# (.+)", first, re.M)[1],
            "Find the variables that do nothing.",
        )
    else:
        title, question = head(chapter).title, head(chapter).question
    return Card(chapter.stem, title, question, picture(cells))


def picture(cells: list[dict]) -> str:
    """The picture that a chapter opens with, else its first figure."""
    opening = OPENING.search("\n".join("".join(cell["source"]) for cell in cells[:2]))
    name = opening[1] if opening else ""
    if name.startswith("_static/"):
        return inline((BOOK / name).read_bytes())
    if (still := STATIC / "explorables" / f"{name}.png").exists():
        return inline(still.read_bytes())
    figures = {}
    for cell in cells:
        label = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if svg := data.get("image/svg+xml"):
                figures.setdefault(label, "".join(svg))
            elif png := data.get("image/png"):
                figures.setdefault(label, inline(base64.b64decode("".join(png))))
    return figures.get(name) or next(iter(figures.values()))


def inline(png: bytes) -> str:
    """An image with its content."""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def draw(cards: list[Card]) -> None:
    """Draw cards and store them, with few colours."""
    if not cards:
        return
    import chromium

    if chromium.command() is None:
        print("no Chromium here to draw the cards with: run `make cards` where there is one")
        return
    CARDS.mkdir(exist_ok=True)
    with chromium.started() as browser:
        page = browser.new_page(viewport=SIZE)
        for one in cards:
            scratch = CARDS / ".card.html"  # on the disk, beside the fonts
            scratch.write_text(
                TEMPLATE.format(
                    styles=STYLES,
                    book=html.escape(BOOK_TITLE),
                    title=html.escape(one.title),
                    question=html.escape(one.question),
                    picture=one.picture,
                ),
                encoding="utf-8",
            )
            page.goto(scratch.as_uri())
            page.evaluate("document.fonts.ready")
            store(one, page.screenshot())
            print(f"drawn: {one.path.relative_to(ROOT)}")
            scratch.unlink()


def store(one: Card, screenshot: bytes) -> None:
    """Store a screenshot as a card."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    about = PngInfo()
    about.add_text("drawn-from", one.digest)
    for colours in COLOURS:
        image.quantize(colours, Quantize.MAXCOVERAGE, dither=0).save(
            one.path, optimize=True, pnginfo=about
        )
        if one.path.stat().st_size <= LARGEST:
            break


def refresh(paths: list[Path]) -> None:
    """Draw the cards of these chapters that are out of date."""
    draw([one for one in map(card, paths) if not one.is_current()])


if __name__ == "__main__":
    refresh(chosen(sys.argv[1:]))
