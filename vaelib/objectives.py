"""What is maximised: the likelihoods, the KL divergence and the ELBO, in nats per image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelib.models import VAE, Autoencoder


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of every image and variable, not summed.

    ½ (μ² + σ² − log σ² − 1), the closed form of [Kingma and Welling 2014, appendix B].

    Parameters
    ----------
    mu, logvar : Tensor (batch, latent)
        Means and log-variances of Q(z|X).

    Returns
    -------
    Tensor (batch, latent)
        Nats, never negative; ∞ where σ² = 0.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if mu.shape != logvar.shape:
        raise ValueError(
            f"mu and logvar: expected one shape, got {tuple(mu.shape)} and {tuple(logvar.shape)}"
        )
    # expm1 keeps the digits of σ² − 1 where a variable is all but switched off.
    return 0.5 * (mu.square() + (logvar.expm1() - logvar))


def sample_posterior(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw one z = μ + σ ε per image, ε ~ N(0, I), differentiable in μ and log σ²."""
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + (0.5 * logvar).exp() * noise


def reconstruction_log_likelihood(model: Autoencoder, x: Tensor, z: Tensor) -> Tensor:
    """log P(X|z), summed over pixels.

    Bernoulli: Σ x log p + (1−x) log(1−p), with grey pixels taken as probabilities.
    Gaussian: Σ −½ ((x − m)²/η² + log 2πη²), a density, so it can be positive.

    Parameters
    ----------
    model : Autoencoder
        Its likelihood and decoder are used.
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    z : Tensor (batch, latent)
        One code per image.

    Returns
    -------
    Tensor (batch,)
        Nats per image.

    Raises
    ------
    ValueError
        If there are not as many codes as images, or the shapes do not fit the model.
    """
    output: Tensor = model.decoder(z)
    target = x.flatten(1)
    if output.shape != target.shape:
        raise ValueError(
            f"x and z: expected images {model.shape} and one code each, got {tuple(x.shape)} "
            f"and {tuple(z.shape)}"
        )
    if model.likelihood == "bernoulli":
        return -F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1)
    variance = model.decoder_variance
    squared = (target - output).square() / variance
    return -0.5 * (squared + math.log(2 * math.pi * variance)).sum(1)


def elbo(
    model: VAE,
    x: Tensor,
    beta: float | Tensor = 1.0,
    generator: torch.Generator | None = None,
    sample: bool = True,
) -> Tensor:
    """Evidence lower bound E_{z~Q(z|X)} log P(X|z) − β KL(Q(z|X) ‖ P), with one draw of z.

    Parameters
    ----------
    model : VAE
        A deterministic autoencoder has no finite KL, so no bound.
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    beta : float or Tensor (latent,)
        Weight of the KL [Higgins et al. 2017], one for all variables or one for each.
        1 makes it a bound on log P(X).
    generator : torch.Generator, optional
        Where the noise comes from.
    sample : bool
        False decodes the posterior mean instead of a draw. That is no bound any more: it is there
        to show what the noise does.

    Returns
    -------
    Tensor (batch,)
        Nats per image. It is maximised; the loss is its negative.

    Raises
    ------
    ValueError
        If the model is not a `VAE`, or a pixel is NaN or outside [0, 1].
    """
    _check_variational(model)
    mu, logvar = model.encode(x)
    z = sample_posterior(mu, logvar, generator) if sample else mu
    return reconstruction_log_likelihood(model, x, z) - (beta * gaussian_kl(mu, logvar)).sum(1)


def _check_variational(model: Autoencoder) -> None:
    if not isinstance(model, VAE):
        raise ValueError(f"model: expected a VAE, got {type(model).__name__}, whose KL is infinite")
