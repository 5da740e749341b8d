"""What must be true of a stored chapter. A gate takes a notebook and returns its complaints."""

import ast
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Notebook = dict[str, Any]
Cell = dict[str, Any]
Gate = Callable[[Notebook], list[str]]

MAX_LINES = 25
SVG = "image/svg+xml"
SHOWN_AT_THE_END = {"table", "show_source", "show_tally", "show_verdicts"}
TO_DO = "TO DO"  # what `make new-chapter` leaves to fill in
FRAME = {
    "a label": r"^\(chap-[\w-]+\)=$",
    "a title": r"^# \S",
    "an opening": r"^:::\{opening\}",
    "a question": r"^\*[^*]+\*",
}
# What the build makes: numbers of chapters, sections, figures and exercises.
TYPED = re.compile(
    r"^#+ (?:\d|Exercise\b).*|\b(?:[Cc]hapter|[Ee]xercise|[Ss]ection|[Ff]igure)s? \d+(?:\.\d+)*",
    re.M,
)
CLAIM_CELL = "nbval-check-output"
NUMBERS = "numbers"  # the tag of a table of the numbers behind a figure
# Tags with which a cell would escape being compared.
FORBIDDEN_TAGS = {"nbval-skip", "nbval-ignore-output", "raises-exception", "skip-execution"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
CELL_METADATA = {"mystnb", "tags"}
LOCAL_PATH = re.compile(r"(?<![\w.])(/home/|/root/|/work/|/tmp/|/Users/|/var/folders/|[A-Z]:\\\\)")
CLAIM_VALUES = "table(claim_values())"
CLAIM_COLUMNS = ["claim", "values", "least", "median", "largest", "accepted", "verdict"]
CLAIM_CALL = re.compile(r"\bclaim\(\s*[\"']([^\"']+)[\"']")
CLAIM_LINE = re.compile(r"^[✓✗] (?:holds|FAILS)\b.* · (?P<id>[\w.-]+) · ")
PRIVATE_IMPORT = re.compile(
    r"^\s*(?:from\s+vaelib\.(?!(?:lab|book)\s)\S*\s+import|import\s+vaelib\.|"
    r"from\s+vaelib\S*\s+import\s+.*\b_\w+)|\bvaelib\._",
    re.M,
)
# A number of the text: 0.4371, 12,345.678, 67; not a part of a name or of a list as 784-256-64.
NUMBER = re.compile(r"(?<![\w.,/@^])(?<!\w-)\d+(?:,\d{3})*(?:\.\d+)?(?!\w|-\w|[.,]\d)")
SHOWN = re.compile(r"\d+(?:[,_]\d{3})*(?:\.\d+)?(?:e[-−]?\d+)?")
SENTENCES = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=- )")
SOURCES = ("{cite", "](http")
FORMULAS_AND_CODE = re.compile(
    r"\$\$.*?\$\$|```.*?```|!\[.*?\]\([^)]*\)|\$[^$]*\$|(?:\{[\w:]+\})?`[^`]*`", re.S
)
LEAST_WHOLE = 11  # below it a number is a word ("2 of 3"), and nearly every one is shown somewhere
# Known without a cell: a bit in nats; MNIST; the 16 variables; the images a gain is measured on.
KNOWN = (math.log(2), 28, 784, 255, 10_000, 60_000, 16, 2_000)
ENDS_OF_A_SCALE = re.compile(r"^:(?:low|high):.*", re.M)
ANSWER = re.compile(r"^:answer: *[-−]?(\S+)(?:\n:unit: *(%|per cent))?", re.M)
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")


def source(cell: Cell) -> str:
    """Text of a cell."""
    return text_of(cell["source"])


def text_of(value: str | list[str]) -> str:
    """Join what a notebook may store as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def number_of(text: str) -> float:
    """A number as a table shows it, with a true minus."""
    return float(text.replace("−", "-"))


def code_cells(notebook: Notebook) -> list[Cell]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def prose(notebook: Notebook) -> str:
    """All the text of a chapter."""
    return "\n\n".join(
        source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"
    )


def tags(cell: Cell) -> set[str]:
    """Tags of a cell."""
    return set(cell["metadata"].get("tags", []))


def has_image(cell: Cell) -> bool:
    """Whether a cell's output shows a picture."""
    return any(SVG in output.get("data", {}) for output in cell.get("outputs", []))


def printed(cell: Cell) -> str:
    """What a cell wrote to standard output."""
    return "".join(
        text_of(output["text"])
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )


def texts(cell: Cell) -> Iterator[str]:
    """Every textual output of a cell."""
    for output in cell.get("outputs", []):
        if "text" in output:
            yield text_of(output["text"])
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/") and isinstance(value, str | list):
                yield text_of(value)


