"""The rehearsal of Binder notices a chapter that would not run there."""

import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import rehearse_binder as rehearsal  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Binder runs Linux")

CLAIM = 'import os; assert len(os.sched_getaffinity(0)) == 1; print("✓ holds · tiny")'
CHAPTERS = {
    "good": (CLAIM, "✓ holds · tiny\n", ""),
    "another-verdict": (CLAIM, "✗ FAILS · tiny\n", "the verdicts are not those that are stored"),
    "raises": ("1 / 0", "", "a cell raised ZeroDivisionError: division by zero"),
    "dies": ("import os; os._exit(1)", "", "the kernel died, as it does without memory"),
    "large": ("x = bytearray(2_000_000_000); x[::4096] = x[::4096]", "", "GB"),
    "slow": ("import time; time.sleep(60)", "", "seconds"),
}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_must_run_and_give_the_stored_verdicts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "FOLDER", tmp_path)
    monkeypatch.setattr(rehearsal, "TIMEOUT", 10 if name == "slow" else 300)
    source, stored, failed = CHAPTERS[name]
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["nbval-check-output"]})
    cell.outputs = [nbformat.v4.new_output("stream", text=stored)] if stored else []
    chapter = tmp_path / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), chapter)
    before = chapter.read_bytes()
    row = rehearsal.rehearse(chapter, Path(sys.executable), [])
    if failed:
        assert row["failed"].endswith(failed), row
    else:
        assert not row["failed"], row
        assert row["peak_megabytes"] > 50
    assert chapter.read_bytes() == before
