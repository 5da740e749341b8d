"""Claims: the accepted interval, the printed line, and rows that are not claims."""

import contextlib
import json
import locale
import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaelib import Verdict, claim, claim_values, claims, scoreboard, show_verdicts

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
        Fraction(1),
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
    other = row_text().replace("k:", "a:")
    with pytest.raises(ValueError, match=r"^a, k: this id or field is there twice$"):
        load_text(tmp_path, 2 * row_text() + 2 * other)


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


# --- what was measured --------------------------------------------------------------------------


@pytest.fixture
def session(book, monkeypatch):
    monkeypatch.setattr(claims, "_checked", {})
    return book


def values_of(id):
    columns = claim_values()
    place = columns["claim"].index(id)
    return tuple(columns[name][place] for name in ("values", "least", "median", "largest"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.25, (1, 1.25, 1.25, 1.25)),
        ([3.0, 1.0, 1.5], (3, 1.0, 1.5, 3.0)),
        (np.array([[1.0, 2.0], [4.0, 8.0]]), (4, 1.0, 3.0, 8.0)),
        (torch.tensor([0.5, 0.25], dtype=torch.float64), (2, 0.25, 0.375, 0.5)),
        ([torch.tensor(2.0), torch.tensor(1.0)], (2, 1.0, 1.5, 2.0)),
        ([-math.inf, 0.0, math.inf], (3, -math.inf, 0.0, math.inf)),
    ],
)
def test_the_spread_is_that_of_all_numbers(session, value, expected):
    claim("law", value)
    assert values_of("law") == expected
    assert all(type(number) is float for number in values_of("law")[1:])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, (1, 3, 3, 3)),
        ([7, 5, 6], (3, 5, 6, 7)),
        ([7, 5], (2, 5, 6, 7)),
        ([7, 6], (2, 6, 6.5, 7)),
        (np.int8([1, 127]), (2, 1, 64, 127)),
        (torch.tensor([True, False, True]), (3, 0, 1, 1)),
    ],
)
def test_counts_stay_whole_numbers(session, value, expected):
    claim("count", value)
    assert values_of("count") == expected
    assert list(map(type, values_of("count"))) == list(map(type, expected))


def test_nan_is_not_hidden_in_the_spread(session):
    claim("law", [1.0, math.nan])
    assert values_of("law")[0] == 2
    assert all(math.isnan(number) for number in values_of("law")[1:])
    assert claim_values()["verdict"] == ["✗ FAILS"]


def test_the_spread_is_that_of_the_moment_of_the_claim(session):
    value = torch.ones(2, dtype=torch.float64)
    claim("law", value)
    value += 5
    assert values_of("law") == (2, 1.0, 1.0, 1.0)


def test_claims_are_listed_in_their_order_and_the_last_check_counts(session):
    claim("law", 1.0)
    claim("error", 4)
    claim("law", 1.5)
    assert claim_values() == {
        "claim": ["law", "error"],
        "values": [1, 1],
        "least": [1.5, 4],
        "median": [1.5, 4],
        "largest": [1.5, 4],
        "accepted": ["0.8 to 1.2", "at most 3"],
        "verdict": ["✗ FAILS", "✗ FAILS"],
    }


@pytest.mark.parametrize("attempt", [("lore", 1.0), ("law", [])])
def test_what_was_no_check_is_not_listed(session, attempt):
    with pytest.raises(ValueError, match=r"lore|law"):
        claim(*attempt)
    with pytest.raises(ValueError, match=r"^claim_values: expected claims to have been checked"):
        claim_values()


# --- the scoreboard -----------------------------------------------------------------------------

