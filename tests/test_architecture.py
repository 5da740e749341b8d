"""The rooms of the package and their modules build on one another in one direction only."""

import ast
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

import vaelib

FOLDER = Path(vaelib.__file__).parent
# A module imports only from the lines above its own; the name of a room is its __init__.
LAYERS = [
    ["_openmp", "_draws", "data.folders", "data.lock", "data.images"],
    ["data.mnist", "data.tiles", "data.glyphs"],
    ["data"],
    ["likelihoods", "_measuring"],
    ["models", "objectives"],
    ["variants", "metrics", "theory", "training"],
    ["estimates"],
    ["diagnosis.codes"],
    ["diagnosis.foreign"],
    ["diagnosis.probes", "diagnosis.sampling"],
    ["diagnosis.weights"],
    ["diagnosis.facts"],
    ["diagnosis.findings", "diagnosis.report", "diagnosis.slips", "diagnosis.variables"],
    ["diagnosis.handed"],
    ["diagnosis.order"],
    ["diagnosis"],
    ["__main__"],
    ["lab.fields", "lab.store", "lab.classifier", "lab.gradient", "lab.deepening", "lab.held"],
    ["lab.objective", "lab.measurements", "lab.run"],
    ["lab.training"],
    ["lab.experiment"],
    ["lab.sweep"],
    ["lab.reproduce"],
    ["lab"],
    ["book.names"],
    ["book.narrow", "book.origins", "book.show", "book.tables", "book.tidy"],
    ["book.claims", "book.svg"],
    ["book.scoreboard", "book.figures"],
    ["book.tally"],
    ["book"],
]
ORDER = [module for layer in LAYERS for module in layer]
CORE = [module for module in ORDER if not module.startswith(("lab", "book"))]
# What a core module may import from outside, at its top or inside a function.
STANDARD = {"torch", "numpy"}
MORE = {
    "data.lock": {"filelock"},
    "data.mnist": {"torchvision"},
    "data.glyphs": {"PIL", "matplotlib"},
    "training": {"tqdm"},
    "diagnosis.sampling": {"tqdm"},
    "diagnosis.report": {"matplotlib"},
}


def file_of(module: str) -> Path:
    path = FOLDER.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module: str) -> list[tuple[str, bool]]:
    """What a module imports when it runs, by full names, and whether at its top."""
    tree = ast.parse(file_of(module).read_text(encoding="utf-8"))
    for_types = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in node.body
    ]
    names = []
    for node in ast.walk(tree):
        if node in for_types or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        source = ""
        if isinstance(node, ast.ImportFrom):
            source = f"{node.module}." if node.module else ""
            source = f"vaelib.{module.partition('.')[0]}.{source}" if node.level else source
        names += [(source + alias.name, node in tree.body) for alias in node.names]
    return names


def own(name: str) -> str | None:
    """The module of the package that a full name is in, if any."""
    inner = name.removeprefix("vaelib.")
    found = [m for m in ORDER if name != inner and f"{inner}.".startswith(f"{m}.")]
    return max(found, key=len, default=None)


def test_every_module_has_its_place() -> None:
    paths = {path.relative_to(FOLDER) for path in FOLDER.rglob("*.py")}
    assert paths == {Path("__init__.py"), *(file_of(m).relative_to(FOLDER) for m in ORDER)}


@pytest.mark.parametrize("depth", range(len(LAYERS)))
def test_a_module_imports_only_those_before_it(depth: int) -> None:
    before = {module for layer in LAYERS[:depth] for module in layer}
    for module in LAYERS[depth]:
        names = [name for name, _ in imported(module) if name.startswith("vaelib")]
        assert [name for name in names if own(name) not in before] == [], module


@pytest.mark.parametrize("module", CORE)
def test_the_core_needs_torch_and_numpy_alone(module: str) -> None:
    for name, at_top in imported(module):
        package = name.partition(".")[0]
        if package != "vaelib" and package not in sys.stdlib_module_names:
            assert package in STANDARD | MORE.get(module, set()), f"{module} imports {name}"
            assert package in {*STANDARD, "filelock"} or not at_top, f"{package} at the top"


def test_waiting_threads_are_settled_before_torch_is_imported() -> None:
    tree = ast.parse(file_of("").read_text(encoding="utf-8"))
    first = next(node for node in tree.body if isinstance(node, ast.ImportFrom | ast.Import))
    assert ast.unparse(first) == "from . import _openmp as _openmp"


def test_no_module_is_longer_than_250_lines() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FOLDER.rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > 250} == {}


@pytest.mark.parametrize("room", ["vaelib", "vaelib.lab", "vaelib.book"])
def test_every_public_name_and_its_methods_have_a_docstring(room: str) -> None:
    for name, value in vars(importlib.import_module(room)).items():
        if name.startswith("_") or isinstance(value, ModuleType) or not callable(value):
            continue
        methods = [m for m in vars(value).items() if inspect.isclass(value) and m[0][0] != "_"]
        for part, thing in [(name, value), *methods]:
            if callable(thing) or isinstance(thing, property):
                assert inspect.getdoc(thing), f"{room}.{name}: {part} has no docstring"
