"""The explorables do what they say: by mouse, finger and keyboard, and as torch would."""

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from browser import DESK, HTML, PHONE, change_scheme, show
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page
from test_explorables_data import decoded, kept, tool

from vaelib import linear_vae_optimum

NAMES = (
    *("diagnose-codes", "latent-plane", "sixteen-sliders"),
    *("tug-of-war", "water-level", "which-beta"),
)
LEVEL = 1 / 255  # of grey

pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason="the book is not built: make book")
every = pytest.mark.parametrize("name", NAMES)
FRAMES = "() => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))"


class Explorable:
    """One of them on its page, driven through the handle that its script leaves on the section."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.section: Locator = page.locator(f'section[data-explorable="{name}"]').first
        self.section.scroll_into_view_if_needed()
        self.start = self.state
        radios = self.section.locator("input[type=radio]")
        self.chosen = radios.evaluate_all("radios => radios.map(radio => radio.checked)")

    def ask(self, expression: str, argument: Any = None) -> Any:
        """Evaluate an expression of ``it``, the handle, and ``given``; arrays become lists."""
        script = f"""(section, given) => {{
          const it = section.explorable;
          return JSON.parse(JSON.stringify({expression}, (key, value) =>
            ArrayBuffer.isView(value) ? Array.from(value) : value));
        }}"""
        return self.section.evaluate(script, argument)

    def set(self, **state: Any) -> None:
        self.ask("it.set(given) || null", state)
        self.settle()

    def reset(self) -> "Explorable":
        """Put everything back where it was when the page was opened."""
        self.page.bring_to_front()
        self.section.evaluate(
            """(section, chosen) => [...section.querySelectorAll("input[type=radio]")]
                 .forEach((radio, at) => chosen[at] && !radio.checked && radio.click())""",
            self.chosen,
        )
        self.set(**self.start)
        return self

    @property
    def state(self) -> dict[str, Any]:
        return self.ask("it.state()")

    def settle(self) -> None:
        """Let what was asked for be drawn."""
        self.page.evaluate(FRAMES)

    @property
    def said(self) -> str:
        """The quiet line, which waits until the reader has stopped moving things."""
        self.page.wait_for_timeout(350)
        return self.section.locator("[aria-live=polite]").inner_text()

    def press(self, name: str) -> None:
        self.section.get_by_role("button", name=name).click()
        self.settle()

    def choose(self, name: str) -> None:
        self.section.get_by_role("radio", name=name, exact=True).check()
        self.settle()

    def drag(self, place: str, start: tuple[float, float], by: tuple[float, float]) -> None:
        """Drag from a place inside a part, in shares of its size, by so many pixels."""
        self.section.locator(place).scroll_into_view_if_needed()
        box = self.section.locator(place).bounding_box()
        assert box
        x, y = box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + by[0], y + by[1], steps=5)
        self.page.mouse.up()
        self.settle()

    def picture(self) -> bytes:
        self.settle()
        return self.section.locator(".explorable-stage").screenshot()


Desk = Callable[[str], Explorable]


def opened(context: BrowserContext, page: str = "gallery") -> Page:
    shown, complaints = show(context, HTML / f"{page}.html")
    assert complaints == []
    return shown


@pytest.fixture(scope="module")
def desk(browser: Browser) -> Iterator[Desk]:
    """Pages that are opened once; as new for each test. Only a chapter has sliders in order."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    shown = cache(lambda page: opened(context, page))
    pages = {"sixteen-sliders": "sparsity"}
    first = cache(lambda name: Explorable(shown(pages.get(name, "gallery")), name))
    yield lambda name: first(name).reset()
    context.close()


@pytest.fixture(scope="module")
def phone(browser: Browser) -> Iterator[Page]:
    """All of them in the gallery, under a finger."""
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    yield opened(context)
    context.close()


@pytest.fixture
def it(desk: Desk, name: str) -> Explorable:
    return desk(name)


# --- all of them ----------------------------------------------------------------------------------


def alive(it: Explorable) -> bool:
    assert it.section.get_attribute("data-live") is not None
    assert it.section.locator(".explorable-stage").is_visible()
    assert not it.section.locator(".explorable-static").is_visible()
    return "Try this" in it.section.inner_text()


@every
def test_it_is_alive_in_the_gallery_on_a_phone(phone: Page, name: str) -> None:
    assert alive(Explorable(phone, name))


