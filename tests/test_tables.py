"""Numbers and tables as the book shows them."""

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaelib.book import each, table
from vaelib.book.tables import three_digits, true_minus

few = settings(deadline=None, max_examples=50, database=None)


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (-9.99e-10, "0"),
        (1e-9, "1.00e−09"),
        (0.0001, "0.000100"),
        (-0.00002346, "−2.35e−05"),
        (1e6, "1.00e+06"),
        (314.159, "314"),
        # Rounding that carries into the next power of ten must not add a digit.
        (9.999, "10.0"),
        (0.09999, "0.100"),
        (999.9, "1000"),
        (-math.inf, "−inf"),
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
    assert Decimal(text.replace("−", "-")) == rounded
    digits = text.partition("e")[0].replace(".", "").lstrip("−0")
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


def column(*cells, **options):
    """The cells of one column as they are shown."""
    return table({"x": cells}, **{k: {"x": v} for k, v in options.items()}).columns["x"]


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        # The largest has three significant digits; four if the middle one needs them.
        ([1.234, 21.44, 12.3], ["1.2", "21.4", "12.3"]),
        ([1.234, 21.44, 5.15], ["1.23", "21.44", "5.15"]),
        ([-740.3, 424.2], ["−740", "424"]),
        ([0.98765, 0.04, 0.0001], ["0.9877", "0.0400", "0.0001"]),
        # Zeros that all would end with are left out, of what float32 makes of numbers too.
        ([0.005, 0.1, 0.5], ["0.005", "0.100", "0.500"]),
        (torch.tensor([0.1, 0.8]), ["0.1", "0.8"]),
        ([8.0, 16.0], ["8", "16"]),
        ([0, 0.25, 1], ["0.00", "0.25", "1.00"]),
        # A zero is a zero, and what only looks like one is not.
        ([0.0, -1e-12, 0.5, 0.26], ["0.00", "0.00", "0.50", "0.26"]),
        ([2.5123, 4e-5, -4e-5, 3.0, 3.5], ["2.51", "< 0.01", "> −0.01", "3.00", "3.50"]),
        ([math.nan, 2.5, -math.inf], ["nan", "2.5", "−inf"]),
        # Rows that are different things: each number for itself.
        ([4.37e-06, 8.39e-07], ["4.37e−06", "8.39e−07"]),
        ([123.4, 0.0567, 0.00123], ["123", "0.0567", "0.00123"]),
        ([16, "bernoulli", 0.001], ["16", "bernoulli", "0.00100"]),
        ([3, 0.94123, 7.824], ["3", "0.941", "7.82"]),
        ([0.5, 1e-9, 1e-9], ["0.500", "1.00e−09", "1.00e−09"]),
        (["a word", 0.5, 12.25], ["a word", "0.500", "12.2"]),
        ([0.0001], ["0.0001"]),
        ([1e6], ["1.00e+06"]),
        ([0.5, 0.5, 500.0], ["0.5", "0.5", "500.0"]),
        ([0.9995, 0.9995, 1000.0], ["1.00", "1.00", "1000"]),
        ([0.512, 0.512, 250.4], ["0.5", "0.5", "250.4"]),
        ([np.float32(0.1), 0.5, 90.0], ["0.1", "0.5", "90.0"]),
        # Whole numbers stay as they are, and so do words.
        ([8, 140700], ["8", "140700"]),
        (["–", 8.5, 22.24], ["–", "8.5", "22.2"]),
        ([True, None], ["True", "None"]),
    ],
)
def test_the_numbers_of_a_column_have_the_same_decimals(numbers, shown):
    assert column(*numbers) == shown


def test_decimals_can_be_asked_for():
    assert column(2.0, 0.0004, decimals=3) == ["2.000", "< 0.001"]
    assert column(2.0, 0.5, decimals=None) == ["2.00", "0.500"]
    assert column(1e-9, 2e-9, decimals=8) == ["< 0.00000001", "< 0.00000001"]
    with pytest.raises(ValueError, match="decimals"):
        table({"x": [1.0]}, decimals={"y": 1})


def number_in(text):
    return float(text.replace("−", "-"))


