"""How long the book is: ``{{ words }}`` and ``{{ reading_time }}``, counted when it is built."""

from pathlib import Path

from byline import WORDS_A_MINUTE, length
from sphinx.application import Sphinx
from sphinx.config import Config


def reading_time(count: int) -> str:
    """So many words as hours and minutes, to ten minutes."""
    hours, minutes = divmod(10 * round(count / WORDS_A_MINUTE / 10), 60)
    said = f"{hours} hour{'s' * (hours > 1)}"
    return f"{said} and {minutes} minutes" if minutes else said


def substitute(app: Sphinx, config: Config) -> None:
    """Add both to what pages may name in double braces."""
    count = sum(length(path)[0] for path in Path(app.srcdir).glob("*.ipynb"))
    config.myst_substitutions["words"] = f"{round(count, -2):,}"
    config.myst_substitutions["reading_time"] = reading_time(count)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; after MyST has declared what it adds to."""
    app.connect("config-inited", substitute, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
