"""Note which files of the project a chapter opens. Its kernel imports this first, from PYTHONPATH.

So does every process that the kernel starts. What is installed or made by a build is left out.
"""

import os
import sys

PROJECT, LOG = os.environ["VALIDATED_PROJECT"], os.environ["VALIDATED_LOG"]
MADE = {"_build", "site-packages", "__pycache__"}
log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
noted = set()


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], str) or arguments[0] in noted:
        return
    noted.add(arguments[0])
    path = os.path.abspath(arguments[0])  # noqa: PTH100
    inside = path.removeprefix(PROJECT + os.sep)
    of_project = inside != path and not any(name in inside for name in MADE)
    if of_project or path.endswith(".safetensors"):
        os.write(log, f"{path}\n".encode())


sys.addaudithook(note)
