"""Who, when, how long, and may I: a line under each title, and the foot of each page.

Authors, version and licence are those of CITATION.cff. The date is that of the release, else that
of the commit that is built, else there is none. Chapters say how long they take.
"""

import html
import re
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import yaml
from sphinx.application import Sphinx

WORDS_A_MINUTE = 230
# What is not read word by word: formulas, code, directives and their options, addresses.
UNREAD = re.compile(
    r"(?s:\$\$.*?\$\$|```.*?```|\$[^$]*\$)|^:{2,}.*$|^:\w+:.*$|\]\([^)]*\)|<[^>]*>", re.M
)
WORD = re.compile(r"[^\W\d_][\w'’-]*")


def length(chapter: Path) -> tuple[int, int]:
    """How many words of prose and how many cells of code a notebook has."""
    cells = nbformat.read(chapter, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = [
        cell
        for cell in cells
        if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
    ]
    return len(WORD.findall(UNREAD.sub(" ", text))), len(code)


def duration(chapter: Path) -> str:
    """How long a chapter is, in words."""
    words, cells = length(chapter)
    return f"{max(1, round(words / WORDS_A_MINUTE))} min, {cells} cells"


def people(citation: dict[str, Any]) -> str:
    """The authors, as they are cited."""
    names = [
        one.get("name") or f"{one['given-names']} {one['family-names']}"
        for one in citation["authors"]
    ]
    return ", ".join(names)


def day(citation: dict[str, Any], root: Path) -> str:
    """The day of the release, or of the commit that is built, as in 5 March 2026; or nothing."""
    when = citation.get("date-released")
    if not when:
        command = ["git", "-C", str(root), "log", "-1", "--format=%cs"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            when = date.fromisoformat(answer.stdout.strip())
        except (OSError, subprocess.CalledProcessError, ValueError):
            return ""
    return f"{when.day} {when:%B %Y}"


def line(citation: dict[str, Any], chapter: Path) -> str:
    """The line under a title: the length of a chapter, persons by name, version and licence."""
    parts = [duration(chapter)] if chapter.suffix == ".ipynb" else []
    if all("name" not in one for one in citation["authors"]):
        parts.append(html.escape(people(citation)))
    parts += [
        f"version {citation['version']}",
        '<a href="#about-this-book">CC BY 4.0, how to cite</a>',
    ]
    return f'<p class="byline">{" · ".join(parts)}</p>'


def foot(citation: dict[str, Any], when: str, address: str) -> str:
    """The foot of each page: everything one needs in order to cite or to use it."""
    authors, title = html.escape(people(citation)), html.escape(citation["title"])
    year = f" ({when[-4:]})" if when else ""
    where = f' <a href="{address}">{address}</a>' if address else ""
    dated = f", {when}" if when else ""
    return (
        f'<div id="about-this-book" class="about">'
        f"<p>{title}, version {citation['version']}{dated}. By {authors}.</p>"
        f"<p><strong>Cite as:</strong> {authors}{year}. <em>{title}</em>, version "
        f"{citation['version']}.{where}</p>"
        "<p>Text and figures may be used under "
        '<a href="https://creativecommons.org/licenses/by/4.0/" rel="license">CC BY 4.0</a>, '
        "code under the MIT licence.</p></div>"
    )


def add(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Put the line under the title, and the rest into the foot."""
    root = Path(app.srcdir).parent
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    address = app.config.html_baseurl or app.config.html_theme_options.get("repository_url", "")
    context["theme_extra_footer"] = foot(citation, day(citation, root), address)
    author = html.escape(people(citation))
    context["metatags"] = (
        context.get("metatags", "") + f'\n<meta name="author" content="{author}" />'
    )
    if doctree is not None:
        path = Path(app.env.doc2path(page))
        context["body"] = context["body"].replace("</h1>", f"</h1>{line(citation, path)}", 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