ABOUT_LAW = (
    "✓ holds · law · It is.",
    ["law", "3", "0.900", "1.00", "1.10", "0.8 to 1.2", "✓ holds"],
)
ABOUT_ERROR = ("✗ FAILS · error · No.", ["error", "1", "4", "4", "4", "at most 3", "✗ FAILS"])
ABOUT_COUNT = ("✓ holds · count · It is.", ["count", "2", "6", "6", "6", "at least 2", "✓ holds"])
ABOUT_KURTOSIS = (
    "✗ FAILS, as recorded: The mixture has heavier tails. · kurtosis · No.",
    ["kurtosis", "1", "nan", "nan", "nan", "2.9 to 3.1", "✗ FAILS"],
)


def chapter(title, *found, lines=None, rows=None):
    """A notebook that stores these claim lines and numbers."""
    header = ["claim", "values", "least", "median", "largest", "accepted", "verdict"]
    rows = [row for _, row in found] if rows is None else rows
    shown = "\n".join("   ".join(row) for row in [header, *rows])
    lines = [line for line, _ in found] if lines is None else lines
    printed = [f"{line} Accepted: x.\n" for line in lines]
    return {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["(label)=\n", f"# {title}\n"]},
            {
                "cell_type": "code",
                "metadata": {"tags": ["nbval-check-output"]},
                "outputs": [{"output_type": "stream", "name": "stdout", "text": printed}],
            },
            {
                "cell_type": "code",
                "metadata": {},
                "outputs": [{"output_type": "execute_result", "data": {"text/plain": shown}}],
            },
        ]
    }


def board(tmp_path, rows=ROWS, **chapters):
    """The scoreboard of a book with these chapters, in this order."""
    folder = tmp_path / "book"
    folder.mkdir()
    start, *names = chapters
    listed = [{"file": name} for name in names]
    (tmp_path / "_toc.yml").write_text(json.dumps({"root": start, "parts": [{"chapters": listed}]}))
    (folder / "claims.yml").write_text(rows, encoding="utf-8")
    for name, content in chapters.items():
        text = json.dumps(content, ensure_ascii=False)
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
    return scoreboard(folder)


def test_the_scoreboard_is_read_from_the_chapters_in_their_order(tmp_path):
    found = board(
        tmp_path,
        index=chapter("Start", ABOUT_LAW),
        b=chapter("One", ABOUT_ERROR),
        c={"cells": [{"cell_type": "markdown", "metadata": {}, "source": "no claims"}]},
        a=chapter("Two", ABOUT_COUNT, ABOUT_KURTOSIS),
    )
    rows = claims.load_claims(tmp_path / "book" / "claims.yml")
    assert found == [
        Verdict(rows["law"], "index", "Start", True, 3, "0.900", "1.00", "1.10"),
        Verdict(rows["error"], "b", "One", False, 1, "4", "4", "4"),
        Verdict(rows["count"], "a", "Two", True, 2, "6", "6", "6"),
        Verdict(rows["kurtosis"], "a", "Two", False, 1, "nan", "nan", "nan"),
    ]
    assert [verdict.spread for verdict in found] == [
        "0.900 to 1.10, median 1.00 (3 values)",
        "4",
        "6 (2 values)",
        "nan",
    ]


ALL = (ABOUT_LAW, ABOUT_ERROR, ABOUT_COUNT, ABOUT_KURTOSIS)
STRANGE = ("✓ holds · lore · It is.", ["lore", "1", "1", "1", "1", "at least 0", "✓ holds"])
STRANGER = ("✓ holds · myth · It is.", ["myth", "1", "1", "1", "1", "at least 0", "✓ holds"])


@pytest.mark.parametrize(
    ("chapters", "message"),
    [
        ({"a": chapter("A", *ALL[2:])}, "^claims that no chapter checks: law, error$"),
        ({"a": chapter("A", *ALL), "b": chapter("B", ABOUT_LAW)}, "'law' is checked by a and by b"),
        (
            {"a": chapter("A", *ALL, STRANGE, STRANGER)},
            "^a checks what is not in the file: lore, myth$",
        ),
        ({"a": chapter("A", *ALL, rows=[])}, r"for \[\]: expected a cell"),
        ({"a": chapter("A", *ALL, rows=[r for _, r in ALL[1:]])}, "expected a cell"),
        ({"a": chapter("A", *ALL, lines=[line for line, _ in ALL[1:]])}, "expected a cell"),
    ],
)
def test_a_scoreboard_with_a_gap_is_an_error(tmp_path, chapters, message):
    with pytest.raises(ValueError, match=message):
        board(tmp_path, **chapters)


