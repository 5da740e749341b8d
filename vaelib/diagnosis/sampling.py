"""One pass over all data, and a random sample of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from vaelib.diagnosis.codes import Tally
from vaelib.diagnosis.foreign import Batch, Foreign

PROBED = 1_000  # rows on which a decoder is tried
T = TypeVar("T")
BYTES = 200e6  # and not more than this of them


def shown(parts: Iterable[T], what: str, progress: bool) -> Iterable[T]:
    """The same, with a progress bar if there is to be one."""
    if not progress:
        return parts
    from tqdm import tqdm  # not above: the core does without

    bar: Iterable[T] = tqdm(parts, what)
    return bar


def read(model: Foreign, data: Any, tally: Tally, progress: bool) -> list[Batch]:
    """Encode all data; return a random sample of it, for what needs the decoder."""
    random = torch.Generator().manual_seed(0)
    lowest: list[tuple[Tensor, Batch]] = []
    with torch.no_grad():
        for batch in shown(model.batches(data), "encoding", progress):
            tally.add(*model.encode(batch))
            keys = torch.rand(len(batch[0]), generator=random)
            limit = max(16, min(PROBED, int(BYTES / (4 * batch[0][0].numel()))))
            # Rows that could still be among the chosen; the list is cut now and then.
            lowest.append((keys, batch))
            if sum(len(k) for k, _ in lowest) > 4 * limit:
                lowest = _smallest(lowest, limit)
    return [batch for _, batch in _smallest(lowest, limit)]


def _smallest(parts: list[tuple[Tensor, Batch]], limit: int) -> list[tuple[Tensor, Batch]]:
    """Of rows with random keys those with the smallest, in their batches."""
    keys = torch.cat([k for k, _ in parts])
    bound = keys.kthvalue(min(limit, len(keys))).values
    chosen = []
    for k, (x, rest) in parts:
        rows = (k <= bound).nonzero().flatten()
        if len(rows):
            beside = tuple(_rows(value, rows, len(k)) for value in rest)
            chosen.append((k[rows], (x[rows.to(x.device)], beside)))
    return chosen


def _rows(value: Any, rows: Tensor, count: int) -> Any:
    if isinstance(value, Tensor) and value.ndim and len(value) == count:
        return value[rows.to(value.device)]
    if isinstance(value, list | tuple) and len(value) == count:
        return [value[i] for i in rows.tolist()]
    return value
