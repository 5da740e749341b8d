"""Only what lies at the top of ``_static`` is for every page.

Jupyter Book puts every script and style sheet found anywhere in ``_static`` on every page: the
maths a second time, and megabytes of explorables where there are none. What lies in folders is left
to those who need it.
"""

from sphinx.application import Sphinx
from sphinx.config import Config


def keep_top(app: Sphinx, config: Config) -> None:
    """Take out of the lists what lies in folders, and what is named twice."""
    config.html_css_files = top(config.html_css_files)
    config.html_js_files = top(config.html_js_files)


def top(names: list[str]) -> list[str]:
    """The names without a folder, each once."""
    return [name for name in dict.fromkeys(names) if "/" not in name]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; before Sphinx turns the lists into files with attributes (800)."""
    app.connect("config-inited", keep_top, priority=700)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
