"""An event after the last one that Sphinx has: a page as it will be written.

Handlers of ``page-rendered`` get the name of the page and its HTML, and return the HTML to write.
"""

from sphinx.application import Sphinx


def listen(app: Sphinx) -> None:
    """Let handlers see what the templates give for a page."""
    templates = getattr(app.builder, "templates", None)
    if templates is None:
        return
    render = templates.render

    def render_and_tell(template: str, context: dict[str, object]) -> str:
        text = render(template, context)
        if "pagename" in context and text.lstrip().startswith("<!DOCTYPE html>"):
            for handler in sorted(
                app.events.listeners["page-rendered"], key=lambda handler: handler.priority
            ):
                text = handler.handler(app, context["pagename"], text)
        return text

    templates.render = render_and_tell


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the event."""
    app.add_event("page-rendered")
    app.connect("builder-inited", listen, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
