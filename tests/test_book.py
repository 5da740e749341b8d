"""The stored chapters keep what the book promises, and the checks that say so can fail."""

import copy
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import gates
import nbformat
import pytest
import yaml
from conftest import BOOK, CHAPTERS, ROOT
from PIL import Image, ImageChops

from vaelib.book import claims

sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(BOOK / "_ext"))
import chapters
import class_notebooks
import new_chapter
import run_notebooks

MAX_BYTES = 700_000
MAX_RUNS_BYTES = 40_000_000


# --- the chapters -------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", gates.EVERY_NOTEBOOK, ids=lambda gate: gate.__name__)
def test_gate(gate: gates.Gate, notebook: dict[str, Any]) -> None:
    assert gate(notebook) == []


@pytest.mark.parametrize("gate", gates.EVERY_CHAPTER, ids=lambda gate: gate.__name__)
def test_chapter_gate(gate: gates.Gate, chapter: Path, notebook: dict[str, Any]) -> None:
    if chapter.stem != "index":
        assert gate(notebook) == []


def test_chapter_is_small_enough_to_read_in_a_browser(chapter: Path) -> None:
    assert chapter.stat().st_size < MAX_BYTES


def test_there_are_chapters() -> None:
    assert len(CHAPTERS) >= 7


def test_table_of_contents_lists_exactly_the_pages_of_the_book() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]
    pages = [path.stem for pattern in ("*.ipynb", "*.md") for path in BOOK.glob(pattern)]
    assert sorted(listed) == sorted(pages)


def rows_of_the_readme(root: Path) -> tuple[list[str], list[str]]:
    """The rows that list chapters, and what they should be."""
    text = (root / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| .*\.ipynb\) \|.*", text, re.M), [
        f"| [{chapter.title}](book/{name}.ipynb) | {chapter.question} |"
        for name, chapter in chapters.chapters(root / "_toc.yml", root / "book").items()
    ]


def test_the_readme_lists_the_chapters_in_order_and_what_they_ask() -> None:
    found, expected = rows_of_the_readme(ROOT)
    assert found == expected


def test_a_new_chapter_is_listed_and_says_what_is_left_to_do(tmp_path: Path) -> None:
    shutil.copytree(BOOK, tmp_path / "book", ignore=shutil.ignore_patterns("runs", "_static"))
    for name in ("_toc.yml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    path = new_chapter.start(tmp_path, "made-up-chapter", "Few images")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    left = gates.framed(notebook)
    assert left
    assert [complaint for complaint in left if gates.TO_DO not in complaint] == []
    assert gates.public_names_only(notebook) + gates.normal_form(notebook) == []
    found, expected = rows_of_the_readme(tmp_path)
    assert found == expected
    assert any("made-up-chapter" in row for row in found)


@pytest.mark.parametrize("name", ["sparsity", "12-small-data", "Small", ""])
def test_a_chapter_needs_a_new_name_without_a_number(tmp_path: Path, name: str) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "sparsity.ipynb").touch()
    with pytest.raises(SystemExit, match="NAME"):
        new_chapter.start(tmp_path, name, "Few images")


def test_a_class_gets_the_exercises_and_no_solution(
    chapter: Path, notebook: dict[str, Any]
) -> None:
    handed_out = nbformat.read(chapter, as_version=4)
    class_notebooks.without_solutions(handed_out)
    text = gates.prose(handed_out)
    assert text.count(":::{exercise}") == gates.prose(notebook).count(":::{exercise}")
    assert "Solution" not in text
    assert "dropdown" not in text
    # No code is left after the last exercise.
    last = max(n for n, c in enumerate(handed_out.cells) if c.cell_type == "markdown")
    exercises = [n for n, c in enumerate(handed_out.cells) if ":::{exercise}" in c.source]
    between = handed_out.cells[exercises[0] : last] if exercises else []
    assert [cell.source for cell in between if cell.cell_type == "code"] == []


def test_the_build_shows_the_stored_outputs_and_runs_nothing() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["execute"] == {"execute_notebooks": "off", "stderr_output": "error"}


def test_stored_runs_stay_small() -> None:
    runs = [path for path in (BOOK / "runs").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in runs) < MAX_RUNS_BYTES


