"""Sources as the book shows them."""

import ast
import dataclasses
import inspect

import pytest

import vaelib
from vaelib.book import show_source

# --- the package's own source ---------------------------------------------------------------------


def shown_source(thing):
    fence, *lines, end = show_source(thing).data.split("\n")
    assert (fence, end) == ("```python", "```")
    return "\n".join(lines)


def public():
    """Every public function and class of the core and the book, and the methods of the classes."""
    things = {**vars(vaelib), **vars(vaelib.book)}.values()
    for thing in filter(callable, things):
        yield thing
        if inspect.isclass(thing):
            yield from filter(inspect.isfunction, vars(thing).values())


PUBLIC = {
    thing.__qualname__: thing
    for thing in public()
    if thing.__module__.startswith("vaelib") and not thing.__name__.startswith("_")
}


@pytest.mark.parametrize("name", PUBLIC)
def test_shown_source_is_the_code_without_its_docstrings(name):
    source, original = shown_source(PUBLIC[name]), inspect.getsource(PUBLIC[name])
    original = inspect.cleandoc("\n" + original)
    tree = ast.parse(original)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
    assert ast.dump(ast.parse(source)) == ast.dump(tree)
    assert "\n\n\n" not in source
    comments = [line for line in original.splitlines() if line.strip().startswith("# ")]
    assert [line for line in source.splitlines() if line.strip().startswith("# ")] == comments


@dataclasses.dataclass(slots=True)
class Empty:
    """Only a docstring."""

    def method(self):
        """Two lines,

        and a string.
        """
        # why
        return """not a docstring"""

    class Inner:
        """Only a docstring."""


def test_only_docstrings_are_dropped():
    assert shown_source(Empty).splitlines() == [
        "@dataclasses.dataclass(slots=True)",
        "class Empty:",
        "    def method(self):",
        "        # why",
        '        return """not a docstring"""',
        "",
        "    class Inner:",
        "        ...",
    ]
