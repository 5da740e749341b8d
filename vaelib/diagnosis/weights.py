"""How a loss function weighs the KL, read off its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaelib.diagnosis.codes import as_rows
from vaelib.diagnosis.foreign import log_prob
from vaelib.diagnosis.probes import SEED


@dataclass
class Weight:
    """What a loss function makes of the KL.

    Attributes
    ----------
    beta : float
        Its weight, by the gradient by μ, where log P(x|z) has weight 1.
    by_logvar : float
        The same by the gradient by log σ².
    fits : float
        Cosine between the gradient by the code and that of the KL to N(0, I): 1 if it is that KL.
    """

    beta: float
    by_logvar: float
    fits: float


def implied_weight(
    loss: Callable[..., Any], likelihood: Any, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor
) -> Weight:
    """Read off a loss(x, output, mu, logvar) how it weighs the KL against −log P(x|output).

    At the codes with some noise: those of a collapsed model are where the KL has no gradient.
    """
    random = torch.Generator().manual_seed(SEED)
    mu, logvar = (
        part.detach() + 0.5 * torch.randn(part.shape, generator=random).to(part)
        for part in (mu, logvar.clamp(-5, 2))
    )
    leaves = [part.detach().clone().requires_grad_() for part in (output, mu, logvar)]
    value = loss(x, *leaves)
    if not isinstance(value, Tensor):
        found = value[0] if isinstance(value, tuple | list) else None
        found = value.get("loss") if isinstance(value, dict) else found
        value = getattr(value, "loss", found)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError("loss: expected loss(x, output, mu, logvar) to return one number")
    by_output, by_mu, by_logvar = torch.autograd.grad(
        value.reshape(()), leaves, allow_unused=True, materialize_grads=True
    )
    own = output.detach().clone().requires_grad_()
    (nats,) = torch.autograd.grad(-log_prob(likelihood, own, x).double().sum(), own)
    # One gradient but for its scale; the median does not see where a logarithm is clipped.
    moves = nats != 0
    scale = (by_output[moves].double() / nats[moves].double()).median().item()
    price_mu, price_logvar = mu.detach(), (logvar.detach().exp() - 1) / 2
    ours = torch.cat([as_rows(price_mu).flatten(), as_rows(price_logvar).flatten()]).double()
    theirs = torch.cat([as_rows(by_mu).flatten(), as_rows(by_logvar).flatten()]).double()
    size = ours.norm() * theirs.norm()
    return Weight(
        beta=_slope(by_mu, price_mu) / scale,
        by_logvar=_slope(by_logvar, price_logvar) / scale,
        fits=(ours @ theirs / size).item() if size > 0 else 0.0,
    )


def _slope(y: Tensor, x: Tensor) -> float:
    """The slope of y = a x by least squares; NaN where x is 0."""
    y, x = y.double().flatten(), x.double().flatten()
    return ((x @ y) / (x @ x)).item() if x.any() else math.nan