def test_citations_are_in_the_bibliography() -> None:
    known = set(
        re.findall(r"@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(encoding="utf-8"))
    )
    text = "\n".join(gates.prose(json.loads(path.read_text(encoding="utf-8"))) for path in CHAPTERS)
    text += "\n".join(path.read_text(encoding="utf-8") for path in BOOK.glob("*.md"))
    cited = {key.strip() for keys in gates.CITATION.findall(text) for key in keys.split(",")}
    assert cited
    assert cited <= known


# --- the claims ---------------------------------------------------------------------------------


def claim_rows() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8"))


def test_every_claim_is_checked_by_exactly_one_cell() -> None:
    made = Counter(
        identifier
        for path in CHAPTERS
        for cell in gates.code_cells(json.loads(path.read_text(encoding="utf-8")))
        for identifier in gates.CLAIM_CALL.findall(gates.source(cell))
    )
    assert made == Counter(claim_rows().keys())


def test_every_claim_says_what_by_whom_and_why() -> None:
    known = set(
        re.findall(r"@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(encoding="utf-8"))
    )
    for identifier, row in claim_rows().items():
        for field in ("sentence", "source", "why"):
            assert str(row.get(field, "")).strip(), f"{identifier} lacks {field}"
        assert row["source"] == "this book" or row["source"] in known, identifier


def test_claim_lines_say_what_the_file_says(notebook: dict[str, Any]) -> None:
    rows = claims.load_claims()
    for identifier, line in gates.claim_lines(notebook).items():
        said = rows[identifier]
        assert line.endswith(f" · {identifier} · {said.sentence} Accepted: {said.interval}.")
        assert said.fails in line or not line.startswith("✗")


# --- the scoreboard -----------------------------------------------------------------------------

MIN_CLAIMS, MIN_PUBLISHED = 30, 12
# Verdict, claim with its source and id, published, measured, accepted.
BOARD_ROW = re.compile(
    r"^\| \**(?P<verdict>[✓✗] \w+)\** \| .*<br>.*? · \{ref\}`(?P<id>\S+) <claim-(?P=id)>`"
    r".*? \| .*? \| (?P<measured>[^|]+) \| (?P<accepted>[^|<]+)<details>.*\|$",
    re.M,
)


@pytest.fixture(scope="module")
def scoreboard() -> dict[str, Any]:
    return json.loads((BOOK / "scoreboard.ipynb").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shown(scoreboard: dict[str, Any]) -> str:
    text = "\n".join(text for cell in gates.code_cells(scoreboard) for text in gates.texts(cell))
    return text.replace("\u00a0", " ")


def board_rows(shown: str) -> list[tuple[str, str, str, str]]:
    """Every row of every table of the scoreboard: id, verdict, measured, accepted."""
    return [row.group("id", "verdict", "measured", "accepted") for row in BOARD_ROW.finditer(shown)]


def stored_rows() -> list[tuple[str, str, str, str]]:
    """The same of the cells where the chapters made and measured their claims."""
    found = []
    for path in CHAPTERS:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        lines = gates.claim_lines(notebook)
        for identifier, row in gates.measured_rows(notebook).items():
            if row["values"] == "1":
                words = row["median"]
            elif row["least"] == row["largest"]:
                words = f"{row['median']} ({row['values']} values)"
            else:
                middle = f"median {row['median']} ({row['values']} values)"
                words = f"{row['least']} to {row['largest']}, {middle}"
            found.append((identifier, lines[identifier][:7], words, row["accepted"]))
    return found


def test_the_scoreboard_shows_every_claim_as_its_chapter_stored_it(shown: str) -> None:
    assert set(board_rows(shown)) == set(stored_rows())
    assert {identifier for identifier, *_ in stored_rows()} == set(claim_rows())


@pytest.mark.parametrize(("old", "new"), [("✓ holds", "✗ FAILS"), (" values)", "0 values)")])
def test_a_scoreboard_that_drifted_is_noticed(shown: str, old: str, new: str) -> None:
    assert old in shown
    assert set(board_rows(shown.replace(old, new, 1))) != set(stored_rows())


def test_the_scoreboard_discusses_every_claim_that_fails(scoreboard: dict[str, Any]) -> None:
    text = gates.prose(scoreboard)
    failed = [identifier for identifier, verdict, *_ in stored_rows() if "FAILS" in verdict]
    assert [identifier for identifier in failed if f"<claim-{identifier}>`" not in text] == []


def test_there_is_enough_on_the_scoreboard() -> None:
    rows = claim_rows().values()
    outside = [row for row in rows if row.get("published") and row["source"] != "this book"]
    assert len(rows) >= MIN_CLAIMS
    assert len(outside) >= MIN_PUBLISHED


def test_the_scoreboard_is_stored_after_all_it_reads() -> None:
    assert run_notebooks.chapters([])[-1].stem == "scoreboard"


# --- the gates can fail -------------------------------------------------------------------------


def figure_cell() -> dict[str, Any]:
    cell = nbformat.v4.new_code_cell("plot()", execution_count=2, id="figure")
    cell.metadata = {
        "mystnb": {"image": {"alt": "a line"}, "figure": {"caption": "A line.", "name": "fig-line"}}
    }
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})]
    return cell


