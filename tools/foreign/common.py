"""What the trainings of other libraries share: the digits, and what is kept of a diagnosis."""

import datetime
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from vaelib import Diagnosis, load, to_pixels

DATA = load("mnist")  # or the drawn digits, where MNIST is not at hand


def digits(part: str, count: int) -> Tensor:
    """The first images of a part, (count, 1, 28, 28), in [0, 1]."""
    return to_pixels(getattr(DATA, f"{part}_images")[:count])


def keep(
    library: str, model: str, call: str, found: Diagnosis, *, epochs: int, data: str = DATA.name
) -> None:
    """Add a row to the file that the command line names."""
    print(found, flush=True)
    first = found.findings[0] if found.findings else None
    row = {
        "library": library,
        "version": version(library),
        "model": model,
        "data": data,
        "epochs": epochs,
        "call": call,
        "variables": len(found.table["active"]),
        "active": sum(found.table["active"]),
        "used": sum(found.table["used"]) if "used" in found.table else None,
        "beta": found.totals.get("beta"),
        "findings": [finding.code for finding in found.findings],
        "faults": [finding.code for finding in found.findings if finding.is_fault],
        "first": first and {"what": first.what, "evidence": first.evidence, "sure": first.sure},
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        **{name: version(name).partition("+")[0] for name in ("torch", "numpy", "vaelib")},
    }
    path = Path(sys.argv[1])
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.write_text(json.dumps([*rows, row], ensure_ascii=False), encoding="utf-8")
