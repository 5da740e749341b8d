"""``make mutants``: change the package in thousands of small ways; does a unit test notice each?

usage: mutants.py [MODULE ...]    for example `metrics lab.run`, or `data` for all in that folder

mutmut works in ``_build/mutants``, with its settings from pyproject.toml. A run that was stopped
goes on where it was. After a change of the package, the changed functions are tried; after a change
of the package or its tests, what went unnoticed is tried again. What was noticed before is taken to
be noticed still: delete ``_build/mutants`` to begin anew, also after a change of this file or of
the settings. What goes unnoticed is written to ``_build/mutants.txt``; more than 2 % is a failure.
What only writes a line differently, 'UTF-8' for 'utf-8', counts for nothing.
"""

import ast
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "_build" / "mutants"
REPORT = ROOT / "_build" / "mutants.txt"
LINKED = ("tests", "tools", "book", "pyproject.toml", "_config.yml", "_toc.yml")
STATISTICS = FOLDER / "mutants" / "mutmut-stats.json"  # which test calls which function
WANTED = 0.98  # share of the mutants that the tests must notice
UNNOTICED = ("survived", "no tests")
NOT_RUN = 255  # mutmut's code where pytest could not start the tests; mutmut takes it for a timeout
# Left out when two lines are compared.
SAME = re.compile("(?i)utf-8")
OWN_DECORATORS = ("evaluation_mode",)
LATE = "__import__('functools').wraps({1})(lambda *a, _f={1}, **k: {0}(_f)(*a, **k))"

# Added to the module that is imported first: in a process that a test starts, perhaps elsewhere,
# mutmut does not find its settings when it asks which test calls which function.
QUIET = """
if "pytest" not in sys.modules and os.environ.get("MUTANT_UNDER_TEST") == "stats":
    os.environ["MUTANT_UNDER_TEST"] = ""
"""


def undecorated(source: str) -> str:
    """Apply decorators below their function: ``@d def f`` becomes ``def f``, then ``f = d(f)``.

    It means the same. But mutmut leaves functions with decorators alone, and here these are among
    those that matter most: what is computed without gradients, and properties. The package's own
    decorators are mutated too, so they are called with each call of the function and not on import,
    when no mutant is at work. Each statement becomes one line, as `do_not_mutate_patterns` need it.
    """
    tree = ast.parse(source)
    for parent in list(ast.walk(tree)):
        body = parent.body if isinstance(getattr(parent, "body", None), list) else []
        for node in [node for node in body if isinstance(node, ast.FunctionDef)]:
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if not decorators or decorators in (["staticmethod"], ["classmethod"]):
                continue  # mutmut knows these two
            call = node.name
            for decorator in reversed(decorators):
                call = (LATE if decorator in OWN_DECORATORS else "{0}({1})").format(decorator, call)
            node.decorator_list = []
            body.insert(body.index(node) + 1, ast.parse(f"{node.name} = {call}").body[0])
    return ast.unparse(tree) + "\n"


def meta_files() -> list[Path]:
    """Where mutmut keeps what became of the mutants of each module."""
    metas = [Path("mutants", f"{path}.meta") for path in sorted(Path("vaelib").rglob("*.py"))]
    return [path for path in metas if path.exists()]


def outcomes(modules: list[str]) -> dict[str, str]:
    """Return what became of each mutant of these modules, or of all if none is named."""
    from mutmut.stats import status_by_exit_code

    codes: dict[str, int | None] = {}
    for path in meta_files():
        codes |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    prefixes = tuple(f"vaelib.{module}." for module in modules) or "vaelib."
    return {
        key: status_by_exit_code[code] for key, code in codes.items() if key.startswith(prefixes)
    }


