"""Show that the validation bites: spoil a chapter in a copy of the project, see the checks fail.

Three ways: a verdict changed (fails everywhere), a printed number changed (fails where MNIST is at
hand, since elsewhere numbers are not compared), execution counts stripped (the gate fails).
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import validate_book  # noqa: E402

Notebook = dict[str, Any]
CHAPTER = "kl-derived"
GATES = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_book.py", "-k"]


def printed(notebook: Notebook, claims: bool) -> list[tuple[dict[str, Any], str]]:
    """Where the stored texts are, of claim cells or of all others: containers and their keys."""
    return [
        (output, "text") if output["output_type"] == "stream" else (output["data"], "text/plain")
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        if ("nbval-check-output" in cell["metadata"].get("tags", [])) == claims
        for output in cell["outputs"]
        if output["output_type"] == "stream" or "text/plain" in output.get("data", {})
    ]


def change(
    places: list[tuple[dict[str, Any], str]], pattern: str, replacement: Callable[[str], str]
) -> None:
    """Change the first match in the first text that has one."""
    for container, key in places:
        text = "".join(container[key])
        if match := re.search(pattern, text):
            container[key] = (
                text[: match.start()] + replacement(match.group()) + text[match.end() :]
            )
            return
    raise SystemExit(
        f"{CHAPTER} prints nothing like {pattern}: the negative control needs another chapter"
    )


def other_verdict(notebook: Notebook) -> None:
    """Turn the first verdict round."""
    change(printed(notebook, claims=True), "[✓✗]", lambda mark: "✗" if mark == "✓" else "✓")


def other_number(notebook: Notebook) -> None:
    """Change one digit of one number."""
    change(printed(notebook, claims=False), r"\d", lambda digit: str((int(digit) + 1) % 10))


def no_counts(notebook: Notebook) -> None:
    """Strip the execution counts, as editors and filters do."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = None


def must_fail(
    what: str, spoil: Callable[[Notebook], None], command: list[str], project: Path
) -> None:
    """Spoil the chapter in the copy and run a check: tests must fail, not break (exit status 1)."""
    stored = (ROOT / "book" / f"{CHAPTER}.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(stored)
    spoil(notebook)
    (project / "book" / f"{CHAPTER}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if result.returncode != 1:
        raise SystemExit(
            f"{what}: expected a failure, got exit status {result.returncode}\n"
            f"{result.stdout}{result.stderr}"
        )
    print(f"{what}: noticed", flush=True)


def main() -> None:
    """Run the three controls."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "copy"
        shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".venv", ".git", "_build"))
        validation = [sys.executable, "tools/validate_book.py", CHAPTER]
        must_fail("a verdict changed", other_verdict, validation, project)
        if validate_book.dataset() == "mnist":
            must_fail("a number changed", other_number, validation, project)
        must_fail("execution counts stripped", no_counts, [*GATES, "executed_in_order"], project)


if __name__ == "__main__":
    main()
