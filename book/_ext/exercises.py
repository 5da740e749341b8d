"""Exercises, numbered by the build, and a list of them.

``:::{exercise}`` holds the task. Where ``(a-label)=`` stands above it, ``{numref}`a-label``` is
its number. ``:::{exercises}`` lists the exercises of all chapters by their first sentences.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

END = re.compile(r"(?<=[.?!])(?=\s|$)")


class exercise(nodes.General, nodes.Element):
    """A task, which Sphinx numbers within its chapter as it numbers figures."""


class exercises(nodes.General, nodes.Element):
    """The place of the list, until all chapters have been read."""


class Exercise(SphinxDirective):
    """The task of an exercise."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse the task."""
        node = exercise(ids=[f"exercise-{self.env.new_serialno('exercise') + 1}"])
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


class Exercises(SphinxDirective):
    """The list."""

    def run(self) -> list[nodes.Node]:
        """Leave a place for it; each build makes it anew."""
        self.env.note_reread()
        return [exercises()]


class ListExercises(SphinxPostTransform):
    """Put the list in its place, before references are resolved (10)."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        """A heading and a list for each chapter."""
        for place in list(self.document.findall(exercises)):
            # There are formulas among them, which the page did not have when it was read.
            self.env.get_domain("math").data["has_equations"][self.env.docname] = True
            chapters = {
                docname: numbered["exercise"]
                for docname, numbered in self.env.toc_fignumbers.items()
                if numbered.get("exercise")
            }
            ordered = sorted(chapters, key=lambda docname: min(chapters[docname].values()))
            place.replace_self([part for d in ordered for part in self.chapter(d, chapters[d])])

    def chapter(self, docname: str, numbers: dict[str, tuple[int, ...]]) -> list[nodes.Node]:
        """The exercises of one chapter."""
        builder = self.app.builder
        title = self.env.titles[docname].astext()
        top = builder.get_relative_uri(self.env.docname, docname)
        heading = nodes.reference("", title, refuri=top, internal=True)
        listed = nodes.bullet_list(classes=["exercises"])
        tasks = {task["ids"][0]: task for task in self.env.get_doctree(docname).findall(exercise)}
        for identifier, number in numbers.items():
            name = f"Exercise {'.'.join(map(str, number))}"
            link = nodes.reference("", name, refuri=f"{top}#{identifier}", internal=True)
            words = [nodes.Text(". "), *self.first_sentence(tasks[identifier])]
            listed += nodes.list_item("", nodes.paragraph("", "", link, *words))
        return [nodes.rubric("", "", heading), listed]

    def first_sentence(self, task: nodes.Element) -> list[nodes.Node]:
        """The beginning of a task, with its formulas and references."""
        words: list[nodes.Node] = []
        for part in task.next_node(nodes.paragraph).children:
            if isinstance(part, nodes.Text) and (end := END.search(part)):
                return [*words, nodes.Text(part[: end.start()])]
            words.append(part.deepcopy())
            for reference in words[-1].findall(addnodes.pending_xref):
                reference["refdoc"] = self.env.docname
        return words


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
    """Register the directives and the numbers."""
    # Sphinx numbers only what has a title.
    app.add_enumerable_node(exercise, "exercise", lambda _: "Exercise", html=(visit, depart))
    app.add_node(exercises)
    app.add_directive("exercise", Exercise)
    app.add_directive("exercises", Exercises)
    app.add_post_transform(ListExercises)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
