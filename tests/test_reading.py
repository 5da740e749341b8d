"""Read and Check, openings, guesses and exercises, on a small book of one notebook."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import DESK, HTML, PAGES, PHONE, axe, show
from conftest import BOOK
from gates import METADATA
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, Locator, Page
from sphinx.application import Sphinx

sys.path.insert(0, str(BOOK / "_ext"))

# One pixel.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX+XDSwAAAABJRU5ErkJg"
    "gg=="
)
EXTENSIONS = ["myst_nb", "exercises", "folds", "guess", "opening"]
TABLE = {"text/html": "<table><tr><td>3.5</td></tr></table>"}

HEAD = """(chap-small)=
# Small

:::{opening} fig-line
*How long is it?* Nobody knows.

**Needed:** a ruler.
:::"""
GUESSES = """## Guesses

:::{guess} number
:answer: 8
:unit: variables
:low: 0
:high: 16
How many of $n$?

---
Eight, says the table.
:::

:::{guess} choice
Which?

- [ ] the *same*
- [x] others, as before
  the first step
- [ ] none

---
Others.
:::

## Figures"""
EXERCISES = """## Exercises

:::{exercise}
Is $x$ long? Measure it.
:::

:::{admonition} Solution
:class: dropdown
It is long.
:::"""
SECOND = """(exercise-second)=
:::{exercise}
Short?
:::

## The end

See {numref}`exercise-second`."""


def cell(source: str, *outputs: dict[str, object], tags: tuple[str, ...] = ()) -> dict[str, object]:
    """A code cell with its outputs."""
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shows(data: dict[str, str]) -> dict[str, object]:
    """An output."""
    return new_output("display_data", data)


