"""``:::{guess} number`` and ``:::{guess} choice``: a question that is answered in the page.

The content is the question; what is revealed follows after a line ``---``. A number has the options
``:answer:`` and, where they help, ``:unit:``, ``:low:`` and ``:high:``. A choice is a list in the
question, ``- [x]`` the right one and ``- [ ]`` the others.

Without scripts, and in print, there is the question and a fold with the answer.
``_static/reading.js`` compares what a reader thinks with it.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

CHOICE = re.compile(r"^[-*] \[(?P<mark>[ xX])\] (?P<text>.*)")


def number(argument: str | None) -> str:
    """A number as it is written."""
    float(str(argument).replace(",", ""))
    return str(argument)


class guess(nodes.General, nodes.Element):
    """A question, the ways to answer it, and the answer."""


class guess_question(nodes.General, nodes.Element):
    """What is asked."""


class guess_choice(nodes.General, nodes.Element):
    """One of several answers."""


class guess_answer(nodes.General, nodes.Element):
    """What is revealed."""


class Guess(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {
        "answer": number,
        "unit": directives.unchanged_required,
        "low": number,
        "high": number,
    }

    def run(self) -> list[nodes.Node]:
        """Sort the content into question, choices and answer."""
        kind = self.arguments[0]
        lines = list(self.content)
        if kind not in ("number", "choice"):
            raise self.error(f"guess: expected number or choice, got {kind}")
        if "---" not in lines:
            raise self.error("guess: expected a line --- between the question and its answer")
        end = lines.index("---")
        # A choice may go on in lines that are indented.
        starts = [i for i in range(end) if CHOICE.match(lines[i])]
        right = sum(CHOICE.match(lines[i])["mark"] != " " for i in starts)  # type: ignore[index]
        if kind == "choice" and (len(starts) < 2 or right != 1):
            raise self.error(f"guess: {len(starts)} choices, of which {right} are right")
        if (kind == "number") != ("answer" in self.options):
            raise self.error("guess: a number, and nothing else, has the option :answer:")
        serial = self.env.new_serialno("guess") + 1
        result = guess(kind=kind, ids=[f"guess-{serial}"], **self.options)
        self.set_source_info(result)
        result += self.parsed(guess_question(), 0, starts[0] if starts else end)
        for start, stop in pairwise([*starts, end]):
            mark, text = CHOICE.match(lines[start]).groups()  # type: ignore[union-attr]
            choice = guess_choice(right=mark != " ", name=f"guess-{serial}")
            words = " ".join([text, *(line.strip() for line in lines[start + 1 : stop])])
            holder = nodes.Element()
            self.state.nested_parse(StringList([words], "guess"), self.content_offset, holder)
            choice += holder[0].children
            result += choice
        result += self.parsed(guess_answer(), end + 1, len(lines))
        return [result]

    def parsed(self, node: nodes.Element, start: int, stop: int) -> nodes.Element:
        """A node with a part of the content."""
        self.state.nested_parse(self.content[start:stop], self.content_offset + start, node)
        return node


ENTRY = """<p class="guess-entry"><label>Your guess
<input type="text" inputmode="decimal" autocomplete="off" size="6"></label>{unit}
<button type="submit">Compare</button></p>"""
COMPARE = '<p class="guess-entry"><button type="submit">Compare</button></p>'


def visit(translator: HTML5Translator, node: guess) -> None:
    """Open the form. What only scripts can do is shown only where they run (reading.css)."""
    data = {f"data-{key}": node[key] for key in ("answer", "unit", "low", "high") if key in node}
    start = translator.starttag(node, "form", CLASS="guess", **{"data-guess": node["kind"], **data})
    translator.body.append(f"{start}<fieldset><legend>Guess first</legend>")


def depart_question(translator: HTML5Translator, node: guess_question) -> None:
    """After the question a field for a number."""
    if node.parent["kind"] == "number":
        unit = node.parent.get("unit", "")
        translator.body.append(ENTRY.format(unit=f" {translator.encode(unit)}" if unit else ""))


def visit_choice(translator: HTML5Translator, node: guess_choice) -> None:
    """One choice, with a button to pick it."""
    right = ' data-right=""' if node["right"] else ""
    translator.body.append(
        f'<label class="guess-choice"{right}><input type="radio" name="{node["name"]}"> <span>'
    )


def visit_answer(translator: HTML5Translator, node: guess_answer) -> None:
    """After the choices a button; then what is said of the guess, and the fold."""
    translator.body.append(
        (COMPARE if node.parent["kind"] == "choice" else "")
        + '</fieldset><div class="guess-result" role="status"></div>'
        + '<details data-fold="guess"><summary>Answer</summary>'
    )


def nothing(translator: HTML5Translator, node: nodes.Element) -> None:
    """Some nodes only hold others."""


def end(text: str) -> Callable[[HTML5Translator, nodes.Element], None]:
    """Close what was opened."""
    return lambda translator, _: translator.body.append(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("guess", Guess)
    app.add_node(guess, html=(visit, end("</form>")))
    app.add_node(guess_question, html=(nothing, depart_question))
    app.add_node(guess_choice, html=(visit_choice, end("</span></label>")))
    app.add_node(guess_answer, html=(visit_answer, end("</details>")))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