SMALL = """(chap-small)=
# Small

:::{opening} fig-line
*Is it?* Of 4 it is.

**Needed:** Nothing.
:::

{numref}`fig-line`

:::{guess} number
:answer: 4
:high: 1000
How many?

---
Of 4 it is.
:::

## Further reading
"""


def small_book() -> dict[str, Any]:
    """A chapter that passes every gate."""
    hello = nbformat.v4.new_code_cell("print(2 + 2)", execution_count=1, id="hello")
    hello.outputs = [nbformat.v4.new_output("stream", text="4\n")]
    claim = nbformat.v4.new_code_cell('claim("small", 1)', execution_count=3, id="claim")
    claim.metadata = {"tags": ["nbval-check-output"]}
    claim.outputs = [
        nbformat.v4.new_output("stream", text="✓ holds · small · It is. Accepted: 0 to 2.\n")
    ]
    values = nbformat.v4.new_code_cell(gates.CLAIM_VALUES, execution_count=4, id="values")
    cells = ["small", "1", "1.00", "1.00", "1.00", "0 to 2", "✓ holds"]
    data = {
        "text/plain": f"{'  '.join(gates.CLAIM_COLUMNS)}\n{'  '.join(cells)}",
        "text/html": "".join(f"<td>{cell}</td>" for cell in cells),
    }
    values.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=4)]
    text = nbformat.v4.new_markdown_cell(SMALL, id="text")
    notebook = nbformat.v4.new_notebook(cells=[text, hello, figure_cell(), claim, values])
    run_notebooks.normalise(notebook)
    return json.loads(nbformat.writes(notebook))


def code(notebook: dict[str, Any], number: int) -> dict[str, Any]:
    return gates.code_cells(notebook)[number]


def replace(notebook: dict[str, Any], old: str, new: str) -> None:
    """Change the text of the small book."""
    cell = notebook["cells"][0]
    assert old in gates.source(cell)
    cell["source"] = gates.source(cell).replace(old, new)


def say(notebook: dict[str, Any], old: str, new: str, kinds: str = "text/") -> None:
    """Change what the small book says it measured."""
    data = code(notebook, 3)["outputs"][0]["data"]
    for kind in data:
        if kind.startswith(kinds):
            data[kind] = gates.text_of(data[kind]).replace(old, new)


