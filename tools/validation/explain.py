"""A pytest plugin that says in which lines a cell printed something else than is stored.

nbval compares; its own report counts cells from 0, calls what is stored `+`, and hides stderr.
Drawings are compared by drawings.py: nbval takes them for equal where they look alike.
"""

import copy
from collections.abc import Generator
from difflib import unified_diff
from typing import Any

import pytest
from drawings import difference
from nbval.plugin import IPyNbCell, coalesce_streams

SVG = "image/svg+xml"
FIRST = ("stderr", "stdout", "text/plain")
MOST_LINES = 60


def texts(outputs: list[Any]) -> dict[str, str]:
    """All that a cell put out, of each kind; pictures of pixels are not compared."""
    parts_of: dict[str, str] = {}
    for output in coalesce_streams(outputs):
        parts = dict(output.get("data", {}))
        if output.output_type == "stream":
            parts = {output.name: output.text}
        for kind, text in parts.items():
            if isinstance(text, str) and kind not in ("image/png", "image/jpeg"):
                parts_of[kind] = parts_of.get(kind, "") + text.rstrip("\n") + "\n"
    return parts_of


def differences(stored: dict[str, str], new: dict[str, str]) -> list[str]:
    """Lines that only the stored output has with `-`, those that only the new one has with `+`."""
    kinds = [kind for kind in {*stored, *new} if stored.get(kind) != new.get(kind)]
    # HTML says the same as the plain text, in longer lines.
    lines = []
    if SVG in kinds:
        kinds.remove(SVG)
        what = difference(stored.get(SVG, ""), new.get(SVG, ""))
        lines += [f"the figure differs: {what}"] if what else []
    for kind in [kind for kind in FIRST if kind in kinds] or sorted(kinds):
        old_lines, new_lines = (side.get(kind, "").splitlines() for side in (stored, new))
        lines += [f"--- stored {kind}", f"+++ new {kind}"]
        lines += list(unified_diff(old_lines, new_lines, lineterm="", n=1))[2:]
    cut = len(lines) - MOST_LINES
    return lines[:MOST_LINES] + ([f"... and {cut} lines more"] if cut > 0 else [])


def explain(cell: IPyNbCell, error: BaseException) -> str:
    """What went wrong in a cell."""
    lines = [f"{cell.path.name}, In [{cell.cell.execution_count}]: {error}", ""]
    lines += [f"    {line}" for line in cell.cell.source.splitlines()]
    new = cell.test_outputs or []
    raised = [line for output in new for line in output.get("traceback", [])]
    lines += ["", *(raised or differences(texts(cell.cell.outputs), texts(new)))]
    return "\n".join(lines)


def compare_outputs(
    cell: IPyNbCell, new: list[Any], stored: list[Any], skip: tuple[str, ...] | None = None
) -> bool:
    """Compare what a cell puts out with what is stored; drawings need only look alike."""
    new = copy.deepcopy(new)
    drawings = ([o.data for o in side if SVG in o.get("data", {})] for side in (stored, new))
    for old, now in zip(*drawings, strict=False):
        if not difference(old[SVG], now[SVG]):
            now[SVG] = old[SVG]
    return exactly(cell, new, stored, skip)


exactly = IPyNbCell.compare_outputs
IPyNbCell.compare_outputs = compare_outputs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and isinstance(item, IPyNbCell) and call.excinfo:
        report.longrepr = explain(item, call.excinfo.value)
    return report
