"""What is read in one go stays on one line: β = 1, 95 %, seed 0.

A space within it becomes one at which no line breaks, in text and in the tables that cells show.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

SPACE = "\u00a0"
COMPARED = re.compile(r"(?<=\w) (=|<|>|≈|≤|≥|&lt;|&gt;) (?=[\w−])")
COUNTED = re.compile(r"(?<=\d) (?=%)|(?<=\bseed) (?=\d)")
CODE = nodes.literal | nodes.literal_block | nodes.math | nodes.math_block | nodes.raw


def unbroken(text: str) -> str:
    """A text in which these spaces hold."""
    return COUNTED.sub(SPACE, COMPARED.sub(rf"{SPACE}\1{SPACE}", text))


class Unbroken(SphinxPostTransform):
    """Do so in all text of a page that is no code."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Replace the texts that change."""
        for text in list(self.document.findall(nodes.Text)):
            code = isinstance(text.parent, CODE) or isinstance(text.parent.parent, CODE)
            if not code and (new := unbroken(str(text))) != text:
                text.parent.replace(text, nodes.Text(new))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_post_transform(Unbroken)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
