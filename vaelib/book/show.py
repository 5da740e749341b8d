"""The package's own source, as chapters show it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from IPython.display import Markdown


def show_source(thing: Callable[..., Any]) -> Markdown:
    """Show the source of a function or class of the package, without its docstrings."""
    source = textwrap.dedent(inspect.getsource(thing))
    lines: list[str | None] = [*source.splitlines()]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            docstring = node.body[0]
            last = docstring.end_lineno or docstring.lineno
            stand_in = None
            if not node.body[1:]:  # the docstring is the whole body: write ... in its place
                stand_in = " " * docstring.col_offset + "..."
            elif not (lines[last] or "").strip():
                last += 1
            lines[docstring.lineno - 1 : last] = [stand_in, *[None] * (last - docstring.lineno)]
    kept = "\n".join(line for line in lines if line is not None)
    return Markdown(f"```python\n{kept}\n```")
