"""How a loss function weighs the KL, read off its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

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
    fits_output : float
        Cosine between the gradient by the output and that of −log P(x|z): 1 if it is that
        likelihood. NaN where the decoder returns a distribution.
    """

    beta: float
    by_logvar: float
    fits: float
    fits_output: float


def implied_weight(
    loss: Callable[..., Any],
    likelihood: Any,
    x: Tensor,
    output: Tensor | Distribution,
    mu: Tensor,
    logvar: Tensor,
) -> Weight:
    """Read off a loss(x, output, mu, logvar) how it weighs the KL against −log P(x|output).

    At the codes with some noise: those of a collapsed model are where the KL has no gradient.
    """
    random = torch.Generator().manual_seed(SEED)
    mu, logvar = (
        part.detach() + 0.5 * torch.randn(part.shape, generator=random).to(part)
        for part in (mu, logvar.clamp(-5, 2))
    )
    leaves = [part.detach().clone().requires_grad_() for part in (mu, logvar)]
    if isinstance(output, Distribution):
        # Another x is another misfit, and the same price: their ratio is the scale.
        other = x[:1].expand_as(x)
        value = _one_number(loss(x, output, *leaves))
        moved = value - _one_number(loss(other, output, *leaves))
        nats = output.log_prob(other).double().sum() - output.log_prob(x).double().sum()
        scale, fits_output = (moved / nats).item(), math.nan
    else:
        own = output.detach().clone().requires_grad_()
        value = _one_number(loss(x, own, *leaves))
        scale, fits_output = _scale(value, own, likelihood, x)
    by_mu, by_logvar = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    price_mu, price_logvar = mu.detach(), (logvar.detach().exp() - 1) / 2
    ours = torch.cat([as_rows(price_mu).flatten(), as_rows(price_logvar).flatten()]).double()
    theirs = torch.cat([as_rows(by_mu).flatten(), as_rows(by_logvar).flatten()]).double()
    return Weight(
        beta=_slope(by_mu, price_mu) / scale,
        by_logvar=_slope(by_logvar, price_logvar) / scale,
        fits=_cosine(ours, theirs),
        fits_output=fits_output,
    )


def _one_number(value: Any) -> Tensor:
    """The loss in what a loss function returned."""
    if not isinstance(value, Tensor):
        found = value[0] if isinstance(value, tuple | list) else None
        found = value.get("loss") if isinstance(value, dict) else found
        value = getattr(value, "loss", found)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError("loss: expected loss(x, output, mu, logvar) to return one number")
    return value.reshape(())


def _scale(loss: Tensor, output: Tensor, likelihood: Any, x: Tensor) -> tuple[float, float]:
    """The weight of −log P(x|output) in a loss, and how well the two agree but for it."""
    (by_output,) = torch.autograd.grad(
        loss, output, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    (nats,) = torch.autograd.grad(-log_prob(likelihood, output, x).double().sum(), output)
    # The median does not see where a logarithm is clipped, and there no angle is taken.
    moves = (nats != 0) & (nats.abs() < 1e6 * nats.abs().median().clamp(min=1e-6))
    theirs, ours = by_output[moves].double(), nats[moves].double()
    return (theirs / ours).median().item(), _cosine(theirs, ours)


def _cosine(a: Tensor, b: Tensor) -> float:
    size = a.norm() * b.norm()
    return (a @ b / size).item() if size > 0 else 0.0


def _slope(y: Tensor, x: Tensor) -> float:
    """The slope of y = a x by least squares; NaN where x is 0."""
    y, x = y.double().flatten(), x.double().flatten()
    return ((x @ y) / (x @ x)).item() if x.any() else math.nan
