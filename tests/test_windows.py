"""The package works without the modules that Python lacks on Windows."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

CODE = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(["fcntl", "grp", "pwd", "resource"]))  # to import is an error
import vaelib, vaelib.lab, vaelib.book
from vaelib.data.lock import exclusive_lock
with exclusive_lock(Path("file")):
    print(len(list(Path().iterdir())))
"""


def test_all_rooms_can_be_imported_and_files_are_locked(tmp_path: Path) -> None:
    printed = subprocess.check_output(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert printed == "1\n"
    assert list(tmp_path.iterdir()) == []
