"""Keep every page of the book on the reader's machine.

sphinx-thebe, which Jupyter Book always loads, writes the address of a CDN and scripts into each
page. The book runs no code in the page, so all of it is left out.
"""

from docutils import nodes
from sphinx.application import Sphinx


def drop_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take thebe's settings out of the text of one page."""
    for node in list(doctree.findall(nodes.raw)):
        if "thebe" in node.astext():
            node.parent.remove(node)


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, object], doctree: object
) -> None:
    """Take thebe's scripts out of one page."""
    scripts = context.get("script_files")
    if isinstance(scripts, list):
        context["script_files"] = [script for script in scripts if not is_thebe(script)]
    styles = context.get("css_files")
    if isinstance(styles, list):
        context["css_files"] = [style for style in styles if not is_thebe(style)]


def is_thebe(asset: object) -> bool:
    """Whether a script or style sheet belongs to thebe, by file name or inline text."""
    filename = str(getattr(asset, "filename", asset) or "")
    attributes = getattr(asset, "attributes", {})
    return "thebe" in filename or "THEBE" in str(attributes.get("body", ""))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    # Late, after the theme has added its own.
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