def expects_output(cell: Cell) -> bool:
    """Whether a cell plainly shows something: by a print, a claim, a value on its last line."""
    code = source(cell)
    if re.search(r"^\s*(print|claim|show_\w+|display|table)\(", code, re.M):
        return True
    if code.rstrip().endswith(";"):
        return False
    last = code.rstrip().splitlines()[-1] if code.strip() else ""
    return bool(re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", last)) and last not in {
        "pass",
        "break",
        "continue",
    }


def executed_in_order(notebook: Notebook) -> list[str]:
    """Execution counts are 1, 2, 3, …: run from top to bottom in a fresh kernel, and stored so."""
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    expected = list(range(1, len(counts) + 1))
    return [] if counts == expected else [f"execution counts are {counts}: run `make notebooks`"]


def outputs_present(notebook: Notebook) -> list[str]:
    """What shows something has its output stored."""
    return [
        f"cell {number} shows something but has no output: {source(cell)[:60]!r}"
        for number, cell in enumerate(code_cells(notebook), 1)
        if expects_output(cell) and not cell["outputs"]
    ]


def nothing_lost(notebook: Notebook) -> list[str]:
    """A table, or a source, is the last thing in its cell: Jupyter shows no other value."""
    return [
        f"cell {number} shows nothing of its {statement.value.func.id}(...), which is not its end"
        for number, cell in enumerate(code_cells(notebook), 1)
        for statement in ast.parse(source(cell)).body[:-1]
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id in SHOWN_AT_THE_END
    ]


def no_errors(notebook: Notebook) -> list[str]:
    """No stored output is an exception or standard error."""
    return [
        f"cell {number} has an output of kind {output.get('name', output['output_type'])}"
        for number, cell in enumerate(code_cells(notebook), 1)
        for output in cell["outputs"]
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]


def no_local_paths(notebook: Notebook) -> list[str]:
    """Neither text nor outputs name a folder of somebody's machine."""
    complaints = []
    for number, cell in enumerate(notebook["cells"], 1):
        for text in (source(cell), *texts(cell)):
            if found := LOCAL_PATH.search(text):
                complaints.append(f"cell {number} names a local path: {found.group()}")
    return complaints


def figures_described(notebook: Notebook) -> list[str]:
    """Each figure has alt text, a caption and a name, and the text refers to it by that name."""
    complaints = []
    words = prose(notebook)
    names = []
    for number, cell in enumerate(code_cells(notebook), 1):
        settings = cell["metadata"].get("mystnb", {})
        figure, image = settings.get("figure", {}), settings.get("image", {})
        if not has_image(cell):
            if figure or image:
                complaints.append(f"cell {number} is described as a figure but has none")
            continue
        for what, value in (
            ("mystnb.image.alt", image.get("alt")),
            ("mystnb.figure.caption", figure.get("caption")),
            ("mystnb.figure.name", figure.get("name")),
        ):
            if not str(value or "").strip():
                complaints.append(f"cell {number}: the figure lacks {what}")
        pictures = sum(SVG in output.get("data", {}) for output in cell["outputs"])
        if pictures > 1:
            complaints.append(f"cell {number} has {pictures} figures: one caption fits one")
        if name := figure.get("name"):
            names.append(name)
            if not re.search(rf"\{{numref\}}`(?:[^`<]*<)?{re.escape(name)}>?`", words):
                complaints.append(f"figure {name} is not referred to by {{numref}}")
    complaints += [
        f"figure name {name} is used twice" for name in set(names) if names.count(name) > 1
    ]
    return complaints


