"""What a link to a term or to a work would show, for a look at it without leaving the page.

Definitions and works are taken from the written glossary and bibliography into one classic script,
``peek-data.js``. A page loads it when a reader first points at such a link; ``peek.js`` shows it.
"""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

DATA = "peek-data.js"
ENTRY = re.compile(r'<dt id="(term-[^"]+)">(.*?)</dt>\s*<dd>(.*?)</dd>', re.S)
WORK = re.compile(r'<div class="citation" id="([^"]+)"[^>]*>(.*?)</div>', re.S)
LABEL = re.compile(r'<span class="label">.*?</span></span>|<a class="headerlink".*?</a>', re.S)


def copy(content: str, links: bool) -> str:
    """A piece of a page as it may stand on another: without labels and anchors of its own.

    A drawn formula refers to outlines that are on its page alone; its MathML stands by itself.
    """
    content = re.sub(r"<mjx-container.*?(<math.*?</math>).*?</mjx-container>", r"\1", content)
    content = re.sub(r'\s(?:id|role)="[^"]*"', "", LABEL.sub("", content))
    return (content if links else re.sub(r"</?a\b[^>]*>", "", content)).strip()


def entries(glossary: str, bibliography: str) -> dict[str, str]:
    """What is shown for each link, as HTML."""
    terms = {
        f"glossary.html#{anchor}": f"<p><strong>{copy(term, False)}</strong></p>{copy(text, False)}"
        for anchor, term, text in ENTRY.findall(glossary)
    }
    works = {
        f"bibliography.html#{anchor}": copy(text, True)
        for anchor, text in WORK.findall(bibliography)
    }
    return terms | works


def write_data(app: Sphinx, error: Exception | None) -> None:
    """Write the script, after others have changed the pages."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    glossary, bibliography = (
        (out / f"{name}.html").read_text(encoding="utf-8") for name in ("glossary", "bibliography")
    )
    data = json.dumps(entries(glossary, bibliography), ensure_ascii=False, indent=0)
    (out / "_static" / DATA).write_text(f"window.bookPeek({data});\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("build-finished", write_data, priority=850)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
