"""``make figures``: count what the checks catch, for the appendix on how this book is checked.

usage: figures.py [--again]        without planting, damaging and killing anew

Runs the tests that plant faults, damage files and kill processes, and keeps what they report in
tests/figures.json, with what `make mutants` and `make rehearse` left in _build, if they were run.
From that tests/figures.md is written, which the page shows.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "tests" / "figures.json"
PAGE = ROOT / "tests" / "figures.md"
REPORTING = ("test_planted_faults.py", "test_damage.py", "test_killed.py")
Row = dict[str, Any]

FILES = {
    "run": "a stored run",
    "mnist": "four small files in MNIST's format",
    "fashion": "four small files in Fashion-MNIST's format",
    "cifar10": "a small archive in CIFAR-10's format",
    "MNIST itself": "MNIST",
    "glyphs": "the drawn glyphs",
}
# What a killed or hindered process was doing, in words.
DOING = {
    "training": "training",
    "storing": "storing a run",
    "drawing": "drawing the glyphs",
    "drawing_for_nothing": "drawing the glyphs",
    "sweeping": "a sweep",
    "reproducing": "`make reproduce`",
    "fetching": "downloading a dataset",
    "short_training": "training and storing",
    "overwriting": "storing a run over an old one",
    "big_training": "training and storing",
    "fetching_or_error": "downloading a dataset",
}


def measure() -> dict[str, list[Row]]:
    """Run the tests that report, and return what they said."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-n", os.environ.get("WORKERS", "2")]
        tests = [f"tests/{name}" for name in REPORTING]
        environment = os.environ | {"VAELIB_FIGURES": folder}
        subprocess.run(
            [*command, "--dist", "loadfile", *tests], cwd=ROOT, env=environment, check=True
        )
        return {
            path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            for path in sorted(Path(folder).glob("*.jsonl"))
        }


def left_by(name: str) -> Row:
    """Return what another target has left in _build, if it was run."""
    path = ROOT / "_build" / f"{name}.json"
    return {name: json.loads(path.read_text("utf-8"))} if path.exists() else {}


# --- as a page ----------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table in Markdown, numbers to the right."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    sides = ["--:" if c.replace(",", "").replace(".", "").strip("% ").isdigit() else "---"
             for c in cells[0]]  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in ([*head], sides, *cells))


def total(rows: Iterable[Row], by: str, number: str) -> dict[str, int]:
    """Add up a number over rows that say the same."""
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[row[by]] += row[number]
    return sums


def mutants(found: Row) -> str:
    """One row a module, and all of them."""
    modules = found["modules"]
    tried = sum(row["tried"] for row in modules.values())
    unnoticed = sum(row["unnoticed"] for row in modules.values())
    rows = [
        (name, f"{t:,}", f"{t - u:,}", f"{100 * (1 - u / t):.1f} %")
        for name, t, u in [
            *((f"`{name}`", row["tried"], row["unnoticed"]) for name, row in modules.items()),
            ("all", tried, unnoticed),
        ]
    ]
    untried = f" {found['untried']:,} more were made, and not tried." if found["untried"] else ""
    return (
        f"**{tried - unnoticed:,} of {tried:,} changes were noticed, "
        f"{100 * (1 - unnoticed / tried):.1f} %.**{untried}\n\n"
        + table(("module", "changes", "noticed", "share"), rows)
    )


def kills(rows: list[Row]) -> str:
    """Where processes were killed."""
    random = [row for row in rows if row["test"] in ("random moments", "first training")]
    steps = [row for row in rows if row["test"] == "each operation"]
    found = [
        *((DOING[k], "at a random moment", n) for k, n in total(random, "what", "kills").items()),
        *((DOING[k], "before each operation on a file", n)
          for k, n in total(steps, "what", "kills").items()),
    ]  # fmt: skip
    return f"**{sum(n for *_, n in found)} processes were killed.**\n\n" + table(
        ("while", "when", "killed"), found
    )


def hindered(rows: list[Row]) -> str:
    """What stood in the way, and what was at work."""
    found = dict.fromkeys(
        (row["mechanism"], DOING[row["what"]]) for row in rows if row["test"] == "hindered"
    )
    at_once = dict.fromkeys(
        (f"{row['processes']} processes ask at once", DOING[row["what"]])
        for row in rows
        if row["test"] == "at once"
    )
    return (
        "Something stands in the way, or others want the same. Then there is a clear message and "
        "nothing half-written, or all get it, and it is made once.\n\n"
        + table(("what happens", "during"), [*found, *at_once])
    )


def damage(rows: list[Row]) -> str:
    """How often each kind of file was damaged."""
    tried = total(rows, "kind", "tried")
    flips = total((row for row in rows if row["how"] == "flipped"), "kind", "tried")
    cuts = total((row for row in rows if row["how"] == "truncated"), "kind", "tried")
    found = [
        (FILES[kind], flips[kind], cuts[kind], n - flips[kind] - cuts[kind], n)
        for kind, n in tried.items()
    ]
    unseen = sum(row["unseen"] for row in rows)
    return f"**{sum(tried.values()):,} damaged files, {unseen} of them unseen.**\n\n" + table(
        ("file", "bits flipped", "truncated", "otherwise", "in all"), found
    )


def planted(rows: list[Row]) -> str:
    """Each fault, and the check that caught it."""
    caught = [
        (row["fault"], f"`{row['file'].rpartition('/')[2]}`", f"`{row['caught_by']}`")
        for row in rows
    ]
    return (
        f"**{len(rows)} faults were planted, {len(rows)} caught.**\n\n"
        ":::{dropdown} Each of them, and what caught it\n"
        + table(("fault", "planted in", "caught by"), caught)
        + "\n:::"
    )


def rehearsed(found: Row) -> str:
    """Seconds and memory of each chapter."""
    rows = [(r["chapter"], f"{r['seconds']:.0f}", r["peak_megabytes"]) for r in found["chapters"]]
    return table(("chapter", "seconds", "peak, MB"), rows)


def claimed() -> str:
    """How many claims there are, and how many of them fail."""
    claims = yaml.safe_load((ROOT / "book" / "claims.yml").read_text("utf-8"))
    failed = sum("fails" in row for row in claims.values())
    return f"**{len(claims)} claims, {failed} of which fail and say why.**"


def page(figures: Row) -> str:
    """The tables, as Markdown."""
    parts = [
        "<!-- Made by `make figures`. -->",
        f"## Claims\n\n{claimed()}",
        f"## Faults of a tired author\n\n{planted(figures['planted'])}",
        f"## Damaged files\n\n{damage(figures['damage'])}",
        f"## Killed processes\n\n{kills(figures['killed'])}",
        f"## Full disks, read-only folders, company\n\n{hindered(figures['killed'])}",
    ]
    if "mutants" in figures:
        parts.append(f"## Changes to the code\n\n{mutants(figures['mutants'])}")
    if "binder" in figures:
        parts.append(f"## One core, 2 GB, no network\n\n{rehearsed(figures['binder'])}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Measure, keep, write the page."""
    figures = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    if sys.argv[1:] != ["--again"]:
        figures |= measure()
    figures |= left_by("mutants") | left_by("binder")
    FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    PAGE.write_text(page(figures), "utf-8")
    print(f"written to {FIGURES.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