@pytest.mark.parametrize("scripts", ["off", "broken"])
def test_without_its_script_a_figure_has_the_same_message(browser: Browser, scripts: str) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=scripts != "off")  # type: ignore[arg-type]
    page = context.new_page()
    page.route("**/*.data.js*", lambda route: route.abort())
    page.goto((HTML / "gallery.html").as_uri())
    for name in NAMES:
        section = page.locator(f'section[data-explorable="{name}"]')
        figure = section.locator(".explorable-static img")
        assert figure.is_visible(), name
        assert len(figure.get_attribute("alt") or "") > 100
        assert section.locator(".explorable-stage").inner_html() == ""
        # Nobody is told to move what cannot be moved.
        assert not section.locator(".explorable-text").is_visible()
        assert "On paper" in section.locator(".explorable-static p").inner_text()
    # Links are told from the text, even where no script has chosen between light and dark.
    link = page.locator(".bd-article p a.reference").first
    colour = "element => getComputedStyle(element).color"
    assert link.evaluate(colour) != page.locator(".bd-article p").first.evaluate(colour)
    context.close()


@every
def test_the_keyboard_alone_suffices(it: Explorable) -> None:
    controls = it.section.locator("input:visible, button:visible, [tabindex='0']:visible")
    controls.first.evaluate("element => element.focus()")
    reached = set()
    for _ in range(60):
        focused = it.page.evaluate_handle("document.activeElement")
        if not it.section.evaluate("(section, element) => section.contains(element)", focused):
            break
        kind = focused.evaluate("element => element.type || element.tagName")
        reached.add(kind)
        seen = focused.evaluate(
            """element => [element, element.nextElementSibling]
                 .filter(Boolean).map(part => getComputedStyle(part))
                 .some(style => style.outlineStyle !== 'none' || style.boxShadow !== 'none')"""
        )
        assert seen, f"the focus on a {kind} cannot be seen"
        if kind in ("range", "radio", "button", "submit"):
            before = it.section.evaluate("section => section.innerHTML"), it.state
            it.page.keyboard.press("ArrowRight" if kind in ("range", "radio") else "Enter")
            it.settle()
            after = it.section.evaluate("section => section.innerHTML"), it.state
            assert after != before or kind == "button", f"a key on a {kind} does nothing"
        it.page.keyboard.press("Tab")
    assert reached & {"range", "radio", "number"}


@every
def test_every_control_has_a_name_and_says_its_value(it: Explorable) -> None:
    for control in it.section.locator("input[type=range]").all():
        assert control.get_attribute("aria-valuetext")
        assert control.evaluate("input => input.labels.length && input.labels[0].innerText.trim()")


