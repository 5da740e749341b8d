"""Every page prints whole, from the browser's window and from the command line."""

import subprocess
from pathlib import Path

import pytest
from browser import HTML, PAGES, chromium, show
from playwright.sync_api import Browser
from test_print import left_out, printed_whole, text_of


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_prints_whole(browser: Browser, path: Path) -> None:
    assert printed_whole(browser, path.stem) == []


def test_who_reads_the_code_prints_the_code(browser: Browser) -> None:
    assert printed_whole(browser, "sparsity", checked=True) == []


def test_the_command_line_prints_whole(browser: Browser, tmp_path: Path) -> None:
    command = chromium.command()
    if command is None:
        pytest.skip(chromium.MISSING)
    made = tmp_path / "page.pdf"
    page = HTML / "sparsity.html"
    subprocess.run(
        [command, "--headless", *chromium.FLAGS, f"--print-to-pdf={made}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=300,
    )
    context = browser.new_context()
    shown, _ = show(context, page)
    assert left_out(shown, text_of(made.read_bytes())) == []
    context.close()
