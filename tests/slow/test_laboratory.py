"""Each experiment of the laboratory ends as its text says, on five seeds."""

from typing import Any

import pytest
from browser import HTML, show
from firefox import firefox
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(
    not (HTML / "laboratory.html").is_file(), reason="the book is not built: make book"
)
SEEDS = range(5)
# What its text must say, and the answers that go with it.
ENDS = {
    "one": ("Most are dead", range(3, 7)),
    "cheap": ("Almost nothing dies", range(13, 17)),
    "between": ("About half", range(7, 11)),
    "averaged": ("You averaged your loss", range(1)),
    "noise": ("noise kills what is alive and useful", range(4, 11)),
    "raise": ("a dead variable is not a useless one", range(3)),
    "loop": ("it hardly cares", range(3, 8)),
    "line": ("straight lines have no memory", range(3, 4)),
    "bend": ("bends and depth stay below it", range(1, 3)),
}
# The preset's runs without the page: the same network, steps and changes, as fast as they go.
RUN = """async ([key, seed]) => {
  window.sets ||= {glyphs: Engine.glyphs(await Explorables.fetchData("engine-glyphs"))};
  const preset = Laboratory.find(key), chosen = Laboratory.network(preset, {seed}), kept = [];
  for (const run of preset.runs) {
    const here = run.bend ? {...chosen, bend: run.bend} : chosen;
    const settings = {...Laboratory.settings(here), pictures: 0, draws: 0};
    const network = Engine.network(settings, sets), measured = {};
    for (let step = 0; ; step++) {
      const due = run.acts.filter(act => act[0] === step);
      due.forEach(act => network.change(act[1]));
      if (due.length || step === run.until) measured[step] = network.measure();
      if (step === run.until) break;
      network.step();
    }
    kept.push(measured);
  }
  return [preset.answer(kept, chosen), preset.tell(kept, chosen)];
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    page, complaints = show(browser.new_context(), HTML / "laboratory.html")
    assert complaints == []
    return page


def test_every_experiment_is_tried(page: Page) -> None:
    assert page.evaluate("Laboratory.PRESETS.map(one => one.key)") == list(ENDS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", ENDS)
def test_an_experiment_ends_as_its_text_says(page: Page, key: str, seed: int) -> None:
    words, answers = ENDS[key]
    answer, said = page.evaluate(RUN, [key, seed])
    assert answer in answers, said
    assert words in said


def test_the_page_trains_what_the_test_trains(page: Page) -> None:
    """The same experiment as a reader sees it, in the worker and with pictures."""
    section = page.locator('section[data-explorable="laboratory"]')
    section.get_by_role("radio", name="straight lines").check()
    section.get_by_role("textbox").fill("3")
    section.get_by_role("button", name="play").click()
    handle: Any = section.element_handle()
    page.wait_for_function("it => it.explorable.finished()", arg=handle, timeout=300_000)
    assert section.evaluate("it => it.explorable.outcome()") == (
        f"You guessed 3, and it is 3. Right. {page.evaluate(RUN, ['line', 0])[1]}"
    )


def test_firefox_shows_the_same(page: Page) -> None:
    """By hand, as a reader would: play, and what is said at the end."""
    with firefox() as other:
        other.goto(HTML / "laboratory.html")
        said = other.evaluate("""(async () => {
          const section = document.querySelector('section[data-explorable="laboratory"]');
          section.querySelector(".explorable-stage .is-main").click();
          while (!section.explorable.finished()) await new Promise(go => setTimeout(go, 200));
          return section.explorable.outcome();
        })()""")
    assert said.endswith(page.evaluate(RUN, ["one", 0])[1])
