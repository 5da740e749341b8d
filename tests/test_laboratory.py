"""The laboratory trains what it says, by mouse and keyboard, and a link repeats it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from browser import DESK, HTML, PHONE, change_scheme, show
from playwright.sync_api import Browser, BrowserContext, Page, expect
from test_explorables import SHIFT, Explorable

from vaelib import linear_vae_optimum

pytestmark = pytest.mark.skipif(
    not (HTML / "laboratory.html").is_file(), reason="the book is not built: make book"
)
CHAPTERS = {
    "vicious-cycle": "noise",
    "linear-case": "line",
    "from-line-to-network": "bend",
    "hysteresis": "loop",
}
PATIENCE = 120_000  # ms: training shares the processor with whatever else runs


class Laboratory(Explorable):
    """The page, with what it takes to wait for training."""

    def __init__(self, page: Page) -> None:
        page.wait_for_function(
            "document.querySelector('[data-explorable=laboratory]').explorable?.measured()",
            timeout=PATIENCE,
        )
        super().__init__(page, "laboratory")

    def wait(self, condition: str, given: Any = None) -> None:
        self.page.wait_for_function(
            "([section, given]) => {"
            f" const it = section.explorable; return it && ({condition}); }}",
            arg=[self.section.element_handle(), given],
            timeout=PATIENCE,
        )

    @property
    def measured(self) -> dict[str, Any]:
        return self.ask("it.measured()")

    def begin(self, **state: Any) -> "Laboratory":
        """Another experiment, at step 0."""
        self.ask("it.set(given) || null", state)
        self.wait("it.measured() && it.measured().step === 0")
        return self

    def train(self, steps: int = 20) -> dict[str, Any]:
        to = self.measured["step"] + steps
        self.section.get_by_role("button", name="1 step" if steps == 1 else "20 steps").click()
        self.wait("it.measured()?.step === given", to)
        return self.measured

    def finish(self) -> str:
        self.section.get_by_role("button", name="play").click()
        self.wait("it.finished() && !it.playing()")
        return self.ask("it.outcome()")

    def lane(self, variable: int) -> Any:
        return self.section.locator(".lab-lane").nth(variable)

    def shows(self, part: str, value: Any) -> None:
        """Wait for a measurement in which this part is so; what is changed comes in the next."""
        expected = json.dumps(value, separators=(",", ":"))
        self.wait(f"JSON.stringify(it.measured().{part}) === given", expected)

    def act(self, count: int) -> None:
        self.wait("it.state().acts?.length === given", count)


def opened(context: BrowserContext, page: str = "laboratory.html") -> tuple[Laboratory, list[str]]:
    shown, complaints = show(context, HTML / page)
    return Laboratory(shown), complaints


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Iterator[Laboratory]:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    laboratory, complaints = opened(context)
    yield laboratory
    assert complaints == []  # all this time nothing was asked of any network
    context.close()


@pytest.fixture
def it(shared: Laboratory) -> Laboratory:
    # Half as many lanes take half the time to measure.
    return shared.begin(preset="one", seed=0, latent=8, depth=1, bend="ReLU", data="glyphs")


def test_it_waits_for_the_reader(it: Laboratory) -> None:
    it.page.wait_for_timeout(500)
    assert it.measured["step"] == 0
    assert not it.ask("it.playing()")
    assert it.section.locator(".lab-lane").count() == 8
    assert "Try this" in it.section.inner_text()


def test_the_same_seed_gives_the_same_and_another_another(it: Laboratory) -> None:
    first = it.train()
    it.press("reset")
    it.wait("it.measured() && it.measured().step === 0")
    assert it.train()["elbo"] == first["elbo"]
    it.press("another seed")
    it.wait("it.measured() && it.measured().step === 0")
    assert it.state["seed"] == 1
    assert it.train()["elbo"] != first["elbo"]


def test_play_pauses(it: Laboratory) -> None:
    it.section.get_by_role("button", name="play").click()
    it.wait("it.measured().step > 0")
    it.section.get_by_role("button", name="pause").click()
    it.wait("!it.playing()")
    it.page.wait_for_timeout(500)
    step = it.measured["step"]
    it.page.wait_for_timeout(500)
    assert it.measured["step"] == step


def test_beta_is_turned_while_it_trains(it: Laboratory) -> None:
    it.section.get_by_role("button", name="play").click()
    it.wait("it.measured().step > 0")
    slider = it.section.get_by_role("slider", name="β")
    slider.focus()
    for _ in range(5):
        it.page.keyboard.press("ArrowRight")
    it.wait("it.measured().beta > 1")
    assert it.ask("it.playing()")
    it.section.get_by_role("button", name="pause").click()
    assert slider.get_attribute("aria-valuetext") == "β = 1.8"
    assert it.state["acts"][-1][1] == {"beta": 1.8}
    assert "taken over" in it.section.locator(".lab-outcome").inner_text()


def test_the_switches_do_what_they_say(it: Laboratory) -> None:
    it.train()
    it.choose("waives its KL")
    it.lane(1).click()
    it.shows("klWeights.slice(0, 3)", [1, 0, 1])
    it.choose("kills it")
    it.lane(3).click()
    it.shows("killed", [3])
    assert it.measured["kl"][3] == it.measured["gain"][3] == it.measured["varMu"][3] == 0
    it.choose("revives it")
    it.lane(3).click()
    it.shows("killed", [])
    it.shows("revived", [3])
    it.section.get_by_role("checkbox", name="noise").uncheck()
    it.shows("sample", False)
    for variable, word in ((1, "has no price"), (3, "revived")):
        assert word in (it.lane(variable).get_attribute("aria-label") or "")
    it.choose("waives its KL")
    it.lane(1).click()
    it.shows("klWeights[1]", 1)


def test_a_link_repeats_the_experiment(it: Laboratory, browser: Browser) -> None:
    it.train()
    it.choose("kills it")
    it.lane(2).focus()
    it.page.keyboard.press("Enter")
    it.act(2)
    it.train()
    it.section.get_by_role("slider", name="β").focus()
    it.page.keyboard.press("End")
    it.act(3)
    end, state = it.train(), it.state
    it.page.wait_for_function("location.hash.includes('lab-steps=60')")
    address = it.page.evaluate("location.hash")
    assert "lab-acts=0b1,20k2,40b794" in address
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((HTML / "laboratory.html").as_uri() + address)
    other = Laboratory(page)
    assert other.state == state
    other.finish()
    assert other.measured["step"] == 60
    assert other.measured["elbo"] == pytest.approx(end["elbo"], abs=1e-4)
    context.close()


@pytest.mark.parametrize(
    "address",
    ["#laboratory=none&lab-latent=99&lab-acts=x,5q1,9b-", "#lab-data=toy&lab-depth=-3&lab-seed=zz"],
)
def test_an_address_written_wrongly_does_no_harm(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((HTML / "laboratory.html").as_uri() + address)
    it = Laboratory(page)
    assert it.state["preset"] == "one"
    assert it.state["latent"] == (32 if "99" in address else 6)
    assert it.state["depth"] in range(5)
    context.close()


def test_a_guess_is_scored_once(it: Laboratory) -> None:
    it.begin(preset="averaged", seed=0, latent=4, depth=0, bend="ReLU", data="glyphs")
    field = it.section.get_by_role("textbox")
    field.fill("3")
    said = it.finish()
    assert said.startswith("You guessed 3, and it is 0. Off by 3.")
    assert "All are dead" in said
    assert field.is_disabled()
    quiet = it.section.locator("[aria-live=polite]")
    expect(quiet).to_contain_text("0 of 4 used", timeout=PATIENCE)
    it.choose("β = 1")
    it.wait("it.measured() && it.measured().step === 0")
    assert field.is_enabled()
    assert field.input_value() == ""


def test_what_is_said_of_a_run_is_made_from_it(it: Laboratory) -> None:
    tell = """(([used, elbo]) => Laboratory.find("loop").tell(
      [{4000: {used: 5, elbo: -45}}, {4000: {used, elbo}}]))(given)"""
    assert "10 used, ELBO −44.1 nats" in it.ask(tell, [10, -44.1])
    assert "moves by 0.9 nats only" in it.ask(tell, [10, -44.1])
    assert "only" not in it.ask(tell, [10, -40])
    answer = "Laboratory.find('loop').answer([{4000: {used: 5}}, {4000: {used: 10}}])"
    assert it.ask(answer) == 5


def test_the_toy_has_its_closed_form_beside_it(it: Laboratory) -> None:
    it.begin(preset="line", seed=0, latent=6, depth=0, bend="line", data="toy")
    eigenvalues = it.ask("Laboratory.EIGENVALUES")
    right = linear_vae_optimum(torch.tensor(eigenvalues, dtype=torch.float64), 1.0, 1.0)
    theory = sorted(it.ask("Laboratory.theory(it.measured())"), reverse=True)
    assert theory == pytest.approx(right.var_mu.tolist())
    cells = it.section.locator(".lab-theory td:nth-child(2)").all_inner_texts()
    assert [float(cell) for cell in cells] == pytest.approx(theory, abs=0.005)
    assert not it.section.locator(".lab-album").is_visible()


def test_a_click_shows_what_a_variable_draws(it: Laboratory) -> None:
    swept = it.section.locator(".lab-strip canvas").last
    it.train()
    it.page.wait_for_function("document.querySelectorAll('.lab-pictures p')[2].textContent")
    before = swept.evaluate("canvas => canvas.toDataURL()")
    it.choose("shows it")
    it.lane(5).click()
    it.page.wait_for_function(
        "document.querySelectorAll('.lab-pictures p')[2].textContent.includes('variable 5')"
    )
    assert it.state["acts"] is None
    assert it.lane(5).get_attribute("aria-pressed") == "true"
    assert swept.evaluate("canvas => canvas.toDataURL()") != before


def test_the_keyboard_alone_suffices(it: Laboratory) -> None:
    it.section.locator("summary").click()
    it.section.locator("input").first.focus()
    it.page.keyboard.press("Shift+Tab")
    it.page.keyboard.press("Tab")
    reached = []
    for _ in range(60):
        focused = it.page.evaluate_handle("document.activeElement")
        if not it.section.evaluate("(section, element) => section.contains(element)", focused):
            break
        reached.append(
            focused.evaluate("it => it.className + it.type + (it.labels?.[0]?.innerText ?? '')")
        )
        seen = focused.evaluate(
            """element => [element, element.nextElementSibling]
                 .filter(Boolean).map(part => getComputedStyle(part))
                 .some(style => style.outlineStyle !== 'none' || style.boxShadow !== 'none')"""
        )
        assert seen, f"the focus on {reached[-1]} cannot be seen"
        it.page.keyboard.press("Tab")
    assert sum("lab-lane" in name for name in reached) == 8
    for part in ("tug-play", "β", "noise", "latent variables", "hidden layers", "text"):
        assert any(part in name for name in reached), part
    for control in it.section.locator("input[type=range]").all():
        assert control.get_attribute("aria-valuetext")
        assert control.evaluate("input => input.labels[0].innerText.trim()")
    it.section.locator("summary").click()


def test_a_screen_reader_hears_sentences_and_not_frames(it: Laboratory) -> None:
    assert it.said == "β = 1, at step 0."
    it.train()
    assert "Step 20." in it.said
    assert "of 8 used" in it.said
    spoken = it.section.evaluate(
        "section => section.querySelectorAll('[aria-live], [role=status]').length"
    )
    assert spoken == 2  # the quiet line, and what came of an experiment


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_its_page_does_not_jump(browser: Browser, size: dict[str, int]) -> None:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    context.add_init_script(SHIFT)
    it, _ = opened(context)
    it.page.wait_for_timeout(500)
    assert it.page.evaluate("shift") < 0.05
    context.close()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_opens_with_its_own_experiment(chapter: str) -> None:
    page = (HTML / f"{chapter}.html").read_text(encoding="utf-8")
    assert f'data-preset="{CHAPTERS[chapter]}" data-asleep="engine-products.js ' in page


def test_a_chapter_loads_nothing_of_it_before_it_is_asked_for(context: BrowserContext) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page, complaints = show(context, HTML / "vicious-cycle.html")
    assert not [url for url in asked if url.startswith(("engine", "laboratory")) and ".js" in url]
    section = page.locator('section[data-explorable="laboratory"]')
    assert section.locator(".explorable-static img").is_visible()
    assert not section.locator(".explorable-text").is_visible()
    button = section.get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    it = Laboratory(page)
    assert it.state["preset"] == CHAPTERS["vicious-cycle"]
    assert not section.locator(".explorable-static").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "play"
    assert complaints == []


def test_a_link_into_a_chapter_opens_it(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto((HTML / "linear-case.html").as_uri() + "#laboratory=line&lab-seed=3")
    assert Laboratory(page).state["seed"] == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sleeping_picture_follows_the_page(context: BrowserContext, scheme: str) -> None:
    page, _ = show(context, HTML / "hysteresis.html")
    change_scheme(page, scheme)
    picture = page.locator('section[data-explorable="laboratory"] img')
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("it => it.currentSrc").endswith("-dark.png") == (scheme == "dark")


def test_a_phone_has_room_for_it(browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    it, complaints = opened(context)
    it.train()
    assert it.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    small = it.section.evaluate(
        """section => [...section.querySelectorAll(".explorable-stage text, .explorable-stage p")]
             .filter(part => part.textContent && part.getBoundingClientRect().width > 2)
             .map(part => [part.textContent, parseFloat(getComputedStyle(part).fontSize)])
             .filter(([, size]) => size < 11).map(String)"""
    )
    assert small == []
    narrow = it.section.evaluate(
        """section => [...section.querySelectorAll(
             "button, input[type=range], label:has(> input), summary")]
             .map(part => [part.className || part.type, part.getBoundingClientRect()])
             .filter(([, box]) => box.width && Math.min(box.width, box.height) < 24)
             .map(([what, box]) => `${what}: ${box.width} x ${box.height}`)"""
    )
    assert narrow == []
    assert complaints == []
    context.close()


def test_it_stands_still_where_no_motion_is_wanted(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")  # type: ignore[arg-type]
    it, _ = opened(context)
    it.page.wait_for_timeout(300)
    assert it.measured["step"] == 0
    it.train()
    assert it.page.evaluate("document.getAnimations().length") == 0
    context.close()


def test_contrast_themes_keep_what_colours_say(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, forced_colors="active")  # type: ignore[arg-type]
    it, complaints = opened(context)
    it.train()
    ground = "element => getComputedStyle(element).fill"
    bars = {name: it.section.locator(f".lab-chart .bar.{name}").first for name in ("kl", "gain")}
    assert len({bar.evaluate(ground) for bar in bars.values()}) == 2
    way = it.section.locator(".lab-course .way")
    assert way.evaluate("it => getComputedStyle(it).stroke") != "none"
    assert complaints == []
    context.close()


def test_on_paper_there_is_the_picture(context: BrowserContext) -> None:
    for name in ("laboratory", "hysteresis"):
        page, _ = show(context, HTML / f"{name}.html")
        page.emulate_media(media="print")
        section = page.locator('section[data-explorable="laboratory"]')
        assert section.locator(".explorable-static img").is_visible()
        assert not section.locator(".explorable-stage").is_visible()
        assert not section.locator("button").first.is_visible()
