"""Numbers, tables and sources as the book shows them."""

import ast
import dataclasses
import inspect
import math
from decimal import ROUND_HALF_EVEN, Decimal
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vaelib
from vaelib.book import show_source, table
from vaelib.book.show import three_digits

few = settings(deadline=None, max_examples=50, database=None)


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (-9.99e-10, "0"),
        (1.1e-9, "1.10e-09"),
        (0.0001, "0.000100"),
        (-0.00002346, "-2.35e-05"),
        (1e6, "1.00e+06"),
        (314.159, "314"),
        # Rounding that carries into the next power of ten must not add a digit.
        (9.999, "10.0"),
        (0.09999, "0.100"),
        (999.9, "1000"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (12345, "12345"),
        (True, "True"),
        (None, "None"),
        ("a", "a"),
        (np.float32(2.5), "2.50"),
        (np.int64(123456), "123456"),
        (torch.tensor(0.125, dtype=torch.float64), "0.125"),
        (torch.tensor(123456), "123456"),
    ],
)
def test_three_digits(value, text):
    assert three_digits(value) == text


@few
@given(st.floats(1e-9, 1e3, exclude_min=True, exclude_max=True), st.sampled_from([1, -1]))
def test_below_a_thousand_a_number_is_rounded_to_three_digits(size, sign):
    exact = Decimal(sign * size)
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_HALF_EVEN)
    text = three_digits(sign * size)
    assert Decimal(text) == rounded
    digits = text.partition("e")[0].replace(".", "").lstrip("-0")
    assert len(digits) == (4 if abs(rounded) == 1000 else 3)


# --- tables ---------------------------------------------------------------------------------------


class Cells(HTMLParser):
    """Reads a table back: its cells, and "\\n" before each row."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.cells += {"th": [""], "td": [""], "tr": ["\n"]}.get(tag, [])

    def handle_data(self, data):
        self.cells[-1] += data


def test_a_table_is_aligned_as_text_and_has_the_same_cells_as_html():
    variances = torch.tensor([0.98765, 0.0001], dtype=torch.float64)
    shown = table({"variable": [0, 10], "Var μ": variances, "": ["a", "bcd"]})
    text = "variable     Var μ     \n       0     0.988    a\n      10  0.000100  bcd"
    assert repr(shown) == text
    cells = "\n|variable|Var μ||\n|0|0.988|a|\n|10|0.000100|bcd"
    assert "|".join(Cells(shown._repr_html_()).cells) == cells
    assert '<th scope="col">variable</th>' in shown._repr_html_()
    assert repr(table({"a": [], "bc": torch.zeros(0)})) == "a  bc"


AWKWARD = st.text("ab<>&;\"'/=", max_size=5)


@few
@given(st.dictionaries(AWKWARD, st.tuples(AWKWARD, AWKWARD), min_size=1, max_size=3))
def test_html_is_escaped(columns):
    read = Cells(table(columns)._repr_html_())
    expected = ["\n", *columns]
    for row in zip(*columns.values(), strict=True):
        expected += ["\n", *row]
    assert read.cells == expected
    assert read.tags <= {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("show", [repr, lambda shown: shown._repr_html_()])
def test_columns_of_different_length_are_an_error(show):
    with pytest.raises(ValueError, match="argument"):
        show(table({"a": [1], "b": [1, 2]}))


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
