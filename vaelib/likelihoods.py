"""What the decoder's output means: the distribution P(X|z) of the pixels."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

# The logit at which the authors of the continuous Bernoulli stop: a probability of 1 − 10⁻⁴.
CLIPPED_LOGIT = math.log((1 - 1e-4) / 1e-4)


class Likelihood(Protocol):
    """What a model and the measures ask of a likelihood."""

    def mean(self, output: Tensor) -> Tensor:
        """Turn the decoder's output into the mean of each pixel: same shape."""

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        """log P(x|z) in nats: (..., pixels) and (..., pixels) → (...)."""


class Bernoulli:
    """Σ x log p + (1 − x) log(1 − p), with grey pixels taken as probabilities.

    The output is the logit of p. Shown in the chapter on the autoencoder.
    """

    def mean(self, output: Tensor) -> Tensor:
        """The probability p of white."""
        return output.sigmoid()

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        """Sum over the pixels of the cross-entropy, negative: in nats, at most 0."""
        self.check(x)
        target = x.expand_as(output)
        return -F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(-1)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError unless all pixels are in [0, 1]."""
        if x.numel():
            low, high = torch.aminmax(x)
            # NaN fails both comparisons.
            if not (low >= 0 and high <= 1):
                raise ValueError(
                    f"x: expected pixels in [0, 1], got values from {low:.9g} to {high:.9g}"
                )


class ContinuousBernoulli(Bernoulli):
    """Σ λx − log ∫₀¹ exp(λt) dt: a density over grey pixels [Loaiza-Ganem and Cunningham 2019].

    The output is λ, the logit of the Bernoulli with the same exponential. Densities can be above
    1, their logarithms above 0. Shown in the chapter on questions.

    Parameters
    ----------
    limit : float
        λ is kept in [−limit, limit]. Without one, the density of a pixel that is always black has
        no bound. `CLIPPED_LOGIT` is the limit of the authors' code.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self.limit = limit

    def mean(self, output: Tensor) -> Tensor:
        """∫ t e^{λt} dt / ∫ e^{λt} dt over [0, 1], by its series near λ = 0."""
        output = output.clamp(-self.limit, self.limit)
        small = output.abs() < 1e-2
        safe = torch.where(small, 1.0, output)
        return torch.where(small, 0.5 + output / 12, -1 / (-safe).expm1() - 1 / safe)

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        """Sum over the pixels of the log density."""
        self.check(x)
        output = output.clamp(-self.limit, self.limit)
        return (x * output - log_normaliser(output)).sum(-1)


class Gaussian:
    """Σ −½ ((x − m)²/η² + log 2πη²): the output is the mean m of each pixel.

    Parameters
    ----------
    variance : float or Tensor ()
        The η², the same for all pixels. Shown in the chapter on the linear case.
    """

    def __init__(self, variance: float | Tensor = 1.0) -> None:
        self.variance = variance

    def mean(self, output: Tensor) -> Tensor:
        """The output itself."""
        return output

    def log_prob(self, output: Tensor, x: Tensor) -> Tensor:
        """Sum over the pixels of the log density."""
        variance = torch.as_tensor(self.variance, dtype=output.dtype)
        squares = (x - output).square() / variance
        log_density: Tensor = -0.5 * (squares + (2 * math.pi * variance).log())
        return log_density.sum(-1)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError unless all numbers are finite."""
        if not x.isfinite().all():
            raise ValueError("x: expected finite numbers, got NaN or infinity")


def log_normaliser(logit: Tensor) -> Tensor:
    """log ∫₀¹ exp(λ t) dt = log((e^λ − 1) / λ): what makes e^{λt} a density over [0, 1]."""
    size = logit.abs()
    small = size < 1e-2  # where the quotient loses its digits, the series has them all
    safe = torch.where(small, 1.0, size)
    decayed = torch.where(small, -size / 2 + size.square() / 24, (-(-safe).expm1() / safe).log())
    # Half of λ + |λ| is max(λ, 0), with the right slope at 0 too.
    return 0.5 * (logit + size) + decayed
