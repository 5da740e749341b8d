"""The built pages in a browser, from disk, with the network off."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import chromium  # noqa: E402

HTML = ROOT / "_build" / "html"
PAGES = sorted(path for path in HTML.glob("*.html") if path.name != "search.html")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@contextmanager
def started() -> Iterator[Browser]:
    """Start Chromium or Chrome, whichever the system has; without one the test is skipped."""
    if chromium.command() is None:
        pytest.skip(chromium.MISSING)
    with chromium.started() as browser:
        yield browser


# Fonts and pictures in; then a moment for whatever still wants the network to ask for it.
SETTLED = """async () => {
  await Promise.all([...document.images].map(picture => picture.decode().catch(() => 0)));
  await document.fonts.ready;
  await new Promise(resolve => setTimeout(resolve, 300));
}"""


def show(context: BrowserContext, path: Path) -> tuple[Page, list[str]]:
    """Open a page from disk; return it with every complaint of the browser's."""
    complaints: list[str] = []
    page = context.new_page()

    def on_request(url: str) -> None:
        if urlsplit(url).scheme not in ("file", "data", "blob"):
            complaints.append(f"asked for {url}")

    page.on("request", lambda request: on_request(request.url))
    page.on("requestfailed", lambda request: complaints.append(f"could not load {request.url}"))
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"console {message.type}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    context.route(re.compile(r"^(https?|wss?):"), lambda route: route.abort())
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(SETTLED)
    return page, complaints


def change_scheme(page: Page, scheme: str) -> None:
    """Show the page as in daylight or at night."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
    # While a colour changes gradually, its contrast is that of neither page.
    page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")


# --- axe ----------------------------------------------------------------------------------------

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# These take nearly all of axe's time, and most of that goes into single letters of formulas and
# words of code: thousands of elements in a few colours.
OF_COLOUR = ["color-contrast", "link-in-text-block"]
# What axe thinks moderate, or leaves out: content outside the landmarks, targets below 24 pixels.
ALSO = ["region", "skip-link", "target-size"]
MANY_AND_SMALL = [["mjx-container"], [".highlight pre"]]
# Without its loading of style sheets by fetch, which a page opened from disk may not do.
RUN_AXE = """async ([exclude, options, also]) => {
  const found = await axe.run(
    { include: document, exclude }, { preload: false, resultTypes: ["violations"], ...options });
  return found.violations
    .filter(rule => ["serious", "critical"].includes(rule.impact) || also.includes(rule.id))
    .flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 200)}`));
}"""


def axe(
    page: Page, colours: bool | None = None, everywhere: bool = True, also: Sequence[str] = ()
) -> list[str]:
    """Return what axe finds serious: by all rules, by those of colour alone, or by the others."""
    page.evaluate(AXE)
    small = {rule: {"enabled": True} for rule in also}
    options = {
        None: {"rules": small},
        True: {"runOnly": {"type": "rule", "values": OF_COLOUR}},
        False: {"rules": small | {rule: {"enabled": False} for rule in OF_COLOUR}},
    }[colours]
    return page.evaluate(RUN_AXE, [[] if everywhere else MANY_AND_SMALL, options, also])
