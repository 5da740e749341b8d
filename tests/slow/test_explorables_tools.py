"""The tools in the page under load, and in another browser."""

import sys
from pathlib import Path

import numpy as np
import pytest
from browser import DESK
from firefox import firefox
from playwright.sync_api import Browser

from vaelib import diagnose

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from test_diagnose_codes import LOGVAR, MU, TEXTS, answered, saved, stub, the_same

NAME = "diagnose-codes"
# Whether the page goes on while the worker works: the longest wait for a frame, in ms.
FRAMES = """window.longest = 0;
let last = performance.now();
(function tick() {
  const now = performance.now();
  longest = Math.max(longest, now - last);
  last = now;
  requestAnimationFrame(tick);
})();"""


def test_a_large_file_does_not_stop_the_page(browser: Browser, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shape = (100_000, 128)
    mu = random.standard_normal(shape, dtype=np.float32) * np.linspace(0, 1, 128, dtype="f4")
    logvar = np.full(shape, -1, "f4") + np.float32(0.1) * mu
    path = tmp_path / "large.npz"
    np.savez(path, mu=mu, logvar=logvar)  # 102 MB
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.goto(stub(tmp_path, NAME).as_uri())
    page.evaluate("window.it = document.querySelector('section').explorable")
    page.evaluate(FRAMES)
    page.locator("input[type=file]").set_input_files(path)
    page.locator("progress").wait_for()
    the_same(answered(page), diagnose(mu, logvar), 1e-6)
    assert page.evaluate("longest") < 1_000
    context.close()


def test_firefox_diagnoses_as_python_does(tmp_path: Path) -> None:
    """Every form of .npz, and a table."""
    wait = """new Promise(done => (function look() {
      const state = it.state();
      if (!state.busy && (it.answer() || state.wrong)) done(it.answer() || state);
      else setTimeout(look, 50);
    })())"""
    with firefox() as page:
        page.goto(stub(tmp_path, NAME))
        page.evaluate("(window.it = document.querySelector('section').explorable) && null")
        for form in range(8):
            mu, variance = MU.numpy(), LOGVAR.exp().numpy()
            path, arrays = saved(tmp_path, form, {"mu": mu, "variance": variance})
            page.evaluate("it.set({}) || null")
            page.set_files("input[type=file]", path)
            the_same(page.evaluate(wait), diagnose(**arrays))
        table = tmp_path / "codes.csv"
        table.write_text(TEXTS["with a label"])
        page.evaluate("it.set({}) || null")
        page.set_files("input[type=file]", table)
        the_same(page.evaluate(wait), diagnose(MU, LOGVAR))
        page.goto(stub(tmp_path, "which-beta"))
        found = page.evaluate("document.querySelector('section').explorable.state()")
        assert found["beta"] == pytest.approx(784)
