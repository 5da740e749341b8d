"""``make mutants``: change the package in thousands of small ways; does a unit test notice each?

usage: mutants.py [MODULE ...]        no argument: every module named in pyproject.toml
       mutants.py --again             only what went unnoticed and is not listed

The project is copied to ``_build/mutants`` and mutmut works there, with its settings from
pyproject.toml. A run that was stopped goes on where it was, unless a file has changed since. After
tests were added, ``--again`` saves the wait: what was noticed before is taken to be noticed. Those
changes that no test notices must be listed in tests/survivors.yml, each with the reason why it does
no harm. Fails if one is not, if one is listed that is noticed, or if fewer than 95 % are noticed.
"""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "mutants"
RESULT = ROOT / "_build" / "mutants.json"
REASONS = ROOT / "tests" / "survivors.yml"
COPIED = ("vaelib", "tests", "tools", "book", "pyproject.toml", "_config.yml")
MUTATED = ("vaelib", "pyproject.toml")  # the package and its settings; the others are its tests
WANTED = 0.95  # share of the mutants that the tests must kill
UNSEEN, UNTRIED = ("survived", "no tests"), "not checked"


@dataclass(frozen=True, order=True)
class Survivor:
    """A change that no test noticed: where, and which lines became which."""

    where: str
    change: str


# --- the copy that is mutated -------------------------------------------------------------------


def undecorated(source: str) -> str:
    """Apply decorators below their function: ``@d def f`` becomes ``def f``, then ``f = d(f)``.

    It means the same. But mutmut leaves functions with decorators alone, and here these are among
    those that matter most: what is computed without gradients, and properties.
    """
    lines, below = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or not node.decorator_list:
            continue
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if decorators in (["staticmethod"], ["classmethod"]):  # mutmut knows these
            continue
        for number in range(node.decorator_list[0].lineno, node.lineno):
            lines[number - 1] = ""
        call = node.name
        for decorator in reversed(decorators):
            call = f"{decorator}({call})"
        below[node.end_lineno] = f"{' ' * node.col_offset}{node.name} = {call}"
    with_calls = []
    for number, line in enumerate(lines, 1):
        with_calls += [line] + ([below[number]] if number in below else [])
    return "\n".join(with_calls) + "\n"


def digests() -> dict[str, str]:
    """Return a digest of what is mutated, and one of what notices it."""
    found = {"package": hashlib.sha256(), "tests": hashlib.sha256()}
    for name in COPIED:
        top = ROOT / name
        kind = found["package" if name in MUTATED else "tests"]
        for path in sorted(top.rglob("*.*")) if top.is_dir() else [top]:
            if path.suffix in {".py", ".toml", ".yml", ".safetensors"} and path != REASONS:
                kind.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return {kind: value.hexdigest() for kind, value in found.items()}


def prepare(again: bool) -> None:
    """Copy the project, unless a run on just these files was stopped and can go on."""
    known = FOLDER / "digests.json"
    before, now = json.loads(known.read_text()) if known.exists() else {}, digests()
    if again and before.get("package") != now["package"]:
        raise SystemExit("--again: the package is not the one of the last run; run all")
    if before == now:
        return
    if not again:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in COPIED:
        if again and name in MUTATED:
            pass
        elif (ROOT / name).is_dir():
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            shutil.copytree(ROOT / name, FOLDER / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, FOLDER)
    if not again:
        for path in (FOLDER / "vaelib").glob("*.py"):
            path.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")
    known.write_text(json.dumps(now))


def mutate(names: list[str]) -> None:
    """Let mutmut make and try its mutants, all or those of these names."""
    environment = os.environ | {"VAELIB_TRAIN": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mutmut", "run"]
    subprocess.run([*command, *names], cwd=FOLDER, env=environment, check=True)


# --- what became of them ------------------------------------------------------------------------


def statuses() -> dict[str, str]:
    """Return what became of each mutant; `UNTRIED` where a run was stopped before."""
    from mutmut.stats import status_by_exit_code

    found: dict[str, str] = {}
    for path in sorted((FOLDER / "mutants" / "vaelib").glob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        found |= {key: status_by_exit_code[code] for key, code in codes.items()}
    return found


def module_of(key: str) -> str:
    """``vaelib.metrics.x_elbo__mutmut_3`` -> ``metrics``."""
    return key.split(".")[1]


def survivor(key: str) -> Survivor:
    """Say where a mutant is and what it changes, whatever number it has."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    path = Path("vaelib") / f"{module_of(key)}.py"
    diff = get_diff_for_mutant(key, path=path).splitlines()[2:]
    before, after = (
        " ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+"
    )
    function, kind = orig_function_and_class_names_from_key(key)
    place = [module_of(key), *([kind] if kind else []), function]
    return Survivor(".".join(place), f"{before} → {after}")


def reasons() -> dict[Survivor, str]:
    """Return the listed survivors, with the reason for each."""
    rows: list[dict[str, Any]] = yaml.safe_load(REASONS.read_text(encoding="utf-8")) or []
    return {
        Survivor(row["where"], change): row["reason"] for row in rows for change in row["changes"]
    }


def is_open(key: str, status: str) -> bool:
    """Whether a mutant was not tried, or went unnoticed for no reason that is listed."""
    return status == UNTRIED or (status in UNSEEN and survivor(key) not in reasons())


def main() -> int:
    """Mutate, count, compare with the list; return the exit status."""
    again = sys.argv[1:] == ["--again"]
    modules = [] if again else sys.argv[1:]
    prepare(again)
    os.chdir(FOLDER)  # where mutmut looks
    if not again:
        mutate([f"vaelib.{module}.*" for module in modules])
    elif names := [key for key, status in statuses().items() if is_open(key, status)]:
        mutate(names)
    made = statuses()
    found = {key: status for key, status in made.items() if status != UNTRIED}
    unseen = [key for key, status in found.items() if status in UNSEEN]
    survivors = {survivor(key): key for key in unseen}
    tried, lived = Counter(map(module_of, found)), Counter(map(module_of, unseen))
    print(f"\n{'module':<12}{'mutants':>9}{'noticed':>9}{'share':>9}")
    for module, n in [*sorted(tried.items()), ("all", tried.total())]:
        alive = lived.total() if module == "all" else lived[module]
        print(f"{module:<12}{n:>9}{n - alive:>9}{100 * (1 - alive / n):>8.1f}%")
    share = 1 - lived.total() / tried.total()
    listed = {place: why for place, why in reasons().items() if place.where.split(".")[0] in tried}
    unlisted, noticed = survivors.keys() - listed.keys(), listed.keys() - survivors.keys()
    for title, places in (("not listed", unlisted), ("listed, but noticed", noticed)):
        for place in sorted(places):
            print(f"\n{title}: {survivors.get(place, place.where)}\n  {place.change}")
    by_module = {module: {"tried": n, "unnoticed": lived[module]} for module, n in tried.items()}
    if not modules:
        result = {"modules": by_module, "listed": len(listed), "untried": len(made) - len(found)}
        RESULT.write_text(json.dumps(result, indent=1))
    return int(bool(unlisted or noticed) or share < WANTED)


if __name__ == "__main__":
    sys.exit(main())
