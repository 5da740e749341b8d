"""The modules of the package build on one another in one direction only."""

import ast
from pathlib import Path

import pytest

import vaelib

FOLDER = Path(vaelib.__file__).parent
ORDER = (
    *("_openmp", "_lock", "_glyphs", "data", "models", "objectives", "gradients", "training"),
    *("metrics", "theory", "_store", "experiment", "claims", "plots", "reproduce"),
)


def imported(module: str) -> set[str]:
    """Modules of the package that a module imports, at its top or anywhere inside."""
    found = set()
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "vaelib":
            inner = (node.module or "").partition(".")[2]
            found |= {inner} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.partition(".")[2] for a in node.names if a.name.startswith("vaelib.")}
    return found


def test_every_module_has_its_place() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_those_before_it(module: str) -> None:
    assert imported(module) <= set(ORDER[: ORDER.index(module)])


def test_all_public_names_exist_and_have_a_docstring() -> None:
    assert all(hasattr(vaelib, name) for name in vaelib.__all__)
    assert len(set(vaelib.__all__)) == len(vaelib.__all__)
    for name in vaelib.__all__:
        if name.isupper() and not callable(getattr(vaelib, name)):
            continue
        assert getattr(vaelib, name).__doc__, f"{name} says nothing about itself"
