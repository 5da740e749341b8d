"""Run chapters in place and store them in a normal form, so that a diff shows only what changed.

What is stored is what they print on MNIST. Then they run on glyphs, which trains what is missing
there and checks that the claims hold; nothing is stored in a chapter.

usage: run_notebooks.py [PART_OF_A_NAME ...]      no argument: every chapter
"""

import base64
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import colab
import nbformat
import validate_book
from matplotlib import get_data_path
from nbclient import NotebookClient
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
# What a cell may carry: what the build and the validation read, nothing an editor leaves behind.
CELL_METADATA = {"mystnb", "tags"}
# tqdm's, while something is trained: the next time it is not.
SVG = "image/svg+xml"
PROGRESS_BAR = re.compile(r"\r?[^\r\n]*%\|[^\r\n]*\n?")


def chapters(parts: list[str]) -> list[Path]:
    """Return the notebooks whose name contains one of the parts, or all of them."""
    # The scoreboard reads what the others store: it is run last.
    chosen = sorted(BOOK.glob("*.ipynb"), key=lambda path: ("scoreboard" in path.stem, path))
    if parts:
        chosen = [path for path in chosen if any(part in path.stem for part in parts)]
    if not chosen:
        raise SystemExit(
            f"no chapter in {BOOK.name}/ has a name with: {' '.join(parts) or '.ipynb'}"
        )
    return chosen


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from one run or editor to the next; join streams that came in pieces."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in sorted(cell.metadata.items()) if key in CELL_METADATA}
        )
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Drop progress bars, and merge neighbouring pieces of the same stream."""
    merged: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            output.text = PROGRESS_BAR.sub("", output.text)
            if not output.text.strip():
                continue
        last = merged[-1] if merged else None
        if output.output_type == "stream" and last and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def run(path: Path) -> float:
    """Run one chapter in the folder it lies in and rewrite it; return the seconds it took."""
    notebook = nbformat.read(path, as_version=4)
    if path.parent == BOOK:
        colab.put(notebook, colab.address())
    start = time.monotonic()
    NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=[
            "--log-level=ERROR"
        ],  # its kernel is this machine's: no word of encryption
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    store(notebook, path)
    if path.stem == "index":
        keep_overview(notebook)
    return time.monotonic() - start


def store(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a chapter in its normal form."""
    normalise(notebook)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook)
    # Written beside it and moved, so that stopping leaves either the old chapter or the new one.
    partial = path.with_suffix(".partial")
    partial.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    partial.replace(path)


def keep_overview(intro: nbformat.NotebookNode) -> None:
    """The picture of the README is made of the intro's first figure, so that it cannot drift."""
    outputs = (output for cell in intro.cells for output in cell.get("outputs", []))
    drawing = next(o.data[SVG] for o in outputs if SVG in o.get("data", {}))
    overview(drawing).save(BOOK / "_static" / "overview.png", optimize=True)


def overview(drawing: str) -> Image.Image:
    """Lay the pictures within a drawing side by side on a card of the size that links show."""
    wide = ElementTree.fromstring(drawing)
    titles = [element.text for element in wide.findall(".//{*}text")]
    pictures = [element.get("href", "") for element in wide.findall(".//{*}image")]
    # Those after the first half are the same again, for narrow pages.
    pictures = pictures[: len(pictures) // 2]
    card = Image.new("L", (1200, 630), 255)
    # matplotlib's own, which is the same on every machine.
    font = ImageFont.truetype(get_data_path() + "/fonts/ttf/DejaVuSans.ttf", 30)
    width = 1200 // len(pictures)
    for number, (uri, title) in enumerate(zip(pictures, titles, strict=False)):
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L")
        shown = picture.resize((width - 60, round((width - 60) * picture.height / picture.width)))
        card.paste(shown, (width * number + 30, 125))
        ImageDraw.Draw(card).text((width * number + 30, 65), title, 0, font)
    return card


def check_on_glyphs(paths: list[Path]) -> int:
    """Run chapters on glyphs, training what is missing; return pytest's exit status."""
    targets = [str(path.relative_to(ROOT)) for path in paths]
    command = validate_book.command(strict=False, targets=targets)
    with validate_book.surroundings() as environment:
        environment |= {"VAELIB_DATASET": "glyphs", "VAELIB_TRAIN": ""}
        # Training has no time limit.
        command += ["--nbval-cell-timeout", "1e6"]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


def main() -> int:
    """Run the chapters named on the command line."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["VAELIB_RUNS"] = str(BOOK / "runs")  # what is trained for a chapter is the book's
    chosen = chapters(sys.argv[1:])
    if (name := validate_book.dataset({**os.environ})) != "mnist":
        raise SystemExit(
            f"What a chapter stores is what it prints on MNIST, and here the data are {name}: "
            "VAELIB_DATA names the folder of MNIST, and VAELIB_DATASET must not say otherwise."
        )
    with validate_book.surroundings() as as_if_just_installed:
        for name in ("IPYTHONDIR", "MATPLOTLIBRC", "MPLCONFIGDIR"):
            os.environ[name] = as_if_just_installed[name]
        os.environ["PYTHONPATH"] = str(ROOT)
        for path in chosen:
            print(f"{path.relative_to(ROOT)} ... ", end="", flush=True)
            print(f"{run(path):.0f} s", flush=True)
    subprocess.run([sys.executable, str(ROOT / "tools" / "cards.py"), *sys.argv[1:]], check=True)
    print("stored; now on glyphs:", flush=True)
    return check_on_glyphs(chosen)


if __name__ == "__main__":
    sys.exit(main())