def stream(name: str, text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


SPOILED = {
    "stripped counts": (gates.executed_in_order, lambda n: code(n, 0).update(execution_count=None)),
    "counts out of order": (
        gates.executed_in_order,
        lambda n: code(n, 0).update(execution_count=7),
    ),
    "stripped outputs": (gates.outputs_present, lambda n: code(n, 0).update(outputs=[])),
    "a table that is not shown": (
        gates.nothing_lost,
        lambda n: code(n, 0).update(source="table({'x': [1]})\nprint(2)"),
    ),
    "stripped claim": (gates.claims_compared, lambda n: code(n, 2).update(outputs=[])),
    "stderr": (
        gates.no_errors,
        lambda n: code(n, 0)["outputs"].append(stream("stderr", "warning")),
    ),
    "exception": (
        gates.no_errors,
        lambda n: code(n, 0)["outputs"].append(
            {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
        ),
    ),
    "path in an output": (
        gates.no_local_paths,
        lambda n: code(n, 0)["outputs"].append(stream("stdout", "/home/someone/x")),
    ),
    "path in the text": (gates.no_local_paths, lambda n: n["cells"][0].update(source="in /tmp/x")),
    "figure without alt": (
        gates.figures_described,
        lambda n: code(n, 1)["metadata"]["mystnb"].pop("image"),
    ),
    "figure with empty caption": (
        gates.figures_described,
        lambda n: code(n, 1)["metadata"]["mystnb"]["figure"].update(caption=" "),
    ),
    "figure not referred to": (
        gates.figures_described,
        lambda n: n["cells"][0].update(source="no"),
    ),
    "table without a caption": (
        gates.tables_described,
        lambda n: code(n, 0).update(source="table({'x': [1]})"),
    ),
    "table with an empty caption": (
        gates.tables_described,
        lambda n: code(n, 0).update(source="shown = table(\n    {'x': [1]}, caption=''\n)"),
    ),
    "number that no cell shows": (
        gates.numbers_shown,
        lambda n: n["cells"][0].update(source="It is 4.56 nats. See {numref}`fig-line`."),
    ),
    "number that no cell shows, in a caption": (
        gates.numbers_shown,
        lambda n: code(n, 1)["metadata"]["mystnb"]["figure"].update(caption="It is 4.56 nats."),
    ),
    "guess whose answer no cell prints": (
        gates.guesses_printed,
        lambda n: replace(n, ":answer: 4", ":answer: 5"),
    ),
    "chapter without an opening": (gates.framed, lambda n: replace(n, "{opening}", "{note}")),
    "long cell": (gates.cells_short, lambda n: code(n, 0).update(source="x = 1\n" * 26)),
    **{
        f"number of another form: {said}": (
            gates.numbers_shown,
            lambda n, said=said: replace(n, "Nothing.", f"It {said}"),
        )
        for said in ("is 0.4371.", "is 12,345.678 nats.", "has 67 variables.", "is 43 %, of all")
    },
    "chapter without a label": (gates.framed, lambda n: replace(n, "(chap-small)=", "")),
    "chapter without a question": (gates.framed, lambda n: replace(n, "*Is it?*", "Is it?")),
    "chapter without further reading": (gates.framed, lambda n: replace(n, "## Further", "## No")),
    "title with a number": (gates.framed, lambda n: replace(n, "# Small", "# 3 Small")),
    "chapter referred to by a number": (
        gates.framed,
        lambda n: replace(n, "Nothing.", "Chapter 2."),
    ),
    "something left to do": (gates.framed, lambda n: replace(n, "Nothing.", "TO DO: what?")),
    "private module": (
        gates.public_names_only,
        lambda n: code(n, 0).update(source="from vaelib._store import x"),
    ),
    "module of the laboratory": (
        gates.public_names_only,
        lambda n: code(n, 0).update(source="from vaelib.lab.run import x"),
    ),
    "submodule": (
        gates.public_names_only,
        lambda n: code(n, 0).update(source="import vaelib.data"),
    ),
    "claim without tag": (gates.claims_compared, lambda n: code(n, 2)["metadata"].pop("tags")),
    "tag without claim": (gates.claims_compared, lambda n: code(n, 2).update(source="print(1)")),
    "number beside a claim": (
        gates.claims_compared,
        lambda n: code(n, 2)["outputs"].append(stream("stdout", "0.123\n")),
    ),
    "claim that fails": (
        gates.claims_compared,
        lambda n: code(n, 2).update(outputs=[stream("stdout", "✗ FAILS · small · It is.\n")]),
    ),
    "claim without its numbers": (gates.claims_measured, lambda n: n["cells"].pop()),
    "numbers before the claim": (
        gates.claims_measured,
        lambda n: n["cells"].insert(0, n["cells"].pop()),
    ),
    "numbers without a claim": (gates.claims_measured, lambda n: n["cells"].pop(-2)),
    "numbers shown twice": (gates.claims_measured, lambda n: n["cells"].append(n["cells"][-1])),
    "numbers of another claim": (gates.claims_measured, lambda n: say(n, "small", "large")),
    "number that refutes its verdict": (gates.claims_measured, lambda n: say(n, "1.00", "2.10")),
    "another verdict than the claim's": (
        gates.claims_measured,
        lambda n: say(n, "✓ holds", "✗ FAILS"),
    ),
    "another number for the browser": (
        gates.claims_measured,
        lambda n: say(n, "1.00", "1.01", "text/html"),
    ),
    "cell that escapes": (
        gates.nothing_escapes,
        lambda n: code(n, 0)["metadata"].update(tags=["nbval-ignore-output"]),
    ),
    "comment that escapes": (
        gates.nothing_escapes,
        lambda n: code(n, 0).update(source="# NBVAL_SKIP\nprint(1)"),
    ),
    "kernel of one machine": (gates.normal_form, lambda n: n["metadata"].update(kernelspec={})),
    "timing of one run": (
        gates.normal_form,
        lambda n: code(n, 0)["metadata"].update(execution={"shell.execute_reply": "now"}),
    ),
}


@pytest.mark.parametrize(
    "gate", [*gates.EVERY_NOTEBOOK, *gates.EVERY_CHAPTER], ids=lambda gate: gate.__name__
)
def test_gate_accepts_a_good_notebook(gate: gates.Gate) -> None:
    assert gate(small_book()) == []


@pytest.mark.parametrize("what", SPOILED)
def test_gate_notices(what: str) -> None:
    gate, spoil = SPOILED[what]
    notebook = copy.deepcopy(small_book())
    spoil(notebook)
    assert gate(notebook) != []


@pytest.mark.parametrize(
    ("source", "tags"),
    [("table({'x': [1]}, caption='Ones.')", []), ("table({'x': [1]})", [gates.NUMBERS])],
)
def test_a_table_has_a_caption_or_is_the_numbers_of_a_figure(source: str, tags: list[str]) -> None:
    notebook = small_book()
    code(notebook, 0).update(source=source, metadata={"tags": tags})
    assert gates.tables_described(notebook) == []


@pytest.mark.parametrize("said", ["below 0.001", "of 0.0000437", "down by 12.35", "of 12.4"])
def test_a_number_of_the_text_may_be_a_bound_or_have_a_true_minus_or_an_exponent(said: str) -> None:
    notebook = small_book()
    code(notebook, 0)["outputs"] = [stream("stdout", "< 0.001  −12.35  4.37e−05")]
    replace(notebook, "Nothing.", f"It is {said}.")
    assert gates.numbers_shown(notebook) == []


def test_a_claim_below_zero_is_compared_with_its_true_minus() -> None:
    row = {"least": "−1.50", "largest": "−0.5", "accepted": "−2 to 0", "verdict": "✓ holds"}
    assert not gates.contradicts(row)
    assert gates.contradicts({**row, "least": "−2.50"})
    assert gates.contradicts({**row, "accepted": "at least −1"})


def test_every_gate_is_seen_failing() -> None:
    assert {gate for gate, _ in SPOILED.values()} == {*gates.EVERY_NOTEBOOK, *gates.EVERY_CHAPTER}


# --- storing a chapter ---------------------------------------------------------------------------


def test_a_progress_bar_is_not_stored_and_a_warning_is() -> None:
    cell = nbformat.v4.new_code_cell("x")
    bar = "\r  0%|          | 0/2 [00:00<?, ?run/s]\r100%|████| 2/2 [00:01<00:00, 1.9run/s]\n"
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stderr", text=text)
        for text in (bar, f"{bar}a warning\n")
    ]
    run_notebooks.normalise(nbformat.v4.new_notebook(cells=[cell]))
    assert [output.text for output in cell.outputs] == ["a warning\n"]


def test_only_what_mnist_gives_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAELIB_DATASET", "glyphs")
    monkeypatch.setattr(sys, "argv", ["run_notebooks.py", "index"])
    with pytest.raises(SystemExit, match="MNIST"):
        run_notebooks.main()


# --- the front page ------------------------------------------------------------------------------


def test_the_picture_of_the_readme_is_the_one_the_intro_computed() -> None:
    intro = json.loads((BOOK / "index.ipynb").read_text(encoding="utf-8"))
    drawing = next(
        gates.text_of(output["data"]["image/svg+xml"])
        for cell in gates.code_cells(intro)
        for output in cell["outputs"]
        if "image/svg+xml" in output.get("data", {})
    )
    with Image.open(BOOK / "_static" / "overview.png") as stored:
        apart = ImageChops.difference(stored.convert("L"), run_notebooks.overview(drawing))
    assert apart.getextrema()[1] <= 8, "run `make notebooks`, which makes it"
