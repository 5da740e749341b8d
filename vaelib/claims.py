"""What the book asserts: each claim is one row of ``book/claims.yml``, checked by one chapter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

CLAIMS_FILE = Path(__file__).parent.parent / "book" / "claims.yml"


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

    The line says nothing that depends on the machine, so that it can be compared everywhere: the
    measured numbers are printed by the cells above it.

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
    if said.accepts(value):
        verdict = "✓ holds"
    else:
        verdict = "✗ FAILS" + (f", as recorded: {said.fails}" if said.fails else "")
    print(f"{verdict} · {id} · {said.sentence} Accepted: {said.interval}.")


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
            math.inf * sign if end is None else float(end)
            for end, sign in zip(row["accepted"], (-1, 1), strict=True)
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
