"""The scoreboard is read from what the chapters store, and shown as Markdown."""

import json
import locale
import re
from dataclasses import asdict

import pytest

from vaelib.book import Claim, Verdict, claims, scoreboard, show_tally, show_verdicts
from vaelib.book.origins import EITHER
from vaelib.book.scoreboard import chapters

CLAIMS = {
    "law": Claim("law", "It is 1.", "asperti2019", 0.8, 1.2, "Because.", kind="identity"),
    "error": Claim("error", "Überall klein.", "this book", 0, 3, "Because.", fails="Deep."),
    "count": Claim("count", "Some.", "this book", 2, 9, "Because.", "about 8", kind="before"),
}
# What a chapter prints of each claim: the line, and the row of the table at its end.
LAW = ("✓ holds · law · It is.", "law 3 0.900 1.00 1.10 0.8_to_1.2 ✓_holds")
ERROR = ("✗ FAILS, as recorded: Deep. · error · No.", "error 1 nan nan nan at_most_3 ✗_FAILS")
COUNT = ("✓ holds · count · It is.", "count 2 6 6 6 at_least_2 ✓_holds")
STRANGE = ("✓ holds · lore · It is.", "lore 1 1 1 1 at_least_0 ✓_holds")
HEADER = "claim values least median largest accepted verdict"


def cell(kind, tags=(), **content):
    return {"cell_type": kind, "metadata": {"tags": tags}, **content}


def chapter(title, *checked, tables=None):
    """A notebook that checks these claims and shows these tables, by default what was checked."""
    stream = {"name": "stdout", "text": [f"{line} Accepted: x.\n" for line, _ in checked]}
    # Only the law rests on images.
    code = ['data = load("mnist")\n']
    code += [
        f'claim("{key}", {"data" if key == "law" else "1"})\n'
        for key in (row.split()[0] for _, row in checked)
    ]
    texts = ["<Figure>", ""]
    for rows in [[row for _, row in checked]] if tables is None else tables:
        lines = ["   ".join(row.split()).replace("_", " ") for row in [HEADER, *rows]]
        texts += ["\n".join(lines), "<Figure>"]
    shown = [{"data": {"image/svg+xml": ""}}, *({"data": {"text/plain": text}} for text in texts)]
    return {
        "cells": [
            cell("markdown", source=["(label)=\n", f"{title}\n"]),
            cell("code", ["nbval-check-output"], source=code, outputs=[stream, {}]),
            cell("code", source="table(claim_values())", outputs=shown) | {"metadata": {}},
        ]
    }


