"""The folders and the environment variables that the package knows."""

import os
from pathlib import Path

SETTINGS = ("VAELIB_DATA", "VAELIB_DATASET", "VAELIB_RUNS", "VAELIB_TRAIN")


def check_environment() -> None:
    """Raise a ValueError if a `VAELIB_` variable or the value of `VAELIB_DATASET` is unknown."""
    for variable in os.environ:
        if variable.startswith("VAELIB_") and variable not in SETTINGS:
            raise ValueError(f"{variable}: unknown; the settings are {', '.join(SETTINGS)}")
    if (dataset := os.environ.get("VAELIB_DATASET", "")) not in ("", "mnist", "glyphs"):
        raise ValueError(f"VAELIB_DATASET: expected mnist, glyphs or nothing; got {dataset!r}")


def cache_folder() -> Path:
    """Return the package's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "vaelib").expanduser().absolute()


def book_folder() -> Path:
    """Return the folder with the chapters, their claims and their runs; a checkout has it.

    Raises
    ------
    FileNotFoundError
        If the package was installed without the book.
    """
    folder = Path(__file__).absolute().parents[2] / "book"
    if not (folder / "claims.yml").is_file():
        raise FileNotFoundError(
            f"{folder}: the book's folder is not there, since a plain installation does not have "
            "it: clone the repository and run pip install -e '.[lab,book]' there"
        )
    return folder
