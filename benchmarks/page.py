"""How long a reader waits for a page, in Chromium behind a slow network and on a slow processor.

usage: page.py [--rounds N] [--folder _build/html] [PAGE ...]

The page is served with gzip from this machine; the browser is told to behave as if the network
gave 1.6 Mbit/s with 150 ms to answer, and the processor were four times slower. What each file
weighs on the wire is printed; ``measure`` is what ``make bench`` takes into its tables.
"""

from __future__ import annotations

import argparse
import gzip
import http.server
import mimetypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import chromium  # noqa: E402

PHONE = {"width": 390, "height": 844}
SLOW_4G = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 200_000,
    "uploadThroughput": 93_750,
}
SLOWER = 4
# The first edition, where no build of it is at hand to be measured beside.
FIRST = {"live": 14.0, "kilobytes": 2336, "all": 2336, "shift": 0.16}
LIVE = "section[data-explorable][data-live]"
# Told from within, since asking from outside waits for a slow processor.
WATCH = """
  window.seen = {shift: 0, live: null};
  new PerformanceObserver(list => list.getEntries().forEach(entry => {
    if (!entry.hadRecentInput) window.seen.shift += entry.value;
  })).observe({type: "layout-shift", buffered: true});
  new MutationObserver((_, observer) => {
    if (!document.querySelector("section[data-explorable][data-live]")) return;
    window.seen.live = performance.now();
    observer.disconnect();
  }).observe(document, {subtree: true, childList: true, attributeFilter: ["data-live"]});
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder over http, packed as any server packs them."""

    @cache
    def content(path: Path) -> tuple[bytes, bool]:
        plain = path.read_bytes()
        packed = path.suffix in (".html", ".css", ".js", ".svg", ".json")
        return (gzip.compress(plain, 6), True) if packed else (plain, False)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = folder / unquote(urlsplit(self.path).path).lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            body, packed = content(path)
            self.send_response(200)
            self.send_header("Content-Type", mimetypes.guess_type(path)[0] or "font/woff2")
            self.send_header("Content-Length", str(len(body)))
            if packed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def load(browser: Browser, address: str, *, slow: bool = True, viewport: Any = None) -> Any:
    """Open a page once with an empty cache; return times, weights, and how far things moved."""
    context = browser.new_context(viewport=viewport or PHONE)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    files: dict[str, dict[str, Any]] = {}
    devtools.on(
        "Network.requestWillBeSent",
        lambda event: files.setdefault(
            event["requestId"], {"url": event["request"]["url"], "sent": event["timestamp"]}
        ),
    )

    def finished(event: dict[str, Any]) -> None:
        files[event["requestId"]] |= {
            "bytes": event["encodedDataLength"],
            "ended": event["timestamp"],
        }

    devtools.on("Network.loadingFinished", finished)
    if slow:
        devtools.send("Network.emulateNetworkConditions", SLOW_4G)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.add_init_script(WATCH)
    page.goto(address, wait_until="commit")
    page.wait_for_selector(LIVE, state="attached", timeout=60_000)
    page.wait_for_load_state("load")
    page.wait_for_timeout(1500)  # for what still moves
    seen = page.evaluate("window.seen")
    paint = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    )
    context.close()
    start = min(file["sent"] for file in files.values())
    rows = [
        {
            "file": urlsplit(file["url"]).path.rpartition("/")[2],
            "kilobytes": file["bytes"] / 1000,
            "sent": file["sent"] - start,
            "ended": file["ended"] - start,
        }
        for file in files.values()
        if "ended" in file and file["url"].startswith("http")
    ]
    live = seen["live"] / 1000
    return {
        "live": live,
        "paint": paint / 1000 if paint else None,
        "shift": seen["shift"],
        "kilobytes": sum(row["kilobytes"] for row in rows if row["ended"] <= live),
        "all": sum(row["kilobytes"] for row in rows),
        "files": rows,
    }


def measure(folder: Path, rounds: int, page: str = "index.html") -> dict[str, Any]:
    """The front page several times: medians, and the files of the round in the middle."""
    with served(folder) as address, chromium.started() as browser:
        found = [load(browser, f"{address}/{page}") for _ in range(rounds)]
    middle = sorted(found, key=lambda one: one["live"])[rounds // 2]
    return middle | {
        name: median(one[name] for one in found) for name in ("live", "shift", "kilobytes", "all")
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("pages", nargs="*", default=["index.html"])
    options = parser.parse_args()
    for page in options.pages:
        found = measure(options.folder, options.rounds, page)
        for row in found["files"]:
            when = f"{row['sent']:5.2f} to {row['ended']:5.2f} s"
            print(f"{row['kilobytes']:8.1f} KB  {when}  {row['file']}")
        print(
            f"{page}: live after {found['live']:.2f} s and {found['kilobytes']:.0f} KB of "
            f"{found['all']:.0f} KB; first paint {found['paint']:.2f} s; "
            f"shift {found['shift']:.3f}"
        )


if __name__ == "__main__":
    main()
