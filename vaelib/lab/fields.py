"""How a field of an experiment is declared: its type, default and check on one line.

What says the same gives the same name: 2 and 2.0, a list and a tuple, −0.0 and 0 are one value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np


def whole(default: int | None, least: int = 0, most: int = 2**63 - 1, stored_as: str = "") -> Any:
    """A whole number from ``least`` to ``most``; None where that is the default."""
    expected = f"a whole number from {least} to {most:g}"
    return _field(default, _whole, expected, lambda value: least <= value <= most, stored_as)


def wholes(default: tuple[int, ...] | None, least: int = 0, most: int = 2**63 - 1) -> Any:
    """Several whole numbers from ``least`` to ``most``."""
    return _field(
        default,
        lambda values: tuple(map(_whole, values)),
        f"whole numbers >= {least}",
        lambda values: all(least <= value <= most for value in values),
    )


def rungs() -> Any:
    """Pairs of a number of epochs and a weight >= 0, one after another; none is the default."""
    return _field(
        (),
        lambda pairs: tuple((_whole(epochs), _finite(weight)) for epochs, weight in pairs),
        "pairs (epochs >= 1, weight >= 0)",
        lambda pairs: all(epochs >= 1 and weight >= 0 for epochs, weight in pairs),
    )


def number(default: float | None, *, above: float = -math.inf, least: float = -math.inf,
           below: float = math.inf) -> Any:  # fmt: skip
    """A finite number above ``above``, at least ``least`` and below ``below``."""
    bounds = {"> ": above, ">= ": least, "< ": below}
    return _field(
        default,
        _finite,
        "a number " + ", ".join(f"{sign}{x:g}" for sign, x in bounds.items() if math.isfinite(x)),
        lambda value: value > above and value >= least and value < below,
    )


def flag(default: bool, stored_as: str = "") -> Any:
    """True or False."""
    return _field(default, _flag, "True or False", stored_as=stored_as)


def choice(*names: str) -> Any:
    """One of these names; the first is the default."""
    return _field(names[0], str, f"one of {', '.join(names)}", lambda value: value in names)


def _field(
    default: Any,
    convert: Callable[[Any], Any],
    expected: str,
    check: Callable[[Any], bool] = lambda value: True,
    stored_as: str = "",
) -> Any:
    def converted(value: Any, field: attrs.Attribute[Any]) -> Any:
        if value is None and default is None:
            return None
        try:
            result = convert(value)
            if check(result):
                return result
        except (TypeError, ValueError, OverflowError):
            pass
        raise ValueError(f"{field.name}: expected {expected}, got {value!r}")

    converter = attrs.Converter(converted, takes_field=True)
    return attrs.field(default=default, converter=converter, metadata={"stored_as": stored_as})


def _whole(value: Any) -> int:
    if isinstance(value, bool | str) or int(value) != value:
        raise ValueError
    return int(value)


def _finite(value: Any) -> float:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise ValueError
    return float(value) + 0.0  # −0.0 becomes 0.0


def _flag(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError
    return bool(value)
