"""``make bench``: our training beside what people would use instead, and beside the limit.

usage: run.py [--rounds N] [--quick] [--page [FIRST_EDITION]] [--engine]

Everything is measured in this run, in processes of their own for one and for two threads, the
contestants in turn so that all meet the same noise. Written to ``results.json`` and ``results.md``
beside this file; the book shows the latter. What is compared are ratios: absolute times are of this
machine, on this day.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BINDER = ROOT / "_build" / "binder.json"  # left by `make rehearse`
GPU = HERE / "gpu.json"  # the last machine with a GPU that this was run on
Row = dict[str, Any]


def worker(task: str, threads: int, *arguments: str) -> Any:
    """Measure something in a process of its own, and return what it printed as JSON."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "VAELIB_TRAIN": "",
        "PYTHONPATH": f"{ROOT}:{ROOT / '_build' / 'peers'}",
        # JAX takes the cores it may run on.
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=" + str(threads > 1).lower(),
    }
    command = [sys.executable, str(HERE / "tasks.py"), task, str(threads), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"bench: {task} failed")
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> Row:
    """What was measured on."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "bfloat16": "avx512_bf16" in flags or "amx_bf16" in flags,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load before": round(os.getloadavg()[0], 2),
        "day": time.strftime("%Y-%m-%d"),
    }


def torch_sees_a_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def timed(command: list[str], **options: Any) -> float:
    """Wall-clock seconds of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, **options)
    return time.perf_counter() - start


def collect(rounds: int, quick: bool) -> Row:
    """Measure everything."""
    results: Row = {"machine": machine(), "steps": [], "first": []}
    nets = ["784-400-20", "784-256-64-32-24-16"] + ([] if quick else ["convolutional"])
    for net in nets:
        for threads in (1, 2):
            print(f"steps of {net}, {threads} thread(s)", flush=True)
            found = worker("steps", threads, net, str(rounds))
            results["steps"] += [{"net": net, "threads": threads} | row for row in found["steps"]]
            results["first"] += [{"net": net, "threads": threads} | row for row in found["first"]]
    for task, threads in (
        *(("epoch", 1), ("likelihood", 1), ("memory", 1), ("busy", 1), ("busy", 2)),
        *(("data", 1), ("sweep", 1), ("growth", 1), ("precision", 1), ("imports", 1)),
    ):
        print(f"{task}, {threads} thread(s)", flush=True)
        results.setdefault(task, {})[str(threads)] = worker(task, threads, str(rounds))
    builder = [str(ROOT / ".venv/bin/jupyter-book"), "build", "book", "--quiet", "--all"]
    options = ["--path-output", str(ROOT / "_build" / "bench"), "--config", "_config.yml"]
    html = timed([*builder, *options, "--toc", str(ROOT / "_toc.yml")])
    results["html"] = {"seconds": html}
    results["page"] = pages(rounds, None)
    results["engine"] = engines(rounds)
    if torch_sees_a_gpu():
        GPU.write_text(json.dumps(worker("gpu", 1, str(rounds)), indent=1) + "\n")
    return results


def pages(rounds: int, first: Path | None) -> Row:
    """The front page on a slow phone; with a build of the first edition at hand, that one too."""
    from page import FIRST, measure

    print("the front page", flush=True)
    kept = json.loads((HERE / "results.json").read_text()).get("page", {}).get("first", FIRST)
    found = measure(ROOT / "_build" / "html", min(rounds, 5))
    return found | {"first": measure(first, min(rounds, 5)) if first else kept}


def engines(rounds: int) -> Row:
    """What trains in a page."""
    from in_page import measure

    print("what trains in a page", flush=True)
    load = round(os.getloadavg()[0], 2)
    return measure(rounds) | {"load before": load, "day": time.strftime("%Y-%m-%d")}


# --- as a table -----------------------------------------------------------------------------------


