"""``python -m vaelib codes.npz`` or ``python -m vaelib module:function``: diagnose a VAE.

The file has arrays ``mu`` and one of ``logvar``, ``variance`` and ``std``. The function takes no
argument and returns the arguments of `vaelib.diagnose` as a dictionary, or a `Diagnosis`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np

from vaelib.diagnosis import Diagnosis, diagnose
from vaelib.diagnosis.codes import MEANS, NAMES


def from_file(path: Path) -> Diagnosis:
    """Diagnose the codes in an .npz file."""
    with np.load(path, allow_pickle=False) as arrays:
        mean = [name for name in MEANS if name in arrays]
        spread = [(kind, name) for kind, names in NAMES.items() for name in names if name in arrays]
        if not mean or not spread:
            raise ValueError(
                f"{path}: expected arrays mu and one of logvar, variance and std, got "
                f"{', '.join(arrays.files)}"
            )
        (kind, name), *_ = spread
        return diagnose(arrays[mean[0]], **{kind: arrays[name]})


def from_function(target: str) -> Diagnosis:
    """Diagnose what ``module:function`` returns."""
    module, _, name = target.partition(":")
    sys.path.insert(0, "")
    given = getattr(importlib.import_module(module), name)()
    return given if isinstance(given, Diagnosis) else diagnose(**{"progress": True} | given)


def fails(diagnosis: Diagnosis, condition: str) -> bool:
    """Whether a diagnosis meets one condition of ``--fail-on``."""
    name, _, number = condition.partition(":")
    if name == "dead":
        silent = len(diagnosis.table["active"]) - sum(diagnosis.table["active"])
        return bool(silent >= int(number or 1))
    if name == "total":
        return True not in diagnosis.table["active"]
    if name == "fault":
        return any(finding.is_fault for finding in diagnosis.findings)
    return name in {finding.code for finding in diagnosis.findings}


def main(arguments: list[str] | None = None) -> int:
    """Print a diagnosis; 0, or 1 if a condition of ``--fail-on`` is met, or 2 if it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m vaelib", description=__doc__)
    parser.add_argument("source", help="an .npz file, or module:function")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--fail-on",
        default="",
        metavar="CONDITIONS",
        help="dead:N (N variables or more), total, fault, or the code of a finding; commas between",
    )
    options = parser.parse_args(arguments)
    try:
        is_file = options.source.endswith(".npz")
        diagnosis = from_file(Path(options.source)) if is_file else from_function(options.source)
        failed = [c for c in filter(None, options.fail_on.split(",")) if fails(diagnosis, c)]
    except (OSError, ImportError, AttributeError, TypeError, ValueError) as error:
        print(f"vaelib: {error}", file=sys.stderr)
        return 2
    print(diagnosis.to_json() if options.json else diagnosis)
    if failed:
        print(f"vaelib: failed on {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
