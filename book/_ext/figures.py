"""Put the drawings of notebooks into the page, where they have its font, colours and scheme.

A cell stores one SVG with two drawings, a wide and a narrow one (``vaelib/book/svg.py``); the
style sheet shows the one that fits. The colours of ``COLOURS`` become the page's variables, black
the colour of its text, white that of its ground, and greys lie between. The pictures within,
digits, are files of their own: both drawings share them. The SVG is a file too, to which a link
leads.
"""

import base64
import hashlib
import html
import posixpath
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

SVG = "{http://www.w3.org/2000/svg}"
PAGE_COLOURS = {
    "#0072b2": "var(--active)",
    "#e69f00": "var(--inactive)",
    "#d55e00": "var(--kl)",
    "#009e73": "var(--reconstruction)",
    "#6b7280": "var(--prior)",
    "#e5e7eb": "var(--grid)",
    "#000000": "currentColor",
    "#ffffff": "var(--pst-color-background)",
}


class chart(nodes.General, nodes.Element):
    """A drawing that becomes a part of the page."""


class TakeDrawings(SphinxPostTransform):
    """Take the drawings of notebooks out of the images, which would be files without a scheme."""

    default_priority = 300
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Replace each SVG that a cell has stored."""
        for number, image in enumerate(list(self.document.findall(nodes.image)), 1):
            path = Path(self.env.srcdir, image["uri"])
            # What lies in _static has been drawn for both schemes by hand.
            if path.suffix != ".svg" or "jupyter_execute" not in path.parts:
                continue
            name = self.env.images[image["uri"]][1]
            self.app.builder.images[image["uri"]] = name
            figure = image.parent
            caption = " ".join(part.astext() for part in figure.findall(nodes.caption))
            drawing = chart(
                text=path.read_text(encoding="utf-8"),
                alt=image.get("alt", ""),
                file=name,
                prefix=f"chart{number}-",
                sides=all(re.search(rf"\b{side}\b", caption, re.I) for side in ("left", "right")),
                numbered=figure["ids"][:1] if isinstance(figure, nodes.figure) else [],
            )
            image.replace_self(drawing)


def visit(translator: HTML5Translator, node: chart) -> None:
    """Write both drawings, and a link to the file."""
    builder = translator.builder
    wide = ET.fromstring(recoloured(node["text"]))
    for element in wide.iter():
        element.tag = element.tag.removeprefix(SVG)
    narrow = wide.find("defs/svg[@class='narrow']")
    drawings = [wide]
    if narrow is not None:
        (holder,) = (element for element in wide if narrow in element)
        wide.remove(holder)
        narrow.tail = None
        drawings.append(narrow)
    folder, address = Path(builder.outdir, builder.imagedir), builder.imgpath
    folder.mkdir(exist_ok=True)
    written = []
    for kind, drawing in zip(("wide", "narrow"), drawings, strict=False):
        drawing.attrib |= {
            "class": f"chart-{kind}" if len(drawings) > 1 else "chart-only",
            "role": "img",
            "aria-label": node["alt"],
            "fill": "currentColor",
        }
        make_unique(drawing, node["prefix"])
        for picture in drawing.iter("image"):
            picture.set("href", posixpath.join(address, keep(picture.get("href", ""), folder)))
        written.append(ET.tostring(drawing, encoding="unicode"))
    link = html.escape(posixpath.join(address, node["file"]))
    label = f"Enlarge {number_of(translator, node)}"
    # Where it is narrow, the panels that a caption calls left and right are above and below.
    note = '<p class="chart-note">Left is above, right below.</p>' if node["sides"] else ""
    translator.body.append(
        f'<div class="chart">{"".join(written)}{note}'
        f'<a class="chart-open" href="{link}" aria-label="{label}" title="{label}">'
        '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">'
        '<path d="M9.5 2H14v4.5M14 2L9 7M6.5 14H2V9.5M2 14l5-5" fill="none" stroke="currentColor"'
        ' stroke-width="1.6"/></svg></a></div>'
    )
    raise nodes.SkipNode


def number_of(translator: HTML5Translator, node: chart) -> str:
    """Return what the caption calls the figure, as "Figure 5.4"."""
    builder = translator.builder
    numbers = builder.env.toc_fignumbers.get(builder.current_docname, {}).get("figure", {})
    number = numbers.get((node["numbered"] or [""])[0])
    return f"Figure {'.'.join(map(str, number))}" if number else "the figure"


def recoloured(text: str) -> str:
    """Replace colours by what the page gives them."""
    # Not within pictures: base64 has no #.
    return re.sub(r"(?<=:)#[0-9a-f]{6}\b", lambda found: page_colour(found[0]), text)


def page_colour(colour: str) -> str:
    """The page's own colour for one of matplotlib's."""
    grey = colour[1:3] == colour[3:5] == colour[5:7]
    if colour in PAGE_COLOURS or not grey:
        return PAGE_COLOURS.get(colour, colour)
    ink = round(100 - int(colour[1:3], 16) / 2.55)
    return f"color-mix(in srgb, currentColor {ink}%, var(--pst-color-background))"


def make_unique(drawing: ET.Element, prefix: str) -> None:
    """Give each id, and what refers to it, a prefix."""
    for element in drawing.iter():
        for key, value in element.items():
            if key == "id":
                element.set(key, prefix + value)
            elif key == "href" and value.startswith("#"):
                element.set(key, f"#{prefix}{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{prefix}"))


def keep(uri: str, folder: Path) -> str:
    """Write a picture to a file named by its content; return the name."""
    content = base64.b64decode(uri.partition(",")[2])
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.png"
    if not (folder / name).is_file():
        (folder / name).write_bytes(content)
    return name


def depart(translator: HTML5Translator, node: chart) -> None:
    """Nothing is left to write."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_node(chart, html=(visit, depart))
    app.add_post_transform(TakeDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
