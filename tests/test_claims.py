"""Claims: rows of the file, accepted intervals, printed lines, and what was measured."""

import math
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vaelib
from vaelib.book import Claim, claim, claim_values, claims

few = settings(deadline=None, max_examples=60, database=None)
finite = st.floats(allow_nan=False, allow_infinity=False)

ROWS = """
law: {sentence: They add up., source: asperti2019, kind: identity, accepted: [0.8, 1.2], why: S.}
error:
  sentence: >
    The error
    is small.
  source: this book
  kind: before
  accepted: [null, 3]
  why: It is.
  published:
  fails: " "
count: {sentence: Some., source: this book, kind: after, accepted: [2, null], why: N., published: 8}
shape: {sentence: It is 3., source: a2020, kind: after, accepted: [2.9, 3.1], why: D, fails: Tails.}
"""


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A session of a book with these claims, in which none has been checked."""
    (tmp_path / "claims.yml").write_text(ROWS, encoding="utf-8")
    monkeypatch.setattr(claims, "book_folder", lambda: tmp_path)
    monkeypatch.setattr(claims, "_checked", {})


def make(low, high):
    return Claim("x", "s", "this book", low, high, "w")


# --- the file -------------------------------------------------------------------------------------


def test_rows_are_read_as_written(session):
    assert list(claims.load_claims().values()) == [
        Claim("law", "They add up.", "asperti2019", 0.8, 1.2, "S.", kind="identity"),
        Claim("error", "The error is small.", "this book", -math.inf, 3, "It is.", kind="before"),
        Claim("count", "Some.", "this book", 2, math.inf, "N.", published="8", kind="after"),
        Claim("shape", "It is 3.", "a2020", 2.9, 3.1, "D", fails="Tails.", kind="after"),
    ]


ROW = {"sentence": "A.", "source": "this book", "kind": "after", "accepted": "[0, 1]", "why": "B."}
INTERVALS = (
    "[1, 0]|[null, null]|[-.inf, .inf]|[.inf, null]|[.nan, 1]|[0, .nan]|[0]|[0, 1, 2]|1|[a, b]"
)


def row_text(**changes):
    row = ROW | changes
    return "k:\n" + "".join(f"  {n}: {v}\n" for n, v in row.items() if v is not None)


MALFORMED = [
    *(row_text(**{name: None}) for name in ROW),
    *(row_text(accepted=text) for text in INTERVALS.split("|")),
    *(row_text(**{name: "1"}) for name in ("colour", "id", "low")),
    *(row_text(kind=word) for word in ("Before", "", "[after]")),
    *("k:\n", "k: words\n", "k: [0, 1]\n"),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_row_is_an_error_that_names_it(tmp_path, text):
    path = tmp_path / "claims.yml"
    path.write_text(row_text().replace("k:", "good:") + text)
    with pytest.raises(ValueError, match=r"^claim 'k': "):
        claims.load_claims(path)


@pytest.mark.parametrize("text", ["", "- law\n", row_text() + row_text()])
def test_a_file_without_rows_or_with_two_of_an_id_is_an_error(tmp_path, text):
    path = tmp_path / "claims.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^k: " if text.startswith("k") else "claims"):
        claims.load_claims(path)


def test_the_claims_of_the_book_are_sentences():
    for key, row in claims.load_claims().items():
        assert key == row.id
        assert row.sentence.endswith(".")
        assert row.why


WITHOUT = """
from vaelib.book import claim, scoreboard
for call in (lambda: claim("law", 1.0), scoreboard):
    try:
        call()
    except FileNotFoundError as error:
        print(error)
