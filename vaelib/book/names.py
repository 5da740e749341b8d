"""The names of the datasets as the book writes them, in tables and figures: MNIST, *glyphs*."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GLYPHS = "glyphs"
_MNIST = re.compile(r"\bmnist\b")


def written(text: str) -> str:
    """Write MNIST as its authors do; in code and in file names it has small letters."""
    return _MNIST.sub("MNIST", text)


def write_names(figure: Figure) -> None:
    """Do so in the words of a figure, and set glyphs in italics where they stand alone."""
    from matplotlib.text import Text

    for words in figure.findobj(Text):
        assert isinstance(words, Text)
        if (text := words.get_text()) != written(text):
            words.set_text(written(text))
        if text == GLYPHS:
            words.set_fontstyle("italic")