def test_no_motion_where_none_is_wanted(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")  # type: ignore[arg-type]
    page = opened(context)
    all_of_them = [Explorable(page, name) for name in NAMES]
    page.wait_for_timeout(300)
    assert all(it.state == it.start for it in all_of_them)  # nothing starts by itself
    assert page.evaluate("document.getAnimations().length") == 0
    context.close()


def test_they_follow_the_theme(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = opened(context)
    for scheme in ("dark", "light"):
        change_scheme(page, scheme)
        for name in NAMES:
            ink, ground = Explorable(page, name).section.evaluate(
                """section => [[section, "color"], [document.body, "backgroundColor"]]
                     .map(([part, property]) => getComputedStyle(part)[property])"""
            )
            light = [
                sum(map(float, colour[colour.index("(") + 1 : -1].split(",")[:3]))
                for colour in (ink, ground)
            ]
            assert (light[0] < light[1]) == (scheme == "light"), name
    context.close()


# --- the decoders ---------------------------------------------------------------------------------


def as_kept(drawn: Any, layers: list[dict[str, Any]], z: torch.Tensor) -> bool:
    """Whether pixels are those that the kept weights give; these are compared with torch's
    in test_explorables_data.py."""
    return bool(np.abs(np.array(drawn) - decoded(layers, z.numpy())).max() < 1e-3)


def test_the_sliders_decoder_computes_what_it_should(desk: Desk) -> None:
    z = torch.randn(200, 16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    drawn = desk("sixteen-sliders").ask("given.map(z => it.decode(z))", z.tolist())
    assert as_kept(drawn, kept("sixteen-sliders")["decoder"], z)


@pytest.mark.parametrize("which", [0, 1])
def test_the_planes_decoders_compute_what_they_should(desk: Desk, which: int) -> None:
    model = kept("latent-plane")["models"][which]
    z = torch.rand(200, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    z = (2 * z - 1) * model["reach"]
    decode = "given[1].map(z => it.decode(given[0], z))"
    drawn = desk("latent-plane").ask(decode, [model["name"], z.tolist()])
    assert as_kept(drawn, model["decoder"], z)


DRAW = {
    "sixteen-sliders": "it.decode(Array.from({length: 16}, Math.random))",
    "latent-plane": "it.decode(it.models[k % 2], [Math.random(), Math.random()])",
}


@pytest.mark.parametrize("name", DRAW)
def test_a_decoder_leaves_time_for_the_rest_of_a_frame(it: Explorable, name: str) -> None:
    milliseconds = it.section.evaluate(
        f"""section => {{
          const it = section.explorable;
          return Array.from({{length: 100}}, (_, k) => {{
            const start = performance.now();
            {DRAW[name]};
            return performance.now() - start;
          }});
        }}"""
    )
    assert np.median(milliseconds) < 8


# --- sixteen sliders ------------------------------------------------------------------------------


def test_inactive_sliders_do_nothing_and_the_most_active_one_much(desk: Desk) -> None:
    it = desk("sixteen-sliders")
    active, order = it.ask("it.active"), it.ask("it.order")
    digits = kept("sixteen-sliders")["digits"]

    def change(variable: int) -> float:
        """Mean change of a pixel when a slider goes from end to end, over the ten digits."""
        ends = [
            [[*code[:variable], end, *code[variable + 1 :]] for end in (-2.5, 2.5)]
            for code in digits
        ]
        drawn = np.array(it.ask("given.map(pair => pair.map(z => it.decode(z)))", ends))
        return float(np.abs(drawn[:, 1] - drawn[:, 0]).mean())

    for variable in range(16):
        if not active[variable]:
            assert change(variable) < LEVEL, variable
    assert change(order[0]) > 10 * LEVEL
    assert active[order[0]]


def test_one_slider_moves_its_variable_and_nothing_else(desk: Desk) -> None:
    it = desk("sixteen-sliders")
    for rank in (0, 15):
        before, picture = it.state, it.picture()
        variable = it.ask("it.order")[rank]
        slider = it.section.locator("input[type=range]").nth(rank)
        slider.focus()
        for _ in range(30):
            it.page.keyboard.press("ArrowRight")
        after = it.state
        assert after["digit"] == before["digit"]
        moved = [j for j in range(16) if after["z"][j] != before["z"][j]]
        assert moved == [variable]
        apart = np.abs(np.array(after["pixels"]) - before["pixels"]).mean()
        assert (apart > LEVEL) == (rank == 0)
        assert it.picture() != picture  # the slider itself, if nothing else


def test_the_buttons_of_the_sliders(desk: Desk) -> None:
    it = desk("sixteen-sliders")
    start, active = it.state, it.ask("it.active")
    it.press("zero all inactive")
    cut = it.state
    for j in range(16):
        assert cut["z"][j] == (start["z"][j] if active[j] else 0)
    assert np.abs(np.array(cut["pixels"]) - start["pixels"]).mean() < LEVEL
    assert "grey level" in it.said
    it.press("zero all active")
    assert it.state["z"] == [0] * 16
    assert np.abs(np.array(it.state["pixels"]) - start["pixels"]).mean() > 10 * LEVEL
    it.press("reset")
    assert it.state["z"] == start["z"]
    it.choose("3")
    assert it.state["digit"] == 3
    assert it.state["z"] == kept("sixteen-sliders")["digits"][3]


# --- the latent plane -----------------------------------------------------------------------------


def test_the_point_is_dragged_and_the_picture_follows(desk: Desk) -> None:
    it = desk("latent-plane")
    for model in it.ask("it.models"):
        it.choose(model)
        before = it.state
        assert before["model"] == model
        box = it.section.locator(".plane-field").bounding_box()
        assert box
        it.drag(".plane-field", (0.5, 0.5), (box["width"] / 4, -box["height"] / 4))
        reach = next(m["reach"] for m in kept("latent-plane")["models"] if m["name"] == model)
        after = it.state
        assert after["z"] == pytest.approx([reach / 2, reach / 2], abs=0.05 * reach)
        assert after["pixels"] == it.ask("it.decode(given[0], given[1])", [model, after["z"]])
        assert after["pixels"] != before["pixels"]
        assert "nearest" in it.said.lower()


def test_arrow_keys_move_the_point_and_nothing_else(desk: Desk) -> None:
    it = desk("latent-plane")
    reach = kept("latent-plane")["models"][0]["reach"]
    it.set(z=[0, 0])
    it.section.locator(".plane-handle").focus()
    for key, moved in {
        "ArrowRight": [reach / 20, 0],
        "ArrowUp": [reach / 20, reach / 20],
        "Shift+ArrowLeft": [-3 * reach / 20, reach / 20],
        "ArrowDown": [-3 * reach / 20, 0],
    }.items():
        it.page.keyboard.press(key)
        it.settle()
        assert it.state["z"] == pytest.approx(moved), key
        assert it.state["model"] == "Autoencoder"
    for axis in (0, 1):
        before = it.state["z"]
        it.section.locator("input[type=range]").nth(axis).focus()
        it.page.keyboard.press("Home")
        it.settle()
        after = it.state["z"]
        assert after[axis] == -reach
        assert after[1 - axis] == before[1 - axis]


def test_draws_from_the_prior_are_draws_from_the_prior(desk: Desk) -> None:
    it = desk("latent-plane")
    drawn = []
    for _ in range(3):
        it.press("draw 20 from the prior")
        drawn += it.ask("it.draws()")
    assert len(drawn) == 60
    assert np.abs(np.mean(drawn, 0)).max() < 0.6
    assert 0.7 < np.std(drawn) < 1.3
    canvases = it.section.locator(".plane-strip canvas")
    of_the_autoencoder = canvases.evaluate_all("all => all.map(canvas => canvas.toDataURL())")
    assert len(set(of_the_autoencoder)) == 20
    it.choose("VAE")  # the same draws, by the other decoder
    assert it.ask("it.draws()") == drawn[-20:]
    assert canvases.first.evaluate("canvas => canvas.toDataURL()") != of_the_autoencoder[0]


# --- the tug of war -------------------------------------------------------------------------------


def test_scrubbing_shows_the_moment_as_it_was_measured(desk: Desk) -> None:
    it, data = desk("tug-of-war"), kept("tug-of-war")
    assert it.ask("it.moments") == len(data["step"])
    pictures = set()
    for moment in (0, 20, len(data["step"]) - 1):
        it.set(moment=moment)
        state = it.state
        assert state["moment"] == moment
        assert state["step"] == data["step"][moment]
        for measure in ("gain", "kl", "mu_variance", "mean_variance"):
            assert state[measure] == data[measure][moment]
        pictures.add(it.picture())
        assert str(data["step"][moment]) in (
            it.section.locator("input[type=range]").first.get_attribute("aria-valuetext") or ""
        )
    assert len(pictures) == 3


def test_the_slider_of_training_moves_the_moment_and_the_order_does_not(desk: Desk) -> None:
    it = desk("tug-of-war")
    start = it.state
    it.section.locator("input[type=range]").focus()
    it.page.keyboard.press("ArrowRight")
    it.settle()
    assert it.state["moment"] == start["moment"] + 1
    shown, picture = it.state, it.picture()
    it.choose("survivors first")
    it.page.wait_for_timeout(600)  # the rows glide
    assert it.state == shown | {"sorted": True, "seen": True}
    assert it.picture() != picture


def test_a_bet_is_placed_before_and_told_after(desk: Desk) -> None:
    it, data = desk("tug-of-war"), kept("tug-of-war")
    survivors = [j for j, moves in enumerate(data["mu_variance"][-1]) if moves > 0.05]
    assert it.ask("it.survivors") == survivors
    dead = next(j for j in range(16) if j not in survivors)
    chosen = sorted([*survivors[:3], dead])
    for j in chosen:
        it.section.locator(".tug-bet").nth(j).click()
    assert it.state["bets"] == chosen
    assert "4 of 16 bets" in it.section.locator(".tug-score").inner_text()
    it.set(moment=len(data["step"]) - 1)
    told = it.section.locator(".tug-score").inner_text()
    assert "You bet on 4, and 3 of them lived (by chance 1.8)." in told
    assert ", ".join(map(str, survivors[3:])) in told
    assert it.section.locator(".tug-bet input").first.is_disabled()
    it.choose("survivors first")
    chart = it.section.locator(".tug-chart").text_content() or ""
    assert f"alive: {len(survivors)}" in chart
    assert "will" not in chart
    it.press("bet again")
    assert it.state == it.start


def test_play_goes_on_pauses_and_never_starts_by_itself(desk: Desk) -> None:
    it = desk("tug-of-war")
    start = it.state["moment"]
    it.page.wait_for_timeout(800)
    assert it.state["moment"] == start
    it.section.get_by_role("button", name="play").click()
    it.page.wait_for_function(
        "([section, start]) => section.explorable.state().moment > start",
        arg=[it.section.element_handle(), start],
    )
    it.section.get_by_role("button", name="pause").click()
    paused = it.state["moment"]
    it.page.wait_for_timeout(800)
    assert it.state["moment"] == paused


# --- the water level ------------------------------------------------------------------------------


def test_the_closed_form_in_the_page_is_the_packages(desk: Desk) -> None:
    it = desk("water-level")
    generator = torch.Generator().manual_seed(2)
    eigenvalues = 10 ** (4 * torch.rand(200, generator=generator, dtype=torch.float64) - 2)
    betas = 10 ** (3 * torch.rand(200, generator=generator, dtype=torch.float64) - 1.5)
    pairs = torch.stack([eigenvalues, betas], 1).tolist()
    found = it.ask("given.map(pair => it.optimum(pair[0], pair[1]))", pairs)
    for (eigenvalue, beta), mine in zip(pairs, found, strict=True):
        right = linear_vae_optimum(torch.tensor([eigenvalue], dtype=torch.float64), 1.0, beta)
        said = [mine["mu_variance"], mine["variance"], mine["kl"]]
        assert said == pytest.approx([value.item() for value in right], abs=1e-9)


@pytest.mark.parametrize("spectrum", ["MNIST", "toy"])
def test_the_water_drowns_what_it_should(desk: Desk, spectrum: str) -> None:
    it = desk("water-level")
    kept_spectra = {s["name"]: s["eigenvalues"] for s in kept("water-level")["spectra"]}
    assert it.ask("it.spectra") == list(kept_spectra)
    it.choose(spectrum)
    for beta in (0.1, 1.0, 4.0, 10.0):
        it.set(beta=beta)
        state = it.state
        above = sum(value > beta for value in kept_spectra[spectrum])
        assert state["spectrum"] == spectrum
        assert state["alive"] == above
        assert sum(value > 0 for value in state["kl"]) == above
        assert str(above) in it.said


# The grey levels of the pictures in the second row.
REBUILT = """section => {
  const greys = canvas => canvas.getContext("2d").getImageData(0, 0, 28, 28).data
    .filter((_, i) => i % 4 === 0);
  return [...section.querySelectorAll(".water-digits canvas")].slice(10)
    .map(canvas => Array.from(greys(canvas)));
}"""


def test_what_is_left_of_the_digits_is_what_the_optimum_keeps(desk: Desk) -> None:
    it = desk("water-level")
    for beta in (0.3, 1.0, 10.0):
        it.set(beta=beta)
        found = torch.tensor(it.section.evaluate(REBUILT)).view(10, 1, 28, 28)
        right = tool.rebuilt(kept("water-level"), beta)
        assert (found / 255 - right).abs().max() < LEVEL
        keep = f"{it.state['alive']} directions keep" if beta < 10 else "their mean keeps"
        assert keep in it.section.locator(".water-caption").inner_text()
    assert (found == found[:1]).all()  # the mean of all images: nothing is left
    it.choose("toy")
    assert not it.section.locator(".water-digits").is_visible()


def test_the_surface_can_be_dragged_and_the_slider_follows(desk: Desk) -> None:
    it = desk("water-level")
    slider = it.section.locator("input[type=range]")
    before, value = it.state["beta"], slider.input_value()
    it.drag(".water-surface", (1 / 3, 1 / 2), (0, -25))
    assert it.state["beta"] > before
    assert it.state["spectrum"] == "MNIST"
    assert slider.input_value() != value


# --- a finger -------------------------------------------------------------------------------------


def swipe(it: Explorable, place: str, start: tuple[float, float], by: tuple[float, float]) -> float:
    """Move a finger from a place inside a part by so many pixels; return how far the page went."""
    it.section.locator(place).first.evaluate("part => part.scrollIntoView({block: 'center'})")
    box = it.section.locator(place).first.bounding_box()
    assert box
    scrolled = it.page.evaluate("scrollY")
    x, y = box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"]
    touch = it.page.context.new_cdp_session(it.page)
    for step in range(12):
        kind = "touchMove" if 0 < step < 11 else "touchEnd" if step else "touchStart"
        points = [{"x": x + by[0] * step / 10, "y": y + by[1] * step / 10}] if step < 11 else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        it.page.wait_for_timeout(16)
    it.settle()
    return abs(it.page.evaluate("scrollY") - scrolled)


@pytest.mark.parametrize(
    ("name", "place", "start"),
    [
        ("sixteen-sliders", "input[type=range]", (0.7, 0.5)),
        ("latent-plane", ".plane-field", (0.3, 0.7)),
        ("tug-of-war", "input[type=range]", (0.7, 0.5)),
        ("tug-of-war", ".tug-bet", (0.5, 0.5)),
        ("water-level", ".water-surface", (0.2, 0.5)),
    ],
)
def test_a_finger_that_scrolls_sets_nothing(
    phone: Page, name: str, place: str, start: tuple[float, float]
) -> None:
    it = Explorable(phone, name)
    assert swipe(it, place, start, (4, -150)) > 50
    assert it.state == it.start


@pytest.mark.parametrize(
    ("name", "place", "start", "by"),
    [
        ("sixteen-sliders", "input[type=range]", (0.5, 0.5), (60, 2)),
        ("sixteen-sliders", "input[type=range]", (0.8, 0.5), (0, 0)),  # a tap
        ("latent-plane", ".plane-handle", (0.5, 0.5), (20, 60)),
        ("latent-plane", ".plane-field", (0.3, 0.3), (0, 0)),
        ("tug-of-war", ".tug-bet", (0.5, 0.5), (0, 0)),
        ("water-level", ".water-surface span", (0.5, 0.5), (0, -40)),
        ("water-level", ".water-chart", (0.3, 0.1), (0, 0)),
    ],
)
def test_a_finger_that_means_it_moves_the_thing_and_not_the_page(
    phone: Page, name: str, place: str, start: tuple[float, float], by: tuple[float, float]
) -> None:
    it = Explorable(phone, name)
    assert swipe(it, place, start, by) == 0
    it.page.wait_for_timeout(400)  # a click comes after a tap
    assert it.state != it.start


@every
def test_what_a_finger_needs_is_wide_enough(phone: Page, name: str) -> None:
    it = Explorable(phone, name)
    small = it.section.evaluate(
        """section => [...section.querySelectorAll(
             "button, input[type=range], label:has(> input), [tabindex='0'], .water-surface span")]
             .map(part => [part.className || part.type, part.getBoundingClientRect()])
             .filter(([, box]) => box.width && Math.min(box.width, box.height) < 24)
             .map(([what, box]) => `${what}: ${box.width} x ${box.height}`)"""
    )
    assert small == []


def test_on_its_side_a_phone_shows_the_picture_while_knobs_move(browser: Browser) -> None:
    context = browser.new_context(
        viewport={"width": 844, "height": 390}, has_touch=True, is_mobile=True
    )
    for page, rank in (("index", 15), ("sparsity", 12)):
        it = Explorable(opened(context, page), "sixteen-sliders")
        it.section.locator("input[type=range]").nth(rank).scroll_into_view_if_needed()
        box = it.section.locator(".sixteen-now").bounding_box()
        assert box
        assert box["y"] >= 40
        assert box["y"] + box["height"] <= 390
    context.close()


# --- find the dead ones ---------------------------------------------------------------------------

SHIFT = """window.shift = 0;
new PerformanceObserver(list => list.getEntries().forEach(entry => {
  if (!entry.hadRecentInput) window.shift += entry.value;
})).observe({ type: "layout-shift", buffered: true });"""


def network(key: str) -> dict[str, Any]:
    return kept("sixteen-sliders" if key == "a" else f"sixteen-sliders-{key}")


def wait_for(it: Explorable, condition: str) -> None:
    it.page.wait_for_function(
        f"section => {{ const state = section.explorable.state(); return {condition}; }}",
        arg=it.section.element_handle(),
    )


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_the_start_page_is_a_riddle_and_does_not_jump(
    browser: Browser, size: dict[str, int]
) -> None:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    context.add_init_script(SHIFT)
    page = context.new_page()
    page.route(
        "**/*.woff2*", lambda route: route.abort()
    )  # a font that comes late is another matter
    page.goto((HTML / "index.html").as_uri())
    page.wait_for_timeout(500)
    assert page.evaluate("shift") < 0.05
    it = Explorable(page, "sixteen-sliders")
    page.evaluate("scrollTo(0, 0)")
    top, stage = it.section.evaluate(
        """section => [section.getBoundingClientRect().top + scrollY,
                       section.querySelector(".explorable-stage").getBoundingClientRect().height]"""
    )
    assert top < 0.6 * size["height"]
    # The picture that waits for the script has the height of what replaces it.
    waiting = it.section.evaluate(
        """section => {
             delete section.dataset.live;
             section.dataset.waiting = "";
             return section.querySelector(".explorable-static").getBoundingClientRect().height;
           }"""
    )
    assert waiting == pytest.approx(stage, abs=2)
    context.close()


# What replaces the picture, and the picture that waits for it.
HEIGHTS = """section => {
  const height = part => section.querySelector(part).getBoundingClientRect().height;
  const stage = height(".explorable-stage");
  delete section.dataset.live;
  section.dataset.waiting = "";
  return [stage, height(".explorable-static")];
}"""


@pytest.mark.parametrize("size", [DESK, PHONE, {"width": 320, "height": 640}])
def test_the_water_level_does_not_jump_either(browser: Browser, size: dict[str, int]) -> None:
    context = browser.new_context(viewport=size)  # type: ignore[arg-type]
    stage, waiting = Explorable(opened(context), "water-level").section.evaluate(HEIGHTS)
    assert waiting == pytest.approx(stage, abs=6)
    context.close()


def test_the_riddle_does_not_answer_itself(context: BrowserContext) -> None:
    it = Explorable(opened(context, "index"), "sixteen-sliders")
    rows = it.section.locator(".explorable-slider")
    names = [name.replace("\n", "") for name in rows.locator("label[for]").all_inner_texts()]
    assert names == [f"z{j}" for j in range(16)]  # in their own order
    look = "input => [getComputedStyle(input).getPropertyValue('--accent'), input.value].join()"
    looks = rows.locator("input[type=range]").evaluate_all(f"inputs => inputs.map({look})")
    assert len(set(looks)) == 1  # in one colour, and in one place
    seen = it.section.locator(".explorable-stage").inner_text()
    assert "KL" not in seen
    assert "nats" not in seen
    knob = rows.locator("input[type=range]").nth(7)
    knob.focus()
    it.page.keyboard.press("End")
    it.settle()
    farthest = max(abs(z) for code in kept("sixteen-sliders")["digits"] for z in code)
    end = max(2.5, np.ceil(2 * farthest) / 2)  # of every slider
    assert it.state["z"][7] == pytest.approx(end)
    assert "turned" in (knob.get_attribute("aria-valuetext") or "")


def test_the_riddle_is_scored_and_can_be_played_again(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    it = Explorable(opened(context, "index"), "sixteen-sliders")
    data = network("a")
    dead = [j for j in range(16) if not data["active"][j]]
    alive = [j for j in range(16) if data["active"][j]]
    ticked = sorted([*dead[:-2], alive[0]])
    for j in ticked:
        it.section.get_by_role("checkbox", name="does nothing").nth(j).check()
    assert it.state["dead"] == ticked
    it.press("reveal")
    assert it.state["revealed"]
    assert it.ask("it.outcome()") == {"hits": dead[:-2], "misses": dead[-2:], "alarms": alive[:1]}
    told = it.section.locator(".sixteen-score").inner_text()
    assert f"{len(dead)} do nothing. You found {len(dead) - 2} and missed 2" in told
    assert "1 false alarm" in told
    assert "13 of 16 right" in told
    groups = it.section.locator(".sixteen-group")
    assert groups.nth(0).locator("legend").inner_text() == f"{len(alive)} work"
    assert groups.nth(1).locator(".sixteen-verdict").all_inner_texts().count("missed") == 2
    assert "2.52" in groups.nth(0).inner_text()  # the KL of z7
    seen = [len(dead)]
    for key in (*data["others"], "a"):
        it.press("another network")
        wait_for(it, f"state.network === '{key}'")
        state = it.state
        assert (state["revealed"], state["dead"]) == (False, [])
        assert state["z"] == network(key)["digits"][7]
        seen.append(network(key)["active"].count(False))
        it.press("reveal")
        assert f"{seen[-1]} of its 16 variables do nothing" in it.section.inner_text()
    assert len(set(seen)) == len(data["others"]) + 1
    context.close()


# --- the address ----------------------------------------------------------------------------------

ADDRESSES = {
    "sixteen-sliders": ("net=c&digit=3&dead=0,15&shown=1&z7=-1.25", {"network": "c", "digit": 3}),
    "latent-plane": ("model=vae&x=0.50&y=-1.25", {"model": "VAE", "z": [0.5, -1.25]}),
    "tug-of-war": ("batch=1407&order=fate&bet=1,7", {"step": 1407, "sorted": True, "bets": [1, 7]}),
    "water-level": ("beta=3.00&data=toy", {"beta": 3, "spectrum": "toy"}),
    "which-beta": (
        "loss=mse.mean.mean.mean.mean&sizes=784,1,8,64,0.1,0.5&spectrum=glyphs",
        {"term": "mse", "variables_by": "mean", "latent": 8, "factor": 0.5, "data": "glyphs"},
    ),
    "diagnose-codes": ("codes=book-2", {"slip": "swapped"}),
}


def test_the_address_holds_what_the_reader_did(browser: Browser) -> None:
    """All of them on one page: set by the address, written back by a move, and by no other way."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    whole = "&".join(text for text, _ in ADDRESSES.values())
    address = f"{(HTML / 'gallery.html').as_uri()}#{whole}"
    page.goto(address)
    sliders = Explorable(page, "sixteen-sliders")
    wait_for(sliders, "state.network === 'c' && state.revealed")
    assert sliders.state["z"][7] == -1.25
    assert sliders.state["dead"] == [0, 15]
    for name, (_, expected) in ADDRESSES.items():
        assert Explorable(page, name).state.items() >= expected.items(), name
    assert page.url == address  # nothing was written while nothing was moved
    entries = page.evaluate("history.length")

    water = Explorable(page, "water-level")
    slider = water.section.locator("input[type=range]")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    assert f"beta={water.state['beta']:.2f}" in page.url
    assert all(part in page.url for part in whole.split("&") if "beta" not in part)
    assert page.evaluate("history.length") == entries
    # What is where it was at first is not in the address.
    water.choose("MNIST")
    sliders.press("reset")
    page.wait_for_timeout(500)
    assert "data=" not in page.url
    assert "z7=" not in page.url
    # A link within the page sets them too, and an anchor is no state.
    page.evaluate("location.hash = 'beta=0.5'")
    wait_for(water, "state.beta === 0.5")
    page.evaluate("location.hash = 'the-latent-plane'")
    page.wait_for_timeout(300)
    assert water.state["beta"] == 0.5
    context.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        "net=zz&digit=77&dead=99,x,,-1&z7=1e9&shown=",
        "batch=-5&x=NaN",
        "codes=book-9&loss=a.b&sizes=-1,,x",
    ],
)
def test_rubbish_in_the_address_does_no_harm(context: BrowserContext, rubbish: str) -> None:
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{(HTML / 'gallery.html').as_uri()}#{rubbish}")
    for name in NAMES:
        assert alive(Explorable(page, name))
    state = Explorable(page, "sixteen-sliders").state
    assert state["network"] == "a"
    assert state["dead"] == []
    assert all(abs(z) <= 3 for z in state["z"])
    assert complaints == []


# --- contrast themes ------------------------------------------------------------------------------


def test_in_a_contrast_theme_nothing_vanishes(browser: Browser) -> None:
    context = browser.new_context(viewport=DESK, forced_colors="active")  # type: ignore[arg-type]
    page = opened(context)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    colour = "(part, pseudo) => getComputedStyle(part, pseudo).backgroundColor"

    def stands_out(place: str, pseudo: str | None = None) -> bool:
        part = page.locator(place).first
        return part.evaluate(colour, pseudo) not in (ground, "rgba(0, 0, 0, 0)")

    page.locator(".tug-bet").first.click()
    Explorable(page, "sixteen-sliders").set(revealed=True)
    assert stands_out(".explorable-choice :checked + span")
    assert stands_out(".tug-bet :checked + span")
    assert stands_out(".tug-play", "::before")
    assert stands_out(".sixteen-kl", "::before")
    # The parts of a slider can only be looked at: its line from end to end, and the thumb.
    slider = Image.open(io.BytesIO(page.locator(".sixteen input[type=range]").first.screenshot()))
    pixels = np.asarray(slider.convert("RGB")).astype(int)
    seen = np.abs(pixels - pixels[0, 0]).sum(2) > 60
    assert seen.any(0).mean() > 0.9
    assert seen.sum(0).max() >= 14
    context.close()
