"""What the book prints: numbers, tables and the package's own source."""

from __future__ import annotations

import ast
import html
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from IPython.display import Markdown
from torch import Tensor


def three_digits(value: Any) -> str:
    """Write a number with 3 significant digits, or as a whole number if it has more.

    A number below 1e-9 is rounding noise and is written as 0. Integers and words stay as they are.
    """
    if isinstance(value, Tensor | np.generic):
        value = value.item()
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    if abs(value) < 1e-9:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.2e}")))))
    return f"{value:.{digits}f}" if 1e-4 <= abs(value) < 1e6 else f"{value:.2e}"


def each(values: Iterable[Any], form: str = "") -> str:
    """Write numbers side by side, one for each seed: as ``form`` says, or with 3 digits."""
    numbers = [float(value) for value in values]
    return " ".join(format(x, form or (".3g" if abs(x) < 1000 else ".0f")) for x in numbers)


@dataclass(frozen=True)
class Table:
    """Columns side by side, shown as HTML in a notebook and as text elsewhere."""

    columns: dict[str, list[str]]

    def __repr__(self) -> str:
        widths = [max(map(len, (name, *cells))) for name, cells in self.columns.items()]
        lines = [self.columns.keys(), *zip(*self.columns.values(), strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in zip(*self.columns.values(), strict=True)
        )
        return f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def table(columns: dict[str, Sequence[Any] | Tensor]) -> Table:
    """Show columns of numbers and words, numbers to 3 significant digits."""
    return Table({name: [three_digits(cell) for cell in cells] for name, cells in columns.items()})


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
