"""What the chapters found about the claims, read back from the outputs stored in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from IPython.display import Markdown

from vaelib.data import NAMES, book_folder

from .claims import COLUMNS, FAILS, FILE_NAME, HOLDS, Claim, load_claims
from .origins import EITHER, datasets_of_claims

KIND_WORDS = {"before": "before the runs", "after": "after", "identity": "identity"}
_LINE = re.compile(rf"^(?P<verdict>{HOLDS}|{FAILS})\b.*? · (?P<id>[\w.-]+) · ", re.M)


@dataclass(frozen=True)
class Verdict:
    """What a chapter found about one claim, as stored in the chapter.

    Attributes
    ----------
    claim : Claim
        What was claimed.
    chapter : str
        File name of the chapter, without its suffix.
    title : str
        Heading of the chapter.
    holds : bool
        Whether every number was accepted.
    values : int
        How many numbers were measured.
    least, median, largest : str
        Of these numbers, as the chapter printed them.
    datasets : frozenset of str
        On which of them the numbers rest, read from the chapter's code; `EITHER` stands for MNIST
        and, where the chapter runs without it, the glyphs.
    """

    claim: Claim
    chapter: str
    title: str
    holds: bool
    values: int
    least: str
    median: str
    largest: str
    datasets: frozenset[str] = frozenset()

    @property
    def sets(self) -> int:
        """On how many datasets the claim was measured."""
        return len(self.datasets) + (EITHER in self.datasets)

    @property
    def data(self) -> str:
        """The datasets in words."""
        words = {EITHER: "MNIST, then glyphs", "mnist": "MNIST"}
        names = [words.get(name, name) for name in (EITHER, *NAMES) if name in self.datasets]
        return " and ".join(names) + " only" * (self.sets == 1) or "–"

    @property
    def mark(self) -> str:
        """One letter for the verdict."""
        return (HOLDS if self.holds else FAILS)[0]

    @property
    def numbers(self) -> tuple[float, ...]:
        """The least, the median and the largest number."""
        return tuple(
            float(text.replace("−", "-")) for text in (self.least, self.median, self.largest)
        )

    @property
    def spread(self) -> str:
        """The measured numbers in words."""
        if self.values == 1:
            return self.median
        if self.least == self.largest:
            return f"{self.median} ({self.values} values)"
        return f"{self.least} to {self.largest}, median {self.median} ({self.values} values)"


def scoreboard(folder: Path | None = None) -> list[Verdict]:
    """Read the verdicts of all chapters, in the order of the book.

    Parameters
    ----------
    folder : Path, optional
        Where the chapters and ``claims.yml`` are, with ``_toc.yml`` beside the folder; the book's
        own by default.

    Raises
    ------
    ValueError
        If a claim is checked in no chapter or in two, a chapter checks one that is not in the
        file, or does not show what it measured.
    FileNotFoundError
        If the package was installed without the book.
    """
    folder = folder or book_folder()
    claims = load_claims(folder / FILE_NAME)
    verdicts: dict[str, Verdict] = {}
    for path in chapters(folder):
        for verdict in _verdicts(path, claims):
            if verdict.claim.id in verdicts:
                other = verdicts[verdict.claim.id].chapter
                raise ValueError(
                    f"claim {verdict.claim.id!r} is checked by {other} and by {path.stem}"
                )
            verdicts[verdict.claim.id] = verdict
    if unchecked := [key for key in claims if key not in verdicts]:
        raise ValueError(f"claims that no chapter checks: {', '.join(unchecked)}")
    return list(verdicts.values())


def chapters(folder: Path) -> list[Path]:
    """Return the notebooks in ``folder``, in the order of the ``_toc.yml`` beside it."""
    toc = (folder.parent / "_toc.yml").read_text(encoding="utf-8")
    names = re.findall(r"^[\s-]*(?:root|file):\s*(\S+)", toc, re.M)
    return [path for name in names if (path := folder / f"{name}.ipynb").is_file()]


def show_verdicts(verdicts: Iterable[Verdict]) -> Markdown:
    """Show one row for each verdict, with its source and a link to the line that checks it.

    Its last columns are when the interval was set, and the datasets.
    """
    columns = ("verdict", "claim", "published", "measured", "accepted", "set when", "data")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for verdict in verdicts:
        claim = verdict.claim
        source = claim.source if claim.source == "this book" else f"{{cite:t}}`{claim.source}`"
        link = f"{{ref}}`{claim.id} <claim-{claim.id}>`"
        text = f"{_escaped(claim.sentence)}<br>{source} · {link}"
        if not verdict.holds:
            text += f"<br>**Why it fails:** {_escaped(claim.fails or 'not known')}"
        cells = (
            HOLDS if verdict.holds else f"**{FAILS}**",
            text,
            _escaped(claim.published) or "–",
            # Its parts stay whole where a narrow column breaks it.
            verdict.spread.replace(" values)", "\u00a0values)").replace("median ", "median\u00a0"),
            f"{claim.interval}<details><summary>why</summary>{_escaped(claim.why)}</details>",
            KIND_WORDS[claim.kind],
            verdict.data,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return Markdown("\n".join(lines))


def _verdicts(path: Path, claims: dict[str, Claim]) -> list[Verdict]:
    """Read the verdicts stored in one notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    heading = re.search("^# (.*)", "\n".join(prose), re.M)
    title = heading[1] if heading else path.stem
    holds: dict[str, bool] = {}
    rows: dict[str, list[str]] = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            if "nbval-check-output" in cell["metadata"].get("tags", []):
                for line in _LINE.finditer("".join(output.get("text", ()))):
                    holds[line["id"]] = line["verdict"] == HOLDS
            shown = "".join(output.get("data", {}).get("text/plain", ())).splitlines()
            if shown and tuple(shown[0].split()) == COLUMNS:
                # Columns are at least two spaces apart, words one. A table has all claims checked
                # before it, so the last table counts.
                split = [re.split(r"\s{2,}", line.strip()) for line in shown[1:]]
                rows = {row[0]: row for row in split}
    if list(holds) != list(rows):
        raise ValueError(
            f"{path.stem} checks the claims {list(holds)} but shows what it measured "
            f"for {list(rows)}: expected a cell table(claim_values()) after the claims"
        )
    if unknown := [key for key in holds if key not in claims]:
        raise ValueError(f"{path.stem} checks what is not in the file: {', '.join(unknown)}")
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    datasets = datasets_of_claims(code)
    return [
        Verdict(claims[k], path.stem, title, holds[k], int(n), least, median, largest, datasets[k])
        for k, (_, n, least, median, largest, *_) in rows.items()
    ]


def _escaped(text: str) -> str:
    """Write text as Markdown that shows exactly this text, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|$~^#])", r"\\\1", text)
