"""One rule for devices: numbers are drawn where the generator is, and used where the model is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def standard_normal(
    shape: Sequence[int], like: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw N(0, 1) in the precision of ``like`` and move it to its device.

    A generator of the CPU gives the same numbers to a model on any device.
    """
    device = generator.device if generator else like.device
    draws = torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=device)
    return draws.to(like.device)
