"""Claims: the accepted interval, the printed line, and rows that are not claims."""

import contextlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaelib import claim, claims

few = settings(deadline=None, max_examples=60, database=None)
finite = st.floats(allow_nan=False, allow_infinity=False)

ROWS = """
law:
  sentence: Of every variable, the two variances add up to 1.
  source: asperti2019
  accepted: [0.8, 1.2]
  why: Five seeds stay within 0.1.
error:
  sentence: The error is small.
  source: this book
  accepted: [null, 3]
  why: It is.
count:
  sentence: Some variables are active.
  source: this book
  accepted: [2, null]
  published: about 8
  why: Fewer would be none.
kurtosis:
  sentence: The kurtosis is 3.
  source: asperti2020
  accepted: [2.9, 3.1]
  why: Three digits.
  fails: The mixture has heavier tails.
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    path = tmp_path / "claims.yml"
    path.write_text(ROWS, encoding="utf-8")
    rows = claims.load_claims(path)
    monkeypatch.setattr(claims, "_book_claims", lambda: rows)
    return rows


def make(low, high):
    return claims.Claim("x", "s", "this book", low, high, "w")


def load_text(tmp_path, text):
    path = tmp_path / "claims.yml"
    path.write_text(text, encoding="utf-8")
    return claims.load_claims(path)


def test_rows_are_read_as_written(book):
    assert list(book) == ["law", "error", "count", "kurtosis"]
    assert book["law"] == claims.Claim(
        "law",
        "Of every variable, the two variances add up to 1.",
        "asperti2019",
        0.8,
        1.2,
        "Five seeds stay within 0.1.",
    )
    assert (book["error"].low, book["error"].high) == (-math.inf, 3)
    assert (book["count"].low, book["count"].high) == (2, math.inf)
    assert book["count"].published == "about 8"
    assert book["kurtosis"].fails == "The mixture has heavier tails."
    assert book["law"].fails == book["law"].published == ""


@few
@given(low=finite, high=finite, value=finite)
def test_a_number_is_accepted_in_the_closed_interval(low, high, value):
    low, high = sorted((low, high))
    assert make(low, high).accepts(value) == (low <= value <= high)
    assert make(low, high).accepts(low)
    assert make(low, high).accepts(high)
    assert not make(low, high).accepts(math.nextafter(high, math.inf))
    assert not make(low, high).accepts(math.nextafter(low, -math.inf))
    assert make(-math.inf, high).accepts(value) == (value <= high)
    assert make(low, math.inf).accepts(value) == (value >= low)


@pytest.mark.parametrize("interval", [(0, 1), (-math.inf, 1), (0, math.inf)])
@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        np.float32("nan"),
        np.array([0.5, np.nan]),
        torch.tensor(math.nan),
        torch.tensor([[0.5], [math.nan]]),
        [0.5, math.nan],
    ],
)
def test_nan_is_never_accepted(interval, value):
    assert make(*interval).accepts(value) is False


@pytest.mark.parametrize(
    "value",
    [
        1,
        True,
        1.0,
        np.int64(1),
        np.float32(1),
        np.array(1.0),
        np.ones((2, 3)),
        torch.tensor(1),
        torch.ones(4, dtype=torch.float64),
        torch.tensor([True, True]),
        [1, 1.0],
        (1,),
    ],
)
def test_numbers_arrays_and_tensors_are_taken(value):
    assert make(1, 1).accepts(value) is True
    assert make(1.01, 2).accepts(value) is False


def test_of_an_array_every_element_counts():
    c = make(0, 1)
    assert c.accepts([0, 0.5, 1])
    for bad in ([0, 0.5, 1.1], [-0.1, 0.5], [[0.5, 0.5], [0.5, 2]]):
        assert not c.accepts(bad)
        assert not c.accepts(np.array(bad))
        assert not c.accepts(torch.tensor(bad))


@pytest.mark.parametrize("value", [[], np.zeros((0, 3)), torch.zeros(0)])
def test_no_number_is_an_error(book, value, capsys):
    with pytest.raises(ValueError, match=r"^value of claim 'law': expected at least one number"):
        claim("law", value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", ["much", None, [1, "a"]])
def test_what_is_no_number_is_never_accepted(value):
    with contextlib.suppress(TypeError, ValueError):
        assert make(0, 1).accepts(value) is False


@pytest.mark.parametrize(
    ("id", "value", "line"),
    [
        (
            "law",
            [1.0, 1.19],
            "✓ holds · law · Of every variable, the two variances add up to 1. "
            "Accepted: 0.8 to 1.2.",
        ),
        (
            "law",
            1.21,
            "✗ FAILS · law · Of every variable, the two variances add up to 1. "
            "Accepted: 0.8 to 1.2.",
        ),
        ("error", 3, "✓ holds · error · The error is small. Accepted: at most 3."),
        ("error", 3.01, "✗ FAILS · error · The error is small. Accepted: at most 3."),
        ("count", 2, "✓ holds · count · Some variables are active. Accepted: at least 2."),
        ("count", 1, "✗ FAILS · count · Some variables are active. Accepted: at least 2."),
        ("kurtosis", 3, "✓ holds · kurtosis · The kurtosis is 3. Accepted: 2.9 to 3.1."),
        (
            "kurtosis",
            4,
            "✗ FAILS, as recorded: The mixture has heavier tails. · kurtosis · "
            "The kurtosis is 3. Accepted: 2.9 to 3.1.",
        ),
        ("law", math.nan, None),
    ],
)
def test_the_printed_line_is_exact(book, capsys, id, value, line):
    assert claim(id, value) is None
    printed = capsys.readouterr()
    assert printed.err == ""
    if line is None:
        assert printed.out.startswith("✗ FAILS · ")
    else:
        assert printed.out == line + "\n"


def test_the_printed_line_says_nothing_of_the_measured_number(book, capsys):
    lines = set()
    for value in (0.81, 1.0, 1.0000001, np.float32(1.1), torch.ones(7)):
        claim("law", value)
        lines.add(capsys.readouterr().out)
    assert len(lines) == 1


def test_an_unknown_id_is_an_error(book):
    with pytest.raises(ValueError, match=r"^id: no claim 'lore' in claims\.yml"):
        claim("lore", 1.0)


ROW = {"sentence": "A.", "source": "this book", "accepted": "[0, 1]", "why": "B."}


def row_text(**changes):
    row = {**ROW, **changes}
    return "k:\n" + "".join(f"  {n}: {v}\n" for n, v in row.items() if v is not None)


@pytest.mark.parametrize(
    "text",
    [
        *(row_text(**{name: None}) for name in ROW),
        row_text(colour="red"),
        row_text(id="k"),
        row_text(low="0"),
        row_text(accepted="[1, 0]"),
        row_text(accepted="[null, null]"),
        row_text(accepted="[-.inf, .inf]"),
        row_text(accepted="[.inf, null]"),
        row_text(accepted="[.nan, 1]"),
        row_text(accepted="[0, .nan]"),
        row_text(accepted="[0]"),
        row_text(accepted="[0, 1, 2]"),
        row_text(accepted="1"),
        row_text(accepted="[low, high]"),
        "k:\n",
        "k: words\n",
        "k: [0, 1]\n",
    ],
)
def test_a_malformed_row_is_an_error_that_names_it(tmp_path, text):
    with pytest.raises(ValueError, match=r"^claim 'k': "):
        load_text(tmp_path, "good:\n" + row_text().removeprefix("k:\n") + text)


def test_the_good_row_of_those_tests_is_good(tmp_path):
    assert load_text(tmp_path, row_text())["k"] == claims.Claim("k", "A.", "this book", 0, 1, "B.")


def test_a_field_left_blank_is_no_word(tmp_path):
    assert load_text(tmp_path, row_text(fails=" "))["k"].fails == ""


def test_a_sentence_folded_over_lines_is_printed_on_one(tmp_path, monkeypatch, capsys):
    rows = load_text(tmp_path, row_text(sentence=">\n    One\n    two."))
    monkeypatch.setattr(claims, "_book_claims", lambda: rows)
    claim("k", 0.5)
    assert capsys.readouterr().out == "✓ holds · k · One two. Accepted: 0 to 1.\n"


def test_an_id_used_twice_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="k"):
        load_text(tmp_path, row_text() + row_text(accepted="[5, 6]"))


def test_a_file_without_rows_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="claims"):
        load_text(tmp_path, "")


@pytest.mark.skipif(not claims.CLAIMS_FILE.exists(), reason="the book has no claims yet")
def test_the_claims_of_the_book_are_well_formed():
    for key, row in claims.load_claims().items():
        assert key == row.id
        assert row.sentence.endswith(".")
        assert row.why
        assert "\n" not in row.sentence + row.fails


@pytest.mark.parametrize("value", [math.inf, -math.inf, [1.0, math.inf]])
def test_infinity_is_accepted_by_no_interval(value):
    row = {"sentence": "s", "source": "this book", "why": "w"}
    for accepted in ([0, None], [None, 0]):
        low, high = (
            (-math.inf if accepted[0] is None else 0.0),
            (math.inf if accepted[1] is None else 0.0),
        )
        assert not claims.Claim(id="x", low=low, high=high, **row).accepts(value)
