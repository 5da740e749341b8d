"""What is maximised: the likelihood of the pixels, the KL divergence and the ELBO, in nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from vaelib._draws import standard_normal
from vaelib.likelihoods import Likelihood


class Model(Protocol):
    """What the measures ask of a model: `VAE` has it, and a model of your own can."""

    @property
    def likelihood(self) -> Likelihood:
        """P(X|z), given the decoder's output."""

    @property
    def decoder(self) -> Callable[[Tensor], Tensor]:
        """Codes (batch, latent) → what the likelihood takes, (batch, pixels)."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (batch, ...) → μ and log σ² of Q(z|X), each (batch, latent)."""


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of every image and variable, not summed.

    ½ (μ² + σ² − log σ² − 1), the closed form of [Kingma and Welling 2014, appendix B].
    From means and log-variances (batch, latent): nats (batch, latent), never negative; ∞ where σ²
    is 0, NaN where it is ∞. Shown in the chapter that derives it.
    """
    # expm1 keeps the digits of σ² − 1 where a variable is all but switched off.
    return 0.5 * (torch.square(mu) + (torch.expm1(logvar) - logvar))


def sample_posterior(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw one z = μ + σ ε per image, ε ~ N(0, I), differentiable in μ and log σ².

    Shown in the chapter on the variational autoencoder.
    """
    return mu + (0.5 * logvar).exp() * standard_normal(mu.shape, mu, generator)


def reconstruction_log_likelihood(model: Model, x: Tensor, z: Tensor) -> Tensor:
    """log P(X|z), summed over pixels, by the likelihood of the model.

    Images (batch, channels, height, width) with one code each, (batch, latent), or several,
    (samples, batch, latent): nats per image, (batch,) or (samples, batch), in float32 at least.
    Shown in the chapter on the variational autoencoder.
    """
    output = model.decoder(z.flatten(0, -2)).flatten(1).unflatten(0, z.shape[:-1])
    target = x.flatten(1)
    if output.shape[-2:] != target.shape:
        raise ValueError(
            f"x and z: expected images of the model's shape and one code each, got "
            f"{tuple(x.shape)} and {tuple(z.shape)}"
        )
    # Half precision ends at 65,504: the sum over the pixels needs more.
    precision = torch.promote_types(output.dtype, torch.float32)
    return model.likelihood.log_prob(output.to(precision), target.to(precision))


def elbo(
    model: Model, x: Tensor, beta: float | Tensor = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Evidence lower bound E_{z~Q(z|X)} log P(X|z) − β KL(Q(z|X) ‖ P), with one draw of z.

    It is maximised; the loss is its negative. Shown in the chapter on the variational autoencoder.

    Parameters
    ----------
    model : VAE, or any object with ``encode``, ``decoder`` and ``likelihood``
        A deterministic autoencoder has an infinite KL: its ELBO is −∞.
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    beta : float or Tensor (latent,)
        Weight of the KL [Higgins et al. 2017], one for all variables or one for each.
        1 makes it a bound on log P(X).
    generator : torch.Generator, optional
        Where the noise comes from.

    Returns
    -------
    Tensor (batch,)
        Nats per image.
    """
    mu, logvar = model.encode(x)
    z = sample_posterior(mu, logvar, generator)
    return reconstruction_log_likelihood(model, x, z) - (beta * gaussian_kl(mu, logvar)).sum(1)


def importance_weights(
    model: Model, x: Tensor, samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """log P(X|z) P(z) / Q(z|X) for draws z ~ Q(z|X): nats, (samples, batch).

    Their mean is the ELBO (β = 1), the log of the mean of their exponentials the bound of
    [Burda et al. 2016].
    """
    mu, logvar = model.encode(x)
    noise = standard_normal((samples, *mu.shape), mu, generator)
    z = mu + (0.5 * logvar).exp() * noise
    # log P(z) − log Q(z|X), from the noise itself: where σ is tiny, z − μ has lost its digits.
    log_ratio = 0.5 * (noise.square() + logvar - z.square()).sum(-1)
    return reconstruction_log_likelihood(model, x, z) + log_ratio