def spread(values: list[float]) -> str:
    """Median, and the quartiles."""
    low, _, high = quantiles(values, n=4)
    return f"{median(values):.2f} ({low:.2f}–{high:.2f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    # Columns of figures hang on their right edge; the first and one without a head are words.
    lines = [head, ["---", *("--:" if name else "---" for name in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def step_tables(results: Row) -> str:
    parts = []
    for net in dict.fromkeys(row["net"] for row in results["steps"]):
        rows = []
        cells = {
            (row["name"], row["threads"]): row for row in results["steps"] if row["net"] == net
        }
        for name in dict.fromkeys(name for name, _ in cells):
            line = [name]
            for threads in (1, 2):
                row = cells.get((name, threads))
                limit = cells["the limit", threads]
                line.append(spread(row["ms"]) if row else "–")
                line.append(f"{row_ratio(row, limit):.2f}" if row else "–")
            rows.append(line)
        head = ["", "1 thread, ms (quartiles)", "× limit", "2 threads, ms", "× limit"]
        parts.append(f"**{net}**\n\n" + table(head, rows))
    return "\n\n".join(parts)


def row_ratio(row: Row, limit: Row) -> float:
    """Median of the ratios round by round: both met the same noise."""
    return median(a / b for a, b in zip(row["ms"], limit["ms"], strict=True))


def targets(results: Row) -> str:
    """What was asked for, and what came out."""
    cells = {(row["net"], row["threads"], row["name"]): row for row in results["steps"]}
    net, book = "784-400-20", "784-256-64-32-24-16"
    lines = []

    def add(what: str, value: float, wanted: str, met: bool, why: str = "") -> None:
        verdict = "met" if met else "**missed**" + (f": {why}" if why else "")
        # One digit more where two would say that the bound itself was measured.
        digits = 3 if f"{value:.2f}" in wanted else 2
        lines.append([what, f"{value:.{digits}f}", wanted, verdict])

    for threads in (1, 2):
        said = f"{threads} thread" + "s" * (threads > 1)

        def ratio(name: str, to: str, net: str = net, threads: int = threads) -> float:
            return row_ratio(cells[net, threads, name], cells[net, threads, to])

        for each in (net, book):
            value = ratio("ours", "the limit", each)
            add(f"ours ÷ limit, {each}, {said}", value, "≤ 1.25", value <= 1.25, WHY["limit"])
        if results["machine"]["bfloat16"]:
            value = ratio("ours, bfloat16", "the limit")
            add(f"ours in bfloat16 ÷ float32 limit, {said}", value, "≤ 1.0", value <= 1)
        for other, least in (("DataLoader loop", 4), ("pythae", 2), ("JAX, whole epoch", 1)):
            value, bound = ratio(other, "ours"), ratio(other, "the limit")
            why = f"the limit itself would give {bound:.2f}"
            if other.startswith("JAX"):
                products = ratio("JAX's products alone", "PyTorch's products alone")
                why += f"; JAX's matrix products take {products:.2f} of the time of PyTorch's"
            if results["machine"]["bfloat16"]:
                why += f"; ours in bfloat16 gives {ratio(other, 'ours, bfloat16'):.2f}"
            add(f"{other} ÷ ours, {said}", value, f"≥ {least}", value >= least, why)
    busy = results["busy"]["1"]
    value = median(busy["busy"]) / median(busy["quiet"])
    add("a step beside a busy core ÷ alone, as we train", value, "≤ 1.5", value <= 1.5, WHY["busy"])
    sweep = results["sweep"]["1"]
    value = sweep["one after another"] / sweep["side by side"]
    bound = 2 / row_ratio(cells[book, 1, "the limit"], cells[book, 2, "the limit"])
    why = f"of the limit alone, two processes of one thread would gain {bound:.2f}"
    add("16 networks: one after another ÷ side by side", value, "≥ 1.8", value >= 1.8, why)
    memory = results["memory"]["1"]["above import torch, MB"]
    add("peak memory of training above `import torch`, MB", memory, "< 150", memory < 150)
    one, other = (results["precision"]["1"][name] for name in ("float32", "bfloat16"))
    gaps = [abs(a[0] - b[0]) for a, b in zip(one, other, strict=True)]
    add("bfloat16 beside float32, largest gap of the test ELBO of 3 seeds, nats", max(gaps),
        "≤ 0.3", max(gaps) <= 0.3)  # fmt: skip
    lost = sum(abs(a[1] - b[1]) for a, b in zip(one, other, strict=True))
    add("the same, difference in active variables", lost, "0", lost == 0)
    return table(["what", "measured", "wanted", ""], lines)


WHY = {
    "limit": "what is left are the passes over the pixels between the products, and Python",
    "busy": "the other process takes more than its core: memory and caches are shared",
}


def report(results: Row) -> str:
    """The tables, as Markdown."""
    about = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    epoch = results["epoch"]["1"]
    likelihood = results["likelihood"]["1"]
    memory = results["memory"]["1"]
    sweep, growth, data = (results[name]["1"] for name in ("sweep", "growth", "data"))
    first = [
        [row["name"], f"{row['import and build']:.2f}", f"{row['first']:.2f}"]
        for row in results["first"]
        if row["threads"] == 1 and row["net"] == "784-400-20"
    ]
    imported = [[f"`{name}`", f"{s:.2f}"] for name, s in results["imports"]["1"].items()]
    busy = [
        [f"{threads} thread(s)", spread(row["quiet"]), spread(row["busy"]),
         f"{median(row['busy']) / median(row['quiet']):.2f}"]
        for threads, row in results["busy"].items()
    ]  # fmt: skip
    parts = [
        "<!-- Made by `make bench`. -->",
        f"Measured on: {about}.",
        "### What was wanted\n\n" + targets(results),
        "### Milliseconds per step of 128 images\n\n" + step_tables(results),
        "### Before the first step, seconds\n\n"
        + table(["784-400-20, 1 thread", "build", "first call"], first)
        + "\n\n"
        + table(["import, in a process of its own", "seconds"], imported),
        "### An epoch with its test, seconds, 1 thread\n\n"
        + table(["", "train", "test", "together"], epoch["rows"]),
        "### Beside a busy core, ms per step of 784-400-20\n\n"
        + table(["", "alone", "beside it", "ratio"], busy),
        "### Everything else\n\n"
        + table(
            ["", "measured"],
            [
                ["`log_likelihood`, µs per image and sample", f"{likelihood['ours']:.2f}"],
                ["pythae's `get_nll`, µs per image and sample", f"{likelihood['pythae']:.2f}"],
                [
                    "16 networks one after another, 2 threads, an epoch each, s",
                    f"{sweep['one after another']:.1f}",
                ],
                ["16 networks side by side, 1 thread each, s", f"{sweep['side by side']:.1f}"],
                [
                    "products of 8 networks stacked ÷ of the 8 one by one",
                    f"{sweep['stacked']:.2f}",
                ],
                ['`load("mnist")`, s', f"{data['ours']:.2f}"],
                [
                    "torchvision's MNIST, all images through ToTensor, s",
                    f"{data['torchvision']:.2f}",
                ],
                ["HTML of the book, from nothing, s", f"{results['html']['seconds']:.1f}"],
                ["peak memory of training, MB", f"{memory['peak, MB']:.0f}"],
                ["of which `import torch`, MB", f"{memory['import torch, MB']:.0f}"],
            ],
        ),
        "### How it grows: seconds of training\n\n"
        + "\n\n".join(
            table([name, *map(str, curve["at"])], [["s", *(f"{s:.1f}" for s in curve["seconds"])]])
            for name, curve in growth.items()
        ),
    ]
    if "engine" in results:
        parts.insert(3, engine_table(results["engine"]))
    if "page" in results:
        parts.insert(3, page_table(results["page"]))
    if GPU.exists():
        parts.append(gpu_table(json.loads(GPU.read_text())))
    if "chapters" in results:
        rows = [
            [row["chapter"], f"{row['seconds']:.0f}", f"{row['peak_megabytes']:.0f}"]
            for row in results["chapters"]["chapters"]
        ]
        parts.append(
            "### Each chapter, on one core with 2 GB and no network (`make rehearse`)\n\n"
            + table(["", "seconds", "peak, MB"], rows)
        )
    return "\n\n".join(parts) + "\n"


def page_table(found: Row) -> str:
    """The front page beside that of the first edition."""
    first = found["first"]
    rows = [
        [
            what,
            f"{found[name]:{digits}}",
            f"{first[name]:{digits}}",
            f"{first[name] / found[name]:.1f}" if found[name] else "",
        ]
        for what, name, digits in (
            ("the knobs can be turned after, s", "live", ".1f"),
            ("until then on the wire, KB", "kilobytes", ".0f"),
            ("in all on the wire, KB", "all", ".0f"),
            ("layout shift", "shift", ".3f"),
        )
    ]
    heaviest = sorted(found["files"], key=lambda row: -row["kilobytes"])[:8]
    files = [
        [f"`{row['file']}`", f"{row['kilobytes']:.0f}", f"{row['ended']:.1f}"] for row in heaviest
    ]
    return (
        "### The front page on a slow phone\n\n"
        "Chromium, told to be a phone (390 × 844) behind 1.6 Mbit/s with 150 ms to answer, with a "
        "processor four times slower, an empty cache, and files packed with gzip.\n\n"
        + table(["", "this edition", "first edition", "ratio"], rows)
        + "\n\n"
        + table(["the heaviest files", "KB on the wire", "there after, s"], files)
    )


def engine_table(found: Row) -> str:
    """The engine of the laboratory beside others, and as a reader watches it."""
    first, *others = found["rows"]
    rows = [
        [
            row["name"],
            spread(row["ms"]),
            f"{row_ratio(row, first):.1f}",
            f"{row['apart']:.0e}",
            f"{row['megabytes']:.0f}",
        ]
        for row in found["rows"]
    ]
    foreign = [row for row in others if row["kind"] != "plain"]
    ratio = min(row_ratio(row, first) for row in foreign)
    seen = found["watched"]
    goals = [
        ["best of the others ÷ ours", f"{ratio:.1f}", "≥ 4", ratio >= 4],
        [
            f"seconds until step {found['steps']:,}, {seen['used']} of 16 in use",
            f"{seen['seconds']:.1f}",
            "≤ 10",
            seen["seconds"] <= 10,
        ],
        [
            "frames a second while it trains, median",
            f"{seen['frames per second']:.0f}",
            "≥ 55",
            seen["frames per second"] >= 55,
        ],
        ["memory of the page, MB", f"{seen['megabytes']:.0f}", "< 100", seen["megabytes"] < 100],
    ]
    said = [[*goal[:3], "met" if goal[3] else "**missed**"] for goal in goals]
    return (
        "### Training in the page\n\n"
        f"Headless Chromium on {found['day']}, load before {found['load before']}; 196-64-32-16 "
        "on glyphs, batch 128, Adam, each in one thread. *Losses apart*: the largest difference "
        "from our loss on the same images, noise and first weights, as a share of it. A blank page "
        f"takes {found['blank']:.0f} MB. Without a GPU the processor draws for WebGL.\n\n"
        + table(["", "ms a step (quartiles)", "× ours", "losses apart", "MB"], rows)
        + "\n\n"
        + table(["the laboratory's default, batch 64", "measured", "wanted", ""], said)
    )


def gpu_table(found: Row) -> str:
    """Absolute times on a GPU, which was another machine's."""
    nets = list(dict.fromkeys(row["net"] for row in found["steps"]))
    cells = {(row["name"], row["net"]): spread(row["ms"]) for row in found["steps"]}
    names = dict.fromkeys(row["name"] for row in found["steps"])
    return (
        f"### On a GPU, ms per step of 128 images ({found['device']}, torch {found['torch']})\n\n"
        + table(["", *nets], [[name, *(cells[name, net] for net in nets)] for name in names])
    )


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="without the convolutional network")
    parser.add_argument("--again", action="store_true", help="only write the tables anew")
    parser.add_argument(
        "--page",
        nargs="?",
        const="",
        metavar="FIRST_EDITION",
        help="only measure the front page, and that of a build of the first edition",
    )
    parser.add_argument("--engine", action="store_true", help="only what trains in a page")
    options = parser.parse_args()
    kept = HERE / "results.json"
    if options.engine:
        results = json.loads(kept.read_text()) | {"engine": engines(options.rounds)}
        kept.write_text(json.dumps(results, indent=1) + "\n")
    elif options.page is not None:
        results = json.loads(kept.read_text())
        results["page"] = pages(options.rounds, Path(options.page) if options.page else None)
        kept.write_text(json.dumps(results, indent=1) + "\n")
    elif not options.again:
        kept.write_text(json.dumps(collect(options.rounds, options.quick), indent=1) + "\n")
    results = json.loads(kept.read_text())
    if BINDER.exists():
        results["chapters"] = json.loads(BINDER.read_text())
        kept.write_text(json.dumps(results, indent=1) + "\n")
    text = report(results)
    (HERE / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
