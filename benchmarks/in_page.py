"""The engine of the laboratory beside what else trains in a page, in headless Chromium.

``measure`` is what ``make bench`` takes into its tables. The contestants of ``in_page.js`` take
turns, each in a page and process of its own. TensorFlow.js comes from npm; without npm its rows are
missing. It runs in one thread, as in a page from disk, which may not share memory between threads.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

from page import chromium, served
from playwright.sync_api import Browser, Error, Page

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "_build" / "peers" / "tfjs"
TFJS = "4.22.0"
SCRIPTS = ("tfjs/dist/tf.min.js", "tfjs-backend-wasm/dist/tf-backend-wasm.min.js")
# Name, and how many steps are timed at once.
CONTESTANTS = {
    "simd": ("ours", 40),
    "plain": ("ours, plain JavaScript", 8),
    "wasm": ("TensorFlow.js, wasm", 8),
    "cpu": ("TensorFlow.js, cpu", 2),
    "webgl": ("TensorFlow.js, webgl", 2),
    "convnet": ("image by image, as ConvNetJS", 4),
}
FLAGS = [
    "--no-sandbox",
    "--enable-unsafe-swiftshader",  # a processor draws for WebGL where there is no GPU
    "--disable-features=SpareRendererForSitePerProcess",  # which would be taken for a page's
]
COMPARED = 40  # steps on the same images, noise and first weights
SEEN = 2_000  # steps of the default, until which variables collapse


def fetch_tensorflow() -> bool:
    """TensorFlow.js from npm, once."""
    if (PEERS / "node_modules").is_dir():
        return True
    if not shutil.which("npm"):
        print("npm is not installed: without TensorFlow.js")
        return False
    PEERS.mkdir(parents=True, exist_ok=True)
    packages = [f"@tensorflow/{name}@{TFJS}" for name in ("tfjs", "tfjs-backend-wasm")]
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    return not subprocess.run([*command, "--prefix", str(PEERS), *packages]).returncode


def renderers(browser: Browser) -> dict[int, float]:
    """Megabytes of each process that runs pages, by its number, without what processes share."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    found = {}
    for process in processes:
        rollup = Path("/proc", str(process["id"]), "smaps_rollup")
        if process["type"] == "renderer" and rollup.exists():
            sizes = dict(line.split(":") for line in rollup.read_text().splitlines()[1:])
            parts = (sizes.get(name, "0 kB") for name in ("Private_Clean", "Private_Dirty", "Swap"))
            found[process["id"]] = sum(int(part.split()[0]) for part in parts) / 1000
    return found


def new_page(browser: Browser, address: str) -> tuple[Page, int]:
    """A page in a process of its own, and the number of that."""
    before = renderers(browser)
    page = browser.new_context().new_page()
    page.set_default_timeout(300_000)
    page.goto(f"{address}/benchmarks/in_page.html")
    number = max(renderers(browser).keys() - before.keys())
    return page, number


def measure(rounds: int) -> dict[str, Any]:
    """Time, losses and memory of all, and the laboratory's default as a reader would watch it."""
    there = fetch_tensorflow()
    rows: list[dict[str, Any]] = []
    with served(ROOT) as address, chromium.started(FLAGS) as browser:
        empty, number = new_page(browser, address)
        blank = renderers(browser)[number]
        empty.context.close()
        pages = []
        for kind, (name, steps) in CONTESTANTS.items():
            is_peer = kind in ("wasm", "cpu", "webgl")
            if is_peer and not there:
                continue
            page, number = new_page(browser, address)
            folder = f"{address}/{PEERS.relative_to(ROOT)}/node_modules/@tensorflow/"
            for script in SCRIPTS if is_peer else ():
                page.add_script_tag(url=folder + script)
            try:
                enter = "([kind, folder, steps]) => Bench.enter(kind, folder, steps)"
                seen = page.evaluate(enter, [kind, folder + "tfjs-backend-wasm/dist/", COMPARED])
            except Error as error:
                print(f"{name}: {error.message.splitlines()[0]}")
                page.context.close()
                continue
            print(f"{name}: losses at most {seen['apart']:.1e} apart", flush=True)
            rows.append({"name": name, "kind": kind, "apart": seen["apart"], "ms": []})
            pages.append((page, number, steps, rows[-1]))
        for _ in range(rounds):
            for page, _, steps, row in pages:
                row["ms"].append(page.evaluate("steps => Bench.time(steps)", steps))
        for page, number, _, row in pages:
            row["megabytes"] = renderers(browser)[number]
            page.context.close()
        page, number = new_page(browser, address)
        watched = page.evaluate("steps => Bench.watch(steps)", SEEN)
        frames = watched.pop("frames")
        watched["frames per second"] = 1000 / median(frames)
        watched["megabytes"] = renderers(browser)[number]
    return {"rows": rows, "watched": watched, "steps": SEEN, "blank": blank}
