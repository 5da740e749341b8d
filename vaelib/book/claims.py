"""What the book asserts: each claim is one row of ``book/claims.yml``, checked by one chapter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from torch import Tensor

from vaelib.data import book_folder

from .tables import three_digits, true_minus

FILE_NAME = "claims.yml"
KINDS = ("identity", "before", "after")  # when the interval was set
HOLDS, FAILS = "✓ holds", "✗ FAILS"
COLUMNS = ("claim", "values", "least", "median", "largest", "accepted", "verdict")

# The claims that this session has checked: for each id its row of these columns.
_checked: dict[str, tuple[Any, ...]] = {}


@dataclass(frozen=True)
class Claim:
    """One assertion, and what would refute it.

    Attributes
    ----------
    id : str
        Its key in ``book/claims.yml``.
    sentence : str
        What is asserted, in words.
    source : str
        A citation key of ``book/references.bib``, or "this book".
    low, high : float
        The accepted interval, ends included; infinite if one side is open.
    why : str
        Why this interval and no other.
    published : str
        The figure that the source gives, if any.
    fails : str
        Why the claim fails, if it is known to; empty if it should hold.
    kind : str
        When the interval was set: ``before`` the runs, in a commit that shows it, or ``after``;
        ``identity`` for a closed form or a computed optimum, which tests the code.
    """

    id: str
    sentence: str
    source: str
    low: float
    high: float
    why: str
    published: str = ""
    fails: str = ""
    kind: str = "after"

    def accepts(self, value: Any) -> bool:
        """Whether every number of ``value`` (a number, an array or a tensor) is in the interval."""
        numbers = np.atleast_1d(value)
        if numbers.size == 0:
            raise ValueError(f"value of claim {self.id!r}: expected at least one number, got none")
        # NaN is in no interval, and infinity not even in an open one.
        inside = (numbers >= self.low) & (numbers <= self.high) & np.isfinite(numbers)
        return bool(inside.all())

    @property
    def interval(self) -> str:
        """The accepted interval in words."""
        if math.isinf(self.high):
            words = f"at least {self.low:g}"
        elif math.isinf(self.low):
            words = f"at most {self.high:g}"
        else:
            words = f"{self.low:g} to {self.high:g}"
        return true_minus(words)


def claim(key: str, value: Any) -> None:
    """Check a claim against what was measured, and print the verdict on one line.

    The line does not contain the measured numbers, so that it is the same on every machine;
    `claim_values` returns the numbers.

    Parameters
    ----------
    key : str
        The id of a row of ``book/claims.yml``.
    value : number, array or tensor
        What was measured. Every element of an array must be in the accepted interval.

    Raises
    ------
    ValueError
        If there is no such claim, or ``value`` has no numbers: a boolean is a verdict of its own
        and not a measurement.
    FileNotFoundError
        If the package was installed without the book.
    """
    claims = _cached(book_folder() / FILE_NAME)
    if key not in claims:
        raise ValueError(f"key: no claim {key!r} in {FILE_NAME}")
    checked = claims[key]
    numbers = _numbers(value)
    verdict = HOLDS if checked.accepts(numbers) else FAILS
    _checked[key] = (key, *_spread(numbers), checked.interval, verdict)
    reason = f", as recorded: {checked.fails}" if verdict == FAILS and checked.fails else ""
    print(f"{verdict}{reason} · {key} · {checked.sentence} Accepted: {checked.interval}.")


def claim_values() -> dict[str, list[Any]]:
    """Return what was measured for each claim checked in this session, as columns for `table`.

    Returns
    -------
    dict
        ``claim`` (its id), ``values`` (how many numbers), the ``least``, ``median`` and ``largest``
        of them in the claim's own unit, with 3 significant digits each, ``accepted`` (the interval)
        and ``verdict``.

    Raises
    ------
    ValueError
        If no claim has been checked yet.
    """
    if not _checked:
        raise ValueError("claim_values: expected claims to have been checked before, got none")
    columns = {name: [row[i] for row in _checked.values()] for i, name in enumerate(COLUMNS)}
    for name in ("least", "median", "largest"):
        # The rows have different units: each number keeps digits of its own.
        columns[name] = [*map(three_digits, columns[name])]
    return columns


def load_claims(path: Path | None = None) -> dict[str, Claim]:
    """Read the claims of the book, by default from its folder.

    Raises
    ------
    ValueError
        If the file has no rows or one id twice, a row lacks a field (its ``kind`` too) or has one
        too many, or its interval accepts everything or nothing.
    """
    path = path or book_folder() / FILE_NAME
    rows = yaml.load(path.read_text(encoding="utf-8"), _NoDuplicates)
    if not isinstance(rows, dict):
        raise ValueError(f"{path}: expected a mapping from ids to claims, got {rows!r}")
    return {key: _parse(key, row) for key, row in rows.items()}


_cached = cache(load_claims)


class _NoDuplicates(yaml.SafeLoader):
    """Refuses two equal keys, of which YAML keeps the last without an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))}: this id or field is there twice")
        return super().construct_mapping(node, deep)


def _parse(key: str, row: dict[str, Any]) -> Claim:
    """Make a claim of one row of the file."""
    try:
        low, high = (
            infinity if end is None else float(end)
            for end, infinity in zip(row["accepted"], (-math.inf, math.inf), strict=True)
        )
        # A sentence folded over several lines is one line again.
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
    if row.get("kind") not in KINDS:
        raise ValueError(
            f"claim {key!r}: kind: expected one of {', '.join(KINDS)}, got {row.get('kind')!r}"
        )
    return result


def _numbers(value: Any) -> np.ndarray[Any, Any]:
    """Return the measured numbers as an array of integers or floats."""
    numbers = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    if not any(np.issubdtype(numbers.dtype, kind) for kind in (np.integer, np.floating)):
        raise ValueError(f"value: expected numbers, got {value!r}")
    return numbers


def _spread(numbers: np.ndarray[Any, Any]) -> tuple[int, float, float, float]:
    """Count the numbers; return also the least, median and largest. Counts stay whole numbers."""
    whole = np.issubdtype(numbers.dtype, np.integer)
    numbers = numbers.astype(int if whole else float)
    median = float(np.median(numbers))
    middle = int(median) if whole and median.is_integer() else median
    return numbers.size, numbers.min().item(), middle, numbers.max().item()