def small_notebook() -> nbformat.NotebookNode:
    """A chapter with one of each."""
    line = cell("figure, ax = plt.subplots()\nax.plot(y)", shows({"image/png": PICTURE}))
    line.metadata["mystnb"] = {
        "figure": {"name": "fig-line", "caption": "A line."},
        "image": {"alt": "a line"},
    }
    claims = new_output("stream", text="✓ holds · a · It is.\n")
    return new_notebook(
        metadata=METADATA,
        cells=[
            new_markdown_cell(HEAD),
            cell("import torch\nfrom vaelib import load\ndata = load('mnist')"),
            cell("def double(x):\n    return 2 * x", tags=("open",)),
            new_markdown_cell(GUESSES),
            cell("y, z = double(1), 2"),
            line,
            cell("rows = y\ntable(rows)", shows(TABLE), tags=("numbers",)),
            new_markdown_cell("More."),
            cell("a = b = c = 1\nd, (e, f) = 1, (2, 3)\nfor g in range(3):\n    print(g)"),
            new_markdown_cell("And more."),
            cell("table(y)", shows(TABLE)),
            cell('claim("a", 1)', claims, tags=("nbval-check-output",)),
            cell("table(claim_values())", shows(TABLE)),
            new_markdown_cell(EXERCISES),
            cell("answer = 1", tags=("hide-cell",)),
            cell("table(answer)", shows(TABLE)),
            new_markdown_cell(SECOND),
        ],
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built chapter; index.html lists its exercises."""
    folder = tmp_path_factory.mktemp("small book")
    source = folder / "book"
    (source / "_static").mkdir(parents=True)
    for name in ("reading.css", "reading.js", "custom.css"):
        shutil.copy(BOOK / "_static" / name, source / "_static")
    nbformat.write(small_notebook(), source / "small.ipynb")
    index = "# Book\n\n:::{exercises}\n:::\n\n```{toctree}\n:numbered:\nsmall\n```\n"
    (source / "index.md").write_text(index, encoding="utf-8")
    assert build(folder) == ""
    return folder / "html" / "small.html"


def build(folder: Path) -> str:
    """Build what lies in a folder; return the warnings."""
    with (folder / "warnings").open("w+", encoding="utf-8") as warnings:
        Sphinx(
            folder / "book", None, folder / "html", folder / "doctrees", "html",
            {
                "extensions": EXTENSIONS,
                "html_theme": "sphinx_book_theme",
                "html_static_path": ["_static"],
                "html_css_files": ["custom.css", "reading.css"],
                "html_js_files": ["reading.js"],
                "nb_execution_mode": "off",
                "myst_enable_extensions": ["colon_fence", "dollarmath"],
                "numfig": True,
                "numfig_format": {"figure": "Figure %s", "exercise": "Exercise %s"},
                "mathjax_path": "none.js",
            },
            status=None, warning=warnings,
        ).build()  # fmt: skip
        warnings.seek(0)
        return warnings.read()


@pytest.fixture(scope="module")
def text(small: Path) -> str:
    """The article of the chapter."""
    whole = small.read_text(encoding="utf-8")
    return whole[whole.index("<article") : whole.index("</article>")]


def folds(text: str) -> list[tuple[str, str]]:
    """Kinds and names of the folds."""
    return re.findall(r'data-fold="(\w+)"[^>]*>\s*<summary>(.*?)</summary>', text)


def test_folds_are_named_by_what_they_hold(text: str) -> None:
    assert folds(text) == [
        ("code", "Code: imports, data"),
        ("guess", "Answer"),
        ("guess", "Answer"),
        ("code", "Code of Figure 1.1"),
        ("numbers", "The numbers of Figure 1.1"),
        ("code", "Code: a, b, c, d, …"),
        ("code", "Code of the table"),
        ("code", "Code of the claim"),
        ("numbers", "The values of the claims"),
        ("solution", "Solution of Exercise 1.1"),
    ]


def inside(text: str, name: str) -> str:
    """What a fold holds."""
    start = text.index(f"<summary>{name}</summary>")
    return re.sub("<[^>]*>", "", text[start : text.index("</details>", start)])


def test_folds_hold_what_they_say(text: str) -> None:
    assert "y, z = " in inside(text, "Code of Figure 1.1")
    assert "ax.plot" in inside(text, "Code of Figure 1.1")
    numbers = inside(text, "The numbers of Figure 1.1")
    assert "rows = y" in numbers
    assert "3.5" in numbers
    solution = inside(text, "Solution of Exercise 1.1")
    assert all(part in solution for part in ("It is long.", "answer = 1", "table(answer)", "3.5"))
    assert "Short?" not in solution


def test_open_code_and_results_are_not_folded(text: str) -> None:
    outside = re.sub("<[^>]*>", "", re.sub(r"<details.*?</details>", "", text, flags=re.S))
    assert "def double" in outside
    assert "holds · a · It is." in outside
    assert outside.count("3.5") == 1
    for folded in ("import torch", "ax.plot", "table(", "claim(", "answer = 1", "Eight"):
        assert folded not in outside


def test_an_opening_has_a_copy_of_the_figure_without_its_name(text: str) -> None:
    opening = text[text.index('class="opening') : text.index('class="opening-needs')]
    assert "How long is it?" in opening
    assert 'alt="a line"' in opening
    assert re.search(r'href="#fig-line"[^>]*>.*?Figure 1.1', opening)
    assert "A line." not in opening
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_list_of_exercises_has_their_numbers_and_first_sentences(small: Path) -> None:
    index = small.with_name("index.html").read_text(encoding="utf-8")
    listed = re.search(r'<ul class="exercises.*?</ul>', index, re.S)[0]
    assert 'href="small.html#exercise-1">Exercise 1.1</a>. Is <span class="math' in listed
    assert "Exercise 1.2</a>. Short?" in listed
    assert "Measure it" not in listed


WRONG = {
    ":::{opening}\nNo question.\n:::": "a question",
    ":::{opening} fig-none\n*Why?*\n:::": "fig-none is no figure",
    ":::{opening} _static/x.png\n*Why?*\n:::": "needs :alt:",
    ":::{guess} number\nHow many?\n\n---\nSix.\n:::": "has the option :answer:",
    ":::{guess} number\n:answer: six\nHow many?\n\n---\nSix.\n:::": "six",
    ":::{guess} number\n:answer: 6\nHow many?\n:::": "expected a line ---",
    ":::{guess} word\nWhich?\n\n---\nx\n:::": "expected number or choice",
    ":::{guess} choice\nWhich?\n\n- [ ] a\n- [ ] b\n\n---\nb\n:::": "of which 0 are right",
}


def test_what_is_written_wrongly_is_a_warning(tmp_path: Path) -> None:
    static = tmp_path / "book" / "_static"
    static.mkdir(parents=True)
    for name in ("reading.css", "reading.js", "custom.css"):
        (static / name).touch()
    for number, wrong in enumerate(WRONG):
        (static.parent / f"page-{number}.md").write_text(f"# Wrong\n\n{wrong}\n", encoding="utf-8")
    (static.parent / "index.md").write_text("# Book\n\n```{toctree}\n:glob:\n*\n```\n")
    warnings = build(tmp_path)
    for number, complaint in enumerate(WRONG.values()):
        assert re.search(rf"page-{number}.md.*{re.escape(complaint)}", warnings), complaint


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture
def page(browser: Browser, small: Path) -> Iterator[Page]:
    """The small chapter, without memory of earlier visits."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, complaints = show(context, small)
    # Fonts and maths are not here.
    assert [complaint for complaint in complaints if complaint.startswith("script error")] == []
    yield page
    context.close()


CODE = "pre:visible"


def test_read_folds_the_code_and_check_opens_it_and_is_remembered(page: Page) -> None:
    read, check = page.locator("[data-set-reading=read]"), page.locator("[data-set-reading=check]")
    assert page.locator(CODE).count() == 2  # the open cell, and the claim
    assert read.get_attribute("aria-pressed") == "true"
    page.locator("summary", has_text="Code of Figure").click()
    assert page.locator(CODE).count() == 4
    page.set_viewport_size({"width": 1280, "height": 300})
    read_now = page.get_by_text("And more.")
    place = "p => scrollBy({ top: p.getBoundingClientRect().top - 70, behavior: 'instant' })"
    read_now.evaluate(place)
    before = read_now.bounding_box()["y"]
    check.evaluate("button => button.focus({ preventScroll: true })")
    page.keyboard.press("Enter")
    everything = page.locator(".bd-article pre").count()
    assert page.locator(CODE).count() == everything > 10
    assert abs(read_now.bounding_box()["y"] - before) < 5
    # Answers to guesses are the reader's to open.
    assert page.locator("details[data-fold=guess][open]").count() == 0
    assert axe(page) == []
    page.reload()
    assert check.get_attribute("aria-pressed") == "true"
    assert page.locator(CODE).count() == everything
    read.click()
    assert page.locator(CODE).count() == 2


def place(part: Locator) -> dict[str, float]:
    """Left, top, right and bottom."""
    return part.evaluate("p => p.getBoundingClientRect().toJSON()")


@pytest.mark.skipif(not PAGES, reason="the book is not built: make book")
def test_the_names_of_folds_stand_beside_what_they_are_of(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, complaints = show(context, HTML / "sparsity.html")

    def summary(text: str) -> Locator:
        return page.locator(".bd-article summary", has_text=re.compile(f"^{text}$"))

    figure = page.locator("#fig-posteriors")
    for name in ("Code of Figure 5.1", "The numbers of Figure 5.1"):
        beside, caption = place(summary(name)), place(figure.locator("figcaption"))
        assert beside["left"] > caption["right"] - 1
        assert caption["top"] - 1 < beside["top"] < caption["bottom"]
        below = beside["top"] - caption["top"]
        summary(name).click()  # nothing lies over it, and it stays where it is
        now = place(summary(name))["top"] - place(figure.locator("figcaption"))["top"]
        assert abs(now - below) < 1
        code = place(page.locator(f"details:has(> summary:text-is('{name}')) pre").first)
        assert code["top"] > place(figure)["bottom"] - 1
        assert code["right"] - code["left"] > 600
        summary(name).click()
    table, beside = place(page.locator("#table-3 table")), place(summary("Code of Table 5.3"))
    assert beside["left"] > table["right"]
    assert table["top"] < beside["top"] < table["bottom"]
    # Code that shows nothing stands beside the last line before it, and takes no line of its own.
    beside = place(summary("Code: imports, data"))
    needed = place(page.locator(".opening-needs p").last)
    assert beside["left"] > needed["right"] - 1
    assert abs(beside["bottom"] - needed["bottom"]) < 12
    assert beside["right"] <= place(page.locator(".bd-article"))["right"]
    # On a phone they are below.
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert place(summary("Code of Figure 5.1"))["top"] >= place(figure)["bottom"] - 1
    assert complaints == []
    context.close()


def test_a_fold_opens_for_a_link_into_it(page: Page) -> None:
    page.evaluate("document.querySelector('[data-fold=solution] p').id = 'target'")
    page.evaluate("location.hash = 'target'")
    assert page.locator("#target").is_visible()


def test_a_guess_is_compared_and_remembered(page: Page) -> None:
    number, choice = page.locator("form.guess").all()
    number.locator("button").click()
    assert "Type a number" in number.locator(".guess-result").inner_text()
    assert not number.get_by_text("Eight, says").is_visible()
    number.get_by_label("Your guess").fill("12,5")
    page.keyboard.press("Enter")
    assert "it is 8 variables. 4.5 too many." in number.locator(".guess-result").inner_text()
    assert number.get_by_text("Eight, says").is_visible()
    choice.get_by_label("the same").check()
    choice.locator("button").click()
    assert "Not this one" in choice.locator(".guess-result").inner_text()
    assert choice.locator(".is-right").inner_text().startswith("others, as before the first step")
    assert axe(page) == []
    page.reload()
    assert number.get_by_label("Your guess").input_value() == "12,5"
    assert "4.5 too many" in number.locator(".guess-result").inner_text()
    assert choice.get_by_label("the same").is_checked()
    choice.get_by_label("others").check()
    choice.locator("button").click()
    assert "That is right" in choice.locator(".guess-result").inner_text()


def test_without_scripts_all_is_there_and_folds_open(browser: Browser, small: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small.as_uri())
    assert not page.locator(".reading-switch").is_visible()
    assert page.locator(".guess-entry:visible").count() == 0
    for fold in page.locator("details[data-fold]").all():
        fold.locator("summary").click()
        assert fold.get_attribute("open") is not None
    assert page.locator("pre:visible").count() > 10
    assert page.get_by_text("Eight, says").is_visible()
    context.close()


def test_on_paper_there_are_numbers_and_solutions_and_no_folded_code(page: Page) -> None:
    page.emulate_media(media="print")
    for text in ("It is long.", "Eight, says", "The numbers of Figure"):
        assert page.get_by_text(text).first.is_visible(), text
    assert page.locator("[data-fold=numbers] table").first.is_visible()
    assert not page.locator("summary", has_text="Code of Figure").is_visible()
    assert not page.locator(".guess-entry").first.is_visible()