"""


def test_without_the_book_an_error_says_what_is_missing(tmp_path):
    shutil.copytree(Path(vaelib.__file__).parent, tmp_path / "vaelib")
    printed = subprocess.check_output([sys.executable, "-c", WITHOUT], cwd=tmp_path, text=True)
    assert printed.count("pip install -e") == len(printed.splitlines()) == 2


# --- the interval ---------------------------------------------------------------------------------


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


def test_an_interval_has_a_true_minus():
    assert make(-2, 1e-9).interval == "−2 to 1e−09"
    assert make(-2, math.inf).interval == "at least −2"
    assert make(-math.inf, -0.5).interval == "at most −0.5"


@pytest.mark.parametrize("interval", [(0, 1), (-math.inf, 1), (0, math.inf)])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_never_accepted(interval, bad):
    for value in (bad, np.array([0.5, bad]), torch.tensor([[0.5], [bad]]), [0.5, bad]):
        assert make(*interval).accepts(value) is False


NO_NUMBERS = [True, torch.tensor([True]), "0.999", ["1", "1"], None, [1, "a"], 1j, Fraction(1)]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_refused(session, value):
    with pytest.raises(ValueError, match=r"^value: "):
        claim("law", value)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [("law", [], "value"), ("law", torch.zeros(0), "value"), ("a", 1, "key")],
)
def test_what_was_no_check_leaves_nothing(session, capsys, key, value, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        claim(key, value)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match=r"^claim_values: "):
        claim_values()


# --- the printed line -----------------------------------------------------------------------------

GRAD = torch.ones(7, requires_grad=True)


@pytest.mark.parametrize(
    ("key", "values", "line"),
    [
        ("law", [0.81, [1.0, 1.19], GRAD], "✓ holds · law · They add up. Accepted: 0.8 to 1.2."),
        ("law", [1.21, math.nan, [1, 2]], "✗ FAILS · law · They add up. Accepted: 0.8 to 1.2."),
        ("error", [3, -5.0], "✓ holds · error · The error is small. Accepted: at most 3."),
        ("error", [3.01], "✗ FAILS · error · The error is small. Accepted: at most 3."),
        ("count", [2, 9], "✓ holds · count · Some. Accepted: at least 2."),
        ("shape", [3], "✓ holds · shape · It is 3. Accepted: 2.9 to 3.1."),
        ("shape", [4], "✗ FAILS, as recorded: Tails. · shape · It is 3. Accepted: 2.9 to 3.1."),
    ],
)
def test_the_printed_line_says_nothing_of_the_measured_number(session, capsys, key, values, line):
    for value in values:
        claim(key, value)
        assert capsys.readouterr() == (line + "\n", "")


def test_each_book_has_claims_of_its_own(session, tmp_path, monkeypatch, capsys):
    claim("law", 1)
    (tmp_path / "claims.yml").rename(tmp_path.parent / "claims.yml")
    monkeypatch.setattr(claims, "book_folder", lambda: tmp_path.parent)
    (tmp_path.parent / "claims.yml").write_text(row_text(), encoding="utf-8")
    claim("k", 0.5)
    assert capsys.readouterr().out.endswith("✓ holds · k · A. Accepted: 0 to 1.\n")


# --- what was measured ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.25, (1, 1.25, 1.25, 1.25)),
        ([3.0, 1.0, 1.5], (3, 1.0, 1.5, 3.0)),
        (np.array([[1.0, 2.0], [4.0, 8.0]]), (4, 1.0, 3.0, 8.0)),
        (torch.tensor([0.5, 0.25], dtype=torch.float64), (2, 0.25, 0.375, 0.5)),
        ([torch.tensor(2.0), torch.tensor(1.0)], (2, 1.0, 1.5, 2.0)),
        ([-math.inf, 0.0, math.inf], (3, -math.inf, 0.0, math.inf)),
        ([1.0, math.nan], (2, math.nan, math.nan, math.nan)),
        # Counts stay whole numbers.
        (3, (1, 3, 3, 3)),
        ([7, 5], (2, 5, 6, 7)),
        ([7, 6], (2, 6, 6.5, 7)),
        (np.int8([1, 127]), (2, 1, 64, 127)),
    ],
)
def test_the_spread_is_that_of_all_numbers(session, value, expected):
    claim("law", value)
    _, *spread, _, _ = claims._checked["law"]
    assert spread == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    assert list(map(type, spread)) == list(map(type, expected))


def test_claims_are_listed_in_their_order_with_the_last_check_as_it_was(session):
    changed_later = np.array([1.5])
    claim("law", 1.0)
    claim("error", 4)
    claim("law", changed_later)
    changed_later += 5
    assert claim_values() == {
        # The rows have different units: each has digits of its own.
        **{name: ["1.50", "4"] for name in ("least", "median", "largest")},
        "claim": ["law", "error"],
        "values": [1, 1],
        "accepted": ["0.8 to 1.2", "at most 3"],
        "verdict": ["✗ FAILS", "✗ FAILS"],
    }