def run_alone() -> None:
    """Run the tests of what mutmut could not run, each mutant in a process of its own."""
    from mutmut.utils.format_utils import mangled_name_from_mutant_name

    tests_of = json.loads(STATISTICS.read_text(encoding="utf-8"))["tests_by_mangled_function_name"]
    for path in meta_files():
        meta = json.loads(path.read_text(encoding="utf-8"))
        codes = meta["exit_code_by_key"]
        for key in [key for key, code in codes.items() if code == NOT_RUN]:
            tests = tests_of[mangled_name_from_mutant_name(key)]
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
            quiet = {"cwd": "mutants", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
            code, clean = (
                subprocess.call(command, env=one_thread | {"MUTANT_UNDER_TEST": mutant}, **quiet)
                for mutant in (key, "")
            )
            if clean:
                raise SystemExit(f"pytest does not pass without a mutant: {' '.join(tests)}")
            codes[key] = min(code, 1)  # more than 1: it could not even be imported
            path.write_text(json.dumps(meta), encoding="utf-8")


def prepare() -> None:
    """Bring the copy up to date, go there, and make the mutants."""
    from mutmut.__main__ import create_mutants
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import copy_src_dir

    shutil.rmtree(FOLDER / "vaelib", ignore_errors=True)
    package = sorted((ROOT / "vaelib").rglob("*.py"))
    for path in package:
        copy = FOLDER / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")
        if path.name == "_openmp.py":
            copy.write_text(copy.read_text(encoding="utf-8") + QUIET, encoding="utf-8")
        shutil.copystat(path, copy)  # mutmut looks at the time
    for name in LINKED:  # mutmut copies them
        if not (FOLDER / name).exists():
            (FOLDER / name).symlink_to(ROOT / name)
    os.chdir(FOLDER)
    made = STATISTICS.stat().st_mtime if STATISTICS.exists() else float("inf")
    if any(path.stat().st_mtime > made for path in [*package, *(ROOT / "tests").glob("*.py")]):
        STATISTICS.unlink()
        for path in meta_files():
            meta = json.loads(path.read_text(encoding="utf-8"))
            for key, code in meta["exit_code_by_key"].items():
                if status_by_exit_code[code] in UNNOTICED:
                    meta["exit_code_by_key"][key] = None
            path.write_text(json.dumps(meta), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        create_mutants(os.cpu_count() or 1)


def means_the_same(diff: str) -> bool:
    """Whether the changed line differs in nothing that this count is about."""
    lines = [
        line for line in diff.splitlines() if line[:1] in "-+" and line[:3] not in ("---", "+++")
    ]
    before, after = ([SAME.sub("", line[1:]) for line in lines if line[0] == sign] for sign in "-+")
    return before == after


def main(modules: list[str]) -> int:
    """Mutate, count and report; return the exit status."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.utils.format_utils import get_module_from_key

    prepare()
    outcome_of = outcomes(modules)
    if not outcome_of:
        raise SystemExit(f"nothing to mutate in {', '.join(modules)}")
    untried = [key for key, status in outcome_of.items() if status == "not checked"]
    if untried:
        command = [sys.executable, "-m", "mutmut", "run", *(untried if modules else [])]
        if subprocess.call(command, env=os.environ | {"OMP_NUM_THREADS": "1"}):
            print(f"mutmut stopped. Does pytest pass in {FOLDER / 'mutants'}?")
            return 1
    run_alone()
    outcome_of = outcomes(modules)
    tried = {key: status for key, status in outcome_of.items() if status != "not checked"}
    diffs = {k: get_diff_for_mutant(k) for k, status in tried.items() if status in UNNOTICED}
    same = {key for key, diff in diffs.items() if means_the_same(diff)}
    tried = {key: status for key, status in tried.items() if key not in same}
    unnoticed = [key for key in diffs if key in tried]
    report = [f"{key}: {tried[key]}\n{diffs[key]}\n" for key in unnoticed]
    REPORT.write_text("\n".join(report), encoding="utf-8")
    total, missed = (Counter(map(get_module_from_key, keys)) for keys in (tried, unnoticed))
    print(f"\n{'module':<24}{'mutants':>9}{'noticed':>9}{'share':>9}")
    for module, n in [*sorted(total.items()), ("all", total.total())]:
        lived = missed.total() if module == "all" else missed[module]
        print(f"{module:<24}{n:>9}{n - lived:>9}{1 - lived / n:>9.1%}")
    left = sum(status == "not checked" for status in outcome_of.values())
    if left:
        print(f"{left} were not tried: run it again")
    print(f"What went unnoticed: {REPORT}; {len(same)} more only write a line differently")
    return int(left > 0 or missed.total() > (1 - WANTED) * total.total())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
