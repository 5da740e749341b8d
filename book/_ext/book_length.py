"""How long the book is: ``{{ words }}`` and ``{{ reading_time }}``, counted when it is built.

What is counted is the prose of the notebooks: not code, formulas, addresses or directives' options.
"""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

WORDS_A_MINUTE = 230
UNREAD = re.compile(
    r"(?s:\$\$.*?\$\$|```.*?```|\$[^$]*\$)|^:{2,}.*$|^:\w+:.*$|\]\([^)]*\)|<[^>]*>", re.M
)
WORD = re.compile(r"[^\W\d_][\w'’-]*")


def words(book: Path) -> int:
    """Words of prose in all notebooks of a folder."""
    count = 0
    for path in sorted(book.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        count += len(WORD.findall(UNREAD.sub(" ", text)))
    return count


def reading_time(count: int) -> str:
    """So many words as hours and minutes, to ten minutes."""
    hours, minutes = divmod(10 * round(count / WORDS_A_MINUTE / 10), 60)
    said = f"{hours} hour{'s' * (hours > 1)}"
    return f"{said} and {minutes} minutes" if minutes else said


def substitute(app: Sphinx, config: Config) -> None:
    """Add both to what pages may name in double braces."""
    count = words(Path(app.srcdir))
    config.myst_substitutions["words"] = f"{round(count, -2):,}"
    config.myst_substitutions["reading_time"] = reading_time(count)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; after MyST has declared what it adds to."""
    app.connect("config-inited", substitute, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
