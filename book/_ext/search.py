"""The search: hits are sections, and it works in a page opened from disk.

Sphinx's own search finds pages, and reads them over http to show where. This one writes the text of
every section into one classic script, ``search-data.js``, which a page loads when a reader begins
to search; ``search.js`` does the rest. The text is that of the written pages, so what is found is
what is there: numbers of figures, verdicts, tables.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from textwrap import shorten
from typing import Any
from unicodedata import lookup

from sphinx.application import Sphinx

DATA = "search-data.js"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
SKIPPED = {
    "annotation",
    "button",
    "form",
    "nav",
    "noscript",
    "script",
    "style",
    "summary",
    "svg",
    "template",
}
# What stands under a still picture is for paper: on the screen a hit in it would lead nowhere.
SKIPPED_CLASSES = {
    *("byline", "explorable-stage", "explorable-static"),
    *("headerlink", "label", "opening-picture"),
}
# Names that are nowhere else: reconstruction_gain, MissingRunError.
IDENTIFIER = re.compile(r"\b(?:[A-Za-z]\w*_\w+|[A-Z]+[a-z]\w*[A-Z]\w*)")
# A claim as its chapter prints it: it stands on the scoreboard too.
PRINTED_CLAIM = re.compile(r"^[✓✗] (?:holds|FAILS).*$", re.MULTILINE)
ENTRY = 200  # letters of an entry of the API: its sentence of what it is for, not all that it takes
# Numbers, also in words: "1.00 to 4.00, median 1.50 (8 values)".
NUMBER = re.compile(r"(?:[\d\s.,()e+−-]|to|median|values?|at (?:least|most))+")
TERM = "glossary.html#term-"
GREEK = ("alpha", "beta", "delta", "epsilon", "eta", "theta", "lambda", "mu", "pi", "sigma", "phi")
SIGNS = {r"\mid": "|", r"\|": "‖", r"\le": "≤", r"\ge": "≥", r"\approx": "≈", r"\cdot": "·"} | {
    # Unicode spells it without the b.
    rf"\{name}": lookup(f"GREEK SMALL LETTER {name.replace('lambda', 'lamda').upper()}")
    for name in GREEK
}


@dataclass
class Section:
    """A section, a term of the glossary, a name of the API or a work, as the search knows it."""

    anchor: str
    title: str = ""
    titled: bool = False  # what comes after the first heading is text
    text: str = ""
    code: set[str] = field(default_factory=set)
    terms: set[str] = field(default_factory=set)  # that it links to the glossary


class Reader(HTMLParser):
    """The sections of a written page."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[Section] = []
        self.current: Section | None = None
        # The open elements: tag, meaning, and the section that was current before.
        self.open: list[tuple[str, str, Section | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element; a new section becomes the current one."""
        if tag in VOID:
            return
        values = {name: value or "" for name, value in attrs}
        kind = meaning(tag, values.get("id"), set(values.get("class", "").split()))
        if tag == "details" and self.within("cell"):
            kind = "skip"  # the reason for an interval: its claim is found
        self.open.append((tag, kind, self.current))
        if kind in ("section", "entry", "work") and self.within("article"):
            self.current = Section(values["id"])
            self.sections.append(self.current)
        elif self.current and TERM in values.get("href", ""):
            term = values["href"].partition(TERM)[2].replace("-", " ")
            self.current.terms.add(term.lower())

    def handle_endtag(self, tag: str) -> None:
        """Close an element, and what was left open in it."""
        while any(name == tag for name, *_ in self.open):
            name, kind, before = self.open.pop()
            if kind == "section":
                self.current = before
            elif kind == "title" and self.current:
                self.current.titled = True
            if name == tag:
                break
        if tag in ("p", "li", "td", "th", "dd", "dt", "div", "pre", "figcaption") and self.current:
            self.current.text += " "

    def within(self, kind: str) -> bool:
        """Whether an open element has this meaning."""
        return any(other == kind for _, other, _ in self.open)

    def handle_data(self, data: str) -> None:
        """Add a piece of text to what it belongs to."""
        if not self.current or self.within("skip"):
            return
        if self.within("math"):
            data = readable(data)
        if self.within("code"):
            self.current.code |= set(IDENTIFIER.findall(data))
        elif self.within("entry") or (self.within("title") and not self.current.titled):
            self.current.title += data
        elif not (self.within("cell") and NUMBER.fullmatch(data)):
            self.current.text += PRINTED_CLAIM.sub("", data)


def meaning(tag: str, anchor: str | None, classes: set[str]) -> str:
    """What an element is for the search; nothing if it says nothing itself."""
    if tag in SKIPPED or classes & SKIPPED_CLASSES:
        return "skip"
    if tag == "article" and "bd-article" in classes:
        return "article"
    if re.fullmatch("h[1-6]", tag):
        return "title"
    if anchor and tag == "section":
        return "section"
    if anchor and tag == "dt":
        return "entry"
    if anchor and "citation" in classes:
        return "work"
    if "highlight" in classes:
        return "code"
    if tag == "td":
        return "cell"
    if "math" in classes:
        return "math"
    return ""


def readable(formula: str) -> str:
    r"""A formula as one would type it: \(\sigma_j^2\) becomes σj²; what has no letter goes."""
    for sign in sorted(SIGNS, key=len, reverse=True):
        formula = formula.replace(sign, SIGNS[sign])
    formula = re.sub(r"\\[()\[\]]|\\(?:begin|end)\{\w+\}", " ", formula).replace("^2", "²")
    return re.sub(r"\\[a-zA-Z]+|\\.|[{}_^&]", " " if "\\" in formula else "", formula)


def pages(app: Sphinx) -> Iterator[str]:
    """The names of the pages, in the order of the book."""
    names = [app.config.root_doc]
    for name in names:
        yield name
        names += [other for other in app.env.toctree_includes.get(name, []) if other not in names]


def write_data(app: Sphinx, error: Exception | None) -> None:
    """Write the text of all pages, each with its sections, in the order of the book."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    known: set[str] = set()
    entries: list[Any] = []
    for name in pages(app):
        reader = Reader()
        reader.feed((out / f"{name}.html").read_text(encoding="utf-8"))
        sections = []
        for one in reader.sections:
            # Where a chapter first speaks of something is where it is introduced.
            introduced = one.terms - known if app.env.toc_secnumbers.get(name) else set()
            known |= introduced
            text, title = " ".join(one.text.split()), " ".join(one.title.split())
            if one.anchor.startswith("vaelib."):
                title = title.partition("(")[0]
                text = shorten(text.partition(". ")[0], ENTRY, placeholder=" …")
            code = " ".join(sorted(one.code))
            title = title or shorten(text, 70, placeholder=" …")
            sections.append([one.anchor, title, text, code, sorted(introduced)])
        entries.append([f"{name}.html", sections])
    data = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    (out / "_static" / DATA).write_text(f"window.bookSearch({data});\n", encoding="utf-8")


def without_sphinxs(app: Sphinx) -> None:
    """Leave out Sphinx's index of words, which every page would load."""
    app.builder.search = False


def page(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """The page with all hits, for a reader who presses Enter."""
    yield "search", {"title": "Search"}, "search.html"


def drop_marker(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave out Sphinx's marking of words: search.js marks them."""
    names = ("sphinx_highlight", "language_data", "searchtools")
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if not any(name in str(getattr(script, "filename", script)) for name in names)
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; the data are written after others have changed the pages."""
    app.connect("builder-inited", without_sphinxs)
    app.connect("html-collect-pages", page)
    app.connect("html-page-context", drop_marker, priority=900)
    app.connect("build-finished", write_data, priority=850)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
