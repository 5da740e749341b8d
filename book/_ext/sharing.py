"""What a link to a page shows elsewhere: a title, a description, and a picture.

A chapter's description is its question; other pages have ``og:description`` at their head, else it
is their first paragraph. Pictures and addresses must be absolute, so they are there only where the
address of the published pages is known (``repository.py``). ``make cards`` makes the pictures.
"""

import html
import re
from pathlib import Path
from textwrap import shorten

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 240  # letters


def first_paragraph(doctree: nodes.document) -> str:
    """The sentences with which a page begins, as many as fit; nothing where there are none."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if re.search("[.?!]$", text):
            whole = re.match(rf".{{,{LONGEST}}}[.?!](?= |$)", text)
            return whole[0] if whole else shorten(text, LONGEST, placeholder=" …")
    return ""


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """See to it that each page has a description; that of a chapter is there already."""
    metadata = app.env.metadata[app.env.docname]
    metadata.setdefault("og:description", first_paragraph(doctree))


def tags(values: dict[str, str]) -> str:
    """The head's lines; Open Graph has ``property``, everything else ``name``."""
    lines = []
    for name, value in values.items():
        key = "property" if name.startswith("og:") else "name"
        lines.append(f'<meta {key}="{name}" content="{html.escape(" ".join(value.split()))}" />')
    return "\n".join(lines)


def add_tags(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: nodes.document
) -> None:
    """Put the description, the title and the picture into the head of a page."""
    if doctree is None:
        return
    site, about = app.config.html_baseurl, app.env.metadata[page]
    title = next(doctree.findall(nodes.title)).astext()
    description = about["og:description"]
    values = {
        "description": description,
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "og:title": title,
        "og:description": description,
    }
    if site:
        card = page if (Path(app.srcdir) / f"_static/cards/{page}.png").exists() else "index"
        values |= {
            "og:url": f"{site}{page}.html" if page != app.config.root_doc else site,
            "og:image": f"{site}_static/cards/{card}.png",
            "og:image:width": "1200",
            "og:image:height": "630",
            "og:image:alt": f"{title}: {description}",
            "twitter:card": "summary_large_image",
        }
    context["metatags"] = f"{context.get('metatags', '')}\n{tags(values)}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; after chapters.py has left the questions."""
    app.connect("doctree-read", describe, priority=600)
    app.connect("html-page-context", add_tags)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
