"""What axe-core finds wrong with pages that others generate, put right.

docutils makes the bibliography a list whose entries are not list items, as an older version of the
standard had it.
"""

from sphinx.application import Sphinx


def mend(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object
) -> None:
    """Give the entries of a list of citations the role of list items."""
    body = context.get("body")
    if isinstance(body, str):
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