@few
@given(st.lists(st.floats(-1e6, 1e6, exclude_min=True, exclude_max=True), min_size=1))
def test_a_column_is_off_by_less_than_its_last_digit_and_never_says_zero_falsely(numbers):
    for text, number in zip(column(*numbers), numbers, strict=True):
        if bound := re.match("[<>] (.*)", text):
            assert 0 < abs(number) < abs(number_in(bound[1]))
            assert (number < 0) == text.startswith(">")
        else:
            decimals = len(text.partition("e")[0].partition(".")[2])
            room = 0.5 * 10.0**-decimals if "e" not in text else 0.005 * abs(number)
            assert abs(number_in(text) - number) <= max(room, 5e-10, 0.5) * 1.001
            assert number_in(text) or abs(number) < 1e-9


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-1.5", "−1.5"),
        ("-2 to 2", "−2 to 2"),
        ("at most 1e-09", "at most 1e−09"),
        ("784-256-64", "784-256-64"),
        ("kl-3", "kl-3"),
        ("[-1, -inf]", "[−1, −inf]"),
        ("-0.0 -0.04 -0 1e-0", "0.0 −0.04 0 1e−0"),
    ],
)
def test_only_a_minus_becomes_one(text, shown):
    assert true_minus(text) == shown


def test_numbers_side_by_side():
    assert each(torch.tensor([8, 7])) == "8 7"
    assert each([0.12345, -9.996, -123.47]) == "0.1 −10.0 −123.5"
    assert each(torch.tensor([1.0, -2.25]), "+.1f") == "+1.0 −2.2"


def test_lists_of_numbers_have_the_decimals_of_their_column_and_stand_in_columns():
    shown = table({"n": [each([8, 10]), each([16, 9])], "x": [each([0.5, -12.25]), each([100, 7])]})
    assert shown.columns["x"] == ["0.5 −12.2", "100.0 7.0"]
    assert repr(shown).splitlines()[1:] == [" 8 10    0.5 −12.2", "16  9  100.0   7.0"]
    assert "<td>\u20078 10</td><td>\u2007\u20070.5 −12.2</td>" in shown._repr_html_()


def test_words_with_spaces_do_not_stand_in_columns():
    assert repr(table({"a": ["one two", "8 12"]})) == "a\none two\n8 12"
    assert repr(table({"a": ["8 a", "b 123"]})) == "a\n8 a\nb 123"


def test_a_table_as_the_page_gets_it():
    assert table({"a": [1, 2], "b": ["x", "y"]})._repr_html_() == (
        '<table class="table"><thead><tr><th scope="col">a</th>'
        '<th scope="col" style="text-align: left">b</th></tr></thead><tbody>'
        '<tr><td>1</td><td style="text-align: left">x</td></tr>'
        '<tr><td>2</td><td style="text-align: left">y</td></tr></tbody></table>'
    )


def test_a_table_is_aligned_as_text_and_has_the_same_cells_as_html():
    variances = torch.tensor([0.98765, 0.0123], dtype=torch.float64)
    shown = table({"variable": [0, 10], "Var μ": variances, "": ["a", "bcd"], "n": ["1", "–"]})
    text = "variable  Var μ       n\n       0  0.988  a    1\n      10  0.012  bcd  –"
    assert repr(shown) == text
    cells = "\n|variable|Var μ||n|\n|0|0.988|a|1|\n|10|0.012|bcd|–"
    assert "|".join(Cells(shown._repr_html_()).cells) == cells
    assert '<th scope="col">variable</th>' in shown._repr_html_()
    assert '<td style="text-align: left">bcd</td>' in shown._repr_html_()
    assert repr(table({"a": [], "bc": torch.zeros(0)})) == "a  bc"


def test_a_caption_and_a_name_are_for_the_page():
    shown = table({"a": [1]}, caption="What < it > is.", name="tab-a")
    start = '<table class="table" id="tab-a"><caption>What &lt; it &gt; is.</caption><thead>'
    assert shown._repr_html_().startswith(start)
    assert repr(shown) == "a\n1"


AWKWARD = st.text("ab<>&;\"'/=", max_size=5)


def test_datasets_are_named_as_in_the_prose():
    shown = table({"data": ["mnist", "glyphs"], "used, mnist": [7, 8]}, caption="On mnist")
    assert list(shown.columns) == ["data", "used, MNIST"]
    assert shown.columns["data"] == ["MNIST", "glyphs"]
    assert "<em>glyphs</em></td>" in shown._repr_html_()
    assert "mnist" not in shown._repr_html_()
    assert "  MNIST" not in repr(shown)  # words are on the left
    assert "mnistical" in repr(table({"words": ["mnistical"]}))


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