@pytest.fixture
def board(tmp_path):
    """The scoreboard of a book with these chapters, in this order."""

    def read(**notebooks):
        folder = tmp_path / "book"
        folder.mkdir()
        rows = {key: asdict(row) for key, row in CLAIMS.items()}
        for row in rows.values():
            row["accepted"] = [row.pop("low"), row.pop("high")]
            del row["id"]
        (folder / "claims.yml").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        for name, content in notebooks.items():
            text = json.dumps(content, ensure_ascii=False)
            (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
        root, *files = notebooks
        toc = f"root: {root}\nparts:\n- chapters:\n  - file: notation\n"
        toc += "".join(f"  - file: {name}\n" for name in files)
        (tmp_path / "_toc.yml").write_text(toc)
        (folder / "left-over.ipynb").write_text("not in the contents: not read")
        return scoreboard(folder)

    return read


def test_the_verdicts_are_in_the_order_of_the_contents(board):
    no_claims = {"cells": [cell("markdown", source="no claims")]}
    verdicts = board(
        start=chapter("# Start", LAW),
        second=no_claims,
        first=chapter("## Only a section", COUNT),
        alpha=chapter("# Größe", ERROR),
    )
    assert verdicts == [
        Verdict(CLAIMS["law"], "start", "Start", True, 3, "0.900", "1.00", "1.10", {EITHER}),
        Verdict(CLAIMS["count"], "first", "first", True, 2, "6", "6", "6"),
        Verdict(CLAIMS["error"], "alpha", "Größe", False, 1, "nan", "nan", "nan"),
    ]
    assert [verdict.spread for verdict in verdicts] == [
        "0.900 to 1.10, median 1.00 (3 values)",
        "6 (2 values)",
        "nan",
    ]


def test_the_chapters_of_the_book_begin_with_its_start_page():
    paths = chapters(claims.book_folder())
    assert paths[0].stem == "index"
    assert sorted(paths) == sorted(claims.book_folder().glob("*.ipynb"))


ROWS = [row for _, row in (LAW, ERROR, COUNT)]


@pytest.mark.parametrize(
    ("notebooks", "message"),
    [
        ([chapter("# A", COUNT)], "no chapter checks: law, error$"),
        ([chapter("# A", LAW, ERROR, COUNT), chapter("# B", LAW)], "'law'.* by a and by b"),
        ([chapter("# A", LAW, ERROR, COUNT, STRANGE)], "^a .*: lore$"),
        ([chapter("# A", LAW, ERROR, COUNT, tables=[])], r"table\(claim_values\(\)\)"),
        ([chapter("# A", LAW, ERROR, COUNT, tables=[ROWS[1:]])], r"table\(claim_values\(\)\)"),
        ([chapter("# A", LAW, ERROR, tables=[ROWS])], r"table\(claim_values\(\)\)"),
    ],
)
def test_a_scoreboard_with_a_gap_is_an_error(board, notebooks, message):
    with pytest.raises(ValueError, match=message):
        board(**dict(zip("ab", notebooks, strict=False)))


def test_of_several_tables_in_a_chapter_the_last_counts(board):
    revised = ["law 5 0.850 1.01 1.15 0.8_to_1.2 ✓_holds", *ROWS[1:]]
    content = chapter("# A", LAW, ERROR, COUNT, tables=[ROWS, revised])
    assert [verdict.values for verdict in board(a=content)] == [5, 1, 2]


def test_the_scoreboard_does_not_depend_on_the_locale(board):
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        verdicts = board(a=chapter("# Größe", LAW, ERROR, COUNT))
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert (verdicts[1].claim.sentence, verdicts[1].title) == ("Überall klein.", "Größe")


def test_verdicts_are_shown_with_source_link_and_reason():
    both, one = frozenset({"mnist", "glyphs"}), frozenset({"mnist"})
    holds = Verdict(CLAIMS["count"], "a", "A", True, 2, "6", "6", "6", both)
    fails = Verdict(CLAIMS["error"], "a", "A", False, 1, "4.00", "4.00", "4.00", one)
    unexplained = Verdict(CLAIMS["law"], "a", "A", False, 1, "4.00", "4.00", "4.00")
    why = "<details><summary>why</summary>Because.</details>"
    assert show_verdicts([holds, fails, unexplained]).data.splitlines() == [
        "| verdict | claim | published | measured | accepted | set when | data |",
        "|---|---|---|---|---|---|---|",
        "| ✓ holds | Some.<br>this book · {ref}`count <claim-count>` "
        f"| about 8 | 6 (2\u00a0values) | 2 to 9{why} | before the runs | MNIST and glyphs |",
        "| **✗ FAILS** | Überall klein.<br>this book · {ref}`error <claim-error>`"
        f"<br>**Why it fails:** Deep. | – | 4.00 | 0 to 3{why} | after | MNIST only |",
        "| **✗ FAILS** | It is 1.<br>{cite:t}`asperti2019` · {ref}`law <claim-law>`"
        f"<br>**Why it fails:** not known | – | 4.00 | 0.8 to 1.2{why} | identity | – |",
    ]


def test_the_numbers_are_read_with_their_true_minus():
    verdict = Verdict(CLAIMS["law"], "a", "A", True, 3, "−1.50", "4.37e−05", "2")
    assert verdict.numbers == (-1.5, 4.37e-05, 2)


@pytest.mark.parametrize(
    ("datasets", "words", "count"),
    [
        ([], "–", 0),
        (["tiles"], "tiles only", 1),
        (["glyphs", "mnist"], "MNIST and glyphs", 2),
        ([EITHER], "MNIST, then glyphs", 2),
        (["glyphs", "tiles", "mnist"], "MNIST and tiles and glyphs", 3),
    ],
)
def test_datasets_are_counted_and_put_in_words(datasets, words, count):
    verdict = Verdict(CLAIMS["law"], "a", "A", True, 1, "1", "1", "1", frozenset(datasets))
    assert (verdict.data, verdict.sets) == (words, count)


HOLDS = Verdict(CLAIMS["count"], "a", "A & B", True, 2, "6", "6", "6", frozenset({EITHER}))
FAILS = Verdict(CLAIMS["error"], "b", "C", False, 1, "4.00", "4.00", "4.00", frozenset({"mnist"}))
IDENTITY = Verdict(CLAIMS["law"], "b", "C", True, 1, "1", "1", "1")


def test_the_heading_may_stand_in_any_cell(board):
    content = chapter("Text.", LAW, ERROR, COUNT)
    content["cells"].insert(1, cell("markdown", source=["# Late\n"]))
    assert {verdict.title for verdict in board(a=content)} == {"Late"}


def test_the_tally_counts_and_has_a_mark_for_each_claim():
    assert repr(show_tally([HOLDS, FAILS, IDENTITY])).splitlines() == [
        "2 of 3 claims hold. 1 fails, and the page says why. "
        "Of the 1 whose interval was set before the runs, 1 hold. "
        "Of the 1 set with the data in view, 0 hold. "
        "The other 1 are identities: they test the code, not the world. "
        "1 were measured on two sets of images, 1 on one.",
        "A & B  ✓",
        "C      ✗✓",
    ]
    assert repr(show_tally([IDENTITY])).startswith("1 of 1 claims hold. None fails. The other 1")
    several = repr(show_tally([HOLDS, FAILS, FAILS])).splitlines()[0]
    assert several.startswith("1 of 3 claims hold. 2 fail, and the page says why. ")
    assert several.endswith(" 1 were measured on two sets of images, 2 on one.")


def test_the_tally_of_a_page_leads_to_what_failed():
    page = show_tally([HOLDS, FAILS, IDENTITY])._repr_html_()
    assert re.findall('href="([^"]*)"', page) == ["#verdict-error"]
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert text.startswith("2 of 3 claims hold. 1 fails, and the page says why. Of the 1 whose")
    assert text.endswith("on one. A &amp; B ✓ C ✗ ✓")


def test_what_was_measured_breaks_between_its_parts_only():
    verdict = Verdict(CLAIMS["law"], "a", "A", True, 3, "0.9", "1", "1.1")
    assert "| 0.9 to 1.1, median\u00a01 (3\u00a0values) |" in show_verdicts([verdict]).data


def test_markup_in_a_sentence_is_shown_as_it_is():
    claim = Claim("x", "KL(Q(z) || P) < $1 *a_b* `c`", "this book", 0, 1, "w")
    row = show_verdicts([Verdict(claim, "a", "A", True, 1, "0", "0", "0")]).data.splitlines()[2]
    assert r"KL(Q(z) \|\| P) \< \$1 \*a\_b\* \`c\`<br>" in row
    assert len(re.split(r"(?<!\\)\|", row)) == 9
