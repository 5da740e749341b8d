"""What a claim rests on, as the scoreboard says, is what its numbers change with."""

import json
import os
import subprocess
import sys

import pytest
from conftest import BOOK, ROOT

from vaelib.book.origins import EITHER, datasets_of_claims

# Run the code of a chapter with all stored runs of one dataset spoilt; print what it measured.
SPOIL = """
import ast, contextlib, json, sys
import matplotlib, torch
matplotlib.use("Agg")
from vaelib.book import claims
from vaelib.lab.run import Run

cells, spoilt = json.loads(sys.argv[1]), sys.argv[2]
random, intact = torch.Generator().manual_seed(0), Run.read.__func__

def read(cls, path, experiment):
    run = intact(cls, path, experiment)
    if experiment.dataset == spoilt:
        for values in (run.history, run.measurements):
            for name, value in values.items():
                if value.is_floating_point():
                    values[name] = value * (2 * torch.randn(value.shape, generator=random)).exp()
    return run

Run.read = classmethod(read)
space = {"__name__": "__main__"}
with contextlib.redirect_stdout(sys.stderr):
    for statement in (s for cell in cells for s in ast.parse(cell).body):
        # What cannot be drawn or printed of spoilt numbers is no matter.
        with contextlib.suppress(Exception):
            exec(compile(ast.Module([statement], []), "chapter", "exec"), space)
print(json.dumps({key: list(map(str, row[1:5])) for key, row in claims._checked.items()}))
"""


def measured(cells: list[str], spoilt: str) -> dict[str, list[str]]:
    """The numbers of the claims of a chapter."""
    settings = {"VAELIB_TRAIN": "never", "VAELIB_RUNS": str(BOOK / "runs"), "OMP_NUM_THREADS": "1"}
    found: dict[str, list[str]] = json.loads(
        subprocess.run(
            [sys.executable, "-c", SPOIL, json.dumps(cells), spoilt],
            cwd=BOOK,
            env=os.environ | settings | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        ).stdout
    )
    return found


# These read runs of several datasets, by name, and measure nothing themselves.
@pytest.mark.parametrize("chapter", ["what-decides", "hysteresis"])
def test_a_claim_changes_with_the_runs_of_its_datasets_only(chapter: str) -> None:
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    said = datasets_of_claims(cells)
    assert EITHER not in set().union(*said.values())
    intact = measured(cells, "none")
    assert intact.keys() == said.keys()
    changed: dict[str, set[str]] = {key: set() for key in said}
    for dataset in sorted(set().union(*said.values())):
        for key, numbers in measured(cells, dataset).items():
            changed[key] |= {dataset} if numbers != intact[key] else set()
    assert {key: sets - said[key] for key, sets in changed.items() if sets - said[key]} == {}
    # A count may come out the same by chance.
    assert sum(changed[key] == said[key] for key in said) >= 0.8 * len(said)
