"""Tables of numbers and words, as chapters show them."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from .names import GLYPHS, written

NOISE = 1e-9  # a float below it is rounding noise, and written as 0
FIGURE_SPACE = "\u2007"  # as wide as a digit
_NUMBER = r"[-+−±<>≈]?\s?(?:\d[\d.,]*(?:e[-+−]?\d+)?|inf|nan)\s?%?"
_NUMBERS = re.compile(rf"{_NUMBER}(?: {_NUMBER})*|[-–]?")
_NO_MINUS = re.compile(r"(?<![\w)\]-])-(?=0(?:\.0+)?(?![\d.]))")
_HYPHEN = re.compile(r"(?<![\w)\]-])-(?=\d|inf)|(?<=\de)-(?=\d)")


def true_minus(text: str) -> str:
    """Write a minus as U+2212 and not as a hyphen; what is rounded to 0 has none."""
    return _HYPHEN.sub("−", _NO_MINUS.sub("", text))


def plain(value: Any) -> Any:
    """Return a number of torch or NumPy as Python's own; anything else as it is."""
    return value.item() if isinstance(value, Tensor | np.generic) else value


def three_digits(value: Any) -> str:
    """Write a number with 3 significant digits, or as a whole number if it has more.

    A number below 1e-9 is rounding noise and is written as 0. Integers and words stay as they are.
    """
    value = plain(value)
    if not isinstance(value, float) or not math.isfinite(value):
        return true_minus(str(value))
    if abs(value) < NOISE:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        return true_minus(f"{value:.{_places(abs(value))}f}")
    return true_minus(f"{value:.2e}")


class _Each(str):
    """Numbers side by side, which a table may write with other decimals."""

    numbers: list[float]


def each(values: Iterable[Any], form: str = "") -> str:
    """Write numbers side by side, one for each seed: as ``form`` says, or with the same decimals.

    Without ``form`` a `table` gives all the numbers of a column the same decimals.
    """
    numbers = [float(value) for value in values]
    if form:
        return true_minus(" ".join(format(number, form) for number in numbers))
    result = _Each(" ".join(_written(numbers, _decimals(numbers))))
    result.numbers = numbers
    return result


def _places(size: float) -> int:
    """How many decimals show 3 significant digits of a number, after rounding."""
    return max(0, 2 - math.floor(math.log10(float(f"{size:.2e}"))))


def _numbers(cells: Iterable[Any]) -> list[float]:
    """All the numbers of a column."""
    lists = (cell.numbers if isinstance(cell, _Each) else [cell] for cell in cells)
    return [number for numbers in lists for number in numbers if _is_number(number)]


