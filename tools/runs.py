"""``make runs``: who reads which stored run. ``make prune``: those that nobody reads.

usage: runs.py [prune [--yes]]    prune lists them; with --yes it deletes them

What a chapter reads was noted when it was validated, so each must have been, on MNIST and on
glyphs, since it was last changed. Tools, tests and benchmarks read a run if they name it, and an
explorable if its data say that they come from it.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from validate_book import ROOT, Stamp

from vaelib.lab import Experiment, classifier_experiment

BOOK = ROOT / "book"
DATASETS = ("mnist", "glyphs")
NAME = re.compile(r"[\w-]+-[0-9a-f]{12}\b")
EXPERIMENT = re.compile(r'"experiment":("(?:[^"\\]|\\.)*")')


def readers() -> tuple[dict[str, list[str]], list[str]]:
    """Return who reads a run, and of which chapters that is not known."""
    read_by: dict[str, list[str]] = defaultdict(list)
    unknown = []
    for chapter in sorted(BOOK.glob("*.ipynb")):
        stamps = [Stamp.of(chapter, dataset) for dataset in DATASETS]
        unknown += [stamp.path.stem for stamp in stamps if not stamp.is_fresh()]
        for run in {Path(run).name for stamp in stamps for run in stamp.runs}:
            read_by[run].append(chapter.stem)
    for script in sorted((BOOK / "_static" / "explorables").glob("*.data.js")):
        for text in EXPERIMENT.findall(script.read_text(encoding="utf-8")):
            experiment = Experiment.from_canonical(json.loads(text))
            read_by[f"{experiment.name}.run.safetensors"].append(script.name.partition(".")[0])
    for folder in ("tests", "tools", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in NAME.findall(path.read_text(encoding="utf-8")):
                for kind in ("run", "sweep"):
                    read_by[f"{name}.{kind}.safetensors"].append(f"{folder}/{path.name}")
    for dataset in DATASETS:
        classifier = classifier_experiment(dataset).name
        read_by[f"{classifier}.run.safetensors"].append("whoever evaluates samples")
    return read_by, unknown


def main(arguments: Sequence[str]) -> None:
    """Print the table, or delete what nobody reads."""
    read_by, unknown = readers()
    stored = sorted((BOOK / "runs").glob("*.safetensors"))
    unread = [path for path in stored if path.name not in read_by]
    if unknown:
        print(f"Not validated since the last change: {', '.join(unknown)}.")
        print("make validate; VAELIB_DATASET=glyphs make validate", flush=True)
    if "prune" not in arguments:
        for path in stored:
            who = ", ".join(read_by[path.name]) or "nobody"
            print(f"{path.stat().st_size:>9,}  {path.name.removesuffix('.safetensors')}  {who}")
        size = sum(path.stat().st_size for path in stored)
        print(f"{len(stored)} runs, {size:,} bytes; {len(unread)} read by nobody")
        return
    if unknown:
        raise SystemExit("Nothing is deleted.")
    for path in unread:
        print(path.relative_to(ROOT))
        if "--yes" in arguments:
            path.unlink()
    print(
        f"{len(unread)} runs that nobody reads"
        + ("" if "--yes" in arguments else "; YES=1 deletes them")
    )


if __name__ == "__main__":
    main(sys.argv[1:])
