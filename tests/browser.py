"""The built pages in a browser, from disk, with the network off."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import ROOT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

HTML = ROOT / "_build" / "html"
PAGES = sorted(path for path in HTML.glob("*.html") if path.name != "search.html")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # root, or a container, cannot have one; the pages are our own
    *("--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium or Chrome, whichever the system has."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield instance
        instance.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile on a phone."""
    context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    yield context
    context.close()


# Maths typeset and fonts in; then a moment for whatever still wants the network to ask for it.
SETTLED = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
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
