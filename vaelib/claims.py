"""What the book asserts: each claim is one row of ``book/claims.yml``, checked by one chapter."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from IPython.display import Markdown

CLAIMS_FILE = Path(__file__).parent.parent / "book" / "claims.yml"
HOLDS, FAILS = "✓ holds", "✗ FAILS"
_COLUMNS = ("claim", "values", "least", "median", "largest", "accepted", "verdict")
_LINE = re.compile(rf"^(?P<verdict>{HOLDS}|{FAILS})\b.*? · (?P<id>[\w.-]+) · ", re.M)

# The claims checked in this session, each a row of those columns.
_checked: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True)
class Claim:
    """One assertion, and what would refute it.

    Attributes
    ----------
    id : str
        Its key in the file.
    sentence : str
        What is asserted, in words.
    source : str
        A citation key of ``book/references.bib``, or "this book".
    low, high : float
        The accepted interval, ends included; infinite where one side is open.
    why : str
        Why this interval and no other.
    published : str
        The figure its source gives, if any.
    fails : str
        Why it fails, for a claim that is known to; empty for one that should hold.
    """

    id: str
    sentence: str
    source: str
    low: float
    high: float
    why: str
    published: str = ""
    fails: str = ""

    def accepts(self, value: Any) -> bool:
        """Whether every number of ``value`` (a number, an array or a tensor) is in the interval."""
        numbers = np.atleast_1d(np.asarray(value, dtype=float))
        if numbers.size == 0:
            raise ValueError(f"value of claim {self.id!r}: expected at least one number, got none")
        # NaN is in no interval, and infinity not even in an open one.
        inside = (numbers >= self.low) & (numbers <= self.high) & np.isfinite(numbers)
        return bool(inside.all())

    @property
    def interval(self) -> str:
        """The accepted interval in words."""
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


def load_claims(path: Path = CLAIMS_FILE) -> dict[str, Claim]:
    """Read the claims of the book.

    Raises
    ------
    ValueError
        If the file has no rows or one id twice, a row lacks a field or has one too many, or its
        interval accepts everything or nothing.
    """
    rows = yaml.load(path.read_text(encoding="utf-8"), _NoDuplicates)
    if not isinstance(rows, dict):
        raise ValueError(f"{path}: expected a mapping from ids to claims, got {rows!r}")
    return {key: _parse(key, row) for key, row in rows.items()}


def claim(id: str, value: Any) -> None:
    """Check a claim against what was measured, and print the verdict on one line.

    The line says nothing that depends on the data or the machine, so that it can be compared
    everywhere; the measured numbers are what `claim_values` shows afterwards.

    Parameters
    ----------
    id : str
        A key of ``book/claims.yml``.
    value : number, array or tensor
        What was measured; of an array every element must be accepted.

    Raises
    ------
    ValueError
        If there is no such claim, or no number.
    """
    claims = _book_claims()
    if id not in claims:
        raise ValueError(f"id: no claim {id!r} in {CLAIMS_FILE.name}")
    said = claims[id]
    verdict = HOLDS if said.accepts(value) else FAILS
    _checked[id] = (id, *_spread(value), said.interval, verdict)
    reason = f", as recorded: {said.fails}" if verdict == FAILS and said.fails else ""
    print(f"{verdict}{reason} · {id} · {said.sentence} Accepted: {said.interval}.")


def claim_values() -> dict[str, list[Any]]:
    """What was measured for each claim that was checked in this session, as columns for `table`.

    Returns
    -------
    dict
        ``claim`` (its id), ``values`` (how many numbers), the ``least``, ``median`` and ``largest``
        of them in the claim's own unit, ``accepted`` (the interval) and ``verdict``.

    Raises
    ------
    ValueError
        If no claim has been checked yet.
    """
    if not _checked:
        raise ValueError("claim_values: expected claims to have been checked before, got none")
    return {name: [row[place] for row in _checked.values()] for place, name in enumerate(_COLUMNS)}


@dataclass(frozen=True)
class Verdict:
    """What a chapter found about one claim, as it is stored in the chapter.

    Attributes
    ----------
    claim : Claim
        What was claimed.
    chapter : str
        File name of the chapter, without its suffix.
    title : str
        Its heading.
    holds : bool
        Whether every number was accepted.
    values : int
        How many numbers were measured.
    least, median, largest : str
        Of these numbers, as the chapter printed them.
    """

    claim: Claim
    chapter: str
    title: str
    holds: bool
    values: int
    least: str
    median: str
    largest: str

    @property
    def spread(self) -> str:
        """The measured numbers in words."""
        if self.values == 1:
            return self.median
        if self.least == self.largest:
            return f"{self.median} ({self.values} values)"
        return f"{self.least} to {self.largest}, median {self.median} ({self.values} values)"


def scoreboard(folder: Path = CLAIMS_FILE.parent) -> list[Verdict]:
    """Read what the chapters found, from the outputs stored in them, in the order of the book.

    Parameters
    ----------
    folder : Path
        Where the chapters and ``claims.yml`` are.

    Raises
    ------
    ValueError
        If a claim is checked in no chapter or in two, a chapter checks one that is not in the
        file, or does not show what it measured.
    """
    claims = load_claims(folder / CLAIMS_FILE.name)
    found: dict[str, Verdict] = {}
    for path in _chapters(folder):
        for verdict in _verdicts(path, claims):
            if verdict.claim.id in found:
                other = found[verdict.claim.id].chapter
                raise ValueError(
                    f"claim {verdict.claim.id!r} is checked by {other} and by {path.stem}"
                )
            found[verdict.claim.id] = verdict
    if unchecked := [id for id in claims if id not in found]:
        raise ValueError(f"claims that no chapter checks: {', '.join(unchecked)}")
    return list(found.values())


def show_verdicts(verdicts: Iterable[Verdict]) -> Markdown:
    """Show verdicts as a table with their sources and a link to the line that checks each claim."""
    lines = ["| verdict | claim | published | measured | accepted |", "|---|---|---|---|---|"]
    for found in verdicts:
        said = found.claim
        source = said.source if said.source == "this book" else f"{{cite:t}}`{said.source}`"
        claimed = f"{_escaped(said.sentence)}<br>{source} · {{ref}}`{said.id} <claim-{said.id}>`"
        if not found.holds:
            claimed += f"<br>**Why it fails:** {_escaped(said.fails or 'not known')}"
        cells = (
            HOLDS if found.holds else f"**{FAILS}**",
            claimed,
            _escaped(said.published) or "–",
            found.spread,
            f"{said.interval}<details><summary>why</summary>{_escaped(said.why)}</details>",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return Markdown("\n".join(lines))


class _NoDuplicates(yaml.SafeLoader):
    """YAML keeps the last of two equal keys without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))}: this id or field is there twice")
        return super().construct_mapping(node, deep)