@pytest.fixture
def no_utf8():
    """A locale in which text is not UTF-8 unless one says so."""
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    yield
    locale.setlocale(locale.LC_CTYPE, before)


def test_the_scoreboard_does_not_depend_on_the_locale(tmp_path, no_utf8):
    rows = ROWS.replace("The error is small", "Der Fehler ist — überall — klein")
    found = board(tmp_path, rows, a=chapter("Größe", *ALL))
    assert [verdict.holds for verdict in found] == [True, False, True, False]
    assert found[1].claim.sentence == "Der Fehler ist — überall — klein."
    assert found[1].title == "Größe"


def test_of_several_tables_in_a_chapter_the_last_counts(tmp_path):
    content = chapter("A", *ALL)
    revised = ["law", "5", "0.850", "1.01", "1.15", "0.8 to 1.2", "✓ holds"]
    content["cells"] += chapter("", lines=[], rows=[revised, *(row for _, row in ALL[1:])])["cells"]
    assert [verdict.values for verdict in board(tmp_path, a=content)] == [5, 1, 2, 1]


def test_other_outputs_are_passed_over(tmp_path):
    content = chapter("A", *ALL)
    others = [
        {"output_type": "display_data", "data": {"image/png": "", "text/plain": "<Figure>"}},
        {"output_type": "display_data", "data": {"image/png": ""}},
        {"output_type": "execute_result", "data": {"text/plain": ""}},
    ]
    for cell in content["cells"][1:]:
        cell["outputs"] = [*others, *cell["outputs"], *others]
    assert len(board(tmp_path, a=content)) == len(ALL)


def test_a_chapter_without_a_heading_is_called_by_its_file_name(tmp_path):
    content = chapter("A", *ALL)
    content["cells"][0]["source"] = ["## Only a section\n"]
    assert {verdict.title for verdict in board(tmp_path, a_b=content)} == {"a_b"}


def test_verdicts_are_shown_with_source_link_and_reason(book):
    holds = Verdict(book["count"], "b", "One", True, 2, "6", "6", "6")
    fails = Verdict(book["kurtosis"], "b", "One", False, 1, "4.00", "4.00", "4.00")
    assert show_verdicts([holds, fails]).data.splitlines() == [
        "| verdict | claim | published | measured | accepted |",
        "|---|---|---|---|---|",
        "| ✓ holds | Some variables are active.<br>this book · {ref}`count <claim-count>` "
        "| about 8 | 6 (2 values) "
        "| at least 2<details><summary>why</summary>Fewer would be none.</details> |",
        "| **✗ FAILS** | The kurtosis is 3.<br>{cite:t}`asperti2020` · "
        "{ref}`kurtosis <claim-kurtosis>`<br>**Why it fails:** The mixture has heavier tails. "
        "| – | 4.00 "
        "| 2.9 to 3.1<details><summary>why</summary>Three digits.</details> |",
    ]


def test_a_failure_that_nobody_has_explained_says_so(book):
    fails = Verdict(book["law"], "b", "One", False, 1, "4.00", "4.00", "4.00")
    assert "<br>**Why it fails:** not known | – | 4.00 |" in show_verdicts([fails]).data


def test_markup_in_a_sentence_is_shown_as_it_is():
    said = claims.Claim("x", "KL(Q(z) || P) < $1 *a_b* `c`", "this book", 0, 1, "w")
    row = show_verdicts([Verdict(said, "a", "A", True, 1, "0", "0", "0")]).data.splitlines()[2]
    assert r"KL(Q(z) \|\| P) \< \$1 \*a\_b\* \`c\`<br>" in row
    assert len(re.split(r"(?<!\\)\|", row)) == 7
