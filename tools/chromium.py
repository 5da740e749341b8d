"""Chromium or Chrome, whichever the system has: what draws, prints, measures and tests pages."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

# The shell is the same browser without a window: a page takes it a third of the time.
NAMES = (
    *("chromium-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable"),
)
FLAGS = (
    "--no-sandbox",  # root, or a container, cannot have one; the pages are our own
    *("--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
MISSING = f"none of {', '.join(NAMES)} is installed"


def command() -> str | None:
    """Where it is, if anywhere."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started(flags: Sequence[str] = FLAGS) -> Iterator[Browser]:
    """Start it; without one the program ends with a message."""
    path = command()
    if path is None:
        raise SystemExit(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(flags))
        yield browser
        browser.close()
