"""Exercises, numbered by the build.

``:::{exercise}`` holds the task. Where ``(a-label)=`` stands above it, ``{numref}`a-label``` is
its number.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator


class exercise(nodes.General, nodes.Element):
    """A task, which Sphinx numbers within its chapter as it numbers figures."""


class Exercise(SphinxDirective):
    """The task of an exercise."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse the task."""
        node = exercise(ids=[f"exercise-{self.env.new_serialno('exercise') + 1}"])
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def visit(translator: HTML5Translator, node: exercise) -> None:
    """Begin with the number, as a heading that can be linked to."""
    translator.body.append(translator.starttag(node, "section", CLASS="exercise") + "<h3>")
    translator.add_fignumber(node)
    translator.add_permalink_ref(node, "Link to this exercise")
    translator.body.append("</h3>")


def depart(translator: HTML5Translator, node: exercise) -> None:
    """End the task."""
    translator.body.append("</section>")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and its numbers."""
    # Sphinx numbers only what has a title.
    app.add_enumerable_node(exercise, "exercise", lambda _: "Exercise", html=(visit, depart))
    app.add_directive("exercise", Exercise)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