def _decimals(cells: Iterable[Any]) -> int | None:
    """Choose the decimals of a column; None if no number of decimals suits all its numbers.

    The largest number has 3 significant digits, or 4 where the middle one needs them. Zeros at the
    end that all numbers would have are left out. Words among numbers, whole numbers among measured
    ones, and numbers a thousand times as large as others are different things: None.
    """
    cells = list(cells)
    numbers = _numbers(cells)
    sizes = sorted(abs(x) for x in numbers if math.isfinite(x) and abs(x) >= NOISE)
    if not any(isinstance(x, float) for x in numbers) or not sizes:
        return 0
    largest, middle = sizes[-1], sizes[len(sizes) // 2]
    words = not all(_NUMBERS.fullmatch(str(cell)) for cell in cells)
    if words or not (1e-4 <= largest < 1e6 and middle >= largest / 1000):
        return None
    most = min(max(_places(largest), _places(middle)), _places(largest) + 1)
    exact = 1e-7 * largest  # what float32 makes of 0.1 is 0.1
    for decimals in range(most + 1):
        if all(abs(size - round(size, decimals)) <= exact for size in sizes):
            return decimals
    return None if any(isinstance(x, int) and x for x in numbers) else most


def _written(cells: Iterable[Any], decimals: int | None) -> list[str]:
    """Write the cells of one column; None gives each number 3 significant digits of its own."""
    result = []
    for cell in cells:
        if isinstance(cell, _Each):
            result.append(" ".join(_written(cell.numbers, decimals)))
        elif decimals is not None and _is_number(cell) and math.isfinite(cell):
            result.append(_rounded(cell, decimals))
        else:
            result.append(three_digits(cell))
    return result


def _rounded(number: float, decimals: int) -> str:
    """Write a number with this many decimals; one that would look like 0 becomes a bound."""
    if abs(number) < NOISE:
        number = 0.0
    text = f"{number:.{decimals}f}"
    if number and not float(text):
        bound = f"{10**-decimals:.{decimals}f}"
        return f"> −{bound}" if number < 0 else f"< {bound}"
    return true_minus(text)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _side_by_side(cells: list[str], filler: str) -> list[str]:
    """Make the numbers of lists such as "8 12 9" equally wide, so that they stand in columns."""
    if not all(_NUMBERS.fullmatch(cell) for cell in cells) or not any(" " in c for c in cells):
        return cells
    parts = [re.split(r"(?<![<>]) ", cell) for cell in cells]
    if all(len(numbers) == 1 for numbers in parts):
        return cells
    width = max(len(number) for numbers in parts for number in numbers)
    return [" ".join(number.rjust(width, filler) for number in numbers) for numbers in parts]


def _marked(text: str) -> str:
    """Escape a text for HTML; the name glyphs is in italics, as in the prose."""
    return re.sub(rf"\b{GLYPHS}\b", f"<em>{GLYPHS}</em>", html.escape(text))


@dataclass(frozen=True)
class Table:
    """Columns side by side, shown as HTML in a notebook and as text elsewhere.

    Attributes
    ----------
    columns : dict
        The cells of each column as they are shown.
    words : frozenset
        The columns that hold words: they are aligned on the left, numbers on the right.
    caption : str
        What the table shows.
    name : str
        The label for a reference to the table.
    """

    columns: dict[str, list[str]]
    words: frozenset[str] = frozenset()
    caption: str = ""
    name: str = ""

    def __repr__(self) -> str:
        columns = {name: _side_by_side(cells, " ") for name, cells in self.columns.items()}
        aligned = []
        for name, cells in columns.items():
            width = max(map(len, (name, *cells)))
            left = name in self.words
            aligned.append(
                [cell.ljust(width) if left else cell.rjust(width) for cell in (name, *cells)]
            )
        return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))

    def _repr_html_(self) -> str:
        columns = []
        for name, cells in self.columns.items():
            style = ' style="text-align: left"' * (name in self.words)
            shown = (_marked(cell) for cell in _side_by_side(cells, FIGURE_SPACE))
            top = f'<th scope="col"{style}>{_marked(name)}</th>'
            columns.append([top, *(f"<td{style}>{cell}</td>" for cell in shown)])
        head, *rows = ("".join(line) for line in zip(*columns, strict=True))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        label = f' id="{html.escape(self.name)}"' if self.name else ""
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<table class="table"{label}>{caption}'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def table(
    columns: Mapping[str, Iterable[Any]],
    *,
    caption: str = "",
    decimals: Mapping[str, int | None] | None = None,
    name: str = "",
) -> Table:
    """Show columns of numbers and words.

    The numbers of a column have the same number of decimals: the largest has about 3 significant
    digits. A number that is not 0 and would look like it is written as a bound, "< 0.001".

    Parameters
    ----------
    columns : dict
        The heading of each column, and its cells.
    caption : str
        One sentence on what the table shows; the book numbers it.
    decimals : dict, optional
        For columns that need another number of decimals: their heading, and how many. None is for a
        column whose rows are different things: each number has 3 significant digits of its own.
    name : str
        A label: ``{numref}`name``` refers to the table.

    Raises
    ------
    ValueError
        If ``decimals`` names a column that is not there.
    """
    asked = dict(decimals or {})
    if unknown := asked.keys() - columns.keys():
        raise ValueError(f"decimals: no column {', '.join(sorted(unknown))}")
    raw = {heading: [plain(cell) for cell in cells] for heading, cells in columns.items()}
    shown = {}
    for heading, cells in raw.items():
        decimals_of = asked[heading] if heading in asked else _decimals(cells)
        shown[heading] = _written(cells, decimals_of)
    words = frozenset(
        heading
        for heading, cells in shown.items()
        if not any(map(_is_number, raw[heading]))
        and (not any(cells) or not all(_NUMBERS.fullmatch(cell) for cell in cells))
    )
    named = {written(heading): [*map(written, cells)] for heading, cells in shown.items()}
    return Table(named, frozenset(map(written, words)), written(caption), name)