def tables_described(notebook: Notebook) -> list[str]:
    """A table has a caption, or holds the numbers of the figure before it and folds with it."""
    return [
        f'cell {number}: the table lacks caption="…", or the cell the tag {NUMBERS}'
        for number, cell in enumerate(code_cells(notebook), 1)
        if NUMBERS not in tags(cell) and source(cell).strip() != CLAIM_VALUES
        for node in ast.walk(ast.parse(source(cell)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "table"
        and not any(
            word.arg == "caption"
            and not (isinstance(word.value, ast.Constant) and not word.value.value)
            for word in node.keywords
        )
    ]


def numbers_shown(notebook: Notebook) -> list[str]:
    """A number in the text or a caption is one that a cell says or prints, rounded.

    A number in a formula or in code needs no cell, and neither does a sentence or a table with a
    citation or a link. Not seen: numbers written as words, whole numbers up to 10, alt texts, and
    a number in the place of another that some cell shows too.
    """
    cells = code_cells(notebook)
    captions = (
        cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption") for cell in cells
    )
    sentences = SENTENCES.split("\n\n".join([prose(notebook), *filter(None, captions)]))
    own = "\n".join(text for text in sentences if not any(mark in text for mark in SOURCES))
    shown = numbers_in(text for cell in cells for text in (source(cell), *texts(cell)))
    words = FORMULAS_AND_CODE.sub(" ", ENDS_OF_A_SCALE.sub("", own))
    return [
        f"the text says {said.group()}, which no cell shows"
        for said in NUMBER.finditer(words)
        if not is_rounded(said.group(), re.match(r"\s?(%|per cent)", words[said.end() :]), shown)
    ]


def numbers_in(texts: Iterable[str]) -> list[float]:
    """The numbers that stand in texts."""
    return [number_of(re.sub("[,_]", "", n)) for text in texts for n in SHOWN.findall(text)]


def guesses_printed(notebook: Notebook) -> list[str]:
    """What a guess is compared with is printed by a cell, however small the number."""
    printed = numbers_in(text for cell in code_cells(notebook) for text in texts(cell))
    return [
        f"the answer to a guess is {answer}, which no cell prints"
        for answer, percent in ANSWER.findall(prose(notebook))
        if not is_one_of(answer, percent, printed)
    ]


def is_rounded(said: str, percent: object, shown: list[float]) -> bool:
    """Whether a number said is one of those shown, or known, to the digits it is said with."""
    if said.isdigit() and int(said) < LEAST_WHOLE:
        return True
    return is_one_of(said, percent, [*KNOWN, *shown])


def is_one_of(said: str, percent: object, shown: list[float]) -> bool:
    """Whether a number is one of others, to the digits it is said with."""
    number, decimals = float(said.replace(",", "")), len(said.partition(".")[2])
    zeros = 0 if decimals else len(said) - len(said.rstrip("0"))
    # Half a unit of the last digit that is not a zero, and a little for both being rounded.
    room = 0.501 * 10.0 ** (zeros - decimals)
    scales = (1, 100) if percent else (1,)
    return any(abs(scale * x - number) <= room for x in shown for scale in scales)


def cells_short(notebook: Notebook) -> list[str]:
    """A cell fits on the screen beside its explanation."""
    return [
        f"cell {number} has {lines} lines, more than {MAX_LINES}"
        for number, cell in enumerate(code_cells(notebook), 1)
        if (lines := len(source(cell).splitlines())) > MAX_LINES
    ]


def framed(notebook: Notebook) -> list[str]:
    """A chapter has a label, a title, an opening and further reading, and leaves nothing to do.

    The build makes the table of chapters from the opening, and all numbers: none is typed.
    """
    first, text = source(notebook["cells"][0]), prose(notebook)
    complaints = [
        f"the first cell lacks {what}"
        for what, pattern in FRAME.items()
        if not re.search(pattern, first, re.M)
    ]
    complaints += [f"the build makes this number: {typed}" for typed in TYPED.findall(text)]
    if "\n## Further reading" not in text:
        complaints.append("no section *Further reading*")
    everything = "\n".join([text, *map(source, code_cells(notebook))])
    complaints += re.findall(rf".*{TO_DO}.*", everything)
    return complaints


def public_names_only(notebook: Notebook) -> list[str]:
    """Chapters use what the package's three rooms export and nothing behind it."""
    return [
        f"cell {number} reaches into the package: {found.group().strip()!r}"
        for number, cell in enumerate(code_cells(notebook), 1)
        if (found := PRIVATE_IMPORT.search(source(cell)))
    ]


def claims_compared(notebook: Notebook) -> list[str]:
    """Claims are made in cells that are compared on every machine, and these print nothing else."""
    complaints = []
    for number, cell in enumerate(code_cells(notebook), 1):
        ids = CLAIM_CALL.findall(source(cell))
        tagged = CLAIM_CELL in tags(cell)
        if bool(ids) != tagged or ("claim(" in source(cell) and not ids):
            complaints.append(
                f'cell {number}: the tag {CLAIM_CELL} and a call claim("…") go together'
            )
            continue
        if not tagged:
            continue
        lines = printed(cell).splitlines()
        found = [CLAIM_LINE.match(line) for line in lines]
        if not all(found) or [match["id"] for match in found if match] != ids:
            complaints.append(f"cell {number}: expected one line for each of {ids}, got {lines}")
        if any(output["output_type"] != "stream" for output in cell["outputs"]):
            complaints.append(f"cell {number}: a claim cell shows only claim lines")
        complaints += [
            f"cell {number}: {line}"
            for line in lines
            if "FAILS" in line and "as recorded" not in line
        ]
    return complaints


def claim_lines(notebook: Notebook) -> dict[str, str]:
    """The claim lines stored in a chapter, by the claims' ids."""
    lines = [
        line
        for cell in code_cells(notebook)
        if CLAIM_CELL in tags(cell)
        for line in printed(cell).splitlines()
    ]
    return {match["id"]: line for line in lines if (match := CLAIM_LINE.match(line))}


def measured_rows(notebook: Notebook) -> dict[str, dict[str, str]]:
    """What a chapter measured for its claims, as it is stored: id -> column -> cell."""
    rows = {}
    for cell in code_cells(notebook):
        if source(cell).strip() == CLAIM_VALUES:
            for output in cell["outputs"]:
                for line in text_of(output["data"]["text/plain"]).splitlines()[1:]:
                    # Columns are two spaces apart or more, words only one.
                    row = dict(zip(CLAIM_COLUMNS, re.split(r"\s{2,}", line.strip()), strict=True))
                    rows[row["claim"]] = row
    return rows


def claims_measured(notebook: Notebook) -> list[str]:
    """After its claims a chapter shows what it measured, and that agrees with the verdicts."""
    cells = code_cells(notebook)
    claims = [number for number, cell in enumerate(cells) if CLAIM_CELL in tags(cell)]
    shown = [number for number, cell in enumerate(cells) if source(cell).strip() == CLAIM_VALUES]
    if not claims and not shown:
        return []
    if len(shown) != 1 or not claims or shown[0] < claims[-1]:
        return [f"expected one cell {CLAIM_VALUES} after the last claim, got {len(shown)}"]
    lines, rows = claim_lines(notebook), measured_rows(notebook)
    if list(lines) != list(rows):
        return [f"claims {list(lines)}, but numbers for {list(rows)}"]
    complaints = [
        f"{identifier}: the verdict is {line[:7]!r} but the numbers say {rows[identifier]}"
        for identifier, line in lines.items()
        if not line.startswith(rows[identifier]["verdict"]) or contradicts(rows[identifier])
    ]
    for output in cells[shown[0]]["outputs"]:
        html = re.findall(r"<td[^>]*>(.*?)</td>", text_of(output["data"].get("text/html", "")))
        if html != [cell for row in rows.values() for cell in row.values()]:
            complaints.append("the numbers as text and as HTML differ")
    return complaints


def contradicts(row: dict[str, str]) -> bool:
    """Whether the numbers of a claim refute its verdict, by more than their rounding."""
    least, largest = number_of(row["least"]), number_of(row["largest"])
    bounds = [number_of(number) for number in re.findall(r"[-−]?\d\S*", row["accepted"])]
    low = -math.inf if row["accepted"].startswith("at most") else bounds[0]
    high = math.inf if row["accepted"].startswith("at least") else bounds[-1]
    # Shown with three digits: off by half a unit of the third, at most 0.5 %.
    sign = 1 if row["verdict"].startswith("✓") else -1
    room = [sign * 0.005 * abs(number) for number in (least, largest)]
    inside = low <= least + room[0] and largest - room[1] <= high
    return inside != (sign > 0)


def nothing_escapes(notebook: Notebook) -> list[str]:
    """No cell is exempt from validation."""
    return [
        f"cell {number} carries the tag {tag}"
        for number, cell in enumerate(code_cells(notebook), 1)
        for tag in tags(cell) & FORBIDDEN_TAGS
    ] + [
        f"cell {number} carries an nbval comment"
        for number, cell in enumerate(code_cells(notebook), 1)
        if re.search(r"^\s*#\s*(NBVAL_|PYTEST_VALIDATE)", source(cell), re.M)
    ]


def normal_form(notebook: Notebook) -> list[str]:
    """Stored as `make notebooks` stores it: nothing that differs between machines or editors."""
    complaints = []
    if notebook["metadata"] != METADATA:
        complaints.append(f"notebook metadata is {notebook['metadata']}: run `make notebooks`")
    ids = [cell.get("id") for cell in notebook["cells"]]
    if None in ids or len(set(ids)) != len(ids):
        complaints.append("cells without an id, or two with the same")
    complaints += [
        f"cell {number} has metadata {sorted(extra)}"
        for number, cell in enumerate(notebook["cells"], 1)
        if (extra := set(cell["metadata"]) - CELL_METADATA)
    ]
    return complaints


EVERY_NOTEBOOK: tuple[Gate, ...] = (
    executed_in_order,
    outputs_present,
    nothing_lost,
    no_errors,
    no_local_paths,
    figures_described,
    tables_described,
    numbers_shown,
    guesses_printed,
    cells_short,
    public_names_only,
    claims_compared,
    claims_measured,
    nothing_escapes,
    normal_form,
)
EVERY_CHAPTER: tuple[Gate, ...] = (framed,)
