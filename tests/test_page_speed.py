"""What a page asks of the network, and that nothing moves when it comes."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import DESK, HTML, PAGES, PHONE, show
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "book" / "_ext")]
import bundle  # noqa: E402
import maths  # noqa: E402
import page as measured  # noqa: E402

built = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with measured.served(HTML) as address:
        yield address


@built
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_front_page_is_light_and_stands_still(
    browser: Browser, address: str, viewport: dict[str, int]
) -> None:
    found = measured.load(browser, f"{address}/index.html", slow=False, viewport=viewport)
    weights = {row["file"]: row["kilobytes"] for row in found["files"]}
    assert sum(weights.values()) <= 600, weights
    assert len(weights) <= 20, weights
    assert found["shift"] < 0.05
    assert not {file for file in weights if re.search("mathjax|fontawesome|searchindex|fa-", file)}


@built
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_asks_for_one_style_sheet_and_runs_what_can_be_moved_first(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    sheets = re.findall(r'<link rel="stylesheet" href="([^"?]*)', text)
    assert sheets == ["_static/book.css"]
    scripts = re.findall(r'<script[^>]*\ssrc="([^"?]*)', text)
    own = [script for script in scripts if "/explorables/" in script]
    assert scripts == [*own, "_static/book.js"], "the search page alone searches"
    assert bool(own) == ("data-explorable" in text)
    assert all("defer" in tag for tag in re.findall(r"<script[^>]*\ssrc=[^>]*>", text))


@built
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_one_title_and_one_viewport_and_its_pictures_have_sizes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"<h1\b", text)) == 1
    assert text.count('name="viewport"') == 1
    article = text[text.index('<article class="bd-article"') :]
    for picture in re.findall(r"<img\b[^>]*>", article):
        assert re.search(r'width="\d+" height="\d+"', picture), picture


@built
def test_every_icon_that_a_page_asks_for_has_a_shape() -> None:
    sheet = (ROOT / "book" / "_static" / "icons.css").read_text(encoding="utf-8")
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    classes = " ".join(re.findall(r'<(?:i|span) class="([^"]*\bfa[sb]?\b[^"]*)"', text))
    # Those of kind and size are no icons.
    names = set(re.findall(r"\bfa-[a-z-]+", classes)) - {"fa-solid", "fa-lg"}
    assert names
    assert {name for name in names if f".{name}" not in sheet} == set()


@built
def test_icons_and_formulas_are_seen(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((HTML / "kl-derived.html").as_uri())
    formula = page.locator(".bd-article mjx-container > svg").first.bounding_box()
    assert formula
    assert formula["width"] > 5
    context.close()
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page, _ = show(context, HTML / "kl-derived.html")
    for icon in (".fa-bars", ".fa-download", ".fa-circle-half-stroke", ".bd-sidebar-primary i"):
        found = page.locator(icon).first
        assert found.evaluate("icon => getComputedStyle(icon).maskImage") != "none", icon
        box = found.bounding_box()
        assert box
        assert 10 <= box["width"] <= 30, icon
    context.close()


@built
def test_no_sign_stands_alone_after_a_formula(browser: Browser) -> None:
    context = browser.new_context()
    page, _ = show(context, HTML / "kl-derived.html")
    # A sign that touches a formula, outside of what holds the two together.
    alone = page.evaluate(
        r"""() => [...document.querySelectorAll(".bd-article span.math")]
              .filter(math => !math.closest(".formula"))
              .map(math => math.nextSibling?.data ?? "").filter(text => /^[.,;:!?)]/.test(text))"""
    )
    assert alone == []
    assert page.locator(".formula").count() > 20
    assert (
        page.locator(".formula").first.evaluate("it => getComputedStyle(it).whiteSpace") == "nowrap"
    )
    context.close()


@built
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_scripts_the_scheme_is_that_of_the_system(browser: Browser, scheme: str) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((HTML / "glossary.html").as_uri())
    ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    dark = max(map(int, re.findall(r"\d+", ground)[:3])) < 80
    assert dark == (scheme == "dark")
    context.close()


# --- what the build does --------------------------------------------------------------------------


def test_a_formula_is_drawn_and_said() -> None:
    drawn = maths.typesetter().typeset(r"\tfrac{1}{2}\mu^2", False)
    assert "<svg" in drawn
    assert "<math" in drawn
    names = maths.USED.findall(drawn)
    assert names
    assert all("<path" in maths.typesetter().outline(name) for name in names)


def test_a_formula_with_an_error_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(maths.logger, "warning", lambda *arguments, **_: said.append(arguments[1]))
    maths.typesetter().typeset(r"\frac{1", False)
    maths.typesetter().typeset(r"\unheardof", False)
    maths.typesetter().typeset(r"x", False)
    assert said == [r"\frac{1", r"\unheardof"]


@pytest.fixture
def style(tmp_path: Path) -> Callable[[str, str], str]:
    def made(text: str, used: str) -> str:
        (tmp_path / "styles").mkdir(exist_ok=True)
        (tmp_path / "styles" / "one.css").write_text(text, encoding="utf-8")
        bundle.seen.clear()
        return bundle.sheet("styles/one.css", tmp_path, used)

    yield made
    bundle.seen.clear()


def test_rules_that_no_page_needs_are_left_out(style: Callable[[str, str], str]) -> None:
    text = "p, .used b, .spare, .used:not(.spare) {color: red} @media print {.spare {color: red}}"
    made = style(text, 'class="used"')
    assert "p,.used b,.used:not(.spare){color: red}" in made
    assert "print" not in made


def test_addresses_are_those_of_the_joined_sheet(style: Callable[[str, str], str]) -> None:
    made = style('a {background: url(../x.svg)} b {background: url("data:,;")}', "")
    assert 'url("x.svg")' in made
    assert 'url("data:,;")' in made


def test_a_scheme_holds_without_scripts(style: Callable[[str, str], str]) -> None:
    made = style('html[data-theme="dark"] p {color: white}', "")
    assert 'html[data-theme="dark"] p{color: white}' in made
    assert '@media (prefers-color-scheme: dark){html[data-theme="auto"] p{color: white}}' in made


def test_files_are_joined_in_the_order_of_the_pages(tmp_path: Path) -> None:
    joined = bundle.Bundle(tmp_path)
    joined.add(["a", "c"])
    joined.add(["a", "b", "c", "d"])
    assert joined.names == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt"/>', (96, 48)),
        ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 20"/>', (10, 20)),
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', None),
    ],
)
def test_the_size_of_a_drawing_is_known(tmp_path: Path, text: str, size: Any) -> None:
    (tmp_path / "x.svg").write_text(text)
    assert bundle.size_of(tmp_path / "x.svg") == size


def test_what_was_measured_is_on_the_page() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    table = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    assert f"{results['page']['live']:.1f}" in table
