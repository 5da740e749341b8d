"""Words of the text move the explorable of their page, and say what it then shows."""

import re
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from browser import DESK, HTML, PHONE, show
from playwright.sync_api import Browser, Page
from test_explorables import FRAMES, Explorable
from test_explorables_data import kept

pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason="the book is not built: make book")

LINK = re.compile(r'<a class="moves" href="#([^"]+)" data-moves="([\w-]+)"')
LINKED = {
    path.stem: len(found)
    for path in sorted(HTML.glob("*.html"))
    if (found := LINK.findall(path.read_text(encoding="utf-8")))
}
WORDS = {"none": 0, "one": 1, "two": 2, "three": 3, "five": 5, "seven": 7, "eight": 8, "twelve": 12}
NUMBER = re.compile(r"\d+(?:\.\d+)?|" + "|".join(rf"\b{word}\b" for word in WORDS))
# What the reader and the screen reader are told of the figure.
TOLD = """section => [
  ...[...section.querySelectorAll("input[type=range]")].map(input => input.ariaValueText),
  section.querySelector(".explorable-answer").textContent,
].join("; ")"""


def numbers(text: str) -> set[float]:
    return {float(WORDS.get(said, said)) for said in NUMBER.findall(text)}


@pytest.fixture(scope="module")
def chapter(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Each chapter, opened once."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    yield cache(lambda name: show(context, HTML / f"{name}.html")[0])
    context.close()


def test_two_chapters_have_such_links() -> None:
    assert LINKED.get("vicious-cycle", 0) >= 4
    assert "linear-case" in LINKED


@pytest.mark.parametrize("name", LINKED)
def test_each_link_shows_what_its_words_say(chapter: Callable[[str], Page], name: str) -> None:
    page = chapter(name)
    for link in page.locator("a.moves").all():
        asked = dict(pair.split("=") for pair in (link.get_attribute("href") or "")[1:].split("&"))
        link.click()
        page.evaluate(FRAMES)
        it = Explorable(page, link.get_attribute("data-moves") or "")
        state, told = it.state, it.section.evaluate(TOLD)
        if "batch" in asked:
            assert int(asked["batch"]) in kept("tug-of-war")["step"]
            assert state["step"] == int(asked["batch"])
            assert state["looked"] == [int(j) for j in asked.get("look", "").split(",") if j]
        else:
            assert state["beta"] == float(asked["beta"])
        assert numbers(link.inner_text()) <= numbers(told), (link.inner_text(), told)


def test_what_the_text_says_of_who_lives_is_so() -> None:
    """Beyond the numbers: of those behind at a moment, how many live; and the two that are told."""
    data = kept("tug-of-war")
    lives = [moves > 0.05 for moves in data["mu_variance"][-1]]

    def behind(batch: int) -> list[int]:
        at = data["step"].index(batch)
        pairs = zip(data["gain"][at], data["kl"][at], strict=True)
        return [j for j, (gain, kl) in enumerate(pairs) if gain < kl and kl >= 0.05]

    assert [lives[j] for j in behind(1407)] == [False] * 7
    assert sum(lives[j] for j in behind(90)) == 2
    assert (lives[11], lives[13]) == (False, True)
    early, late = (data["gain"][data["step"].index(batch)] for batch in (938, 3283))
    assert early[11] > early[13]
    assert abs(late[11]) < 0.05
    assert late[13] > early[13]


def test_a_link_leaves_the_bets_and_gives_a_way_back(chapter: Callable[[str], Page]) -> None:
    page = chapter("vicious-cycle")
    page.bring_to_front()
    it = Explorable(page, "tug-of-war")
    it.set(seen=False, moment=16, bets=[])
    it.section.locator(".tug-bet").nth(3).click()
    link = page.locator("a.moves").nth(1)
    link.focus()
    place = page.evaluate("scrollY")
    page.keyboard.press("Enter")
    page.evaluate(FRAMES)
    assert it.state["bets"] == [3]
    assert "batch=1407" in page.url
    assert "bet=3" in page.url
    assert it.section.evaluate("section => section.getBoundingClientRect().top") < 200
    page.keyboard.press("Enter")  # the way back has the focus
    page.evaluate(FRAMES)
    assert link.evaluate("link => document.activeElement === link")
    assert abs(page.evaluate("scrollY") - place) < DESK["height"]
    assert page.locator(".explorable-back").count() == 0
    assert it.state["step"] == 1407  # what is shown stays
    # The same link moves again what the reader has moved since.
    it.set(moment=0)
    link.click()
    page.evaluate(FRAMES)
    assert it.state["step"] == 1407
    page.go_back()
    page.wait_for_timeout(300)
    assert it.state["bets"] == [3]


def test_without_scripts_a_link_leads_to_the_figure(browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((HTML / "vicious-cycle.html").as_uri())
    page.locator("a.moves").first.click()
    page.wait_for_timeout(200)
    box = page.locator(".explorable-static img").first.bounding_box()
    assert box
    assert 0 <= box["y"] < PHONE["height"] / 2
    context.close()