@cache
def _book_claims() -> dict[str, Claim]:
    return load_claims()


def _parse(key: str, row: dict[str, Any]) -> Claim:
    try:
        low, high = (
            infinity if end is None else float(end)
            for end, infinity in zip(row["accepted"], (-math.inf, math.inf), strict=True)
        )
        # A sentence folded over several lines is still one line.
        fields = {
            name: " ".join(str("" if text is None else text).split())
            for name, text in row.items()
            if name != "accepted"
        }
        result = Claim(id=key, low=low, high=high, **fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"claim {key!r}: {error}") from error
    if not low <= high or (math.isinf(low) and math.isinf(high)):
        raise ValueError(
            f"claim {key!r}: accepted: expected an interval that can fail, got {row['accepted']}"
        )
    return result


def _spread(value: Any) -> tuple[int, float, float, float]:
    """How many numbers there are, and the least, median and largest; counts stay whole numbers."""
    whole = np.asarray(value).dtype.kind in "biu"
    numbers = np.asarray(value, dtype=int if whole else float)
    median = float(np.median(numbers))
    middle = int(median) if whole and median.is_integer() else median
    return numbers.size, numbers.min().item(), middle, numbers.max().item()


def _chapters(folder: Path) -> list[Path]:
    """The notebooks, in the order of the table of contents."""
    toc = yaml.safe_load((folder.parent / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]
    return [path for name in names if (path := folder / f"{name}.ipynb").exists()]


def _verdicts(path: Path, claims: dict[str, Claim]) -> list[Verdict]:
    """The verdicts stored in one notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title = next(
        (
            line.removeprefix("# ")
            for cell in cells
            if cell["cell_type"] == "markdown"
            for line in "".join(cell["source"]).splitlines()
            if line.startswith("# ")
        ),
        path.stem,
    )
    holds: dict[str, bool] = {}
    rows: dict[str, list[str]] = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            if "nbval-check-output" in cell["metadata"].get("tags", []):
                for line in _LINE.finditer("".join(output.get("text", ()))):
                    holds[line["id"]] = line["verdict"] == HOLDS
            shown = "".join(output.get("data", {}).get("text/plain", ())).splitlines()
            if shown and tuple(shown[0].split()) == _COLUMNS:
                # Columns are two spaces apart or more, words only one.
                split = [re.split(r"\s{2,}", line.strip()) for line in shown[1:]]
                # Such a table holds all that was checked before it: the last one counts.
                rows = {row[0]: row for row in split}
    if list(holds) != list(rows):
        raise ValueError(
            f"{path.stem} checks the claims {list(holds)} but shows what it measured "
            f"for {list(rows)}: expected a cell table(claim_values()) after the claims"
        )
    if unknown := [id for id in holds if id not in claims]:
        raise ValueError(f"{path.stem} checks what is not in the file: {', '.join(unknown)}")
    return [
        Verdict(claims[id], path.stem, title, holds[id], int(row[1]), *row[2:5])
        for id, row in rows.items()
    ]


def _escaped(text: str) -> str:
    """Text as Markdown that shows exactly this text, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|$~^#])", r"\\\1", text)
